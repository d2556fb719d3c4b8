"""Faces taken out of DICOM series, where the face is said to be a box."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_factories import OBLIQUE, Grid, enhanced_dataset, series_datasets, voxels, write_files
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from medseg.core.errors import DeidError, GeometryError, ReadError
from medseg.deid import face_dicom
from medseg.deid.faces import deface_series
from medseg.io.dicom_file import read_dicom, write_dicom
from medseg.io.dicom_header import text

FACE = (slice(2, 7), slice(0, 4), slice(0, 3))
LOWEST = -1200


@pytest.fixture
def volumes(monkeypatch):
    """The face is a box in i, j, k; the volumes that were looked at are kept."""
    seen = []

    def face_mask(volume):
        seen.append(volume)
        mask = np.zeros(volume.geometry.shape, dtype=np.bool_)
        mask[FACE] = True
        return mask

    monkeypatch.setattr(face_dicom, "face_mask", face_mask)
    return seen


def mr_datasets(grid=OBLIQUE, stored=None, **elements):
    stored = values(grid) if stored is None else stored
    return series_datasets(grid, stored, **{"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "M"], **elements})


def values(grid=OBLIQUE):
    stored = voxels(grid, low=-1000)
    stored[8, 6, -1] = LOWEST
    return stored


def files_of(folder, datasets, syntax=ExplicitVRLittleEndian):
    if syntax == ExplicitVRBigEndian:  # pydicom writes pixel data as it is
        for dataset in datasets:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    return [read_dicom(path) for path in write_files(folder, datasets, syntax)]


def written(folder, file):
    import pydicom

    folder.mkdir(exist_ok=True)
    write_dicom(file.dataset, file.syntax, folder / "out.dcm")
    return pydicom.dcmread(folder / "out.dcm")


def expected_values(stored, fill=LOWEST):
    expected = stored.copy()
    expected[FACE] = fill
    return expected


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_face_is_filled_with_the_lowest_value_and_nothing_else_changes(tmp_path, volumes, syntax):
    stored = values()
    shuffled = [3, 0, 4, 1, 2]
    datasets = mr_datasets()
    files = files_of(tmp_path, [datasets[k] for k in shuffled], syntax)
    edited = deface_series(files)
    assert edited == files
    for k, file in zip(shuffled, edited, strict=True):
        after = written(tmp_path / "out", file)
        assert after.file_meta.TransferSyntaxUID == syntax
        assert np.array_equal(after.pixel_array.T, expected_values(stored)[:, :, k])
        assert after.ImageType == (["DERIVED", "PRIMARY", "M"] if k < 3 else ["ORIGINAL", "PRIMARY", "M"])


def test_the_volume_lies_in_the_patient_as_the_headers_say(tmp_path, volumes):
    stored = values()
    deface_series(files_of(tmp_path, mr_datasets(RescaleSlope="2", RescaleIntercept="-5")))
    (volume,) = volumes
    assert np.allclose(volume.geometry.affine, OBLIQUE.affine, atol=1e-4)
    assert np.array_equal(volume.array[0], stored * 2.0 - 5)


def test_data_sets_in_memory_are_edited_as_those_from_files(volumes, tmp_path):
    files = files_of(tmp_path, mr_datasets())
    for file in files:
        list(file.dataset.iterall())
    deface_series(files)
    assert np.allclose(volumes[0].geometry.affine, OBLIQUE.affine, atol=1e-4)


def test_compressed_pixels_are_not_compressed_any_more(tmp_path, volumes):
    grid = Grid(columns=40, rows=36, slices=4)
    stored = values(grid)
    datasets = mr_datasets(grid, stored)
    for dataset in datasets:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    files = files_of(tmp_path, datasets, JPEG2000Lossless)
    edited = deface_series(files)
    for k, file in enumerate(edited):
        after = written(tmp_path / "out", file)
        assert after.file_meta.TransferSyntaxUID == (ExplicitVRLittleEndian if k < 3 else JPEG2000Lossless)
        assert np.array_equal(after.pixel_array.T, expected_values(stored, stored.min())[:, :, k])
    assert edited[3] is files[3]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("padding", "fill"), [(-2000, -2000), (-32768, -32768), (40000, LOWEST)])
def test_the_padding_value_is_used_if_the_pixels_can_hold_it(tmp_path, volumes, padding, fill, syntax):
    datasets = mr_datasets()
    for dataset in datasets:
        dataset.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
        if padding > 0:
            dataset.BitsStored, dataset.HighBit = 12, 11
    stored = np.clip(values(), -1200, 1500)
    for k, dataset in enumerate(datasets):
        dataset.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
    file = deface_series(files_of(tmp_path, datasets, syntax))[0]
    assert np.array_equal(written(tmp_path / "out", file).pixel_array.T, expected_values(stored, fill)[:, :, 0])


def test_where_0_is_white_the_highest_value_is_darkest(tmp_path, volumes):
    stored = values()
    file = deface_series(files_of(tmp_path, mr_datasets(PhotometricInterpretation="MONOCHROME1")))[0]
    assert np.array_equal(written(tmp_path / "out", file).pixel_array.T, expected_values(stored, stored.max())[:, :, 0])


def test_the_range_of_values_is_not_told_any_more(tmp_path, volumes):
    datasets = mr_datasets()
    for dataset in datasets:
        dataset.add_new(0x00280106, "SS", -1000)
        dataset.add_new(0x00280107, "SS", 2000)
    files = deface_series(files_of(tmp_path, datasets))
    assert 0x00280107 not in files[0].dataset
    assert 0x00280106 not in files[0].dataset
    assert 0x00280107 in files[4].dataset


@pytest.mark.parametrize("shared_scale", [True, False])
def test_frames_of_one_file(tmp_path, volumes, shared_scale):
    stored, order = values(), [4, 2, 0, 1, 3]
    dataset = enhanced_dataset(OBLIQUE, stored, order, shared_scale)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence = Items([frame_type()])
    dataset.PerFrameFunctionalGroupsSequence[0].MRImageFrameTypeSequence = Items([Dataset()])
    (file,) = deface_series(files_of(tmp_path, [dataset]))
    after = written(tmp_path / "out", file)
    assert np.array_equal(after.pixel_array, expected_values(stored).transpose(2, 1, 0)[order])
    assert after.ImageType == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    kinds = after.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0].FrameType
    assert kinds == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    assert np.allclose(volumes[0].geometry.affine, OBLIQUE.affine, atol=1e-4)
    scale = (2, -5) if shared_scale else (1, 0)
    assert np.array_equal(volumes[0].array[0, :, :, 0], stored[:, :, 0] * float(scale[0]) + scale[1])


def frame_type():
    macro = Dataset()
    macro.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    return macro


def test_echoes_are_looked_at_together_and_all_lose_the_face(tmp_path, volumes):
    first, second = values(), values() // 2
    files = files_of(tmp_path, [*mr_datasets(stored=first), *mr_datasets(stored=second)])
    edited = deface_series(files)
    assert np.array_equal(volumes[0].array[0], ((first.astype(np.float32) + second) / 2))
    assert np.array_equal(written(tmp_path / "out", edited[6]).pixel_array.T, expected_values(second)[:, :, 1])


def test_a_missing_slice_does_no_harm(tmp_path, volumes):
    datasets = mr_datasets()
    edited = deface_series(files_of(tmp_path, datasets[:2] + datasets[3:]))
    assert volumes[0].geometry.shape == (9, 7, 5)
    assert np.array_equal(volumes[0].array[0, :, :, 2], volumes[0].array[0, :, :, 1])
    assert text(edited[1].dataset, 0x00080008).startswith("DERIVED") or edited[1].dataset.ImageType[0] == "DERIVED"


def test_nothing_is_done_without_files():
    assert deface_series([]) == []


@pytest.mark.parametrize(
    ("elements", "error", "match"),
    [
        ({"Modality": "CT"}, DeidError, "refused: faces are found in MR alone"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, DeidError, "greyscale images alone"),
        ({"ImagePositionPatient": None}, GeometryError, "no position"),
        ({"NumberOfFrames": "2"}, GeometryError, "2 frames, but positions for 0"),
        ({"BitsAllocated": 64}, ReadError, "pixel data is"),
    ],
)
def test_what_is_refused_stays_as_it_was(tmp_path, volumes, elements, error, match):
    files = files_of(tmp_path, mr_datasets(**elements))
    before = [bytes(file.dataset.get_item(0x7FE00010).value) for file in files]
    with pytest.raises(error, match=match):
        deface_series(files)
    assert before == [bytes(file.dataset.get_item(0x7FE00010).value) for file in files]
    assert volumes == []


def test_slices_of_several_orientations_are_refused(tmp_path, volumes):
    datasets = mr_datasets()
    datasets[1].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    with pytest.raises(GeometryError, match="several orientations"):
        deface_series(files_of(tmp_path, datasets))


def test_images_beside_each_other_are_refused(tmp_path, volumes):
    datasets = [*mr_datasets(), *mr_datasets()]
    datasets[0].ImagePositionPatient = [
        float(one) + 5 * d for one, d in zip(datasets[0].ImagePositionPatient, OBLIQUE.directions[:, 0], strict=True)
    ]
    with pytest.raises(GeometryError, match="beside each other"):
        deface_series(files_of(tmp_path, datasets))
