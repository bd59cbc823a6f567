# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The student
#
# ## What you will learn
# * how TMSIC, a network of 51,986 parameters, is built, layer by layer;
# * how much of a clip one of its units sees;
# * what its unusual order of ReLU and batch normalisation means;
# * how it is trained, and why a short run needs fast running statistics;
# * how good it is on the test split, and how much of that is luck of the seed.
#
# **Prerequisites**: [the features](../input/features.ipynb); what a convolution and a gradient are.
# **Data in**: the log-mel features of the corpus; `results/scoreboard.json` of the study.
# **Data out**: the trained student, which every later chapter compares itself with.
# **In the library**: `asclib.networks.published`, `asclib.networks.rivals`, `asclib.networks.tmsic`,
# `asclib.runs.data`, `asclib.runs.experiment`, `asclib.runs.run`, `asclib.training`.

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
from torch import nn

from asclib import LogMel, plotting, store, training
from asclib.evaluation import compare, evaluate
from asclib.networks import TMSIC, count_parameters, rivals
from asclib.plotting import glue
from asclib.runs import Experiment

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
fit, validation, test = map(experiment.clips, ("fit", "validation", "test"))

# %% [markdown]
# ## The network at a glance
#
# TMSIC is the *Tuned Model with Small Input Configuration* of the AI4EDGE team, who entered it in
# the DCASE challenges of 2022 and 2023 {cite}`ai4edge2022report,ipleiria2023dcase`. Its input is
# a small picture: 140 mel bands high, eight frames wide.
#
# The last layer, the *head*, gives one number per scene: the *logits* $z_k$. Softmax makes
# probabilities of them, $p_k = e^{z_k} / \sum_j e^{z_j}$. How does the picture become these ten
# numbers?

# %%
blocks = {
    "log-mel": (1, 140, 8),  # channels, mel bands, frames
    "conv1\n20 @ 7×5": (20, 140, 8),
    "conv2\n28 @ 7×3": (28, 140, 8),
    "pool\n1×2": (28, 140, 4),
    "conv3\n28 @ 3×7": (28, 140, 4),
    "pool\n2×2": (28, 70, 2),
    "conv4\n16 @ 7×5": (16, 70, 2),
    "mean": (16,),
    "dense": (256,),
    "head": (10,),
}
assert blocks["log-mel"] == tuple(test.x.shape[1:])

# %% mystnb={"figure": {"name": "fig-tmsic", "caption": "TMSIC, to scale in mel bands (height) and frames (width); the stack hints at the channels. Below each block: channels × mel bands × frames."}, "image": {"alt": "Ten blocks from left to right. The first is 140 high and 8 wide; two poolings halve the width twice and the height once; an average leaves 16 numbers, then 256, then 10."}}
figure, ax = plt.subplots(figsize=(7.6, 3.2))
for i, (name, shape) in enumerate(blocks.items()):
    channels, mel, frames = shape if len(shape) == 3 else (1, *shape, 1)
    for depth in range(channels // 4, -1, -1):
        corner = (20 * i + 0.6 * depth, -mel / 2 + 3 * depth)
        box = plt.Rectangle(corner, frames, mel, fc="#dce6f0", ec=plotting.INK)
        ax.add_patch(box)
    size = "×".join(map(str, shape))
    ax.text(20 * i + 3, 140, name, ha="center", va="bottom", fontsize=8)
    ax.text(20 * i + 3, -155, size, ha="center", va="bottom", fontsize=7)
ax.set(xlim=(-8, 195), ylim=(-157, 175))
ax.axis("off")
plotting.show(figure)

# %% [markdown]
# ## Layer by layer
#
# The network has four convolutions, and each is a block of the same kind. A kernel of 7×5 looks
# at seven neighbouring bands and five neighbouring frames. The padding is "same": the map keeps
# its size. Batch normalisation (BN) brings every channel to a common scale
# {cite}`ioffe2015batch`. A ReLU keeps what is positive.
#
# Blocks 2 to 4 have a peculiarity: a ReLU before BN *and* one after it. We come back to it.
#
# Three kinds of layer join the blocks. **Max pooling** keeps the largest of neighbouring values:
# the map shrinks, and what follows costs less. **Dropout** sets values to zero at random while
# the network learns {cite}`srivastava2014dropout`. The **average** over mel and time leaves one
# number per channel: from here on the network no longer knows *where* something was, only
# *how much* of it there was.

# %%
def block(inputs, outputs, kernel, rectify):
    """Convolution, ReLU if asked for, batch normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding="same")
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    first = [nn.ReLU()] if rectify else []
    return [convolution, *first, norm, nn.ReLU()]


built = nn.Sequential(
    *block(1, 20, (7, 5), rectify=False),
    *block(20, 28, (7, 3), rectify=True),
    nn.MaxPool2d((1, 2)), nn.Dropout(0.1),
    *block(28, 28, (3, 7), rectify=True),
    nn.MaxPool2d((2, 2)), nn.Dropout(0.3),
    *block(28, 16, (7, 5), rectify=True), nn.Dropout(0.3),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(16, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 10))

# %% [markdown]
# Is this the network of the library, `asclib.networks.TMSIC`? We train that one, copy its weights into
# ours and give both the same clips. `experiment.student()` is not yet a network but a *run*: which network,
# which clips, which plan, which seed. `net()` gives the trained network, and trains it only if the store
# does not have it yet.

# %%
run = experiment.student()
student = run.net()
for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear):
    ours = [layer for layer in built if isinstance(layer, kind)]
    theirs = [x for x in student.modules() if isinstance(x, kind)]
    for to, source in zip(ours, theirs, strict=True):
        to.load_state_dict(source.state_dict())
some = test.x[:100]
difference = training.predict(built, some) - training.predict(student, some)
print("same answers:", difference.abs().max().item() < 1e-4)

# %% [markdown]
# ## Counting the parameters
#
# A convolution from $C_\text{in}$ to $C_\text{out}$ channels with a kernel of $k_f \times k_t$
# (mel bands, frames) has $C_\text{out}\,(C_\text{in}\,k_f\,k_t + 1)$ parameters: the 1 is the
# bias. BN has four numbers per channel: a scale and a shift that are learnt, and a running mean
# and a running variance that are measured. Keras counts all four, and so do we.

# %%
convolutions = {"conv1": (7, 5, 1, 20), "conv2": (7, 3, 20, 28),
                "conv3": (3, 7, 28, 28), "conv4": (7, 5, 28, 16)}
rows = []
for name, (kf, kt, c, d) in convolutions.items():
    rows.append((name, f"{d}·({c}·{kf}·{kt} + 1)", d * (c * kf * kt + 1)))
    rows.append((name.replace("conv", "norm"), f"4·{d}", 4 * d))
rows.append(("dense", "256·(16 + 1)", 256 * (16 + 1)))
rows.append(("head", "10·(256 + 1)", 10 * (256 + 1)))
parameters = pd.DataFrame(rows, columns=["layer", "by hand", "parameters"])
total = parameters["parameters"].sum()
assert total == count_parameters(TMSIC()) == 51_986
print(f"together: {total:,}")
parameters

# %% [markdown]
# ## How much does one unit see?
#
# One value of the last map depends on a patch of the input, its *receptive field*. The field
# starts at one value. Every kernel of width $w$ widens it by $w - 1$ steps, and every pooling
# makes the steps larger. So with steps $j$ and field $r$:
#
# $$ r \leftarrow r + (w - 1)\,j, \qquad j \leftarrow j \cdot n, $$
#
# where $n$ is the stride: 1 for a convolution, 2 for a pooling of two.

# %%
layers = {"conv1": ((7, 5), (1, 1)), "conv2": ((7, 3), (1, 1)),
          "pool 1×2": ((1, 2), (1, 2)), "conv3": ((3, 7), (1, 1)),
          "pool 2×2": ((2, 2), (2, 2)), "conv4": ((7, 5), (1, 1))}
field, step, table = np.array([1, 1]), np.array([1, 1]), {}
for name, (kernel, stride) in layers.items():
    field = field + (np.array(kernel) - 1) * step
    step = step * stride
    table[name] = [*field, *step]
columns = ["mel bands seen", "frames seen", "mel step", "frame step"]
pd.DataFrame(table, index=columns).T

# %% [markdown]
# A unit of the last map sees 28 of the 140 bands. In time it could see 38 frames and there are
# only eight: it sees the whole second. So a unit recognises a pattern in a fifth of the spectrum.
# *Where* on the mel axis the pattern lay is lost in the average that follows, except near the borders,
# where the padding shows.
#
# We check the sum on the network. The gradient of one unit in the middle of the last map is zero
# outside its receptive field. And inside, is all of the field used alike?

# %%
x = torch.randn(64, 1, 140, 8, generator=torch.Generator().manual_seed(0))
x.requires_grad_()
torch.manual_seed(0)
TMSIC().eval().maps(x)["conv4"][..., 35, 0].sum().backward()
touched = x.grad.abs().sum((0, 1)) > 0
print("mel bands:", touched.any(1).sum().item())
print("frames:", touched.any(0).sum().item())
bands = touched.any(1).nonzero().ravel()
assert len(bands) == 28 and touched.any(0).all()

# %% mystnb={"figure": {"name": "fig-receptive-field", "caption": "Left: one test clip; the frame marks the bands that a unit in the middle of the last map can see. Right: how strongly the trained network's units at this height react to each value (mean absolute gradient over some test clips)."}, "image": {"alt": "A log-mel spectrogram with a box around 28 bands in the middle, and beside it a map of gradients that is not zero only inside those bands."}}
x = test.x[:100].clone().requires_grad_()
student.maps(x)["conv4"][..., 35, :].sum().backward()
strength = x.grad.abs().mean((0, 1)).numpy()
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
plotting.spectrogram(left, test.x[0, 0].numpy(), "one clip")
low, high = bands.min().item(), bands.max().item()
box = plt.Rectangle((-0.5, low - 0.5), 8, 28, fill=False, ec="white", lw=2)
left.add_patch(box)
image = right.imshow(strength, origin="lower", aspect="auto", cmap="viridis")
right.set(title="mean |gradient|", xlabel="frame")
plotting.in_hertz(right.yaxis)
right.set_ylim(low - 12, high + 12)
right.grid(False)
figure.colorbar(image, ax=right, pad=0.02)
plotting.show(figure)

# %% [markdown]
# The middle counts more than the rim: more paths lead from it to the unit.
#
# A view of a fifth of the spectrum is not a fault. Koutini and others found that networks for scenes
# generalise better when their receptive field is *kept small* {cite}`koutini2021receptive`, and that it
# helps to tell such a network where on the frequency axis it is: a second input channel that holds
# each band's position {cite}`koutini2019frequency`. Does that help here? The same network with such a
# channel, trained alike:

# %% tags=["nbval-ignore-output"]
class FrequencyAware(TMSIC):
    """TMSIC that is told where each band lies, from -1 to 1."""

    def __init__(self):
        super().__init__()
        self.conv1 = type(self.conv1)(2, 20, (7, 5), padding="same")

    def maps(self, x):
        where = torch.linspace(-1, 1, x.shape[2])[:, None]
        return super().maps(torch.cat([x, where.expand_as(x[:, :1])], 1))


nets = student, replace(run, network=FrequencyAware).net()
said = [training.probabilities(training.predict(n, test.x)) for n in nets]
gain = compare(*said, experiment.table("test"))
assert gain.accuracy_low <= gain.accuracy <= gain.accuracy_high
print(f"told where it is: {100 * gain.accuracy:+.1f} points, {gain.verdict}")

# %% [markdown]
# From one training of each the answer is open, whatever the figure: another seed may turn it round.
#
# ## A ReLU before BN, and one after
#
# Once a network is trained, BN is a line: $\mathrm{BN}(u) = s\,u + t$, with
# $s = \gamma / \sqrt{\sigma^2 + \epsilon}$ and $t = \beta - s\,\mu$ from its running statistics.
# After a convolution, $s\,(w x + b) + t = (s w)\,x + (s b + t)$ is a convolution again. BN is
# *folded* into the weights and costs nothing. Converters for small devices do it without being
# asked.
#
# With a ReLU between, the two lines have a bend between them. Is
# $\mathrm{relu}(s \cdot \mathrm{relu}(u) + t)$ still $\mathrm{relu}(s u + t)$? A few numbers
# answer.

# %%
u = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
examples = {"s = 1, t = 0.5": (1, 0.5), "s = -1, t = 1": (-1, 1),
            "s = 1, t = -0.5": (1, -0.5)}
rows = []
for name, (s, t) in examples.items():
    true, folded = F.relu(s * F.relu(u) + t), F.relu(s * u + t)
    same = torch.equal(true, folded)
    rows.append([name, true.tolist(), folded.tolist(), same])
columns = ["BN", "relu(s·relu(u) + t)", "folded: relu(s·u + t)", "equal"]
pd.DataFrame(rows, columns=columns).set_index("BN")

# %% [markdown]
# In general it is not: with $s > 0$ and $t > 0$ the true block never falls below $t$, and with
# $s < 0$ the two bend in different places. A converter that looks at the layers alone must not fold here. In
# the deployed network the three BNs stay, as a multiplication and an addition per value.
#
# The third line shows an exception. With $s > 0$ and $t \le 0$, both forms are zero for every
# negative $u$, and the same line above. After a ReLU the mean $\mu$ is positive, so
# $t = \beta - s\mu$ tends to be negative. How many channels of the trained student are of this
# kind?

# %% tags=["nbval-ignore-output"]
def channels(norm):
    """How many channels have s > 0 and t <= 0, and of how many."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - scale * norm.running_mean
    return int(((scale > 0) & (shift <= 0)).sum()), len(scale)


names = ("norm2", "norm3", "norm4")
foldable = {name: channels(getattr(student, name)) for name in names}
for name, (count, of) in foldable.items():
    print(f"{name}: {count} of {of} channels could be folded exactly")
assert [of for _, of in foldable.values()] == [28, 28, 16]

# %% [markdown]
# A rule for all networks of this form and a fact about one trained network are two things.
# Exercise 2 goes on from here.
#
# ### Two conventions that are easily mixed up
#
# BN keeps running averages for inference. Keras and torch name the same number differently:
#
# | | Keras | torch |
# |---|---|---|
# | update | running ← $m$ · running + (1 − $m$) · batch | running ← (1 − $m$) · running + $m$ · batch |
# | the authors' TMSIC | $m$ = 0.99 | $m$ = 0.01 |
# | default | 0.99 | 0.1 |
# | $\epsilon$, default | 10⁻³ | 10⁻⁵ |
#
# TMSIC was designed in Keras, so our torch layers say 0.01 and 10⁻³. Whoever copies 0.99 into
# torch has statistics that are almost those of the last batch. At 0.01, how long does it take
# until the average has arrived?

# %%
steps = np.array([30, 100, 300, 1000])
left = {f"momentum {m}": (100 * (1 - m) ** steps).round(1)
        for m in (0.01, 0.05, 0.1)}
table = pd.DataFrame(left, index=pd.Index(steps, name="steps"))
norm = nn.BatchNorm2d(1, momentum=0.01)  # starts from mean 0
for _ in range(100):
    norm(torch.full((2, 1, 1, 1), 10.0))
expected = 10 * (1 - 0.99**100)
assert abs(norm.running_mean.item() - expected) < 1e-3
print("share of the initial value left in the running average (%):")
table

# %% [markdown]
# ## Training
#
# The loop is short. Clips are drawn in random order, a batch at a time. Adam
# {cite}`kingma2015adam` moves the weights against the gradient of the cross-entropy, which is the
# log loss of [the challenge](../task/challenge.ipynb) on one batch. The learning rate follows *one cycle* {cite}`smith2018super`: it climbs, then falls to nothing, so that few
# epochs suffice.

# %%
def learn(net, clips, epochs, batch=32, peak=3e-3):
    """Train in place: Adam, one cycle of the learning rate."""
    adam = torch.optim.Adam(net.parameters(), peak)
    steps = len(clips.labels) // batch
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, peak, total_steps=epochs * steps + 1, cycle_momentum=False)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(len(clips.labels))[: steps * batch]
        for rows in order.split(batch):
            adam.zero_grad()
            F.cross_entropy(net(clips.x[rows]), clips.labels[rows]).backward()
            adam.step()
            cycle.step()
    return net.eval()


# %% [markdown]
# Chance enters three times: the initial weights, the order of the clips, dropout. All three come
# from one generator, so a seed fixes them. On one thread even the order of every sum is fixed: on one
# machine, with one set of library versions, the same seed gives the same weights, bit for bit.
#
# Another processor runs the same program, but adds in another order, so the last bits of a sum differ.
# Training feeds them back thousands of times, until the weights are as different as another seed would
# make them. The sounds of the embedded corpus are the same bytes everywhere, and their features agree
# to a ten-thousandth of a neper; the numbers of the cells that train are yours.

# %%
def draw(clips, count):
    """Some clips at random, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(clips.labels), generator=generator)[:count]
    return clips.take(rows)


def head_after(seed):
    with training.one_thread(), torch.random.fork_rng():
        torch.manual_seed(seed)
        return learn(TMSIC(), draw(fit, 128), epochs=1).head.weight


first, again, other = head_after(0), head_after(0), head_after(1)
print("seed 0 twice, the same weights:", torch.equal(first, again))
print("seeds 0 and 1, the same weights:", torch.equal(first, other))

# %% [markdown]
# `asclib.training.train` is this loop, plus a checkpoint after every epoch and a choice of the
# *best* epoch. What is best must not be asked of the training clips, nor of the test clips. A
# part of the training split is held out, the *validation* clips. It is cut by location: clips of
# one place sound alike, so a place on both sides would make memory look like understanding.
# [The data set](../task/dataset.ipynb) shows how much.

# %%
tables, rows = {}, {}
for split in ("fit", "validation", "test"):
    clips = tables[split] = experiment.table(split)
    places = (clips["city"] + "-" + clips["location"]).nunique()
    rows[split] = [len(clips), clips["recording"].nunique(), places]
shared = experiment.corpus.leakage("fit", "validation")["shared"]
assert shared["locations"] == 0
plan = experiment.profile.student
print(f"{plan.epochs} epochs, batches of {plan.batch_size}, rate "
      f"{plan.learning_rate:g}, BN momentum {plan.statistics_momentum:g}")
pd.DataFrame(rows, index=["clips", "recordings", "locations"]).T

# %% [markdown]
# How did the training of our student go, and which epoch was kept?

# %% mystnb={"figure": {"name": "fig-student-curves", "caption": "The student's training. The vertical line marks the epoch that was kept, the best by validation macro accuracy."}, "image": {"alt": "Two panels over epochs: training and validation loss, and validation macro accuracy, with a vertical line at the epoch that was kept."}}
history = run.history()
best = history["validation_accuracy"].idxmax() + 1
figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.3))
plotting.learning_curves(axes, history, "student")
for ax in axes:
    ax.axvline(best, color=plotting.ACCENT, lw=1)
    ax.locator_params(axis="x", integer=True)
axes[0].legend(fontsize=8)
plotting.show(figure)
assert np.isfinite(history[["loss", "validation_loss"]].to_numpy()).all()

# %% [markdown]
# The training loss falls smoothly. The validation loss jumps while the learning rate is near its peak, a
# third of the way, and settles as the rate falls to zero: large steps probably move the weights
# faster than BN's averages, which only validation uses, can follow. So the best epochs are the last. Dropout
# is on for the training loss and off for the validation loss. Where the validation loss stays above all
# the same, that is *over-fitting*: what was learnt holds for the clips it was learnt from.
#
# ### What a short run reveals about BN
#
# In training, BN uses the batch at hand and merely keeps its running averages. So two runs that
# differ in nothing but `statistics_momentum` learn *the same weights*, and differ only in what they
# answer afterwards. We train twice, briefly, and compare.

# %% tags=["nbval-ignore-output"]
short = training.Training(epochs=3, batch_size=32, learning_rate=3e-3)
runs, nets = {}, {}
for momentum in (0.01, 0.1):
    torch.manual_seed(seed)
    nets[momentum] = TMSIC()
    runs[momentum] = training.train(
        nets[momentum], draw(fit, 900), draw(validation, 300),
        replace(short, statistics_momentum=momentum), seed=seed)
losses = [run["loss"].to_numpy() for run in runs.values()]
assert np.allclose(*losses, rtol=1e-3)
print(f"training loss, the same in both: {losses[0].round(2)}")
print("validation macro accuracy (%) after each epoch, by momentum:")
accuracy = {m: 100 * run["validation_accuracy"] for m, run in runs.items()}
pd.DataFrame(accuracy).round(1).rename(lambda epoch: epoch + 1)

# %% [markdown]
# The training loss is the same; the validation accuracy is not. To be sure that the statistics
# are to blame, we measure them anew on the training clips and touch no weight.

# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def measure_statistics(net, x):
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over all batches
    net.train()
    [net(batch) for batch in x.split(256)]


held, net, found = draw(validation, 300), nets[0.01], []
for text in ("as trained at momentum 0.01", "the same weights, measured anew"):
    logits = training.predict(net, held.x)
    found.append(training.macro_accuracy(logits, held.labels))
    print(f"{text}: {100 * found[-1]:.1f} %")
    measure_statistics(net, draw(fit, 900).x)
assert found[1] > 0.1, "not better than guessing"

# %% [markdown]
# The authors trained for up to 200 epochs on more than 100,000 clips. That is thousands of steps
# an epoch, and 0.01 is right for them. Our short profiles use larger values. It is a setting and
# not a constant, because it belongs to the length of the run.
#
# ## How good is it?
#
# The test split has other locations, and devices that no training clip was recorded with. The
# interval says how far other test *locations* could have moved the figure.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-student-result", "caption": "The student on the test split of this run's corpus. Left: recall of each scene with its 95 % interval over locations. Right: what was answered for each true scene, in per cent."}, "image": {"alt": "Ten dots with intervals, one for each scene, beside a ten by ten confusion matrix with a dark diagonal in most rows and dark cells beside it in others."}}
probabilities = training.predict(student, test.x).softmax(1).numpy()
score = evaluate(probabilities, tables["test"])
columns = ["accuracy", "accuracy_low", "accuracy_high", "log_loss"]
table = score.table().query("group in ['overall', 'seen', 'unseen']")
assert score.overall.accuracy > 0.15, "not better than guessing"
print(table.set_index("group")[["clips", *columns]].round(3))
figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), width_ratios=(2, 3))
left, right = axes
scenes = pd.DataFrame(score.scenes.values(), index=score.scenes.keys())
names = [name.replace("_", " ") for name in scenes.index]
plotting.intervals(left, names, *(100 * scenes[c] for c in columns[:3]))
left.set(xlabel="recall (%)", xlim=(-3, 103))
left.axvline(10, color=plotting.MUTED, ls=":")
plotting.confusion(right, score.confusion)
plotting.show(figure)

# %% [markdown]
# The intervals of single scenes are wide, since a scene has few test locations. Read no ranking of scenes
# from them. And should one have no width, at 0 or 100 %, that is no certainty either: where all locations
# of a scene agree, there is no spread from which to tell how another would do.
#
# ## What does it look at?
#
# A feature map is the clip as one channel sees it. Which parts of the clip survive from layer to
# layer?

# %% mystnb={"figure": {"name": "fig-feature-maps", "caption": "One test clip and, for each convolution, the four maps that vary most. Mel bands upwards, frames to the right; the last maps are 70 × 2 values."}, "image": {"alt": "A tall narrow spectrogram followed by four groups of four tall narrow maps, coarser from group to group."}}
with torch.no_grad():
    maps = student.maps(test.x[:1])
pictures = [("log-mel", test.x[0, 0])]
for name, value in maps.items():
    strongest = value[0].flatten(1).std(1).argsort(descending=True)[:4]
    pictures += [(f"{name}\n#{k}", value[0, k]) for k in strongest.tolist()]
figure, axes = plt.subplots(1, len(pictures), figsize=(8.6, 3))
for ax, (name, picture) in zip(axes, pictures, strict=True):
    ax.imshow(picture, origin="lower", aspect="auto", cmap="magma")
    ax.set_title(name, fontsize=7)
    ax.axis("off")
plotting.show(figure)

# %% [markdown]
# The first maps still show the picture, sharper or blurred. By conv3 most of a map is dark and a few bands
# remain; some light only a part of the second. Upright bars at the rim are no sound: there the zeros of
# the padding meet the clip. Two columns of time are left before the average.
#
# The dense layer turns a clip into 256 numbers, its *embedding*. The head is linear, so scenes it
# tells apart lie apart in this space. We look at it through its two directions of largest
# variance (principal components). Do clips lie by scene, or by device?

# %% mystnb={"figure": {"name": "fig-embedding", "caption": "Embeddings of test clips on their first two principal components; the same points twice, coloured by scene and by recording device."}, "image": {"alt": "Two scatter plots of the same points. In the left one colours are scenes and form overlapping clouds, in the right one colours are devices."}}
from sklearn.decomposition import PCA

rows = np.arange(len(test.labels))[:: max(1, len(test.labels) // 1000)]
embedded = training.predict(student, test.x[rows], student.embed)
points = PCA(2).fit_transform(embedded)
figure, axes = plt.subplots(1, 2, figsize=(8.6, 4), sharex=True, sharey=True)
colours = {"scene": plotting.SCENE_COLOURS, "device": plotting.DEVICE_COLOURS}
for ax, (column, palette) in zip(axes, colours.items(), strict=True):
    values = tables["test"][column].to_numpy()[rows]
    for name in [name for name in palette if name in values]:
        own = points[values == name].T
        ax.scatter(*own, s=7, color=palette[name], label=name)
    ax.set(xlabel=f"component 1 (coloured by {column})", ylabel="component 2")
    ax.legend(fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
plotting.show(figure)

# %% [markdown]
# More by scene than by device. Some scenes lie apart from most others, several
# overlap, and the devices are mixed throughout. Two components are only a part of the variance: why
# unseen devices cost points, they cannot say.

# %% [markdown]
# ## Several seeds
#
# One training is one throw of dice. The study trained the student from several seeds, on the
# larger embedded corpus (synthetic, not TAU), and stored every score in
# `results/scoreboard.json`.

# %%
study = store.results("scoreboard")
runs = pd.DataFrame(study["runs"]).query("system == 'student'")
pooled = pd.DataFrame(study["pooled"]["student"]).set_index("group")
low, high = 100 * pooled.loc["overall", ["accuracy_low", "accuracy_high"]]
percent = 100 * runs["accuracy"]
quoted = {
    "seeds": len(runs), "test_clips": study["clips"]["test"],
    "seed_mean": percent.mean(), "seed_low": percent.min(),
    "seed_high": percent.max(), "pooled_low": low, "pooled_high": high,
    "seed_loss": runs["log_loss"].mean()}
for name, value in quoted.items():
    glue(f"student_{name}", float(value))
columns = ["accuracy", "unseen_accuracy", "log_loss"]
runs.set_index("seed")[columns].astype(float).round(3)

# %% [markdown]
# Over {glue:text}`student_seeds:.0f` seeds and {glue:text}`student_test_clips:.0f` test clips of
# the embedded corpus, the mean macro accuracy is {glue:text}`student_seed_mean:.1f` %, and the
# seeds lie between {glue:text}`student_seed_low:.1f` % and {glue:text}`student_seed_high:.1f` %.
# The mean log loss is {glue:text}`student_seed_loss:.2f`. With all seeds pooled, the interval
# over recordings goes from {glue:text}`student_pooled_low:.1f` % to
# {glue:text}`student_pooled_high:.1f` %.
#
# These are two different doubts. The spread over seeds asks: would another *training* score the
# same? The interval over recordings asks: would another *test set* say the same? Two systems on
# the same recordings share the second doubt. That is why later chapters compare them pair by
# pair, clip for clip and seed for seed.
#
# For orientation only, since the data differ: on TAU, the authors' TMSIC taught by its teacher
# reached 51.9 % on the 2023 evaluation set, with the same 51,986 parameters
# {cite}`ipleiria2023dcase`.
#
# ## Its peers
#
# Others have built networks within the same limits. Three of them stand in `asclib.networks.rivals`, made
# from their published descriptions: the baseline of 2022 {cite}`martinmorato2022low`, CP-Mobile as the
# baseline of 2024 and 2025 {cite}`schmid2023distilling,schmid2024data`, and the runner-up of 2025, in which
# a recurrent layer follows the convolutions {cite}`tan2025acoustic`. Each sees more of the sound than TMSIC,
# which hears nothing above 4 kHz.

# %%
from asclib.complexity import complexity

peers = {"TMSIC": (TMSIC, LogMel.tmsic()),
         "baseline of 2022": (rivals.Baseline2022, LogMel.dcase_baseline()),
         "CP-Mobile": (rivals.CPMobile, LogMel.cp_mobile()),
         "CNN-GRU, 2025": (rivals.CNNGRU, LogMel.cnn_gru())}
published = ["51,986", "46,512 / 29,234,920",
             "61,148 / 29,419,156", "58,171 / 10,902,300"]
rows = {}
for name, (network, front_end) in peers.items():
    cost = complexity(network(), front_end.shape())
    rows[name] = (*front_end.shape()[1:], front_end.sample_rate / 2000,
                  cost.parameters, cost.macs)
columns = ["mel bands", "frames", "to (kHz)", "parameters", "MACs"]
table = pd.DataFrame(rows, index=columns, dtype=object).T
table.map("{:,}".format).assign(published=published)

# %% [markdown]
# Parameters and MACs are counted by one rule for all, the one above. The published pairs follow other rules: bytes of
# an 8-bit file in 2022, weights without BN's running averages since. Each class of the module says what
# lies between, to the last digit. What the peers score when they are trained as TMSIC is, on the same clips,
# is a question for a study, `python -m studies peers`; nobody has run it yet, so no score stands here.

# %% [markdown]
# ## Takeaways
# * TMSIC is four convolutions, two poolings, an average and two dense layers: 51,986 parameters,
#   countable by hand.
# * A unit of its last map sees 28 bands, a fifth of the spectrum, and the whole second.
# * A ReLU before BN forbids folding in general; where the scale is positive and the shift is not,
#   a channel can be folded all the same.
# * The loop is short; the validation split by location decides which epoch is kept. In a
#   short run BN's averages lag behind: the same weights answer better with averages measured anew.
# * A score has two doubts, the seed's and the test set's: on one and the same test set, seeds alone moved
#   it from {glue:text}`student_seed_low:.1f` to {glue:text}`student_seed_high:.1f` %.
#
# ## Exercises
# **1.** How many parameters has a TMSIC with two outputs,
# [one member of the teacher](teacher.ipynb)? And how many of them are learnt by gradient?
#
# :::{dropdown} Solution
# Only the head changes: $256 \cdot 2 + 2 = 514$ in place of 2,570. So
# $51{,}986 - 2{,}570 + 514 = 49{,}930$. Half of BN's four numbers are measured and not learnt:
# $2 \cdot (20 + 28 + 28 + 16) = 184$. That leaves $49{,}746$.
# :::
#
# **2.** Fold BN into the convolutions of the trained student wherever it is exact, and compare
# the logits. What must be true of the channels?
#
# :::{dropdown} Solution
# ```python
# import copy
# folded = copy.deepcopy(student)
# with torch.no_grad():
#     for i in (2, 3, 4):
#         conv, norm = getattr(folded, f"conv{i}"), getattr(folded, f"norm{i}")
#         s = norm.weight / (norm.running_var + norm.eps).sqrt()
#         t = norm.bias - s * norm.running_mean
#         assert ((s > 0) & (t <= 0)).all()
#         conv.weight *= s[:, None, None, None]
#         conv.bias.copy_(s * conv.bias + t)
#         setattr(folded, f"norm{i}", nn.Identity())
# a, b = training.predict(folded, test.x), training.predict(student, test.x)
# print((a - b).abs().max())
# ```
# Every channel needs $s > 0$ and $t \le 0$, then the logits agree but for rounding. A single
# channel that breaks the rule would have to keep its BN.
# :::
#
# **3.** Set `seed = 1` in the parameters cell and run the chapter again. Does the test accuracy
# move by more or by less than the width of its interval?
#
# :::{dropdown} Solution
# `make book ARGS="-p seed 1 --only student"`. Compare the two tables under *How good is it?* A move
# within the interval is no contradiction: the two runs share their test recordings, so the
# interval speaks of a doubt that both share. The spread over seeds in the last table is the right
# measure of this move.
# :::
#
# ## What is next
# [The next chapter](architecture_search.ipynb) searches for such a network. Then come ten of them,
# each an expert for one scene: [the teacher](teacher.ipynb).
