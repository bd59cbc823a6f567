"""Claims about training on a GPU that can be checked without one.

Torch's meta device is not the CPU and has no numbers. So a tensor left on the CPU is an error
there, and whatever needs a number, which on a GPU means waiting for it, is seen.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asclib import training
from asclib.augmentation import FreqMixStyle, FrequencyMask, Mixup, TimeRoll
from asclib.challenge import SCENES
from asclib.distillation import TECHNIQUES, Stage, objective
from asclib.distillation.answers import SideBySide
from asclib.distillation.stages import _connected
from asclib.networks import TMSIC, OneVsAllTeacher
from asclib.networks.outputs import look_at
from asclib.training import Clips, Training
from benchmarks.distillation import kinds

CLIPS, BATCH = 24, 8
META = torch.device("meta")
ORDER, LOSS = "aten._to_copy.default", "aten._local_scalar_dense.default"


class Waits(TorchDispatchMode):
    """What a GPU would be waited for: numbers read from it, and copies that block."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if str(function) == LOSS and args[0].device == META:
            self.seen.append(str(function))
            return 0.0
        answer = function(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs, answer)) if isinstance(x, torch.Tensor)]
        if len({x.device for x in tensors}) > 1 and not kwargs.get("non_blocking"):
            self.seen.append(str(function))
        return answer


def waits(
    net: torch.nn.Module,
    goal: training.Objective,
    answers: torch.Tensor | None = None,
    transforms: tuple[training.BatchTransform, ...] = (),
) -> list[str]:
    """What is waited for in one epoch of three batches."""
    net.to(META, memory_format=torch.channels_last)
    x = torch.empty(CLIPS, 1, 140, 8, device=META)
    fit = Clips(x, torch.empty(CLIPS, dtype=torch.long, device=META), np.arange(CLIPS))
    answers = None if answers is None else answers.to(META)
    optimizer, steps = torch.optim.Adam(net.parameters()), CLIPS // BATCH
    schedule = training._schedule(optimizer, Training(epochs=1), steps)
    with Waits() as mode:
        batches = training._batches(fit, answers, transforms, BATCH, classes=10)
        training._epoch(net, batches, goal, optimizer, schedule)
    return mode.seen


def teacher() -> OneVsAllTeacher:
    return OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES])


@pytest.mark.parametrize("network", [TMSIC, teacher])
def test_an_epoch_waits_for_nothing_but_its_order_and_its_loss(network):
    assert waits(network(), training.cross_entropy(0.1)) == [ORDER, LOSS]


@pytest.mark.parametrize(
    "transform",
    [FreqMixStyle(1.0), Mixup(), TimeRoll(2), FrequencyMask()],
    ids=lambda transform: type(transform).__name__,
)
def test_no_transform_waits_in_a_batch(transform):
    stage = TECHNIQUES["response"][0]
    answers = torch.empty(CLIPS, 10, device=META)
    goal = objective(stage, answers)
    assert waits(TMSIC(), goal, answers, (transform,)) == [ORDER, LOSS]


@pytest.mark.parametrize("stage", kinds().values(), ids=kinds())
def test_no_technique_waits_in_a_batch(stage: Stage):
    x = torch.randn(CLIPS, 1, 140, 8)
    with torch.no_grad():
        answers = SideBySide(look_at(teacher().eval(), x, stage.outputs)[1])
    net = _connected(TMSIC(), stage, answers, x[:1], seed=0)
    answers = answers.to(META)
    assert waits(net, objective(stage, answers), answers) == [ORDER, LOSS]


def test_a_loss_that_reads_a_number_is_noticed():
    def reading(net, batch):
        loss = net(batch.x).sum()
        return loss / float(loss.detach())

    assert waits(TMSIC(), reading) == [ORDER, *[LOSS] * (CLIPS // BATCH), LOSS]


def test_a_transform_that_reads_a_number_is_noticed():
    def reading(batch, generator):
        return batch._replace(x=batch.x / float(batch.x.sum()))

    expected = [ORDER, *[LOSS] * (CLIPS // BATCH), LOSS]
    assert waits(TMSIC(), training.cross_entropy(), transforms=(reading,)) == expected


def test_a_tensor_left_on_the_cpu_is_an_error():
    weights = torch.ones(BATCH, 10)
    with pytest.raises(RuntimeError, match="device"):
        waits(TMSIC(), lambda net, batch: (net(batch.x) * weights).sum())
