"""What a network of one's own can be compared by, and what is said where it cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asclib.networks import TMSIC, OneVsAllTeacher, look


class Small(nn.Module):
    """A network of a reader's own that has some of TMSIC's layers."""

    def __init__(self, times: int = 1):
        super().__init__()
        self.norm1, self.norm3 = nn.BatchNorm2d(1), nn.Linear(8, 8)
        self.dense, self.times = nn.Linear(140 * 8, 4), times

    def forward(self, x):
        for _ in range(self.times):
            x = self.norm1(x)
        return self.dense(self.norm3(x).flatten(2)[:, 0])


def test_an_output_that_a_network_lacks_is_named_with_those_it_has() -> None:
    net, x = Small().eval(), torch.randn(2, 1, 140, 8)
    with pytest.raises(
        ValueError, match="Small has no output 'conv2', .*no layer 'norm2'"
    ) as error:
        look(net, x, "conv2")
    assert "it has logits, embedding, conv1, conv3, norm1, norm3:" in str(error.value)
    assert look(net, x, "conv1")[1].shape == (2, 1, 70, 2)
    teacher = OneVsAllTeacher([TMSIC(n_classes=2) for _ in range(2)])
    del teacher.members[1].norm4
    with pytest.raises(ValueError, match="OneVsAllTeacher has no output 'norm4'"):
        look(teacher, x, "norm4")


def test_a_layer_that_is_asked_twice_or_never_has_no_one_answer() -> None:
    x = torch.randn(2, 1, 140, 8)
    for times in (0, 2):
        with pytest.raises(ValueError, match=f"Small asks its layer 'norm1' {times} times"):
            look(Small(times).eval(), x, "conv1")


def test_an_output_of_another_shape_is_no_map() -> None:
    class Flat(Small):
        def forward(self, x):
            return self.dense(self.norm3(self.norm1(x).flatten(1, 2)).flatten(1))

    with pytest.raises(
        ValueError, match=r"'norm3' of Flat .*\(2, 140, 8\), and 'conv3' is \(batch"
    ):
        look(Flat().eval(), torch.randn(2, 1, 140, 8), "conv3")
