import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg.config.training import AugmentationSection
from medseg.transforms.intensity import IntensityParams, around_one, change_intensity, sample_intensity

SHAPES = [(20, 24, 16), (30, 28, 1)]
NEVER = dict.fromkeys(("noise", "blur", "brightness", "contrast", "low_resolution", "gamma"), 0.0)


def channel(shape=(20, 24, 16), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32))


def test_the_defaults_change_nothing():
    assert torch.equal(change_intensity(channel(), IntensityParams()), channel())


def test_noise_has_its_deviation_and_follows_its_seed():
    first, again, other = (
        change_intensity(channel(), IntensityParams(noise=0.3, noise_seed=seed)) - channel() for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.std().item() == pytest.approx(0.3, rel=0.05)
    assert first.mean().item() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_equals_scipy_away_from_the_border(shape):
    ours = change_intensity(channel(shape), IntensityParams(blur=0.8))
    sigma = [0.8 if n > 1 else 0 for n in shape]
    inner = tuple(slice(5, -5) if n > 1 else slice(None) for n in shape)
    theirs = ndimage.gaussian_filter(channel(shape).numpy(), sigma, truncate=8)
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-4)


def test_blur_leaves_a_flat_image_flat():
    flat = torch.full((9, 8, 7), 3.0)
    torch.testing.assert_close(change_intensity(flat.clone(), IntensityParams(blur=1.0)), flat)


@pytest.mark.parametrize("shape", SHAPES)
def test_low_resolution_equals_torch(shape):
    ours = change_intensity(channel(shape), IntensityParams(resolution=0.6))
    small = [max(1, round(n * 0.6)) for n in shape]
    coarse = torch.nn.functional.interpolate(channel(shape)[None, None], small, mode="nearest-exact")
    theirs = torch.nn.functional.interpolate(coarse, shape, mode="trilinear")[0, 0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_slices_keep_their_resolution_and_sharpness():
    ramp = torch.arange(8.0).expand(12, 12, 8).clone()
    ramp[..., 3] = 50
    params = IntensityParams(blur=1.0, resolution=0.5)
    torch.testing.assert_close(change_intensity(ramp.clone(), params, fixed_axis=2), ramp)


def test_brightness_is_a_factor():
    torch.testing.assert_close(change_intensity(channel(), IntensityParams(brightness=1.2)), channel() * 1.2)


def test_contrast_keeps_mean_and_range():
    wider = change_intensity(channel(), IntensityParams(contrast=1.2))
    narrower = change_intensity(channel(), IntensityParams(contrast=0.8))
    assert narrower.std().item() == pytest.approx(0.8 * channel().std().item(), rel=1e-4)
    assert narrower.mean().item() == pytest.approx(channel().mean().item(), abs=1e-4)
    assert wider.min() == channel().min()
    assert wider.max() == channel().max()


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_keeps_mean_deviation_and_order(inverted):
    changed = change_intensity(channel(), IntensityParams(gamma=1.4, inverted=inverted))
    assert changed.mean().item() == pytest.approx(channel().mean().item(), abs=1e-4)
    assert changed.std().item() == pytest.approx(channel().std().item(), rel=1e-4)
    assert changed.flatten()[channel().flatten().argsort()].diff().min() > -1e-5
    # A power above one spreads the upper end; on the negative, the lower one.
    skew = ((changed - changed.mean()) ** 3).mean() - ((channel() - channel().mean()) ** 3).mean()
    assert (skew < 0) == inverted


@pytest.mark.parametrize("gamma", [0.7, 1.5])
@pytest.mark.parametrize("value", [0.0, -4.0])
def test_gamma_of_a_flat_channel_stays_flat(gamma, value):
    flat = torch.full((5, 5, 5), value)
    torch.testing.assert_close(change_intensity(flat.clone(), IntensityParams(gamma=gamma)), flat)


def test_never_means_never():
    rng = np.random.default_rng(0)
    for _ in range(20):
        params = sample_intensity(AugmentationSection(**NEVER), rng)
        assert torch.equal(change_intensity(channel(), params), channel())


@pytest.mark.parametrize(
    ("name", "field", "low", "high"),
    [
        ("noise", "noise", 0, 0.1),
        ("blur", "blur", 0.5, 1),
        ("brightness", "brightness", 0.75, 1.25),
        ("contrast", "contrast", 0.75, 1.25),
        ("low_resolution", "resolution", 0.5, 1),
        ("gamma", "gamma", 0.7, 1.5),
    ],
)
def test_each_change_is_drawn_as_often_and_as_far_as_said(name, field, low, high):
    rng = np.random.default_rng(0)
    drawn = [sample_intensity(AugmentationSection(**{**NEVER, name: 0.5}), rng) for _ in range(600)]
    values = np.array([getattr(params, field) for params in drawn])
    changed = values[values != getattr(IntensityParams(), field)]
    assert len(changed) / 600 == pytest.approx(0.5, abs=0.07)
    assert low <= changed.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < changed.max() <= high
    assert np.mean([params.inverted for params in drawn]) == pytest.approx(1 / 3, abs=0.06)


def test_around_one():
    rng = np.random.default_rng(0)
    values = np.array([around_one((0.5, 4.0), rng) for _ in range(500)])
    assert (values < 1).mean() == pytest.approx(0.5, abs=0.07)
    assert around_one((1.2, 1.2), rng) == pytest.approx(1.2)
