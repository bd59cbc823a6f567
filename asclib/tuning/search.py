"""A search: one study in one storage, and as many workers as there are machines.

TPE (Bergstra et al. 2011) proposes, Hyperband (Li et al. 2018, arXiv 1603.06560) stops what falls
behind; both are Optuna's. What cannot be trained is pruned before it costs anything, with the
reason in the trial. A worker may be killed at any moment: the trial it was at is repeated.

Chapters: book/input/feature_search, book/networks/architecture_search.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from safetensors.torch import load_file

from asclib import training
from asclib.features import VERSION as HEARD
from asclib.runs.data import Data
from asclib.runs.experiment import Experiment
from asclib.runs.parallel import side_by_side
from asclib.runs.run import VERSION as TRAINED
from asclib.runs.run import save_weights
from asclib.store import artefact
from asclib.training import Clips
from asclib.tuning import architecture, features
from asclib.tuning.architecture import (
    LIMITED,
    Architecture,
    Cost,
    Limited,
    Searched,
    TooLarge,
)
from asclib.tuning.features import Configuration, EmptyFilters
from asclib.tuning.lost import myself, repeat, repeat_lost
from asclib.tuning.sampler import PROPOSERS, Proposer, SeededByNumber

Kind = Literal["features", "architecture"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
HEARTBEAT = 30  # seconds between two signs of life of a worker, in a database only
SILENT = 4  # so many times as long, and it is taken for dead

Point = Configuration | Architecture


@dataclass(frozen=True)
class Effort:
    """How much a search spends.

    Args:
        trials: of the study.
        epochs: of the longest of them.
        clips: to fit on, or all.
        exam: epochs before Hyperband's first verdict: networks that have not begun to learn differ
            by how fast they begin.
        macs: of every network of a search for features, which is then as wide as that allows for
            its input; None tries all inputs with one network, cheap for small ones.
    """

    trials: int
    epochs: int
    clips: int | None = None
    exam: int = 1
    macs: int | None = None


EFFORTS = {
    "quick": Effort(trials=12, epochs=3, clips=160),
    "study": Effort(trials=200, epochs=45, exam=5, macs=10_000_000),
    "tau": Effort(trials=200, epochs=81, macs=10_000_000),  # the published search's epochs
}
# The rate does not fall: networks must be comparable at each of Hyperband's verdicts.
PLAN = training.Training(
    1, learning_rate=3e-3, batch_size=16, schedule="constant", statistics_momentum=0.1
)


@dataclass(frozen=True)
class Search:
    """What is searched, with what effort, on whose clips; equal on all workers of a study.

    proposer: who proposes points, TPE or, as its control, chance.
    """

    kind: Kind
    experiment: Experiment
    effort: Effort
    proposer: Proposer = "tpe"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no search for {self.kind!r}: choose one of {', '.join(KINDS)}")
        if self.proposer not in PROPOSERS:
            raise ValueError(f"nobody proposes as {self.proposer!r}: {' or '.join(PROPOSERS)}")

    @functools.cached_property
    def data(self) -> Data:
        """The clips of the experiment, one picture of each: a search compares bare networks."""
        return replace(self.experiment.data, views=None)

    @property
    def start(self) -> Point:
        """The authors' choice, which is the first trial of every study."""
        return Configuration() if self.kind == "features" else Architecture()

    def point(self, trial: optuna.trial.BaseTrial) -> Point:
        """The point of a trial: asked for in a running one, read from a finished one."""
        if isinstance(trial, FrozenTrial):
            trial = optuna.trial.FixedTrial(trial.params)
        return (features if self.kind == "features" else architecture).suggest(trial)

    def settings(self) -> dict[str, Any]:
        """What the trials of one study have in common, as plain json values.

        Code that comes to other features or weights makes another study of it.
        """
        spent = asdict(self.effort) | {"proposer": self.proposer}
        spent.pop("trials")  # a study may be given more of them
        common = {"kind": self.kind, "seed": self.experiment.seed, **spent, "plan": asdict(PLAN)}
        versions = {"features": HEARD, "training": TRAINED}
        return common | {"data": self.data.store_key, "versions": versions}

    def name(self) -> str:
        """Of the study: what is searched, and a hash of the settings."""
        text = json.dumps(self.settings(), sort_keys=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The clips to fit on, as evenly over scenes as they go, and the validation clips.

        No location is on both sides; the test split is not read.
        """
        fit, number = self.data.table("fit"), self.effort.clips
        if number is not None and number < len(fit):
            mixed = fit.sample(frac=1, random_state=0)
            turn = mixed.groupby("scene").cumcount()
            fit = mixed.loc[turn.sort_values(kind="stable").index[:number]].sort_index()
        return fit, self.data.table("validation")

    def clips(self, point: Point) -> tuple[Clips, Clips]:
        """The inputs of one trial: to fit on, and to validate on."""
        fit, validation = self.tables()
        if isinstance(point, Configuration):
            both = features.clips(self.data, point, pd.concat([fit, validation]))
            rows = np.arange(len(both.x))
            return both.take(rows[: len(fit)]), both.take(rows[len(fit) :])
        rows = self.data.table("fit").index.get_indexer(fit.index)
        return self.data.clips("fit").take(rows), self.data.clips("validation")

    def admit(self, point: Point) -> Cost:
        """The cost of a point that may be trained.

        Raises: EmptyFilters or TooLarge with the reason why it must not be.
        """
        if isinstance(point, Configuration):
            return architecture.admit(self._reader(point), point.log_mel().shape())
        return architecture.admit(point)

    def network(self, point: Point) -> functools.partial[Searched]:
        """Makes an untrained network for that point."""
        return functools.partial(
            Searched, point if isinstance(point, Architecture) else self._reader(point)
        )

    def _reader(self, point: Configuration) -> Architecture:
        """The network that an input is tried with."""
        if self.effort.macs is None:
            return features.NETWORK
        return architecture.widest(features.NETWORK, point.log_mel().shape(), self.effort.macs)

    def trained(self, point: Point, leave: Searched | None = None) -> Searched | None:
        """The network that a finished trial left in the store; `leave` puts it there."""
        build = None if leave is None else functools.partial(save_weights, leave)
        folder = artefact("tuning_trial", self.settings() | {"point": point}, build)
        if folder is None:
            return None
        net = self.network(point)()
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        return net.eval()


def open_storage(url: str, heartbeat: int = HEARTBEAT) -> optuna.storages.BaseStorage:
    """A storage by its address: a database's URL, or the path of a journal file.

    A file is enough for the processes of one machine; several machines share a database, such as
    postgresql://user:password@host/name. There `heartbeat` is the time in seconds between two signs
    of life of a worker.
    """
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(url))
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)  # the driver we install
    attempts = 5
    while True:
        try:
            return optuna.storages.RDBStorage(
                url,
                heartbeat_interval=heartbeat,
                grace_period=SILENT * heartbeat,
                heartbeat_stale_trial_callback=repeat,
            )
        except Exception:  # two first workers may both be making the tables
            if not attempts:
                raise
            attempts -= 1
            time.sleep(1)


def open_study(search: Search, url: str, heartbeat: int = HEARTBEAT) -> optuna.Study:
    """The study of a search in a storage (`open_storage`), begun when it is not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    start = (features if search.kind == "features" else architecture).parameters(search.start)
    sampler = SeededByNumber(search.experiment.seed, start, search.proposer)
    sampler.whole = study = optuna.create_study(
        study_name=search.name(),
        storage=open_storage(url, heartbeat),
        direction="maximize",
        load_if_exists=True,
        sampler=sampler,
        pruner=optuna.pruners.HyperbandPruner(search.effort.exam, search.effort.epochs, 3),
    )
    study.set_user_attr("settings", search.settings())
    return study


def work(
    search: Search,
    url: str,
    say: Callable[[str], None] = lambda line: None,
    heartbeat: int = HEARTBEAT,
) -> optuna.Study:
    """Take trials until the study has all it should have, those of other workers included.

    Trials whose worker died on this machine are repeated first. (In a database those of dead
    workers elsewhere are found as well, after four silent heartbeats.)

    Args: url, heartbeat of the storage; see `open_storage`. say, called with a line after every
        trial.
    """
    study = open_study(search, url, heartbeat)

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("worker", myself())
        before = study.get_trials(deepcopy=False, states=(*COUNTED, TrialState.WAITING))
        if sum(other.number < trial.number for other in before) >= search.effort.trials:
            raise _Surplus
        return _try(search, trial)

    def tell(_: optuna.Study, trial: FrozenTrial) -> None:
        say(describe(trial))

    repeat_lost(study)
    while len(study.get_trials(deepcopy=False, states=COUNTED)) < search.effort.trials:
        study.optimize(objective, n_trials=1, catch=_Surplus, callbacks=[tell])
        repeat_lost(study)
    return study


def kept(search: Search) -> optuna.Study:
    """The search done once by this process, in a journal in the store, and found there again."""
    folder = artefact(
        "tuning_study",
        search.settings() | {"trials": search.effort.trials},
        lambda folder: work(search, str(folder / "journal")),
    )
    return open_study(search, str(folder / "journal"))


def run(search: Search, url: str, workers: int) -> optuna.Study:
    """The same search by several workers: processes of this machine, or a Dask cluster's inside
    `joblib.parallel_config("dask")`.
    """
    for split in ("fit", "validation"):  # once, before many workers ask for them
        search.data.clips(split)
    side_by_side(work, [(search, url)] * workers, "workers of a search", workers)
    return open_study(search, url)


class _Surplus(Exception):
    """Another worker took the last place in the same moment; this trial is not needed."""


def _try(search: Search, trial: optuna.Trial) -> float:
    """One trial: validation macro accuracy of the best epoch, each epoch reported to the pruner."""
    point = search.point(trial)
    try:
        cost = search.admit(point)
    except EmptyFilters as error:
        trial.set_constraint("filters", 1.0)
        _prune(trial, str(error))
    except TooLarge as error:
        _note(trial, error.cost, error.limits)
        _prune(trial, str(error))
    _note(trial, cost)
    fit, validation = search.clips(point)
    with tempfile.TemporaryDirectory() as folder:
        for epochs in range(1, search.effort.epochs + 1):
            torch.manual_seed(search.experiment.seed)
            net = search.network(point)()
            try:  # goes on from the checkpoint that the epoch before has left in the folder
                history = training.train(
                    net,
                    fit,
                    validation,
                    replace(PLAN, epochs=epochs),
                    seed=search.experiment.seed,
                    folder=Path(folder),
                )
            except FloatingPointError as error:
                _prune(trial, str(error))
            trial.report(history["validation_accuracy"].iloc[-1], epochs)
            if epochs < search.effort.epochs and trial.should_prune():
                _prune(trial, f"behind after {epochs} epochs")
    search.trained(point, leave=net)
    return float(history["validation_accuracy"].max())


def _note(trial: optuna.Trial, cost: Cost, limits: Limited = LIMITED) -> None:
    trial.set_user_attr("macs", cost.macs)
    trial.set_user_attr("parameters", cost.parameters)
    for name, value in cost.excess(limits).items():
        trial.set_constraint(name, value)  # TPE learns from these where it may look


def _prune(trial: optuna.Trial, reason: str) -> None:
    trial.set_user_attr("reason", reason)
    raise optuna.TrialPruned(reason)


def describe(trial: FrozenTrial) -> str:
    """One line about a finished trial."""
    if trial.value is not None and trial.state == TrialState.COMPLETE:
        return f"trial {trial.number}: {100 * trial.value:.1f} %"
    return f"trial {trial.number}: {trial.state.name.lower()}, {trial.user_attrs.get('reason')}"
