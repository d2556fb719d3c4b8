from __future__ import annotations

import io
from importlib.resources import as_file, files

import numpy as np
import pydicom
import pytest
from dicom_factories import Grid, enhanced_dataset, series_datasets, write_files
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medseg.core.errors import DeidError, GeometryError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.deid import face_dicom
from medseg.deid.faces import deface_series, deface_volume, face_mask, is_head
from medseg.io.dicom_file import encode_dicom, read_dicom
from medseg.io.formats import read_volume

SMALL = Grid(columns=6, rows=5, slices=4, spacing=(2.0, 2.0, 3.0))
HEAD = Geometry.from_spacing((128, 128, 90), (2.0, 2.0, 2.0))


def packaged(name):
    with as_file(files("medseg.deid").joinpath("data", name)) as path:
        return read_volume(path)


@pytest.fixture(scope="module")
def head():
    return packaged("face_template.nii.gz")


def turned(volume, codes, dtype):
    other = volume.reoriented(codes)
    return Volume(other.array.astype(dtype) * 3 - 5, other.geometry, other.channels)


def test_the_face_of_a_turned_head_is_found_and_nothing_else_changes(head):
    volume = turned(head, "PIR", np.int16)
    defaced = deface_volume(volume)
    changed = Volume((defaced.array != volume.array), volume.geometry).reoriented(head.geometry.axis_codes).array[0]
    face = (packaged("face_mask.nii.gz").array[0] > 0) & (head.array[0] > head.array.min())
    assert defaced.array.dtype == np.int16
    assert (changed & face).sum() / face.sum() > 0.98
    assert set(np.unique(defaced.array[defaced.array != volume.array])) == {-5}
    assert (changed & ~face).sum() / (~face).sum() < 0.01


@pytest.mark.parametrize("what", ["noise", "a ball"])
def test_what_is_no_head_is_refused(what):
    x, y, z = np.ogrid[:128, :128, :90]
    ball = ((x - 64) ** 2 + (y - 64) ** 2 + (z - 45) ** 2 < 40**2) * 100.0
    noise = np.random.default_rng(0).normal(100, 20, HEAD.shape)
    array = (ball if what == "a ball" else noise).astype(np.float32)[np.newaxis]
    with pytest.raises(DeidError, match="the face was not found for certain"):
        face_mask(Volume(array, HEAD))


def test_a_small_field_of_view_is_refused():
    grid = Geometry.from_spacing((40, 40, 20), (2.0, 2.0, 2.0))
    with pytest.raises(DeidError, match="40 x 80 x 80 mm are in view, at least 60 x 120 x 120 mm are needed"):
        face_mask(Volume(np.zeros((1, *grid.shape), np.float32), grid))


@pytest.fixture
def corner(monkeypatch):
    """Calls the first voxels along each axis a face; returns the volumes that were looked at."""
    seen = []

    def mask(volume):
        seen.append(volume)
        found = np.zeros(volume.geometry.shape, dtype=np.bool_)
        found[:3, :2, :2] = True
        return found

    monkeypatch.setattr(face_dicom, "face_mask", mask)
    return seen


def series(folder, syntax=ExplicitVRLittleEndian, modality="MR", **elements):
    stored = np.random.default_rng(1).integers(10, 1000, (6, 5, 4)).astype(np.int16)
    datasets = series_datasets(SMALL, stored, modality, **elements)
    if syntax == RLELossless:
        for dataset in datasets:
            dataset.compress(RLELossless)
    paths = write_files(folder, datasets, syntax)
    return [read_dicom(path) for path in paths], stored


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize(("padding", "fill"), [({}, None), ({"PixelPaddingValue": -7}, -7)])
def test_stored_values_of_the_face_are_replaced_and_only_those(tmp_path, corner, syntax, padding, fill):
    originals, stored = series(tmp_path, syntax, ImageType=["ORIGINAL", "PRIMARY", "M"], **padding)
    expected = stored.copy()
    expected[:3, :2, :2] = stored.min() if fill is None else fill
    defaced = deface_series(originals)
    assert len(defaced) == 4
    depth = [float(one.dataset.ImagePositionPatient[2]) for one in defaced]
    found = [defaced[index] for index in np.argsort(depth)]
    for k, file in enumerate(found):
        written = pydicom.dcmread(io.BytesIO(encode_dicom(file.dataset, file.syntax)))
        np.testing.assert_array_equal(written.pixel_array.T, expected[:, :, k])
        assert written.ImageType[0] == ("DERIVED" if k < 2 else "ORIGINAL")
        assert written.file_meta.TransferSyntaxUID == (ExplicitVRLittleEndian if k < 2 else syntax)
    assert corner[0].geometry.shape == (6, 5, 4)


def test_frames_of_one_file_are_slices(tmp_path, corner):
    stored = np.random.default_rng(2).integers(10, 1000, (6, 5, 4)).astype(np.int16)
    dataset = enhanced_dataset(SMALL, stored, [2, 0, 3, 1])
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        frame.MRImageFrameTypeSequence = [kind]
    dataset.Modality = "MR"
    dataset.SmallestImagePixelValue = 1
    (path,) = write_files(tmp_path, [dataset])
    (file,) = deface_series([read_dicom(path)])
    written = pydicom.dcmread(io.BytesIO(encode_dicom(file.dataset, file.syntax)))
    expected = stored.copy()
    expected[:3, :2, :2] = stored.min()
    np.testing.assert_array_equal(written.pixel_array.transpose(2, 1, 0)[:, :, [1, 3, 0, 2]], expected)
    kinds = {frame.MRImageFrameTypeSequence[0].FrameType[0] for frame in written.PerFrameFunctionalGroupsSequence}
    assert kinds == {"DERIVED"}
    assert "SmallestImagePixelValue" not in written


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_a_head_in_ct_is_refused(tmp_path, corner, modality):
    originals, _ = series(tmp_path, modality=modality)
    with pytest.raises(DeidError, match="refused: faces are found in MR alone"):
        deface_series(originals)
    assert corner == []


def test_no_file_is_no_work():
    assert deface_series([]) == []


def test_several_orientations_are_refused(tmp_path, corner):
    originals, _ = series(tmp_path)
    originals[0].dataset.ImageOrientationPatient = ["0", "1", "0", "0", "0", "1"]
    with pytest.raises(GeometryError, match="several orientations"):
        deface_series(originals)


def test_slices_beside_each_other_are_refused(tmp_path, corner):
    originals, _ = series(tmp_path)
    position = list(originals[0].dataset.ImagePositionPatient)
    originals[1].dataset.ImagePositionPatient = [position[0] + 5, *position[1:]]
    with pytest.raises(GeometryError, match="beside each other"):
        deface_series(originals)


def test_a_slice_without_a_place_is_refused(tmp_path, corner):
    originals, _ = series(tmp_path)
    del originals[0].dataset.ImagePositionPatient
    with pytest.raises(GeometryError, match="no position"):
        deface_series(originals)


def test_colour_is_refused(tmp_path, corner):
    originals, _ = series(tmp_path, PhotometricInterpretation="RGB")
    with pytest.raises(DeidError, match="greyscale"):
        deface_series(originals)


def test_frames_need_places(tmp_path, corner):
    originals, _ = series(tmp_path)
    originals[0].dataset.NumberOfFrames = "3"
    with pytest.raises(GeometryError, match="3 frames, but positions for 0"):
        deface_series(originals)


def test_echoes_at_one_place_are_looked_at_together(tmp_path, corner):
    originals, _ = series(tmp_path / "first")
    others, _ = series(tmp_path / "second")
    assert len(deface_series([*originals, *others])) == 8
    assert corner[0].geometry.shape == (6, 5, 4)


@pytest.mark.parametrize(
    ("modality", "body_part", "description", "shape", "spacing", "expected"),
    [
        ("MR", "HEAD", "", (256, 256, 170), (1, 1, 1), True),
        ("MR", "", "t1_mprage_sag", (256, 256, 170), (1, 1, 1), True),
        ("MR", "BRAIN", "", (256, 256, 20), (1, 1, 6), False),
        ("MR", "ABDOMEN", "", (256, 256, 170), (1, 1, 1), False),
        ("MR", "", "", (220, 240, 180), (1, 1, 1), True),
        ("MR", "", "", (60, 60, 60), (1, 1, 1), False),
        ("CT", "Schädel", "", (512, 512, 150), (0.5, 0.5, 1), True),
        ("MR", "HEAD", "", (30, 40, 30), (1, 1, 1), False),
        ("SR", "HEAD", "", (256, 256, 170), (1, 1, 1), False),
    ],
)
def test_heads_are_known_by_their_header(modality, body_part, description, shape, spacing, expected):
    assert is_head(modality, body_part, description, Geometry.from_spacing(shape, spacing)) is expected


def test_a_head_that_is_no_volume_counts_as_one():
    assert is_head("MR", "HEAD", "", None)
    assert not is_head("MR", "CHEST", "", None)


def test_what_may_be_a_head_counts_as_one():
    assert is_head("MR", "", "t1 sag", None)


def test_sagittal_slices_show_a_profile_however_far_apart():
    grid = Geometry((20, 256, 256), np.diag([6.0, 1.0, 1.0, 1.0]))
    assert is_head("MR", "BRAIN", "", grid)
