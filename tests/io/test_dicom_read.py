"""Voxels and grids of plain series, against what was written and against SimpleITK."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factories import OBLIQUE, Grid, only_series, read_folder, series_datasets, voxels, write_files, write_series
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from medseg.core.errors import DataError, ReadError
from medseg.io.dicom_read import read_series


def by_simpleitk(files) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``(i, j, k)`` and RAS affine of sorted files."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T.copy(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@pytest.mark.parametrize("tilt", [(0, 0, 0), (12, -25, 7), (90, 0, 0), (0, 90, 0), (180, 20, 0), (-80, 33, 140)])
def test_shuffled_series_is_read_on_its_own_grid(tmp_path, tilt):
    grid = Grid(tilt_degrees=tilt)
    stored = write_series(tmp_path, grid)
    volume = read_folder(tmp_path)
    np.testing.assert_array_equal(volume.array[0], stored)
    np.testing.assert_allclose(volume.geometry.affine, grid.affine, atol=1e-6)
    assert volume.channels == ("CT",)


def test_simpleitk_reads_the_same_volume(tmp_path):
    write_series(tmp_path, OBLIQUE, RescaleSlope="2", RescaleIntercept="-24")
    volume = read_folder(tmp_path)
    array, affine = by_simpleitk(only_series(tmp_path).files)
    np.testing.assert_array_equal(volume.array[0], array)
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-5)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_uncompressed_transfer_syntaxes(tmp_path, syntax, dtype):
    stored = voxels(OBLIQUE, 0, 30000, dtype=dtype)
    if syntax == ExplicitVRBigEndian:
        write_files(tmp_path, _swapped(series_datasets(OBLIQUE, stored)), syntax)
    else:
        write_series(tmp_path, OBLIQUE, stored, syntax)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)


def _swapped(datasets):
    for dataset in datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    return datasets


@pytest.mark.parametrize(
    ("dtype", "low", "high", "elements", "expected_type"),
    [
        (np.uint8, 0, 256, {}, np.int16),
        (np.int8, -128, 128, {}, np.int16),
        (np.uint16, 0, 4096, {"RescaleSlope": "1", "RescaleIntercept": "-1024"}, np.int16),
        (np.uint16, 33000, 65536, {"RescaleSlope": "1", "RescaleIntercept": "-40000"}, np.int16),
        (np.int16, -900, 900, {"RescaleSlope": "-3", "RescaleIntercept": "7"}, np.int16),
        (np.uint16, 0, 65536, {}, np.float32),
        (np.int16, -9000, 9000, {"RescaleSlope": "2", "RescaleIntercept": "20000"}, np.float32),
        (np.int16, -900, 900, {"RescaleSlope": "0.25", "RescaleIntercept": "0.5"}, np.float32),
        (np.uint32, 0, 2**20, {}, np.float32),
        (np.int32, -30000, 30000, {}, np.int16),
    ],
)
def test_values_are_rescaled_and_int16_where_that_is_exact(tmp_path, dtype, low, high, elements, expected_type):
    stored = write_series(tmp_path, OBLIQUE, voxels(OBLIQUE, low, high, dtype=dtype), **elements)
    array = read_folder(tmp_path).array[0]
    slope, intercept = float(elements.get("RescaleSlope", 1)), float(elements.get("RescaleIntercept", 0))
    assert array.dtype == expected_type
    np.testing.assert_array_equal(array, stored * slope + intercept)


@pytest.mark.parametrize("elements", [{}, {"RescaleSlope": "0.5"}, {"BitsStored": 12, "HighBit": 11}])
def test_reading_takes_the_memory_of_the_volume(tmp_path, elements):
    grid = Grid(columns=256, rows=256, slices=96)
    write_series(tmp_path, grid, voxels(grid, -2000, 2000), **elements)
    series = only_series(tmp_path)
    tracemalloc.start()
    try:
        array = read_series(series).array
        slack = 6 * 2**20 if "RescaleSlope" in elements else 2**20  # slices are rescaled in float64
        assert tracemalloc.get_traced_memory()[1] < array.nbytes + slack
    finally:
        tracemalloc.stop()


def test_one_slice_that_int16_does_not_hold_makes_all_of_them_float(tmp_path):
    grid = Grid(slices=40)
    stored = voxels(grid, 0, 30000, dtype=np.uint16)
    stored[3, 4, 31] = 65535
    write_series(tmp_path, grid, stored, RescaleSlope="1", RescaleIntercept="-1024")
    array = read_folder(tmp_path).array[0]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, stored.astype(np.float32) - 1024)


def test_huge_whole_scales(tmp_path):
    stored = np.zeros((9, 7, 5), np.int16)
    write_series(tmp_path, Grid(), stored, RescaleSlope="1e300", RescaleIntercept="7")
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored + 7)


def test_each_slice_has_its_own_scale(tmp_path):
    stored = voxels(OBLIQUE)
    datasets = series_datasets(OBLIQUE, stored, modality="PT")
    for k, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(0.5 + k), str(k)
    write_files(tmp_path, datasets)
    scale = np.arange(OBLIQUE.slices)
    np.testing.assert_allclose(read_folder(tmp_path).array[0], stored * (0.5 + scale) + scale, rtol=1e-6)


def test_each_slice_has_its_own_integer_scale(tmp_path):
    stored = voxels(OBLIQUE)
    datasets = series_datasets(OBLIQUE, stored)
    for k, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + k), str(-k)
    write_files(tmp_path, datasets)
    scale = np.arange(OBLIQUE.slices)
    array = read_folder(tmp_path).array[0]
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, stored * (1 + scale) - scale)


def test_signed_and_unsigned_slices_mix(tmp_path):
    stored = voxels(OBLIQUE, 0, 5000)
    datasets = series_datasets(OBLIQUE, stored)
    for dataset in datasets[::2]:
        dataset.PixelRepresentation = 0
    write_files(tmp_path, datasets)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)


@pytest.mark.parametrize(("is_signed", "dtype"), [(0, np.uint16), (1, np.int16)])
def test_bits_above_bits_stored_are_dropped(tmp_path, is_signed, dtype):
    stored = voxels(OBLIQUE, -2048 * is_signed, 2048)
    rubbish = (stored & 0x0FFF | 0xA000 - 2**16).astype(np.int16).view(dtype)
    write_series(tmp_path, OBLIQUE, rubbish, BitsStored=12, HighBit=11, PixelRepresentation=is_signed)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)
    np.testing.assert_array_equal(by_simpleitk(only_series(tmp_path).files)[0], stored)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_monochrome1_is_turned_round_within_bits_stored(tmp_path, dtype):
    stored = voxels(OBLIQUE, 0 if dtype == np.uint16 else -2000, 2000, dtype=dtype)
    elements = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    write_series(tmp_path, OBLIQUE, stored, modality="MR", **elements)
    array = read_folder(tmp_path).array[0]
    np.testing.assert_array_equal(array, (4095 if dtype == np.uint16 else -1) - stored.astype(np.int32))
    if dtype == np.uint16:
        np.testing.assert_array_equal(by_simpleitk(only_series(tmp_path).files)[0], array)


@pytest.mark.parametrize("elements", [{"modality": "CT"}, {"modality": "PT"}, {"modality": "OT", "RescaleType": "HU"}])
def test_monochrome1_leaves_physical_quantities_alone(tmp_path, elements):
    stored = write_series(tmp_path, OBLIQUE, PhotometricInterpretation="MONOCHROME1", **elements)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)


def test_padding_keeps_its_value(tmp_path):
    stored = voxels(OBLIQUE)
    stored[0] = -2000
    write_series(tmp_path, OBLIQUE, stored, PixelPaddingValue=-2000, RescaleSlope="1", RescaleIntercept="-1024")
    assert (read_folder(tmp_path).array[0, 0] == -3024).all()


@pytest.mark.parametrize(("thickness", "expected"), [("3.5", 3.5), ("", 1.0), ("0", 1.0)])
def test_one_slice_is_a_volume_as_thick_as_it_says(tmp_path, thickness, expected):
    grid = Grid(slices=1)
    stored = write_series(tmp_path, grid, SliceThickness=thickness)
    volume = read_folder(tmp_path)
    np.testing.assert_array_equal(volume.array[0], stored)
    np.testing.assert_allclose(volume.geometry.spacing, (0.75, 1.25, expected))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"SamplesPerPixel": 3}, "a colour image; only greyscale is read"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "a colour image; only greyscale is read"),
        ({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, "not integers of 8, 16 or 32 bits"),
        ({"HighBit": 11}, "bits allocated, bits stored and high bit contradict each other"),
        ({"BitsStored": 17, "HighBit": 16}, "bits allocated, bits stored and high bit contradict each other"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "a mosaic of many slices in one picture"),
        ({"RescaleSlope": "0"}, "rescale slope is 0"),
        ({"Rows": 0}, "0 rows, 9 columns and 1 frames make no image"),
        ({"Rows": 3}, "pixel data is 126 bytes, 1 frames of 3 x 9 pixels are 54"),
        ({"PixelSpacing": None}, "no position, orientation and pixel spacing in the patient"),
        ({"ImagePositionPatient": None}, "no position, orientation and pixel spacing in the patient"),
        ({"NumberOfFrames": "5"}, "pixel data is 126 bytes, 5 frames of 7 x 9 pixels are 630"),
    ],
)
def test_what_is_not_read_says_why(tmp_path, elements, message):
    write_series(tmp_path, Grid(), **elements)
    series = only_series(tmp_path)
    assert message in series.problem
    with pytest.raises(DataError, match=f"series of 5 files: .*{re.escape(message)}"):
        read_series(series)


def test_truncated_pixel_data(tmp_path):
    write_series(tmp_path, Grid())
    path = sorted(tmp_path.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-40])
    series = only_series(tmp_path)
    expected = r"pixel data is 86 bytes, 1 frames of 7 x 9 pixels are 126 \(1 of 5 files\)"
    with pytest.raises(ReadError, match=f"series of 5 files: {expected}"):
        read_series(series)


def test_series_that_changed_under_way(tmp_path):
    write_series(tmp_path, Grid())
    series = only_series(tmp_path)
    series.files[1].write_bytes(b"something else")
    with pytest.raises(ReadError, match="series of 5 files: file 2 does not belong to the series any more"):
        read_series(series)
    series.files[1].unlink()
    with pytest.raises(ReadError, match=r"series of 5 files: file 2: a file cannot be read \(No such file"):
        read_series(series)
