"""One simulated user of the review app, who comes, works and goes."""

from __future__ import annotations

import asyncio
import html
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from review_client import Browser, Run, Tab, TroubleError
from review_deeds import Deeds
from review_ledger import Ledger, Marks
from websockets.exceptions import WebSocketException

THINK_S = (0.5, 2.5)
"""Shortest and longest pause between two things that somebody does."""
_LOADS_ANEW = 0.03
_BEGINNING = ("upload", "open_own", "draw", "open_shared", "draw", "decide", "open_own", "pry")
"""What everybody does in each visit, in the first one even if the time is over."""
_WEIGHTS = {
    "list": 3, "open_shared": 4, "open_own": 3, "look": 6, "draw": 4, "panel": 4, "decide": 2, "help": 1, "pry": 1,
}  # fmt: skip


@dataclass
class World:
    """What all share.

    Attributes:
        url: Of the app.
        until: When to stop, by ``time.monotonic``.
        ledger: Who was sent what.
        loot: By owner, what others may try to get.
    """

    url: str
    until: float
    ledger: Ledger = field(default_factory=Ledger)
    loot: dict[int, list[str]] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.until


@dataclass
class Person:
    """Somebody with a browser.

    Attributes:
        number: Who.
        world: Where.
        runs: Of the app's pages.
        done: How often each thing was done.
        errors: What went wrong.
        refused: How often prying did not succeed.
    """

    number: int
    world: World
    runs: list[Run] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._marks, self._rng = Marks.of(self.number), random.Random(self.number)
        self._drawn = set[str]()
        self.world.ledger.owners.update(dict.fromkeys(self._marks.all, self.number))

    async def live(self) -> None:
        """Come, work until the time is over, and go."""
        ledger = self.world.ledger
        async with Browser(self.world.url, lambda data: ledger.hear(self.number, data)) as browser:
            await self._tried("sign in", lambda: self._sign_in(browser))
            await self._tried("visit", lambda: self._visit(browser, len(_BEGINNING)))
            while not self.world.is_over:
                await self._tried("visit", lambda: self._visit(browser, 0))

    async def _sign_in(self, browser: Browser) -> None:
        """By the OpenID provider, whose page offers every address."""
        tab = await Tab.open(browser)
        await tab.press("sign in", "Sign in")
        await tab.close()
        self.runs += tab.runs
        page = await browser.load(tab.page.redirect)
        links = map(html.unescape, re.findall(r'href="([^"]+)"', page.text))
        mine = next(link for link in links if link.endswith(f"email={self._marks.address.replace('@', '%40')}"))
        await browser.load(str(page.url.join(mine)))

    async def _visit(self, browser: Browser, least: int) -> None:
        """Do one thing after another in a new tab, until it is loaded anew.

        Args:
            browser: Whose tab.
            least: So many things are done even if the time is over.
        """
        tab = await Tab.open(browser)
        deeds = Deeds(self.number, self._marks, browser, tab, self._rng, self.world.loot, self._drawn)
        try:
            for count, name in enumerate(self._things()):
                if count >= least and self.world.is_over:
                    break
                await self._tried(name, getattr(deeds, name))
                await asyncio.sleep(self._rng.uniform(*THINK_S))
        finally:
            self.runs += tab.runs
            self.refused += deeds.refused
            await tab.close()

    def _things(self) -> list[str]:
        """What is done in a visit, in its order."""
        count = 1 + int(self._rng.expovariate(_LOADS_ANEW))
        return [*_BEGINNING, *self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=count)]

    async def _tried(self, name: str, thing: Callable[[], Awaitable[object]]) -> None:
        try:
            await thing()
            self.done[name] += 1
        except (TroubleError, httpx.HTTPError, WebSocketException) as error:
            self.errors.append(f"{name}: {type(error).__name__}: {error}")
            await asyncio.sleep(1)
