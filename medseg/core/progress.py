"""How long jobs say where they are."""

from __future__ import annotations

import math
from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a job; the command line draws them, tests and libraries pass ``SILENT``."""

    def start(self, label: str, total: int) -> None:
        """A stage of ``total`` steps begins; it ends the stage before."""

    def advance(self, steps: int = 1) -> None:
        """So many steps of the stage are done."""

    def note(self, text: str) -> None:
        """A line that the user should see, such as a skipped input."""

    def finish(self) -> None:
        """The job is over."""


class _Silent:
    def start(self, label: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


SILENT: Progress = _Silent()


class Prefixed:
    """Progress of one part of a larger job: its stages begin with the name of the part."""

    def __init__(self, progress: Progress, prefix: str) -> None:
        self._progress, self._prefix = progress, prefix

    def start(self, label: str, total: int) -> None:
        """See ``Progress``."""
        self._progress.start(f"{self._prefix}: {label}", total)

    def advance(self, steps: int = 1) -> None:
        """See ``Progress``."""
        self._progress.advance(steps)

    def note(self, text: str) -> None:
        """See ``Progress``."""
        self._progress.note(text)

    def finish(self) -> None:
        """The part is over, the job is not."""


def time_text(seconds: float) -> str:
    """A time for people, such as ``45 s``, ``12 min``, ``3 h 20 min``."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours >= 2 else f"{60 * hours + minutes} min"
