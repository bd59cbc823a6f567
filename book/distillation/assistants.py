# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Somebody in between
#
# ## What you will learn
# * why a wide gap between teacher and student may hurt, and what an assistant is;
# * when an assistant can make no difference at all, and what that leaves as its reasons;
# * what it costs, and why none of it is paid on the device;
# * the chain, teacher to assistant to student, against the direct way, and what one run can say of it.
#
# **Prerequisites**: [the teacher's answers](response.ipynb) and
# [the answers' other readings](answers.ipynb).
#
# **Data in**: the log-mel features of the corpus, the trained teacher.
#
# **Data out**: an assistant, and the student that it taught; beside them a student taught directly. Each is
# trained for a third of the profile's epochs.
#
# **In the library**: `asclib.runs.experiment`, `asclib.runs.run`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from asclib import plotting
from asclib.challenge import LIMITS
from asclib.complexity import complexity
from asclib.distillation import losses
from asclib.evaluation import compare, evaluate, verdict
from asclib.networks import TMSIC, WIDTHS
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## The gap
#
# A better teacher need not make a better student. {cite:t}`mirzadeh2020improved` trained one student under
# teachers of growing size and saw it gain at first and then lose. Two reasons are offered. A large
# network's answers may follow from features that a small one cannot form, so it is shown a target out of
# reach. And a large network is surer, so that less is said about the wrong scenes. Their remedy is a
# *teacher assistant*: a network of a size in between, which the teacher teaches and which then teaches the
# student. AI4EDGE tried it too, a "second teacher" between their ensemble and TMSIC
# {cite}`ipleiria2023dcase`.
#
# Our teacher is ten networks with a common head; the student is one. How large is the gap, and where does
# the assistant stand? It is one TMSIC with half as many filters again in each layer.

# %%
from asclib.runs.experiment import ASSISTANT

print("filters of the student  ", WIDTHS)
print("filters of the assistant", ASSISTANT)
teacher = experiment.teacher().net()
costs = {"student": complexity(TMSIC()),
         "assistant": complexity(TMSIC(widths=ASSISTANT)),
         "teacher": complexity(teacher)}
one = costs["student"].macs
rows = {name: {"parameters": f"{cost.parameters:,}",
               "MMAC": f"{cost.macs / 1e6:.1f}",
               "times the student": f"{cost.macs / one:.1f}",
               "within 2024's limits": bool(cost.within(LIMITS[2024]))}
        for name, cost in costs.items()}
pd.DataFrame(rows).T

# %% [markdown]
# A convolution's MACs go with the filters before it times its own, so width counts twice. Any width would
# make an assistant; {numref}`fig-ladder` shows what each would cost.

# %% mystnb={"figure": {"name": "fig-ladder", "caption": "MACs of one inference of a TMSIC against its filters, as a multiple of the student's; the dots are student and assistant, the lines the teacher and the challenge's limit."}, "image": {"alt": "A rising curve on a logarithmic axis from below 10 to beyond 300 million MACs, with dots at 1 and 1.5 and two horizontal lines at 30 and about 255 million."}}
factors = np.arange(0.5, 3.76, 0.25)
macs = [complexity(TMSIC(widths=[round(f * w) for w in WIDTHS])).macs / 1e6
        for f in factors]
figure, ax = plt.subplots(figsize=(6.5, 3))
ax.semilogy(factors, macs, color=plotting.INK)
wide = ASSISTANT[0] / WIDTHS[0]
for name, factor in (("student", 1.0), ("assistant", wide)):
    ax.plot(factor, costs[name].macs / 1e6, "o", color=plotting.ACCENT)
    ax.annotate(f"  {name}", (factor, costs[name].macs / 1e6), va="top")
for name, level in (("teacher", costs["teacher"].macs / 1e6),
                    ("limit", LIMITS[2024].macs / 1e6)):
    ax.axhline(level, color=plotting.MUTED, ls=":")
    ax.annotate(name, (0.5, level), va="bottom")
ax.set(xlabel="filters, times the student's", ylabel="MMAC")
plotting.show(figure)

# %% [markdown]
# The assistant may break every limit of the challenge: it is never deployed. What it costs is training,
# once, and its answers, once. They are stored as [the teacher's](response.ipynb) are.
#
# ## When an assistant makes no difference
#
# It is tempting to think that two small steps are easier than a large one. Let us test it where everything
# can be computed. One input $x$; two classes; the teacher's probability $p(x)$ is a wavy curve. Assistant
# and student are models of one kind, $q(x) = \sigma\big(\sum_n w_n \varphi_n(x)\big)$, with polynomials
# $\varphi_n$ up to degree 6 and up to degree 3. Each learns by gradient descent on the response loss of
# [its chapter](response.ipynb), $\mathrm{KL}(p \,\|\, q)$ at $T = 1$; the gradient is $q - p$ times
# the polynomials.

# %%
x = torch.linspace(-1, 1, 200, dtype=torch.float64)
p = (4 * torch.sin(5 * x) + 2 * x).sigmoid()
polynomials = torch.cos(torch.arange(10) * x.acos()[:, None])  # Chebyshev's


def learn(target, degree, steps):
    phi, w = polynomials[:, : degree + 1], torch.zeros(degree + 1).double()
    for _ in range(steps):
        w -= 4 * phi.T @ ((phi @ w).sigmoid() - target) / len(x)
    return (phi @ w).sigmoid()


def kl(p, q):
    no_p, no_q = 1 - p, 1 - q
    return float((p * (p / q).log() + no_p * (no_p / no_q).log()).mean())


assistant = learn(p, degree=6, steps=20_000)
direct, chain = learn(p, 3, steps=2_000), learn(assistant, 3, steps=2_000)

# %% mystnb={"figure": {"name": "fig-toy", "caption": "Teacher, assistant, and two students of the toy: one taught by the teacher, one by the assistant."}, "image": {"alt": "A wavy curve between zero and one, a close approximation of it, and a smoother curve under a dashed one that coincides with it."}}
figure, ax = plt.subplots(figsize=(6.5, 2.8))
ax.plot(x, p, color=plotting.MUTED, lw=3, label="teacher")
ax.plot(x, assistant, color=plotting.ACCENT, label="assistant")
ax.plot(x, direct, color=plotting.INK, label="student, direct")
ax.plot(x, chain, "w--", lw=1.2, label="student, chain")
ax.set(xlabel="x", ylabel="probability of class 1")
figure.legend(loc="outside upper center", ncols=4, fontsize=9,
              facecolor="#dddddd")
plotting.show(figure)

# %% [markdown]
# The two students are the same. Is it so before they are finished, too? And what if the assistant is not?

# %%
rows = {}
for steps in (5, 20, 100, 2_000):
    hasty = learn(p, 6, steps)
    rows[steps] = {"direct": kl(p, learn(p, 3, steps)),
                   "chain": kl(p, learn(assistant, 3, steps)),
                   "chain, assistant as hasty": kl(p, learn(hasty, 3, steps))}
steps = pd.DataFrame(rows).T.rename_axis("steps")
assert np.allclose(steps["direct"], steps["chain"], atol=1e-5)
steps.round(4)

# %% [markdown]
# A finished assistant changes nothing at any step; an unfinished one sets its student back. The reason is
# short. A finished assistant $a$ has gradient zero: $a - p$ is orthogonal to each of its polynomials. The
# student's are among them. So the student's gradient, $q - a$ times a polynomial, equals $q - p$ times
# that polynomial. What the assistant left out is just what the student could not have used. The loss adds
# up like the squares of the sides of a right-angled triangle:

# %%
legs = kl(p, assistant), kl(assistant, chain)
print(f"KL(teacher, assistant) {legs[0]:.4f} + KL(assistant, student) "
      f"{legs[1]:.4f} = {sum(legs):.4f}")
print(f"KL(teacher, student)   {kl(p, chain):.4f}")
assert abs(sum(legs) - kl(p, chain)) < 1e-6

# %% [markdown]
# So the number of steps is no reason by itself. Whatever an assistant does for a network has to come from
# what the toy lacks: networks *form* their features instead of being given them, the assistant's are not
# the student's plus some; both stop early; and the assistant's answers, not quite the teacher's, may be
# softer. The last can be looked at.
#
# ## The chain as data
#
# In `asclib`, a training is a value, a `Run`, and what a teacher adds to it is its `Lesson`: the stages, and
# who teaches them. Any run can teach. The assistant learns from the teacher by the `response` loss; then it
# answers once for all clips, and the chain is `response` with another teacher. So that it stays below a
# minute, everybody here trains for a **third** of the profile's epochs, the assistant as well.

# %%
from dataclasses import replace

usual = experiment.profile.stage
plan = replace(usual, epochs=usual.epochs // 3)
third = replace(experiment.profile, student=plan, stage=plan)
short = replace(experiment, profile=third)
guide = short.assistant()
runs = {"student alone": short.student(), "direct": short.taught("response"),
        "chain": short.taught("response", guide),
        "assistant": guide, "teacher": short.teacher()}
lesson = runs["chain"].lesson
assert lesson == replace(runs["direct"].lesson, teacher=guide)
for name, value in lesson.stages[0].settings().items():
    print(f"{name:10s} {value}")

# %% [markdown]
# AI4EDGE let their second teacher give hints, too: `short.taught("fitnets", guide)`. One TMSIC's map is one
# map, not ten side by side: 42 channels instead of 280 at the second layer.
#
# No student is trained yet, nor is the assistant. `build` trains what is missing, in the order in which they
# need each other.

# %%
build(list(runs.values()))
nets = {name: run.net() for name, run in runs.items()}
test = experiment.clips("test")
views = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
with torch.no_grad():  # the head turns an embedding into logits
    logits = {name: net.head(views[name]) for name, net in nets.items()}

# %% [markdown]
# ### Are the assistant's answers softer?
#
# The entropy of an answer says how many scenes it leaves open: $e^\text{entropy}$ is 1 for a certain answer
# and 10 for none at all. {numref}`fig-softer` has it for the answers students learn from, at the
# temperature they learn at.

# %% mystnb={"figure": {"name": "fig-softer", "caption": "Live run: effective number of scenes left open by the teacher's and by the assistant's answers at T = 3, on the clips students learn from, sorted."}, "image": {"alt": "Two rising curves over sorted clips between one and ten, one for the teacher and one for the assistant."}}
fit = experiment.clips("fit")
stored = {who: runs[who].answers().joined(fit.identifiers)
          for who in ("teacher", "assistant")}
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for (who, z), colour in zip(stored.items(), (plotting.MUTED, plotting.ACCENT),
                            strict=True):
    answer = (z.double() / 3).softmax(1)
    open_scenes = (-(answer * answer.log()).sum(1)).exp().sort().values
    ax.plot(np.linspace(0, 100, len(z)), open_scenes, color=colour, label=who)
ax.set(xlabel="clips, sorted (%)", ylabel="scenes left open", ylim=(1, 10))
ax.legend()
plotting.show(figure)
assert ((open_scenes >= 1) & (open_scenes <= 10 + 1e-9)).all()

# %% [markdown]
# ### One batch, by hand
#
# What does the loss say to a student of either teacher? Three clips students learn from, and the answers of
# both to them at $T = 3$. The loss of the student alone is below each column, $T^2$ times a sum over the
# ten scenes; the mean over three columns is the library's value.

# %% tags=["nbval-ignore-output"]
some = [int((fit.labels == k).nonzero()[0]) for k in fit.labels.unique()[:3]]
z = predict(nets["student alone"], fit.x[some]).double()
q, rows, sums = (z / 3).softmax(1), {}, {}
for who, theirs in stored.items():
    a = (theirs[some].double() / 3).softmax(1)
    sums[who] = 3**2 * (a * (a / q).log()).sum(1)
    library = losses.response(z, theirs[some].double(), 3.0)
    torch.testing.assert_close(sums[who].mean(), library)
    for clip, answer, part in zip(some, a, sums[who], strict=True):
        column = who, plotting.SCENE_LABELS[fit.labels[clip]]
        rows[column] = [*answer.tolist(), float(part)]
pd.DataFrame(rows, [*plotting.SCENE_LABELS, "loss"]).round(2)

# %% [markdown]
# ## Chain against direct
#
# The scores of this run, with intervals over locations, and what the trainings cost: a training is counted
# as epochs times the MACs of the network that is trained, in trainings of the student alone.

# %% tags=["nbval-ignore-output"]
rows, table = {}, experiment.table("test")
answers = {n: z.double().softmax(1).numpy() for n, z in logits.items()}
more = costs["assistant"].macs / costs["student"].macs
trainings = {"student alone": 1, "direct": 1, "chain": 1 + more,
             "assistant": more, "teacher": np.nan}
for name in nets:
    score = evaluate(answers[name], table).overall
    rows[name] = {"accuracy (%)": 100 * score.accuracy,
                  "low": 100 * score.accuracy_low,
                  "high": 100 * score.accuracy_high,
                  "log loss": score.log_loss,
                  "trainings": trainings[name]}
    assert np.isfinite(score.log_loss) and 0 <= score.accuracy <= 1
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# The teacher's own cost, ten trainings and a fusion, is spent either way. Is the assistant's accuracy between the
# two? Only then is it an assistant in the sense of the idea, and at a third of the epochs it need not be.
#
# Whom does a student resemble in the end? The divergence between answers at $T = 1$ on test clips:

# %% tags=["nbval-ignore-output"]
apart = pd.DataFrame({
    guide: {name: float(losses.response(logits[name], logits[guide], 1.0))
            for name in ("student alone", "direct", "chain", "assistant")}
    for guide in ("teacher", "assistant")})
assert (apart.to_numpy() >= -1e-6).all()
apart.round(2)

# %% [markdown]
# And the difference itself, chain minus direct, on the same clips:

# %% tags=["nbval-ignore-output"]
gap = compare(answers["direct"], answers["chain"], table)
width = gap.accuracy_high - gap.accuracy_low
print(f"chain - direct: {100 * gap.accuracy:+.1f} points "
      f"[{100 * gap.accuracy_low:+.1f}, {100 * gap.accuracy_high:+.1f}], "
      f"{gap.locations} locations")
print(f"differences below about {50 * width:.0f} points cannot be told here")
assert gap.accuracy_low <= gap.accuracy_high

# %% [markdown]
# That is what one run can say. The interval is over locations, for this pair of trainings; another seed
# moves the difference again, so even an interval clear of zero would rank this pair and not the two ways.
#
# ### Before and after
#
# *Purity* is the share of a clip's ten nearest neighbours that are of its scene, clips of its own
# recording left aside; chance is about ten per cent. It is taken from all numbers of the embedding. The
# planes show two: each network's directions of largest variance, turned towards the first.

# %% mystnb={"figure": {"name": "fig-assistant-embedding", "caption": "Live run, a third of the epochs: embeddings of the test clips of the student alone, taught directly and through the chain, and of both who taught. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Five scatter plots of coloured dots, for three students, the assistant and the teacher, with the purity of the neighbourhoods in each title."}}
figure, purity = plotting.embeddings(views, table)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
purity.round(1)

# %% [markdown]
# ### Over several seeds
#
# The study gave every technique three seeds or more, as many epochs as the student alone, and a weight chosen on
# validation clips. `assisted` is the chain, `assisted_fitnets` the chain with hints. The assistant took epochs of
# its own, which the rows below do not count.
# [All techniques, compared](comparison.ipynb) has the rules, and the correction for their number.

# %% mystnb={"figure": {"name": "fig-chain-study", "caption": "Study, embedded corpus: each technique minus the student alone, in points of macro accuracy, with 95 % intervals over locations and seeds (upper of each pair) and over seeds alone (lower)."}, "image": {"alt": "Four rows, two techniques directly and through an assistant, with two dots and two intervals around a vertical line at zero."}}
gains = plotting.study_gains(
    "response", "assisted", "fitnets", "assisted_fitnets")
for name, row in gains.iterrows():
    glue(f"chain_{name}", float(row["accuracy"]))
    glue(f"chain_{name}_seeds", verdict(
        row["seeds_low"], row["seeds_high"]))

# %% [markdown]
# Response directly gains {glue:text}`chain_response:+.1f` points (the interval over seeds {glue:text}`chain_response_seeds`), through the
# assistant {glue:text}`chain_assisted:+.1f` ({glue:text}`chain_assisted_seeds`); FitNets' hint directly {glue:text}`chain_fitnets:+.1f`
# ({glue:text}`chain_fitnets_seeds`), through the assistant {glue:text}`chain_assisted_fitnets:+.1f` ({glue:text}`chain_assisted_fitnets_seeds`).
#
# ## Takeaways
# * An assistant is a network between teacher and student in size, taught by the one to teach the other.
# * Where models share their features, a finished assistant changes nothing, and an unfinished one harms.
#   What it may do for networks has to come from elsewhere: from features, from stopping, from softness.
# * It costs one training of its own width and one pass of answers. The device pays nothing.
# * A lesson names who teaches it, and any trained network can, so a chain is one more line of data.
# * One run tells this chain from this direct student only if the gap is wide; it prints how wide.
#
# ## Exercises
# **1.** Let the toy's assistant have the polynomials of degree 2 only, less than the student. What happens?
#
# :::{dropdown} Solution
# `kl(p, learn(learn(p, 2, 20_000), 3, 2_000))` is `kl(p, learn(p, 2, 20_000))`: the student can say all that the
# assistant says, and learns it to the letter. A chain is as good as its narrowest member.
# :::
#
# **2.** Soften the toy's teacher: let the assistant learn at $T = 3$ from the teacher's logits divided by 3,
# and the student from the assistant in the same way. Is the chain still the direct way?
#
# :::{dropdown} Solution
# Yes. With $p_3 = \sigma(\text{logit}(p) / 3)$ in the place of $p$ the argument is the same, since all learn
# at one temperature. It breaks when the temperatures of the two steps differ: then what the assistant
# matched is not what the student is asked for.
# :::
#
# **3.** Put a second assistant between the first one and the student. What do you need?
#
# :::{dropdown} Solution
# A network of a width in between, which the first assistant teaches and which then teaches the student:
# ```python
# from functools import partial
#
# between = partial(TMSIC, widths=(25, 35, 35, 20))
# second = short.taught("response", guide, network=between)
# longer = short.taught("response", second)
# ```
# `longer.net()` trains what is missing. Then several seeds of each way, compared in pairs.
# :::
#
# ## What is next
# [All techniques, compared](comparison.ipynb): which of them help, over
# several seeds and with the same teachers for all.
