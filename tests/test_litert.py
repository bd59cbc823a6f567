"""A file of several inputs, outputs and clips at once is looked at whole, by LiteRT and counter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asclib.challenge import LIMITS
from asclib.complexity import complexity_of_file
from asclib.litert import LiteRT
from tests.tflite_operators import File

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(3, 5)).astype(np.float32)


def dense(path: Path, batch: int) -> Path:
    """One dense layer, 5 -> 3, on so many clips at once."""
    file = File()
    x, y, w = file.tensor(batch, 5), file.tensor(batch, 3), file.constant(WEIGHT)
    file.operator("FULLY_CONNECTED", [x, w, -1], [y], options="FullyConnectedOptions")
    return file.write(path, [x], [y])


@pytest.mark.parametrize("batch", [1, 4])
def test_a_file_of_several_clips_at_once_answers_each(tmp_path, batch):
    lite = LiteRT(dense(tmp_path / "net.tflite", batch))
    x = RANDOM.normal(size=(10, 5)).astype(np.float32)  # not a multiple of four
    np.testing.assert_allclose(lite(x), x @ WEIGHT.T, rtol=1e-5, atol=1e-6)
    assert lite(x[:0]).shape == (0, 3)


def test_macs_are_those_of_one_clip_and_memory_that_of_the_file(tmp_path):
    one, four = (complexity_of_file(dense(tmp_path / f"{n}.tflite", n)) for n in (1, 4))
    assert one.macs == four.macs == four.analyser_macs == 15
    assert one.parameters == four.parameters == 15
    assert (one.peak_activation, four.peak_activation) == (4 * 8, 4 * 4 * 8)


def several(path: Path) -> Path:
    """Two inputs; their sum, the total of it, a dense layer of the first, and the weights' sum."""
    file = File()
    a, b, w = file.tensor(1, 5), file.tensor(1, 5), file.constant(WEIGHT)
    added, total, dense = file.tensor(1, 5), file.tensor(1), file.tensor(1, 3)
    column = file.tensor(5)
    file.operator("ADD", [a, b], [added], options="AddOptions")
    last, first = (file.constant(np.array([n], np.int32)) for n in (1, 0))
    file.operator("SUM", [added, last], [total], options="ReducerOptions")
    file.operator("FULLY_CONNECTED", [a, w, -1], [dense], options="FullyConnectedOptions")
    file.operator("SUM", [w, first], [column], options="ReducerOptions")
    return file.write(path, [a, b], [added, total, dense, column])


def test_all_inputs_are_given_and_all_outputs_read(tmp_path):
    lite = LiteRT(several(tmp_path / "net.tflite"))
    a, b = RANDOM.normal(size=(2, 7, 5)).astype(np.float32)
    added, total, dense, column = lite(a, b)
    np.testing.assert_allclose(added, a + b, rtol=1e-6)
    np.testing.assert_allclose(total, (a + b).sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dense, a @ WEIGHT.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(column, np.tile(WEIGHT.sum(0), (7, 1)), rtol=1e-5, atol=1e-6)


def test_inputs_that_are_missing_or_of_other_lengths_are_named(tmp_path):
    lite = LiteRT(several(tmp_path / "net.tflite"))
    a = np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match=r"net\.tflite takes 2 inputs, not 1"):
        lite(a)
    with pytest.raises(ValueError, match=r"net\.tflite: inputs of \[2, 1\] clips"):
        lite(a, a[:1])


def test_types_and_operators_that_are_not_known_are_named(tmp_path):
    path = tmp_path / "net.tflite"
    file = File()
    x, y = file.tensor(1, 5), file.tensor(1, 5)
    text = file.tensor(2, kind=schema.TensorType.STRING)
    strange = file.tensor(2, kind=120)
    wide = file.tensor(1, 5, kind=schema.TensorType.FLOAT64)
    file.operator("RELU", [x], [wide])
    file.operator("CUSTOM", [wide, text, strange], [y])
    file.model.operatorCodes[-1].customCode = b"FlexErf"
    file.operator("RELU", [y], [])  # an operator of no output
    file.model.operatorCodes[-1].builtinCode = 250
    counted = complexity_of_file(file.write(path, [x], [y]))
    assert counted.unknown == (
        f"tensor {text}: type STRING",
        f"tensor {strange}: type number 120",
        "operator 1: CUSTOM FlexErf",
        "operator 2: operator number 250",
    )
    assert counted.layers["activation_bytes"][0] == 4 * 5 + 8 * 5
    assert not counted.within(LIMITS[2024])


@pytest.mark.parametrize(("kind", "macs"), [("SUM", 15), ("MEAN", 15), ("REDUCE_MAX", 0)])
def test_a_dense_layer_of_products_and_their_sum_is_not_free(tmp_path, kind, macs):
    file = File()
    x, w = file.tensor(1, 5), file.constant(WEIGHT.T[None].copy())
    column, product, moved, y = (file.tensor(*s) for s in ((1, 5, 1), (1, 5, 3), (1, 3, 5), (1, 3)))
    file.operator("RESHAPE", [x, file.constant(np.array([1, 5, 1], np.int32))], [column])
    file.operator("MUL", [column, w], [product], options="MulOptions")
    file.operator("TRANSPOSE", [product, file.constant(np.array([0, 2, 1], np.int32))], [moved])
    axis = file.constant(np.array([2], np.int32))
    file.operator(kind, [moved, axis], [y], options="ReducerOptions")
    path = file.write(tmp_path / "net.tflite", [x], [y])
    if kind == "SUM":  # the file is one that runs
        clips = RANDOM.normal(size=(4, 5)).astype(np.float32)
        np.testing.assert_allclose(LiteRT(path)(clips), clips @ WEIGHT.T, rtol=1e-5, atol=1e-6)
    counted = complexity_of_file(path)
    assert (counted.macs, counted.unknown) == (macs, ())


@pytest.mark.parametrize("activation", [0, 1])
def test_what_is_rectified_before_it_is_summed_is_no_sum_of_products(tmp_path, activation):
    file = File()
    x, w = file.tensor(1, 5), file.constant(np.ones((1, 5), np.float32))
    product, y = file.tensor(1, 5), file.tensor(1)
    options = {"options": "MulOptions", "fusedActivationFunction": activation}
    file.operator("MUL", [x, w], [product], **options)
    axis = file.constant(np.array([1], np.int32))
    file.operator("SUM", [product, axis], [y], options="ReducerOptions")
    counted = complexity_of_file(file.write(tmp_path / "net.tflite", [x], [y]))
    assert counted.macs == (0 if activation else 5)


def test_distances_count_and_scales_before_a_pooling_do_not(tmp_path):
    file = File()
    x, w = file.tensor(1, 5), file.constant(WEIGHT)
    row, squares, y = file.tensor(1, 1, 5), file.tensor(1, 3, 5), file.tensor(1, 3)
    file.operator("RESHAPE", [x, file.constant(np.array([1, 1, 5], np.int32))], [row])
    file.operator("SQUARED_DIFFERENCE", [row, w], [squares])
    axis = file.constant(np.array([2], np.int32))
    file.operator("SUM", [squares, axis], [y], options="ReducerOptions")
    path = file.write(tmp_path / "distance.tflite", [x], [y])
    clips = RANDOM.normal(size=(2, 5)).astype(np.float32)
    distances = np.square(clips[:, None] - WEIGHT).sum(-1)
    np.testing.assert_allclose(LiteRT(path)(clips), distances, rtol=1e-4)
    assert complexity_of_file(path).macs == 15

    file = File()
    picture, scale = file.tensor(1, 4, 4, 3), file.constant(np.ones((1, 1, 1, 3), np.float32))
    scaled, pooled = file.tensor(1, 4, 4, 3), file.tensor(1, 2, 2, 3)
    file.operator("MUL", [picture, scale], [scaled], options="MulOptions")
    window = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2}
    file.operator("AVERAGE_POOL_2D", [scaled], [pooled], options="Pool2DOptions", **window)
    assert complexity_of_file(file.write(tmp_path / "pool.tflite", [picture], [pooled])).macs == 0
