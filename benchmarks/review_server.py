"""The review app in a process of its own, served by its own code, which says on request what it holds.

    python benchmarks/review_server.py REVIEW.YAML PORT [PATIENCE_S]

For each line that comes by stdin it answers with a line of JSON. With a third argument sessions whose browser is gone
are kept for so many seconds, instead of the two minutes of the app.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from streamlit.runtime.app_session import AppSession, AppSessionState

from medseg.config.review import ReviewConfig

START_S, STOP_S, ANSWER_S = 180.0, 30.0, 300.0
_OF_SESSIONS = ("AppSession", "Seat", "OpenedCase", "Upload", "UploadedFileRec")
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Memory, MiB.

    Attributes:
        pss: All; what is shared with other processes counts by share.
        data: Without files and libraries, whose share changes with what else runs.
    """

    pss: float
    data: float

    def __str__(self) -> str:
        return f"{self.pss:.0f} MiB, of which {self.data:.0f} MiB data"


class Server:
    """A server that runs.

    Attributes:
        url: Where it answers.
        said: What it wrote besides answers; stdout and stderr.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.url = ""
        self.said: list[str] = []
        self._process = process
        self._root = psutil.Process(process.pid)
        self._answer: dict[str, int] = {}
        self._is_ready, self._is_answered = threading.Event(), threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self) -> None:
        """Until it answers.

        Raises:
            SystemExit: If it does not.
        """
        if not self._is_ready.wait(START_S) or not self.url:
            raise SystemExit("the app does not start:\n" + "\n".join(self.said))

    def held(self) -> dict[str, int]:
        """How many things of sessions it has in memory, by their kind."""
        self._is_answered.clear()
        print(file=self._process.stdin, flush=True)
        if not self._is_answered.wait(ANSWER_S):
            raise SystemExit("the app does not answer:\n" + "\n".join(self.said[-20:]))
        return self._answer

    def memory(self) -> Footprint:
        """Of the process itself."""
        rollup = Path(f"/proc/{self._root.pid}/smaps_rollup").read_text(encoding="ascii")
        sizes = {name: int(size) / 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", rollup)}
        return Footprint(sizes["Pss"], sizes["Pss_Anon"])

    def tree_mib(self) -> float:
        """Memory of the process and of those that it started."""
        return tree_mib(self._root)

    def cpu_s(self) -> float:
        """Seconds that its threads have worked."""
        times = self._root.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._listener.join(STOP_S)

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith("ready "):
                self.url = line.split()[1]
                self._is_ready.set()
            elif line.startswith("answer "):
                self._answer = json.loads(line.removeprefix("answer "))
                self._is_answered.set()
            else:
                self.said.append(line.rstrip())
        self._is_ready.set()


def tree_mib(root: psutil.Process) -> float:
    """Memory of a process and of those that it started, shared pages by share."""
    pss = 0
    with contextlib.suppress(psutil.Error):
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError):
                pss += process.memory_full_info().pss
    return pss / MIB


@contextlib.contextmanager
def running(config: ReviewConfig, folder: Path, port: int, patience_s: float | None = None) -> Iterator[Server]:
    """The app on a port of this machine.

    Args:
        config: What it shows; its paths are absolute.
        folder: For the configuration; a ``secrets.toml`` lies there if there is a login.
        port: To listen at.
        patience_s: How long sessions whose browser is gone are kept; None for what the app does.
    """
    path = folder / "review.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, __file__, str(path), str(port), *([] if patience_s is None else [str(patience_s)])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    server = Server(subprocess.Popen(command, text=True, **pipes))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def main() -> None:
    from medseg_app.app import Serving, serve

    from medseg.config.load import load_review_config
    from medseg.core.messages import route_logs
    from medseg.review.desk import open_desk

    config, port = Path(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        _shorten(float(sys.argv[3]))
    route_logs()
    threading.Thread(target=_answer_all, daemon=True).start()
    with open_desk(load_review_config(config)) as desk:
        serving = Serving(port, opens_browser=False, secrets=config.with_name("secrets.toml"), test=True)
        serve(desk, serving, lambda url: print("ready", url, flush=True))


def _shorten(patience_s: float) -> None:
    """Let sessions go sooner than the app does."""
    from medseg_app import app

    from medseg.review.visits import Visits

    settings_of = app.settings_of

    def sooner(*given: Any) -> dict[str, Any]:
        return {**settings_of(*given), "server.disconnectedSessionTTL": round(patience_s) + 60}

    app.settings_of = sooner
    Visits.__init__.__defaults__ = (patience_s,)


def _answer_all() -> None:
    """Say for each line that comes what there is of the kinds that sessions bring."""
    for _ in sys.stdin:
        kinds = Counter(type(one).__name__ for one in gc.get_objects() if not _is_over(one))
        print("answer", json.dumps({name: kinds[name] for name in _OF_SESSIONS}), flush=True)


def _is_over(thing: object) -> bool:
    return isinstance(thing, AppSession) and thing._state is AppSessionState.SHUTDOWN_REQUESTED  # noqa: SLF001


if __name__ == "__main__":
    main()
