"""The models that a reader can take away: the student alone, after response, after RRS.

    python -m studies models --plan     what it costs
    python -m studies models            train, write the files of models/, score them

Each is made as a run of the decisive comparison is (`studies.fair`): its arm, 24 epochs, the same
augmentation, seed 0, teacher 0, and the settings found on validation clips where there are some.
No score chose it, so its score is that of any run of its arm, not of the best.

Of each there are the weights, a dynamic-range file and a full-int8 file, and a card that is written
from the figures of `results/models.json`. Networks are heard on the embedded corpus's own test and
four further renderings, the files on the own test alone. What they answer to twenty clips is kept,
so that a test can say whether a file is still the one of the card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from asclib.challenge import UNSEEN_DEVICES
from asclib.complexity import complexity
from asclib.compression import agreement, export
from asclib.compression.qat import range_calibration
from asclib.evaluation import Evaluation, evaluate
from asclib.listen import student_of
from asclib.litert import LiteRT
from asclib.runs import Experiment
from asclib.store import PROJECT, write_atomic
from asclib.training import Clips, predict, probabilities
from studies import effort, renderings
from studies.arms import Design
from studies.candidates import CANDIDATES
from studies.command import Commands, add_command
from studies.fair import EPOCHS, lengths
from studies.recipe import RECIPES
from studies.sitting import Sitting

FOLDER = PROJECT / "models"
SETTINGS = PROJECT / "results" / "fair" / "tuning.json"
TITLES = {"student": "The student alone", "response": "After response", "rrs": "After RRS"}
ARMS = {"student": "labels", "response": "response", "rrs": "rrs"}
FORMS = {
    "weights": "{}.safetensors",
    "dynamic_range": "{}_dynamic.tflite",
    "int8": "{}_int8.tflite",
}
WAYS = {  # what a teacher's answers are used for
    "response": "the answers of a teacher ({})",
    "rrs": "a teacher ({}): for half of its epochs how the teacher's answers to different clips "
    "lie to each other, then the answers themselves",
}
TEACHING = {
    "control": "another student",
    "mean": "the mean of four students",
    "single": "one wide network",
    "fused": "TEO-vATMSIC",
    "fused_plain": "TEO-vATMSIC, its members without label smoothing",
    "unfused": "the ten members of TEO-vATMSIC before their fusion",
    "unfused_plain": "the same, without label smoothing",
}
ASKED = 2  # test clips of each scene, of the quick corpus
DIGITS = 4  # of a recorded logit


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "models", _models, profile="study", seeds=1)
    parser.add_argument("--plan", action="store_true", help="print the cost, and train nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: models")
    parser.add_argument(
        "--candidate", choices=CANDIDATES, help="who teaches; default: results/candidates.json"
    )
    parser.add_argument("--recipe", choices=RECIPES, help="default: that of results/recipe.json")


def _models(options: argparse.Namespace) -> dict[str, Any] | None:
    if options.data_root is not None:
        raise ValueError(
            f"--data-root {options.data_root}: the models to take away and their cards are of the "
            "embedded corpus, which everybody may render; leave it out"
        )
    sitting = Sitting.usual(options.profile, None, options.recipe, options.candidate)
    if options.plan:
        speed = effort.clips_per_second()
        print(sitting.cost([EPOCHS] * len(ARMS), speed))
        return None
    return models(sitting, options.seeds[0], options.folder)


def models(
    sitting: Sitting, seed: int, folder: Path = FOLDER, names: Sequence[str] = tuple(ARMS)
) -> dict[str, Any]:
    """Train what is missing, write the files and their cards, and hear them all.

    Returns: the figures of `results/models.json`: `models`, a row for each: how it was made, its
        size, its scores by device with intervals over locations, and a row for each of its files;
        `asked`, the clips that all files were asked about, and `answers` to them.
    """
    designs = {name: _design(ARMS[name], sitting) for name in names}
    runs = sitting.runs([(design, seed, 0) for design in designs.values()])
    folder.mkdir(parents=True, exist_ok=True)
    ranges = range_calibration(sitting.first.data)
    table = renderings.table(sitting.tests)
    here = (table["rendering"] == renderings.OWN).to_numpy()
    asked = asked_clips()
    found: dict[str, Any] = sitting.made_with() | {"seed": seed, "candidate": sitting.candidate}
    rows: list[dict[str, Any]] = []
    answers: dict[str, Any] = {}
    for (name, design), run in zip(designs.items(), runs, strict=True):
        net, paths = run.net().eval(), files(name, folder)
        write_atomic(paths["weights"], save(net.state_dict()))
        export(net, paths["dynamic_range"], "dynamic_range")
        export(net, paths["int8"], "full_int8", calibration=ranges)
        logits = torch.from_numpy(renderings.said_of_all(run, sitting.tests))
        made = design.settings() | lengths(run)
        made["taught_by"] = sitting.candidate if design.is_taught else None
        counted = complexity(net)
        row = {"name": name, "title": TITLES[name], "arm": ARMS[name]} | made
        row |= {"parameters": counted.parameters, "macs": counted.macs}
        row["scores"] = scored(evaluate(probabilities(logits), table))
        for group, mask in (("same corpus", here), ("other corpora", ~here)):
            part = evaluate(probabilities(logits[mask]), table[mask])
            row["scores"][group] = scored(part)["overall"]
        clips = sitting.first.clips("test").x
        heard = {form: heard_by(path, clips) for form, path in paths.items()}
        row["files"] = [
            {"form": form, "file": paths[form].name, "bytes": paths[form].stat().st_size}
            | _overall(evaluate(probabilities(torch.from_numpy(said)), table[here]))
            | {"same_scene": round(agreement(said, heard["weights"]), 4)}
            for form, said in heard.items()
        ]
        rows.append(row)
        answers[name] = {
            form: heard_by(path, asked.x).round(DIGITS).tolist() for form, path in paths.items()
        }
    found |= {"models": rows, "asked": list(asked.identifiers), "answers": answers}
    found = json.loads(json.dumps(found))
    write_atomic(folder / "README.md", overview(found).encode())
    for row in found["models"]:
        write_atomic(folder / f"{row['name']}.md", card(row, found).encode())
        about = {"name": f"{row['title']}, int8", "learnt": learnt(row, found)}
        beside = files(row["name"], folder)["int8"].with_suffix(".json")
        write_atomic(beside, (json.dumps(about, indent=1) + "\n").encode())
    return found


def _design(arm: str, sitting: Sitting) -> Design:
    """As in the comparison: with the settings that trials have found for this arm, if they have."""
    tuned = json.loads(SETTINGS.read_text())["chosen"] if SETTINGS.is_file() else {}
    trial = tuned.get(arm, {})
    return Design(arm, EPOCHS, tuple(trial.items()), sitting.batch)


def files(name: str, folder: Path = FOLDER) -> dict[str, Path]:
    """The files of a model, by form."""
    return {form: folder / pattern.format(name) for form, pattern in FORMS.items()}


def asked_clips() -> Clips:
    """The clips that every file is asked about: ASKED of each scene, of the quick corpus's test."""
    experiment = Experiment("quick")  # type: ignore[arg-type]  # a name is turned into a profile
    table, clips = experiment.table("test"), experiment.clips("test")
    rows = np.sort(table.reset_index().groupby("scene").head(ASKED).index.to_numpy())
    return Clips(clips.x[rows], clips.labels[rows], clips.identifiers[rows])


def heard_by(path: Path, x: Tensor) -> np.ndarray:
    """The logits (clips, classes) of a file of either kind."""
    if path.suffix == ".tflite":
        return LiteRT(path)(x)
    return predict(student_of(path), x).numpy()


# ---- what is said of them ------------------------------------------------------------------------


def scored(found: Evaluation) -> dict[str, Any]:
    """Overall, on seen and unseen devices, and by device, each with its interval."""
    groups = {"overall": found.overall, "seen": found.seen, "unseen": found.unseen}
    shown = {name: one for name, one in groups.items() if one} | {
        f"device {name}": one for name, one in found.devices.items()
    }
    return {
        name: {k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(one).items()}
        for name, one in shown.items()
    }


def _overall(found: Evaluation) -> dict[str, float]:
    kept = ("accuracy", "accuracy_low", "accuracy_high", "log_loss")
    return {name: round(getattr(found.overall, name), 5) for name in kept}


def learnt(row: dict[str, Any], found: dict[str, Any]) -> str:
    """What a model learnt from, as the second half of a sentence."""
    taught = "the labels alone"
    if row["taught_by"]:
        taught = f"the labels and {WAYS[row['arm']].format(TEACHING[row['taught_by']])}"
    return (
        f"it learnt from some {found['profile']['corpus']['train']:,} seconds of synthetic sound, "
        f"which a program rendered for this book, and from {taught}. It has never heard a real "
        "street."
    )


def card(row: dict[str, Any], found: dict[str, Any]) -> str:
    """The card of a model, in Markdown, from the figures of `results/models.json` alone."""
    score, said = row["scores"], learnt(row, found)
    devices = [name for name in score if name.startswith("device ")]
    lines = [
        f"# {row['title']}",
        "",
        f"A TMSIC for ten urban scenes, a second of sound at a time: {row['parameters']:,} "
        f"parameters, {row['macs'] / 1e6:.1f} million multiplications a second. "
        f"{said[0].upper()}{said[1:]}",
        "",
        "**Not for a street.** The sound is synthetic: it is made to behave as recordings of a "
        "challenge do when methods are compared, and tells nothing of how often this network is "
        "right where you stand.",
        "",
        "## Files",
        "",
        "| file | bytes | accuracy, % | log loss | same scene as the weights |",
        "|---|---|---|---|---|",
        *(
            f"| `{one['file']}` | {one['bytes']:,} | {_percent(one)} | {one['log_loss']:.2f} | "
            f"{100 * one['same_scene']:.1f} % |"
            for one in row["files"]
        ),
        "",
        f"Heard on the {score['same corpus']['clips']:,} test clips of the "
        "training corpus. In brackets the 95 % interval over locations, of this one training.",
        "",
        "## Scores",
        "",
        f"Of the weights, on {score['overall']['clips']:,} clips of "
        f"{score['overall']['locations']} locations, none of which a training has heard: the test "
        f"of the corpus that was learnt from, and {len(found['tests']) - 1} corpora that were "
        "rendered from other seeds, whose places and sounds are others. "
        "Accuracy is the mean of the ten scenes' recalls.",
        "",
        "| | accuracy, % | log loss |",
        "|---|---|---|",
        *(
            f"| {_named(name)} | {_percent(score[name])} | {score[name]['log_loss']:.2f} |"
            for name in ("same corpus", "other corpora", "overall", "seen", "unseen", *devices)
            if name in score
        ),
        "",
        "## How it was made",
        "",
        f"`python -m studies models`: arm `{row['arm']}` of the comparison, seed {found['seed']}, "
        f"{sum(row['epochs_of_phases'])} epochs. No score chose this run among others. "
        f"{_settings(row)} asclib's MIT licence covers the files.",
        "",
    ]
    return "\n".join(lines)


def overview(found: dict[str, Any]) -> str:
    """All files in one table, in Markdown."""
    lines = [
        "# Models to take away",
        "",
        "Three students for ten urban scenes, trained on synthetic sound: not for a street. Each "
        "has a card beside it.",
        "",
        "<!-- table -->",
        "",
        "| | file | bytes | accuracy, % |",
        "|---|---|---|---|",
    ]
    for row in found["models"]:
        title = row["title"]
        for one in row["files"]:
            lines.append(f"| {title} | `{one['file']}` | {one['bytes']:,} | {_percent(one)} |")
            title = ""
    clips = found["models"][0]["scores"]["same corpus"]["clips"]
    return "\n".join(
        [
            *lines,
            "",
            f"On the {clips:,} test clips of the training corpus, with the 95 % interval over "
            "locations.",
            "",
        ]
    )


def _settings(row: dict[str, Any]) -> str:
    if not row["trial"]:
        return "Temperature and weights are those of the book's chapters."
    return "Found on validation clips: " + json.dumps(row["trial"]).strip("{}") + "."


def _percent(one: dict[str, float]) -> str:
    low, mean, high = (100 * one[k] for k in ("accuracy_low", "accuracy", "accuracy_high"))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def _named(group: str) -> str:
    unseen = f"unseen devices ({', '.join(UNSEEN_DEVICES)})"
    names = {"overall": "both", "seen": "seen devices", "unseen": unseen}
    names["same corpus"] = "test of the corpus learnt from"
    return names.get(group, group)
