"""The app's own HTTP routes: voxels and drawn slices to the browser, masks back.

::

    GET  /medseg/voxels/{token}                        a raw NIfTI file
    GET  /medseg/slice/{token}/{plane}/{index}.png     ?low=&high=&style=fill|outline|none&hidden=1,4
    POST /medseg/mask/{token}                          a gzipped NIfTI file; X-Medseg-Sequence counts up
    GET  /medseg/viewer/{file}                         the viewer's own files

These requests pass no login. They are let in by a ticket, which serves one browser, and only from the app's own pages:
browsers say so over HTTPS and on this machine, and a request that does not say so is refused. The audit log hears of
what is refused; who asked is told in a few words that tell nothing new.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from medseg_app.asked import asked_number, asked_slice, check_own_page, receive_body
from medseg_app.cookies import BrowserCookie, holder_of
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from medseg.core.errors import DataError, InputError, OutputError
from medseg.review.drafts import Drafts
from medseg.review.masks import StoredMask, largest_body, receive_mask
from medseg.review.records import CaseName, Reader
from medseg.review.refusals import Refusal, RefusalLog, Refused
from medseg.review.slices import draw_slice
from medseg.review.tickets import MaskGrant, SliceGrant, Tickets, VoxelGrant

_LOG = logging.getLogger(__name__)
_PRIVATE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PUBLIC = {**_PRIVATE, "Cache-Control": "public, max-age=31536000, immutable"}
_ANSWERS: Mapping[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN: (404, "not found"),
    Refusal.OTHER_KIND: (404, "not found"),
    Refusal.FOREIGN: (403, "not allowed"),
    Refusal.OTHER_SITE: (403, "not allowed"),
    Refusal.EXPIRED: (410, "this case was opened too long ago; open it again"),
    Refusal.REVOKED: (410, "this case is no longer open here; open it again"),
    Refusal.REPLAYED: (409, "a later state of this mask is kept already"),
    Refusal.OVERTAKEN: (409, "you drew on this case elsewhere since"),
    Refusal.TOO_LARGE: (413, "too large"),
    Refusal.MALFORMED: (400, "not a valid request"),
}
_IN_MEMORY = 4 * 2**20
_MOST_DRAWN, _MOST_MASKS = 4, 2
_Work = Callable[[Request], Awaitable[Response]]


class Desk(Protocol):
    """What the routes need of the desk."""

    @property
    def tickets(self) -> Tickets:
        """Those that are out."""

    @property
    def drafts(self) -> Drafts:
        """Where masks go."""

    @property
    def refusals(self) -> RefusalLog:
        """Told of what was refused."""


def routes(desk: Desk, *, base: str = "", assets: Path | None = None, origins: Collection[str] = ()) -> list[Route]:
    """The routes, for a server that carries them beside Streamlit's.

    Args:
        desk: What they work with.
        base: Path under which the app is served (``server.baseUrlPath``).
        assets: Folder of the viewer's files; None for none.
        origins: Addresses such as ``https://review.example`` by which pages are reached through a proxy that names
            another host to us.
    """
    door, root = _Door(desk, frozenset(origins)), f"/{base.strip('/')}" if base.strip("/") else ""
    found = [
        Route(f"{root}/medseg/voxels/{{token}}", door.guarded(door.voxels)),
        Route(f"{root}/medseg/slice/{{token}}/{{plane}}/{{name}}", door.guarded(door.slice)),
        Route(f"{root}/medseg/mask/{{token}}", door.guarded(door.mask), methods=["POST"]),
    ]
    return found if assets is None else [*found, Route(f"{root}/medseg/viewer/{{name}}", partial(_asset, assets))]


def middleware(_desk: Desk) -> list[Middleware]:
    """What every request passes first: it gives browsers the cookie that tickets are bound to."""
    return [Middleware(BrowserCookie)]


class _Voxels(FileResponse):
    """A file in large parts, which the server's gzip leaves alone: packing would take longer than sending."""

    chunk_size = 2**20

    def __init__(self, grant: VoxelGrant, facts: os.stat_result) -> None:
        super().__init__(grant.path, media_type=grant.media_type, stat_result=facts)
        self.headers["Content-Encoding"] = "identity"


class _Door:
    """Lets requests in, or tells why not."""

    def __init__(self, desk: Desk, origins: frozenset[str]) -> None:
        self._desk, self._origins = desk, origins
        self._drawing, self._storing = CapacityLimiter(_MOST_DRAWN), CapacityLimiter(_MOST_MASKS)

    def guarded(self, work: _Work) -> _Work:
        """Work that is done for the app's own pages only, and fails in few words."""

        async def answer(request: Request) -> Response:
            try:
                response = await self._admitted(request, work)
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - its text and its traceback may say anything
                _LOG.error("a request failed by %s", type(error).__name__)
                response = _told(500, "the server failed; it is in its log")
            response.headers.update(_PRIVATE)
            return response

        return answer

    async def _admitted(self, request: Request, work: _Work) -> Response:
        try:
            check_own_page(request, self._origins)
            return await work(request)
        except Refused as refused:
            await self._note(refused.why, refused.case)
            return _told(*_ANSWERS[refused.why])
        except InputError:
            return _told(404, "not found")
        except OutputError as error:
            return _told(507, str(error))

    async def voxels(self, request: Request) -> Response:
        """A file of voxels."""
        grant = self._desk.tickets.redeem(request.path_params["token"], holder_of(request.cookies), VoxelGrant)
        try:
            return _Voxels(grant, await to_thread.run_sync(grant.path.stat))
        except FileNotFoundError:
            raise Refused(Refusal.REVOKED, grant.case) from None

    async def slice(self, request: Request) -> Response:
        """A drawn slice."""
        grant = self._desk.tickets.redeem(request.path_params["token"], holder_of(request.cookies), SliceGrant)
        plane, index, look = asked_slice(request)
        drawn = await to_thread.run_sync(draw_slice, grant.view, plane, index, grant.look(look), limiter=self._drawing)
        return Response(drawn, media_type="image/png")

    async def mask(self, request: Request) -> Response:
        """Take a mask."""
        grant = self._desk.tickets.redeem(request.path_params["token"], holder_of(request.cookies), MaskGrant)
        try:
            stored = await self._stored(request, grant)
        except (Refused, InputError, FileNotFoundError) as error:  # without Refused: its files went while this came
            why = error.why if isinstance(error, Refused) else Refusal.REVOKED
            await self._note(why, grant.case, grant.reader)
            return _told(*_ANSWERS[why])
        except DataError as error:
            await self._note(Refusal.BAD_MASK, grant.case, grant.reader)
            return _told(422, str(error))
        return JSONResponse({"sequence": stored.sequence, "sha256": stored.sha256})

    async def _stored(self, request: Request, grant: MaskGrant) -> StoredMask:
        number = asked_number(request)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(grant.shown.served.path.parent)) as body:
            await receive_body(request, body, largest_body(grant.shown))
            body.seek(0)
            work = partial(receive_mask, grant, body, number, self._desk.drafts)
            return await to_thread.run_sync(work, limiter=self._storing)

    async def _note(self, why: Refusal, case: CaseName | None, reader: Reader | None = None) -> None:
        await to_thread.run_sync(self._desk.refusals.note, why, case, reader)


def _told(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


async def _asset(folder: Path, request: Request) -> Response:
    """One of the viewer's own files, whose names change with what is in them."""
    name = request.path_params["name"]
    if name not in await to_thread.run_sync(os.listdir, folder):
        return _told(404, "not found")
    return FileResponse(folder / name, headers=dict(_PUBLIC))
