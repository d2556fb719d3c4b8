"""The one door to image files that are not DICOM: which cleaner takes a file, by its content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medseg.core.errors import ReadError
from medseg.io.limits import decoding_unnamed
from medseg.io.meta_image import is_meta_image
from medseg.io.nifti import is_nifti
from medseg.io.nrrd import is_nrrd
from medseg.io.streams import decompressed, opened_regular, read_up_to

from .image_cleaned import ImageCleaned
from .meta_image_files import clean_meta_image
from .nifti_files import clean_nifti, second_half
from .nrrd_files import clean_nrrd
from .pictures import clean_jpeg, clean_png

_HEAD = 4096
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ANALYZE = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")


def clean_image(source: Path, target: Path, clean_name: Callable[[str], str]) -> ImageCleaned:
    """Write at ``target`` what may leave the house of the image at ``source``, with its voxels bit for bit.

    Args:
        source: NIfTI, NRRD, MHA, PNG or JPEG, by content.
        target: Its suffix should be ``image_suffix(source)``.
        clean_name: Gives what may stay of the name of a segment, such as ``Vocabulary.clean``.

    Raises:
        ReadError: If the source is none of these, damaged, detached, too large, a link or no file. It is not named.
        GeometryError: If its grid is broken.
        OutputError: If the target cannot be written.
    """
    match image_suffix(source):
        case ".nii" | ".nii.gz":
            return clean_nifti(source, target)
        case ".nrrd":
            return clean_nrrd(source, target, clean_name)
        case ".mha":
            return clean_meta_image(source, target)
        case ".png":
            return clean_png(source, target)
        case _:
            return clean_jpeg(source, target)


def image_suffix(source: Path) -> str:
    """The suffix that belongs to what the file holds: ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``, ``.png``, ``.jpg``.

    Raises:
        ReadError: If it is a link or no file, or holds none of these. It is not named.
    """
    with opened_regular(source) as file, decoding_unnamed():
        start = file.read(8)
        file.seek(0)
        with decompressed(file) as stream:
            head = read_up_to(stream, _HEAD)
    if is_nifti(head):
        return ".nii.gz" if start.startswith(b"\x1f\x8b") else ".nii"
    if is_nrrd(start):
        return ".nrrd"
    if is_meta_image(head) and head[:8] == start:
        return ".mha"
    if start == b"\x89PNG\r\n\x1a\n":
        return ".png"
    if start.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    raise ReadError(_refusal(head))


def read_with(path: Path) -> tuple[Path, ...]:
    """The ``.img`` that is read with an image if that is the ``.hdr`` of a pair, by its name."""
    try:
        return (second_half(path),)
    except ReadError:
        return ()


def is_part_of_pair(path: Path) -> bool:
    """Whether a file is the ``.img`` of a pair, which is cleaned together with its ``.hdr``."""
    name = path.name.removesuffix(".gz")
    if not name.lower().endswith(".img"):
        return False
    stem = name[: -len(".img")]
    headers = [path.with_name(stem + suffix) for suffix in (".hdr", ".hdr.gz", ".HDR")]
    return any(header.is_file() and _is_header_of(header, path) for header in headers)


def _is_header_of(header: Path, path: Path) -> bool:
    try:
        return second_half(header) == path
    except ReadError:
        return False


def _refusal(head: bytes) -> str:
    if head[:4] in _ANALYZE:
        return "an image of Analyze 7.5, which has fields for the patient's name and number; save it as NIfTI"
    if head.startswith(_TIFF):
        return "a TIFF file, whose tags can lie anywhere; save it as PNG"
    return "not an image that is cleaned; these are DICOM, NIfTI, NRRD, MHA, PNG and JPEG"
