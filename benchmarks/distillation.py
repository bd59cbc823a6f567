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
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asclib import training
from asclib.distillation import TECHNIQUES, Answers, Stage, objective
from asclib.distillation.answers import SideBySide
from asclib.distillation.stages import _connected
from asclib.networks import TMSIC, OneVsAllTeacher, look, look_at
from asclib.store import PROJECT, write_atomic
from asclib.training import Batch, BatchTransform, Clips, Training
from benchmarks.training import TAU_CLIPS, processor

AIM = 1.15  # plain epochs
BATCHES = (32, 64)  # of the book's own profiles, and the authors'

Epoch = Callable[[], None]


def compared(stage: Stage) -> str:
    """What the loss of the stage compares, one output or several, in one string."""
    return ", ".join(stage.outputs)


def kind(stage: Stage) -> str:
    """A name for all stages that cost the same: weights and the number of epochs do not matter."""
    name = stage.loss.__name__
    return name if stage.on == "logits" else f"{name} on {compared(stage)}"


def kinds() -> dict[str, Stage]:
    """One stage of every kind that a technique has."""
    return {kind(stage): stage for stages in TECHNIQUES.values() for stage in reversed(stages)}


@dataclass(frozen=True)
class Asked:
    """For `Training.batch`: answers are not looked up, the teacher is asked for every batch.

    Args: teacher, in inference mode and where the batches are; outputs, of OUTPUTS. Several, maps
    all of them, are joined along the channels as `SideBySide` joins them.
    """

    teacher: OneVsAllTeacher
    outputs: tuple[str, ...]

    @torch.no_grad()
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        said = look_at(self.teacher, batch.x, self.outputs)[1]
        return batch._replace(answers=torch.cat(said, dim=1))


def stored(teacher: OneVsAllTeacher, fit: Clips, outputs: set[str], folder: Path) -> Answers:
    """The teacher's answers in files of `folder`, kept as `asclib.runs.answers` keeps them."""
    found = {}
    for output in sorted(outputs | {"logits"}):
        kept = np.float32 if output == "logits" else np.float16
        answers = training.predict(teacher, fit.x, lambda x, of=output: look(teacher, x, of)[1])
        np.save(folder / f"{output}.npy", answers.numpy().astype(kept))
        found[output] = np.load(folder / f"{output}.npy", mmap_mode="c")
    return Answers(fit.identifiers, np.array(found.pop("logits")), found)


# ---- epochs to time --------------------------------------------------------------------------


def epoch(
    fit: Clips,
    batch: int,
    stage: Stage | None = None,
    answers: Tensor | SideBySide | None = None,
    transforms: tuple[BatchTransform, ...] = (),
) -> Epoch:
    """A function that trains for one epoch: on labels, or through a stage and answers to it.

    Where there are transforms, they bring the answers of each batch, and none are looked up.
    """
    torch.manual_seed(0)
    net, goal = TMSIC(), None
    if stage:
        net = _connected(net, stage, answers, fit.x[:1], seed=0)
        goal = objective(stage, answers)
    plan = Training(epochs=1, batch_size=batch, schedule="constant", batch=transforms)
    looked_up = None if transforms else answers
    few = fit.take(np.arange(2))
    return lambda: training.train(net, fit, few, plan, seed=0, objective=goal, answers=looked_up)


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
    return found, {
        "seconds": round(float(np.median(wall)), 4),
        "on_core": round(float(cpu.sum() / wall.sum()), 3),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles and range over the repetitions."""
    names = ("low", "quarter", "median", "three_quarters", "high")
    quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    return {name: round(float(value), 3) for name, value in zip(names, quantiles, strict=True)}


def techniques(
    stages: dict[str, list[float]], made_of: dict[str, tuple[Stage, ...]] = TECHNIQUES
) -> dict[str, list[float]]:
    """Kind of stage -> ratios, made into technique -> ratios: its stages by their epochs."""
    return {
        name: np.average(
            [stages[kind(one)] for one in parts], axis=0, weights=[one.epochs for one in parts]
        ).tolist()
        for name, parts in made_of.items()
    }


def measure(batch: int, clips: int, repeats: int) -> dict:
    """Every technique and kind of stage, looked up; one stage for each thing compared, asked."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clips, 1, 140, 8, generator=generator).to(training.device())
    labels = torch.randint(0, 10, (clips,), generator=generator).to(x.device)
    fit = Clips(x, labels, np.array([f"clip-{i}" for i in range(clips)]))
    torch.manual_seed(0)
    teacher = OneVsAllTeacher([TMSIC(2) for _ in range(10)]).eval().to(x.device)
    stages, once, bytes_per_clip = kinds(), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        outputs = {output for stage in stages.values() for output in stage.outputs}
        answers = stored(teacher, fit, outputs, Path(folder))
        looked_up = {}
        for name, stage in stages.items():
            begin = time.perf_counter()
            values = answers.joined(fit.identifiers, stage.on)
            looked_up[name] = epoch(fit, batch, stage, values.to(x.device))
            once[name] = round(time.perf_counter() - begin, 4)
            bytes_per_clip[compared(stage)] = values[np.arange(1)].nbytes
        found, plain = ratios(epoch(fit, batch), looked_up, repeats)
        # ten members take five times as long: a quarter of the clips tells as much
        quarter = fit.take(np.arange(max(batch, clips // 4)))
        of_each, online = {compared(stage): stage for stage in stages.values()}, {}
        for on, stage in of_each.items():
            values = answers.joined(quarter.identifiers, stage.on).to(x.device)
            online[on] = epoch(quarter, batch, stage, values, (Asked(teacher, stage.outputs),))
        found_online, _ = ratios(epoch(quarter, batch), online, max(1, repeats // 2))
    return {
        "plain": plain,
        "techniques": {name: summary(values) for name, values in techniques(found).items()},
        "stages": {name: summary(values) for name, values in found.items()},
        "once_seconds": once,
        "bytes_per_clip": bytes_per_clip,
        "asked_every_batch": {
            on: {"stage": kind(of_each[on]), **summary(values)}
            for on, values in found_online.items()
        },
    }


def main() -> None:
    """Read the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few clips, nothing is written")
    parser.add_argument("--output", type=Path, default=PROJECT / "results" / "distillation.json")
    options = parser.parse_args()
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    clips, repeats = (128, 2) if options.quick else (640, 5)
    results = {
        "processor": processor(),
        "device": str(training.device()),
        "aim": AIM,
        "versions": {"torch": version("torch").partition("+")[0]},
        "clips": clips,
        "repeats": repeats,
        "tau_clips": TAU_CLIPS,
        "batches": {},
    }
    for batch in BATCHES[-1:] if options.quick else BATCHES:
        found = results["batches"][str(batch)] = measure(batch, clips, repeats)
        print(f"batch {batch}; plain epochs: {found['plain']}")
        for group in ("techniques", "stages", "asked_every_batch"):
            for name, row in found[group].items():
                above = "  above the aim" if row["median"] > AIM and group == "techniques" else ""
                print(
                    f"{group:17} {name:29} {row['median']:6.3f} plain epochs, "
                    f"{row['low']:.3f} to {row['high']:.3f}{above}",
                    flush=True,
                )
        if found["plain"]["on_core"] < 0.95 and training.device().type == "cpu":
            print("the machine was not idle: run this again when it is")
    if not options.quick:
        write_atomic(options.output, (json.dumps(results, indent=1) + "\n").encode())
        print(options.output.name)


if __name__ == "__main__":
    main()
