from pathlib import Path

import pytest

from medseg.core.errors import InputError
from medseg.review.passes import Passes
from medseg.review.records import CaseName
from medseg.review.refusals import Refused
from medseg.review.tickets import Tickets, VoxelGrant

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


def test_a_browser_without_a_cookie_gets_none(tickets):
    with pytest.raises(InputError, match="allow cookies"):
        Passes(tickets, MINUTES).ticket(grant(), "")
