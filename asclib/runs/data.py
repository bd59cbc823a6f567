"""What a network is trained, validated and tested on: clips as a front end shows them, or tensors.

Chapters: book/networks/student, book/task/dataset.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asclib import checked, features, keys
from asclib.augmentation import clip
from asclib.augmentation.clip import View
from asclib.augmentation.views import show
from asclib.challenge.task import SCENES
from asclib.corpus.embedded import render
from asclib.corpus.embedded.layout import CorpusSize
from asclib.corpus.folder import Corpus, Split
from asclib.corpus.names import composed
from asclib.corpus.tables import SUBSETS
from asclib.features import FrontEnd, LogMel
from asclib.networks.teacher import one_vs_all
from asclib.store import artefact, root
from asclib.training import Clips, cores

SPLITS: tuple[Split, ...] = ("fit", "validation", "train", "test")
LABELLED = ("fit", "validation", "train")  # what a subset is of


@dataclass(frozen=True)
class Tensors:
    """Tensors that `Data.of` has put into the store, by the hash of their content."""

    content: str


@dataclass(frozen=True, eq=False)
class Data:
    """The clips of "fit", "validation", "train" and "test", each a split of `Clips`.

    Two that hold the same are equal, whatever folder they come from.

    `views` shows each clip to fit in several pictures: the split "fit" then holds them all, the
    first under the clip's own identifier, the second as "<identifier>#1" and so on. A teacher is
    asked about every picture that a student learns from.

    Args:
        source: a folder in TAU layout; the size of an embedded corpus, which is rendered when it is
            first needed; or what `Data.of` was given.
        front_end: from waveforms (batch, samples) at a rate in hertz to (batch, 1, mels, frames).
        views: what makes the pictures of a clip to fit (`asclib.augmentation.View`), such as
            `SixFold()` or `Copies(my_function)`; None shows each clip as it is.
        scene: all labels against this one, 0 for the scene and 1 for any other; None leaves them.
        classes: the names of the labels; a folder in TAU layout may have classes of its own, and
            any devices with them.
        subset: 5, 10, 25, 50 or 100: of the clips to fit and to validate on, those alone that are
            in the 2024 subset of that many per cent (`Corpus.split`); None takes all.

    Raises: ValueError for a scene that is none of the classes, for views or a subset of tensors,
    and for a subset that the challenge does not have.
    """

    source: str | Path | CorpusSize | Tensors
    front_end: FrontEnd = field(default_factory=LogMel.tmsic)
    views: View | None = None
    scene: str | None = None
    classes: tuple[str, ...] = SCENES
    subset: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", _named(self.classes))
        checked.one_of("subset", self.subset, (None, *SUBSETS))
        remedy = "name a folder in TAU layout, give a CorpusSize, or tensors to Data.of"
        checked.kind("source", self.source, (str, Path, CorpusSize, Tensors), remedy)
        if isinstance(self.source, (str, Path)):
            if not str(self.source).strip():
                raise ValueError(f"source is {self.source!r}: {remedy}")
            object.__setattr__(self, "source", str(Path(self.source).expanduser()))
        remedy = "give an object that turns waveforms into pictures, such as LogMel.tmsic()"
        checked.function("front_end", self.front_end, remedy)
        if self.views is not None:
            remedy = "give what makes the pictures of a clip, such as SixFold(), or None"
            checked.function("views", self.views, remedy)
        if isinstance(self.source, Tensors) and self.views is not None:
            raise ValueError("views are of sound: change tensors of one's own before `Data.of`")
        if isinstance(self.source, Tensors) and self.subset is not None:
            raise ValueError("subsets are of a corpus: give fewer tensors to `Data.of`")
        if self.scene is not None and self.scene not in self.classes:
            known = ", ".join(self.classes)
            raise ValueError(f"no scene {self.scene!r} among the labels: choose one of {known}")

    @classmethod
    def of(
        cls,
        x_fit: Tensor,
        y_fit: Tensor,
        x_validation: Tensor,
        y_validation: Tensor,
        x_test: Tensor | None = None,
        y_test: Tensor | None = None,
        *,
        classes: Sequence[str],
    ) -> Data:
        """Tensors of one's own: inputs (n, ...) float32 and labels (n,) int64 of any classes.

        They are copied into the store, so that every worker maps them from there. A clip is called
        "fit-0" and so on. Without a test, the split "test" is empty.
        Raises: ValueError for inputs and labels of different number, inputs of different shapes, a
        label without a class, or a test of inputs or of labels alone.
        """
        classes = _named(classes)
        if (x_test is None) != (y_test is None):
            raise ValueError("test: inputs and labels belong together: give both or neither")
        test = (x_fit[:0], y_fit[:0])
        if x_test is not None and y_test is not None:
            test = (x_test, y_test)
        given = {"fit": (x_fit, y_fit), "validation": (x_validation, y_validation), "test": test}
        arrays = {}
        for split, (x, labels) in given.items():
            x, labels = torch.as_tensor(x), torch.as_tensor(labels)
            if len(x) != len(labels):
                raise ValueError(f"{split}: {len(x)} inputs and {len(labels)} labels: one each")
            if labels.ndim != 1 or labels.is_floating_point():
                kind = f"{labels.dtype} of shape {tuple(labels.shape)}"
                raise ValueError(f"{split}: labels are {kind}: give whole numbers (n,), one a clip")
            if not torch.isfinite(x).all():
                raise ValueError(f"{split}: some inputs are NaN or infinite: leave these clips out")
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
                raise ValueError(
                    f"{split}: labels from {int(labels.min())} to {int(labels.max())} for "
                    f"{len(classes)} classes: give 0 to {len(classes) - 1}"
                )
            if len(x) and x.shape[1:] != torch.as_tensor(x_fit).shape[1:]:
                shapes = f"{tuple(x.shape[1:])}, those to fit {tuple(x_fit.shape[1:])}"
                raise ValueError(f"{split}: inputs have shape {shapes}: give all of them one shape")
            arrays[f"{split}_x"] = torch.as_tensor(x, dtype=torch.float32).numpy()
            arrays[f"{split}_labels"] = torch.as_tensor(labels, dtype=torch.int64).numpy()

        def build(folder: Path) -> None:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array)

        folder = artefact("tensors", arrays, build, anywhere=True)
        return cls(Tensors(folder.name), classes=classes)

    # ---- what makes two of them equal -----------------------------------------------------------

    @functools.cached_property
    def inputs_key(self) -> str:
        """What the inputs depend on: the sound, or the given tensors, and the front end."""
        return keys.digest([self._content, self.front_end])

    @functools.cached_property
    def store_key(self) -> str:
        """What all that is learnt from these clips depends on."""
        shown = None if self.views is None else [self.views, clip.VERSION]
        subset = [] if self.subset is None else [self.subset]
        return keys.digest([self.inputs_key, shown, self.scene, self.classes, *subset])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Data) and other.store_key == self.store_key

    def __hash__(self) -> int:
        return hash(self.store_key)

    def __getstate__(self) -> dict[str, Any]:  # not the clips it has read
        self.store_key  # noqa: B018 - a worker could not read the text of a reader's front end
        names = [*(item.name for item in fields(self)), "inputs_key", "store_key"]
        return {name: self.__dict__[name] for name in names}

    @property
    def _content(self) -> Any:
        if isinstance(self.source, str):
            return self.corpus.fingerprint
        if isinstance(self.source, CorpusSize):
            return [self.source, render.VERSION]
        return self.source

    # ---- clips ----------------------------------------------------------------------------------

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The corpus behind it, opened and checked. Raises: ValueError where tensors were given."""
        if isinstance(self.source, Tensors):
            raise ValueError("these are tensors of one's own: no corpus is behind them")
        folder = (
            _rendered(self.source) if isinstance(self.source, CorpusSize) else Path(self.source)
        )
        return _opened(folder, _stamp(folder), self.classes)

    @functools.cached_property
    def features(self) -> Path:
        """The artefact of all clips through the front end, see `features.extract`."""
        return artefact(
            "features",
            {"inputs": self.inputs_key},
            lambda into: features.extract(self.corpus, self.front_end, into, workers=cores()),
            version=features.VERSION,
        )

    def against(self, scene: str) -> Data:
        """The same clips, their labels those of one scene's member: see `scene`."""
        other = replace(self, scene=scene)
        shared: dict[str, Any] = {
            name: vars(self)[name] for name in ("corpus", "inputs_key") if name in vars(self)
        }
        vars(other).update(shared)  # read once for ten members
        return other

    def table(self, split: Split) -> pd.DataFrame:
        """The clips of one split; row i is row i of `clips(split)`, but for views.

        Of a corpus, its own table. Of given tensors what `evaluate` asks for: identifier, scene
        (the class's name), device ("own"), city ("own") and location, each clip at one of its own.
        Where several clips are of one place, write its name there: or intervals come out too
        narrow.
        """
        if not isinstance(self.source, Tensors):
            return self.corpus.split(split, self.subset if split in LABELLED else None)
        clips = _given(self.source, _of_splits(split))
        scenes = [self.classes[label] for label in clips.labels.tolist()]
        names = {"identifier": clips.identifiers, "scene": scenes, "device": "own", "city": "own"}
        return pd.DataFrame(names | {"location": clips.identifiers}, index=range(len(scenes)))

    def clips(self, split: Split) -> Clips:
        """Inputs, labels and identifiers of one split.

        The inputs are mapped from a file: processes that train on them share one copy in memory.
        Raises: ValueError naming the splits there are.
        """
        split, source = _of_splits(split), self.source
        clips = _given(source, split) if isinstance(source, Tensors) else self._heard(split)
        if self.scene is None:
            return clips
        return clips._replace(labels=one_vs_all(clips.labels, self.classes.index(self.scene)))

    def _heard(self, split: Split) -> Clips:
        if split == "fit" and self.views is not None:
            return self._seen(self.views)
        table = self.table(split)
        names = hashlib.sha256("\n".join(table["identifier"]).encode()).hexdigest()[:16]
        folder = artefact(
            "clips",
            {"split": split, "clips": names},
            lambda into: np.save(into / "x.npy", features.load(self.features, table)),
            parents=(self.features,),
        )
        return Clips(_mapped(folder / "x.npy"), self._labels(table), table["identifier"].to_numpy())

    def _seen(self, views: View) -> Clips:
        """The clips to fit in all their views."""
        table = self.table("fit")
        subset = {} if self.subset is None else {"subset": self.subset}
        folder = artefact(
            "views",
            {"inputs": self.inputs_key, "views": keys.plain(views), "made": clip.VERSION} | subset,
            lambda into: show(self.corpus, table, views, self.front_end, into, workers=cores()),
            version=features.VERSION,
        )
        rows, view = np.load(folder / "rows.npy").T
        shown = zip(table["identifier"].to_numpy()[rows], view, strict=True)
        names = [f"{name}#{n}" if n else name for name, n in shown]
        labels = self._labels(table)[rows]
        return Clips(_mapped(folder / "x.npy"), labels, np.array(names, dtype=object))

    def _labels(self, table: pd.DataFrame) -> Tensor:
        return torch.tensor([self.classes.index(scene) for scene in table["scene"]])


def _named(classes: Iterable[str]) -> tuple[str, ...]:
    """The classes. Raises: ValueError for none, one named twice, or what is no name."""
    remedy = 'give their names, such as ("dog", "siren")'
    if isinstance(classes, (str, Set)) or not isinstance(classes, Iterable):  # a set has no order
        raise ValueError(f"classes is {checked.shown(classes)}: {remedy}")
    names = tuple(classes)
    for name in names:
        checked.kind("a class", name, str, remedy)
    if len(set(names)) < max(1, len(names)):
        raise ValueError(f"classes is {checked.shown(names)}: {remedy}, each once")
    return tuple(composed(str(name)) for name in names)  # as the tables of a corpus are read


def _of_splits(split: Split) -> Split:
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: choose one of {', '.join(SPLITS)}")
    return split


def _given(source: Tensors, split: Split) -> Clips:
    if split == "train":
        return _given(source, "fit").joined(_given(source, "validation"))
    folder = root() / source.content
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is gone: give the tensors to Data.of again")
    labels = torch.from_numpy(np.load(folder / f"{split}_labels.npy"))
    names = np.array([f"{split}-{row}" for row in range(len(labels))], dtype=object)
    return Clips(_mapped(folder / f"{split}_x.npy"), labels, names)


def _rendered(size: CorpusSize) -> Path:
    """The folder of the embedded corpus of that size, rendered now where it is missing."""
    return artefact(
        "corpus",
        asdict(size),
        lambda folder: render.render(folder, size, workers=cores()),
        version=render.VERSION,
        anywhere=True,
    )


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, stamp: int, classes: tuple[str, ...]) -> Corpus:
    """A corpus is checked once in a process, until one of its files changes."""
    if classes == SCENES:
        return Corpus.open(folder)
    return Corpus.open(folder, classes=classes, devices=None)  # nor are the devices TAU's


def _stamp(folder: Path) -> int:
    """A number that is another one when a file of the folder was written, added or removed."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(path, name))
            found.append((path, name, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return hash(tuple(sorted(found)))


def _mapped(path: Path) -> Tensor:
    array = np.load(path, mmap_mode="c")  # c: torch wants to write
    return torch.from_numpy(array)
