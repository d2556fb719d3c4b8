"""NIfTI files written anew: the same voxels on the same grid, and no word of the old header."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO

from medseg.core.errors import ReadError
from medseg.core.files import atomic_file
from medseg.io.limits import check_decoded_size, decoding_unnamed
from medseg.io.nifti import LARGEST_HEADER, LARGEST_OFFSET, is_two_file_nifti, nifti_voxel_offset
from medseg.io.streams import decompressed, gzipped, opened_regular, parts, read_up_to

from .image_cleaned import ByteLevels, ImageCleaned, may_be_head, may_hold_text, watched
from .nifti_header import NiftiHeader, split_header, texts_in_extensions
from .removed import Removed
from .texts import texts_in, texts_in_gzip_header

_LARGEST_REST = 2**20


def clean_nifti(source: Path, target: Path) -> ImageCleaned:
    """Write a NIfTI-1 or NIfTI-2 file whose voxels, grid, scaling and byte order are those of ``source``.

    Gone are data_type, db_name, descrip, aux_file, intent_name, all extensions, the fields that are left over from
    Analyze 7.5, bytes behind the voxels, and the name and time in a gzip header. A pair (``.hdr`` and ``.img``) becomes
    one file. Voxels are copied in parts, so memory does not grow with the image.

    Args:
        source: Gzipped or not; the header of a pair.
        target: Gzipped (level 1) if its name ends in ``.gz``.

    Raises:
        ReadError: If the source is damaged, too large, a link or no NIfTI file. It is not named.
        GeometryError: If it has no sound grid.
        OutputError: If the target cannot be written.
    """
    with ExitStack() as stack:
        stream, stored = stack.enter_context(_opened(source))
        with decoding_unnamed():
            head = read_up_to(stream, LARGEST_HEADER)
            header, view = split_header(head)
            stream.seek(header.size)
        if is_two_file_nifti(head):
            between = read_up_to(stream, LARGEST_OFFSET)
            stream, stored = stack.enter_context(_opened(second_half(source)))
            taken = _skipped(stream, _pair_offset(view))
        else:
            between = read_up_to(stream, nifti_voxel_offset(view) - header.size)
            taken = ()
        check_decoded_size(header.voxels, stored)
        levels = ByteLevels()
        with atomic_file(target) as partial, _packed(partial) as out:
            out.write(header.clean)
            for part in watched(parts(stream, header.voxels), levels, are_bytes=header.is_byte):
                out.write(part)
        with decoding_unnamed():
            rest = stream.read(_LARGEST_REST)  # reaches gzip's checksum
    taken += (*header.taken, *_stored_name(source), *texts_in_extensions(between, view.endianness), *texts_in(rest))
    return _cleaned(header, taken, levels)


def second_half(source: Path) -> Path:
    """The ``.img`` file of a pair.

    Raises:
        ReadError: If there is none beside the ``.hdr`` file.
    """
    name = source.name.removesuffix(".gz")
    suffixes = (".IMG",) if name.endswith(".HDR") else (".img", ".img.gz")
    halves = [source.with_name(name[: -len(".hdr")] + suffix) for suffix in suffixes]
    found = [half for half in halves if os.path.lexists(half)]
    if len(found) != 1:
        raise ReadError(f"is the header of a pair with {len(found)} .img files beside it, one is needed")
    return found[0]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """The decompressed content of a file, and the bytes that it takes as stored."""
    with opened_regular(path) as file, decompressed(file) as stream:
        yield stream, os.fstat(file.fileno()).st_size


@contextmanager
def _packed(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path`` to write to, through gzip without name and time if it is named so."""
    with path.open("wb") as file:
        if path.name.endswith(".gz"):
            with gzipped(file) as stream:
                yield stream
        else:
            yield file


def _pair_offset(view: Any) -> int:
    offset = float(view["vox_offset"])
    if not 0 <= offset <= LARGEST_OFFSET:
        raise ReadError("its voxels start where they cannot")
    return int(offset)


def _skipped(stream: BufferedIOBase, size: int) -> tuple[Removed, ...]:
    return tuple(removed for part in parts(stream, size) for removed in texts_in(part))


def _stored_name(source: Path) -> tuple[Removed, ...]:
    with opened_regular(source) as file:
        return texts_in_gzip_header(file.read(4096))


def _cleaned(header: NiftiHeader, taken: tuple[Removed, ...], levels: ByteLevels) -> ImageCleaned:
    return ImageCleaned(
        format=header.format,
        taken=taken,
        may_show_text=may_hold_text(header.geometry, levels, is_colour=header.is_colour),
        may_show_face=may_be_head(header.geometry),
    )
