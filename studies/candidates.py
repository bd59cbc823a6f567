"""A teacher worth learning from: who beats a student of equal effort on validation clips?

    python -m studies candidates --seeds 0 1 2 3
    python -m studies candidates --seeds 0 1 --only control single

Everybody has the epochs of a teacher's member and the same augmentation, the recipe's choice:
control         the student
mean            MEMBERS controls of other seeds, their probabilities averaged
single          one network as large as all members together
fused           TEO-vATMSIC, ten one-vs-all members with smoothed labels, fused and fine-tuned
fused_plain     the same without smoothing: what KD transfers may be smoothed away (Müller et al.
                2019, arXiv 1906.02629)
unfused, unfused_plain   the same members by their odds, without any fusion

The rule, set before the first run: a candidate beats the control when the 95 % interval of its gain
in macro accuracy, over seeds and locations, lies above zero. It is counted on the validation clips
together with those of device a through three invented devices (`studies.recipe.through`). The best
of those that do teaches; where none does, nobody is worth learning from. The test is not read.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asclib import keys
from asclib.augmentation import FreqMixStyle
from asclib.evaluation.statistics import Verdict, difference
from asclib.evaluation.systems import Clips, System
from asclib.networks import count_parameters
from asclib.runs import Experiment, Kept, Profile, Run, build, save_weights
from asclib.runs.experiment import Fused
from asclib.runs.provenance import provenance
from asclib.store import PROJECT, artefact
from asclib.training import BatchTransform, macro_accuracy, predict
from studies.command import Commands, add_command
from studies.recipe import RECIPES, REFERENCE, through

MEMBERS = 4  # controls in a mean
SMOOTHED = 0.1  # labels of the members
CHOSEN_RECIPE = PROJECT / "results" / "recipe.json"
HEARD = ("own", "invented", "all")


# ---- teachers that need no training of their own -------------------------------------------------


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
class Together:
    """A network of trained runs that is not trained itself, with what a `Run` or `Kept` has.

    Args: network makes it: `Averaged`, or `Fused`, whose head says before any fine-tuning what the
        members say by their odds (`asclib.networks.unfused_logits`).
    """

    network: Averaged | Fused

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
        """How long its members took."""
        return sum(member.seconds() for member in self.network.members)


Teacher = Run | Kept | Together


# ---- candidates ----------------------------------------------------------------------------------


def _control(experiment: Experiment) -> Run:
    return experiment.control()


def _single(experiment: Experiment) -> Run:
    return experiment.single()


def _mean(experiment: Experiment) -> Together:
    first = MEMBERS * experiment.seed
    members = [replace(experiment.control(), seed=first + k) for k in range(MEMBERS)]
    return Together(Averaged(tuple(members)))


def _fused(experiment: Experiment, smoothing: float) -> Run:
    teacher = _members_smoothed(experiment, smoothing).teacher()
    assert isinstance(teacher, Run)  # nobody was given
    return teacher


def _unfused(experiment: Experiment, smoothing: float) -> Together:
    return Together(Fused(_members_smoothed(experiment, smoothing).members(), "members"))


def _members_smoothed(experiment: Experiment, smoothing: float) -> Experiment:
    profile = experiment.profile
    member = replace(profile.member, label_smoothing=smoothing)
    return replace(experiment, profile=replace(profile, member=member), taught_by=None)


CANDIDATES: dict[str, Callable[[Experiment], Run | Together]] = {
    "control": _control,
    "mean": _mean,
    "single": _single,
    "fused": functools.partial(_fused, smoothing=SMOOTHED),
    "fused_plain": functools.partial(_fused, smoothing=0.0),
    "unfused": functools.partial(_unfused, smoothing=SMOOTHED),
    "unfused_plain": functools.partial(_unfused, smoothing=0.0),
}


def chosen_batch(name: str | None, path: Path = CHOSEN_RECIPE) -> tuple[BatchTransform, ...]:
    """Everybody's augmentation: a recipe by name; None takes the choice of `path`, if it is there,
    else Freq-MixStyle.

    Raises: ValueError naming the recipes there are.
    """
    if name is None:
        if not path.is_file():
            return (FreqMixStyle(0.4),)
        name = json.loads(path.read_text())["chosen"]
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def trained_with(profile: Profile, batch: tuple[BatchTransform, ...]) -> Profile:
    """A profile whose members, fusion and controls all have one augmentation."""
    member, fusion = (replace(plan, batch=batch) for plan in (profile.member, profile.fusion))
    return replace(profile, member=member, fusion=fusion)


# ---- the study -----------------------------------------------------------------------------------


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "candidates", _candidates, profile="study", seeds=4)
    parser.add_argument("--recipe", choices=RECIPES, help="default: that of results/recipe.json")
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, help="default: all")


def _candidates(options: argparse.Namespace) -> dict[str, Any]:
    batch = chosen_batch(options.recipe)
    made_with = provenance(Experiment(trained_with(options.profile, batch), options.data_root))
    names = options.only or list(CANDIDATES)
    found = candidates(options.profile, options.data_root, options.seeds, batch, names)
    return made_with | {"seeds": options.seeds} | found


def candidates(
    profile: Profile,
    data_root: str | None,
    seeds: Sequence[int],
    batch: tuple[BatchTransform, ...],
    names: Sequence[str] = tuple(CANDIDATES),
) -> dict[str, Any]:
    """The figures of `results/candidates.json`.

    Returns: `runs`, a row for each candidate and seed: parameters, seconds, and macro accuracy and
        log loss on own clips, through invented devices, and on both together; `gains`, each
        candidate's in accuracy over the control, with interval and verdict; `chosen`, or None.
    Raises: ValueError without the control, who decides.
    """
    if "control" not in names:
        raise ValueError("the control decides who may teach: name it as well")
    experiments = [Experiment(trained_with(profile, batch), data_root, seed) for seed in seeds]
    teachers = {(name, one.seed): CANDIDATES[name](one) for name in names for one in experiments}
    build([run for one in teachers.values() for run in _runs(one)])
    heard, table = _heard(experiments[0])
    rows, right = [], {}
    for (name, seed), teacher in teachers.items():
        net = teacher.net()
        row = {"candidate": name, "seed": seed, "parameters": count_parameters(net)}
        row["seconds"] = teacher.seconds()
        logits = predict(net, heard.x)
        right[name, seed] = (logits.argmax(1) == heard.labels).numpy().astype(float)
        for where, rows_of in _parts(table).items():
            said, labels = logits[rows_of], heard.labels[rows_of]
            row[f"{where}_accuracy"] = round(macro_accuracy(said, labels), 5)
            row[f"{where}_log_loss"] = round(float(F.cross_entropy(said, labels)), 5)
        rows.append(row)
    systems = {
        name: np.stack([right[name, seed] for seed in seeds]) for name in dict.fromkeys(names)
    }
    found = gains(systems, seeds, table)
    return {"runs": rows, "gains": found, "chosen": chosen(found)}


def gains(
    right: dict[str, np.ndarray], seeds: Sequence[int], table: pd.DataFrame
) -> list[dict[str, Any]]:
    """Each candidate minus the control in macro accuracy, by where it was heard.

    Args: right (seeds, clips) 1 or 0 by candidate; table, a row a clip: scene, city, location and
        `heard`, "own" or "invented".
    """
    rows = []
    for name in right:
        if name == "control":
            continue
        for where, part in _parts(table).items():
            ours, base = (
                System(one, right[one][:, part], tuple(seeds)) for one in (name, "control")
            )
            found = difference(ours, base, Clips.of(table[part]))
            rows.append(
                {
                    "candidate": name,
                    "heard": where,
                    "gain": round(found.estimate, 5),
                    "low": round(found.low, 5),
                    "high": round(found.high, 5),
                    "verdict": str(found.verdict),
                }
            )
    return rows


def chosen(gains: Sequence[dict[str, Any]]) -> str | None:
    """The best of those that beat the control on all clips together; None where nobody does."""
    better = [
        row
        for row in gains
        if row["heard"] == "all" and row["verdict"] == Verdict.YES and row["gain"] > 0
    ]
    return max(better, key=lambda row: row["gain"])["candidate"] if better else None


def _runs(teacher: Run | Together) -> tuple[Run, ...]:
    return teacher.needs() if isinstance(teacher, Together) else (teacher,)


def _heard(experiment: Experiment) -> tuple[Any, pd.DataFrame]:
    """The validation clips, then those through invented devices; and a table of their places."""
    own, invented = experiment.clips("validation"), through(experiment)
    table = experiment.table("validation")
    reference = table[table["device"] == REFERENCE]
    copies = [reference.assign(heard="invented")] * (len(invented.labels) // len(reference))
    columns = ["scene", "city", "location", "heard"]
    whole = pd.concat([table.assign(heard="own"), *copies], ignore_index=True)[columns]
    return own.joined(invented), whole


def _parts(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which clips count where: masks (clips,)."""
    own = np.array(table["heard"] == "own")
    return dict(zip(HEARD, (own, ~own, np.ones(len(own), bool)), strict=True))
