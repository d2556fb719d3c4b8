"""The app's own routes, asked as a browser asks, and as others do."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import nibabel as nib
import numpy as np
import pytest
from drawn_masks import body_of, mask_grant, saved_by_browser, shown, small_case
from factories import full_disk
from medseg_app.cookies import COOKIE, BrowserCookie, holder_of
from medseg_app.routes import middleware, routes
from PIL import Image
from review_places import ANNA, CASE, KEY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from medseg.review.drafts import Drafts
from medseg.review.open_case import OpenCase
from medseg.review.refusals import Refusal, RefusalLog
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


@pytest.fixture
def desk(tmp_path):
    case = small_case()
    made = SmallDesk(
        tmp_path, case, shown(case, tmp_path / "shown"), Tickets(5, lambda: made.now), Drafts(tmp_path, KEY), []
    )
    return made


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(desk) -> Ask:
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


def test_voxels_are_sent_as_they_are(desk, ask):
    answer = ask("GET", f"/medseg/voxels/{desk.ticket(desk.voxels)}")
    assert answer.status_code == 200
    assert answer.content == desk.labels.served.path.read_bytes()
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-encoding"] == "identity"
    assert answer.headers.items() >= PRIVATE.items()
    found = nib.Nifti1Image.from_bytes(answer.content)
    assert np.array_equal(np.asanyarray(found.dataobj), desk.case.prediction.labels.array)
    assert not desk.noted


def test_a_part_of_the_voxels_may_be_asked_for(desk, ask):
    answer = ask("GET", f"/medseg/voxels/{desk.ticket(desk.voxels)}", headers=OWN | {"Range": "bytes=352-361"})
    assert (answer.status_code, answer.content) == (206, desk.labels.served.path.read_bytes()[352:362])


def test_slices_are_drawn(desk, ask):
    token = desk.ticket(desk.slices)
    answer = ask("GET", f"/medseg/slice/{token}/axial/3.png?low=-1000&high=1000&style=outline&hidden=1,4")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers.items() >= PRIVATE.items()
    assert Image.open(io.BytesIO(answer.content)).format == "PNG"
    plain = [ask("GET", f"/medseg/slice/{token}/coronal/3.png{query}").content for query in ("", "?style=none")]
    assert plain[0] != plain[1]


@pytest.mark.parametrize(
    "path",
    [
        "axial/3.jpg",
        "axial/-3.png",
        "axial/3.png.png",
        "axial/99999999999999999999.png",
        "axial/٣.png",
        "oblique/3.png",
        "axial/3.png?low=1",
        "axial/3.png?low=2&high=1",
        "axial/3.png?low=nan&high=1",
        "axial/3.png?low=0&high=inf",
        "axial/3.png?low=0&high=1e300",
        "axial/3.png?low=0&high=1_0;",
        "axial/3.png?style=glow",
        "axial/3.png?hidden=1,",
        "axial/3.png?hidden=-1",
        "axial/3.png?hidden=" + ",".join(["1"] * 1001),
    ],
)
def test_a_slice_that_is_asked_for_in_a_wrong_way_is_refused(desk, ask, path):
    answer = ask("GET", f"/medseg/slice/{desk.ticket(desk.slices)}/{path}")
    assert (answer.status_code, answer.json()) == (400, {"error": "not a valid request"})
    assert desk.noted[-1][0] == Refusal.MALFORMED.value


@pytest.mark.parametrize("path", ["axial/9.png", "sagittal/7.png", "coronal/999999.png"])
def test_there_is_no_such_slice(desk, ask, path):
    assert ask("GET", f"/medseg/slice/{desk.ticket(desk.slices)}/{path}").status_code == 404


def test_a_mask_becomes_a_draft(desk, ask):
    drawn = np.array(desk.labels.array())
    drawn[1:4] = 2
    answer = post(ask, desk.ticket(mask_grant(desk.labels)), body_of(desk.labels, drawn), 7)
    draft = desk.drafts.get(CASE, ANNA)
    assert (answer.status_code, answer.json()) == (200, {"sequence": 7, "sha256": draft.sha256})
    assert answer.headers.items() >= PRIVATE.items()
    assert np.array_equal(draft.labels.array, drawn)
    assert not desk.noted


def test_a_mask_may_come_in_parts(desk, ask):
    body = body_of(desk.labels)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    assert post(ask, desk.ticket(mask_grant(desk.labels)), parts()).status_code == 200


def test_a_replayed_mask_is_refused(desk, ask):
    token, body = desk.ticket(mask_grant(desk.labels)), body_of(desk.labels)
    assert [post(ask, token, body, number).status_code for number in (2, 2, 1, 3)] == [200, 409, 409, 200]
    assert desk.noted == [(Refusal.REPLAYED.value, CASE, ANNA.name)] * 2


ROUTES = ["voxels/{}", "slice/{}/axial/3.png", "mask/{}"]


def grants(desk) -> list[Grant]:
    return [desk.voxels, desk.slices, mask_grant(desk.labels)]


def sent(desk, ask, index: int, token: str, **more) -> httpx.Response:
    """A request that is all right but for the ticket, and what ``more`` says."""
    if ROUTES[index].startswith("mask"):
        headers = {"Content-Type": "application/gzip", "X-Medseg-Sequence": "1"} | more.pop("headers", OWN)
        return ask("POST", f"/medseg/mask/{token}", content=body_of(desk.labels), headers=headers, **more)
    return ask("GET", "/medseg/" + ROUTES[index].format(token), **more)


@pytest.mark.parametrize("index", range(3))
def test_tickets_that_do_not_serve(desk, ask, index):
    grant, other = grants(desk)[index], grants(desk)[index - 1]
    foreign, wrong = desk.ticket(grant, THEIRS), desk.ticket(other)
    revoked, expired = desk.ticket(grant), desk.ticket(grant)
    desk.tickets.take_back(revoked)
    for token, status in (("x" * 43, 404), (wrong, 404), (foreign, 403), (revoked, 410)):
        answer = sent(desk, ask, index, token)
        assert answer.status_code == status
        assert answer.headers.items() >= PRIVATE.items()
        assert set(answer.json()) == {"error"}
        assert not any(word in answer.text for word in (CASE, "browser", str(desk.folder), "Traceback"))
    desk.now += 301
    assert sent(desk, ask, index, expired).status_code == 410
    assert [why for why, _, _ in desk.noted] == [
        one.value for one in (Refusal.UNKNOWN, Refusal.OTHER_KIND, Refusal.FOREIGN, Refusal.REVOKED, Refusal.EXPIRED)
    ]
    assert desk.drafts.get(CASE, ANNA) is None


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("cookie", ["", THEIRS, "short", MINE[:-1], MINE + "m"])
def test_browsers_without_the_cookie(desk, ask, index, cookie):
    assert sent(desk, ask, index, desk.ticket(grants(desk)[index]), cookie=cookie).status_code == 403


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://review.example:8443"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://review.example.evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
def test_other_sites_get_nothing_even_with_a_ticket(desk, ask, index, headers):
    answer = sent(desk, ask, index, desk.ticket(grants(desk)[index]), headers=headers)
    assert (answer.status_code, answer.json()) == (403, {"error": "not allowed"})
    assert desk.noted == [(Refusal.OTHER_SITE.value, None, "unknown")]
    assert desk.drafts.get(CASE, ANNA) is None


@pytest.mark.parametrize("origin", [ORIGIN, ORIGIN.upper().replace("HTTPS", "https")])
def test_the_apps_own_origin_is_let_in(desk, ask, origin):
    assert sent(desk, ask, 0, desk.ticket(desk.voxels), headers=OWN | {"Origin": origin}).status_code == 200


def test_a_proxys_origin_is_let_in_if_it_is_named(desk):
    app = Starlette(routes=routes(desk, origins=["https://outside.example"]))
    for origin, status in (("https://outside.example", 200), ("https://other.example", 403)):
        headers = OWN | {"Origin": origin, "Cookie": f"{COOKIE}={MINE}"}
        assert plain(app, f"/medseg/voxels/{desk.ticket(desk.voxels)}", headers).status_code == status


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "voxels/x"), ("PUT", "mask/x"), ("GET", "mask/x"), ("DELETE", "slice/x/axial/1.png")]
)
def test_other_methods_do_nothing(desk, ask, method, path):
    assert ask(method, f"/medseg/{path}").status_code == 405


@pytest.mark.parametrize(
    ("number", "headers"),
    [
        ("", {}),
        ("one", {}),
        ("-1", {}),
        ("1e3", {}),
        ("9" * 16, {}),
        (1, {"X-Medseg-Sequence": None}),
        (1, {"Content-Type": "text/plain"}),
        (1, {"Content-Type": "application/x-www-form-urlencoded"}),
        (1, {"Content-Type": None}),
        (1, {"Content-Encoding": "gzip"}),
    ],
)
def test_a_mask_that_is_sent_in_a_wrong_way_is_refused(desk, ask, number, headers):
    assert post(ask, desk.ticket(mask_grant(desk.labels)), body_of(desk.labels), number, **headers).status_code == 400
    assert desk.noted == [(Refusal.MALFORMED.value, CASE, ANNA.name)]


def test_a_body_that_is_too_large_is_not_read(desk, ask):
    token, read = desk.ticket(mask_grant(desk.labels)), []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield bytes(2**14)

    assert post(ask, token, b"", **{"Content-Length": str(10**9)}).status_code == 413
    assert post(ask, token, b"", **{"Content-Length": "many"}).status_code == 400
    assert post(ask, token, endless()).status_code == 413
    assert len(read) <= 2**16 // 2**14 + 2
    assert [why for why, _, _ in desk.noted] == [
        one.value for one in (Refusal.TOO_LARGE, Refusal.MALFORMED, Refusal.TOO_LARGE)
    ]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((7, 8, 8), np.uint8), r"the mask has the shape (7, 8, 8), the case as it was shown has (7, 8, 9)"),
        (np.zeros((7, 8, 9), np.int16), "the mask is not of one byte a voxel (uint8)"),
        (
            np.full((7, 8, 9), 77, np.uint8),
            "the mask holds the value 77, which is no structure's; drawn may be 0, 1, 2",
        ),
    ],
)
def test_a_mask_that_does_not_fit_is_told_in_a_sentence(desk, ask, array, message):
    body = saved_by_browser(array, desk.labels.served.affine)
    answer = post(ask, desk.ticket(mask_grant(desk.labels)), body)
    assert (answer.status_code, answer.json()) == (422, {"error": message})
    assert desk.noted == [(Refusal.BAD_MASK.value, CASE, ANNA.name)]
    assert desk.drafts.get(CASE, ANNA) is None


def test_a_gzip_bomb_is_told_in_a_sentence(desk, ask):
    content = gzip.decompress(body_of(desk.labels)) + bytes(20 * 2**20)
    answer = post(ask, desk.ticket(mask_grant(desk.labels)), gzip.compress(content))
    assert (answer.status_code, answer.json()) == (422, {"error": "the mask holds more than the voxels of the case"})


def test_a_full_disk_is_told_and_the_mask_may_come_again(desk, ask):
    token, body = desk.ticket(mask_grant(desk.labels)), body_of(desk.labels)
    with full_disk(10):
        answer = post(ask, token, body)
    assert answer.status_code == 507
    assert "cannot write" in answer.json()["error"]
    assert post(ask, token, body).status_code == 200


def test_files_that_went_while_the_case_was_open(desk, ask):
    tokens, body = [desk.ticket(one) for one in (desk.voxels, mask_grant(desk.labels))], body_of(desk.labels)
    desk.labels.served.path.unlink()
    assert ask("GET", f"/medseg/voxels/{tokens[0]}").status_code == 410
    assert post(ask, tokens[1], body).status_code == 410


def test_a_failure_of_our_own_says_nothing(desk, ask, monkeypatch, caplog):
    monkeypatch.setattr("medseg_app.routes.draw_slice", lambda *_: (_ for _ in ()).throw(KeyError(str(desk.folder))))
    answer = ask("GET", f"/medseg/slice/{desk.ticket(desk.slices)}/axial/3.png")
    assert (answer.status_code, answer.json()) == (500, {"error": "the server failed; it is in its log"})
    assert answer.headers.items() >= PRIVATE.items()
    assert "KeyError" in caplog.text
    assert str(desk.folder) not in caplog.text


def test_one_request_does_not_wait_for_another(desk, monkeypatch):
    """A slice is drawn for as long as voxels are not sent."""
    were_sent = threading.Event()
    monkeypatch.setattr("medseg_app.routes.draw_slice", lambda *_: b"late" if were_sent.wait(30) else b"never")
    app, headers = Starlette(routes=routes(desk)), OWN | {"Cookie": f"{COOKIE}={MINE}"}
    slow, quick = f"/medseg/slice/{desk.ticket(desk.slices)}/axial/3.png", f"/medseg/voxels/{desk.ticket(desk.voxels)}"
    answers = []

    async def both() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(get, client, slow)
                await get(client, quick)
                were_sent.set()

    async def get(client: httpx.AsyncClient, path: str) -> None:
        answers.append((await client.get(path)).content)

    anyio.run(both)
    assert answers == [desk.labels.served.path.read_bytes(), b"late"]


def test_the_path_under_which_the_app_is_served(desk):
    app = Starlette(routes=routes(desk, base="/apps/review/"))
    headers = OWN | {"Cookie": f"{COOKIE}={MINE}"}
    token = desk.ticket(desk.voxels)
    assert plain(app, f"/apps/review/medseg/voxels/{token}", headers).status_code == 200
    assert plain(app, f"/medseg/voxels/{token}", headers).status_code == 404


def test_the_viewers_own_files_may_be_kept_for_ever(desk, tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "viewer-1.js").write_text("1")
    app = Starlette(routes=routes(desk, assets=tmp_path / "assets"))
    answer = plain(app, "/medseg/viewer/viewer-1.js", {})
    assert (answer.status_code, answer.text) == (200, "1")
    assert answer.headers.items() >= (PRIVATE | {"cache-control": "public, max-age=31536000, immutable"}).items()
    for name in ("none.js", "..%2Fimage.nii", "%2e%2e", ".", ""):
        assert plain(app, f"/medseg/viewer/{name}", {}).status_code == 404


def plain(app, path: str, headers: dict[str, str], scheme="https") -> httpx.Response:
    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"{scheme}://review.example"
        ) as client:
            return await client.get(path, headers=headers)

    return anyio.run(answer)


async def _page(_request) -> PlainTextResponse:
    return PlainTextResponse("page", headers={"set-cookie": "other=1"})


PAGES = BrowserCookie(Starlette(routes=[Route("/", _page)]))


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


def test_without_tls_the_cookie_is_sent_all_the_same():
    assert "Secure" not in plain(PAGES, "/", {}, "http").headers.get_list("set-cookie")[1]


@pytest.mark.parametrize("value", ["", "x", "x" * 44, "x" * 42 + ";", "x" * 42 + "é"])
def test_other_values_are_nobodys(value):
    assert holder_of({COOKIE: value}) == holder_of({}) == ""
