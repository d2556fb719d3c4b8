"""From a case's files to its voxels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import Case, grid_difference
from medseg.core.errors import DataError, GeometryError, InputError, MedsegError, StudyError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels, Volume
from medseg.io.dicom_read import read_series
from medseg.io.formats import read_volume
from medseg.io.label_files import has_own_grid, read_outlines
from medseg.io.studies import find_series

from .cityscapes import read_cityscapes_label
from .coco import read_coco_label
from .dataset import CaseFiles, ImageFile


def load_case(files: CaseFiles, channels: tuple[str, ...], scheme: LabelScheme | None) -> Case:
    """The case with its channels stacked in the order asked for.

    Channels and label must lie on the grid of the first channel. They may be stored in another orientation (axes
    swapped or flipped) and are turned to the first channel's; nothing is resampled.

    Args:
        files: Where they are.
        channels: Which channels, at least one.
        scheme: What the label's values mean; None leaves the label unread.

    Raises:
        GeometryError: If channels or label lie on different grids.
        InputError: If the case lacks a channel, or a file does not exist.
        DataError: If a file cannot be read. Messages begin with the case.
    """
    image = load_image(files, channels)
    label = None if scheme is None else load_label(files, scheme, image.geometry)
    if label is not None:
        label = label.reoriented(image.geometry.axis_codes)
    return Case(files.id, image, label, files.attributes)


def load_image(files: CaseFiles, channels: tuple[str, ...]) -> Volume:
    """The channels of a case, stacked; as ``load_case``."""
    with _naming(files):
        missing = [name for name in channels if name not in files.images]
        if missing:
            raise InputError(f"no channel {missing[0]!r}; it has {', '.join(files.images)}")
        entries = [files.images[name] for name in channels]
        opened = {whole: _read(whole) for whole in {replace(entry, component=None): None for entry in entries}}
        parts = [_component(opened[replace(entry, component=None)], entry.component) for entry in entries]
        first = parts[0]
        turned = [part.reoriented(first.geometry.axis_codes) for part in parts]
        for name, part in zip(channels, turned, strict=True):
            if not first.geometry.is_close(part.geometry):
                raise GeometryError(grid_difference(first, part, f"channels {channels[0]!r} and {name!r}"))
        return Volume(_stacked([part.array for part in turned]), first.geometry, channels)


def load_label(files: CaseFiles, scheme: LabelScheme, grid: Geometry | None = None) -> Labels | None:
    """The label of a case as it is stored; None if it has none.

    Args:
        files: Where it is.
        scheme: What it means.
        grid: Of the image, for outlines that lie on no grid of their own; read from the image if it is not given.
    """
    if files.label is None:
        return None
    with _naming(files):
        if files.item is not None:
            return read_coco_label(files.label, files.item, scheme, grid or _image_grid(files))
        if files.label.suffix.lower() == ".json":
            return read_cityscapes_label(files.label, scheme, grid or _image_grid(files))
        if grid is None and not has_own_grid(files.label):
            grid = _image_grid(files)
        return read_outlines(files.label, grid, scheme).labels


def _image_grid(files: CaseFiles) -> Geometry:
    return _read(replace(next(iter(files.images.values())), component=None)).geometry


@contextmanager
def _naming(files: CaseFiles) -> Iterator[None]:
    try:
        yield
    except MedsegError as error:
        raise type(error)(f"case {files.id}: {error}") from error


def _read(entry: ImageFile) -> Volume:
    if entry.series is None:
        return read_volume(entry.path)
    found = [series for series in find_series(entry.path).series if series.uid == entry.series]
    if len(found) != 1:
        raise StudyError("the DICOM series that it names is not there any more")
    return read_series(found[0])


def _component(volume: Volume, component: int | None) -> Volume:
    count = len(volume.channels)
    if component is None and count > 1:
        raise DataError(f"image holds {count} channels, one was expected")
    if component is not None and component >= count:
        raise DataError(f"image holds {count} channels, channel {component} was expected")
    return volume.channel(volume.channels[component or 0])


def _stacked(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """The channels in one array; of their type if they share it, else as float32."""
    if len(arrays) == 1:
        return arrays[0]
    types = {array.dtype for array in arrays}
    return np.concatenate(arrays, dtype=types.pop() if len(types) == 1 else np.float32, casting="unsafe")
