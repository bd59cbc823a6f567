"""What the embedded corpus is like, measured with a classifier that is trained in seconds.

    python -m studies dataset

All is measured on two renderings of the corpus: what holds on one alone is said of that one. The
linear reference (`studies.linear`) tells how far each way of splitting flatters, what may be known
beforehand of devices that nobody has heard, and how much of the task is linear; the committed
student is heard beside it. The reference's strength is chosen on training clips, held out by
location. Intervals are over locations and, on test clips, over the folds' classifiers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from asclib.challenge import UNSEEN_DEVICES
from asclib.corpus import places
from asclib.evaluation import evaluate
from asclib.evaluation.statistics import difference, gap, score, verdict
from asclib.evaluation.systems import Clips, System
from asclib.listen import student_of
from asclib.progress import progress
from asclib.runs import Experiment
from asclib.training import predict, probabilities
from studies import heldout, renderings
from studies.command import Commands, add_command, origin
from studies.components import of_bands
from studies.heldout import DEFAULT_STRENGTH, OTHERS, Part, Right
from studies.linear import STRENGTHS
from studies.models import files
from studies.splits import FOLDS, SPLITS
from studies.verdicts import figures, weighted

SECOND = 1  # corpus seed of the second rendering


def add_parser(commands: Commands) -> None:
    add_command(commands, "dataset", _dataset, seeds=2, profile="study")


def _dataset(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    return origin(experiment) | dataset(both(experiment), options.seeds)


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
        `costs` of a device not heard, `choices` of the strength, `profile` by device, `components`
        of variance; then `crossed`, either learnt from and heard on either; and the student's
        scores, its `gaps` by device and its `lead` over the reference.
    """
    parts = [Part.of(one) for one in experiments]
    tables: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in ("ways", "shared", "devices", "costs", "choices", "profile", "components")
    }
    known = []
    for part in progress(parts, label="renderings"):
        found = heldout.heard(part, parts, seeds)
        known.append(found)
        rows = heldout.every(part, found, seeds)
        bands = part.experiment.clips("train").x[:, 0].mean(2).numpy()
        device = part.clips["device"].mode()[0]
        rows["components"] = of_bands(bands, part.clips, device)
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
        **student(parts, known[0], chosen[0]),
    }


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


def student(parts: Sequence[Part], known: Right, strength: float) -> dict[str, Any]:
    """The committed student on the tests of all parts: its scores, `gaps` by device, and its lead.

    `lead`: student less reference, both having learnt from the first part; a row for each test, and
    for all of them together, over all devices and over those that training lacks.
    """
    net = student_of(files("student")["weights"])
    said = [predict(net, part.experiment.clips("test").x) for part in parts]
    table = renderings.table({part.name: part.experiment.data for part in parts})
    p = np.concatenate([probabilities(one) for one in said])
    labels = np.concatenate([part.test_labels for part in parts])
    ours = (p.argmax(1) == labels).astype(float)[None]
    return {
        "student": _rounded(evaluate(p, table).table().to_dict("records")),
        "gaps": _rounded(gaps(ours, table)),
        "lead": _rounded(lead(ours, parts, table, known, strength)),
    }


def gaps(ours: np.ndarray, table: pd.DataFrame) -> list[dict[str, Any]]:
    """How much worse the student is on one kind of device than on another, at the same places."""
    device = table["device"]
    kinds = {"a": device == "a", "others": device.isin(OTHERS)}
    kinds["unseen"] = device.isin(UNSEEN_DEVICES)
    clips, one, rows = Clips.of(table), System("student", ours, (0,)), []
    for worse, better in (("others", "a"), ("unseen", "others"), ("unseen", "a")):
        these, those = kinds[worse].to_numpy(), kinds[better].to_numpy()
        if these.any() and those.any():
            found = figures(gap(one, clips, these, those))
            rows.append({"gap": f"{worse}, from {better}"} | found)
    return rows


def lead(
    ours: np.ndarray, parts: Sequence[Part], table: pd.DataFrame, known: Right, strength: float
) -> list[dict[str, Any]]:
    heard = [heldout.system(known, f"test of {part.name}", strength) for part in parts]
    rival = replace(heard[0], values=np.concatenate([one.values for one in heard], axis=1))
    own = System("student", ours, (-1,))  # no seed of the rival's
    groups = {part.name: (table["rendering"] == part.name).to_numpy() for part in parts}
    groups["all"] = np.ones(len(table), bool)
    groups["all, unseen devices"] = table["device"].isin(UNSEEN_DEVICES).to_numpy()
    rows = []
    for name, mask in groups.items():
        if mask.any():
            found = difference(own.on(mask), rival.on(mask), Clips.of(table[mask]))
            rows.append({"heard": name} | figures(found))
    return rows


def _rounded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: round(v, 5) if isinstance(v, float) else v for name, v in row.items()}
        for row in rows
    ]
