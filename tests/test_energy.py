"""Energy is never printed without its method; CodeCarbon is optional, and faked where it lacks."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from asclib.complexity import energy
from asclib.complexity.energy import Energy, Part, measure, relative

ROOT = Path(__file__).resolve().parent.parent


class CPU:
    def __init__(self, mode: str):
        self._mode = mode


class RAM:
    pass


class GPU:
    pass


@pytest.fixture
def tracker(monkeypatch):
    """CodeCarbon's offline tracker, faked: it says how it was made, started and stopped."""
    calls = SimpleNamespace(made=None, log=[], mode="constant")

    class Fake:
        def __init__(self, **settings):
            calls.made = settings

        def start(self):
            calls.log.append("start")
            self._hardware = [RAM(), CPU(calls.mode), GPU()]

        def stop(self):
            calls.log.append("stop")
            self.final_emissions_data = SimpleNamespace(
                cpu_energy=3e-6, ram_energy=1e-6, gpu_energy=2e-6
            )

    module = ModuleType("codecarbon")
    module.OfflineEmissionsTracker = Fake
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return calls


def test_inferences_are_counted_between_start_and_stop(tracker):
    seen = []
    found = measure(lambda: seen.append(list(tracker.log)), seconds=0.05)
    assert seen[0] == [] and set(map(tuple, seen[1:])) == {("start",)}  # the first warms up
    assert tracker.log == ["start", "stop"]
    assert found.inferences == len(seen) - 1 > 0
    assert found.seconds >= 0.05
    assert found.kilowatt_hours == pytest.approx(6e-6)
    assert found.joules_per_inference == pytest.approx(6e-6 * 1000 * 3600 / found.inferences)


def test_nothing_is_sent_or_written(tracker):
    measure(lambda: None, seconds=0.01)
    assert tracker.made["save_to_file"] is False
    assert "country_iso_code" in tracker.made  # what the tracker that stays offline needs


@pytest.mark.parametrize(
    "mode, word",
    [
        ("intel_rapl", "measured"),
        ("constant", "modelled"),
        ("cpu_load", "modelled"),
        ("some_new_way", "modelled"),
    ],
)
def test_the_method_is_printed_beside_the_number_and_memory_is_modelled(tracker, mode, word):
    tracker.mode = mode
    found = measure(lambda: None, seconds=0.01)
    assert f"processor {word} ({mode})" in str(found)
    assert "memory modelled (from its size)" in str(found)
    assert "GPU measured (sensor)" in str(found)
    assert not found.is_measured  # memory never is


def test_energy_is_set_against_a_reference_found_in_the_same_way():
    def found(joules: float, method: str = "intel_rapl") -> Energy:
        return Energy((Part("processor", joules / 3.6e6 * 50, method),), 1.0, 50)

    assert relative(found(0.2), found(0.8)) == pytest.approx(0.25)
    assert found(1.0).is_measured
    with pytest.raises(ValueError, match="find both on the same machine"):
        relative(found(0.2), found(0.8, "constant"))


def test_without_codecarbon_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "asclib\[energy\]"'):
        measure(lambda: None)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(name.startswith("codecarbon") for name in extras["energy"])
    with pytest.raises(ValueError, match="seconds = 0"):
        measure(lambda: None, seconds=0)


def test_the_library_never_imports_it_by_itself():
    code = "import sys, asclib.complexity.energy; print('codecarbon' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr


def test_codecarbon_itself_answers():
    pytest.importorskip("codecarbon", reason="CodeCarbon, an extra, is not installed")
    found = measure(lambda: sum(range(10_000)), seconds=2.0)
    assert found.kilowatt_hours > 0 and found.inferences > 1
    assert {part.name for part in found.parts} >= {"processor", "memory"}
    assert energy.relative(found, found) == 1
