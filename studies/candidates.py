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
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from torch import Tensor

from asclib.augmentation import FreqMixStyle
from asclib.evaluation.statistics import Verdict, difference
from asclib.evaluation.systems import Clips, System
from asclib.networks import count_parameters
from asclib.runs import Experiment, Profile, Run, build
from asclib.runs.experiment import Fused
from asclib.runs.provenance import provenance
from asclib.runs.run import VERSION
from asclib.store import PROJECT, write_atomic
from asclib.training import BatchTransform, macro_accuracy, predict
from studies.command import Commands, add_command
from studies.ready import MEMBERS, Averaged, Saved, Together, keep, runs_of
from studies.recipe import RECIPES, REFERENCE, through
from studies.record import begun, differing, refuse, write_json
from studies.teachers import TEACHERS

SMOOTHED = 0.1  # labels of the members
CHOSEN_RECIPE = PROJECT / "results" / "recipe.json"
HEARD = ("own", "invented", "all")
# Those who may teach are kept, in the form of `studies.ready.FORMS`.
FORM = {"mean": "mean", "single": "single", "fused": "one-vs-all", "fused_plain": "one-vs-all"}


# ---- candidates ----------------------------------------------------------------------------------


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
    "control": Experiment.control,
    "mean": _mean,
    "single": Experiment.single,
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


def _candidates(options: argparse.Namespace) -> None:
    batch = chosen_batch(options.recipe)
    names = options.only or list(CANDIDATES)
    candidates(
        options.profile, options.data_root, options.seeds, batch, options.output, names, TEACHERS
    )


def candidates(
    profile: Profile,
    data_root: str | None,
    seeds: Sequence[int],
    batch: tuple[BatchTransform, ...],
    output: Path,
    names: Sequence[str] = tuple(CANDIDATES),
    kept_in: Path | None = None,
) -> dict[str, Any]:
    """Train and hear what is missing, seed by seed, and write it beside what is there.

    Args: kept_in, a folder in which those who may teach are kept; see `kept_teacher`.
    Returns: the figures of `results/candidates.json`: `runs`, a row for each candidate and seed:
        parameters, seconds, and macro accuracy and log loss on own clips, through invented devices,
        and on both together; `gains`, each candidate's in accuracy over the control, with interval
        and verdict; `chosen`, or None. Beside it, in candidates.npz, a bit for each clip and run.
    Raises: ValueError when the control, who decides, is neither named nor there; or when the file
        was made with other settings.
    """
    profile = trained_with(profile, batch)
    made_with = _made_with(profile, data_root)
    found = begun(output, made_with)
    rows = found["runs"]
    if "control" not in {*names, *(row["candidate"] for row in rows)}:
        raise ValueError("the control decides who may teach: name it as well")
    heard, table = _heard(Experiment(profile, data_root))
    right: dict[str, np.ndarray] = {}
    if rows:
        with np.load(output.with_suffix(".npz")) as bits:
            right = {name: np.unpackbits(bits[name], count=len(table)) for name in bits}
    for seed in seeds:
        there = {(row["candidate"], row["seed"]) for row in rows}
        missing = [name for name in dict.fromkeys(names) if (name, seed) not in there]
        teachers = {
            name: CANDIDATES[name](Experiment(profile, data_root, seed)) for name in missing
        }
        build([run for one in teachers.values() for run in runs_of(one)])
        for name, teacher in teachers.items():
            net = teacher.net()
            if kept_in is not None and name in FORM:
                known = {"form": FORM[name], "seconds": teacher.seconds()} | made_with
                net = keep(net, _path(kept_in, profile, name, seed), known).net()
            logits = predict(net, heard.x)
            right[f"{name} {seed}"] = (logits.argmax(1) == heard.labels).numpy()
            row = {"candidate": name, "seed": seed, "parameters": count_parameters(net)}
            rows.append(row | {"seconds": teacher.seconds()} | _scores(logits, heard, table))
        found["gains"] = gains(systems(right), table)
        found["chosen"] = chosen(found["gains"])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{k: np.packbits(v.astype(bool)) for k, v in right.items()})
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output.with_suffix(".npz"), buffer.getvalue())
        write_json(output, found)
    return found


def kept_teacher(
    folder: Path, profile: Profile, data_root: str | None, name: str, seed: int
) -> Saved | None:
    """A candidate that was trained with this profile and kept there; None where there is none.

    Raises: ValueError when it was trained in another way.
    """
    path = _path(folder, profile, name, seed)
    if not path.is_file():
        return None
    known = Saved(str(path))
    refuse(path, differing(known.made_with, _made_with(profile, data_root)))
    return known


def _made_with(profile: Profile, data_root: str | None) -> dict[str, Any]:
    """The settings that all runs of a file share."""
    everything = provenance(Experiment(profile, data_root))
    shared = {name: everything[name] for name in ("corpus", "profile")}
    return shared | {"training_version": VERSION}


def _path(folder: Path, profile: Profile, name: str, seed: int) -> Path:
    return folder / f"{profile.name}-{name}-{seed}.safetensors"


def systems(right: dict[str, np.ndarray]) -> dict[str, System]:
    """From "name seed", and (clips,) 1 or 0, to a system by name."""
    names = dict.fromkeys(key.rpartition(" ")[0] for key in right)
    seeds = {
        name: [int(k.rpartition(" ")[2]) for k in right if k.rpartition(" ")[0] == name]
        for name in names
    }
    return {
        name: System(
            name, np.stack([right[f"{name} {seed}"] for seed in own]).astype(float), tuple(own)
        )
        for name, own in seeds.items()
    }


def _scores(logits: Tensor, heard: Any, table: pd.DataFrame) -> dict[str, float]:
    row = {}
    for where, rows in _parts(table).items():
        said, labels = logits[rows], heard.labels[rows]
        row[f"{where}_accuracy"] = round(macro_accuracy(said, labels), 5)
        row[f"{where}_log_loss"] = round(float(F.cross_entropy(said, labels)), 5)
    return row


def gains(systems: dict[str, System], table: pd.DataFrame) -> list[dict[str, Any]]:
    """Each candidate minus the control in macro accuracy, by where it was heard.

    Args: systems, 1 or 0 for each clip; table, a row a clip: scene, city, location and `heard`,
        "own" or "invented". Compared are the seeds that both have.
    """
    rows = []
    for name, one in systems.items():
        if name == "control":
            continue
        seeds = set(one.seeds) & set(systems["control"].seeds)
        for where, part in _parts(table).items():
            ours, base = (each.only(seeds).on(part) for each in (one, systems["control"]))
            found = difference(ours, base, Clips.of(table[part]))
            rows.append(
                {
                    "candidate": name,
                    "heard": where,
                    "seeds": len(seeds),
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
