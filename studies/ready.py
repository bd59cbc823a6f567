"""Teachers that need no training of their own: made of trained runs, or read from a file."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from asclib import keys
from asclib.challenge import SCENES
from asclib.networks import TMSIC, OneVsAllTeacher
from asclib.runs import Kept, Run, save_weights
from asclib.runs.experiment import SINGLE, Fused
from asclib.store import artefact, write_atomic

MEMBERS = 4  # networks in a mean


class Mean(nn.Module):
    """Several networks as one: the logarithm of the mean of their probabilities, (batch, classes).

    It has no embedding and no maps.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        each = torch.stack([member(x).log_softmax(1) for member in self.members])
        return each.logsumexp(0) - np.log(len(self.members))


@dataclass(frozen=True)
class Averaged:
    """Makes the mean of several runs, as `Fused` makes a teacher of its members."""

    members: tuple[Run | Kept, ...]

    def __call__(self) -> nn.Module:
        return Mean([member.net() for member in self.members])


@dataclass(frozen=True)
class Souped:
    """Makes one network whose weights are the mean of those of several runs of it.

    A model soup (Wortsman et al. 2022, arXiv 2203.05482): the runs go on from the same weights, so
    that what lies between them is good as well.
    """

    members: tuple[Run, ...]

    def __call__(self) -> nn.Module:
        net = self.members[0].network()
        states = [member.net().state_dict() for member in self.members]
        means = {
            name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
            for name, value in states[0].items()
        }
        net.load_state_dict(means)
        return net


@dataclass(frozen=True)
class Together:
    """A network of trained runs that is not trained itself, with what a `Run` or `Kept` has.

    Args: network makes it: `Averaged`, `Souped`, or `Fused`, whose head says before any fine-tuning
        what the members say by their odds (`asclib.networks.unfused_logits`).
    """

    network: Averaged | Fused | Souped

    @functools.cached_property
    def store_key(self) -> str:
        """What its answers depend on."""
        return keys.digest(["together", self.network])

    def needs(self) -> tuple[Run, ...]:
        """The runs it is made of."""
        return tuple(member for member in self.network.members if isinstance(member, Run))

    def net(self) -> nn.Module:
        """The network, in inference mode."""
        return self.network().eval()

    def folder(self) -> Path:
        """An artefact with its weights."""
        parents = tuple(member.folder() for member in self.network.members)
        return artefact(
            "together",
            {"together": self.store_key},
            lambda into: save_weights(self.net(), into),
            parents=parents,
        )

    def seconds(self) -> float:
        """How long its members took, and the run that several of them go on from once."""
        runs: set[Run | Kept] = set()
        for member in self.network.members:
            while member not in runs:
                runs.add(member)
                if isinstance(member, Run) and member.start is not None:
                    member = member.start
        before = (run.start for run in runs if isinstance(run, Run) and run.start is not None)
        return sum(run.seconds() for run in runs) - sum(run.seconds() for run in before)


# ---- files ---------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[], nn.Module]] = {
    "mean": lambda: Mean([TMSIC() for _ in range(MEMBERS)]),
    "single": lambda: TMSIC(widths=SINGLE),
    "one-vs-all": lambda: OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES]),
}


@dataclass(frozen=True)
class Saved:
    """A teacher in a file: it is asked like a `Run`, and nobody who has the file trains it again.

    Args: path of a file that `keep` has written.
    """

    path: str

    @functools.cached_property
    def store_key(self) -> str:
        """What follows from the content of the file, wherever it lies."""
        return hashlib.sha256(Path(self.path).read_bytes()).hexdigest()

    @functools.cached_property
    def made_with(self) -> dict[str, Any]:
        """Its form, the seconds it took, and what else `keep` was given."""
        with safe_open(self.path, "pt") as file:
            return json.loads(file.metadata()["made_with"])

    def net(self) -> nn.Module:
        """The network, in inference mode."""
        net = FORMS[self.made_with["form"]]()
        net.load_state_dict(load_file(self.path))  # copied into 32-bit floats
        return net.eval()

    def seconds(self) -> float:
        """How long it took where it was trained."""
        return self.made_with["seconds"]


def keep(net: nn.Module, path: Path, made_with: dict[str, Any]) -> Saved:
    """Write a network's weights as 16-bit floats, half a megabyte for five students.

    Args: made_with, plain json values: `form` names one of FORMS, `seconds` what it took.
    """
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(weights, {"made_with": json.dumps(made_with)}))
    return Saved(str(path))


Teacher = Run | Kept | Together | Saved


def runs_of(teacher: Teacher) -> tuple[Run, ...]:
    """What must be trained before this teacher can be asked."""
    if isinstance(teacher, Together):
        return teacher.needs()
    return (teacher,) if isinstance(teacher, Run) else ()
