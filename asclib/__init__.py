"""The library behind the book on low-complexity acoustic scene classification.

The public names are imported on first use: who only counts parameters waits for no audio library.
"""

import importlib
import warnings
from typing import Any

__version__ = "0.1.0"

# tqdm warns on its first import, inside whatever cell that happens to be; the book has no widgets
# on purpose.
warnings.filterwarnings("ignore", message="IProgress not found")

_HOMES = {
    "asclib.challenge": ("LIMITS",),
    "asclib.corpus": ("Corpus",),
    "asclib.features": ("LogMel",),
    "asclib.networks": ("TMSIC", "OneVsAllTeacher"),
    "asclib.training": ("Clips", "Training", "train"),
    "asclib.distillation": ("TECHNIQUES", "Answers", "Stage", "distill", "losses"),
    "asclib.runs": ("Data", "Experiment", "Lesson", "Run", "build"),
    "asclib.evaluation": ("compare", "evaluate"),
    "asclib.compression": ("export",),
    "asclib.litert": ("LiteRT",),
}
_PACKAGES = ("complexity",)  # callable: see there
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted([*_HOME, *_PACKAGES])


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"asclib.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'asclib' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
