"""Which augmentation helps? TMSIC trained with each of them, the same number of steps each.

    python -m asclib.study augmentation

Every recipe fills one list of as many training clips as all epochs of a plain training would show,
in one order for all recipes, and is trained on it once: a recipe can gain by what it changes, never
by more steps. No epoch is chosen: the last weights are scored, so that no recipe profits from luck
with the validation clips.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.augmentation import (
    REFERENCE_DEVICE,
    VERSIONS,
    frequency_mask,
    impulse_response,
    mixup,
    other_device,
    soft_labels,
    time_roll,
    tmsic_versions,
)
from asclib.corpus import read_audio
from asclib.evaluation import evaluate, paired
from asclib.experiment import Experiment
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.parallel import side_by_side
from asclib.settings import SAMPLE_RATE, SCENES, SEEN_DEVICES, UNSEEN_DEVICES
from asclib.store import artefact, write_atomic
from asclib.synthesis import RECORDERS
from asclib.training import Clips, macro_accuracy, one_thread, predict, train

BASE = "none"
SPLITS = ("fit", "validation", "test")
VERSION = 1  # raised when a training comes to other weights: tests/code_versions.json
SEED = "augmentation"  # of what the recipes draw; the trainings have seeds of their own

# A clip's waveform, its row of the clip table and the seed -> its pictures (n, 1, mels, frames).
Draw = Callable[[np.ndarray, Any, LogMel, object], np.ndarray]


class Recipe(NamedTuple):
    """How one augmentation makes its training clips, and what it does while training.

    `draw` makes pictures of a clip; None takes it as it is. `anew` draws again for every pass.
    `copies` is how often a clip of another device than a stands in the list that is passed over.
    """

    draw: Draw | None = None
    anew: bool = True
    copies: int = 1
    mixstyle: float = 0.0
    mixup: bool = False


def _six_fold(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    return tmsic_versions(x, clip.identifier, clip.device, log_mel, seed=seed)


def _masked(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    picture = log_mel(x[None]).numpy()
    return frequency_mask(picture, seed=seed, identifier=clip.identifier)


def _rolled(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    limit = SAMPLE_RATE // 10
    return log_mel(time_roll(x, limit, seed=seed, identifier=clip.identifier)[None]).numpy()


def _through_devices(x: np.ndarray, clip: Any, log_mel: LogMel, seed: object) -> np.ndarray:
    x = other_device(x, clip.device, _responses(), seed=seed, identifier=clip.identifier)
    return log_mel(x[None]).numpy()


@functools.cache
def _responses() -> tuple[np.ndarray, ...]:
    """Of the devices that training clips come from; the test's own would give the answer away."""
    return tuple(
        impulse_response(RECORDERS[name]) for name in SEEN_DEVICES if name != REFERENCE_DEVICE
    )


RECIPES = {
    BASE: Recipe(),
    "six-fold": Recipe(_six_fold, anew=False),
    # six copies and no change: what of six-fold's effect is the new share of the devices?
    "copies": Recipe(copies=len(VERSIONS)),
    "frequency mask": Recipe(_masked),
    "time roll": Recipe(_rolled),
    "impulse responses": Recipe(_through_devices),
    "Freq-MixStyle": Recipe(mixstyle=0.4),
    "mixup": Recipe(mixup=True),
}


def mixup_cross_entropy(net: nn.Module, rows: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of mixed clips with their mixed labels, for `asclib.training.train`."""
    mixed = mixup(x, labels, generator=torch.default_generator)
    return F.cross_entropy(net(mixed.x), soft_labels(mixed, len(SCENES)))


def repeated(items: int, total: int) -> np.ndarray:
    """(total,) positions below `items`: all of them again and again, then some at random."""
    whole, rest = divmod(total, items)
    some = np.random.default_rng(0).permutation(items)[:rest]
    return np.concatenate([np.tile(np.arange(items), whole), some])


def listed(experiment: Experiment, name: str) -> Clips:
    """The clips to pass over under one recipe, before they are repeated to the common length.

    Returns: one entry for every clip, or as many as the recipe makes of it; for a recipe that draws
        anew, one such list for every pass, one after the other.
    """
    recipe, clips = RECIPES[name], experiment.clips("fit")
    if recipe.draw is None:
        other = experiment.table("fit")["device"].to_numpy() != REFERENCE_DEVICE
        rows = np.repeat(np.arange(len(other)), np.where(other, recipe.copies, 1))
        return Clips(clips.x[rows], clips.labels[rows], clips.identifiers[rows])
    parts = [np.load(path) for path in sorted(_drawn(experiment, name).glob("*.npz"))]
    x = torch.from_numpy(np.concatenate([part["x"] for part in parts]))
    rows = np.concatenate([part["rows"] for part in parts])
    return Clips(x, clips.labels[rows], clips.identifiers[rows])


def _drawn(experiment: Experiment, name: str) -> Path:
    """The artefact of a recipe's pictures: NNN.npz for each pass, with x and the rows of clips."""
    recipe, table, log_mel = RECIPES[name], experiment.table("fit"), LogMel.tmsic()
    passes = experiment.profile.student.epochs if recipe.anew else 1

    def build(folder: Path) -> None:
        for number in range(passes):
            if (folder / f"{number:03}.npz").exists():
                continue  # by a run that was killed in a later pass
            x, rows = [], []
            with one_thread():
                for row, clip in enumerate(table.itertuples()):
                    wave = read_audio(experiment.corpus.root / clip.filename, row=clip.Index + 2)
                    pictures = recipe.draw(wave, clip, log_mel, (SEED, number))
                    x.append(pictures)
                    rows += [row] * len(pictures)
            buffer = io.BytesIO()
            np.savez(buffer, x=np.concatenate(x), rows=np.array(rows))
            write_atomic(folder / f"{number:03}.npz", buffer.getvalue())

    recipe_settings = {"recipe": name, "passes": passes, "seed": SEED, "log_mel": log_mel.settings}
    return artefact(
        "augmented",
        recipe_settings | {"clips": joblib.hash(table["identifier"].tolist())},
        build,
        version=VERSION,
        parents=(experiment.data.features,),
    )


def _trained(experiment: Experiment, name: str) -> Path:
    """The artefact of one training: logits.npy of the test clips, and fit.json."""
    recipe, student = RECIPES[name], experiment.profile.student
    plan = replace(student, epochs=1, monitor="last", mixstyle=recipe.mixstyle)
    fit, test = experiment.clips("fit"), experiment.clips("test")

    def build(folder: Path) -> None:
        clips = listed(experiment, name)
        rows = repeated(len(clips.labels), student.epochs * len(fit.labels))
        clips = Clips(clips.x[rows], clips.labels[rows], clips.identifiers[rows])
        torch.manual_seed(experiment.seed)
        net = TMSIC()
        objective = mixup_cross_entropy if recipe.mixup else None
        validation = experiment.clips("validation")
        train(net, clips, validation, plan, seed=experiment.seed, objective=objective, label=name)
        known = macro_accuracy(predict(net, fit.x), fit.labels)
        np.save(folder / "logits.npy", predict(net, test.x).numpy())
        write_atomic(folder / "fit.json", json.dumps({"fit_accuracy": known}).encode())

    parents = (experiment.data.features, *([_drawn(experiment, name)] if recipe.draw else []))
    identifiers = [*fit.identifiers, *test.identifiers]
    return artefact(
        "augmented_student",
        {"recipe": name, "plan": asdict(plan), "passes": student.epochs, "seed": experiment.seed}
        | {"copies": recipe.copies, "mixup": recipe.mixup, "clips": joblib.hash(identifiers)},
        build,
        version=VERSION,
        parents=parents,
    )


def augmentation(experiment: Experiment, seeds: list[int]) -> dict[str, Any]:
    """The figures of `results/augmentation.json`: every recipe and seed on the test clips.

    Args: experiment, whose corpus, features and student's plan are used; seeds of the trainings.
    Returns: how many clips each recipe lists, and steps; the scores of each run; each recipe's
        pooled scores; and paired differences to BASE, and of six-fold to its control, on all, seen
        and unseen devices.
    """
    experiments = [Experiment(experiment.profile, experiment.data_root, seed) for seed in seeds]
    clips = experiment.table("test")
    drawn = [(experiment, name) for name, recipe in RECIPES.items() if recipe.draw]
    side_by_side(_drawn, drawn, "pictures")
    side_by_side(_trained, [(one, name) for one in experiments for name in RECIPES], "trainings")
    unseen = np.isin(clips["device"], UNSEEN_DEVICES)
    groups = {"all": np.ones(len(clips), bool), "seen": ~unseen, "unseen": unseen}
    groups = {group: mask for group, mask in groups.items() if mask.any()}
    probabilities, runs = {}, []
    for name in RECIPES:
        for one in experiments:
            folder = _trained(one, name)
            logits = torch.from_numpy(np.load(folder / "logits.npy"))
            answer = logits.double().softmax(1).numpy()
            probabilities.setdefault(name, []).append(answer)
            score = evaluate(answer, clips, resamples=1)
            parts = {"seen_accuracy": score.seen, "unseen_accuracy": score.unseen}
            row = {"accuracy": score.overall.accuracy, "log_loss": score.overall.log_loss}
            row |= {column: part and part.accuracy for column, part in parts.items()}
            row |= json.loads((folder / "fit.json").read_text())
            runs.append({"recipe": name, "seed": one.seed, **row})
    every_seed = pd.concat([clips] * len(seeds), ignore_index=True)
    pooled = {name: evaluate(np.concatenate(p), every_seed) for name, p in probabilities.items()}
    pairs = [(name, BASE) for name in RECIPES if name != BASE] + [("six-fold", "copies")]
    differences = [
        {
            "recipe": name,
            "base": base,
            "devices": group,
            **paired(
                [p[mask] for p in probabilities[name]],
                [p[mask] for p in probabilities[base]],
                clips[mask],
            ),
        }
        for name, base in pairs
        for group, mask in groups.items()
    ]
    student, n = experiment.profile.student, len(experiment.table("fit"))
    return {
        "size": asdict(experiment.profile.corpus),
        "clips": {split: len(experiment.table(split)) for split in SPLITS},
        "recordings": {split: experiment.table(split)["recording"].nunique() for split in SPLITS},
        "seeds": seeds,
        "passes": student.epochs,
        "steps": student.epochs * n // min(student.batch_size, student.epochs * n),
        "listed": {name: len(listed(experiment, name).labels) for name in RECIPES},
        "runs": pd.DataFrame(runs).round(5).to_dict("records"),
        "pooled": {name: s.table().round(5).to_dict("records") for name, s in pooled.items()},
        "differences": differences,
    }
