"""A trained network is a value: what it is, what it learns from, how, and by whom it is taught.

Equal runs are one artefact of the store: weights.safetensors, history.csv, wall.json and run.json.
`build` trains many side by side, what they need first.

Chapters: book/networks/student, book/distillation/assistants, book/challenges/few_labels.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from asclib import checked, keys
from asclib.distillation.answers import Answers
from asclib.distillation.stages import Stage, another_order, checked_stages, distill
from asclib.networks.outputs import check_outputs, look
from asclib.pretraining.methods import SelfSupervised, pretrain
from asclib.runs.data import Data
from asclib.runs.kept import Kept
from asclib.runs.parallel import side_by_side
from asclib.store import artefact, reserved, root, write_atomic
from asclib.training import Training, at_most, predict, train

# Raised when a training comes to other weights; tests/code_versions.json.
# 2: `contrastive` with its constant, `relational` on centred logits, the published weight of a hint
VERSION = 2
ANSWERED_AT_ONCE = 2_048  # clips: the maps of a whole data set would not fit in memory


@dataclass(frozen=True)
class Lesson:
    """What a teacher adds to the labels: stages, and the teacher or what it has said already."""

    stages: tuple[Stage, ...]
    teacher: Run | Kept | Answers

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", checked_stages(self.stages))
        asked = all(hasattr(self.teacher, name) for name in ("store_key", "net"))
        if not asked:  # whatever has these can be asked, as a Run or a Kept teacher
            remedy = "give a Run, a Kept teacher, or Answers"
            checked.kind("teacher", self.teacher, Answers, remedy)


@dataclass(frozen=True, eq=False)
class Run:
    """One training and all that its weights depend on.

    Args:
        network: makes the untrained network: a class, a `functools.partial`, any function or frozen
            dataclass with `__call__`. It may hold other runs, as the fusion of a teacher holds its
            members: in a field or an argument, where `needs` finds them, not in a closure.
        data: what it learns from.
        plan: epochs, rate, schedule and augmentation; of a `Lesson`, those of each of its stages.
        seed: of initial weights, order of clips and dropout. Same seed, same weights, bit for bit
            on one machine with one set of library versions.
        lesson: None learns from the labels alone, a `Lesson` from a teacher as well, and
            `SelfSupervised` from no label at all.
        start: a run of the same network whose weights this one goes on from, on the same clips or
            on others: pre-trained, or taught something else.
        version: raised by hand when the code of a reader's own changes what it computes unseen.
    """

    network: Callable[[], nn.Module]
    data: Data
    plan: Training
    seed: int = 0
    lesson: Lesson | SelfSupervised | None = None
    start: Run | None = None
    version: int = 1

    def __post_init__(self) -> None:
        remedy = "give what makes an untrained network: a class or a functools.partial"
        if isinstance(self.network, nn.Module) or not callable(self.network):
            raise ValueError(f"network is {checked.shown(self.network)}: {remedy}")
        checked.kind("data", self.data, Data, "give a Data, such as Data(folder) or Data.of(...)")
        checked.kind("plan", self.plan, Training, "give a Training")
        remedy = "give a Lesson, a SelfSupervised, or None"
        checked.kind("lesson", self.lesson, (Lesson, SelfSupervised, NoneType), remedy)
        checked.kind("start", self.start, (Run, NoneType), "give a Run, or None")
        seed = checked.whole_number("seed", self.seed, most=checked.SEED)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "version", checked.whole_number("version", self.version))

    # ---- a value --------------------------------------------------------------------------------

    @functools.cached_property
    def store_key(self) -> str:
        """What the weights depend on, but for the processor and the libraries."""
        return keys.digest([getattr(self, item.name) for item in dataclasses.fields(self)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.store_key == self.store_key

    def __hash__(self) -> int:
        return hash(self.store_key)

    def __repr__(self) -> str:  # all that a teacher is made of would fill a page
        made = getattr(self.network, "func", self.network)
        name = getattr(made, "__name__", type(made).__name__)
        return f"Run({name}, {self.plan.epochs} epochs, seed {self.seed}, {self.store_key})"

    def __getstate__(self) -> dict[str, Any]:
        self.store_key  # noqa: B018 - a worker could not read the text of a reader's own code
        return dict(self.__dict__)

    def needs(self) -> tuple[Run, ...]:
        """The runs that must be there before this one: its start, its teacher, its network's."""
        return tuple(dict.fromkeys(_runs_in([self.network, self.lesson, self.start])))

    # ---- what it leaves -------------------------------------------------------------------------

    def net(self) -> nn.Module:
        """The trained network, in inference mode; trained now where it is missing."""
        folder = self.folder()
        net = self.network()
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        return net.eval()

    def history(self) -> pd.DataFrame:
        """Its epochs, after those of the run it goes on from: see `training.train`.

        Without labels there is a loss and nothing else: these epochs have no validation.
        """
        own = pd.read_csv(self.folder() / "history.csv")
        return pd.concat([self.start.history(), own], ignore_index=True) if self.start else own

    def seconds(self) -> float:
        """How long the training took where it was done, with that of the run it goes on from."""
        own = json.loads((self.folder() / "wall.json").read_text())["seconds"]
        return own + (self.start.seconds() if self.start else 0)

    def answers(self, *outputs: str) -> Answers:
        """What it says of the clips that students learn from; see `answers`."""
        return answers(self, self.data, *outputs)

    def folder(self) -> Path:
        """The artefact, trained now where it is missing, and with it all that it needs."""
        found = self.found()
        if found is None:
            build([self])
            found = self.found()
            assert found is not None  # `build` raises where it cannot
        return found

    def found(self) -> Path | None:
        """The artefact, or None where it is not there; nothing is trained."""
        return self._artefact(None)

    def train(self) -> None:
        """Train this run alone: what it needs must be there."""
        self._artefact(self._fill)

    def _artefact(self, fill: Callable[[Path], None] | None) -> Path | None:
        needed = self.needs()
        parents = tuple(folder for run in needed if (folder := run.found()))
        if len(parents) < len(needed):
            if fill is None:
                return None
            raise ValueError("a run that this one needs is not trained: use build")
        return artefact("run", {"run": self.store_key}, fill, version=VERSION, parents=parents)

    def _fill(self, folder: Path) -> None:
        begun = time.perf_counter()
        torch.manual_seed(self.seed)
        net = self.start.net() if self.start else self.network()
        fit, validation = self.data.clips("fit"), self.data.clips("validation")
        order = another_order(self.seed, self._stages_before)
        if self.lesson is None:
            history = train(net, fit, validation, self.plan, folder=folder, seed=order)
        elif isinstance(self.lesson, SelfSupervised):
            history = pretrain(net, fit, self.lesson, self.plan, seed=order, folder=folder)
        else:
            stages = self.lesson.stages
            said = answers(self.lesson.teacher, self.data, *_compared(stages))
            history = distill(
                net,
                said,
                fit,
                validation,
                stages,
                self.plan,
                seed=self.seed,
                folder=folder,
                first=self._stages_before,
            )
        fields = [item.name for item in dataclasses.fields(self)]
        parts = {name: keys.plain(getattr(self, name)) for name in fields}
        write_atomic(folder / "run.json", json.dumps(parts, indent=1).encode())  # for people
        history.to_csv(folder / "history.csv", index=False)
        save_weights(net, folder)
        seconds = {"seconds": round(time.perf_counter() - begun, 1)}
        write_atomic(folder / "wall.json", json.dumps(seconds).encode())

    @property
    def _stages_before(self) -> int:
        """How many stages its start has been through: each has an order of clips of its own."""
        if self.start is None:
            return 0
        lesson = self.start.lesson
        own = len(lesson.stages) if isinstance(lesson, Lesson) else 1
        return own + self.start._stages_before


def _runs_in(value: Any) -> Iterator[Run]:
    """The runs in a value, at any depth but not inside one another."""
    if isinstance(value, Run):
        yield value
    elif isinstance(value, functools.partial):
        yield from _runs_in([value.func, value.args, value.keywords])
    elif isinstance(value, Mapping):
        yield from _runs_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _runs_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, (type, Data, Answers)):
        yield from _runs_in([getattr(value, item.name) for item in dataclasses.fields(value)])


def save_weights(net: nn.Module, folder: Path) -> None:
    """Write weights.safetensors, and remove the checkpoints that led there."""
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    for checkpoint in folder.rglob("checkpoint.pt"):
        checkpoint.unlink()


# ---- teachers --------------------------------------------------------------------------------


def answers(teacher: Run | Kept | Answers, data: Data, *outputs: str) -> Answers:
    """What a teacher says of the clips to fit, computed once for each output.

    Args: teacher; `outputs`, of `networks.outputs.OUTPUTS`, beside the logits.
    Given answers stay as they are.
    """
    if isinstance(teacher, Answers):
        return teacher
    folder = _answer(teacher, data, "logits")
    identifiers = pd.read_csv(folder / "identifiers.csv", dtype=str)["identifier"].to_numpy()
    files = {
        name: _answer(teacher, data, name) / "answers.npy" for name in outputs if name != "logits"
    }
    # c: torch wants to write; the maps of a large corpus stay on the disk
    others = {name: np.load(path, mmap_mode="c") for name, path in files.items()}
    return Answers(identifiers, np.load(folder / "answers.npy"), others)


def _compared(stages: tuple[Stage, ...]) -> list[str]:
    """The outputs that stages compare, by name."""
    return [name for stage in stages for name in stage.outputs]


def _answer(teacher: Run | Kept, data: Data, output: str) -> Path:
    """The artefact of one output of a teacher: answers.npy and identifiers.csv."""

    def build(folder: Path) -> None:
        clips, net = data.clips("fit"), teacher.net()
        kept = np.float32 if output == "logits" else np.float16  # half the disk for maps
        file: np.memmap | None = None
        start = 0
        for x in clips.x.split(ANSWERED_AT_ONCE):
            said = predict(net, x, lambda x: look(net, x, output)[1]).float().numpy()
            if file is None:
                shape = (len(clips.x), *said.shape[1:])
                file = reserved(folder / "answers.npy", shape, kept)
            file[start : start + len(said)] = said
            start += len(said)
        assert file is not None  # a split has one part at the least
        file.flush()
        identifiers = pd.DataFrame({"identifier": clips.identifiers})
        identifiers.to_csv(folder / "identifiers.csv", index=False)

    recipe = {"teacher": teacher.store_key, "data": data, "split": "fit", "output": output}
    parents = (teacher.folder(),) if isinstance(teacher, Run) else ()
    return artefact("answers", recipe, build, parents=parents)


# ---- many at once ----------------------------------------------------------------------------


def build(runs: Iterable[Run], workers: int | None = None) -> None:
    """Train what is missing of many runs and of all that they need, side by side.

    Args: workers, how many single-threaded processes at the most; None for one a core. One trains
        in this process, as does a GPU, one run after the other.
    Inside `joblib.parallel_config("dask")` they go to the workers of a Dask cluster, which must see
    this store's folder. What is needed by none of the others that wait is trained next.
    Raises: RuntimeError where what the workers have trained is not found from here.
    """
    if workers is not None:
        workers = checked.whole_number("workers", workers, 1)
    missing: dict[Run, None] = {}
    _collect(_listed(runs), missing)
    for run in missing:
        _check_outputs(run)
    while missing:
        ready = [run for run in missing if not any(need in missing for need in run.needs())]
        with at_most(workers):
            for run in ready:  # once, before many workers ask for them
                for split in ("fit", "validation"):
                    run.data.clips(split)
                if isinstance(run.lesson, Lesson):
                    answers(run.lesson.teacher, run.data, *_compared(run.lesson.stages))
        label = f"{len(ready)} of {len(missing)} trainings"
        side_by_side(_train, [(run,) for run in ready], label, workers)
        for run in ready:
            if run.found() is None:
                raise RuntimeError(
                    f"{run} was trained and is not in {root()}: the workers need the ASCLIB_STORE, "
                    "the processor's instructions or GPU, and the libraries of this process"
                )
            del missing[run]


def _listed(runs: Iterable[Run]) -> list[Run]:
    """The runs. Raises: ValueError for a single one, and for what is none."""
    remedy = "give a list of runs"
    if isinstance(runs, (Run, str)) or not isinstance(runs, Iterable):
        raise ValueError(f"runs is {checked.shown(runs)}: {remedy}")
    runs = list(runs)
    for run in runs:
        checked.kind("one of the runs", run, Run, remedy)
    return runs


def _check_outputs(run: Run) -> None:
    """Raises: ValueError for a student without an output of its lesson: before anybody trains."""
    if run.lesson is None or any(_runs_in(run.network)):  # made of networks that are not there yet
        return
    asked = ["embedding"]  # of whoever learns without labels
    if isinstance(run.lesson, Lesson):
        asked = _compared(run.lesson.stages)
    if any(name != "logits" for name in asked):
        with torch.random.fork_rng():
            check_outputs(run.network(), asked)


def _collect(runs: Iterable[Run], missing: dict[Run, None]) -> None:
    for run in runs:
        if run not in missing and run.found() is None:
            _collect(run.needs(), missing)
            missing[run] = None


def _train(run: Run) -> None:
    run.train()
