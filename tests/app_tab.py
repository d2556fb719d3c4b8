"""The review app in a browser tab: what a reader does there, and a watch over what the tab asks for."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from browsers import TIMEOUT_MS, Shown

_FAULTS = '[data-testid="stException"], [data-testid="stAlertContentError"], [data-testid="stAlertContentWarning"]'
_IS_IDLE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
_SIZE = {"width": 1280, "height": 900}


@dataclass
class Traffic:
    """What a tab sent and got.

    Attributes:
        requests: Addresses, in their order.
        foreign: Those that lead off this machine, which were not let out.
        http_bytes: Of answers and of what was posted, as they went over the wire.
        socket_bytes: Of all messages of the WebSocket, both ways.
    """

    requests: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    http_bytes: int = 0
    socket_bytes: int = 0

    @property
    def bytes(self) -> int:
        return self.http_bytes + self.socket_bytes

    def watch(self, page) -> None:
        """Count all that a page moves."""
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.webSocketCreated", lambda told: self._note(told["url"]))
        session.on("Network.dataReceived", lambda told: self._moved(told["encodedDataLength"]))
        for name in ("Network.webSocketFrameSent", "Network.webSocketFrameReceived"):
            session.on(name, self._said)
        session.send("Network.enable")
        page.route("**/*", self._guard)

    def _guard(self, route) -> None:
        if _is_near(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _note(self, url: str) -> None:
        self.requests.append(url)
        if not _is_near(url):
            self.foreign.append(url)

    def _asked(self, told) -> None:
        self._note(told["request"]["url"])
        self._moved(sum(len(part.get("bytes", "")) * 3 // 4 for part in told["request"].get("postDataEntries", ())))

    def _moved(self, count: int) -> None:
        self.http_bytes += count

    def _said(self, told) -> None:
        self.socket_bytes += len(told["response"]["payloadData"])


def _is_near(url: str) -> bool:
    """Whether an address is on this machine, or in the page itself."""
    address = urlsplit(url)
    return address.scheme in {"data", "blob"} or address.hostname == "127.0.0.1"


class Tab:
    """A tab; every wait ends at once when the page tells of a fault."""

    def __init__(self, context, url: str) -> None:
        self.url, self.traffic = url, Traffic()
        self.faults: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", self._refuse)
        self.traffic.watch(self.page)
        self.viewer = Shown(self.page, None, self.faults)

    def _refuse(self, dialog) -> None:
        self.faults.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def go(self, path: str = "") -> None:
        self.page.goto(f"{self.url}/{path}")
        self.until(_IS_IDLE)

    def sign_in(self, address: str) -> None:
        """Go through the provider as one of its people."""
        self.page.goto(self.url)
        self.button("Sign in").click()
        self.page.get_by_role("link", name=address).click()
        self.page.wait_for_url(f"{self.url}/**")
        self.read(address)
        self.settle()

    def until(self, condition: str) -> None:
        """Wait for an expression of JavaScript to hold."""
        self.page.wait_for_function(
            f"""() => {{
              const fault = document.querySelector('{_FAULTS}');
              if (fault) throw new Error(fault.innerText);
              return {condition};
            }}"""
        )

    def settle(self) -> None:
        """Wait until the page is drawn and its script has ended."""
        self.page.evaluate("new Promise((done) => setTimeout(done, 50))")
        self.until(_IS_IDLE)

    def see(self, locator) -> None:
        """Wait until something is on the page."""
        fault = self.page.locator(_FAULTS)
        locator.or_(fault).first.wait_for()
        assert not fault.count() or locator.count(), fault.first.inner_text()

    def read(self, words: str) -> None:
        """Wait until words are on the page."""
        self.see(self.page.get_by_text(words).first)

    def button(self, name: str):
        return self.page.get_by_role("button", name=re.compile(name)).first

    def click(self, name: str) -> None:
        """Press a button whose name begins so, and wait for what comes of it."""
        button = self.button(f"^{name}")
        self.see(button)
        button.click()
        self.settle()

    def choose(self, name: str) -> None:
        """Choose one of several, such as a panel."""
        choice = self.page.get_by_role("radio", name=name, exact=True)
        self.see(choice)
        choice.click()
        self.settle()

    def key(self, key: str) -> None:
        self.page.keyboard.press(key)

    def paint(self, value: int, *places: tuple[float, float]) -> int:
        """Paint a structure with the brush, through places of the axial view; its voxels afterwards."""
        self.viewer.focus()
        for key in (str(value), "b"):
            self.key(key)
        self.viewer.drag("axial", *places)
        return self.viewer.count(value)

    def save(self) -> None:
        """Save what was drawn, and wait until it is a version."""
        self.viewer.focus()
        self.key("Control+s")
        self.read("Saved as version")
        self.viewer.wait("!v.hasUnsaved && !v.isSaving")
        self.settle()

    def shows(self, case: str) -> None:
        """Wait until the viewer shows a case."""
        self.until(
            f"window.__medseg_viewer?.scene.case === '{case}' && window.__medseg_viewer.drawing"
            " && !window.__medseg_viewer.frame.first.offsetParent"
        )
        self.settle()

    def open(self, case: str) -> None:
        """Open a case by its address."""
        self.go(f"review?case={case}")
        self.shows(case)


@contextlib.contextmanager
def tab_of(browser, url: str, **changes) -> Iterator[Tab]:
    """A tab of a browser that knows nothing yet; nothing may have gone wrong when it is left."""
    context = browser.new_context(**{"viewport": _SIZE} | changes)
    tab = Tab(context, url)
    try:
        yield tab
    finally:
        context.close()
    assert tab.faults == []
    assert tab.traffic.foreign == []
