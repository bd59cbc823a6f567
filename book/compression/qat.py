# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Trained to be rounded
#
# ## What you will learn
# * what a fake quantiser is, and why the slope of a staircase is of no use to it;
# * how the *straight-through* gradient trains a weight that may only take a few values;
# * where fake quantisers stand in the student, and why its normalisations stand still meanwhile;
# * how a network trained in this way becomes a file, and why the two answer nearly alike, not quite;
# * whether it is worth it: against rounding afterwards, and against training longer.
#
# **Prerequisites**: [quantisation](quantization.ipynb), [RRS](../distillation/rrs.ipynb).
#
# **Data in**: the student distilled by RRS, the teacher's answers, the test clips, `results/qat.json`.
#
# **Data out**: the same student, fine-tuned with its rounding, and as a `.tflite` file, in the store.
#
# **In the library**: `asclib.compression.qat`; the study is `studies/qat.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from asclib import litert, plotting, store
from asclib.compression import qat, quantization
from asclib.plotting import glue
from asclib.runs import Experiment, build
from asclib.training import macro_accuracy, predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
students = ("response", "rrs")

# %% [markdown]
# ## A staircase has no slope
#
# The student was trained with 32-bit numbers and rounded afterwards. Could it have been warned? Let the
# rounding take part in the training: round each weight, *read it back at once*, and compute with what
# was read. Nothing is stored in integers, so this is called a **fake quantiser**. The loss is
# then that of the rounded network.
#
# Training needs a gradient, and here is the difficulty. A rounded value is a staircase over the weight: flat
# nearly everywhere, with a jump now and then. Its slope is zero.

# %%
def staircase(w, scale=0.25, largest=3):
    """w rounded to scale times an integer from -largest to largest."""
    return (w / scale).round().clamp(-largest, largest) * scale


w = torch.tensor([-1.2, -0.4, 0.1, 0.37], requires_grad=True)
staircase(w).sum().backward()
print("rounded:", staircase(w).tolist())
print("slopes: ", w.grad.tolist())

# %% [markdown]
# With a slope of zero no weight would ever move. So one tells a useful lie. In the forward pass the value is rounded;
# in the backward pass the gradient goes *straight through*, as if it had not been
# {cite}`bengio2013estimating,jacob2018quantization`:
#
# $$ \hat w = s \cdot \mathrm{clip}(\mathrm{round}(w / s), -n, n), \qquad
#    \frac{\partial L}{\partial w} := \frac{\partial L}{\partial \hat w} \quad
#    \text{where } w \text{ is inside the range, else } 0 . $$
#
# In code it is one line: add the rounding error as a constant.

# %%
def straight_through(w, scale=0.25, largest=3):
    """The staircase, whose gradient is that of a clipped straight line."""
    inside = w.clamp(-largest * scale, largest * scale)
    return inside + (staircase(w, scale, largest) - inside).detach()


w = torch.tensor([-1.2, -0.4, 0.1, 0.37], requires_grad=True)
straight_through(w).sum().backward()
print("rounded:", straight_through(w).tolist())
print("slopes: ", w.grad.tolist())
assert torch.equal(straight_through(w), staircase(w))

# %% mystnb={"figure": {"name": "fig-straight", "caption": "A fake quantiser. Left: what it computes, and the line whose slope it pretends to have. Right: the two slopes, that of the staircase (zero wherever it has one) and the straight-through one."}, "image": {"alt": "On the left a staircase around a clipped diagonal line; on the right a line at zero, and a line at one inside the range that falls to zero outside."}}
line = torch.linspace(-1.2, 1.2, 1201, requires_grad=True)
straight_through(line).sum().backward()
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
x = line.detach()
left.plot(x, staircase(x), color=plotting.INK)
left.plot(x, x.clamp(-0.75, 0.75), color=plotting.ACCENT, ls="--")
left.set(xlabel="weight", ylabel="rounded")
right.plot(x, torch.zeros_like(x), color=plotting.INK, label="staircase")
right.plot(x, line.grad, color=plotting.ACCENT, ls="--",
           label="straight through")
right.set(xlabel="weight", ylabel="slope")
right.legend()
plotting.show(figure)

# %% [markdown]
# ## One weight on its way
#
# Does a lie lead anywhere? Take one weight and ask its rounded value to be 0.31, between the steps 0.25 and 0.5.
# The weight itself stays a real number; it is a memory in which small gradients add up until the
# rounded value jumps.

# %% mystnb={"figure": {"name": "fig-walk", "caption": "One weight trained by gradient descent so that its rounded value comes near 0.31 (dotted): the weight, and its rounded value."}, "image": {"alt": "A line that rises from below and then moves up and down in a narrow band, and a stepped line beside it that jumps between two levels around a dotted horizontal line."}}
w, path = torch.tensor(-0.6, requires_grad=True), []
for _ in range(120):
    loss = (straight_through(w) - 0.31) ** 2
    (slope,) = torch.autograd.grad(loss, w)
    path.append((w.item(), staircase(w).item()))
    w = (w - 0.05 * slope).detach().requires_grad_()
weight, rounded = np.array(path).T
figure, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(weight, color=plotting.ACCENT, label="weight")
ax.step(range(len(rounded)), rounded, color=plotting.INK, label="rounded")
ax.axhline(0.31, color=plotting.MUTED, ls=":")
ax.set(xlabel="step", ylabel="value")
ax.legend()
plotting.show(figure)

# %% [markdown]
# The rounded value arrives, and then jumps between two steps for ever: at 0.25 the gradient pushes up, at
# 0.5 down. Only a falling rate ends this. Therefore the fine-tuning is short, its rate is small, and falls to zero:
# `fine_tuning` sees to that whatever the student's own schedule was, also where the authors' is constant.
#
# ## Where the student is rounded
#
# So far each weight was rounded to its nearest step, by itself, and clipped at the ends. The file does it otherwise in two
# respects, and so does the training. First, the scale is that of a channel's largest weight, so no weight lies beyond the
# ends; only activations are clipped. Second, a kernel [keeps its sum](quantization.ipynb): its taps are rounded down,
# and those with the largest remainders up instead, as many as the sum asks for. A rounded weight may then move because
# its *neighbours* did. The gradient passes straight through all the same: the rounding error is added as a constant,
# whichever way it came about. `rounding="nearest"` trains with the rounding of the figures above, which is that of the
# literature; all that follows keeps the sums.
#
# `FakeQuantised` takes a trained network and puts a fake quantiser wherever
# [the full int8 file](quantization.ipynb) rounds: at every kernel, with a scale for each output channel, and at
# every activation, in one range. Weights get new scales at each step, since they move. The ranges of
# activations begin with those of the calibration clips, and follow the extremes of the batches as moving averages. So in
# training they are not those of the file. When the network is asked, after every epoch and at the end, they are
# taken from the calibration clips again, with the weights as they are then, and the export does the same.

# %%
calibration = qat.range_calibration(experiment.data)
plain = experiment.taught("response").net()
aware = qat.FakeQuantised(plain, calibration)
assert (aware.ranges[:, 0] <= aware.ranges[:, 1]).all()
print(f"{len(calibration.clips)} calibration clips")
print("activations rounded at:", *aware.places)

# %% [markdown]
# What of the batch normalisations? In training they divide by the spread of each *batch*. The file has no
# batches: it holds one scale and one shift per channel. Those of the first are folded into its convolution; those of the
# other three, which follow a ReLU, are the kernel of a depthwise convolution of one tap. Were they left to run,
# each batch would rescale these kernels, and with them their grids; the weights would be taught to sit
# on a grid that is gone one step later. So they stand in inference mode, as the constants they are in the
# file, and those constants are trained like all other numbers. Dropout is left out too.
#
# Before its first step such a network is nothing new. It is the simulation of the previous chapters, to the
# last digit:

# %%
test = experiment.clips("test")
test = test._replace(x=test.x[::4], labels=test.labels[::4])  # it is slow
simulated = quantization.simulate(plain, "full_int8", calibration)
rounded = predict(aware, test.x)
print("the same:", torch.equal(rounded, predict(simulated, test.x)))

# %% [markdown]
# ## Fine-tuning
#
# CP-Mobile trained for 150 epochs at a rate of 0.0009 and then for 20 epochs at 0.00005 with fake
# quantisers {cite}`schmid2023distilling`. We take the same shares of our own schedule. The
# loss is the one the student had in its last stage: the teacher goes on teaching.

# %%
taught = experiment.taught("rrs")
plan = qat.fine_tuning(taught.plan)
print(f"{plan.epochs} epochs after {taught.plan.epochs},",
      f"at {plan.learning_rate:.6f}")

# %% [markdown]
# A gain need not come from the rounding: two more epochs are two more epochs. The control is the same
# fine-tuning *without* fake quantisers, rounded afterwards. The student that RRS has taught is therefore looked at in four
# ways: as it was; rounded; fine-tuned and then rounded; and fine-tuned while it was rounded, which the table calls "aware".

# %%
def versions(student, bits=8):
    """Logits of one student on every fourth test clip, made in four ways."""
    tuned, aware = qat.aware(student, None), qat.aware(student, bits)
    build([tuned, aware])
    float32, fake = student.net(), qat.FakeQuantised
    nets = {"float": float32, "rounded": fake(float32, calibration, bits),
            "tuned, rounded": fake(tuned.net().graph, calibration, bits),
            "aware": aware.net()}
    return {name: predict(net, test.x) for name, net in nets.items()}


answers = versions(taught)

# %% tags=["nbval-ignore-output"]
def compared(logits):
    """Accuracy, loss, and agreement with the float student."""
    loss = torch.nn.functional.cross_entropy
    return {name: {
        "accuracy (%)": 100 * macro_accuracy(answer, test.labels),
        "log loss": float(loss(answer, test.labels)),
        "as float (%)": 100 * quantization.agreement(answer, logits["float"]),
    } for name, answer in logits.items()}


table = compared(answers)
assert table["rounded"]["as float (%)"] > 85
pd.DataFrame(table).T.round(2)

# %% [markdown]
# Read the last column with care. A rounded network that says what the float one says has lost nothing. A tuned
# network may say something else because it *learnt* something.
#
# ## What moved
#
# Did the weights move at all, and by how many steps of their grid? One step is what rounding can see.

# %% mystnb={"figure": {"name": "fig-moved", "caption": "Live run: how far the weights of each layer moved in the fine-tuning of the RRS student, in steps of their own grid; the box holds the middle half, the whiskers all but one in a hundred on either side."}, "image": {"alt": "Five horizontal box plots, one for each layer, centred near zero."}}
aware = qat.aware(taught).net()
before = qat.FakeQuantised(taught.net(), calibration)
moved = {}
for name in ("conv2", "conv3", "conv4", "dense", "head"):
    old = before.graph.get_submodule(name).weight.detach().flatten(1)
    new = aware.graph.get_submodule(name).weight.detach().flatten(1)
    step = old.abs().amax(dim=1, keepdim=True) / 127
    moved[name] = ((new - old) / step).flatten().numpy()
figure, ax = plt.subplots(figsize=(7, 3))
ax.boxplot(list(moved.values()), orientation="horizontal", whis=(1, 99),
           tick_labels=list(moved), showfliers=False)
ax.invert_yaxis()
ax.set(xlabel="moved (steps)")
plotting.show(figure)

# %% [markdown]
# Three things explain what one sees. `conv1` is not there, since its normalisation is folded into it, under another
# name. Two of the five taps of `conv4` [only ever meet padding](pruning.ipynb): 40 % of its weights have no gradient and
# did not move, so its box has an edge at zero. And a box whose middle line is beside zero has drifted: all the weights of
# a layer moved the same way, which changes the sums of its kernels.
#
# ## The file
#
# The graph of the fine-tuned network is a network like any other, and `export` makes a full int8 file of it, with
# ranges from the same calibration clips. (Where weights were rounded to the nearest, export what the network has
# `stored()`: its weights lie on their grid already, and the export has none of them to move.) Is the file what was trained?

# %% tags=["nbval-ignore-output"]
file = quantization.exported(aware.graph, "full_int8", calibration)
lite = litert.LiteRT(file)(test.x)
same = quantization.agreement(lite, answers["aware"])
print(f"LiteRT names the same scene on {100 * same:.1f} % of the clips")
assert same >= 0.95

# %% [markdown]
# ## A harder case
#
# Eight bits ask little. With four, a weight is one of fifteen values, and a step is eighteen times as large.
# (Activations keep their eight bits, and kernels their sums, unlike the weights that
# [the chapter on quantisation](quantization.ipynb) rounds to the nearest in fewer and fewer bits: the two are not to be
# compared. LiteRT knows weights of four bits; no file of ours holds them, so this is simulated.) The study below has
# them too.

# %% [markdown]
# ## What the study says
#
# One student is an anecdote. The study fine-tunes both students with several seeds, taught by one
# teacher, and compares on the same test clips.
#
# :::{note}
# Its figures are of version 0.1.0 and of the quick profile, on an older corpus: do not set them beside the live run's. A larger
# study, with longer fine-tuning and both ways of rounding, is designed (`python -m studies qat --plan`) and has not been run.
# :::

# %%
study = store.results("qat")
runs = pd.DataFrame(study["runs"]).fillna({"bits": 32})
print(f"embedded corpus: {study['clips']['test']} test clips,",
      f"{len(study['seeds'])} seeds")
mean = runs.groupby(["student", "bits", "way"])["accuracy"].mean()
(100 * mean).unstack("student").round(1).sort_index(ascending=False)

# %% mystnb={"figure": {"name": "fig-aware", "caption": "Study, embedded corpus: accuracy trained with fake quantisers minus accuracy of the control, tuned for as long and rounded afterwards, with 95 % intervals over test recordings, all seeds pooled (upper of each pair), and over seeds (lower)."}, "image": {"alt": "Four pairs of dots with horizontal interval bars, for two students at eight and four bits, around a vertical line at zero."}}
table = pd.DataFrame(study["differences"])
gain = table[(table["system"] == "aware") & (table["base"] != "float")]
shown = gain[gain["base"] == "tuned, rounded"]
columns = ["accuracy", "accuracy_low", "accuracy_high",
           "seeds_low", "seeds_high"]
names = [f"{row.student}, {row.bits} bits" for row in shown.itertuples()]
figure, ax = plt.subplots(figsize=(7, 3.2))
plotting.differences(ax, names, 100 * shown[columns],
                     "aware minus tuned and rounded (points)")
plotting.show(figure)

# %%
rows = gain.set_index(["student", "bits", "base"])[columns] * 100
for student in students:
    for base, word in (("rounded", "ptq"), ("tuned, rounded", "control")):
        for name, value in rows.loc[student, 8, base].round(2).items():
            glue(f"{student}_{word}_{name}", float(value))
clear = ~((rows["accuracy_low"] <= 0) & (rows["accuracy_high"] >= 0))
clear &= ~((rows["seeds_low"] <= 0) & (rows["seeds_high"] >= 0))
found = [f"{student} at {bits} bits against {base!r} ({row.accuracy:+.1f})"
         for (student, bits, base), row in rows[clear].iterrows()]
glue("clear", "; ".join(found) or "nowhere")
rows.round(2)

# %% [markdown]
# The last table is the answer, in points, for each student, number of bits and rival: rounding without any training
# ("rounded"), and the control that was trained for as long ("tuned, rounded"). At eight bits the response student changes
# by {glue:text}`response_ptq_accuracy:+.2f` points against plain rounding and by
# {glue:text}`response_control_accuracy:+.2f` against the control, the RRS student by {glue:text}`rrs_ptq_accuracy:+.2f`
# and {glue:text}`rrs_control_accuracy:+.2f`. Columns that end in low and high are the intervals, over recordings and
# over seeds.
#
# Where do both intervals exclude zero, over recordings and over seeds? Answer: {glue:text}`clear`.

# %%
files = pd.DataFrame(study["files"])
agreement = 100 * files["agreement_with_simulation"]
glue("lite_worst", round(float(agreement.min()), 1))
files.set_index(["student", "seed"]).round(3)

# %% [markdown]
# The networks that the study trained with 8-bit quantisers were also exported and asked in LiteRT, on all test clips. The file and the network
# as it was trained agree on at least {glue:text}`lite_worst:.1f` % of them. These are small students of a small corpus,
# tuned for two epochs of 30 steps: too few for a gain to show, had there been one. CP-Mobile's 20 epochs are thousands
# of steps.
#
# ## Takeaways
# * A fake quantiser rounds and reads back at once; its gradient goes straight through, and stops where it
#   clips.
# * The weight is a memory of small gradients; the rounded value jumps when enough have gathered.
# * Normalisations stand in inference mode: the grid of a kernel must not depend on the batch.
# * The rounding of weights in training is that of the export, sums kept. Ranges are not: they follow the batches, and
#   are taken from the calibration clips again at the end. The file and the network agree on nearly all clips, not on all.
# * Compare with a control that was trained for as long. Training longer is a rival of every method that
#   trains longer.
#
# ## Exercises
# **1.** Let `fig-walk` run with a rate that falls to zero. Where does the rounded value end, and does it depend on when
# the rate is small?
#
# :::{dropdown} Solution
# Write `for step in range(120)`, and `0.05 * (1 - step / 120)` for `0.05`. The value ends at 0.25 or 0.5, whichever it held when the
# rate became too small to reach the threshold between them. 0.25 is nearer to 0.31; it also holds it for more of the
# time, since the push at 0.5 is stronger than that at 0.25.
# :::
#
# **2.** What is the gradient of an activation outside its range, and what happens to a weight that makes all clips exceed
# it?
#
# :::{dropdown} Solution
# It is zero, so nothing pulls the activation back by this path. The range has to grow instead: in training
# it follows the extremes of the batches. With a range fixed for ever the weight would be stuck; some methods therefore train the
# range itself.
# :::
#
# **3.** At how many bits does the response student need fake quantisers? Try
# `qat.aware(experiment.taught("response"), bits)` with 3 and 2.
#
# :::{dropdown} Solution
# `compared(versions(experiment.taught("response"), 2))`. With two bits the weights are −1, 0 and 1 times a scale. Two epochs at a
# small rate may not be enough to recover from that: compare with the control before you conclude.
# :::
#
# ## What is next
# Each number is as small as it can be. [The next chapter](complexity.ipynb) counts them, and what is done with them.
