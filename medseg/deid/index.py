"""The first pass: which studies a folder holds and whose they are, and which other files; headers only."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.core.errors import InputError, ReadError
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey
from medseg.io.archives import is_archive
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_header import read_header, text
from medseg.io.formats import SUFFIXES, Format, sniff
from medseg.io.listing import list_files

from .conflicts import SEVERAL_PATIENTS, SHARED_NUMBER, Person, identity_of, shared_numbers
from .elements import bare
from .identity import PatientIdentity
from .image_files import is_part_of_pair
from .names import STUDY, name_of

NO_STUDY_UID = "the object has no Study Instance UID, so it cannot be told from others"
NO_INSTANCE_UID = "the object has no SOP Instance UID, so it cannot be told from others"
TWINS = "another file of the study has the same SOP Instance UID and other content"
MISNAMED = "an image by its name, but damaged or of another kind"
ARCHIVE, OTHER = "an archive inside the folder; name it itself", "a file of another kind"
_ID, _ISSUER, _NAME, _BIRTH = 0x00100020, 0x00100021, 0x00100010, 0x00100030
_STUDY, _SERIES, _INSTANCE, _ACCESSION = 0x0020000D, 0x0020000E, 0x00080018, 0x00080050
_TAGS = (_ID, _ISSUER, _NAME, _BIRTH, _STUDY, _SERIES, _INSTANCE, _ACCESSION, 0x00080005)
_SIDECARS = (".json", ".tsv", ".bval", ".bvec")


@dataclass(frozen=True, eq=False)
class Instance:
    """One file of a study, as its header says."""

    path: Path = field(repr=False)
    uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True, eq=False)
class Study:
    """One study; what identifies stays out of the ``repr``.

    Attributes:
        name: Pseudonym.
        uid: Study Instance UID.
        identity: Whose it is; None if that cannot be told.
        instances: Its files by series and SOP Instance UID.
        twins: Files that share a SOP Instance UID and differ otherwise; they are not among the instances.
        copies: How many files were passed over because another one has the same bytes.
        persons: What its files say about the patient.
        accessions: Accession numbers by Series Instance UID.
        problem: Why none of it may be released; empty if nothing is known to speak against it.
    """

    name: str
    uid: str = field(repr=False)
    identity: PatientIdentity | None = field(repr=False)
    instances: tuple[Instance, ...] = field(repr=False)
    twins: tuple[Path, ...] = field(repr=False)
    copies: int
    persons: frozenset[Person] = field(repr=False)
    accessions: dict[str, str] = field(repr=False)
    problem: str

    @property
    def paths(self) -> tuple[Path, ...]:
        """All its files but the copies."""
        return (*(one.path for one in self.instances), *self.twins)


@dataclass(frozen=True, eq=False)
class Index:
    """What lies in a folder.

    Attributes:
        studies: Sorted by pseudonym.
        refused: DICOM files that cannot be read or belong to no study, with the reason.
        images: NIfTI, NRRD and MetaImage files, and pictures.
        sidecars: Files whose names say that they go with such images; empty if there are none.
        passed: How many other things were passed over, by reason.
    """

    studies: tuple[Study, ...]
    refused: tuple[tuple[Path, str], ...] = field(repr=False)
    images: tuple[Path, ...] = field(repr=False)
    sidecars: tuple[Path, ...] = field(repr=False)
    passed: Counter[str]


def read_index(root: Path, key: ProjectKey, progress: Progress = SILENT) -> Index:
    """What lies below ``root``, which may be a file; nothing is changed, no link is followed.

    Args:
        root: Folder with originals.
        key: Makes the pseudonyms.
        progress: Told of each file.

    Raises:
        InputError: If there are more than a million files.
    """
    listing = list_files(root)
    progress.start("reading headers", len(listing.files))
    sorter = _Sorter(key, Counter(listing.passed))
    for path in listing.files:
        sorter.take(path)
        progress.advance()
    return sorter.index()


@dataclass
class _Gathered:
    """What is known of a study while the files are gone through."""

    files: dict[str, list[Instance]] = field(default_factory=dict)
    persons: set[Person] = field(default_factory=set)
    accessions: dict[str, str] = field(default_factory=dict)


class _Sorter:
    def __init__(self, key: ProjectKey, passed: Counter[str]) -> None:
        self._key, self._passed = key, passed
        self._studies: dict[str, _Gathered] = {}
        self._refused: list[tuple[Path, str]] = []
        self._images: list[Path] = []
        self._sidecars: list[Path] = []

    def take(self, path: Path) -> None:
        """Put one file where it belongs."""
        try:
            with quietly():
                header = read_header(path, _TAGS)
        except ReadError as error:
            self._refused.append((path, str(error)))
            return
        if header is None:
            self._take_other(path)
            return
        dataset = header.dataset
        study, instance = bare(dataset, _STUDY), bare(dataset, _INSTANCE)
        if not study or not instance:
            self._refused.append((path, NO_INSTANCE_UID if study else NO_STUDY_UID))
            return
        gathered = self._studies.setdefault(study, _Gathered())
        series = bare(dataset, _SERIES)
        gathered.files.setdefault(instance, []).append(Instance(path, instance, series))
        gathered.persons.add(Person(*(text(dataset, tag) for tag in (_ISSUER, _ID, _NAME, _BIRTH))))
        gathered.accessions.setdefault(series, text(dataset, _ACCESSION))

    def index(self) -> Index:
        """All of it, once every file was taken."""
        studies = [self._study(uid, gathered) for uid, gathered in self._studies.items()]
        known = {one.uid: (one.identity, one.persons) for one in studies if one.identity is not None}
        shared = shared_numbers(known)
        marked = (replace(one, problem=SHARED_NUMBER) if one.uid in shared else one for one in studies)
        if not self._images:
            self._passed[OTHER] += len(self._sidecars)
            self._sidecars.clear()
        return Index(
            tuple(sorted(marked, key=lambda one: one.name)),
            tuple(self._refused),
            tuple(self._images),
            tuple(self._sidecars),
            +self._passed,
        )

    def _study(self, uid: str, gathered: _Gathered) -> Study:
        single, twins, copies = _without_copies(gathered.files.values())
        identity = identity_of(gathered.persons, uid)
        return Study(
            name_of(self._key, STUDY, uid),
            uid,
            identity,
            tuple(sorted(single, key=lambda one: (one.series_uid, one.uid))),
            tuple(twins),
            copies,
            frozenset(gathered.persons),
            gathered.accessions,
            SEVERAL_PATIENTS if identity is None else "",
        )

    def _take_other(self, path: Path) -> None:
        name = path.name.lower()
        if _is_image(path):
            self._images.append(path)
        elif name.endswith(_SIDECARS):
            self._sidecars.append(path)
        elif name.endswith(SUFFIXES):
            self._refused.append((path, MISNAMED))
        elif not is_part_of_pair(path):
            self._passed[ARCHIVE if is_archive(path) else OTHER] += 1


def _is_image(path: Path) -> bool:
    try:
        return sniff(path) is not Format.DICOM
    except (InputError, ReadError):
        return False


def _without_copies(groups: Iterable[Sequence[Instance]]) -> tuple[list[Instance], list[Path], int]:
    """One file for each SOP Instance UID, the files that contradict each other, and the number of equal copies."""
    single: list[Instance] = []
    twins: list[Path] = []
    copies = 0
    for group in groups:
        if all(_are_equal(group[0].path, other.path) for other in group[1:]):
            single.append(group[0])
            copies += len(group) - 1
        else:
            twins.extend(one.path for one in group)
    return single, twins, copies


def _are_equal(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
