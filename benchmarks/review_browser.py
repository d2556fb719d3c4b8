"""A real browser in front of the review app: when a case comes to its screen, and what goes over the wire."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from review_server import tree_mib

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from app_tab import Tab, tab_of
from browsers import running_browser

__all__ = ["Moved", "Tab", "Wire", "browser_mib", "opened", "running_browser", "tab_of"]
SIZE = {"width": 1280, "height": 900}
LONGEST_MS = 900_000
_LOOK_MS, _MOST_LOOKS = 500, 60
_STARTS_WATCH = """([name, isNewPage]) => {
  const begun = isNewPage ? 0 : performance.now();
  const before = window.__medseg_viewer?.scene.case;
  const seen = (window.__seen = { begun });
  const look = () => {
    const viewer = window.__medseg_viewer;
    const now = performance.now();
    if (document.querySelector('[data-testid=stApp]')) seen.page ??= now;
    if (viewer && (name ? viewer.scene.case === name : viewer.scene.case !== before)) {
      const { first } = viewer.frame;
      seen.viewer ??= now;
      if (first.complete && first.naturalWidth && first.src.endsWith(viewer.scene.first_slice_url)) seen.slice ??= now;
      if (viewer.drawing && first.hidden && seen.slice) seen.ready ??= now;
    }
    if (!seen.ready) requestAnimationFrame(look);
  };
  look();
}"""
_LOADS = """() => performance.getEntriesByType('resource')
  .filter((one) => one.startTime >= window.__seen.begun && one.name.includes('/medseg/'))
  .map((one) => [new URL(one.name).pathname.split('/')[2], one.startTime, one.responseEnd])"""


@dataclass(frozen=True)
class Opening:
    """Seconds from the wish to see a case.

    Attributes:
        page: Until Streamlit's page is there; 0 where it is there already.
        read: Until the case is read, and what the viewer shall show has come to the page.
        slice: Until the viewer's script is here, and the first slice, drawn by the server, is on the screen.
        voxels: Until image and labels are here.
        ready: Until the viewer draws by itself and takes strokes.
    """

    page: float
    read: float
    slice: float
    voxels: float
    ready: float


def opened(tab: Tab, case: str, *, press: str = "") -> Opening:
    """Open a case, and wait until the viewer is ready.

    Args:
        tab: In which.
        case: Its name; empty for whatever other one comes.
        press: Button that leads to it; empty to load its address.
    """
    if press:
        button = tab.button(f"^{press}")
        tab.see(button)
        tab.page.evaluate(_STARTS_WATCH, [case, False])
        button.click()
    else:
        tab.page.add_init_script(f"({_STARTS_WATCH})(['{case}', true])")
        tab.page.goto(f"{tab.url}/review?case={case}")
    tab.until("window.__seen.ready")
    seen: dict[str, float] = tab.page.evaluate("window.__seen")
    loads: list[tuple[str, float, float]] = tab.page.evaluate(_LOADS)
    read = min(start for kind, start, _ in loads if kind in {"viewer", "slice"})
    voxels = max((end for kind, _, end in loads if kind == "voxels"), default=seen["ready"])
    begun = seen["begun"]
    page = 0.0 if press else seen["page"] - begun
    return Opening(*((one - begun) / 1000 for one in (page + begun, read, seen["slice"], voxels, seen["ready"])))


@dataclass
class Moved:
    """What went over the wire, headers included, by what it was: voxels, slice, mask, viewer, page, socket.

    Attributes:
        bytes: How many.
        count: Requests, or messages of the WebSocket.
    """

    bytes: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, size: int) -> None:
        """Count one more."""
        self.bytes[kind] += size
        self.count[kind] += 1

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes.values())


class Wire:
    """Counts what a tab moves."""

    def __init__(self, tab: Tab) -> None:
        self._tab, self._said, self._open = tab, Moved(), set[Any]()
        self._requests: list[Any] = []
        tab.page.on("request", self._begin)
        tab.page.on("requestfailed", self._fail)
        tab.page.on("requestfinished", self._finish)
        session = tab.page.context.new_cdp_session(tab.page)
        for name in ("Network.webSocketFrameSent", "Network.webSocketFrameReceived"):
            session.on(name, self._hear)
        session.send("Network.enable")

    def taken(self) -> Moved:
        """What was moved since this was asked last, once all that is on its way has come."""
        for _ in range(_MOST_LOOKS):
            self._tab.page.wait_for_timeout(_LOOK_MS)
            if not self._open:
                break
        moved, self._said = self._said, Moved()
        requests, self._requests[:] = list(self._requests), []
        for one in requests:
            moved.add(_kind(one.url), sum(one.sizes().values()))
        return moved

    def _begin(self, request: Any) -> None:
        self._open.add(request)

    def _fail(self, request: Any) -> None:
        self._open.discard(request)

    def _finish(self, request: Any) -> None:
        self._open.discard(request)
        self._requests.append(request)

    def _hear(self, told: dict[str, Any]) -> None:
        payload, is_binary = told["response"]["payloadData"], told["response"]["opcode"] == 2
        self._said.add("socket", len(payload) * 3 // 4 if is_binary else len(payload))


def _kind(url: str) -> str:
    found = re.match(r"/medseg/(\w+)/", urlsplit(url).path)
    return found[1] if found else "page"


def browser_mib() -> float:
    """Memory of the browsers that this process started."""
    return sum(tree_mib(one) for one in _browsers(psutil.Process()))


def _browsers(process: psutil.Process) -> Iterator[psutil.Process]:
    """The first process of each browser below a process."""
    with contextlib.suppress(psutil.Error):
        for child in process.children():
            if "chrom" in child.name().lower():
                yield child
            else:
                yield from _browsers(child)
