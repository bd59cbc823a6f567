"""Packages with one fault each: every fault is found, with its file, its row and a remedy."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from asclib.challenge import SCENES
from asclib.challenge.check import check
from asclib.challenge.years import YEARS
from tests.corpora import edit, lines
from tests.packages import CLIPS, FOLDER, LABEL, PREDICTIONS, submission, unpacked

OUTPUT = f"{FOLDER}/{LABEL}.output.csv"
META = f"{FOLDER}/{LABEL}.meta.yaml"
SPLIT_10 = f"{FOLDER}/{LABEL}.output.split_10.csv"
COMPLEXITY, ACCURACY = (f"{PREDICTIONS}/{name}.json" for name in ("complexity", "test_accuracy"))
MODULE = f"inference/Lee_TUNI_task1/{LABEL}.py"
Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[int, Path]:
    """A sound package of each year, unpacked."""
    root = tmp_path_factory.mktemp("packages")
    return {year: unpacked(submission(year), root / str(year)) for year in YEARS}


@pytest.fixture
def spoilt(packages, tmp_path) -> Callable[[int, Spoil], pd.DataFrame]:
    """The report on a package of a year, once it was spoilt."""

    def report(year: int, spoil: Spoil) -> pd.DataFrame:
        root = shutil.copytree(packages[year], tmp_path / "package")
        spoil(root)
        return check(root, year, CLIPS)

    return report


def row(number: int, change: Callable[[list[str]], list[str]], name: str = OUTPUT) -> Spoil:
    """Changes the fields of one row of an output."""

    def spoil(root: Path) -> None:
        edit(root / name, number, lambda line: "\t".join(change(line.split("\t"))))

    return spoil


def field(number: int, column: str, value: str) -> Spoil:
    """Writes another value into one field."""
    at = ("filename", "scene_label", *SCENES).index(column)
    return row(number, lambda fields: [*fields[:at], value, *fields[at + 1 :]])


def rows(change: Callable[[list[str]], list[str]]) -> Spoil:
    """Changes the lines of an output."""

    def spoil(root: Path) -> None:
        (root / OUTPUT).write_text("\n".join(change(lines(root / OUTPUT))) + "\n")

    return spoil


def meta(path: str, value: object) -> Spoil:
    """Writes another value into a field of meta.yaml; None takes it out."""

    def spoil(root: Path) -> None:
        found = yaml.safe_load((root / META).read_text())
        *way, last = path.split(".")
        block = found
        for name in way:
            block = block[int(name) if name.isdigit() else name]
        if value is None:
            del block[last]
        else:
            block[last] = value
        (root / META).write_text(yaml.safe_dump(found, sort_keys=False))

    return spoil


def inside(name: str, change: Callable[[dict], object]) -> Spoil:
    """Changes a json."""

    def spoil(root: Path) -> None:
        found = json.loads((root / name).read_text())
        change(found)
        (root / name).write_text(json.dumps(found))

    return spoil


def write(name: str, text: str) -> Spoil:
    return lambda root: (root / name).write_text(text)


def remove(name: str) -> Spoil:
    return lambda root: (root / name).unlink()


def folder_for(name: str) -> Spoil:
    """Puts a folder where a file belongs: what the system then says differs from a missing one."""

    def spoil(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return spoil


def copy(name: str, other: str) -> Spoil:
    return lambda root: shutil.copy(root / name, root / other)


def unlike(fields: list[str]) -> list[str]:
    """A row labelled with its least probable scene."""
    numbers = [float(number) for number in fields[2:]]
    return [fields[0], SCENES[numbers.index(min(numbers))], *fields[2:]]


def logits(fields: list[str]) -> list[str]:
    return [*fields[:2], *(f"{10 * float(number) - 3}" for number in fields[2:])]


# year, what is done, the file, the row, a part of the problem, a part of the remedy
FAULTS = {
    "a sum of 0.9": (
        2022,
        row(5, lambda f: [*f[:2], *(f"{0.9 * float(n)}" for n in f[2:])]),
        (OUTPUT, 5, "3.wav has probabilities that sum to 0.9000, not to 1", "softmax"),
    ),
    "a label that is not the largest": (
        2022,
        row(7, unlike),
        (OUTPUT, 7, "5.wav is labelled", "the largest probability as scene_label"),
    ),
    "logits": (2023, row(2, logits), (OUTPUT, 2, "below 0 or above 1", "softmax them")),
    "NaN": (2023, field(4, "park", "nan"), (OUTPUT, 4, "NaN or infinite", "input holds NaN")),
    "infinity": (2023, field(4, "park", "inf"), (OUTPUT, 4, "NaN or infinite", "ask the system")),
    "a word": (2023, field(4, "park", "high"), (OUTPUT, 4, "is no number", "ten probabilities")),
    "an empty field": (
        2023,
        field(4, "park", ""),
        (OUTPUT, 4, "is no number", "ten probabilities"),
    ),
    "an unknown scene": (
        2022,
        field(3, "scene_label", "beach"),
        (OUTPUT, 3, "unknown scene 'beach'", "airport, bus"),
    ),
    "a scene in capitals": (
        2022,
        field(3, "scene_label", "Airport"),
        (OUTPUT, 3, "unknown scene 'Airport'", "use one of"),
    ),
    "a clip twice": (
        2022,
        rows(lambda found: [*found, found[4]]),
        (OUTPUT, 32, "3.wav was answered in row 5 already", "keep one"),
    ),
    "a clip missing": (
        2022,
        rows(lambda found: [*found[:4], *found[5:]]),
        (OUTPUT, None, "3.wav is missing", "answer all 30 clips"),
    ),
    "clips missing": (
        2022,
        rows(lambda found: found[:10]),
        (OUTPUT, None, "9.wav is missing, and so are 20 more", "answer all 30 clips"),
    ),
    "a clip of nobody's": (
        2022,
        rows(lambda found: [*found, found[1].replace("0.wav", "30.wav")]),
        (OUTPUT, 32, "30.wav is none of the 30 clips", "evaluation set"),
    ),
    "a folder before the name": (
        2022,
        field(3, "filename", "audio/1.wav"),
        (OUTPUT, 3, "'audio/1.wav' has a folder", "bare name"),
    ),
    "another ending": (
        2022,
        field(3, "filename", "1.flac"),
        (OUTPUT, 3, "does not end in .wav", "file name"),
    ),
    "a column too few": (
        2022,
        row(9, lambda f: f[:-1]),
        (OUTPUT, 9, "has 11 fields for 12 columns", "complete the row"),
    ),
    "a column of another name": (
        2022,
        row(1, lambda f: ["file", *f[1:]]),
        (OUTPUT, 1, "lacks the column filename", "header line"),
    ),
    "a further column": (
        2022,
        rows(lambda found: [found[0] + "\tdevice", *(f"{line}\ta" for line in found[1:])]),
        (OUTPUT, 1, "has the columns device", "and nothing else"),
    ),
    "columns in another order": (
        2022,
        rows(lambda found: ["\t".join([*f[:2], *f[:1:-1]]) for f in map(str.split, found)]),
        (OUTPUT, 1, "columns in another order", "write filename scene_label airport"),
    ),
    "commas": (
        2022,
        rows(lambda found: [line.replace("\t", ",") for line in found]),
        (OUTPUT, 1, "has commas where tabs belong", "tab-separated"),
    ),
    "no output": (2022, remove(OUTPUT), (OUTPUT, None, "is missing", "write the answers")),
    "a folder for an output": (
        2022,
        folder_for(OUTPUT),
        (OUTPUT, None, "cannot be read (Is a directory)", "a readable file"),
    ),
    "an empty output": (2022, write(OUTPUT, ""), (OUTPUT, None, "is empty", "restore")),
    "no meta": (2022, remove(META), (META, None, "is missing", "package write")),
    "meta that is no YAML": (
        2022,
        write(META, "submission:\n  name: one: two\n"),
        (META, None, "is no YAML at line 2", "quotation marks"),
    ),
    "meta without fields": (2022, write(META, "- a\n"), (META, None, "holds no fields", "compare")),
    "another label": (
        2022,
        meta("submission.label", "Lee_TUNI_task1_2"),
        (META, None, "label is Lee_TUNI_task1_2, and its folder is", "alike"),
    ),
    "a long abbreviation": (
        2023,
        meta("submission.abbreviation", "elevenchars"),
        (META, None, "'elevenchars' has 11 characters", "shorten it to 10"),
    ),
    "no corresponding author": (
        2024,
        meta("submission.authors.0.corresponding", False),
        (META, None, "0 of the authors are corresponding", "exactly one"),
    ),
    "an author without address": (
        2024,
        meta("submission.authors.0.email", None),
        (META, None, "authors, number 1, lacks email", "give it lastname"),
    ),
    "a field to be filled in": (
        2022,
        meta("system.description.decision_making", "FILL IN"),
        (META, None, "decision_making is still to be filled in", "FILL IN"),
    ),
    "no energy in 2023": (
        2023,
        meta("system.energy_consumption", None),
        (META, None, "system lacks energy_consumption", "give it"),
    ),
    "no framework in 2024": (
        2024,
        meta("system.description.framework", None),
        (META, None, "system.description lacks framework", "give it"),
    ),
    "a data set without address": (
        2024,
        meta("system.external_datasets", [{"name": "x", "total_audio_length": 3}]),
        (META, None, "external_datasets, number 1, lacks url", "give it name"),
    ),
    "MACs as text": (
        2022,
        meta("system.complexity.macs", "25 M"),
        (META, None, "complexity.macs is '25 M'", "whole number"),
    ),
    "too many MACs": (
        2022,
        meta("system.complexity.macs", 30_000_001),
        (META, None, "30,000,001, and 2022 allows 30,000,000", "smaller network"),
    ),
    "too many parameters": (
        2022,
        meta("system.complexity.total_parameters", 128_001),
        (META, None, "128,001, and 2022 allows 128,000", "smaller network"),
    ),
    "too many bytes": (
        2023,
        meta("system.complexity.total_model_size", 128_001),
        (META, None, "128,001, and 2023 allows 128,000", "fewer bits"),
    ),
    "more parameters than there are": (
        2023,
        meta("system.complexity.total_parameters_non_zero", 51_987),
        (META, None, "non_zero is 51,987 of 51,986", "count again"),
    ),
    "an accuracy that is not that of its scenes": (
        2022,
        meta("results.development_dataset.overall.accuracy", 60.0),
        (META, None, "overall has accuracy 60, and the mean of class_wise", "score again"),
    ),
    "a log loss that is not that of its scenes": (
        2022,
        meta("results.development_dataset.overall.logloss", 0.1),
        (META, None, "overall has logloss 0.1, outside", "score again"),
    ),
    "an accuracy as a share of nothing": (
        2022,
        meta("results.development_dataset.overall.accuracy", 160),
        (META, None, "has accuracy 160", "from 0 to 100"),
    ),
    "results without a scene": (
        2022,
        meta("results.development_dataset.class_wise.tram", None),
        (META, None, "class_wise lacks tram", "give it airport"),
    ),
    "results without a device": (
        2022,
        meta("results.development_dataset.device_wise.s6", None),
        (META, None, "device_wise lacks s6", "give it a"),
    ),
    "results without a subset": (
        2024,
        meta("results.development_dataset.split_25", None),
        (META, None, "development_dataset lacks split_25", "give it split_5"),
    ),
    "no output of a subset": (
        2024,
        remove(SPLIT_10),
        (SPLIT_10, None, "is missing", "the answers of the system of 10 %"),
    ),
    "one output for two subsets": (
        2024,
        copy(f"{FOLDER}/{LABEL}.output.split_5.csv", SPLIT_10),
        (SPLIT_10, None, f"is the same as {LABEL}.output.split_5.csv", "this subset"),
    ),
    "an output of no subset": (
        2024,
        copy(SPLIT_10, f"{FOLDER}/{LABEL}.output.split_20.csv"),
        (f"{FOLDER}/{LABEL}.output.split_20.csv", None, "is no file of a system of 2024", "out"),
    ),
    "an output of a year without subsets": (
        2023,
        copy(OUTPUT, SPLIT_10),
        (SPLIT_10, None, "is no file of a system of 2023", "take it out"),
    ),
    "no inference": (2025, remove(MODULE), (MODULE, None, "is missing", "package write")),
    "inference without a function": (
        2025,
        write(MODULE, "def predict(): ...\n"),
        (MODULE, None, "does not define load_model, load_inputs, get_model_for_device", "define"),
    ),
    "other answers than those of the inference": (
        2025,
        lambda root: edit(
            root / f"{PREDICTIONS}/output.csv", 2, lambda line: line.replace("0.wav", "00.wav")
        ),
        (f"{PREDICTIONS}/output.csv", None, f"differs from {LABEL}.output.csv", "copy"),
    ),
    "no complexity.json": (2025, remove(COMPLEXITY), (COMPLEXITY, None, "is missing", "write")),
    "a folder for complexity.json": (
        2025,
        folder_for(COMPLEXITY),
        (COMPLEXITY, None, "cannot be read (Is a directory)", "a readable file"),
    ),
    "a complexity.json that is none": (
        2025,
        write(COMPLEXITY, "{"),
        (COMPLEXITY, None, "is no JSON", "package write"),
    ),
    "a device that nobody counted": (
        2025,
        inside(COMPLEXITY, lambda found: found["per_device"].pop("s7")),
        (COMPLEXITY, None, "has no s7 in per_device", "every device"),
    ),
    "a device beyond the limit": (
        2025,
        inside(COMPLEXITY, lambda found: found["per_device"]["s3"].update(Params=128_001)),
        (COMPLEXITY, None, "the model of device s3 has 128,001 Params, 128,000", "fewer bits"),
    ),
    "a largest that is not the largest": (
        2025,
        inside(COMPLEXITY, lambda found: found.update(max_MACs=1)),
        (COMPLEXITY, None, "max_MACs is 1, and the largest of the devices 25,376,896", "count"),
    ),
    "costs that meta.yaml does not tell": (
        2025,
        meta("system.complexity.macs", 20_000_000),
        (COMPLEXITY, None, "has 25,376,896 MACs, and meta.yaml says macs 20,000,000", "both"),
    ),
    "no test accuracy": (2025, remove(ACCURACY), (ACCURACY, None, "is missing", "write")),
    "a test accuracy of another system": (
        2025,
        write(ACCURACY, '{"Test Accuracy": 99.0}'),
        (ACCURACY, None, "99, outside the recalls in meta.yaml", "score again"),
    ),
    "a test accuracy under another name": (
        2025,
        write(ACCURACY, '{"accuracy": 50.0}'),
        (ACCURACY, None, "Test Accuracy None", "0 to 100"),
    ),
}


@pytest.mark.parametrize("year", YEARS)
def test_a_sound_package_has_no_fault(packages, year) -> None:
    assert check(packages[year], year, CLIPS).empty


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(spoilt, fault) -> None:
    year, spoil, (file, line, problem, remedy) = FAULTS[fault]
    report = spoilt(year, spoil)
    found = [
        one
        for one in report.itertuples(index=False)
        if one.file == file and problem in one.problem and remedy in one.remedy
    ]
    assert found, report.to_dict("records")
    assert pd.isna(found[0].row) if line is None else found[0].row == line


@pytest.mark.parametrize(
    "fault",
    ["a sum of 0.9", "a label that is not the largest", "NaN", "a clip twice", "too many MACs"],
)
def test_one_fault_is_told_once(spoilt, fault) -> None:
    year, spoil, _ = FAULTS[fault]
    assert len(spoilt(year, spoil)) == 1


def test_the_rows_of_one_fault_are_counted_and_the_first_is_named(spoilt) -> None:
    def halve(found: list[str]) -> list[str]:
        parts = [line.split("\t") for line in found[1:]]
        return [
            found[0],
            *("\t".join([*f[:2], *(f"{float(n) / 2}" for n in f[2:])]) for f in parts),
        ]

    report = spoilt(2022, rows(halve))
    assert report["row"].tolist() == [2]
    assert report["problem"][0].endswith("(and so have 29 more)")


def test_equals_may_be_labelled_with_any_of_them(spoilt) -> None:
    def tie(fields: list[str]) -> list[str]:
        return [fields[0], "tram", "0.4", *["0.025"] * 8, "0.4"]

    assert spoilt(2022, row(3, tie)).empty


def test_without_clips_those_of_the_challenge_are_asked(packages) -> None:
    for year, last in ((2022, 118_800), (2023, 118_800), (2024, 135_730)):
        report = check(packages[year], year)
        assert len(report) == max(1, len(YEARS[year].subsets))
        assert f"and so are {last - 31:,} more" in report["problem"][0]
        assert report["problem"][0].startswith("30.wav is missing")
    assert check(packages[2025], 2025).empty


def test_answers_to_the_development_set_are_recognised(packages) -> None:
    names = [f"tram-porto-{number}-0-0-a.wav" for number in range(30)]
    root = packages[2022]
    text = (root / OUTPUT).read_text()
    for number, name in reversed(list(enumerate(names))):
        text = text.replace(f"\n{number}.wav", f"\n{name}")
    copied = root.with_name("development")
    shutil.copytree(root, copied, dirs_exist_ok=True)
    (copied / OUTPUT).write_text(text)
    first = check(copied, 2022, CLIPS).iloc[0]
    assert first["row"] == 2 and "of the development set" in first["remedy"]


def renamed(name: str) -> Spoil:
    def spoil(root: Path) -> None:
        for file in (root / FOLDER).iterdir():
            file.rename(file.with_name(file.name.replace(LABEL, name)))
        (root / FOLDER).rename(root / "task1" / name)
        text = (root / f"task1/{name}/{name}.meta.yaml").read_text()
        (root / f"task1/{name}/{name}.meta.yaml").write_text(text.replace(LABEL, name))

    return spoil


@pytest.mark.parametrize(
    "name", ["Lee_TUNI_task1_5", "Lee_TUNI_task2_1", "Lee_task1_1", "Lee_TU_NI_task1_1"]
)
def test_a_name_that_is_no_label_is_refused(spoilt, name) -> None:
    report = spoilt(2022, renamed(name))
    assert report["problem"].tolist() == ["is no label"]
    assert report["file"][0] == f"task1/{name}" and "task1_<1 to 4>" in report["remedy"][0]


def test_the_systems_of_a_package_are_of_one_team_and_four_at_most(packages, tmp_path) -> None:
    root = tmp_path / "many"
    for number in range(1, 6):
        other = tmp_path / str(number)
        shutil.copytree(packages[2022], other)
        renamed(f"Lee_TUNI_task1_{number}" if number < 5 else "Kim_KAIST_task1_1")(other)
        shutil.copytree(other, root, dirs_exist_ok=True)
    problems = check(root, 2022, CLIPS)["problem"].tolist()
    assert problems[0] == "holds 5 systems" and "several teams" in problems[1]
    assert len(problems) == 2


# ---- zips ----------------------------------------------------------------------------------------


def zipped(root: Path, path: Path, under: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                made.write(file, f"{under}{file.relative_to(root)}")
    return path


def test_a_zip_is_checked_as_its_folder(packages, tmp_path) -> None:
    assert check(zipped(packages[2024], tmp_path / "p.zip"), 2024, CLIPS).empty
    report = check(zipped(packages[2024], tmp_path / "deep.zip", "package/"), 2024, CLIPS)
    assert (
        report["file"].tolist() == ["task1"]
        and "zip the folder task1 itself" in (report["remedy"][0])
    )


def damaged(path: Path, root: Path, compression: int, at: int, byte: int) -> Path:
    """A zip of one file whose compressed content, from its start on, has one byte replaced."""
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr(META, (root / META).read_bytes())
    content = bytearray(path.read_bytes())
    content[30 + len(META) + at] = byte  # past the file's header, of 30 bytes and its name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "compression, at, byte, reason",
    [
        (zipfile.ZIP_STORED, 50, 0, "Bad CRC-32"),
        (zipfile.ZIP_DEFLATED, 0, 0xFF, "invalid block type"),
        (zipfile.ZIP_DEFLATED, 0, 0x01, "invalid stored block lengths"),
        (zipfile.ZIP_BZIP2, 5, 0, "Invalid data stream"),
        (zipfile.ZIP_LZMA, 4, 0xFF, "Invalid or unsupported options"),
    ],
)
def test_a_damaged_file_in_a_zip_is_one_fault(
    packages, tmp_path, compression, at, byte, reason
) -> None:
    path = damaged(tmp_path / "p.zip", packages[2022], compression, at, byte)
    (found,) = check(path, 2022).itertuples(index=False)
    assert found.file == "p.zip" and pd.isna(found.row)
    assert found.problem.startswith(f"holds {META}, which cannot be unpacked")
    assert reason in found.problem and "\n" not in found.problem


def test_what_is_no_sound_zip_is_refused(packages, tmp_path) -> None:
    text = tmp_path / "text.zip"
    text.write_text("no zip")
    short = zipped(packages[2022], tmp_path / "short.zip")
    short.write_bytes(short.read_bytes()[:-100])
    wild = tmp_path / "wild.zip"
    with zipfile.ZipFile(wild, "w") as made:
        made.writestr("../task1/x", "x")
    unreadable = "is no readable zip (File is not a zip file)"
    said = {"text.zip": unreadable, "short.zip": unreadable, "wild.zip": "outside"}
    for path in (text, short, wild):
        report = check(path, 2022)
        assert report["file"].tolist() == [path.name]
        assert said[path.name] in report["problem"][0]
    assert not (tmp_path / "task1").exists()
    with pytest.raises(FileNotFoundError, match="absent.zip: no such package"):
        check(tmp_path / "absent.zip", 2022)
    with pytest.raises(ValueError, match="no rules for 2021: choose one of 2022, 2023, 2024, 2025"):
        check(text, 2021)
