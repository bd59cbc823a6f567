# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Complexity
#
# The limits of the challenge are three words: parameters, bytes, MACs. Each
# of them hides a convention. In this chapter you count all three by hand,
# for every layer of the student, and find out why two honest counters can
# give two numbers.
#
# ## What you will learn
# * how many parameters and multiply-accumulates (MACs) a convolution and a
#   dense layer cost, from two equations;
# * how bytes and the peak of the activation memory follow;
# * which verdict each year's limits give on the student and the teacher;
# * why counters disagree, and how to make their figures meet;
# * which choices move the MACs, and which do not;
# * what an energy figure has to say about itself.
#
# **Prerequisites**: [the student](../networks/student.ipynb) and
# [the teacher](../networks/teacher.ipynb) as architectures; nothing is trained here.
# **Data in**: committed results, for one table and one figure. **Data out**:
# nothing. What is not quoted from others follows from shapes alone, whatever
# `profile`, `data_root` and `seed` are.
# **In the library**: `asclib.complexity`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asclib import store
from asclib.challenge import LIMITS, SCENES
from asclib.complexity import complexity
from asclib.complexity.__main__ import main
from asclib.networks import TMSIC, OneVsAllTeacher
from asclib.plotting import ACCENT, INK, MUTED, show, use_style

use_style()
student = TMSIC().eval()

# %% [markdown]
# ## Two equations
#
# A convolution slides $C_\text{out}$ kernels of $k_f \times k_t$ (mel by
# time) over $C_\text{in}$ input maps. Each kernel has a weight for every
# input map and position, and one bias:
#
# $$ P_\text{conv} = C_\text{out} \,(C_\text{in}\, k_f\, k_t + 1). $$
#
# One number of the output is a sum of $C_\text{in} k_f k_t$ products. There
# are $C_\text{out} \times F \times T$ such numbers, so
#
# $$ M_\text{conv} = C_\text{out}\, F\, T \cdot C_\text{in}\, k_f\, k_t . $$
#
# The *same* weights are used at every position. That is why a convolution
# has few parameters and many MACs. A dense layer uses each weight once:
#
# $$ P_\text{dense} = n_\text{out}\,(n_\text{in} + 1), \qquad
#    M_\text{dense} = n_\text{out}\, n_\text{in} . $$
#
# In code:

# %%
def conv(c_in, c_out, kernel, size):
    taps = c_in * kernel[0] * kernel[1]
    return c_out * (taps + 1), c_out * size[0] * size[1] * taps


def dense(n_in, n_out):
    return n_out * (n_in + 1), n_out * n_in


print("conv1 (parameters, MACs):", conv(1, 20, (7, 5), (140, 8)))

# %% [markdown]
# ## The student, layer by layer
#
# All convolutions of TMSIC keep the size of their input ("same" padding).
# Two poolings shrink it: $140 \times 8 \to 140 \times 4 \to 70 \times 2$.
# That is all we need.

# %%
by_hand = pd.DataFrame.from_dict(
    {
        "conv1": conv(1, 20, (7, 5), (140, 8)),
        "conv2": conv(20, 28, (7, 3), (140, 8)),
        "conv3": conv(28, 28, (3, 7), (140, 4)),
        "conv4": conv(28, 16, (7, 5), (70, 2)),
        "dense": dense(16, 256),
        "head": dense(256, 10),
    },
    orient="index", columns=["parameters", "MACs"],
)
share = 100 * by_hand / by_hand.sum()
shown = by_hand.map("{:,}".format)
shown.assign(**{"share of MACs, %": share["MACs"].round(1)})

# %% [markdown]
# The four batch normalisations are missing from the table. Each has four
# numbers per channel: a scale and a shift, which are trained, and a mean and
# a variance, which are counted along. We count no MACs for them; not every
# counter agrees, as we shall see.

# %%
channels = np.array([20, 28, 28, 16])
norms = 4 * channels.sum()
parameters = by_hand["parameters"].sum() + norms
macs = by_hand["MACs"].sum()
print(f"parameters {parameters:,}, of which {norms} in normalisations")
print(f"MACs       {macs:,}")

# %% [markdown]
# ## The same from the library
#
# `asclib.complexity` watches one forward pass and applies the same equations
# to every operation it sees. It needs no list of layer types, so it counts
# networks you bring as well.

# %%
counted = complexity(student, (1, 140, 8))
assert (counted.parameters, counted.macs) == (parameters, macs)
columns = ["name", "kind", "output_shape", "parameters", "macs"]
layers = counted.layers
weighted = layers.loc[layers["parameters"] > 0, columns].set_index("name")
weighted.assign(macs=weighted["macs"].map("{:,}".format))

# %% [markdown]
# Where is the cost? The figure asks it of parameters and of MACs.

# %% mystnb={"figure": {"name": "fig-where", "caption": "Share of each layer in the parameters and in the MACs of the student."}, "image": {"alt": "Paired horizontal bars for six layers; conv2 and conv3 dominate the MACs, conv2, conv3 and conv4 the parameters."}}
fig, ax = plt.subplots(figsize=(7, 3))
rows = np.arange(len(share))
ax.barh(rows - 0.2, share["parameters"], 0.38, color=MUTED, label="parameters")
ax.barh(rows + 0.2, share["MACs"], 0.38, color=INK, label="MACs")
ax.set_yticks(rows, share.index)
ax.invert_yaxis()
ax.set_xlabel("share (%)")
ax.legend()
show(fig)

# %% [markdown]
# The second convolution holds under a quarter of the parameters and does
# half of the work, because it still runs at full size. The fourth has more
# parameters and costs a sixth of that: pooling has left it an eighth of the
# positions. The dense layers hold 13 % of the parameters and do nearly
# nothing.
#
# ## Bytes
#
# Bytes are parameters times the width of a number. The limit of 2023 and
# after is 128 kB, which we read as 128,000 bytes.

# %%
limit = LIMITS[2024].bytes
for bits in (32, 16, 8):
    size = counted.bytes(bits)
    verdict = "within" if size <= limit else "over"
    print(f"{bits:2} bits: {size:7,} bytes,", end=" ")
    print(f"{size / limit:6.1%} of the limit, {verdict}")

# %% [markdown]
# In float32 the student does not fit; in 16 bits it does.
# [Quantisation](quantization.ipynb) brings it to eight.
#
# ## Activation memory
#
# RAM is needed for what layers hand to each other. Suppose the layers run
# one after another, each result is kept until its last reader has run, and
# an element-wise layer (ReLU, normalisation) writes over its input. While a
# convolution runs, its input and its output must both exist:
#
# $$ A_\text{conv} = C_\text{in} F T + C_\text{out} F T . $$
#
# For the second convolution, at one byte a value:

# %%
conv2 = 20 * 140 * 8 + 28 * 140 * 8
print(f"input + output of conv2: {conv2:,} bytes")
print(f"peak of the whole pass:  {counted.peak_activation:,} bytes")
assert counted.peak_activation == conv2

# %% mystnb={"figure": {"name": "fig-activations", "caption": "Activation memory held while each step of the student runs, one byte a value; the peak is coloured."}, "image": {"alt": "Bars for 21 steps from conv1 to head, highest during conv2 and the first pooling, then falling to almost nothing."}}
steps = layers["name"].str.replace("max_pool2d", "pool")
height = layers["activation_bytes"] / 1e3
peak = layers["activation_bytes"] == counted.peak_activation
fig, ax = plt.subplots(figsize=(8, 3))
ax.bar(np.arange(len(steps)), height, color=np.where(peak, ACCENT, INK))
ax.set_xticks(np.arange(len(steps)), steps, rotation=70, fontsize=8)
ax.set(ylabel="kB held")
show(fig)

# %% [markdown]
# The peak stands at one layer, near the input. The fourth convolution could
# have ten times as many filters without asking for more RAM. No year
# limits this memory; the chip does. Cutting the picture into strips, or
# fusing convolution and pooling, would lower the peak: a good engine does
# such things, and an honest count says which schedule it assumes.
# [The chapter on the chip](chip.ipynb) has an engine of its own, with other figures for this memory and the reasons.
#
# ## The verdict, and the teacher
#
# The teacher is ten bodies of the student and one dense layer over their
# 2,560 activations. Is it allowed?

# %%
teacher = OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES]).eval()
big = complexity(teacher)
for name, count in (("student", counted), ("teacher", big)):
    print(f"{name}: {count.parameters:,} parameters, {count.macs:,} MACs,")
    print(f"         {count.peak_activation:,} bytes of activations")
    for limits in LIMITS.values():
        print("  ", count.within(limits))

# %% [markdown]
# The teacher needs ten times the work, and hardly more RAM than the student:
# its members run one after another. It breaks every limit on size and MACs.
# That is the whole reason for
# [distillation](../distillation/response.ipynb): a system may be *taught* by anything,
# and is counted as what it *runs*.
#
# ## Why counters disagree
#
# Counters give this student and its teacher different figures:
#
# | counter | parameters or bytes | MACs |
# |---|---|---|
# | NeSsi on the int8 .tflite file {cite}`ancilotto2022nessi` | 52,852 bytes | 25,475,456 |
# | NeSsi on the teacher's int8 file {cite}`ancilotto2022nessi` | 528,160 bytes | 254,754,560 |
# | the convention of torchinfo {cite}`yep2020torchinfo` | | 25,449,026 |
#
# All of them are right about something. Start with parameters.

# %%
trainable = sum(p.numel() for p in student.parameters())
print(f"torch, parameters():        {trainable:,}")
print(f"+ running mean and variance {2 * channels.sum():>6}")
print(f"= as Keras counts           {trainable + 2 * channels.sum():,}")

# %% [markdown]
# The running statistics are not trained, but the answer depends on them and
# the file holds them. Keras counts them, and so do we. Now MACs. NeSsi's analyser adds the poolings, the final mean, and the
# three normalisations that in general cannot be folded into a convolution,
# because a ReLU stands between; in the shipped student
# [they can be](../networks/student.ipynb). torchinfo instead counts each bias once per output,
# and each trained number of a normalisation once.

# %%
spots = {"norm2": 28 * 140 * 8, "norm3": 28 * 140 * 4, "norm4": 16 * 70 * 2}
pools = {"pool2": 28 * 140 * 8, "pool3": 28 * 140 * 4, "mean": 16 * 70 * 2}
extra = sum(spots.values()) + sum(pools.values())
print(f"ours {macs:,} + pools, mean and norms {extra:,} = {macs + extra:,}")
print(f"teacher: {big.macs:,} + {10 * extra:,} = {big.macs + 10 * extra:,}")

conv_biases = 20 * 1120 + 28 * 1120 + 28 * 560 + 16 * 140
dense_biases = 256 + 10
norm_weights = 2 * channels.sum()
total = macs + conv_biases + dense_biases + norm_weights
print(f"torchinfo: {macs:,} + {total - macs:,} = {total:,}")

# %% [markdown]
# Rebuilt by its convention, this is the counter's figure to the last digit. The differences are below one per cent, and
# harmless until a system sits at 29.9 million. Some mistakes are not harmless. A counter that is fed a batch
# counts the batch. torch's own counter gives operations, two for each MAC:

# %%
for batch in (1, 8):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        student(torch.zeros(batch, 1, 140, 8))
    count = counter.get_total_flops()
    print(f"batch of {batch}: {count:,} operations / 2 = {count // 2:,}")

# %% [markdown]
# And zeros count. Here half of the kernels of a new TMSIC are set to zero (the count includes biases and
# shifts, which begin at zero). The
# file may compress better, but the rules of 2022 say "zeros included", and
# the multiplier on the chip does not notice. The bytes of a file follow a
# convention as well: int8 engines store a weight in one byte, but a bias in
# four (the last line).

# %%
sparse = TMSIC()
with torch.no_grad():
    for layer in sparse.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight[::2] = 0  # every second kernel
zeros = sum(int((p == 0).sum()) for p in sparse.parameters())
again = complexity(sparse)
print(f"{zeros:,} zeros; {again.parameters:,} parameters, {again.macs:,} MACs")

main_layers = [student.get_submodule(name) for name in by_hand.index]
weights = sum(layer.weight.numel() for layer in main_layers)
biases = sum(layer.bias.numel() for layer in main_layers)
print(f"{weights:,} + 4 x {biases} = {weights + 4 * biases:,} bytes")

# %% [markdown]
# NeSsi says 52,852. The rest must be constants of other operators, so let us read a file. Ours is written
# by another converter than the authors', and counted operator by operator, in both conventions: MACs of
# convolutions and dense layers, and what analysers of files add.

# %%
from asclib.complexity import complexity_of_file
from asclib.compression import Calibration, export
from asclib.store import artefact


def build(folder):
    typical = TMSIC().eval()
    for value in typical.state_dict().values():
        if value.dim() == 1:  # the converter stores equal constants once
            value.uniform_(0.5, 1.5)
    export(typical, folder / "student.tflite", "full_int8",
           calibration=Calibration(torch.zeros(1, 1, 140, 8)))


folder = artefact("typical", {}, build)
file = complexity_of_file(folder / "student.tflite")
print(f"{file.analyser_macs:,} MACs, {file.stored:,} bytes")
columns = ["macs", "analyser_macs", "stored"]
file.layers.groupby("kind", sort=False)[columns].sum()

# %% [markdown]
# The MACs meet NeSsi's figure exactly, the bytes within half a per cent. Operator by operator:
#
# | operator | in the authors' file, as its counts suggest | in ours |
# |---|---|---|
# | first convolution | `CONV_2D` | `DEPTHWISE_CONV_2D`, as many MACs |
# | three normalisations | a product, free to analysers, and a sum, counted; constants of one byte | a depthwise convolution of one tap: the MACs of that sum; taps of one byte, biases of four |
# | poolings, mean | counted by what they read | the same |
# | axes and shapes | a few integers of four bytes | the same, not as many |
#
# The 160 bytes would then be 144 for the products and sums and 16 for axes; we have not opened their file
# for this. Counters disagree for six reasons, and each has a size here:
#
# | reason | parameters or bytes | MACs |
# |---|---|---|
# | running statistics left out | −184 | |
# | biases in four bytes | +1,074 bytes | |
# | poolings, means and sums counted | | +98,560 |
# | biases and normalisations counted | | +72,130 |
# | operations taken for MACs | | × 2 |
# | a batch counted | | × its size |
#
# ## What moves the MACs
#
# The equation of the convolution answers this before any experiment. MACs
# are linear in mel bands and in frames, and quadratic in width: doubling all
# filters doubles inputs *and* outputs.

# %%
from asclib.networks import WIDTHS


def wider(factor):
    return TMSIC(widths=[round(factor * c) for c in WIDTHS])


print(f"factor 1: {complexity(wider(1)).macs:,} MACs")

# %% mystnb={"figure": {"name": "fig-scaling", "caption": "MACs of the student when mel bands, frames or filters change, one at a time; dashed, the limit of 30 million; dots, the student as it is."}, "image": {"alt": "Three panels: straight lines for mel bands and frames, a parabola for filters, with a dashed line at 30 million."}}
bands, frames = [40, 80, 140, 200, 260], [4, 8, 16, 24, 40]
widths = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
count = {
    "mel bands": (140, bands, [(student, (1, b, 8)) for b in bands]),
    "frames": (8, frames, [(student, (1, 140, f)) for f in frames]),
    "width factor": (1, widths, [(wider(w),) for w in widths]),
}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True)
for ax, (name, (now, x, nets)) in zip(axes, count.items(), strict=True):
    ax.plot(x, [complexity(*net).macs / 1e6 for net in nets], color=INK)
    ax.axhline(30, color=ACCENT, ls="--")
    ax.plot(now, macs / 1e6, "o", color=INK)
    ax.set(xlabel=name, ylim=(0, 140))
axes[0].set_ylabel("million MACs")
show(fig)

# %% [markdown]
# A smaller input saves MACs without touching the weights. The search behind TMSIC ended at
# 140 bands by 8 frames, and its runner-up had 260 bands
# {cite}`ipleiria2023dcase`. What would this same body cost on other inputs?

# %%
inputs = {
    "TMSIC, 140 x 8": (1, 140, 8),
    "the runner-up, 260 x 8": (1, 260, 8),
    "DCASE 2022 baseline's input, 40 x 51": (1, 40, 51),
}
for name, shape in inputs.items():
    count = complexity(student, shape)
    fits = "within" if count.within(LIMITS[2022]) else "over the limit"
    print(f"{name:37} {count.macs / 1e6:5.1f} M MACs, {fits}")

# %% [markdown]
# The body was searched *for* the small input; a larger input would have
# needed a thinner body. Input and body spend the same budget.
#
# Another way to save is inside a layer. A *depthwise-separable* convolution
# filters each map on its own and then mixes maps at each position:
#
# $$ M_\text{sep} = F\,T\,C_\text{in}\,(k_f k_t + C_\text{out}). $$

# %%
separable = nn.Sequential(
    nn.Conv2d(20, 20, (7, 3), padding="same", groups=20),
    nn.Conv2d(20, 28, 1),
)
whole = nn.Conv2d(20, 28, (7, 3), padding="same")
for name, block in (("conv2", whole), ("separable", separable)):
    cost = complexity(block, (20, 140, 8))
    print(f"{name:9} {cost.parameters:6,} parameters, {cost.macs:10,} MACs")
assert cost.macs == 140 * 8 * 20 * (7 * 3 + 28)

# %% [markdown]
# Twelve times fewer MACs for the same shapes, though not the same
# function. CP-Mobile, on whose blocks the baseline of 2024 is built, works
# this way {cite}`schmid2024data`.
#
# ## Accuracy, MACs and bytes
#
# The plane on which systems are judged has two costs and one gain. First
# **published** results on the evaluation sets of TAU: 2022
# {cite}`martinmorato2022low`, TMSIC {cite}`ipleiria2023dcase`, 2024
# {cite}`schmid2024data`. None of them is ours.

# %%
published = pd.DataFrame(
    [
        ("DCASE 2022 baseline", 44.2, 29_234_920, 46_512),
        ("first of 2022 (CP-JKU)", 59.6, 28_000_000, 121_000),
        ("TMSIC, response", 51.6, 25_376_896, 51_986),
        ("TMSIC, RRS", 51.9, 25_376_896, 51_986),
        ("DCASE 2024 baseline", 56.84, 29_419_156, 61_148),
    ],
    columns=["system (TAU)", "accuracy", "macs", "parameters"],
)
costs = published[["macs", "parameters"]].map("{:,}".format)
published.assign(**costs).set_index("system (TAU)")

# %% [markdown]
# Then **ours**, on the embedded corpus: the students of
# [the scoreboard](../challenges/scoreboard.ipynb) in eight bits, and its teacher in floating point. The figure below adds
# [the pruned students](pruning.ipynb) of the smaller quick profile, before
# rounding; their table is in that chapter.

# %%
board = store.results("scoreboard")["pooled"]
rows = [("study", name.removesuffix("_int8"), 100 * table[0]["accuracy"],
         counted.macs, counted.parameters)
        for name, table in board.items() if name.endswith("_int8")]
rows += [("study", "teacher", 100 * board["teacher"][0]["accuracy"],
          big.macs, big.parameters)]
cut = pd.DataFrame(store.results("pruning")["runs"])
cut = cut.groupby(["method", "share", "healed"]).mean(numeric_only=True)
rows += [("quick", f"{100 * share:.0f} %, {method}, {healed}",
          100 * row.accuracy, row.macs, row.parameters)
         for (method, share, healed), row in cut.iterrows()]
columns = ["profile", "system", "accuracy", "macs", "parameters"]
ours = pd.DataFrame(rows, columns=columns).set_index("system")
shown = ours.query("profile == 'study'").sort_values("accuracy").round(1)
shown.assign(**shown[["macs", "parameters"]].map("{:,.0f}".format))

# %% mystnb={"figure": {"name": "fig-plane", "caption": "Accuracy against MACs; the area of a circle is the bytes at one byte a parameter. Left, ours on the embedded corpus at two sizes, not to be compared with each other (study: students in eight bits, and the teacher; quick: pruned students). Right, published results on TAU's evaluation sets, which are other data and not results of this book. Dashed, the limit of 30 million MACs."}, "image": {"alt": "Two panels of circles over MACs on a logarithmic axis; on the left a column of students, a large circle for the teacher far right, and pruned networks down to two million MACs; on the right five labelled circles just below the dashed limit."}}
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
for size, colour in (("study", INK), ("quick", ACCENT)):
    group = ours[ours["profile"] == size]
    axes[0].scatter(group["macs"], group["accuracy"], color=colour, alpha=0.5,
                    s=group["parameters"] / 500, label=size, clip_on=False)
axes[0].legend(markerscale=0.4)
axes[1].scatter(published["macs"], published["accuracy"], color=MUTED,
                s=published["parameters"] / 500, alpha=0.6)
for name, accuracy, cost, _ in published.itertuples(index=False):
    up = 0.8 if name.endswith("RRS") else -0.8
    axes[1].text(cost / 1.15, accuracy + up, name, ha="right", fontsize=8)
for ax, name in ((axes[0], "embedded corpus"), (axes[1], "TAU, published")):
    ax.axvline(30e6, color=MUTED, ls="--")
    ax.set(xscale="log", xlabel="MACs", ylabel="accuracy (%)", title=name)
show(fig)

# %% [markdown]
# The published five all spend most of the budget, and fifteen points of accuracy
# lie between them. So MACs do not explain these points; what does, five systems of
# several years, scored on several sets, cannot tell. On the left a column of
# students has one cost, that of TMSIC. Their teachers' techniques differ, and so do
# their seeds: which of the two parts them is asked in
# [the comparison](../distillation/comparison.ipynb).
#
# ## Energy
#
# MACs stand for energy, and do not measure it: a byte fetched from memory may
# cost more than the product it goes into. The challenge of 2023 therefore
# asked entrants to report energy as well, with CodeCarbon. Two things must be
# known of such a number. *How it was found*: CodeCarbon reads a processor's
# own counters where it may, and else **models** power from load and data
# sheet; memory is always modelled, from its size. And *against what*: the same
# network takes other energy on another machine, so it is set against a
# reference network on the same one, such as the baseline:
#
# $$ E_\text{rel} = \frac{E_\text{system} / n_\text{system}}
#    {E_\text{reference} / n_\text{reference}} . $$
#
# `asclib.complexity.energy` does no more than this, and prints the method beside every
# number. CodeCarbon is an extra: `pip install asclib[energy]`.

# %% tags=["nbval-ignore-output"]
from asclib.complexity.energy import measure

clip = torch.zeros(1, 1, 140, 8)
try:
    with torch.no_grad():
        found = measure(lambda: student(clip), seconds=2)
    print(found)
    assert found.inferences > 0 and "modelled" in str(found)
except ModuleNotFoundError as missing:
    print(missing)
    assert "asclib[energy]" in str(missing)

# %% [markdown]
# We print no energy of ours: where counters cannot be read, a figure modelled
# from the data sheet repeats the running time in another unit. On a machine
# of your own that does nothing else, give `measure` half a minute or more, and use
# `relative` with a reference network.
#
# ## From the command line
#
# The counter is a program as well:
# `python -m asclib.complexity yourmodule:YourNetwork --input 1,140,8`
# prints the layers and the verdicts, and exits with 1 where an operation
# could not be counted. Its last lines:

# %%
import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()) as printed:
    main(["asclib.networks:TMSIC", "--input", "1,140,8", "--bits", "8"])
print("\n".join(printed.getvalue().splitlines()[-10:]))

# %% [markdown]
# ## Takeaways
# * A convolution costs $C_\text{out} F T C_\text{in} k_f k_t$ MACs and far
#   fewer parameters; a dense layer as many of one as of the other.
# * Bytes are at least parameters times width; a file adds scales and headers. The activation peak is the input and
#   the output of the largest layer: for the student, about as much as its
#   weights.
# * The student is within every year's limits in eight bits; the teacher is
#   in none.
# * Counters differ by a factor of two where they count operations, and by less
#   in running statistics, biases, poolings and normalisations. The published MACs of
#   this student and its teacher can be rebuilt once the convention is named.
# * MACs grow linearly with bands and frames and quadratically with filters.
# * Energy needs its method and a reference beside it; modelled is not measured.
#
# ## Exercises
#
# **1.** Move the first pooling before the second convolution. By how much do
# the student's MACs fall? Compute it from the table.
#
# :::{dropdown} Solution
# Pooling by (1, 2) first halves the frames that `conv2` sees, so its
# 13,171,200 MACs become 6,585,600. Everything after it is as before. The
# total falls from 25,376,896 to 18,791,296, by 26 %. Whether accuracy falls
# too is a question for [the student](../networks/student.ipynb).
# :::
#
# **2.** How wide may TMSIC be made, all filters by one factor, within 30 M
# MACs? Use `wider`.
#
# :::{dropdown} Solution
# Nearly all MACs are quadratic in the factor, so try
# $\sqrt{30 / 25.4} \approx 1.09$:
# `complexity(wider(1.08)).within(LIMITS[2022])` is true, and with 1.1 it is
# not. Filters come in whole numbers, so the MACs move in steps.
# :::
#
# **3.** Count a network of your own, and find out which of its layers holds
# the activation peak.
#
# :::{dropdown} Solution
# `table = complexity(net, shape).layers`, then
# `table.loc[table["activation_bytes"].idxmax()]`. In networks that pool
# late it is near the input; a skip connection keeps its branch's input alive
# and can move the peak into a block.
# :::
#
# ## What is next
# What costs how much is known. [The next chapter](pruning.ipynb) asks how much of it
# can go.
