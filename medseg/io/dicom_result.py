"""What DICOM objects of results need: the series that they are about, and what tells them from others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pydicom.dataset import Dataset

from medseg.core.errors import ReadError, StudyError
from medseg.core.geometry import Geometry

from .dicom_elements import quietly
from .dicom_header import parsing, read_header
from .dicom_instance import Instance, read_instance
from .dicom_series import Slice, arrange
from .studies import Series

_PATIENT = (
    *(0x00080005, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101010, 0x00101020, 0x00101030),
    *(0x00120010, 0x00120020, 0x00120040, 0x00120062, 0x00120063, 0x00120064, 0x00280303),
)
_STUDY = (0x0020000D, 0x00200010, 0x00080020, 0x00080030, 0x00080050, 0x00080051, 0x00080090, 0x00081030)
_SERIES = (
    *(0x0020000E, 0x00200011, 0x00080060, 0x0008103E, 0x00180015, 0x00200052, 0x00201040, 0x00200060, 0x00185100),
    *(0x00080021, 0x00080031),
)
_IMAGE = (
    *(0x00080008, 0x00080016, 0x00080018, 0x00080022, 0x00080023, 0x00080032, 0x00080033, 0x00200012, 0x00200013),
    *(0x00200032, 0x00200037, 0x00280030, 0x00180050, 0x00280008, 0x00280010, 0x00280011, 0x00280301),
    *(0x00282110, 0x00282112, 0x00282114, 0x52009229, 0x52009230),
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """The series that a result was made from and refers to.

    Attributes:
        headers: One an instance, without pixels: patient, study, series, place in the patient. They name the patient.
        geometry: The grid of the volume, as ``read_series`` has it.
        slices: Which frame of which instance lies at which k, in the order of k; a k without one is a filled gap.
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    geometry: Geometry
    slices: tuple[Slice, ...] = field(repr=False)


@dataclass(frozen=True)
class Algorithm:
    """Which model made a result."""

    name: str
    version: str


class Making(StrEnum):
    """How a structure was outlined: Segment Algorithm Type (PS3.3 section C.8.20.4) and ROI Generation Algorithm."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    """Calculated, and changed by a person."""
    MANUAL = "MANUAL"
    """Drawn by a person."""


@dataclass(frozen=True)
class ResultHeader:
    """What tells a result object from others.

    Attributes:
        series_uid: Of the new series.
        instance_uid: Of its first instance.
        series_number: Of the new series.
        description: Series description.
        algorithm: What made it.
        made: When.
        makings: How each structure was outlined, by name; those that are not named were made by the algorithm alone.
        reader: Who corrected it; empty for nobody.
    """

    series_uid: str = field(repr=False)
    instance_uid: str = field(repr=False)
    series_number: int
    description: str
    algorithm: Algorithm
    made: datetime
    makings: Mapping[str, Making] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    reader: str = ""

    def making(self, structure: str) -> Making:
        """How the structure of that name was outlined."""
        return self.makings.get(structure, Making.AUTOMATIC)

    def instance(self, number: int) -> str:
        """UID of the instance of that number, counted from 1; the same for the same header."""
        return self.instance_uid if number == 1 else derived_uid(f"{self.instance_uid} {number}")


def derived_uid(text: str) -> str:
    """The UID that always stands for that text (PS3.5 section B.2)."""
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def read_source(series: Series, *, fill_gaps: bool = False) -> SourceSeries:
    """The headers and the grid of a series, without its pixels.

    Args:
        series: As ``find_series`` found it.
        fill_gaps: Take a series with missing slices, as ``read_series`` does with this flag.

    Raises:
        StudyError: If a UID is missing, so that no result can refer to the series.
        GeometryError: As ``read_series``.
        ReadError: If a file is damaged, or not of the series any more.
    """
    instances = [_instance(series, number) for number in range(len(series.files))]
    arrangement = arrange(instances, fill_gaps=fill_gaps)
    headers = tuple(_header(series, number) for number in range(len(series.files)))
    _check_uids(headers)
    return SourceSeries(headers, arrangement.geometry, arrangement.slices)


def _instance(series: Series, number: int) -> Instance:
    instance = read_instance(series.files[number])
    if instance is None or instance.identity.uid != series.uid:
        raise ReadError(f"file {number + 1} does not belong to the series any more; find it anew")
    return instance


def _header(series: Series, number: int) -> Dataset:
    """The elements that results repeat, decoded within the limits of ``read_header``."""
    header = read_header(series.files[number], (*_PATIENT, *_STUDY, *_SERIES, *_IMAGE))
    if header is None:
        raise ReadError(f"file {number + 1} is no DICOM image any more; find the series anew")
    with parsing(), quietly():
        dataset = Dataset()
        for element in header.dataset:
            dataset[element.tag] = element
        return dataset


def _check_uids(headers: Sequence[Dataset]) -> None:
    for keyword in _NEEDED:
        if not all(header.get(keyword) for header in headers):
            raise StudyError(
                f"a file has no {keyword}, so no DICOM object can refer to it; write NIfTI or NRRD instead"
            )
    uids = {str(header.SOPInstanceUID) for header in headers}
    if len(uids) < len(headers):
        raise StudyError("two files have one SOP instance UID, so no DICOM object can refer to them")
