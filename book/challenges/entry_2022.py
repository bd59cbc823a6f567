# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2022: a student that answers
#
# ## What you will learn
# * what the challenge of 2022 asked for, and by which number it ranked;
# * the whole way of one system, from its training to the zip that is handed in;
# * which clips a log loss is made of, and how much of it one number can mend;
# * what a package may get wrong without the official validator of 2024 noticing.
#
# **Prerequisites**: [the teacher's answers](../distillation/response.ipynb),
# [eight bits](../compression/quantization.ipynb).
# **Data in**: the corpus of this run, and its teacher and students.
# **Data out**: a package, in a temporary folder.
# **In the library**: `asclib.challenge`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from asclib.challenge import LIMITS, SCENES
from asclib.challenge.official import official
from asclib.challenge.systems import system
from asclib.challenge.years import YEARS
from asclib.plotting import (
    ACCENT, INK, MUTED, glue, intervals, show, use_style)
from asclib.runs import Experiment, build

use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## What was asked
#
# Label 118,800 seconds of sound with ten scenes. Use a network of at most 128,000 parameters, whose
# weights are stored in eight bits, and at most 30 million MACs a second. Parameters that are zero count
# as all others {cite}`martinmorato2022low`.
#
# Systems were ranked by **log loss**, and by macro accuracy only where two had the same. So it did not
# suffice to be right: a system had to know how sure it could be.

# %%
rules = YEARS[2022]
print(f"{rules.clips:,} clips to be answered")
print(rules.limits)

# %% [markdown]
# ## The system
#
# AI4EDGE handed in TMSIC, taught by the responses of TEO-vATMSIC, in eight bits {cite}`ai4edge2022report`.
# Here it is taught by their loss, `response_published`, which takes
# [a second softmax](../distillation/response.ipynb); epochs and augmentation are those of this run's profile.
# Beside it stands `response`, the same lesson on logits as Hinton and colleagues give it
# {cite}`hinton2015distilling`.

# %%
lessons = {"published": "response_published", "on logits": "response"}
runs = {name: experiment.taught(t) for name, t in lessons.items()}
build(list(runs.values()))

# %% [markdown]
# A network is handed in as a file. `system` exports it with weights and activations in eight bits, whose
# ranges are found on clips of the training split, and counts what the file costs.

# %% tags=["nbval-ignore-output"]
systems = {
    name: system(run, kind="full_int8") for name, run in runs.items()
}
entered, limits = systems["published"], LIMITS[2022]
print(entered.cost.within(limits, entered.bits))
costs = entered.costs()
glue("file", costs["total_model_size"] / 1000)
glue("parameters", 100 * costs["total_parameters"] / limits.parameters)
glue("macs", 100 * costs["macs"] / limits.macs)
assert costs["macs"] < limits.macs
pd.Series(costs).map("{:,}".format)

# %% [markdown]
# The file holds {glue:text}`file:.0f` kB of numbers. Its parameters take {glue:text}`parameters:.0f` % of what the
# rules allow, its MACs {glue:text}`macs:.0f` %. Arithmetic is what this network has little left of.
#
# ## Its scores
#
# The test clips of this corpus stand in for the evaluation set, whose scenes are not public. The table is
# the one that the challenge prints, accuracies in per cent, with a 95 % interval over locations for each figure.
# Its rows of cities are left out: a city may have one place of a scene, and one place shows no spread.

# %% tags=["nbval-ignore-output"]
clips, test = experiment.table("test"), experiment.clips("test")
truth = test.labels.numpy()
said = {name: one.ask(test.x) for name, one in systems.items()}
p = said["published"]
table = official(p, clips)
assert np.allclose(p.sum(1), 1) and table["log_loss"].gt(0).all()
columns = [key + end for key in ("accuracy", "log_loss")
           for end in ("", "_low", "_high")]
shown = table[~table["group"].str.startswith("city ")]
shown = shown.set_index("group")[["clips", "locations", *columns]]
rows = table[table["group"].str.startswith("device ")]
width = 100 * (rows["accuracy_high"] - rows["accuracy_low"])
glue("device_clips", int(rows["clips"].min()))
glue("device_width", float(width.mean()))
shown.assign(**100 * shown[columns[:3]]).round(2)

# %% mystnb={"figure": {"name": "fig-2022-devices", "caption": "Live run: log loss and macro accuracy of the entered file by device, with 95 % intervals over locations. On the left less is better, on the right more. The dashed lines are those of all clips."}, "image": {"alt": "Two panels of dots with intervals, a row for each recording device, and a dashed line in each panel."}}
names = rows["group"].str.removeprefix("device ").tolist()
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
for ax, key, unit in zip(axes, ("log_loss", "accuracy"), (1, 100),
                         strict=True):
    ends = (unit * rows[f"{key}{end}"] for end in ("", "_low", "_high"))
    intervals(ax, names, *ends)
    ax.axvline(unit * table.loc[0, key], ls="--", color=MUTED)
axes[0].set(xlabel="log loss (nats), less is better", ylabel="device")
axes[1].set_xlabel("macro accuracy (%), more is better")
show(fig)

# %% [markdown]
# A device has {glue:text}`device_clips` clips here, and its accuracy an interval of {glue:text}`device_width:.0f` points
# from end to end. A difference of a few points between two devices is not to be read from such a figure;
# [the scoreboard](scoreboard.ipynb) has more clips of each. Nor need the two panels agree on which of two
# systems is better, and here is why.
#
# ## What a log loss is made of
#
# The log loss of a clip is $-\ln p$ of its true scene. A network that gave each scene a tenth would pay
# $\ln 10 = 2.30$ for every clip; one that is sure of a wrong scene pays without end.

# %% tags=["nbval-ignore-output"]
from sklearn.metrics import log_loss

paid = -np.log(p[np.arange(len(p)), truth].clip(np.finfo(float).eps))
np.testing.assert_allclose(paid.mean(),
                           log_loss(truth, p, labels=range(10)), rtol=1e-3)
worst = np.sort(paid)[::-1]
share = 100 * worst.cumsum() / worst.sum()
tenth = share[len(share) // 10]
assert tenth > 10
glue("tenth", float(tenth))
glue("dearer", float(100 * (paid > np.log(10)).mean()))
glue("wrong", float(100 * (p.argmax(1) != truth).mean()))

# %% mystnb={"figure": {"name": "fig-2022-dearest", "caption": "Live run: the share of the whole log loss that the dearest clips pay, from the dearest on. On the dashed line all clips would pay alike."}, "image": {"alt": "A curve that rises and flattens, above a dashed diagonal."}}
fig, ax = plt.subplots(figsize=(4.6, 3.6))
ax.plot(np.linspace(0, 100, len(share)), share, color=INK)
ax.plot([0, 100], [0, 100], ls="--", color=MUTED)
ax.set(xlabel="clips, the dearest first (%)", ylabel="of the log loss (%)",
       xlim=(0, 100), ylim=(0, 102))
show(fig)

# %% [markdown]
# The dearest tenth of the clips pays {glue:text}`tenth:.0f` % of the log loss. {glue:text}`wrong:.0f` % of all clips are
# answered wrongly, and {glue:text}`dearer:.0f` % cost more than chance would: those are the clips whose scene the
# network had all but ruled out. To accuracy they are mistakes like the others.
#
# ## One number that costs nothing
#
# Divide all logits by a **temperature** $T$ before the softmax. The order of the scenes stays, so accuracy
# does too; but all answers become softer ($T > 1$) or sharper ($T < 1$), and the log loss moves. The best
# $T$ is found on validation clips {cite}`guo2017calibration`. In the network it takes no parameter and
# no MAC: the weights of the last layer are divided by it.

# %%
from scipy.optimize import minimize_scalar


def tempered(p, temperature):
    """The answers as if all logits had been divided by the temperature."""
    powers = p ** (1 / temperature)
    return powers / powers.sum(1, keepdims=True)


def loss_at(temperature, p, labels):
    return log_loss(labels, tempered(p, temperature), labels=range(10))


# %% tags=["nbval-ignore-output"]
validation = experiment.clips("validation")
best = {}
for name, one in systems.items():
    known = one.ask(validation.x), validation.labels.numpy()
    found = minimize_scalar(loss_at, bounds=(0.2, 5), args=known,
                            method="bounded")
    best[name] = found.x
    assert 0.2 < found.x < 5

# %% mystnb={"figure": {"name": "fig-2022-temperature", "caption": "Live run: log loss on the test clips against the temperature, for both lessons. Below is better. Dots: as trained; diamonds: the temperature that validation clips chose."}, "image": {"alt": "Two curves, each with a dot at temperature one and a diamond at another."}}
grid = np.geomspace(0.4, 4, 40)
fig, ax = plt.subplots(figsize=(6, 3.4))
for name, colour in zip(systems, (INK, ACCENT), strict=True):
    at = [loss_at(t, said[name], truth) for t in grid]
    ax.plot(grid, at, color=colour, label=name)
    for t, mark in ((1, "o"), (best[name], "D")):
        ax.plot(t, loss_at(t, said[name], truth), mark, color=colour, ms=7)
ax.set(xscale="log", xlabel="temperature", ylabel="log loss (nats)")
ax.set_xticks([0.5, 1, 2, 4], [0.5, 1, 2, 4])
ax.minorticks_off()
ax.legend()
show(fig)

# %% tags=["nbval-ignore-output"]
from asclib.evaluation import compare

def moved(name, before, after):
    """The difference in log loss, its ends glued; accuracy beside it."""
    c = compare(before, after, clips)
    ends = {"": c.log_loss, "_low": c.log_loss_low, "_high": c.log_loss_high}
    for end, value in ends.items():
        glue(f"{name}{end}", float(value))
    return {"difference": c.log_loss, "low": c.log_loss_low,
            "high": c.log_loss_high, "accuracy": 100 * c.accuracy}


# %% tags=["nbval-ignore-output"]
rows = {}
for name, key in (("published", "own"), ("on logits", "logits")):
    cooled = tempered(said[name], best[name])
    rows[f"{name}, T = {best[name]:.2f}"] = moved(key, said[name], cooled)
rows["on logits - published"] = moved("lessons", p, said["on logits"])
moves = pd.DataFrame(rows).T
assert np.allclose(moves["accuracy"][:2], 0)
moves.round(3)

# %% [markdown]
# The temperature moves the log loss by {glue:text}`own:+.3f` nats ({glue:text}`own_low:+.3f` to
# {glue:text}`own_high:+.3f`) after the published lesson, and by {glue:text}`logits:+.3f`
# ({glue:text}`logits_low:+.3f` to {glue:text}`logits_high:+.3f`) after the one on logits. Less than zero is
# better. As trained, the lesson on logits minus the published one is {glue:text}`lessons:+.3f`
# ({glue:text}`lessons_low:+.3f` to {glue:text}`lessons_high:+.3f`). All intervals are over locations: these
# trainings, other places. Two other trainings may come out the other way round.
#
# Validation clips are other clips, and a temperature found on them may also do harm on the test. But one that
# is not looked for at all leaves it to the lesson how sure a network is. So a comparison of lessons by log loss
# should give each of them a temperature of its own.
#
# ## The package
#
# What no program can know, a team writes into `about.yaml`. The template names the fields.

# %%
import yaml

from asclib.challenge.meta import about_template

about = yaml.safe_load(about_template(rules))
about |= {"team": "Reader_HOME", "name": "TMSIC, taught by responses",
          "abbreviation": "TMSIC"}
about["authors"][0] |= {
    "firstname": "A.", "lastname": "Reader", "email": "reader@example.org",
    "affiliation": {"abbreviation": "HOME", "institute": "At home",
                    "location": "Anywhere"}}
about["description"]["data_augmentation"] = "none"
print(", ".join(about["description"]))

# %% [markdown]
# `entry` asks the system about both sets of clips, fills in costs and scores, and refuses one that is
# beyond the limits. `Submission` writes the zip, unless it has a fault.

# %%
import tempfile
import zipfile
from pathlib import Path

from asclib.challenge.submission import Submission, entry

folder = Path(tempfile.mkdtemp())
root = experiment.corpus.root
made = entry(2022, {"tmsic": entered}, about, development=root,
             evaluation=root)
expected = made.outputs[100]["filename"].tolist()
package = Submission(2022, [made], expected).write(folder / "package.zip")
with zipfile.ZipFile(package) as zipped:
    print(*zipped.namelist(), sep="\n")
    zipped.extractall(folder / "spoilt")

# %% [markdown]
# Each row of the output names a clip, the scene, and ten probabilities. Now we spoil two rows, as a
# careless program would: one is scaled so that it no longer sums to 1, and of another the scene is not
# the one with the largest probability. The organisers' validator of 2024 passes both. `check` does not:

# %% tags=["nbval-ignore-output"]
from asclib.challenge.check import check

output = next(folder.glob("spoilt/task1/*/*.output.csv"))
rows = pd.read_csv(output, sep="\t")
rows.loc[0, list(SCENES)] *= 1.2
likely = rows.loc[1, list(SCENES)].astype(float)
rows.loc[1, "scene_label"] = likely.idxmin()
rows.to_csv(output, sep="\t", index=False)
print(len(check(package, 2022, expected)), "faults before")
faults = check(folder / "spoilt", 2022, expected)
assert faults["row"].tolist() == [2, 3]
for fault in faults.itertuples():
    print(f"row {fault.row}: {fault.problem}\n   remedy: {fault.remedy}")

# %% [markdown]
# The same from a shell, on files and folders of your own, is `python -m asclib package`; see
# [running on TAU](../practice/tau.md).
#
# ## What was published
#
# These figures are of the challenge's evaluation set, on real recordings
# {cite}`martinmorato2022low,schmid2022knowledge`. None of them may be set beside those above. TMSIC's 51.6 % is
# computed: its authors say that 51.9 % a year later was 0.3 points more {cite}`ipleiria2023dcase`.

# %%
published = pd.DataFrame(
    [["the first, CP-JKU", 59.6, 1.091, "121 K", "28 M"],
     ["TMSIC, 11th of 48 systems", 51.6, "–", "52 K", "25.4 M"],
     ["the organisers' baseline", 44.2, 1.532, "46.5 K", "29.2 M"]],
    columns=["system", "accuracy (%)", "log loss", "parameters", "MACs"])
published.set_index("system")

# %% [markdown]
# TMSIC stands halfway between the baseline and the first, with less than half of the first's parameters.
# The team was fourth.
#
# ## Takeaways
# * In 2022 a system was ranked by how well it knew what it did not know. The tenth of the clips that it
#   answers worst pays {glue:text}`tenth:.0f` % of the log loss; accuracy counts them as any others.
# * A temperature, chosen on validation clips, changes the log loss and not one answer: here by
#   {glue:text}`own:+.3f` and {glue:text}`logits:+.3f` nats. It costs nothing in the file.
# * A package is refused by `check` for faults that the official validator of 2024 does not look for: rows that do
#   not sum to 1, and scenes that are not the most probable.
# * TMSIC came 11th of 48 with 52 K parameters; the first had 121 K, and 8 points more.
#
# ## Exercises
# **1.** A system gives every true scene 0.6, another gives 0.99 in nine of ten clips and 0.001 in the tenth.
# Which has the better log loss, and which the better accuracy?
#
# :::{dropdown} Solution
# $-\ln 0.6 = 0.51$, and accuracy 100 % (no other scene can have more than 0.4). The other pays
# $0.9 \cdot 0.01 + 0.1 \cdot 6.9 = 0.70$ and is right in 90 %. It would take a tenth clip at 0.0067 or more
# to pay less than the first.
# :::
#
# **2.** Find a temperature for each device instead of one for all. How far apart are they, and why would it have
# been of no use in 2022?
#
# :::{dropdown} Solution
# ```python
# heard = experiment.table("validation")["device"].to_numpy()
# for device in np.unique(heard):
#     some = heard == device
#     known = (entered.ask(validation.x)[some],
#              validation.labels.numpy()[some])
#     found = minimize_scalar(loss_at, bounds=(0.2, 5), args=known,
#                             method="bounded")
#     print(device, round(found.x, 2))
# ```
# The device of a clip was not told in 2022, and the unseen devices have no validation clips. In 2025 the
# device is told, and each may have a model of its own.
# :::
#
# **3.** (An hour.) Put the temperature into the file: divide the last layer's weights and bias by it,
# export again, and compare log loss and agreement with `tempered`.
#
# :::{dropdown} Solution
# ```python
# import copy
# import torch
#
# net = copy.deepcopy(runs["published"].net())
# with torch.no_grad():
#     net.head.weight /= best["published"]
#     net.head.bias /= best["published"]
# cooled = system(net, kind="full_int8", ranges=experiment.data)
# print(loss_at(1, cooled.ask(test.x), truth))
# ```
# Up to rounding it is the log loss as trained and the difference of the table together: eight bits are scaled by
# the largest logit, and that was divided too.
# :::
#
# ## What is next
# A year later the same network came again, with another lesson and other rules:
# [2023](entry_2023.ipynb).
