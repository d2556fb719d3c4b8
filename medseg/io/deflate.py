"""gzip and zlib by ISA-L where it is installed, by the standard library where it is not.

ISA-L packs and unpacks about twice as fast. Each reads what the other wrote, and each packs the same data into the same
bytes every time, but not into the other's.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import zlib
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

igzip: Any = None
isal_zlib: Any = None
with contextlib.suppress(ImportError):  # there is no wheel for some processors
    igzip, isal_zlib = import_module("isal.igzip"), import_module("isal.isal_zlib")

_ERRORS = [EOFError, zlib.error, gzip.BadGzipFile, *([] if isal_zlib is None else [isal_zlib.error])]
DAMAGED = cast("tuple[type[Exception], ...]", tuple(_ERRORS))
"""What reading packed data raises that is cut off or damaged."""
_LEVEL = 1
"""The fast one: packing harder takes longer than writing the few bytes that it saves."""
_BUFFERED, _PACKED = 2**16, 2**15
_BARE, GZIP, GZIP_OR_ZLIB = -15, 31, 47
"""What comes in front of the packed data: nothing, gzip's header, or whichever of gzip's and zlib's is there."""
_MAGIC = b"\x1f\x8b\x08"
_HEADER_CHECKSUM, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16


class Inflater(Protocol):
    """What unpacks one stream, part by part."""

    @property
    def eof(self) -> bool:
        """Whether its end, and a sound checksum, was reached."""

    @property
    def unconsumed_tail(self) -> bytes:
        """What was given and not used yet."""

    @property
    def unused_data(self) -> bytes:
        """What was given and lies behind the end."""

    def decompress(self, packed: bytes, most: int, /) -> bytes:
        """At most so many bytes of what is packed."""


def inflater(header: int) -> Inflater:
    """An unpacker of one stream with that header."""
    return cast("Inflater", (isal_zlib or zlib).decompressobj(header))


def deflated(parts: Iterable[bytes | memoryview]) -> bytes:
    """The parts as zlib packs them, in one stream."""
    packer = (isal_zlib or zlib).compressobj(_LEVEL)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def gzip_reader(file: BinaryIO) -> io.BufferedReader:
    """A stream of what is packed in an open file, all members of it; it can be sought in.

    What is sound in front of damage is given before reading raises one of ``DAMAGED``; so does the end of a file that
    is cut off.
    """
    return io.BufferedReader(_Members(file), _BUFFERED)


def gzip_writer(file: BinaryIO) -> gzip.GzipFile:
    """A stream that packs into an open file, without a name or a time in it; it is whole once it is closed."""
    if igzip is None:
        return gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
    made = igzip.IGzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
    return cast("gzip.GzipFile", made)


class _Members(io.RawIOBase):
    """The members of a gzip file, one behind the other; zeros may follow each.

    References:
        RFC 1952.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._start = file, file.tell()
        self._position, self._is_begun, self._is_over = 0, False, False
        self._packed, self._inflater = b"", inflater(_BARE)
        self._checksum = self._length = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("how long it is is known only at its end")
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._rewind()
        while self._position < target and self.read(min(_BUFFERED, target - self._position)):
            pass
        return self._position

    def readinto(self, target: WriteableBuffer, /) -> int:
        room = memoryview(target).cast("B")
        while len(room) and self._has_more():
            packed = self._packed or self._file.read(_PACKED)
            part = self._inflater.decompress(packed, len(room))
            self._packed = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if part:
                room[: len(part)] = part
                self._checksum = (isal_zlib or zlib).crc32(part, self._checksum)
                self._length += len(part)
                self._position += len(part)
                return len(part)
            if not packed and not self._inflater.eof:
                raise EOFError
        return 0

    def _rewind(self) -> None:
        self._file.seek(self._start)
        self._packed, self._position, self._is_begun, self._is_over = b"", 0, False, False

    def _has_more(self) -> bool:
        """Whether this member goes on, or a next one begins; the end of one is checked."""
        if self._is_over:
            return False
        if not self._is_begun:
            self._begin()
            return True
        if not self._inflater.eof:
            return True
        checksum, length = struct.unpack("<LL", self._take(8))
        if checksum != self._checksum or length != self._length % 2**32:
            raise gzip.BadGzipFile
        self._packed = self._packed.lstrip(b"\0")
        while not self._packed:
            if not (packed := self._file.read(_PACKED)):
                self._is_over = True
                return False
            self._packed = packed.lstrip(b"\0")
        self._begin()
        return True

    def _begin(self) -> None:
        """Read the header of a member."""
        magic, flags = self._take(3), self._take(7)[0]
        if magic != _MAGIC:
            raise gzip.BadGzipFile
        if flags & _EXTRA:
            self._take(int.from_bytes(self._take(2), "little"))
        for text in (_NAME, _COMMENT):
            if flags & text:
                self._skip_text()
        if flags & _HEADER_CHECKSUM:
            self._take(2)
        self._inflater, self._checksum, self._length, self._is_begun = inflater(_BARE), 0, 0, True

    def _skip_text(self) -> None:
        while (end := self._packed.find(b"\0")) < 0:
            self._packed = self._file.read(_PACKED)
            if not self._packed:
                raise EOFError
        self._packed = self._packed[end + 1 :]

    def _take(self, size: int) -> bytes:
        """The next bytes of the file, outside packed data."""
        while len(self._packed) < size:
            if not (packed := self._file.read(_PACKED)):
                raise EOFError
            self._packed += packed
        taken, self._packed = self._packed[:size], self._packed[size:]
        return taken
