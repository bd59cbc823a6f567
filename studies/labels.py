r"""How many labels does it take? Pre-training without labels, a teacher, or both, at five budgets.

    python -m studies labels --plan                                    power and cost, first of all
    python -m studies labels --tune                                    the loss, on validation clips
    python -m studies labels --seeds 0 1 2 3 4                         the curves
    python -m studies labels --arms controls losses --budgets 5 --seeds 0 1 2 3 4
    python -m studies labels --arms authors --seeds 0 1 2 3 4          the authors' ResNet-18
    python -m studies labels --decide                                  the differences

This is the design, written down before the first run, as were the arms `authors`, added later.

Question. The challenge of 2024 gave the labels of 5, 10, 25, 50 or 100 % of the training clips,
each share within the next larger one. With how few of them does it pay to learn from unlabelled
clips first, and does a teacher that knows no more labels add to that? The rules of 2024 forbade the
clips outside the share altogether, even without their labels. So this is what labels are worth
where clips are cheap; the arm `own` keeps to the rules.

Primary hypothesis, the only one: pretrained - supervised at 5 %, macro accuracy. Both learn from
the same labelled clips in as many epochs and steps with the same augmentation. All else explores.

Arms. The student is TMSIC. Curves, at all budgets:
supervised  labels alone
pretrained  the body first learns from all clips to fit, without a label (`asclib.pretraining`)
distilled   labels, and `response` from the mean of four supervised students of the same budget
both        the body pre-trained, then distilled
Controls, at 5 %: `longer`, supervised for as many clips as pre-training and labels show together
(two views count twice), is the control of equal compute; `own`, pre-trained on the clips of the
budget alone, as many in all. Losses, at 5 %: each of the four, whichever was chosen.

The authors' route, at all budgets, where `--arms authors` asks for it. What AI4EDGE pre-trains is a
ResNet-18 on the same pictures, by Barlow Twins unless told otherwise, and then fine-tunes it. It
breaks the limits of the challenge; TMSIC keeps them, and can be its student.
resnet                ResNet-18 (`asclib.networks.ResNet18`, width 16), labels alone
resnet_pretrained     its body first learns from all clips to fit, then all of it from the labels
by_resnet             TMSIC: labels, and `response` from the run `resnet` of the same seed
by_resnet_pretrained  TMSIC: labels, and `response` from the run `resnet_pretrained`
Four differences take the route apart. resnet - supervised is what the larger network adds, and
resnet_pretrained - resnet what pre-training adds to that; by_resnet - supervised is what of the
first arrives at the student, by_resnet_pretrained - by_resnet what of the second does. Against
pretrained and distilled it is asked whether this way is better than TMSIC's own body, or than the
mean of four. Both networks have one plan, TMSIC's, and the loss that `--tune` has chosen for TMSIC:
under settings of its own the ResNet might be better, and this would not show it. It has no control
of equal compute. The authors' other end, a linear head on a frozen body, is left out, for our
trainer trains all weights. Cost: a seed takes one more body, ten ResNets and ten students. The
ResNet has 13.5 times the parameters of TMSIC and 5 % fewer MACs; `--plan` counts each network at
its own speed.

Lengths. 24 epochs with all labels, and root(100 / share) times as many with a share of them; 48
epochs without labels. The last epoch is kept: of 5 % there are 30 validation clips of two scenes.

The loss. Chosen by `--tune` before the first run is scored: best mean macro accuracy on validation
clips at 25 %, over seeds 100 to 102, which no run has. At 5 % nothing could be chosen; so the
choice has seen labels that a budget of 5 % does not have.

Teachers. Each seed has a teacher of its own, so that its spread is in the spread of seeds.

Test. The embedded corpus's own test and four further renderings, as in `studies fair`; with
`--data-root` the folder's own, whose official subsets (split5.csv to split100.csv) are taken. Test
scores choose nothing. All clips of the embedded corpus are fewer than 5 % of TAU: budgets compare
within a corpus, by their numbers of clips between two.

Decision. `asclib.evaluation.statistics.difference` at each budget; the losses against supervised by
Dunnett. Five seeds see 4.8 points with a chance of 80 %, should two runs of one system differ by 2
points (`--plan`): smaller gains may stay *open*, and *no* is out of reach. Runs are added to the
file one by one; what was cut off goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asclib import keys
from asclib.evaluation import control, statistics
from asclib.evaluation.systems import Measure, System
from asclib.networks import TMSIC, ResNet18
from asclib.pretraining import METHODS
from asclib.runs import Experiment, Lesson, Run, build
from asclib.training import macro_accuracy, predict
from studies import effort, renderings, verdicts
from studies.arms import TUNED_ON
from studies.candidates import chosen_batch
from studies.command import Commands, add_command
from studies.fair import lengths
from studies.label_arms import (
    ARMS,
    BUDGETS,
    GROUPS,
    MEAN,
    RESNETS,
    TAUGHT,
    Design,
    Speeds,
    core_hours,
    designs,
    whole,
)
from studies.recipe import RECIPES
from studies.record import NOBODY, Record, begun, key_of, write_json
from studies.sitting import Sitting, add_arms, named

EPOCHS, PRETRAINING = 24, 48
CHOSEN_AT = 25  # per cent, where the loss is chosen
TRIALS = (TUNED_ON, TUNED_ON + 1, TUNED_ON + 2)  # seeds
FEW = min(BUDGETS)
PAIRS = (  # at each budget where both were run
    ("pretrained", "supervised"),
    ("distilled", "supervised"),
    ("both", "supervised"),
    ("both", "distilled"),
    ("both", "pretrained"),
    ("pretrained", "longer"),
    ("own", "supervised"),
    ("pretrained", "own"),
    ("resnet", "supervised"),
    ("resnet_pretrained", "resnet"),
    ("by_resnet", "supervised"),
    ("by_resnet_pretrained", "by_resnet"),
    ("by_resnet_pretrained", "supervised"),
    ("by_resnet_pretrained", "pretrained"),
    ("by_resnet_pretrained", "distilled"),
)
EVERYWHERE = {"curves", "authors"}  # groups that are run at all budgets; others at the smallest


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "labels", _labels, profile="study", seeds=5)
    add = parser.add_argument
    add("--plan", action="store_true", help="print power and cost, and train nothing")
    add("--tune", action="store_true", help="choose the loss on validation clips")
    add("--decide", action="store_true", help="write the differences of what is there")
    add_arms(parser, GROUPS, ARMS)
    add("--budgets", type=int, nargs="+", default=BUDGETS, choices=BUDGETS, help="default: all")
    add("--method", choices=METHODS, help="default: the one that --tune has chosen")
    add("--epochs", type=int, default=EPOCHS, help=f"with all labels; default: {EPOCHS}")
    add("--pretraining", type=int, default=PRETRAINING, help=f"epochs; default: {PRETRAINING}")
    add("--recipe", choices=RECIPES, help="default: that of results/recipe.json")
    add("--renderings", type=int, nargs="*", default=renderings.FURTHER, help="default: 1 2 3 4")
    add(
        "--clips-per-second",
        type=float,
        nargs="+",
        default=[],
        metavar="SPEED",
        help="of one core, for the cost: of TMSIC, of ResNet-18; default: timed",
    )


def _labels(options: argparse.Namespace) -> None:
    if max(options.seeds) >= TUNED_ON:
        raise ValueError(f"seeds from {TUNED_ON} on are for --tune alone: name smaller ones")
    batch, further = chosen_batch(options.recipe), tuple(options.renderings)
    sitting = Sitting(options.profile, options.data_root, batch, MEAN, further)
    trials = options.output.with_suffix("") / "tuning.json"
    if options.decide:
        record = Record(options.output)
        record.settings["decision"] = decide(record, options.epochs)
        record.write()
        print("\n".join(verdicts.sentence(row) for row in record.settings["decision"]["pairs"]))
        return
    length = (options.epochs, options.pretraining)
    arms = named(options, GROUPS)
    if options.plan:
        speeds = speeds_of(ARMS, options.clips_per_second)
        print("\n".join(plan(sitting, options.seeds, length, speeds)))
    elif options.tune:
        tune(sitting, length, trials)
    else:
        method = options.method or chosen(trials)
        asked = designs(arms, options.budgets, method, *length, batch=batch)
        speeds = speeds_of(arms, options.clips_per_second)
        compare(sitting, asked, options.seeds, options.output, speeds)


def speeds_of(arms: Sequence[str], given: Sequence[float]) -> Speeds:
    """Clips a second of TMSIC, and of ResNet-18 where one is needed: timed, if not given."""
    resnet = any({arm, TAUGHT.get(arm)} & RESNETS for arm in arms)
    networks = (TMSIC, ResNet18) if resnet else (TMSIC,)
    known = dict(zip(networks, given, strict=False))
    return known | {
        network: effort.clips_per_second(network=network)
        for network in networks
        if network not in known
    }


# ---- before it: power and cost -------------------------------------------------------------------


def plan(
    sitting: Sitting, seeds: Sequence[int], length: tuple[int, int], speeds: Speeds
) -> list[str]:
    """What the whole study sees and costs, in lines of text.

    Args: length, epochs with all labels and without any; speeds, as `core_hours` takes them.
    """
    lines = effort.what_is_seen(len(seeds), 1, sitting.places)
    clips, there = effort.clips_to_fit(sitting.first), set[Run]()
    for name, arms in {"trials of the loss": GROUPS["losses"], **GROUPS}.items():
        tried = name == "trials of the loss"
        budgets = (CHOSEN_AT,) if tried else BUDGETS if name in EVERYWHERE else (FEW,)
        method = next(iter(METHODS))  # whichever is chosen costs as much
        asked = designs(arms, budgets, method, *length, batch=sitting.batch)
        runs = _runs(sitting, asked, TRIALS if tried else seeds)
        new = whole(runs.values()) - there
        there |= new
        hours = core_hours(new, clips, speeds)
        lines.append(f"  {name}: {len(new)} trainings, {hours:.1f} core-hours")
    hours = core_hours(there, clips, speeds)
    each = " and ".join(f"{speed:.0f} ({one.__name__})" for one, speed in speeds.items())
    return [*lines, f"  in all, at {each} clips a second: {hours:.1f} core-hours"]


def _runs(
    sitting: Sitting, asked: Sequence[Design], seeds: Sequence[int]
) -> dict[tuple[Design, int], Run]:
    """The run of each design with each seed, seed by seed; nothing is trained."""
    return {
        (design, seed): design.run(Experiment(sitting.profile, sitting.data_root, seed))
        for seed in seeds
        for design in asked
    }


# ---- the runs ------------------------------------------------------------------------------------


def tune(sitting: Sitting, length: tuple[int, int], path: Path) -> None:
    """Try the four losses at CHOSEN_AT per cent, and write what validation clips say of them.

    Raises: ValueError when the file was made with other settings.
    """
    made_with = sitting.made_with(tests=False) | {"budget": CHOSEN_AT, "epochs": length[0]}
    found = begun(path, made_with | {"pretraining": length[1]})
    asked = designs(GROUPS["losses"], (CHOSEN_AT,), "", *length, batch=sitting.batch)
    runs = _runs(sitting, asked, TRIALS)
    build(runs.values())
    rows = []
    for (design, seed), run in runs.items():
        clips = run.data.clips("validation")
        accuracy = macro_accuracy(predict(run.net(), clips.x), clips.labels)
        row = {"method": design.arm, "seed": seed, "accuracy": round(accuracy, 5)}
        rows.append(row | {"seconds": run.seconds()})
    write_json(path, found | {"runs": rows})
    print(f"{chosen(path)} is chosen")


def chosen(path: Path) -> str:
    """The loss of the best mean in the trials. Raises: FileNotFoundError where there are none."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: run python -m studies labels --tune first, or name a --method"
        )
    rows = json.loads(path.read_text())["runs"]
    means = {
        method: np.mean([row["accuracy"] for row in rows if row["method"] == method])
        for method in METHODS
    }
    return max(means, key=lambda method: means[method])


def compare(
    sitting: Sitting, asked: Sequence[Design], seeds: Sequence[int], output: Path, speeds: Speeds
) -> None:
    """Train what is missing, seed by seed, and add each run to the record.

    Raises: ValueError when the file was made with other settings, or a run of it in another way.
    """
    record = Record(output, sitting.made_with(), renderings.table(sitting.tests))
    missing = {
        (design, seed): run
        for (design, seed), run in _runs(sitting, asked, seeds).items()
        if not record.holds(_key(design, seed), _made(design, run))
    }
    needed = [run for run in whole(missing.values()) if run.found() is None]
    hours = core_hours(needed, effort.clips_to_fit(sitting.first), speeds)
    print(f"{len(needed)} trainings, about {hours:.2f} core-hours")
    for seed in seeds:
        here = {design: run for (design, own), run in missing.items() if own == seed}
        build(here.values())
        for design, run in here.items():
            row = _key(design, seed) | _made(design, run) | {"corpus": sitting.corpus}
            _add(record, row | {"processor": keys.processor()} | lengths(run), run, sitting)


def _made(design: Design, run: Run) -> dict[str, Any]:
    """How a run is made: its design, its labels, and its teacher by what that depends on."""
    taught_by = run.lesson.teacher.store_key if isinstance(run.lesson, Lesson) else None
    labelled = {"labelled_clips": len(run.data.table("fit"))}
    return design.settings() | labelled | {"taught_by": taught_by}


def _add(record: Record, row: dict[str, Any], run: Run, sitting: Sitting) -> None:
    """Score one run, and write its row."""
    last = run.history().iloc[-1][["validation_accuracy", "validation_loss"]].round(5).to_dict()
    record.add_logits(row | last, renderings.said_of_all(run, sitting.tests))


def _key(design: Design, seed: int) -> dict[str, Any]:
    """What tells a run from all others of the file; each seed has a teacher of its own."""
    return key_of(design.label, design.taught_by, 0, seed, design.epochs)


# ---- after it ------------------------------------------------------------------------------------


def decide(record: Record, epochs: int) -> dict[str, Any]:
    """What was found, of the runs that are there.

    Returns: `primary`, the difference at 5 %, or None while a run of it is missing; `pairs`, a row
        for each of PAIRS, budget and measure; `pays`, the budgets at which pre-training is better
        beyond its interval; `curves`, the score of each arm and budget with its interval; `losses`,
        each loss minus supervised with Dunnett's intervals.
    """
    there = {row["arm"] for row in record.rows if row["epochs"] == epochs}
    rows, clips = [], record.clips
    for budget in BUDGETS:
        for one, other in PAIRS:
            names = f"{one}-{budget}", f"{other}-{budget}"
            if not {*names} <= there:
                continue
            for measure in ("accuracy", "log_loss"):
                pair = (_system(record, name, epochs, measure) for name in names)
                found = statistics.difference(*verdicts.shared(*pair), clips, measure)
                row = {"system": names[0], "base": names[1], "epochs": epochs, "budget": budget}
                rows.append(row | {"measure": measure} | verdicts.plain(found))
    gains = [
        row
        for row in rows
        if row["measure"] == "accuracy"
        and (row["system"], row["base"]) == tuple(f"{arm}-{row['budget']}" for arm in PAIRS[0])
    ]
    return {
        "primary": next((row for row in gains if row["budget"] == FEW), None),
        "pairs": rows,
        "pays": [row["budget"] for row in gains if row["verdict"] == "yes" and row["low"] > 0],
        "curves": curves(record, epochs),
        "losses": _against_supervised(record, epochs, there),
    }


def _system(record: Record, name: str, epochs: int, measure: Measure = "accuracy") -> System:
    """The runs of an arm at a budget; an arm has one who teaches, or nobody."""
    taught_by = TAUGHT.get(name.rpartition("-")[0], NOBODY)
    return record.system(name, epochs, taught_by, measure)


def curves(record: Record, epochs: int) -> list[dict[str, Any]]:
    """The mean macro accuracy of each arm and budget, with its interval over seeds and places."""
    found = []
    rows = [row for row in record.rows if row["epochs"] == epochs]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = next(row for row in rows if row["arm"] == arm)
        one = statistics.score(_system(record, arm, epochs), record.clips)
        row = {"arm": arm.rpartition("-")[0], "budget": own["budget"], "seeds": one.seeds}
        row |= {"labelled_clips": own["labelled_clips"], "method": own["method"]}
        score = {"accuracy": one.estimate, "low": one.low, "high": one.high}
        found.append(row | {name: round(value, 5) for name, value in score.items()})
    return found


def _against_supervised(record: Record, epochs: int, there: set[str]) -> list[dict[str, Any]]:
    """Each loss at the smallest budget minus labels alone, their intervals holding all at once."""
    base = f"supervised-{FEW}"
    others = [f"{method}-{FEW}" for method in METHODS if f"{method}-{FEW}" in there]
    if base not in there or not others:
        return []
    first, *systems = (_system(record, name, epochs) for name in (base, *others))
    if all(len(one.seeds) == 1 for one in (first, *systems)):
        return []
    found = control.against(first, systems, record.clips)
    return [
        {"system": name, "base": base, "epochs": epochs} | verdicts.plain(one)
        for name, one in found.items()
    ]
