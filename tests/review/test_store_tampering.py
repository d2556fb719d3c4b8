"""Whoever changes the database or the head file behind the app's back is found out, and the entry is named."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_places import ANNA, CASE, KEY, OTHER_KEY, Place, decision, filled, record

from medseg.core.errors import InputError
from medseg.review.audit import AuditEntry, Chain, Mark, Sealer
from medseg.review.heads import FILE as HEAD
from medseg.review.heads import read_head, write_head
from medseg.review.records import Act, CaseName
from medseg.review.verification import Verification

TAMPERING = {
    "an entry is changed": ("UPDATE review_audit SET who = 'carl' WHERE number = 3", 3, "entry 3 was changed"),
    "a time is changed": ("UPDATE review_audit SET made = made + 1e-6 WHERE number = 1", 1, "entry 1 was changed"),
    "details are changed": ("UPDATE review_audit SET details = '{}' WHERE number = 2", 2, "entry 2 was changed"),
    "a case is taken out": ("UPDATE review_audit SET case_name = NULL WHERE number = 2", 2, "entry 2 was changed"),
    "a seal is changed": ("UPDATE review_audit SET digest = '00' WHERE number = 3", 3, "entry 3 was changed"),
    "an entry is deleted": ("DELETE FROM review_audit WHERE number = 2", 2, "entry 2 was removed"),
    "the first is deleted": ("DELETE FROM review_audit WHERE number = 1", 1, "entry 1 was removed"),
    "the log is cut off": (
        "DELETE FROM review_audit WHERE number > 3",
        4,
        "entry 4 and .*, up to entry 5, were cut off",
    ),
    "the last is deleted": ("DELETE FROM review_audit WHERE number = 5", 5, "entry 5 and what came after it"),
    "the log is deleted": (
        "DELETE FROM review_audit",
        1,
        "entry 1 and what came after it, up to entry 5, were cut off",
    ),
    "an entry is put in before": (
        (
            "INSERT INTO review_audit SELECT 0, made, who, role, act, case_name, details, row_digest, previous, digest "
            "FROM review_audit WHERE number = 1"
        ),
        0,
        "entry 0 was put in",
    ),
    "an entry is put in after": (
        (
            "INSERT INTO review_audit SELECT 6, made, who, role, act, case_name, details, row_digest, digest, digest "
            "FROM review_audit WHERE number = 5"
        ),
        6,
        "entry 6 was changed, moved or put in",
    ),
    "a verdict is changed": (
        "UPDATE review_decisions SET verdict = 'rejected' WHERE entry = 4",
        4,
        "the decision that entry 4 tells of was changed",
    ),
    "a comment is changed": (
        "UPDATE review_decisions SET comment = 'bad' WHERE entry = 4",
        4,
        "the decision .* changed",
    ),
    "a decision is given to another": ("UPDATE review_decisions SET reader = 'bert' WHERE entry = 4", 4, "was changed"),
    "a decision is deleted": (
        "DELETE FROM review_decisions WHERE entry = 5",
        5,
        r"what entry 5 tells of \(decided\) was deleted",
    ),
    "a decision is put in": (
        (
            "INSERT INTO review_decisions SELECT 9, case_name, version, reader, verdict, made, difficulty, comment "
            "FROM review_decisions WHERE entry = 4"
        ),
        9,
        "a decision was put in that no entry of the log tells of",
    ),
    "a decision is moved": ("UPDATE review_decisions SET entry = 3 WHERE entry = 4", 3, "entry 3"),
    "outlines are exchanged": (
        "UPDATE review_versions SET sha256 = 'ee' WHERE number = 1",
        3,
        "the version .* entry 3",
    ),
    "a volume is changed": (
        "UPDATE review_versions SET volumes_ml = '{}' WHERE number = 0",
        2,
        "the version .* entry 2",
    ),
    "a version is deleted": ("DELETE FROM review_versions WHERE number = 1", 3, r"\(saved\) was deleted"),
    "a version is put in": (
        (
            "INSERT INTO review_versions SELECT case_name, 2, 1, author, made, sha256, volumes_ml, changed_ml, "
            "input_sha256, 1 FROM review_versions WHERE number = 1"
        ),
        1,
        "a version was put in",
    ),
    "a case changes hands": ("UPDATE review_cases SET owner = 'carl'", 1, "the case that entry 1 tells of was changed"),
    "a case is deleted": ("DELETE FROM review_cases", 1, "the case that entry 1 tells of was deleted"),
    "a case is put in": (
        (
            "INSERT INTO review_cases SELECT 'case-9', origin, model_name, model_version, model_digest, made, flags, "
            "owner, entry FROM review_cases"
        ),
        1,
        "a case was put in that no entry of the log tells of",
    ),
    "the beginning is changed": ("UPDATE review_store SET genesis = 'x'", 1, "entry 1 was changed"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_with_its_entry(place, name):
    statement, number, reason = TAMPERING[name]
    with place.open() as store:
        filled(store)
        place.attack(statement)
        assert store.verify().number == number
        assert re.search(reason, store.state.reason)


@pytest.mark.parametrize("name", ["an entry is changed", "the log is cut off", "a verdict is changed"])
def test_a_store_that_was_tampered_with_can_be_read_and_takes_nothing(place, name):
    with place.open() as store:
        filled(store)
    place.attack(TAMPERING[name][0])
    head = (place.folder / HEAD).read_bytes()
    with place.open() as store:
        assert store.state.number == TAMPERING[name][1]
        before = list(store.entries())
        with pytest.raises(InputError, match="nothing was kept, since the audit log is not as it was written: .*entry"):
            store.log(Act.OPENED, ANNA)
        assert list(store.entries()) == before
    assert (place.folder / HEAD).read_bytes() == head


def test_reordered_entries_are_found(place):
    with place.open() as store:
        filled(store)
        place.attack(
            "UPDATE review_audit SET number = 100 WHERE number = 2",
            "UPDATE review_audit SET number = 2 WHERE number = 3",
            "UPDATE review_audit SET number = 3 WHERE number = 100",
        )
        assert store.verify().number == 2


def test_what_comes_after_the_first_fault_is_not_taken_for_it(place):
    with place.open() as store:
        filled(store)
        store.add_case(record(made=None), ANNA)
        store.decide(decision(), ANNA)
        place.attack("DELETE FROM review_audit WHERE number = 5")
        assert store.verify() == Verification(6, 5, "entry 5 was removed")


def test_a_changed_last_entry_is_not_written_after(place):
    """A store that was open all the while looks at the end of the log before it writes."""
    with place.open() as store:
        filled(store)
        place.attack(
            "UPDATE review_audit SET who = 'carl' WHERE number = 5", "DELETE FROM review_audit WHERE number = 4"
        )
        store.log(Act.OPENED, ANNA)  # what the head file names is there; only `verify` reads more
        place.attack("DELETE FROM review_audit WHERE number = 6")
        with pytest.raises(InputError, match="entry 6 and what came after it, up to entry 6, were cut off"):
            store.log(Act.OPENED, ANNA)
        assert store.state.number == 6
        assert store.verify() == Verification(4, 4, "entry 4 was removed")


def test_a_log_that_is_longer_than_the_head_file_is_a_crash(place):
    with place.open() as store:
        filled(store)
        head = (place.folder / HEAD).read_bytes()
        store.log(Act.OPENED, ANNA)
        store.log(Act.OPENED, ANNA)
        (place.folder / HEAD).write_bytes(head)
        assert store.verify().ok
        store.log(Act.OPENED, ANNA)
        assert read_head(place.folder, Sealer.of(KEY)).number == 8
        (place.folder / HEAD).write_bytes(head)
    with place.read() as store:
        assert store.state.ok
        assert (place.folder / HEAD).read_bytes() == head
    with place.open() as store:
        assert (store.state.ok, store.state.entries) == (True, 8)
        assert read_head(place.folder, Sealer.of(KEY)).number == 8


def test_a_forged_entry_after_a_crash_is_not_signed_over(place):
    with place.open() as store:
        filled(store)
        place.attack(TAMPERING["an entry is put in after"][0])
        with pytest.raises(InputError, match="entry 6 was changed, moved or put in"):
            store.log(Act.OPENED, ANNA)
        assert read_head(place.folder, Sealer.of(KEY)).number == 5


@pytest.mark.parametrize(
    ("harm", "number", "reason"),
    [
        (lambda head: head.unlink(), 0, "audit.head is missing"),
        (lambda head: head.write_text("no head"), 0, "audit.head is damaged"),
        (lambda head: head.write_bytes(b"\xff" * 1000), 0, "audit.head is damaged"),
        (lambda head: head.write_text(head.read_text().replace("5 ", "4 ", 1)), 0, "audit.head was changed"),
        (lambda head: write_head(head.parent, Mark(5, "0" * 64), Sealer.of(OTHER_KEY)), 0, "audit.head was changed"),
        (lambda head: write_head(head.parent, Mark(5, "0" * 64), Sealer.of(KEY)), 5, "entry 5 is not the one that the"),
        (lambda head: write_head(head.parent, Mark(0, "0" * 64), Sealer.of(KEY)), 1, "head file is that of another"),
        (lambda head: write_head(head.parent, Mark(9, "0" * 64), Sealer.of(KEY)), 6, "entry 6 and what came after it"),
    ],
    ids=["missing", "text", "bytes", "number", "key", "entry", "beginning", "ahead"],
)  # fmt: skip
def test_another_head_file_is_found(tmp_path, harm, number, reason):
    place = Place(tmp_path)
    with place.open() as store:
        filled(store)
        harm(tmp_path / HEAD)
        assert store.verify().number == number
        with pytest.raises(InputError, match=reason):
            store.log(Act.OPENED, ANNA)
    with place.open() as store:
        assert (store.state.number, store.state.ok) == (number, False)
        with pytest.raises(InputError, match=reason):
            store.log(Act.OPENED, ANNA)


def test_a_head_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / HEAD).mkdir()
    assert read_head(tmp_path, Sealer.of(KEY)) == "audit.head cannot be read (Is a directory)"


def test_the_head_file_of_another_store_with_the_same_key_is_found(tmp_path):
    for name in ("one", "two"):
        with Place(tmp_path / name).open() as store:
            filled(store)
    shutil.copy(tmp_path / "one" / HEAD, tmp_path / "two" / HEAD)
    with Place(tmp_path / "two").open() as store:
        assert store.state.number == 5


def test_a_database_that_was_put_aside_is_missed(tmp_path):
    with Place(tmp_path).open() as store:
        filled(store)
    (tmp_path / "review.sqlite").unlink()
    with Place(tmp_path).open() as store:
        assert (store.state.number, store.state.ok) == (1, False)
        with pytest.raises(InputError, match="up to entry 5, were cut off"):
            store.add_case(record(), ANNA)


def test_another_key_finds_nothing_that_it_wrote(place):
    with place.open() as store:
        filled(store)
    with place.open(OTHER_KEY) as store:
        assert store.state.number == 1
        assert "another project key" in store.state.reason
        assert len(store.decisions()) == 2
        with pytest.raises(InputError, match="another project key"):
            store.log(Act.OPENED, ANNA)
    with place.open() as store:
        assert store.state.ok


def test_who_rebuilds_the_log_under_a_key_of_their_own_is_found(tmp_path):
    """As good a forgery as can be made without the key: everything fits, the head file too."""
    with Place(tmp_path / "forged").open(OTHER_KEY) as store:
        filled(store)
    with Place(tmp_path / "forged").read() as store:
        assert (store.state.number, store.state.ok) == (1, False)
    write_head(tmp_path / "forged", Mark(5, "0" * 64), Sealer.of(KEY))
    with Place(tmp_path / "forged").read() as store:
        assert store.state.number == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE review_audit SET details = x'ff00' WHERE number = 2",
        "UPDATE review_audit SET made = 'never' WHERE number = 2",
        "UPDATE review_audit SET made = 9e999 WHERE number = 2",
        "UPDATE review_audit SET digest = CAST(x'ff' AS TEXT) WHERE number = 2",
        "UPDATE review_audit SET digest = 7 WHERE number = 2",
        "UPDATE review_audit SET previous = 7 WHERE number = 2",
        "UPDATE review_versions SET entry = 'two' WHERE number = 0",
        "UPDATE review_versions SET sha256 = x'00' WHERE number = 0",
    ],
)
def test_values_of_any_kind_are_found(tmp_path, statement):
    """SQLite takes any value in any column."""
    place = Place(tmp_path)
    with place.open() as store:
        filled(store)
        place.attack(statement)
        assert store.verify().number in (0, 2)
        assert len([entry.facts for entry in store.entries()]) == 5


ENTRY = AuditEntry(1, 1.5, "anna", "reader", "opened", CaseName("c"), "{}", "", "0" * 64)
TEXTS = st.text(max_size=5)


@given(
    st.builds(
        AuditEntry,
        number=st.integers(1, 2), made=st.floats(allow_nan=False), who=TEXTS, role=TEXTS, act=TEXTS,
        case=st.none() | TEXTS, details=TEXTS, row=TEXTS, previous=TEXTS,
    )
)  # fmt: skip
def test_no_two_entries_have_one_seal(entry):
    sealer = Sealer.of(KEY)
    assert (sealer.entry(entry) == sealer.entry(ENTRY)) == (entry == ENTRY)
    for name in ("who", "role", "act", "details", "row", "previous"):
        assert sealer.entry(replace(entry, **{name: getattr(entry, name) + "x"})) != sealer.entry(entry)
    assert sealer.entry(entry) != Sealer.of(OTHER_KEY).entry(entry)


def test_a_seal_is_the_hmac_that_another_tool_makes():
    """Golden: Python's own hmac and hashlib, step by step, of a text that is written out here."""
    import hashlib
    import hmac

    secret = hmac.new(KEY.secret, b"medseg review entry", hashlib.sha256).digest()
    text = f'[1,1.5,"anna","reader","opened","c","{{}}","","{"0" * 64}"]'
    expected = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    assert Sealer.of(KEY).entry(ENTRY) == expected
    assert Chain(Mark(0, "0" * 64), Sealer.of(KEY)).follow(replace(ENTRY, digest=expected)) is None


def test_nothing_shows_the_secret():
    assert "secret" not in repr(Sealer.of(KEY))
    assert KEY.secret.hex() not in repr(Sealer.of(KEY))
    assert repr(Sealer.of(KEY)) == "Sealer()"


def test_a_case_in_the_log_is_a_pseudonym_and_nothing_more(tmp_path):
    with Place(tmp_path).open() as store:
        filled(store)
        assert {entry.case for entry in store.entries()} == {CASE}
