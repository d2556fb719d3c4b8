"""Pictures as volumes with k = 1."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from factories import geometry
from image_readers import picture_grid
from PIL import Image

from medseg.core.errors import InputError, LabelError, ReadError
from medseg.core.geometry import LengthUnit
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import read_label_map, read_volume, write_label_map, write_volume

ROWS, COLUMNS = 3, 4
GREY = np.arange(12, dtype=np.uint8).reshape(ROWS, COLUMNS) * 20


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file made by hand, for what Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def saved(tmp_path, pixels: np.ndarray, name="a.png"):
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


class TestReading:
    def test_columns_run_to_the_left_and_rows_to_the_back(self, tmp_path):
        read = read_volume(saved(tmp_path, GREY))
        assert read.geometry.shape == (COLUMNS, ROWS, 1)
        assert read.geometry.axis_codes == "LPS"
        assert read.geometry.unit is LengthUnit.PIXEL
        assert read.geometry.spacing == (1.0, 1.0, 1.0)
        assert read.array[0, 3, 1, 0] == GREY[1, 3]

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_greys_keep_their_bits(self, tmp_path, suffix, dtype):
        pixels = GREY.astype(dtype) * ((dtype == np.uint16 and 250) or 1)
        read = read_volume(saved(tmp_path, pixels, f"a{suffix}"))
        assert read.array.dtype == dtype
        assert np.array_equal(read.array[0, ..., 0].T, pixels)

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_tiff_holds_more(self, tmp_path, dtype):
        read = read_volume(saved(tmp_path, GREY.astype(dtype) - 50, "a.tif"))
        assert read.array.dtype == dtype
        assert np.array_equal(read.array[0, ..., 0].T, GREY.astype(dtype) - 50)

    def test_big_endian_tiff(self, tmp_path):
        saved(tmp_path, GREY.astype(">u2"), "a.tif")
        assert read_volume(tmp_path / "a.tif").array.dtype == np.dtype("=u2")

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    @pytest.mark.parametrize("bands", [3, 4])
    def test_colours_are_channels_and_transparency_goes(self, tmp_path, name, bands):
        pixels = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, bands)).astype(np.uint8)
        read = read_volume(saved(tmp_path, pixels, name))
        assert read.channels == ("red", "green", "blue")
        assert np.array_equal(read.array[..., 0].transpose(2, 1, 0), pixels[..., :3])

    def test_grey_with_transparency_is_grey(self, tmp_path):
        Image.fromarray(GREY).convert("LA").save(tmp_path / "a.png")
        assert np.array_equal(read_volume(tmp_path / "a.png").array[0, ..., 0].T, GREY)

    def test_jpeg(self, tmp_path):
        pixels = np.full((ROWS, COLUMNS, 3), (200, 100, 50), np.uint8)
        read = read_volume(saved(tmp_path, pixels, "a.jpg"))
        assert read.channels == ("red", "green", "blue")
        assert np.abs(read.array[:, 0, 0, 0].astype(int) - (200, 100, 50)).max() <= 3

    def test_a_palette_is_colours_in_an_image_and_indices_in_a_label_map(self, tmp_path):
        picture = Image.fromarray((GREY // 100).astype(np.uint8), mode=None).convert("L")
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        picture.save(tmp_path / "a.png")
        colours = read_volume(tmp_path / "a.png")
        assert colours.array[:, 3, 2, 0].tolist() == [0, 255, 0]
        assert np.array_equal(read_label_map(tmp_path / "a.png").array[..., 0].T, GREY // 100)

    @pytest.mark.parametrize(("bits", "row", "values"), [(1, 0b10100000, [1, 0, 1]), (2, 0b01101100, [1, 2, 3])])
    def test_packed_greys_are_not_stretched(self, tmp_path, bits, row, values):
        (tmp_path / "a.png").write_bytes(png(3, 1, bits, 0, bytes([0, row])))
        assert read_label_map(tmp_path / "a.png").array[:, 0, 0].tolist() == values

    def test_a_jpeg_with_a_preview_is_one_picture(self, tmp_path):
        picture = Image.fromarray(GREY)
        picture.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[picture])
        assert read_volume(tmp_path / "a.jpg").geometry.shape == (COLUMNS, ROWS, 1)


class TestRefusing:
    def test_colours_of_16_bits(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, bytes(13)))
        with pytest.raises(ReadError, match=r"a\.png: holds colours of 16 bits, of which 8 would be lost"):
            read_volume(tmp_path / "a.png")

    def test_other_colour_spaces(self, tmp_path):
        Image.new("CMYK", (4, 3)).save(tmp_path / "a.tif")
        with pytest.raises(ReadError, match=r"a\.tif: stores pixels as 'CMYK', which is not read"):
            read_volume(tmp_path / "a.tif")

    def test_signed_bytes(self, tmp_path):
        picture = Image.fromarray(GREY)
        picture.save(tmp_path / "a.tif", tiffinfo={339: 2})
        with pytest.raises(ReadError, match=r"a\.tif: stores pixels as 'L', which is not read"):
            read_volume(tmp_path / "a.tif")

    @pytest.mark.parametrize("name", ["a.tif", "a.png"])
    def test_stacks(self, tmp_path, name):
        pages = [Image.fromarray(GREY), Image.fromarray(GREY + 1)]
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(ReadError, match=rf"{name}: holds 2 pictures; write each to its own file"):
            read_volume(tmp_path / name)

    def test_pixel_bomb(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png(100_000, 100_000, 8, 0, bytes(1)))
        with pytest.raises(ReadError, match=r"a\.png: has more than 178956970 pixels"):
            read_volume(tmp_path / "a.png")

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
    def test_truncated(self, tmp_path, name):
        path = saved(tmp_path, np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8), name)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ReadError, match=rf"{name}: truncated or damaged"):
            read_volume(path)


class TestWriting:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_label_maps_come_back_with_their_values(self, tmp_path, suffix, dtype):
        labels = LabelMap(np.array([[0, 1, 2], [0, 255, 7]], dtype).reshape(2, 3, 1), picture_grid(2, 3))
        write_label_map(tmp_path / f"a{suffix}", labels)
        read = read_label_map(tmp_path / f"a{suffix}")
        assert read.array.dtype == dtype
        assert np.array_equal(read.array, labels.array)
        assert read.geometry.is_close(labels.geometry)

    def test_label_maps_are_grey_for_other_programs(self, tmp_path):
        labels = LabelMap(np.array([0, 1, 255], np.uint8).reshape(3, 1, 1), picture_grid(3, 1))
        write_label_map(tmp_path / "a.png", labels)
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == "L"
            assert np.asarray(picture).tolist() == [[0, 1, 255]]

    def test_colours_come_back(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 1)).astype(np.uint8)
        write_volume(tmp_path / "a.png", Volume(pixels, picture_grid(4, 5), ("red", "green", "blue")))
        assert np.array_equal(read_volume(tmp_path / "a.png").array, pixels)

    @pytest.mark.parametrize("codes", ["LPS", "RAS", "AIR", "SPL"])
    def test_a_turned_picture_is_turned_back(self, tmp_path, codes):
        source = Volume(np.arange(20, dtype=np.uint8).reshape(1, 4, 5, 1), picture_grid(4, 5))
        write_volume(tmp_path / "a.png", source.reoriented(codes))
        assert np.array_equal(read_volume(tmp_path / "a.png").array, source.array)

    def test_millimetres_and_stacks_are_refused(self, tmp_path):
        for grid in (geometry((4, 5, 1)), geometry((4, 5, 2))):
            with pytest.raises(InputError, match=r"a \.png file holds no millimetres and one slice only"):
                write_volume(tmp_path / "a.png", Volume(np.zeros((1, *grid.shape), np.uint8), grid))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("channels", "dtype"), [(1, np.int16), (2, np.uint8), (3, np.uint16), (1, np.float32)])
    def test_what_would_lose_something_is_refused(self, tmp_path, channels, dtype):
        names = ("red", "green", "blue")[:channels]
        with pytest.raises(InputError, match=rf"{channels} channels of {dtype.__name__} do not go into a \.png file"):
            write_volume(tmp_path / "a.png", Volume(np.zeros((channels, 4, 5, 1), dtype), picture_grid(4, 5), names))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.real_data
def test_nuclei(real_data):
    images = sorted(real_data.glob("dsb2018_nuclei/*/images/*.png"))
    assert len(images) == 45
    for path in images:
        read = read_volume(path)
        masks = sorted((path.parent.parent / "masks").iterdir())
        mask = read_label_map(masks[0])
        assert read.channels == ("red", "green", "blue")
        assert mask.geometry.is_close(read.geometry)
        assert np.unique(mask.array).tolist() == [0, 255]
        with Image.open(path) as picture:
            assert np.array_equal(read.array[0, ..., 0].T, np.asarray(picture)[..., 0])


def test_a_jpeg_is_no_label_map(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "labels.jpg")
    with pytest.raises(LabelError, match="labels.jpg: a JPEG changes values"):
        read_label_map(tmp_path / "labels.jpg")
