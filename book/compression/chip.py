# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # On the chip
#
# The limits of the challenge are modelled on a Cortex-M4 {cite}`martinmorato2022low`. We take a small one, with 256 KiB
# of flash, 128 KiB of RAM and no operating system: those of Microchip's ATSAMD51J18, which runs at 120 MHz
# {cite}`microchipsam`. So far we have counted, and believed that what is small enough on paper is small
# enough there. In this chapter the student goes there, with its ears: samples in, a scene out.
#
# ## What you will learn
# * how a `.tflite` file becomes plain C that any compiler takes;
# * where activations lie in one block of memory, and why it is smaller than the sum of two layers;
# * what flash, RAM and instructions are spent on, layer by layer, the front end included;
# * why fewer MACs need not mean as many fewer instructions;
# * what a cheaper low-pass filter does to sound, and what it costs in scenes;
# * how long an answer takes, and how far an estimate of it may be trusted.
#
# **Prerequisites**: [quantisation](quantization.ipynb) for full integer, and
# [complexity](complexity.ipynb) for MACs and the peak of the activations.
# **Data in**: the student of the quick profile, which is trained if it is not there, and
# `results/firmware.json`, for all that takes a compiler or an emulator. **Data out**: a folder of C.
# **In the library**: `asclib.deploy`; the study is `studies/firmware.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from asclib import store
from asclib.complexity import complexity_of_file
from asclib.compression import Calibration, exported
from asclib.compression.qat import range_calibration
from asclib.deploy import frontend, plan, products, read_model
from asclib.deploy import write_firmware, write_listener
from asclib.plotting import ACCENT, INK, MUTED, glue, show, use_style
from asclib.runs import Experiment

use_style()
found = store.results("firmware")

# %% [markdown]
# ## From the notebook to a file
#
# The interpreter that microcontrollers use, TensorFlow Lite Micro (TFLM), runs full-integer files only, and so
# does what we are about to write. Ranges come from training clips, as in
# [quantisation](quantization.ipynb), with one precaution. A frame of digital silence lies at −36 nepers, far
# below anything that a microphone hears. One such frame among the clips would stretch the input's range, and
# halve what eight bits can tell apart. `range_calibration` gives such a frame the values of its clip's softest
# frame that sounds. On the chip silence is then clipped to −128, the lowest number that there is.

# %%
experiment = Experiment(profile, data_root, seed)
net = experiment.student().net().eval()
clips = range_calibration(experiment.data).clips
path = exported(net, "full_int8", Calibration(clips))
model = read_model(path)
count = complexity_of_file(path)

# %% [markdown]
# ## The graph
#
# The file is a list of operators. What is called a layer in the network is one of them, or two:

# %%
graph = pd.DataFrame({
    "operator": [operator.kind for operator in model.operators],
    "makes": [operator.output.shape[1:] for operator in model.operators],
    "MACs": [f"{n:,}" for n in count.layers["macs"]],
    "bytes of constants": count.layers["stored"].to_numpy(),
})
for name in ("bytes", "stored"):
    glue(name, found["file"][name] / 1e3)
graph

# %% [markdown]
# The file takes {glue:text}`bytes:.0f` kB, of which {glue:text}`stored:.0f` are constants. Operator 0 is `conv1`.
# It has one input map, so the converter calls it depthwise; its normalisation is in its weights. Operators 1, 4
# and 7 are the other convolutions. Behind each comes its normalisation, a depthwise convolution of one tap: a
# factor and a shift for each map. A ReLU has no operator of its own, since it only clips what is written anyway.
#
# ## Arithmetic without floats
#
# A convolution sums products of int8 in 32 bits. The sum then has to become int8 on the grid of the output: it is
# multiplied by $s_x s_w / s_y$, the scales of input, weights and output {cite}`jacob2018quantization`. This
# factor is no integer, and a small chip would rather not use floats. So it is written as
#
# $$ \frac{s_x s_w}{s_y} \approx \frac{m}{2^{31}}\, 2^{e}, \qquad 2^{30} \le m < 2^{31}, $$
#
# and multiplying by it takes two steps: the upper half of a product of two integers, and a shift to the right by
# $-e$ bits. Each of them rounds, the shift away from zero where it is in doubt. Does it matter that a number is
# rounded twice? Here are both steps, beside a single one:

# %%
def high_product(total, multiplier):  # total * multiplier / 2^31
    return (total * multiplier + (1 << 30)) >> 31


def rounding_shift(x, bits):  # x / 2^bits
    size = (abs(x) + (1 << bits >> 1)) >> bits
    return size if x >= 0 else -size


fraction, exponent = np.frexp(0.00217)
multiplier, bits = round(fraction * 2**31), -int(exponent)
print(f"0.00217 = {multiplier} / 2^31 / 2^{bits}")
for total in (20_000, 230):
    first = high_product(total, multiplier)
    print(f"{total} * 0.00217 = {total * 0.00217:.4f}; in two steps"
          f" {first}, then {rounding_shift(first, bits)}")

# %%
sums = range(-30_000, 30_000)
once = [(n * multiplier + (1 << (30 + bits))) >> (31 + bits) for n in sums]
twice = [rounding_shift(high_product(n, multiplier), bits) for n in sums]
other = [n for n, a, b in zip(sums, once, twice, strict=True) if a != b]
print(f"{len(other)} of {len(sums):,} sums round otherwise: {other[:4]}, ...")
assert 230 in other and max(map(abs, np.subtract(once, twice))) == 1

# %% [markdown]
# It does, if seldom. From 230 follows 0.4991, which a single rounding makes 0. The first of two makes it 128 /
# 256, just a half, and the second lifts that to 1. Who rounds once is a step of int8 away there, and the next
# layer carries the difference on. TFLM rounds twice, so the C does as well: two programs that round alike agree
# in every bit.
#
# ## C
#
# `write_firmware` writes a folder of C99: the model, a handful of kernels, a start-up file and a linker script.
# `write_listener` adds the front end and the programs that hear. From a shell it is
# `python -m asclib firmware student.tflite DIR`. Nothing in it asks for memory while it runs.

# %%
folder = Path(tempfile.mkdtemp())
write_listener(path, write_firmware(path, folder))
code = (folder / "model.c").read_text()
start = code.index("void model_run")
calls = [line for line in code[start:].splitlines() if "layer_" in line]
make = (folder / "Makefile").read_text().splitlines()
flags = [line for line in make if line.startswith(("FLAGS", "CORTEX"))]
print(*sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*")))
print(*flags, *calls, sep="\n")
for name in ("compiler", "emulator"):
    glue(name, found["tools"][name])

# %% [markdown]
# The study's compiler was {glue:text}`compiler`, with the flags printed above. One inference is a dozen calls.
# Each is given addresses in one block of memory, the **arena**. All of them are known before the program starts;
# what remains is to choose them well.
#
# ## One arena
#
# An activation is needed from the operator that makes it to the last one that reads it. Two that are never needed
# at once may share their bytes. The picture has a box for each: as wide as it is needed, as high as it is
# large, at the place where it lies.

# %% mystnb={"figure": {"name": "fig-arena", "caption": "The arena while the operators run, from left to right. A box is an activation, named after the operators that write it; orange boxes are rows of its input that a convolution has unpacked to 16 bits. Dashed: the size of the arena."}, "image": {"alt": "Boxes over twelve operators. During conv2 those of conv1 and conv2 overlap and, with a small orange one below, reach the dashed line at 35 kB. From conv4 on the boxes are small."}}
placed = plan(model)
layer = [row["layer"] for row in found["layers"]]
maker = {operator.output.number: name for name, operator
         in zip(layer, model.operators, strict=True)}
inside = [b for b in placed.buffers if b.offset >= 0]
fig, ax = plt.subplots(figsize=(5.8, 3.8))
for b in inside:
    title, colour = ", ".join(maker[t] for t in b.tensors), INK
    ax.bar(b.born - 0.5, b.size / 1e3, b.dies - b.born + 1, b.offset / 1e3,
           align="edge", alpha=0.4, color=colour if title else ACCENT)
    ax.text(b.born - 0.45, b.offset / 1e3 + 0.5, title * (b.size > 2000))
ax.axhline(placed.arena / 1e3, color=INK, ls="--")
ax.set_xticks(range(len(layer)), layer, rotation=60)
ax.set(xlabel="operator", ylabel="place (kB)")
show(fig)

# %% [markdown]
# Three things keep it low. A normalisation writes where it reads, and needs no second box. Boxes over
# different operators use the same bytes. And where two boxes overlap, a convolution or a pooling overruns its own
# input: it goes down the picture row by row, and when it writes a row, the upper rows of its input are read already.
#
# Why is the peak at `conv2`? These are the bytes while it runs:

# %%
at = layer.index("conv2")
alive = [b for b in inside if b.born <= at <= b.dies]
pd.DataFrame({
    "what": [", ".join(maker[t] for t in b.tensors) or "unpacked rows"
             for b in alive],
    "bytes": [b.size for b in alive],
    "from": [b.offset for b in alive],
    "to": [b.offset + b.size for b in alive],
}).sort_values("from", ignore_index=True)

# %% [markdown]
# It reads a large map and writes the largest. Its kernel sees seven mel bands, and three rows of output are made
# at once: so nine rows of the input have to be unpacked, and the output may overrun all of the input but its last
# bytes. What remains is the output, the unpacked rows, and those bytes. That `conv2` alone needs as much says
# that no other order of the boxes does better.
#
# Here are five figures for this memory. The third is new:

# %%
dynamic = complexity_of_file(exported(net, "dynamic_range"))
conv2 = (20 + 28) * 140 * 8
moved = placed.work[at].size
print(f"{conv2:7,} input and output of conv2, as by the formula")
print(f"{count.arena:7,} the file in its own order, nothing in place")
print(f"{placed.arena:7,} the C, of which conv2 needs {placed.held[at]:,}")
print(f"{dynamic.arena:7,} the dynamic range file in its own order")
print(f"{4 * (placed.arena - moved):7,} the same if it overran as the C does")
assert placed.arena == placed.held[at] < conv2 < count.arena < dynamic.arena

# %% [markdown]
# [The first chapter](../task/challenge.ipynb) and [complexity](complexity.ipynb) show the first figure: the
# formula lets element-wise layers write over their input, and asks that input and output of a convolution exist
# at once. The file knows nothing of writing in place. Its normalisation after `conv2` is an operator that reads
# one large map and makes another, and so two maps of 31,360 bytes set the peak. That is what an interpreter
# asks for that keeps to the file. The C does better than the formula, since it overruns.
#
# **Dynamic range** keeps activations in float, four bytes each, and so takes four times the
# second figure: twice the RAM of the chip. Overrunning would bring it down to the last one, which still leaves no
# room for sound, spectrum or stack. TFLM refuses these files anyway. Dynamic range is for phones.
#
# ## All in
#
# A network that fits is not a system that fits. Samples have to be held while the network is busy: half a second
# of them at 48 kHz, in 16 bits. The front end holds a frame of 2,048 samples at 8 kHz, its spectrum, which is
# transformed in place, and the last inputs of its filters. The study compiled the whole program for the chip, and
# read from the table of symbols what each part takes. It did so with both front ends, which are told apart
# further down.

# %% mystnb={"figure": {"name": "fig-all-in", "caption": "Study: RAM and flash of the whole program at 48 kHz, part by part, with the cheap and the exact front end. Dashed: what the chip has."}, "image": {"alt": "Bars for each part. In RAM the samples take 47 KiB, the arena 34, a frame and its spectrum 8 each, the rest little; all take about 100 of 128. In flash the layers take 62, tables 17 or 24, all 83 or 90 of 256."}}
programs = {row["front_end"]: row for row in found["programs"]
            if row["rate"] == 48_000}
fig, axes = plt.subplots(
    2, 1, figsize=(5.8, 6.4), gridspec_kw={"height_ratios": (9, 4)})
for ax, kind, most in zip(axes, ("ram", "flash"), (128, 256), strict=True):
    parts = pd.DataFrame({n: programs[n][kind] for n in ("cheap", "exact")})
    (parts[::-1] / 1024).plot.barh(
        ax=ax, color=[INK, ACCENT], width=0.8, legend=kind == "ram")
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    ax.axvline(most, color=INK, ls="--")
    ax.set_xlabel(f"{kind.replace('ram', 'RAM')} (KiB)")
axes[0].legend(title="front end", reverse=True)
show(fig)

# %%
KIB = 1024
for name, row in programs.items():
    for kind in ("ram", "flash"):
        glue(f"{name}_{kind}", row[kind]["all"] / KIB)
    heard = row["instructions"]
    glue(f"{name}_front", heard["front end"] / 1e6)
    glue(f"{name}_share", 100 * heard["front end"] / heard["model"])
cheap = programs["cheap"]
glue("model_instructions", cheap["instructions"]["model"] / 1e6)
glue("samples_share", 100 * cheap["ram"]["samples"] / cheap["ram"]["all"])
glue("arena_share", 100 * cheap["ram"]["arena"] / cheap["ram"]["all"])
glue("stack", cheap["ram"]["stack"])
counted = {row["layer"]: row["instructions"] for row in found["layers"]}
glue("conv2_share", 100 * counted["conv2"] / sum(counted.values()))

# %% [markdown]
# With the cheap front end the program takes {glue:text}`cheap_ram:.0f` KiB of RAM and
# {glue:text}`cheap_flash:.0f` KiB of flash, with the exact one {glue:text}`exact_ram:.0f` and
# {glue:text}`exact_flash:.0f`. Both fit.
#
# The largest part of the RAM is neither the network nor the spectrum: it is sound that waits. Samples take
# {glue:text}`samples_share:.0f` % of it, the arena {glue:text}`arena_share:.0f` %. The stack, at its deepest, took
# {glue:text}`stack` bytes.
#
# ## Instructions
#
# Nobody has put this program on a board. The study ran it on an emulator, `qemu-system-arm`
# ({glue:text}`emulator`), as machine `mps2-an386`, a board of Arm's with a Cortex-M4. With `-icount shift=0` its
# clock goes on by a nanosecond for each instruction, and the chip's own timer reads it, in steps of 40. So
# instructions are counted, and the same ones each time.
#
# They are no cycles. The emulator knows no pipeline, no load or division that takes longer than an addition, and no
# flash that keeps the processor waiting. It shows where the work is, and not how long it takes.

# %% mystnb={"figure": {"name": "fig-instructions", "caption": "Study: instructions on a Cortex-M4 for a second of sound at 48 kHz, and flash, by operator; orange, either front end with its tables."}, "image": {"alt": "Two panels of horizontal bars. Of the instructions conv2 and the front ends take the most; of the flash conv3, conv4, conv2 and the front ends' tables."}}
layers = pd.DataFrame(found["layers"]).set_index("layer")
bars = layers[["instructions", "flash"]].copy()
for name, row in programs.items():
    tables = row["flash"]["tables of the front end"]
    spent = row["instructions"]["front end"]
    bars.loc[f"front end, {name}"] = spent, tables
colours = [INK] * len(layers) + [ACCENT] * len(programs)
fig, axes = plt.subplots(1, 2, figsize=(5.8, 3.8), sharey=True)
axes[0].barh(bars.index, bars["instructions"] / 1e6, color=colours)
axes[1].barh(bars.index, bars["flash"] / 1024, color=colours)
axes[0].invert_yaxis()
axes[0].set_xlabel("million instructions")
axes[1].set_xlabel("flash (KiB)")
show(fig)

# %% [markdown]
# The network takes {glue:text}`model_instructions:.1f` million instructions, and two convolutions take most of them.
# `conv2` makes half of the MACs and takes {glue:text}`conv2_share:.0f` % of the instructions.
#
# Flash is spent elsewhere. It goes where the weights are: `conv4` takes more of it than `conv2`, and a
# twelfth of the instructions. The tables of a front end are as large as a layer's weights.
#
# And the ears are not for free. The exact front end takes {glue:text}`exact_front:.1f` million, that is
# {glue:text}`exact_share:.0f` % of what the network takes; the cheap one
# {glue:text}`cheap_front:.1f` million, {glue:text}`cheap_share:.0f` %. No rule of the challenge counts them.
#
# How well are the products done? One instruction of the chip multiplies two pairs of 16-bit numbers and adds both
# products to a sum {cite}`lai2018cmsis`. So a product costs half an instruction; loading numbers and unpacking
# them from eight bits comes on top.
#
# A MAC that is counted need not be done. Taps that lie beside the picture, on its left and right, count as MACs,
# and the C leaves them out; with frames as few as two and kernels five wide, they are many. Above and below it
# does multiply zeros. `conv1` even does more than its MACs, since it fills up what it copies. `products` follows
# the loops, and a test lets the C itself count. So there are two rates, instructions for a MAC and for a product. The
# other columns are in thousands:

# %%
live = [products(operator) for operator in model.operators]
assert layers["products"].tolist() == live
large = layers[layers["macs"] > 500_000]
rates = layers.loc[layers["macs"] > 0, ["macs", "products", "instructions"]]
each = {f"for a {name}": (rates["instructions"] / rates[unit]).round(2)
        for name, unit in (("MAC", "macs"), ("product", "products"))}
for name, unit in (("per_mac", "macs"), ("per_product", "products")):
    glue(name, large["instructions"].sum() / large[unit].sum())
glue("done", 100 * large["products"].sum() / large["macs"].sum())
glue("one_tap", float(each["for a MAC"]["norm2"]))
(rates / 1e3).map("{:,.0f}".format).assign(**each)

# %% [markdown]
# The four convolutions do {glue:text}`done:.0f` % of their MACs. A product takes {glue:text}`per_product:.2f`
# instructions, and nearly the same number in `conv2`, `conv3` and `conv4`. Divided by the MACs it would be
# {glue:text}`per_mac:.2f`, and `conv4` would seem twice as well done as `conv2`. It is not, it only skips more.
#
# A normalisation needs {glue:text}`one_tap:.0f`, since each of its products is also rounded, clipped and stored.
# Its MACs are so few that it does not matter. But a count of MACs knows nothing of it.
#
# ## Large kernels or separable ones?
#
# [The complexity chapter](complexity.ipynb) found that a depthwise-separable layer does the work of `conv2` with
# a twelfth of the MACs. Is the chip twelve times faster? The study built TMSIC with its second to fourth
# convolution made separable, and counted again, with the C's depthwise kernel. It is not trained: instructions do
# not ask what the weights are. *Filters* are the depthwise half, a kernel for each map; *mixes* are the 1 × 1
# convolution behind it.

# %%
split = pd.DataFrame(found["separable"]).set_index("layer")
units, rows = ["macs", "products", "instructions"], {}
for name in ("conv2", "conv3", "conv4"):
    rows[name, "whole"] = layers.loc[name, units]
    for part in ("filters", "mixes"):
        rows[name, part] = split.loc[f"{name} {part}", units]
    both = rows[name, "filters"] + rows[name, "mixes"]
    for unit in ("macs", "instructions"):
        glue(f"{name}_{unit}", float(rows[name, "whole"][unit] / both[unit]))
table = pd.DataFrame(rows).T.astype(int)
each = (table["instructions"] / table["products"]).round(1)
filters, mixes = (table.xs(n, level=1).sum() for n in ("filters", "mixes"))
for name, row in (("filters", filters), ("mixes", mixes)):
    glue(f"{name}_rate", float(row["instructions"] / row["products"]))
(table / 1e3).map("{:,.0f}".format).assign(**{"for a product": each})

# %% [markdown]
# It is not. For `conv2`, {glue:text}`conv2_macs:.0f` times fewer MACs are
# {glue:text}`conv2_instructions:.1f` times fewer instructions. And `conv4`, with its 7 × 5 kernels on 28 maps, is
# better left whole: separable it has {glue:text}`conv4_macs:.0f` times fewer MACs, and takes more
# instructions than before.
#
# The reason is how the numbers lie. A whole kernel reads maps side by side, and two products are one instruction.
# A depthwise kernel looks at one map, whose numbers are scattered, one product at a time, and asks of each tap
# whether it lies in the picture: it needs {glue:text}`filters_rate:.0f` instructions a product in our engine. A
# mix takes {glue:text}`mixes_rate:.1f`, as its sums are short and each is rounded. A library that rearranges maps
# beforehand does better, and then separable layers pay. MACs of different kinds of layers are different
# currencies, and the engine sets the rate of exchange.
#
# ## Two pairs of ears
#
# The front end brings 48,000 samples a second down to 8,000, and the low-pass before that is most of its work.
# Python leaves it to soxr. Two filters in C do the same in steps. The **exact** ones have the response of soxr,
# and [LogMel](../input/features.ipynb)'s numbers to a thousandth of a neper at 48 kHz and two at 44.1, in bands
# less than 60 dB below the loudest. The
# **cheap** ones have half the multiplications. What do they let through?

# %% mystnb={"figure": {"name": "fig-response", "caption": "The gain from 48 to 8 kHz: around the edge at 4 kHz, with soxr's own, and for all that comes in. What is left of tones above 4 kHz folds onto the band below."}, "image": {"alt": "Two panels of decibels over kilohertz. In the upper one three curves fall together from 3.7 kHz; past 3.9 the cheap filter stops falling near -50 dB. In the lower one it has bumps up to -62 dB at 12 and 20 kHz, where the exact one is below -100."}}
hertz = np.arange(0, 24_000, 5.0)
gain = {name: frontend.response(48_000, low_pass, hertz) for name, low_pass
        in (("exact", frontend.EXACT), ("cheap", frontend.CHEAP))}
level = {name: 20 * np.log10(g + 1e-9) for name, g in gain.items()}
soxr = 20 * np.log10(frontend.soxr_response(48_000) + 1e-9)
fig, axes = plt.subplots(2, 1, figsize=(5.5, 4.8), sharey=True)
for ax, (low, high) in zip(axes, ((3_500, 4_300), (0, 24_000)), strict=True):
    for name, colour in (("exact", INK), ("cheap", ACCENT)):
        ax.plot(hertz / 1e3, level[name], color=colour, label=name)
    ax.set(xlim=(low / 1e3, high / 1e3), ylim=(-130, 10), ylabel="dB")
axes[0].plot(np.arange(4001) / 1e3, soxr, color=MUTED, ls=":", lw=3,
             label="soxr")
axes[0].legend()
axes[1].set_xlabel("kHz, of what the microphone hears")
show(fig)

# %%
off = np.abs(level["cheap"][hertz <= 3_700] - soxr[:3_701:5]).max()
glue("cheap_off", round(float(off), 1))
for name, curve in level.items():
    for what, above in (("edge", 4_000), ("fold", 8_000)):
        glue(f"{name}_{what}", round(float(curve[hertz > above].max()), 1))
assert level["exact"][hertz > 4_000].max() < -100
table = pd.DataFrame(found["programs"]).set_index(["front_end", "rate"])
pd.DataFrame({
    "multiplications": table["multiplications"].map("{:,}".format),
    "instructions": [f"{n['front end']:,}" for n in table["instructions"]],
    "flash, all": [f"{n['all']:,}" for n in table["flash"]],
    "RAM, all": [f"{n['all']:,}" for n in table["ram"]],
})

# %% [markdown]
# The table says what the filters cost. Up to 3.7 kHz the cheap ones are
# within {glue:text}`cheap_off:.1f` dB of
# soxr. They fall off with it, but they do not fall as deep. A tone just above 4 kHz comes back just below it at {glue:text}`cheap_edge:.0f` dB,
# and one above 8 kHz at {glue:text}`cheap_fold:.0f` dB at the most; of the exact ones nothing louder than
# {glue:text}`exact_edge:.0f` dB is left. That matters where something above 4 kHz is some fifty decibels louder
# than all below it.
#
# At 44.1 kHz the ratio of the rates is no whole number. The first filter then needs taps of its own for each of
# 160 phases, and the tables in flash grow. A device that may choose its rate samples at 48 kHz.
#
# ## Does it hear the same?
#
# First, the network. All logits of the program were compared with TFLM's for the same pictures.

# %%
for row in found["equal"]:
    print(f"{row['where']}: {row['equal']} of {row['clips']} clips equal")
    assert row["equal"] == row["clips"] >= 50

# %% [markdown]
# Bit for bit, on this kind of machine and on the emulated chip. Second, the whole path. Python goes from
# `LogMel` to LiteRT, which on a PC rounds a little differently from TFLM. The last column keeps the network the
# same, so that only the front end can differ.

# %%
heard = pd.DataFrame(found["agreement"])
counts = ["same_scene", "near_ties", "same_scene_by_front_end"]
labels = ["as Python (%)", "near ties (%)", "front end alone (%)"]
shares = heard[counts].div(heard["clips"], axis=0) * 100
shares.columns = labels
shown = pd.concat([heard.iloc[:, :4], shares.round(1)], axis=1)
shown.set_index("front_end")

# %%
parts = heard.groupby("front_end")[[*counts, "clips"]].sum()
for name, row in parts.iterrows():
    for key in counts:
        glue(f"{name}_{key}", float(100 * row[key] / row["clips"]))
    glue(f"{name}_clips", int(row["clips"]))
fresh = heard[heard["corpus"].str.contains("seed")]
fresh = fresh.set_index("front_end")
assert (heard["same_scene"] + heard["near_ties"] == heard["clips"]).all()
for key in ("right", "python_right", "clips"):
    glue(f"fresh_{key}", int(fresh[key]["cheap"]))
differ = fresh["clips"] - fresh["same_scene"]
glue("fresh_most", float(100 * differ["cheap"] / fresh["clips"]["cheap"]))

# %% [markdown]
# With the exact front end the whole path names {glue:text}`exact_same_scene:.1f` % of {glue:text}`exact_clips`
# clips as Python does (those of one corpus were heard at two rates, and count twice). All the others are near
# ties: Python's own first scene is at most two steps of int8 ahead of the program's. Nearly always LiteRT's
# roundings decide those, and not the ears: with the same network behind them, LogMel and the exact front end
# agree on {glue:text}`exact_same_scene_by_front_end:.2f` %.
#
# The cheap front end agrees with Python on {glue:text}`cheap_same_scene:.1f` %, and its other clips are near ties
# as well. What does it cost in scenes? Its taps were chosen on the embedded corpus, so what counts is another
# rendering, of {glue:text}`fresh_clips` clips. There {glue:text}`fresh_right` are named rightly, and
# {glue:text}`fresh_python_right` by Python. So no cost was found; and as so few clips are named otherwise, it
# cannot be more than {glue:text}`fresh_most:.1f` points on these.
#
# ## How long, and how much energy?
#
# An emulator knows neither. What can be done without a board is to look at boards of others. MLPerf Tiny
# {cite}`banbury2021mlperf` publishes what a small ResNet takes on many of them. These are four of its
# measurements: three by STMicroelectronics with its own library, X-CUBE-AI {cite}`mlcommons2024tiny`, and an
# older one with microTVM and CMSIS-NN {cite}`mlcommons2022tiny`. If time and energy grow with the MACs, the
# student takes as many times that as it has more MACs.


# %%
RESNET = (9 * 16 * (3 + 2 * 16) * 32**2  # MACs, from its layers
          + (9 * (16 * 32 + 32 * 32) + 16 * 32) * 16**2
          + (9 * (32 * 64 + 64 * 64) + 32 * 64) * 8**2 + 64 * 10)
ratio = found["file"]["macs"] / RESNET
boards = pd.DataFrame(  # of MLPerf Tiny's logs: seconds, mJ an inference
    [("NUCLEO-L4R5ZI", "M4", 120, "X-CUBE-AI", 0.165, 6.9),
     ("NUCLEO-L4R5ZI", "M4", 120, "microTVM", 0.390, 20.2),
     ("NUCLEO-U575ZI-Q", "M33", 160, "X-CUBE-AI", 0.111, 2.58),
     ("NUCLEO-H7A3ZI-Q", "M7", 280, "X-CUBE-AI", 0.0408, 5.09)],
    columns=["board", "Cortex", "MHz", "library", "s", "mJ"])
estimate = boards.assign(s=boards["s"] * ratio, mJ=boards["mJ"] * ratio)
for unit in ("s", "mJ"):
    boards[f"about ({unit})"] = estimate[unit].map("{:.2g}".format)
boards.drop(columns=["s", "mJ"]).set_index("board")

# %% [markdown]
# The last two columns are **estimates** for the student, and no more than their two digits are meant. It has
# {glue:text}`ratio:.1f` times the MACs of that ResNet, so on a Cortex-M4 at 120 MHz, the core and the clock of
# our chip, a clip would take from {glue:text}`s_low:.1g` to {glue:text}`s_high:.1g` s and from
# {glue:text}`mj_low:.0f` to {glue:text}`mj_high:.0f` mJ.
#
# Between the two times lies software: the same board at the same clock, with two libraries. An engine that nobody
# has put on a board, such as ours, cannot be placed between them. Nor does this hold the front end. But our count
# gives a floor, since a Cortex-M4 does one instruction a cycle at the most.
#
# From sound to answer it then takes this long. A second of sound has to be whole first. The front end works as it
# comes, and has the last frame left to do. Then the network runs, and meanwhile new samples wait, 96 kB for each
# second:

# %%
CLOCK = 120e6
spent = cheap["instructions"]
times = {"our count, at its floor": spent["model"] / CLOCK,
         "as X-CUBE-AI": estimate["s"][0], "as microTVM": estimate["s"][1]}
wait = pd.DataFrame({"network (s)": times})
last = spent["in 2 ms"] / CLOCK
wait["answer after (s)"] = 1 + last + wait["network (s)"]
wait["sound that waits (kB)"] = 96 * wait["network (s)"]
wait["chip busy (%)"] = 100 * (wait["network (s)"]
                               + spent["front end"] / CLOCK)
buffer = cheap["ram"]["samples"] / 1e3
fits = wait["sound that waits (kB)"] < buffer
assert fits.tolist() == [True, True, False]
wait.map("{:.2g}".format)

# %%
glue("ratio", ratio)
for name, row in (("low", estimate.loc[0]), ("high", estimate.loc[1])):
    glue(f"s_{name}", float(row["s"]))
    glue(f"mj_{name}", float(row["mJ"]))
for name, row in zip(("floor", "low", "high"), wait.index, strict=True):
    glue(f"answer_{name}", float(wait["answer after (s)"][row]))
    glue(f"waits_{name}", float(wait["sound that waits (kB)"][row]))
glue("buffer", buffer)
rest = cheap["ram"]["all"] / KIB - buffer / 1.024  # KiB of all else
glue("filled", rest + wait["sound that waits (kB)"]["as microTVM"] / 1.024)

# %% [markdown]
# So an answer comes {glue:text}`answer_floor:.1f` s after its second began at the earliest, and
# {glue:text}`answer_low:.1f` to {glue:text}`answer_high:.1f` s by the estimates. Our buffer holds
# {glue:text}`buffer:.0f` kB. That suffices at the fast end, where {glue:text}`waits_low:.0f` kB wait, and not at
# the slow end, where it would be {glue:text}`waits_high:.0f` kB: with them the program takes
# {glue:text}`filled:.0f` KiB, all that the chip has. The front end counts at its floor in all rows, so the last
# column is a floor as well; at the slow end little is left of the second.
#
# ## Takeaways
# * The student runs on an emulated Cortex-M4, ears and all, in {glue:text}`cheap_ram:.0f` KiB of RAM and
#   {glue:text}`cheap_flash:.0f` KiB of flash; sound that waits takes more RAM than the network.
# * The arena is a third smaller than input and output of the largest layer, since a convolution can overrun
#   its own input. An interpreter that keeps to the file needs nearly twice as much, and dynamic range four times that.
# * The convolutions do {glue:text}`done:.0f` % of their MACs, at {glue:text}`per_product:.2f` instructions a product; separable filters take
#   {glue:text}`filters_rate:.0f` in our engine, which has no fast kernel for them. For
#   `conv2`, {glue:text}`conv2_macs:.0f` times fewer MACs are {glue:text}`conv2_instructions:.1f` times fewer instructions, and for the last convolution more of them.
# * Even the cheap front end costs {glue:text}`cheap_share:.0f` % of the network's instructions, and no rule counts it. It lets
#   more through from above 4 kHz; on a fresh rendering that was not found to cost scenes.
# * All logits equal TFLM's, since the C rounds twice as TFLM does. Scenes differ from Python's on a PC only where two are nearly tied.
# * At 120 MHz a clip would take about {glue:text}`s_low:.1g` to {glue:text}`s_high:.1g` s and {glue:text}`mj_low:.0f` to
#   {glue:text}`mj_high:.0f` mJ: estimates, from another network on others' boards.
#
# ## Exercises
# **1.** The chip of the first chapter runs at 80 MHz instead of 120. Is half a second of samples enough for the slower of the two
# estimates? And for the faster?
#
# :::{dropdown} Solution
# Times grow by 120 / 80 = 1.5. The faster estimate becomes about half a second, and the front end has to run in
# that time as well: too late, unless more samples are held. The slower one is far over a second, so no buffer
# helps: the chip falls behind with every clip.
# :::
#
# **2.** Twice as many filters in every layer: does the arena still fit, with all the rest? Use the figures above.
#
# :::{dropdown} Solution
# All activations but the input grow with the number of filters, and so does what `conv2` unpacks: about 69,300
# bytes instead of 34,656. With 68,000 bytes of samples, front end, stack and the rest it is about 137,500, over
# the 131,072 of the chip. With a quarter of a second of samples less it would fit, and an answer would have to
# come in a quarter of a second. The weights grow fourfold, to some 200 kB. The flash would hold them; the
# challenge's 128 kB would not.
# :::
#
# **3.** Bring a network of your own to the chip, and find its most expensive layer. It takes Debian's `make`,
# `gcc-arm-none-eabi` and `qemu-system-arm`.
#
# :::{dropdown} Solution
# ```python
# from asclib.compression import export
# from asclib.deploy import run_on_chip
#
# path = export(mine, "mine.tflite", "full_int8", calibration=Calibration(clips))
# read = read_model(path)
# noise = np.zeros((1, *read.input.shape[1:]), np.int8)
# counted = run_on_chip(write_firmware(path, "mine"), noise)
# costs = pd.Series(counted.layers, [o.kind for o in read.operators])
# costs.sort_values()
# ```
# An operator that the engine does not know is refused by its name. Divide by
# `complexity_of_file(path).layers["macs"]` to see which layers are dear for what they do.
# :::
#
# ## What is next
# Costs are known, on paper and on a chip. [The entry of 2022](../challenges/entry_2022.ipynb) puts a network,
# its costs and its answers into the package that was handed in.
