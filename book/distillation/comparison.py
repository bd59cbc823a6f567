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
# * how to plan a comparison before the first run of it: what is held equal, which difference decides, what it can see;
# * how far luck alone carries one training from the next, and whether pairing takes the luck out;
# * how a first comparison of nineteen techniques went wrong, though nobody had cheated.
#
# **Prerequisites**: the chapters from [the teacher's answers](response.ipynb) to
# [assistants](assistants.ipynb).
#
# **Data in**: `results/fair.json`, `results/fair/tuning.json`, `results/candidates.json` and `results/recipe.json` of the
# second comparison; `results/comparison.json`, `results/comparison_real.json` and `results/scoreboard.json` of the first. For
# the last section the corpus and two students of this run.
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

# %%
study = store.results("fair")
teacher, decided = next(iter(study["decision"].items()))
pairs = pd.DataFrame(decided["pairs"])
primary, length = decided["primary"], 24
ARMS = {"labels": "labels", "response": "response",
        "labels_response": "labels → response",
        "response_response": "response → response",
        "response_alone": "response, unbroken", "rrs": "RRS"}
runs = pd.DataFrame(study["runs"]).query("epochs == @length")
ARMS = {arm: ARMS[arm] for arm in ARMS if arm in set(runs["arm"])}
by_teachers = runs.groupby(["arm", "seed"])["teacher"].transform("nunique")
runs = runs[runs["arm"].isin(ARMS) & (by_teachers == 4)]  # whole seeds
pairs = pairs[pairs["system"].isin(ARMS) & pairs["base"].isin(ARMS)]

# %% [markdown]
# ## One training says little
#
# Two students, trained for as long, by the same teacher. One had responses to learn from, and then responses again. The
# other had relations first, and then responses: RRS. Which scores higher? Here is every training of six such lessons, each
# a dot, each heard at the same 550 places.

# %% mystnb={"figure": {"name": "fig-comparison-runs", "caption": "Every training of six lessons: a dot is one student, a bar the mean of its lesson. The four columns of dots are the four teachers; where nobody teaches they are seeds of their own. Embedded corpus, study size, five renderings."}, "image": {"alt": "Six groups of dots side by side that overlap, each with a short horizontal bar at its mean."}}
figure, ax = plt.subplots(figsize=(6.5, 3.6))
for place, arm in enumerate(ARMS):
    own = runs[runs["arm"] == arm]
    ax.plot(place + 0.15 * (own["teacher"] - 1.5), 100 * own["accuracy"],
            "o", color=plotting.INK, alpha=0.7, ms=4)
    ax.plot([place - 0.35, place + 0.35], [100 * own["accuracy"].mean()] * 2,
            color=plotting.ACCENT)
ax.set_xticks(range(len(ARMS)),
              [name.replace("→ ", "→\n").replace(", ", ",\n")
               for name in ARMS.values()])
ax.set(ylabel="macro accuracy (%)", xlim=(-0.6, len(ARMS) - 0.4))
plotting.show(figure)

# %%
scores = {arm: 100 * runs[runs["arm"] == arm].set_index(
    ["seed", "teacher"])["accuracy"].sort_index() for arm in ARMS}
rrs, twice = scores["rrs"], scores["response_response"]
each = np.concatenate([  # of one teacher's students, each with each
    (rrs.xs(one, level="teacher").to_numpy()[:, None]
     - twice.xs(one, level="teacher").to_numpy()).ravel()
    for one in sorted(set(runs["teacher"]))])
there = min(map(len, (rrs, twice, scores["labels"])))
glue("runs_each", there)
glue("rrs_ahead", float(100 * (each > 0).mean()))
glue("rrs_most", float(each.max()))
glue("rrs_least", float(-each.min()))
print(f"{each.size} pairs of an RRS student and one of response twice:",
      f"{each.min():+.1f} to {each.max():+.1f} points")

# %% [markdown]
# Take one student of each, by the same teacher. RRS is ahead in {glue:text}`rrs_ahead:.0f` % of all such pairs, by up to
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
# lessons of equal length two have been run so far: response in a single phase, tuned by itself; and response *unbroken*, the
# second phase of response twice for all epochs, with its settings. The last one was not in the design: it was added when two seeds
# had been scored, to find out why one phase did better than two. And response in one phase was to have two seeds; three more were
# added because of what the two had shown. Seeds added after a look make a *yes* too easy, so what is said of it explores. All have {glue:text}`epochs` epochs in all.
#
# A first phase is not pure. That of RRS weighs the labels with {glue:text}`rrs_hard:.2f` beside the relations, that of response twice
# with {glue:text}`twice_hard:.1f`; the second phase of both, and the unbroken lesson, nearly without ({glue:text}`second_hard`). So “relations first” is
# relations and labels first.
#
# *One primary difference*: RRS minus response twice, in macro accuracy, after 48 epochs. All else explores. It is told here
# after {glue:text}`primary_epochs` epochs.
#
# *The augmentation* is everybody's, chosen on validation clips, as heard and through three devices invented for it.
# {glue:text}`recipe` was taken: {glue:text}`recipe_gain:+.1f` points over none, in {glue:text}`recipe_seeds` seeds.
#
# *The teacher* is the mean of four students. It had to beat a student of as many epochs, on validation clips, and did, by
# {glue:text}`mean_gain:+.1f` points ({glue:text}`mean_low:.1f` to {glue:text}`mean_high:.1f`; *{glue:text}`mean_verdict`*).
# Four such teachers have been trained. Every seed of a student learns from each. This is not the authors' teacher:
# TEO-vATMSIC has yet to be set against the same control, so what is found here does not judge the published system.
#
# *The settings* of every lesson had eight trials, those of labels included, on seeds that no run of the comparison has. A trial
# is one training, so the best of eight is partly luck. As many trials are not as wide a choice, either: lessons in two phases tried
# temperatures of 2 and 4, response in one phase those of 1 to 8, and took 1. That was seen too late.
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
glue("recipe_seeds", len(recipe["seeds"]))
glue("primary_epochs", primary["epochs"])
glue("recipe_gain",
     float(gain[["own_accuracy", "invented_accuracy"]].mean()))
mean, = (one for one in store.results("candidates")["gains"]
         if (one["candidate"], one["heard"]) == ("mean", "all"))
for name, unit in {"gain": 100, "low": 100, "high": 100}.items():
    glue(f"mean_{name}", unit * mean[name])
glue("mean_verdict", mean["verdict"])

# %%
tuning = json.loads(
    (store.PROJECT / "results" / "fair" / "tuning.json").read_text())
trials = pd.DataFrame(tuning["runs"])
trials = trials[trials["arm"].isin(ARMS)]
best = 100 * trials.groupby("arm")["score"].agg(["min", "max"])
taken = {name: ", ".join(f"{key.replace('_', ' ')} {value:g}"
                         for key, value in tuning["chosen"][arm].items())
         for arm, name in ARMS.items() if arm in tuning["chosen"]}
glue("tuned_apart", float((best["max"] - best["min"]).max()))
pd.DataFrame({"taken": taken}).join(best.rename(index=ARMS).round(1))

# %% [markdown]
# `min` and `max` are the worst and the best of the eight trials in validation accuracy, each of half the epochs; the factor
# multiplies the weight of the teacher's loss, and the second rate the learning rate of the second phase. The trials of one
# lesson lie up to {glue:text}`tuned_apart:.1f` points apart. Whoever tunes one lesson and takes the others as they were
# published can show whatever he likes.
#
# ## What it can see
#
# Power is computed before a study, or the study may be unable to say anything {cite}`bouthillier2021accounting`. Before the first
# run two trainings of one lesson were taken to differ by two points, for earlier ones had. Now it can be measured. How much
# do runs of one lesson scatter, and what is left of it in a difference of two that share the seed and the teacher?

# %%
spread = np.sqrt((rrs.var() + twice.var()) / 2)
paired = pd.DataFrame({
    f"{ARMS[one]}, {ARMS[other]}": {
        "sd, paired": (scores[one] - scores[other]).std(),
        "if independent": np.hypot(scores[one].std(), scores[other].std()),
        "correlation": scores[one].corr(scores[other])}
    for one, other in (("rrs", "response_response"),
                       ("rrs", "labels_response"),
                       ("labels_response", "response_response"))}).T
glue("spread", float(spread))
for end in ("min", "max"):
    glue(f"paired_{end}", float(paired["sd, paired"].agg(end)))
    glue(f"independent_{end}", float(paired["if independent"].agg(end)))
    glue(f"r_{end}", float(paired["correlation"].agg(end)))
paired.round(2)

# %%
places = 550
chances = {}
for name, one_run in {"planned": 0.02, "measured": spread / 100}.items():
    noise = replace(Noise.of_one_run(one_run, 0.006 * (110 / places) ** 0.5),
                    locations=places - 10)
    chances[name] = [round(100 * power(noise, 5, 4, point / 100))
                     for point in (0.3, 1, 2, 3)]
for place, name in enumerate(("third", "one", "two")):
    glue(f"sees_{name}", chances["measured"][place])
    glue(f"planned_{name}", chances["planned"][place])
glue("labels_spread", float(scores["labels"].std()))
glue("labels_least", float(scores["labels"].min()))
glue("reach", float(50 * (primary["high"] - primary["low"])))
columns = [f"{point:g} points" for point in (0.3, 1, 2, 3)]
pd.DataFrame(chances, index=columns).T

# %% [markdown]
# Runs of RRS and of response twice have a standard deviation of {glue:text}`spread:.1f` points. Were runs of two lessons independent,
# their differences would have one of {glue:text}`independent_min:.1f` to {glue:text}`independent_max:.1f`. Those that share the seed and the
# teacher have {glue:text}`paired_min:.1f` to {glue:text}`paired_max:.1f`, with correlations from {glue:text}`r_min:+.1f` to
# {glue:text}`r_max:+.1f`. So pairing takes little of the luck out. Labels scatter more, by {glue:text}`labels_spread:.1f`: one of their
# runs is at {glue:text}`labels_least:.1f` %. Differences to them are seen less easily than the table below says.
#
# That table is the chance, in per cent, that 4 teachers × 5 seeds see a difference of that size: a point with
# {glue:text}`planned_one` % by the noise that was planned for, with {glue:text}`sees_one` % by that of the runs. The 0.3 points
# between the published systems of 2022 and 2023 are out of reach either way ({glue:text}`planned_third` % and
# {glue:text}`sees_third` %).
#
# That takes all noise for that of single runs. Where a seed favours one lesson with *all* its teachers, seeds count and not runs,
# and of seeds there are few. The interval of the primary difference reaches ±{glue:text}`reach:.1f` points.
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
table.index.name = None
units = {"accuracy": "accuracy (%)", "unseen_accuracy": "unseen devices (%)",
         "log_loss": "log loss (nats)"}
table.round({"log_loss": 3}).astype({"runs": int}).rename(columns=units)

# %%
BRACKETS = {arm: f"({name})" if "→" in name else name
            for arm, name in ARMS.items()}
named = pairs.query("epochs == @length and seeds > 1").copy()
named["name"] = [f"{BRACKETS[row.system]} − {BRACKETS[row.base]}"
                 for row in named.itertuples()]
order = list(named.query("measure == 'accuracy'")["name"])
shown = {"accuracy": (0, 0.0, plotting.INK),
         "log_loss": (1, -0.17, plotting.INK),
         "tempered_log_loss": (1, 0.17, plotting.ACCENT)}

# %% mystnb={"figure": {"name": "fig-comparison-differences", "caption": "Differences of the lessons with 95 % intervals over places, seeds and teachers. Left: macro accuracy, the band is one point to either side of zero; intervals of two seeds run out of the panel. Right: log loss, where lower is better, as trained (dark) and after each student's own temperature (coloured). Embedded corpus, study size."}, "image": {"alt": "Two panels with dots and intervals in each row, on the left around zero and a grey band; on the right the dark ones mostly below zero, the coloured ones close to it."}}
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.8), sharey=True)
for measure, (panel, offset, colour) in shown.items():
    rows = named[named["measure"] == measure].set_index("name")
    rows = rows.reindex(order)[["difference", "low", "high"]]
    plotting.intervals(
        axes[panel], order, *rows.to_numpy().T * (1 if panel else 100),
        colour=colour, offset=offset)
for panel, unit in enumerate(("accuracy (points)", "log loss (nats)")):
    axes[panel].axvline(0, color=plotting.MUTED)
    axes[panel].set_xlabel(unit)
axes[0].set_xlim(-4, 4)
axes[0].axvspan(-1, 1, color=plotting.MUTED, alpha=0.2)
plotting.show(figure)

# %%
for row in named.itertuples():
    unit = 100 if row.measure == "accuracy" else 1
    key = f"{row.system}_{row.base}_{row.measure}"
    for end in ("difference", "low", "high"):
        glue(f"{key}_{end}", float(unit * getattr(row, end)))
    glue(f"{key}_seeds", row.seeds)
    glue(f"{key}_verdict", row.verdict)
for end in ("difference", "low", "high"):
    glue(f"primary_{end}", float(100 * primary[end]))
for key in ("seeds", "teachers", "verdict"):
    glue(f"primary_{key}", primary[key])
glue("primary_runs", primary["seeds"] * primary["teachers"])

# %%
for row in decided["control"]:  # minus labels, intervals that hold together
    for end in ("difference", "low", "high"):
        glue(f"labels_{row['system']}_{end}", float(100 * row[end]))
    glue(f"labels_{row['system']}_verdict", row["verdict"])
glue("most_worth", 100 * max(row["high"] for row in decided["control"]))
by_seed = (rrs - twice).groupby("seed").mean()
glue("seed_min", float(by_seed.min()))
glue("seed_max", float(by_seed.max()))
of = named.query("measure == 'accuracy'")["verdict"]
glue("intervals", len(of))
glue("intervals_yes", int((of == "yes").sum()))

# %%
two = trials.join(trials["trial"].apply(pd.Series))
two = two.dropna(subset="second_rate").fillna(0)  # what a lesson lacks
two["slow"] = two["second_rate"] < 1
by = ["arm", "temperature", "factor", "smoothing"]
two = two.pivot_table("score", by, "slow")
glue("sixth_pairs", len(two))
glue("sixth_worse", int((two[True] < two[False]).sum()))
ahead = taught_by["accuracy"].astype(float).mean()
glue("teachers_ahead", float(100 * ahead - scores["labels"].mean()))
glue("smoothing", tuning["chosen"]["labels"]["smoothing"])
glue("epochs", length)
phases = runs.drop_duplicates("arm").set_index("arm")["phases"]
glue("rrs_hard", phases["rrs"][0]["hard"])
glue("twice_hard", phases["response_response"][0]["hard"])
glue("second_hard", f"{phases['rrs'][1]['hard']:.5f}")

# %%
for arm, mean in runs.groupby("arm")["temperature"].mean().items():
    glue(f"{arm}_temperature", float(mean))
raw, left = (named.query("system == 'rrs' and base == 'labels' "
                         "and measure == @measure")["difference"].item()
             for measure in ("log_loss", "tempered_log_loss"))
glue("sureness", float(100 * (1 - left / raw)))
later = runs[runs["seed"] > 1].groupby("arm")["tempered_log_loss"].mean()
glue("later_loss", float(later["response"] - later["labels"]))
causes = named[(named["measure"] == "accuracy") & (
    named[["system", "base"]] == "response_alone").any(axis=1)]
glue("parted", "Which of the two it is cannot be told yet: the unbroken "
     f"lesson has {causes['seeds'].min()} seeds."
     if (causes["verdict"] == "open").all() else
     "So the cause is found where the interval excludes zero.")

# %%
look = ("The primary difference has been heard on the sixth rendering too."
        if study.get("confirmation") else
        "The sixth rendering is still shut.")
if primary["epochs"] < 48 or primary["seeds"] * primary["teachers"] < 20:
    look = ("The primary difference, after 48 epochs, is still to be run.")
if there < 20:
    look = (f"This is an interim look: {there} of twenty planned runs of each "
            "deciding lesson are there. Their number does not depend on what "
            "is seen, and no verdict is final.")
glue("look", look)

# %%
points = named[named["measure"] == "accuracy"].set_index("name")
scaled = (100 * points[["difference", "low", "high"]]).round(1)
scaled["df"] = points["degrees_of_freedom"].round(1)
glue("df_min", float(scaled["df"].min()))
glue("df_max", float(scaled["df"].max()))
scaled.join(points[["verdict", "seeds", "teachers"]]).rename_axis(None)

# %% [markdown]
# In brackets are the interval and the verdict of the rule. The intervals of like differences differ much in width, because
# their degrees of freedom (`df`) do: from {glue:text}`df_min:.1f` to {glue:text}`df_max:.1f`. Where the seeds agree, runs and
# places speak; where they do not, the seeds do, and there are {glue:text}`primary_seeds` of them. The widths themselves are
# luck while seeds are few.
#
# **Is RRS more than longer training?** RRS minus response twice, after {glue:text}`primary_epochs` epochs, with
# {glue:text}`primary_seeds` seeds by each of {glue:text}`primary_teachers` teachers: {glue:text}`primary_difference:+.1f` points
# ({glue:text}`primary_low:+.1f` to {glue:text}`primary_high:+.1f`; *{glue:text}`primary_verdict`*). RRS is ahead in most pairs,
# and yet that is no answer: the mean differs from seed to seed, from {glue:text}`seed_min:+.1f` to {glue:text}`seed_max:+.1f`,
# and it is seeds that another reader would draw anew. Whatever relations add to a second
# phase of response, it is hardly more than {glue:text}`primary_high:.1f` points; the 0.3 that were published are within.
#
# **Does what comes first matter at all?** Labels first or responses first, both with responses to follow:
# {glue:text}`labels_response_response_response_accuracy_difference:+.2f` points
# ({glue:text}`labels_response_response_response_accuracy_low:+.1f` to {glue:text}`labels_response_response_response_accuracy_high:+.1f`;
# *{glue:text}`labels_response_response_response_accuracy_verdict`*). All of this interval lies within a point of zero, the only one here that
# does: between these two there is nothing to choose. Relations first minus labels first:
# {glue:text}`rrs_labels_response_accuracy_difference:+.1f` ({glue:text}`rrs_labels_response_accuracy_low:+.1f` to
# {glue:text}`rrs_labels_response_accuracy_high:+.1f`; *{glue:text}`rrs_labels_response_accuracy_verdict`*). So if a first phase is worth anything
# special, it is that of relations with their labels. But this is one interval of many, not corrected for their number.
#
# **Does a teacher help?** Minus labels, with intervals that hold for all lessons at once {cite}`dunnett1955multiple`
# (they take the scatter of runs from all lessons together, so they may be narrower than single ones): RRS
# {glue:text}`labels_rrs_difference:+.1f` points ({glue:text}`labels_rrs_low:+.1f` to {glue:text}`labels_rrs_high:+.1f`;
# *{glue:text}`labels_rrs_verdict`*), labels → response {glue:text}`labels_labels_response_difference:+.1f`
# ({glue:text}`labels_labels_response_low:+.1f` to {glue:text}`labels_labels_response_high:+.1f`;
# *{glue:text}`labels_labels_response_verdict`*), response twice {glue:text}`labels_response_response_difference:+.1f`
# ({glue:text}`labels_response_response_low:+.1f` to {glue:text}`labels_response_response_high:+.1f`;
# *{glue:text}`labels_response_response_verdict`*). And beside those that decide, response in one phase:
# {glue:text}`labels_response_difference:+.1f` ({glue:text}`labels_response_low:+.1f` to {glue:text}`labels_response_high:+.1f`;
# *{glue:text}`labels_response_verdict`*). In accuracy none is shown to help, nor to harm, and the most that any of them may be
# worth is {glue:text}`most_worth:.1f` points. The teachers, means of four students of 30 epochs, have {glue:text}`teachers_ahead:.1f` points more than
# the students of labels. Better answers exist, then; how much of them one student could learn is not said by that.
# On unseen devices the table has response and RRS further ahead; the explorer below gives the intervals.
#
# **One phase or two?** One phase of response minus two, each as its own trials tuned it:
# {glue:text}`response_response_response_accuracy_difference:+.1f` points
# ({glue:text}`response_response_response_accuracy_low:+.1f` to {glue:text}`response_response_response_accuracy_high:+.1f`;
# *{glue:text}`response_response_response_accuracy_verdict`*). But the two differ in more than their phases: in the temperature, for 1
# was not among the trials of lessons in two phases; and in the share of the labels, which the second phase hardly has. The unbroken
# lesson helps to part the causes. Unbroken minus response twice, without the fresh start, and without the labels of the first half:
# {glue:text}`response_alone_response_response_accuracy_difference:+.1f`
# ({glue:text}`response_alone_response_response_accuracy_low:+.1f` to {glue:text}`response_alone_response_response_accuracy_high:+.1f`;
# *{glue:text}`response_alone_response_response_accuracy_verdict`*). Response minus unbroken, which is temperature and labels:
# {glue:text}`response_response_alone_accuracy_difference:+.1f`
# ({glue:text}`response_response_alone_accuracy_low:+.1f` to {glue:text}`response_response_alone_accuracy_high:+.1f`;
# *{glue:text}`response_response_alone_accuracy_verdict`*). {glue:text}`parted` All these are among {glue:text}`intervals` intervals of
# accuracy, of which {glue:text}`intervals_yes` exclude zero, and not corrected for their number. Nor do the trials accuse the learning
# rate: the second phase with a sixth of it was worse in {glue:text}`sixth_worse` of {glue:text}`sixth_pairs` pairs of them.
#
# **In log loss**, as trained, RRS minus labels is {glue:text}`rrs_labels_log_loss_difference:+.2f` nats
# ({glue:text}`rrs_labels_log_loss_low:+.2f` to {glue:text}`rrs_labels_log_loss_high:+.2f`;
# *{glue:text}`rrs_labels_log_loss_verdict`*), and every taught lesson lies on that side. How much of it is the teacher's doing? Labels were tuned
# for accuracy, and took a smoothing of {glue:text}`smoothing`, which makes a student less sure than it could be. So each student was given
# a temperature of its own, found on validation clips; it changes no answer ([2022](../challenges/entry_2022.ipynb) shows how). Students of
# labels want {glue:text}`labels_temperature:.2f` on average, so they become surer; those of RRS {glue:text}`rrs_temperature:.2f`, less sure. What is left is
# {glue:text}`rrs_labels_tempered_log_loss_difference:+.3f` nats ({glue:text}`rrs_labels_tempered_log_loss_low:+.3f` to
# {glue:text}`rrs_labels_tempered_log_loss_high:+.3f`; *{glue:text}`rrs_labels_tempered_log_loss_verdict`*) of RRS minus labels, and
# {glue:text}`response_labels_tempered_log_loss_difference:+.3f` ({glue:text}`response_labels_tempered_log_loss_low:+.3f` to
# {glue:text}`response_labels_tempered_log_loss_high:+.3f`; *{glue:text}`response_labels_tempered_log_loss_verdict`*) of response in one phase
# minus labels: the one difference to labels whose interval excludes zero, and it is not corrected for the number of lessons. On its three
# later seeds alone it is {glue:text}`later_loss:+.3f`. So of the mean lead that a table of log losses shows for RRS, {glue:text}`sureness:.0f` % was sureness, which a division mends.
# (The runs of one seed were not kept, and have no temperature; these two are over {glue:text}`rrs_labels_tempered_log_loss_seeds`
# and {glue:text}`response_labels_tempered_log_loss_seeds` seeds.)
#
# {glue:text}`look` The <a href="../../_static/explore/index.html?book">explorer</a> sets any two lessons side by side. What
# these figures say of the 0.3 points between two challenge years is told in [2023](../challenges/entry_2023.ipynb).
#
# ## A first comparison, and what it held unequal
#
# This is the second comparison. The first had nineteen techniques, three to five seeds, two teachers, weights tuned alike, and a
# correction for many tests. Each technique minus the student alone:

# %%
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

# %% mystnb={"figure": {"name": "fig-against-student", "caption": "The first comparison: each technique minus the student alone, with 95 % intervals over locations and seeds. Embedded corpus of then, study size, one rendering. The star marks the control that nobody taught and who had the teacher's epochs and augmentation."}, "image": {"alt": "A row for each technique with a dot and an interval around a vertical line at zero, most of them on the right of it."}}
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
glue("first_control", control)
asked = ["student", "response", "response_twice", "rrs", "teacher",
         "student_control"]
for name in asked:
    glue(f"effort_{name}", float(effort[name]))
real = Results(store.PROJECT / "results" / "comparison_real.json")
there = 100 * real.against("student", rivals=list(alone.index))["accuracy"]
agreement = stats.spearmanr(alone["accuracy"], there[alone.index])
glue("rho", float(agreement.statistic))

# %%
seeds = first.runs.query("times == 1 and system in @rivals").pivot(
    index="system", columns="seed", values="accuracy").dropna(axis=1)
between = seeds.corr("spearman").to_numpy()[np.triu_indices(seeds.shape[1], 1)]
glue("rho_min", float(between.min()))
glue("rho_max", float(between.max()))
of_control = 100 * board.query("system == 'student_control'")["accuracy"]
glue("control_min", float(of_control.min()))
glue("control_max", float(of_control.max()))
glue("smoothed_place", int(alone.index.get_loc("student_smoothed")) + 1)
effort[asked].round(1).to_frame("macro accuracy (%)")

# %% [markdown]
# {glue:text}`first_above` of {glue:text}`first_number` techniques lay above the student alone, and for
# {glue:text}`first_clear` the interval excluded zero. It looked like the worth of being taught.
#
# But one thing had not been held equal. The members of the teacher had been trained for 30 epochs with Freq-MixStyle; the
# students without it, for 12 epochs, and RRS in the table for 24. A student whom *nobody* taught, given both, gained
# {glue:text}`first_control:+.1f` points: it reached {glue:text}`effort_student_control:.1f` %
# ({glue:text}`control_min:.1f` to {glue:text}`control_max:.1f` over its seeds), where its teacher was
# ({glue:text}`effort_teacher:.1f` %) and where the taught ones were: {glue:text}`effort_response:.1f` % after response, and of twice
# that length {glue:text}`effort_rrs:.1f` % after RRS and {glue:text}`effort_response_twice:.1f` % after response twice. And in the figure the student with smoothed labels, whom nobody taught either, stands in place
# {glue:text}`smoothed_place`. So the techniques may have passed on an augmentation, and no correction for many tests mends that. Two of the losses were wrong as well: the relational one
# punished shifts of the logits that change no answer, and the contrastive one lacked its constant.
#
# The same techniques on recordings of ESC-10 {cite}`piczak2015esc` in the layout of TAU came out in another order: the gains have a
# rank correlation of {glue:text}`rho:+.2f` with those above. That is no proof of another corpus, for two seeds of the *same* one
# agree no better, {glue:text}`rho_min:+.2f` to {glue:text}`rho_max:+.2f`. Most of the order does not repeat from seed to seed.
#
# The other techniques are to be run again in the second comparison, beside two controls that take from the teacher what it knows of
# the single clip: the mean answer of each scene, and answers exchanged between clips of a scene. Until then the chapters on each technique show the first
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
# And what would you have concluded from one run at the quick profile? Two students of this run, of equal length, on its own test
# clips:

# %%
from asclib.evaluation import compare
from asclib.runs import Experiment, build
from asclib.training import predict, probabilities

experiment = Experiment(profile, data_root, seed)
live = {"student": experiment.student(),
        "response": experiment.taught("response")}
build(list(live.values()))
test, clips = experiment.clips("test"), experiment.table("test")
said = {name: probabilities(predict(run.net(), test.x))
        for name, run in live.items()}

# %% tags=["nbval-ignore-output"]
one = compare(said["student"], said["response"], clips)
assert one.accuracy_low <= one.accuracy <= one.accuracy_high
ends = [100 * end for end in (
    one.accuracy_low, one.accuracy, one.accuracy_high)]
for name, end in zip(("live_low", "live", "live_high"), ends, strict=True):
    glue(name, end)
pd.DataFrame({"response - student": ends},
             index=["low", "points", "high"]).T.round(1)

# %% [markdown]
# Response minus student is {glue:text}`live:+.1f` points in this run ({glue:text}`live_low:+.1f` to {glue:text}`live_high:+.1f`).
# The interval is over locations. It cannot see the seed, and a paper that reports one run has no other. Where the taught student
# lies behind, it does not follow that teachers harm: the quick profile gives its teacher few epochs, so that it has little to say.
#
# ## Takeaways
# * RRS minus response twice, after {glue:text}`primary_epochs` epochs: {glue:text}`primary_difference:+.1f` points
#   ({glue:text}`primary_low:+.1f` to {glue:text}`primary_high:+.1f`; *{glue:text}`primary_verdict`*) over
#   {glue:text}`primary_runs` trainings of each. RRS minus (labels → response):
#   {glue:text}`rrs_labels_response_accuracy_difference:+.1f` (*{glue:text}`rrs_labels_response_accuracy_verdict`*).
# * Being taught, at equal epochs and augmentation, minus labels: RRS {glue:text}`labels_rrs_difference:+.1f` points
#   (*{glue:text}`labels_rrs_verdict`*), labels → response {glue:text}`labels_labels_response_difference:+.1f`
#   (*{glue:text}`labels_labels_response_verdict`*), response twice {glue:text}`labels_response_response_difference:+.1f`
#   (*{glue:text}`labels_response_response_verdict`*), response in one phase {glue:text}`labels_response_difference:+.1f`
#   (*{glue:text}`labels_response_verdict`*).
# * In log loss RRS is {glue:text}`rrs_labels_log_loss_difference:+.2f` nats from labels as trained, and
#   {glue:text}`rrs_labels_tempered_log_loss_difference:+.3f` (*{glue:text}`rrs_labels_tempered_log_loss_verdict`*) when each student has its own
#   temperature: {glue:text}`sureness:.0f` % of the mean lead was sureness. Response in one phase keeps
#   {glue:text}`response_labels_tempered_log_loss_difference:+.3f` (*{glue:text}`response_labels_tempered_log_loss_verdict`*, uncorrected).
# * Trainings of RRS or response twice scatter by {glue:text}`spread:.1f` points, of labels by {glue:text}`labels_spread:.1f`. Differences of two that share the seed and the teacher scatter by
#   {glue:text}`paired_min:.1f` to {glue:text}`paired_max:.1f`, independent ones would by {glue:text}`independent_min:.1f` to
#   {glue:text}`independent_max:.1f`: sharing buys little.
# * In the first comparison {glue:text}`first_above` of {glue:text}`first_number` techniques lay above the student alone, and
#   {glue:text}`first_clear` clearly. A student with the teacher's epochs and augmentation, and no teacher, lay
#   {glue:text}`first_control:+.1f` points above it.
# * {glue:text}`look`
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
# Try it with `one_run=0.02` as well: all of it hangs on a noise that few runs measure badly. And a width just below a point
# says *no* only where the estimate is almost exactly zero, so most such studies would still miss it.
# :::
#
# ## What is next
# [Eight bits are enough](../compression/quantization.ipynb): the student, whoever taught it, goes onto the chip.
