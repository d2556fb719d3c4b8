"""The images of cases that are files, entries of data sets, or DICOM series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.core.case import CaseId
from medseg.core.errors import StudyError
from medseg.data.dataset import CaseFiles as DatasetCase
from medseg.data.dataset import ImageFile
from medseg.data.joining import Joining
from medseg.data.load import load_image
from medseg.io.dicom_read import read_series
from medseg.io.formats import Format, read_volume, sniff
from medseg.io.studies import Series, find_series, sort_series

from .case_files import ReadImage


@dataclass(frozen=True, eq=False)
class PathsImage:
    """An image file, the folder of a DICOM series, the files of one, or a file a channel."""

    paths: tuple[Path, ...] = field(repr=False)

    def read(self) -> ReadImage:
        """The voxels.

        Raises:
            StudyError: If the files are DICOM and not exactly one usable series.
            MedsegError: As ``read_volume``.
        """
        series = self.series()
        if series:
            return read_with_gaps(series[0])
        if len(self.paths) == 1:
            return ReadImage(read_volume(self.paths[0]))
        channels = tuple(str(number) for number in range(len(self.paths)))
        files = {name: ImageFile(path) for name, path in zip(channels, self.paths, strict=True)}
        return ReadImage(load_image(DatasetCase(CaseId("image"), files, None, ""), channels))

    def series(self) -> tuple[Series, ...]:
        """The series that the files are; empty if they are not DICOM."""
        if not self.paths:
            raise StudyError("nobody knows where the image is")
        if sniff(self.paths[0]) is not Format.DICOM:
            return ()
        if len(self.paths) == 1:
            return (_only(find_series(self.paths[0], fill_gaps=True).series),)
        return (_only(sort_series(self.paths, fill_gaps=True).series),)

    def again(self) -> None:
        """There is no more care to take."""


@dataclass(frozen=True, eq=False)
class SeriesImage:
    """A DICOM series that was found; missing slices are interpolated, and said to be."""

    found: Series

    def read(self) -> ReadImage:
        """The voxels; errors as ``read_series``."""
        return read_with_gaps(self.found)

    def series(self) -> tuple[Series, ...]:
        """The series."""
        return (self.found,)

    def again(self) -> None:
        """There is no more care to take."""


@dataclass(frozen=True, eq=False)
class DatasetImage:
    """A case of a data set."""

    case: DatasetCase = field(repr=False)
    channels: tuple[str, ...]

    def read(self) -> ReadImage:
        """The voxels, on the first channel's grid; errors as ``load_image``."""
        return ReadImage(load_image(self.case, self.channels, Joining(reference=self.channels[0])))

    def series(self) -> tuple[Series, ...]:
        """The series of each channel; empty unless all are DICOM."""
        return tuple(self._series_of_channels())

    def again(self) -> None:
        """There is no more care to take."""

    def _series_of_channels(self) -> Iterator[Series]:
        entries = list(dict.fromkeys(replace(self.case.images[name], component=None) for name in self.channels))
        if any(sniff(entry.path) is not Format.DICOM for entry in entries):
            return
        for entry in entries:
            found = find_series(entry.path).series
            yield _only([one for one in found if entry.series in (None, one.uid)])


def read_with_gaps(series: Series) -> ReadImage:
    """A series of which missing slices are interpolated, with a note that says how many.

    Raises:
        MedsegError: As ``read_series``.
    """
    volume = read_series(series, fill_gaps=True)
    return ReadImage(volume, gaps_note(volume.geometry.shape[2], series.frames))


def gaps_note(slices: int, stored: int) -> str:
    """What is to be known of a volume of so many slices that was made from fewer; empty if none is missing."""
    missing = slices - stored
    if missing <= 0:
        return ""
    return f"{missing} of {slices} slices {'is' if missing == 1 else 'are'} missing and shown interpolated"


def _only(found: Sequence[Series]) -> Series:
    """The one series that can be read."""
    usable = [one for one in found if one.problem is None]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise StudyError(f"the files hold {len(usable)} DICOM series; one case is one series")
    raise StudyError(found[0].problem or "the DICOM series cannot be used" if found else "the DICOM files are gone")
