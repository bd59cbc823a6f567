"""What a network or a .tflite file costs, counted as the challenge counts it.

`asclib.complexity` is this package and, called, the counter itself: `complexity(net)`.
Chapter: complexity.
"""

import sys
from types import ModuleType
from typing import Any

from asclib.challenge.limits import LIMITS, Limits, Verdict
from asclib.complexity.count import Complexity, complexity
from asclib.complexity.file import FileComplexity, complexity_of_file

__all__ = [
    "LIMITS",
    "Complexity",
    "FileComplexity",
    "Limits",
    "Verdict",
    "complexity",
    "complexity_of_file",
]


class _Counter(ModuleType):
    """So that `from asclib import complexity` gives what its name says, whatever was imported."""

    def __call__(self, *args: Any, **kwargs: Any) -> Complexity:
        return complexity(*args, **kwargs)


sys.modules[__name__].__class__ = _Counter
