"""TEO-vATMSIC, the teacher: ten one-vs-all TMSIC bodies and a head that fuses them.

Chapter: book/networks/teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from asclib.networks.tmsic import EMBEDDING, TMSIC, as_tmsic

Head = Literal["members", "random"]


def one_vs_all(labels: Tensor, scene: int) -> Tensor:
    """Labels for one scene's member: 0 for the scene, 1 for all others (the authors' order)."""
    return (labels != scene).long()


class OneVsAllTeacher(nn.Module):
    """Ten two-way members; their joined embeddings feed one dense layer: 519,770 parameters.

    Members stay in inference mode while the head and they are trained (running statistics of BN,
    no dropout), as the authors did; their weights move, their statistics do not.
    Input (batch, 1, 140, 8) log-mel; output fused logits (batch, 10).

    Args: members; head, where the fusion starts: "members" says what each of them says alone,
        "random" knows nothing, as the authors' did.
    """

    member_weight: Tensor  # (10, 2, 256)
    member_bias: Tensor  # (10, 2)

    def __init__(self, members: Sequence[TMSIC], head: Head = "members"):
        super().__init__()
        if any(member.head.out_features != 2 for member in members):
            raise ValueError("every member needs a two-way head: use TMSIC(n_classes=2)")
        self.members = nn.ModuleList(members)
        # The published fused network drops the two-way heads: kept as buffers, they move and are
        # saved with the teacher but are neither trained nor counted.
        heads = [member.head for member in members]
        self.register_buffer("member_weight", torch.stack([h.weight.detach() for h in heads]))
        self.register_buffer("member_bias", torch.stack([h.bias.detach() for h in heads]))
        for member in members:
            member.add_module("head", nn.Identity())
        self.head = nn.Linear(EMBEDDING * len(members), len(members))
        if head == "members":
            self._fuse_heads()

    @torch.no_grad()
    def _fuse_heads(self) -> None:
        """Start the fusion where the members stand: logit k is what member k says alone.

        A short fine-tuning has no epochs to spare for a head that must be learnt first.
        """
        nn.init.zeros_(self.head.weight)
        for k, (weight, bias) in enumerate(zip(self.member_weight, self.member_bias, strict=True)):
            self.head.weight[k, EMBEDDING * k : EMBEDDING * (k + 1)] = weight[0] - weight[1]
            self.head.bias[k] = bias[0] - bias[1]

    def train(self, mode: bool = True) -> OneVsAllTeacher:
        super().train(mode)
        self.members.eval()
        return self

    def _embeddings(self, x: Tensor) -> list[Tensor]:
        return [as_tmsic(member).embed(x) for member in self.members]

    def embed(self, x: Tensor) -> Tensor:
        """The members' penultimate activations side by side, (batch, 2560)."""
        return torch.cat(self._embeddings(x), dim=1)

    def member_logits(self, x: Tensor) -> Tensor:
        """What each member says alone: (batch, 10, 2), the last axis [class, others]."""
        embeddings = torch.stack(self._embeddings(x), dim=1)
        return torch.einsum("bme,mce->bmc", embeddings, self.member_weight) + self.member_bias

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def unfused_logits(member_logits: Tensor) -> Tensor:
    """Ten logits from ten members without any fusion: the logit differences class minus others.

    Their softmax is the posterior given that exactly one member is right and that members err
    independently: p_k / (1 - p_k), normalised. Args: (batch, 10, 2). Returns: (batch, 10).
    """
    return member_logits[..., 0] - member_logits[..., 1]
