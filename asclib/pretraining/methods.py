"""Pre-training without labels: a network's body learns to know a clip again in another view.

    x ─ view ─ network, up to its embedding ─ projector ─ z
    x ─ view ─ the same ──────────────────────────────── z'      loss(z, z')

The projector, and SimSiam's predictor, are trained along and thrown away; what stays is the network
with an embedding that was never told a class, and a head that has not been trained. A run goes on
from there with labels or a teacher: `Run(..., start=Run(..., lesson=SelfSupervised(...)))`.

Chapter: book/challenges/few_labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib import checked
from asclib.augmentation.batch import FrequencyMask, Gain, TimeRoll
from asclib.networks.outputs import look
from asclib.plan import Batch, BatchTransform, Clips, Training
from asclib.pretraining import losses
from asclib.training import Objective, stream, train

PROJECTED = 2**32 - 2  # beyond any epoch: the place of the projector among random streams
# Half the clip long, a fifth of the bands, a level within 6 dB. Freq-MixStyle is not among them: it
# gives many clips the mean spectrum of another scene, and a body may learn to look past it.
VIEWS: tuple[BatchTransform, ...] = (TimeRoll(4), FrequencyMask(share=0.2), Gain(6.0))


@dataclass(frozen=True)
class SelfSupervised:
    """What a network learns from clips without labels: the lesson of a `Run`.

    Args:
        loss: of the projections (batch, width) of two views, such as `losses.barlow_twins`, or a
            functools.partial of one with other weights; with `predictor`, and then a network from
            (batch, width) to the same by that name.
        views: the transforms of a batch, one after the other, that make a view; each clip has two.
        predictor: whether the loss takes one, as `losses.simsiam` does.
        width: numbers of a projection.
    Raises: ValueError naming a value that is none of these.
    """

    loss: Callable[..., Tensor]
    views: tuple[BatchTransform, ...] = VIEWS
    predictor: bool = False
    width: int = 256

    def __post_init__(self) -> None:
        checked.function("loss", self.loss, "give a function of two views")
        remedy = "give a tuple of transforms, such as (FrequencyMask(), Gain())"
        object.__setattr__(self, "views", checked.functions("views", self.views, remedy))
        checked.kind("predictor", self.predictor, bool, "give True or False")
        object.__setattr__(self, "width", checked.whole_number("width", self.width, 4))

    @property
    def name(self) -> str:
        """What the loss is called."""
        made = getattr(self.loss, "func", self.loss)
        return getattr(made, "__name__", type(made).__name__)


METHODS = {
    "barlow_twins": SelfSupervised(losses.barlow_twins),
    "vicreg": SelfSupervised(losses.vicreg),
    "simsiam": SelfSupervised(losses.simsiam, predictor=True),
    "simclr": SelfSupervised(losses.simclr),
}


class Projected(nn.Module):
    """A network with the projector behind its embedding, and a predictor where one is needed.

    Args: network, with an output "embedding" (`asclib.networks.outputs`) of so many numbers.
    """

    def __init__(self, network: nn.Module, embedding: int, width: int, predictor: bool):
        super().__init__()
        self.network = network
        self.projector = _two_layers(embedding, width, width)
        self.predictor = _two_layers(width, width // 4, width) if predictor else None

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the network."""
        return self.network(x)

    def project(self, x: Tensor) -> Tensor:
        """(batch, width), what the loss compares."""
        return self.projector(look(self.network, x, "embedding")[1])


def _two_layers(given: int, hidden: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(given, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, width)
    )


def two_views(batch: Batch, views: tuple[BatchTransform, ...]) -> Tensor:
    """(2 · batch, ...) inputs: each clip through the views, and each once more behind them.

    Random numbers are those of torch's own generator, as the transforms of a plan have them.
    """
    seen = []
    for _ in range(2):
        view = batch
        for transform in views:
            view = transform(view, torch.default_generator)
        seen.append(view.x)
    return torch.cat(seen)


def objective(lesson: SelfSupervised) -> Objective:
    """The trainer's objective for a `Projected` network; labels are not looked at.

    Both views go through in one pass, so that BN sees the statistics of both.
    """

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(net, Projected)
        one, other = net.project(two_views(batch, lesson.views)).chunk(2)
        more = {} if net.predictor is None else {"predictor": net.predictor}
        return lesson.loss(one, other, **more)

    return loss


def pretrain(
    net: nn.Module,
    fit: Clips,
    lesson: SelfSupervised,
    plan: Training,
    *,
    seed: int,
    folder: str | Path | None = None,
) -> pd.DataFrame:
    """Train the body of `net` in place on clips whose labels are put away first.

    Args: plan, as of any training, but that the last epoch is kept: without labels there is no
        score to choose one by. Others as `training.train`.
    Returns: one row an epoch: epoch, loss.
    Raises: ValueError for a network without an embedding, and as `training.train`.
    """
    unlabelled = fit._replace(labels=torch.zeros(len(fit.x), dtype=torch.int64))
    history = train(
        _projected(net, lesson, fit.x[:2], seed),
        unlabelled,
        unlabelled.take(np.arange(min(2, len(fit.x)))),  # the trainer wants clips to validate on
        replace(plan, monitor="last", patience=None),
        objective=objective(lesson),
        seed=seed,
        folder=folder,
        label=lesson.name,
    )
    return history[["epoch", "loss"]]


def _projected(net: nn.Module, lesson: SelfSupervised, x: Tensor, seed: int) -> Projected:
    with torch.no_grad(), torch.random.fork_rng():
        embedding = look(net.eval(), x, "embedding")[1]
        torch.manual_seed(stream(seed, PROJECTED))  # not as the network's own weights
        return Projected(net, embedding.shape[1], lesson.width, lesson.predictor)
