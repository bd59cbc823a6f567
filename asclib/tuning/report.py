"""What a finished search found, as the committed results that the prose quotes.

    python -m asclib.tuning.report features --storage URL --output results/tuning_features.json

The study's trials with their reasons, what mattered, and two questions that a search cannot answer
about itself: is the best found better than the authors' choice when both are trained again, and
what would have been claimed had the test split chosen?

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from sklearn.utils.class_weight import compute_sample_weight

from asclib.evaluation.scores import paired
from asclib.runs.profiles import Profile
from asclib.runs.provenance import provenance
from asclib.runs.run import build
from asclib.store import PROJECT, write_atomic
from asclib.training import macro_accuracy, predict, probabilities
from asclib.tuning.command import add_arguments, search_of
from asclib.tuning.finals import as_searched, check_seeds, finals
from asclib.tuning.search import Point, Search, open_study

SEEDS = (1, 2, 3, 4, 5)  # the search's own is 0, and has favoured its winner
HALVES = 1000


def table(study: optuna.Study) -> pd.DataFrame:
    """One row for each trial that ended: number, outcome, accuracy, epochs, reason, MACs, and its
    parameters, each in a column.

    `outcome` is "finished", "behind" (stopped by Hyperband) or "impossible"; `accuracy` the best of
    `epochs`, the validation macro accuracy after each.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return pd.DataFrame([_row(trial) for trial in trials])


def _row(trial: FrozenTrial) -> dict[str, Any]:
    epochs = [round(value, 5) for _, value in sorted(trial.intermediate_values.items())]
    if trial.state == TrialState.COMPLETE:
        outcome = "finished"
    else:
        outcome = "behind" if epochs else "impossible"
    known = trial.user_attrs
    return {
        "number": trial.number,
        "outcome": outcome,
        "accuracy": max(epochs) if epochs else None,
        "epochs": epochs,
        "reason": known.get("reason"),
        "macs": known.get("macs"),
        "parameters": known.get("parameters"),
        **trial.params,
    }


def importance(study: optuna.Study) -> dict[str, float]:
    """The share of the variance of the finished trials' accuracy that each parameter explains.

    fANOVA (Hutter, Hoos & Leyton-Brown 2014) by Optuna: of a forest fitted to the trials.
    """
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 5) for name, share in shares.items()}


def front(trials: pd.DataFrame) -> pd.DataFrame:
    """The finished trials that no other beats in accuracy at as few MACs, cheapest first."""
    finished = trials[trials["outcome"] == "finished"]
    ordered = finished.sort_values(["macs", "accuracy"], ascending=[True, False])
    return ordered[ordered["accuracy"] > ordered["accuracy"].cummax().shift(fill_value=-1)]


def best_point(search: Search, study: optuna.Study) -> Point:
    """The point of the finished trial with the highest validation accuracy."""
    return search.point(study.best_trial)


def against_the_authors(
    search: Search, best: Point, seeds: Sequence[int] = SEEDS
) -> dict[str, Any]:
    """The best found and the authors' choice, trained anew from the same seeds, on both splits.

    Returns: for validation and test: the accuracies of both per seed, and the paired difference
    with intervals over seeds, and over seeds and locations (`asclib.evaluation.paired`).
    """
    points = {"authors": search.start, "best": best}
    runs = {
        name: [as_searched(search, point, seed) for seed in seeds] for name, point in points.items()
    }
    build([run for each in runs.values() for run in each])
    found: dict[str, Any] = {"seeds": list(seeds)}
    for split in ("validation", "test"):
        clips, labels = search.data.table(split), search.data.clips(split).labels
        answers, accuracies = {}, {}
        for name, own in runs.items():
            x = own[0].data.clips(split).x
            logits = [predict(run.net(), x) for run in own]
            answers[name] = [probabilities(one) for one in logits]
            accuracies[name] = [round(macro_accuracy(one, labels), 5) for one in logits]
        difference = paired(answers["best"], answers["authors"], clips)
        found[split] = accuracies | {"difference": difference}
    return found


def rivalry(found: dict[str, Any]) -> pd.DataFrame:
    """What `against_the_authors` found, in per cent: a row for validation and for test.

    Columns: the mean accuracies of the authors' choice and of the best found, their difference and
    its 95 % interval over seeds.
    """
    rows = {}
    for split in ("validation", "test"):
        both, difference = found[split], found[split]["difference"]
        rows[split] = {
            "authors": np.mean(both["authors"]),
            "best": np.mean(both["best"]),
            "difference": np.mean(difference["accuracy_per_seed"]),
            "low": difference["seeds_low"],
            "high": difference["seeds_high"],
        }
    return 100 * pd.DataFrame(rows).T


def chosen_on_the_test(search: Search, study: optuna.Study) -> dict[str, Any]:
    """What would have been claimed had the test split chosen among the finished architectures.

    The networks are those of the search. Half of the test recordings choose, and the other half
    judges: the difference is what choosing adds to a score. Over many random halves.

    Returns: per trial the validation and test accuracy; the choices of both splits; `claimed`,
    `kept`, and their difference with 2.5 and 97.5 percentiles over halves.
    """
    clips, test = search.data.table("test"), search.data.clips("test")
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    each = []
    for trial in finished:
        net = search.trained(search.point(trial))
        if net is None:
            raise ValueError(
                f"trial {trial.number} left no network in this store: use the store "
                "that the workers used"
            )
        each.append((predict(net, test.x).argmax(1) == test.labels).numpy())
    hits, labels = np.stack(each), test.labels.numpy()
    validation = np.array([trial.value for trial in finished])
    scores = _macro(hits, labels)
    recordings = clips["recording"].to_numpy()
    names, random = np.unique(recordings), np.random.default_rng(0)
    halves = []
    for _ in range(HALVES):
        chosen = np.isin(recordings, random.permutation(names)[: len(names) // 2])
        here, there = (_macro(hits[:, some], labels[some]) for some in (chosen, ~chosen))
        halves.append((here[here.argmax()], there[here.argmax()], there[validation.argmax()]))
    claimed, kept, honest = np.array(halves).T
    low, high = np.quantile(claimed - kept, (0.025, 0.975))
    figures = {
        "test_choice": scores.max(),
        "validation_choice": scores[validation.argmax()],
        "mean": scores.mean(),
        "claimed": claimed.mean(),
        "kept": kept.mean(),
        "kept_by_validation_choice": honest.mean(),
        "flattery": (claimed - kept).mean(),
        "flattery_low": low,
        "flattery_high": high,
    }
    rows = zip(finished, validation, scores, strict=True)
    return {
        "trials": [
            {"number": t.number, "validation": round(v, 5), "test": round(s, 5)} for t, v, s in rows
        ],
        "halves": HALVES,
        **{name: round(float(value), 5) for name, value in figures.items()},
    }


def _macro(hits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Macro accuracy of each network: the share of its hits (networks, clips), scenes alike."""
    return np.average(hits, axis=1, weights=compute_sample_weight("balanced", labels))


def report(search: Search, study: optuna.Study, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Everything of `results/tuning_<kind>.json`; seeds, of `against_the_authors`.

    Raises: ValueError, before anything is trained, as `check_seeds`.
    """
    check_seeds(seeds)
    trials = table(study)
    made_with = provenance(search.experiment)
    best = best_point(search, study)
    found = {
        **{name: made_with[name] for name in ("corpus", "versions", "python", "machine")},
        "settings": search.settings(),
        "clips": {
            name: len(clips)
            for name, clips in zip(("fit", "validation"), search.tables(), strict=True)
        },
        "outcomes": trials["outcome"].value_counts().to_dict(),
        "best": {"number": study.best_trial.number, **study.best_trial.params},
        "importance": importance(study),
        "against_the_authors": against_the_authors(search, best, seeds),
        "finals": finals(search, study, seeds),
    }
    found["versions"]["optuna"] = optuna.__version__
    if search.kind == "architecture":
        found["chosen_on_the_test"] = chosen_on_the_test(search, study)
    return found | {"trials": json.loads(trials.to_json(orient="records"))}


def main(arguments: list[str] | None = None, profile: Profile | None = None) -> None:
    """Write the results of a study that has finished.

    Args: profile, one of your own instead of the one that the arguments name.
    """
    parser = argparse.ArgumentParser(prog="python -m asclib.tuning.report", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the trainings anew")
    parser.add_argument("--output", type=Path, help="default: results/tuning_<kind>.json")
    options = parser.parse_args(arguments)
    try:
        check_seeds(options.seeds)
    except ValueError as error:
        parser.error(str(error))
    search, url = search_of(options, profile)
    study = open_study(search, url)
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        parser.error(
            f"{url} holds no finished trial of {search.name()}: run its workers first, "
            "with the same arguments"
        )
    output = options.output or PROJECT / "results" / f"tuning_{options.kind}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    found = report(search, study, options.seeds)
    write_atomic(output, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
