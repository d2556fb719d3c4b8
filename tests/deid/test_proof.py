"""The search of finished files: what it finds, wherever it hides, and what it lets pass."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct

import numpy as np
import pydicom
import pytest
from deid_runs import KEY, clean_path
from dicom_factories import set_pixels
from marked_study import write_marked_study
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import MedsegError, ReadError
from medseg.core.geometry import Geometry
from medseg.deid import file_areas
from medseg.deid.attribute_kinds import Kind
from medseg.deid.descriptors import Vocabulary
from medseg.deid.engine import Engine
from medseg.deid.identifiers import identifiers_of
from medseg.deid.proof import ANYWHERE, BEFORE, BETWEEN, PIXELS, Hit, Search
from medseg.deid.removed import Removed
from medseg.io.dicom_file import encode_dicom
from medseg.io.meta_image import write_meta_image
from medseg.io.nifti import write_nifti
from medseg.io.nrrd import write_nrrd

WORDS = Vocabulary(frozenset({"liver", "gray matter", "thorax"}))
NAME, PATIENT_ID, BIRTH_DATE, STUDY_UID = 0x00100010, 0x00100020, 0x00100030, 0x0020000D
STATION, DESCRIPTION, PRIVATE = 0x00081010, 0x0008103E, 0x00191008
RESEARCH = frozenset(
    {
        Option.RETAIN_MODIFIED_DATES,
        Option.CLEAN_DESCRIPTORS,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.CLEAN_GRAPHICS,
    }
)
ORIGINAL_UID = "1.2.840.113619.2.55.4711"
TAKEN = (
    (NAME, "PN", "MUSTERFRAU^ANNA"),
    (PATIENT_ID, "LO", "4711"),
    (0x00101000, "LO", "KH-008152"),
    (BIRTH_DATE, "DA", "19640307"),
    (STUDY_UID, "UI", ORIGINAL_UID),
    (STATION, "SH", "ACHIEVA3"),
    (DESCRIPTION, "LO", "HELICAL_7B"),
    (PRIVATE, "LO", "WARD 7 EAST"),
    (0x00100032, "TM", "101112"),
    (0x00080050, "SH", "105321"),
)


def search_for(*taken: tuple[int, str, str], encoding: str = "iso8859", codec: str = "") -> Search:
    removed = [Removed(tag, vr, value.encode(codec or encoding), (encoding,)) for tag, vr, value in taken]
    return Search(identifiers_of(removed, WORDS))


@pytest.fixture(scope="module")
def search() -> Search:
    return search_for(*TAKEN)


def image(bits: int = 16, rows: int = 64, **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "2.25.1"
    dataset.PatientName, dataset.PatientID = "patient-0123456789abcdef", "patient-0123456789abcdef"
    rng = np.random.default_rng(0)
    set_pixels(dataset, rng.normal(60, 9, (rows, rows)).astype(np.uint8 if bits == 8 else np.uint16))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def stored(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset = pydicom.dataset.Dataset(dataset)
    file = io.BytesIO(encode_dicom(dataset, syntax))
    return file.getvalue()


def kinds(hits: list[Hit]) -> set[Kind]:
    return {hit.kind for hit in hits}


def test_a_clean_file_has_no_hit(search):
    assert search.hits(stored(image())) == []
    assert search.hits(stored(image(bits=8))) == []
    assert search.hits(b"") == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Musterfrau", Kind.NAME),
        ("ann anna ann", Kind.NAME),
        ("MUSTERFRAUENHAUS", Kind.NAME),
        ("anna1964", Kind.NAME),
        ("No 4711", Kind.ID),
        ("kh008152x", Kind.ID),
        ("born 7.3.1964", Kind.DATE),
        ("on 1964-03-07.", Kind.DATE),
        (ORIGINAL_UID, Kind.UID),
        ("at achieva3", Kind.DEVICE),
        ("x helical_7b", Kind.TEXT),
        ("ward 7 east", Kind.PRIVATE),
    ],
)
def test_identifiers_in_text(search, text, kind):
    hits = search.hits(stored(image(ImageComments=text)))
    assert kinds(hits) == {kind}
    assert {hit.place for hit in hits} == {"(0020,4000)"}


@pytest.mark.parametrize(
    "text",
    [
        "Annapolis",
        "Hannah",
        "147110",
        "4711.5",
        "0.4711",
        "1.2.840.4711",
        "119640307",
        "19640307.1",
        ORIGINAL_UID + ".1",
    ],
)
def test_parts_of_longer_words_and_numbers_are_no_hits(search, text):
    assert search.hits(stored(image(ImageComments=text))) == []


def test_a_familiar_word_around_a_name_is_no_hit():
    search = search_for((NAME, "PN", "LASTNAME^PHILIP"))
    assert search.hits(stored(image(Manufacturer="Philips Medical"))) == []
    assert kinds(search.hits(stored(image(Manufacturer="Philipsen Medical")))) == {Kind.NAME}


def test_the_tag_behind_a_value_is_no_part_of_it(search):
    """In bytes, the group 0054 that follows begins with the letter T, and 0032 with the digit 2."""
    assert kinds(search.hits(stored(image(ImageComments="an ANNA", CountRate="")))) == {Kind.NAME}
    assert kinds(search.hits(stored(image(ImageComments="No 4711", RequestedContrastAgent="none")))) == {Kind.ID}


def test_identifiers_in_nested_elements_are_located(search):
    item, inner = Dataset(), Dataset()
    inner.PersonName = "Musterfrau^Anna"
    item.PersonIdentificationCodeSequence = [inner]
    (first, *_) = search.hits(stored(image(PerformedProtocolCodeSequence=[Dataset(), item])))
    assert first.place == "(0040,0260)[1](0040,1101)[0](0040,A123)"
    assert (first.kind, first.tag) == (Kind.NAME, NAME)
    assert str(first) == f"name from PatientName (0010,0010) is still in {first.place}"


def test_hits_say_where_they_come_from_without_values():
    hit = Hit(Kind.PRIVATE, PRIVATE, PIXELS)
    assert str(hit) == "private value from private attributes is still in the pixels"
    assert str(Hit(Kind.FILE, 0, ANYWHERE)) == "file name or header field from the original file is still in the file"


@pytest.mark.parametrize("codec", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "iso8859_15"])
@pytest.mark.parametrize("form", [str, str.upper, str.title])
def test_names_in_any_encoding_and_case(codec, form):
    search = search_for((NAME, "PN", "MÜLLER^JÖRG"), encoding="iso8859_15")
    data = b"\0\1\2" + form("müller^jörg").encode(codec) + b"\0\1\2"
    assert kinds(search.hits(data)) == {Kind.NAME}


@pytest.mark.parametrize("codec", ["utf-8", "iso2022_jp", "utf-16-le", "utf-16-be", "shift_jis"])
def test_japanese_names(codec):
    search = search_for((NAME, "PN", "Yamada^Tarou=山田^太郎"), encoding="utf-8", codec="utf-8")
    more = Search(search._identifiers, ("iso2022_jp", "shift_jis", "no such codec"))
    assert kinds(more.hits(b"..." + "山田太郎".encode(codec) + b"...")) == {Kind.NAME}
    assert search.hits("山本太一".encode(codec)) == []


def test_utf_16_of_ascii_is_found_in_text_and_in_pixels(search):
    wide = "MUSTERFRAU".encode("utf-16-le")
    dataset = image(rows=128)
    dataset.PixelData = wide + bytes(len(dataset.PixelData) - len(wide))
    hits = search.hits(stored(dataset))
    assert [hit.place for hit in hits] == [PIXELS]
    assert kinds(search.hits(b"ab" + "4711 ANNA".encode("utf-16-be"))) == {Kind.NAME}


def test_pixels_that_spell_an_identifier_by_chance_are_no_hit(search):
    rng = np.random.default_rng(1)
    dark = rng.integers(ord("0"), ord("9") + 1, (64, 64)).astype(np.uint8)
    dark[3, 8:18] = list(b"/19640307/")
    short = rng.integers(0, 256, (64, 64)).astype(np.uint8)
    short[3, 8:14] = list(b".ANNA.")
    for pixels in (dark, short):
        dataset = image(bits=8)
        set_pixels(dataset, pixels)
        assert search.hits(stored(dataset)) == []


def test_text_written_into_pixels_is_a_hit(search):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[3, 8:18] = list(b"/19640307/")
    dataset = image(bits=8)
    set_pixels(dataset, pixels)
    assert search.hits(stored(dataset)) == [Hit(Kind.DATE, BIRTH_DATE, PIXELS)]


def test_what_pixel_data_holds_beyond_the_image_is_text(search):
    dataset = image()
    dataset.PixelData += b"....ANNA...."
    assert [hit.kind for hit in search.hits(stored(dataset))] == [Kind.NAME]


def jpeg(comment: bytes) -> bytes:
    coded = np.random.default_rng(0).integers(0, 255, 2000).astype(np.uint8).tobytes()
    segments = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + b"\xff\xda\0\x02"
    return b"\xff\xd8" + segments + coded + b"\xff\xd9"


@pytest.mark.parametrize("fragment", [jpeg(b"ANNA"), b"\xff\x4f\xff\x51..ANNA..\xff\x90" + bytes(200)])
def test_comments_of_coded_frames_are_text(search, fragment):
    dataset = image(bits=8)
    dataset.PixelData = encapsulate([fragment, jpeg(b"none")])
    dataset["PixelData"].is_undefined_length = True
    assert kinds(search.hits(stored(dataset, JPEGBaseline8Bit))) == {Kind.NAME}


@pytest.mark.parametrize("fragment", [jpeg(b"none"), b"\xff\xd8 broken", b"RLE coded", b"\xff\x4f no tile"])
def test_coded_frames_have_no_hit(search, fragment):
    dataset = image(bits=8)
    dataset.PixelData = encapsulate([fragment])
    dataset["PixelData"].is_undefined_length = True
    assert search.hits(stored(dataset, JPEGBaseline8Bit)) == []


@pytest.mark.parametrize(
    "elements",
    [
        {"ScanOptions": "HELICAL_7B"},
        {"ManufacturerModelName": "ACHIEVA3 dStream"},
        {"SoftwareVersions": "WARD 7 EAST"},
        {"StationName": "WARD 7 EAST"},
        {"Manufacturer": "musterfrau"},
        {"SeriesNumber": "4711"},
        {"AcquisitionTime": "105321"},
        {"SliceThickness": "4711"},
        {"DeidentificationMethod": "MUSTERFRAU"},
    ],
)
def test_what_looks_like_an_identifier_for_another_reason(search, elements):
    assert search.hits(stored(image(**elements))) == []


@pytest.mark.parametrize(
    "elements",
    [
        {"ScanOptions": "MUSTERFRAU"},
        {"ManufacturerModelName": "Musterfrau dStream"},
        {"SoftwareVersions": "19640307"},
        {"DeidentificationMethod": ORIGINAL_UID},
        {"SeriesDescription": "HELICAL_7B"},
        {"SeriesDescription": "4711"},
    ],
)
def test_what_is_a_leak_in_technical_elements_too(search, elements):
    assert len(search.hits(stored(image(**elements)))) == 1


def test_a_name_may_be_a_word_of_a_familiar_text():
    search = search_for((NAME, "PN", "Gray^Peter"))
    assert search.hits(stored(image(SeriesDescription="Gray matter"))) == []
    assert kinds(search.hits(stored(image(SeriesDescription="Gray")))) == {Kind.NAME}


def test_binary_elements_are_read_like_pixels(search):
    table = np.random.default_rng(2).integers(0, 255, 8192).astype(np.uint8).tobytes()
    lut = Dataset()
    lut.add_new(0x00283006, "OW", table + b".ANNA." + table)
    assert search.hits(stored(image(ModalityLUTSequence=[lut]))) == []
    lut.add_new(0x00283006, "OW", table + b".MUSTERFRAU." + table)
    assert [hit.place for hit in search.hits(stored(image(ModalityLUTSequence=[lut])))] == ["(0028,3000)[0](0028,3006)"]


def test_what_stands_outside_of_the_elements(search):
    data = stored(image())
    assert [hit.place for hit in search.hits(b"MUSTERFRAU" + data[10:])] == [BEFORE]
    assert [hit.place for hit in search.hits(data + bytes(16) + b"MUSTERFRAU")] == [BETWEEN]
    assert search.hits(data + bytes(16) + b" 4711 ") == []


def test_deflated_files_are_inflated(search):
    data = stored(image(ImageComments="MUSTERFRAU"))
    file = pydicom.dcmread(io.BytesIO(data))
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    file.save_as(buffer)
    assert b"MUSTERFRAU" not in buffer.getvalue()
    assert [hit.place for hit in search.hits(buffer.getvalue())] == ["(0020,4000)"]


def test_damaged_files_are_refused(search):
    with pytest.raises(ReadError, match="DICOM file"):
        search.hits(stored(image())[:600])
    with pytest.raises(ReadError, match="damaged"):
        search.hits(gzip.compress(b"MUSTERFRAU" * 100)[:30])


def write_nifti_header_field(path, array, geometry):
    write_nifti(path, array, geometry)
    data = bytearray(path.read_bytes())
    data[148:158] = b"ANNA 10 ml"
    path.write_bytes(data)


@pytest.mark.parametrize("write", [write_nifti, write_nrrd, write_meta_image, write_nifti_header_field])
def test_other_images(search, write, tmp_path):
    array = np.random.default_rng(0).normal(60, 9, (1, 8, 8, 8)).astype(np.uint8)
    path = tmp_path / ("image.nii" if "nifti" in write.__name__ else "image")
    write(path, array, Geometry.from_spacing((8, 8, 8), (1, 1, 1)))
    hits = search.hits(path.read_bytes())
    assert [hit.place for hit in hits] == ([ANYWHERE] if write is write_nifti_header_field else [])


def test_text_in_voxels(search, tmp_path):
    array = np.zeros((1, 8, 8, 8), np.uint8)
    array[0, :, 0, 0] = list(b"19640307")
    write_nifti(tmp_path / "image.nii", array, Geometry.from_spacing((8, 8, 8), (1, 1, 1)))
    assert [hit.place for hit in search.hits((tmp_path / "image.nii").read_bytes())] == [PIXELS]


def test_gzipped_files_are_searched_in_parts(search, monkeypatch):
    monkeypatch.setattr(file_areas, "_PIECE", 64)
    monkeypatch.setattr(file_areas, "_PIECE_OVERLAP", 32)
    for place in range(40, 80):
        data = gzip.compress(b"." * place + b"MUSTERFRAU" + b"." * 100, mtime=0)
        assert kinds(search.hits(data)) == {Kind.NAME}
    named = io.BytesIO()
    with gzip.GzipFile("Musterfrau.nii", "wb", fileobj=named, mtime=0) as stream:
        stream.write(b"nothing")
    assert kinds(search.hits(named.getvalue())) == {Kind.NAME}


def test_the_header_of_a_pair_is_text(search):
    header = bytearray(348)
    header[:4], header[344:348], header[148:152] = struct.pack("<i", 348), b"ni1\0", b"ANNA"
    assert kinds(search.hits(bytes(header))) == {Kind.NAME}


def test_short_numbers_are_left_out_where_elements_do_not_tell_text_from_numbers(search):
    assert search.hits(b'{"RepetitionTime": 4711}') == []
    assert kinds(search.hits(b'{"SeriesTime": "105321"}')) == {Kind.ID}


def test_a_header_that_is_broken_is_text(search, tmp_path):
    write_nifti(tmp_path / "image.nii", np.zeros((1, 4, 4, 4)), Geometry.from_spacing((4, 4, 4), (1, 1, 1)))
    data = bytearray((tmp_path / "image.nii").read_bytes())
    data[108:112], data[148:152] = struct.pack("<f", -5), b"ANNA"
    assert [hit.place for hit in search.hits(bytes(data))] == [ANYWHERE]


def test_keys_and_technical_values_of_json_are_no_hits():
    search = search_for((DESCRIPTION, "LO", "Manufacturer MPRAGE of Doepfer"))
    assert search.hits(b'{"ManufacturersModelName": ["Mprage"], "Nested": {"EchoTime": 1}}') == []
    assert kinds(search.hits(b' {"ImageComments": ["Mprage"]}')) == {Kind.TEXT}
    assert kinds(search.hits(b'{"broken": "Doepfer"')) == {Kind.TEXT}
    assert kinds(search_for(*TAKEN).hits(b'{"ManufacturersModelName": "Musterfrau"}')) == {Kind.NAME}


@pytest.mark.parametrize("options", [frozenset(), RESEARCH], ids=["basic", "research"])
def test_every_marker_of_a_study_is_found_and_none_is_left(options, tmp_path):
    marked = write_marked_study(tmp_path)
    engine = Engine(DeidProfile(options=options), KEY)
    outputs = [clean_path(path, engine) for path in marked.files.values()]
    removed = [one for output in outputs for one in output.cleaned.removed]
    kept_dates = {day for output in outputs for day in output.cleaned.kept_dates}
    search = Search(identifiers_of(removed, engine.vocabulary, kept_dates, options))
    assert [hit for output in outputs for hit in search.hits(output.raw)] == []
    missed = {token.place for token in marked.tokens if not search.hits(b"- " + token.text.encode() + b" -")}
    assert missed <= {"unlisted UR", "private creator", "preamble", "file meta ImplementationVersionName"}
    for text in (*marked.uids, *marked.dates, *marked.hidden_dates):
        assert len(search.hits(f"- {text} -".encode())) == 1


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["brain_tumor_progression", "dcmqi", "highdicom_test_files", "rtutils_tests"])
def test_real_files_that_were_cleaned_have_no_hit(folder, real_data):
    engine = Engine(DeidProfile(), KEY)
    outputs = []
    for path in sorted(path for path in (real_data / folder).rglob("*") if path.is_file()):
        with contextlib.suppress(MedsegError):
            outputs.append(clean_path(path, engine))
    cleaned = [output for output in outputs if output is not None]
    assert cleaned
    for output in cleaned:
        search = Search(identifiers_of(output.cleaned.removed, engine.vocabulary, output.cleaned.kept_dates))
        assert search.hits(output.raw) == []
