"""The package that is handed in: outputs, meta.yaml and, of 2025, the code that infers, in a zip.

    task1/<label>/<label>.output.csv             (2024: .output.split_5.csv to split_100.csv)
    task1/<label>/<label>.meta.yaml
    task1/<label>/<label>.technical_report.pdf   where one is given
    inference/...                                (2025, for a public repository)

A label is <last name>_<institute>_task1_<1 to 4>. Nothing is written that `check` would refuse.

Chapters: book/challenges/entry_2022, book/practice/tau.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from asclib import __version__
from asclib.challenge.check import find_faults, refuse, unpack
from asclib.challenge.inference import BITS, GENERAL, DeviceModels, predict, save_models
from asclib.challenge.meta import dump, label_of, meta_of
from asclib.challenge.official import within_each
from asclib.challenge.outputs import outputs, outputs_text
from asclib.challenge.systems import System, answers_of
from asclib.challenge.task import SAMPLE_RATE, SCENES
from asclib.challenge.years import Year, year_of
from asclib.corpus.folder import Corpus
from asclib.corpus.tables import CorpusError
from asclib.evaluation.scores import evaluate
from asclib.features import LogMel
from asclib.store import write_atomic

LIBRARY = Path(__file__).resolve().parent.parent
EXTRAS = "safetensors numpy torch librosa soxr soundfile pandas joblib filelock tqdm scikit-learn"


@dataclass(frozen=True)
class Entry:
    """One system of a package.

    Attributes: label; meta, the content of meta.yaml; outputs, an outputs table by subset in per
        cent (100 where there are none); inference, further files by their name in `inference/`.
    """

    label: str
    meta: Mapping[str, Any]
    outputs: Mapping[int, pd.DataFrame]
    inference: Mapping[str, bytes] = field(default_factory=dict)

    def files(self, year: Year) -> dict[str, bytes]:
        """Its files by their names in the zip."""
        folder = f"task1/{self.label}/{self.label}"
        names = year.output_names(self.label)
        found = {f"{folder}.meta.yaml": dump(self.meta).encode()}
        for percent, table in self.outputs.items():
            name = names.get(percent, f"{self.label}.output.split_{percent}.csv")
            found[f"task1/{self.label}/{name}"] = outputs_text(table)
        return found | {f"inference/{name}": content for name, content in self.inference.items()}


@dataclass(frozen=True)
class Submission:
    """The systems of one team in one year.

    Args: year; entries, one to four; expected, the bare names of the clips to be answered, where
        they are not those of the challenge's evaluation set; report, the technical report's pdf.
    """

    year: int
    entries: Sequence[Entry]
    expected: Sequence[str] | None = None
    report: Path | None = None

    def files(self) -> dict[str, bytes]:
        """All files by their names in the zip."""
        found: dict[str, bytes] = {}
        for entry in self.entries:
            found |= entry.files(year_of(self.year))
            if self.report is not None:
                name = f"task1/{entry.label}/{entry.label}.technical_report.pdf"
                found[name] = self.report.read_bytes()
        return found

    def write(self, path: str | Path) -> Path:
        """Write the zip; systems of the same team that lie in it already stay.

        Returns: the path. Raises: FileExistsError where a system of that label lies there;
        CorpusError for what cannot be unpacked there, or the first fault that `check` finds (a note
        counts the others). The zip that was there is left as it was then.
        """
        path = Path(path)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            if path.exists():
                unpack(path, root)
            for entry in self.entries:
                if (root / "task1" / entry.label).exists():
                    raise FileExistsError(
                        f"{path} holds {entry.label} already: give another index, or another file"
                    )
            for name, content in self.files().items():
                target = root.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            refuse(find_faults(root, self.year, self.expected))
            write_atomic(path, _zipped(root))
        return path


def _zipped(root: Path) -> bytes:
    """All files below a folder as a zip, without their dates: equal files make equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as new:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                item = zipfile.ZipInfo(file.relative_to(root).as_posix())
                new.writestr(item, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def entry(
    year: int,
    systems: Mapping[str, System],
    about: Mapping[str, Any],
    *,
    development: str | Path,
    evaluation: str | Path,
    index: int = 1,
) -> Entry:
    """Ask a system about both sets, and put its part of a package together.

    Args:
        systems: by subset in per cent, "5" to "100" (2024); by device, with one named "general"
            (2025); else a single one, under any name.
        about: the content of about.yaml, see `asclib.challenge.meta`.
        development: the folder whose test clips give the results of meta.yaml.
        evaluation: the folder whose clips are answered.
        index: 1 to 4, of the system in its package.
    Raises: ValueError for systems that are beyond the year's limits or not those it asks for, for
        an about.yaml that is not filled in, and for a development set without scenes.
    """
    rules = year_of(year)
    label_of(rules, about, index)  # nobody waits for answers that are refused afterwards
    if "evaluation" in set(Corpus.open(development, files=False).clips["split"]):
        raise ValueError(f"{development} has no scenes: results are those on a development set")
    if rules.inference:
        return _with_inference(rules, systems, about, development, evaluation, index)
    wanted = [str(percent) for percent in rules.subsets]
    if wanted and sorted(systems) != sorted(wanted):
        raise ValueError(
            f"{year} asks for a system of each subset, {', '.join(wanted)} %; "
            f"given: {', '.join(systems)}"
        )
    if not wanted and len(systems) != 1:
        raise ValueError(f"{year} asks for one system an entry; given: {', '.join(systems)}")
    for name, one in systems.items():
        if not (verdict := one.cost.within(rules.limits, one.bits)):
            raise ValueError(f"{name}: {verdict}; take a smaller network, or fewer bits")
    tables, results = {}, {}
    for name, one in systems.items():
        percent = int(name) if wanted else 100
        clips, said = answers_of(one, evaluation)
        tables[percent] = outputs(clips["filename"], said)
        clips, said = answers_of(one, development)
        results[percent] = evaluate(said, clips)
    costs = [one.costs() for one in systems.values()]
    largest = {name: max(one[name] for one in costs) for name in costs[0]}
    meta = meta_of(rules, about, index, largest, results)
    return Entry(meta["submission"]["label"], meta, tables)


# ---- 2025 ----------------------------------------------------------------------------------------


def _with_inference(
    rules: Year,
    systems: Mapping[str, System],
    about: Mapping[str, Any],
    development: str | Path,
    evaluation: str | Path,
    index: int,
) -> Entry:
    """An entry of 2025, answered by the code that is shipped."""
    files = sorted(device for device, one in systems.items() if one.net is None)
    if files:
        raise ValueError(
            f"the model of {files[0]} is a .tflite: the inference of 2025 runs in torch, so give "
            "its network (.safetensors, module:factory or a run)"
        )
    heard = LogMel.tmsic().settings
    if other := sorted(d for d, one in systems.items() if one.front_end.settings != heard):
        raise ValueError(
            f"the model of {other[0]} hears through another front end than LogMel.tmsic(), the one"
            " that a package of 2025 carries: train it on those pictures"
        )
    models = DeviceModels({device: one.net for device, one in systems.items() if one.net})
    counted = models.complexities()
    if not (verdict := within_each(counted, rules.limits, BITS)):
        raise ValueError(f"{verdict}; take a smaller network")
    clips, said = _predicted(models, evaluation)
    test, told = _predicted(models, development)
    costs = {device: (one.macs, one.bytes(BITS)) for device, one in counted.items()}
    macs, size = (max(values) for values in zip(*costs.values(), strict=True))
    parameters = max(one.parameters for one in counted.values())
    fields = {"macs": macs, "total_model_size": size, "total_parameters": parameters}
    meta = meta_of(rules, about, index, fields, {100: evaluate(told, test)})
    label, table = meta["submission"]["label"], outputs(clips["filename"], said)
    right = told.argmax(1) == [SCENES.index(scene) for scene in test["scene"]]
    files_of = _inference_files(label, models, test["filename"].tolist())
    predictions = {
        "output.csv": outputs_text(table),
        "test_accuracy.json": _json({"Test Accuracy": round(100 * float(right.mean()), 2)}),
        "complexity.json": _json(complexity_json({d: costs[d] for d in costs if d != GENERAL})),
    }
    files_of |= {f"predictions/{label}/{name}": text for name, text in predictions.items()}
    return Entry(label, meta, {100: table}, files_of)


def complexity_json(costs: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """MACs and bytes of each device's model, as the evaluation of 2025 writes them."""
    return {
        "per_device": {d: {"MACs": macs, "Params": size} for d, (macs, size) in costs.items()},
        "max_MACs": max(macs for macs, _ in costs.values()),
        "max_Params": max(size for _, size in costs.values()),
    }


def _predicted(models: DeviceModels, root: str | Path) -> tuple[pd.DataFrame, np.ndarray]:
    corpus = Corpus.open(root)
    evaluation = (corpus.clips["split"] == "evaluation").any()
    table = corpus.split("evaluation" if evaluation else "test")
    if table["device"].isna().any():
        problem = "does not tell the devices of its clips"
        remedy = "2025's set does, in a column device_id of evaluation_setup/fold1_test.csv"
        raise CorpusError(str(root), None, problem, remedy)
    paths = [str(corpus.root / name) for name in table["filename"]]
    logits, _ = predict(models, paths, table["device"].tolist())
    said = np.stack([one.double().softmax(0).numpy() for one in logits])
    return table, said


def _inference_files(label: str, models: DeviceModels, test: Sequence[str]) -> dict[str, bytes]:
    """A Python package that installs by itself: it carries asclib."""
    package = label.rpartition("_")[0]
    hiss = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE)
    sound = io.BytesIO()
    soundfile.write(sound, hiss, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    with tempfile.TemporaryDirectory() as folder:
        save_models(models, Path(folder, "weights"))
        weights = Path(folder, "weights").read_bytes()
    found = {
        f"{package}/__init__.py": f'"""The systems of {package}."""\n'.encode(),
        f"{package}/{label}.py": _MODULE.format(label=label).encode(),
        f"{package}/ckpts/{label}.safetensors": weights,
        f"{package}/resources/__init__.py": b"",
        f"{package}/resources/dummy.wav": sound.getvalue(),
        f"{package}/resources/test.csv": "\n".join(["filename", *test, ""]).encode(),
        "requirements.txt": "\n".join([*EXTRAS.split(), ""]).encode(),
        "setup.py": _SETUP.format(package=package, version=__version__).encode(),
        "README.md": _README.format(package=package, label=label).encode(),
    }
    for path in sorted(LIBRARY.rglob("*")):
        name = path.relative_to(LIBRARY.parent).as_posix()
        if path.is_file() and "__pycache__" not in name:
            found[name] = path.read_bytes()
    return found


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


_MODULE = '''"""Inference of {label}: the functions that the evaluation of 2025 calls."""

from pathlib import Path

from asclib.challenge import inference
from asclib.challenge.inference import get_model_for_device, load_inputs

__all__ = ["get_model_for_device", "load_inputs", "load_model", "predict"]
WEIGHTS = Path(__file__).parent / "ckpts" / "{label}.safetensors"


def load_model(model_file_path=None):
    return inference.load_model(model_file_path or WEIGHTS)


def predict(file_paths, device_ids, model_file_path=None, use_cuda=True):
    return inference.predict(load_model(model_file_path), file_paths, device_ids, use_cuda)
'''
_SETUP = """from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="{package}",
    version="{version}",
    packages=find_packages(),
    package_data={{"{package}": ["ckpts/*", "resources/*"], "asclib": ["**/*"]}},
    install_requires=Path(__file__).with_name("requirements.txt").read_text().split(),
)
"""
_README = """# {package}

`pip install -e .`, then

```python
from {package} import {label}

logits, scenes = {label}.predict(["clip.wav"], ["s1"])
```

`asclib/` is the library the systems were made with. `predictions/` holds what they answered.
"""
