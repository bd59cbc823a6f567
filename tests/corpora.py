"""Folders that the tests make: the index of the whole of TAU, a small corpus, copies of a store."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from asclib.challenge import DEVICES, SAMPLE_RATE, SCENES
from asclib.corpus import Corpus, CorpusError
from asclib.corpus.embedded import CITIES, render
from asclib.corpus.embedded.layout import Recording

TRAIN = "evaluation_setup/fold1_train.csv"
TEST = "evaluation_setup/fold1_test.csv"
EVALUATE = "evaluation_setup/fold1_evaluate.csv"

# FACTS of TAU Urban Acoustic Scenes 2022 Mobile, development: clips per device
TAU_CLIPS = {
    "train": dict(a=102_150, b=7_490, c=7_480, s1=7_500, s2=7_500, s3=7_500, s4=0, s5=0, s6=0),
    "test": dict(a=3_300, b=3_290, c=3_290, **{f"s{i}": 3_300 for i in range(1, 7)}),
    "unused": dict(a=38_550, b=0, c=0, s1=0, s2=0, s3=0, s4=7_500, s5=7_500, s6=7_500),
}
TAU_TRAIN = dict(
    airport=13_930,
    bus=14_000,
    metro=13_820,
    metro_station=13_800,
    park=14_290,
    public_square=14_270,
    shopping_mall=13_730,
    street_pedestrian=13_860,
    street_traffic=14_130,
    tram=13_790,
)
TAU_TEST = dict.fromkeys(SCENES, 2_970) | dict(airport=2_960, tram=2_960)
TAU_SUBSETS = {5: 6_980, 10: 13_960, 25: 34_900, 50: 69_800, 100: 139_620}


TAU_PLACES = {"train": 36, "test": 12, "unused": 12}  # of each scene; about as many as in TAU

Part = Callable[[dict[str, Any]], tuple[str, str, str] | None]
LABELLED = "filename\tscene_label"  # header of a split's table


def write_table(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


def labelled(names: list[str]) -> list[str]:
    """The rows of a split's table."""
    return [f"{name}\t{name[6:].split('-')[0]}" for name in names]


def write_index(root: Path, train: list[str], test: list[str], unused: list[str] = ()) -> None:
    """The four tables of a corpus whose file names are given."""

    def meta(name: str) -> str:
        scene, city, location, _, _, device = name[6:].rsplit(".", 1)[0].split("-")
        return f"{name}\t{scene}\t{city}-{location}\t{device}"

    root.mkdir(exist_ok=True)
    header = "filename\tscene_label\tidentifier\tsource_label"
    write_table(root / "meta.csv", header, [meta(name) for name in [*train, *test, *unused]])
    write_table(root / TRAIN, LABELLED, labelled(train))
    write_table(root / TEST, "filename", list(test))
    write_table(root / EVALUATE, LABELLED, labelled(test))


# ---- TAU -------------------------------------------------------------------------------------


def tau_names() -> dict[str, list[str]]:
    """File names with TAU's counts per split, device and scene; recordings of ten slices.

    A place belongs to one scene and one split. The k-th recording of a scene by one device is the
    k-th by any other: they were made in parallel. Which device heard which scene how often is
    arbitrary beyond the published counts.
    """
    names: dict[str, list[str]] = {}
    even = dict.fromkeys(SCENES, sum(TAU_CLIPS["unused"].values()) // 10)
    per_scene = {"train": TAU_TRAIN, "test": TAU_TEST, "unused": even}
    for split, devices in TAU_CLIPS.items():
        scenes = [scene for scene in SCENES for _ in range(per_scene[split][scene] // 10)]
        heard: Counter[tuple[str, str]] = Counter()
        names[split] = []
        segments = [device for device in DEVICES for _ in range(devices[device] // 10)]
        for n, device in enumerate(segments):
            # a stride that shares no factor with the number of recordings deals out the scenes
            scene = scenes[n * 7919 % len(scenes)]
            k = heard[scene, device]
            heard[scene, device] += 1
            spot = k % TAU_PLACES[split]
            place = f"{CITIES[spot % 10]}-{split}{SCENES.index(scene)}x{spot}"
            stem = f"audio/{scene}-{place}-{k}"
            names[split] += [f"{stem}-{piece}-{device}.wav" for piece in range(10)]
    return names


def write_tau(root: Path) -> None:
    """The index of the whole of TAU, 230,350 clips and the five 2024 subsets, without audio."""
    names = tau_names()
    write_index(root, names["train"], names["test"], names["unused"])
    recordings = [names["train"][i : i + 10] for i in range(0, len(names["train"]), 10)]
    order = np.random.default_rng(0).permutation(len(recordings))
    for percent, size in TAU_SUBSETS.items():
        rows = labelled([clip for i in order[: size // 10] for clip in recordings[i]])
        write_table(root / f"evaluation_setup/split{percent}.csv", LABELLED, rows)


# ---- TAU in miniature, with sound ----------------------------------------------------------------

OTHERS = ("b", "c", "s1", "s2", "s3")  # heard in training beside a
LITTLE = {"train": (300, 20, 0), "test": (10, 10, 10), "unused": (100, 0, 20)}
LITTLE_SUBSETS = {5: 20, 10: 40, 25: 100, 50: 200, 100: 400}


def little_tau() -> list[Recording]:
    """The recordings of a corpus with TAU's shares, a 350th of its size.

    Of a scene, training has thirty seconds of a at three places, and ten of another device, in
    parallel; a fifth as many clips, from a place of its own, are tested on all nine devices; a's
    unused seconds, and those of s4 to s6, which are heard in no training, come on top. Only the
    recordings to test are shorter than ten seconds.
    """

    def one(
        k: int, place: int, split: str, devices: tuple[str, ...], slices: int = 10
    ) -> Recording:
        city, number = CITIES[(3 * k + place) % 10], 10 * k + place
        return Recording(SCENES[k], city, number, number, slices, split, devices)

    made = []
    for k in range(len(SCENES)):
        late = (f"s{4 + k // 2}",) if k < 6 else ()
        made += [
            one(k, 0, "train", ("a", OTHERS[k % 5])),
            one(k, 1, "train", ("a",)),
            one(k, 2, "train", ("a",)),
            one(k, 3, "test", DEVICES, slices=1),
            one(k, 4, "unused", ("a", *late)),
        ]
    return made


def render_little_tau(root: Path) -> Path:
    """Write it: 24-bit sound, the four tables, and the six of 2024."""
    recordings = little_tau()
    (root / "audio").mkdir(parents=True)
    names: dict[str, list[str]] = {"train": [], "test": [], "unused": []}
    for one in recordings:
        render.record(root, one, seed=0)
        names[one.split] += one.files()
    write_index(root, names["train"], names["test"], names["unused"])
    write_table(root / "evaluation_setup/test.csv", LABELLED, labelled(names["test"]))
    pieces = [names["train"][i : i + 10] for i in range(0, len(names["train"]), 10)]
    order = np.random.default_rng(0).permutation(len(pieces))
    for percent, size in LITTLE_SUBSETS.items():
        rows = labelled([clip for i in order[: size // 10] for clip in pieces[i]])
        write_table(root / f"evaluation_setup/split{percent}.csv", LABELLED, rows)
    return root


# ---- a small corpus --------------------------------------------------------------------------

PLACES = [f"{city}-{place}" for city in ("porto", "foldfive") for place in (1, 2, 3)]
SMALL_TRAIN = [
    f"audio/{scene}-{place}-{segment}-{piece}-{device}.wav"
    for scene in ("airport", "street_traffic")
    for place in PLACES
    for segment, device in ((10, "a"), (10, "s1"), (11, "a"))
    for piece in (0, 1)
]
SMALL_TEST = [f"audio/{scene}-porto-9-90-0-{d}.wav" for scene in SCENES[1:3] for d in ("a", "s6")]


def tone(samples: int = SAMPLE_RATE) -> np.ndarray:
    """A sine of 440 Hz, (samples,)."""
    return 0.25 * np.sin(2 * np.pi * 440 * np.arange(samples) / SAMPLE_RATE)


def wav(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Path:
    """Write a sound file; its suffix decides the format."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def link_store(store: Path, folder: Path) -> None:
    """Fill a folder with links to what a store holds: artefacts are read, never written to."""
    locks = shutil.ignore_patterns("*.lock")
    shutil.copytree(store, folder, copy_function=os.link, dirs_exist_ok=True, ignore=locks)


def lines(path: Path) -> list[str]:
    """The lines of a table."""
    return path.read_text().splitlines()


def edit(path: Path, row: int, change) -> None:
    """Change one line of a table, counted from 1 = header."""
    rows = lines(path)
    rows[row - 1] = change(rows[row - 1])
    path.write_text("\n".join(rows) + "\n")


def refused(root: Path, file: str, row: int | None, problem: str, remedy: str) -> None:
    """The corpus is refused for this reason, and the report holds the same one."""
    with pytest.raises(CorpusError) as caught:
        Corpus.open(root)
    error = caught.value
    assert (error.file, error.row) == (file, row)
    assert problem in error.problem and remedy in error.remedy
    for part in (file, error.problem, error.remedy, "" if row is None else f"row {row}"):
        assert part in str(error)
    first = Corpus.report(root).iloc[0]
    assert first["problem"] == error.problem and first["remedy"] == error.remedy
    assert first["file"] == file and (pd.isna(first["row"]) if row is None else first["row"] == row)


# ---- parts of a corpus -----------------------------------------------------------------------


def cut(corpus: Corpus, target: Path, part: Part) -> Path:
    """A folder of those clips of a corpus, their audio linked, under the names that `part` gives.

    Args: part, from a clip (city, location, device, scene, ... by name) to the city, location and
        device it is to have; None leaves it out. Of two clips under one name the first is taken.
    """
    names: dict[str, list[str]] = {"train": [], "test": []}
    (target / "audio").mkdir(parents=True)
    for clip in corpus.clips.query("split != 'unused'").to_dict("records"):
        if (own := part(clip)) is None:
            continue
        scene, _, _, segment, piece, _ = clip["identifier"].split("-")
        name = f"audio/{scene}-{own[0]}-{own[1]}-{segment}-{piece}-{own[2]}.wav"
        if not (target / name).exists():
            os.link(corpus.root / clip["filename"], target / name)
            names[clip["split"]].append(name)
    write_index(target, names["train"], names["test"])
    return target
