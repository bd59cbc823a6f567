"""A test of more places: the corpus's own, and the embedded corpus rendered anew under other seeds.

Power is limited by locations, and one rendering has 110 of them. Another has other sounds at each
of its places, though their names are the same: here they carry the name of their rendering.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from torch import nn

from asclib.corpus.folder import Split
from asclib.runs import Data, Experiment, Run
from asclib.store import artefact
from asclib.training import predict

OWN = "own"
FURTHER = (1, 2, 3, 4)  # corpus seeds
CONFIRMATION = 9  # heard once, when all is decided
FEWEST = 90  # training clips that a rendering has to have; they are not used
COLUMNS = ("scene", "device", "recording", "city", "location")  # of a table of test clips


class Asked(Protocol):
    """What can be asked about clips: a run, a teacher, or a network that is made of them."""

    @property
    def store_key(self) -> str: ...

    def net(self) -> nn.Module: ...


def every_test(experiment: Experiment, seeds: Sequence[int] = FURTHER) -> dict[str, Data]:
    """The data whose split "test" is heard, by the name of the rendering; nothing is rendered yet.

    All through the front end of the training data. A folder of recordings has its own test alone.
    Raises: ValueError for the seed that the training corpus itself has.
    """
    found = {OWN: experiment.data}
    if experiment.data_root is None:
        found |= {f"seed {seed}": rendering(experiment, seed) for seed in seeds}
    return found


def rendering(experiment: Experiment, seed: int) -> Data:
    """The test of another corpus seed. Raises: ValueError for that of the training corpus."""
    size = experiment.profile.corpus
    if seed == size.seed:
        raise ValueError(f"corpus seed {seed} is that of the training clips: name another")
    return Data(replace(size, train=FEWEST, seed=seed), front_end=experiment.data.front_end)


def table(tests: Mapping[str, Data]) -> pd.DataFrame:
    """All test clips, rendering after rendering: COLUMNS and `rendering`.

    Recordings and locations of different renderings have different names.
    """
    parts = []
    for name, data in tests.items():
        own = data.table("test")[list(COLUMNS)].assign(rendering=name).astype(str)
        if name != OWN:
            for column in ("recording", "location"):
                own[column] = own[column] + f" of {name}"
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


def said(
    network: Asked, data: Data, split: Split, net: Callable[[], nn.Module] | None = None
) -> np.ndarray:
    """The logits (clips, classes) of a network for one split, kept in the store as 16-bit floats.

    Rows are in the order of `data.clips(split)`. All scores are taken from these, so that whoever
    scores them again finds the same.

    Args: net, what gives the network where nothing is kept yet: `network.net` when None.
    """

    def build(folder: Path) -> None:
        clips = data.clips(split)
        logits = predict((net or network.net)(), clips.x).numpy().astype(np.float16)
        np.save(folder / "logits.npy", logits)

    recipe = {"network": network.store_key, "data": data, "split": split}
    parents = (network.folder(),) if isinstance(network, Run) else ()
    folder = artefact("logits", recipe, build, parents=parents)
    return np.load(folder / "logits.npy")


def said_of_tests(
    network: Asked, tests: Mapping[str, Data], net: Callable[[], nn.Module] | None = None
) -> np.ndarray:
    """The logits of all tests, in the order of `table`. Args: net, as in `said`."""
    net = net or functools.cache(network.net)  # made once for all of them
    return np.concatenate([said(network, data, "test", net) for data in tests.values()])


def said_of_all(run: Run, tests: Mapping[str, Data]) -> np.ndarray:
    """The logits of all tests, in the order of `table`; those of validation are kept as well."""
    said(run, run.data, "validation")
    return said_of_tests(run, tests)
