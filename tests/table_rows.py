"""All rows of Table E.1-1 planted in one data set, each with a value of its representation that holds a marker."""

from __future__ import annotations

import io
import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian
from study_objects import code, content, item, reference

MARKER = "Zqm4rk"
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "enhanced MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "ultrasound": "1.2.840.10008.5.1.4.1.1.6.1",
    "RT structure set": "1.2.840.10008.5.1.4.1.1.481.3",
    "segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "structured report": "1.2.840.10008.5.1.4.1.1.88.33",
    "slide": "1.2.840.10008.5.1.4.1.1.77.1.6",
}
HOLDER = 0x00082218  # Anatomic Region Sequence, which the table does not list
PATTERNS = {
    "PRIVATE": ((0x00091001, "LO"), (0x00091002, "UN"), (0x0011_1003, "PN")),
    "50XXXXXX": ((0x50003000, "OB"), (0x500A2500, "LO"), (0x501E0010, "US")),
    "60XX3000": ((0x60003000, "OB"), (0x601E3000, "OB")),
    "60XX4000": ((0x60004000, "LT"), (0x600A4000, "LT")),
}
TEXTS = ("LO", "SH", "ST", "LT", "UC", "UT")
_VALUES = {
    **dict.fromkeys(TEXTS, f"liver {MARKER}"),
    "PN": f"{MARKER}^Given",
    "CS": MARKER.upper(),
    "AE": MARKER,
    "UR": f"https://{MARKER}.example/",
    "DS": "12.5",
    "IS": "42",
    "US": 4242,
    "AS": "045Y",
    "DA": "20240611",
    "TM": "101112",
    "DT": "20240611101112.5",
    "OB": MARKER.encode(),
    "UN": MARKER.encode(),
}
_NEWER = {"Ethnic Groups": "UC", "Display URI": "UR", "Montage Name": "LO", "Montage Channel Label": "LO"}
NUMBERS = ("US", "SS", "UL", "SL", "FL", "FD", "US or SS", "AT", "SV", "UV")
TIMEZONE = 0x00080201
NO_DATA_SET = (0x0000, 0x0002)


class Row(NamedTuple):
    """One attribute that a row of the table speaks of."""

    tag: int
    vr: str
    basic: str
    options: dict[str, str]


def table() -> list[dict]:
    text = files("medseg.deid").joinpath("data/ps3_15_e1_1.json").read_text(encoding="utf-8")
    return json.loads(text)["rules"]


@cache
def rows() -> list[Row]:
    found = []
    for row in table():
        places = PATTERNS.get(row["tag"]) or ((int(row["tag"], 16), row.get("vr") or _newer_vr(row["name"])),)
        found += [Row(tag, vr, row["basic"], row["options"]) for tag, vr in places]
    return found


def planted_rows(place: str) -> list[Row]:
    """The rows that can stand in that place: commands and file meta information end a data set at its top."""
    return rows() if place == "nested" else [row for row in rows() if row.tag >> 16 not in NO_DATA_SET]


def _newer_vr(name: str) -> str:
    """Representation of an attribute that pydicom's dictionary does not know yet."""
    if name in _NEWER or name.endswith("Reference"):
        return _NEWER.get(name, "UR")
    ends = {"Sequence": "SQ", "DateTime": "DT", "Comment": "UT"}
    return next((vr for end, vr in ends.items() if name.endswith(end)), "LO")


def value_of(row: Row) -> object:
    if row.vr == "UI":
        return f"1.2.826.0.1.3680043.10.998.5.{row.tag}"
    if row.vr == "SQ":
        return Items([_sequence_item(row.tag), *_more_items(row.tag)])
    return "+0100" if row.tag == TIMEZONE else _VALUES[row.vr]


def _sequence_item(tag: int) -> Dataset:
    if tag == 0x0040A730:
        held = content("CONTAINS", "TEXT", ("121106", "DCM", "Comment"), TextValue=f"liver {MARKER}")
    elif tag == 0x00700001:
        text = item(UnformattedTextValue=f"liver {MARKER}", AnchorPoint=[1.0, 2.0], AnchorPointVisibility="Y")
        held = item(GraphicLayer="LAYER", TextObjectSequence=Items([text]))
    else:
        held = code("C1", "99X", f"liver {MARKER}")[0]
        held.update(reference(SOP_CLASSES["CT"], f"1.2.826.0.1.3680043.10.998.6.{tag}"))
    held.PatientName = f"{MARKER}^Given"
    held.PatientComments = MARKER
    return held


def _more_items(tag: int) -> list[Dataset]:
    """A finding beside a comment, so that not all of the content has to go."""
    finding = content("CONTAINS", "CODE", ("121071", "DCM", "Finding"), ConceptCodeSequence=code("C1", "99X", "liver"))
    return [finding] if tag == 0x0040A730 else []


def planted(place: str) -> Dataset:
    """A data set with all rows, at its top or in an item of a sequence that the table does not list."""
    top, holder = Dataset(), Dataset()
    target = holder if place == "nested" else top
    for row in planted_rows(place):
        target.add_new(row.tag, row.vr, value_of(row))
    target.add_new(0x00090010, "LO", "MARKED VENDOR")
    target.add_new(0x00110010, "LO", "MARKED VENDOR")
    top.SOPClassUID = SOP_CLASSES.get(place, SOP_CLASSES["CT"])
    if place == "nested":
        top.SOPInstanceUID, top.StudyInstanceUID, top.SeriesInstanceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
        top.PatientID = "number one"
        top.add_new(HOLDER, "SQ", [holder])
    return top


@cache
def rows_file(place: str) -> bytes:
    """The data set as a file; pydicom's own writer refuses what an attacker does not."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SOP_CLASSES["CT"]
    meta.MediaStorageSOPInstanceUID = "1.2.3.1"
    head, body = io.BytesIO(), DicomBytesIO()
    pydicom.filewriter.write_file_meta_info(head, meta)
    body.is_implicit_VR, body.is_little_endian = False, True
    write_dataset(body, planted(place))
    return b"\0" * 128 + b"DICM" + head.getvalue() + body.getvalue()
