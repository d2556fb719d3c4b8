"""What a long job says of itself."""

from __future__ import annotations

import math

import pytest

from medseg.core.progress import SILENT, Prefixed, time_text


class Lines:
    def __init__(self):
        self.heard = []

    def start(self, label, total):
        self.heard.append(("start", label, total))

    def advance(self, steps=1):
        self.heard.append(("advance", steps))

    def note(self, text):
        self.heard.append(("note", text))

    def finish(self):
        self.heard.append(("finish",))


def test_the_stages_of_a_part_say_which_part_it_is():
    lines = Lines()
    part = Prefixed(lines, "fold 2")
    part.start("training", 10)
    part.advance(3)
    part.note("half of it")
    part.finish()  # the whole job goes on
    assert lines.heard == [("start", "fold 2: training", 10), ("advance", 3), ("note", "half of it")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (600, "10 min"),
        (5400, "90 min"),
        (7200, "2 h 0 min"),
        (12_000, "3 h 20 min"),
        (math.inf, "unknown time"),
        (math.nan, "unknown time"),
    ],
)
def test_times_are_as_people_say_them(seconds, text):
    assert time_text(seconds) == text


def test_silence_says_nothing(capfd):
    SILENT.start("a", 1)
    SILENT.advance()
    SILENT.note("b")
    SILENT.finish()
    assert capfd.readouterr() == ("", "")
