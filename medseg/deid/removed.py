"""What de-identification took out of a file: kept in memory for the proof, never written."""

from __future__ import annotations

from typing import NamedTuple


class Removed(NamedTuple):
    """One value that was taken out or changed.

    Attributes:
        tag: Of the attribute; 0 for what no DICOM attribute held (a file name, a NIfTI field, the preamble).
        vr: Value representation, or ``??`` if it is not known.
        value: The bytes as they stood in the file.
        encodings: Python codecs of the file's character sets, the first one for what has no escape sequence.
    """

    tag: int
    vr: str
    value: bytes
    encodings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Removed(tag={self.tag:08X}, vr={self.vr})"
