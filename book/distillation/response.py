# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Learning from the teacher's answers
#
# ## What you will learn
# * what a teacher's answer says that a label does not, and what the *temperature* shows of it;
# * response-based distillation in five lines, and why they carry a factor $T^2$;
# * two slips that change the loss in silence: the wrong mean, and a second softmax;
# * why the teacher answers once, and why its answers are joined by name and not by row;
# * how to read a difference between two systems that comes with two intervals.
#
# **Prerequisites**: [the student](../networks/student.ipynb) and [the teacher](../networks/teacher.ipynb); softmax and
# cross-entropy.
#
# **Data in**: the log-mel features of the corpus, the trained student and teacher.
#
# **Data out**: two students taught by the teacher's answers, `response` and `response_published`.
#
# **In the library**: `asclib.distillation.answers`, `asclib.distillation.losses.response`,
# `asclib.distillation.stages`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from asclib import plotting, store
from asclib.distillation import TECHNIQUES, losses
from asclib.runs import Experiment, build

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## More than a label
#
# A label says *tram* and nothing else. A trained teacher says: tram, though it could be a metro,
# hardly a bus, and surely no park. These small probabilities are knowledge about how scenes resemble
# each other. {cite:t}`hinton2015distilling` proposed to teach a small network with them.
#
# There is a difficulty. A good teacher is sure of itself: the small probabilities are so small that
# they hardly count in a loss. So they are enlarged first. With logits $t_1, \dots, t_K$ and a
# *temperature* $T$,
#
# $$ p_k(T) = \frac{e^{t_k / T}}{\sum_j e^{t_j / T}} . $$
#
# At $T = 1$ this is the ordinary softmax. A higher temperature brings the probabilities closer
# together and keeps their order. Among the test clips that the teacher names rightly, we take the one
# whose probability is closest to 0.9, and look at its answer at three temperatures.

# %% tags=["nbval-ignore-output"]
from asclib.training import predict

test, teacher = experiment.clips("test"), experiment.teacher().net()
embedding = predict(teacher, test.x, teacher.embed)
with torch.no_grad():  # the last layer turns an embedding into logits
    teacher_logits = teacher.head(embedding)
sure, guess = teacher_logits.softmax(dim=1).max(dim=1)
far = torch.where(guess == test.labels, (sure - 0.9).abs(), 2.0)
clip = int(far.argmin())
print(f"{test.identifiers[clip]}: probability {sure[clip]:.2f} at T = 1")
assert torch.isfinite(teacher_logits).all()

# %% [markdown]
# Which of the other nine scenes come into view as the temperature rises?

# %% mystnb={"figure": {"name": "fig-temperature", "caption": "The teacher's answer for one test clip at three temperatures; the clip's own scene is the coloured bar."}, "image": {"alt": "Three bar charts of ten probabilities each. At temperature 1 one bar is by far the largest; at 3 and 10 the other bars grow while the order stays the same."}}
figure, axes = plt.subplots(1, 3, figsize=(8, 3.2), sharey=True, sharex=True)
colours = [plotting.MUTED] * 10
colours[test.labels[clip]] = plotting.ACCENT
for ax, temperature in zip(axes, (1, 3, 10), strict=True):
    p = (teacher_logits[clip] / temperature).softmax(dim=0)
    ax.barh(plotting.SCENE_LABELS, p, color=colours)
    ax.set(title=f"T = {temperature}", xlabel="probability", xlim=(0, 1))
axes[0].invert_yaxis()
plotting.show(figure)

# %% [markdown]
# One clip is an anecdote. {numref}`fig-soft-targets` averages the teacher's answers at $T = 3$ over
# all clips of each true scene. Which scenes does the teacher find alike? Those off the diagonal are
# what a student can learn here and nowhere in the labels.

# %% mystnb={"figure": {"name": "fig-soft-targets", "caption": "Mean answer of the teacher at T = 3 on the clips students learn from, by true scene."}, "image": {"alt": "A ten by ten matrix of probabilities in per cent, true scenes down and answers across, with a strong diagonal and some lighter cells beside it."}}
import seaborn as sns

answers = experiment.teacher().answers()
fit = experiment.clips("fit")
soft = (answers.joined(fit.identifiers) / 3).softmax(dim=1)
by_scene = pd.DataFrame(soft.numpy()).groupby(fit.labels.numpy()).mean()
figure, ax = plt.subplots(figsize=(6.2, 5.2))
scenes = plotting.SCENE_LABELS
sns.heatmap(100 * by_scene.reindex(range(10)), ax=ax, cmap="Blues", annot=True,
            fmt=".0f", annot_kws={"size": 8}, cbar=False, square=True,
            xticklabels=scenes, yticklabels=scenes)
ax.set(xlabel="the teacher's answer (%)", ylabel="true scene")
plotting.show(figure)

# %% [markdown]
# ## The loss in five lines
#
# The student shall give the same answer at the same temperature. The distance between two
# distributions $p$ (teacher) and $q$ (student) is measured by the Kullback–Leibler divergence,
#
# $$ L_\text{response} = T^2 \cdot \mathrm{KL}\big(p(T) \,\|\, q(T)\big)
#    = T^2 \sum_k p_k(T)\,\big(\ln p_k(T) - \ln q_k(T)\big), $$
#
# averaged over the clips of a batch. Note what it is computed from: **logits**, divided by $T$ and
# then softmaxed, once. The logarithms come from `log_softmax`: the logarithm of a probability that
# was rounded to zero would be minus infinity.

# %%
def response(student, teacher, temperature):
    p = (teacher / temperature).softmax(dim=1)
    log_p = (teacher / temperature).log_softmax(dim=1)
    log_q = (student / temperature).log_softmax(dim=1)
    divergence = (p * (log_p - log_q)).sum(dim=1)
    return temperature**2 * divergence.mean()


# %% [markdown]
# We check it against the library's function, on made-up logits of 64 clips in double precision.

# %%
generator = torch.Generator().manual_seed(0)
s = torch.randn(64, 10, generator=generator, dtype=torch.float64)
t = 3 * torch.randn(64, 10, generator=generator, dtype=torch.float64)
for temperature in (1.0, 3.0, 10.0):
    ours = response(s, t, temperature)
    library = losses.response(s, t, temperature)
    print(f"T = {temperature:4.1f}: here {ours:.6f}, asclib {library:.6f}")
    assert torch.allclose(ours, library, rtol=1e-12)

# %% [markdown]
# ## Why $T^2$
#
# Training feels a loss through its gradient. For one clip, the derivative of the divergence with
# respect to a logit $s_i$ of the student is
#
# $$ \frac{\partial\, \mathrm{KL}}{\partial s_i} = \frac{1}{T}\,\big(q_i(T) - p_i(T)\big)
#    \;\approx\; \frac{1}{K\,T^2}\,\big((s_i - \bar s) - (t_i - \bar t)\big)
#    \quad \text{for large } T. $$
#
# One $1/T$ is the chain rule. The other comes from the softmax: at high temperature all
# probabilities are near $1/K$, and their differences shrink like $1/T$. So the gradient fades like
# $1/T^2$, and $T^2$ undoes that. Without it, a change of temperature would also change how
# much the teacher counts beside the labels. First the formula, checked against automatic
# differentiation:

# %%
s.requires_grad_()
gradient, = torch.autograd.grad(losses.response(s, t, 3.0), s)
q, p = (s.detach() / 3).softmax(dim=1), (t / 3).softmax(dim=1)
formula = 3 * (q - p) / len(s)  # T² · (1/T) · (q - p), mean over the batch
largest = (gradient - formula).abs().max()
print(f"largest difference below 1e-15: {largest < 1e-15}")

# %% [markdown]
# Now its size, the mean over clips of the length of the gradient vector, with and without the factor.

# %%
def gradient_size(loss, logits=s):
    """Mean over the clips of the length of the gradient."""
    gradient, = torch.autograd.grad(loss, logits)
    return float(len(logits) * gradient.norm(dim=1).mean())


sizes = pd.DataFrame(index=pd.Index([1, 2, 4, 8], name="T"), dtype=float)
for temperature in sizes.index:
    size = gradient_size(losses.response(s, t, temperature))
    sizes.loc[temperature, "with T²"] = size
    sizes.loc[temperature, "without"] = size / temperature**2
sizes.round(3)

# %% [markdown]
# How far does this hold? {numref}`fig-gradient` draws the same two quantities over a wide range.

# %% mystnb={"figure": {"name": "fig-gradient", "caption": "Size of the gradient of the response loss against temperature, with and without the factor T², for made-up logits."}, "image": {"alt": "Two curves on logarithmic axes. With the factor the curve levels off from temperature 2 on; without it the curve falls by a factor of a hundred for each ten-fold temperature."}}
temperatures = np.geomspace(0.5, 30, 25)
with_factor = np.array([gradient_size(losses.response(s, t, temperature))
                        for temperature in temperatures])
figure, ax = plt.subplots(figsize=(6, 3.2))
ax.loglog(temperatures, with_factor, color=plotting.INK, label="with T²")
ax.loglog(temperatures, with_factor / temperatures**2, color=plotting.ACCENT,
          ls="--", label="without")
ax.set(xlabel="temperature T", ylabel="size of the gradient")
ax.legend()
plotting.show(figure)

# %% [markdown]
# :::{admonition} A slip to avoid: the mean over classes
# :class: warning
# `nn.KLDivLoss()` with its default `reduction="mean"` divides by the number of *entries*, clips times
# classes. The divergence of a distribution is a sum over its classes. With ten scenes the default
# makes the loss ten times too small. Training goes on as if all were well; torch only warns. (Mind the
# order too: `KLDivLoss` wants $\ln q$ first and $p$ second.)
# :::

# %%
log_q, p = (s.detach() / 3).log_softmax(dim=1), (t / 3).softmax(dim=1)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    default = torch.nn.KLDivLoss()(log_q, p)
right = torch.nn.KLDivLoss(reduction="batchmean")(log_q, p)
factor = default / right
print(f"default {default:.4f}, batchmean {right:.4f}: factor {factor:.1f}")
print("torch warns:", str(caught[0].message)[:57], "...")

# %% [markdown]
# ## Labels and answers together
#
# The teacher errs too, so the labels stay in the game. The two losses are mixed with a weight
# $\alpha$:
#
# $$ L = \alpha \cdot \mathrm{CE}(\text{label}, s) + (1 - \alpha) \cdot T^2 \cdot
#    \mathrm{KL}\big(p(T) \,\|\, q(T)\big). $$
#
# AI4EDGE used $\alpha = 0.1$ and $T = 3$ in 2022 {cite}`ai4edge2022report`. In `asclib` a technique is
# data: a tuple of stages, each with a loss, its weight and the weight of the labels (`hard`).

# %%
stage, = TECHNIQUES["response"]
for name, value in stage.settings().items():
    print(f"{name:10s} {value}")
labels = torch.arange(64) % 10
by_hand = 0.1 * F.cross_entropy(s, labels) + 0.9 * response(s, t, 3.0)
by_stage = stage.hard * F.cross_entropy(s, labels) + stage.weight * stage.loss(
    s, t, **stage.arguments
)
print(f"by hand {by_hand:.4f}, by the stage {by_stage:.4f}")

# %% [markdown]
# ## The teacher answers once
#
# The teacher is ten networks. Asking it anew in every epoch would cost about ten times what the
# student's own forward pass costs, and it would say the same each time: it is in inference mode and
# does not learn any more. So it answers once, and its logits are stored.
#
# Stored answers bring a classic bug. Training shuffles, augmentation multiplies, a file is sorted
# differently, and answer number 7 belongs to another clip. Nothing crashes. Therefore an `Answers`
# carries the identifier of each clip, and joining is by identifier. A clip without an answer is an
# error, and so is one with two.

# %%
import textwrap

from asclib.distillation import Answers

three = Answers(np.array(["clip-1", "clip-2", "clip-3"]), t[:3].numpy())
assert torch.equal(three.joined(np.array(["clip-3", "clip-1"])), t[[2, 0]])
twice = Answers(np.array(["clip-1", "clip-1"]), t[:2].numpy())
for wrong, asked in ((three, "clip-4"), (twice, "clip-1")):
    try:
        wrong.joined(np.array([asked]))
    except ValueError as error:
        print(textwrap.fill(f"ValueError: {error}", 72))

# %% [markdown]
# Would a plausibility check have found the bug? We count on how many clips the teacher's answer is
# the clip's label: with the answers in place, moved by one row, and shuffled.

# %% tags=["nbval-ignore-output"]
rows = np.arange(len(fit.labels))
orders = {"in place": rows, "moved by one row": np.roll(rows, 1),
          "shuffled": np.random.default_rng(0).permutation(rows)}
named = soft.argmax(dim=1)
shares = {name: float((named[order] == fit.labels).float().mean())
          for name, order in orders.items()}
print({name: f"{100 * share:.0f} %" for name, share in shares.items()})
assert shares["in place"] > 0.15

# %% [markdown]
# A shuffled file gives itself away. A file that is off by one row need not: where the table is sorted,
# the neighbour is mostly a clip of the same scene, often of the same recording. Accuracy is no test
# of alignment; names are.
#
# ## The published slip: softmax, twice
#
# In the programs of the 2022 submission the networks end in a softmax layer. Their loss then divided
# these *probabilities* by $T$ and softmaxed them a second time. Nor did it multiply by $T^2$. What is left of a teacher who is
# completely sure?

# %%
one_hot = torch.zeros(1, 10, dtype=torch.float64)
one_hot[0, 0] = 1  # the probabilities of a teacher without any doubt
for temperature in (1, 3, 10):
    target = (one_hot / temperature).softmax(dim=1)[0]
    print(f"T = {temperature:2d}: its scene {target[0]:.3f}, the others "
          f"{target[1]:.3f}, ratio {target[0] / target[1]:.2f}")

# %% [markdown]
# Probabilities lie between 0 and 1, so after division by $T$ no two of them differ by more than
# $1/T$, and no two targets by more than a factor $e^{1/T}$. At $T = 3$, whatever the teacher says, the
# student is shown an almost uniform distribution. This is how it looks for the clip from above.

# %% mystnb={"figure": {"name": "fig-slip", "caption": "Targets for the clip of the first figure at T = 3: from logits, and from probabilities softmaxed a second time. The line marks one tenth."}, "image": {"alt": "Two bar charts of ten probabilities. The left one has a clear largest bar; in the right one all ten bars are close to one tenth."}}
probabilities = teacher_logits[clip].softmax(dim=0)
targets = {"softmax(logits / T)": (teacher_logits[clip] / 3).softmax(dim=0),
           "softmax(probabilities / T)": (probabilities / 3).softmax(dim=0)}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, sharex=True)
for ax, (name, p) in zip(axes, targets.items(), strict=True):
    ax.barh(plotting.SCENE_LABELS, p, color=colours)
    ax.axvline(0.1, color=plotting.INK, lw=1)
    ax.set(title=name, xlabel="probability")
axes[0].invert_yaxis()
plotting.show(figure)

# %% [markdown]
# The gradient shrinks as well, and most where the student is sure: the derivative of the inner
# softmax vanishes there. The size alone would matter little, since Adam divides it away. What matters
# is its size *beside the labels*. The table compares the two terms of $L$ for a made-up student that
# becomes more and more sure (its logits are multiplied by 1, 3 and 10); `slip` is the published form.

# %%
rows = []
for scale in (1, 3, 10):
    z = (scale * s).detach().requires_grad_()
    terms = {"labels": 0.1 * F.cross_entropy(z, labels),
             "answers": 0.9 * losses.response(z, t, 3.0),
             "slip": 0.9 * losses.response_double_softmax(z, t, 3.0)}
    size = {name: gradient_size(term, z) for name, term in terms.items()}
    ratio = size["answers"] / size["slip"]
    rows.append({"scale": scale, **size, "answers / slip": ratio})
pd.DataFrame(rows).set_index("scale").round(
    {"labels": 3, "answers": 3, "slip": 5, "answers / slip": 0})

# %% [markdown]
# With the loss on logits the teacher's answers outweigh the labels. With the slip it is the other way
# round: what was meant as distillation becomes mostly training on labels, a little smoothed.
#
# ## The consequence, trained
#
# Both are trained here, from the same initial weights and in the same order of clips. `response` is the
# loss on logits, `response_published` the published form. A training is a *run*: what is trained, on what,
# how, and by whom it is taught. `build` trains those that are not in the store yet, side by side.

# %% mystnb={"figure": {"name": "fig-response-curves", "caption": "Live run: training loss and validation accuracy of the student alone, and of two students taught by the teacher's answers. The three losses are different functions: each is shown as a share of its first epoch's."}, "image": {"alt": "Two panels of learning curves over epochs for three students: training loss on the left, validation macro accuracy on the right."}}
names = ("response", "response_published")
runs = {"student": experiment.student()}
runs |= {name: experiment.taught(name) for name in names}
build(list(runs.values()))
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
shades = (plotting.MUTED, plotting.INK, plotting.ACCENT)
for (name, run), colour in zip(runs.items(), shades, strict=True):
    history = run.history()
    history.index += 1  # the first epoch is 1
    left.plot(history["loss"] / history["loss"][1], color=colour, label=name)
    right.plot(100 * history["validation_accuracy"], color=colour)
left.set(xlabel="epoch", ylabel="loss / loss of epoch 1")
right.set(xlabel="epoch", ylabel="validation macro accuracy (%)")
left.legend()
plotting.show(figure)

# %% [markdown]
# Does a taught student *resemble* its teacher more than one that only saw labels? We ask on test clips,
# which neither has seen: on how many clips do they name the same scene, and how far apart are their
# answers at $T = 1$?

# %%
from asclib.evaluation import evaluate
from asclib.compression import agreement

nets = {name: run.net() for name, run in runs.items()}
taught = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
with torch.no_grad():
    outputs = {name: net.head(taught[name]) for name, net in nets.items()}

# %% tags=["nbval-ignore-output"]
rows = {}
for name, logits in {**outputs, "teacher": teacher_logits}.items():
    probabilities = logits.double().softmax(dim=1).numpy()
    score = evaluate(probabilities, experiment.table("test")).overall
    rows[name] = {"accuracy (%)": 100 * score.accuracy,
                  "log loss": score.log_loss,
                  "same scene (%)": 100 * agreement(logits, teacher_logits),
                  "KL": float(response(logits, teacher_logits, 1.0))}
    assert score.accuracy > 0.15 and np.isfinite(score.log_loss)
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# And what became of the *embedding*, the 256 numbers before the last layer? The loss never looked at
# them. In {numref}`fig-response-embedding` each dot is a test clip, in the two directions of largest
# variance of each network. A turn of the plane means nothing, so each plane is turned towards the first.
# *Purity* says in one number what the eye should see: the share of a clip's ten nearest neighbours that
# are of its scene. It is taken from all numbers of an embedding, and clips of the same recording are no neighbours.

# %% mystnb={"figure": {"name": "fig-response-embedding", "caption": "Live run: embeddings of the test clips before and after the lesson: the student alone, the one taught by answers, and the teacher, whose embedding has 2,560 numbers. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Three scatter plots of coloured dots, for the student alone, the taught student and the teacher, with the purity of the neighbourhoods in each title."}}
views = {"student alone": taught["student"], "response": taught["response"],
         "teacher": embedding}
figure, purity = plotting.embeddings(views, experiment.table("test"))
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
purity.round(1)

# %% [markdown]
# `change` is against the student alone, clip by clip, with its interval over locations: where it includes
# zero, these two clouds are not told apart. By chance about one neighbour in ten would be of the scene.
#
# Read the teacher's row first: pupils inherit its errors too. And a single quick run is a
# demonstration, not evidence: another seed gives other figures, as the next table shows.
#
# ## What the study says
#
# The study trains every system with more than one seed on the larger embedded corpus. The corpus is
# synthetic: its figures say how the techniques compare *there*, and they are not figures for TAU.

# %%
study = store.results("scoreboard")
scored = pd.DataFrame(study["runs"])
scored["accuracy"] *= 100
groups = scored.groupby("system")
table = pd.DataFrame({
    "accuracy (%)": groups["accuracy"].mean(),
    "lowest": groups["accuracy"].min(), "highest": groups["accuracy"].max(),
    "unseen devices (%)": 100 * groups["unseen_accuracy"].mean(),
    "log loss": groups["log_loss"].mean(),
    "calibration error (%)": 100 * groups["calibration_error"].mean(),
})
print(f"embedded corpus: {study['clips']['fit']} clips to learn from, "
      f"{study['clips']['test']} to test on, {len(study['seeds'])} seeds")
table.loc[[*runs, "teacher"]].astype(float).round(2)

# %% [markdown]
# The columns are means over the seeds, with the lowest and the highest accuracy of a seed. The
# calibration error is the gap between confidence and accuracy that [the teacher](../networks/teacher.ipynb)
# drew.
#
# Each difference below is between systems trained with the same seeds. It carries two intervals,
# which answer two questions. *Over recordings*: would other test recordings say the same? *Over
# seeds*: would other trainings? An interval that contains zero means that the question is open: the
# data do not even settle the sign. An interval clear of zero settles the sign, on this corpus and for
# this source of chance alone.

# %% mystnb={"figure": {"name": "fig-response-study", "caption": "Study, embedded corpus: differences of macro accuracy with 95 % intervals, over test recordings (upper of each pair) and over training seeds (lower)."}, "image": {"alt": "Three rows, each with a pair of dots and horizontal interval bars, around a vertical line at zero."}}
pairs = [("response", "student"), ("response_published", "student"),
         ("response_published", "response")]
differences = pd.DataFrame(study["differences"]).set_index(["system", "base"])
columns = ["accuracy", "accuracy_low", "accuracy_high",
           "seeds_low", "seeds_high"]
gaps = 100 * differences.loc[pairs, columns].astype(float)
titles = [f"{system} − {base}" for system, base in pairs]
figure, ax = plt.subplots(figsize=(7, 2.6))
plotting.differences(ax, titles, gaps, "difference of macro accuracy (points)")
plotting.show(figure)

# %%
from asclib.evaluation import verdict
from asclib.plotting import glue

for name, pair in zip(("kd", "published", "slip"), pairs, strict=True):
    row = gaps.loc[pair]
    for key, value in row.items():
        glue(f"{name}_{key}", value)
    clear = verdict(row["accuracy_low"], row["accuracy_high"])
    glue(f"{name}_recordings", clear)
    clear = verdict(row["seeds_low"], row["seeds_high"])
    glue(f"{name}_seeds", clear)

# %% [markdown]
# On the embedded corpus, the student taught by answers minus the student alone is
# {glue:text}`kd_accuracy:+.1f` points. The interval over recordings, from
# {glue:text}`kd_accuracy_low:+.1f` to {glue:text}`kd_accuracy_high:+.1f`,
# {glue:text}`kd_recordings`; the one over seeds, from {glue:text}`kd_seeds_low:+.1f` to
# {glue:text}`kd_seeds_high:+.1f`, {glue:text}`kd_seeds`.
#
# The published form minus the student alone is {glue:text}`published_accuracy:+.1f` points
# (recordings {glue:text}`published_accuracy_low:+.1f` to {glue:text}`published_accuracy_high:+.1f`,
# {glue:text}`published_recordings`; seeds {glue:text}`published_seeds_low:+.1f` to
# {glue:text}`published_seeds_high:+.1f`, {glue:text}`published_seeds`).
#
# And what the slip changes, published form minus the loss on logits, is
# {glue:text}`slip_accuracy:+.1f` points (recordings {glue:text}`slip_accuracy_low:+.1f` to
# {glue:text}`slip_accuracy_high:+.1f`, {glue:text}`slip_recordings`; seeds
# {glue:text}`slip_seeds_low:+.1f` to {glue:text}`slip_seeds_high:+.1f`, {glue:text}`slip_seeds`).
#
# For comparison, the published system with response distillation reached 51.6 % on the evaluation set
# of the 2022 challenge, with real recordings {cite}`ipleiria2023dcase`. Whether the slip cost anything
# there cannot be read off a synthetic corpus. With TAU at `data_root`, this chapter compares the two on
# the development test split.
#
# ## Takeaways
# * A teacher's answer ranks the wrong scenes too. A temperature above 1 brings that ranking to light.
# * The loss is $T^2 \cdot \mathrm{KL}$ on logits; $T^2$ keeps the gradient's size when $T$ changes.
# * The mean is over clips, not over classes; and the softmax is applied once. Either slip leaves a
#   loss that falls and a student that trains, while the teacher weighs less than was meant.
# * The teacher answers once. Its answers are joined by identifier, since a shifted file can look right.
# * A difference has one interval over recordings and one over seeds; zero inside means undecided.
#
# ## Exercises
# **1.** Show that adding the same number to all ten logits of the teacher changes nothing in the loss.
# Does the same hold for the double softmax?
#
# :::{dropdown} Solution
# $e^{(t_k + c)/T} = e^{c/T} e^{t_k/T}$, and the factor cancels in the fraction. It holds for the double
# softmax as well: the inner softmax cancels the shift before anything else happens. In code,
# `torch.allclose(response(s, t + 5, 3.0), response(s, t, 3.0))` is true.
# :::
#
# **2.** In the limit of a high temperature, which familiar loss does $T^2 \cdot \mathrm{KL}$ become?
#
# :::{dropdown} Solution
# Integrate the approximate gradient: $\frac{1}{2K} \sum_i \big((s_i - \bar s) - (t_i - \bar t)\big)^2$,
# half the mean squared error between centred logits. Try
# `0.5 * F.mse_loss(s - s.mean(1, keepdim=True), t - t.mean(1, keepdim=True))` against
# `response(s, t, 1000.0)`.
# :::
#
# **3.** A technique is a tuple of stages. Write one with $\alpha = 0.5$ and $T = 2$, and train it.
#
# :::{dropdown} Solution
# ```python
# from asclib.distillation import Stage
#
# mine = (Stage(losses.response, weight=0.5, hard=0.5, arguments={"temperature": 2.0}),)
# run = experiment.taught(mine)  # from the initial weights of `response`
# net, history = run.net(), run.history()
# ```
# The loss may be a function of your own: `Stage(my_loss, weight=1.0, hard=0.1)`. Its text is part of what
# the store knows the run by, so a changed loss is trained anew.
# :::
#
# ## What is next
# An answer is what a teacher concludes. [The next chapter](feature_maps.ipynb) asks on what grounds, and
# teaches with the maps between the sound and the answer.
