"""Trained networks as values, what they learn from, and building many at once."""

from asclib.runs.data import Data
from asclib.runs.run import Lesson, Run, answers, build, save_weights

__all__ = ["Data", "Lesson", "Run", "answers", "build", "save_weights"]
