"""The browser's own cookie, which tickets are bound to."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "medseg_browser"
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_BYTES = 32
_PAGES = ("document", "iframe", None)


def holder_of(cookies: Mapping[str, str]) -> str:
    """Who a browser is among browsers; empty if it sent no cookie of ours."""
    value = cookies.get(COOKIE, "")
    return value if _VALUE.fullmatch(value) else ""


class BrowserCookie:
    """Gives each browser a random cookie with the first page that it loads.

    It lasts as long as the browser runs. Scripts cannot read it, and other sites cannot make it be sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the cookie to the answer where it is lacking."""
        if scope["type"] != "http" or not _needs_cookie(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return

        async def sent_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", _cookie(is_secure=scope.get("scheme") == "https"))
            await send(message)

        await self._app(scope, receive, sent_with_cookie)


def _needs_cookie(request: HTTPConnection) -> bool:
    """Whether a browser without the cookie loads a page; what it loads at the same time must not get another one."""
    return not holder_of(request.cookies) and request.headers.get("sec-fetch-dest") in _PAGES


def _cookie(*, is_secure: bool) -> str:
    value = f"{COOKIE}={secrets.token_urlsafe(_BYTES)}; HttpOnly; SameSite=Strict; Path=/"
    return f"{value}; Secure" if is_secure else value
