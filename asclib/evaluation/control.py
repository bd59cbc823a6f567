r"""Many systems against one control: one model of all runs, and intervals that hold together.

    score = system + (seed) + (teacher) + (seed x teacher) + (system x seed) + (system x teacher)
          + (run)

is fitted to all runs at once, terms in brackets random: every system lends its runs to the estimate
of the noise, so three seeds a system say something where separate tests have two degrees of
freedom each. Dunnett (1955, "A multiple comparison procedure for comparing several treatments with
a control", JASA 50, 1096) makes all intervals hold at once: their half width is c standard errors,
c the 95 % quantile of the largest |t| of all differences, which are correlated by their control.
What other locations would change is added to the variance, so that an interval answers the question
of `evaluation.statistics.difference`, for many systems.

Seeds and teachers as fixed blocks (ordinary least squares) would promise too much: an effect of the
teacher that differs between systems is no noise of a run and does not shrink with more seeds.
statsmodels' MixedLM fits such terms, but gives no degrees of freedom: its intervals are normal,
too narrow for four teachers. Moments and Satterthwaite's degrees of freedom take twenty lines.

Chapters: book/distillation/comparison, book/challenges/scoreboard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from asclib.evaluation.statistics import LEVEL, POINT, Difference
from asclib.evaluation.systems import Clips, Measure, System, linear

DRAWS = 2**17  # quasi-random directions: the quantile is good to three decimals


def against(
    control: System,
    systems: Sequence[System],
    clips: Clips,
    measure: Measure = "accuracy",
    margin: float | None = None,
    draws: int = DRAWS,
) -> dict[str, Difference]:
    """Each system - control with 95 % intervals that all hold at once, by name.

    Systems may have other numbers of runs. Args: as for `difference`, draws as for
    `dunnett_quantile`.
    Raises: ValueError for equal names, or when no system was trained twice.
    """
    names = [one.name for one in (control, *systems)]
    if len(set(names)) < len(names) or not systems:
        raise ValueError(f"systems need names of their own, and one at least: {', '.join(names)}")
    parts = [linear(one.values, clips, measure) for one in (control, *systems)]
    rows = [
        (one.name, seed, who, value)
        for one, (scores, _) in zip((control, *systems), parts, strict=True)
        for seed, who, value in zip(
            one.seeds, one.teachers or [None] * len(one.seeds), scores, strict=True
        )
    ]
    runs = pd.DataFrame(rows, columns=["system", "seed", "teacher", "score"])
    estimates, trainings, df = mixed(runs, control.name)
    places = _location_covariance([added for _, added in parts], clips.strata)
    variance = trainings.diagonal() + places.diagonal()
    df_places = len(clips.strata) - len(np.unique(clips.strata))
    spread = trainings.diagonal() ** 2 / df + places.diagonal() ** 2 / df_places
    known = variance > 0
    degrees = np.divide(variance**2, spread, out=np.full(len(variance), math.inf), where=known)
    covariance = trainings + places
    c = 0.0
    if known.any():
        c = dunnett_quantile(covariance[np.ix_(known, known)], degrees.min(), draws=draws)
    found = {}
    for i, one in enumerate(systems):
        error = math.sqrt(variance[i])
        estimate = float(estimates[i])
        found[one.name] = Difference(
            estimate,
            estimate - c * error,
            estimate + c * error,
            error,
            float(degrees[i]),
            min(len(set(control.seeds)), len(set(one.seeds))),
            len(set(one.teachers or ())),
            len(clips.strata),
            {"location": float(places[i, i]), "training": float(trainings[i, i])},
            POINT if margin is None and measure == "accuracy" else margin,
        )
    return found


def mixed(runs: pd.DataFrame, control: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences to the control, and what their spread over trainings is.

    The components of variance theta solve r' K_A r = sum over B of theta_B tr(M K_A M K_B) for all
    terms A: r = M y what the systems' means leave, K_A (runs, runs) 1 where two runs share a level
    of A (Henderson 1953, Biometrics 9, 226; Rao 1971's MINQUE with weights of the noise alone; in
    balanced designs, the analysis of variance). Negative ones are left out. Terms that the runs
    cannot tell from others count as these.

    Args: runs, a row each: system, seed, teacher (None: none taught), score.
    Returns: differences of the means (systems,) in the order of `runs`, their covariance, and
        Satterthwaite's degrees of freedom of their variances.
    Raises: ValueError when no system has two runs.
    """
    names = [control, *(name for name in runs["system"].unique() if name != control)]
    x = np.stack([runs["system"] == name for name in names], axis=1).astype(float)
    means = np.linalg.pinv(x)  # (systems, runs)
    left = np.eye(len(runs)) - x @ means  # M
    if len(runs) == len(names):
        raise ValueError("no system was trained twice: train one with a second seed at least")
    terms = _terms(runs, left)
    y = runs["score"].to_numpy(float)
    theta: dict[str, float] = {}
    while True:
        gram = np.array(
            [[(left @ a @ left * b).sum() for b in terms.values()] for a in terms.values()]
        )
        found = np.linalg.solve(gram, [(left @ y) @ a @ (left @ y) for a in terms.values()])
        theta = dict(zip(terms, found, strict=True))
        least = min(theta, key=lambda term: theta[term])
        if theta[least] >= 0 or len(terms) == 1:
            break
        del terms[least]
    spread = sum(theta[term] * k for term, k in terms.items())
    contrasts = means[1:] - means[0]
    degrees = []
    for contrast in contrasts:
        weights = np.linalg.solve(gram, [contrast @ k @ contrast for k in terms.values()])
        form = left @ sum(w * k for w, k in zip(weights, terms.values(), strict=True)) @ left
        product = form @ spread  # the variance is y' form y: mean tr, variance 2 tr of the square
        twice = (product * product.T).sum()
        degrees.append(np.trace(product) ** 2 / twice if twice else math.inf)
    return contrasts @ y, contrasts @ spread @ contrasts.T, np.array(degrees)


def _terms(runs: pd.DataFrame, left: np.ndarray) -> dict[str, np.ndarray]:
    """The K_A of the terms that these runs can tell from each other."""
    chosen = {"run": np.eye(len(runs))}
    for columns in (
        ["system", "teacher"],
        ["system", "seed"],
        ["teacher"],
        ["seed"],
        ["seed", "teacher"],
    ):
        known = runs[columns].notna().all(axis=1).to_numpy()
        level = runs.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
        same = ((level[:, None] == level) & known[:, None] & known).astype(float)
        seen = np.stack([(left @ k @ left).ravel() for k in (*chosen.values(), same)])
        lengths = np.linalg.norm(seen, axis=1)
        if lengths[-1] > 1e-9 and np.linalg.matrix_rank(seen / lengths[:, None]) == len(seen):
            chosen[" x ".join(columns)] = same
    return chosen


def dunnett_quantile(
    covariance: np.ndarray, df: float, level: float = LEVEL, draws: int = DRAWS
) -> float:
    """The c below which max |t_i| stays with probability `level`.

    t = z / s: z normal with the differences' correlation, s^2 a chi-square of df over df, the same
    for all. With z = A v, v of k independent normals, and u the direction of v, |v|^2 / (k s^2) has
    the F distribution whatever u is; so P(max |t_i| < c) is the mean of
    F(c^2 / (k max (A u)_i^2); k, df) over directions (Genz & Bretz 2009, Computation of
    Multivariate Normal and t Probabilities, section 4.1), here quasi-random ones, `draws` of them.
    Args: covariance (m, m) of the differences, up to a factor; df of the noise (may be infinite).
    """
    deviation = np.sqrt(covariance.diagonal())
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    root = (vectors * np.sqrt(values.clip(0)))[:, values > 1e-9]  # A (m, k)
    k = root.shape[1]
    v = stats.norm.ppf(stats.qmc.Sobol(k, rng=np.random.default_rng(0)).random(draws))
    longest = ((v @ root.T) ** 2).max(1) / (v**2).sum(1)
    law = stats.f(k, df) if np.isfinite(df) else stats.chi2(k, scale=1 / k)
    return float(brentq(lambda c: law.cdf(c**2 / (k * longest)).mean() - level, 0.1, 1000))


def _location_covariance(added: list[np.ndarray], strata: np.ndarray) -> np.ndarray:
    """(m, m) covariance of the differences to the first system, by other locations alone.

    The spread of a mean over runs also holds the interaction of runs and locations, which the
    noise of the runs has in it already: it is taken off. Args: added (runs, locations), a system.
    """
    sizes = np.bincount(strata)[strata]
    share = sizes / (sizes - 1)
    means = np.stack([one.mean(0) for one in added])
    apart = means[1:] - means[0]
    noise = np.array(
        [
            (((one - one.mean(0)) ** 2) @ share).sum() / (len(one) * (len(one) - 1))
            if len(one) > 1
            else 0.0
            for one in added
        ]
    )
    covariance = (apart * share) @ apart.T - np.diag(noise[1:]) - noise[0]
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * values.clip(0)) @ vectors.T
