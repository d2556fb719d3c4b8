"""Labels that go by names, such as contours, as a label scheme has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .anatomy import name_key
from .errors import LabelError
from .geometry import Geometry
from .labels import LabelScheme
from .segmentation import Segmentation
from .volume import LabelMap, Labels, MultiLabelMap

_ALL_OTHERS = "*"
_SHOWN = 5
Mask = NDArray[np.bool_]


def matched(names: Iterable[str], scheme: LabelScheme) -> Mapping[str, str]:
    """The structure that each name stands for; names that the scheme calls background are left out.

    A name stands for the structure of that name, or else for the one whose name differs only in its writing or is a
    synonym in the dictionary of structures: ``Kidney_L`` for ``left kidney``.

    Raises:
        LabelError: If a name is neither a structure's nor background, or two stand for one structure.
    """
    found = {name: name for name in names if name in scheme.names}
    by_key: dict[tuple[str, str], list[str]] = defaultdict(list)
    for structure in scheme.names:
        by_key[name_key(structure)].append(structure)
    left_out = {name_key(name) for name in scheme.background}
    unknown = []
    for name in names:
        candidates = by_key.get(name_key(name), [])
        if name in found or name in scheme.background:
            continue
        if len(candidates) == 1:
            _check_free(candidates[0], name, found)
            found[name] = candidates[0]
        elif name_key(name) not in left_out and _ALL_OTHERS not in scheme.background:
            unknown.append(name)
    if unknown:
        raise LabelError(_unknown(unknown, scheme))
    return found


def relabelled(segmentation: Segmentation, scheme: LabelScheme) -> Labels:
    """The labels of a file that names its structures, with the values of a scheme.

    A structure that the file lacks is empty; what the scheme calls background is left out.

    Returns:
        Masks in the order of the scheme if its structures overlap; else a label map, as ``painted`` makes it.

    Raises:
        LabelError: As ``matched``.
    """
    names = matched(segmentation.scheme.names, scheme)
    labels, ignored = segmentation.labels, segmentation.scheme.ignore
    if isinstance(labels, LabelMap) and not scheme.overlapping:
        values = {segmentation.scheme[name].value: scheme[structure].value for name, structure in names.items()}
        if ignored is not None and scheme.ignore is not None:
            values[ignored] = scheme.ignore
        return LabelMap(_mapped(labels.array, values), labels.geometry)
    masks = [(names[one], segmentation.scheme.mask(labels, one)) for one in segmentation.scheme.names if one in names]
    return painted(masks, scheme, labels.geometry)


def painted(masks: Sequence[tuple[str, Mask]], scheme: LabelScheme, grid: Geometry) -> Labels:
    """Masks of structures, several of one structure united, as labels.

    Returns:
        Masks in the order of the scheme if its structures overlap; else a label map in which a smaller mask lies over a
        larger one, so that a lesion in an organ is seen. Of masks of one size the later lies over the earlier.
    """
    if scheme.overlapping:
        united = np.zeros((len(scheme.names), *grid.shape), dtype=np.bool_)
        for name, mask in masks:
            united[scheme.names.index(name)] |= mask
        return MultiLabelMap(united, grid, scheme.names)
    array = np.zeros(grid.shape, dtype=np.uint8 if max(scheme.values) <= 255 else np.uint16)
    for name, mask in sorted(masks, key=lambda one: -np.count_nonzero(one[1])):
        array[mask] = scheme[name].value
    return LabelMap(array, grid)


def _check_free(structure: str, name: str, found: Mapping[str, str]) -> None:
    other = next((one for one, taken in found.items() if taken == structure), None)
    if other is not None:
        raise LabelError(f"{other!r} and {name!r} both stand for the structure {structure!r}; rename one of them")


def _unknown(names: Sequence[str], scheme: LabelScheme) -> str:
    listed = ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
    return (
        f"{listed} {'is' if len(names) == 1 else 'are'} no structure of the scheme ({', '.join(scheme.names)}); name "
        'what is to be left out in labels.json with the value 0 ("*": 0 for all), or as labels.background in the '
        "configuration"
    )


def _mapped(array: NDArray[np.integer], values: Mapping[int, int]) -> NDArray[np.integer]:
    """The array with each value replaced; 0 where the table has none."""
    mapped = np.zeros(array.shape, dtype=np.uint8 if max(values.values(), default=0) <= 255 else np.uint16)
    for old, new in values.items():
        mapped[array == old] = new
    return mapped
