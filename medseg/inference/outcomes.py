"""What became of each case of a prediction run, as rows and as a table file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Done:
    """A case that was predicted.

    Attributes:
        case: Its name.
        input: The file's name, the case of a manifest, or a pseudonym for DICOM.
        output: Its labels.
        volumes_ml: Millilitres of each target; None for images in pixels.
        note: What the user should know, such as an unusual size.
    """

    case: str
    input: str
    output: Path
    volumes_ml: Mapping[str, float | None]
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A case that was left out because the model does not fit it."""

    case: str
    input: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A case that could not be predicted."""

    case: str
    input: str
    reason: str


Outcome = Done | Skipped | Failed


@dataclass(frozen=True)
class PredictionRun:
    """What became of each case.

    Attributes:
        outcomes: In the order of the inputs.
        targets: What the model segments.
    """

    outcomes: tuple[Outcome, ...]
    targets: tuple[str, ...]

    @property
    def done(self) -> int:
        """Cases that were predicted."""
        return sum(isinstance(outcome, Done) for outcome in self.outcomes)

    @property
    def failed(self) -> int:
        """Cases that could not be predicted; skipped ones are no failures."""
        return sum(isinstance(outcome, Failed) for outcome in self.outcomes)

    def rows(self) -> list[dict[str, Any]]:
        """One row a case, all with the same keys; ``<target> mL`` for each target, None where unknown."""
        return [self._row(outcome) for outcome in self.outcomes]

    def csv(self) -> str:
        """The rows as CSV, a line each; cells that a spreadsheet would take for a formula begin with an apostrophe."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        header = ["case", "input", "status", "reason", "output", *(f"{target} mL" for target in self.targets)]
        writer.writerow(map(_cell, header))
        writer.writerows(map(_cell, row.values()) for row in self.rows())
        return text.getvalue()

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        output, volumes = "", dict[str, float | None]()
        match outcome:
            case Done():
                status, reason = "done", outcome.note
                output, volumes = outcome.output.name, dict(outcome.volumes_ml)
            case Skipped():
                status, reason = "skipped", outcome.reason
            case Failed():
                status, reason = "failed", outcome.reason
            case _:
                assert_never(outcome)
        row = {"case": outcome.case, "input": outcome.input, "status": status, "reason": reason, "output": output}
        return row | {f"{target} mL": volumes.get(target) for target in self.targets}


def _cell(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return spreadsheet_safe(value or "")


def spreadsheet_safe(text: str) -> str:
    """The text on one line; one that a spreadsheet would take for a formula begins with an apostrophe."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA) else line
