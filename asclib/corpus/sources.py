"""How other sets of recordings are laid out, and whose they are.

eigenscape   Beach.1.wav ... Woodland.8.wav, or Beach-01-Raw.wav, in any folders; a place each, of
             which the first channel is taken: W of Ambisonics, or one microphone
demand       TBUS/ch01.wav ... ch16.wav: an environment is one recording by sixteen microphones, so
             its first letter is the class, and the first microphone is taken
cochlscene   Train|Val|Test/Bus/Bus_user0138_14982408_001.wav: a participant is a place
tau2020      meta.csv, evaluation_setup and audio/airport-lisbon-1000-40000-a.wav of ten seconds
folder       CLASS/RECORDING, or CLASS/PLACE/RECORDING, or RECORDING named as in tau2020

What is hidden, such as .DS_Store or ._x.wav, and what is no sound by its suffix is passed over.

Chapter: book/practice/tau.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from asclib.corpus.names import composed
from asclib.corpus.tables import EVALUATE, META, TEST, TRAIN, CorpusError, read_table

SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .m4a .mp4 .aac .wma .aif .aiff .aifc .au .snd .caf .w64"
    " .rf64 .amr .3gp .webm".split()
)
DEVICE = "a"  # the challenge's name for the one recorder there is
EIGENSCAPE = (
    "Beach BusyStreet Park PedestrianZone QuietStreet ShoppingCentre TrainStation Woodland".split()
)
DEMAND = {
    "D": "domestic",
    "N": "nature",
    "O": "office",
    "P": "public",
    "S": "street",
    "T": "transportation",
}
FIELDS = "<scene>-<city>-<location>-<segment>-<device>"


class Take(NamedTuple):
    """One recording of a source, and what its clips will be called.

    split is "train", "test" or "unused" where the set brings one; channel, the one to take, else
    their mean; labels, the names by which a class can be given another one, the narrowest first.
    """

    path: Path
    scene: str
    city: str
    location: str
    segment: str
    device: str = DEVICE
    split: str | None = None
    channel: int | None = None
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its clips share, but for the device."""
        return f"{self.scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def place(self) -> str:
        """The unit that no split cuts."""
        return f"{self.city}-{self.location}"


@dataclass(frozen=True)
class Source:
    """Whose recordings they are, under which licence, and how to find them in a folder."""

    title: str
    authors: str
    licence: str
    address: str
    find: Callable[[Path], list[Take]]


def field(text: str) -> str:
    """A text that can stand between the hyphens of a clip's name."""
    return re.sub(r"[-/\\\x00-\x1f]", "_", composed(text)) or "_"


def sounds(folder: Path) -> Iterator[Path]:
    """The sound files of a folder and its subfolders, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in inside)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _by_name(path: Path) -> Take | None:
    """A recording whose name has FIELDS; None for another name."""
    match = re.fullmatch(r"([^-]+)-([^-]+)-([^-]+)-([^-]+)-([A-Za-z0-9_]+)", path.stem)
    if match is None:
        return None
    scene, city, location, segment, device = (field(one) for one in match.groups())
    return Take(path, scene, city, location, segment, device, labels=(scene,))


def _none(folder: Path, layout: str) -> CorpusError:
    return CorpusError(str(folder), None, f"holds no {layout}", "name the folder that does")


def eigenscape(folder: Path) -> list[Take]:
    """Recordings of EigenScape."""
    pattern = re.compile(rf"({'|'.join(EIGENSCAPE)})[.-]0?(\d+)(?:-Raw)?", re.IGNORECASE)
    known = {scene.lower(): scene for scene in EIGENSCAPE}
    takes = []
    for path in sounds(folder):
        if match := pattern.fullmatch(path.stem):
            scene = known[match[1].lower()]
            place = f"{scene}{match[2]}"
            takes.append(Take(path, scene, "eigenscape", place, "0", channel=0, labels=(scene,)))
    if not takes:
        raise _none(folder, "file such as Beach.1.wav or Beach-01-Raw.wav")
    return takes


def demand(folder: Path) -> list[Take]:
    """Environments of DEMAND."""
    takes = []
    for path in sounds(folder):
        environment = path.parent.name
        if path.stem.lower() == "ch01" and environment[:1] in DEMAND and environment.isupper():
            scene = DEMAND[environment[0]]
            takes.append(Take(path, scene, "demand", environment, "0", labels=(environment, scene)))
    if not takes:
        raise _none(folder, "file such as TBUS/ch01.wav")
    return takes


def cochlscene(folder: Path) -> list[Take]:
    """Recordings of CochlScene, in the publishers' split; Train and Val are for training."""
    splits = {"train": "train", "val": "train", "test": "test"}
    takes = []
    for path in sounds(folder):
        scene, split = path.parent.name, splits.get(path.parent.parent.name.lower())
        match = re.fullmatch(rf"{re.escape(scene)}_(user\d+)_(\d+_\d+)", path.stem)
        if match and split:
            user, segment = match.groups()
            labels = (scene,)
            takes.append(
                Take(path, field(scene), "cochlscene", user, segment, split=split, labels=labels)
            )
    if not takes:
        raise _none(folder, "file such as Train/Bus/Bus_user0138_14982408_001.wav")
    return takes


def tau2020(folder: Path) -> list[Take]:
    """Recordings of TAU Urban Acoustic Scenes 2020 Mobile, in the publishers' split."""
    problems: list[CorpusError] = []

    def listed(table: str) -> list[str]:
        return read_table(folder, table, ("filename",), problems).columns["filename"]

    names = listed(META)
    split = dict.fromkeys(listed(TRAIN), "train")
    split |= dict.fromkeys(listed(EVALUATE if (folder / EVALUATE).exists() else TEST), "test")
    if problems:
        raise problems[0]
    takes = []
    for row, name in enumerate(names, start=2):
        take = _by_name(folder / name)
        if take is None:
            problem = f"{name!r} does not have five fields"
            raise CorpusError(META, row, problem, f"name it {FIELDS}")
        takes.append(take._replace(split=split.get(name, "unused")))
    return takes


def own(folder: Path) -> list[Take]:
    """Recordings of one's own."""
    takes = []
    for path in sounds(folder):
        *folders, _ = path.relative_to(folder).parts
        if not folders:
            take = _by_name(path)
            if take is None:
                problem = "lies in no folder of a class, and its name does not say it"
                remedy = f"move it to CLASS/, or name it {FIELDS}"
                raise CorpusError(str(path), None, problem, remedy)
            takes.append(take)
            continue
        scene, stem = field(folders[0]), field(path.stem)
        if len(folders) == 1:
            place, segment = f"{scene}_{stem}", "0"  # rec1.wav of two classes are two places
        else:
            place, segment = field(folders[1]), "_".join([*map(field, folders[2:]), stem])
        takes.append(Take(path, scene, "own", place, segment, labels=(folders[0],)))
    if not takes:
        raise _none(folder, "recordings in folders of their classes")
    return takes


SOURCES = {
    "eigenscape": Source(
        "EigenScape",
        "Marc Ciufo Green and Damian Murphy, University of York: EigenScape, a database of spatial"
        " acoustic scene recordings. Applied Sciences 7(11), 1204, 2017.",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "https://zenodo.org/records/1284156",
        eigenscape,
    ),
    "demand": Source(
        "DEMAND",
        "Joachim Thiemann, Nobutaka Ito and Emmanuel Vincent: DEMAND, a collection of multi-channel"
        " recordings of acoustic noise in diverse environments, 2013.",
        "CC BY-SA 3.0 by its documentation, https://creativecommons.org/licenses/by-sa/3.0/; it is"
        " cited as 4.0 as well, so check the record you had it from",
        "https://zenodo.org/records/1227121",
        demand,
    ),
    "cochlscene": Source(
        "CochlScene",
        "Il-Young Jeong and Jeongsoo Park: CochlScene, acquisition of acoustic scene data using"
        " crowdsourcing. APSIPA 2022.",
        "CC BY-SA 3.0 as others cite it, https://creativecommons.org/licenses/by-sa/3.0/; check the"
        " record you had it from",
        "https://zenodo.org/records/7080122",
        cochlscene,
    ),
    "tau2020": Source(
        "TAU Urban Acoustic Scenes 2020 Mobile",
        "Toni Heittola, Annamaria Mesaros and Tuomas Virtanen, Tampere University.",
        "Tampere University's own, free for experiments, commercial use prohibited",
        "https://zenodo.org/records/3819968",
        tau2020,
    ),
    "folder": Source(
        "Recordings of one's own",
        "Whoever recorded them.",
        "not named: ask whoever recorded them, and name it with --licence",
        "No published address.",
        own,
    ),
}
