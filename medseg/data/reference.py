"""Which channel of a data set the others are laid onto, where they lie on several grids."""

from __future__ import annotations

from medseg.core.errors import MedsegError
from medseg.core.geometry import Geometry

from .dataset import CaseFiles, Dataset
from .load import load_image, load_label


def reference_channel(dataset: Dataset) -> str | None:
    """The channel on whose grid the labels lie, as the first case tells that can be read.

    Only channels that no case lacks are asked. Where no label tells (there is none, or it is drawn without voxels of
    its own), it is the first of them; None if there is no such channel.
    """
    lacking = dataset.lacking
    channels = [name for name in dataset.channels if name not in lacking]
    for files in dataset.labelled if len(channels) > 1 else ():
        found = next((name for name in channels if _carries_label(files, name, dataset)), None)
        if found is not None:
            return found
    return channels[0] if channels else None


def channel_on(files: CaseFiles, grid: Geometry) -> str | None:
    """The first channel of a case that lies on a grid, in any direction of its axes; the first if it is the only one.

    Raises:
        MedsegError: If a channel cannot be read.
    """
    names = tuple(files.images)
    if len(names) == 1:
        return names[0]
    return next((name for name in names if _is_close(load_image(files, (name,)).geometry, grid)), None)


def _carries_label(files: CaseFiles, channel: str, dataset: Dataset) -> bool:
    try:
        image = load_image(files, (channel,))
        label = None if dataset.scheme is None else load_label(files, dataset.scheme, image.geometry)
    except MedsegError:
        return False
    return label is None or _is_close(image.geometry, label.geometry)


def _is_close(one: Geometry, other: Geometry) -> bool:
    return one.is_close(other.reoriented(one.axis_codes))
