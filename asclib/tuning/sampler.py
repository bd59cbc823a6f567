"""Who proposes the points of a search: TPE, or as its control chance.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, get_args

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

Space = dict[str, BaseDistribution]
Proposer = Literal["tpe", "random"]
PROPOSERS: tuple[Proposer, ...] = get_args(Proposer)
REDRAWS = 20  # of a point that was tried: near the good ones first, then anywhere


class SeededByNumber(optuna.samplers.BaseSampler):
    """TPE whose random numbers follow from the seed and the number of the trial.

    A sampler with one seed begins every worker, and every resumed run, with the same points. This
    one draws other numbers for every trial; and a single worker that was interrupted proposes what
    it would have proposed. Trial 0 is the authors' choice.

    In a space of a few hundred points TPE soon proposes its favourite again and again. Trained from
    the same seed it can say nothing new, so a point that was tried is drawn anew. As TPE's control
    chance proposes, which draws anew likewise, and hears of no score.
    """

    def __init__(self, seed: int, first: dict[str, Any], proposer: Proposer = "tpe"):
        self.seed, self.first, self.proposer = seed, first, proposer
        self.whole: optuna.Study | None = None  # the samplers see one bracket of Hyperband's
        self.tpe = optuna.samplers.TPESampler(seed=seed)
        self.anywhere = optuna.samplers.RandomSampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        digest = hashlib.sha256(f"{self.seed} {trial.number}".encode()).digest()
        self.draw = int.from_bytes(digest[:4], "little")
        self.tpe = optuna.samplers.TPESampler(seed=self.draw)
        self.anywhere = optuna.samplers.RandomSampler(seed=self.draw)
        self.tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        if self.proposer == "random":
            trials = (self.whole or study).get_trials(deepcopy=False)
            # pruned ones count: before the first that completes, too, points are drawn as a whole
            return optuna.search_space.intersection_search_space(trials, include_pruned=True)
        return self.tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        def by_chance() -> dict[str, Any]:
            return {
                name: self.anywhere.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }

        guided = self.proposer == "tpe"
        point = self.tpe.sample_relative(study, trial, search_space) if guided else by_chance()
        if not point:
            return point
        tried = [other.params for other in (self.whole or study).get_trials(deepcopy=False)]
        # one candidate instead of the best of 24: draws from where the good trials are
        near = optuna.samplers.TPESampler(seed=self.draw, n_ei_candidates=1)
        for attempt in range(2 * REDRAWS):
            if point not in tried:
                break
            if guided and attempt < REDRAWS:
                point = near.sample_relative(study, trial, search_space)
            else:
                point = by_chance()
        return point

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if trial.number == 0:
            return self.first[param_name]
        alone = self.anywhere if self.proposer == "random" else self.tpe
        return alone.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self.tpe.after_trial(study, trial, state, values)
