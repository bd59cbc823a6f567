"""TMSIC, the student: Tuned Model with Small Input Configuration (AI4EDGE, DCASE 2022 Task 1).

    (batch, 1, 140 mel, 8 frames)
    conv1 20 @ 7x5 - BN - ReLU                                    (batch, 20, 140, 8)
    conv2 28 @ 7x3 - ReLU - BN - ReLU - max pool 1x2 - dropout    (batch, 28, 140, 4)
    conv3 28 @ 3x7 - ReLU - BN - ReLU - max pool 2x2 - dropout    (batch, 28,  70, 2)
    conv4 16 @ 7x5 - ReLU - BN - ReLU - dropout                   (batch, 16,  70, 2)
    mean over mel and time - dense 256 - ReLU - dropout - head    (batch, n_classes)

Kernels are (mel, time); every convolution has a bias, stride 1 and "same" padding.

Chapter: book/networks/student.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SHAPE = (1, 140, 8)  # channel, mel bands, frames
EMBEDDING = 256
WIDTHS = (20, 28, 28, 16)  # filters of conv1 to conv4


class Conv2d(nn.Conv2d):
    """A "same" convolution, faster to train on a picture of few frames than torch's own.

    Where a kernel spans all frames from any of them, most of its taps meet padding: three of seven
    in conv3, three of five in conv4. In training, frames and channels are therefore folded into
    one axis: output frame p sees input frame q through tap q - p, so nothing is multiplied by
    padding, and the rows left to convolve along, the mel bands, are long.
    The same function with the same weights; sums are taken in another order.
    """

    bias: Tensor  # in torch's own class it may be missing

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, bands, frames = x.shape
        reach = self.kernel_size[1] // 2
        if not self.training or frames - 1 > reach:
            return super().forward(x)
        frame = torch.arange(frames, device=x.device)
        weight = self.weight[..., frame[None, :] - frame[:, None] + reach]  # (out, in, mel, p, q)
        weight = weight.permute(3, 0, 4, 1, 2).reshape(  # (p out, q in, 1, mel)
            frames * self.out_channels, frames * channels, 1, self.kernel_size[0]
        )
        # With channels last in memory, neither this view nor the one on return copies anything.
        x = x.permute(0, 2, 3, 1).reshape(batch, 1, bands, frames * channels).permute(0, 3, 1, 2)
        x = F.conv2d(x, weight, self.bias.repeat(frames), padding="same")
        x = x.permute(0, 2, 3, 1).reshape(batch, bands, frames, self.out_channels)
        return x.permute(0, 3, 1, 2)


class TMSIC(nn.Module):
    """The student network, and with `n_classes=2` one member of the teacher.

    51,986 parameters with ten classes and 49,930 with two, counted as Keras counts them.
    Input (batch, 1, 140, 8) log-mel in nepers, not normalised; output logits (batch, n_classes).
    Other `widths` give a narrower or a wider network of the same form: pruned, or an assistant.
    Raises: ValueError unless there are four widths of at least 1.
    """

    def __init__(self, n_classes: int = 10, widths: Sequence[int] = WIDTHS):
        if len(widths) != len(WIDTHS) or min(widths) < 1:
            raise ValueError(f"widths {tuple(widths)}: give four numbers of filters, each above 0")
        super().__init__()
        first, second, third, fourth = widths
        self.conv1 = Conv2d(1, first, (7, 5), padding="same")
        self.conv2 = Conv2d(first, second, (7, 3), padding="same")
        self.conv3 = Conv2d(second, third, (3, 7), padding="same")
        self.conv4 = Conv2d(third, fourth, (7, 5), padding="same")
        # Keras' momentum 0.99 keeps 99 % of the old statistics; torch's 0.01 says the same.
        self.norm1, self.norm2, self.norm3, self.norm4 = (
            nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01) for channels in widths
        )
        self.dense = nn.Linear(fourth, EMBEDDING)
        self.head = nn.Linear(EMBEDDING, n_classes)
        for layer in self.modules():  # Keras' initial values: Glorot uniform, biases zero
            if isinstance(layer, (Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """The four feature maps by name, each after its last ReLU and before pooling."""
        conv1 = F.relu(self.norm1(self.conv1(x)))
        # Layers 2 to 4 rectify before BN too, so it folds only where its scale > 0 and shift <= 0.
        conv2 = F.relu(self.norm2(F.relu(self.conv2(conv1))))
        x = F.dropout(F.max_pool2d(conv2, (1, 2)), 0.1, self.training)
        conv3 = F.relu(self.norm3(F.relu(self.conv3(x))))
        x = F.dropout(F.max_pool2d(conv3, (2, 2)), 0.3, self.training)
        conv4 = F.relu(self.norm4(F.relu(self.conv4(x))))
        return {"conv1": conv1, "conv2": conv2, "conv3": conv3, "conv4": conv4}

    def embed(self, x: Tensor) -> Tensor:
        """The penultimate activations (batch, 256), after their ReLU."""
        x = F.dropout(self.maps(x)["conv4"], 0.3, self.training)
        return F.relu(self.dense(F.adaptive_avg_pool2d(x, 1).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.embed(x), 0.4, self.training))


def as_tmsic(net: nn.Module) -> TMSIC:
    """The same network. Raises: TypeError naming its class where it is no TMSIC."""
    if not isinstance(net, TMSIC):
        raise TypeError(f"a TMSIC is needed, and this network is a {type(net).__name__}")
    return net


def count_parameters(net: nn.Module) -> int:
    """Parameters as Keras counts them: all weights, zeros included, and BN's running statistics."""
    statistics = sum(buffer.numel() for name, buffer in net.named_buffers() if "running_" in name)
    return statistics + sum(parameter.numel() for parameter in net.parameters())
