"""The statistics of the comparison agree with other programs, or with lines written plainly."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asclib import plotting
from asclib.evaluation import Ranking, groups, holm, paired_test, rank


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_corrected_p_is_between_the_plain_one_and_bonferronis(p):
    corrected = holm(p)
    assert (corrected >= np.array(p) - 1e-12).all()
    assert (corrected <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_holm_keeps_false_alarms_below_the_level():
    generator = np.random.default_rng(0)
    alarms = [(holm(generator.uniform(size=12)) < 0.05).any() for _ in range(1_000)]
    assert 0.025 < np.mean(alarms) < 0.07


def test_the_paired_test_by_hand():
    generator = np.random.default_rng(1)
    ours, base = generator.normal(0.7, 0.02, 6), generator.normal(0.68, 0.02, 6)
    difference = ours - base
    t = difference.mean() / (difference.std(ddof=1) / 6**0.5)
    assert paired_test(ours, base)["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), 5))
    assert paired_test(ours, base)["difference"] == pytest.approx(difference.mean())


def test_the_effect_of_few_seeds_is_not_exaggerated():
    """Over many samples of five seeds its mean is the true effect; without the factor it is not."""
    generator = np.random.default_rng(2)
    differences = generator.normal(0.8, 1.0, (6_000, 5))
    effects = [paired_test(row, np.zeros(5))["effect"] for row in differences]
    assert np.mean(effects) == pytest.approx(0.8, abs=0.03)
    assert np.mean(differences.mean(1) / differences.std(1, ddof=1)) > 0.95


def test_equal_scores_are_no_difference_and_too_few_seeds_an_error():
    assert paired_test([1, 2, 3], [1, 2, 3])["p_value"] == 1
    always = paired_test([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    assert always["p_value"] == 0 and always["effect"] == np.inf
    for bad in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2, 3, 4])):
        with pytest.raises(ValueError, match="the same seeds, three or more"):
            paired_test(*bad)
    with pytest.raises(ValueError, match="p values lie in"):
        holm([0.2, 1.2])


def table(generator, means, blocks):
    return pd.DataFrame(
        {name: mean + generator.normal(size=blocks) for name, mean in means.items()}
    )


def test_ranks_and_the_critical_difference_of_demsars_paper():
    """Four systems on 14 data sets: CD = 1.25 (Demšar 2006, section 3.2.4, with q = 2.569)."""
    losses = table(np.random.default_rng(0), dict.fromkeys("abcd", 0), 14)
    ranking = rank(losses)
    assert ranking.critical_difference == pytest.approx(2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=1e-3)
    assert ranking.ranks.mean() == pytest.approx(2.5)
    expected = losses.apply(lambda row: stats.rankdata(row), axis=1, result_type="expand").mean()
    np.testing.assert_allclose(ranking.ranks.sort_index(), expected)


def test_nemenyi_rarely_parts_what_is_equal_and_finds_what_is_not():
    generator = np.random.default_rng(3)

    def apart(means):
        ranking = rank(table(generator, means, 40))
        return np.ptp(ranking.ranks) > ranking.critical_difference

    assert np.mean([apart(dict.fromkeys("abcdef", 0)) for _ in range(400)]) < 0.085
    assert np.mean([apart({**dict.fromkeys("abcde", 0), "f": 1.5}) for _ in range(50)]) == 1


def test_groups_are_the_longest_runs_within_one_critical_difference():
    ranking = Ranking(pd.Series({"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0}), 0, 0, 1.0)
    assert groups(ranking) == [("a", "b"), ("b", "c")]
    assert groups(ranking._replace(critical_difference=3.0)) == [("a", "b", "c", "d")]
    assert groups(ranking._replace(critical_difference=0.1)) == []


def test_a_missing_loss_is_an_error():
    with pytest.raises(ValueError, match="with every loss"):
        rank(pd.DataFrame({"a": [1, 2], "b": [1, np.nan], "c": [2, 3]}))


def test_a_critical_difference_diagram_shows_every_rank_and_group():
    ranking = Ranking(pd.Series({"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0}), 0, 0, 1.0)
    figure, ax = plt.subplots()
    plotting.critical_difference(ax, ranking)
    dots, *bars = ax.lines[:3]
    np.testing.assert_array_equal(dots.get_xdata(), ranking.ranks)
    assert [label.get_text() for label in ax.get_yticklabels()] == list("abcd")
    spans = [tuple(np.rint(bar.get_ydata()).astype(int)) for bar in bars]
    assert spans == [(0, 1), (1, 2)]
    plt.close(figure)
