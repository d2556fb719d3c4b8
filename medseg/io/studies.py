"""What lies in a folder of DICOM files: studies and series, found by header and never by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.case import SeriesUID
from medseg.core.errors import DataError, ReadError
from medseg.core.files import existing
from medseg.core.geometry import Geometry
from medseg.core.progress import SILENT, Progress

from .dicom_classes import is_derived
from .dicom_identity import read_file_identity
from .dicom_instance import Image, Instance, read_instance
from .dicom_series import arrange
from .listing import UNREAD, list_files


@dataclass(frozen=True, eq=False)
class Series:
    """One series; what identifies a person stays out of its ``repr``.

    Attributes:
        uid: Series instance UID; one that stands for the folder if the files have none.
        study_uid: Study instance UID.
        patient: Issuer of the patient ID and the ID, parted by a NUL; tells patients apart and is never shown.
        modality: Such as ``CT`` or ``MR``.
        description: What the site called it.
        body_part: As the header says.
        image_type: Its values, such as ``ORIGINAL``, ``PRIMARY``, ``AXIAL``, of the first file.
        files: Sorted by position along the slice normal if the series is usable, else by path.
        rows: Of the first image; 0 if there is none.
        columns: Of the first image; 0 if there is none.
        frames: Slices of all files together.
        frame_of_reference_uid: Series that share it lie in one coordinate system.
        problem: Why it cannot be read as one volume, as part of a sentence; None if it can.
        attributes: ``sex``, ``age``, ``manufacturer``, ``model``, ``field_strength_t``, ``kernel``, where present.
        geometry: Grid of the volume; None if there is a problem.
        is_damaged: Whether the problem is that something is not there or not whole: files or slices.
    """

    uid: SeriesUID = field(repr=False)
    study_uid: str = field(repr=False)
    patient: str = field(repr=False)
    modality: str
    description: str = field(repr=False)
    body_part: str
    image_type: tuple[str, ...]
    files: tuple[Path, ...] = field(repr=False)
    rows: int
    columns: int
    frames: int
    frame_of_reference_uid: str = field(repr=False)
    problem: str | None
    attributes: Mapping[str, str] = field(repr=False)
    geometry: Geometry | None = None
    is_damaged: bool = False


@dataclass(frozen=True, eq=False)
class Inventory:
    """What a folder holds.

    Attributes:
        series: Sorted by patient, study, and path of their first file.
        other_files: Files that are not DICOM, DICOMDIRs, DICOM objects that have neither a series nor pixels, and links
            and devices, which are not followed.
        unreadable: DICOM files that are damaged, and folders that may not be listed.
        derived: How many of the other files say that they are outlines, reports and the like; the rest may be
            images that were cut off.
    """

    series: tuple[Series, ...]
    other_files: int
    unreadable: int
    derived: int = 0


def find_series(folder: Path, progress: Progress = SILENT, *, fill_gaps: bool = False) -> Inventory:
    """The DICOM series below ``folder``; reads headers only.

    Args:
        folder: A folder, or one file.
        progress: Told of each file.
        fill_gaps: Take series with missing slices for usable, as ``read_series`` does with this flag.

    Raises:
        InputError: If the path does not exist, or holds more than a million files.
    """
    listing = list_files(existing(folder))
    found = sort_series(listing.files, progress, fill_gaps=fill_gaps)
    shut = sum(number for reason, number in listing.passed.items() if reason in UNREAD)
    others = found.other_files + listing.passed.total() - shut
    return Inventory(found.series, others, found.unreadable + shut, found.derived)


def sort_series(paths: Sequence[Path], progress: Progress = SILENT, *, fill_gaps: bool = False) -> Inventory:
    """The DICOM series that files make; as ``find_series``."""
    other_files = unreadable = derived = 0
    progress.start("reading DICOM headers", len(paths))
    groups: dict[tuple[str, str, str], list[Instance]] = {}
    for path in paths:
        progress.advance()
        try:
            instance = read_instance(path)
        except ReadError:
            unreadable += 1
            continue
        if instance is None or not instance.identity.uid:
            other_files += 1
            derived += instance is not None and _is_derived(path)
            continue
        one = instance.identity
        groups.setdefault((one.study_uid, one.uid, one.modality), []).append(instance)
    found = sorted((_series(group, fill_gaps=fill_gaps) for group in groups.values()), key=_sort_key)
    return Inventory(tuple(found), other_files, unreadable, derived)


def _sort_key(series: Series) -> tuple[str, str, str]:
    return series.patient, series.study_uid, min(map(str, series.files))


def _series(instances: Sequence[Instance], *, fill_gaps: bool) -> Series:
    identity = instances[0].identity
    images = [instance.image for instance in instances if isinstance(instance.image, Image)]
    files, problem, geometry, is_damaged = [instance.path for instance in instances], None, None, False
    try:
        arrangement = arrange(instances, fill_gaps=fill_gaps)
        geometry = arrangement.geometry
        files = [instances[file].path for file in dict.fromkeys(one.file for one in arrangement.slices)]
    except DataError as error:
        problem = str(error)
        is_damaged = isinstance(error, ReadError) or 0 < len(images) < len(instances) or _lacks_slices(instances)
    return Series(
        uid=SeriesUID(identity.uid),
        study_uid=identity.study_uid,
        patient=identity.patient,
        modality=identity.modality,
        description=identity.description,
        body_part=identity.body_part,
        image_type=tuple(instances[0].variants["ImageType"].upper().replace(" ", "").split("\\")),
        files=tuple(files),
        rows=images[0].encoding.rows if images else 0,
        columns=images[0].encoding.columns if images else 0,
        frames=sum(image.encoding.frames for image in images),
        frame_of_reference_uid=identity.frame_of_reference_uid,
        problem=problem,
        attributes=identity.attributes,
        geometry=geometry,
        is_damaged=is_damaged,
    )


def _is_derived(path: Path) -> bool:
    try:
        identity = read_file_identity(path)
    except ReadError:
        return False
    return identity is not None and is_derived(identity.sop_class)


def _lacks_slices(instances: Sequence[Instance]) -> bool:
    """Whether the series would make a volume if missing slices were filled in."""
    try:
        arrange(instances, fill_gaps=True)
    except DataError:
        return False
    return True
