"""The viewer in a real browser: what is seen, the mouse, the keys, and pages that run again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from browsers import running_browser, shown, without_webgl
from factories import geometry
from viewer_page import KIDNEY, LIVER, SHAPE, SPLEEN, ViewerPage, overlays, scene_of

pytestmark = pytest.mark.browser
_ORANGE = "r > 120 && r > 1.3 * b"
_GREEN = "g > 1.3 * r && g > 1.1 * b"


@pytest.fixture(scope="module")
def browser():
    with running_browser() as started:
        yield started


def test_image_and_structures_are_drawn_and_each_can_be_hidden(browser):
    with shown(browser, ViewerPage()) as viewer:
        assert viewer.share("r > 60") > 0.15
        before = viewer.share(_ORANGE)
        assert before > 0.02
        viewer.page.get_by_role("button", name="Show liver").click()
        assert viewer.share(_ORANGE) < before / 20
        viewer.page.get_by_role("button", name="Show liver").click()
        assert viewer.share(_ORANGE) == pytest.approx(before)
        viewer.page.get_by_role("button", name="Outline").click()
        assert 0 < viewer.share(_ORANGE) < before / 4
        assert viewer.page.locator(".panel").get_by_text("kidney <b>left</b>").count() == 1


def test_a_held_key_hides_all_structures(browser):
    with shown(browser, ViewerPage()) as viewer:
        before = viewer.share(_ORANGE)
        viewer.focus()
        for key in ("h", " "):
            viewer.page.keyboard.down(key)
            assert viewer.share(_ORANGE) < before / 20
            viewer.page.keyboard.up(key)
            assert viewer.share(_ORANGE) == pytest.approx(before)


def test_slices_change_without_a_byte_of_voxels(browser):
    with shown(browser, ViewerPage()) as viewer:
        asked = len(viewer.server.asked)
        assert viewer("v.stage.voxel[2]") == 20
        viewer.page.mouse.move(*viewer.at("axial", 0.5, 0.4))
        viewer.page.mouse.wheel(0, 120)
        viewer.wait("v.stage.voxel[2] === 19")
        viewer.page.mouse.wheel(0, -120)
        viewer.wait("v.stage.voxel[2] === 20")
        viewer.focus()
        for key, slice_ in (("ArrowUp", 21), ("PageDown", 11), ("End", 39), ("ArrowUp", 39), ("Home", 0)):
            viewer.page.keyboard.press(key)
            assert viewer("v.stage.voxel[2]") == slice_
        assert viewer.page.locator(".tile-name").first.inner_text().startswith("Axial 1/40")
        viewer.page.keyboard.press("k")
        viewer.wait("v.stage.voxel[2] > 2")
        viewer.page.keyboard.press("k")
        assert len(viewer.server.asked) == asked


def test_windows_come_from_buttons_keys_structures_and_the_right_button(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("Shift+Digit2")
        assert viewer("v.window") == [-1350, 150]
        bright = viewer.share("r > 200")
        viewer.page.get_by_role("button", name="Soft tissue").click()
        assert viewer.share("r > 200") < bright
        viewer.focus()
        viewer.page.keyboard.press("1")
        assert viewer("v.window") == [-15, 150]
        viewer.drag("axial", (0.5, 0.5), (0.7, 0.3), button="right")
        low, high = viewer("v.window")
        assert high - low > 165
        assert (low + high) / 2 > 67.5
        viewer.page.keyboard.press("0")
        assert viewer("v.window") == [-160, 240]


def test_choosing_a_structure_goes_to_its_largest_slice(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("2")
        assert viewer("v.drawing.bitmap[v.stage.grid.index(v.stage.voxel)]") == KIDNEY
        assert viewer("v.stage.voxel[2]") == round(0.4 * 39)
        viewer.page.get_by_role("button", name="spleen").first.click()
        assert viewer("v.selected") == SPLEEN
        assert "spleen" in viewer.page.locator(".cursor").inner_text()


def test_the_line_below_says_what_is_under_the_pointer(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        viewer.page.mouse.move(*viewer.at("axial", 0.5, 0.5))
        text = viewer.page.locator(".cursor").inner_text()
        voxel = tuple(int(n) for n in text.split()[1:4])
        assert voxel[2] == 20
        assert f"{view.image[voxel]} HU" in text
        assert ("liver" in text) == (view.labels[voxel] == LIVER)


def test_keys_that_are_not_ours_reach_the_page(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.page.evaluate("window.heard = []; document.addEventListener('keydown', (e) => window.heard.push(e.key))")
        viewer.focus()
        for key in ("a", "b", "x", "ArrowUp", "Escape", "n", "Escape"):
            viewer.page.keyboard.press(key)
        assert viewer.page.evaluate("window.heard") == ["a", "n", "Escape"]


def test_one_view_alone_and_back(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.page.mouse.dblclick(*viewer.at("coronal", 0.5, 0.5))
        assert viewer("v.stage.tiles.map(({ view }) => view)") == ["coronal"]
        viewer.page.mouse.dblclick(*viewer.at("coronal", 0.5, 0.5))
        assert viewer("v.look.layout") == "grid"
        viewer.page.get_by_role("button", name="3D", exact=True).click()
        assert viewer.share(_ORANGE) > 0.005
        assert viewer.share("r > 60 && Math.abs(r - b) < 8") < 0.01  # no grey: the image itself is not there


def test_distances_are_measured_in_millimetres(browser):
    with shown(browser, ViewerPage()) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("m")
        viewer.drag("axial", (0.35, 0.5), (0.6, 0.5))
        tile = viewer("v.stage.nv.screenSlices[0].leftTopWidthHeight")
        width = viewer.page.locator(".tile[data-view=axial]").bounding_box()["width"]
        expected = 0.25 * width / tile[2] * SHAPE[0] * 1.5
        assert viewer("v.stage.nv.document.completedMeasurements.map((one) => one.distance)") == [
            pytest.approx(expected, rel=0.03)
        ]
        viewer.page.keyboard.press("Delete")
        assert viewer("v.stage.nv.document.completedMeasurements.length") == 0


def test_overlays_have_legends_and_can_be_switched_off(browser):
    view = ViewerPage()
    view.scene = replace(view.scene, overlays=overlays())
    with shown(browser, view) as viewer:
        viewer.wait("v.stage.overlays.size === 2")
        assert viewer.page.locator(".overlays").get_by_text("2 only the model").count() == 1
        assert viewer.page.locator(".heat").inner_text().split() == ["certain", "unsure"]
        viewer.page.get_by_label("Uncertainty").uncheck()
        green = viewer.share(_GREEN)
        viewer.page.get_by_label("Agreement").uncheck()
        assert viewer.share(_GREEN) < green / 4
        viewer.page.evaluate("window.show({ scene: { ...window.__medseg_viewer.scene, overlays: [] } })")
        viewer.wait("v.stage.overlays.size === 0")


def test_a_page_that_runs_again_fetches_nothing_and_keeps_what_was_drawn(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        viewer.focus()
        viewer.page.keyboard.press("b")
        viewer.drag("axial", (0.3, 0.3), (0.4, 0.3))
        painted = viewer.count(LIVER)
        voxels = viewer.asked("/voxels")
        view.scene = replace(view.scene, image_url="/voxels/image?new", labels_url="/voxels/labels?new", notice="copy")
        viewer.page.evaluate("window.show()")
        viewer.wait("v.scene.notice === 'copy'")
        assert viewer.page.locator(".notice").inner_text() == "copy"
        viewer.page.evaluate("(async () => { window.leave(); window.told = {}; await window.show(); })()")
        assert viewer.asked("/voxels") == voxels
        assert viewer.count(LIVER) == painted
        assert viewer.page.evaluate("window.told.changed") is True
        viewer.wait("!v.post.isPending")
        view.scene = replace(view.scene, labels_id=f"draft {viewer('v.post.receipt.sha256')}")  # what is on the screen
        viewer.page.evaluate("window.show()")
        viewer.wait("v.scene.labels_id.startsWith('draft')")
        assert viewer.asked("/voxels") == voxels
        view.scene = replace(view.scene, labels_id="other")
        viewer.page.evaluate("window.show()")
        viewer.wait("v.drawing.history.done.length === 0")
        assert viewer.count(LIVER) < painted
        assert (viewer.asked("/voxels/labels"), viewer.asked("/voxels/image")) == (2, 1)
        view.scene = replace(view.scene, case="other")
        viewer.page.evaluate("window.show()")
        viewer.wait("v.stage.image && v.scene.case === 'other' && !v.frame.first.offsetParent")
        assert viewer.asked("/voxels/image") == 2


def test_a_jump_is_made_once(browser):
    view = ViewerPage()
    with shown(browser, view) as viewer:
        jump = "window.show({ scene: { ...window.__medseg_viewer.scene, jump: { voxel: [10, 20, 30], nonce: '1' } } })"
        viewer.page.evaluate(jump)
        assert viewer("v.stage.grid.toOriginal(v.stage.voxel)") == [10, 20, 30]
        viewer.focus()
        viewer.page.keyboard.press("ArrowUp")
        viewer.page.evaluate(jump)
        assert viewer("v.stage.grid.toOriginal(v.stage.voxel)") == [10, 20, 31]


def test_a_copy_of_fewer_voxels_speaks_of_the_original(browser):
    grid = geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")
    view = ViewerPage(grid, scene=scene_of(grid, shape=(111, 128, 40), factor=(2, 2, 1), reports_location=True))
    with shown(browser, view) as viewer:
        assert viewer.page.locator(".tile-name").nth(1).inner_text().startswith("Coronal 64/128")
        viewer.focus()
        viewer("v.jump([110, 0, 7])")
        viewer.page.wait_for_function("window.told.location?.join() === '110,1,7'")


def test_without_webgl_the_server_draws_and_keys_work(browser):
    with without_webgl(browser) as plain, shown(plain, ViewerPage()) as viewer:
        assert viewer.page.evaluate("window.told.ready.webgl2") is False
        assert "no WebGL2" in viewer.page.locator(".alert").first.inner_text()
        assert viewer.page.locator("img.slice").count() == 3
        assert not viewer.page.get_by_role("button", name="Paint").is_visible()
        viewer.page.mouse.move(*viewer.at("axial", 0.5, 0.4))
        viewer.page.mouse.wheel(0, 120)
        viewer.page.keyboard.press("Shift+Digit3")
        viewer.page.get_by_role("button", name="Show liver").click()
        last = "/slice/axial/19.png?low=-15&high=150&style=fill&hidden=1"
        viewer.wait(f"[...v.stage.pictures.values()][0].shown.endsWith('{last}')")
        viewer.focus()
        viewer.page.keyboard.down("h")
        viewer.wait("[...v.stage.pictures.values()][0].shown.includes('style=none')")
        viewer.page.keyboard.up("h")
        viewer.page.keyboard.press("1")
        viewer.wait("v.stage.voxel[2] === 20")
        assert viewer.asked("/voxels") == 0


def test_every_control_has_a_name_and_is_large_enough(browser):
    view = ViewerPage()
    view.scene = replace(view.scene, overlays=overlays())
    with shown(browser, view) as viewer:
        controls = viewer(
            "[...v.frame.root.querySelectorAll('button, input')].filter((one) => one.offsetParent).map((one) => "
            "[one.getAttribute('aria-label') || one.textContent || one.labels?.[0]?.textContent || '',"
            " one.getBoundingClientRect().height, one.closest('label')?.getBoundingClientRect().height ?? 0])"
        )
        assert len(controls) > 30
        assert all(name.strip() for name, *_ in controls)
        assert min(max(own, around) for _, own, around in controls) >= 24
        assert viewer.page.locator("[role=toolbar]").count() == 2
        viewer.page.locator("[role=toolbar]").first.get_by_role("button", name="All").focus()
        viewer.page.keyboard.press("ArrowRight")
        assert viewer("v.frame.root.getRootNode().activeElement.textContent") == "Axial"
