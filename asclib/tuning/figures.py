"""Pictures of a search, from its table of trials (`asclib.tuning.report.table`).

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from asclib.plotting import ACCENT, INK, MUTED
from asclib.tuning.report import front

MARKS = {"finished": ("o", INK), "behind": ("x", MUTED)}


def pareto(ax: Axes, trials: pd.DataFrame, authors: int | None = 0) -> None:
    """Best validation accuracy against MACs, with the front of the finished trials.

    `authors` is the number of their choice's trial, marked by a star.
    """
    for outcome, (mark, colour) in MARKS.items():
        some = trials[trials["outcome"] == outcome]
        ax.plot(some["macs"] / 1e6, 100 * some["accuracy"], mark, ms=4, color=colour, label=outcome)
    best = front(trials)
    ax.step(best["macs"] / 1e6, 100 * best["accuracy"], where="post", color=ACCENT, label="front")
    chosen = trials[(trials["number"] == authors) & trials["accuracy"].notna()]
    ax.plot(
        chosen["macs"] / 1e6,
        100 * chosen["accuracy"],
        "*",
        ms=15,
        color=ACCENT,
        mec="white",
        label="the authors' choice",
    )
    ax.set(xscale="log", xlabel="million MACs", ylabel="validation macro accuracy (%)")
    ax.legend(fontsize=8)


def importances(ax: Axes, shares: Mapping[str, float], most: int = 12) -> None:
    """The share of the variance that each parameter explains, the largest on top."""
    names = list(shares)[:most]
    ax.barh(names, [100 * shares[name] for name in names], color=INK)
    ax.invert_yaxis()
    ax.set(xlabel="share of the variance explained (%)")


def parallel(ax: Axes, trials: pd.DataFrame, parameters: Sequence[str], best: int = 10) -> None:
    """One line a finished trial, one axis a parameter, scaled to its values; the best in colour."""
    finished = trials[trials["outcome"] == "finished"].sort_values("accuracy")
    for place, (_, row) in enumerate(finished.iterrows(), start=1):
        good = place > len(finished) - best
        heights = [_height(trials[name], row[name]) for name in parameters]
        ax.plot(
            heights,
            color=ACCENT if good else MUTED,
            lw=1.6 if good else 0.6,
            alpha=0.9 if good else 0.5,
        )
    for place, name in enumerate(parameters):
        values = sorted(trials[name].unique())
        for value in (values[0], values[-1]):
            where = _height(trials[name], value)
            ax.text(
                place,
                where + (0.03 if where else -0.03),
                f"{value:g}" if _number(value) else value,
                ha="center",
                va="bottom" if where else "top",
                size=8,
            )
    ax.set_xticks(range(len(parameters)), [name.replace("_", "\n") for name in parameters])
    ax.set(yticks=[], ylim=(-0.14, 1.14))


def _number(value: object) -> bool:
    return isinstance(value, (int, float, np.number))


def _height(column: pd.Series, value: object) -> float:
    """Where a value stands among the values that were tried, from 0 to 1."""
    values = sorted(column.unique())
    return values.index(value) / max(1, len(values) - 1)


def slices(axes: Sequence[Axes], trials: pd.DataFrame, parameters: Sequence[str]) -> None:
    """Accuracy of the trained trials over the values of each parameter."""
    for ax, name in zip(axes, parameters, strict=True):
        values = sorted(trials[name].unique())
        for outcome, (mark, colour) in MARKS.items():
            some = trials[trials["outcome"] == outcome]
            places = np.array([values.index(value) for value in some[name]])
            sideways = (some["number"] * 0.618 % 1 - 0.5) * 0.5  # so that equal ones are seen
            ax.plot(places + sideways, 100 * some["accuracy"], mark, ms=3, color=colour)
        few = range(0, len(values), max(1, len(values) // 4))
        ax.set_xticks(list(few), [values[k] for k in few], size=8)
        ax.set(xlabel=name.replace("_", " "))
    axes[0].set_ylabel("accuracy (%)")


def curves(ax: Axes, trials: pd.DataFrame) -> None:
    """Validation accuracy after every epoch; where a curve ends early, Hyperband stopped it."""
    for outcome, (mark, colour) in MARKS.items():
        for epochs in trials.loc[trials["outcome"] == outcome, "epochs"]:
            places = np.arange(1, len(epochs) + 1)
            ax.plot(places, 100 * np.array(epochs), color=colour, lw=0.7)
            ax.plot(places[-1], 100 * epochs[-1], mark, ms=4, color=colour)
    lines = [plt.Line2D([], [], color=c, marker=m, ms=4) for m, c in MARKS.values()]
    ax.legend(lines, MARKS, fontsize=8)
    ax.set(xlabel="epoch", ylabel="validation macro accuracy (%)")
