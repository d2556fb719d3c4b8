import numpy as np
import pytest
from factories import geometry, label_map, scheme, volume

from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.review.structures import is_in_hu, largest_slices, window_of

SCHEME = scheme("liver", "spleen", "lung")


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SAL"])
def test_the_largest_slice_is_numbered_from_the_feet_whatever_the_axes(codes):
    array = np.zeros((6, 7, 8), np.uint8)
    array[:2, :2, 1], array[:4, :4, 5], array[0, 0, 7] = 1, 1, 2
    labels = LabelMap(array, geometry((6, 7, 8), codes="LPS")).reoriented(codes)
    assert largest_slices(Segmentation(labels, SCHEME)) == {"liver": 5, "spleen": 7, "lung": None}


def test_masks_that_overlap_give_the_same_as_a_label_map():
    labels = label_map(values=(0, 1, 2, 3))
    masks = np.stack([labels.array == value for value in SCHEME.values])
    overlapping = MultiLabelMap(masks, labels.geometry, SCHEME.names)
    wanted = largest_slices(Segmentation(labels, SCHEME))
    assert largest_slices(Segmentation(overlapping, LabelScheme(SCHEME.structures, overlapping=True))) == wanted


def test_values_beyond_the_scheme_do_not_count():
    labels = label_map(values=(0, 1, 200))
    assert largest_slices(Segmentation(labels, SCHEME))["spleen"] is None


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("Liver", "Liver"),
        ("lung_upper_lobe_left", "Lung"),
        ("vertebrae_L1", "Bone"),
        ("brain tumour", "Brain"),
        ("lateral ventricle", "Brain"),
        ("left ventricle of the heart", ""),
        ("spleen", ""),
    ],
)
def test_some_structures_have_a_window(name, window):
    assert window_of(name) == window


def test_values_are_hounsfield_units_if_the_channel_says_so_or_there_is_air():
    grid = geometry()
    bright = np.full((1, *grid.shape), 100, np.int16)
    assert is_in_hu(Volume(bright, grid, ("CT",)))
    assert not is_in_hu(Volume(bright, grid, ("T1",)))
    assert is_in_hu(volume())
