"""Files made to crash, exhaust or mislead a reader are counted or refused, at little cost."""

from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from dicom_factories import (
    Grid,
    only_series,
    read_folder,
    series_datasets,
    set_pixels,
    voxels,
    write_files,
    write_series,
)
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from medseg.core.errors import DataError, InputError, ReadError
from medseg.io import dicom_header, dicom_read, dicom_series, listing
from medseg.io.dicom_header import open_inflated
from medseg.io.dicom_instance import read_instance
from medseg.io.studies import find_series

ONE = Grid(slices=1)


def file_bytes(syntax: str, body: bytes, content_class="1.2.840.10008.5.1.4.1.1.2") -> bytes:
    """A DICOM file around hand-made elements."""
    meta = _short(0x0002, 0x0002, b"UI", content_class.encode()) + _short(0x0002, 0x0010, b"UI", syntax.encode())
    return b"\0" * 128 + b"DICM" + _short(0x0002, 0x0000, b"UL", struct.pack("<L", len(meta))) + meta + body


def _short(group, element, representation, value):
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", group, element, representation, len(value)) + value


def _long(group, element, representation, length):
    return struct.pack("<HH2sHL", group, element, representation, 0, length)


SERIES = _short(0x0020, 0x000E, b"UI", b"1.2.3")
PER_FRAME = (0x5200, 0x9230)


def nested(depth):
    """Sequences within sequences, of undefined length, under the element that the reader asks for."""
    return (_long(*PER_FRAME, b"SQ", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


@pytest.fixture
def peak():
    """Peak of Python's memory in MiB since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()


def test_deflated_bomb_stops_early(tmp_path, peak):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(32)) + packer.flush()
    (tmp_path / "bomb").write_bytes(file_bytes(uid.DeflatedExplicitVRLittleEndian, bomb))
    assert find_series(tmp_path).unreadable == 1
    assert peak() < 150  # of 512 MiB
    with pytest.raises(ReadError, match="a deflated DICOM file grows past the limit of 49 MiB"):
        read_instance(tmp_path / "bomb")


def test_large_deflated_file_is_not_even_opened(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**30)
    with path.open("rb") as file, pytest.raises(ReadError, match="larger than the limit of 512 MiB"):
        open_inflated(file, 0)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 65535, "Columns": 65535, "NumberOfFrames": "1000"}, "more than the limit of"),
        ({"Rows": 65535, "Columns": 65535}, "1 frames of 65535 x 65535 pixels are more than the limit of"),
        ({"NumberOfFrames": "999999999"}, "999999999 frames of 7 x 9 pixels are more than the limit of"),
        ({"NumberOfFrames": "-3"}, "make no image"),
        ({"NumberOfFrames": "1000"}, "pixel data is 126 bytes, 1000 frames of 7 x 9 pixels are 126000"),
    ],
)
def test_promised_pixels_are_checked_before_they_are_allocated(tmp_path, peak, elements, message):
    write_series(tmp_path, ONE, **elements)
    series = only_series(tmp_path)
    assert message in series.problem
    with pytest.raises(ReadError, match="series of 1 files"):
        read_folder(tmp_path)
    assert peak() < 10


def test_run_length_bomb(tmp_path, peak):
    dataset = series_datasets(ONE, voxels(ONE))[0]
    header = struct.pack("<16L", 2, 64, 2**20, *[0] * 13)
    dataset.PixelData = encapsulate([header + b"\x81\x00" * 2**20])
    write_files(tmp_path, [dataset], uid.RLELossless)
    with pytest.raises(ReadError, match="a run-length frame is longer than its pixels can be"):
        read_folder(tmp_path)
    assert peak() < 20


def test_five_thousand_nested_sequences(tmp_path):
    (tmp_path / "deep").write_bytes(file_bytes(uid.ExplicitVRLittleEndian, SERIES + nested(5000)))
    assert find_series(tmp_path).unreadable == 1
    with pytest.raises(ReadError, match=r"a (DICOM header|file) cannot be read \((RecursionError|damaged)\)"):
        read_instance(tmp_path / "deep")


def test_elements_that_end_before_the_pixels(tmp_path):
    body = SERIES + struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + _long(0x0009, 0x0010, b"OB", 4) + b"1234"
    (tmp_path / "short").write_bytes(file_bytes(uid.ExplicitVRLittleEndian, body))
    assert only_series(tmp_path).problem == "no pixel data"


def test_element_longer_than_the_file(tmp_path, peak):
    body = SERIES + _long(*PER_FRAME, b"SQ", 0xFFFFFFF0) + b"\0" * 100
    (tmp_path / "long").write_bytes(file_bytes(uid.ExplicitVRLittleEndian, body))
    with pytest.raises(ReadError, match="a DICOM file ends inside an element"):
        read_instance(tmp_path / "long")
    assert peak() < 10


def test_endless_header(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_header, "_MAX_HEADER_BYTES", 2**20)
    body = SERIES + _long(0x0009, 0x0010, b"UN", 0xFFFFFFFF)
    with (tmp_path / "endless").open("wb") as file:
        file.write(file_bytes(uid.ExplicitVRLittleEndian, body))
        file.truncate(2**31)
    with pytest.raises(ReadError, match="a DICOM header is longer than 1 MiB"):
        read_instance(tmp_path / "endless")


@pytest.mark.parametrize(
    "name", ["../../../../elsewhere/x", "/etc/passwd", "..\\..\\evil", "<img src=x onerror=alert(1)>"]
)
def test_names_in_headers_are_only_text(tmp_path, name):
    write_series(tmp_path, Grid(), SeriesDescription=f"{name}\x1b[2J")
    path = min(tmp_path.iterdir())
    series = only_series(tmp_path)
    assert series.problem is None
    assert series.description.isprintable()
    assert path.exists()


def test_series_uid_that_is_a_path(tmp_path):
    datasets = series_datasets(Grid(), voxels(Grid()))
    write_files(tmp_path, datasets)
    for path in list(tmp_path.iterdir()):
        content = path.read_bytes()
        old = str(datasets[0].SeriesInstanceUID).encode()
        path.write_bytes(content.replace(old, b"/etc/passwd".ljust(len(old), b"\0")))
    series = only_series(tmp_path)
    assert series.problem is None
    assert series.uid == "/etc/passwd"
    assert "passwd" not in repr(series)


def test_links_pipes_and_strange_names_are_not_followed(tmp_path):
    folder = tmp_path / "study"
    write_series(folder, Grid())
    (tmp_path / "elsewhere").mkdir()
    write_series(tmp_path / "elsewhere", ONE)
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    (folder / "link").symlink_to(next((tmp_path / "elsewhere").iterdir()))
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "new\nline").write_bytes(b"no DICOM")
    next(folder.glob("*-0-*")).rename(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.bin"))
    inventory = find_series(folder)
    assert len(inventory.series) == 1
    assert inventory.series[0].problem is None
    assert inventory.other_files == 6  # three links to folders or nowhere, one to a file, a pipe, a text
    assert inventory.unreadable == 0


def test_folders_without_end(tmp_path):
    folder = tmp_path
    for _ in range(40):
        folder = folder / "deeper"
    folder.mkdir(parents=True)
    write_series(folder, ONE)
    inventory = find_series(tmp_path)
    assert inventory.series == ()
    assert inventory.unreadable == 1


SMALL = Path(get_testdata_file("MR_small.dcm", download=False)).read_bytes()


@given(position=st.integers(0, 2000), value=st.binary(min_size=1, max_size=8), cut=st.integers(100, len(SMALL)))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_give_a_volume_or_an_error(tmp_path_factory, position, value, cut):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "one").write_bytes((SMALL[:position] + value + SMALL[position + len(value) :])[:cut])
    inventory = find_series(folder)
    assert len(inventory.series) + inventory.other_files + inventory.unreadable == 1
    with contextlib.suppress(DataError):
        assert not inventory.series or np.isfinite(read_folder(folder).array).all()


def test_volume_above_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_series, "MAX_VOXELS", 300)
    write_series(tmp_path, Grid())
    with pytest.raises(ReadError, match=r"a volume of shape \(9, 7, 5\) is larger than the limit of 300 voxels"):
        read_folder(tmp_path)


def test_memory_that_runs_out(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(dicom_read, "read_slices", exhausted)
    write_series(tmp_path, Grid())
    with pytest.raises(ReadError, match="series of 5 files: too large for the memory of this machine"):
        read_folder(tmp_path)


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_MAX_FILES", 4)
    write_series(tmp_path, Grid())
    with pytest.raises(InputError, match="more than 4 files; name a smaller folder"):
        find_series(tmp_path)


def test_pixels_of_eight_bits_in_big_endian(tmp_path):
    write_series(tmp_path, ONE, voxels(ONE, 0, 256, dtype=np.uint8), uid.ExplicitVRBigEndian)
    assert only_series(tmp_path).problem == "pixels of 8 bits in big endian words are not read"


def test_modality_table(tmp_path):
    dataset = series_datasets(ONE, voxels(ONE))[0]
    dataset.ModalityLUTSequence = [Dataset()]
    write_files(tmp_path, [dataset])
    assert only_series(tmp_path).problem == "a modality look-up table is not supported"


@pytest.mark.parametrize("value", [b"1\\nan", b"1\\x ", b"1,5\\1 ", b"1\\1e999 ", "1\\²".encode("latin-1")])
def test_numbers_that_are_none(tmp_path, value):
    (path,) = write_files(tmp_path, series_datasets(ONE, voxels(ONE), PixelSpacing=["1" * (len(value) - 2), "1"]))
    path.write_bytes(path.read_bytes().replace(b"1" * (len(value) - 2) + b"\\1", value))
    assert only_series(tmp_path).problem == "PixelSpacing is not a number"


def test_float_pixels_are_refused(tmp_path):
    dataset = series_datasets(ONE, voxels(ONE))[0]
    set_pixels(dataset, np.zeros((7, 9), np.int32))
    dataset.FloatPixelData = np.zeros((7, 9), np.float32).tobytes()
    del dataset.PixelData
    write_files(tmp_path, [dataset])
    assert only_series(tmp_path).problem == "pixels that are not integers of 8, 16 or 32 bits are not read"
