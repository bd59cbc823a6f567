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
# * what a fair comparison of techniques holds equal, and what that costs;
# * how to give each technique a weight of its own without looking at the test;
# * paired tests over seeds, corrected for their number, and what an effect size adds;
# * how to rank many systems, and which blocks such a ranking may be drawn over;
# * whether RRS is better, or only longer, and which of its parts does the work.
#
# **Prerequisites**: the chapters from [the teacher's answers](response.ipynb) to
# [assistants](assistants.ipynb).
#
# **Data in**: `results/weights.json`, `results/comparison.json` and what every run said of every test clip,
# `results/comparison.npz`; the same of recorded sound, `results/weights_real.json` and `results/comparison_real.json`;
# `results/recipe.json` and `results/candidates.json` of what comes next. For the last section the corpus and three
# students of this run.
#
# **Data out**: nothing; the tables are made from those files, and you can make others.
#
# **In the library**: `asclib.distillation.techniques`, `asclib.evaluation.comparison`,
# `asclib.evaluation.control`, `asclib.evaluation.power`, `asclib.evaluation.ranking`,
# `asclib.evaluation.resampling`, `asclib.evaluation.statistics`, `asclib.evaluation.systems`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from asclib import plotting, store
from asclib.distillation import TECHNIQUES
from asclib.evaluation import Results, groups, over_seeds, score
from asclib.evaluation import rank, verdict
from asclib.evaluation.comparison import POINTS
from asclib.evaluation.power import Noise, power
from asclib.plotting import glue
from asclib.runs.experiment import SMOOTHING

plotting.use_style()
results = Results()

# %% [markdown]
# ## What is held equal
#
# Ten papers say that ten techniques are the best. Each compared its own, tuned, with others' as found. So the rules
# come first:
#
# * **One teacher for all.** Students of one seed learn from the same teacher and the same clips.
# * **Equal epochs.** A technique of two stages has half the epochs in each. Where everyone got twice the
#   epochs, the table says `times 2`, and plain response distillation got them too.
# * **A weight of its own for each**, found with the same number of trials, on validation clips.
# * **Two controls**: the student alone, and the student with smoothed labels. If soft targets were all that
#   helps, smoothing would help as much as a teacher.
# * **Seeds in pairs.** Seed 2 of one technique starts with the weights that seed 2 of another starts with.
#
# What could not be made equal is time: the assistants had to be trained before they could teach.
#
# Figures are on the embedded corpus, which is synthetic; one section near the end has recorded sound. The committed
# figures of the techniques with a relational loss (`relational`, RRS in either order, `joint`) and of `contrastive` were
# made before these two losses were repaired, with logits that were not centred and a critic without its constant, and
# will be run again.

# %%
made = results.settings["profile"]
print(f"clips: {made['corpus']['train']:,} to learn from or validate on, "
      f"{len(results.clips):,} to test")
teachers = 100 * results.runs.groupby("teacher")["teacher_accuracy"].first()
print(f"epochs: {made['stage']['epochs']}; teachers:",
      " and ".join(f"{one:.1f} %" for one in teachers))
hours = results.runs["wall_seconds"].sum() / 3600
print(f"{len(results.runs)} trained students, {hours:.1f} hours of one core")
results.runs.groupby("times")["seed"].nunique().rename("seeds").to_frame().T

# %% [markdown]
# ## A weight for each
#
# Every technique weighs its loss against the labels, and every loss has a unit of its own. So each was trained with
# its weight as in the chapters before, with a sixteenth and a quarter of it, and with four times as much: four trials,
# one seed, half the epochs. The best validation accuracy decides. That is a coarse search. It is the same for all.

# %%
search = pd.DataFrame(store.results("weights")["rows"])
chosen = store.results("weights")["factors"]
grid = 100 * search.pivot(index="system", columns="factor",
                          values="validation_accuracy")
grid = grid.loc[grid.max(axis=1).sort_values(ascending=False).index]

# %% mystnb={"figure": {"name": "fig-weights", "caption": "Validation accuracy of each technique with a sixteenth, a quarter, once and four times its weight; filled, the one that was taken. Embedded corpus, study size, one seed, half the epochs."}, "image": {"alt": "Rows of four marks, one row for each technique, with one mark of each row filled."}}
rows = np.arange(len(grid))
figure, ax = plt.subplots(figsize=(6.5, 5.2))
for factor, mark in zip(grid, ("s", "v", "o", "^"), strict=True):
    ax.plot(grid[factor], rows, mark, color=plotting.INK, mfc="none", ls="",
            label=f"times {factor:g}")
    taken = np.array([chosen[name] == factor for name in grid.index])
    ax.plot(grid[factor][taken], rows[taken], mark, color=plotting.ACCENT)
ax.set_yticks(rows, [name.replace("_", " ") for name in grid.index])
ax.set(xlabel="validation accuracy (%)", ylim=(len(grid) - 0.5, -0.5))
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, fontsize=8)
plotting.show(figure)

# %%
spread = grid.max(axis=1) - grid.min(axis=1)
glue("widest", spread.idxmax().replace("_", " "))
glue("widest_points", float(spread.max()))
glue("narrow", int((spread < 2).sum()))
glue("searched", len(spread))
taken = pd.Series(chosen)[grid.index]
glue("lighter", int((taken < 1).sum()))
glue("smallest", int((taken == min(grid)).sum()))
glue("largest", int((taken == max(grid)).sum()))
spread.describe()[["min", "50%", "max"]].round(1).rename("points").to_frame().T

# %% [markdown]
# The weight matters most for {glue:text}`widest`: {glue:text}`widest_points:.1f` points between its best and its worst.
# For {glue:text}`narrow` of {glue:text}`searched` the four lie within two points, which is about what another seed does.
# There the search has told us little, and chance has chosen.
#
# {glue:text}`lighter` of them took less than the weight of the chapters before, which is too heavy here for most.
# {glue:text}`smallest` took a sixteenth, the smallest that was tried, and {glue:text}`largest` the largest: for those a better
# weight may lie outside the four. Half the epochs may also favour labels, which teach faster. A finer search would cost
# as many trainings again for every weight.
#
# ## The table
#
# Macro accuracy with its standard deviation over seeds, log loss, accuracy on the three devices that training lacks, and
# expected calibration error (ECE): all on the test split.

# %%
table = results.table().round(9).sort_index()  # of equals the first by name
table = table.sort_values("accuracy", ascending=False, kind="stable")
table = table[["@" not in system for system, _ in table.index]]  # for later
percent = ["accuracy", "accuracy_sd", "unseen_accuracy", "calibration_error"]
table[percent] *= 100
digits = {"log_loss": 3} | dict.fromkeys(percent, 1)
short = {"accuracy_sd": "sd", "unseen_accuracy": "unseen", "log_loss": "loss",
         "calibration_error": "ECE"}
table.round(digits).rename(columns=short)

# %% [markdown]
# A table sorted by its means invites one to read the order. How much of that order would other seeds repeat?
#
# ## Against the student alone
#
# Each technique minus the student, seed by seed. Two intervals answer two questions: would other places and other trainings say the same,
# and would other trainings? The second can be the wider one: it has as few degrees of
# freedom as there are seeds, and the first has those of all places as well. The $p$ value is that of the paired $t$ test over seeds. As many techniques as there are here
# have as many chances to look good by luck. So it is corrected by Holm's procedure {cite}`holm1979simple`: the smallest $p$
# is multiplied by the number of tests, the next by one less, and so on.
#
# The *effect* is the mean difference in its own standard deviations over seeds, with Hedges' correction for few of them.
# An effect of 1 says: the usual gain is as large as gains differ from seed to seed.

# %%
def shown(table):
    """Differences in points, their intervals in words, and the test."""
    ends = {"places and seeds": "accuracy", "seeds alone": "seeds"}
    return pd.DataFrame({
        "points": table["accuracy"].round(1),
        **{name: [f"{low:.1f} to {high:.1f}" for low, high in zip(
            table[f"{kind}_low"], table[f"{kind}_high"], strict=True)]
           for name, kind in ends.items()},
        "p": table["p_value"].round(3), "Holm": table["p_holm"].round(3),
        "effect": table["effect"].round(1)})


# %%
names = list(table.xs(1, level="times").index)
rivals = [name for name in names if name != "student"]
alone = results.against("student", rivals=rivals)
points = list(POINTS)
alone[points] *= 100
alone["accuracy"] = alone["accuracy"].round(9)  # of equals the first by name
alone = alone.sort_index().sort_values(
    "accuracy", ascending=False, kind="stable")
shown(alone)

# %% mystnb={"figure": {"name": "fig-against-student", "caption": "Each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower, cut at the frame). Embedded corpus, study size."}, "image": {"alt": "A row for each technique with two dots and two horizontal intervals around a vertical line at zero."}}
def drawn(table, reach):
    figure, ax = plt.subplots(figsize=(6.5, 6))
    names = [name.replace("_", " ") for name in table.index]
    plotting.differences(
        ax, names, table, "technique minus student (points)",
        ("over locations and seeds", "over seeds alone"))
    ax.set_xlim(-reach, reach)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8)
    plotting.show(figure)


drawn(alone, 12)

# %%
clear = alone.query("p_holm < 0.05")
found = {"better": clear.index[clear["accuracy"] > 0],
         "worse": clear.index[clear["accuracy"] < 0]}
for key, systems in found.items():
    said = ", ".join(systems).replace("_", " ") or "none"
    glue(key, said)
    print(f"{key} than the student, corrected: {said}")
for name in ("rrs", "response", "student_smoothed"):
    for key in points:
        glue(f"{name}_{key}", float(alone.at[name, key]))
glue("seeds_each", int(alone["seeds"].min()))
smoothing = SMOOTHING * chosen["student_smoothed"]
glue("smoothing", smoothing)
glue("tests", len(alone))

# %% [markdown]
# After correction for {glue:text}`tests` tests, better than the student alone: {glue:text}`better`. Worse: {glue:text}`worse`.
#
# For RRS the difference is {glue:text}`rrs_accuracy:+.1f` points, over locations and seeds from {glue:text}`rrs_accuracy_low:+.1f`
# to {glue:text}`rrs_accuracy_high:+.1f` and over seeds from {glue:text}`rrs_seeds_low:+.1f` to
# {glue:text}`rrs_seeds_high:+.1f`. For response distillation it is {glue:text}`response_accuracy:+.1f`.
#
# And without any teacher, for labels smoothed by {glue:text}`smoothing:.1f`: {glue:text}`student_smoothed_accuracy:+.1f`
# points, over seeds from {glue:text}`student_smoothed_seeds_low:+.1f` to {glue:text}`student_smoothed_seeds_high:+.1f`. What
# a teacher is worth is what it gains on top of that:

# %%
others = [name for name in rivals if name != "student_smoothed"]
smoothed = results.against("student_smoothed", rivals=others)
smoothed[points] *= 100
loss = results.tests("student_smoothed", "log_loss", rivals=others)
glue("loss_below", int((loss["difference"] < 0).sum()))
glue("loss_clear", int((loss["p_holm"] < 0.05).sum()))
glue("others", len(others))
above = smoothed.query("p_holm < 0.05 and accuracy > 0")
glue("over_smoothed", ", ".join(above.index).replace("_", " ") or "none")
best = smoothed["accuracy"].idxmax()
glue("best_smoothed", best.replace("_", " "))
for key in points:
    glue(f"best_{key}", float(smoothed.at[best, key]))
shown(smoothed.sort_values("accuracy", ascending=False).head(5))

# %% [markdown]
# Furthest above smoothed labels is {glue:text}`best_smoothed`, by {glue:text}`best_accuracy:+.1f` points (locations and seeds
# {glue:text}`best_accuracy_low:+.1f` to {glue:text}`best_accuracy_high:+.1f`, seeds alone {glue:text}`best_seeds_low:+.1f` to
# {glue:text}`best_seeds_high:+.1f`). It is the best of many, and so it flatters itself. Shown to be better, after
# correction: {glue:text}`over_smoothed`. In log loss it is otherwise: of {glue:text}`others` techniques {glue:text}`loss_below`
# lie below smoothed labels, and for {glue:text}`loss_clear` the corrected $p$ is below 0.05. The search asked for accuracy alone and took a heavy
# smoothing. It makes a student that is seldom sure, as the calibration error in the table says.
#
# With three seeds a $t$ interval reaches $4.3/\sqrt3 \approx 2.5$ standard deviations to each side, with five
# $2.8/\sqrt5 \approx 1.2$. "Not shown" is therefore the usual verdict on a technique with few seeds
# (here at least {glue:text}`seeds_each`), and does not say "no effect". Nor is every small $p$ a large effect: three seeds
# that happen to agree make a narrow interval, since the spread of three numbers is itself a rough guess.
#
# ### Not only accuracy
#
# A student may be no better at naming scenes and yet know better how sure to be. The same differences in four scores; a
# star where the corrected $p$ is below 0.05. Lower is better for the loss and for the calibration error.

# %%
units = {"accuracy": 100, "unseen_accuracy": 100, "calibration_error": 100,
         "log_loss": 1}
starred = {}
for what, unit in units.items():
    tests = results.tests("student", what, rivals=rivals).loc[alone.index]
    starred[what] = [
        f"{unit * one.difference:+.{2 if unit == 1 else 1}f}"
        + "*" * (one.p_holm < 0.05) for one in tests.itertuples()]
    glue(f"stars_{what}", int((tests["p_holm"] < 0.05).sum()))
    glue(f"uncorrected_{what}", int((tests["p_value"] < 0.05).sum()))
pd.DataFrame(starred, alone.index).rename(columns=short)

# %% [markdown]
# Stars: {glue:text}`stars_accuracy` for accuracy, {glue:text}`stars_unseen_accuracy` for accuracy on unseen devices,
# {glue:text}`stars_calibration_error` for calibration, {glue:text}`stars_log_loss` for the loss. Without correction it would
# be {glue:text}`uncorrected_accuracy`, {glue:text}`uncorrected_unseen_accuracy`, {glue:text}`uncorrected_calibration_error`
# and {glue:text}`uncorrected_log_loss`; of {glue:text}`tests` tests of nothing, one is expected.
#
# ## RRS, taken apart
#
# RRS is a relational phase and then a response phase. What if the phases change places, if one stands alone, if both losses
# are taught at once, or if both compare softmax outputs, as published? Each variant minus RRS, at equal epochs, each with
# its own weight. The correction is for these five tests.

# %%
parts = {"rrs_reversed": "response first", "relational": "relational alone",
         "response": "response alone", "joint": "both at once",
         "rrs_published": "on softmax outputs"}
apart = results.against("rrs", rivals=list(parts))
apart[points] *= 100
for name, row in apart.iterrows():
    glue(f"apart_{name}_points", float(row["accuracy"]))
    for kind in ("accuracy", "seeds"):
        glue(f"apart_{name}_{kind}", verdict(
            row[f"{kind}_low"], row[f"{kind}_high"]))
shown(apart.rename(index=parts))

# %% [markdown]
# Minus RRS, with what the interval over locations and seeds says of zero, and then that over seeds alone:
#
# * the phases in the other order {glue:text}`apart_rrs_reversed_points:+.1f` points
#   ({glue:text}`apart_rrs_reversed_accuracy`, {glue:text}`apart_rrs_reversed_seeds`);
# * the relational phase alone {glue:text}`apart_relational_points:+.1f`
#   ({glue:text}`apart_relational_accuracy`, {glue:text}`apart_relational_seeds`);
# * the response phase alone {glue:text}`apart_response_points:+.1f`
#   ({glue:text}`apart_response_accuracy`, {glue:text}`apart_response_seeds`);
# * both losses at once {glue:text}`apart_joint_points:+.1f`
#   ({glue:text}`apart_joint_accuracy`, {glue:text}`apart_joint_seeds`);
# * on softmax outputs {glue:text}`apart_rrs_published_points:+.1f`
#   ({glue:text}`apart_rrs_published_accuracy`, {glue:text}`apart_rrs_published_seeds`).
#
# The authors searched for $\alpha_1$, the share of the labels in the relational phase, and took 0.565. A weight of the
# relations times $f$ makes it $\alpha_1 / (\alpha_1 + f (1 - \alpha_1))$, up to a scale that Adam ignores. On the test, each
# minus RRS as it stands in the table:

# %%
alpha = TECHNIQUES["rrs"][0].hard
alphas = {f"rrs@{f:g}": alpha / (alpha + f * (1 - alpha))
          for f in sorted(grid)}
taken = alphas.pop(f"rrs@{chosen['rrs']:g}")
shares = results.against("rrs", rivals=list(alphas))
shares[points] *= 100
print(f"in the table: alpha_1 = {taken:.3f}")
shares.index = [f"alpha_1 = {alphas[name]:.3f}" for name in shares.index]
for place, row in zip(("one", "two", "three"), shares.itertuples(),
                      strict=True):
    glue(f"alpha_{place}", float(row.accuracy))
    glue(f"alpha_{place}_seeds", verdict(row.seeds_low, row.seeds_high))
shown(shares)

# %% [markdown]
# The others differ from it by {glue:text}`alpha_one:+.1f` points (over seeds {glue:text}`alpha_one_seeds`),
# {glue:text}`alpha_two:+.1f` ({glue:text}`alpha_two_seeds`) and {glue:text}`alpha_three:+.1f`
# ({glue:text}`alpha_three_seeds`).
#
# ## Better, or only longer?
#
# RRS as published trains twice as long as response distillation. The rows `times 2` give everyone twice the epochs:
# response in one stage (`response long`), response in two stages with a new optimiser between them, RRS, and the student alone.
# The two forms of response have the weight that was found for response.

# %%
longer = results.against("response_long", times=2)
longer[points] *= 100
for name, row in longer.iterrows():
    for key in points:
        glue(f"long_{name}_{key}", float(row[key]))
ends = longer.loc["rrs", ["accuracy_low", "accuracy_high"]]
glue("long_rrs_says", verdict(*ends))
shown(longer)

# %% [markdown]
# With equal epochs RRS differs from response distillation by {glue:text}`long_rrs_accuracy:+.1f` points, over locations and seeds
# from {glue:text}`long_rrs_accuracy_low:+.1f` to {glue:text}`long_rrs_accuracy_high:+.1f` and over seeds from
# {glue:text}`long_rrs_seeds_low:+.1f` to {glue:text}`long_rrs_seeds_high:+.1f`. The student alone, with as many epochs,
# differs from it by {glue:text}`long_student_accuracy:+.1f`.
#
# ## Ranks over recordings
#
# Demšar's diagram {cite}`demsar2006statistical` ranks systems within each of many independent blocks, and asks whether mean
# ranks lie further apart than chance puts them. His blocks are data sets. We have one. But its test recordings are
# independent draws, made at places that training never saw. So a block is a recording here, and a system's loss on it is the
# mean over its clips and over seeds.
#
# That answers the first question alone: would other recordings rank *these trained networks* alike?

# %% mystnb={"figure": {"name": "fig-critical-difference", "caption": "Mean rank of each technique's log loss over test recordings, the best on top. Systems joined by a vertical bar are not told apart by Nemenyi's test at 5 %."}, "image": {"alt": "Dots in a descending line, one for each technique, with vertical bars on the right that join neighbours, and a short bar for the critical difference on top."}}
ranking = rank(results.losses(names))
figure, ax = plt.subplots(figsize=(6.5, 5.4))
plotting.critical_difference(ax, ranking)
ax.set_yticks(range(len(names)),
              [name.replace("_", " ") for name in ranking.ranks.index])
plotting.show(figure)
first = next(iter(groups(ranking)), ranking.ranks.index[:1])
glue("first_group", len(first))
glue("first", ranking.ranks.index[0].replace("_", " "))
glue("cd", float(ranking.critical_difference))
print(f"Friedman: p = {ranking.p_value:.1e}; first group:", *first)

# %% [markdown]
# First by log loss is {glue:text}`first`. With a critical difference of {glue:text}`cd:.1f` ranks,
# {glue:text}`first_group` systems stand in the first group: none of them is shown to be behind it. Ranks by loss and means of
# accuracy need not agree: the first asks how sure a network is of the truth, the second only whether it names it.
#
# ## Make another table
#
# `results/comparison.npz` holds what each run said of each test clip, so a question that nobody asked yet costs a line.
# Which scenes gain by RRS, against the student alone?

# %% mystnb={"figure": {"name": "fig-scene-gains", "caption": "Recall of each scene: RRS minus the student alone, mean over seeds with its 95 % interval over seeds, cut at the frame. Embedded corpus, study size."}, "image": {"alt": "Ten rows, one for each scene, with a dot and a wide interval around a vertical line at zero."}}
seeds = results.seeds("rrs")
recalls = {name: pd.DataFrame([
    {scene: one.accuracy for scene, one in
     score(p, results.clips).scenes.items()}
    for p in results.probabilities(name, seeds)])
    for name in ("rrs", "student")}
gains = 100 * (recalls["rrs"] - recalls["student"])
bounds = np.array([over_seeds(gains[scene]) for scene in gains])
figure, ax = plt.subplots(figsize=(6.5, 3.6))
plotting.intervals(ax, [scene.replace("_", " ") for scene in gains],
                   gains.mean(), *bounds.T[-2:])
ax.axvline(0, color=plotting.MUTED)
ax.set(xlabel="RRS minus student, recall (points)", xlim=(-30, 30))
plotting.show(figure)

# %% [markdown]
# ## On recorded sound
#
# All this on sound that a program rendered. Does it hold for sound that somebody recorded? The whole study once more, teachers
# and weights of its own included, on recordings of ESC-10 {cite}`piczak2015esc`: ten kinds of sound that borrow the names of the
# scenes and the layout of TAU, as in [quantisation](../compression/quantization.ipynb). No recording is on both sides. With so few clips
# to learn from an epoch has few steps, so the profile is `small`, with three times the epochs.
#
# It is another task, with few recordings to learn from and to test on. So it can tell whether what we found hangs on our
# renderer. Which technique is best for scenes it cannot tell.

# %% mystnb={"figure": {"name": "fig-comparison-real", "caption": "Recorded sound: each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower, cut at the frame). The order is that of the embedded corpus."}, "image": {"alt": "A row for each technique with two dots and two horizontal intervals around a vertical line at zero, in the order of the figure before."}}
real = Results(store.PROJECT / "results" / "comparison_real.json")
there = real.against("student", rivals=rivals).loc[alone.index]
there[points] *= 100
heard = 100 * real.table()["accuracy"].xs(1, level="times")
size = {"heard_clips": len(real.clips),
        "heard_recordings": real.clips["recording"].nunique(),
        "heard_student": float(heard["student"]),
        "heard_teacher": " and ".join(f"{100 * one:.1f} %" for one in
                                      real.runs["teacher_accuracy"].unique()),
        "heard_epochs": real.settings["profile"]["student"]["epochs"]}
for key, value in size.items():
    glue(key, value)
drawn(there, 20)

# %%
agreement = stats.spearmanr(alone["accuracy"], there["accuracy"])
glue("rho", float(agreement.statistic))
glue("rho_p", float(agreement.pvalue))
told = ", ".join(there.query("p_holm < 0.05").index).replace("_", " ")
glue("heard_told", told or "none")
glue("heard_gain", int((there["accuracy"] > 0).sum()))
asked = {name: name for name in ("rrs", "response", "student_smoothed")}
asked |= {"best": there["accuracy"].idxmax(),
          "worst": there["accuracy"].idxmin()}
print(f"told from the student, corrected: {told or 'none'}")

# %%
for key, name in asked.items():
    row = there.loc[name]
    glue(f"heard_{key}_name", name.replace("_", " "))
    glue(f"heard_{key}", float(row["accuracy"]))
    for kind in ("accuracy", "seeds"):
        low, high = row[f"{kind}_low"], row[f"{kind}_high"]
        glue(f"heard_{key}_{kind}", verdict(low, high))
shown(there).head(5)

# %% [markdown]
# On {glue:text}`heard_clips` test clips of {glue:text}`heard_recordings` recordings the student alone reaches
# {glue:text}`heard_student:.1f` % after {glue:text}`heard_epochs` epochs, its teachers {glue:text}`heard_teacher`. On so few
# clips ten one-vs-all networks know hardly more than one student, if at all. Whatever a lesson gains here, it does not gain by a
# teacher who scores higher.
#
# {glue:text}`heard_gain` of {glue:text}`tests` techniques lie above the student, furthest {glue:text}`heard_best_name`
# ({glue:text}`heard_best:+.1f` points; over locations and seeds the interval {glue:text}`heard_best_accuracy`, over seeds it
# {glue:text}`heard_best_seeds`), and lowest is {glue:text}`heard_worst_name` ({glue:text}`heard_worst:+.1f`;
# {glue:text}`heard_worst_accuracy`, {glue:text}`heard_worst_seeds`). Told from the student after correction:
# {glue:text}`heard_told`. In the same order of verdicts, RRS gains {glue:text}`heard_rrs:+.1f` ({glue:text}`heard_rrs_accuracy`,
# {glue:text}`heard_rrs_seeds`), response distillation {glue:text}`heard_response:+.1f` ({glue:text}`heard_response_accuracy`,
# {glue:text}`heard_response_seeds`), and smoothed labels without a teacher {glue:text}`heard_student_smoothed:+.1f`
# ({glue:text}`heard_student_smoothed_accuracy`, {glue:text}`heard_student_smoothed_seeds`).
#
# Each has three seeds there, which is few. The gains on one corpus and on the other have a rank correlation of
# {glue:text}`rho:+.2f` ($p$ = {glue:text}`rho_p:.2f`).
# An order of techniques that one corpus gives is not to be trusted on another.
#
# ## Repeat it
#
# Settings, weights, teachers and every answer are committed. Three cells of the table again take some minutes, and leave the
# committed files alone:
#
# ```sh
# python -m studies comparison --seeds 0 --systems student response rrs --output again.json
# ```
#
# And the whole of it on recordings of your own, in TAU's layout; with a thousand clips or two, add `--profile small` to each line:
#
# ```sh
# python -m studies teachers --data-root DIR --seeds 0 1 --output own/teachers.json
# python -m studies weights --data-root DIR --teachers own/teachers --output own/weights.json
# python -m studies comparison --data-root DIR --teachers own/teachers --weights own/weights.json \
#     --seeds 0 1 2 --output own/comparison.json
# ```
#
# `Results(Path("own/comparison.json"))` then makes the tables of this chapter.
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
# ## What this comparison held unequal
#
# One thing was not held equal, and it may explain all of this. The members of the teacher were trained for 30 epochs, with
# Freq-MixStyle; the students for 12, without. [The scoreboard](../challenges/scoreboard.ipynb) has a student that nobody
# taught and who had both, the control:

# %%
board = pd.DataFrame(store.results("scoreboard")["runs"])
effort = 100 * board.groupby("system")["accuracy"].agg(["mean", "min", "max"])
asked = ["student", "response", "rrs", "teacher", "student_control"]
for name in asked:
    glue(f"effort_{name}", float(effort.at[name, "mean"]))
recipe = store.results("recipe")
tried = pd.DataFrame(recipe["runs"]).groupby("recipe").mean()
gain = 100 * (tried.loc[recipe["chosen"]] - tried.loc["none"])
heard = ["own_accuracy", "invented_accuracy"]
glue("recipe", recipe["chosen"])
glue("recipe_gain", float(gain[heard].mean()))
glue("recipe_devices", float(gain["invented_accuracy"]))
glue("recipe_seeds", len(recipe["seeds"]))
effort.loc[asked].round(1)

# %% [markdown]
# Nobody taught the control, and with {glue:text}`effort_student_control:.1f` % it is where the teacher is
# ({glue:text}`effort_teacher:.1f` %) and where the taught students are ({glue:text}`effort_response:.1f` % and
# {glue:text}`effort_rrs:.1f` %). So what this chapter measured may be the worth of an augmentation that reached the students
# through their teacher, and not the worth of being taught. No correction for many tests mends that. The comparison has to be
# run again.
#
# ## The second comparison, written down before it is run
#
# *Question.* The same student, the same epochs, the same augmentation: do its scores rise when a teacher takes part, and are
# they higher when relations come before answers?
#
# *One primary hypothesis.* RRS minus response followed by response, 48 epochs, macro accuracy. Both end in the same phase of
# response and differ in what comes before it. All else explores.
#
# *Four arms decide*: labels alone; response, then response; labels, then response; RRS. With 24 epochs and again with 48.
# Other techniques have 24, two phases 12 each. Two of them are controls that take from the teacher what it knows of the single
# clip: the mean answer of a scene, and answers exchanged between clips of a scene.
#
# *The augmentation* is everybody's. It is chosen on validation clips, as heard and through three devices invented for this,
# never on the test. This choice has been made.
#
# Validation accuracy of students on labels after 24 epochs, means over {glue:text}`recipe_seeds` seeds. {glue:text}`recipe` is
# taken: {glue:text}`recipe_gain:+.1f` points over none, and through devices that nobody had heard
# {glue:text}`recipe_devices:+.1f`. So the members of the first comparison's teacher were trained with what gives a student
# these points, and the students were not.
#
# *Who teaches* has to beat, on the same validation clips, a student of equal effort. Four such teachers and five seeds, each
# student of every teacher. One candidate has been heard so far, the mean of four students. Over one student of as many
# epochs it gains {glue:text}`mean_gain:+.1f` points ({glue:text}`mean_low:.1f` to {glue:text}`mean_high:.1f`, over places
# and {glue:text}`mean_seeds` seeds). Is it worth learning from? By the rule below: {glue:text}`mean_verdict`.
# The other candidates have not been run yet: one network as large as those four, and TEO-vATMSIC, fused and unfused, with
# smoothed labels and with plain ones.
#
# *Settings*: eight trials for every arm, that of the labels included, on seeds that are not used again.
#
# *The test* is five renderings of the corpus, 550 places. A sixth is kept shut until all is decided, and heard once.
#
# *The rule*: one interval over places, seeds and teachers. *Yes* where it excludes zero, *no* where all of it lies within one
# point of zero, else *open*. All other arms against labels, with intervals that hold together {cite}`dunnett1955multiple`.
#
# What would it see? Two runs of one system have differed by about two points. With that noise, the chance that a difference
# is seen:

# %%
places = 550
noise = replace(Noise.of_one_run(0.02, 0.006 * (110 / places) ** 0.5),
                locations=places - 10)
points = (1.0, 1.5, 2.0, 3.0)
chances = {f"4 teachers × {seeds} seeds": [
    round(100 * power(noise, seeds, 4, point / 100)) for point in points]
    for seeds in (2, 5, 12)}
glue("sees_one", chances["4 teachers × 5 seeds"][0])
glue("sees_two", chances["4 teachers × 5 seeds"][2])
mean, = (one for one in store.results("candidates")["gains"]
         if (one["candidate"], one["heard"]) == ("mean", "all"))
for name, unit in {"gain": 100, "low": 100, "high": 100, "seeds": 1}.items():
    glue(f"mean_{name}", unit * mean[name])
glue("mean_verdict", mean["verdict"])
pd.DataFrame(chances, index=[f"{point:g} points" for point in points]).T

# %% [markdown]
# With five seeds, a difference of two points is seen with a chance of {glue:text}`sees_two` %, one of a single point with
# {glue:text}`sees_one` %. A difference of 0.3 points, as published, is out of reach: 550 places are too few for that, however
# many trainings there are. `python -m studies fair --plan` prints power and cost, and `python -m studies fair` runs it.
#
# It is being run. Of the twenty runs of each deciding arm with 24 epochs four are there, one seed under four
# teachers, and nothing is concluded from so few. [2023](../challenges/entry_2023.ipynb) prints what they say, and
# the <a href="../../_static/explore/index.html?book">explorer</a> sets any two arms side by side.
#
# ## Takeaways
# * After correction, this comparison found better than the student alone: {glue:text}`better`. That is the worth of a teacher
#   *and* of its augmentation together.
# * A student whom nobody taught, with the teacher's epochs and augmentation, reached
#   {glue:text}`effort_student_control:.1f` %, the teacher of the others {glue:text}`effort_teacher:.1f` %. Whether teaching adds anything to
#   that is open.
# * RRS minus plain response distillation of equal length has an interval that {glue:text}`long_rrs_says`.
# * A comparison is as fair as what it holds equal: the teacher, the clips, the epochs, the augmentation, the trials of the
#   search. A control that differs in two things answers no question.
# * Twenty runs to a side see two points and not one. Power is computed before a study, not after.
#
# ## Exercises
# **1.** Nineteen techniques do nothing at all. How likely is it that at least one has $p < 0.05$ without correction, were
# the tests independent?
#
# :::{dropdown} Solution
# $1 - 0.95^{19} = 0.62$: more likely than not.
# :::
#
# **2.** Rank the techniques by log loss on the unseen devices alone.
#
# :::{dropdown} Solution
# ```python
# unseen = results.clips["device"].isin(["s4", "s5", "s6"]).to_numpy()
# for name in names:
#     p = np.mean(results.probabilities(name, results.seeds(name)), axis=0)
#     truth = p[np.arange(len(p)), results.truth]
#     print(name, -np.log(truth[unseen]).mean().round(3))
# ```
# This averages the probabilities of the seeds before it scores them, which makes an ensemble of them. To score
# each seed and average the losses, move the mean to the end.
# :::
#
# **3.** How many seeds would show a gain of one point, if gains vary by two points from seed to seed?
#
# :::{dropdown} Solution
# The interval's half width, $t \cdot 2 / \sqrt{n}$, has to be below one: $n = 18$ gives $2.11 \cdot 2 / \sqrt{18} = 0.99$.
# Even then it is shown in half of such studies only; for four in five, about 34 seeds are needed.
# :::
#
# ## What is next
# [Eight bits are enough](../compression/quantization.ipynb): the student, whoever taught it, goes onto the chip.
