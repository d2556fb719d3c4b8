"""Files are written with file meta information of our own, and nothing else changed that need not be."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from dicom_bytes import CT, DATA, IDENTITY, PIXELS, delimited, dicom_bytes, element, item
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, validate_file_meta

from medseg.core.errors import DeidError, OutputError
from medseg.io.dicom_file import IMPLEMENTATION_CLASS_UID, DicomFile, encode_dicom, read_dicom, write_dicom


@pytest.fixture
def read(tmp_path):
    """Reads bytes by way of a file."""

    def read(content: bytes) -> DicomFile:
        path = tmp_path / "file"
        path.write_bytes(content)
        file = read_dicom(path)
        assert file is not None
        return file

    return read


def written(dataset: Dataset, syntax: str) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(encode_dicom(dataset, syntax)))


def test_the_meta_information_is_our_own(tmp_path):
    file = read_dicom(DATA / "test_files" / "CT_small.dcm")
    write_dicom(file.dataset, file.syntax, tmp_path / "sub" / "out.dcm")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["out.dcm"]
    output = pydicom.dcmread(tmp_path / "sub" / "out.dcm")
    validate_file_meta(output.file_meta, enforce_standard=True)
    assert output.preamble == bytes(128)
    assert [one.tag.element for one in output.file_meta] == [0, 1, 2, 3, 0x10, 0x12, 0x13]
    assert output.file_meta.MediaStorageSOPInstanceUID == output.SOPInstanceUID
    assert output.file_meta.MediaStorageSOPClassUID == output.SOPClassUID
    assert output.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert output.file_meta.ImplementationVersionName == "MEDSEG"
    start = encode_dicom(file.dataset, file.syntax).index(struct.pack("<HH", 8, 5))
    assert start == 144 + output.file_meta.FileMetaInformationGroupLength


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018])
@pytest.mark.parametrize("value", [None, b"", b"1.2\\1.3", b"1.2/../x", b"1" * 66, b"\xb2"])
def test_objects_without_identity_are_refused(read, tag, value):
    file = read(dicom_bytes(IDENTITY, PIXELS))
    del file.dataset[tag]
    if value is not None:
        file = read(dicom_bytes(element(tag, "UI", value), PIXELS))
        file.dataset[0x00080016 + 0x00080018 - tag] = DataElement(0x00080016 + 0x00080018 - tag, "UI", "1.2")
    with pytest.raises(DeidError, match=r"no SOP (class|instance) UID of at most 64 digits and dots"):
        encode_dicom(file.dataset, file.syntax)


@pytest.mark.parametrize("syntax", [uid.DeflatedExplicitVRLittleEndian, "", "a syntax"])
def test_syntaxes_that_are_not_written(read, syntax):
    with pytest.raises(DeidError, match="cannot be written in this transfer syntax"):
        encode_dicom(read(dicom_bytes(IDENTITY)).dataset, syntax)


def test_values_that_do_not_fit_are_not_quoted(read):
    dataset = read(dicom_bytes(IDENTITY)).dataset
    dataset.add(DataElement(0x00280010, "US", "SECRET", already_converted=True))
    with pytest.raises(DeidError, match=r"^a data set cannot be encoded \(\w+\)$"):
        encode_dicom(dataset, uid.ExplicitVRLittleEndian)


def test_data_sets_made_by_hand():
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, "1.2.3"
    dataset.PatientName = "Someone"
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, "1.2.3"):
        encoded = encode_dicom(dataset, syntax)
        assert b"Someone" in encoded
    assert written(dataset, uid.ImplicitVRLittleEndian) == dataset


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "rtstruct.dcm", "test-SR.dcm"])
def test_another_syntax_converts_all(name):
    file = read_dicom(DATA / "test_files" / name)
    if "PixelData" in file.dataset:
        del file.dataset.PixelData  # its words are not turned round
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian):
        assert written(file.dataset, syntax) == file.dataset


def test_another_character_set_converts_all():
    file = read_dicom(DATA / "charset_files" / "chrGerm.dcm")
    before = file.dataset.PatientName
    file.dataset.SpecificCharacterSet = "ISO_IR 192"
    encoded = encode_dicom(file.dataset, file.syntax)
    assert str(before).encode() in encoded
    del file.dataset.SpecificCharacterSet
    assert str(before).encode("latin-1") in encode_dicom(file.dataset, file.syntax)


def test_group_lengths_are_left_out(read):
    file = read(dicom_bytes(element(0x00080000, "UL", b"\1\0\0\0"), IDENTITY))
    assert encode_dicom(file.dataset, file.syntax).endswith(bytes([0x13, 0]) + b"SH\6\0MEDSEG" + IDENTITY)


def test_compressed_pixels_keep_their_delimiter(read):
    pixels = delimited(0x7FE00010, "OB", item() + item(b"12"))
    file = read(dicom_bytes(IDENTITY, pixels, syntax=uid.RLELossless))
    assert encode_dicom(file.dataset, file.syntax).endswith(IDENTITY + pixels)


def test_nothing_is_left_of_what_cannot_be_written(tmp_path, read):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError, match="a part of its path is a file"):
        write_dicom(read(dicom_bytes(IDENTITY)).dataset, uid.ExplicitVRLittleEndian, tmp_path / "taken" / "out.dcm")
    with pytest.raises(DeidError, match="no SOP class UID"):
        write_dicom(Dataset(), uid.ExplicitVRLittleEndian, tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()
