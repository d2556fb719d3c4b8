"""Debian's PostgreSQL, started for the tests on a socket in a folder of its own; no port is opened."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

psycopg = pytest.importorskip("psycopg", reason="needs psycopg")

USER = "postgres"
START_S = 60.0
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=40")


@dataclass(frozen=True)
class Postgres:
    programs: Path
    socket: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.socket}"

    def new_database(self, encoding: str) -> str:
        """URL of an empty database."""
        name = f"reviews_{secrets.token_hex(4)}"
        self.run("createdb", "--template=template0", f"--encoding={encoding}", "--locale=C", name)
        return self.url(name)

    def new_schema(self) -> str:
        """URL that leads to an empty part of one database, which is made faster than a database."""
        name = f"reviews_{secrets.token_hex(4)}"
        with psycopg.connect(host=str(self.socket), user=USER, dbname="postgres") as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return self.url("postgres") + f"&options=-csearch_path%3D{name}"

    def run(self, program: str, *arguments: str) -> None:
        where = ("--host", str(self.socket), "--username", USER)
        subprocess.run([self.programs / program, *where, *arguments], check=True, capture_output=True)


def _programs() -> Path | None:
    """Debian keeps them off the PATH, a folder for each version."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    return max(found, default=Path(on_path).resolve().parent if on_path else None)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server without databases; the test is skipped where it is not installed. It does not run as root."""
    programs = _programs()
    if programs is None:
        pytest.skip("needs postgresql")
    as_user = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # pytest's own folders are root's alone, and their paths too long
    try:
        if as_user:
            os.chown(folder, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        data = folder / "data"
        options = ("--username", USER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        subprocess.run(
            [programs / "initdb", *options, "-D", data], check=True, capture_output=True, cwd=folder, **as_user
        )
        settings = [word for setting in (*FAST, "listen_addresses=") for word in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            command = [programs / "postgres", "-D", data, "-k", folder, *settings]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            server = Postgres(programs, folder)
            _wait(server, process)
            yield server
        finally:
            process.send_signal(2)  # "fast shutdown": those who are still connected are cut off
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: Postgres, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.run("psql", "--no-psqlrc", "--command", "SELECT 1", "postgres")
            return
        time.sleep(0.05)
    pytest.fail("PostgreSQL did not start")
