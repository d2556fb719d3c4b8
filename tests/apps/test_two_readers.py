"""Two people at one server, each in a browser of their own: what is one's own stays so, and nothing is lost."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

pytest.importorskip("streamlit")

from app_server import running_app
from app_tab import tab_of
from browsers import running_browser
from oidc_provider import running_provider
from phantom_cases import LIVER, SPLEEN, write_phantoms

from medseg.config.review import LoginSection, Role
from medseg.core.pseudonyms import load_key
from medseg.io.formats import write_volume
from medseg.phantom.bodies import torso
from medseg.review.store import read_store

pytestmark = pytest.mark.browser
ANN, BOB = "ann@clinic.example", "bob@clinic.example"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), ())


@pytest.fixture(scope="module")
def config(phantoms):
    return phantoms.config.model_copy(update={"login": LoginSection(readers={"*@clinic.example": Role.READER})})


@pytest.fixture(scope="module")
def app(config, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("app"), free_port()
    with running_provider(ANN, BOB) as provider:
        (folder / "secrets.toml").write_text(provider.secrets_toml(f"http://127.0.0.1:{port}"))
        with running_app(config, folder, port) as running:
            yield running
    assert not [line for line in running.said if "ERROR" in line]


@pytest.fixture(scope="module")
def tabs(app):
    """A tab of each reader."""
    with running_browser() as browser, tab_of(browser, app.url) as ann, tab_of(browser, app.url) as bob:
        for tab, address in ((ann, ANN), (bob, BOB)):
            tab.sign_in(address)
        yield ann, bob


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def test_an_upload_is_seen_by_who_brought_it_alone(tabs, tmp_path):
    ann, bob = tabs
    image = tmp_path / "Jane Doe.nii.gz"
    write_volume(image, torso(9, (32, 32, 16), (12.0, 12.0, 14.0)).image)
    ann.go("upload")
    ann.choose("Files or archives")
    ann.page.locator("input[type=file]").set_input_files(image)
    ann.see(ann.button("Take them in"))
    ann.click("Take them in")
    ann.read("Your uploads")
    row = ann.page.locator("[class*='st-key-open']").first
    name = row.inner_text().strip()
    assert "Jane" not in ann.page.content()
    bob.go("upload")
    assert bob.page.get_by_text("Your uploads").count() == 0
    bob.go()
    bob.read("1 case in all")
    ann.go()
    ann.read("2 cases in all")
    bob.page.goto(f"{bob.url}/review?case={name}")
    bob.page.get_by_text("There is no such case here").wait_for()
    ann.open(name)
    voxels = ann.viewer("v.scene.image_url")
    assert [tab.page.evaluate("(url) => fetch(url).then((got) => got.status)", voxels) for tab in tabs] == [200, 403]


def test_both_save_the_same_case_and_both_are_kept(tabs, phantoms, config):
    (case,) = phantoms.cases
    for tab in tabs:
        tab.open(case.name)
    strokes = tuple(zip(tabs, (LIVER, SPLEEN), (0.3, 0.7), strict=True))
    counts = [tab.paint(value, (0.4, height), (0.6, height)) for tab, value, height in strokes]
    for tab in tabs:
        tab.key("Control+s")
    for tab in tabs:
        tab.read("from version 0")
    for (tab, value, _), count in zip(strokes, counts, strict=True):
        tab.open(case.name)
        assert tab.viewer.count(value) == count
        assert tab.page.get_by_text("from version 0").count() == 1  # a reader sees no other reader's version
    with read_store(config.folder, load_key(config.key)) as store:
        versions = store.versions(case.name)
        assert store.verify().ok
    assert [one.parent for one in versions] == [None, 0, 0]
    assert {one.author for one in versions[1:]} == {ANN, BOB}
