"""Tickets: what lets a browser fetch voxels and send masks, since these requests pass no login.

A ticket is a random text of 256 bits that stands for one grant. It serves only the browser that it was given to, known
by its own cookie, and only for a while. Tickets and browsers are kept as digests, so that looking one up takes no
longer the more of it is right.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from medseg.core.errors import InputError

from .records import CaseName, Reader, Version
from .refusals import Refusal, Refused
from .served import ServedLabels
from .slices import Look, SliceView

_BYTES = 32
_MOST_PER_HOLDER = 512
NIFTI = "application/octet-stream"
"""Media type of voxels; NIfTI has none of its own."""


@dataclass(frozen=True, eq=False)
class VoxelGrant:
    """Leave to fetch a file of voxels.

    Attributes:
        case: Whose.
        path: The file.
        media_type: Of the answer.
    """

    case: CaseName
    path: Path = field(repr=False)
    media_type: str = NIFTI


@dataclass(frozen=True, eq=False)
class SliceGrant:
    """Leave to fetch drawn slices of a case.

    Attributes:
        case: Whose.
        view: What is cut.
        values: The target's value that each value in the browser's file stands for; others are as they are.
    """

    case: CaseName
    view: SliceView = field(repr=False)
    values: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))

    def look(self, asked: Look) -> Look:
        """What a browser asks for, by the values that the view has."""
        return replace(asked, hidden=frozenset(self.values.get(value, value) for value in asked.hidden))


class Sequence:
    """Numbers of the masks that were stored, and the draft that they became; safe among threads.

    Attributes:
        draft: Digest of the draft that the last one became, or that the screen began with; empty for none. Another
            one in its place came from elsewhere.
    """

    def __init__(self, draft: str = "") -> None:
        """No mask is stored yet.

        Args:
            draft: Digest of the draft that the screen shows; empty for none.
        """
        self.draft = draft
        self._last = 0
        self._is_used = False
        self._lock = threading.Lock()

    @property
    def next(self) -> int:
        """The smallest number that will be taken."""
        return self._last + 1

    @property
    def is_unused(self) -> bool:
        """Whether no mask was sent."""
        return not self._is_used

    def check(self, number: int, case: CaseName) -> None:
        """Do nothing if the number is newer than the last.

        Raises:
            Refused: If it is not.
        """
        if number <= self._last:
            raise Refused(Refusal.REPLAYED, case)

    @contextmanager
    def taking(self, number: int, case: CaseName) -> Iterator[None]:
        """The number counts as taken if the block ends well; one block at a time.

        Raises:
            Refused: If it is not newer than the last.
        """
        with self._lock:
            self.check(number, case)
            self._is_used = True
            yield
            self._last = number

    @contextmanager
    def resting(self) -> Iterator[None]:
        """No mask is stored during the block."""
        with self._lock:
            yield


@dataclass(frozen=True, eq=False)
class MaskGrant:
    """Leave to send masks that were drawn.

    Attributes:
        case: What they outline.
        reader: Whose draft they become.
        base: The version that the reader began with.
        shown: The labels that the browser got.
        sequence: Which masks came already.
    """

    case: CaseName
    reader: Reader
    base: Version
    shown: ServedLabels = field(repr=False)
    sequence: Sequence = field(default_factory=Sequence, repr=False)


Grant = VoxelGrant | SliceGrant | MaskGrant
G = TypeVar("G", VoxelGrant, SliceGrant, MaskGrant)


@dataclass
class _Ticket:
    """A ticket that was issued; without its grant it is remembered for a while, to tell why it is refused."""

    holder: bytes
    case: CaseName
    expires: float
    grant: Grant | None


class Tickets:
    """All tickets of the process; safe among threads."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        """No ticket is out yet.

        Args:
            minutes: How long each serves.
            clock: Seconds that never go back.
        """
        self._lifetime_s, self._clock = minutes * 60, clock
        self._tickets: dict[bytes, _Ticket] = {}
        self._lock = threading.Lock()

    def issue(self, holder: str, grant: Grant) -> str:
        """A new ticket, safe in an address. Of very many that one browser holds the oldest is taken back.

        Args:
            holder: Value of the browser's own cookie.
            grant: What it is for.

        Raises:
            InputError: If the browser sent no cookie.
        """
        if not holder:
            raise InputError("the browser keeps no cookie of this app; allow cookies for it and load the page anew")
        token, owner = secrets.token_urlsafe(_BYTES), _digest(holder)
        with self._lock:
            self._tidy()
            mine = [one for one in self._tickets.values() if one.holder == owner and one.grant is not None]
            if len(mine) >= _MOST_PER_HOLDER:
                mine[0].grant = None
            self._tickets[_digest(token)] = _Ticket(owner, grant.case, self._clock() + self._lifetime_s, grant)
        return token

    def redeem(self, token: str, holder: str, kind: type[G]) -> G:
        """What the ticket is for; it may be used again.

        Raises:
            Refused: If there is no such ticket, it is another browser's, it expired or was taken back, or it is for
                something else.
        """
        with self._lock:
            self._tidy()
            ticket = self._tickets.get(_digest(token))
            if ticket is None:
                raise Refused(Refusal.UNKNOWN)
            if not holder or not secrets.compare_digest(ticket.holder, _digest(holder)):
                raise Refused(Refusal.FOREIGN, ticket.case)
            if ticket.expires <= self._clock():
                raise Refused(Refusal.EXPIRED, ticket.case)
            if ticket.grant is None:
                raise Refused(Refusal.REVOKED, ticket.case)
            if not isinstance(ticket.grant, kind):
                raise Refused(Refusal.OTHER_KIND, ticket.case)
            return ticket.grant

    def revoke(self, holder: str | None = None, case: CaseName | None = None) -> None:
        """Take back the tickets of a browser, of a case, of both at once, or, without arguments, all."""
        owner = None if holder is None else _digest(holder)
        with self._lock:
            for ticket in self._tickets.values():
                if owner in (None, ticket.holder) and case in (None, ticket.case):
                    ticket.grant = None

    def take_back(self, token: str, after_s: float = 0.0) -> None:
        """Take back one ticket, at once or after a while; nothing happens if there is none."""
        with self._lock:
            ticket = self._tickets.get(_digest(token))
            if ticket is not None and after_s:
                ticket.expires = min(ticket.expires, self._clock() + after_s)
            elif ticket is not None:
                ticket.grant = None

    def left_s(self, token: str) -> float:
        """Seconds for which a ticket will still serve; 0 if it does not."""
        with self._lock:
            ticket = self._tickets.get(_digest(token))
            return 0.0 if ticket is None or ticket.grant is None else max(0.0, ticket.expires - self._clock())

    def _tidy(self) -> None:
        """Let go of what expired grants hold, and in the end of the tickets."""
        now = self._clock()
        for key, ticket in list(self._tickets.items()):
            if ticket.expires <= now:
                ticket.grant = None
            if ticket.expires + self._lifetime_s <= now:
                del self._tickets[key]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).digest()
