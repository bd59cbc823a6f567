"""One look for all figures: readable in print, in grey and by colour-blind readers.

Chapter: book/task/dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import librosa
import matplotlib.font_manager  # noqa: F401 - the font cache speaks up here and not inside a cell
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import soxr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from numpy.typing import ArrayLike

from asclib.challenge.task import DEVICES, SCENES
from asclib.evaluation.comparison import POINTS, Results
from asclib.evaluation.embedding import planes, purities
from asclib.extras import needs
from asclib.features import EPS, LogMel

with needs("book"):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import print_figure
    from IPython.display import HTML, Audio, display

SCENE_LABELS = tuple(scene.replace("_", " ") for scene in SCENES)
SCENE_COLOURS = dict(zip(SCENES, sns.color_palette("tab10", len(SCENES)), strict=True))
DEVICE_COLOURS = dict(zip(DEVICES, sns.color_palette("colorblind", len(DEVICES)), strict=True))
INK, ACCENT, MUTED = "#1f3b5c", "#c44e31", "#9aa5b1"
HERTZ = (500, 1_000, 2_000, 3_000, 5_000, 10_000)  # marks of an axis of mel bands
GLUED = 6  # decimals of a number that prose quotes


def use_style() -> None:
    """Set the book's style; call it once, in a chapter's first cell."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.figsize": (7, 3.2),
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "font.size": 10,
        },
    )


def in_hertz(axis: Axis, bands: int = 140, top: float = 4_000.0) -> None:
    """Mark an axis of mel bands by frequency: `bands` of them, from 0 to `top` hertz."""
    centres = librosa.mel_frequencies(bands + 2, fmin=0.0, fmax=top)[1:-1]
    marks = [hertz for hertz in HERTZ if hertz < centres[-1]]
    axis.set_ticks(np.interp(marks, centres, np.arange(bands)), [f"{hertz:,}" for hertz in marks])
    axis.set_label_text(f"Hz, in {bands} mel bands")


def spectrogram(
    ax: Axes,
    log_mel: np.ndarray,
    title: str = "",
    span: float = 12.0,
    top_hertz: float = 4_000.0,
    hop_seconds: float | None = None,
) -> None:
    """One clip's log-mel (mel, frames) in nepers, drawn down to `span` below its loudest.

    With `hop_seconds`, the time from frame to frame, the axis has seconds from 0 to 1, and each
    frame is drawn around its centre.
    """
    top = float(np.max(log_mel))
    image = ax.imshow(
        log_mel,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=top - span,
        vmax=top,
        interpolation="nearest",
    )
    ax.set(title=title, xlabel="frame")
    if hop_seconds is not None:
        bands, frames = log_mel.shape
        ends = -hop_seconds / 2, (frames - 0.5) * hop_seconds
        image.set_extent((*ends, -0.5, bands - 0.5))
        ax.set(xlabel="seconds", xlim=(0, 1))
    in_hertz(ax.yaxis, len(log_mel), top_hertz)
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label="nepers", pad=0.02)


def band_rows(ax: Axes, rows: pd.DataFrame, limit: float) -> None:
    """Rows of 140 mel bands around zero, in nepers; red is louder, the colours end at ± `limit`."""
    image = ax.imshow(
        rows, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
    )
    ax.set_yticks(np.arange(len(rows)), rows.index, fontsize=8)
    in_hertz(ax.xaxis)
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label="nepers", pad=0.02)


def intervals(
    ax: Axes,
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    colour: str = INK,
    offset: float = 0.0,
    label: str | None = None,
) -> None:
    """A dot and an interval for each name, the first on top; `offset` moves a second series."""
    rows = np.arange(len(names)) + offset
    centre = np.asarray(values, float)
    spread = np.abs(np.vstack([centre - np.asarray(low), np.asarray(high) - centre]))
    ax.errorbar(centre, rows, xerr=spread, fmt="o", color=colour, capsize=3, ms=5, label=label)
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


def differences(
    ax: Axes,
    names: Sequence[str],
    points: pd.DataFrame,
    label: str,
    kinds: tuple[str, str] = ("over recordings", "over seeds"),
) -> None:
    """Paired differences with both of their intervals, around a line at zero.

    Args: names, of the rows; points, columns accuracy, accuracy_low and _high (the upper of each
        pair), seeds_low and _high (the lower); label, of the axis; kinds, what either interval is
        over.
    """
    upper, lower = ("accuracy", INK, -0.13), ("seeds", ACCENT, 0.13)
    for (kind, colour, offset), over in zip((upper, lower), kinds, strict=True):
        intervals(
            ax,
            names,
            points["accuracy"],
            points[f"{kind}_low"],
            points[f"{kind}_high"],
            colour=colour,
            offset=offset,
            label=over,
        )
    ax.axvline(0, color=MUTED)
    ax.set_xlabel(label)


def study_gains(*techniques: str) -> pd.DataFrame:
    """Draw each technique minus the student alone, as the committed comparison has it.

    Returns: `asclib.evaluation.comparison.Results.against`, differences and intervals in points.
    """
    gains = Results().against("student", rivals=techniques)
    gains[list(POINTS)] *= 100
    figure, ax = plt.subplots(figsize=(6.5, 0.7 + 0.48 * len(gains)))
    names = [name.replace("_", " ") for name in gains.index]
    kinds = ("over locations and seeds", "over seeds alone")
    differences(ax, names, gains, "technique minus student (points)", kinds)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8)
    show(figure)
    return gains


def confusion(ax: Axes, matrix: np.ndarray, title: str = "") -> None:
    """A confusion matrix (true, predicted) as a share of each true scene's clips, in per cent."""
    total = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        100 * matrix / total,
        ax=ax,
        cmap="Blues",
        vmin=0,
        vmax=100,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 7},
        cbar=False,
        square=True,
        xticklabels=SCENE_LABELS,
        yticklabels=SCENE_LABELS,
    )
    ax.set(title=title, xlabel="predicted", ylabel="true")
    ax.tick_params(labelsize=8)


def learning_curves(
    axes: Sequence[Axes], history: pd.DataFrame, label: str, colour: str = INK
) -> None:
    """Training and validation loss on the first axis, validation macro accuracy on the second."""
    epochs = np.arange(1, len(history) + 1)
    loss, accuracy = axes
    loss.plot(epochs, history["loss"], color=colour, ls=":", label=f"{label}, training")
    loss.plot(epochs, history["validation_loss"], color=colour, label=f"{label}, validation")
    accuracy.plot(epochs, 100 * history["validation_accuracy"], color=colour, label=label)
    loss.set(xlabel="epoch", ylabel="loss")
    accuracy.set(xlabel="epoch", ylabel="validation macro accuracy (%)")


def embeddings(
    views: Mapping[str, np.ndarray],
    clips: pd.DataFrame,
    neighbours: int = 10,
    columns: int = 3,
) -> tuple[plt.Figure, pd.DataFrame]:
    """Several embeddings of the same clips, a panel for each, and what the eye should see there.

    Args: views by name, (clips, d); clips: columns scene and recording. `columns`: of panels.
    Returns: the figure, whose panels are `embedding.planes` coloured by scene and whose titles
        hold the purity of all d numbers; and that purity with its intervals, `embedding.purities`.
    """
    table = purities(views, clips, neighbours=neighbours)
    flat = planes(views)
    rows = -(-len(views) // columns)
    size = (2.85 * columns, 2.8 * rows + 0.7)  # inches; whatever the clouds, one size of picture
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True
    )
    colours = [SCENE_COLOURS[scene] for scene in clips["scene"]]
    for ax, (name, plane) in zip(axes.flat, flat.items(), strict=False):
        ax.scatter(*plane.T, c=colours, s=5, linewidths=0)
        low, high = table.loc[name, ["low", "high"]]
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_title(
            f"{name}\npurity {table.purity[name]:.0f} % [{low:.0f}, {high:.0f}]", fontsize=10
        )
    for ax in axes.flat[len(views) :]:
        ax.set_axis_off()
    for scene, label in zip(SCENES, SCENE_LABELS, strict=True):
        axes.flat[0].scatter([], [], s=20, color=SCENE_COLOURS[scene], label=label)
    figure.legend(loc="outside lower center", ncols=min(5, 2 * columns), fontsize=9)
    return figure, table


def glue(name: str, value: float | str) -> None:
    """Hand a number or a word to the prose, which quotes it as `{glue:text}` by this name.

    A float keeps `GLUED` decimals, far more than any sentence prints: what the last bits of a sum
    are differs from processor to processor, and a committed notebook must not.
    """
    import myst_nb  # the book's builder: what is only drawn does not need it

    exact = isinstance(value, (str, Integral))
    myst_nb.glue(name, value if exact else round(float(value), GLUED), display=False)


def glue_points(name: str, middle: float, low: float, high: float) -> None:
    """Glue a difference and its interval, fractions, in points: `name`, `name_low`, `name_high`."""
    for ending, value in {"": middle, "_low": low, "_high": high}.items():
        glue(name + ending, 100 * value)


def show(figure: plt.Figure) -> None:
    """Show a figure and close it, so that a cell leaves one picture and no repr.

    The repr would name its size, which follows from labels that may follow from weights.
    """
    if InteractiveShell.initialized():
        picture = print_figure(figure, fmt="png", bbox_inches="tight", base64=True)
        display({"image/png": picture}, raw=True)
    else:
        plt.show()
    plt.close(figure)


def played(log_mel: np.ndarray, front: LogMel, rate: int, seconds: int = 1) -> np.ndarray:
    """Noise with the loudness of a picture, (mels, frames) in nepers as `front` makes them.

    Each bin of the noise's spectrum is given the mean level that its bands tell of their bins.

    Returns: float64 (seconds * rate,) at `rate` hertz. The same picture makes the same sound.
    """
    noise = np.random.default_rng(0).standard_normal(seconds * front.sample_rate)
    shape: dict[str, Any] = {"hop_length": front.hop, "win_length": front.win_length}
    shape["window"] = "hamming"
    spectrum = librosa.stft(noise, n_fft=front.n_fft, pad_mode="reflect", **shape)
    spectrum /= (np.pi / 4 * float((front.window**2).sum())) ** 0.5  # of mean magnitude 1
    weights = front.filters.sum(1).cpu().numpy()
    level = log_mel - np.log(np.maximum(weights, EPS))[:, None]  # an empty band has no weight
    centres = librosa.mel_frequencies(front.n_mels + 2, fmin=0, fmax=front.sample_rate / 2)[1:-1]
    bins = np.arange(front.n_fft // 2 + 1) * front.sample_rate / front.n_fft
    gain = np.exp([np.interp(bins, centres, frame) for frame in level.T]).T
    sound = librosa.istft(spectrum * gain, length=len(noise), **shape)
    return soxr.resample(sound, front.sample_rate, rate)


def players(sounds: Mapping[str, np.ndarray], sample_rate: int) -> HTML:
    """An audio player under the name of each sound; the wav files are inside the page.

    Args: sounds, one dimension each, at `sample_rate` hertz: keep both short. Each is scaled to the
        same peak.
    """
    figure = '<figure style="margin: 0.5rem"><figcaption>{}</figcaption>{}</figure>'
    control = '<audio controls style="max-width: 100%; height: 2.2rem" src="{}"></audio>'
    parts = [
        figure.format(name, control.format(Audio(samples, rate=sample_rate).src_attr()))
        for name, samples in sounds.items()
    ]
    return HTML(f'<div style="display: flex; flex-wrap: wrap">{"".join(parts)}</div>')
