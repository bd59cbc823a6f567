"""Pruning: fewer filters, or fewer weights that are not zero, and healing by more training.

Structured pruning takes whole filters away and leaves a smaller TMSIC. Unstructured pruning sets
single weights to zero; the challenge counts parameters with zeros, so it saves nothing there.

Chapter: book/compression/pruning.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from asclib.complexity.count import complexity
from asclib.distillation.techniques import TECHNIQUES
from asclib.networks.tmsic import TMSIC, Conv2d, as_tmsic
from asclib.runs.kept import Kept
from asclib.runs.run import Lesson, Run
from asclib.training import Training

Criterion = Literal["l1", "bn"]
VERSION = 1  # raised when a pruned network comes to other weights: tests/code_versions.json
WEIGHTED = (nn.Conv2d, nn.Linear)


def widths(net: TMSIC) -> tuple[int, ...]:
    """The filters of the four convolutions."""
    return tuple(convolution.out_channels for convolution, _ in _layers(net))


def _layers(net: TMSIC) -> list[tuple[Conv2d, nn.BatchNorm2d]]:
    """The four convolutions, each with its normalisation."""
    return [
        (net.conv1, net.norm1),
        (net.conv2, net.norm2),
        (net.conv3, net.norm3),
        (net.conv4, net.norm4),
    ]


def widths_for(share: float, of: TMSIC | None = None) -> tuple[int, ...]:
    """Filters of the widest network with at most this share of the MACs, all layers alike narrower.

    Args: share in (0, 1]; of, TMSIC itself when None.
    Raises: ValueError when no network is that small.
    """
    whole = of or TMSIC()
    full, limit = widths(whole), share * complexity(whole).macs

    def narrow(keep: int) -> tuple[int, ...]:  # thousandths of the filters
        return tuple(max(1, round(width * keep / 1000)) for width in full)

    # MACs never fall when filters are added, so the number that still fits is found by halving
    fits = bisect.bisect_right(
        range(1001), limit, key=lambda keep: complexity(TMSIC(widths=narrow(keep))).macs
    )
    if fits == 0:
        raise ValueError(f"share = {share}: one filter a layer is more; give a larger share")
    return narrow(fits - 1)


def filter_scores(net: TMSIC, criterion: Criterion = "l1") -> list[Tensor]:
    """How much each filter of each convolution matters: four tensors (filters,).

    "l1" is the sum of a kernel's absolute weights (Li et al. 2017, arXiv 1608.08710), "bn" the
    absolute scale of its batch normalisation (Liu et al. 2017, arXiv 1708.06519).
    Raises: ValueError for another criterion.
    """
    if criterion == "l1":
        weights = (convolution.weight for convolution, _ in _layers(net))
        return [weight.detach().abs().flatten(1).sum(1) for weight in weights]
    if criterion == "bn":
        return [norm.weight.detach().abs() for _, norm in _layers(net)]
    raise ValueError(f"unknown criterion {criterion!r}; there is 'l1', 'bn'")


@torch.no_grad()
def prune_filters(net: TMSIC, narrow: tuple[int, ...], criterion: Criterion = "l1") -> TMSIC:
    """A smaller network of the filters that matter most, in their old order.

    What the others gave to the next layer is lost; `healed` is for that.

    Args: net, left as it is; narrow, the filters to keep in each convolution; criterion, see
        `filter_scores`.
    Returns: a network whose weights are copies, in evaluation mode.
    Raises: ValueError when there are not that many filters.
    """
    small = TMSIC(net.head.out_features, narrow)
    inputs = torch.arange(1)
    layers = zip(_layers(net), _layers(small), filter_scores(net, criterion), narrow, strict=True)
    for layer, ((old, old_norm), (new, new_norm), scores, number) in enumerate(layers, start=1):
        if number > len(scores):
            raise ValueError(f"conv{layer} has {len(scores)} filters, {number} asked for")
        kept = scores.topk(number).indices.sort().values
        new.weight.copy_(old.weight[kept][:, inputs])
        new.bias.copy_(old.bias[kept])
        for name, value in new_norm.state_dict().items():
            given = old_norm.state_dict()[name]
            value.copy_(given[kept] if given.dim() else given)
        inputs = kept
    small.dense.weight.copy_(net.dense.weight[:, inputs])
    small.dense.bias.copy_(net.dense.bias)
    small.head.load_state_dict(net.head.state_dict())
    return small.eval()


def prune_weights(net: nn.Module, share: float) -> None:
    """Hold the smallest weights of all convolutions and dense layers at zero, in place.

    Compared across layers (global magnitude pruning). Training leaves zeros zero until
    `fix_zeros`. Biases are not touched.

    Args: share of the weights to set to zero, in [0, 1).
    """
    layers = [(layer, "weight") for layer in net.modules() if isinstance(layer, WEIGHTED)]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=float(share))


def fix_zeros(net: nn.Module) -> None:
    """Make the zeros of `prune_weights` ordinary weights again, and drop the masks."""
    for layer in net.modules():
        if isinstance(layer, WEIGHTED) and prune.is_pruned(layer):
            prune.remove(layer, "weight")


def zero_share(net: nn.Module) -> float:
    """The share of zeros among the weights of convolutions and dense layers."""
    weights = [layer.weight for layer in net.modules() if isinstance(layer, WEIGHTED)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


# ---- as runs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Narrowed:
    """Makes a trained TMSIC narrower: `prune_filters` of a run's network, before it is healed."""

    of: Run
    widths: tuple[int, ...]
    criterion: Criterion = "l1"
    version: int = VERSION

    def __call__(self) -> TMSIC:
        return prune_filters(as_tmsic(self.of.net()), self.widths, self.criterion)


@dataclass(frozen=True)
class Thinned:
    """Holds a share of a trained network's weights at zero: `prune_weights`, before it is healed.

    The healed network still has its masks; `fix_zeros` makes an ordinary one of it.
    """

    of: Run
    share: float
    version: int = VERSION

    def __call__(self) -> nn.Module:
        net = self.of.net()
        prune_weights(net, self.share)
        return net


def healed(
    pruned: Narrowed | Thinned, teacher: Run | Kept | None = None, plan: Training | None = None
) -> Run:
    """A pruned network trained on: by labels, or as the teacher's student (response KD).

    Args: plan, `healing` of the pruned network's own when None.
    """
    of = pruned.of
    lesson = Lesson(TECHNIQUES["response"], teacher) if teacher else None
    return Run(pruned, of.data, plan or healing(of.plan), of.seed, lesson)


def healing(plan: Training, part: float = 1.0) -> Training:
    """How a pruned network is healed: part of half the epochs, at a third of the rate."""
    epochs = max(1, round(part * plan.epochs / 2))
    return replace(plan, epochs=epochs, learning_rate=plan.learning_rate / 3)
