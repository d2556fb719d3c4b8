"""The tickets of one browser tab: each grant has one, which is renewed in time and taken back at the end."""

from __future__ import annotations

from collections.abc import Iterable

from .tickets import Grant, MaskGrant, Tickets

GRACE_S = 60.0
"""How long what is on its way may take, after its page has gone on to something else."""
_RENEWED_AT = 0.5


class Passes:
    """Tickets by grant. A page asks at each of its runs, and gets the same ones as long as they serve."""

    def __init__(self, tickets: Tickets, minutes: float) -> None:
        """No ticket is out yet.

        Args:
            tickets: Where they come from.
            minutes: How long one serves.
        """
        self._tickets, self._seconds = tickets, minutes * 60
        self._issued: dict[int, tuple[Grant, str, str]] = {}

    def ticket(self, grant: Grant, holder: str) -> str:
        """The ticket of a grant; one that has less than half of its time left is replaced, and serves on.

        Args:
            grant: What it is for.
            holder: The browser's own cookie.

        Raises:
            InputError: If the browser sent no cookie.
        """
        known = self._issued.get(id(grant))
        if known is not None and known[2] == holder and self._tickets.left_s(known[1]) > self._seconds * _RENEWED_AT:
            return known[1]
        token = self._tickets.issue(holder, grant)
        self._issued[id(grant)] = (grant, token, holder)
        return token

    def keep(self, grants: Iterable[Grant]) -> None:
        """Forget all other grants; their tickets serve for a while yet."""
        kept = {id(grant) for grant in grants}
        for key in [key for key in self._issued if key not in kept]:
            self._tickets.take_back(self._issued.pop(key)[1], GRACE_S)

    def close(self) -> None:
        """Take back all tickets; those for masks after a while, since the last strokes may be on their way."""
        for grant, token, _ in self._issued.values():
            self._tickets.take_back(token, GRACE_S if isinstance(grant, MaskGrant) else 0.0)
        self._issued.clear()
