"""Enhanced multi-frame files, against highdicom."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_factories import OBLIQUE, Grid, enhanced_dataset, only_series, read_folder, voxels, write_files
from pydicom import uid

from medseg.core.errors import DataError
from medseg.io.dicom_read import read_series

ORDER = (3, 0, 4, 1, 2)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_frames_are_sorted_by_their_positions(tmp_path, syntax, undefined_lengths):
    stored = voxels(OBLIQUE)
    dataset = enhanced_dataset(OBLIQUE, stored, ORDER)
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        dataset[sequence].is_undefined_length = undefined_lengths
    write_files(tmp_path, [dataset], syntax)
    volume = read_folder(tmp_path)
    np.testing.assert_array_equal(volume.array[0], stored * 2 - 5)
    np.testing.assert_allclose(volume.geometry.affine, OBLIQUE.affine, atol=1e-6)
    assert volume.channels == ("MR",)


def test_highdicom_reads_the_same_volume(tmp_path):
    write_files(tmp_path, [enhanced_dataset(OBLIQUE, voxels(OBLIQUE), ORDER)])
    volume = read_folder(tmp_path)
    (path,) = tmp_path.iterdir()
    theirs = highdicom.imread(path).get_volume(apply_real_world_transform=False)
    theirs = theirs.to_patient_orientation(volume.geometry.axis_codes)
    np.testing.assert_array_equal(volume.array[0], theirs.array)
    np.testing.assert_allclose(volume.geometry.affine, np.diag([-1, -1, 1, 1]) @ theirs.affine, atol=1e-6)


def test_each_frame_has_its_own_scale(tmp_path):
    stored = voxels(OBLIQUE)
    write_files(tmp_path, [enhanced_dataset(OBLIQUE, stored, ORDER, shared_scale=False)])
    scale = np.arange(OBLIQUE.slices)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored * (scale + 1) + scale)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_compressed_frames(tmp_path, syntax):
    grid = Grid(columns=41, rows=33)
    stored = voxels(grid)
    dataset = enhanced_dataset(grid, stored, ORDER)
    dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    write_files(tmp_path, [dataset], syntax)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored * 2 - 5)


def test_volume_in_two_files(tmp_path):
    stored = voxels(OBLIQUE)
    first, second = (enhanced_dataset(OBLIQUE, stored, order) for order in ((4, 0, 2), (1, 3)))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(second, keyword, getattr(first, keyword))
    write_files(tmp_path, [first, second])
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored * 2 - 5)


def repeated_frames(dataset):
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = [*groups, *groups]
    dataset.NumberOfFrames = "10"
    dataset.PixelData *= 2


def one_group_less(dataset):
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]


def no_groups(dataset):
    del dataset.PerFrameFunctionalGroupsSequence


def no_position(dataset):
    del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence


def no_shared_groups(dataset):
    del dataset.SharedFunctionalGroupsSequence


def groups_that_are_no_sequence(dataset):
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.add_new(0x52009230, "OB", b"1234")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (repeated_frames, "2 volumes of 5 slices at one place, such as time points, echoes or image types"),
        (one_group_less, "5 frames, but functional groups for 4"),
        (no_groups, "5 frames without a position each"),
        (no_position, "no position, orientation and pixel spacing in the patient"),
        (no_shared_groups, "no position, orientation and pixel spacing in the patient"),
    ],
)
def test_broken_frames(tmp_path, change, message):
    dataset = enhanced_dataset(OBLIQUE, voxels(OBLIQUE), ORDER)
    change(dataset)
    write_files(tmp_path, [dataset])
    series = only_series(tmp_path)
    assert series.problem == message
    with pytest.raises(DataError, match=f"series of 1 files: {message}"):
        read_series(series)


def test_missing_frame_is_a_gap(tmp_path):
    stored = voxels(OBLIQUE)
    write_files(tmp_path, [enhanced_dataset(OBLIQUE, stored, (0, 1, 3, 4))])
    assert "1 of 5 slices missing (gap of 5.0 mm after slice 2" in only_series(tmp_path).problem
    assert read_folder(tmp_path, fill_gaps=True).geometry.shape == (9, 7, 5)


def test_pydicom_sees_what_was_written(tmp_path):
    """The factory itself: stored frames lie in the order asked for."""
    stored = voxels(OBLIQUE)
    (path,) = write_files(tmp_path, [enhanced_dataset(OBLIQUE, stored, ORDER)])
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, stored.transpose(2, 1, 0)[list(ORDER)])
