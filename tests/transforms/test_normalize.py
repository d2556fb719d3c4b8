import numpy as np
import pytest

from medseg.config.sections import ChannelSection, Intensity
from medseg.transforms.normalize import normalize

ZSCORE = ChannelSection(name="T1")
CT = ChannelSection(name="CT", intensity=Intensity.CT, clip=(-100, 200), mean=50, std=25)
UNIT = ChannelSection(name="red", intensity=Intensity.UNIT)


def voxels(dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 250, (6, 7, 8)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2"])
def test_zscore_of_any_dtype(dtype):
    source = voxels(dtype)
    source.flags.writeable = False
    values = normalize(source, ZSCORE)
    exact = source.astype(np.float64)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, (exact - exact.mean()) / exact.std(), atol=1e-5)


@pytest.mark.parametrize("value", [0, 7, 30000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_constant_image_becomes_zero(value, dtype):
    np.testing.assert_array_equal(normalize(np.full((3, 4, 5), value, dtype), ZSCORE), 0)


def test_a_constant_fraction_does_not_explode():
    assert np.abs(normalize(np.full((30, 40, 50), 0.1), ZSCORE)).max() < 0.1


def test_small_physical_units_are_not_taken_for_constant():
    assert normalize(voxels(np.float64) * 1e-12, ZSCORE).std() == pytest.approx(1, abs=1e-4)


def test_ct_is_clipped_then_scaled():
    values = normalize(np.array([-1000, -100, 50, 100, 3000], np.int16).reshape(5, 1, 1), CT)
    np.testing.assert_allclose(values.ravel(), [-6, -6, 0, 2, 6])


def test_unit_divides_by_255():
    np.testing.assert_allclose(normalize(np.array([[[0, 51, 255]]], np.uint8), UNIT).ravel(), [0, 0.2, 1])


def test_values_that_are_not_finite_take_the_nearest_end():
    source = np.array([np.nan, 51, 204, np.inf, -np.inf]).reshape(5, 1, 1)
    np.testing.assert_allclose(normalize(source, UNIT).ravel(), [0.2, 0.2, 0.8, 0.8, 0.2], rtol=1e-6)


def test_double_precision_beyond_single_is_cut_off():
    values = normalize(np.array([0, 255, 1e300]).reshape(3, 1, 1), UNIT)
    np.testing.assert_allclose(values.ravel(), [0, 1, 1])


def test_nothing_finite_becomes_zero():
    np.testing.assert_array_equal(normalize(np.full((2, 2, 2), np.nan), ZSCORE), 0)


def test_the_source_stays_as_it_was():
    source = voxels(np.float32)
    before = source.copy()
    for section in (ZSCORE, CT, UNIT):
        normalize(source, section)
    np.testing.assert_array_equal(source, before)
