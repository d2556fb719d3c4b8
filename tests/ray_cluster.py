"""A Ray cluster of two nodes on this machine, in a process of its own that is told by lines what to do."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_SET_CHILD_SUBREAPER = 36
_TESTS = Path(__file__).parent
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # 127.0.0.1 stays 127.0.0.1, so that nobody else can connect
    "PYTHONPATH": str(_TESTS),
}
_QUICK_TO_MISS = {
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 0,
}


class TwoNodes:
    """A cluster whose second node can be lost and come again."""

    def __init__(self, process: subprocess.Popen[str], folder: str):
        self._process, self.folder = process, folder
        self.address = self._answer()

    def tell(self, what: str) -> None:
        """``add`` a node, ``kill`` the one added last, or kill the ``head`` with all that it knows."""
        print(what, file=self._process.stdin, flush=True)
        assert self._answer() == "done"

    def _answer(self) -> str:
        line = self._process.stdout.readline().strip()
        assert line, "the Ray cluster of the test did not start"
        return line


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """A cluster on the loopback interface, of which nothing is left afterwards."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # its sockets may have short names only
    process = subprocess.Popen(
        [sys.executable, __file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT},
        text=True,
    )
    with process:
        try:
            yield TwoNodes(process, folder)
        finally:
            process.stdin.close()
            process.wait(60)
    shutil.rmtree(folder)
    assert process.returncode == 0, "processes of the Ray cluster are left"


def _serve(folder: str) -> None:
    from ray._private import utils
    from ray.cluster_utils import Cluster

    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)  # whose parent is killed becomes a child of this process
    utils.write_ray_address = lambda *_: None  # leaves alone what stands there of the user's own cluster
    cluster = Cluster()
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False, "temp_dir": folder}
    cluster.add_node(**node, _system_config=_QUICK_TO_MISS)
    added = [cluster.add_node(**node)]
    _say(cluster.address)
    for line in sys.stdin:
        match line.strip():
            case "add":
                added.append(cluster.add_node(**node))
            case "kill":
                lost = added.pop()
                _kill_with_children(psutil.Process(lost.all_processes["raylet"][0].process.pid))
                cluster.remove_node(lost, allow_graceful=False)
            case "head":
                cluster.head_node.kill_gcs_server()
        _say("done")
    for child in psutil.Process().children():
        _kill_with_children(child)
    _, alive = psutil.wait_procs(psutil.Process().children(), 20)
    os._exit(1 if alive else 0)  # at its exit Ray would look for what was just ended


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _kill_with_children(process: psutil.Process) -> None:
    for one in (*process.children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


if __name__ == "__main__":
    _serve(sys.argv[1])
