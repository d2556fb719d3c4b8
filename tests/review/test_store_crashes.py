"""What was confirmed is kept, and the log verifies, whoever is killed when, and however full the disk is."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from factories import full_disk
from review_places import ANNA, CASE, KEY, Place, decision, filled, new_version, record
from review_writers import Writer

from medseg.core.errors import OutputError
from medseg.review.audit import Sealer
from medseg.review.database import FILE
from medseg.review.heads import FILE as HEAD
from medseg.review.heads import read_head
from medseg.review.records import Act
from medseg.review.vault import Vault


def assert_kept(place: Place, confirmed: list[int]) -> None:
    """All that was confirmed is there, and nothing is wrong; opened for reading first, as a killed process left it."""
    with place.read() as store:
        assert store.state.ok, store.state
    with place.open() as store:
        assert store.state.ok, store.state
        numbers = [version.number for version in store.versions(CASE)]
        assert numbers == list(range(len(numbers)))
        assert set(confirmed) <= set(numbers)
        assert set(confirmed) <= {one.version for one in store.decisions(CASE)}
        vault = Vault(place.folder)
        assert not any(vault.problem(version.sha256) for version in store.versions(CASE)[2:])
        assert read_head(place.folder, Sealer.of(KEY)).number == store.state.entries
        store.log(Act.OPENED, ANNA)


@pytest.mark.parametrize("moment", ["labels", "transaction", "half a transaction", "head"])
def test_a_writer_dies_in_the_middle(place, moment):
    with place.open() as store:
        filled(store)
    writer = Writer(place, "carl", 5, moment)
    writer.go()
    confirmed = writer.end()
    assert (writer.process.exitcode, confirmed) == (-9, [2, 3, 4])
    assert_kept(place, confirmed)
    with place.open() as store:
        assert len(store.versions()) == (6 if moment == "head" else 5)
        assert list(place.folder.glob(f".partial-*-{HEAD}")) == []


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_writers_are_killed_at_any_moment(place, rounds):
    with place.open() as store:
        filled(store)
    draw = random.Random(0)
    confirmed = []
    for _ in range(rounds):
        pair = [Writer(place, name, 1000) for name in ("carl", "dora")]
        for writer in pair:
            writer.go()
        for writer in pair:
            confirmed += [writer.pipe.recv() for _ in range(draw.randrange(1, 6))]
            time.sleep(draw.random() / 50)  # so that it is in the middle of anything
            writer.process.kill()
            confirmed += writer.end()
    assert len(set(confirmed)) == len(confirmed) >= 2 * rounds
    assert_kept(place, confirmed)


def test_two_processes_save_one_case_at_once(place):
    with place.open() as store:
        filled(store)
    pair = [Writer(place, name, 8) for name in ("carl", "dora")]
    for writer in pair:
        writer.go()
    confirmed = [number for writer in pair for number in writer.end()]
    assert sorted(confirmed) == list(range(2, 18))
    assert_kept(place, confirmed)


def test_threads_save_one_case_at_once(place):
    with place.open() as store, ThreadPoolExecutor(4) as pool:
        filled(store)
        made = list(pool.map(lambda _: store.add_version(new_version(0), ANNA).number, range(12)))
        assert sorted(made) == list(range(2, 14))
        assert store.verify().ok


def test_both_readers_see_the_prediction_first(place):
    """Two who open one case at once both put in the prediction; it is one version."""
    with place.open() as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.add_case(record(), ANNA), range(4)))
        made = list(pool.map(lambda _: store.add_version(new_version(), ANNA), range(4)))
        assert {version.number for version in made} == {0}
        assert store.verify().entries == 2


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path):
    place = Place(tmp_path)
    with place.open() as store:
        filled(store)
        kept = []

        def fill() -> None:
            while len(kept) < 1000:
                store.decide(decision(comment="x" * 2000), ANNA)
                kept.append(True)

        message = "cannot be used: the disk is full or damaged; what was confirmed before is safe"
        with full_disk((tmp_path / FILE).stat().st_size), pytest.raises(OutputError, match=message):
            fill()
        assert len(store.decisions()) == 2 + len(kept)
        assert store.verify().ok
        store.decide(decision(), ANNA)
        assert store.verify().ok
    assert_kept(place, [0, 1])


def test_the_head_file_does_not_fit(tmp_path, monkeypatch, caplog):
    """The decision is kept, and said to be; the next one is not before the head file has caught up."""
    with Place(tmp_path).open() as store:
        filled(store)
        full = OutputError("cannot write 'audit.head': the disk is full")
        with monkeypatch.context() as patch:
            patch.setattr("medseg.review.ledger.write_head", lambda *_: (_ for _ in ()).throw(full))
            store.log(Act.OPENED, ANNA)
            assert "the audit log is ahead of its head file: cannot write 'audit.head'" in caplog.text
            with pytest.raises(OutputError, match=r"cannot write 'audit.head': the disk is full"):
                store.log(Act.OPENED, ANNA)
        assert store.verify().entries == 6
        assert read_head(tmp_path, Sealer.of(KEY)).number == 5
        store.log(Act.OPENED, ANNA)
        assert read_head(tmp_path, Sealer.of(KEY)).number == 7


def test_a_folder_that_cannot_be_flushed_is_told(tmp_path, monkeypatch):
    def broken(handle: int) -> None:
        os.close(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("medseg.review.heads.flushed_folder", broken)
    with pytest.raises(OutputError, match=r"the review folder cannot be written to \(Input/output error\)"):
        Place(tmp_path).open()


def test_a_folder_that_is_kept_busy_is_told(tmp_path, monkeypatch):
    place = Place(tmp_path)
    with place.open() as store, place.open() as other:
        filled(store)
        monkeypatch.setattr(other._ledger._processes, "timeout", 0.05)
        with (
            store._ledger.writing(),
            pytest.raises(OutputError, match="another process has kept the review store busy"),
        ):
            other.log(Act.OPENED, ANNA)
        other.log(Act.OPENED, ANNA)


def test_a_lock_file_that_cannot_be_made_is_told(tmp_path):
    with Place(tmp_path).open() as store:
        lock = tmp_path / ".store.lock"
        lock.unlink(missing_ok=True)
        lock.mkdir()
        with pytest.raises(OutputError, match="the review folder cannot be written to"):
            store.log(Act.OPENED, ANNA)


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%review%'"


def test_a_server_that_goes_away_is_told_and_found_again(tmp_path, postgres):
    import psycopg

    place = Place(tmp_path, postgres.new_schema())

    def write_while_cut(store) -> None:
        with store._ledger.writing() as pen:
            with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(CUT)
            pen.entry(Act.OPENED, ANNA, CASE, {})

    with place.open() as store:
        filled(store)
        with pytest.raises(OutputError, match="the review database cannot be used"):
            write_while_cut(store)
        store.log(Act.OPENED, ANNA)
        assert (store.verify().ok, store.verify().entries) == (True, 6)
