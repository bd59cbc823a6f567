"""Every system of the book's first half, several seeds, on the test clips.

    python -m studies scoreboard --seeds 0 1 2

Each seed has the teacher of that seed: one that was kept, or else one that is trained now. The
book's own teachers learnt from the embedded corpus: with `--data-root` only those are looked for
that `--teachers` names.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asclib.compression import simulate
from asclib.distillation import TECHNIQUES
from asclib.evaluation import calibration, device_gap, evaluate, paired, score
from asclib.networks import unfused_logits
from asclib.runs import Experiment, Kept, Profile, Run, build
from asclib.runs.provenance import provenance
from asclib.training import predict, probabilities
from studies.command import Commands, add_command
from studies.teachers import TEACHERS, members
from studies.verdicts import figures

STUDENTS = ("student", "student_control")  # taught by no teacher
BASES = (*STUDENTS, "teacher_unfused", "response", "response_twice", "response_long")
TAUGHT = (
    "response",
    "response_published",
    "relational",
    "rrs",
    "rrs_published",
    "response_twice",
    "response_long",
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "scoreboard", _scoreboard, profile="study")
    parser.add_argument(
        "--techniques",
        nargs="*",
        default=TAUGHT,
        choices=TECHNIQUES,
        metavar="NAME",
        help=f"of {', '.join(TECHNIQUES)}; default: {', '.join(TAUGHT)}",
    )
    usual = "results/teachers for the embedded corpus"
    parser.add_argument("--teachers", type=Path, help=f"a folder; default: {usual}")


def _scoreboard(options: argparse.Namespace) -> dict[str, Any]:
    profile, data_root = options.profile, options.data_root
    experiments = [
        Experiment(profile, data_root, seed, known(options.teachers, profile, data_root, seed))
        for seed in options.seeds
    ]
    techniques = tuple(options.techniques)
    return provenance(experiments[0], techniques) | scoreboard(experiments, techniques)


def known(folder: Path | None, profile: Profile, data_root: str | None, seed: int) -> Kept | None:
    """The teacher of a seed that a folder keeps; None where there is none, and one is trained.

    Args: folder, the book's own when None, but none at all for a folder of recordings.
    """
    if folder is None and data_root is None:
        folder = TEACHERS
    own = folder and folder / f"{profile.name}-{seed}"
    return Kept(str(own)) if own and own.is_dir() else None


def networks(experiment: Experiment, techniques: tuple[str, ...]) -> dict[str, Run | Kept]:
    """All that is trained, by its label: students, members, teacher and taught students."""
    return {
        "student": experiment.student(),
        "student_control": experiment.control(),
        **members(experiment),
        "teacher": experiment.teacher(),
        **{name: experiment.taught(name) for name in techniques},
    }


def system_logits(
    experiment: Experiment, techniques: tuple[str, ...], x: Tensor
) -> dict[str, Tensor]:
    """Test logits (clips, 10) of every system: both teachers, each student and its int8 form."""
    runs = networks(experiment, techniques)
    # The members as trained: inside the fused teacher their bodies have moved on.
    alone = [predict(run.net(), x) for run in members(experiment).values()]
    answers = {
        "teacher_unfused": unfused_logits(torch.stack(alone, dim=1)),
        "teacher": predict(runs["teacher"].net(), x),
        "student_control": predict(runs["student_control"].net(), x),
    }
    for name in ("student", *techniques):
        net = runs[name].net()
        answers[name] = predict(net, x)
        answers[rounded(name)] = predict(simulate(net), x)
    return answers


def rounded(label: str) -> str:
    """The label of a student's int8 form."""
    return f"{label}_int8"


def scoreboard(experiments: list[Experiment], techniques: tuple[str, ...]) -> dict[str, Any]:
    """Scores of every system and seed on the test split, pooled scores, and paired differences."""
    runs = [networks(experiment, techniques) for experiment in experiments]
    build([run for one in runs for run in one.values() if isinstance(run, Run)])
    clips, test = experiments[0].table("test"), experiments[0].clips("test")
    said: dict[str, list[np.ndarray]] = {}
    rows, curves = [], []
    for experiment, trained in zip(experiments, runs, strict=True):
        for name, logits in system_logits(experiment, techniques, test.x).items():
            answer = probabilities(logits)
            said.setdefault(name, []).append(answer)
            found = score(answer, clips)
            rows.append(
                {
                    "system": name,
                    "seed": experiment.seed,
                    "accuracy": found.overall.accuracy,
                    "log_loss": found.overall.log_loss,
                    "unseen_accuracy": found.unseen and found.unseen.accuracy,
                    "calibration_error": calibration(answer, test.labels.numpy()).error,
                }
            )
        for name, run in trained.items():
            history = run.history()
            curves.append(
                {
                    "network": name,
                    "seed": experiment.seed,
                    "wall_seconds": run.seconds(),
                    **{column: history[column].round(5).tolist() for column in history},
                }
            )
    scores = {name: evaluate(answers, clips) for name, answers in said.items()}
    precise = {rounded(name): name for name in ("student", *techniques)}  # the float form of each
    differences = [
        {"system": name, "base": base, **paired(said[name], said[base], clips)}
        for name in said
        for base in sorted({*BASES, precise.get(name, name)})
        if name != base and base in said
    ]
    tables = {name: one.table().round(5).to_dict("records") for name, one in scores.items()}
    gaps = {name: device_gap(p, clips) for name, p in said.items()}
    return {
        "clips": {name: len(experiments[0].table(name)) for name in ("fit", "validation", "test")},
        "seeds": [experiment.seed for experiment in experiments],
        "runs": rows,
        "pooled": tables,
        "device_gaps": {name: gap and figures(gap) for name, gap in gaps.items()},
        "confusion": {name: one.confusion.tolist() for name, one in scores.items()},
        "differences": differences,
        "curves": curves,
    }
