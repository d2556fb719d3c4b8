"""What the app's own routes give and take, asked as a browser asks."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator

import anyio
import httpx
import nibabel as nib
import numpy as np
import pytest
from drawn_masks import body_of, mask_grant
from medseg_app.cookies import COOKIE
from medseg_app.routes import routes
from PIL import Image
from review_places import ANNA, CASE
from small_desk import MINE, ORIGIN, OWN, PRIVATE, asking, plain, post, small_desk
from starlette.applications import Starlette

from medseg.review.refusals import Refusal


@pytest.fixture
def desk(tmp_path):
    return small_desk(tmp_path)


@pytest.fixture
def ask(desk):
    return asking(desk)


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


def test_strokes_of_another_tab_are_not_replaced(desk, ask):
    for status in (200, 409):
        answer = post(ask, desk.ticket(mask_grant(desk.labels)), body_of(desk.labels))
        assert answer.status_code == status
    assert answer.json() == {"error": "you drew on this case elsewhere since"}
    assert desk.noted == [(Refusal.OVERTAKEN.value, CASE, ANNA.name)]


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
        client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)
        async with client, anyio.create_task_group() as group:
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
