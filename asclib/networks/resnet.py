"""ResNet-18, a network larger than TMSIC on the same picture: to be pre-trained, and to teach.

    (batch, 1, 140 mel, 8 frames)
    stem    w @ 3x3 of stride 2x1 - BN - ReLU                     (batch,  w, 70, 8)
    stage1  two blocks of  w @ 3x3                                (batch,  w, 70, 8)
    stage2  two blocks of 2w @ 3x3, the first of stride 2x2       (batch, 2w, 35, 4)
    stage3  two blocks of 4w @ 3x3, the first of stride 2x2       (batch, 4w, 18, 2)
    stage4  two blocks of 8w @ 3x3, the first of stride 2x1       (batch, 8w,  9, 2)
    mean over mel and time - head                                 (batch, n_classes)

w is the width, kernels and strides are (mel, time), and every convolution is padded by one.

Chapter: book/challenges/few_labels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from asclib.networks.rivals import normalised

WIDTH = 16
# A photograph of 224x224 is halved five times, to 7x7. 140 bands bear four halvings, eight frames
# only two: of a single frame six of the nine taps of every later kernel would see nothing but
# padding. Two frames are what is left of TMSIC's last map, too.
STEM = (2, 1)
STAGES = ((1, 1), (2, 2), (2, 2), (2, 1))  # strides of the first block of each


class BasicBlock(nn.Module):
    """Two convolutions of 3x3, to which the input is added before the last ReLU (He et al. 2016).

    Where the block is strided or widens, the input goes through a convolution of 1x1 with BN (the
    paper's option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)):
        super().__init__()
        self.first = normalised(inputs, outputs, (3, 3), stride)
        self.second = normalised(outputs, outputs, (3, 3))
        same = inputs == outputs and stride == (1, 1)
        self.shortcut = nn.Identity() if same else normalised(inputs, outputs, (1, 1), stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class ResNet18(nn.Module):
    """The 18-layer network of He et al. 2016 (arXiv 1512.03385, table 1), for log-mel of a second.

    Input (batch, 1, mels, frames), as TMSIC's (batch, 1, 140, 8); output logits (batch, n_classes).
    Its embedding, (batch, 8 * width), is the mean of the last map, which is rectified already.

    Four stages of two blocks are the paper's. Others than there are the stem, 3x3 without a max
    pool for 7x7 with one, and the strides: see `STAGES`. At width 64 with 1,000 classes it learns
    11,680,680 numbers, the paper's 11,689,512: the 8,832 between them are taps of the stem.

    703,578 parameters at width 16 with ten classes, counted as Keras counts them, and 23,986,176
    MACs: 13.5 times the parameters of TMSIC at 5 % fewer MACs. It breaks the limits of every year.
    Width 8 has 177,458 and 6,017,024, width 64 has 11,182,410 and 382,795,776.

    Args: width, filters of the first stage. Raises: ValueError unless it is at least 1.
    """

    def __init__(self, n_classes: int = 10, width: int = WIDTH):
        if width < 1:
            raise ValueError(f"width {width}: give a number of filters above 0")
        super().__init__()
        self.stem = normalised(1, width, (3, 3), STEM)
        blocks: list[nn.Module] = []
        inputs = width
        for number, stride in enumerate(STAGES):
            outputs = width * 2**number
            blocks += [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs)]
            inputs = outputs
        self.stages = nn.Sequential(*blocks)
        # no dense layer, but under this name `asclib.networks.outputs` looks for the embedding
        self.dense = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(inputs, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def embed(self, x: Tensor) -> Tensor:
        """The penultimate activations (batch, 8 * width)."""
        return self.dense(self.stages(F.relu(self.stem(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))
