"""Texts in what is dropped from a file, collected so that the proof can look for them in what is released."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from .removed import Removed

_RUN = re.compile(rb"(?:[\x20-\x7e]|[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){6,}")
_MOST_RUNS = 2000
_MOST_BYTES = 4 * 2**20
_TEXT_VRS = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"})
_ENCODINGS = ("utf-8", "latin-1")


def text(value: bytes | str, tag: int = 0, vr: str = "LT") -> tuple[Removed, ...]:
    """One text that was taken out; none if it is empty."""
    stored = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value  # also names of files
    stored = stored.strip(b"\0 \t\r\n")
    return (Removed(tag, vr, stored, _ENCODINGS),) if stored else ()


def texts_in(data: bytes) -> tuple[Removed, ...]:
    """Runs of six and more readable characters in the first 4 MiB of unknown content, at most 2000 of them."""
    found = (match[0] for match in _RUN.finditer(data, 0, _MOST_BYTES))
    return tuple(removed for _, run in zip(range(_MOST_RUNS), found, strict=False) for removed in text(run))


def texts_in_gzip_header(head: bytes) -> tuple[Removed, ...]:
    """Extra field, file name and comment of a gzip header (RFC 1952, 2.3); none if ``head`` does not begin with one."""
    if head[:2] != b"\x1f\x8b" or len(head) < 10:
        return ()
    flags, position = head[3], 10
    taken: tuple[Removed, ...] = ()
    if flags & 4:
        end = position + 2 + int.from_bytes(head[position : position + 2], "little")
        taken += texts_in(head[position + 2 : end])
        position = end
    for _ in range(bool(flags & 8) + bool(flags & 16)):
        value = head[position:].partition(b"\0")[0]
        taken += text(value)
        position += len(value) + 1
    return taken


def texts_in_dicom(data: bytes) -> tuple[Removed, ...]:
    """Values of a DICOM data set that lies in another file, at every depth; as ``texts_in`` where it is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings hold values
            return tuple(_values(dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)))
    except Exception:  # noqa: BLE001 - a hostile extension may raise anything, and it is dropped anyway
        return texts_in(data)


def _values(dataset: Dataset) -> Iterator[Removed]:
    encodings = tuple(convert_encodings(dataset.get("SpecificCharacterSet") or "ISO_IR 6"))
    for element in dataset.values():
        if isinstance(element, RawDataElement):
            yield from _raw_values(element, encodings)
        elif element.VR == "SQ":
            for item in element.value:
                yield from _values(item)


def _raw_values(element: RawDataElement, encodings: tuple[str, ...]) -> Iterator[Removed]:
    value = element.value if isinstance(element.value, bytes) else b""
    vr = element.VR or _known_vr(element.tag)
    if vr in _TEXT_VRS:
        stripped = value.strip(b"\0 ")
        if stripped:
            yield Removed(int(element.tag), vr, stripped, encodings)
    else:
        yield from texts_in(value)


def _known_vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"
