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
from asclib.distillation import Stage, _connected, objective
from asclib.distillation.outputs import look
from asclib.networks import TMSIC
from asclib.settings import SCENES, Training
from asclib.teacher import OneVsAllTeacher
from asclib.training import Clips
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


def waits(net: torch.nn.Module, goal: training.Objective, mixstyle: float = 0.0) -> list[str]:
    """What is waited for in one epoch of three batches."""
    net.to(META, memory_format=torch.channels_last)
    x = torch.empty(CLIPS, 1, 140, 8, device=META)
    fit = Clips(x, torch.empty(CLIPS, dtype=torch.long, device=META), np.arange(CLIPS))
    optimizer = torch.optim.Adam(net.parameters())
    schedule = training._schedule(optimizer, Training(epochs=1), CLIPS // BATCH)
    with Waits() as mode:
        training._epoch(net, fit, goal, optimizer, schedule, BATCH, CLIPS // BATCH, mixstyle)
    return mode.seen


def teacher() -> OneVsAllTeacher:
    return OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES])


@pytest.mark.parametrize("mixstyle", [0.0, 1.0])
@pytest.mark.parametrize("network", [TMSIC, teacher])
def test_an_epoch_waits_for_nothing_but_its_order_and_its_loss(network, mixstyle):
    assert waits(network(), training.cross_entropy(0.1), mixstyle) == [ORDER, LOSS]


@pytest.mark.parametrize("stage", kinds().values(), ids=kinds())
def test_no_technique_waits_in_a_batch(stage: Stage):
    x = torch.randn(CLIPS, 1, 140, 8)
    with torch.no_grad():
        answers = look(teacher().eval(), x, stage.on)[1]
    net = _connected(TMSIC(), stage, answers, x[:1], seed=0)
    assert waits(net, objective(stage, answers.to(META))) == [ORDER, LOSS]


def test_a_loss_that_reads_a_number_is_noticed():
    def reading(net, rows, x, labels):
        loss = net(x).sum()
        return loss / float(loss.detach())

    assert waits(TMSIC(), reading) == [ORDER, *[LOSS] * (CLIPS // BATCH), LOSS]


def test_a_tensor_left_on_the_cpu_is_an_error():
    weights = torch.ones(BATCH, 10)
    with pytest.raises(RuntimeError, match="device"):
        waits(TMSIC(), lambda net, rows, x, labels: (net(x) * weights).sum())
