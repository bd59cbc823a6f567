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
# * why filters can be taken out of a network and single weights hardly can, as the challenge counts;
# * how to choose filters, from their weights or from their normalisation;
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
# **In the library**: `asclib.compression.pruning`; the study is `studies/pruning.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import pandas as pd

from asclib import plotting, store
from asclib.complexity import complexity
from asclib.compression import pruning
from asclib.networks import TMSIC
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import macro_accuracy, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
student, test = experiment.student(), experiment.clips("test")
net = student.net()

# %% [markdown]
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
table = []
for share in shares:
    widths = pruning.widths_for(share)
    cost = complexity(TMSIC(widths=widths))
    table.append((f"{100 * share:.0f} %", widths, cost.macs, cost.parameters,
                  cost.peak_activation))
columns = ["MACs allowed", "filters", "MACs", "parameters", "peak (bytes)"]
pd.DataFrame(table, columns=columns).set_index("MACs allowed")

# %% [markdown]
# A tenth of the MACs is a third of the filters, since $0.3^2 \approx 0.1$. Parameters fall more slowly,
# since the 256 units of the dense layer stay; activations fall like the filters.
#
# ## Which filters?
#
# Two cheap answers. The sum of a kernel's absolute weights: small weights, small map
# {cite}`li2017pruning`. Or the scale of its batch normalisation, which multiplies the map in the end
# {cite}`liu2017learning`. Do they agree on the student?

# %% mystnb={"figure": {"name": "fig-filters", "caption": "Live run: for every filter of the student, the L1 norm of its kernel and the scale of its normalisation, each divided by the largest of its layer."}, "image": {"alt": "Four scatter plots, one for each convolution, of two scores between zero and one for each filter."}}
l1 = pruning.filter_scores(net, "l1")
bn = pruning.filter_scores(net, "bn")
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True)
for number, (ax, one, other) in enumerate(zip(axes, l1, bn, strict=True), 1):
    ax.plot(one / one.max(), other / other.max(), ".", color=plotting.INK)
    ax.set(title=f"conv{number}", xlabel="L1 norm")
    ax.set(xlim=(0, 1.05), ylim=(0, 1.05))
axes[0].set_ylabel("scale of the normalisation")
plotting.show(figure)

# %% [markdown]
# A caution about either. In `conv2` to `conv4` a ReLU stands before the normalisation, so a filter whose map
# is nearly always zero may keep a large scale. And the norm says little about `conv1`, whose normalisation
# undoes any scale of a kernel. Both are rules of thumb. We take the first.
#
# ## Cut, and look
#
# `prune_filters` copies the filters that stay into a smaller TMSIC. What the others gave to the next layer
# is simply missing.

# %% tags=["nbval-ignore-output"]
def accuracy(system):
    """Macro accuracy on the test clips, in per cent."""
    return 100 * macro_accuracy(predict(system, test.x), test.labels)


chance = 100 / len(test.labels.unique())
cut = {share: pruning.prune_filters(net, pruning.widths_for(share))
       for share in shares}
for share, system in cut.items():
    print(f"{100 * share:3.0f} % of the MACs: {accuracy(system):.1f} %")
assert accuracy(cut[1.0]) > chance + 10
assert accuracy(cut[0.1]) < accuracy(cut[1.0])

# %% [markdown]
# ## Heal
#
# The weights that are left are a good place to start from, not to stay. Healing is training, for fewer
# epochs and at a lower rate. There are two teachers to choose from: the labels, and
# [the teacher](../networks/teacher.ipynb). The question of this chapter is whether the second heals better. To be fair
# to both, the two start from the same weights, see the same clips in the same order and for as many epochs.
#
# `Narrowed` is the cut student as something to train, and `healed` the training: half of the student's epochs at a
# third of its rate, by the labels, or by the responses of a teacher.

# %% tags=["nbval-ignore-output"]
healers = {"labels": None, "response": experiment.teacher()}
healed = {
    (share, healer): pruning.healed(
        pruning.Narrowed(student, pruning.widths_for(share)), teacher)
    for share in (0.25, 0.1) for healer, teacher in healers.items()
}
build(list(healed.values()))
rows = {share: {"cut": accuracy(cut[share])} for share, _ in healed}
for (share, healer), run in healed.items():
    rows[share][f"healed by {healer}"] = accuracy(run.net())
    assert complexity(run.net()).macs <= share * complexity(net).macs
    assert rows[share][f"healed by {healer}"] > chance + 5
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# A single training is an anecdote. The study repeats this with several seeds, one teacher answering for all, and adds
# what a fair judgement needs:
#
# * the network that was **not cut**, healed for as long: what *it* gains or loses has nothing to do with the cut, but with
#   training longer, and under a teacher with another loss;
# * **iterative** pruning, which cuts to a half, a quarter and a tenth and heals after each cut, with as many
#   epochs *in all* as one-shot pruning has for its single healing;
# * **unstructured** pruning to a tenth of the weights, healed for as long, its zeros held.
#
# ## What the study says

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
# The two panels have the same networks and not the same shape: a network of a tenth of the MACs still has
# {glue:text}`tenth_bytes:.0f` % of the bytes, since the dense layer was not cut.
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
# Answer: {glue:text}`teacher_above`. Where are both below? Answer: {glue:text}`teacher_below`. At all other shares these runs do
# not tell the two apart.
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
# (Intervals over recordings.) Both intervals are below zero at: {glue:text}`cut_below`.
#
# Is it better to cut in steps? Both intervals above zero: {glue:text}`iterative_above`; both below:
# {glue:text}`iterative_below`. The epochs are the same in all, so each step has a third of them.
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
# * Zeros save nothing as the challenge counts. Filters do: MACs fall with the square of the width.
# * The L1 norm and the scale of the normalisation are rules of thumb for which filters to keep.
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
# **2.** Prune with `criterion="bn"`. Is the cut network better before healing?
#
# :::{dropdown} Solution
# `accuracy(pruning.prune_filters(net, pruning.widths_for(0.5), "bn"))`. Repeat it with several seeds before
# you believe the answer.
# :::
#
# **3.** Train the network of a tenth of the MACs from random weights, for the epochs that the student had and
# those of the healing. Was there any use in pruning?
#
# :::{dropdown} Solution
# Make `TMSIC(widths=pruning.widths_for(0.1))` and call `asclib.training.train` with the profile's
# student plan, its epochs raised by those of the healing. Some studies found that a pruned architecture
# trained anew does as well: then pruning was a search for widths.
# :::
#
# ## What is next
# The student can be cut and it can be rounded. [The next chapter](complexity.ipynb) counts what is
# left.
