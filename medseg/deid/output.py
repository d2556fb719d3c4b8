"""The folder of the results: claimed for one run, filled study by study, each complete or not there at all.

::

    OUT/patient-…/study-…/series-…/instance-….dcm    what was released
    OUT/deid_report.json, deid_report.html, manifest.csv
    OUT/.deid/run.json                               whose folder this is
    OUT/.deid/study-….json                           one record a finished study
    OUT/.deid/staging-…/                             what is not proven yet; gone when the run ends
    QUARANTINE/study-…/instance-….dcm, ….png         what was held back; stays in the house
    QUARANTINE/study-…/why.json, quarantine.json     names, reasons and sources
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medseg.core.errors import InputError, OutputError
from medseg.core.files import confined, write_text

from .records import WHY, UnitRecord, read_record, write_record

HIDDEN, RUN_FILE, QUARANTINE_FILE = ".deid", "run.json", "quarantine.json"
RELEASE, HELD = "release", "held"
_STAGING = "staging-"


class OutputFolder:
    """Results of one key, and the quarantine that belongs to them; made by ``claimed``.

    Attributes:
        root: Folder of what is released.
        quarantine: Folder of what is held back.
        staging: Folder for work in progress, on the same disk as ``root``.
        records: The finished units, by name.
    """

    def __init__(self, root: Path, quarantine: Path, staging: Path) -> None:
        self.root, self.quarantine, self.staging = root, quarantine, staging
        found = (read_record(path) for path in sorted((root / HIDDEN).glob("*-*.json")))
        self.records: dict[str, UnitRecord] = {one.unit: one for one in found if one is not None}
        self._owners = {path: one.unit for one in self.records.values() for path in one.paths}

    def publish(self, record: UnitRecord) -> None:
        """Put in place what a worker left in ``staging/<unit>``, instead of what an earlier run had there.

        A record of all old and new paths comes first and the real one last: a run that is killed on the way does the
        unit again, and leaves no file that no record knows. A unit that an earlier version drew otherwise, and that has
        one of the paths, is withdrawn.

        Raises:
            InputError: If a path leads out of the folder.
            OutputError: If it cannot be written.
        """
        staged = self.staging / record.unit
        begun = self._begun(record)
        others = {self._owners.get(path, record.unit) for path in record.paths} - {record.unit}
        with _writing(self.root):
            self._remember(begun)
            for other in others:
                self.withdraw(other)
            self._take_out(record.unit, begun.paths)
            if (staged / HELD).is_dir():
                self._quarantine(record.unit, staged / HELD)
            for relative in record.paths:
                target = confined(self.root, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                (staged / RELEASE / relative).replace(target)
            self._remember(record)
        self.discard(record.unit)

    def withdraw(self, unit: str) -> None:
        """Take out what an earlier run released and held back of a unit.

        Raises:
            OutputError: If it cannot be removed.
        """
        with _writing(self.root):
            self._take_out(unit, self._paths(unit))
            self._record_path(unit).unlink(missing_ok=True)
        self.records.pop(unit, None)

    def discard(self, unit: str) -> None:
        """Remove what a worker left in staging."""
        shutil.rmtree(self.staging / unit, ignore_errors=True)

    def list_quarantine(self) -> int:
        """Write ``quarantine.json``, which joins the reasons of all units; how many files are held back."""
        if not self.quarantine.is_dir():
            return 0
        units = {path.parent.name: json.loads(path.read_text("utf-8")) for path in self.quarantine.glob(f"*/{WHY}")}
        write_text(self.quarantine / QUARANTINE_FILE, json.dumps(dict(sorted(units.items())), indent=1) + "\n")
        if not units:
            shutil.rmtree(self.quarantine)
        return sum(map(len, units.values()))

    def _begun(self, record: UnitRecord) -> UnitRecord:
        """What is true of a unit while its files are replaced; its stamps fit no input and no profile."""
        paths = tuple(dict.fromkeys((*self._paths(record.unit), *record.paths)))
        for relative in paths:
            confined(self.root, relative)
        return UnitRecord(
            unit=record.unit,
            patient=record.patient,
            stamp="",
            settings="",
            origin=record.origin,
            paths=paths,
            files=record.files,
        )

    def _remember(self, record: UnitRecord) -> None:
        write_record(self._record_path(record.unit), record)
        self.records[record.unit] = record
        self._owners.update(dict.fromkeys(record.paths, record.unit))

    def _paths(self, unit: str) -> tuple[str, ...]:
        """What is known to be here of a unit."""
        return self.records[unit].paths if unit in self.records else ()

    def _take_out(self, unit: str, paths: Iterable[str]) -> None:
        for relative in paths:
            target = confined(self.root, relative)
            self._trash(target)
            self._owners.pop(relative, None)
            with contextlib.suppress(OSError):  # the folder of a patient who has other studies stays
                target.parent.rmdir()
        self._trash(self.quarantine / unit)

    def _quarantine(self, unit: str, held: Path) -> None:
        if not self.quarantine.is_dir():
            self.quarantine.mkdir(parents=True, mode=0o700)
            write_text(self.quarantine / QUARANTINE_FILE, "{}\n")
        shutil.move(held, self.quarantine / unit)

    def _trash(self, path: Path) -> None:
        if path.exists():
            shutil.move(path, tempfile.mkdtemp(prefix="old-", dir=self.staging))

    def _record_path(self, unit: str) -> Path:
        return self.root / HIDDEN / f"{unit}.json"


@contextmanager
def claimed(root: Path, quarantine: Path, fingerprint: str) -> Iterator[OutputFolder]:
    """The folder for results, for this run alone; what is unfinished at the end is removed.

    Raises:
        InputError: If it holds files that no run wrote, results of another key, or another run is at work there.
        OutputError: If it cannot be written to.
    """
    check_output(root, quarantine, fingerprint)
    hidden = root / HIDDEN
    with _writing(root):
        hidden.mkdir(parents=True, exist_ok=True)
    with _locked(hidden):
        with _writing(root):
            for old in hidden.glob(f"{_STAGING}*"):
                shutil.rmtree(old)
            write_text(hidden / RUN_FILE, json.dumps({"key": fingerprint}) + "\n")
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=hidden))
        try:
            yield OutputFolder(root, quarantine, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def check_output(root: Path, quarantine: Path, fingerprint: str) -> None:
    """Refuse folders that are not for this run, before anything is done.

    Raises:
        InputError: If one is a file or holds what no run of this key wrote.
    """
    for path in (root, quarantine):
        if path.exists() and not path.is_dir():
            raise InputError(f"{str(path)!r} is a file; results need a folder")
    if quarantine.is_dir() and not (quarantine / QUARANTINE_FILE).exists() and any(quarantine.iterdir()):
        raise InputError(f"quarantine {str(quarantine)!r} holds other files; name a new folder by --quarantine")
    if not root.is_dir() or {path.name for path in root.iterdir()} <= {HIDDEN}:
        return
    made_by = _key_of(root)
    if made_by is None:
        raise InputError(f"{str(root)!r} holds files that `medseg deidentify` did not write; name a new folder")
    if made_by != fingerprint:
        raise InputError(
            f"{str(root)!r} was made with another project key, so its pseudonyms would not fit together; "
            "name that key by --key, or a new folder"
        )


def _key_of(root: Path) -> str | None:
    """Fingerprint of the key that made the results in a folder; None if there are none."""
    try:
        content = json.loads((root / HIDDEN / RUN_FILE).read_text("utf-8"))
        return str(content["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; where the system has no such locks, they are trusted to stay out."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("another `medseg deidentify` is at work in this output folder; wait for it") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Says in words what keeps the results from being written."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or type(error).__name__).lower()
        raise OutputError(f"cannot write results to {root.name!r}: {reason}") from error
