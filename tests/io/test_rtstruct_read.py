"""Contours of structure sets as labels."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from contour_objects import grid_of, in_patient, square, structure_set, write_set
from dicom_factories import Grid, write_series
from factories import ALL_ORIENTATIONS, geometry
from pydicom.dataset import Dataset

from medseg.core.errors import GeometryError, LabelError, ReadError
from medseg.core.labels import CodedConcept, Laterality, palette_colour
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io import rtstruct_read
from medseg.io.rtstruct_read import is_structure_set, read_structure_set

GRID = grid_of(Grid())


def read(tmp_path, rois, grid=GRID, names=None):
    return read_structure_set(write_set(tmp_path / "rt.dcm", structure_set(rois)), grid, names)


def only_mask(tmp_path, contours, grid=GRID) -> np.ndarray:
    ((_, mask),) = read(tmp_path, {"one": contours}, grid).masks()
    return mask


def box(*slices: slice) -> np.ndarray:
    mask = np.zeros(GRID.shape, bool)
    mask[slices] = True
    return mask


def closed(*arguments, **options):
    return ("CLOSED_PLANAR", square(*arguments, **options))


def test_what_is_a_structure_set(tmp_path):
    write_series(tmp_path / "images", Grid(slices=1))
    (tmp_path / "text").write_text("a note of some length that is no DICOM file")
    assert is_structure_set(write_set(tmp_path / "rt.dcm", structure_set({"one": []})))
    assert not any(is_structure_set(path) for path in (tmp_path / "text", *(tmp_path / "images").iterdir()))
    for path in (tmp_path / "text", *(tmp_path / "images").iterdir()):
        with pytest.raises(ReadError, match="a file is no DICOM RT structure set"):
            read_structure_set(path, GRID)


def test_a_contour_fills_the_pixels_inside_it(tmp_path):
    np.testing.assert_array_equal(only_mask(tmp_path, [closed(k=3)]), box(slice(1, 5), slice(1, 4), slice(3, 4)))


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_inside_another_is_a_hole(tmp_path, kind):
    contours = [(kind, square((1, 1), (7, 5), 2)), (kind, square((2, 2), (4, 4), 2))]
    expected = box(slice(1, 8), slice(1, 6), slice(2, 3)) & ~box(slice(2, 5), slice(2, 5))
    np.testing.assert_array_equal(only_mask(tmp_path, contours), expected)


def test_a_hole_that_is_a_hair_off_its_plane_stays_one(tmp_path):
    contours = [closed((1, 1), (7, 5), 2), closed((2, 2), (4, 4), 2.03)]
    assert only_mask(tmp_path, contours).sum() == 7 * 5 - 9


def test_planes_finer_than_the_grid_are_united(tmp_path):
    contours = [closed((1, 1), (3, 3), 1.8), closed((1, 1), (5, 2), 2), closed((6, 5), (6, 5), 2.4)]
    expected = box(slice(1, 4), slice(1, 4), 2) | box(slice(1, 6), slice(1, 3), 2) | box(6, 5, 2)
    np.testing.assert_array_equal(only_mask(tmp_path, contours), expected)


def test_slices_between_coarser_planes_stay_empty(tmp_path):
    mask = only_mask(tmp_path, [closed(k=0), closed(k=2), closed(k=4)])
    assert mask.any(axis=(0, 1)).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(("k", "slice_index"), [(1.49, 1), (1.5, 2), (1.51, 2), (-0.49, 0), (4.49, 4)])
def test_a_plane_belongs_to_the_nearest_slice(tmp_path, k, slice_index):
    assert only_mask(tmp_path, [closed(k=k)]).any(axis=(0, 1)).nonzero()[0].tolist() == [slice_index]


def test_points_are_single_voxels(tmp_path):
    contours = [("POINT", in_patient([at])) for at in ((2, 3, 1), (8.4, 0, 4.3), (2.2, 3.3, 0.8), (90, 0, 0))]
    np.testing.assert_array_equal(only_mask(tmp_path, contours), box(2, 3, 1) | box(8, 0, 4))


def test_open_contours_fill_nothing_and_are_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        mask = only_mask(tmp_path, [("OPEN_PLANAR", square()), ("OPEN_NONPLANAR", square()), closed()])
    assert mask.sum() == 12
    assert caplog.messages == ["2 contours are neither closed nor points and fill nothing; they are left out"]


@pytest.mark.parametrize("contours", [[], [("CLOSED_PLANAR", np.empty((0, 3)))], [("OPEN_PLANAR", square())]])
def test_a_structure_without_contours_is_empty(tmp_path, contours):
    segmentation = read(tmp_path, {"none": contours, "one": [closed()]})
    assert {structure.name: int(mask.sum()) for structure, mask in segmentation.masks()} == {"none": 0, "one": 12}


def test_structures_apart_are_a_label_map_with_roi_numbers(tmp_path):
    segmentation = read(tmp_path, {"a": [closed()], "b": [closed((6, 1), (7, 2))]})
    assert isinstance(segmentation.labels, LabelMap)
    assert segmentation.labels.array.dtype == np.uint8
    assert segmentation.scheme.values == (1, 2)
    assert np.bincount(segmentation.labels.array.ravel()).tolist() == [315 - 16, 12, 4]


def test_structures_that_overlap_are_masks(tmp_path):
    segmentation = read(tmp_path, {"a": [closed()], "b": [closed((2, 2), (7, 5))]})
    assert isinstance(segmentation.labels, MultiLabelMap)
    assert segmentation.scheme.overlapping
    assert [int(mask.sum()) for _, mask in segmentation.masks()] == [12, 24]


def test_too_many_masks_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rtstruct_read, "LARGEST_DECODED", 600)
    with pytest.raises(ReadError, match="2 overlapping structures on a grid of 9x7x5 voxels are more than the limit"):
        read(tmp_path, {"a": [closed()], "b": [closed()]})


@pytest.mark.parametrize(("numbers", "values"), [((7, 300), (7, 300)), ((0, 5), (1, 2)), ((3, 2**16), (1, 2))])
def test_values_are_roi_numbers_where_these_can_be(tmp_path, numbers, values):
    dataset = structure_set({"a": [closed()], "b": [closed((6, 1), (7, 2))]})
    for index, number in enumerate(numbers):
        dataset.StructureSetROISequence[index].ROINumber = number
        dataset.ROIContourSequence[index].ReferencedROINumber = number
    segmentation = read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID)
    assert segmentation.scheme.values == values
    assert [int(mask.sum()) for _, mask in segmentation.masks()] == [12, 4]


def test_names_are_made_unique_and_never_empty(tmp_path):
    dataset = structure_set({"a": [], "b": [], "c": [], "d": [], "é" * 80: []})
    for index, name in enumerate(["PTV", "PTV", "PTV 2", ""]):
        dataset.StructureSetROISequence[index].ROIName = name
    dataset.SpecificCharacterSet = "ISO_IR 192"
    segmentation = read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID)
    assert segmentation.scheme.names == ("PTV", "PTV 2", "PTV 2 2", "structure 4", "é" * 64)


def test_only_the_named_structures_are_read(tmp_path):
    rois = {"a": [closed()], "b": [closed()], "far": [closed((900, 900), (910, 910))]}
    segmentation = read(tmp_path, rois, names=("b",))
    assert segmentation.scheme.names == ("b",)
    assert segmentation.scheme.values == (2,)
    with pytest.raises(LabelError, match="no structure 'x' among the 3 of the structure set"):
        read(tmp_path, rois, names=["x", "a"])


def test_colours_codes_and_sides_are_kept(tmp_path):
    dataset = structure_set({"kidney": [closed()], "b": [closed((6, 1), (7, 2))]})
    dataset.ROIContourSequence[0].ROIDisplayColor = [1, 20, 255]
    dataset.ROIContourSequence[1].ROIDisplayColor = [1, 20, 256]
    code, side, category, observed = code_item("64033007", "Kidney"), code_item("7771000", "Left"), Dataset(), Dataset()
    category = code_item("123037004", "Anatomical Structure")
    code.SegmentedPropertyTypeModifierCodeSequence = [side]
    observed.ReferencedROINumber, observed.RTROIIdentificationCodeSequence = 1, [code]
    observed.SegmentedPropertyCategoryCodeSequence = [category]
    dataset.RTROIObservationsSequence = [observed]
    kidney, other = read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID).scheme.structures
    assert kidney.colour == (1, 20, 255)
    assert other.colour == palette_colour(1)
    assert kidney.code == CodedConcept("64033007", "SCT", "Kidney")
    assert kidney.category == CodedConcept("123037004", "SCT", "Anatomical Structure")
    assert kidney.laterality is Laterality.LEFT
    assert (other.code, other.category, other.laterality) == (None, None, None)


def code_item(value, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def test_contours_of_one_structure_in_two_places_are_one(tmp_path):
    dataset = structure_set({"a": [closed()], "b": [closed((6, 1), (7, 2))]})
    dataset.ROIContourSequence[1].ReferencedROINumber = 1
    segmentation = read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID)
    assert [int(mask.sum()) for _, mask in segmentation.masks()] == [16, 0]


def test_contours_of_undefined_structures_are_counted(tmp_path, caplog):
    dataset = structure_set({"a": [closed()], "b": [closed()]})
    del dataset.StructureSetROISequence[1]
    with caplog.at_level(logging.WARNING):
        assert read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID).scheme.names == ("a",)
    assert caplog.messages == ["contours of 1 undefined structures are left out"]


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_array_axes_may_be_in_any_order(tmp_path, codes):
    drawn = geometry(shape=(9, 7, 5), codes="LPS", oblique_degrees=20)
    contours = [closed((1, 1), (4, 3), 1, grid=drawn), closed((2, 2), (7, 2), 2, grid=drawn)]
    contours.append(("POINT", in_patient([(8, 6, 4)], drawn)))
    expected = LabelMap(only_mask(tmp_path, contours, drawn).astype(np.uint8), drawn)
    assert expected.array.sum() == 12 + 6 + 1
    mask = only_mask(tmp_path, contours, drawn.reoriented(codes))
    np.testing.assert_array_equal(mask, expected.reoriented(codes).array)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_may_lie_across_any_axis(tmp_path, axis):
    corners = np.insert(np.array([(0.5, 0.5), (3.5, 0.5), (3.5, 4.5), (0.5, 4.5)]), axis, 2, axis=1)
    expected = np.zeros(GRID.shape, bool)
    expected[tuple(np.insert(np.array([slice(1, 4), slice(1, 5)], dtype=object), axis, slice(2, 3)))] = True
    np.testing.assert_array_equal(only_mask(tmp_path, [("CLOSED_PLANAR", in_patient(corners))]), expected)


def test_tilted_planes_are_refused(tmp_path):
    corners = [(0, 0, 1), (8, 0, 3), (8, 6, 3), (0, 6, 1)]
    with pytest.raises(
        GeometryError, match=r"tilted against the slices by about 2\d\.\d degrees \(5\.00 mm over 9\.6 mm"
    ):
        only_mask(tmp_path, [closed(), ("CLOSED_PLANAR", in_patient(corners))])


def test_what_lies_outside_is_cut_and_all_outside_is_refused(tmp_path):
    far = [closed(k=9), closed((20, 1), (25, 3), 2), ("POINT", in_patient([(-4, 0, 0)]))]
    np.testing.assert_array_equal(
        only_mask(tmp_path, [*far, closed((-5, -5), (2, 2))]), box(slice(0, 3), slice(0, 3), slice(0, 1))
    )
    with pytest.raises(
        GeometryError,
        match=r"structure number 1: all 3 contours of a structure lie outside the grid, the nearest by 2\.6 mm",
    ):
        only_mask(tmp_path, far)
