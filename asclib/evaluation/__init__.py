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
    BLOCK,
    QUANTILES,
    SUM_TOLERANCE,
    Calibration,
    Comparison,
    Evaluation,
    Score,
    calibration,
    compare,
    evaluate,
    over_seeds,
    paired,
    score,
    verdict,
)

__all__ = [
    "BLOCK",
    "QUANTILES",
    "SUM_TOLERANCE",
    "Calibration",
    "Comparison",
    "Evaluation",
    "Ranking",
    "Results",
    "Score",
    "calibration",
    "compare",
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
