"""gzip and zlib by either library: the same data, the same limits, the same refusals."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
from factories import geometry

from medseg.core.errors import ReadError
from medseg.core.volume import Volume
from medseg.io import deflate
from medseg.io.deflate import DAMAGED, GZIP, GZIP_OR_ZLIB, deflated, gzip_reader, gzip_writer, inflater
from medseg.io.formats import read_volume, write_volume
from medseg.io.streams import decompressed, inflated_parts, read_up_to

DATA = np.random.default_rng(0).integers(0, 9, 300_000, dtype=np.uint8).tobytes()


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def library(request, monkeypatch):
    """The library that packs and unpacks."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(deflate, "igzip", None)
        monkeypatch.setattr(deflate, "isal_zlib", None)
    return request.param


def packed_by_us(data: bytes) -> bytes:
    file = io.BytesIO()
    with gzip_writer(file) as stream:
        for start in range(0, len(data), 70_001):
            stream.write(data[start : start + 70_001])
    return file.getvalue()


def test_round_trip_with_the_standard_library():
    assert gzip.decompress(packed_by_us(DATA)) == DATA
    assert zlib.decompress(deflated([DATA[:7], DATA[7:]])) == DATA
    with gzip_reader(io.BytesIO(gzip.compress(DATA))) as stream:
        assert stream.read() == DATA
    for header, packed in ((GZIP, gzip.compress(DATA)), (GZIP_OR_ZLIB, gzip.compress(DATA)),
                           (GZIP_OR_ZLIB, zlib.compress(DATA))):  # fmt: skip
        unpacker = inflater(header)
        assert unpacker.decompress(packed, 100_000) == DATA[:100_000]
        assert not unpacker.eof
        assert unpacker.decompress(unpacker.unconsumed_tail, 10**6) == DATA[100_000:]
        assert unpacker.eof


def test_same_bytes_each_time_without_name_and_time():
    assert packed_by_us(DATA) == packed_by_us(DATA)
    assert packed_by_us(b"")[3:8] == bytes(5)
    assert deflated([DATA]) == deflated([memoryview(DATA)])


def test_several_members_are_one_stream():
    with gzip_reader(io.BytesIO(gzip.compress(DATA) + packed_by_us(b"more") + bytes(8))) as stream:
        assert stream.read() == DATA + b"more"


def test_all_that_a_header_may_hold_is_passed_over():
    """Extra field, name, comment and checksum of the header (RFC 1952), the name longer than what is read at once."""
    bare = gzip.compress(DATA)[10:]
    packed = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x05\0extra" + b"n" * 100_000 + b"\0comment\0\0\0" + bare
    assert gzip.decompress(packed) == DATA
    with gzip_reader(io.BytesIO(packed)) as stream:
        assert stream.read() == DATA


def test_the_end_stays_the_end_however_often_it_is_read():
    stream = gzip_reader(io.BytesIO(gzip.compress(DATA) + b"\0" * 5))
    assert stream.read() == DATA
    assert [stream.read(), stream.read(1), stream.read1()] == [b"", b"", b""]
    stream.seek(1)
    assert stream.read() == DATA[1:]
    assert stream.read(1) == b""


def test_sought_in_both_directions():
    with gzip_reader(io.BytesIO(gzip.compress(DATA))) as stream:
        for position in (540, 352, 200_000, 7, 299_999):
            assert stream.seek(position) == position
            assert stream.read(9) == DATA[position : position + 9]
        stream.seek(-20, io.SEEK_CUR)
        assert stream.read() == DATA[-20:]
        with pytest.raises(io.UnsupportedOperation, match="known only at its end"):
            stream.seek(0, io.SEEK_END)


def test_what_lies_in_front_of_damage_is_read():
    for damaged in (gzip.compress(b"sound")[:-5], gzip.compress(b"sound")[:-8] + bytes(8)):
        with gzip_reader(io.BytesIO(damaged)) as stream:
            assert read_up_to(stream, 9) == b"sound"


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-20],
        lambda packed: packed[:-4],
        lambda packed: packed[:-8] + bytes(4) + packed[-4:],
        lambda packed: packed[:-4] + bytes(4),
        lambda packed: packed[:2000] + b"\xff" * 400 + packed[2400:],
        lambda packed: packed + b"something else altogether",
        lambda packed: packed[:2] + b"\x07" + packed[3:],
    ],
)
def test_damage_is_found_by_the_end(tmp_path, damage):
    with gzip_reader(io.BytesIO(damage(gzip.compress(DATA)))) as stream, pytest.raises(DAMAGED):
        stream.read()
    (tmp_path / "a").write_bytes(damage(gzip.compress(DATA)))
    with (tmp_path / "a").open("rb") as file, decompressed(file) as stream:
        assert DATA.startswith(read_up_to(stream, 10**6))


def test_a_bomb_takes_no_more_than_is_asked_for():
    bomb = gzip.compress(bytes(2**26), 9)
    tracemalloc.start()
    try:
        assert len(inflater(GZIP_OR_ZLIB).decompress(bomb, 1000)) == 1000
        with gzip_reader(io.BytesIO(bomb)) as stream:
            assert len(stream.read(1000)) == 1000
        assert sum(map(len, inflated_parts(io.BytesIO(bomb), 2**23))) == 2**23
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_images_are_read_as_they_were_written(tmp_path, suffix):
    grid = geometry((14, 11, 9))
    voxels = np.random.default_rng(1).integers(-999, 999, (2, *grid.shape), dtype=np.int16)
    for array in (voxels, voxels[:1], np.asfortranarray(voxels[0])[np.newaxis]):
        path = tmp_path / f"a{suffix}"
        write_volume(path, Volume(array, grid, tuple("ab"[: len(array)])))
        np.testing.assert_array_equal(read_volume(path).array, array)
        content = path.read_bytes()
        write_volume(path, Volume(array, grid, tuple("ab"[: len(array)])))
        assert path.read_bytes() == content
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ReadError, match=rf"a{suffix}: truncated or damaged"):
            read_volume(path)


def test_nibabel_reads_it(tmp_path):
    grid = geometry((14, 11, 9))
    voxels = np.arange(14 * 11 * 9, dtype=np.float32).reshape(1, *grid.shape)
    write_volume(tmp_path / "a.nii.gz", Volume(voxels, grid))
    np.testing.assert_array_equal(nib.load(tmp_path / "a.nii.gz").dataobj, voxels[0])


def test_without_isal_zlib_takes_its_place():
    code = (
        "import sys; sys.modules['isal'] = None; from medseg.io import deflate as d; print(d.igzip, d.deflated([b'a']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"None {zlib.compress(b'a', 1)!r}"
