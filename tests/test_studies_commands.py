"""Each file of results/ has a command that makes it; a study is a module with its command."""

from __future__ import annotations

import argparse
import pkgutil

import pytest

import studies
from asclib.store import PROJECT
from asclib.tuning.search import KINDS
from studies.__main__ import collect, main

SHARED = {"__main__", "command", "ready", "systems"}  # modules that are no study
SHARED |= {"arms", "effort", "record", "renderings", "sitting", "tuning", "verdicts"}  # of `fair`
SHARED |= {"shrinking"}  # of `pruning` and `qat`
SHARED |= {"components", "heldout", "linear", "reading", "splits", "unheard"}
SHARED |= {"label_arms"}  # of `labels`
TIMED = {"training", "distillation"}  # by benchmarks/


@pytest.fixture(scope="module")
def commands() -> dict[str, argparse.ArgumentParser]:
    found = argparse.ArgumentParser().add_subparsers()
    collect(found)
    return found.choices


def test_each_study_is_a_module_with_a_command_of_its_name(commands):
    modules = {module.name for module in pkgutil.iter_modules(studies.__path__)}
    assert set(commands) == modules - SHARED


def test_each_file_of_results_is_made_by_a_command_or_a_benchmark(commands):
    found = {path.stem for path in (PROJECT / "results").iterdir()}
    made = {*commands, *(f"{name}_real" for name in commands)}
    assert found <= made | TIMED | {f"tuning_{kind}" for kind in KINDS}
    for name in TIMED:
        text = (PROJECT / "benchmarks" / f"{name}.py").read_text()
        assert f"writes results/{name}.json" in text


def test_the_help_of_a_study_names_its_own_command(commands):
    for name, parser in commands.items():
        assert f"python -m studies {name}" in parser.description


def test_an_unknown_profile_is_refused_at_once(capsys):
    with pytest.raises(SystemExit):
        main(["dataset", "--profile", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err
