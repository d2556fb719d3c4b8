"""Drafts: what a reader has drawn and not yet saved, one file a case and reader.

::

    FOLDER/drafts/reader-5f0a…/CASE.draft   a line of JSON, then the labels, gzipped

A draft replaces the one before it in one step and is on the disk when the browser hears of it, so that a process that
is killed leaves the old or the new one. A reader's name is not in it: folders go by pseudonyms.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field

from medseg.core.errors import InputError, ReadError
from medseg.core.files import atomic_file, safe_name
from medseg.core.geometry import Geometry
from medseg.core.pseudonyms import ProjectKey
from medseg.core.volume import Labels
from medseg.io.limits import decoding_unnamed
from medseg.io.streams import gzipped, opened_regular

from .label_stream import label_parts, read_label_stream
from .records import CaseName, Reader, Version
from .refusals import Refusal, Refused

FOLDER = "drafts"
_SUFFIX = ".draft"
_ABANDONED_S = 3600.0
_LONGEST_LINE = 2**18
_UNKNOWN = "0" * 64
_NO_STRUCTURES: Mapping[str, int] = MappingProxyType({})


class _Line(BaseModel):
    """The first line of a file; its length does not depend on the digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal[1] = 1
    case: str
    base: int = Field(ge=0)
    base_sha256: str
    made: float
    sha256: str = Field(pattern="[0-9a-f]{64}")
    structures: dict[str, int] = {}

    def encoded(self) -> bytes:
        """The line with its end."""
        return f"{self.model_dump_json()}\n".encode()


@dataclass(frozen=True, eq=False)
class Draft:
    """Labels that were drawn and not saved.

    Attributes:
        case: What they outline.
        base: Number of the version that the reader began with.
        base_sha256: Digest of that version's labels.
        made: Seconds since 1970.
        sha256: Digest of the labels.
        labels: The labels.
        structures: The value of each structure when they were drawn; empty if nobody kept that.
    """

    case: CaseName
    base: int
    base_sha256: str
    made: float
    sha256: str
    labels: Labels
    structures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def continues(self, versions: Sequence[Version], reader: Reader, grid: Geometry) -> bool:
        """Whether it may take its place by itself, without asking the reader.

        It may not if it lies on another grid than the image, if the version that it began with is not there, or if the
        reader saved a later one.
        """
        known = any(one.number == self.base and one.sha256 == self.base_sha256 for one in versions)
        newest = max((one.number for one in versions if one.author == reader.name), default=-1)
        return known and newest <= self.base and self.labels.geometry.is_close(grid)


class Drafts:
    """The drafts of a review folder; safe among threads, and among processes for different readers."""

    def __init__(self, folder: Path, key: ProjectKey, clock: Callable[[], float] = time.time) -> None:
        """Remove what processes that were killed left, more than an hour ago, of drafts that they were writing.

        Args:
            folder: The review folder.
            key: Makes the names of readers' folders.
            clock: Seconds since 1970.
        """
        self._folder, self._key, self._clock = folder / FOLDER, key, clock
        self._lock = threading.Lock()
        for left in self._folder.glob("*/.partial-*"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < clock() - _ABANDONED_S:
                    left.unlink()

    def put(
        self,
        case: CaseName,
        reader: Reader,
        base: Version,
        labels: Labels,
        structures: Mapping[str, int] = _NO_STRUCTURES,
        before: str | None = None,
    ) -> str:
        """Keep a draft in the place of the one before; on return it is on the disk.

        Args:
            case: What it outlines.
            reader: Whose it is.
            base: The version that the reader began with.
            labels: What they drew.
            structures: The value of each structure.
            before: Digest of the only draft that it may replace; None for any.

        Returns:
            Digest of the labels, as the vault has it.

        Raises:
            Refused: If another draft is there.
            InputError: If the case's name is none of ours.
            OutputError: If the disk is full or the folder cannot be written to; the one before is still there.
        """
        line = _Line(
            case=case,
            base=base.number,
            base_sha256=base.sha256,
            made=self._clock(),
            sha256=_UNKNOWN,
            structures=dict(structures),
        )
        path = self._path(case, reader)
        with self._lock:
            if before is not None and _digest_in(path) not in ("", before):
                raise Refused(Refusal.OVERTAKEN, case)
            with atomic_file(path) as partial, partial.open("w+b") as stream:
                partial.chmod(0o600)
                return _pack(stream, line, labels)

    def digest(self, case: CaseName, reader: Reader) -> str:
        """Digest of the labels that a reader has drawn; empty if there are none, zeros if the draft is damaged."""
        return _digest_in(self._path(case, reader))

    def get(self, case: CaseName, reader: Reader) -> Draft | None:
        """The draft of a reader; None if there is none.

        Raises:
            InputError: If the case's name is none of ours.
            ReadError: If it is damaged; ``drop`` removes it.
        """
        path = self._path(case, reader)
        if not path.is_file():
            return None
        try:
            with opened_regular(path) as file:
                return _unpacked(file, case, path.stat().st_size)
        except ReadError:
            raise ReadError("the draft of this case is damaged, so it cannot be restored; discard it") from None

    def drop(self, case: CaseName, reader: Reader, sha256: str | None = None) -> bool:
        """Remove a draft, as after its labels were saved.

        Args:
            case: What it outlines.
            reader: Whose it is.
            sha256: Remove it only if it still has this digest, so that what was drawn meanwhile stays.

        Returns:
            Whether there is none left.
        """
        path = self._path(case, reader)
        with self._lock:
            if sha256 is not None and _digest_in(path) not in ("", sha256):
                return False
            path.unlink(missing_ok=True)
            return True

    def names(self, reader: Reader) -> frozenset[CaseName]:
        """Cases of which a reader has a draft."""
        found = self._folder_of(reader).glob(f"*{_SUFFIX}")
        return frozenset(CaseName(path.stem) for path in found if not path.name.startswith("."))

    def _folder_of(self, reader: Reader) -> Path:
        return self._folder / self._key.name("reader", reader.name)

    def _path(self, case: CaseName, reader: Reader) -> Path:
        if safe_name(case) != case:
            raise InputError("a case is named by letters, digits, dots and dashes only")
        return self._folder_of(reader) / f"{case}{_SUFFIX}"


def _pack(stream: BinaryIO, line: _Line, labels: Labels) -> str:
    """Write a file; the digest, which is known in the end, goes into the room that was left for it."""
    digest = hashlib.sha256()
    stream.write(line.encoded())
    with gzipped(stream) as packed:
        for part in label_parts(labels):
            digest.update(part)
            packed.write(part)
    stream.seek(0)
    stream.write(line.model_copy(update={"sha256": digest.hexdigest()}).encoded())
    return digest.hexdigest()


def _unpacked(file: BufferedIOBase, case: CaseName, stored: int) -> Draft:
    with decoding_unnamed():
        line = _Line.model_validate(json.loads(file.readline(_LONGEST_LINE)))
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            labels, sha256 = read_label_stream(stream, stored)
        if sha256 != line.sha256 or line.case != case:
            raise ReadError("not what was kept")
        return Draft(case, line.base, line.base_sha256, line.made, sha256, labels, line.structures)


def _digest_in(path: Path) -> str:
    """The digest in the first line; empty if there is no file, what equals no digest if it has no such line."""
    if not path.is_file():
        return ""
    try:
        with opened_regular(path) as file, decoding_unnamed():
            return _Line.model_validate(json.loads(file.readline(_LONGEST_LINE))).sha256
    except ReadError:
        return _UNKNOWN
