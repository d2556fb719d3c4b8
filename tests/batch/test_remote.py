"""The worker and the engine of a cluster, without Ray: machines that are objects of the test."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import medseg
from medseg.batch import cluster as cluster_module
from medseg.batch import ray as ray_engine
from medseg.batch.cluster import Lost, Place, RayCluster, connected
from medseg.batch.engine import Limits, ListedTasks
from medseg.batch.ray import RayEngine, places
from medseg.batch.records import Stage, Status, StudyResult, StudyTask
from medseg.batch.remote import RemoteWorker
from medseg.core.errors import BundleError, InputError

NAMES = "abcdef"
TWO = {"a": {"CPU": 4.0}, "b": {"CPU": 4.0}}


@pytest.fixture(autouse=True)
def _no_logs(monkeypatch):
    """The worker has a process of its own, whose logs it routes."""
    monkeypatch.setattr("medseg.batch.remote.route_logs", lambda: None)


def task(name="study") -> StudyTask:
    return StudyTask(name, (), "1")


def result(name="study") -> StudyResult:
    return StudyResult(name, "1", Status.DONE)


class Stepwise:
    """A worker whose study goes on when the test says so."""

    def __init__(self):
        self.entered, self.go_on = threading.Event(), threading.Event()

    def process(self, task, enter):
        enter(Stage.READ)
        time.sleep(0.05)
        enter(None)
        enter(Stage.PREDICT)
        self.entered.set()
        assert self.go_on.wait(10)
        enter(None)
        return result(task.name)


def test_a_remote_worker_tells_how_long_it_has_been_at_what():
    stepwise = Stepwise()
    worker = RemoteWorker(lambda _: stepwise, 0, medseg.__version__)
    assert worker.unfit() is None
    assert worker.at_work() == {}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(worker.process(task())))
    thread.start()
    assert stepwise.entered.wait(10)
    seconds, stage = worker.at_work()["study"]
    assert stage is Stage.PREDICT
    assert 0.05 <= seconds < 10
    stepwise.go_on.set()
    thread.join()
    assert answers == [result()]
    assert worker.at_work() == {}


def test_waiting_is_not_counted():
    seen = []

    def process(task, enter):
        time.sleep(0.2)
        seen.append(worker.at_work()["study"])
        return result()

    worker = RemoteWorker(lambda _: SimpleNamespace(process=process), 0, medseg.__version__)
    worker.process(task())
    assert seen == [(0.0, None)]


def broken(index: int):
    raise ZeroDivisionError("secret /home/patient")


def missing(index: int):
    raise BundleError("no such model")


@pytest.mark.parametrize(
    ("open_worker", "version", "error", "sentence"),
    [
        (missing, medseg.__version__, BundleError, "no such model"),
        (
            broken,
            medseg.__version__,
            InputError,
            "a worker of the cluster cannot begin: unexpected ZeroDivisionError in",
        ),
        (missing, "0.0.7", InputError, "a node of the cluster has medseg .*, this machine has 0.0.7"),
    ],
)
def test_an_unfit_worker_says_why_without_the_text_of_what_went_wrong(open_worker, version, error, sentence):
    worker = RemoteWorker(open_worker, 0, version)
    with pytest.raises(error, match=sentence) as caught:
        raise worker.unfit()
    assert "secret" not in str(caught.value)
    with pytest.raises(error, match=sentence):
        worker.process(task())


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        (TWO, 0, [Place("a", 4), Place("b", 4)]),
        (TWO, 3, [*[Place("a", 1)] * 3, *[Place("b", 1)] * 3]),
        ({"a": {"CPU": 2.0}}, 5, [Place("a", 1)] * 2),
        ({"head": {"CPU": 0.0}, "a": {"CPU": 2.0}, "odd": {}}, 0, [Place("a", 2)]),
    ],
)
def test_workers_share_the_cores_of_a_node(nodes, wanted, expected):
    assert places(nodes, wanted, gpus=True) == expected


def test_workers_share_the_gpus_and_leave_nodes_without_one_alone():
    nodes = {"a": {"CPU": 16.0}, "b": {"CPU": 16.0, "GPU": 2.0}}
    assert places(nodes, 0, gpus=True) == [Place("b", 8, 1.0)] * 2
    assert places(nodes, 1, gpus=True) == [Place("b", 16, 1.0)]
    assert places(nodes, 3, gpus=True) == [Place("b", 5, 0.5)] * 3
    assert places(nodes, 0, gpus=False) == [Place("a", 16), Place("b", 16)]


class Machine:
    """A worker of the test. ``script`` says of each study how it ends."""

    def __init__(self, cluster, place, index):
        self.cluster, self.place, self.index, self.killed = cluster, place, index, False

    def call(self, what, answer):
        call = (self.index, what, next(self.cluster.numbers))
        self.cluster.answers[call] = answer
        return call

    def unfit(self):
        return self.call("unfit", self.cluster.unfit(self))

    def process(self, task):
        self.cluster.given.append((self.index, task.name))
        return self.call(task.name, self.cluster.script(self, task.name))

    def at_work(self):
        return self.call("at work", self.cluster.at_work)

    def kill(self):
        self.killed = True


class Cluster:
    """Machines that answer at once; None where they keep silent."""

    def __init__(self, script=lambda machine, name: result(name), nodes=TWO):
        self.script, self.now, self.at_work, self.machines, self.given = script, nodes, {}, [], []
        self.unfit = lambda machine: "fit"
        self.answers, self.numbers = {}, iter(range(10**6))

    def nodes(self):
        return self.now() if callable(self.now) else self.now

    def start(self, place, open_worker, index, calls):
        self.machines.append(Machine(self, place, index))
        return self.machines[-1]

    def answered(self, calls, seconds):
        found = [call for call in calls if self.answers[call] is not None]
        time.sleep(0 if found else 0.01)
        return found

    def answer(self, call):
        answer = self.answers[call]
        return None if answer == "fit" else answer


def run(cluster: Cluster, names=NAMES, seconds: float | None = None, processes=0):
    """What becomes of the studies, and where they were."""

    @contextmanager
    def connect(address):
        assert address == "auto"
        yield cluster

    engine = RayEngine(lambda _: None, Limits(processes, 2, seconds), None, connect=connect)
    results = {one.name: one for one in engine.run(ListedTasks(task(name) for name in names))}
    assert all(machine.killed for machine in cluster.machines)
    return results


def test_studies_go_to_whoever_has_least():
    cluster = Cluster()
    assert set(run(cluster)) == set("abcdef")
    assert [index for index, _ in cluster.given[:4]] == [0, 1, 0, 1]


def test_a_node_that_leaves_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(ray_engine, "_SECONDS_BETWEEN_ROLL_CALLS", 0.05)
    cluster = Cluster(lambda machine, name: result(name) if machine.place.node == "b" else None)
    cluster.now = lambda: TWO if len(cluster.given) < 4 else {"b": TWO["b"]}
    results = run(cluster)
    assert {one.status for one in results.values()} == {Status.DONE}
    assert len(results) == 6
    alone = [name for index, name in cluster.given if index == 0]
    assert sorted(cluster.given[-2:]) == sorted((1, name) for name in alone)


def test_a_node_that_joins_gets_workers(monkeypatch):
    monkeypatch.setattr(ray_engine, "_SECONDS_BETWEEN_ROLL_CALLS", 0.0)
    cluster = Cluster()
    cluster.now = lambda: TWO if len(cluster.given) >= 2 else {"a": TWO["a"]}
    run(cluster, "abcdefghijkl")
    assert {machine.place.node for machine in cluster.machines} == {"a", "b"}


def test_nothing_is_asked_while_the_head_is_silent(monkeypatch):
    monkeypatch.setattr(ray_engine, "_SECONDS_BETWEEN_ROLL_CALLS", 0.0)
    cluster = Cluster()
    silent = iter([None, None, TWO])
    cluster.now = lambda: next(silent, None)
    assert len(run(cluster)) == 6


def test_a_study_is_tried_three_times_and_its_neighbours_once_more():
    cluster = Cluster(lambda machine, name: Lost() if name == "a" else result(name))
    results = run(cluster)
    assert results.pop("a").reason == "its worker was lost 3 times, as when memory runs out"
    assert {one.status for one in results.values()} == {Status.DONE}
    assert [name for _, name in cluster.given].count("a") == 3
    assert max([name for _, name in cluster.given].count(name) for name in "bcdef") == 2


def test_a_study_that_takes_too_long_fails_and_its_neighbours_begin_again():
    cluster = Cluster(lambda machine, name: None if machine.index == 0 else result(name), {"a": TWO["a"]})
    cluster.at_work = {"a": (5.0, Stage.WRITE), "b": (0.5, Stage.READ)}
    results = run(cluster, "abc", seconds=2.0)
    assert results.pop("a").reason == "it took longer than the limit of 2 s while it was to write"
    assert {name: one.status for name, one in results.items()} == {"b": Status.DONE, "c": Status.DONE}


def test_what_is_late_and_waits_is_told_without_a_stage():
    cluster = Cluster(lambda machine, name: None)
    cluster.at_work = {"a": (5.0, None)}
    assert run(cluster, "a", seconds=2.0)["a"].reason == "it took longer than the limit of 2 s"


def test_a_worker_in_time_goes_on(monkeypatch):
    monkeypatch.setattr(ray_engine, "_SECONDS_BETWEEN_LOOKS", 0.0)
    cluster = Cluster(lambda machine, name: None)
    asked = []

    def at_work():
        asked.append(None)
        if len(asked) == 3:
            for call in [call for call in cluster.answers if call[1] == "a"]:
                cluster.answers[call] = result("a")
        return {"a": (0.1, Stage.READ)}

    monkeypatch.setattr(Machine, "at_work", lambda machine: machine.call("at work", at_work()))
    assert run(cluster, "a", seconds=2.0)["a"].status is Status.DONE
    assert len(asked) >= 3


def test_a_worker_that_does_not_even_tell_the_time_is_lost(monkeypatch):
    monkeypatch.setattr(ray_engine, "_GRACE_S", 0.0)
    cluster = Cluster(lambda machine, name: None if machine.index == 0 else result(name), {"a": TWO["a"]})
    cluster.at_work = None
    results = run(cluster, "ab", seconds=0.05)
    assert {one.status for one in results.values()} == {Status.DONE}
    assert len(cluster.machines) == 2


def test_an_unfit_worker_ends_the_job():
    cluster = Cluster()
    cluster.unfit = lambda machine: BundleError("no such model")
    with pytest.raises(BundleError, match="no such model"):
        run(cluster)


def test_a_node_whose_workers_never_begin_is_given_up_and_the_others_go_on():
    cluster = Cluster()
    cluster.unfit = lambda machine: Lost() if machine.place.node == "a" else "fit"
    cluster.script = lambda machine, name: None  # until the other node was tried often enough

    def nodes():
        if len(cluster.machines) == 4:
            cluster.script = lambda machine, name: result(name)
            cluster.answers |= {call: result(name) for call in cluster.answers if (name := call[1]) in NAMES}
        return TWO

    cluster.now = nodes
    assert len(run(cluster)) == 6
    assert [machine.place.node for machine in cluster.machines] == ["a", "b", "a", "a"]


def test_a_cluster_on_which_nothing_begins_ends_the_job():
    cluster = Cluster()
    cluster.unfit = lambda machine: Lost()
    with pytest.raises(InputError, match="workers ended 3 times before they could begin, on every node"):
        run(cluster)
    assert len(cluster.machines) == 6


def test_a_busy_cluster_is_told_of_once(monkeypatch, caplog):
    monkeypatch.setattr(ray_engine, "_SECONDS_BETWEEN_ROLL_CALLS", 0.0)
    monkeypatch.setattr(ray_engine, "_SECONDS_TO_BEGIN", 0.0)
    cluster = Cluster()
    cluster.unfit = lambda machine: None
    looks = iter(range(5))

    def nodes():
        if next(looks, None) is None:
            for call in cluster.answers:
                cluster.answers[call] = cluster.answers[call] or "fit"
        return TWO

    cluster.now = nodes
    with caplog.at_level(logging.WARNING):
        assert len(run(cluster)) == 6
    assert [one.message[:27] for one in caplog.records] == ["no worker has begun on the "]


def test_a_head_that_stays_silent_is_gone(monkeypatch):
    heard = {"is": True}
    monkeypatch.setattr(cluster_module, "_is_reachable", lambda _: heard["is"])
    monkeypatch.setattr(cluster_module, "_GONE_AFTER_S", 0.1)
    alive = [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 1.0}}, {"NodeID": "b", "Alive": False}]
    cluster = RayCluster(SimpleNamespace(nodes=lambda: alive), ("head", 1))
    assert cluster.nodes() == {"a": {"CPU": 1.0}}
    heard["is"] = False
    assert cluster.nodes() is None
    time.sleep(0.15)
    with pytest.raises(InputError, match="the Ray cluster is gone"):
        cluster.nodes()
    heard["is"], alive[0]["Alive"] = True, False
    with pytest.raises(InputError, match="the Ray cluster is gone"):
        cluster.nodes()


def test_a_worker_that_runs_other_code_ends_the_job():
    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        cause = ModuleNotFoundError("secret")

    def get(call, timeout):
        raise call

    ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError), get=get)
    cluster = RayCluster(ray, ("head", 1))
    assert cluster.answered([], 0.0) == []
    with pytest.raises(InputError, match=r"cannot be called .ModuleNotFoundError.; install the same medseg"):
        cluster.answer(RayTaskError())
    assert cluster.answer(RayError()) == Lost()


def test_without_ray_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="Ray is not installed; install medseg.ray."), connected("auto"):
        pass


def test_another_thread_has_no_signals_to_restore():
    thread = threading.Thread(target=cluster_module._restore, args=(None,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is not None
