from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from asclib import litert
from asclib.challenge import LIMITS, SCENES
from asclib.complexity import complexity, complexity_of_file
from asclib.complexity.__main__ import main
from asclib.compression import Calibration, export
from asclib.networks import TMSIC, OneVsAllTeacher

# published by the authors of TMSIC, with NeSsi's analyser on their own int8 file
GOLDEN_MACS, GOLDEN_BYTES = 25_475_456, 52_852
GOLDEN_TEACHER_MACS, GOLDEN_TEACHER_BYTES = 254_754_560, 528_160


def _as_trained(net: nn.Module) -> nn.Module:
    """The network with constants that differ: the converter stores equal ones once."""
    torch.manual_seed(0)
    for value in net.state_dict().values():
        if value.dim() == 1:
            value.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    """The student as two files, counted."""
    net, folder = _as_trained(TMSIC()), tmp_path_factory.mktemp("files")
    clips = torch.randn(4, 1, 140, 8) - 6
    paths = {
        "dynamic_range": export(net, folder / "dynamic.tflite"),
        "full_int8": export(
            net, folder / "full.tflite", "full_int8", calibration=Calibration(clips)
        ),
    }
    return {kind: (path, complexity_of_file(path)) for kind, path in paths.items()}


def test_the_published_counts_are_reproduced(files):
    _, full = files["full_int8"]
    # pools and means count what they read, sums what they make; in this file each normalisation
    # is a depthwise convolution of one tap, so that its sum is among the MACs already
    assert full.analyser_macs == GOLDEN_MACS
    assert full.macs == 25_376_896 + (28 * 8 + 28 * 4) * 140 + 16 * 140
    assert abs(full.stored / GOLDEN_BYTES - 1) < 0.005
    kernels = 20 * 35 + 28 * 21 * 20 + 28 * 21 * 28 + 16 * 35 * 28 + 16 * 256 + 256 * 10
    biases = 20 + 28 + 28 + 16 + 256 + 10
    named = kernels + 4 * biases + (1 + 4) * (28 + 28 + 16)  # taps and biases of normalisations
    assert 0 <= full.stored - named <= 24  # axes and orders of axes, four bytes each
    _, dynamic = files["dynamic_range"]
    assert dynamic.analyser_macs == GOLDEN_MACS and dynamic.macs == 25_376_896


def test_the_published_counts_of_the_teacher_are_reproduced(tmp_path):
    teacher = _as_trained(OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES]))
    clips = torch.randn(1, 1, 140, 8) - 6
    counted = complexity_of_file(
        export(teacher, tmp_path / "net.tflite", "full_int8", calibration=Calibration(clips))
    )
    assert counted.unknown == ()
    assert counted.analyser_macs == GOLDEN_TEACHER_MACS
    assert abs(counted.stored / GOLDEN_TEACHER_BYTES - 1) < 0.005
    # ten bodies without heads and one dense layer over them; what the bytes differ by is, in each
    # body, its three normalisations (a tap and a bias of four bytes, not two constants of one byte
    # each) and a few integers that say along which axes to average
    kernels = 20 * 35 + 28 * 21 * 20 + 28 * 21 * 28 + 16 * 35 * 28 + 16 * 256
    biases, norms = 20 + 28 + 28 + 16 + 256, 28 + 28 + 16
    named = 10 * (kernels + 4 * biases + (1 + 4) * norms) + 2_560 * 10 + 4 * 10
    assert abs(counted.stored - named) <= 10 * 24


def test_layers_add_up_and_nothing_is_unknown(files):
    for _, counted in files.values():
        layers = counted.layers
        assert counted.unknown == ()
        assert layers["macs"].sum() == counted.macs
        assert layers["stored"].sum() == counted.stored == counted.bytes()
        # running statistics are folded: two numbers per channel are left, or none after conv1
        assert counted.parameters == 51_986 - 4 * 92 + 2 * (28 + 28 + 16)
        assert counted.bits == 8
        assert all(counted.within(limits) for limits in LIMITS.values())


def test_memory_is_that_of_the_files_own_schedule(files):
    _, full = files["full_int8"]
    # one byte a value; the normalisation of conv2 reads 28 maps and writes 28 others
    assert full.peak_activation == 2 * 28 * 140 * 8
    _, dynamic = files["dynamic_range"]
    assert dynamic.peak_activation == 4 * 2 * 28 * 140 * 8
    for _, counted in files.values():
        assert counted.arena >= counted.peak_activation
        assert counted.layers["activation_bytes"].max() == counted.peak_activation


def test_the_arena_is_at_least_what_litert_micro_style_planning_needs():
    class Tensors:
        inputs, outputs = np.array([0]), np.array([3])
        operators = (
            type("O", (), {"inputs": [0], "outputs": [1]}),
            type("O", (), {"inputs": [1], "outputs": [2]}),
            type("O", (), {"inputs": [2, 0], "outputs": [3]}),  # a skip connection
        )

    from asclib.complexity.file import _schedule

    held, arena = _schedule(Tensors, set(), [10, 4, 8, 2])
    assert held == [14, 10 + 4 + 8, 10 + 8 + 2]
    assert arena == 22


def test_an_unknown_operator_is_named_and_never_passes(files, tmp_path):
    """The student's file, its pools renamed to an operator whose cost nobody has written down."""
    model = litert.read(files["full_int8"][0])
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.MAX_POOL_2D:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SVDF
    (tmp_path / "other.tflite").write_bytes(litert.content_of(model))
    counted = complexity_of_file(tmp_path / "other.tflite")
    assert len(counted.unknown) == 2 and all(name.endswith(": SVDF") for name in counted.unknown)
    assert counted.parameters == files["full_int8"][1].parameters
    assert not counted.within(LIMITS[2024]) and files["full_int8"][1].within(LIMITS[2024])


def test_someone_elses_file_counts_as_torch_counts_it(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    ).eval()
    path = export(net, tmp_path / "other.tflite", "weight_only")
    counted = complexity_of_file(path)
    assert counted.macs == complexity(net).macs
    assert counted.parameters == sum(p.numel() for p in net.parameters())
    assert counted.unknown == ()


def test_command_line_reads_a_file(files, capsys, tmp_path):
    main([str(files["full_int8"][0])])
    printed = capsys.readouterr().out
    for expected in ("25,475,456", "depthwise_conv_2d", "arena", "2025: within the limits"):
        assert expected in printed
    for path, reason in ((tmp_path / "none.tflite", "No such file"), (__file__, "module:factory")):
        with pytest.raises(SystemExit):
            main([str(path)])
        assert reason in capsys.readouterr().err
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a .tflite file"):
        litert.read(broken)
