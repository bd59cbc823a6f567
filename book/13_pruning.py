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
# **Prerequisites**: [the student](06_student.ipynb), [response distillation](09_response.ipynb),
# [complexity](14_complexity.ipynb).
#
# **Data in**: the student trained on labels, the teacher's answers, the test clips.
#
# **Data out**: pruned and healed students, in the store.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from asclib import plotting, pruning, store
from asclib.complexity import complexity
from asclib.experiment import Experiment
from asclib.networks import TMSIC
from asclib.study_pruning import pruned
from asclib.training import macro_accuracy, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
net, test = experiment.student(), experiment.clips("test")

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
# kernel, its four numbers in the normalisation, and its place among the inputs of every kernel of `conv3`.
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
# [the teacher](08_teacher.ipynb). The question of this chapter is whether the second heals better. To be fair
# to both, the two start from the same weights, see the same clips in the same order and for as many epochs.

# %% tags=["nbval-ignore-output"]
rows = {}
for share in (0.25, 0.1):
    rows[share] = {"cut": accuracy(cut[share])}
    for teacher in ("labels", "response"):
        healed = pruned(experiment, "one_shot", share, teacher)
        rows[share][f"healed by {teacher}"] = accuracy(healed)
        assert complexity(healed).macs <= share * complexity(net).macs
        assert rows[share][f"healed by {teacher}"] > chance + 5
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# A single training is an anecdote. The study repeats this with several seeds. Its committed figures are of
# one-shot pruning to a quarter and a tenth of the MACs, under the quick profile. They lack one control: the unpruned
# network, trained on for as long. What *it* gains, it gains by training longer, and nothing else;
# `python -m asclib.study pruning` has it among its runs, with iterative and unstructured pruning.
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

# %% mystnb={"figure": {"name": "fig-pruning", "caption": "Study, embedded corpus: macro accuracy against MACs for one-shot pruning, mean over seeds, before healing and healed in two ways; dots are single seeds, the dashed line is chance."}, "image": {"alt": "Three curves of accuracy over the MACs that are left, on a logarithmic axis, with dots around them and a dashed horizontal line."}}
runs = pd.DataFrame(study["runs"])
runs = runs[runs["method"] == "one_shot"]
colours = {"labels": plotting.ACCENT, "response": plotting.INK,
           "not healed": plotting.MUTED}
figure, ax = plt.subplots(figsize=(7, 3.4))
for healed, group in runs.groupby("healed"):
    ax.semilogx(group["macs"] / 1e6, 100 * group["accuracy"], ".",
                color=colours[healed], alpha=0.5)
    line = group.groupby("macs")["accuracy"].mean()
    ax.semilogx(line.index / 1e6, 100 * line, color=colours[healed],
                label=healed)
ax.axhline(10, color=plotting.MUTED, ls="--")
ax.set(xlabel="million MACs", ylabel="accuracy (%)")
ax.legend()
plotting.show(figure)

# %% [markdown]
# Does the teacher heal better? The difference, share by share, with both of its uncertainties:

# %% mystnb={"figure": {"name": "fig-healers", "caption": "Study, embedded corpus: accuracy healed by the teacher minus accuracy healed on labels, with 95 % intervals over test recordings, all seeds pooled (upper of each pair), and over seeds (lower)."}, "image": {"alt": "Pairs of dots with horizontal interval bars for each share and method, around a vertical line at zero."}}
gain = pd.DataFrame(study["differences"])
gain.index = [f"{100 * row.share:.0f} %, {row.method.replace('_', '-')}"
              for row in gain.itertuples()]
figure, ax = plt.subplots(figsize=(7, 3))
for kind, shift, colour in (("accuracy", -0.12, plotting.INK),
                            ("seeds", 0.12, plotting.ACCENT)):
    low, high = 100 * gain[f"{kind}_low"], 100 * gain[f"{kind}_high"]
    plotting.intervals(ax, gain.index, 100 * gain["accuracy"], low, high,
                       colour=colour, offset=shift)
ax.axvline(0, color=plotting.MUTED)
ax.set(xlabel="teacher minus labels, macro accuracy (points)")
plotting.show(figure)

# %%
best = curve.loc[1.0].max()
tenth = curve.loc[0.1, ["labels", "response"]].max()
glue("lost", round(float(best - tenth), 1), display=False)
names = {True: "helps", False: "hurts"}
clear = gain[(gain["accuracy_low"] > 0) | (gain["accuracy_high"] < 0)]
said = [f"at {name} it {names[bool(row.accuracy > 0)]}"
        for name, row in clear.iterrows()]
glue("verdict", "; ".join(said) or "nowhere", display=False)
glue("tenth_cut", round(float(curve.loc[0.1, "not healed"]), 1), display=False)
glue("tenth", round(float(tenth), 1), display=False)

# %% [markdown]
# Cut to a tenth of its MACs, the student falls to {glue:text}`tenth_cut:.1f` %; the better of the two
# healings brings it to {glue:text}`tenth:.1f` %, {glue:text}`lost:.1f` points below the
# network that was not cut. Where does the interval over recordings exclude a difference of
# zero between the teacher and the labels? Answer: {glue:text}`verdict`. These are small
# students of a small corpus and a short training, and one teacher's answers for all seeds. Whether the same
# holds on TAU has to be asked there.
#
# ## Takeaways
# * Zeros save nothing as the challenge counts. Filters do: MACs fall with the square of the width.
# * The L1 norm and the scale of the normalisation are rules of thumb for which filters to keep.
# * Judge a pruned network after healing, and heal the unpruned one too: training longer is a rival.
# * Compare healers from the same weights, on the same clips, with an interval.
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
# The student can be cut and it can be rounded. [The next chapter](14_complexity.ipynb) counts what is
# left.
