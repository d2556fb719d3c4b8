"""Items of sequences, however pydicom holds them."""

import io

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medseg.core.errors import ReadError
from medseg.deid.elements import Raw
from medseg.deid.nested import encodings_of, items_of, keep_items, part, text_of

SEQUENCE, TEXT = 0x0040A730, 0x0040A160


def stored_report(text="Schädel"):
    report, item = Dataset(), Dataset()
    item.TextValue = text
    report.SpecificCharacterSet = "ISO_IR 192"
    report.ContentSequence = [item, Dataset()]
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, report, enforce_file_format=False, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return dcmread(buffer, force=True)


def test_items_are_read():
    assert len(items_of(stored_report(), SEQUENCE)) == 2
    assert items_of(Dataset(), SEQUENCE) == []


def test_what_is_no_sequence_has_no_items():
    dataset = Dataset()
    dataset.TextValue = "no items at all"
    assert items_of(dataset, TEXT) == []


def test_items_nested_without_end_are_refused():
    value = b""
    for _ in range(40):
        element = b"\x40\x00\x30\xa7SQ\0\0" + len(value).to_bytes(4, "little") + value
        value = b"\xfe\xff\x00\xe0" + len(element).to_bytes(4, "little") + element
    dataset = Dataset()
    dataset[SEQUENCE] = Raw(SEQUENCE, "SQ", len(value), value, 0, False, True)
    with pytest.raises(ReadError, match="deep"):
        items_of(dataset, SEQUENCE)


def test_items_are_thinned_out():
    report = stored_report()
    first, _ = items_of(report, SEQUENCE)
    keep_items(report, SEQUENCE, [first])
    assert items_of(report, SEQUENCE) == [first]
    keep_items(report, SEQUENCE, [])
    assert SEQUENCE not in report


def test_a_part_has_the_same_element_and_encoding():
    item, _ = items_of(stored_report(), SEQUENCE)
    alone = part(item, TEXT)
    assert list(alone.keys()) == [TEXT]
    assert alone.get_item(TEXT) == item.get_item(TEXT)
    assert text_of(alone, TEXT).strip() == "Schädel"


def test_texts_are_read_by_their_character_set():
    item, empty = items_of(stored_report(), SEQUENCE)
    assert text_of(item, TEXT).strip() == "Schädel"
    assert text_of(empty, TEXT) == ""
    assert [codec.lower() for codec in encodings_of(item)] == ["utf8"]


def test_a_data_set_of_our_own_is_latin():
    dataset = Dataset()
    dataset.TextValue = "liver"
    assert encodings_of(dataset) == ("iso8859",)
    assert text_of(dataset, TEXT).strip() == "liver"
