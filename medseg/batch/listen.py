"""Studies that come over the network: out of the spool when they are complete, and their results back."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import MedsegError, ReadError
from medseg.core.progress import Progress
from medseg.io.dicom_identity import FileIdentity, read_file_identity
from medseg.io.dicom_net import SendOutcome
from medseg.io.spool import Spool

from .records import Status, StudyResult, StudyTask

_LONGEST_WAIT_S = 900.0

Deliver = Callable[[Sequence[Path]], Sequence[SendOutcome]]
"""Sends files and tells what became of each."""


@dataclass(frozen=True)
class _Problem:
    """Why results have not arrived, and whether they never will."""

    reason: str
    is_final: bool = False


@dataclass(eq=False)
class _Hand:
    """A study that was taken from the spool, and its folder there."""

    folder: Path
    delivery: Future[_Problem | None] | None = None


@dataclass(frozen=True)
class _Wait:
    """How long a study waits for its next try, and until when."""

    seconds: float
    ends: float


@dataclass(frozen=True, eq=False)
class Return:
    """Where results go.

    Attributes:
        deliver: Sends files; None keeps results in the output folder only.
        studies: Folder of the results.
        failed: Folder to which the objects of studies that failed are moved, so that nothing is lost.
        progress: Told of what could not be delivered.
    """

    deliver: Deliver | None
    studies: Path
    failed: Path
    progress: Progress = field(repr=False)


class SpooledTasks:
    """Tasks that come as studies in a spool come to rest, until somebody stops them.

    A study leaves the spool when its results are delivered, and not before: after a crash it comes again, is found done
    in the manifest, and is delivered once more, under the same UIDs. What cannot be delivered waits and is tried again,
    after twice the time at each try; what the receiver refuses for what it is stays in the output folder only. A study
    that comes back with its results, from a receiver that sends on what it gets, is not answered again.

    Args:
        spool: Where studies arrive.
        quiet_s: How long nothing may have come for a study.
        left: The task of the study in a folder, and whether it is still to be done.
        back: Where results go.
        stop: Set when no more are wanted.
    """

    def __init__(
        self,
        spool: Spool,
        quiet_s: float,
        left: Callable[[Path], tuple[StudyTask, bool]],
        back: Return,
        stop: threading.Event,
    ) -> None:
        self._spool, self._quiet_s, self._left, self._back, self._stop = spool, quiet_s, left, back, stop
        self._hands: dict[str, _Hand] = {}
        self._waits: dict[str, _Wait] = {}
        self._sending = ThreadPoolExecutor(1)
        self._looked = 0.0

    def next(self) -> StudyTask | None:
        """The next study at rest; None if there is none at present."""
        self._settle()
        now = time.monotonic()
        if self._stop.is_set() or now - self._looked < min(1.0, self._quiet_s / 4):
            return None
        for name in self._spool.quiet(self._quiet_s):
            if name in self._waits and now < self._waits[name].ends:
                continue
            self._hands[name] = hand = _Hand(self._spool.take(name))
            task, is_left = self._left(hand.folder)
            if is_left:
                return task
            if _came_back(hand.folder, self._back):
                self._leave(name)
            else:
                self._send(hand)
        self._looked = now
        return None

    def ended(self, result: StudyResult) -> None:
        """The study's results go back; one that failed is set aside, or waits for room on the disk."""
        hand = self._hands[result.name]
        if result.status is Status.DONE:
            self._send(hand)
            return
        if result.lacks_room:
            self._put_off(result.name, "stays in the spool until there is room; it is tried again")
            return
        problem = _set_aside(hand.folder, self._back.failed) if result.status is Status.FAILED else ""
        if problem:
            self._put_off(result.name, f"stays in the spool, as it cannot be set aside ({problem})")
        else:
            self._leave(result.name)

    @property
    def are_over(self) -> bool:
        """Whether somebody stopped them and all results in hand were sent or put off."""
        return self._stop.is_set() and not self._settle()

    def close(self) -> None:
        """Wait for what is being sent; what is in hand stays in the spool."""
        self._sending.shutdown(wait=True, cancel_futures=True)
        self._settle()

    def _send(self, hand: _Hand) -> None:
        hand.delivery = self._sending.submit(_delivered, self._back, hand.folder.name)

    def _settle(self) -> bool:
        """Let go of studies whose results have arrived; whether any are still under way."""
        under_way = False
        for name, hand in list(self._hands.items()):
            if hand.delivery is None:
                continue
            if not hand.delivery.done():
                under_way = True
                continue
            stopped = hand.delivery.cancelled()
            problem = _Problem("stopped before it was sent") if stopped else hand.delivery.result()
            if problem is not None and not problem.is_final:
                self._put_off(name, f"not delivered, {problem.reason}; it is tried again")
                continue
            if problem is not None:
                self._back.progress.note(f"{name}: not delivered, {problem.reason}; it stays in the output folder")
            self._leave(name)
        return under_way

    def _put_off(self, name: str, why: str) -> None:
        """Let a study wait in the spool, each time twice as long."""
        self._back.progress.note(f"{name}: {why}")
        before = self._waits.get(name)
        seconds = self._quiet_s if before is None else min(2 * before.seconds, _LONGEST_WAIT_S)
        self._waits[name] = _Wait(seconds, time.monotonic() + seconds)
        self._spool.give_back(name)
        del self._hands[name]

    def _leave(self, name: str) -> None:
        self._spool.done(name)
        self._waits.pop(name, None)
        del self._hands[name]


def _set_aside(taken: Path, failed: Path) -> str:
    """Keep the objects of a study that failed, which the spool then forgets; why that cannot be, empty if it was."""
    folder = failed / taken.name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in taken.iterdir():
            kept = folder / path.name
            kept.unlink(missing_ok=True)
            try:
                os.link(path, kept)
            except OSError:  # another disk
                shutil.copy2(path, kept)
    except OSError as error:
        return error.strerror or "the disk may be full"
    return ""


def _came_back(taken: Path, back: Return) -> bool:
    """Whether a study holds all of our results for it, which whoever sent it must have got."""
    results = {identity.instance_uid for identity in _identities(_objects(back, taken.name))}
    return bool(results) and results <= {identity.instance_uid for identity in _identities(taken.iterdir())}


def _identities(paths: Iterable[Path]) -> Iterator[FileIdentity]:
    for path in paths:
        with contextlib.suppress(ReadError):  # a file that cannot be read is not known to be a result
            identity = read_file_identity(path)
            if identity is not None:
                yield identity


def _objects(back: Return, name: str) -> list[Path]:
    """The DICOM objects of a study's results."""
    return sorted((back.studies / name).rglob("*.dcm"))


def _delivered(back: Return, name: str) -> _Problem | None:
    """Send the DICOM objects of a study's results; why that failed, None if it did not."""
    paths = _objects(back, name)
    if back.deliver is None or not paths:
        return None
    try:
        outcomes = back.deliver(paths)
    except MedsegError as error:
        return _Problem(str(error))
    failed = sorted((one for one in outcomes if not one.stored), key=lambda one: one.is_final)
    if not failed:
        return None
    return _Problem(f"{len(failed)} of {len(paths)} objects: {failed[0].reason}", failed[0].is_final)
