"""What a training remembers between its epochs, in one file that says which training it is of.

It is known by content: plan, seed, network, clips, answers and objective. A checkpoint of another
training is refused, for going on from it would be neither the one nor the other. A constant rate
may go on for more epochs than were asked at first.

Chapter: book/practice/training.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asclib import keys
from asclib.plan import ROWS, AnswerRows, Training
from asclib.store import write_atomic

NAME = "checkpoint.pt"
PARTS = ("net", "optimizer", "schedule", "history", "best")


def file_in(folder: str | Path) -> Path:
    """The checkpoint's file in a folder, which is made where it is missing.

    Raises: ValueError for an empty name; an OSError that names the folder where it cannot be made
    or written to.
    """
    if str(folder) == "":
        raise ValueError("folder is '': name the folder of the checkpoint, or give None for none")
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{folder} is a file: checkpoints need a folder") from None
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to: give another folder for checkpoints")
    return folder / NAME


def identity(
    net: nn.Module,
    clips: dict[str, tuple[Tensor, Tensor]],
    plan: Training,
    seed: int,
    objective: Callable[..., Any] | None,
    answers: AnswerRows | None,
) -> dict[str, Any]:
    """What a training is known by, in json: its settings, and hashes of what it is given.

    Args: net, as it is before the first step; clips, inputs and labels by a name for messages;
        others as `training.train`.
    """
    settings = {item.name: keys.plain(getattr(plan, item.name)) for item in fields(plan)}
    given: dict[str, str | None] = {
        "network": _readable(keys.architecture, net),
        "weights to start from": _hash_of(value for value in net.state_dict().values()),
    }
    given |= {name: _hash_of(each) for name, each in clips.items()}
    given["objective"] = None if objective is None else _readable(keys.digest, objective)
    given["teacher's answers"] = None if answers is None else _hash_of([answers])
    return {"settings": settings | {"seed": seed}, "given": given}


def _readable(read: Callable[[Any], str], value: Any) -> str:
    """What `read` says of a value, or its name where its content cannot be read."""
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError, RecursionError):
        return getattr(value, "__qualname__", type(value).__qualname__)


def _hash_of(tables: Iterable[Tensor | AnswerRows]) -> str:
    """Of numbers, their types and shapes; row by row, as they may lie on the disk."""
    found = hashlib.sha256()
    for table in tables:
        if isinstance(table, Tensor) and table.ndim == 0:
            table = table[None]
        for first in range(0, len(table), ROWS):
            part = table[torch.arange(first, min(first + ROWS, len(table)))]
            found.update(f"{part.dtype} {tuple(part.shape)}".encode())
            numbers: Any = part.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            found.update(numbers)
    return found.hexdigest()[:16]


def save(path: Path, state: dict[str, Any], training: dict[str, Any]) -> None:
    """Write the state of a training after an epoch, with the training's `identity`."""
    buffer = io.BytesIO()
    torch.save(state | {"training": json.dumps(training)}, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path, training: dict[str, Any]) -> dict[str, Any] | None:
    """The state after the last epoch, or None where there is none.

    Nor is there one in a checkpoint of an older asclib, which does not say what it belongs to.
    Raises: ValueError naming the file, for another training's, and in what the two differ; and for
    a file that is no checkpoint.
    """
    if not path.exists():
        return None
    remedy = "give each training a folder of its own, or delete the file to begin anew"
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError):
        raise ValueError(f"{path} cannot be read as a checkpoint: {remedy}") from None
    if not isinstance(state, dict) or not set(PARTS) <= set(state):
        raise ValueError(f"{path} is no checkpoint of this trainer: {remedy}")
    if "training" not in state:
        return None
    found = _differences(json.loads(state["training"]), json.loads(json.dumps(training)))
    if found:
        raise ValueError(f"{path} belongs to another training ({'; '.join(found)}): {remedy}")
    return state


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """In what two trainings differ, in words."""
    found = []
    for name in {**theirs["settings"], **ours["settings"]}:
        before, now = (each["settings"].get(name) for each in (theirs, ours))
        if name == "epochs" and before < now and _is_constant(theirs) and _is_constant(ours):
            continue  # a longer training begins as a shorter one does
        if before != now:
            plain = not isinstance(before, (list, dict)) and not isinstance(now, (list, dict))
            said = f"{name} was {json.dumps(before)} and is {json.dumps(now)}"
            found.append(said if plain else f"another {name}")
    names = {**theirs["given"], **ours["given"]}
    return found + [
        f"other {name}" for name in names if theirs["given"].get(name) != ours["given"].get(name)
    ]


def _is_constant(training: dict[str, Any]) -> bool:
    """Whether an epoch does not depend on how many there are."""
    return training["settings"].get("schedule") == "constant"
