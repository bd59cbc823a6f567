"""What the task fixes: ten scenes, nine devices and the rate of every recording.

Chapter: book/task/challenge.
"""

from __future__ import annotations

SAMPLE_RATE = 44_100  # hertz, of every recording of the challenge
SCENES = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)
SEEN_DEVICES = ("a", "b", "c", "s1", "s2", "s3")
UNSEEN_DEVICES = ("s4", "s5", "s6")
DEVICES = SEEN_DEVICES + UNSEEN_DEVICES
