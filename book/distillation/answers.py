# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same answers, read in other ways
#
# ## What you will learn
# * decoupled distillation: what the response loss is the sum of, and how it weighs its parts;
# * DIST: correlations instead of equality, across the scenes of a clip and across the clips of a scene;
# * standardised logits: the response loss, each clip in units of its own;
# * contrastive distillation (CRD): to recognise the same clip among others;
# * which change of a student's answers each of these losses minds;
# * what they do to accuracy, to confidence and to the embedding.
#
# **Prerequisites**: [the teacher's answers](response.ipynb); for the words on shapes,
# [the relations between clips](relations.ipynb).
#
# **Data in**: the log-mel features of the corpus, the teacher's stored answers.
#
# **Data out**: four students, each trained for a third of the profile's epochs: `response`,
# `decoupled`, `dist` and `contrastive`; and one taught by labels alone for as long.
#
# **In the library**: `asclib.distillation.losses.answers`.

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
from asclib.evaluation import calibration, evaluate, verdict
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## Three clips, four scenes
#
# A teacher's answers are a table: a row a clip, a column a scene. Response distillation compares two such
# tables entry by entry. There are other ways to read them. Here is a table small enough to follow each of
# them with a pencil. The true scenes of the three clips are bus, metro and tram.

# %%
scenes = ["bus", "metro", "park", "tram"]
clips = ["clip 1", "clip 2", "clip 3"]
t = torch.tensor([[4.0, 2.0, 0.0, 1.0], [1.0, 3.0, 0.0, 2.0],
                  [2.0, 1.0, 0.0, 3.0]], dtype=torch.float64)
s = torch.tensor([[3.0, 0.0, 1.0, 2.0], [1.0, 2.0, 0.0, 1.0],
                  [3.0, 1.0, 0.0, 2.0]], dtype=torch.float64)
labels = torch.tensor([0, 1, 3])


def table(x, columns=scenes):
    return pd.DataFrame(np.asarray(x), clips, columns)


p, q = t.softmax(1), s.softmax(1)
pd.concat({"teacher": table(p), "student": table(q)}, axis=1).round(2)

# %% [markdown]
# ## Decoupled: the true scene, and the rest
#
# {cite:t}`zhao2022decoupled` take the response loss apart. Let $p$ be the teacher's probability of the
# true scene. The divergence between two answers to a clip is exactly
#
# $$ \mathrm{KL} = \mathrm{KL}_\text{true against rest} + (1 - p)\,\mathrm{KL}_\text{among the rest} . $$
#
# The first part compares two numbers, *true* and *not true*. The second compares what each network thinks
# of the wrong scenes, given that it is one of them: divided by their sum, they are a distribution of
# their own. Clip by clip:

# %%
true = F.one_hot(labels, 4).bool()


def kl(a, b):
    return (a * (a / b).log()).sum(1)


def pair(x):
    return torch.stack([x[true], 1 - x[true]], dim=1)


def rest(x):
    wrong = x[~true].view(3, 3)
    return wrong / wrong.sum(1, keepdim=True)


parts = [kl(p, q), kl(pair(p), pair(q)), 1 - p[true], kl(rest(p), rest(q))]
split = table(torch.stack(parts, 1), ["KL", "KL true", "1 − p", "KL rest"])
split["sum"] = split["KL true"] + split["1 − p"] * split["KL rest"]
assert np.allclose(split["sum"], split["KL"])
split.round(3)

# %% [markdown]
# The second part carries what [distillation](response.ipynb) was invented for, and it is multiplied by
# $1 - p$: the surer the teacher, the less of it is taught. So give both parts a weight of their own,
#
# $$ L_\text{decoupled} = T^2 \,\big( \alpha\, \mathrm{KL}_\text{true}
#    + \beta\, \mathrm{KL}_\text{rest} \big), $$
#
# with $\beta$ the same for every clip. By hand and by the library:

# %%
p4, q4 = (t / 4).softmax(1), (s / 4).softmax(1)
by_hand = 4**2 * (kl(pair(p4), pair(q4)) + 8 * kl(rest(p4), rest(q4))).mean()
library = losses.decoupled(s, t, labels, alpha=1.0, beta=8.0, temperature=4.0)
torch.testing.assert_close(by_hand, library)
print(f"by hand {by_hand:.4f}, asclib {library:.4f}")

# %% [markdown]
# What does $\beta = 8$ replace? We look at the teacher's answers to the clips students learn from. How
# large is $1 - p$ there, at the temperature 4 of the loss and at 1?

# %% mystnb={"figure": {"name": "fig-decoupled", "caption": "Live run: the weight 1 − p that the response loss gives to the wrong scenes, sorted over the clips students learn from, at two temperatures; dotted, the weight of decoupled distillation."}, "image": {"alt": "Two rising curves on a logarithmic axis, the one for temperature 1 reaching far lower, and a dotted horizontal line at 8 above both."}}
fit, test = experiment.clips("fit"), experiment.clips("test")
stored = experiment.teacher().answers().joined(fit.identifiers).double()
share = np.linspace(0, 100, len(fit.labels))
figure, ax = plt.subplots(figsize=(6.5, 3))
for temperature, colour in ((1, plotting.ACCENT), (4, plotting.INK)):
    own = (stored / temperature).softmax(1)[range(len(stored)), fit.labels]
    ax.semilogy(share, (1 - own).sort().values, color=colour,
                label=f"1 − p, T = {temperature}")
ax.axhline(8, color="black", ls=":", label="β = 8")
ax.set(xlabel="clips, sorted (%)", ylabel="weight of the wrong scenes")
ax.legend()
plotting.show(figure)
assert ((own > 0) & (own < 1)).all()

# %% [markdown]
# Temperature alone raises the low end by much; $\beta$ raises everything, and makes it equal. It also
# makes the loss larger beside the labels. Both are changes at once, and a fair comparison would tune the
# weight of either.
#
# ## DIST: the same proportions will do
#
# {cite:t}`huang2022knowledge` ask for less. A strong teacher is surer than a small student can be; must the
# student imitate that? DIST wants *correlations* of one. With Pearson's correlation $\rho$,
#
# $$ L_\text{DIST} = T^2 \Big( \beta\,\big(1 - \overline{\rho(\text{row of } q, \text{row of } p)}\big)
#    + \gamma\,\big(1 - \overline{\rho(\text{column of } q, \text{column of } p)}\big) \Big) . $$
#
# A *row* is a clip: are the scenes in proportion? A *column* is a scene: are the clips? The second is a
# relation between clips, one scene at a time. In the three-by-four table:

# %%
def correlation(a, b):
    """Of each row of a with the same row of b."""
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


rows, columns = correlation(q, p), correlation(q.T, p.T)
by_hand = (1 - rows.mean()) + (1 - columns.mean())
torch.testing.assert_close(by_hand, losses.dist(s, t))
print(f"by hand {by_hand:.4f}, asclib {losses.dist(s, t):.4f}")
print("clips:", dict(zip(clips, rows.numpy().round(2).tolist(), strict=True)))
print("scenes:", dict(zip(scenes, columns.numpy().round(2).tolist(),
                          strict=True)))

# %% [markdown]
# Where the student took tram for bus (clip 3), its row is out of proportion. The column of park tells
# more than its small probabilities would in a sum.
#
# ## Standardised: each clip in units of its own
#
# {cite:t}`sun2024logit` free the student of its teacher's confidence in the logits already. With the mean
# $\bar z$ of a clip's $K$ logits and their standard deviation $\sigma$, the response loss compares
#
# $$ \tilde z = \frac{z - \bar z}{\sigma}, \quad \sigma^2 = \frac{1}{K - 1} \sum_k (z_k - \bar z)^2;
#    \qquad L_\text{standardised} = T^2\,\mathrm{KL}\big(\operatorname{softmax}(\tilde t / T)\,\|\,
#    \operatorname{softmax}(\tilde s / T)\big) . $$
#
# The authors take a *base temperature* $T = 2$ and weigh the loss by 9, beside the labels by 1. On our three
# clips:

# %%
def standard(z):
    return (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True)


p2, q2 = (standard(t) / 2).softmax(1), (standard(s) / 2).softmax(1)
by_hand = 2**2 * kl(p2, q2).mean()
torch.testing.assert_close(by_hand, losses.standardised(s, t))
print(f"by hand {by_hand:.4f}, asclib {losses.standardised(s, t):.4f}")
pd.concat({"teacher": table(standard(t)), "student": table(standard(s))},
          axis=1).round(2)

# %% [markdown]
# A student that gives its teacher's logits times any factor has nothing more to learn here. DIST correlates
# probabilities, and those of two such answers are not quite in proportion. `experiment.taught("standardised")`
# trains with this loss; the live section below does not.
#
# ### Who minds what?
#
# Let the student's answers be the teacher's, with one thing changed. Each loss is divided by what it says
# of a student that answers another clip's answer, so that 1 means *as bad as random*. All are at $T = 1$.

# %%
generator = torch.Generator().manual_seed(0)
z = 3 * torch.randn(256, 10, generator=generator, dtype=torch.float64)
of = z.argmax(1)
own, wrong = F.one_hot(of, 10).double(), 1 - F.one_hot(of, 10).double()
changed = {"half as sure": z / 2, "twice as sure": 2 * z,
           "true scene lowered by 2": z - 2 * own,
           "wrong scenes in another order": z * own + z.roll(1, 1) * wrong,
           "one scene raised by 2": z + 2 * F.one_hot(torch.tensor(3), 10),
           "another clip's": z.roll(1, 0)}

# %%
minds = pd.DataFrame({name: {
    "response": losses.response(x, z, 1.0),
    "decoupled": losses.decoupled(x, z, of, temperature=1.0),
    "DIST": losses.dist(x, z),
    "standardised": losses.standardised(x, z, 1.0)}
    for name, x in changed.items()}).T.astype(float)
minds.div(minds.loc["another clip's"]).round(2) + 0.0

# %% [markdown]
# Read it by columns. Standardised logits do not mind confidence at all, DIST hardly, and both mind what
# changes proportions. Decoupled
# distillation minds the wrong scenes more than the true one. The response loss sums it all. And here is
# the first change again, for every degree:

# %% mystnb={"figure": {"name": "fig-sure", "caption": "Four losses of a student that gives the teacher's logits times a factor, each divided by its value for another clip's answer; made-up logits."}, "image": {"alt": "Four curves over a factor from 0.2 to 3, all zero at 1; one is zero everywhere, another stays lower than the other two to the right."}}
factors = np.linspace(0.2, 3, 29)
figure, ax = plt.subplots(figsize=(6.5, 3))
for name, loss in {"response": lambda x: losses.response(x, z, 1.0),
                   "decoupled": lambda x: losses.decoupled(
                       x, z, of, temperature=1.0),
                   "DIST": lambda x: losses.dist(x, z),
                   "standardised": lambda x: losses.standardised(
                       x, z, 1.0)}.items():
    curve = np.array([float(loss(factor * z)) for factor in factors])
    ax.plot(factors, curve / minds.loc["another clip's", name], label=name)
ax.set(xlabel="the student's logits / the teacher's", ylabel="relative loss")
ax.legend()
plotting.show(figure)

# %% [markdown]
# ## Contrastive: which clip is it?
#
# CRD {cite}`tian2020contrastive` leaves the answers and compares embeddings, as one compares fingerprints.
# Two learnt linear maps bring both to 128 numbers of unit length. Their cosine should be high for two views
# of the *same* clip, and low for the student's view of one clip and the teacher's of another. For each clip
# there are one genuine pair and $N$ others, and a critic says how likely a pair is to be genuine,
#
# $$ h = \frac{e^{\cos / \tau}}{e^{\cos / \tau} + N Z}, \qquad
#    L = -\ln h_\text{same} - \sum_\text{others} \ln (1 - h), $$
#
# with a temperature $\tau$. The constant $Z$ is what $e^{\cos / \tau}$ is on average for two random directions.
# So to the critic $e^{\cos / \tau} / Z$ is how many times as likely such a cosine is for a genuine pair as for a
# random one, and with one genuine pair for $N$ others, Bayes' rule makes $h$ of it. The loss is taken twice, once with the
# student's view of a clip held against the teacher's of all clips and once the other way round, and both are added:
# $L_\text{contrastive} = L_\to + L_\gets$.
#
# Four clips, three numbers each. In three dimensions $Z = \tau \sinh(1 / \tau)$, since the cosines of random
# directions are spread evenly from −1 to 1. Clips 1 and 2 are of one scene, and clips of one scene are not set
# against each other.

# %%
view = torch.tensor([[1.0, 0.2, 0.0], [0.9, 0.3, 0.1], [0.0, 1.0, 0.0],
                     [0.5, 0.0, 1.0]])
other_view = torch.tensor([[1.0, 0.0, 0.1], [1.0, 0.1, 0.0], [0.1, 1.0, 0.0],
                           [1.0, 0.0, 0.4]])
scene, tau = torch.tensor([0, 0, 1, 2]), 0.5
cosines = F.normalize(view, dim=1) @ F.normalize(other_view, dim=1).T
others = scene[:, None] != scene
NZ = others.sum(1, keepdim=True) * tau * np.sinh(1 / tau)
loss = torch.zeros(4)
for way in (cosines, cosines.T):  # the student's views, then the teacher's
    h = (way / tau).exp() / ((way / tau).exp() + NZ)
    loss += -h.diagonal().log() - ((1 - h).log() * others).sum(1)
library = losses.contrastive(view, other_view, scene, temperature=tau)
torch.testing.assert_close(loss.mean(), library, rtol=1e-4, atol=1e-5)

# %%
print(f"by hand {loss.mean():.4f}, asclib {library:.4f}")
four = pd.DataFrame(cosines.numpy(), [f"student {k}" for k in range(1, 5)],
                    [f"teacher {k}" for k in range(1, 5)])
four.assign(loss=loss.double().numpy()).round(2)

# %% [markdown]
# Clip 4 costs most: the teacher's view of it lies nearer to the student's of clips 1 and 2 than to the student's
# own of clip 4. Clip 3 costs least. It is set against three others and not two as clips 1 and 2 are, but
# hardly anything is like it. Clips 1 and 2 are recognised as well as can be, and still they cost: the views of
# clip 4 are in their way.
#
# How the two terms depend on a cosine says what the critic cares about. For two random directions $h$ is about
# $1 / (N + 1)$, as a guess would be, and there the genuine pair pulls as strongly as all $N$ others together
# push. Neither is taken for granted. In {numref}`fig-critic` both terms are equal where $h = 1/2$, at a cosine of
# $\tau \ln (N Z)$. For the larger temperature that is beyond 1: however alike, no pair convinces this critic,
# and the loss stays high.

# %% mystnb={"figure": {"name": "fig-critic", "caption": "The two terms of the contrastive loss against the cosine of a pair of views of 128 numbers, with N = 28 others, for two temperatures: the genuine pair (solid) and one other (dashed). Dotted, where the two are equal; for τ = 0.5 that is beyond 1."}, "image": {"alt": "Two panels with a falling solid and a rising dashed curve over cosines from minus one to one. For the larger temperature both are flat and the solid one stays above the dashed; for the smaller they are steep and cross at a dotted line near 0.4."}}
from asclib.distillation.losses.answers import chance  # ln Z

line = torch.linspace(-1, 1, 201)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for ax, tau in zip(axes, (0.5, 0.1), strict=True):
    even = tau * (np.log(28) + chance(128, tau))
    logit = (line - even) / tau
    ax.plot(line, -F.logsigmoid(logit), color=plotting.INK, label="genuine")
    ax.plot(line, -F.logsigmoid(-logit), "--", color=plotting.ACCENT,
            label="another")
    ax.axvline(even, color=plotting.MUTED, ls=":")
    ax.set(title=f"τ = {tau}", xlabel="cosine", xlim=(-1.05, 1.05))
axes[0].set(ylabel="loss (nats)")
axes[1].legend()
plotting.show(figure)

# %% [markdown]
# The formula of the paper has neither $Z$ nor $N$ alone, but $N / M$ with $M$ clips to draw from. Read to the
# letter, nearly every pair is genuine to such a critic at first; little but pushing is left, and the best student says the
# opposite of its teacher. The authors' program divides by $Z$, estimated in its first batch, and by $M$, which
# cancels. It keeps a memory of all clips and draws 16,384 others for each, at $\tau = 0.07$; ours takes those of
# the batch, at $\tau = 0.1$. Why should this teach anything about scenes? A student that can tell which clip the teacher
# heard has kept what the teacher kept. It may keep more than scenes: two clips of one scene are set
# against nobody, but a clip's own noise is as good a fingerprint as its scene.
#
# ## Four readings, live
#
# As stages, and then trained. So that it stays below a minute, everybody here trains for a **third** of the
# profile's epochs, the student alone as well.

# %%
names = ("response", "decoupled", "dist", "contrastive")
rows = [{"technique": name} | stage.settings()
        for name in names for stage in TECHNIQUES[name]]
columns = ["on", "connect", "weight", "hard", "arguments"]
unnamed = {"on": "logits", "connect": ""}
pd.DataFrame(rows).set_index("technique")[columns].fillna(unnamed)

# %%
usual = experiment.profile.stage
plan = replace(usual, epochs=usual.epochs // 3)
runs = {"student alone": replace(experiment.student(), plan=plan)}
runs |= {name: experiment.taught(name, plan=plan) for name in names}
runs["teacher"] = experiment.teacher()
build(list(runs.values()))
nets = {name: run.net() for name, run in runs.items()}
views = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
with torch.no_grad():  # the head turns an embedding into logits
    logits = {name: net.head(views[name]).double()
              for name, net in nets.items()}
print(f"{plan.epochs} epochs a stage instead of {usual.epochs}")

# %% [markdown]
# How much of each lesson is there on test clips? Smaller is nearer to the teacher. The last column is the
# share of clips to which student and teacher give the same scene.

# %% tags=["nbval-ignore-output"]
rows, z = {}, logits["teacher"]
for name in list(nets)[:-1]:
    x = logits[name]
    rest_only = {"alpha": 0.0, "beta": 1.0, "temperature": 1.0}
    same = (x.argmax(1) == z.argmax(1)).double().mean()
    rows[name] = {
        "response": losses.response(x, z, 1.0),
        "KL rest": losses.decoupled(x, z, test.labels, **rest_only),
        "DIST, rows": losses.dist(x, z, gamma=0.0),
        "DIST, columns": losses.dist(x, z, beta=0.0),
        "same scene (%)": 100 * same}
readings = pd.DataFrame(rows).T.astype(float)
assert np.isfinite(readings.to_numpy()).all()
readings.round(2)

# %% [markdown]
# And did it help? DIST leaves a student free to be as sure as it likes, so confidence is worth a look: the
# *calibration error* is the mean gap between confidence and accuracy ([the teacher](../networks/teacher.ipynb)).

# %% tags=["nbval-ignore-output"]
rows = {}
for name, x in logits.items():
    probabilities = x.softmax(1).numpy()
    score = evaluate(probabilities, experiment.table("test")).overall
    error = calibration(probabilities, test.labels.numpy()).error
    rows[name] = {"accuracy (%)": 100 * score.accuracy,
                  "low": 100 * score.accuracy_low,
                  "high": 100 * score.accuracy_high,
                  "log loss": score.log_loss,
                  "calibration error (%)": 100 * error}
    assert np.isfinite(score.log_loss) and 0 <= score.accuracy <= 1
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# ### Before and after
#
# *Purity* is the share of a clip's ten nearest neighbours that are of its scene, clips of its own
# recording left aside; chance is about ten per cent. It is taken from all numbers of an embedding.
# The planes show two: each network's directions of largest variance, turned towards the first. Only the
# contrastive lesson looked at the embedding itself.

# %% mystnb={"figure": {"name": "fig-answers-embedding", "caption": "Live run, a third of the epochs: embeddings of the test clips before (student alone) and after each lesson, and the teacher's. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Six scatter plots of coloured dots, one for each of five students and one for the teacher, with the purity of the neighbourhoods in each title."}}
figure, purity = plotting.embeddings(views, experiment.table("test"))
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
purity.round(1)

# %% [markdown]
# `change` compares with the student alone, clip by clip; an interval that includes zero says that these
# test clips do not tell the two apart. One short training of each ranks nothing.
#
# ### Over several seeds
#
# The study gave every technique three seeds or more, as many epochs as the student alone, and a weight chosen on
# validation clips. [All techniques, compared](comparison.ipynb) has the rules, and the correction for their number.

# %% mystnb={"figure": {"name": "fig-answers-study", "caption": "Study, embedded corpus: each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower)."}, "image": {"alt": "Four rows, one for each technique, with two dots and two intervals around a vertical line at zero."}}
gains = plotting.study_gains("response", "decoupled", "dist", "contrastive")
for name, row in gains.iterrows():
    glue(f"answers_{name}", float(row["accuracy"]))
    glue(f"answers_{name}_seeds", verdict(
        row["seeds_low"], row["seeds_high"]))

# %% [markdown]
# Plain response gains {glue:text}`answers_response:+.1f` points (the interval over seeds {glue:text}`answers_response_seeds`), the decoupled
# loss {glue:text}`answers_decoupled:+.1f` ({glue:text}`answers_decoupled_seeds`), DIST {glue:text}`answers_dist:+.1f` ({glue:text}`answers_dist_seeds`) and the
# contrastive loss {glue:text}`answers_contrastive:+.1f` ({glue:text}`answers_contrastive_seeds`).
#
# ## Takeaways
# * The response loss is a divergence about the true scene plus $1 - p$ times one about the rest.
#   Decoupled distillation sets both weights free.
# * DIST asks for correlation, over scenes and over clips, and so leaves confidence to the student; standardised
#   logits do so entirely.
# * Contrastive distillation asks to recognise the same clip among others, from the embedding. Its critic must
#   know what chance would say.
# * A table of what each loss minds says more about it than its name.
# * A lesson can change accuracy, confidence and neighbourhoods apart from each other: look at all three.
#
# ## Exercises
# **1.** With two classes, one of the two parts of decoupled distillation says nothing. Which, and what does
# that mean for a one-vs-all member?
#
# :::{dropdown} Solution
# Among the rest there is one class only, with probability one for both networks: $\mathrm{KL}_\text{rest}$
# is zero. For a member there is nothing to decouple. On the ten fused logits there is.
# :::
#
# **2.** Replace the probabilities in DIST by ranks. Which of the changes in the table of who minds what
# would then be free?
#
# :::{dropdown} Solution
# Along a row, every change that keeps the order of the scenes: both changes of confidence would cost
# nothing. Along a column the order of *clips* decides, and the softmax of each clip has a
# denominator of its own, so a change of confidence may still cost something there. Raising one scene in
# all clips can change the order in rows; in its own column it cannot.
# :::
#
# **3.** Let clips of one scene be set against each other, too. What do you expect of the purity?
#
# :::{dropdown} Solution
# Give every clip a label of its own: `losses.contrastive(view, other_view, torch.arange(4))`. The
# loss then pushes clips of one scene apart, and their neighbourhoods have a reason to become less pure.
# To find out, put a loss of your own into the stage:
# ```python
# def against_all(student, teacher, labels):
#     own = torch.arange(len(labels), device=labels.device)
#     return losses.contrastive(student, teacher, own)
#
#
# stage, = TECHNIQUES["contrastive"]
# mine = (replace(stage, loss=against_all),)
# net = experiment.taught(mine, plan=plan).net()
# views["against all"] = predict(net, test.x, net.embed)
# ```
# and draw `views` once more.
# :::
#
# ## What is next
# All lessons so far came straight from the teacher. [The next chapter](assistants.ipynb) puts somebody
# in between.
