"""Tickets serve one browser, for a while, for one thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medseg.core.errors import InputError
from medseg.review.records import CaseName
from medseg.review.refusals import Refusal, Refused
from medseg.review.tickets import MaskGrant, Sequence, Tickets, VoxelGrant

CASE, OTHER = CaseName("case-1"), CaseName("case-2")
GRANT = VoxelGrant(CASE, Path("image.nii"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def why(tickets: Tickets, token: str, holder="me", kind: type = VoxelGrant) -> Refusal:
    with pytest.raises(Refused, match="^refused: ") as caught:
        tickets.redeem(token, holder, kind)
    return caught.value.why


def test_a_ticket_gives_its_grant_as_often_as_it_is_shown():
    tickets = Tickets(5)
    token = tickets.issue("me", GRANT)
    assert tickets.redeem(token, "me", VoxelGrant) is tickets.redeem(token, "me", VoxelGrant) is GRANT


def test_tokens_are_random_and_fit_into_an_address():
    tickets = Tickets(5)
    tokens = {tickets.issue("me", GRANT) for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 and set(token) <= set(map(chr, range(128))) - set("/?#%. ") for token in tokens)


def test_neither_tokens_nor_browsers_are_kept():
    tickets = Tickets(5)
    token = tickets.issue("the cookie", GRANT)
    assert token not in repr(vars(tickets))
    assert "the cookie" not in repr(vars(tickets))


def test_what_does_not_belong_together_is_refused():
    tickets = Tickets(5)
    token = tickets.issue("me", GRANT)
    assert why(tickets, token, "another") is Refusal.FOREIGN
    assert why(tickets, token, "") is Refusal.FOREIGN
    assert why(tickets, token, kind=MaskGrant) is Refusal.OTHER_KIND
    assert why(tickets, token[:-1]) is Refusal.UNKNOWN
    assert why(tickets, "\udcff") is Refusal.UNKNOWN


def test_a_refusal_knows_the_case_and_does_not_say_it():
    tickets = Tickets(5)
    with pytest.raises(Refused, match="^refused: a ticket of another browser$") as caught:
        tickets.redeem(tickets.issue("me", GRANT), "another", VoxelGrant)
    assert caught.value.case == CASE


def test_a_ticket_expires_and_is_forgotten_in_the_end():
    clock = Clock()
    tickets = Tickets(5, clock)
    token = tickets.issue("me", GRANT)
    clock.now += 299
    assert tickets.redeem(token, "me", VoxelGrant) is GRANT
    assert tickets.left_s(token) == 1
    clock.now += 1
    assert why(tickets, token) is Refusal.EXPIRED
    assert tickets.left_s(token) == 0
    assert [one.grant for one in tickets._tickets.values()] == [None]
    clock.now += 300
    assert why(tickets, token) is Refusal.UNKNOWN
    assert not tickets._tickets


def test_tickets_are_taken_back_by_browser_by_case_and_all():
    tickets = Tickets(5)
    mine, other, theirs = (
        tickets.issue(holder, VoxelGrant(case, Path("a.nii")))
        for holder, case in (("me", CASE), ("me", OTHER), ("they", CASE))
    )
    tickets.revoke("me", CASE)
    assert why(tickets, mine) is Refusal.REVOKED
    assert tickets.redeem(other, "me", VoxelGrant).case == OTHER
    tickets.revoke(case=CASE)
    assert why(tickets, theirs, "they") is Refusal.REVOKED
    tickets.revoke("they")
    assert tickets.redeem(other, "me", VoxelGrant)
    tickets.revoke()
    assert why(tickets, other) is Refusal.REVOKED


def test_one_ticket_is_taken_back():
    tickets = Tickets(5)
    token, other = tickets.issue("me", GRANT), tickets.issue("me", GRANT)
    tickets.take_back(token)
    tickets.take_back("none")
    assert why(tickets, token) is Refusal.REVOKED
    assert tickets.left_s(token) == tickets.left_s("none") == 0
    assert tickets.redeem(other, "me", VoxelGrant)


def test_a_browser_without_the_cookie_gets_none():
    with pytest.raises(InputError, match="keeps no cookie of this app"):
        Tickets(5).issue("", GRANT)


def test_of_very_many_tickets_of_one_browser_the_oldest_goes():
    tickets = Tickets(5)
    theirs = tickets.issue("they", GRANT)
    tokens = [tickets.issue("me", GRANT) for _ in range(513)]
    assert why(tickets, tokens[0]) is Refusal.REVOKED
    assert tickets.redeem(tokens[1], "me", VoxelGrant)
    assert tickets.redeem(theirs, "they", VoxelGrant)


def test_a_number_counts_once_and_only_upwards():
    sequence = Sequence()
    assert sequence.next == 1
    with sequence.taking(5, CASE):
        pass
    assert sequence.next == 6
    for number in (5, 4, 0):
        with pytest.raises(Refused, match="no newer than the last"), sequence.taking(number, CASE):
            pass


def test_a_number_whose_work_failed_may_come_again():
    sequence = Sequence()
    with pytest.raises(OSError, match="full"), sequence.taking(1, CASE):
        raise OSError("full")
    assert sequence.next == 1


def test_of_many_at_once_with_one_number_one_is_taken():
    sequence = Sequence()

    def take(_: int) -> bool:
        try:
            with sequence.taking(1, CASE):
                return True
        except Refused:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(50))) == 1
