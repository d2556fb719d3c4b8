"""One picture that shows a case: three planes with orientation letters and a legend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError
from medseg.core.geometry import Box, Geometry
from medseg.core.labels import Colour, LabelScheme
from medseg.core.volume import LabelMap, Labels, Volume

from .overlay import Layer, overlay, target_colours
from .sheet import Pane, sheet
from .slices import DISPLAY_CODES, Plane, Window, colours_of, has_directions, planes, resized

_SIDE = 340
_MARGIN_SHARE, _LEAST_MARGIN = 0.2, 8.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Labels in display orientation and how they are drawn."""

    labels: Labels
    fill: float
    has_outline: bool
    whitened: float = 0.0


@dataclass(frozen=True, eq=False)
class _Scene:
    """An image in display orientation with all that is drawn on it."""

    image: Volume
    drawn: tuple[_Drawn, ...]
    scheme: LabelScheme


def preview(volume: Volume, labels: Labels, scheme: LabelScheme) -> Image.Image:
    """The volume with its structures, each plane where most of them is to be seen.

    Raises:
        GeometryError: If the grids differ.
    """
    image, shown = volume.reoriented(DISPLAY_CODES), labels.reoriented(DISPLAY_CODES)
    _check_grids(image, shown, "image and labels")
    scene = _Scene(image, (_Drawn(shown, 0.35, has_outline=True),), scheme)
    return _draw(scene, _labelled(shown, scheme), "")


def comparison(volume: Volume | None, predicted: Labels, reference: Labels, scheme: LabelScheme) -> Image.Image:
    """Prediction (filled) against reference (lines), zoomed in, each plane where they differ most.

    Without a volume the structures lie on black.

    Raises:
        GeometryError: If the grids differ.
    """
    one, other = predicted.reoriented(DISPLAY_CODES), reference.reoriented(DISPLAY_CODES)
    blank = Volume(np.zeros((1, *other.geometry.shape), dtype=np.uint8), other.geometry)
    image = blank if volume is None else volume.reoriented(DISPLAY_CODES)
    _check_grids(one, other, "prediction and reference")
    _check_grids(image, other, "image and reference")
    filled, wrong = _labelled(one, scheme) | _labelled(other, scheme), _different(one, other, scheme)
    box = _zoom(filled, one.geometry)
    drawn = (
        _Drawn(one.cropped(box), 0.45, has_outline=False),
        _Drawn(other.cropped(box), 0.0, has_outline=True, whitened=0.45),
    )
    scene = _Scene(image.cropped(box), drawn, scheme)
    return _draw(scene, (wrong if wrong.any() else filled)[box], "filled: predicted · line: reference")


def _draw(scene: _Scene, interest: Mask, note: str) -> Image.Image:
    grid, window = scene.image.geometry, Window.of(scene.image)
    shown = planes(grid.shape)
    scale = _SIDE / max(max(plane.size(grid)) for plane in shown)
    seen: set[str] = set()
    panes = []
    for plane in shown:
        slab = _slab(plane, interest)
        width, height = (max(1, round(side * scale)) for side in plane.size(grid))
        picture = resized(colours_of(scene.image.cropped(slab), plane, window), width, height, smooth=True)
        layers = _layers(scene, plane, slab, (width, height))
        seen |= {target for target, _ in layers}
        drawn = overlay(picture, [layer for _, layer in layers])
        panes.append(Pane(drawn, plane.letters if has_directions(grid) else None))
    legend = [(target, colour) for target, colour in target_colours(scene.scheme).items() if target in seen]
    return sheet(panes, legend, note)


def _layers(scene: _Scene, plane: Plane, slab: Box, size: tuple[int, int]) -> list[tuple[str, Layer]]:
    """What is to be seen of each target in a slab of one slice."""
    layers = []
    for one in scene.drawn:
        cut = one.labels.cropped(slab)
        for target, colour in target_colours(scene.scheme).items():
            mask = plane.cut(scene.scheme.mask(cut, target), 0)
            if mask.any():
                enlarged = resized(mask.astype(np.uint8), *size, smooth=False).astype(np.bool_)
                layers.append((target, Layer(enlarged, _whitened(colour, one.whitened), one.fill, one.has_outline)))
    return layers


def _whitened(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(part + (255 - part) * share) for part in colour)
    return red, green, blue


def _slab(plane: Plane, interest: Mask) -> Box:
    """Box of the one slice that shows most of what is of interest, the middle one if there is nothing."""
    counts = interest.sum(axis=tuple(axis for axis in range(3) if axis != plane.value))
    index = int(np.argmax(counts)) if counts.any() else len(counts) // 2
    box = [slice(0, n) for n in interest.shape]
    box[plane.value] = slice(index, index + 1)
    return box[0], box[1], box[2]


def _zoom(filled: Mask, grid: Geometry) -> Box:
    """Box around what is filled, with a margin; the whole grid if nothing is."""
    box = []
    for axis, (n, spacing) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        where = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(where[0]), int(where[-1])) if where.size else (0, n - 1)
        margin = int(np.ceil(max(_MARGIN_SHARE * (last - first + 1), _LEAST_MARGIN / spacing, 1)))
        box.append(slice(max(0, first - margin), min(n, last + 1 + margin)))
    return box[0], box[1], box[2]


def _labelled(labels: Labels, scheme: LabelScheme) -> Mask:
    """Where any structure is."""
    if isinstance(labels, LabelMap):
        labelled: Mask = (labels.array != 0) & (labels.array != _ignored(scheme))
        return labelled
    anywhere: Mask = np.any(labels.array, axis=0)
    return anywhere


def _different(one: Labels, other: Labels, scheme: LabelScheme) -> Mask:
    """Where two sides disagree, ignored voxels left out."""
    if isinstance(one, LabelMap) and isinstance(other, LabelMap):
        ignored = _ignored(scheme)
        wrong: Mask = (one.array != other.array) & (one.array != ignored) & (other.array != ignored)
        return wrong
    wrong = np.zeros(one.geometry.shape, dtype=np.bool_)
    for target in scheme.targets:
        wrong |= scheme.mask(one, target) ^ scheme.mask(other, target)
    return wrong


def _ignored(scheme: LabelScheme) -> int:
    return -1 if scheme.ignore is None else scheme.ignore


def _check_grids(one: Volume | Labels, other: Labels, names: str) -> None:
    if not one.geometry.is_close(other.geometry):
        raise GeometryError(grid_difference(one, other, names))
