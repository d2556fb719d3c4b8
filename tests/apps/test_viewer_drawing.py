"""Drawing in the viewer in a real browser: the tools, the way back, and what reaches the server."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from browsers import Shown, running_browser, shown
from factories import geometry
from viewer_page import KIDNEY, LIVER, SHAPE, SPLEEN, ViewerPage, scene_of

pytestmark = pytest.mark.browser
_ORIENTATIONS = {
    "RAS": {},
    "LPS": {},
    "LAS": {},
    "PIR": {},
    "SAL": {},
    "LIA": {},
    "LPS oblique": {"oblique_degrees": 15.0},
    "LAS scaled": {},
}


@pytest.fixture(scope="module")
def browser():
    with running_browser() as started:
        yield started


def saved(view: ViewerPage, viewer: Shown) -> nib.Nifti1Image:
    """The drawing as the server has it after a save."""
    saves = "window.triggers.filter(([name]) => name === 'saved').length"
    before = viewer.page.evaluate(saves)
    viewer.page.evaluate("window.__medseg_viewer.save()")
    viewer.page.wait_for_function(f"{saves} === {before + 1}")
    return nib.Nifti1Image.from_bytes(view.masks[max(view.masks)])


@pytest.mark.parametrize("name", _ORIENTATIONS)
def test_a_drawing_comes_back_on_the_grid_that_was_served(browser, name):
    grid = geometry((22, 26, 16), (1.5, 1.8, 2.5), name[:3], **_ORIENTATIONS[name])
    view = ViewerPage(grid, slope=(2.0, -100.0) if "scaled" in name else None)
    with shown(browser, view) as viewer:
        same = saved(view, viewer)
        assert np.array_equal(np.asarray(same.dataobj), view.labels)
        assert same.get_data_dtype() == np.uint8
        assert np.array_equal(same.affine, nib.Nifti1Image.from_bytes(view.files["labels"]).affine)
        place = (5, 9, 3)
        viewer(
            "(() => { v.jump(given.place); v.setTool('paint', { size: 1 }); const slice = v.editing.slice('coronal');"
            " const { u, v: up } = slice.axes, here = v.stage.voxel;"
            " const point = [here[u] + 0.5, here[up] + 0.5];"
            " v.selected = 3;"
            " v.editing.ellipse(slice, point.map((p) => p - 0.6), point.map((p) => p + 0.6), false); })()",
            place=place,
        )
        drawn = np.asarray(saved(view, viewer).dataobj)
        changed = np.argwhere(drawn != view.labels)
        assert changed.tolist() == [list(place)]
        assert drawn[place] == SPLEEN


def test_paint_undo_redo_and_erase(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        before = viewer.count(LIVER)
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        painted = viewer.count(LIVER)
        assert painted > before + 30
        assert viewer.share("r > 120 && r > 1.3 * b") > 0.02
        viewer.page.keyboard.press("Control+z")
        assert viewer.count(LIVER) == before
        viewer.page.keyboard.press("Control+y")
        assert viewer.count(LIVER) == painted
        viewer.page.keyboard.press("e")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        assert viewer.count(LIVER) < painted - 30
        for _ in range(2):
            viewer.page.keyboard.press("Control+z")
        assert viewer.count(LIVER) == before
        assert viewer.page.get_by_role("button", name="Undo").is_disabled()
        viewer.page.keyboard.press("Control+Shift+z")
        assert viewer.count(LIVER) == painted


def test_control_erases_and_other_structures_can_be_protected(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.page.keyboard.press("2")
        viewer.page.keyboard.press("u")
        viewer("v.jump([20, 31, 20])")
        liver, kidney = viewer.count(LIVER), viewer.count(KIDNEY)
        viewer.drag("axial", (0.3, 0.5), (0.55, 0.5))
        assert viewer.count(LIVER) == liver
        assert viewer.count(KIDNEY) > kidney
        viewer.page.keyboard.press("u")
        viewer.drag("axial", (0.3, 0.5), (0.55, 0.5))
        assert viewer.count(LIVER) < liver
        viewer.page.keyboard.down("Control")
        viewer.drag("axial", (0.25, 0.5), (0.6, 0.5))
        viewer.page.keyboard.up("Control")
        assert viewer.count(KIDNEY) <= kidney


def test_polygons_by_dragging_and_by_clicking_and_ellipses(browser):
    with shown(browser, ViewerPage()) as viewer:
        scale = viewer("v.stage.at(300, 300, 'axial').mmPerPixel") / 1.5
        box = viewer.page.locator(".tile[data-view=axial]").bounding_box()

        def voxels(width: float, height: float) -> float:
            return width * box["width"] * scale * height * box["height"] * scale

        viewer.focus()
        viewer.page.keyboard.press("p")
        viewer("(v.selected = 3)")
        before = viewer.count(SPLEEN)
        viewer.drag("axial", (0.55, 0.6), (0.7, 0.6), (0.7, 0.75), (0.55, 0.75))
        assert viewer.count(SPLEEN) - before == pytest.approx(voxels(0.15, 0.15), rel=0.12)
        before = viewer.count(SPLEEN)
        for place in ((0.55, 0.8), (0.7, 0.8), (0.7, 0.92), (0.55, 0.8)):
            viewer.page.mouse.click(*viewer.at("axial", *place))
        assert viewer.count(SPLEEN) - before == pytest.approx(voxels(0.15, 0.12) / 2, rel=0.15)
        before = viewer.count(SPLEEN)
        viewer.page.mouse.click(*viewer.at("axial", 0.6, 0.2))
        viewer.page.keyboard.press("Escape")
        viewer.page.keyboard.press("o")
        viewer.drag("axial", (0.55, 0.15), (0.75, 0.3))
        assert viewer.count(SPLEEN) - before == pytest.approx(np.pi / 4 * voxels(0.2, 0.15), rel=0.15)


def test_growing_filling_between_and_reverting(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        kidney = viewer.count(KIDNEY)
        viewer.focus()
        viewer.page.keyboard.press("2")
        middle = viewer("v.stage.voxel")
        erase = "v.editing.ellipse(v.editing.slice('axial', given.k), [0, 0], [56, 64], true)"
        for k in (middle[2], middle[2] + 1):
            viewer(erase, k=k)
        gap = kidney - viewer.count(KIDNEY)
        assert gap > 100
        viewer.page.keyboard.press("i")
        assert viewer.count(KIDNEY) == pytest.approx(kidney, abs=gap / 4)
        viewer.page.keyboard.press("Control+z")
        viewer.page.keyboard.press("g")
        viewer("v.setTool('grow', { tolerance: 40 })")
        assert viewer("(v.editing.grow(v.editing.slice('axial'), [given.x + 0.5, given.y + 0.5], true, false), 1)",
                      x=middle[0], y=middle[1])  # fmt: skip
        assert viewer.count(KIDNEY) == kidney
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.page.get_by_role("button", name="Revert").click()
        viewer.wait("v.drawing.history.done.at(-1).name === 'revert'")
        assert np.array_equal(np.asarray(saved(view, viewer).dataobj), view.labels)


def test_strokes_are_kept_as_drafts_and_nothing_is_lost_when_the_server_fails(browser):
    view = ViewerPage(refusals=[503, 500])
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        assert viewer.page.evaluate("window.told.changed") is True
        assert not viewer.page.evaluate("window.dispatchEvent(new Event('beforeunload', { cancelable: true }))")
        viewer.wait("v.post.trouble")
        assert "the desk is full" in viewer.page.locator(".alert").last.inner_text().lower()
        viewer.wait("!v.post.isPending")
        assert viewer.page.locator(".alert").last.inner_text() == ""
        assert viewer.page.locator(".state").inner_text() == "Unsaved · draft kept"
        assert viewer.page.evaluate("window.dispatchEvent(new Event('beforeunload', { cancelable: true }))")
        (kept,) = view.masks.values()
        drawn = np.asarray(nib.Nifti1Image.from_bytes(kept).dataobj)
        assert (drawn == LIVER).sum() == viewer.count(LIVER)
        assert viewer.page.evaluate("window.triggers") == []
        viewer.page.keyboard.press("Control+s")
        viewer.page.wait_for_function("window.triggers.length === 1")
        assert viewer.page.evaluate("window.told.changed") is False
        assert viewer.page.evaluate("window.triggers[0][1].sequence") in view.masks
        assert viewer.page.locator(".state").inner_text() == "Saved"


def test_a_refusal_is_told_and_a_new_ticket_sends_what_is_missing(browser):
    view = ViewerPage(refusals=[410])
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.wait("v.post.trouble")
        assert "strokes are not stored" in viewer.page.locator(".alert").last.inner_text()
        assert view.masks == {}
        view.scene = replace(view.scene, mask_url="/mask?new", sequence=9)
        viewer.page.evaluate("window.show()")
        viewer.wait("!v.post.isPending")
        assert list(view.masks) == [9]


def test_save_works_again_after_one_that_was_refused(browser):
    view = ViewerPage(refusals=[410])
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.page.keyboard.press("Control+s")
        viewer.wait("v.post.trouble && !v.isSaving")
        assert viewer.page.get_by_role("button", name="Save").is_enabled()
        viewer.page.keyboard.press("Control+s")
        viewer.page.wait_for_function("window.triggers.length === 1")


def test_an_unsent_stroke_goes_to_the_outlines_that_it_was_drawn_on(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        view.scene = replace(view.scene, labels_id="other", mask_url="/mask?other", sequence=9)
        for _ in range(2):  # a run may come while the other outlines are on their way
            viewer.page.evaluate("window.show()")
        viewer.wait("v.drawing.history.done.length === 0 && !v.editing.hasUnsent")
        assert list(view.masks) == [1]
        assert viewer.asked("/mask?other") == 0
        assert not viewer("v.isSaving")
        viewer.focus()
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.wait("v.post.stored === 1")
        assert viewer.asked("/mask?other") == 1


def test_what_is_refused_of_a_drawing_that_was_left_is_told(browser):
    view = ViewerPage(refusals=[410])
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        view.scene = replace(view.scene, case="case-2", labels_id="other", mask_url="/mask?other")
        viewer.page.evaluate("window.show()")
        told = "Your last strokes on case-7f3a are not stored: the desk is full."
        viewer.page.get_by_text(told).wait_for()
        assert view.masks == {}


def test_a_draft_is_unsaved_from_the_start(browser):
    grid = geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")
    with shown(browser, ViewerPage(grid, scene=scene_of(grid, draft=True))) as viewer:
        assert viewer.page.evaluate("window.told.changed") is True
        assert viewer.page.get_by_role("button", name="Save").is_enabled()


def test_drawing_waits_until_the_page_allows_it(browser):
    grid = geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")
    view = ViewerPage(grid, scene=scene_of(grid, mask_url=""))
    with shown(browser, view) as viewer:
        assert not viewer.page.get_by_role("button", name="Paint").is_visible()
        view.scene = scene_of(grid)
        viewer.page.evaluate("window.show()")
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.wait("v.post.stored === 1")


def test_outlines_of_another_grid_are_refused_in_one_sentence(browser):
    view = ViewerPage()
    view.labels = view.labels[:, :, :-1]
    with shown(browser, view) as viewer:
        told = viewer.page.locator(".alert").first.inner_text()
        assert (
            told.replace("\N{MULTIPLICATION SIGN}", "x") == "The outlines have 56x64x39 voxels and the image 56x64x40."
        )
        assert viewer.page.get_by_role("button", name="Paint").is_disabled()


def test_points_for_a_refinement_are_told_and_shown(browser):
    grid = geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")
    view = ViewerPage(grid, scene=scene_of(grid, takes_clicks=True))
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("l")
        viewer.page.mouse.click(*viewer.at("axial", 0.4, 0.5))
        viewer.page.keyboard.down("Control")
        viewer.page.mouse.click(*viewer.at("axial", 0.7, 0.5))
        viewer.page.keyboard.up("Control")
        (first, second) = viewer.page.evaluate("window.triggers")
        assert (first[0], first[1]["inside"], second[1]["inside"]) == ("clicked", True, False)
        assert first[1]["voxel"][2] == 20
        marks = [one[1] for one in (first, second)]
        viewer.page.evaluate("(marks) => window.show({ scene: { ...window.__medseg_viewer.scene, marks } })", marks)
        ring = viewer.page.locator("circle.mark").first.bounding_box()
        x, y = viewer.at("axial", 0.4, 0.5)
        assert ring["x"] + ring["width"] / 2 == pytest.approx(x, abs=8)
        assert ring["y"] + ring["height"] / 2 == pytest.approx(y, abs=8)
        view.scene = scene_of(grid)
        viewer.page.evaluate("window.show()")
        viewer.wait("v.tool.name === 'move'")
        assert not viewer.page.get_by_role("button", name="Point").is_visible()
        viewer.focus()
        viewer.page.keyboard.press("l")
        assert viewer("v.tool.name") == "move"


def test_strokes_outlive_a_graphics_card_that_gives_up(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        painted = viewer.count(LIVER)
        viewer("v.stage.nv.gl.getExtension('WEBGL_lose_context').loseContext()")
        viewer.wait("!v.hasGl")
        assert viewer.page.locator("img.slice").count() == 3
        viewer.wait("!v.post.isPending")
        drawn = np.asarray(nib.Nifti1Image.from_bytes(view.masks[1]).dataobj)
        assert (drawn == LIVER).sum() == painted
        viewer.page.get_by_role("button", name="Try again").click()
        viewer.wait("v.canEdit && v.stage.tiles")
        assert viewer.count(LIVER) == painted
        viewer.page.get_by_role("button", name="Undo").click()
        assert viewer.count(LIVER) == (view.labels == LIVER).sum()


def test_a_save_that_ends_off_the_page_is_told_when_the_page_is_back(browser):
    view = ViewerPage(refusals=[503])
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.6, 0.3), (0.75, 0.3))
        viewer.page.keyboard.press("Control+s")
        viewer.wait("v.post.trouble")
        viewer.page.evaluate("window.leave()")
        viewer.wait("!v.isSaving")
        assert viewer.page.evaluate("window.triggers") == []
        viewer.page.evaluate("window.show()")
        viewer.page.wait_for_function("window.triggers.length === 1")
        assert viewer.page.evaluate("window.triggers[0][1].sequence") == max(view.masks)


def test_an_image_that_did_not_come_is_fetched_with_the_next_ticket(browser):
    grid = geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")
    view = ViewerPage(grid, scene=scene_of(grid, image_url="/nowhere"))
    with shown(browser, view, is_ready=False) as viewer:
        viewer.wait("v.hasFailed")
        assert "refused the voxels (404); open the case again" in viewer.page.locator(".alert").first.inner_text()
        view.scene = scene_of(grid)
        viewer.page.evaluate("window.show()")
        viewer.wait("v.canEdit")
        assert viewer.page.locator(".alert").first.inner_text() == ""
