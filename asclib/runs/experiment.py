"""An experiment: one corpus, one profile, one seed, and the runs of the book on them.

A chapter asks for a run, and the run for its network; what is missing is trained, stored and found
again the next time. It is a catalogue and nothing more: a run of one's own needs no place in it.

Chapters: book/networks/student, book/networks/ensembles, book/challenges/slips,
book/challenges/few_labels, book/distillation/assistants.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType

import pandas as pd
from torch import nn

from asclib import checked
from asclib.challenge.task import SCENES
from asclib.corpus.folder import Corpus, Split
from asclib.distillation.stages import Stage
from asclib.distillation.techniques import stages_of
from asclib.networks.teacher import Head, OneVsAllTeacher
from asclib.networks.tmsic import TMSIC, as_tmsic
from asclib.pretraining.methods import METHODS
from asclib.runs.data import Data
from asclib.runs.kept import Kept
from asclib.runs.profiles import PROFILES, Profile, profile
from asclib.runs.run import Lesson, Run
from asclib.training import Clips, Training

SMOOTHING = 0.1  # of the labels of `Experiment.smoothed`
ASSISTANT = (30, 42, 42, 24)  # filters of the assistant: half as many again as TMSIC's
SINGLE = (67, 94, 95, 54)  # filters of one network with the parameters of the whole teacher


@dataclass(frozen=True)
class Fused:
    """Makes the teacher before its fine-tuning: the members as they were trained, side by side."""

    members: tuple[Run | Kept, ...]
    head: Head = "members"

    def __call__(self) -> nn.Module:
        return OneVsAllTeacher([as_tmsic(member.net()) for member in self.members], self.head)


@dataclass(frozen=True)
class Experiment:
    """The runs of the book under one profile, on one corpus, with one seed.

    Args:
        profile: a name in PROFILES ("quick", "small", "study", "tau") or a Profile.
        data_root: a folder in TAU layout; None renders and uses the embedded corpus.
        seed: of the networks' initial values, the order of clips and dropout (not of the corpus).
        taught_by: the teacher of all that is taught, such as `Experiment("study").teacher()` for
            one teacher of many seeds, or a `Kept` one; None trains a teacher of its own.
        subset: 5, 10, 25, 50 or 100 per cent of the training clips, as of the challenge of 2024:
            nobody is shown the labels of the others. None takes all.
    Raises: ValueError naming a value that is none of these.
    """

    profile: Profile = "quick"  # type: ignore[assignment]  # a name is turned into the profile
    data_root: str | None = None
    seed: int = 0
    taught_by: Run | Kept | None = None
    subset: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.profile, str):
            object.__setattr__(self, "profile", profile(self.profile))
        remedy = f"give a Profile, or the name of one: {', '.join(PROFILES)}"
        checked.kind("profile", self.profile, Profile, remedy)
        # members are told apart by the last digit of their seeds
        seed = checked.whole_number("seed", self.seed, most=checked.SEED // 100)
        object.__setattr__(self, "seed", seed)
        remedy = "give a Run or a Kept teacher, or None for one of its own"
        checked.kind("taught_by", self.taught_by, (Run, Kept, NoneType), remedy)
        if self.data_root is not None:
            remedy = "name a folder in TAU layout, or give None for the embedded corpus"
            checked.kind("data_root", self.data_root, (str, Path), remedy)
            if not str(self.data_root).strip():
                raise ValueError(f"data_root is {self.data_root!r}: {remedy}")
            root = str(Path(self.data_root).expanduser().resolve())
            object.__setattr__(self, "data_root", root)

    # ---- data ------------------------------------------------------------------------------

    @functools.cached_property
    def data(self) -> Data:
        """The clips of this experiment as TMSIC's front end shows them."""
        source = self.data_root or self.profile.corpus
        return Data(source, views=self.profile.views, subset=self.subset)

    @property
    def corpus(self) -> Corpus:
        """The corpus of this experiment, opened and validated."""
        return self.data.corpus

    def table(self, split: Split) -> pd.DataFrame:
        """The clips of "fit", "validation", "train" or "test"; row i is row i of `clips(split)`."""
        return self.data.table(split)

    def clips(self, split: Split) -> Clips:
        """Features and labels of one split: (n, 1, 140, 8) log-mel in nepers."""
        return self.data.clips(split)

    # ---- runs ------------------------------------------------------------------------------

    def student(self) -> Run:
        """TMSIC trained on the labels alone."""
        return Run(TMSIC, self.data, self.profile.student, self.seed)

    def control(self) -> Run:
        """The student with all the effort that a member of the teacher gets."""
        return replace(self.student(), plan=self._long)

    def smoothed(self, smoothing: float = SMOOTHING) -> Run:
        """The student on smoothed labels: softer answers that no teacher gave."""
        return replace(
            self.student(), plan=replace(self.profile.student, label_smoothing=smoothing)
        )

    def pretrained(self, method: str = "barlow_twins", plan: Training | None = None) -> Run:
        """The student's body on all clips to fit, also those outside the subset, without labels.

        Args: method, of `asclib.pretraining.METHODS`; plan, the student's when None.
        """
        checked.one_of("method", method, METHODS)
        everything = replace(self.data, subset=None, views=None)
        plan = plan or self.profile.student
        return Run(TMSIC, everything, plan, self.seed, METHODS[method])

    def single(self) -> Run:
        """One network with the parameters and the effort of the whole teacher."""
        return replace(self.control(), network=functools.partial(TMSIC, widths=SINGLE))

    def member(self, scene: str) -> Run:
        """The one-vs-all network of one scene, [scene, others]."""
        data = self.data.against(scene)
        binary = functools.partial(TMSIC, n_classes=2)
        seed = self.seed * len(SCENES) + SCENES.index(scene)
        return Run(binary, data, self.profile.member, seed)

    def members(self) -> tuple[Run, ...]:
        """All ten of them, in the order of SCENES."""
        return tuple(self.member(scene) for scene in SCENES)

    def teacher(self) -> Run | Kept:
        """The ten members fused and fine-tuned; or the teacher that was given."""
        if self.taught_by is not None:
            return self.taught_by
        fused = Fused(self.members(), self.profile.fusion_head)
        return Run(fused, self.data, self.profile.fusion, self.seed)

    def assistant(self) -> Run:
        """A wider TMSIC taught by the teacher's responses, to teach the student in its turn."""
        wide = functools.partial(TMSIC, widths=ASSISTANT)
        return self.taught("response", network=wide)

    def taught(
        self,
        technique: str | tuple[Stage, ...],
        by: Run | Kept | None = None,
        *,
        plan: Training | None = None,
        network: functools.partial[TMSIC] | type[TMSIC] = TMSIC,
    ) -> Run:
        """A student taught by a technique: a run for each stage, going on from the one before.

        Args:
            technique: one of TECHNIQUES, or stages of your own.
            by: who teaches; the teacher of this experiment when None.
            plan: of each stage; the profile's when None.
            network: what is taught.
        """
        stages = stages_of(technique) if isinstance(technique, str) else technique
        teacher, run = by or self.teacher(), None
        for stage in stages:
            run = Run(
                network,
                self.data,
                plan or self.profile.stage,
                self.seed,
                Lesson((stage,), teacher),
                start=run,
            )
        if run is None:
            raise ValueError("no stage is given: there is nothing to teach")
        return run

    @property
    def _long(self) -> Training:
        member = self.profile.member
        return replace(self.profile.student, epochs=member.epochs, batch=member.batch)
