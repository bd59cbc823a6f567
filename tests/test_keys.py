"""Claims about keys: they follow content and meaning, and nothing else."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import operator
import pickle
import sys
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
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


def test_lambdas_side_by_side_are_told_apart() -> None:
    pair = (lambda x: x + 1, lambda x: x + 2)
    assert keys.digest(pair[0]) != keys.digest(pair[1])


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


# ---- two values, two keys ------------------------------------------------------------------------


class Tuned(nn.Module):
    """A network with an attribute and a buffer that is not saved."""

    def __init__(self, gain: float = 1.0, shift: float = 0.0):
        super().__init__()
        self.gain = gain
        self.register_buffer("shift", torch.tensor(shift), persistent=False)


class Pair(NamedTuple):
    low: float

    def __call__(self, x):
        return x + self.low


class Other(NamedTuple):
    low: float

    def __call__(self, x):
        return x - self.low


class Slotted:
    __slots__ = ("size",)

    def __init__(self, size):
        self.size = size


@dataclass(frozen=True)
class Typed:
    type: str


@dataclass(frozen=True)
class OtherTyped:
    type: str


class Constant:
    drop = 0.0

    @staticmethod
    def rate():
        return 1

    @property
    def shown(self):
        return 2


class OtherConstant:
    drop = 0.9

    @staticmethod
    def rate():
        return 1

    @property
    def shown(self):
        return 2


def made_class(width):
    class Made:
        def size(self):
            return width

    return Made


def with_default(value):
    def scaled(x, by=value):
        return by * x

    return scaled


def nested(first):
    def inner(a, b):
        return a - b

    def other(a, b):
        return b - b

    return inner if first else other


def doubled(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return 2 * function(*arguments)

    return wrapper


def tripled(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return 3 * function(*arguments)

    return wrapper


def plainly(x):
    return x


def tagged(weight):
    def loss(x):
        return x

    loss.weight = weight
    return loss


@pytest.mark.parametrize(
    "one, other",
    [
        (Tuned(gain=1.0), Tuned(gain=2.0)),
        (Tuned(shift=0.0), Tuned(shift=1.0)),
        (nn.Sequential(Tuned()), nn.Sequential(Tuned(gain=2.0))),
        (Pair(1.0), Other(1.0)),
        (Pair(1.0), (1.0,)),
        (Slotted(1), Slotted(2)),
        (Typed("a"), OtherTyped("a")),
        (made_class(4), made_class(40)),
        (with_default(1.0), with_default(2.0)),
        (nested(True), nested(False)),
        (doubled(plainly), tripled(plainly)),
        (tagged(1.0), tagged(2.0)),
        (operator.itemgetter(1), operator.itemgetter(2)),
        (torch.ones(2).mul, torch.zeros(2).mul),
        ({"a": 1}.get, {"a": 2}.get),
        ({1: "a"}, {"1": "a"}),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
        (np.array(["a" * 200 + "b"], object), np.array(["a" * 200 + "c"], object)),
        (torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)),
        (b"a", b"b"),
        (torch.float32, torch.float64),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_differs_has_another_key(one, other) -> None:
    assert keys.digest(one) != keys.digest(other)
    assert keys.digest(one) == keys.digest(one)


def test_constants_and_methods_of_a_class_count() -> None:
    one, other = keys.plain(Constant)["holds"], keys.plain(OtherConstant)["holds"]
    assert (one["drop"], other["drop"]) == (0.0, 0.9)
    assert one["rate"]["code"] == other["rate"]["code"]
    assert one["shown"][0]["code"] == other["shown"][0]["code"]


TYPED = """
class Net:
    drop = {drop}
    def forward(self, x):
        return scale(x)
def scale(x):
    return {factor} * x
"""


def test_a_dataclass_without_a_file_keeps_its_own_methods() -> None:
    found = []
    for factor in (2, 3):
        space = {"__name__": "__main__", "dataclass": dataclass}
        text = f"@dataclass\nclass Scaled:\n    def __call__(self, x):\n        return {factor} * x"
        exec(compile(text, "<stdin>", "exec"), space)
        found.append(keys.digest(space["Scaled"]))
    assert found[0] != found[1]


def test_the_version_of_a_front_end_is_part_of_its_key(monkeypatch) -> None:
    """Its code is asclib's, so nothing else says that it computes something else."""
    before = keys.digest(LogMel())
    monkeypatch.setattr(LogMel, "version", LogMel.version + 1)
    assert keys.digest(LogMel()) != before


@pytest.mark.parametrize("change", [{"drop": 0.9}, {"factor": 3}, {}])
def test_a_class_without_a_file_is_read_as_well(change, monkeypatch) -> None:
    """As in a notebook, whose classes have no file."""
    found = []
    for values in ({"drop": 0.0, "factor": 2}, {"drop": 0.0, "factor": 2} | change):
        space = {"__name__": "__main__"}
        exec(TYPED.format(**values), space)
        found.append(keys.digest(space["Net"]))
    assert (found[0] == found[1]) == (not change)


def test_arguments_are_no_globals(key) -> None:
    """A global called like an argument of the loss is another thing."""
    named = ("LIMIT = 3", "LIMIT = 3\nstudent, teacher = object(), [1]")
    assert key(named) == key()
    assert key(("LIMIT = 3", "LIMIT = 3\nteacher = [2]")) == key()


def test_the_release_of_what_a_reader_uses_counts(monkeypatch) -> None:
    before = keys.digest(pd.concat)
    released = keys._released.__wrapped__ if hasattr(keys._released, "__wrapped__") else None
    assert released is None and "pandas" in keys.plain(pd.concat)
    version = keys.metadata.version
    monkeypatch.setattr(
        keys.metadata, "version", lambda name: "0.1" if name == "pandas" else version(name)
    )
    assert keys.digest(pd.concat) != before


class Doubled:
    """A reader's own class, as pickle finds it."""

    def __call__(self, x: float) -> float:
        return 2 * x


def test_a_class_is_the_same_after_its_objects_have_travelled() -> None:
    """Pickle notes the names of the slots in the class itself."""
    before = keys.digest(Doubled())
    pickle.dumps(Doubled())
    assert "__slotnames__" in vars(Doubled) and keys.digest(Doubled()) == before
