"""Files come into memory as they are stored, and go out again with nothing changed but the file meta information."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
from dicom_bytes import (
    CT,
    DATA,
    IDENTITY,
    IMPLICIT_IDENTITY,
    PIXELS,
    UNDEFINED,
    bundled,
    delimited,
    dicom_bytes,
    element,
    implicit,
    item,
    meta,
)
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset

from medseg.core.errors import DeidError, ReadError
from medseg.io import dicom_elements, dicom_file
from medseg.io.dicom_file import (
    check_sequence,
    encode_dicom,
    read_dicom,
)

CUT_OFF = "a DICOM file ends inside an element"
SMALL = (DATA / "test_files" / "MR_small.dcm").read_bytes()


@pytest.fixture
def read(tmp_path):
    """Reads bytes by way of a file."""

    def read(content: bytes):
        path = tmp_path / "file"
        path.write_bytes(content)
        return read_dicom(path)

    return read


def tags(dataset: Dataset) -> list[int]:
    return [int(tag) for tag in sorted(dataset.keys())]


def written(dataset: Dataset, syntax: str) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(encode_dicom(dataset, syntax)))


def with_identity(dataset: Dataset) -> None:
    """Some of pydicom's files have no UIDs."""
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = CT
    if not dataset.get("SOPInstanceUID"):
        dataset.SOPInstanceUID = "1.2.3"


class TestPydicomsFiles:
    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_each_comes_out_as_it_went_in(self):
        read = nothing = 0
        damaged = []
        for path in bundled():
            try:
                file = read_dicom(path)
            except ReadError as error:
                damaged.append((path.name, str(error)))
                continue
            if file is None:
                nothing += 1
                continue
            read += 1
            source = pydicom.dcmread(path, force=True)
            for tag in [tag for tag in source.keys() if tag.element == 0]:  # noqa: SIM118 - a data set iterates elements
                del source[tag]
            with_identity(source)
            with_identity(file.dataset)
            output = written(file.dataset, file.syntax)
            assert output == source, path.name
            assert output.file_meta.TransferSyntaxUID == file.syntax
        assert read == 181
        assert damaged == [("MR_truncated.dcm", CUT_OFF), ("rtplan_truncated.dcm", CUT_OFF)]
        assert nothing == len(bundled()) - 183

    @pytest.mark.parametrize(
        "name",
        [
            "test_files/MR_small.dcm",
            "test_files/MR_small_bigendian.dcm",
            "test_files/MR_small_implicit.dcm",
            "test_files/MR_small_RLE.dcm",
            "test_files/JPEG2000-embedded-sequence-delimiter.dcm",
            "charset_files/chrH31.dcm",
            "test_files/rtstruct.dcm",
        ],
    )
    def test_the_bytes_of_a_data_set_stay(self, name):
        source = (DATA / name).read_bytes()
        file = read_dicom(DATA / name)
        first = min(file.dataset.keys())
        order = "<" if file.dataset.original_encoding[1] else ">"
        first_bytes = struct.pack(order + "HH", first.group, first.element)
        start = source.index(first_bytes, 132 if source[128:132] == b"DICM" else 0)
        encoded = encode_dicom(file.dataset, file.syntax)
        assert encoded.endswith(source[start:])
        assert all(one.is_raw or one.VR == "SQ" for one in file.dataset.values() if one.tag != 0x00080005)

    def test_an_edited_element_leaves_the_others_as_they_are(self):
        file = read_dicom(DATA / "charset_files" / "chrKoreanMulti.dcm")
        name = file.dataset.get_item(0x00100010).value
        file.dataset.PatientID = "other"
        encoded = encode_dicom(file.dataset, file.syntax)
        assert name in encoded
        assert pydicom.dcmread(io.BytesIO(encoded)).PatientID == "other"

    def test_items_are_written_raw_in_their_own_character_set(self):
        path = DATA / "charset_files" / "chrSQEncoding.dcm"
        file = read_dicom(path)
        with_identity(file.dataset)
        names = {one.get_item(0x00100010).value for one in file.dataset[0x00321064].value}
        assert names
        encoded = encode_dicom(file.dataset, file.syntax)
        assert all(name in encoded for name in names)

    def test_large_files_are_read_piece_by_piece(self, monkeypatch):
        monkeypatch.setattr(dicom_file, "_IN_MEMORY", 0)
        for name in ("MR_small_RLE.dcm", "image_dfl.dcm", "test-SR.dcm"):
            file = read_dicom(DATA / "test_files" / name)
            monkeypatch.setattr(dicom_file, "_IN_MEMORY", 2**26)
            assert file.dataset == read_dicom(DATA / "test_files" / name).dataset


class TestWhatIsDicom:
    @pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 200, b"\x08\0\x05\0 text", b"PK\3\4" + bytes(200)])
    def test_other_files_are_none(self, read, content):
        assert read(content) is None

    @pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit"])
    def test_directories_are_none(self, name):
        assert read_dicom(DATA / "test_files" / "dicomdirtests" / name) is None

    def test_directory_that_calls_itself_an_image(self, read):
        records = item(element(0x00041500, "CS", rb"..\..\etc\passwd"))
        assert read(dicom_bytes(element(0x00041220, "SQ", records), IDENTITY)) is None

    @pytest.mark.parametrize(
        ("content", "syntax"),
        [
            (IDENTITY + PIXELS, uid.ExplicitVRLittleEndian),
            (IMPLICIT_IDENTITY, uid.ImplicitVRLittleEndian),
            (element(0x00080016, "UI", CT.encode(), big=True), uid.ExplicitVRBigEndian),
        ],
    )
    def test_bare_data_sets(self, read, content, syntax):
        file = read(content)
        assert (file.syntax, file.has_preamble_content, len(file.meta)) == (syntax, False, 0)
        assert file.dataset.SOPClassUID == CT

    def test_meta_information_without_a_preamble(self, read):
        assert read(meta(uid.ImplicitVRLittleEndian) + IMPLICIT_IDENTITY).syntax == uid.ImplicitVRLittleEndian

    @pytest.mark.parametrize("preamble", [b"", b"MZ\x90", bytes(127) + b"\1"])
    def test_what_stands_in_the_preamble_is_told(self, read, preamble):
        assert read(dicom_bytes(IDENTITY, preamble=preamble)).has_preamble_content == bool(preamble)

    def test_the_meta_information_is_kept_apart(self, read):
        file = read(dicom_bytes(IDENTITY, element(0x00020016, "AE", b"STATION")))
        assert file.meta.MediaStorageSOPClassUID == CT
        assert tags(file.dataset) == [0x00080016, 0x00080018]

    def test_nothing_of_the_file_shows_in_its_repr(self, read):
        assert "NAME" not in repr(read(dicom_bytes(IDENTITY, element(0x00100010, "PN", b"NAME"))))


class TestTransferSyntaxes:
    def test_deflated_files_are_inflated(self, read):
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(IDENTITY + PIXELS) + packer.flush()
        file = read(dicom_bytes(packed, syntax=uid.DeflatedExplicitVRLittleEndian))
        assert file.syntax == uid.ExplicitVRLittleEndian
        assert encode_dicom(file.dataset, file.syntax).endswith(IDENTITY + PIXELS)

    @pytest.mark.parametrize(
        ("said", "elements", "found"),
        [
            (uid.ImplicitVRLittleEndian, IDENTITY, uid.ExplicitVRLittleEndian),
            (uid.ExplicitVRLittleEndian, IMPLICIT_IDENTITY, uid.ImplicitVRLittleEndian),
            (None, IDENTITY, uid.ExplicitVRLittleEndian),
            (uid.JPEG2000, IDENTITY, uid.JPEG2000),
            ("1.2.3.4.5", IMPLICIT_IDENTITY, "1.2.3.4.5"),
        ],
    )
    def test_what_is_found_counts(self, read, said, elements, found):
        file = read(dicom_bytes(elements, syntax=said))
        assert file.syntax == found
        assert encode_dicom(file.dataset, file.syntax).endswith(elements)

    def test_implicit_elements_under_a_compressed_syntax_become_explicit(self, read):
        file = read(dicom_bytes(IMPLICIT_IDENTITY, syntax=uid.JPEG2000))
        assert encode_dicom(file.dataset, file.syntax).endswith(IDENTITY)

    def test_implicit_and_big_endian(self, read):
        with pytest.raises(ReadError, match="big endian without value representations"):
            read(dicom_bytes(struct.pack(">HHL", 8, 0x16, 2) + b"1\0", syntax=uid.ExplicitVRBigEndian))

    def test_syntax_that_is_no_uid(self, read):
        with pytest.raises(ReadError, match="a transfer syntax that is no UID"):
            read(dicom_bytes(IDENTITY, syntax="/etc/passwd"))


class TestTheEnd:
    @pytest.mark.parametrize(
        "rest", [b"\0" * 1000, b"\1\2\3", b"PK\3\4 a whole archive", element(0x00100010, "PN", b"NAME")]
    )
    def test_what_follows_the_pixels_is_dropped(self, read, rest):
        file = read(dicom_bytes(IDENTITY, PIXELS, rest))
        assert encode_dicom(file.dataset, file.syntax).endswith(IDENTITY + PIXELS)

    def test_what_belongs_behind_the_pixels_is_kept(self, read):
        more = element(0x7FE11010, "LO", b"more") + element(0xFFFCFFFC, "OB", b"\0\0")
        file = read(dicom_bytes(IDENTITY, PIXELS, more, bytes(7)))
        assert encode_dicom(file.dataset, file.syntax).endswith(PIXELS + more)

    def test_a_delimiter_that_hides_the_rest(self, read):
        with pytest.raises(ReadError, match="goes on behind a delimiter that ends its data set"):
            read(dicom_bytes(IDENTITY, implicit(0xFFFEE00D), PIXELS))

    @pytest.mark.parametrize("content", [b"", b"\0" * 50, element(0x00000002, "UI", b"1.2")])
    def test_no_data_set(self, read, content):
        with pytest.raises(ReadError, match="holds no data set"):
            read(dicom_bytes(content))

    def test_groups_that_are_no_part_of_a_data_set(self, read):
        stray = element(0x00020016, "AE", b"STATION"), element(0xFFFEE0DD, "UN", b"")
        inside = element(0x00081140, "SQ", item(element(0x00020016, "AE", b"STATION")))
        file = read(dicom_bytes(IDENTITY, inside, *stray))
        assert tags(file.dataset) == [0x00080016, 0x00080018, 0x00081140]
        assert b"STATION" not in encode_dicom(file.dataset, file.syntax)


class TestLimits:
    @pytest.mark.parametrize(
        "content",
        [
            element(0x00100010, "PN", b"NAME", 8),
            element(0x00100010, "PN", b"NAME", 0xFFF0),
            element(0x00091010, "UN", b"1234", 0xFFFFFFF0),
            element(0x00081140, "SQ", b"1234", 0xFFFFFFF0),
            element(0x00081140, "SQ", item(element(0x00100010, "PN", b"NAME", 100))),
            element(0x00091010, "UN", b"1234", UNDEFINED),
            element(0x7FE00010, "OB", item(b"12"), UNDEFINED),
        ],
    )
    def test_values_that_reach_past_the_end(self, read, content):
        with pytest.raises(ReadError, match=rf"{CUT_OFF}|cannot be read \(damaged\)"):
            read(dicom_bytes(IDENTITY, content))

    def test_files_above_the_limit(self, tmp_path):
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.write(dicom_bytes(IDENTITY))
            file.truncate(2**32 + 1)
        with pytest.raises(ReadError, match=r"a DICOM file is 4\.0 GiB; at most 4 GiB are read"):
            read_dicom(path)

    @pytest.mark.parametrize("of_known_length", [True, False])
    def test_thirty_two_levels_and_no_more(self, read, of_known_length):
        def nested(depth):
            content = b""
            for _ in range(depth):
                inner = item(content, delimited=not of_known_length)
                content = (element if of_known_length else delimited)(0x00081140, "SQ", inner)
            return dicom_bytes(IDENTITY, content)

        assert read(nested(32)) is not None
        with pytest.raises(ReadError, match="sequences are nested more than 32 deep"):
            read(nested(33))

    @pytest.mark.parametrize(
        "content",
        [
            b"".join(element(0x00090000 + number, "LO") for number in range(0x10, 0x510)),
            element(0x00081140, "SQ", item() * 1000),
            delimited(0x00081140, "SQ", item() * 1000),
        ],
    )
    def test_elements_without_number(self, read, monkeypatch, content):
        monkeypatch.setattr(dicom_elements, "_MOST_READS", 500)
        with pytest.raises(ReadError, match="holds more elements than are read"):
            read(dicom_bytes(IDENTITY, content))

    def test_large_values_at_many_levels(self, read, monkeypatch):
        content = element(0x00091010, "OB", bytes(2**16))
        for _ in range(12):
            content = element(0x00081140, "SQ", item(content))
        monkeypatch.setattr(dicom_elements, "_MOST_PASSES", 8)
        with pytest.raises(ReadError, match="holds more elements than are read"):
            read(dicom_bytes(IDENTITY, content))

    @given(position=st.integers(0, 3000), value=st.binary(min_size=1, max_size=8), cut=st.integers(100, len(SMALL)))
    def test_damaged_bytes_give_a_file_or_an_error(self, tmp_path_factory, position, value, cut):
        path = tmp_path_factory.mktemp("damaged") / "one"
        path.write_bytes((SMALL[:position] + value + SMALL[position + len(value) :])[:cut])
        with contextlib.suppress(ReadError, DeidError):
            file = read_dicom(path)
            if file is not None:
                assert encode_dicom(file.dataset, file.syntax)[:132] == bytes(128) + b"DICM"


class TestSequences:
    def test_all_are_opened(self, read):
        inner = element(0x00081199, "SQ", item(element(0x00081155, "UI", b"1.2")))
        unknown = element(0x00081140, "UN", item(implicit(0x00081199, item(implicit(0x00081155, b"1.2")))))
        for content in (element(0x00081140, "SQ", item(inner)), delimited(0x00081140, "SQ", item(inner)), unknown):
            dataset = read(dicom_bytes(IDENTITY, content)).dataset
            (outer,) = dataset.get_item(0x00081140).value
            (last,) = outer.get_item(0x00081199).value
            assert last.get_item(0x00081155).is_raw

    def test_all_are_opened_where_nothing_says_so(self, read):
        content = implicit(0x00081140, item(implicit(0x00081155, b"1.2")))
        dataset = read(dicom_bytes(IMPLICIT_IDENTITY, content, syntax=uid.ImplicitVRLittleEndian)).dataset
        assert dataset.get_item(0x00081140).VR == "SQ"

    def test_an_empty_one(self, read):
        file = read(dicom_bytes(IDENTITY, element(0x00081140, "SQ")))
        assert list(file.dataset[0x00081140].value) == []
        assert encode_dicom(file.dataset, file.syntax).endswith(element(0x00081140, "SQ"))

    def test_an_implicit_element_among_explicit_ones(self, read):
        known, unknown = implicit(0x00100010, b"NAME"), implicit(0x00091010, b"1234")
        for content in (known + unknown, element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2") + known))):
            file = read(dicom_bytes(IDENTITY, content))
            assert written(file.dataset, file.syntax) == file.dataset

    @pytest.mark.parametrize(
        "items",
        [
            b"",
            item(element(0x00081155, "UI", b"1.2")) + item(),
            item(implicit(0x00081155, b"1.2")),
            struct.pack(">HHL", 0xFFFE, 0xE000, 12) + element(0x00081155, "UI", b"1.2 ", big=True),
        ],
    )
    def test_items_in_private_elements_are_checked(self, items):
        check_sequence(items)
        with pytest.raises(ReadError, match="damaged"):
            check_sequence(items + b"123")

    def test_items_that_are_too_many_too_deep_or_damaged(self, monkeypatch):
        deep = b""
        for _ in range(40):
            deep = item(element(0x00081140, "SQ", deep))
        with pytest.raises(ReadError, match="nested more than 32 deep"):
            check_sequence(deep)
        with pytest.raises(ReadError, match=r"a file cannot be read \(damaged\)"):
            check_sequence(item(delimited(0x00081140, "SQ", b"")[:-8]) + b"123")
        monkeypatch.setattr(dicom_elements, "_MOST_READS", 100)
        with pytest.raises(ReadError, match="more elements than are read"):
            check_sequence(item() * 1000)

    def test_unknown_character_sets_are_not_quoted(self, read):
        file = read(dicom_bytes(element(0x00080005, "CS", b"SECRET"), IDENTITY, element(0x00100010, "PN", b"N\xe4me")))
        assert b"N\xe4me" in encode_dicom(file.dataset, file.syntax)


def test_pixels_stay_in_memory(tmp_path):
    path = tmp_path / "file"
    pixels = np.arange(2**16, dtype="<u2").tobytes()
    path.write_bytes(dicom_bytes(IDENTITY, element(0x7FE00010, "OW", pixels)))
    file = read_dicom(path)
    path.unlink()
    assert file.dataset.PixelData == pixels
