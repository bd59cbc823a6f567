"""Which recordings the embedded corpus holds: scenes, cities, locations, devices and splits.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from asclib import checked
from asclib.challenge.task import DEVICES, SCENES, SEEN_DEVICES

CITIES = (
    "barcelona",
    "helsinki",
    "lisbon",
    "london",
    "lyon",
    "milan",
    "paris",
    "prague",
    "stockholm",
    "vienna",
)
OTHER_SHARE = 0.0537  # of the training clips, for each seen device but a (TAU: 7,490 of 139,620)
SUBSETS = (5, 10, 25, 50, 100)  # percent of the training split, 2024 challenge


@dataclass(frozen=True)
class CorpusSize:
    """How many clips the embedded corpus holds in its training and test splits, and its seed.

    Raises: ValueError naming a value that is no whole number.
    """

    train: int
    test: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("train", 1), ("test", 1), ("seed", 0)):
            value = checked.whole_number(name, getattr(self, name), least)
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Recording:
    """One event of up to ten seconds and the devices that recorded it in parallel."""

    scene: str
    city: str
    location: int
    segment: int
    slices: int
    split: str
    devices: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def clips(self) -> int:
        return self.slices * len(self.devices)

    def files(self) -> list[str]:
        """Paths of its clips inside the corpus, device by device."""
        return [
            f"audio/{self.name}-{k}-{device}.wav"
            for device in self.devices
            for k in range(self.slices)
        ]


def layout(size: CorpusSize) -> list[Recording]:
    """The recordings of a corpus of about this size, scene by scene, training before test.

    Each scene gets the same. Recordings shrink from ten slices with the size, so that a small
    corpus still has many locations; device a records every training event, each other seen device
    about 5 % of the clips, and every test event is recorded by all nine devices. Of a scene's
    location numbers, 2, 5, 8, ... are the test's and the others the training's.
    Raises: ValueError when there are too few clips to serve every class and device.
    """
    train, test = size.train / len(SCENES), size.test / len(SCENES)
    others = SEEN_DEVICES[1:]
    slices = min(10, max(1, int(train / 40)))
    parallel = max(1, round(OTHER_SHARE * train / slices))  # recordings of each other device
    count = round(train / slices) - len(others) * parallel
    per_device = round(test / len(DEVICES))  # test clips of one scene and device
    if count < 4 or per_device < 2:
        raise ValueError(
            f"{size.train} training and {size.test} test clips are too few for ten scenes and nine"
            " devices: ask for at least 90 and 180"
        )
    test_slices = min(10, max(2, int(test / 80)))
    test_count = max(2, round(per_device / test_slices))
    places = [k for k in range(100) if k % 3 != 2][: max(4, min(60, round(0.7 * count)))]
    test_places = [k for k in range(100) if k % 3 == 2][: min(test_count, 16)]
    devices = [["a"] for _ in range(count)]
    for k, device in enumerate(others):
        for j in range(parallel):
            event = (j * len(others) + k) * count // (parallel * len(others))  # spread evenly
            devices[event].append(device)
    recordings = []
    for index, scene in enumerate(SCENES):
        for k in range(count):
            place = places[k % len(places)]
            recordings.append(
                Recording(
                    scene,
                    CITIES[(place + index) % 10],
                    100 * index + place,
                    k // len(places),
                    slices,
                    "train",
                    tuple(devices[k]),
                )
            )
        for k in range(test_count):
            place = test_places[k % len(test_places)]
            long = per_device // test_count + (k < per_device % test_count)
            recordings.append(
                Recording(
                    scene,
                    CITIES[(place + index) % 10],
                    100 * index + place,
                    k // len(test_places),
                    long,
                    "test",
                    DEVICES,
                )
            )
    return recordings


def subset(recordings: list[Recording], percent: int) -> list[Recording]:
    """The training recordings of one of the 2024 subsets: nested, each scene alike, none cut."""
    chosen = []
    for scene in SCENES:
        pool = [one for one in recordings if one.scene == scene and one.split == "train"]
        pool.sort(key=lambda one: hashlib.sha256(one.name.encode()).digest())
        budget, taken = percent / 100 * sum(one.clips for one in pool), 0
        for one in pool:
            if taken and taken + one.clips / 2 > budget:
                break
            chosen.append(one)
            taken += one.clips
    return chosen
