"""One entry to all commands."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from asclib import __main__ as entry
from asclib.store import PROJECT


@pytest.mark.parametrize("command", entry.COMMANDS)
def test_every_command_says_what_it_takes(command, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        entry.main([command, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and said.startswith(f"usage: python -m asclib {command}")


@pytest.mark.parametrize("command", ["check", "download", "adapt"])
def test_so_do_the_commands_of_the_corpus(command, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        entry.main(["corpus", command, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and f"usage: python -m asclib corpus {command}" in said


def test_the_entry_lists_them(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        entry.main(["--help"])
    listed = capsys.readouterr().out
    assert stop.value.code == 0
    for command, (_, text) in entry.COMMANDS.items():
        assert f"  {command:10} {text}" in listed


@pytest.mark.parametrize("arguments", [[], ["liten"]])
def test_what_is_no_command_is_refused_with_those_there_are(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        entry.main(arguments)
    assert stop.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("given, status", [(None, 0), (0, 0), (1, 1)])
def test_the_exit_status_and_the_arguments_are_the_command_s(monkeypatch, given, status) -> None:
    taken: list[list[str]] = []

    def main(arguments):
        taken.append(arguments)
        return given

    module = importlib.import_module(entry.COMMANDS["corpus"][0])
    monkeypatch.setattr(module, "main", main)
    assert entry.main(["corpus", "check", "x", "--tables"]) == status
    assert taken == [["check", "x", "--tables"]]


def test_a_command_loads_its_own_libraries_and_no_others() -> None:
    heavy = "{'torch', 'librosa', 'optuna', 'pandas'}"
    code = (
        "import sys\nfrom asclib.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_from_a_shell_the_status_is_the_command_s() -> None:
    run = [sys.executable, "-m", "asclib", "corpus", "check", "absent"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 1 and "meta.csv: is missing" in done.stdout


def test_bars_stay_out_of_the_results(small) -> None:
    run = [sys.executable, "-m", "asclib", "corpus", "check", str(small)]
    environment = {name: value for name, value in os.environ.items() if name != "ASCLIB_PROGRESS"}
    done = subprocess.run(run, capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all is well\n", "")
