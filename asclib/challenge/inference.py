"""2025's inference: a model for each recording device, asked through the four functions of its API.

    load_model  load_inputs  get_model_for_device  predict

The module of a package names its file of weights and imports the rest from here. Weights are 16-bit
floats, and 16-bit is how the networks compute: a TMSIC takes 104 kB of the 128 allowed.

Chapter: book/practice/tau.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asclib.challenge.task import SCENES
from asclib.challenge.years import COUNTED_DEVICES
from asclib.complexity.count import Complexity, complexity
from asclib.corpus.audio import read_audio
from asclib.features import LogMel
from asclib.networks.tmsic import TMSIC

GENERAL = "general"  # the model of every device that has none of its own
BITS = 16
AT_ONCE = 64  # clips


class DeviceModels(nn.Module):
    """A TMSIC for each device that has one, and a general one for all others, in 16-bit floats.

    Args: nets, by device; one is named "general".
    Raises: ValueError without a general model, for a device that 2025 does not count, or for
        networks that are no TMSIC of ten scenes.
    """

    def __init__(self, nets: Mapping[str, nn.Module]):
        super().__init__()
        if GENERAL not in nets:
            raise ValueError(f"no model is named {GENERAL!r}: unknown devices need one")
        known = (*COUNTED_DEVICES, GENERAL)
        for device, net in nets.items():
            if device not in known:
                raise ValueError(f"{device!r} is no device: name one of {', '.join(known)}")
            if not isinstance(net, TMSIC) or net.head.out_features != len(SCENES):
                raise ValueError(
                    f"the model of {device} is no TMSIC of {len(SCENES)} scenes, which is what a"
                    " package of 2025 can carry from here"
                )
        copies = {device: TMSIC(len(SCENES), _widths(net)) for device, net in nets.items()}
        for device, net in nets.items():
            copies[device].load_state_dict(net.state_dict())
        self.nets = nn.ModuleDict(copies)
        self.eval().half()

    def of(self, device_id: str) -> nn.Module:
        """The model of a device."""
        return self.nets[device_id if device_id in self.nets else GENERAL]

    def complexities(self) -> dict[str, Complexity]:
        """What the model of each counted device costs, and the general one."""
        costs = {name: complexity(net) for name, net in self.nets.items()}
        return {device: costs.get(device, costs[GENERAL]) for device in (*COUNTED_DEVICES, GENERAL)}


def save_models(models: DeviceModels, path: Path) -> None:
    """Write the weights of all devices into one .safetensors."""
    save_file({name: value.contiguous() for name, value in models.state_dict().items()}, path)


def load_model(model_file_path: str | Path) -> DeviceModels:
    """The models in a file of `save_models`. Raises: ValueError when it holds anything else."""
    try:
        weights = load_file(model_file_path)
        states = defaultdict[str, dict[str, Tensor]](dict)
        for name, weight in weights.items():
            _, device, own = name.split(".", 2)
            states[device][own] = weight
        nets = {}
        for device, state in states.items():
            nets[device] = TMSIC(len(SCENES), [len(state[f"conv{k}.weight"]) for k in (1, 2, 3, 4)])
            nets[device].load_state_dict(state)
    except (SafetensorError, FileNotFoundError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{model_file_path} holds no models by device: name the file in `ckpts` that `package"
            " write` has written, or one of `save_models`"
        ) from error
    return DeviceModels(nets)


def load_inputs(
    file_paths: Sequence[str], device_ids: Sequence[str], model: nn.Module
) -> list[Tensor]:
    """The picture (1, 1, 140, 8) of each file, in 16-bit floats.

    Raises: ValueError for unequal numbers; CorpusError for a file that is no clip of a second.
    """
    if len(file_paths) != len(device_ids):
        raise ValueError(f"{len(file_paths)} files and {len(device_ids)} devices: one each")
    front_end, pictures = LogMel.tmsic(), list[Tensor]()
    for first in range(0, len(file_paths), AT_ONCE):
        waves = np.stack([read_audio(path) for path in file_paths[first : first + AT_ONCE]])
        pictures += [picture[None] for picture in front_end(waves).half()]
    return pictures


def get_model_for_device(model: DeviceModels, device_id: str) -> nn.Module:
    """The network that hears this device."""
    return model.of(device_id)


@torch.no_grad()
def predict(
    model: DeviceModels,
    file_paths: Sequence[str],
    device_ids: Sequence[str],
    use_cuda: bool = True,
) -> tuple[list[Tensor], list[str]]:
    """Logits (10,) in 32-bit floats of each file, in the order given, and the scenes' order."""
    where = torch.device("cuda" if use_cuda and torch.cuda.is_available() else "cpu")
    model = model.to(where)
    groups = defaultdict(list)
    for row, device in enumerate(device_ids):
        groups[device if device in model.nets else GENERAL].append(row)
    logits: list[Tensor] = [torch.empty(0)] * len(file_paths)
    for device, rows in groups.items():
        for first in range(0, len(rows), AT_ONCE):
            some = rows[first : first + AT_ONCE]
            x = torch.cat(load_inputs([file_paths[r] for r in some], [device] * len(some), model))
            said = model.of(device)(x.to(where)).float().cpu()
            for row, answer in zip(some, said, strict=True):
                logits[row] = answer
    return logits, list(SCENES)


def _widths(net: nn.Module) -> list[int]:
    return [len(net.get_parameter(f"conv{layer}.weight")) for layer in (1, 2, 3, 4)]
