"""Which augmentation helps? TMSIC trained with each of them, the same number of steps each.

    python -m studies augmentation

Every recipe fills one list of as many training clips as all epochs of a plain training would show,
in one order for all recipes, and is trained on it once: a recipe can gain by what it changes, never
by more steps. What draws (masks, rolls, filters) has drawn anew for each pass over the clips, on
the CPU and before the training; Freq-MixStyle and mixup draw in each batch. No epoch is chosen: the
last weights are scored, so that no recipe profits from luck with the validation clips.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from asclib.augmentation import (
    FreqMixStyle,
    Mixup,
    SixFold,
    frequency_mask,
    impulse_response,
    other_device,
    time_roll,
)
from asclib.augmentation.clip import REFERENCE_DEVICE, VERSIONS
from asclib.challenge import SAMPLE_RATE, SCENES, SEEN_DEVICES, UNSEEN_DEVICES
from asclib.corpus.embedded.devices import RECORDERS
from asclib.evaluation import evaluate, paired, score
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment, Run, build
from asclib.training import BatchTransform, Clips, macro_accuracy, predict, probabilities
from studies.command import Commands, add_command, origin

BASE = "none"
SPLITS = ("fit", "validation", "test")
SEED = "augmentation"  # of what the recipes draw; the trainings have seeds of their own

# A clip's waveform, its row of the clip table and the seed -> its picture (1, 1, mels, frames).
Draw = Callable[[np.ndarray, Any, LogMel, object], np.ndarray]


def add_parser(commands: Commands) -> None:
    add_command(commands, "augmentation", _augmentation, seeds=8)


def _augmentation(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root)
    return origin(experiment) | augmentation(experiment, options.seeds)


@dataclass(frozen=True)
class Anew:
    """For `Data.views`: a clip as it is drawn in each of so many passes."""

    draw: Draw
    passes: int

    def __call__(self, x: np.ndarray, clip: Any, log_mel: LogMel) -> np.ndarray:
        drawn = [self.draw(x, clip, log_mel, (SEED, number)) for number in range(self.passes)]
        return np.concatenate(drawn)


class Recipe(NamedTuple):
    """How one augmentation makes its training clips, and what it does while training.

    `draw` makes a picture of a clip for each pass; `six_fold` has the authors' versions of it;
    else it is taken as it is. `copies` is how often a clip of another device than a stands in the
    list that is passed over. `batch` goes into the plan.
    """

    draw: Draw | None = None
    six_fold: bool = False
    copies: int = 1
    batch: tuple[BatchTransform, ...] = ()


def _masked(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    picture = log_mel(x[None]).numpy()
    return frequency_mask(picture, seed=seed, identifier=clip.identifier)


def _rolled(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    limit = SAMPLE_RATE // 10
    return log_mel(time_roll(x, limit, seed=seed, identifier=clip.identifier)[None]).numpy()


def _through_devices(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    x = other_device(x, clip.device, responses(), seed=seed, identifier=clip.identifier)
    return log_mel(x[None]).numpy()


@functools.cache
def responses() -> tuple[np.ndarray, ...]:
    """Of the devices that training clips come from; the test's own would give the answer away."""
    return tuple(
        impulse_response(RECORDERS[name]) for name in SEEN_DEVICES if name != REFERENCE_DEVICE
    )


RECIPES = {
    BASE: Recipe(),
    "six-fold": Recipe(six_fold=True),
    # six copies and no change: what of six-fold's effect is the new share of the devices?
    "copies": Recipe(copies=len(VERSIONS)),
    "frequency mask": Recipe(_masked),
    "time roll": Recipe(_rolled),
    "impulse responses": Recipe(_through_devices),
    "Freq-MixStyle": Recipe(batch=(FreqMixStyle(0.4),)),
    "mixup": Recipe(batch=(Mixup(0.3),)),
}


def repeated(items: int, total: int) -> np.ndarray:
    """(total,) positions below `items`: all of them again and again, then some at random."""
    whole, rest = divmod(total, items)
    some = np.random.default_rng(0).permutation(items)[:rest]
    return np.concatenate([np.tile(np.arange(items), whole), some])


def listed(experiment: Experiment, recipe: Recipe) -> Clips:
    """The clips to pass over under one recipe, before they are repeated to the common length.

    Returns: one entry for every clip, or as many as the recipe makes of it; for a recipe that draws
        anew, one such list for every pass, one after the other.
    """
    data, table = replace(experiment.data, views=None), experiment.table("fit")
    if recipe.six_fold:
        return replace(data, views=SixFold((SEED, 0))).clips("fit")
    if recipe.draw:
        passes = experiment.profile.student.epochs
        drawn = replace(data, views=Anew(recipe.draw, passes)).clips("fit")
        return drawn.take(np.arange(len(drawn.x)).reshape(-1, passes).T.ravel())
    other = table["device"].to_numpy() != REFERENCE_DEVICE
    return data.clips("fit").take(
        np.repeat(np.arange(len(table)), np.where(other, recipe.copies, 1))
    )


def runs_of(experiment: Experiment, recipe: Recipe, seeds: list[int]) -> list[Run]:
    """One recipe's trainings: a single pass over its list, at the common length."""
    student, number = experiment.profile.student, len(experiment.table("fit"))
    clips = listed(experiment, recipe)
    clips = clips.take(repeated(len(clips.x), student.epochs * number))
    validation = experiment.clips("validation")
    data = Data.of(clips.x, clips.labels, validation.x, validation.labels, classes=SCENES)
    plan = replace(student, epochs=1, monitor="last", batch=recipe.batch)
    return [Run(TMSIC, data, plan, seed) for seed in seeds]


def augmentation(
    experiment: Experiment, seeds: list[int], recipes: Mapping[str, Recipe] = RECIPES
) -> dict[str, Any]:
    """The figures of `results/augmentation.json`: every recipe and seed on the test clips.

    Args: experiment, whose corpus, features and student's plan are used; seeds of the trainings;
        recipes, with BASE among them, and "copies" where there is "six-fold".
    Returns: how many clips each recipe lists, and steps; the scores of each run; each recipe's
        pooled scores; and paired differences to BASE, and of six-fold to its control, on all, seen
        and unseen devices.
    """
    trained = {name: runs_of(experiment, recipe, seeds) for name, recipe in recipes.items()}
    build([run for one in trained.values() for run in one])
    clips, test = experiment.table("test"), experiment.clips("test")
    fit = replace(experiment.data, views=None).clips("fit")
    unseen = np.isin(clips["device"], UNSEEN_DEVICES)
    groups = {"all": np.ones(len(clips), bool), "seen": ~unseen, "unseen": unseen}
    groups = {group: mask for group, mask in groups.items() if mask.any()}
    said, rows = {}, []
    for name, runs in trained.items():
        for run in runs:
            net = run.net()
            answer = probabilities(predict(net, test.x))
            said.setdefault(name, []).append(answer)
            found = score(answer, clips)
            parts = {"seen_accuracy": found.seen, "unseen_accuracy": found.unseen}
            row = {"accuracy": found.overall.accuracy, "log_loss": found.overall.log_loss}
            row |= {column: part and part.accuracy for column, part in parts.items()}
            row |= {"fit_accuracy": macro_accuracy(predict(net, fit.x), fit.labels)}
            rows.append({"recipe": name, "seed": run.seed, **row})
    pooled = {name: evaluate(answers, clips) for name, answers in said.items()}
    pairs = [(name, BASE) for name in recipes if name != BASE]
    pairs += [("six-fold", "copies")] * ("six-fold" in recipes)
    differences = [
        {
            "recipe": name,
            "base": base,
            "devices": group,
            **paired([p[mask] for p in said[name]], [p[mask] for p in said[base]], clips[mask]),
        }
        for name, base in pairs
        for group, mask in groups.items()
    ]
    student, n = experiment.profile.student, len(fit.x)
    return {
        "size": asdict(experiment.profile.corpus),
        "clips": {split: len(experiment.table(split)) for split in SPLITS},
        "recordings": {split: experiment.table(split)["recording"].nunique() for split in SPLITS},
        "seeds": seeds,
        "passes": student.epochs,
        "steps": student.epochs * n // min(student.batch_size, student.epochs * n),
        "listed": {name: len(listed(experiment, recipe).x) for name, recipe in recipes.items()},
        "runs": pd.DataFrame(rows).round(5).to_dict("records"),
        "pooled": {name: s.table().round(5).to_dict("records") for name, s in pooled.items()},
        "differences": differences,
    }
