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
# How far does the title reach? For dynamic range it is shown, in simulation, on students that were trained in earnest. Full
# int8 is asked here of students of twelve epochs only: on one corpus of two they lose half a point to a point.
#
# ## What you will learn
# * how a number becomes an 8-bit integer: scale, zero point, and a bound on the error;
# * why weights get one scale per channel and activations one range per clip;
# * how a trained student becomes a `.tflite` file, and how to make sure that it still says the same;
# * where the bytes of that file are, and how few bits would do;
# * what *dynamic range* quantisation is, and what it is not;
# * how calibration clips fix the ranges of a file that computes in integers alone, and from how many on answers settle;
# * what the files themselves lose, on the embedded corpus and on ESC-10 sounds.
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
from ai_edge_litert import schema_py_generated as schema

from asclib import litert, plotting, store
from asclib.compression import calibration, quantization
from asclib.compression.qat import range_calibration
from asclib.evaluation import comparison, over_seeds
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
# what one step is worth can say something close {cite}`jacob2018quantization,krishnamoorthi2018quantizing`:
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
# integers on values that do not occur, and lose one bit.
#
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
    back = quantize_weight(weight, 8, per_channel)
    return 100 * float((back - weight).norm() / weight.norm())


error = pd.DataFrame({name: [relative_error(layer.weight.data, each)
                             for each in (False, True)]
                      for name, layer in layers.items()},
                     ["per tensor", "per channel"]).T
ax = error.plot.bar(figsize=(7, 3), rot=0, ylabel="relative error (%)",
                    color=[plotting.MUTED, plotting.INK])
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plotting.show(ax.figure)
whole, each = error["per tensor"], error["per channel"]
for key, gain in (("gap", whole - each), ("ratio", whole / each)):
    glue(key, float(gain.max()))
    glue(f"{key}_layer", gain.idxmax())

# %% [markdown]
# Every layer gains. By the difference of the bars {glue:text}`gap_layer` gains most, {glue:text}`gap:.2f` points of
# relative error; by their ratio it is {glue:text}`ratio_layer`, whose error is {glue:text}`ratio:.2f` times as large with one scale. A
# ratio of two would be one bit's worth.
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
# remainders. Parliaments give away their last seats in this way. (The better known answer is AdaRound
# {cite}`nagel2020up`, which learns from clips, layer by layer, which way each weight should go.)
#
# A little is left, since no picture is all alike. It can be taken back in the biases {cite}`nagel2019data`: some
# training clips are heard by the network and by its rounded copy, and each bias is moved back by what its channel's
# mean has moved, layer after layer. Both papers' tricks, and more, are in a white paper {cite}`nagel2021white`.

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
seen = range_calibration(experiment.data, 400).clips
mended = quantization.correct_biases(net, seen)

# %% [markdown]
# How far does a map of the first convolution move, and what reaches the answers? We round all weights in
# either way, then with biases corrected, and leave the activations alone. A shift is measured against the spread of
# the maps, their standard deviation over clips and places.

# %% tags=["nbval-ignore-output"]
rows, exact = {}, predict(net, test.x, net.conv1)
for name, whole, rounding in (("nearest", net, quantize_weight),
                              ("sum kept", net, keep_sum),
                              ("corrected", mended, keep_sum)):
    rounded = copy.deepcopy(whole)
    for layer in map(rounded.get_submodule, layers):
        layer.weight.data = rounding(layer.weight.data)
    logits = predict(rounded, test.x)
    maps = predict(rounded, test.x, rounded.conv1)
    shift = (maps - exact).mean((0, 2, 3)).abs().mean() / exact.std()
    rows[name] = {"shift of a map (% of spread)": 100 * float(shift),
                  "change of a logit": float((logits - floating).abs().mean()),
                  "same (%)": 100 * quantization.agreement(logits, floating)}
    for key, value in rows[name].items():
        glue(f"{name[:3]}_{key.split()[0]}", value)
# %% [markdown]
# With taps rounded to the nearest a map moves by {glue:text}`nea_shift:.2f` % of its spread, with sums kept by
# {glue:text}`sum_shift:.2f` %, with biases corrected as well by {glue:text}`cor_shift:.2f` %. A logit changes by
# {glue:text}`nea_change:.3f`, {glue:text}`sum_change:.3f` and {glue:text}`cor_change:.3f` on average. But at eight bits little is left
# to be gained in scenes: {glue:text}`nea_same:.1f` %, {glue:text}`sum_same:.1f` % and {glue:text}`cor_same:.1f` % of the clips keep
# theirs. Whether it pays at fewer bits is asked further down.
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
# would then depend on its neighbours, and in use a clip has none. In `asclib` the range is the
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
wider = float(steps.max() / np.median(steps))
for key, value in (("least", float(steps.max() / steps.min())),
                   ("median", wider), ("bits", float(np.log2(wider)))):
    glue(f"step_{key}", value)

# %% [markdown]
# One range for all clips would give every clip the largest step. That is {glue:text}`step_least:.1f` times as coarse as
# the clip with the smallest needs, and {glue:text}`step_median:.1f` times as coarse as the median clip needs.
#
# ## The simulation
#
# `simulate` does both in plain torch: rounded weights, and rounded inputs of every convolution and dense
# layer. All else stays in floating point. It runs in batches, so the whole test split
# can be asked. Does the 8-bit student say the same as the 32-bit one? And is the student good enough for the question? Twelve
# epochs on a small corpus are hardly a training, so the logistic regression of
# [the chapter on the data](../task/dataset.ipynb) is asked too: mean and spread of each mel band, and nothing else.

# %% tags=["nbval-ignore-output"]
from sklearn.linear_model import LogisticRegression


def accuracy(logits):
    """Macro accuracy on the test clips, in per cent."""
    return 100 * macro_accuracy(logits, test.labels)


def summary(x):
    return torch.cat([x[:, 0].mean(2), x[:, 0].std(2)], dim=1)


fit = experiment.clips("fit")
means, spreads = summary(fit.x).mean(0), summary(fit.x).std(0).clamp(1e-6)
simple, heard = LogisticRegression(max_iter=5000), [
    (summary(x) - means) / spreads for x in (fit.x, test.x)]
scene = torch.from_numpy(simple.fit(heard[0], fit.labels).predict(heard[1]))
simulation = predict(quantization.simulate(net), test.x)
for key, answers in (("floating", floating), ("simulated", simulation),
                     ("simple", torch.eye(10)[scene])):
    glue(f"{key}_accuracy", accuracy(answers))
# %% [markdown]
# The student reaches {glue:text}`floating_accuracy:.1f` % in 32 bits and {glue:text}`simulated_accuracy:.1f` % in 8, and names the same scene
# for {glue:text}`simulation_same:.1f` % of the clips. But the logistic regression reaches {glue:text}`simple_accuracy:.1f` %. What follows is
# about a network that has learnt little, and whose answers are often near ties; a well-trained one may lose less, or more.
#
# ## The file
#
# A simulation is a claim about another program. What is shipped is a `.tflite` file, run through LiteRT, the
# new name of TensorFlow Lite, or a relative of it. `export` writes that file: it converts the network's graph, quantises it, and strips
# the names of all tensors, which no interpreter reads. This takes some ten seconds, so the file goes into
# the store under a key made of the weights themselves. It is built once; a build that was cut off
# leaves nothing behind that looks finished.
#
# Now LiteRT is asked about every test clip, one at a time as in use. Three programs answer:
# the trained network, its simulation, and the file. How often do they name the same scene?

# %% tags=["nbval-ignore-output"]
file = quantization.exported(net)  # converted once, then found again
program = litert.LiteRT(file)
lite = torch.from_numpy(program(test.x))
pairs = {"simulation": (simulation, floating), "file": (lite, floating),
         "both": (lite, simulation)}
for name, (a, b) in pairs.items():
    same = 100 * quantization.agreement(a, b)
    glue(f"{name}_same", same)
    assert same >= 95  # those that differ are near ties
assert quantization.agreement(lite, simulation) >= 0.97

# %% [markdown]
# The file names the scene that the network names for {glue:text}`file_same:.1f` % of the clips, and the scene that its
# simulation names for {glue:text}`both_same:.1f` %. What separates either from the trained network is the rounding itself.
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
glue("margin", float(margin[moved].max(initial=0)))
glue("margin_median", float(np.median(margin)))

# %% [markdown]
# Yes: no clip that changed its scene had a margin above {glue:text}`margin:.3f`, where the median clip has
# {glue:text}`margin_median:.2f`. Such clips lie at the left of the figure.
#
# ## Where the bytes are
#
# A `.tflite` file is a table of tensors with a description of the operations between them. We read it
# and add up what is stored: integers, their scales and zero points (four and eight bytes each), and the
# numbers that stay in floating point, which are biases and batch normalisations. The last
# assertion says that all numbers that pass between layers are floats.

# %%
content = file.read_bytes()
model, kind = litert.objects(content), schema.TensorType
tensors = [(tensor, model.buffers[tensor.buffer].data)
           for tensor in model.subgraphs[0].tensors]
size = {kind.FLOAT32: 0, kind.INT8: 0, kind.INT32: 0}
for tensor, data in tensors:
    size[tensor.type] += 0 if data is None else len(data)
scales = sum(len(tensor.quantization.scale) for tensor, data in tensors
             if tensor.type == kind.INT8)
parts = {"8-bit weights": size[kind.INT8], "scales, zero points": 12 * scales,
         "biases, batch normalisation": size[kind.FLOAT32]}
parts["description of the graph"] = len(content) - sum(parts.values())
assert parts["8-bit weights"] == sum(x.weight.numel() for x in layers.values())
assert all(x.type == kind.FLOAT32 for x, data in tensors if data is None)
pd.Series(parts | {"all": len(content)}).div(1000).round(1).rename("kB")

# %% [markdown]
# The largest share by far are the weights. The challenge counts parameters, not files: 51,986 of one
# byte are 52 kB. The biases and normalisations that stay in floating point take four bytes each
# ([the chapter on complexity](complexity.ipynb) counts them all).
#
# ## How few bits would do?
#
# Eight bits are the custom, not a law. We round the weights to fewer bits with the quantiser from above
# and leave the activations alone, for two students. With 2 bits the integers are −1, 0 and 1. (One bit leaves no zero
# and wants another quantiser {cite}`rastegari2016xnor`.) No training follows. Then we do the reverse: weights stay as
# they are, and the input of every layer is rounded, each clip in its own range. Where do the curves break, and which gives
# in first?

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


# %%
def with_bits(net, bits, rounding="nearest"):
    """A copy of the network with weights of so many bits."""
    rounded = copy.deepcopy(net)
    for layer in map(rounded.get_submodule, layers):
        layer.weight.data = quantization.quantize_weight(
            layer.weight.data, bits, rounding=rounding)
    return rounded


def with_sums(net, bits):
    return with_bits(net, bits, "sum_kept")


ways = {"weights": with_bits, "sums kept": with_sums, "inputs": with_inputs}
bits, colours = [2, 3, 4, 5, 6, 8], [plotting.INK, plotting.ACCENT]
students = {"RRS": net, "labels": experiment.student().net()}

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-bits", "caption": "Live run: macro accuracy on the test clips against the bits of each weight, rounded to the nearest (left) and with sums kept (middle), and against those of each layer's input (right), for the student taught by RRS (dark) and the one trained on labels alone (bright), without any training after the rounding. Dashed: nothing rounded; dotted: chance."}, "image": {"alt": "Three panels with two curves of accuracy over two to eight bits, each with a dashed horizontal line for the unrounded network, and a dotted line for chance."}}
curves = pd.DataFrame({
    (what, name): [accuracy(predict(each, test.x)) for each in
                   (*(rounding(whole, b) for b in bits), whole)]
    for what, rounding in ways.items()
    for name, whole in students.items()}, index=[*bits, 32])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True)
for ax, what in zip(axes, ways, strict=True):
    curves[what].loc[bits].plot(ax=ax, style="o-", color=colours, legend=False)
    ax.hlines(curves[what].loc[32], 2, 8, color=colours, ls="--", lw=1)
    ax.axhline(10, color=plotting.MUTED, ls=":")
    ax.set(title=what, xlabel="bits", ylabel="accuracy (%)", xticks=bits)
axes[2].legend(loc="lower right")
plotting.show(figure)
for (what, name), broken in (curves.loc[bits] < curves.loc[32] - 2).items():
    glue(f"{what.split()[-1]}_{name}", int(broken[::-1].idxmax()))

# %% [markdown]
# Say that a curve breaks where it first falls more than two points below its dashed line, coming from the right. Rounded
# to the nearest, the weights of the student taught by RRS break at {glue:text}`weights_RRS` bits and those of the one trained
# on labels at {glue:text}`weights_labels`; with sums kept, as `asclib` rounds, at {glue:text}`kept_RRS` and
# {glue:text}`kept_labels`. At 3 bits they have then lost {glue:text}`RRS_3:.1f` and {glue:text}`labels_3:.1f` points of the two
# that make a break. The inputs break at {glue:text}`inputs_RRS` and {glue:text}`inputs_labels` bits. On one test set, with two
# students, a bit more or less does not say which gives in first.
#
# (The dashed lines are no verdict on RRS: {glue:text}`floating_accuracy:.1f` % for it and {glue:text}`labels_accuracy:.1f` % for
# labels alone come from one short training each. Trained longer on a larger corpus, RRS reaches
# {glue:text}`rrs_float:.1f` %; [its own chapter](../distillation/rrs.ipynb) compares the two.)
#
# What does each of the two repairs from above add where there is something to repair? Now all weights have 3, 4 or 5 bits,
# and the table has accuracy, and the share of clips that keep their scene.

# %% tags=["nbval-ignore-output"]
rows, after = {}, ("nearest", "sum_kept", "sum_kept")
for name, whole in students.items():
    glue(f"{name}_3", float(np.subtract(*curves["sums kept", name][[32, 3]])))
    for few in (3, 4, 5):
        fixed = quantization.correct_biases(whole, seen[:200], few)
        for k, start in enumerate((whole, whole, fixed)):
            answers = predict(with_bits(start, few, after[k]), test.x)
            same = quantization.agreement(answers, predict(whole, test.x))
            rows[name, few, k] = accuracy(answers), 100 * same
table = pd.DataFrame(rows, index=["accuracy (%)", "same (%)"]).T.unstack()
for what, k in table.columns[[1, 2, 4, 5]]:
    glue(f"{what[:4]}_{k}", int((table[what, k] > table[what, k - 1]).sum()))
assert table.notna().all(axis=None)
names = {0: "nearest", 1: "sums kept", 2: "corrected"}
table.rename(columns=names, level=1).round(1)

# %% [markdown]
# Kept sums keep more scenes than the nearest in {glue:text}`same_1` of the six rows, and corrected biases more than kept sums
# in {glue:text}`same_2`. In accuracy kept sums gain over the nearest in {glue:text}`accu_1` of six, and correction gains
# further in {glue:text}`accu_2`. What the repairs bring back is the student's old answer, right or wrong: where a row keeps
# more scenes and is no more accurate, the scenes given back had been wrong at least as often as right.
#
# With 8 bits the network hardly notices. Below the break the rounding error is no longer small beside the
# numbers themselves. [The next chapter](qat.ipynb) trains *with* the rounding in the loop.
#
# ## What dynamic range is, and what it is not
#
# Two schemes of post-training quantisation matter most (two milder ones follow); the first column has none, for comparison.
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
# clips, and answers almost unchanged. That its activations are float is what the last assertion said, where the bytes were counted.

# %% [markdown]
# ## Fixed ranges
#
# Full integer needs the range of every activation *before* the first clip is heard. It is taken from
# **calibration clips**: from the training split only, as many from each recording device as there are, since a
# recorder colours what a layer sees. How is a range made of a hundred clips? From the extremes of all
# values; from a percentile, which clips the rarest; or from each clip's extremes, averaged from clip to
# clip. A narrow range has fine steps and clips more. The first table takes extremes, the second compares the three.
#
# One kind of clip spoils extremes. A recording may hold frames of digital silence, zeros where every microphone would
# have some noise. Their logarithm lies far below all else, and one such frame stretches the range of the input and
# coarsens its steps for all clips. `range_calibration`, which the tables below use, replaces these frames by the softest that
# sounds. The study further down takes its clips as they are, so its counts hold for raw clips.
#
# What the machine then does is a sum of products of integers. With $x = s_x (q_x - z_x)$ and $w = s_w q_w$,
#
# $$ \sum w\,x + b = s_w s_x \Big( \sum q_w q_x - z_x \sum q_w + q_b \Big), \qquad q_b = \mathrm{round}\big(b / (s_w s_x)\big), $$
#
# so the bias is an integer too, on a grid of $s_w s_x$. All of the bracket is added up in 32 bits. The term with the zero point
# does not depend on the clip and is added to the bias once. To come back to 8 bits the sum is multiplied by
# $s_w s_x / s_y$, with the scale $s_y$ of the output, and $z_y$ is added; how a chip without floats does that, has
# [a chapter of its own](chip.ipynb). A range therefore costs nothing while the network runs, but it can be wrong.
#
# Beside dynamic range and full integer two milder forms are exported: **weight only**, whose int8 weights are read back to
# float before they are used, and **float16**, with weights of two bytes.

# %% tags=["nbval-ignore-output"]
hundreds = range_calibration(experiment.data, 200).clips.chunk(2)
extremes, rows = calibration.Calibration(hundreds[0], "min_max"), {}
for kind in quantization.KINDS:
    ranges = extremes if kind == "full_int8" else None
    program = litert.LiteRT(quantization.exported(net, kind, ranges))
    answers = torch.from_numpy(program(test.x))
    imitation = predict(quantization.simulate(net, kind, ranges), test.x)
    rows[kind] = [program.path.stat().st_size / 1000, accuracy(answers)] + [
        100 * quantization.agreement(answers, other)
        for other in (floating, imitation)]
columns = ["kB", "accuracy (%)", "as float (%)", "as simulated (%)"]
assert all(row[3] >= 95 for row in rows.values())
glue("full_accuracy", float(rows["full_int8"][1]))
glue("labels_accuracy", float(curves["weights", "labels"][32]))
pd.DataFrame(rows, index=columns).T.round(1)

# %% [markdown]
# Every file was asked about every test clip. `full_int8` rounds most, and has {glue:text}`full_accuracy:.1f` % where
# floating point has {glue:text}`floating_accuracy:.1f` %. One file on one test set cannot say whether that is a loss; the study
# below asks with three students and intervals. The last column says whether a simulation may stand for its
# file, so the three ways to a range are compared in simulation: for both students, with two hundreds of clips that share
# none, and the extremes once more with biases corrected beforehand. (Where there are fewer than two hundred clips to fit on, these are two halves of them.)

# %% tags=["nbval-ignore-output"]
rows, ways = {}, {"corrected": "min_max"}
for name, whole in students.items():
    fixed = quantization.correct_biases(whole, seen)
    for number, hundred in enumerate(hundreds):
        for method in (*calibration.RANGES, *ways):
            coarse = quantization.simulate(
                fixed if method in ways else whole, "full_int8",
                calibration.Calibration(hundred, ways.get(method, method)))
            rows[method, name, number] = 100 * quantization.agreement(
                predict(coarse, test.x), predict(whole, test.x))
same = pd.Series(rows).unstack(0)
assert (same > 80).all(axis=None)
glue("average_worst", int((same.idxmin(axis=1) == "moving_average").sum()))
glue("corrected_better", int((same.corrected > same.min_max).sum()))
same.agg(["min", "max"]).T.round(1)

# %% [markdown]
# Each row has the lowest and the highest of four shares of clips that keep their scene. The moving average is the default of
# the quantiser used here, and the worst in {glue:text}`average_worst` of four cases: it clips whatever a single loud clip
# reaches. Where the other rows overlap, four cases do not tell them apart. With biases corrected the extremes keep more
# scenes than without in {glue:text}`corrected_better` of four. So how a range was made belongs with every result.
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
# Files are made on a PC, where a clip costs nothing but its inference. So why not take all? Because typical clips may be
# few, or under a licence that keeps them where they are. We drew 1 to 100 training clips, even over recorders, three times,
# and gave each draw to three students trained on labels alone. The simulation was asked about all test clips: the
# {glue:text}`embedded_clips` of the embedded corpus, and {glue:text}`real_clips` clips made of **ESC-10 sounds**
# {cite}`piczak2015esc`. These have a second each and come from {glue:text}`real_recordings` recordings of ten kinds, from rain to a clock's
# tick, which borrow the names of the scenes and the layout of TAU. One clip in nine is as it was recorded. The others are the same
# seconds once more, through the impulse responses of microphones that play eight devices. The students were trained on
# each corpus's own training split; no recording is on both sides.
#
# How many are enough? As many as it takes until, there and with all larger numbers, the mean share of clips that keep their scene
# is within half a point of its best, and the interval of the log loss does not lie above zero. Other definitions would give other
# numbers. This one asks whether the answers settle. Whether they settle as right as before, accuracy says beside it.

# %%
def signed(x, digits=2):
    """A number with its sign, as text; none is minus zero."""
    return f"{round(x, digits) + 0:+.{digits}f}".replace("-", "−")


def spelled(values, digits=2):
    """A difference and the ends of its interval, as text."""
    one, low, high = (signed(value, digits) for value in values)
    return f"{one} ({low} to {high})"


asked = {"embedded": store.results("quantization"),
         "real": store.results("quantization_real")}
named = dict(zip(asked, ("embedded", "ESC-10 sounds"), strict=True))
curves = {corpus: pd.DataFrame(found["calibration"]).set_index("number")
          for corpus, found in asked.items()}
ends, losses = ([measure + end for end in ("", "_low", "_high")]
                for measure in ("accuracy", "log_loss"))

# %%
for corpus, curve in curves.items():
    agrees = curve["as_float"] >= curve["as_float"].max() - 0.005
    quiet = curve["log_loss_low"] <= 0
    for key, good in (("agrees", agrees), ("quiet", quiet),
                      ("enough", agrees & quiet)):
        glue(f"{corpus}_{key}", int(good[::-1].cummin()[::-1].idxmax()))
    for number, row in curve.loc[[1, 25, 50, 100]].iterrows():
        # older results hold every draw of every seed as accuracy_per_seed
        each = row.get("accuracy_per_draw", row["accuracy_per_seed"])
        each = 100 * np.reshape(each, (-1, asked[corpus]["draws"]))
        glue(f"{corpus}_{number}", spelled(100 * row[ends]))
        glue(f"{corpus}_{number}_draws", ", ".join(map(signed, each.mean(0))))
        students = each.mean(1)  # their draws are shared: no further tries
        glue(f"{corpus}_{number}_students",
             spelled([students.mean(), *over_seeds(list(students))]))

# %% mystnb={"figure": {"name": "fig-calibration", "caption": "Study, quick profile: a full int8 student with min-max ranges against the number of calibration clips, on the embedded corpus (dark) and on ESC-10 sounds (bright). Top: test clips named as in floating point, mean and extremes of three students with three draws each. Below: macro accuracy and log loss minus those in floating point, with 95 % intervals over test recordings, which take the three draws and three students as given."}, "image": {"alt": "Three panels of dots with vertical bars over the number of calibration clips on a logarithmic axis, for two corpora; the bars grow shorter to the right."}}
panels = (("same scene (%)", 100, ["as_float", "worst", "best"]),
          ("accuracy (points)", 100, ends), ("log loss (nats)", 1, losses))
figure, axes = plt.subplots(3, 1, figsize=(6, 7), sharex=True)
for ax, (label, unit, three) in zip(axes, panels, strict=True):
    for k, (corpus, curve) in enumerate(curves.items()):
        mean, low, high = unit * curve[three].to_numpy().T
        ax.errorbar(curve.index * (0.96 + 0.08 * k), mean,
                    [mean - low, high - mean], fmt="o-", capsize=3,
                    color=colours[k], label=named[corpus])
    ax.axhline(100 if ax is axes[0] else 0, color=plotting.MUTED, lw=1)
    ax.set(ylabel=label, xscale="log")
ax.set_xticks(curve.index, curve.index)
ax.set_xlabel("calibration clips")
axes[0].legend(loc="lower right")
plotting.show(figure)

# %% [markdown]
# By agreement {glue:text}`embedded_agrees` clips are enough on the embedded corpus and {glue:text}`real_agrees` on ESC-10
# sounds. The log loss still grows with fewer than {glue:text}`real_quiet` on the ESC-10 sounds, while on the embedded corpus its
# interval holds zero throughout, because it is wide. Both conditions hold from {glue:text}`embedded_enough` and
# {glue:text}`real_enough` clips on: there the answers settle.
#
# And with one clip? It depends on which. On ESC-10 sounds the three draws change accuracy by
# {glue:text}`real_1_draws` points, each the mean of three students: one unlucky clip in three cost five points, the
# others half a point and nothing. The mean, {glue:text}`real_1`, has an interval that takes these three draws as given, so it says nothing of a fourth.
# The worst of the nine pairs of a student and a clip keeps the scene of {glue:text}`real_worst:.0f` % of the clips, on the embedded
# corpus of {glue:text}`embedded_worst:.0f` %.
#
# What do settled answers cost in accuracy? On ESC-10 sounds nothing that can be measured: {glue:text}`real_25` with 25 clips and
# {glue:text}`real_100` with a hundred. On the embedded corpus {glue:text}`embedded_25` with 25, {glue:text}`embedded_50` with 50 and
# {glue:text}`embedded_100` with a hundred: a point is lost at 25 and 50, and only the last interval holds zero. These
# intervals ask what other recordings would say of the same students and draws. Would other *students* say so? They share
# the draws, so each student's are averaged first, and a t interval is taken over three students:
# {glue:text}`embedded_25_students`, {glue:text}`embedded_50_students` and {glue:text}`embedded_100_students`. All three lie below
# zero. So agreement levels off from 25 clips, and half a point to a point of accuracy is still lost.
#
# None of these intervals covers recordings, students and draws at once. The committed results are older than the study's
# program, which now computes one that does; after a rerun the interval over recordings will be that one.
#
# ## What the files say
#
# So far the simulation. Here are the files of the same students, each asked in LiteRT about every test clip of both
# corpora: the change that a file makes, with its interval over test recordings, three students pooled, and the share of clips that keep their scene.

# %%
rows = {}
for corpus, found in asked.items():
    glue(f"{corpus}_worst", 100 * curves[corpus].loc[1, "worst"])
    glue(f"{corpus}_float", 100 * float(np.mean(found["float_accuracy"])))
    glue(f"{corpus}_clips", found["clips"]["test"])
    glue(f"{corpus}_recordings", found["differences"][0]["recordings"])
    same = pd.DataFrame(found["files"]).groupby("file")["as_float"].mean()
    for row in map(pd.Series, found["differences"]):
        said = spelled(100 * row[ends]), spelled(row[losses], 4)
        share = 100 * same[row["file"]]
        glue(f"{corpus}_{row['file'][:4]}", said[0])
        glue(f"{corpus}_{row['file'][:4]}_same", share)
        rows[named[corpus], row["file"]] = *said, f"{share:.1f}"
columns = ["accuracy (points)", "log loss (nats)", "same scene (%)"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# In floating point the students reach {glue:text}`embedded_float:.1f` % on the embedded test clips and
# {glue:text}`real_float:.1f` % on the ESC-10 sounds: trained for twelve epochs, they are far from what such a network can
# learn. All intervals in the table hold zero. Corrected biases gain no scenes that could be told from chance:
# {glue:text}`embedded_corr_same:.1f` and {glue:text}`real_corr_same:.1f` % keep theirs with them, {glue:text}`embedded_dyna_same:.1f` and
# {glue:text}`real_dyna_same:.1f` % without. What still changes are near ties, and which way a tie falls is chance.
#
# The full int8 file changes accuracy by {glue:text}`embedded_full` on the embedded corpus, and the simulation above, with a hundred clips as
# well, by {glue:text}`embedded_100`. Why not the same? The file was calibrated with the first draw alone. The simulation's three
# draws, one by one, gave {glue:text}`embedded_100_draws`: the first is the file's.
#
# ## What the study says
#
# The study asks the same question of its students, all but one control, on a larger embedded corpus, with
# {glue:text}`larger_fit` clips to fit on and {glue:text}`larger_test` to test: what does the
# 8-bit simulation with dynamic range lose against the network it was made from?

# %% mystnb={"figure": {"name": "fig-int8-study", "caption": "Study, embedded corpus: each 8-bit student minus its 32-bit original. Left: macro accuracy, with 95 % intervals over test recordings, all seeds pooled (dark, upper), and over seeds (bright, lower). Right: log loss, over test recordings."}, "image": {"alt": "Left a pair of dots with horizontal interval bars for each student, right a single one, around vertical lines at zero."}}
study = store.results("scoreboard")
table = pd.DataFrame(study["differences"])
int8 = table[table["system"] == table["base"] + "_int8"]
int8 = int8.drop_duplicates("base").set_index("base")
names = int8.index.str.replace("rrs", "RRS").str.replace("_", " ")
names = names.str.replace("published", "double softmax")
int8 = int8[[*comparison.POINTS, *losses]].astype(float)
int8[list(comparison.POINTS)] *= 100
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
plotting.differences(left, names, int8, "8-bit minus 32-bit (points)")
left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plotting.intervals(right, names, *int8[losses].to_numpy().T)
right.axvline(0, color=plotting.MUTED)
right.set_xlabel("log loss, 8-bit minus 32-bit (nats)")
plotting.show(figure)

# %%
for key, columns, digits in (
        ("points", ends, 2), ("loss", losses, 4),
        ("seeds", ["accuracy", "seeds_low", "seeds_high"], 2)):
    glue(f"rrs_{key}", spelled(int8.loc["rrs", columns], digits))
for part, number in study["clips"].items():
    glue(f"larger_{part}", number)
glue("largest", int8["accuracy"].abs().max())
glue("louder", int((int8["log_loss_low"] > 0).sum()))
glue("quieter", int((int8["log_loss_high"] < 0).sum()))
exact = [100 * study["pooled"][name][0]["accuracy"] for name in int8.index]
for key, value in (("least", min(exact)), ("most", max(exact)),
                   ("rrs", dict(zip(int8.index, exact, strict=True))["rrs"])):
    glue(f"{key}_float", value)
glue("students", len(int8))
glue("largest_loss", int8["log_loss"].abs().max())

# %% [markdown]
# In floating point these students reach {glue:text}`least_float:.0f` to {glue:text}`most_float:.0f` %, RRS {glue:text}`rrs_float:.1f` %: they
# have learnt far more than those above. Eight bits change the accuracy of RRS by {glue:text}`rrs_points` points, with its interval
# over recordings, or {glue:text}`rrs_seeds` over seeds. Over all students the largest change, up or down, is {glue:text}`largest:.2f` points.
#
# Log loss sees more: it changes by {glue:text}`rrs_loss` nats for RRS. Of {glue:text}`students` intervals over recordings
# {glue:text}`louder` lie above zero and {glue:text}`quieter` below, that of *RRS double softmax*. Eight bits do change the probabilities
# of these students, then, but not always for the worse, and by {glue:text}`largest_loss:.4f` nats on average at the most.
# (*Response twice* and *response long* are controls that train as long as RRS;
# *double softmax* is the loss of the published programs, which [the chapter on slips](../challenges/slips.ipynb) takes apart.)
#
# Is it always so little? No. For two systems called DSMN, of 56 thousand parameters each, submitted to DCASE 2023
# {cite}`wang2023dsmn`, both numbers are public: 59.2 % in floating point and 56.4 % in int8, and 53.4 % and 50.8 %. That is 2.8
# and 2.6 points lost on TAU, more than the interval of any file in the table above reaches. Network, training, corpus
# and quantiser all differ from ours, and we do not know which of them matters.
#
# The published figure for the system that this book rebuilds is that of the quantised system alone: 51.9 % on the 2023
# evaluation set {cite}`ipleiria2023dcase`. What quantisation cost it cannot be told from there.
#
# ## Takeaways
# * Eight bits with dynamic range were enough for students of {glue:text}`least_float:.0f` to {glue:text}`most_float:.0f` %: RRS changes
#   by {glue:text}`rrs_points` points, in simulation. The files of half-trained ones change by {glue:text}`embedded_dyna` on the embedded
#   corpus and {glue:text}`real_dyna` on ESC-10 sounds. Others lost 2.8 points {cite}`wang2023dsmn`: measure your own.
#   These files do not run on a microcontroller under TFLM.
# * A quantised number is an integer, a scale and a zero point; the error is half a step at the most.
# * Weights: symmetric, one scale per output channel. Activations: asymmetric, one range per clip in dynamic range, one
#   for all clips in full integer.
# * Without training, weights rounded to the nearest broke at {glue:text}`weights_RRS` bits for one student and
#   {glue:text}`weights_labels` for the other, with sums kept at {glue:text}`kept_RRS` and {glue:text}`kept_labels`; inputs at
#   {glue:text}`inputs_RRS` and {glue:text}`inputs_labels`. At 3 to 5 bits kept sums raised accuracy in {glue:text}`accu_1` of six
#   cases. Corrected biases kept more scenes in {glue:text}`same_2` of six, and raised accuracy further in {glue:text}`accu_2`.
# * The full integer file changes {glue:text}`embedded_full` points on the embedded corpus and {glue:text}`real_full` on ESC-10
#   sounds: no loss is shown. Simulated with three hundreds of clips it is {glue:text}`embedded_100` on the embedded corpus by
#   recordings, {glue:text}`embedded_100_students` by students: a loss of about half a point is likely.
# * Agreement and log loss level off from {glue:text}`embedded_enough` calibration clips on the embedded corpus and
#   {glue:text}`real_enough` on ESC-10 sounds. Accuracy on the embedded corpus is a point lower at 25 and 50 nevertheless:
#   {glue:text}`embedded_25` and {glue:text}`embedded_50`. With a single clip one draw in three cost five points, the others half
#   a point and nothing ({glue:text}`real_1_draws`, ESC-10 sounds).
# * How a range is made matters as well: the quantiser's default, a moving average, was the worst in
#   {glue:text}`average_worst` of four cases.
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
# the right by the binary logarithm of this ratio: for the median clip and the layer of {numref}`fig-ranges` by
# {glue:text}`step_bits:.1f` bits. To try it, round with the largest `high` and the lowest `low` that the training clips reach, in place of those
# of the clip.
# :::
#
# **4.** Choose calibration clips badly: the hundred softest, or a hundred of one recorder or scene. What does the simulation of
# the full integer student lose, and why is it little or much?
#
# :::{dropdown} Solution
# With `table = experiment.table("fit")` and `x = experiment.clips("fit").x`, the softest are
# `x.mean((1, 2, 3)).argsort()[:100]` and those of a scene `np.flatnonzero(table["scene"] == "park")[:100]`. Give
# `Calibration(x[rows])` to `simulate(net, "full_int8", …)`, and ask `agreement` with the answers in floating point. What a narrow range
# does not hold is clipped. To tell this error from that of coarse steps, compare `ranges` of the simulated network with
# those of an even draw: how many of the test clips' numbers lie outside of the first?
# :::
#
# ## What is next
# Here the student was rounded after its training. [The next chapter](qat.ipynb) lets it know before.
