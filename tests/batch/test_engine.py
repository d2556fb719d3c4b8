"""Every study comes to an end, whatever its process does."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import batch_workers
import pytest
import torch

from medseg.batch.engine import Limits, ListedTasks, LocalEngine, _Process
from medseg.batch.records import Status, StudyTask
from medseg.batch.worker import is_gpu_fault
from medseg.core.errors import BundleError, InputError

UNLIMITED = Limits(seconds=None)


def run(folder: Path, scripts: dict[str, str], limits: Limits = UNLIMITED):
    tasks = ListedTasks(StudyTask(name, (script,), "1") for name, script in scripts.items())
    engine = LocalEngine(partial(batch_workers.Scripted, folder), limits)
    return {result.name: result for result in engine.run(tasks)}


def tries(folder: Path, name: str) -> int:
    return len((folder / f"{name}.tries").read_text().splitlines())


def good(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "good")


@pytest.mark.parametrize("processes", [1, 2])
def test_all_are_done(tmp_path, processes):
    results = run(tmp_path, good(*"abcdefgh"), Limits(processes, seconds=None))
    assert set(results) == set("abcdefgh")
    assert all(result.status is Status.DONE for result in results.values())
    assert {result.reason for result in results.values()} <= {f"by {index}" for index in range(processes)}
    assert all(tries(tmp_path, name) == 1 for name in results)


def test_nothing_to_do_is_over_at_once(tmp_path):
    assert run(tmp_path, {}) == {}


def test_a_study_that_kills_its_process_fails_alone(tmp_path):
    results = run(tmp_path, {**good("a", "b"), "killer": "die", **good("c", "d", "e")})
    assert results.pop("killer").reason == "its process died twice, ended by signal 9, as when memory runs out"
    assert all(result.status is Status.DONE for result in results.values())
    assert tries(tmp_path, "killer") == 2


def test_a_study_that_dies_once_is_done_in_the_end(tmp_path):
    results = run(tmp_path, {"unlucky": "die-once", **good("a", "b")})
    assert all(result.status is Status.DONE for result in results.values())
    assert tries(tmp_path, "unlucky") == 2


def test_an_exit_is_a_death_too(tmp_path):
    assert run(tmp_path, {"leaver": "exit"})["leaver"].reason == "its process died twice, with exit code 3"


def test_who_only_waited_is_not_suspect(tmp_path):
    results = run(tmp_path, {"patient": "wait 0.7", "killer": "die"})
    assert results["patient"].status is Status.DONE
    assert results["killer"].status is Status.FAILED


def test_where_all_only_waited_all_are_suspect(tmp_path):
    results = run(tmp_path, {"one": "die-waiting", "two": "die-waiting", **good("a")}, Limits(at_once=2, seconds=None))
    assert results.pop("a").status is Status.DONE
    assert {result.reason for result in results.values()} == {
        "its process died twice, ended by signal 9, as when memory runs out"
    }
    assert all(tries(tmp_path, name) <= 3 for name in results)


def test_what_nobody_foresaw_is_a_failure_without_its_text(tmp_path):
    result = run(tmp_path, {"odd": "raise", **good("a")})["odd"]
    assert result.status is Status.FAILED
    assert result.reason.startswith("unexpected ZeroDivisionError in batch_workers.py:")
    assert "secret" not in result.reason
    assert tries(tmp_path, "odd") == 1


def test_a_gpu_that_failed_gets_another_process(tmp_path):
    results = run(tmp_path, {"unlucky": "gpu-once", **good("a")})
    assert all(result.status is Status.DONE for result in results.values())
    assert len(set((tmp_path / "unlucky.tries").read_text().split())) == 2


def test_a_study_that_breaks_the_gpu_is_not_tried_again_and_again(tmp_path):
    results = run(tmp_path, {"bad": "gpu", **dict.fromkeys("abcdef", "sleep 0.2")})
    assert results.pop("bad").status is Status.FAILED
    assert all(result.status is Status.DONE for result in results.values())
    assert tries(tmp_path, "bad") == 2


class Slow(ListedTasks):
    """Takes long to say what comes next, as where a large folder is looked at, while a study is in hand."""

    def next(self):
        task = super().next()
        if task is None:
            time.sleep(2.5)
        return task


def test_time_in_which_nobody_looks_is_not_the_studys(tmp_path):
    tasks = Slow([StudyTask("a", ("sleep 0.2",), "1")])
    (result,) = LocalEngine(partial(batch_workers.Scripted, tmp_path), Limits(seconds=1.5)).run(tasks)
    assert result.status is Status.DONE


class AcceleratorError(RuntimeError):
    """Named as torch's, which a build without GPU cannot make."""


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (AcceleratorError("an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (AcceleratorError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA error"), False),
        (RuntimeError("sizes do not match"), False),
    ],
)
def test_a_fault_of_the_gpu_is_told_from_others(error, is_fault):
    assert is_gpu_fault(error) == is_fault


def test_a_study_that_takes_too_long_fails_and_the_others_go_on(tmp_path):
    begun = time.monotonic()
    results = run(tmp_path, {"slow": "sleep 60", **good(*"abcde")}, Limits(seconds=1.0))
    assert results.pop("slow").reason == "it took longer than the limit of 1 s while it was to read"
    assert all(result.status is Status.DONE for result in results.values())
    assert time.monotonic() - begun < 40


def test_who_waits_beside_a_study_that_takes_too_long_is_begun_again(tmp_path):
    results = run(tmp_path, {"slow": "sleep 60", "patient": "wait 1.6"}, Limits(at_once=2, seconds=1.0))
    assert {name: one.status for name, one in results.items()} == {"slow": Status.FAILED, "patient": Status.DONE}
    assert tries(tmp_path, "patient") == 2


def test_waiting_for_its_turn_is_not_taking_long(tmp_path):
    results = run(tmp_path, {"patient": "wait 1.5", **good("a")}, Limits(seconds=1.0))
    assert all(result.status is Status.DONE for result in results.values())


def test_a_worker_that_cannot_be_made_ends_the_job(tmp_path):
    tasks = ListedTasks([StudyTask("a", ("good",), "1")])
    with pytest.raises(BundleError, match="no such model"):
        list(LocalEngine(batch_workers.unfit, Limits()).run(tasks))
    with pytest.raises(InputError, match=r"^no worker can be made: unexpected RuntimeError in batch_work"):
        list(LocalEngine(batch_workers.faulty, Limits()).run(tasks))
    with pytest.raises(InputError, match="ended before it could begin .with exit code 7"):
        list(LocalEngine(batch_workers.dead, Limits()).run(tasks))


def test_a_process_that_died_before_it_was_given_a_study_is_found_out_later():
    mine, theirs = multiprocessing.Pipe()
    theirs.close()
    process = _Process(0, multiprocessing.Process(), mine, 1)
    LocalEngine(batch_workers.dead, Limits())._give(process, StudyTask("a", ("good",), "1"))
    assert list(process.hands) == ["a"]
    mine.close()


def test_a_caller_that_stops_ends_the_processes(tmp_path):
    tasks = ListedTasks(StudyTask(name, (script,), "1") for name, script in {"a": "good", "b": "sleep 60"}.items())
    results = LocalEngine(partial(batch_workers.Scripted, tmp_path), Limits(seconds=None)).run(tasks)
    assert next(results).name == "a"
    while not (tmp_path / "b.tries").exists():
        time.sleep(0.05)
    results.close()
    assert not is_alive(int((tmp_path / "b.tries").read_text()))


ORPHANS = """
import sys
from functools import partial
from pathlib import Path
import batch_workers
from medseg.batch.engine import Limits, ListedTasks, LocalEngine
from medseg.batch.records import StudyTask
if __name__ == "__main__":
    engine = LocalEngine(partial(batch_workers.Scripted, Path(sys.argv[1])), Limits(seconds=None))
    list(engine.run(ListedTasks([StudyTask("b", ("sleep 60",), "1")])))
"""


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    tests = Path(batch_workers.__file__).parent
    parent = subprocess.Popen([sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": str(tests)})
    while not (tmp_path / "b.tries").exists() or not (tmp_path / "b.tries").read_text().strip():
        time.sleep(0.05)
    worker = int((tmp_path / "b.tries").read_text())
    parent.kill()
    parent.wait()
    ends = time.monotonic() + 10
    while is_alive(worker) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not is_alive(worker)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
