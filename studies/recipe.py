"""How everybody is trained in the comparisons: the augmentation, chosen on validation clips alone.

    python -m studies recipe --seeds 0 1 2

Each recipe trains the student on labels for as many epochs. It is judged on the validation clips as
their devices heard them, and on those of device a heard through devices that training lacks: not
the test's, whose scores choose nothing, but three invented for this (`INVENTED`).

The rule, set before the first run: the recipe with the highest mean of the two macro accuracies,
averaged over seeds, is taken by all systems, taught or not; of recipes within half a point of it
the one with the fewest transforms.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.signal import fftconvolve

from asclib.augmentation import FreqMixStyle, FrequencyMask, Mixup, impulse_response
from asclib.challenge import SCENES
from asclib.corpus import read_audio
from asclib.corpus.embedded import Device
from asclib.features import BATCH, FrontEnd, LogMel
from asclib.runs import Experiment, Run, build
from asclib.runs.provenance import provenance
from asclib.training import BatchTransform, Clips, macro_accuracy, one_thread, predict
from studies.command import Commands, add_command, experiments

EPOCHS = 24
REFERENCE = "a"
RECIPES: dict[str, tuple[BatchTransform, ...]] = {
    "none": (),
    "Freq-MixStyle": (FreqMixStyle(0.4),),
    "mixup": (Mixup(0.3),),
    "frequency mask": (FrequencyMask(),),
    "Freq-MixStyle, mixup": (FreqMixStyle(0.4), Mixup(0.3)),
}
# As far from device a as s4 to s6 are, and like none of them.
INVENTED = {
    "narrow": Device(250, 6_500, 0.5, ((1_400, 0.5, 6), (500, 0.5, -4))),
    "dull": Device(100, 7_000, -2.0, ((900, 0.6, 5), (2_800, 0.5, 6))),
    "sharp": Device(180, 9_000, 2.0, ((700, 0.5, -6), (2_000, 0.5, 6))),
}


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "recipe", _recipe, profile="study", seeds=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"default: {EPOCHS}")


def _recipe(options: argparse.Namespace) -> dict[str, Any]:
    found = experiments(options)
    made_with = provenance(found[0]) | {"seeds": options.seeds, "epochs": options.epochs}
    return made_with | recipe(found, options.epochs)


def recipe(experiments: Sequence[Experiment], epochs: int = EPOCHS) -> dict[str, Any]:
    """The figures of `results/recipe.json`.

    Returns: `runs`, a row for each recipe and seed: macro accuracy and log loss on the validation
        clips and through the invented devices, and the seconds it took; `chosen`, by the rule.
    """
    runs = {
        (name, one.seed): with_recipe(one, name, epochs) for name in RECIPES for one in experiments
    }
    build(list(runs.values()))
    heard = {"own": experiments[0].clips("validation"), "invented": through(experiments[0])}
    rows = []
    for (name, seed), run in runs.items():
        row = {"recipe": name, "seed": seed, "seconds": run.seconds()}
        for where, clips in heard.items():
            logits = predict(run.net(), clips.x)
            row[f"{where}_accuracy"] = round(macro_accuracy(logits, clips.labels), 5)
            row[f"{where}_log_loss"] = round(float(F.cross_entropy(logits, clips.labels)), 5)
        rows.append(row)
    return {"runs": rows, "chosen": chosen(rows)}


def with_recipe(experiment: Experiment, name: str, epochs: int) -> Run:
    """The student on labels, trained with one of RECIPES."""
    plan = replace(experiment.profile.student, epochs=epochs, batch=RECIPES[name])
    return replace(experiment.student(), plan=plan)


def chosen(rows: Sequence[dict[str, Any]], margin: float = 0.005) -> str:
    """The recipe that the rule takes."""
    means = {
        name: np.mean(
            [
                (row["own_accuracy"] + row["invented_accuracy"]) / 2
                for row in rows
                if row["recipe"] == name
            ]
        )
        for name in dict.fromkeys(row["recipe"] for row in rows)
    }
    best = max(means.values())
    near = [name for name, mean in means.items() if mean >= best - margin]
    return min(near, key=lambda name: (len(RECIPES[name]), -means[name]))


def through(
    experiment: Experiment,
    devices: dict[str, Device] = INVENTED,
    table: pd.DataFrame | None = None,
    front_end: FrontEnd | None = None,
) -> Clips:
    """Clips of device a, each heard through every one of the devices: of the table, or validation.

    A device is its impulse response here, as in training with responses: (clips * devices, 1, mels,
    frames), the identifier with the device's name behind a "|". Args: front_end, TMSIC's when None.
    """
    table = experiment.table("validation") if table is None else table
    table = table[table["device"] == REFERENCE]
    responses = {name: impulse_response(device) for name, device in devices.items()}
    front_end, x, names = front_end or LogMel.tmsic(), [], []
    waves = [read_audio(experiment.corpus.root / name) for name in table["filename"]]
    with one_thread():
        for name, h in responses.items():
            heard = [fftconvolve(wave, h)[: len(wave)].astype(np.float32) for wave in waves]
            x += [front_end(np.stack(heard[k : k + BATCH])) for k in range(0, len(heard), BATCH)]
            names += [f"{identifier}|{name}" for identifier in table["identifier"]]
    labels = torch.tensor([SCENES.index(scene) for scene in table["scene"]]).repeat(len(devices))
    return Clips(torch.cat(x), labels, np.array(names, dtype=object))
