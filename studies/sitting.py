"""What the runs of the decisive comparison have in common, and their trainings.

A sitting is one call of the command: it adds some runs to those of earlier ones.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asclib.corpus.embedded import render
from asclib.runs import Data, Experiment, Kept, Profile, Run, build
from asclib.runs.provenance import described, provenance
from asclib.training import BatchTransform
from studies import effort, renderings
from studies.arms import Design
from studies.candidates import CANDIDATES, Teacher, Together, trained_with


@dataclass(frozen=True)
class Sitting:
    """What all runs of the study have in common, and who teaches.

    candidate: a name of CANDIDATES; kept, a folder of teachers, takes its place.
    """

    profile: Profile
    data_root: str | None
    batch: tuple[BatchTransform, ...]
    candidate: str
    kept: Path | None = None
    further: tuple[int, ...] = renderings.FURTHER

    @property
    def teacher_name(self) -> str:
        return self.candidate if self.kept is None else "kept"

    @functools.cached_property
    def first(self) -> Experiment:
        """An experiment to ask for clips."""
        return Experiment(self.profile, self.data_root)

    @functools.cached_property
    def tests(self) -> dict[str, Data]:
        return renderings.every_test(self.first, self.further)

    @property
    def corpus(self) -> str:
        """Its name, and what its sound depends on."""
        if self.data_root is None:
            return f"embedded, version {render.VERSION}"
        return f"given {self.first.corpus.fingerprint[:16]}"

    def teacher(self, number: int) -> Teacher:
        """The teacher of that seed. Raises: FileNotFoundError for one that was not kept."""
        if self.kept is not None:
            return Kept(str(self.kept / f"{self.profile.name}-{number}"))
        profile = trained_with(self.profile, self.batch)
        return CANDIDATES[self.candidate](Experiment(profile, self.data_root, number))

    def runs(self, designs: Sequence[tuple[Design, int, int]]) -> list[Run]:
        """The runs of designs, each with the seed and the teacher it is asked for, all trained."""
        teachers = {
            number: self.teacher(number) for design, _, number in designs if design.is_taught
        }
        for design, _, _ in designs:
            shown = [on for phase in design.phases for on in getattr(phase, "outputs", ())]
            if self.teacher_name == "mean" and set(shown) - {"logits"}:
                raise ValueError(
                    f"{design.arm} compares {', '.join(sorted(set(shown)))}, of which a mean of "
                    "networks has none: name other --arms, or another --candidate"
                )
        _build_teachers(list(teachers.values()))
        found = [
            design.run(
                Experiment(self.profile, self.data_root, seed),
                number,
                functools.partial(teachers.__getitem__, number),
            )
            for design, seed, number in designs
        ]
        build(found)
        return found

    def made_with(self) -> dict[str, Any]:
        """What the whole file has in common."""
        made = provenance(Experiment(trained_with(self.profile, self.batch), self.data_root))
        made.pop("techniques")  # each row has its own
        made["corpus"] = self.corpus
        return made | {"augmentation": described(list(self.batch)), "tests": list(self.tests)}

    def cost(self, epochs: Sequence[int], speed: float) -> str:
        """Of runs with so many epochs each, at so many clips a second, in words."""
        hours = effort.core_hours(epochs, effort.clips_to_fit(self.first), speed)
        return f"{len(epochs)} trainings, about {hours:.2f} core-hours, without the teachers'"


def _build_teachers(teachers: Sequence[Teacher]) -> None:
    runs: list[Run] = []
    for one in teachers:
        runs += one.needs() if isinstance(one, Together) else [one] * isinstance(one, Run)
    build(runs)
