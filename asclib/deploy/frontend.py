"""The front end in C: from samples at 44.1 or 48 kHz to the int8 picture that the network takes.

`c/frontend.c` computes what `asclib.features.LogMel` does, in floats, as the samples come. This
module makes its tables and writes both into a folder. Two filters bring the samples to 8 kHz: a
short one to 16 kHz, which stops only what would fold onto the band below 4 kHz, and a sharp one
from there, fitted by least squares so that both together have the response of soxr, measured.
`EXACT` equals LogMel; `CHEAP` costs a chip half the multiplications and is 0.003 nepers off on
average. Soxr's kernel as it stands, 1,218 taps at 48 kHz, would cost five times those of EXACT.

Chapter: book/compression/chip.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from asclib.features import EPS, LogMel

SOURCES = Path(__file__).with_name("c")
# Sums in one order and no fused steps: the same bits from every compiler, on every processor.
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off")
RATES = (44_100, 48_000)  # hertz of samples
MIDDLE = 16_000  # hertz between the filters
OUTPUT = 8000  # hertz of the spectrum
DECIMALS = 9  # of a filter's tap, as written
EDGE_INPUTS, EDGE_OUTPUTS = 400, 130  # samples that soxr's beginning touches, to 1e-6


@dataclass(frozen=True)
class LowPass:
    """How well the two filters do.

    Args:
        reach: half the length of the first, in samples of 16 kHz.
        beta: of its Kaiser window; more stops more, and needs a longer reach.
        half: taps of the second at 16 kHz, from its centre on; in fours.
        floor: below this response the fit's errors count as absolute, not as relative ones.
        edges: terms of soxr's own beginning of a clip that are added; from 3 on equal to 1e-3.
    Raises: ValueError when the C code cannot run it.
    """

    reach: float
    beta: float
    half: int
    floor: float
    edges: int

    def __post_init__(self) -> None:
        if self.half < 4 or self.half % 4:
            raise ValueError(f"half must be a multiple of 4, not {self.half}: the loop takes fours")
        if self.edges and self.half * min(RATES) < EDGE_INPUTS * MIDDLE:
            raise ValueError(
                f"half {self.half} gives the first output before all {EDGE_INPUTS} inputs of the "
                "edge are there: leave edges at 0"
            )

    @property
    def early(self) -> int:
        """Outputs of the first filter before a second that its first samples reach."""
        return int(self.reach)


# What either costs a Cortex-M4 is in results/firmware.json; tests hold the program to it.
EXACT = LowPass(reach=7.5, beta=11.2, half=208, floor=1e-2, edges=3)
CHEAP = LowPass(reach=4.0, beta=6.0, half=96, floor=0.1, edges=0)


# ---- filters ---------------------------------------------------------------------------------


def ratio(rate: int, target: int) -> tuple[int, int]:
    """(phases, step): output n lies at input n * step / phases."""
    common = int(np.gcd(rate, target))
    return target // common, rate // common


def first_kernel(t: np.ndarray, low_pass: LowPass) -> np.ndarray:
    """A sinc under a Kaiser window at t, in samples of 16 kHz: half an 8 kHz-wide roll-off."""
    inside = np.clip(1 - (t / low_pass.reach) ** 2, 0, None)
    window = np.i0(low_pass.beta * np.sqrt(inside)) / np.i0(low_pass.beta)
    return np.sinc(t) * window * (np.abs(t) < low_pass.reach)


def first_half(rate: int, low_pass: LowPass) -> int:
    """Inputs on either side of an output that the first filter reaches, in fours."""
    return 4 * int(np.ceil(low_pass.reach * rate / MIDDLE / 4))


def first_filter(rate: int, low_pass: LowPass) -> np.ndarray:
    """The taps of each phase, (phases, 2 half): for inputs half - 1 before an output to half after.

    At one phase, from 48 kHz, they are symmetric: (1, half), from the centre on, it halved.
    """
    (phases, step), half = ratio(rate, MIDDLE), first_half(rate, low_pass)
    if phases == 1:
        taps = first_kernel(np.arange(half)[None] / step, low_pass) / step
        taps[:, 0] /= 2
        return taps
    places = np.arange(phases)[:, None] + phases * (half - 1 - np.arange(2 * half))
    return first_kernel(places / step, low_pass) * phases / step


@functools.cache
def second_filter(rate: int, low_pass: LowPass) -> np.ndarray:
    """(half,) taps at 16 kHz: together with the first filter, soxr's response.

    Least squares over 0 to 8 kHz, relative to the response where that is above the floor. From the
    centre on, it halved so that every tap stands for a pair.
    """
    hertz = np.arange(0, MIDDLE // 2 + 1, 4)
    wanted = np.zeros(len(hertz))
    wanted[hertz <= OUTPUT // 2] = soxr_response(rate)[::4]
    fine = np.arange(-20 * 32, 20 * 32 + 1) / 32  # 32 points for each sample of 16 kHz
    first = np.cos(2 * np.pi * np.outer(hertz, fine) / MIDDLE) @ first_kernel(fine, low_pass) / 32
    weight = 1 / np.maximum(wanted, low_pass.floor)
    cosines = np.cos(2 * np.pi * np.outer(hertz, np.arange(low_pass.half)) / MIDDLE)
    cosines *= 2
    rows = cosines * (first * weight)[:, None]
    return np.linalg.lstsq(rows, wanted * weight, rcond=None)[0]


def response(rate: int, low_pass: LowPass, hertz: np.ndarray) -> np.ndarray:
    """The gain of both filters from `rate` to 8 kHz at frequencies `hertz`, up to half the rate.

    Tones above 4 kHz fold onto the band below; what is left of them there is their gain.
    """
    taps, (phases, _) = first_filter(rate, low_pass), ratio(rate, MIDDLE)
    half = first_half(rate, low_pass)
    places = np.arange(half)
    if phases > 1:
        places = np.arange(phases)[:, None] + phases * (half - 1 - np.arange(2 * half))
    angles = 2 * np.pi * np.outer(hertz, places / (rate * phases))
    first = np.cos(angles) @ taps.ravel() * (2 if phases == 1 else 1 / phases)
    folded = hertz - MIDDLE * np.rint(hertz / MIDDLE)
    angles = 2 * np.pi * np.outer(folded, np.arange(low_pass.half)) / MIDDLE
    return np.abs(first * (2 * np.cos(angles) @ second_filter(rate, low_pass)))


def low_passed(sound: np.ndarray, low_pass: LowPass) -> np.ndarray:
    """(n,) samples at 48 kHz -> (n / 6,) at 8 kHz by both filters, with silence before and after.

    What `c/frontend.c` computes, but for the terms of soxr's beginning and the last bits.
    """
    for taps, rate, target in (
        (first_filter(48_000, low_pass)[0], 48_000, MIDDLE),
        (second_filter(48_000, low_pass), MIDDLE, OUTPUT),
    ):
        kernel = np.r_[taps[:0:-1], 2 * taps[0], taps[1:]]
        sound = np.convolve(sound, kernel, "same")[:: rate // target]
    return sound


def soxr_response(rate: int) -> np.ndarray:
    """(4001,) the gain of soxr HQ from `rate` to 8 kHz at 0, 1, ..., 4,000 Hz.

    The spectrum of what becomes of one sample: nothing above 4 kHz is left that could fold onto it.
    """
    return np.abs(np.fft.rfft(_impulse(rate, rate // 2))) * rate / OUTPUT


def soxr_edges(rate: int, terms: int) -> tuple[np.ndarray, np.ndarray]:
    """What soxr does otherwise in the first samples of a clip than later on, where zeros precede.

    It loses a sample between its own stages. The difference of output n for each unit of input i
    is the sum over `terms` of inputs[:, i] * outputs[:, n], by singular value decomposition.
    Returns: inputs (terms, EDGE_INPUTS), outputs (terms, EDGE_OUTPUTS).
    """
    later, moved = rate // 10, OUTPUT // 10
    differences = np.stack(
        [
            _impulse(rate, i)[:EDGE_OUTPUTS]
            - _impulse(rate, i + later)[moved : moved + EDGE_OUTPUTS]
            for i in range(EDGE_INPUTS)
        ]
    )
    u, s, v = np.linalg.svd(differences, full_matrices=False)
    return (u * s).T[:terms], v[:terms]


def _impulse(rate: int, place: int) -> np.ndarray:
    """(8000,) what soxr makes of a second of silence with one sample of 1 in it."""
    second = np.zeros(rate)
    second[place] = 1
    return soxr.resample(second, rate, OUTPUT, quality="HQ")


def multiplications(rate: int, low_pass: LowPass) -> int:
    """Of both filters, for a second of samples at `rate`."""
    return MIDDLE * first_filter(rate, low_pass).shape[1] + OUTPUT * low_pass.half


def silence(log_mel: LogMel) -> np.ndarray:
    """(bands,) nepers of a frame of digital silence: ln(eps), but for what the window smears."""
    window, filters = log_mel.window.numpy(), log_mel.filters.numpy()
    return np.log(filters @ np.abs(np.fft.rfft(EPS * window)) + EPS)


# ---- as C ------------------------------------------------------------------------------------


def tables(
    low_pass: LowPass = EXACT, rates: Iterable[int] = RATES, log_mel: LogMel | None = None
) -> str:
    """frontend_tables.h, as C.

    Args: low_pass, EXACT or CHEAP; rates in hertz of the samples to come, each with filters of its
        own; log_mel, LogMel.tmsic() when None, or another number of bands.
    Raises: ValueError for another spectrum than the C code computes, or an unknown rate.
    """
    log_mel, rates = log_mel or LogMel.tmsic(), tuple(rates)
    fixed = {"sample_rate": OUTPUT, "n_fft": 2048, "hop": 1024, "pad": "reflect"}
    for name, value in (fixed | {"win_length": 2048}).items():
        if log_mel.settings[name] != value:
            raise ValueError(
                f"frontend.c computes {name}={value!r}, not {log_mel.settings[name]!r}: only the "
                "number of bands is free"
            )
    if not rates or not set(rates) <= set(RATES):
        raise ValueError(f"rates are among {RATES} hertz, not {rates}: resample beforehand")
    floor = silence(log_mel)
    constants = {
        "BANDS": log_mel.n_mels,
        "EPS": _float(EPS),
        "SILENCE_LOWEST": _float(floor[0]) + " /* nepers of band 0 in digital silence */",
        "SILENCE": _float(floor[-1]) + " /* of the highest band, ln(eps) */",
        "FIRST_HALF": max(first_half(rate, low_pass) for rate in rates),
        "SECOND_HALF": low_pass.half,
        "EARLY": low_pass.early,
        "EDGES": low_pass.edges,
        "EDGE_INPUTS": EDGE_INPUTS,
        "EDGE_OUTPUTS": EDGE_OUTPUTS,
    }
    lines = [
        "/* Written by asclib.deploy.frontend: constants, and with FRONTEND_TABLES the tables. */",
        "#ifndef FRONTEND_TABLES_H",
        "#define FRONTEND_TABLES_H",
        *(f"#define FRONTEND_{name} {value}" for name, value in constants.items()),
        "#endif",
        "#ifdef FRONTEND_TABLES",
        _array("COSINE", np.cos(2 * np.pi * np.arange(2048) / 2048)),
        *_bands(log_mel.filters.numpy()),
        *(_filters(rate, low_pass) for rate in rates),
        "static const struct plan {",
        "    int32_t rate;",
        "    int phases, step, half;",
        "    const float *first, *second, *edge_inputs, *edge_outputs;",
        "} PLANS[] = {",
        *(_plan(rate, low_pass) for rate in rates),
        "};",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def write(
    folder: str | Path,
    low_pass: LowPass = EXACT,
    rates: Iterable[int] = RATES,
    log_mel: LogMel | None = None,
) -> list[Path]:
    """Write frontend.c, frontend.h and frontend_tables.h into a folder; returns their paths.

    Args and errors: see `tables`. Compile with FLAGS.
    """
    folder, text = Path(folder), tables(low_pass, rates, log_mel)
    folder.mkdir(parents=True, exist_ok=True)
    written = [Path(shutil.copy(SOURCES / name, folder)) for name in ("frontend.c", "frontend.h")]
    (folder / "frontend_tables.h").write_text(text)
    return [*written, folder / "frontend_tables.h"]


def _bands(filters: np.ndarray) -> list[str]:
    """The first bin of each band, how many there are, and all their weights in a row."""
    if filters[:, [0, -1]].any():
        raise ValueError("a band holds 0 Hz or 4 kHz, whose magnitude frontend.c leaves out")
    bins = [np.flatnonzero(row) for row in filters]
    firsts = [f"{{{some[0] if len(some) else 1}, {len(some)}}}" for some in bins]
    return [
        f"static const struct {{ uint16_t first, bins; }} BANDS[{len(bins)}] = {{",
        ", ".join(firsts),
        "};",
        _array("WEIGHTS", filters[filters > 0]),
    ]


@functools.cache
def _filters(rate: int, low_pass: LowPass) -> str:
    arrays = {"FIRST": first_filter(rate, low_pass), "SECOND": second_filter(rate, low_pass)}
    if low_pass.edges:
        arrays["EDGE_INPUTS"], arrays["EDGE_OUTPUTS"] = soxr_edges(rate, low_pass.edges)
    # The last bits of a least-squares fit are a processor's own; what is written must not be.
    rounded = {name: np.round(values, DECIMALS) for name, values in arrays.items()}
    return "\n".join(_array(f"{name}_{rate}", values) for name, values in rounded.items())


def _plan(rate: int, low_pass: LowPass) -> str:
    phases, step = ratio(rate, MIDDLE)
    names = [f"FIRST_{rate}", f"SECOND_{rate}", "0", "0"]
    if low_pass.edges:
        names[2:] = [f"EDGE_INPUTS_{rate}", f"EDGE_OUTPUTS_{rate}"]
    return f"    {{{rate}, {phases}, {step}, {first_half(rate, low_pass)}, {', '.join(names)}}},"


def _array(name: str, values: np.ndarray) -> str:
    texts = [_float(value) for value in values.ravel()]
    rows = [", ".join(texts[i : i + 8]) for i in range(0, len(texts), 8)]
    return f"static const float {name}[{len(texts)}] = {{\n" + ",\n".join(rows) + "\n};"


def _float(value: float) -> str:
    """A C literal of the nearest float32."""
    return f"{np.float32(value):.8e}f"
