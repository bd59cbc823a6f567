"""The best few of a search, trained to the end beside the authors' choice, by two readers.

A search compares hundreds of points by short trainings of one seed, so its best is flattered and
may only be quick. Here the best few and the authors' choice are trained anew: by the network and
the plan of the search, from other seeds; and by a second reader, the student's own plan, for an
input with TMSIC's form, as wide as its MACs on the authors' input allow. The test is read here for
the first time, and Dunnett's intervals hold for all finalists at once.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from asclib.evaluation import control
from asclib.evaluation.systems import Clips, System
from asclib.runs.data import Data
from asclib.runs.run import Run, build
from asclib.training import macro_accuracy, predict
from asclib.tuning.architecture import Architecture, Searched, cost, widest
from asclib.tuning.features import Configuration
from asclib.tuning.search import PLAN, Point, Search

NUMBER = 4  # finalists beside the authors' choice
AUTHORS = 0  # the number of their trial
Reader = Callable[[Search, Point, int], Run]


def finalists(search: Search, study: optuna.Study, number: int = NUMBER) -> dict[int, Point]:
    """The authors' choice and the finished trials with the best validation accuracy, by number.

    A point counts once, whoever tried it again: a trial whose worker died has another number.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    points = {AUTHORS: search.start}
    for trial in sorted(finished, key=lambda trial: -(trial.value or 0.0)):
        point = search.point(trial)
        if len(points) <= number and point not in points.values():
            points[trial.number] = point
    return points


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises: ValueError for a single seed, which has no spread, and for one named twice."""
    if len(set(seeds)) < max(2, len(seeds)):
        given = " ".join(map(str, seeds))
        raise ValueError(f"seeds {given}: name two or more with --seeds, each once")


def as_searched(search: Search, point: Point, seed: int) -> Run:
    """The network and the plan of the search, to the end of its epochs, on all clips to fit."""
    plan = replace(PLAN, epochs=search.effort.epochs)
    return Run(search.network(point), _data(search, point), plan, seed)


def as_student(search: Search, point: Point, seed: int) -> Run:
    """The plan of the profile's student; an input is read by TMSIC's form at TMSIC's own MACs."""
    if isinstance(point, Configuration):
        form = widest(Architecture(), point.log_mel().shape(), cost(Architecture()).macs)
    else:
        form = point
    network = functools.partial(Searched, form)
    return Run(network, _data(search, point), search.experiment.profile.student, seed)


READERS: dict[str, Reader] = {"search": as_searched, "student": as_student}


def _data(search: Search, point: Point) -> Data:
    if isinstance(point, Configuration):
        return replace(search.data, front_end=point.log_mel())
    return search.data


def finals(
    search: Search, study: optuna.Study, seeds: Sequence[int], number: int = NUMBER
) -> list[dict[str, Any]]:
    """Every finalist by every reader, each from the same seeds.

    Returns: rows: reader, number of the trial, parameters and MACs of what reads it, and of
        `validation` and `test` the macro accuracy of each seed; of all but the authors' also
        `difference` to theirs on the test with `low`, `high` (Dunnett) and `verdict`.
    Raises: ValueError, as `check_seeds`.
    """
    check_seeds(seeds)
    points = finalists(search, study, number)
    runs = {
        (reader, who): [make(search, point, seed) for seed in seeds]
        for reader, make in READERS.items()
        for who, point in points.items()
    }
    build([run for each in runs.values() for run in each])
    table = search.data.table("test")
    clips, rows = Clips.of(table), []
    for reader in READERS:
        systems, own = {}, []
        for who in points:
            row, right = _row(runs[reader, who])
            own.append({"reader": reader, "number": who} | row)
            systems[who] = System(str(who), right, tuple(seeds))
        rivals = [one for who, one in systems.items() if who != AUTHORS]
        found = control.against(systems[AUTHORS], rivals, clips)
        for row in own:
            if row["number"] != AUTHORS:
                one = found[str(row["number"])]
                ends = {"difference": one.estimate, "low": one.low, "high": one.high}
                row |= {name: round(value, 5) for name, value in ends.items()}
                row["verdict"] = str(one.verdict)
        rows += own
    return rows


def _row(runs: Sequence[Run]) -> tuple[dict[str, Any], np.ndarray]:
    """What one point's runs cost and score, and which test clips each has right (runs, clips)."""
    network = runs[0].network()
    assert isinstance(network, Searched)
    shape = tuple(runs[0].data.clips("validation").x.shape[1:])
    parameters, macs = cost(network.architecture, shape)
    row: dict[str, Any] = {"parameters": parameters, "macs": macs}
    right = []
    for split in ("validation", "test"):
        clips = runs[0].data.clips(split)
        logits = [predict(run.net(), clips.x) for run in runs]
        row[split] = [round(macro_accuracy(one, clips.labels), 5) for one in logits]
        right = [(one.argmax(1) == clips.labels).double().numpy() for one in logits]
    return row, np.stack(right)
