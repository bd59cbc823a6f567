"""Runs: a trained network is a value, found again wherever it is asked for."""

from asclib.runs.data import Data
from asclib.runs.experiment import Experiment
from asclib.runs.kept import Kept
from asclib.runs.parallel import side_by_side
from asclib.runs.profiles import PROFILES, Profile, profile
from asclib.runs.run import Lesson, Run, answers, build, save_weights

__all__ = [
    "PROFILES",
    "Data",
    "Experiment",
    "Kept",
    "Lesson",
    "Profile",
    "Run",
    "answers",
    "build",
    "profile",
    "save_weights",
    "side_by_side",
]
