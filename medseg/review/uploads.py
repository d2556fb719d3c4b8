"""From what a person brings to cases under pseudonyms: received in parts, unpacked, de-identified, sorted out.

::

    REVIEW/sessions/session-…/room-…/received/     as it came, under numbers
    REVIEW/sessions/session-…/room-…/originals/    unpacked; gone as soon as nobody has to decide about anything
    REVIEW/sessions/session-…/room-…/clean/        de-identified: the cases
    REVIEW/sessions/session-…/room-…/held/         held back: pictures that may show text

Nothing of it is left if any step fails, is cancelled, or the session ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from medseg.config.review import ReviewConfig, ReviewLimits
from medseg.core.errors import InputError
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey

from .archive import lay_out
from .session_files import MIB, Room, Session, Work, told
from .upload_cases import UploadedCase
from .upload_run import ORIGINALS, Upload, Watch

_CHUNK = 2**20
_MOST_FILES = 200_000
_RECEIVED = "received"


@runtime_checkable
class Readable(Protocol):
    """An open file."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""


Content = Readable | Iterable[bytes]


@dataclass(frozen=True, eq=False)
class Received:
    """An upload that lies on the disk as it came.

    Attributes:
        room: Where it lies.
        names: What the person called each file.
        size: Bytes of all files.
    """

    room: Room
    names: dict[Path, str] = field(repr=False)
    size: int


def receive(
    session: Session, files: Iterable[tuple[str, Content]], limits: ReviewLimits, progress: Progress = SILENT
) -> Received:
    """Write the files of one upload into a new folder of the session, part by part; none is ever whole in memory.

    Their names are remembered, and used for nothing on the disk.

    Args:
        session: Whose.
        files: What each file is called, and its content: an open file, or its parts.
        limits: What an upload may take.
        progress: Told of each file; the number of files is not known.

    Raises:
        InputError: If there is nothing, too much, or the work was cancelled.
        OutputError: If the disk is full.
    """
    room = session.new_room()
    with room.or_nothing(), session.working() as work, told():
        folder = room.path / _RECEIVED
        folder.mkdir(mode=0o700)
        spool = _Spool(room, work, limits.upload_mb)
        progress.start("receiving", 0)
        names: dict[Path, str] = {}
        for name, content in files:
            if len(names) == _MOST_FILES:
                raise InputError(f"the upload holds more than {_MOST_FILES} files; upload fewer series at once")
            path = folder / f"{len(names):06d}"
            spool.write(path, content)
            names[path] = name
            progress.advance()
        if not spool.size:
            raise InputError("the upload is empty; choose a DICOM folder, an archive of one, or image files")
    return Received(room, names, spool.size)


def prepare_upload(
    session: Session, received: Received, config: ReviewConfig, key: ProjectKey, progress: Progress = SILENT
) -> list[UploadedCase]:
    """Unpack and de-identify what was received; each image that can be shown becomes a case of the session's owner.

    What may show text waits among ``Session.uploads`` for a person who may release it, see ``text_review``. What else
    is left out is told by ``progress.note``. What was received is used up.

    Args:
        session: Whose.
        received: By ``receive``.
        config: Profile, limits, file of the key, whether identifiers may be remembered.
        key: The one in that file.
        progress: Told of each file, from the calling thread.

    Returns:
        The cases; none if all of the upload waits for a decision.

    Raises:
        InputError: If nothing of it can be shown, it is too large, takes too long, or was cancelled.
        ReadError: If an archive is damaged or hostile.
        OutputError: If the disk is full.
    """
    room = received.room
    with room.or_nothing(), session.working() as work, told():
        watch = Watch(work, room, progress)
        watch.start("unpacking", 0)
        names = lay_out(received.names, room.path / ORIGINALS, room, config.limits.upload_mb, work.check)
        (room.path / _RECEIVED).rmdir()
        room.settle()
        upload = Upload(session, room, config, key, names if config.show_identifiers else {})
        upload.clean(watch)
        if not (upload.cases or upload.held):
            raise InputError(upload.refusal())
    session.uploads.append(upload)
    for note in upload.notes:
        progress.note(note)
    progress.finish()
    return list(upload.cases)


class _Spool:
    """Writes the files of one upload and counts them."""

    def __init__(self, room: Room, work: Work, most_mb: int) -> None:
        self._room, self._work, self._most_mb = room, work, most_mb
        self.size = 0

    def write(self, path: Path, content: Content) -> None:
        """Write a new file."""
        with path.open("xb") as file:
            for part in _parts(content):
                self._work.check()
                self.size += len(part)
                if self.size > self._most_mb * MIB:
                    raise InputError(f"the upload is larger than the limit of {self._most_mb} MB")
                self._room.take(len(part))
                file.write(part)


def _parts(content: Content) -> Iterator[bytes]:
    """The content in parts; an open file is read and not iterated, whose lines may be long."""
    if isinstance(content, Readable):
        while part := content.read(_CHUNK):
            yield part
    else:
        yield from content
