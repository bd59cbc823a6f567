# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Relations first, then answers
#
# ## What you will learn
# * relational knowledge: the distances and angles between the clips of a batch;
# * what such a loss ignores and costs, and where it goes wrong;
# * RRS, *Relational Response Stagewise*, the technique of the 2023 submission, in two phases;
# * how to ask whether a longer technique is better, or only longer.
#
# **Prerequisites**: [learning from the teacher's answers](09_response.ipynb).
#
# **Data in**: the log-mel features of the corpus, the teacher's stored answers.
#
# **Data out**: the students `relational`, `rrs` and `rrs_faithful`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue

from asclib import plotting, store
from asclib.distillation import TECHNIQUES, losses
from asclib.experiment import Experiment

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## Clips as points
#
# A network turns each clip into a point: its logits are ten coordinates. Response distillation wants
# the student's point to lie where the teacher's lies. That may be too much to ask of a small network,
# and more than is needed. *Relational* knowledge distillation {cite}`park2019relational` asks for less:
# the points shall form the same **shape**. Clips far apart for the teacher shall be far apart for
# the student, wherever both clouds lie.
#
# Four points in the plane are enough to see it all. Compare the two shapes in {numref}`fig-points`:
# which distance differs, which angle?

# %% mystnb={"figure": {"name": "fig-points", "caption": "Four clips as a teacher and a student might place them. All six distances are drawn; the angle at A between B and C is marked."}, "image": {"alt": "Two drawings of four labelled points A to D joined by lines: a compact quadrilateral for the teacher and a stretched one, elsewhere in the plane, for the student."}}
teacher = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [4.0, 3.0]])
student = torch.tensor([[7.0, 1.0], [9.0, 1.0], [7.5, 3.0], [11.0, 2.5]])
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
for ax, name in zip(axes, ("teacher", "student"), strict=True):
    points = teacher if name == "teacher" else student
    for i in range(4):
        for j in range(i):
            bold = (j, i) in ((0, 1), (0, 2))  # the sides of the angle at A
            colour = plotting.ACCENT if bold else plotting.MUTED
            ax.plot(*points[[i, j]].T, color=colour, lw=2 if bold else 1)
        ax.annotate("  " + "ABCD"[i], points[i].tolist(), fontsize=13)
    ax.plot(*points.T, "o", color=plotting.INK)
    ax.set(title=name, aspect="equal", xmargin=0.15, ymargin=0.15)
    ax.grid(False)
plotting.show(figure)

# %% [markdown]
# ## Distances
#
# The unit of length is of no interest, since logits may be large or small. So every distance is divided
# by the mean distance $\mu$ within the batch:
#
# $$ \psi_D(i, j) = \frac{1}{\mu}\,\lVert u_i - u_j \rVert, \qquad
#    \mu = \frac{1}{B (B-1)} \sum_{i \neq j} \lVert u_i - u_j \rVert . $$

# %%
def relative_distances(points):
    distances = torch.cdist(points, points)
    B = len(points)
    return distances / (distances.sum() / (B * (B - 1)))


def matrix(values):
    return pd.DataFrame(values.numpy(), list("ABCD"), list("ABCD")).round(2)


matrix(relative_distances(teacher))

# %%
matrix(relative_distances(student))

# %% [markdown]
# The teacher's rectangle has its diagonals longer than its sides. For the student, D lies too far from
# the others. The loss compares the two matrices entry by entry.
#
# ## Angles
#
# An angle takes three points. At $j$, between $i$ and $k$, its cosine is the scalar product of two unit
# vectors:
#
# $$ \psi_A(i, j, k) = \langle e_{ij}, e_{kj} \rangle, \qquad
#    e_{ij} = \frac{u_i - u_j}{\lVert u_i - u_j \rVert} . $$
#
# In the code, entry `[j, i, k]` is the cosine at $j$. It is shown for $j = $ A: the teacher sees B and
# C at a right angle (cosine 0), the student does not.

# %%
def angles(points):
    edges = points[None, :, :] - points[:, None, :]  # [j, i]: from j to i
    edges = torch.nn.functional.normalize(edges, dim=2)
    return edges @ edges.transpose(1, 2)


for name, points in (("teacher", teacher), ("student", student)):
    cosine = angles(points)[0, 1, 2]
    print(f"{name}: cosine at A between B and C = {cosine:.2f}")

# %% [markdown]
# ## The loss
#
# Differences are measured by Huber's function, a square near zero and a line further out, so that one
# odd pair cannot rule the batch:
#
# $$ h(x) = \begin{cases} x^2 / 2 & |x| < 1 \\ |x| - 1/2 & \text{otherwise} \end{cases} $$
#
# $$ L_D = \frac{1}{B(B-1)} \sum_{i \neq j}
#       h\big(\psi_D^\text{student}(i,j) - \psi_D^\text{teacher}(i,j)\big) $$
#
# $$ L_A = \frac{1}{B(B-1)(B-2)} \sum_{i, j, k \text{ distinct}}
#       h\big(\psi_A^\text{student}(i,j,k) - \psi_A^\text{teacher}(i,j,k)\big) . $$

# %%
def huber(difference):
    size = difference.abs()
    return torch.where(size < 1, size**2 / 2, size - 0.5)


def distance_loss(s, t):
    B = len(s)
    h = huber(relative_distances(s) - relative_distances(t))
    return h.sum() / (B * (B - 1))


def angle_loss(s, t):
    B = len(s)
    same = torch.eye(B, dtype=torch.bool)  # i = k is no angle;
    h = huber(angles(s) - angles(t)).masked_fill(same, 0)
    # where i or k is j, both cosines are 0 already
    return h.sum() / (B * (B - 1) * (B - 2))


# %%
generator = torch.Generator().manual_seed(0)
s = torch.randn(16, 10, generator=generator, dtype=torch.float64)
t = torch.randn(16, 24, generator=generator, dtype=torch.float64)
for here, library in ((distance_loss, losses.relational_distance),
                      (angle_loss, losses.relational_angle)):
    ours, theirs = here(s, t), library(s, t)
    print(f"{here.__name__}: here {ours:.6f}, asclib {theirs:.6f}")
    assert torch.allclose(ours, theirs, rtol=1e-9)

# %% [markdown]
# Note that the made-up student has 10 coordinates and the teacher 24. Relations are numbers of the
# batch, so the two need not have the same width.
#
# ## What it ignores
#
# A shape does not change when it is moved, turned or enlarged. So neither does the loss. It does change
# when the points swap their places.

# %%
square = torch.randn(10, 10, generator=generator, dtype=torch.float64)
rotation = torch.linalg.qr(square)[0]
changed = {"as it is": s, "moved": s + 5, "turned": s @ rotation,
           "enlarged": 3 * s, "rows swapped": s.flip(0)}
pd.DataFrame({name: {"distance": float(distance_loss(x, t)),
                     "angle": float(angle_loss(x, t))}
              for name, x in changed.items()}).T.round(4)

# %% [markdown]
# That freedom has a price. Nothing here says which point is a tram: any turned copy of the teacher's
# cloud is as good. The labels must say it, so a relational loss never stands alone.
#
# ## Four traps
#
# **The diagonal.** The pairs $(i, i)$ carry no information: their entries are zero. The paper sums over
# *distinct* pairs and triplets, the programs in circulation average over *all* entries, zeros
# included. Both are called RKD. They differ by exact factors, which a published weight silently
# contains:

# %%
rows = []
for B in (4, 16, 64):
    a, b = torch.randn(2, B, 10, generator=generator, dtype=torch.float64)
    ratio = {loss: float(loss(a, b) / loss(a, b, diagonal=True))
             for loss in (losses.relational_distance, losses.relational_angle)}
    rows.append({"B": B, "distance": ratio[losses.relational_distance],
                 "B/(B−1)": B / (B - 1),
                 "angle": ratio[losses.relational_angle],
                 "B²/((B−1)(B−2))": B**2 / ((B - 1) * (B - 2))})
pd.DataFrame(rows).set_index("B").round(4)

# %% [markdown]
# **Lost digits.** A quick way to all distances is $\lVert a - b \rVert^2 = \lVert a \rVert^2 +
# \lVert b \rVert^2 - 2 \langle a, b \rangle$: one matrix product. When the points lie far from the origin,
# it subtracts large numbers that are almost equal, and in 32-bit arithmetic little remains.
# Embeddings after a ReLU are such points, all on one side. Since a shift changes no distance,
# subtracting the batch mean first costs nothing. What does it save?

# %%
def quick_distances(x):
    squares = x.pow(2).sum(1)
    return (squares[:, None] + squares - 2 * x @ x.T).clamp(min=0).sqrt()


cloud = torch.randn(64, 10, generator=generator, dtype=torch.float64)
exact = torch.cdist(cloud, cloud, compute_mode="donot_use_mm_for_euclid_dist")
apart = ~torch.eye(64, dtype=torch.bool)


def error(x):
    relative = quick_distances(x).double()[apart] / exact[apart] - 1
    return float(relative.pow(2).mean().sqrt())


# %% mystnb={"figure": {"name": "fig-digits", "caption": "Relative error (root mean square) of pairwise distances in 32-bit arithmetic, against the offset that is added to each coordinate; the cloud's own spread is 1."}, "image": {"alt": "Two curves on logarithmic axes: without centring the error grows with the offset by several orders of magnitude, with centring it grows slowly and stays small."}}
offsets = np.geomspace(1, 1000, 13)
clouds = [(cloud + offset).float() for offset in offsets]
naive = [error(x) for x in clouds]
centred = [error(x - x.mean(0)) for x in clouds]
figure, ax = plt.subplots(figsize=(6, 3))
ax.loglog(offsets, naive, color=plotting.ACCENT, label="as it is")
ax.loglog(offsets, centred, color=plotting.INK, label="centred first")
ax.set(xlabel="offset of the cloud", ylabel="relative error")
ax.legend()
plotting.show(figure)
assert naive[-1] > 100 * centred[-1]

# %% [markdown]
# At the largest offset centring saves several orders of magnitude. What error is left comes from storing
# the shifted points in 32 bits.
#
# **The cube.** Pairs grow with $B^2$, triplets with $B^3$. One tensor of cosines, in 32-bit numbers,
# needs:

# %%
for B in (32, 64, 128, 256, 512):
    print(f"batch of {B:3d}: {B**3:>11,} cosines, {4 * B**3 / 2**20:6.1f} MiB")

# %% [markdown]
# Automatic differentiation keeps several such tensors. A batch of 64 is comfortable; a batch of 512 is
# not.
#
# **The collapsed student.** Suppose it answers the same for every clip. All its distances are zero, no direction is better than another, and the gradient is zero
# too. A relational loss alone can never wake it. A response or a label can.

# %%
for name, x in (("collapsed", torch.ones(16, 10)), ("healthy", s.float())):
    x = x.clone().requires_grad_()
    gradient, = torch.autograd.grad(losses.relational(x, t.float()), x)
    answer, = torch.autograd.grad(losses.response(x, t[:, :10].float()), x)
    print(f"{name}: gradient of the relational loss {gradient.norm():.3f}, "
          f"of the response loss {answer.norm():.3f}")
    if name == "collapsed":
        assert gradient.abs().max() == 0

# %% [markdown]
# ## RRS: two phases
#
# AI4EDGE combined the two kinds of knowledge one after the other, not in one sum {cite}`ipleiria2023dcase`:
#
# 1. **Relational.** The student arranges its clips as the teacher does:
#    $L_1 = \alpha_1 \mathrm{CE} + (1 - \alpha_1)\,\lambda\,(L_D + L_A)$ with $\alpha_1 = 0.565$, found by
#    a search of 50 trials in $[0.4, 0.6]$, and $\lambda = 20$.
# 2. **Response.** The same student, from the best weights of phase 1 and with a new optimiser, learns
#    the answers: $L_2 = \alpha_2 \mathrm{CE} + (1 - \alpha_2)\,T^2\,\mathrm{KL}$ with
#    $\alpha_2 = 10^{-5}$ and $T = 3$. The labels have almost no say any more.
#
# The phases run over the *whole* student. Stagewise training as {cite:t}`kulkarni2019stagewise` propose
# it goes layer by layer and freezes what is done; RRS freezes nothing. In `asclib` it is a tuple of two
# stages:

# %%
pd.DataFrame([stage.settings() for stage in TECHNIQUES["rrs"]], index=[1, 2])

# %% [markdown]
# The published programs are not all alike. They work on softmax outputs instead of logits, so the slip
# of the previous chapter is in them too. Which variant was submitted is not recorded.
#
# | | here, `rrs` | here, `rrs_faithful` | published, April 2023 | published, November 2023 |
# |---|---|---|---|---|
# | relations between | logits | unit-length softmax outputs | unit-length softmax outputs | unit-length softmax outputs |
# | mean over | distinct tuples | all entries | all entries | all entries |
# | phase 2 | $T^2 \cdot$ KL, $T = 3$ | KL, $T = 3$, double softmax | KL, $T = 3$, double softmax | 50 · KL, $T = 1$ |
# | $\alpha_2$ | $10^{-5}$ | $10^{-5}$ | $10^{-5}$ | $10^{-5}$ |
# | between the phases | best weights | best weights | best weights | best weights |
#
# In the first table, `weight` holds the product: $(1 - 0.565) \cdot 20 = 8.7$. One of the published
# variants has $\alpha_2 = 10^{-3}$.
#
# ## Both phases, live
#
# Follow the validation accuracy through the two phases. Each phase starts from the weights of the best
# epoch before it, with a fresh schedule of learning rates. What does the change of loss do at first,
# and where do the phases end?

# %% mystnb={"figure": {"name": "fig-phases", "caption": "Live run: validation macro accuracy (top) and training loss relative to the first epoch of its phase (bottom) through the two phases of RRS; a dotted line ends each phase."}, "image": {"alt": "Two stacked panels of curves over epochs for rrs and rrs_faithful with dotted vertical lines where a phase ends."}}
experiment.build("student", "relational", "rrs", "rrs_faithful")
figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True)
for name, colour in (("rrs", plotting.INK), ("rrs_faithful", plotting.ACCENT)):
    history = experiment.history(name)
    epochs = np.arange(1, len(history) + 1)
    top.plot(epochs, 100 * history.validation_accuracy, c=colour, label=name)
    for _, phase in history.groupby("stage"):
        relative = phase["loss"] / phase["loss"].iloc[0]
        bottom.plot(epochs[phase.index], relative, color=colour)
        for ax in (top, bottom):
            ax.axvline(epochs[phase.index[-1]] + 0.5, color=colour, ls=":")
top.set(ylabel="validation accuracy (%)")
bottom.set(xlabel="epoch", ylabel="relative loss")
top.legend()
plotting.show(figure)

# %% [markdown]
# The student that stops after phase 1 has a name of its own, `relational`. It started from the same
# initial weights in the same order of clips, so it *is* the state of `rrs` between its phases. This
# lets us look at what each phase changes: the two losses, measured on 64 test clips drawn at random.
# Which loss does each phase lower?

# %% tags=["nbval-ignore-output"]
from asclib.networks import TMSIC
from asclib.training import predict

torch.manual_seed(seed)
states = {"untrained": TMSIC(), "labels only": experiment.student(),
          "after phase 1": experiment.distilled("relational"),
          "after phase 2": experiment.distilled("rrs")}
test = experiment.clips("test")
some = torch.randperm(len(test.labels), generator=generator)[:64]
target = predict(experiment.teacher(), test.x[some])
found = {name: predict(net, test.x[some]) for name, net in states.items()}
relations = {name: {"relational": float(losses.relational(logits, target)),
                    "response": float(losses.response(logits, target))}
             for name, logits in found.items()}
assert np.isfinite(pd.DataFrame(relations).to_numpy()).all()
pd.DataFrame(relations).T.round(3)

# %% [markdown]
# Numbers say how close the shapes are; a picture says what they look like. {numref}`fig-pca` shows the
# logits of all test clips in the two directions of largest variance, each network with its own. Do
# the scenes separate, and when?

# %% mystnb={"figure": {"name": "fig-pca", "caption": "Live run: logits of the test clips in their first two principal components, coloured by scene, through the phases of RRS; the teacher for comparison."}, "image": {"alt": "Four scatter plots of coloured points, one for each state of the student and one for the teacher; some colours lie apart, others overlap."}}
from sklearn.decomposition import PCA

shown = states | {"teacher": experiment.teacher()}
del shown["labels only"]
colours = np.array(list(plotting.SCENE_COLOURS.values()))[test.labels]
figure, axes = plt.subplots(2, 2, figsize=(7, 6.6))
for ax, (name, net) in zip(axes.flat, shown.items(), strict=True):
    plane = PCA(2, random_state=0).fit_transform(predict(net, test.x).numpy())
    ax.scatter(*plane.T, s=6, color=colours)
    ax.set(title=name, xticks=[], yticks=[])
for scene, colour in plotting.SCENE_COLOURS.items():
    ax.scatter([], [], s=20, color=colour, label=scene.replace("_", " "))
figure.legend(loc="outside lower center", ncols=4, fontsize=9)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
from asclib.evaluation import evaluate

nets = {"student": experiment.student()}
nets |= {name: experiment.distilled(name)
         for name in ("relational", "rrs", "rrs_faithful")}
live = {}
for name, net in nets.items():
    probabilities = predict(net, test.x).double().softmax(dim=1).numpy()
    score = evaluate(probabilities, experiment.table("test")).overall
    live[name] = {"accuracy (%)": 100 * score.accuracy,
                  "low": 100 * score.accuracy_low,
                  "high": 100 * score.accuracy_high,
                  "log loss": score.log_loss}
    assert score.accuracy > 0.15 and np.isfinite(score.log_loss)
pd.DataFrame(live).T.round(2)

# %% [markdown]
# Look at the intervals over recordings, `low` to `high`, before you look at the accuracies: one quick run cannot rank
# such techniques. And all of them inherit what the teacher of this run is worth
# ([its chapter](08_teacher.ipynb) measures it).
#
# ## Better, or only longer?
#
# RRS trains twice as long as response distillation. Longer training alone may help, and so may a
# fresh start of the learning rate in the middle. A fair comparison needs **controls** of the same length
# without the relational idea:
#
# * `response_long`: one response stage of double length;
# * `response_twice`: two response stages with the same restart in between, the second with RRS's own
#   $\alpha_2$. It differs from `rrs` in phase 1 only.
#
# If `rrs` is ahead of both controls, the relations earned it. If it is ahead of `response` only, the
# length may have. If it is ahead of none, there is no advantage to explain.

# %%
from scipy import stats

study = store.results("scoreboard")
runs = pd.DataFrame(study["runs"])
accuracy = 100 * runs.pivot(index="seed", columns="system", values="accuracy")
order = ["student", "response", "response_twice", "response_long",
         "relational", "rrs", "rrs_faithful", "teacher"]
print(f"embedded corpus: {study['clips']['fit']} clips to learn from, "
      f"{study['clips']['test']} to test on, {len(accuracy)} seeds")
accuracy[order].agg(["mean", "min", "max"]).T.round(1)

# %% [markdown]
# Systems with the same seed share their initial weights, so they are compared in pairs. With the
# differences $d_1, \dots, d_n$ over $n$ seeds, mean $\bar d$ and standard deviation $\sigma$, Student's
# 95 % interval is $\bar d \pm t_{0.975,\,n-1}\, \sigma / \sqrt{n}$. With few seeds $t$ is large: for
# three it is 4.3.

# %%
def difference(system, base):
    """Mean difference in points and its 95 % t interval over seeds."""
    d = accuracy[system] - accuracy[base]
    half = stats.t.ppf(0.975, len(d) - 1) * d.std() / len(d) ** 0.5
    return {"mean": d.mean(), "low": d.mean() - half, "high": d.mean() + half}


bases = ["student", "response", "response_twice", "response_long",
         "relational", "rrs_faithful"]
gaps = pd.DataFrame({base: difference("rrs", base) for base in bases}).T
pairs = pd.DataFrame(study["differences"]).set_index(["system", "base"])
pairs = 100 * pairs.loc["rrs"][["accuracy_low", "accuracy_high"]].astype(float)
gaps[["clips_low", "clips_high"]] = pairs.reindex(bases)
gaps.rename("rrs − {}".format).round(2)

# %% mystnb={"figure": {"name": "fig-rrs-study", "caption": "Study, embedded corpus: RRS minus each other system, macro accuracy, with 95 % intervals over test recordings (upper of each pair) and over seeds (lower). The rows response_twice and response_long are the controls of equal length."}, "image": {"alt": "Six rows, one for each system RRS is compared with, each with a pair of dots and horizontal interval bars around a vertical line at zero."}}
figure, ax = plt.subplots(figsize=(7, 3.2))
for low, shift, colour in (("clips_low", -0.1, plotting.INK),
                           ("low", 0.1, plotting.ACCENT)):
    ends = gaps[low], gaps[low.replace("low", "high")]
    plotting.intervals(ax, gaps.index.map("rrs − {}".format), gaps["mean"],
                       *ends, colour=colour, offset=shift)
ax.axvline(0, color=plotting.MUTED)
ax.set(xlabel="difference of macro accuracy (points)")
plotting.show(figure)

# %%
def verdict(low, high):
    if np.isnan(low):
        return "needs a second seed"
    return "excludes zero" if low > 0 or high < 0 else "includes zero"


for base, row in gaps.iterrows():
    seeds = verdict(row["low"], row["high"])
    recordings = verdict(row["clips_low"], row["clips_high"])
    glue(f"{base}_verdict", seeds, display=False)
    glue(f"{base}_clips_verdict", recordings, display=False)
    for key, value in row.items():
        glue(f"{base}_{key}", round(float(value), 2), display=False)

# %% [markdown]
# On the embedded corpus, RRS minus the student alone is {glue:text}`student_mean:+.1f` points. The
# interval over seeds, from {glue:text}`student_low:+.1f` to {glue:text}`student_high:+.1f`,
# {glue:text}`student_verdict`; the one over recordings, from {glue:text}`student_clips_low:+.1f` to
# {glue:text}`student_clips_high:+.1f`, {glue:text}`student_clips_verdict`.
#
# RRS minus a single response stage is {glue:text}`response_mean:+.1f` points (seeds
# {glue:text}`response_low:+.1f` to {glue:text}`response_high:+.1f`, {glue:text}`response_verdict`;
# recordings {glue:text}`response_clips_low:+.1f` to {glue:text}`response_clips_high:+.1f`,
# {glue:text}`response_clips_verdict`). That comparison is the unfair one.
#
# Now the controls of equal length. RRS minus `response_twice` is
# {glue:text}`response_twice_mean:+.1f` points (seeds {glue:text}`response_twice_low:+.1f` to
# {glue:text}`response_twice_high:+.1f`, {glue:text}`response_twice_verdict`; recordings
# {glue:text}`response_twice_clips_low:+.1f` to {glue:text}`response_twice_clips_high:+.1f`,
# {glue:text}`response_twice_clips_verdict`).
#
# RRS minus `response_long` is {glue:text}`response_long_mean:+.1f` points (seeds
# {glue:text}`response_long_low:+.1f` to {glue:text}`response_long_high:+.1f`,
# {glue:text}`response_long_verdict`; recordings {glue:text}`response_long_clips_low:+.1f` to
# {glue:text}`response_long_clips_high:+.1f`, {glue:text}`response_long_clips_verdict`). Where such an
# interval includes zero, this study has not shown that the relational phase earns more than its time.
#
# RRS on logits minus the published form is {glue:text}`rrs_faithful_mean:+.1f` points over seeds
# ({glue:text}`rrs_faithful_low:+.1f` to {glue:text}`rrs_faithful_high:+.1f`,
# {glue:text}`rrs_faithful_verdict`).
#
# The published system with RRS reached 51.9 % on the 2023 evaluation set, after 51.6 % with response
# distillation on that of 2022 {cite}`ipleiria2023dcase`: real recordings, a different year, no
# control of equal length. The two questions, synthetic and real, should not be answered with one
# table.
#
# ## Takeaways
# * Relational knowledge is the shape of a batch: its distances, divided by their mean, and its angles.
# * The loss ignores shift, scale and rotation, so labels or answers must say which scene is which. It
#   costs $B^3$; its mean, its digits and a collapsed student are its traps.
# * RRS is a relational phase and then a response phase, over the whole student, with the best weights
#   carried over.
# * A technique that trains longer is compared with a control that trains as long, seed by seed.
#
# ## Exercises
# **1.** Mirror the teacher's four points at the vertical axis and take the result as the student. What
# is the relational loss, and why?
#
# :::{dropdown} Solution
# Zero: a mirror image has the same distances and the same cosines.
# `losses.relational(teacher * torch.tensor([-1.0, 1.0]), teacher)` confirms it. A reflection is one more
# thing the loss cannot see.
# :::
#
# **2.** Would it help to reverse RRS, answers first and relations second? Write the technique.
#
# :::{dropdown} Solution
# ```python
# from dataclasses import replace
# from asclib.distillation import distill
#
# relational, answer = TECHNIQUES["rrs"]
# reversed_rrs = (replace(answer, hard=0.1, weight=0.9), relational)
# torch.manual_seed(seed)  # the initial weights of `rrs`
# net = TMSIC()
# history = distill(net, experiment.answers(), experiment.clips("fit"),
#                   experiment.clips("validation"), reversed_rrs,
#                   experiment.profile.stage, seed=seed)
# ```
# Compare it with `rrs` over several seeds before believing the answer.
# :::
#
# **3.** For a batch of two clips the distance loss is always zero. Why?
#
# :::{dropdown} Solution
# There is one distance, and it is divided by the mean distance, itself. Every student has
# $\psi_D = 1$, as has every teacher. A relation of one pair carries no information.
# :::
#
# ## What is next
# Answers and relations are not all that a teacher has. [The next chapter](11_beyond.ipynb) learns from
# its maps.
