"""What was uploaded, laid out for the work on it: unpacked, numbered instead of named, and small enough to decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from medseg.core.errors import InputError, MedsegError
from medseg.deid.image_files import image_suffix
from medseg.deid.nifti_header import split_header
from medseg.io.archives import is_archive, unpack
from medseg.io.formats import SUFFIXES
from medseg.io.limits import decoding_unnamed
from medseg.io.meta_image import meta_image_header, meta_image_layout
from medseg.io.nifti import LARGEST_HEADER
from medseg.io.nrrd import nrrd_field, nrrd_header_lines, nrrd_layout
from medseg.io.streams import decompressed, opened_regular, read_up_to

from .session_files import MIB, Room, told

_SUFFIXES = (*SUFFIXES, ".mhd", ".nhdr", ".hdr", ".img", ".gz")


class Numbers:
    """Gives names that say nothing: a number, and a suffix where the original's is one of an image."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def __call__(self, original: str) -> str:
        """Another name; what it stands for is remembered in ``names``."""
        suffix = next((one for one in _SUFFIXES if original.lower().endswith(one)), "")
        name = f"{len(self.names):06d}{suffix}"
        self.names[name] = original
        return name


def lay_out(
    received: Mapping[Path, str], target: Path, room: Room, most_mb: int, check: Callable[[], None]
) -> dict[str, str]:
    """Unpack archives into ``target`` and move other files there; ``received`` is gone after that.

    Args:
        received: Files, and what the person called them.
        target: A new folder in ``room``.
        room: Its bytes are counted while they are written.
        most_mb: What all of it may take, as files and as voxels.
        check: Called now and then; what it raises ends the work.

    Returns:
        What each file in ``target`` was called.

    Raises:
        ReadError: If an archive is not unpacked: see ``medseg.io.archives.unpacked``.
        InputError: If it is too large.
        OutputError: If the disk is full.
    """
    limit = _Limit(most_mb, room, check)
    numbers = Numbers()
    with told():
        target.mkdir(mode=0o700)
        for path, name in received.items():
            if is_archive(path):
                unpack(path, target, numbers, limit.write)
                path.unlink()
            else:
                limit.count(path.stat().st_size)
                path.replace(target / numbers(name))
        for path in sorted(target.iterdir()):
            check()
            limit.decode(_renamed(path, numbers.names))
    return numbers.names


def decoded_bytes(path: Path) -> int:
    """Bytes of the voxels that the header of a NIfTI, NRRD or MetaImage file promises; 0 for other files.

    Raises:
        DataError: If the header is damaged. The file is not named.
    """
    try:
        suffix = image_suffix(path)
    except MedsegError:
        return 0
    with opened_regular(path) as file, decoding_unnamed():
        match suffix:
            case ".nii" | ".nii.gz":
                with decompressed(file) as stream:
                    return split_header(read_up_to(stream, LARGEST_HEADER))[0].voxels
            case ".nrrd":
                fields = filter(None, map(nrrd_field, nrrd_header_lines(file)))
                return nrrd_layout(dict(fields)).nbytes
            case ".mha":
                return meta_image_layout(meta_image_header(file)).nbytes
            case _:
                return 0


class _Limit:
    """Counts one upload, on the disk and decoded."""

    def __init__(self, most_mb: int, room: Room, check: Callable[[], None]) -> None:
        self._most_mb, self._room, self._check = most_mb, room, check
        self._files = self._voxels = 0

    def count(self, size: int) -> None:
        self._files += size
        if self._files > self._most_mb * MIB:
            raise InputError(
                f"the upload unpacks to more than the limit of {self._most_mb} MB; upload fewer series at once"
            )

    def write(self, size: int) -> None:
        self._check()
        self.count(size)
        self._room.take(size)

    def decode(self, path: Path) -> None:
        try:
            self._voxels += decoded_bytes(path)
        except MedsegError:
            return  # what is damaged is told of when it is cleaned
        if self._voxels > self._most_mb * MIB:
            size = self._voxels // MIB
            raise InputError(f"the upload's headers promise {size} MB of voxels; at most {self._most_mb} MB are taken")


def _renamed(path: Path, names: dict[str, str]) -> Path:
    """The file under its number and the suffix that its content asks for."""
    try:
        suffix = image_suffix(path)
    except MedsegError:
        return path
    if path.name.endswith(suffix):
        return path
    renamed = path.with_name(f"{path.name.partition('.')[0]}{suffix}")
    path.replace(renamed)
    names[renamed.name] = names.pop(path.name)
    return renamed
