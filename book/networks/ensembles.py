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
# * why an average of networks loses less than its members do on average, and by how much;
# * what to set beside ten one-vs-all networks: ten ordinary ones, and a single one of the size of ten;
# * which scenes gain by ten experts, and whether each expert means what it says.
#
# **Prerequisites**: [the teacher](teacher.ipynb), whose members are compared here.
#
# **Data in**: the corpus, and `results/ensembles.json` for the study.
#
# **Data out**: six short trainings of the student, in the store.
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
from asclib.evaluation import over_seeds, score
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
# The teacher is ten networks, each of which knows one scene from the rest. In the studies it scores above the student on average. But it is ten
# times as large, its members had an augmentation that the student had not, and an average of *any* networks may beat each of them
# {cite}`hansen1990neural`. So how much of the gain is owed to one-vs-all?
#
# To tell, rivals are needed that share all but this. Each gets a member's effort: its epochs, its clips, its augmentation.
# Two things still differ. Members learn from smoothed labels and keep their last epoch; the rivals learn from plain labels and
# keep the epoch that is best on validation clips.
#
# * **one**: a single TMSIC of ten classes;
# * **ordinary**: ten of them, from ten seeds, their probabilities averaged;
# * **single**: one TMSIC with filters enough for the parameters of ten;
# * **unfused**: the ten one-vs-all members, by their odds;
# * **fused**: the teacher, which has the epochs of its fusion on top.
#
# ## What an average does
#
# Let $p_k$ be the probability that network $k$ gives to the truth. The loss of the average of $K$ networks is
#
# $$ -\log \frac1K \sum_k p_k \;\le\; \frac1K \sum_k -\log p_k , $$
#
# since the logarithm is concave (Jensen). So an average is never worse than its members are on average, clip by clip,
# whatever they say. The two sides are equal where all agree. What an ensemble gains is therefore what its members
# *disagree* about. Networks that differ by nothing but a seed disagree about plenty {cite}`lakshminarayanan2017simple`.
#
# Six students, each trained for a third of the student's epochs, from six seeds. A run is a value: whatever
# differs is replaced, and `build` trains all six side by side.

# %%
student = experiment.student()
short = replace(student.plan, epochs=max(1, student.plan.epochs // 3))
six = [replace(student, plan=short, seed=seed + k) for k in range(6)]
build(six)
each = np.stack([probabilities(predict(one.net(), test.x)) for one in six])
print(f"{len(six)} students of {short.epochs} epochs, "
      f"answers {each.shape}")

# %% tags=["nbval-ignore-output"]
own = each[:, np.arange(len(truth)), truth]  # what each gives to the truth
mean_loss = -np.log(own).mean(axis=0)
loss_of_mean = -np.log(own.mean(axis=0))
assert (loss_of_mean <= mean_loss + 1e-9).all()
agreed = (each.argmax(2) == each[0].argmax(1)).all(0)
rows = {"all agree": agreed, "they differ": ~agreed}
pd.DataFrame({name: {"clips": int(which.sum()),
                     "mean of losses": mean_loss[which].mean(),
                     "loss of the mean": loss_of_mean[which].mean()}
              for name, which in rows.items()}).T.round(2)

# %% [markdown]
# The inequality holds on every clip, also where all six name the same scene: they may agree on the name and not on
# how sure they are.
#
# How many networks does it take? We average all choices of $K$ out of six:

# %% mystnb={"figure": {"name": "fig-how-many", "caption": "Live run: log loss (left) and macro accuracy (right) of the average of K short students, all choices of K out of six; the line is their mean. Embedded corpus."}, "image": {"alt": "Two panels over one to six networks: the mean loss falls, steeply at first and then less; the mean accuracy rises less regularly."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
means = {"loss": [], "accuracy (%)": []}
for k in range(1, 7):
    averages = (each[list(some)].mean(axis=0)
                for some in combinations(range(6), k))
    scores = [score(p, clips).overall for p in averages]
    points = {"loss": [s.log_loss for s in scores],
              "accuracy (%)": [100 * s.accuracy for s in scores]}
    for ax, (name, values) in zip((left, right), points.items(), strict=True):
        ax.plot([k] * len(values), values, ".", color=plotting.MUTED)
        means[name].append(np.mean(values))
for ax, (name, values) in zip((left, right), means.items(), strict=True):
    ax.plot(range(1, 7), values, "o-", color=plotting.ACCENT)
    ax.set(xlabel="networks averaged", ylabel=name)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
gained = -np.diff(means["loss"])
assert (gained > -1e-9).all()  # Jensen once more
print(f"of what six gain over one, the second brings "
      f"{100 * gained[0] / gained.sum():.0f} %, the sixth "
      f"{100 * gained[-1] / gained.sum():.0f} %")

# %% [markdown]
# So much are the next networks worth in this run. A rival for the teacher is easily made, then: ten
# of a kind.
#
# ## The rivals
#
# The study trains all five systems on the embedded corpus (synthetic), at the quick profile, from several seeds.
# First, what they cost:

# %%
study = store.results("ensembles")
order = ["one", "ordinary", "single", "unfused", "fused"]
against = pd.DataFrame(study["differences"]).set_index(["system", "base"])
sizes = pd.DataFrame(study["sizes"]).T.loc[order]
sizes.map("{:,}".format)

# %% [markdown]
# Ten ordinary networks are as large as the teacher, and so is the single wide one by choice of its widths.
# Its MACs are what its widths make of them.

# %%
runs = pd.DataFrame(study["runs"])
scores = ["accuracy", "log_loss", "unseen_accuracy", "calibration_error"]
table = runs.groupby("system")[scores].mean().loc[order]
table.insert(1, "sd", runs.groupby("system")["accuracy"].std())
table[["accuracy", "sd", "unseen_accuracy", "calibration_error"]] *= 100
glue("seeds", len(study["seeds"]))
for name, row in table.iterrows():
    glue(f"{name}_accuracy", float(row["accuracy"]))
    glue(f"{name}_loss", float(row["log_loss"]))
table.round({name: 3 if name == "log_loss" else 1 for name in table})

# %% [markdown]
# Over {glue:text}`seeds` seeds one network reaches {glue:text}`one_accuracy:.1f` %, ten of its kind
# {glue:text}`ordinary_accuracy:.1f` %, the wide one {glue:text}`single_accuracy:.1f` %, ten experts by their odds
# {glue:text}`unfused_accuracy:.1f` %, and fused {glue:text}`fused_accuracy:.1f` %. Which differences hold?

# %% mystnb={"figure": {"name": "fig-rivals", "caption": "Study, embedded corpus, quick profile: differences of macro accuracy in points, with 95 % intervals over test recordings (upper of each pair) and over seeds (lower)."}, "image": {"alt": "A row for each pair of systems, with two dots and two horizontal intervals around a vertical line at zero."}}
pairs = [("ordinary", "one"), ("single", "one"), ("unfused", "one"),
         ("single", "ordinary"), ("unfused", "ordinary"),
         ("fused", "ordinary"), ("fused", "single"), ("fused", "unfused")]
columns = ["accuracy", "accuracy_low", "accuracy_high", "seeds_low",
           "seeds_high"]
shown = 100 * against.loc[pairs, columns].astype(float)
names = [f"{system} − {base}" for system, base in pairs]
figure, ax = plt.subplots(figsize=(6.5, 3.6))
plotting.differences(ax, names, shown, "difference of macro accuracy (points)")
plotting.show(figure)

# %%
for (system, base), row in shown.iterrows():
    for key, value in row.items():
        glue(f"{system}_{base}_{key}", float(value))
    ends = ("accuracy_low", "accuracy_high"), ("seeds_low", "seeds_high")
    clear = all(row[low] > 0 or row[high] < 0 for low, high in ends)
    glue(f"{system}_{base}", "is" if clear else "is not")
shown.round(1)

# %% [markdown]
# Ten experts by their odds minus ten of a kind: {glue:text}`unfused_ordinary_accuracy:+.1f` points, over recordings from
# {glue:text}`unfused_ordinary_accuracy_low:+.1f` to {glue:text}`unfused_ordinary_accuracy_high:+.1f`, over seeds from
# {glue:text}`unfused_ordinary_seeds_low:+.1f` to {glue:text}`unfused_ordinary_seeds_high:+.1f`. It
# {glue:text}`unfused_ordinary` shown, by both intervals, that they differ. Fused minus ten of a kind:
# {glue:text}`fused_ordinary_accuracy:+.1f` points (recordings {glue:text}`fused_ordinary_accuracy_low:+.1f` to
# {glue:text}`fused_ordinary_accuracy_high:+.1f`, seeds {glue:text}`fused_ordinary_seeds_low:+.1f` to
# {glue:text}`fused_ordinary_seeds_high:+.1f`), which {glue:text}`fused_ordinary` shown.
#
# Ten of a kind minus one: {glue:text}`ordinary_one_accuracy:+.1f` points in accuracy (recordings
# {glue:text}`ordinary_one_accuracy_low:+.1f` to {glue:text}`ordinary_one_accuracy_high:+.1f`), a difference that
# {glue:text}`ordinary_one` shown, while the mean log loss goes from {glue:text}`one_loss:.2f` to
# {glue:text}`ordinary_loss:.2f`: the inequality above speaks of losses, and of nothing else.
#
# One wide network minus one: {glue:text}`single_one_accuracy:+.1f` points (recordings
# {glue:text}`single_one_accuracy_low:+.1f` to {glue:text}`single_one_accuracy_high:+.1f`, seeds
# {glue:text}`single_one_seeds_low:+.1f` to {glue:text}`single_one_seeds_high:+.1f`), which {glue:text}`single_one` shown.
# And one wide network minus ten of a kind: {glue:text}`single_ordinary_accuracy:+.1f` points (recordings
# {glue:text}`single_ordinary_accuracy_low:+.1f` to {glue:text}`single_ordinary_accuracy_high:+.1f`, seeds
# {glue:text}`single_ordinary_seeds_low:+.1f` to {glue:text}`single_ordinary_seeds_high:+.1f`), which
# {glue:text}`single_ordinary` shown.
#
# Fused minus one wide network: {glue:text}`fused_single_accuracy:+.1f` points (recordings
# {glue:text}`fused_single_accuracy_low:+.1f` to {glue:text}`fused_single_accuracy_high:+.1f`, seeds
# {glue:text}`fused_single_seeds_low:+.1f` to {glue:text}`fused_single_seeds_high:+.1f`): a difference that
# {glue:text}`fused_single` shown.
#
# ## Which scenes gain?
#
# An expert may help where a scene is hard to tell from one neighbour, and not where it is easy.

# %% mystnb={"figure": {"name": "fig-scenes-gain", "caption": "Study, embedded corpus, quick profile: recall of each scene minus that of one network, mean and 95 % interval over seeds, for ten experts (unfused) and ten of a kind."}, "image": {"alt": "Ten rows, one for each scene, with two dots and intervals around a vertical line at zero."}}
recall = pd.DataFrame(study["scenes"]).pivot(
    index="seed", columns=["system", "scene"], values="recall")
labels = [scene.replace("_", " ") for scene in SCENES]
figure, ax = plt.subplots(figsize=(6.5, 4.6))
for name, shift, colour in (("unfused", -0.15, plotting.ACCENT),
                            ("ordinary", 0.15, plotting.INK)):
    gain = 100 * (recall[name] - recall["one"])[list(SCENES)]
    low, high = zip(*(over_seeds(gain[scene]) for scene in gain), strict=True)
    plotting.intervals(ax, labels, gain.mean(), low, high, colour=colour,
                       offset=shift, label=name)
ax.axvline(0, color=plotting.MUTED)
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8)
ax.set(xlabel="recall minus that of one network (points)")
plotting.show(figure)

# %% [markdown]
# ## Does each expert mean what it says?
#
# A member is trained on smoothed labels, and one clip in ten is of its scene. If it says on average what its targets were,
# it says $0.05 + 0.9 \cdot 0.1 = 0.14$. The gap is the expected calibration error of its two-way answer.

# %%
members = pd.DataFrame(study["members"]).groupby("scene")
members = members[["share", "said", "calibration_error"]].mean()
members = members.loc[list(SCENES)]
glue("said", float(members["said"].mean()))
glue("gap", float(members["calibration_error"].mean()))
worst = members["calibration_error"].idxmax()
glue("worst", worst.replace("_", " "))
glue("worst_gap", float(members["calibration_error"].max()))
members.round(3)

# %% [markdown]
# On average the members say {glue:text}`said:.2f`, as smoothing asks of them. The mean gap is {glue:text}`gap:.2f`, and
# largest for the {glue:text}`worst` expert: {glue:text}`worst_gap:.2f`. The odds that turn ten answers into one need no calibrated members as long
# as all are bent alike. An expert that is bent in another way than the rest is believed too often or too seldom: this is what
# the fusion can mend, and ten of a kind do not need.
#
# ## Takeaways
# * The average of networks never loses more than they do on average. What they disagree about is the gain.
# * A claim for ten *experts* needs ten of a kind beside them, and one network of their size, with the same effort.
# * A gain in accuracy, a gain by scene and calibration are three questions; each has its interval or its gap.
#
# ## Exercises
# **1.** Two networks give the truth 0.9 and 0.1. Compute both sides of the inequality. And for 0.5 and 0.5?
#
# :::{dropdown} Solution
# $-\log 0.5 = 0.69$ against $(0.105 + 2.303) / 2 = 1.20$; for equal answers both are 0.69.
# :::
#
# **2.** Averaging logits instead of probabilities: does the inequality still hold?
#
# :::{dropdown} Solution
# Averaged logits give the normalised geometric mean. Its loss is $\log \sum_c \prod_k p_k(c)^{1/K} + \frac1K \sum_k -\log p_k$,
# and the sum of geometric means is at most one. So yes: its loss is also at most the mean of the losses, on every clip.
# :::
#
# **3.** The best of six networks on the validation clips costs one inference instead of six. How much of the gain remains?
#
# :::{dropdown} Solution
# ```python
# val = experiment.clips("validation")
# best = max(range(6), key=lambda k: (
#     predict(six[k].net(), val.x).argmax(1) == val.labels).double().mean())
# print(score(each[best], clips).overall)
# ```
# It is one of the six: the choice gains what validation can see of their differences, and disagreement is lost.
# :::
#
# ## What is next
# Whatever made it, the teacher is too large. [The teacher's answers](../distillation/response.ipynb) hand on what it knows.
