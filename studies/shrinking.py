"""What the studies of pruning and of QAT share: arms of whole trainings, recorded one by one.

An arm is a network of a seed: a run, or what is made of one without any training. Each arm's
answers to the test clips are added to a `studies.record.Record` as soon as they are there, so that
a study that was cut off goes on from there, and what is finished can be committed. One teacher
answers for all seeds; one rule decides, `asclib.evaluation.statistics.difference`.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asclib import keys
from asclib.challenge import SCENES
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips
from asclib.runs import Experiment, Run, build
from asclib.training import Training, probabilities
from studies import effort, renderings
from studies.arms import Design
from studies.candidates import CANDIDATES
from studies.fair import scores
from studies.ready import runs_of
from studies.recipe import RECIPES
from studies.record import NOBODY, Record
from studies.sitting import Sitting
from studies.verdicts import plain, sentence, shared

EPOCHS = 24  # of a student
STEPS = 500  # of healing or of fine-tuning, at the least
TEACHER = 0  # the seed of the one who teaches
Pairs = Sequence[tuple[str, str]]  # arms whose difference is asked for, the primary one first


@dataclass(frozen=True)
class Made:
    """A network that needs no training, with what a run has: `network` makes it of one."""

    network: Callable[[], nn.Module]

    @functools.cached_property
    def store_key(self) -> str:
        return keys.digest(["made", self.network])

    def net(self) -> nn.Module:
        """The network, in inference mode."""
        return self.network().eval()


@dataclass(frozen=True)
class Arm:
    """A network to be compared.

    Args: name, of a file as well; made, the run or what is made of one; epochs in all; is_taught,
        by a teacher; of, what a row says of it in plain json values; after, the run that must be
        there before something is made of it.
    """

    name: str
    made: Run | Made
    epochs: int
    is_taught: bool
    of: dict[str, Any]
    after: Run | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of both commands."""
    add = parser.add_argument
    add("--plan", action="store_true", help="print power and cost, and train nothing")
    add("--epochs", type=int, default=EPOCHS, help=f"of a student; default: {EPOCHS}")
    add("--steps", type=int, default=STEPS, help=f"afterwards, at the least; default: {STEPS}")
    add("--only", nargs="+", metavar="ARM", help="networks by name, as in the file; default: all")
    add("--candidate", choices=CANDIDATES, help="who teaches; default: results/candidates.json")
    add("--recipe", choices=RECIPES, help="default: that of results/recipe.json")
    add("--renderings", type=int, nargs="*", default=renderings.FURTHER, help="default: 1 2 3 4")
    add("--clips-per-second", type=float, help="of one core, for the cost; default: timed")


def sitting_of(options: argparse.Namespace) -> Sitting:
    """What all runs have in common: everybody's augmentation, and the best teacher there is."""
    further = tuple(options.renderings)
    return Sitting.usual(
        options.profile, options.data_root, options.recipe, options.candidate, further
    )


def chosen(arms: Sequence[Arm], only: Sequence[str] | None) -> list[Arm]:
    """The arms of these names, or all. Raises: ValueError naming the arms there are."""
    names = [arm.name for arm in arms]
    if strangers := sorted(set(only or ()) - set(names)):
        raise ValueError(f"no arm {', '.join(strangers)}: choose of {', '.join(names)}")
    return [arm for arm in arms if only is None or arm.name in only]


def student(sitting: Sitting, arm: str, epochs: int, seed: int) -> Run:
    """A student of an arm of `studies.arms`, as in the decisive comparison but untuned."""
    design = Design(arm, epochs, (), sitting.batch)
    experiment = Experiment(sitting.profile, sitting.data_root, seed)
    return design.run(experiment, TEACHER, functools.partial(sitting.teacher, TEACHER))


def of_steps(plan: Training, clips: int, least: int) -> Training:
    """A plan with as many epochs as it takes to make so many steps on so many clips."""
    in_epoch = max(1, clips // min(plan.batch_size, clips))
    return replace(plan, epochs=max(plan.epochs, math.ceil(least / in_epoch)))


# ---- before it: power and cost -------------------------------------------------------------------


def plan(
    sitting: Sitting,
    arms: Sequence[Arm],
    seeds: int,
    speed: float,
) -> list[str]:
    """What the study sees and costs, in lines of text. Args: arms of one seed; speed of a core, in
    clips a second."""
    places = effort.LOCATIONS * (1 + len(sitting.further))
    if sitting.data_root is not None:
        places = len(Clips.of(renderings.table(sitting.tests)).strata)
    clips = effort.clips_to_fit(sitting.first)
    runs = dict.fromkeys(run for arm in arms for run in _trained(arm))
    epochs = [run.plan.epochs for run in runs]
    hours = effort.core_hours(epochs * seeds, clips, speed)
    return [
        *effort.what_is_seen(seeds=max(2, seeds), teachers=1, locations=places),
        f"{seeds} seeds of {len(arms)} networks, {len(runs)} of them trained for {sum(epochs)} "
        f"epochs in all; the longest for {max(arm.epochs for arm in arms)}, with what it is of.",
        f"About {clips} clips to fit, {speed:.0f} of them a second: {hours:.1f} core-hours at the "
        "most, as if all were as wide as the student; the teacher, rounding and scoring on top.",
    ]


def _trained(arm: Arm) -> Iterator[Run]:
    """The runs of an arm that are of this study, itself and what it goes on from."""
    todo = [arm.made if isinstance(arm.made, Run) else arm.after]
    while todo:
        run = todo.pop()
        if run is None:
            continue
        yield run
        todo += [run.start, getattr(run.network, "of", None)]


# ---- the runs ------------------------------------------------------------------------------------


def begun(output: Path, made_with: dict[str, Any], sitting: Sitting) -> Record:
    """The record to add to. Raises: ValueError for a file of another form, which is left alone."""
    folder = output.with_suffix("")
    if output.is_file() and not (folder / "clips.npz").is_file():
        raise ValueError(
            f"{output} has no answers in {folder}: it is of another study, or they are lost; move "
            "it away, or give another --output"
        )
    return Record(output, made_with, renderings.table(sitting.tests))


def compare(
    sitting: Sitting,
    record: Record,
    arms: Callable[[int], Sequence[Arm]],
    seeds: Sequence[int],
    measured: Callable[[Arm, nn.Module, np.ndarray], dict[str, Any]],
) -> None:
    """Train what is missing, seed by seed, and add each arm to the record.

    Args: arms of a seed; measured, what else a row says, of the arm, its network and its logits
        (clips, classes) for all the tests.
    Raises: ValueError when an arm that is there was made in another way.
    """
    truth = np.array([SCENES.index(scene) for scene in record.table["scene"]])
    for seed in seeds:
        asked = [
            arm
            for arm in arms(seed)
            if not record.holds(key(sitting, arm, seed), {"made": arm.made.store_key})
        ]
        if any(arm.is_taught for arm in asked):
            build(runs_of(sitting.teacher(TEACHER)))
        needed = [arm.made if isinstance(arm.made, Run) else arm.after for arm in asked]
        build([run for run in needed if run is not None])
        for arm in asked:
            said = [
                renderings.said(arm.made, data, "test")  # type: ignore[arg-type]  # it can be asked
                for data in sitting.tests.values()
            ]
            logits = np.concatenate(said)
            p = probabilities(torch.from_numpy(logits))
            losses = -np.log(p[np.arange(len(truth)), truth].clip(np.finfo(float).eps))
            row = key(sitting, arm, seed) | arm.of | {"made": arm.made.store_key}
            row |= {"corpus": sitting.corpus, "processor": keys.processor()}
            if isinstance(arm.made, Run):
                row["seconds"] = round(arm.made.seconds(), 1)
            row |= scores(p, record) | measured(arm, arm.made.net(), logits)
            record.add(row, p.argmax(1) == truth, losses)


def key(sitting: Sitting, arm: Arm, seed: int) -> dict[str, Any]:
    """What tells a row from all others of the file."""
    return {
        "arm": arm.name,
        "candidate": sitting.candidate if arm.is_taught else NOBODY,
        "teacher": TEACHER,
        "seed": seed,
        "epochs": arm.epochs,
        "second_rate": None,
    }


def decide(
    record: Record, arms: Sequence[Arm], pairs: Pairs, candidate: str
) -> list[dict[str, Any]]:
    """The differences of the arms that are there, the primary one first; see `verdicts.plain`.

    Arms that were not run yet, or with one seed in common, are left out.
    """
    epochs = {arm.name: arm.epochs for arm in arms}
    there = {
        (row["arm"], row["epochs"])
        for row in record.rows
        if row["candidate"] in (candidate, NOBODY)
    }
    found = []
    for one, other in pairs:
        if not {(one, epochs[one]), (other, epochs[other])} <= there:
            continue
        for measure in ("accuracy", "log_loss"):
            systems = [
                record.system(name, epochs[name], candidate, measure) for name in (one, other)
            ]
            if len(set(systems[0].seeds) & set(systems[1].seeds)) < 2:
                continue
            row = {"system": one, "base": other, "epochs": epochs[one], "measure": measure}
            row["primary"] = (one, other) == tuple(pairs[0]) and measure == "accuracy"
            found.append(row | plain(difference(*shared(*systems), record.clips, measure)))
    return found


def finish(record: Record, arms: Sequence[Arm], pairs: Pairs, candidate: str) -> None:
    """Write the differences into the record, and print them."""
    record.settings["differences"] = decide(record, arms, pairs, candidate)
    record.settings["primary"] = list(pairs[0])
    record.write()
    print("\n".join(sentence(row) for row in record.settings["differences"]))
