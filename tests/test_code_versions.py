"""Code whose results the store keeps: when it changes, its version is raised, or it is accepted.

    python -m tests.test_code_versions      accepts the code as it is

Renaming a local variable or rewriting a docstring changes no hash (see test_keys).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from asclib import distillation, features, keys, networks, qat, synthesis, teacher, training
from asclib import study_augmentation as augmentation
from asclib import study_pruning as pruning
from asclib import study_slips as slips
from asclib.distillation import outputs
from asclib.runs import run

TABLE = Path(__file__).with_name("code_versions.json")
KINDS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "corpus": (synthesis.VERSION, (synthesis.render,)),
    "features": (features.VERSION, (features.extract, features.LogMel)),
    "training": (
        run.VERSION,
        (training.train, training.predict, distillation.distill, outputs.look, networks.TMSIC,
         teacher.OneVsAllTeacher, run.Run._fill, *vars(distillation.losses).values()),
    ),
    "qat": (qat.VERSION, (qat.tuned,)),
    "augmentation": (augmentation.VERSION, (augmentation._drawn, augmentation._trained)),
    "pruning": (pruning.VERSION, (pruning.pruned,)),
    "slips": (slips.VERSION, (slips.trained,)),
}  # fmt: skip
# How a thing is stored, named or shown does not change it.
LEFT_OUT = ("asclib.store", "asclib.keys", "asclib.parallel", "asclib.experiment", "asclib.kept")


def code_of(*things: Any) -> str:
    """A hash of the code of functions and classes of asclib and of all they use in it."""
    seen: dict[str, Any] = {}
    queue = list(things)
    while queue:
        thing = queue.pop()
        thing = getattr(thing, "__wrapped__", thing)
        if not isinstance(thing, (FunctionType, type)):
            continue
        home = thing.__module__
        name = f"{home}.{thing.__qualname__}"
        if not home.startswith("asclib") or home in LEFT_OUT or name in seen:
            continue
        seen[name], used = keys.source(thing)
        for key, value in used.items():
            queue += parts(value)
            if isinstance(value, (bool, int, float, str, tuple, dict, frozenset)):
                seen[f"{home}:{key}"] = keys.plain(value)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


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


if __name__ == "__main__":
    TABLE.write_text(json.dumps(table(), indent=1) + "\n")
