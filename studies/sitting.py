"""What the runs of the decisive comparison have in common, and their trainings.

A sitting is one call of the command: it adds some runs to those of earlier ones.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asclib.corpus.embedded import render
from asclib.evaluation.systems import Clips
from asclib.runs import Data, Experiment, Profile, Run, build
from asclib.runs.provenance import described, provenance
from asclib.store import PROJECT
from asclib.training import BatchTransform
from studies import effort, renderings
from studies.arms import Design
from studies.candidates import CANDIDATES, chosen_batch, kept_teacher, trained_with
from studies.ready import Teacher, runs_of
from studies.recipe import RECIPES
from studies.teachers import TEACHERS

CHOSEN = PROJECT / "results" / "candidates.json"
Groups = Mapping[str, Sequence[str]]  # arms by the name of their group


def add_options(parser: argparse.ArgumentParser, candidate: str | None = None) -> None:
    """The options that `Sitting.of` reads. Args: candidate, who teaches where none is named."""
    add, usual = parser.add_argument, candidate or "results/candidates.json"
    add("--candidate", choices=CANDIDATES, default=candidate, help=f"who teaches; default: {usual}")
    add("--recipe", choices=RECIPES, help="default: that of results/recipe.json")
    add("--renderings", type=int, nargs="*", default=renderings.FURTHER, help="default: 1 2 3 4")


def add_arms(parser: argparse.ArgumentParser, groups: Groups, arms: Iterable[str]) -> None:
    """The option --arms: groups of arms or arms by name, the first group where none is named."""
    first = next(iter(groups))
    parser.add_argument(
        "--arms",
        nargs="+",
        default=[first],
        choices=[*groups, *arms],
        metavar="NAME",
        help=f"{', '.join(groups)}, or any of {', '.join(arms)}; default: {first}",
    )


def named(options: argparse.Namespace, groups: Groups) -> list[str]:
    """The arms that --arms asks for, each once."""
    each = (groups.get(name, (name,)) for name in options.arms)
    return list(dict.fromkeys(arm for group in each for arm in group))


@dataclass(frozen=True)
class Sitting:
    """What all runs of the study have in common, and who teaches.

    candidate: a name of CANDIDATES.
    """

    profile: Profile
    data_root: str | None
    batch: tuple[BatchTransform, ...]
    candidate: str
    further: tuple[int, ...] = renderings.FURTHER

    @classmethod
    def usual(
        cls,
        profile: Profile,
        data_root: str | None,
        recipe: str | None = None,
        candidate: str | None = None,
        further: tuple[int, ...] = renderings.FURTHER,
    ) -> Sitting:
        """With the augmentation and the teacher that the studies before this one have chosen.

        Args: recipe, of `studies.recipe.RECIPES`; None takes that of results/recipe.json, and for
            the candidate that of results/candidates.json; TEO-vATMSIC where nobody is chosen.
        """
        if candidate is None and CHOSEN.is_file():
            candidate = json.loads(CHOSEN.read_text())["chosen"]
        return cls(profile, data_root, chosen_batch(recipe), candidate or "fused", further)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Sitting:
        """What the options of a command ask for: see `usual`."""
        return cls.usual(
            options.profile,
            options.data_root,
            options.recipe,
            options.candidate,
            tuple(options.renderings),
        )

    @functools.cached_property
    def first(self) -> Experiment:
        """An experiment to ask for clips."""
        return Experiment(self.profile, self.data_root)

    @functools.cached_property
    def tests(self) -> dict[str, Data]:
        return renderings.every_test(self.first, self.further)

    @property
    def places(self) -> int:
        """How many locations the tests have; of the embedded corpus as a rule, so that none of it
        is rendered to be counted.
        """
        if self.data_root is None:
            return effort.LOCATIONS * len(self.tests)
        return len(Clips.of(renderings.table(self.tests)).strata)

    @property
    def corpus(self) -> str:
        """Its name, and what its sound depends on."""
        if self.data_root is None:
            return f"embedded, version {render.VERSION}"
        return f"given {self.first.corpus.fingerprint[:16]}"

    def teacher(self, number: int) -> Teacher:
        """The teacher of that seed: out of its file where `studies candidates` has kept it."""
        profile = trained_with(self.profile, self.batch)
        known = kept_teacher(TEACHERS, profile, self.data_root, self.candidate, number)
        return known or CANDIDATES[self.candidate](Experiment(profile, self.data_root, number))

    def runs(self, designs: Sequence[tuple[Design, int, int]]) -> list[Run]:
        """The runs of designs, each with the seed and the teacher it is asked for, all trained."""
        teachers = {
            number: self.teacher(number) for design, _, number in designs if design.is_taught
        }
        for design, _, _ in designs:
            shown = [on for phase in design.phases for on in getattr(phase, "outputs", ())]
            if self.candidate == "mean" and set(shown) - {"logits"}:
                raise ValueError(
                    f"{design.arm} compares {', '.join(sorted(set(shown)))}, of which a mean of "
                    "networks has none: name other --arms, or another --candidate"
                )
        build([run for one in teachers.values() for run in runs_of(one)])
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

    def made_with(self, tests: bool = True) -> dict[str, Any]:
        """What the whole file has in common. Args: tests, False where no test is heard."""
        made = provenance(Experiment(trained_with(self.profile, self.batch), self.data_root))
        made.pop("techniques")  # each row has its own
        made["corpus"] = self.corpus
        made |= {"augmentation": described(list(self.batch))}
        return made | {"tests": list(self.tests)} if tests else made

    def cost(self, epochs: Sequence[int], speed: float) -> str:
        """Of runs with so many epochs each, at so many clips a second, in words."""
        hours = effort.core_hours(epochs, effort.clips_to_fit(self.first), speed)
        return f"{len(epochs)} trainings, about {hours:.2f} core-hours, without the teachers'"
