"""What an upload becomes: cases of whoever uploaded it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medseg.core.pseudonyms import ProjectKey

from .case_files import CaseFiles
from .cleaning import CleanImage
from .records import CaseName, CaseRecord, Origin

_KIND = "upload"


@dataclass(frozen=True, eq=False)
class UploadedCase:
    """An uploaded image that can be shown.

    Attributes:
        files: The case.
        modality: Such as ``CT``; empty if the file does not say.
        slices: How many; 1 for an image file, whose slices nobody has counted.
    """

    files: CaseFiles
    modality: str
    slices: int


def uploaded_case(image: CleanImage, folder: Path, owner: str, key: ProjectKey, called: str = "") -> UploadedCase:
    """The case that a cleaned image is.

    Its name follows from the owner and the series, or the content of the file: the same upload by the same person finds
    its earlier versions again, and that of another person is another case. Segmentations and structure sets that came
    with a series are outlines to review: the first one as the prediction, the rest to compare with.

    Args:
        image: One that can be shown.
        folder: Of the cleaned files.
        owner: Name of who uploaded it.
        key: Of the project.
        called: What the person called an image file; empty if that may not be remembered.
    """
    name = case_name(image.name, owner, key)
    outlines = [folder / outline for outline in image.outlines]
    files = CaseFiles(
        name=name,
        origin=Origin.UPLOAD,
        image=tuple(folder / file for file in image.files),
        record=CaseRecord(name, Origin.UPLOAD, owner=owner),
        prediction=outlines[0] if outlines else None,
        others={f"outlines {number}": path for number, path in enumerate(outlines[1:], start=2)},
        identifiers="; ".join(filter(None, (image.identifiers, called))),
    )
    return UploadedCase(files, image.modality, image.slices)


def case_name(image: str, owner: str, key: ProjectKey) -> CaseName:
    """Pseudonym of the case that an image of an owner is or will be."""
    return CaseName(key.name(_KIND, f"{owner}\0{image}"))
