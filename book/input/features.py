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
# * what is given up by listening below 4 kHz, and with eight frames a second: played and measured;
# * how wide a mel filter is, when one is empty, what 140 of them buy, and what the edges of a clip do;
# * in which frequencies scenes differ and in which devices do, and what a first layer makes of it.
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
import soxr
import torch

from asclib import complexity, evaluation, plotting, store
from asclib.corpus import places, read_audio
from asclib.features import LogMel, resample
from asclib.listen import student_of
from asclib.networks import TMSIC
from asclib.plotting import glue
from asclib.runs import Experiment

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

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
corpus, train = experiment.corpus, experiment.table("train")
firsts = train.drop_duplicates("scene").set_index("scene")["filename"]
scene = "tram" if "tram" in firsts.index else firsts.index[0]
x = read_audio(corpus.root / firsts[scene])
print(f"{scene}: {len(x):,} samples of {x.dtype}")
print(f"peak {np.abs(x).max():.3f}, root mean square {x.std():.3f}")
as_printed = profile == "quick" and data_root is None  # what prose is about

# %% [markdown]
# ## Step 1: resample to 8 kHz
#
# At 8,000 samples a second, only frequencies below 4 kHz can be told apart. All above must be removed
# first, or it would fold back and pose as low frequencies. `soxr` does both, with a steep filter; it is
# librosa's default {cite}`mcfee2015librosa` since version 0.10. The authors' version used another
# filter, which differs near 4 kHz. What remains?

# %% mystnb={"figure": {"name": "fig-features-resample", "caption": "The same second before and after resampling. Left: five milliseconds. Right: the spectrum in bands of 86 Hz."}, "image": {"alt": "Left, a dense and a sparse row of dots on one wave. Right, two spectra that agree below 4 kHz, where the resampled one ends."}}
y = soxr.resample(x, 44_100, 8_000, quality="HQ")
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1, 1.3])
for wave, rate, mark, tint in [
    (x, 44_100, ".", plotting.MUTED), (y, 8_000, "o", plotting.ACCENT),
]:
    few = np.arange(int(0.3 * rate), int(0.305 * rate))
    left.plot(1000 * few / rate, wave[few], mark, c=tint, label=f"{rate} Hz")
    power = np.abs(np.fft.rfft(wave)[: rate // 172 * 86]) ** 2 / rate**2
    level = 10 * np.log10(power.reshape(-1, 86).mean(1))
    level -= level.max()  # the same band in both
    right.plot(0.086 * np.arange(len(level)), level, color=tint)
left.set(xlabel="milliseconds", ylabel="sample")
left.legend()
right.set(xlabel="kHz", ylabel="dB re the loudest band")
plotting.show(fig)

# %% [markdown]
# Up to 3.7 kHz nothing changes. Then the filter falls steeply, which is why the last few mel bands of
# every picture in this book are dark; above 4 kHz nothing is left. How much of each scene lies there?
# We average the spectrum of some clips of each.

# %% mystnb={"figure": {"name": "fig-features-above", "caption": "Average spectrum of up to fifteen clips of each scene, in bands of 172 Hz, relative to the loudest band of all. Right of the line is what resampling to 8 kHz removes."}, "image": {"alt": "Ten falling spectra, one for each scene, with a vertical line at 4 kHz; the scenes spread more widely to the right of the line than to the left."}}
some = train.groupby("scene").sample(15, replace=True, random_state=seed)
some = some.drop_duplicates()
waves = np.stack([read_audio(corpus.root / name) for name in some["filename"]])
power = np.abs(np.fft.rfft(waves)[:, : 172 * 128]) ** 2
power = pd.DataFrame(power.reshape(len(waves), 128, 172).mean(2))
by_scene = power.groupby(some["scene"].to_numpy()).mean()
level = 10 * np.log10(by_scene / by_scene.to_numpy().max())
fig, ax = plt.subplots(figsize=(8, 3.6))
for name, row in level.iterrows():
    ax.plot(0.172 * np.arange(128), row, label=name,
            color=plotting.SCENE_COLOURS[name])
ax.axvline(4, color="black", lw=0.8)
ax.set(xlabel="kHz", ylabel="dB re the loudest band")
ax.legend(ncols=2, fontsize=8)
plotting.show(fig)

# %% [markdown]
# From {glue:text}`features_share_least:.1f` to {glue:text}`features_share_most:.0f` per cent of a
# scene's power lie above 4 kHz; the list is below. But power is a poor judge, because low frequencies
# carry most of it: a quiet hiss may still be what tells two scenes apart.
#
# Is it a loss, then? On this corpus it is, and not a small one. A plain classifier that is given 140
# bands up to 8 kHz in place of 4 is right more often by {glue:text}`features_16000_140:.1f` points, and up
# to 11 kHz by {glue:text}`features_22050_140:.1f`. {numref}`fig-features-bands` shows how that was
# measured. There is nothing to look for further up: the sources of the embedded corpus end at 11 kHz,
# where its devices' noise takes over.
#
# Let your ears decide as well, with a clip of the scene that loses most, the
# {glue:text}`features_brightest`.

# %% tags=["nbval-ignore-output"]
cut = round(4000 / 172)
share = 100 * by_scene.loc[:, cut:].sum(axis=1) / by_scene.sum(axis=1)
print("share of the power above 4 kHz, per cent")
print(share.round(1).sort_values().to_string())
brightest = share.idxmax()
glue("features_share_least", float(share.min()))
glue("features_share_most", float(share.max()))
glue("features_brightest", brightest.replace("_", " "))
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
print(f"sum {total[5000]:.2f} inside, {total[9023]:.2f} at the last sample")

# %% [markdown]
# Nearly. Inside the clip the windows add up to 1.08 everywhere. But 8,000 is not a multiple of 1,024, so
# the last tenth of a second fades, down to 0.16 at its end.
#
# ## Step 4: magnitudes
#
# The transform of each frame has 1,025 complex numbers, one every 3.9 Hz. We keep their magnitudes:
# where a wave stands in its cycle says little about a scene.
#
# Eight frames of a quarter of a second blur whatever is shorter. What does a shorter window show, and
# what does it cost? A window is either sharp in time or sharp in frequency. Here is our second through
# three windows.

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
# The left picture shows when, the right one which: its lines lie 3.9 Hz apart, those of the left one 62.
# The price is in the number of frames. Windows that overlap by half make 8 frames of 2,048 samples and
# 16 of 1,024, and the student's multiplications grow with them: {glue:text}`features_macs_2048_140:.0f`
# million for 8 frames of 140 bands, {glue:text}`features_macs_1024_140:.0f` million for 16. The challenge
# allowed 30. With this network and this overlap, no shorter window can be paid for.
#
# ## Step 5: mel filters
#
# Equal steps in hertz do not sound equally far apart. The mel scale is an attempt at steps that do, from
# listeners who set tones to half the pitch of others {cite}`stevens1937scale`. Listeners and experiments
# disagree, so there are several formulas. Slaney's {cite}`slaney1998auditory` is a straight line up to
# 1 kHz and a logarithm above:
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
# With 2,048 points there are: the bins lie 3.9 Hz apart, and the narrowest filters are 33 Hz wide. With
# 256 points the bins are 31 Hz apart, and a filter has hardly one.
#
# A filter narrower than the distance between two bins may catch none. It then says $\ln \varepsilon$
# whatever the sound. A little wider, it may catch the same single bin as its neighbour and repeat what
# that one says: the rows of $M$ are then not independent. Either way a network pays for rows without
# news. When does this happen, and what would the student have to multiply, if windows overlap by half?

# %%
rows = {}
for n_mels in (140, 260):
    for size in (256, 512, 1024, 2048):
        own = mel_filters(8000, size, n_mels)[0]
        caught = (own > 1e-9).sum(1)  # a band that ends on a bin
        count = 1 + 8000 // (size // 2)
        cost = complexity(TMSIC(), (1, n_mels, count)).macs / 1e6
        rows[n_mels, size] = {
            "empty": (caught == 0).sum(), "fewest bins": caught.min(),
            "independent": np.linalg.matrix_rank(own), "frames": count,
            "million MACs": cost,
        }
        glue(f"features_macs_{size}_{n_mels}", cost)
table = pd.DataFrame.from_dict(rows, orient="index")
table.rename_axis(["bands", "n_fft"]).round(1)

# %% [markdown]
# Among 140 bands none is empty, and from 512 points on all rows are independent. The filters would allow a
# quarter of the window. The last column does not: only 2,048 points stay below the limit of 30 million.
#
# With 260 bands, the runner-up of the authors' search, 1,024 points are needed. This network could not
# pay for them with any of the four windows.
#
# ## Step 6: the logarithm
#
# Loudness follows ratios. The natural logarithm turns ratios into differences, in *nepers*: one neper is
# a factor of $e$, or 8.7 dB. The $\varepsilon$ keeps silence finite: $\ln 2^{-52} = -36.04$. The lowest
# band alone holds more, −34.01: the signal, too, was given an $\varepsilon$, and the window smears this
# constant from 0 Hz into the first bin.
#
# That was the last step. Does our picture equal the library's, to a thousandth of a neper?

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
# It does. Why the logarithm is needed shows when it is left out. Beside it stands the input of the DCASE 2022
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
# a short window and up to 8 kHz. Which events are still there?

# %% mystnb={"figure": {"name": "fig-features-played", "caption": "A park up to 8 kHz: as recorded, played from its 140 by 8 picture, which ends at 4 kHz, and from its 40 by 51 picture. Windows of 32 ms, down to 50 dB below the loudest point, in the order of the players."}, "image": {"alt": "Three spectrograms: short bright strokes in the first, wide soft blocks that end at 4 kHz in the second, strokes with blurred pitch in the third."}}
park = "park" if "park" in firsts.index else firsts.index[-1]
whole = read_audio(corpus.root / firsts[park])
kept = {"recorded": soxr.resample(whole, 44_100, 16_000)}
for name, front in [("140 × 8", log_mel), ("40 × 51", baseline)]:
    sound = played(front(whole[None])[0, 0].numpy(), front)
    kept[name] = soxr.resample(sound, front.sample_rate, 16_000)
levels = {n: np.abs(librosa.stft(w, n_fft=512)) for n, w in kept.items()}
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for ax, (name, level) in zip(axes, levels.items(), strict=True):
    level = librosa.amplitude_to_db(level, ref=np.max, top_db=50)
    ax.imshow(level, origin="lower", aspect="auto", cmap="magma",
              extent=(0, 1, 0, 8))
    ax.set(title=name, xlabel="seconds", ylabel="kHz" * (ax is axes[0]))
    ax.grid(False)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
beats = {n: np.log(v[:128] + 1e-3) for n, v in levels.items()}  # to 4 kHz
beats = {n: v - v.mean(1, keepdims=True) for n, v in beats.items()}
for number, name in enumerate(list(beats)[1:]):
    match = np.corrcoef(beats["recorded"].ravel(), beats[name].ravel())[0, 1]
    glue(f"features_beat_{number}", match)
assert all(len(wave) == 16_000 for wave in kept.values())
plotting.players(kept, 16_000)

# %% [markdown]
# The chirp at 0.2 to 0.35 seconds, near 1.8 kHz, has two syllables. With fifty-one frames both are there.
# With eight they are one swell of almost half a second. The two calls near 2.7 kHz, at 0.15 and 0.75
# seconds, fall in pitch: fifty-one frames still show it, eight show two flat patches. The echo of the
# chirp above 3 kHz is left in both, and whatever is above 4 kHz only in the third picture.
#
# As one number: how well does the rise and fall of each frequency up to 4 kHz follow the recording's? The
# correlation is {glue:text}`features_beat_0:.2f` for eight frames and {glue:text}`features_beat_1:.2f`
# for fifty-one.
#
# So eight frames keep the timbre: which bands hum, and how loud. They lose rhythm. Fifty-one keep the
# beat, and blur the pitch of what beats, because 40 bands up to 22 kHz leave wide steps. Both are played
# by shaped noise, so a tone becomes a narrow hiss.
#
# ## Two choices that look alike
#
# **Magnitude or power?** Many programs square the magnitudes first. With $\tfrac12\ln(M\lvert S
# \rvert^2)$ the loudest bin of a filter counts more. How different are the two, after their means are
# taken out?
#
# **Mirror or zeros?** librosa padded with the mirror image before version 0.10 and pads with zeros since.
# The published network was trained on mirrors. How far do the values move when it is given zeros?
#
# We ask both of all clips of which we drew the spectrum.

# %%
eight = resample(torch.tensor(waves), 44_100, 8_000)
spectra = np.abs(librosa.stft(
    eight.double().numpy() + eps, n_fft=2048, hop_length=1024,
    window="hamming", pad_mode="reflect"))
ours = np.log(filters @ spectra + eps)
squared = np.log(filters @ spectra**2 + eps) / 2
spread = (squared - ours).std()
match = np.corrcoef(squared.ravel(), ours.ravel())[0, 1]
print(f"{len(ours)} clips, power less magnitude: spread {spread:.2f} nepers")
print(f"correlation {match:.3f}")
zeros = LogMel(pad="constant")
change = (zeros(eight, 8_000) - log_mel(eight, 8_000))[:, 0].abs()
moved = {"mean": change.mean((0, 1)), "largest": change.amax((0, 1))}
pd.DataFrame(moved).round(2).T

# %% [markdown]
# Power and magnitude hardly differ: over these clips the two correlate by more than 0.99. It matters
# only to keep to one.
#
# The table is about the padding. Its columns are the eight frames, its values nepers. Only the first
# frame and the last reach beyond the clip, and only they change. The first, half of which is padding,
# moves by 0.27 nepers in the mean and by 3.4 at worst, because a cut at the edge spreads over all
# frequencies. The last hardly moves: its window has faded before the clip ends.
#
# Does a network mind? [The student that comes with the book](../networks/student.ipynb) has learnt from
# mirrors. We ask it about the test clips with either padding.

# %% tags=["nbval-ignore-output"]
net = student_of(store.PROJECT / "models" / "student.safetensors")
tested = experiment.table("test")
heard = tested.sample(min(630, len(tested)), random_state=seed)
sound = np.stack([read_audio(corpus.root / n) for n in heard["filename"]])
said = {}
for pad in ("reflect", "constant"):
    with torch.no_grad():
        said[pad] = net(LogMel(pad=pad)(sound)).softmax(1).double().numpy()
other = said["reflect"].argmax(1) != said["constant"].argmax(1)
loss = evaluation.compare(said["reflect"], said["constant"], heard)
glue("features_pad_changed", float(100 * other.mean()))
plotting.glue_points("features_pad", loss.accuracy, loss.accuracy_low,
                     loss.accuracy_high)
assert not as_printed or loss.accuracy_low < 0 < loss.accuracy_high

# %% [markdown]
# It answers otherwise about {glue:text}`features_pad_changed:.0f` per cent of the clips. Whether it is
# right less often is not settled: zeros less mirrors is {glue:text}`features_pad:+.1f` points,
# with a 95 % interval over locations from {glue:text}`features_pad_low:+.1f` to
# {glue:text}`features_pad_high:+.1f`.
#
# No error message says that the padding is another. That is why `pad` is a named setting of `LogMel`.
#
# ## What 4 kHz and 140 bands are worth
#
# The authors' search could choose 20, 40, … up to 300 bands, and several sampling rates. What does it buy
# to have more of either? A light classifier answers in seconds: logistic regression on the mean and
# deviation of each band, as in [the data set](../task/dataset.ipynb), cross-validated by location.
#
# More bands mean more weights, and more weights must be held down more strongly. One strength for all
# would favour some number of bands. So each fit chooses its own, between $10^{-4}$ and 1, by the log loss on
# locations that it holds back.

# %%
from sklearn import linear_model, pipeline, preprocessing, set_config
from sklearn import model_selection as folds

set_config(enable_metadata_routing=True)  # locations reach both loops


def judged(values, clips):
    """Probabilities of each clip, from a fit at other locations."""
    fit = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(max_iter=1000, tol=3e-3))
    strengths = {"logisticregression__C": np.logspace(-4, 0, 5)}
    fit = folds.GridSearchCV(fit, strengths, scoring="neg_log_loss",
                             cv=folds.StratifiedGroupKFold(3))
    return folds.cross_val_predict(
        fit, values, clips["scene"], cv=folds.StratifiedGroupKFold(5),
        params={"groups": places(clips)}, method="predict_proba")


# %% [markdown]
# We ask it about six numbers of bands up to 4 kHz, and about 140 bands up to 8 and up to 11 kHz, in
# windows of the same quarter of a second.

# %% tags=["nbval-ignore-output"]
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # several threads quarrel over problems this small
counts, choices, answers = (20, 40, 80, 140, 200, 260), range(20, 301, 20), {}
part = train.sample(min(1200, len(train)), random_state=seed)
scenes = sorted(set(part["scene"]))
waves = np.stack([read_audio(corpus.root / n) for n in part["filename"]])
ends = ["accuracy", "accuracy_low", "accuracy_high"]
sizes = {8_000: 2_048, 16_000: 4_096, 22_050: 5_632}  # samples of a window
for rate, size in sizes.items():
    sound = resample(torch.tensor(waves), 44_100, rate)
    for n in counts if rate == 8_000 else (140,):
        x = LogMel(rate, size, size // 2, n)(sound, rate)[:, 0].numpy()
        values = np.concatenate([x.mean(2), x.std(2)], axis=1)
        answers[rate, n] = judged(values, part)
assert len(answers) == len(counts) + 2

# %% [markdown]
# And what does it cost? A convolution slides over all bands, so the student's MACs are proportional to
# them. The rules allow 30 million. {numref}`fig-features-bands` has both.

# %% mystnb={"figure": {"name": "fig-features-bands", "caption": "Left: macro accuracy of a logistic regression, whose strength is chosen in each fold, by the number of mel bands up to 4 kHz, and with 140 bands up to 8 and 11 kHz; 95 % intervals over locations. Right: MACs of TMSIC, and the limit of the challenge."}, "image": {"alt": "Left, a curve that is highest at 80 bands and falls slowly beyond, with wide intervals; two dots above it at 140 bands. Right, a straight line that crosses the limit of 30 million between 160 and 180 bands."}}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for rate, many in zip(sizes, (counts, (140,), (140,)), strict=True):
    rows = [vars(evaluation.evaluate(answers[rate, n], part,
                                     classes=scenes).overall) for n in many]
    middle, low, high = 100 * pd.DataFrame(rows)[ends].to_numpy().T
    left.errorbar(np.array(many) + rate / 2_000 - 4, middle,
                  [middle - low, high - middle], fmt="o-", capsize=3,
                  label=f"up to {rate / 2_000:.0f} kHz")
left.set(xlabel="mel bands", ylabel="macro accuracy (%)")
left.legend(fontsize=8)
macs = {n: complexity(TMSIC(), (1, n, 8)).macs / 1e6 for n in choices}
right.plot(macs.keys(), macs.values(), "o-", color=plotting.INK)
right.axhline(30, color=plotting.ACCENT)
right.set(xlabel="mel bands", ylabel="million MACs")
plotting.show(fig)

# %% [markdown]
# The intervals of the dots are wide, because locations differ. The same locations are in all of them, so
# the differences are known better. Here they are, paired, against 140 bands up to 4 kHz.

# %% tags=["nbval-ignore-output"]
found = store.results("tuning_features")
rival = found["against_the_authors"]["test"]["difference"]
plotting.glue_points("features_found", *(rival[end] for end in ends))
glue("features_found_bands", found["best"]["n_mels"])
gains = pd.DataFrame({key: vars(evaluation.compare(
    answers[8_000, 140], said, part, classes=scenes))
    for key, said in answers.items()}).T[ends].astype(float)
for (rate, n), row in gains.iterrows():
    plotting.glue_points(f"features_{rate}_{n}", *row)
glue("features_macs_of_80", 100 * macs[80] / macs[140])
best = gains.loc[8_000]["accuracy"].idxmax()
higher = gains.loc[[(16_000, 140), (22_050, 140)], "accuracy_low"].min()
assert not as_printed or (best == 80 and higher > 0)
assert (found["best"]["sample_rate"], found["corpus"]) == (22_050, "embedded")
(100 * gains).round(1).rename_axis(["rate", "bands"])

# %% [markdown]
# Up to 4 kHz the best of the six is 80 bands: {glue:text}`features_8000_80:+.1f` points against 140
# ({glue:text}`features_8000_80_low:.1f` to {glue:text}`features_8000_80_high:.1f`), for
# {glue:text}`features_macs_of_80:.0f` per cent of the multiplications. With 260 it is
# {glue:text}`features_8000_260:+.1f` ({glue:text}`features_8000_260_low:+.1f` to
# {glue:text}`features_8000_260_high:+.1f`).
#
# So nothing here speaks for 140. Two things soften that: the best of six is a little flattered by being
# chosen, and a classifier of means and deviations is no convolution, which sees neighbours together. But
# what 140 has for it is another search, on other data, and that it can be paid for. TMSIC with 160 bands
# would still keep the limit, with 180 no longer.
#
# Listening higher brings more than any number of bands below 4 kHz. With the same 140 bands up to 8 kHz
# it is {glue:text}`features_16000_140:+.1f` points ({glue:text}`features_16000_140_low:.1f` to
# {glue:text}`features_16000_140_high:.1f`), up to 11 kHz {glue:text}`features_22050_140:+.1f`
# ({glue:text}`features_22050_140_low:.1f` to {glue:text}`features_22050_140_high:.1f`). The network would
# cost the same.
#
# [Our own search for the input](feature_search.ipynb) points the same way. Its best trial had
# {glue:text}`features_found_bands` bands at 22.05 kHz. Trained again beside 140 × 8 it was ahead on the
# test by {glue:text}`features_found:.1f` points ({glue:text}`features_found_low:.1f` to
# {glue:text}`features_found_high:.1f`).
#
# Take that with reservations. The network was a smaller one, its trainings were short, and a short search
# ranks networks that have not finished learning. The corpus was an earlier version of this one. The
# search is to be run again.
#
# The book stays with 140 bands up to 4 kHz all the same. It rebuilds a published system, and every later
# chapter compares what is done *after* this input. What a better input would add is open.
#
# ## What the values look like
#
# `experiment.clips` holds the features of every clip. In which bands do scenes differ, and in which do
# devices? We take the test clips for both: there every device hears the same events.

# %% mystnb={"figure": {"name": "fig-features-statistics", "caption": "Mean log-mel of each scene and of each device, both over the test clips, less the mean of all rows. Red is louder."}, "image": {"alt": "Two grids of coloured rows over an axis of hertz; scenes differ in broad regions over the whole axis, devices mainly below 200 Hz and in a few bumps."}}
levels = experiment.clips("test").x[:, 0].mean(2).numpy()
fig, axes = plt.subplots(2, 1, figsize=(8, 5.6), sharex=True)
kilo = librosa.mel_frequencies(142, fmin=0, fmax=4_000)[1:-1] / 1000
ranges, spread = pd.cut(kilo, [0, 0.2, 0.5, 1, 2, 3, 4]), {}
for ax, name in zip(axes, ("scene", "device"), strict=True):
    rows = pd.DataFrame(levels).groupby(tested[name].to_numpy()).mean()
    rows = rows - rows.mean()
    plotting.band_rows(ax, rows, limit=2)
    assert not as_printed or rows.abs().max(axis=None) < 2
    ax.set(ylabel=name)
    spread[name] = rows.std(ddof=0).groupby(ranges, observed=True).mean()
axes[0].set_xlabel("")
plotting.show(fig)
print(pd.DataFrame(spread).round(2).rename_axis("kHz").to_string())

# %% [markdown]
# The table has the deviation between rows, in nepers. Devices differ most below 200 Hz, by 0.85 nepers
# or a factor of 2.3; there two devices differ more than two scenes. Above 200 Hz devices differ by 0.3
# to 0.4. Scenes differ by 0.5 to 0.6 nepers all the way up, and most at the two ends: below 200 Hz, where
# engines run, and above 3 kHz. In every range above 200 Hz scenes differ more than devices, and above
# 3 kHz almost twice as much.
#
# Mind that a scene has four locations here. A single quiet place can colour its row.
#
# Nothing is normalised: no mean is subtracted, nothing is divided. What does a network receive? And what
# does it make of it? The student begins with a convolution and a batch normalisation
# {cite}`ioffe2015batch`: over a batch, that takes each channel's mean out and divides by its deviation.
# Here is an untrained student; [its own chapter](../networks/student.ipynb) builds it.

# %%
features = experiment.clips("train").x
print(f"mean {features.mean():.2f}, deviation {features.std():.2f} nepers")
print(f"lowest {features.min():.2f}, highest {features.max():.2f}")
print(f"values above zero: {100 * (features > 0).float().mean():.1f} per cent")
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
# The mean is −2 nepers, far from zero, and networks learn best from numbers around it. Behind the
# normalisation every channel has mean 0 and deviation 1, whatever the front end gave.
#
# One thing is not repaired. The convolution surrounds the picture with zeros. In nepers zero is not
# silence: silence is −36, and zero is louder than most of what the clips hold. So the border of every
# picture looks like a loud frame. It is the same for every clip, so a network *can* learn to allow for it.
# Whether it does, and whether a border of −2 nepers would be better, we have not measured: an open question.
#
# ## Takeaways
# * Resample, pad, window, transform, filter, take the logarithm: 44,100 numbers become 1,120,
#   in 140 bands and 8 frames.
# * For a plain classifier of this corpus, listening below 4 kHz costs
#   {glue:text}`features_16000_140:.1f` points against 8 kHz ({glue:text}`features_16000_140_low:.1f` to
#   {glue:text}`features_16000_140_high:.1f`).
# * More than 80 bands bring that classifier nothing: 80 are {glue:text}`features_8000_80:.1f` points
#   better than 140 ({glue:text}`features_8000_80_low:.1f` to {glue:text}`features_8000_80_high:.1f`), at
#   {glue:text}`features_macs_of_80:.0f` per cent of the price. 140 is what an earlier search found and the
#   limit allows.
# * Among windows that overlap by half, only that of 2,048 samples keeps 140 bands below 30 million MACs. It
#   makes one swell of two syllables a tenth of a second apart.
# * Zeros for mirrors at the edges change {glue:text}`features_pad_changed:.0f` per cent of a trained
#   network's answers, without a message. Whether they cost accuracy is open
#   ({glue:text}`features_pad_low:+.1f` to {glue:text}`features_pad_high:+.1f` points).
# * Devices differ most below 200 Hz; above, scenes differ more than devices.
#
# ## Exercises
# **1.** An hour's project that decides something. Should the input be normalised? Judge three candidates
# against plain log-mel, paired over locations, by the classifier above: take each clip's mean out; take
# each band's mean over the clip out; replace the logarithm by PCEN (`librosa.pcen`), which
# divides each band by its own recent loudness. Decide before you look what would convince you.
#
# :::{dropdown} Solution
# ```python
# def summary(x):
#     return np.concatenate([x.mean(2), x.std(2)], axis=1)
#
# part = train
# x = features[:, 0].numpy()
# plain = judged(summary(x), part)
# candidates = {
#     "clip's mean out": x - x.mean((1, 2), keepdims=True),
#     "bands' means out": x - x.mean(2, keepdims=True),
#     "PCEN": librosa.pcen(np.exp(x) * 2**31, sr=8_000, hop_length=1024),
# }
# for name, values in candidates.items():
#     found = evaluation.compare(plain, judged(summary(values), part), part,
#                                classes=scenes)
#     print(name, found.accuracy, found.accuracy_low, found.accuracy_high)
# ```
# On this corpus all three lose, and none of the intervals reaches zero. The clip's level costs a few points,
# so loudness itself tells scenes apart. The other two cost four times as much: they remove what a device
# and a place add to all frames alike, and here the place is what is asked for. Plain log-mel stays. The
# verdict is this classifier's, which lives on means; a network that reads eight frames could judge PCEN
# otherwise.
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
