"""The studies that lie in a folder: which files belong together, by header and never by name."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import ReadError
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.names import STUDY, name_of
from medseg.io.dicom_classes import is_derived
from medseg.io.dicom_identity import FileIdentity, read_file_identity
from medseg.io.listing import SHUT_FOLDER, TOO_DEEP, list_files


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """The files of one study.

    Attributes:
        name: Pseudonym of the study.
        paths: Its files, sorted; they stay out of the ``repr``.
        version: Changes when an image comes, goes or changes its size, and not when outlines or reports do, so that
            results that were put with their study do not make it a new one; says nothing of who it is.
        damaged: How many files beside them, in the same folders, are empty, damaged or may not be read; nobody knows
            whose they are.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    version: str
    damaged: int = 0

    @property
    def problem(self) -> str:
        """Why it cannot be done, before any file is read; empty if nothing speaks against it."""
        if not self.damaged:
            return ""
        which = f"{self.damaged} files that are empty, damaged or may not be read lie beside its files"
        return f"{which}, so slices may be missing; mend or remove them"


@dataclass(frozen=True, eq=False)
class Found:
    """What a folder holds.

    Attributes:
        studies: Sorted by name.
        others: Files that are not DICOM, and links and devices, which are not followed.
        unreadable: Files that are empty or damaged in their first elements, and files and folders that may not be read.
    """

    studies: tuple[StudyFiles, ...]
    others: int
    unreadable: int


def find_studies(folder: Path, key: ProjectKey, progress: Progress = SILENT) -> Found:
    """The studies below ``folder``; of each file only the first elements are read, and only its path is kept.

    Args:
        folder: A folder, or one file.
        key: Makes the pseudonyms.
        progress: Told of each file.

    Raises:
        InputError: If there are more than a million files.
    """
    listing = list_files(folder.absolute())  # workers may have another working directory
    progress.start("finding studies", len(listing.files))
    sorter = StudySorter(key)
    for path in listing.files:
        sorter.take(path)
        progress.advance()
    sorter.lost(listing.lost)
    shut = listing.passed[SHUT_FOLDER] + listing.passed[TOO_DEEP]
    return sorter.found(others=listing.passed.total() - len(listing.lost) - shut, shut=shut)


def study_in(folder: Path) -> StudyFiles:
    """The study that the objects in a folder of a spool are, which is named after it, whatever they say themselves."""
    files = [(str(path.absolute()), digest_of(_identity(path))) for path in folder.glob("*.dcm")]
    return study_of(folder.name, files, {})


class StudySorter:
    """Puts files with their study; keeps no more of a file than its path and a short digest."""

    def __init__(self, key: ProjectKey) -> None:
        self._key = key
        self._names: dict[str, str] = {}
        self._studies: dict[str, list[tuple[str, bytes]]] = {}
        self._damaged: Counter[str] = Counter()
        self._others = 0

    def take(self, path: Path) -> None:
        """Put one file with its study."""
        try:
            identity = read_file_identity(path)
        except ReadError:
            self.lost([path])
            return
        if identity is None:
            self._others += 1
            return
        if identity.study_uid not in self._names:
            self._names[identity.study_uid] = study_name(self._key, identity.study_uid)
        self._studies.setdefault(self._names[identity.study_uid], []).append((str(path), digest_of(identity)))

    def lost(self, paths: Iterable[Path]) -> None:
        """Note files that cannot be put with a study."""
        self._damaged.update(str(path.parent) for path in paths)

    def found(self, others: int = 0, shut: int = 0) -> Found:
        """All studies, once every file was taken; so many more files and folders were not even opened."""
        studies = (study_of(name, files, self._damaged) for name, files in sorted(self._studies.items()))
        return Found(tuple(studies), self._others + others, self._damaged.total() + shut)


def study_of(name: str, files: Iterable[tuple[str, bytes]], damaged: Mapping[str, int]) -> StudyFiles:
    """The study that files make, from their paths and digests, and the number of damaged files in each folder."""
    ordered = sorted(files)
    digest = hashlib.sha256(b"".join(sorted(part for _, part in ordered)))
    beside = sum(damaged.get(folder, 0) for folder in {str(Path(path).parent) for path, _ in ordered})
    return StudyFiles(name, tuple(path for path, _ in ordered), digest.hexdigest()[:32], beside)


def _identity(path: Path) -> FileIdentity:
    """What a file is; by its name if it does not tell."""
    with contextlib.suppress(ReadError):
        identity = read_file_identity(path)
        if identity is not None:
            return identity
    return FileIdentity(path.parent.name, path.name, path.stat().st_size)


def digest_of(identity: FileIdentity) -> bytes:
    """What changes when the instance does; empty for one that no model takes."""
    if is_derived(identity.sop_class):
        return b""
    return hashlib.sha256(f"{identity.instance_uid} {identity.size}".encode()).digest()[:16]


def study_name(key: ProjectKey, study_uid: str) -> str:
    """Pseudonym of a study, the same before and after its de-identification with that key."""
    return name_of(key, STUDY, study_uid)
