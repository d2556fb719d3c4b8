"""What lies beside the pixels of compressed frames: it goes, and frames that nobody would search are refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from picture_objects import CT, ULTRASOUND, BlindFinder, BrightFinder, as_file, picture_dataset, written
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from medseg.config.deid import TextSearch
from medseg.core.errors import ReadError
from medseg.deid.coded_frames import with_bare_frames
from medseg.deid.pixel_frames import read_frames
from medseg.deid.pixels import PixelResult, clean_pixels
from medseg.deid.unused_bits import without_unused_bits
from medseg.io.dicom_file import read_dicom

GREY = np.random.default_rng(0).integers(20, 200, (32, 40)).astype(np.uint8)
PIXELS = 0x7FE00010


def camera_jpeg(values=GREY) -> bytes:
    """As a camera writes it."""
    exif = Image.Exif()
    exif[0x0132], exif[0x013B] = "2019:06:07 10:11:12", "MARK artist"
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", exif=exif, comment="MARK comment", icc_profile=b"MARK profile")
    return buffer.getvalue()


def coded(folder, frames, syntax=JPEGBaseline8Bit, sop_class=ULTRASOUND, table=True, **elements):
    dataset = picture_dataset(GREY, sop_class, **elements)
    dataset.PixelData = encapsulate(frames, has_bot=table)
    dataset["PixelData"].is_undefined_length = True
    return as_file(dataset, folder, syntax)


def stored(file) -> bytes:
    return file.dataset.get_item(PIXELS).value


def cleaned(file, finder):
    return clean_pixels(file, TextSearch.DOUBTFUL, finder, reviewed=False)


def with_comment(frame: bytes, end: int, marker: int) -> bytes:
    comment = b"\0\1MARK"
    return frame[:end] + bytes((0xFF, marker)) + struct.pack(">H", len(comment) + 2) + comment + frame[end:]


def test_what_a_camera_wrote_goes_and_the_coded_pixels_stay(tmp_path):
    frames = [camera_jpeg(), camera_jpeg(GREY[::-1].copy())]
    file = coded(tmp_path, frames, NumberOfFrames="2")
    before = written(file, tmp_path).pixel_array
    result, outcome = cleaned(file, BlindFinder())
    assert outcome.result is PixelResult.SEARCHED
    assert result.syntax == JPEGBaseline8Bit
    assert not any(mark in stored(result) for mark in (b"MARK", b"2019:06:07", b"Exif"))
    assert frames[1][frames[1].index(b"\xff\xda") :] in stored(result)
    assert np.array_equal(written(result, tmp_path).pixel_array, before)
    assert with_bare_frames(result) is result


def test_comments_of_codestreams_are_zeros(tmp_path):
    values = GREY.astype(np.int16)
    dataset = picture_dataset(values, CT)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.compress(JPEG2000Lossless, values, encoding_plugin="pylibjpeg")
    frame = with_comment(next(generate_frames(dataset.PixelData, number_of_frames=1)), 2 + 43, 0x64)
    tile = frame.index(b"\xff\x90\0\x0a")
    (size,) = struct.unpack_from(">L", frame, tile + 6)
    commented = with_comment(frame, tile + 12, 0x64)
    commented = commented[: tile + 6] + struct.pack(">L", size + len(commented) - len(frame)) + commented[tile + 10 :]
    dataset.PixelData = encapsulate([commented + b"MARK"])
    file = as_file(dataset, tmp_path, JPEG2000Lossless)
    result, outcome = cleaned(file, BlindFinder())
    assert outcome.result is PixelResult.NOT_SUSPECT
    assert stored(file).count(b"MARK") == 3
    assert b"MARK" not in stored(result)
    assert b"OpenJPEG" not in stored(result)
    assert np.array_equal(written(result, tmp_path).pixel_array, GREY)
    assert with_bare_frames(result) is result


def test_lossless_jpeg_is_taken_apart_too(tmp_path):
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm")
    original = pydicom.dcmread(path)
    file = read_dicom(Path(path))
    assert with_bare_frames(file) is file
    frame = next(generate_frames(original.PixelData, number_of_frames=1))
    original.PixelData = encapsulate([with_comment(frame, 2, 0xFE)])
    result = with_bare_frames(as_file(original, tmp_path, original.file_meta.TransferSyntaxUID))
    assert b"MARK" not in stored(result)
    assert np.array_equal(written(result, tmp_path).pixel_array, pydicom.dcmread(path).pixel_array)


def test_frames_in_a_file_of_their_own_are_decoded(tmp_path):
    path = get_testdata_file("GDCMJ2K_TextGBR.dcm")
    file = read_dicom(Path(path))
    with pytest.raises(ReadError, match="no JPEG 2000 codestream"):
        with_bare_frames(file)
    result = without_unused_bits(file)
    assert result.syntax == ExplicitVRLittleEndian
    assert np.array_equal(read_frames(result).values, read_frames(file).values)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("elements", [{}, {"NumberOfFrames": "2"}])
def test_frames_that_the_header_does_not_count_are_refused(tmp_path, table, elements):
    frames = [camera_jpeg()] * (int(elements.get("NumberOfFrames", 1)) + 1)
    finder = BrightFinder()
    file = coded(tmp_path, frames, table=table, **elements)
    _, outcome = cleaned(file, finder)
    assert (outcome.result, finder.calls) == (PixelResult.DOUBTFUL, 0)
    assert "pixel data holds more frames than the" in outcome.reason
    with pytest.raises(ReadError, match="holds more frames"):
        read_frames(file)


def test_a_second_run_length_frame_is_refused(tmp_path):
    file = coded(tmp_path, [b"one frame", b"and another"], RLELossless, table=False)
    with pytest.raises(ReadError, match="holds more frames than the 1"):
        with_bare_frames(file)


def test_bytes_between_frames_go(tmp_path):
    frame = camera_jpeg()
    file = coded(tmp_path, [frame, b"MARK"], table=False)
    file.dataset.add_new(0x7FE00001, "OV", bytes(8))
    file.dataset.add_new(0x7FE00002, "OV", struct.pack("<Q", len(frame)))
    result = with_bare_frames(file)
    assert b"MARK" not in stored(result)
    assert 0x7FE00001 not in result.dataset
    assert written(result, tmp_path).pixel_array.shape == GREY.shape


def test_slices_in_an_unknown_coding_are_not_believed(tmp_path):
    file = coded(tmp_path, [b"MARK"], "1.2.840.10008.1.2.4.102", CT)
    _, outcome = cleaned(file, BlindFinder())
    assert outcome.result is PixelResult.DOUBTFUL
    assert "such as video" in outcome.reason


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\x4f\xff\x51",
        b"\xff\x4f\xff\x51\0\x04ab\xff\x93\xff\xd9",
        b"\xff\x4f\xff\x51\0\x04ab\xff\x70\0\4ab\xff\xd9",
        b"\xff\x4f\xff\x51\0\x04ab\xff\x90\0\x0a\0\0\0\0\0\x99\0\1\xff\x93ab\xff\xd9",
    ],
)
def test_damaged_codestreams_are_refused(tmp_path, frame):
    with pytest.raises(ReadError, match="damaged JPEG 2000 codestream"):
        with_bare_frames(coded(tmp_path, [frame], JPEG2000Lossless))
