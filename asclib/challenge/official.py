"""Scores and ranks by the rules of each year.

    2022  multi-class log loss; macro accuracy second
    2023  weighted mean of the ranks in macro accuracy, bytes and MACs
    2024  macro accuracy, a mean over the systems of five training subsets
    2025  macro accuracy; each device may have a model, and each keeps within the limits

The scores themselves are those of `asclib.evaluation.scores`.

Chapters: book/challenges/entry_2022, book/challenges/entry_2023, book/practice/tau.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from asclib.challenge.limits import Limits, Verdict
from asclib.challenge.task import SCENES, SEEN_DEVICES
from asclib.challenge.years import COUNTED_DEVICES, SUBSETS, year_of
from asclib.complexity.count import Complexity
from asclib.corpus.names import Names
from asclib.corpus.tables import CorpusError, read_table
from asclib.evaluation.scores import Score, evaluate, score

# Of the ranks in accuracy, bytes and MACs in 2023. Read once and not found again: see the rules.
WEIGHTS = (0.5, 0.25, 0.25)
NOT_TOLD = "not told"  # the device of a clip of which nothing says it
_DEVICE_COLUMNS = ("source_label", "device_id")


def read_truth(path: str | Path) -> pd.DataFrame:
    """A ground truth in the layout of TAU's fold1_evaluate.csv, or its meta.csv.

    Device, city and location are those of the file names. Clips named otherwise, such as 0.wav,
    have the device of a column source_label or device_id, else NOT_TOLD, and no city.
    Returns: columns filename (bare), scene, device, city, location; the last two may be missing.
    Raises: FileNotFoundError; CorpusError, the first problem.
    """
    path, problems = Path(path), list[CorpusError]()
    columns = _columns(path)
    own = [name for name in _DEVICE_COLUMNS if name in columns][:1]
    table = read_table(path.parent, path.name, ("filename", "scene_label", *own), problems)
    if problems:
        raise problems[0]
    clips = pd.DataFrame(table.columns).set_axis(table.rows)
    wrong = ~clips["scene_label"].isin(SCENES).to_numpy()
    if wrong.any():
        label, row = clips["scene_label"][wrong].iloc[0], int(clips.index[int(wrong.argmax())])
        remedy = f"use one of {', '.join(SCENES)}"
        raise CorpusError(path.name, row, f"has the unknown scene {label!r}", remedy)
    names = clips["filename"].str.replace(r"^.*/", "", regex=True)
    if names.duplicated().any():
        row = int(clips.index[names.duplicated()][0])
        raise CorpusError(path.name, row, f"{names[row]} occurs twice", "keep one of the rows")
    fields = ("audio/" + names).str.extract(Names(devices=None).pattern)  # of _FIELDS
    listed = clips[own[0]] if own else pd.Series(NOT_TOLD, clips.index)
    return pd.DataFrame(
        {
            "filename": names.to_numpy(object),
            "scene": clips["scene_label"].to_numpy(object),
            "device": fields[6].fillna(listed).to_numpy(object),
            "city": fields[2].to_numpy(object),
            "location": fields[3].to_numpy(object),
        }
    )


def against(table: pd.DataFrame, truth: pd.DataFrame, name: str = "outputs") -> np.ndarray:
    """The probabilities (clips, 10) of an outputs table in the order of the truth.

    Raises: CorpusError when one has clips that the other lacks; `name` is that of the file.
    """
    answered = pd.Index(table["filename"])
    rows = answered.get_indexer(pd.Index(truth["filename"]))
    if (rows < 0).any() or len(answered) != len(truth):
        if (rows < 0).any():
            clip, what = truth["filename"].iloc[int(np.argmax(rows < 0))], "is not answered"
        else:
            clip, what = answered[~answered.isin(truth["filename"])][0], "has no ground truth"
        remedy = f"answer the {len(truth):,} clips of the ground truth, or give the one that fits"
        raise CorpusError(name, None, f"{clip} {what}", remedy)
    return table[list(SCENES)].to_numpy(float)[rows]


def official(probabilities: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    """One system's scores in the groups of the result tables.

    Args: probabilities (clips, 10); clips, as of `read_truth` or `Corpus`.
    Returns: a row for overall, seen and unseen devices, each scene, device and, where it is known,
        city: columns group, clips, locations, accuracy (macro) and log_loss, each with its 95 %
        interval over locations, which is NaN where no location is known.
    """
    clips = clips.reset_index(drop=True)
    measure = evaluate
    if clips[["city", "location"]].isna().any(axis=None):
        # nothing says which clips are of one place, and an interval over clips would be too narrow
        clips, measure = clips.assign(city="unknown", location=clips.index.astype(str)), score

    def among(mask: pd.Series) -> Score:
        return measure(probabilities[mask.to_numpy()], clips[mask]).overall

    whole, device = measure(probabilities, clips), clips["device"]
    seen = device.isin(SEEN_DEVICES)
    rows = {"overall": whole.overall}
    # not those of `whole`, to which s7 to s10 of the evaluation sets are seen: it knows s4 to s6
    for name, mask in {"seen": seen, "unseen": ~seen & (device != NOT_TOLD)}.items():
        if mask.any():
            rows[f"{name} devices"] = among(mask)
    rows |= {f"scene {name}": one for name, one in whole.scenes.items()}
    rows |= {f"device {name}": whole.devices[name] for name in _devices(whole.devices)}
    if measure is evaluate:
        rows |= {f"city {c}": among(clips["city"] == c) for c in sorted(set(clips["city"]))}
    return pd.DataFrame([{"group": name, **asdict(one)} for name, one in rows.items()])


def mean_over_subsets(accuracies: Mapping[int, float]) -> float:
    """2024's score: the mean of macro accuracy over the five subsets, in per cent of the clips.

    Raises: ValueError naming a subset that is missing or is none.
    """
    if odd := set(accuracies) ^ set(SUBSETS):
        percents = ", ".join(map(str, sorted(odd)))
        raise ValueError(
            f"the mean is over the subsets {', '.join(map(str, SUBSETS))} %: {percents} missing"
            " or not among them"
        )
    return float(np.mean([accuracies[percent] for percent in SUBSETS]))


def ranking(
    year: int, systems: pd.DataFrame, weights: tuple[float, float, float] = WEIGHTS
) -> pd.DataFrame:
    """Systems in the order of a year's rules, best first.

    Systems that are equal share the better rank, and the next one is left out (1, 2, 2, 4).
    Args: systems, a row each: `accuracy` (of 2024, the mean over subsets) and `log_loss`; in 2023
        `bytes` and `macs` as well; weights of the ranks in accuracy, bytes and MACs.
    Returns: the same rows with `rank`; of 2023 also `accuracy_rank`, `bytes_rank`, `macs_rank`, and
        their `weighted_rank`, by which systems are ordered.
    Raises: ValueError for another year, a missing column or value.
    """
    year_of(year)
    used = {2022: ["log_loss", "accuracy"], 2023: ["accuracy", "bytes", "macs"]}
    columns = used.get(year, ["accuracy"])
    if lacking := [name for name in columns if name not in systems]:
        raise ValueError(f"{year} ranks by {', '.join(columns)}: {', '.join(lacking)} missing")
    if systems[columns].isna().any(axis=None):
        label = systems.index[systems[columns].isna().any(axis=1)][0]
        raise ValueError(f"{label}: every system needs {', '.join(columns)}")
    ranked = systems.copy()
    if year == 2023:
        for name in columns:
            ranked[f"{name}_rank"] = _rank(systems[name], higher_is_better=name == "accuracy")
        ranks = ranked[[f"{name}_rank" for name in columns]]
        ranked["weighted_rank"] = (ranks * np.array(weights)).sum(axis=1).round(12)
        ranked["rank"] = _rank(ranked["weighted_rank"])
    elif year == 2022:
        # of two with the same log loss the more accurate: pairs in order, as one number
        pairs = pd.MultiIndex.from_arrays([systems["log_loss"], -systems["accuracy"]])
        order = pd.Series(pairs.sortlevel()[0].unique().get_indexer(pairs), systems.index)
        ranked["rank"] = _rank(order)
    else:
        ranked["rank"] = _rank(systems["accuracy"], higher_is_better=True)
    return ranked.sort_values("rank", kind="stable")


def within_each(models: Mapping[str, Complexity], limits: Limits, bits: int) -> Verdict:
    """Whether the model of every device keeps within the limits (2025), its numbers in `bits`."""
    verdicts = {device: model.within(limits, bits) for device, model in models.items()}
    reasons = [f"device {d}: {reason}" for d, one in verdicts.items() for reason in one.reasons]
    return Verdict(limits.year, tuple(reasons))


def _rank(values: pd.Series, higher_is_better: bool = False) -> pd.Series:
    return values.rank(method="min", ascending=not higher_is_better).astype(int)


def _devices(found: Mapping[str, object]) -> list[str]:
    """a, b, c, s1, ..., s10 and after them what else there is."""
    others = sorted(set(found) - {*COUNTED_DEVICES, NOT_TOLD})
    return [device for device in COUNTED_DEVICES if device in found] + others


def _columns(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; name a table such as fold1_evaluate.csv")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return file.readline().rstrip("\r\n").split("\t")
