"""What the audit finds in files that are no DICOM: images, pictures, JSON and tables."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medseg.core.geometry import Geometry
from medseg.deid import audit_tables
from medseg.deid.audit import Audit, audit
from medseg.deid.descriptors import Vocabulary
from medseg.io.meta_image import write_meta_image
from medseg.io.nifti import write_nifti
from medseg.io.nrrd import write_nrrd

WORDS = Vocabulary(frozenset({"thorax", "liver", "axial", "rest"}))
GRID = Geometry.from_spacing((4, 4, 4), (1, 1, 1))


def seen(path: Path) -> Audit:
    return audit(path, WORDS)


def image(path: Path) -> Path:
    array = np.zeros((1, 4, 4, 4), np.int16)
    writers = {".nii": write_nifti, ".gz": write_nifti, ".nrrd": write_nrrd, ".mha": write_meta_image}
    writers[path.suffix](path, array, GRID)
    return path


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
def test_images_of_our_own_have_no_finding(tmp_path, name):
    result = seen(image(tmp_path / name))
    assert (result.findings, result.notes, result.files, result.unreadable) == ((), (), 1, 0)


def edited(path: Path, offset: int, text: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(text)] = text
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("offset", "field"), [(4, "data_type"), (14, "db_name"), (148, "descrip"), (228, "aux_file")])
def test_fields_of_nifti(tmp_path, offset, field):
    (one,) = seen(edited(image(tmp_path / "image.nii"), offset, b"Doepfer")).findings
    assert one.where == f"NIfTI {field}"
    assert seen(edited(image(tmp_path / "image.nii"), 148, b"FSL5.0")).findings == ()


def test_extensions_of_nifti(tmp_path):
    data = image(tmp_path / "image.nii").read_bytes()
    extension = struct.pack("<2i", 16, 6) + b"Doepfer\0"
    data = data[:108] + struct.pack("<f", 368) + data[112:348] + b"\1\0\0\0" + extension + data[352:]
    (tmp_path / "image.nii").write_bytes(data)
    (one,) = seen(tmp_path).findings
    assert one.where == "NIfTI extension"


def test_the_name_in_gzip(tmp_path):
    with (tmp_path / "image.nii.gz").open("wb") as file, gzip.GzipFile("doepfer.nii", "wb", fileobj=file) as stream:
        stream.write(image(tmp_path / "other.nii").read_bytes())
    (one,) = seen(tmp_path / "image.nii.gz").findings
    assert one.kind == "text in the gzip header"


def test_a_pair_is_a_note(tmp_path):
    data = bytearray(image(tmp_path / "image.nii").read_bytes()[:348])
    data[344:347] = b"ni1"
    (tmp_path / "image.nii").write_bytes(data)
    result = seen(tmp_path)
    assert (result.findings, [one.kind for one in result.notes]) == ((), ["file of a pair"])


def test_fields_of_nrrd_and_meta_image(tmp_path):
    path = image(tmp_path / "image.nrrd")
    lines = b"content: Doepfer\n# Doepfer\n# http://teem.sourceforge.net/nrrd/format.html\n0010|0010:=Doepfer\n19640307:=Doepfer\nSegment0_Name:=Liver\n"
    path.write_bytes(path.read_bytes().replace(b"type:", lines + b"type:", 1))
    assert {one.where for one in seen(path).findings} == {
        "NRRD content",
        "NRRD comment",
        "NRRD 0010|0010",
        "NRRD unknown field",
    }
    path = image(tmp_path / "image.mha")
    path.write_bytes(b"Comment = Doepfer\n0010|0020 = AB4711\n" + path.read_bytes())
    assert {one.where for one in seen(path).findings} == {"MetaImage Comment", "MetaImage 0010|0020"}
    path.write_bytes(b"ObjectType = Image\nNDims = 3\nno more\n")
    assert not seen(path).has_findings


def picture(form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, form, **options)
    return stream.getvalue()


def test_pictures(tmp_path):
    texts = PngInfo()
    texts.add_text("Title", "Doepfer")
    exif = Image.Exif()
    exif[0x010E] = "Doepfer"
    (tmp_path / "clean.png").write_bytes(picture("PNG"))
    (tmp_path / "text.png").write_bytes(picture("PNG", pnginfo=texts))
    (tmp_path / "behind.png").write_bytes(picture("PNG") + b"more")
    (tmp_path / "clean.jpg").write_bytes(picture("JPEG"))
    (tmp_path / "exif.jpg").write_bytes(picture("JPEG", exif=exif))
    (tmp_path / "clean.tif").write_bytes(picture("TIFF"))
    (tmp_path / "text.tif").write_bytes(picture("TIFF", description="Doepfer"))
    result = seen(tmp_path)
    where = {"PNG tEXt", "PNG", "JPEG comment or Exif", "TIFF tag 270"}
    assert {one.where: one.files for one in result.findings} == dict.fromkeys(where, 1)
    assert [(one.kind, one.files) for one in result.notes] == [("pixels may show text", 7)]


def test_cut_pictures_are_unreadable(tmp_path):
    (tmp_path / "cut.png").write_bytes(picture("PNG")[:40])
    assert seen(tmp_path).unreadable == 1


def test_json_by_its_keys(tmp_path):
    content = {
        "InstitutionName": "Musterstadt",
        "PatientName": "Doepfer",
        "StudyInstanceUID": "1.3.12.2",
        "ManufacturersModelName": "Superscan",
        "ManufacturerModelName": "Superscan",
        "EchoTime": 0.03,
        "TaskName": "rest",
        "Unknown": ["Doepfer"],
        "AnyTime": "2020-03-04",
        "Authors": ["Doepfer"],
        "Nested": {"19640307 of Doepfer": "Doepfer"},
        "Path": "sub-01/anat/image.nii.gz",
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    result = seen(tmp_path)
    assert {(one.kind, one.where) for one in result.findings} == {
        ("institution", "JSON InstitutionName"),
        ("name", "JSON PatientName"),
        ("free text", "JSON Unknown"),
        ("date", "JSON AnyTime"),
        ("free text", "JSON without a plain name"),
    }
    assert {one.where for one in result.notes} == {"JSON StudyInstanceUID", "JSON Authors"}


def test_tables_by_their_columns(tmp_path):
    rows = [
        "participant_id\tage\tlast_name\tacq_time\tgroup\tscore",
        "sub-DOE\t91\tDoepfer\t2020-03-04\tpilot\t0.5",
        "sub-01\t57\tn/a\tn/a\taxial",
    ]
    (tmp_path / "participants.tsv").write_text("\n".join(rows))
    (tmp_path / "empty.csv").write_text("")
    result = seen(tmp_path)
    assert {(one.kind, one.where) for one in result.findings} == {
        ("age above 89", "column age"),
        ("free text", "column last_name"),
        ("date", "column acq_time"),
    }
    assert [one.where for one in result.notes if one.kind == "free text"] == ["columns of tables"]


def test_damaged_text_files_are_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_tables, "LARGEST_SIDECAR", 100)
    (tmp_path / "large.json").write_text(" " * 200)
    (tmp_path / "broken.json").write_text("{")
    assert seen(tmp_path).unreadable == 2
