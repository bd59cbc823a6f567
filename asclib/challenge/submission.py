"""The package that is handed in: outputs, meta.yaml and, of 2025, the code that infers, in a zip.

    task1/<label>/<label>.output.csv             (2024: .output.split_5.csv to split_100.csv)
    task1/<label>/<label>.meta.yaml
    task1/<label>/<label>.technical_report.pdf   where one is given
    inference/...                                (2025, for a public repository)

A label is <last name>_<institute>_task1_<1 to 4>. Nothing is written that `check` would refuse.

Chapter: book/practice/tau.
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
from asclib.challenge.check import find_faults
from asclib.challenge.inference import BITS, GENERAL, DeviceModels, predict, save_models
from asclib.challenge.meta import dump, meta_of
from asclib.challenge.official import within_each
from asclib.challenge.outputs import outputs, outputs_text
from asclib.challenge.systems import System, answers_of
from asclib.challenge.task import SAMPLE_RATE, SCENES
from asclib.challenge.years import Year, year_of
from asclib.corpus.folder import Corpus
from asclib.corpus.tables import CorpusError
from asclib.evaluation.scores import Evaluation, evaluate
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
        CorpusError, the first fault that `check` finds (a note counts the others). The zip that was
        there is left as it was then.
        """
        path = Path(path)
        files = self.files()
        if path.exists():
            with zipfile.ZipFile(path) as old:
                for name in old.namelist():
                    if any(f"task1/{entry.label}/" in name for entry in self.entries):
                        raise FileExistsError(
                            f"{path} holds {name} already: give another index, or another file"
                        )
                    files.setdefault(name, old.read(name))
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                target = Path(folder, *PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            problems = find_faults(Path(folder), self.year, self.expected)
        if problems:
            if len(problems) > 1:
                problems[0].add_note(f"and {len(problems) - 1} more faults")
            raise problems[0]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for name in sorted(files):
                # a fixed date: the same files make the same bytes
                new.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
        write_atomic(path, packed.getvalue())
        return path


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
    Raises: ValueError for systems that are beyond the year's limits or not those it asks for.
    """
    rules = year_of(year)
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
    tables, results, costs = {}, {}, list[dict[str, int]]()
    for name, one in systems.items():
        verdict = one.cost.within(rules.limits, one.bits)
        if not verdict:
            raise ValueError(f"{name}: {verdict}; take a smaller network, or fewer bits")
        percent = int(name) if wanted else 100
        tables[percent] = _answered(one, evaluation)
        clips, probabilities = answers_of(one, development)
        results[percent] = _evaluated(probabilities, clips, development)
        costs.append(one.costs())
    largest = {name: max(one[name] for one in costs) for name in costs[0]}
    meta = meta_of(rules, about, index, largest, results)
    return Entry(meta["submission"]["label"], meta, tables)


def _answered(one: System, root: str | Path) -> pd.DataFrame:
    clips, probabilities = answers_of(one, root)
    return outputs(clips["filename"], probabilities)


def _evaluated(probabilities: np.ndarray, clips: pd.DataFrame, root: str | Path) -> Evaluation:
    if clips["scene"].isna().any():
        raise ValueError(f"{root} has no scenes: results are those on a development set")
    return evaluate(probabilities, clips)


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
    models = DeviceModels({device: one.net for device, one in systems.items() if one.net})
    counted = models.complexities()
    if not (verdict := within_each(counted, rules.limits, BITS)):
        raise ValueError(f"{verdict}; take a smaller network")
    clips, said = _predicted(models, evaluation)
    test, heard = _predicted(models, development)
    evaluated = _evaluated(heard, test, development)
    costs = {device: (one.macs, one.bytes(BITS)) for device, one in counted.items()}
    macs, size = (max(values) for values in zip(*costs.values(), strict=True))
    parameters = max(one.parameters for one in counted.values())
    fields = {"macs": macs, "total_model_size": size, "total_parameters": parameters}
    meta = meta_of(rules, about, index, fields, {100: evaluated})
    label, table = meta["submission"]["label"], outputs(clips["filename"], said)
    right = heard.argmax(1) == [SCENES.index(scene) for scene in test["scene"]]
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
