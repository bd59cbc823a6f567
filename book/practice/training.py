# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What a training costs
#
# A comparison of techniques needs many trainings: every technique, every
# seed, ten members for each teacher. How many of them one can afford decides
# how much can be known. So the speed of training is a matter of method, and
# this chapter takes it apart.
#
# ## What you will learn
# * how many operations one step of training takes, and how to count them;
# * what a *roofline* is, and which layers work below it;
# * that some kernels multiply mostly by zeros, and that some weights of TMSIC
#   have never seen a sound;
# * what is gained by keeping memory, and by one run for each core;
# * why a distilled student costs hardly more than a plain one.
#
# **Prerequisites**: [complexity](../compression/complexity.ipynb) for counting MACs,
# [the student](../networks/student.ipynb) for the loop.
# **Data in**: the measurements of `benchmarks/training.py` and of
# `benchmarks/distillation.py`; the log-mel features of the corpus, for one live
# epoch. **Data out**: nothing.
# **In the library**: `asclib.checked`, `asclib.checkpoint`, `asclib.extras`, `asclib.keys`,
# `asclib.plan`, `asclib.progress`, `asclib.runs.parallel`, `asclib.store`, `asclib.training`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from asclib import store, training
from asclib.complexity import complexity
from asclib.networks import TMSIC
from asclib.plotting import ACCENT, INK, MUTED, glue
from asclib.plotting import intervals, show, use_style
from asclib.runs import Experiment
from asclib.training import Training

use_style()
measured = store.results("training")

# %% [markdown]
# ## What is there to compute?
#
# A MAC is two operations, a product and a sum. One step of training computes
# each layer three times over. Forward, it makes the output. Backward, it
# makes the gradient towards its weights, and the gradient towards its input,
# for the layer below. Each of the three costs as many MACs as the first. So
#
# $$ \text{operations of a step} = 6 \cdot \text{MACs} \cdot
#    \text{clips in the batch}, $$
#
# less a third of the first layer's: below it there is nothing to train. This
# is the usual count, and we shall see that it is too high.

# %%
layers = complexity(TMSIC()).layers.set_index("name")
weighted = ["conv1", "conv2", "conv3", "conv4", "dense", "head"]
macs = layers.loc[weighted, "macs"]
forward = 2 * 64 * macs / 1e9  # for a batch of 64
backward = 2 * forward
backward["conv1"] /= 2
giga = pd.DataFrame({"forward": forward, "backward": backward})
giga["share, %"] = 100 * giga.sum(axis=1) / giga.to_numpy().sum()
operations = giga[["forward", "backward"]].to_numpy().sum()
print(f"one step on 64 clips: {operations:.2f} billion operations")
giga.round(2)

# %% [markdown]
# Two layers of six do nearly nine tenths of the work. Why are they so large? The
# search for the architecture had a limit of 30 million MACs and no limit of
# time. {numref}`fig-training-kernels` varies the kernel of the second
# convolution and leaves all else alone. Which kernels could it have chosen?

# %% mystnb={"figure": {"name": "fig-training-kernels", "caption": "Millions of MACs of TMSIC for nine kernels of its second convolution, the choices of the authors' search. The frame marks theirs."}, "image": {"alt": "A three by three grid of numbers from 18 to 43; the frame is around the cell of kernel 7 by 3, at 25."}}
rest = macs.sum() - macs["conv2"]
sizes = (3, 5, 7)
cost = np.array([[rest + 28 * 20 * f * t * 140 * 8 for t in sizes]
                 for f in sizes]) / 1e6
fig, ax = plt.subplots(figsize=(4.2, 3))
ax.imshow(cost <= 30, cmap="Blues", vmin=0, vmax=4)
for (row, column), value in np.ndenumerate(cost):
    ax.text(column, row, f"{value:.1f}", ha="center", va="center")
ax.add_patch(plt.Rectangle((-0.5, 1.5), 1, 1, fill=False, ec=ACCENT, lw=3))
ax.set(xticks=range(3), xticklabels=sizes, xlabel="frames",
       yticks=range(3), yticklabels=sizes, ylabel="mel bands")
ax.grid(False)
show(fig)

# %% [markdown]
# The shaded kernels keep the limit. The authors' is the tallest of them. One
# of 5 × 5 would still have fitted, one of 7 × 5 no longer.
#
# ## How fast could it be?
#
# A processor has two limits. It can do so many operations a second, the
# *peak*, and move so many bytes a second to and from memory, its *bandwidth*.
# An operation that does $I$ operations on each byte it moves, its
# *intensity*, cannot be faster than
#
# $$ \min(\text{peak},\; I \cdot \text{bandwidth}). $$
#
# Drawn against $I$ this is a slope and a flat top, the **roofline**
# {cite}`williams2009roofline`. We measure both limits on one core: the peak
# with a product of two large matrices, the bandwidth with a copy.

# %%
peak, bandwidth = measured["peak_gflops"]["one_core"], measured["bandwidth_gb"]
spent = pd.Series(measured["profile"]["ours"]["milliseconds"])
print(f"processor: {measured['processor']}, {measured['cores']} cores")
print(f"peak of one core: {peak:.0f} billion operations a second")
print(f"bandwidth: {bandwidth:.0f} billion bytes a second")
print(f"the roof is flat from {peak / bandwidth:.0f} operations a byte on")

# %% [markdown]
# Now the layers. A convolution reads its input and writes its output, four
# bytes a value; its weights are few. Backward it moves twice as much. The
# other kinds of work do next to nothing with each value: a ReLU compares it
# with zero. For them we count how often the maps pass through the processor.

# %%
values = {"conv1": (1120, 22400), "conv2": (22400, 31360),
          "conv3": (15680, 15680), "conv4": (3920, 2240)}
work = {}  # name: (operations, bytes), both in billions, for 64 clips
for name, (into, out) in values.items():
    moved = 4 * 64 * (into + out) / 1e9
    work[f"{name} forward"] = giga.at[name, "forward"], moved
    work[f"{name} backward"] = giga.at[name, "backward"], 2 * moved
maps = 22400 + 31360 + 15680 + 2240  # values of all four maps
for name, count, passes, each in [
    ("normalisation", maps, 8, 12), ("ReLU", 2 * maps - 22400, 5, 2),
    ("pooling", 31360 + 15680, 5, 2), ("dropout", 15680 + 3920 + 2240, 6, 4),
]:
    work[name] = 64 * count * each / 1e9, 4 * 64 * count * passes / 1e9
work = pd.DataFrame(work, index=["operations", "bytes"]).T

# %% mystnb={"figure": {"name": "fig-training-roofline", "caption": "The roofline of one core, and where the parts of a training step lie: operations for each byte moved, and operations a second as measured with the library's loop. Circles: forward, and what is not a convolution; squares: backward."}, "image": {"alt": "A line that rises and then is flat, on logarithmic axes; convolutions lie near the flat top on the right, normalisation, pooling, ReLU and dropout under the slope on the left."}}
reached = work["operations"] / (spent[work.index] / 1000)
intensity = work["operations"] / work["bytes"]
fig, ax = plt.subplots(figsize=(7, 3.6))
roof = np.geomspace(0.1, 1000, 100)
ax.loglog(roof, np.minimum(peak, roof * bandwidth), color=MUTED, lw=2)
for name in work.index:
    spot = intensity[name], reached[name]
    mark = "s" if name.endswith("backward") else "o"
    ax.plot(*spot, mark, color=ACCENT if "conv" in name else INK, ms=5)
    if mark == "o":
        where = (-3, -13) if name == "pooling" else (6, -3)
        ax.annotate(name.split()[0], spot, xytext=where,
                    textcoords="offset points", fontsize=8)
ax.set(xlabel="operations for each byte", ylabel="billion operations a second")
show(fig)

# %% [markdown]
# {numref}`fig-training-roofline` sorts the work into two kinds. The
# convolutions have plenty to do with every byte, so arithmetic limits them.
# For everything else the nearer limit is memory, and fewer passes over the
# maps would help. But a point far below the roof does not reach its limit:
# dropout, for one, draws random numbers, and the roofline has no place for
# that.
#
# A point can lie above the roof. The usual count charges products that a good
# program never computes, and a map that fits into the cache moves faster than
# the memory allows.

# %%
floor = np.maximum(work["operations"] / peak, work["bytes"] / bandwidth)
table = pd.DataFrame({
    "plain loop": measured["profile"]["plain"]["milliseconds"],
    "ours": spent, "floor": 1000 * floor,
}).round(1)
total = table.sum()
for name in ("plain loop", "ours", "floor"):
    glue(f"cost_{name.split()[0]}", float(total[name]))
for name in ("plain", "ours"):
    faults = measured["profile"][name]["page_faults"]
    glue(f"cost_{name}_faults", faults)
table.sort_values("ours", ascending=False, kind="stable")

# %% mystnb={"figure": {"name": "fig-training-time", "caption": "Milliseconds of one step on 64 clips, by kind of work, on one core: a plain PyTorch loop and the library's. The ticks mark what the roofline allows."}, "image": {"alt": "Pairs of horizontal bars for twelve kinds of work; the second convolution's backward pass is the longest, and the library's bar is shorter than the plain one in most pairs."}}
shown = table.sort_values("ours", ascending=False)
rows = np.arange(len(shown))
fig, ax = plt.subplots(figsize=(7, 4.4))
ax.barh(rows - 0.2, shown["plain loop"], 0.38, color=MUTED, label="plain loop")
ax.barh(rows + 0.2, shown["ours"], 0.38, color=INK, label="asclib.training")
ax.plot(shown["floor"], rows, "|", color=ACCENT, ms=14, mew=2, label="floor")
ax.set_yticks(rows, shown.index)
ax.invert_yaxis()
ax.set(xlabel="milliseconds")
ax.legend()
show(fig)

# %% [markdown]
# Both loops compute the same step. The plain one takes
# {glue:text}`cost_plain:.0f` ms on one core, ours {glue:text}`cost_ours:.0f`
# ms, and the roofline would allow {glue:text}`cost_floor:.0f` ms. What makes
# the difference? Three things, in the order in which we found them. Not every
# kind of work gained; the table says which did not, and we do not know why.
#
# ## Memory that is given back
#
# A profile of the plain loop is odd: to fill a map of eight megabytes with
# zeros took as long as a convolution. The reason is not in the network. Every
# map of every step is a new block of memory. The system's allocator returns
# large blocks to the kernel as soon as they are freed, and the kernel hands
# them out again page by page, each cleared first. Such a *page fault* takes
# far longer than to write the page.
#
# The plain loop has {glue:text}`cost_plain_faults` page faults in each step.
# `training.keep_memory` asks the allocator, in two calls, to keep what it
# has: {glue:text}`cost_ours_faults` remain. The arithmetic is untouched, and
# so are the weights.
#
# The second thing is the layout. torch keeps a batch channel by channel; with
# *channels last* all channels of a value are neighbours, which is how its
# convolutions want to read.
#
# ## Products with zeros
#
# The third thing is a discovery about the architecture. The third convolution
# has kernels seven frames wide, and its picture is four frames wide. "Same"
# padding surrounds it with zeros. So how many of a kernel's taps ever meet a
# sound?

# %%
rows = {}
for name, frames in {"conv1": 8, "conv2": 8, "conv3": 4, "conv4": 2}.items():
    taps = getattr(TMSIC(), name).kernel_size[1]
    tap = np.arange(frames) - np.arange(frames)[:, None] + taps // 2
    heard = (tap >= 0) & (tap < taps)
    idle = sorted(set(range(taps)) - set(tap[heard].tolist()))
    products = heard.sum() / (frames * taps)
    rows[name] = [frames, taps, round(100 * products), idle or "none"]
columns = ["frames", "taps", "products with sound, %", "taps that never hear"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# In the third convolution three products of seven are with padding, in the
# fourth three of five. And the fourth has taps that *never* hear: with two
# frames, a tap that looks two frames away finds padding from wherever it
# looks. How many weights are that? Do they really not matter? We put
# random numbers in their place.

# %%
torch.manual_seed(0)
net = TMSIC().eval()
x = torch.randn(16, 1, 140, 8)
with torch.no_grad():
    before = net(x)
    deaf = net.conv4.weight[..., [0, 4]]
    net.conv4.weight[..., [0, 4]] = 100 * torch.randn(deaf.shape)
    print("the same answers:", torch.equal(before, net(x)))
print(f"weights that never hear: {deaf.numel():,} of 51,986")
print(f"share of the parameters: {deaf.numel() / 51_986:.1%}")

# %% [markdown]
# About one parameter in eight of TMSIC does nothing. It counts against the limit
# all the same, zeros included. The search could not know: its trials were
# judged by validation loss and by a limit, and a 7 × 5 kernel on two frames is as
# good as a 7 × 3. Nor could a reader of the layer table. A kernel of 7 × 3 in
# its place would be the same network with 45,714 parameters.
#
# ### Folding frames into channels
#
# For speed, all taps that meet padding can go. We fold frames and channels
# into one axis, so that a picture of $C$ channels and $T$ frames becomes a
# row of $C\,T$ channels along mel. Output frame $p$ hears input frame $q$
# through tap $q - p + \lfloor k_t/2 \rfloor$. That gives one kernel for the
# whole row, and nothing in it is padding.

# %%
def folded(x, weight, bias):
    clips, _, bands, frames = x.shape
    out, _, height, taps = weight.shape
    frame = torch.arange(frames)
    tap = frame[None, :] - frame[:, None] + taps // 2  # [p, q]
    kernel = weight[..., tap]  # out, in, height, p, q
    kernel = kernel.permute(3, 0, 4, 1, 2).reshape(frames * out, -1, 1, height)
    row = x.permute(0, 3, 1, 2).reshape(clips, -1, 1, bands)
    y = F.conv2d(row, kernel, bias.repeat(frames), padding="same")
    return y.reshape(clips, frames, out, bands).permute(0, 2, 3, 1)


x = torch.randn(2, 28, 140, 4, dtype=torch.float64)
weight = torch.randn(28, 28, 3, 7, dtype=torch.float64)
bias = torch.randn(28, dtype=torch.float64)
plain = F.conv2d(x, weight, bias, padding="same")
print("the same function:", torch.allclose(folded(x, weight, bias), plain))

# %% [markdown]
# This is what `asclib.networks.Conv2d` does while it trains. For inference and
# for export the layer is the ordinary one: devices, and the challenge, count
# that.
#
# ## One run for each core
#
# So far one core. A network this small does not fill two: between the layers
# the threads wait for each other. But a study has many trainings, and they do
# not depend on each other. Members, seeds and techniques go side by side, one
# thread each. `asclib.runs.build` does it with joblib; the processes map
# one file of features, so there is one copy of the data; and the same call
# inside `joblib.parallel_config("dask")` runs on a Dask cluster, with the same
# weights at the end.
#
# How do the two ways compare? The plain loop has a data loader, torch's
# layout and all cores for one training. When it distils, it asks the teacher
# for every batch.

# %%
speed = pd.DataFrame(measured["speed"]).T
ratio = pd.DataFrame(speed.pop("ratio").tolist(), index=speed.index,
                     columns=["ratio", "lowest", "highest"])
for name, row in ratio.iterrows():
    for column, value in row.items():
        glue(f"cost_{name}_{column}", float(value))
share = 100 * speed["share_of_peak"].astype(float)
glue("cost_share", float(share["student"]))
done = macs.copy()  # folding multiplies frames by frames, not by taps
done[["conv3", "conv4"]] *= [4 / 7, 2 / 5]
usual, real = (3 * m.sum() - m["conv1"] for m in (macs, done))
glue("cost_real_share", float(share["student"] * real / usual))
clips = speed[["plain", "ours_alone", "ours"]].astype(float).round()
clips.join(ratio).rename_axis("clips a second")

# %% [markdown]
# `ours_alone` is one training on one core, `ours` as many as there are cores.
# For the student the ratio of `ours` to `plain` within a repetition is
# {glue:text}`cost_student_ratio:.2f` in the median, between
# {glue:text}`cost_student_lowest:.2f` and
# {glue:text}`cost_student_highest:.2f` in three. By the usual count our runs
# reach {glue:text}`cost_share:.0f` % of the peak that a product of matrices
# reaches on all cores. Less the products that folding leaves out, it is
# {glue:text}`cost_real_share:.0f` %.
#
# ### Is it as good?
#
# The order of sums differs between the loops, and so do the random numbers.
# A faster loop that learns less would be no gain. So both train the student of
# the quick profile, from the same seeds. Intervals over so few seeds are wide:
# that they overlap does not show that the loops are equal.

# %%
same = pd.DataFrame(measured["accuracy"]).T
overlap = (same["low"].max() <= same["high"].min())
print("the intervals over seeds overlap:", overlap)
same.rename_axis("macro accuracy, %")

# %% [markdown]
# ## Distillation costs little extra
#
# A step of the student takes its MACs six times, as we counted. To ask the
# teacher, ten such networks forward, takes twenty. Asked in every step, it makes
# a step $(6 + 20)/6 \approx 4.3$ times as long.
#
# But [the teacher answers once](../distillation/response.ipynb): its logits are stored and
# joined by identifier. What remains is the loss itself: a few thousand numbers
# for answers, and more for a lesson on maps, whose answers are as large as the
# map. `benchmarks/distillation.py` times an epoch of every kind of stage
# between two plain ones, on one core and nothing else running. A technique
# costs what its stages cost:

# %% mystnb={"figure": {"name": "fig-distillation-cost", "caption": "An epoch of each technique over the plain epochs beside it: median and quartiles, batches of 32 and of 64. Dashed, the aim."}, "image": {"alt": "A row for each technique with two dots and short intervals, most of them close to one, and a dashed vertical line at 1.15."}}
cost = store.results("distillation")
figure, ax = plt.subplots(figsize=(6.5, 6))
for batch, colour, shift in (("32", INK, -0.15), ("64", ACCENT, 0.15)):
    found = pd.DataFrame(cost["batches"][batch]["techniques"]).T
    intervals(ax, found.index, found["median"], found["quarter"],
              found["three_quarters"], colour=colour, offset=shift,
              label=f"batches of {batch}")
ax.axvline(cost["aim"], color=MUTED, ls="--")
ax.set_xlabel("plain epochs")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8)
show(figure)

# %%
both = pd.DataFrame({
    batch: {name: row["median"] for name, row in one["techniques"].items()}
    for batch, one in cost["batches"].items()})
worst = both.max(axis=1).sort_values()
above = worst.index[worst > cost["aim"]]
asked = [row["median"] for one in cost["batches"].values()
         for row in one["asked_every_batch"].values()]
said = {"aim": cost["aim"], "timed": len(worst), "above": ", ".join(above),
        "within": len(worst) - len(above), "dearest": worst.index[-1],
        "cost_median": float(both.stack().median()),
        "dearest_cost": float(worst.iloc[-1]),
        "asked_low": min(asked), "asked_high": max(asked)}
for key, value in said.items():
    glue(key, value or "none")

# %% [markdown]
# Of {glue:text}`timed` techniques, {glue:text}`within` stay within
# {glue:text}`aim` plain epochs in batches of either size; above it:
# {glue:text}`above`. The median is {glue:text}`cost_median:.2f`, the dearest
# {glue:text}`dearest` with {glue:text}`dearest_cost:.2f`. A teacher that is asked
# for every batch makes an epoch {glue:text}`asked_low:.1f` to
# {glue:text}`asked_high:.1f` times as long: more than the operations alone would have it.
#
# ## What the study cost
#
# Every training of the study noted its own time. Which part of it took most?

# %%
study = store.results("scoreboard")
curves = pd.DataFrame(study["curves"])
member = curves["network"].str.startswith("member_")
group = curves["network"].where(~member, "ten members")
hours = curves.groupby(group)["wall_seconds"].sum() / 3600
glue("cost_hours", float(hours.sum()))
glue("cost_trainings", len(curves))
glue("cost_seeds", len(study["seeds"]))
hours.sort_values(ascending=False).round(2).rename("core hours")

# %% [markdown]
# Together {glue:text}`cost_trainings` trainings from {glue:text}`cost_seeds`
# seeds took {glue:text}`cost_hours:.1f` core hours. (Other programs ran beside
# some of them, so this is the price that was paid and not the lowest one.)
#
# And here? One epoch of the student on this run's corpus, one core:

# %% tags=["nbval-ignore-output"]
experiment = Experiment(profile, data_root, seed)
fit, validation = experiment.clips("fit"), experiment.clips("validation")
begin = time.perf_counter()
history = training.train(
    TMSIC(), fit, validation, Training(epochs=1), seed=seed)
seconds = time.perf_counter() - begin
print(f"{len(fit.labels) / seconds:.0f} clips a second, validation included")
assert np.isfinite(history["loss"]).all()

# %% [markdown]
# ## Takeaways
# * A step takes six operations for each MAC and clip; two convolutions of
#   TMSIC do nearly nine tenths of them.
# * The roofline tells which limit is nearer: for convolutions arithmetic, for
#   all other layers memory. It does not say that the limit is reached.
# * Kernels wider than their picture multiply by padding. About one parameter
#   in eight of TMSIC never hears anything.
# * Keep freed memory, put channels last, fold frames into channels, give each
#   core a run of its own.
# * A teacher that answers once makes distillation nearly as cheap as plain
#   training; lessons on maps cost most.
#
# ## Exercises
# **1.** How many operations does one epoch of the student take on TAU's
# training split, 139,620 clips? How long would it take at the peak of one
# core measured here?
#
# :::{dropdown} Solution
# About $139{,}620 \cdot (6 \cdot 25{,}376{,}896 - 2 \cdot 784{,}000) \approx
# 2.1 \cdot 10^{13}$. Divide by `peak * 1e9` for the seconds. The authors
# allowed two hundred epochs, each of some 229,000 clips, copies included.
# :::
#
# **2.** Replace the fourth convolution by one of 7 × 3. How many MACs are
# saved by the challenge's count, and how many parameters?
#
# :::{dropdown} Solution
# ```python
# net = TMSIC()
# net.conv4 = torch.nn.Conv2d(28, 16, (7, 3), padding="same")
# counted = complexity(net)
# counted.parameters, counted.macs
# ```
# $28 \cdot 16 \cdot 7 \cdot 2 = 6{,}272$ parameters less, and
# $6{,}272 \cdot 140 = 878{,}080$ MACs, with the weights of the middle three
# taps the very same function.
# :::
#
# **3.** Why is folding not used for the second convolution, whose picture is
# eight frames wide?
#
# :::{dropdown} Solution
# Its kernels have three taps. Folded, every output frame would be joined to
# all eight input frames, most of them through taps that do not exist: 64
# pairs of frames instead of the 22 that hear each other, so nearly three times
# the products.
# :::
#
# ## What is next
# This was the last chapter. [Running on TAU](tau.md) tells how to repeat all
# of it on real recordings; [the start page](../index.md) has the map.
