"""Hypertuning: the search for the input and the search for the architecture, under the limits.

    python -m asclib tuning features --storage postgresql://host/name --trials 200

is one worker; start as many as there are processors, on as many machines as see the storage.
"""

from asclib.extras import needs

with needs("scale"):
    from asclib.tuning.architecture import Architecture, Searched, TooLarge, cost
    from asclib.tuning.features import Configuration, EmptyFilters
    from asclib.tuning.search import EFFORTS, Effort, Search, open_study, run, work

__all__ = [
    "EFFORTS",
    "Architecture",
    "Configuration",
    "Effort",
    "EmptyFilters",
    "Search",
    "Searched",
    "TooLarge",
    "cost",
    "open_study",
    "run",
    "work",
]
