"""Code whose results the store keeps: when it changes, its version is raised, or it is accepted.

    python -m tests.test_code_versions      accepts the code as it is

Renaming a local variable or rewriting a docstring changes no hash (see test_keys).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from asclib import distillation, features, keys, networks, pretraining, training
from asclib.augmentation import batch, clip, views
from asclib.compression import convert, pruning, qat, quantization
from asclib.corpus.embedded import render
from asclib.distillation import stages
from asclib.networks import outputs, teacher
from asclib.runs import experiment, run
from studies import recipe, slips
from tests import code_text

TABLE = Path(__file__).with_name("code_versions.json")
KINDS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "corpus": (render.VERSION, (render.render,)),
    "features": (features.VERSION, (features.extract, features.LogMel)),
    "training": (
        run.VERSION,
        (
            training.train,
            training.predict,
            distillation.distill,
            outputs.look_at,
            networks.TMSIC,
            networks.Baseline2022,
            networks.CPMobile,
            networks.CNNGRU,
            networks.ResNet18,
            teacher.OneVsAllTeacher,
            teacher.one_vs_all,
            experiment.Fused,
            run.Run._fill,
            run._answer,
            batch.FreqMixStyle,
            batch.Mixup,
            batch.TimeRoll,
            batch.FrequencyMask,
            batch.Gain,
            *vars(stages.losses).values(),
            pretraining.pretrain,
            pretraining.SelfSupervised,
            *vars(pretraining.losses).values(),
        ),
    ),
    "qat": (qat.VERSION, (qat.FakeQuantised, qat.Aware, qat.range_calibration)),
    "tflite": (quantization.VERSION, (quantization.export, convert._main)),
    "pruning": (
        pruning.VERSION,
        (pruning.Narrowed, pruning.Thinned, pruning.prune_filters, pruning.prune_weights),
    ),
    "views": (
        clip.VERSION,
        (
            clip.SixFold,
            clip.Copies,
            clip.tmsic_versions,
            clip.frequency_mask,
            clip.time_roll,
            clip.other_device,
            clip.impulse_response,
            views.show,
            recipe.through,
        ),
    ),
    "slips": (slips.VERSION, (slips.trained,)),
}
# How a thing is stored, named or shown does not change it; what KINDS names is read all the same.
LEFT_OUT = (
    "asclib.store",
    "asclib.keys",
    "asclib.progress",
    "asclib.runs.parallel",
    "asclib.runs.experiment",
    "asclib.runs.kept",
)


def code_of(*things: Any) -> str:
    """A hash of the code of functions and classes of asclib and of all they use in it."""
    seen: dict[tuple[str, str], Any] = {}
    queue = list(things)
    while queue:
        thing = queue.pop()
        thing = getattr(thing, "__wrapped__", thing)
        if not isinstance(thing, (FunctionType, type)):
            continue
        home = thing.__module__
        name = home, thing.__qualname__
        if not home.startswith(("asclib", "studies")) or name in seen:
            continue
        if home in LEFT_OUT and thing not in things:
            continue
        seen[name], used = code_text.source(thing)
        for key, value in used.items():
            queue += parts(value)
            if key.startswith(("sys.", "__")):  # of this machine
                continue
            if isinstance(value, (bool, int, float, str, tuple, dict, frozenset)):
                seen[home, f":{key}"] = data(value)
    found = [json.dumps([name, code], sort_keys=True) for (_, name), code in seen.items()]
    found.sort()  # wherever they stand
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def data(value: Any) -> Any:
    """A constant as json can write it; functions in it by name, for their code is read too."""
    if isinstance(value, (FunctionType, type)):
        return value.__qualname__
    if isinstance(value, dict):
        return {str(key): data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [data(item) for item in value]
    if isinstance(value, functools.partial):
        return [data(value.func), data(value.args), data(value.keywords)]
    if dataclasses.is_dataclass(value):
        return {item.name: data(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return keys.plain(value)


def parts(value: Any) -> Iterator[Any]:
    """A value, and what a table or a partial holds."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from parts(item)
    elif isinstance(value, functools.partial):
        yield value.func
    else:
        yield value


def table() -> dict[str, list[Any]]:
    return {kind: [version, code_of(*things)] for kind, (version, things) in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_code_that_changed_has_a_new_version_or_was_accepted(kind: str) -> None:
    version, things = KINDS[kind]
    known, before = json.loads(TABLE.read_text())[kind]
    if (version, code_of(*things)) != (known, before):
        pytest.fail(
            f"the code behind {kind!r} has changed since its version {known} was accepted: if it "
            "comes to other results, raise VERSION beside it; then run "
            "python -m tests.test_code_versions"
        )


def test_the_table_would_see_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_of(training.train)
    monkeypatch.setattr(training, "macro_accuracy", training.cores)
    assert code_of(training.train) != before


def test_what_a_kind_names_is_read_wherever_it_stands() -> None:
    assert code_of(experiment.Fused) != code_of(experiment.Experiment) != code_of()
    assert code_of(training.train, run.build) != code_of(training.train)


@pytest.mark.parametrize(
    "module, name, kind",
    [
        (batch, "freq_mixstyle", "training"),
        (qat, "calibration_rows", "qat"),
        (pruning, "filter_scores", "pruning"),
        (clip, "perturb", "views"),
    ],
)
def test_the_table_sees_what_runs_are_made_of(monkeypatch, module, name, kind) -> None:
    _, things = KINDS[kind]
    before = code_of(*things)
    monkeypatch.setattr(module, name, training.cores)
    assert code_of(*things) != before


def test_an_inner_function_s_variables_are_told_apart() -> None:
    def one(x):
        first = x + 1

        def inner(y):
            second = y * 2
            return first - second

        return inner, first

    def other(x):
        first = x + 1

        def inner(y):
            second = y * 2
            return second - second

        return inner, first

    same = other.__name__, one.__name__
    assert code_text.source(other)[0].replace(*same) != code_text.source(one)[0]


def test_every_python_writes_the_same_text() -> None:
    """Pythons differ in the fields of a function's tree, in f-strings, in how a tuple is unparsed.

    The golden text holds on 3.11, 3.12 and 3.13, so that a store moves from one to another.
    """

    def shown(x, width=3):
        return f"{x['a']:>{width}}", f'it\'s "{x!r}"', [x for _ in (*x, 1)]

    text, used = code_text.source(shown)
    assert used == {}
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "ef4f8b41995016ae"


if __name__ == "__main__":
    TABLE.write_text(json.dumps(table(), indent=1) + "\n")
