"""Outlines corrected by clicks: a click says where outlines are wrong, the image says how far that goes.

In a box around the click a random walk is solved: voxels that look alike hold together, the outlines as they are hold
against it, the more the farther away from the click, and clicks are certain. No model is asked: its probabilities in
the place of the outlines do about as well, as ``benchmarks/clicks.py`` measures, and would take edits back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from medseg.core.errors import GeometryError, InputError
from medseg.core.geometry import Box, Geometry, Shape, Spacing
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, Volume

from .random_walk import Floats, random_walk

_REACH_MM, _HALF_VOXELS = 60.0, 31
_SOFTNESS_VOXELS, _CERTAINTY = 2.0, 0.05
_INFLUENCE, _LEAST_VOXELS, _DEEPEST_MM = 1.5, 2.0, 10.0

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Click:
    """What a reader says of one voxel.

    Attributes:
        target: The structure that they speak of.
        voxel: Its indices in the image.
        belongs: Whether the voxel belongs to the structure.
    """

    target: str
    voxel: Voxel
    belongs: bool


@dataclass(frozen=True, eq=False)
class Refined:
    """What became of the outlines.

    Attributes:
        segmentation: All of it; the very same as before if nothing had to change.
        voxels: How many changed.
    """

    segmentation: Segmentation
    voxels: int


def refined(image: Volume, current: Segmentation, clicks: Sequence[Click]) -> Refined:
    """The outlines after the last click; those before it still hold.

    A click that belongs adds voxels to its structure, any other takes some away; only voxels that are connected with
    it change, and none outside of a box of at most 63 voxels and 120 mm along each axis with the click in its middle.
    In a label map what is added is taken from other structures, and what is taken away becomes background. The same
    clicks on the same outlines give the same result.

    Args:
        image: All its channels count.
        current: Outlines on its grid, of a scheme without regions.
        clicks: The oldest first.

    Raises:
        GeometryError: If the grids differ.
        InputError: If there is no click, or one lies outside of the image.
        LabelError: If the structure is none of the scheme's.
    """
    if not image.geometry.is_close(current.geometry):
        raise GeometryError("the outlines do not lie on the image's grid; open the case anew")
    _check_clicks(clicks, current)
    last = clicks[-1]
    box = box_around(last.voxel, image.geometry)
    mask = current.scheme.mask(current.labels.cropped(box), last.target)
    exclusive = isinstance(current.labels, LabelMap)
    relevant = [one for one in clicks if exclusive or one.target == last.target]
    change = _Place(image.cropped(box), mask, box, image.geometry.shape).change(relevant)
    count = int(change.sum())
    if not count:
        return Refined(current, 0)
    return Refined(replace(current, labels=_changed(current, last, box, change)), count)


def _check_clicks(clicks: Sequence[Click], current: Segmentation) -> None:
    if not clicks:
        raise InputError("there is no click to follow")
    shape = current.geometry.shape
    for click in clicks:
        current.scheme[click.target]  # refuses what it does not know
        if not all(0 <= index < n for index, n in zip(click.voxel, shape, strict=True)):
            raise InputError(f"a click at voxel {click.voxel} lies outside of an image of {shape} voxels")


def box_around(voxel: Voxel, grid: Geometry) -> Box:
    """The box in which a click at that voxel changes anything, cut off at the borders of the image."""
    halves = [min(_HALF_VOXELS, int(np.ceil(_REACH_MM / size))) for size in grid.spacing]
    around = zip(voxel, halves, grid.shape, strict=True)
    i, j, k = (slice(max(0, at - half), min(n, at + half + 1)) for at, half, n in around)
    return i, j, k


@dataclass(frozen=True, eq=False)
class _Place:
    """The surroundings of a click: the image there, the structure as it is outlined, which part they are of what."""

    image: Volume
    mask: Mask
    box: Box
    whole: Shape

    def change(self, clicks: Sequence[Click]) -> Mask:
        """The voxels that change, all connected with the last click."""
        last = clicks[-1]
        at = self._inside(last.voxel)
        if self.mask[at] == last.belongs:
            return np.zeros_like(self.mask)
        share = random_walk(self.image, self._prior(at, belongs=last.belongs), self._known(clicks), _CERTAINTY)
        wanted = share > 0.5 if last.belongs else share < 0.5
        changed = wanted & (self.mask != last.belongs) & ~self._cut_sides()
        parts, _ = ndimage.label(changed)
        connected: Mask = changed & (parts == parts[at])
        return connected

    def _prior(self, at: Voxel, *, belongs: bool) -> Floats:
        """What is believed before the walk: the outlines, softly, and near the click what it says.

        A click deep in what is wrong says more than one at its edge: its word reaches as far as it lies deep.
        """
        spacing = self.image.geometry.spacing
        inside, outside = (_depth(mask, spacing) for mask in (self.mask, ~self.mask))
        believed = belief(inside - outside, spacing)
        depth = min(_DEEPEST_MM, float((outside if belongs else inside)[at]))
        reach = max(_LEAST_VOXELS * min(spacing), _INFLUENCE * depth)
        axes = np.ogrid[tuple(slice(0, n) for n in self.mask.shape)]
        away = sum(((axis - here) * size) ** 2 for axis, here, size in zip(axes, at, spacing, strict=True))
        influence = np.exp(-away / reach**2)
        prior: Floats = believed * (1 - influence) + influence * float(belongs)
        return prior

    def _known(self, clicks: Sequence[Click]) -> Floats:
        """1 and 0 where clicks say so of the last one's structure, NaN elsewhere; later clicks win."""
        known = np.full(self.mask.shape, np.nan)
        for click in clicks:
            at = self._inside(click.voxel)
            if not all(0 <= index < n for index, n in zip(at, self.mask.shape, strict=True)):
                continue
            if click.target == clicks[-1].target:
                known[at] = float(click.belongs)
            elif click.belongs:  # it is another structure's, and stays so
                known[at] = float(self.mask[at])
        return known

    def _cut_sides(self) -> Mask:
        """The outermost voxels on those sides of the box that lie within the image; changes end before them."""
        cut = np.ones_like(self.mask)
        ends = zip(self.box, self.mask.shape, self.whole, strict=True)
        cut[tuple(slice(int(part.start > 0), n - int(part.stop < all_)) for part, n, all_ in ends)] = False
        return cut

    def _inside(self, voxel: Voxel) -> Voxel:
        i, j, k = (at - part.start for at, part in zip(voxel, self.box, strict=True))
        return i, j, k


def belief(depth: Floats, spacing: Spacing) -> Floats:
    """How far outlines are believed where a voxel lies so deep in them, in mm, or, negative, so far outside."""
    believed: Floats = expit(depth / (_SOFTNESS_VOXELS * min(spacing)))
    return believed


def _depth(mask: Mask, spacing: Spacing) -> Floats:
    """Distance of each voxel of the mask to the nearest one outside, in mm; 5 mm if there is none."""
    if mask.all():
        return np.full(mask.shape, _DEEPEST_MM / 2)
    depth: Floats = ndimage.distance_transform_edt(mask, sampling=spacing)
    return depth


def _changed(current: Segmentation, click: Click, box: Box, change: Mask) -> Labels:
    labels = current.labels
    if isinstance(labels, LabelMap):
        value = current.scheme[click.target].value if click.belongs else 0
        values = labels.array.astype(np.promote_types(labels.array.dtype, np.min_scalar_type(value)))
        values[box][change] = value
        return LabelMap(values, labels.geometry)
    masks = labels.array.copy()
    masks[labels.structures.index(click.target)][box][change] = click.belongs
    return replace(labels, array=masks)
