# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The scoreboard
#
# Everything the book has built meets here, on clips that none of it has
# heard. The first half reads the results of the study, which took hours and
# are committed with the book. The second half scores the networks of *this*
# run, on *your* corpus if you gave one.
#
# ## What you will learn
# * how all systems score on the test split, on seen and unseen devices, and
#   how well calibrated they are;
# * how to read an interval over recordings and an interval over seeds, and
#   why a difference needs both;
# * what comparing many techniques does to the odds, and Holm's correction;
# * where the errors are: devices, scenes, confusions;
# * how to produce the same scoreboard for a corpus of your own;
# * how these figures may, and may not, be set beside the published ones.
#
# **Prerequisites**: [the challenge](../task/challenge.ipynb) for the metrics; the
# systems come from [the student](../networks/student.ipynb) up to
# [quantisation](../compression/quantization.ipynb). **Data in**: `results/scoreboard.json`,
# `results/models.json`, and for the second half the corpus and the networks of this run, built where they
# are missing. **Data out**: nothing.
# **In the library**: `asclib.evaluation.calibration`, `asclib.evaluation.control`, `asclib.evaluation.scores`,
# `asclib.runs.provenance`; the study is `studies/scoreboard.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from asclib.compression import agreement, simulate
from asclib.evaluation import calibration, compare, evaluate, verdict
from asclib.plotting import ACCENT, INK, MUTED, confusion, differences
from asclib.plotting import glue, intervals, show, use_style
from asclib.runs import Experiment, build
from asclib.store import results
from asclib.training import predict

use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## The study
#
# The study trains every system several times, each time with another seed:
# other initial weights, another order of clips. Corpus and splits stay the
# same. All its figures are on the **embedded corpus, which is synthetic**.
#
# How long each network trains was set on validation clips; [the
# teacher](../networks/teacher.ipynb) tells of the one choice that was reopened. What
# trains longer has an advantage here that it might not have with time to spare.

# %%
study = results("scoreboard")
sizes, seeds = study["clips"], study["seeds"]
print(f"corpus: {study['corpus']}, profile: {study['profile']['name']}")
print("clips: " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()))
print(f"seeds: {len(seeds)}")

# %% [markdown]
# The names in the tables are these. A *control* answers a doubt: RRS trains
# in two phases, twice as long as the others, so two controls train as long
# without relations. The teacher's members get more effort than the students,
# so one control is a student that gets as much as a member.

# %%
labels = {
    "student": "student alone", "student_control": "control: student, longer",
    "teacher_unfused": "teacher, not fused",
    "teacher": "teacher, fused",
    "response": "response",
    "response_published": "response, double softmax",
    "relational": "relational",
    "rrs": "RRS",
    "rrs_published": "RRS, double softmax",
    "response_twice": "control: response twice",
    "response_long": "control: response, long",
}
systems = [name for name in labels if name in study["pooled"]]
int8 = [name for name in study["pooled"] if name.endswith("_int8")]
labels |= {f"{name}_int8": f"{labels[name]}, int8" for name in systems}

# %% [markdown]
# ## All systems
#
# For each system the answers of all seeds are pooled and scored. Accuracy is
# macro accuracy in per cent. The brackets hold 95 % intervals over
# recordings. *Unseen* are the devices without training clips. *a − unseen*
# compares the recordings that device a and the unseen devices both heard.
#
# *ECE*, here the mean over seeds, is the expected calibration error
# {cite}`guo2017calibration`: sort the $N$ answers into bins by their
# confidence, the largest probability, and average over the bins $b$ of $n_b$
# answers how far confidence and accuracy part,
#
# $$ \text{ECE} = \sum_b \frac{n_b}{N}\,
#    \bigl|\text{accuracy}_b - \text{confidence}_b\bigr| . $$

# %%
def group(system, name):
    rows = {row["group"]: row for row in study["pooled"][system]}
    return rows.get(name)


def bracket(row, metric="accuracy", scale=100, digits=1):
    if row is None:  # a corpus may have no unseen devices
        return "–"
    ends = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    value, low, high = (f"{scale * number:.{digits}f}" for number in ends)
    return f"{value} [{low}, {high}]"

# %%
runs = pd.DataFrame(study["runs"])
ece = 100 * runs.groupby("system")["calibration_error"].mean()
table = {
    "macro accuracy": [bracket(group(s, "overall")) for s in systems],
    "seen": [bracket(group(s, "seen")) for s in systems],
    "unseen": [bracket(group(s, "unseen")) for s in systems],
    "a − unseen": [bracket(study["device_gaps"][s]) for s in systems],
    "log loss": [
        bracket(group(s, "overall"), "log_loss", 1, 2) for s in systems
    ],
    "ECE": [f"{ece[s]:.1f}" for s in systems],
}
pd.DataFrame(table, index=[labels[s] for s in systems])

# %% mystnb={"figure": {"name": "fig-scoreboard", "caption": "Macro accuracy and log loss of all systems on the test split of the embedded corpus, seeds pooled, with 95 % intervals over recordings."}, "image": {"alt": "Two panels of dots with intervals, one row for each of the systems: macro accuracy on the left, log loss on the right."}}
fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True)
rows = pd.DataFrame([group(s, "overall") for s in systems])
units = {"accuracy": 100, "log_loss": 1}
for ax, metric in zip(axes, units, strict=True):
    columns = [metric, f"{metric}_low", f"{metric}_high"]
    ends = (units[metric] * rows[column] for column in columns)
    intervals(ax, [labels[s] for s in systems], *ends)
axes[0].set_xlabel("macro accuracy (%)")
axes[1].set_xlabel("log loss (nats)")
show(fig)

# %% [markdown]
# Do two overlapping intervals mean that two systems are equal? **No.** Both
# systems met the same recordings. A hard recording pulls both down, and this
# common part cancels in their difference. To compare, look at differences.
#
# ## Differences, paired
#
# A *paired* comparison draws the same recordings for both systems, a thousand
# times, and takes the difference each time. That gives the interval over
# **recordings**: would other test recordings say the same?
#
# There is a second doubt. Train again with another seed, and the same
# technique gets another score. With one difference $d_s$ per seed, mean
# $\bar d$ and standard deviation $\sigma_d$ over $S$ seeds, the interval over
# **seeds** is Student's
#
# $$ \bar d \;\pm\; t_{0.975,\,S-1}\,\frac{\sigma_d}{\sqrt S} : $$
#
# would other trainings say the same? A claim about a *technique* needs both.

# %%
pairs = pd.DataFrame(study["differences"])
pairs = pairs.drop_duplicates(["system", "base"]).set_index(["system", "base"])
ends = ["accuracy_low", "accuracy_high", "seeds_low", "seeds_high"]
points = 100 * pairs[["accuracy", *ends]].astype(float)  # percentage points
others = [name for name in systems if name != "student"]

# %%
def against(base, names):
    rows = points.loc[[(name, base) for name in names]]
    rows.index = [labels[name] for name in names]
    text = rows.map("{:+.1f}".format).replace("+nan", "–")
    both = {
        f"over {kind}": text[low] + " to " + text[high]
        for kind, low, high in (
            ("recordings", *ends[:2]), ("seeds", *ends[2:]))
    }
    return pd.DataFrame({"difference": text["accuracy"]} | both)


against("student", others)

# %% mystnb={"figure": {"name": "fig-differences", "caption": "Macro accuracy minus that of the student alone, in percentage points, embedded corpus. Upper interval of each pair: over recordings; lower: over seeds."}, "image": {"alt": "Dots with two intervals each, one row for each system, around a vertical line at zero."}}
d = points.loc[[(name, "student") for name in others]]
names = [labels[name] for name in others]
fig, ax = plt.subplots(figsize=(7.5, 4.2))
differences(ax, names, d, "difference to the student alone (points)")
ax.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
show(fig)

# %% [markdown]
# ### How to read an interval
#
# The interval holds the differences that the data do not rule out. If it
# **excludes zero**, the sign is established for that source of doubt. If it
# **includes zero**, the data allow a gain and a loss. That is not evidence
# of equality: a wide interval around zero says "we do not know", a narrow
# one says "whatever it is, it is small".

# %%
def tell(name, base, key):
    row = points.loc[(name, base)]
    for column in ("accuracy", *ends):
        glue(f"{key}_{column}", float(row[column]))
    for kind, low, high in (("recordings", *ends[:2]), ("seeds", *ends[2:])):
        glue(f"{key}_{kind}", verdict(row[low], row[high]))


tell("rrs", "student", "rrs")
tell("response", "student", "response")
glue("seeds", len(seeds))
heard = [row["scores"] for row in results("models")["models"]]
for name, test in {"own": "same corpus", "further": "other corpora"}.items():
    found = [100 * scores[test]["accuracy"] for scores in heard]
    glue(f"{name}_least", min(found))
    glue(f"{name}_most", max(found))
    glue(f"{name}_places", heard[0][test]["locations"])

# %% [markdown]
# Two sentences in that language, filled in from the results:
#
# * Response distillation minus the student alone is
#   {glue:text}`response_accuracy:+.1f` points. The interval over recordings,
#   {glue:text}`response_accuracy_low:+.1f` to
#   {glue:text}`response_accuracy_high:+.1f`,
#   {glue:text}`response_recordings`; the interval over
#   {glue:text}`seeds` seeds, {glue:text}`response_seeds_low:+.1f` to
#   {glue:text}`response_seeds_high:+.1f`, {glue:text}`response_seeds`.
# * RRS minus the student alone is {glue:text}`rrs_accuracy:+.1f` points. The
#   interval over recordings, {glue:text}`rrs_accuracy_low:+.1f` to
#   {glue:text}`rrs_accuracy_high:+.1f`, {glue:text}`rrs_recordings`; the
#   interval over seeds, {glue:text}`rrs_seeds_low:+.1f` to
#   {glue:text}`rrs_seeds_high:+.1f`, {glue:text}`rrs_seeds`.
#
# A third doubt is in neither interval: the test is one rendering of the
# corpus. The three [models to take away](../practice/models.md), of the
# present version, were heard on more. On the test of the rendering that they
# learnt from, of {glue:text}`own_places` places, they reach
# {glue:text}`own_least:.0f` to {glue:text}`own_most:.0f` %. On four more, from
# other seeds and with {glue:text}`further_places` places drawn by the same
# rules, it is {glue:text}`further_least:.0f` to
# {glue:text}`further_most:.0f` %. **One rendering flatters** here: take the
# accuracies of this page as those of one test. Differences share it, and that
# is one more reason to look at them.
#
# Is RRS better than response, or only longer? The controls train as long as
# RRS. All differences here are to plain response distillation:

# %%
rivals = ("rrs", "response_twice", "response_long", "relational")
against("response", [name for name in rivals if name in systems])

# %% [markdown]
# If RRS is ahead and the controls are not, relations earned it. If all moved
# alike, length did. If none is ahead, there is no gain to explain. The same
# question asked directly, RRS minus each control:

# %%
controls = ("response_twice", "response_long")
direct = [against(base, ["rrs"]) for base in controls if base in systems]
pd.concat(direct).set_axis([f"RRS − {labels[base]}" for base in controls])

# %% [markdown]
# The intervals say how much of either answer the data support.
#
# ## Many comparisons
#
# A 95 % interval misses the truth once in twenty times. Compare seven
# techniques that all do nothing, and the chance that *some* interval
# excludes zero is no longer 5 %. Were the comparisons independent, it would
# be $1 - 0.95^7 \approx 30\ \%$.
#
# Holm's correction {cite}`holm1979simple` keeps the chance of any false claim
# under 5 %. Sort the $m$ p-values. Multiply the smallest by $m$, the next by
# $m - 1$, and so on, and never let a later one be smaller than an earlier
# one. It needs no independence.
#
# A p-value asks how surprising a difference this large would be if there were
# none. Over recordings we take it from the width of the interval, over seeds
# from the t-test. A claim needs both, so the larger of the two counts.

# %%
def holm(p):
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


some = np.array([0.04, 0.01, 0.03])
np.testing.assert_allclose(
    holm(some), multipletests(some, method="holm")[1])
print(holm(some).round(2))

# %%
family = [n for n in others if not n.startswith(("teacher", "student"))]
rows = pairs.loc[[(name, "student") for name in family]]
error = (rows["accuracy_high"] - rows["accuracy_low"]) / (2 * 1.96)
p_recordings = 2 * stats.norm.sf(np.abs(rows["accuracy"] / error))
p_seeds = np.full(len(rows), np.nan)
if len(seeds) > 1:
    each = np.stack(rows["accuracy_per_seed"].tolist())
    p_seeds = stats.ttest_1samp(each, 0, axis=1).pvalue
larger = np.fmax(p_recordings, p_seeds)
columns = {"recordings": p_recordings, "seeds": p_seeds, "larger": larger}
columns |= {"after Holm": holm(larger)}
index = [labels[name] for name in family]
table = pd.DataFrame(columns, index=index)
text = table.map(lambda p: "<0.001" if p < 0.001 else f"{p:.3f}")
text.replace("nan", "–")

# %% [markdown]
# A value under 0.05 in the last column is a claim that allows for other
# recordings, other seeds, and the number of techniques tried. A value above
# it is not a failure of the technique; with few seeds only large effects can
# pass.
#
# ## Where the errors are
#
# Are all devices equally hard? The dots of one colour are one system.

# %%
def by_group(names, prefix, cast, measure, width=0.17):
    fig, ax = plt.subplots(figsize=(7.5, 0.55 * len(names) + 1))
    for i, (system, colour) in enumerate(cast.items()):
        rows = pd.DataFrame([group(system, prefix + name) for name in names])
        ends = [100 * rows[f"accuracy{end}"] for end in ("", "_low", "_high")]
        intervals(ax, [name.replace("_", " ") for name in names], *ends,
                  colour=colour, label=labels[system],
                  offset=width * (i - (len(cast) - 1) / 2))
    ax.set_xlabel(f"{measure} (%)")
    ax.legend(fontsize=8, loc="lower center", ncols=4, bbox_to_anchor=(0.5, 1))
    show(fig)

# %% mystnb={"figure": {"name": "fig-by-device", "caption": "Macro accuracy on each device of the embedded corpus's test split, with 95 % intervals over recordings."}, "image": {"alt": "For each recording device, one dot with an interval for each of four systems."}}
cast = {"student": INK, "teacher": ACCENT, "response": MUTED, "rrs": "#2a9d8f"}
present = [row["group"] for row in study["pooled"]["student"]]
devices = [name[7:] for name in present if name.startswith("device ")]
by_group(devices, "device ", cast, "macro accuracy")

# %% mystnb={"figure": {"name": "fig-by-scene", "caption": "Recall of each scene on the embedded corpus's test split, with 95 % intervals over recordings."}, "image": {"alt": "For each of the ten scenes, one dot with an interval for each of four systems."}}
rest = ("overall", "seen", "unseen")
scenes = [n for n in present if n not in rest and not n.startswith("device ")]
by_group(scenes, "", cast, "recall")

# %% [markdown]
# The intervals of single scenes are wider than those above: a scene has only
# a tenth of the recordings. And what is a scene mistaken for? The confusion matrix of RRS
# has the true scene in rows, and each row sums to 100 %.

# %% mystnb={"figure": {"name": "fig-confusion", "caption": "Confusion matrix of RRS on the embedded corpus's test split, all seeds, in per cent of each true scene's clips."}, "image": {"alt": "A ten by ten heat map; darker cells hold more of a row's clips."}}
fig, ax = plt.subplots(figsize=(6.2, 5.6))
confusion(ax, np.array(study["confusion"]["rrs"]))
show(fig)

# %% [markdown]
# ## What eight bits cost
#
# Every student but the longer control was scored again in the dynamic range
# simulation of [the quantisation chapter](../compression/quantization.ipynb): int8
# weights, and the input of each layer rounded to int8 clip by clip. The
# differences are paired with the same network in float:

# %%
pd.concat([against(name.removesuffix("_int8"), [name]) for name in int8])

# %% [markdown]
# ## This run
#
# Now the same for the corpus and the profile of this run. With the defaults
# it is the small embedded corpus, and networks trained for a minute: expect
# wide intervals. With so little training the teacher need not be above the
# student. With `-p data_root DIR` the corpus is yours. One without unseen devices shows a
# dash there.

# %% tags=["nbval-ignore-output"]
clips, test = experiment.table("test"), experiment.clips("test")
trained = {"teacher": experiment.teacher(), "student": experiment.student()}
trained |= {name: experiment.taught(name) for name in ("response", "rrs")}
build(list(trained.values()))
nets = {name: run.net() for name, run in trained.items()}
for name in ("student", "response", "rrs"):
    nets[f"{name}_int8"] = simulate(nets[name])
logits = {name: predict(net, test.x) for name, net in nets.items()}
answers = {name: z.double().softmax(1).numpy() for name, z in logits.items()}
scores = {name: evaluate(p, clips) for name, p in answers.items()}
assert all(score.overall.accuracy > 0.15 for score in scores.values())
print(f"{len(clips):,} test clips, {clips['recording'].nunique()} recordings")

# %% tags=["nbval-ignore-output"]
def live(score, metric="accuracy", scale=100, digits=1):
    row = None if score is None else vars(score)
    return bracket(row, metric, scale, digits)


truth = test.labels.numpy()
rows = {
    labels[name]: {
        "macro accuracy": live(s.overall),
        "seen": live(s.seen), "unseen": live(s.unseen),
        "log loss": live(s.overall, "log_loss", 1, 2),
        "ECE": f"{100 * calibration(answers[name], truth).error:.1f}",
    } for name, s in scores.items()
}
assert all(np.isfinite(s.overall.log_loss) for s in scores.values())
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# And the differences, over locations. There is a single training of each
# here, so the doubt about seeds stays open.

# %% tags=["nbval-ignore-output"]
def compared(name, base):
    c = compare(answers[base], answers[name], clips)
    ends = (c.accuracy, c.accuracy_low, c.accuracy_high)
    return [round(100 * value, 1) for value in ends]


live_pairs = [(name, "student") for name in ("teacher", "response", "rrs")]
live_pairs += [(f"{n}_int8", n) for n in ("student", "response", "rrs")]
same = {n: agreement(logits[n], logits[b]) for n, b in live_pairs[3:]}
assert min(same.values()) >= 0.95, "int8 changed too many answers"
index = [f"{labels[name]} - {labels[base]}" for name, base in live_pairs]
columns = ["points", "low", "high"]
pd.DataFrame([compared(*pair) for pair in live_pairs], index, columns)

# %% mystnb={"figure": {"name": "fig-reliability", "caption": "Reliability of two networks of this run: accuracy of the answers against their confidence, in bins; on the dashed line a network would be calibrated."}, "image": {"alt": "Two broken lines and a dashed diagonal, accuracy against confidence."}}
fig, ax = plt.subplots(figsize=(4.6, 4))
for name, colour in (("student", INK), ("rrs", ACCENT)):
    bins = calibration(answers[name], truth, bins=8).table
    bins = bins.query("clips >= 10")
    ax.plot(bins["confidence"], bins["accuracy"], "o-", color=colour,
            label=labels[name])
ax.plot([0, 1], [0, 1], ls="--", color=MUTED)
ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
ax.legend()
show(fig)

# %% [markdown]
# Points under the diagonal are overconfident answers. Which training makes
# a network more or less sure of itself is visible here, and invisible in
# accuracy.
#
# ## Beside the published figures
#
# The columns below differ in corpus, in training effort, and in who trained.
# The published column is on the evaluation set of TAU
# {cite}`ipleiria2023dcase`; ours is the embedded corpus. A *difference
# between the columns of a row means nothing*. What can be compared is a
# pattern within a column, such as whether RRS stands above response. On TAU
# the two were published a year apart, with other changes between them.

# %%
published = {"response": "51.6 (2022)", "rrs": "51.9 (2023, int8)"}
pd.DataFrame(
    {
        "published, TAU evaluation (%)": pd.Series(published),
        "this book, embedded corpus (%)": pd.Series(
            {name: bracket(group(name, "overall")) for name in published}
        ),
    }
).rename(index=labels)

# %% [markdown]
# To have our figures on TAU itself, give the book the data set; see
# [running on TAU](../practice/tau.md).
#
# ## Takeaways
# * One table holds all systems, with seen and unseen devices, log loss and
#   calibration; every score but the calibration error has its interval.
# * Compare by paired differences. Recordings and seeds are two doubts, and a
#   claim about a technique needs an answer to both.
# * One rendering of the test can flatter all systems: from
#   {glue:text}`own_least:.0f` to {glue:text}`own_most:.0f` % on it,
#   {glue:text}`further_least:.0f` to {glue:text}`further_most:.0f` % on four
#   others.
# * With many techniques some will look good by luck. Holm's correction keeps
#   the count.
# * Errors have addresses: devices, scenes, pairs of scenes.
# * The second half of this page scores any corpus in TAU's layout.
# * Published figures and ours are on different data. Patterns can be set
#   beside each other, numbers cannot.
#
# ## Exercises
#
# **1.** Two systems have accuracies of 61 [58, 64] and 63 [60, 66]. Can the
# interval of their paired difference exclude zero?
#
# :::{dropdown} Solution
# Yes. The widths come mostly from hard and easy recordings, which both
# systems share. If the answers differ on few clips, the difference has a
# much narrower interval, say from 0.5 to 3.5 points.
# :::
#
# **2.** Three techniques have the p-values 0.04, 0.01 and 0.03. Which
# survive Holm's correction at 5 %?
#
# :::{dropdown} Solution
# Sorted: 0.01, 0.03, 0.04, times 3, 2, 1: 0.03, 0.06, 0.04. The last may not
# be smaller than the one before, so it becomes 0.06. Only the first survives.
# The cell that defines `holm` prints the same.
# :::
#
# **3.** Add a technique of your own to the live table.
#
# :::{dropdown} Solution
# A technique is a tuple of stages, and a loss is any function of the student's
# and the teacher's logits. After the cell that builds `nets`, run
# ```python
# import torch.nn.functional as F
# from asclib.distillation import Stage
#
#
# def my_loss(student, teacher):
#     return F.mse_loss(student, teacher)  # or yours
#
#
# mine = experiment.taught((Stage(my_loss, weight=1.0, hard=0.1),))
# labels["mine"] = "mine"
# logits["mine"] = predict(mine.net(), test.x)
# answers["mine"] = logits["mine"].double().softmax(1).numpy()
# scores["mine"] = evaluate(answers["mine"], clips)
# ```
# and then the next cell again.
# :::
#
# ## What is next
# All this took many trainings. [What a training costs](../practice/training.ipynb)
# shows how they were afforded.
