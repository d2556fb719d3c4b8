"""The de-identification of an upload in a process of its own, which may be ended at any time.

A page of the app is no place for it: what a hostile file does to memory or to a decoder would hit everybody, a thread
cannot be ended, and worker processes would run the page's script again. The process keeps its temporary files in the
folder of the upload, has bounded memory, ends when nobody waits for it, and says what it does in lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from medseg.core import errors
from medseg.core.errors import DataError, InputError, MedsegError
from medseg.core.messages import redacted, route_logs
from medseg.core.progress import Progress

from .cleaning import CleanRequest, CleanResult, clean

_SECONDS_BETWEEN_LOOKS = 0.2
_LONGEST_S = 2 * 3600.0
_MOST_MEMORY = 12 * 2**30
_END = ""
CODE = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main()"
"""What the interpreter is given, and besides it where modules lie; that way it runs no script of the app."""


def clean_apart(request: CleanRequest, folder: Path, progress: Progress) -> CleanResult:
    """As ``cleaning.clean``, in another process.

    Args:
        request: What to do.
        folder: For its temporary files.
        progress: Told of each step, and several times a second of none; what it raises ends the process.

    Raises:
        InputError: If it takes more than two hours; and as ``clean``.
        DataError: If the process dies.
        OutputError: As ``clean``.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-c", CODE, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},  # noqa: TID251 - handed on, not read
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )
    with _ended(process):
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None  # noqa: S101 - both were asked for
        assert stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # one that died at once says so by its end
            stdin.write(request.model_dump_json() + "\n")
            stdin.flush()
        for kind, *values in _messages(stdout, progress):
            match kind:
                case "start":
                    progress.start(str(values[0]), int(values[1]))
                case "advance":
                    progress.advance(int(values[0]))
                case "note":
                    progress.note(str(values[0]))
                case "done":
                    return CleanResult.model_validate(values[0])
                case "error":
                    raise _error(*map(str, values))
        raise DataError("the upload was too much for the process that de-identifies it; upload fewer series at once")


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the process and all that it started when the block ends."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _messages(stdout: IO[str], progress: Progress) -> Iterator[list[Any]]:
    """What the process says, until it ends."""
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_all, args=(stdout, lines), daemon=True).start()
    until = time.monotonic() + _LONGEST_S
    while True:
        progress.advance(0)
        if time.monotonic() > until:
            raise InputError(f"the upload takes more than {_LONGEST_S / 3600:g} hours; upload fewer series at once")
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=_SECONDS_BETWEEN_LOOKS)
            if line == _END:
                return
            yield json.loads(line)


def _read_all(stdout: IO[str], lines: queue.Queue[str]) -> None:
    with contextlib.suppress(OSError, ValueError):  # closed meanwhile
        for line in stdout:
            lines.put(line)
    lines.put(_END)


def _error(kind: str, sentence: str) -> MedsegError:
    found = getattr(errors, kind, DataError)
    is_ours = isinstance(found, type) and issubclass(found, MedsegError)
    return found(sentence) if is_ours else DataError(sentence)


class _Lines:
    """Progress as lines of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self, label: str, total: int) -> None:
        self.say("start", label, total)

    def advance(self, steps: int = 1) -> None:
        self.say("advance", steps)

    def note(self, text: str) -> None:
        self.say("note", text)

    def finish(self) -> None:
        pass

    def say(self, *values: object) -> None:
        self._stream.write(json.dumps(values) + "\n")
        self._stream.flush()


def main() -> None:
    """What the process does: one request from stdin, messages to stdout."""
    route_logs()
    _bound_memory()
    lines = _Lines(sys.stdout)
    request = CleanRequest.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        result = clean(request, lines)
    except MedsegError as error:
        lines.say("error", type(error).__name__, sentence(error))
    except Exception as error:  # noqa: BLE001 - a hostile upload may raise anything
        lines.say("error", "DataError", f"the upload cannot be read ({type(error).__name__})")
    else:
        lines.say("done", result.model_dump(mode="json"))


def sentence(error: MedsegError) -> str:
    """What an error says, without the folder of the upload."""
    return redacted(str(error)).replace("<path>", "the upload")


def _leave_with_parent() -> None:
    """End when stdin does: then nobody waits any more."""
    sys.stdin.read()
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(_MOST_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
