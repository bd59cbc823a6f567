"""The challenge: its task, its limits."""

from asclib.challenge.limits import (
    LIMITS,
    Limits,
    Verdict,
)
from asclib.challenge.task import (
    DEVICES,
    SAMPLE_RATE,
    SCENES,
    SEEN_DEVICES,
    UNSEEN_DEVICES,
)

__all__ = [
    "DEVICES",
    "LIMITS",
    "SAMPLE_RATE",
    "SCENES",
    "SEEN_DEVICES",
    "UNSEEN_DEVICES",
    "Limits",
    "Verdict",
]
