"""A live stream of frames: the newest one wins, and what comes too late is dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from medseg.core.errors import InputError

from .frames import Frame, FrameLabels


@dataclass(frozen=True)
class FrameCounts:
    """What became of the frames so far.

    Attributes:
        seen: Frames that were offered.
        done: Results that were handed out.
        dropped: Frames without one: a newer frame or result took their place, they were too old, or the end came.
    """

    seen: int
    done: int
    dropped: int

    @property
    def open(self) -> int:
        """Frames of which it is not decided yet: one may wait, one be computed, one result be ready; 0 at the end."""
        return self.seen - self.done - self.dropped


@dataclass(frozen=True, eq=False)
class LiveResult:
    """Labels of one frame.

    Attributes:
        number: Of the frame, counted from 0 as they were offered; rises from result to result.
        labels: As ``FrameSegmenter.segment`` gives them.
        latency_s: From the offer to the labels.
    """

    number: int
    labels: FrameLabels
    latency_s: float


@dataclass(frozen=True, eq=False)
class _Waiting:
    number: int
    frame: Frame
    since_s: float


class LiveSegmenter:
    """Segments the newest of the frames that a camera gives, in a thread of its own.

    A camera never waits: a frame that is offered while another one waits takes its place, and a result that nobody
    fetched gives way to the next. Results come in the order of the frames. None is handed out whose frame is older than
    ``max_age_s`` by then. What goes wrong in the thread is raised by the next call, and ends the stream. Use it in a
    ``with`` block, or close it. Frames may be offered and results fetched from different threads.

    Args:
        segment: What to do with a frame, such as ``FrameSegmenter(bundle).segment``; only the thread calls it.
        max_age_s: Longest time between the offer of a frame and the return of its labels.
        clock: Seconds that only rise.

    Raises:
        InputError: If ``max_age_s`` is not above 0.
    """

    def __init__(
        self,
        segment: Callable[[Frame], FrameLabels],
        max_age_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not max_age_s > 0:
            raise InputError(f"max_age_s is above 0, got {max_age_s}")
        self._segment, self._max_age_s, self._clock = segment, max_age_s, clock
        self._changed = threading.Condition()
        self._counts = FrameCounts(0, 0, 0)
        self._waiting: _Waiting | None = None
        self._ready: tuple[LiveResult, _Waiting] | None = None
        self._error: BaseException | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="medseg frames", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if kind is None:
            self._raise_error()

    @property
    def counts(self) -> FrameCounts:
        """What became of the frames so far."""
        with self._changed:
            return self._counts

    def offer(self, frame: Frame) -> int:
        """Give the next frame; never waits for the network.

        Args:
            frame: Copied, so that a camera may write into its buffer again.

        Returns:
            The frame's number.

        Raises:
            InputError: If the stream was closed.
            Exception: What went wrong in the thread.
        """
        copied = np.array(frame)
        with self._changed:
            self._raise_error()
            if self._is_closed:
                raise InputError("the stream of frames was closed; open another one")
            number = self._counts.seen
            self._count(seen=1, dropped=int(self._waiting is not None))
            self._waiting = _Waiting(number, copied, self._clock())
            self._changed.notify_all()
        return number

    def newest(self) -> LiveResult | None:
        """The newest result that was not handed out yet and is not too old, else None; never waits.

        Raises:
            Exception: What went wrong in the thread.
        """
        with self._changed:
            self._raise_error()
            return self._taken()

    def wait(self, timeout_s: float) -> LiveResult | None:
        """The next result; None if there is none within the time, or the stream is closed meanwhile.

        Raises:
            Exception: What went wrong in the thread.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                self._changed.wait_for(self._has_news, max(0.0, until - time.monotonic()))
                self._raise_error()
                result = self._taken()
                if result is not None or self._is_closed or time.monotonic() >= until:
                    return result

    def close(self) -> None:
        """End the stream: what waits is dropped, the frame in work is finished and dropped too; waits for the thread.

        May be called again.

        Raises:
            Exception: What went wrong in the thread.
        """
        self._stop()
        self._raise_error()

    def _stop(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()
        with self._changed:
            self._count(dropped=self._counts.open)
            self._waiting = self._ready = None

    def _work(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                labels = self._segment(waiting.frame)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread, whatever it is
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                result = LiveResult(waiting.number, labels, self._clock() - waiting.since_s)
                self._count(dropped=int(self._ready is not None))
                self._ready = result, waiting
                self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        """The frame to segment next, once there is one that is young enough; None when the stream is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._is_closed or self._waiting is not None)
                waiting, self._waiting = self._waiting, None
                if self._is_closed or waiting is None:
                    self._count(dropped=int(waiting is not None))
                    return None
                if not self._is_too_old(waiting):
                    return waiting
                self._count(dropped=1)
                self._changed.notify_all()

    def _taken(self) -> LiveResult | None:
        if self._ready is None:
            return None
        (result, waiting), self._ready = self._ready, None
        if self._is_too_old(waiting):
            self._count(dropped=1)
            return None
        self._count(done=1)
        return result

    def _is_too_old(self, waiting: _Waiting) -> bool:
        return self._clock() - waiting.since_s > self._max_age_s

    def _has_news(self) -> bool:
        return self._ready is not None or self._error is not None or self._is_closed

    def _count(self, *, seen: int = 0, done: int = 0, dropped: int = 0) -> None:
        now = self._counts
        self._counts = FrameCounts(now.seen + seen, now.done + done, now.dropped + dropped)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
