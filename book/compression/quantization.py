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

from asclib import evaluation, litert, plotting, store
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

# %% mystnb={"figure": {"name": "fig-channels", "caption": "Live run: relative error of the student's 8-bit weights, layer by layer, with one scale per layer and one per output channel."}, "image": {"alt": "Pairs of bars for the four convolutions, the dense layer and the head: per tensor and per channel relative error in per cent."}}
def relative_error(layer, per_channel):
    weight = layer.weight.data
    error = quantize_weight(weight, 8, per_channel) - weight
    return 100 * float(error.norm() / weight.norm())


error = pd.DataFrame(index=list(layers))
for label, per_channel in (("per tensor", False), ("per channel", True)):
    error[label] = [relative_error(layer, per_channel)
                    for layer in layers.values()]
figure, ax = plt.subplots(figsize=(7, 3))
error.plot.bar(ax=ax, rot=0, color=[plotting.MUTED, plotting.INK])
ax.set(ylabel="relative error (%)")
plotting.show(figure)
assert (error["per channel"] < 5).all()

# %% [markdown]
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
# clip's own, so its integers are the same in any company:

# %%
rounded = quantization.quantize_activation
together = rounded(test.x[:8])
alone = torch.cat([rounded(clip[None]) for clip in test.x[:8]])
print("the same alone and in a batch:", torch.equal(together, alone))

# %% [markdown]
# How different are the ranges really? For the input of the second convolution:

# %% mystnb={"figure": {"name": "fig-ranges", "caption": "Live run: size of one quantisation step at the input of the second convolution, for each test clip. The line is the step that a range over all clips would give."}, "image": {"alt": "A histogram of step sizes over test clips, with a vertical line at or beyond its right end."}}
def largest_value(x):
    return net.maps(x)["conv1"].flatten(1).amax(dim=1)  # the smallest is 0


steps = predict(net, test.x, largest_value).numpy() / 255
figure, ax = plt.subplots(figsize=(6, 2.8))
ax.hist(steps, bins=40, color=plotting.INK)
ax.axvline(steps.max(), color=plotting.ACCENT)
ax.set(xlabel="step of one clip", ylabel="clips", xlim=(0, None))
plotting.show(figure)

# %% [markdown]
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

# %%
file = quantization.exported(net)  # converted once, then found again
content = file.read_bytes()
print(f"{content[4:8].decode()}: {len(content) / 1000:.1f} kB, 128 kB allowed")
assert len(content) < 128_000

# %% [markdown]
# Now LiteRT is asked about every test clip, one at a time as on a device. Three programs answer:
# the trained network, its simulation, and the file. How often do they name the same scene, and how far
# apart are their logits?

# %% tags=["nbval-ignore-output"]
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
# The clips on which they differ should be those where two scenes were nearly tied before. {numref}`fig-ties`
# asks whether that is so: it compares the *margin* between the two best scenes with the change
# that the file makes.

# %% mystnb={"figure": {"name": "fig-ties", "caption": "Live run: for each test clip, the margin between the two best scenes in floating point, and the largest change of a logit in the LiteRT file. Below the line a change cannot alter the scene named."}, "image": {"alt": "A scatter of points on logarithmic axes with a diagonal line; the few clips whose answer changes lie above the line, at small margins."}}
best = floating.topk(2, dim=1).values
margin = (best[:, 0] - best[:, 1]).numpy()
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

# %% [markdown]
# ## Where the bytes are
#
# A `.tflite` file is a table of tensors with a description of the operations between them. We read it
# and add up what is stored: integers, their scales and zero points (four and eight bytes each), and the
# numbers that stay in floating point, which are biases and batch normalisations.

# %%
from ai_edge_litert import schema_py_generated as schema

model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
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
by_kind = stored.groupby("kind")["bytes"].sum()
parts = {"8-bit weights": by_kind["int8"],
         "scales, zero points": (4 + 8) * stored["scales"].sum(),
         "biases, batch normalisation": by_kind["float32"]}
parts["description of the graph"] = len(content) - sum(parts.values())
for name, size in parts.items():
    print(f"{name:28s} {size / 1000:5.1f} kB")
n_weights = sum(layer.weight.numel() for layer in layers.values())
assert parts["8-bit weights"] == n_weights
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
# training follows. Where does the curve break?

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


# %% mystnb={"figure": {"name": "fig-bits", "caption": "Live run: macro accuracy on the test clips against the bits of each weight, for the RRS student and the student trained on labels alone, without any training after the rounding. Dashed: 32-bit weights; dotted: chance."}, "image": {"alt": "Two curves of accuracy over one to eight bits, each with a dashed horizontal line for 32-bit weights, and a dotted line for chance."}}
bits = [1, 2, 3, 4, 5, 6, 8]
figure, ax = plt.subplots(figsize=(6, 3.2))
students = {"rrs": net, "student": experiment.student().net()}
for name, colour in (("rrs", plotting.INK), ("student", plotting.ACCENT)):
    whole = students[name]
    curve = [accuracy(predict(with_bits(whole, b), test.x)) for b in bits]
    ax.plot(bits, curve, "o-", color=colour, label=name)
    ax.axhline(accuracy(predict(whole, test.x)), color=colour, ls="--", lw=1)
ax.axhline(100 / len(test.labels.unique()), color=plotting.MUTED, ls=":")
ax.set(xlabel="bits of each weight", ylabel="accuracy (%)", xticks=bits)
ax.legend()
plotting.show(figure)
eight = predict(with_bits(net, 8), test.x)
assert quantization.agreement(eight, floating) >= 0.9

# %% [markdown]
# With 8 bits the network hardly notices. Below some point the rounding error is no longer small beside the
# weights themselves. [The next chapter](qat.ipynb) trains *with* the rounding in the loop.
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
# clip. A narrow range has fine steps and clips more.
#
# Beside dynamic range and full integer two milder forms are exported: **weight only**, whose int8 weights are read back to
# float before they are used, and **float16**, with weights of two bytes.

# %%
clips = range_calibration(experiment.data, 100).clips
schemes = {kind: (kind, None) for kind in quantization.KINDS
           if kind != "full_int8"}
for method in calibration.RANGES:
    ranges = calibration.Calibration(clips, method)
    schemes[f"full_int8, {method}"] = ("full_int8", ranges)
columns = ["accuracy (%)", "as float (%)", "as simulated (%)"]
print(*schemes, sep="\n")

# %% tags=["nbval-ignore-output"]
rows = {}
for name, (kind, ranges) in schemes.items():
    device = litert.LiteRT(quantization.exported(net, kind, ranges))
    answers = torch.from_numpy(device(test.x))
    imitation = predict(quantization.simulate(net, kind, ranges), test.x)
    rows[name] = [accuracy(answers)] + [
        100 * quantization.agreement(answers, other)
        for other in (floating, imitation)]
assert all(row[2] >= 95 for row in rows.values())
pd.DataFrame(rows, index=columns).T.round(1)

# %% [markdown]
# Every file was asked about every test clip. The last column says whether a simulation may stand for its
# file. The moving average, which is the default of the quantiser used here, clips whatever a single loud clip
# reaches, and the percentile the rarest values of all. Compare the three in the second column: how the
# range was made has to be reported with the result.
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
# ## How many clips are enough?
#
# Each calibration clip costs nothing but its inference, so why not take all? Because a device may have to be
# calibrated where it stands, with what is at hand. We drew 1 to 100 training clips, even over devices, several times for
# each of three students, and asked the simulation about all test clips.

# %% mystnb={"figure": {"name": "fig-calibration", "caption": "Study, embedded corpus, quick profile: a full int8 student with min-max ranges against the number of calibration clips. Left: test clips named as in floating point, mean over draws and seeds, from the worst draw to the best. Right: macro accuracy minus that in floating point, with its 95 % interval over test recordings, all draws and seeds pooled."}, "image": {"alt": "Two panels of dots with vertical bars over the number of calibration clips on a logarithmic axis; the bars grow shorter to the right."}}
asked = store.results("quantization")
curve = 100 * pd.DataFrame(asked["calibration"]).set_index("number")
same = curve[["worst", "as_float", "best"]]
change = curve[["accuracy_low", "accuracy", "accuracy_high"]]
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
for ax, rows, label in ((axes[0], same, "same scene (%)"),
                        (axes[1], change, "change of accuracy (points)")):
    low, middle, high = rows.to_numpy().T
    ax.errorbar(curve.index, middle, yerr=[middle - low, high - middle],
                fmt="o-", color=plotting.INK, capsize=3)
    ax.set(xscale="log", xlabel="calibration clips", ylabel=label)
plotting.show(figure)
near = same["as_float"] >= same["as_float"].iloc[-1] - 0.5
enough = near[::-1].cummin()[::-1].idxmax()

# %%
glue("enough", int(enough))
for key, number in (("few", enough), ("most", change.index[-1])):
    low, middle, high = change.loc[number]
    glue(f"{key}_clips", int(number))
    glue(f"{key}_points", float(middle))
    glue(f"{key}_verdict", evaluation.verdict(low, high))

# %% [markdown]
# From {glue:text}`enough` clips on, the mean on the left is within half a point of the last one. The
# worst draw says what a single unlucky clip can do. On the right, accuracy with {glue:text}`few_clips` clips is
# {glue:text}`few_points:+.2f` points from that in floating point, and its interval {glue:text}`few_verdict`; with
# {glue:text}`most_clips` it is {glue:text}`most_points:+.2f`, and {glue:text}`most_verdict`. We take a hundred.
#
# ## What the files say
#
# So far one student, taught by RRS. Here are the files of three that were trained on labels alone, each asked in LiteRT about every test clip, on two corpora: the
# embedded one, and **real recordings**, {glue:text}`real_clips` test clips of ESC-10 {cite}`piczak2015esc`. Those are ten kinds of sound,
# from rain to a clock's tick, that borrow the names of the scenes and the layout of TAU. The students were trained on each corpus's
# own training split; no recording is on both sides.

# %%
rows = {}
for corpus, ending in {"embedded": "", "real": "_real"}.items():
    found = store.results("quantization" + ending)
    mean = round(100 * float(np.mean(found["float_accuracy"])), 1)
    glue(f"{corpus}_float", mean)
    glue(f"{corpus}_clips", found["clips"]["test"])
    for row in found["differences"]:
        ends = [100 * row[f"accuracy{end}"] for end in ("", "_low", "_high")]
        said = "{:+.2f} ({:+.2f} to {:+.2f})".format(*ends)
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
# {glue:text}`embedded_full_same:.1f` % and {glue:text}`real_full_same:.1f` %. Accuracy may stay while answers change, since some
# change for the better. And smaller errors of the logits need not mean fewer changed answers: what changes are near
# ties, and which way a tie falls is chance.
#
# ## What the study says
#
# The study asks the same question of its students, all but one control, on the larger embedded corpus: what does the
# 8-bit simulation lose against the network it was made from?

# %% mystnb={"figure": {"name": "fig-int8-study", "caption": "Study, embedded corpus: macro accuracy of each 8-bit student minus its 32-bit original, with 95 % intervals over test recordings, all seeds pooled (upper of each pair), and over seeds (lower)."}, "image": {"alt": "A pair of dots with horizontal interval bars for each student, around a vertical line at zero."}}
table = pd.DataFrame(store.results("scoreboard")["differences"])
int8 = table[table["system"] == table["base"] + "_int8"]
int8 = int8.drop_duplicates("base").set_index("base")
int8 = 100 * int8[list(POINTS)].astype(float)
row = int8.loc["rrs"].round(2).to_dict()
said = evaluation.verdict(row["accuracy_low"], row["accuracy_high"])
largest = round(float(int8["accuracy"].abs().max()), 2)
for key, value in row.items():
    glue(f"rrs_{key}", value)
glue("rrs_verdict", said)
glue("largest", largest)
figure, ax = plt.subplots(figsize=(7, 3.4))
plotting.differences(ax, int8.index, int8,
                     "8-bit minus 32-bit, macro accuracy (points)")
plotting.show(figure)

# %% [markdown]
# On the embedded corpus, eight bits change the accuracy of the RRS student by
# {glue:text}`rrs_accuracy:+.2f` points, with an interval over recordings from
# {glue:text}`rrs_accuracy_low:+.2f` to {glue:text}`rrs_accuracy_high:+.2f`, which
# {glue:text}`rrs_verdict`; over seeds it goes from {glue:text}`rrs_seeds_low:+.2f` to
# {glue:text}`rrs_seeds_high:+.2f`. Over all students the largest
# change, up or down, is {glue:text}`largest:.2f` points.
#
# The published figure for TAU is that of the quantised system alone: 51.9 % on the 2023 evaluation set
# {cite}`ipleiria2023dcase`. What quantisation cost it cannot be told from there.
#
# ## Takeaways
# * A quantised number is an integer, a scale and a zero point; the error is half a step at the most.
# * Weights: symmetric, one scale per output channel. Activations: asymmetric, one range per clip.
# * Rounding errors add up where an input has a mean. Kernels that keep their sum shift little, and biases
#   take back the rest.
# * A simulation is checked against the file that it stands for, by agreement on every clip.
# * The weights fill the file. Eight bits change few answers; with few bits the curve breaks.
# * Dynamic range keeps activations in float. It is small, needs no sample clips, and does not run under
#   TFLM.
# * Full integer fixes ranges from training clips; the method, and the operators around it, matter. From
#   a few dozen clips on, drawn evenly over devices, answers hardly change; a hundred is safer.
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
# **3.** Quantise the *activations* to fewer bits as well. Which gives in first, weights or activations?
#
# :::{dropdown} Solution
# Copy the network, register on each layer a forward pre-hook that rounds its input, and repeat the curve:
# ```python
# def rounded_input(bits):
#     def hook(layer, inputs):
#         x = inputs[0]
#         top = x.flatten(1).amax(dim=1).clamp(min=0).view(-1, *[1] * (x.dim() - 1))
#         low = x.flatten(1).amin(dim=1).clamp(max=0).view(-1, *[1] * (x.dim() - 1))
#         scale = (top - low).clamp(min=1e-12) / (2**bits - 1)
#         return ((x / scale).round() * scale,)
#     return hook
#
# coarse = copy.deepcopy(net)
# for layer in coarse.modules():
#     if isinstance(layer, quantization.WEIGHTED):
#         layer.register_forward_pre_hook(rounded_input(4))
# accuracy(predict(coarse, test.x))
# ```
# :::
#
# ## What is next
# Here the student was rounded after its training. [The next chapter](qat.ipynb) lets it know before.
