"""What each year asks of a submission: its clips, its files, the fields of its meta.yaml.

Read from the validators that the organisers published for 2022 to 2024 and from the inference
packages of 2025. The template of 2025's meta.yaml was not among them: it is taken to be that of
2024 with one training set. More fields than these are allowed.

Chapters: book/challenges/entry_2022, book/practice/tau.
"""

from __future__ import annotations

from dataclasses import dataclass

from asclib.challenge.limits import LIMITS, Limits
from asclib.challenge.task import SCENES
from asclib.corpus.tables import SUBSETS

HEADER = ("filename", "scene_label", *SCENES)  # of an outputs csv, separated by tabs
SYSTEMS = 4  # at most, in one package
ABBREVIATION = 10  # characters, at most
AUTHOR = ("lastname", "firstname", "email", "affiliation")
DATASET = ("name", "url", "total_audio_length")  # of an external data set
ENERGY = ("training", "inference", "baseline_inference")  # kWh
# whose models the evaluation of 2025 counts; clips of any other are answered by the general model
COUNTED_DEVICES = ("a", "b", "c", *(f"s{number}" for number in range(1, 11)))

_DESCRIPTION = (
    "input_sampling_rate",
    "acoustic_features",
    "data_augmentation",
    "machine_learning_method",
    "external_data_usage",
)
_EARLY = ("embeddings", "ensemble_method_subsystem_count", "decision_making")
_SINCE_2023 = ("complexity_management", "pipeline", "framework")


@dataclass(frozen=True)
class Year:
    """One year's package.

    Attributes:
        clips: of the evaluation set, named 0.wav to <clips - 1>.wav; None where that is not known.
        subsets: per cent of the training clips, an output each; empty for the one output.
        description, complexity: fields of `system` in meta.yaml.
        energy: whether it reports energy.
        inference: whether the code that infers belongs to it.
    """

    year: int
    clips: int | None
    description: tuple[str, ...]
    complexity: tuple[str, ...]
    subsets: tuple[int, ...] = ()
    energy: bool = False
    inference: bool = False

    @property
    def limits(self) -> Limits:
        """What its systems may cost."""
        return LIMITS[self.year]

    def output_names(self, label: str) -> dict[int, str]:
        """The output files of a system, by subset in per cent; the one output is that of 100."""
        if not self.subsets:
            return {100: f"{label}.output.csv"}
        return {percent: f"{label}.output.split_{percent}.csv" for percent in self.subsets}


_SIZE = ("total_model_size", "total_parameters", "macs")  # bytes, numbers, MACs
YEARS = {
    2022: Year(2022, 118_800, _DESCRIPTION + _EARLY, ("total_parameters", "macs")),
    2023: Year(
        2023,
        118_800,
        _DESCRIPTION + _EARLY + _SINCE_2023,
        (*_SIZE, "total_parameters_non_zero", "memory_use"),
        energy=True,
    ),
    2024: Year(
        2024,
        135_730,
        (*_DESCRIPTION, *_SINCE_2023, "split_adaptations", "system_adaptations"),
        _SIZE,
        subsets=SUBSETS,
    ),
    2025: Year(2025, None, _DESCRIPTION + _SINCE_2023, _SIZE, inference=True),
}


def year_of(year: int) -> Year:
    """The rules of a year. Raises: ValueError naming the years there are."""
    if year not in YEARS:
        raise ValueError(f"no rules for {year}: choose one of {', '.join(map(str, YEARS))}")
    return YEARS[year]
