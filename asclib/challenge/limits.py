"""The limits of each year of the challenge, and the verdict on a network.

Chapter: book/task/challenge.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """One year's ceiling. None means that the year does not limit this quantity."""

    year: int
    macs: int  # per inference of one second of audio
    parameters: int | None = None  # zeros included
    bytes: int | None = None  # of all parameters, at the precision they are stored in
    bits: int | None = None  # the widest number allowed


# Task 1 of the DCASE Challenge. "128 K" is read as 128,000, "128 kB" as 128,000 bytes: the
# stricter reading of each (the looser is 131,072).
LIMITS = {
    # 2022, Low-Complexity ASC: at most 128 K parameters, zeros included, int8; 30 MMAC
    2022: Limits(2022, macs=30_000_000, parameters=128_000, bits=8),
    # 2023, Low-Complexity ASC: at most 128 kB of weights; 30 MMAC
    2023: Limits(2023, macs=30_000_000, bytes=128_000),
    # 2024, Data-Efficient Low-Complexity ASC: 128 kB = parameters x bytes of each; 30 MMAC
    2024: Limits(2024, macs=30_000_000, bytes=128_000),
    # 2025, Low-Complexity ASC with Device Information: the same, for each device's model
    2025: Limits(2025, macs=30_000_000, bytes=128_000),
}


@dataclass(frozen=True)
class Verdict:
    """True when a network keeps within a year's limits; else `reasons` says what exceeds what."""

    year: int
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return f"{self.year}: " + ("within the limits" if self else "; ".join(self.reasons))
