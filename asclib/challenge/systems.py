"""A model as it is handed in: what it answers to the clips of a folder, and what it costs.

Chapters: book/challenges/entry_2022, book/challenges/entry_2023, book/practice/tau.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asclib import features
from asclib.complexity.__main__ import made
from asclib.complexity.count import Complexity, complexity
from asclib.complexity.file import FileComplexity, complexity_of_file
from asclib.compression.convert import Kind
from asclib.compression.qat import range_calibration
from asclib.compression.quantization import exported
from asclib.features import FrontEnd, LogMel
from asclib.listen.listener import Answers, shares, student_of
from asclib.litert import LiteRT, read
from asclib.networks.published import load_keras
from asclib.progress import progress
from asclib.runs.data import Data
from asclib.runs.run import Run
from asclib.training import predict

AT_ONCE = 2_048  # clips asked about at a time
# The numbers of a .tflite by its codes of types; bytes of any other are counted one by one.
_NUMBERS = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 7: np.int16, 9: np.int8}

Model = nn.Module | Run | str | Path


@dataclass(frozen=True)
class System:
    """A model that can be asked and has been counted; made by `system`.

    Attributes: ask, from pictures (batch, 1, mels, frames) to probabilities (batch, classes); cost;
        bits, of its widest kernel; non_zero, parameters that are not zero; net, where it is a
        network and no file.
    """

    ask: Callable[[Tensor], np.ndarray]
    cost: Complexity
    bits: int
    non_zero: int
    front_end: FrontEnd
    net: nn.Module | None = None

    def costs(self) -> dict[str, int]:
        """The fields of meta.yaml's `complexity`; the size is that of the stored parameters."""
        whole = isinstance(self.cost, FileComplexity)
        size = self.cost.bytes() if whole else self.cost.bytes(self.bits)
        return {
            "total_model_size": size,
            "total_parameters": self.cost.parameters,
            "total_parameters_non_zero": min(self.non_zero, self.cost.parameters),
            "memory_use": size,
            "macs": self.cost.macs,
        }


def system(
    model: Model,
    *,
    kind: Kind | None = None,
    ranges: Data | None = None,
    answers: Answers = "logits",
) -> System:
    """A model from wherever it lies.

    Args:
        model: a network, a `Run`, the path of a .tflite, of a TMSIC's .safetensors, of a published
            Keras .h5, or "module:factory" of a network or a run of one's own.
        kind: exports a network as such a .tflite first, which is then what is asked and counted.
        ranges: whose clips to fit calibrate "full_int8"; of a run, its own data.
        answers: whether the model gives logits or probabilities.
    Raises: OSError or ValueError saying what to name, or what the counter does not know.
    """
    front_end: FrontEnd = LogMel.tmsic()
    named = str(model)
    if isinstance(model, (str, Path)):
        model = _opened(named)
    if isinstance(model, Run):
        front_end, ranges = model.data.front_end, ranges or model.data
        model = model.net()
    if kind is not None:
        if not isinstance(model, nn.Module):
            raise ValueError(f"{named} is a file already: leave out --kind, or name its network")
        if kind == "full_int8" and ranges is None:
            raise ValueError("full_int8 needs clips to find its ranges: name a data_root")
        calibration = range_calibration(ranges) if ranges and kind == "full_int8" else None
        model = exported(model, kind, calibration, front_end.shape())
    if isinstance(model, nn.Module):
        net = model.eval()
        floats = [p for p in net.parameters() if p.is_floating_point()]
        bits = max((8 * p.element_size() for p in floats), default=32)
        non_zero = sum(int(p.count_nonzero()) for p in net.state_dict().values())
        counted = complexity(net, front_end.shape())

        def ask_net(x: Tensor) -> np.ndarray:
            with torch.no_grad():
                said = predict(net, x.to(floats[0].dtype) if floats else x)
            return shares(said.double().numpy(), answers)

        return System(ask_net, counted, bits, non_zero, front_end, net)
    path = Path(model)
    file, counted_file = LiteRT(path), complexity_of_file(path)

    def ask_file(x: Tensor) -> np.ndarray:
        return shares(np.asarray(file(x), np.float64), answers)

    return System(ask_file, counted_file, counted_file.bits, _non_zero(path), front_end)


def answers_of(one: System, root: str | Path) -> tuple[pd.DataFrame, np.ndarray]:
    """What a system says of the test clips of a development set, or of all of an evaluation set.

    Returns: the table of clips, and probabilities (clips, classes) in the same order. Features are
    kept in the store. Raises: CorpusError for a folder that is not sound; ValueError for a model
    that does not take its pictures.
    """
    data = Data(root, front_end=one.front_end)
    splits = set(data.corpus.clips["split"])
    table = data.corpus.split("evaluation" if "evaluation" in splits else "test")
    if table.empty:
        raise ValueError(f"{root} has no test clips: name a development or an evaluation set")
    pictures = features.load(data.features, table)
    said = [
        one.ask(torch.from_numpy(np.array(pictures[first : first + AT_ONCE])))
        for first in progress(range(0, len(table), AT_ONCE), label="answers")
    ]
    return table, np.concatenate(said)


def _opened(name: str) -> Any:
    """A network or a run, or the path of a .tflite."""
    path = Path(name).expanduser()
    if name.endswith(".tflite"):
        return path
    if name.endswith(".safetensors"):
        return student_of(path)
    if name.endswith((".h5", ".hdf5")):
        return load_keras(path)
    found = made(name)
    if not isinstance(found, (nn.Module, Run)):
        kinds = "a torch.nn.Module or a Run"
        raise ValueError(f"{name} gives a {type(found).__name__}, not {kinds}")
    return found


def _non_zero(path: Path) -> int:
    """Numbers of a .tflite's weights that are not zero; of the shared ones once."""
    model = read(path)
    graph, total, counted = model.subgraphs[0], 0, set[int]()
    for tensor in graph.tensors:
        data = model.buffers[tensor.buffer].data
        scaled = tensor.quantization is not None and tensor.quantization.scale is not None
        if data is None or tensor.buffer in counted or not (scaled or tensor.type in (0, 1)):
            continue
        counted.add(tensor.buffer)
        numbers = np.frombuffer(bytes(data), _NUMBERS.get(tensor.type, np.uint8))
        total += int(np.count_nonzero(numbers))
    return total
