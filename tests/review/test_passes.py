import weakref
from pathlib import Path

import pytest
from drawn_masks import mask_grant, shown, small_case

from medseg.core.errors import InputError
from medseg.review.passes import GRACE_S, Passes
from medseg.review.records import CaseName
from medseg.review.refusals import Refused
from medseg.review.tickets import MaskGrant, Tickets, VoxelGrant

MINUTES = 10


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tickets(clock):
    return Tickets(MINUTES, clock)


def grant(name="a"):
    return VoxelGrant(CaseName("case-a"), Path(name))


def test_a_grant_keeps_its_ticket_until_half_of_its_time_is_over(tickets, clock):
    passes, wanted = Passes(tickets, MINUTES), grant()
    first = passes.ticket(wanted, "browser")
    clock.now = MINUTES * 60 * 0.4
    assert passes.ticket(wanted, "browser") == first
    clock.now = MINUTES * 60 * 0.6
    second = passes.ticket(wanted, "browser")
    assert second != first
    assert tickets.redeem(first, "browser", VoxelGrant) is wanted, "what the page still uses serves on"


def test_other_grants_and_other_browsers_have_other_tickets(tickets):
    passes, wanted = Passes(tickets, MINUTES), grant()
    issued = {passes.ticket(wanted, "browser"), passes.ticket(grant(), "browser"), passes.ticket(wanted, "other")}
    assert len(issued) == 3


def test_all_are_taken_back_at_the_end(tickets):
    passes, wanted = Passes(tickets, MINUTES), grant()
    token = passes.ticket(wanted, "browser")
    passes.close()
    with pytest.raises(Refused, match="taken back"):
        tickets.redeem(token, "browser", VoxelGrant)
    assert passes.ticket(wanted, "browser") != token


def test_what_is_no_longer_on_the_screen_is_forgotten_after_a_while(tickets, clock):
    passes, on_screen, before = Passes(tickets, MINUTES), grant(), grant("b")
    kept, token = passes.ticket(on_screen, "browser"), passes.ticket(before, "browser")
    passes.keep([on_screen])
    assert tickets.redeem(token, "browser", VoxelGrant) is before, "it may be on its way"
    clock.now = GRACE_S
    with pytest.raises(Refused, match="expired"):
        tickets.redeem(token, "browser", VoxelGrant)
    assert passes.ticket(on_screen, "browser") == kept
    forgotten = weakref.ref(before)
    del before
    assert forgotten() is None, "nothing holds on to what it was"


def test_the_last_mask_may_come_for_a_while_after_the_end(tickets, clock, tmp_path):
    passes, wanted = Passes(tickets, MINUTES), mask_grant(shown(small_case(), tmp_path))
    token = passes.ticket(wanted, "browser")
    passes.close()
    assert tickets.redeem(token, "browser", MaskGrant) is wanted
    clock.now = GRACE_S
    with pytest.raises(Refused, match="expired"):
        tickets.redeem(token, "browser", MaskGrant)


def test_a_browser_without_a_cookie_gets_none(tickets):
    with pytest.raises(InputError, match="allow cookies"):
        Passes(tickets, MINUTES).ticket(grant(), "")
