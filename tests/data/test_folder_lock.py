"""One process at a time."""

from __future__ import annotations

import threading

import pytest
from filelock import FileLock

from medseg.data.folder_lock import LOCK, locked


def test_who_does_not_wait_is_told_that_another_has_it(tmp_path):
    folder = tmp_path / "run" / "fold-0"
    with locked(folder, wait=False) as first, locked(folder, wait=False) as second:
        assert (first, second) == (True, False)
        with locked(folder, wait=False) as third:
            assert not third
    with locked(folder, wait=False) as free:
        assert free


def test_who_waits_gets_it_afterwards(tmp_path):
    order = []

    def later():
        with locked(tmp_path) as ours:
            order.append(("other", ours))

    with locked(tmp_path) as ours:
        other = threading.Thread(target=later)
        other.start()
        other.join(timeout=0.2)
        order.append(("one", ours))
    other.join()
    assert order == [("one", True), ("other", True)]


def test_it_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyError, match="inside"), locked(tmp_path):
        raise KeyError("inside")
    with FileLock(tmp_path / LOCK, timeout=0) as lock:
        assert lock.is_locked


def test_a_file_system_without_locks_goes_without(tmp_path, monkeypatch):
    def none(*_):
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", none)
    for wait in (True, False):
        with locked(tmp_path, wait=wait) as ours:
            assert ours
