# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ten experts, or ten of a kind?
#
# ## What you will learn
# * why an average of networks loses less than they do on average, and on which clips it gains;
# * what to set beside ten one-vs-all networks: ten ordinary ones, and one network as large as all ten;
# * what such a comparison can say after ten epochs, and what it cannot.
#
# **Prerequisites**: [the teacher](teacher.ipynb), whose members are compared here.
#
# **Data in**: the corpus, and `results/ensembles.json` for the study.
#
# **Data out**: five trainings of the student, in the store.
#
# **In the library**: `asclib.runs.experiment`; the study is `studies/ensembles.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from dataclasses import replace
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from asclib import plotting, store
from asclib.challenge import SCENES
from asclib.evaluation import score
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import predict, probabilities

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
test, clips = experiment.clips("test"), experiment.table("test")
truth = test.labels.numpy()

# %% [markdown]
# ## The question
#
# [The teacher](teacher.ipynb) is not shown to beat one network that was trained as long as each of its members. That is
# a surprise, for an average often beats every one of the networks it is made of, experts or not {cite}`hansen1990neural`.
# So what do ten networks gain, and does it matter that they are experts?
#
# ## What an average does
#
# Let $p_k$ be the probability that network $k$ gives to the truth. The loss of the average of $K$ networks is
#
# $$ -\log \frac1K \sum_k p_k \;\le\; \frac1K \sum_k -\log p_k , $$
#
# because the logarithm is concave (Jensen). So on every clip an average loses no more than its members do on average. What it
# gains there is the *gap* between the two sides: zero where all $p_k$ are equal, and for small differences half their
# relative variance, $\mathrm{Var}(p_k) / (2 \bar p^2)$.
#
# Networks that share everything but a seed differ enough for it to pay {cite}`lakshminarayanan2017simple`. {cite:t}`fort2019deep`
# found why: other initial weights lead to other *functions*, which make other mistakes, while networks along one training
# answer much alike. Here are five students. A run is a value: the seed is replaced, and `build` trains side by side what the
# store does not have.

# %%
student = experiment.student()
five = [replace(student, seed=seed + k) for k in range(5)]
build(five)
each = np.stack([probabilities(predict(one.net(), test.x)) for one in five])
print(f"{len(five)} students of {student.plan.epochs} epochs, "
      f"answers {each.shape}")

# %% tags=["nbval-ignore-output"]
own = each[:, np.arange(len(truth)), truth]  # what each gives to the truth
gap = -np.log(own).mean(axis=0) + np.log(own.mean(axis=0))
assert (gap >= -1e-9).all()
named = each.argmax(2)
agreed = (named == named[0]).all(0)
apart = np.mean([(a != b).mean() for a, b in combinations(named, 2)])
wrong = (named != truth).mean()
found = {"apart": 100 * apart, "wrong": 100 * wrong, "gap": gap.mean(),
         "gap_agreed": gap[agreed].mean(), "gap_differ": gap[~agreed].mean(),
         "agreed": 100 * agreed.mean()}
for name, value in found.items():
    glue(name, value)

# %% mystnb={"figure": {"name": "fig-jensen", "caption": "Live run: the gap of each test clip, on a logarithmic axis, against the variance of the five probabilities of its true scene (left), and against half their relative variance (right; the line is equality)."}, "image": {"alt": "Two clouds of dots. In the left one large gaps are found at small variances as well; in the right one the dots lie along the diagonal, red and blue ones alike."}}
variance = own.var(axis=0)
relative = variance / own.mean(axis=0) ** 2 / 2
ranks = pd.DataFrame({"gap": gap, "plain": variance, "relative": relative})
ranks = ranks.corr("spearman")["gap"]
assert ranks["relative"] > 0.95 > ranks["plain"]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
for which, colour, label in ((~agreed, plotting.INK, "they differ"),
                             (agreed, plotting.ACCENT, "all name one scene")):
    for ax, x in ((left, variance), (right, relative)):
        ax.plot(x[which], gap[which], ".", color=colour, ms=3, label=label)
right.axline((0.001, 0.001), (0.1, 0.1), color=plotting.MUTED)
left.set(xlabel="variance of p(true scene)", ylabel="gap (nats)")
right.set(xlabel="half the relative variance", xscale="log", yscale="log")
left.legend(fontsize=8, markerscale=3)
plotting.show(figure)

# %% [markdown]
# Two of these students name different scenes on {glue:text}`apart:.0f` % of the clips; one of them is wrong on
# {glue:text}`wrong:.0f` %. All five agree on {glue:text}`agreed:.0f` %, but to agree on the name is not to agree: the mean gap is
# {glue:text}`gap_agreed:.2f` nats there and {glue:text}`gap_differ:.2f` elsewhere. Plain variance (left) says little of the gap, and relative
# variance (right) nearly all. An average gains where its members differ *in proportion* about the truth, and 0.01 against
# 0.1 counts as much as 0.1 against 1.
#
# How many networks does it take? We average all choices of $K$ out of five:

# %% mystnb={"figure": {"name": "fig-how-many", "caption": "Live run: log loss (left) and macro accuracy (right) of the average of K students, all choices of K out of five; the line is their mean. Embedded corpus."}, "image": {"alt": "Two panels over one to five networks: the mean loss falls, steeply at first and then less; the mean accuracy rises less regularly."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
means = {"loss": [], "accuracy (%)": []}
for k in range(1, 6):
    averages = (each[list(some)].mean(axis=0)
                for some in combinations(range(5), k))
    scores = [score(p, clips).overall for p in averages]
    points = {"loss": [s.log_loss for s in scores],
              "accuracy (%)": [100 * s.accuracy for s in scores]}
    for ax, (name, values) in zip((left, right), points.items(), strict=True):
        ax.plot([k] * len(values), values, ".", color=plotting.MUTED)
        means[name].append(np.mean(values))
for ax, (name, values) in zip((left, right), means.items(), strict=True):
    ax.plot(range(1, 6), values, "o-", color=plotting.ACCENT)
    ax.set(xlabel="networks averaged", ylabel=name)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
gained = -np.diff(means["loss"])
assert (gained > -1e-9).all()  # Jensen once more
one, *_, five_together = means["accuracy (%)"]
ends = {"second": 100 * gained[0] / gained.sum(),
        "fifth": 100 * gained[-1] / gained.sum(),
        "loss_one": means["loss"][0], "loss_five": means["loss"][-1],
        "acc_one": one, "acc_five": five_together,
        "gained": "gained" if five_together > one else "did not gain"}
for name, value in ends.items():
    glue(name, value)

# %% [markdown]
# For small differences an average of $K$ gains in proportion to $1 - 1/K$, as the variance of a mean falls. Of what five
# gain, the second network should then bring five eighths, and the fifth a sixteenth.
#
# The mean loss falls from {glue:text}`loss_one:.2f` to {glue:text}`loss_five:.2f` nats; the second network brings
# {glue:text}`second:.0f` % of that, the fifth {glue:text}`fifth:.0f` %. The mean accuracy goes from {glue:text}`acc_one:.1f` to
# {glue:text}`acc_five:.1f` %, which no inequality promises.
#
# ## The rivals
#
# The study sets five systems side by side, each of whose networks gets a member's epochs, clips and augmentation:
#
# * **one**: a single TMSIC of ten classes, the first of the next ten (the other nine were not scored alone);
# * **ordinary**: ten of them, from ten seeds, their probabilities averaged;
# * **wide**: one TMSIC with filters enough for the parameters of ten;
# * **unfused**: the ten one-vs-all members, by their odds;
# * **fused**: the teacher, which has the epochs of its fusion on top.
#
# Some things still differ. Members learn from smoothed labels and keep their last epoch, the three rivals learn from
# plain labels and keep the epoch that is best on validation clips (exercise 3 makes these equal). And the wide network
# costs a tenth more MACs than the ten.
#
# :::{note}
# All figures from here on are of version 0.1.0, on an older corpus: do not set them beside the live run's. They are of five
# trainings of ten epochs, the quick profile's. Such networks are half trained, and which of their differences would outlast more
# epochs is not known. Intervals are over 40 test recordings, each at a place of its own; trainings are shown one by one.
# :::

# %%
study = store.results("ensembles")
order = ["one", "ordinary", "wide", "unfused", "fused"]
wide = {"single": "wide"}  # its name in the file
runs = pd.DataFrame(study["runs"]).replace(wide)
scores = ["accuracy", "log_loss", "calibration_error"]
table = runs.groupby("system")[scores].mean().loc[order]
table[["accuracy", "calibration_error"]] *= 100
sizes = pd.DataFrame(study["sizes"]).rename(columns=wide).T.loc[order]
for name, row in table.iterrows():
    for column in scores:
        glue(f"{name}_{column}", row[column])
table = table.round({n: 2 if n == "log_loss" else 1 for n in table})
table.columns = "accuracy (%)", "log loss", "calibration error (points)"
table.join(sizes.map("{:,}".format))

# %%
against = pd.DataFrame(study["differences"]).replace(wide)
against = against.set_index(["system", "base"])
pairs = [("ordinary", "one"), ("wide", "one"), ("wide", "ordinary"),
         ("unfused", "ordinary"), ("fused", "wide"), ("fused", "unfused")]
columns = ["accuracy", "accuracy_low", "accuracy_high"]
shown = 100 * against.loc[pairs, columns].astype(float)
dots = 100 * np.array(against.loc[pairs, "accuracy_per_seed"].tolist())
losses = np.array(against.loc[pairs, "log_loss_per_seed"].tolist())
for pair in pairs:
    for column, value in shown.loc[pair].items():
        glue("_".join((*pair, column)), value)
assert (dots[1:4] > 0).all() and (losses[0] < 0).all()

# %% mystnb={"figure": {"name": "fig-rivals", "caption": "Study, embedded corpus, quick profile: differences of macro accuracy, mean and 95 % interval over test recordings, and each of five trainings (small dots)."}, "image": {"alt": "A row for each of six pairs of systems, with a dot and an interval around a vertical line at zero, and five small dots below it. Only the two rows that begin with wide lie to the right of zero."}}
figure, ax = plt.subplots(figsize=(6.5, 3.2))
names = [f"{system} − {base}" for system, base in pairs]
plotting.intervals(ax, names, *(shown[column] for column in columns))
rows = np.repeat(np.arange(len(pairs)) + 0.25, dots.shape[1])
ax.plot(dots.ravel(), rows, ".", color=plotting.ACCENT, ms=5)
ax.axvline(0, color=plotting.MUTED)
ax.set(xlabel="difference of macro accuracy (points)")
plotting.show(figure)

# %% [markdown]
# **Ten of a kind** are not shown to be more accurate than one of them ({glue:text}`ordinary_one_accuracy:+.1f` points, from
# {glue:text}`ordinary_one_accuracy_low:+.1f` to {glue:text}`ordinary_one_accuracy_high:+.1f`), although they lose less in every
# training. The five of the live run {glue:text}`gained`. The base is in doubt as well: "one" is a single network in each
# training, and single networks differ by several points, as the left ends of the live figure show.
#
# **One wide network** is ahead of one by {glue:text}`wide_one_accuracy:+.1f` points
# ({glue:text}`wide_one_accuracy_low:+.1f` to {glue:text}`wide_one_accuracy_high:+.1f`), and of ten of a kind, in all five
# trainings. It may only learn more in ten epochs; nothing here tells.
#
# **Ten experts** minus ten of a kind is {glue:text}`unfused_ordinary_accuracy:+.1f` points
# ({glue:text}`unfused_ordinary_accuracy_low:+.1f` to {glue:text}`unfused_ordinary_accuracy_high:+.1f`): above zero in all five
# trainings, and open for other places.
#
# **The teacher**, ten experts fused, is at {glue:text}`fused_accuracy:.1f` % and one network at {glue:text}`one_accuracy:.1f` %. Against one
# wide network of its size it differs by {glue:text}`fused_wide_accuracy:+.1f` points ({glue:text}`fused_wide_accuracy_low:+.1f` to
# {glue:text}`fused_wide_accuracy_high:+.1f`), below zero in all five trainings; its fusion brings
# {glue:text}`fused_unfused_accuracy:+.1f` ({glue:text}`fused_unfused_accuracy_low:+.1f` to
# {glue:text}`fused_unfused_accuracy_high:+.1f`).
#
# ## Which scenes gain?
#
# If experts help, they may help some scenes and harm others. Recall by recall, against one network:

# %%
recall = 100 * pd.DataFrame(study["scenes"]).pivot(
    index="seed", columns=["system", "scene"], values="recall")
gains = {name: (recall[name] - recall["one"])[list(SCENES)]
         for name in ("unfused", "ordinary")}
mean = gains["unfused"].mean()
for word, scene in {"most": mean.idxmax(), "least": mean.idxmin()}.items():
    glue(f"{word}_scene", scene.replace("_", " "))
    glue(f"{word}_points", mean[scene])
    sign = np.sign(mean[scene])
    assert (sign * gains["unfused"][scene] > 0).all()  # in all trainings

# %% mystnb={"figure": {"name": "fig-scenes-gain", "caption": "Study, embedded corpus, quick profile: recall of each scene minus that of one network, for ten experts (unfused) and ten of a kind. Large dots: mean of five trainings; small dots: each."}, "image": {"alt": "Ten rows, one for each scene, with two large dots and small dots around a vertical line at zero; the small dots of a row are often forty points apart."}}
figure, ax = plt.subplots(figsize=(6.5, 4.6))
rows = np.arange(len(SCENES))
for name, shift, colour in (("unfused", -0.15, plotting.ACCENT),
                            ("ordinary", 0.15, plotting.INK)):
    for _, row in gains[name].iterrows():
        ax.plot(row, rows + shift, ".", color=colour, ms=4, alpha=0.5)
    ax.plot(gains[name].mean(), rows + shift, "o", color=colour, label=name)
ax.axvline(0, color=plotting.MUTED)
ax.set_yticks(rows, plotting.SCENE_LABELS)
ax.invert_yaxis()
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8)
ax.set(xlabel="recall minus that of one network (points)")
plotting.show(figure)

# %% [markdown]
# The experts gain most in the {glue:text}`most_scene` ({glue:text}`most_points:+.0f` points) and lose most in the
# {glue:text}`least_scene` ({glue:text}`least_points:+.0f`), both in every training. But ten of a kind gain and lose in these two as
# well, if less, so part of it is the one network that both are compared with. In most other scenes trainings disagree about
# the sign, and each scene has four recordings. The study is too small to say which scenes experts are good for.
#
# ## Does each expert mean what it says?
#
# Where the truth is $p$, a member that matches its smoothed targets says $0.05 + 0.9\,p$, on average
# $0.05 + 0.9 \cdot 0.1 = 0.14$. So it is less sure than it is right, on purpose: with $m$ the larger of $p$ and
# $1 - p$, its confidence is $0.05 + 0.9\,m$ and its accuracy $m$, a gap of $0.1\,(m - 0.5)$. As the mean of $m$ is at least
# 0.9 where one clip in ten is of the class, a gap of 0.04 to 0.05 is there by design.

# %%
members = pd.DataFrame(study["members"]).groupby("scene")
members = members[["share", "said", "calibration_error"]].mean()
members = members.loc[list(SCENES)]
gaps = members["calibration_error"]
found = {"said": members["said"].mean(), "mean_gap": gaps.mean(),
         "worst_gap": gaps.max()}
for name, value in found.items():
    glue(name, value)
glue("worst", gaps.idxmax().replace("_", " "))
assert found["mean_gap"] > 0.05  # more than smoothing asks for
members.round(3)

# %% [markdown]
# On average the members say {glue:text}`said:.2f`, as smoothing asks. Their mean gap is {glue:text}`mean_gap:.3f`, more than smoothing
# makes by itself. How much more of it is training's cannot be had by subtraction: a member that training has made too sure, and
# smoothing less sure, may even end with a smaller gap, and some do. It is largest for the {glue:text}`worst`
# ({glue:text}`worst_gap:.3f`). If all members erred alike, the decision would stay as it is. One that errs in its own way
# is believed too often or too seldom, and fusion might mend it. In this study the gap of the combined answer
# falls from {glue:text}`unfused_calibration_error:.1f` to {glue:text}`fused_calibration_error:.1f` points with it; in the larger one,
# with a gentler fusion, hardly ([the teacher](teacher.ipynb)).
#
# ## Takeaways
# * An average never loses more than its members on average, and gains where they differ in proportion about the truth:
#   {glue:text}`gap:.2f` nats a clip for five students of this run. That promises nothing about accuracy.
# * Ten experts minus ten of a kind: {glue:text}`unfused_ordinary_accuracy:+.1f` points
#   ({glue:text}`unfused_ordinary_accuracy_low:+.1f` to {glue:text}`unfused_ordinary_accuracy_high:+.1f`), open. This shows
#   neither that one-vs-all helps nor that it does not.
# * One wide network minus one: {glue:text}`wide_one_accuracy:+.1f` points, ten of a kind minus one
#   {glue:text}`ordinary_one_accuracy:+.1f`. After ten epochs that may say how fast networks learn, not what they can.
# * The teacher minus one wide network of its size: {glue:text}`fused_wide_accuracy:+.1f` points
#   ({glue:text}`fused_wide_accuracy_low:+.1f` to {glue:text}`fused_wide_accuracy_high:+.1f`), behind in all five trainings.
# * The members' gap is {glue:text}`mean_gap:.3f`; smoothing alone would make 0.04 to 0.05.
#
# ## Exercises
# **1.** Averaging logits instead of probabilities: does the inequality still hold?
#
# :::{dropdown} Solution
# Averaged logits give the normalised geometric mean. Its loss is $\log \sum_c \prod_k p_k(c)^{1/K} + \frac1K \sum_k -\log p_k$,
# and the sum of geometric means is at most one. So yes, on every clip:
# ```python
# geometric = np.exp(np.log(each).mean(0))
# geometric /= geometric.sum(1, keepdims=True)
# loss = -np.log(geometric[np.arange(len(truth)), truth])
# print((loss <= -np.log(own).mean(0) + 1e-6).all())
# ```
# :::
#
# **2.** The best of five networks on the validation clips costs one inference instead of five. How much of the gain remains?
#
# :::{dropdown} Solution
# ```python
# val = experiment.clips("validation")
# best = max(range(5), key=lambda k: (
#     predict(five[k].net(), val.x).argmax(1) == val.labels).double().mean())
# for p in (each[best], each.mean(0)):
#     print(score(p, clips).overall.log_loss)
# ```
# It is one of the five: the choice gains what validation can see of their differences, and disagreement is lost.
# :::
#
# **3.** (An hour.) Make the rivals fair: ten ordinary networks on smoothed labels that keep their last epoch, as the members do.
# Compare ten experts with them, and with three times the epochs for both. What is the verdict, and how many
# seeds would you need for another?
#
# :::{dropdown} Solution
# A member's plan differs from the control's in nothing but these two things.
# ```python
# from asclib.evaluation import compare
# from asclib.networks import TMSIC
# from asclib.runs import Run
# import torch
#
# def said(times):
#     """Ten experts by their odds, and ten of a kind by their mean."""
#     plan = experiment.profile.member
#     plan = replace(plan, epochs=times * plan.epochs)
#     experts = [replace(one, plan=plan) for one in experiment.members()]
#     ordinary = [Run(TMSIC, experiment.data, plan, seed=k) for k in range(10)]
#     build([*experts, *ordinary])
#     z = torch.stack([predict(one.net(), test.x) for one in experts], 1)
#     unfused = (z[..., 0] - z[..., 1]).double().softmax(1).numpy()
#     mean = np.mean([probabilities(predict(one.net(), test.x))
#                     for one in ordinary], axis=0)
#     return unfused, mean
#
# for times in (1, 3):
#     unfused, mean = said(times)
#     print(times, compare(mean, unfused, clips))
# ```
# One training of each leaves the verdict open, whatever the difference. With several, give `compare` arrays (seeds, clips, classes), and ask
# `asclib.evaluation.power` before you train.
# :::
#
# ## What is next
# Whatever made it, the teacher is too large. [The teacher's answers](../distillation/response.ipynb) hand on what it knows.
