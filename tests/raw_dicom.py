"""Whole objects on top of ``dicom_bytes``: a CT instance that has its UIDs, whatever else is put into it."""

from __future__ import annotations

from dicom_bytes import CT, dicom_bytes, element, item

NEEDED = {
    0x00080016: ("UI", CT.encode()),
    0x00080018: ("UI", b"1.2.826.0.1.3680043.10.998.77.1"),
    0x0020000D: ("UI", b"1.2.826.0.1.3680043.10.998.77.2"),
    0x0020000E: ("UI", b"1.2.826.0.1.3680043.10.998.77.3"),
}


def sequence(tag: int, *contents: bytes) -> bytes:
    """A sequence of items of defined length."""
    return element(tag, "SQ", b"".join(map(item, contents)))


def file_of(*elements: tuple[int, bytes]) -> bytes:
    """A file of these elements in the order of their tags; the UIDs that it needs are added."""
    present = {tag for tag, _ in elements}
    added = [(tag, element(tag, *NEEDED[tag])) for tag in NEEDED if tag not in present]
    return dicom_bytes(*(content for _, content in sorted([*elements, *added], key=lambda one: one[0])))
