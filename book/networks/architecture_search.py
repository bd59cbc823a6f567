# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The search for the architecture
#
# ## What you will learn
# * the space in which TMSIC is one point among some hundred trillion;
# * how the limits of the challenge become constraints that are known before training;
# * what a search over that space finds in two hundred short trials, and which parameters mattered;
# * whether the best found is better than TMSIC;
# * what one would have claimed had the test split chosen.
#
# **Prerequisites**: [the student](student.ipynb); [the search for the input](../input/feature_search.ipynb),
# which explains TPE and Hyperband.
# **Data in**: the log-mel features, (1, 140, 8) a clip; `results/tuning_architecture.json`.
# **Data out**: a study of a dozen trials in the store.
# **In the library**: `asclib.tuning`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from asclib import complexity, plotting, store
from asclib.challenge import LIMITS
from asclib.networks import TMSIC
from asclib.plotting import glue
from asclib.runs import Experiment
from asclib.tuning import Architecture, EFFORTS, Search, Searched, cost
from asclib.tuning import architecture, figures, report, search
import optuna  # after asclib, which keeps its first words back

plotting.use_style()
optuna.logging.set_verbosity(optuna.logging.WARNING)

# %% [markdown]
# ## The space
#
# The published search {cite}`ipleiria2023dcase` had three or four convolutions, their filters and
# kernels, two pools of maxima or averages, dropouts, and the width of the dense layer. An `Architecture`
# is one point. The one it is without arguments is TMSIC.

# %%
point = Architecture()
print(point)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
architecture.suggest(trial := study.ask())
choices = {
    name: len(kind.choices) if hasattr(kind, "choices")
    else round((kind.high - kind.low) / kind.step) + 1
    for name, kind in trial.distributions.items()
}
print(f"{len(choices)} parameters, {math.prod(choices.values()):.1e} points")

# %% [markdown]
# Is it the very same network? We give both the same weights.

# %%
torch.manual_seed(0)
x = torch.randn(4, 1, 140, 8)
ours, theirs = Searched(point).eval(), TMSIC().eval()
ours.load_state_dict(theirs.state_dict())
with torch.no_grad():
    print("the same answers:", torch.equal(ours(x), theirs(x)))
print(cost(point))

# %% [markdown]
# ## Limits as constraints
#
# How many of these points may take part in the challenge at all? The cost of a network follows from its
# sizes. A layer with $C_\text{in}$ inputs, $C_\text{out}$ filters of $k_f \times k_t$ and a picture of
# $F \times T$ has
#
# $$ C_\text{out} \, (C_\text{in} k_f k_t + 1) \text{ parameters and }
#    C_\text{out} \, C_\text{in} k_f k_t \, F T \text{ MACs,} $$
#
# and its normalisation four numbers a filter. We draw points evenly and look.

# %%
class Even:
    """Stands for a trial: draws each parameter evenly."""

    random = np.random.default_rng(0)

    def suggest_int(self, name, low, high, step=1):
        return int(self.random.choice(range(low, high + 1, step)))

    def suggest_float(self, name, low, high, step):
        return step * self.random.integers(round((high - low) / step) + 1)

    def suggest_categorical(self, name, choices):
        return choices[self.random.integers(len(choices))]


# %% mystnb={"figure": {"name": "fig-architecture-limits", "caption": "A thousand random architectures, parameters against MACs. The lines are the limits of the DCASE Challenge 2022; the star is TMSIC."}, "image": {"alt": "A rising cloud of dots on logarithmic axes, crossed by two lines; many dots lie above the line of 30 million MACs, few right of the line of 128,000 parameters."}}
drawn = [architecture.suggest(Even()) for _ in range(1000)]
costs = pd.DataFrame([cost(point) for point in drawn])
limit = LIMITS[2022]
fig, ax = plt.subplots(figsize=(6, 3.6))
ax.loglog(costs["parameters"], costs["macs"] / 1e6, ".", ms=4,
          color=plotting.MUTED)
ax.axvline(limit.parameters, color="black", lw=0.8)
ax.axhline(limit.macs / 1e6, color="black", lw=0.8)
ax.plot(51_986, 25.376896, "*", ms=15, color=plotting.ACCENT, mec="white")
ax.set(xlabel="parameters", ylabel="million MACs")
plotting.show(fig)

# %%
over = costs["macs"] > limit.macs
large = costs["parameters"] > limit.parameters
print(f"too many MACs:       {over.mean():.1%}")
print(f"too many parameters: {large.mean():.1%}")
print(f"within both:         {(~over & ~large).mean():.1%}")
glue("net_outside", float(100 * (over | large).mean()))

# %% [markdown]
# It is the MACs that bind. To train such networks first and throw them away afterwards would waste a good
# part of the search. Ours ends the trial before a single weight exists.
#
# Arithmetic can be wrong about a network. So each point that passes is also built on torch's *meta*
# device, where tensors have a shape and no content, and counted by the counter of
# [the complexity chapter](../compression/complexity.ipynb). If the two disagreed, the search would stop.

# %%
with torch.device("meta"):
    ghost = Searched(Architecture(filters=(32, 48, 64, 32)))
print("a weight:", ghost.conv2.weight.device, tuple(ghost.conv2.weight.shape))
counted = complexity(ghost)
print(f"{counted.parameters:,} parameters, {counted.macs:,} MACs")
try:
    architecture.admit(ghost.architecture)
except architecture.TooLarge as error:
    print("not trained:", error)

# %% [markdown]
# To end the trial is half of it. Its excess over each limit is handed to TPE as a constraint, so the
# search learns the border as well as the scores.
#
# ## A dozen trials, live
#
# All networks read the small input, so the features are computed once. Validation clips come from
# locations of their own, and the test split is not read.

# %% tags=["nbval-ignore-output"]
experiment = Experiment(profile, data_root, seed)
hunt = Search("architecture", experiment, EFFORTS["quick"])
study = search.kept(hunt)
live = report.table(study)
assert len(live) == hunt.effort.trials
ran = live["outcome"] != "impossible"
assert (live.loc[ran, "macs"] <= limit.macs).all()
assert (live.loc[ran, "parameters"] <= limit.parameters).all()
live[["macs", "parameters", "outcome", "accuracy", "reason"]]

# %% [markdown]
# ## The study
#
# The same with more trials and more epochs, run once and stored.

# %%
found = store.results("tuning_architecture")
trials = pd.DataFrame(found["trials"])
names = list(architecture.parameters(Architecture()))
outcomes = trials["outcome"].value_counts()
for name in ("finished", "behind", "impossible"):
    glue(f"net_{name}", int(outcomes.get(name, 0)))
glue("net_trials", len(trials))
clips, settings = found["clips"], found["settings"]
print(f"{clips['fit']} clips to fit on, {clips['validation']} to validate on")
print(f"{len(trials)} trials of up to {settings['epochs']} epochs")
halves = trials["number"] < len(trials) / 2
impossible = (trials["outcome"] == "impossible").groupby(~halves).mean()
for half, name in zip(impossible, ("first", "second"), strict=True):
    glue(f"net_impossible_{name}", float(100 * half))
outcomes

# %% [markdown]
# Of {glue:text}`net_trials` trials {glue:text}`net_finished` were trained to the end,
# {glue:text}`net_behind` stopped by Hyperband, and {glue:text}`net_impossible` above a limit: in the first
# half of the search {glue:text}`net_impossible_first:.0f` % of the trials, in the second
# {glue:text}`net_impossible_second:.0f` %. Drawn evenly it would be {glue:text}`net_outside:.0f` %.

# %% mystnb={"figure": {"name": "fig-architecture-front", "caption": "The study: best validation macro accuracy of each trial against its MACs. Crosses were stopped early. The line is the front of the finished trials; the star is TMSIC."}, "image": {"alt": "A cloud of dots and crosses over a logarithmic axis of MACs that ends at 30 million, a rising staircase above it, and a star near its right end."}}
fig, ax = plt.subplots(figsize=(7, 3.8))
figures.pareto(ax, trials)
ax.axvline(limit.macs / 1e6, color="black", lw=0.8)
plotting.show(fig)

# %% mystnb={"figure": {"name": "fig-architecture-curves", "caption": "Validation macro accuracy after every epoch. A curve that ends in a cross was stopped by Hyperband."}, "image": {"alt": "Many rising curves; most end with a cross after one or three epochs, a few go on to the ninth."}}
fig, ax = plt.subplots(figsize=(7, 3.2))
figures.curves(ax, trials)
plotting.show(fig)

# %% [markdown]
# ## What mattered

# %% mystnb={"figure": {"name": "fig-architecture-importance", "caption": "Share of the variance of the finished trials' accuracy that each parameter explains (fANOVA); the twelve largest."}, "image": {"alt": "Twelve horizontal bars, ordered by length."}}
fig, ax = plt.subplots(figsize=(6, 3.4))
figures.importances(ax, found["importance"])
plotting.show(fig)

# %%
top = list(found["importance"])[:6]
finished = trials[trials["outcome"] == "finished"]
ten = finished.nlargest(10, "accuracy")
pd.DataFrame({
    "best found": {name: found["best"][name] for name in top},
    "most often in the ten best": {name: ten[name].mode()[0] for name in top},
    "TMSIC": {name: trials.loc[0, name] for name in top},
})

# %% mystnb={"figure": {"name": "fig-architecture-slices", "caption": "Validation macro accuracy over the values of the six parameters that mattered most. Dots were trained to the end, crosses stopped."}, "image": {"alt": "Six panels of dots and crosses, one a parameter."}}
fig, axes = plt.subplots(2, 3, figsize=(9, 5), sharey=True)
figures.slices(axes.flat, trials, top)
axes[1, 0].set_ylabel("accuracy (%)")
plotting.show(fig)

# %% mystnb={"figure": {"name": "fig-architecture-parallel", "caption": "The finished trials over the six parameters that mattered most; the ten best in colour. Each axis runs from the smallest to the largest value tried."}, "image": {"alt": "Thin grey lines across six vertical axes, and ten coloured ones."}}
fig, ax = plt.subplots(figsize=(9, 3.4))
figures.parallel(ax, trials, top)
plotting.show(fig)

# %% [markdown]
# ## Is it better than TMSIC?
#
# The best trial and TMSIC are trained again as in the search, from five new seeds, and compared seed by
# seed.

# %%
rows = report.rivalry(found["against_the_authors"])
best = trials.set_index("number").loc[found["best"]["number"]]
print(f"best found: {best['parameters']:,.0f} parameters,"
      f" {best['macs']:,.0f} MACs")
rows.rename(columns={"authors": "TMSIC"}).round(1)

# %%
for split, row in rows.iterrows():
    for name, value in row.items():
        glue(f"net_{split}_{name}", float(value))
low, high = rows.loc["test", ["low", "high"]]
answer = "above" if low > 0 else "below" if high < 0 else "on both sides of"
glue("net_answer", answer)
start = trials.loc[0, "accuracy"]
glue("net_claim", float(100 * best["accuracy"]))
glue("net_start", float(100 * start))
print(f"on test, the interval lies {answer} zero")

# %% [markdown]
# In the search the best trial stood at {glue:text}`net_claim:.1f` %, TMSIC at
# {glue:text}`net_start:.1f` %. Trained again, the difference on test is
# {glue:text}`net_test_difference:.1f` points, with a 95 % interval over seeds from
# {glue:text}`net_test_low:.1f` to {glue:text}`net_test_high:.1f`: it lies {glue:text}`net_answer` zero.
# This compares two architectures under the book's short training on the embedded corpus. The authors
# chose theirs under a longer one, on TAU.
#
# ## Had the test split chosen
#
# The published search was validated on the official development-test split, and its scores are those of
# the same split. How much does that flatter? We can measure it, with the networks that the study left.
#
# Half of the test recordings choose the best of the finished networks. That is the score that would be
# claimed. The other half, which had no part in the choice, says what the network keeps. We repeat
# with many random halves.

# %%
flat = found["chosen_on_the_test"]
tested = pd.DataFrame(flat["trials"])
names = ["claimed", "kept", "flattery", "flattery_low", "flattery_high",
         "kept_by_validation_choice", "mean"]
for name in names:
    glue(f"net_{name}", 100 * flat[name])
agree = tested["validation"].corr(tested["test"])
glue("net_correlation", float(agree))
print(f"{len(tested)} networks, {flat['halves']} halves")
(100 * pd.Series({name: flat[name] for name in names})).round(1)

# %% mystnb={"figure": {"name": "fig-architecture-test", "caption": "The finished networks of the study: macro accuracy on validation and on test. The square is the choice of the validation split, the diamond what the test split would choose."}, "image": {"alt": "A loose cloud of dots with two of them marked."}}
fig, ax = plt.subplots(figsize=(5.5, 3.6))
ax.plot(100 * tested["validation"], 100 * tested["test"], "o", ms=4,
        color=plotting.INK)
for column, mark in (("validation", "s"), ("test", "D")):
    chosen = tested.loc[tested[column].idxmax()]
    ax.plot(100 * chosen["validation"], 100 * chosen["test"], mark, ms=9,
            color=plotting.ACCENT, mfc="none", mew=2)
ax.set(xlabel="validation macro accuracy (%)", ylabel="test (%)")
plotting.show(fig)

# %% [markdown]
# Chosen and judged on the same recordings, the best network claims {glue:text}`net_claimed:.1f` %. On the
# other half it keeps {glue:text}`net_kept:.1f` %: the choice flatters by
# {glue:text}`net_flattery:.1f` points (95 % of the halves between {glue:text}`net_flattery_low:.1f` and
# {glue:text}`net_flattery_high:.1f`). The network that our validation split chose scores
# {glue:text}`net_kept_by_validation_choice:.1f` % on the same halves, and the mean of all
# {glue:text}`net_mean:.1f` %.
#
# The corpus of this study is small, and half of its test recordings are few, so the spread is wide; on
# TAU, with more recordings, the flattery would be smaller. Note also what is at fault. The test split may
# well choose a *good* network. What it cannot do is choose and then say how good the choice is. Validation
# and test agree here with a correlation of {glue:text}`net_correlation:.2f`.
#
# ## Takeaways
# * TMSIC is one point of a space; a good part of that space is above 30 million MACs.
# * Parameters and MACs are known before a weight exists. What is above a limit is not trained, and the
#   sampler is told by how much.
# * A best-of-many is trained again, with seeds, before it is believed.
# * A split that has chosen can no longer judge.
#
# ## Exercises
# **1.** Which single change takes TMSIC above the limit of MACs with the fewest parameters more?
#
# :::{dropdown} Solution
# ```python
# cost(Architecture(pools=((1, 1), (2, 2))))
# ```
# Leaving out the first pool costs not one parameter, and lets the third convolution read twice as many
# frames: 36.8 million MACs, the fourth included. So does leaving out the second: 32.0 million.
# :::
#
# **2.** The second half of the study proposes impossible points less often than the first, or does it?
# Draw the share over windows of twenty trials.
#
# :::{dropdown} Solution
# ```python
# share = (trials["outcome"] == "impossible").rolling(20).mean()
# share.plot()
# ```
# The first ten trials of each bracket of Hyperband are random. A sampler that knows the constraints stays
# clear of the border afterwards, if not always.
# :::
#
# **3.** Why is choosing on the test split worse with a thousand trials than with ten?
#
# :::{dropdown} Solution
# The claim is the largest of many scores, each a true value and a chance deviation. The largest deviation
# grows with their number, and with it the flattery. Draw subsets of the finished networks of different
# sizes to see it.
# :::
#
# ## What is next
# Ten networks of this architecture, each an expert for one scene: [the teacher](teacher.ipynb). More
# workers for a search: [when one machine is not enough](../practice/machines.md).
