"""Augmentation of a batch: what pairs its clips, and what moves or hides a part of each.

`FreqMixStyle`, `Mixup`, `TimeRoll`, `FrequencyMask` and `Gain` are for `Training.batch`: they
change inputs, targets and a teacher's answers alike, so that a student can be taught with any.
Where a transform leaves the sound what it is, what the teacher said of it holds; where it mixes two
sounds, their answers are mixed as the sounds are.

Chapter: book/input/augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from asclib import checked
from asclib.training import Batch

NEPERS_PER_DECIBEL = np.log(10) / 20

# ---- the clips of a batch --------------------------------------------------------------------


def freq_mixstyle(
    x: Tensor, p: float = 0.4, alpha: float = 0.3, *, generator: torch.Generator, eps: float = 1e-6
) -> Tensor:
    """Give each clip, band by band, a mean and deviation between its own and another clip's.

    MixStyle (Zhou et al. 2021, arXiv 2104.02008) with statistics of each mel band over time, where
    a device leaves its colour, instead of each channel (Kim et al. 2022, arXiv 2206.12513; Schmid
    et al. 2022, who named it Freq-MixStyle). p and alpha are those of the DCASE baselines 2023 to
    2025; TF-SepNet takes 0.8 and 0.4.

    Args:
        x: (batch, channels, mels, frames) log-mel.
        p: probability that the batch is changed at all.
        alpha: of the Beta(alpha, alpha) from which each clip's own weight is drawn.
        generator: of the CPU or a GPU; one number is drawn from it, whatever p.
        eps: added to variances under the root.

    Returns: the same shape and type. The statistics carry no gradient.
    """
    check_probability(p)
    if x.ndim != 4:
        raise ValueError(f"expected (batch, channels, mels, frames), got shape {tuple(x.shape)}")
    rng, partner, own = _pairs(x, alpha, generator)
    if rng.uniform() >= p:
        return x
    own = own[:, None, None, None]
    mean = x.detach().mean((1, 3), keepdim=True)  # (batch, 1, mels, 1)
    # Dividing by n or n - 1 makes no difference: only the ratio of two deviations counts.
    deviation = (x.detach().var((1, 3), correction=0, keepdim=True) + eps).sqrt()
    mixed_mean = own * mean + (1 - own) * mean[partner]
    mixed_deviation = own * deviation + (1 - own) * deviation[partner]
    return (x - mean) / deviation * mixed_deviation + mixed_mean


class Mixed(NamedTuple):
    """A mixed batch: x, the clips' own labels and their partners', and the own weight (batch,)."""

    x: Tensor
    labels: Tensor
    partner_labels: Tensor
    weight: Tensor


def mixup(x: Tensor, labels: Tensor, alpha: float = 0.3, *, generator: torch.Generator) -> Mixed:
    """Mix each clip with another one of the batch (mixup; Zhang et al. 2018, arXiv 1710.09412).

    weight * x + (1 - weight) * x[partner], the weight of each clip drawn from Beta(alpha, alpha).
    The loss is mixed likewise: weight * loss(labels) + (1 - weight) * loss(partner_labels), clip by
    clip, or the cross-entropy with `soft_labels`.

    Args:
        x: (batch, ...) floats, waveforms or log-mel.
        labels: (batch,) classes, or anything (batch, ...) that goes with the clips, such as a
            teacher's logits; torch.arange(batch) makes `partner_labels` the partners' rows.
        generator: of the CPU or a GPU; one number is drawn from it.
    """
    if len(x) != len(labels):
        raise ValueError(f"{len(x)} clips and {len(labels)} labels: pass a label for each clip")
    _, partner, own = _pairs(x, alpha, generator)
    shaped = own.view(-1, *[1] * (x.ndim - 1))
    return Mixed(shaped * x + (1 - shaped) * x[partner], labels, labels[partner], own)


def soft_labels(mixed: Mixed, classes: int) -> Tensor:
    """(batch, classes) probabilities: each clip's weight at its own label, the rest at the other's.

    Raises: ValueError when the labels are not classes.
    """
    if mixed.labels.ndim != 1 or mixed.labels.is_floating_point():
        raise ValueError("soft labels need classes: pass mixup labels of shape (batch,), whole")
    own = F.one_hot(mixed.labels, classes) * mixed.weight[:, None]
    return own + F.one_hot(mixed.partner_labels, classes) * (1 - mixed.weight[:, None])


def _pairs(
    x: Tensor, alpha: float, generator: torch.Generator
) -> tuple[np.random.Generator, Tensor, Tensor]:
    """(rng, partner (batch,) rows, weight (batch,) of the clip itself) for a batch of floats."""
    check_alpha(alpha)
    if not x.is_floating_point():
        raise ValueError(f"expected floats, got {x.dtype}: convert with x.float()")
    # torch draws from no Beta with a generator of one's own; numpy does, the same on every device.
    drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
    rng = np.random.default_rng(int(drawn))
    partner = torch.from_numpy(rng.permutation(len(x)))
    weight = torch.as_tensor(rng.beta(alpha, alpha, len(x)), dtype=x.dtype)
    # A GPU must not be waited for in every batch.
    partner, weight = (each.to(x.device, non_blocking=True) for each in (partner, weight))
    return rng, partner, weight


def check_alpha(alpha: float) -> None:
    checked.number("alpha", alpha)
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, not {alpha}: leave the call out to mix nothing")


def check_probability(p: float) -> None:
    checked.number("p", p)
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, 0 to 1, not {p}")


# ---- for Training.batch ------------------------------------------------------------------------


@dataclass(frozen=True)
class FreqMixStyle:
    """`freq_mixstyle` of each batch: the clips exchange the colours of their devices."""

    p: float = 0.4
    alpha: float = 0.3

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_alpha(self.alpha)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch._replace(x=freq_mixstyle(batch.x, self.p, self.alpha, generator=generator))


@dataclass(frozen=True)
class Mixup:
    """`mixup` of each batch: targets become soft labels, and a teacher's answers are mixed too."""

    alpha: float = 0.3

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        rows = torch.arange(len(batch.x), device=batch.x.device)
        mixed = mixup(batch.x, rows, self.alpha, generator=generator)
        partner = mixed.partner_labels

        def mix(values: Tensor) -> Tensor:
            own = mixed.weight.to(values).view(-1, *[1] * (values.ndim - 1))
            return own * values + (1 - own) * values[partner]

        answers = None if batch.answers is None else mix(batch.answers)
        return batch._replace(x=mixed.x, targets=mix(batch.soft_targets()), answers=answers)


@dataclass(frozen=True)
class TimeRoll:
    """Each clip rolled round along its last axis by up to `limit` steps either way.

    Of log-mel features a step is a frame (0.128 s for TMSIC), of waveforms a sample.
    """

    limit: int = 1

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        steps = batch.x.shape[-1]
        if not 0 <= self.limit < steps:
            raise ValueError(f"limit {self.limit} must be a number of steps, 0 to {steps - 1}")
        device = generator.device
        drawn = torch.randint(
            -self.limit, self.limit + 1, (len(batch.x), 1), generator=generator, device=device
        )
        place = (torch.arange(steps, device=device) - drawn) % steps  # (b, steps)
        shape = (len(place), *[1] * (batch.x.ndim - 2), steps)
        place = place.to(batch.x.device, non_blocking=True).view(shape).expand_as(batch.x)
        return batch._replace(x=batch.x.gather(-1, place))


@dataclass(frozen=True)
class FrequencyMask:
    """Adjacent mel bands of each clip hidden behind their mean, with probability `p`.

    SpecAugment's frequency masking (Park et al. 2019, arXiv 1904.08779); how many bands is uniform
    up to `share` of them, and so is their place. Inputs are (b, channels, mels, frames).
    """

    p: float = 1.0
    share: float = 0.1

    def __post_init__(self) -> None:
        check_probability(self.p)
        checked.number("share", self.share)
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is a part of the mel bands, 0 to 1, not {self.share}")

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        mels = batch.x.shape[-2]
        drawn = torch.rand(3, len(batch.x), 1, generator=generator, device=generator.device)
        happens, width, place = drawn.to(batch.x.device, non_blocking=True)
        width = (width * (self.share * mels + 1)).floor() * (happens < self.p)
        first = (place * (mels - width + 1)).floor()
        band = torch.arange(mels, device=batch.x.device)
        hidden = ((band >= first) & (band < first + width))[:, None, :, None].to(batch.x.dtype)
        count = (hidden.sum((1, 2, 3)) * batch.x.shape[1] * batch.x.shape[3]).clamp(min=1)
        mean = (batch.x * hidden).sum((1, 2, 3)) / count
        return batch._replace(x=torch.lerp(batch.x, mean[:, None, None, None], hidden))


@dataclass(frozen=True)
class Gain:
    """Each clip louder or softer by up to `limit` decibels either way.

    Inputs are log-mel in nepers of amplitude, so that a gain is one number added to all of a clip;
    of waveforms it would have to be a factor.
    """

    limit: float = 6.0

    def __post_init__(self) -> None:
        checked.number("limit", self.limit, 0)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        drawn = torch.rand(len(batch.x), generator=generator, device=generator.device)
        nepers = (2 * drawn - 1) * self.limit * NEPERS_PER_DECIBEL
        nepers = nepers.to(batch.x.device, batch.x.dtype, non_blocking=True)
        return batch._replace(x=batch.x + nepers.view(-1, *[1] * (batch.x.ndim - 1)))
