"""The app's routes with a small desk behind them, and ways to ask them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
from drawn_masks import shown, small_case
from medseg_app.cookies import COOKIE
from medseg_app.routes import middleware, routes
from review_places import CASE, KEY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from medseg.review.drafts import Drafts
from medseg.review.open_case import OpenCase
from medseg.review.refusals import RefusalLog
from medseg.review.served import ServedLabels
from medseg.review.slices import SliceView
from medseg.review.tickets import Grant, SliceGrant, Tickets, VoxelGrant

ORIGIN = "https://review.example"
OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
PRIVATE = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
MINE, THEIRS = "m" * 43, "t" * 43


@dataclass
class SmallDesk:
    """What the routes need, and what they did."""

    folder: Path
    case: OpenCase
    labels: ServedLabels
    tickets: Tickets
    drafts: Drafts
    noted: list[tuple[str, str | None, str]]
    now: float = 0.0

    @property
    def refusals(self) -> RefusalLog:
        return RefusalLog(lambda _, who, case, facts: self.noted.append((facts["what"], case, who.name)))

    def ticket(self, grant: Grant, holder=MINE) -> str:
        return self.tickets.issue(holder, grant)

    @property
    def voxels(self) -> VoxelGrant:
        return VoxelGrant(CASE, self.labels.served.path)

    @property
    def slices(self) -> SliceGrant:
        return SliceGrant(CASE, SliceView.of(self.case.volume, self.case.prediction))


def small_desk(folder: Path) -> SmallDesk:
    """A desk with one case, whose tickets serve for five minutes of its own clock."""
    case = small_case()
    drafts = Drafts(folder, KEY)
    made = SmallDesk(folder, case, shown(case, folder / "shown"), Tickets(5, lambda: made.now), drafts, [])
    return made


Ask = Callable[..., httpx.Response]


def asking(desk: SmallDesk) -> Ask:
    """Ask the app, with gzip about it as Streamlit has, as the browser that holds the tickets."""
    app = Starlette(routes=routes(desk), middleware=[*middleware(desk), Middleware(GZipMiddleware)])

    def asked(method: str, path: str, cookie=MINE, headers=OWN, **more) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies={COOKIE: cookie}) as client:
                return await client.request(method, path, headers=headers, **more)

        return anyio.run(answer)

    return asked


def post(ask: Ask, token: str, body, number: object = 1, **headers) -> httpx.Response:
    """A mask, as the viewer sends it."""
    own = OWN | {"Content-Type": "application/gzip", "X-Medseg-Sequence": str(number), "Origin": ORIGIN} | headers
    return ask("POST", f"/medseg/mask/{token}", headers={k: v for k, v in own.items() if v is not None}, content=body)


def plain(app, path: str, headers: dict[str, str], scheme="https") -> httpx.Response:
    """One request with just these headers."""

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"{scheme}://review.example"
        ) as client:
            return await client.get(path, headers=headers)

    return anyio.run(answer)
