"""Augmentation: more training clips than were recorded, and devices that nobody held.

Two recipes stand side by side. The authors of TMSIC multiplied the clips of all devices but a by
six before training, with audiomentations and masked mel bands (`tmsic_versions`). Later winners
change the clips while training instead: Freq-MixStyle, device impulse responses, mixup, rolling.

Whatever concerns one clip (numpy) draws from a generator named after the seed, the clip and what is
drawn, so that it is the same in any order, batch or process; a seed may be a tuple, (seed, epoch)
for another draw each epoch. What pairs the clips of a batch (torch) takes a torch.Generator. No
function writes to its input; one that leaves a clip alone may return that very array.

Chapter: book/input/augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import audiomentations
import numpy as np
import pandas as pd
import torch
from scipy.fft import irfft, rfft, rfftfreq
from scipy.signal import fftconvolve

from asclib import checked
from asclib.augmentation.batch import check_probability
from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.embedded.devices import Device, response
from asclib.corpus.embedded.scenes import generator as named_generator
from asclib.features import LogMel, resample

# What `Data` shows of a clip to fit: its waveform (samples,) at 44.1 kHz, its row of the clip table
# and the front end -> (k, 1, mels, frames) pictures.
View = Callable[[np.ndarray, Any, Any], np.ndarray]

VERSION = 1  # raised when a view comes to other pictures: tests/code_versions.json
REFERENCE_DEVICE = "a"  # the recorder of most training clips
VERSIONS = (
    "clip",
    "waveform 1",
    "waveform 2",
    "masked clip",
    "masked waveform 1",
    "masked waveform 2",
)
COPIES = {"waveform 1": 0.5, "waveform 2": 0.25}  # probability of each of the four transforms
MASK_PROBABILITY = 0.25  # of each of two masks, the first of which sets its bands to 0 nepers
SEMITONES = (-2.0, 2.0)
SHIFT = (-0.25, 0.25)  # of the clip
RATES = (0.9, 1.15)
SILENCED = (0.05, 0.1)  # of the clip
MASKED_BANDS = (0.03, 0.1)  # of the mel bands
# What audiomentations did in the authors' time; it has since gained another method, and fades.
_VOCODER = {"method": "librosa_phase_vocoder"}


# ---- the authors' recipe ---------------------------------------------------------------------


def augmented_size(clips: pd.DataFrame) -> int:
    """How many items `tmsic_versions` makes of a clip table: one of device a's clips, else six.

    Raises: ValueError for a table that does not tell each clip's device.
    """
    if "device" not in clips or clips["device"].isna().any():
        raise ValueError("the device of some clips is unknown: pass clips of a training split")
    others = int((clips["device"] != REFERENCE_DEVICE).sum())
    return len(clips) + (len(VERSIONS) - 1) * others


def tmsic_versions(
    x: np.ndarray,
    identifier: str,
    device: str,
    log_mel: LogMel,
    *,
    seed: object,
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """The features of one clip and of its versions, as the authors of TMSIC trained on them.

    Two versions of the waveform, made at the rate of the spectrum (8 kHz) as theirs were, and
    versions of all three with mel bands masked, first by 0 nepers, then by the mean. Any of these
    may equal its origin, for each transform happens by chance. (ipleiria-robotics/DCASE, 2023)

    Args:
        x: (samples,) float waveform at `sample_rate` hertz.
        identifier, device: of the clip, columns of `Corpus.clips`.

    Returns: (6, 1, mels, frames) float32 in nepers in the order of VERSIONS; for a clip of device
    a, which the authors did not augment, (1, 1, mels, frames).
    """
    _check_waveform(x)
    clip = log_mel(x[None], sample_rate).cpu().numpy()
    if device == REFERENCE_DEVICE:
        return clip
    slow = resample(torch.from_numpy(x)[None], sample_rate, log_mel.sample_rate)[0].numpy()
    waves = [
        perturb(slow, log_mel.sample_rate, p, seed=seed, identifier=identifier, what=name)
        for name, p in COPIES.items()
    ]
    plain = [*clip, *log_mel(np.stack(waves), log_mel.sample_rate).cpu().numpy()]
    masked = []
    for picture, name in zip(plain, VERSIONS[len(plain) :], strict=True):
        for fill in (0.0, "mean"):
            picture = frequency_mask(
                picture,
                MASK_PROBABILITY,
                fill=fill,
                seed=seed,
                identifier=identifier,
                what=f"{name}, {fill}",
            )
        masked.append(picture)
    return np.stack(plain + masked)


def perturb(
    x: np.ndarray, sample_rate: int, p: float, *, seed: object, identifier: str, what: str
) -> np.ndarray:
    """A waveform after audiomentations' PitchShift, Shift, TimeStretch and TimeMask, in this order.

    Each happens with probability p: up to 2 semitones up or down; a roll by up to a quarter of the
    clip; 0.9 to 1.15 times the tempo, where what a faster clip lacks at its end is silence; 5 to
    10 % of the clip silenced.

    Args:
        x: (samples,) float waveform at `sample_rate` hertz; audiomentations computes in float32.
        what: names this version: another name, another draw.

    Returns: as many samples, of the same type.
    """
    _check_waveform(x)
    check_probability(p)
    rng = named_generator(seed, identifier, what)
    # Drawn here and frozen: audiomentations draws from Python's one global generator.
    happens = rng.uniform(size=4) < p
    least, most = (int(part * len(x)) for part in SILENCED)
    silenced = int(rng.integers(least, most, endpoint=True))
    transforms: tuple[tuple[Any, dict[str, Any]], ...] = (
        (
            audiomentations.PitchShift(*SEMITONES, **_VOCODER),
            {"num_semitones": rng.uniform(*SEMITONES)},
        ),
        (audiomentations.Shift(*SHIFT, fade_duration=0.0), {"shift_amount": rng.uniform(*SHIFT)}),
        (audiomentations.TimeStretch(*RATES, **_VOCODER), {"rate": rng.uniform(*RATES)}),
        (
            audiomentations.TimeMask(*SILENCED, fade_duration=0.0),
            {"t": silenced, "t0": int(rng.integers(len(x) - silenced, endpoint=True))},
        ),
    )
    y = x.astype(np.float32)
    for (transform, drawn), should_apply in zip(transforms, happens, strict=True):
        transform.parameters = {"should_apply": bool(should_apply), **drawn}
        transform.freeze_parameters()
        y = transform(y, sample_rate)
    return y.astype(x.dtype) if happens.any() else x


# ---- one clip at a time ----------------------------------------------------------------------


def frequency_mask(
    x: np.ndarray,
    p: float = 1.0,
    *,
    share: tuple[float, float] = MASKED_BANDS,
    fill: float | str = "mean",
    seed: object,
    identifier: str,
    what: str = "frequency mask",
) -> np.ndarray:
    """Hide adjacent mel bands, with probability p.

    The frequency masking of SpecAugment (Park et al. 2019, arXiv 1904.08779). The count is uniform
    over the whole numbers between the two shares of the bands, rounded, and the place is uniform
    too (audiomentations' SpecFrequencyMask).

    Args:
        x: (..., mels, frames) log-mel in nepers.
        share: least and largest part of the bands to hide, each in [0, 1].
        fill: nepers to put there, or "mean", the mean of what is hidden.

    Returns: the same shape and type.
    """
    check_probability(p)
    low, high = share
    if not 0 <= low <= high <= 1:
        raise ValueError(f"share {share} must be two parts of the bands, such as {MASKED_BANDS}")
    if isinstance(fill, str) and fill != "mean":
        raise ValueError(f"fill is 'mean' or a number of nepers, not {fill!r}")
    if x.ndim < 2:
        raise ValueError(f"expected (..., mels, frames), got shape {tuple(x.shape)}")
    rng = named_generator(seed, identifier, what)
    if rng.uniform() >= p:
        return x
    mels = x.shape[-2]
    count = int(rng.integers(round(low * mels), round(high * mels), endpoint=True))
    first = int(rng.integers(mels - count, endpoint=True))
    masked = np.array(x)
    if count:
        block = masked[..., first : first + count, :]
        block[...] = block.mean(dtype=np.float64) if fill == "mean" else fill
    return masked


def time_roll(x: np.ndarray, limit: int, *, seed: object, identifier: str) -> np.ndarray:
    """Roll a waveform round by up to `limit` samples either way; none is lost.

    The DCASE baselines of 2023 and later roll by up to 0.1 s: limit = sample_rate // 10.

    Args: x (..., samples); limit, a whole number below the clip's length.
    Returns: the same shape and type; all 2 * limit + 1 shifts are equally likely.
    """
    if limit != int(limit) or not 0 <= limit < x.shape[-1]:
        raise ValueError(f"limit {limit} must be a whole number of samples, 0 to {x.shape[-1] - 1}")
    rng = named_generator(seed, identifier, "time roll")
    return np.roll(x, int(rng.integers(-int(limit), int(limit), endpoint=True)), axis=-1)


def impulse_response(
    device: Device, sample_rate: int = SAMPLE_RATE, samples: int = 2048
) -> np.ndarray:
    """The minimum-phase impulse response of a device of the embedded corpus: (samples,) float64.

    Its magnitude is that of `asclib.corpus.embedded.devices.response`; compression, clipping and
    noise are not linear and not in it. Of RECORDERS, use the seen devices alone: s4 to s6 would be
    unseen no longer.

    Minimum phase, since a real device answers at once: the logarithm of the magnitude has an even
    cepstrum, which is folded onto positive times (Oppenheim & Schafer, Discrete-Time Signal
    Processing, on the cepstrum).
    """
    if samples < 1:
        raise ValueError(f"samples must be positive, not {samples}: 2048 hold 46 ms at 44.1 kHz")
    n = max(2**16, 2 ** (8 * samples - 1).bit_length())  # long, so that the cepstrum has died away
    cepstrum = irfft(np.log(response(device, rfftfreq(n, 1 / sample_rate))), n)
    cepstrum[1 : n // 2] *= 2
    cepstrum[n // 2 + 1 :] = 0
    return irfft(np.exp(rfft(cepstrum)), n)[:samples]


def other_device(
    x: np.ndarray,
    device: str,
    responses: Sequence[np.ndarray],
    p: float = 0.6,
    *,
    seed: object,
    identifier: str,
) -> np.ndarray:
    """A clip of device a as another device might have recorded it, with probability p.

    Device impulse response augmentation (Morocutti et al. 2023, arXiv 2305.07499): convolution with
    one of `responses`, equally likely, cut to the length of the clip. Clips of other devices stay
    as they are. The winners of 2023 (CP-JKU) take p = 0.6.

    Args:
        x: (samples,) float waveform.
        device: of the clip, a column of `Corpus.clips`.
        responses: impulse responses at the rate of x: `impulse_response`, or measured ones.

    Returns: as many samples, of the same type.
    """
    _check_waveform(x)
    check_probability(p)
    if len(responses) == 0 or any(np.ndim(one) != 1 or len(one) == 0 for one in responses):
        raise ValueError("responses must be one or more arrays of shape (samples,), none empty")
    rng = named_generator(seed, identifier, "other device")
    if device != REFERENCE_DEVICE or rng.uniform() >= p:
        return x
    chosen = np.asarray(responses[int(rng.integers(len(responses)))], dtype=np.float64)
    return fftconvolve(x.astype(np.float64), chosen)[: len(x)].astype(x.dtype)


def _check_waveform(x: np.ndarray) -> None:
    if not isinstance(x, np.ndarray) or x.ndim != 1 or x.dtype.kind != "f":
        kind = f"{getattr(x, 'dtype', type(x).__name__)} of shape {np.shape(x)}"
        raise ValueError(f"expected one waveform, a numpy array (samples,) of floats, got {kind}")


# ---- for Data.views ------------------------------------------------------------------------------


@dataclass(frozen=True)
class SixFold:
    """The authors' six-fold clips of devices other than a: see `tmsic_versions`."""

    seed: object = 0

    def __call__(self, x: np.ndarray, clip: Any, log_mel: LogMel) -> np.ndarray:
        return tmsic_versions(x, clip.identifier, clip.device, log_mel, seed=self.seed)


@dataclass(frozen=True)
class Copies:
    """A clip as it is, and `number` copies that a function of waveforms has changed.

    Args:
        change: (waveform (samples,), sample_rate in hertz, numpy.random.Generator) -> waveform.
        number: of copies; 0 shows the clip alone.
        seed: of what is drawn; each clip and copy has a generator of its own.
    """

    change: Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
    number: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        remedy = "give a function of a waveform, its rate and a generator"
        checked.function("change", self.change, remedy)
        for name in ("number", "seed"):
            object.__setattr__(self, name, checked.whole_number(name, getattr(self, name)))

    def __call__(self, x: np.ndarray, clip: Any, log_mel: LogMel) -> np.ndarray:
        waves = [x]
        for copy in range(self.number):
            rng = named_generator(self.seed, clip.identifier, f"copy {copy}")
            waves.append(np.asarray(self.change(x, SAMPLE_RATE, rng), dtype=x.dtype))
        return log_mel(np.stack(waves)).cpu().numpy()
