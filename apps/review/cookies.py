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
_FOLLOWED_LINKS = ("cross-site", "same-site")
_BEFORE_CONNECTING = "/_stcore/host-config"
"""What Streamlit's page asks for, once, before it opens its connection."""


def holder_of(cookies: Mapping[str, str]) -> str:
    """Who a browser is among browsers; empty if it sent no cookie of ours."""
    value = cookies.get(COOKIE, "")
    return value if _VALUE.fullmatch(value) else ""


class BrowserCookie:
    """Gives each browser a random cookie when it first loads the app.

    It lasts as long as the browser runs. Scripts cannot read it, and other sites cannot make it be sent: not even by a
    link to the app. So a page that was reached by a link does not tell whether the browser has the cookie; what the
    page itself asks for then does.
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
    """Whether a browser that lacks the cookie begins; what it loads at the same time must not get another one."""
    if holder_of(request.cookies):
        return False
    if request.url.path.endswith(_BEFORE_CONNECTING):
        return True
    headers = request.headers
    return headers.get("sec-fetch-dest") in _PAGES and headers.get("sec-fetch-site") not in _FOLLOWED_LINKS


def _cookie(*, is_secure: bool) -> str:
    value = f"{COOKIE}={secrets.token_urlsafe(_BYTES)}; HttpOnly; SameSite=Strict; Path=/"
    return f"{value}; Secure" if is_secure else value
