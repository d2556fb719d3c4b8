"""Times of equal runs, summed up without claiming more than their number allows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

_P95_RUNS, _P99_RUNS = 20, 100


class Latency(BaseModel):
    """Seconds a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int
    """How many were measured."""
    mean_s: float
    p50_s: float
    p95_s: float | None
    """None below 20 runs, where it would be the maximum."""
    p99_s: float | None
    """None below 100 runs."""
    max_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of at least one run; percentiles are runs that happened, see ``percentile``."""
        runs = len(seconds)
        return cls(
            runs=runs,
            mean_s=statistics.fmean(seconds),
            p50_s=percentile(seconds, 50),
            p95_s=percentile(seconds, 95) if runs >= _P95_RUNS else None,
            p99_s=percentile(seconds, 99) if runs >= _P99_RUNS else None,
            max_s=max(seconds),
        )

    @property
    def per_second(self) -> float:
        """Runs a second, one after the other."""
        return 1 / max(self.mean_s, 1e-12)

    @property
    def missing(self) -> str:
        """What the runs are too few for, as a sentence; empty if for nothing."""
        wanted = [f"p{p} ({least})" for p, least in ((95, _P95_RUNS), (99, _P99_RUNS)) if self.runs < least]
        if not wanted:
            return ""
        return f"{self.runs} {'run is' if self.runs == 1 else 'runs are'} too few for {' and '.join(wanted)}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least that many percent of them do not exceed (nearest rank).

    Args:
        values: At least one.
        percent: Above 0, up to 100.
    """
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]
