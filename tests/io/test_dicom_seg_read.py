"""Segmentations of other writers: what they may say otherwise."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_factories import OBLIQUE, Grid
from factories import scheme
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)
from seg_factories import HEADER, changed, found_labels, found_masks, source_series, voxel_counts, written

from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry
from medseg.core.labels import CodedConcept, LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.io.dicom_seg_file import SegmentationForm, is_segmentation
from medseg.io.dicom_seg_read import read_fractional, read_segmentation
from medseg.io.dicom_seg_write import write_fractional, write_segmentation


def reordered(dataset: Dataset, order) -> None:
    """The frames of a binary segmentation in another order."""
    pixels = dataset.Rows * dataset.Columns
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    frames = bits[: len(order) * pixels].reshape(len(order), pixels)[order]
    packed = np.packbits(frames, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = [groups[index] for index in order]


def test_frames_in_any_order(tmp_path):
    path, segmentation = written(tmp_path)
    frames = pydicom.dcmread(path).NumberOfFrames
    changed(path, lambda dataset: reordered(dataset, np.random.default_rng(0).permutation(frames)))
    np.testing.assert_array_equal(read_segmentation(path).labels.array, segmentation.labels.array)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_ways_to_write_a_binary_segmentation(tmp_path, syntax):
    path, segmentation = written(tmp_path)
    changed(path, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", syntax))
    np.testing.assert_array_equal(read_segmentation(path).labels.array, segmentation.labels.array)


def by_highdicom(folder, form, values, syntax, grid=OBLIQUE, **more):
    """A segmentation of one segment or more, written by highdicom; the path."""
    source_series(folder, grid, StudyDate="", StudyTime="", AccessionNumber="", StudyID="", PatientBirthDate="")
    images = [pydicom.dcmread(path) for path in (folder / "source").iterdir()]
    images.sort(key=lambda image: np.dot(image.ImagePositionPatient, OBLIQUE.directions[:, 2]))
    numbers = more.pop("numbers", (1,))
    described = [
        highdicom.seg.SegmentDescription(number, f"no. {number}", codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
        for number in numbers
    ]
    uids = highdicom.UID(), 1, highdicom.UID(), 1
    made = highdicom.seg.Segmentation(
        images, values, form, described, *uids, "m", "m", "1", "1", transfer_syntax_uid=syntax, **more
    )
    made.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_other_compressions(tmp_path, syntax):
    grid = Grid(columns=40, rows=36, tilt_degrees=OBLIQUE.tilt_degrees)
    values = np.add.outer(np.arange(5) * 20, np.add.outer(np.arange(36) * 3, np.arange(40))) / 255
    path = by_highdicom(tmp_path, "FRACTIONAL", values, syntax, grid)
    np.testing.assert_allclose(read_fractional(path)[0].array[0], values.T, atol=1e-6)


def test_a_label_map_of_16_bits_in_big_endian(tmp_path):
    path, _ = written(tmp_path, SegmentationForm.LABELMAP)
    values = np.random.default_rng(0).choice(np.array([0, 300, 2], np.uint16), (5, 7, 9))

    def widen(dataset):
        dataset.PixelData, dataset.NumberOfFrames = values.astype(">u2").tobytes(), 5
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OW", False
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.SegmentSequence[1].SegmentNumber = 300

    dataset = pydicom.dcmread(path)
    widen(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    list(dataset.iterall())
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    stored = values[::-1].T  # highdicom writes the frames against the normal
    np.testing.assert_array_equal(read_segmentation(path).labels.array, stored)


def test_a_palette_gives_the_colours(tmp_path):
    tables = [np.array([0, red, 20, 30], np.uint8) for red in (200, 100, 50)]
    luts = [
        highdicom.PaletteColorLUT(0, table, colour)
        for table, colour in zip(tables, ("red", "green", "blue"), strict=True)
    ]
    palette = highdicom.PaletteColorLUTTransformation(*luts)
    values = np.random.default_rng(0).integers(0, 4, (5, 7, 9)).astype(np.uint8)
    path = by_highdicom(
        tmp_path,
        "LABELMAP",
        values,
        ImplicitVRLittleEndian,
        numbers=(1, 2, 3),
        palette_color_lut_transformation=palette,
    )
    read = read_segmentation(path)
    np.testing.assert_array_equal(read.labels.array, values.T)
    assert [one.colour for one in read.scheme.structures] == [(200, 100, 50), (20, 20, 20), (30, 30, 30)]


def test_a_palette_of_16_bits(tmp_path):
    path, _ = written(tmp_path, SegmentationForm.LABELMAP)

    def recolour(dataset):
        for segment in dataset.SegmentSequence:
            del segment.RecommendedDisplayCIELabValue
        for name, value in (("Red", 0x8000), ("Green", 0x4000), ("Blue", 0xFF00)):
            setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [2, 1, 16])
            dataset[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(dataset, f"{name}PaletteColorLookupTableData", np.array([value, 0], "<u2").tobytes())

    colours = [one.colour for one in read_segmentation(changed(path, recolour)).scheme.structures]
    assert colours[:2] == [(128, 64, 255), (0, 0, 0)]


def test_names_are_made_unique_and_missing_things_filled_in(tmp_path):
    path, segmentation = written(tmp_path)

    def strip(dataset):
        one, two, three = dataset.SegmentSequence
        one.SegmentLabel = two.SegmentLabel = "organ"
        three.SegmentLabel = ""
        del one.RecommendedDisplayCIELabValue
        del two.SegmentedPropertyTypeCodeSequence
        del two.SegmentedPropertyCategoryCodeSequence

    read = read_segmentation(changed(path, strip))
    assert read.scheme.names == ("organ", "organ 2", "segment 3")
    assert read.scheme.structures[0].colour == (230, 159, 0)
    assert (read.scheme.structures[1].code, read.scheme.structures[1].category) == (None, None)
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array)


def test_one_segment_may_be_named_for_all_frames_at_once(tmp_path):
    source = source_series(tmp_path)
    segmentation = found_labels(source, scheme("one"))
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    shared = pydicom.dcmread(tmp_path / "seg.dcm").SharedFunctionalGroupsSequence[0]
    assert "SegmentIdentificationSequence" in shared
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm").labels.array, segmentation.labels.array)


def test_geometry_may_be_said_for_each_frame(tmp_path):
    path, segmentation = written(tmp_path)

    def move(dataset):
        shared = dataset.SharedFunctionalGroupsSequence[0]
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.PlaneOrientationSequence = shared.PlaneOrientationSequence
            group.PixelMeasuresSequence = shared.PixelMeasuresSequence
        dataset.SharedFunctionalGroupsSequence = []

    read = read_segmentation(changed(path, move))
    assert read.geometry.is_close(segmentation.geometry)
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array)


def background_too(dataset) -> None:
    """A background among the segments of a binary segmentation, with frames of its own."""
    dataset.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeValue = "125040"
    dataset.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator = "DCM"


@pytest.mark.parametrize("form", SegmentationForm)
def test_a_background_is_no_structure(tmp_path, form):
    path, segmentation = written(tmp_path, form)
    number = 2 if form is not SegmentationForm.LABELMAP else 1
    read = read_segmentation(changed(path, background_too))
    expected = np.where(segmentation.labels.array == number, 0, segmentation.labels.array)
    np.testing.assert_array_equal(read.labels.array, expected)
    assert len(read.scheme.names) == 2


def test_a_background_among_overlapping_segments_and_probabilities(tmp_path):
    source = source_series(tmp_path)
    segmentation = found_masks(source, ("one", "two", "three"))
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    read = read_segmentation(changed(tmp_path / "seg.dcm", background_too), source.geometry)
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array[[0, 2]])
    values = np.random.default_rng(0).random((3, *source.geometry.shape))
    volume = Volume(values, source.geometry, ("one", "two", "three"))
    write_fractional(tmp_path / "seg.dcm", volume, segmentation.scheme, source, HEADER)
    probabilities, labels = read_fractional(changed(tmp_path / "seg.dcm", background_too), source.geometry)
    assert labels.names == ("one", "three")
    np.testing.assert_allclose(probabilities.array, values[[0, 2]], atol=0.002)


def test_a_structure_of_number_0_gets_the_next_value(tmp_path):
    path, segmentation = written(tmp_path, SegmentationForm.LABELMAP)

    def name_nothing(dataset):
        dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "12"

    read = read_segmentation(changed(path, name_nothing))
    assert dict(zip(read.scheme.names, read.scheme.values, strict=True))["Background"] == 4
    np.testing.assert_array_equal(read.labels.array == 4, segmentation.labels.array == 0)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_padding_is_background(tmp_path, syntax):
    path, segmentation = written(tmp_path, SegmentationForm.LABELMAP)

    def pad_with_3(dataset):
        dataset.PixelPaddingValue = 3
        del dataset.SegmentSequence[3]
        dataset.decompress()
        dataset.file_meta.TransferSyntaxUID = syntax

    read = read_segmentation(changed(path, pad_with_3))
    np.testing.assert_array_equal(read.labels.array == 0, np.isin(segmentation.labels.array, (0, 3)))


def test_other_modifiers_and_codes_are_kept_as_they_are(tmp_path):
    path, _ = written(tmp_path)

    def recode(dataset):
        kind = dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
        kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "T-62000", "SRT", "Liver"
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = "255561001", "SCT", "Medial"
        kind.SegmentedPropertyTypeModifierCodeSequence = [modifier]

    liver = read_segmentation(changed(path, recode)).scheme.structures[0]
    assert (liver.code, liver.laterality) == (CodedConcept("T-62000", "SRT", "Liver"), None)


def sparse(tmp_path, slices=9, filled=(1, 4, 8)):
    """A segmentation with frames in some slices only."""
    source = source_series(tmp_path, Grid(slices=slices, tilt_degrees=(10, 20, 30)))
    values = np.zeros(source.geometry.shape, np.uint8)
    values[2:4, 1, filled] = 1
    segmentation = Segmentation(LabelMap(values, source.geometry), scheme("one"))
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    return tmp_path / "seg.dcm", segmentation


def test_sparse_frames_span_a_regular_grid(tmp_path):
    path, segmentation = sparse(tmp_path)
    read = read_segmentation(path)
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array[:, :, 1:])
    assert read.geometry.is_close(segmentation.geometry.cropped((slice(0, 9), slice(0, 7), slice(1, 9))))


def test_without_a_said_distance_the_smallest_one_counts(tmp_path):
    path, _ = sparse(tmp_path, filled=(1, 3, 7))

    def forget(dataset):
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices

    read = read_segmentation(changed(path, forget))
    assert (read.geometry.shape[2], round(read.geometry.spacing[2], 6)) == (4, 5.0)


def test_a_wrong_distance_is_not_believed(tmp_path):
    path, _ = sparse(tmp_path, filled=(1, 3, 7))

    def lie(dataset):
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = "-99"

    assert read_segmentation(changed(path, lie)).geometry.shape[2] == 4


def test_frames_that_no_regular_grid_holds(tmp_path):
    path, _ = sparse(tmp_path, filled=(1, 3, 6))

    def forget(dataset):
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices

    with pytest.raises(GeometryError, match="unevenly spaced, from 5.00 to 7.50 mm; give the grid of its source"):
        read_segmentation(changed(path, forget))


def test_frames_of_a_part_of_the_field_are_put_where_they_are(tmp_path):
    whole = source_series(tmp_path / "whole", OBLIQUE)
    corner = OBLIQUE.origin + OBLIQUE.directions @ (np.array(OBLIQUE.spacing) * (2, 1, 1))
    part = Grid(columns=5, rows=4, slices=3, tilt_degrees=OBLIQUE.tilt_degrees, origin=tuple(corner))
    source = source_series(tmp_path / "part", part)
    segmentation = found_labels(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    read = read_segmentation(tmp_path / "seg.dcm", whole.geometry)
    np.testing.assert_array_equal(read.labels.array[2:7, 1:5, 1:4], segmentation.labels.array)
    assert voxel_counts(read) == voxel_counts(segmentation)


@pytest.mark.parametrize("form", SegmentationForm)
def test_a_grid_that_is_not_that_of_the_frames(tmp_path, form):
    path, segmentation = written(tmp_path, form)
    grid = segmentation.geometry
    beside = grid.affine.copy()
    beside[:3, 3] += 0.3 * grid.affine[:3, 2]
    with pytest.raises(GeometryError, match="lie up to 0.75 mm beside the voxels of the grid, of spacing 0.75 x 1.25"):
        read_segmentation(path, Geometry(grid.shape, beside))
    with pytest.raises(GeometryError, match="beside the voxels of the grid"):
        read_segmentation(path, grid.resampled((1, 1, 1)))
    with pytest.raises(GeometryError, match="of 1?5 frames of a segmentation lie outside the grid of shape"):
        read_segmentation(path, grid.cropped((slice(0, 9), slice(0, 7), slice(1, 5))))
    with pytest.raises(GeometryError, match="beside the voxels of the grid|askew"):
        read_segmentation(path, Geometry.from_spacing(grid.shape))


def test_only_fractional_ones_hold_probabilities(tmp_path):
    path, _ = written(tmp_path)
    with pytest.raises(LabelError, match="a binary segmentation holds no probabilities; read_segmentation reads it"):
        read_fractional(path)


def test_what_is_a_segmentation(tmp_path):
    path, _ = written(tmp_path)
    (tmp_path / "text").write_text("no DICOM here, whatever the name says")
    assert is_segmentation(path)
    assert not is_segmentation(next((tmp_path / "source").iterdir()))
    assert not is_segmentation(tmp_path / "text")


def test_more_than_255_values(tmp_path):
    source = source_series(tmp_path)
    labels = LabelScheme.from_names({"a": 70, "b": 256})
    segmentation = found_labels(source, labels)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, SegmentationForm.LABELMAP)
    read = read_segmentation(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array)
