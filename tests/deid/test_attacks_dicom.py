"""DICOM files made to crash, exhaust or mislead: read within bounds or refused, and nothing of them shows.

The numbers are those of the attacks in the plan. Attacks on archives (9 to 11) are in tests/io/test_archives.py; that
an archive of such files goes through at all is checked here.
"""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import pydicom
import pytest
from dicom_bytes import (
    CT,
    DATA,
    IDENTITY,
    IMPLICIT_IDENTITY,
    PIXELS,
    UNDEFINED,
    delimited,
    dicom_bytes,
    element,
    implicit,
    item,
)
from pydicom import uid

from medseg.core.errors import DeidError, ReadError
from medseg.io import dicom_elements
from medseg.io.archives import is_archive, unpacked
from medseg.io.dicom_file import DicomFile, check_image_size, encode_dicom, read_dicom

NAME = b"MARKER^NAME"


@pytest.fixture
def read(tmp_path):
    """Reads bytes by way of a file."""

    def read(*elements: bytes, syntax: str | None = uid.ExplicitVRLittleEndian) -> DicomFile:
        path = tmp_path / "file"
        path.write_bytes(dicom_bytes(*elements, syntax=syntax))
        file = read_dicom(path)
        assert file is not None
        return file

    return read


@pytest.fixture
def peak():
    """Peak of Python's memory in MiB since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()


def image(rows: int, columns: int, frames: int, pixels: bytes) -> bytes:
    return b"".join(
        (
            element(0x00280002, "US", b"\1\0"),
            element(0x00280008, "IS", str(frames).encode()),
            element(0x00280010, "US", struct.pack("<H", rows)),
            element(0x00280011, "US", struct.pack("<H", columns)),
            element(0x00280100, "US", b"\x10\0"),
            pixels,
        )
    )


class TestExhaustion:
    def test_1_deflated_bomb(self, read, peak):
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(32)) + packer.flush()
        with pytest.raises(ReadError, match="a deflated DICOM file grows past the limit of 49 MiB"):
            read(bomb, syntax=uid.DeflatedExplicitVRLittleEndian)
        assert peak() < 150  # of 512 MiB

    @pytest.mark.parametrize(("rows", "columns", "frames"), [(65535, 65535, 1000), (65535, 65535, 1), (8, 8, 10**9)])
    def test_2_image_of_terabytes(self, read, peak, rows, columns, frames):
        file = read(IDENTITY, image(rows, columns, frames, element(0x7FE00010, "OW", bytes(8192))))
        with pytest.raises(ReadError, match=f"{frames} frames of {rows} x {columns} pixels of 1 x 16 bits are more"):
            check_image_size(file.dataset)
        assert peak() < 10

    def test_3_run_length_bomb(self, read, peak):
        frame = struct.pack("<16L", 2, 64, 2**20, *[0] * 13) + b"\x81\0" * 2**20
        pixels = delimited(0x7FE00010, "OB", item() + item(frame))
        file = read(IDENTITY, image(46341, 46341, 1, pixels), syntax=uid.RLELossless)
        with pytest.raises(ReadError, match="1 frames of 46341 x 46341 pixels of 1 x 16 bits are more"):
            check_image_size(file.dataset)
        assert peak() < 30

    @pytest.mark.parametrize("of_known_length", [True, False])
    def test_4_nested_sequences(self, read, of_known_length):
        content = b""
        if of_known_length:
            for _ in range(5000):
                content = element(0x00081140, "SQ", item(content))
        else:
            content = (element(0x00081140, "SQ", b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)) * 5000
        with pytest.raises(ReadError, match=r"nested more than 32 deep|cannot be read \(RecursionError\)"):
            read(IDENTITY, content)

    def test_nested_sequences_are_refused_alike_wherever_the_stack_ends(self, read):
        content = (element(0x00081140, "SQ", b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)) * 5000

        def from_depth(levels):
            if levels:
                from_depth(levels - 1)
                return
            with pytest.raises(ReadError, match=r"nested more than 32 deep|cannot be read \(RecursionError\)"):
                read(IDENTITY, content)

        for levels in range(40):
            from_depth(levels)

    @pytest.mark.parametrize(("tag", "vr"), [(0x7FE00010, "OW"), (0x00081140, "SQ"), (0x00104000, "UT")])
    def test_5_element_longer_than_memory(self, read, peak, tag, vr):
        with pytest.raises(ReadError, match="a DICOM file ends inside an element"):
            read(IDENTITY, element(tag, vr, b"1234", 0xFFFFFFF0))
        assert peak() < 10

    def test_elements_without_end(self, read, peak, monkeypatch):
        monkeypatch.setattr(dicom_elements, "_MOST_READS", 2**13)
        empty = b"".join(struct.pack("<HHL", 0x0011, number, 0) for number in range(0x1000, 0x2000))
        with pytest.raises(ReadError, match="holds more elements than are read"):
            read(IMPLICIT_IDENTITY, implicit(0x00081140, item(empty) * 64), syntax=uid.ImplicitVRLittleEndian)
        assert peak() < 20


class TestNames:
    @pytest.mark.parametrize("value", [b"../../../../elsewhere/x", b"/etc/passwd", rb"..\..\evil"])
    def test_6_uids_that_are_paths(self, read, value):
        file = read(element(0x00080016, "UI", CT.encode()), element(0x00080018, "UI", value), PIXELS)
        with pytest.raises(DeidError, match="no SOP instance UID of at most 64 digits and dots"):
            encode_dicom(file.dataset, file.syntax)

    @pytest.mark.parametrize(
        "value", [b"<img src=x onerror=alert(1)>", b"=cmd|calc", b"\x1b[2J", "\u202egnp.exe".encode()]
    )
    def test_7_names_that_act(self, read, capfd, recwarn, value):
        file = read(element(0x00080005, "CS", b"ISO_IR 192"), IDENTITY, element(0x00100010, "PN", value))
        assert value in encode_dicom(file.dataset, file.syntax)  # a matter of the engine, but nothing shows it
        assert value.decode() not in repr(file)
        assert capfd.readouterr() == ("", "")
        assert not list(recwarn)

    @pytest.mark.parametrize("preamble", [b"MZ\x90\0", b"\x7fELF", b"<html><script>", b"II*\0", b"PK\3\4"])
    def test_8_preambles_of_other_formats(self, tmp_path, preamble):
        path = tmp_path / "file"
        path.write_bytes(dicom_bytes(IDENTITY, preamble=preamble))
        file = read_dicom(path)
        assert file.has_preamble_content
        assert not is_archive(path)
        assert encode_dicom(file.dataset, file.syntax)[:132] == bytes(128) + b"DICM"

    def test_9_archive_of_hostile_files(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "study", "w") as archive:
            archive.writestr("fine", dicom_bytes(IDENTITY))
            archive.writestr("cut", dicom_bytes(IDENTITY, element(0x00100010, "PN", NAME, 100)))
        with unpacked(tmp_path / "study") as folder:
            assert read_dicom(folder / "fine") is not None
            with pytest.raises(ReadError, match="^a DICOM file ends inside an element$"):
                read_dicom(folder / "cut")

    def test_13_directory_that_names_other_files(self, tmp_path):
        record = element(0x00041500, "CS", rb"..\..\etc")
        content = dicom_bytes(element(0x00041220, "SQ", item(record)))
        (tmp_path / "DICOMDIR").write_bytes(content)
        assert read_dicom(tmp_path / "DICOMDIR") is None


class TestOddEncodings:
    """Attack 16: whatever hides a value, it is where the engine finds it, and leaves no other way than through it."""

    @staticmethod
    def output(file: DicomFile) -> pydicom.FileDataset:
        return pydicom.dcmread(io.BytesIO(encode_dicom(file.dataset, file.syntax)))

    def test_name_of_unknown_representation(self, read):
        file = read(IDENTITY, element(0x00100010, "UN", NAME))
        assert file.dataset.get_item(0x00100010).VR == "UN"
        assert file.dataset.get_item(0x00100010).value.startswith(NAME)

    @pytest.mark.parametrize("vr", ["US", "ZZ", "OB"])
    def test_wrong_representation(self, read, vr):
        file = read(IDENTITY, element(0x00100010, vr, NAME))
        assert vr == file.dataset.get_item(0x00100010).VR
        del file.dataset[0x00100010]
        assert NAME not in encode_dicom(file.dataset, file.syntax)

    def test_two_creators_of_one_private_block(self, read):
        creators = element(0x00090010, "LO", b"ONE") + element(0x00090010, "LO", b"TWO")
        file = read(IDENTITY, creators, element(0x00091001, "LO", NAME))
        assert file.dataset.get_item(0x00090010).value == b"TWO\0"
        assert encode_dicom(file.dataset, file.syntax).count(NAME) == 1

    def test_private_elements_in_items_in_private_elements(self, read):
        inner = element(0x00091002, "SQ", item(element(0x00111001, "LO", NAME)))
        file = read(IDENTITY, element(0x00091001, "SQ", item(inner)))
        assert file.dataset[0x00091001].value[0][0x00091002].value[0].get_item(0x00111001).is_raw

    def test_group_lengths_go(self, read):
        inner = element(0x00081140, "SQ", item(element(0x00080000, "UL", b"\7\0\0\0") + IDENTITY))
        file = read(element(0x00080000, "UL", b"\7\0\0\0"), IDENTITY, inner, element(0x00100000, "UL", b"\7\0\0\0"))
        output = self.output(file)
        assert 0x00080000 not in output
        assert 0x00100000 not in output
        assert 0x00080000 not in output[0x00081140].value[0]

    def test_one_element_twice(self, read):
        file = read(IDENTITY, element(0x00100010, "PN", b"FIRST^ONE"), element(0x00100010, "PN", b"SECOND"))
        encoded = encode_dicom(file.dataset, file.syntax)
        assert (encoded.count(b"FIRST"), encoded.count(b"SECOND")) == (0, 1)

    def test_elements_out_of_order(self, read):
        file = read(element(0x00100010, "PN", NAME), IDENTITY)
        assert [int(tag) for tag in self.output(file).keys()] == [0x00080016, 0x00080018, 0x00100010]  # noqa: SIM118

    def test_elements_that_hide_behind_the_pixels(self, read):
        file = read(IDENTITY, PIXELS, element(0x00100010, "PN", NAME))
        assert NAME not in encode_dicom(file.dataset, file.syntax)

    @pytest.mark.parametrize("name", ["ExplVR_BigEnd.dcm", "ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"])
    def test_big_endian_and_no_meta_information(self, name):
        path = DATA / "test_files" / name
        source = pydicom.dcmread(path, force=True)
        for tag in [tag for tag in source.keys() if tag.element == 0]:  # noqa: SIM118 - a data set iterates elements
            del source[tag]
        assert self.output(read_dicom(path)) == source

    @pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about its own files
    @pytest.mark.parametrize("name", ["chrH31", "chrH32", "chrJapMulti", "chrJapMultiExplicitIR6", "chrKoreanMulti"])
    def test_names_of_three_groups_in_many_character_sets(self, name):
        path = DATA / "charset_files" / f"{name}.dcm"
        file = read_dicom(path)
        raw = file.dataset.get_item(0x00100010).value
        assert raw in encode_dicom(file.dataset, file.syntax)
        assert self.output(file).PatientName == pydicom.dcmread(path).PatientName

    @pytest.mark.parametrize(("length", "accepted"), [(64, True), (65, False)])
    def test_long_uids(self, read, length, accepted):
        value = (b"1." * 31 + b"123")[:length]
        file = read(element(0x00080016, "UI", CT.encode()), element(0x00080018, "UI", value))
        if accepted:
            assert len(self.output(file).SOPInstanceUID) == 64
        else:
            with pytest.raises(DeidError, match="at most 64 digits and dots"):
                encode_dicom(file.dataset, file.syntax)

    def test_backslashes_in_texts(self, read):
        file = read(IDENTITY, element(0x00104000, "LT", rb"one\two"), element(0x0008103E, "LO", rb"one\two"))
        encoded = encode_dicom(file.dataset, file.syntax)
        assert encoded.count(rb"one\two") == 2


class TestStrangeFiles:
    """Attack 20."""

    def test_links_in_a_circle(self, tmp_path):
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        with pytest.raises(ReadError, match="a file cannot be read"):
            read_dicom(tmp_path / "loop")

    def test_pipes_folders_and_devices(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", tmp_path):
            with pytest.raises(ReadError, match="only regular files are read"):
                read_dicom(path)

    def test_files_that_may_not_be_opened(self, tmp_path, monkeypatch):
        def shut(*_):
            raise PermissionError(13, "Permission denied", "SECRET")

        (tmp_path / "file").write_bytes(dicom_bytes(IDENTITY))
        monkeypatch.setattr("pathlib.Path.open", shut)
        with pytest.raises(ReadError, match=r"^a file cannot be read \(Permission denied\)$"):
            read_dicom(tmp_path / "file")

    @pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe.dcm", b"-rf"])
    def test_strange_names(self, tmp_path, name):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(dicom_bytes(IDENTITY))
        assert read_dicom(path) is not None
        path.write_bytes(dicom_bytes(IDENTITY, element(0x00100010, "PN", NAME, 100)))
        with pytest.raises(ReadError, match="^a DICOM file ends inside an element$"):
            read_dicom(path)
