"""What a run of the book would cost: trainings, steps, core-hours and disk, before any of it runs.

Trainings are those that the chapters themselves ask for (`tools.rehearsal`); each is counted where
it is asked for first, with all that it needs. Time is that of a student's training, timed now
or given, times the multiply-accumulates of the network over the student's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from torch import nn

from asclib import keys, training
from asclib.challenge import LIMITS, SAMPLE_RATE
from asclib.complexity import complexity
from asclib.corpus.embedded import CorpusSize
from asclib.corpus.embedded.devices import HEADER_BYTES
from asclib.networks import TMSIC, look
from asclib.pretraining.methods import SelfSupervised
from asclib.runs import Data, Kept, Lesson, Run
from asclib.runs.data import Tensors
from asclib.training import Training
from asclib.tuning import Search
from asclib.tuning.search import PLAN
from studies.effort import clips_per_second
from tools.rehearsal import Asked, clips, rehearse, tables_alone

STUDENT = complexity(TMSIC()).macs
FORWARD = 1 / 3  # of a training step, which goes back through the network at twice the cost
MAPS = "a teacher's maps"
KINDS = (
    "the corpus",
    "features",
    "copies of splits",
    "clips in their versions",
    MAPS,
    "a teacher's other answers",
    "networks",
)
LIMITS_OF_THE_PLAN = """\
Hours are those of trainings and of a teacher's answers. Features, the versions of clips, figures,
predictions and the inputs of a search come on top; so do losses on maps (up to 15 % of a stage) and
fake quantisers. What the store holds already is not taken off."""


@dataclass(frozen=True)
class Span:
    """From the least to the most: a training may stop early."""

    least: float = 0.0
    most: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)

    def __mul__(self, factor: float) -> Span:
        return Span(self.least * factor, self.most * factor)

    def said(self, form: Callable[[float], str]) -> str:
        least, most = form(self.least), form(self.most)
        return least if least == most else f"{least} to {most}"


@dataclass(frozen=True)
class Piece:
    """One thing that lands in the store.

    size in bytes; steps of training; work in clips that a student is trained on.
    """

    kind: str
    size: float
    trainings: int = 0
    steps: Span = Span()
    work: Span = Span()


class Network(NamedTuple):
    """An untrained network, its multiply-accumulates for a clip, and how many numbers it holds."""

    net: nn.Module
    macs: int
    numbers: int


@dataclass
class Ledger:
    """Everything that is made, each thing once; `chains` holds the work that one run must wait for,
    its own with it.
    """

    pieces: dict[Any, Piece] = field(default_factory=dict)
    chains: dict[Run, Span] = field(default_factory=dict)
    counted: dict[str, Network] = field(default_factory=dict)

    def enter(self, asked: Asked) -> list[Piece]:
        """Enter what a chapter asks for, and return what nobody had asked for before."""
        before = set(self.pieces)
        for data, split in asked.clips:
            self._clips(data, split)
        for run in asked.runs:
            self._run(run)
        for teacher, data, output in asked.answers:
            self._answers(teacher, data, output)
        for one in asked.searches:
            self._search(one)
        for net, fit, validation, plan in asked.single:
            key = ("single", len(self.pieces))
            self.pieces[key] = _training(complexity(net).macs, fit, validation, plan, 0.0)
        return [piece for key, piece in self.pieces.items() if key not in before]

    def _clips(self, data: Data, split: str) -> None:
        if isinstance(data.source, Tensors):
            return
        inputs, table = data.inputs_key, data.corpus.clips
        if isinstance(data.source, CorpusSize):
            bytes_a_clip = HEADER_BYTES + 3 * SAMPLE_RATE
            self._enter(("corpus", data.source), "the corpus", len(table) * bytes_a_clip)
        own = 4 * float(np.prod(data.front_end.shape()))
        heard = int((table["split"] != "unused").sum())
        self._enter(("features", inputs), "features", heard * own)
        number = len(clips(data, split).x)
        if split == "fit" and data.views is not None:
            key = ("views", inputs, keys.digest(keys.plain(data.views)), data.subset)
            self._enter(key, "clips in their versions", number * own)
        else:
            self._enter(("clips", inputs, split, number), "copies of splits", number * own)

    def _answers(self, teacher: Run | Kept, data: Data, output: str) -> None:
        key = ("answers", teacher.store_key, data.store_key, output)
        if key in self.pieces:
            return
        shape = clips(data, "fit").x.shape
        network = self._network(teacher, shape[1:])
        with torch.no_grad():
            said = look(network.net.eval(), torch.zeros(1, *shape[1:]), output)[1]
        number = shape[0]
        names = number * (_letters(data) + 4)  # identifiers.csv
        size = number * said.numel() * (4 if output == "logits" else 2) + names
        kind = MAPS if said.ndim == 4 else "a teacher's other answers"
        work = number * FORWARD * network.macs / STUDENT
        self._enter(key, kind, size, work=Span(work, work))

    def _run(self, run: Run) -> None:
        if run in self.chains:
            return
        waits = Span()
        for need in run.needs():
            self._run(need)
            other = self.chains[need]
            waits = Span(max(waits.least, other.least), max(waits.most, other.most))
        for split in ("fit", "validation"):
            self._clips(run.data, split)
        lesson = run.lesson if isinstance(run.lesson, Lesson) else None
        stages = lesson.stages if lesson else ()
        if lesson and isinstance(lesson.teacher, (Run, Kept)):
            for output in {"logits", *(name for stage in stages for name in stage.outputs)}:
                self._answers(lesson.teacher, run.data, output)
        fit, validation = (clips(run.data, split).x for split in ("fit", "validation"))
        _, macs, numbers = self._network(run, fit.shape[1:])
        plans, heard = [stage.plan(run.plan) for stage in stages] or [run.plan], len(validation)
        if isinstance(run.lesson, SelfSupervised):  # nobody validates, none stops
            macs *= 2  # each clip is seen in two views
            plans, heard = [replace(run.plan, patience=None)], 0
        own = _training(macs, len(fit), heard, plans[0], 4.0 * numbers)
        for plan in plans[1:]:
            more = _training(macs, len(fit), heard, plan, 0.0)
            own = replace(own, steps=own.steps + more.steps, work=own.work + more.work)
        self.pieces["run", run] = own
        self.chains[run] = waits + own.work

    def _network(self, whose: Run | Kept, shape: torch.Size) -> Network:
        made = whose.network if isinstance(whose, Run) else whose
        key = keys.digest([made, list(shape)])
        if key not in self.counted:
            net = _untrained(whose) if isinstance(whose, Run) else whose.net()
            numbers = sum(value.numel() for value in net.state_dict().values())
            self.counted[key] = Network(net, complexity(net, tuple(shape)).macs, numbers)
        return self.counted[key]

    def _search(self, search: Search) -> None:
        """At most: no trial is stopped, and each is of the largest network that is allowed."""
        key = ("search", search.name())
        fit, validation = search.tables()
        macs = search.effort.macs or LIMITS[2022].macs or STUDENT
        plan = replace(PLAN, epochs=search.effort.epochs)
        one = _training(macs, len(fit), len(validation), plan, 0.0)
        number = search.effort.trials
        least = Span(one.work.least * 0, one.work.most) * number
        self.pieces[key] = replace(
            one, trainings=number, steps=Span(0, one.steps.most * number), work=least
        )

    def _enter(self, key: Any, kind: str, size: float, work: Span = Span()) -> None:
        self.pieces.setdefault(key, Piece(kind, size, work=work))


def _training(macs: int, fit: int, validation: int, plan: Training, size: float) -> Piece:
    batch = min(plan.batch_size, fit)
    steps = fit // batch
    patience = plan.patience or plan.epochs
    epochs = Span(min(plan.epochs, patience + 1), plan.epochs)
    an_epoch = (steps * batch + FORWARD * validation) * macs / STUDENT
    return Piece("networks", size, 1, epochs * steps, epochs * an_epoch)


def _untrained(run: Run) -> nn.Module:
    """The network of a run, or where it cannot be made before another is trained, that one's."""
    try:
        return run.network()
    except Exception:  # noqa: BLE001 - clips without values, and whatever is made of them
        return _untrained(run.needs()[0])


def _letters(data: Data) -> float:
    if isinstance(data.source, Tensors):
        return 10.0
    return float(data.table("fit")["identifier"].str.len().mean())


# ---- how fast ------------------------------------------------------------------------------------


def timed() -> float:
    """Clips a second that a student is trained on here, on one core, or on the GPU."""
    return clips_per_second(1_024 if training.device().type == "cpu" else 65_536)


# ---- what is printed -----------------------------------------------------------------------------


def report(chapters: list[tuple[Path, dict[str, Any]]], speed: float | None = None) -> str:
    """The plan as lines of text.

    Args: chapters, each with its parameters; speed, clips a second of a student's training on
        one core; None times it.
    """
    source = "as given" if speed else "timed now"
    speed = speed or timed()
    ledger, rows, gaps = Ledger(), [], []
    with tables_alone():
        for path, given in chapters:
            asked = rehearse(path, given)
            rows.append((path.stem, ledger.enter(asked)))
            gaps += asked.gaps
        everything = list(ledger.pieces.values())
        longest = Span(
            *(max((getattr(c, end) for c in ledger.chains.values()), default=0.0) for end in ENDS)
        )
    lines = [f"{speed:,.0f} clips a second of a student's training, {source}", ""]
    lines += [f"{'':20} {'trainings':>9} {'steps':>24} {'core-hours':>18} {'disk, GB':>9}"]
    lines += [_row(name, pieces, speed) for name, pieces in [*rows, ("in all", everything)]]
    lines += ["", "On the disk, GB:"]
    for kind in KINDS:
        size = sum(piece.size for piece in everything if piece.kind == kind)
        lines += [f"  {kind:28} {size / 1e9:8.3f}"] if size else []
    cores = joblib.cpu_count() if training.device().type == "cpu" else 1
    work = sum((piece.work for piece in everything), Span())
    waits = Span(*(max(getattr(work, end) / cores, getattr(longest, end)) for end in ENDS))
    lines += [
        "",
        f"The longest chain, one training after another: {_hours(longest, speed)} hours",
        f"With {cores} at a time not below: {_hours(waits, speed)} hours",
        "",
        LIMITS_OF_THE_PLAN,
    ]
    if gaps:
        lines += ["", "Not understood, and not counted:", *(f"  {gap}" for gap in gaps)]
    return "\n".join(lines)


ENDS = ("least", "most")


def _hours(work: Span, speed: float) -> str:
    return (work * (1 / speed / 3600)).said(lambda hours: f"{hours:,.2f}")


def _row(name: str, pieces: list[Piece], speed: float) -> str:
    steps = sum((piece.steps for piece in pieces), Span())
    work = sum((piece.work for piece in pieces), Span())
    number = sum(piece.trainings for piece in pieces)
    size = sum(piece.size for piece in pieces) / 1e9
    told = steps.said(lambda n: f"{n:,.0f}")
    return f"{name:20} {number:9,} {told:>24} {_hours(work, speed):>18} {size:9.3f}"
