import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medseg.core.errors import GeometryError
from medseg.metrics.boundary import boundary_iou, rim
from medseg.metrics.surface import SLACK

PIXELS = (1.0, 1.0, 1.0)


def test_metrics_reloaded_figure_2_12():
    reference, predicted = np.zeros((22, 22, 1), bool), np.zeros((22, 22, 1), bool)
    reference[2:21, 2:21] = predicted[3:21, 2:21] = True
    assert boundary_iou(predicted, reference, PIXELS, 1) == pytest.approx(0.595505618, abs=1e-9)
    assert boundary_iou(predicted, reference, PIXELS, 2) == pytest.approx(0.774834437, abs=1e-9)


def test_the_width_is_in_millimetres():
    block = np.zeros((20, 20, 20), bool)
    block[4:16, 4:16, 4:16] = True
    thin = rim(block, (1.0, 1.0, 3.0), 1.0)
    assert thin[4:16, 4:16, 10].sum() == 12**2 - 10**2
    assert not thin[8, 8].any()
    assert rim(block, (1.0, 1.0, 3.0), 3.0)[8, 8].sum() == 2


def test_the_edge_of_the_image_is_outside():
    assert rim(np.ones((5, 5, 5), bool), PIXELS, 1.0).sum() == 5**3 - 3**3


def by_distance_transform(mask, spacing, width):
    """The definition: the distance of each voxel to the nearest one outside."""
    inside = np.pad(mask, [(int(n > 1),) * 2 for n in mask.shape])
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    return mask & (depth <= width * SLACK)[tuple(slice(int(n > 1), int(n > 1) + n) for n in mask.shape)]


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9)),
    st.tuples(*[st.floats(0.3, 4)] * 3), st.floats(0.1, 9),
)  # fmt: skip
def test_a_rim_is_what_the_distance_transform_says(mask, spacing, width):
    if max(mask.shape) > 1:
        assert np.array_equal(rim(mask, spacing, width), by_distance_transform(mask, spacing, width))


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0, 3.0, 40.0, 1e6])
def test_narrow_and_wide_rims_of_a_large_mask(width):
    mask = np.indices((40, 40, 30)).sum(axis=0) % 29 > 3
    spacing = (0.8, 0.9, 2.0)
    assert np.array_equal(rim(mask, spacing, width), by_distance_transform(mask, spacing, width))


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (5.0, 3.0, 9.0)])
def test_a_rim_is_one_voxel_deep_where_voxels_are_larger(spacing):
    one, other = np.zeros((2, 12, 12, 12), bool)
    one[2:10, 2:10, 2:10] = other[3:11, 2:10, 2:10] = True
    assert boundary_iou(one, other, spacing, 2.0) == boundary_iou(one, other, spacing, min(spacing))
    assert 0 < boundary_iou(one, other, spacing, 2.0) < 1


def test_missing_sides():
    one, none = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    assert np.isnan(boundary_iou(none, none, PIXELS, 1))
    assert boundary_iou(one, none, PIXELS, 1) == 0.0
    assert boundary_iou(np.ones((1, 1, 1), bool), np.ones((1, 1, 1), bool), PIXELS, 1) == 1.0


def test_other_shapes_are_refused():
    with pytest.raises(GeometryError, match="different shapes"):
        boundary_iou(np.ones((3, 3, 3), bool), np.ones((3, 3, 4), bool), PIXELS, 1)


def test_rims_do_not_hang_on_the_last_bits_of_the_spacing():
    box = np.zeros((16, 16, 16), bool)
    box[2:14, 2:14, 2:14] = True
    for side in (np.nextafter(1, 0), 1.0, 1.00000002):
        assert rim(box, (side, side, side), 2.0).sum() == 12**3 - 8**3
        assert rim(box[:, :, :9], (side, side, side), 2.0).sum() == 12 * 12 * 7 - 8 * 8 * 3
