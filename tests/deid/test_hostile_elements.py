"""Elements that lie about themselves, and patients that are hard to tell apart: cleaned or refused, never passed on.

Inputs 16, 17 and 19 of the attack table in the reference, as far as the engine meets them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from deid_runs import BASIC, KEY, OTHER_KEY, Output, clean_path, profile
from dicom_bytes import dicom_bytes, element, implicit
from pydicom.datadict import DicomDictionary
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian
from raw_dicom import NEEDED, file_of, sequence
from table_rows import NUMBERS, rows

from medseg.config.deid import Option, SafePrivate
from medseg.core.errors import DeidError, ReadError
from medseg.deid.engine import Engine
from medseg.deid.technical import KEPT_BINARY, KEPT_TEXT

SECRET = b"Zebedee^Quark"
NAME, NUMBER, ISSUER, BIRTH_DATE, COMMENT = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00104000
CHARACTER_SET, SOP_CLASS, STUDY_UID, SERIES_UID, FRAME_UID = 0x00080005, 0x00080016, 0x0020000D, 0x0020000E, 0x00200052
HOLDER = 0x00082218  # a sequence that the table does not list
ALL = profile(*(set(Option) - {Option.RETAIN_FULL_DATES}))
SAFE = SafePrivate(creator="MAKER", group=0x0019, element=0x01)
VRS = ["UN", "LO", "OB", "OW", "UT", "UI", "DS", "IS", "CS", "DA", "DT", "TM", "SH", "UC", "AE", "AS", "US", "FD", "SQ"]
TAGS = {
    "name": NAME,
    "number": NUMBER,
    "study UID": STUDY_UID,
    "study date": 0x00080020,
    "age": 0x00101010,
    "referenced images": 0x00081140,
    "content": 0x0040A730,
    "annotations": 0x00700001,
    "rows": 0x00280010,
    "image type": 0x00080008,
    "unlisted text": 0x00189924,
    "unlisted UID": 0x0018991E,
    "retired group length": 0x00100000,
    "not in the dictionary": 0x00101FFF,
    "private": 0x00111001,
}


LIES = [
    pytest.param(tag, vr, id=f"{name} as {vr}")
    for name, tag in TAGS.items()
    for vr in VRS
    if name != "rows" or vr not in ("UN", *NUMBERS)  # any bytes are a number; the search of the output looks at them
]


def clean(raw: bytes, folder: Path, engine: Engine | None = None) -> Output:
    path = folder / "raw.dcm"
    path.write_bytes(raw)
    output = clean_path(path, engine or Engine(BASIC, KEY))
    assert output is not None
    return output


def _stored(output: Output, tag: int) -> bytes:
    value = output.dataset.get_item(tag).value
    return value if isinstance(value, bytes) else b""


def holds_secret(raw: bytes) -> bool:
    lower = raw.lower()
    return any(word in lower for word in (b"zebedee", b"quark", b"z\0e\0b\0e\0"))


@pytest.mark.parametrize("chosen", [BASIC, ALL], ids=["basic", "all options"])
@pytest.mark.parametrize(("tag", "vr"), LIES)
def test_a_text_under_any_representation_is_cleaned_or_refused(tag, vr, chosen, tmp_path):
    hidden = element(tag, vr, SECRET.ljust(16))
    for raw in (file_of((tag, hidden)), file_of((HOLDER, sequence(HOLDER, hidden)))):
        try:
            output = clean(raw, tmp_path, Engine(chosen, KEY))
        except (DeidError, ReadError):
            continue
        assert not holds_secret(output.raw)


@pytest.mark.parametrize("chosen", [BASIC, ALL], ids=["basic", "all options"])
def test_only_technical_attributes_keep_a_text_of_unknown_representation(chosen, tmp_path):
    elements = [
        (tag, element(tag, "UN", SECRET))
        for tag, (vr, *_rest) in DicomDictionary.items()
        if vr != "SQ"
        and tag not in NEEDED
        and 0x0008 < tag >> 16 < 0x7FE0
        and tag >> 16 & 0xFF00 not in (0x5000, 0x6000)
    ]
    output = clean(file_of(*elements), tmp_path, Engine(chosen, KEY))
    tags = [int(tag) for tag in output.dataset.keys()]  # noqa: SIM118 - a data set yields elements
    left = {tag for tag in tags if holds_secret(_stored(output, tag))}
    retained = {row.tag for row in rows() if chosen is ALL and "K" in row.options.values()}
    texts = {tag for tag in left if DicomDictionary[tag][0] not in NUMBERS}
    assert texts - KEPT_TEXT - KEPT_BINARY - retained == set()
    assert len(list(output.dataset)) == len(tags)  # each value can be read
    assert len(elements) > 2500


def test_an_unknown_representation_of_a_name_becomes_the_pseudonym(tmp_path):
    output = clean(file_of((NAME, element(NAME, "UN", SECRET)), (NUMBER, element(NUMBER, "UN", b"12345"))), tmp_path)
    assert output.dataset.PatientName == output.dataset.PatientID == output.cleaned.patient
    assert output.cleaned.patient == KEY.patient("", "12345")


def test_duplicate_elements_are_all_gone(tmp_path):
    raw = file_of((NAME, element(NAME, "PN", SECRET)), (NAME, element(NAME, "PN", b"Quark^Two")))
    assert not holds_secret(clean(raw, tmp_path).raw)


def test_group_lengths_are_gone(tmp_path):
    lengths = [(group << 16, element(group << 16, "UL", struct.pack("<L", 4))) for group in (0x0008, 0x0010, 0x0018)]
    inner = sequence(HOLDER, element(0x00100000, "UL", struct.pack("<L", 4)))
    output = clean(file_of(*lengths, (HOLDER, inner)), tmp_path)
    assert [one.tag for one in output.dataset.iterall() if one.tag.element == 0] == []


def test_big_endian_stays_big_endian(tmp_path):
    needed = {**NEEDED, NAME: ("PN", SECRET), 0x00280010: ("US", b"\2\0"), 0x00280011: ("US", b"\0\3")}
    body = b"".join(element(tag, *needed[tag], big=True) for tag in sorted(needed))
    output = clean(dicom_bytes(body, syntax=ExplicitVRBigEndian), tmp_path)
    assert output.dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    assert (output.dataset.Rows, output.dataset.Columns) == (512, 3)
    assert not holds_secret(output.raw)


@pytest.mark.parametrize("with_prefix", [True, False])
def test_without_file_meta_information(with_prefix, tmp_path):
    needed = {**NEEDED, NAME: ("PN", SECRET), COMMENT: ("LT", b"seen by Quark")}
    body = b"".join(implicit(tag, needed[tag][1]) for tag in sorted(needed))
    head = b"MZ" + SECRET.ljust(126) + b"DICM" if with_prefix else b""
    output = clean(head + body, tmp_path)
    assert output.raw[:128] == bytes(128)
    assert output.dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert output.dataset.file_meta.MediaStorageSOPInstanceUID == output.dataset.SOPInstanceUID
    assert not holds_secret(output.raw)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (b"\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう".encode("iso2022_jp")),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + "山田^太郎".encode("iso2022_jp")),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ),
        (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小東=".encode()),
        (b"ISO_IR 144", b"\xbb\xee\xda\xe1\xd5\xdc\xd1\xe3\xe0\xd3^\xb8\xd2\xd0\xdd"),
    ],
    ids=["Japanese", "half-width", "Korean", "Chinese", "UTF-8", "Cyrillic"],
)
@pytest.mark.parametrize("chosen", [BASIC, ALL], ids=["basic", "all options"])
def test_names_in_other_scripts(character_set, name, chosen, tmp_path):
    elements = [(CHARACTER_SET, element(CHARACTER_SET, "CS", character_set)), (NAME, element(NAME, "PN", name))]
    elements += [(COMMENT, element(COMMENT, "LT", b"liver of " + name)), (0x00081048, element(0x00081048, "PN", name))]
    output = clean(file_of(*elements), tmp_path, Engine(chosen, KEY))
    parts = {part for group in name.split(b"=") for part in (group, *group.split(b"^")) if len(part) > 2}
    assert [part for part in parts if part in output.raw] == []
    assert output.dataset.PatientName == output.cleaned.patient


@pytest.mark.parametrize("length", [64, 65, 200])
def test_long_uids_are_replaced(length, tmp_path):
    uid = ("1.2.826." + "7" * 200)[:length].encode()
    output = clean(file_of(*((tag, element(tag, "UI", uid)) for tag in (STUDY_UID, FRAME_UID))), tmp_path)
    assert uid not in output.raw
    assert output.dataset.FrameOfReferenceUID == output.dataset.StudyInstanceUID == KEY.uid(uid.decode())
    assert UID(output.dataset.StudyInstanceUID).is_valid


@pytest.mark.parametrize("uid", [b"Zebedee", b"1.2.Zebedee.4", b"1.2.840.10008.Zebedee", b"1.2.840.10008.5/../Quark"])
@pytest.mark.parametrize("tag", [0x00080018, STUDY_UID, SERIES_UID, FRAME_UID, 0x0018991E, 0x0008001A])
@pytest.mark.parametrize("chosen", [BASIC, ALL], ids=["basic", "all options"])
def test_texts_in_uids_are_not_kept(uid, tag, chosen, tmp_path):
    try:
        output = clean(file_of((tag, element(tag, "UI", uid))), tmp_path, Engine(chosen, KEY))
    except DeidError:
        return
    assert not holds_secret(output.raw)


def test_an_instance_uid_below_the_root_of_the_standard_is_replaced(tmp_path):
    uid = b"1.2.840.10008.19520317.12345678"
    output = clean(file_of(*((tag, element(tag, "UI", uid)) for tag in (STUDY_UID, SERIES_UID))), tmp_path)
    assert uid not in output.raw


def test_a_well_known_frame_of_reference_stays(tmp_path):
    uid = "1.2.840.10008.1.4.1.1"  # Talairach Brain Atlas (PS3.6 table A-2)
    assert (
        clean(file_of((FRAME_UID, element(FRAME_UID, "UI", uid.encode()))), tmp_path).dataset.FrameOfReferenceUID == uid
    )


@pytest.mark.parametrize("chosen", [BASIC, ALL], ids=["basic", "all options"])
def test_backslashes_in_texts(chosen, tmp_path):
    value = b"liver\\" + SECRET + b"\\axial"
    elements = [(tag, element(tag, vr, value)) for tag, vr in _TEXTS]
    output = clean(file_of(*elements), tmp_path, Engine(chosen, KEY))
    assert not holds_secret(output.raw)


_TEXTS = ((0x00081030, "LO"), (0x00082111, "ST"), (NUMBER, "LO"), (COMMENT, "LT"), (0x00189924, "UT"), (NAME, "PN"))


def test_a_private_group_in_a_nested_item_is_gone(tmp_path):
    inner = element(0x00110010, "LO", b"MAKER") + element(0x00111001, "UN", SECRET)
    deep = sequence(HOLDER, inner + sequence(0x00111002, element(NAME, "PN", SECRET)))
    output = clean(file_of((HOLDER, sequence(HOLDER, inner + deep))), tmp_path)
    assert not holds_secret(output.raw)
    assert HOLDER in output.dataset


@pytest.mark.parametrize(
    ("creators", "is_kept"),
    [
        ({0x10: b"MAKER"}, True),
        ({0x10: b"MAKER", 0x11: b"MAKER"}, False),  # two blocks of one creator
        ({0x10: b"OTHER", 0x11: b"MAKER"}, False),  # the block belongs to another
        ({0x10: b"maker"}, False),
        ({0x10: b"MAKER X"}, False),
        ({}, False),
    ],
    ids=["its own", "twice", "another's", "lower case", "longer", "nobody's"],
)
@pytest.mark.parametrize("place", ["top", "nested"])
def test_a_safe_private_element_needs_its_creator(creators, is_kept, place, tmp_path):
    block = [(0x00190000 | number, element(0x00190000 | number, "LO", name)) for number, name in creators.items()]
    block.append((0x00191001, element(0x00191001, "LO", SECRET)))
    content = b"".join(one for _, one in sorted(block))
    raw = file_of(*block) if place == "top" else file_of((HOLDER, sequence(HOLDER, content)))
    output = clean(raw, tmp_path, Engine(profile(Option.RETAIN_SAFE_PRIVATE, safe=(SAFE,)), KEY))
    assert holds_secret(output.raw) == is_kept


def test_a_creator_at_the_top_says_nothing_about_an_item(tmp_path):
    top = element(0x00190010, "LO", b"MAKER")
    inner = sequence(HOLDER, element(0x00191001, "LO", SECRET))
    engine = Engine(profile(Option.RETAIN_SAFE_PRIVATE, safe=(SAFE,)), KEY)
    assert not holds_secret(clean(file_of((0x00190010, top), (HOLDER, inner)), tmp_path, engine).raw)


def patient_of(folder: Path, number: bytes, issuer: bytes = b"", study: bytes = b"1.2.3", name: bytes = b"A^B") -> str:
    values = {NUMBER: ("LO", number), ISSUER: ("LO", issuer), STUDY_UID: ("UI", study), NAME: ("PN", name)}
    return clean(file_of(*((tag, element(tag, *values[tag])) for tag in values)), folder).cleaned.patient


def test_patients_are_told_apart_by_issuer_and_number(tmp_path):
    assert patient_of(tmp_path, b"17", b"east") != patient_of(tmp_path, b"17", b"west")
    assert patient_of(tmp_path, b"17", b"east") == patient_of(tmp_path, b"17", b"east", b"1.2.4", b"Married^Name")
    assert patient_of(tmp_path, b"17") != patient_of(tmp_path, b"18")


def test_without_a_number_each_study_is_a_patient(tmp_path):
    assert patient_of(tmp_path, b"", study=b"1.2.3") == patient_of(tmp_path, b"  ", study=b"1.2.3")
    assert patient_of(tmp_path, b"", study=b"1.2.3") != patient_of(tmp_path, b"", study=b"1.2.4")


def test_what_another_project_made_is_replaced_again(tmp_path):
    modified = profile(Option.RETAIN_MODIFIED_DATES)
    values = {NUMBER: ("LO", b"17"), NAME: ("PN", SECRET), 0x00080020: ("DA", b"20240611")}
    theirs = clean(
        file_of(*((tag, element(tag, *values[tag])) for tag in values)), tmp_path, Engine(modified, OTHER_KEY)
    )
    ours = clean(theirs.raw, tmp_path, Engine(modified, KEY))
    for one in (theirs.cleaned.patient, str(theirs.dataset.SOPInstanceUID), theirs.dataset.StudyDate):
        assert one.encode() not in ours.raw
    assert ours.dataset.PatientID == KEY.patient("", theirs.cleaned.patient)


def test_a_claim_of_others_about_the_pixels_is_not_repeated(tmp_path):
    claim = element(0x00080100, "SH", b"113101") + element(0x00080102, "SH", b"DCM")
    elements = [
        (0x00120062, element(0x00120062, "CS", b"YES")),
        (0x00120063, element(0x00120063, "LO", SECRET)),
        (0x00120064, sequence(0x00120064, claim)),
        (0x00280301, element(0x00280301, "CS", b"NO")),
        (0x00280302, element(0x00280302, "CS", b"NO")),
    ]
    output = clean(file_of(*elements), tmp_path)
    assert [one.CodeValue for one in output.dataset.DeidentificationMethodCodeSequence] == ["113100"]
    assert not holds_secret(output.raw)


def test_a_missing_class_is_taken_from_the_file_meta_information(tmp_path):
    output = clean(file_of((SOP_CLASS, element(SOP_CLASS, "UI", b""))), tmp_path)
    assert output.dataset.SOPClassUID == output.dataset.file_meta.MediaStorageSOPClassUID == CTImageStorage


@pytest.mark.parametrize("missing", [0x00080018, STUDY_UID, SERIES_UID])
def test_an_object_without_its_uids_is_refused(missing, tmp_path):
    with pytest.raises(DeidError, match="the object has no"):
        clean(file_of((missing, element(missing, "UI", b""))), tmp_path)


def test_a_wrong_birth_date_is_not_clipped_but_emptied(tmp_path):
    elements = [(tag, element(tag, "DA", b"2024")) for tag in (0x00080020, 0x00080021, BIRTH_DATE)]
    output = clean(file_of(*elements), tmp_path, Engine(profile(Option.RETAIN_MODIFIED_DATES), KEY))
    assert output.dataset.StudyDate == output.dataset.PatientBirthDate == ""
    assert output.dataset.get("SeriesDate", "") == ""
