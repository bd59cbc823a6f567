"""An experiment: one corpus, one profile, one seed, and every network trained on them.

A chapter asks for what it needs; what is missing is built, stored and found again the next time.
It is a catalogue: each network is a `Run`, and a run of one's own needs no place in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from torch import nn

from asclib import runs, settings
from asclib.corpus import Corpus
from asclib.distillation import TECHNIQUES, Answers, Stage, is_technique, stages_of
from asclib.kept import Kept
from asclib.networks import TMSIC
from asclib.runs import Data, Lesson, Run
from asclib.teacher import OneVsAllTeacher
from asclib.training import Clips

MEMBERS = tuple(f"member_{scene}" for scene in settings.SCENES)
UNTAUGHT = ("student", "student_control", "student_smoothed", "single")
SMOOTHING = 0.1  # of the labels, for "student_smoothed"; "student_smoothed@2" doubles it
ASSISTANT = (30, 42, 42, 24)  # filters of the assistant: half as many again as TMSIC's
SINGLE = (67, 94, 95, 54)  # filters of one network with the parameters of the whole teacher


@dataclass(frozen=True)
class Fused:
    """Makes the teacher before its fine-tuning: the members as they were trained, side by side."""

    members: tuple[Run | Kept, ...]

    def __call__(self) -> nn.Module:
        return OneVsAllTeacher([member.net() for member in self.members])


class Experiment:
    """Everything a chapter can ask for, built on first use.

    Args:
        profile: a name in settings.PROFILES ("quick", "small", "study", "tau") or a Profile.
        data_root: a folder in TAU layout; None renders and uses the embedded corpus.
        seed: of the networks' initial values, the order of clips and dropout (not of the corpus).
        teacher: a folder with a trained teacher and its members (`asclib.kept`), or the seed of the
            experiment whose teacher this is; None trains its own.
    """

    def __init__(
        self,
        profile: str | settings.Profile = "quick",
        data_root: str | Path | None = None,
        seed: int = 0,
        teacher: str | Path | int | None = None,
    ):
        self.profile = settings.profile(profile) if isinstance(profile, str) else profile
        self.data_root = None if data_root is None else str(Path(data_root).expanduser().resolve())
        self.seed = seed
        is_folder = isinstance(teacher, (str, Path))
        self.given_teacher = str(Path(teacher).expanduser().resolve()) if is_folder else teacher

    def _identity(self) -> tuple:
        return self.profile, self.data_root, self.seed, self.given_teacher

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and other._identity() == self._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self):  # not the clips it has read
        return Experiment, self._identity()

    def shorter(self, part: int) -> Experiment:
        """The same with one epoch in `part` for the student and for every stage."""
        student, stage = (
            replace(plan, epochs=max(1, plan.epochs // part))
            for plan in (self.profile.student, self.profile.stage)
        )
        profile = replace(self.profile, student=student, stage=stage)
        return Experiment(profile, self.data_root, self.seed, self.given_teacher)

    # ---- data ------------------------------------------------------------------------------

    @functools.cached_property
    def data(self) -> Data:
        """The clips of this experiment as TMSIC's front end shows them."""
        return Data(self.data_root or self.profile.corpus)

    @property
    def corpus(self) -> Corpus:
        """The corpus of this experiment, opened and validated."""
        return self.data.corpus

    def table(self, split: str) -> pd.DataFrame:
        """The clips of "fit", "validation", "train" or "test"; row i is row i of `clips(split)`."""
        return self.data.table(split)

    def clips(self, split: str) -> Clips:
        """Features and labels of one split: (n, 1, 140, 8) log-mel in nepers."""
        return self.data.clips(split)

    # ---- networks --------------------------------------------------------------------------

    def run(self, name: str) -> Run | Kept:
        """One network of the book as a value, by its label.

        Args: name: "student", "student_control", "student_smoothed", "single", "member_<scene>",
            "teacher", "assistant" or a technique.
        Raises: ValueError for a name there is not.
        """
        if self.given_teacher is not None and name in ("teacher", *MEMBERS):
            if isinstance(self.given_teacher, int):
                return Experiment(self.profile, self.data_root, self.given_teacher).run(name)
            return Kept(self.given_teacher, name)
        plans, base, factor = self.profile, *name.partition("@")[::2]
        longer = replace(
            plans.student, epochs=plans.member.epochs, mixstyle=plans.member.mixstyle
        )
        student = Run(TMSIC, self.data, plans.student, self.seed)
        if name == "student":
            return student
        if name == "student_control":
            return replace(student, plan=longer)
        if name == "single":
            return replace(student, network=functools.partial(TMSIC, widths=SINGLE), plan=longer)
        if base == "student_smoothed":
            smoothing = SMOOTHING * float(factor or 1)
            return replace(student, plan=replace(plans.student, label_smoothing=smoothing))
        if name in MEMBERS:
            return self._member(MEMBERS.index(name))
        if name == "teacher":
            members = tuple(self.run(member) for member in MEMBERS)
            return Run(Fused(members), self.data, plans.fusion, self.seed)
        if name == "assistant":
            lesson = Lesson(TECHNIQUES["response"], self.run("teacher"))
            wide = functools.partial(TMSIC, widths=ASSISTANT)
            return replace(student, network=wide, plan=plans.stage, lesson=lesson)
        if is_technique(name):
            return self._taught(stages_of(name))
        known = ", ".join([*UNTAUGHT, *MEMBERS, "teacher", "assistant", *TECHNIQUES])
        raise ValueError(f"no network {name!r}: choose one of {known}")

    def _member(self, scene: int) -> Run:
        data = self.data.against(settings.SCENES[scene])
        binary = functools.partial(TMSIC, n_classes=2)
        return Run(binary, data, self.profile.member, self.seed * len(MEMBERS) + scene)

    def _taught(self, stages: Iterable[Stage]) -> Run:
        """A student after these stages: each goes on from the one before, with its own teacher."""
        run = None
        for stage in stages:
            lesson = Lesson((stage,), self.run(stage.teacher))
            run = Run(TMSIC, self.data, self.profile.stage, self.seed, lesson, start=run)
        return run

    def network(self, name: str) -> TMSIC | OneVsAllTeacher:
        """Any network by its label, trained now where it is missing; see `run`."""
        return self.run(name).net()

    def student(self, control: bool = False) -> TMSIC:
        """TMSIC trained on the labels alone; as a control, with all the effort a member gets."""
        return self.network("student_control" if control else "student")

    def member(self, scene: str) -> TMSIC:
        """The one-vs-all network of one scene, [scene, others]."""
        return self.network(f"member_{scene}")

    def teacher(self) -> OneVsAllTeacher:
        """The ten members fused and fine-tuned."""
        return self.network("teacher")

    def assistant(self) -> TMSIC:
        """A wider TMSIC taught by the teacher's responses, to teach the student in its turn."""
        return self.network("assistant")

    def distilled(self, technique: str) -> TMSIC:
        """TMSIC taught through one of the techniques; for names see `distillation.stages_of`."""
        return self.network(technique)

    def history(self, name: str) -> pd.DataFrame:
        """The epochs of one training, all its stages; names as for `run`."""
        return self.run(name).history()

    def wall_seconds(self, name: str) -> float:
        """How long that training took where it was built, all its stages, in seconds."""
        return self.run(name).seconds()

    def build(self, *names: str) -> None:
        """Train several of this experiment's networks side by side; see `build`."""
        build([(self, name) for name in names])

    def answers(self, *outputs: str, of: str = "teacher") -> Answers:
        """What the teacher says of the clips students learn from, computed once for each output.

        Args: outputs: of `asclib.distillation.outputs.OUTPUTS`, beside the logits; of: who answers,
            "teacher" or "assistant".
        """
        return runs.answers(self.run(of), self.data, *outputs)


def build(pairs: list[tuple[Experiment, str]]) -> None:
    """Train many networks side by side, and what they need first: see `asclib.runs.build`.

    Args: pairs of an experiment and a network's name (see `Experiment.run`).
    """
    runs.build([owner.run(name) for owner, name in pairs])
