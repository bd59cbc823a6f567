"""The best of a search and the authors' choice meet again: other seeds, two readers, one rule."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from asclib.evaluation import control
from asclib.evaluation.systems import Clips, System
from asclib.runs import Experiment, Run
from asclib.training import predict
from asclib.tuning import (
    Architecture,
    Configuration,
    Effort,
    Search,
    Searched,
    architecture,
    cost,
    features,
    finals,
    work,
)
from asclib.tuning.search import PLAN
from tests.data import TINY

EFFORT = Effort(trials=6, epochs=1, clips=40)


@pytest.fixture(scope="module")
def finished(tiny_store, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCLIB_PROGRESS", "/dev/null")
        search = Search("architecture", Experiment(TINY), EFFORT)
        study = work(search, str(tmp_path_factory.mktemp("study") / "journal"))
        yield search, study, finals.finals(search, study, (1, 2), number=2)


def test_finalists_are_the_authors_and_the_best_others(finished):
    search, study, _ = finished
    points = finals.finalists(search, study, 1)
    authors, best = points
    assert authors == 0 and points[authors] == search.start
    assert architecture.parameters(points[best]) == pytest.approx(study.trials[best].params)
    others = [trial.value for trial in study.trials[1:] if trial.value is not None]
    assert len(others) > 1 and study.trials[best].value == max(others)


def test_a_point_that_was_tried_twice_is_one_finalist():
    """A trial whose worker died is repeated under another number, be it the authors' own."""
    search = Search("architecture", Experiment(TINY), EFFORT)
    start, space = architecture.parameters(search.start), optuna.create_study()
    search.point(space.ask())
    other = start | {"dense": 64}
    study = optuna.create_study(direction="maximize")
    distributions = space.trials[0].distributions
    for value, params in ((0.9, start), (0.8, other), (0.7, other), (0.6, start | {"dense": 32})):
        trial = optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
        study.add_trial(trial)
    points = finals.finalists(search, study, 2)
    assert {number: point.dense for number, point in points.items()} == {0: 256, 3: 64, 7: 32}


def test_one_reader_trains_as_the_search_and_one_as_a_student(finished):
    search, _, _ = finished
    runs = {name: make(search, search.start, 3) for name, make in finals.READERS.items()}
    assert runs["search"].plan.batch_size == PLAN.batch_size
    assert runs["search"].plan.epochs == EFFORT.epochs
    assert runs["student"].plan == TINY.student
    for run in runs.values():
        assert isinstance(run, Run) and run.seed == 3 and run.data == search.data
        assert run.network().architecture == Architecture()


def test_an_input_is_read_by_tmsic_s_form_at_its_macs():
    search = Search("features", Experiment(TINY), EFFORT)
    most = cost(Architecture()).macs
    for point in (Configuration(), Configuration(22_050, 2_048, 75, 40)):
        run = finals.as_student(search, point, 0)
        assert run.data.front_end.shape() == point.log_mel().shape()
        net = run.network()
        spent = cost(net.architecture, point.log_mel().shape())
        assert 0.85 * most < spent.macs <= most
        assert net.architecture.kernels == Architecture().kernels
    assert finals.as_student(search, Configuration(), 0).network().architecture == Architecture()


def test_each_row_has_the_scores_of_its_runs_and_dunnett_s_interval(finished):
    search, study, rows = finished
    points = finals.finalists(search, study, 2)
    assert [(r["reader"], r["number"]) for r in rows] == [
        (reader, number) for reader in ("search", "student") for number in points
    ]
    clips = search.data.clips("test")
    right = {}
    for number, point in points.items():
        nets = [finals.as_student(search, point, seed).net() for seed in (1, 2)]
        hits = [(predict(net, clips.x).argmax(1) == clips.labels).double() for net in nets]
        right[number] = System(str(number), np.stack(hits), (1, 2))
    others = [right[number] for number in list(points)[1:]]
    expected = control.against(right[0], others, Clips.of(search.data.table("test")))
    assert "difference" not in rows[3] and rows[3]["macs"] == cost(Architecture()).macs
    for row in rows[4:]:
        one = expected[str(row["number"])]
        assert row["difference"] == pytest.approx(one.estimate, abs=1e-4)
        assert (row["low"], row["high"]) == pytest.approx((one.low, one.high), abs=2e-3)
        assert row["verdict"] == one.verdict


@pytest.mark.parametrize("seeds", [(1,), (2, 2)])
def test_a_single_seed_has_no_spread(finished, seeds):
    search, study, _ = finished
    with pytest.raises(ValueError, match="name two or more with --seeds"):
        finals.finals(search, study, seeds)


def test_configurations_come_back_from_their_trials():
    search = Search("features", Experiment(TINY), EFFORT)
    study = optuna.create_study(direction="maximize")
    for value, point in ((0.3, Configuration()), (0.5, Configuration(16_000, 1_024, 50, 60))):
        trial = optuna.trial.create_trial(
            params=features.parameters(point),
            distributions={
                "sample_rate": optuna.distributions.CategoricalDistribution(features.SAMPLE_RATES),
                "n_fft": optuna.distributions.CategoricalDistribution(features.N_FFTS),
                "hop_percent": optuna.distributions.CategoricalDistribution(features.HOPS),
                "n_mels": optuna.distributions.IntDistribution(20, 300, step=20),
            },
            value=value,
        )
        study.add_trial(trial)
    points = finals.finalists(search, study)
    assert points == {0: Configuration(), 1: Configuration(16_000, 1_024, 50, 60)}
    assert isinstance(finals.as_searched(search, points[1], 0).network(), Searched)
