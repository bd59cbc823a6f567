"""The networks: the student, the teacher and what can be seen of them on the way."""

from asclib.networks.outputs import (
    OUTPUTS,
    look,
    look_at,
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
    "EMBEDDING",
    "INPUT_SHAPE",
    "OUTPUTS",
    "TMSIC",
    "WIDTHS",
    "Conv2d",
    "OneVsAllTeacher",
    "count_parameters",
    "look",
    "look_at",
    "one_vs_all",
    "unfused_logits",
]
