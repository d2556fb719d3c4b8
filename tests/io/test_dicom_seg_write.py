"""Voxels of written segmentations, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_factories import (
    Grid,
)
from factories import scheme
from seg_factories import HEADER, changed, found_labels, found_masks, source_series, voxel_counts, written

from medseg.core.errors import GeometryError, LabelError, OutputError, StudyError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io import dicom_seg_write
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_read import read_fractional, read_segmentation
from medseg.io.dicom_seg_write import write_fractional, write_segmentation


@pytest.mark.parametrize("form", SegmentationForm)
def test_frames_without_a_structure_are_left_out_unless_wanted(tmp_path, form):
    source = source_series(tmp_path)
    values = np.zeros(source.geometry.shape, np.uint8)
    values[2:5, 3, 1], values[2, 2, 3] = 1, 2
    segmentation = Segmentation(LabelMap(values, source.geometry), scheme())
    frames = []
    for all_frames in (False, True):
        write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form, all_frames=all_frames)
        frames.append(pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames)
        np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", source.geometry).labels.array, values)
    assert frames == [2, 5 if form is SegmentationForm.LABELMAP else 10]


@pytest.mark.parametrize("form", SegmentationForm)
def test_where_nothing_was_found_all_frames_say_so(tmp_path, form):
    source = source_series(tmp_path)
    segmentation = Segmentation(LabelMap(np.zeros(source.geometry.shape, np.uint8), source.geometry), scheme())
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
    read = read_segmentation(tmp_path / "seg.dcm")
    assert read.geometry.is_close(source.geometry)
    assert (voxel_counts(read), len(read.scheme.names)) == ({"one": 0, "two": 0}, 2)


def test_values_are_kept_in_a_label_map_and_counted_anew_in_binary(tmp_path):
    source = source_series(tmp_path)
    labels = LabelScheme.from_names({"far": 4000, "near": 7}, ignore=9)
    values = np.random.default_rng(0).choice(np.array([0, 4000, 7, 9], np.uint16), source.geometry.shape)
    segmentation = Segmentation(LabelMap(values, source.geometry), labels)
    read = {}
    for form in (SegmentationForm.LABELMAP, SegmentationForm.BINARY):
        write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
        read[form] = read_segmentation(tmp_path / "seg.dcm")
        assert voxel_counts(read[form]) == voxel_counts(segmentation)
    assert dict(zip(read["labelmap"].scheme.names, read["labelmap"].scheme.values, strict=True)) == {
        "near": 7,
        "far": 4000,
    }
    assert read["labelmap"].labels.array.dtype == np.uint16
    assert read["binary"].scheme.values == (1, 2)


@pytest.mark.parametrize("form", [SegmentationForm.BINARY, SegmentationForm.FRACTIONAL])
def test_structures_that_overlap(tmp_path, form):
    source = source_series(tmp_path)
    segmentation = found_masks(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
    read = read_segmentation(tmp_path / "seg.dcm", source.geometry)
    assert isinstance(read.labels, MultiLabelMap)
    assert read.scheme.overlapping
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array)


def test_a_label_map_cannot_hold_structures_that_overlap(tmp_path):
    source = source_series(tmp_path)
    with pytest.raises(LabelError, match="structures overlap, which a label map cannot hold; write the segmentation"):
        write_segmentation(tmp_path / "seg.dcm", found_masks(source), source, HEADER, SegmentationForm.LABELMAP)


@pytest.mark.parametrize("form", SegmentationForm)
def test_masks_that_do_not_overlap_fit_every_form(tmp_path, form):
    source = source_series(tmp_path)
    labels = found_labels(source)
    masks = np.stack([mask for _, mask in labels.masks()])
    segmentation = Segmentation(MultiLabelMap(masks, source.geometry, labels.scheme.names), labels.scheme)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
    read = read_segmentation(tmp_path / "seg.dcm", source.geometry)
    np.testing.assert_array_equal(read.labels.array, labels.labels.array)


def test_regions_are_written_as_segments(tmp_path):
    source = source_series(tmp_path)
    regions = (Region("whole", ("core", "rim")), Region("core", ("core",)))
    labels = LabelScheme(scheme("rim", "core").structures, regions)
    segmentation = found_labels(source, labels)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    read = read_segmentation(tmp_path / "seg.dcm")
    assert voxel_counts(read) == voxel_counts(segmentation)
    assert read.scheme.names == ("whole", "core")


def test_a_label_map_in_other_axes_is_turned_to_the_source(tmp_path):
    source = source_series(tmp_path)
    segmentation = found_labels(source)
    turned = Segmentation(segmentation.labels.reoriented("SAL"), segmentation.scheme)
    write_segmentation(tmp_path / "seg.dcm", turned, source, HEADER)
    read = read_segmentation(tmp_path / "seg.dcm", source.geometry)
    np.testing.assert_array_equal(read.labels.array, segmentation.labels.array)


def test_probabilities_come_back_within_a_step(tmp_path):
    source = source_series(tmp_path)
    values = np.random.default_rng(0).random((2, *source.geometry.shape)).astype(np.float32)
    volume = Volume(values, source.geometry, ("two", "one"))
    write_fractional(tmp_path / "seg.dcm", volume, scheme(), source, HEADER)
    read, labels = read_fractional(tmp_path / "seg.dcm", source.geometry)
    assert (read.channels, labels.names) == (("one", "two"), ("one", "two"))
    assert np.abs(read.array[::-1] - values).max() <= 0.5 / 255 + 1e-6
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (dataset.SegmentationFractionalType, dataset.MaximumFractionalValue) == ("PROBABILITY", 255)


def test_probabilities_of_nothing(tmp_path):
    source = source_series(tmp_path)
    volume = Volume(np.zeros((2, *source.geometry.shape), np.float16), source.geometry, ("one", "two"))
    write_fractional(tmp_path / "seg.dcm", volume, scheme(), source, HEADER, all_frames=True)
    read, _ = read_fractional(tmp_path / "seg.dcm")
    assert read.geometry.is_close(source.geometry)
    assert not read.array.any()


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1), (0, 1.5), (0, np.nan)])
def test_values_that_are_no_probabilities(tmp_path, low, high):
    source = source_series(tmp_path)
    values = np.full((2, *source.geometry.shape), low, np.float32)
    values[1] = high
    with pytest.raises(LabelError, match="they have to be in"):
        write_fractional(tmp_path / "a.dcm", Volume(values, source.geometry, ("one", "two")), scheme(), source, HEADER)


def test_channels_have_to_be_the_targets(tmp_path):
    source = source_series(tmp_path)
    volume = Volume(np.zeros((1, *source.geometry.shape)), source.geometry, ("liver",))
    with pytest.raises(LabelError, match="probabilities of liver for one, two"):
        write_fractional(tmp_path / "seg.dcm", volume, scheme(), source, HEADER)


def shifted(geometry: Geometry, voxels_: float) -> Geometry:
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] * voxels_
    return Geometry(geometry.shape, affine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda grid: shifted(grid, 0.5), "labels lie up to 0.37 mm beside the voxels of their source series"),
        (lambda grid: grid.with_shape((9, 7, 10)), r"labels of shape \(9, 7, 10\) for a series of shape \(9, 7, 5\)"),
        (lambda grid: Geometry(grid.shape, [[1, 0.99, 0, 0], [0, 0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "askew"),
    ],
)
def test_labels_on_another_grid_are_refused(tmp_path, change, message):
    source = source_series(tmp_path)
    grid = change(source.geometry)
    segmentation = Segmentation(LabelMap(np.zeros(grid.shape, np.uint8), grid), scheme())
    with pytest.raises(GeometryError, match=message):
        write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)


def test_a_value_that_nobody_named_is_refused(tmp_path):
    source = source_series(tmp_path)
    segmentation = found_labels(source)
    with pytest.raises(LabelError, match=r"label values \[3\] are not in the scheme"):
        write_segmentation(tmp_path / "a.dcm", replace(segmentation, scheme=scheme("one", "two")), source, HEADER)


def test_a_source_without_class_cannot_be_referred_to(tmp_path):
    source = source_series(tmp_path)
    del source.headers[2].SOPClassUID
    with pytest.raises(StudyError, match="a file names no SOP class"):
        write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)


def test_what_cannot_be_encoded(tmp_path):
    source = source_series(tmp_path)
    with pytest.raises(OutputError, match="a segmentation cannot be encoded"):
        write_segmentation(tmp_path / "a.dcm", found_labels(source), source, replace(HEADER, instance_uid="no uid"))


def with_other_pixels(change):
    """The encoder, after ``change`` has had its way with the pixel data."""
    honest = dicom_seg_write.encode_dicom

    def encode(dataset, syntax):
        dataset.PixelData = change(dataset.PixelData)
        return honest(dataset, syntax)

    return encode


@pytest.mark.parametrize("find", [found_labels, found_masks])
def test_a_file_that_reads_back_otherwise_is_not_released(tmp_path, monkeypatch, find):
    source = source_series(tmp_path)
    encode = with_other_pixels(lambda pixels: bytes([pixels[0] ^ 4]) + pixels[1:])
    monkeypatch.setattr(dicom_seg_write, "encode_dicom", encode)
    with pytest.raises(OutputError, match="does not hold what it was made from, so it is not kept"):
        write_segmentation(tmp_path / "seg.dcm", find(source), source, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_probabilities_that_read_back_otherwise_are_not_released(tmp_path, monkeypatch):
    source = source_series(tmp_path)
    volume = Volume(np.full((2, *source.geometry.shape), 7 / 255), source.geometry, ("one", "two"))
    encode = with_other_pixels(lambda pixels: pixels.replace(b"\x07", b"\x08"))
    monkeypatch.setattr(dicom_seg_write, "encode_dicom", encode)
    with pytest.raises(OutputError, match="does not hold what it was made from, so it is not kept"):
        write_fractional(tmp_path / "seg.dcm", volume, scheme(), source, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_file_that_lies_elsewhere_is_not_released(tmp_path, monkeypatch):
    source = source_series(tmp_path)
    moved = dicom_seg_write.stand_ins(replace(source, geometry=shifted(source.geometry, 1)))
    monkeypatch.setattr(dicom_seg_write, "stand_ins", lambda source: moved)
    with pytest.raises(OutputError, match="cannot be read back, so it is not kept: .* lie outside the grid"):
        write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    assert not (tmp_path / "seg.dcm").exists()


def test_one_slice(tmp_path):
    path, segmentation = written(tmp_path, grid=Grid(slices=1))
    assert voxel_counts(read_segmentation(path, segmentation.geometry)) == voxel_counts(segmentation)
    assert voxel_counts(read_segmentation(changed(path, lambda dataset: None))) == voxel_counts(segmentation)


def test_bits_behind_the_last_are_zero(tmp_path):
    path, _ = written(tmp_path, grid=Grid(columns=3, rows=3, slices=1))
    dataset = pydicom.dcmread(path)
    assert dataset.NumberOfFrames * 9 == 27
    assert (len(dataset.PixelData), dataset.PixelData[3] >> 3) == (4, 0)
