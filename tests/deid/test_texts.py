"""Texts in what is dropped."""

from __future__ import annotations

import gzip
import io

import pytest
from pydicom import Dataset

from medseg.deid.texts import text, texts_in, texts_in_dicom, texts_in_gzip_header


def values(taken) -> list[bytes]:
    return [removed.value for removed in taken]


def test_one_text():
    assert values(text("  Müller\0")) == ["Müller".encode()]
    assert values(text("caf\udce9")) == [b"caf\xe9"]
    assert text(b"\0 \r\n") == ()


def test_runs_of_readable_characters():
    data = b"\0\1MARK^Doe\0\2short\0" + "Dr. Müller 山田\xff".encode() + b"\xff\xfe tail of it"
    assert values(texts_in(data)) == [b"MARK^Doe", "Dr. Müller 山田ÿ".encode(), b"tail of it"]
    assert len(texts_in(b"MARK^Doe\0" * 5000)) == 2000
    assert texts_in(bytes(4 * 2**20) + b"MARK^Doe") == ()


def test_gzip_headers():
    head = b"\x1f\x8b\x08" + bytes([4 | 8 | 16]) + bytes(6)
    full = head + (12).to_bytes(2, "little") + b"MARK in extra"[:12] + b"MARK_DOE.nii\0MARK comment\0rest"
    assert values(texts_in_gzip_header(full)) == [b"MARK in extr", b"MARK_DOE.nii", b"MARK comment"]
    assert texts_in_gzip_header(gzip.compress(b"MARK")) == ()
    assert texts_in_gzip_header(b"MARK") == texts_in_gzip_header(b"\x1f\x8b") == ()


@pytest.mark.parametrize("implicit", [True, False])
def test_dicom_at_every_depth(implicit):
    inner, dataset = Dataset(), Dataset()
    inner.PatientComments = "MARK in a sequence"
    dataset.PatientName = "MARK^Doe"
    dataset.Rows = 512
    dataset.ReferencedStudySequence = [inner]
    dataset["ReferencedStudySequence"].is_undefined_length = True
    dataset.RequestAttributesSequence = [inner]
    dataset.add_new(0x00091001, "UN" if implicit else "OB", b"MARK private bytes")
    dataset.add_new(0x00091002, "US", 5)
    dataset.PatientID = ""
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=True)
    taken = texts_in_dicom(buffer.getvalue())
    assert {0x00100010: "PN", 0x00104000: "LT"}.items() <= {one.tag: one.vr for one in taken}.items()
    assert values(taken).count(b"MARK in a sequence") + values(taken).count(b"MARK in a sequence ") == 2
    assert b"MARK private bytes" in values(taken)
    assert 0x00100020 not in {one.tag for one in taken}
