"""One upload while its session is open: cleaned when it comes, and again after each decision about its pictures."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from medseg.config.load import load_profile
from medseg.config.review import ReviewConfig
from medseg.core.errors import InputError
from medseg.core.progress import Progress
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.boxes import Box

from . import cleaning_process
from .cleaning import BoxSides, CleanRequest
from .cleaning_held import HeldImage
from .session_files import Room, Session, Work, told
from .upload_cases import UploadedCase, uploaded_case

ORIGINALS = "originals"
"""Folder of what was unpacked, in the room of an upload."""
_CLEAN, _HELD, _TEMPORARY = "clean", "held", "temporary"
_SECONDS_BETWEEN_SIZES, _SECONDS_BETWEEN_LOOKS = 1.0, 0.2
_PAUSE = 20.0
_at_once = threading.BoundedSemaphore(2)


class Watch:
    """Progress that ends the work when somebody cancels it, or when its files grow beyond the session's limit."""

    def __init__(self, work: Work, room: Room, progress: Progress) -> None:
        self._work, self._room, self._progress = work, room, progress
        self._next_size = time.monotonic() + _SECONDS_BETWEEN_SIZES

    def start(self, label: str, total: int) -> None:
        """A stage begins."""
        self._work.check()
        self._progress.start(label, total)

    def advance(self, steps: int = 1) -> None:
        """Go on, unless the work is to end.

        Raises:
            InputError: If it is.
        """
        self._work.check()
        started = time.monotonic()
        if started >= self._next_size:
            self._room.settle()
            spent = time.monotonic() - started  # seconds, where there are very many files
            self._next_size = started + max(_SECONDS_BETWEEN_SIZES, _PAUSE * spent)
        if steps:
            self._progress.advance(steps)

    def note(self, text: str) -> None:
        """Pass a line on."""
        self._progress.note(text)

    def finish(self) -> None:
        """Whoever began says when it is over."""


class Upload:
    """What one upload became.

    Attributes:
        config: Profile and limits that it was cleaned with.
        key: Of the project.
        cases: Images that can be shown.
        held: Images that may show text and wait for a decision.
        notes: What is left out and why, and what a person should know.
    """

    def __init__(
        self, session: Session, room: Room, config: ReviewConfig, key: ProjectKey, names: Mapping[str, str]
    ) -> None:
        """Nothing is done yet.

        Args:
            session: Whose.
            room: Its ``originals`` hold the files.
            config: Of the app.
            key: Of the project.
            names: What the person called each of the files; empty if that may not be remembered.
        """
        self.config, self.key = config, key
        self.cases: tuple[UploadedCase, ...] = ()
        self.held: tuple[HeldImage, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._session, self._room = session, room
        self._names = {_number(name): told for name, told in names.items()}
        self._accepted: tuple[str, ...] = ()
        self._dropped: set[str] = set()
        self._lock = threading.Lock()

    @property
    def owner(self) -> str:
        """Name of who uploaded it."""
        return self._session.owner

    @property
    def quarantine(self) -> Path:
        """Folder of what was held back."""
        return self._room.path / _HELD

    def clean(self, watch: Watch) -> None:
        """De-identify all of it.

        Raises:
            InputError: If there is no image, it takes too long, too much, or is cancelled.
            DataError: If it crashes what reads it.
            OutputError: If the disk is full.
        """
        with self._lock:
            self._clean(watch, (), {})

    def decide(self, image: HeldImage, boxes: Sequence[Box], progress: Progress) -> tuple[UploadedCase, ...]:
        """Clean it again with an image accepted, in all of whose pictures ``boxes`` are filled before.

        Returns:
            The cases that this gave.

        Raises:
            InputError: If the image does not wait any more; and as ``clean``.
            DataError: As ``clean``.
            OutputError: As ``clean``.
        """
        with self._session.working() as work, self._lock:
            self.check(image)
            known = {case.files.name for case in self.cases}
            sides = tuple((box.top, box.left, box.bottom, box.right) for box in boxes)
            fills = dict.fromkeys(image.originals, sides) if boxes else {}
            self._clean(Watch(work, self._room, progress), image.accepts, fills)
            progress.finish()
            return tuple(case for case in self.cases if case.files.name not in known)

    def drop(self, image: HeldImage) -> None:
        """Forget an image that waits.

        Raises:
            InputError: If it does not wait any more.
        """
        with self._session.working(), self._lock:
            self.check(image)
            self._dropped.add(image.name)
            self.held = self._waiting(self.held)
            self._tidy()

    def check(self, image: HeldImage) -> None:
        """Whether an image still waits.

        Raises:
            InputError: If it does not.
        """
        if not any(one.name == image.name for one in self.held):
            raise InputError("somebody has decided about these pictures meanwhile; look at the list anew")

    def refusal(self) -> str:
        """Why nothing of it can be shown."""
        others = f"; and {len(self.notes) - 1} more such lines" if len(self.notes) > 1 else ""
        why = f"{self.notes[0]}{others}" if self.notes else "it holds no image"
        return f"nothing of the upload can be shown: {why}"

    def _clean(self, watch: Watch, accepted: Sequence[str], blank: Mapping[str, tuple[BoxSides, ...]]) -> None:
        room, config = self._room.path, self.config
        temporary = room / _TEMPORARY
        request = CleanRequest(
            originals=room / ORIGINALS,
            output=room / _CLEAN,
            quarantine=room / _HELD,
            profile=load_profile(config.profile),
            key=config.key,
            accepted=(*self._accepted, *accepted),
            blank=dict(blank),
            identifiers=config.show_identifiers,
            most_mb=config.limits.upload_mb,
        )
        with _turn(watch), told():
            temporary.mkdir(mode=0o700, exist_ok=True)
            result = cleaning_process.clean_apart(request, temporary, watch)
        self._accepted = result.accepted
        self.cases = tuple(
            uploaded_case(image, request.output, self.owner, self.key, self._names.get(_number(image.original), ""))
            for image in result.images
        )
        self.held, self.notes = self._waiting(result.held), result.notes
        self._tidy()

    def _waiting(self, held: Sequence[HeldImage]) -> tuple[HeldImage, ...]:
        return tuple(one for one in held if one.name not in self._dropped)

    def _tidy(self) -> None:
        """Originals stay only as long as somebody may have to decide about them."""
        shutil.rmtree(self._room.path / _TEMPORARY, ignore_errors=True)
        if not self.held:
            shutil.rmtree(self._room.path / ORIGINALS, ignore_errors=True)
            shutil.rmtree(self._room.path / _HELD, ignore_errors=True)
        self._room.settle()


@contextmanager
def _turn(watch: Watch) -> Iterator[None]:
    """Wait until few enough other uploads are being cleaned."""
    if not _at_once.acquire(blocking=False):
        watch.start("waiting for other uploads", 0)
        while not _at_once.acquire(timeout=_SECONDS_BETWEEN_LOOKS):
            watch.advance(0)
    try:
        yield
    finally:
        _at_once.release()


def _number(name: str) -> str:
    return name.partition(".")[0]
