"""The decision rule: against plain loops, known variances, scipy, and by how often it is right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asclib.evaluation.control import against, dunnett_quantile, mixed
from asclib.evaluation.power import Noise, power, seeds_needed
from asclib.evaluation.resampling import crossed_bootstrap, location_weights
from asclib.evaluation.statistics import Verdict, difference, gap, score, verdict
from asclib.evaluation.systems import Clips, System, locations


def clips_of(per_scene: int, scenes: int = 4, each: int = 1) -> Clips:
    """`per_scene` locations of each scene with `each` clips."""
    place = np.repeat(np.arange(scenes * per_scene), each)
    return Clips([f"scene{p // per_scene}" for p in place], [f"city-{p}" for p in place])


def crossed(values: np.ndarray, name: str = "system") -> System:
    """(teachers, seeds, clips) -> a system with a run for each of them."""
    teachers, seeds, clips = values.shape
    return System(
        name,
        values.reshape(-1, clips),
        tuple(np.tile(range(seeds), teachers)),
        tuple(np.repeat(range(teachers), seeds)) if teachers > 1 else None,
    )


def hits(rng: np.random.Generator, teachers: int, seeds: int, clips: Clips, skill=0.5) -> System:
    """Right or wrong, with skill by place, run and both."""
    z, place = rng.standard_normal, clips.location
    logit = (
        skill + z(place.max() + 1)[place] + 0.5 * z((teachers, seeds, place.max() + 1))[..., place]
    )
    return crossed((z((teachers, seeds, len(place))) < logit).astype(float))


def zeros(like: System) -> System:
    return System("zero", np.zeros_like(like.values), like.seeds, like.teachers)


# ------------------------------------------------------------- locations


def test_a_location_is_the_city_and_the_number_of_the_place() -> None:
    names = ["airport-lisbon-1000-40000", "airport-lisbon-1000-40001", "tram-lisbon-7-3"]
    expected = ["lisbon-1000", "lisbon-1000", "lisbon-7"]
    table = pd.DataFrame({"recording": names, "scene": ["airport", "airport", "tram"]})
    assert locations(table).tolist() == expected
    assert len(Clips.of(table).counts) == 2
    with pytest.raises(ValueError, match="row 1: 'tram-7' is not .*rename"):
        locations(pd.DataFrame({"recording": ["tram-lisbon-7-3", "tram-7"]}))


def test_scenes_with_one_location_are_taken_together() -> None:
    alone = Clips(list("aabbcd"), [f"x-{i}" for i in range(6)])
    assert alone.strata[4] == alone.strata[5] not in (alone.strata[0], alone.strata[2])
    single = Clips(list("aaabbc"), [f"x-{i}" for i in range(6)])
    assert single.strata[5] == single.strata[4] != single.strata[0]  # with the smaller scene
    with pytest.raises(ValueError, match="single location"):
        _ = Clips(list("ab"), ["x-1", "x-1"]).strata


def test_location_weights_keep_each_scene_and_have_the_spread_of_a_mean() -> None:
    clips, rng = clips_of(5, each=3), np.random.default_rng(0)
    weights = location_weights(clips, 40_000, rng)
    assert np.allclose(weights.reshape(-1, 4, 5).sum(2), 5)
    values = rng.standard_normal(20)
    expected = (values.reshape(4, 5).var(1, ddof=1) / 5).sum() / 16
    assert (weights @ values / 20).var() == pytest.approx(expected, rel=0.03)


# ------------------------------------------------------------ the interval


def loops(values: np.ndarray, strata: np.ndarray) -> float:
    """The variance of the mean of (teachers, seeds, locations), components one by one.

    The mean squares of the crossed analysis of variance (Searle 1971, chapter 11), each sum of
    squares as a loop. The locations are nested in strata of equal size.
    """
    teachers, seeds, places = values.shape
    kinds = sorted(set(strata))
    mean = values.mean()
    t = [values[i].mean() - mean for i in range(teachers)]
    s = [values[:, j].mean() - mean for j in range(seeds)]
    ms_t = seeds * places * sum(x**2 for x in t) / (teachers - 1)
    ms_s = teachers * places * sum(x**2 for x in s) / (seeds - 1)
    ss_ts = ss_l = ss_tl = ss_sl = ss_tsl = 0.0
    for i in range(teachers):
        for j in range(seeds):
            ss_ts += places * (values[i, j].mean() - mean - t[i] - s[j]) ** 2
    for kind in kinds:
        part = values[:, :, strata == kind]
        for k in range(part.shape[2]):
            at = part[:, :, k].mean() - part.mean()
            ss_l += teachers * seeds * at**2
            for i in range(teachers):
                ss_tl += seeds * (part[i, :, k].mean() - part[i].mean() - at) ** 2
            for j in range(seeds):
                ss_sl += teachers * (part[:, j, k].mean() - part[:, j].mean() - at) ** 2
            for i in range(teachers):
                for j in range(seeds):
                    both = part[i, j, k] - part[i, j].mean()
                    by_teacher = part[i, :, k].mean() - part[i].mean()
                    by_seed = part[:, j, k].mean() - part[:, j].mean()
                    ss_tsl += (both - by_teacher - by_seed + at) ** 2
    df_t, df_s, df_l = teachers - 1, seeds - 1, places - len(kinds)
    ms_ts, ms_l = ss_ts / df_t / df_s, ss_l / df_l
    ms_tl, ms_sl = ss_tl / df_t / df_l, ss_sl / df_s / df_l
    ms_tsl = ss_tsl / df_t / df_s / df_l
    ts, tl, sl = (max(0, ms - ms_tsl) for ms in (ms_ts, ms_tl, ms_sl))
    own_t = max(0, ms_t - ms_tsl - ts - tl)
    own_s = max(0, ms_s - ms_tsl - ts - sl)
    own_l = max(0, ms_l - ms_tsl - tl - sl)
    return (ms_tsl + ts + tl + sl + own_t + own_s + own_l) / (teachers * seeds * places)


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_the_variance_is_that_of_plain_loops(spread: float) -> None:
    z, clips = np.random.default_rng(3).standard_normal, clips_of(6)
    values = z((3, 4, 24)) + spread * (z((3, 1, 1)) + z((1, 4, 1)) + z((3, 4, 1)) + z(24))
    system = crossed(values)
    found = difference(system, zeros(system), clips, "log_loss")
    assert found.estimate == pytest.approx(values.mean())
    assert found.standard_error**2 == pytest.approx(loops(values, clips.strata))


def test_macro_accuracy_over_locations_agrees_with_leaving_each_out() -> None:
    rng = np.random.default_rng(5)
    place = np.repeat(np.arange(30), rng.integers(2, 9, 30))
    clips = Clips([f"s{p // 10}" for p in place], [f"c-{p}" for p in place])
    values = (rng.random((1, len(place))) < 0.3 + 0.4 * (place % 3 == 0)).astype(float)
    found = score(System("one", values, (0,)), clips)

    def macro(keep: np.ndarray) -> float:
        return np.mean([values[0, keep & (clips.scene == k)].mean() for k in range(3)])

    assert found.estimate == pytest.approx(macro(np.ones(len(place), bool)))
    variance = 0.0
    for scene in range(3):
        left = [macro(place != p) for p in range(10 * scene, 10 * scene + 10)]
        variance += 0.9 * sum((one - np.mean(left)) ** 2 for one in left)
    assert found.standard_error**2 == pytest.approx(variance, rel=0.1)


def test_the_order_of_runs_and_clips_does_not_matter() -> None:
    rng, clips = np.random.default_rng(1), clips_of(5, each=3)
    system, base = hits(rng, 2, 3, clips), hits(rng, 2, 3, clips)
    first = difference(system, base, clips)
    runs, order = rng.permutation(6), rng.permutation(len(clips))
    seeds, taught = np.array(system.seeds)[runs], np.array(system.teachers)[runs]
    again = System("again", system.values[runs][:, order], tuple(seeds), tuple(taught))
    moved = System("base", base.values[:, order], base.seeds, base.teachers)
    second = difference(again, moved, Clips(clips.scene[order], clips.location[order]))
    assert (second.low, second.high) == pytest.approx((first.low, first.high))


def test_equal_systems_differ_by_nothing() -> None:
    clips = clips_of(5, each=3)
    system = hits(np.random.default_rng(1), 2, 3, clips)
    found = difference(system, system, clips)
    assert (found.low, found.high, found.verdict) == (0, 0, Verdict.NO)


def test_a_base_without_teachers_meets_the_students_of_each() -> None:
    rng, clips = np.random.default_rng(1), clips_of(5, each=3)
    system, base = hits(rng, 3, 4, clips), hits(rng, 1, 4, clips)
    repeated = System("base", np.tile(base.values, (3, 1)), system.seeds, system.teachers)
    one, other = difference(system, base, clips), difference(system, repeated, clips)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert one.teachers == 3
    turned = difference(base, system, clips)
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low))


def test_each_seed_may_have_a_teacher_of_its_own() -> None:
    rng, clips = np.random.default_rng(1), clips_of(5)
    plain = hits(rng, 1, 4, clips)
    owned = System("owned", plain.values, plain.seeds, tuple("abcd"))
    base = hits(rng, 1, 4, clips)
    one, other = difference(owned, base, clips), difference(plain, base, clips)
    assert one.standard_error == other.standard_error
    assert (one.teachers, one.seeds) == (4, 4)


def test_one_training_decides_nothing() -> None:
    clips = clips_of(10, each=3)
    right = System("right", np.ones((1, len(clips))), (0,))
    found = difference(right, zeros(right), clips)
    assert found.low > 0 and found.verdict == Verdict.OPEN


def test_a_gap_is_of_locations_that_both_groups_heard() -> None:
    clips = clips_of(6, scenes=2, each=4)
    one, other = np.tile([True, True, False, False], 12), np.tile([False, False, True, True], 12)
    values = np.where(one, 1.0, 0.0)[None].repeat(2, 0)
    values[:, 2] = 1  # one of the 24 others is right
    one[-4:] = other[-4:] = False
    one[-4:] = True  # the last place is heard by one side only, and wrong on it
    values[:, -4:] = 0
    found = gap(System("s", values, (0, 1)), clips, one, other)
    assert found.estimate == pytest.approx(1 - 1 / 24)
    assert found.locations == 11
    with pytest.raises(ValueError, match="choose other groups"):
        gap(System("s", values, (0, 1)), clips, one, np.zeros(len(clips), bool))


# -------------------------------------------------------- how often it is right

# seeds, teachers, and the standard deviations of teacher, seed, run, location, run at a location
SITUATIONS = {
    "4 teachers": (4, 5, 1.5, 0.0, 1.0, 10, 15),
    "4 teachers and seeds": (4, 5, 1.0, 1.0, 1.0, 10, 15),
    "5 seeds": (1, 5, 0.0, 0.0, 2.0, 10, 15),
    "3 seeds": (1, 3, 0.0, 0.0, 2.0, 10, 15),
    "3 seeds that hardly matter": (1, 3, 0.0, 0.0, 0.0, 10, 25),
}


def drawn(rng: np.random.Generator, situation: tuple, places: int) -> np.ndarray:
    teachers, seeds, *deviations = situation
    shapes = [
        (teachers, 1, 1),
        (1, seeds, 1),
        (teachers, seeds, 1),
        (1, 1, places),
        (teachers, seeds, places),
    ]
    return sum(d * rng.standard_normal(n) for d, n in zip(deviations, shapes, strict=True))


@pytest.mark.parametrize("name", SITUATIONS)
def test_coverage_is_near_95_percent(name: str) -> None:
    clips, rng, repeats = clips_of(10, scenes=4), np.random.default_rng(7), 600
    covered = 0
    for _ in range(repeats):
        system = crossed(drawn(rng, SITUATIONS[name], 40))
        found = difference(system, zeros(system), clips, "log_loss")
        covered += found.low <= 0 <= found.high
    # 2.7 standard errors of a simulated 95 %, about the 92.5 to 97 % of larger simulations
    assert 0.90 < covered / repeats < 0.985


def test_the_bootstrap_is_too_wide_where_runs_differ_by_place_alone() -> None:
    """Why it does not decide: an interaction of three factors counts up to seven times."""
    clips, rng = clips_of(10, scenes=4), np.random.default_rng(7)
    ratios = []
    for _ in range(30):
        system = crossed(drawn(rng, (4, 5, 0, 0, 0, 0, 25), 40))
        resampled = crossed_bootstrap(system, zeros(system), clips, "log_loss", resamples=500)
        ratios.append(resampled.var() / (25**2 / 20 / 40))
    assert 5 < np.mean(ratios) < 9


def test_independent_trainings_cover_as_well() -> None:
    clips, rng, covered, variances = clips_of(10, scenes=4), np.random.default_rng(8), 0, []
    for _ in range(500):
        place = 10 * rng.standard_normal(40)  # the same for both: no part of the difference
        parts = [
            rng.standard_normal((1, 5, 1)) * 2 + place + 15 * rng.standard_normal((1, 5, 40))
            for _ in range(2)
        ]
        ours, theirs = (crossed(part) for part in parts)
        theirs = System("theirs", theirs.values, tuple(range(5, 10)))
        found = difference(ours, theirs, clips, "log_loss")
        covered += found.low <= 0 <= found.high
        variances.append(found.standard_error**2)
    assert 0.92 < covered / 500 < 0.985
    # a component below zero counts as zero, so the mean is a little above
    assert np.mean(variances) == pytest.approx(2 * (2**2 / 5 + 15**2 / 5 / 40), rel=0.2)


def test_the_bootstrap_is_that_of_plain_loops() -> None:
    rng, clips = np.random.default_rng(2), clips_of(6, scenes=2, each=2)
    system, base = hits(rng, 2, 3, clips, 1.0), hits(rng, 2, 3, clips)
    fast = crossed_bootstrap(system, base, clips, resamples=20_000)
    values = (system.values - base.values).reshape(2, 3, -1)
    slow = []
    for _ in range(3000):
        places = [*rng.integers(0, 6, 5), *rng.integers(6, 12, 5)]  # one fewer than there are
        seeds, teachers = rng.integers(0, 3, 2), rng.integers(0, 2, 1)
        chosen = [
            values[t, s, clips.location == p].mean()
            for t in teachers
            for s in seeds
            for p in places
        ]
        slow.append(np.mean(chosen))  # all places have two clips, all scenes six places
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.01)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(
        np.quantile(slow, [0.025, 0.975]), abs=0.025
    )


def test_bootstrap_and_components_agree_on_many_levels() -> None:
    z, clips = np.random.default_rng(4).standard_normal, clips_of(50)
    values = z((10, 30, 200)) + 3 * z((10, 1, 1)) + 3 * z((1, 30, 1)) + 10 * z(200)
    system = crossed(values)
    found = difference(system, zeros(system), clips, "log_loss")
    resampled = crossed_bootstrap(system, zeros(system), clips, "log_loss", resamples=4000)
    assert resampled.std() == pytest.approx(found.standard_error, rel=0.05)


# ------------------------------------------------------------ verdicts, errors


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.05, "yes"),
        (-0.05, -0.001, "yes"),
        (0.001, 0.009, "yes"),
        (-0.009, 0.009, "no"),
        (0.0, 0.009, "no"),
        (-0.01, 0.005, "open"),
        (-0.009, 0.011, "open"),
        (-0.05, 0.05, "open"),
    ],
)
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected


def test_a_log_loss_is_within_no_margin_unless_one_is_given() -> None:
    clips = clips_of(5, each=2)
    system = crossed(np.random.default_rng(0).standard_normal((1, 4, len(clips))) * 1e-4)
    assert difference(system, zeros(system), clips, "log_loss").verdict == "open"
    assert difference(system, zeros(system), clips, "log_loss", margin=0.01).verdict == "no"


def test_a_difference_reads_as_a_sentence_would() -> None:
    clips = clips_of(5, each=4)
    values = np.zeros((1, 2, len(clips)))
    values[..., ::4] = 1
    system = crossed(values)
    assert str(difference(system, zeros(system), clips)) == "+25.0 points, +25.0 to +25.0 (yes)"


def test_a_system_on_some_clips_is_scored_as_if_there_were_no_others() -> None:
    rng, clips = np.random.default_rng(1), clips_of(5)
    system = hits(rng, 2, 3, clips)
    some = rng.random(len(clips)) < 0.5
    part = system.on(some)
    assert (part.name, part.seeds, part.teachers) == (system.name, system.seeds, system.teachers)
    assert (part.values == system.values[:, some]).all() and len(part.values) == 6
    assert (system.on(np.flatnonzero(some)).values == part.values).all()


def test_errors_say_what_to_do() -> None:
    rng, clips = np.random.default_rng(1), clips_of(5)
    system, base = hits(rng, 2, 3, clips), hits(rng, 2, 3, clips)
    with pytest.raises(ValueError, match="match in part.*only"):
        difference(system, base.only([0, 1]), clips)
    assert difference(system.only([0, 1]), base.only([0, 1], [0, 1]), clips).seeds == 2
    with pytest.raises(ValueError, match="same clips, in the same order"):
        difference(system, base, clips_of(6))
    with pytest.raises(ValueError, match="no run with seed 2 and teacher 1.*teachers=None"):
        score(System("s", system.values[:5], system.seeds[:5], system.teachers[:5]), clips)
    with pytest.raises(ValueError, match="measure='log_loss'"):
        score(System("s", system.values / 2, system.seeds, system.teachers), clips)
    with pytest.raises(ValueError, match="occurs twice"):
        System("s", system.values[:2], (0, 0))
    with pytest.raises(ValueError, match="run 0 has no value for clip 3"):
        System("s", np.where(np.arange(20) == 3, np.nan, 1.0)[None], (0,))
    with pytest.raises(ValueError, match="row 1: the clip has no location"):
        Clips(["a", "b"], ["x-1", None])


# -------------------------------------------------------- many against one


def test_dunnett_is_scipys_in_one_way() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 1, 6) for mean in (0, 0.5, 1.5, 3)]
    rows = [(f"s{i}", 0, None, x) for i, group in enumerate(groups) for x in group]
    runs = pd.DataFrame(rows, columns=["system", "seed", "teacher", "score"])
    estimates, covariance, df = mixed(runs, "s0")
    half = dunnett_quantile(covariance, df.min()) * np.sqrt(covariance.diagonal())
    theirs = stats.dunnett(*groups[1:], control=groups[0], rng=1).confidence_interval(0.95)
    assert estimates - half == pytest.approx(theirs.low, abs=1e-3)
    assert estimates + half == pytest.approx(theirs.high, abs=1e-3)


def test_one_difference_needs_no_correction() -> None:
    assert dunnett_quantile(np.eye(1), 7) == pytest.approx(stats.t.ppf(0.975, 7), abs=1e-3)


def test_components_of_balanced_runs_are_those_of_the_analysis_of_variance() -> None:
    """Two systems, paired: the variance is that of their difference by `difference`'s formula."""
    z, clips = np.random.default_rng(4).standard_normal, clips_of(10, scenes=4)
    common = 5 * z((4, 1)) + 5 * z((1, 5))
    ours, base = (common + z((4, 5)) + 2 * z((4, 1)) + 3 * z((1, 5)) for _ in range(2))
    runs = pd.DataFrame(
        [
            (name, s, t, score[t, s])
            for name, score in (("base", base), ("ours", ours))
            for t in range(4)
            for s in range(5)
        ],
        columns=["system", "seed", "teacher", "score"],
    )
    estimates, covariance, degrees = mixed(runs, "base")
    everywhere = [crossed(np.repeat(one[..., None], 40, axis=2)) for one in (ours, base)]
    found = difference(*everywhere, clips, "log_loss")
    assert estimates == pytest.approx([found.estimate])
    assert covariance[0, 0] == pytest.approx(found.standard_error**2)
    assert degrees[0] == pytest.approx(found.degrees_of_freedom)


def test_seeds_that_do_not_pair_are_left_out_of_the_model() -> None:
    """Where the same seed does not raise both scores, all runs count as independent."""
    up = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    rows = [
        (name, seed, None, sign * up[seed])
        for name, sign in (("a", 1), ("b", -1))
        for seed in range(5)
    ]
    runs = pd.DataFrame(rows, columns=["system", "seed", "teacher", "score"])
    estimates, covariance, degrees = mixed(runs, "a")
    t = stats.ttest_ind(-up, up)
    assert estimates / covariance[0] ** 0.5 == pytest.approx(t.statistic)
    assert degrees == pytest.approx(8)


def test_one_run_of_each_system_is_no_study() -> None:
    runs = pd.DataFrame({"system": ["a", "b"], "seed": 0, "teacher": None, "score": [1.0, 2.0]})
    with pytest.raises(ValueError, match="second seed"):
        mixed(runs, "a")


@pytest.mark.parametrize("teachers", [1, 4])
def test_all_intervals_hold_at_once(teachers: int) -> None:
    """Four systems without an effect, other numbers of seeds: a false alarm in one of twenty."""
    clips, rng, alarms = clips_of(10, scenes=4), np.random.default_rng(9), 0
    for _ in range(300):
        place = 20 * rng.standard_normal(40)
        systems = []
        for i in range(5):
            situation = (teachers, 5, 1.5 * (teachers > 1), 0, 1.5, 5, 15)
            system = crossed(place + drawn(rng, situation, 40), f"s{i}")
            systems.append(system.only(range(5 - i % 3)))
        found = against(systems[0], systems[1:], clips, "log_loss", draws=2**10)  # 300 of them
        alarms += any(one.low > 0 or one.high < 0 for one in found.values())
    assert 0.01 < alarms / 300 < 0.09
    assert found["s4"].seeds == 4


def test_of_two_systems_the_interval_is_that_of_the_difference() -> None:
    clips = clips_of(40, scenes=2)
    control, system = (
        crossed(drawn(np.random.default_rng(i), (4, 5, 1, 1, 2, 20, 20), 80), str(i))
        for i in range(2)
    )
    found = against(control, [system], clips, "log_loss")["1"]
    alone = difference(system, control, clips, "log_loss")
    assert found.estimate == pytest.approx(alone.estimate)
    assert found.standard_error == pytest.approx(alone.standard_error, rel=0.15)
    c = (found.high - found.low) / 2 / found.standard_error
    assert c == pytest.approx(stats.t.ppf(0.975, found.degrees_of_freedom), abs=1e-3)


# ------------------------------------------------------------------- power


@pytest.mark.parametrize(("teachers", "seeds"), [(1, 10), (4, 3)])
def test_power_is_how_often_the_difference_is_seen(teachers: int, seeds: int) -> None:
    noise = Noise(
        run=0.02, seed=0.005, teacher=0.006 * (teachers > 1), location=0.004, locations=36
    )
    clips, rng, seen = clips_of(10, scenes=4), np.random.default_rng(6), 0
    effect = 0.025
    deviations = (noise.teacher, noise.seed, noise.run, noise.location * 40**0.5, 1e-6)
    for _ in range(500):
        system = crossed(effect + drawn(rng, (teachers, seeds, *deviations), 40))
        seen += difference(system, zeros(system), clips, "log_loss").low > 0
    assert seen / 500 == pytest.approx(power(noise, seeds, teachers, effect), abs=0.07)


def test_without_places_power_is_that_of_a_t_test() -> None:
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().power(effect_size=0.01 / 0.02, nobs=12, alpha=0.05)
    assert power(Noise(run=0.02), 12) == pytest.approx(expected, abs=1e-6)


def test_seeds_needed_are_the_fewest() -> None:
    noise = Noise.of_one_run(0.02)
    needed = seeds_needed(noise)
    assert power(noise, needed) >= 0.8 > power(noise, needed - 1)
    assert needed == 65  # 7.85 * (2 sqrt 2)^2 + 2 of the t distribution
    with pytest.raises(ValueError, match="more locations"):
        seeds_needed(Noise(run=0.02, location=0.01))


def test_a_pilot_tells_its_noise() -> None:
    rng, clips = np.random.default_rng(1), clips_of(50)
    situation = (40, 50, 0.006, 0.008, 0.02, 0.05, 1e-6)
    system = crossed(drawn(rng, situation, 200))
    noise = Noise.of(difference(system, zeros(system), clips, "log_loss"), scenes=4)
    assert (noise.run, noise.seed, noise.teacher) == pytest.approx((0.02, 0.008, 0.006), rel=0.2)
    assert (noise.location, noise.locations) == (pytest.approx(0.05 / 200**0.5, rel=0.15), 196)
    single = difference(s := system.only(range(50), [0]), zeros(s), clips, "log_loss")
    assert Noise.of(single).run == pytest.approx((0.02**2 + 0.008**2) ** 0.5, rel=0.25)
