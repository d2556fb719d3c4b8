import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from medseg.review.visits import Kept, Visits

SOON_S = 0.01
WAIT_S = 10


class Gone:
    def __init__(self):
        self.names = []
        self.one_left = threading.Event()

    def __call__(self, name):
        self.names.append(name)
        self.one_left.set()


def test_a_session_that_stays_away_is_gone_once():
    gone = Gone()
    visits = Visits(gone, SOON_S)
    visits.here("one")
    visits.lost("one")
    visits.lost("one")
    assert gone.one_left.wait(WAIT_S)
    visits.close()
    assert gone.names == ["one"]


def test_what_was_asked_for_at_the_loss_is_done_after_the_session_is_gone():
    gone, done = Gone(), threading.Event()
    visits = Visits(gone, SOON_S)
    visits.here("one")
    visits.lost("one", lambda: done.set() if gone.names else None)
    assert done.wait(WAIT_S)
    visits.close()


def test_a_session_that_comes_back_in_time_stays():
    gone = Gone()
    visits = Visits(gone, WAIT_S)
    visits.here("one")
    visits.lost("one")
    visits.here("one")
    assert gone.names == []
    visits.close()
    assert gone.names == ["one"]


def test_a_session_that_is_connected_again_and_only_looks_stays_until_it_is_not():
    gone, answers = Gone(), [True, True, False]
    visits = Visits(gone, SOON_S)
    visits.here("one")
    visits.lost("one", is_connected=lambda: bool(gone.names) or answers.pop(0))
    assert gone.one_left.wait(WAIT_S)
    assert answers == []
    visits.close()
    assert gone.names == ["one"]


def test_a_session_that_nobody_saw_cannot_be_lost():
    gone = Gone()
    visits = Visits(gone, SOON_S)
    visits.lost("one")
    visits.close()
    assert gone.names == []


def test_what_two_sessions_want_is_read_once_and_stays_until_both_have_gone():
    kept, reads = Kept(), []
    read = lambda: reads.append("x") or object()  # noqa: E731
    one, other = kept.get("a", "x", read), kept.get("b", "x", read)
    assert one is other
    assert reads == ["x"]
    kept.release("a")
    assert len(kept) == 1
    kept.release("b")
    assert len(kept) == 0
    kept.close()


def test_a_session_keeps_its_last_few_only():
    kept = Kept(most=2)
    for key in ("x", "y", "x", "z"):
        kept.get("a", key, object)
    assert len(kept) == 2
    assert kept.get("a", "x", lambda: pytest.fail("x was used after y and is still there")) is not None
    kept.close()


def test_a_failure_is_told_and_not_kept():
    kept = Kept()
    with pytest.raises(ValueError, match="no luck"):
        kept.get("a", "x", lambda: (_ for _ in ()).throw(ValueError("no luck")))
    assert kept.get("a", "x", lambda: 7) == 7
    kept.close()


def test_what_is_prepared_is_there_when_it_is_wanted_and_the_current_thing_stays():
    kept, is_read = Kept(most=2), threading.Event()
    current = kept.get("a", "x", object)
    kept.prepare("a", "y", lambda: is_read.set() or "ready")
    assert is_read.wait(WAIT_S)
    assert kept.get("a", "y", lambda: pytest.fail("it was prepared")) == "ready"
    assert kept.get("a", "x", object) is current
    kept.close()


def test_the_current_thing_stays_however_often_another_one_is_prepared():
    dropped = []
    kept = Kept(dropped.append, most=2)
    current = kept.get("a", "x", object)
    for key in ("y", "z", "x", "w"):
        kept.prepare("a", key, lambda: "ready")
    assert kept.get("a", "x", lambda: pytest.fail("it is on the screen")) is current
    assert current not in dropped
    kept.close()


def test_who_wants_a_thing_does_not_wait_behind_others_that_are_prepared():
    kept, may_go_on = Kept(most=3), threading.Event()
    kept.prepare("a", "slow", lambda: may_go_on.wait(WAIT_S))
    kept.prepare("a", "next", lambda: "in the background")
    assert kept.get("a", "next", lambda: "at once") == "at once"
    may_go_on.set()
    kept.close()


def test_several_that_ask_at_once_get_one_thing():
    kept, reads, together = Kept(), [], threading.Barrier(8)

    def ask(number):
        together.wait(WAIT_S)
        return kept.get(str(number), "x", lambda: reads.append(number) or object())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(ask, range(8))))) == 1
    assert len(reads) == 1
    kept.close()


def test_a_thing_that_changed_is_read_anew():
    kept = Kept()
    first = kept.get("a", "x", object)
    kept.drop("x")
    assert kept.get("a", "x", object) is not first
    kept.close()


def test_what_is_dropped_is_told_of_also_if_it_was_still_being_read():
    dropped, may_go_on, is_read = [], threading.Event(), threading.Event()
    kept = Kept(dropped.append, most=1)
    kept.get("a", "x", lambda: "first")
    kept.prepare("b", "slow", lambda: may_go_on.wait(WAIT_S) and "slow")
    kept.get("a", "y", lambda: "second")
    kept.release("b")
    assert dropped == ["first"]
    may_go_on.set()
    kept.prepare("c", "z", is_read.set)
    assert is_read.wait(WAIT_S)
    assert dropped == ["first", "slow"]
    kept.close()
    assert dropped == ["first", "slow", "second", None]


def test_what_failed_is_not_told_of():
    dropped = []
    kept = Kept(dropped.append)
    kept.prepare("a", "x", lambda: 1 / 0)
    kept.close()
    assert dropped == []
