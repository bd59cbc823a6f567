"""What the embedded corpus is like, measured with a classifier that is trained in seconds.

    python -m studies dataset             all of it
    python -m studies dataset --later     the tables of `later` alone, into the file that there is

All is measured on two renderings of the corpus: what holds on one alone is said of that one. The
linear reference (`studies.linear`) tells how far each way of splitting flatters, what may be known
beforehand of devices that nobody has heard, and how much of the task is linear. The committed
student is heard beside it, on five tests (`studies.reading`). The reference's strength is chosen on
training clips, held out by location. Intervals are over locations and, on test clips, over the
folds' classifiers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from asclib.corpus import places
from asclib.evaluation.statistics import difference, score, verdict
from asclib.evaluation.systems import Clips
from asclib.progress import progress
from asclib.runs import Experiment
from studies import heldout, reading, unheard
from studies.command import Commands, add_command, origin
from studies.components import of_bands, shape
from studies.heldout import DEFAULT_STRENGTH, Part, Right
from studies.linear import STRENGTHS
from studies.splits import FOLDS, SPLITS
from studies.verdicts import figures, weighted

SECOND = 1  # corpus seed of the second rendering


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "dataset", _dataset, seeds=2, profile="study")
    parser.add_argument("--later", action="store_true", help="the tables of `later` alone")


def _dataset(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    if not options.later:
        return origin(experiment) | dataset(both(experiment), options.seeds)
    kept = json.loads(options.output.read_text())
    if kept["size"] != asdict(experiment.profile.corpus):
        raise ValueError(f"{options.output} is of a corpus of another size: leave out --later")
    parts = [Part.of(one) for one in both(experiment)]
    found = later(parts, [kept["chosen"][part.name] for part in parts], options.seeds)
    return kept | found | {"later": origin(experiment) | {"tables": list(found)}}


def both(experiment: Experiment) -> list[Experiment]:
    """The experiment and the same on a second rendering; a folder of recordings is alone."""
    if experiment.data_root is not None:
        return [experiment]
    size = replace(experiment.profile.corpus, seed=SECOND)
    if size == experiment.profile.corpus:
        raise ValueError(f"corpus seed {SECOND} is that of the experiment: take another profile")
    return [experiment, Experiment(replace(experiment.profile, corpus=size))]


def dataset(experiments: Sequence[Experiment], seeds: Sequence[int]) -> dict[str, Any]:
    """The figures of `results/dataset.json`.

    Args: experiments, the renderings, the first being the one that the student has learnt from;
        seeds of the folds.
    Returns: by rendering, tables of accuracies as fractions with 95 % intervals: `ways` of holding
        out and what each promises at each strength, `shared` relatives, `devices` of each kind,
        `costs` of a device not heard, `choices` of the strength; then `crossed`, either learnt from
        and heard on either; and the tables of `later`.
    """
    parts = [Part.of(one) for one in experiments]
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("ways", "shared", "devices", "costs", "choices")
    }
    known = []
    for part in progress(parts, label="renderings"):
        found = heldout.heard(part, parts, seeds)
        known.append(found)
        rows = heldout.every(part, found, seeds)
        for name, more in rows.items():
            tables[name] += [{"rendering": part.name} | row for row in more]
    chosen = [heldout.strength(found) for found in known]
    splits = ("train", "fit", "validation", "test")
    first = experiments[0]
    return {
        "size": asdict(first.profile.corpus),
        "renderings": [part.name for part in parts],
        "clips": {name: len(first.table(name)) for name in splits},
        "locations": {name: int(places(first.table(name)).nunique()) for name in splits},
        "strengths": list(STRENGTHS),
        "default": DEFAULT_STRENGTH,
        "chosen": dict(zip([part.name for part in parts], chosen, strict=True)),
        "folds": FOLDS,
        "seeds": list(seeds),
        "ways_of_splitting": list(SPLITS),
        **{name: _rounded(rows) for name, rows in tables.items()},
        "crossed": _rounded(crossed(parts, known, chosen)),
        **later(parts, chosen, seeds),
    }


def later(
    parts: Sequence[Part], chosen: Sequence[float], seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """The tables that need of the others only the strengths chosen.

    By rendering `components` of variance, `shapes`, the same of spectra less their own mean over
    bands, which no gain can move, `distances` of devices and `unheard` (`studies.unheard`); and
    those of `studies.reading`.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for part, strength in zip(parts, chosen, strict=True):
        bands = part.x[:, : part.x.shape[1] // 2]
        device = part.clips["device"].mode()[0]
        found = {
            "components": of_bands(bands, part.clips, device),
            "shapes": of_bands(shape(bands), part.clips, device),
            "distances": unheard.distances(part),
            "unheard": unheard.costs(part, unheard.answered(part, strength, seeds)),
        }
        for name, rows in found.items():
            tables.setdefault(name, []).extend({"rendering": part.name} | row for row in rows)
    tables |= reading.tables(parts[0], chosen[0], seeds)
    return {name: _rounded(rows) for name, rows in tables.items()}


def crossed(
    parts: Sequence[Part], known: Sequence[Right], chosen: Sequence[float]
) -> list[dict[str, Any]]:
    """The reference of each rendering on the test of each, and what learning from its own adds.

    "own, less NAME": on the same test clips, learnt from the rendering that is heard, less learnt
    from another; at last their mean over both tests.
    """
    rows, gains = [], []
    for heard in parts:
        systems = {
            learnt.name: heldout.system(found, f"test of {heard.name}", strength, 100 * k)
            for k, (learnt, found, strength) in enumerate(zip(parts, known, chosen, strict=True))
        }
        clips = Clips.of(heard.test_clips)
        for name, one in systems.items():
            rows.append({"heard": heard.name, "learnt": name} | figures(score(one, clips)))
        for name, one in systems.items():
            if name != heard.name:
                gains.append(difference(systems[heard.name], one, clips))
                row = {"heard": heard.name, "learnt": f"own, less {name}"}
                rows.append(row | figures(gains[-1]))
    if len(gains) == 2:
        mean = weighted(gains, (0.5, 0.5))
        rows.append({"heard": "both", "learnt": "own, less other"} | figures(mean))
        rows[-1]["verdict"] = str(verdict(mean.low, mean.high))
    return rows


def _rounded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: round(v, 5) if isinstance(v, float) else v for name, v in row.items()}
        for row in rows
    ]
