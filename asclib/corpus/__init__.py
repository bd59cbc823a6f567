"""A corpus of acoustic scenes: a folder in the layout of TAU Urban Acoustic Scenes 2022 Mobile."""

from asclib.corpus.adapters import (
    adapt,
)
from asclib.corpus.audio import (
    read_audio,
)
from asclib.corpus.folder import (
    Corpus,
    places,
)
from asclib.corpus.recording import (
    Recording,
)
from asclib.corpus.tables import (
    CorpusError,
)

__all__ = [
    "Corpus",
    "CorpusError",
    "Recording",
    "adapt",
    "places",
    "read_audio",
]
