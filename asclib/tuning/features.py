"""The space in which the small input configuration was found: 140 bands x 8 frames at 8 kHz.

Sampling rate x length of the transform x hop x bands, as in the published search. All are tried
with networks of one form: of one width, cheap for small inputs, or for each input as wide as
`Effort.macs` allows, so that none is cheaper than another.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import torch

from asclib.challenge.task import SCENES
from asclib.corpus.audio import read_audio
from asclib.features import BATCH, VERSION, LogMel
from asclib.runs.data import Data
from asclib.store import artefact, reserved
from asclib.training import Clips
from asclib.tuning.architecture import Architecture

SAMPLE_RATES = (8000, 16000, 22050, 44100)  # hertz
N_FFTS = (256, 512, 1024, 2048)  # samples
HOPS = (25, 50, 75)  # per cent of n_fft
N_MELS = tuple(range(20, 301, 20))

# The form, and the width where inputs may differ in cost: so small that the limit of 30 MMAC leaves
# room for inputs of 16,000 values.
NETWORK = Architecture(
    filters=(8, 16, 16, 0),
    kernels=((3, 3), (3, 3), (3, 3), (3, 3)),
    pools=((2, 2), (2, 2)),
    dropouts=(0.0, 0.0, 0.0, 0.2),
    dense=64,
)


class EmptyFilters(ValueError):
    """Mel bands narrower than the distance of two Fourier bins hear nothing."""


@dataclass(frozen=True)
class Configuration:
    """One input: hertz, samples of the transform, hop in per cent of it, mel bands.

    The default is the authors' choice.
    """

    sample_rate: int = 8000
    n_fft: int = 2048
    hop_percent: int = 50
    n_mels: int = 140

    def log_mel(self) -> LogMel:
        """The front end of this configuration.

        Raises: EmptyFilters saying how many bands hear nothing.
        """
        hop = self.n_fft * self.hop_percent // 100
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said again, as an error, two lines below
            log_mel = LogMel(self.sample_rate, self.n_fft, hop, self.n_mels)
        empty = int((log_mel.filters.sum(1) < 1e-9).sum())
        if empty:
            raise EmptyFilters(f"{empty} of {self.n_mels} mel filters are empty")
        return log_mel


def suggest(trial: optuna.trial.BaseTrial) -> Configuration:
    """The configuration of one trial."""
    return Configuration(
        trial.suggest_categorical("sample_rate", SAMPLE_RATES),
        trial.suggest_categorical("n_fft", N_FFTS),
        trial.suggest_categorical("hop_percent", HOPS),
        trial.suggest_int("n_mels", N_MELS[0], N_MELS[-1], step=N_MELS[1] - N_MELS[0]),
    )


def parameters(configuration: Configuration) -> dict[str, int]:
    """The same point as the names and values that `suggest` asks for."""
    return asdict(configuration)


def clips(data: Data, configuration: Configuration, table: pd.DataFrame) -> Clips:
    """Log-mel of the clips of a table under one configuration, computed once and stored.

    Args: table, rows of the corpus behind the data. Returns: x (n, 1, mels, frames) in nepers.
    Raises: EmptyFilters.
    """
    log_mel = configuration.log_mel()
    identifiers = table["identifier"].to_numpy()
    root = data.corpus.root

    def build(folder: Path) -> None:
        shape = (len(table), *log_mel.shape())
        x = reserved(folder / "x.npy", shape)
        for first in range(0, len(table), BATCH):
            names = table["filename"].iloc[first : first + BATCH]
            x[first : first + BATCH] = log_mel(np.stack([read_audio(root / n) for n in names]))
        x.flush()

    folder = artefact(
        "tuning_clips",
        {
            "inputs": replace(data, front_end=log_mel).inputs_key,
            "clips": hashlib.sha256("\n".join(identifiers).encode()).hexdigest()[:16],
        },
        build,
        version=VERSION,
    )
    x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="c"))
    labels = torch.tensor([SCENES.index(scene) for scene in table["scene"]])
    return Clips(x, labels, identifiers)
