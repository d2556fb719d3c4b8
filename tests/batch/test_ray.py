"""Every study comes to an end on a real cluster of two nodes, whatever becomes of workers and nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import batch_workers
import pytest
from ray_cluster import TwoNodes, two_nodes

from medseg.batch import cluster as cluster_module
from medseg.batch.cluster import Place, connected
from medseg.batch.engine import Limits, ListedTasks
from medseg.batch.job import Job
from medseg.batch.manifest import open_manifest
from medseg.batch.ray import RayEngine
from medseg.batch.records import Status, StudyTask
from medseg.core.errors import BundleError, InputError

ray = pytest.importorskip("ray", reason="needs Ray, from the extra ray")

MARKER = "Q7marker"
SOON_S = 40.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)  # 127.0.0.1 stays 127.0.0.1
        with two_nodes() as started:
            yield started


def tasks_of(scripts: dict[str, str]) -> ListedTasks:
    return ListedTasks(StudyTask(name, (script, f"/data/{MARKER}"), "1") for name, script in scripts.items())


def engine_of(folder: Path, nodes: TwoNodes, seconds: float | None = None, processes=0) -> RayEngine:
    work = partial(batch_workers.Scripted, folder)
    return RayEngine(work, Limits(processes, seconds=seconds), nodes.address)


def run(folder: Path, nodes: TwoNodes, scripts: dict[str, str], seconds: float | None = None):
    return {result.name: result for result in engine_of(folder, nodes, seconds).run(tasks_of(scripts))}


def tries(folder: Path, name: str) -> list[int]:
    """Processes that took a study in hand, first to last."""
    return [int(line) for line in (folder / f"{name}.tries").read_text().splitlines()]


def good(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "good")


def wait_for(claim) -> None:
    ends = time.monotonic() + SOON_S
    while not claim():
        assert time.monotonic() < ends
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Flow:
    """Studies that come until the test has seen enough; all that come have the script of the moment."""

    def __init__(self):
        self.script, self.given, self.are_over = "wait 0.1", [], False

    def next(self) -> StudyTask | None:
        if self.are_over:
            return None
        self.given.append(f"study-{len(self.given):03d}")
        assert len(self.given) < 500
        return StudyTask(self.given[-1], (self.script,), "1")

    def ended(self, result) -> None:
        pass


def test_all_are_done_on_both_nodes_and_nothing_changes_here(tmp_path, nodes, capfd):
    def handler(*_):
        return None

    before, flow, workers = signal.signal(signal.SIGTERM, handler), Flow(), Counter()
    try:
        for result in engine_of(tmp_path, nodes).run(flow):
            assert result.status is Status.DONE
            workers[result.reason] += 1
            flow.are_over = len(workers) == 2
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert workers.total() == len(flow.given)
    assert all(len(tries(tmp_path, name)) == 1 for name in flow.given)
    assert not ray.is_initialized()
    assert capfd.readouterr() == ("", "")


def test_a_study_that_kills_its_worker_fails_alone_and_one_that_is_late_too(tmp_path, nodes):
    scripts = {**good("a", "b"), "killer": "die", "unlucky": "die-once", "slow": "sleep 60", **good("c", "d")}
    results = run(tmp_path, nodes, scripts, seconds=2.0)
    assert results.pop("killer").reason == "its worker was lost 3 times, as when memory runs out"
    assert results.pop("slow").reason == "it took longer than the limit of 2 s while it was to read"
    assert set(results) == {"a", "b", "c", "d", "unlucky"}
    assert all(result.status is Status.DONE for result in results.values())
    assert len(tries(tmp_path, "killer")) in (2, 3)  # it may not have begun when another ended its first worker
    assert len(tries(tmp_path, "unlucky")) == 2


@pytest.mark.slow
def test_waiting_for_its_turn_is_not_taking_long(tmp_path, nodes):
    results = run(tmp_path, nodes, {"patient": "wait 2.5", **good("a")}, seconds=1.0)
    assert all(result.status is Status.DONE for result in results.values())


def test_a_worker_that_cannot_be_made_ends_the_job(nodes):
    with pytest.raises(BundleError, match="no such model"):
        list(RayEngine(batch_workers.unfit, Limits(0), nodes.address).run(tasks_of(good("a"))))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_workers_that_end_before_they_begin_end_the_job(nodes):
    with pytest.raises(InputError, match="workers ended 3 times before they could begin, on every node"):
        list(RayEngine(batch_workers.dead, Limits(0), nodes.address).run(tasks_of(good("a"))))


def test_a_node_is_killed_and_another_joins_and_every_study_ends_once(tmp_path, nodes, capfd):
    begun, flow = tmp_path / "tries", Flow()
    begun.mkdir()
    ended, workers = Counter(), set()
    change = threading.Thread(target=change_nodes, args=(nodes, flow, begun))
    with open_manifest(tmp_path, "model") as manifest:
        for result in Job(tmp_path, manifest).run(engine_of(begun, nodes), flow):
            ended[result.name] += 1
            workers.add(result.reason)
            if len(workers) == 2 and not change.ident:
                change.start()
            flow.are_over = len(workers) == 3
        change.join()
        assert manifest.counts() == {Status.DONE: len(flow.given)}
        assert {row.result.name: row.attempts for row in manifest.rows()} == dict.fromkeys(flow.given, 1)
    assert ended == dict.fromkeys(flow.given, 1)
    assert sorted(len(tries(begun, name)) for name in flow.given)[-4:] == [1, 2, 2, 2]
    assert capfd.readouterr() == ("", "")  # Ray keeps the logs of the lost node to itself


def change_nodes(nodes: TwoNodes, flow: Flow, begun: Path) -> None:
    """Kill a node while both have all hands full; then have another join."""
    flow.script = "wait 2"
    first = len(flow.given)
    wait_for(lambda: sum((begun / f"{name}.tries").exists() for name in flow.given[first:]) >= 6)
    flow.script = "wait 0.1"
    nodes.tell("kill")
    nodes.tell("add")


@pytest.mark.slow
def test_a_caller_that_stops_ends_the_workers(tmp_path, nodes):
    results = engine_of(tmp_path, nodes).run(tasks_of({"a": "good", "b": "sleep 60"}))
    assert next(results).name == "a"
    wait_for((tmp_path / "b.tries").exists)
    results.close()
    (worker,) = tries(tmp_path, "b")
    wait_for(lambda: not is_alive(worker))


DRIVER = """
import sys
from functools import partial
from pathlib import Path
import batch_workers
import ray._private.ray_constants
from medseg.batch.engine import Limits, ListedTasks
from medseg.batch.ray import RayEngine
from medseg.batch.records import StudyTask
ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
engine = RayEngine(partial(batch_workers.Scripted, Path(sys.argv[2])), Limits(0, seconds=None), sys.argv[1])
print([result.status for result in engine.run(ListedTasks([StudyTask("b", (sys.argv[3],), "1")]))])
"""


def driver(folder: Path, nodes: TwoNodes, what: str, *more: str) -> subprocess.Popen[str]:
    """Another process that has one study done; its output goes to a pipe."""
    (folder / "script.py").write_text(DRIVER)
    tests = str(Path(batch_workers.__file__).parent)
    command = [sys.executable, folder / "script.py", nodes.address, folder, what, *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": tests}, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
def test_workers_end_with_a_caller_that_is_killed(tmp_path, nodes):
    with driver(tmp_path, nodes, "sleep 60") as process:
        wait_for(lambda: (tmp_path / "b.tries").exists() and (tmp_path / "b.tries").read_text().strip())
        process.kill()
    (worker,) = tries(tmp_path, "b")
    wait_for(lambda: not is_alive(worker))


@pytest.mark.slow
def test_ray_writes_down_neither_paths_nor_command_lines_nor_the_text_of_errors(tmp_path, nodes):
    with driver(tmp_path, nodes, "raise", MARKER) as process:
        told = "".join(process.communicate(timeout=60))
    assert "Status.FAILED" in told
    run(tmp_path, nodes, {"odd": "raise", "killer": "die", "slow": "sleep 60"}, seconds=1.0)
    for pattern in (MARKER, "secret", "ZeroDivision"):
        found = subprocess.run(["grep", "-rl", pattern, nodes.folder], check=False, capture_output=True, text=True)
        assert found.stdout == ""
        assert pattern not in told


@pytest.mark.slow
def test_a_cluster_that_goes_away_ends_the_job_with_a_sentence(tmp_path, nodes, monkeypatch):
    monkeypatch.setattr(cluster_module, "_GONE_AFTER_S", 5.0)
    with two_nodes() as doomed:
        results = engine_of(tmp_path, doomed).run(tasks_of({"a": "good", "b": "sleep 8", "c": "sleep 60"}))
        assert next(results).name == "a"
        doomed.tell("head")
        begun = time.monotonic()
        with pytest.raises(InputError, match="the Ray cluster is gone; what was done is recorded"):
            list(results)
        assert time.monotonic() - begun < 30


def test_a_cluster_that_is_not_there_is_told_at_once(nodes, monkeypatch):
    for address, sentence in {
        "127.0.0.1:1": "cannot be reached",
        "ray://127.0.0.1:1": "cannot be reached",
        "ray://": "is no address of a Ray cluster",
        "nonsense": "is no address of a Ray cluster",
        "127.0.0.1:99999999": "cannot be reached",
    }.items():
        with pytest.raises(InputError, match=sentence), connected(address):
            pass
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda _: None)
    with pytest.raises(InputError, match="no Ray cluster runs on this machine"), connected("auto"):
        pass


def test_a_cluster_that_takes_no_connection_is_told(nodes, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError(MARKER)

    monkeypatch.setattr(ray, "init", refuse)
    sentence = r"takes no connection .RuntimeError.; Python, Ray and the access token have"
    with pytest.raises(InputError, match=sentence) as caught, connected(nodes.address):
        pass
    assert MARKER not in str(caught.value)


def test_the_cluster_does_not_learn_the_command_line(nodes):
    with connected(nodes.address):
        assert {job["Entrypoint"] for job in ray._private.state.jobs() if not job["IsDead"]} == {"medseg batch"}


def test_nothing_is_started_in_the_place_of_a_lost_connection(nodes):
    def lose() -> None:
        with connected(nodes.address) as cluster:
            handle = cluster.start(Place("0" * 56, 1), batch_workers.unfit, 0, 1)
            ray.shutdown()
            handle.kill()
            cluster.nodes()

    with pytest.raises(InputError, match="the Ray cluster is gone"):
        lose()
    assert not ray.is_initialized()


def test_a_connection_that_breaks_is_a_cluster_that_is_gone(nodes):
    with pytest.raises(InputError, match="the Ray cluster is gone"), connected(nodes.address):
        raise ConnectionError


@pytest.mark.slow
def test_another_thread_may_use_the_cluster(tmp_path, nodes):
    results = {}
    thread = threading.Thread(target=lambda: results.update(run(tmp_path, nodes, good("a"))))
    thread.start()
    thread.join(SOON_S)
    assert results["a"].status is Status.DONE
