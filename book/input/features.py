# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Features
#
# ## What you will learn
# * every step from one second of sound to the picture of 140 bands by 8 frames, written by hand;
# * what is given up by listening below 4 kHz, and with eight frames a second: played, not only shown;
# * how wide a mel filter is, when one is empty, why there are 140, and what the edges of a clip do;
# * what the values look like, and what the first layer of a network makes of them.
#
# **Prerequisites**: [the data set](../task/dataset.ipynb); what a Fourier transform is.
# **Data in**: the training and test clips. **Data out**: log-mel features, (1, 140, 8) a clip, as every
# later chapter reads them.
# **In the library**: `asclib.features`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import soxr
import torch

from asclib import complexity, evaluation, plotting
from asclib.corpus import places, read_audio
from asclib.features import LogMel, resample
from asclib.networks import TMSIC
from asclib.runs import Experiment

plotting.use_style()
experiment = Experiment(profile, data_root, seed)
corpus, train = experiment.corpus, experiment.table("train")

# %% [markdown]
# ## The plan
#
# A second at 44.1 kHz is 44,100 numbers. A network that may spend 30 million multiplications has
# better uses for them than to read all these: a scene is told by which frequencies sound, roughly
# when. The
# published system {cite}`ipleiria2023dcase` found its input by a search over sampling rates, windows
# and numbers of bands. The winner is small:
#
# $$ L = \ln\bigl( M\,\lvert \mathrm{STFT}(y + \varepsilon) \rvert + \varepsilon \bigr) $$
#
# where $y$ is the sound at 8 kHz, STFT its short-time Fourier transform, $M$ a matrix of 140 mel
# filters, and $\varepsilon = 2^{-52}$ a guard against the logarithm of zero. We now go through it from the inside out. Our example is a second in a tram.

# %%
firsts = train.drop_duplicates("scene").set_index("scene")["filename"]
scene = "tram" if "tram" in firsts.index else firsts.index[0]
x = read_audio(corpus.root / firsts[scene])
print(f"{scene}: {len(x):,} samples of {x.dtype}")
print(f"peak {np.abs(x).max():.3f}, root mean square {x.std():.3f}")

# %% [markdown]
# ## Step 1: resample to 8 kHz
#
# At 8,000 samples a second, only frequencies below 4 kHz can be told apart. All above must be removed
# first, or it would fold back and pose as low frequencies. `soxr` does both, with a steep filter; it is
# librosa's default {cite}`mcfee2015librosa` since version 0.10. The authors' version used another
# filter, which differs near 4 kHz. What remains?

# %% mystnb={"figure": {"name": "fig-features-resample", "caption": "The same second before and after resampling. Left: five milliseconds. Right: the spectrum in bands of 86 Hz."}, "image": {"alt": "Left, a dense and a sparse row of dots on one wave. Right, two spectra that agree below 4 kHz, where the resampled one ends."}}
y = soxr.resample(x, 44_100, 8_000, quality="HQ")
print(f"{len(x):,} samples -> {len(y):,} samples")
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1, 1.3])
for wave, rate, mark, tint in [
    (x, 44_100, ".", plotting.MUTED), (y, 8_000, "o", plotting.ACCENT),
]:
    few = np.arange(int(0.3 * rate), int(0.305 * rate))
    left.plot(1000 * few / rate, wave[few], mark, c=tint, label=f"{rate} Hz")
    power = np.abs(np.fft.rfft(wave)[: rate // 172 * 86]) ** 2 / rate**2
    level = 10 * np.log10(power.reshape(-1, 86).mean(1))
    right.plot(0.086 * np.arange(len(level)), level, color=tint)
left.set(xlabel="milliseconds", ylabel="sample")
left.legend()
right.set(xlabel="kHz", ylabel="dB")
plotting.show(fig)

# %% [markdown]
# Up to 3.7 kHz nothing changes. Then the filter falls steeply, which is why the last few mel bands of
# every picture in this book are dark; above 4 kHz nothing is left. Is that a loss? It depends on the
# scene. We average the spectrum of some clips of each.

# %% mystnb={"figure": {"name": "fig-features-above", "caption": "Average spectrum of up to fifteen clips of each scene, in bands of 172 Hz. Right of the line is what resampling to 8 kHz removes."}, "image": {"alt": "Ten falling spectra, one for each scene, with a vertical line at 4 kHz; the scenes spread more widely to the right of the line than to the left."}}
some = train.groupby("scene").sample(15, replace=True, random_state=seed)
some = some.drop_duplicates()
waves = np.stack([read_audio(corpus.root / name) for name in some["filename"]])
power = np.abs(np.fft.rfft(waves)[:, : 172 * 128]) ** 2 / 44_100**2
power = pd.DataFrame(power.reshape(len(waves), 128, 172).mean(2))
by_scene = power.groupby(some["scene"].to_numpy()).mean()
fig, ax = plt.subplots(figsize=(8, 3.6))
for name, row in by_scene.iterrows():
    tint = plotting.SCENE_COLOURS[name]
    ax.plot(0.172 * np.arange(128), 10 * np.log10(row), color=tint, label=name)
ax.axvline(4, color="black", lw=0.8)
ax.set(xlabel="kHz", ylabel="dB")
ax.legend(ncols=2, fontsize=8)
plotting.show(fig)

# %%
cut = round(4000 / 172)
share = by_scene.loc[:, cut:].sum(axis=1) / by_scene.sum(axis=1)
print("share of the power above 4 kHz, per cent")
print((100 * share).round(2).sort_values().to_string())
brightest = share.idxmax()

# %% [markdown]
# Power is a poor judge, because low frequencies carry most of it: a quiet hiss may still be what tells
# two scenes apart. (The sources of the embedded corpus end at 11 kHz, where its devices' noise
# takes over.) Let your ears decide, with a clip of the scene that loses most.

# %% tags=["nbval-ignore-output"]
bright = waves[np.flatnonzero(some["scene"] == brightest)[0]]
wide = soxr.resample(bright, 44_100, 16_000)
narrow = soxr.resample(soxr.resample(bright, 44_100, 8_000), 8_000, 16_000)
assert len(wide) == len(narrow) == 16_000
plotting.players({"up to 8 kHz": wide, "up to 4 kHz": narrow}, 16_000)

# %% [markdown]
# What is gained is a fine view of the rest. A transform of 2,048 samples spans 46 ms at 44.1 kHz, and a
# quarter of a second at 8 kHz: its bins then lie 3.9 Hz apart instead of 21.5 Hz.
#
# ## Step 2: eight frames, centred
#
# The frames are 2,048 samples long and start every 1,024. So that the first is *centred* on the first
# sample, 1,024 samples are put before the clip and 1,024 behind it: its own mirror image. That
# makes $1 + \lfloor 8000 / 1024 \rfloor = 8$ frames.

# %%
eps = 2.0**-52
n_fft, hop = 2048, 1024
padded = np.pad(y.astype(float) + eps, n_fft // 2, mode="reflect")
starts = hop * np.arange(1 + len(y) // hop)
frames = np.stack([padded[start : start + n_fft] for start in starts])
print(f"{len(padded):,} samples, frames {frames.shape}")

# %% [markdown]
# ## Step 3: a window
#
# A Fourier transform takes its frame for one period of an endless sound. The jump from its end to its
# beginning would smear over all frequencies. A Hamming window fades both ends:
#
# $$ w_n = 0.54 - 0.46 \cos(2\pi n / N) $$
#
# for $n$ from 0 to $N - 1$, here with $N = 2{,}048$. This is the *periodic* form; the symmetric one
# divides by $N - 1$. Do the eight windows together hear every sample?

# %% mystnb={"figure": {"name": "fig-features-frames", "caption": "Eight Hamming windows over the padded second. Grey: the mirrored samples. Below: how strongly each sample is heard by all windows together."}, "image": {"alt": "A waveform under eight overlapping bell-shaped windows; their sum is flat over the clip except near its end."}}
window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
time = (np.arange(len(padded)) - n_fft // 2) / 8000
total = np.zeros(len(padded))
fig, (top, low) = plt.subplots(2, 1, figsize=(8, 4), sharex=True)
top.plot(time, padded / np.abs(padded).max(), color=plotting.MUTED, lw=0.5)
for start in starts:
    total[start : start + n_fft] += window
    top.plot(time[start : start + n_fft], window, color=plotting.ACCENT)
for ax in (top, low):
    ax.axvspan(time[0], 0, color="0.85")
    ax.axvspan(1, time[-1], color="0.85")
low.plot(time, total, color=plotting.INK)
low.set(xlabel="seconds", ylabel="sum of windows")
plotting.show(fig)

# %% [markdown]
# Nearly: 8,000 is not a multiple of 1,024, and the last tenth of a second fades away.
#
# ## Step 4: magnitudes
#
# The transform of each frame has 1,025 complex numbers, one every 3.9 Hz. We keep their magnitudes:
# where a wave stands in its cycle says little about a scene.
#
# Eight frames of a quarter of a second blur whatever is shorter. Was that a good bargain? A window
# is either sharp in time or sharp in frequency. Here is our second through three windows.

# %% mystnb={"figure": {"name": "fig-features-windows", "caption": "The same second through a short, a middle and the chosen window, on a linear frequency axis, each shown down to 60 dB below its loudest point."}, "image": {"alt": "Three spectrograms: the first has sharp vertical strokes and blurred lines, the last thin horizontal lines and eight coarse frames."}}
magnitude = np.abs(np.fft.rfft(frames * window)).T
print("bins, frames:", magnitude.shape)
print(f"one bin every {8000 / n_fft:.3f} Hz")
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True)
for ax, size in zip(axes, (128, 512, 2048), strict=True):
    own = np.pad(y.astype(float), size // 2, mode="reflect")
    own = np.lib.stride_tricks.sliding_window_view(own, size)[:: size // 2]
    level = np.abs(np.fft.rfft(own * np.hamming(size))).T
    level = 20 * np.log10(level / level.max() + 1e-9)
    ax.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-60,
              extent=(0, 1, 0, 4), interpolation="nearest")
    ax.set(title=f"{1000 * size / 8000:.0f} ms", xlabel="seconds")
    ax.grid(False)
axes[0].set_ylabel("kHz")
plotting.show(fig)

# %% [markdown]
# The left picture shows when, the right one which. The authors' search chose the right one.
#
# ## Step 5: mel filters
#
# Equal steps in hertz do not sound equally far apart; equal steps in mel do {cite}`stevens1937scale`. Slaney's mel scale
# {cite}`slaney1998auditory` is a straight line up to 1 kHz and a logarithm above:
#
# $$ m(f) = \begin{cases} 3f/200 & f < 1000 \\
#    15 + 27 \ln(f / 1000) / \ln 6.4 & \text{else} \end{cases} $$
#
# Take 142 points, equally far apart in mel, from 0 Hz to 4 kHz. Each filter is a triangle over three
# neighbours, divided by half its width in hertz, so that each has the same area. The authors switched
# *further* normalisation off; this one is built in.

# %%
def mel_filters(rate, n_fft, n_mels):
    """Triangles of equal area (n_mels, n_fft // 2 + 1); corners in Hz."""
    top = 15 + 27 * np.log(rate / 2000) / np.log(6.4)
    mel = np.linspace(0, top, n_mels + 2)
    hertz = np.where(mel < 15, mel / 0.015, 1000 * 6.4 ** ((mel - 15) / 27))
    lower, centre, upper = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    rise = (bins - lower) / (centre - lower)
    fall = (upper - bins) / (upper - centre)
    triangles = np.maximum(0, np.minimum(rise, fall))
    return triangles * 2 / (upper - lower), hertz


filters, hertz = mel_filters(8000, 2048, 140)
theirs = librosa.filters.mel(sr=8000, n_fft=2048, n_mels=140, dtype=float)
print(f"largest difference to librosa's: {np.abs(filters - theirs).max():.6f}")

# %% [markdown]
# A filter only hears the bins that fall into its triangle. Are there enough of them?

# %% mystnb={"figure": {"name": "fig-features-filters", "caption": "Left: the five lowest of 140 filters, with a dot at every bin of a 2,048-point transform. Right: width of each filter, and the distance between two bins for three transforms."}, "image": {"alt": "Left, five overlapping triangles carrying several dots each. Right, filter width flat at 33 hertz up to 1 kHz and then rising, above three horizontal lines."}}
bins = np.arange(1025) * 8000 / 2048
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
for row in filters[:5]:
    left.plot(bins[:28], row[:28], "o-", ms=3, lw=1)
left.set(xlabel="Hz", ylabel="weight")
right.plot(hertz[1:-1], hertz[2:] - hertz[:-2], color=plotting.INK, lw=2)
for size in (256, 512, 2048):
    right.axhline(8000 / size, color=plotting.ACCENT, lw=1)
    right.text(3900, 8000 / size + 2, f"n_fft {size}", ha="right", size=8)
right.set(xlabel="centre, Hz", ylabel="Hz", ylim=(0, None))
plotting.show(fig)

# %% [markdown]
# A filter narrower than the distance between two bins may catch none. It then says $\ln \varepsilon$
# whatever the sound. A little wider, it may catch the same single bin as its neighbour and repeat what
# that one says: the rows of $M$ are then not independent. Either way a network pays for rows without
# news. When does this happen?

# %%
rows = {}
for n_mels in (140, 260):
    for size in (256, 512, 1024, 2048):
        own = mel_filters(8000, size, n_mels)[0]
        caught = (own > 1e-9).sum(1)  # a band that ends on a bin
        rows[n_mels, size] = {
            "empty": (caught == 0).sum(),
            "fewest bins": caught.min(),
            "independent": np.linalg.matrix_rank(own),
        }
pd.DataFrame(rows).T.rename_axis(["bands", "n_fft"])

# %% [markdown]
# The finer the bands, the longer the window they need. With 2,048 points every one of the 140 filters
# catches several bins, and even the search's runner-up, 260 bands on the same window, has independent rows.
#
# ## Step 6: the logarithm
#
# Loudness follows ratios. The natural logarithm turns ratios into differences, in *nepers*: one neper is
# a factor of $e$, or 8.7 dB. The $\varepsilon$ keeps silence finite: $\ln 2^{-52} = -36.04$. The lowest
# band alone holds more, −34.01: the signal, too, was given an $\varepsilon$, and the window smears this
# constant from 0 Hz into the first bin.
#
# That was the last step. Does our picture equal the library's?

# %%
ours = np.log(filters @ magnitude + eps)
log_mel = LogMel.tmsic()
theirs = log_mel(x[None])[0, 0].numpy()
difference = np.abs(ours - theirs).max()
assert difference < 1e-3
print(f"shape {ours.shape}, values {ours.size:,}")
print(f"from {ours.min():.2f} to {ours.max():.2f} nepers")
print(f"largest difference to asclib.features.LogMel: {difference:.4f}")

# %% [markdown]
# Why the logarithm is needed shows when it is left out. Beside it stands the input of the DCASE 2022
# baseline {cite}`martinmorato2022low`: 44.1 kHz, 40 ms every 20 ms, 40 bands.

# %% mystnb={"figure": {"name": "fig-features-pictures", "caption": "One second in a tram. Left: mel bands before the logarithm. Middle: after it, the small input of 140 bands by 8 frames. Right: the input of the DCASE 2022 baseline, 40 bands up to 22 kHz by 51 frames."}, "image": {"alt": "Three pictures: one almost black with a few bright cells, one of 140 by 8 coarse cells with rich structure, one of 40 by 51 cells."}}
baseline = LogMel.dcase_baseline()
wide = baseline(x[None])[0, 0].numpy()
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2))
axes[0].imshow(filters @ magnitude, origin="lower", aspect="auto",
               cmap="magma", interpolation="nearest")
axes[0].set(title="no logarithm", xlabel="frame")
plotting.in_hertz(axes[0].yaxis)
axes[0].grid(False)
plotting.spectrogram(axes[1], ours, "140 × 8", span=8)
plotting.spectrogram(axes[2], wide, "40 × 51", 8, 22_050)
plotting.show(fig)
print(f"values: {ours.size:,} against {wide.size:,}")

# %% [markdown]
# The small input has about half the values. It spends them on pitch, the baseline on time. What does
# each keep of a sound? We can play a picture: take noise, and give each of its bands in each frame the
# loudness that the picture says. Whatever you still recognise is in the picture. The reverse does
# not hold: this player may lose what a network could still read.

# %%
def played(image, front, seconds=1):
    """Noise with the loudness of a picture (mels, frames), at its own rate."""
    rate, n_fft, n_mels = front.sample_rate, front.n_fft, front.n_mels
    noise = np.random.default_rng(0).standard_normal(seconds * rate)
    shape = {"hop_length": front.hop, "win_length": front.win_length}
    shape |= {"window": "hamming", "pad_mode": "reflect"}
    spectrum = librosa.stft(noise, n_fft=n_fft, **shape)
    weights = front.filters.sum(1).numpy()  # of the bins that a band adds up
    level = np.log(np.exp(image) / weights[:, None])
    centres = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=rate / 2)[1:-1]
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    gain = [np.interp(bins, centres, frame) for frame in level.T]
    del shape["pad_mode"]
    return librosa.istft(spectrum * np.exp(gain).T, length=len(noise), **shape)

# %% [markdown]
# {numref}`fig-features-played` shows a second in a park as recorded, and as each picture plays it, through
# a short window and up to 4 kHz. Which events are still there?

# %% mystnb={"figure": {"name": "fig-features-played", "caption": "A park: as recorded, played from its 140 by 8 picture, and from its 40 by 51 picture. Windows of 32 ms, down to 50 dB below the loudest point, in the order of the players."}, "image": {"alt": "Three spectrograms: short bright strokes in the first, wide soft blocks in the second, strokes with blurred pitch in the third."}}
park = "park" if "park" in firsts.index else firsts.index[-1]
whole = read_audio(corpus.root / firsts[park])
kept = {"recorded": whole}
for name, front in [("140 × 8", log_mel), ("40 × 51", baseline)]:
    kept[name] = played(front(whole[None])[0, 0].numpy(), front)
rates = dict(zip(kept, (44_100, 8_000, 44_100), strict=True))
kept = {n: soxr.resample(w, rates[n], 8_000) for n, w in kept.items()}
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for ax, (name, wave) in zip(axes, kept.items(), strict=True):
    level = np.abs(librosa.stft(wave, n_fft=256, hop_length=64))
    level = librosa.amplitude_to_db(level, ref=np.max, top_db=50)
    ax.imshow(level, origin="lower", aspect="auto", cmap="magma",
              extent=(0, 1, 0, 4))
    ax.set(title=name, xlabel="seconds")
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
assert all(len(wave) == 8_000 for wave in kept.values())
plotting.players(kept, 8_000)

# %% [markdown]
# Eight frames keep the timbre: which bands hum, and how loud. They lose rhythm. Two chirps or footsteps
# within a quarter of a second become one soft swell. Fifty-one frames keep the beat, and blur the pitch
# of what beats: 40 bands up to 22 kHz leave wide steps. Both are played by shaped noise, so a tone
# becomes a narrow hiss.
#
# ## Two choices that look alike
#
# **Magnitude or power?** Many programs square the magnitudes first. With $\tfrac12\ln(M\lvert S
# \rvert^2)$ the loudest bin of a filter counts more. How different are the two, after their means are
# taken out?
#
# **Mirror or zeros?** librosa padded with the mirror image before version 0.10 and pads with zeros since.
# The published network was trained on mirrors. How far do the values move when it is given zeros?

# %%
squared = np.log(filters @ magnitude**2 + eps) / 2
spread = (squared - ours).std()
match = np.corrcoef(squared.ravel(), ours.ravel())[0, 1]
print(f"power less magnitude: spread {spread:.2f} nepers")
print(f"correlation {match:.3f}")
zeros = LogMel(8000, 2048, 1024, 140, pad="constant")
waves = torch.tensor(waves)
change = (zeros(waves) - log_mel(waves))[:, 0].abs()
pd.DataFrame(
    {"mean": change.mean((0, 1)), "largest": change.amax((0, 1))}
).round(2).T

# %% [markdown]
# The columns are the eight frames, the values nepers. On this clip power and magnitude hardly differ;
# what matters is to keep to one. The padding is not: only the edge frames change, but single values change by a great deal, because
# a cut at the edge spreads over all frequencies. A network trained with one and run with the other
# meets frames it has never seen, and no error message says so. That is why `pad` is a named setting
# of `LogMel`.
#
# ## Why 140 bands?
#
# The authors' search could choose 20, 40, … up to 300. What does it buy to have more? A light classifier
# answers in seconds: logistic regression on the mean and deviation of each band, as in
# [the data set](../task/dataset.ipynb), cross-validated by location. More bands mean more weights, so the
# answer may depend on how strongly they are held down: we try two strengths.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


def summary(x):
    """(clips, 1, bands, frames) -> (clips, 2 bands): means, deviations."""
    bands = x[:, 0].numpy()
    return np.concatenate([bands.mean(2), bands.std(2)], axis=1)


def classifier(strength):
    net = LogisticRegression(C=strength, max_iter=5000)
    return make_pipeline(StandardScaler(), net)


# %% tags=["nbval-ignore-output"]
threadpool_limits(1)  # several threads quarrel over problems this small
counts, choices, answers = (20, 40, 80, 140, 200, 260), range(20, 301, 20), {}
part = train.sample(min(1200, len(train)), random_state=seed)
scenes, folds = sorted(set(part["scene"])), min(5, places(part).nunique())
waves = np.stack([read_audio(corpus.root / n) for n in part["filename"]])
slow = resample(torch.tensor(waves), 44_100, 8_000)
for n in counts:
    values = summary(LogMel(8_000, 2_048, 1_024, n)(slow, 8_000))
    for strength in (0.001, 0.01):
        answers[strength, n] = cross_val_predict(
            classifier(strength), values, part["scene"], groups=places(part),
            cv=GroupKFold(folds), method="predict_proba")
assert len(answers) == 2 * len(counts)

# %% [markdown]
# And what does it cost? A convolution slides over all bands, so the student's MACs are proportional to
# them. The rules allow 30 million. {numref}`fig-features-bands` has both.

# %% mystnb={"figure": {"name": "fig-features-bands", "caption": "Left: macro accuracy less that of 140 bands, on the same clips, with 95 % intervals over locations, for two strengths C of a logistic regression. Right: MACs of TMSIC, and the limit of the challenge."}, "image": {"alt": "Left, two curves that rise steeply from 20 bands and are flat with wide intervals around 140 and beyond. Right, a straight line that crosses the limit of 30 million between 160 and 180 bands."}}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
for strength, tint in {0.001: plotting.INK, 0.01: plotting.ACCENT}.items():
    gains = [evaluation.compare(answers[strength, 140], answers[strength, n],
                                part, classes=scenes) for n in counts]
    points = [(g.accuracy, g.accuracy_low, g.accuracy_high) for g in gains]
    middle, low, high = 100 * np.array(points).T
    left.errorbar(counts, middle, [middle - low, high - middle], fmt="o-",
                  color=tint, capsize=3, label=f"C = {strength}")
left.set(xlabel="mel bands", ylabel="points against 140")
left.legend()
macs = [complexity(TMSIC(), (1, n, 8)).macs for n in choices]
right.plot(choices, np.array(macs) / 1e6, "o-", color=plotting.INK)
right.axhline(30, color=plotting.ACCENT)
right.set(xlabel="mel bands", ylabel="million MACs")
plotting.show(fig)

# %% [markdown]
# Twenty bands are too few for either strength. Where the rise ends depends on the strength. Beyond 140
# hardly an interval leaves zero: this classifier and these recordings cannot tell what further bands
# are worth. The cost is certain. TMSIC with 160 bands would still
# keep the limit, with 180 no longer. So 140 is a number in the flat part of the curve that can be
# paid for, found by a search on other data; it is not a peak.
#
# ## What the values look like
#
# `experiment.clips` holds the features of every clip. In which bands do scenes differ, and in which do
# devices?

# %% mystnb={"figure": {"name": "fig-features-statistics", "caption": "Mean log-mel of each scene (training clips) and each device (test clips), less the mean of all rows. Red is louder."}, "image": {"alt": "Two grids of coloured rows over 140 mel bands; scenes differ in broad regions, devices mainly in the lowest bands and in a few bumps."}}
features = experiment.clips("train").x
tested, test = experiment.table("test"), experiment.clips("test").x
groups = {
    "scene": (features, train["scene"]), "device": (test, tested["device"]),
}
fig, axes = plt.subplots(2, 1, figsize=(8, 5.6), sharex=True)
for ax, (name, (values, group)) in zip(axes, groups.items(), strict=True):
    bands = pd.DataFrame(values[:, 0].mean(2).numpy())
    rows = bands.groupby(group.to_numpy()).mean()
    sns.heatmap(rows - rows.mean(), ax=ax, cmap="RdBu_r", center=0,
                vmin=-1.5, vmax=1.5, xticklabels=20)
    ax.set(ylabel=name, xlabel="mel band" if ax is axes[1] else "")
    ax.tick_params(axis="y", rotation=0, labelsize=8)
plotting.show(fig)

# %% [markdown]
# Nothing is normalised: no mean is subtracted, nothing is divided. What does a network receive?

# %%
print(f"mean {features.mean():.2f}, deviation {features.std():.2f} nepers")
print(f"lowest {features.min():.2f}, highest {features.max():.2f}")
print(f"values above zero: {100 * (features > 0).float().mean():.1f} per cent")

# %% [markdown]
# The mean is far from zero, and networks learn best from numbers around it. The student leaves that to
# the batch normalisation {cite}`ioffe2015batch` right after its first convolution: over a batch, it takes
# each channel's mean out and divides by its deviation. Here is an untrained student; [its own chapter](../networks/student.ipynb)
# builds it.

# %%
torch.manual_seed(seed)
net = TMSIC()
with torch.no_grad():
    before = net.conv1(features[:256])
    after = net.norm1(before)
for name, maps in [("convolution", before), ("normalised", after)]:
    mean, deviation = maps.mean((0, 2, 3)), maps.std((0, 2, 3))
    print(f"{name:12}largest mean of a channel {mean.abs().max():.2f},")
    print(f"{'':12}deviations {deviation.min():.2f} to {deviation.max():.2f}")
assert after.mean().abs() < 0.01

# %% [markdown]
# One thing is not repaired. The convolution surrounds the picture with zeros. In nepers zero is not
# silence: silence is −36, and zero is louder than most of what the clips hold. So the border of every
# picture looks like a loud frame. The network learns to live with it, because it is the same for every
# clip.
#
# ## Takeaways
# * Resample, pad, window, transform, filter, take the logarithm: 44,100 numbers become 1,120.
# * A window of a quarter of a second at 8 kHz is sharp in frequency. What is above 4 kHz, and what is
#   shorter than the window, is given up.
# * Many narrow mel filters need a long window: with a short one they share bins, or catch none. Mirror or
#   zeros at the edges is a setting, not a detail.
# * More bands cost in proportion. What they bring levels off; 140 is affordable, not magical.
# * Values are nepers with a mean well below zero. Batch normalisation, not the front end, centres them.
#
# ## Exercises
# **1.** Halve the hop to 512. How many frames, and how many values?
#
# :::{dropdown} Solution
# $1 + \lfloor 8000/512 \rfloor = 16$ frames, $140 \times 16 = 2240$ values. Convolutions cost in
# proportion: the student would need about twice its 25 million multiplications, past the limit of 30.
# :::
#
# **2.** Resample to 16 kHz and keep 140 bands and 2,048 points. How wide is the lowest filter now, in
# hertz and in bins?
#
# :::{dropdown} Solution
# ```python
# filters, hertz = mel_filters(16_000, 2048, 140)
# hertz[2] - hertz[0], (filters[0] > 0).sum()
# ```
# The scale now reaches 8 kHz, so each step is longer: the lowest filter spans about 43 Hz. Bins are
# 7.8 Hz apart, which leaves five in it. Still none is empty.
# :::
#
# **3.** Feed `log_mel` a second of digital silence. What comes out, and would the network mind?
#
# :::{dropdown} Solution
# `log_mel(torch.zeros(1, 44_100))` is −34.01 in the lowest band, where the $\varepsilon$ added to the
# signal ends up, and −36.04 in all others. It is more than ten deviations from any clip in training;
# what a network says to it means nothing.
# :::
#
# ## What is next
# [Augmentation](augmentation.ipynb) makes more of these pictures than were recorded.
