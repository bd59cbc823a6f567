"""Pruning: fewer filters, or fewer weights that are not zero, and healing by more training.

Structured pruning takes whole filters away and leaves a smaller network. Unstructured pruning sets
single weights to zero; the challenge counts parameters with zeros, so it saves nothing there.
Which channels hang together, and the cut itself: `asclib.compression.surgery`.

Chapter: book/compression/pruning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from asclib.complexity.count import complexity
from asclib.compression.calibration import calibration_rows
from asclib.compression.quantization import channel_means
from asclib.compression.surgery import NORMALISATIONS, Channels, channels_of, cut, trimmed
from asclib.distillation.stages import Stage
from asclib.distillation.techniques import TECHNIQUES
from asclib.networks.tmsic import INPUT_SHAPE, TMSIC
from asclib.runs.data import Data
from asclib.runs.kept import Kept
from asclib.runs.run import Lesson, Run
from asclib.training import Training

Criterion = Literal["heard", "folded", "l1", "bn"]
# raised when a pruned network comes to other weights: tests/code_versions.json
# 2: taps that only meet padding go first, and filters are chosen by what the next layer hears
VERSION = 2
WEIGHTED = (nn.Conv2d, nn.Linear)
MULTIPLE = 4  # kernels of devices compute so many channels at once
REPAIR_CLIPS = 400


def widths(net: nn.Module, input_shape: tuple[int, ...] = INPUT_SHAPE) -> tuple[int, ...]:
    """The filters of each group of channels that can be cut: of TMSIC's four convolutions."""
    return tuple(group.number for group in channels_of(net, input_shape))


def widths_for(
    share: float,
    of: nn.Module | None = None,
    multiple: int = MULTIPLE,
    input_shape: tuple[int, ...] = INPUT_SHAPE,
) -> tuple[int, ...]:
    """Filters of a narrower network with at most this share of the MACs, all layers about alike.

    From one `multiple` a layer on, the layer that is narrowest for what it was is given as many
    filters more, until the MACs allow no more of it. Counted is what is left without the taps that
    only meet padding.

    Args: share in (0, 1]; of, TMSIC itself when None; multiple, of which every width is one:
        kernels for microcontrollers compute two or four channels at once, and a single one beyond
        that costs as much as they.
    Raises: ValueError when no network is that small.
    """
    whole = of or TMSIC()
    groups = channels_of(whole, input_shape)
    limit = share * complexity(whole, input_shape).macs

    def macs(narrow: list[int]) -> int:
        kept = {
            group.name: torch.arange(number) for group, number in zip(groups, narrow, strict=True)
        }
        small = trimmed(cut(whole, kept, input_shape, compare=False), input_shape)
        return complexity(small, input_shape).macs

    full = [group.number for group in groups]
    if macs(full) <= limit:
        return tuple(full)
    found = [min(multiple, number) for number in full]
    if macs(found) > limit:
        raise ValueError(
            f"share = {share}: {multiple} filters a layer are more; give a larger share"
        )
    widest = 2.0  # share of its filters that a layer may have: less than one that did not fit
    growing = set(range(len(full)))
    while growing:
        layer = min(growing, key=lambda one: (found[one] / full[one], one))
        wider = list(found)
        wider[layer] = min(full[layer], found[layer] + multiple)
        if wider == found or wider[layer] / full[layer] >= widest:
            growing.discard(layer)
        elif macs(wider) > limit:
            growing.discard(layer)
            widest = wider[layer] / full[layer]
        else:
            found = wider
    return tuple(found)


def filter_scores(
    net: nn.Module,
    criterion: Criterion = "heard",
    input_shape: tuple[int, ...] = INPUT_SHAPE,
) -> list[Tensor]:
    """How much each filter of each group matters: tensors (filters,), in the order of `widths`.

    "l1" is the sum of a kernel's absolute weights (Li et al. 2017, arXiv 1608.08710). A batch
    normalisation after it undoes any factor of the kernel, also behind a ReLU, so that networks
    which answer alike have other norms. "bn" is the absolute scale of the normalisation (Liu et al.
    2017, arXiv 1708.06519, who train it for that with a penalty of its own), "folded" the norm of
    the kernel with the normalisation folded in, L1 · |scale| / sqrt(variance + eps). Neither
    depends on such factors, but a filter behind whose kernel the ReLU never opens, so that its
    variance is zero, has about the highest folded norm of all. "heard" is what the next layer
    hears: the deviation of the normalised map, |scale| · sqrt(variance / (variance + eps)), times
    the absolute weights it is read with, these folded with the normalisation of the filter that
    reads, and less of one that never opens: times variance / (variance + eps).
    Where several convolutions give the channels of a group, their scores are added, and so are the
    weights of several readers. Without a normalisation the kernel's norm stands for the deviation.
    Raises: ValueError for another criterion, or for "bn" where there is no normalisation.
    """
    if criterion not in get_args(Criterion):
        known = ", ".join(map(repr, get_args(Criterion)))
        raise ValueError(f"unknown criterion {criterion!r}; there is {known}")
    found = []
    for group in channels_of(net, input_shape):
        scores = torch.stack(list(_scores(net, group, criterion))).sum(0)
        found.append(scores * _read(net, group) if criterion == "heard" else scores)
    return found


def _scores(net: nn.Module, group: Channels, criterion: Criterion) -> Iterator[Tensor]:
    for maker in group.makers:
        norm: Any = net.get_submodule(maker.normalisation) if maker.normalisation else None
        if criterion == "bn" and norm is None:
            raise ValueError(f"{maker.convolution} has no normalisation: take 'heard' or 'l1'")
        convolution: Any = net.get_submodule(maker.convolution)
        score = convolution.weight.detach().abs().flatten(1).sum(1)
        if criterion != "l1" and norm is not None:
            scale = torch.ones_like(score) if norm.weight is None else norm.weight.detach().abs()
            spread = (norm.running_var + norm.eps).sqrt()
            of = {"bn": 1, "folded": score / spread, "heard": norm.running_var.sqrt() / spread}
            score = scale * of[criterion]
        yield score[list(maker.rows)]


def _read(net: nn.Module, group: Channels) -> Tensor:
    """(channels,) the sum of the absolute folded weights that read each channel of a group."""
    total = torch.zeros(group.number)
    for reader in group.readers:
        layer: Any = net.get_submodule(reader.layer)
        weights = layer.weight.detach().abs()
        weights = weights.flatten(2).sum(2) if weights.dim() > 2 else weights  # (out, in)
        if reader.normalisation:
            norm: Any = net.get_submodule(reader.normalisation)
            spread, scale = norm.running_var + norm.eps, 1 if norm.weight is None else norm.weight
            weights = weights * (scale * norm.running_var / spread**1.5).detach().abs()[:, None]
        weights = weights.sum(0)
        total.index_add_(0, torch.tensor(reader.channels), weights[list(reader.columns)])
    return total


def prune_filters(
    net: nn.Module,
    narrow: tuple[int, ...],
    criterion: Criterion = "heard",
    clips: Tensor | None = None,
    input_shape: tuple[int, ...] = INPUT_SHAPE,
) -> nn.Module:
    """A smaller network of the filters that matter most, in their old order.

    What the others gave to the next layer is lost; with `clips` its mean is given back, as
    `repaired` says, and `healed` is for the rest.

    Args: net, left as it is; narrow, the filters to keep of each group, in the order of `widths`;
        criterion, see `filter_scores`; clips (n, …) of the training split, some hundreds.
    Returns: a network whose weights are copies, in evaluation mode.
    Raises: ValueError when there are not that many filters, and naming a layer whose channels
        cannot be followed: see `asclib.compression.surgery.cut`.
    """
    groups = channels_of(net, input_shape)
    if len(narrow) != len(groups):
        called = ", ".join(group.name for group in groups)
        raise ValueError(f"{len(narrow)} numbers of filters: give one each for {called}")
    kept: dict[str, Tensor] = {}
    of_layer: dict[str, Tensor] = {}
    scored = filter_scores(net, criterion, input_shape)
    for group, scores, number in zip(groups, scored, narrow, strict=True):
        if not 1 <= number <= len(scores):
            raise ValueError(f"{group.name} has {len(scores)} filters, {number} asked for")
        kept[group.name] = scores.topk(number).indices.sort().values
        for maker in group.makers:
            rows = torch.tensor(maker.rows)[kept[group.name]]
            of_layer |= {name: rows for name in (maker.convolution, maker.normalisation) if name}
    small = cut(net, kept, input_shape)
    return small if clips is None else repaired(small, net, of_layer, clips)


@torch.no_grad()
def repaired(
    small: nn.Module, whole: nn.Module, kept: dict[str, Tensor], clips: Tensor
) -> nn.Module:
    """A cut network whose biases and statistics make up for the mean of what it no longer hears.

    Layer after layer, as they run: a bias takes back by how much the mean of its channel has moved
    (as `asclib.compression.quantization.correct_biases` does for rounding), and a normalisation's
    mean and deviation move as those of its input have, measured on the same clips. What the cut
    did not touch stays as it was. Not for a network that is trained on: of fewer inputs a channel
    spreads less, and about a mean that was moved back its ReLU is open for nearly all clips, or
    shut.

    Args: small, changed in place; whole, left as it is; kept, the channels of whole that a layer of
        small has, by its name, where they are not all; clips (n, …).
    Returns: small, in evaluation mode.
    """
    small = small.eval()
    for name in _in_order(small, clips[:1]):
        ours: Any = small.get_submodule(name)
        theirs: Any = whole.get_submodule(name)
        rows = kept.get(name, slice(None))
        if isinstance(small.get_submodule(name), NORMALISATIONS):
            (mean, variance), (true_mean, true_variance) = (
                _measured(net, layer, clips) for net, layer in ((small, ours), (whole, theirs))
            )
            # a channel that never varied, as one that is never above its ReLU, keeps what it has
            moved = variance / true_variance[rows]
            ours.running_mean.add_(mean - true_mean[rows])
            ours.running_var.mul_(torch.where(moved.isfinite() & (moved > 0), moved, 1))
        elif getattr(ours, "bias", None) is not None:
            means = channel_means(small, ours, clips), channel_means(whole, theirs, clips)
            if len(means[0]):
                ours.bias -= means[0] - means[1][rows]
    return small


def _in_order(net: nn.Module, clips: Tensor) -> list[str]:
    """The names of convolutions, dense layers and normalisations in the order they are called."""
    called: dict[str, None] = {}
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.setdefault(name))
        for name, layer in net.named_modules()
        if isinstance(layer, (*NORMALISATIONS, *WEIGHTED, nn.Conv1d, nn.Conv3d))
    ]
    net(clips)
    for handle in handles:
        handle.remove()
    return list(called)


def _measured(net: nn.Module, norm: Any, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of what a normalisation is given, as torch itself takes them."""
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    momentum = norm.momentum
    norm.reset_running_stats()
    norm.momentum = None  # the plain mean over batches
    norm.train()
    try:
        for batch in clips.split(256):
            net.eval()
            norm.train()
            net(batch)
        return norm.running_mean.clone(), norm.running_var.clone()
    finally:
        norm.momentum = momentum
        norm.load_state_dict(before)
        norm.eval()


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
    """Makes a trained network narrower before it is healed: without the taps that only meet padding
    (`trimmed`), then with the filters that matter most.

    Args: of, the run whose network it is; widths and criterion, of `prune_filters`; clips to fit
        that it is repaired on. None unless asked for: a repaired network says more before healing,
        and was healed to less wherever we looked.
    """

    of: Run
    widths: tuple[int, ...]
    criterion: Criterion = "heard"
    clips: int = 0
    version: int = VERSION

    def __call__(self) -> nn.Module:
        shape = tuple(self.of.data.clips("validation").x.shape[1:])
        heard = some_clips(self.of.data, self.clips) if self.clips else None
        whole = trimmed(self.of.net(), shape)
        return prune_filters(whole, self.widths, self.criterion, heard, shape)


def some_clips(data: Data, number: int) -> Tensor:
    """So many of the clips to fit as they are, or all of them, as many from each device."""
    table = data.table("fit")
    if "split" not in table:  # tensors of one's own
        table = table.assign(split="train")
    rows = calibration_rows(table, min(number, len(table)))
    return replace(data, views=None).clips("fit").x[rows]


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
    pruned: Narrowed | Thinned,
    teacher: Run | Kept | None = None,
    plan: Training | None = None,
    stages: tuple[Stage, ...] = TECHNIQUES["response"],
) -> Run:
    """A pruned network trained on: by labels, or as the teacher's student.

    Args: plan, `healing` of the pruned network's own when None; stages, what a teacher adds:
        response KD unless others are given.
    """
    of = pruned.of
    lesson = Lesson(stages, teacher) if teacher else None
    return Run(pruned, of.data, plan or healing(of.plan), of.seed, lesson)


def healing(plan: Training, part: float = 1.0) -> Training:
    """How a pruned network is healed: part of half the epochs, at a third of the rate."""
    epochs = max(1, round(part * plan.epochs / 2))
    return replace(plan, epochs=epochs, learning_rate=plan.learning_rate / 3)
