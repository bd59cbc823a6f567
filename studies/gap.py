"""What closes the gap to devices that training lacks? One factor at a time, all, and all but one.

    python -m studies gap --plan
    python -m studies gap --seeds 0 1 2 3 4
    python -m studies gap --only none mixstyle --epochs 12 --seeds 0 1 2 3 4      and 48
    python -m studies gap --recommend            choose by validation, and train what was chosen
    python -m studies gap --decide               the differences, into the json

This is the design, written down before the first run; nothing here was changed by a test score.

The base is the student on labels, 24 epochs, no augmentation. Seven factors are added to it, each
alone, all together, and all but one:

mixstyle    Freq-MixStyle, with probability 0.4
mixup       of two clips, alpha 0.3
roll        of the picture in time, by up to two frames, a quarter of a second
mask        of frequencies
responses   each clip also through a device that was drawn for it: none of the generator's own, and
            none of those that validation hears. The pictures are twice as many and the epochs half
            as many, so that the steps are as many.
teacher     the responses of the best teacher there is, beside the labels; it hears what the student
            hears, the copy through the drawn device as well
bandwidth   up to 8 kHz instead of 4: 140 bands by 8 frames of sound at 16 kHz, the same MACs

Beside them stand what takes more time, of the base: `longer`, twice the epochs, and `soup`, the
mean of the weights of four short continuations from other orders of clips; `published`, RRS as it
was published, no augmentation, taught by the same teacher; and the augmentation of its authors,
`six_fold`, with `repeats` as its control: as many copies of the same clips, and not one changed.
What multiplies the pictures has as many times fewer epochs: equal steps, as near as whole epochs
allow. Does a gain grow or shrink with the length? `--epochs 12` and `48` of `none` and `mixstyle`.

The recommended recipe is chosen on validation clips: of `all` and each `all_but_` the one with the
best mean of accuracies as heard and through invented devices, over seeds; then trained twice as
long, with the soup. Primary hypothesis, the only one: recommended - published, macro accuracy on
unseen devices; the goal is eight points. Everything else explores. Temperature changes no accuracy:
each row has the log loss with the temperature that validation clips chose beside its own.

Five seeds, one teacher; the test of five renderings, none of whose scores choose anything. One rule
decides: *yes* where the 95 % interval over locations and seeds excludes zero, *no* where it lies
within a point of it, else *open*. With `--data-root` all of it is on recorded clips, with a file of
its own (`--output`).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from asclib import keys
from asclib.augmentation import (
    Copies,
    FreqMixStyle,
    FrequencyMask,
    Mixup,
    SixFold,
    TimeRoll,
    impulse_response,
)
from asclib.augmentation.clip import REFERENCE_DEVICE, VERSIONS, View, augmented_size
from asclib.challenge import UNSEEN_DEVICES
from asclib.corpus.embedded import Device
from asclib.distillation import TECHNIQUES, Answers
from asclib.evaluation import best_temperature
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment, Lesson, Run, answers, build
from asclib.runs.run import VERSION
from asclib.training import BatchTransform, macro_accuracy, predict
from studies import effort, renderings
from studies.command import Commands, add_command
from studies.ready import Souped, Together, runs_of
from studies.recipe import through
from studies.record import NOBODY, Record, key_of
from studies.sitting import Sitting, add_options
from studies.verdicts import plain, sentence, shared

EPOCHS = 24
TEACHER = 0
SOUP = 4  # continuations whose weights are averaged
PART = 6  # an epoch of a continuation for so many before it
BATCH: dict[str, BatchTransform] = {
    "mixstyle": FreqMixStyle(0.4),
    "mixup": Mixup(0.3),
    "roll": TimeRoll(2),
    "mask": FrequencyMask(),
}
FACTORS = (*BATCH, "responses", "teacher", "bandwidth")
WIDE = LogMel(16_000, 4_096, 2_048, 140)  # the bands and frames of TMSIC's, up to 8 kHz
ARMS: dict[str, tuple[str, ...]] = {
    "none": (),
    **{name: (name,) for name in FACTORS},
    "all": FACTORS,
    **{f"all_but_{one}": tuple(name for name in FACTORS if name != one) for one in FACTORS},
}
LONGER = ("longer", "soup")  # of the base, with more time
MULTIPLIED = ("six_fold", "repeats")  # the authors' augmentation, and its control
PRIMARY = ("recommended", "published")


def drawn_device(x: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A waveform as a device drawn at random might have recorded it: edges, tilt, two peaks."""
    peaks = tuple(
        (float(np.exp(rng.uniform(np.log(200), np.log(3_600)))), 0.6, float(rng.uniform(-7, 7)))
        for _ in range(2)
    )
    low, high = rng.uniform(30, 280), rng.uniform(6_000, 16_000)
    device = Device(float(low), float(high), float(rng.uniform(-2, 2)), peaks)
    return fftconvolve(x, impulse_response(device, rate))[: len(x)].astype(x.dtype)


def repeated(x: np.ndarray, clip: Any, log_mel: LogMel) -> np.ndarray:
    """A clip as often as `SixFold` shows it, each time as it is; for `Data.views`."""
    picture = log_mel(x[None]).cpu().numpy()
    return picture if clip.device == REFERENCE_DEVICE else np.repeat(picture, len(VERSIONS), axis=0)


VIEWS: dict[str, View] = {
    "responses": Copies(drawn_device),
    "six_fold": SixFold(),
    "repeats": repeated,
}


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "gap", _gap, profile="study", seeds=5)
    add = parser.add_argument
    add("--plan", action="store_true", help="print power and cost, and train nothing")
    add("--recommend", action="store_true", help="choose on validation clips, and train the choice")
    add("--decide", action="store_true", help="write the differences of what is there")
    arms = [*ARMS, *LONGER, *MULTIPLIED, "published"]
    add("--only", nargs="+", choices=arms, default=arms, metavar="ARM", help=", ".join(arms))
    add("--epochs", type=int, default=EPOCHS, help=f"of an arm; default: {EPOCHS}")
    add_options(parser)
    add("--clips-per-second", type=float, help="of one core, for the cost; default: timed")


def _gap(options: argparse.Namespace) -> None:
    sitting = Sitting.of(options)
    if options.plan:
        speed = options.clips_per_second or effort.clips_per_second()
        print("\n".join(plan(sitting, options.only, options.epochs, options.seeds, speed)))
    elif options.decide:
        record = Record(options.output)
        lengths = record.lengths(["none"], sitting.candidate)
        record.settings["differences"] = [
            row for length in lengths for row in decide(record, length, sitting.candidate)
        ]
        record.write()
        print("\n".join(sentence(row) for row in record.settings["differences"]))
    else:
        record = Record(options.output, sitting.made_with(), renderings.table(sitting.tests))
        names = options.only
        if options.recommend:
            found = recommended(record, options.epochs, sitting.candidate)
            record.settings["recommended"] = found
            names = ["recommended"]
        compare(sitting, record, names, options.epochs, options.seeds)


# ---- before it: power and cost -------------------------------------------------------------------


def plan(
    sitting: Sitting, names: Sequence[str], epochs: int, seeds: Sequence[int], speed: float
) -> list[str]:
    """What the study sees and costs, in lines of text."""
    lines = effort.what_is_seen(max(2, len(seeds)), 1, sitting.places)
    soup = epochs + SOUP * (epochs // PART)
    length = {"longer": 2 * epochs, "soup": soup}
    spent = [length.get(name, epochs) for name in names] * len(seeds)
    spent += [2 * soup] * len(seeds)  # what is recommended
    hours = effort.core_hours(spent, effort.clips_to_fit(sitting.first), speed)
    return [*lines, f"{len(spent)} systems: {hours:.1f} core-hours, without the teacher"]


# ---- runs ----------------------------------------------------------------------------------------


def run_of(
    sitting: Sitting, factors: Sequence[str], seed: int, epochs: int, said: Answers | None
) -> Run:
    """The student with these factors. Args: said, what a teacher says of all its pictures."""
    experiment = Experiment(sitting.profile, sitting.data_root, seed)
    data = shown(experiment.data, factors)
    if "bandwidth" in factors:
        data = replace(data, front_end=WIDE)
    batch = tuple(transform for name, transform in BATCH.items() if name in factors)
    length = max(1, round(epochs / pictures(experiment, factors)))
    student = replace(experiment.profile.student, epochs=length, batch=batch)
    lesson = Lesson(TECHNIQUES["response"], said) if said is not None else None
    return Run(TMSIC, data, student, seed, lesson)


def shown(data: Data, factors: Sequence[str]) -> Data:
    """The clips in the pictures that the factors ask for, through the front end of the teacher."""
    views = [VIEWS[name] for name in factors if name in VIEWS]
    return replace(data, views=views[0]) if views else data


def pictures(experiment: Experiment, factors: Sequence[str]) -> float:
    """How many of them a clip to fit has, on average."""
    if "responses" in factors:
        return 2.0
    if not set(factors) & set(MULTIPLIED):
        return 1.0
    clips = experiment.table("fit")
    return augmented_size(clips) / len(clips)


def souped(run: Run) -> Together:
    """The mean of the weights of SOUP short continuations, each in another order of clips."""
    short = replace(
        run.plan,
        epochs=max(1, run.plan.epochs // PART),
        learning_rate=run.plan.learning_rate / 10,
    )
    members = tuple(
        replace(run, start=run, plan=short, seed=SOUP * run.seed + k) for k in range(SOUP)
    )
    return Together(Souped(members))


def factors_of(name: str, chosen: Sequence[str]) -> Sequence[str]:
    """What an arm adds to the base. Args: chosen, what `--recommend` has found."""
    if name == "recommended":
        return chosen
    return (name,) if name in MULTIPLIED else ARMS.get(name, ())


def made_of(
    sitting: Sitting, name: str, seed: int, epochs: int, factors: Sequence[str]
) -> Run | Together:
    """The network of an arm. Args: factors, as `factors_of` has them."""
    if name == "published":
        experiment = Experiment(sitting.profile, sitting.data_root, seed)
        length = replace(experiment.profile.stage, epochs=epochs // 2)
        return experiment.taught("rrs_published", sitting.teacher(TEACHER), plan=length)
    said = None
    if "teacher" in factors:
        said = _said(sitting, tuple(factors))
    longer = 2 if name in ("longer", "recommended") else 1
    run = run_of(sitting, factors, seed, longer * epochs, said)
    return souped(run) if name in ("soup", "recommended") else run


@functools.cache
def _said(sitting: Sitting, factors: tuple[str, ...]) -> Answers:
    teacher = sitting.teacher(TEACHER)
    build(runs_of(teacher))
    return answers(teacher, shown(sitting.first.data, factors))  # type: ignore[arg-type]


def compare(
    sitting: Sitting, record: Record, names: Sequence[str], epochs: int, seeds: Sequence[int]
) -> None:
    """Train what is missing, seed by seed, and add each arm to the record.

    Raises: ValueError when an arm that is there was made in another way.
    """
    chosen = record.settings.get("recommended", {}).get("factors", ())
    for seed in seeds:
        asked = {}
        for name in names:
            factors = factors_of(name, chosen)
            made = made_of(sitting, name, seed, epochs, factors)
            taught = name == "published" or "teacher" in factors
            key = key_of(name, sitting.candidate if taught else NOBODY, TEACHER, seed, epochs)
            how = {"factors": list(factors), "training_version": VERSION, "made": made.store_key}
            if not record.holds(key, how, own=("made",)):
                asked[name] = (key | how, made)
        build([run for _, made in asked.values() for run in runs_of(made)])
        for row, made in asked.values():
            wide = "bandwidth" in row["factors"]
            heard = WIDE if wide else sitting.first.data.front_end
            tests = {name: replace(one, front_end=heard) for name, one in sitting.tests.items()}
            logits = renderings.said_of_tests(made, tests)
            row |= {"corpus": sitting.corpus, "processor": keys.processor()}
            more = {"seconds": round(made.seconds(), 1)}
            temperature, validated = _validated(sitting, made, heard)
            record.add_logits(row, logits, more | validated, temperature)


def _validated(
    sitting: Sitting, made: Run | Together, heard: LogMel
) -> tuple[float, dict[str, float]]:
    """The temperature that validation clips choose, and the scores on these: own, and invented."""
    own = replace(sitting.first.data, front_end=heard).clips("validation")
    invented = through(sitting.first, front_end=heard)
    net = made.net()
    said = predict(net, own.x)
    return best_temperature(said, own.labels), {
        "validation": round(macro_accuracy(said, own.labels), 5),
        "invented": round(macro_accuracy(predict(net, invented.x), invented.labels), 5),
    }


# ---- after it ------------------------------------------------------------------------------------


def recommended(record: Record, epochs: int, candidate: str) -> dict[str, Any]:
    """The factors of the best arm of many, by its validation scores alone; see above.

    Only seeds that all of these arms have count. Raises: ValueError where there is none.
    """
    names = [name for name in ARMS if name.startswith("all")]
    scores = {
        name: {
            row["seed"]: (row["validation"] + row["invented"]) / 2
            for row in record.rows_of(candidate, arm=name, epochs=epochs)
        }
        for name in names
    }
    seeds = sorted(set.intersection(*(set(each) for each in scores.values())))
    if not seeds:
        missing = [name for name in names if not scores[name]] or names
        raise ValueError(
            f"{record.path} lacks {', '.join(missing)}, which may be chosen: run them first, "
            "all with the same seeds"
        )
    means = {name: float(np.mean([each[seed] for seed in seeds])) for name, each in scores.items()}
    best = max(names, key=lambda name: means[name])
    validation = {name: round(mean, 5) for name, mean in means.items()}
    return {"arm": best, "factors": list(ARMS[best]), "seeds": seeds, "validation": validation}


def decide(record: Record, epochs: int, candidate: str) -> list[dict[str, Any]]:
    """Differences of the arms that are there, on unseen devices and on all clips.

    The primary one comes first; then each factor alone against none, and all against all but it.
    """
    pairs = [PRIMARY, *(("recommended", other) for other in ("none", "all"))]
    pairs += [(name, "none") for name in (*FACTORS, "all", *LONGER, *MULTIPLIED)]
    pairs += [MULTIPLIED]
    pairs += [("all", f"all_but_{name}") for name in FACTORS]
    there = record.arms(epochs, candidate)
    unseen = record.table["device"].isin(UNSEEN_DEVICES).to_numpy()
    rows = []
    for one, other in pairs:
        if not {one, other} <= there:
            continue
        systems = shared(*(record.system(name, epochs, candidate) for name in (one, other)))
        if len(systems[0].seeds) < 2:
            continue
        for heard, mask in (("unseen", unseen), ("all", np.ones(len(unseen), bool))):
            one_there, other_there = (system.on(mask) for system in systems)
            found = difference(one_there, other_there, Clips.of(record.table[mask]))
            row = {"system": one, "base": other, "epochs": epochs, "heard": heard}
            primary = (one, other) == PRIMARY and heard == "unseen"
            rows.append(row | {"primary": primary} | plain(found))
    return rows
