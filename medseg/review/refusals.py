"""What the app refuses to hand out or to take, and how the audit log hears of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum

from medseg.config.review import Role
from medseg.core.errors import InputError, MedsegError

from .audit import Details
from .records import Act, CaseName, Reader

_LOG = logging.getLogger(__name__)
_PERIOD_S = 60.0
_UNKNOWN = Reader("unknown", Role.READER)


class Refusal(Enum):
    """Why a request was refused; the value is what the log says."""

    UNKNOWN = "no such ticket"
    FOREIGN = "a ticket of another browser"
    EXPIRED = "a ticket that expired"
    REVOKED = "a ticket that was taken back"
    OTHER_KIND = "a ticket for something else"
    OTHER_SITE = "a request from another site"
    REPLAYED = "a mask no newer than the last"
    TOO_LARGE = "a body that is too large"
    MALFORMED = "a request that is not as it has to be"
    BAD_MASK = "a mask that does not fit"
    OVERTAKEN = "a mask beside strokes of another tab"


class Refused(InputError):  # noqa: N818 - the name says what happened
    """A request that is not met. The message says nothing that the asker did not know.

    Attributes:
        why: The reason.
        case: The case that it was about, if that is known.
    """

    def __init__(self, why: Refusal, case: CaseName | None = None) -> None:
        super().__init__(f"refused: {why.value}")
        self.why, self.case = why, case


class RefusalLog:
    """Puts refusals into the audit log, but no flood of them; safe among threads.

    Of more than ``most`` refusals in a minute the rest is counted, and the number stands in the next entry.
    """

    def __init__(
        self,
        log: Callable[[Act, Reader, CaseName | None, Details], None],
        most: int = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing was refused yet.

        Args:
            log: ``Store.log``.
            most: Entries a minute.
            clock: Seconds that never go back.
        """
        self._log, self._most, self._clock = log, most, clock
        self._began, self._written, self._left_out = clock(), 0, 0
        self._lock = threading.Lock()

    def note(self, why: Refusal, case: CaseName | None = None, reader: Reader | None = None) -> None:
        """Write an entry, or count it. A log that cannot be written to is no reason to answer otherwise."""
        left_out = self._turn()
        if left_out is None:
            return
        details: dict[str, str | int | float] = {"what": why.value}
        if left_out:
            details["more"] = left_out
        try:
            self._log(Act.REFUSED, reader or _UNKNOWN, case, details)
        except MedsegError:
            _LOG.warning("a refusal could not be written into the audit log")

    def _turn(self) -> int | None:
        """How many were counted since the last entry; None if this one is to be counted too."""
        with self._lock:
            now = self._clock()
            if now - self._began >= _PERIOD_S:
                self._began, self._written = now, 0
            if self._written >= self._most:
                self._left_out += 1
                return None
            self._written += 1
            left_out, self._left_out = self._left_out, 0
            return left_out
