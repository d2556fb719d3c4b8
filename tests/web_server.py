"""A web server on this machine that answers what a test tells it to."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Answer:
    content: bytes = b""
    kind: str = "application/dicom+json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


def as_json(value, **fields) -> Answer:
    return Answer(json.dumps(value).encode(), **fields)


def as_parts(*contents: bytes, cut=0, **fields) -> Answer:
    body = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + one for one in contents) + b"\r\n--b--"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return Answer(body[: len(body) - cut], kind, length=len(body), **fields)


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    url: str
    asked: list[Asked] = field(default_factory=list)


@contextlib.contextmanager
def running_web(answer: Callable[[Asked], Answer], certificate: tuple[Path, Path] | None = None) -> Iterator[WebServer]:
    """A server that answers by ``answer``; with a certificate over TLS."""
    made = WebServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            one = answer(made.asked[-1])
            self.send_response(one.status)
            headers = {"Content-Type": one.kind, "Content-Length": one.length or len(one.content), **one.headers}
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(one.content)

        do_POST = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
