"""Numbers rounded to the integers of a file, and read back: weights and activations.

Jacob et al. 2018 (arXiv 1712.05877) for the affine scheme.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from asclib import checked
from asclib.compression.graph import by_output

Rounding = Literal["sum_kept", "nearest"]


def quantize_weight(
    weight: Tensor, bits: int = 8, groups: int = 0, rounding: Rounding = "sum_kept"
) -> Tensor:
    """Weights rounded to symmetric integers, one scale per output channel, each kernel's sum kept.

    The scale is s = max|w| / (2^(bits − 1) − 1), for int8 max|w| / 127, so nothing is clipped.
    Rounded to the nearest step, the errors of a kernel's taps add up to some number, and an input
    with a mean turns that number into a shift of the whole map: log-mel pictures lie nepers below
    zero, so this shift does most of the damage. Here all taps are rounded down, and then those with
    the largest remainders up, as many as keep the kernel's sum to half a step: a tap may move when
    its neighbours do. A kernel of one tap, as in a dense layer, is rounded to the nearest.

    Args: weight (out, in, …); bits, 2 to 8; groups of a transposed convolution, whose weight is
        (in, out of a group, …), 0 for all else; rounding, "nearest" for every tap by itself.
    Returns: the same shape, s · integer in float.
    Raises: ValueError naming another rounding, and the two there are.
    """
    checked.one_of("rounding", rounding, get_args(Rounding))
    weight = by_output(weight, groups)
    scale = (weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)).view(-1, 1, 1)
    scale = scale.clamp_min(torch.finfo(weight.dtype).tiny)  # a channel of zeros stays zero
    steps = weight.flatten(2) if weight.dim() > 2 else weight.unsqueeze(2)
    steps = steps / scale  # (out, in, taps)
    if rounding == "nearest":
        return by_output((steps.round() * scale).view(weight.shape), groups)
    remainder = steps - steps.floor()
    rank = remainder.argsort(2, descending=True).argsort(2)
    raised = rank < remainder.sum(2, keepdim=True).round()
    return by_output(((steps.floor() + raised) * scale).view(weight.shape), groups)


def quantize_activation(x: Tensor) -> Tensor:
    """Activations rounded to asymmetric int8, one range per clip: s = (max − min) / 255.

    The range always includes 0, so that zero padding stays exact.

    Args: x (batch, …). Returns: the same shape, s · (round(x / s) clipped to int8) in float.
    """
    low, high = (bound.view(-1, *[1] * (x.dim() - 1)) for bound in x.flatten(1).aminmax(dim=1))
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = ((high - low) / 255).clamp_min(torch.finfo(x.dtype).tiny)
    zero = (-128 - low / scale).round()
    return ((x / scale + zero).round().clamp(-128, 127) - zero) * scale


def round_between(x: Tensor, low: float, high: float) -> Tensor:
    """Asymmetric int8 in a fixed range, which is stretched to hold 0; what lies outside is clipped.

    In training the gradient passes as if nothing were rounded, except where x is clipped.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, torch.finfo(x.dtype).tiny)
    zero = round(-128 - low / scale)
    inside = x.clamp((-128 - zero) * scale, (127 - zero) * scale)
    rounded = ((inside / scale + zero).round().clamp(-128, 127) - zero) * scale
    return inside + (rounded - inside).detach()
