# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # All techniques, compared
#
# ## What you will learn
# * whether a teacher helps this student, and whether RRS is more than longer training: what many trainings of each can say,
#   and what they cannot;
# * what it costs to split the same epochs into two phases;
# * how to plan a comparison before the first run of it: what is held equal, which difference decides, what it can see;
# * how far luck alone carries one training from the next, and whether pairing takes the luck out;
# * how a first comparison of twenty techniques went wrong, though nobody had cheated.
#
# **Prerequisites**: the chapters from [the teacher's answers](response.ipynb) to
# [assistants](assistants.ipynb).
#
# **Data in**: `results/fair.json`, `results/fair/tuning.json`, `results/candidates.json` and `results/recipe.json` of the
# second comparison; `results/comparison.json`, `results/comparison_real.json` and `results/scoreboard.json` of the first. For
# the last section the corpus and three students of this run.
#
# **Data out**: nothing; the tables are made from those files, and you can make others.
#
# **In the library**: `asclib.distillation.techniques`, `asclib.evaluation.comparison`,
# `asclib.evaluation.control`, `asclib.evaluation.power`, `asclib.evaluation.resampling`,
# `asclib.evaluation.statistics`, `asclib.evaluation.systems`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from asclib import plotting, store
from asclib.evaluation import Results
from asclib.evaluation.comparison import POINTS
from asclib.evaluation.power import Noise, power
from asclib.plotting import glue

plotting.use_style()
study = store.results("fair")
teacher, decided = next(iter(study["decision"].items()))
pairs = pd.DataFrame(decided["pairs"])
length = int(pairs["epochs"].max())
ARMS = {"labels": "labels", "response": "response",
        "labels_response": "labels → response",
        "response_response": "response → response", "rrs": "RRS"}
runs = pd.DataFrame(study["runs"]).query("epochs == @length")
runs = runs[runs["arm"].isin(ARMS)]

# %% [markdown]
# ## One training says little
#
# Two students, trained for as long, by the same teacher. One had responses to learn from, and then responses again. The
# other had relations first, and then responses: RRS. Which scores higher? Here is every training of five such lessons, each
# a dot, each heard at the same 550 places.

# %% mystnb={"figure": {"name": "fig-comparison-runs", "caption": "Every training of five lessons: a dot is one student, a bar the mean of its lesson. The four columns of dots are the four teachers; where nobody teaches they are seeds of their own. Embedded corpus, study size, five renderings."}, "image": {"alt": "Five groups of dots side by side that overlap, each with a short horizontal bar at its mean."}}
figure, ax = plt.subplots(figsize=(6.5, 3.6))
for place, arm in enumerate(ARMS):
    own = runs[runs["arm"] == arm]
    ax.plot(place + 0.15 * (own["teacher"] - 1.5), 100 * own["accuracy"],
            "o", color=plotting.INK, alpha=0.7, ms=4)
    ax.plot([place - 0.35, place + 0.35], [100 * own["accuracy"].mean()] * 2,
            color=plotting.ACCENT)
ax.set_xticks(range(len(ARMS)),
              [name.replace("→ ", "→\n") for name in ARMS.values()])
ax.set(ylabel="macro accuracy (%)", xlim=(-0.6, len(ARMS) - 0.4))
plotting.show(figure)

# %%
ARMS = {arm: name for arm, name in ARMS.items() if arm in set(runs["arm"])}
scores = {arm: 100 * runs[runs["arm"] == arm].set_index(
    ["seed", "teacher"])["accuracy"].sort_index() for arm in ARMS}
rrs, twice = scores["rrs"], scores["response_response"]
each = rrs.to_numpy()[:, None] - twice.to_numpy()
glue("runs_each", min(len(rrs), len(twice)))
glue("run_pairs", each.size)
glue("rrs_ahead", float(100 * (each > 0).mean()))
glue("rrs_most", float(each.max()))
glue("rrs_least", float(-each.min()))
glue("epochs", length)
print(f"{each.size} pairs of one RRS student and one of response twice:",
      f"{each.min():+.1f} to {each.max():+.1f} points")

# %% [markdown]
# Take one student of each. RRS is ahead in {glue:text}`rrs_ahead:.0f` % of all such pairs, by up to
# {glue:text}`rrs_most:.1f` points, or behind by up to {glue:text}`rrs_least:.1f`. A paper with one training of each could
# have reported any of these differences, in good faith. So the question has to be put to many trainings, and everything else
# has to be settled before the first of them is scored.
#
# ## The design, written down before it was run
#
# *Question.* The same student, the same epochs, the same augmentation: do its scores rise when a teacher takes part, and are
# they higher when relations come before responses?
#
# *Four lessons decide.* Labels alone. Response, then response again, with a fresh start of the learning rate in between:
# the control for what RRS does in two phases. Labels, then response: the control for what comes first. And RRS. Of the other
# lessons of equal length one has been run so far, response in a single phase. All have {glue:text}`epochs` epochs in all.
#
# *One primary difference*: RRS minus response twice, in macro accuracy, after 48 epochs. All else explores. As long as
# runs of 48 epochs are missing, those of 24 stand in for them here, and the text says so.
#
# *The augmentation* is everybody's, chosen on validation clips, as heard and through three devices invented for it.
# {glue:text}`recipe` was taken: {glue:text}`recipe_gain:+.1f` points over none.
#
# *The teacher* is the mean of four students. It had to beat a student of as many epochs, on validation clips, and did, by
# {glue:text}`mean_gain:+.1f` points ({glue:text}`mean_low:.1f` to {glue:text}`mean_high:.1f`; *{glue:text}`mean_verdict`*).
# Four such teachers have been trained. Every seed of a student learns from each.
#
# *The settings* of every lesson had eight trials, those of labels included, on seeds that no run of the comparison has.
#
# *The test* is five renderings of the corpus with 550 places. A sixth is kept shut until the end, and heard once.
#
# *The rule* is one interval over places, seeds and teachers. *Yes* where it excludes zero; *no* where all of it lies within a
# point of zero; else *open*.

# %%
recipe = store.results("recipe")
tried = pd.DataFrame(recipe["runs"]).groupby("recipe").mean()
gain = 100 * (tried.loc[recipe["chosen"]] - tried.loc["none"])
glue("recipe", recipe["chosen"])
glue("recipe_gain",
     float(gain[["own_accuracy", "invented_accuracy"]].mean()))
mean, = (one for one in store.results("candidates")["gains"]
         if (one["candidate"], one["heard"]) == ("mean", "all"))
for name, unit in {"gain": 100, "low": 100, "high": 100}.items():
    glue(f"mean_{name}", unit * mean[name])
glue("mean_verdict", mean["verdict"])
tuning = json.loads(
    (store.PROJECT / "results" / "fair" / "tuning.json").read_text())
trials = pd.DataFrame(tuning["runs"])
trials = trials[trials["arm"].isin(ARMS)]
best = 100 * trials.groupby("arm")["score"].agg(["min", "max"])
taken = {name: ", ".join(f"{key.replace('_', ' ')} {value:g}"
                         for key, value in tuning["chosen"][arm].items())
         for arm, name in ARMS.items()}
pd.DataFrame({"taken": taken}).join(best.rename(index=ARMS).round(1))

# %% [markdown]
# `min` and `max` are the worst and the best of the eight trials in validation accuracy, each of half the epochs; the factor
# multiplies the weight of the teacher's loss, and the second rate the learning rate of the second phase. The trials of one
# lesson lie up to {glue:text}`tuned_apart:.1f` points apart. Whoever tunes one lesson and takes the others as they were
# published can show whatever he likes.
#
# ## What it can see
#
# Before the first run two trainings of one lesson were taken to differ by two points, for earlier ones had. Now it can be
# measured. How much do runs of one lesson scatter, and what is left of it in a difference of two that share the seed and the
# teacher?

# %%
glue("tuned_apart", float((best["max"] - best["min"]).max()))
spread = np.sqrt(np.mean([one.var() for one in scores.values()]))
apart = np.sqrt(np.mean([
    (scores[one] - scores[other]).var() for one, other in (
        ("rrs", "response_response"), ("labels_response", "rrs"),
        ("labels_response", "response_response"))]))
glue("spread", float(spread))
glue("independent", float(np.sqrt(2) * spread))
glue("paired", float(apart))
places = 550
chances = {}
for name, one_run in {"as planned": 0.02, "as measured": spread / 100}.items():
    noise = replace(Noise.of_one_run(one_run, 0.006 * (110 / places) ** 0.5),
                    locations=places - 10)
    chances[name] = [round(100 * power(noise, 5, 4, point / 100))
                     for point in (0.3, 1, 2, 3)]
glue("sees_third", chances["as measured"][0])
glue("sees_one", chances["as measured"][1])
glue("sees_two", chances["as measured"][2])
columns = [f"{point:g} points" for point in (0.3, 1, 2, 3)]
pd.DataFrame(chances, index=columns).T

# %% [markdown]
# Runs of one lesson have a standard deviation of {glue:text}`spread:.1f` points. Two independent ones would differ by
# {glue:text}`independent:.1f`, and pairs that share the seed and the teacher differ by {glue:text}`paired:.1f`. So pairing
# takes out little or nothing: the same first weights do not lead to like students once the lessons differ. What helps is
# more trainings.
#
# The table is the chance, in per cent, that 4 teachers × 5 seeds see a difference of that size. With the noise as measured, a
# point is seen with {glue:text}`sees_one` % and two points with {glue:text}`sees_two` %. The 0.3 points between the published
# systems of 2022 and 2023 are out of reach, with {glue:text}`sees_third` %: more places would be needed, not only more seeds.
#
# ## What was found

# %%
table = runs.groupby("arm")[["accuracy", "unseen_accuracy", "log_loss"]]
table = table.mean().loc[list(ARMS)].rename(index=ARMS)
table["runs"] = runs["arm"].value_counts().rename(index=ARMS)
taught_by = pd.DataFrame(study["teachers"][teacher]).T
table.loc["the teachers"] = taught_by[list(table)[:3]].astype(float).mean()
table.loc["the teachers", "runs"] = len(taught_by)
for column in ("accuracy", "unseen_accuracy"):
    table[column] = (100 * table[column]).round(1)
glue("teachers", float(table.at["the teachers", "accuracy"]))
glue("labels", float(table.at["labels", "accuracy"]))
table.round({"log_loss": 3, "runs": 0}).astype({"runs": int})

# %% mystnb={"figure": {"name": "fig-comparison-differences", "caption": "Differences of the lessons with 95 % intervals over places, seeds and teachers. Left: macro accuracy, the band is one point to either side of zero. Right: log loss, where lower is better. Embedded corpus, study size."}, "image": {"alt": "Two panels with a dot and an interval in each row, on the left around zero and a grey band, on the right many below zero."}}
BRACKETS = {arm: f"({name})" if "→" in name else name
            for arm, name in ARMS.items()}
named = pairs[pairs["epochs"] == length].copy()
named["name"] = [f"{BRACKETS[row.system]} − {BRACKETS[row.base]}"
                 for row in named.itertuples()]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True)
for ax, measure, unit in zip(
        axes, ("accuracy", "log_loss"), (100, 1), strict=True):
    rows = named[named["measure"] == measure]
    plotting.intervals(ax, rows["name"], unit * rows["difference"],
                       unit * rows["low"], unit * rows["high"])
    ax.axvline(0, color=plotting.MUTED)
axes[0].axvspan(-1, 1, color=plotting.MUTED, alpha=0.2)
axes[0].set_xlabel("accuracy (points)")
axes[1].set_xlabel("log loss (nats)")
plotting.show(figure)

# %%
SAYS = {"yes": "is seen", "no": "is less than a point either way",
        "open": "is open: neither seen, nor shown to be small"}
for row in named.itertuples():
    unit = 100 if row.measure == "accuracy" else 1
    key = f"{row.system}_{row.base}_{row.measure}"
    for end in ("difference", "low", "high"):
        glue(f"{key}_{end}", float(unit * getattr(row, end)))
    glue(f"{key}_says", SAYS[row.verdict])
    glue(f"{key}_seeds", row.seeds)
    glue(f"{key}_verdict", row.verdict)
glue("seeds", int(decided["primary"]["seeds"]))
glue("heard_teachers", int(decided["primary"]["teachers"]))
assert (named["low"] <= named["high"]).all()
points = named[named["measure"] == "accuracy"].set_index("name")
scaled = (100 * points[["difference", "low", "high"]]).round(1)
scaled.join(points[["verdict", "seeds", "teachers"]])

# %% [markdown]
# **Does a teacher help?** That hangs on how the epochs are spent. Response in one phase minus labels is
# {glue:text}`response_labels_accuracy_difference:+.1f` points
# ({glue:text}`response_labels_accuracy_low:+.1f` to {glue:text}`response_labels_accuracy_high:+.1f`; seeds:
# {glue:text}`response_labels_accuracy_seeds`), a difference that {glue:text}`response_labels_accuracy_says`. Response in two phases
# of half the length, minus labels, is {glue:text}`response_response_labels_accuracy_difference:+.1f` points
# ({glue:text}`response_response_labels_accuracy_low:+.1f` to {glue:text}`response_response_labels_accuracy_high:+.1f`), a difference
# that {glue:text}`response_response_labels_accuracy_says`.
#
# **What does the fresh start cost?** The same lesson by the same teachers, in one phase minus in two, is
# {glue:text}`response_response_response_accuracy_difference:+.1f` points
# ({glue:text}`response_response_response_accuracy_low:+.1f` to {glue:text}`response_response_response_accuracy_high:+.1f`), a difference
# that {glue:text}`response_response_response_accuracy_says`. The learning rate goes back to its peak in the middle, and much of what the first
# phase had found is lost ([RRS](rrs.ipynb) draws it). A student who is to match a function, and not ten names, needs patience:
# Beyer and others {cite}`beyer2022knowledge` train theirs for many times the usual epochs.
#
# **Is RRS more than longer training?** RRS minus response twice is
# {glue:text}`rrs_response_response_accuracy_difference:+.1f` points, from
# {glue:text}`rrs_response_response_accuracy_low:+.1f` to {glue:text}`rrs_response_response_accuracy_high:+.1f`, with
# {glue:text}`seeds` seeds by each of {glue:text}`heard_teachers` teachers and {glue:text}`epochs` epochs: a difference that
# {glue:text}`rrs_response_response_accuracy_says`.
#
# **Does what comes first matter at all?** Labels in place of relations, before the same phase of response, differ from RRS by
# {glue:text}`rrs_labels_response_accuracy_difference:+.1f` points ({glue:text}`rrs_labels_response_accuracy_low:+.1f` to
# {glue:text}`rrs_labels_response_accuracy_high:+.1f`): a difference that
# {glue:text}`rrs_labels_response_accuracy_says`.
#
# **And would one hand it in?** What counts for that is RRS minus response in one phase, of the same length:
# {glue:text}`rrs_response_accuracy_difference:+.1f` points ({glue:text}`rrs_response_accuracy_low:+.1f` to
# {glue:text}`rrs_response_accuracy_high:+.1f`), a difference that {glue:text}`rrs_response_accuracy_says`.
#
# In **log loss**, where lower is better, response in one phase minus labels is
# {glue:text}`response_labels_log_loss_difference:+.2f` nats ({glue:text}`response_labels_log_loss_low:+.2f` to
# {glue:text}`response_labels_log_loss_high:+.2f`), RRS minus labels {glue:text}`rrs_labels_log_loss_difference:+.2f`
# ({glue:text}`rrs_labels_log_loss_low:+.2f` to {glue:text}`rrs_labels_log_loss_high:+.2f`). A student may name no more scenes rightly and yet know better
# how sure to be. In 2022 the challenge ranked by log loss.
#
# The teachers themselves score {glue:text}`teachers:.1f` %, students on labels {glue:text}`labels:.1f` %. Twenty runs of each
# deciding lesson are planned; {glue:text}`runs_each` of each are there. The
# <a href="../../_static/explore/index.html?book">explorer</a> sets any two lessons side by side, on all devices or on those
# that training lacks. What these figures say of the 0.3 points between two challenge years is told in
# [2023](../challenges/entry_2023.ipynb).
#
# ## A first comparison, and what it held unequal
#
# This is the second comparison. The first had twenty techniques, three seeds, two teachers, weights tuned alike, and a
# correction for many tests. Each technique minus the student alone:

# %% mystnb={"figure": {"name": "fig-against-student", "caption": "The first comparison: each technique minus the student alone, with 95 % intervals over locations and seeds. Embedded corpus of then, study size, one rendering. The star marks the control that nobody taught and who had the teacher's epochs and augmentation."}, "image": {"alt": "A row for each technique with a dot and an interval around a vertical line at zero, most of them on the right of it."}}
first = Results()
rivals = [name for name, times in first.table().index  # "@": other weights
          if times == 1 and name != "student" and "@" not in name]
alone = 100 * first.against("student", rivals=rivals)[list(POINTS)]
board = pd.DataFrame(store.results("scoreboard")["runs"])
effort = 100 * board.groupby("system")["accuracy"].mean()
control = float(effort["student_control"] - effort["student"])
alone["accuracy"] = alone["accuracy"].round(9)  # of equals the first by name
alone = alone.sort_index().sort_values(
    "accuracy", ascending=False, kind="stable")
figure, ax = plt.subplots(figsize=(6.5, 5.6))
plotting.intervals(ax, [name.replace("_", " ") for name in alone.index],
                   alone["accuracy"], alone["accuracy_low"],
                   alone["accuracy_high"])
ax.axvline(0, color=plotting.MUTED)
ax.plot(control, -0.35, "*", color=plotting.ACCENT, ms=11, clip_on=False)
ax.set_xlabel("technique minus student (points)")
plotting.show(figure)

# %%
glue("first_above", int((alone["accuracy"] > 0).sum()))
glue("first_clear", int((alone["accuracy_low"] > 0).sum()))
glue("first_number", len(alone))
glue("first_best", alone.index[0].replace("_", " "))
glue("first_best_points", float(alone["accuracy"].iloc[0]))
glue("first_control", control)
asked = ["student", "response", "rrs", "teacher", "student_control"]
for name in asked:
    glue(f"effort_{name}", float(effort[name]))
real = Results(store.PROJECT / "results" / "comparison_real.json")
there = 100 * real.against("student", rivals=list(alone.index))["accuracy"]
agreement = stats.spearmanr(alone["accuracy"], there[alone.index])
glue("rho", float(agreement.statistic))
effort[asked].round(1).to_frame("macro accuracy (%)")

# %% [markdown]
# {glue:text}`first_above` of {glue:text}`first_number` techniques lay above the student alone, and for
# {glue:text}`first_clear` the interval excluded zero. It looked like the worth of being taught.
#
# But one thing had not been held equal. The members of the teacher had been trained for 30 epochs with Freq-MixStyle; the
# students for 12 epochs without. A student whom *nobody* taught, given both, gained {glue:text}`first_control:+.1f` points: it reached
# {glue:text}`effort_student_control:.1f` %, where its teacher was ({glue:text}`effort_teacher:.1f` %) and where the taught
# ones were ({glue:text}`effort_response:.1f` % and {glue:text}`effort_rrs:.1f` %). So the techniques may have passed on an
# augmentation, and no correction for many tests mends that. Two of the losses were wrong as well: the relational one
# punished shifts of the logits that change no answer, and the contrastive one lacked its constant.
#
# The same techniques on recordings of ESC-10 {cite}`piczak2015esc` in the layout of TAU came out in another order: the gains have a
# rank correlation of {glue:text}`rho:+.2f` with those above. An order of techniques found on one corpus is not to be trusted
# on another.
#
# The other techniques are to be run again in the second comparison, beside two controls that take from the teacher what it knows of
# the single clip: the mean answer of each scene, and answers exchanged between clips of a scene. They will be set against
# labels with intervals that hold all at once {cite}`dunnett1955multiple`. Until then the chapters on each technique show the first
# comparison's figures, and say so.
#
# ## Repeat it
#
# ```sh
# python -m studies fair --plan                                   # power and cost, first of all
# python -m studies fair --tune --output own/fair.json
# python -m studies fair --teachers 0 1 2 3 --seeds 0 1 2 3 4 --output own/fair.json
# python -m studies fair --decide --output own/fair.json
# ```
#
# With `--data-root DIR` all of it is on recordings of your own in TAU's layout. Runs are added as they are finished, and what
# was cut off goes on from there.
#
# ## One run, live
#
# And what would you have concluded from one run at the quick profile? Three students of this run, on its own test clips:

# %%
from asclib.evaluation import compare
from asclib.runs import Experiment, build
from asclib.training import predict, probabilities

experiment = Experiment(profile, data_root, seed)
live = {"student": experiment.student()}
live |= {name: experiment.taught(name) for name in ("response", "rrs")}
build(list(live.values()))
test, clips = experiment.clips("test"), experiment.table("test")
said = {name: probabilities(predict(run.net(), test.x))
        for name, run in live.items()}

# %% tags=["nbval-ignore-output"]
lines = {}
for name in ("response", "rrs"):
    one = compare(said["student"], said[name], clips)
    assert one.accuracy_low <= one.accuracy <= one.accuracy_high
    lines[f"{name} - student"] = [100 * one.accuracy_low, 100 * one.accuracy,
                                  100 * one.accuracy_high]
pd.DataFrame(lines, index=["low", "points", "high"]).T.round(1)

# %% [markdown]
# That interval is over locations. It cannot see the seed, and a paper that reports one run has no other.
#
# ## Takeaways
# * RRS minus response twice, at equal length: {glue:text}`rrs_response_response_accuracy_difference:+.1f` points
#   ({glue:text}`rrs_response_response_accuracy_low:+.1f` to {glue:text}`rrs_response_response_accuracy_high:+.1f`) over
#   {glue:text}`runs_each` trainings of each; *{glue:text}`rrs_response_response_accuracy_verdict`*.
# * Being taught, at equal epochs and augmentation: in one phase of response {glue:text}`response_labels_accuracy_difference:+.1f`
#   points of accuracy ({glue:text}`response_labels_accuracy_low:+.1f` to {glue:text}`response_labels_accuracy_high:+.1f`;
#   *{glue:text}`response_labels_accuracy_verdict`*) and {glue:text}`response_labels_log_loss_difference:+.2f` nats of log loss
#   ({glue:text}`response_labels_log_loss_low:+.2f` to {glue:text}`response_labels_log_loss_high:+.2f`;
#   *{glue:text}`response_labels_log_loss_verdict`*).
# * One phase minus two, of the same lesson and length: {glue:text}`response_response_response_accuracy_difference:+.1f` points
#   ({glue:text}`response_response_response_accuracy_low:+.1f` to {glue:text}`response_response_response_accuracy_high:+.1f`;
#   *{glue:text}`response_response_response_accuracy_verdict`*). Compare lessons of two phases with one of a single phase as well.
# * Two trainings of one lesson scatter by {glue:text}`spread:.1f` points, and pairing them by seed and teacher does not
#   take it away.
# * In the first comparison {glue:text}`first_above` of {glue:text}`first_number` techniques beat the student alone. A student
#   with the teacher's epochs and augmentation, and no teacher, beat it by {glue:text}`first_control:+.1f` points.
#
# ## Exercises
# **1.** Nineteen techniques do nothing at all. How likely is it that at least one has an interval of 95 % that excludes zero, were
# their intervals independent?
#
# :::{dropdown} Solution
# $1 - 0.95^{19} = 0.62$: more likely than not.
# :::
#
# **2.** Which lesson is best on the devices that training lacks, and by how much does each teacher's students scatter there?
#
# :::{dropdown} Solution
# ```python
# by = runs.groupby(["arm", "teacher"])["unseen_accuracy"]
# print((100 * by.agg(["mean", "std"])).round(1).unstack())
# ```
# :::
#
# **3.** (An hour.) How many seeds would say *no* to RRS, that is, put the whole interval within a point of zero, if its true worth is nothing?
# Use the noise as measured and four teachers.
#
# :::{dropdown} Solution
# `python -m studies fair --plan` prints the half width of the interval to expect, for noise of two points. With the noise as
# measured, by hand:
# ```python
# from studies.effort import half_width, noise, seeds_for
# own = noise(550, one_run=spread / 100)
# print(seeds_for(lambda n: half_width(own, n, 4) < 0.01))
# ```
# Half of such studies would still miss it, for their estimate is not exactly zero.
# :::
#
# ## What is next
# [Eight bits are enough](../compression/quantization.ipynb): the student, whoever taught it, goes onto the chip.
