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
# * how to combine ten yes-or-no answers without any training, and why it is a softmax;
# * how the fused teacher is built, and why it cannot enter the challenge itself;
# * whether ten networks beat one that is given the same effort, and whether their probabilities can be believed.
#
# **Prerequisites**: [the student](student.ipynb), [the augmentations](../input/augmentation.ipynb). **Data in**: the
# log-mel features, the trained student, `results/scoreboard.json` of the study, `results/augmentation.json` and
# `results/recipe.json`. **Data out**: the trained teacher, whose
# answers [distillation](../distillation/response.ipynb) hands on.
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
from sklearn.metrics import average_precision_score

from asclib import plotting, store
from asclib.challenge import LIMITS, SCENES
from asclib.complexity import complexity
from asclib.evaluation import calibration, compare, evaluate
from asclib.training import predict

# %%
from asclib.networks import TMSIC, OneVsAllTeacher, one_vs_all
from asclib.plotting import glue
from asclib.runs import Experiment, build

plotting.use_style()
tints = plotting.MUTED, "#2a9d8f", plotting.ACCENT, plotting.INK
experiment = Experiment(profile, data_root, seed)
control, fusion = experiment.control(), experiment.teacher()
build([experiment.student(), control, fusion])
student, teacher = experiment.student().net(), fusion.net()
members = dict(zip(SCENES, experiment.members(), strict=True))
fit, test = experiment.clips("fit"), experiment.clips("test")
clips = experiment.table("test")
assert one_vs_all(torch.tensor([0, 1, 2]), 1).tolist() == [1, 0, 1]

# %% [markdown]
# ## Ten experts
#
# The student answers one question: which of ten scenes? The authors' teacher, TEO-vATMSIC, asks
# ten: is this an airport or not, is this a bus or not, and so on. Each question has a network of
# its own, a *member*: the body of the student with a head of two outputs, [class, others]. This is
# called *one-vs-all* {cite}`rifkin2004defense`. A member's label is 0 for its own scene and 1 for all others.

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
# ### Imbalance and label smoothing
#
# About one clip in ten is of a member's own scene. A member that always says "others" is right nine times in ten, so
# *accuracy* says nothing here, and its validation loss may be the lowest of the first epochs. The authors
# therefore keep the epoch with the best validation accuracy after the tenth; our short profiles keep the last. Nobody weights
# the classes: a member learns the probability, prior included, and the prior will cancel.
#
# The members' cross-entropy is *smoothed*: with 0.1, the target for the two outputs is not (1, 0)
# but (0.95, 0.05) {cite}`szegedy2016rethinking`. With $z$ the
# difference of the two logits and $\sigma(z) = 1/(1 + e^{-z})$, their softmax, the loss of a clip of the class is
#
# $$
# \begin{aligned}
# \ell(z) &= -0.95 \ln \sigma(z) - 0.05 \ln \sigma(-z), \\
# \ell'(z) &= \sigma(z) - 0.95.
# \end{aligned}
# $$
#
# The best answer is $z = \ln(0.95/0.05) = \ln 19 \approx 2.94$. Any greater certainty is punished.

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
# ### How good is each expert?
#
# A detector is judged by how it *ranks* clips. Average precision asks how pure the top of its ranking is; chance is the
# share of the class, one in ten.

# %% tags=["nbval-ignore-output"]
answers = torch.stack(
    [predict(m.net(), test.x) for m in members.values()], dim=1)
z = answers[..., 0] - answers[..., 1]  # (clips, 10): class minus others
histories = {scene: m.history() for scene, m in members.items()}
ap = pd.Series({s: average_precision_score(test.labels == k, z[:, k])
                for k, s in enumerate(SCENES) if (test.labels == k).any()})
prior = np.array([0.1, 0.9])
costs = -prior @ np.log(prior)  # of answering one in ten to every clip
worse = [scene for scene, history in histories.items()
         if history["validation_loss"].iloc[-1] > costs]
glue("worse", ", ".join(worse).replace("_", " ") or "none")
for word, scene in {"best": ap.idxmax(), "worst": ap.idxmin()}.items():
    glue(word, f"{scene.replace('_', ' ')} ({ap[scene]:.2f})")
assert ap.mean() > 0.2

# %% mystnb={"figure": {"name": "fig-member-curves", "caption": "Left: average precision of each member on the test clips of this run; the line is chance. Right: validation loss of each member while it was trained, smoothing not included; dotted, what it costs always to answer one in ten."}, "image": {"alt": "A horizontal bar for each of the ten scenes with a line at ten per cent, and beside it ten curves of validation loss over epochs in the colours of the scenes."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
left.barh(ap.index.str.replace("_", " "), ap,
          color=[plotting.SCENE_COLOURS[scene] for scene in ap.index])
left.axvline(0.1, color="black", lw=1)
left.set(xlabel="average precision", xlim=(0, 1))
left.invert_yaxis()
for scene, history in histories.items():
    right.plot(history["epoch"] + 1, history["validation_loss"],
               color=plotting.SCENE_COLOURS[scene])
right.axhline(costs, color="black", ls=":")
right.set(xlabel="epoch", ylabel="validation loss (nats)")
plotting.show(figure)

# %% [markdown]
# In this run the best detector is that of the {glue:text}`best`, the worst that of the {glue:text}`worst`. A member whose
# curve ends above the dotted line would do better to answer one in ten to every clip; here: {glue:text}`worse`. It
# can still rank clips well, but its probabilities are worth less than none.
#
# ## Ten answers, one decision
#
# Member $k$ says "yes" with probability $p_k = \sigma(z_k)$. How do ten such numbers become one
# distribution over ten scenes? Suppose the members' verdicts are independent coins. A clip has one scene, so look
# only at the outcomes with *exactly one* yes. That yes is member $k$'s with a probability proportional to
#
# $$
# \begin{aligned}
# &p_k \prod_{j \ne k} (1 - p_j) = \frac{p_k}{1 - p_k} \prod_{j} (1 - p_j) \\
# &\quad\propto\; \frac{p_k}{1 - p_k} = e^{z_k}.
# \end{aligned}
# $$
#
# The product over all $j$ is the same for every $k$ and cancels. What remains are the *odds* of
# each member, and divided by their sum they are the softmax of $z$. We check it by
# adding up over all $2^{10}$ outcomes, and set beside it what people often do instead: $p_k / \sum_j p_j$.

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
three = {"counted": posterior, "softmax": example.softmax(0).numpy(),
         "normalised p": p / p.sum()}
pd.DataFrame(three, index=SCENES).round(3)

# %% [markdown]
# The odds separate the scenes more, but the order of the scenes, and so the decision, is the same. A shift of all logits
# changes nothing. The members' common prior of 1:9 is such a shift, of $\ln(1/9)$, and cancels; a prior that only *one*
# member has would multiply that scene's odds.
#
# The assumption is strong, because all members hear the same clip. The probabilities of ten perfect members sum to one
# already, and the odds would exaggerate them: 0.8 and 0.2 would become 0.94 and 0.06.
#
# One-vs-all has an older and larger family. {cite:t}`dietterich1995solving` gave every class a *codeword*
# of zeros and ones. Each place of the word is a question with a network of its own, and the answer is
# the class whose word is nearest to the verdicts. One-vs-all is the code of words with a single one. They
# differ in two places only, so one wrong verdict leaves a tie, which is noticed and cannot be corrected.
# Longer words correct errors (exercise 1), but ask questions such as "airport, metro or park?", which may
# be harder to learn.
#
# ## Fusion
#
# Nothing made the scores of ten experts comparable. So the authors let the teacher learn to weigh them: the heads are
# dropped, the ten embeddings of 256 numbers are put side by side, and one dense layer makes ten logits of them.
#
# The authors, and the `tau` profile, start this layer from random weights and train for up to 200 epochs. The shorter
# profiles start it from the members' own heads, with one or two epochs at a low rate. Its answer is the unfused one
# until training moves it. So little training hardly moves what it names, though it can move how sure it is.

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
# Head and bodies are trained together, with the members in *inference mode*: no dropout, and BN uses its stored
# statistics. The weights move and the statistics must not. To set `requires_grad` to false would not do: BN's averages
# are no parameters, and in training mode they move with every batch that passes.

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
# Would it be allowed to enter the challenge? We count as
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
# Four times the limit of size and eight times that of MACs: it cannot enter. But it may *teach*, because the rules limit
# what is submitted and not what taught it. That is the idea of distillation {cite}`hinton2015distilling`.
#
# ## Do ten beat one?
#
# The student alone cannot tell, because the members were given more than it was. The fairer rival is a *control*: one
# student with a member's epochs and augmentation. Two things still favour one side or the other. Members learn from smoothed labels
# and the control does not, which matters for log loss and calibration; and ten members have ten times as much training in all.
# Here is what each gets, in this run and in the study:

# %%
study = store.results("scoreboard")
plan, there = experiment.profile, study["profile"]
plans = {"student": (plan.student, "student"),
         "student, control": (control.plan, "member"),
         "a member": (plan.member, "member"),
         "fusion": (plan.fusion, "fusion")}
rows = {name: {"epochs here": here.epochs,
               "in the study": there[kind]["epochs"],
               "its rate": f"{there[kind]['learning_rate']:g}",
               "Freq-MixStyle": "yes" if here.batch else "no",
               "smoothing": here.label_smoothing}
        for name, (here, kind) in plans.items()}
pd.DataFrame(rows).T

# %%
tried, = (d for d in store.results("augmentation")["differences"] if [
    d[k] for k in ("recipe", "base", "devices")] == ["Freq-MixStyle", "none",
                                                     "all"])
for end in ("", "_low", "_high"):
    glue(f"mixstyle{end}", 100 * tried[f"accuracy{end}"])
assert tried["accuracy_low"] < 0 < tried["accuracy_high"]
recipe = store.results("recipe")
longer = pd.DataFrame(recipe["runs"]).groupby("recipe").mean()
longer = longer.loc["Freq-MixStyle"] - longer.loc["none"]
heard = ["own_accuracy", "invented_accuracy"]  # validation clips
glue("mixstyle_longer", 100 * longer[heard].mean())
glue("mixstyle_epochs", recipe["epochs"])
glue("mixstyle_seeds", len(recipe["seeds"]))
glue("mixstyle_passes", store.results("augmentation")["passes"])

# %% [markdown]
# In the study a member has more epochs than the student, at the quick profile fewer: the control has less there, not more.
# [Freq-MixStyle](../input/augmentation.ipynb) stands in for the six versions of each clip of a device other than A, on
# which the authors, and `tau`, train. After few epochs it is no advantage to count on: in that chapter's study, at the
# steps of {glue:text}`mixstyle_passes` epochs, it changes {glue:text}`mixstyle:+.1f` points, from
# {glue:text}`mixstyle_low:+.1f` to {glue:text}`mixstyle_high:+.1f` over recordings. With {glue:text}`mixstyle_epochs`
# epochs on the larger corpus it is {glue:text}`mixstyle_longer:+.1f` points on validation clips, as heard and through
# invented devices, in the mean of {glue:text}`mixstyle_seeds` seeds: so it was [chosen for
# all](../distillation/comparison.ipynb). The live run:

# %% tags=["nbval-ignore-output"]
systems = {"student": predict(student, test.x),
           "student, control": predict(control.net(), test.x),
           "members, unfused": z, "teacher, fused": predict(teacher, test.x)}
systems = {n: v.double().softmax(1).numpy() for n, v in systems.items()}
fused, rows = systems["teacher, fused"], {}
for name, p in systems.items():
    one, d = evaluate(p, clips).overall, compare(p, fused, clips)
    rows[name] = [*(100 * np.array([one.accuracy, one.accuracy_low,
                    one.accuracy_high, d.accuracy])).round(1),
                  d.verdict if p is not fused else "", f"{one.log_loss:.2f}"]
    assert one.accuracy > 0.15 and d.verdict == "open"
columns = ["accuracy (%)", "low", "high", "fused minus it", "verdict",
           "log loss"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# One training each leaves every verdict open, whatever the figures.
# The study trained all of it from three seeds, on the larger embedded corpus.
#
# :::{note}
# All figures of studies on this page are of version 0.1.0: its buses sounded duller, and its random streams were
# others. Three trainings are too few for an interval over trainings, so each is shown; intervals are
# over recordings, each at a place of its own. One choice was not clean: the rate of the fusion was reopened after one
# seed's *test* score had shown the fused teacher behind its members, and then settled on validation clips.
# :::

# %%
names = ["student", "student_control", "teacher_unfused", "teacher"]
runs = pd.DataFrame(study["runs"]).query("system in @names")
seeds = 100 * runs.pivot(index="system", columns="seed", values="accuracy")
rest = runs.groupby("system")[["accuracy", "log_loss", "calibration_error"]]
rest = rest.mean().set_axis(["mean", "log loss", "calibration error"], axis=1)
rest[["mean", "calibration error"]] *= 100
whole = seeds.add_prefix("seed ").join(rest).loc[names]
for name, row in whole.iterrows():
    glue(f"{name}_mean", row["mean"])
    glue(f"{name}_calibration", row["calibration error"])
whole.index = ["student", "control", "unfused", "fused"]
whole.round({name: 2 if name == "log loss" else 1 for name in whole})

# %%
against = pd.DataFrame(study["differences"]).set_index(["system", "base"])
pairs = dict(gain=("teacher", "student"),
             gain_one=("student_control", "student"),
             ten=("teacher", "student_control"),
             fusing=("teacher", "teacher_unfused"))
for name, pair in pairs.items():
    row = against.loc[pair]
    each = np.array(row["accuracy_per_seed"])
    glue(f"{name}_worse", f"{(each < 0).sum()} of {len(each)}")
    for end in ("", "_low", "_high"):
        glue(name + end, 100 * row["accuracy" + end])
costlier = against.loc[pairs["ten"], "log_loss_per_seed"]
glue("ten_loss", np.mean(costlier))
assert min(costlier) > 0  # "in every seed", below

# %% [markdown]
# **Ten are not shown to beat one.** The fused teacher reaches {glue:text}`teacher_mean:.1f` %, the control
# {glue:text}`student_control_mean:.1f` %: a difference of {glue:text}`ten:+.1f` points, from {glue:text}`ten_low:+.1f` to
# {glue:text}`ten_high:+.1f` over recordings, and below zero in {glue:text}`ten_worse` seeds. Its log loss is
# higher by {glue:text}`ten_loss:.2f` nats, and higher in every seed. What the teacher gains over the plain student
# ({glue:text}`gain:+.1f` points) a single network gains as well, given a member's epochs and augmentation
# ({glue:text}`gain_one:+.1f` points).
#
# **Nor does fusion help**, as it is done here. Fused minus unfused is {glue:text}`fusing:+.2f` points
# ({glue:text}`fusing_low:+.2f` to {glue:text}`fusing_high:+.2f`), below zero in {glue:text}`fusing_worse` seeds. One epoch
# at a rate of 10⁻⁵ could hardly do more; exercise 3 tries the authors' way.
#
# Which scenes does the teacher know better than the control, and which worse?

# %%
recall = pd.DataFrame({
    name: pd.DataFrame(study["pooled"][name]).set_index("group")["accuracy"]
    for name in ("student_control", "teacher")}).loc[list(SCENES)] * 100
change = recall["teacher"] - recall["student_control"]
lost, won = change.idxmin(), change.idxmax()
row = pd.Series(study["confusion"]["teacher"][SCENES.index(lost)], SCENES)
said = {"lost": lost, "won": won, "taken": row.drop(lost).idxmax()}
for name, scene in said.items():
    glue(f"scene_{name}", scene.replace("_", " "))
    glue(f"points_{name}", change[scene])
assert change[lost] < 0 < change[won]

# %% mystnb={"figure": {"name": "fig-one-vs-all", "caption": "Study, embedded corpus: recall of each scene, mean of three seeds, of the control and of the fused teacher. Eleven test recordings a scene, each at a place of its own."}, "image": {"alt": "For each of the ten scenes two dots joined by a line: in most scenes the dots are close, and in the airport the teacher's is far to the left of the control's."}}
figure, ax = plt.subplots(figsize=(6.5, 3.6))
labels = plotting.SCENE_LABELS
ax.hlines(labels, *recall.to_numpy().T, color=plotting.MUTED, lw=2)
styles = {"student_control": (plotting.ACCENT, "control, one network"),
          "teacher": (plotting.INK, "fused teacher")}
for name, (colour, label) in styles.items():
    ax.plot(recall[name], labels, "o", color=colour, label=label)
ax.set(xlabel="recall (%)", xlim=(0, 102))
ax.invert_yaxis()
ax.legend(loc="lower left", fontsize=8)
plotting.show(figure)

# %% [markdown]
# The teacher loses most in the {glue:text}`scene_lost` ({glue:text}`points_lost:+.0f` points), which it mostly takes for a
# {glue:text}`scene_taken`, and gains most in the {glue:text}`scene_won` ({glue:text}`points_won:+.0f`). With eleven places a
# scene these are leads, not results.
#
# ## What there is to distil
#
# A label says "bus" and no more; the teacher's answer says how much like a tram this bus is. A student can learn
# these *soft targets* beyond the labels. How much probability do they give to
# the true scene, and which scenes do they mix most?

# %% tags=["nbval-ignore-output"]
known = fusion.answers().joined(fit.identifiers).double().softmax(1).numpy()
given = {"fit": (known, fit.labels), "test": (fused, test.labels)}
for name, (p, labels) in given.items():
    one_hot = F.one_hot(labels, 10).double().numpy()
    count = np.maximum(one_hot.sum(0), 1)
    share = 100 * one_hot.T @ p / count[:, None]  # true, answered
    own = share.diagonal().mean()
    k, j = divmod((share - 100 * np.eye(10)).argmax(), 10)
    scenes = [plotting.SCENE_LABELS[i] for i in (k, j)]
    glue(f"{name}_own", own)
    glue(f"{name}_mixed", f"{share[k, j]:.0f} %, for {scenes[1]} "
         f"on clips of {scenes[0]}")
assert (known[np.arange(len(known)), fit.labels].mean()
        > fused[np.arange(len(fused)), test.labels].mean())

# %% [markdown]
# On new clips the true scene gets {glue:text}`test_own:.0f` % of the probability. The most that a wrong scene gets
# is {glue:text}`test_mixed`. On the clips that teacher and student learn from the true scene gets
# {glue:text}`fit_own:.0f` %: a student is shown less doubt than there is.
#
# Three test clips to look at and to hear. Would you have known the last one better?

# %% mystnb={"figure": {"name": "fig-clips", "caption": "The teacher's answer to three test clips of this run: the one it answers best, the one where its two first choices are closest, and the one where it is most certain of a wrong scene. The bar of the true scene is red."}, "image": {"alt": "Three bar charts over ten scenes: in the first one bar holds nearly all, in the second two bars are equal, in the third the highest bar is not the true scene."}}
names, truth = plotting.SCENE_LABELS, test.labels.numpy()
second, first = np.sort(fused, axis=1)[:, -2:].T
wrong = np.where(fused.argmax(1) == truth, 0, first)
best = fused[np.arange(len(fused)), truth].argmax()
chosen = {"answered best": best, "undecided": (first - second).argmin(),
          "certain and wrong": wrong.argmax()}
figure, axes = plt.subplots(1, 3, figsize=(8.6, 3), sharey=True)
for ax, (title, clip) in zip(axes, chosen.items(), strict=True):
    bars = ax.barh(names, fused[clip], color=plotting.INK)
    bars[truth[clip]].set_color(plotting.ACCENT)
    ax.set(title=title, xlabel="probability", xlim=(0, 1))
axes[0].invert_yaxis()
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
from asclib.corpus import read_audio
from asclib.features import resample

files = clips["filename"].iloc[list(chosen.values())]
waves = [read_audio(experiment.corpus.root / name) for name in files]
heard = resample(torch.tensor(np.stack(waves)), 44_100, 8_000).numpy()
assert heard.shape == (3, 8_000)
titles = [f"{title} ({names[truth[k]]})" for title, k in chosen.items()]
plotting.players(dict(zip(titles, heard, strict=True)), 8_000)

# %% [markdown]
# ## May one believe the probabilities?
#
# A member is *calibrated* if, of all
# clips it gives 0.3, three in ten belong to its class {cite}`guo2017calibration`. Smoothing bends
# this on purpose: where the truth is $p$, a member that matches its smoothed targets says $0.05 + 0.9\,p$.
# We group the members' answers by what they say, count how many belong to the class, and draw the locations
# again to see how far that share could move.

# %%
from asclib.evaluation.resampling import location_weights
from asclib.evaluation.systems import Clips, locations

place = pd.factorize(locations(clips))[0]
member, own = z.sigmoid().numpy(), F.one_hot(test.labels, 10).numpy()
edges = np.quantile(member, [0.3, 0.6, 0.8, 0.9, 0.95, 0.98])
group = np.digitize(member, edges)
n, hits, sums = np.array([  # (groups, locations) each
    [np.bincount(place, ((group == k) * what).sum(1)) for k in range(7)]
    for what in (1.0, own, member)])
share, said = hits.sum(1) / n.sum(1), sums.sum(1) / n.sum(1)
weights = location_weights(Clips(truth, place), 1_000,
                           np.random.default_rng(0)).T
drawn = hits @ weights / np.maximum(n @ weights, 1)
low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
bars = np.maximum([share - low, high - share], 0)

# %% mystnb={"figure": {"name": "fig-member-reliability", "caption": "Left: share of answers whose clip is of the class against what the members say, all members together, with 95 % intervals over locations and the number of answers; the solid line is what smoothing asks for, the dotted one plain calibration. Right: accuracy against confidence of the four systems, in groups of at least 20 clips; a larger dot is more clips."}, "image": {"alt": "Two reliability diagrams: dots with vertical bars and numbers beside a dotted diagonal and a steeper solid line on the left; four lines with dots of different sizes on the right."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8))
left.errorbar(said, share, bars, fmt="o", color=plotting.ACCENT, capsize=3)
for *at, count in zip(said, high + 0.03, n.sum(1), strict=True):
    left.text(*at, f"{count:,.0f}", fontsize=7, rotation=90, ha="center")
left.plot([0.05, 0.95], [0, 1], color=plotting.INK, lw=1)
for (name, p), tint in zip(systems.items(), tints, strict=True):
    part = calibration(p, truth, bins=8).table.query("clips >= 20")
    x, y = part["confidence"], part["accuracy"]
    right.plot(x, y, color=tint, label=name)
    right.scatter(x, y, part["clips"] / 3, tint)
for ax, of in ((left, "a member's probability"), (right, "confidence")):
    ax.plot([0, 1], [0, 1], ":", color=plotting.MUTED)
    ax.set(xlabel=of, ylabel="share that is right")
right.legend(fontsize=8, loc="lower right")
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
unfused = systems["members, unfused"]
found = {"asked": (said[-1] - 0.05) / 0.9, "top_said": said[-1],
         "top_share": share[-1], "confidence": 100 * unfused.max(1).mean(),
         "right": 100 * (unfused.argmax(1) == truth).mean()}
for name, value in found.items():
    glue(name, value)
assert found["confidence"] < found["right"]
assert found["top_share"] > found["asked"]

# %% [markdown]
# On the right, above the dotted line a system is right more often than it says, and below it less often. The unfused members
# of this run are too modest: on average they are {glue:text}`confidence:.0f` % sure and right on {glue:text}`right:.0f` %.
# Smoothing asks for modesty, but not for that much. In the highest group on the left single members say
# {glue:text}`top_said:.2f`. Smoothing would make that mean a share of {glue:text}`asked:.2f`; the share is {glue:text}`top_share:.2f`.
# At the low end it is the other way round: what members call unlikely is unlikelier still. They are pulled to the middle at both ends.
#
# In the study, the mean gap between confidence and accuracy is {glue:text}`teacher_unfused_calibration:.1f` points for the
# unfused members, {glue:text}`teacher_calibration:.1f` for the fused teacher and {glue:text}`student_control_calibration:.1f`
# for the control. The single network is ahead here as well; but it learnt from plain labels, and the members from smoothed ones.
#
# ## Takeaways
# * **Ten are not shown to beat one.** The teacher minus one student with a member's effort: {glue:text}`ten:+.1f` points
#   ({glue:text}`ten_low:+.1f` to {glue:text}`ten_high:+.1f` over recordings), and {glue:text}`ten_loss:.2f` nats
#   more log loss. Three seeds of version 0.1.0 do not say that experts never help, nor what they do on TAU.
# * Its gain over the plain student, {glue:text}`gain:+.1f` points, needs no ten: one network with the same effort gains
#   {glue:text}`gain_one:+.1f`.
# * Fusion of one epoch changes {glue:text}`fusing:+.1f` points. That says nothing of the authors' fusion.
# * The softmax of logit differences is the posterior given exactly one yes, *if* the members err independently. A common
#   prior cancels.
# * The unfused members of this run are {glue:text}`confidence:.0f` % sure and {glue:text}`right:.0f` % right, more modest
#   than smoothing asks. It reaches a student that learns from their probabilities; were all members bent alike, the decision
#   would not feel it.
#
# ## Exercises
# **1.** How many wrong verdicts can one-vs-all correct, and how many can a random code of 15 questions?
#
# :::{dropdown} Solution
# A code whose words differ in at least $d$ places corrects $\lfloor (d - 1) / 2 \rfloor$ errors.
# ```python
# def distance(code):
#     pairs = itertools.combinations(code, 2)
#     return min(np.abs(a - b).sum() for a, b in pairs)
#
# rng = np.random.default_rng(0)
# tried = (rng.integers(0, 2, (10, 15)) for _ in range(2_000))
# for code in (np.eye(10, dtype=int), max(tried, key=distance)):
#     print(distance(code), (distance(code) - 1) // 2)
# ```
# One-vs-all has $d = 2$ and corrects none. The best of these random codes has $d = 6$ and corrects two, with half as many
# networks again.
# :::
#
# **2.** In a corpus, one scene is three times as frequent in training as the others. Correct the
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
# **3.** (An hour.) Fuse as the authors did: a head of random weights, Adam at a constant 10⁻³, batches of 64, up to
# 200 epochs, stopped when the validation loss has not fallen for 20. Begin with the head alone, on stored embeddings. Is it
# better than the members' own answers? Does the start matter? Then let all weights move.
#
# :::{dropdown} Solution
# ```python
# val = experiment.clips("validation")
# base = OneVsAllTeacher([m.net() for m in members.values()]).eval()
# seen, held = (predict(base, c.x, base.embed) for c in (fit, val))
# torch.manual_seed(seed)
# heads = {"members": base.head, "random": torch.nn.Linear(2_560, 10)}
# for name, head in heads.items():
#     adam, losses = torch.optim.Adam(head.parameters(), 1e-3), []
#     for epoch in range(200):
#         with torch.no_grad():
#             losses.append(F.cross_entropy(head(held), val.labels).item())
#         if epoch - np.argmin(losses) >= 20:
#             break
#         for rows in torch.randperm(len(seen)).split(64):
#             adam.zero_grad()
#             F.cross_entropy(head(seen[rows]), fit.labels[rows]).backward()
#             adam.step()
#     print(f"{name}: {losses[0]:.2f} before the first epoch, "
#           f"{min(losses):.2f} after {np.argmin(losses)}")
# ```
# At the quick profile both fall below the members' own validation loss within about ten epochs, and end close together:
# a head trained to the end helps on validation clips, and its start hardly matters. Whether it does on test clips is another
# question, because these clips chose the epoch. With all weights in motion it is a run, ten networks an epoch:
# ```python
# from dataclasses import replace
# from asclib.runs.experiment import Fused
#
# plan = replace(experiment.profile.fusion, epochs=20, learning_rate=1e-3,
#                schedule="constant", batch_size=64)
# run = replace(fusion, network=Fused(experiment.members(), "random"), plan=plan)
# print(run.history()["validation_loss"].round(2).tolist())
# ```
# Set the lowest of these beside the control's, `control.history()["validation_loss"].min()`, before you look at test clips.
# :::
#
# ## What is next
# [Ten experts, or ten of a kind?](ensembles.ipynb) sets rivals of the same size beside this teacher.
