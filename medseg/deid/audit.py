"""What is left in a folder that somebody de-identified, whoever it was and by whatever tool.

Nothing of the originals is known here. Findings are what may not be there; notes are what a person has to decide, such
as whether UIDs and pseudonyms are new. Both are counted by kind and place and never quote a value.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medseg.core.errors import DataError, InputError
from medseg.core.files import existing
from medseg.core.progress import SILENT, Progress
from medseg.io.dicom_file import read_dicom

from .attribute_names import attribute_name
from .audit_dicom import DicomAudit
from .audit_images import ImageAudit
from .audit_tables import TableAudit
from .audit_trace import Trace
from .descriptors import Vocabulary
from .familiar import Familiar, is_made_name
from .identifiers import identifiers_of
from .output import HIDDEN, RUN_FILE
from .proof import Search
from .removed import Removed

_MOST_FILES = 1_000_000
_OWN_FILES = frozenset({"deid_report.json", "deid_report.html", "manifest.csv"})
_DAY = re.compile(r"(?<![A-Za-z0-9])(19|20)\d\d([-._]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?![A-Za-z0-9])")
_IN_NAME = "name of a file or folder"
_TAG = re.compile(r"\([0-9A-F]{4},[0-9A-F]{4}\)")


@dataclass(frozen=True)
class Finding:
    """One kind of thing in one kind of place.

    Attributes:
        kind: What it is.
        where: Attribute, field or part of the file.
        files: In how many files.
        instance: Instance Number (0020,0013) of one of them, if it is DICOM.
        is_note: Whether it may be right as it is.
    """

    kind: str
    where: str
    files: int
    instance: str
    is_note: bool

    def row(self) -> dict[str, object]:
        """For a table."""
        tag = _TAG.match(self.where)
        return {
            "finding": "note" if self.is_note else "finding",
            "kind": self.kind,
            "where": self.where,
            "attribute": attribute_name(tag[0]) if tag else "",
            "files": self.files,
            "example instance": self.instance,
        }


@dataclass(frozen=True)
class Audit:
    """What a folder holds.

    Attributes:
        findings: What may not be there, the most frequent first.
        notes: What a person has to decide.
        files: Files looked at.
        others: Files of kinds that are not looked at, links and devices.
        unreadable: Files that are damaged, and folders that may not be listed.
    """

    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    files: int
    others: int
    unreadable: int

    @property
    def has_findings(self) -> bool:
        """Whether anything is left that may not be there, or could not be looked at."""
        return bool(self.findings) or self.unreadable > 0

    def rows(self) -> list[dict[str, object]]:
        """Findings and notes as rows of a table."""
        return [finding.row() for finding in (*self.findings, *self.notes)]


def audit(folder: Path, vocabulary: Vocabulary | None = None, progress: Progress = SILENT) -> Audit:
    """What is left in a folder, or a file, that was de-identified.

    Looked at are DICOM, NIfTI, NRRD, MHA, PNG, JPEG and TIFF files, JSON files, tables, and the names of all files.

    Args:
        folder: Where it lies; links are not followed.
        vocabulary: Words that free text may hold; by default those of the package.
        progress: Told of each file.

    Raises:
        InputError: If nothing is there, or more than a million files are.
    """
    ledger = _Ledger(existing(folder), Familiar(vocabulary or Vocabulary.load()))
    paths = list(ledger.paths())
    progress.start("looking for what is left", len(paths))
    for path in paths:
        ledger.look_at(path)
        progress.advance()
    return ledger.result()


class _Ledger:
    def __init__(self, root: Path, familiar: Familiar) -> None:
        self._root, self._familiar = root, familiar
        self._dicom, self._images, self._tables = DicomAudit(familiar), ImageAudit(familiar), TableAudit(familiar)
        self._files: dict[Trace, int] = {}
        self._instances: dict[Trace, str] = {}
        self._looked_at = self._others = self._unreadable = 0
        self._is_ours = (root / HIDDEN / RUN_FILE).is_file()

    def paths(self) -> Iterator[Path]:
        """All regular files, in a fixed order."""
        if self._root.is_file():
            yield self._root
            return
        count = 0
        for folder, names, members in os.walk(self._root, onerror=self._shut):
            names[:] = sorted(name for name in names if not (self._is_ours and name == HIDDEN))
            for path in (Path(folder, member) for member in sorted(members)):
                count += 1
                if count > _MOST_FILES:
                    raise InputError(f"more than {_MOST_FILES} files; name a smaller folder")
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
                else:
                    self._others += 1

    def look_at(self, path: Path) -> None:
        """Note what is left in one file and its name."""
        if self._is_ours and path.parent == self._root and path.name in _OWN_FILES:
            return
        try:
            traces, suspects, instance = self._look_at(path)
        except DataError:
            self._unreadable += 1
            return
        for trace in {*traces, *self._in_name(path, suspects)}:
            self._files[trace] = self._files.get(trace, 0) + 1
            self._instances[trace] = self._instances.get(trace) or instance

    def result(self) -> Audit:
        """All of it."""
        order = sorted(self._files, key=lambda trace: (-self._files[trace], trace))
        found = [
            Finding(trace.kind, trace.where, self._files[trace], self._instances[trace], trace.is_note)
            for trace in order
        ]
        return Audit(
            findings=tuple(one for one in found if not one.is_note),
            notes=tuple(one for one in found if one.is_note),
            files=self._looked_at,
            others=self._others,
            unreadable=self._unreadable,
        )

    def _look_at(self, path: Path) -> tuple[set[Trace], tuple[Removed, ...], str]:
        file = read_dicom(path)
        if file is not None:
            self._looked_at += 1
            seen = self._dicom.look_at(file)
            return set(seen.traces), seen.suspects, seen.instance
        traces = self._images.traces(path)
        traces = self._tables.traces(path) if traces is None else traces
        if traces is None:
            self._others += 1
            return {Trace("file of a kind that is not looked at", path.suffix.lower()[:8], is_note=True)}, (), ""
        self._looked_at += 1
        return set(traces), (), ""

    def _in_name(self, path: Path, suspects: tuple[Removed, ...]) -> Iterator[Trace]:
        relative = path.relative_to(self._root) if path != self._root else Path(path.name)
        parts = [part for part in relative.parts if not is_made_name(Path(part).stem)]
        name = "\n".join(parts)
        if _DAY.search(name):
            yield Trace("date", _IN_NAME)
        if "^" in name:
            yield Trace("name", _IN_NAME)
        if suspects and parts:
            identifiers = identifiers_of(suspects, self._familiar.vocabulary)
            kinds = Search(identifiers).hits(os.fsencode(name))
            yield from (Trace(f"{hit.kind} of the header", _IN_NAME) for hit in kinds)

    def _shut(self, _error: OSError) -> None:
        self._unreadable += 1
