"""The committed student beside the linear reference, on the tests of five renderings.

Both have learnt from the first: the student from its fit clips, the reference on folds, held out by
location.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from asclib.challenge import DEVICES, SCENES, UNSEEN_DEVICES
from asclib.evaluation import evaluate
from asclib.evaluation.statistics import difference, gap, score
from asclib.evaluation.systems import Clips, Measure, System
from asclib.listen import student_of
from asclib.progress import progress
from asclib.training import predict, probabilities
from studies import renderings
from studies.heldout import OTHERS, Part
from studies.linear import Asked, crossed, summary
from studies.models import files
from studies.splits import folds
from studies.verdicts import figures, weighted


class Tests(NamedTuple):
    """Test clips of several renderings: their table, labels, summaries, and the student's answers.

    p: probabilities (clips, classes).
    """

    table: pd.DataFrame
    labels: np.ndarray
    x: np.ndarray
    p: np.ndarray

    @classmethod
    def of(cls, part: Part) -> Tests:
        """Of all tests that may be had, and the committed student."""
        data = renderings.every_test(part.experiment)
        clips = [one.clips("test") for one in data.values()]
        net = student_of(files("student")["weights"])
        return cls(
            renderings.table(data),
            np.concatenate([one.labels.numpy() for one in clips]),
            np.concatenate([summary(one.x) for one in clips]),
            np.concatenate([probabilities(predict(net, one.x)) for one in clips]),
        )


def tables(part: Part, strength: float, seeds: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """The student's scores, what it has `mixed`, its `lead`; `gaps` of both, and `profile`."""
    tests = Tests.of(part)
    right = (tests.p.argmax(1) == tests.labels).astype(float)[None]
    student, linear = System("student", right, (-1,)), read(part, tests, strength, seeds)
    loss = -np.log(tests.p[np.arange(len(tests.p)), tests.labels].clip(1e-12))[None]
    scores = evaluate(tests.p, tests.table).table()
    return {
        "student": [{str(k): v for k, v in row.items()} for row in scores.to_dict("records")],
        "gaps": [
            *gaps(student, tests.table),
            *gaps(linear, tests.table),
            *gaps(replace(student, values=loss), tests.table, "log_loss"),
        ],
        "profile": profile(linear, tests.table),
        "lead": lead(student, linear, tests),
        "mixed": mixed(tests),
        "draws": draws(student, tests.table),
    }


def read(part: Part, tests: Tests, strength: float, seeds: Sequence[int]) -> System:
    """The linear reference of the part on the tests: a run for each fold of each seed."""
    right = []
    for seed in progress(seeds, label="linear reference"):
        fold = folds(part.clips, "location", seed)
        asked = {"": Asked(tests.x, tests.labels)}
        right.append(crossed(part.x, part.labels, fold, asked, (strength,))[""][0])
    values = np.concatenate(right)
    return System("linear", values, tuple(range(len(values))))


def gaps(one: System, table: pd.DataFrame, measure: Measure = "accuracy") -> list[dict[str, Any]]:
    """How much worse a system is on one kind of device than on another, at the same places.

    Points as fractions, or nats, under "accuracy" or "log_loss".
    """
    device = table["device"]
    kinds = {"a": device == "a", "others": device.isin(OTHERS)}
    kinds["unseen"] = device.isin(UNSEEN_DEVICES)
    clips, rows = Clips.of(table), []
    for worse, better in (("others", "a"), ("unseen", "others"), ("unseen", "a")):
        these, those = kinds[worse].to_numpy(), kinds[better].to_numpy()
        if these.any() and those.any():
            found = figures(gap(one, clips, these, those, measure), measure)
            rows.append({"system": one.name, "gap": f"{worse}, from {better}"} | found)
    return rows


def profile(one: System, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Accuracy of a system by device."""
    device, rows = table["device"].to_numpy(), []
    for name in DEVICES:
        if (mask := device == name).any():
            found = figures(score(one.on(mask), Clips.of(table[mask])))
            rows.append({"device": name} | found)
    return rows


def lead(ours: System, rival: System, tests: Tests) -> list[dict[str, Any]]:
    """The student less the reference: on each test, on all, and there on unheard devices."""
    rendering = tests.table["rendering"]
    groups = {name: (rendering == name).to_numpy() for name in rendering.unique()}
    groups["all"] = np.ones(len(rendering), bool)
    groups["all, unseen devices"] = tests.table["device"].isin(UNSEEN_DEVICES).to_numpy()
    rows = []
    for name, mask in groups.items():
        if mask.any():
            found = difference(ours.on(mask), rival.on(mask), Clips.of(tests.table[mask]))
            rows.append({"heard": name} | figures(found))
    return rows


def draws(one: System, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Its score on each test, and that on its own rendering's less that on all further ones."""
    rendering = table["rendering"]
    own = rendering == renderings.OWN
    groups = {name: rendering == name for name in rendering.unique()} | {"further": ~own}
    found = {
        name: score(one.on(mask.to_numpy()), Clips.of(table[mask]))
        for name, mask in groups.items()
        if mask.any()
    }
    rows = [{"heard": name} | figures(each) for name, each in found.items()]
    if "further" in found:
        apart = weighted((found[renderings.OWN], found["further"]), (1, -1))
        rows.append({"heard": "own, less further"} | figures(apart))
    return rows


def mixed(tests: Tests) -> list[dict[str, Any]]:
    """Of each scene, the share of its clips in which the student says each other scene."""
    said = np.array(SCENES)[tests.p.argmax(1)]
    truth = tests.table["scene"].to_numpy()
    return [
        {"scene": scene, "says": says, "share": float((said[truth == scene] == says).mean())}
        for scene in SCENES
        for says in SCENES
        if (said[truth == scene] == says).any()
    ]
