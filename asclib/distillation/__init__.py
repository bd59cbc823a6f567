"""Distillation: a technique is a tuple of stages, and one trainer runs them all."""

from asclib.distillation.answers import (
    Answers,
    SideBySide,
    class_means,
    permuted,
)
from asclib.distillation.stages import (
    Stage,
    distill,
    objective,
)
from asclib.distillation.techniques import (
    TECHNIQUES,
    stages_of,
)

__all__ = [
    "TECHNIQUES",
    "Answers",
    "SideBySide",
    "Stage",
    "class_means",
    "distill",
    "objective",
    "permuted",
    "stages_of",
]
