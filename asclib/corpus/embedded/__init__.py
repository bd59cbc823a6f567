"""The embedded corpus: a procedural data set that every reader has."""

from asclib.corpus.embedded.devices import RECORDERS, Device
from asclib.corpus.embedded.layout import CITIES, CorpusSize

__all__ = ["CITIES", "RECORDERS", "CorpusSize", "Device"]
