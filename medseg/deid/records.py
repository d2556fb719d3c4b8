"""What is remembered of a finished study, so that a second run need not do it again; nothing here names anybody."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from medseg.config.deid import DeidProfile
from medseg.core.files import write_text
from medseg.core.pseudonyms import ProjectKey

from .table import read_table

WHY = "why.json"
"""File beside what is held back."""
_LARGEST = 50_000_000
_STAMP, _SETTINGS = "stamp", "settings"


class SeriesRecord(BaseModel):
    """A released series of images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Pseudonym."""
    path: str
    """Its folder or file, below the output folder."""
    modality: str
    """Such as ``CT``."""
    attributes: dict[str, str] = {}
    """What the profile keeps, in bands."""


class UnitRecord(BaseModel):
    """What became of one study, or of one set of other image files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    unit: str
    """Pseudonym of the study."""
    patient: str
    """Pseudonym of the patient; empty if that cannot be told."""
    stamp: str
    """Changes with the input; empty while the files of the unit are being replaced."""
    settings: str
    """Changes with the profile and the version; empty while the files of the unit are being replaced."""
    origin: str = ""
    """Pseudonym of the input whose paths tell images apart; empty for a study, which has a UID, and in old records."""
    paths: tuple[str, ...] = ()
    """What belongs to it in the output folder."""
    files: int
    """Files of the input."""
    released: int = 0
    """Files in the output."""
    copies: int = 0
    """Files of the input that were equal to another one."""
    quarantined: dict[str, int] = {}
    """Files that were held back, by reason."""
    passed: dict[str, int] = {}
    """Files that are not released because of what they are, by reason."""
    actions: dict[str, dict[str, int]] = {}
    """How many elements met an action, by tag as eight hexadecimal digits, then by action."""
    pixels: dict[str, int] = {}
    """Files by the result of the pixel step."""
    notes: dict[str, int] = {}
    """Series that a person should know of, by what there is to know."""
    series: tuple[SeriesRecord, ...] = ()
    """Released series of images."""


class Ledger:
    """Adds up what becomes of the files of one unit; what was held back is told apart from the record.

    Attributes:
        held: Pseudonymous name, reason and source of each file that was held back.
        actions: Elements by tag and action.
        pixels: Files by result of the pixel step.
        notes: Series by what there is to know.
        passed: Files that are of no kind that is released, by reason.
    """

    def __init__(self) -> None:
        self.held: list[dict[str, str]] = []
        self.actions: Counter[tuple[int, str]] = Counter()
        self.pixels: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()

    def hold(self, name: str, reason: str, source: str) -> None:
        """Note a file that is held back; ``source`` is its path below the input and stays out of the record."""
        self.held.append({"name": name, "reason": reason, "source": source})

    def write(self, folder: Path) -> None:
        """Write who was held back, why, and from where, for the person who has to decide; nothing if nobody was.

        Raises:
            OutputError: If it cannot be written.
        """
        if self.held:
            write_text(folder / WHY, json.dumps(self.held, indent=1) + "\n")

    def reasons(self) -> dict[str, int]:
        """How many files were held back, by reason."""
        return dict(Counter(one["reason"] for one in self.held))

    def actions_by_tag(self) -> dict[str, dict[str, int]]:
        """The actions as a record holds them."""
        found: dict[str, dict[str, int]] = {}
        for (tag, action), count in sorted(self.actions.items()):
            found.setdefault(f"{tag:08X}", {})[action] = count
        return found


def input_stamp(
    key: ProjectKey, root: Path, paths: Iterable[Path], others: Iterable[str] = (), *, dated: bool = True
) -> str:
    """A short text that changes with the names, sizes and times of files; without the key it tells nothing of them.

    Args:
        key: Of the project.
        root: Folder of the input.
        paths: The files; one that vanished counts as changed.
        others: What else the result depends on.
        dated: Whether the times count; those of files that were just unpacked say nothing.
    """
    lines = sorted(_line(root, path, dated=dated) for path in paths)
    return key.name(_STAMP, "\n".join([*lines, "", *others]))


def settings_stamp(key: ProjectKey, profile: DeidProfile, others: Mapping[str, object]) -> str:
    """A short text that changes with the profile, the edition of the table, the version, and what else matters."""
    settings = {**profile.model_dump(mode="json"), "options": sorted(profile.options)}
    told = {"profile": settings, "table": read_table().edition, "medseg": version("medseg"), **others}
    return key.name(_SETTINGS, json.dumps(told, sort_keys=True, default=str))


def read_record(path: Path) -> UnitRecord | None:
    """The record in a file; None if it is none, so that the study is done again."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        return UnitRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(path: Path, record: UnitRecord) -> None:
    """Write a record, atomically."""
    write_text(path, record.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def _line(root: Path, path: Path, *, dated: bool) -> str:
    is_below = path != root and path.is_relative_to(root)  # the input may be one file, and that the half of a pair
    relative = path.relative_to(root) if is_below else Path(path.name)
    try:
        status = path.stat()
    except OSError:
        return f"{relative}\0gone"
    return f"{relative}\0{status.st_size}\0{status.st_mtime_ns if dated else 0}"
