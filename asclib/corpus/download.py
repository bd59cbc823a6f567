"""Fetch TAU Urban Acoustic Scenes 2022 Mobile, development set (Zenodo 6337421).

    python -m asclib corpus download DIR

soundata (Fuentes et al. 2021) knows the archives and their MD5 sums; this module adds what 30 GB
need: room on the disk before it starts, one archive after the other with its place in the row, and
going on where an earlier run stopped. Whole archives count: one that was cut off is fetched anew.

Chapter: book/task/dataset.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import urllib.request  # noqa: F401 - soundata 1.0.1 uses it without importing it
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus.folder import Corpus
from asclib.corpus.tables import SUBSETS, CorpusError
from asclib.store import write_atomic

NAME = "TAU-urban-acoustic-scenes-2022-mobile-development"  # of the folder inside the archives
RECORD = "https://zenodo.org/records/6337421"
SUBSET_FILES = "https://github.com/CPJKU/dcase2024_task1_baseline/releases/tag/files"
SUBSET_TASK = (
    "https://dcase.community/challenge2024/"
    "task-data-efficient-low-complexity-acoustic-scene-classification"
)
AUDIO_BYTES = 230_350 * (44 + 3 * SAMPLE_RATE)  # all clips: header, one second of 24 bits
ARCHIVE_BYTES = 2_500_000_000  # more than any archive: one lies beside its clips for a while


class DownloadError(RuntimeError):
    """Why the data set could not be fetched, and what to do about it."""


def download(folder: str | Path) -> Path:
    """Fetch what is missing of the development set; returns the folder to be opened as a corpus.

    Args: folder, which gets a subfolder with the publishers' name; made if absent. Archives that
    lie in it are checked and unpacked instead of fetched, so that they may come from elsewhere.
    Raises: DownloadError without the package soundata, without room, when an archive cannot be
    fetched or unpacked, or when the unpacked archives are no sound corpus.
    """
    folder = Path(folder)
    if folder.name == NAME:  # the corpus itself was named
        folder = folder.parent
    root = folder / NAME
    if _is_complete(root):
        print(f"{root} is complete: nothing to fetch")
        return root
    dataset = _dataset(folder)
    archives = _archives(dataset)
    unpacked = {key for key in archives if root.is_dir() and _mark(folder, archives[key]).exists()}
    _check_room(folder, archives, unpacked)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (key, remote) in enumerate(archives.items(), start=1):
        place = f"[{number}/{len(archives)}] {remote.filename}"
        if key in unpacked:
            print(f"{place}: unpacked before", flush=True)
            continue
        print(place, flush=True)  # soundata shows a bar of its bytes below
        _fetch(dataset, key, folder)
    try:
        Corpus.open(root)
    except CorpusError as error:
        hint = f"To fetch everything again, remove the files *.unpacked in {folder}"
        raise DownloadError(f"All archives are unpacked, but {error}\n{hint}") from error
    return root


def subset_report(root: Path) -> str:
    """Which of the 2024 subset files a corpus has, and where the others come from.

    They belong to the task of that year, not to the record of the data set, so soundata lacks them.
    """
    names = [f"split{percent}.csv" for percent in SUBSETS]
    setup = root / "evaluation_setup"
    missing = [name for name in names if not any((at / name).is_file() for at in (setup, root))]
    if not missing:
        return f"The subsets of 2024 are there: {', '.join(names)}."
    return (
        f"Of the subsets of 2024, which are optional, these are missing: {', '.join(missing)}.\n"
        f"They are not part of the record. Fetch them from\n  {SUBSET_FILES}\n"
        f"(task page: {SUBSET_TASK})\nand put them into\n  {setup}"
    )


def by_hand(folder: Path) -> str:
    """How to get the data set without this command."""
    return (
        "By hand, with any other machine or program:\n"
        f"  1. From {RECORD} fetch\n"
        f"     {NAME}.meta.zip, .doc.zip and .audio.1.zip to .audio.16.zip.\n"
        f"  2. Put them into {folder}\n"
        "     and give this command again: it checks and unpacks them, without a network.\n"
        "What was fetched before is kept; the command goes on from there."
    )


def _is_complete(root: Path) -> bool:
    try:
        Corpus.open(root)
    except CorpusError:
        return False
    return True


def _dataset(folder: Path) -> Any:
    """soundata's loader of the data set, with `folder` as its home."""
    try:
        import soundata
    except ImportError as error:
        reason = f"The package soundata cannot be imported ({error}): pip install soundata."
        raise DownloadError(f"{reason}\n{by_hand(folder)}") from None
    return soundata.initialize("tau2022uas_mobile", data_home=str(folder))


def _archives(dataset: Any) -> dict[str, Any]:
    """soundata's entries of the development set (filename, checksum), the small ones first."""
    keys = [key for key in dataset.remotes if key.startswith("development.")]
    return {key: dataset.remotes[key] for key in sorted(keys, key=lambda key: "audio" in key)}


def _mark(folder: Path, remote: Any) -> Path:
    """The file that says an archive was unpacked to its end: soundata removes the archive."""
    return folder / f"{remote.filename}.unpacked"


def _check_room(folder: Path, archives: dict[str, Any], unpacked: set[str]) -> None:
    """Raise DownloadError when the disk cannot take the clips of the archives that are left."""
    audio = [key for key in archives if "audio" in key]
    left = [archives[key].filename for key in audio if key not in unpacked]
    there = sum((folder / name).stat().st_size for name in left if (folder / name).exists())
    # an archive that lies there already makes room when it is unpacked
    needed = AUDIO_BYTES * len(left) // len(audio) + ARCHIVE_BYTES - there if left else 0
    parents = (folder.absolute(), *folder.absolute().parents)
    free = shutil.disk_usage(next(path for path in parents if path.exists())).free
    if free < needed:
        raise DownloadError(
            f"{folder} has {free / 1e9:.1f} GB free and needs {needed / 1e9:.1f} GB"
            f" ({len(left)} of {len(audio)} audio archives to go): make room, or name another disk"
        )


def _fetch(dataset: Any, key: str, folder: Path) -> None:
    """Fetch, check and unpack one archive, and mark it."""
    remote = dataset.remotes[key]
    archive = folder / remote.filename
    try:
        if archive.exists() and _md5(archive) != remote.checksum:
            print("  the archive that is there is incomplete or damaged: fetching it anew")
            archive.unlink()
        with _quiet():
            dataset.download(partial_download=[key], cleanup=True)
    except (OSError, HTTPException, BadZipFile, EOFError) as error:
        cause = getattr(error, "reason", None) or str(error) or type(error).__name__
        reason = f"{remote.filename} could not be fetched and unpacked: {cause}"
        raise DownloadError(f"{reason}\n{by_hand(folder)}") from error
    os.sync()  # the clips must reach the disk before the name that vouches for them
    write_atomic(_mark(folder, remote), b"")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep soundata's log off the screen: it asks to report every lost connection as its bug."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
