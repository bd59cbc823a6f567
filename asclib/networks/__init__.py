"""The networks: the student, its teachers and peers, and what can be seen of them on the way."""

from asclib.networks.outputs import (
    OUTPUTS,
    look,
    look_at,
)
from asclib.networks.resnet import ResNet18
from asclib.networks.rivals import (
    CNNGRU,
    Baseline2022,
    CPMobile,
)
from asclib.networks.teacher import (
    OneVsAllTeacher,
    one_vs_all,
    unfused_logits,
)
from asclib.networks.tmsic import (
    EMBEDDING,
    INPUT_SHAPE,
    TMSIC,
    WIDTHS,
    Conv2d,
    count_parameters,
)

__all__ = [
    "CNNGRU",
    "EMBEDDING",
    "INPUT_SHAPE",
    "OUTPUTS",
    "TMSIC",
    "WIDTHS",
    "Baseline2022",
    "CPMobile",
    "Conv2d",
    "OneVsAllTeacher",
    "ResNet18",
    "count_parameters",
    "look",
    "look_at",
    "one_vs_all",
    "unfused_logits",
]
