"""Augmentation of a batch against plain loops, and what must not change by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asclib.augmentation import (
    FreqMixStyle,
    FrequencyMask,
    Gain,
    Mixup,
    TimeRoll,
    freq_mixstyle,
    mixup,
    soft_labels,
)
from asclib.challenge import SAMPLE_RATE
from asclib.features import LogMel
from asclib.training import Batch


def torch_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- the functions ---------------------------------------------------------------------------


def band(x: torch.Tensor, clip: int, mel: int) -> tuple[float, float]:
    """Mean and variance of one band of one clip."""
    values = [float(v) for channel in x[clip] for v in channel[mel]]
    mean = sum(values) / len(values)
    return mean, sum((v - mean) ** 2 for v in values) / len(values)


@pytest.mark.parametrize("channels", [1, 2])
def test_mixstyle_gives_every_band_statistics_between_those_of_two_clips(channels):
    """Each band is rebuilt by loops from its partner and weight, which are found by search."""
    x = torch.from_numpy(np.random.default_rng(4).normal(-4, 2, (6, channels, 5, 8)))
    y = freq_mixstyle(x, 1.0, 0.3, generator=torch_generator(3), eps=1e-6)
    partners = []
    for clip in range(6):
        fits = []
        for other in range(6):
            own, theirs = band(x, clip, 0)[0], band(x, other, 0)[0]
            mixed = band(y, clip, 0)[0]
            weight = 1.0 if other == clip else (mixed - theirs) / (own - theirs)
            expected = torch.zeros(channels, 5, 8, dtype=x.dtype)
            for mel in range(5):
                (mean, variance), (mean2, variance2) = band(x, clip, mel), band(x, other, mel)
                deviation, deviation2 = (variance + 1e-6) ** 0.5, (variance2 + 1e-6) ** 0.5
                for channel in range(channels):
                    for frame in range(8):
                        normal = (float(x[clip, channel, mel, frame]) - mean) / deviation
                        expected[channel, mel, frame] = (
                            normal * (weight * deviation + (1 - weight) * deviation2)
                            + weight * mean
                            + (1 - weight) * mean2
                        )
            if 0 <= weight <= 1 and torch.allclose(y[clip], expected, atol=1e-9):
                fits.append(other)
        assert fits, f"clip {clip} is no mixture"
        partners.append(fits[0])
    assert partners != list(range(6))


def test_mixstyle_changes_the_whole_batch_or_none_as_often_as_asked():
    x = torch.randn(4, 1, 6, 8, generator=torch_generator())
    generator = torch_generator(1)
    changed = [not torch.equal(freq_mixstyle(x, 0.4, generator=generator), x) for _ in range(600)]
    assert abs(np.mean(changed) - 0.4) < 0.08


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixstyle_keeps_shape_type_and_input_and_is_the_identity_at_zero(dtype):
    x = torch.randn(5, 1, 140, 8, dtype=dtype, generator=torch_generator())
    before = x.clone()
    y = freq_mixstyle(x, 1.0, generator=torch_generator())
    assert y.shape == x.shape and y.dtype == dtype
    assert torch.equal(freq_mixstyle(x, 0.0, generator=torch_generator()), x)
    assert torch.equal(x, before)


def test_mixstyle_of_equal_or_silent_clips_is_the_identity():
    x = torch.randn(1, 1, 20, 8, generator=torch_generator()).expand(4, -1, -1, -1)
    torch.testing.assert_close(freq_mixstyle(x, 1.0, generator=torch_generator()), x)
    silent = torch.full((3, 1, 20, 8), float(np.log(2.0**-52)))
    torch.testing.assert_close(freq_mixstyle(silent, 1.0, generator=torch_generator()), silent)


def test_mixstyle_of_a_single_frame_mixes_its_bands_alone():
    x = torch.randn(6, 1, 10, 1, dtype=torch.float64, generator=torch_generator())
    y = freq_mixstyle(x, 1.0, generator=torch_generator())
    assert torch.isfinite(y).all() and not torch.equal(x, y)
    assert (y >= x.amin(0)).all() and (y <= x.amax(0)).all()


def test_mixstyle_leaves_the_shape_of_each_band_over_time_alone():
    x = torch.randn(6, 1, 10, 8, dtype=torch.float64, generator=torch_generator())
    y = freq_mixstyle(x, 1.0, generator=torch_generator())

    def shape(x):
        return (x - x.mean(3, keepdim=True)) / x.std(3, keepdim=True)

    torch.testing.assert_close(shape(y), shape(x))


@pytest.mark.parametrize("kind", ["pictures", "waveforms"])
def test_mixup_is_the_weighted_sum_of_a_clip_and_its_partner(kind):
    shape = (7, 1, 5, 4) if kind == "pictures" else (7, 30)
    x = torch.randn(shape, dtype=torch.float64, generator=torch_generator())
    labels = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    mixed = mixup(x, torch.arange(7), generator=torch_generator(2))
    partner = mixed.partner_labels
    assert torch.equal(mixed.labels, torch.arange(7))
    assert sorted(partner.tolist()) == list(range(7)) and mixed.weight.shape == (7,)
    flat, found = x.flatten(1), mixed.x.flatten(1)
    for i in range(7):
        w = float(mixed.weight[i])
        assert 0 <= w <= 1
        for j in range(flat.shape[1]):
            expected = w * float(flat[i, j]) + (1 - w) * float(flat[partner[i], j])
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-12)
    again = mixup(x, labels, generator=torch_generator(2))
    assert torch.equal(again.x, mixed.x) and torch.equal(again.partner_labels, labels[partner])


def test_the_weights_of_mixup_follow_their_beta_distribution():
    x = torch.zeros(20_000, 1)
    for alpha in (0.3, 1.0):
        weight = mixup(x, torch.zeros(20_000), alpha, generator=torch_generator()).weight.double()
        assert float(weight.mean()) == pytest.approx(0.5, abs=0.012)
        assert float(weight.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)


def test_soft_labels_give_the_loss_of_both_labels():
    x = torch.randn(9, 3, generator=torch_generator())
    labels = torch.randint(0, 4, (9,), generator=torch_generator())
    logits = torch.randn(9, 4, generator=torch_generator(1))
    mixed = mixup(x, labels, generator=torch_generator())
    soft = soft_labels(mixed, 4)
    torch.testing.assert_close(soft.sum(1), torch.ones(9))
    own = F.cross_entropy(logits, mixed.labels, reduction="none")
    other = F.cross_entropy(logits, mixed.partner_labels, reduction="none")
    both = mixed.weight * own + (1 - mixed.weight) * other
    torch.testing.assert_close(F.cross_entropy(logits, soft), both.mean())


def test_mixup_mixes_a_teachers_answers_with_the_clips():
    x = torch.randn(5, 3, generator=torch_generator())
    answers = torch.randn(5, 10, generator=torch_generator(1))
    mixed = mixup(x, answers, generator=torch_generator())
    rows = mixup(x, torch.arange(5), generator=torch_generator()).partner_labels
    assert torch.equal(mixed.partner_labels, answers[rows])


@pytest.mark.parametrize("name", ["freq_mixstyle", "mixup"])
def test_the_generator_alone_decides_about_a_batch(name):
    x = torch.randn(8, 1, 10, 8, generator=torch_generator())

    def draw(generator: torch.Generator) -> torch.Tensor:
        if name == "mixup":
            return mixup(x, torch.arange(8), generator=generator).x
        return freq_mixstyle(x, 1.0, generator=generator)

    generator = torch_generator(1)
    first, second = draw(generator), draw(generator)
    torch.manual_seed(9)
    np.random.seed(9)
    assert torch.equal(draw(torch_generator(1)), first)
    assert not torch.equal(second, first)
    assert not torch.equal(draw(torch_generator(2)), first)


def test_a_batch_unchanged_takes_as_much_from_the_generator_as_one_changed():
    x = torch.randn(4, 1, 6, 8, generator=torch_generator())
    states = []
    for p in (0.0, 1.0):
        generator = torch_generator()
        freq_mixstyle(x, p, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


# ---- for Training.batch ----------------------------------------------------------------------

TRANSFORMS = (FreqMixStyle(1.0), Mixup(), TimeRoll(2), FrequencyMask(share=0.5), Gain())
each_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)


def batch(clips: int = 6, channels: int = 1, mels: int = 10, frames: int = 8) -> Batch:
    """Noise of four classes, and a teacher's answers, in double precision."""
    drawn = torch_generator(7)
    x = torch.randn(clips, channels, mels, frames, dtype=torch.float64, generator=drawn)
    answers = torch.randn(clips, 4, dtype=torch.float64, generator=drawn)
    return Batch(x, torch.arange(clips) % 4, answers, 4)


@each_transform
def test_a_transform_writes_to_nothing_and_keeps_shapes_and_types(transform):
    before = batch()
    copies = [part.clone() for part in before[:3]]
    after = transform(before, torch_generator())
    assert all(map(torch.equal, before[:3], copies))
    assert after.x.shape == before.x.shape and after.x.dtype == before.x.dtype
    assert not torch.equal(after.x, before.x)
    assert after.answers.shape == before.answers.shape and after.classes == 4
    without = transform(before._replace(answers=None), torch_generator())
    assert without.answers is None and torch.equal(without.x, after.x)


@each_transform
def test_the_generator_alone_decides_about_a_transformed_batch(transform):
    generator = torch_generator(1)
    first, second = transform(batch(), generator).x, transform(batch(), generator).x
    torch.manual_seed(9)
    np.random.seed(9)
    assert torch.equal(transform(batch(), torch_generator(1)).x, first)
    assert not torch.equal(second, first)
    assert not torch.equal(transform(batch(), torch_generator(2)).x, first)


@pytest.mark.parametrize(
    "transform", [t for t in TRANSFORMS if not isinstance(t, Mixup)], ids=lambda t: type(t).__name__
)
def test_where_the_sound_stays_what_it_is_labels_and_answers_hold(transform):
    before = batch()
    after = transform(before, torch_generator())
    assert after.targets is before.targets and after.answers is before.answers


def test_freq_mixstyle_of_a_batch_is_the_function():
    expected = freq_mixstyle(batch().x, 1.0, 0.5, generator=torch_generator(4))
    assert torch.equal(FreqMixStyle(1.0, 0.5)(batch(), torch_generator(4)).x, expected)


def test_mixup_moves_inputs_targets_and_answers_with_the_same_partner_and_weight():
    before = batch()
    after = Mixup(0.5)(before, torch_generator(3))
    rows = mixup(before.x, torch.arange(6), 0.5, generator=torch_generator(3))
    partner, weight = rows.partner_labels.tolist(), rows.weight.tolist()
    assert partner != list(range(6))
    for i in range(6):
        own, other = weight[i], 1 - weight[i]
        torch.testing.assert_close(after.x[i], own * before.x[i] + other * before.x[partner[i]])
        said = own * before.answers[i] + other * before.answers[partner[i]]
        torch.testing.assert_close(after.answers[i], said)
        soft = [0.0] * 4
        soft[before.targets[i]] += own
        soft[before.targets[partner[i]]] += other
        assert after.targets[i].tolist() == pytest.approx(soft)
    torch.testing.assert_close(after.targets.sum(1), torch.ones(6, dtype=torch.float64))
    assert torch.equal(after.x, rows.x)


def test_mixup_of_soft_targets_and_of_maps_mixes_them_too():
    maps = torch.randn(6, 3, 5, 2, dtype=torch.float16, generator=torch_generator(8))
    once = Mixup()(batch()._replace(answers=maps), torch_generator(3))
    rows = mixup(batch().x, torch.arange(6), generator=torch_generator(3))
    own = rows.weight.view(-1, 1, 1, 1)
    expected = own * maps.double() + (1 - own) * maps[rows.partner_labels].double()
    assert once.answers.dtype == torch.float16  # as the store holds maps
    torch.testing.assert_close(once.answers.double(), expected, rtol=5e-3, atol=5e-3)
    twice = Mixup()(once, torch_generator(5))
    torch.testing.assert_close(twice.targets.sum(1), torch.ones(6, dtype=torch.float64))
    assert (twice.targets > 0).sum() > (once.targets > 0).sum()


@pytest.mark.parametrize("shape", [(2, 10, 8), (30,)], ids=["pictures", "waveforms"])
def test_a_rolled_batch_holds_each_clip_moved_by_one_number_of_steps(shape):
    x = torch.randn(400, *shape, generator=torch_generator())
    before = batch()._replace(x=x)
    after, moved = TimeRoll(2)(before, torch_generator(6)), []
    for clip, rolled in zip(x, after.x, strict=True):
        (shift,) = (k for k in range(-2, 3) if torch.equal(rolled, torch.roll(clip, k, -1)))
        moved.append(shift)
    assert sorted(set(moved)) == [-2, -1, 0, 1, 2]
    assert np.bincount(np.array(moved) + 2).min() > 50  # of 80 expected
    assert torch.equal(TimeRoll(0)(before, torch_generator()).x, x)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_masked_batch_hides_adjacent_bands_of_each_clip_behind_their_mean(channels):
    before, widths, places = batch(600, channels), [], []
    after = FrequencyMask(share=0.3)(before, torch_generator(2))
    for clip, masked in zip(before.x, after.x, strict=True):
        hidden = [k for k in range(10) if not torch.equal(clip[:, k], masked[:, k])]
        assert hidden == list(range(hidden[0], hidden[-1] + 1)) if hidden else True
        widths.append(len(hidden))
        if hidden:
            places.append(hidden[0])
            values = [float(v) for row in clip[:, hidden].flatten(0, 1) for v in row]
            filled = masked[:, hidden]
            expected = torch.full_like(filled, sum(values) / len(values))
            torch.testing.assert_close(filled, expected)
    counts = np.bincount(widths)
    assert len(counts) == 4 and counts.min() > 100  # 0, 1, 2, 3 of 10 bands, 150 of each expected
    assert set(places) == set(range(10))


def test_a_mask_hides_something_as_often_as_asked():
    before = batch(600)
    for p, share in ((0.0, 0.0), (0.5, 0.5)):
        after = FrequencyMask(p, share=0.999)(before, torch_generator())
        hidden = (after.x != before.x).flatten(1).any(1).double().mean()
        assert abs(float(hidden) - 0.9 * share) < 0.08  # of ten widths, one is none


def test_a_gain_adds_one_number_to_all_of_a_clip_and_another_to_the_next():
    before = batch(2_000)
    added = (Gain(6.0)(before, torch_generator()).x - before.x).flatten(1)
    assert (added.amax(1) - added.amin(1)).max() < 1e-12
    limit = float(np.log(10 ** (6 / 20)))  # nepers: the logarithm of the factor of an amplitude
    per_clip = added[:, 0]
    assert -limit <= per_clip.min() < -0.98 * limit and 0.98 * limit < per_clip.max() <= limit
    assert abs(per_clip.mean()) < 0.05 * limit  # as often louder as softer
    assert float(per_clip.std()) == pytest.approx(2 * limit / 12**0.5, rel=0.05)


def test_a_gain_of_log_mel_is_a_factor_of_the_waveform():
    front_end = LogMel.tmsic()
    waves = torch.randn(2, SAMPLE_RATE, generator=torch_generator()).numpy()
    soft = front_end(waves)
    gained = Gain(6.0)(Batch(soft, torch.zeros(2, dtype=torch.int64), None, 1), torch_generator())
    factor = (gained.x - soft)[:, 0, 0, 0].exp().numpy()
    torch.testing.assert_close(front_end(waves * factor[:, None]), gained.x, atol=1e-3, rtol=0)


# ---- errors ----------------------------------------------------------------------------------

BATCH = torch.zeros(2, 1, 4, 8)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: freq_mixstyle(BATCH, 2, generator=torch_generator()), "a probability"),
        (lambda: freq_mixstyle(BATCH[0], generator=torch_generator()), "expected \\(batch, chan"),
        (lambda: freq_mixstyle(BATCH, 1, 0, generator=torch_generator()), "alpha must be positive"),
        (lambda: freq_mixstyle(BATCH.int(), generator=torch_generator()), "with x.float\\(\\)"),
        (lambda: mixup(BATCH, torch.zeros(3), generator=torch_generator()), "2 clips and 3 labels"),
        (
            lambda: soft_labels(mixup(BATCH, torch.zeros(2, 4), generator=torch_generator()), 4),
            "need classes",
        ),
        (lambda: TimeRoll(8)(batch(), torch_generator()), "a number of steps, 0 to 7"),
        (lambda: TimeRoll(-1)(batch(), torch_generator()), "a number of steps, 0 to 7"),
        (lambda: FrequencyMask(2)(batch(), torch_generator()), "a probability"),
        (lambda: FrequencyMask(share=3)(batch(), torch_generator()), "a part of the mel bands"),
        (lambda: Mixup(0)(batch(), torch_generator()), "alpha must be positive"),
        (lambda: Gain(-1), "limit is -1"),
    ],
)
def test_arguments_without_sense_are_refused_with_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
