from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from review_places import ANNA, BERT, CASE, KEY, MODEL, Place, decision, filled, new_version, record

from medseg.core.errors import InputError, OutputError, ReadError
from medseg.review.database import FILE
from medseg.review.records import Act, CaseName, Flag, ModelStamp, Origin, Verdict
from medseg.review.store import open_store, read_store


@pytest.fixture(scope="module")
def full_store(tmp_path_factory):
    """For tests that change nothing."""
    with open_store(tmp_path_factory.mktemp("review"), KEY) as store:
        filled(store)
        yield store


def test_what_is_kept_is_found_again(place):
    with place.open() as store:
        made = filled(store)
    with place.open() as store:
        assert store.case(CASE) == record()
        assert store.cases() == [record()]
        assert store.versions(CASE) == store.versions() == made
        assert [(one.number, one.parent, dict(one.volumes_ml)) for one in made] == [
            (0, None, {"liver": 1200.1}),
            (1, 0, {"liver": 1200.1}),
        ]
        assert store.decisions(CASE) == store.decisions()
        assert store.decisions() == [
            decision(1),
            decision(0, BERT, verdict=Verdict.REJECTED, difficulty=None, comment=""),
        ]
        assert store.state == store.verify()
        assert (store.state.ok, store.state.entries) == (True, 5)


def test_the_log_tells_who_did_what_to_which_outlines(place):
    with place.open() as store:
        filled(store)
        store.log(Act.OPENED, BERT, CASE)
        store.log(Act.EXPORTED, BERT, None, {"cases": 2, "form": "seg", "size_mb": 0.5})
        entries = list(store.entries())
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [(entry.act, entry.who, entry.role, entry.case) for entry in entries[2:]] == [
        ("saved", ANNA.name, "reader", CASE),
        ("decided", ANNA.name, "reader", CASE),
        ("decided", BERT.name, "senior", CASE),
        ("opened", BERT.name, "senior", CASE),
        ("exported", BERT.name, "senior", None),
    ]
    model = {"model": MODEL.name, "model_version": MODEL.version, "model_digest": MODEL.digest}
    outlines = {"version": 1, "labels": "ab" * 32, "image": "cd" * 32}
    assert entries[0].facts == {"origin": "folder", **model}
    assert entries[2].facts == {**outlines, **model, "author": ANNA.name, "changed_ml": 0.3, "parent": 0}
    assert entries[3].facts == {**outlines, **model, "verdict": "accepted", "difficulty": "hard"}
    assert entries[6].facts == {"cases": 2, "form": "seg", "size_mb": 0.5}
    assert [entry.made for entry in entries] == sorted(entry.made for entry in entries)


def test_outlines_go_back_to_the_model_that_made_them_whatever_runs_later(place):
    later = ModelStamp("later", "2", "e2" * 32)
    with place.open() as store:
        filled(store)
        store.add_case(record(model=later), ANNA)
        saved = store.add_version(new_version(1, "ef" * 32), ANNA)
        store.decide(decision(1), ANNA)
        assert [entry.facts["model"] for entry in store.entries()][-2:] == [MODEL.name] * 2
        assert store.model_of(saved) == MODEL
        beside = store.add_version(replace(new_version(0, "12" * 32), author=later.name), ANNA)
        assert store.model_of(store.add_version(new_version(beside.number, "34" * 32), ANNA)) == later


def test_a_case_that_is_seen_again_is_logged_only_if_it_has_changed(place):
    with place.open() as store:
        store.add_cases([record(), record(CaseName("case-1")), record()], ANNA)
        store.add_cases([record(), record(CaseName("case-1"))], BERT)
        assert store.verify().entries == 2
        changed = record(flags=(Flag("spleen", "missing"),), made=None, origin=Origin.BATCH)
        store.add_case(changed, BERT)
        assert store.case(CASE) == changed
        assert (store.verify().ok, store.verify().entries) == (True, 3)
        assert store.cases() == [changed, record(CaseName("case-1"))]


def test_a_flag_may_be_about_the_whole_image(place):
    with place.open() as store:
        store.add_case(record(flags=(Flag("", "8 slices were missing"),)), ANNA)
        assert store.case(CASE).flags == (Flag("", "8 slices were missing"),)


def test_a_case_keeps_its_owner(place):
    with place.open() as store:
        store.add_case(record(origin=Origin.UPLOAD, owner=ANNA.name), ANNA)
        with pytest.raises(InputError, match="case case-0f3a belongs to another reader"):
            store.add_case(record(owner=BERT.name), BERT)
        assert store.case(CASE).owner == ANNA.name


def test_the_prediction_is_version_0_for_good(place):
    with place.open() as store:
        store.add_case(record(), ANNA)
        with pytest.raises(InputError, match="case case-0f3a has no version 0 to go on from"):
            store.add_version(new_version(0), ANNA)
        first = store.add_version(new_version(), ANNA)
        assert store.add_version(new_version(), BERT) == first
        with pytest.raises(InputError, match="another prediction already, which nothing replaces; save this one as"):
            store.add_version(new_version(sha256="ef" * 32), ANNA)
        assert store.versions(CASE) == [first]
        assert store.verify().entries == 2


def test_what_is_not_there_is_told(place):
    with place.open() as store:
        for act in (lambda: store.case(CASE), lambda: store.add_version(new_version(), ANNA)):
            with pytest.raises(InputError, match="no case 'case-0f3a' is known"):
                act()
        store.add_case(record(), ANNA)
        with pytest.raises(InputError, match="no version 0 to decide about"):
            store.decide(decision(), ANNA)
        assert (store.versions(), store.decisions(), store.verify().entries) == ([], [], 1)


def test_nobody_decides_for_another(place):
    with place.open() as store:
        filled(store)
        with pytest.raises(InputError, match="in their own name only"):
            store.decide(decision(0, ANNA), BERT)


@pytest.mark.parametrize(
    "comment", ["<script>alert(1)</script>", "'); DROP TABLE review_audit; --", "a\n\tb é 好 🫀 👩‍⚕️"]
)
def test_comments_are_text(place, comment):
    with place.open() as store:
        filled(store)
        store.decide(decision(comment=comment), ANNA)
        assert store.decisions()[-1].comment == comment
        assert store.verify().ok


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("x" * 4001, "a comment has 4001 characters; at most 4000"),
        ("a\0b", r"control character U\+0000"),
        ("\x1b[31m", r"U\+001B"),
        ("a\u202eb", r"U\+202E"),
        ("\ud800", r"U\+D800"),
    ],
)
def test_comments_that_could_mislead_are_refused(full_store, comment, message):
    with pytest.raises(InputError, match=message):
        full_store.decide(decision(comment=comment), ANNA)
    assert (full_store.verify().ok, full_store.verify().entries) == (True, 5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda store: store.log(Act.OPENED, ANNA, CaseName("")), "a case's name must not be empty"),
        (lambda store: store.log(Act.OPENED, ANNA, CaseName("c\n")), r"a case's name holds .* U\+000A"),
        (lambda store: store.log(Act.OPENED, ANNA, None, {"a": "x" * 321}), "the detail 'a' has 321 characters"),
        (lambda store: store.log(Act.OPENED, ANNA, None, {"a": float("nan")}), "the detail 'a' is nan"),
        (lambda store: store.log(Act.OPENED, ANNA, None, {str(n): n for n in range(65)}), "65 details; at most 64"),
        (lambda store: store.add_case(record(flags=(Flag("liver", "odd\r"),)), ANNA), r"a flag holds .* U\+000D"),
        (lambda store: store.add_case(record(flags=(Flag("liver", "x"),) * 1001), ANNA), "1001 flags; at most 1000"),
        (lambda store: store.add_case(record(made=float("inf")), ANNA), "the time of a prediction is inf"),
        (lambda store: store.add_version(new_version(0, volumes_ml={"a": float("nan")}), ANNA), "a volume is nan"),
        (lambda store: store.add_version(new_version(0, volumes_ml=dict.fromkeys(map(str, range(10001)), 1)), ANNA),
         "10001 targets; at most 10000"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_whole(full_store, act, message):
    with pytest.raises(InputError, match=message):
        act(full_store)
    assert (full_store.verify().ok, full_store.verify().entries) == (True, 5)


def test_entries_that_go_with_rows_are_not_written_alone(tmp_path):
    with open_store(tmp_path, KEY) as store, pytest.raises(ValueError, match="DECIDED is logged with what it is about"):
        store.log(Act.DECIDED, ANNA, CASE)


def test_numbers_of_numpy_are_numbers(place):
    with place.open() as store:
        filled(store)
        numbers = {"liver": np.float32(0.1), "spleen": np.float64(0.2)}
        kept = store.add_version(new_version(np.int64(1), volumes_ml=numbers), ANNA)
        store.decide(decision(np.int64(kept.number), made=np.float64(5)), ANNA)
        store.log(Act.OPENED, ANNA, CASE, {"ml": np.float64(0.1), "dice": np.float32(0.5)})
        assert store.verify().ok
        assert store.versions()[-1].volumes_ml == {"liver": float(np.float32(0.1)), "spleen": 0.2}


def test_a_store_that_is_read_is_not_changed(place):
    with place.open() as store:
        filled(store)
    before = {path.name: path.read_bytes() for path in place.folder.iterdir()}
    with place.read() as store:
        assert (store.state.ok, store.state.entries) == (True, 5)
        with pytest.raises(InputError, match="opened for reading; nothing was kept"):
            store.log(Act.OPENED, ANNA)
    assert {path.name: path.read_bytes() for path in place.folder.iterdir()} == before


def test_where_there_is_no_store_none_is_made(place):
    place.folder.mkdir()
    with pytest.raises(InputError, match=r"holds no review.sqlite|holds no review store"):
        place.read()
    assert list(place.folder.iterdir()) == []


@pytest.mark.parametrize("table", ["review_audit", "review_versions", "review_decisions"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET entry = entry", "DELETE FROM {}"])
def test_the_database_refuses_to_change_what_was_written(place, table, statement):
    with place.open() as store:
        filled(store)
        statement = statement.format(table).replace("entry = entry", "digest = ''" if "audit" in table else "entry = 1")
        with pytest.raises(OutputError, match="the review database"), store._database.writing() as connection:
            connection.exec_driver_sql(statement)
        assert store.verify().ok


def test_a_newer_layout_is_refused(place):
    with place.open():
        pass
    place.attack("UPDATE review_store SET form = 2")
    for opened in (place.open, place.read):
        with pytest.raises(InputError, match="has layout 2, and this version of medseg knows those up to 1; update"):
            opened()
    place.attack("DELETE FROM review_store")
    with pytest.raises(InputError, match="damaged: it does not say its layout"):
        place.open()


def test_rows_that_medseg_never_wrote_are_told_when_read(place):
    with place.open() as store:
        filled(store)
        place.attack("UPDATE review_decisions SET verdict = 'splendid' WHERE entry = 4")
        with pytest.raises(ReadError, match="with entry 4 was not written by medseg; run `medseg review verify`"):
            store.decisions()


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    for opened in (open_store, read_store):
        with pytest.raises(InputError, match="the review database is damaged; put a backup of the whole review folder"):
            opened(tmp_path, KEY)


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE review_cases (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="holds no review store"):
        read_store(tmp_path, KEY)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the review folder cannot be made"):
        open_store(tmp_path / "file" / "review", KEY)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("reviews", "is no URL; write for example postgresql"),
        ("mysql://me:secret@host/reviews", r"may be a URL of postgresql\+psycopg, got 'mysql'"),
        ("sqlite:///reviews.db", "leave it out for SQLite"),
    ],
)
def test_other_databases_are_refused(tmp_path, url, message):
    with pytest.raises(InputError, match=message) as refused:
        open_store(tmp_path, KEY, url)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_away_is_told_without_naming_it(tmp_path):
    pytest.importorskip("psycopg")
    url = f"postgresql://someone:secret@/reviews?host={tmp_path}"
    with pytest.raises(OutputError, match="it cannot be reached, or broke off") as away:
        open_store(tmp_path / "review", KEY, url)
    assert not any(word in str(away.value) for word in ("secret", "someone", "reviews", str(tmp_path)))


def test_a_server_that_stores_no_unicode_is_refused(tmp_path, postgres):
    url = postgres.new_database("LATIN1")
    with pytest.raises(InputError, match="is not in UTF8; make one by `createdb --encoding=UTF8`"):
        open_store(tmp_path, KEY, url)


def test_who_may_only_read_verifies_and_is_told_when_writing(tmp_path, postgres):
    url = postgres.new_schema()
    with Place(tmp_path, url).open() as store:
        filled(store)
    schema = url.rpartition("%3D")[2]
    role = f"auditor_{schema}"
    Place(tmp_path, url).attack(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    )
    auditor = Place(tmp_path, url.replace("postgres@", f"{role}@"))
    with auditor.read() as store:
        assert (store.state.ok, store.state.entries) == (True, 5)
    with pytest.raises(OutputError, match="cannot be used: no permission to write there"):
        auditor.open()


def test_without_psycopg_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"needs psycopg; run `pip install 'medseg\[postgres\]'`"):
        open_store(tmp_path, KEY, "postgresql://me@host/reviews")


def test_a_file_that_another_program_keeps_to_itself_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.review.database._WAIT_S", 0.05)
    with open_store(tmp_path, KEY) as store, closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for act in (store.cases, lambda: store.log(Act.OPENED, ANNA)):
            with pytest.raises(OutputError, match=r"others have kept it busy for 0.05 seconds; what was confirmed"):
                act()
        other.execute("ROLLBACK")
        store.log(Act.OPENED, ANNA)


def test_what_a_killed_process_left_of_the_head_file_is_removed(tmp_path):
    (tmp_path / ".partial-0a1b2c3d-audit.head").write_text("5")
    with open_store(tmp_path, KEY):
        assert not (tmp_path / ".partial-0a1b2c3d-audit.head").exists()


def test_two_folders_with_one_server_each_follow_the_log(tmp_path, postgres):
    one = Place(tmp_path / "one", postgres.new_schema())
    with one.open() as here:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "audit.head").write_bytes((one.folder / "audit.head").read_bytes())
        with Place(tmp_path / "two", one.url).open() as there:
            filled(here)
            there.log(Act.OPENED, BERT, CASE)
            here.log(Act.OPENED, ANNA, CASE)
            assert (here.verify().ok, there.verify().ok) == (True, True)
            assert here.verify().entries == 7
