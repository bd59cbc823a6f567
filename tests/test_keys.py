"""Claims about keys: they follow content and meaning, and nothing else."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import linecache
import sys
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import fx, nn

from asclib import keys
from asclib.distillation import losses
from asclib.features import LogMel

SOURCE = '''
    import functools
    import numpy as np
    import torch

    LIMIT = 3
    ARRAY = np.array([1.0, 2.0])
    NAMES = {"a", "b"}
    LIST = [1, 2]

    class Scaler:
        """Multiplies."""

        def __init__(self, factor):
            self.factor = factor

        def scaled(self, x):
            return x * self.factor

    SCALER = Scaler(2.0)

    @functools.cache
    def known(x):
        return x + 10

    def helper(x, power=2):
        return x**power

    SQUARED = functools.partial(helper, power=2)

    def loss(student, teacher):
        """How far apart they are."""
        apart = student - teacher
        total = SCALER.scaled(apart) + known(1) + LIMIT + ARRAY.sum() + len(NAMES) + LIST[0]
        return SQUARED(total) + torch.relu(apart)

    def unrelated():
        return 0
'''


@pytest.fixture
def key(tmp_path):
    """The key of `loss` in a module of the reader's own whose text was changed."""

    def made(*changes: tuple[str, str]) -> str:
        text = textwrap.dedent(SOURCE)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "readers_own.py"
        path.write_text(text)
        linecache.clearcache()
        spec = importlib.util.spec_from_file_location("readers_own", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["readers_own"] = module
        spec.loader.exec_module(module)
        return keys.digest(module.loss)

    yield made
    sys.modules.pop("readers_own", None)


@pytest.mark.parametrize(
    "old, new",
    [
        ("apart = student - teacher", "apart = student + teacher"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("[1.0, 2.0]", "[1.0, 2.5]"),
        ('{"a", "b"}', '{"a", "c"}'),
        ("LIST = [1, 2]", "LIST = [2, 2]"),
        ("Scaler(2.0)", "Scaler(3.0)"),
        ("x * self.factor", "x / self.factor"),
        ("return x + 10", "return x + 11"),
        ("return x**power", "return x**power + 1"),
        ("(helper, power=2)", "(helper, power=4)"),
        ("torch.relu", "torch.sigmoid"),
    ],
)
def test_a_reader_s_own_code_is_part_of_the_key_with_all_it_uses(key, old, new) -> None:
    assert key((old, new)) != key()


@pytest.mark.parametrize(
    "old, new",
    [
        ("How far apart they are.", "The distance."),
        ("Multiplies.", "Scales."),
        ("apart", "difference"),  # a local variable, and a word of the docstring
        ("return x + 10", "return x + 10  # why"),
        ("def helper(x, power=2):", "def helper(x: float, power: int = 2) -> float:"),
        ("return 0", "return 1"),
    ],
)
def test_wording_is_no_part_of_the_key(key, old, new) -> None:
    assert key((old, new)) == key()


def test_asclib_s_own_code_is_named_and_not_read() -> None:
    """A test compares it with a table: see test_code_versions."""
    assert keys.plain(losses.response) == "asclib.response"
    partial = keys.plain(functools.partial(losses.response, temperature=3.0))
    assert partial["keywords"] == {"temperature": 3.0}


def test_arrays_and_networks_go_by_content() -> None:
    one, other = np.zeros((2, 3)), np.zeros((3, 2))
    assert keys.digest(one) == keys.digest(one.copy()) != keys.digest(other)
    assert keys.digest(one) != keys.digest(one.astype(np.float32))
    assert keys.digest(torch.ones(2)) != keys.digest(torch.tensor([1.0, 2.0]))
    linear = nn.Linear(2, 2)
    before = keys.digest(linear)
    with torch.no_grad():
        linear.weight[0, 0] += 1
    assert keys.digest(linear) != before
    assert keys.digest(LogMel(n_mels=40)) != keys.digest(LogMel(n_mels=41))


def test_sets_and_dicts_have_no_order() -> None:
    assert keys.digest({"a", "b", "c"}) == keys.digest({"c", "b", "a"})
    assert keys.digest({"a": 1, "b": 2}) == keys.digest({"b": 2, "a": 1})
    assert keys.digest([1, 2]) != keys.digest([2, 1])


def test_what_a_function_closes_over_counts() -> None:
    def scaled(factor: float):
        return lambda x: x * factor

    assert keys.digest(scaled(2.0)) == keys.digest(scaled(2.0)) != keys.digest(scaled(3.0))


def test_lambdas_side_by_side_are_told_apart_and_their_neighbours_do_not_count() -> None:
    pair = (lambda x: x + 1, lambda x: x + 2)
    alone = [
        lambda x: x + 1,
    ]
    first, second = (keys.source(function)[0] for function in pair)
    assert first != second
    assert first == keys.source(alone[0])[0]


def test_every_python_writes_the_same_text() -> None:
    """Pythons differ in the fields of a function's tree, in f-strings, in how a tuple is unparsed.

    The golden text holds on 3.11, 3.12 and 3.13, so that a store moves from one to another.
    """

    def shown(x, width=3):
        return f"{x['a']:>{width}}", f'it\'s "{x!r}"', [x for _ in (*x, 1)]

    text, used = keys.source(shown)
    assert used == {}
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "ef4f8b41995016ae"


def test_a_method_brings_its_owner() -> None:
    @dataclass(frozen=True)
    class Scaler:
        factor: float

        def scaled(self, x: float) -> float:
            return x * self.factor

    assert keys.digest(Scaler(2.0).scaled) == keys.digest(Scaler(2.0).scaled)
    assert keys.digest(Scaler(2.0).scaled) != keys.digest(Scaler(3.0).scaled)


def test_code_without_a_file_is_told_apart_too() -> None:
    spaces = [{"__name__": "__main__"} for _ in range(3)]
    for space, text in zip(spaces, ("x + 1", "x + 1", "x + 2"), strict=True):
        exec(f"def typed(x):\n    return {text}", space)
    first, same, other = (keys.digest(space["typed"]) for space in spaces)
    assert first == same != other


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(TypeError, match="give its content"):
        keys.digest(x for x in [1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes: its name is in the key")
def test_the_processor_s_switches_are_part_of_the_key(monkeypatch) -> None:
    for name in keys.INSTRUCTIONS:  # whatever this environment has switched already
        monkeypatch.delenv(name, raising=False)
    before = keys.processor()
    for name in keys.INSTRUCTIONS:
        monkeypatch.setenv(name, "older")
        assert keys.processor() == before | {name: "older"}
        monkeypatch.setenv(name, "")
        assert keys.processor() == before
        monkeypatch.delenv(name)
    assert "instructions" in before


def test_graphs_with_the_same_weights_and_another_order_of_operations_have_other_keys():
    class Twice(nn.Module):
        def forward(self, x):
            return (x + 1) * 2

    class Again(nn.Module):
        def forward(self, x):
            return x * 2 + 1

    one, other = fx.symbolic_trace(Twice()), fx.symbolic_trace(Again())
    assert keys.digest(one) != keys.digest(other)
