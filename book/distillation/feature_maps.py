# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Between the sound and the answer
#
# ## What you will learn
# * what else of a teacher can be learnt from, and what it costs to keep;
# * three ways to compare maps that differ in size: hints (FitNets), attention, and OFD;
# * how much of a teacher's map is in the student's already, before any lesson;
# * which layers of the student a lesson reaches, and what each lesson cannot see;
# * what the lessons do to a student's maps and to its embedding.
#
# **Prerequisites**: [the student](../networks/student.ipynb), [the teacher](../networks/teacher.ipynb) and
# [its answers](response.ipynb).
#
# **Data in**: the log-mel features of the corpus, the trained student and teacher.
#
# **Data out**: four students, each trained for a third of the profile's epochs: `fitnets`,
# `fitnets_deep`, `attention` and `ofd`; and one taught by labels alone for as long.
#
# **In the library**: `asclib.distillation.losses.feature_maps`, `asclib.networks.outputs`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from asclib import plotting
from asclib.distillation import TECHNIQUES, losses
from asclib.evaluation import compare, verdict
from asclib.networks import TMSIC, look
from asclib.plotting import glue
from asclib.runs import PROFILES, Experiment, build
from asclib.training import predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## What a teacher could show
#
# Between the sound and the answer lie maps. A teacher that shows them says *where* it looked, not only
# what it concluded. TMSIC has four, and an embedding of 256 numbers before its head. Our teacher is
# ten such networks, so each of its outputs is ten outputs side by side.
#
# How large are they? The maps of the first layers have 140 mel bands and 8 frames, those of the last
# 70 and 2. We average all of them over the last map's grid. The [teacher answers
# once](response.ipynb), so its maps are computed once, written down in two bytes a number under the
# clips' names, and read again in every epoch. Would that still do for the 139,620 training clips of TAU?

# %%
student, teacher = experiment.student().net(), experiment.teacher().net()
test, fit = experiment.clips("test"), experiment.clips("fit")
clips = PROFILES["tau"].corpus.train
rows = {}
with torch.no_grad():
    for name in ("logits", "embedding", "conv1", "conv2", "conv3", "conv4"):
        ours, theirs = (look(net, test.x[:2], name)[1]
                        for net in (student, teacher))
        size = 2 * theirs[0].numel()
        rows[name] = {"student": "x".join(map(str, ours.shape[1:])),
                      "teacher": "x".join(map(str, theirs.shape[1:])),
                      "kB a clip": f"{size / 1e3:,.1f}",
                      "GB for TAU": f"{size * clips / 1e9:,.2f}"}
pd.DataFrame(rows).T

# %% [markdown]
# Without the pooling, the map of the second layer would be eight times as large. That is the price of
# features as teachers: disk, and a choice of the layer.
#
# ### Where they look
#
# One clip through both networks: where is each of them active? The picture is the mean over the
# channels of the squared map, which {cite:t}`zagoruyko2017paying` call *attention*.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-attention", "caption": "Attention of the last map, averaged over its two frames: ten test clips, one of each scene, student and teacher, each map scaled to unit length before the average."}, "image": {"alt": "Ten small panels, one a scene, each with two curves over 70 mel bands, one for the student and one for the teacher."}}
def attention(x):
    return F.normalize(x.pow(2).mean(dim=1).flatten(1), dim=1)


firsts = [int((test.labels == k).nonzero()[0]) for k in test.labels.unique()]
with torch.no_grad():
    both = [look(net, test.x[firsts], "conv4")[1]
            for net in (student, teacher)]
figure, axes = plt.subplots(2, 5, figsize=(8.5, 3.6), sharex=True, sharey=True)
for k, ax in enumerate(axes.flat[: len(firsts)]):
    for x, colour in zip(both, (plotting.INK, plotting.ACCENT), strict=True):
        ax.plot(attention(x)[k].view(70, 2).mean(1), color=colour, lw=1.2)
    ax.set_title(plotting.SCENE_LABELS[test.labels[firsts[k]]], fontsize=9)
figure.supxlabel("mel bands, in pairs", fontsize=9)
figure.legend(["student", "teacher"], loc="outside upper right", ncols=2)
plotting.show(figure)
assert torch.isfinite(attention(both[0])).all()

# %% [markdown]
# The student's last map has 16 channels, the teacher's 160. Nothing can be subtracted. Each of the
# following lessons gets round that in its own way.
#
# ## FitNets: a map between the maps
#
# {cite:t}`romero2015fitnets` put a learnt map between: a 1×1 convolution $r$, which turns the student's
# channels at a place into the teacher's at the same place,
#
# $$ L_\text{hint} = \operatorname{mean}\,\big(r(s) - t\big)^2 . $$
#
# It is trained along with the student and thrown away after the lesson. The hint comes first and alone,
# without a label; then a second stage teaches by answers.
#
# On a batch small enough to read: two clips, at three places each; the student has one channel, the
# teacher two. What is the best $r$, and what hint is left that no $r$ can give?

# %%
s = torch.tensor([[[1.0, 2.0, 3.0]], [[0.0, 1.0, 2.0]]])[..., None]
t = torch.tensor([[[2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],
                  [[0.0, 2.0, 4.0], [0.0, 1.0, 0.0]]])[..., None]
places = s.permute(0, 2, 3, 1).reshape(-1, 1)
places = torch.cat([places, torch.ones(len(places), 1)], dim=1)  # the bias
wanted = t.permute(0, 2, 3, 1).reshape(-1, 2)
best = torch.linalg.lstsq(places, wanted).solution
r = (places @ best).view(2, 3, 1, 2).permute(0, 3, 1, 2)
pair = pd.DataFrame(torch.cat([places[:, :1], wanted, places @ best], 1),
                    columns=["s", "t1", "t2", "r1", "r2"]).round(2) + 0.0
by_hand = ((r - t) ** 2).mean()
torch.testing.assert_close(by_hand, losses.hint(r, t))
print(f"hint by hand {by_hand:.4f}, asclib {losses.hint(r, t):.4f}")
pair

# %% [markdown]
# A row is a place. The teacher's first channel is twice the student's: $r$ gives it, and nothing needs to
# be learnt. The second has no straight relation to the student's channel. What remains there is what the
# hint asks the *student* for.
#
# ### At which depth?
#
# So of two trained networks one can ask, before any lesson: how much of the teacher's map is a linear
# function of the student's already? We fit $r$ by least squares on clips to learn from and take its
# coefficient of determination $R^2$ on test clips: 1 when nothing is left to learn, 0 when $r$ does no
# better than a constant.

# %%
generator = torch.Generator().manual_seed(0)
samples = [part.x[torch.randperm(len(part.labels), generator=generator)[:48]]
           for part in (fit, test)]


def flat(x):
    """A map (clips, channels, mels, frames) as (places, channels)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()


def explained(net, layer, theirs):
    """R² of the teacher's map from the student's, on clips not fitted."""
    with torch.no_grad():
        learn, tried = (flat(look(net, x, layer)[1]) for x in samples)
    learn, tried = (F.pad(x, (0, 1), value=1.0) for x in (learn, tried))
    found = torch.linalg.lstsq(learn, theirs[0], driver="gelsd").solution
    rest = (tried @ found - theirs[1]).pow(2).sum()
    return float(1 - rest / (theirs[1] - theirs[1].mean(0)).pow(2).sum())


# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-explained", "caption": "How much of the teacher's maps is a linear function of the maps of the student alone, by depth, on test clips; the same for a student with its initial weights."}, "image": {"alt": "Two lines over the four layers, one for the trained and one for the untrained student, between zero and one."}}
layers = ["conv1", "conv2", "conv3", "conv4"]
with torch.no_grad():
    theirs = {layer: [flat(look(teacher, x, layer)[1]) for x in samples]
              for layer in layers}
torch.manual_seed(seed)
figure, ax = plt.subplots(figsize=(6, 2.8))
known = {}
for name, net in {"trained": student, "untrained": TMSIC().eval()}.items():
    known[name] = [explained(net, layer, theirs[layer]) for layer in layers]
    ax.plot(layers, known[name], "o-", label=name)
ax.set(ylabel="R² on test clips", xlabel="layer", ylim=(None, 1))
ax.legend()
plotting.show(figure)
assert np.isfinite(list(known.values())).all()

# %% [markdown]
# This is the choice of the depth in one picture. Near the sound, two networks share much simply because
# they hear the same; compare with the untrained student to see how much. A hint there asks for little.
# Deeper, they have less in common, a hint asks for more, and it may ask for what 16 channels cannot hold. AI4EDGE gave
# the hint at the second layer, and in a "deeper" variant later; here `fitnets` is at `conv2`,
# `fitnets_deep` at `conv4`. One need not choose: `fitnets_layers` gives hints at `conv2`, `conv3` and `conv4` at
# once, each with a learnt map of its own, and adds up the three losses. Zagoruyko and Komodakis, next, ask for
# several layers as well.
#
# ## Attention: no channels at all
#
# {cite:t}`zagoruyko2017paying` sum the channels away: $a = \frac{1}{C} \sum_c x_c^2$ has none, and it is
# scaled to unit length, so that a loud map counts like a quiet one,
#
# $$ L_\text{attention} = \operatorname{mean}\,\Big( \frac{a^\text{student}}{\lVert a^\text{student} \rVert}
#     - \frac{a^\text{teacher}}{\lVert a^\text{teacher} \rVert} \Big)^2 . $$
#
# Three clips, two channels, two mel bands, one frame:

# %%
s = torch.tensor([[[2.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]],
                  [[0.0, 1.0], [0.0, 3.0]]])[..., None]
t = torch.tensor([[[3.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]],
                  [[0.0, 1.0], [0.0, 1.0]]])[..., None]
rows = {"student": attention(s), "teacher": attention(t)}
by_hand = (rows["student"] - rows["teacher"]).pow(2).mean()
torch.testing.assert_close(by_hand, losses.attention(s, t))
print(f"attention {by_hand:.4f}, asclib {losses.attention(s, t):.4f}")
pd.concat({name: pd.DataFrame(x.numpy(), ["clip 1", "clip 2", "clip 3"],
                              ["band 1", "band 2"])
           for name, x in rows.items()}, axis=1).round(2)

# %% [markdown]
# Of clip 2 the student looks at the wrong band. That the teacher has another number of channels, or
# louder ones, would not matter. `attention` asks for the last map, `attention_layers` for all four.
#
# ## OFD: what is negative will be zero
#
# The *comprehensive overhaul of feature distillation* {cite}`heo2019comprehensive` looks at the map
# *before* its last ReLU. What is negative there will become zero; how negative does not matter. So the
# teacher's value $t$ becomes $\max(t, m)$, where the *margin* $m < 0$ is what the channel shows on
# average when it is negative. And a student that is already below a negative target is left in peace:
#
# $$ d = \begin{cases} 0 & s \le \max(t, m) \le 0 \\ (s - \max(t, m))^2 & \text{else,} \end{cases} $$
#
# summed over a map, averaged over the batch. A channel with four places, for one clip:

# %%
t = torch.tensor([2.0, -0.2, -0.8, -2.0]).view(1, 1, 4, 1)
s = torch.tensor([1.0, 0.3, -1.5, -0.5]).view(1, 1, 4, 1)
m = t[t < 0].mean()
target = torch.maximum(t, m)
asked = ~((s <= target) & (target <= 0))
part = asked * (s - target) ** 2
torch.testing.assert_close(m.view(1, 1, 1), losses.negative_mean(t))
torch.testing.assert_close(part.sum(), losses.margin(s, t, m))
print(f"margin {m:.2f}; by hand {part.sum():.4f}, "
      f"asclib {losses.margin(s, t, m):.4f}")
table = {"teacher": t, "target": target, "student": s, "asked": part}
pd.DataFrame({name: x.flatten().numpy() for name, x in table.items()}).T

# %% [markdown]
# In the third place nothing is asked, although the student is far from the teacher. In the fourth the
# student should be more negative, but no more than the margin.

# %% mystnb={"figure": {"name": "fig-ofd", "caption": "Left: the OFD loss of one value of the student for three values of the teacher, with a margin of −0.5. Right: what the teacher's last map holds before its ReLU on 48 test clips; the dotted line is the mean of its channels' margins."}, "image": {"alt": "Left, three curves over the student's value: for a positive teacher a full parabola, for two negative teachers a half parabola, flat at zero on the left. Right, a histogram of values with a dotted line left of zero."}}
values = torch.linspace(-2, 2, 401)
figure, (ax, right) = plt.subplots(1, 2, figsize=(8, 3))
for t_value, colour in ((1.0, plotting.ACCENT), (-0.2, plotting.INK),
                        (-1.5, plotting.MUTED)):
    one = torch.full((1, 1, 1, 1), t_value)
    curve = [losses.margin(v.view(1, 1, 1, 1), one, -0.5) for v in values]
    ax.plot(values, curve, color=colour, label=f"teacher {t_value:+.1f}")
ax.set(xlabel="student", ylabel="loss", ylim=(-0.1, 4))
ax.legend(loc="upper center", fontsize=9)
with torch.no_grad():
    before = look(teacher, samples[1], "norm4")[1]
right.hist(before.flatten(), np.linspace(-2, 4, 61), color=plotting.MUTED)
right.axvline(losses.negative_mean(before).mean(), ls=":", c=plotting.INK)
right.set(xlabel="value before the ReLU", ylabel="count", yticks=[])
plotting.show(figure)

# %% [markdown]
# ## What a lesson cannot see, and what it cannot reach
#
# Let the student be a changed copy of the teacher. Which change does which loss notice? All three are
# shown the map before the ReLU; hint and attention rectify it first.

# %%
m = torch.randn(8, 6, 10, 2, generator=generator)
changed = {"as it is": m, "ten times larger": 10 * m,
           "channels reversed": m.flip(1), "a band higher": m.roll(1, 2),
           "negatives doubled": torch.where(m < 0, 2 * m, m),
           "negatives halved": torch.where(m < 0, m / 2, m)}
rows = {name: {"hint": losses.hint(x.relu(), m.relu()),
               "attention": losses.attention(x.relu(), m.relu()),
               "OFD": losses.margin(x, m, losses.negative_mean(m))}
        for name, x in changed.items()}
pd.DataFrame(rows).T.astype(float).round(
    {"hint": 2, "attention": 4, "OFD": 0})

# %% [markdown]
# Attention does not care for loudness nor for the order of channels. OFD is the only one to see the
# negative side, and half of it: twice as negative is negative enough, half as negative is not. All of
# them see a pattern that has moved. (For hint and OFD the learnt map $r$ would forgive the order of
# channels and the loudness as well.)
#
# Second, a lesson on a map moves only the layers *before* it. We take the gradient of each lesson with
# respect to the student's weights on 16 clips, layer by layer, as a share of the whole.

# %%
from asclib.distillation.stages import Connected


def lesson(stage, x):
    """The loss of a stage for a few clips, through its learnt map if any."""
    output, = stage.outputs  # of one layer
    guide = look(teacher, x, output)[1].detach()
    torch.manual_seed(seed)
    ours = look(student, x, output)[1]
    if stage.connect:
        sizes = ours.shape[1], guide.shape[1]
        net = Connected(student, [sizes], both=False, is_map=True)
        ours = net.ours[0](ours)
    more = ({"margin": losses.negative_mean(guide)}
            if "margin" in stage.needs else {})
    return stage.loss(ours, guide, **more)


# %% tags=["nbval-ignore-output"]
names = ("fitnets", "fitnets_deep", "attention", "ofd")
weights = {n: w for n, w in student.named_parameters() if "weight" in n}
rows = {}
for name in names:
    loss = lesson(TECHNIQUES[name][0], samples[0][:16])
    parts = torch.autograd.grad(loss, weights.values(), allow_unused=True,
                                materialize_grads=True)
    pull = {n: float(g.norm()) for n, g in zip(weights, parts, strict=True)}
    rows[name] = {n.split(".")[0]: pull[n] for n in pull if "norm" not in n}

# %% tags=["nbval-ignore-output"]
reach = pd.DataFrame(rows).T
assert (reach.loc["fitnets", ["conv3", "conv4", "dense", "head"]] == 0).all()
assert (reach[["dense", "head"]] == 0).all(axis=None)
(100 * reach.div(reach.sum(axis=1), axis=0)).round(0).astype(int)

# %% [markdown]
# `dense` and `head` get nothing from any of them: somebody else must teach these, the labels at the same
# time (`attention`, `ofd`) or the answers afterwards (`fitnets`). OFD is taught in both ways: beside the labels, as
# its authors do, and alone with the answers in a second stage, as AI4EDGE ran it, at the second layer
# (`ofd_response`) or deeper (`ofd_response_deep`). As stages:

# %%
more = ("fitnets_layers", "attention_layers", "ofd_response",
        "ofd_response_deep")
rows = [{"technique": name, "stage": number} | stage.settings()
        for name in (*names, *more)
        for number, stage in enumerate(TECHNIQUES[name], 1)]
for row in rows:  # several layers in one word
    if isinstance(row.get("on"), list):
        first, last = row["on"][0], row["on"][-1]
        row["on"] = first if first == last else f"{first}–{last[-1]}"
columns = ["loss", "on", "connect", "weight", "hard"]
unnamed = {"on": "logits", "connect": ""}
pd.DataFrame(rows).set_index(["technique", "stage"])[columns].fillna(unnamed)

# %% [markdown]
# The weights are those of the authors or near those in use elsewhere. A hint that is taught alone needs none: the
# $10^{-4}$ is AI4EDGE's, and Adam divides it out again. They span seven orders of magnitude because every loss has
# its own unit. None was tuned here: a comparison of techniques would have to give each the same budget for that
# first. The first four are trained below.
#
# ## Four lessons, live
#
# Four lessons take their time. So that it stays below a minute, everybody in this section trains for a
# **third** of the profile's epochs, the student alone as well. FitNets have two stages and train twice as
# long as the others, which is their published form and no fair comparison.

# %%
usual = experiment.profile.stage
plan = replace(usual, epochs=usual.epochs // 3)
runs = {"student alone": replace(experiment.student(), plan=plan)}
runs |= {name: experiment.taught(name, plan=plan) for name in names}
build(list(runs.values()))
nets = {name: run.net() for name, run in runs.items()}
views = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
print(f"{plan.epochs} epochs a stage instead of {usual.epochs}")

# %% mystnb={"figure": {"name": "fig-features-curves", "caption": "Live run, a third of the epochs: validation macro accuracy of the student alone and of four taught students. The dotted line ends the hint of the two FitNets, during which no label and no answer is shown."}, "image": {"alt": "Five curves over epochs; the two FitNets curves run twice as long, with a dotted line where their hint ends."}}
figure, ax = plt.subplots(figsize=(7, 3))
for name, run in runs.items():
    history = run.history()
    epochs = np.arange(1, len(history) + 1)
    ax.plot(epochs, 100 * history["validation_accuracy"], label=name)
ax.axvline(plan.epochs + 0.5, color="black", ls=":")
ax.set(xlabel="epoch", ylabel="validation accuracy (%)")
ax.legend(fontsize=9)
plotting.show(figure)

# %% [markdown]
# Did the lessons arrive, on clips that nobody trained on? The first two columns repeat the question of
# {numref}`fig-explained`: how much of the teacher's map is a linear function of the student's? A hint that
# arrived *and stayed* shows at its own depth; the answers that follow it are free to overwrite it.
# `accuracy` is against the student alone, in points, with an interval over locations.

# %%
with torch.no_grad():  # the head turns an embedding into logits
    answers = {name: net.head(views[name]).double().softmax(1).numpy()
               for name, net in nets.items()}

# %% tags=["nbval-ignore-output"]
rows, table = {}, experiment.table("test")
for name, net in nets.items():
    with torch.no_grad():
        maps = [look(one, samples[1], "conv4")[1] for one in (net, teacher)]
    gap = compare(answers["student alone"], answers[name], table)
    rows[name] = {"R² conv2": explained(net, "conv2", theirs["conv2"]),
                  "R² conv4": explained(net, "conv4", theirs["conv4"]),
                  "attention, in 1e-5": 1e5 * losses.attention(*maps).item(),
                  "accuracy": 100 * gap.accuracy,
                  "low": 100 * gap.accuracy_low,
                  "high": 100 * gap.accuracy_high}
assert np.isfinite(pd.DataFrame(rows).to_numpy()).all()
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# A lesson can arrive and harm: a negative `accuracy` whose interval excludes zero says so, for this run and
# this length. Weights of 1,000 come from larger networks and longer trainings, and where they are too
# much, the student copies its teacher's gaze and neglects the answer.
#
# ### Before and after
#
# *Purity* is the share of a clip's ten nearest neighbours that are of its scene, clips of its own
# recording left aside; chance is about ten per cent. It is taken from all numbers of an embedding.
# The planes show two: each network's directions of largest variance, turned towards the first.

# %% mystnb={"figure": {"name": "fig-features-embedding", "caption": "Live run, a third of the epochs: embeddings of the test clips before (student alone) and after each lesson, and the teacher's. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Six scatter plots of coloured dots, one for each of five students and one for the teacher, with the purity of the neighbourhoods in each title."}}
views["teacher"] = predict(teacher, test.x, teacher.embed)
figure, purity = plotting.embeddings(views, table)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
purity.round(1)

# %% [markdown]
# Where the interval of `change` includes zero, these clips do not tell the two apart, whatever the eye
# believes it sees. One training of each settles nothing: seeds differ, and so do the lengths of training.
#
# ### Over several seeds
#
# The study gave every technique three seeds or more, as many epochs as the student alone, and a weight chosen on
# validation clips. [All techniques, compared](comparison.ipynb) has the rules, and the correction for their number.

# %% mystnb={"figure": {"name": "fig-features-study", "caption": "Study, embedded corpus: each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower)."}, "image": {"alt": "Four rows, one for each technique, with two dots and two intervals around a vertical line at zero."}}
gains = plotting.study_gains("fitnets", "fitnets_deep", "attention", "ofd")
for name, row in gains.iterrows():
    glue(f"features_{name}", float(row["accuracy"]))
    glue(f"features_{name}_seeds", verdict(
        row["seeds_low"], row["seeds_high"]))

# %% [markdown]
# FitNets' hint gains {glue:text}`features_fitnets:+.1f` points (the interval over seeds {glue:text}`features_fitnets_seeds`), the deeper one
# {glue:text}`features_fitnets_deep:+.1f` ({glue:text}`features_fitnets_deep_seeds`), attention {glue:text}`features_attention:+.1f`
# ({glue:text}`features_attention_seeds`) and OFD {glue:text}`features_ofd:+.1f` ({glue:text}`features_ofd_seeds`).
#
# ## Takeaways
# * A teacher's maps can be stored like its answers, once, by the clips' names; they cost kilobytes a clip.
# * Maps of different sizes are compared through a learnt map (FitNets, OFD), or without their channels
#   (attention).
# * Before a hint is given, least squares tell how much of it the student knows already, by depth.
# * A lesson on a map moves the layers before it only; labels or answers must teach the rest.
# * Whether a lesson arrived and whether it helped are two questions, with two numbers.
#
# ## Exercises
# **1.** A student's map has 16 channels, the teacher's 160. How many weights has the learnt map of
# `fitnets_deep`, and how many of them are deployed?
#
# :::{dropdown} Solution
# 16 · 160 + 160 = 2,720, biases included. None is deployed: the map is thrown away after the stage.
# :::
#
# **2.** With OFD, what happens to the loss when the student answers $-100$ everywhere?
#
# :::{dropdown} Solution
# Where the target is not positive, nothing is asked and nothing is paid. Where the teacher is positive,
# it is $(100 + t)^2$: `asked` is about whether the target is positive, not the student. So the student
# cannot hide by being negative.
# :::
#
# **3.** Give the hint at `conv3`, and train it for a third of the epochs.
#
# :::{dropdown} Solution
# ```python
# hint, answer = TECHNIQUES["fitnets"]
# mine = (replace(hint, on="conv3"), answer)
# net = experiment.taught(mine, plan=plan).net()
# ```
# Then ask `explained(net, "conv3", theirs["conv3"])`.
# :::
#
# ## What is next
# Maps say what a teacher saw in *one* clip. [The next chapter](relations.ipynb) asks how its clips lie
# to each other.
