"""Debian's Orthanc with its DICOMweb plugin, started for a test on free ports of this machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"
START_S = 30.0


@dataclass(frozen=True)
class Orthanc:
    http_port: int
    dicom_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def web_url(self) -> str:
        return f"{self.url}/dicom-web"

    def ask(self, path: str, content: object = None, method: str | None = None):
        """Orthanc's own REST interface."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310 - http to this machine
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def clear(self) -> None:
        for patient in self.ask("/patients"):
            self.ask(f"/patients/{patient}", method="DELETE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """An empty Orthanc that lives in ``folder``; the test is skipped where it is not installed."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        pytest.skip("needs orthanc and orthanc-dicomweb")
    server = Orthanc(free_port(), free_port())
    settings = {
        "Name": "medseg tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": server.http_port,
        "DicomPort": server.dicom_port,
        "DicomAet": TITLE,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "HttpDescribeErrors": True,
        "OverwriteInstances": True,
        "DicomWeb": {"Enable": True},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait(server: Orthanc, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            server.ask("/system")
            return
        time.sleep(0.05)
    pytest.fail("Orthanc did not start")
