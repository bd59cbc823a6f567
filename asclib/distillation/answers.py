"""What a teacher says of the clips a student learns from, joined to them by name.

Two controls take from it what it knows of the single clip: `class_means` and `permuted`. What they
return teaches in place of the teacher: `Lesson(stages, class_means(run.answers(), labels))`.

Chapter: book/distillation/response.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from asclib import checked


@dataclass(frozen=True)
class SideBySide:
    """Maps of several layers, joined along the channels, for the clips of a batch only.

    It has what the trainer asks of a tensor of answers, and what lies on the disk stays there.

    Args: parts, for each layer (n, channels, mels, frames); channels may differ.
    """

    parts: tuple[Tensor, ...]

    @property
    def channels(self) -> list[int]:
        """Of each layer: where a joined map is split again."""
        return [part.shape[1] for part in self.parts]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Tensor) -> Tensor:
        return torch.cat([part[rows] for part in self.parts], dim=1)

    def to(self, where: torch.device) -> SideBySide:
        """The same on another device."""
        return SideBySide(tuple(part.to(where) for part in self.parts))


@dataclass(frozen=True)
class Answers:
    """What the teacher says of the clips that `identifiers` (n,) names, computed once.

    `logits` (n, classes), and by name what else a stage compares: embeddings (n, d) or maps
    (n, channels, mels, frames).
    """

    identifiers: np.ndarray
    logits: np.ndarray
    others: dict[str, np.ndarray] = field(default_factory=dict)

    def joined(
        self, identifiers: np.ndarray, output: str | tuple[str, ...] = "logits"
    ) -> Tensor | SideBySide:
        """One output in the order of `identifiers`, or the maps of several layers.

        Raises: ValueError naming the first clip without an answer, or answered twice, or an output
        that was not computed.
        """
        if isinstance(output, tuple):
            return SideBySide(tuple(self._joined(identifiers, one) for one in output))
        return self._joined(identifiers, output)

    def _joined(self, identifiers: np.ndarray, output: str) -> Tensor:
        if output != "logits" and output not in self.others:
            known = ", ".join(["logits", *self.others])
            raise ValueError(f"the teacher's {output} was not computed, only {known}")
        values = self.logits if output == "logits" else self.others[output]
        if values.ndim < 2:
            raise ValueError(f"{output} of shape {values.shape}: give the teacher's (clips, ...)")
        position = {identifier: row for row, identifier in enumerate(self.identifiers)}
        if len(position) != len(values):
            raise ValueError(
                f"{len(values)} teacher answers for {len(position)} distinct clips: every "
                "clip needs exactly one; compute the answers again"
            )
        missing = [identifier for identifier in identifiers if identifier not in position]
        if missing:
            raise ValueError(
                f"the teacher has no answer for {missing[0]} ({len(missing)} of {len(identifiers)} "
                "clips missing): compute the answers on the clips the student learns from"
            )
        rows = [position[identifier] for identifier in identifiers]
        if rows == list(range(len(values))):  # the usual order: a large map stays on the disk
            return torch.from_numpy(values)
        return torch.from_numpy(np.ascontiguousarray(values[rows]))


# ---- controls --------------------------------------------------------------------------------


def class_means(answers: Answers, labels: np.ndarray | Tensor) -> Answers:
    """Soft labels that know the class and nothing of the clip: the teacher's mean for that class.

    Args: labels (n,), the class of each clip, in the order of `answers.identifiers`.
    Returns: answers whose logits are the logarithms of the mean soft target (temperature 1) of the
    clip's class, so that losses on logits work on them. Embeddings and maps are left out.
    Raises: ValueError when there is not one label for each answer.
    """
    labels = _one_each(answers, labels)
    logits = torch.from_numpy(np.array(answers.logits)).double()
    means = np.empty(answers.logits.shape)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        # from logarithms: a probability that single precision takes for zero has one too
        means[own] = (logits[own].log_softmax(1).logsumexp(0) - np.log(len(own))).numpy()
    return Answers(answers.identifiers, means.astype(answers.logits.dtype))


def permuted(answers: Answers, labels: np.ndarray | Tensor, seed: int) -> Answers:
    """The teacher's answers, each given to a clip of the same class drawn at random.

    All that it says of a class is still there, confidence and doubts, but of the wrong clip. On
    average one clip of each class keeps its own answer.

    Args: labels (n,), the class of each clip, in the order of `answers.identifiers`.
    Returns: the same values under other identifiers: logits, embeddings and maps move together.
    Raises: ValueError when there is not one label for each answer.
    """
    labels = _one_each(answers, labels)
    generator = np.random.default_rng(checked.whole_number("seed", seed))
    identifiers = np.array(answers.identifiers)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        identifiers[own] = identifiers[generator.permutation(own)]
    return Answers(identifiers, answers.logits, answers.others)


def _one_each(answers: Answers, labels: np.ndarray | Tensor) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (len(answers.identifiers),):
        raise ValueError(
            f"labels of shape {labels.shape} for {len(answers.identifiers)} answers: give the "
            "class of each clip, in the order of the answers' identifiers"
        )
    return labels
