# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # More than the answer
#
# ## What you will learn
# * what else of a teacher can be learnt from, and what it costs to keep;
# * FitNets, attention, similarity and OFD: four ways to compare two maps that differ in size;
# * decoupled distillation and DIST: what is left to ask of the logits;
# * contrastive distillation: telling the same clip from others;
# * what two of them do to a student's embedding.
#
# **Prerequisites**: [the teacher's answers](09_response.ipynb) and
# [relations first](10_rrs.ipynb).
#
# **Data in**: the corpus's features, the trained student and teacher.
#
# **Data out**: two more students, `attention` and `similarity`.

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
from asclib.distillation.outputs import look
from asclib.experiment import Experiment
from asclib.settings import SCENES

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
# 70 and 2. We average all of them over the last map's grid.

# %%
student, teacher = experiment.student(), experiment.teacher()
test = experiment.clips("test")
few = test.x[:64]
rows = {}
with torch.no_grad():
    for name in ("logits", "embedding", "conv1", "conv2", "conv3", "conv4"):
        ours, theirs = (look(net, few, name)[1] for net in (student, teacher))
        rows[name] = {"student": "x".join(map(str, ours.shape[1:])),
                      "teacher": "x".join(map(str, theirs.shape[1:])),
                      "kB a clip": 2 * theirs[0].numel() / 1000}
pd.DataFrame(rows).T

# %% [markdown]
# The last column counts two bytes a number. The [teacher answers once](09_response.ipynb), so its
# maps are computed once, written down under the clips' names, and read again in every epoch.
#
# One clip through both networks: where is each of them active? The picture is the mean over the
# channels of the squared map, which {cite:t}`zagoruyko2017paying` call *attention*.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-attention", "caption": "Attention of the last map, averaged over its two frames: ten test clips, one of each scene, student and teacher, each curve of unit length."}, "image": {"alt": "Ten small panels, one a scene, each with two curves over 70 mel bands, one for the student and one for the teacher."}}
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
    ax.set_title(SCENES[test.labels[firsts[k]]].replace("_", " "), fontsize=9)
figure.supxlabel("mel bands, in pairs", fontsize=9)
figure.legend(["student", "teacher"], loc="outside upper right", ncols=2)
plotting.show(figure)
assert torch.allclose(attention(x).norm(dim=1), torch.ones(len(firsts)))

# %% [markdown]
# ## Four ways to compare maps
#
# The student's last map has 16 channels, the teacher's 160. Nothing can be subtracted. Each of the
# following gets round that in its own way.
#
# **FitNets** {cite}`romero2015fitnets` put a learnt map between: a 1×1 convolution $r$ from the
# student's channels to the teacher's,
#
# $$ L_\text{hint} = \operatorname{mean}\,\big(r(s) - t\big)^2 . $$
#
# It is trained along with the student and thrown away with the lesson. The hint comes first and alone,
# then a second stage teaches by answers.
#
# **Attention** {cite}`zagoruyko2017paying` sums the channels away: $a = \sum_c x_c^2$ has no channels,
# and both are scaled to unit length.
#
# **Similarity** {cite}`tung2019similarity` gives up the map itself. With the flattened maps of a batch
# as rows of $X$, the matrix $G = XX^\top$ says how alike any two *clips* are, whatever the map's size.
#
# Here they are, on a batch small enough to read: three clips, two channels, two mel bands, one frame.

# %%
s = torch.tensor([[[2.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]],
                  [[0.0, 1.0], [0.0, 3.0]]])[..., None]
t = torch.tensor([[[3.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]],
                  [[0.0, 1.0], [0.0, 1.0]]])[..., None]


def alike(x):
    return F.normalize(x.flatten(1) @ x.flatten(1).T, dim=1)


print("attention, student\n", attention(s).numpy().round(2))
print("attention, teacher\n", attention(t).numpy().round(2))
print("alike, student\n", alike(s).numpy().round(2))
print("alike, teacher\n", alike(t).numpy().round(2))

# %% [markdown]
# To the teacher, clips 2 and 3 are alike and clip 1 is apart. To the student, clips 1 and 2 are. That
# is what the similarity loss sees, and the attention loss says the same in another way: clip 2 looks
# at the wrong band. Now the three losses, by hand and by the library:

# %%
by_hand = {
    "hint": ((s - t) ** 2).mean(),
    "attention": ((attention(s) - attention(t)) ** 2).mean(),
    "similarity": ((alike(s) - alike(t)) ** 2).sum() / len(s) ** 2,
}
for name, value in by_hand.items():
    torch.testing.assert_close(value, getattr(losses, name)(s, t))
    print(f"{name:11}{value:.4f}")

# %% [markdown]
# How alike are real clips? {numref}`fig-alike` sorts 100 test clips by scene. A network that has
# understood shows blocks on the diagonal.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-alike", "caption": "How alike the last maps of 100 test clips are, ten of each scene, in the order of the scenes: cosines around the mean map."}, "image": {"alt": "Two square matrices of a hundred by a hundred cells with lighter blocks along the diagonal, one for the student and one for the teacher."}}
ten = torch.cat([(test.labels == k).nonzero()[:10, 0]
                 for k in test.labels.unique()])
figure, axes = plt.subplots(1, 2, figsize=(8, 3.8))
for ax, net, title in zip(axes, (student, teacher), ("student", "teacher"),
                          strict=True):
    with torch.no_grad():
        x = look(net, test.x[ten], "conv4")[1].flatten(1)
    x = F.normalize(x - x.mean(0), dim=1)
    ax.imshow(x @ x.T, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)
plotting.show(figure)
assert x.shape[0] == len(ten) and torch.isfinite(x).all()

# %% [markdown]
# **OFD**, the *comprehensive overhaul* {cite}`heo2019comprehensive`, looks at the map *before* its
# last ReLU. What is negative there will become zero; how negative does not matter. So the teacher's
# value $t$ becomes $\max(t, m)$, where the *margin* $m < 0$ is what the channel shows on average when
# it is negative. And a student that is already below a negative target is left in peace:
#
# $$ d = \begin{cases} 0 & s \le \max(t, m) \le 0 \\ (s - \max(t, m))^2 & \text{else.} \end{cases} $$

# %% mystnb={"figure": {"name": "fig-ofd", "caption": "The OFD loss of one value of the student for three values of the teacher, with a margin of −0.5."}, "image": {"alt": "Three curves over the student's value. For a positive teacher a full parabola; for two negative teachers a half parabola, flat at zero on the left."}}
values = torch.linspace(-2, 2, 401)
figure, ax = plt.subplots()
for t_value, colour in ((1.0, plotting.ACCENT), (-0.2, plotting.INK),
                        (-1.5, plotting.MUTED)):
    one = torch.full((1, 1, 1, 1), t_value)
    curve = [losses.margin(v.view(1, 1, 1, 1), one, -0.5) for v in values]
    ax.plot(values, curve, color=colour, label=f"teacher {t_value:+.1f}")
ax.set(xlabel="student", ylabel="loss", ylim=(-0.1, 4))
ax.legend()
plotting.show(figure)

# %% [markdown]
# ## What is left in the logits
#
# **Decoupled distillation** {cite}`zhao2022decoupled` takes the response loss apart. Let $p$ be the
# teacher's probability of the true scene. The divergence between the answers is exactly
#
# $$ \mathrm{KL} = \mathrm{KL}_\text{true against rest} + (1 - p)\,\mathrm{KL}_\text{among the rest} . $$
#
# The second part carries what [the last but one chapter](09_response.ipynb) called knowledge, and it
# is multiplied by $1 - p$: the surer the teacher, the less of it is taught. So give both a weight of
# their own. First, does the equation hold?

# %%
generator = torch.Generator().manual_seed(0)
a, b = (torch.randn(1, 10, generator=generator, dtype=torch.float64)
        for _ in range(2))
true = torch.tensor([3])
p = b.softmax(1)[0, 3].item()
split = losses.decoupled(a, b, true, alpha=1.0, beta=1 - p, temperature=1.0)
whole = losses.response(a, b, temperature=1.0)
print(f"1 - p = {1 - p:.3f}; split {split:.6f}, whole {whole:.6f}")
assert abs(split - whole) < 1e-12

# %% [markdown]
# **DIST** {cite}`huang2022knowledge` asks for less. A strong teacher is surer than a small student can
# be; must the student imitate that? DIST wants the *correlation* of both answers to be one, over the
# scenes of a clip, and over the clips of a scene. Probabilities may then differ in scale and offset.
# Soften the teacher: which loss minds?

# %%
z = 3 * torch.randn(64, 10, generator=generator, dtype=torch.float64)
rows = {}
for factor in (1.0, 0.7, 0.5):
    rows[factor] = {"response": losses.response(factor * z, z, 1.0).item(),
                    "DIST": losses.dist(factor * z, z).item()}
table = pd.DataFrame(rows).T.rename_axis("student's logits, as a factor")
assert table.loc[0.5, "DIST"] / 2 < table.loc[0.5, "response"]
table.round(3)

# %% [markdown]
# **Contrastive distillation**, CRD {cite}`tian2020contrastive`, compares embeddings as one compares
# fingerprints. Both are brought to 128 numbers of unit length. Their cosine should be high for two
# views of the *same* clip, and low for the student's view of one clip and the teacher's of another.
# With temperature $\tau$, $N$ others for each clip and $M$ clips to draw them from, the critic's
# estimate that a pair is genuine, and the loss, are
#
# $$ h = \frac{e^{\cos / \tau}}{e^{\cos / \tau} + N/M}, \qquad
#    L = -\ln h_\text{same} - \sum_\text{others} \ln (1 - h) . $$

# %%
view, other_view = (torch.randn(4, 8, generator=generator) for _ in range(2))
labels, clips, tau = torch.arange(4), 1000, 0.5
cosines = F.normalize(view, dim=1) @ F.normalize(other_view, dim=1).T
h = (cosines / tau).exp() / ((cosines / tau).exp() + 3 / clips)
own = torch.eye(4, dtype=torch.bool)
by_hand = -(h[own].log() + (1 - h).log().masked_fill(own, 0).sum(1)).mean()
library = losses.contrastive(view, other_view, labels, clips, temperature=tau)
torch.testing.assert_close(by_hand, library, rtol=1e-4, atol=1e-5)
print(cosines.numpy().round(2))
print(f"loss of four unrelated pairs: {library:.2f}")

# %% [markdown]
# ## Techniques as data
#
# None of this needs another trainer. A technique is a tuple of stages, and a stage names its loss, the
# output both networks are compared on, and what it connects.

# %%
names = ("fitnets", "attention", "similarity", "ofd", "decoupled", "dist",
         "contrastive")
rows = [{"technique": name} | stage.settings()
        for name in names for stage in TECHNIQUES[name]]
columns = ["loss", "on", "connect", "weight", "hard"]
usual = {"on": "logits", "connect": ""}
pd.DataFrame(rows).set_index("technique")[columns].fillna(usual)

# %% [markdown]
# The weights are near those in use elsewhere; a hint that is taught alone needs none. They span six
# orders of magnitude because every loss has its own unit. None was tuned here: a comparison of
# techniques would have to give each the same budget for that first.
#
# ## Two of them, live
#
# Attention and similarity, with the profile of this run: do their lessons arrive, on clips that nobody
# trained on? And what do they do to the student's embedding? The two axes of {numref}`fig-embeddings` are
# the first principal components of each embedding.

# %%
from asclib.training import macro_accuracy, predict

taught = ("attention", "similarity")
experiment.build(*taught)
nets = {"student alone": student}
nets |= {name: experiment.distilled(name) for name in taught}

# %% tags=["nbval-ignore-output"]
rows = {}
for name, net in nets.items():
    right = macro_accuracy(predict(net, test.x), test.labels)
    with torch.no_grad():
        maps = [look(one, test.x[::5], "conv4")[1] for one in (net, teacher)]
    rows[name] = {"macro accuracy (%)": 100 * right}
    for lesson in taught:
        loss = getattr(losses, lesson)(*maps).item()
        rows[name][f"{lesson} loss, in 1e-5"] = 1e5 * loss
    assert right > 0.15
pd.DataFrame(rows).T.round(1)

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-embeddings", "caption": "Embeddings of the test clips in their first two principal components: the student alone, and two taught students of this run. Colours are scenes."}, "image": {"alt": "Three scatter plots of coloured dots, one for each of three students."}}
from sklearn.decomposition import PCA

figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.2))
colours = [plotting.SCENE_COLOURS[SCENES[k]] for k in test.labels]
for ax, (name, net) in zip(axes, nets.items(), strict=True):
    flat = PCA(2).fit_transform(predict(net, test.x, net.embed).numpy())
    ax.scatter(*flat.T, c=colours, s=5)
    ax.set(title=name, xticks=[], yticks=[])
plotting.show(figure)
assert np.isfinite(flat).all()

# %% [markdown]
# Each lesson's loss, on clips that nobody trained on, should be lowest in the row of the student that had
# that lesson. That is the check that it arrived. Whether it *helped* is the first column. A lesson can
# arrive and harm: weights of 1,000 and 3,000 come from larger networks and longer trainings, and where
# they are too much, the student copies its teacher's gaze and neglects the answer. And one training of
# each settles nothing.
#
# ## Takeaways
# * A teacher's maps can be stored like its answers, once, by the clips' names.
# * Maps of different sizes are compared through a learnt map (FitNets, OFD), without their channels
#   (attention), or as similarities between clips (similarity).
# * Decoupled distillation weighs the true scene and the rest apart; DIST asks for correlation only.
# * Contrastive distillation asks to recognise the same clip among others.
# * A technique is data: a loss, an output, weights. One trainer runs them all.
#
# ## Exercises
# **1.** A student's map has 16 channels, the teacher's 160. How many weights has the learnt map of
# `fitnets_deep`, and how many of them are deployed?
#
# :::{dropdown} Solution
# 16 · 160 + 160 = 2,720, biases included. None is deployed: the map is thrown away after the stage.
# :::
#
# **2.** Multiply a student's map by 10. Which of hint, attention, similarity and OFD change?
#
# :::{dropdown} Solution
# Hint and OFD change. Attention and similarity scale their vectors to unit length: a common factor
# cancels.
# :::
#
# **3.** Write a technique that teaches by similarity first and by answers after.
#
# :::{dropdown} Solution
# ```python
# from asclib.distillation import TECHNIQUES, Stage, losses
#
# similar = Stage(losses.similarity, weight=3000.0, hard=1.0, on="conv4")
# mine = (similar, *TECHNIQUES["response"])
# ```
# `asclib.distillation.distill` takes it as it is, with `experiment.answers("conv4")`.
# :::
#
# ## What is next
# [Eight bits are enough](12_quantization.ipynb): the student, whoever taught it, goes onto the chip.
