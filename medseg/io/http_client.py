"""HTTP for DICOMweb: one server, checked certificates, no redirects, bounded answers, and tries again what may pass.

Proxies and passwords of the environment are not looked at: images of patients go where the user said.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import stat
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from medseg.core.errors import InputError, ReadError

from .dicom_net import Retries, TlsFiles, client_context

_MOST_JSON = 2**26
_LONGEST_TOKEN = 2**14
_LOCAL = ("localhost", "127.0.0.1", "::1")
_BUSY = (408, 425, 429)
_T = TypeVar("_T")


class Body(Protocol):
    """What is posted."""

    content_type: str
    length: int

    def __iter__(self) -> Iterator[bytes]:
        """Its bytes, from the beginning each time."""


class BusyError(Exception):
    """Another try may help: the network failed, or the server has no time."""


@dataclass(frozen=True)
class Server:
    """Where requests go.

    Attributes:
        url: Such as ``https://pacs.example/dicom-web``; without user, password, query and fragment.
        token: File, readable by its owner only, with an access token, or with ``user:password``.
        ca: Authorities that may vouch for the server, as a PEM file; the system's by default.
        timeout_s: How long the server may be silent.
        retries: How often what may pass is tried.
    """

    url: str
    token: Path | None = field(default=None, repr=False)
    ca: Path | None = None
    timeout_s: float = 60.0
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        parts = self.parts
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("a DICOMweb address begins with https:// or http:// and names a server")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise InputError("a DICOMweb address holds no user, password or query; put the access token into a file")
        if self.token is not None and parts.scheme == "http" and parts.hostname not in _LOCAL:
            raise InputError("an access token is sent over https only")

    @property
    def parts(self) -> urllib.parse.SplitResult:
        """The address, taken apart.

        Raises:
            InputError: If it is no address.
        """
        try:
            parts = urllib.parse.urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise InputError("this is no address of a server") from None
        return parts


def try_again(retries: Retries, attempt: Callable[[], _T]) -> _T:
    """What ``attempt`` gives, which is tried again while it raises BusyError.

    Raises:
        ReadError: If the last try fails as well.
    """
    reason = ""
    for wait in retries.waits():
        time.sleep(wait)
        try:
            return attempt()
        except BusyError as error:
            reason = str(error)
    raise ReadError(f"the DICOMweb server cannot be used: {reason}")


@contextlib.contextmanager
def requested(
    server: Server, path: str, accept: str, query: Mapping[str, str] | None = None, body: Body | None = None
) -> Iterator[http.client.HTTPResponse]:
    """The answer of a server to GET, or to POST if there is a body; to be read inside.

    Raises:
        BusyError: If another try may help; also for what fails inside the block by the network.
        InputError: If the access token or the certificates cannot be read.
    """
    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "medseg", **_authorization(server.token)}
    target = server.parts.path.rstrip("/") + path
    if query:
        target += "?" + urllib.parse.urlencode(query)
    connection = _connection(server)
    try:
        content: Iterable[bytes] | None = None
        if body is not None:
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.length)}
            content = iter(body)
        connection.request("GET" if body is None else "POST", target, content, headers)
        response = connection.getresponse()
        if response.status in _BUSY or response.status >= 500:
            raise BusyError(f"it answers with status {response.status}")
        yield response
    except ssl.SSLCertVerificationError:
        raise ReadError("the DICOMweb server's certificate is not accepted; name its authority") from None
    except (OSError, http.client.HTTPException) as error:
        raise BusyError(f"the connection failed ({type(error).__name__})") from None
    finally:
        connection.close()


def check_answer(response: http.client.HTTPResponse, allowed: tuple[int, ...], kind: str) -> None:
    """Refuse an answer that is not what was asked for.

    Raises:
        ReadError: If its status is not allowed or its content is of another kind.
    """
    if 300 <= response.status < 400:
        raise ReadError("the DICOMweb server sends us elsewhere, which is not followed; name the final address")
    if response.status in (401, 403):
        raise ReadError(f"the DICOMweb server wants other credentials (status {response.status}); check the token")
    if response.status not in allowed:
        raise ReadError(f"the DICOMweb server answers with status {response.status}")
    if response.status != http.HTTPStatus.NO_CONTENT and kind not in response.headers.get("Content-Type", "").lower():
        raise ReadError(f"the DICOMweb server does not answer with {kind}; is its address right?")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ReadError("the DICOMweb server compresses its answer, which was not asked for")


def read_json(response: http.client.HTTPResponse) -> Any:
    """The answer as JSON; None if it is empty.

    Raises:
        ReadError: If it is longer than 64 MiB, or no JSON.
    """
    content = response.read(_MOST_JSON + 1)
    if len(content) > _MOST_JSON:
        raise ReadError(f"the DICOMweb server's answer is longer than {_MOST_JSON >> 20} MiB; narrow the search")
    try:
        return json.loads(content) if content.strip() else None
    except (ValueError, RecursionError):
        raise ReadError("the DICOMweb server does not answer with JSON") from None


def _connection(server: Server) -> http.client.HTTPConnection:
    parts = server.parts
    host = str(parts.hostname)
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=server.timeout_s)
    context = client_context(TlsFiles(ca=server.ca))
    return http.client.HTTPSConnection(host, parts.port, timeout=server.timeout_s, context=context)


def _authorization(token: Path | None) -> dict[str, str]:
    if token is None:
        return {}
    try:
        if token.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError("others may read the file with the access token; run `chmod 600` on it")
        with token.open("rb") as file:
            text = file.read(_LONGEST_TOKEN).decode("ascii").strip()
    except (OSError, ValueError):
        raise InputError("the file with the access token cannot be read") from None
    if not text or not text.isprintable():
        raise InputError("the file with the access token has to hold one line: the token, or user:password")
    if ":" in text:
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    return {"Authorization": f"Bearer {text}"}
