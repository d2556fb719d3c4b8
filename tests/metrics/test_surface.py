import numpy as np
import pytest
from factories import ball
from scipy import ndimage

from medseg.core.errors import GeometryError
from medseg.metrics.surface import border, hd95, nsd, surface_distances


def brute_force(one, other, spacing):
    """Distances by scipy's exact distance transform over the whole volume, borders by its binary erosion."""
    cross = ndimage.generate_binary_structure(3, 1)
    borders = [mask & ~ndimage.binary_erosion(mask, cross) for mask in (one, other)]
    return ndimage.distance_transform_edt(~borders[1], spacing)[borders[0]]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0)])
def test_distances_equal_scipys_distance_transform(spacing):
    predicted, reference = ball(centre=(14, 12, 17), radius=9), ball(centre=(16, 13, 12), radius=11)
    predicted[0, 0, 0] = True  # far away, in the corner of the volume
    distances = surface_distances(predicted, reference, spacing)
    expected = brute_force(predicted, reference, spacing), brute_force(reference, predicted, spacing)
    assert np.sort(distances.to_reference) == pytest.approx(np.sort(expected[0]))
    assert np.sort(distances.to_predicted) == pytest.approx(np.sort(expected[1]))


def test_the_border_of_the_volume_is_surface():
    block = np.ones((4, 4, 4), bool)
    assert border(block).sum() == 64 - 8


def test_a_flat_axis_is_no_direction():
    square = np.zeros((9, 9, 1), bool)
    square[2:7, 2:7] = True
    assert border(square).sum() == 16
    assert (border(square)[..., 0] == (square ^ ndimage.binary_erosion(square[..., 0])[..., None])[..., 0]).all()


def test_one_slice_of_a_volume_is_surface_everywhere():
    mask = np.zeros((9, 9, 5), bool)
    mask[2:7, 2:7, 2] = True
    assert border(mask).sum() == 25
    mask[..., 2], mask[2:7, 2:7, 4] = False, True  # also at the volume's border, where the crop is one voxel thin
    other = np.roll(mask, 1, axis=0)
    distances = surface_distances(mask, other, (1.0, 1.0, 1.0))
    assert distances.to_reference.size == 25


def test_one_empty_side_is_infinitely_far():
    mask, empty = ball(), np.zeros((32, 32, 32), bool)
    distances = surface_distances(mask, empty, (1.0, 1.0, 1.0))
    assert np.isinf(distances.to_reference).all()
    assert distances.to_predicted.size == 0
    assert surface_distances(empty, empty, (1.0, 1.0, 1.0)).to_reference.size == 0


def test_shifted_box_is_known():
    box = np.zeros((20, 20, 20), bool)
    box[5:10, 5:10, 5:10] = True
    distances = surface_distances(np.roll(box, 2, axis=2), box, (1.0, 1.0, 2.5))
    assert hd95(distances) == 5
    assert nsd(distances, 4.9) < 1
    assert nsd(distances, 5.0) == 1


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(GeometryError, match=r"different shapes: \(2, 2, 2\) and \(2, 2, 3\)"):
        surface_distances(np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("side", [1.00000002, 0.8, 0.6])
def test_a_shift_of_one_voxel_is_within_a_tolerance_of_one_voxel(side):
    """Grids in 32 bits have sides of 1.00000002 mm, and sums of decimals are off by a bit."""
    box = np.zeros((14, 14, 14), bool)
    box[2:8, 2:8, 2:8] = True
    distances = surface_distances(box, np.roll(box, 3, axis=0), (side, side, side))
    assert nsd(distances, 3 * round(side, 1)) == 1
    assert nsd(distances, 2.9 * side) < 1
