"""The audit log hears of refusals, and is not flooded by them."""

from __future__ import annotations

import pytest
from review_places import ANNA, CASE, KEY

from medseg.core.errors import OutputError
from medseg.review.records import Act
from medseg.review.refusals import Refusal, RefusalLog, Refused
from medseg.review.store import open_store


def test_an_entry_says_what_was_refused_and_for_whom_if_that_is_known(tmp_path):
    with open_store(tmp_path, KEY) as store:
        log = RefusalLog(store.log)
        log.note(Refusal.UNKNOWN)
        log.note(Refusal.BAD_MASK, CASE, ANNA)
        entries = list(store.entries())
    assert [(one.act, one.who, one.case, one.facts) for one in entries] == [
        (Act.REFUSED, "unknown", None, {"what": "no such ticket"}),
        (Act.REFUSED, ANNA.name, CASE, {"what": "a mask that does not fit"}),
    ]


def test_a_flood_is_counted():
    entries, now = [], [0.0]
    log = RefusalLog(lambda *entry: entries.append(entry[3]), most=2, clock=lambda: now[0])
    for _ in range(7):
        log.note(Refusal.FOREIGN)
    assert len(entries) == 2
    now[0] += 60
    log.note(Refusal.FOREIGN)
    log.note(Refusal.FOREIGN)
    assert entries[2:] == [{"what": "a ticket of another browser", "more": 5}, {"what": "a ticket of another browser"}]


def test_a_log_that_cannot_be_written_to_stops_nothing(caplog):
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    RefusalLog(full).note(Refusal.FOREIGN)
    assert "could not be written" in caplog.text


@pytest.mark.parametrize("why", Refusal)
def test_a_refusal_is_one_sentence(why):
    assert str(Refused(why)) == f"refused: {why.value}"
