"""Compression: eight bits, quantisation in training, pruning."""

from asclib.compression.calibration import (
    Calibration,
    calibration_rows,
)
from asclib.compression.quantization import (
    KINDS,
    agreement,
    export,
    exported,
    simulate,
)

__all__ = [
    "KINDS",
    "Calibration",
    "agreement",
    "calibration_rows",
    "export",
    "exported",
    "simulate",
]
