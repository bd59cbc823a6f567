"""The energy of running a network, by CodeCarbon, beside the way each part of it was found.

    pip install asclib[energy]

CodeCarbon reads a processor's energy counters where there are any that it may read. Else it
*models* power, from the processor's load and data sheet, and memory always from its size. A number
so modelled is no measurement, and is never printed here without saying so. It watches the whole
machine: on a busy one, the neighbours' work is in the figure.

Energies of two machines cannot be compared. `relative` divides by those of a reference network on
the same machine, as entries of the 2023 challenge were set against its baseline.

Chapter: book/compression/complexity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asclib.extras import needs

READ = {"intel_rapl", "intel_power_gadget", "windows_emi", "sensor"}  # all else is modelled
JOULES = 3.6e6  # in a kilowatt hour


@dataclass(frozen=True)
class Part:
    """One part of the machine: its kilowatt hours, and how they were found."""

    name: str
    kilowatt_hours: float
    method: str

    @property
    def is_measured(self) -> bool:
        return self.method in READ


@dataclass(frozen=True)
class Energy:
    """What so many inferences took: seconds, and energy by part."""

    parts: tuple[Part, ...]
    seconds: float
    inferences: int

    @property
    def kilowatt_hours(self) -> float:
        return sum(part.kilowatt_hours for part in self.parts)

    @property
    def joules_per_inference(self) -> float:
        return self.kilowatt_hours * JOULES / self.inferences

    @property
    def is_measured(self) -> bool:
        """Whether every part was read from the hardware."""
        return all(part.is_measured for part in self.parts)

    def __str__(self) -> str:
        parts = ", ".join(
            f"{part.name} {'measured' if part.is_measured else 'modelled'} ({part.method})"
            for part in self.parts
        )
        return (
            f"{self.kilowatt_hours:.3g} kWh, {self.joules_per_inference:.3g} J each, for "
            f"{self.inferences} inferences in {self.seconds:.1f} s, whole machine; {parts}"
        )


def measure(infer: Callable[[], object], seconds: float = 30.0) -> Energy:
    """Call `infer`, one inference, again and again for so many seconds, and add up the energy.

    Args: infer; seconds, long against the second between two readings.
    Raises: ModuleNotFoundError when CodeCarbon is not installed; ValueError for no time at all.
    """
    if seconds <= 0:
        raise ValueError(f"seconds = {seconds}: give a time above 0")
    with needs("energy"):
        from codecarbon import OfflineEmissionsTracker
    infer()  # what the first call alone does is no inference
    # a country is asked for and decides nothing but emissions, which are not reported here
    tracker = OfflineEmissionsTracker(
        country_iso_code="PRT", measure_power_secs=1, save_to_file=False, log_level="error"
    )
    tracker.start()
    start, inferences = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        infer()
        inferences += 1
    spent = time.perf_counter() - start
    tracker.stop()
    return Energy(_parts(tracker), spent, inferences)


def relative(system: Energy, reference: Energy) -> float:
    """Energy of one inference over that of a reference network, both found on this machine.

    Raises: ValueError when parts were found in different ways: such numbers do not compare.
    """
    ours, theirs = ([(p.name, p.method) for p in one.parts] for one in (system, reference))
    if ours != theirs:
        raise ValueError(
            f"the system's energy was found by {ours}, the reference's by {theirs}; "
            "find both on the same machine, one after the other"
        )
    return system.joules_per_inference / reference.joules_per_inference


def _parts(tracker: Any) -> tuple[Part, ...]:
    """Processor, graphics and memory, as far as the tracker watched them."""
    found = tracker.final_emissions_data
    amounts = {
        "CPU": ("processor", found.cpu_energy),
        "GPU": ("GPU", found.gpu_energy),
        "RAM": ("memory", found.ram_energy),
        "AppleSiliconChip": ("processor", found.cpu_energy),
    }
    methods = {"GPU": "sensor", "AppleSiliconChip": "sensor", "RAM": "from its size"}
    parts: dict[str, Part] = {}
    for hardware in tracker._hardware:
        kind = type(hardware).__name__
        name, amount = amounts[kind]
        method = methods.get(kind) or str(getattr(hardware, "_mode", "unknown"))
        parts.setdefault(name, Part(name, float(amount), method))
    return tuple(parts.values())
