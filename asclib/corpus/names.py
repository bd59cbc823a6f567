"""What the files of a corpus may be called, and what is wrong with another name.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

from asclib.challenge.task import DEVICES, SCENES

SUFFIXES = ("wav", "flac")  # in capitals, too
_FREE = r"[^-/\\\x00-\x1f]+"  # cities, locations and segments are any text


@dataclass(frozen=True)
class Names:
    """What a file may be called: audio/<scene>-<city>-<location>-<segment>-<slice>-<device>.wav

    scenes: the labels there are, the challenge's ten or one's own, without hyphens. devices: those
    there are, or None for any name of letters, digits and underscores.
    Raises: ValueError for a label that no file name can hold.
    """

    scenes: tuple[str, ...] = SCENES
    devices: tuple[str, ...] | None = DEVICES

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenes", tuple(map(composed, self.scenes)))
        for label in (*self.scenes, *(self.devices or ())):
            if not re.fullmatch(_FREE, label):
                raise ValueError(
                    f"{label!r} cannot stand between the hyphens of a file name: write labels of "
                    "letters, digits and underscores"
                )

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """A group for each of _FIELDS."""
        scenes = "|".join(map(re.escape, self.scenes))
        known = "[A-Za-z0-9_]+" if self.devices is None else "|".join(map(re.escape, self.devices))
        return re.compile(
            rf"audio/(({scenes})-({_FREE})-({_FREE})-({_FREE})-(0|[1-9][0-9]{{0,5}})"
            rf"-({known}))\.(?i:wav|flac)"
        )

    def label_problem(self, name: str, label: str, scene: str) -> tuple[str, str]:
        """What is wrong with a label that is not the file name's, and the remedy."""
        known = "" if label in self.scenes else "unknown "
        problem = f"{known}scene {label!r} disagrees with the file name {name}"
        return problem, f"write {scene!r} as scene_label, or rename the file"

    def problem(self, name: str) -> tuple[str, str]:
        """What is wrong with a file name that is not of this form, and the remedy."""
        if problem := path_problem(name):
            return problem
        fields = name.removeprefix("audio/").rpartition(".")[0].split("-")
        if len(fields) == 5 and all(fields) and fields[0] in self.scenes:
            return f"{name!r} has five fields, as recordings of ten seconds in TAU 2020", (
                "cut them into clips: python -m asclib corpus adapt tau2020 SOURCE TARGET"
                " (or, without their tables, adapt folder); a clip has its slice before the device"
            )
        if len(fields) != 6 or not all(fields):
            remedy = "name it <scene>-<city>-<location>-<segment>-<slice>-<device>"
            return f"{name!r} does not have six fields between hyphens", remedy
        if fields[0] not in self.scenes:
            remedy = f"use one of {', '.join(self.scenes)}"
            if self.scenes == SCENES:
                remedy += ", or name classes of your own when you open the corpus (classes=)"
            return f"unknown scene {fields[0]!r} in {name!r}", remedy
        if self.devices is not None and fields[5] not in self.devices:
            remedy = f"use one of {', '.join(self.devices)}"
            return f"unknown device {fields[5]!r} in {name!r}", remedy
        if not re.fullmatch("[A-Za-z0-9_]+", fields[5]):
            return f"{fields[5]!r} in {name!r} is no device", "use letters, digits and underscores"
        return f"slice {fields[4]!r} in {name!r} is not a number", "number the slices 0, 1, 2, ..."


def composed(text: str) -> str:
    """The same text with each accent in its letter (Unicode's NFC), as most programs write it."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def path_problem(name: str) -> tuple[str, str] | None:
    """What keeps a name from being an audio file of the corpus, and the remedy, or None."""
    if "\\" in name:
        return f"{name!r} has Windows separators", "write forward slashes: audio/<file>"
    if name != name.strip() or name[:1] == '"' == name[-1:]:
        what = "quotes around it" if name[-1:] == '"' else "a space before or after it"
        return f"{name!r} has {what}", "write the path alone: audio/<file>"
    folder, _, file = name.rpartition("/")
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        return f"{name!r} leads outside the corpus folder", "write the path as audio/<file>"
    if folder != "audio":
        return f"{name!r} is not in the audio folder", "write the path as audio/<file>"
    stem, _, suffix = file.rpartition(".")
    if suffix.lower() not in SUFFIXES:
        return f"{name!r} is neither .wav nor .flac", "convert the file, or correct its name"
    if not re.fullmatch(r"[^\x00-\x1f]+", stem):
        return f"{name!r} holds characters a file name must not", "use letters, digits and hyphens"
    return None
