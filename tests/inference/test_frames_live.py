import threading

import numpy as np
import pytest

from medseg.core.errors import InputError
from medseg.inference.frames_live import FrameCounts, LiveSegmenter

PATIENT_S = 30.0
"""Longer than anything here takes; only a test that fails waits so long."""


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Network:
    """Works on one frame until it is let go."""

    def __init__(self):
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.seen, self.threads = [], set()

    def __call__(self, frame):
        self.threads.add(threading.get_ident())
        self.seen.append(int(frame[0, 0]))
        self.began.release()
        assert self.go.acquire(timeout=PATIENT_S)
        return frame

    def wait_for_one(self):
        assert self.began.acquire(timeout=PATIENT_S)


def numbered(number):
    return np.full((2, 2), number, np.uint8)


def wait_until(live, holds):
    with live._changed:
        assert live._changed.wait_for(holds, PATIENT_S)


def broken(frame):
    raise ValueError("the network broke")


@pytest.fixture
def network():
    network = Network()
    yield network
    network.go.release(1000)  # a test that failed leaves no thread behind


def test_labels_come_back_with_their_number_and_latency(network):
    clock = Clock()
    with LiveSegmenter(network, max_age_s=1.0, clock=clock) as live:
        assert live.newest() is None
        assert live.offer(numbered(5)) == 0
        network.wait_for_one()
        assert live.newest() is None
        clock.now += 0.25
        network.go.release()
        result = live.wait(PATIENT_S)
        assert (result.number, result.latency_s) == (0, 0.25)
        assert np.array_equal(result.labels, numbered(5))
        assert live.newest() is None
        assert live.counts == FrameCounts(seen=1, done=1, dropped=0)
    assert network.threads != {threading.get_ident()}


def test_the_newest_of_the_waiting_frames_wins_and_the_order_stays(network):
    clock, numbers = Clock(), []
    with LiveSegmenter(network, clock=clock) as live:
        live.offer(numbered(0))
        network.wait_for_one()
        for number in range(1, 6):
            live.offer(numbered(number))
        assert live.counts == FrameCounts(seen=6, done=0, dropped=4)
        for offered in (None, 6, None):
            network.go.release()
            numbers.append(live.wait(PATIENT_S).number)
            if offered is not None:
                live.offer(numbered(offered))
        assert live.counts == FrameCounts(seen=7, done=3, dropped=4)
    assert network.seen == numbers == [0, 5, 6]


def test_a_result_that_nobody_fetched_gives_way_to_the_next(network):
    network.go.release(3)
    with LiveSegmenter(network, clock=Clock()) as live:
        for number in range(3):
            live.offer(numbered(number))
            network.wait_for_one()
            wait_until(live, lambda wanted=number: live._ready and live._ready[0].number == wanted)
        assert live.newest().number == 2
        assert live.counts == FrameCounts(seen=3, done=1, dropped=2)


def test_nothing_older_than_allowed_is_handed_out(network):
    clock = Clock()
    with LiveSegmenter(network, max_age_s=0.5, clock=clock) as live:
        live.offer(numbered(0))
        network.wait_for_one()
        live.offer(numbered(1))
        clock.now += 0.6
        network.go.release()
        live.offer(numbered(2))  # the frame before it is too old by now, and so is the result of the first
        network.wait_for_one()
        assert live.newest() is None
        network.go.release()
        assert live.wait(PATIENT_S).number == 2
        assert network.seen == [0, 2]
        assert live.counts == FrameCounts(seen=3, done=1, dropped=2)


def test_a_frame_that_waited_too_long_is_not_even_begun(network):
    clock = Clock()
    with LiveSegmenter(network, max_age_s=0.5, clock=clock) as live:
        live.offer(numbered(0))
        network.wait_for_one()
        live.offer(numbered(1))
        clock.now += 0.6
        network.go.release(2)
        wait_until(live, lambda: live._waiting is None and live._counts.dropped)
        live.offer(numbered(2))
        assert live.wait(PATIENT_S).number == 2
    assert network.seen == [0, 2]
    assert live.counts == FrameCounts(seen=3, done=1, dropped=2)


def test_waiting_ends_with_its_time(network):
    with LiveSegmenter(network) as live:
        assert live.wait(0.0) is None
        live.offer(numbered(0))
        assert live.wait(0.01) is None
        network.go.release()


def test_what_goes_wrong_reaches_the_caller_and_ends_the_stream():
    live = LiveSegmenter(broken)
    live.offer(numbered(0))
    with pytest.raises(ValueError, match="the network broke"):
        live.wait(PATIENT_S)
    with pytest.raises(ValueError, match="the network broke"):
        live.offer(numbered(1))
    with pytest.raises(ValueError, match="the network broke"):
        live.newest()
    with pytest.raises(ValueError, match="the network broke"):
        live.close()
    assert live.counts == FrameCounts(seen=1, done=0, dropped=1)
    assert not live._thread.is_alive()


def test_an_error_that_nobody_met_is_raised_at_the_end():
    def stream():
        with live:
            live.offer(numbered(0))
            wait_until(live, lambda: live._error is not None)

    live = LiveSegmenter(broken)
    with pytest.raises(ValueError, match="the network broke"):
        stream()


def test_an_error_in_the_block_is_not_hidden_by_the_thread_s():
    def stream():
        with live:
            live.offer(numbered(0))
            wait_until(live, lambda: live._error is not None)
            raise KeyError("the caller")

    live = LiveSegmenter(broken)
    with pytest.raises(KeyError, match="the caller"):
        stream()
    assert not live._thread.is_alive()


def test_closing_joins_the_thread_and_drops_what_is_left(network):
    live = LiveSegmenter(network)
    live.offer(numbered(0))
    network.wait_for_one()
    live.offer(numbered(1))
    network.go.release()
    live.close()
    live.close()
    assert not live._thread.is_alive()
    assert network.seen == [0]
    assert live.counts == FrameCounts(seen=2, done=0, dropped=2)
    assert live.counts.open == 0
    assert live.newest() is None
    assert live.wait(PATIENT_S) is None
    with pytest.raises(InputError, match="the stream of frames was closed"):
        live.offer(numbered(2))


def test_a_camera_may_use_its_buffer_again(network):
    buffer = numbered(7)
    with LiveSegmenter(network) as live:
        live.offer(buffer)
        buffer[...] = 0
        network.go.release()
        assert live.wait(PATIENT_S).labels[0, 0] == 7


@pytest.mark.parametrize("age", [0.0, -1.0, float("nan")])
def test_an_age_that_is_none_is_refused(network, age):
    with pytest.raises(InputError, match="max_age_s is above 0"):
        LiveSegmenter(network, max_age_s=age)


def test_every_frame_is_accounted_for_when_producer_and_reader_race():
    frames, numbers = 300, []
    with LiveSegmenter(lambda frame: frame, max_age_s=PATIENT_S) as live:
        reader_is_done = threading.Event()

        def read():
            while not reader_is_done.is_set():
                result = live.wait(0.05)
                if result is not None:
                    numbers.append(result.number)

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(frames):
            live.offer(numbered(number % 256))
        reader_is_done.set()
        reader.join()
    assert live.counts.seen == frames
    assert live.counts.done == len(numbers)
    assert live.counts.done + live.counts.dropped == frames
    assert numbers == sorted(set(numbers))
