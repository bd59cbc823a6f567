"""What made a result: settings, versions, processor.

Chapter: book/challenges/scoreboard.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from asclib import keys
from asclib.corpus.embedded import render
from asclib.distillation.techniques import TECHNIQUES
from asclib.runs.experiment import Experiment

PACKAGES = ("torch", "numpy", "scikit-learn", "librosa", "soxr")


def provenance(experiment: Experiment, techniques: tuple[str, ...] = ()) -> dict[str, Any]:
    """What made the results: settings, versions, processor. No dates, no paths."""
    return {
        "profile": keys.plain(experiment.profile),
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
