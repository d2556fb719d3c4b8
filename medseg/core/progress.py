"""How long jobs say where they are."""

from __future__ import annotations

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
