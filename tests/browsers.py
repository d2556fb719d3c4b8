"""A browser without a screen that draws with WebGL2, and what tests ask of the viewer in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from medseg_viewer.build import is_current
from viewer_page import ViewerPage, running_page

TIMEOUT_MS = 120_000
_ALWAYS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--ignore-gpu-blocklist",
)  # fmt: skip
_MESA = ("--use-gl=angle", "--use-angle=gl-egl")
_SWIFTSHADER = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_HAS_WEBGL = "!!document.createElement('canvas').getContext('webgl2')"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def running_browser() -> Iterator:
    """Chromium that has WebGL2, be it slow."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not is_current():
        pytest.skip("the viewer is not built: make viewer")
    with playwright.sync_playwright() as driver:
        if _chromium() is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("needs Chromium")
        for choice in (_MESA, _SWIFTSHADER):
            with _launched(driver.chromium, choice) as browser:
                page = browser.new_page()
                works = page.evaluate(_HAS_WEBGL)
                page.close()
                if works:
                    yield browser
                    return
        pytest.fail("Chromium has no WebGL2, neither by Mesa nor by SwiftShader")


def without_webgl(browser) -> contextlib.AbstractContextManager:
    """A second browser, which has no WebGL2."""
    return _launched(browser.browser_type, ("--disable-gpu", "--disable-3d-apis"))


@contextlib.contextmanager
def _launched(kind, choice: tuple[str, ...]) -> Iterator:
    browser = kind.launch(executable_path=_chromium(), args=[*_ALWAYS, *choice])
    try:
        yield browser
    finally:
        browser.close()


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Shown:
    """The viewer on a page that is open."""

    def __init__(self, page, server, errors: list[str]) -> None:
        self.page, self.server, self.errors = page, server, errors

    def __call__(self, expression: str, **values):
        """What an expression about the viewer `v` gives."""
        return self.page.evaluate(
            f"async (given) => {{ const v = window.__medseg_viewer; return {expression}; }}", values
        )

    def wait(self, expression: str) -> None:
        """Wait until an expression about the viewer `v` holds."""
        script = f"() => {{ const v = window.__medseg_viewer; return v && ({expression}); }}"
        self.page.wait_for_function(script, timeout=TIMEOUT_MS)

    def at(self, view: str, right: float, down: float) -> tuple[float, float]:
        """A place in a view, in parts of it, as a point of the page."""
        box = self.page.locator(f".tile[data-view={view}]").bounding_box()
        return box["x"] + right * box["width"], box["y"] + down * box["height"]

    def drag(self, view: str, *places: tuple[float, float], button: str = "left") -> None:
        """Press at the first place, move through the others, let go at the last."""
        self.page.mouse.move(*self.at(view, *places[0]))
        self.page.mouse.down(button=button)
        for place in places[1:]:
            self.page.mouse.move(*self.at(view, *place), steps=5)
        self.page.mouse.up(button=button)

    def focus(self) -> None:
        self.page.locator(".stage").focus()

    def asked(self, start: str) -> int:
        """How many requests began so."""
        return sum(one.path.startswith(start) for one in self.server.asked)

    def share(self, condition: str) -> float:
        """Share of the pixels on the canvas whose red `r`, green `g` and blue `b` fulfil a condition."""
        return self(
            """(() => {
              const { nv } = v.stage, { gl } = nv, [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
              nv.drawScene();
              const pixels = new Uint8Array(w * h * 4);
              gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
              let count = 0;
              for (let i = 0; i < pixels.length; i += 4) {
                const [r, g, b] = pixels.subarray(i, i + 3);
                if (CONDITION) count++;
              }
              return count / (w * h);
            })()""".replace("CONDITION", condition)
        )

    def count(self, value: int) -> int:
        """Voxels of the drawing that have a label."""
        return self("v.drawing.bitmap.reduce((n, label) => n + (label === given.value ? 1 : 0), 0)", value=value)


@contextlib.contextmanager
def shown(browser, view: ViewerPage, width: int = 1100, *, is_ready: bool = True) -> Iterator[Shown]:
    """The viewer with a scene that has come to the screen. Requests that leave this machine are not let out."""
    with running_page(view) as server:
        page = browser.new_page(viewport={"width": width, "height": view.height + 120})
        page.set_default_timeout(TIMEOUT_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        def guard(route) -> None:
            if route.request.url.startswith((server.url, "blob:", "data:")):
                route.continue_()
            else:
                errors.append(f"asked for {route.request.url}")
                route.abort()

        page.route("**/*", guard)
        page.goto(server.url)
        if is_ready:
            page.wait_for_function("window.told && window.told.ready", timeout=TIMEOUT_MS)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # sizes settle
        yield Shown(page, server, errors)
        page.close()
        assert errors == []
