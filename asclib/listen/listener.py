"""A recording in, a scene out: second by second, and for the whole.

A second is cut at the recording's own rate and goes through the front end by itself, resampled from
its first sample to its last as a clip of a corpus is. So nothing crosses the border of two seconds
or of two blocks, and the pictures are those that the front end makes of each second alone. A block
of seconds is in memory at a time, with the answers so far: 4 bytes a class and second.

Chapter: book/practice/listening.
"""

from __future__ import annotations

import errno
import itertools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from asclib import checked
from asclib.challenge.task import SAMPLE_RATE, SCENES
from asclib.corpus.audio import LOUDEST
from asclib.corpus.recording import RATES, Recording, unheard
from asclib.corpus.tables import CorpusError
from asclib.features import FrontEnd, LogMel, resample
from asclib.litert import LiteRT
from asclib.networks.tmsic import TMSIC
from asclib.progress import progress
from asclib.runs.kept import Kept
from asclib.runs.run import Run
from asclib.training import predict

BLOCK = 32  # seconds that go through front end and network together
LONG = 600  # seconds: a recording from here on has a progress bar
ROUNDED = 0.05  # how far from 1 the sum of probabilities may be that a file stores in eight bits

Answers = Literal["logits", "probabilities"]
Model = nn.Module | Run | Kept | str | Path | Callable[[Tensor], Tensor | np.ndarray]


@dataclass(frozen=True)
class Heard:
    """What a recording was heard as.

    Attributes:
        table: a row a second: start_s, scene, and a column of probabilities for each class. A
            second that cannot be heard, silent or with NaN, has no scene and no probabilities.
        answer: the decision over the whole, the mean of the probabilities of its seconds, by class.
        notes: what could not be heard, and why, a sentence each.
        damaged: whether that is a fault of the file: NaN, or an end that cannot be decoded.
    """

    table: pd.DataFrame
    answer: pd.Series
    notes: tuple[str, ...] = ()
    damaged: bool = False

    @property
    def scene(self) -> str:
        """The scene of the whole."""
        return str(self.answer.idxmax())


class Listener:
    """Hears recordings of any length, rate, channels and container.

        Listener(net)("walk.m4a")                       # a table: start_s, scene, probabilities
        Listener(net)(waveform, sample_rate=16_000)

    Args:
        model: a network from pictures to logits, a `Run` or `Kept` one, the path of a .tflite file
            or of a TMSIC's .safetensors, or any function from pictures (batch, 1, mels, frames) to
            answers (batch, classes).
        classes: what the answers are of; those of a run's data, else the challenge's ten.
        front_end: makes the pictures; that of a run's data, else `LogMel.tmsic()`. Any other than a
            `LogMel` is given seconds at 44.1 kHz.
        answers: whether the model gives logits or probabilities.

    Raises: FileNotFoundError or ValueError for a path that is neither; TypeError for a model that
    is none of these.
    """

    def __init__(
        self,
        model: Model,
        *,
        classes: Sequence[str] | None = None,
        front_end: FrontEnd | None = None,
        answers: Answers = "logits",
    ):
        if answers not in ("logits", "probabilities"):
            raise ValueError(f"answers are 'logits' or 'probabilities', not {answers!r}")
        if isinstance(model, Run):
            data = model.data
            own = data.classes if data.scene is None else (data.scene, "others")
            classes, front_end = classes or own, front_end or data.front_end
        if isinstance(model, Kept) and model.name != "teacher":
            classes = classes or (model.name.removeprefix("member_"), "others")
        if isinstance(model, (str, Path)):
            path = Path(model).expanduser()
            model = student_of(path) if path.suffix == ".safetensors" else LiteRT(path)
        elif isinstance(model, (Run, Kept)):
            model = model.net()
        if not callable(model):
            raise TypeError(
                f"a model of type {type(model).__name__} hears nothing: see asclib.Listener"
            )
        self.classes = tuple(classes or SCENES)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have one name: give each its own")
        self.front_end: FrontEnd = front_end or LogMel.tmsic()
        self._model, self._answers = model, answers

    def __call__(
        self, sound: str | Path | np.ndarray | Tensor, sample_rate: int | None = None
    ) -> pd.DataFrame:
        """The table of `Heard`; what could not be heard is a warning. Args, raises: as `hear`."""
        heard = self.hear(sound, sample_rate)
        for note in heard.notes:
            warnings.warn(note, stacklevel=2)
        return heard.table

    def hear(
        self, sound: str | Path | np.ndarray | Tensor, sample_rate: int | None = None
    ) -> Heard:
        """Hear a file, or a waveform (samples,) of floats at `sample_rate` hertz.

        Raises: CorpusError naming the file, when nothing of it can be heard: absent, no audio,
        shorter than a second, silent or NaN throughout; ValueError for a waveform of another form,
        or for a model whose answers do not fit the classes.
        """
        if isinstance(sound, (str, Path)):
            if sample_rate is not None:
                raise ValueError("a file knows its rate: give sample_rate with a waveform only")
            file = Recording.open(sound)
            total = None if file.frames is None else file.frames // file.rate
            return self._hear(str(sound), file.seconds(), file.rate, total)
        samples = _waveform(sound, sample_rate)
        assert sample_rate is not None
        count = len(samples) // sample_rate
        cut = (samples[k * sample_rate :][:sample_rate] for k in range(count))
        return self._hear("the waveform", cut, sample_rate, count)

    def _hear(
        self, name: str, seconds: Iterator[np.ndarray], rate: int, total: int | None
    ) -> Heard:
        answers: list[np.ndarray] = []
        missing: Counter[str] = Counter()
        fault: CorpusError | None = None
        blocks = _blocks(seconds)
        if total is not None and total >= LONG:
            blocks = progress(blocks, total=-(-total // BLOCK), label=f"{Path(name).name}, blocks")
        try:
            for block in blocks:
                reasons = [unheard(second) for second in block]
                missing.update(reason for reason in reasons if reason)
                sound = [second for second, r in zip(block, reasons, strict=True) if r is None]
                rows = np.full((len(block), len(self.classes)), np.nan, np.float32)
                if sound:
                    rows[[r is None for r in reasons]] = self._probabilities(np.stack(sound), rate)
                answers.append(rows)
        except CorpusError as error:
            fault = error
        notes = [] if fault is None else [str(fault)]
        count = sum(map(len, answers))
        for reason, n in missing.items():
            notes.append(f"{name}: {n} of {count} seconds are {reason}: they have no answer")
        if sum(missing.values()) == count:
            raise fault or _nothing(name, count, missing)
        said = np.concatenate(answers)
        table = pd.DataFrame(said, columns=list(self.classes))
        heard = np.isfinite(said[:, 0])
        scenes = np.full(count, None, dtype=object)
        scenes[heard] = np.array(self.classes, dtype=object)[said[heard].argmax(1)]
        table.insert(0, "start_s", np.arange(count))
        table.insert(1, "scene", pd.Series(scenes, dtype="str"))
        answer = pd.Series(said[heard].mean(0, dtype=np.float64), index=list(self.classes))
        damaged = fault is not None or "NaN or infinite" in missing
        return Heard(table, answer, tuple(notes), damaged)

    def _probabilities(self, seconds: np.ndarray, rate: int) -> np.ndarray:
        """(batch, rate) of sound -> (batch, classes)."""
        if isinstance(self.front_end, LogMel):
            pictures = self.front_end(seconds, rate)
        else:
            pictures = self.front_end(
                resample(torch.from_numpy(seconds), rate, SAMPLE_RATE).numpy()
            )
        answers = self._ask(pictures)
        if answers.shape != (len(seconds), len(self.classes)):
            raise ValueError(
                f"the model answers {tuple(answers.shape)} to {len(seconds)} pictures, and there"
                f" are {len(self.classes)} classes: name those it was trained for (classes=)"
            )
        return shares(answers, self._answers)

    @torch.no_grad()
    def _ask(self, pictures: Tensor) -> np.ndarray:
        """The model's answers in double precision."""
        if isinstance(self._model, nn.Module) and any(True for _ in self._model.parameters()):
            return predict(self._model, pictures).double().numpy()
        answers = self._model(pictures)
        if isinstance(answers, Tensor):
            answers = answers.detach().cpu().numpy()
        return np.asarray(answers, np.float64)


def shares(answers: np.ndarray, given: Answers = "logits") -> np.ndarray:
    """A model's answers (clips, classes) as probabilities. Args: given, what the answers are.

    Raises: ValueError for NaN, or for answers that are evidently the other of the two.
    """
    if not np.isfinite(answers).all():
        raise ValueError("the model answers NaN or infinity to sound that has none")
    share = (answers >= 0).all() and np.abs(answers.sum(1) - 1).max() < ROUNDED
    if given == "probabilities":
        if not share:
            raise ValueError("the model's answers are no probabilities: say answers='logits'")
        return answers / answers.sum(1, keepdims=True)
    if share and answers.shape[1] > 1:
        raise ValueError(
            "the model's answers are positive and sum to 1, so they are probabilities, which a"
            " softmax would flatten: say answers='probabilities'"
        )
    shifted = np.exp(answers - answers.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def student_of(path: str | Path) -> TMSIC:
    """The TMSIC whose weights a file holds, of any widths and number of classes, to be heard.

    Raises: FileNotFoundError; ValueError naming the file when it holds something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    try:
        weights = load_file(path)
        widths = [len(weights[f"conv{layer}.weight"]) for layer in (1, 2, 3, 4)]
        net = TMSIC(len(weights["head.bias"]), widths)
        net.load_state_dict(weights)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} holds no weights of a TMSIC; name another network as module:factory"
        ) from error
    return net.eval()


def _blocks(seconds: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Up to BLOCK seconds at a time; an error comes after the seconds before it."""
    fault: CorpusError | None = None

    def until_fault() -> Iterator[np.ndarray]:
        nonlocal fault
        try:
            yield from seconds
        except CorpusError as error:
            fault = error

    sound = until_fault()
    while block := list(itertools.islice(sound, BLOCK)):
        yield block
    if fault is not None:
        raise fault


def _waveform(sound: np.ndarray | Tensor, sample_rate: int | None) -> np.ndarray:
    """(samples,) float32. Raises: ValueError saying what is asked."""
    samples = sound.detach().cpu().numpy() if isinstance(sound, Tensor) else np.asarray(sound)
    try:
        checked.whole_number("sample_rate", sample_rate, *RATES)
    except ValueError as error:
        raise ValueError(f"{error}, that of the waveform in hertz") from None
    if samples.ndim != 1:
        raise ValueError(f"a waveform is (samples,), not {samples.shape}: mix its channels down")
    if samples.dtype.kind != "f":
        largest = np.iinfo(samples.dtype).max + 1 if samples.dtype.kind == "i" else "its largest"
        raise ValueError(f"a waveform holds floats, not {samples.dtype}: divide by {largest}")
    if np.abs(samples[np.isfinite(samples)]).max(initial=0) > LOUDEST:
        raise ValueError("floats in the scale of integers: divide by the largest, such as 32768")
    return samples.astype(np.float32)


def _nothing(name: str, count: int, missing: Counter[str]) -> CorpusError:
    """Why there is no second at all to hear."""
    if not count:
        problem = "is shorter than a second"
        return CorpusError(name, None, problem, "give a second or more: a scene needs as much")
    kinds = " or ".join(missing)
    what = f"is {kinds} throughout" if len(missing) == 1 else f"has seconds that are {kinds} only"
    return CorpusError(name, None, what, "record it again")
