import sys

import numpy as np
import pytest

from medseg.core import memory
from medseg.core.memory import PeakMemory

MIB = 2**20
ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is told by Linux only")


@ON_LINUX
def test_what_was_held_for_a_moment_counts_and_what_was_held_before_does_not():
    np.ones(96 * MIB, np.uint8)
    watch = PeakMemory()
    assert watch.above_start() < 16 * MIB
    np.ones(64 * MIB, np.uint8)
    assert 56 * MIB < watch.above_start() < 90 * MIB


@ON_LINUX
def test_a_mark_that_cannot_be_set_back_makes_the_answer_a_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "nowhere" / "clear_refs")
    watch = PeakMemory()
    assert not watch.is_exact
    assert watch.above_start() >= 0


def test_elsewhere_nobody_can_tell(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "win32")
    assert PeakMemory().above_start() is None
