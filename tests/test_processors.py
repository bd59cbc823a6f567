"""Claims about what changes with the processor's instructions, and what does not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.processors import OLDER

# The variables are of x86 libraries, and the oldest processors have nothing to switch off.
SWITCHED = platform.machine() in ("x86_64", "AMD64") and (
    torch.backends.cpu.get_cpu_capability() != "DEFAULT"
)

# Leaves a matrix product, features of noise, weights after five epochs, and an order among equals.
WORK = """
import sys
import numpy as np, torch
from asclib.features import LogMel
from asclib.networks import TMSIC
from asclib.training import Clips, Training, train

noise = np.random.default_rng(0).standard_normal((64, 8_000))
x = LogMel.tmsic()(torch.tensor(noise, dtype=torch.float32), sample_rate=8_000)
torch.manual_seed(0)
net = TMSIC()
clips = Clips(x, torch.arange(64) % 10, np.arange(64))
train(net, clips, clips, Training(5, schedule="constant"), seed=0)
weights = torch.cat([value.flatten().double() for value in net.state_dict().values()])
np.savez(sys.argv[1], product=noise @ noise.T, features=x.numpy(), weights=weights.numpy(),
         order=np.argsort(np.arange(1_000) % 7))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Callable[..., dict[str, np.ndarray]]:
    """What WORK leaves in a process with these variables, and no others of OLDER."""

    def run(**variables: str) -> dict[str, np.ndarray]:
        path = tmp_path_factory.mktemp("work") / "arrays.npz"
        inherited = {name: value for name, value in os.environ.items() if name not in OLDER}
        command = [sys.executable, "-c", WORK, str(path)]
        subprocess.run(command, env=inherited | variables, check=True, stdout=subprocess.DEVNULL)
        return dict(np.load(path))

    return run


@pytest.fixture(scope="module")
def here(work) -> dict[str, np.ndarray]:
    """The same with all that this processor can do."""
    return work()


def test_the_same_processor_gives_the_same_weights(work, here) -> None:
    again = work()
    assert [name for name in here if not np.array_equal(again[name], here[name])] == []


@pytest.mark.skipif(not SWITCHED, reason="no newer instructions that could be switched off")
@pytest.mark.parametrize(
    "variable, changed",
    [
        ("MKL_CBWR", {"weights"}),
        ("OPENBLAS_CORETYPE", {"product"}),
        ("NPY_DISABLE_CPU_FEATURES", {"order"}),
    ],
)
def test_each_variable_changes_what_the_chapters_would_see(work, here, variable, changed) -> None:
    """Else the chapters that run with it show nothing, and a fragile cell passes unseen."""
    older = work(**{variable: OLDER[variable]})
    assert changed <= {name for name in here if not np.array_equal(older[name], here[name])}


def test_features_differ_by_no_more_than_a_sum_s_last_bits(work, here) -> None:
    older = work(**OLDER)["features"]
    np.testing.assert_allclose(older, here["features"], rtol=0, atol=1e-4)  # nepers
