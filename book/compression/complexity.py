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
# and find out why two honest counters can give two numbers, and what none of them sees.
#
# ## What you will learn
# * how many parameters and multiply-accumulates (MACs) a convolution and a
#   dense layer cost, and how many of them meet only padding;
# * how bytes and the peak of the activation memory follow;
# * which verdict each year's limits give on the student and the teacher;
# * why counters disagree, and how to make their figures meet;
# * which choices move the MACs, and whether MACs buy accuracy.
#
# **Prerequisites**: [the student](../networks/student.ipynb),
# [the teacher](../networks/teacher.ipynb),
# [all techniques, compared](../distillation/comparison.ipynb) and
# [quantisation](quantization.ipynb); nothing is trained here.
# **Data in**: `results/scoreboard.json`, `results/candidates.json`, `results/ensembles.json`, `results/pruning.json` and
# `results/firmware.json`.
# **Data out**: one `.tflite` file, in the store. Counts follow from shapes alone, whatever
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
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asclib import store
from asclib.challenge import LIMITS, SCENES
from asclib.complexity import complexity, complexity_of_file
from asclib.networks import TMSIC, WIDTHS
from asclib.networks import Baseline2022, CPMobile, OneVsAllTeacher
from asclib.plotting import ACCENT, INK, MUTED, glue, intervals, show
from asclib.plotting import use_style

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
# $F$ and $T$ are those of the *output*: a stride of two halves them. Every tap counts, also one that lies
# beside the input and multiplies a zero of the padding.
#
# The *same* weights are used at every position. That is why a convolution
# has few parameters and many MACs. A dense layer uses each weight once:
#
# $$ P_\text{dense} = n_\text{out}\,(n_\text{in} + 1), \qquad
#    M_\text{dense} = n_\text{out}\, n_\text{in} . $$
#
# In code:

# %%
use_style()


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
# a variance, which training keeps a running average of. We count no MACs for them; not every
# counter agrees, as we shall see.
#
# `asclib.complexity` watches one forward pass and applies the same equations
# to every operation it sees. It needs no list of layer types, so it counts
# networks you bring as well; from a shell it is `python -m asclib count module:Network --input 1,140,8`, or
# `python -m asclib count file.tflite`. Does it agree?

# %%
channels = np.array([20, 28, 28, 16])
norms = 4 * channels.sum()
parameters = by_hand["parameters"].sum() + norms
macs = by_hand["MACs"].sum()
print(f"parameters {parameters:,}, of which {norms} in normalisations")
print(f"MACs       {macs:,}")
student = TMSIC().eval()
counted = complexity(student, (1, 140, 8))
assert (counted.parameters, counted.macs) == (parameters, macs)
layers = counted.layers  # a row for each call of a layer
counted

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
for key in ("conv2", "conv4"):
    glue(f"{key}_macs", float(share["MACs"][key]))
    glue(f"{key}_parameters", float(share["parameters"][key]))
dense_share = share["parameters"][["dense", "head"]].sum()
glue("dense_parameters", float(dense_share))

# %% [markdown]
# The second convolution holds {glue:text}`conv2_parameters:.0f` % of the parameters and does {glue:text}`conv2_macs:.0f` %
# of the work, because it still runs at full size. The fourth has more
# parameters and does {glue:text}`conv4_macs:.0f` %: pooling has left it an eighth of the
# positions. The dense layers hold {glue:text}`dense_parameters:.0f` % of the parameters and do nearly
# nothing.
#
# ## What the padding costs
#
# The convolutions keep the size of their map by zeros around it. How many of
# the MACs multiply such a zero? We let each convolution run on ones, with ones for taps: then each
# output is the number of its products that meet data.

# %%
def products(make, shape):  # of each convolution: counted, and with data
    found, net = [], make().eval()

    def count(layer, given, made):
        taps = torch.ones_like(layer.weight)
        met = F.conv2d(torch.ones_like(given[0]), taps, None, layer.stride,
                       layer.padding, groups=layer.groups)
        found.append((made.numel() * taps[0].numel(), int(met.double().sum())))

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    return np.array(found)


# %%
met = products(TMSIC, (1, 140, 8))
rows = dict(zip(by_hand.index, met, strict=False))
sizes = {}
for name, make, shape in (("the student", TMSIC, (1, 140, 8)),
                          ("baseline of 2022", Baseline2022, (1, 40, 51)),
                          ("baseline of 2024", CPMobile, (1, 256, 65))):
    every, met = products(make, shape).sum(0)
    sizes[name] = complexity(make(), shape)
    cost = sizes[name].macs
    rows[name] = cost, cost - every + met
padded = pd.DataFrame(rows, index=["MACs", "with data"]).T
lost = 100 - 100 * padded["with data"] / padded["MACs"]
less = (padded["with data"] - padded["MACs"])["the student"]
padded.map("{:,}".format).assign(**{"padding, %": lost.round(1)})

# %% [markdown]
# {glue:text}`lost_student:.0f` % of the student's MACs multiply padding, {glue:text}`lost_conv4:.0f` % of those of `conv4`, and
# every counter of this chapter counts them. The small picture is to blame: a kernel five frames wide on two frames
# lies beside them more often than on them. The baseline of 2022 loses {glue:text}`lost_2022:.0f` %, that of 2024, with
# kernels of 3 × 3 on a larger picture, {glue:text}`lost_2024:.1f` %.
#
# An engine may skip such products. The C of [the chapter on the chip](chip.ipynb) skips those to the left and the right of
# `conv2` to `conv4`: there it does {glue:text}`chip_products:,.0f` for {glue:text}`chip_macs:,.0f` MACs. Some taps of `conv4` *only* ever meet padding;
# [pruning](pruning.ipynb) takes them out.
#
# ## Bytes
#
# Bytes are parameters times the width of a number. The limit of 2023 and
# after is 128 kB, which we read as 128,000 bytes. In float32 the student takes {glue:text}`bytes_32:,.0f` and does not fit;
# in 16 bits, with {glue:text}`bytes_16:,.0f`, it does.
# [Quantisation](quantization.ipynb) has brought it to eight, in a `.tflite` file, which is what a microcontroller
# runs. **Full int8** there means that weights and activations are integers of eight bits.
#
# ## Activation memory
#
# RAM is needed for what layers hand to each other. Suppose the layers run
# one after another, each result is kept until its last reader has run, and
# an element-wise layer (ReLU, normalisation) writes over its input. While a
# convolution of stride 1 runs, its input and its output must both exist:
#
# $$ A_\text{conv} = C_\text{in} F T + C_\text{out} F T . $$
#
# For the second convolution, at one byte a value; beside it what two other schedules take, from the study of
# [the chip](chip.ipynb):

# %%
conv2 = 20 * 140 * 8 + 28 * 140 * 8
chip = store.results("firmware")
held = {"the equation": conv2,
        "this counter: element-wise layers in place": counted.peak_activation,
        "the file: nothing in place": chip["file"]["arena_of_file"],
        "our C: conv2 overruns its input": chip["file"]["arena"]}
assert counted.peak_activation == conv2
filters = [row for row in chip["layers"] if row["kind"] == "CONV_2D"]
for key in ("products", "macs"):
    glue(f"chip_{key}", sum(row[key] for row in filters))
each = {row["layer"]: row["instructions"] / row["products"]
        for row in chip["layers"] if row["products"]}
pd.DataFrame({"bytes": held}).map("{:,}".format)

# %%
old, new = sizes["baseline of 2022"], sizes["baseline of 2024"]
for key, number in {
        "norm_rate": each["norm2"], "conv_rate": each["conv2"],
        "peak_low": min(held.values()), "peak_high": max(held.values()),
        "old_macs": old.macs, "new_macs": new.macs,
        "new_parameters": new.parameters, "new_bytes": new.bytes(16)}.items():
    glue(key, number)
for name in ("the student", "conv4", "baseline of 2022", "baseline of 2024"):
    glue(f"lost_{name.split()[-1]}", float(lost[name]))

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
# limits this memory; the chip does.
#
# All figures are of one network. In the file nothing works in place, so a normalisation holds two large maps;
# in C a convolution may write over rows that it has read. Running several layers on one strip of the picture
# after the other saves more {cite}`lin2021mcunetv2`. A figure for RAM means little without its schedule.
#
# ## The verdict, and the teacher
#
# The teacher is ten bodies of the student and one dense layer over their
# 2,560 activations. Is it allowed? `within` asks at eight bits a number, unless it is told otherwise.

# %%
teacher = OneVsAllTeacher([TMSIC(n_classes=2) for _ in SCENES]).eval()
big = complexity(teacher)
print(f"teacher: {big.parameters:,} parameters, {big.macs:,} MACs,")
print(f"{big.peak_activation:,} bytes of activations")
for bits in (16, 32):
    glue(f"bytes_{bits}", counted.bytes(bits))
glue("times_macs", big.macs / LIMITS[2024].macs)
glue("times_bytes", big.bytes(8) / LIMITS[2024].bytes)
verdicts = {f"{name}, {bits} bits": {
    year: "within" if count.within(limits, bits) else "over"
    for year, limits in LIMITS.items()}
    for name, count in (("student", counted), ("teacher", big))
    for bits in (32, 16, 8)}
pd.DataFrame(verdicts).T

# %% [markdown]
# The student is allowed in every year at eight bits, and since 2023 at sixteen. The teacher is not, in any year and at
# any width: at eight bits it has {glue:text}`times_bytes:.1f` times the bytes, and always {glue:text}`times_macs:.1f`
# times the MACs. It needs hardly more RAM than the student: its members run one after another.
# That is the whole reason for
# [distillation](../distillation/response.ipynb): a system may be *taught* by anything,
# and is counted as what it *runs*.
#
# ## Why counters disagree
#
# NeSsi {cite}`ancilotto2022nessi`, the challenge's own counter, is three counters. For a `.tflite` file it is an
# **analyser**: it adds up the MACs of the operators and the bytes of their constants. A network in
# torch it hands to torchinfo {cite}`yep2020torchinfo`; for one in Keras it halves the operations of TensorFlow's profiler. These two
# count trainable weights as size. So the same network gets several figures:
#
# | counter | size | MACs |
# |---|---|---|
# | NeSsi on the student's int8 file | 52,852 bytes | 25,475,456 |
# | NeSsi on the teacher's int8 file | 528,160 bytes | 254,754,560 |
# | NeSsi for torch, rebuilt by torchinfo's convention | 51,802 parameters | 25,449,026 |
#
# The first two are counted, not published: NeSsi was run on the int8 files of the authors' repository
# {cite}`ipleiria2023dcase`, which have no licence and are not here. All counters are right about something. First
# parameters and MACs:

# %%
trainable = sum(p.numel() for p in student.parameters())
print(f"trainable {trainable:,} + mean and variance {2 * channels.sum()}"
      f" = {trainable + 2 * channels.sum():,}, as Keras counts")
sums = 28 * 140 * 8 + 28 * 140 * 4 + 16 * 70 * 2  # of three normalisations
reads = sums  # of two poolings and the mean: the same three maps
extra = sums + reads
print(f"NeSsi: {macs:,} + {reads:,} + {sums:,} = {macs + extra:,}")
print(f"teacher: {big.macs:,} + {10 * extra:,} = {big.macs + 10 * extra:,}")
biases = 20 * 1120 + 28 * 1120 + 28 * 560 + 16 * 140 + 256 + 10
more = int(biases + 2 * channels.sum())
print(f"torchinfo: {macs:,} + {more:,} = {macs + more:,}")
assert macs + extra == 25_475_456 and macs + more == 25_449_026
for key, number in {"sums": sums, "reads": reads, "more": more}.items():
    glue(key, number)

# %% [markdown]
# The running statistics are not trained, but the answer depends on them: Keras shows them, and we count
# them. The analyser counts what the poolings and the final mean read, and a sum for each value of the
# three normalisations that in general cannot be folded into a convolution,
# because a ReLU stands between; in the shipped student
# [they can be](../networks/student.ipynb). torchinfo counts each bias once per output,
# and each trained number of a normalisation once. By that rule the published figure of the baseline of 2024 comes out to
# the last digit, {glue:text}`new_macs:,.0f` + 2,708. So does that of 2022 by the analyser's, {glue:text}`old_macs:,.0f` + 34,560 − 3,200,
# if it counts the comparisons of two poolings, and of the 6,400 products of the first dense
# layer only half. So the difference comes out; the file itself we have not seen.
#
# Now the way from parameters to NeSsi's bytes:

# %%
NESSI = {"student": 52_852, "teacher": 528_160}
steps = {}
for name, net, count in (("student", student, counted),
                         ("teacher", teacher, big)):
    kernels = [m for m in net.modules()
               if isinstance(m, (nn.Conv2d, nn.Linear))]
    numbers = sum(p.numel() for m in kernels for p in m.parameters())
    bodies = (count.parameters - numbers) // norms
    way = {"parameters, a byte each": count.parameters,
           "normalisations out": numbers - count.parameters,
           "biases in four bytes": 3 * sum(m.bias.numel() for m in kernels),
           "three of them back": bodies * 2 * (28 + 28 + 16)}
    way["left over"] = NESSI[name] - sum(way.values())
    steps[name] = way | {"NeSsi's bytes": NESSI[name]}
pd.DataFrame(steps).map("{:,}".format)

# %% [markdown]
# The first normalisation is folded into `conv1`. The other three come back as a product and a
# sum for each map, constants of one byte. A bias has four bytes. The 16 that are left over in each
# body would be the axes of operators.
#
# As a check we write a file of our own, by another converter, and count it operator by operator: by our convention
# and by the analyser's.

# %%
from asclib.compression import Calibration, export


def build(folder):
    typical = TMSIC().eval()
    for value in typical.state_dict().values():
        if value.dim() == 1:  # the converter stores equal constants once
            value.uniform_(0.5, 1.5)
    export(typical, folder / "student.tflite", "full_int8",
           calibration=Calibration(torch.zeros(1, 1, 140, 8)))


folder = store.artefact("typical", {}, build)
file = complexity_of_file(folder / "student.tflite")
table = file.layers.groupby("kind", sort=False)[
    ["macs", "analyser_macs", "stored"]].sum()
pd.concat([table, table.sum().to_frame("all").T]).map("{:,}".format)

# %% [markdown]
# By the analyser's convention (`analyser_macs`) the MACs meet NeSsi's figure exactly, the bytes (`stored`) within half a per
# cent. By ours there is a third figure: this converter writes each of the three normalisations as a depthwise convolution of one
# tap, with a bias of four bytes, and MACs of convolutions count. (`conv1`, with its one input map, is called depthwise too.)
#
# Some differences are mistakes: a counter that is fed a batch
# counts the batch, and torch's own counts operations, two for each MAC. And zeros count. Below, half of the kernels of a
# new TMSIC are zero (its biases and shifts begin there); the rules of 2022 say "zeros included", and
# the multiplier on the chip does not notice.

# %%
for batch in (1, 8):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        student(torch.zeros(batch, 1, 140, 8))
    count = counter.get_total_flops()
    print(f"batch of {batch}: {count:,} operations / 2 = {count // 2:,}")
sparse = TMSIC()
with torch.no_grad():
    for layer in sparse.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight[::2] = 0  # every second kernel
zeros = sum(int((p == 0).sum()) for p in sparse.parameters())
again = complexity(sparse)
print(f"{zeros:,} zeros; {again.parameters:,} parameters, {again.macs:,} MACs")
glue("less", int(less))
glue("less_times", float(-less / extra))

# %% [markdown]
# Every reason has a size, for the student:
#
# | reason | parameters | bytes | MACs |
# |---|---|---|---|
# | running statistics left out | −184 | | |
# | normalisations out of the parameters | | −368 | |
# | three of them back, as products and sums | | +144 | {glue:text}`sums:+,.0f` |
# | or as convolutions of one tap | | +360 | {glue:text}`sums:+,.0f` |
# | biases in four bytes | | +1,074 | |
# | poolings and mean counted | | | {glue:text}`reads:+,.0f` |
# | biases and normalisations counted once each | | | {glue:text}`more:+,.0f` |
# | products with padding left out | | | {glue:text}`less:+,.0f` |
# | operations taken for MACs | | | × 2 |
# | a batch counted | | | × its size |
#
# In MACs the conventions are harmless until a system sits at 29.9 million. The padding, which none of them mentions, is
# {glue:text}`less_times:.0f` times all that the analyser adds.
#
# In size they are not. The baseline of 2024 has 61,148 parameters without its running statistics, and {glue:text}`new_parameters:,.0f` with
# them. At its sixteen bits that is 122,296 or {glue:text}`new_bytes:,.0f` bytes, of 128,000: comfortable by one convention, and a few
# hundred bytes from the limit by the other.
#
# ## What moves the MACs
#
# The equation of the convolution answers this before any experiment. MACs
# are linear in mel bands and in frames, and almost quadratic in width: doubling all
# filters doubles inputs *and* outputs. Only `conv1`, whose input stays one map, and the last layer are linear.

# %% mystnb={"figure": {"name": "fig-scaling", "caption": "MACs of the student when mel bands, frames or filters change, one at a time; dashed, the limit of 30 million; dots, the student as it is."}, "image": {"alt": "Three panels: straight lines for mel bands and frames, a parabola for filters, with a dashed line at 30 million."}}
def wider(factor):
    return TMSIC(widths=[round(factor * c) for c in WIDTHS])


factors = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2)
changes = {"mel bands": {n: (student, (1, n, 8)) for n in range(40, 261, 20)},
           "frames": {n: (student, (1, 140, n)) for n in range(4, 41, 4)},
           "width factor": {factor: (wider(factor),) for factor in factors}}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True)
for ax, (name, nets) in zip(axes, changes.items(), strict=True):
    count = np.array([complexity(*net).macs for net in nets.values()])
    ax.plot(list(nets), count / 1e6, "-o", color=INK,
            markevery=(count == macs).nonzero()[0].tolist())
    ax.axhline(30, color=ACCENT, ls="--")
    ax.set(xlabel=name, ylabel="million MACs" * (name == "mel bands"))
show(fig)

# %% [markdown]
# A smaller input saves MACs without touching the weights. The search behind TMSIC ended at
# 140 bands by 8 frames, with 260 bands as runner-up {cite}`ipleiria2023dcase`; with those, this same body would be
# over the limit. Input and body spend the same budget.
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
# MACs are neither time nor energy. On [the chip](chip.ipynb) a product takes {glue:text}`conv_rate:.1f` instructions in `conv2` and
# {glue:text}`norm_rate:.0f` in the normalisation behind it. In energy, fetching a number can cost more than multiplying it
# {cite}`horowitz2014computing`, so what counts is how often it is reused {cite}`sze2017efficient`. The challenge of 2023 asked for
# energy as well; such a figure has to say whether it was read from counters or modelled, and which network it is set
# against on the same machine. `asclib.complexity.energy` does; we print none of ours, but the chapter on the chip has a
# range in millijoules, estimated from others' boards.
#
# ## Does cost buy accuracy?
#
# First **published** accuracies on the evaluation sets of
# TAU: 2022 {cite}`martinmorato2022low`, TMSIC, by response and then by RRS {cite}`ipleiria2023dcase`, 2024
# {cite}`schmid2024data`. None of these accuracies is ours; TMSIC's of 2022 is derived, from that of 2023 and its published gain of 0.3.
# Costs are as published, but for TMSIC's, which were counted as said above. `by` is who counted (the analyser of 2022 read an int8 file
# as well, so its 46,512 “parameters” are bytes: 45,816 weights, and four for each of 174 biases; CP-JKU's are rounded, and we do not know by whom), and beside them by one rule for all, ours:

# %%
quoted = ("25,475,456", "52,852 B", "NeSsi, file", counted)
quotes = {
    "baseline, 2022": (44.2, "29,234,920", "46,512 B",
                       "analyser", old),
    "CP-JKU, 2022": (59.6, "28 M", "121 K", "unknown", None),
    "TMSIC, 2022": (51.6, *quoted), "TMSIC, 2023": (51.9, *quoted),
    "baseline, 2024": (56.84, "29,419,156", "61,148",
                       "torchinfo", new)}
columns = ["accuracy, %", "MACs", "size", "by", "ours"]
published = pd.DataFrame(quotes, index=columns).T
for name in ("MACs", "parameters"):
    published[f"our {name}"] = [
        f"{getattr(one, name.lower()):,}" if one else "–"
        for one in published["ours"]]
published.drop(columns="ours")

# %% [markdown]
# Five systems of several years and sets, each trained in its own way, cannot tell what bought their accuracy. All spend most
# of the MACs. In parameters they differ by a factor of more than two, and their order by parameters is that by accuracy.
#
# Then **ours**, on the embedded corpus: the students of
# [the scoreboard](../challenges/scoreboard.ipynb) in eight bits, and its teacher. All rows pool the same three
# seeds. `labels, longer` is a control with the epochs and the augmentation of a member of the teacher. It and the teacher were
# scored in floating point. Intervals are over recordings.

# %%
POINTS = ["accuracy", "accuracy_low", "accuracy_high"]
board = store.results("scoreboard")
NAMES = {"student": "labels", "student_control": "labels, longer",
         "response": "response", "response_long": "response, longer",
         "response_twice": "response twice", "relational": "relational",
         "response_published": "response, double softmax", "rrs": "RRS",
         "rrs_published": "RRS, double softmax", "teacher": "the teacher"}
epochs = {run["network"]: f"{len(run['epoch'])}" for run in board["curves"]}
epochs["teacher"] = f"{epochs['member_bus']} + {epochs['teacher']}"

# %%
rows = {}
for key, name in NAMES.items():
    kept = f"{key}_int8" if f"{key}_int8" in board["pooled"] else key
    score = board["pooled"][kept][0]
    cost = big if key == "teacher" else counted
    rows[name] = {
        "bits": "float" if kept == key else "8", "epochs": epochs[key],
        **{end: 100 * score[end] for end in POINTS},
        "MACs": cost.macs, "parameters": cost.parameters}
ours = pd.DataFrame.from_dict(rows, "index").sort_values("accuracy")
shown = ours.assign(**ours[["MACs", "parameters"]].map("{:,}".format))
names = ["accuracy, %", "low", "high"]
shown.round(1).rename(columns=dict(zip(POINTS, names, strict=True)))

# %% [markdown]
# Upwards there is more to see than this teacher. Four whole students, whose answers are averaged, were trained to be
# [a better teacher](../distillation/comparison.ipynb). And at the smaller quick profile, half trained, there are ten of
# them, [ten experts, and one wide network](../networks/ensembles.ipynb) of as many parameters. Downwards there are the
# [pruned](pruning.ipynb) students of that profile: filters are cut, and what is left is trained on, or *healed*.

# %%
def said(row):  # a difference in points, and its interval
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(
        *(100 * row[end] for end in POINTS)).replace("-", "−")


def over_seeds(row):
    low, high = 100 * row["seeds_low"], 100 * row["seeds_high"]
    return f"{low:+.1f} to {high:+.1f}".replace("-", "−")


gaps = pd.DataFrame(board["differences"]).set_index(["system", "base"])
told = {f"{one}_gap": gaps.loc[(one, base)] for one, base in (
    ("teacher", "student_control"), ("student_control", "student"),
    ("response_long", "response"))}
told |= {f"cut_{100 * row['share']:.0f}": row
         for row in store.results("pruning")["rivals"]
         if (row["method"], row["healed"]) == ("one_shot", "labels")}

# %%
mean, = (one for one in store.results("candidates")["gains"]
         if (one["candidate"], one["heard"]) == ("mean", "all"))
half = pd.DataFrame(store.results("ensembles")["differences"])
half = half.set_index(["system", "base"])
upwards = {
    "ten experts, fused\n× 10, study": gaps.loc["teacher", "student_control"],
    "four students\n× 4, study": dict(zip(
        POINTS, (mean["gain"], mean["low"], mean["high"]), strict=True)),
    "ten students\n× 10, quick": half.loc["ordinary", "one"],
    "ten experts, fused\n× 10, quick": half.loc["fused", "one"],
    "one wide network\n× 11, quick": half.loc["single", "one"]}
gained = list(upwards.values())
for key, place in (("four", 1), ("ten", 2), ("wide", 4)):
    glue(f"{key}_gap", said(gained[place]))

# %%
MARKERS = {"one_shot": "o", "iterative": "s", "unstructured": "^"}
HEALED = {"not healed": MUTED, "labels": INK, "response": ACCENT}
pruned = pd.DataFrame(store.results("pruning")["runs"])
pruned = pruned.groupby(["method", "share", "healed"]).mean(numeric_only=True)
best = ours["accuracy"]["the teacher"]
glue("teacher_accuracy", float(best))
for key, row in told.items():
    glue(key, said(row))
    glue(f"{key}_seeds", over_seeds(row))
glue("above", int((ours["accuracy"] > best).sum()))
lengths = ours["epochs"].drop("the teacher").astype(int)
glue("short", int(lengths.min()))
glue("longest", int(lengths.max()))

# %% mystnb={"figure": {"name": "fig-plane", "caption": "Embedded corpus. Left, what so many times the student's MACs gain over one student, trained as each of them: 95 % intervals, of the four students over validation places and seeds, of the others over recordings of the test. Right, quick size: pruned students, cut in one step (circles), in several (squares) or to zeros that stay (triangles); areas are parameters, the dashed line is the limit of 30 million."}, "image": {"alt": "Left, five rows with a dot and an interval each: two lie wholly to the right of zero, four students and one wide network. Right, symbols from two to 25 million MACs; the grey ones, not healed, lie far below all others but for the uncut."}}
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8))
intervals(left, list(upwards), *(
    [100 * row[end] for row in upwards.values()] for end in POINTS))
left.axvline(0, color=MUTED)
left.set(xlabel="points over one student", title="more MACs")
for (method, healed), one in pruned.groupby(["method", "healed"]):
    looks = {"color": HEALED[healed], "marker": MARKERS[method],
             "label": healed * (method == "one_shot")}
    right.scatter(one["macs"] / 1e6, 100 * one["accuracy"],
                  one["parameters"] / 900, **looks)
right.legend(title="healed by", fontsize=9)
right.axvline(30, color=MUTED, ls="--")
right.set(xlabel="million MACs", title="fewer: accuracy (%)")
show(fig)

# %% [markdown]
# **Upwards?** It depends on what the MACs are spent on. Ten experts, fused, gain nothing that this board can show over the student
# that trained as they did: {glue:text}`teacher_gap` points ({glue:text}`teacher_gap_seeds` over seeds); {glue:text}`above` of the nine students have
# more than their {glue:text}`teacher_accuracy:.1f` %. But four whole students, averaged, gain {glue:text}`four_gap` on validation clips. And where all
# are half trained, one wide network gains {glue:text}`wide_gap`, while ten students, averaged, gain nothing: {glue:text}`ten_gap`. Whether
# width pays as much when trained to the end has not been tried.
#
# **At one cost?** The students cost the same, to the MAC. What parts them is their lessons, two of which have no teacher, and
# their *length*, from {glue:text}`short` to {glue:text}`longest` epochs. The same response twice as long goes with
# {glue:text}`response_long_gap` points ({glue:text}`response_long_gap_seeds` over seeds), labels trained like a member with
# {glue:text}`student_control_gap` ({glue:text}`student_control_gap_seeds`). Luck parts them as well, of three trainings
# each. So this table ranks no lessons.
# [The comparison](../distillation/comparison.ipynb) sets out to, at equal lengths and with controls.
#
# **And downwards?** What is cut and not healed falls apart at once. Half of the MACs, healed on labels, go with
# {glue:text}`cut_50` points against the whole network that trained on for as long ({glue:text}`cut_50_seeds` over three seeds), a tenth
# with {glue:text}`cut_10` ({glue:text}`cut_10_seeds`). So at half no loss is shown, and what a tenth costs three seeds cannot say. (The whole network lost a little by training on, so
# it is an easy rival.) The
# triangles have nine zeros in ten weights and pay for all of them. Parameters, the areas, shrink with the MACs.
#
# ## Takeaways
# * MACs are $C_\text{out} F T C_\text{in} k_f k_t$ with the size of the *output*, padded taps included:
#   {glue:text}`lost_student:.0f` % of the student's multiply zeros of the padding, {glue:text}`lost_2024:.1f` % of those of the
#   baseline of 2024. Counters' conventions differ by less than 1 % in MACs, and by up to 4.4 % in size.
# * NeSsi's figures for student and teacher can be rebuilt to the last MAC, and to 16 bytes a body, once its
#   convention is named. A count without its counter is half a number.
# * The peak of the activations lies between {glue:text}`peak_low:,.0f` and {glue:text}`peak_high:,.0f` bytes for one and the same
#   network: it belongs to the schedule.
# * The student is within every year's limits at eight bits; the teacher is in none, at any width.
# * What MACs buy depends on what they are spent on. Ten fused experts minus a student trained as they were:
#   {glue:text}`teacher_gap` points. Four whole students minus one, on validation clips: {glue:text}`four_gap`. One wide network minus one student, both half
#   trained: {glue:text}`wide_gap`. With half of the MACs, at quick size, healed, no loss is shown ({glue:text}`cut_50`).
# * MACs grow linearly with bands and frames and almost quadratically with filters.
#
# ## Exercises
#
# **1.** A kernel of odd length $k$ slides over $n$ places, $n \ge (k - 1)/2$. What share of its products meets data? Derive it, check it
# against the table, and say why the same body would waste less on the picture of 2022, 40 × 51.
#
# :::{dropdown} Solution
# Let $r = (k - 1)/2$. At the first place $r$ taps lie outside, then $r - 1$, and so on, at both ends: $r(r + 1)$ of $nk$
# in all. Both axes multiply:
#
# $$ \Big(1 - \frac{r_f (r_f + 1)}{F k_f}\Big) \Big(1 - \frac{r_t (r_t + 1)}{T k_t}\Big). $$
#
# For `conv4`, $(1 - 12/490)(1 - 6/10) = 0.39$. Nearly all is lost along time, where maps are eight to two frames long. With 51
# frames they are 51 to 12 long: `products(TMSIC, (1, 40, 51))` loses 7.6 %. But it costs 45.7 million MACs.
# :::
#
# **2.** Run `conv2`, its normalisation and `pool2` on one row of mel bands after the other, so that only the pooled map is ever
# whole. What is the peak of the student now, and which layer holds it? And if `conv1` goes along?
#
# :::{dropdown} Solution
# `conv2` holds its input, 20 · 140 · 8 = 22,400 bytes, one row of output, 28 · 8 = 224, and the pooled map, 28 · 140 · 4 =
# 15,680: together 38,304 instead of 53,760. With `conv1` on the same rows, seven rows of its map are enough,
# 20 · 7 · 8 = 1,120 bytes, and with the picture, as large again, that makes
# 1,120 + 1,120 + 224 + 15,680 = 18,144. Now `conv3` holds the peak, 2 · 15,680 = 31,360 bytes, less than the C of the chip.
# Nothing is computed twice, as rows are kept until they are read.
# :::
#
# **3.** Count a network of your own. Which layer holds the activation peak, and why does the exported file say otherwise?
#
# :::{dropdown} Solution
# `complexity(net, shape).layers.nlargest(1, "activation_bytes")`; a skip connection keeps its branch's input alive
# and can move the peak into a block, where the equation of one layer no longer holds. `complexity_of_file(path).layers` has the
# same columns: look for operators that read and write large maps.
# :::
#
# ## What is next
# What costs how much is known. [The next chapter](pruning.ipynb) asks how much of it
# can go.
