# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The teacher
#
# ## What you will learn
# * how one question with ten answers becomes ten questions with two;
# * what label smoothing and a 1:9 imbalance do to the ten experts;
# * how to combine ten yes-or-no answers without any training, and why it is a softmax;
# * how the fused teacher is built, and why it cannot enter the challenge itself;
# * how it compares with the student, and what its soft answers have to offer.
#
# **Prerequisites**: [the student](student.ipynb). **Data in**: the log-mel features, the
# trained student. **Data out**: the trained teacher, whose answers
# [distillation](../distillation/response.ipynb) hands on.
# **In the library**: `asclib.networks.teacher`, `asclib.runs.kept`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import copy
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, roc_auc_score

from asclib import plotting, store, training
from asclib.augmentation import freq_mixstyle
from asclib.challenge import LIMITS, SCENES
from asclib.complexity import complexity
from asclib.evaluation import calibration, compare, evaluate, score

# %%
from asclib.networks import TMSIC, OneVsAllTeacher, one_vs_all
from asclib.plotting import glue
from asclib.runs import Experiment, build

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
control, fusion = experiment.control(), experiment.teacher()
build([experiment.student(), control, fusion])
student, teacher = experiment.student().net(), fusion.net()
members = dict(zip(SCENES, experiment.members(), strict=True))
fit, test = experiment.clips("fit"), experiment.clips("test")
clips = experiment.table("test")

# %% [markdown]
# ## Ten experts
#
# The student answers one question: which of ten scenes? The authors' teacher, TEO-vATMSIC, asks
# ten: is this an airport or not, is this a bus or not, and so on. Each question has a network of
# its own, a *member*: the body of the student with a head of two outputs, [class, others]. To
# split a problem this way is called *one-vs-all* {cite}`rifkin2004defense`.

# %% mystnb={"figure": {"name": "fig-teacher", "caption": "The teacher. Every member reads the same clip. Alone, a member answers through a head of two outputs; in the fused teacher these heads are dropped, and one dense layer reads all embeddings."}, "image": {"alt": "A log-mel picture on the left, ten boxes in a column named after the scenes, ten bars of 256 numbers beside them, all joined by one box, dense, with ten outputs."}}
figure, ax = plt.subplots(figsize=(7.2, 3.6))
ax.text(0, 4.5, "log-mel\n1×140×8", ha="center", va="center")
for row, scene in enumerate(plotting.SCENE_LABELS):
    ax.plot([0.6, 1.6, 4.3], [4.5, row, row], color=plotting.INK, lw=0.7)
    ax.text(2.8, row, f"{scene}, or not?", ha="center", va="center",
            fontsize=8, bbox={"fc": "#dce6f0", "ec": plotting.INK})
    ax.add_patch(plt.Rectangle((4.3, row - 0.3), 1, 0.6, fc=plotting.MUTED))
    ax.text(4.8, row, "256", ha="center", va="center", fontsize=8)
    ax.plot([5.3, 6.4], [row, 4.5], color=plotting.INK, lw=0.7)
ax.text(6.4, 4.5, "dense\n2,560 → 10", ha="center", va="center",
        bbox={"fc": "white", "ec": plotting.ACCENT})
ax.set(xlim=(-0.7, 7.3), ylim=(9.7, -0.7))
ax.axis("off")
plotting.show(figure)

# %% [markdown]
# The labels follow from the scenes: 0 for the member's own scene, 1 for all others. What share of
# the clips is each member's own scene?

# %%
rows = {}
for k, scene in enumerate(SCENES):
    labels = (fit.labels != k).long()
    assert torch.equal(labels, one_vs_all(fit.labels, k))
    own, others = torch.bincount(labels, minlength=2).tolist()
    rows[scene] = own, others, round(100 * own / (own + others), 1)
columns = ["class", "others", "class (%)"]
pd.DataFrame(rows, index=columns).T.astype({"class": int, "others": int})

# %% [markdown]
# ### Imbalance and label smoothing
#
# About one clip in ten belongs to the class. A member that always says "others" is right nine
# times in ten, so *accuracy* says nothing here. The authors do not weight the classes; we follow
# them. An unweighted member learns the probability, prior included, and we shall see that the
# prior cancels.
#
# The imbalance has one trap: which epoch to keep? Early in its training, a member that says
# "others" to everything has a low validation loss, lower perhaps than a later one that has begun
# to detect and errs. To choose by loss may keep a network that detects nothing. The authors stop by
# validation loss and keep the epoch with the best validation accuracy after the tenth. Our short runs keep
# the last epoch. The `tau` profile does as the authors did, but by *macro* accuracy, the mean of the two
# recalls: 50 % for a member that always says "others".
#
# The members' cross-entropy is *smoothed*: with 0.1, the target for the two outputs is not (1, 0)
# but (0.95, 0.05) {cite}`szegedy2016rethinking`. What is the best answer then? With $z$ the
# difference of the two logits and $p = \sigma(z) = 1/(1 + e^{-z})$, which is the softmax of two
# logits, the loss of a clip of the class is
#
# $$
# \begin{aligned}
# \ell(z) &= -0.95 \ln \sigma(z) \\
# &\quad - 0.05 \ln \sigma(-z), \\
# \ell'(z) &= \sigma(z) - 0.95.
# \end{aligned}
# $$
#
# The best answer is $z = \ln(0.95/0.05) = \ln 19 \approx 2.94$, and to be more certain is
# punished.

# %% mystnb={"figure": {"name": "fig-smoothing", "caption": "Loss of one clip of the class against the difference of the two logits, with and without label smoothing."}, "image": {"alt": "Two curves falling from the left. Without smoothing the curve goes on to zero, with smoothing it has a minimum at 2.94 and rises again."}}
margin = torch.linspace(-4, 8, 121)
logits = torch.stack([margin, torch.zeros(121)], dim=1)
labels = torch.zeros(121, dtype=torch.long)
figure, ax = plt.subplots(figsize=(5.5, 2.8))
for smoothing, colour in ((0.0, plotting.MUTED), (0.1, plotting.INK)):
    loss = F.cross_entropy(
        logits, labels, label_smoothing=smoothing, reduction="none")
    ax.plot(margin, loss, color=colour, label=f"smoothing {smoothing:g}")
by_hand = -0.95 * F.logsigmoid(margin) - 0.05 * F.logsigmoid(-margin)
assert torch.allclose(loss, by_hand, atol=1e-6)
ax.axvline(np.log(19), color=plotting.ACCENT, ls=":")
ax.set(xlabel="logit of class minus logit of others", ylabel="loss (nats)")
ax.legend()
plotting.show(figure)

# %% [markdown]
# ### Colours exchanged
#
# A teacher should know scenes, and not devices. The authors trained on six versions of each clip of
# the rarer devices, as the `tau` profile does; a short run cannot afford it. Our short profiles train the members with
# *Freq-MixStyle*, as the baselines of the challenge do since 2023
# {cite}`zhou2021domain,kim2022domain,schmid2022knowledge`. A device adds its colour to the log-mel:
# a mean and a deviation of each band over time. So each clip of a batch gets, band by band, a mean and
# a deviation between its own and another clip's,
#
# $$ x' = \frac{x - \mu}{\sigma}\,\big(\lambda \sigma + (1 - \lambda)\,\sigma_2\big)
#    + \lambda \mu + (1 - \lambda)\,\mu_2 , $$
#
# with a random $\lambda$ for each clip. This happens to four batches in ten, to members and to the
# fusion, and not to the student. What becomes of two clips?

# %% mystnb={"figure": {"name": "fig-mixstyle", "caption": "Mean log-mel over time of two clips that are alone in a batch, and of the same clips after Freq-MixStyle."}, "image": {"alt": "Two solid curves over mel bands, and two dashed ones that lie between them."}}
batch = fit.x[[0, len(fit.x) // 2]]
between = (batch - batch.flip(0)).mean(3).abs().mean((1, 2))
for attempt in range(500):  # until both went a part of the way to the other
    generator = torch.Generator().manual_seed(attempt)
    mixed = freq_mixstyle(batch, p=1.0, generator=generator)
    way = (mixed - batch).mean(3).abs().mean((1, 2)) / between
    if ((way > 0.25) & (way < 0.75)).all():
        break
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for k, colour in enumerate((plotting.INK, plotting.ACCENT)):
    ax.plot(batch[k, 0].mean(1), color=colour, label=f"clip {k + 1}")
    ax.plot(mixed[k, 0].mean(1), "--", color=colour)
ax.set(xlabel="mel band", ylabel="mean log-mel (nepers)")
ax.legend()
plotting.show(figure)

# %% [markdown]
# ### How good is each expert?
#
# A detector is judged by how it *ranks* clips. The area under the ROC curve (ROC AUC) is the
# probability that a clip of the class gets a higher score than a clip of another scene; 0.5 is chance.
# Average precision (AP) asks how pure the top of the ranking is; chance is the share of the
# class.

# %% tags=["nbval-ignore-output"]
answers = torch.stack(
    [training.predict(m.net(), test.x) for m in members.values()], dim=1)
z = answers[..., 0] - answers[..., 1]  # (clips, 10): class minus others
rows = {}
for k, scene in enumerate(SCENES):
    own = (test.labels == k).numpy()
    if 0 < own.sum() < len(own):
        rows[scene] = [roc_auc_score(own, z[:, k]),
                       average_precision_score(own, z[:, k]), own.mean()]
detection = pd.DataFrame(rows, index=["ROC AUC", "AP", "chance AP"]).T
assert detection["ROC AUC"].mean() > 0.55
detection.round(2)

# %% mystnb={"figure": {"name": "fig-member-curves", "caption": "Left: average precision of each member on the test clips of this run, with chance as a tick. Right: validation loss of each member while it was trained, smoothing not included; dotted, what it costs always to answer the prior, one in ten."}, "image": {"alt": "A horizontal bar for each of the ten scenes with a tick near ten per cent, and beside it ten curves of validation loss over epochs in the colours of the scenes."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
colours = [plotting.SCENE_COLOURS[scene] for scene in detection.index]
names = [scene.replace("_", " ") for scene in detection.index]
left.barh(names, detection["AP"], color=colours)
left.plot(detection["chance AP"], names, "|", color="black", ms=12)
left.set(xlabel="average precision", xlim=(0, 1))
left.invert_yaxis()
for scene, colour in plotting.SCENE_COLOURS.items():
    history = members[scene].history()
    epochs = history["epoch"] + 1
    right.plot(epochs, history["validation_loss"], color=colour)
prior = np.array([0.1, 0.9])
right.axhline(-prior @ np.log(prior), color="black", ls=":")
right.set(xlabel="epoch", ylabel="validation loss (nats)")
plotting.show(figure)

# %% [markdown]
# ## Ten answers, one decision
#
# Member $k$ says "yes" with probability $p_k = \sigma(z_k)$. How do ten such numbers become one
# distribution over ten scenes? Suppose the members' verdicts are independent coins. A clip has
# one scene, so we look only at the outcomes with *exactly one* yes. That yes is member $k$'s with
# a probability proportional to
#
# $$
# \begin{aligned}
# &p_k \prod_{j \ne k} (1 - p_j) \\
# &= \frac{p_k}{1 - p_k} \prod_{j} (1 - p_j) \\
# &\propto \frac{p_k}{1 - p_k} = e^{z_k}.
# \end{aligned}
# $$
#
# The product over all $j$ is the same for every $k$ and cancels. What remains are the *odds* of
# each member, divided by their sum:
#
# $$
# P(k \mid \text{one yes}) = \frac{e^{z_k}}{\sum_j e^{z_j}} = \mathrm{softmax}(z)_k.
# $$
#
# Under this supposition the softmax of the ten logit differences *is* the posterior. We check it by
# adding up over all $2^{10}$ outcomes.

# %%
generator = torch.Generator().manual_seed(1)
example = 2 * torch.randn(10, generator=generator, dtype=torch.float64)
p = example.sigmoid().numpy()
posterior = np.zeros(10)
for outcome in itertools.product((0, 1), repeat=10):
    if sum(outcome) == 1:
        verdicts = np.array(outcome)
        chance = np.prod(np.where(verdicts, p, 1 - p))
        posterior += chance * verdicts
posterior /= posterior.sum()
assert np.allclose(posterior, example.softmax(0).numpy())
both = {"counted": posterior, "softmax": example.softmax(0).numpy()}
pd.DataFrame(both, index=SCENES).round(3)

# %% [markdown]
# Two consequences. If all logits are shifted by the same amount, nothing changes. All members
# have the same 1:9 prior, and a prior is just such a shift, of $\ln(1/9)$. It cancels. A prior
# that only *one* member has does not: it multiplies that scene's odds.
#
# People often normalise the probabilities instead: $p_k / \sum_j p_j$. That is something else,
# and the difference is large when a member is almost certain.

# %%
z_small = torch.full((10,), -3.0)
z_small[0], z_small[1] = 4.0, 1.0
shift = torch.zeros(10)
shift[0] = np.log(1 / 9)  # scene 0 alone is rarer in its training
ways = {
    "softmax of z": z_small.softmax(0),
    "all shifted by ln(1/9)": (z_small + np.log(1 / 9)).softmax(0),
    "only scene 0 shifted": (z_small + shift).softmax(0),
    "normalised sigmoids": z_small.sigmoid() / z_small.sigmoid().sum(),
}
table = {name: way[:3].tolist() for name, way in ways.items()}
columns = ["scene 0 (z = 4)", "scene 1 (z = 1)", "each other (z = -3)"]
pd.DataFrame(table, index=columns).T.round(3)

# %% mystnb={"figure": {"name": "fig-odds", "caption": "Probability of a scene after combination, against what its own member says. A second member says 0.5, the other eight say 0.05."}, "image": {"alt": "Two curves that start at zero and cross. The normalised odds reach one; the normalised sigmoids flatten and stop near one half."}}
own = torch.linspace(0.001, 0.999, 200)
p = torch.full((200, 10), 0.05)
p[:, 0], p[:, 1] = own, 0.5
figure, ax = plt.subplots(figsize=(5.5, 2.8))
combined = torch.logit(p).softmax(1)[:, 0]
ax.plot(own, combined, color=plotting.INK, label="normalised odds")
sigmoids = p[:, 0] / p.sum(1)
ax.plot(own, sigmoids, color=plotting.ACCENT, label="normalised sigmoids")
ax.set(xlabel="the member's own probability", ylabel="combined")
ax.legend()
plotting.show(figure)

# %% [markdown]
# The supposition is bold, for the members hear the same clip. Ten perfect members would say
# probabilities that sum to one already, and the odds would exaggerate them: 0.8 and 0.2 become 0.94
# and 0.06.
#
# Both ways put the scenes in the same order, so the decision is the same. What differs is how
# sure they are of it, and the log loss sees that. On the test clips of this run:

# %% tags=["nbval-ignore-output"]
sigmoid = z.sigmoid().numpy()
ways = {"normalised odds": z.double().softmax(1).numpy(),
        "normalised sigmoids": sigmoid / sigmoid.sum(1, keepdims=True)}
scores = [score(p, clips).overall for p in ways.values()]
for name, way in zip(ways, scores, strict=True):
    print(f"{name:20} accuracy {100 * way.accuracy:.1f} %, "
          f"log loss {way.log_loss:.3f}")
gap = np.abs(ways["normalised odds"] - ways["normalised sigmoids"]).max()
print(f"largest difference of a probability: {gap:.2f}")
assert abs(scores[0].accuracy - scores[1].accuracy) < 0.005

# %% [markdown]
# ## Fusion
#
# The experts were trained apart, and nothing made their scores comparable. The authors let the
# teacher learn to weigh them. The ten heads are dropped. The ten embeddings of 256 numbers are
# put side by side, and one dense layer turns the 2,560 numbers into ten logits.
#
# The authors start this layer from random weights and train for many epochs, and so does the `tau`
# profile. A short run cannot afford that, so its layer starts where the members stand: the row of scene $k$ holds the difference
# of the two rows of member $k$'s own head, and zeros for the other members. The fused answer is
# then the unfused one, until training moves it.

# %%
def fused(members, head, x):
    """The teacher in one line: (clips, 1, 140, 8) -> logits (clips, 10)."""
    return head(torch.cat([member.embed(x) for member in members], dim=1))


x = test.x[:50]
start = OneVsAllTeacher([m.net() for m in members.values()]).eval()
with torch.no_grad():
    ours, theirs = fused(teacher.members, teacher.head, x), teacher(x)
    begun = start(x)
print("same answers:", torch.allclose(ours, theirs, atol=1e-3))
same = torch.allclose(begun, z[:50], atol=1e-3)
print("before the first step, fused is unfused:", same)

# %% [markdown]
# Head and bodies are then trained together on the ten-way labels. Throughout, the members stay in
# *inference mode*: no dropout, and BN uses its stored statistics. Their weights move and their
# statistics must not. To set `requires_grad` to false does not achieve this, for BN's averages
# are no parameters: in training mode they move with every batch that passes. One step shows both.

# %%
def buffers(net):
    return {n: b.clone() for n, b in net.named_buffers() if "running" in n}


for name in ("our teacher.train()", "torch's own train()"):
    net = copy.deepcopy(teacher).train()
    if name.startswith("torch"):
        net.members.train()
    before, weight = buffers(net), net.members[0].conv2.weight.clone()
    adam = torch.optim.Adam(net.parameters(), 1e-4)
    F.cross_entropy(net(fit.x[:32]), fit.labels[:32]).backward()
    adam.step()
    still = all(torch.equal(before[n], b) for n, b in buffers(net).items())
    moved = not torch.equal(weight, net.members[0].conv2.weight)
    print(f"{name}: weights moved: {moved}, statistics still: {still}")

# %% [markdown]
# ## Too large to enter
#
# What does the teacher cost, and would it be allowed to enter? We count both as
# [the chapter on complexity](../compression/complexity.ipynb) explains, at one byte per parameter.

# %%
networks = {"student": TMSIC(), "one member": TMSIC(2), "teacher": teacher}
costs = {name: complexity(net) for name, net in networks.items()}
assert costs["teacher"].parameters == 519_770 == 10 * (49_930 - 514) + 25_610
print("teacher,", costs["teacher"].within(LIMITS[2023]))
print("student,", costs["student"].within(LIMITS[2023]))
rows = {n: (f"{c.parameters:,}", f"{c.macs:,}") for n, c in costs.items()}
pd.DataFrame(rows, index=["parameters", "MACs"]).T

# %% [markdown]
# The teacher costs ten times what the student costs: four times the limit of size and eight times
# that of MACs. It cannot enter. But it may *teach*: the rules limit the size of what is submitted,
# not of what taught it. That is the idea of distillation {cite}`hinton2015distilling`.
#
# ## Do ten beat one?
#
# Four systems on the same test clips: the student, the ten members without fusion (the normalised
# odds), the fused teacher, and a control. A teacher may be given more than its students: here its
# members exchange colours, and the study trains them for more epochs. The control is one student with
# all the effort that a member gets.

# %% tags=["nbval-ignore-output"]
systems = {
    "student": training.predict(student, test.x),
    "student, control": training.predict(control.net(), test.x),
    "members, unfused": z,
    "teacher, fused": training.predict(teacher, test.x),
}
systems = {n: v.double().softmax(1).numpy() for n, v in systems.items()}
scores = {name: evaluate(p, clips) for name, p in systems.items()}
columns = ["accuracy", "accuracy_low", "accuracy_high", "log_loss"]
table = pd.DataFrame({n: vars(s.overall) for n, s in scores.items()}).T
assert (table["accuracy"] > 0.15).all()
table[columns].astype(float).round(3)

# %% [markdown]
# Where do they differ? We look scene by scene.

# %% mystnb={"figure": {"name": "fig-one-vs-all", "caption": "Recall of each scene on the test clips of this run, with 95 % intervals over locations, for the four systems."}, "image": {"alt": "For each of the ten scenes four dots with intervals, one for each system, close to each other in some scenes and apart in others."}}
figure, ax = plt.subplots(figsize=(6.5, 5.6))
colours = (plotting.MUTED, "#2a9d8f", plotting.ACCENT, plotting.INK)
for i, (name, one) in enumerate(scores.items()):
    scenes = pd.DataFrame(one.scenes.values(), index=one.scenes.keys())
    labels = [scene.replace("_", " ") for scene in scenes.index]
    plotting.intervals(
        ax, labels, *(100 * scenes[c] for c in columns[:3]),
        colour=colours[i], offset=0.2 * (i - 1.5), label=name)
ax.set(xlabel="recall (%)", xlim=(-3, 103))
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2, fontsize=8)
plotting.show(figure)

# %% [markdown]
# Intervals that overlap do not settle a comparison. All four heard the same places: a hard one is
# hard for all. So we take the difference of two systems place by place, and ask how it spreads. An
# interval that includes zero leaves the sign open.

# %% tags=["nbval-ignore-output"]
pairs = [("student", "members, unfused"), ("student", "teacher, fused"),
         ("members, unfused", "teacher, fused"),
         ("student, control", "teacher, fused")]
rows = {}
for a, b in pairs:
    difference = compare(systems[a], systems[b], clips)
    low, high = difference.accuracy_low, difference.accuracy_high
    assert low <= high
    rows[f"{b} - {a}"] = [*(100 * np.array([difference.accuracy, low, high])),
                          difference.log_loss, not low <= 0 <= high]
names = ["accuracy (points)", "low", "high", "log loss", "excludes zero"]
pd.DataFrame(rows, index=names).T.infer_objects().round(3)

# %% [markdown]
# ### Several seeds
#
# One training decides nothing. The study trained all of it from several seeds on the larger
# embedded corpus (synthetic, not TAU). Its table has two intervals for the difference to the
# student: over test recordings, and over seeds.

# %%
study = store.results("scoreboard")
names = ["student", "student_control", "teacher_unfused", "teacher"]
runs = pd.DataFrame(study["runs"]).query("system in @names")
seeds = runs.pivot(index="seed", columns="system", values="accuracy")[names]
against = pd.DataFrame(study["differences"]).set_index(["base", "system"])
columns = ["accuracy", "accuracy_low", "accuracy_high",
           "seeds_low", "seeds_high"]
control = 100 * against.loc[("student_control", "teacher"), columns]
against = against.loc["student"].loc[names[1:]]
in_nats = against.loc["teacher", ["log_loss", "log_loss_low", "log_loss_high"]]
against = 100 * against[columns].astype(float)
print("difference to the student, in points of macro accuracy")
print(against.round(1).to_string())
print("\nmacro accuracy (%) of each seed")
print((100 * seeds).round(1).to_string())

# %%
rows = {**dict(against.iterrows()), "control": control.astype(float)}
for name, row in rows.items():
    open_ = row["accuracy_low"] <= 0 <= row["accuracy_high"]
    glue(f"{name}_verdict", "includes" if open_ else "excludes")
    for column, value in row.items():
        glue(f"{name}_{column}", float(value))
for name, mean in (100 * seeds.mean()).items():
    glue(f"{name}_mean", float(mean))
for name, mean in runs.groupby("system")["calibration_error"].mean().items():
    glue(f"{name}_calibration", float(mean))
for name, value in in_nats.items():
    glue(f"teacher_{name}", float(value))
glue("teacher_seeds", float(len(seeds)))
losses = runs.groupby("system")["log_loss"].agg(["mean", "min", "max"])
losses.loc[names].round(3).rename_axis("log loss over seeds")

# %% [markdown]
# Over {glue:text}`teacher_seeds:.0f` seeds the mean macro accuracies are
# {glue:text}`student_mean:.1f` % (student), {glue:text}`student_control_mean:.1f` % (control),
# {glue:text}`teacher_unfused_mean:.1f` % (members, unfused) and
# {glue:text}`teacher_mean:.1f` % (fused). The difference of the fused teacher to the
# student is {glue:text}`teacher_accuracy:+.1f` points, with a 95 % interval over recordings from
# {glue:text}`teacher_accuracy_low:+.1f` to {glue:text}`teacher_accuracy_high:+.1f`, which
# {glue:text}`teacher_verdict` zero. Over seeds, the interval of the same difference goes from
# {glue:text}`teacher_seeds_low:+.1f` to {glue:text}`teacher_seeds_high:+.1f`.
#
# For the unfused members the difference is {glue:text}`teacher_unfused_accuracy:+.1f` points, from
# {glue:text}`teacher_unfused_accuracy_low:+.1f` to
# {glue:text}`teacher_unfused_accuracy_high:+.1f`; this interval
# {glue:text}`teacher_unfused_verdict` zero.
#
# How much of that do the ten networks earn, and how much the effort? The fused teacher minus the control,
# one student with the effort of a member, is {glue:text}`control_accuracy:+.1f` points. The interval
# over recordings, from {glue:text}`control_accuracy_low:+.1f` to
# {glue:text}`control_accuracy_high:+.1f`, {glue:text}`control_verdict` zero; the one over seeds goes
# from {glue:text}`control_seeds_low:+.1f` to {glue:text}`control_seeds_high:+.1f`.
#
# Read the first difference with care: it sets a teacher given more effort against a student given less. Only
# the control compares ten networks with one.
#
# How long each network trains was set on validation clips. One choice was not as clean: the rate of the fusion was
# reopened after one seed's test score had shown the fused teacher behind its unfused members, and then settled on
# validation clips.
#
# In log loss the fused teacher differs from the student by {glue:text}`teacher_log_loss:+.2f` nats,
# from {glue:text}`teacher_log_loss_low:+.2f` to {glue:text}`teacher_log_loss_high:+.2f` over
# recordings; below zero is better. A system may be right more often and still be too sure when it
# is wrong.

# %% [markdown]
# ## What there is to distil
#
# A label says "bus" and no more. The teacher's answer says how much like a tram this bus is.
# These *soft targets* are what a student can learn beyond the labels. Which scenes does the
# teacher mix? We average its probabilities over the clips of each scene: on the clips the student
# will learn from, and on the test clips.

# %% mystnb={"figure": {"name": "fig-teacher-answers", "caption": "The fused teacher's mean probability (per cent) for each scene, by true scene. Left: the clips that teacher and student learn from. Right: test clips."}, "image": {"alt": "Two ten by ten heat maps with dark diagonals. In the left one the diagonal holds more than in the right one."}}
known = fusion.answers().joined(fit.identifiers)
new = torch.from_numpy(systems["teacher, fused"])
given = {"clips to learn from": (known.double().softmax(1), fit.labels),
         "test clips": (new, test.labels)}
figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True)
for ax, (name, (p, labels)) in zip(axes, given.items(), strict=True):
    matrix = torch.zeros(10, 10, dtype=p.dtype).index_add_(0, labels, p)
    plotting.confusion(ax, matrix.numpy(), name)
    ax.set_xlabel("the teacher's answer")
    assert torch.allclose(p.sum(1), torch.ones(len(p), dtype=p.dtype))
plotting.show(figure)

# %% [markdown]
# Compare the two diagonals. A network is often surer of clips it has learnt from than of new
# ones, and a student sees only the former answers: less doubt than there is. A *temperature* $T$
# brings small probabilities to light: $\mathrm{softmax}(\text{logits}/T)$. Single clips show it
# best.

# %% mystnb={"figure": {"name": "fig-clips", "caption": "The teacher's answer to three test clips, as it is and at temperature 3: the clip it answers best, the one where its two first choices are closest, and the one where it is most certain of a wrong scene."}, "image": {"alt": "Three bar charts over ten scenes: in the first one bar holds nearly all, in the second two bars are equal, in the third the highest bar is not the true scene."}}
p, names = systems["teacher, fused"], plotting.SCENE_LABELS
truth = test.labels.numpy()
second, first = np.sort(p, axis=1)[:, -2:].T
wrong = np.where(p.argmax(1) == truth, 0, first)
best = p[np.arange(len(p)), truth].argmax()
chosen = best, (first - second).argmin(), wrong.argmax()
soft = torch.from_numpy(p).log().div(3).softmax(1)  # at temperature 3
figure, axes = plt.subplots(1, 3, figsize=(8.6, 3.2), sharey=True)
for ax, clip in zip(axes, chosen, strict=True):
    ax.barh(names, p[clip], color=plotting.INK, label="T = 1")
    ax.plot(soft[clip], names, "o", color=plotting.ACCENT, label="T = 3")
    ax.set(title=f"true: {names[truth[clip]]}", xlim=(0, 1.02))
axes[0].invert_yaxis()
axes[0].legend(fontsize=8)
plotting.show(figure)

# %% [markdown]
# ## May one believe the probabilities?
#
# Soft targets are only as good as the probabilities in them. A member is *calibrated* if, of all
# clips it gives 0.3, three in ten belong to its class {cite}`guo2017calibration`. Smoothing bends
# this on purpose: a member that matches its smoothed targets says $0.05 + 0.9\,p$ where $p$ is
# the truth.

# %%
said = z.sigmoid().numpy().ravel()
own = F.one_hot(test.labels, 10).numpy().ravel()
pairs = pd.DataFrame({"said": said, "own": own})
groups = pairs.groupby((said * 10).astype(int))
reliability = groups.mean()[groups.size() >= 20]
assert reliability.to_numpy().min() >= 0 and reliability.to_numpy().max() <= 1

# %% mystnb={"figure": {"name": "fig-member-reliability", "caption": "Left: share of clips that belong to the class against what the members say, all members together; the solid line is calibration to smoothed targets, the dotted one plain calibration. Right: accuracy against confidence of the four systems."}, "image": {"alt": "Two reliability diagrams: points near a dotted diagonal and a steeper solid line on the left, four lines over confidence on the right."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
left.plot(*reliability.to_numpy().T, "o-", color=plotting.ACCENT)
left.plot([0.05, 0.95], [0, 1], color=plotting.INK, lw=1)
for (name, p), colour in zip(systems.items(), colours, strict=True):
    table = calibration(p, truth, bins=8).table.query("clips >= 10")
    line = table["confidence"], table["accuracy"]
    right.plot(*line, "o-", color=colour, label=name)
for ax in (left, right):
    ax.plot([0, 1], [0, 1], ":", color=plotting.MUTED)
left.set(xlabel="a member's probability", ylabel="share of its class")
right.set(xlabel="confidence", ylabel="accuracy")
right.legend(fontsize=8)
plotting.show(figure)

# %% [markdown]
# Below the dotted line a system is surer than it is right. At study size the mean gap between
# confidence and accuracy, on a scale from 0 to 1, is {glue:text}`student_calibration:.2f` for the
# student, {glue:text}`teacher_unfused_calibration:.2f` for the unfused members and
# {glue:text}`teacher_calibration:.2f` for the fused teacher.
#
# ## Takeaways
# * One-vs-all turns ten classes into ten detectors. Each meets one clip of its class in ten.
# * Smoothing draws the members towards $z = \pm\ln 19$ and no further. A prior they share cancels.
# * The softmax of logit differences is the posterior given exactly one yes, if the members err
#   independently; normalised sigmoids decide alike and are not that posterior.
# * Fusion trains one dense layer on 2,560 numbers and the bodies under it, with BN's statistics
#   at rest. It is ten times the student, and too large for the challenge.
# * Ten against one is a paired question with two doubts, and needs a control with a member's effort.
#   Soft targets tell which scenes sound alike.
#
# ## Exercises
# **1.** All ten members are as certain as smoothing wants them: one says yes at $z = \ln 19$,
# nine say no at $-\ln 19$. How certain is the combined answer?
#
# :::{dropdown} Solution
# The odds are 19 for one and 1/19 for each of nine, so $19 / (19 + 9/19) \approx 0.976$.
# So the combined answer is drawn back from certainty too.
# :::
#
# **2.** A member has learnt nothing at all: it gives every clip the same answer. Which $z$
# minimises its smoothed loss when one clip in ten is of the class?
#
# :::{dropdown} Solution
# The mean target is $0.1 \cdot 0.95 + 0.9 \cdot 0.05 = 0.14$, so
# $z = \ln(0.14/0.86) \approx -1.82$. Ten such members give each scene the same odds, and the
# softmax gives 0.1 each: the prior cancels.
# :::
#
# **3.** In a corpus, one scene is three times as frequent in training as the others. Correct the
# unfused answer for a test set in which all scenes are equally frequent.
#
# :::{dropdown} Solution
# The shares are 3/12 and nine times 1/12. The prior log-odds are $\ln(1/3)$ for the frequent
# scene and $\ln(1/11)$ for the others. Subtract each member's own log-odds from its $z$ before
# the softmax:
# ```python
# share = torch.bincount(fit.labels, minlength=10) / len(fit.labels)
# corrected = (z - torch.logit(share)).softmax(1)
# ```
# (Not exact: smoothing shrinks the shift, and for the nine other members the mixture of "others"
# changes as well.)
# :::
#
# ## What is next
# [Ten experts, or ten of a kind?](ensembles.ipynb) sets rivals of the same size beside this teacher.
