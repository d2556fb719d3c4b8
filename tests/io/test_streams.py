"""Opening and reading files that may be hostile."""

from __future__ import annotations

import gzip
import io
import os
import socket
import zlib

import pytest

from medseg.core.errors import ReadError
from medseg.io import streams
from medseg.io.streams import decompressed, gzipped, inflated_parts, opened_regular, parts, read_up_to


def test_an_ordinary_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with opened_regular(tmp_path / "a") as file:
        assert file.read() == b"abc"


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    refusals = {
        "is no ordinary file": ("pipe", "folder"),
        "is a link; links are not followed": ("link", "loop"),
        "cannot be opened": ("none", "a\0b"),
    }
    for name, message in ((name, message) for message, names in refusals.items() for name in names):
        with pytest.raises(ReadError, match=f"^{message}") as caught, opened_regular(tmp_path / name):
            pass
        assert str(tmp_path) not in str(caught.value)


def test_devices_and_sockets_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ReadError, match="^is no ordinary file"), opened_regular(tmp_path / "/dev/zero"):
        pass
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("s")
        with pytest.raises(ReadError, match=r"^cannot be opened"), opened_regular(tmp_path / "s"):
            pass


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "secret name")

    monkeypatch.setattr(streams.os, "open", refuse)
    with pytest.raises(ReadError, match=r"^cannot be opened \(Permission denied\)$"), opened_regular(tmp_path / "a"):
        pass


def test_gzip_is_seen_by_content(tmp_path):
    for name, content in (("a", b"abc"), ("b", gzip.compress(b"abc"))):
        (tmp_path / name).write_bytes(content)
        with opened_regular(tmp_path / name) as file, decompressed(file) as stream:
            assert read_up_to(stream, 2) == b"ab"
            assert read_up_to(stream, 5) == b"c"


def test_packed_without_name_and_time():
    buffer = io.BytesIO()
    with gzipped(buffer) as stream:
        stream.write(b"abc")
    assert gzip.decompress(buffer.getvalue()) == b"abc"
    assert buffer.getvalue()[3:8] == bytes(5)


def test_parts_are_bounded(monkeypatch):
    monkeypatch.setattr(streams, "CHUNK", 4)
    data = bytes(range(10))
    assert list(parts(io.BytesIO(data), 9)) == [data[:4], data[4:8], data[8:9]]
    packed = io.BytesIO(zlib.compress(data) + b"more")
    assert b"".join(inflated_parts(packed, 10)) == data
    assert max(map(len, inflated_parts(io.BytesIO(gzip.compress(bytes(100))), 100))) <= 4


def test_too_few_or_damaged():
    for found in (parts(io.BytesIO(b"abc"), 4), inflated_parts(io.BytesIO(zlib.compress(b"abc")), 4),
                  inflated_parts(io.BytesIO(zlib.compress(b"abc" * 99)[:9]), 297)):  # fmt: skip
        with pytest.raises(ReadError, match=r"^truncated or damaged; its header promises \d+ bytes of voxels$"):
            list(found)
    with pytest.raises(ReadError, match="^truncated or damaged, so it cannot be decoded$"):
        list(inflated_parts(io.BytesIO(b"no zlib"), 4))
    assert list(parts(io.BytesIO(b""), 0)) == []
