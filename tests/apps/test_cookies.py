"""The cookie that tickets are bound to."""

from __future__ import annotations

import pytest
from medseg_app.cookies import COOKIE, BrowserCookie, holder_of
from small_desk import MINE, OWN, plain
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def _page(_request) -> PlainTextResponse:
    return PlainTextResponse("page", headers={"set-cookie": "other=1"})


PAGES = BrowserCookie(Starlette(routes=[Route("/", _page), Route("/_stcore/host-config", _page)]))


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Dest": "document"}, {"Cookie": f"{COOKIE}=chosen"}])
def test_a_browser_gets_its_cookie_with_the_first_page(headers):
    answer = plain(PAGES, "/", headers)
    other, cookie = answer.headers.get_list("set-cookie")
    assert other == "other=1"
    value, *flags = cookie.split("; ")
    assert set(flags) == {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"}
    name, _, value = value.partition("=")
    assert holder_of({name: value}) == value
    assert plain(PAGES, "/", headers).headers.get_list("set-cookie")[1] != cookie


@pytest.mark.parametrize("headers", [{"Cookie": f"a=b; {COOKIE}={MINE}"}, {"Sec-Fetch-Dest": "script"}])
def test_a_browser_that_has_it_or_loads_no_page_gets_none(headers):
    assert plain(PAGES, "/", headers).headers.get_list("set-cookie") == ["other=1"]


def test_a_link_to_the_app_does_not_replace_the_cookie():
    """It is not sent along a link, so it is what the page asks for next that shows whether it is there."""
    link = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
    assert plain(PAGES, "/", link).headers.get_list("set-cookie") == ["other=1"]
    asked = OWN | {"Cookie": f"{COOKIE}={MINE}"}
    assert len(plain(PAGES, "/_stcore/host-config", OWN).headers.get_list("set-cookie")) == 2
    assert len(plain(PAGES, "/_stcore/host-config", asked).headers.get_list("set-cookie")) == 1


def test_without_tls_the_cookie_is_sent_all_the_same():
    assert "Secure" not in plain(PAGES, "/", {}, "http").headers.get_list("set-cookie")[1]


@pytest.mark.parametrize("value", ["", "x", "x" * 44, "x" * 42 + ";", "x" * 42 + "é"])
def test_other_values_are_nobodys(value):
    assert holder_of({COOKIE: value}) == holder_of({}) == ""
