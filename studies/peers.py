r"""TMSIC and its peers, trained alike: what does each network say within the same limits?

    python -m studies peers --plan                                power, cost and disk, first of all
    python -m studies peers --tune                                rates, on validation clips
    python -m studies peers --seeds 0 1 2 3 4                     all of them on labels
    python -m studies peers --taught --teachers 0 1 --seeds 0 1 2 3 4
    python -m studies peers --decide                              the differences, into the json

This is the design, written down before the first run.

Question. Published scores of these networks differ by their training as much as by their form. Here
they have the same clips, the same augmentation (the recipe of `studies recipe`), the same epochs,
batches and schedule, each through its own front end: is TMSIC, which hears nothing above 4 kHz,
behind?

Primary hypothesis, the only one: CP-Mobile - TMSIC on labels, macro accuracy. The others, and all
that a teacher changes, explore.

Settings. A rate that suits one network may not suit another: each has RATES trials, multiples of
the profile's peak rate, of half the epochs on seed 100, which is not used again; the best macro
accuracy on validation clips is taken. `--untuned` takes the profile's own.

Teacher. With `--taught` all learn by `response`, from the same answers: the teacher's of each clip
as TMSIC's front end shows it. So it never tells a peer what lies above 4 kHz.

Test. As in `studies fair`: the corpus's own test and four further renderings, through each front
end; with `--data-root` the folder's own test alone. Each network is scored as trained and with
8-bit weights (dynamic range). Test scores choose nothing.

Decision. `asclib.evaluation.control.against`: every peer minus TMSIC, labels and taught apart, with
Dunnett's intervals. Runs are added to the file one by one; what was cut off goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from asclib import complexity, keys
from asclib.compression import simulate
from asclib.distillation import TECHNIQUES, Answers
from asclib.evaluation import control, score
from asclib.evaluation.statistics import difference
from asclib.features import LogMel
from asclib.networks import CNNGRU, TMSIC, Baseline2022, CPMobile
from asclib.runs import Data, Experiment, Lesson, Run, answers, build
from asclib.runs.run import VERSION
from asclib.training import macro_accuracy, predict, probabilities
from studies import effort, renderings, verdicts
from studies.arms import TUNED_ON
from studies.command import Commands, add_command
from studies.fair import EPOCHS
from studies.ready import runs_of
from studies.record import Record, begun, key_of, write_json
from studies.sitting import Sitting, add_options
from studies.systems import kept_epoch

RATES = (1 / 3, 1.0, 3.0)  # of the profile's peak learning rate
CONTROL, PRIMARY = "tmsic", "cp_mobile"


class Peer(NamedTuple):
    """A network, and what makes its front end."""

    network: Callable[[], nn.Module]
    front_end: Callable[[], LogMel]


PEERS = {
    CONTROL: Peer(TMSIC, LogMel.tmsic),
    "baseline_2022": Peer(Baseline2022, LogMel.dcase_baseline),
    PRIMARY: Peer(CPMobile, LogMel.cp_mobile),
    "cnn_gru": Peer(CNNGRU, LogMel.cnn_gru),
}


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "peers", _peers, profile="study", seeds=5)
    add = parser.add_argument
    add("--plan", action="store_true", help="print power, cost and disk, and train nothing")
    add("--tune", action="store_true", help="try learning rates on validation clips")
    add("--decide", action="store_true", help="write the differences of what is there")
    add("--networks", nargs="+", default=list(PEERS), choices=PEERS, help="default: all of them")
    add("--taught", action="store_true", help="by a teacher's responses, not on labels")
    add("--teachers", type=int, nargs="+", default=[0], help="their seeds; default: 0")
    add("--epochs", type=int, default=EPOCHS, help=f"default: {EPOCHS}")
    add_options(parser, candidate="fused")
    add("--untuned", action="store_true", help="the profile's learning rate for all")
    add("--clips-per-second", type=float, help="of one core, for all; default: each is timed")


def _peers(options: argparse.Namespace) -> None:
    if max(options.seeds) >= TUNED_ON:
        raise ValueError(f"seeds from {TUNED_ON} on are for --tune alone: name smaller ones")
    sitting = Sitting.of(options)
    names, tuning = options.networks, options.output.with_suffix("") / "tuning.json"
    teachers = options.teachers if options.taught else []
    if options.plan:
        speeds = {name: options.clips_per_second or _speed(name) for name in names}
        print("\n".join(plan(sitting, speeds, options.seeds, teachers, options.epochs)))
    elif options.tune:
        tune(sitting, names, options.epochs, tuning)
    elif options.decide:
        record = Record(options.output)
        record.settings["decision"] = decide(record, options.epochs, options.candidate)
        record.write()
        print("\n".join(verdicts.sentence(row) for row in record.settings["decision"]["against"]))
    else:
        rates = dict.fromkeys(names, 1.0) if options.untuned else tuned(tuning, names)
        compare(sitting, rates, options.epochs, options.seeds, teachers, options.output)


# ---- before it: power, cost and disk -------------------------------------------------------------


def plan(
    sitting: Sitting,
    speeds: Mapping[str, float],
    seeds: Sequence[int],
    teachers: Sequence[int],
    epochs: int,
) -> list[str]:
    """What the comparison sees and costs, in lines of text.

    Args: speeds, clips a second in training, by network; teachers, none for labels.
    """
    lines = effort.what_is_seen(len(seeds), len(teachers) or 1, sitting.places)
    clips, whole = effort.clips_to_fit(sitting.first), 0.0
    corpus = sitting.profile.corpus
    heard = corpus.train + corpus.test * (1 + len(sitting.further))
    if sitting.data_root is not None:
        heard = len(sitting.first.corpus.clips)
    runs = len(seeds) * (len(teachers) or 1)
    for name, speed in speeds.items():
        shape = PEERS[name].front_end().shape()
        count = complexity(PEERS[name].network(), shape)
        tried = effort.core_hours([max(1, epochs // 2)] * len(RATES), clips, speed)
        hours = effort.core_hours([epochs] * runs, clips, speed)
        # every picture lies in the features and again in its split
        disk = 2 * 4 * np.prod(shape) * heard / 1e9
        lines.append(
            f"  {name}, {count.parameters:,} parameters, {count.macs / 1e6:.1f} MMACs: {runs} runs"
            f" of {epochs} epochs, {hours:.1f} core-hours, and {tried:.1f} for its trials; pictures"
            f" of about {heard:,} clips, {disk:.1f} GB"
        )
        whole += hours + tried
    return [*lines, f"  in all, without the teachers: {whole:.1f} core-hours"]


def _speed(name: str) -> float:
    peer = PEERS[name]
    return effort.clips_per_second(network=peer.network, shape=peer.front_end().shape())


# ---- runs ----------------------------------------------------------------------------------------


def run_of(
    sitting: Sitting, name: str, seed: int, epochs: int, rate: float, said: Answers | None = None
) -> Run:
    """One network's training, on labels or by what a teacher has said of the clips.

    Args: rate, of the profile's peak learning rate.
    """
    experiment = Experiment(sitting.profile, sitting.data_root, seed)
    base = experiment.profile.student
    student = replace(
        base, epochs=epochs, batch=sitting.batch, learning_rate=base.learning_rate * rate
    )
    lesson = None if said is None else Lesson(TECHNIQUES["response"], said)
    return Run(PEERS[name].network, seen(experiment.data, name), student, seed, lesson)


def seen(data: Data, name: str) -> Data:
    """The same clips through the front end of a network."""
    return replace(data, front_end=PEERS[name].front_end())


def tune(sitting: Sitting, names: Sequence[str], epochs: int, path: Path) -> None:
    """Try the rates of each network, and write them beside those that are there.

    Raises: ValueError when the file was made with other settings.
    """
    made_with = sitting.made_with(tests=False)
    made_with |= {"trial_epochs": max(1, epochs // 2), "seed": TUNED_ON}
    found = begun(path, made_with)
    for name in names:
        if any(row["network"] == name for row in found["runs"]):
            continue
        tried = {
            rate: run_of(sitting, name, TUNED_ON, made_with["trial_epochs"], rate) for rate in RATES
        }
        build(tried.values())
        for rate, run in tried.items():
            clips = run.data.clips("validation")
            accuracy = macro_accuracy(predict(run.net(), clips.x), clips.labels)
            row = {"network": name, "rate": rate, "accuracy": round(accuracy, 5)}
            found["runs"].append(row | {"seconds": run.seconds()})
        write_json(path, found)


def tuned(path: Path, names: Sequence[str]) -> dict[str, float]:
    """The best rate of each network. Raises: FileNotFoundError for networks without trials."""
    rows = json.loads(path.read_text())["runs"] if path.is_file() else []
    of = {name: [row for row in rows if row["network"] == name] for name in names}
    if missing := [name for name in names if not of[name]]:
        raise FileNotFoundError(
            f"{path} has no trials of {', '.join(missing)}: run python -m studies peers --tune "
            f"--networks {' '.join(missing)} first, or add --untuned"
        )
    return {name: max(of[name], key=lambda row: row["accuracy"])["rate"] for name in names}


def compare(
    sitting: Sitting,
    rates: Mapping[str, float],
    epochs: int,
    seeds: Sequence[int],
    teachers: Sequence[int],
    output: Path,
) -> None:
    """Train what is missing, seed by seed, and add each run to the record.

    Args: rates, by network; teachers, their seeds, or none for labels.
    Raises: ValueError when the file was made with other settings, or a run of it in another way.
    """
    record = Record(output, sitting.made_with(), renderings.table(sitting.tests))
    for seed in seeds:
        for number in teachers or (None,):
            made = {name: _made(sitting, name, rates[name], number) for name in rates}
            taught = number is not None
            by = sitting.candidate if taught else None
            asked = {
                name: key_of(arm(name, taught), by, number or 0, seed, epochs) for name in rates
            }
            missing = [name for name in rates if not record.holds(asked[name], made[name])]
            said = _said(sitting, number) if missing and number is not None else None
            runs = {
                name: run_of(sitting, name, seed, epochs, rates[name], said) for name in missing
            }
            build(runs.values())
            for name, run in runs.items():
                logits = renderings.said_of_all(run, _tests(sitting, name))
                row = asked[name] | made[name] | {"corpus": sitting.corpus}
                row |= {"processor": keys.processor(), "seconds": round(run.seconds(), 1)}
                row |= _cost(name) | kept_epoch(run)
                record.add_logits(row, logits, _rounded(sitting, name, run, record))


def arm(name: str, taught: bool) -> str:
    """The label of a network's runs."""
    return f"{name}_taught" if taught else name


def _made(sitting: Sitting, name: str, rate: float, teacher: int | None) -> dict[str, Any]:
    """How a run is made: another rate, front end or teacher is another run."""
    return {
        "network": name,
        "front_end": PEERS[name].front_end().settings,
        "rate": rate,
        "taught_by": None if teacher is None else sitting.teacher(teacher).store_key,
        "training_version": VERSION,
    }


def _said(sitting: Sitting, number: int) -> Answers:
    """What a teacher says of the clips to fit, in the pictures of TMSIC's front end."""
    teacher = sitting.teacher(number)
    build(runs_of(teacher))
    return answers(teacher, sitting.first.data)  # type: ignore[arg-type]  # it can be asked


def _tests(sitting: Sitting, name: str) -> dict[str, Data]:
    return {where: seen(data, name) for where, data in sitting.tests.items()}


@functools.cache
def _cost(name: str) -> dict[str, int]:
    """Parameters and MACs by our count, whatever was published."""
    count = complexity(PEERS[name].network(), PEERS[name].front_end().shape())
    return {"parameters": count.parameters, "macs": count.macs}


def _rounded(sitting: Sitting, name: str, run: Run, record: Record) -> dict[str, float]:
    """The scores of a run with 8-bit weights, on the same clips."""
    net = simulate(run.net())
    tests = _tests(sitting, name).values()
    logits = torch.cat([predict(net, data.clips("test").x) for data in tests])
    found = score(probabilities(logits), record.table).overall
    return {
        "int8_accuracy": round(found.accuracy, 5),
        "int8_log_loss": round(found.log_loss, 5),
    }


# ---- after it ------------------------------------------------------------------------------------


def decide(record: Record, epochs: int, candidate: str) -> dict[str, Any]:
    """Each peer minus TMSIC in accuracy, labels and taught apart, and the primary difference.

    Returns: `primary`, or None while one of its two is missing; `against`, a row for each peer, of
        labels, taught, or both, wherever some network has a second run.
    Raises: ValueError when TMSIC was not run beside a peer, or nothing was run twice.
    """
    there = record.arms(epochs, candidate)
    rows, primary = [], None
    for taught in (False, True):
        base = arm(CONTROL, taught)
        others = [arm(name, taught) for name in PEERS if arm(name, taught) in there - {base}]
        if not others:
            continue
        first = record.system(base, epochs, candidate)
        systems = [record.system(name, epochs, candidate) for name in others]
        if all(len(one.seeds) == 1 for one in (first, *systems)):
            continue
        for name, found in control.against(first, systems, record.clips).items():
            row = {"system": name, "base": base, "epochs": epochs}
            rows.append(row | verdicts.plain(found))
    if not rows:
        raise ValueError(f"{record.path} has no peer beside {CONTROL} and a second seed: run both")
    if {CONTROL, PRIMARY} <= there:
        pair = (record.system(name, epochs, candidate) for name in (PRIMARY, CONTROL))
        found = difference(*verdicts.shared(*pair), record.clips)
        primary = {"system": PRIMARY, "base": CONTROL, "epochs": epochs} | verdicts.plain(found)
    return {"primary": primary, "against": rows}
