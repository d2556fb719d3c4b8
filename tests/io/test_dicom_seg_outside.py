"""What others make of our segmentations: dcmqi, highdicom, and the validator dciodvfy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factories import Grid
from factories import scheme
from seg_factories import HEADER, found_labels, found_masks, source_series, voxel_counts

from medseg.core.geometry import Geometry
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.io.dicom_result import SourceSeries
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_write import write_fractional, write_segmentation

DCMQI = Path(sys.executable).parent / "segimage2itkimage"
DCIODVFY = shutil.which("dciodvfy")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
GRID = Grid(columns=24, rows=18, slices=7, tilt_degrees=(12.0, -25.0, 7.0))
NOT_IN_ITS_EDITION = ("Information Object Not found", "SegmentNumber not monotonically increasing from one by one")
"""dciodvfy of 2022 knows no label map segmentations, nor that their background is segment 0."""
CONFORMANT = {"StudyDate": "20200102", "StudyTime": "030405", "StudyID": "1", "AccessionNumber": "A"}


def shapes(source: SourceSeries) -> Segmentation:
    """A box, a plate with a hole and a single voxel; nothing in the first and the last slice, nor in one between."""
    values = np.zeros(source.geometry.shape, np.uint8)
    values[3:9, 2:12, 1:3] = 1
    values[12:22, 3:15, 4:6] = 2
    values[15:18, 6:9, 4:6] = 0
    values[20, 1, 2] = 3
    return Segmentation(LabelMap(values, source.geometry), scheme("box", "plate", "voxel"))


def read_by_dcmqi(path: Path, folder: Path) -> dict[str, tuple[np.ndarray, Geometry]]:
    """Mask and grid of each segment by its name."""
    folder.mkdir()
    command = [DCMQI, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    meta = json.loads((folder / "meta.json").read_text())
    found = {}
    for number, group in enumerate(meta["segmentAttributes"], start=1):
        image = sitk.ReadImage(str(folder / f"{number}.nrrd"))
        array = sitk.GetArrayFromImage(image).T
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        grid = Geometry(array.shape, LPS_TO_RAS @ affine)
        for segment in group:
            found[segment["SegmentLabel"]] = (array == segment["labelID"], grid)
    return found


@pytest.mark.skipif(not DCMQI.exists(), reason="needs dcmqi (PyPI dcmqi)")
@pytest.mark.parametrize("form", [SegmentationForm.BINARY, SegmentationForm.LABELMAP])
@pytest.mark.parametrize("all_frames", [False, True])
def test_dcmqi_reads_the_same_voxels_at_the_same_places(tmp_path, form, all_frames):
    source = source_series(tmp_path, GRID)
    segmentation = shapes(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form, all_frames=all_frames)
    found = read_by_dcmqi(tmp_path / "seg.dcm", tmp_path / "out")
    for structure, mask in segmentation.masks():
        theirs, grid = found[structure.name]
        assert theirs.sum() == mask.sum()
        np.testing.assert_allclose(grid.spacing, source.geometry.spacing, rtol=1e-5)
        places = [
            np.sort(np.argwhere(one) @ affine[:3, :3].T + affine[:3, 3], axis=0)
            for one, affine in ((theirs, grid.affine), (mask, source.geometry.affine))
        ]
        np.testing.assert_allclose(*places, atol=1e-3)


@pytest.mark.skipif(not DCMQI.exists(), reason="needs dcmqi (PyPI dcmqi)")
def test_dcmqi_reads_overlapping_structures(tmp_path):
    source = source_series(tmp_path, GRID)
    segmentation = found_masks(source, ("a", "b", "c"))
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    found = read_by_dcmqi(tmp_path / "seg.dcm", tmp_path / "out")
    assert {name: int(mask.sum()) for name, (mask, _) in found.items()} == voxel_counts(segmentation)


@pytest.mark.parametrize("form", [SegmentationForm.BINARY, SegmentationForm.LABELMAP])
def test_highdicom_reads_the_same_voxels_at_the_same_places(tmp_path, form):
    source = source_series(tmp_path, GRID)
    segmentation = shapes(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    volume = volume.to_patient_orientation(source.geometry.axis_codes)
    np.testing.assert_array_equal(volume.array, segmentation.labels.array[:, :, 1:6])
    inside = source.geometry.cropped((slice(0, 24), slice(0, 18), slice(1, 6)))
    assert Geometry(volume.array.shape, LPS_TO_RAS @ volume.affine).is_close(inside)


def test_highdicom_finds_the_frames_of_a_source_instance(tmp_path):
    source = source_series(tmp_path, GRID)
    segmentation = shapes(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    uids = [str(source.headers[one.file].SOPInstanceUID) for one in source.slices]
    read = highdicom.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(read.transpose(2, 1, 0), segmentation.labels.array)


def test_highdicom_reads_the_same_probabilities(tmp_path):
    source = source_series(tmp_path, GRID)
    values = np.random.default_rng(0).random((2, *source.geometry.shape)).astype(np.float32)
    write_fractional(tmp_path / "seg.dcm", Volume(values, source.geometry, ("one", "two")), scheme(), source, HEADER)
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume()
    volume = volume.to_patient_orientation(source.geometry.axis_codes)
    assert np.abs(volume.array - np.moveaxis(values, 0, -1)).max() <= 0.5 / 255 + 1e-6


def complaints(path: Path) -> list[str]:
    """Errors that the validator finds."""
    done = subprocess.run([str(DCIODVFY), "-new", path], capture_output=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return [line for line in lines if line.startswith("Error")]


@pytest.mark.skipif(DCIODVFY is None, reason="needs dciodvfy (Debian package dicom3tools)")
@pytest.mark.parametrize("all_frames", [False, True])
@pytest.mark.parametrize("form", SegmentationForm)
def test_the_validator_finds_no_error(tmp_path, form, all_frames):
    source = source_series(tmp_path, GRID, **CONFORMANT)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER, form, all_frames=all_frames)
    found = complaints(tmp_path / "seg.dcm")
    if form is SegmentationForm.LABELMAP:
        found = [line for line in found if not any(known in line for known in NOT_IN_ITS_EDITION)]
    assert found == []


@pytest.mark.skipif(DCIODVFY is None, reason="needs dciodvfy (Debian package dicom3tools)")
def test_the_validator_finds_no_error_in_probabilities_masks_and_nothing(tmp_path):
    source = source_series(tmp_path, GRID, **CONFORMANT)
    values = np.random.default_rng(0).random((2, *source.geometry.shape)).astype(np.float32)
    write_fractional(tmp_path / "1.dcm", Volume(values, source.geometry, ("one", "two")), scheme(), source, HEADER)
    write_segmentation(tmp_path / "2.dcm", found_masks(source), source, HEADER)
    empty = Segmentation(LabelMap(np.zeros(source.geometry.shape, np.uint8), source.geometry), scheme())
    write_segmentation(tmp_path / "3.dcm", empty, source, HEADER)
    assert [complaints(tmp_path / f"{number}.dcm") for number in (1, 2, 3)] == [[], [], []]
