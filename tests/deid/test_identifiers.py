"""What is looked for after a study was cleaned, and what is not."""

from __future__ import annotations

import pytest

from medseg.config.deid import Option
from medseg.deid.attribute_kinds import Kind, kind_of
from medseg.deid.descriptors import Vocabulary
from medseg.deid.familiar import Familiar, is_made_name
from medseg.deid.identifiers import LONGEST, Identifier, identifiers_of
from medseg.deid.personal_names import spellings_of_name
from medseg.deid.removed import Removed

WORDS = Vocabulary(frozenset({"head", "thorax", "liver", "axial", "gray matter", "routine"}))
NAME, PATIENT_ID, ACCESSION, BIRTH_DATE, STUDY_ID = 0x00100010, 0x00100020, 0x00080050, 0x00100030, 0x00200010
INSTITUTION, STATION, SERIAL, ADDRESS, PHONE = 0x00080080, 0x00081010, 0x00181000, 0x00101040, 0x00102154
DESCRIPTION, PRIVATE, CODE_MEANING = 0x0008103E, 0x00191008, 0x00080104


def found(tag: int, vr: str, value: bytes, *encodings: str, released=frozenset()) -> dict[str, Kind]:
    removed = [Removed(tag, vr, value, encodings or ("iso8859",))]
    return {one.text: one.kind for one in identifiers_of(removed, WORDS, released).found}


def test_a_name_is_looked_for_in_full_in_either_order_and_by_its_longer_parts():
    names = found(NAME, "PN", b"MUSTERMANN^EVA MARIA^^Dr.")
    wanted = {"MUSTERMANN", "MARIA", "MUSTERMANN^EVA MARIA", "EVA MARIA MUSTERMANN", "MUSTERMANN, EVA MARIA"}
    assert wanted <= set(names)
    assert not {"EVA", "Dr", "Dr."} & set(names)
    assert set(names.values()) == {Kind.NAME}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"LI^WEI", {"LI^WEI", "LI WEI", "WEI LI", "LI, WEI"}),
        (b"LEE^ANNABEL", {"LEE^ANNABEL", "ANNABEL", "ANNABELLEE"}),
        (b"O'BRIEN^MARY", {"O'BRIEN", "OBRIEN", "BRIEN", "MARY"}),
        (b"VAN DER BERG^J", {"VAN DER BERG", "BERG"}),
        (b"John Doepfer", {"John Doepfer", "Doepfer John", "Doepfer", "John"}),
        (b"Doepfer, John", {"Doepfer, John", "John Doepfer"}),
        (b"MEYER-LANSKY^M", {"MEYER", "LANSKY"}),
        (b"Adams^John\\Bowie^David", {"Adams", "Bowie", "David Bowie"}),
    ],
)
def test_spellings(name, wanted):
    assert wanted <= set(found(NAME, "PN", name))


def test_short_names_joined_are_looked_for_only_from_six_letters():
    assert "LIWEI" not in found(NAME, "PN", b"LI^WEI")
    assert "LEEMAY" in found(NAME, "PN", b"LEE^MAY")


@pytest.mark.parametrize("name", [b"ANONYMOUS", b"ANON^PATIENT", b"Removed", b"", b"^^^^", b"HEAD^LIVER", b"UNKNOWN "])
def test_what_is_no_name_is_left_out(name):
    assert found(NAME, "PN", name) == {}


def test_a_name_that_is_also_a_word_is_looked_for_in_full_only():
    names = found(NAME, "PN", b"SHARP^JOAN")
    assert "SHARP" not in names
    assert {"SHARP^JOAN", "JOAN"} <= set(names)


def test_all_groups_of_a_japanese_name_are_read_in_the_declared_character_sets():
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    stored = b"Yamada^Tarou=" + b"=".join(
        b"^".join(part.encode("iso2022_jp") for part in group.split("^")) for group in name.split("=")[1:]
    )
    names = found(NAME, "PN", stored, "iso8859", "iso2022_jp")
    assert {"Yamada", "Tarou", "山田", "太郎", "山田太郎", "太郎 山田", "やまだ", "たろう"} <= set(names)


def test_a_name_is_read_in_all_character_sets_that_it_may_be_in():
    names = found(NAME, "PN", "MÜLLER^JÖRG".encode(), "iso8859")
    assert {"MÜLLER", "JÖRG", "MÃ\x9cLLER"} <= set(names)
    assert {"MÜLLER", "JÖRG"} <= set(found(NAME, "PN", "MÜLLER^JÖRG".encode("latin-1"), "iso8859"))
    assert "Čapek" in found(NAME, "PN", "Čapek".encode("iso8859_2"), "iso8859_2")


def test_unknown_encodings_leave_the_bytes_as_they_are():
    assert "MÜLLER" in found(NAME, "PN", "MÜLLER".encode("latin-1"), "no such codec")
    assert "MUELLER" in {one.text for one in identifiers_of([Removed(NAME, "PN", b"MUELLER", ())], WORDS).found}


@pytest.mark.parametrize(
    ("tag", "value", "wanted"),
    [
        (PATIENT_ID, b"1204", {"1204"}),
        (PATIENT_ID, b"12-34 56/7", {"12-34 56/7", "1234567"}),
        (PATIENT_ID, b"0001234567", {"0001234567", "1234567"}),
        (ACCESSION, b"AB12 ", {"AB12"}),
        (STUDY_ID, b"12045", set()),
        (STUDY_ID, b"120456", {"120456"}),
        (PATIENT_ID, b"123", set()),
        (PATIENT_ID, b"12345678", set()),
        (PATIENT_ID, b"HEAD", set()),
        (PATIENT_ID, b"ID4711\\ID4712", {"ID4711", "ID4712"}),
    ],
)
def test_numbers(tag, value, wanted):
    assert set(found(tag, "LO", value)) == wanted


def test_a_name_in_a_number_is_a_name():
    kinds = found(PATIENT_ID, "LO", b"DOEPFER^JOHN")
    assert kinds["DOEPFER^JOHN"] is Kind.ID
    assert kinds["JOHN DOEPFER"] is Kind.NAME


def test_dates_are_spelled_as_people_do():
    dates = found(BIRTH_DATE, "DA", b"19640307")
    assert {"19640307", "1964-03-07", "07.03.1964", "03/07/1964", "07/03/1964", "7.3.1964", "1964:03:07"} <= set(dates)
    assert set(dates.values()) == {Kind.DATE}
    assert "19640307" in found(0x0008002A, "DT", b"19640307101112.5+0100")
    assert "19640307" in found(BIRTH_DATE, "DA", b"1964.03.07\\19700505")


@pytest.mark.parametrize("date", [b"19000101", b"00010101", b"20201341", b"1964", b"", b"99991231", b"19700101"])
def test_what_is_no_date_is_left_out(date):
    assert found(BIRTH_DATE, "DA", date) == {}


def test_released_dates_and_times_are_left_out():
    assert found(0x00080020, "DA", b"20200304", released=frozenset({"20200304"})) == {}
    assert found(0x00080030, "TM", b"101112") == {}
    assert found(PRIVATE, "LO", b"20200304", released=frozenset({"20200304"})) == {}


def test_what_an_option_keeps_is_left_out():
    removed = [
        Removed(0x0020000D, "UI", b"1.2.840.113619.2.5", ("iso8859",)),
        Removed(0x00082222, "UI", b"1.2.840.113619.2.6", ("iso8859",)),
        Removed(INSTITUTION, "LO", b"Musterstadt", ("iso8859",)),
        Removed(NAME, "PN", b"Doepfer", ("iso8859",)),
    ]
    options = frozenset({Option.RETAIN_UIDS, Option.RETAIN_INSTITUTION_IDENTITY})
    assert [one.text for one in identifiers_of(removed, WORDS, options=options).found] == ["Doepfer"]
    assert len(identifiers_of(removed, WORDS).found) == 4


def test_uids():
    uids = found(0x0020000D, "UI", b"1.2.840.113619.2.5\\1.2.840.10008.5.1.4\\1.2.3.4")
    assert uids == {"1.2.840.113619.2.5": Kind.UID}
    assert found(0x0020000D, "UI", b"STUDY4711\0") == {"STUDY4711": Kind.ID}
    assert found(0x00080016, "UI", b"1.3.12.2.1107.5.9.1") == {}
    assert found(0x00020003, "UI", b"1.3.12.2.1107.5.9.1") == {}


def test_addresses_and_telephones():
    address = found(ADDRESS, "LO", b"Hauptstrasse 12^12345 Musterstadt^Bayern")
    assert {"Hauptstrasse 12", "12345 Musterstadt", "Bayern"} <= set(address)
    phone = found(PHONE, "SH", b"+49 (621) 383-4711")
    assert {"+49 (621) 383-4711", "496213834711"} <= set(phone)
    assert set(phone.values()) == {Kind.CONTACT}


def test_institutions_and_their_unfamiliar_words():
    places = found(INSTITUTION, "LO", "Universitätsklinikum Musterstadt Radiology".encode("latin-1"))
    assert {"Universitätsklinikum", "Musterstadt"} < set(places)
    assert "Radiology" not in places
    assert found(INSTITUTION, "LO", b"Medical Center") == {}


@pytest.mark.parametrize(("value", "wanted"), [(b"CT99", {"CT99"}), (b"12345", set()), (b"654321", {"654321"})])
def test_devices(value, wanted):
    assert set(found(SERIAL, "LO", value)) == wanted
    assert set(found(STATION, "SH", value)) == wanted
    assert set(found(SERIAL, "LO", b"12345\\CT99")) == {"CT99"}
    assert found(0x00020016, "AE", b"STORESCU") == {}
    assert found(0x00020016, "AE", b"WARD7CT") == {"WARD7CT": Kind.DEVICE}


def test_free_text_is_looked_for_line_by_line_unless_it_is_familiar():
    text = found(DESCRIPTION, "LT", b"seen by Dr. Schmidtke\r\nhead axial\nshort\n1.2345678")
    assert text == {"seen by Dr. Schmidtke": Kind.TEXT, "Schmidtke": Kind.TEXT}
    assert found(DESCRIPTION, "LO", b"Thorax routine") == {}
    assert "Schmidtke" in found(CODE_MEANING, "LO", b"Schmidtke, Anna")
    assert found(0x00080100, "SH", b"Schmidtke") == {}


def test_what_stands_within_free_text():
    text = found(DESCRIPTION, "LT", b"Sequence of 4711815, 20200304, see 1.3.12.2.1107.5")
    assert text["4711815"] is Kind.TEXT
    assert text["04.03.2020"] is Kind.DATE
    assert text["1.3.12.2.1107.5"] is Kind.UID


def test_long_texts_are_cut():
    (text,) = found(DESCRIPTION, "UT", b"word " * 100)
    assert text.startswith("word word")
    assert len(text) <= LONGEST


@pytest.mark.parametrize(
    ("vr", "value", "wanted"),
    [
        ("LO", b"WARD 7 EAST", {"WARD 7 EAST": Kind.PRIVATE}),
        ("UN", b"WARD 7 EAST\0", {"WARD 7 EAST": Kind.PRIVATE}),
        ("OB", b"\x01\x02binary\xff", {}),
        ("UN", b"see 1.3.12.2.1107.5", {"see 1.3.12.2.1107.5": Kind.PRIVATE, "1.3.12.2.1107.5": Kind.UID}),
        ("UN", b"12345", {}),
        ("UN", b"3.141592653", {}),
        ("UN", b"1234567", {}),
        ("UN", b"7654321", {"7654321": Kind.PRIVATE}),
        ("UN", b"1.3.12.2.1107.5", {"1.3.12.2.1107.5": Kind.UID}),
        ("UN", b"50.80.103.002", {"50.80.103.002": Kind.PRIVATE}),
        ("SH", b"head axial", {}),
        ("DS", b"1234567", {}),
        ("CS", b"WARD 7 EAST", {}),
        ("AE", b"WARD7CT", {"WARD7CT": Kind.DEVICE}),
    ],
)
def test_private_values(vr, value, wanted):
    assert found(PRIVATE, vr, value) == wanted


def test_private_names_and_dates():
    assert found(PRIVATE, "UN", b"DOEPFER^JOHN")["DOEPFER"] is Kind.NAME
    assert found(PRIVATE, "PN", b"DOEPFER^JOHN")["JOHN"] is Kind.NAME
    assert "04.03.2020" in found(PRIVATE, "UN", b"20200304101112")
    assert found(0x00190010, "LO", b"SIEMENS MED MAKER") == {}


def test_names_of_files_and_header_fields():
    fields = found(0, "LT", b"/home/schmidtke/sub-4711815_19640307_T1.nii")
    assert {"schmidtke", "4711815", "19640307", "/home/schmidtke/sub-4711815_19640307_T1.nii"} <= set(fields)
    assert fields["schmidtke"] is Kind.FILE
    assert found(0, "LT", b"images\\123.456789\\Schmidt") == {"Schmidt": Kind.FILE}


def test_unknown_representations_are_read_like_private_ones():
    assert found(0x00085555, "??", b"WARD 7 EAST") == {"WARD 7 EAST": Kind.PRIVATE}
    assert found(0x00085555, "OW", b"WARD 7 EAST") == {}


def test_what_is_equal_but_for_its_case_counts_once():
    removed = [Removed(NAME, "PN", b"Doepfer", ("iso8859",)), Removed(0x00081070, "PN", b"DOEPFER", ("utf-8",))]
    found = identifiers_of([*removed, *removed], WORDS)
    assert found.found == (Identifier(Kind.NAME, NAME, "Doepfer"),)
    assert found.encodings == ("iso8859", "utf-8")


def test_identifiers_do_not_show_in_their_representation():
    found = identifiers_of([Removed(NAME, "PN", b"Doepfer^John", ("iso8859",))], WORDS)
    assert "oepfer" not in repr(found)


def test_kinds_come_from_the_names_of_attributes():
    assert kind_of(0x00100041, "LO") is Kind.TEXT  # newer than pydicom's dictionary
    assert kind_of(0x00402017, "LO") is Kind.ID
    assert kind_of(0x00100010, "UN") is Kind.NAME
    assert kind_of(0x00100010, "OW") is Kind.NAME
    assert kind_of(0x00280010, "OW") is None
    assert kind_of(0x00020012, "UI") is None
    assert kind_of(0x00200013, "UN") is None
    assert kind_of(0x0008103E, "UN") is Kind.TEXT
    assert kind_of(0x00080102, "SH") is None
    assert kind_of(0x00020102, "OB") is Kind.PRIVATE
    assert kind_of(0xFFFCFFFC, "OB") is Kind.PRIVATE
    assert kind_of(0x00080060, "CS") is None


@pytest.mark.parametrize("text", ["", "siemens", "Head  axial", "GRAY MATTER", "none", "SIEMENS liver", "n/a"])
def test_familiar_texts(text):
    assert Familiar(WORDS).knows(text)


@pytest.mark.parametrize("text", ["Schmidtke", "head Schmidtke", "4711", "gray"])
def test_unfamiliar_texts(text):
    assert not Familiar(WORDS).knows(text)


def test_pseudonyms_are_known_by_their_form():
    assert is_made_name("patient-0123456789abcdef")
    assert is_made_name("A0123456789ABCDE")
    assert not is_made_name("patient-4711")


def test_names_that_are_familiar_have_no_spelling():
    assert list(spellings_of_name("TEST^PATIENT=ANON", Familiar(WORDS))) == []
