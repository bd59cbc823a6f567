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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from asclib import keys
from asclib.evaluation.statistics import difference
from asclib.runs import Experiment, Run, build
from asclib.training import Training
from studies import effort, renderings
from studies.arms import Design
from studies.command import Commands, add_command
from studies.ready import runs_of
from studies.record import Record, key_of
from studies.sitting import Sitting, add_options
from studies.verdicts import plain, sentence, shared

EPOCHS = 24  # of a student
STEPS = 500  # of healing or of fine-tuning, at the least
TEACHER = 0  # the seed of the one who teaches
Pairs = Sequence[tuple[str, str]]  # arms whose difference is asked for, the primary one first


class OfRun(Protocol):
    """Makes a network of a trained run, as `Narrowed` does."""

    @property
    def of(self) -> Run: ...

    def __call__(self) -> nn.Module: ...


@dataclass(frozen=True)
class Made:
    """A network that needs no training, with what a run has: `network` makes it of one."""

    network: OfRun

    @functools.cached_property
    def store_key(self) -> str:
        return keys.digest(["made", self.network])

    def net(self) -> nn.Module:
        """The network, in inference mode."""
        return self.network().eval()


@dataclass(frozen=True)
class Arm:
    """A network to be compared.

    Args: name, of a file as well; made, the run or what is made of one; of, what a row says of it
        in plain json values.
    """

    name: str
    made: Run | Made
    of: dict[str, Any]

    @property
    def run(self) -> Run:
        """The training that ends in it, or in what it is made of."""
        return self.made if isinstance(self.made, Run) else self.made.network.of

    @property
    def runs(self) -> list[Run]:
        """That training, and those that it goes on from."""
        found: list[Run] = []
        run: Run | None = self.run
        while run is not None:
            found.append(run)
            run = run.start or getattr(run.network, "of", None)
        return found

    @property
    def epochs(self) -> int:
        """In all: its own, and those of what it goes on from."""
        return sum(run.plan.epochs for run in self.runs)

    @property
    def is_taught(self) -> bool:
        """Whether a teacher takes part."""
        return any(run.lesson is not None for run in self.runs)

    def key(self, seed: int, candidate: str) -> dict[str, Any]:
        """What tells its row from all others of the file."""
        return key_of(self.name, candidate if self.is_taught else None, TEACHER, seed, self.epochs)


# ---- the command ---------------------------------------------------------------------------------


def add_study(
    commands: Commands, name: str, work: Callable[[argparse.Namespace], None], seeds: int
) -> None:
    """Register the command of a study, whose `work` is `run_study`."""
    parser = add_command(commands, name, work, profile="study", seeds=seeds)
    add_options(parser)
    add = parser.add_argument
    add("--plan", action="store_true", help="print power and cost, and train nothing")
    add("--epochs", type=int, default=EPOCHS, help=f"of a student; default: {EPOCHS}")
    add("--steps", type=int, default=STEPS, help=f"afterwards, at the least; default: {STEPS}")
    add("--only", nargs="+", metavar="ARM", help="networks by name, as in the file; default: all")
    add("--clips-per-second", type=float, help="of one core, for the cost; default: timed")


def run_study(
    options: argparse.Namespace,
    arms: Callable[[Sitting, int, int, int, int], Sequence[Arm]],
    study: Callable[[Sitting, list[int], Path, int, int, Sequence[str] | None], None],
) -> None:
    """Do what the options ask for: print the plan, or train what is missing.

    Args: arms, of a sitting, seed, epochs of a student, steps afterwards and clips to fit; study,
        of a sitting, seeds, output, epochs, steps and the names of arms.
    """
    sitting, size = Sitting.of(options), (options.epochs, options.steps)
    if options.plan:  # nothing is rendered for it
        clips = effort.clips_to_fit(sitting.first)
        one_seed = chosen(arms(sitting, 0, *size, clips), options.only)
        speed = options.clips_per_second or effort.clips_per_second()
        print("\n".join(plan(sitting, one_seed, len(options.seeds), speed)))
    else:
        study(sitting, options.seeds, options.output, *size, options.only)


# ---- arms ----------------------------------------------------------------------------------------


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


def plan(sitting: Sitting, arms: Sequence[Arm], seeds: int, speed: float) -> list[str]:
    """What the study sees and costs, in lines of text.

    Args: arms of one seed; speed of a core, in clips a second.
    """
    clips = effort.clips_to_fit(sitting.first)
    runs = dict.fromkeys(run for arm in arms for run in arm.runs)
    epochs = [run.plan.epochs for run in runs]
    hours = effort.core_hours(epochs * seeds, clips, speed)
    return [
        *effort.what_is_seen(seeds=max(2, seeds), teachers=1, locations=sitting.places),
        f"{seeds} seeds of {len(arms)} networks, {len(runs)} of them trained for {sum(epochs)} "
        f"epochs in all; the longest for {max(arm.epochs for arm in arms)}, with what it is of.",
        f"About {clips} clips to fit, {speed:.0f} of them a second: {hours:.1f} core-hours at the "
        "most, as if all were as wide as the student; the teacher, rounding and scoring on top.",
    ]


# ---- the runs ------------------------------------------------------------------------------------


def record_of(sitting: Sitting, output: Path, made_with: dict[str, Any]) -> Record:
    """The record to add to. Args: made_with, what all rows share beside what the sitting says.

    Raises: ValueError for a file of another form, which is left alone, or of other settings.
    """
    folder = output.with_suffix("")
    if output.is_file() and not (folder / "clips.npz").is_file():
        raise ValueError(
            f"{output} has no answers in {folder}: it is of another study, or they are lost; move "
            "it away, or give another --output"
        )
    number = {split: len(sitting.first.table(split)) for split in ("fit", "test")}
    made_with = sitting.made_with() | made_with | {"clips": number}
    return Record(output, made_with, renderings.table(sitting.tests))


def compare(
    sitting: Sitting,
    record: Record,
    arms: Callable[[int], Sequence[Arm]],
    only: Sequence[str] | None,
    seeds: Sequence[int],
    measured: Callable[[Arm, nn.Module, np.ndarray], dict[str, Any]],
    pairs: Pairs,
) -> None:
    """Train what is missing, seed by seed, add each arm to the record, and write the differences.

    Args: arms of a seed; only, the names of those to train; measured, what else a row says, of the
        arm, its network and its logits (clips, classes) for all the tests; pairs, see `decide`.
    Raises: ValueError when an arm that is there was made in another way.
    """
    for seed in seeds:
        asked = [
            arm
            for arm in chosen(arms(seed), only)
            if not record.holds(
                arm.key(seed, sitting.candidate), {"made": arm.made.store_key}, own=("made",)
            )
        ]
        if any(arm.is_taught for arm in asked):
            build(runs_of(sitting.teacher(TEACHER)))
        build([arm.run for arm in asked])
        for arm in asked:
            net = functools.cache(arm.made.net)  # dear to build, and asked about every test
            logits = renderings.said_of_tests(arm.made, sitting.tests, net)
            row = arm.key(seed, sitting.candidate) | arm.of | {"made": arm.made.store_key}
            row |= {"corpus": sitting.corpus, "processor": keys.processor()}
            if isinstance(arm.made, Run):
                row["seconds"] = round(arm.made.seconds(), 1)
            record.add_logits(row, logits, measured(arm, net(), logits))
    found = decide(record, arms(seeds[0]), pairs, sitting.candidate)
    record.settings |= {"differences": found, "primary": list(pairs[0])}
    record.write()
    print("\n".join(sentence(row) for row in found))


def decide(
    record: Record, arms: Sequence[Arm], pairs: Pairs, candidate: str
) -> list[dict[str, Any]]:
    """The differences of the arms that are there, the primary one first; see `verdicts.plain`.

    Args: pairs, the names of two arms each. Left out is an arm that was not run yet, and a pair
        with fewer than two seeds in common.
    """
    epochs = {arm.name: arm.epochs for arm in arms}
    found = []
    for pair in pairs:
        if not all(name in record.arms(epochs[name], candidate) for name in pair):
            continue
        for measure in ("accuracy", "log_loss"):
            systems = [record.system(name, epochs[name], candidate, measure) for name in pair]
            if len(set(systems[0].seeds) & set(systems[1].seeds)) < 2:
                continue
            row: dict[str, Any] = dict(zip(("system", "base"), pair, strict=True))
            row |= {"epochs": epochs[pair[0]], "measure": measure}
            row["primary"] = pair == pairs[0] and measure == "accuracy"
            found.append(row | plain(difference(*shared(*systems), record.clips, measure)))
    return found
