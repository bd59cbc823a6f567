"""Pruning: fewer filters, or fewer weights that are not zero, and healing by more training.

Structured pruning takes whole filters away and leaves a smaller TMSIC. Unstructured pruning sets
single weights to zero; the challenge counts parameters with zeros, so it saves nothing there.
"""

from __future__ import annotations

import bisect
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from asclib.complexity import complexity
from asclib.distillation import TECHNIQUES, Answers, distill
from asclib.networks import TMSIC
from asclib.settings import Training
from asclib.training import Clips, train

LAYERS = (1, 2, 3, 4)
WEIGHTED = (nn.Conv2d, nn.Linear)


def widths(net: TMSIC) -> tuple[int, ...]:
    """The filters of the four convolutions."""
    return tuple(net.get_submodule(f"conv{layer}").out_channels for layer in LAYERS)


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


def filter_scores(net: TMSIC, criterion: str = "l1") -> list[Tensor]:
    """How much each filter of each convolution matters: four tensors (filters,).

    "l1" is the sum of a kernel's absolute weights (Li et al. 2017, arXiv 1608.08710), "bn" the
    absolute scale of its batch normalisation (Liu et al. 2017, arXiv 1708.06519).
    Raises: ValueError for another criterion.
    """
    if criterion == "l1":
        weights = (net.get_submodule(f"conv{layer}").weight for layer in LAYERS)
        return [weight.detach().abs().flatten(1).sum(1) for weight in weights]
    if criterion == "bn":
        return [net.get_submodule(f"norm{layer}").weight.detach().abs() for layer in LAYERS]
    raise ValueError(f"unknown criterion {criterion!r}; there is 'l1', 'bn'")


@torch.no_grad()
def prune_filters(net: TMSIC, narrow: tuple[int, ...], criterion: str = "l1") -> TMSIC:
    """A smaller network of the filters that matter most, in their old order.

    What the others gave to the next layer is lost; `heal` is for that.

    Args: net, left as it is; narrow, the filters to keep in each convolution; criterion, see
        `filter_scores`.
    Returns: a network whose weights are copies, in evaluation mode.
    Raises: ValueError when there are not that many filters.
    """
    small = TMSIC(net.head.out_features, narrow)
    inputs = torch.arange(1)
    for layer, scores, number in zip(LAYERS, filter_scores(net, criterion), narrow, strict=True):
        if number > len(scores):
            raise ValueError(f"conv{layer} has {len(scores)} filters, {number} asked for")
        kept = scores.topk(number).indices.sort().values
        old, new = net.get_submodule(f"conv{layer}"), small.get_submodule(f"conv{layer}")
        new.weight.copy_(old.weight[kept][:, inputs])
        new.bias.copy_(old.bias[kept])
        old, new = net.get_submodule(f"norm{layer}"), small.get_submodule(f"norm{layer}")
        for name, value in new.state_dict().items():
            given = old.state_dict()[name]
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


def heal(
    net: nn.Module,
    fit: Clips,
    validation: Clips,
    plan: Training,
    *,
    seed: int,
    answers: Answers | None = None,
    folder: Path | None = None,
) -> pd.DataFrame:
    """Train a pruned network on, in place: on labels, or as the teacher's student (response KD).

    Args: answers of the teacher on the clips to fit; labels alone when None. Others and the
        history returned as in `asclib.training.train`.
    """
    if answers is None:
        return train(net, fit, validation, plan, seed=seed, folder=folder, label="healing")
    stages = TECHNIQUES["response"]
    return distill(net, answers, fit, validation, stages, plan, seed=seed, folder=folder)
