"""Other sets of recordings, and one's own, written as a folder in TAU's layout.

    python -m asclib corpus adapt eigenscape|demand|cochlscene|tau2020|folder SOURCE TARGET

A recording is resampled to 44.1 kHz in one piece, cut into seconds, and all its seconds lie on one
side of the split, with all others of its place. Where a set brings a split, that one is kept; else
places go to the test split in an order that follows from the seed and their names alone. TARGET
holds a SOURCE.md beside the tables: whose recordings these are, and under which licence.

Chapter: book/practice/tau.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import soundfile

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.folder import Corpus
from asclib.corpus.recording import Recording, unheard
from asclib.corpus.sources import SOURCES, Source, Take, field
from asclib.corpus.tables import EVALUATE, META, TEST, TRAIN, CorpusError
from asclib.progress import progress

SCALE = 2**23  # of whole numbers of 24 bits
TEST_SHARE = 0.25  # of the recordings of each scene, where a set brings no split


@dataclass(frozen=True)
class Adapted:
    """What `adapt` has written.

    Attributes: corpus, opened; classes, its scenes in alphabetical order; source, whose recordings
    they are, and licence; recordings, how many; problems, what was left out and why; untested,
    scenes whose recordings come from one place, which is in training.
    """

    corpus: Corpus
    classes: tuple[str, ...]
    source: Source
    licence: str
    recordings: int
    problems: tuple[CorpusError, ...]
    untested: tuple[str, ...]


def adapt(
    kind: str,
    source: str | Path,
    target: str | Path,
    *,
    labels: Mapping[str, str] | None = None,
    test: Sequence[str] = (),
    test_share: float = TEST_SHARE,
    seed: int = 0,
    licence: str | None = None,
    workers: int = 1,
) -> Adapted:
    """Write a corpus from recordings; `asclib.corpus.sources` says how each kind is laid out.

    Args:
        kind: a name in SOURCES.
        source: the folder with the recordings; it is only read.
        target: a folder that is not there yet, or empty. It appears when all is written.
        labels: other names for classes or, of DEMAND, environments, such as {"TBUS": "bus"}; two
            may have one name.
        test: places for the test split, chosen by hand instead of by seed and share.
        test_share: of the recordings of each scene; at least one place is for testing, and one
            for training.
        licence: of recordings of one's own, and whose they are.
        workers: threads that cut recordings.

    Raises: ValueError for a kind, share, label, place or target that cannot be; CorpusError where
    the source is not laid out as that kind, or nothing of it is left.
    """
    if kind not in SOURCES:
        raise ValueError(f"no kind {kind!r}: choose one of {', '.join(SOURCES)}")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share is {test_share}: give a share between 0 and 1")
    source, target = Path(source).expanduser(), Path(target).expanduser()
    _check_target(source, target)
    origin = SOURCES[kind]
    takes = _relabelled(origin.find(source), labels or {})
    _check_names(takes)
    _check_places(takes, test)
    target = target.resolve()
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    (partial / "audio").mkdir(parents=True)
    try:
        cut = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
            joblib.delayed(_cut)(take, partial) for take in takes
        )
        clips, problems = {}, []
        for take, (names, wrong) in zip(
            takes, progress(cut, total=len(takes), label="recordings"), strict=True
        ):
            problems += wrong
            if names:
                clips[take] = names
        if not clips:
            raise problems[0]
        splits = _splits(list(clips), test, test_share, seed)
        licence = licence or origin.licence
        _write_tables(partial, clips, splits)
        how = f"seed {seed}, a share of {test_share:g} to the test split"
        if test:
            how = f"tested on {', '.join(test)}"
        elif next(iter(clips)).split:
            how = "the publishers' own"
        (partial / "SOURCE.md").write_text(_credits(origin, licence, how), encoding="utf-8")
        if target.is_dir():
            target.rmdir()  # empty, as checked
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    classes = tuple(sorted({take.scene for take in clips}))
    tested = {take.scene for take, split in splits.items() if split == "test"}
    return Adapted(
        Corpus.open(target, classes=classes, devices=None),
        classes,
        origin,
        licence,
        len(clips),
        tuple(problems),
        tuple(scene for scene in classes if scene not in tested),
    )


def _check_target(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise ValueError(f"{source} is no folder: name the one with the recordings")
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise ValueError(f"{target} lies in {source}, which is only read: name another target")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is not empty: name a folder that is not there yet")


def _relabelled(takes: list[Take], labels: Mapping[str, str]) -> list[Take]:
    known = {name for take in takes for name in take.labels}
    for name in labels:
        if name not in known:
            raise ValueError(f"no class {name!r} to rename: there are {', '.join(sorted(known))}")
    return [
        take._replace(
            scene=field(next((labels[n] for n in take.labels if n in labels), take.scene))
        )
        for take in takes
    ]


def _check_names(takes: list[Take]) -> None:
    """Two recordings may not come to one name."""
    first: dict[str, Path] = {}
    for take in takes:
        name = f"{take.name}-{take.device}"
        if name in first:
            problem = f"would have the name of {first[name]}, {name}"
            raise CorpusError(
                str(take.path), None, problem, "rename one of the two, or move it away"
            )
        first[name] = take.path


def _check_places(takes: list[Take], test: Sequence[str]) -> None:
    there = {name for take in takes for name in (take.place, take.location)}
    for place in test:
        if place not in there:
            known = ", ".join(sorted({take.place for take in takes})[:10])
            raise ValueError(f"no place {place!r} to test on: there are {known}")


def _cut(take: Take, target: Path) -> tuple[list[str], list[CorpusError]]:
    """Write the seconds of a recording; returns their names and what was left out."""
    names: list[str] = []
    missing: Counter[str] = Counter()
    count = 0
    problems: list[CorpusError] = []
    try:
        for second in Recording.open(take.path).seconds(take.channel, rate=SAMPLE_RATE):
            whole = np.rint(second.astype(np.float64) * SCALE)  # as 24 bits will hold it
            if reason := unheard(whole):
                missing[reason] += 1
            else:
                name = f"audio/{take.name}-{count}-{take.device}"
                names.append(_write(second, whole, target, name))
            count += 1
    except CorpusError as error:
        problems.append(error)
    if not count and not problems:
        problem = "is shorter than a second"
        problems.append(CorpusError(str(take.path), None, problem, "leave it out"))
    for reason, n in missing.items():
        problem = f"{n} of its {count} seconds are {reason} and left out"
        problems.append(
            CorpusError(str(take.path), None, problem, "record it again, or live with it")
        )
    return names, problems


def _write(second: np.ndarray, whole: np.ndarray, target: Path, name: str) -> str:
    """As FLAC of 24 bits; what exceeds its range, after resampling or in floats, as a float wav."""
    if whole.min() >= -SCALE and whole.max() < SCALE:
        name += ".flac"
        # whole numbers: of floats libsndfile would lose the last bit, for it scales by 2^23 - 1
        soundfile.write(target / name, whole.astype(np.int32) << 8, SAMPLE_RATE, subtype="PCM_24")
    else:
        name += ".wav"
        soundfile.write(target / name, second, SAMPLE_RATE, subtype="FLOAT")
    return name


def _splits(
    takes: list[Take], test: Sequence[str], test_share: float, seed: int
) -> dict[Take, str]:
    """Recording -> "train", "test" or "unused"."""
    if takes[0].split is not None and not test:
        return {take: take.split or "unused" for take in takes}
    if test:
        chosen = {take.place for take in takes if take.place in test or take.location in test}
    else:
        chosen = _chosen(takes, test_share, seed)
    return {take: "test" if take.place in chosen else "train" for take in takes}


def _chosen(takes: list[Take], test_share: float, seed: int) -> set[str]:
    """Places for the test split, visited in the order of a hash of the seed and their names.

    One is taken while every scene it has lacks test recordings, and keeps a place to train on. Then
    a scene still untested takes the first that leaves each of its scenes such a place.
    """
    count: dict[str, Counter[str]] = {}  # place -> recordings of each scene
    for take in takes:
        count.setdefault(take.place, Counter())[take.scene] += 1
    whole = sum(count.values(), Counter())
    wanted = {scene: max(1, round(test_share * n)) for scene, n in whole.items()}
    left = Counter(scene for scenes in count.values() for scene in scenes)  # places to train on
    order = sorted(count, key=lambda p: hashlib.sha256(f"{seed} {p}".encode()).digest())
    chosen: set[str] = set()

    def choose(place: str) -> None:
        chosen.add(place)
        for kind, n in count[place].items():
            wanted[kind] -= n
            left[kind] -= 1

    for place in order:
        if all(wanted[scene] > 0 and left[scene] > 1 for scene in count[place]):
            choose(place)
    for scene in sorted(whole):  # where it shares its places with scenes that had enough
        tested = any(scene in count[place] for place in chosen)
        free = [p for p in order if scene in count[p] and all(left[s] > 1 for s in count[p])]
        if free and not tested:
            choose(free[0])
    return chosen


def _write_tables(
    folder: Path, clips: Mapping[Take, list[str]], splits: Mapping[Take, str]
) -> None:
    rows: dict[str, list[list[str]]] = {META: [], TRAIN: [], TEST: [], EVALUATE: []}
    for take, names in clips.items():
        rows[META] += [[name, take.scene, take.place, take.device] for name in names]
        if splits[take] == "train":
            rows[TRAIN] += [[name, take.scene] for name in names]
        elif splits[take] == "test":
            rows[TEST] += [[name] for name in names]
            rows[EVALUATE] += [[name, take.scene] for name in names]
    for table, split in ((TRAIN, "training"), (TEST, "testing")):
        if not rows[table]:
            problem = f"would have no recordings for {split}"
            raise CorpusError(table, None, problem, "give two places or more, or choose others")
    header = ["filename", "scene_label", "identifier", "source_label"]
    (folder / TRAIN).parent.mkdir()
    for name, lines in rows.items():
        text = ["\t".join(line) for line in [header[: len(lines[0])], *lines]]
        (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")


def _credits(source: Source, licence: str, split: str) -> str:
    """What SOURCE.md says."""
    return (
        f"# {source.title}\n\n{source.authors}\n\n"
        f"Licence: {licence}\n\n{source.address}\n\n"
        "Cut into seconds of 44.1 kHz, one channel, by `python -m asclib corpus adapt`. "
        f"Split by place: {split}.\n"
    )
