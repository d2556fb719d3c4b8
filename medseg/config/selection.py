"""Which DICOM series of a study a model takes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .section import Section

Word = Annotated[str, Field(max_length=64, pattern=r"[^\W_]")]


class Plane(StrEnum):
    """How the slices of a series lie in the patient."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


class SeriesRule(Section):
    """What a series has to be to serve as a channel; what is not given does not matter."""

    modality: str | None = None
    """DICOM modality, such as `CT`; none goes by the channel's name where it tells one."""
    body_part: tuple[Word, ...] = ()
    """Values of BodyPartExamined that are taken; a series that names no body part is taken too."""
    plane: Plane | None = None
    """How the slices lie."""
    words: tuple[Word, ...] = ()
    """Words that the series description has to hold, all of them; capitals do not count."""
    without: tuple[Word, ...] = ()
    """Words that it may not hold."""
    fewest_slices: Annotated[int, Field(ge=1)] = 1
    """Series of fewer slices are left out."""


class SelectionSection(Section):
    """Rules by which `medseg batch` chooses series; size and spacing are compared with the training images besides."""

    channels: dict[str, SeriesRule] = Field(default={})
    """A rule for each channel that needs one, by its name. A channel of several that has none wants the words of its
    name in the description."""
    any_size: bool = False
    """Take series of any extent and spacing, unlike the training images too."""
