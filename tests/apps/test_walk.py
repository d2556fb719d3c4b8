"""A reader's way through the app in a real browser: from the work list over corrections to the next case."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

pytest.importorskip("streamlit")

from app_server import running_app
from app_tab import tab_of
from browsers import running_browser
from phantom_cases import LIVER, MARKUP, SPLEEN, write_phantoms

from medseg.core.pseudonyms import load_key
from medseg.io.dicom_seg_read import read_segmentation
from medseg.io.formats import read_label_map
from medseg.review.store import read_store
from medseg.review.vault import Vault

pytestmark = pytest.mark.browser
_RED = "r > 110 && r > 1.3 * b && r > 1.25 * g"
_COMMENT = f"{MARKUP} **bold** the dome is back"
_MOST_BYTES = 10_000


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def app(phantoms, tmp_path_factory):
    with running_app(phantoms.config, tmp_path_factory.mktemp("app")) as running:
        yield running
    assert not [line for line in running.said if "ERROR" in line]


@pytest.fixture(scope="module")
def browser():
    with running_browser() as started:
        yield started


@pytest.fixture
def tab(browser, app):
    with tab_of(browser, app.url) as opened:
        yield opened


def look_around(tab):
    """Scroll, hide the liver, change window and opacity: nothing of it asks the server for anything."""
    viewer, asked, moved = tab.viewer, len(tab.traffic.requests), tab.traffic.bytes
    first = viewer("v.stage.voxel[2]")
    tab.page.mouse.move(*viewer.at("axial", 0.5, 0.4))
    tab.page.mouse.wheel(0, -120)
    viewer.wait(f"v.stage.voxel[2] === {first + 1}")
    tab.key("ArrowDown")
    viewer.wait(f"v.stage.voxel[2] === {first}")
    red = viewer.share(_RED)
    assert red > 0.01
    tab.button("Show liver").click()
    assert viewer.share(_RED) < red / 3
    tab.button("Show liver").click()
    assert viewer.share(_RED) == pytest.approx(red)
    tab.page.get_by_label("Opacity of the structures").press("ArrowRight")
    viewer.focus()
    tab.key("Shift+Digit2")
    assert viewer("[v.look.opacity, ...v.window]") == [0.55, -1350, 150]
    assert len(tab.traffic.requests) == asked
    assert tab.traffic.bytes - moved < _MOST_BYTES


def correct(tab):
    """Paint and draw a polygon, and take a part of it back and again; voxels of the liver afterwards."""
    viewer, before = tab.viewer, tab.viewer.count(LIVER)
    painted = tab.paint(LIVER, (0.3, 0.7), (0.5, 0.7))
    assert painted > before + 5
    tab.key("p")
    viewer.drag("axial", (0.55, 0.3), (0.75, 0.3), (0.75, 0.45), (0.55, 0.45))
    drawn = viewer.count(LIVER)
    assert drawn > painted + 20
    tab.key("Control+z")
    assert viewer.count(LIVER) == painted
    tab.key("Control+y")
    assert viewer.count(LIVER) == drawn
    return drawn


def save(tab, phantom):
    """Save, and see that the table of structures has the new volume."""
    liver = tab.page.locator(".panel tr", has_text="liver").locator(".volume")
    before = liver.inner_text()
    tab.save()
    ml = tab.viewer.count(LIVER) * phantom.truth.geometry.voxel_volume / 1000
    assert tab.viewer("v.scene.structures[0].volume_ml") == pytest.approx(ml, rel=1e-4)
    assert liver.inner_text() != before


def compare(tab, phantom):
    """Lay the reference over it, and go to the largest difference."""
    tab.choose("Compare")
    tab.until("window.__medseg_viewer.stage.overlays.has('Agreement')")
    tab.page.locator("[data-testid=stDataFrame] td", has_text="right kidney").wait_for(state="attached")
    tab.key("Alt+j")
    tab.read("1 of ")
    tab.see(tab.page.get_by_text("liver, only reference"))
    voxel = tuple(tab.viewer("v.stage.grid.toOriginal(v.stage.voxel)"))
    assert phantom.truth.array[voxel] == LIVER
    assert phantom.predicted.array[voxel] != LIVER


def accept(tab):
    tab.page.get_by_label("Comment").press_sequentially(_COMMENT)
    tab.key("Alt+a")


def test_a_case_is_corrected_compared_and_accepted_and_the_next_one_follows(tab, phantoms):
    first, second = phantoms.cases
    tab.go()
    tab.see(tab.button("Open series"))
    tab.key("o")
    tab.shows(first.name)
    look_around(tab)
    drawn = correct(tab)
    save(tab, first)
    tab.page.reload()
    tab.shows(first.name)
    assert tab.viewer.count(LIVER) == drawn
    compare(tab, first)
    accept(tab)
    tab.shows(second.name)
    tab.go()
    tab.see(tab.page.locator(f".st-key-row-{first.name}").get_by_text("accepted"))
    tab.open(first.name)
    tab.read(f"“{_COMMENT}”")
    assert tab.page.locator("img[src=x]").count() == 0


def test_an_export_opens_again_as_what_was_saved(tab, phantoms, tmp_path):
    config, phantom = phantoms.config, phantoms.cases[0]
    tab.open(phantom.name)
    tab.paint(SPLEEN, (0.3, 0.3), (0.4, 0.3))
    tab.save()
    tab.choose("Export")
    tab.click("Export")
    with tab.page.expect_download() as download:
        tab.button("^Take it away").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    with read_store(config.folder, load_key(config.key)) as store:
        version = store.versions(phantom.name)[-1]
        assert store.verify().ok
    kept = Vault(config.folder).get(version.sha256)
    assert f"-v{version.number}-return" in download.value.suggested_filename
    assert (tmp_path / "report.html").is_file()
    grid = phantom.truth.geometry
    for outlines in (read_label_map(tmp_path / "labels.nii.gz"), read_segmentation(tmp_path / "seg.dcm", grid).labels):
        assert outlines.geometry.is_close(grid)
        assert np.array_equal(outlines.array, kept.array)


def test_strokes_are_back_after_the_browser_was_closed_in_the_middle_of_one(browser, app, phantoms):
    name = phantoms.cases[1].name
    with tab_of(browser, app.url) as tab:
        tab.open(name)
        kept = tab.paint(SPLEEN, (0.5, 0.3), (0.7, 0.3))
        tab.viewer.wait("v.post.receipt && !v.post.isPending")
        tab.page.mouse.down()
        tab.page.mouse.move(*tab.viewer.at("axial", 0.7, 0.6), steps=5)
        assert tab.viewer.count(SPLEEN) > kept
    with tab_of(browser, app.url) as tab:
        tab.open(name)
        tab.read("Your strokes that were not saved are back")
        assert tab.viewer.count(SPLEEN) == kept
        assert tab.button("^Accept").is_disabled()
        tab.click("Discard them")
        tab.viewer.wait("!v.hasUnsaved")
        assert tab.viewer.count(SPLEEN) == np.count_nonzero(phantoms.cases[1].predicted.array == SPLEEN)


def test_markup_in_a_patients_name_or_a_note_is_text(tab, phantoms):
    tab.go()
    tab.read(f"look at {MARKUP}")
    tab.open(phantoms.cases[0].name)
    tab.click("1 finding")
    tab.read(f"look at {MARKUP}")
    tab.key("Escape")
    tab.choose("Case")
    assert tab.page.get_by_text("Doe").count() == 0
    tab.click("Show identifiers")
    tab.read(f"Doe^{MARKUP}")
    assert tab.page.locator("img[src=x]").count() == 0
