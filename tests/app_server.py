"""The review app, served by `medseg app`'s own code on a free port of this machine, for tests that need all of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from medseg.config.review import ReviewConfig

_SCRIPT = """
import sys
from pathlib import Path
from medseg.config.load import load_review_config
from medseg.core.messages import route_logs
from medseg.review.desk import open_desk
from medseg_app.app import Serving, serve

config, port = Path(sys.argv[1]), int(sys.argv[2])
route_logs()
with open_desk(load_review_config(config)) as desk:
    serving = Serving(port, opens_browser=False, secrets=config.with_name("secrets.toml"), test=True)
    serve(desk, serving, lambda url: print("ready", url, flush=True))
"""
_START_S, _STOP_S = 120, 30


@dataclass
class RunningApp:
    """A server in a process of its own.

    Attributes:
        url: Where it answers.
        process: The process.
        said: What it wrote, stdout and stderr.
    """

    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running_app(config: ReviewConfig, folder: Path, port: int = 0) -> Iterator[RunningApp]:
    """The app with a configuration, which is written into ``folder`` beside any ``secrets.toml`` there.

    Args:
        config: What it shows; its paths are absolute.
        folder: For the configuration.
        port: To listen at; 0 takes a free one.
    """
    path = folder / "review.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-c", _SCRIPT, str(path), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        app = RunningApp("", process)
        is_ready = threading.Event()
        listener = threading.Thread(target=_listen, args=(app, is_ready), daemon=True)
        listener.start()
        try:
            assert is_ready.wait(_START_S), app.said
            assert app.url, app.said
            yield app
        finally:
            process.terminate()
            process.wait(_STOP_S)
            listener.join(_STOP_S)


def _listen(app: RunningApp, is_ready: threading.Event) -> None:
    """Keep what the process says, and note when it is ready or gone."""
    for line in app.process.stdout:
        app.said.append(line.rstrip())
        if line.startswith("ready "):
            app.url = line.split()[1]
            is_ready.set()
    is_ready.set()
