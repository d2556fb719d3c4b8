"""What the values of a label map mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .errors import LabelError
from .sides import names_a_side, paired
from .volume import LabelMap, Labels, MultiLabelMap

Colour = tuple[int, int, int]

# Okabe and Ito's colours first (safe for colour-blind readers), then hues spread by the golden angle.
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
_LARGEST_VALUE = 2**16 - 1
IGNORE_INDEX = 255
"""Class index of voxels that are to be ignored."""


@dataclass(frozen=True)
class CodedConcept:
    """A DICOM coded entry (PS3.3 section 8.8): value, scheme such as ``SCT``, meaning."""

    value: str
    scheme: str
    meaning: str


class Laterality(StrEnum):
    """Which of two sides a structure is on (PS3.16 CID 244)."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"


@dataclass(frozen=True)
class Structure:
    """One anatomical label: its name, its value in a label map, and how it is shown and coded.

    Attributes:
        name: Unique in its scheme.
        value: In a label map; positive.
        colour: Red, green, blue.
        code: What it is, such as *Kidney* (SegmentedPropertyType, PS3.3 section C.8.20.4); None if nobody said.
        category: What kind of thing it is (SegmentedPropertyCategory); None for *Anatomical Structure*.
        laterality: Its side, if it is one of two.
    """

    name: str
    value: int
    colour: Colour
    code: CodedConcept | None = None
    category: CodedConcept | None = None
    laterality: Laterality | None = None


@dataclass(frozen=True)
class Region:
    """A union of structures that is learned and scored as one; regions may overlap.

    ``code``, ``category`` and ``laterality`` are as a structure's.
    """

    name: str
    structures: tuple[str, ...]
    code: CodedConcept | None = None
    category: CodedConcept | None = None
    laterality: Laterality | None = None


@dataclass(frozen=True)
class LabelScheme:
    """The structures of a data set.

    Attributes:
        structures: Ordered; names and values differ, values are positive (0 is background).
        regions: Unions to learn instead of the structures themselves; empty for none.
        ignore: Value of voxels that nobody labelled; left out of losses and scores. None for none.
        overlapping: Whether the label files hold one mask a structure (a multi-label map).
        background: Names of what label files hold besides, where they go by names (contours, segments) and not by
            values; ``*`` is all other names.
    """

    structures: tuple[Structure, ...]
    regions: tuple[Region, ...] = ()
    ignore: int | None = None
    overlapping: bool = False
    background: tuple[str, ...] = ()
    _by_name: Mapping[str, Structure] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.structures:
            raise LabelError("a label scheme needs at least one structure")
        object.__setattr__(self, "_by_name", {structure.name: structure for structure in self.structures})
        if len(self._by_name) != len(self.structures) or len(set(self.values)) != len(self.structures):
            raise LabelError("structure names and values must differ from each other")
        if len(self.structures) >= IGNORE_INDEX:
            raise LabelError(f"a scheme holds at most {IGNORE_INDEX - 1} structures, got {len(self.structures)}")
        _check_values(self.values, self.ignore)
        for region in self.regions:
            unknown = set(region.structures) - set(self._by_name)
            if unknown or not region.structures:
                raise LabelError(f"region {region.name!r} names unknown structures: {sorted(unknown)}")

    @classmethod
    def from_names(cls, values: Mapping[str, int], ignore: int | None = None) -> Self:
        """Scheme from ``{name: value}`` with colours from the default palette; the value 0 is skipped."""
        named = [(name, value) for name, value in values.items() if value != 0]
        return cls(tuple(Structure(n, v, palette_colour(i)) for i, (n, v) in enumerate(named)), ignore=ignore)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures, in order."""
        return tuple(self._by_name)

    @property
    def values(self) -> tuple[int, ...]:
        """Values of the structures, in order."""
        return tuple(structure.value for structure in self.structures)

    @property
    def targets(self) -> tuple[str, ...]:
        """What a network learns and what is scored: the regions if there are any, else the structures."""
        return tuple(region.name for region in self.regions) or self.names

    @property
    def target_structures(self) -> tuple[Structure, ...]:
        """The targets as structures with colours and codes; a region takes its place as value, the palette's colour."""
        if not self.regions:
            return self.structures
        return tuple(
            replace(self._by_name[one.name], value=index + 1)
            if one.name in self._by_name
            else Structure(one.name, index + 1, palette_colour(index), one.code, one.category, one.laterality)
            for index, one in enumerate(self.regions)
        )

    @property
    def is_exclusive(self) -> bool:
        """Whether at most one target holds in a voxel, so that a softmax and a label map serve."""
        return not self.regions and not self.overlapping

    def only(self, targets: Sequence[str]) -> Self:
        """The scheme of some of its targets, in its own order and with their own values; itself for none named.

        Raises:
            LabelError: If one is not a target.
        """
        if unknown := [name for name in targets if name not in self.targets]:
            raise LabelError(f"no structure {unknown[0]!r}; there are {', '.join(map(repr, self.targets))}")
        if not targets:
            return self
        if self.regions:
            return replace(self, regions=tuple(region for region in self.regions if region.name in targets))
        return replace(self, structures=tuple(one for one in self.structures if one.name in targets))

    def __getitem__(self, name: str) -> Structure:
        try:
            return self._by_name[name]
        except KeyError:
            raise LabelError(f"no structure {name!r}; the scheme has {', '.join(self.names)}") from None

    def mask(self, labels: Labels, target: str) -> NDArray[np.bool_]:
        """Mask of one target (a structure or a region)."""
        members = next((region.structures for region in self.regions if region.name == target), (target,))
        if isinstance(labels, MultiLabelMap):
            is_reference = labels.structures == self.names  # a region may have the name of a structure
            held = members if is_reference or target not in labels.structures else (target,)
            rows = [labels.structures.index(name) for name in held]
            union: NDArray[np.bool_] = np.any(labels.array[rows], axis=0)
            return union
        values = [self[name].value for name in members]
        # Comparing is five times as fast as a search for one value.
        mask: NDArray[np.bool_] = labels.array == values[0] if len(values) == 1 else np.isin(labels.array, values)
        return mask

    def class_indices(self, label_map: LabelMap) -> NDArray[np.uint8]:
        """Label map as class indices: 0 background, 1 … n the structures in order, 255 where it is to be ignored.

        Raises:
            LabelError: If a value is not in the scheme.
        """
        present = np.unique(label_map.array)
        unknown = sorted(set(present.tolist()) - {0, *self.values, *([] if self.ignore is None else [self.ignore])})
        if unknown:
            known = dict(zip(self.names, self.values, strict=True))
            raise LabelError(f"label values {_first(unknown)} are not in the scheme {known}")
        table = np.zeros(int(present.max(initial=0)) + 1, dtype=np.uint8)
        for index, value in enumerate(self.values, start=1):
            if value < len(table):
                table[value] = index
        if self.ignore is not None and self.ignore < len(table):
            table[self.ignore] = IGNORE_INDEX
        indices: NDArray[np.uint8] = table[label_map.array]
        return indices

    def from_class_indices(self, indices: NDArray[np.uint8]) -> NDArray[np.integer]:
        """Values of the scheme from class indices; uint8 where it is wide enough, else uint16."""
        dtype = np.uint8 if max(self.values) <= 255 else np.uint16
        values: NDArray[np.integer] = np.array([0, *self.values], dtype=dtype)
        return values[indices]

    def one_sided(self) -> tuple[str, ...]:
        """Targets of the left or the right, by name or laterality; mirrored, they would be taken for the other one."""
        targets, sides = self.target_structures, (Laterality.LEFT, Laterality.RIGHT)
        pairs = paired(one.name for one in targets)
        return tuple(
            one.name for one in targets if one.laterality in sides or one.name in pairs or names_a_side(one.name)
        )


def _check_values(values: tuple[int, ...], ignore: int | None) -> None:
    if min(values) < 1:
        raise LabelError(f"structure values must be positive (0 is background), got {min(values)}")
    largest = max(*values, ignore or 0)
    if largest > _LARGEST_VALUE:
        raise LabelError(f"label values go up to {_LARGEST_VALUE}, got {largest}; renumber the label maps")
    if ignore in (0, *values):
        raise LabelError(f"the ignore value {ignore} is background's or a structure's value")
    if ignore is not None and ignore < 0:
        raise LabelError(f"the ignore value must be positive, got {ignore}")


def _first(values: Sequence[int], most: int = 5) -> str:
    """The first few values as a list, with dots where there are more."""
    return f"[{', '.join(map(str, values[:most]))}{', …' if len(values) > most else ''}]"


def palette_colour(index: int) -> Colour:
    """Default colour of the structure at ``index``, the same in every report and viewer."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    hue = (index * 0.61803398875) % 1.0 * 6
    rising = hue % 1
    ramp = [(1, rising, 0), (1 - rising, 1, 0), (0, 1, rising), (0, 1 - rising, 1), (rising, 0, 1), (1, 0, 1 - rising)]
    red, green, blue = (int(60 + 180 * part) for part in ramp[int(hue)])
    return red, green, blue
