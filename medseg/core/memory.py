"""How much main memory this process holds, and held at most."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"  # man 5 proc: resets the peak resident set size to the current one


class PeakMemory:
    """Watches how far the resident memory of this process rises above what it is now.

    On Linux the system's own high-water mark is set back, so that nothing has to be sampled; where it cannot be, what
    was held before counts too, and the answer may be too large. Elsewhere nobody can tell.
    """

    def __init__(self) -> None:
        self._start = _kibibytes("VmRSS")
        try:
            _CLEAR.write_text(_CLEAR_PEAK, encoding="ascii")
        except OSError:
            self.is_exact = False
        else:
            self.is_exact = True

    def above_start(self) -> int | None:
        """Bytes between the start and the highest mark since; None where the system does not say."""
        peak = _kibibytes("VmHWM")
        return None if peak is None or self._start is None else max(0, peak - self._start) * 1024


def _kibibytes(name: str) -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    found = re.search(rf"^{name}:\s*(\d+) kB", _STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return int(found.group(1)) if found else None
