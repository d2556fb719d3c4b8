"""What is written is read: every form, any orientation, random structures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from dicom_factories import Grid
from factories import ALL_ORIENTATIONS, scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from seg_factories import HEADER

from medseg.core.geometry import Geometry
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.dicom_result import SourceSeries
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_read import read_fractional, read_segmentation
from medseg.io.dicom_seg_write import write_fractional, write_segmentation
from medseg.io.dicom_series import Slice

pytestmark = pytest.mark.filterwarnings("error")
angles = st.floats(-80, 80)
grids = st.builds(
    Grid,
    columns=st.integers(1, 9),
    rows=st.integers(1, 9),
    slices=st.integers(1, 5),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    tilt_degrees=st.tuples(angles, angles, angles),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)


def source_on(grid: Grid) -> SourceSeries:
    """A source in memory: its headers say only whose it is."""
    headers = []
    for k in range(grid.slices):
        header = Dataset()
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = "2.25.2", "2.25.3", "2.25.4"
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, f"2.25.5{k}"
        headers.append(header)
    geometry = Geometry((grid.columns, grid.rows, grid.slices), grid.affine)
    return SourceSeries(tuple(headers), geometry, tuple(Slice(k, 0, k) for k in range(grid.slices)))


@settings(max_examples=60)
@given(grids, st.sampled_from(SegmentationForm), st.booleans(), st.sampled_from(ALL_ORIENTATIONS), st.data())
def test_a_label_map_comes_back(grid, form, all_frames, codes, data):
    source, labels = source_on(grid), scheme("a", "b", "c")
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 4, source.geometry.shape)
    values[:, :, data.draw(st.sets(st.integers(0, grid.slices - 1)).map(list))] = 0
    written = Segmentation(LabelMap(values.astype(np.uint8), source.geometry).reoriented(codes), labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seg.dcm"
        write_segmentation(path, written, source, HEADER, form, all_frames=all_frames)
        asked = source.geometry.reoriented(data.draw(st.sampled_from(ALL_ORIENTATIONS)))
        on_grid, by_itself = read_segmentation(path, asked), read_segmentation(path)
    assert on_grid.geometry is asked
    np.testing.assert_array_equal(on_grid.labels.reoriented(source.geometry.axis_codes).array, values)
    assert on_grid.scheme == by_itself.scheme == labels
    filled = np.flatnonzero(values.any((0, 1)))
    if all_frames or not len(filled):
        filled = np.arange(grid.slices)
    spanned = slice(filled[0], filled[-1] + 1)
    np.testing.assert_array_equal(by_itself.labels.array, values[:, :, spanned])
    corner = source.geometry.affine @ [0, 0, filled[0], 1]
    np.testing.assert_allclose(by_itself.geometry.affine[:, 3], corner, atol=1e-4)
    np.testing.assert_allclose(by_itself.geometry.affine[:3, :3], source.geometry.affine[:3, :3], atol=1e-5)


@settings(max_examples=25)
@given(grids, st.booleans(), st.integers(0, 99), st.sampled_from((0.0, 0.1, 0.5, 1.0)))
def test_masks_come_back(grid, all_frames, seed, share):
    source, names = source_on(grid), ("a", "b")
    masks = np.random.default_rng(seed).random((2, *source.geometry.shape)) < share
    written = Segmentation(MultiLabelMap(masks, source.geometry, names), scheme(*names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seg.dcm"
        write_segmentation(path, written, source, HEADER, all_frames=all_frames)
        read = read_segmentation(path, source.geometry)
    assert isinstance(read.labels, MultiLabelMap) == masks.all(0).any()
    for mask, (_, found) in zip(masks, read.masks(), strict=True):
        np.testing.assert_array_equal(found, mask)


@settings(max_examples=25)
@given(grids, st.booleans(), st.integers(0, 99), st.sampled_from(ALL_ORIENTATIONS))
def test_probabilities_come_back(grid, all_frames, seed, codes):
    source, names = source_on(grid), ("a", "b")
    values = np.random.default_rng(seed).random((2, *source.geometry.shape), np.float32)
    volume = Volume(values, source.geometry, names).reoriented(codes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seg.dcm"
        write_fractional(path, volume, scheme(*names), source, HEADER, all_frames=all_frames)
        read, _ = read_fractional(path, source.geometry)
        thresholded = read_segmentation(path, source.geometry)
    assert np.abs(read.array - values).max() <= 0.5 / 255 + 1e-6
    for probabilities, (_, mask) in zip(read.array, thresholded.masks(), strict=True):
        np.testing.assert_array_equal(mask, probabilities > 0.5)
