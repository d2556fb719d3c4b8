"""Plain headers are walked, and what the walk gives is what the parser gives; all else is left to the parser."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from dicom_factories import Grid, enhanced_dataset, series_datasets, voxels, write_file
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medseg.io import dicom_header
from medseg.io.dicom_header import Header, read_header
from medseg.io.dicom_instance import _TAGS

TAGS = _TAGS
ONE_SLICE = Grid(slices=1)
STRANGERS = 400
"""Damaged variants of each file."""


def by_parser(content: bytes, tags=TAGS) -> Header | None:
    return dicom_header._parsed(io.BytesIO(content), tags)


def by_walk(content: bytes, tags=TAGS) -> Header | None:
    return dicom_header._walked(io.BytesIO(content), tags)


def facts(header: Header):
    dataset = header.dataset
    elements = {int(tag): tuple(dataset.get_item(tag, keep_deferred=True)) for tag in sorted(dataset.keys())}
    return header.syntax, header.pixels, dataset.original_encoding, dataset.original_character_set, elements


def check_walked(content: bytes, tags=TAGS) -> None:
    walked = by_walk(content, tags)
    assert walked is not None
    assert facts(walked) == facts(by_parser(content, tags))


def one_file(tmp_path: Path, syntax=uid.ExplicitVRLittleEndian, change=None, modality="CT", **elements) -> bytes:
    """A slice as a file."""
    (dataset,) = series_datasets(ONE_SLICE, voxels(ONE_SLICE), modality, **elements)
    if change is not None:
        change(dataset)
    write_file(tmp_path / "one", dataset, syntax)
    return (tmp_path / "one").read_bytes()


def with_sequences(dataset: Dataset) -> None:
    """Sequences and items of defined and undefined length, one in the other, as they stand in files of all makers."""
    inner, outer, other = Dataset(), Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "T-D4000", "Abdomen"
    outer.AnatomicRegionSequence = Sequence([inner])
    outer["AnatomicRegionSequence"].is_undefined_length = True
    other.ReferencedSOPInstanceUID = "1.2.3"
    outer.is_undefined_length_sequence_item = True
    dataset.RequestAttributesSequence = Sequence([outer, other, Dataset()])
    dataset["RequestAttributesSequence"].is_undefined_length = True
    dataset.ReferencedImageSequence = Sequence([other])
    dataset.add_new(0x00090010, "LO", "MAKER")
    dataset.add_new(0x00091001, "OB", bytes(40_000))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("character_set", [None, "ISO_IR 100", "ISO_IR 192", "ISO_IR 144"])
def test_plain_headers_are_walked(tmp_path, syntax, character_set):
    elements = {} if character_set is None else {"SpecificCharacterSet": character_set}
    content = one_file(tmp_path, syntax, with_sequences, BodyPartExamined="", **elements)
    check_walked(content)
    check_walked(content, (0x00080060,))


def test_compressed_and_without_pixels(tmp_path):
    def without(dataset):
        del dataset.PixelData

    (dataset,) = series_datasets(ONE_SLICE, voxels(ONE_SLICE))
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    write_file(tmp_path / "rle", dataset, uid.RLELossless)
    content = (tmp_path / "rle").read_bytes()
    check_walked(content)
    assert by_walk(content).pixels.length is None
    check_walked(one_file(tmp_path, change=without))
    assert by_walk(one_file(tmp_path, change=without)).pixels is None


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_implicit.dcm", "CT_small.dcm", "693_J2KI.dcm"])
def test_files_of_other_makers(name):
    check_walked(Path(get_testdata_file(name, download=False)).read_bytes())


def second_meta(content: bytes, syntax: str) -> bytes:
    return content.replace(uid.ExplicitVRLittleEndian.encode() + b"\0", syntax.encode().ljust(20, b"\0"))


def element(tag: int, code: bytes, value: bytes = b"") -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, code, len(value)) + value


def behind_meta(content: bytes, more: bytes) -> bytes:
    """Elements put in front of the data set."""
    start = content.index(b"\x08\x00\x16\x00UI")
    return content[:start] + more + content[start:]


UNUSUAL = {
    "no preamble": lambda content: content[132:],
    "not DICOM": lambda content: b"x" * len(content),
    "empty": lambda _: b"",
    "deflated": lambda content: second_meta(content, uid.DeflatedExplicitVRLittleEndian),
    "big endian": lambda content: second_meta(content, uid.ExplicitVRBigEndian),
    "implicit after all": lambda content: second_meta(content, uid.ImplicitVRLittleEndian),
    "no UID as syntax": lambda content: second_meta(content, "implicit"),
    "a directory": lambda content: content.replace(uid.CTImageStorage.encode(), b"1.2.840.10008.1.3.10\0\0\0\0\0", 1),
    "unknown representation": lambda content: behind_meta(content, element(0x00080005, b"XX")),
    "out of order": lambda content: behind_meta(content, element(0x00100020, b"LO")),
    "code extensions": lambda content: behind_meta(content, element(0x00080005, b"CS", b"\\ISO 2022 IR 87")),
    "unknown characters": lambda content: behind_meta(content, element(0x00080005, b"CS", b"KLINGON ")),
    "value of undefined length": lambda content: behind_meta(
        content, struct.pack("<HH2sHL", 8, 1, b"UN", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    ),
    "stray delimiter": lambda content: behind_meta(content, struct.pack("<HHL", 0xFFFE, 0xE00D, 0)),
    "deep": lambda content: behind_meta(
        content,
        (struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF))
        * 20,
    ),
    "cut": lambda content: content[:400],
    "item longer than itself": lambda content: behind_meta(
        content,
        struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 10)
        + element(0x00080060, b"CS", b"ABCDEFGH")
        + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
    ),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_the_unusual_is_left_to_the_parser(tmp_path, kind):
    assert by_walk(UNUSUAL[kind](one_file(tmp_path))) is None


def test_functional_groups_and_everything_are_left_to_the_parser(tmp_path):
    dataset = enhanced_dataset(ONE_SLICE, voxels(ONE_SLICE), [0])
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    write_file(tmp_path / "enhanced", dataset)
    assert by_walk((tmp_path / "enhanced").read_bytes()) is None
    assert read_header(tmp_path / "enhanced", TAGS).dataset.PerFrameFunctionalGroupsSequence
    one_file(tmp_path)
    assert "PatientName" in read_header(tmp_path / "one", ()).dataset


def test_long_headers_are_walked_in_a_second_window(tmp_path, monkeypatch):
    content = one_file(tmp_path, change=with_sequences)
    check_walked(content)
    monkeypatch.setattr("medseg.io.dicom_walk._WINDOWS", (2**10, 2**12))
    assert by_walk(content) is None


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few bytes of its header changed to others that occur in headers, or cut off."""
    changed = bytearray(content)
    end = min(len(content), 3000)
    for _ in range(rng.integers(1, 4)):
        position, source = rng.integers(132, end, 2)
        length = int(rng.choice([1, 2, 4, 8]))
        piece = changed[source : source + length] if rng.random() < 0.5 else rng.bytes(length)
        changed[position : position + length] = piece
    return bytes(changed[: rng.integers(200, len(changed))] if rng.random() < 0.2 else changed)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_nothing_is_taken_that_the_parser_refuses_or_understands_otherwise(tmp_path, syntax):
    content = one_file(tmp_path, syntax, with_sequences, SpecificCharacterSet="ISO_IR 100")
    rng = np.random.default_rng(8)
    walked = 0
    for _ in range(STRANGERS):
        strange = damaged(content, rng)
        found = by_walk(strange)
        if found is not None:
            walked += 1
            assert facts(found) == facts(by_parser(strange))
    assert walked > STRANGERS / 10
