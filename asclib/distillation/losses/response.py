"""Losses on softened answers: what the teacher says of each clip.

Chapter: book/distillation/response.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def response(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """T² · KL(softmax(t/T) ‖ softmax(s/T)) on logits (Hinton et al. 2015, 1503.02531, section 2).

    Args: student, teacher (batch, classes) logits; temperature > 0.
    Returns: scalar, mean over the batch (`nn.KLDivLoss()`'s default divides by the classes too).
    T² keeps the gradient's size independent of T.
    """
    return temperature**2 * divergence(student / temperature, teacher / temperature)


def response_double_softmax(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """The published slip: probabilities divided by T and softmaxed a second time (AI4EDGE 2022).

    KL(softmax(p_t/T) ‖ softmax(p_s/T)) with p = softmax(logits), without T². At T = 3 even a
    one-hot teacher becomes 0.134 against nine times 0.096. Arguments and return as `response`.
    """
    return divergence(student.softmax(1) / temperature, teacher.softmax(1) / temperature)


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)), mean over the batch; finite for saturated logits."""
    return F.kl_div(
        student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )
