"""The structures of a case as the viewer lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medseg.core.labels import Colour, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.render.slices import DISPLAY_CODES, Plane, Window

from .served import ServedLabels

_SOFT_TISSUE = Window(-160.0, 240.0)
_WINDOWS: Mapping[str, tuple[str, ...]] = {
    "Lung": ("lung", "bronch", "trachea", "airway", "nodule"),
    "Liver": ("liver", "hepat"),
    "Bone": ("bone", "vertebra", "rib", "sacrum", "femur", "hip", "skull", "clavicula", "scapula", "humerus", "spine"),
    "Brain": ("brain", "cerebr", "ventricle", "hippocampus", "haemorrhage", "hemorrhage"),
}
_NOT_BRAIN = ("heart", "cardiac", "left ventricle", "right ventricle")


@dataclass(frozen=True)
class StructureRow:
    """One line of the list.

    Attributes:
        value: In the file that the browser got.
        name: As the scheme has it.
        colour: Red, green, blue.
        volume_ml: None for images in pixels.
        largest: Number of the axial slice that holds most of it, feet first; None if it is empty.
        window: Name of the window by which it is looked at best; empty for none, and outside of CT.
    """

    value: int
    name: str
    colour: Colour
    volume_ml: float | None
    largest: int | None
    window: str


def is_in_hu(volume: Volume) -> bool:
    """Whether the values of the first channel are taken as Hounsfield units."""
    return Window.of(volume) == _SOFT_TISSUE


def structure_rows(
    segmentation: Segmentation, served: ServedLabels, volumes_ml: Mapping[str, float], *, in_hu: bool
) -> tuple[StructureRow, ...]:
    """The structures that the browser may draw: all of a label map, or the one target that is being edited.

    Args:
        segmentation: The outlines on the screen.
        served: The file of them.
        volumes_ml: Of each target, as far as they are known.
        in_hu: Whether the image is a CT.
    """
    largest = largest_slices(segmentation)
    return tuple(
        StructureRow(
            value=1 if served.target is not None else served.numbers.get(one.value, one.value),
            name=one.name,
            colour=one.colour,
            volume_ml=volumes_ml.get(one.name),
            largest=largest[one.name],
            window=window_of(one.name) if in_hu else "",
        )
        for one in segmentation.scheme.target_structures
        if served.target in (None, one.name)
    )


def largest_slices(segmentation: Segmentation) -> dict[str, int | None]:
    """Number of the axial slice that holds most of each target, feet first; None of an empty one."""
    labels = segmentation.labels.reoriented(DISPLAY_CODES)
    axis, others = Plane.AXIAL.value, tuple(axis for axis in range(3) if axis != Plane.AXIAL.value)
    targets = segmentation.scheme.target_structures
    if not isinstance(labels, LabelMap):
        counts = {one.name: segmentation.scheme.mask(labels, one.name).sum(axis=others) for one in targets}
    else:
        counts = _counts(labels, targets, axis)
    return {name: int(count.argmax()) if count.any() else None for name, count in counts.items()}


def window_of(name: str) -> str:
    """Name of the window preset for a structure; empty for none of its own."""
    words = name.casefold().replace("_", " ")
    if any(part in words for part in _NOT_BRAIN):
        return ""
    return next((window for window, parts in _WINDOWS.items() if any(part in words for part in parts)), "")


def _counts(labels: LabelMap, targets: tuple[Structure, ...], axis: int) -> dict[str, np.ndarray]:
    """Voxels of each structure by slice, in one walk through the labels."""
    slices = np.moveaxis(labels.array, axis, 0)
    found = np.zeros((len(slices), max(one.value for one in targets) + 1), np.int64)
    for row, cut in zip(found, slices, strict=True):
        values = np.bincount(np.ravel(cut, order="K"), minlength=len(row))
        row[:] = values[: len(row)]
    return {one.name: found[:, one.value] for one in targets}
