"""Where the files of a case lie; nothing of them is read before somebody opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from medseg.core.labels import LabelScheme
from medseg.core.volume import Volume
from medseg.inference.expected import StructureFacts
from medseg.io.studies import Series

from .records import CaseName, CaseRecord, Origin


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image, and what the reader of its outlines has to know of it, as a sentence; mostly empty."""

    volume: Volume
    note: str = ""


class ImageSource(Protocol):
    """The image of a case, before it is read."""

    def read(self) -> ReadImage:
        """The voxels, all channels."""

    def series(self) -> tuple[Series, ...]:
        """The DICOM series that it is, one a channel; empty if it is not DICOM."""

    def again(self) -> Self | None:
        """The same image, looked for with more care; None if there is no more care to take."""


@dataclass(frozen=True, eq=False)
class CaseFiles:
    """The files of one case; its paths may name somebody, so they stay out of the ``repr``.

    Attributes:
        name: Its pseudonym.
        origin: Where it comes from.
        image: A file, the folder of a DICOM series, or the files of one; empty if ``source`` finds it.
        record: What the work list shows of it.
        prediction: File or folder of the outlines to review; None if nobody predicted it.
        reference: File or folder of what the outlines should be; None if nobody knows.
        others: More outlines, by the name of who made them.
        other_schemes: What the values of those mean; of those that are not named, the same as the prediction's.
        uncertainty: NIfTI of entropy, or of probabilities if its name ends in ``probabilities``; None if there is none.
        scheme: What the values of the outlines mean, as it was learned (with its regions); None if nobody says.
        reference_scheme: What those of the reference mean; None for the same.
        facts: What each target was like in training; empty if nobody knows.
        roots: Folders of which no path may lead out, not by a link either; empty for files that the app itself wrote.
        source: Reads the image; None for what ``image`` names.
        reference_item: Whose entry it is in a reference file that holds those of many images; empty for other files.
        identifiers: Name of the case or file as it came; shown by ``identifiers_of``, to those who may see it, only.
    """

    name: CaseName
    origin: Origin
    image: tuple[Path, ...] = field(repr=False)
    record: CaseRecord
    prediction: Path | None = field(default=None, repr=False)
    reference: Path | None = field(default=None, repr=False)
    others: Mapping[str, Path] = field(default_factory=dict, repr=False)
    other_schemes: Mapping[str, LabelScheme] = field(default_factory=dict, repr=False)
    uncertainty: Path | None = field(default=None, repr=False)
    scheme: LabelScheme | None = None
    reference_scheme: LabelScheme | None = None
    facts: Mapping[str, StructureFacts] = field(default_factory=dict, repr=False)
    roots: tuple[Path, ...] = field(default=(), repr=False)
    source: ImageSource | None = field(default=None, repr=False)
    reference_item: str = field(default="", repr=False)
    identifiers: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class FoundCases:
    """The cases of some sources.

    Attributes:
        cases: Names differ.
        notes: What is wrong with a source, and what is not among the cases and why; a sentence each.
    """

    cases: tuple[CaseFiles, ...]
    notes: tuple[str, ...] = ()
