"""An experiment: one corpus, one profile, one seed, and every network trained on them.

A chapter asks for what it needs; what is missing is built, stored and found again the next time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from asclib import features, kept, settings, synthesis, teacher, training
from asclib.corpus import Corpus
from asclib.distillation import TECHNIQUES, Answers, distill, earlier, is_technique, stages_of
from asclib.distillation.outputs import look
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.parallel import side_by_side
from asclib.store import artefact, write_atomic
from asclib.teacher import OneVsAllTeacher
from asclib.training import Clips

MEMBERS = tuple(f"member_{scene}" for scene in settings.SCENES)
UNTAUGHT = ("student", "student_control", "student_smoothed", "single")
SMOOTHING = 0.1  # of the labels, for "student_smoothed"; "student_smoothed@2" doubles it
ASSISTANT = (30, 42, 42, 24)  # filters of the assistant: half as many again as TMSIC's
SINGLE = (67, 94, 95, 54)  # filters of one network with the parameters of the whole teacher


class Experiment:
    """Everything a chapter can ask for, built on first use.

    Args:
        profile: a name in settings.PROFILES ("quick", "small", "study", "tau") or a Profile.
        data_root: a folder in TAU layout; None renders and uses the embedded corpus.
        seed: of the networks' initial values, the order of clips and dropout (not of the corpus).
        teacher: a folder with a trained teacher and its members (`asclib.kept`), or the seed of the
            experiment whose teacher this is; None trains its own.
    """

    def __init__(
        self,
        profile: str | settings.Profile = "quick",
        data_root: str | Path | None = None,
        seed: int = 0,
        teacher: str | Path | int | None = None,
    ):
        self.profile = settings.profile(profile) if isinstance(profile, str) else profile
        self.data_root = None if data_root is None else str(Path(data_root).expanduser().resolve())
        self.seed = seed
        is_folder = isinstance(teacher, (str, Path))
        self.given_teacher = str(Path(teacher).expanduser().resolve()) if is_folder else teacher

    def __reduce__(self):  # not the clips it has read
        return Experiment, (self.profile, self.data_root, self.seed, self.given_teacher)

    def shorter(self, part: int) -> Experiment:
        """The same with one epoch in `part` for the student and for every stage."""
        student, stage = (
            replace(plan, epochs=plan.epochs // part)
            for plan in (self.profile.student, self.profile.stage)
        )
        profile = replace(self.profile, student=student, stage=stage)
        return Experiment(profile, self.data_root, self.seed, self.given_teacher)

    # ---- data ------------------------------------------------------------------------------

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The corpus of this experiment, opened and validated."""
        return Corpus.open(self._embedded or self.data_root)

    @functools.cached_property
    def _embedded(self) -> Path | None:
        """The folder of the embedded corpus, rendered once; None when a data_root is given."""
        if self.data_root is not None:
            return None
        size = self.profile.corpus
        return artefact(
            "corpus",
            asdict(size),
            lambda folder: synthesis.render(folder, size, workers=training.cores()),
            code=(synthesis.render,),
        )

    @functools.cached_property
    def _features(self) -> Path:
        log_mel = LogMel.tmsic()
        return artefact(
            "features",
            {"corpus": self.corpus.fingerprint, "log_mel": log_mel.settings},
            lambda folder: features.extract(self.corpus, log_mel, folder, workers=training.cores()),
            code=(features.extract, LogMel),
            # other code may render other sounds under the same names and sizes
            parents=(self._embedded,) if self._embedded else (),
        )

    def table(self, split: str) -> pd.DataFrame:
        """The clips of "fit", "validation", "train" or "test"; row i is row i of `clips(split)`."""
        return self.corpus.split(split)

    def clips(self, split: str) -> Clips:
        """Features and labels of one split: (n, 1, 140, 8) log-mel in nepers.

        The features are mapped from a file: processes that train on them share one copy in memory.
        """
        table = self.table(split)
        folder = artefact(
            "clips",
            {"split": split, "clips": self._fingerprint(split)},
            lambda folder: np.save(folder / "x.npy", features.load(self._features, table)),
            parents=(self._features,),
        )
        x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="c"))  # c: torch wants to write
        labels = torch.tensor([settings.SCENES.index(scene) for scene in table["scene"]])
        return Clips(x, labels, table["identifier"].to_numpy())

    # ---- networks --------------------------------------------------------------------------

    def network(self, name: str) -> TMSIC | OneVsAllTeacher:
        """Any network by its name, as `history` knows them."""
        self.build(name)
        net = _untrained(name)
        net.load_state_dict(load_file(self._trained(name) / "weights.safetensors"))
        return net.eval()

    def student(self, control: bool = False) -> TMSIC:
        """TMSIC trained on the labels alone; as a control, with all the effort a member gets."""
        return self.network("student_control" if control else "student")

    def member(self, scene: str) -> TMSIC:
        """The one-vs-all network of one scene, [scene, others]."""
        return self.network(f"member_{scene}")

    def teacher(self) -> OneVsAllTeacher:
        """The ten members fused and fine-tuned."""
        return self.network("teacher")

    def assistant(self) -> TMSIC:
        """A wider TMSIC taught by the teacher's responses, to teach the student in its turn."""
        return self.network("assistant")

    def distilled(self, technique: str) -> TMSIC:
        """TMSIC taught through one of the techniques; for names see `distillation.stages_of`."""
        return self.network(technique)

    def history(self, name: str) -> pd.DataFrame:
        """The epochs of one training.

        Args: name: "student", "student_control", "student_smoothed", "single", "member_<scene>",
            "teacher", "assistant" or a technique.
        Raises: ValueError for a name there is not.
        """
        self.build(name)
        own = pd.read_csv(self._trained(name) / "history.csv")
        before = earlier(name)
        return pd.concat([self.history(before), own], ignore_index=True) if before else own

    def wall_seconds(self, name: str) -> float:
        """How long that training took where it was built, all its stages, in seconds."""
        self.build(name)
        own = json.loads((self._trained(name) / "wall.json").read_text())["seconds"]
        before = earlier(name)
        return own + (self.wall_seconds(before) if before else 0)

    def build(self, *names: str) -> None:
        """Train several of this experiment's networks side by side; see `build`."""
        build([(self, name) for name in names])

    def answers(self, *outputs: str, of: str = "teacher") -> Answers:
        """What the teacher says of the clips students learn from, computed once for each output.

        Args: outputs: of `asclib.distillation.outputs.OUTPUTS`, beside the logits; of: who answers,
            "teacher" or "assistant".
        """
        self.build(of)
        folder = self._answer("logits", of)
        identifiers = pd.read_csv(folder / "identifiers.csv", dtype=str)["identifier"].to_numpy()
        files = {
            name: self._answer(name, of) / "answers.npy" for name in outputs if name != "logits"
        }
        # c: torch wants to write; the maps of a large corpus stay on the disk
        others = {name: np.load(path, mmap_mode="c") for name, path in files.items()}
        return Answers(identifiers, np.load(folder / "answers.npy"), others)

    def _answer(self, output: str, of: str) -> Path:
        """The artefact of one output of a teacher: answers.npy and identifiers.csv."""

        def build(folder: Path) -> None:
            clips = self.clips("fit")
            net = self.assistant() if of == "assistant" else self.teacher()
            kept = np.float32 if output == "logits" else np.float16  # half the disk for maps
            file, start = None, 0
            for x in clips.x.split(2_048):  # the maps of a whole data set would not fit in memory
                answers = training.predict(net, x, lambda x: look(net, x, output)[1]).numpy()
                if file is None:
                    shape = (len(clips.x), *answers.shape[1:])
                    file = np.lib.format.open_memmap(folder / "answers.npy", "w+", kept, shape)
                file[start : start + len(answers)] = answers
                start += len(answers)
            file.flush()
            identifiers = pd.DataFrame({"identifier": clips.identifiers})
            identifiers.to_csv(folder / "identifiers.csv", index=False)

        recipe = {"split": "fit", "output": output}
        parents = (self._trained(of), self._features)
        return artefact("answers", recipe, build, code=(look,), parents=parents)

    def _trained(self, name: str, only_look: bool = False) -> Path | None:
        """The artefact of one training: weights.safetensors, history.csv, wall.json."""
        if self.given_teacher is not None and name in ("teacher", *MEMBERS):
            return self._given(name, only_look)
        parents, stages = (self._features,), ()
        base, _, factor = name.partition("@")
        if name == "student":
            run, plan = _train_student, self.profile.student
        elif name in ("student_control", "single"):
            run = _train_student
            member = self.profile.member
            plan = replace(self.profile.student, epochs=member.epochs, mixstyle=member.mixstyle)
        elif base == "student_smoothed":
            run = _train_student
            plan = replace(self.profile.student, label_smoothing=SMOOTHING * float(factor or 1))
        elif name in MEMBERS:
            run, plan = _train_member, self.profile.member
        elif name == "teacher":
            run, plan = _train_fusion, self.profile.fusion
            parents += tuple(self._trained(member) for member in MEMBERS)
        elif name == "assistant":
            stages, plan = TECHNIQUES["response"], self.profile.stage
            run = functools.partial(_train_distilled, stages=stages, before=None)
            parents += (self._trained("teacher"),)
        elif is_technique(name):
            stages, before, plan = stages_of(name), earlier(name), self.profile.stage
            run = functools.partial(_train_distilled, stages=stages, before=before)
            parents += (self._trained(stages[0].teacher),)
            if before:  # all its stages but the last are a technique of their own: go on from there
                parents += (self._trained(before),)
        else:
            known = ", ".join([*UNTAUGHT, *MEMBERS, "teacher", "assistant", *TECHNIQUES])
            raise ValueError(f"no network {name!r}: choose one of {known}")

        def build(folder: Path) -> None:
            start = time.perf_counter()
            net, history = run(self, name, plan, folder)
            history.to_csv(folder / "history.csv", index=False)
            weights = {key: value.contiguous() for key, value in net.state_dict().items()}
            save_file(weights, folder / "weights.safetensors")
            seconds = {"seconds": round(time.perf_counter() - start, 1)}
            write_atomic(folder / "wall.json", json.dumps(seconds).encode())
            for checkpoint in folder.rglob("checkpoint.pt"):
                checkpoint.unlink()

        recipe = {
            "plan": asdict(plan),
            "seed": self.seed,
            "stages": [stage.settings() for stage in stages],
            "clips": [self._fingerprint("fit"), self._fingerprint("validation")],
        }
        code = (run, *(stage.loss for stage in stages))
        return artefact(name, recipe, None if only_look else build, code=code, parents=parents)

    def _given(self, name: str, only_look: bool) -> Path | None:
        """The artefact of a network that is another's, or need not be trained."""
        if isinstance(self.given_teacher, int):
            other = Experiment(self.profile, self.data_root, self.given_teacher)
            return other._trained(name, only_look)
        folder = Path(self.given_teacher)
        recipe = {"teacher": kept.fingerprint(folder)}
        return artefact(f"given_{name}", recipe, lambda into: kept.take(folder, name, into))

    def _fingerprint(self, split: str) -> str:
        names = "\n".join(self.table(split)["identifier"])
        return hashlib.sha256(names.encode()).hexdigest()[:16]


def build(runs: list[tuple[Experiment, str]]) -> None:
    """Train many networks side by side, one single-threaded process for each core.

    What the named networks need is trained first: members before teachers, teachers before
    students that learn from them. On a GPU the runs follow each other in this process.
    Inside `joblib.parallel_config("dask")` the runs go to the workers of a Dask cluster, which must
    see this store's folder; the weights are the same.

    Args: runs: pairs of an experiment and a network's name (see `Experiment.history`).
    """
    taught = [(owner, name) for owner, name in runs if name == "assistant" or is_technique(name)]
    owners = list(dict.fromkeys(owner for owner, _ in taught))
    own = dict.fromkeys([*owners, *(owner for owner, name in runs if name == "teacher")])
    _build_missing([(owner, member) for owner in own for member in MEMBERS])
    stages = [
        (o, stage) for o, name in taught if name != "assistant" for stage in stages_of(name)
    ]  # fmt: skip
    assisted = list(dict.fromkeys(o for o, stage in stages if stage.teacher == "assistant"))
    for who, theirs in (("teacher", owners), ("assistant", assisted)):
        _build_missing([(owner, who) for owner in theirs])
        for owner in theirs:
            on = {stage.on for o, stage in stages if o is owner and stage.teacher == who}
            owner.answers(*sorted(on), of=who)
    _build_missing([(owner, before) for owner, name in taught if (before := earlier(name))])
    _build_missing(runs)


def _build_missing(runs: list[tuple[Experiment, str]]) -> None:
    missing = [run for run in runs if run[0]._trained(run[1], only_look=True) is None]
    for owner in dict.fromkeys(owner for owner, _ in missing):
        for split in ("fit", "validation"):
            owner.clips(split)  # once, before many workers ask for them
    side_by_side(_train, missing, f"{len(missing)} trainings")


def _train(owner: Experiment, name: str) -> None:
    owner._trained(name)


def _untrained(name: str) -> TMSIC | OneVsAllTeacher:
    """A network of the form that this name has, with whatever weights it starts with."""
    if name == "teacher":
        return OneVsAllTeacher([TMSIC(n_classes=2) for _ in settings.SCENES])
    if name == "assistant":
        return TMSIC(widths=ASSISTANT)
    if name == "single":
        return TMSIC(widths=SINGLE)
    return TMSIC(n_classes=2) if name in MEMBERS else TMSIC()


def _train_student(experiment: Experiment, name: str, plan, folder: Path):
    torch.manual_seed(experiment.seed)
    net = _untrained(name)
    fit, validation = experiment.clips("fit"), experiment.clips("validation")
    seed = experiment.seed
    return net, training.train(net, fit, validation, plan, seed=seed, folder=folder, label=name)


def _train_member(experiment: Experiment, name: str, plan, folder: Path):
    scene = MEMBERS.index(name)
    seed = experiment.seed * len(MEMBERS) + scene
    torch.manual_seed(seed)
    net = TMSIC(n_classes=2)
    fit, validation = (
        clips._replace(labels=teacher.one_vs_all(clips.labels, scene))
        for clips in (experiment.clips("fit"), experiment.clips("validation"))
    )
    return net, training.train(net, fit, validation, plan, seed=seed, folder=folder, label=name)


def _train_fusion(experiment: Experiment, name: str, plan, folder: Path):
    torch.manual_seed(experiment.seed)
    net = OneVsAllTeacher([experiment.member(scene) for scene in settings.SCENES])
    fit, validation = experiment.clips("fit"), experiment.clips("validation")
    seed = experiment.seed
    return net, training.train(net, fit, validation, plan, seed=seed, folder=folder, label=name)


def _train_distilled(experiment: Experiment, name: str, plan, folder: Path, *, stages, before):
    torch.manual_seed(experiment.seed)
    net = experiment.distilled(before) if before else _untrained(name)
    fit, validation = experiment.clips("fit"), experiment.clips("validation")
    answers = experiment.answers(*(stage.on for stage in stages), of=stages[0].teacher)
    history = distill(
        net, answers, fit, validation, stages, plan, seed=experiment.seed, folder=folder,
        first=len(stages) - 1 if before else 0,
    )  # fmt: skip
    return net, history
