"""The work list: what is left to do, and in what order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from case_factories import ADMIN, ANN, BOB, SENIOR, Shelf, a_decision, a_version, listed_case
from hypothesis import given
from hypothesis import strategies as st

from medseg.review.records import Flag, ModelStamp, Verdict
from medseg.review.worklist import (
    CaseStatus,
    WorkItem,
    counts,
    filtered,
    next_case,
    status_of,
    work_list,
)

YES, FIX, NO = Verdict.ACCEPTED, Verdict.NEEDS_WORK, Verdict.REJECTED
UNLIKE = Flag("liver", "members agree by a Dice of 0.41 only")
MISSING, VOLUME = Flag("liver", "missing"), Flag("liver", "volume 9 mL, 1 to 2 in training")
EDGE, PARTS = Flag("liver", "touches the border of the image"), Flag("spleen", "7 parts, at most 2 in training")


def names(items: list[WorkItem]) -> list[str]:
    return [item.record.name for item in items]


def listed(*cases, store=None, reader=ANN, drafts=()) -> list[WorkItem]:
    return work_list(store or Shelf(), cases, reader, drafts)


@pytest.mark.parametrize(
    ("versions", "decisions", "is_draft", "status"),
    [
        ([], [], False, CaseStatus.NEW),
        ([a_version(0)], [], False, CaseStatus.NEW),
        ([a_version(0)], [], True, CaseStatus.IN_WORK),
        ([a_version(0), a_version(1)], [], False, CaseStatus.IN_WORK),
        ([a_version(0)], [a_decision(YES)], True, CaseStatus.ACCEPTED),
        ([a_version(0)], [a_decision(FIX)], False, CaseStatus.NEEDS_WORK),
        ([a_version(0)], [a_decision(NO)], False, CaseStatus.REJECTED),
        ([a_version(0)], [a_decision(NO), a_decision(NO, "bob")], False, CaseStatus.REJECTED),
        ([a_version(0)], [a_decision(YES), a_decision(FIX, "bob")], False, CaseStatus.DISPUTED),
    ],
)
def test_the_status_follows_from_versions_and_verdicts(versions, decisions, is_draft, status):
    assert status_of(versions, decisions, is_draft=is_draft) is status


def test_what_needed_work_and_was_corrected_and_accepted_is_accepted():
    chain = [a_version(0), a_version(1), a_version(2)]
    corrected = [a_decision(FIX), a_decision(YES, "bob", version=2)]
    assert status_of(chain, corrected) is CaseStatus.ACCEPTED
    assert status_of(chain, corrected[:1]) is CaseStatus.NEEDS_WORK


def test_readers_who_decided_about_outlines_of_their_own_are_compared():
    branches = [a_version(0), a_version(1, 0, "ann"), a_version(2, 0, "bob")]
    both = [a_decision(YES, "ann", version=1), a_decision(YES, "bob", version=2)]
    assert status_of(branches, both) is CaseStatus.ACCEPTED
    assert status_of(branches, [both[0], a_decision(NO, "bob", version=2)]) is CaseStatus.DISPUTED


def test_versions_in_a_circle_end():
    circle = [replace(a_version(1), parent=2), replace(a_version(2), parent=1)]
    assert status_of(circle, [a_decision(YES, version=1)]) is CaseStatus.IN_WORK


def test_the_latest_decision_of_each_reader_counts():
    decisions = [a_decision(NO), a_decision(FIX, "bob"), a_decision(YES), a_decision(YES, "bob")]
    (item,) = listed(listed_case(), store=Shelf([a_version(0)], decisions), reader=SENIOR)
    assert item.status is CaseStatus.ACCEPTED
    assert item.decisions == tuple(decisions[2:])


def test_the_worst_comes_first_and_what_is_settled_last():
    cases = [
        listed_case("plain"),
        listed_case("parts", flags=(PARTS,)),
        listed_case("edge", flags=(EDGE,)),
        listed_case("volume", flags=(VOLUME,)),
        listed_case("unlike", flags=(UNLIKE,)),
        listed_case("missing", flags=(MISSING,)),
        replace(listed_case("undrawn"), prediction=None),
        listed_case("disputed"),
        listed_case("done", flags=(MISSING, VOLUME, EDGE)),
    ]
    decided = [a_decision(YES, case="done"), a_decision(YES, case="disputed"), a_decision(NO, "bob", case="disputed")]
    versions = [a_version(0, case=case) for case in ("done", "disputed")]
    items = listed(*cases, store=Shelf(versions, decided))
    assert names(items) == ["disputed", "undrawn", "missing", "unlike", "volume", "edge", "parts", "plain", "done"]
    assert counts(items) == {
        CaseStatus.NEW: 7,
        CaseStatus.IN_WORK: 0,
        CaseStatus.ACCEPTED: 1,
        CaseStatus.NEEDS_WORK: 0,
        CaseStatus.REJECTED: 0,
        CaseStatus.DISPUTED: 1,
    }


def test_of_what_is_alike_the_one_that_waits_longest_comes_first():
    cases = [listed_case("b"), listed_case("a"), listed_case("young", made=200.0), listed_case("old", made=100.0)]
    assert names(listed(*cases)) == ["old", "young", "a", "b"]


def test_a_case_waits_since_it_was_predicted_or_decided_about():
    new, fix, done = (listed_case(name, made=100.0) for name in ("new", "fix", "done"))
    decided = [a_decision(FIX, case="fix", made=200.0), a_decision(YES, case="done")]
    items = listed(new, fix, done, listed_case("who knows"), store=Shelf([], decided))
    assert {item.record.name: item.since for item in items} == {
        "new": 100.0,
        "fix": 200.0,
        "done": None,
        "who knows": None,
    }


@pytest.mark.parametrize("reader", [BOB, SENIOR, ADMIN])
def test_uploads_are_seen_by_their_owner_only(reader):
    upload = listed_case("upload", owner=ANN.name)
    assert names(listed(upload, listed_case("shared"))) == ["shared", "upload"]
    assert names(listed(upload, listed_case("shared"), reader=reader)) == ["shared"]


def test_decisions_of_others_are_for_seniors_and_their_status_for_all():
    store = Shelf([a_version(0)], [a_decision(NO, BOB.name)])
    (mine,), (seniors) = listed(listed_case(), store=store), listed(listed_case(), store=store, reader=SENIOR)
    assert (mine.status, mine.decisions) == (CaseStatus.REJECTED, ())
    assert len(seniors[0].decisions) == 1


def test_what_is_mine_was_decided_or_begun_or_uploaded_by_me():
    store = Shelf([], [a_decision(FIX, ANN.name, case="decided"), a_decision(FIX, BOB.name, case="theirs")])
    cases = [listed_case(name) for name in ("decided", "theirs", "begun", "new")]
    items = listed(*cases, listed_case("upload", owner=ANN.name), store=store, drafts={"begun"})
    assert set(names(filtered(items, mine=True))) == {"decided", "begun", "upload"}
    assert set(names(filtered(items, mine=False))) == {"theirs", "new"}
    assert next(item for item in items if item.record.name == "begun").status is CaseStatus.IN_WORK


def test_filters_go_together_and_keep_the_order():
    model = ModelStamp("Organs", "0.1-abc", "abc")
    cases = [
        listed_case("a", flags=(PARTS,), model=model),
        listed_case("b", flags=(EDGE,)),
        listed_case("c", model=model),
    ]
    items = listed(*cases, store=Shelf([], [replace(a_decision(FIX, ANN.name, case="c"), comment="Dome <b>cut</b>")]))
    assert names(filtered(items)) == ["b", "a", "c"]
    assert names(filtered(items, flagged=True)) == ["b", "a"]
    assert names(filtered(items, text="organs")) == ["a", "c"]
    assert names(filtered(items, text="ORGANS parts")) == ["a"]
    assert names(filtered(items, text="dome CUT")) == ["c"]
    assert names(filtered(items, text="needs work", statuses={CaseStatus.NEEDS_WORK})) == ["c"]
    assert names(filtered(items, text="nobody says this")) == []


def test_the_next_case_is_the_next_that_is_open_and_the_list_goes_round():
    cases = [listed_case(name) for name in "abcd"]
    items = listed(*cases, store=Shelf([], [a_decision(YES, case="d")]))
    assert names(items) == ["a", "b", "c", "d"]
    assert [next_case(items, current) for current in ("a", "b", "c", "d", None, "gone")] == [
        "b",
        "c",
        "a",
        "a",
        "a",
        "a",
    ]
    assert next_case(items[:1], "a") is None
    assert next_case(items[3:], None) is None
    assert next_case([], None) is None


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from([MISSING, VOLUME, EDGE, PARTS])), st.sampled_from([YES, FIX, NO, None])),
        max_size=8,
    )
)
def test_everything_is_listed_once_and_more_that_is_odd_never_comes_later(drawn):
    cases = [listed_case(str(number), flags=tuple(flags)) for number, (flags, _) in enumerate(drawn)]
    decided = [a_decision(verdict, case=str(n)) for n, (_, verdict) in enumerate(drawn) if verdict is not None]
    items = listed(*cases, store=Shelf([], decided))
    assert sorted(names(items)) == sorted(str(number) for number in range(len(drawn)))
    keys = [(item.status.is_settled, -item.worst) for item in items]
    assert keys == sorted(keys)
    opened, current = set(), None
    for _ in items:
        current = next_case(items, current) or current
        opened.add(current)
    assert opened - {None} == {item.record.name for item in items if not item.status.is_settled}


def test_markup_stays_the_text_that_it_is():
    (item,) = listed(listed_case(flags=(Flag("<script>", "<img src=x>"),)))
    assert names(filtered([item], text="<script>")) == ["case-a"]
