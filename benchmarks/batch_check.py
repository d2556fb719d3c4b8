"""Whether a batch that was killed now and then did each study once, and says so."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pydicom
from batch_material import study_uid

_OWN = {"manifest.sqlite", ".lock", ".reserve", "studies", "studies.csv"}
_RECEIPT = "result.json"


def faults(output: Path, studies: int) -> list[str]:
    """What is wrong with the folder of a batch over so many generated studies; empty if nothing is."""
    return [*_in_manifest(output, studies), *_in_folders(output), *_in_objects(output, studies)]


def counted(output: Path) -> tuple[int, int]:
    """Studies that are done, and those that were done more than once; none where there is no manifest yet."""
    path = output / "manifest.sqlite"
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(_opened(path)) as connection:
        query = "SELECT COUNT(*), COALESCE(SUM(attempts > 1), 0) FROM studies WHERE status = 'done'"
        done, repeated = connection.execute(query).fetchone()
        return done, repeated
    return 0, 0


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


def _in_manifest(output: Path, studies: int) -> Iterator[str]:
    with contextlib.closing(_opened(output / "manifest.sqlite")) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            yield "SQLite finds the manifest damaged"
        counts = dict(connection.execute("SELECT status, COUNT(*) FROM studies GROUP BY status"))
        if counts != {"done": studies}:
            yield f"{studies} studies, the manifest counts {counts}"


def _in_folders(output: Path) -> Iterator[str]:
    """Files that the manifest does not know or knows otherwise, and what killed runs left."""
    expected: dict[str, str] = {}
    with contextlib.closing(_opened(output / "manifest.sqlite")) as connection:
        for study, name, digest in connection.execute("SELECT study, name, sha256 FROM outputs"):
            expected[f"{study}/{name}"] = digest
    yield from (f"left over: {path.name}" for path in output.iterdir() if path.name not in _OWN)
    studies = output / "studies"
    found = {path.relative_to(studies).as_posix(): path for path in studies.rglob("*") if path.is_file()}
    done = {name.partition("/")[0] for name in expected}
    receipts = {f"{study}/{_RECEIPT}" for study in done}
    yield from (f"left over: {path.name}" for path in studies.iterdir() if path.name not in done)
    yield from (f"lost: {name}" for name in receipts - found.keys())
    yield from (f"left over: {name}" for name in found.keys() - expected.keys() - receipts)
    for name, digest in expected.items():
        if name not in found:
            yield f"lost: {name}"
        elif hashlib.sha256(found[name].read_bytes()).hexdigest() != digest:
            yield f"not what the manifest says: {name}"


def _in_objects(output: Path, studies: int) -> Iterator[str]:
    """Whether there is exactly one segmentation and one report of every study, each an object of its own."""
    instances: set[str] = set()
    for name in ("seg.dcm", "report.dcm"):
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (output / "studies").rglob(name)]
        instances.update(str(header.SOPInstanceUID) for header in headers)
        about = sorted(str(header.StudyInstanceUID) for header in headers)
        if about != sorted(map(study_uid, range(studies))):
            yield f"{len(about)} objects {name} of {len(set(about))} studies, wanted one each of {studies}"
    if len(instances) != 2 * studies:
        yield f"{len(instances)} different instances, wanted {2 * studies}"
