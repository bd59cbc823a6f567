# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Eight bits are enough
#
# ## What you will learn
# * how a number becomes an 8-bit integer: scale, zero point, and a bound on the error;
# * why weights get one scale per channel and activations one range per clip;
# * how a trained student becomes a `.tflite` file, and how to make sure that it still says the same;
# * where the bytes of that file are, and how few bits would do;
# * what *dynamic range* quantisation is, and what it is not;
# * how calibration clips fix the ranges of a file that computes in integers alone, and how many are enough;
# * what the files themselves lose, on rendered and on real recordings.
#
# **Prerequisites**: [the student](../networks/student.ipynb), [RRS](../distillation/rrs.ipynb).
#
# **Data in**: the student trained with RRS, the one trained on labels alone, the test clips.
#
# **Data out**: the student as an 8-bit `.tflite` file, in the store.
#
# **In the library**: `asclib.compression.calibration`, `asclib.compression.convert`,
# `asclib.compression.graph`, `asclib.compression.quantization`, `asclib.compression.rounding`,
# `asclib.compression.simulation`, `asclib.litert`; the study is `studies/quantization.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from asclib import litert, plotting, store
from asclib.compression import calibration, quantization
from asclib.compression.qat import range_calibration
from asclib.evaluation.comparison import POINTS
from asclib.plotting import glue
from asclib.runs import Experiment
from asclib.training import macro_accuracy, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## From a number to an integer
#
# The challenge allows 128 kB of weights. As 32-bit numbers the student's 51,986 parameters take
# 208 kB, as 8-bit integers 52 kB. An integer cannot say 0.0371. But an integer and an agreement about
# what one step is worth can say something close {cite}`jacob2018quantization`:
#
# $$ q = \mathrm{clip}\Big(\mathrm{round}\big(x / s\big) + z,\; -128,\; 127\Big), \qquad
#    \hat x = s\,(q - z) . $$
#
# The **scale** $s$ is the size of one step. The **zero point** $z$ is the integer that means 0. With a
# range from $\min$ to $\max$, stretched so that it holds 0, there are 255 steps:
# $s = (\max - \min) / 255$ and $z = \mathrm{round}(-128 - \min / s)$. This is the *affine*, or asymmetric,
# quantiser. Setting $z = 0$ and $s = \max|x| / 127$ gives the *symmetric* one.

# %%
def affine(x):
    """Integers, scale and zero point of the asymmetric 8-bit quantiser."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    zero = (-128 - low / scale).round()
    return (x / scale + zero).round().clamp(-128, 127), scale, zero


x = torch.tensor([-0.30, 0.0, 0.0371, 0.5, 1.2])
q, scale, zero = affine(x)
print(f"one step is {scale:.5f}, zero is the integer {zero:.0f}")
back = scale * (q - zero)
pd.DataFrame({"x": x, "integer": q.int(), "read back": back}).round(4)

# %% [markdown]
# Zero comes back as exactly zero. This matters, since the convolutions pad with zeros and every ReLU
# produces them.
#
# How wrong can a value within the range be? Rounding moves it by half a step at the most:
# $|x - \hat x| \le s / 2$. {numref}`fig-rounding` shows it with 4 bits, the integers −7 to 7, so that the
# steps can be seen.

# %% mystnb={"figure": {"name": "fig-rounding", "caption": "Left: a symmetric 4-bit quantiser, read back against its input. Right: its error, with the bound of half a step as dashed lines."}, "image": {"alt": "On the left a staircase along the diagonal; on the right a saw-tooth that stays between two dashed horizontal lines."}}
def symmetric(x, bits, scale):
    """x rounded to symmetric integers of so many bits, and read back."""
    largest = 2 ** (bits - 1) - 1
    return (x / scale).round().clamp(-largest, largest) * scale


line = torch.linspace(-1, 1, 2001)
step = 1 / 7
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(line, symmetric(line, 4, step), color=plotting.INK)
left.set(xlabel="x", ylabel="read back")
right.plot(line, symmetric(line, 4, step) - line, color=plotting.INK)
for bound in (-step / 2, step / 2):
    right.axhline(bound, color=plotting.ACCENT, ls="--")
right.set(xlabel="x", ylabel="error")
plotting.show(figure)

# %% [markdown]
# Which quantiser for what? Weights lie on both sides of zero: symmetric, and the zero point drops out of
# all products. Activations after a ReLU are never negative: a symmetric quantiser would spend half its
# integers on values that do not occur. On made-up values of both kinds, the error (root mean square,
# as a share of the values' own):

# %%
values = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
shares = {}
for name, x in (("both signs", values), ("after ReLU", values.relu())):
    q, scale, zero = affine(x)
    errors = {"asymmetric": scale * (q - zero) - x,
              "symmetric": symmetric(x, 8, x.abs().max() / 127) - x}
    shares[name] = {kind: 100 * float(error.norm() / x.norm())
                    for kind, error in errors.items()}
pd.DataFrame(shares).T.round(2)

# %% [markdown]
# ## Weights: one scale for each channel
#
# A step is as large as the largest value demands. If one output channel of a layer has large weights,
# a scale shared by the whole layer (*per tensor*) makes the steps coarse for all others. The cure is
# one scale for each output channel (*per channel*): a few more numbers, the same arithmetic. We write it
# for any number of bits, since we shall need that later.

# %%
def quantize_weight(weight, bits=8, per_channel=True):
    """A layer's weights rounded to symmetric integers, and read back."""
    largest = weight.abs().flatten(1).amax(dim=1)  # of each output channel
    largest = largest if per_channel else largest.max().expand_as(largest)
    scale = (largest / (2 ** (bits - 1) - 1)).clamp(min=1e-12)
    return symmetric(weight, bits, scale.view(-1, *[1] * (weight.dim() - 1)))


net, test = experiment.taught("rrs").net(), experiment.clips("test")
floating = predict(net, test.x)
layers = {name: layer for name, layer in net.named_modules()
          if isinstance(layer, quantization.WEIGHTED)}
for name, layer in layers.items():
    print(f"{name:5s} {' × '.join(map(str, layer.weight.shape))}")

# %% [markdown]
# How much does the per-channel scale gain on the student's own weights, and in which layer most?

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-channels", "caption": "Live run: relative error of the student's 8-bit weights, layer by layer, with one scale per layer and one per output channel."}, "image": {"alt": "Pairs of bars for the four convolutions, the dense layer and the head: per tensor and per channel relative error in per cent."}}
def relative_error(weight, per_channel):
    error = quantize_weight(weight, 8, per_channel) - weight
    return 100 * float(error.norm() / weight.norm())


error = pd.DataFrame({label: {name: relative_error(layer.weight.data, each)
                              for name, layer in layers.items()}
                      for label, each in (("per tensor", False),
                                          ("per channel", True))})
figure, ax = plt.subplots(figsize=(7, 3))
error.plot.bar(ax=ax, rot=0, color=[plotting.MUTED, plotting.INK])
ax.set(ylabel="relative error (%)")
plotting.show(figure)
assert (error["per channel"] < 5).all()
error["ratio"] = error["per tensor"] / error["per channel"]
print(error.round(2))

# %% [markdown]
# Every layer gains. The table has two answers to "in which most": the largest difference of its two columns, and the
# largest ratio, which need not be the same layer. A ratio of two is one bit's worth.
#
# ## Errors that add up
#
# To round to the nearest integer is the best one can do for a single weight. Is it the best for a
# kernel? The taps of a kernel are multiplied by neighbouring values of the picture, and the products
# are added. If these values were all alike, only the *sum* of the taps would count, and so only the
# sum of their rounding errors.
#
# A log-mel picture is nearly like that: its values lie around a mean several nepers below zero. What a
# kernel's errors sum to, times this mean, is added to the whole map. So the errors of a kernel should
# sum to zero. Round all its taps down; then raise as many as keep the sum, those with the largest
# remainders. Parliaments give away their last seats in this way.
#
# A little is left, since no picture is all alike. It can be taken back in the biases {cite}`nagel2019data`: some
# training clips are heard by the network and by its rounded copy, and each bias is moved back by what its channel's
# mean has moved, layer after layer.

# %%
def keep_sum(weight):
    """8-bit weights; the taps of each kernel (out, in) keep their sum."""
    largest = weight.abs().flatten(1).amax(dim=1)
    scale = (largest / 127).clamp(min=1e-12).view(-1, 1, 1)
    steps = weight.reshape(*weight.shape[:2], -1) / scale
    remainder = steps - steps.floor()
    rank = remainder.argsort(2, descending=True).argsort(2)
    raised = rank < remainder.sum(2, keepdim=True).round()
    return ((steps.floor() + raised) * scale).reshape(weight.shape)


for layer in layers.values():
    library = quantization.quantize_weight(layer.weight.data)
    assert torch.allclose(keep_sum(layer.weight.data), library)
mended = quantization.correct_biases(
    net, range_calibration(experiment.data, 400).clips)

# %% [markdown]
# How far does the first convolution's map move, and what reaches the answers? We round all weights in
# either way, then with biases corrected, and leave the activations alone.

# %% tags=["nbval-ignore-output"]
rows = {}
for name, whole, rounding in (("nearest", net, quantize_weight),
                              ("sum kept", net, keep_sum),
                              ("biases corrected", mended, keep_sum)):
    rounded = copy.deepcopy(whole)
    for layer in map(rounded.get_submodule, layers):
        layer.weight.data = rounding(layer.weight.data)
    logits = predict(rounded, test.x)
    maps = predict(rounded, test.x, rounded.conv1)
    shift = (maps - predict(net, test.x, net.conv1)).mean((0, 2, 3))
    rows[name] = {"shift of a conv1 map": float(shift.abs().mean()),
                  "change of a logit": float((logits - floating).abs().mean()),
                  "same (%)": 100 * quantization.agreement(logits, floating)}
assert rows["sum kept"]["shift of a conv1 map"] < 0.05
pd.DataFrame(rows).T.round(4)

# %% [markdown]
# The first column answers the first question: with the sums kept, a map moves less than with taps rounded to the nearest,
# and least with biases corrected. The second column has what is left of it in a logit, the third how many clips still get
# the same scene. This is one student; what the correction gains in scenes is asked of three
# further down, under *What the files say*.
#
# To keep the sums needs no training and no clip: the same integers, otherwise chosen. `asclib` rounds in this
# way. The correction needs clips, so it is a step of its own: `export(correct_biases(net, clips), path)`.
#
# ## Activations: one range for each clip
#
# Weights are known in advance. Activations are not: they depend on the clip. Dynamic range quantisation
# measures their range **while the network runs**, anew for each clip and layer. Hence its name. A clip
# with large values in a layer gets large steps there, one with small values small steps.
#
# Measuring one range over a whole batch instead is a common slip of simulations. A clip's answer
# would then depend on its neighbours, and a device has no neighbours. In `asclib` the range is the
# clip's own, so its integers are the same in any company. And how different are the ranges really? We look at the input
# of the second convolution:

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-ranges", "caption": "Live run: size of one quantisation step at the input of the second convolution, for each test clip. The line is the step that a range over all clips would give."}, "image": {"alt": "A histogram of step sizes over test clips, with a vertical line at or beyond its right end."}}
def largest_value(x):
    return net.maps(x)["conv1"].flatten(1).amax(dim=1)  # the smallest is 0


rounded = quantization.quantize_activation
alone = torch.cat([rounded(clip[None]) for clip in test.x[:8]])
assert torch.equal(rounded(test.x[:8]), alone)  # the same in any company
steps = predict(net, test.x, largest_value).numpy() / 255
figure, ax = plt.subplots(figsize=(6, 2.8))
ax.hist(steps, bins=40, color=plotting.INK)
ax.axvline(steps.max(), color=plotting.ACCENT)
ax.set(xlabel="step of one clip", ylabel="clips", xlim=(0, None))
plotting.show(figure)
print(f"the largest step is {steps.max() / steps.min():.1f} times the",
      f"smallest, and {steps.max() / np.median(steps):.1f} times the median")

# %% [markdown]
# The line under the figure answers. One range for all clips would give every clip the largest step, coarser by these factors
# than its own.
#
# ## The simulation
#
# `simulate` does both in plain torch: rounded weights, and rounded inputs of every convolution and dense
# layer. All else stays in floating point. It runs in batches and on any device, so the whole test split
# can be asked. Does the 8-bit student say the same as the 32-bit one?

# %% tags=["nbval-ignore-output"]
def accuracy(logits):
    """Macro accuracy on the test clips, in per cent."""
    return 100 * macro_accuracy(logits, test.labels)


simulated = quantization.simulate(net)
simulation = predict(simulated, test.x)
same = quantization.agreement(floating, simulation)
for name, logits in (("32-bit", floating), ("8-bit", simulation)):
    print(f"{name} accuracy: {accuracy(logits):.1f} %")
print(f"same scene on {100 * same:.1f} % of {len(test.labels)} clips")
assert same >= 0.95  # what differs are near ties

# %% [markdown]
# ## The file
#
# A simulation is a claim about another program. The device runs a `.tflite` file, through LiteRT, the
# new name of TensorFlow Lite, or a relative of it. `export` writes that file: it converts the network's graph, quantises it, and strips
# the names of all tensors, which no device reads. This takes some ten seconds, so the file goes into
# the store under a key made of the weights themselves. It is built once; a build that was cut off
# leaves nothing behind that looks finished.
#
# Now LiteRT is asked about every test clip, one at a time as on a device. Three programs answer:
# the trained network, its simulation, and the file. How often do they name the same scene, and how far
# apart are their logits?

# %% tags=["nbval-ignore-output"]
file = quantization.exported(net)  # converted once, then found again
device = litert.LiteRT(file)
lite = torch.from_numpy(device(test.x))
pairs = {"simulation, float": (simulation, floating),
         "LiteRT, float": (lite, floating),
         "LiteRT, simulation": (lite, simulation)}
agreement = pd.DataFrame({
    name: {"same scene (%)": 100 * quantization.agreement(a, b),
           "mean difference of logits": float((a - b).abs().mean()),
           "largest": float((a - b).abs().max())}
    for name, (a, b) in pairs.items()
}).T
assert (agreement["same scene (%)"] >= 95).all()
assert agreement.loc["LiteRT, simulation", "same scene (%)"] >= 97
agreement.round(3)

# %% [markdown]
# The rows answer both questions. The file and its simulation come closest, and what separates either from the trained
# network is the rounding itself.
#
# The clips on which they differ should be those where two scenes were nearly tied before. {numref}`fig-ties`
# asks whether that is so: it compares the *margin* between the two best scenes with the change
# that the file makes.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-ties", "caption": "Live run: for each test clip, the margin between the two best scenes in floating point, and the largest change of a logit in the LiteRT file. Below the line a change cannot alter the scene named."}, "image": {"alt": "A scatter of points on logarithmic axes with a diagonal line; the few clips whose answer changes lie above the line, at small margins."}}
margin = -floating.topk(2, dim=1).values.diff(dim=1)[:, 0].numpy()
change = (lite - floating).abs().amax(dim=1).numpy()
moved = (lite.argmax(1) != floating.argmax(1)).numpy()
figure, ax = plt.subplots(figsize=(6, 3.4))
for rows, colour, label in ((~moved, plotting.MUTED, "same scene"),
                            (moved, plotting.ACCENT, "another scene")):
    ax.loglog(margin[rows], change[rows], ".", color=colour, label=label)
ends = np.array([margin.min(), margin.max()])
ax.plot(ends, ends / 2, color=plotting.INK)  # both of the two best may move
ax.set(xlabel="margin in floating point", ylabel="largest change")
ax.legend()
plotting.show(figure)
assert not (moved & (change < margin / 2.001)).any()
print(f"margins of changed clips: at most {margin[moved].max(initial=0):.3f}")

# %% [markdown]
# Yes: the line above has the largest margin of a clip that changed its scene. Such clips lie at the left of the figure.
#
# ## Where the bytes are
#
# A `.tflite` file is a table of tensors with a description of the operations between them. We read it
# and add up what is stored: integers, their scales and zero points (four and eight bytes each), and the
# numbers that stay in floating point, which are biases and batch normalisations.

# %%
from ai_edge_litert import schema_py_generated as schema

content = file.read_bytes()
model = litert.objects(content)
kinds = {schema.TensorType.FLOAT32: "float32", schema.TensorType.INT8: "int8",
         schema.TensorType.INT32: "int32"}
rows = []
for tensor in model.subgraphs[0].tensors:
    data, scales = model.buffers[tensor.buffer].data, tensor.quantization
    if data is not None:
        n = 0 if scales is None or scales.scale is None else len(scales.scale)
        shape = " × ".join(map(str, tensor.shape))
        rows.append((kinds[tensor.type], shape, len(data), n))
stored = pd.DataFrame(rows, columns=["kind", "shape", "bytes", "scales"])
stored.sort_values(["bytes", "shape"], ascending=[False, True],
                   ignore_index=True).head(8)

# %%
print(f"{len(content) / 1000:.1f} kB, 128 kB allowed")
by_kind = stored.groupby("kind")["bytes"].sum()
parts = {"8-bit weights": by_kind["int8"],
         "scales, zero points": (4 + 8) * stored["scales"].sum(),
         "biases, batch normalisation": by_kind["float32"]}
parts["description of the graph"] = len(content) - sum(parts.values())
for name, size in parts.items():
    print(f"{name:28s} {size / 1000:5.1f} kB")
n_weights = sum(layer.weight.numel() for layer in layers.values())
assert parts["8-bit weights"] == n_weights and len(content) < 128_000
passing = {kinds[tensor.type] for tensor in model.subgraphs[0].tensors
           if model.buffers[tensor.buffer].data is None}
print("passed between layers:", *passing)

# %% [markdown]
# The largest share by far are the weights. The challenge counts parameters, not files: 51,986 of one
# byte are 52 kB. The biases and normalisations that stay in floating point take four bytes each
# ([the chapter on complexity](complexity.ipynb) counts them all).
#
# ## How few bits would do?
#
# Eight bits are the custom, not a law. We round the weights to fewer bits with the quantiser from above
# and leave the activations alone, for two students. With 2 bits the integers are −1, 0 and 1. One bit leaves no zero: each
# weight becomes plus or minus the mean size of its channel's weights {cite}`rastegari2016xnor`. No
# training follows. Then we do the reverse: weights stay as they are, and the input of every layer is rounded, each clip in
# its own range. Where do the curves break, and which gives in first?

# %%
def with_bits(net, bits):
    """A copy of the network with weights of so many bits."""
    rounded = copy.deepcopy(net)
    for layer in rounded.modules():
        if isinstance(layer, quantization.WEIGHTED):
            weight = layer.weight.data
            size = weight.abs().flatten(1).mean(dim=1)
            signs = weight.sign() * size.view(-1, *[1] * (weight.dim() - 1))
            layer.weight.data = (
                signs if bits == 1 else quantize_weight(weight, bits))
    return rounded


# %%
def with_inputs(net, bits):
    """A copy whose layers hear inputs of so many bits, one range a clip."""
    def coarse(layer, inputs):
        x = inputs[0]
        shape = -1, *[1] * (x.dim() - 1)
        low = x.flatten(1).amin(dim=1).clamp(max=0).view(shape)
        high = x.flatten(1).amax(dim=1).clamp(min=0).view(shape)
        scale = (high - low).clamp(min=1e-12) / (2**bits - 1)
        return (x / scale).round() * scale

    rounded = copy.deepcopy(net)
    for layer in map(rounded.get_submodule, layers):
        layer.register_forward_pre_hook(coarse)
    return rounded


bits, colours = [1, 2, 3, 4, 5, 6, 8], [plotting.INK, plotting.ACCENT]
students = {"RRS": net, "labels": experiment.student().net()}

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-bits", "caption": "Live run: macro accuracy on the test clips against the bits of each weight (left) and of each layer's input (right), for the student taught by RRS (dark) and the one trained on labels alone (bright), without any training after the rounding. Dashed: nothing rounded; dotted: chance."}, "image": {"alt": "Two panels with two curves of accuracy over one to eight bits, each with a dashed horizontal line for the unrounded network, and a dotted line for chance."}}
curves = pd.DataFrame({
    (what, name): [accuracy(predict(each, test.x)) for each in
                   (*(rounding(whole, b) for b in bits), whole)]
    for what, rounding in (("weights", with_bits), ("inputs", with_inputs))
    for name, whole in students.items()}, index=[*bits, 32])
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
for ax, what in zip(axes, ("weights", "inputs"), strict=True):
    curves[what].loc[bits].plot(ax=ax, style="o-", color=colours, legend=False)
    ax.hlines(curves[what].loc[32], 1, 8, color=colours, ls="--", lw=1)
    ax.axhline(10, color=plotting.MUTED, ls=":")
    ax.set(xlabel=f"bits of the {what}", ylabel="accuracy (%)", xticks=bits)
axes[1].legend(loc="lower right")
plotting.show(figure)
assert (curves.loc[8] > curves.loc[32] - 5).all()
print(curves.T.round(1))

# %% [markdown]
# Read each row from the right. The first number that is more than two points below the last is where the curve breaks; the
# rows of weights and of inputs have it within a bit or so of each other. On one test set, with two students, that is too
# little to say which gives in first.
#
# With 8 bits the network hardly notices. Below the break the rounding error is no longer small beside the
# numbers themselves. [The next chapter](qat.ipynb) trains *with* the rounding in the loop.
#
# ## What dynamic range is, and what it is not
#
# Two schemes go by the name of post-training quantisation; the first column has none, for comparison.
#
# | | float | dynamic range | full integer |
# |---|---|---|---|
# | weights | 32-bit | 8-bit | 8-bit |
# | activations between layers | float | float | 8-bit |
# | range of an activation | – | measured for each clip | fixed in advance, from sample clips |
# | needs sample clips | no | no | yes |
# | input and output | float | float | often 8-bit, with a scale and zero point |
# | runs on a microcontroller with TFLM | yes, slowly | **no** | yes |
#
# The last line surprises many. TensorFlow Lite Micro (TFLM), the usual interpreter on microcontrollers,
# has no kernels for such *hybrid* operations, 8-bit weights on float activations: it stops with "Hybrid models are
# not supported". The path to a microcontroller is full integer. What dynamic range offers is a quarter of the size, no sample
# clips, and answers almost unchanged. That its activations are float is the last line printed above, where the bytes were counted.

# %% [markdown]
# ## Fixed ranges
#
# Full integer needs the range of every activation *before* the first clip is heard. It is taken from
# **calibration clips**: from the training split only, as many from each device as there are, since a
# device colours what a layer sees. How is a range made of a hundred clips? From the extremes of all
# values; from a percentile, which clips the rarest; or from each clip's extremes, averaged from clip to
# clip. A narrow range has fine steps and clips more. The first table takes extremes, the second compares the three.
#
# Beside dynamic range and full integer two milder forms are exported: **weight only**, whose int8 weights are read back to
# float before they are used, and **float16**, with weights of two bytes.

# %% tags=["nbval-ignore-output"]
hundreds = range_calibration(experiment.data, 200).clips.chunk(2)
extremes, rows = calibration.Calibration(hundreds[0], "min_max"), {}
for kind in quantization.KINDS:
    ranges = extremes if kind == "full_int8" else None
    device = litert.LiteRT(quantization.exported(net, kind, ranges))
    answers = torch.from_numpy(device(test.x))
    imitation = predict(quantization.simulate(net, kind, ranges), test.x)
    rows[kind] = [accuracy(answers)] + [
        100 * quantization.agreement(answers, other)
        for other in (floating, imitation)]
columns = ["accuracy (%)", "as float (%)", "as simulated (%)"]
assert all(row[2] >= 95 for row in rows.values())
pd.DataFrame(rows, index=columns).T.round(1)

# %% [markdown]
# Every file was asked about every test clip. The last column says whether a simulation may stand for its
# file, so the three ways to a range are compared in simulation: for both students, with two hundreds of clips that share
# none. (Where there are fewer than two hundred clips to fit on, these are two halves of them.)

# %% tags=["nbval-ignore-output"]
rows = {}
for name, whole in students.items():
    exact = predict(whole, test.x)
    for number, hundred in enumerate(hundreds):
        for method in calibration.RANGES:
            ranges = calibration.Calibration(hundred, method)
            coarse = quantization.simulate(whole, "full_int8", ranges)
            answers = predict(coarse, test.x)
            rows[method, name, number] = (
                accuracy(answers) - accuracy(exact),
                100 * quantization.agreement(answers, exact))
found = pd.DataFrame(rows, index=["change (points)", "as float (%)"]).T
assert (found["as float (%)"] > 80).all()
found.groupby(level=0, sort=False).agg(["min", "max"]).round(1)

# %% [markdown]
# Each row has the lowest and the highest of four. The moving average, which is the default of the quantiser used here, clips
# whatever a single loud clip reaches, and the percentile the rarest values of all. Where the
# ranges in a pair of columns overlap, the methods are not told apart by it. Two
# students and two draws are no study, so how the range was made has to be reported with the result.
#
# One detail beside the method. In `conv2` to `conv4` a ReLU stands before the batch
# normalisation, which therefore cannot be folded into the convolution. Left to itself it is a product and a
# sum at the least, each of which rounds. `export` writes a depthwise convolution of one tap instead, with a
# scale of its own for each channel, which rounds once.
#
# :::{admonition} A published slip
# :class: note
# The read-me of the AI4EDGE programs {cite}`ipleiria2023dcase` announces dynamic range quantisation. The program that exports the
# student does full-integer quantisation, with a random half of the training clips as samples; only the
# branch with quantisation-aware training is dynamic range. In some places the 8-bit input is cast without
# rounding or clipping. The two schemes make different errors, so a table has to name the one it
# measured. Where nothing is said, ours is dynamic range.
# :::
#
# What does such a cast cost? We give the full int8 file its input as it should be, then cut off instead of rounded, then
# wrapped around instead of clipped, so that 128 becomes −128, then both.

# %% tags=["nbval-ignore-output"]
device = litert.LiteRT(quantization.exported(net, "full_int8", extremes))
graph = litert.read(device.path).subgraphs[0]
given = graph.tensors[graph.inputs[0]].quantization
scale, zero = float(given.scale[0]), int(given.zeroPoint[0])
steps, rows = test.x / scale + zero, {}
beyond = (steps.round() > 127) | (steps.round() < -128)
for name, whole in (("rounded", steps.round()), ("cut off", steps.trunc())):
    for end, q in (("clipped", whole.clamp(-128, 127)),
                   ("wrapped", (whole + 128) % 256 - 128)):
        answers = torch.from_numpy(device(scale * (q - zero)))
        rows[f"{name}, {end}"] = (
            accuracy(answers), 100 * quantization.agreement(answers, floating))
assert rows["rounded, clipped"][1] > 95
print(f"outside the range: {100 * float(beyond.float().mean()):.3f} %")
pd.DataFrame(rows, index=columns[:2]).T.round(1)

# %% [markdown]
# Here the slip costs little. To cut off moves every number by half a step on average, which the network hears as a small
# change of level. To wrap could be worse, but only the share of numbers printed above lies outside a range that a
# hundred clips have set. This is one student on one corpus; nothing says that it is harmless elsewhere.
#
# ## How many clips are enough?
#
# Each calibration clip costs nothing but its inference, so why not take all? Because a device may have to be
# calibrated where it stands, with what is at hand. We drew 1 to 100 training clips, even over devices, three times, and gave
# each draw to three students trained on labels alone. The simulation was asked about all test clips: the
# {glue:text}`embedded_clips` of the embedded corpus, and {glue:text}`real_clips` **real recordings**, test clips of ESC-10
# {cite}`piczak2015esc`. Those are ten kinds of sound, from rain to a clock's tick, that borrow the names of the scenes and the
# layout of TAU. The students were trained on each corpus's own training split; no recording is on both sides.

# %%
def interval(row, kind):
    """A change of accuracy with its interval, in points, as text."""
    low, high = 100 * row[f"{kind}_low"], 100 * row[f"{kind}_high"]
    return f"{100 * row['accuracy']:+.2f} ({low:+.2f} to {high:+.2f})"


asked = {"embedded": store.results("quantization"),
         "real": store.results("quantization_real")}
for corpus, found in asked.items():
    curve = pd.DataFrame(found["calibration"]).set_index("number")
    near = curve["as_float"] >= curve["as_float"].iloc[-1] - 0.005
    glue(f"{corpus}_enough", int(near[::-1].cummin()[::-1].idxmax()))
    glue(f"{corpus}_worst", 100 * curve.loc[1, "worst"])
    for number in (1, 4, 25, 50, 100):
        glue(f"{corpus}_{number}", interval(curve.loc[number], "accuracy"))

# %% mystnb={"figure": {"name": "fig-calibration", "caption": "Study, quick profile: a full int8 student with min-max ranges against the number of calibration clips, on the embedded corpus (dark) and on real recordings (bright). Top: test clips named as in floating point, mean and extremes of three students with three draws each. Below: macro accuracy and log loss minus those in floating point, with 95 % intervals over test recordings, all draws and students pooled."}, "image": {"alt": "Three panels of dots with vertical bars over the number of calibration clips on a logarithmic axis, for two corpora; the bars grow shorter to the right."}}
panels = (("same scene (%)", 100, "worst as_float best"),
          ("accuracy (points)", 100, "accuracy_low accuracy accuracy_high"),
          ("log loss (nats)", 1, "log_loss_low log_loss log_loss_high"))
figure, axes = plt.subplots(3, 1, figsize=(6, 7), sharex=True)
for ax, (label, unit, three) in zip(axes, panels, strict=True):
    for (corpus, found), colour in zip(asked.items(), colours, strict=True):
        curve = pd.DataFrame(found["calibration"]).set_index("number")
        low, mean, high = unit * curve[three.split()].to_numpy().T
        ax.errorbar(curve.index, mean, [mean - low, high - mean],
                    fmt="o-", capsize=3, color=colour, label=corpus)
    ax.set(xscale="log", ylabel=label)
    ax.set_xticks(curve.index, curve.index)
axes[0].legend(loc="lower right")
axes[-1].set_xlabel("calibration clips")
plotting.show(figure)

# %% [markdown]
# The answer depends on the corpus. On the embedded one the mean share of clips named as before is within half a point of its
# last value from {glue:text}`embedded_enough` clips on, on real recordings from {glue:text}`real_enough` on. The worst of the
# nine pairs of a student and a single clip keeps {glue:text}`embedded_worst:.0f` % on the embedded corpus and
# {glue:text}`real_worst:.0f` % on real recordings. These are the worst of three sets of clips, no bound.
#
# What does it do to accuracy? A single clip changes it by {glue:text}`embedded_1` points on the embedded corpus and by
# {glue:text}`real_1` on real recordings, where log loss grows by {glue:text}`real_loss:.3f`. On real recordings the rest is
# soon told: {glue:text}`real_4` with four clips, {glue:text}`real_100` with a hundred. On the embedded corpus more clips do
# not buy everything back: {glue:text}`embedded_25` with 25, {glue:text}`embedded_50` with 50 and
# {glue:text}`embedded_100` with a hundred. Over draws and students the last interval is narrower,
# {glue:text}`embedded_draws`, though draws that all students share are no nine independent tries. So on the embedded corpus
# full integer costs something like half a point to a point. We take a hundred clips, since none of the sets of a hundred was bad.
#
# ## What the files say
#
# So far the simulation. Here are the files of the same students, each asked in LiteRT about every test clip of both corpora.

# %%
rows = {}
for corpus, found in asked.items():
    glue(f"{corpus}_draws", interval(found["calibration"][-1], "seeds"))
    glue(f"{corpus}_loss", found["calibration"][0]["log_loss"])
    mean = round(100 * float(np.mean(found["float_accuracy"])), 1)
    glue(f"{corpus}_float", mean)
    glue(f"{corpus}_clips", found["clips"]["test"])
    for row in found["differences"]:
        said = interval(row, "accuracy")
        glue(f"{corpus}_{row['file'][:4]}", said)
        rows[row["file"], corpus] = said
    same = pd.DataFrame(found["files"]).groupby("file")["as_float"].mean()
    for file, share in same.items():
        glue(f"{corpus}_{file[:4]}_same", 100 * share)
pd.Series(rows).unstack()

# %% [markdown]
# In floating point the students reach {glue:text}`embedded_float:.1f` % on the embedded test clips and
# {glue:text}`real_float:.1f` % on the real ones, on average. The table has the change that each file makes, in points, with
# its interval over test recordings: for dynamic range {glue:text}`embedded_dyna` on the
# embedded corpus and {glue:text}`real_dyna` on real recordings; with biases corrected {glue:text}`embedded_corr`
# and {glue:text}`real_corr`; for full int8 with min-max ranges {glue:text}`embedded_full` and
# {glue:text}`real_full`.
#
# How often does the file name the scene that the network names? With dynamic range for {glue:text}`embedded_dyna_same:.1f` %
# of the embedded clips and {glue:text}`real_dyna_same:.1f` % of the real ones, with biases corrected for
# {glue:text}`embedded_corr_same:.1f` % and {glue:text}`real_corr_same:.1f` %, with full int8 for
# {glue:text}`embedded_full_same:.1f` % and {glue:text}`real_full_same:.1f` %. Corrected biases make smaller errors of the
# logits, and gain nothing here in scenes: the shares with and without are the same but for a few clips. Accuracy may
# stay while answers change, since some change for the better. And smaller errors need not mean fewer changed answers: what changes are near
# ties, and which way a tie falls is chance.
#
# ## What the study says
#
# The study asks the same question of its students, all but one control, on a larger embedded corpus, with
# {glue:text}`larger_fit` clips to fit on and {glue:text}`larger_test` to test: what does the
# 8-bit simulation with dynamic range lose against the network it was made from?

# %% mystnb={"figure": {"name": "fig-int8-study", "caption": "Study, embedded corpus: macro accuracy of each 8-bit student minus its 32-bit original, with 95 % intervals over test recordings, all seeds pooled (dark, upper), and over seeds (bright, lower)."}, "image": {"alt": "A pair of dots with horizontal interval bars for each student, around a vertical line at zero."}}
study = store.results("scoreboard")
table = pd.DataFrame(study["differences"])
int8 = table[table["system"] == table["base"] + "_int8"]
int8 = int8.drop_duplicates("base").set_index("base")
int8 = 100 * int8[list(POINTS)].astype(float)
glued = int8.loc["rrs"].add_prefix("rrs_").to_dict()
glued |= {f"larger_{part}": number for part, number in study["clips"].items()}
for key, value in (glued | {"largest": int8["accuracy"].abs().max()}).items():
    glue(key, value)
names = int8.index.str.replace("rrs", "RRS").str.replace("_", " ")
names = names.str.replace("published", "double softmax")
figure, ax = plt.subplots(figsize=(7, 3.8))
plotting.differences(ax, names, int8, "8-bit minus 32-bit (points)")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plotting.show(figure)

# %% [markdown]
# On the embedded corpus, eight bits change the accuracy of the RRS student by
# {glue:text}`rrs_accuracy:+.2f` points, with an interval over recordings from
# {glue:text}`rrs_accuracy_low:+.2f` to {glue:text}`rrs_accuracy_high:+.2f`, and over seeds from
# {glue:text}`rrs_seeds_low:+.2f` to {glue:text}`rrs_seeds_high:+.2f`. Over all students the largest
# change, up or down, is {glue:text}`largest:.2f` points. (*Double softmax* is the loss of the published programs, which
# [the chapter on slips](../challenges/slips.ipynb) takes apart.)
#
# Is it always so little? No. For two systems called DSMN, of 56 thousand parameters each, submitted to DCASE 2023
# {cite}`wang2023dsmn`, both numbers are public: 59.2 % in floating point and 56.4 % in int8, and 53.4 % and 50.8 %. That is 2.8
# and 2.6 points lost on TAU, more than the interval of any file in the table above reaches. Network, corpus
# and quantiser all differ from ours, and we do not know which of them matters.
#
# The published figure for the system that this book rebuilds is that of the quantised system alone: 51.9 % on the 2023
# evaluation set {cite}`ipleiria2023dcase`. What quantisation cost it cannot be told from there.
#
# ## Takeaways
# * A quantised number is an integer, a scale and a zero point; the error is half a step at the most.
# * Weights: symmetric, one scale per output channel. Activations: asymmetric, one range per clip.
# * Eight bits were enough for our students with dynamic range: {glue:text}`embedded_dyna` points on the embedded corpus,
#   {glue:text}`real_dyna` on real recordings. These files do not run on a microcontroller under TFLM.
# * Full integer with a hundred calibration clips changes {glue:text}`embedded_100` points on the embedded corpus, and
#   {glue:text}`embedded_draws` over draws and students: a loss of half a point to a point is likely, and where zero lies in
#   the interval it is not shown. On real recordings nothing was measurable: {glue:text}`real_100`.
# * How many clips are enough depends on the corpus: {glue:text}`real_enough` on real recordings,
#   {glue:text}`embedded_enough` on the embedded one, for as many answers as a hundred keep. A single one cost
#   {glue:text}`real_1` points on real recordings.
# * Biases corrected afterwards gain nothing in scenes: {glue:text}`embedded_corr_same:.1f` % named as in floating point against
#   {glue:text}`embedded_dyna_same:.1f` % without, and {glue:text}`real_corr_same:.1f` % against
#   {glue:text}`real_dyna_same:.1f` % on real recordings.
# * A simulation is checked against the file that it stands for, by agreement on every clip.
#
# ## Exercises
# **1.** A layer has weights between −0.5 and 0.5 in all channels but one, which reaches 8. By how much does
# the per-channel scale reduce the steps of the other channels?
#
# :::{dropdown} Solution
# Per tensor one step is $8/127 = 0.063$ for all, per channel $0.5/127 = 0.0039$ for the others: sixteen
# times finer, four bits' worth.
# :::
#
# **2.** Show that the range of an activation has to hold zero. What would go wrong with values between 3
# and 4 otherwise?
#
# :::{dropdown} Solution
# Zero would need the integer $-128 - 3 / s$ with $s = 1/255$, that is −893, which does not fit into
# eight bits. The padding would be clipped to −128, which reads back as 3: the border of the spectrogram
# would be filled with 3 instead of 0. To see it, remove from `affine` the clamps of `low` and `high`, call
# `q, scale, zero = affine(torch.tensor([3.0, 3.5, 4.0]))`, and read the padding back:
# `scale * (zero.clamp(-128, 127) - zero)`.
# :::
#
# **3.** The right panel of {numref}`fig-bits` gives every clip a range of its own. By about how many bits does the curve
# move when one range, wide enough for all clips, is fixed instead?
#
# :::{dropdown} Solution
# A clip's step grows by the ratio of the common range to its own, and one bit halves a step. So the curve moves to
# the right by the binary logarithm of this ratio: the text under {numref}`fig-ranges` has it for one layer, for the
# median clip. To try it, round with the largest `high` and the lowest `low` that the training clips reach, in place of those
# of the clip.
# :::
#
# ## What is next
# Here the student was rounded after its training. [The next chapter](qat.ipynb) lets it know before.
