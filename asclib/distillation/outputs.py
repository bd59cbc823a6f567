"""What a loss can compare: the logits of two networks, their embeddings, or a map on the way.

Names are those of TMSIC: "logits"; "embedding", the penultimate activations; "conv1" to "conv4",
the maps after their last ReLU; "norm1" to "norm4", the same maps before it. The teacher's output is
that of its ten members, side by side along the channels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib.teacher import OneVsAllTeacher

MAPS = tuple(f"{kind}{number}" for kind in ("conv", "norm") for number in (1, 2, 3, 4))
OUTPUTS = ("logits", "embedding", *MAPS)
GRID = (70, 2)  # mel bands and frames of the last map
SHARED = 128  # numbers both embeddings are brought to, as in CRD


def look(net: nn.Module, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The logits (batch, classes) and one other output of a network, in a single pass.

    Args: net, a TMSIC or the teacher; x (batch, 1, 140, 8); name, one of OUTPUTS.
    Returns: logits, and (batch, d) or (batch, channels, 70, 2): a larger map is averaged over that
    grid, so that the ten members' maps of a clip fill kilobytes and not megabytes.
    Raises: ValueError naming the outputs there are.
    """
    if name not in OUTPUTS:
        raise ValueError(f"no output {name!r} to compare: choose one of {', '.join(OUTPUTS)}")
    bodies = list(net.members) if isinstance(net, OneVsAllTeacher) else [net]
    with _listening(bodies, _layer(name)) as heard:
        logits = net(x)
    if name == "logits":
        return logits, logits
    output = torch.cat(heard, dim=1)
    if not name.startswith("norm"):
        output = F.relu(output)
    if name in MAPS and output.shape[-2:] != GRID:  # of the last map this would be a slow copy
        output = F.adaptive_avg_pool2d(output, GRID)
    return logits, output


def _layer(name: str) -> str | None:
    """The layer of TMSIC whose answer, once rectified, is the output."""
    return {"logits": None, "embedding": "dense"}.get(name, name.replace("conv", "norm"))


@contextlib.contextmanager
def _listening(bodies: list[nn.Module], layer: str | None) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []
    hooks = [
        body.get_submodule(layer).register_forward_hook(
            lambda module, inputs, answer: heard.append(answer)
        )
        for body in bodies
        if layer
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


class Connected(nn.Module):
    """A student, and the learnt linear maps that stand between its output and the loss.

    Trained with the student and thrown away with it: the student alone is deployed.

    Args:
        student: any network.
        sizes: channels, or numbers, of the student's output and of the teacher's.
        both: bring both embeddings to SHARED numbers instead of the student's to the teacher's.
        is_map: the outputs are maps, and the linear maps 1x1 convolutions.
    """

    def __init__(self, student: nn.Module, sizes: tuple[int, int], both: bool, is_map: bool):
        super().__init__()
        self.student = student
        ours, theirs = sizes
        linear = (lambda a, b: nn.Conv2d(a, b, 1)) if is_map else nn.Linear
        self.ours = linear(ours, SHARED if both else theirs)
        self.theirs = linear(theirs, SHARED) if both else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.student(x)
