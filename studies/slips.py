"""Four slips of published programs, each as an experiment: what it promises, and what is true.

    python -m studies slips

A slip can do two things: change the network, and change the number one reads off it. The *promise*
is the number the slip's author would read off; the *truth* is macro accuracy on clips that neither
trained the network nor chose anything. Every slip is compared with the same student without it,
seed by seed. EXPECTED says what we thought would come out, written before anything was run:

* Double softmax. It teaches no more than labels do, and so less than response KD; at the weight of
  50 that a later program gave it, it teaches again. No flattery: promise and truth fall together.
* Leaky split. Held out by single clips, the promise is far above that of whole locations. The truth
  is the same, or a little better, since more locations are trained on.
* Test in training. The promise rises, since a student remembers; so does the truth, a little, since
  it has heard more locations and the test's devices. Choosing an epoch on the test, and no more,
  adds a point or two to the promise and nothing to the truth.
* Last weights instead of the best. Nothing under one-cycle, whose rate ends at zero. At the
  constant rate of the authors the best is truer than the last, and promises more than that, since
  the luckiest of many epochs is chosen.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from asclib.corpus import places
from asclib.distillation import TECHNIQUES, Stage
from asclib.distillation.stages import objective
from asclib.evaluation import over_seeds, paired, score
from asclib.networks import TMSIC
from asclib.runs import Experiment, answers, side_by_side
from asclib.runs.provenance import described
from asclib.store import artefact
from asclib.training import Clips, Training, macro_accuracy, probabilities, train
from studies.command import Commands, add_command, experiments, origin
from studies.splits import SPLITS


def add_parser(commands: Commands) -> None:
    add_command(commands, "slips", _slips, seeds=5)


def _slips(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options, one_teacher=True)
    return origin(found[0]) | slips(found)


@dataclass(frozen=True)
class Arm:
    """One way to train a student; what is not named is as for every student of the book.

    `stage` is what the teacher adds to the labels. `split` draws the clips to fit on anew for every
    seed, by a name of `studies.splits.SPLITS`. `half` (0 or 1) of the test clips is added to the
    clips to fit on *and* to those held out. `constant` takes the authors' rate, 0.001 throughout,
    for twice the epochs.
    """

    stage: Stage | None = None
    split: str | None = None
    half: int | None = None
    constant: bool = False


_DOUBLE = TECHNIQUES["response_published"][0]
VERSION = 2  # raised when a training comes to other weights: tests/code_versions.json
ARMS = {
    "labels": Arm(),
    "response": Arm(TECHNIQUES["response"][0]),
    "double softmax": Arm(_DOUBLE),
    # 50 times the loss, at T = 1, as in 2023, but the labels still weigh 0.1 instead of 1e-5
    "double softmax x 50": Arm(
        replace(_DOUBLE, weight=50 * _DOUBLE.weight, arguments={"temperature": 1.0})
    ),
    "held out by clip": Arm(split="clip"),
    "held out by location": Arm(split="location"),
    "half 0 of the test": Arm(half=0),
    "half 1 of the test": Arm(half=1),
    "constant rate": Arm(constant=True),
}


# ---- training, with every epoch's answers ------------------------------------------------------


class Recorder(nn.Module):
    """A student whose answers are kept whenever it is judged, that is after every epoch."""

    def __init__(self, student: nn.Module):
        super().__init__()
        self.student = student
        self.heard: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        logits = self.student(x)
        if not self.training:
            self.heard.append(logits.detach().cpu())
        return logits


def halves(clips: pd.DataFrame) -> np.ndarray:
    """(clips,) 0 or 1: the clips in two halves of like scenes that share no location."""
    halver = StratifiedGroupKFold(2, shuffle=True, random_state=0)
    (_, second), _ = halver.split(clips, clips["scene"], places(clips))
    half = np.zeros(len(clips), int)
    half[second] = 1
    return half


def parts(experiment: Experiment, arm: Arm) -> tuple[Clips, Clips]:
    """The clips an arm learns from, and those it holds out to choose an epoch on."""
    if arm.split:
        clips = experiment.clips("train")
        fit, held_out = SPLITS[arm.split](experiment.table("train"), experiment.seed)
        return clips.take(fit), clips.take(held_out)
    fit, held_out = experiment.clips("fit"), experiment.clips("validation")
    if arm.half is None:
        return fit, held_out
    added = experiment.clips("test").take(halves(experiment.table("test")) == arm.half)
    return fit.joined(added), held_out.joined(added)


def plan(experiment: Experiment, arm: Arm) -> Training:
    """The student's training, to its last epoch: which epoch counts is decided afterwards."""
    usual = replace(experiment.profile.student, monitor="last", patience=None)
    if not arm.constant:
        return usual
    return replace(usual, schedule="constant", learning_rate=1e-3, epochs=2 * usual.epochs)


def trained(experiment: Experiment, name: str) -> Path:
    """The artefact of one training: logits.npy (epochs, held-out clips then test clips, 10).

    This is no `Run`, which keeps the weights of one epoch: here the answers after every epoch
    count, and arms learn from clips that no split of the data holds.
    """
    arm, settings = ARMS[name], plan(experiment, ARMS[name])
    fit, held_out = parts(experiment, arm)
    judged = held_out.joined(experiment.clips("test"))
    teacher = experiment.teacher() if arm.stage else None
    recipe = {
        "plan": settings,
        "seed": experiment.seed,
        "stage": arm.stage,
        "data": experiment.data,
        "fit": fit.identifiers.tolist(),
        "judged": judged.identifiers.tolist(),
    }
    parents = (experiment.data.features, *([teacher.folder()] if teacher else []))

    def build(folder: Path) -> None:
        goal = said = None
        if arm.stage:
            said = answers(teacher, experiment.data).joined(fit.identifiers)
            goal = objective(arm.stage, said)
        torch.manual_seed(experiment.seed)
        net = Recorder(TMSIC())
        train(
            net,
            fit,
            judged,
            settings,
            seed=experiment.seed,
            objective=goal,
            answers=said,
            label=name,
        )
        # the first answer is to the question how many classes there are
        heard = torch.cat(net.heard[1:]).view(settings.epochs, len(judged.labels), -1)
        np.save(folder / "logits.npy", heard.numpy())

    return artefact("slip", recipe, build, version=VERSION, parents=parents)


# ---- promise and truth -------------------------------------------------------------------------


class Told(NamedTuple):
    """What one system says of itself, and its answers (test clips, 10) to clips it never saw."""

    promise: float
    answer: np.ndarray
    epochs: tuple[int, ...]  # kept, counted from 0; two where two trainings share the answer


class Heard(NamedTuple):
    """The answers after every epoch to the clips held out, and to the test clips."""

    held_out: Tensor
    held_out_labels: Tensor
    test: Tensor
    test_labels: Tensor


def heard(experiment: Experiment, name: str) -> Heard:
    """One training of the store, its answers parted again."""
    logits = torch.from_numpy(np.load(trained(experiment, name) / "logits.npy"))
    _, held_out = parts(experiment, ARMS[name])
    labels, count = experiment.clips("test").labels, len(held_out.labels)
    return Heard(logits[:, :count], held_out.labels, logits[:, count:], labels)


def best_epoch(logits: Tensor, labels: Tensor) -> int:
    """The trainer's choice: highest macro accuracy, then lowest loss, then the earlier epoch."""
    scores = [(macro_accuracy(z, labels), -float(F.cross_entropy(z, labels))) for z in logits]
    return scores.index(max(scores))


def validated(one: Heard, epochs: int | None = None, last: bool = False) -> Told:
    """The epoch that validation chooses, or the last, of so many; the promise is validation's."""
    epochs = epochs or len(one.test)
    seen = one.held_out[:epochs]
    epoch = epochs - 1 if last else best_epoch(seen, one.held_out_labels)
    promise = macro_accuracy(seen[epoch], one.held_out_labels)
    return Told(promise, probabilities(one.test[epoch]), (epoch,))


def tested(one: Heard) -> Told:
    """The epoch that validation chooses; the promise is the test's, which nothing else has seen."""
    told = validated(one)
    return told._replace(promise=macro_accuracy(one.test[told.epochs[0]], one.test_labels))


def chosen_on_test(one: Heard, half: np.ndarray) -> Told:
    """Epochs chosen on one half of the test; that half is the promise, the other the truth.

    Both halves take both parts in turn, so that promise and truth are of the same clips.
    """
    epochs = [best_epoch(one.test[:, half == k], one.test_labels[half == k]) for k in (0, 1)]
    return _crossed([one, one], epochs, half)


def trained_on_test(runs: list[Heard], half: np.ndarray) -> Told:
    """Run k learned from half k of the test and chose its epoch on it, among others."""
    epochs = [best_epoch(one.held_out, one.held_out_labels) for one in runs]
    return _crossed(runs, epochs, half)


def _crossed(runs: list[Heard], epochs: list[int], half: np.ndarray) -> Told:
    shown = [one.test[epoch] for one, epoch in zip(runs, epochs, strict=True)]
    first = torch.from_numpy(half == 0)[:, None]
    known, unknown = torch.where(first, *shown), torch.where(first, *reversed(shown))
    promise = macro_accuracy(known, runs[0].test_labels)
    return Told(promise, probabilities(unknown), tuple(epochs))


def systems(experiment: Experiment) -> dict[str, Told]:
    """Everything one seed has to tell."""
    runs = {name: heard(experiment, name) for name in ARMS}
    half, short = halves(experiment.table("test")), len(runs["labels"].test)
    told = {name: validated(one) for name, one in runs.items() if ARMS[name].half is None}
    both = [runs[f"half {k} of the test"] for k in (0, 1)]
    return told | {
        "labels, test reported": tested(runs["labels"]),
        "epoch chosen on the test": chosen_on_test(runs["labels"], half),
        "trained on the test": trained_on_test(both, half),
        "labels, last": validated(runs["labels"], last=True),
        "constant rate, last": validated(runs["constant rate"], last=True),
        "constant rate, half as long": validated(runs["constant rate"], short),
        "constant rate, half as long, last": validated(runs["constant rate"], short, last=True),
    }


COMPARED = (  # the slip, the system with it, and the same without
    ("double softmax", "double softmax", "response"),
    ("double softmax", "double softmax", "labels"),
    ("double softmax", "double softmax x 50", "labels"),
    ("double softmax", "response", "labels"),
    ("leaky split", "held out by clip", "held out by location"),
    ("test in training", "trained on the test", "labels, test reported"),
    ("test in training", "epoch chosen on the test", "labels, test reported"),
    ("last weights", "labels, last", "labels"),
    ("last weights", "constant rate, half as long, last", "constant rate, half as long"),
    ("last weights", "constant rate, last", "constant rate"),
)

# system, base, what of it ("flattery" is promise - truth), and from where to where in points
EXPECTED = (
    ("double softmax", "response", "truth", -4, -2),
    ("double softmax", "response", "flattery", -2, 2),
    ("double softmax", "labels", "truth", -1, 1),
    ("double softmax x 50", "labels", "truth", 0, 100),
    ("held out by clip", "held out by location", "promise", 10, 100),
    ("held out by clip", "held out by location", "truth", -1, 2),
    ("trained on the test", "labels, test reported", "promise", 10, 20),
    ("trained on the test", "labels, test reported", "truth", 2, 4),
    ("epoch chosen on the test", "labels, test reported", "promise", 1, 2),
    ("epoch chosen on the test", "labels, test reported", "truth", -1, 1),
    ("labels, last", "labels", "truth", -1, 1),
    ("constant rate, last", "constant rate", "truth", -3, -1),
    ("constant rate, last", "constant rate", "flattery", -100, 0),
)


def slips(experiments: list[Experiment]) -> dict[str, Any]:
    """The figures of `results/slips.json`.

    Args: experiments of one profile and several seeds; one teacher answers for all.
    Returns: promise and truth of every system and seed, their means, and for each pair of COMPARED
        the differences: of the truth with its interval over locations and seeds, and with that over
        seeds alone (`evaluation.paired`); of the promise and of what is promised too much
        (promise - truth) with t intervals over seeds. The committed file is older: there the first
        interval is of a bootstrap over recordings, the seeds held fixed, and the row names their
        number as `recordings` where a new one has `locations`.
    """
    answers(experiments[0].teacher(), experiments[0].data)
    jobs = [(experiment, name) for experiment in experiments for name in ARMS]
    experiments[0].clips("train")  # once, before several workers ask for it
    side_by_side(trained, jobs, "slips")
    clips = experiments[0].table("test")
    told = [systems(experiment) for experiment in experiments]
    rows, curves = [], []
    for experiment, all_told in zip(experiments, told, strict=True):
        for name, system in all_told.items():
            found = score(system.answer, clips)
            rows.append(
                {
                    "system": name,
                    "seed": experiment.seed,
                    "epochs": system.epochs,
                    "promise": system.promise,
                    "truth": found.overall.accuracy,
                    "seen_truth": found.seen and found.seen.accuracy,
                    "log_loss": found.overall.log_loss,
                }
            )
        curves += [_curve(experiment, name) for name in ("labels", "constant rate")]
    table = pd.DataFrame(rows).round(5)
    return {
        "clips": {split: len(experiments[0].table(split)) for split in ("train", "test")},
        "parts": {
            name: [len(part.labels) for part in parts(experiments[0], ARMS[name])] for name in ARMS
        },
        "recordings": clips["recording"].nunique(),
        "seeds": [experiment.seed for experiment in experiments],
        "teacher_seed": 0,
        "plans": {name: described(plan(experiments[0], ARMS[name])) for name in ARMS},
        "stages": {name: arm.stage.settings() for name, arm in ARMS.items() if arm.stage},
        "runs": table.to_dict("records"),
        "means": {
            name: {column: _mean(group[column]) for column in ("promise", "truth")}
            for name, group in table.groupby("system", sort=False)
        },
        "differences": [
            {
                "slip": slip,
                "system": ours,
                "base": base,
                **_difference(table, ours, base),
                "truth": paired(
                    [one[ours].answer for one in told], [one[base].answer for one in told], clips
                ),
            }
            for slip, ours, base in COMPARED
        ],
        "curves": curves,
    }


def _curve(experiment: Experiment, name: str) -> dict[str, Any]:
    """Macro accuracy after every epoch."""
    one = heard(experiment, name)
    validation = [round(macro_accuracy(z, one.held_out_labels), 5) for z in one.held_out]
    test = [round(macro_accuracy(z, one.test_labels), 5) for z in one.test]
    return {"arm": name, "seed": experiment.seed, "validation": validation, "test": test}


def _mean(values: pd.Series) -> dict[str, float | None]:
    low, high = over_seeds(values.to_list())
    return {"mean": float(values.mean()), "low": low, "high": high}


def _difference(table: pd.DataFrame, ours: str, base: str) -> dict[str, dict]:
    """Of the promise, and of promise - truth, with t intervals over seeds."""
    by = table.set_index("seed").groupby("system")
    ours, base = by.get_group(ours), by.get_group(base)
    promise = ours["promise"] - base["promise"]
    return {"promise": _mean(promise), "flattery": _mean(promise - ours["truth"] + base["truth"])}
