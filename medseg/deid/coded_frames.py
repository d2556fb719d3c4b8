"""Compressed pixel data without what lies beside the pixels: cameras leave names, dates and places in Exif there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.tag import Tag
from pydicom.uid import RLELossless

from medseg.io.dicom_elements import quietly
from medseg.io.dicom_encoding import DECODERS
from medseg.io.dicom_header import UNDEFINED, parsing

from .codestream_parts import without_comments
from .elements import encoding_of, stored
from .jpeg_parts import split_jpeg
from .pixel_frames import compressed_frames, shallow_copy

if TYPE_CHECKING:
    from medseg.io.dicom_file import DicomFile

_PIXELS, _OFFSETS, _LENGTHS = 0x7FE00010, 0x7FE00001, 0x7FE00002
_ITEM, _HEAD, _PADDING = b"\xfe\xff\x00\xe0", 8, b"\0\xff"
_JPEG = b"\xff\xd8"


def with_bare_frames(file: DicomFile) -> DicomFile:
    """The object with compressed frames that hold their pixels only; the same object if they do already.

    Comments and application segments go, and bytes behind a frame or between frames. The coded pixels stay as they are.

    Args:
        file: Of a transfer syntax that compresses.

    Raises:
        ReadError: If a frame cannot be taken apart, there are more frames than the data set says, or the transfer
            syntax is not known.
    """
    content = stored(file.dataset, file.dataset.get_item(_PIXELS))
    if not content or (file.syntax not in DECODERS and not content.startswith(_ITEM)):
        return file
    with parsing("pixel data"), quietly():
        frames = list(compressed_frames(file))
        bare = frames if file.syntax == str(RLELossless) else [_bare(frame) for frame in frames]
        if bare == frames and not _holds_more(content, frames):
            return file
        return _with_frames(file, encapsulate(bare))


def _bare(frame: bytes) -> bytes:
    """The frame; as it is if only padding would go."""
    bare = b"".join(split_jpeg(frame).kept) if frame.startswith(_JPEG) else without_comments(frame)
    return frame if frame.rstrip(_PADDING) == bare.rstrip(_PADDING) else bare


def _holds_more(content: bytes, frames: list[bytes]) -> bool:
    """Whether pixel data holds more than its frames and a table of where they begin."""
    table, *fragments = generate_fragments(content)
    needed = sum(map(len, frames)) + _HEAD * (len(fragments) + 1) + len(table)
    return len(content) != needed or len(table) not in (0, 4 * len(frames))


def _with_frames(file: DicomFile, content: bytes) -> DicomFile:
    dataset = shallow_copy(file.dataset)
    for tag in (_OFFSETS, _LENGTHS):
        if tag in dataset:
            del dataset[tag]
    dataset[_PIXELS] = RawDataElement(Tag(_PIXELS), "OB", UNDEFINED, content, 0, *encoding_of(dataset))
    return replace(file, dataset=dataset)
