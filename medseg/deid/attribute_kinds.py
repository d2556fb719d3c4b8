"""What kind of thing an attribute tells, by its number, its representation and its name."""

from __future__ import annotations

import functools
import re
from enum import StrEnum

from pydicom.datadict import keyword_for_tag

from .policy import effective_vr, is_private
from .table import read_table
from .technical import CLASS_UIDS
from .values import TEXT_VRS


class Kind(StrEnum):
    """What a value tells."""

    NAME = "name"
    ID = "identifier"
    DATE = "date"
    UID = "UID"
    CONTACT = "address or contact"
    PLACE = "institution"
    DEVICE = "device"
    TEXT = "free text"
    PRIVATE = "private value"
    FILE = "file name or header field"


_BY_REPRESENTATION = {"PN": Kind.NAME, "DA": Kind.DATE, "DT": Kind.DATE, "UI": Kind.UID, "AE": Kind.DEVICE}
_TEXTS = TEXT_VRS | {"UR"}
_OPAQUE = frozenset({"UN", "OB", "??"})
CODES = frozenset({0x00080100, 0x00080102, 0x00080103, 0x00080119, 0x00080120})
"""Code values, their schemes and versions."""
CODE_MEANING = 0x00080104
_BY_NAME = (
    (Kind.CONTACT, re.compile("Address|Telephone|Telecom|Phone|E-?mail|Residence|Fax|URI|URL|Contact")),
    (Kind.DEVICE, re.compile("Serial|Station|Device|AETitle|Detector|Gantry|Plate|Cassette|Scanner|Equipment|UDI")),
    (Kind.PLACE, re.compile("Institution|Department|Facility|Organi[sz]ation|Location|Hospital|Site|Sponsor|Issuer")),
    (Kind.ID, re.compile("(ID|IDs|Number|Numbers|Identifier|Identification|Locator|Barcode|Accession)$|OrderNumber")),
)


@functools.cache
def kind_of(tag: int, vr: str) -> Kind | None:
    """What the values of an attribute tell; None if they are not searched for.

    Args:
        tag: Its number; 0 for what no DICOM attribute held.
        vr: Its value representation; ``??`` if nobody knows it.
    """
    if tag == 0:
        return Kind.FILE
    if tag >> 16 == 2:  # UIDs of the file meta information are those of the data set, or of programs
        return {"AE": Kind.DEVICE, "OB": Kind.PRIVATE}.get(vr)
    if is_private(tag):
        is_creator = 0x10 <= tag & 0xFFFF <= 0xFF
        return None if is_creator else _BY_REPRESENTATION.get(vr) or _private(vr)
    if vr in _TEXTS:
        return _by_name(tag)
    if tag in CLASS_UIDS:
        return None
    if vr in _BY_REPRESENTATION:
        return _BY_REPRESENTATION[vr]
    known = effective_vr(tag, None)
    if known not in (None, "UN", vr):  # the file says otherwise than the dictionary, which may hide a text
        return kind_of(tag, known)
    return Kind.PRIVATE if vr in _OPAQUE else None


def _private(vr: str) -> Kind | None:
    return Kind.PRIVATE if vr in _TEXTS or vr in _OPAQUE else None


def _by_name(tag: int) -> Kind | None:
    if tag in CODES:
        return None
    if tag == CODE_MEANING:
        return Kind.TEXT
    rule = read_table().rules.get(tag)
    name = re.sub(r"\W", "", rule.name) if rule else keyword_for_tag(tag)
    return next((kind for kind, pattern in _BY_NAME if pattern.search(name)), Kind.TEXT)
