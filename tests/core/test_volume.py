from __future__ import annotations

import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, label_map, volume

from medseg.core.case import Case, CaseId
from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, MultiLabelMap, Volume


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_reorienting_there_and_back_changes_nothing(codes):
    original = volume(channels=("a", "b"))
    back = original.reoriented(codes).reoriented("RAS")
    np.testing.assert_array_equal(back.array, original.array)
    assert back.geometry.is_close(original.geometry)


def test_a_channel_is_a_volume():
    both = volume(channels=("T1", "T2"))
    np.testing.assert_array_equal(both.channel("T2").array[0], both.array[1])
    with pytest.raises(GeometryError, match="no channel 'FLAIR'; there are 'T1', 'T2'"):
        both.channel("FLAIR")


def test_voxels_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        volume().array[0, 0, 0, 0] = 1


def test_shape_and_grid_have_to_agree():
    with pytest.raises(GeometryError, match=r"shape \(1, 2, 2, 2\)"):
        Volume(np.zeros((1, 2, 2, 2)), geometry())
    with pytest.raises(GeometryError, match="its grid says"):
        LabelMap(np.zeros((2, 2, 2), np.uint8), geometry())
    with pytest.raises(GeometryError, match="masks have shape"):
        MultiLabelMap(np.zeros((2, 7, 8, 9), bool), geometry(), ("one",))


def test_label_maps_hold_integers_and_masks_hold_truth():
    grid = Geometry.from_spacing((2, 2, 2))
    with pytest.raises(LabelError, match="holds integers, got float32"):
        LabelMap(np.zeros((2, 2, 2), np.float32), grid)
    with pytest.raises(LabelError, match="masks are bool, got uint8"):
        MultiLabelMap(np.zeros((1, 2, 2, 2), np.uint8), grid, ("one",))


def test_names_have_to_differ():
    grid = Geometry.from_spacing((2, 2, 2))
    with pytest.raises(GeometryError, match="channel names must differ"):
        Volume(np.zeros((2, 2, 2, 2)), grid, ("a", "a"))
    with pytest.raises(LabelError, match="structure names must differ"):
        MultiLabelMap(np.zeros((2, 2, 2, 2), bool), grid, ("a", "a"))


def test_a_case_needs_its_label_on_the_grid_of_its_image():
    grid = geometry()
    moved = Geometry(grid.shape, grid.affine + np.array([[0, 0, 0, 2.0], *np.zeros((3, 4))]))
    with pytest.raises(GeometryError, match=r"case c7: image and label lie on different grids: .* 2 mm apart"):
        Case(CaseId("c7"), volume(grid), label_map(moved))
    with pytest.raises(GeometryError, match="shapes"):
        Case(CaseId("c7"), volume(grid), label_map(geometry(shape=(3, 3, 3))))
