# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The challenge
#
# Close your eyes on a tram, and you still know where you are. This book
# is about a program that learns to, from one second of sound, and that
# fits into a small chip.
#
# ## What you will learn
# * what the task is: one second of sound, ten scenes, and devices that
#   colour the sound;
# * what a system may cost, year by year, and what kind of chip that means;
# * how a system is scored: macro accuracy and log loss, by hand;
# * why an honest interval counts *places* and not clips;
# * which systems this book rebuilds, and what was published about them;
# * what a system's answer looks like as a file.
#
# **Prerequisites**: Python, and a first course in machine learning.
# **Data in**: a corpus of one-second clips; without a `data_root` of your
# own, the embedded corpus. **Data out**: nothing.
# **In the library**: `asclib.challenge`, `asclib.evaluation.scores`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soxr
from IPython.display import Audio

from asclib.challenge import SAMPLE_RATE, SCENES, UNSEEN_DEVICES
from asclib.corpus import read_audio
from asclib.features import LogMel
from asclib.plotting import ACCENT, DEVICE_COLOURS, INK, MUTED, in_hertz
from asclib.plotting import show, spectrogram, use_style
from asclib.runs import Experiment

use_style()
experiment = Experiment(profile, data_root, seed)
corpus = experiment.corpus

# %% [markdown]
# ## Listen first
#
# Which scene is this second? (Without data of your own, a program has rendered
# it; more of that below.)

# %% tags=["nbval-ignore-output"]
log_mel = LogMel.tmsic()
asked = experiment.table("test").sort_values("device", kind="stable").iloc[0]
second = read_audio(corpus.root / asked["filename"])
assert len(second) == SAMPLE_RATE
Audio(second, rate=SAMPLE_RATE)

# %% [markdown]
# And this is what the small network answers that this book is about, trained
# on the training clips of this run:

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-first-answer", "caption": "What a TMSIC student of this run says of the second above. The coloured bar is the truth."}, "image": {"alt": "Ten horizontal bars, the probabilities of the ten scenes; one bar has another colour."}}
from asclib.training import predict, probabilities

student = experiment.student().net()
answer = probabilities(predict(student, log_mel(second[None])))[0]
assert abs(answer.sum() - 1) < 1e-6
names = [scene.replace("_", " ") for scene in SCENES]
true = np.array(SCENES) == asked["scene"]
fig, ax = plt.subplots(figsize=(6.5, 3))
ax.barh(names, 100 * answer, color=np.where(true, ACCENT, INK))
ax.invert_yaxis()
ax.set(xlabel="probability (%)", xlim=(0, 100))
show(fig)
print(f"It says: {names[answer.argmax()]}. True: {names[true.argmax()]}.")

# %% [markdown]
# Did you hear it, and did the network? It has 51,986 parameters; in eight bits
# they take no more room than a small picture on a web page. It is often wrong.
# How often, on which devices, and what makes it better is what the book is
# about.
#
# ## One second of sound
#
# Task 1 of the DCASE Challenge asks one question: *in which of ten scenes
# was this second recorded?* The scenes are an airport, a bus, a metro, a
# metro station, a park, a public square, a shopping mall, a pedestrian
# street, a street with traffic and a tram.
#
# The challenge uses TAU Urban Acoustic Scenes 2022 Mobile
# {cite}`heittola2022tau`: 230,350 one-second clips, cut from recordings of
# ten seconds in European cities. It is large, and not for commercial use.
# So the book brings its own corpus, rendered by a program in the same
# folder layout: the **embedded corpus**. It is synthetic. It is made to be
# hard in the same ways, and [the next chapter](dataset.ipynb) measures
# whether it is. Everything below runs unchanged on either.
#
# What is in the corpus of this run?

# %%
counts = pd.crosstab(corpus.clips["split"], corpus.clips["device"])
print(f"{len(corpus.clips):,} clips,", end=" ")
print(f"{corpus.clips['recording'].nunique():,} recordings,", end=" ")
print(f"{corpus.clips['scene'].nunique()} scenes")
counts

# %% [markdown]
# Columns are recording devices. In TAU, device *a* is a good binaural
# recorder, *b* and *c* are consumer devices, and *s1* to *s6* are simulated
# from recordings of *a*; the embedded corpus imitates all nine by filters.
# Most training clips come from *a*. **Devices *s4*, *s5* and *s6* are unseen**:
# they have no training clips, only test clips, as a phone would that was not on
# the market when you trained.
#
# Here is a clip, as a waveform and as what the networks of this book see.

# %%
def clip_name(clip):
    scene = clip["scene"].replace("_", " ")
    return f"{scene}, device {clip['device']}"


clip = experiment.table("train").iloc[0]
wave = read_audio(corpus.root / clip["filename"])
picture = log_mel(wave[None])[0, 0].numpy()
print(f"{clip_name(clip)}, slice {clip['slice']} of its recording")
print(f"{len(wave):,} numbers of sound -> {picture.shape} numbers of picture")

# %% mystnb={"figure": {"name": "fig-clip", "caption": "One clip: the waveform, and the log-mel picture the networks see, 140 mel bands by 8 frames."}, "image": {"alt": "Left, a waveform of one second; right, a heat map of 140 mel bands by eight frames, brighter where there is more energy."}}
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8))
axes[0].plot(np.arange(len(wave)) / SAMPLE_RATE, wave, lw=0.4, color=INK)
axes[0].set(title=clip_name(clip), xlabel="seconds", ylabel="amplitude")
spectrogram(axes[1], picture, "log-mel", span=8)
show(fig)

# %% [markdown]
# And this is how it sounds at 8 kHz, all the networks ever hear of it:

# %% tags=["nbval-ignore-output"]
heard = soxr.resample(wave, SAMPLE_RATE, 8000)
assert len(heard) == 8_000 and np.abs(heard).max() > 0.001
Audio(heard, rate=8000)

# %% [markdown]
# The picture keeps which frequencies sound and throws most of the rest
# away: 44,100 numbers become 1,120. [The features](../input/features.ipynb) are a
# chapter of their own.
#
# Do the scenes look different? One clip of each:

# %% mystnb={"figure": {"name": "fig-scenes", "caption": "The first training clip of each scene, each on a colour scale of its own. One clip is one example, not the scene."}, "image": {"alt": "Ten small log-mel heat maps, one for each scene, some of them hard to tell apart."}}
firsts = experiment.table("train").groupby("scene").head(1)
ordered = firsts.sort_values("scene").iterrows()
fig, axes = plt.subplots(2, 5, figsize=(8, 4), sharex=True, sharey=True)
for ax, (_, row) in zip(axes.flat, ordered, strict=False):
    sound = read_audio(corpus.root / row["filename"])
    values = log_mel(sound[None])[0, 0].numpy()
    ax.imshow(values, origin="lower", aspect="auto", cmap="magma",
              interpolation="nearest")
    ax.set_title(row["scene"].replace("_", " "), fontsize=9)
    ax.grid(False)
for ax in axes[:, 0]:
    in_hertz(ax.yaxis)
fig.supxlabel("frame", fontsize=9)
show(fig)

# %% [markdown]
# Some do, by short bright patches or by lines that last; others are hard to
# tell apart, by eye and by ear: the next chapter plays all ten.
#
# The second difficulty is the device. The figure takes one recording of the
# test split that several devices heard, and averages each device's picture
# over time. (A *neper* is a unit of level; [the features](../input/features.ipynb)
# explain it.)

# %% mystnb={"figure": {"name": "fig-devices", "caption": "Mean log-mel of one and the same test recording as each device gives it. Dashed: devices that no training clip was recorded with."}, "image": {"alt": "Curves of log energy against mel band, one for each device, with the same ups and downs but different slopes and floors."}}
test = experiment.table("test")
heard = test.groupby("recording")["device"].nunique()
same = test[test["recording"] == heard.idxmax()]
fig, ax = plt.subplots(figsize=(7, 3.2))
for device, rows in same.groupby("device"):
    paths = [corpus.root / name for name in rows["filename"]]
    waves = np.stack([read_audio(path) for path in paths])
    spectrum = log_mel(waves).mean(dim=(0, 1, 3)).numpy()
    line = "--" if device in UNSEEN_DEVICES else "-"
    ax.plot(spectrum, line, lw=1.2, color=DEVICE_COLOURS[device], label=device)
scene = same["scene"].iloc[0].replace("_", " ")
ax.set(title=scene, ylabel="mean log-mel (nepers)")
in_hertz(ax.xaxis)
ax.legend(title="device", fontsize=8, ncols=3)
show(fig)

# %% [markdown]
# Where the curves part, nothing in the world has changed, only the microphone.
# In the embedded corpus devices differ by a neper or two in the middle, and by
# far more at the low end, where small microphones hear nothing. A system that
# learns the colour of device *a* together with the scene will stumble on the
# others. ([The next chapter](dataset.ipynb) lets you hear all nine.)
#
# ## What a system may cost
#
# A cloud server could run any network. The challenge asks for one that
# stays on the device, and sets limits:
#
# | | 2022 | 2023 | 2024 | 2025 |
# |---|---|---|---|---|
# | size | 128 K parameters, zeros included, int8 | 128 kB of weights | 128 kB: parameters × bytes of each | 128 kB for each device's model |
# | multiply-accumulates (MACs) for one second | 30 M | 30 M | 30 M | 30 M for each device's model |
# | ranked by | log loss; macro accuracy second | weighted average rank of accuracy, memory and MACs | macro accuracy, mean over five training subsets | macro accuracy, with the device's name given |
# | see | {cite}`martinmorato2022low` | {cite}`dcase2023low` | {cite}`schmid2024data` | {cite}`schmid2025low` |
#
# *int8* means that every number is stored in eight bits. A MAC is one product
# added to a sum, the atom of a convolution.
# "Zeros included" closes a loophole: pruning a weight to zero saves nothing
# unless the storage shrinks with it. The library holds the limits as
# numbers, reading "128 K" as 128,000, the stricter way:

# %%
from asclib.challenge import LIMITS
from asclib.complexity import complexity
from asclib.networks import TMSIC

columns = ["year", "macs", "parameters", "bytes", "bits"]
limits = pd.DataFrame(
    [[getattr(year, name) for name in columns] for year in LIMITS.values()],
    columns=columns, dtype=object,
).set_index("year")
limits.map(lambda number: "" if number is None else f"{number:,}")

# %% [markdown]
# ### The chip behind the limits
#
# The limits are modelled on devices with an Arm Cortex-M4
# {cite}`martinmorato2022low`. Take an STM32L496 as an example: 80 MHz, 320
# KiB of RAM, 1 MiB of flash, no operating system. One of its instructions
# multiplies two pairs of 16-bit numbers and adds both products to a sum
# {cite}`lai2018cmsis`: two MACs at once.
#
# How many clock ticks does the limit leave for one MAC, if the answer has
# to be ready before the next second is over? And how many does a MAC take in
# practice? In the public results of MLPerf Tiny {cite}`banbury2021mlperf`, a
# ResNet of about 12.5 million MACs took 165 ms on a Cortex-M4 at 120 MHz with
# one library, and 390 ms with another.

# %%
CLOCK, RAM, FLASH = 80_000_000, 320 * 1024, 1024 * 1024
mac_limit = LIMITS[2022].macs
print(f"{CLOCK / mac_limit:.2f} clock ticks for each MAC at 30 MMAC/s")
for measured in (0.165, 0.390):  # seconds, of a ResNet at 120 MHz
    ticks = measured * 120e6 / 12.5e6
    seconds = ticks * 25_376_896 / CLOCK  # the student's MACs
    print(f"{ticks:.1f} ticks a MAC: the student takes {seconds:.1f} s")
print(f"{LIMITS[2023].bytes / FLASH:.0%} of the flash for 128 kB of weights")

# %% [markdown]
# The limit leaves 2.67 ticks for a MAC. Measured were 1.6 with one library,
# which fits, and 3.7 with the other, which does not. So our estimate of what
# the student takes at 80 MHz is a range: **from 0.5 to 1.2 seconds for each
# second of sound**. It counts MACs alone, and comes from another network on
# another board. But it says that the limit is no idle one, and that the inner
# loops of a library decide. Two MACs at once are a ceiling that neither library
# comes near: numbers must be loaded and widened before they can be multiplied.
#
# Memory is the other half. Weights lie in flash. RAM must hold the sound
# while it arrives, and the intermediate results of the network, its
# *activations*. Which of them is large?

# %% mystnb={"figure": {"name": "fig-memory", "caption": "What one inference of the student needs, beside the RAM and the flash of an STM32L496. Activations as int8, layer by layer."}, "image": {"alt": "Horizontal bars on a logarithmic axis: features about one kilobyte, sound at 8 kHz 16, activations and weights about 50 each, sound at 44.1 kHz 88, then the chip's RAM and flash."}}
student = complexity(TMSIC())
needs = {
    "log-mel, int8": 140 * 8,
    "1 s of sound, 8 kHz, 16 bit": 8_000 * 2,
    "weights of the student, int8": student.bytes(8),
    "activations of the student, int8": student.peak_activation,
    "1 s of sound, 44.1 kHz, 16 bit": SAMPLE_RATE * 2,
    "RAM of the chip": RAM, "flash of the chip": FLASH,
}
fig, ax = plt.subplots(figsize=(7, 2.8))
kilobytes = pd.Series(needs) / 1e3
bars = ax.barh(kilobytes.index, kilobytes, color=[INK] * 5 + [MUTED] * 2)
ax.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
ax.set(xscale="log", xlabel="kB")
show(fig)

# %% [markdown]
# The largest is the sound itself, if it is held at 44.1 kHz. Then come the
# student's activations, as much as its weights, and no challenge rule counts
# them. [The complexity chapter](../compression/complexity.ipynb)
# does, and [the one on the chip](../compression/chip.ipynb) has the figures of a program
# that runs: other ones, since a file and an engine order their work in their own ways.
#
# ## How a system is scored
#
# ### Accuracy, and macro accuracy
#
# A small example: ten clips of three scenes. A lazy system has noticed that
# parks are common.

# %%
truth = np.array(["park"] * 7 + ["bus"] * 2 + ["tram"])
guess = np.array(["park"] * 7 + ["park", "bus"] + ["park"])
print(f"accuracy: {(truth == guess).mean():.2f}")
pd.crosstab(truth, guess, rownames=["true"], colnames=["answer"])

# %% [markdown]
# Accuracy counts clips: eight of ten. But the system never finds the tram.
# **Macro accuracy** counts scenes. With $n_k$ clips of scene $k$, of which
# $h_k$ are recognised, and $K$ scenes,
#
# $$ \text{macro accuracy} = \frac1K \sum_{k=1}^{K} \frac{h_k}{n_k}. $$
#
# The fraction is the *recall* of scene $k$.

# %%
recalls = {k: (guess[truth == k] == k).mean() for k in ("park", "bus", "tram")}
for scene, recall in recalls.items():
    print(f"{scene:5} {recall:.2f}")
print(f"macro accuracy: {np.mean(list(recalls.values())):.2f}")

# %% [markdown]
# A uniform guess among ten scenes has a macro accuracy of 10 %, however
# common each scene is.
#
# ### Log loss
#
# A device may want to act only when the network is sure. So the challenge
# also looks at the probabilities. With $p_i$ the probability that the
# system gave to the *true* scene of clip $i$,
#
# $$ \text{log loss} = -\frac1N \sum_{i=1}^{N} \ln p_i . $$
#
# Three systems answer the same four clips. All of them are right on the
# first three and wrong on the last.

# %%
systems = {
    "bold": [0.98, 0.98, 0.98, 0.01],
    "modest": [0.70, 0.70, 0.70, 0.15],
    "shy": [0.15, 0.15, 0.15, 0.10],
}
for name, p in systems.items():
    print(f"{name:7} log loss {-np.log(p).mean():.3f}")
print(f"uniform log loss {np.log(10):.3f}")

# %% mystnb={"figure": {"name": "fig-log-loss", "caption": "Log loss of one clip against the probability given to its true scene; the dotted line is a uniform guess among ten."}, "image": {"alt": "A curve falling steeply from 4.6 at one per cent to zero at certainty, with a dotted vertical line at ten per cent."}}
p = np.linspace(0.01, 1, 200)
fig, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(p, -np.log(p), color=INK)
ax.axvline(0.1, color=MUTED, ls=":")
ax.set(xlabel="probability of the true scene", ylabel="log loss (nats)")
show(fig)

# %% [markdown]
# All three are right three times of four. Against the modest system, the
# bold one gains 1.01 nats by its three hits and loses 2.71 by its one mistake.
# The shy one is never badly wrong and still comes last: to be right without
# saying so costs as well. Accuracy cannot see this; log loss can. The 2022 ranking went
# by log loss, and calibration comes back in
# [the scoreboard](../challenges/scoreboard.ipynb).
#
# ### How sure may we be?
#
# A score on a test set is one draw of a lottery: other places would have
# given another score. An interval says how far it might have been off.
#
# The usual formula treats clips as independent. They are not. Clips from one
# place share its walls, its traffic, its birds, and ten of them were cut from
# one recording. If a system fails on one it often fails on all: they form a
# cluster {cite}`field2007bootstrapping`. With $m$ clips a place and a
# correlation $\rho$ between them, the variance of the mean is multiplied by
# the *design effect*
#
# $$ 1 + (m - 1)\,\rho . $$
#
# Let us try it. Every place gets its own chance of success, drawn from a
# Beta distribution with mean 0.6; its ten clips are hits with that
# chance. We repeat the whole test 2,000 times, and ask how often a
# "95 %" interval holds the truth.

# %%
rng = np.random.default_rng(0)
places, m, a, b = 100, 10, 1.2, 0.8
chance = rng.beta(a, b, (2000, places))
share = rng.binomial(m, chance) / m  # hits at each place
mean = share.mean(1)
naive = np.sqrt(mean * (1 - mean) / (places * m))
honest = share.std(1, ddof=1) / np.sqrt(places)
print(f"design effect {1 + (m - 1) / (a + b + 1):.2f}")
for name, error in (("clips", naive), ("places", honest)):
    inside = np.abs(mean - a / (a + b)) <= 1.96 * error
    print(f"over {name:6} ± {196 * error.mean():.1f} points,", end=" ")
    print(f"holds the truth {inside.mean():.1%} of the time")

# %% [markdown]
# The interval over clips is too narrow by half, and wrong far more often
# than it admits. So whenever this book asks about other test sets, its
# interval is **over locations**: what each place adds to the score, how much
# these parts differ, and as many standard errors to each side as Student's
# $t$ allows for so many places. Recordings of one place and the devices that
# heard it stay together.
#
# Here are a hundred of the simulated tests, each with the interval that it
# would have printed:

# %% mystnb={"figure": {"name": "fig-coverage", "caption": "Simulated tests of 100 places each: accuracy with its 95 % interval over places, in the order of drawing. Dashed: the truth. Intervals that miss it are coloured."}, "image": {"alt": "A hundred vertical intervals around a dashed horizontal line at 0.6; all but a few cross it."}}
from scipy import stats

centre, truth = mean[:100], a / (a + b)
half = stats.t.ppf(0.975, places - 1) * honest[:100]
missed = np.abs(centre - truth) > half
fig, ax = plt.subplots(figsize=(9, 2.4))
ax.vlines(np.arange(100), centre - half, centre + half,
          color=np.where(missed, ACCENT, MUTED))
ax.axhline(truth, color=INK, ls="--")
ax.set(xlabel="test", ylabel="accuracy")
show(fig)
print(f"{missed.sum()} of 100 miss the truth")

# %% [markdown]
# Five in a hundred are expected to miss, and one to nine would be no surprise.
# Nobody who has run one test knows whether theirs is among them.
#
# ## The cast
#
# ![A second of sound becomes a log-mel picture; a small student network, rounded to int8, names the scene. A teacher of ten fused networks teaches it beforehand.](../figures/pipeline.svg)
#
# * **TMSIC**, the student: four convolutions and two dense layers on a
#   picture of 140 × 8. With 51,986 parameters in eight bits and 25.4 million
#   MACs it keeps every limit above.
# * **TEO-vATMSIC**, the teacher: ten such networks, each asking "is it
#   *my* scene?", and one layer that fuses them. Ten times the student's
#   size, it may not enter, but it may teach.
# * **RRS**, relational response stagewise: the way of teaching submitted in
#   2023. First the student learns how clips relate to one another in the
#   teacher's eyes, then what the teacher answers.
#
# They are the work of the AI4EDGE team of Leiria {cite}`ipleiria2023dcase`.
# This book rebuilds them from their public programs and reports, measures
# every step, and says where our reading departs from theirs.
#
# These results are **published, on TAU**. They are no results of this book,
# and they never share a column with ours.
#
# | system, on TAU | split | accuracy % | log loss | parameters | MACs | source |
# |---|---|---|---|---|---|---|
# | DCASE 2022 baseline | development | 42.9 | 1.575 | 46,512 | 29.2 M | {cite}`martinmorato2022low` |
# | DCASE 2022 baseline | evaluation 2022 | 44.2 | 1.532 | 46,512 | 29.2 M | {cite}`martinmorato2022low` |
# | first of 2022 (CP-JKU) | evaluation 2022 | 59.6 | 1.091 | 121 K | 28 M | {cite}`martinmorato2022low` |
# | **TMSIC**, response distillation: 11th of 48 | evaluation 2022 | 51.6 ¹ | | 51,986 | 25.4 M | {cite}`ipleiria2023dcase` |
# | **TMSIC**, RRS, quantised | evaluation 2023 ² | 51.9 | | 51,986 | 25.4 M | {cite}`ipleiria2023dcase` |
# | DCASE 2024 baseline, all data | evaluation | 56.84 | | 61,148 | 29.4 M | {cite}`schmid2024data` |
# | first of 2024, all data | evaluation | 61.8 | | | | {cite}`schmid2024data,han2024data` |
# | CP-Mobile with the best teachers | development | 65.81 | | about 128 K | 32 M ³ | {cite}`morocutti2025creating` |
# | DCASE 2025 baseline, 25 % of data | evaluation | 53.24 | | | | {cite}`dcase2025results` |
# | first of 2025, 25 % of data | evaluation | 61.47 | | | | {cite}`dcase2025results` |
#
# ¹ Computed from 51.9 and the gain of 0.3 that the authors state; we found
# no log loss of it, by which 2022 was ranked. ² Of that year's winner and
# baseline we found no figures that we could check.
# ³ Above the challenge's limit of 30 million.
#
# In 2022 the student was 11th of 48 systems, and its team the 4th. It was 7.4
# points better than the baseline and 8.0 behind the winner, with less than half
# the winner's parameters. One second of
# a city is hard: on the evaluation sets the best systems still miss nearly
# four clips in ten. And TMSIC was never the most accurate. It is small, simple,
# and documented well enough to learn from.
#
# :::{admonition} "+0.3 points", said the authors of RRS
# The two figures are of two challenge years, of one trained network each.
# Networks that differ in nothing but the seed can lie further apart than that,
# as [the student](../networks/student.ipynb) shows. Whether RRS is better than
# response distillation is a question that this book has to ask again, with
# many trainings of both, on the same clips.
# :::
#
# ## The answer file
#
# A system answers with a table: a row for each clip, the scene it chose,
# and ten probabilities in alphabetical order, separated by tabs. Here three
# clips meet a system that knows nothing.

# %%
clips = experiment.table("test").head(3)
probabilities = np.full((len(clips), len(SCENES)), 1 / len(SCENES))
answer = pd.DataFrame(probabilities, columns=SCENES)
chosen = [SCENES[k] for k in probabilities.argmax(1)]
names = clips["filename"].str.split("/").str[-1]
answer.insert(0, "filename", names.to_numpy())
answer.insert(1, "scene_label", chosen)
text = answer.to_csv(sep="\t", index=False)
header, *rows = text.splitlines()
print(header.replace("\t", " | ")[:60], "...")
for row in rows:
    print(row.replace("\t", " | ")[:60], "...")

# %% [markdown]
# Small slips in such a file are easy and expensive. The official checker of
# 2024 does not notice rows that do not sum to one, nor a label that is not
# the most probable scene. Nor does it say that rounding to three decimals can
# make both of these from a sound answer. A check of one's own takes a few
# lines.

# %%
def check(file, expected):
    table = pd.read_csv(file, sep="\t")
    p = table[list(SCENES)].to_numpy()
    best = table[list(SCENES)].idxmax(axis=1)
    assert sorted(table["filename"]) == sorted(expected), "clips differ"
    assert np.allclose(p.sum(1), 1, atol=1e-3), "a row does not sum to 1"
    assert (best == table["scene_label"]).all(), "label is not the best"


check(io.StringIO(text), names)
try:
    check(io.StringIO(text.replace("\t0.1", "\t0.2", 3)), names)
except AssertionError as error:
    print("refused:", error)

# %% [markdown]
# ## A map of the book
#
# | chapter | question |
# |---|---|
# | The challenge | what is asked, and how is it scored? |
# | [The data](dataset.ipynb) | what is in the corpus, and which splits are honest? |
# | [The features](../input/features.ipynb) | how does a second become a picture? |
# | [Augmentation](../input/augmentation.ipynb) | how are more clips made of few? |
# | [The search for the input](../input/feature_search.ipynb) | why 140 bands and 8 frames? |
# | [The student](../networks/student.ipynb) | how is a small network built and trained? |
# | [The search for the architecture](../networks/architecture_search.ipynb) | why this network, and what does choosing add to a score? |
# | [The teacher](../networks/teacher.ipynb) | how do ten networks become one teacher? |
# | [Ten experts, or ten of a kind?](../networks/ensembles.ipynb) | does one-vs-all help, or is it the ten? |
# | [Response distillation](../distillation/response.ipynb) | what can be learned from soft answers? |
# | [Between the sound and the answer](../distillation/feature_maps.ipynb) | what from a teacher's maps? |
# | [How clips lie to each other](../distillation/relations.ipynb) | what from relations? |
# | [Relations first, then answers](../distillation/rrs.ipynb) | in which order, and is longer better? |
# | [The same answers, read in other ways](../distillation/answers.ipynb) | what else is in an answer? |
# | [Somebody in between](../distillation/assistants.ipynb) | does a go-between help? |
# | [All techniques, compared](../distillation/comparison.ipynb) | which technique helps, and is RRS better or only longer? |
# | [Quantisation](../compression/quantization.ipynb) | what is left in eight bits? |
# | [Quantisation in training](../compression/qat.ipynb) | can a network learn to be rounded? |
# | [Complexity](../compression/complexity.ipynb) | what does a network cost? |
# | [Pruning](../compression/pruning.ipynb) | how small can it get? |
# | [On the chip](../compression/chip.ipynb) | does it fit, ears and all? |
# | [2022: a student that answers](../challenges/entry_2022.ipynb) | what is handed in, and what does a log loss punish? |
# | [2023: relations first](../challenges/entry_2023.ipynb) | what changed in a year, and was it more than luck? |
# | [Four ways to fool oneself](../challenges/slips.ipynb) | what does a slip promise, and what is true? |
# | [Few labels](../challenges/few_labels.ipynb) | what can be learnt from clips without labels? |
# | [The scoreboard](../challenges/scoreboard.ipynb) | how good is everything, and how sure are we? |
# | [What a training costs](../practice/training.ipynb) | how many trainings can one afford? |
#
# Each chapter can be opened first: what it needs and does not find, it
# builds.
#
# ## Takeaways
# * The task: name one of ten scenes from one second, on several devices, some
#   of them never heard in training.
# * The limits: 128 K parameters or 128 kB, and 30 million MACs a second,
#   modelled on a Cortex-M4. By what others have measured there, the student
#   takes from 0.5 to 1.2 s for a second of sound at 80 MHz. Activations are not
#   limited, and take as much memory as the weights.
# * Macro accuracy is the mean of the recalls. Log loss punishes confident
#   mistakes; a uniform guess costs $\ln 10 \approx 2.303$.
# * Clips of one place are alike. Intervals count places. In the simulation
#   those over clips were half as wide, and one in three missed the truth; of
#   those over places about one in twenty did, as "95 %" promises.
# * The cast: TMSIC learns, TEO-vATMSIC teaches, RRS is how. On TAU, in 2022, the
#   student was 11th of 48: 51.6 %, between the baseline's 44.2 and the winner's
#   59.6. Published figures stay in their own columns.
# * An answer file has a row per clip, and is worth checking.
#
# ## Exercises
#
# **1.** A system gives each true scene the probability 0.5, always. Another
# gives 1 to half of the clips and 0.25 to the other half. Which has the
# lower log loss?
#
# :::{dropdown} Solution
# The first costs $-\ln 0.5 \approx 0.693$ on every clip. The second costs
# $0$ on half of them and $-\ln 0.25 = 2 \ln 2 \approx 1.386$ on the others:
# the same mean, $0.693$. Log loss is the logarithm of the geometric mean of
# the probabilities, and $\sqrt{1 \cdot 0.25} = 0.5$.
# :::
#
# **2.** In the simulation, what happens to both intervals when clips of a
# place are independent? What when they are all alike? Change `a` and
# `b`, keeping their ratio.
#
# :::{dropdown} Solution
# The correlation is $\rho = 1 / (a + b + 1)$. With `a, b = 120, 80` it is
# nearly 0: the design effect is nearly 1 and the two intervals agree. With
# `a, b = 0.012, 0.008` it is nearly 1: a place is all right or all
# wrong, the design effect is nearly 10, and ten clips tell you no more than
# one.
# :::
#
# **3.** A test set has nine devices with 3,300 clips each, cut from the same
# recordings. How many independent observations is that?
#
# :::{dropdown} Solution
# At most as many as there are places. Parallel devices heard the same event,
# and the ten slices the same ten seconds: nine devices times ten slices give
# ninety clips for one recording, so 29,700 clips come from as few as 330
# recordings, and several recordings from one place. An interval over places
# keeps all of them together.
# :::
#
# ## What is next
# The next chapter opens [the corpus](dataset.ipynb): its names, its
# splits, and the leaks that make scores look better than they are.
