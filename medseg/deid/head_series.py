"""What becomes of the face in a series of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import DataError, DeidError
from medseg.core.geometry import Geometry
from medseg.io.dicom_file import DicomFile, read_dicom
from medseg.io.dicom_instance import Instance, read_instance
from medseg.io.dicom_series import arrange

from .faces import deface_series, is_head

UNTOUCHED = "a head series with its face; the option clean_recognizable_visual_features takes faces out of 3D MR"
UNTOUCHED_IMAGE = "an image of the size of a head; nobody has looked whether it shows a face"
NOT_TAKEN_OUT = "a head whose face could not be taken out"
_MODALITIES = ("CT", "MR", "PT")


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
    """Whether the series shows a head; by the headers alone."""
    try:
        first = read_instance(paths[0])
        if first is None or first.identity.modality not in _MODALITIES:
            return False
        instances = [first, *(one for path in paths[1:] if (one := read_instance(path)) is not None)]
    except DataError:
        return False  # files that cannot be read are held back for that
    identity = first.identity
    return is_head(identity.modality, identity.body_part, identity.description, _grid(instances))


def _grid(instances: Sequence[Instance]) -> Geometry | None:
    try:
        return arrange(instances).geometry
    except DataError:
        return None
