"""The download: soundata itself, fed from a folder of small archives instead of the network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from http.client import IncompleteRead
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import soundata
from soundata.download_utils import RemoteFileMetadata

from asclib.corpus import Corpus, __main__, download
from tests.corpora import SMALL_TEST, SMALL_TRAIN

PLENTY = 10**12  # bytes
PARTS = ["meta", "doc", "audio.1", "audio.2"]


def archive_name(part: str) -> str:
    return f"{download.NAME}.{part}.zip"


@pytest.fixture
def server(small, tmp_path) -> Path:
    """A folder with the small corpus in four archives, named as the publishers name theirs."""
    names = SMALL_TRAIN + SMALL_TEST
    tables = [path.relative_to(small).as_posix() for path in small.rglob("*.csv")]
    content = {"meta": tables, "doc": [], "audio.1": names[:40], "audio.2": names[40:]}
    folder = tmp_path / "server"
    folder.mkdir()
    for part in PARTS:
        with zipfile.ZipFile(folder / archive_name(part), "w") as archive:
            archive.writestr(f"{download.NAME}/README.{part}.md", part)
            for name in content[part]:
                archive.write(small / name, f"{download.NAME}/{name}")
    return folder


@pytest.fixture
def fetched(server, monkeypatch) -> list[str]:
    """Lets soundata fetch from that folder, and lists what it has been asked for."""
    asked: list[str] = []

    def remote(part: str) -> RemoteFileMetadata:
        path = server / archive_name(part)
        checksum = hashlib.md5(path.read_bytes()).hexdigest()
        return RemoteFileMetadata(path.name, path.as_uri(), checksum)

    remotes = {f"development.{part}": remote(part) for part in [*PARTS[2:], *PARTS[:2]]}
    remotes["evaluation.meta"] = RemoteFileMetadata("not-wanted.zip", "file:///absent", "0")
    initialize = soundata.initialize

    def initialise(name: str, data_home: str):
        dataset = initialize(name, data_home=data_home)
        dataset.remotes = dict(remotes)
        genuine = dataset.download

        def record(partial_download: list[str], **rest) -> None:
            asked.extend(partial_download)
            genuine(partial_download=partial_download, **rest)

        dataset.download = record
        return dataset

    monkeypatch.setattr(soundata, "initialize", initialise)
    room(monkeypatch, PLENTY)
    return asked


def room(monkeypatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def test_the_development_set_is_fetched_tables_first_and_opens(fetched, tmp_path, capsys):
    assert __main__.main(["download", str(tmp_path / "tau")]) == 0
    assert fetched == [f"development.{part}" for part in PARTS]
    root = tmp_path / "tau" / download.NAME
    assert len(Corpus.open(root).clips) == len(SMALL_TRAIN) + len(SMALL_TEST)
    said = capsys.readouterr().out
    assert f"[1/4] {archive_name('meta')}" in said and f"[4/4] {archive_name('audio.2')}" in said
    assert said.rstrip().endswith(str(root))
    assert not list((tmp_path / "tau").glob("*.zip"))


@pytest.mark.parametrize("named", [".", download.NAME])
def test_a_complete_set_is_not_fetched_again(fetched, tmp_path, capsys, named):
    download.download(tmp_path)
    fetched.clear()
    for mark in tmp_path.glob("*.unpacked"):
        mark.unlink()
    assert download.download(tmp_path / named) == tmp_path / download.NAME
    assert fetched == [] and "nothing to fetch" in capsys.readouterr().out


def test_a_run_goes_on_where_the_last_one_stopped(fetched, server, tmp_path, capsys):
    hidden = (server / archive_name("audio.2")).rename(server / "hidden")
    with pytest.raises(download.DownloadError, match=r"audio\.2\.zip could not be fetched"):
        download.download(tmp_path)
    hidden.rename(server / archive_name("audio.2"))
    fetched.clear()
    download.download(tmp_path)
    assert fetched == ["development.audio.2"]
    assert f"[3/4] {archive_name('audio.1')}: unpacked before" in capsys.readouterr().out


def test_an_archive_that_was_cut_off_is_fetched_anew(fetched, server, tmp_path, capsys):
    whole = (server / archive_name("audio.1")).read_bytes()
    (tmp_path / archive_name("audio.1")).write_bytes(whole[: len(whole) // 2])
    download.download(tmp_path)
    assert "incomplete or damaged" in capsys.readouterr().out
    assert Corpus.open(tmp_path / download.NAME)


def test_archives_fetched_by_hand_are_unpacked_without_a_network(fetched, server, tmp_path):
    for part in PARTS:
        (server / archive_name(part)).rename(tmp_path / archive_name(part))
    assert Corpus.open(download.download(tmp_path))


def test_a_wrong_checksum_is_an_error(fetched, server, tmp_path):
    path = server / archive_name("meta")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(download.DownloadError, match="MD5 checksum"):
        download.download(tmp_path)
    assert not list(tmp_path.glob("*.unpacked"))


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError(), IncompleteRead(b"")])
def test_a_lost_connection_says_what_to_do(fetched, tmp_path, monkeypatch, capsys, error):
    def lost(*args, **kwargs):
        raise error

    monkeypatch.setattr("urllib.request.urlretrieve", lost)
    assert __main__.main(["download", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"{archive_name('meta')} could not be fetched" in said
    for part in ("By hand", download.RECORD, str(tmp_path), "goes on from there"):
        assert part in said
    assert "raise an issue" not in said  # soundata's own advice


def test_a_removed_clip_is_told_after_everything_was_unpacked(fetched, tmp_path):
    root = download.download(tmp_path)
    (root / SMALL_TRAIN[0]).unlink()
    with pytest.raises(download.DownloadError, match=r"(?s)absent.*remove the files"):
        download.download(tmp_path)


def test_a_removed_corpus_is_fetched_again(fetched, tmp_path):
    shutil.rmtree(download.download(tmp_path))
    assert Corpus.open(download.download(tmp_path))


# ---- room ------------------------------------------------------------------------------------


def test_a_full_disk_is_told_before_anything_is_fetched(fetched, tmp_path, monkeypatch, capsys):
    room(monkeypatch, 20 * 10**9)
    assert __main__.main(["download", str(tmp_path / "new" / "tau")]) == 1
    said = capsys.readouterr().err
    assert "has 20.0 GB free and needs 33.0 GB (2 of 2 audio archives to go)" in said
    assert fetched == [] and not (tmp_path / "new").exists()


def test_what_is_unpacked_needs_no_room(fetched, server, tmp_path, monkeypatch):
    hidden = (server / archive_name("audio.2")).rename(server / "hidden")
    with pytest.raises(download.DownloadError):
        download.download(tmp_path)
    hidden.rename(server / archive_name("audio.2"))
    room(monkeypatch, 20 * 10**9)  # half the clips and one archive
    assert Corpus.open(download.download(tmp_path))


def test_archives_that_lie_there_make_their_own_room(fetched, server, tmp_path, monkeypatch):
    archives = [server / archive_name(part) for part in ("audio.1", "audio.2")]
    monkeypatch.setattr(download, "AUDIO_BYTES", sum(path.stat().st_size for path in archives))
    monkeypatch.setattr(download, "ARCHIVE_BYTES", 0)
    room(monkeypatch, 0)
    with pytest.raises(download.DownloadError, match="make room"):
        download.download(tmp_path)
    for path in archives:
        path.rename(tmp_path / path.name)
    assert Corpus.open(download.download(tmp_path))


# ---- the subsets of 2024 ---------------------------------------------------------------------


def test_missing_subsets_are_named_with_their_source(fetched, tmp_path, capsys):
    assert __main__.main(["download", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "missing: split5.csv, split10.csv, split25.csv, split50.csv, split100.csv" in said
    assert download.SUBSET_FILES in said and download.SUBSET_TASK in said
    assert str(tmp_path / download.NAME / "evaluation_setup") in said


def test_subsets_that_are_there_are_not_missed(tmp_path):
    (tmp_path / "evaluation_setup").mkdir()
    for folder, percents in (("evaluation_setup", (5, 10, 25)), (".", (50,))):
        for percent in percents:
            (tmp_path / folder / f"split{percent}.csv").touch()
    assert "missing: split100.csv." in download.subset_report(tmp_path)
    (tmp_path / "split100.csv").touch()
    assert "are there" in download.subset_report(tmp_path)


def test_soundata_has_the_archives_and_none_of_the_subsets():
    """Were the subsets in its list one day, the command would have to fetch them too."""
    archives = download._archives(soundata.initialize("tau2022uas_mobile"))
    names = [f"{download.NAME}.{part}.zip" for part in ("doc", "meta")]
    names += [f"{download.NAME}.audio.{i}.zip" for i in range(1, 17)]
    assert [remote.filename for remote in archives.values()] == names


# ---- without soundata, without a network -----------------------------------------------------


def test_without_soundata_the_way_by_hand_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "soundata", None)  # an import of it fails
    assert __main__.main(["download", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "pip install soundata" in said and download.RECORD in said


def test_the_command_without_a_network_says_what_to_do(tmp_path):
    """The whole command, in a process whose connections end at a closed port."""
    closed = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    code = (
        "import runpy, shutil, sys, types\n"
        f"shutil.disk_usage = lambda path: types.SimpleNamespace(free={PLENTY})\n"
        f"sys.argv = ['corpus', 'download', {str(tmp_path)!r}]\n"
        "runpy.run_module('asclib.corpus', run_name='__main__')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k.lower() != "no_proxy"} | closed
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "could not be fetched and unpacked" in done.stderr and "By hand" in done.stderr
    assert "Traceback" not in done.stderr and "raise an issue" not in done.stderr


def test_the_command_explains_itself():
    command = [sys.executable, "-m", "asclib.corpus", "download", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "DIR" in done.stdout and done.stderr == ""
