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
# * how wide a mel filter is, and when one is empty;
# * what listening below 4 kHz, 140 bands and eight frames a second cost: played, and measured;
# * what a network minds: another padding, a start a moment later, power for magnitude;
# * in which frequencies scenes differ, in which devices do, and which of them 8 kHz removes.
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
from sklearn import linear_model, pipeline, preprocessing
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold as Folds

from asclib import complexity, evaluation, plotting, store
from asclib.corpus import places, read_audio
from asclib.features import LogMel, resample
from asclib.listen import student_of
from asclib.networks import TMSIC
from asclib.plotting import glue
from asclib.runs import Experiment

# %% [markdown]
# ## The plan
#
# A second at 44.1 kHz is 44,100 numbers. A network that may spend 30 million multiplications has
# better uses for them than to read all these: a scene is told by which frequencies sound, roughly
# when. The published system {cite}`ipleiria2023dcase` found its input by a search over sampling rates,
# windows and numbers of bands. The winner is small:
#
# $$ L = \ln\bigl( M\,\lvert \mathrm{STFT}(y + \varepsilon) \rvert + \varepsilon \bigr) $$
#
# where $y$ is the sound at 8 kHz, STFT its short-time Fourier transform, $M$ a matrix of 140 mel
# filters, and $\varepsilon = 2^{-52}$ a guard against the logarithm of zero. Others under the same
# limits chose otherwise:
#
# | system | sampling rate | a window of, every | bands × frames |
# |---|---|---|---|
# | ours {cite}`ipleiria2023dcase` | 8 kHz | 256 ms, 128 ms | 140 × 8 |
# | DCASE 2022 baseline {cite}`martinmorato2022low` | 44.1 kHz | 40 ms, 20 ms | 40 × 51 |
# | CP-Mobile {cite}`schmid2023distilling`, baseline since 2024 {cite}`schmid2024data` | 32 kHz | 96 ms, 16 ms | 256 × 65 |
# | CNN-GRU of 2025 {cite}`tan2025acoustic` | 44.1 kHz | 186 ms, 31 ms | 256 × 33 |
#
# None of the others stops at 4 kHz, and none has so few frames. What does it cost? We go through our
# input from the inside out, and then ask. Our example is a second in a tram. Nobody recorded it: as
# everywhere in the embedded corpus, [a program rendered it](../task/dataset.ipynb).

# %%
plotting.use_style()
experiment = Experiment(profile, data_root, seed)
corpus, train = experiment.corpus, experiment.table("train")
scenes = sorted(train["scene"].unique())
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

# %% mystnb={"figure": {"name": "fig-features-resample", "caption": "The same second before (grey) and after resampling (red). Left: five milliseconds. Right: the spectrum in bands of 86 Hz."}, "image": {"alt": "Left, a dense and a sparse row of dots on one wave. Right, two spectra that agree below 4 kHz, where the resampled one ends."}}
y = soxr.resample(x, 44_100, 8_000, quality="HQ")
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1, 1.3])
for wave, rate, mark, tint in [(x, 44_100, ".", plotting.MUTED),
                               (y, 8_000, "o", plotting.ACCENT)]:
    few = np.arange(int(0.3 * rate), int(0.305 * rate))
    left.plot(1000 * few / rate, wave[few], mark, c=tint)
    power = np.abs(np.fft.rfft(wave)[: rate // 172 * 86]) ** 2 / rate**2
    level = 10 * np.log10(power.reshape(-1, 86).mean(1))
    level -= level.max()  # the same band in both
    right.plot(0.086 * np.arange(len(level)), level, color=tint,
               label=f"{rate:,} Hz")
left.set(xlabel="milliseconds", ylabel="sample")
right.set(xlabel="kHz", ylabel="dB re the loudest band")
right.legend()
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
fig, ax = plt.subplots(figsize=(7, 3.2))
for name, row in level.iterrows():
    ax.plot(0.172 * np.arange(128), row, label=name,
            color=plotting.SCENE_COLOURS[name])
ax.axvline(4, color="black", lw=0.8)
ax.set(xlabel="kHz", ylabel="dB re the loudest band")
ax.legend(ncols=2, fontsize=8)
plotting.show(fig)

# %% [markdown]
# At 11 kHz the renderer's sources end, so nothing is to be found further up but the noise of the
# devices. (street_pedestrian's floor is higher because a few very loud clips overload their recorder:
# clipping adds overtones up to the top.)
#
# From {glue:text}`features_share_least:.1f` to {glue:text}`features_share_most:.0f` per cent of a
# scene's power lie above 4 kHz; the list is below, in per cent. But power is a poor judge, because low frequencies
# carry most of it: a quiet hiss may still be what tells two scenes apart. Two sections below ask better
# judges, a classifier and the distance between scenes. Here your ears may, with a clip of the scene that
# loses most, the {glue:text}`features_brightest`.

# %% tags=["nbval-ignore-output"]
cut = round(4000 / 172)
share = 100 * by_scene.loc[:, cut:].sum(axis=1) / by_scene.sum(axis=1)
print(share.round(1).sort_values().to_string())
brightest = share.idxmax()
glue("features_share_least", float(share.min()))
glue("features_share_most", float(share.max()))
glue("features_brightest", brightest.replace("_", " "))
bright = waves[(some["scene"] == brightest).to_numpy()][0]
kept = {}
for rate in (22_050, 16_000, 8_000):
    kept[f"up to {rate / 2_000:.0f} kHz"] = soxr.resample(
        soxr.resample(bright, 44_100, rate), rate, 22_050)
assert all(len(sound) == 22_050 for sound in kept.values())
plotting.players(kept, 22_050)

# %% [markdown]
# These are footsteps over far traffic. Up to 11 kHz each step is a sharp tick; up to 4 kHz it is a
# dull knock, as if heard through a door. (All players of this chapter scale their sounds to the same
# peak. What a resampling removes you hear as colour, not as loudness.)
#
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
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), sharey=True)
for ax, size in zip(axes, (128, 512, 2048), strict=True):
    own = np.pad(y.astype(float), size // 2, mode="reflect")
    own = np.lib.stride_tricks.sliding_window_view(own, size)[:: size // 2]
    half = size / 4 / 8000  # a frame is drawn around its centre
    level = np.abs(np.fft.rfft(own * np.hamming(size))).T
    level = 20 * np.log10(level / level.max() + 1e-9)
    ends = -half, (2 * len(own) - 1) * half, 0, 4
    ax.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-60,
              extent=ends, interpolation="nearest")
    ax.set(title=f"{1000 * size / 8000:.0f} ms", xlabel="seconds", xlim=(0, 1))
    ax.grid(False)
axes[0].set_ylabel("kHz")
plotting.show(fig)

# %% [markdown]
# The left picture shows when, the right one which: its lines lie 3.9 Hz apart, those of the left one 62.
# The price is in the number of frames. Windows that overlap by half make 8 frames of 2,048 samples and
# 16 of 1,024, and the student's multiplications grow with them: {glue:text}`features_macs_2048_140:.0f`
# million for 8 frames of 140 bands, {glue:text}`features_macs_1024_140:.0f` million for 16. The challenge
# allowed 30. So a shorter window must be paid for with bands: 80 × 16 costs
# {glue:text}`features_macs_1024_80:.0f` million, 40 × 32 costs {glue:text}`features_macs_512_40:.0f`. Is
# that a good bargain? First we need the bands.
#
# ## Step 5: mel filters
#
# Equal steps in hertz do not sound equally far apart. The mel scale is an attempt at steps that do, from
# listeners who set tones to half the pitch of others {cite}`stevens1937scale`. Listeners and experiments
# disagree, so there are several formulas. Slaney's {cite}`slaney1998auditory` is a straight line up to
# 1 kHz and a logarithm above:
#
# $$ m(f) = \begin{cases} \dfrac{3f}{200}, & f < 1000 \\[2ex]
#    15 + 27\,\dfrac{\ln(f / 1000)}{\ln 6.4}, & \text{else} \end{cases} $$
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
for n_mels in (40, 80, 140, 260):
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
# quarter of the window. The last column does not: with 140 bands only 2,048 points stay below the limit of
# 30 million, with 80 also 1,024, and with 40 also 512.
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
# That was the last step. Does our picture equal the library's, to a thousandth of a neper? What does the
# logarithm change? Beside it stands the input of the DCASE 2022 baseline {cite}`martinmorato2022low`:
# 44.1 kHz, 40 ms every 20 ms, 40 bands.

# %% mystnb={"figure": {"name": "fig-features-pictures", "caption": "One second in a tram. Left: mel bands before the logarithm. Middle: after it, the small input of 140 bands by 8 frames. Right: the input of the DCASE 2022 baseline, 40 bands up to 22 kHz by 51 frames. Each frame is drawn around its centre."}, "image": {"alt": "Three pictures: one almost black with a few bright cells, one of 140 by 8 coarse cells with rich structure, one of 40 by 51 cells."}}
plain = filters @ magnitude
ours = np.log(plain + eps)
log_mel, baseline = LogMel.tmsic(), LogMel.dcase_baseline()
theirs, wide = log_mel(x[None])[0, 0].numpy(), baseline(x[None])[0, 0].numpy()
assert np.abs(ours - theirs).max() < 1e-3
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for ax, image, title, span, top, hop_seconds in [
        (axes[0], plain, "no logarithm", plain.max(), 4_000, 0.128),
        (axes[1], ours, "140 × 8", 8, 4_000, 0.128),
        (axes[2], wide, "40 × 51", 8, 22_050, 0.02)]:
    plotting.spectrogram(ax, image, title, span, top, hop_seconds)
axes[0].images[0].colorbar.set_label("magnitude")
plotting.show(fig)
print(f"values: {ours.size:,} against {wide.size:,}")

# %% [markdown]
# It does, or the cell would have stopped. Without the logarithm a few loud bands are all there is to see.
# With it the quiet ones count as well.
#
# Nothing is normalised: no mean is subtracted, nothing is divided. Networks learn best from numbers
# around zero, and the features of all training clips have a mean of {glue:text}`features_mean:.1f`. The student's
# first convolution is followed by a batch normalisation {cite}`ioffe2015batch`, which takes that out;
# [its own chapter](../networks/student.ipynb) has it. One thing is not repaired: a convolution surrounds the
# picture with zeros, and in nepers zero is not silence but louder than nearly all that clips hold.
# Whether another border would be better, we have not measured.
#
# The small input has about half the values. It spends them on frequency, the baseline on time. What does
# each keep of a sound? We can play a picture: take noise, and give each of its bands in each frame the
# loudness that the picture says. Whatever you still recognise is in the picture. The reverse does
# not hold: this player may lose what a network could still read. (It is `plotting.played`.)
#
# {numref}`fig-features-played` shows a second in a park as rendered, through a short window and up to
# 8 kHz, and as three pictures play it: ours; the same bands in 32 frames of a quarter of our window, so
# that only time differs; and the baseline's. Which events are still there?

# %% mystnb={"figure": {"name": "fig-features-played", "caption": "A park up to 8 kHz: as rendered, and played from its pictures of 140 by 8, 140 by 32 (both end at 4 kHz) and 40 by 51. Windows of 16 ms, down to 50 dB below the loudest point, in the order of the players."}, "image": {"alt": "Four spectrograms: short bright strokes in the first, wide soft blocks that end at 4 kHz in the second, short strokes that end there in the third, strokes blurred in frequency in the fourth."}}
fronts = {"140 × 8": log_mel, "140 × 32": LogMel(8_000, 512, 256, 140),
          "40 × 51": baseline}
whole = read_audio(corpus.root / firsts.get("park", firsts.iloc[-1]))
kept = {"rendered": soxr.resample(whole, 44_100, 16_000)}
for name, front in fronts.items():
    image = front(whole[None])[0, 0].numpy()
    kept[name] = plotting.played(image, front, 16_000)
fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.5), sharey=True)
for ax, (name, wave) in zip(axes, kept.items(), strict=True):
    level = np.abs(librosa.stft(wave, n_fft=256, hop_length=256))
    ax.imshow(librosa.amplitude_to_db(level, top_db=50), origin="lower",
              aspect="auto", cmap="magma", extent=(0, 1, 0, 8))
    ax.set(title=name, xlabel="seconds", ylabel="kHz" * (ax is axes[0]))
    ax.grid(False)
plotting.show(fig)

# %% tags=["nbval-ignore-output"]
def beats(wave):
    """Rise and fall of each frequency up to 4 kHz, around its mean."""
    loud = np.log(np.abs(librosa.stft(wave, n_fft=512))[:128] + 1e-3)
    return (loud - loud.mean(1, keepdims=True)).ravel()


truth = [beats(soxr.resample(one, 44_100, 16_000)) for one in waves]
for front in fronts.values():
    match = []
    for one, image in zip(truth, front(waves)[:, 0].numpy(), strict=True):
        copy = beats(plotting.played(image, front, 16_000))
        match.append(np.corrcoef(one, copy)[0, 1])
    glue(f"features_beat_{front.shape()[2]}", np.mean(match))
assert len(match) == len(waves)
plotting.players(kept, 16_000)

# %% [markdown]
# The chirp at 0.2 to 0.35 seconds, near 1.8 kHz, has two syllables. With 51 frames both are there, with 32
# they run together but stand in their place, and with eight they are one swell of almost half a second. The two calls
# near 2.7 kHz, at 0.15 and 0.75 seconds, glide down. Many frames still show it, eight show two flat
# patches. What repeats the chirp more faintly at twice its frequency, above 3 kHz, is its second partial,
# and the calls have theirs above 5 kHz: only a picture that goes so high can hold it. The first player
# whistles; the others breathe, because noise plays them. In the second the breath swells and ebbs, in the
# third and fourth it comes in strokes, like the birds.
#
# Does that hold beyond one park? How well does the rise and fall of each frequency up to 4 kHz follow
# the original's? Over all clips of which we drew the spectrum, the mean correlation is
# {glue:text}`features_beat_8:.2f` with 8 frames and {glue:text}`features_beat_32:.2f` with 32 of the same 140
# bands. The baseline's picture reaches {glue:text}`features_beat_51:.2f`. (None can reach 1, since the player's noise has
# a rise and fall of its own.)
#
# So eight frames keep the timbre: which bands hum, and how loud. They lose most of the rhythm. Whether a
# classifier misses it is measured below.
#
# ## Choices that look alike
#
# **Magnitude or power?** Many programs square the magnitudes first. With $\tfrac12\ln(M\lvert S
# \rvert^2)$ the loudest bin of a filter counts more. How different are the two?
#
# **Mirror or zeros?** librosa padded with the mirror image before version 0.10 and pads with zeros since.
# The published network was trained on mirrors. How far do the values move when it is given zeros?
#
# We ask both of the test clips.

# %%
heard = experiment.table("test")
heard = heard.sample(min(630, len(heard)), random_state=seed)
sound = np.stack([read_audio(corpus.root / n) for n in heard["filename"]])
edge = [(0, 0), (n_fft // 2, n_fft // 2)]
eight = resample(torch.tensor(sound), 44_100, 8_000).double() + eps
own = np.lib.stride_tricks.sliding_window_view(
    np.pad(eight, edge, mode="reflect"), n_fft, axis=1)[:, ::hop]
power = np.abs(np.fft.rfft(own * window)) ** 2 @ filters.T
power = torch.tensor(np.log(power + eps)).float().mT[:, None]
mirrors, zeros = log_mel(sound), LogMel(pad="constant")(sound)
apart = power / 2 - mirrors
print(f"power less magnitude: {apart.mean():.2f} ± {apart.std():.2f} nepers")
change = (zeros - mirrors)[:, 0].abs()
moved = {"mean": change.mean((0, 1)), "largest": change.amax((0, 1))}
pd.DataFrame(moved).round(2).T

# %% [markdown]
# Halved, power is louder than magnitude by nearly a constant, mostly because the filters' weights are now under the root.
# Around it the two differ by a tenth of a neper, where the features themselves have a deviation of more
# than one.
#
# The table is about the padding. Its columns are the eight frames, its values nepers. Only the first
# frame and the last reach beyond the clip, and only they change. The first, half of which is padding,
# moves by 0.28 nepers in the mean and by 2.4 at worst, because a cut at the edge spreads over all
# frequencies. The last moves by 0.02 in the mean, since its window has nearly faded before the clip ends;
# at worst it still moves by 2.3, where something loud stands at the very end.
#
# Does a network mind? [The student that comes with the book](../networks/student.ipynb) has learnt from
# mirrored magnitudes. We give it the same clips otherwise: padded with zeros; as half the logarithm
# of power; as the logarithm of power, not halved, as a program would that squares and forgets. An answer
# that changes says little alone, for some answers hang by a thread. So there are two yardsticks, changes
# that nobody would call an error: the clip starts 10 ms later, or is 6 dB louder.

# %% tags=["nbval-ignore-output"]
net = student_of(store.PROJECT / "models" / "student.safetensors")
arms = {"mirrors": mirrors, "zeros": zeros, "half": power / 2, "power": power,
        "later": log_mel(sound[:, 441:]), "louder": log_mel(2 * sound)}
said = {n: net(x).detach().softmax(1).numpy() for n, x in arms.items()}
minds = {}
for name, answer in said.items():
    loss = evaluation.compare(said["mirrors"], answer, heard)
    minds[name] = [evaluation.evaluate(answer, heard).overall.accuracy,
                   (answer.argmax(1) != said["mirrors"].argmax(1)).mean(),
                   loss.accuracy, loss.accuracy_low, loss.accuracy_high]
columns = ["accuracy", "others", "points", "low", "high"]
minds = 100 * pd.DataFrame(minds, columns).T
assert minds.at["mirrors", "others"] == 0
minds.round(1)

# %% [markdown]
# With mirrors the network is right in {glue:text}`features_mirrors_accuracy:.1f` % of the clips. Zeros change
# {glue:text}`features_zeros_others:.0f` per cent of its answers, and that is no more than the harmless changes
# do: a start 10 ms later changes {glue:text}`features_later_others:.0f`, 6 dB more
# {glue:text}`features_louder_others:.0f`. Whether zeros cost accuracy is not settled: the
# difference is {glue:text}`features_zeros_points:+.1f` points, with a 95 % interval over locations from
# {glue:text}`features_zeros_low:+.1f` to {glue:text}`features_zeros_high:+.1f`. Half the logarithm of power
# changes {glue:text}`features_half_others:.0f` per cent, more than either yardstick, and its points are not settled either
# ({glue:text}`features_half_low:+.1f` to {glue:text}`features_half_high:+.1f`).
#
# What hurts is the forgotten half: {glue:text}`features_power_others:.0f` per cent of the answers are
# others, and {glue:text}`features_power_points:+.1f` points are the price
# ({glue:text}`features_power_low:+.1f` to {glue:text}`features_power_high:+.1f`). No program warns of
# any of these. So `pad` is a named setting of `LogMel`, and magnitude its only kind.
#
# ## What 4 kHz, 140 bands and 8 frames are worth
#
# What would it buy to have more of each? A light classifier answers in seconds: logistic regression on
# the mean and deviation of each band over the frames, as in [the data set](../task/dataset.ipynb),
# cross-validated by location. A rhythm reaches it by the deviations alone: the more frames, the more of it.
#
# More bands mean more weights, and more weights must be held down more strongly. One strength for all
# would favour some number of bands. So each fit chooses its own (scikit-learn's $C$; less is stronger), by
# the log loss on locations that it holds back.

# %%
search = GridSearchCV(pipeline.Pipeline([
    ("scale", preprocessing.StandardScaler()),
    ("fit", linear_model.LogisticRegression(max_iter=1000, tol=3e-3))]),
    {"fit__C": np.logspace(-3, -0.5, 6)}, scoring="neg_log_loss", cv=Folds(3))


def judged(x, clips):
    """Probabilities of each clip from a fit at other places, and each C."""
    values = np.hstack([x.mean(2), x.std(2)])
    scene, spots = clips["scene"].to_numpy(), places(clips).to_numpy()
    said, chosen = np.zeros((len(clips), len(scenes))), []
    for fitted, held in Folds(5).split(values, scene, spots):
        search.fit(values[fitted], scene[fitted], groups=spots[fitted])
        columns = np.searchsorted(scenes, search.classes_)
        said[held[:, None], columns] = search.predict_proba(values[held])
        chosen.append(search.best_params_["fit__C"])
    return said, chosen


# %% [markdown]
# We ask it about five numbers of bands up to 4 kHz; about 80 and 140 bands up to 8 and up to 11 kHz, in
# windows of the same quarter of a second; and about shorter windows up to 4 kHz, which make more frames.

# %% tags=["nbval-ignore-output"]
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # several threads quarrel over problems this small
inputs = [(8_000, 8, n) for n in (20, 40, 80, 140, 260)]
inputs += [(rate, 8, n) for rate in (16_000, 22_050) for n in (80, 140)]
inputs += [(8_000, count, n) for count in (16, 32) for n in (40, 80, 140)]
longest = {8_000: 2_048, 16_000: 4_096, 22_050: 5_632}  # samples of a window
part = train.sample(min(1200, len(train)), random_state=seed)
waves = np.stack([read_audio(corpus.root / n) for n in part["filename"]])
sounds = {r: resample(torch.tensor(waves), 44_100, r) for r in longest}
answers, chosen = {}, {}
for rate, count, n in inputs:
    size = longest[rate] * 8 // count
    x = LogMel(rate, size, size // 2, n)(sounds[rate], rate)[:, 0].numpy()
    answers[rate, count, n], chosen[rate, count, n] = judged(x, part)
assert len(answers) == len(inputs)

# %% [markdown]
# Single accuracies have wide intervals, because locations differ. The same locations are in all of them, so
# the differences are known better. Here they are, paired, against 140 × 8 up to 4 kHz. And what does each
# cost? A convolution slides over all bands and frames, so the student's MACs are proportional to both.

# %% tags=["nbval-ignore-output"]
def against(base, key):
    """How much more accurate one input is than another, with its interval."""
    gap = evaluation.compare(answers[base], answers[key], part, classes=scenes)
    return gap.accuracy, gap.accuracy_low, gap.accuracy_high


gains = 100 * pd.DataFrame(
    [against((8_000, 8, 140), key) for key in answers],
    pd.MultiIndex.from_tuples(answers, names=["Hz", "frames", "bands"]),
    ["points", "low", "high"])
gains["million MACs"] = [complexity(TMSIC(), (1, n, count)).macs / 1e6
                         for _, count, n in answers]
gains["C"] = [f"{min(c):.3f} to {max(c):.3f}" for c in chosen.values()]
for key, row in gains.iterrows():
    plotting.glue_points("features_{}_{}_{}".format(*key), *row[:3] / 100)
assert list(gains.index) == inputs
gains.round(1)

# %% mystnb={"figure": {"name": "fig-features-bands", "caption": "Points of macro accuracy of a logistic regression against 140 bands by 8 frames up to 4 kHz (the ring), with 95 % intervals over locations. Left: by the number of bands; series are moved sideways a little so that intervals do not hide each other. Right: the same points by the student's MACs, and the limit of the challenge."}, "image": {"alt": "Left, five curves over the number of bands, none of them highest at 140; those up to 8 and 11 kHz and those of more frames lie above that of 4 kHz and 8 frames. Right, the same dots over MACs; most of those left of the limit of 30 million are above zero."}}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
lines = gains.reset_index().groupby(["frames", "Hz"])
for place, ((count, rate), rows) in enumerate(lines):
    middle, low, high = rows[["points", "low", "high"]].to_numpy().T
    bars = {"yerr": [middle - low, high - middle], "fmt": "o-", "capsize": 3}
    bars["label"] = f"up to {rate / 2_000:.0f} kHz, {count} frames"
    axes[0].errorbar(rows["bands"] + 3 * place - 6, middle, **bars)
    axes[1].errorbar(rows["million MACs"], middle, **bars)
axes[0].plot(140 - 6, 0, "o", ms=11, mfc="none", c=plotting.INK)
axes[1].axvline(30, color=plotting.ACCENT)
axes[0].set(xlabel="mel bands", ylabel="points against 140 × 8")
axes[1].set_xlabel("million MACs")
axes[1].legend(fontsize=8)
plotting.show(fig)

# %% [markdown]
# **Bands.** Up to 4 kHz and with 8 frames the best of the five is 80, at {glue:text}`features_8000_8_80:+.1f`
# points against 140 ({glue:text}`features_8000_8_80_low:.1f` to {glue:text}`features_8000_8_80_high:.1f`), for
# {glue:text}`features_macs_2048_80:.0f` million MACs in place of {glue:text}`features_macs_2048_140:.0f`. With 260 it is
# {glue:text}`features_8000_8_260:+.1f` ({glue:text}`features_8000_8_260_low:+.1f` to
# {glue:text}`features_8000_8_260_high:+.1f`). It is not for want of restraint: no strength stands at an end
# of the grid, which goes from 0.001 to 0.3, and 260 bands chose the strongest. But narrow filters add up few bins, so each value is noisier,
# and each neighbour repeats it. (That is our reading; the table does not prove it.)
#
# **Bandwidth.** Best against best, with 80 bands each, listening up to 8 kHz brings
# {glue:text}`features_80_16000_8:+.1f` points ({glue:text}`features_80_16000_8_low:+.1f` to
# {glue:text}`features_80_16000_8_high:+.1f`), and up to 11 kHz {glue:text}`features_80_22050_8:+.1f`
# ({glue:text}`features_80_22050_8_low:+.1f` to {glue:text}`features_80_22050_8_high:+.1f`). The
# network would cost the same.
#
# **Time.** With 80 bands, 16 frames bring {glue:text}`features_80_8000_16:+.1f` points over 8
# ({glue:text}`features_80_8000_16_low:+.1f` to {glue:text}`features_80_8000_16_high:+.1f`), and 32 bring
# {glue:text}`features_80_8000_32:+.1f` ({glue:text}`features_80_8000_32_low:+.1f` to
# {glue:text}`features_80_8000_32_high:+.1f`). The first is not settled, the second is: shorter windows, and
# more of them, help to tell scenes apart. Whether by rhythm, this classifier of means and deviations cannot say.
#
# **The bargain.** For about 30 million, 80 × 16 is {glue:text}`features_8000_16_80:+.1f` points from 140 × 8
# ({glue:text}`features_8000_16_80_low:+.1f` to {glue:text}`features_8000_16_80_high:+.1f`), and 40 × 32 is
# {glue:text}`features_8000_32_40:+.1f` ({glue:text}`features_8000_32_40_low:+.1f` to
# {glue:text}`features_8000_32_40_high:+.1f`). Most of the first comes
# from having fewer bands, which is cheaper, not dearer; nearly all of the second from its frames. Under the same limit fewer bands and more frames
# would have been the better input for this classifier, and a higher rate better still.
#
# Nothing here speaks for 140 × 8. Three things soften that. The best of several is a little flattered by being
# chosen. A classifier of means and deviations is no convolution, which sees neighbours together and the
# frames in their order. And the corpus is rendered: how much lies above 4 kHz is a choice of its program. For
# 140 × 8 speaks the authors' own search, which trained networks on recorded cities.
# [The search for the input](feature_search.ipynb) does the same on our corpus.
#
# The book stays with 140 bands up to 4 kHz all the same. It rebuilds a published system, and every later
# chapter compares what is done *after* this input. What a better input would add to TMSIC itself is open.
#
# ## Where scenes differ, and where devices do
#
# Why does it help to listen higher? In which frequencies do scenes differ, and in which do only devices?
# We look up to 11 kHz. For the scenes we take the training clips of the most frequent device, which has
# been at the most places. For the devices we take the test clips, where all devices hear the same events, and
# take out what is common to an event.
#
# One trap is to be avoided. The mean of a scene varies with the places that happen to be in it, even
# if scenes did not differ at all. So from the variance of the means we subtract what the places bring,
# their variance divided by their number. The uncertainty is a jackknife: leave out one place of each scene
# (or, for devices, one place) at a time.

# %%
high = LogMel(22_050, 5_632, 2_816, 140)
kilo = librosa.mel_frequencies(142, fmin=0, fmax=11_025)[1:-1] / 1000
ranges = pd.cut(kilo, [0, 0.2, 0.5, 1, 2, 3, 4, 6, 8, 11.1])
main = (part["device"] == part["device"].mode()[0]).to_numpy()
levels = {}
for name, clips, audio in [("scene", part[main], waves[main]),
                           ("device", heard, sound)]:
    rows = pd.DataFrame(high(audio)[:, 0].mean(2).numpy())
    spots = (clips["scene"] + places(clips)).to_numpy()
    levels[name] = rows.groupby([clips[name].to_numpy(), spots]).mean()
event = levels["device"].groupby(level=1).transform("mean")
levels["device"] -= event
middles = pd.Series(np.arange(140)).groupby(ranges, observed=True).mean()

# %%
def spread(rows):
    """Deviation between groups in each range, less their means' noise."""
    groups = rows.groupby(level=0)
    noise = groups.var().div(groups.size(), axis=0).mean()
    between = (groups.mean().var() - noise).groupby(ranges, observed=True)
    return between.mean().clip(lower=0) ** 0.5


found = pd.DataFrame({name: spread(rows) for name, rows in levels.items()})
for name, rows in levels.items():
    turn = rows.groupby(level=0).cumcount()  # of a place in its group
    left = pd.DataFrame([spread(rows[turn != out]) for out in turn.unique()])
    found[f"{name} ±"] = 2 * (len(left) - 1) ** 0.5 * left.std(ddof=0)
    for number, value in enumerate(found[name]):
        glue(f"features_{name}_{number}", value)
found.rename_axis("kHz").round(2)

# %% mystnb={"figure": {"name": "fig-features-statistics", "caption": "Top: mean log-mel of each scene (training, one device) and of each device (test), less the mean of all rows; red is louder, and the colours end at two nepers. Bottom: deviation between the rows in nepers, without what places bring, with 95 % intervals over places, the scenes and devices themselves as given. Above 4 kHz is what resampling to 8 kHz removes."}, "image": {"alt": "Two grids of coloured rows over an axis of hertz, and below two curves: that of devices falls from its highest value below 200 Hz and stays low; that of scenes rises above 2 kHz to the right edge."}}
fig, axes = plt.subplots(3, 1, figsize=(8, 7), sharex=True)
for ax, (name, rows) in zip(axes, levels.items(), strict=False):
    rows = rows.groupby(level=0).mean()
    image = ax.imshow(rows - rows.mean(), cmap="RdBu_r", vmin=-2, vmax=2,
                      aspect="auto", interpolation="nearest")
    ax.set_yticks(np.arange(len(rows)), rows.index, fontsize=8)
    ax.grid(False)
    axes[2].errorbar(middles, found[name], found[f"{name} ±"], capsize=3,
                     label=f"between {name}s")
marks = np.interp([0.2, 0.5, 1, 2, 4, 8], kilo, np.arange(140))
axes[2].set_xticks(marks, [0.2, 0.5, 1, 2, 4, 8])
axes[2].set(xlabel="kHz, in 140 mel bands", ylabel="nepers")
axes[2].legend()
fig.colorbar(image, ax=axes, label="nepers", aspect=50)
plotting.show(fig)

# %% [markdown]
# Devices differ most below 200 Hz, by {glue:text}`features_device_0:.2f` nepers; everywhere else by
# {glue:text}`features_device_4:.1f`, give or take a tenth. Scenes differ no more than devices below 2 kHz, by
# {glue:text}`features_scene_0:.2f` at the very bottom and about {glue:text}`features_scene_2:.2f` above. Only above
# 2 kHz do they lead, and the lead grows: {glue:text}`features_scene_5:.2f` against
# {glue:text}`features_device_5:.2f` at 3 to 4 kHz, {glue:text}`features_scene_8:.2f` against
# {glue:text}`features_device_8:.2f` above 8 kHz.
#
# So the cut at 4 kHz falls just before the difference between scenes is largest, where devices differ
# hardly more than elsewhere. That fits the points of the last section. Below 200 Hz, on the other hand,
# the input spends bands on what mostly tells microphones apart.
#
# At last a cell for whoever changes this chapter: the numbers that it quotes from here and there, and what
# it says of this corpus in words.

# %%
glue("features_mean", experiment.clips("train").x.mean())
for key in [(16_000, 8), (22_050, 8), (8_000, 16), (8_000, 32)]:
    plotting.glue_points("features_80_{}_{}".format(*key),
                         *against((8_000, 8, 80), (*key, 80)))
for (name, column), value in minds.stack().items():
    glue(f"features_{name}_{column}", value)
if profile == "quick" and data_root is None:
    assert list(found["scene"] > found["device"]) == 4 * [False] + 5 * [True]
    best = gains["points"].xs(8, level="frames").groupby("Hz").idxmax()
    assert {bands for _, bands in best} == {80}
    strengths = np.ravel([*chosen.values()])
    assert strengths.min() > 0.001 and strengths.max() < 0.3
    assert gains.loc[[(8_000, 16, 80), (8_000, 32, 40)], "low"].min() > 0
    assert minds.at["power", "high"] < 0 < minds.at["zeros", "high"]

# %% [markdown]
# ## Takeaways
# * Resample, pad, window, transform, filter, take the logarithm: 44,100 numbers become 1,120,
#   in 140 bands and 8 frames.
# * For a plain classifier of this corpus, listening below 4 kHz costs {glue:text}`features_80_16000_8:.1f`
#   points against 8 kHz ({glue:text}`features_80_16000_8_low:.1f` to
#   {glue:text}`features_80_16000_8_high:.1f`) and {glue:text}`features_80_22050_8:.1f` against 11 kHz
#   ({glue:text}`features_80_22050_8_low:.1f` to {glue:text}`features_80_22050_8_high:.1f`), best with best.
# * More than 80 bands bring that classifier nothing; 32 frames for eight do
#   ({glue:text}`features_80_8000_32:+.1f`, {glue:text}`features_80_8000_32_low:+.1f` to {glue:text}`features_80_8000_32_high:+.1f`). At the limit of 30 million, 80 × 16 is
#   {glue:text}`features_8000_16_80:.1f` points better than 140 × 8
#   ({glue:text}`features_8000_16_80_low:.1f` to {glue:text}`features_8000_16_80_high:.1f`).
# * Eight frames keep the timbre and lose rhythm: what is played from them follows the rise and fall of a sound
#   with a correlation of {glue:text}`features_beat_8:.2f`, from 32 frames with {glue:text}`features_beat_32:.2f`.
# * Zeros for mirrors at the edges change {glue:text}`features_zeros_others:.0f` per cent of a trained network's
#   answers, no more than a start 10 ms later. Power for magnitude, not halved, costs
#   {glue:text}`features_power_points:.0f` points, and nothing warns of it.
# * Devices differ most below 200 Hz. Scenes differ more than devices only above 2 kHz, and most above
#   4 kHz, where this input does not listen.
#
# ## Exercises
# **1.** You have 30 million multiplications. Choose a sampling rate, bands and frames for the classifier of this
# chapter, and defend the choice: against 140 × 8 and against the best that this page has, paired. Write
# down before you look what you expect of combining what helped alone.
#
# :::{dropdown} Solution
# ```python
# def taken(rate, count, n):
#     size = longest[rate] * 8 // count
#     x = LogMel(rate, size, size // 2, n)(sounds[rate], rate)[:, 0].numpy()
#     answers[rate, count, n] = judged(x, part)[0]
#     return complexity(TMSIC(), (1, n, count)).macs / 1e6
#
# for key in [(22_050, 8, 160), (22_050, 16, 80), (22_050, 32, 40)]:
#     print(key, f"{taken(*key):.1f} million MACs")
#     for base in [(8_000, 8, 140), (22_050, 8, 80)]:
#         print("  against", base, np.round(100 * np.array(against(base, key)), 1))
# ```
# All three cost 29 million. On this corpus bandwidth and frames add up. Up to 11 kHz, 80 × 16 leads 140 × 8 up to
# 4 kHz by 11 points (8 to 15) and 40 × 32 by 13 (9 to 17), each by more than either change alone; 160 × 8,
# which spends all on frequency, leads by 9 (6 to 12) and so no more than 80 × 8 at half the price. A defence names what would overturn it: 40 × 32 is the best of several, and this classifier knows
# frames by their deviation only. The next step is to train the network itself on two of them.
# :::
#
# **2.** An hour's project that decides something. Should the input be normalised? Judge three candidates
# against plain log-mel, paired over locations, by the classifier above: take each clip's mean out; take
# each band's mean over the clip out; replace the logarithm by PCEN (`librosa.pcen`), which
# divides each band by its own recent loudness. Decide before you look what would convince you.
#
# :::{dropdown} Solution
# ```python
# part = train
# x = experiment.clips("train").x[:, 0].numpy()
# candidates = {
#     "plain": x,
#     "clip's mean out": x - x.mean((1, 2), keepdims=True),
#     "bands' means out": x - x.mean(2, keepdims=True),
#     "PCEN": librosa.pcen(np.exp(x) * 2**31, sr=8_000, hop_length=1024),
# }
# answers = {name: judged(x, part)[0] for name, x in candidates.items()}
# for name in candidates:
#     print(name, np.round(100 * np.array(against("plain", name)), 1))
# ```
# On this corpus all three lose. The clip's level costs least: loudness itself tells scenes apart. The other
# two cost several times as much. They remove what a device and a place add to all frames alike, and here the
# place is what is asked for. Plain log-mel stays. The verdict is this classifier's, which lives on means;
# a network that reads eight frames could judge PCEN otherwise.
# :::
#
# **3.** Resample to 16 kHz and keep 140 bands and 2,048 points. How wide is the lowest filter now, in
# hertz and in bins? And what does `log_mel` make of a second of digital silence; would a network mind?
#
# :::{dropdown} Solution
# ```python
# filters, hertz = mel_filters(16_000, 2048, 140)
# print(hertz[2] - hertz[0], (filters[0] > 0).sum())
# print(log_mel(torch.zeros(1, 44_100))[0, 0, :2, 0])
# ```
# The scale now reaches 8 kHz, so each step is longer: the lowest filter spans about 43 Hz. Bins are
# 7.8 Hz apart, which leaves five in it. Still none is empty. Silence is −34.01 in the lowest band, where the
# $\varepsilon$ added to the signal ends up, and −36.04 in all others. That is more than ten deviations from any
# clip in training; what a network says to it means nothing.
# :::
#
# ## What is next
# [Augmentation](augmentation.ipynb) makes more of these pictures than were recorded.
