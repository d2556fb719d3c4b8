"""What requests ask for, checked before anything is done."""

from __future__ import annotations

import re
from collections.abc import Collection
from math import isfinite
from typing import IO
from urllib.parse import urlsplit

import anyio
from starlette.requests import Request

from medseg.render.slices import Plane, Window
from medseg.review.refusals import Refusal, Refused
from medseg.review.slices import Look, Style

_GZIP = ("application/gzip", "application/x-gzip")
_BODY_S = 120.0
_INDEX = re.compile(r"(\d{1,6})\.png", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_VALUES = re.compile(r"(\d{1,5}(,\d{1,5}){0,999})?", re.ASCII)
_LARGEST_EDGE = 1e9


def check_own_page(request: Request, origins: Collection[str]) -> None:
    """Do nothing if a page of the app itself asks: its browser says so, and names no origin but the host that it asks.

    Args:
        request: The request.
        origins: Addresses that count as the host's too.

    Raises:
        Refused: If another site asks, or the browser does not say who.
    """
    headers = request.headers
    host = headers.get("host", "").lower()
    own = all(
        origin in origins or (host and urlsplit(origin).netloc.lower() == host) for origin in headers.getlist("origin")
    )
    if headers.getlist("sec-fetch-site") != ["same-origin"] or not own:
        raise Refused(Refusal.OTHER_SITE)


def asked_slice(request: Request) -> tuple[Plane, int, Look]:
    """Which slice is asked for, and how it is to look.

    Raises:
        Refused: If something of it is not as it has to be.
    """
    query = request.query_params
    plane = request.path_params["plane"].upper()
    name, hidden = _INDEX.fullmatch(request.path_params["name"]), query.get("hidden", "")
    style = query.get("style", Style.FILL)
    if name is None or plane not in Plane.__members__ or style not in list(Style) or not _VALUES.fullmatch(hidden):
        raise Refused(Refusal.MALFORMED)
    values = frozenset(map(int, hidden.split(","))) if hidden else frozenset()
    return Plane[plane], int(name[1]), Look(_window(query.get("low"), query.get("high")), Style(style), values)


def asked_number(request: Request) -> int:
    """The number of the mask that is sent.

    Raises:
        Refused: If there is none, or the body is not said to be gzip.
    """
    number = request.headers.get("x-medseg-sequence", "")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _GZIP or "content-encoding" in request.headers or not _NUMBER.fullmatch(number):
        raise Refused(Refusal.MALFORMED)
    return int(number)


async def receive_body(request: Request, into: IO[bytes], largest: int) -> None:
    """Read the body, as far as it may go.

    Raises:
        Refused: If it is or says that it is larger than ``largest`` bytes, or does not come for two minutes.
    """
    declared = request.headers.get("content-length", "0")
    if not _NUMBER.fullmatch(declared):
        raise Refused(Refusal.MALFORMED)
    size = 0
    with anyio.move_on_after(_BODY_S) as patience:
        if int(declared) > largest:
            raise Refused(Refusal.TOO_LARGE)
        async for part in request.stream():
            size += len(part)
            if size > largest:
                raise Refused(Refusal.TOO_LARGE)
            into.write(part)
    if patience.cancelled_caught:
        raise Refused(Refusal.MALFORMED)


def _window(low: str | None, high: str | None) -> Window | None:
    """The window that is asked for; None for the view's own."""
    if low is None and high is None:
        return None
    try:
        window = Window(float(low or ""), float(high or ""))
    except ValueError:
        raise Refused(Refusal.MALFORMED) from None
    edges = (window.low, window.high)
    if not all(isfinite(edge) and abs(edge) <= _LARGEST_EDGE for edge in edges) or window.low >= window.high:
        raise Refused(Refusal.MALFORMED)
    return window
