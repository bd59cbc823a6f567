"""What a network is trained, validated and tested on: clips as a front end shows them, or tensors.

Chapter: the data set (book/02_dataset), features (book/03_features).
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib import features, keys, synthesis
from asclib.corpus import Corpus
from asclib.features import LogMel
from asclib.settings import SCENES, CorpusSize
from asclib.store import artefact, root
from asclib.teacher import one_vs_all
from asclib.training import Clips, cores

SPLITS = ("fit", "validation", "train", "test")


@dataclass(frozen=True)
class Tensors:
    """Tensors that `Data.of` has put into the store, by the hash of their content."""

    content: str


@dataclass(frozen=True, eq=False)
class Data:
    """The clips of "fit", "validation", "train" and "test", each a split of `Clips`.

    Two that hold the same are equal, whatever folder they come from.

    Args:
        source: a folder in TAU layout; the size of an embedded corpus, which is rendered when it is
            first needed; or what `Data.of` was given.
        front_end: from waveforms (batch, samples) at a rate in hertz to (batch, 1, mels, frames).
        scene: all labels against this one, 0 for the scene and 1 for any other; None leaves them.
        classes: the names of the labels.
    """

    source: str | CorpusSize | Tensors
    front_end: nn.Module = field(default_factory=LogMel.tmsic)
    scene: str | None = None
    classes: tuple[str, ...] = SCENES

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
        Raises: ValueError for inputs and labels of different number, or a label without a class.
        """
        none = (x_fit[:0], y_fit[:0])
        given = {"fit": (x_fit, y_fit), "validation": (x_validation, y_validation),
                 "test": none if x_test is None else (x_test, y_test)}  # fmt: skip
        arrays = {}
        for split, (x, labels) in given.items():
            if len(x) != len(labels):
                raise ValueError(f"{split}: {len(x)} inputs and {len(labels)} labels: one each")
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
                raise ValueError(
                    f"{split}: labels from {int(labels.min())} to {int(labels.max())} for "
                    f"{len(classes)} classes: give 0 to {len(classes) - 1}"
                )
            arrays[f"{split}_x"] = torch.as_tensor(x, dtype=torch.float32).numpy()
            arrays[f"{split}_labels"] = torch.as_tensor(labels, dtype=torch.int64).numpy()

        def build(folder: Path) -> None:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array)

        folder = artefact("tensors", arrays, build, anywhere=True)
        return cls(Tensors(folder.name), classes=tuple(classes))

    # ---- what makes two of them equal -----------------------------------------------------------

    @functools.cached_property
    def inputs_key(self) -> str:
        """What the inputs depend on: the sound, or the given tensors, and the front end."""
        return keys.digest([self._content, self.front_end])

    @functools.cached_property
    def store_key(self) -> str:
        """What all that is learnt from these clips depends on."""
        return keys.digest([self.inputs_key, self.scene, self.classes])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Data) and other.store_key == self.store_key

    def __hash__(self) -> int:
        return hash(self.store_key)

    def __getstate__(self) -> dict[str, Any]:  # not the clips it has read
        self.store_key  # noqa: B018 - a worker could not read the text of a reader's front end
        fields = ("source", "front_end", "scene", "classes", "inputs_key", "store_key")
        return {name: self.__dict__[name] for name in fields}

    @property
    def _content(self) -> Any:
        if isinstance(self.source, str):
            return self.corpus.fingerprint
        if isinstance(self.source, CorpusSize):
            return [self.source, synthesis.VERSION]
        return self.source

    # ---- clips ----------------------------------------------------------------------------------

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The corpus behind it, opened and checked. Raises: ValueError where tensors were given."""
        if isinstance(self.source, Tensors):
            raise ValueError("these are tensors of one's own: no corpus is behind them")
        folder = Path(self._folder or self.source)
        return _opened(folder, _stamp(folder))

    @functools.cached_property
    def _folder(self) -> Path | None:
        """The folder of the embedded corpus, rendered once; None for any other source."""
        if not isinstance(self.source, CorpusSize):
            return None
        return artefact(
            "corpus",
            asdict(self.source),
            lambda folder: synthesis.render(folder, self.source, workers=cores()),
            version=synthesis.VERSION,
            anywhere=True,
        )

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
        shared = {name: vars(self)[name] for name in ("corpus", "inputs_key") if name in vars(self)}
        vars(other).update(shared)  # read once for ten members
        return other

    def table(self, split: str) -> pd.DataFrame:
        """The clips of one split of the corpus; row i is row i of `clips(split)`."""
        return self.corpus.split(split)

    def clips(self, split: str) -> Clips:
        """Inputs, labels and identifiers of one split.

        The inputs are mapped from a file: processes that train on them share one copy in memory.
        Raises: ValueError naming the splits there are.
        """
        if split not in SPLITS:
            raise ValueError(f"no split {split!r}: choose one of {', '.join(SPLITS)}")
        clips = self._given(split) if isinstance(self.source, Tensors) else self._heard(split)
        if self.scene is None:
            return clips
        return clips._replace(labels=one_vs_all(clips.labels, self.classes.index(self.scene)))

    def _heard(self, split: str) -> Clips:
        table = self.table(split)
        names = hashlib.sha256("\n".join(table["identifier"]).encode()).hexdigest()[:16]
        folder = artefact(
            "clips",
            {"split": split, "clips": names},
            lambda into: np.save(into / "x.npy", features.load(self.features, table)),
            parents=(self.features,),
        )
        labels = torch.tensor([self.classes.index(scene) for scene in table["scene"]])
        return Clips(_mapped(folder / "x.npy"), labels, table["identifier"].to_numpy())

    def _given(self, split: str) -> Clips:
        if split == "train":
            return self._given("fit").joined(self._given("validation"))
        folder = root() / self.source.content
        labels = torch.from_numpy(np.load(folder / f"{split}_labels.npy"))
        names = np.array([f"{split}-{row}" for row in range(len(labels))], dtype=object)
        return Clips(_mapped(folder / f"{split}_x.npy"), labels, names)


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, stamp: int) -> Corpus:
    """A corpus is checked once in a process, until one of its files changes."""
    return Corpus.open(folder)


def _stamp(folder: Path) -> int:
    """A number that is another one when a file of the folder was written, added or removed."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(path, name))
            found.append((path, name, status.st_size, status.st_mtime_ns))
    return hash(tuple(sorted(found)))


def _mapped(path: Path) -> Tensor:
    array = np.load(path, mmap_mode="c")  # c: torch wants to write
    return torch.from_numpy(array)
