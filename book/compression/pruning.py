# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How small can it get?
#
# ## What you will learn
# * which weights of the student never meet a sample, and can go without any change;
# * why filters can be taken out of a network and single weights hardly can, as the challenge counts;
# * how to choose filters by a score that a normalisation cannot undo, and that a dead filter cannot win;
# * what a cut network can still do before any healing, and what more training gives back;
# * whether a teacher heals better than labels do, and how to ask that fairly;
# * how many MACs the student can lose before it is another, worse system.
#
# **Prerequisites**: [the student](../networks/student.ipynb), [response distillation](../distillation/response.ipynb),
# [complexity](complexity.ipynb).
#
# **Data in**: the student trained on labels, the teacher's answers, the test clips.
#
# **Data out**: pruned and healed students, in the store.
#
# **In the library**: `asclib.compression.pruning`, and `asclib.compression.surgery` for any network; the study is
# `studies/pruning.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import copy

import matplotlib.pyplot as plt
import pandas as pd
import torch

from asclib import plotting, store
from asclib.complexity import complexity
from asclib.compression import pruning, surgery
from asclib.networks import TMSIC
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import macro_accuracy, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
student, test = experiment.student(), experiment.clips("test")
net = student.net()

# %% [markdown]
# ## A cut that loses nothing
#
# The map that `conv4` reads is two frames wide, and its kernel five. Wherever the kernel stands, its first and its last
# tap lie beside the map: they are multiplied by the zeros of the padding, always. No gradient reaches such weights, so they
# still are the random numbers they began as, and they never say anything. `trimmed` finds them in any convolution and takes
# them out.

# %%
whole = surgery.trimmed(net)
for name, system in (("as it was", net), ("trimmed", whole)):
    cost = complexity(system)
    print(f"{name:9} conv4 {system.conv4.kernel_size}:",
          f"{cost.parameters:,} parameters, {cost.macs:,} MACs")
apart = (predict(net, test.x) - predict(whole, test.x)).abs().max()
print("the same answers, up to rounding:", bool(apart < 1e-4))
assert apart < 1e-4

# %% [markdown]
# That is 6,272 weights, 12 % of the network, for nothing. The file stores them as any others, and a device multiplies by
# them. Where filters are cut below, in the live run, they are cut from the trimmed student.
#
# ## Two ways to cut
#
# A trained network has more weights than it needs. Two kinds of surgery make it smaller.
#
# *Unstructured* pruning sets the smallest weights to zero, wherever they are. The network keeps its shape.
# A file may compress better, and special hardware may skip the zeros. The challenge does neither: it counts
# parameters "zeros included", and a multiplication by zero is a MAC.

# %%
sparse = TMSIC()
pruning.prune_weights(sparse, 0.9)
pruning.fix_zeros(sparse)
for name, system in (("as it was", TMSIC()), ("nine tenths zero", sparse)):
    cost = complexity(system)
    print(f"{name:17} {100 * pruning.zero_share(system):4.1f} % zeros,",
          f"{cost.parameters:,} parameters, {cost.macs:,} MACs")

# %% [markdown]
# *Structured* pruning takes out whole filters. A filter of `conv2` that goes leaves three gaps: its own
# kernel and bias, its four numbers in the normalisation, and its place among the inputs of every kernel of `conv3`.
# What is left is an ordinary, smaller network. With a share $f$ of the filters in each layer, most layers
# have $f$ times the inputs *and* $f$ times the outputs:
#
# $$ M(f) \approx f^2 M(1). $$

# %%
shares = (1.0, 0.5, 0.25, 0.1)
widths = {share: pruning.widths_for(share) for share in shares}
table = []
for share in shares:
    cost = complexity(surgery.trimmed(TMSIC(widths=widths[share])))
    table.append((f"{100 * share:.0f} %", widths[share], cost.macs,
                  cost.parameters))
columns = ["MACs allowed", "filters", "MACs", "parameters"]
pd.DataFrame(table, columns=columns).set_index("MACs allowed")

# %% [markdown]
# All widths are multiples of four. Kernels for microcontrollers compute two or four channels at once, and thirteen
# channels take them as long as sixteen: MACs that are saved on paper only. So a tenth of the MACs is undershot. Parameters
# fall more slowly than MACs, since the 256 units of the dense layer stay.
#
# Which channels must go together? In the student a filter belongs to one convolution. Where maps are added, as around a
# residual, the same channel must go from all of them. Torch-Pruning follows such ties {cite}`fang2023depgraph`, and
# `asclib.compression.surgery` refuses by name the layers that it would follow wrongly.
#
# ## Which filters?
#
# The sum of a kernel's absolute weights seems a natural score: small weights, small map {cite}`li2017pruning`. But behind
# every convolution of the student stands a batch normalisation, which divides by the spread of the map. Multiply a
# kernel by ten, and its normalisation takes the ten out again. In `conv2` to `conv4` a ReLU stands between the two, and
# changes nothing of this: $\mathrm{ReLU}(10 u) = 10\, \mathrm{ReLU}(u)$.

# %%
def louder(system, layer, number, factor=10.0):
    """The same function: one kernel times a factor, its norm told."""
    other = copy.deepcopy(system)
    conv = other.get_submodule(f"conv{layer}")
    norm = other.get_submodule(f"norm{layer}")
    old = (norm.running_var[number] + norm.eps).sqrt()
    with torch.no_grad():
        conv.weight[number] *= factor
        conv.bias[number] *= factor
        norm.running_mean[number] *= factor
        norm.running_var[number] *= factor**2
        new = (norm.running_var[number] + norm.eps).sqrt()
        norm.weight[number] *= new / (factor * old)
    return other


# %% tags=["nbval-ignore-output"]
def place(system, criterion, layer, number):
    """Where a filter stands among those of its layer, 1 for the highest."""
    scores = pruning.filter_scores(system, criterion)[layer - 1]
    return int((scores > scores[number] * 1.0001).sum()) + 1


least = int(pruning.filter_scores(whole, "l1")[1].argmin())
other = louder(whole, 2, least)
for criterion in ("l1", "folded", "heard"):
    places = [place(one, criterion, 2, least) for one in (whole, other)]
    print(f"{criterion:6} in conv2: {places[0]} before, {places[1]} after")
    assert (places[0] != places[1]) == (criterion == "l1")
apart = (predict(other, test.x) - predict(whole, test.x)).abs().max()
assert apart < 1e-2

# %% [markdown]
# The two networks give the same answers, and the L1 norm would cut other filters from them: it is arbitrary, in all four
# layers. A score that survives has to see both, the kernel and what the normalisation makes of it. The *folded* norm is
# that of the kernel with its normalisation multiplied in,
#
# $$ \Vert k \Vert_1 \cdot \frac{|\gamma|}{\sqrt{\sigma^2 + \epsilon}} . $$
#
# It survives, and has a fault of its own. Where a ReLU stands before the normalisation it may never open. Such a filter says
# nothing at all, its $\sigma$ is zero, and the division makes its score the highest. So ask the other way round: how much
# does the next layer hear of a channel? Its normalised map deviates by $|\gamma|\,\sigma / \sqrt{\sigma^2 + \epsilon}$, and it
# is read with weights $w$, which the next normalisation divides as well, so they are folded with it:
#
# $$ |\gamma| \, \frac{\sigma}{\sqrt{\sigma^2 + \epsilon}} \cdot \sum |w| . $$
#
# We call this what is *heard*; it is zero for a filter that never opens, and it is what `prune_filters` goes by. The scale
# $|\gamma|$ alone is another way {cite}`liu2017learning`, but its authors train the network with a penalty that drives scales
# to zero; ours was trained without one, and all its scales lie near one.

# %% mystnb={"figure": {"name": "fig-filters", "caption": "Live run: for every filter of the student, the L1 norm of its kernel, and what the next layer hears of it, each divided by the largest of its layer; circled, the filters with the highest folded norm of their layer."}, "image": {"alt": "Four scatter plots, one for each convolution, of two scores between zero and one for each filter; in each of them one dot has a circle."}}
scores = [pruning.filter_scores(whole, name)
          for name in ("l1", "heard", "folded")]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True)
for number, (ax, *layer) in enumerate(zip(axes, *scores, strict=True), 1):
    l1, heard, folded = (one / one.max() for one in layer)
    top = folded.argmax()
    ax.plot(l1, heard, ".", color=plotting.INK)
    ax.plot(l1[top], heard[top], "o", ms=10, mfc="none", color=plotting.ACCENT)
    ax.set(title=f"conv{number}", xlabel="L1 norm")
    ax.set(xlim=(0, 1.05), ylim=(-0.05, 1.05))
axes[0].set_ylabel("heard")
plotting.show(figure)

# %% [markdown]
# Were the two scores one, the dots would lie on a diagonal. They do not, and where they do not, the L1 norm keeps and
# cuts by chance. A circle at the bottom is a filter that is not heard at all, and that the folded norm would keep before
# any other.
#
# ## Cut, repair, and look
#
# `prune_filters` makes a smaller network of the filters that stay. What the others gave to the next layer is missing, and
# so is the mean of it: every bias and every normalisation of the next layer was trained with that mean there. It
# can be given back without any training. Layer after layer, the mean of each channel is measured on some training
# clips, in the whole network and in the cut one; the bias takes back the difference, and the normalisation's mean and
# deviation move as those of its input did.

# %% tags=["nbval-ignore-output"]
def accuracy(system):
    """Macro accuracy on the test clips, in per cent."""
    return 100 * macro_accuracy(predict(system, test.x), test.labels)


chance = 100 / len(test.labels.unique())
clips = pruning.some_clips(experiment.data, 400)
table = {}
for share in shares:
    cut = pruning.prune_filters(whole, widths[share])
    repaired = pruning.prune_filters(whole, widths[share], clips=clips)
    table[f"{100 * share:.0f} %"] = {"cut": accuracy(cut),
                                     "repaired": accuracy(repaired)}
assert table["100 %"]["cut"] > chance + 10
assert table["10 %"]["cut"] < table["100 %"]["cut"]
pd.DataFrame(table).T.round(1)

# %% [markdown]
# ## Heal
#
# Repair can give back what a mean took away, and nothing else: where few filters are left it may even be worse than the cut
# alone. Either network is far below the whole.
# The weights that are left are a good place to start from, not to stay. Healing is training, for fewer
# epochs and at a lower rate. There are two who can heal: the labels, and
# [the teacher](../networks/teacher.ipynb). To be fair to both, the two start from the same weights, see the same clips
# in the same order and for as many epochs. And a teacher that knows no more than its pupil cannot be expected to heal it
# better: its accuracy belongs beside the table.
#
# `Narrowed` is the student trimmed and cut, as something to train, and `healed` the training: half of the student's epochs
# at a third of its rate, by the labels, or by the responses of a teacher and the labels together. It is not repaired before;
# exercise 2 says why.

# %% tags=["nbval-ignore-output"]
healers = {"labels": None, "response": experiment.teacher()}
runs = {(share, name): pruning.healed(
            pruning.Narrowed(student, widths[share]), teacher)
        for share in (0.25, 0.1) for name, teacher in healers.items()}
build(list(runs.values()))
rows = {}
for (share, name), run in runs.items():
    assert complexity(run.net()).macs <= share * complexity(net).macs
    score = accuracy(run.net())
    rows.setdefault(f"{100 * share:.0f} %", {})[f"healed by {name}"] = score
    assert score > chance + 5
print(f"the student, whole: {accuracy(net):.1f} %;",
      f"its teacher: {accuracy(experiment.teacher().net()):.1f} %")
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# A single training is an anecdote: read no order from it, least of all where a smaller network stands above a larger one. The study repeats
# this with several seeds, one teacher answering for all, and adds what a fair judgement needs:
#
# * the network that was **not cut**, healed for as long: what *it* gains or loses has nothing to do with the cut, but with
#   training longer, and under a teacher with another loss;
# * **iterative** pruning, which cuts to a half, a quarter and a tenth and heals after each cut, with as many
#   epochs *in all* as one-shot pruning has for its single healing;
# * **unstructured** pruning to a tenth of the weights, healed for as long, its zeros held.
#
# ## What the study says
#
# :::{note}
# All figures from here on are of version 0.1.0 and of the quick profile, on an older corpus: do not set them beside the live
# run's. The students have 12 epochs, and were cut by the plain L1 norm to any width and not repaired. A larger study, with
# the small networks trained from scratch as rivals, is designed (`python -m studies pruning --plan`) and has not been run.
# :::

# %%
study = store.results("pruning")
mean = pd.DataFrame(study["mean_accuracy"])
one_shot = mean[mean["method"] == "one_shot"]
curve = 100 * one_shot.pivot(
    index="share", columns="healed", values="accuracy")
print(f"embedded corpus: {study['clips']['test']} test clips,",
      f"{len(study['seeds'])} seeds")
curve.sort_index(ascending=False).round(1)

# %% mystnb={"figure": {"name": "fig-pruning", "caption": "Study, embedded corpus: macro accuracy of one-shot pruning against MACs and against bytes in eight bits, mean over seeds, before healing and healed in two ways; dots are single seeds, the dashed line is chance."}, "image": {"alt": "Two panels of three curves of accuracy, over MACs and over bytes, with dots around them and a dashed horizontal line."}}
runs = pd.DataFrame(study["runs"])
shown = runs[runs["method"] == "one_shot"]
costs = {"million MACs": shown["macs"] / 1e6, "kB": shown["bytes"] / 1e3}
colours = {"labels": plotting.ACCENT, "response": plotting.INK,
           "not healed": plotting.MUTED}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
for ax, (name, cost) in zip(axes, costs.items(), strict=True):
    for healed, score in (100 * shown["accuracy"]).groupby(shown["healed"]):
        ax.plot(cost[score.index], score, ".", color=colours[healed])
        score.groupby(cost).mean().plot(ax=ax, color=colours[healed],
                                        label=healed)
    ax.axhline(10, color=plotting.MUTED, ls="--")
    ax.set(xlabel=name, ylabel="accuracy (%)")
axes[0].legend()
plotting.show(figure)

# %% [markdown]
# The two panels have the same networks. A network of a tenth of the MACs still has {glue:text}`tenth_bytes:.0f` % of the
# bytes, since the 256 units of the dense layer were kept.
#
# Does the teacher heal better? The difference, share by share, with both of its uncertainties:

# %% mystnb={"figure": {"name": "fig-healers", "caption": "Study, embedded corpus: accuracy healed by the teacher minus accuracy healed on labels, with 95 % intervals over test recordings, all seeds pooled (upper of each pair), and over seeds (lower)."}, "image": {"alt": "Pairs of dots with horizontal interval bars for each share and method, around a vertical line at zero."}}
columns = ["accuracy", "accuracy_low", "accuracy_high",
           "seeds_low", "seeds_high"]
gain = pd.DataFrame(study["differences"])
gain.index = [f"{100 * row.share:.0f} %, {row.method.replace('_', '-')}"
              for row in gain.itertuples()]
figure, ax = plt.subplots(figsize=(7, 0.5 * len(gain) + 0.8))
plotting.differences(ax, gain.index, 100 * gain[columns].astype(float),
                     "teacher minus labels (points)")
plotting.show(figure)

# %%
def verdict(rows):
    """Where both intervals are on one side of zero, and on which."""
    low = rows[["accuracy_low", "seeds_low"]].min(axis=1)
    high = rows[["accuracy_high", "seeds_high"]].max(axis=1)
    for word, found in (("above", low > 0), ("below", high < 0)):
        yield word, "; ".join(rows.index[found]) or "nowhere"


for word, where in verdict(gain):
    glue(f"teacher_{word}", where)
size = shown.groupby("share")["bytes"].mean()
glue("tenth_bytes", round(100 * size[0.1] / size[1.0]))
(100 * gain[columns].astype(float)).round(1)

# %% [markdown]
# Where are both intervals, over recordings and over seeds, above zero, so that the teacher heals better than the labels?
# Answer: {glue:text}`teacher_above`. Where are both below? Answer: {glue:text}`teacher_below`. Elsewhere these runs do
# not tell the two apart, though every difference of the table is on the labels' side. The quick profile's teacher is no better than its pupil, so this was
# to be expected.
#
# ## What a cut costs
#
# Against the network that was not cut but healed for as long, by the same healer; and iterative against one-shot
# pruning, with the same number of epochs:

# %% mystnb={"figure": {"name": "fig-cost", "caption": "Study, embedded corpus: accuracy of each pruned network minus that of the one that was not cut and was healed by the same healer, for as long; and iterative minus one-shot pruning. Intervals as above."}, "image": {"alt": "Pairs of dots with horizontal interval bars for each pruned network and healer, most of them left of a vertical line at zero."}}
rivals = pd.DataFrame(study["rivals"])
rivals.index = [
    f"{100 * row.share:.0f} %, {row.method.replace('_', '-')}, {row.healed}"
    + ("" if row.base_share == 1.0 else ", minus one-shot")
    for row in rivals.itertuples()]
figure, ax = plt.subplots(figsize=(7, 0.5 * len(rivals) + 0.8))
plotting.differences(ax, rivals.index, 100 * rivals[columns].astype(float),
                     "difference of accuracy (points)")
plotting.show(figure)

# %%
whole = rivals["base_share"] == 1.0
for word, where in verdict(rivals[~whole]):
    glue(f"iterative_{word}", where)
for word, where in verdict(rivals[whole]):
    glue(f"cut_{word}", where)
one = rivals[whole & (rivals["method"] == "one_shot")]
for row in one.itertuples():
    said = (f"{100 * row.accuracy:+.1f} ({100 * row.accuracy_low:+.1f} to "
            f"{100 * row.accuracy_high:+.1f})")
    glue(f"cut_{100 * row.share:.0f}_{row.healed}", said)

# %% [markdown]
# Cut to a half of the MACs and healed on labels, the student's accuracy differs by {glue:text}`cut_50_labels` points from
# that of the one which was not cut; to a quarter, by {glue:text}`cut_25_labels`; to a tenth, by {glue:text}`cut_10_labels`.
# Healed by the teacher: {glue:text}`cut_50_response`, {glue:text}`cut_25_response` and {glue:text}`cut_10_response`.
# (Intervals over recordings; over the three seeds they are far wider, as the figure shows.) Both intervals are below zero at:
# {glue:text}`cut_below`.
#
# Mind the base. In this study the network that was not cut *lost* by training on, and more under the teacher: compare the first
# row of the first table with its column *not healed*. So these differences flatter the cut.
#
# Is it better to cut in steps? Both intervals above zero: {glue:text}`iterative_above`; both below:
# {glue:text}`iterative_below`. Neither is shown to be better. The epochs are the same in all, so each step has a third of them.
#
# And the zeros? The network with nine tenths of its weights at zero is as large as the whole one by every count of the challenge:

# %%
columns = ["healed", "macs", "parameters", "bytes", "zeros", "accuracy"]
zeros = runs[runs["method"] == "unstructured"][columns]
zeros = zeros.groupby("healed").mean().round({"zeros": 3, "accuracy": 3})
assert (zeros["parameters"] == complexity(TMSIC()).parameters).all()
zeros.astype({"macs": int, "parameters": int, "bytes": int})

# %% [markdown]
# These are small students of a small corpus and a short training, and one teacher's answers for all seeds. Whether the same
# holds on TAU has to be asked there.
#
# ## Takeaways
# * 6,272 weights of the student, 12 %, only ever meet padding. Without them it gives the same answers.
# * Zeros save nothing as the challenge counts. Filters do: MACs fall with the square of the width.
# * A batch normalisation undoes any factor of a kernel, behind a ReLU too. The L1 norm is arbitrary in all four
#   layers of the student. The norm with the normalisation folded in is not, but it prefers filters that never open.
# * Judge a pruned network after healing, and heal the unpruned one too: training longer is a rival.
# * Compare healers from the same weights, on the same clips, with an interval.
# * Compare iterative with one-shot pruning at the same number of epochs, or you compare epochs.
#
# ## Exercises
# **1.** How many filters may stay in each layer for a quarter of the *parameters* instead of the MACs?
#
# :::{dropdown} Solution
# The dense layer and the head hold 6,922 of the parameters whatever the width of `conv1` to `conv3`, so
# the convolutions must shrink by more. Search over `TMSIC(widths=widths)` with
# `complexity(net).parameters`, as `widths_for` does with MACs.
# :::
#
# **2.** Heal a network that was repaired first, `Narrowed(student, widths[0.25], clips=400)`. Is it better for it?
#
# :::{dropdown} Solution
# Compare the training losses, `run.history()`, with those of the run above: with this student the repaired network
# begins ahead and stays behind. A channel that has lost inputs spreads less. Moved back to its old mean, it lies for nearly
# all clips on one side of its ReLU, always open or always shut, and learns slowly. In training, each batch's statistics
# make up for the lost mean anyway.
# :::
#
# **3.** Train the network of a tenth of the MACs from random weights, for the epochs that the student had and
# those of the healing. Was there any use in pruning?
#
# :::{dropdown} Solution
# Make `TMSIC(widths=widths[0.1])` and call `asclib.training.train` with the profile's
# student plan, its epochs raised by those of the healing. Liu and others found for several networks and criteria that a
# pruned architecture trained anew does as well {cite}`liu2019rethinking`: then pruning was a search for widths.
# :::
#
# ## What is next
# The student can be cut and it can be rounded. So much on paper. [The next chapter](chip.ipynb) brings it to a
# microcontroller and counts again.
