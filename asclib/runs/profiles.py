"""The profiles a chapter can run under: how much effort to spend.

`quick`, `small` and `study` run on the embedded corpus unless a `data_root` is given; `tau` is the
authors' recipe for the full data set: their six-fold clips, their epochs, their fusion.

Chapter: book/practice/tau.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asclib.augmentation.batch import FreqMixStyle
from asclib.augmentation.clip import SixFold, View
from asclib.corpus.embedded.layout import CorpusSize
from asclib.networks.teacher import Head
from asclib.training import Training


@dataclass(frozen=True)
class Profile:
    """One effort level: corpus size, and the training of student, members, fusion and one stage.

    `views` shows the clips to fit in several versions (`asclib.runs.data.Data`), `fusion_head` says
    where the fusion of the members starts (`OneVsAllTeacher`).
    """

    name: str
    corpus: CorpusSize
    student: Training
    member: Training
    fusion: Training
    stage: Training
    views: View | None = None
    fusion_head: Head = "members"


def _short(
    name: str, size: CorpusSize, epochs: int, member: int, fusion: int, fusion_rate: float
) -> Profile:
    """A profile of one-cycle trainings of a few epochs, whose last epoch is as good as any.

    A teacher is heard on devices it has never heard: Freq-MixStyle, as in the DCASE baselines since
    2023, stands for the authors' six-fold augmentation, which short runs cannot afford.
    """
    student = Training(epochs, learning_rate=3e-3, batch_size=32, statistics_momentum=0.1)
    teacher = replace(student, batch=(FreqMixStyle(0.4),))
    member_plan = replace(teacher, epochs=member, monitor="last", label_smoothing=0.1)
    fusion_plan = replace(teacher, epochs=fusion, learning_rate=fusion_rate)
    return Profile(name, size, student, member_plan, fusion_plan, stage=student)


_AUTHORS = Training(epochs=200, schedule="constant", patience=20, statistics_momentum=0.01)

# The study's epochs were set before its test was scored, on validation clips of one seed: 64
# locations, among which students of 12, 24 and 40 epochs could not be told apart. With MixStyle a
# network needs longer, so members get 30; the fusion is gentle, since at ten times the rate it lost
# a point there. `python -m studies budget` looks for the student's epochs again.
# "small" is for a thousand recorded clips: three times the epochs, or there are too few steps.
PROFILES = {
    "quick": _short("quick", CorpusSize(1_200, 600), 12, member=10, fusion=2, fusion_rate=1e-4),
    "small": _short("small", CorpusSize(1_200, 600), 36, member=90, fusion=1, fusion_rate=1e-5),
    "study": _short("study", CorpusSize(6_000, 2_000), 12, member=30, fusion=1, fusion_rate=1e-5),
    "tau": Profile(
        "tau",
        CorpusSize(139_620, 29_680),
        student=_AUTHORS,
        # the best accuracy after the tenth epoch, and no more epochs once the loss has not fallen
        member=replace(_AUTHORS, label_smoothing=0.1, warm_up=10, waits_for="loss"),
        fusion=_AUTHORS,
        stage=_AUTHORS,
        views=SixFold(),
        fusion_head="random",
    ),
}


def profile(name: str) -> Profile:
    """The profile of that name. Raises ValueError naming the profiles there are."""
    if name not in PROFILES:
        raise ValueError(f"no profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
