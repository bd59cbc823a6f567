"""A trained teacher in a folder of two megabytes, for whoever goes on from it without training.

teacher.safetensors, members.safetensors   weights as 16-bit floats; members under their names
trainings.json                             by network: its epochs, and the seconds it took

Chapter: book/networks/teacher.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asclib.challenge.task import SCENES
from asclib.networks.teacher import OneVsAllTeacher
from asclib.networks.tmsic import TMSIC
from asclib.store import artefact

FILES = ("teacher.safetensors", "members.safetensors", "trainings.json")


def keep(
    teacher: dict[str, Tensor],
    members: dict[str, dict[str, Tensor]],
    trainings: dict[str, tuple[pd.DataFrame, float]],
    folder: Path,
) -> None:
    """Write the folder.

    Args: weights of the fused teacher, and of each member by its name; of each network its history
        and its wall seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_halves(teacher), folder / FILES[0])
    save_file(
        {
            f"{name}/{key}": value
            for name, weights in members.items()
            for key, value in _halves(weights).items()
        },
        folder / FILES[1],
    )
    text = {
        name: {"seconds": seconds, "history": history.round(5).to_dict("list")}
        for name, (history, seconds) in trainings.items()
    }
    (folder / FILES[2]).write_text(json.dumps(text) + "\n")


def fingerprint(folder: Path) -> str:
    """A hash of what the folder holds. Raises: FileNotFoundError naming the file it lacks."""
    lacking = [name for name in FILES if not (folder / name).is_file()]
    if lacking:
        raise FileNotFoundError(
            f"{folder} holds no teacher, it lacks {lacking[0]}: give a folder that "
            "python -m studies teachers has written"
        )
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in FILES)).hexdigest()


@dataclass(frozen=True)
class Kept:
    """One network of such a folder, with what a `Run` has: it can teach, and need not be trained.

    Args: kept_in, the folder; name, "teacher" or a member's, such as "member_bus".
    """

    kept_in: str
    name: str = "teacher"

    @functools.cached_property
    def store_key(self) -> str:
        """What follows from the content of the folder, wherever it lies."""
        return f"{self.name} {fingerprint(Path(self.kept_in))}"

    def net(self) -> nn.Module:
        """The network, in inference mode."""
        if self.name == "teacher":
            net: nn.Module = OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES])
        else:
            net = TMSIC(n_classes=2)
        net.load_state_dict(load_file(self.folder() / "weights.safetensors"))
        return net.eval()

    def history(self) -> pd.DataFrame:
        """The epochs of its training."""
        return pd.read_csv(self.folder() / "history.csv")

    def seconds(self) -> float:
        """How long it took where it was done."""
        return json.loads((self.folder() / "wall.json").read_text())["seconds"]

    def folder(self) -> Path:
        """The artefact with its files, as a training leaves them."""
        source = Path(self.kept_in)
        return artefact(
            f"given_{self.name}",
            {"teacher": self.store_key},
            lambda into: take(source, self.name, into),
            anywhere=True,
        )


def take(folder: Path, name: str, into: Path) -> None:
    """Write one network of the folder as a training leaves it, its weights as 32-bit floats.

    Args: name, "teacher" or a member's; into, where weights.safetensors, history.csv, wall.json go.
    Raises: ValueError naming the networks there are.
    """
    trainings = json.loads((folder / FILES[2]).read_text())
    if name not in trainings:
        raise ValueError(f"{folder} holds no {name!r}: choose one of {', '.join(trainings)}")
    weights = load_file(folder / FILES[0 if name == "teacher" else 1])
    if name != "teacher":
        weights = {
            key.partition("/")[2]: value
            for key, value in weights.items()
            if key.startswith(f"{name}/")
        }
    whole = {key: v.float() if v.is_floating_point() else v for key, v in weights.items()}
    save_file(whole, into / "weights.safetensors")
    training = trainings[name]
    pd.DataFrame(training["history"]).to_csv(into / "history.csv", index=False)
    (into / "wall.json").write_text(json.dumps({"seconds": training["seconds"]}))


def _halves(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in weights.items()
    }
