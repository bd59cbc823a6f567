"""Evaluation: scores with their uncertainty, ranks and embeddings."""

from asclib.evaluation.comparison import Results
from asclib.evaluation.control import holm
from asclib.evaluation.ranking import (
    Ranking,
    groups,
    paired_test,
    rank,
)
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
    "Ranking",
    "Results",
    "Score",
    "calibration",
    "compare",
    "device_gap",
    "evaluate",
    "groups",
    "holm",
    "over_seeds",
    "paired",
    "paired_test",
    "rank",
    "score",
    "verdict",
]
