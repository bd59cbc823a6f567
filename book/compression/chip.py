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
# The limits of the challenge are modelled on a Cortex-M4. We take one with 256 kB of flash, 128 kB of RAM, no operating system.
# So far we have counted, and believed that what is small enough on paper is small enough there. In this
# chapter the student goes there, with its ears: samples in, a scene out.
#
# ## What you will learn
# * how a `.tflite` file becomes plain C that any compiler takes;
# * where activations lie in one block of memory, and why it is smaller than the sum of two layers;
# * what flash, RAM and instructions are spent on, layer by layer, the front end included;
# * why fewer MACs need not mean as many fewer instructions;
# * why dynamic range cannot go there;
# * how far an estimate of milliseconds and millijoules may be trusted.
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
from asclib.deploy import plan, read_model, write_firmware, write_listener
from asclib.plotting import ACCENT, INK, glue, show, use_style
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
graph

# %% [markdown]
# Operator 0 is `conv1`. It has one input map, so the converter calls it depthwise; its normalisation is in its
# weights. Operators 1, 4 and 7 are the other convolutions. Behind each comes its normalisation, a depthwise
# convolution of one tap: a factor and a shift for each map. A ReLU has no operator of its own, since it only
# clips what is written anyway.
#
# ## Arithmetic without floats
#
# A convolution sums products of int8 in 32 bits. The sum then has to become int8 on the grid of the output:
# it is multiplied by $s_x s_w / s_y$, the scales of input, weights and output. This factor is no integer, and
# a small chip would rather not use floats. So it is written as
#
# $$ \frac{s_x s_w}{s_y} \approx \frac{m}{2^{31}}\, 2^{e}, \qquad 2^{30} \le m < 2^{31}, $$
#
# and multiplying by it is a product of two integers and a shift to the right, with a rounding. Two programs
# that round alike agree in every bit. TFLM's way of rounding is our reference.

# %%
def fixed_point(factor):
    fraction, exponent = np.frexp(factor)
    return round(fraction * 2**31), int(exponent)


def scaled(total, multiplier, exponent):
    shift = 31 - exponent
    return (total * multiplier + (1 << (shift - 1))) >> shift


multiplier, exponent = fixed_point(0.00217)
print(f"0.00217 = {multiplier} / 2^31 * 2^{exponent}")
for total in (-31_000, 999, 20_000):
    print(total, "->", scaled(total, multiplier, exponent))

# %% [markdown]
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
print(*sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*")))
print(*calls, sep="\n")

# %% [markdown]
# One inference is a dozen calls. Each is given addresses in one block of memory, the **arena**. All of them are known
# before the program starts; what remains is to choose them well.
#
# ## One arena
#
# An activation is needed from the operator that makes it to the last one that reads it. Two that are never needed
# at once may share their bytes. The picture has a box for each: as wide as it is needed, as high as it is
# large, at the place where it lies.

# %% mystnb={"figure": {"name": "fig-arena", "caption": "The arena while the operators run, from left to right. A box is an activation; orange boxes are what a convolution unpacks its input to. Dashed: the size of the arena; dotted: what each operator cannot do without."}, "image": {"alt": "Boxes over twelve operators. Those of the second operator reach almost the dashed line at 35 kB and overlap; from the seventh operator on the boxes are small."}}
placed = plan(model)
inside = [b for b in placed.buffers if b.offset >= 0]
work = [id(buffer) for buffer in placed.work.values()]
fig, ax = plt.subplots(figsize=(8, 3.4))
for buffer in inside:
    colour = ACCENT if id(buffer) in work else INK
    wide = buffer.dies - buffer.born + 1
    ax.bar(buffer.born - 0.5, buffer.size / 1e3, wide, buffer.offset / 1e3,
           align="edge", color=colour, alpha=0.45, edgecolor=colour)
steps = np.arange(len(placed.held))
held = np.array(placed.held) / 1e3
ax.hlines(held, steps - 0.5, steps + 0.5, color=ACCENT, ls=":")
ax.axhline(placed.arena / 1e3, color=INK, ls="--")
ax.set(xlabel="operator", ylabel="place (kB)", xticks=steps)
show(fig)

# %% [markdown]
# Three things keep it low. A normalisation writes where it reads, and needs no second box. Boxes over
# different operators use the same bytes. And where two boxes overlap, a convolution or a pooling overruns its own
# input: it goes down the picture row by row, and when it writes a row, the upper rows of its input are read already.
#
# Here are four figures for this memory. The third is new:

# %%
dynamic = complexity_of_file(exported(net, "dynamic_range"))
conv2 = (20 + 28) * 140 * 8
print(f"{conv2:7,} input and output of conv2, as by the formula")
print(f"{count.arena:7,} the file in its own order, nothing in place")
print(f"{placed.arena:7,} the C, of which conv2 alone needs"
      f" {placed.held[1]:,}")
print(f"{dynamic.arena:7,} the dynamic range file in its own order")
assert placed.arena < conv2 < count.arena < dynamic.arena

# %% [markdown]
# [The first chapter](../task/challenge.ipynb) and [complexity](complexity.ipynb) show the first figure: the
# formula lets element-wise layers write over their input, and asks that input and output of a convolution exist
# at once. The file knows nothing of writing in place. Its normalisation after `conv2` is an operator that reads
# one large map and makes another, and so two maps of 31,360 bytes set the peak. That is what an interpreter
# asks for that keeps to the file. The C does better than the formula, since it overruns.
#
# **Dynamic range** keeps activations in float, four bytes each, and so the last figure is four times the
# second. It is twice the RAM of the chip. Overrunning and writing in place would help it as they help the
# others:

# %%
moved = sum(b.size for b in placed.work.values() if b.born == 1)
in_place = 4 * (placed.arena - moved)
print(f"{in_place:,} bytes in float, of {128 * 1024:,} of RAM")

# %% [markdown]
# That leaves no room for sound, spectrum or stack, nor for the int8 copy of its input that each such layer makes.
# TFLM refuses these files anyway. Dynamic range is for phones.
#
# ## All in
#
# A network that fits is not a system that fits. Samples have to be held while the network is busy: with half a
# second of them at 48 kHz, nothing is lost as long as an answer takes less than that. The front end has its
# spectrum and its filters. The study compiled the whole program for a Cortex-M4, and read from the table of
# symbols what each part takes. It did so with both front ends, which are told apart further down.

# %% mystnb={"figure": {"name": "fig-all-in", "caption": "Study: RAM and flash of the whole program at 48 kHz, with the cheap and the exact front end. Dashed: what the chip has."}, "image": {"alt": "Two panels of two stacked bars each. In RAM the samples take the most, then the arena and the front end; in flash the layers of the model take most. All bars end well before a dashed line."}}
programs = {row["front_end"]: row for row in found["programs"]
            if row["rate"] == 48_000}
fig, axes = plt.subplots(2, 1, figsize=(7, 4), layout="constrained")
for ax, kind, most in zip(axes, ("ram", "flash"), (128, 256), strict=True):
    parts = pd.DataFrame({name: row[kind] for name, row in programs.items()})
    left = np.zeros(len(parts.columns))
    for number, (part, size) in enumerate(parts.drop("all").iterrows()):
        ax.barh(parts.columns, size / 1024, left=left, label=part,
                color=plt.cm.viridis(number / 5))
        left += size.to_numpy() / 1024
    ax.axvline(most, color=ACCENT, ls="--")
    ax.set_xlabel(f"{kind.replace('ram', 'RAM')} (KiB)")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
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
# {glue:text}`exact_flash:.0f`. Both fit, as long as an answer comes within half a second.
#
# The largest part of the RAM is neither the network nor the spectrum: it is sound that waits. Samples take
# {glue:text}`samples_share:.0f` % of it, the arena {glue:text}`arena_share:.0f` %. The stack, at its deepest, took
# {glue:text}`stack` bytes.
#
# ## Instructions
#
# The emulator counts instructions, and the same ones each time. They are no cycles: a load may take two of
# those, and flash may keep the processor waiting. But they show where the work is.

# %% mystnb={"figure": {"name": "fig-instructions", "caption": "Study: instructions on a Cortex-M4 for a second of sound at 48 kHz, and flash, by operator; orange, either front end with its tables."}, "image": {"alt": "Two panels of horizontal bars. Of the instructions conv2 and the front ends take the most; of the flash conv3, conv4, conv2 and the front ends' tables."}}
layers = pd.DataFrame(found["layers"]).set_index("layer")
bars = layers[["instructions", "flash"]].copy()
for name, row in programs.items():
    tables = row["flash"]["tables of the front end"]
    spent = row["instructions"]["front end"]
    bars.loc[f"front end, {name}"] = spent, tables
colours = [INK] * len(layers) + [ACCENT] * len(programs)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.8), sharey=True)
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
# How well are the products done? One instruction of the chip multiplies two pairs of 16-bit numbers and adds
# both products to a sum. So a product costs half an instruction; loading numbers and unpacking them from eight
# bits comes on top.

# %%
weighted = layers[layers["macs"] > 0]
per_mac = weighted["instructions"] / weighted["macs"]
table = weighted[["kind", "macs", "instructions"]]
large = weighted["macs"] > 500_000
total = weighted[large].sum(numeric_only=True)
glue("per_mac", total["instructions"] / total["macs"])
glue("one_tap", per_mac["norm2"])
table.assign(**{"instructions a MAC": per_mac.round(2)})

# %% [markdown]
# The four convolutions together need {glue:text}`per_mac:.2f` instructions a MAC. `conv4` needs even less than a
# half. Taps that lie beside the picture are counted as MACs, and the C leaves them out; with frames as few as two and
# kernels five wide, they are many.
#
# A normalisation needs {glue:text}`one_tap:.0f`, since each of its products is also rounded, clipped and stored.
# Its MACs are so few that it does not matter. But a count of MACs knows nothing of it.
#
# ## Large kernels or separable ones?
#
# [The complexity chapter](complexity.ipynb) found that a depthwise-separable layer does the work of `conv2`
# with a twelfth of the MACs. Is the chip twelve times faster? The study built TMSIC with its second to fourth
# convolution made separable, and counted again. It is not trained: instructions do not ask what the weights
# are.

# %%
other = pd.DataFrame(found["separable"]).set_index("layer")
rows, gain = {}, {}
for name in ("conv2", "conv3", "conv4"):
    both = other.loc[[f"{name} filters", f"{name} mixes"]].sum()
    for key, unit in (("macs", "MACs"), ("instructions", "instructions")):
        gain[name, key] = layers[key][name] / both[key]
        cells = {unit: layers[key][name], f"{unit}, separable": both[key]}
        rows.setdefault(name, {}).update(cells)
for (name, key), value in gain.items():
    glue(f"{name}_{key}", float(value))
filters = other.filter(like="filters", axis=0)
glue("filters_per_mac", (filters["instructions"] / filters["macs"]).mean())
assert gain["conv4", "instructions"] < 1 < gain["conv2", "instructions"]
pd.DataFrame(rows).T.astype(int).map("{:,}".format)

# %% [markdown]
# It is not. For `conv2`, {glue:text}`conv2_macs:.0f` times fewer MACs are
# {glue:text}`conv2_instructions:.1f` times fewer instructions. And `conv4`, with its 7 × 5 kernels on 28 maps, is
# better left whole: separable it has {glue:text}`conv4_macs:.0f` times fewer MACs, and takes more
# instructions than before.
#
# The reason is how the numbers lie. A whole kernel reads maps side by side, and two products are one
# instruction. A depthwise kernel looks at one map, whose numbers are scattered, one product at a time: it needs
# {glue:text}`filters_per_mac:.0f` instructions a MAC in our engine. A library that rearranges maps beforehand
# does better, and then separable layers pay. MACs of different kinds of layers are different currencies, and
# the engine sets the rate of exchange.
#
# ## Two pairs of ears
#
# The front end brings 48,000 samples a second down to 8,000, and the low-pass before that is most of its work. Python
# leaves it to soxr. Two filters in C do the same in steps. The **exact** ones have the response of soxr, and
# [LogMel](../input/features.ipynb)'s numbers to a thousandth of a neper at 48 kHz and two at 44.1, in bands less than 60 dB below the loudest. The
# **cheap** ones have half the multiplications.

# %%
table = pd.DataFrame(found["programs"]).set_index(["front_end", "rate"])
pd.DataFrame({
    "multiplications": table["multiplications"].map("{:,}".format),
    "instructions": [f"{n['front end']:,}" for n in table["instructions"]],
    "flash, all": [f"{n['all']:,}" for n in table["flash"]],
    "RAM, all": [f"{n['all']:,}" for n in table["ram"]],
})

# %% [markdown]
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
pd.concat([heard.iloc[:, :4], shares.round(1)], axis=1)

# %%
parts = heard.groupby("front_end")[[*counts, "clips"]].sum()
for name, row in parts.iterrows():
    for key in counts:
        glue(f"{name}_{key}", float(100 * row[key] / row["clips"]))
    glue(f"{name}_clips", int(row["clips"]))
fresh = heard[heard["corpus"].str.contains("seed")]
fresh = fresh.set_index("front_end")
assert (heard["same_scene"] + heard["near_ties"] == heard["clips"]).all()
change = 100 * (fresh["right"] - fresh["python_right"]) / fresh["clips"]
glue("fresh_cheap", float(change["cheap"]))
glue("fresh_clips", int(fresh["clips"].iloc[0]))

# %% [markdown]
# With the exact front end the whole path names {glue:text}`exact_same_scene:.1f` % of
# {glue:text}`exact_clips` clips as Python does (those of one corpus were heard at two rates, and count twice). All the others are near ties: Python's own first scene is at most two
# steps of int8 ahead of the program's. Nearly always LiteRT's roundings decide those, and not the ears: with the same
# network behind them, LogMel and the exact front end agree on {glue:text}`exact_same_scene_by_front_end:.2f` %.
#
# The cheap front end agrees with Python on {glue:text}`cheap_same_scene:.1f` %, and its other clips are near ties
# as well. Its taps were chosen on the embedded corpus, so what counts is another rendering, of {glue:text}`fresh_clips` clips: there the share
# named rightly changes by {glue:text}`fresh_cheap:+.1f` points. On so few clips that is a handful of them.
#
# ## How long, and how much energy?
#
# An emulator knows neither. What can be done without a board is to look at boards of others. MLPerf Tiny
# {cite}`banbury2021mlperf` publishes what a small ResNet of about 12.5 million MACs takes on many of them. If
# time and energy grow with the MACs, the student takes as many times that as it has more MACs.

# %%
MLPERF = pd.DataFrame(  # ms, mJ from, mJ to: published results, ResNet-8
    [("M4, 120 MHz, library of ST", 165, 5.5, 6.9),
     ("M4, 120 MHz, microTVM and CMSIS-NN", 390, 20.2, 20.2),
     ("M33, 160 MHz", 109.5, 2.6, 2.6),
     ("M7, 280 MHz", 40.8, 5.1, 5.1)],
    columns=["board", "ms", "mJ from", "mJ to"],
).set_index("board")
ratio = found["file"]["macs"] / 12.5e6
estimate = MLPERF * ratio
estimate.round(1)

# %%
m4 = estimate[estimate.index.str.startswith("M4")]
glue("ratio", ratio)
ends = {"ms_low": m4["ms"].min(), "ms_high": m4["ms"].max(),
        "mj_low": m4["mJ from"].min(), "mj_high": m4["mJ to"].max()}
for name, value in ends.items():
    glue(name, float(value))
glue("floor", cheap["instructions"]["model"] / 120e3)
glue("floor_front", cheap["instructions"]["front end"] / 120e3)

# %% [markdown]
# These are **estimates**. The student has {glue:text}`ratio:.2f` times the MACs of that ResNet, so on a
# Cortex-M4 at 120 MHz a clip would take from {glue:text}`ms_low:.0f` to {glue:text}`ms_high:.0f` ms and from
# {glue:text}`mj_low:.0f` to {glue:text}`mj_high:.0f` mJ.
#
# Between the two times lies mostly software: the same kind of processor at the same clock, with two libraries.
# The energies differ more than the times, so the boards' supplies play a part. An engine that nobody has put on a board, such as ours, cannot be placed between them. Nor does this hold the
# front end, whose instructions are floats: {glue:text}`cheap_share:.0f` % of the network's number, or more.
#
# Our own count gives a floor. A Cortex-M4 does one instruction a cycle at the most, so at 120 MHz the network
# takes at least {glue:text}`floor:.0f` ms, and the cheap front end {glue:text}`floor_front:.0f` more. At the fast end of
# the estimates, half a second of waiting samples suffices. At the slow end it does not, and a whole second of them
# would no longer fit.
#
# ## Takeaways
# * The student runs on an emulated Cortex-M4, ears and all, in {glue:text}`cheap_ram:.0f` KiB of RAM and
#   {glue:text}`cheap_flash:.0f` KiB of flash; sound that waits takes more RAM than the network.
# * The arena is a third smaller than input and output of the largest layer, since a convolution can overrun
#   its own input. An interpreter that keeps to the file needs nearly twice as much.
# * Dynamic range needs four bytes an activation, and cannot go there.
# * The convolutions take {glue:text}`per_mac:.2f` instructions a MAC, separable filters about
#   {glue:text}`filters_per_mac:.0f` in our engine, which has no fast kernel for them: for
#   `conv2`, {glue:text}`conv2_macs:.0f` times fewer MACs are {glue:text}`conv2_instructions:.1f` times fewer instructions, and for the last convolution more of them.
# * Even the cheap front end costs {glue:text}`cheap_share:.0f` % of the network's instructions, and no rule counts it.
# * All logits equal TFLM's. Scenes differ from Python's on a PC only where two are nearly tied, also with the
#   cheap front end.
# * A clip would take {glue:text}`ms_low:.0f` to {glue:text}`ms_high:.0f` ms and {glue:text}`mj_low:.0f` to
#   {glue:text}`mj_high:.0f` mJ: estimates, from another network on others' boards.
#
# ## Exercises
# **1.** A chip runs at 80 MHz instead of 120. Is half a second of samples enough for the slower of the two
# estimates? And for the faster?
#
# :::{dropdown} Solution
# Times grow by 120 / 80 = 1.5. The faster estimate becomes about half a second, and the front end has to run in
# that time as well: too late, unless more samples are held. The slower one is far over a second, so no buffer helps: the chip
# falls behind with every clip.
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
