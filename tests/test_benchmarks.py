"""What the benchmarks compute, on a case so small that its timings mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asclib.distillation import TECHNIQUES, Stage, losses
from asclib.networks import TMSIC, OneVsAllTeacher
from asclib.training import Batch, Clips
from benchmarks import distillation

CLIPS = Clips(
    torch.randn(8, 1, 140, 8, generator=torch.Generator().manual_seed(0)),
    torch.arange(8) % 4,
    np.array([f"clip-{i}" for i in range(8)]),
)


@pytest.fixture(scope="module")
def teacher() -> OneVsAllTeacher:
    torch.manual_seed(0)
    return OneVsAllTeacher([TMSIC(2) for _ in range(10)])


def test_every_technique_and_every_output_is_timed():
    found = distillation.measure(batch=4, clips=8, repeats=1)
    assert set(found["techniques"]) == set(TECHNIQUES)
    outputs = {", ".join(stage.outputs) for stages in TECHNIQUES.values() for stage in stages}
    assert set(found["asked_every_batch"]) == set(found["bytes_per_clip"]) == outputs
    size = found["bytes_per_clip"]
    assert size["conv2, conv3, conv4"] == 10 * 70 * 2 * (28 + 28 + 16) * 2  # in half precision
    assert size["logits"] == 10 * 4
    for row in (*found["techniques"].values(), *found["asked_every_batch"].values()):
        assert 0 < row["low"] <= row["median"] <= row["high"]
    for name, stages in TECHNIQUES.items():
        own = [found["stages"][distillation.kind(stage)]["median"] for stage in stages]
        assert min(own) - 1e-3 <= found["techniques"][name]["median"] <= max(own) + 1e-3


def test_a_technique_costs_the_mean_of_its_stages_by_their_epochs():
    hint = Stage(losses.hint, weight=1.0, hard=0.0, epochs=3.0, on="conv2")
    response = Stage(losses.response, weight=1.0, hard=1.0)
    stages = {"hint on conv2": [1.6, 2.0], "response": [1.0, 1.2]}
    found = distillation.techniques(stages, {"mine": (hint, response)})
    assert found["mine"] == pytest.approx([(3 * 1.6 + 1.0) / 4, (3 * 2.0 + 1.2) / 4])


def test_a_machine_that_slows_down_steadily_changes_no_ratio(monkeypatch):
    clock = iter(range(1, 1000))

    def timed(work):
        seconds = 10 + next(clock)
        return work() * seconds, work() * seconds

    monkeypatch.setattr(distillation, "timed", timed)
    others = {"twice": lambda: 2.0, "half": lambda: 0.5, "same": lambda: 1.0}
    found, plain = distillation.ratios(lambda: 1.0, others, repeats=4)
    assert found == {"twice": [2.0] * 4, "half": [0.5] * 4, "same": [1.0] * 4}
    assert plain["on_core"] == 1


@pytest.mark.parametrize("output", ["logits", "conv2", "norm4", "embedding", ("conv3", "conv4")])
def test_a_teacher_that_is_asked_says_what_was_stored(teacher, output, tmp_path):
    outputs = output if isinstance(output, tuple) else (output,)
    stored = distillation.stored(teacher, CLIPS, set(outputs), tmp_path)
    asked = distillation.Asked(teacher.eval(), outputs)
    rows = torch.tensor([5, 0, 3])
    batch = Batch(CLIPS.x[rows], CLIPS.labels[rows], None, 4)
    found = asked(batch, torch.default_generator).answers
    expected = stored.joined(CLIPS.identifiers, output)[rows].float()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-3)
