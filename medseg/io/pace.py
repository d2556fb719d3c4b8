"""How much each caller may ask for in a minute."""

from __future__ import annotations

import threading

from .dicom_net import NodeLimits

_MOST_CALLERS = 1000


class Pace:
    """A bucket for each caller that holds a minute's worth and fills steadily; safe among threads."""

    def __init__(self, limits: NodeLimits) -> None:
        self._a_minute = limits.objects_a_minute
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def allows(self, caller: str, now: float) -> bool:
        """Whether ``caller`` may do one more, which then counts; ``now`` in seconds of a steady clock."""
        with self._lock:
            if len(self._buckets) >= _MOST_CALLERS and caller not in self._buckets:
                self._forget(now)
            level = self._level(caller, now)
            self._buckets[caller] = (level - 1 if level >= 1 else level, now)
            return level >= 1

    def _level(self, caller: str, now: float) -> float:
        level, then = self._buckets.get(caller, (float(self._a_minute), now))
        return min(float(self._a_minute), level + (now - then) * self._a_minute / 60)

    def _forget(self, now: float) -> None:
        """Drop the callers whose bucket is full again, or all but the emptiest if none is."""
        levels = {caller: self._level(caller, now) for caller in self._buckets}
        full = [caller for caller, level in levels.items() if level >= self._a_minute]
        for caller in full or sorted(levels, key=levels.__getitem__)[_MOST_CALLERS // 2 :]:
            del self._buckets[caller]
