"""From a case's files to its voxels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from medseg.core.case import Case
from medseg.core.errors import DataError, InputError, MedsegError, StudyError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels, Volume
from medseg.io.dicom_read import read_series
from medseg.io.formats import Format, only_series, read_volume, sniff
from medseg.io.label_files import has_whole_grid, read_outlines
from medseg.io.studies import Series, find_series

from .cityscapes import read_cityscapes_label
from .coco import read_coco_label
from .dataset import CaseFiles, ImageFile
from .joining import Joined, Joining, join


def load_case(
    files: CaseFiles, channels: tuple[str, ...], scheme: LabelScheme | None, joining: Joining | None = None
) -> Case:
    """The case with its channels stacked in the order asked for.

    Channels and label must lie on the grid of the first channel, or of the reference if there is one; other channels
    are then resampled onto it, see ``join``. Channels and label may be stored in another orientation (axes swapped or
    flipped) and are turned; a label is never resampled.

    Args:
        files: Where they are.
        channels: Which channels, at least one.
        scheme: What the label's values mean; None leaves the label unread.
        joining: Which channels the case may lack, and what they are resampled onto; by default none and nothing.

    Raises:
        GeometryError: If channels or label lie on different grids.
        InputError: If the case lacks a channel, or a file does not exist.
        DataError: If a file cannot be read. Messages begin with the case.
    """
    return with_label(files, load_image(files, channels, joining), scheme)


def with_label(files: CaseFiles, image: Volume, scheme: LabelScheme | None) -> Case:
    """The case of an image that was read; as ``load_case``."""
    label = None if scheme is None else load_label(files, scheme, image.geometry)
    if label is not None:
        label = label.reoriented(image.geometry.axis_codes)
    return Case(files.id, image, label, files.attributes)


def load_image(files: CaseFiles, channels: tuple[str, ...], joining: Joining | None = None) -> Volume:
    """The channels of a case, stacked; as ``load_case``."""
    return load_joined(files, channels, joining).volume


def load_joined(files: CaseFiles, channels: tuple[str, ...], joining: Joining | None = None) -> Joined:
    """The channels of a case, stacked, and which of them had to be resampled; as ``load_case``."""
    joining = joining or Joining()
    with _naming(files):
        names = _present(files, channels, joining)
        entries = {name: files.images[name] for name in names}
        opened = {whole: _read(whole) for whole in {replace(entry, component=None): None for entry in entries.values()}}
        parts, frames = {}, {}
        for name, entry in entries.items():
            volume, frames[name] = opened[replace(entry, component=None)]
            parts[name] = _component(volume, entry.component)
        return join(parts, joining, frames)


def load_label(files: CaseFiles, scheme: LabelScheme, grid: Geometry | None = None) -> Labels | None:
    """The label of a case as it is stored; None if it has none.

    Args:
        files: Where it is.
        scheme: What it means.
        grid: Of the image, for outlines that lie on no grid of their own or on a part of it; read from the image if it
            is not given.
    """
    if files.label is None:
        return None
    with _naming(files):
        if files.item is not None:
            return read_coco_label(files.label, files.item, scheme, grid or _image_grid(files))
        if files.label.suffix.lower() == ".json":
            return read_cityscapes_label(files.label, scheme, grid or _image_grid(files))
        if grid is None and not has_whole_grid(files.label):
            grid = _image_grid(files)
        return read_outlines(files.label, grid, scheme).labels


def _image_grid(files: CaseFiles) -> Geometry:
    return _read(replace(next(iter(files.images.values())), component=None))[0].geometry


@contextmanager
def _naming(files: CaseFiles) -> Iterator[None]:
    try:
        yield
    except MedsegError as error:
        raise type(error)(f"case {files.id}: {error}") from error


def _present(files: CaseFiles, channels: tuple[str, ...], joining: Joining) -> tuple[str, ...]:
    """The channels that the case has."""
    missing = [name for name in channels if name not in files.images and name not in joining.optional]
    present = tuple(name for name in channels if name in files.images)
    if missing or not present:
        raise InputError(f"no channel {(missing or channels)[0]!r}; it has {', '.join(files.images)}")
    return present


def _read(entry: ImageFile) -> tuple[Volume, str]:
    """The voxels, and the frame of reference that a DICOM series names; empty for other files."""
    if entry.series is None and sniff(entry.path) is not Format.DICOM:
        return read_volume(entry.path), ""
    series = only_series(entry.path) if entry.series is None else _named(entry)
    return read_series(series), series.frame_of_reference_uid


def _named(entry: ImageFile) -> Series:
    found = [series for series in find_series(entry.path).series if series.uid == entry.series]
    if len(found) != 1:
        raise StudyError("the DICOM series that it names is not there any more")
    return found[0]


def _component(volume: Volume, component: int | None) -> Volume:
    count = len(volume.channels)
    if component is None and count > 1:
        raise DataError(f"image holds {count} channels, one was expected")
    if component is not None and component >= count:
        raise DataError(f"image holds {count} channels, channel {component} was expected")
    return volume.channel(volume.channels[component or 0])
