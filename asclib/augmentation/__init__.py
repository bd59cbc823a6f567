"""Augmentation: more training clips than were recorded, and devices that nobody held."""

from asclib.augmentation.batch import (
    FreqMixStyle,
    FrequencyMask,
    Gain,
    Mixed,
    Mixup,
    TimeRoll,
    freq_mixstyle,
    mixup,
    soft_labels,
)
from asclib.augmentation.clip import (
    Copies,
    SixFold,
    View,
    augmented_size,
    frequency_mask,
    impulse_response,
    other_device,
    perturb,
    time_roll,
    tmsic_versions,
)

__all__ = [
    "Copies",
    "FreqMixStyle",
    "FrequencyMask",
    "Gain",
    "Mixed",
    "Mixup",
    "SixFold",
    "TimeRoll",
    "View",
    "augmented_size",
    "freq_mixstyle",
    "frequency_mask",
    "impulse_response",
    "mixup",
    "other_device",
    "perturb",
    "soft_labels",
    "time_roll",
    "tmsic_versions",
]
