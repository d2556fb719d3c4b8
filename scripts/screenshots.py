"""Takes the pictures of the review app in the documentation.

python scripts/screenshots.py docs/images [--every]

Studies of invented patients are made for it, see ``phantom_reviews.py``. Needs what `make test-browser` needs:
playwright, Chromium, and the viewer (`make viewer`). With ``--every`` each page is taken light and dark, 1280 and 1920
pixels wide; else those that the documentation shows.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

import yaml
from phantom_reviews import write_reviews
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

_ARGUMENTS = ("--headless=new", "--no-sandbox", "--ignore-gpu-blocklist", "--use-gl=angle", "--use-angle=gl-egl")
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_SIZES = {1280: 800, 1920: 1080}
_TIMEOUT_MS = 120_000
_WIDEST, _QUALITY, _COLOURS = 1440, 82, 96
_IDLE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
Theme = Literal["light", "dark"]
_LIGHT: Theme = "light"
_DARK: Theme = "dark"
SHOWN: tuple[tuple[str, Theme, int], ...] = (
    ("audit", _DARK, 1280),
    ("work-list", _LIGHT, 1280),
    ("case", _LIGHT, 1280),
    ("paint", _DARK, 1280),
    ("compare", _DARK, 1920),
    ("uncertainty", _LIGHT, 1280),
    ("upload", _LIGHT, 1280),
    ("results", _LIGHT, 1280),
    ("help", _LIGHT, 1280),
)
"""What the documentation shows: a page, a theme, a width."""


def main(folder: Path, *, every: bool) -> None:
    """Write ``review-*`` into a folder."""
    wanted = itertools.product(PAGES, (_LIGHT, _DARK), _SIZES) if every else SHOWN
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        config = Path(made) / "review.yaml"
        config.write_text(yaml.safe_dump(write_reviews(Path(made)).model_dump(mode="json")), encoding="utf-8")
        browser = driver.chromium.launch(executable_path=_chromium(), args=[*_ARGUMENTS])
        with _running_app(config) as url:
            _work_a_little(browser, url)
            for name, theme, width in wanted:
                ending = f"-{theme}-{width}" if every else ""
                print(_take(browser, url, (name, theme, width), folder / f"review-{name}{ending}"))
        browser.close()


def _chromium() -> str | None:
    """The system's Chromium; None for the one that playwright has."""
    return next(filter(None, map(shutil.which, _CHROMIUM)), None)


@contextlib.contextmanager
def _running_app(config: Path) -> Iterator[str]:
    """The app on a free port; its address."""
    command = [str(Path(sys.executable).with_name("medseg")), "app", str(config), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own words
    try:
        yield _address(process.stdout)
    finally:
        process.terminate()
        process.wait()


def _address(said: IO[str] | None) -> str:
    for line in said or ():
        if found := re.search(r"http://\S+(?=;)", line):
            return found[0]
    raise SystemExit("the app did not start")


def _take(browser: Browser, url: str, shot: tuple[str, Theme, int], stem: Path) -> Path:
    """Write the picture of a page: a JPEG if it shows an image, else a PNG of few colours."""
    name, theme, width = shot
    with _tab(browser, url, theme, width) as page:
        PAGES[name](page)
        page.wait_for_timeout(1500)  # what fades in is there
        picture = Image.open(io.BytesIO(page.screenshot(timeout=_TIMEOUT_MS))).convert("RGB")
        has_image = page.locator(".stage").count() > 0
    picture.thumbnail((_WIDEST, _WIDEST), Image.Resampling.LANCZOS)
    path = stem.with_suffix(".jpg" if has_image else ".png")
    if has_image:
        picture.save(path, quality=_QUALITY, optimize=True)
    else:
        picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


@contextlib.contextmanager
def _tab(browser: Browser, url: str, theme: Theme, width: int) -> Iterator[Page]:
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": _SIZES[width]})
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    page.goto(url)
    _settle(page)
    yield page
    context.close()


def _settle(page: Page) -> None:
    """Wait until the page's script has ended."""
    page.wait_for_timeout(200)
    page.wait_for_function(_IDLE)


def _go(title: str) -> Callable[[Page], None]:
    """Goes to a page by the navigation."""

    def go(page: Page) -> None:
        page.get_by_role("link", name=title).click()
        page.get_by_role("heading", level=1).first.wait_for()
        _settle(page)

    return go


def _case(page: Page) -> None:
    """The first case, with the whole of the viewer."""
    page.get_by_role("button", name=re.compile("^Open ")).click()
    _viewer_is_there(page)


def _viewer_is_there(page: Page) -> None:
    """Wait for the image, in place of the server's first picture of it."""
    page.locator(".tile").first.wait_for()
    page.locator(".stage .first").wait_for(state="hidden")
    _settle(page)


def _chosen(panel: str) -> Callable[[Page], None]:
    """Opens a panel of the first case, and goes to the first place that it has."""

    def choose(page: Page) -> None:
        _case(page)
        page.get_by_role("radio", name=panel, exact=True).click()
        _settle(page)
        page.keyboard.press("Alt+j")
        _settle(page)

    return choose


def _paint(page: Page) -> None:
    """A structure in the middle of a stroke."""
    _case(page)
    _begin_stroke(page)


def _begin_stroke(page: Page) -> None:
    """Paint from the liver to the left."""
    page.locator(".stage").focus()
    for key in ("1", "b"):
        page.keyboard.press(key)
    box = page.locator(".tile[data-view=axial]").bounding_box()
    if box is None:
        raise SystemExit("the axial view is not there")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.34 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.37 * box["height"], steps=6)


def _work_a_little(browser: Browser, url: str) -> None:
    """Correct a case and decide about two, so that the work list and the log have something to tell."""
    with _tab(browser, url, _LIGHT, 1280) as page:
        _case(page)
        _press(page, "Alt+n")
        _begin_stroke(page)
        page.mouse.up()
        page.keyboard.press("Control+s")
        page.get_by_text("Saved as version 1").wait_for()
        for key, comment in (("Alt+a", "border to the stomach checked"), ("Alt+w", "spleen leaks into the stomach")):
            page.get_by_label("Comment").press_sequentially(comment)
            _press(page, key)


def _press(page: Page, key: str) -> None:
    """Press a key that leads to another case."""
    before = page.url
    page.keyboard.press(key)
    page.wait_for_url(lambda url: url != before)
    _settle(page)
    _viewer_is_there(page)


PAGES: Mapping[str, Callable[[Page], None]] = {
    "work-list": _go("Work list"),
    "case": _case,
    "paint": _paint,
    "compare": _chosen("Compare"),
    "uncertainty": _chosen("Uncertainty"),
    "upload": _go("Upload"),
    "results": _go("Results"),
    "audit": _go("Audit"),
    "help": _go("Help"),
}

if __name__ == "__main__":
    main(Path(sys.argv[1]), every="--every" in sys.argv[2:])
