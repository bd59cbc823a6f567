# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The search for the input
#
# ## What you will learn
# * how large the space is from which the 140 bands by 8 frames were taken, and how much of it is
#   impossible before anything is trained;
# * how TPE proposes a trial, how Hyperband stops one, and what both cost;
# * how to read a search: its front, its importances, its slices;
# * whether the best that was found is better than the authors' choice.
#
# **Prerequisites**: [the features](features.ipynb), for the settings that are searched.
# **Data in**: the clips to fit on and the validation clips, as sound; `results/tuning_features.json`.
# **Data out**: a study of a dozen trials in the store.
# **In the library**: `asclib.tuning`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from asclib import plotting, store
from asclib.challenge import LIMITS
from asclib.corpus import read_audio
from asclib.plotting import glue
from asclib.runs import Experiment
from asclib.tuning import Configuration, EFFORTS, EmptyFilters, Search, cost
from asclib.tuning import features, figures, report, search

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## The space
#
# The published search {cite}`ipleiria2023dcase` varied four settings of the input. A hop is given as
# a share of the window, so that short windows come often and long ones seldom.

# %%
space = {
    "sample_rate": features.SAMPLE_RATES, "n_fft": features.N_FFTS,
    "hop_percent": features.HOPS, "n_mels": features.N_MELS,
}
points = [
    Configuration(rate, n_fft, hop, mels)
    for rate in space["sample_rate"] for n_fft in space["n_fft"]
    for hop in space["hop_percent"] for mels in space["n_mels"]
]
for name, values in space.items():
    print(f"{name:12} {values}")
print(f"{len(points)} configurations")

# %% [markdown]
# Three of them, for the same second of sound. Over the whole space a picture has from 120 to
# 207,000 values; the limit of MACs leaves up to some 16,000.

# %% mystnb={"figure": {"name": "fig-input-three", "caption": "One second through three configurations: sampling rate, transform, hop, bands."}, "image": {"alt": "Three spectrograms of the same second: one wide with many thin frames, one square, one of eight tall frames."}}
clip = experiment.table("fit").iloc[0]
wave = read_audio(experiment.corpus.root / clip["filename"])[None]
shown = [Configuration(44100, 1024, 25, 60),
         Configuration(22050, 2048, 25, 140), Configuration()]
fig, axes = plt.subplots(1, 3, figsize=(9, 3))
for ax, point in zip(axes, shown, strict=True):
    picture = point.log_mel()(wave)[0, 0].numpy()
    title = (f"{point.sample_rate} Hz, {point.n_fft}, {point.hop_percent} %\n"
             f"{picture.shape[0]} × {picture.shape[1]}")
    plotting.spectrogram(ax, picture, title, 10, point.sample_rate / 2)
plotting.show(fig)

# %% [markdown]
# ## What cannot be
#
# Two kinds of points need no training. A mel filter may be so narrow that no bin of the transform falls
# into it. It is *empty*, and the band says nothing ([the features](features.ipynb) show why). And a
# picture may be so large that the network exceeds 30 million MACs.
#
# Every configuration is read by one small network, so that only the input differs. It has three
# convolutions of 3 × 3 with 8, 16 and 16 filters; TMSIC has four with 92 in all. What it costs follows from the sizes alone, so we
# can sort all configurations before any is tried.

# %%
def verdict(point):
    try:
        shape = point.log_mel().shape()
    except EmptyFilters:
        return "empty filters"
    reasons = cost(features.NETWORK, shape).reasons()
    return "too many MACs" if reasons else "possible"


verdicts = pd.Series([verdict(point) for point in points])
possible = pd.DataFrame(points).assign(verdict=verdicts)
rates = possible.groupby(["sample_rate", "verdict"]).size()
rates.unstack(fill_value=0)

# %% mystnb={"figure": {"name": "fig-input-possible", "caption": "Which configurations with a hop of a quarter of the window can be tried: white, possible; grey, too many MACs; dark, empty filters. The frame marks the transform and the bands of the authors' choice."}, "image": {"alt": "Four grids of bands by transform length, one a sampling rate; the dark region of empty filters grows with bands and sampling rate, and shrinks with the length of the transform."}}
kinds = ["possible", "too many MACs", "empty filters"]
fig, axes = plt.subplots(1, 4, figsize=(9, 3.4), sharey=True)
often = possible[possible["hop_percent"] == 25]
for ax, (rate, some) in zip(axes, often.groupby("sample_rate"), strict=True):
    codes = some.assign(code=some["verdict"].map(kinds.index))
    grid = codes.pivot(index="n_mels", columns="n_fft", values="code")
    ax.imshow(grid, cmap="Greys", vmax=3, aspect="auto", origin="lower")
    ax.set(title=f"{rate} Hz", xlabel="n_fft")
    ax.set_xticks(range(4), grid.columns, size=8)
    ax.grid(False)
axes[0].set_yticks(range(0, 15, 3), space["n_mels"][::3])
axes[0].set_ylabel("mel bands")
axes[0].add_patch(plt.Rectangle((2.5, 5.5), 1, 1, fill=False,
                                ec=plotting.ACCENT, lw=3))
plotting.show(fig)

# %% [markdown]
# The authors' choice lies where bands are many and frames few. A search need not know this map: a
# trial that cannot be is ended at once, with its reason, and counts as a violated *constraint*, from
# which the search learns to look elsewhere.
#
# ## How a trial is proposed, and stopped
#
# We leave both to Optuna {cite}`akiba2019optuna`.
#
# **TPE** {cite}`bergstra2011algorithms` sorts past trials into good and bad, and estimates a density of
# each, $\ell(x)$ and $g(x)$. It draws candidates from the good and proposes the one with the largest
# ratio $\ell(x)/g(x)$. The first ten of each *bracket*,
# a group of trials with the same exams, are random.
#
# **Hyperband** {cite}`li2018hyperband` starts many trials and gives the longest training only to
# those that lead. After one epoch the best third goes on to the third epoch, of these the best third to
# the ninth. To guard against slow starters, a part of the trials, a bracket of its own, skips the first exam.
#
# The score is the macro accuracy on the *validation* clips, whose locations are not among the clips to
# fit on. The test split is not read at all. Trainings are short, and their rate does not fall, or one
# could not compare a network after one epoch with another's after nine.

# %%
effort = EFFORTS["quick"]
hunt = Search("features", experiment, effort)
fit, validation = hunt.tables()
places = [set(t["city"] + t["location"].astype(str))
          for t in (fit, validation)]
print(f"{effort.trials} trials of up to {effort.epochs} epochs")
print("no place on both sides:", not places[0] & places[1])
print("first trial:", hunt.start)

# %% [markdown]
# ## A dozen trials, live
#
# The study lives in a journal, a file to which each event is appended. Stop this chapter half-way and run
# it again: finished trials are found, and the one that was cut off is repeated.
# [When one machine is not enough](../practice/machines.md) shares a study among many.

# %% tags=["nbval-ignore-output"]
study = search.kept(hunt)
live = report.table(study)
assert len(live) == effort.trials
assert live["accuracy"].notna().eq(live["outcome"] != "impossible").all()
assert live.loc[live["outcome"] == "impossible", "reason"].notna().all()
columns = ["sample_rate", "n_fft", "hop_percent", "n_mels", "macs",
           "outcome", "accuracy"]
live[columns]

# %% [markdown]
# A dozen trials of three epochs say little about the space: all but the first, the authors' choice, are
# still random draws. They show how trials are run, stopped and refused.
#
# ## The study
#
# The same with more effort, run once and stored. Which clips, how many epochs?

# %%
found = store.results("tuning_features")
trials = pd.DataFrame(found["trials"])
settings, clips = found["settings"], found["clips"]
outcomes = trials["outcome"].value_counts()
for name in ("finished", "behind", "impossible"):
    glue(f"input_{name}", int(outcomes.get(name, 0)))
glue("input_trials", len(trials))
print(f"{clips['fit']} clips to fit on, {clips['validation']} to validate on")
print(f"up to {settings['epochs']} epochs")
distinct = trials[list(space)].drop_duplicates()
print(f"{len(trials)} trials, {len(distinct)} different configurations")
outcomes

# %% mystnb={"figure": {"name": "fig-input-front", "caption": "The study: best validation macro accuracy of each trial against the MACs of its network. Crosses were stopped early. The line is the front of the finished trials; the star is the authors' choice."}, "image": {"alt": "A cloud of dots and crosses over a logarithmic axis of MACs, with a rising staircase above it and a star."}}
fig, ax = plt.subplots(figsize=(7, 3.8))
figures.pareto(ax, trials)
ax.axvline(LIMITS[2022].macs / 1e6, color="black", lw=0.8)
plotting.show(fig)

# %% [markdown]
# A trial on the **Pareto front** is one that no other beats in accuracy at as few MACs. Optuna can
# search for a front directly, but then it cannot stop trials early. We search for accuracy and read the
# front from the table.

# %%
front = report.front(trials)
front[["number", *space, "macs", "accuracy"]].round(3)

# %% mystnb={"figure": {"name": "fig-input-curves", "caption": "Validation macro accuracy after every epoch. A curve that ends in a cross was stopped by Hyperband."}, "image": {"alt": "Many rising curves; most end with a cross after one or three epochs, a few go on to the ninth."}}
fig, ax = plt.subplots(figsize=(7, 3.2))
figures.curves(ax, trials)
plotting.show(fig)

# %% [markdown]
# Of {glue:text}`input_trials` trials {glue:text}`input_finished` were trained to the end,
# {glue:text}`input_behind` were stopped, and {glue:text}`input_impossible` were impossible. In epochs:

# %%
spent = trials["epochs"].map(len).sum()
trained = (trials["outcome"] != "impossible").sum()
full = trained * settings["epochs"]
glue("input_saved", float(100 * (1 - spent / full)))
print(f"{spent} epochs were trained, {full} without Hyperband")

# %% [markdown]
# Hyperband saved {glue:text}`input_saved:.0f` % of the epochs. Whether a stopped trial would have
# caught up cannot be known from this table. {numref}`fig-input-curves` gives a reason to doubt it
# either way: a network swings by many points from one epoch to the next, and a trial's score is the best
# of its epochs.
#
# In a space of a few hundred points TPE soon proposes the same favourite again. Trained from the same
# seed, it would only repeat itself, so our sampler draws anew until the point is a new one.
#
# ## What mattered
#
# fANOVA {cite}`hutter2014efficient` fits a forest to the finished trials and splits the variance of its
# predictions among the parameters. It says how much a parameter *mattered where the search looked*, and
# not which value is good.

# %% mystnb={"figure": {"name": "fig-input-importance", "caption": "Share of the variance of the finished trials' accuracy that each parameter explains (fANOVA)."}, "image": {"alt": "Four horizontal bars, ordered by length."}}
fig, ax = plt.subplots(figsize=(6, 2.2))
figures.importances(ax, found["importance"])
plotting.show(fig)

# %% mystnb={"figure": {"name": "fig-input-slices", "caption": "Validation macro accuracy over the values of each parameter, moved sideways a little so that equal trials are seen. Dots were trained to the end."}, "image": {"alt": "Four panels of dots and crosses, one a parameter."}}
fig, axes = plt.subplots(1, 4, figsize=(9.5, 3), sharey=True)
figures.slices(axes, trials, list(space))
plotting.show(fig)

# %% mystnb={"figure": {"name": "fig-input-parallel", "caption": "The finished trials, one line each, over their four parameters; the ten best in colour. Each axis runs from the smallest to the largest value tried."}, "image": {"alt": "Thin grey lines across four vertical axes, and ten coloured ones that share some of their values."}}
fig, ax = plt.subplots(figsize=(8, 3.2))
figures.parallel(ax, trials, list(space))
plotting.show(fig)

# %% [markdown]
# Slices mislead where a search has a favourite: values that look good are also those that were tried
# most, and with partners that were good. The parallel coordinates show which values go together.
#
# ## Is it better than 140 × 8?
#
# The best trial was chosen because its score was the highest of many. Part of that is luck: one
# seed, few validation clips. So both, the best found and the authors' choice, are trained again as in
# the search, from five new seeds, and compared seed by seed. The test split is read here for the first
# time. (The validation clips also choose each training's epoch.)

# %%
rivals = found["against_the_authors"]
rows = report.rivalry(rivals)
print("best found:", {name: found["best"][name] for name in space})
rows.round(1)

# %% mystnb={"figure": {"name": "fig-input-rivals", "caption": "Macro accuracy of the authors' choice and the best found, trained again with the same five seeds; a line joins the two of one seed."}, "image": {"alt": "Two panels, validation and test, each with five lines between two columns of dots."}}
fig, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for ax, split in zip(axes, ("validation", "test"), strict=True):
    pairs = zip(rivals[split]["authors"], rivals[split]["best"], strict=True)
    for pair in pairs:
        ax.plot([0, 1], 100 * np.array(pair), "o-", color=plotting.INK, lw=1)
    ax.set_xticks([0, 1], ["authors'", "best found"])
    ax.set(title=split, xlim=(-0.3, 1.3))
axes[0].set_ylabel("macro accuracy (%)")
plotting.show(fig)

# %%
searched = 100 * trials.set_index("number")["accuracy"]
claim = searched[found["best"]["number"]]
glue("input_claim", float(claim))
glue("input_start", float(searched[0]))
for split, row in rows.iterrows():
    for name, value in row.items():
        glue(f"input_{split}_{name}", float(value))
low, high = rows.loc["test", ["low", "high"]]
answer = "above" if low > 0 else "below" if high < 0 else "on both sides of"
glue("input_answer", answer)
print(f"on test, the interval lies {answer} zero")

# %% [markdown]
# In the search the best trial led by {glue:text}`input_claim:.1f` to {glue:text}`input_start:.1f` %.
# Trained again, the difference on test is {glue:text}`input_test_difference:.1f` points, with a 95 %
# interval over five seeds from {glue:text}`input_test_low:.1f` to {glue:text}`input_test_high:.1f`: it
# lies {glue:text}`input_answer` zero.
#
# Mind what this does not say. The network is not TMSIC, the corpus is the embedded one, whose sounds end
# at 11 kHz, and the seeds vary the training but not the recordings. On TAU the authors' search, with far
# longer trials, ended at 140 × 8. The method carries over; a winner does not.
#
# ## Takeaways
# * A part of the space is impossible, and can be known to be before training: empty filters, too many
#   MACs. Such trials end with a reason, and do not fail.
# * TPE proposes, Hyperband stops; together they train few of the trials to the end.
# * A front shows what accuracy costs. Importances say what mattered where the search looked.
# * The winner of a search is flattered by its own score. Train it again, with several seeds, beside the
#   one it is to replace.
#
# ## Exercises
# **1.** How many values does each configuration of the front have, and which would you take for a
# microcontroller with room for 400?
#
# :::{dropdown} Solution
# ```python
# values = [np.prod(Configuration(*row).log_mel().shape())
#           for row in front[list(space)].itertuples(index=False)]
# ```
# Take the most accurate of those below 400. The authors' has 1,120.
# :::
#
# **2.** Run the live search with another seed. Is the same trial best? What does that say about a dozen
# trials of three epochs?
#
# :::{dropdown} Solution
# ```python
# other = Search("features", Experiment(profile, data_root, 1), effort)
# report.table(search.kept(other)).nlargest(3, "accuracy")
# ```
# Hardly ever: both the points that are proposed and the networks' initial weights differ. So short a
# search finds what is clearly bad, no more.
# :::
#
# **3.** Why does each trial train from the same initial weights? What would be gained and lost with a
# seed of its own?
#
# :::{dropdown} Solution
# With one seed all trials begin with the same weights, whatever their input's shape: the network ends
# in a mean. That takes some of the noise out of their
# difference; but the search may fit itself to that one seed. With many seeds it cannot, and every score
# is noisier. The comparison at the end uses new seeds for this reason.
# :::
#
# ## What is next
# [The student](../networks/student.ipynb) is the network that reads these pictures. How its architecture was
# found is told in [the search for the architecture](../networks/architecture_search.ipynb).
