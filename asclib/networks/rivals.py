"""Peers of TMSIC: three published networks of its size, to be trained as it is trained.

    Baseline2022  (batch, 1,  40, 51)  LogMel.dcase_baseline()  the DCASE baseline of 2022
    CPMobile      (batch, 1, 256, 65)  LogMel.cp_mobile()       that of 2024 and 2025
    CNNGRU        (batch, 1, 256, 33)  LogMel.cnn_gru()         the runner-up of 2025

Each gives logits (batch, n_classes). `asclib.complexity` counts as Keras does, running statistics
included, and MACs of convolutions and dense products alone. Published counts follow other rules;
each class says what lies between.

Chapter: book/networks/student.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Baseline2022(nn.Module):
    """The DCASE 2022 baseline (Martín-Morató et al. 2022): three convolutions of 7x7, two dense.

        16 @ 7x7 - BN - ReLU                                      (batch, 16, 40, 51)
        16 @ 7x7 - BN - ReLU - max pool 5x5 - dropout             (batch, 16, 8, 10)
        32 @ 7x7 - BN - ReLU - max pool 4x10 - dropout            (batch, 32, 2, 1)
        dense 100 - ReLU - dropout - head                         (batch, n_classes)

    46,246 parameters and 29,203,560 MACs. Published are 46,512 and 29,234,920, which an analyser
    read in the int8 file. The first are its bytes: weights of one byte, the BNs folded into biases
    of four. The second hold 34,560 comparisons of the two poolings, and half of the first dense
    layer, whose 6,400 products the analyser took for 3,200.

    The weights are drawn as Keras does: Glorot uniform, and uniform within 0.05 in dense layers.
    """

    def __init__(self, n_classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, padding="same")
        self.conv2 = nn.Conv2d(16, 16, 7, padding="same")
        self.conv3 = nn.Conv2d(16, 32, 7, padding="same")
        self.norm1, self.norm2, self.norm3 = (
            nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01) for channels in (16, 16, 32)
        )
        self.dense = nn.Linear(64, 100)
        self.head = nn.Linear(100, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
            elif isinstance(layer, nn.Linear):
                nn.init.uniform_(layer.weight, -0.05, 0.05)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.dropout(F.max_pool2d(x, 5), 0.3, self.training)
        x = F.relu(self.norm3(self.conv3(x)))
        x = F.dropout(F.max_pool2d(x, (4, 10)), 0.3, self.training)
        x = F.relu(self.dense(x.flatten(1)))
        return self.head(F.dropout(x, 0.3, self.training))


# ---- CP-Mobile -----------------------------------------------------------------------------------


def normalised(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> nn.Sequential:
    """A convolution without bias, padded by half its kernel, and its batch normalisation."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class InvertedResidual(nn.Module):
    """A block of CP-Mobile: widen by 1x1, filter each channel by 3x3, narrow by 1x1; ReLU.

    Where it keeps the number of channels, its input is added, averaged over 3x3 if it is strided.
    """

    def __init__(self, inputs: int, inside: int, outputs: int, stride: tuple[int, int] = (1, 1)):
        super().__init__()
        self.widen = normalised(inputs, inside, (1, 1))
        self.filter = normalised(inside, inside, (3, 3), stride, groups=inside)
        self.narrow = normalised(inside, outputs, (1, 1))
        self.adds, self.stride = inputs == outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(F.relu(self.filter(F.relu(self.widen(x)))))
        if self.adds:
            y = y + (x if self.stride == (1, 1) else F.avg_pool2d(x, 3, self.stride, padding=1))
        return F.relu(y)


class CPMobile(nn.Module):
    """CP-Mobile as the DCASE baseline of 2024 and 2025 (Schmid et al. 2023, 2024).

        8 @ 3x3, 32 @ 3x3, each of stride 2 - BN - ReLU           (batch, 32, 64, 17)
        three blocks 32 -> 64 -> 32, the third of stride 1x2      (batch, 32, 64, 9)
        a block 32 -> 64 -> 56 of stride 2x1                      (batch, 56, 32, 9)
        a block 56 -> 120 -> 56                                   (batch, 56, 32, 9)
        a block 56 -> 120 -> 104                                  (batch, 104, 32, 9)
        head @ 1x1 - BN - mean over mel and time                  (batch, n_classes)

    That is a base width of 32, a multiplier of 1.8 from stage to stage and an expansion of 2.1,
    each rounded to a multiple of eight; the original's response normalisation is left out.

    63,856 parameters and 29,416,448 MACs. Published are 61,148 and 29,419,156: the first leave out
    the 2,708 running statistics, the second count each of the 2,708 scales and shifts as one MAC.
    """

    def __init__(self, n_classes: int = 10):
        super().__init__()
        self.stem1 = normalised(1, 8, (3, 3), (2, 2))
        self.stem2 = normalised(8, 32, (3, 3), (2, 2))
        self.blocks = nn.Sequential(
            InvertedResidual(32, 64, 32),
            InvertedResidual(32, 64, 32),
            InvertedResidual(32, 64, 32, (1, 2)),
            InvertedResidual(32, 64, 56, (2, 1)),
            InvertedResidual(56, 120, 56),
            InvertedResidual(56, 120, 104),
        )
        self.head = normalised(104, n_classes, (1, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem2(F.relu(self.stem1(x))))
        return self.head(self.blocks(x)).mean((2, 3))


# ---- CNN-GRU -------------------------------------------------------------------------------------


class SqueezeExcitation(nn.Module):
    """A weight between 0 and 1 for each channel, from all channels' means (Hu et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 2)
        self.excite = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return x * self.excite(F.relu(self.squeeze(means))).sigmoid()[:, :, None, None]


class Branch(nn.Module):
    """A pooled map of the CNN-GRU, filtered along mel and along time apart: (mel, time) halved."""

    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.mix = normalised(inputs, channels, (1, 1))
        self.along_mel = normalised(channels, 2 * channels, (5, 1), groups=channels)
        self.along_time = normalised(
            2 * channels, 2 * channels, (1, 5), (2, 2), groups=2 * channels
        )
        self.weigh = SqueezeExcitation(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.weigh(F.silu(self.along_time(self.along_mel(self.mix(x)))))


class CNNGRU(nn.Module):
    """The CNN-GRU of SNTL-NTU, second in DCASE 2025 (Tan et al. 2025, arXiv 2509.09931).

        7 @ 3x3, 12 @ 1x1, channels shuffled - BN                 (batch, 12, 256, 33)
        24 @ 3x1 and 1x3, grouped - BN - SiLU - excitation        (batch, 24, 256, 33)
        two branches, of the max and of the mean over 2x2         (batch, 72, 64, 8)
        each pooled both ways, the four mixed                     (batch, 72, 32, 4)
        72 @ 1x1 added to its input, channels shuffled - BN       (batch, 72, 32, 4)
        144 @ 5x1 of stride 2x1, grouped - BN - SiLU - dropout    (batch, 144, 16, 4)
        28 @ 5x1 - BN - SiLU - mean over time                     (batch, 28, 16)
        GRU 64, from channel to channel - dropout - mean of 64    (batch, 28)
        mixed with the mean over mel - SiLU - head                (batch, n_classes)

    The recurrence goes along the 28 channels, each a step of 16 bands, not along time. Where two
    are mixed, a learnt number says how much of each.

    59,513 parameters and 10,889,944 MACs. Submitted were 58,171, of two bytes each, and 10,902,300:
    the first leave out the 1,342 running statistics, the second count as one MAC every scale and
    shift (1,342), every bias of a dense layer (262), and those of the GRU in each of its 28 steps
    (10,752). The team's second entry declares 58,605: 434 of them are in layers it never runs.
    """

    def __init__(self, n_classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(normalised(1, 7, (3, 3)), normalised(7, 12, (1, 1)))
        self.along_mel = normalised(12, 24, (3, 1), groups=12)
        self.along_time = normalised(24, 24, (1, 3), groups=12)
        self.weigh = SqueezeExcitation(24)
        self.loud, self.even = Branch(24, 36), Branch(24, 36)
        self.mix = normalised(72, 72, (1, 1))
        self.fold = normalised(72, 144, (5, 1), (2, 1), groups=72)
        self.channels = normalised(144, 28, (5, 1))
        self.gru = nn.GRU(16, 64, batch_first=True)
        self.head = nn.Linear(28, n_classes)
        self.shares = nn.Parameter(torch.full((4,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.along_mel(F.channel_shuffle(self.stem(x), 6))
        x = self.weigh(F.silu(self.along_time(x)))
        loud, even = self.loud(F.max_pool2d(x, 2)), self.even(F.avg_pool2d(x, 2))
        first, second, both, recurrent = self.shares
        evenly = torch.lerp(F.avg_pool2d(loud, 2), F.avg_pool2d(even, 2), first)
        loudly = torch.lerp(F.max_pool2d(even, 2), F.max_pool2d(loud, 2), second)
        x = torch.lerp(loudly, evenly, both)
        x = F.silu(self.fold(F.channel_shuffle(self.mix(x) + x, 36)))
        x = F.silu(self.channels(F.dropout2d(x, 0.3, self.training))).mean(3)
        steps = F.dropout1d(self.gru(x)[0], 0.5, self.training)
        return self.head(F.silu(torch.lerp(steps.mean(2), x.mean(2), recurrent)))
