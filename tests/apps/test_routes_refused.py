"""What the app's own routes refuse, and in what words."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import httpx
import numpy as np
import pytest
from drawn_masks import body_of, mask_grant, saved_by_browser
from factories import full_disk
from medseg_app.cookies import COOKIE
from medseg_app.routes import routes
from review_places import ANNA, CASE
from small_desk import MINE, ORIGIN, OWN, PRIVATE, THEIRS, asking, plain, post, small_desk
from starlette.applications import Starlette

from medseg.review.refusals import Refusal
from medseg.review.tickets import Grant


@pytest.fixture
def desk(tmp_path):
    return small_desk(tmp_path)


@pytest.fixture
def ask(desk):
    return asking(desk)


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
    grants, body = (desk.voxels, mask_grant(replace(desk.labels))), body_of(desk.labels)
    tokens = [desk.ticket(one) for one in grants]
    desk.labels.served.path.unlink()
    assert ask("GET", f"/medseg/voxels/{tokens[0]}").status_code == 410
    assert post(ask, tokens[1], body).status_code == 410


def stalled(desk, *messages: dict[str, object]) -> list[dict[str, object]]:
    """What the app answers to a mask whose body stops after some messages."""
    app, answers, left = Starlette(routes=routes(desk)), [], list(messages)
    headers = OWN | {"Cookie": f"{COOKIE}={MINE}", "Content-Type": "application/gzip", "X-Medseg-Sequence": "1"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/medseg/mask/{desk.ticket(mask_grant(desk.labels))}",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, object]:
        if not left:
            await anyio.sleep_forever()
        return left.pop(0)

    async def send(message: dict[str, object]) -> None:
        answers.append(message)

    anyio.run(app, scope, receive, send)
    return answers


def test_a_body_that_does_not_come_is_not_waited_for(desk, monkeypatch):
    monkeypatch.setattr("medseg_app.asked._BODY_S", 0.05)
    assert stalled(desk, {"type": "http.request", "body": b"\x1f", "more_body": True})[0]["status"] == 400
    assert desk.noted == [(Refusal.MALFORMED.value, CASE, ANNA.name)]


def test_a_browser_that_goes_away_in_mid_stroke_leaves_the_draft_as_it_was(desk):
    part = {"type": "http.request", "body": body_of(desk.labels)[:50], "more_body": True}
    assert stalled(desk, part, {"type": "http.disconnect"})[0]["status"] == 400
    assert desk.drafts.get(CASE, ANNA) is None
    assert not desk.noted
