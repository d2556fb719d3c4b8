"""Who is there, and what is kept in memory for them: let go when they have left for good."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
GRACE_S = 120.0
"""How long somebody may be away, for a reload or a bad line, before they count as gone."""


class Visits:
    """Sessions of the app; safe among threads.

    A browser that loses its connection often comes back at once. Only who stays away for a while has left.
    """

    def __init__(self, when_gone: Callable[[str], None], grace_s: float = GRACE_S) -> None:
        """Nobody is there yet.

        Args:
            when_gone: Called once for each session that has left.
            grace_s: How long to wait for it.
        """
        self._when_gone, self._grace_s = when_gone, grace_s
        self._here: set[str] = set()
        self._away: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()

    def here(self, number: str) -> None:
        """A session is there, for the first time or again."""
        with self._lock:
            self._here.add(number)
            timer = self._away.pop(number, None)
        if timer is not None:
            timer.cancel()

    def lost(
        self,
        number: str,
        then: Callable[[], object] | None = None,
        is_connected: Callable[[], bool] = lambda: False,
    ) -> None:
        """The connection to a session is lost.

        Args:
            number: Of the session.
            then: Called too if it has left.
            is_connected: Whether it has a connection again. One that only looks does not say that it is here; it is
                asked again after another while.
        """
        with self._lock:
            if number in self._here and number not in self._away:
                self._wait(number, then, is_connected)

    def close(self) -> None:
        """Everybody has left."""
        with self._lock:
            for timer in self._away.values():
                timer.cancel()
            numbers = list(self._here)
            self._away, self._here = {}, set()
        for number in numbers:
            self._when_gone(number)

    def _wait(self, number: str, then: Callable[[], object] | None, is_connected: Callable[[], bool]) -> None:
        """Give a session a while; the caller holds the lock."""
        timer = threading.Timer(self._grace_s, self._leave, [number, then, is_connected])
        timer.daemon = True
        self._away[number] = timer
        timer.start()

    def _leave(self, number: str, then: Callable[[], object] | None, is_connected: Callable[[], bool]) -> None:
        with self._lock:
            if self._away.pop(number, None) is None:
                return  # it came back while the timer ran
            if is_connected():
                self._wait(number, then, is_connected)
                return
            self._here.discard(number)
        self._when_gone(number)
        if then is not None:
            then()


@dataclass(eq=False)
class _Promise(Generic[T]):
    """A thing that somebody reads, or will."""

    future: Future[T] = field(default_factory=Future)
    is_taken: bool = False


class Kept(Generic[T]):
    """Things that are slow to read and large, each kept while a session wants it; safe among threads.

    What several sessions want is read once and kept once. A session keeps its last few.
    """

    def __init__(self, when_dropped: Callable[[T], None] = lambda _: None, most: int = 2) -> None:
        """Nothing is kept yet.

        Args:
            when_dropped: Called with each thing that is let go.
            most: How many things one session keeps.
        """
        self._when_dropped, self._most = when_dropped, most
        self._things: dict[Hashable, _Promise[T]] = {}
        self._wanted: dict[str, OrderedDict[Hashable, None]] = {}
        self._lock = threading.Lock()
        self._ahead = ThreadPoolExecutor(1, "medseg-ahead")

    def get(self, session: str, key: Hashable, read: Callable[[], T]) -> T:
        """The thing of ``key``; read by ``read`` if it is not there, waited for if somebody else reads it.

        Raises:
            Exception: Whatever ``read`` raises; then nothing is kept.
        """
        thing = self._want(session, key, is_next=False)
        self._read(key, thing, read)
        return thing.future.result()

    def prepare(self, session: str, key: Hashable, read: Callable[[], T]) -> None:
        """Read the thing of ``key`` in the background; if that fails, ``get`` will tell."""
        thing = self._want(session, key, is_next=True)
        if not thing.is_taken:
            self._ahead.submit(self._read, key, thing, read)

    def release(self, session: str) -> None:
        """Forget a session, and what nobody else wants."""
        with self._lock:
            self._wanted.pop(session, None)
            unwanted = self._unwanted()
        self._let_go(*unwanted)

    def drop(self, key: Hashable) -> None:
        """Forget a thing that is no longer as it was read."""
        with self._lock:
            thing = self._things.pop(key, None)
        if thing is not None:
            self._let_go(thing)

    def close(self) -> None:
        """Forget everything."""
        self._ahead.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._wanted.clear()
            unwanted = self._unwanted()
        self._let_go(*unwanted)

    def __len__(self) -> int:
        return len(self._things)

    def _want(self, session: str, key: Hashable, *, is_next: bool) -> _Promise[T]:
        """Note that a session wants a thing; let go of what it wanted longest ago, never of what it has before it."""
        with self._lock:
            wanted = self._wanted.setdefault(session, OrderedDict())
            current = next(reversed(wanted), key) if is_next else key
            wanted[key] = None
            wanted.move_to_end(current)
            while len(wanted) > self._most:
                wanted.popitem(last=False)
            unwanted = self._unwanted()
            thing = self._things.setdefault(key, _Promise())
        self._let_go(*unwanted)
        return thing

    def _read(self, key: Hashable, thing: _Promise[T], read: Callable[[], T]) -> None:
        """Read a thing, unless somebody does or nobody wants it any more."""
        with self._lock:
            if thing.is_taken:
                return
            thing.is_taken = True
        try:
            thing.future.set_result(read())
        except BaseException as error:  # noqa: BLE001 - whoever waits has to be told
            with self._lock:
                if self._things.get(key) is thing:
                    del self._things[key]
            thing.future.set_exception(error)

    def _unwanted(self) -> list[_Promise[T]]:
        """Take out what nobody wants any more; the caller holds the lock."""
        wanted = {key for keys in self._wanted.values() for key in keys}
        return [self._things.pop(key) for key in list(self._things) if key not in wanted]

    def _let_go(self, *things: _Promise[T]) -> None:
        """Tell of what was dropped, as soon as it is there."""
        for thing in things:
            thing.future.add_done_callback(self._tell)

    def _tell(self, read: Future[T]) -> None:
        if read.exception() is None:
            self._when_dropped(read.result())
