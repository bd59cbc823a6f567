# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Few labels
#
# Recordings are cheap: a telephone on a table makes one a minute. Labels are
# dear, for somebody has to say where the telephone was. The challenge of 2024
# asked what a system can do with a twentieth of the labels
# {cite}`schmid2024data`. AI4EDGE began to let a network listen before it was told
# anything, with four methods {cite}`ipleiria2023dcase`, and did not finish. This
# chapter takes it up.
#
# ## What you will learn
# * how the five subsets of 2024 lie within each other, and what the smallest
#   one leaves of a corpus;
# * four losses that learn from clips without labels, each in a few lines;
# * what keeps them from the answer that is always right and says nothing;
# * how a student goes on from what was learnt so, and what one run can say of
#   the gain;
# * what the authors pre-train instead, and how a small network gets at it;
# * which comparison would show at how many labels that pays.
#
# **Prerequisites**: [the student](../networks/student.ipynb),
# [augmentation](../input/augmentation.ipynb) and
# [relations](../distillation/relations.ipynb). **Data in**: the corpus and its
# subsets. **Data out**: a body trained without labels, and two students.
# **In the library**: `asclib.pretraining`, `asclib.networks.resnet`,
# `asclib.runs.run`, `asclib.runs.experiment`; the study is `studies/labels.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from asclib import complexity, plotting
from asclib.augmentation import Gain
from asclib.evaluation import compare, evaluate
from asclib.networks import TMSIC, ResNet18
from asclib.pretraining import METHODS, losses, two_views
from asclib.runs import Experiment, build
from asclib.training import Batch, one_thread, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## Five subsets
#
# The organisers drew 5, 10, 25, 50 and 100 % of the training clips. Each subset
# contains the smaller ones, and none cuts a recording. A system is trained five
# times, and the mean of its five macro accuracies is ranked.
#
# The files `split5.csv` to `split100.csv` name the clips. Where a corpus has
# them, `Experiment(..., subset=5)` shows the clips of one, to fit and to
# validate on; the test is the same for all. The embedded corpus brings its own.

# %%
percents = sorted(experiment.corpus.subsets)  # of a folder: those it has
rows, smaller = {}, set()
for percent in percents:
    few = replace(experiment, subset=percent)
    fit, held_out = few.table("fit"), few.table("validation")
    assert smaller <= set(fit["identifier"])
    smaller = set(fit["identifier"])
    rows[f"{percent} %"] = {
        "clips to fit": len(fit), "recordings": fit["recording"].nunique(),
        "scenes": fit["scene"].nunique(), "devices": fit["device"].nunique(),
        "to validate on": len(held_out),
        "scenes there": held_out["scene"].nunique()}
pd.DataFrame(rows).T

# %% [markdown]
# Look at the first row. So few recordings are left that a scene may be missing,
# and the clips to validate on say next to nothing. Whatever has to be chosen,
# an epoch or a method, must be chosen elsewhere or not at all.
#
# ## Knowing a clip again
#
# What can be learnt from a clip without its label? That it is itself. Take a
# clip and change it in two ways that leave the scene what it is: roll it in
# time, hide a band, turn it up or down. A network that gives both *views* nearly the same embedding has learnt to look
# past what we changed.

# %% mystnb={"figure": {"name": "fig-two-views", "caption": "One clip, and two views of it: rolled, with a band hidden, at another level."}, "image": {"alt": "Three log-mel pictures of the same clip; in the second and third, frames are shifted and a horizontal band is uniform."}}
fit = experiment.clips("fit")
some = Batch(fit.x[:32], fit.labels[:32], None, 10)
torch.manual_seed(seed)
one, other = two_views(some, METHODS["vicreg"].views).chunk(2)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.8))
pictures = {"clip": some.x, "one view": one, "another": other}
for ax, (name, x) in zip(axes, pictures.items(), strict=True):
    plotting.spectrogram(ax, x[0, 0].numpy(), name)
plotting.show(figure)

# %% [markdown]
# The level is a `Gain`. In log-mel, a factor of the waveform is a sum: 6 dB are
# 0.69 nepers, the same for all bands.

# %%
torch.manual_seed(seed)
louder = Gain(6.0)(some, torch.default_generator).x - some.x
assert louder.flatten(1).std(1).max() < 1e-5  # one number for all of a clip
print(f"between clips from {louder.min():+.2f} to {louder.max():+.2f} nepers")
assert louder.abs().max() <= 0.6908

# %% [markdown]
# There is an easy way to be right: give *every* clip the same embedding. Then
# the two views of each clip are equal, and nothing is known. This is called
# *collapse*. Methods differ in how they avoid it.
#
# ## Four losses
#
# Below, `z` and `z2` are the embeddings of two views, a row a clip. They are
# drawn at random here, so that each loss can be compared with the library's.
#
# **Barlow Twins** {cite}`zbontar2021barlow` correlates each number of one view
# with each number of the other. Over a batch of $B$ clips, with $\hat z$ of mean
# 0 and deviation 1,
#
# $$ C_{ij} = \frac1B \sum_b \hat z_{bi}\, \hat z'_{bj}, \qquad
#    \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2 . $$
#
# The first sum wants views to agree, the second that no number repeats another.
# A constant correlates with nothing: it costs a whole 1.

# %%
torch.manual_seed(seed)
z, z2 = torch.randn(2, 32, 8).double()


def standard(x):
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-4).sqrt()


c = standard(z).T @ standard(z2) / len(z)
apart = ~torch.eye(8, dtype=torch.bool)
barlow = ((1 - c.diagonal()) ** 2).sum() + 0.005 * (c[apart] ** 2).sum()
torch.testing.assert_close(barlow, losses.barlow_twins(z, z2))

# %% [markdown]
# **VICReg** {cite}`bardes2022vicreg` says the same in three terms: views are
# near (*invariance*), each number has a deviation of 1 at the least
# (*variance*), and no two numbers vary together (*covariance*).

# %%
invariance = ((z - z2) ** 2).mean()
variance = sum(F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() for x in (z, z2))
covariance = sum((x.T.cov()[apart] ** 2).sum() / 8 for x in (z, z2))
vicreg = 25 * invariance + 25 * variance / 2 + covariance
torch.testing.assert_close(vicreg, losses.vicreg(z, z2))

# %% [markdown]
# **SimCLR** {cite}`chen2020simple` asks a question with one right answer: which
# of all other views in the batch belongs to this one? The cross-entropy of the
# cosines, divided by a temperature, is its loss. All views alike are an answer
# by chance, $\log(2B - 1)$.

# %%
views = F.normalize(torch.cat([z, z2]), dim=1)
cosines = (views @ views.T / 0.5).fill_diagonal_(-torch.inf)
partner = torch.arange(64).roll(32)
simclr = F.cross_entropy(cosines, partner)
torch.testing.assert_close(simclr, losses.simclr(z, z2))

# %% [markdown]
# **SimSiam** {cite}`chen2021exploring` has no such term. A small network, the
# *predictor* $h$, makes one view's embedding into the other's, and the other is
# taken as given: `detach`, the *stop-gradient*.

# %%
h = nn.Linear(8, 8).double()
forth = F.cosine_similarity(h(z), z2.detach())
back = F.cosine_similarity(h(z2), z.detach())
simsiam = -(forth.mean() + back.mean()) / 2
torch.testing.assert_close(simsiam, losses.simsiam(z, z2, h))

# %% [markdown]
# What does each say of an embedding that has collapsed, and of one that is
# spread and whose views agree?

# %%
same, nothing = z, torch.ones_like(z)
named = {name: getattr(losses, name) for name in METHODS}
rows = {}
for name, loss in named.items():
    more = {"predictor": nn.Identity()} if name == "simsiam" else {}
    rows[name] = {"spread": float(loss(same, same, **more)),
                  "collapsed": float(loss(nothing, nothing, **more))}
    if name != "simsiam":
        assert rows[name]["spread"] < rows[name]["collapsed"]
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# To three of them collapse is dear. To SimSiam it is as good as anything can be.
#
# ### The trap
#
# So SimSiam rests on its stop-gradient. Take it away and see. The encoder is a
# small network, its clips are eight random numbers each, and a view adds noise.
# The measure is the authors': the deviation of unit embeddings, times the root
# of their size. It is about 1 when they are spread, and 0 when all are one.

# %%
def encoder_and_predictor():
    hidden = [nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(32, 16)), nn.Linear(16, 16)


# %%
def spread_over_time(stop, steps=300):
    torch.manual_seed(1)
    encoder, h = encoder_and_predictor()
    clips = torch.randn(128, 8)
    weights = [*encoder.parameters(), *h.parameters()]
    optimizer = torch.optim.SGD(weights, 0.1, 0.9)
    for _ in range(steps):
        z, z2 = (encoder(clips + 0.3 * torch.randn(128, 8)) for _ in "12")
        given = (z2.detach(), z.detach()) if stop else (z2, z)
        pairs = zip((h(z), h(z2)), given, strict=True)
        loss = -sum(F.cosine_similarity(*pair).mean() for pair in pairs) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield F.normalize(z.detach(), dim=1).std(0).mean() * 4, loss.item()

# %% mystnb={"figure": {"name": "fig-collapse", "caption": "How widely SimSiam spreads the unit embeddings of a toy, with the stop-gradient and without."}, "image": {"alt": "Two curves over 300 steps: one stays well above zero, the other falls to zero."}}
with one_thread():  # sums this small are slower in two
    curves = {name: torch.tensor(list(spread_over_time(name == "with")))
              for name in ("with", "without")}
figure, ax = plt.subplots(figsize=(6.5, 2.6))
for (name, curve), colour in zip(
        curves.items(), (plotting.INK, plotting.ACCENT), strict=True):
    ax.plot(curve[:, 0], color=colour, label=f"{name} stop-gradient")
ax.set(xlabel="step", ylabel="spread", ylim=(0, None))
ax.legend()
plotting.show(figure)
assert curves["without"][-1, 0] < 0.1 < curves["with"][-1, 0]
for name, curve in curves.items():
    print(f"{name} stop-gradient: the last loss is {curve[-1, 1]:.1f}")

# %% [markdown]
# Both losses come close to −1, the lowest there is. The number that a training
# prints does not warn of the collapse; look at the embedding.
#
# ## A body without a head
#
# In the library, what a run learns from instead of labels is its lesson. The
# body of TMSIC, up to its 256 numbers, is trained with a *projector* behind it,
# two layers that the loss sees and that are thrown away. The head stays as it
# was drawn. `experiment.pretrained` takes all clips to fit, with any subset:
# only labels are few. Here they are a tenth, or all where a corpus has no
# subsets.

# %%
few = replace(experiment, subset=10 if 10 in percents else None)
plan = replace(few.profile.student, batch_size=64)  # more to tell apart
body = few.pretrained("simclr", plan)
longer = replace(few.profile.student, epochs=3 * body.plan.epochs)
alone = replace(few.student(), plan=replace(longer, monitor="last"))
started = replace(alone, start=body)
build([alone, started])
for name, run in {"body": body, "student": started}.items():
    print(f"{name}: {len(run.data.clips('fit').labels)} clips, "
          f"{run.plan.epochs} epochs, {run.lesson and run.lesson.name}")

# %% [markdown]
# Does the body know anything of scenes, which nobody has told it? Purity is the
# share of a clip's ten nearest neighbours that are of its scene, as in
# [relations](../distillation/relations.ipynb); chance is a tenth.

# %% mystnb={"figure": {"name": "fig-body", "caption": "Live run: embeddings of the test clips of an untrained network, of the body before any label, and of both students. Colours are scenes; brackets hold 95 % intervals over locations of the mean purity."}, "image": {"alt": "Four scatter plots of coloured dots with the purity of the neighbourhoods in each title."}}
torch.manual_seed(seed)
nets = {"untrained": TMSIC().eval(), "body": body.net(),
        "labels alone": alone.net(), "body, then labels": started.net()}
test, table = experiment.clips("test"), experiment.table("test")
views = {name: predict(net, test.x, net.embed) for name, net in nets.items()}
figure, purity = plotting.embeddings(views, table, columns=2)
plotting.show(figure)

# %% tags=["nbval-ignore-output"]
assert purity["purity"].between(0, 100).all()
for name in ("untrained", "body"):
    plotting.glue(f"purity_{name}", float(purity.at[name, "purity"]))
    plotting.glue(f"purity_{name}_low", float(purity.at[name, "low"]))
    plotting.glue(f"purity_{name}_high", float(purity.at[name, "high"]))
purity.round(1)

# %% [markdown]
# In the body {glue:text}`purity_body:.0f` % of the neighbours are of the same
# scene ({glue:text}`purity_body_low:.0f` to {glue:text}`purity_body_high:.0f`), in
# a network that nobody trained {glue:text}`purity_untrained:.0f` %
# ({glue:text}`purity_untrained_low:.0f` to {glue:text}`purity_untrained_high:.0f`).
# So much of what is near is set by the spectrum itself, and only what the body
# has more than that can pre-training have taught it.
#
# And the scores of the two students, which have had the same labels equally
# often:

# %% tags=["nbval-ignore-output"]
said = {name: predict(nets[name], test.x).double().softmax(1).numpy()
        for name in ("labels alone", "body, then labels")}
gain = compare(*said.values(), table)
scores = {name: evaluate(p, table).overall for name, p in said.items()}
for name, score in scores.items():
    print(f"{name}: {100 * score.accuracy:.1f} %")
print(f"difference: {100 * gain.accuracy:+.1f} points "
      f"[{100 * gain.accuracy_low:+.1f}, {100 * gain.accuracy_high:+.1f}]")
assert gain.accuracy_low <= gain.accuracy <= gain.accuracy_high

# %% [markdown]
# The interval is over locations, for this pair of trainings. Another seed would
# move it, and the students were not given the same *compute*: one of them heard
# every clip in two views, for many more steps. A fair answer needs seeds, and a
# control that is trained on its labels for as long.
#
# ## The authors' ResNet-18
#
# So far the small network itself has listened. AI4EDGE pre-trains another one, a
# ResNet-18 {cite}`he2016deep` that looks at spectrograms as at photographs. It
# has four stages of two blocks, and in a block the input is added to what two
# convolutions make of it. By default it learns by Barlow Twins. Then it gets a
# head, and is trained on with labels, the head alone or all of it.
#
# `asclib.networks.ResNet18` is that network with 16 filters in its first stage,
# where the paper has 64. It halves the eight frames twice and no more. One frame
# alone would leave a kernel of 3 × 3 little but padding on both sides.

# %%
two = {"TMSIC": TMSIC, "ResNet-18": ResNet18}
rows = {}
for name, network in two.items():
    cost = complexity(network())
    numbers = network().eval().embed(experiment.clips("test").x[:1])
    rows[name] = {"parameters": cost.parameters, "MACs": cost.macs,
                  "kB of int8": cost.bytes() / 1000,
                  "embedding": numbers.shape[1]}
sizes = pd.DataFrame(rows).T
plotting.glue("resnet_parameters", float(
    sizes.at["ResNet-18", "parameters"] / sizes.at["TMSIC", "parameters"]))
plotting.glue("resnet_kb", float(sizes.at["ResNet-18", "kB of int8"]))
sizes.map("{:,.0f}".format)

# %% [markdown]
# It has {glue:text}`resnet_parameters:.1f` times the parameters of TMSIC, at
# about as many MACs. With {glue:text}`resnet_kb:.0f` kB in int8 it breaks the
# limit of 128 kB, and no challenge of these years would have taken it. How dear
# is it to train? We let each learn from 256 pictures, as many as a step of
# pre-training in the study has, and take the fastest of eight steps, in time of
# one core.

# %%
from time import process_time


def fastest_step(network, x, steps=8):
    net = network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    seconds = []
    for _ in range(steps):
        begun = process_time()
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        seconds.append(process_time() - begun)
    return min(seconds)

# %% tags=["nbval-ignore-output"]
pictures = fit.x[torch.arange(256) % len(fit.x)]
with one_thread():
    took = {name: fastest_step(network, pictures)
            for name, network in two.items()}
times = took["ResNet-18"] / took["TMSIC"]
assert times < sizes["parameters"].max() / sizes["parameters"].min()
plotting.glue("resnet_times", times)
for name, seconds in took.items():
    print(f"{name}: {1000 * seconds:.0f} ms a step")

# %% [markdown]
# A step of the ResNet took {glue:text}`resnet_times:.1f` times as long as one of
# TMSIC in this run. Time goes with the products, not with the parameters.
#
# A network of that size can still teach. The student of the route is TMSIC: it
# learns from its labels and from what the fine-tuned ResNet says of the same
# clips, by [responses](../distillation/response.ipynb). Suppose that it scores
# better than TMSIC alone. Two things have changed at once: its teacher is larger,
# and its teacher has listened to all clips. Only a ResNet without pre-training,
# and a student of that one, can tell these apart. Such trainings are too long
# for a live run, and the study has them.
#
# ## At how many labels does it pay?
#
# The study asks that at all five budgets, and it has **not been run yet**: no
# figure of it is in this book. Its design was written before the first run, in
# `studies/labels.py`:
#
# * *supervised*, *pretrained*, *distilled* and *both*, with the same labels
#   equally often. The teacher is the mean of four students of the same budget,
#   so that it knows no label that its student does not.
# * Two controls. *Longer* has labels alone and as much compute as pre-training
#   and labels together. *Own* is pre-trained on the clips of its budget, for the
#   rules of 2024 allow no others, with labels or without.
# * The authors' route, at all budgets and only where it is asked for: the ResNet
#   from labels alone and from a pre-trained body, and TMSIC taught by either.
#   Two differences between the ResNets say what size adds and what pre-training
#   adds to it; two between the students say what of that arrives. Both networks
#   have one plan and one loss, chosen for TMSIC, so a poor ResNet may be one
#   that another plan would have made better.
# * One primary hypothesis: pretrained − supervised at 5 %.
# * The loss is chosen on validation clips of 25 %; of 5 %, as the table above
#   shows, there are too few.
#
# What it would cost, in epochs of the whole corpus, one view each:

# %%
for share in (5, 10, 25, 50, 100):
    epochs = round(24 * (100 / share) ** 0.5)
    print(f"{share:3d} %: {epochs:3d} epochs with labels, as dear as "
          f"{epochs * share / 100:4.1f} of all clips")
print("without labels: 48 epochs in two views, as dear as 96")

# %% [markdown]
# The body is by far the dearest part, and it is trained once for all budgets. The
# authors' route needs a second one. `python -m studies labels --plan` prints
# hours, each network at its own speed.
#
# ## Takeaways
# * The 2024 subsets are nested and keep recordings whole. The smallest one of
#   an embedded corpus may miss a scene, and has no validation to speak of.
# * All four losses draw the views of a clip together. Barlow Twins, VICReg and
#   SimCLR make collapse dear; SimSiam does not, and without its stop-gradient
#   the toy collapses within a few hundred steps at a loss that looks perfect.
# * A pre-trained body is a run whose lesson needs no label, and any run may
#   start from it.
# * The authors pre-train a ResNet-18 that is too large for the challenge. TMSIC
#   can have it as a teacher, and a ResNet without pre-training is the control.
# * Whether that pays, and below which budget, is open here: one pair of
#   trainings cannot say, and the study has not been run.
#
# ## Exercises
# **1.** The head of `body` has not been trained. What is its macro accuracy, and
# why can it not be said to be bad?
#
# :::{dropdown} Solution
# About a tenth: `evaluate(predict(body.net(), test.x).softmax(1).numpy(), table)`.
# The head is random, so its answers are; whether the *embedding* is good shows
# once a head has been trained on it, or in its purity.
# :::
#
# **2.** Add `FreqMixStyle(0.8, 0.4)` to the views. It helps with labels, against
# the colours of devices. What does it do without them?
#
# :::{dropdown} Solution
# ```python
# from asclib.augmentation import FreqMixStyle
#
# views = (*body.lesson.views, FreqMixStyle(0.8, 0.4))
# replace(body, lesson=replace(body.lesson, views=views)).net()
# ```
# With `METHODS["barlow_twins"]` one such body of ours came out no purer than an
# untrained network. One body is no proof. A possible reason: many views have
# nearly the mean spectrum of another clip, most often of another scene. Labels
# say that the scene has stayed; without them a network may learn to look past
# the spectrum, and the scene with it. Train five of each, and see.
# :::
#
# **3.** A loss of your own enters by value. Write one that is the cosine alone,
# without predictor and stop-gradient, pre-train with it, and look at the purity.
#
# :::{dropdown} Solution
# ```python
# from asclib.pretraining import SelfSupervised
#
# def alike(one, other):
#     return -F.cosine_similarity(one, other).mean()
#
# replace(body, lesson=SelfSupervised(alike)).net()
# ```
# The loss falls to −1 at once. The projector alone can collapse, which leaves the
# embedding before it some of its purity: one reason why projectors are used.
# :::
#
# ## What is next
# [The scoreboard](scoreboard.ipynb) sets all systems of the book beside each
# other, with all of their labels.
