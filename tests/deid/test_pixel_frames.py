"""Pixels out of any transfer syntax and back, the windows they are seen in, and bits that belong to none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from picture_objects import CAPTURE, CT, as_file, picture_dataset, picture_file, pixels_of, written
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from medseg.core.errors import ReadError
from medseg.deid import pixel_frames
from medseg.deid.pixel_frames import Frames, read_frames, with_frames
from medseg.deid.pixel_views import Views, Window
from medseg.deid.unused_bits import has_embedded_overlay, without_unused_bits
from medseg.io.dicom_file import read_dicom

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


def compressed(values: np.ndarray, folder, syntax=RLELossless, **elements):
    dataset = picture_dataset(values, **elements)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.compress(syntax, values)
    return as_file(dataset, folder, syntax)


@pytest.mark.parametrize(
    "name",
    [
        *("SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"),
        *("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_rle_16bit_2frame.dcm"),
        *("examples_palette.dcm", "examples_ybr_color.dcm", "MR_small_bigendian.dcm", "J2K_pixelrep_mismatch.dcm"),
        *("MR_small_jpeg_ls_lossless.dcm", "MR_small_implicit.dcm", "rtdose_rle.dcm"),
    ],
)
def test_frames_are_those_that_pydicom_reads_before_and_after(name, tmp_path):
    path = get_testdata_file(name)
    file = read_dicom(Path(path))
    frames = read_frames(file)
    expected = pydicom.dcmread(path).pixel_array
    assert np.array_equal(frames.values.reshape(expected.shape), expected)
    after = written(with_frames(file, frames), tmp_path)
    assert np.array_equal(after.pixel_array, expected)
    assert after.ImageType[0] == "DERIVED"
    assert not after.file_meta.TransferSyntaxUID.is_compressed


def test_single_bits(tmp_path):
    bits = (RAMP % 3 == 0).astype(np.uint8)
    dataset = picture_dataset(bits)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    file = as_file(dataset, tmp_path)
    frames = read_frames(file)
    assert np.array_equal(frames.values[0], bits)
    assert np.array_equal(pixels_of(with_frames(file, frames), tmp_path), bits)
    assert Views(file.dataset, frames).pictures(frames.values[0])[0].max() == 255


def test_planes_of_colours(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    dataset = picture_dataset(colours, PlanarConfiguration=1)
    dataset.PixelData = colours.transpose(2, 0, 1).tobytes()
    file = as_file(dataset, tmp_path)
    frames = read_frames(file)
    assert np.array_equal(frames.values[0], colours)
    after = written(with_frames(file, frames), tmp_path)
    assert after.PlanarConfiguration == 0
    assert np.array_equal(after.pixel_array, colours)


def test_missing_image_type_becomes_derived_and_secondary(tmp_path):
    file = picture_file(tmp_path, RAMP, ImageType=None)
    assert list(with_frames(file, read_frames(file)).dataset.ImageType) == ["DERIVED", "SECONDARY"]


def test_extended_offsets_are_used(tmp_path):
    values = np.stack([RAMP, RAMP + 1])
    file = compressed(values, tmp_path)
    content = file.dataset.get_item(0x7FE00010).value
    first = 8 + int.from_bytes(content[4:8], "little")  # behind the basic offset table
    size = int.from_bytes(content[first + 4 : first + 8], "little")
    second = 8 + size
    file.dataset.add_new(0x7FE00001, "OV", np.array([0, second], "<u8").tobytes())
    file.dataset.add_new(0x7FE00002, "OV", np.array([size, len(content) - first - second - 8], "<u8").tobytes())
    assert np.array_equal(read_frames(file).values[0], RAMP)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PhotometricInterpretation": "HSV"}, "pixel data cannot be read|colour space"),
        ({"SamplesPerPixel": 2, "Columns": 4}, "samples or bits"),
        ({"BitsAllocated": 64, "Rows": 1}, "samples or bits"),
        ({"Rows": 0}, "make no image"),
    ],
)
def test_pixels_that_are_not_read(elements, message, tmp_path):
    dataset = picture_dataset(RAMP)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    with pytest.raises(ReadError, match=message):
        read_frames(as_file(dataset, tmp_path))


def test_cyan_magenta_yellow_is_not_read(tmp_path):
    colours = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ReadError, match="pixel data cannot be read|colour space"):
        read_frames(picture_file(tmp_path, colours, PhotometricInterpretation="YBR_PARTIAL_422"))


def test_float_pixels_are_not_read(tmp_path):
    dataset = picture_dataset(RAMP)
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros(64, np.float32).tobytes()
    with pytest.raises(ReadError, match="no integers"):
        read_frames(as_file(dataset, tmp_path))


def test_large_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    file = picture_file(tmp_path, RAMP)
    monkeypatch.setattr(pixel_frames, "_LARGEST", 63)
    with pytest.raises(ReadError, match="up to 0 MiB are searched"):
        read_frames(file)


def test_videos_are_not_read(tmp_path):
    file = compressed(RAMP, tmp_path)
    object.__setattr__(file, "syntax", "1.2.840.10008.1.2.4.102")
    with pytest.raises(ReadError, match="such as video"):
        read_frames(file)


def test_frames_of_another_size_are_refused(tmp_path):
    file = compressed(np.tile(RAMP, (8, 8)), tmp_path, JPEG2000Lossless)
    file.dataset.Rows = 4
    with pytest.raises(ReadError, match="another size"):
        read_frames(file)


def test_frames_of_more_bits_are_refused(tmp_path):
    file = compressed(np.tile(RAMP, (8, 8)).astype(np.uint16), tmp_path, JPEG2000Lossless)
    file.dataset.BitsAllocated = file.dataset.BitsStored = 8
    file.dataset.HighBit = 7
    with pytest.raises(ReadError, match="has 16 bits, allocated are 8"):
        read_frames(file)


def test_long_runs_and_missing_frames_are_refused(tmp_path):
    file = compressed(RAMP, tmp_path)
    file.dataset.NumberOfFrames = "2"
    with pytest.raises(ReadError, match="pixel data"):
        read_frames(file)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    file = compressed(noise, tmp_path)
    file.dataset.Rows = file.dataset.Columns = 2
    with pytest.raises(ReadError, match="longer than its pixels"):
        read_frames(file)


def test_views_of_a_slice_hold_text_of_the_highest_value(tmp_path):
    values = np.random.default_rng(0).integers(0, 1000, (40, 40)).astype(np.int16)
    values[0], values[1, :5] = -2000, 4000
    file = picture_file(
        tmp_path,
        values,
        CT,
        WindowCenter="40",
        WindowWidth="400",
        RescaleIntercept="-1000",
        RescaleSlope="1",
        PixelPaddingValue=-2000,
    )
    frames = read_frames(file)
    views = Views(file.dataset, frames)
    pictures = views.pictures(frames.values[0])
    assert len(pictures) == 3
    assert all(picture[1, 0] == 255 and picture[0].max() == 0 for picture in pictures)
    assert pictures[1][2:].max() < 70 < pictures[0][2:].max()
    header = pictures[2]
    assert (header[values <= 840] == 0).all()
    assert (header[values >= 1240] == 255).all()
    assert views.black(frames) == -2000


def test_like_windows_are_looked_at_once(tmp_path):
    values = np.linspace(0, 4095, 1600).reshape(40, 40).astype(np.uint16)
    file = picture_file(tmp_path, values, CT, WindowCenter="2048", WindowWidth="4000")
    frames = read_frames(file)
    assert len(Views(file.dataset, frames).pictures(frames.values[0])) == 1


def test_empty_and_padded_images_have_a_view(tmp_path):
    for elements in ({}, {"PixelPaddingValue": 5, "PixelPaddingRangeLimit": 9}):
        file = picture_file(tmp_path, np.full((4, 4), 7, np.uint16), CT, **elements)
        frames = read_frames(file)
        (picture,) = Views(file.dataset, frames).pictures(frames.values[0])
        assert picture.max() == 0


def test_a_slope_of_zero_counts_as_one(tmp_path):
    values = RAMP.astype(np.uint16)
    file = picture_file(tmp_path, values, CT, WindowCenter="10", WindowWidth="4", RescaleSlope="0")
    frames = read_frames(file)
    assert Views(file.dataset, frames).pictures(frames.values[0])[-1][1, 4] == 255


def test_windows():
    assert Window(0, 100).is_like(Window(10, 95))
    assert not Window(0, 100).is_like(Window(0, 120))


def palette_file(folder, entries: int = 64):
    lut = np.zeros(entries, "<u2")
    lut[:] = (np.arange(entries)[::-1] * 255 // entries) << 8
    dataset = picture_dataset(RAMP, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [entries, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", lut.tobytes())
    return as_file(dataset, folder)


def test_palettes_are_seen_in_colour(tmp_path):
    file = palette_file(tmp_path)
    frames = read_frames(file)
    views = Views(file.dataset, frames)
    (picture,) = views.pictures(frames.values[0])
    assert picture.shape == (8, 8, 3)
    assert picture[0, 0, 0] > picture[7, 7, 0]
    assert views.black(frames) == 63


def test_damaged_palettes_are_refused(tmp_path):
    file = palette_file(tmp_path)
    del file.dataset.RedPaletteColorLookupTableData
    with pytest.raises(ReadError, match="a palette cannot be read"):
        Views(file.dataset, read_frames(file))
    negative = Frames(np.full((1, 2, 2), -1, np.int16), "PALETTE COLOR", 16, 16)
    with pytest.raises(ReadError, match="negative"):
        Views(file.dataset, negative)


def test_darkest_values(tmp_path):
    dataset = picture_file(tmp_path, RAMP).dataset
    for photometric, black in (("MONOCHROME1", 63), ("MONOCHROME2", 0)):
        frames = Frames(RAMP[None], photometric, 8, 8)
        assert Views(dataset, frames).black(frames) == black
    colours = Frames(np.full((1, 2, 2, 3), 9, np.uint8), "RGB", 8, 8)
    assert Views(dataset, colours).black(colours) == 0


def test_colours_of_sixteen_bits_are_seen_in_eight(tmp_path):
    frames = Frames(np.full((1, 2, 2, 3), 65535, np.uint16), "RGB", 16, 16)
    (picture,) = Views(picture_file(tmp_path, RAMP).dataset, frames).pictures(frames.values[0])
    assert picture.dtype == np.uint8
    assert picture.max() == 255


def test_sheets_show_frames_side_by_side(tmp_path):
    dataset = picture_file(tmp_path, RAMP).dataset
    one = Frames(np.broadcast_to(RAMP, (1, 8, 8)), "MONOCHROME1", 8, 8)
    assert np.array_equal(Views(dataset, one).sheet(one)[0, :2], [255, 252])
    many = Frames(np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None], (20, 600, 5)), "MONOCHROME2", 8, 8)
    sheet = Views(dataset, many).sheet(many)
    assert sheet.shape == (900, 9)
    two = Frames(np.zeros((4, 8, 8, 3), np.uint8), "RGB", 8, 8)
    assert Views(dataset, two).sheet(two).shape == (16, 24, 3)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_overlays_in_unused_bits_go(syntax, tmp_path):
    values = RAMP.astype(np.uint16)
    hidden = values | (1 << 12)
    dataset = picture_dataset(hidden, CT, BitsStored=12, HighBit=11)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = hidden.astype(f"{order}u2").tobytes()
    file = as_file(dataset, tmp_path, syntax)
    after = without_unused_bits(file).dataset
    assert np.array_equal(np.frombuffer(after.PixelData, f"{order}u2").reshape(8, 8), values)
    assert file.dataset.PixelData == hidden.astype(f"{order}u2").tobytes()


def test_signs_may_be_repeated_or_not(tmp_path):
    values = RAMP.astype(np.int16) - 32
    for stored in (values, values & 0x0FFF):
        file = picture_file(tmp_path, stored.astype(np.int16), CT, BitsStored=12, HighBit=11)
        assert without_unused_bits(file) is file
    mixed = values.copy()
    mixed[0] &= 0x0FFF
    mixed[7] |= 0x1000
    file = without_unused_bits(picture_file(tmp_path, mixed, CT, BitsStored=12, HighBit=11))
    assert np.array_equal(np.frombuffer(file.dataset.PixelData, "<i2").reshape(8, 8), values)


def test_bits_below_the_lowest_go(tmp_path):
    values = (RAMP.astype(np.uint16) << 4) | 3
    file = without_unused_bits(picture_file(tmp_path, values, CT, BitsStored=12, HighBit=15))
    assert np.array_equal(np.frombuffer(file.dataset.PixelData, "<u2").reshape(8, 8), values & 0xFFF0)


def test_bytes_behind_the_last_pixel_go(tmp_path):
    dataset = picture_dataset(RAMP)
    dataset.PixelData += b"JOHN"
    assert without_unused_bits(as_file(dataset, tmp_path)).dataset.PixelData == RAMP.tobytes()
    odd = picture_dataset(RAMP[:3, :3])
    odd.PixelData = RAMP[:3, :3].tobytes() + b"JOH"
    assert without_unused_bits(as_file(odd, tmp_path)).dataset.PixelData == RAMP[:3, :3].tobytes() + b"\0"


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Rows": 9},
        {"BitsStored": 20},
        {"BitsStored": 0},
        {"PhotometricInterpretation": "YBR_FULL_422", "BitsStored": 7, "HighBit": 6},
    ],
)
def test_other_pixel_data_stays_as_it_is(elements, tmp_path):
    file = picture_file(tmp_path, RAMP, **elements)
    assert without_unused_bits(file).dataset.PixelData == RAMP.tobytes()
    big = as_file(picture_dataset(RAMP, BitsStored=7, HighBit=6), tmp_path, ExplicitVRBigEndian)
    assert without_unused_bits(big) is big


def test_no_pixels_have_no_unused_bits(tmp_path):
    dataset = picture_dataset(RAMP, CAPTURE)
    del dataset.PixelData
    file = as_file(dataset, tmp_path)
    assert without_unused_bits(file) is file


def test_overlays_in_compressed_pixels_go(tmp_path):
    values = RAMP.astype(np.uint16)
    file = compressed(values | (1 << 12), tmp_path)
    file.dataset.BitsStored, file.dataset.HighBit = 12, 11
    assert without_unused_bits(file) is file
    file.dataset.add_new(0x60020102, "US", 12)
    assert has_embedded_overlay(file.dataset)
    after = without_unused_bits(file)
    assert after.syntax == ExplicitVRLittleEndian
    assert np.array_equal(pixels_of(after, tmp_path), values)
    assert list(after.dataset.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
