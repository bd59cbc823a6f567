"""The techniques of the book: each is a tuple of stages.

"published" names the form with AI4EDGE's slip: losses of softmax outputs where logits are meant.
Two things that literature counts as techniques are none here, for every technique can have them:

* consistent views (function matching; Beyer et al. 2022, arXiv 2106.05237): teacher and student see
  the same augmented clip. It is a matter of the data: `Data(..., views=...)` shows each clip in
  several versions, and the teacher answers each of them.
* controls of what a teacher knows of the single clip (`answers.class_means`, `answers.permuted`):
  given as the teacher of a `Lesson`, in place of the one that was asked.

Chapters: book/distillation/rrs, book/distillation/comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from asclib.distillation import losses
from asclib.distillation.stages import Stage
from asclib.training import Monitor


def _mixed(
    loss: Callable[..., Tensor],
    alpha: float,
    scale: float = 1.0,
    epochs: float = 1.0,
    **arguments: Any,
) -> Stage:
    """α · CE + (1 − α) · scale · loss, the authors' way to weigh the two."""
    return Stage(loss, weight=(1 - alpha) * scale, hard=alpha, epochs=epochs, arguments=arguments)


_response = partial(_mixed, losses.response, temperature=3.0)
_relational = partial(_mixed, losses.relational, alpha=0.565, scale=20.0)
_relational_published = _mixed(losses.relational_on_probabilities, alpha=0.565, scale=20.0)


def _hint(*layers: str) -> Stage:
    """FitNets' first stage: no label is shown, so no epoch is better than the last.

    1e-4 is AI4EDGE's factor. Adam divides it out again, since nothing else is in the sum.
    """
    return Stage(
        losses.hint, weight=1e-4, hard=0.0, on=_on(layers), connect="teacher", monitor="last"
    )


def _margin(*layers: str, hard: float, monitor: Monitor | None = None) -> Stage:
    """OFD's features, weighted as in the authors' program (theirs have BN after the 1x1)."""
    return Stage(
        losses.margin,
        weight=1e-3,
        hard=hard,
        on=_on(layers),
        connect="teacher",
        needs=("margin",),
        monitor=monitor,
    )


def _on(layers: tuple[str, ...]) -> str | tuple[str, ...]:
    return layers if len(layers) > 1 else layers[0]


def _attention(*layers: str) -> Stage:
    return Stage(losses.attention, weight=1000.0, hard=1.0, on=_on(layers))


TECHNIQUES: dict[str, tuple[Stage, ...]] = {
    # Response-based, as Hinton et al. write it; alpha and temperature of the 2022 submission.
    "response": (_response(alpha=0.1),),
    # The same with the published double softmax.
    "response_published": (_mixed(losses.response_double_softmax, alpha=0.1, temperature=3.0),),
    # Relations between the clips of a batch, alone: of centred logits, of softmax outputs, and of
    # the layer that Park et al. compare.
    "relational": (_relational(),),
    "relational_published": (_relational_published,),
    "relational_embedding": (
        Stage(losses.relational_embedding, weight=1.0, hard=1.0, on="embedding"),
    ),
    # RRS: relational first, then response, both over the whole student.
    "rrs": (_relational(), _response(alpha=1e-5)),
    "rrs_published": (
        _relational_published,
        _mixed(losses.response_double_softmax, alpha=1e-5, temperature=3.0),
    ),
    # Controls for RRS: is it better, or only longer?
    "response_twice": (_response(alpha=0.1), _response(alpha=1e-5)),
    "response_long": (_response(alpha=0.1, epochs=2.0),),
    # RRS taken apart: both losses at once, and the phases in the other order.
    "joint": (_mixed(losses.relational_and_response, alpha=0.565),),
    "rrs_reversed": (_response(alpha=0.1), _relational()),
    # Logits, beyond Hinton.
    "decoupled": (Stage(losses.decoupled, weight=1.0, hard=1.0, needs=("labels",)),),
    "dist": (Stage(losses.dist, weight=2.0, hard=1.0),),
    "standardised": (Stage(losses.standardised, weight=9.0, hard=1.0),),
    # Feature maps. FitNets, as AI4EDGE ran it: a hint, then response; at one layer or at several.
    "fitnets": (_hint("conv2"), _response(alpha=0.1)),
    "fitnets_deep": (_hint("conv4"), _response(alpha=0.1)),
    "fitnets_layers": (_hint("conv2", "conv3", "conv4"), _response(alpha=0.1)),
    "attention": (_attention("conv4"),),
    "attention_layers": (_attention("conv1", "conv2", "conv3", "conv4"),),
    "similarity": (Stage(losses.similarity, weight=3000.0, hard=1.0, on="conv4"),),
    # OFD beside the labels, as Heo et al. (at one layer of theirs), and before response, as
    # AI4EDGE ran it.
    "ofd": (_margin("norm4", hard=1.0),),
    "ofd_response": (_margin("norm2", hard=0.0, monitor="last"), _response(alpha=0.1)),
    "ofd_response_deep": (_margin("norm4", hard=0.0, monitor="last"), _response(alpha=0.1)),
    # Embeddings.
    "contrastive": (
        Stage(
            losses.contrastive,
            weight=0.8,
            hard=1.0,
            on="embedding",
            connect="both",
            needs=("labels",),
        ),
    ),
}


def stages_of(name: str) -> tuple[Stage, ...]:
    """The stages of a technique. Raises: ValueError naming the techniques there are."""
    if name not in TECHNIQUES:
        raise ValueError(f"no technique {name!r}: choose one of {', '.join(TECHNIQUES)}")
    return TECHNIQUES[name]
