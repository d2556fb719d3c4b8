"""Studies that come over the network: out of the spool when they are complete, and their results back."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import MedsegError
from medseg.core.progress import Progress
from medseg.io.dicom_net import SendOutcome
from medseg.io.spool import Spool

from .records import Status, StudyResult, StudyTask

Deliver = Callable[[Sequence[Path]], Sequence[SendOutcome]]
"""Sends files and tells what became of each."""


@dataclass(eq=False)
class _Hand:
    """A study that was taken from the spool."""

    task: StudyTask
    delivery: Future[str] | None = None


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
    in the manifest, and is delivered once more, under the same UIDs. What cannot be delivered waits and is tried again.

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
        self._sending = ThreadPoolExecutor(1)
        self._looked = 0.0

    def next(self) -> StudyTask | None:
        """The next study at rest; None if there is none at present."""
        self._settle()
        now = time.monotonic()
        if self._stop.is_set() or now - self._looked < min(1.0, self._quiet_s / 4):
            return None
        for name in self._spool.quiet(self._quiet_s):
            task, is_left = self._left(self._spool.take(name))
            self._hands[name] = hand = _Hand(task)
            if is_left:
                return task
            self._send(hand)
        self._looked = now
        return None

    def ended(self, result: StudyResult) -> None:
        """The study's results go back; one that failed is set aside."""
        hand = self._hands[result.name]
        if result.status is Status.DONE:
            self._send(hand)
            return
        problem = _set_aside(hand.task, self._back.failed) if result.status is Status.FAILED else ""
        if problem:
            self._back.progress.note(f"{result.name}: stays in the spool, as it cannot be set aside ({problem})")
            self._spool.give_back(result.name)
            del self._hands[result.name]
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
        hand.delivery = self._sending.submit(_delivered, self._back, hand.task.name)

    def _settle(self) -> bool:
        """Let go of studies whose results have arrived; whether any are still under way."""
        under_way = False
        for name, hand in list(self._hands.items()):
            if hand.delivery is None:
                continue
            if not hand.delivery.done():
                under_way = True
                continue
            problem = "stopped before it was sent" if hand.delivery.cancelled() else hand.delivery.result()
            if problem:
                self._back.progress.note(f"{name}: not delivered, {problem}; it is tried again")
                self._spool.give_back(name)
                del self._hands[name]
            else:
                self._leave(name)
        return under_way

    def _leave(self, name: str) -> None:
        self._spool.done(name)
        del self._hands[name]


def _set_aside(task: StudyTask, failed: Path) -> str:
    """Keep the objects of a study that failed, which the spool then forgets; why that cannot be, empty if it was."""
    folder = failed / task.name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in map(Path, task.paths):
            kept = folder / path.name
            kept.unlink(missing_ok=True)
            try:
                os.link(path, kept)
            except OSError:  # another disk
                shutil.copy2(path, kept)
    except OSError as error:
        return error.strerror or "the disk may be full"
    return ""


def _delivered(back: Return, name: str) -> str:
    """Send the DICOM objects of a study's results; why that failed, empty if it did not."""
    paths = sorted((back.studies / name).rglob("*.dcm"))
    if back.deliver is None or not paths:
        return ""
    try:
        outcomes = back.deliver(paths)
    except MedsegError as error:
        return str(error)
    failed = [one for one in outcomes if not one.stored]
    return f"{len(failed)} of {len(paths)} objects: {failed[0].reason}" if failed else ""
