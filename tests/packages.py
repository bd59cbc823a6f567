"""Sound packages of every year, made of random systems; tests spoil them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from asclib.challenge import DEVICES, SCENES
from asclib.challenge.meta import BLANK, about_template, meta_of
from asclib.challenge.outputs import outputs
from asclib.challenge.submission import Entry, Submission, complexity_json
from asclib.challenge.years import COUNTED_DEVICES, YEARS
from asclib.evaluation import evaluate

CLIPS = [f"{number}.wav" for number in range(30)]
LABEL = "Lee_TUNI_task1_1"
FOLDER = f"task1/{LABEL}"
PREDICTIONS = f"inference/predictions/{LABEL}"
COSTS = {
    "total_model_size": 52_852,
    "total_parameters": 51_986,
    "total_parameters_non_zero": 51_000,
    "memory_use": 52_852,
    "macs": 25_376_896,
}
MODULE = "def load_model(): ...\ndef load_inputs(): ...\n"
MODULE += "def get_model_for_device(): ...\ndef predict(): ...\n"


def system(clips: int, seed: int, scene: np.ndarray | None = None) -> np.ndarray:
    """Probabilities (clips, 10) of a random system, better than chance where the scene is told."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(clips, 10))
    if scene is not None:
        logits[np.arange(clips), scene] += 1
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(1, keepdims=True)


def clips_of(number: int, seed: int = 0) -> pd.DataFrame:
    """A table of test clips in which every scene, device and city occurs."""
    generator = np.random.default_rng(seed)
    cities = np.array(["porto", "turku", "gent"])[generator.integers(0, 3, number)]
    return pd.DataFrame(
        {
            "scene": [SCENES[row % 10] for row in range(number)],
            "device": [DEVICES[row // 10 % 9] for row in range(number)],
            "city": cities,
            "location": generator.integers(0, 9, number).astype(str),
        }
    )


def about(year: int) -> dict[str, Any]:
    """An about.yaml that was filled in."""
    text = about_template(YEARS[year]).replace(f"team: {BLANK}", "team: Lee_TUNI")
    return yaml.safe_load(text.replace(BLANK, "told"))


def submission(year: int) -> Submission:
    """A sound package of one system, as `write` wants it."""
    rules, test = YEARS[year], clips_of(540)
    scene = np.array([SCENES.index(name) for name in test["scene"]])
    percents = rules.subsets or (100,)
    results = {p: evaluate(system(540, p, scene), test) for p in percents}
    meta = meta_of(rules, about(year), 1, COSTS, results)
    tables = {p: outputs(CLIPS, system(len(CLIPS), p)) for p in percents}
    entry = Entry(meta["submission"]["label"], meta, tables)
    if rules.inference:
        costs = dict.fromkeys(COUNTED_DEVICES, (COSTS["macs"], COSTS["total_model_size"]))
        accuracy = meta["results"]["development_dataset"]["overall"]["accuracy"]
        texts = {
            "output.csv": entry.files(rules)[f"{FOLDER}/{LABEL}.output.csv"],
            "complexity.json": json.dumps(complexity_json(costs)).encode(),
            "test_accuracy.json": json.dumps({"Test Accuracy": accuracy}).encode(),
        }
        files = {f"predictions/{LABEL}/{name}": text for name, text in texts.items()}
        files[f"Lee_TUNI_task1/{LABEL}.py"] = MODULE.encode()
        entry = Entry(entry.label, meta, tables, files)
    return Submission(year, [entry], CLIPS)


def unpacked(made: Submission, root: Path) -> Path:
    """The files of a package in a folder, to be spoilt."""
    for name, content in made.files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
