"""Files that may be hostile, opened and read in parts, so that memory stays bounded."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import ReadError

from .deflate import DAMAGED, GZIP_OR_ZLIB, gzip_reader, gzip_writer, inflater
from .limits import decoding_unnamed

CHUNK = 4 * 2**20
"""Bytes of one part."""
_GZIP = b"\x1f\x8b"
_PACKED_AT_ONCE = 2**24


@contextmanager
def opened_regular(path: Path) -> Iterator[BufferedReader]:
    """The file at ``path`` for reading; it never waits for a pipe and follows no link.

    Raises:
        ReadError: If it is a link, a pipe, a device or a folder, or may not be read. The file is not named.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ReadError("is a link; links are not followed, put the file itself there") from error
        raise ReadError(f"cannot be opened ({error.strerror})") from error
    except ValueError as error:
        raise ReadError("cannot be opened (its name holds a zero byte)") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ReadError("is no ordinary file but a folder, a pipe or a device")
    with os.fdopen(handle, "rb") as file:
        yield file


@contextmanager
def decompressed(file: BufferedReader) -> Iterator[BufferedIOBase]:
    """What an open file holds, through gzip if it is gzipped."""
    zipped = file.read(2) == _GZIP
    file.seek(0)
    if zipped:
        with gzip_reader(file) as stream:
            yield stream
    else:
        yield file


def read_up_to(stream: BufferedIOBase, size: int) -> bytes:
    """The next ``size`` bytes, or what is left before the end or the first damage."""
    head = bytearray()
    with suppress(*DAMAGED):
        while len(head) < size and (part := stream.read1(min(CHUNK, size - len(head)))):
            head += part
    return bytes(head)


def parts(stream: BufferedIOBase, wanted: int) -> Iterator[bytes]:
    """The next ``wanted`` bytes, in parts of at most ``CHUNK``.

    Raises:
        ReadError: If there are fewer, or they are damaged. The file is not named.
    """
    left = wanted
    while left:
        with decoding_unnamed():
            part = stream.read(min(CHUNK, left))
        if not part:
            raise ReadError(f"truncated or damaged; its header promises {wanted} bytes of voxels")
        left -= len(part)
        yield part


def inflated_parts(stream: BufferedIOBase, wanted: int) -> Iterator[bytes]:
    """``wanted`` bytes of what zlib or gzip packed, in parts of at most ``CHUNK``; what follows is left alone.

    Raises:
        ReadError: As ``parts``.
    """
    unpacker = inflater(GZIP_OR_ZLIB)
    packed, left = b"", wanted
    while left:
        with decoding_unnamed():
            packed = packed or stream.read(CHUNK)
            part = unpacker.decompress(packed, min(CHUNK, left))
        if not part and (unpacker.eof or not packed):
            raise ReadError(f"truncated or damaged; its header promises {wanted} bytes of voxels")
        packed = unpacker.unconsumed_tail
        left -= len(part)
        if part:
            yield part


@contextmanager
def gzipped(file: BinaryIO) -> Iterator[BinaryIO]:
    """A stream that packs into ``file`` fast (level 1), without a name or a time in it."""
    with gzip_writer(file) as stream:
        yield cast("BinaryIO", stream)


def voxel_parts(channels: NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of ``(channel, i, j, k)`` as files hold them, in parts of 16 MiB or a plane.

    Channels are fastest, then i; little endian. No second copy of the whole is made.
    """
    dtype = channels.dtype.newbyteorder("<")
    planes = max(1, _PACKED_AT_ONCE // max(1, channels[..., :1].nbytes))
    for start in range(0, channels.shape[3], planes):
        yield _turned(channels[..., start : start + planes].astype(dtype, copy=False)).data


def _turned(part: NDArray[Any]) -> NDArray[Any]:
    """A contiguous array with the axes in reverse order; row by row, through what fits into the processor's cache."""
    if part.T.flags.c_contiguous:
        return part.T
    turned = np.empty(part.shape[::-1], part.dtype)
    for row in range(part.shape[2]):
        turned[:, row] = np.ascontiguousarray(part[:, :, row]).T
    return turned
