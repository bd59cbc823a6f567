# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Augmentation
#
# A network hears the same clips again and again, and remembers them. Augmentation changes them a
# little each time. Which changes leave the scene alone, what do they sound like, and which of them
# help?
#
# ## What you will learn
# * what the authors of TMSIC did to their clips: six versions of those of the rarer devices, made before training;
# * what later winners did while training: other devices by convolution, Freq-MixStyle, mixup,
#   rolling, masking; each written out by hand, seen and heard;
# * how much of a device its filter explains, and what Freq-MixStyle takes along with it;
# * what was gained by each on the embedded corpus, at the same cost, and how sure that is.
#
# **Prerequisites**: [the data set](../task/dataset.ipynb) for devices and parallel clips,
# [features](features.ipynb) for the log-mel picture.
# **Data in**: the training clips; `results/augmentation.json`. **Data out**: nothing.
# **In the library**: `asclib.augmentation`; the study is `studies/augmentation.py`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soxr
import torch

from asclib import augmentation, plotting
from asclib.corpus import read_audio
from asclib.features import LogMel
from asclib.plotting import glue
from asclib.runs import Experiment
from asclib.store import results

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
corpus, train = experiment.corpus, experiment.table("train")

# %% [markdown]
# Our example is a tram through a device other than `a`, because the authors changed only those clips. (A
# corpus without one gives another clip, and the line below names it.)
# All sounds of this chapter are at 8 kHz: what is above, TMSIC does not hear.

# %%
other = train[train["device"] != "a"]
clip = pd.concat([other[other["scene"] == "tram"], other, train]).iloc[0]
x = read_audio(corpus.root / clip["filename"])
y = soxr.resample(x, 44_100, 8_000)
log_mel = LogMel.tmsic()


def picture(y):
    """Log-mel (140, 8) in nepers of a second at 8 kHz."""
    return log_mel(np.float32(y)[None], 8_000)[0, 0].numpy()


print(f"{clip['identifier']}: scene {clip['scene']}, device {clip['device']}")

# %% [markdown]
# ## What the authors did
#
# Four changes of the waveform, each with a probability of one half: the pitch up or down by up to two
# semitones, a shift by up to a quarter of the clip, 0.9 to 1.15 times the tempo, and 5 to 10 % of the
# clip silenced {cite}`ipleiria2023dcase`. Here each is taken at its limit. Shift and silence are a
# line of numpy; for pitch and tempo without the other a phase vocoder stretches the spectrogram in
# time, and `librosa` has one {cite}`mcfee2015librosa`.

# %%
silenced = y.copy()
silenced[3_600:4_400] = 0
higher = librosa.effects.pitch_shift(y, sr=8_000, n_steps=2)
faster = librosa.effects.time_stretch(y, rate=1.15)
changed = {
    "as recorded": y,
    "two semitones up": higher,
    "a quarter later": np.roll(y, len(y) // 4),
    "15 % faster": librosa.util.fix_length(faster, size=len(y)),
    "a tenth silenced": silenced,
}
print({name: len(one) for name, one in changed.items()})

# %% [markdown]
# Which of these can be seen in a picture of eight frames? {numref}`fig-augmentation-waveform` has them
# side by side.

# %% mystnb={"figure": {"name": "fig-augmentation-waveform", "caption": "One second in a tram and the authors' four changes of its waveform, each at its limit, in the order of the players below."}, "image": {"alt": "Five log-mel pictures of 140 bands by 8 frames; lines move up in the second, columns move in the third, the last columns of the fourth are dark, the fifth resembles the first."}}
fig, axes = plt.subplots(1, 5, figsize=(11, 2.9), sharey=True)
top = picture(y).max()
for ax, (name, one) in zip(axes, changed.items(), strict=True):
    ax.imshow(picture(one), origin="lower", aspect="auto", cmap="magma",
              vmin=top - 8, vmax=top, interpolation="nearest")
    ax.set(title=name, xlabel="frame")
    ax.grid(False)
plotting.in_hertz(axes[0].yaxis)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
assert all(len(one) == 8_000 for one in changed.values())
plotting.players(changed, 8_000)

# %% [markdown]
# The ear notices the gap at once. In the picture one column darkens a little: a tenth of a second is
# shorter than the window of a quarter, so no frame falls silent. What the faster clip lacks at its end
# is silence too, and longer.
#
# Each clip got two such versions, in the second with a probability of one quarter. Then mel bands were
# hidden in all three: SpecAugment's masking {cite}`park2019specaugment`, 3 to 10 % of the bands,
# first filled with zeros, then with the mean of what is hidden, each with a probability of one quarter.
# How much more is that to learn from, on TAU?

# %%
others_on_tau = 7_490 + 7_480 + 3 * 7_500  # training clips of b, c, s1 to s3
print(f"device a: {102_150:,}, all others: {others_on_tau:,}")
print(f"after augmentation: {102_150 + 6 * others_on_tau:,}")
before = others_on_tau / (102_150 + others_on_tau)
after = 6 * others_on_tau / (102_150 + 6 * others_on_tau)
print(f"share of the other devices: {before:.0%} before, {after:.0%} after")

# %% [markdown]
# Two things happen at once: clips are changed, and devices other than `a` become the majority. Keep
# this in mind for the comparison below. Here are the six versions of our tram, as the library makes
# them. In which are bands hidden?

# %% mystnb={"figure": {"name": "fig-augmentation-six", "caption": "The authors' six versions of one clip: itself, two changed waveforms, and the three with mel bands masked where chance would have it."}, "image": {"alt": "Six log-mel pictures in two rows; the versions below repeat those above, some with a horizontal stripe of one colour."}}
versions = augmentation.tmsic_versions(
    x, clip["identifier"], clip["device"], log_mel, seed=seed
)
fig, axes = plt.subplots(2, 3, figsize=(8, 4.2), sharex=True, sharey=True)
names = augmentation.clip.VERSIONS
for ax, name, one in zip(axes.flat, names, versions, strict=False):
    ax.imshow(one[0], origin="lower", aspect="auto", cmap="magma",
              vmin=top - 8, vmax=top, interpolation="nearest")
    ax.set(title=name)
    ax.grid(False)
plotting.show(fig)

# %% [markdown]
# Chance decides, so a version may equal its origin. But chance is named: every draw comes from a
# generator made of the seed, the clip's identifier and what is drawn. So a clip is changed in the
# same way whatever was changed before it, in any order and in any process.
#
# Is zero a good filling? A picture in nepers has its silence at −36 and its mean well below zero.
# {numref}`fig-augmentation-mask` fills the same bands with both, and the function below plays a picture:
# it makes each band of the sound as much louder as the picture was changed.

# %%
def heard(y, change):
    """A second at 8 kHz, its mel bands louder by `change` (140, 8) nepers."""
    spectrum = librosa.stft(y, n_fft=2048, hop_length=1024)  # (1025, 8)
    centres = librosa.mel_frequencies(142, fmin=0, fmax=4_000)[1:-1]
    hertz = np.arange(1025) * 8_000 / 2_048
    gains = [np.interp(hertz, centres, frame) for frame in change.T]
    gains = np.exp(np.clip(gains, -12, 12)).T
    return librosa.istft(spectrum * gains, hop_length=1024, length=len(y))


plain = picture(y)
hidden = slice(106, 120)  # a tenth of the bands
masked = {"as recorded": plain, "zeros": plain.copy(), "mean": plain.copy()}
masked["zeros"][hidden] = 0
masked["mean"][hidden] = plain[hidden].mean()

# %% mystnb={"figure": {"name": "fig-augmentation-mask", "caption": "A tenth of the mel bands hidden, by zeros and by the mean of what is hidden."}, "image": {"alt": "Three log-mel pictures: as recorded, with a bright horizontal stripe among dark bands, and with a stripe as dark as its surroundings."}}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6))
for ax, (name, one) in zip(axes, masked.items(), strict=True):
    plotting.spectrogram(ax, one, name, span=8)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
theirs = augmentation.frequency_mask(plain, seed=seed, identifier="a clip")
rows = np.flatnonzero((theirs != plain).any(1))
assert rows.max() - rows.min() + 1 == len(rows)  # adjacent, and all of
assert np.ptp(theirs[rows]) == 0  # one value, the mean:
assert np.allclose(theirs[rows], plain[rows].mean(), atol=1e-5)
sounds = {name: heard(y, one - plain) for name, one in masked.items()}
plotting.players(sounds, 8_000)

# %% [markdown]
# Zeros are a hiss as loud as the tram. A mask that is meant to hide shouts instead. The mean keeps
# the loudness and takes the shape; `frequency_mask` uses it unless told otherwise.
#
# ## Other devices
#
# The winners' idea {cite}`morocutti2023device`: if the test has devices that training lacks, make more
# devices. A device that is linear is a filter $r$, its impulse response, and a clip of device `a`
# convolved with it is what the other would have recorded:
#
# $$ x'_n = \sum_k r_k\, x_{n-k} $$
#
# They took recorded responses of devices; the devices of the embedded corpus are known by
# construction. We use the *seen* ones only: with the responses of `s4` to `s6` those would be unseen no
# longer. Real devices also compress, clip and hiss, which no filter does. How much of the way
# does the filter go? In the embedded corpus's training split every clip of another device has a parallel
# one of device `a`: we send that through the other's filter and compare. Where `data_root` names recordings of
# your own, the tables and pictures of this section are still of the embedded corpus, since nobody knows
# the filters of your devices.

# %%
from asclib.corpus.embedded import RECORDERS

responses = {d: augmentation.impulse_response(RECORDERS[d])
             for d in ("b", "c", "s1", "s2", "s3")}
known = experiment if data_root is None else Experiment("quick")
table, folder = known.table("train"), known.corpus.root
event = table["recording"] + "-" + table["slice"].astype(str)
parallel = table.assign(event=event).pivot(
    index="event", columns="device", values="filename"
)
pairs = [
    (device, folder / files["a"], folder / files[device])
    for device in responses
    for _, files in parallel.dropna(subset=["a", device]).head(10).iterrows()
]

# %%
def through(x, response):
    """Convolution in the frequency domain, cut to the length of x."""
    n = len(x) + len(response) - 1
    product = np.fft.rfft(x, n) * np.fft.rfft(response, n)
    return np.float32(np.fft.irfft(product, n)[: len(x)])

# %% [markdown]
# Two distances, in nepers and averaged over all cells of the picture: from device `a` to the other
# device, and what is left of it after the filter.

# %%
rows = []
for device, one, same in pairs:
    a, b = read_audio(one), read_audio(same)
    waves = np.stack([a, through(a, responses[device]), b])
    pictures = log_mel(waves)[:, 0]
    before, left = (pictures[:2] - pictures[2]).abs().mean((1, 2))
    rows.append((device, float(before), float(left)))
columns = ["device", "from a", "after the filter"]
apart = pd.DataFrame(rows, columns=columns).groupby("device").mean()
theirs = augmentation.other_device(
    a, "a", [responses[device]], p=1.0, seed=seed, identifier="a clip"
)
assert np.allclose(theirs, through(a, responses[device]), atol=1e-5)
apart.round(2)

# %% [markdown]
# The filter explains most of the difference and not all of it. What is left is compression, clipping
# and noise. {numref}`fig-augmentation-device` shows one
# event three times.

# %% mystnb={"figure": {"name": "fig-augmentation-device", "caption": "One event: recorded by device a, that recording through the filter of another device, and recorded by that device."}, "image": {"alt": "Three log-mel pictures; the second and the third resemble each other more than the first, with darker bands at the top and bottom."}}
pair = next(p for p in pairs if p[0] == pairs[-1][0])
a, b = read_audio(pair[1]), read_audio(pair[2])
same_event = {
    "device a": a,
    f"a through the filter of {pair[0]}": through(a, responses[pair[0]]),
    f"device {pair[0]}": b,
}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6))
for ax, (name, wave) in zip(axes, same_event.items(), strict=True):
    plotting.spectrogram(ax, log_mel(wave[None])[0, 0].numpy(), name, 8)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
slow = {n: soxr.resample(x, 44_100, 8_000) for n, x in same_event.items()}
assert all(len(wave) == 8_000 for wave in slow.values())
plotting.players(slow, 8_000)

# %% [markdown]
# ## Freq-MixStyle
#
# Without any response one can still borrow the colour of a device. A filter multiplies each frequency
# by a constant, so it adds a constant to each row of the logarithm. A row's mean over time holds that
# constant; its deviation holds how far the level still moves after compression. MixStyle {cite}`zhou2021domain` exchanges such
# statistics between the clips of a batch, and Freq-MixStyle {cite}`kim2022domain,schmid2022knowledge`
# takes them for each mel band. For a clip $x$ and another one $\tilde x$ of the batch, band by band:
#
# $$ \hat x = \frac{x - \mu}{\sigma}\,\bigl(\lambda\sigma + (1-\lambda)\tilde\sigma\bigr)
#    + \lambda\mu + (1-\lambda)\tilde\mu, \qquad \lambda \sim \mathrm{Beta}(\alpha, \alpha) $$
#
# The label stays. With $\alpha = 0.3$ most $\lambda$ are near 0 or 1: a clip keeps its own colour or
# takes nearly all of another's.

# %%
def mix_style(x, partner, own, eps=1e-6):
    """x (batch, 1, mels, frames); own, the weight of each clip's own."""
    mean = x.mean((1, 3), keepdim=True)
    deviation = (x.var((1, 3), correction=0, keepdim=True) + eps).sqrt()
    own = own[:, None, None, None]
    new_mean = own * mean + (1 - own) * mean[partner]
    new_deviation = own * deviation + (1 - own) * deviation[partner]
    return (x - mean) / deviation * new_deviation + new_mean


batch = experiment.clips("train").x[:64]
rng = torch.Generator().manual_seed(seed)
theirs = augmentation.freq_mixstyle(batch, p=1.0, generator=rng)
rng.manual_seed(seed)  # mixup draws partners and weights in the same way
mixed = augmentation.mixup(batch, torch.arange(len(batch)), generator=rng)
partner, own = mixed.partner_labels, mixed.weight
assert torch.allclose(mix_style(batch, partner, own), theirs, atol=1e-4)

# %% [markdown]
# Our tram takes on the colour of a park, and the park that of the tram. Does the scene survive? Listen.

# %% mystnb={"figure": {"name": "fig-augmentation-mixstyle", "caption": "Two clips, and each with the mean and deviation of the other in every band (the weight of its own is zero)."}, "image": {"alt": "Four log-mel pictures: two clips above, below them the same events with their brightness from band to band exchanged."}}
parks = train[(train["scene"] == "park") & (train["device"] == "a")]
park = pd.concat([parks, train]).iloc[0]
z = read_audio(corpus.root / park["filename"])
z = soxr.resample(z, 44_100, 8_000)
two = torch.tensor(np.stack([picture(y), picture(z)]))[:, None]
swapped = mix_style(two, torch.tensor([1, 0]), torch.zeros(2))[:, 0].numpy()
names = [f"{c['scene']}, {c['device']}" for c in (clip, park)]
fig, axes = plt.subplots(2, 2, figsize=(7, 4.4))
for column, name in enumerate(names):
    plotting.spectrogram(axes[0, column], two[column, 0].numpy(), name, 8)
    new = f"{name}, the other's colour"
    plotting.spectrogram(axes[1, column], swapped[column], new, 8)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
styled = heard(y, swapped[0] - picture(y)), heard(z, swapped[1] - picture(z))
assert np.abs(swapped[0].mean(1) - picture(z).mean(1)).max() < 1e-3
sounds = {names[0]: y, names[1]: z}
sounds |= {f"{n}, recoloured": s for n, s in zip(names, styled, strict=True)}
plotting.players(sounds, 8_000)

# %% [markdown]
# What is exchanged is not the device alone. A park's birds are in its mean too, so a recoloured tram
# has some of the park. The method trusts that scenes are told by more than their average spectrum;
# [features](features.ipynb) shows how much of them that average holds.
#
# ## Mixup and rolling
#
# Mixup {cite}`zhang2018mixup` mixes whole clips *and their labels*, with the same kind of weight:
#
# $$ \hat x = \lambda x + (1-\lambda)\tilde x, \qquad
#    \hat y = \lambda y + (1-\lambda)\tilde y $$
#
# Applied to waveforms it is a room with two scenes in it; applied to log-mel pictures, as here in
# training, something nobody has ever heard. Rolling is the humblest of all: the clip begins up to a
# tenth of a second earlier or later, and what leaves at one end enters at the other.

# %%
rng.manual_seed(seed)
labels = experiment.clips("train").labels[:64]
mixed = augmentation.mixup(batch, labels, generator=rng)
weight = own[:, None, None, None]
assert torch.equal(mixed.x, weight * batch + (1 - weight) * batch[partner])
soft = augmentation.soft_labels(mixed, classes=10)
one_hot = torch.eye(10)[labels]
by_hand = own[:, None] * one_hot + (1 - own[:, None]) * one_hot[partner]
assert torch.allclose(soft, by_hand)
rolled = augmentation.time_roll(y, 800, seed=seed, identifier="a clip")
far = range(-800, 801)
shift = next(k for k in far if np.array_equal(np.roll(y, k), rolled))
even = ((own > 0.25) & (own < 0.75)).float().mean()
print(f"rolled by {shift} of 8,000 samples")
print(f"mixes with at least a quarter of each: {even:.0%} of {len(own)}")

# %% mystnb={"figure": {"name": "fig-augmentation-mixup", "caption": "Half of each: the mean of two waveforms made equally loud, and the mean of their log-mel pictures; and a clip rolled by up to a tenth of a second."}, "image": {"alt": "Three log-mel pictures: the first shows the strong cells of both clips, the second a blend of both, the third resembles the tram shown before."}}
half = y / (2 * y.std()) + z / (2 * z.std())
blend = (picture(y) + picture(z)) / 2
made = {"waveforms": picture(half), "pictures": blend}
made["rolled"] = picture(rolled)
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6))
for ax, (name, one) in zip(axes, made.items(), strict=True):
    plotting.spectrogram(ax, one, name, span=8)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
assert len(half) == len(rolled) == 8_000
one, other = clip["scene"], park["scene"]
sounds = {f"half {one}, half {other}": half}
sounds |= {f"{one}, played as the mean picture": heard(y, blend - picture(y))}
plotting.players(sounds | {"rolled": rolled}, 8_000)

# %% [markdown]
# ## In a training
#
# Each of these can be given to a training, of one's own or of the book's. What is made of a clip *once* belongs to
# the data; what changes a *batch* belongs to the plan, and moves labels and a teacher's answers along with the clips:
#
# ```python
# from dataclasses import replace
#
# from asclib.augmentation import FreqMixStyle, SixFold
#
# student = experiment.student()
# styled = replace(student.plan, batch=(FreqMixStyle(0.4),))
# replace(student, plan=styled).net()
# replace(student, data=replace(student.data, views=SixFold())).net()
# ```
#
# ## What helps?
#
# `python -m studies augmentation` trains TMSIC on the embedded corpus at quick size, once for each
# augmentation and seed, and writes `results/augmentation.json`. Every network sees the same number of
# clips in the same number of steps, so an augmentation can gain by what it changes, and not by more
# training. What draws anew (rolling, masking, filters) is drawn anew in each pass. The strengths are
# those of their authors, but for the frequency mask: it has their widths, and hides bands of every clip by
# the mean. Nothing was tuned here, and the last weights are scored, so there was nothing
# to choose by the test either.
#
# `copies` is a control. It repeats the clips of other devices six times *without* changing them, as
# often as the authors' six versions have them. What it gains comes from the share of the devices
# alone. How much does a plain network remember, and what does each recipe do to that?

# %%
data = results("augmentation")
runs = pd.DataFrame(data["runs"])
measured = ["accuracy", "seen_accuracy", "unseen_accuracy", "fit_accuracy"]
runs[measured] *= 100
recipes = list(dict.fromkeys(runs["recipe"]))
print(f"fit on {data['clips']['fit']} clips, {data['steps']} steps;",
      f"tested on {data['clips']['test']} clips of"
      f" {data['recordings']['test']} recordings; seeds {len(data['seeds'])}")
means = runs.groupby("recipe")[[*measured, "log_loss"]].mean().loc[recipes]
means.round({"log_loss": 2} | dict.fromkeys(measured, 1))

# %% [markdown]
# Accuracies are macro averages in per cent; `fit_accuracy` is that on the clips learned from,
# unchanged. A row's number is a mean over seeds. Which differences to `none` would survive other
# trainings, and which other test recordings?

# %% mystnb={"figure": {"name": "fig-augmentation-gain", "caption": "Embedded corpus, quick size: difference of each recipe to none, in macro accuracy (0.05 is five points) and in log loss (less is better). Dark: 95 % interval over test recordings. Light: 95 % interval over seeds."}, "image": {"alt": "Four panels with seven rows each, one for each augmentation; every row has two horizontal intervals around a common dot, and a vertical line marks zero."}}
gains = pd.DataFrame(data["differences"])
gains = gains.set_index("recipe").groupby(["base", "devices"])
over_seeds = {"accuracy": "seeds", "log_loss": "log_loss_seeds"}
panels = [(d, value) for value in over_seeds for d in ("all", "unseen")]
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2), sharey=True)
for ax, (devices, value) in zip(axes, panels, strict=True):
    part = gains.get_group(("none", devices))
    for name, tint, off in [(value, "INK", -0.12),
                            (over_seeds[value], "MUTED", 0.12)]:
        plotting.intervals(ax, part.index, part[value], part[f"{name}_low"],
                           part[f"{name}_high"], offset=off,
                           colour=getattr(plotting, tint))
    ax.axvline(0, color="black", lw=0.8)
    ax.set(xlabel=f"{value.replace('_', ' ')}, {devices} devices")
plotting.show(fig)

# %%
for devices, value in panels:
    part = gains.get_group(("none", devices))
    names = value, over_seeds[value]
    ends = part[[f"{name}_{end}" for name in names for end in ("low", "high")]]
    better = -1 if value == "log_loss" else 1
    for word, sign in [("better", better), ("worse", -better)]:
        sure = part.index[(sign * ends.astype(float) > 0).all(axis=1)]
        glue(f"{devices}_{value}_{word}", ", ".join(sure) or "–")
control = gains.get_group(("copies", "all")).loc["six-fold"]
for name, number in control.items():
    if isinstance(number, float):
        glue(f"six_{name}", number)
glue("none_fit_accuracy", means.at["none", "fit_accuracy"])
glue("passes", data["passes"])

# %% [markdown]
# A difference counts as shown where both intervals lie on the same side of zero.
#
# | | better than `none` | worse than `none` |
# |---|---|---|
# | accuracy, all devices | {glue:text}`all_accuracy_better` | {glue:text}`all_accuracy_worse` |
# | accuracy, unseen devices | {glue:text}`unseen_accuracy_better` | {glue:text}`unseen_accuracy_worse` |
# | log loss, all devices | {glue:text}`all_log_loss_better` | {glue:text}`all_log_loss_worse` |
# | log loss, unseen devices | {glue:text}`unseen_log_loss_better` | {glue:text}`unseen_log_loss_worse` |
#
# Seven recipes in four panels are twenty-eight looks, each at two intervals. Without any effect
# at all, one look in forty would come out better by the intervals over seeds alone; so a lone entry
# is a hint.
#
# Against its control, `copies`, the authors' six-fold recipe changes the accuracy by
# {glue:text}`six_accuracy:.3f`, over seeds from {glue:text}`six_seeds_low:.3f` to
# {glue:text}`six_seeds_high:.3f`, and the log loss by {glue:text}`six_log_loss:.2f`, from
# {glue:text}`six_log_loss_seeds_low:.2f` to {glue:text}`six_log_loss_seeds_high:.2f`. That is the effect of
# changing the clips, at the same share of devices.
#
# What this does *not* show:
#
# * **That an augmentation fails.** Training was short ({glue:text}`passes` passes). A network that has not
#   yet learned its clips by heart (here {glue:text}`none_fit_accuracy:.1f` % of them) has less to gain
#   from changed ones, and what is harder to learn needs longer. Winners of the challenge
#   train far longer.
# * **That one is better than another.** Each is compared with `none`; the intervals of two recipes may
#   overlap and yet differ, or the reverse. That would be another paired comparison.
# * **Anything about real devices.** The filters here are the embedded devices' own, so the convolution
#   has an easier task than measured responses of other people's microphones would.
# * **What tuned strengths would give.** Every recipe ran at one strength, found by its authors on other
#   data, or near it.
#
# ## Takeaways
# * The authors made six versions of every clip of the rarer devices before training. That changes the
#   clips *and* the share of devices; a control tells the two apart.
# * A device is mostly a filter. Convolution puts a clip behind it; Freq-MixStyle borrows each band's mean
#   and deviation from another clip, without knowing any filter, and takes some of the scene along.
# * Mixup mixes labels too. A frequency mask should be filled with the mean: zero nepers is loud.
# * Compare at equal cost, over seeds and recordings, and report what did not help.
#
# ## Exercises
# **1.** Why do the authors' masks, filled with zeros, not hide anything in a picture whose values are all
# near zero? And why is theirs not such a picture?
#
# :::{dropdown} Solution
# A picture with its mean taken out and divided by its deviation has zero as its most ordinary value;
# a mask of zeros is then a mask of means. The log-mel of this book is not normalised, and its zero is
# louder than nearly all that clips hold.
# :::
#
# **2.** Which device would the filters of `s4` to `s6` help most, and why must the study not use them?
#
# :::{dropdown} Solution
# Those very devices: their clips would sound like training. But the test asks how a system does on a
# device it has *never* heard. With their filters in training the answer would be to another question,
# and nobody has the filter of a phone that is yet to be built.
# :::
#
# **3.** In what does `freq_mixstyle` with $\lambda = 0$ differ from subtracting each band's mean and
# dividing by its deviation, for all clips in training and test?
#
# :::{dropdown} Solution
# Normalising removes the colour, of the device and of the scene, and the network never sees it again.
# Freq-MixStyle shows it, but unreliable: the network may use it, and learns not to trust it. Nothing is
# changed at test time.
# :::
#
# ## What is next
# The authors did not guess 140 bands and 8 frames: [the next chapter](feature_search.ipynb) searches
# for them.
