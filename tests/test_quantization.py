from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from asclib import compression, litert
from asclib.compression import (
    KINDS,
    Calibration,
    agreement,
    calibration_rows,
    convert,
    export,
    simulate,
)
from asclib.compression.calibration import RANGES
from asclib.compression.convert import RECIPES
from asclib.compression.graph import inference_graph, operation_of
from asclib.compression.quantization import (
    WEIGHTED,
    correct_biases,
    quantize_activation,
    quantize_weight,
)
from asclib.litert import LiteRT
from asclib.networks import TMSIC, count_parameters
from asclib.training import one_thread


def _clips(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mel-like clips of ten classes, each a spectrum of its own in noise, louder or softer."""
    spectra = torch.randn(10, 1, 140, 1, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (number,), generator=generator)
    noise = torch.randn(number, 1, 140, 8, generator=generator)
    level = torch.randn(number, 1, 1, 1, generator=generator)
    return 3 * spectra[labels] + noise + 0.5 * level - 6, labels


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A TMSIC after a few steps, its running statistics populated."""
    torch.manual_seed(0)
    net = TMSIC().train()
    for norm in (net.norm1, net.norm2, net.norm3, net.norm4):
        norm.momentum = 0.3  # so that few steps suffice
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    with one_thread():  # the same weights on every machine of a kind, whatever its cores
        for step in range(80):
            x, labels = _clips(32, seed=step)
            loss = F.cross_entropy(net(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> SimpleNamespace:
    """One dynamic-range export, and what float, simulation and LiteRT answer on 300 new clips."""
    path = tmp_path_factory.mktemp("export") / "folder" / "net.tflite"
    before = copy.deepcopy(trained.state_dict())
    returned = export(trained, path)
    x, _ = _clips(300, seed=1000)
    with torch.no_grad():
        answers = {"float": trained(x).numpy(), "simulated": simulate(trained)(x).numpy()}
    lite = LiteRT(path)
    answers["lite"] = lite(x)
    return SimpleNamespace(
        path=path, returned=returned, before=before, x=x, lite=lite, answers=answers
    )


def test_weights_are_rounded_channel_by_channel_to_127_steps():
    weight = torch.randn(5, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    rounded = quantize_weight(weight)
    for out in range(5):
        scale = float(weight[out].abs().max()) / 127 or 1.0
        steps, before = rounded[out] / scale, weight[out] / scale
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
        assert steps.abs().max() <= 127.001
        assert ((steps - before).abs() < 1.001).all()  # never past a neighbouring step
        for kernel, original in zip(steps, before, strict=True):
            expected = np.floor(original.numpy().ravel() + 1e-5)
            remainder = original.numpy().ravel() - expected
            missing = int(np.rint(remainder.sum()))
            expected[np.argsort(-remainder, kind="stable")[:missing]] += 1
            np.testing.assert_allclose(kernel.numpy().ravel(), expected, atol=1e-3)


def test_a_dense_layer_is_rounded_to_the_nearest_step():
    weight = torch.randn(6, 9, generator=torch.Generator().manual_seed(1))
    scale = weight.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(quantize_weight(weight), (weight / scale).round() * scale)


def test_kernels_keep_their_sum_so_a_constant_picture_is_hardly_shifted():
    weight = torch.randn(20, 1, 7, 5, generator=torch.Generator().manual_seed(2))
    scale = weight.flatten(1).abs().amax(1) / 127
    nearest = (weight / scale.view(-1, 1, 1, 1)).round() * scale.view(-1, 1, 1, 1)
    x = torch.full((1, 1, 30, 30), -6.0)
    exact, kept, rounded = (
        F.conv2d(x, w).mean((0, 2, 3)) for w in (weight, quantize_weight(weight), nearest)
    )
    assert ((kept - exact).abs() <= 6 * scale / 2 + 1e-4).all()
    assert (kept - exact).abs().mean() < (rounded - exact).abs().mean() / 2


@pytest.mark.parametrize("offset", [0.0, 5.0, -5.0])
def test_activations_are_rounded_clip_by_clip_to_255_steps_around_zero(offset):
    x = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(0)) + offset
    x[2] = 0
    expected = np.zeros_like(x)
    for clip in range(4):
        low, high = min(float(x[clip].min()), 0), max(float(x[clip].max()), 0)
        scale = (high - low) / 255
        zero = round(-128 - low / scale) if scale else 0
        for index in np.ndindex(2, 3, 5):
            if scale:
                level = round(float(x[clip][index]) / scale + zero)
                expected[clip][index] = (min(max(level, -128), 127) - zero) * scale
    torch.testing.assert_close(
        quantize_activation(x), torch.from_numpy(expected), rtol=1e-5, atol=1e-5
    )


def test_simulated_answers_do_not_depend_on_the_rest_of_the_batch(trained):
    x, _ = _clips(6, seed=5)
    loud = torch.cat([x, 100 * x])
    simulated = simulate(trained)
    with torch.no_grad():
        torch.testing.assert_close(simulated(loud)[:6], simulated(x), rtol=1e-4, atol=1e-4)


def test_simulation_is_a_copy_with_the_same_interface(trained):
    before = copy.deepcopy(trained.state_dict())
    simulated = simulate(trained)
    x, _ = _clips(2, seed=6)
    with torch.no_grad():
        assert simulated.embed(x).shape == (2, 256)
        assert not torch.equal(simulated(x), trained(x))
    assert count_parameters(simulated) == count_parameters(trained)
    assert all(torch.equal(v, before[name]) for name, v in trained.state_dict().items())
    for name, value in simulated.state_dict().items():
        rounded = name.endswith("weight") and "norm" not in name
        assert torch.equal(value, before[name]) != rounded, name


def test_a_network_without_weighted_layers_cannot_be_simulated():
    with pytest.raises(ValueError, match="no convolution or dense layer"):
        simulate(nn.Sequential(nn.ReLU()))


def test_simulation_agrees_with_litert(exported):
    difference = np.abs(exported.answers["simulated"] - exported.answers["lite"])
    assert exported.answers["float"].std() > 1  # else small differences would say little
    assert difference.mean() < 0.01
    assert agreement(exported.answers["simulated"], exported.answers["lite"]) >= 0.99


@pytest.fixture(scope="module")
def kinds(trained, exported, tmp_path_factory) -> dict[str, SimpleNamespace]:
    """The other kinds: the file, its answers, the simulation's, and the integer types within."""
    folder = tmp_path_factory.mktemp("kinds")
    calibration = Calibration(_clips(60, seed=2000)[0])
    made = {}
    for kind in KINDS[1:]:
        given = calibration if kind == "full_int8" else None
        path = export(trained, folder / f"{kind}.tflite", kind, calibration=given)
        with torch.no_grad():
            simulated = simulate(trained, kind, given)(exported.x).numpy()
        made[kind] = SimpleNamespace(path=path, simulated=simulated, lite=LiteRT(path)(exported.x))
    return made


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_simulation_agrees_with_litert_and_with_float(kind, kinds, exported):
    made, floating = kinds[kind], exported.answers["float"]
    # an int8 logit moves in steps of a range over 255, and XNNPACK may round another way
    assert np.abs(made.simulated - made.lite).mean() < 0.02
    assert agreement(made.simulated, made.lite) >= 0.99
    assert agreement(floating, made.lite) >= 0.98
    assert not np.array_equal(floating, made.lite)


def _tensors(path: Path) -> list[tuple[int, bool, int]]:
    """Type, whether constant, and number of values of each tensor in a file."""
    model = litert.read(path)
    return [
        (t.type, model.buffers[t.buffer].data is not None, int(np.prod(t.shape)))
        for t in model.subgraphs[0].tensors
    ]


def test_kinds_store_what_their_names_say(kinds):
    kernels = 20 * 35 + 28 * 21 * 20 + 28 * 21 * 28 + 16 * 35 * 28 + 16 * 256 + 256 * 10
    types = schema.TensorType
    full = _tensors(kinds["full_int8"].path)
    assert {kind for kind, constant, _ in full if not constant} == {types.INT8}
    # the three normalisations are depthwise convolutions of one tap
    stored = sum(n for kind, constant, n in full if constant and kind == types.INT8)
    assert stored == kernels + 28 + 28 + 16
    assert types.FLOAT32 not in {kind for kind, _, _ in full}
    only = _tensors(kinds["weight_only"].path)
    assert sum(n for kind, constant, n in only if constant and kind == types.INT8) == kernels
    half = _tensors(kinds["float16"].path)
    assert sum(n for kind, _, n in half if kind == types.FLOAT16) >= kernels
    for made in kinds.values():
        assert not any(t.name for t in litert.read(made.path).subgraphs[0].tensors)
    sizes = {kind: made.path.stat().st_size for kind, made in kinds.items()}
    assert sizes["full_int8"] < 70_000 < sizes["float16"] < 2 * 70_000


def test_int8_input_is_rounded_and_clipped_not_cast(kinds):
    lite = LiteRT(kinds["full_int8"].path)
    x, _ = _clips(1, seed=9)
    scale, _ = lite._inputs[0]["quantization"]
    np.testing.assert_array_equal(lite(x), lite(x + 0.01 * scale * (x > 0)))
    far = x.clone()
    far[0, 0, 0, 0] = 1e6  # a cast would wrap around
    farther = far.clone()
    farther[0, 0, 0, 0] = 1e7
    np.testing.assert_array_equal(lite(far), lite(farther))


def test_the_graph_says_what_the_network_says(trained):
    x, _ = _clips(5, seed=10)

    class Half(nn.Module):  # normalised before, between and after; a bias missing
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3)
            self.twice = nn.BatchNorm2d(3, affine=False)
            for norm in (self.norm, self.twice):
                norm.running_mean.uniform_(-1, 1)
                norm.running_var.uniform_(0.5, 2)

        def forward(self, x):
            x = self.norm(self.first(x))
            return self.twice(F.relu(x)).mean((2, 3))

    torch.manual_seed(0)
    for net in (trained, Half().eval()):
        for depthwise in (False, True):
            graph = inference_graph(net, (1, 140, 8), depthwise)
            with torch.no_grad():
                torch.testing.assert_close(graph(x), net(x), rtol=1e-3, atol=1e-3)
            assert not any(operation_of(node) == "batch_norm" for node in graph.graph.nodes)


def test_unknown_operations_are_named_by_the_full_int8_simulation():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus())
    with pytest.raises(ValueError, match="does not know the operation softplus"):
        simulate(net, "full_int8", Calibration(torch.zeros(1, 1, 140, 8)))


def test_calibrated_ranges_equal_the_quantisers_own_updates():
    from ai_edge_quantizer.utils import qsv_utils

    values = torch.randn(30, 500, generator=torch.Generator().manual_seed(0)) * 3 + 1
    for method, update in (
        ("min_max", qsv_utils.min_max_update),
        ("moving_average", qsv_utils.moving_average_update),
    ):
        state = {}
        for clip in values.numpy():
            state = update(state, {"min": clip.min(), "max": clip.max()})
        np.testing.assert_allclose(RANGES[method](values), (state["min"], state["max"]), rtol=1e-5)
    low, high = RANGES["percentile"](values)
    inside = ((values >= low) & (values <= high)).float().mean()
    assert 0.9995 < inside < 1 and low < 0 < high


def test_calibration_clips_are_training_clips_spread_evenly_over_devices():
    devices = ["a"] * 90 + ["b"] * 6 + ["s1"] * 4
    table = pd.DataFrame({"device": devices, "split": "train"})
    rows = calibration_rows(table, 15)
    counts = table["device"].iloc[rows].value_counts()
    assert counts.to_dict() == {"a": 6, "b": 5, "s1": 4} or counts.to_dict() == {
        "a": 5,
        "b": 6,
        "s1": 4,
    }
    assert len(set(rows)) == 15
    assert set(table["device"].iloc[calibration_rows(table, 3)]) == {"a", "b", "s1"}
    np.testing.assert_array_equal(calibration_rows(table, 9), rows[:9])
    assert not np.array_equal(calibration_rows(table, 15, seed=1), rows)
    with pytest.raises(ValueError, match="101 calibration clips asked for, 1 to 100"):
        calibration_rows(table, 101)
    table.loc[7, "split"] = "test"
    with pytest.raises(ValueError, match="row 7: a clip of the test split"):
        calibration_rows(table, 3)


def layer_means(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """By layer, what each channel of a convolution or dense layer answers on average."""
    means = {}

    def note(name):
        return lambda layer, inputs, y: means.__setitem__(name, y.mean([0, *range(2, y.dim())]))

    layers = dict(net.named_modules()).items()
    hooks = [m.register_forward_hook(note(n)) for n, m in layers if isinstance(m, WEIGHTED)]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return means


def test_corrected_biases_take_back_what_rounding_adds_to_each_channel(trained, tmp_path):
    x, _ = _clips(200, seed=5)
    before = copy.deepcopy(trained.state_dict())
    corrected = correct_biases(trained, x)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    wanted, plain, mended = (
        layer_means(net, x)
        for net in (trained, simulate(trained, "weight_only"), simulate(corrected, "weight_only"))
    )
    for name, means in wanted.items():
        shift, left = ((found[name] - means).abs().max() for found in (plain, mended))
        assert left < 1e-4 < shift, name
    file = LiteRT(export(corrected, tmp_path / "net.tflite"))
    assert agreement(file(x), simulate(corrected)(x)) >= 0.98
    assert (tmp_path / "net.tflite").stat().st_size < 70_000  # the new biases are folded away


def test_biases_are_corrected_for_as_few_bits_as_the_weights_will_have(trained):
    x, _ = _clips(200, seed=5)
    rounded = [copy.deepcopy(net) for net in (trained, correct_biases(trained, x, bits=4))]
    for net in rounded:
        for layer in (net.conv1, net.conv2, net.conv3, net.conv4, net.dense, net.head):
            layer.weight.data = quantize_weight(layer.weight.data, 4)
    wanted, plain, mended = (layer_means(net, x) for net in (trained, *rounded))
    for name, means in wanted.items():
        shift, left = ((found[name] - means).abs().max() for found in (plain, mended))
        assert left < 1e-4 < shift, name


def test_full_int8_asks_for_calibration_and_methods_are_named(tmp_path):
    with pytest.raises(ValueError, match="give calibration="):
        export(TMSIC(), tmp_path / "net.tflite", "full_int8")
    with pytest.raises(ValueError, match="'median'; there is 'min_max', 'percentile'"):
        Calibration(torch.zeros(1, 1, 140, 8), "median")
    with pytest.raises(ValueError, match="at least one clip"):
        Calibration(torch.zeros(0, 1, 140, 8))


def test_quantised_file_agrees_with_float_on_99_percent(exported):
    classes = set(exported.answers["float"].argmax(1))
    assert len(classes) >= 5  # else agreement would be cheap
    assert agreement(exported.answers["float"], exported.answers["lite"]) >= 0.99
    assert not np.array_equal(exported.answers["float"], exported.answers["lite"])


def test_exporting_leaves_the_network_as_it_was(exported, trained):
    assert exported.returned == exported.path
    state = trained.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in exported.before.items())


def test_exported_file_is_small_int8_and_nameless(exported):
    content = exported.path.read_bytes()
    parameters = count_parameters(TMSIC())
    assert parameters * 0.9 < len(content) < 70_000
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    assert not model.metadata and not model.signatureDefs and not model.description
    (graph,) = model.subgraphs
    assert not any(tensor.name for tensor in graph.tensors)
    int8 = sum(int(np.prod(t.shape)) for t in graph.tensors if t.type == schema.TensorType.INT8)
    kernels = 20 * 35 + 28 * 21 * 20 + 28 * 21 * 28 + 16 * 35 * 28 + 16 * 256 + 256 * 10
    assert int8 == kernels
    assert list(exported.path.parent.iterdir()) == [exported.path]  # no temporary left behind


def test_litert_takes_arrays_and_tensors_and_any_batch(exported):
    x = exported.x[:3]
    logits = exported.lite(x)
    assert logits.shape == (3, 10) and logits.dtype == np.float32
    np.testing.assert_array_equal(exported.lite(x.numpy()), logits)
    np.testing.assert_array_equal(exported.lite(x[1:2]), logits[1:2])
    assert exported.lite(x[:0]).shape == (0, 10)


def test_litert_names_the_shape_it_takes(exported):
    with pytest.raises(ValueError, match=r"\(batch, 1, 140, 8\), not \(2, 140, 8, 1\)"):
        exported.lite(exported.x[:2].permute(0, 2, 3, 1))


def test_loading_a_file_prints_nothing(exported, capfd):
    LiteRT(exported.path)
    assert capfd.readouterr() == ("", "")


def test_litert_refuses_what_is_no_model(tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no model at all")
    with pytest.raises(ValueError, match="LiteRT cannot load it"):
        LiteRT(tmp_path / "net.tflite")
    with pytest.raises(FileNotFoundError, match="no such file"):
        LiteRT(tmp_path / "missing.tflite")


def test_there_is_a_recipe_of_the_quantiser_for_each_kind():
    assert tuple(RECIPES) == KINDS


def test_unknown_kind_is_refused_with_the_kinds_there_are(tmp_path):
    with pytest.raises(ValueError, match="unknown kind 'int3'; there is 'dynamic_range', 'weight"):
        export(TMSIC(), tmp_path / "net.tflite", kind="int3")


def test_wrong_input_shape_is_refused_before_converting(tmp_path):
    with pytest.raises(ValueError, match=r"does not take an input of shape \(1, 3, 140, 8\)"):
        export(TMSIC(), tmp_path / "net.tflite", input_shape=(3, 140, 8))


def test_a_failing_conversion_surfaces_its_message_and_prints_nothing(tmp_path, monkeypatch, capfd):
    def no_graph(program: torch.export.ExportedProgram, path: Path) -> None:
        path.write_bytes(b"no graph")

    monkeypatch.setattr(convert.torch.export, "save", no_graph)
    with pytest.raises(RuntimeError, match="could not be converted.*not a zip file"):
        export(TMSIC(), tmp_path / "net.tflite")
    assert not (tmp_path / "net.tflite").exists()
    assert capfd.readouterr() == ("", "")


def test_agreement_is_the_share_of_equal_answers():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [0.0, 5.0]])
    b = np.array([[9.0, 0.0], [1.0, 0.0], [2.0, 1.0], [0.0, 1.0]])
    assert agreement(a, b) == 0.75
    with pytest.raises(ValueError, match="one shape"):
        agreement(a, b[:2])


def test_a_file_is_converted_once_and_again_when_a_weight_has_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    net = TMSIC().eval()
    file = compression.exported(net)
    written = file.stat().st_mtime_ns
    assert compression.exported(net) == file and file.stat().st_mtime_ns == written
    with torch.no_grad():
        net.head.bias[0] += 1
    assert compression.exported(net) != file
    assert compression.exported(net, "float16") != compression.exported(net)
