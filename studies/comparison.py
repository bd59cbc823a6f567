r"""All techniques against each other: weights tuned on validation clips, then scored on the test.

    python -m studies teachers --seeds 0 1
    python -m studies weights
    python -m studies comparison --seeds 0 1 2
    python -m studies comparison --seeds 0 1 2 --systems rrs@0.25 rrs@1 rrs@4
    python -m studies comparison --seeds 3 4 --systems student student_smoothed response \
        relational joint rrs

A few cells of the table again, elsewhere, with the committed weights and teachers:

    python -m studies comparison --seeds 0 --systems student response rrs --output again.json
    python -m studies comparison --seeds 0 --systems student rrs --times 2 --output again.json

`results/comparison_real.json` was made by the first three commands with `--profile small`,
`--data-root` and files of their own; nothing in it was trained for twice the epochs.

A student of seed s learns from teacher s modulo their number. A run adds its seeds to those of
earlier runs with the same settings.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asclib.distillation import TECHNIQUES
from asclib.evaluation import Results, calibration, score
from asclib.evaluation.comparison import CLIPS, condensed
from asclib.runs import Experiment, Kept, Profile, build
from asclib.runs.provenance import provenance
from asclib.store import PROJECT, write_atomic
from asclib.training import predict, probabilities
from studies.command import Commands, add_command
from studies.record import differing, refuse, write_json
from studies.systems import COMPARED, LONG, SYSTEMS, System, kept_epoch
from studies.teachers import TEACHERS, given, in_turn

Asked = tuple[System, float]  # and how many times the epochs
EVERYTHING = tuple(
    (SYSTEMS[label], times) for times, labels in ((1, COMPARED), (2, LONG)) for label in labels
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "comparison", _comparison, profile="study")
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        metavar="NAME",
        help=f"of {', '.join(SYSTEMS)}; default: those of the table",
    )
    parser.add_argument(
        "--times", type=_times, default=1, help="the epochs, so many times as many; with --systems"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=PROJECT / "results" / "weights.json",
        help="what `weights` wrote",
    )
    parser.add_argument("--teachers", type=Path, default=TEACHERS, help="a folder")


def _times(text: str) -> float:
    times = float(text)
    if not times > 0:
        raise argparse.ArgumentTypeError(f"{text}: a positive number")
    return int(times) if times == int(times) else times


def _comparison(options: argparse.Namespace) -> None:
    """Add to the results seed by seed, so that a run that is cut off has not been for nothing."""
    if options.systems is None and options.times != 1:
        raise ValueError(f"--times {options.times}: name the systems as well, with --systems")
    teachers = given(options.teachers, options.profile, options.data_root)
    if not options.weights.is_file():
        raise FileNotFoundError(
            f"no weights in {options.weights}: run python -m studies weights first, "
            "or name its output with --weights"
        )
    asked = EVERYTHING
    if options.systems is not None:
        asked = [(SYSTEMS[label], options.times) for label in options.systems]
    factors = json.loads(options.weights.read_text())["factors"]
    made_with = provenance(Experiment(options.profile, options.data_root), tuple(TECHNIQUES))
    names = [Path(teacher.kept_in).name for teacher in teachers]
    made_with |= {"teachers": names, "factors": factors}
    for seed in options.seeds:
        add(
            options.output,
            made_with,
            *comparison(
                options.profile,
                options.data_root,
                [seed],
                teachers,
                factors,
                asked,
            ),
        )


def comparison(
    profile: Profile,
    data_root: str | None,
    seeds: Sequence[int],
    teachers: Sequence[Kept],
    factors: Mapping[str, float],
    asked: Sequence[Asked] = EVERYTHING,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Train every system with every seed, and keep what it says of each test clip.

    Args: teachers, who take turns; with none, each seed trains its own; factors, of each system's
        weight, as `weights` found them; others stay as they are.
    Returns: a row of settings and scores for each run; and arrays: `condensed` answers (runs,
        clips) in the order of the rows, and scene, device and recording (clips,) of the test clips.
    """
    experiments = {
        seed: Experiment(profile, data_root, seed, in_turn(teachers, seed)) for seed in seeds
    }
    runs = {
        (seed, system.label, times): system.run(experiment, factors.get(system.label, 1.0), times)
        for seed, experiment in experiments.items()
        for system, times in asked
    }
    build(list(runs.values()))
    any_of = experiments[seeds[0]]
    test, table = any_of.clips("test"), any_of.table("test")
    taught_by = {}  # a teacher's accuracy: without it no gain can be understood
    for teacher in {in_turn(teachers, seed) for seed in seeds} - {None}:
        answer = probabilities(predict(teacher.net(), test.x))
        taught_by[teacher] = score(answer, table).overall.accuracy
    rows, said = [], []
    for (seed, label, times), run in runs.items():
        answer = probabilities(predict(run.net(), test.x))
        said.append(condensed(answer, test.labels.numpy()))
        found = score(answer, table)
        rows.append(
            {
                "system": label,
                "times": times,
                "seed": seed,
                "factor": factors.get(label, 1.0),
                "epochs": len(run.history()),
                "teacher": seed % len(teachers) if teachers else seed,
                "teacher_accuracy": taught_by.get(in_turn(teachers, seed)),
                **kept_epoch(run),
                "accuracy": found.overall.accuracy,
                "log_loss": found.overall.log_loss,
                "unseen_accuracy": found.unseen and found.unseen.accuracy,
                "calibration_error": calibration(answer, test.labels.numpy()).error,
                "wall_seconds": run.seconds(),
            }
        )
    answers = {key: np.stack([one[key] for one in said]) for key in said[0]}
    return rows, answers | {column: table[column].to_numpy(str) for column in CLIPS}


def add(
    path: Path, made_with: dict[str, Any], rows: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> None:
    """Write runs to `path` (json, and npz beside it), beside those that are there.

    A run of the same system, epochs and seed takes the place of the old one.
    Raises: ValueError when the file there was made with other settings; nothing is lost.
    """
    if path.is_file():
        old = Results(path)
        names = differing(old.settings, made_with)
        if list(old.clips["recording"]) != list(arrays["recording"]):
            names.append("test clips")
        refuse(path, names, "move it away, or give another --output")
        again = {(row["system"], row["times"], row["seed"]) for row in rows}
        kept = [(row.system, row.times, row.seed) not in again for row in old.runs.itertuples()]
        rows = old.runs[kept].to_dict("records") + rows
        arrays = arrays | {
            key: np.concatenate([old.arrays[key][kept], arrays[key]])
            for key in arrays
            if key not in CLIPS
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_json(path, made_with | {"runs": rows})
