"""Evaluation: scores with their uncertainty, comparisons and embeddings."""

from asclib.evaluation.calibration import (
    Calibration,
    best_temperature,
    calibration,
)
from asclib.evaluation.comparison import Results
from asclib.evaluation.scores import (
    Comparison,
    Evaluation,
    Score,
    compare,
    device_gap,
    evaluate,
    over_seeds,
    paired,
    score,
    verdict,
)

__all__ = [
    "Calibration",
    "Comparison",
    "Evaluation",
    "Results",
    "Score",
    "best_temperature",
    "calibration",
    "compare",
    "device_gap",
    "evaluate",
    "over_seeds",
    "paired",
    "score",
    "verdict",
]
