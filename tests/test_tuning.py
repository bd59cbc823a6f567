"""A search proposes only what it may, counts before it trains, and never reads the test split."""

import hashlib
import json
import warnings
from dataclasses import replace

import librosa
import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, IntDistribution

from asclib import features as heard
from asclib import store, training
from asclib.augmentation import Copies
from asclib.challenge import task
from asclib.complexity import complexity
from asclib.corpus import Corpus
from asclib.corpus.embedded import CorpusSize
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.runs import Experiment
from asclib.runs import run as trained
from asclib.tuning import (
    Architecture,
    Configuration,
    Effort,
    EmptyFilters,
    Search,
    Searched,
    architecture,
    cost,
    features,
    open_study,
    work,
)
from asclib.tuning import search as tuning_search
from asclib.tuning.__main__ import main
from tests.data import TINY

EFFORT = Effort(trials=5, epochs=3, clips=40)
SPACE = {
    "sample_rate": CategoricalDistribution((8000, 16000, 22050, 44100)),
    "n_fft": CategoricalDistribution((256, 512, 1024, 2048)),
    "hop_percent": CategoricalDistribution((25, 50, 75)),
    "n_mels": IntDistribution(20, 300, step=20),
}


@pytest.fixture(scope="module")
def experiment(tiny_store):
    return Experiment(TINY)


class Draw:
    """Stands for a trial whose parameters are drawn evenly, without a study that remembers."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def suggest_int(self, name, low, high, step=1):
        return int(self.random.choice(range(low, high + 1, step)))

    def suggest_float(self, name, low, high, step):
        return float(low + step * self.random.integers(round((high - low) / step) + 1))

    def suggest_categorical(self, name, choices):
        return choices[self.random.integers(len(choices))]


def slow_count(point: Architecture) -> tuple[int, int]:
    """Parameters and MACs of an architecture at (1, 140, 8), written down layer by layer."""
    (f1, f2, f3, f4), (k1, k2, k3, k4), (p2, p3) = point.filters, point.kernels, point.pools
    h2, w2 = 140 // p2[0], 8 // p2[1]
    h3, w3 = h2 // p3[0], w2 // p3[1]
    weights = [f1 * k1[0] * k1[1], f2 * f1 * k2[0] * k2[1], f3 * f2 * k3[0] * k3[1]]
    macs = weights[0] * 1120 + weights[1] * 1120 + weights[2] * h2 * w2
    parameters = sum(weights) + 5 * (f1 + f2 + f3)
    last = f3
    if f4:
        parameters += f4 * f3 * k4[0] * k4[1] + 5 * f4
        macs += f4 * f3 * k4[0] * k4[1] * h3 * w3
        last = f4
    parameters += last * point.dense + point.dense + point.dense * 10 + 10
    return parameters, macs + last * point.dense + point.dense * 10


# ---- architectures -------------------------------------------------------------------------


def test_the_default_point_costs_what_tmsic_costs():
    assert cost(Architecture()) == (51_986, 25_376_896)
    counted = complexity(Searched())
    assert (counted.parameters, counted.macs) == (51_986, 25_376_896)


def test_the_default_point_is_tmsic_weight_by_weight():
    torch.manual_seed(0)
    ours, theirs, x = Searched().eval(), TMSIC().eval(), torch.randn(3, 1, 140, 8)
    for norm in (theirs.norm1, theirs.norm4):
        torch.nn.init.normal_(norm.running_mean)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
    for net in (ours, theirs):  # dropout asks for the same random numbers
        net.train()
    torch.manual_seed(1)
    ours = ours(x)
    torch.manual_seed(1)
    assert torch.equal(ours, theirs(x))


def test_ten_thousand_sampled_architectures_keep_the_limits_or_are_not_trained(monkeypatch):
    """The gate against a count written down here; that it also asks the meta device is tested
    below, on fewer, for it takes a thousand times as long."""
    vouched = []
    monkeypatch.setattr(architecture, "complexity", lambda net, shape: vouched.pop())
    monkeypatch.setattr(architecture, "Searched", lambda point: None)
    trial, trained = Draw(0), 0
    for _ in range(10_000):
        point = architecture.suggest(trial)
        parameters, macs = slow_count(point)
        vouched.append(type("Counted", (), {"parameters": parameters, "macs": macs}))
        try:
            architecture.admit(point)
        except architecture.TooLarge as error:
            vouched.clear()
            assert parameters > 128_000 or macs > 30_000_000
            assert "allowed" in str(error)
            continue
        assert parameters <= 128_000 and macs <= 30_000_000
        trained += 1
    assert 5_000 < trained < 8_000  # the claim is not empty on either side


def test_the_arithmetic_is_what_the_counter_counts_on_the_meta_device():
    trial = Draw(1)
    for _ in range(25):
        point = architecture.suggest(trial)
        with torch.device("meta"):
            counted = complexity(Searched(point))
        assert cost(point) == (counted.parameters, counted.macs)
    shape = (1, 60, 31)
    counted = complexity(Searched(features.NETWORK), shape)
    assert cost(features.NETWORK, shape) == (counted.parameters, counted.macs)


def test_a_count_that_differs_from_the_arithmetic_stops_the_search(monkeypatch):
    monkeypatch.setattr(architecture, "cost", lambda *_: architecture.Cost(51_986, 25_376_895))
    with pytest.raises(AssertionError, match="but costs"):
        architecture.admit(Architecture())


def test_every_point_of_the_space_can_be_run_and_written_as_parameters():
    trial = Draw(2)
    for _ in range(10):
        point = architecture.suggest(trial)
        assert Searched(point).eval()(torch.zeros(2, 1, 140, 8)).shape == (2, 10)
        again = architecture.suggest(optuna.trial.FixedTrial(architecture.parameters(point)))
        assert again == point


def test_pools_that_leave_nothing_are_named():
    with pytest.raises(ValueError, match="leave nothing.*use 1 x 1"):
        cost(Architecture(), (1, 3, 1))


# ---- configurations ------------------------------------------------------------------------


def test_the_default_configuration_is_the_authors():
    assert Configuration().log_mel().settings == LogMel.tmsic().settings
    point = Configuration(16000, 512, 25, 60)
    assert features.suggest(optuna.trial.FixedTrial(features.parameters(point))) == point


def test_empty_filters_are_counted_and_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filters = librosa.filters.mel(sr=8000, n_fft=256, n_mels=260)
    empty = int((filters.max(1) == 0).sum())
    with pytest.raises(EmptyFilters, match=f"^{empty} of 260 "):
        Configuration(8000, 256, 50, 260).log_mel()


def test_features_of_a_configuration_are_computed_once_and_joined(experiment, monkeypatch):
    point, table = Configuration(8000, 512, 75, 20), experiment.table("validation").iloc[::3]
    first = features.clips(experiment.data, point, table)
    assert first.x.shape == (len(table), 1, 20, 8000 // 384 + 1)
    wave, _ = librosa.load(experiment.corpus.root / table["filename"].iloc[2], sr=None)
    assert torch.equal(first.x[2], point.log_mel()(wave[None])[0])
    monkeypatch.setattr(LogMel, "forward", None)
    again = features.clips(experiment.data, point, table)
    assert torch.equal(again.x, first.x)
    assert again.identifiers.tolist() == table["identifier"].tolist()


def test_the_authors_configuration_gives_the_clips_of_the_experiment(experiment):
    table = experiment.table("validation")
    ours = features.clips(experiment.data, Configuration(), table)
    assert torch.equal(ours.x, experiment.clips("validation").x)
    assert torch.equal(ours.labels, experiment.clips("validation").labels)


# ---- searches ------------------------------------------------------------------------------


def test_a_search_validates_on_other_places_and_fits_on_all_scenes_alike(experiment):
    fit, validation = Search("features", experiment, EFFORT).tables()
    assert len(fit) == 40 and set(fit["scene"].value_counts()) == {4}
    here, there = (set(zip(t["city"], t["location"], strict=True)) for t in (fit, validation))
    assert not here & there
    everything, _ = Search("features", experiment, replace(EFFORT, clips=None)).tables()
    assert everything.equals(experiment.table("fit"))


@pytest.mark.parametrize("kind", ["features", "architecture"])
def test_both_searches_give_a_clip_its_own_label(experiment, kind):
    search = Search(kind, experiment, EFFORT)
    table = search.tables()[0].set_index("identifier")
    fit, validation = search.clips(search.start)
    assert fit.identifiers.tolist() == table.index.tolist()
    scenes = [task.SCENES[k] for k in fit.labels]
    assert scenes == table["scene"].tolist()
    assert validation.x.shape == (len(experiment.table("validation")), 1, 140, 8)


@pytest.fixture(scope="module")
def studies(experiment, tmp_path_factory):
    """Both searches, finished, with the test split locked away."""
    split = Corpus.split

    def no_test(self, name, *arguments, **options):
        assert name != "test", "a search read the test split"
        return split(self, name, *arguments, **options)

    folder, lines = tmp_path_factory.mktemp("studies"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Corpus, "split", no_test)
        found = {
            kind: work(Search(kind, experiment, EFFORT), str(folder / kind), say=lines.append)
            for kind in ("features", "architecture")
        }
    return found, lines


def test_every_trial_has_a_score_or_a_reason(studies):
    found, lines = studies
    assert len(lines) == 10
    for study in found.values():
        assert [trial.number for trial in study.trials] == list(range(5))
        for trial in study.trials:
            if trial.state == optuna.trial.TrialState.COMPLETE:
                assert trial.value == max(trial.intermediate_values.values())
                assert sorted(trial.intermediate_values) == [1, 2, 3]
                assert trial.user_attrs["macs"] <= 30_000_000
            else:
                assert trial.state == optuna.trial.TrialState.PRUNED
                assert trial.user_attrs["reason"]


def test_the_first_trial_is_the_authors_choice(studies):
    first = {kind: study.trials[0].params for kind, study in studies[0].items()}
    assert first["features"] == features.parameters(Configuration())
    assert first["architecture"] == architecture.parameters(Architecture())


def test_a_finished_trial_leaves_its_network(experiment, studies):
    search = Search("architecture", experiment, EFFORT)
    net, validation = search.trained(Architecture()), experiment.clips("validation")
    accuracy = training.macro_accuracy(training.predict(net, validation.x), validation.labels)
    assert accuracy == pytest.approx(studies[0]["architecture"].trials[0].value)
    assert search.trained(Architecture(dense=32)) is None


@pytest.mark.parametrize(
    ("kind", "point", "reason"),
    [
        ("features", Configuration(8000, 256, 50, 260), "of 260 mel filters are empty"),
        ("features", Configuration(44100, 2048, 25, 300), "MACs, 30,000,000 allowed"),
        (
            "architecture",
            Architecture((32, 48, 64, 32), ((7, 7),) * 4, ((2, 2),) * 2),
            "parameters, 128,000 allowed",
        ),
    ],
)
def test_what_cannot_be_is_pruned_with_the_reason_and_not_trained(
    experiment, tmp_path, monkeypatch, kind, point, reason
):
    search = Search(kind, experiment, replace(EFFORT, trials=1))
    monkeypatch.setattr(Search, "start", point)
    monkeypatch.setattr(training, "train", None)
    (trial,) = work(search, str(tmp_path / "journal")).trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert reason in trial.user_attrs["reason"]
    assert max(trial.constraints.values()) > 0


def test_a_loss_that_is_not_finite_is_a_reason(experiment, tmp_path, monkeypatch):
    def diverges(*_, **__):
        raise FloatingPointError("the loss of epoch 0 is nan")

    monkeypatch.setattr(training, "train", diverges)
    search = Search("architecture", experiment, replace(EFFORT, trials=1))
    (trial,) = work(search, str(tmp_path / "journal")).trials
    assert trial.user_attrs["reason"] == "the loss of epoch 0 is nan"


def test_an_interrupted_search_proposes_what_an_unbroken_one_does(experiment, studies, tmp_path):
    for trials in (2, 5):
        search = Search("features", experiment, replace(EFFORT, trials=trials))
        study = work(search, str(tmp_path / "journal"))
    unbroken = studies[0]["features"]
    assert [t.params for t in study.trials] == [t.params for t in unbroken.trials]
    assert [t.value for t in study.trials] == [t.value for t in unbroken.trials]


@pytest.mark.parametrize("proposer", ["tpe", "random"])
def test_no_point_is_proposed_twice(experiment, tmp_path, monkeypatch, proposer):
    """Left alone, TPE proposes its favourite among few points again and again."""

    def flat(_, trial):
        return float(features.suggest(trial).n_mels == 140)

    monkeypatch.setattr(tuning_search, "_try", flat)
    search = Search("features", experiment, replace(EFFORT, trials=40), proposer)
    study = work(search, str(tmp_path / "j"))
    assert len({str(trial.params) for trial in study.trials}) == 40


def test_chance_does_not_learn_from_what_it_saw(experiment, tmp_path, monkeypatch):
    """Its points are the same whatever the trials say; those of TPE are not."""
    for proposer, same in (("random", True), ("tpe", False)):
        drawn = []
        for favourite in (40, 280):

            def near(_, trial, favourite=favourite):
                return -abs(features.suggest(trial).n_mels - favourite) / 300

            monkeypatch.setattr(tuning_search, "_try", near)
            search = Search("features", experiment, replace(EFFORT, trials=30), proposer)
            study = work(search, str(tmp_path / f"{proposer}{favourite}"))
            drawn.append([trial.params for trial in study.trials])
        assert (drawn[0] == drawn[1]) == same


def by_chance_alone(count: int, seed: int = 0) -> list[dict]:
    """The points of random samplers, each seeded by seed and number, drawn anew where tried."""
    drawn = [features.parameters(Configuration())]
    while len(drawn) < count:
        digest = hashlib.sha256(f"{seed} {len(drawn)}".encode()).digest()
        sampler = optuna.samplers.RandomSampler(seed=int.from_bytes(digest[:4], "little"))
        point = drawn[0]
        while point in drawn:
            point = {
                name: sampler.sample_independent(None, None, name, distribution)
                for name, distribution in sorted(SPACE.items())
            }
        drawn.append(point)
    return drawn


@pytest.mark.parametrize("favourite", [40, 280])
def test_chance_is_chance_where_no_trial_completes(experiment, tmp_path, monkeypatch, favourite):
    """As TPE learns from pruned trials too: those of the control must teach it nothing."""

    def pruned_at_first(_, trial):
        score = -abs(features.suggest(trial).n_mels - favourite) / 300
        trial.report(score, 1)
        if trial.number < 15:
            raise optuna.TrialPruned
        return score

    monkeypatch.setattr(tuning_search, "_try", pruned_at_first)
    search = Search("features", experiment, replace(EFFORT, trials=30), "random")
    study = work(search, str(tmp_path / "journal"))
    states = [trial.state for trial in study.trials[:16]]
    assert states == [optuna.trial.TrialState.PRUNED] * 15 + [optuna.trial.TrialState.COMPLETE]
    assert [trial.params for trial in study.trials] == by_chance_alone(30)


def test_no_trial_is_judged_before_its_exam(experiment, tmp_path):
    """Hyperband with a first exam after two epochs stops nobody after one."""
    effort = Effort(trials=8, epochs=4, clips=40, exam=2)
    study = work(Search("features", experiment, effort), str(tmp_path / "j"))
    seen = [len(trial.intermediate_values) for trial in study.trials if trial.intermediate_values]
    assert min(seen) >= 2 and max(seen) == 4


# ---- equal costs ---------------------------------------------------------------------------------

MACS = 10_000_000


@pytest.mark.parametrize("shape", [(1, 20, 5), (1, 140, 8), (1, 300, 17), (1, 60, 90)])
def test_every_input_gets_the_widest_network_that_the_macs_allow(shape):
    point = architecture.widest(features.NETWORK, shape, MACS)
    spent = cost(point, shape)
    first, second, third, _ = point.filters
    assert second == third == 2 * first and point.kernels == features.NETWORK.kernels
    assert spent.macs <= MACS and spent.parameters <= 128_000
    wider = replace(point, filters=(first + 1, second + 2, third + 2, 0))
    assert cost(wider, shape).macs > MACS or cost(wider, shape).parameters > 128_000


def test_an_input_for_which_the_narrowest_network_costs_too_much_is_refused(experiment):
    search = Search("features", experiment, replace(EFFORT, macs=MACS))
    little = Search("features", experiment, replace(EFFORT, macs=MACS // 50))
    large = Configuration(44_100, 2048, 25, 300)
    with pytest.raises(architecture.TooLarge, match="MACs, 200,000 allowed"):
        little.admit(large)
    small = Configuration()
    assert search.admit(small) == cost(search.network(small)().architecture, (1, 140, 8))
    assert search.admit(small).macs > 0.8 * MACS


def test_other_settings_are_another_study_in_the_same_storage(experiment, tmp_path):
    url = str(tmp_path / "journal")
    searches = [
        Search("features", experiment, EFFORT),
        Search("architecture", experiment, EFFORT),
        Search("features", experiment, replace(EFFORT, epochs=4)),
        Search("features", Experiment(TINY, seed=1), EFFORT),
        Search("features", experiment, EFFORT, "random"),
        Search("features", experiment, replace(EFFORT, exam=2)),
        Search("features", experiment, replace(EFFORT, macs=10_000_000)),
    ]
    assert len({open_study(search, url).study_name for search in searches}) == len(searches)
    more = Search("features", experiment, replace(EFFORT, trials=50))
    assert open_study(more, url).study_name == searches[0].name()


def test_what_a_search_hears_and_with_which_code_makes_the_study_and_its_networks(experiment):
    search = Search("architecture", experiment, EFFORT)
    assert search.settings()["data"] == experiment.data.store_key
    other = Search("architecture", Experiment(replace(TINY, corpus=CorpusSize(120, 190))), EFFORT)
    point = Architecture((4, 4, 4, 0), dense=32)
    net = search.network(point)()
    assert search.trained(point, leave=net) is not None
    assert search.name() != other.name() and other.trained(point) is None
    versions = {"features": heard.VERSION, "training": trained.VERSION}
    assert search.settings()["versions"] == versions


def test_clips_with_several_views_are_searched_in_one(experiment):
    many = Experiment(replace(TINY, views=Copies(lambda x, rate, rng: x / 2)))
    assert many.data != experiment.data
    plain, search = (Search("architecture", one, EFFORT) for one in (experiment, many))
    for ours, theirs in zip(search.clips(search.start), plain.clips(plain.start), strict=True):
        assert ours.identifiers.tolist() == theirs.identifiers.tolist()
        assert torch.equal(ours.x, theirs.x)


def test_an_unknown_search_names_the_known_ones(experiment):
    with pytest.raises(ValueError, match="features, architecture"):
        Search("weights", experiment, EFFORT)


def test_the_command_is_a_worker_that_goes_on(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASCLIB_PROGRESS", "/dev/null")
    url = str(tmp_path / "folder" / "journal")
    common = ["features", "--storage", url, "--effort", "quick", "--epochs", "1", "--clips", "40"]
    main([*common, "--trials", "1"], TINY)
    main([*common, "--trials", "2"], TINY)
    asked = Search("features", experiment, Effort(trials=2, epochs=1, clips=40))
    assert len(open_study(asked, url).trials) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["trial 0", "trial 1"]
    without = [*common[:1], *common[3:]]  # a storage: the journal is in the store then
    main([*without, "--trials", "1"], TINY)
    (journal,) = store.root().glob("features-*.journal")
    assert json.loads(journal.read_text().splitlines()[0])
    with pytest.raises(SystemExit):
        main([*common, "--trials", "0"])
    assert "at least one" in capsys.readouterr().err
