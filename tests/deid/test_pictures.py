"""PNG and JPEG files: the pixels stay, what lies beside them goes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from medseg.core.errors import ReadError
from medseg.deid import pictures
from medseg.deid.pictures import clean_jpeg, clean_png

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 11, 3)).astype(np.uint8)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010E] = "MARK description"
    made[0x0112] = 6
    return made


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(columns=3, rows=2, bits=8, colour=0, interlaced=0, data=None, beside=b"") -> bytes:
    data = bytes(rows * (1 + columns)) if data is None else data
    header = struct.pack(">2I5B", columns, rows, bits, colour, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + beside + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def cleaned_png(tmp_path, content: bytes):
    (tmp_path / "MARK.png").write_bytes(content)
    result = clean_png(tmp_path / "MARK.png", tmp_path / "b.png")
    return result, (tmp_path / "b.png").read_bytes()


def cleaned_jpeg(tmp_path, content: bytes):
    (tmp_path / "MARK.jpg").write_bytes(content)
    result = clean_jpeg(tmp_path / "MARK.jpg", tmp_path / "b.jpg")
    return result, (tmp_path / "b.jpg").read_bytes()


def test_png_keeps_pixels_only(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", "MARK^Doe")
    texts.add_text("Packed", "MARK packed text", zip=True)
    texts.add_itxt("Author", "MARK author")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=texts, exif=exif(), icc_profile=b"MARK profile", dpi=(96, 96))
    result, content = cleaned_png(tmp_path, buffer.getvalue() + b"MARK behind the end")
    new = Image.open(io.BytesIO(content))
    assert np.array_equal(np.asarray(new), PIXELS)
    assert b"MARK" not in content
    assert set(new.info) == {"dpi"}
    values = b" ".join(removed.value for removed in result.taken)
    assert b"MARK^Doe" in values
    assert b"MARK author" in values
    assert b"MARK behind the end" in values
    assert (result.format, result.may_show_text, result.may_show_face) == ("PNG", True, False)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_every_mode(tmp_path, mode):
    picture = Image.fromarray(PIXELS).convert(mode) if mode != "I;16" else Image.fromarray(PIXELS[..., 0].astype("u2"))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **({"transparency": 0} if mode in ("P", "L") else {}))
    _, content = cleaned_png(tmp_path, buffer.getvalue())
    old, new = Image.open(buffer), Image.open(io.BytesIO(content))
    assert (old.mode, old.getpalette(), old.info) == (new.mode, new.getpalette(), new.info)
    assert np.array_equal(np.asarray(old), np.asarray(new))


ADAM_7 = np.array(
    [[1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8, [3, 6, 4, 6] * 2, [7] * 8, [5, 6] * 4, [7] * 8]
)


def interlaced_size(columns: int, rows: int, bits: int) -> int:
    """Bytes of an interlaced picture, counted pixel by pixel (PNG, 8.2)."""
    passes = np.tile(ADAM_7, (rows // 8 + 1, columns // 8 + 1))[:rows, :columns]
    counts = [(passes == one).sum(axis=1) for one in range(1, 8)]
    return sum(1 + -(-int(count) * bits // 8) for one in counts for count in one if count)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8), (9, 17), (5, 1)])
@pytest.mark.parametrize(("bits", "colour", "samples"), [(1, 0, 1), (4, 3, 1), (8, 2, 3), (16, 6, 4)])
def test_interlaced_png(tmp_path, size, bits, colour, samples):
    beside = chunk(b"PLTE", bytes(48)) if colour == 3 else b""
    _, content = cleaned_png(tmp_path, png(*size, bits, colour, 1, bytes(100_000), beside))
    data = zlib.decompress(content[content.index(b"IDAT") + 4 : -16])
    assert len(data) == interlaced_size(*size, bits * samples)
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == size


def test_pixels_behind_the_picture_go(tmp_path):
    _, content = cleaned_png(tmp_path, png(data=bytes(8) + b"MARK cropped away"))
    assert zlib.decompress(content[content.index(b"IDAT") + 4 : -16]) == bytes(8)


def test_chunks_that_are_longer_than_they_may_be_go(tmp_path):
    beside = chunk(b"gAMA", b"MARK gamma") + chunk(b"tRNS", b"MARK" * 200) + chunk(b"sRGB", b"\0")
    _, content = cleaned_png(tmp_path, png(beside=beside))
    assert b"MARK" not in content
    assert b"sRGB" in content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", "not a PNG file"),
        (png()[:-20], "truncated or damaged; it has no end"),
        (png().replace(b"IHDR", b"IHDX"), "its header is damaged or it has no end"),
        (png(beside=chunk(b"acTL", bytes(8))), "holds an animation; write each picture to its own file"),
        (png(data=bytes(3)), "truncated or damaged; its header promises 8 bytes"),
        (png(colour=5), "its header is damaged"),
        (png(bits=3), "its header is damaged"),
        (png(interlaced=2), "its header is damaged"),
        (png(columns=0), "its header is damaged"),
        (png(100_000, 100_000, data=b""), "has more than 178956970 pixels, the largest picture that is read"),
        (png().replace(b"\x78\x9c", b"\0\0"), "truncated or damaged, so it cannot be decoded"),
    ],
)
def test_refused_png(tmp_path, content, message):
    with pytest.raises(ReadError, match=f"^{message}"):
        cleaned_png(tmp_path, content)
    assert [path.name for path in tmp_path.iterdir()] == ["MARK.png"]


def jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(options.pop("mode", "RGB")).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}, {"restart_marker_rows": 1}]
)
def test_jpeg_keeps_coded_pixels_only(tmp_path, options):
    source = jpeg(exif=exif(), icc_profile=b"MARK profile", comment="MARK comment", **options) + b"MARK behind the end"
    result, content = cleaned_jpeg(tmp_path, source)
    old, new = Image.open(io.BytesIO(source)), Image.open(io.BytesIO(content))
    assert old.mode == new.mode
    assert np.array_equal(np.asarray(old), np.asarray(new))
    assert b"MARK" not in content
    assert b"Exif" not in content
    assert source[source.index(b"\xff\xda") : source.index(b"\xff\xd9")] in content
    values = [removed.value for removed in result.taken]
    assert b"MARK comment" in values
    assert b"MARK behind the end" in values
    assert (result.format, result.may_show_text) == ("JPEG", True)


def test_previews_and_odd_segments_of_a_jpeg_go(tmp_path):
    source = jpeg()
    jfif = b"JFIF\0\1\1\0\0\1\0\1\2\2" + b"MARK preview"
    jfxx = b"JFXX\0MARK preview"
    adobe = b"Adobe\0\x64\0\0\0\0\1MARK more"
    odd = [(0xE0, jfif), (0xE0, jfxx), (0xEE, adobe), *((marker, b"MARK") for marker in (0xE0, 0xEE, 0xF0, 0xFE))]
    segments = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data for marker, data in odd)
    _, content = cleaned_jpeg(tmp_path, source[:2] + b"\xff" + segments + b"\xff\x01" + source[2:])
    assert b"MARK" not in content
    assert content.count(b"JFIF\0\1\1\0\0\1\0\1\0\0") == 2
    assert b"Adobe\0\x64\0\0\0\0\1" in content
    assert Image.open(io.BytesIO(content)).size == (11, 13)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", "not a JPEG file"),
        (b"\xff\xd8", "truncated or damaged; a segment does not begin where it should"),
        (b"\xff\xd8abc", "truncated or damaged; a segment does not begin where it should"),
        (b"\xff\xd8\xff\xff", "truncated or damaged; it has no end"),
        (b"\xff\xd8\xff\xdb\0\x43", "truncated or damaged; a segment has no end"),
        (b"\xff\xd8\xff\xdb\0\1", "truncated or damaged; a segment has no end"),
        (jpeg()[:-2], "truncated or damaged; it has no end"),
        (jpeg()[:-1], "truncated or damaged; it has no end"),
        (jpeg().replace(b"\x08\x00\x0d\x00\x0b", b"\x08\xff\xff\xff\xff"), "has more than 178956970 pixels"),
        (b"\xff\xd8\xff\xc0\0\2\xff\xd9", "truncated or damaged, so it cannot be decoded"),
    ],
)
def test_refused_jpeg(tmp_path, content, message):
    with pytest.raises(ReadError, match=f"^{message}"):
        cleaned_jpeg(tmp_path, content)
    assert [path.name for path in tmp_path.iterdir()] == ["MARK.jpg"]


def test_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST_FILE", 2**20)
    with pytest.raises(ReadError, match="^takes more than 1 MiB, the largest picture file that is read$"):
        cleaned_png(tmp_path, png() + bytes(2**20))


def test_idempotent(tmp_path):
    cleaned_png(tmp_path, png())
    cleaned_jpeg(tmp_path, jpeg())
    assert clean_png(tmp_path / "b.png", tmp_path / "c.png").taken == ()
    assert clean_jpeg(tmp_path / "b.jpg", tmp_path / "c.jpg").taken == ()
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert (tmp_path / "b.jpg").read_bytes() == (tmp_path / "c.jpg").read_bytes()
