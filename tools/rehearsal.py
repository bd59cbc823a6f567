"""Which networks a chapter would train, asked of the chapter itself, without training any.

The statements of a chapter that lead to a training are run where training is only noted down. A
corpus has its tables but no sound, clips have their shapes but no values, and a network is the
untrained one. What a chapter makes of an answer is not known then: such a statement stops there,
and what it would have named is `Unknown`.

So a chapter is understood as long as *which* networks it trains does not depend on what others
have learnt. A statement that may have asked for more, had it not stopped, is reported as a gap.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jupytext
import numpy as np
import torch
from torch import nn

from asclib import runs, training, tuning
from asclib.augmentation.clip import augmented_size
from asclib.corpus import Corpus
from asclib.corpus.embedded import CorpusSize, render
from asclib.runs import Data, Experiment, Kept, Run, run
from asclib.runs.data import SCENES, Tensors
from asclib.training import Clips, Training
from asclib.tuning import Search, search
from studies.label_arms import whole

BEGIN = {"Experiment", "Run", "Search"}  # what trainings are made of
_CLIPS = Data.clips
RUNS = {  # what an experiment gives that can be trained
    name for name, made in vars(Experiment).items() if callable(made) and name[0] != "_"
} - {"clips", "table"}
ASK = {"answers", "build", "clips", "folder", "history", "kept", "net", "run", "seconds", "train"}


class NotKnown(Exception):
    """Only a chapter that trains its networks comes to know this."""


class Unknown:
    """What a training would have told. All that is asked of it is unknown as well."""

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):  # no protocol of Python's: numpy and torch refuse it
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Unknown:
        return self

    def __getitem__(self, _: Any) -> Unknown:
        return self

    def __iter__(self) -> Iterator[Any]:
        raise NotKnown

    def __bool__(self) -> bool:
        raise NotKnown


@dataclass
class Asked:
    """What one chapter asks for, each thing once.

    runs, in order; answers (teacher, data, output); clips (data, split); searches; single, the
    trainings of no run: network, clips to fit and to validate on, plan; gaps, where the chapter
    was not understood.
    """

    runs: dict[Run, None] = field(default_factory=dict)
    answers: dict[tuple[Run | Kept, Data, str], None] = field(default_factory=dict)
    clips: dict[tuple[Data, str], None] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)
    single: list[tuple[nn.Module, int, int, Training]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    built: int = 0  # calls of `build`

    # ---- what stands in for what trains ---------------------------------------------------------

    def build(self, wanted: Iterable[Run], workers: int | None = None) -> None:
        listed = list(wanted)
        if not all(isinstance(one, Run) for one in listed):
            raise NotKnown
        self.runs |= dict.fromkeys(listed)
        self.built += 1

    def net(self, one: Run) -> nn.Module:
        self.runs[one] = None
        return one.network()

    def ask(self, one: Run) -> Unknown:
        self.runs[one] = None
        return Unknown()

    def heard(self, teacher: Run | Kept, data: Data, *outputs: str) -> Unknown:
        self.answers |= dict.fromkeys((teacher, data, name) for name in ("logits", *outputs))
        if isinstance(teacher, Run):
            self.runs[teacher] = None
        return Unknown()

    def seen(self, data: Data, split: str) -> Clips:
        self.clips[data, split] = None
        return clips(data, split)

    def train(
        self, net: nn.Module, fit: Clips, validation: Clips, plan: Training, **_: Any
    ) -> Unknown:
        self.single.append((net, len(fit.x), len(validation.x), plan))
        return Unknown()

    def search(self, one: Search, *_: Any, **__: Any) -> Unknown:
        self.searches.append(one)
        return Unknown()


# ---- a world without sound -----------------------------------------------------------------------


@contextlib.contextmanager
def tables_alone() -> Iterator[None]:
    """Inside the block a corpus is its tables, clips have no values, and networks are untrained.

    A `Data` is told from another by its folder: to know what its clips hold, all of them would have
    to be read, 30 GB of TAU.
    """
    opened: dict[Any, Corpus] = {}
    with tempfile.TemporaryDirectory() as place:

        def corpus(data: Data) -> Corpus:
            if isinstance(data.source, Tensors):
                raise NotKnown
            own = (data.source, data.classes)
            if own not in opened:
                folder = Path(str(data.source))
                if isinstance(data.source, CorpusSize):
                    folder = Path(place, str(len(opened)))
                    with patch.object(render, "record", lambda *_: None):
                        render.render(folder, data.source, workers=1)
                devices = {} if data.classes == SCENES else {"devices": None}
                opened[own] = Corpus.open(folder, files=False, classes=data.classes, **devices)
            return opened[own]

        def content(data: Data) -> Any:
            return asdict(data.source) if isinstance(data.source, CorpusSize) else data.source

        clips.cache_clear()
        with (
            patch.object(Data, "corpus", property(corpus)),
            patch.object(Data, "_content", property(content)),
            patch.object(Data, "clips", lambda data, split: clips(data, split)),
            patch.object(Run, "net", lambda one: one.network()),
        ):
            yield


@functools.cache
def clips(data: Data, split: str) -> Clips:
    """The clips of a split without their values: tensors that have a shape and no memory."""
    if isinstance(data.source, Tensors):
        return _CLIPS(data, split)
    table = data.table(split)
    # the profiles have no other views than the authors' six-fold clips
    number = augmented_size(table) if data.views and split == "fit" else len(table)
    shape = (number, *data.front_end.shape())
    labels = torch.empty(number, dtype=torch.int64, device="meta")
    return Clips(torch.empty(shape, device="meta"), labels, np.empty(number, dtype=object))


# ---- a chapter -----------------------------------------------------------------------------------


def rehearse(source: Path, given: dict[str, Any]) -> Asked:
    """What a chapter would train under these parameters; call it inside `tables_alone`."""
    asked, values = Asked(), {"__name__": "__main__"}
    cells = [cell for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    statements = []
    for cell in cells:
        body = ast.parse(cell.source).body
        if "parameters" in cell.metadata.get("tags", ()):
            exec(compile(ast.Module(body, []), source.name, "exec"), values)
            values |= given
        else:
            statements += body
    makers = RUNS | {"Run", "Search", "build", "train"}
    for one in statements:
        if isinstance(one, ast.FunctionDef) and _calls(one, makers):
            makers.add(one.name)
    with _noted(asked), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for statement in leading(statements):
            before = asked.built
            try:
                exec(compile(ast.Module([statement], []), source.name, "exec"), values)
            except Exception as error:  # noqa: BLE001 - of whatever the unknown was given to
                values |= {name: Unknown() for name in _named(statement) if name not in values}
                if _misses(statement, makers, values, asked, before):
                    first = ast.unparse(statement).splitlines()[0]
                    asked.gaps.append(f"{source.stem}: {first} ({type(error).__name__})")
    return asked


@contextlib.contextmanager
def _noted(asked: Asked) -> Iterator[None]:
    """Whatever trains, or asks who was trained, notes it in `asked`."""
    stand_ins: list[tuple[Any, str, Any]] = [
        (Run, "net", asked.net),
        (Run, "train", asked.ask),
        (Run, "folder", asked.ask),
        (Run, "history", asked.ask),
        (Run, "seconds", asked.ask),
        (Run, "answers", lambda one, *outputs: asked.heard(one, one.data, *outputs)),
        (Data, "clips", asked.seen),
        (training, "train", asked.train),
        (search, "kept", asked.search),
    ]
    stand_ins += [(place, "build", asked.build) for place in (runs, run)]
    stand_ins += [(place, "answers", asked.heard) for place in (runs, run)]
    stand_ins += [(place, "run", asked.search) for place in (tuning, search)]
    with contextlib.ExitStack() as stack:
        for place, name, stand_in in stand_ins:
            if isinstance(place, type):  # a method is given its object
                stand_in = functools.partialmethod(_call, stand_in)
            stack.enter_context(patch.object(place, name, stand_in))
        yield


def _call(one: Any, stand_in: Any, *args: Any) -> Any:
    return stand_in(one, *args)


def leading(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Those of a chapter's statements that lead to a training, in their order.

    They ask for one (`ASK`), of something made from an experiment (`BEGIN`); or they give a value
    to a name that such a statement goes on to use.
    """
    touched, ask = set(BEGIN), set(ASK)
    asking = []
    for statement in statements:
        uses = _used(statement)
        asking.append(bool(uses & touched and _words(statement) & ask))
        if uses & touched:
            touched |= _named(statement)
        if isinstance(statement, ast.FunctionDef) and _words(statement) & ask:
            ask.add(statement.name)  # whoever calls it asks
    wanted: set[str] = set()
    kept = []
    for statement, asks in zip(reversed(statements), reversed(asking), strict=True):
        if asks or _named(statement) & wanted:
            if isinstance(statement, (ast.Assign, ast.Import, ast.ImportFrom, ast.FunctionDef)):
                wanted -= _named(statement) - _changed(statement)  # what they were before is lost
            wanted |= _used(statement)
            kept.append(statement)
    return kept[::-1]


def _used(statement: ast.stmt) -> set[str]:
    """The names that must have a value before the statement."""
    inside: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.comprehension, ast.For)):
            inside |= {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
        elif isinstance(node, ast.arg):
            inside.add(node.arg)
    return {one.id for one in ast.walk(statement) if isinstance(one, ast.Name)} - inside


def _words(statement: ast.stmt) -> set[str]:
    """What is called, or handed on to be called: `build(...)`, `map(experiment.clips, ...)`."""
    return {one.attr for one in ast.walk(statement) if isinstance(one, ast.Attribute)} | _used(
        statement
    )


def _calls(statement: ast.stmt, names: set[str]) -> list[ast.Call]:
    """The calls of functions, and of an experiment's methods, with these names."""
    calls = [one for one in ast.walk(statement) if isinstance(one, ast.Call)]
    return [
        one
        for one in calls
        if (isinstance(one.func, ast.Name) and one.func.id in names - RUNS)
        or (isinstance(one.func, ast.Attribute) and one.func.attr in names & RUNS)
    ]


def _misses(
    statement: ast.stmt, makers: set[str], values: dict[str, Any], asked: Asked, built: int
) -> bool:
    """Whether a statement that stopped may have gone on to ask for more.

    Args: built, how often `build` had been called before the statement.
    """
    calls = _calls(statement, makers)
    if isinstance(statement, (ast.For, ast.While)):
        return bool(calls)  # what it would have gone on to is not known
    if asked.built > built:
        return False  # it stopped at what it does with the networks
    everything = whole(asked.runs)
    for call in calls:
        try:
            run = eval(compile(ast.Expression(call), "call", "eval"), values)
        except Exception:  # noqa: BLE001 - what it is given is not known either
            return True
        if not (isinstance(run, Run) and run in everything):
            return True
    return False


def _named(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value, or changes the value of."""
    names = _changed(statement)
    for node in ast.walk(statement):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _changed(statement: ast.stmt) -> set[str]:
    """Of `rows["a"] = 1`, `rows.b = 1` and `rows.append(1)`, rows."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            names.add(_root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names.add(_root(node.value.func))
    return names - {""}


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
