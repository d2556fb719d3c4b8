"""Compressed pixels, against the encoder's input, and against SimpleITK for files of other makers."""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_factories import (
    Grid,
    enhanced_dataset,
    only_series,
    read_folder,
    series_datasets,
    voxels,
    write_files,
    write_series,
)
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from medseg.core.errors import ReadError
from medseg.io.dicom_codestream import FrameHeader, frame_header
from medseg.io.dicom_instance import Image, read_instance
from medseg.io.dicom_pixels import read_frames
from medseg.io.dicom_read import read_series

LARGE = Grid(columns=41, rows=33, tilt_degrees=(12.0, -25.0, 7.0))
"""Large enough for the default number of resolutions of JPEG 2000."""
ONE = Grid(columns=41, rows=33, slices=1)
ENCODERS = {uid.JPEG2000Lossless: "pylibjpeg", uid.JPEGLSLossless: "pyjpegls", uid.RLELossless: "pylibjpeg"}
LOSSLESS = list(ENCODERS)


def compressed(datasets, syntax):
    for dataset in datasets:
        dataset.compress(syntax, encoding_plugin=ENCODERS[syntax], generate_instance_uid=False)
    return datasets


def write_compressed(folder, syntax, stored, grid=LARGE, **elements):
    write_files(folder, compressed(series_datasets(grid, stored, **elements), syntax), syntax)


def recoded(path, syntax):
    """Compress a file in place by GDCM."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("dtype", "low", "high", "stored_bits"),
    [(np.uint8, 0, 256, 8), (np.uint16, 0, 4096, 12), (np.uint16, 0, 65536, 16), (np.int16, -1024, 3000, 16)],
)
def test_lossless_series_is_exact(tmp_path, syntax, dtype, low, high, stored_bits):
    stored = voxels(LARGE, low, high, dtype=dtype)
    write_compressed(tmp_path, syntax, stored, BitsStored=stored_bits, HighBit=stored_bits - 1)
    volume = read_folder(tmp_path)
    np.testing.assert_array_equal(volume.array[0], stored)
    np.testing.assert_allclose(volume.geometry.affine, LARGE.affine, atol=1e-6)


@pytest.mark.parametrize(
    "syntax", [gdcm.TransferSyntax.JPEGLosslessProcess14, gdcm.TransferSyntax.JPEGLosslessProcess14_1]
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_lossless_jpeg_is_exact(tmp_path, syntax, dtype):
    stored = write_series(tmp_path, LARGE, voxels(LARGE, 0, 4096, dtype=dtype))
    for path in tmp_path.iterdir():
        recoded(path, syntax)
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)


def test_baseline_jpeg_is_close(tmp_path):
    grid = Grid(columns=32, rows=24, slices=3)
    smooth = (np.indices((32, 24, 3)).sum(0) * 3).astype(np.uint8)
    write_series(tmp_path, grid, smooth)
    for path in tmp_path.iterdir():
        recoded(path, gdcm.TransferSyntax.JPEGBaselineProcess1)
    series = only_series(tmp_path)
    array = read_series(series).array[0]
    assert np.abs(array - smooth.astype(int)).max() <= 8
    first = sitk.GetArrayFromImage(sitk.ReadImage(str(series.files[0])))[0].T
    np.testing.assert_array_equal(array[:, :, 0], first)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
        "MR_small_RLE.dcm",
        "CT_small.dcm",
        "MR_small_expb.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "examples_overlay.dcm",
    ],
)
def test_files_of_other_makers_agree_with_simpleitk(name):
    path = Path(get_testdata_file(name, download=False))
    image = read_instance(path).image
    assert isinstance(image, Image)
    frames = np.stack(list(read_frames(path, image.encoding)))
    plane = image.planes[0]
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(frames * plane.slope + plane.intercept, expected)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_frame_of_another_size_is_refused_before_decoding(tmp_path, syntax):
    datasets = compressed(series_datasets(LARGE, voxels(LARGE)), syntax)
    for dataset in datasets:
        dataset.Rows = 340
    write_files(tmp_path, datasets, syntax)
    with pytest.raises(
        ReadError, match="frame is 41 x 33 x 1, its data set says 41 x 340 x 1|pixel data cannot be read"
    ):
        read_folder(tmp_path)


def lying(change):
    """One frame of JPEG 2000 whose bytes were changed."""
    dataset = compressed(series_datasets(ONE, voxels(ONE)), uid.JPEG2000Lossless)[0]
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([change(frame)])
    return dataset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: b"nothing at all", "a compressed frame is damaged"),
        (lambda frame: frame[:30], "a compressed frame is damaged"),
        (lambda frame: frame[: len(frame) // 2], "a compressed frame is damaged"),
        (lambda frame: frame[: len(frame) // 2] + b"\xff\xd9", "pixel data cannot be read"),
        (lambda frame: frame[:42] + b"\x1f" + frame[43:], "a compressed frame has 32 bits, allocated are 16"),
        (lambda frame: frame[:8] + b"\x7f\xff\xff\xff" + frame[12:], "a compressed frame is 2147483647 x 33 x 1"),
    ],
)
def test_damaged_frame(tmp_path, change, message):
    write_files(tmp_path, [lying(change)], uid.JPEG2000Lossless)
    with pytest.raises(ReadError, match=f"series of 1 files: {message}"):
        read_folder(tmp_path)


def test_of_several_damaged_files_the_first_is_told(tmp_path):
    """Whatever the order in which threads come upon them."""
    grid = Grid(columns=41, rows=33, slices=12)
    datasets = compressed(series_datasets(grid, voxels(grid)), uid.JPEG2000Lossless)
    changes = {2: lambda frame: frame[:42] + b"\x1f" + frame[43:], 9: lambda _: b"nothing at all"}
    for dataset, change in ((datasets[index], change) for index, change in changes.items()):
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([change(frame)])
    write_files(tmp_path, datasets, uid.JPEG2000Lossless)
    for _ in range(5):
        with pytest.raises(ReadError, match="series of 12 files: a compressed frame has 32 bits, allocated are 16"):
            read_folder(tmp_path)


@pytest.mark.parametrize("has_table", [True, False])
def test_too_few_frames(tmp_path, has_table):
    (dataset,) = compressed([enhanced_dataset(LARGE, voxels(LARGE), range(5))], uid.JPEG2000Lossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=5))
    dataset.PixelData = encapsulate(frames[:4], has_bot=has_table)
    write_files(tmp_path, [dataset], uid.JPEG2000Lossless)
    with pytest.raises(ReadError, match=r"pixel data (holds 4 of 5 frames|cannot be read \(ValueError\))"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "bits", "message"),
    [
        (uid.MPEG2MPML, 8, "a transfer syntax that cannot be decoded, such as video"),
        (uid.UID("1.2.840.10008.1.2.4.95"), 8, "a transfer syntax that cannot be decoded, such as video"),
        (uid.JPEGExtended12Bit, 12, "lossy JPEG of 12 bits cannot be decoded; convert it with dcmdjpeg"),
    ],
)
def test_what_cannot_be_decoded_says_so_by_its_header(tmp_path, syntax, bits, message):
    datasets = compressed(series_datasets(LARGE, voxels(LARGE)), uid.RLELossless)
    for dataset in datasets:
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
    write_files(tmp_path, datasets, syntax)
    problem = only_series(tmp_path).problem
    assert message in problem
    assert "1.2" not in problem


def test_cut_off_file_is_refused_and_not_half_decoded(tmp_path):
    stored = voxels(LARGE, 0, 4096, dtype=np.uint16)
    for folder, syntax in enumerate(LOSSLESS):
        write_compressed(tmp_path / str(folder), syntax, stored)
        path = next((tmp_path / str(folder)).iterdir())
        for kept in (-5, -9, -40, -600):
            path.write_bytes(path.read_bytes()[:kept])
            with pytest.raises(ReadError, match="series of 5 files: compressed pixel data is cut off"):
                read_folder(tmp_path / str(folder))


BROKEN_JPEG = {
    "no table": lambda frame: frame.replace(b"\xff\xc4", b"\xff\xe4"),
    "other table": lambda frame: frame.replace(b"\xff\xda\x00\x08\x01\x01\x00", b"\xff\xda\x00\x08\x01\x01\x20"),
    "no scan": lambda frame: frame.replace(b"\xff\xda", b"\xff\xea"),
    "no end": lambda frame: frame[:-40],
    "broken chain": lambda frame: frame[:2] + b"\x00" + frame[3:],
}


@pytest.mark.parametrize("kind", BROKEN_JPEG)
def test_lossless_jpeg_that_would_end_the_process(tmp_path, kind):
    write_series(tmp_path, ONE, voxels(ONE, 0, 4096, dtype=np.uint16))
    (path,) = tmp_path.iterdir()
    recoded(path, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    dataset = pydicom.dcmread(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([BROKEN_JPEG[kind](frame)])
    dataset.save_as(path)
    with pytest.raises(ReadError, match="series of 1 files: a compressed frame is damaged"):
        read_folder(tmp_path)


def test_frame_headers():
    start = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08\x00\x07\x00\x09\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00data\xff\xd9"
    assert frame_header(start + scan) == FrameHeader(rows=7, columns=9, samples=1, precision=8)
    assert frame_header(b"\xff\xd8" + scan) is None
    assert frame_header(start + b"\xff\xd9") is None
    assert frame_header(b"") is None
    assert frame_header(b"\xff\x4f\xff\x51 cut \xff\xd9") is None
