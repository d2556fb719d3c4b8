import numpy as np
import pytest
from factories import ball
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medseg.metrics.nearest import nearest_distances

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0), (0.05, 5.0, 5.0)]


def by_distance_transform(points, targets, spacing):
    return ndimage.distance_transform_edt(~targets, sampling=spacing)[points]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_close_and_distant_voxels_equal_scipys_distance_transform(spacing):
    points, targets = ball(centre=(14, 12, 17), radius=9), ball(centre=(16, 13, 12), radius=3)
    points[0, 0, 0] = points[31, 31, 31] = True  # too far to be found by looking around
    expected = by_distance_transform(points, targets, spacing)
    assert nearest_distances(points, targets, spacing) == pytest.approx(expected, rel=1e-12)


PAIRS = hnp.array_shapes(min_dims=1, max_dims=3, max_side=7).flatmap(lambda shape: hnp.arrays(np.bool_, (2, *shape)))


@given(PAIRS, st.tuples(*[st.floats(0.1, 5)] * 3))
def test_any_masks_of_one_to_three_axes(pair, sides):
    points, targets = pair
    spacing = sides[: points.ndim]
    found = nearest_distances(points, targets, spacing)
    if targets.any():
        assert found == pytest.approx(by_distance_transform(points, targets, spacing), rel=1e-12)
    else:
        assert found.shape == (points.sum(),)
        assert np.isinf(found).all()


def test_voxels_far_from_all_targets_are_found_in_two_dimensions():
    points, targets = np.zeros((2, 200, 300, 1), bool)
    points[0, 0], targets[190, 280:290] = True, True
    assert nearest_distances(points, targets, (2.0, 0.5, 9.0)) == pytest.approx([np.hypot(380, 140)])


def test_a_distance_of_whole_voxels_is_exact():
    points, targets = np.zeros((2, 1, 1, 9), bool)
    points[..., 0], targets[..., 3] = True, True
    assert nearest_distances(points, targets, (1.0, 1.0, 1.1))[0] == 3 * 1.1
