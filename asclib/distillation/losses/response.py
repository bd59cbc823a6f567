"""Losses on softened answers: what the teacher says of each clip.

All losses count in single precision at the least (`full_precision`): squares, exponentials and the
constants that keep a root or a quotient finite have no place in 16 bits, be they the network's own
or those of `torch.autocast`. A result is float32 then.

Chapter: book/distillation/response.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


@contextlib.contextmanager
def full_precision(student: Tensor, teacher: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both outputs in one type of 32 bits or more, and inside the block no autocast to fewer."""
    common = torch.promote_types(student.dtype, teacher.dtype)
    precise = torch.promote_types(common, torch.float32)
    device = student.device.type
    with contextlib.ExitStack() as stack:
        if torch.amp.is_autocast_available(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        yield student.to(precise), teacher.to(precise)


def same_logits(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> None:
    """Raises: ValueError unless both are logits (batch, classes) of the same clips and classes.

    Torch would spread a single row or column over all others. A temperature is above zero.
    """
    if student.ndim != 2 or student.shape != teacher.shape or student.shape[1] < 2:
        raise ValueError(
            f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)}: "
            "this loss compares the same clips and classes, (batch, classes) of two at the least"
        )
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: give a number above zero")


def one_label_each(labels: Tensor, student: Tensor) -> None:
    """Raises: ValueError unless the labels are (batch,) classes."""
    if labels.shape != student.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} for {len(student)} clips: give (batch,), the "
            "class of each"
        )


def response(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """T² · KL(softmax(t/T) ‖ softmax(s/T)) on logits (Hinton et al. 2015, 1503.02531, section 2).

    Args: student, teacher (batch, classes) logits; temperature > 0.
    Returns: scalar, mean over the batch (`nn.KLDivLoss()`'s default divides by the classes too).
    T² keeps the gradient's size independent of T.
    Raises: ValueError when the shapes differ.
    """
    same_logits(student, teacher, temperature)
    with full_precision(student, teacher) as (s, t):
        return temperature**2 * divergence(s / temperature, t / temperature)


def response_double_softmax(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """The published slip: probabilities divided by T and softmaxed a second time (AI4EDGE 2022).

    KL(softmax(p_t/T) ‖ softmax(p_s/T)) with p = softmax(logits), without T². At T = 3 even a
    one-hot teacher becomes 0.134 against nine times 0.096. Arguments and return as `response`.
    """
    same_logits(student, teacher, temperature)
    with full_precision(student, teacher) as (s, t):
        return divergence(s.softmax(1) / temperature, t.softmax(1) / temperature)


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)), mean over the batch; finite for saturated logits."""
    return F.kl_div(
        student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )
