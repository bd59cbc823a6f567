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
# enough there. In this chapter the student goes there, if only on an emulator, and with its ears: samples in, a scene
# out.
#
# ## What you will learn
# * how a `.tflite` file becomes plain C that any compiler takes;
# * where activations lie in one block of memory, and why it is smaller than the sum of two layers;
# * what flash, RAM and instructions are spent on, layer by layer, the front end included;
# * why twelve times fewer MACs are not twelve times fewer instructions;
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
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soxr

from asclib import Experiment, deploy, store
from asclib.complexity import complexity_of_file
from asclib.compression import Calibration, exported
from asclib.compression.qat import range_calibration
from asclib.corpus import read_audio
from asclib.deploy import frontend
from asclib.plotting import ACCENT, INK, MUTED, glue, glue_points, players
from asclib.plotting import show, use_style

# %% [markdown]
# ## From the notebook to a file
#
# The interpreter that microcontrollers use, TensorFlow Lite Micro (TFLM), runs files in float or in full integer, and
# refuses those in between. Float takes four times the bytes; what we are about to write takes full integer only. Ranges
# come from training clips, as in [quantisation](quantization.ipynb), with one precaution. A frame of digital silence
# lies at −36 nepers, far below anything that a microphone hears. One such frame among the clips would stretch the
# input's range, and leave {glue:text}`left:.0f` % of its steps to all that sounds. `range_calibration` gives such a
# frame the values of its clip's softest frame that sounds.

# %%
use_style()
found = store.results("firmware")
experiment = Experiment(profile, data_root, seed)
net = experiment.student().net().eval()
clips = range_calibration(experiment.data).clips
path = exported(net, "full_int8", Calibration(clips))
model = deploy.read_model(path)
count = complexity_of_file(path)
scale, zero = model.input.scale[0], model.input.zero[0]
glue("step", float(scale))
glue("left", float(100 * 255 / (127 - zero + 36 / scale)))  # silence: -36

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
# A convolution sums products of int8 in 32 bits. For an output map $c$ with bias $b_c$ the sum becomes int8 on the grid
# of the output by
#
# $$ y = z_y + M_c \Big( \sum (x - z_x)\, w + b_c \Big), \qquad M_c = \frac{s_x s_{w,c}}{s_y}, $$
#
# with the scales $s$ and zero points $z$ of input, weights and output {cite}`jacob2018quantization`. The factor $M_c$
# is no integer, and the network is to need no floats. So it is written as
#
# $$ M_c \approx \frac{m}{2^{31}}\, 2^{e}, \qquad 2^{30} \le m < 2^{31}, $$
#
# and multiplying by it takes two steps: a product of two integers without its lower 31 bits, and a shift to the
# right by $-e$ bits. Each of them rounds, the shift away from zero where it is in doubt. Does it matter that a number is
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
print(f"{len(other)} of {len(sums):,} sums round otherwise: {other[:3]} ...")
assert 230 in other and max(map(abs, np.subtract(once, twice))) == 1

# %% [markdown]
# It does, if seldom. From 230 follows 0.4991, which a single rounding makes 0. The first of two makes it 128 /
# 256, just a half, and the second lifts that to 1: a step of int8 away. TFLM rounds twice, so the C does as well, and
# both agree in every bit.
#
# ## C
#
# `write_firmware` writes a folder of C99: the model, a handful of kernels, a start-up file and a linker script.
# `write_listener` adds the front end and the programs that hear. From a shell it is
# `python -m asclib firmware student.tflite DIR`. Nothing in it asks for memory while it runs.

# %%
folder = Path(tempfile.mkdtemp())
deploy.write_listener(path, deploy.write_firmware(path, folder))
code = (folder / "model.c").read_text()
start = code.index("void model_run")
calls = [line for line in code[start:].splitlines() if "layer_" in line]
make = (folder / "Makefile").read_text().splitlines()
names = ("FLAGS", "CORTEX_M4", "BARE", "SOUND")
flags = [line for line in make if line.startswith(names)]
files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*"))
for line in (" ".join(files), *flags, *calls):
    print(textwrap.fill(line, 72, subsequent_indent="    "))
for name in ("compiler", "emulator"):
    glue(name, found["tools"][name])

# %% [markdown]
# The study's compiler was {glue:text}`compiler`, with the flags printed above; `SOUND` is for the programs that
# hear. One inference is a dozen calls. Each is given addresses in one block of memory, the **arena**, all known before
# the program starts; what remains is to choose them well.
#
# ## One arena
#
# An activation is needed from the operator that makes it to the last one that reads it. Two that are never needed
# at once may share their bytes. {numref}`fig-arena` has a box for each: as wide as it is needed, as high as it is
# large, at the place where it lies.

# %% mystnb={"figure": {"name": "fig-arena", "caption": "The arena while the operators run, from left to right. A box is an activation, named after the operators that write it; orange boxes are rows of its input that a convolution has unpacked to 16 bits. Dashed: the size of the arena."}, "image": {"alt": "Boxes over twelve operators. During conv2 those of conv1 and conv2 overlap and, with a small orange one below, reach the dashed line at 35 kB. From conv4 on the boxes are small."}}
placed = deploy.plan(model)
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
# Three things keep it low. A normalisation writes where it reads. Boxes over different operators use the same bytes.
# And where two boxes overlap, a convolution or a pooling overruns its own input: it works from the lowest mel bands
# upwards, and those that it writes over are read already. This is known as diagonal memory optimisation {cite}`blacker2020diagonal`; TinyEngine has depthwise convolutions in place
# {cite}`lin2020mcunet`.
#
# Why is the peak at `conv2`? It reads a large map and writes the largest. Its kernel sees seven mel bands, and three
# rows of output are made at once: so nine rows of the input have to be unpacked. `conv2` alone fills the arena, so no
# other way to place the boxes makes it smaller.
#
# Here are several figures for this memory; TFLM's is from its recording allocator:

# %%
dynamic = complexity_of_file(exported(net, "dynamic_range"))
conv2, asked = (20 + 28) * 140 * 8, found["interpreter"]
needed = placed.held[layer.index("conv2")]
print(f"{conv2:7,} input and output of conv2, as by the formula")
print(f"{count.arena:7,} the file in its own order, nothing in place")
print(f"{asked['activations']:7,} TFLM, and {asked['notes']:,} of its own")
print(f"{placed.arena:7,} the C, of which conv2 needs {needed:,}")
print(f"{dynamic.arena:7,} the dynamic range file in its own order")
assert placed.arena == needed < conv2 < count.arena < dynamic.arena
assert count.arena == asked["activations"]

# %% [markdown]
# [The first chapter](../task/challenge.ipynb) and [complexity](complexity.ipynb) show the first figure: the
# formula lets element-wise layers write over their input, and asks that input and output of a convolution exist
# at once. The file knows nothing of writing in place: its normalisation after `conv2` reads one large map and makes
# another, and two maps of 31,360 bytes set the peak. TFLM keeps to the file; what it takes for itself is less on a
# chip than on a PC. The C does better than the formula, since it overruns.
#
# **Dynamic range** keeps activations in float, four bytes each, and so takes four times the second figure: twice the
# RAM of the chip.
#
# ## All in
#
# A network that fits is not a system that fits. Samples have to be held while the network is busy: half a second
# of them at 48 kHz, in 16 bits. The front end computes in floats, for which the chip has a unit of single precision;
# one in int16 was not tried. It holds a frame of 2,048 samples at 8 kHz, its spectrum, which is
# transformed in place, and the last inputs of the low-pass filters that bring 48 kHz down to 8. There are two sets
# of these: the **exact** filters have the response of soxr, which Python uses, and the **cheap** ones half the
# multiplications. The study compiled the whole program with either. The stack counts as the 4 KiB that the linker
# script keeps for it.
#
# One thing is left out: sound that arrives by itself. A file fills the buffer of samples, whenever it is empty. So the
# program shows what is computed and held, and not that it keeps up.

# %% mystnb={"figure": {"name": "fig-all-in", "caption": "Study: RAM and flash of the whole program at 48 kHz, part by part, with the cheap and the exact front end. Dashed: what the chip has. A file takes the place of the microphone."}, "image": {"alt": "Bars for each part. In RAM the samples take 47 KiB, the arena 34, a frame and its spectrum 8 each, the stack 4, the rest little; all take about 105 of 128. In flash the layers take 62, tables 17 or 24, all 83 or 90 of 256."}}
EARS = {"cheap": ACCENT, "exact": INK}  # a front end and its colour
programs = {row["front_end"]: row for row in found["programs"]
            if row["rate"] == 48_000}
fig, axes = plt.subplots(
    2, 1, figsize=(5.8, 6.4), gridspec_kw={"height_ratios": (9, 4)})
for ax, kind, most in zip(axes, ("ram", "flash"), (128, 256), strict=True):
    parts = pd.DataFrame({name: programs[name][kind] for name in EARS})
    (parts[::-1] / 1024).plot.barh(ax=ax, color=list(EARS.values()),
                                   width=0.8, legend=kind == "ram")
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
glue("stack", cheap["deepest stack"])
counted = {row["layer"]: row["instructions"] for row in found["layers"]}
for name in ("conv2", "conv4"):
    glue(f"{name}_share", 100 * counted[name] / sum(counted.values()))

# %% [markdown]
# With the cheap front end the program takes {glue:text}`cheap_ram:.0f` KiB of RAM and
# {glue:text}`cheap_flash:.0f` KiB of flash, with the exact one {glue:text}`exact_ram:.0f` and
# {glue:text}`exact_flash:.0f`. Both fit.
#
# The largest part of the RAM is neither the network nor the spectrum: it is sound that waits. Samples take
# {glue:text}`samples_share:.0f` % of it, the arena {glue:text}`arena_share:.0f` %. That is a choice of this program,
# which keeps samples as they came; filtered to 8 kHz as they arrive, in an interrupt, they would be a sixth. The
# stack, at its deepest, took {glue:text}`stack` of the bytes that are kept for it.
#
# ## Instructions
#
# The study ran the program on no board but an emulator, `qemu-system-arm` ({glue:text}`emulator`), as machine
# `mps2-an386`, a board of Arm's with a Cortex-M4. With `-icount shift=0` its clock goes on by a nanosecond for each
# instruction, and the chip's own timer reads it, in steps of 40. So instructions are counted, and no cycles: the
# emulator knows no load that takes longer than an addition, and no flash that keeps the processor waiting.

# %% mystnb={"figure": {"name": "fig-instructions", "caption": "Study: instructions on a Cortex-M4 for a second of sound at 48 kHz, and flash, by operator; last, either front end with its tables, in the colours of the figure before."}, "image": {"alt": "Two panels of horizontal bars. Of the instructions conv2 and the front ends take the most; of the flash conv3, conv4, conv2 and the front ends' tables."}}
layers = pd.DataFrame(found["layers"]).set_index("layer")
bars = layers[["instructions", "flash"]].copy()
for name in EARS:
    row = programs[name]
    tables = row["flash"]["tables of the front end"]
    spent = row["instructions"]["front end"]
    bars.loc[f"front end, {name}"] = spent, tables
colours = [MUTED] * len(layers) + list(EARS.values())
fig, axes = plt.subplots(1, 2, figsize=(5.8, 3.8), sharey=True)
axes[0].barh(bars.index, bars["instructions"] / 1e6, color=colours)
axes[1].barh(bars.index, bars["flash"] / 1024, color=colours)
axes[0].invert_yaxis()
axes[0].set_xlabel("million instructions")
axes[1].set_xlabel("flash (KiB)")
show(fig)

# %% [markdown]
# The network takes {glue:text}`model_instructions:.1f` million instructions, and two convolutions take most of them.
# `conv2` makes half of the MACs and takes {glue:text}`conv2_share:.0f` % of the instructions. Flash goes where the
# weights are: `conv4` takes more of it than `conv2`, for {glue:text}`conv4_share:.0f` % of the instructions.
#
# The exact front end takes {glue:text}`exact_front:.1f` million, that is
# {glue:text}`exact_share:.0f` % of what the network takes; the cheap one
# {glue:text}`cheap_front:.1f` million, {glue:text}`cheap_share:.0f` %. So {glue:text}`cheap_of_all:.0f` % of all
# instructions are those of code in floats, and no rule of the challenge counts them.
#
# How well are the products done? One instruction of the chip multiplies two pairs of 16-bit numbers and adds both
# products to a sum {cite}`lai2018cmsis`. So a product costs half an instruction; loading numbers and unpacking
# them from eight bits comes on top.
#
# A MAC that is counted need not be done. Taps that lie beside the picture, on its left and right, count as MACs,
# and the C leaves them out; with frames as few as two and kernels five wide, they are many. Above and below it
# does multiply zeros. `conv1` even does more than its MACs, since it fills up what it copies. So there are two rates,
# instructions for a MAC and for a product. The other columns are in thousands:

# %%
live = [deploy.products(operator) for operator in model.operators]
assert layers["products"].tolist() == live
large = layers[layers["macs"] > 500_000]
rates = layers.loc[layers["macs"] > 0, ["macs", "products", "instructions"]]
each = {f"for a {name}": (rates["instructions"] / rates[unit]).round(2)
        for name, unit in (("MAC", "macs"), ("product", "products"))}
for name, unit in (("per_mac", "macs"), ("per_product", "products")):
    glue(name, large["instructions"].sum() / large[unit].sum())
glue("done", 100 * large["products"].sum() / large["macs"].sum())
glue("one_tap", float(each["for a MAC"]["norm2"]))
rates = rates.rename(columns={"macs": "MACs"})
(rates / 1e3).map("{:,.0f}".format).assign(**each)

# %% [markdown]
# The four convolutions do {glue:text}`done:.0f` % of their MACs. A product takes {glue:text}`per_product:.2f`
# instructions, and nearly the same number in `conv2`, `conv3` and `conv4`. Divided by the MACs it would be
# {glue:text}`per_mac:.2f`, and `conv4` would seem twice as well done as `conv2`. It is not, it only skips more. No
# other library's kernels were counted.
#
# A normalisation needs {glue:text}`one_tap:.0f`, since each of its products is also rounded, clipped and stored.
#
# ## Large kernels or separable ones?
#
# [The complexity chapter](complexity.ipynb) built a depthwise-separable layer that makes maps of the same shape as
# `conv2` with a twelfth of the MACs, though not by the same function. Is the chip twelve times faster? The study
# built TMSIC with its second to fourth convolution made separable, and counted again. That network is not trained, and
# how accurate it would be is not known. *Filters* are the
# depthwise half, a kernel for each map; *mixes* are the 1 × 1 convolution behind it.

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
table = pd.DataFrame(rows).T.astype(int).rename(columns={"macs": "MACs"})
each = (table["instructions"] / table["products"]).round(1)
filters, mixes = (table.xs(n, level=1).sum() for n in ("filters", "mixes"))
for name, row in (("filters", filters), ("mixes", mixes)):
    glue(f"{name}_rate", float(row["instructions"] / row["products"]))
(table / 1e3).map("{:,.0f}".format).assign(**{"for a product": each})

# %% [markdown]
# It is faster, but not by as much. For `conv2`, {glue:text}`conv2_macs:.0f` times fewer MACs are
# {glue:text}`conv2_instructions:.1f` times fewer instructions, and for `conv4`, with its 7 × 5 kernels on 28 maps,
# {glue:text}`conv4_macs:.0f` times fewer are {glue:text}`conv4_instructions:.1f` times. The whole network has
# {glue:text}`whole_macs:.1f` times fewer MACs and {glue:text}`whole_network:.1f` times fewer instructions; with the
# cheap ears before it, {glue:text}`whole_ears:.1f` times fewer.
#
# A whole convolution adds neighbouring maps up to one sum: two products are one instruction, and what has been loaded
# and unpacked serves two output maps and three rows. A depthwise one has a sum for each map. In our C each
# product is then an instruction of its own, and no weight serves twice, where Arm's library pairs two taps of a map: that makes {glue:text}`filters_rate:.1f` instructions a product.
# A mix takes {glue:text}`mixes_rate:.1f`, as its sums are short and each is rounded. MACs of different kinds of layers
# are different currencies, and the engine sets the rate of exchange.
#
# ## Two pairs of ears
#
# What do the cheap filters let through that the exact ones stop? Both go to 8 kHz by way of 16. With the exact ones the front end gives [LogMel](../input/features.ipynb)'s numbers to within 0.001 nepers at 48 kHz
# and 0.002 at 44.1, in bands less than 60 dB below the loudest.

# %% mystnb={"figure": {"name": "fig-response", "caption": "The gain from 48 to 8 kHz: around the edge at 4 kHz, with soxr's own, and for all that comes in. What is left of tones above 4 kHz folds onto the band below."}, "image": {"alt": "Two panels of decibels over kilohertz. In the upper one three curves fall together from 3.7 kHz; past 3.9 the cheap filter stops falling near -50 dB. In the lower one it has bumps, -62 dB at 12 kHz and lower ones further up, where the exact one is below -100."}}
hertz = np.arange(0, 24_000, 5.0)
filters_of = {"cheap": frontend.CHEAP, "exact": frontend.EXACT}
level = {name: 20 * np.log10(frontend.response(48_000, f, hertz) + 1e-9)
         for name, f in filters_of.items()}
ideal = 20 * np.log10(frontend.soxr_response(48_000) + 1e-9)
fig, axes = plt.subplots(2, 1, figsize=(5.5, 4.8), sharey=True)
for ax, (low, high) in zip(axes, ((3_500, 4_300), (0, 24_000)), strict=True):
    for name, colour in EARS.items():
        ax.plot(hertz / 1e3, level[name], color=colour, label=name)
    ax.set(xlim=(low / 1e3, high / 1e3), ylim=(-130, 10), ylabel="dB")
axes[0].plot(np.arange(4001) / 1e3, ideal, color=MUTED, ls=":", lw=3,
             label="soxr")
axes[0].legend()
axes[1].set_xlabel("kHz, of what the microphone hears")
show(fig)

# %%
off = np.abs(level["cheap"][hertz <= 3_700] - ideal[:3_701:5]).max()
glue("cheap_off", round(float(off), 1))
half = 20 * np.log10(np.expm1(model.input.scale[0] / 2))  # a step's, in dB
for what, above in (("edge", 4_000), ("fold", 8_000)):
    most = float(level["cheap"][hertz > above].max())
    glue(f"cheap_{what}", round(most, 1))
    glue(f"{what}_moves", float(half) - most)
assert level["exact"][hertz > 4_000].max() < -100
both = [programs[name] for name in EARS]  # cheap, exact
each = np.subtract(*(row["instructions"]["front end"] for row in both))
each = each / np.subtract(*(row["multiplications"] for row in both))
for row, name in zip(both, EARS, strict=True):
    share = each * row["multiplications"] / row["instructions"]["front end"]
    glue(f"{name}_filters", float(100 * share))
glue("each", float(each))

# %%
ears = cheap["instructions"]["front end"]
glue("cheap_of_all", 100 * ears / (ears + cheap["instructions"]["model"]))
before, after = (part["instructions"].sum() for part in (layers, split))
glue("whole_macs", layers["macs"].sum() / split["macs"].sum())
glue("whole_network", before / after)
glue("whole_ears", (before + ears) / (after + ears))
table = pd.DataFrame(found["programs"])
pd.DataFrame({
    "front end": table["front_end"],
    "rate (Hz)": table["rate"],
    "multiplications": table["multiplications"].map("{:,}".format),
    "instructions": [f"{n['front end']:,}" for n in table["instructions"]],
    "flash, all (bytes)": [f"{n['all']:,}" for n in table["flash"]],
    "RAM, all (bytes)": [f"{n['all']:,}" for n in table["ram"]],
}).set_index("front end")

# %% [markdown]
# At 48 kHz each further multiplication of the exact filters costs {glue:text}`each:.1f` instructions. At that rate
# the filters are {glue:text}`cheap_filters:.0f` % of the cheap front end and {glue:text}`exact_filters:.0f` % of the
# exact one; spectrum and mel bands are the rest. At 44.1 kHz the ratio of the rates is no whole number: the first
# filter needs taps of its own for each of 160 phases, and the tables grow.
#
# Up to 3.7 kHz the cheap filters are within {glue:text}`cheap_off:.1f` dB of soxr. Above, they do not fall as deep.
# A tone just above 4 kHz comes back just below it at {glue:text}`cheap_edge:.0f` dB, and one above 8 kHz at
# {glue:text}`cheap_fold:.0f` dB at the most. How does that sound? Here is the test clip that has most above
# 4 kHz beside what it has below:

# %%
def brightness(sound):  # a second: energy above 4 kHz over that below
    power = np.abs(np.fft.rfft(sound)) ** 2
    return power[4_000:].sum() / power[:4_000].sum()


log_mel, root = experiment.data.front_end, experiment.corpus.root
names = experiment.corpus.split("test")["filename"]
sound = max((read_audio(root / name) for name in names), key=brightness)
sound = soxr.resample(sound, 44_100, 48_000)
low = {n: frontend.low_passed(sound, f) for n, f in filters_of.items()}
low["soxr"] = soxr.resample(sound, 48_000, 8_000)
picture = {n: log_mel(x[None], 8_000)[0, 0].numpy() for n, x in low.items()}
own = picture["cheap"] - picture["exact"]
low["cheap less soxr, amplified"] = rest = low["cheap"] - low["soxr"]
gain = 20 * np.log10(abs(low["soxr"]).max() / abs(rest).max())
players({name: np.float32(x) for name, x in low.items()}, 8_000)

# %% [markdown]
# It sounds the same, or nearly so: the last sound is all that the cheap filters add or lose, and it had to be amplified
# by {glue:text}`gain:.0f` dB to be as loud as the others. Of the picture, their numbers are off the exact ones by
# {glue:text}`own_mean:.2f` steps of int8 on average, and by {glue:text}`own_worst:.1f` at the most.
#
# A step is {glue:text}`step:.3f` nepers, and less than half of it mostly vanishes in rounding. But each band
# has a logarithm of its own. So what counts is how loud something above 4 kHz is beside the one band onto which it
# folds, and a soft band is easily moved. Let us add a tone to the clip, so many decibels above that band:

# %%
rows = {}
worst = float(hertz[hertz > 8_000][level["cheap"][hertz > 8_000].argmax()])
for tone in (worst, 4_005):
    wave = np.sin(2 * np.pi * tone / 48_000 * np.arange(48_000))
    below = np.sin(2 * np.pi * tone / 8_000 * np.arange(8_000))  # folds
    alone = log_mel(below[None], 8_000)[0, 0, :, 3].numpy()
    band, loud = alone.argmax(), alone.max()
    for louder in range(10, 51, 10):
        size = 10 ** (louder / 20) * np.exp(picture["exact"][band, 3] - loud)
        x = sound + size * wave
        a, b = (log_mel(frontend.low_passed(x, f)[None], 8_000)[0, 0].numpy()
                for f in filters_of.values())
        rows[int(tone), louder] = np.abs(a - b - own)[band, 2:6].mean()
moved = (pd.Series(rows) / scale).unstack().round(1)
moved.rename_axis(index="tone (Hz)", columns="above its band (dB)")

# %%
glue("gain", float(gain))
glue("own_mean", float(abs(own).mean() / scale))
glue("own_worst", float(abs(own).max() / scale))
assert size > 1  # of full scale
toned = {f"50 dB at {tone} Hz, {n}": frontend.low_passed(x, f)
         for n, f in filters_of.items()}
players({n: np.float32(y) for n, y in toned.items()}, 8_000)

# %% [markdown]
# The numbers are steps of int8 by which the cheap filters move the band. At the least, half a
# step needs {glue:text}`edge_moves:.0f` dB just above 4 kHz, and {glue:text}`fold_moves:.0f` above 8; the means in
# the table are smaller, since phases do not always agree. The players have the last tone of the first row, which
# would just overrun 16 bits: the cheap filters leave some of it, just below 4 kHz.
#
# ## Does it hear the same?
#
# First the network alone: all logits of the program were compared with TFLM's for the same pictures. Then the whole
# path, by the C on a PC. Python goes from `LogMel` to LiteRT, which on a PC rounds a little differently from TFLM, so
# near ties may fall the other way. A **near tie** is a clip whose scene by the program is, in Python's logits, at most
# two steps of int8 behind the first. The last column keeps the network the same, so that only the front end can differ.

# %%
for row in found["equal"]:
    assert row["equal"] == row["clips"] >= 50
    glue(f"{row['where']}_clips", row["clips"])
heard = pd.DataFrame(found["agreement"])
heard = heard.replace("real recordings", "ESC-10 sounds")
columns = {"same_scene": "as Python (%)", "near_ties": "near ties (%)",
           "close": "all so near (%)",
           "same_scene_by_front_end": "front end alone (%)"}
shares = heard[list(columns)].div(heard["clips"], axis=0) * 100
names = {"front_end": "front end", "rate": "rate (Hz)"}
shown = heard[["front_end", "corpus", "rate", "clips"]].rename(columns=names)
shown = pd.concat([shown, shares.round(1).rename(columns=columns)], axis=1)
shown.set_index("front end")

# %%
assert (heard["same_scene"] + heard["near_ties"] == heard["clips"]).all()
for name, part in shares.groupby(heard["front_end"]):
    for key in ("same_scene", "same_scene_by_front_end"):
        glue(f"{name}_{key}", float(part[key].min()))
glue("equal_numbers", float(100 * heard["same_numbers"].min()))
fresh = heard[heard["corpus"].str.contains("seed")].set_index("front_end")
for name, right in fresh["right"].items():
    glue(f"fresh_{name}", float(100 * right / fresh["clips"][name]))
fresh = fresh.loc["cheap"]
glue("fresh_clips", int(fresh["clips"]))
glue("fresh_places", int(fresh["more_right"]["locations"]))
for name, key in (("fresh", "more_than_exact"), ("python", "more_right")):
    more = [fresh[key][n] for n in ("estimate", "low", "high")]
    assert -0.01 < more[1] < more[2] < 0.01
    glue_points(name, *more)

# %% [markdown]
# The logits are equal bit for bit: of {glue:text}`host_clips` clips on a PC, and of the {glue:text}`chip_clips` that
# were played to the emulated chip. With the exact front end the program names at least
# {glue:text}`exact_same_scene:.1f` % of each set of clips as Python does, with the cheap one
# {glue:text}`cheap_same_scene:.1f` %, and all the others are near ties. The column before the last counts all clips
# whose two best scenes are as near in Python. With the exact front end mostly LiteRT's roundings decide them: with one
# network behind both, LogMel and it agree on {glue:text}`exact_same_scene_by_front_end:.1f` % or more. The cheap one
# leaves at least {glue:text}`equal_numbers:.0f` % of a picture's numbers as they are. The sounds of ESC-10
# {cite}`piczak2015esc` are no scenes; they are here because they were recorded and not computed.
#
# What do cheap ears cost in scenes? Their taps were chosen on the embedded corpus, so what counts is another
# rendering, of {glue:text}`fresh_clips` clips at 44.1 kHz. With the same C network behind both, the exact front end leads to
# {glue:text}`fresh_exact:.1f` % right, the cheap one to {glue:text}`fresh_cheap:.1f` %: a difference of
# {glue:text}`fresh:+.1f` points, {glue:text}`fresh_low:+.1f` to {glue:text}`fresh_high:+.1f` over
# {glue:text}`fresh_places` locations. Against Python, LiteRT's roundings included, it is {glue:text}`python:+.1f`
# ({glue:text}`python_low:+.1f` to {glue:text}`python_high:+.1f`). Both are less than a point either way, for this one
# network, which is a weak one.
#
# ## How long, and how much energy?
#
# An emulator knows neither. What can be done without a board is to look at boards of others. MLPerf Tiny
# {cite}`banbury2021mlperf` publishes what a small ResNet takes on many of them. These are four of its
# measurements, on boards called NUCLEO: three by STMicroelectronics with its own library, X-CUBE-AI
# {cite}`mlcommons2024tiny`, and an older one with microTVM and CMSIS-NN {cite}`mlcommons2022tiny`.

# %%
RESNET = (9 * 16 * (3 + 2 * 16) * 32**2  # MACs, from its layers
          + (9 * (16 * 32 + 32 * 32) + 16 * 32) * 16**2
          + (9 * (32 * 64 + 64 * 64) + 32 * 64) * 8**2 + 64 * 10)
ratio = found["file"]["macs"] / RESNET
boards = pd.DataFrame(  # of MLPerf Tiny's logs: seconds, mJ an inference
    [("L4R5ZI", "M4", 120, "X-CUBE-AI", 0.165, 6.9),
     ("L4R5ZI", "M4", 120, "microTVM", 0.390, 20.2),
     ("U575ZI-Q", "M33", 160, "X-CUBE-AI", 0.111, 2.58),
     ("H7A3ZI-Q", "M7", 280, "X-CUBE-AI", 0.0408, 5.09)],
    columns=["board", "Cortex", "MHz", "library", "s", "mJ"])
cycles = boards["s"] * boards["MHz"] * 1e6 / RESNET
estimate = boards[["s", "mJ"]] * ratio
likely = estimate.map("{:.2g}".format).add_prefix("student ")
boards["cycles a MAC"] = cycles.round(1)
boards.join(likely).set_index("board")

# %% [markdown]
# The columns `s` and `mJ` are measured, of the ResNet. The last two are **estimates** for the student's network: it
# has {glue:text}`ratio:.1f` times the MACs, so on a Cortex-M4 at 120 MHz, the core and the clock of our chip, a clip
# would take from {glue:text}`s_low:.1g` to {glue:text}`s_high:.1g` s. This takes all MACs for equal, which they are
# not. The ResNet has 3 × 3 kernels on maps up to 32 wide; ours are larger, on eight to two frames,
# and a quarter of their taps lies beside the picture.
#
# Energy is power times time: time follows software, power follows silicon. On an L4R5 the network, without the ears, would take {glue:text}`mj_low:.0f` mJ by
# the run with X-CUBE-AI, {glue:text}`mj_high:.0f` by that with microTVM; nobody has measured our chip.
#
# Between the two times lies software, and where ours lies nobody has measured. Our count gives a floor, since a
# Cortex-M4 does one instruction a cycle at the most: {glue:text}`floor_network:.2f` s for the network, and
# {glue:text}`floor_ears:.2f` s for the cheap front end, which the estimates leave out.
#
# An answer needs a whole second of sound, the last frame's work of the front end, and the network. Meanwhile new
# samples wait, 96 kB for each second. Filtered to 8 kHz as they arrive, in 16 bits, it would be 16 kB:

# %%
CLOCK = 120e6
spent = cheap["instructions"]
times = {"our count, at its floor": spent["model"] / CLOCK,
         "as X-CUBE-AI": estimate["s"][0], "as microTVM": estimate["s"][1]}
wait = pd.DataFrame({"network (s)": times})
last = spent["in 2 ms"] / CLOCK
wait["answer after (s)"] = 1 + last + wait["network (s)"]
wait["sound that waits (kB)"] = 96 * wait["network (s)"]
wait["filtered first (kB)"] = 16 * wait["network (s)"]
wait["chip busy (%)"] = 100 * (wait["network (s)"]
                               + spent["front end"] / CLOCK)
buffer = cheap["ram"]["samples"] / 1e3
fits = wait["sound that waits (kB)"] < buffer
assert fits.tolist() == [True, True, False]
wait.map("{:.2g}".format)

# %%
glue("ratio", ratio)
glue("floor_network", spent["model"] / CLOCK)
glue("floor_ears", spent["front end"] / CLOCK)
for name, row in (("low", estimate.loc[0]), ("high", estimate.loc[1])):
    glue(f"s_{name}", float(row["s"]))
    glue(f"mj_{name}", float(row["mJ"]))
for name, row in zip(("floor", "low", "high"), wait.index, strict=True):
    glue(f"answer_{name}", float(wait["answer after (s)"][row]))
    glue(f"waits_{name}", float(wait["sound that waits (kB)"][row]))
glue("buffer", buffer)
rest = cheap["ram"]["all"] / KIB - buffer / 1.024  # KiB of all else
filled = rest + wait["sound that waits (kB)"]["as microTVM"] / 1.024
glue("filled", filled)
glue("filtered", float(wait["filtered first (kB)"]["as microTVM"]))
assert filled > 128

# %% [markdown]
# So an answer comes {glue:text}`answer_floor:.1f` s after its second began at the earliest, and
# {glue:text}`answer_low:.1f` to {glue:text}`answer_high:.1f` s by the estimates. Our buffer holds
# {glue:text}`buffer:.0f` kB. That suffices at the fast end, where {glue:text}`waits_low:.0f` kB wait, and not at
# the slow end, where it would be {glue:text}`waits_high:.0f` kB: with them the program would need
# {glue:text}`filled:.0f` KiB, and does not fit. A program that filtered in the interrupt would hold
# {glue:text}`filtered:.0f` kB there, and fit; it was not built. The front end counts at its floor in all rows.
#
# ## Takeaways
# * From samples to scenes the student runs on an emulated Cortex-M4 in {glue:text}`cheap_ram:.0f` KiB of RAM and
#   {glue:text}`cheap_flash:.0f` KiB of flash. A file takes the place of the microphone: that it keeps up was not shown.
#   Sound that waits takes more RAM than the network, as this program keeps it at 48 kHz; at 8 it would be a sixth.
# * The arena is a third smaller than input and output of the largest layer, since a convolution can overrun
#   its own input. TFLM, which keeps to the file, takes nearly twice as much; dynamic range would take four times that.
# * The convolutions do {glue:text}`done:.0f` % of their MACs, at {glue:text}`per_product:.2f` instructions a product;
#   depthwise filters take {glue:text}`filters_rate:.1f`, with our kernels; another's were not counted. With separable
#   layers {glue:text}`whole_macs:.1f` times fewer MACs are {glue:text}`whole_network:.1f` times fewer instructions, and
#   {glue:text}`whole_ears:.1f` times with the ears.
# * Even the cheap front end costs {glue:text}`cheap_share:.0f` % of the network's instructions, and no rule counts it. It
#   moves a band where something above 4 kHz is much louder than that band; against the exact one that made
#   {glue:text}`fresh:+.1f` points in scenes ({glue:text}`fresh_low:+.1f` to {glue:text}`fresh_high:+.1f`), with one weak
#   student.
# * All logits equal TFLM's, since the C rounds twice as TFLM does. Scenes differ from Python's on a PC only where two are
#   nearly tied.
# * At 120 MHz the network would take about {glue:text}`s_low:.1g` to {glue:text}`s_high:.1g` s a clip, by estimates from
#   another network on others' boards; the ears add {glue:text}`floor_ears:.1f` s or more. At the slow end the sound
#   that waits no longer fits, unless it is filtered as it arrives. On an L4R5 the network would take
#   {glue:text}`mj_low:.0f` (X-CUBE-AI) to {glue:text}`mj_high:.0f` mJ (microTVM).
#
# ## Exercises
# **1.** The STM32L496 of the first chapter runs at 80 MHz, and has 320 KiB of RAM. Does the faster of the two estimates
# keep up there, and with how much sound in the buffer? And the slower?
#
# :::{dropdown} Solution
# Times grow by 120 / 80. By the faster estimate network and ears (0.15 s or more) keep the chip busy for two thirds of
# each second: it keeps up. But while the network runs 48 kB of samples wait, as much as the buffer holds. A second of
# samples is safer, and 320 KiB have room for it. By the slower estimate the network alone takes more than a second, and
# no buffer helps.
# :::
#
# **2.** Twice as many filters in every convolution: what breaks first, of RAM, flash, time and the rules?
#
# :::{dropdown} Solution
# `conv2` to `conv4` make four times the MACs, `conv1` twice. That is about 100 million, and the challenge allows 30.
# Weights grow fourfold as well, to some 200 kB: the flash would hold them, the rule's 128 kB would not. RAM is next. The
# arena doubles to about 69,300 bytes, the program to 141,000: it no longer links. And the buffer is too small. At our
# floor, nearly four times as high, the network takes 0.7 s, so 65 kB of sound wait and not 48: that makes 158,000 bytes,
# some 27,000 more than the chip has. Time is last. By the faster estimate the network takes 1.3 s, and no buffer helps.
# :::
#
# **3.** Bring a network of your own to the chip, and find its most expensive layer. It takes Debian's `make`,
# `gcc-arm-none-eabi` and `qemu-system-arm`.
#
# :::{dropdown} Solution
# ```python
# from asclib.compression import export
#
# ranges = Calibration(clips)
# path = export(mine, "mine.tflite", "full_int8", calibration=ranges)
# read = deploy.read_model(path)
# noise = np.zeros((1, *read.input.shape[1:]), np.int8)
# counted = deploy.run_on_chip(deploy.write_firmware(path, "mine"), noise)
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
