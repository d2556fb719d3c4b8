"""What a caller may ask for in a minute."""

from __future__ import annotations

from medseg.io.dicom_net import NodeLimits
from medseg.io.pace import Pace


def allowed(pace, caller, times) -> int:
    return sum(pace.allows(caller, now) for now in times)


def test_a_minutes_worth_at_once_and_then_steadily():
    pace = Pace(NodeLimits(objects_a_minute=60))
    assert allowed(pace, "A", [0.0] * 100) == 60
    assert allowed(pace, "B", [0.0] * 100) == 60
    assert allowed(pace, "A", [10.0] * 100) == 10
    assert allowed(pace, "A", [1000.0] * 100) == 60


def test_callers_without_end_take_no_memory_without_end():
    pace = Pace(NodeLimits(objects_a_minute=2))
    assert not pace.allows("A", 0.0) or allowed(pace, "A", [0.0] * 5) == 1
    for number in range(2000):
        assert pace.allows(str(number), 0.0)
    assert len(pace._buckets) <= 1000
    assert not pace.allows("A", 0.0)
    assert pace.allows("new", 1e6)
    assert len(pace._buckets) < 1000
