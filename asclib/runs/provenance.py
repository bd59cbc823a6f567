"""What made a result: settings, versions, processor.

Chapter: book/challenges/scoreboard.
"""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

from asclib.corpus.embedded import render
from asclib.distillation.techniques import TECHNIQUES
from asclib.runs.experiment import Experiment

PACKAGES = ("torch", "numpy", "scikit-learn", "librosa", "soxr")


def provenance(experiment: Experiment, techniques: tuple[str, ...] = ()) -> dict[str, Any]:
    """What made the results: settings, versions, processor. No dates, no paths."""
    return {
        "profile": described(experiment.profile),
        "corpus": f"embedded, version {render.VERSION}"
        if experiment.data_root is None
        else f"given {experiment.corpus.fingerprint[:16]}",
        "techniques": {
            name: [stage.settings() for stage in TECHNIQUES[name]] for name in techniques
        },
        "versions": {name: version(name).partition("+")[0] for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def described(value: Any) -> Any:
    """A plan or a profile as json can write it, for people: fields by name, functions by theirs."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {"type": type(value).__name__} | {k: described(v) for k, v in fields.items()}
    if isinstance(value, (tuple, list)):
        return [described(item) for item in value]
    return getattr(value, "__qualname__", value)
