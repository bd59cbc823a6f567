"""What an epoch of distillation costs beside a plain one, for every technique of the library.

    python -m benchmarks.distillation            ten minutes; writes results/distillation.json
    python -m benchmarks.distillation --quick    a few minutes; writes nothing

Run it on an idle machine. The aim: 1.15 plain epochs at the most, since the teacher has answered
beforehand and its answers are only looked up. What it would cost to ask the ten members anew for
every batch is measured as well.

Epochs of `asclib.training.train` are timed in one process, on one thread, and every one stands
between two plain ones: a ratio is of neighbours, so that drift of the machine meets both. `on_core`
is the share of the time that the process was on a core: below 0.95 or so the machine was not idle,
and the figures are worth little. The answers are read from files, as those of an experiment are.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asclib import training
from asclib.distillation import TECHNIQUES, Answers, Stage, _connected, objective
from asclib.distillation.outputs import look
from asclib.networks import TMSIC
from asclib.settings import Training
from asclib.store import PROJECT, write_atomic
from asclib.teacher import OneVsAllTeacher
from asclib.training import Clips
from benchmarks.training import TAU_CLIPS, processor

AIM = 1.15  # plain epochs
BATCHES = (32, 64)  # of the book's own profiles, and the authors'

Epoch = Callable[[], None]


def kind(stage: Stage) -> str:
    """A name for all stages that cost the same: weights and the number of epochs do not matter."""
    return stage.loss.__name__ if stage.on == "logits" else f"{stage.loss.__name__} on {stage.on}"


def kinds() -> dict[str, Stage]:
    """One stage of every kind that a technique has."""
    return {kind(stage): stage for stages in TECHNIQUES.values() for stage in reversed(stages)}


class Asked:
    """Answers that are not looked up: the teacher is asked for those of a batch, every time."""

    def __init__(self, teacher: OneVsAllTeacher, x: Tensor, output: str):
        self.teacher, self.x, self.output = teacher.eval().to(x.device), x, output

    def __len__(self) -> int:
        return len(self.x)

    @torch.no_grad()
    def __getitem__(self, rows: Tensor) -> Tensor:
        return look(self.teacher, self.x[rows], self.output)[1]


def stored(teacher: OneVsAllTeacher, fit: Clips, outputs: set[str], folder: Path) -> Answers:
    """The teacher's answers in files of `folder`, kept as `asclib.experiment` keeps them."""
    found = {}
    for output in sorted(outputs | {"logits"}):
        kept = np.float32 if output == "logits" else np.float16
        answers = training.predict(teacher, fit.x, lambda x, of=output: look(teacher, x, of)[1])
        np.save(folder / f"{output}.npy", answers.numpy().astype(kept))
        found[output] = np.load(folder / f"{output}.npy", mmap_mode="c")
    return Answers(fit.identifiers, np.array(found.pop("logits")), found)


# ---- epochs to time --------------------------------------------------------------------------


def epoch(fit: Clips, batch: int, stage: Stage | None = None, teacher=None) -> Epoch:
    """A function that trains for one epoch: on labels, or through a stage and answers to it."""
    torch.manual_seed(0)
    net, goal = TMSIC(), None
    if stage:
        net = _connected(net, stage, teacher[torch.arange(2)], fit.x[:1], seed=0)
        goal = objective(stage, teacher)
    few = Clips(fit.x[:2], fit.labels[:2], fit.identifiers[:2])
    plan = Training(epochs=1, batch_size=batch, schedule="constant")
    return lambda: training.train(net, fit, few, plan, seed=0, objective=goal)


def asked(fit: Clips, batch: int, stage: Stage, teacher: OneVsAllTeacher) -> Epoch:
    """The same with a teacher that answers every batch; margins are left out: they can be kept."""
    return epoch(fit, batch, replace(stage, needs=tuple(n for n in stage.needs if n != "margin")),
                 Asked(teacher, fit.x, stage.on))  # fmt: skip


def timed(work: Epoch) -> tuple[float, float]:
    """Seconds on the clock, and on a core."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    work()
    if training.device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def ratios(plain: Epoch, others: dict[str, Epoch], repeats: int) -> tuple[dict, dict]:
    """Every epoch over the mean of the plain ones before and after it, `repeats` times.

    Returns: name -> ratios, and of the plain epochs the seconds and the share `on_core`.
    """
    found: dict[str, list[float]] = {name: [] for name in others}
    for work in (plain, *others.values()):
        work()  # memory is kept from here on, and the answers' files are read
    seconds = [timed(plain)]
    names = list(others)
    for repeat in range(repeats):
        for name in np.roll(names, repeat):  # no epoch always follows the same other one
            wall, _ = timed(others[name])
            seconds.append(timed(plain))
            found[name].append(2 * wall / (seconds[-2][0] + seconds[-1][0]))
    wall, cpu = np.array(seconds).T
    return found, {"seconds": round(float(np.median(wall)), 4),
                   "on_core": round(float(cpu.sum() / wall.sum()), 3)}  # fmt: skip


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles and range over the repetitions."""
    names = ("low", "quarter", "median", "three_quarters", "high")
    quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    return {name: round(float(value), 3) for name, value in zip(names, quantiles, strict=True)}


def techniques(stages: dict[str, list[float]]) -> dict[str, list[float]]:
    """Kind of stage -> ratios, made into technique -> ratios: its stages by their epochs."""
    return {
        name: np.average(
            [stages[kind(one)] for one in parts], axis=0, weights=[one.epochs for one in parts]
        ).tolist()
        for name, parts in TECHNIQUES.items()
    }


def measure(batch: int, clips: int, repeats: int) -> dict:
    """Every technique and every kind of stage, looked up; and one stage of each output, asked."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clips, 1, 140, 8, generator=generator).to(training.device())
    labels = torch.randint(0, 10, (clips,), generator=generator).to(x.device)
    fit = Clips(x, labels, np.array([f"clip-{i}" for i in range(clips)]))
    torch.manual_seed(0)
    teacher = OneVsAllTeacher([TMSIC(2) for _ in range(10)])
    stages, once, bytes_per_clip = kinds(), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        answers = stored(teacher, fit, {stage.on for stage in stages.values()}, Path(folder))
        looked_up = {}
        for name, stage in stages.items():
            begin = time.perf_counter()
            values = answers.joined(fit.identifiers, stage.on)
            looked_up[name] = epoch(fit, batch, stage, values.to(x.device))
            once[name] = round(time.perf_counter() - begin, 4)
            bytes_per_clip[stage.on] = values[0].nbytes
        found, plain = ratios(epoch(fit, batch), looked_up, repeats)
    # ten members take five times as long: a quarter of the clips tells as much
    quarter = Clips(*(part[: max(batch, clips // 4)] for part in fit))
    of_each = {stage.on: stage for stage in stages.values()}
    online = {on: asked(quarter, batch, stage, teacher) for on, stage in of_each.items()}
    found_online, _ = ratios(epoch(quarter, batch), online, max(1, repeats // 2))
    return {
        "plain": plain,
        "techniques": {name: summary(values) for name, values in techniques(found).items()},
        "stages": {name: summary(values) for name, values in found.items()},
        "once_seconds": once,
        "bytes_per_clip": bytes_per_clip,
        "asked_every_batch": {on: {"stage": kind(of_each[on]), **summary(values)}
                              for on, values in found_online.items()},
    }  # fmt: skip


def main() -> None:
    """Read the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few clips, nothing is written")
    parser.add_argument("--output", type=Path, default=PROJECT / "results" / "distillation.json")
    options = parser.parse_args()
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    clips, repeats = (128, 2) if options.quick else (640, 5)
    results = {
        "processor": processor(), "device": str(training.device()), "aim": AIM,
        "versions": {"torch": version("torch").partition("+")[0]},
        "clips": clips, "repeats": repeats, "tau_clips": TAU_CLIPS, "batches": {},
    }  # fmt: skip
    for batch in BATCHES[-1:] if options.quick else BATCHES:
        found = results["batches"][str(batch)] = measure(batch, clips, repeats)
        print(f"batch {batch}; plain epochs: {found['plain']}")
        for group in ("techniques", "stages", "asked_every_batch"):
            for name, row in found[group].items():
                above = "  above the aim" if row["median"] > AIM and group == "techniques" else ""
                print(f"{group:17} {name:29} {row['median']:6.3f} plain epochs, "
                      f"{row['low']:.3f} to {row['high']:.3f}{above}", flush=True)  # fmt: skip
        if found["plain"]["on_core"] < 0.95 and training.device().type == "cpu":
            print("the machine was not idle: run this again when it is")
    if not options.quick:
        write_atomic(options.output, (json.dumps(results, indent=1) + "\n").encode())
        print(options.output.name)


if __name__ == "__main__":
    main()
