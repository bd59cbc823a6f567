"""Claims about what firmware is made of, and what is refused in one line that says why."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asclib.deploy import plan, read_model, write_firmware
from asclib.deploy.__main__ import main
from tests.tflite import Network, random_network


def written(folder: Path, content: bytes) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(content)
    return path


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a file that must be refused: one line, which names the file."""
    path = written(folder, content)
    with pytest.raises(ValueError, match="net.tflite: ") as caught:
        write_firmware(path, folder / "firmware")
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and len(said) < 1000
    assert not (folder / "firmware").exists()
    return said.removeprefix(f"{path}: ")


def small(seed: int = 0) -> Network:
    """A convolution, a pooling and a dense layer."""
    network = Network(seed, (1, 6, 5, 4))
    network.conv(), network.pool(), network.mean(), network.dense()
    return network


def test_tensors_and_operators_are_read_as_they_were_written(tmp_path):
    network = small()
    model = read_model(written(tmp_path, network.content()))
    kinds = [operator.kind for operator in model.operators]
    assert kinds[0] == "CONV_2D" and kinds[1].endswith("POOL_2D") and "MEAN" in kinds
    assert [t.shape for t in model.tensors] == network.shapes
    assert model.input.shape == (1, 6, 5, 4) and model.output is model.operators[-1].output
    for tensor, raw in zip(model.tensors, network.graph.tensors, strict=True):
        if raw.quantization is not None:
            np.testing.assert_array_equal(tensor.scale, raw.quantization.scale)
        assert (tensor.data is None) == (raw.buffer == 0)


# What breaks in a network, and words of the refusal.
def _unknown(network: Network) -> None:
    shape = network.shapes[network.open]
    network.operator("LOGISTIC", [network.open], network.activation(shape))


def _float_input(network: Network) -> None:
    network.graph.tensors[0].type = schema.TensorType.FLOAT32


def _wrong_shape(network: Network) -> None:
    network.graph.tensors[network.graph.operators[0].outputs[0]].shape = [1, 9, 9, 3]


def _huge(network: Network) -> None:
    network.graph.tensors[0].shape = [1, 2**30, 2**30, 4]


def _negative(network: Network) -> None:
    network.graph.tensors[0].shape = [1, -6, 5, 4]


def _no_such_tensor(network: Network) -> None:
    network.graph.operators[1].inputs = [99]


def _short_weights(network: Network) -> None:
    buffer = network.model.buffers[network.graph.tensors[1].buffer]
    buffer.data = buffer.data[:-1]


def _no_scale(network: Network) -> None:
    network.graph.tensors[network.graph.operators[0].outputs[0]].quantization = None


def _bad_scale(network: Network) -> None:
    network.graph.tensors[0].quantization.scale = np.array([np.nan], np.float32)


def _no_stride(network: Network) -> None:
    network.graph.operators[0].builtinOptions.strideH = 0


def _in_a_circle(network: Network) -> None:
    network.graph.operators[0].inputs[0] = network.graph.operators[1].outputs[0]


def _batch(network: Network) -> None:
    network.graph.tensors[0].shape = [2, 3, 5, 4]


def _two_graphs(network: Network) -> None:
    network.model.subgraphs.append(network.graph)


def _tanh(network: Network) -> None:
    network.graph.operators[0].builtinOptions.fusedActivationFunction = 4


FAULTS = {
    _unknown: r"operator \d \(LOGISTIC\), which makes layer/\d+ of shape .*does not know",
    _float_input: 'FLOAT32: export it with kind="full_int8"',
    _wrong_shape: r"operator 0 \(CONV_2D\), which makes layer/3 .*",
    _huge: r"layer/0 has the shape \(1, 1073741824",
    _negative: r"layer/0 has the shape \(1, -6",
    _no_such_tensor: "an index of 99",
    _short_weights: r"layer/1 holds \d+ numbers",
    _no_scale: "operator 0.*int8 activations of one scale",
    _bad_scale: "layer/0 has scales that are not finite",
    _no_stride: "operator 0.*stride 0",
    _in_a_circle: "operator 0.*before it is made",
    _batch: "operator 0.*not one picture each",
    _two_graphs: "2 subgraphs",
    _tanh: "operator 0.*activation",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_network_that_cannot_become_firmware_is_refused_with_its_layer(fault, tmp_path):
    network = small()
    fault(network)
    assert re.search(FAULTS[fault], refusal(tmp_path, network.content()))


def test_a_layer_without_a_name_is_told_by_its_place(tmp_path):
    network = small()
    _unknown(network)
    for tensor in network.graph.tensors:
        tensor.name = None
    last = len(network.graph.tensors) - 1
    said = refusal(tmp_path, network.content())
    assert f"(LOGISTIC), which makes tensor {last} of shape" in said


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not a model at all", bytes(4) + b"TFL3"])
def test_what_is_no_tflite_is_refused(content, tmp_path):
    refusal(tmp_path, content)


def test_a_file_too_large_for_any_chip_is_refused_unread(tmp_path):
    path = tmp_path / "large.tflite"
    with open(path, "wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="1,073,741,824 bytes are no microcontroller"):
        read_model(path)


def test_a_broken_file_is_refused_or_read_whole_and_never_crashes(tmp_path):
    """Truncated, overwritten, with offsets and lengths turned into large or negative numbers."""
    random, refused = np.random.default_rng(0), 0
    whole = [random_network(seed) for seed in range(8)]
    for round_ in range(600):
        content = bytearray(whole[round_ % len(whole)])
        how = round_ % 4
        if how == 0:
            content = content[: random.integers(len(content))]
        else:
            for _ in range(random.integers(1, 6)):
                at = int(random.integers(0, len(content) - 4))
                if how == 1:
                    content[at] = random.integers(256)
                elif how == 2:
                    numbers = [2**31 - 1, -(2**31), -1, 0, 2**24, 65536]
                    content[at : at + 4] = np.int32(random.choice(numbers)).tobytes()
                else:
                    other = int(random.integers(0, len(content) - 4))
                    content[at : at + 4] = content[other : other + 4]
        path = written(tmp_path, bytes(content))
        try:
            write_firmware(path, tmp_path / "firmware")
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert 200 < refused < 600  # a bit of a weight may change; a length may not


def held_together(model, placed) -> None:
    """No two activations that are needed at once share a byte, but where one overruns the other."""
    last = {model.output.number: len(model.operators)}
    for number, operator in enumerate(model.operators):
        last |= {t.number: number for t in operator.inputs if t is not None}
    for number, operator in enumerate(model.operators):
        live = [operator.output.number]
        live += [i for i, b in placed.buffer.items() if b.born < number and last.get(i, 0) > number]
        places = [placed.buffer[i] for i in live]
        places += [placed.work[number]] if number in placed.work else []
        used = {id(b): b for b in places if b.offset >= 0}.values()  # several tensors may share one
        spans = sorted((b.offset, b.offset + b.size) for b in used)
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert end <= start, f"{operator.name} {spans}"


@pytest.mark.parametrize("seed", range(30))
def test_nothing_that_is_still_needed_is_overwritten(seed, tmp_path):
    model = read_model(written(tmp_path, random_network(seed)))
    placed = plan(model)
    held_together(model, placed)
    # what one layer needs alone is a bound that not every chain of layers can reach
    assert placed.arena <= 1.25 * max(placed.held)
    ends = [b.offset + b.size for b in placed.buffers if b.offset >= 0]
    assert max(ends, default=0) <= placed.arena


def test_the_command_writes_the_folder_or_says_why_not(tmp_path, capsys):
    path = written(tmp_path, small().content())
    assert main([str(path), str(tmp_path / "out")]) == 0
    assert "bytes of arena" in capsys.readouterr().out
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"model.c", "model.h", "Makefile", "chip.ld", "start.c", "host.c"} <= files
    assert main([str(tmp_path / "none.tflite"), str(tmp_path / "out")]) == 1
    assert "no such file" in capsys.readouterr().err
