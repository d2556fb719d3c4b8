"""A browser without a screen: it speaks to the app as a real one does, by Streamlit's messages, and draws nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import httpx
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

LONGEST_S = 120.0
_KEEP_ALIVE_S = 2.0  # the server closes connections that idle for five seconds
XSRF = "_streamlit_xsrf"
_OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
_NAVIGATION = {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
_LINK = re.compile(r":\w+\[(.*)\]")
_OVER = (
    ForwardMsg.FINISHED_SUCCESSFULLY,
    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
    ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
)
Hear = Callable[[bytes], None]


class TroubleError(Exception):
    """The app did something else than was expected."""


class Browser:
    """One person's browser: its cookies, and requests that are made from the app's own pages.

    Args:
        url: Of the app.
        hear: Told of everything that the app sends.
    """

    def __init__(self, url: str, hear: Hear) -> None:
        self.hear = hear
        self.origin = url
        limits = httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S)
        self._http = httpx.AsyncClient(base_url=url, timeout=LONGEST_S, trust_env=False, limits=limits)

    async def __aenter__(self) -> Self:
        await self.load("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def cookies(self) -> dict[str, str]:
        """By name."""
        return dict(self._http.cookies)

    async def load(self, path: str) -> httpx.Response:
        """Go to an address, and wherever it leads; then what Streamlit's page asks for before it connects."""
        answer = await self._http.get(path, headers=_NAVIGATION, follow_redirects=True)
        await self.ask("GET", "/_stcore/health")
        await self.ask("GET", "/_stcore/host-config")
        return answer

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request from a page of the app."""
        headers = {**_OWN, "Origin": self.origin, **more.pop("headers", {})}
        answer = await self._http.request(method, path, headers=headers, **more)
        self.hear(answer.content)
        return answer


@dataclass
class Page:
    """What is on the page.

    Attributes:
        elements: In the order in which they came.
        paths: Address and number of each page that there is.
        session: Of Streamlit.
        number: Of the page that is shown.
        query: Of its address.
        redirect: Where the browser is sent.
        files: Where chosen files are to be sent.
    """

    elements: list[Element] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    session: str = ""
    number: str = ""
    query: str = ""
    redirect: str = ""
    files: Mapping[str, Any] = field(default_factory=dict)

    def take(self, message: ForwardMsg) -> None:
        """Change as a message says."""
        match message.WhichOneof("type"):
            case "new_session":
                self.session = message.new_session.initialize.session_id
                self.number = message.new_session.page_script_hash
                if not message.metadata.run.fragment_ids:
                    self.elements = []
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self.elements.append(message.delta.new_element)
            case "navigation":
                self.paths = {one.url_pathname: one.page_script_hash for one in message.navigation.app_pages}
                self.number = message.navigation.page_script_hash
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "auth_redirect":
                self.redirect = message.auth_redirect.url

    def all(self, kind: str) -> Iterator[Any]:
        """The elements of one kind."""
        return (getattr(one, kind) for one in self.elements if one.WhichOneof("type") == kind)

    @property
    def buttons(self) -> dict[str, str]:
        """Numbers of the buttons that can be pressed, by what is on them."""
        return {_words(one.label): one.id for one in self.all("button") if not one.disabled}

    @property
    def errors(self) -> list[str]:
        """What the page complains of."""
        found = [one.body for one in self.all("alert") if one.format == Alert.ERROR]
        return [_words(text) for text in found] + [one.message for one in self.all("exception")]

    @property
    def scene(self) -> dict[str, Any] | None:
        """What the viewer is told; None without a viewer."""
        for one in self.all("bidi_component"):
            return dict(json.loads(one.json)["scene"])
        return None

    def viewer(self) -> str:
        """Number of the viewer.

        Raises:
            TroubleError: If there is none.
        """
        for one in self.all("bidi_component"):
            return str(one.id)
        raise TroubleError(f"no viewer on the page, but {self.errors or 'nothing that explains it'}")


@dataclass(frozen=True)
class Run:
    """A run of the page's script: of which kind, and how long it took until all of it was here."""

    kind: str
    seconds: float


class Tab:
    """A tab of a browser: its connection, and what is on the page.

    Attributes:
        page: What is on it.
        runs: Of the script, up to now.
    """

    def __init__(self, browser: Browser, socket: ClientConnection) -> None:
        self.page, self.runs = Page(), list[Run]()
        self._browser, self._socket = browser, socket

    @classmethod
    async def open(cls, browser: Browser, name: str = "", query: Mapping[str, str] | None = None) -> Self:
        """A new tab, with the page that the address names."""
        url = f"ws://{urlsplit(browser.origin).netloc}/_stcore/stream"
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        protocols = ["streamlit", browser.cookies[XSRF]]
        socket = await connect(
            url, subprotocols=protocols, origin=browser.origin, additional_headers={"Cookie": cookies},
            max_size=None, proxy=None, compression=None, open_timeout=LONGEST_S,
        )  # fmt: skip
        tab = cls(browser, socket)
        tab.page.query = urlencode(query or {})
        await tab.run("first page", name=name)
        return tab

    async def close(self) -> None:
        """Close it."""
        await self._socket.close()

    async def run(self, kind: str, *states: WidgetState, name: str = "") -> float:
        """Run the page's script with what was changed, and wait until all of the page is here.

        Args:
            kind: For ``runs``.
            states: Of widgets.
            name: Of the page in its address, which the app is told with the first run.

        Returns:
            Seconds.

        Raises:
            TroubleError: If it takes more than two minutes.
        """
        message = BackMsg()
        asked = message.rerun_script
        asked.page_script_hash, asked.page_name = self.page.number, name
        asked.query_string = self.page.query
        asked.widget_states.widgets.extend(states)
        begun = time.perf_counter()
        await self._send(message)
        await self._until(lambda one: one.WhichOneof("type") == "script_finished" and one.script_finished in _OVER)
        self.runs.append(Run(kind, time.perf_counter() - begun))
        return self.runs[-1].seconds

    async def press(self, kind: str, words: str, *states: WidgetState) -> float:
        """Press a button.

        Raises:
            TroubleError: If it is not there.
        """
        number = self.page.buttons.get(words)
        if number is None:
            raise TroubleError(f"no button {words!r} among {sorted(self.page.buttons)}; {self.page.errors}")
        return await self.run(kind, WidgetState(id=number, trigger_value=True), *states)

    async def go(self, path: str) -> float:
        """Go to another page by the navigation."""
        if path not in self.page.paths:
            raise TroubleError(f"no page {path!r} among {sorted(self.page.paths)}")
        self.page.query, self.page.number = "", self.page.paths[path]
        return await self.run("another page")

    async def tell(self, event: str, value: object) -> float:
        """Let the viewer tell of something that happened once."""
        number = f"$$STREAMLIT_INTERNAL_KEY_{self.page.viewer()}__events"
        state = WidgetState(id=number, json_trigger_value=json.dumps([{"event": event, "value": value}]))
        return await self.run(event, state)

    async def send_file(self, name: str, content: bytes) -> WidgetState:
        """Send a file to the place where files are chosen; gives the state of that.

        Raises:
            TroubleError: If there is no such place, or the file is refused.
        """
        place = next(self.page.all("file_uploader"), None)
        if place is None:
            raise TroubleError(f"nowhere to choose files; {self.page.errors}")
        message = BackMsg()
        message.file_urls_request.request_id = name
        message.file_urls_request.session_id = self.page.session
        message.file_urls_request.file_names.append(name)
        await self._send(message)
        response = await self._until(lambda one: one.WhichOneof("type") == "file_urls_response")
        urls = response.file_urls_response.file_urls[0]
        cookie = {"X-Xsrftoken": self._browser.cookies[XSRF]}
        sent = await self._browser.ask("PUT", urls.upload_url, headers=cookie, files={"file": (name, content)})
        if sent.status_code != httpx.codes.NO_CONTENT:
            raise TroubleError(f"the file is refused by {sent.status_code}")
        state = WidgetState(id=place.id)
        chosen = state.file_uploader_state_value.uploaded_file_info
        info = chosen.add(name=name, size=len(content), file_id=urls.file_id)
        info.file_urls.CopyFrom(urls)
        return state

    async def _send(self, message: BackMsg) -> None:
        await self._socket.send(message.SerializeToString())

    async def _until(self, is_last: Callable[[ForwardMsg], bool]) -> ForwardMsg:
        try:
            async with asyncio.timeout(LONGEST_S):
                while True:
                    data = await self._socket.recv(decode=False)
                    self._browser.hear(data)
                    message = ForwardMsg.FromString(data)
                    self.page.take(message)
                    if is_last(message):
                        return message
        except TimeoutError:
            raise TroubleError(f"the app does not answer within {LONGEST_S:.0f} s") from None


def _words(label: str) -> str:
    """What a reader sees of a text that is written as Markdown."""
    bare = _LINK.sub(r"\1", label)
    return re.sub(r"\\(.)", r"\1", bare)
