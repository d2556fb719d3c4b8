"""Where two outlines of one image agree and where they do not: a map, a table, and places to look at.

Decided here once. A voxel agrees if both sides hold exactly the same targets there. Where each side holds one, but not
the same, the map says so by a value of its own, and the list of places counts the voxel for both sides: as too much in
the one target and as missing in the other. Voxels that either side leaves open (the scheme's ignore value) belong
nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import LabelError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import Colour
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap
from medseg.metrics.counts import count_voxels
from medseg.metrics.crops import LabelPair
from medseg.metrics.empties import Status, distance_if_empty, status
from medseg.metrics.overlap import dice
from medseg.metrics.surface import hd95, surface_distances

from .differing import Runs, Voxel, differing_runs, largest_parts, row_by_row
from .pairing import paired

Mask = NDArray[np.bool_]


class Agreement(IntEnum):
    """What a voxel of an agreement map says; 0 is neither side."""

    BOTH = 1
    ONLY_A = 2
    ONLY_B = 3
    DIFFERENT = 4
    """Both sides hold something there, but not the same."""


AGREEMENT_COLOURS: Mapping[Agreement, Colour] = MappingProxyType(
    {
        Agreement.BOTH: (86, 180, 233),
        Agreement.ONLY_A: (213, 94, 0),
        Agreement.ONLY_B: (240, 228, 66),
        Agreement.DIFFERENT: (0, 114, 178),
    }
)
"""Sky blue, vermillion, yellow, blue of Okabe and Ito: the four that stay farthest apart for colour-blind readers."""
_SYMBOLS = {Agreement.BOTH: "■", Agreement.ONLY_A: "▨", Agreement.ONLY_B: "▧", Agreement.DIFFERENT: "▩"}
_PRESENCE = {
    Status.OK: "in both",
    Status.FALSE_POSITIVE: "only in {a}",
    Status.MISSED: "only in {b}",
    Status.BOTH_EMPTY: "in neither",
}
# By what a voxel is: 1 in a target of A, 2 in one of B, 4 in a target of one side alone.
_KINDS = np.array([0, 0, 0, Agreement.BOTH, 0, Agreement.ONLY_A, Agreement.ONLY_B, Agreement.DIFFERENT], dtype=np.uint8)


@dataclass(frozen=True)
class LegendEntry:
    """What a value of an agreement map means, in a colour, a pattern and words, so that none is needed alone.

    Attributes:
        value: In the map.
        words: What it means.
        colour: Red, green, blue.
        symbol: A square filled as `inked` fills the value.
    """

    value: Agreement
    words: str
    colour: Colour
    symbol: str


class ComparedTarget(TypedDict):
    """One row of the table; ``metrics.empties`` says what the scores are where a side is empty.

    Volumes and distances are None in images whose voxels have no size.
    """

    target: str
    status: str
    dice: float
    hd95_mm: float | None
    volume_a_ml: float | None
    volume_b_ml: float | None
    difference_ml: float | None


@dataclass(frozen=True)
class Disagreement:
    """A connected part of a target that only one side holds.

    Attributes:
        target: The target.
        kind: Which side: ``ONLY_A`` or ``ONLY_B``.
        ml: How much; None in images whose voxels have no size.
        voxels: The same in voxels.
        voxel: A voxel of it to look at: of its own, the nearest to its centroid.
    """

    target: str
    kind: Agreement
    ml: float | None
    voxels: int
    voxel: Voxel


def legend(a: str, b: str) -> tuple[LegendEntry, ...]:
    """What the values of a map mean, where the sides are called ``a`` and ``b``."""
    words = {
        Agreement.BOTH: f"{a} and {b}",
        Agreement.ONLY_A: f"only {a}",
        Agreement.ONLY_B: f"only {b}",
        Agreement.DIFFERENT: f"{a} and {b}, as different structures",
    }
    return tuple(LegendEntry(kind, words[kind], AGREEMENT_COLOURS[kind], _SYMBOLS[kind]) for kind in Agreement)


def inked(kinds: NDArray[np.uint8]) -> Mask:
    """Pixels of a cut through a map ``(rows, columns)`` to fill, so that each kind has its pattern.

    What both hold is solid, what only A holds has stripes that rise to the right, what only B holds has stripes that
    fall, and different structures are crossed. Outlines belong around it, or parts of a pixel's width may vanish.
    """
    rows, columns = np.ogrid[: kinds.shape[0], : kinds.shape[1]]
    rising, falling = (rows + columns) % 4 < 2, (rows - columns) % 4 < 2
    crossed = ((rows + columns) % 4 == 0) | ((rows - columns) % 4 == 0)
    patterns = {Agreement.ONLY_A: rising, Agreement.ONLY_B: falling, Agreement.DIFFERENT: crossed}
    ink = kinds > 0
    for kind, pattern in patterns.items():
        ink &= pattern | (kinds != kind)
    return ink


def agreement_map(a: Segmentation, b: Segmentation, target: str | None = None) -> LabelMap:
    """The `Agreement` of each voxel, uint8, of one target or of all together; 0 where neither side holds any.

    Args:
        a: One side, such as the prediction.
        b: The other side, on the same grid.
        target: A structure or region that both sides know; None for all that they know.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If the sides share no target, or not this one.
    """
    pair = paired(a, b)
    values = _exclusive_values(pair)
    if target is None and values is not None:
        return LabelMap(_kinds_of_values(*values, pair.scheme.ignore), a.geometry)
    sides = np.zeros(a.geometry.shape, np.uint8)
    for name in _chosen(pair, target):
        box = pair.box(name)
        if box is not None:
            one, other = pair.masks(name)
            sides[box] |= _code(one, other, one ^ other)
    return LabelMap(_KINDS[sides], a.geometry)


def compare_table(a: Segmentation, b: Segmentation, names: tuple[str, str] = ("A", "B")) -> list[ComparedTarget]:
    """Scores and volumes of each target that both sides know, in the order of ``a``.

    Dice and HD95 are the same whichever side comes first. An empty target is treated as everywhere in medseg: absent
    on both sides the scores are NaN, absent on one the Dice is 0 and the HD95 infinite.

    Args:
        a: One side, such as the prediction.
        b: The other side, on the same grid.
        names: What the sides are called in ``status``.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If the sides share no target, or a value is not in its scheme.
    """
    pair = paired(a, b)
    counts = count_voxels(pair.predicted, pair.reference, pair.scheme)
    measures = zip(pair.scheme.targets, dice(counts), counts.predicted, counts.reference, strict=True)
    return [_row(pair, target, float(score), (int(in_a), int(in_b)), names) for target, score, in_a, in_b in measures]


def disagreements(a: Segmentation, b: Segmentation, most: int = 50) -> list[Disagreement]:
    """The largest parts that only one side holds, largest first; none if both are alike.

    A part is a connected component of what one side holds of a target and the other does not; voxels that share a face,
    an edge or a corner belong together. Equal sizes come in the order of the targets, A before B.

    Args:
        a: One side, such as the prediction.
        b: The other side, on the same grid.
        most: How many at most.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If the sides share no target.
    """
    pair = paired(a, b)
    found: list[Disagreement] = []
    for target, kind, runs in _one_sided(pair):
        fewest = 1 if len(found) < most else found[-1].voxels + 1
        parts = largest_parts(runs, a.geometry.affine[:3, :3], most, fewest)
        found += [Disagreement(target, kind, _ml(a.geometry, part.voxels), part.voxels, part.voxel) for part in parts]
        found = sorted(found, key=lambda one: -one.voxels)[:most]
    return found


def _chosen(pair: LabelPair, target: str | None) -> tuple[str, ...]:
    if target is None:
        return pair.scheme.targets
    if target not in pair.scheme.targets:
        known = ", ".join(map(repr, pair.scheme.targets))
        raise LabelError(f"the outlines share no structure {target!r}; choose one of {known}")
    return (target,)


def _row(pair: LabelPair, target: str, score: float, voxels: tuple[int, int], names: tuple[str, str]) -> ComparedTarget:
    """A row; not by ``score_case``, whose other scores take ten times as long, and somebody is waiting."""
    grid, state = pair.reference.geometry, status(*voxels)
    has_size = grid.unit is LengthUnit.MM
    in_a, in_b = (_ml(grid, count) for count in voxels)
    return ComparedTarget(
        target=target,
        status=_PRESENCE[state].format(a=names[0], b=names[1]),
        dice=score,
        hd95_mm=_hd95(pair, target, state) if has_size else None,
        volume_a_ml=in_a,
        volume_b_ml=in_b,
        difference_ml=None if in_a is None or in_b is None else in_a - in_b,
    )


def _hd95(pair: LabelPair, target: str, state: Status) -> float:
    if state is not Status.OK:
        return distance_if_empty(state)
    return hd95(surface_distances(*pair.masks(target), pair.reference.geometry.spacing))


def _ml(grid: Geometry, voxels: int) -> float | None:
    return voxels * (grid.voxel_volume / 1000) if grid.unit is LengthUnit.MM else None


def _exclusive_values(pair: LabelPair) -> tuple[NDArray[np.integer], NDArray[np.integer]] | None:
    """Both label maps, where a voxel holds one target at most; None where it may hold several."""
    one, other = pair.predicted, pair.reference
    if isinstance(one, LabelMap) and isinstance(other, LabelMap) and not pair.scheme.regions:
        return one.array, other.array
    return None


def _kinds_of_values(one: NDArray[np.integer], other: NDArray[np.integer], ignore: int | None) -> NDArray[np.uint8]:
    """The map of two label maps; plane by plane, so that what is in between stays in the processor's cache."""
    one, other, is_turned = row_by_row(one, other)
    kinds = np.empty(one.shape, np.uint8)
    for plane, of_one, of_other in zip(kinds, one, other, strict=True):
        sides = _code(of_one != 0, of_other != 0, of_one != of_other)
        if ignore is not None:
            sides[(of_one == ignore) | (of_other == ignore)] = 0
        np.take(_KINDS, sides, out=plane)
    return kinds.T if is_turned else kinds


def _code(in_one: Mask, in_other: Mask, differs: Mask) -> NDArray[np.uint8]:
    """Index into ``_KINDS`` of each voxel."""
    return in_one * np.uint8(1) | in_other * np.uint8(2) | differs * np.uint8(4)


def _one_sided(pair: LabelPair) -> Iterator[tuple[str, Agreement, Runs]]:
    """What only one side holds of each target, in runs; of label maps in one walk, of masks target by target."""
    values = _exclusive_values(pair)
    if values is not None:
        runs = differing_runs(*values, ignore=pair.scheme.ignore)
        for structure in pair.scheme.structures:
            yield structure.name, Agreement.ONLY_A, runs.chosen(runs.one == structure.value)
            yield structure.name, Agreement.ONLY_B, runs.chosen(runs.other == structure.value)
        return
    for target in pair.scheme.targets:
        box = pair.box(target)
        if box is not None:
            one, other = (mask.view(np.uint8) for mask in pair.masks(target))
            runs = differing_runs(one, other, corner=(box[0].start, box[1].start, box[2].start))
            yield target, Agreement.ONLY_A, runs.chosen(runs.one == 1)
            yield target, Agreement.ONLY_B, runs.chosen(runs.other == 1)
