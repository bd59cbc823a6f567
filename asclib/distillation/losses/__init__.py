"""Losses of distillation: pure functions, student first, teacher second, mean over the batch."""

from asclib.distillation.losses.answers import (
    contrastive,
    decoupled,
    dist,
    standardised,
)
from asclib.distillation.losses.feature_maps import (
    attention,
    hint,
    margin,
    negative_mean,
    similarity,
)
from asclib.distillation.losses.relations import (
    relational,
    relational_and_response,
    relational_angle,
    relational_distance,
    relational_embedding,
    relational_on_probabilities,
    unit_probabilities,
)
from asclib.distillation.losses.response import (
    response,
    response_double_softmax,
)

__all__ = [
    "attention",
    "contrastive",
    "decoupled",
    "dist",
    "hint",
    "margin",
    "negative_mean",
    "relational",
    "relational_and_response",
    "relational_angle",
    "relational_distance",
    "relational_embedding",
    "relational_on_probabilities",
    "response",
    "response_double_softmax",
    "similarity",
    "standardised",
    "unit_probabilities",
]
