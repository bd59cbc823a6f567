# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How clips lie to each other
#
# ## What you will learn
# * relational knowledge: the distances and the angles between the clips of a batch;
# * similarities between clips, a relative of it that looks at maps;
# * what each of these losses asks of a point, what it cannot see, and what it costs;
# * five traps: the diagonal, lost digits, the cube, the collapsed student, the common offset;
# * what relations do to a student's embedding, and why a technique might begin with them.
#
# **Prerequisites**: [the teacher's answers](response.ipynb); for the maps,
# [features](feature_maps.ipynb).
#
# **Data in**: the log-mel features of the corpus, the trained student and teacher.
#
# **Data out**: two students, `relational` and `similarity`.
#
# **In the library**: `asclib.distillation.losses.relations`, `asclib.evaluation.embedding`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from asclib import plotting
from asclib.distillation import TECHNIQUES, losses
from asclib.evaluation import verdict
from asclib.networks import look
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import macro_accuracy, predict

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


def side_by_side(matrix):
    tables = {name: pd.DataFrame(matrix(x).numpy(), [*"ABCD"], [*"ABCD"])
              for name, x in (("teacher", teacher), ("student", student))}
    return pd.concat(tables, axis=1).round(2)


side_by_side(relative_distances)

# %% [markdown]
# The teacher's rectangle has its diagonals longer than its sides. For the student, D lies too far from
# the others. The loss will compare the two matrices entry by entry.
#
# ## Angles
#
# An angle takes three points. At $j$, between $i$ and $k$, its cosine is the scalar product of two unit
# vectors:
#
# $$ \psi_A(i, j, k) = \langle e_{ij}, e_{kj} \rangle, \qquad
#    e_{ij} = \frac{u_i - u_j}{\lVert u_i - u_j \rVert} . $$
#
# In the code, entry `[j, i, k]` is the cosine at $j$. Here are all those at A, a matrix over $i$ and
# $k$: the teacher sees B and C at a right angle (cosine 0), the student does not.

# %%
def angles(points):
    edges = points[None, :, :] - points[:, None, :]  # [j, i]: from j to i
    edges = F.normalize(edges, dim=2)
    return edges @ edges.transpose(1, 2)


side_by_side(lambda points: angles(points)[0])

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


# %% [markdown]
# By hand and by the library, for the four points and for a made-up batch of 16 clips:

# %%
generator = torch.Generator().manual_seed(0)
s = torch.randn(16, 10, generator=generator, dtype=torch.float64)
t = torch.randn(16, 24, generator=generator, dtype=torch.float64)
for here, library in ((distance_loss, losses.relational_distance),
                      (angle_loss, losses.relational_angle)):
    for name, pair in {"four": (student, teacher), "made up": (s, t)}.items():
        ours, theirs = here(*pair), library(*pair)
        print(f"{here.__name__:14}{name:8} {ours:.6f}, asclib {theirs:.6f}")
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)

# %% [markdown]
# Note that the made-up student has 10 coordinates and the teacher 24. Relations are numbers of the
# batch, so the two need not have the same width.
#
# ### What it asks of a point
#
# A loss speaks through its gradient. So let the four points follow it downhill, each with its own two
# coordinates free. Where do they come to rest: on the teacher's points?

# %%
def both(s, t):
    return losses.relational_distance(s, t) + losses.relational_angle(s, t)


moving = student.clone().requires_grad_()
optimizer = torch.optim.SGD([moving], lr=1.0)
path = [student.numpy()]
for _ in range(400):
    optimizer.zero_grad()
    both(moving, teacher).backward()
    optimizer.step()
    path.append(moving.detach().clone().numpy())
path = np.stack(path)

# %% mystnb={"figure": {"name": "fig-descent", "caption": "The student's four points follow the gradient of distance plus angle for 400 steps. Circles: where they start; dots: where they end, with the shape they form; crosses: the teacher's points."}, "image": {"alt": "Four short paths in the plane. They begin at a stretched quadrilateral and end at a small upright or tilted rectangle that lies away from the teacher's crosses."}}
figure, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(*teacher.T, "x", color=plotting.MUTED, ms=9)
ax.plot(*path[0].T, "o", mfc="none", color=plotting.INK)
ax.plot(path[..., 0], path[..., 1], color=plotting.ACCENT, lw=1)
ax.plot(*path[-1][[0, 1, 3, 2, 0]].T, "o-", color=plotting.INK, lw=1)
ax.set(aspect="equal", xlim=(-1, 12))
plotting.show(figure)

# %%
for name, x in (("start", student), ("end", moving.detach())):
    centre = ", ".join(f"{value:.1f}" for value in x.mean(0))
    print(f"{name:6}distance + angle {both(x, teacher):.4f}, "
          f"centre ({centre}), AB {(x[1] - x[0]).norm():.2f}")
assert both(moving, teacher) < 1e-3
assert (moving.detach().mean(0) - student.mean(0)).abs().max() < 1e-4

# %% [markdown]
# They form the teacher's rectangle, in their own place and in their own size. The centre has not moved
# at all. A gradient that cannot see a shift does not cause one.
#
# ## Similarities
#
# {cite:t}`tung2019similarity` compare clips in another way. The flattened outputs of a batch are the
# rows of $X$, and $G = XX^\top$ holds their scalar products. Each row is scaled to unit length, and
#
# $$ L_\text{similarity} = \frac{1}{B^2}\,\big\lVert \hat G^\text{student} - \hat G^\text{teacher}
#    \big\rVert^2 . $$
#
# It is meant for maps: whatever their channels and their size, $G$ is $B \times B$. We compute it for the
# same four points.

# %%
def alike(x):
    x = x.flatten(1)
    return F.normalize(x @ x.T, dim=1)


by_hand = (alike(student) - alike(teacher)).pow(2).sum() / 4**2
library = losses.similarity(student, teacher)
torch.testing.assert_close(by_hand, library)
print(f"by hand {by_hand:.4f}, asclib {library:.4f}")
side_by_side(alike)

# %% [markdown]
# The teacher's A lies at the origin, so its row is zero: it is like nobody, itself included. The
# student's four rows hardly differ. All its points lie on one side of the origin, and seen from there
# they are all alike. The loss of A's row could be brought down by moving the origin alone.
#
# ## What they ignore
#
# A shape does not change when it is moved, turned or enlarged. So neither do distance and angle. They do
# change when the points swap their places. For each change below, the changed cloud is the student and
# the cloud itself is the teacher. Which loss sees what?

# %%
square = torch.randn(10, 10, generator=generator, dtype=torch.float64)
rotation = torch.linalg.qr(square)[0]
stretch = torch.ones(10, dtype=torch.float64)
stretch[0] = 3.0
changed = {"as it is": s, "moved": s + 5, "turned": s @ rotation,
           "enlarged": 3 * s, "one axis stretched": s * stretch,
           "rows swapped": s.flip(0)}
pd.DataFrame({name: {"distance": float(distance_loss(x, s)),
                     "angle": float(angle_loss(x, s)),
                     "similarity": float(losses.similarity(x, s))}
              for name, x in changed.items()}).T.round(4)

# %% [markdown]
# Similarity differs in one row: it measures from the origin, so it sees a shift. That freedom of the
# others has a price. Nothing here says which point is a tram: any turned copy of the teacher's cloud is
# as good. The labels must say it, so a relational loss never stands alone.
#
# ### A constant of each clip
#
# Points that are logits have one more freedom. A constant $c$ added to all ten logits of a clip leaves its
# answer as it was, since $\operatorname{softmax}(z + c) = \operatorname{softmax}(z)$. But it moves the point,
# and each clip's point by as much as it likes. A loss that compared those distances would spend a student's
# effort on something that no answer shows. So the logits of each clip lose their mean first:
#
# $$ L_\text{relational} = L_D(\tilde s, \tilde t) + L_A(\tilde s, \tilde t), \qquad
#    \tilde z = z - \bar z . $$
#
# {cite:t}`park2019relational` compare no logits but the embedding, the numbers before the last layer. There
# each direction counts and nothing is taken off. Beside the labels, which they weigh by 1, they take
# $L_\text{embedding} = 25\,L_D + 50\,L_A$.

# %%
def zero_mean(z):
    return z - z.mean(1, keepdim=True)


z, rows = t[:, :10], {}
constants = torch.linspace(-3, 3, 16)[:, None].double()
for name, x in {"as it is": s, "each clip moved": s + constants}.items():
    pair = zero_mean(x), zero_mean(z)
    by_hand = distance_loss(*pair) + angle_loss(*pair)
    torch.testing.assert_close(by_hand, losses.relational(x, z))
    rows[name] = {"not centred": both(x, z), "relational": by_hand,
                  "response": losses.response(x, z)}
by_hand = 25 * distance_loss(s, t) + 50 * angle_loss(s, t)
torch.testing.assert_close(by_hand, losses.relational_embedding(s, t))
pd.DataFrame(rows).T.astype(float).round(3)

# %% [markdown]
# The student whose clips have moved gives the same answers as before. `response` and the centred loss say so.
#
# ## Five traps
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


# %% [markdown]
# **The common offset** is the same trap for similarities, and here it is not the digits that are lost.
# The further two clouds lie from the origin, the more alike all their clips are, and the smaller is the
# loss between two clouds that have nothing to do with each other. {numref}`fig-digits` shows both.

# %% mystnb={"figure": {"name": "fig-digits", "caption": "Left: relative error (root mean square) of pairwise distances in 32-bit arithmetic against the offset that is added to each coordinate; the cloud's own spread is 1. Right: the similarity loss of two unrelated clouds with the same offset, as a share of the loss without."}, "image": {"alt": "Two panels on logarithmic axes. Left, without centring the error grows with the offset by several orders of magnitude, with centring it grows slowly and stays small. Right, a curve that falls by many orders of magnitude."}}
offsets = np.geomspace(1, 1000, 13)
clouds = [(cloud + offset).float() for offset in offsets]
naive = [error(x) for x in clouds]
centred = [error(x - x.mean(0)) for x in clouds]
other = torch.randn(64, 10, generator=generator, dtype=torch.float64)
seen = [losses.similarity(cloud + x, other + x) for x in (0, *offsets)]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.loglog(offsets, naive, color=plotting.ACCENT, label="as it is")
left.loglog(offsets, centred, color=plotting.INK, label="centred first")
left.set(xlabel="offset of the cloud", ylabel="relative error")
left.legend()
right.loglog(offsets, torch.stack(seen[1:]) / seen[0], color=plotting.INK)
right.set(xlabel="offset of both clouds", ylabel="similarity loss")
plotting.show(figure)
assert naive[-1] > 100 * centred[-1] and seen[-1] < 1e-3 * seen[0]

# %% [markdown]
# At the largest offset centring saves several orders of magnitude of a distance's error. What is left
# comes from storing the shifted points in 32 bits. The similarity loss is defined without centring: where
# maps have an offset in common its values are small, and a large weight has to make up for it.
#
# **The cube.** Pairs grow with $B^2$, triplets with $B^3$. One tensor of cosines, in 32-bit numbers, takes
# $4 B^3$ bytes: 1 MiB for a batch of 64, 64 MiB for 256, 512 MiB for 512. Automatic differentiation keeps several
# such tensors. A batch of 64 is comfortable; a batch of 512 is not.
#
# **The collapsed student.** Suppose it answers the same for every clip. All its distances are zero, no
# direction is better than another, and the gradient is zero too. A relational loss alone can never wake
# it. A response or a label can.

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
# ## Two lessons, live
#
# As stages, each with the labels beside it: `relational` compares centred logits, with AI4EDGE's weights
# {cite}`ipleiria2023dcase`; `similarity` compares the last map. These two are trained below. The third row is
# the loss of Park et al., which has its weights inside. The weights cannot be compared, for the losses have
# different units. And AI4EDGE chose theirs for softmax outputs of unit length
# ([RRS](rrs.ipynb)). On logits they are heavy: the search of
# [the comparison](comparison.ipynb) takes less.

# %%
names = ("relational", "similarity")
runs = {"student alone": experiment.student()}
runs |= {name: experiment.taught(name) for name in names}
build(list(runs.values()))
rows = {name: TECHNIQUES[name][0].settings()
        for name in (*names, "relational_embedding")}
columns = ["loss", "on", "weight", "hard"]
pd.DataFrame(rows).T.reindex(columns=columns).fillna({"on": "logits"})

# %% [markdown]
# Did the lessons arrive, on clips that nobody trained on? Each relation is measured between a student and
# the teacher, on 64 test clips drawn at random: the smaller, the more alike their shapes. From here on all logits
# are centred, as the loss sees them.

# %%
guide, test = experiment.teacher().net(), experiment.clips("test")
nets = {name: run.net() for name, run in runs.items()}
views = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
some = torch.randperm(len(test.labels), generator=generator)[:64]
with torch.no_grad():
    logits = {name: zero_mean(net.head(views[name]))
              for name, net in nets.items()}
    target, target_map = look(guide, test.x[some], "conv4")
    target = zero_mean(target)
    maps = {name: look(net, test.x[some], "conv4")[1]
            for name, net in nets.items()}

# %% tags=["nbval-ignore-output"]
rows = {}
for name in nets:
    ours = logits[name][some]
    alike_loss = losses.similarity(maps[name], target_map)
    rows[name] = {
        "distance": losses.relational_distance(ours, target),
        "angle": losses.relational_angle(ours, target),
        "similarity, in 1e-5": 1e5 * alike_loss,
        "accuracy (%)": 100 * macro_accuracy(logits[name], test.labels)}
lessons = pd.DataFrame(rows).T.astype(float)
assert np.isfinite(lessons.to_numpy()).all()
lessons.round(3)

# %% [markdown]
# A number for a shape is hard to feel. {numref}`fig-pairs` draws each *pair* of the 64 clips: how far apart
# they are for the teacher, and for the student. On the diagonal both agree.

# %% mystnb={"figure": {"name": "fig-pairs", "caption": "Live run: relative distances between the centred logits of 64 test clips, every pair a dot, for the teacher (across) and each student (up); in the titles, the correlation."}, "image": {"alt": "Three clouds of dots around a diagonal line, one for each student, tighter or wider."}}
theirs = relative_distances(target)
pair = torch.triu(torch.ones(len(some), len(some)), 1).bool()
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3), sharex=True, sharey=True)
for ax, name in zip(axes, nets, strict=True):
    ours = relative_distances(logits[name][some])[pair]
    r = np.corrcoef(ours, theirs[pair])[0, 1]
    ax.plot(theirs[pair], ours, ".", ms=2, alpha=0.4, color=plotting.INK)
    ax.axline((1, 1), slope=1, color=plotting.ACCENT, lw=1)
    ax.set_title(f"{name}\ncorrelation {r:.2f}", fontsize=10)
figure.supxlabel("distance for the teacher", fontsize=10)
axes[0].set(ylabel="distance for the student")
plotting.show(figure)
assert np.isfinite(r)

# %% [markdown]
# ### Before and after
#
# What became of the embedding, the 256 numbers before the last layer? *Purity* is the share of a clip's
# ten nearest neighbours that are of its scene, clips of its own recording left aside. With ten scenes,
# chance is about ten per cent. It is taken from all 256 numbers, and the plane is only their shadow:
# each network's two directions of largest variance, turned so that the clouds lie on each other as well
# as a turn allows.

# %% mystnb={"figure": {"name": "fig-relations-embedding", "caption": "Live run: embeddings of the test clips before (student alone) and after each lesson. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Three scatter plots of coloured dots, one for each student, with the purity of the neighbourhoods in each title."}}
figure, purity = plotting.embeddings(views, experiment.table("test"))
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
purity.round(1)

# %% [markdown]
# `change` compares with the first row, on the same clips, and its interval is over locations. Where it
# includes zero, these clips do not tell the two apart, whatever the eye believes it sees. And this is one
# training of each: another seed may say otherwise ([RRS](rrs.ipynb) shows how much seeds differ).
#
# ### Over several seeds
#
# The study gave every technique three seeds or more, as many epochs as the student alone, and a weight chosen on
# validation clips. [All techniques, compared](comparison.ipynb) has the rules, and the correction for their number.

# %% mystnb={"figure": {"name": "fig-relations-study", "caption": "Study, embedded corpus: each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower)."}, "image": {"alt": "Two rows, one for each technique, with two dots and two intervals around a vertical line at zero."}}
gains = plotting.study_gains("relational", "similarity")
for name, row in gains.iterrows():
    glue(f"relations_{name}", float(row["accuracy"]))
    glue(f"relations_{name}_seeds", verdict(
        row["seeds_low"], row["seeds_high"]))

# %% [markdown]
# Distances and angles gain {glue:text}`relations_relational:+.1f` points (the interval over seeds {glue:text}`relations_relational_seeds`),
# similarities {glue:text}`relations_similarity:+.1f` ({glue:text}`relations_similarity_seeds`).
#
# ## Why begin with relations?
#
# A student that has the teacher's shape is not far from its answers. Between a shape and a place lie a
# turn or a mirror image, a size and a shift. The head of the student, its last layer, is linear and has a
# bias: it could perform them all without any change to the embedding. So one may split what separates a
# student from its teacher: how much of the distance between their logits goes away by the best turn or
# mirror image, size and shift of the whole cloud, and how much is shape?

# %% tags=["nbval-ignore-output"]
from scipy.spatial import procrustes

target = target.double()
spread = (target - target.mean(0)).pow(2).sum()
rows = {}
for name in nets:
    ours = logits[name][some].double()
    rows[name] = {"as they are": float((ours - target).pow(2).sum() / spread),
                  "shape only": procrustes(target, ours)[2]}
table = pd.DataFrame(rows).T
assert (table["shape only"] <= table["as they are"].clip(upper=1) + 1e-6).all()
table.round(2)

# %% [markdown]
# Both columns are squared distances between logits, as a share of the teacher's own spread. The first
# counts everything, the second what none of them can mend. The relational lesson works on the
# second alone; the answers on the first. A technique might therefore do the one and then the other: the
# shape first, free of the question where, then the place. That is the idea of RRS. It is an argument and
# no evidence; [its chapter](rrs.ipynb) has the controls.
#
# ## Takeaways
# * Relational knowledge is the shape of a batch: its distances, divided by their mean, and its angles.
# * Similarities compare clips as seen from the origin, on maps of any size.
# * Distance and angle ignore shift, scale and rotation, so labels or answers must say which scene is
#   which. Similarity sees a shift.
# * Logits are centred clip by clip before they are compared: a softmax cannot see a constant added to all of
#   them. Embeddings are compared as they are.
# * Their mean, their digits, their cube, a collapsed student and a common offset are the traps.
# * Purity says in one number, with an interval, what a picture of an embedding only suggests.
# * The step from the right shape to the right place is one linear layer: a reason to teach the shape first.
#
# ## Exercises
# **1.** Mirror the teacher's four points at the vertical axis and take the result as the student. What
# is the sum of distance and angle loss, and why?
#
# :::{dropdown} Solution
# Zero: a mirror image has the same distances and the same cosines. With `mirrored = teacher *
# torch.tensor([-1.0, 1.0])`, `both(mirrored, teacher)` confirms it. A reflection is one more thing that distances
# and angles cannot see. (`losses.relational` would take the two coordinates for logits and centre them, which leaves
# of a plane a line.)
# :::
#
# **2.** For a batch of two clips the distance loss is always zero. Why?
#
# :::{dropdown} Solution
# There is one distance, and it is divided by the mean distance, itself. Every student has
# $\psi_D = 1$, as has every teacher. A relation of one pair carries no information.
# :::
#
# **3.** Cure the common offset: write a similarity loss of centred outputs, and say what it then ignores
# that it did not ignore before.
#
# :::{dropdown} Solution
# ```python
# def centred_similarity(s, t):
#     s, t = (x.flatten(1) - x.flatten(1).mean(0) for x in (s, t))
#     return losses.similarity(s, t)
# ```
# It ignores a shift, as distance and angle do. It no longer depends on the offset of {numref}`fig-digits`.
# A stage takes it like any loss of the library:
# ```python
# from asclib.distillation import Stage
#
# mine = (Stage(centred_similarity, weight=3000.0, hard=1.0, on="conv4"),)
# net = experiment.taught(mine).net()
# ```
# The weight is the one of `similarity`, and would have to be chosen anew.
# :::
#
# ## What is next
# [Relations first, then answers](rrs.ipynb): the technique of the 2023 submission, in two phases.
