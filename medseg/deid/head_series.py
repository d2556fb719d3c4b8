"""What becomes of the face in a series of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import DataError, DeidError
from medseg.core.geometry import Geometry
from medseg.io.dicom_file import DicomFile, read_dicom
from medseg.io.dicom_geometry import stack_planes
from medseg.io.dicom_instance import Image, Instance, read_instance

from .faces import deface_series, is_head

UNTOUCHED = "a series that may show a face; the option clean_recognizable_visual_features takes it out of 3D MR"
UNTOUCHED_IMAGE = "an image of the size of a head; nobody has looked whether it shows a face"
NOT_TAKEN_OUT = "a head whose face could not be taken out"
_MODALITIES, _DECIMALS = ("CT", "MR", "PT"), 2


@dataclass(frozen=True, eq=False)
class FaceStep:
    """What was done about the face of one series.

    Attributes:
        files: The files that were read and changed, by path; empty if none was.
        claims: The option, if the face was taken out.
        problem: Why the series may not be released; empty if it may.
        note: What a person should know of the series; empty if there is nothing.
    """

    files: dict[Path, DicomFile] = field(default_factory=dict)
    claims: frozenset[Option] = frozenset()
    problem: str = ""
    note: str = ""


def face_step(paths: Sequence[Path], profile: DeidProfile) -> FaceStep:
    """Take the face out of a head series if the profile wants it; else say what is to be done with the series.

    Args:
        paths: The files of one series.
        profile: Says whether faces are taken out, and what becomes of those that are not.
    """
    if not _shows_head(paths):
        return FaceStep()
    if Option.CLEAN_VISUAL_FEATURES in profile.options:
        try:
            return _defaced(paths)
        except (DeidError, DataError) as error:
            return FaceStep(problem=f"{NOT_TAKEN_OUT}: {error}")
    return FaceStep(problem=UNTOUCHED) if profile.quarantine_faces == "quarantine" else FaceStep(note=UNTOUCHED)


def _defaced(paths: Sequence[Path]) -> FaceStep:
    files = {path: file for path in paths if (file := read_dicom(path)) is not None}
    defaced = deface_series(list(files.values()))
    return FaceStep(dict(zip(files, defaced, strict=True)), frozenset({Option.CLEAN_VISUAL_FEATURES}))


def _shows_head(paths: Sequence[Path]) -> bool:
    """Whether the series shows a head, or may show one; by the headers alone."""
    found = [one for path in paths if (one := _readable(path)) and one.identity.modality in _MODALITIES]
    told = {(one.identity.modality, one.identity.body_part, one.identity.description) for one in found}
    grid = _grid(found)
    return any(is_head(modality, body_part, description, grid) for modality, body_part, description in sorted(told))


def _readable(path: Path) -> Instance | None:
    try:
        return read_instance(path)
    except DataError:
        return None  # files that cannot be read are held back for that


def _grid(instances: Sequence[Instance]) -> Geometry | None:
    """Of one image at each place, whatever time or echo it is of, with gaps where slices are missing."""
    if len({instance.identity.frame_of_reference_uid for instance in instances}) != 1:
        return None
    planes = [plane for one in instances if isinstance(one.image, Image) for plane in one.image.planes]
    places = {tuple(round(part, _DECIMALS) for part in (*one.position, *one.orientation)): one for one in planes}
    try:
        return stack_planes(list(places.values()), fill_gaps=True).geometry if places else None
    except DataError:
        return None
