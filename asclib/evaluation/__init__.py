"""Evaluation: scores with their uncertainty, comparisons and embeddings."""

from asclib.evaluation.comparison import Results
from asclib.evaluation.scores import (
    Calibration,
    Comparison,
    Evaluation,
    Score,
    calibration,
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
    "calibration",
    "compare",
    "device_gap",
    "evaluate",
    "over_seeds",
    "paired",
    "score",
    "verdict",
]
