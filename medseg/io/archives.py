"""Archives of studies: zip and tar, unpacked within limits into a private folder that vanishes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO, BinaryIO, cast

from medseg.core.errors import OutputError, ReadError

from .deflate import DAMAGED, gzip_reader
from .dicom_header import parsing
from .limits import unpacked as inflated

_MOST_BYTES = 2**36
_LARGEST_FILE = 2**32
_MOST_ENTRIES = 200_000
_MAX_RATIO = 100
_FREE_BYTES = 2**26
_LONGEST_READ = 2**25
_LONGEST_END = 2**17  # a comment of 64 KiB and what stands before it
_CHUNK = 2**20
_DEEPEST = 32
_LONGEST_NAME = 255
_HEAD = 2**16
_TAR_MAGIC = slice(257, 262)
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
_INSTEAD = "; unpack it yourself and name the folder"


class _Kind(Enum):
    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"


def is_archive(path: Path) -> bool:
    """Whether a zip, tar or tar.gz file lies at ``path``, by its content; a DICOM file with such a preamble is none.

    Raises:
        ReadError: If a file is there that cannot be opened.
    """
    return _kind(path) is not None


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder that an archive was unpacked into; ``path`` itself if it is none.

    The folder lies among the temporary files, only its owner may open it, and it is removed when the block ends. Names
    are kept; archives in the archive stay packed. An archive is unpacked wholly or not at all.

    Raises:
        ReadError: If the archive is damaged or encrypted; holds links, devices, entries that overlap or are longer than
            they say, or names that are the same, reserved or lead elsewhere; has more than 200,000 entries, a file of
            more than 4 GiB, more than 64 GiB in all, or more than 64 MiB and a hundred times its own size.
        OutputError: If the disk of the temporary files is full.
    """
    kind = _kind(path)
    if kind is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="medseg-") as name:
        with parsing("an archive"), _naming_full_disks(), path.open("rb") as file:
            _unpack(kind, file, _Folder(Path(name), _limit(file)))
        yield Path(name)


def unpack(path: Path, folder: Path, naming: Callable[[str], str], counting: Callable[[int], None]) -> None:
    """Unpack an archive into a folder under names of one's own, within the limits of ``unpacked``.

    If it cannot be unpacked wholly, what was written before stays for the caller to remove.

    Args:
        path: A file of which ``is_archive`` says so; of any other nothing is unpacked.
        folder: Where the files go; it exists.
        naming: Gives the name in ``folder`` for the path of an entry; each time another one.
        counting: Told of bytes before they are written; what it raises ends the work.

    Raises:
        ReadError: As ``unpacked``.
        OutputError: If the disk of the folder is full.
    """
    kind = _kind(path)
    if kind is not None:
        with parsing("an archive"), _naming_full_disks(), path.open("rb") as file:
            _unpack(kind, file, _Folder(folder, _limit(file), naming, counting))


def _kind(path: Path) -> _Kind | None:
    with parsing("a file"):
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD)
    if head[128:132] == b"DICM":
        return None
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _Kind.ZIP
    if head[_TAR_MAGIC] == b"ustar":
        return _Kind.TAR
    with contextlib.suppress(*DAMAGED):
        if head[:2] == b"\x1f\x8b" and inflated(head, 512)[_TAR_MAGIC] == b"ustar":
            return _Kind.TAR_GZ
    return None


@contextlib.contextmanager
def _naming_full_disks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputError(f"the disk of the temporary files is too small for an archive{_INSTEAD}") from None


def _limit(file: BinaryIO) -> int:
    return min(_MOST_BYTES, max(_FREE_BYTES, _MAX_RATIO * os.fstat(file.fileno()).st_size))


def _unpack(kind: _Kind, file: BinaryIO, folder: _Folder) -> None:
    if kind is _Kind.ZIP:
        _unpack_zip(file, folder)
    elif kind is _Kind.TAR:
        _unpack_tar(file, folder)
    else:
        with gzip_reader(file) as stream:
            _unpack_tar(cast("BinaryIO", stream), folder)


def _unpack_zip(file: BinaryIO, folder: _Folder) -> None:
    with zipfile.ZipFile(cast("IO[bytes]", _ShortReads(file))) as archive:
        entries = archive.infolist()
        _check_entries(entries, archive.start_dir)
        for entry in entries:
            if entry.filename.endswith(("/", "\\")):
                folder.add_folder(entry.filename)
                continue
            with archive.open(entry) as stream:
                if folder.add_file(entry.filename, stream) != entry.file_size:
                    raise ReadError("an archive holds a file of another size than it says")


def _check_entries(entries: list[zipfile.ZipInfo], table_at: int) -> None:
    if any(stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR) for entry in entries):
        raise ReadError(f"an archive holds links or devices{_INSTEAD}")
    if any(entry.flag_bits & 1 for entry in entries):
        raise ReadError(f"an archive is encrypted{_INSTEAD}")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise ReadError(f"an archive is compressed by another method than deflate{_INSTEAD}")
    spans = sorted((entry.header_offset, entry.header_offset + 30 + entry.compress_size) for entry in entries)
    starts = [start for start, _ in spans[1:]] + [table_at]
    if any(end > start for (_, end), start in zip(spans, starts, strict=bool(spans))):
        raise ReadError("an archive holds entries that overlap")


def _unpack_tar(stream: BinaryIO, folder: _Folder) -> None:
    with tarfile.TarFile(fileobj=cast("IO[bytes]", _Forward(stream, folder.limit))) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would remember all of them
            if member.isdir():
                folder.add_folder(member.name)
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                raise ReadError(f"an archive holds links or devices{_INSTEAD}")
            folder.add_file(member.name, content)


class _Folder:
    """Where entries go: their names are checked, their bytes counted."""

    def __init__(
        self,
        root: Path,
        limit: int,
        naming: Callable[[str], str] | None = None,
        counting: Callable[[int], None] | None = None,
    ) -> None:
        self._root = root
        self.limit = limit
        self._naming = naming
        self._counting = counting
        self._bytes = 0
        self._entries = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add_folder(self, name: str) -> None:
        """Check the name of a folder; it is made as soon as a file lies in it."""
        self._claim(name, is_file=False)

    def add_file(self, name: str, content: IO[bytes]) -> int:
        """Write a file and return its size."""
        parts = self._claim(name, is_file=True)
        path = self._root.joinpath(*parts) if self._naming is None else self._root / self._naming("/".join(parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with path.open("xb") as file:
            while chunk := content.read(_CHUNK):
                size += len(chunk)
                self._count(len(chunk), size)
                file.write(chunk)
        return size

    def _count(self, more: int, size: int) -> None:
        self._bytes += more
        if size > _LARGEST_FILE:
            raise ReadError(f"an archive holds a file of more than {_LARGEST_FILE >> 30} GiB")
        if self._bytes > self.limit:
            raise ReadError(f"an archive grows past the limit of {self.limit >> 20} MiB{_INSTEAD}")
        if self._counting is not None:
            self._counting(more)

    def _claim(self, name: str, *, is_file: bool) -> tuple[str, ...]:
        """The parts of a name that no other entry has, not even where case, dots and spaces do not count."""
        self._entries += 1
        if self._entries > _MOST_ENTRIES:
            raise ReadError(f"an archive holds more than {_MOST_ENTRIES} entries{_INSTEAD}")
        parts = _parts(name)
        keys = [unicodedata.normalize("NFC", part).casefold().rstrip(". ") for part in parts]
        prefixes = ["/".join(keys[:count]) for count in range(1, len(keys) + 1)]
        folders, files = (prefixes[:-1], prefixes[-1:]) if is_file else (prefixes, [])
        if not self._files.isdisjoint(prefixes) or not self._folders.isdisjoint(files):
            raise ReadError(f"an archive holds two entries of the same name{_INSTEAD}")
        self._files.update(files)
        self._folders.update(folders)
        return parts


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a relative path that means the same on every system; some write backslashes."""
    path = name.replace("\\", "/")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or ".." in parts or len(parts) > _DEEPEST or not all(map(_is_allowed, parts)):
        raise ReadError(f"an archive holds a name that leads elsewhere or is reserved{_INSTEAD}")
    return parts


def _is_allowed(part: str) -> bool:
    strange = ":" in part or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part)
    device = part.partition(".")[0].rstrip().upper() in _DEVICES
    return not strange and not device and len(part.encode()) <= _LONGEST_NAME and part.strip(". ") != ""


class _ShortReads:
    """A file that is not read in long pieces: zipfile reads the whole table of contents at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _LONGEST_READ:
            raise ReadError(f"an archive's table of contents is longer than {_LONGEST_READ >> 20} MiB{_INSTEAD}")
        return self._file.read(_LONGEST_END if size < 0 else size)


class _Forward:
    """A stream that is read once, in short pieces, up to a limit: tarfile reads a header's text at once."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise ReadError("an archive's headers lead backwards")
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if size > _CHUNK:
            raise ReadError(f"an archive holds a header of more than {_CHUNK >> 20} MiB")
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._limit:
            raise ReadError(f"an archive grows past the limit of {self._limit >> 20} MiB{_INSTEAD}")
        return data
