r"""The decisive comparison: does a teacher help this student, and is RRS more than longer training?

    python -m studies fair --plan                                    power and cost, first of all
    python -m studies fair --tune                                    settings, on validation clips
    python -m studies fair --teachers 0 1 2 3 --seeds 0 1 2 3 4      the deciding arms, 24 epochs
    python -m studies fair --teachers 0 1 2 3 --seeds 0 1 2 3 4 --epochs 48
    python -m studies fair --arms equal --teachers 0 1 2 3 --seeds 0 1
    python -m studies fair --arms others --teachers 0 --seeds 0 1 2 3 4
    python -m studies fair --decide                                  the differences, into the json
    python -m studies fair --confirm                                 once, at the very end

This is the design, written down before the first run. One arm was added by what test scores showed
(`response_alone`, see below), and the seeds of `response`; nothing else was changed by them.

Question. The same student, with the same epochs and the same augmentation: do its scores rise when
a teacher takes part, and are they higher when relations come before responses?

Primary hypothesis, the only one: RRS - (response, then response), 48 epochs, macro accuracy. Both
end in the same phase of response and differ in what comes before it. Everything else explores.

Arms. All have 24 epochs in all, two phases 12 each. Deciding, also with 48: labels;
response_response; labels_response; rrs. Others of equal length: smoothed labels, response,
reversed, joint, relational, relational_embedding, rrs_published, standardised; and two controls
that take from the teacher what it knows of the single clip, class_means and permuted. `others` are
the remaining techniques of the book. The augmentation is everybody's, chosen by `studies recipe`.
`response_alone` was added after two seeds had been scored: the second phase of response_response
with its settings for all epochs. For `response`, tuned by itself, differs from response_response in
temperature and in the share of the labels as well, and cannot say what a fresh start costs.

Teachers and seeds. 4 teachers x 5 seeds for the deciding arms, 4 x 2 for those of equal length,
1 x 5 for other techniques. All teach: the candidate that `studies candidates` has chosen, and
`--candidate fused`, TEO-vATMSIC. A student of seed s learns from teacher t for all s and t. Runs
that nobody teaches are of seed s + 1000 t, so that there are as many of them, each its own.

Settings. Each arm has 8 trials of half the epochs, on seed 100 and others from there on, which are
not used again, by the mean of its macro accuracies on validation clips as heard and through
invented devices: temperature and weight of the loss, smoothing for the arms of labels, and the peak
learning rate of a second phase, 3e-3 again or 5e-4 (one-cycle back to 3e-3 throws much of the first
phase away). `--second-rate` runs either of these whatever the trials say, for it is a factor of
interest; the primary hypothesis is on the tuned ones.

Test. The embedded corpus's own test and four further renderings (corpus seeds 1 to 4): 550
locations, through the front end of the training data. Power is limited by locations, and trainings
are dearer than rendering. Test scores choose nothing. Log loss is compared as trained, and after a
temperature that each run's own validation clips chose: smoothed labels make a student less sure.
A fifth rendering, seed 9, confirms the primary difference; only `--confirm` hears it, once all runs
of it are there.

Decision. `asclib.evaluation.statistics.difference`, locations x seeds x teachers: *yes* where the
95 % interval excludes zero, *no* where it lies within one point of it, else *open*. All other arms
against labels by Dunnett (`asclib.evaluation.control.against`). What this sees, `--plan` prints:
should two runs of one system differ by 2 points, as they did before, 4 x 5 sees 2.1 points with a
chance of 80 %, and its intervals reach 1.5 points to each side. So *no* is then out of reach: two
arms that are equal stay *open*. 12 seeds of the primary arms could say *no*. How many there are is
settled before the first of them is scored, for to add seeds after a look makes *yes* too easy.

Runs are added to the file as they are finished, and what was cut off goes on from there. With
`--data-root` all of it is on a folder in TAU layout, its own test alone, with a file of its own
(`--output results/fair_real.json`). Where it cannot be afforded: fewer techniques, never seeds of
the deciding arms.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asclib import keys
from asclib.evaluation import best_temperature
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, System
from asclib.runs import Run
from asclib.training import probabilities
from studies import effort, renderings, verdicts
from studies.arms import (
    ARMS,
    BORROWED,
    DECIDING,
    EQUAL,
    OTHERS,
    TUNED_ON,
    Design,
    settings_of,
    trials,
)
from studies.command import Commands, add_command
from studies.record import Record, key_of
from studies.sitting import Sitting, add_arms, add_options, named
from studies.systems import kept_epoch
from studies.tuning import chosen, tune

EPOCHS = 24
LONG = 48  # of the deciding arms as well
GROUPS = {"deciding": tuple(DECIDING), "equal": tuple(EQUAL), "others": tuple(OTHERS)}
PLANNED = (  # arms, teachers, seeds, epochs: the whole study, of one candidate
    ("deciding", 4, 5, EPOCHS),
    ("deciding", 4, 5, LONG),
    ("equal", 4, 2, EPOCHS),
    ("others", 1, 5, EPOCHS),
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "fair", _fair, profile="study", seeds=5)
    parser.set_defaults(seeds=None)  # other seeds are tuned on
    add = parser.add_argument
    add("--plan", action="store_true", help="print power and cost, and train nothing")
    add("--tune", action="store_true", help="try settings on validation clips, seed 100")
    add("--decide", action="store_true", help="write the differences of what is there")
    add("--confirm", action="store_true", help="hear the primary arms on a fresh rendering")
    add_arms(parser, GROUPS, ARMS)
    add("--teachers", type=int, nargs="+", default=[0], help="their seeds; default: 0")
    add("--epochs", type=int, nargs="+", help=f"in all; default: {EPOCHS}")
    add("--second-rate", type=float, help="of the first phase's learning rate; default: tuned")
    add_options(parser)
    add("--untuned", action="store_true", help="all settings as in the techniques of the book")
    add("--clips-per-second", type=float, help="of one core, for the cost; default: timed")


def _fair(options: argparse.Namespace) -> None:
    sitting = _sitting(options)
    epochs = options.epochs or [EPOCHS]
    seeds = options.seeds or ([TUNED_ON] if options.tune else list(range(5)))
    arms = named(options, GROUPS)
    settings = options.output.with_suffix("") / "tuning.json"
    speed = 0.0
    if not (options.decide or options.confirm):
        speed = options.clips_per_second or effort.clips_per_second()
    if options.plan:
        print("\n".join(plan(sitting, speed)))
    elif options.tune:
        tune(sitting, arms, seeds, epochs[0], options.teachers[0], settings, speed)
    elif options.decide:
        record = Record(options.output)
        whole = record.lengths(list(DECIDING), sitting.candidate) or [EPOCHS]
        decided = verdicts.decide(record, options.epochs or whole, sitting.candidate)
        record.settings["decision"] = record.settings.get("decision", {}) | {
            sitting.candidate: decided
        }
        record.write()
        print("\n".join(verdicts.sentence(row) for row in [*decided["pairs"], *decided["control"]]))
    elif options.confirm:
        print(verdicts.sentence(confirm(sitting, options.output, (options.epochs or [LONG])[0])))
    else:
        tuned = [BORROWED.get(arm, arm) for arm in arms]
        found = {} if options.untuned else chosen(settings, tuned)
        designs = [
            Design(
                arm,
                number,
                tuple(settings_of(arm, found).items()),
                sitting.batch,
                options.second_rate if len(ARMS[arm]) > 1 else None,
            )
            for number in epochs
            for arm in arms
        ]
        compare(sitting, designs, options.teachers, seeds, options.output, speed)


def _sitting(options: argparse.Namespace) -> Sitting:
    if not options.tune and options.seeds and max(options.seeds) >= TUNED_ON:
        raise ValueError(f"seeds from {TUNED_ON} on are for --tune alone: name smaller ones")
    if options.tune and options.seeds and min(options.seeds) < TUNED_ON:
        raise ValueError(f"trials are on seeds from {TUNED_ON} on, which no run has: name such")
    return Sitting.of(options)


# ---- before it: power and cost ------------------------------------------------------------


def plan(sitting: Sitting, speed: float) -> list[str]:
    """What the whole study sees, and what it costs, in lines of text."""
    clips = effort.clips_to_fit(sitting.first)
    lines = effort.what_is_seen(seeds=5, teachers=4, locations=sitting.places)
    lines.append(f"About {clips} clips to fit, {speed:.0f} of them a second on one core:")
    whole = 0.0
    for arms, teachers, seeds, epochs in PLANNED:
        number = len(GROUPS[arms]) * teachers * seeds
        hours = effort.core_hours([epochs] * number, clips, speed)
        lines.append(f"  {arms}, {epochs} epochs, {number} runs: {hours:.1f} core-hours")
        whole += hours
    number = sum(len(trials(arm)) for arm in ARMS)
    hours = effort.core_hours([EPOCHS // 2] * number, clips, speed)
    lines.append(
        f"  trials of settings, {EPOCHS // 2} epochs, {number} runs: {hours:.1f} core-hours"
    )
    return [*lines, f"  in all, without the teachers: {whole + hours:.1f} core-hours"]


# ---- the runs ------------------------------------------------------------------------------------


def compare(
    sitting: Sitting,
    designs: Sequence[Design],
    teachers: Sequence[int],
    seeds: Sequence[int],
    output: Path,
    speed: float,
) -> None:
    """Train what is missing, seed by seed and teacher by teacher, and add each run to the record.

    Raises: ValueError when the file was made with other settings, or a run of it in another way.
    """
    record = Record(output, sitting.made_with(), renderings.table(sitting.tests))
    asked = [
        (design, seed, number)
        for seed in seeds
        for number in teachers
        for design in designs
        if not record.holds(key(sitting, design, seed, number), made(sitting, design, number))
    ]
    print(sitting.cost([design.epochs for design, _, _ in asked], speed))
    for seed in seeds:
        for number in teachers:
            here = [one for one in asked if one[1:] == (seed, number)]
            runs = sitting.runs(here)
            if any(design.is_taught for design, _, _ in here):
                _score_teacher(sitting, number, record)
            for (design, _, _), run in zip(here, runs, strict=True):
                logits = renderings.said_of_all(run, sitting.tests)
                own = key(sitting, design, seed, number) | {"corpus": sitting.corpus}
                own |= {"processor": keys.processor(), "seed_of_training": run.seed}
                own |= made(sitting, design, number) | lengths(run)
                temperature = best_temperature(
                    renderings.said(run, run.data, "validation"),
                    sitting.first.clips("validation").labels,
                )
                record.add_logits(own | kept_epoch(run), logits, temperature=temperature)


def _score_teacher(sitting: Sitting, number: int, record: Record) -> None:
    """Put a teacher's own scores into the settings: without them no gain can be understood."""
    known = record.settings.setdefault("teachers", {}).setdefault(sitting.candidate, {})
    if str(number) not in known:
        teacher = sitting.teacher(number)
        logits = renderings.said_of_tests(teacher, sitting.tests)
        p = probabilities(torch.from_numpy(logits))
        known[str(number)] = record.scores(p)


def made(sitting: Sitting, design: Design, teacher: int) -> dict[str, Any]:
    """How a run is made, its teacher by the key of what it depends on."""
    taught_by = sitting.teacher(teacher).store_key if design.is_taught else None
    return design.settings() | {"taught_by": taught_by}


def key(sitting: Sitting, design: Design, seed: int, teacher: int) -> dict[str, Any]:
    """What tells a run from all others of the file."""
    by = sitting.candidate if design.is_taught else None
    return key_of(design.arm, by, teacher, seed, design.epochs, design.second_rate)


def lengths(run: Run) -> dict[str, Any]:
    """The epochs and the peak learning rate of each phase of a run, and its seconds."""
    plans, seconds = [run.plan], run.seconds()
    while run.start is not None:
        run = run.start
        plans.insert(0, run.plan)
    return {
        "epochs_of_phases": [plan.epochs for plan in plans],
        "learning_rates": [plan.learning_rate for plan in plans],
        "seconds": round(seconds, 1),
    }


def confirm(sitting: Sitting, output: Path, epochs: int, least: int = 20) -> dict[str, Any]:
    """The primary difference on a rendering that nothing else has heard; written into the json.

    Args: least, how many runs each arm must have. Raises: ValueError when some are missing, with a
    folder of recordings, or when it was confirmed before: a second look is none.
    """
    record = Record(output, sitting.made_with(), renderings.table(sitting.tests))
    name = f"{sitting.candidate}, {epochs} epochs"
    done: dict[str, Any] = record.settings.setdefault("confirmation", {})
    if name in done:
        raise ValueError(f"{output} has been confirmed already ({name}): {done[name]}")
    if sitting.data_root is not None:
        raise ValueError("a folder of recordings cannot be rendered anew: nothing confirms it")
    for arm in verdicts.PRIMARY:  # before the fresh rendering is heard
        number = len(record.system(arm, epochs, sitting.candidate).seeds)
        if number < least:
            raise ValueError(f"{output} has {number} runs of {arm}: run all {least} of them first")
    fresh = renderings.rendering(sitting.first, renderings.CONFIRMATION)
    truth = fresh.clips("test").labels.numpy()
    systems = []
    for arm in verdicts.PRIMARY:
        rows = record.rows_of(sitting.candidate, arm=arm, epochs=epochs, second_rate=None)
        designs = [
            (
                Design(arm, epochs, tuple(row["trial"].items()), sitting.batch),
                row["seed"],
                row["teacher"],
            )
            for row in rows
        ]
        right = [
            renderings.said(run, fresh, "test").argmax(1) == truth for run in sitting.runs(designs)
        ]
        seeds, teachers = ([row[k] for row in rows] for k in ("seed", "teacher"))
        systems.append(System(arm, np.stack(right).astype(float), tuple(seeds), tuple(teachers)))
    found = difference(*verdicts.shared(*systems), Clips.of(fresh.table("test")))
    one, other = verdicts.PRIMARY
    done[name] = {"system": one, "base": other, "epochs": epochs} | verdicts.plain(found)
    record.write()
    return done[name]
