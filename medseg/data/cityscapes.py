"""Cityscapes: ``leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png`` with label maps or polygons in ``gtFine``.

https://github.com/mcordts/cityscapesScripts
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from medseg.core.case import CaseId
from medseg.core.errors import GeometryError, InputError
from medseg.core.files import safe_name
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.matching import matched
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.io.limits import decoding
from medseg.io.polygons import drawn_polygons, polygon_labels, polygons_size

from .dataset import CaseFiles, Dataset
from .documents import read_json
from .images import channels_of, whole_file
from .split import part_named
from .structures import LABELS_FILE, scheme_beside, scheme_from_values

_IMAGES, _LABELS = "leftImg8bit", "gtFine"
_IMAGE, _VALUES, _POLYGONS = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_polygons.json"


def is_cityscapes(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return (folder / _IMAGES).is_dir() and (folder / _LABELS).is_dir()


def open_cityscapes(folder: Path, scheme: LabelScheme | None) -> Dataset:
    """The images of all splits; the city is an attribute.

    Labels are the label maps ``*_labelIds.png`` if each image with polygons has one and ``labels.json`` says what the
    values mean, or if there are no polygons; else the polygons, whose labels in the order of the alphabet are the
    structures unless ``labels.json`` names them.

    Args:
        folder: Holds the two folders.
        scheme: Structures instead of these; polygons go by their names.

    Raises:
        InputError: If there are no images.
        ReadError: If the polygons are to be read and are damaged.
        LabelError: If ``labels.json`` is not sound, or the labels hold no structure.
    """
    images = {_key(path, _IMAGE): path for path in sorted((folder / _IMAGES).glob(f"*/*/*{_IMAGE}"))}
    if not images:
        raise InputError(f"folder {_IMAGES!r} holds no SPLIT/CITY/NAME{_IMAGE}")
    values, polygons = (
        {_key(path, ending): path for path in sorted((folder / _LABELS).glob(f"*/*/*{ending}"))}
        for ending in (_VALUES, _POLYGONS)
    )
    is_named = (folder / LABELS_FILE).is_file()
    labels = values if not polygons or (is_named and set(polygons) <= set(values)) else polygons
    used = [labels[key] for key in images if key in labels]
    channels = channels_of(images.values())
    cases = tuple(
        CaseFiles(
            case := CaseId(safe_name(key[2])), whole_file(path, channels), labels.get(key), case,
            {"city": key[1]}, part_named(key[0]),
        )
        for key, path in images.items()
    )  # fmt: skip
    if scheme is None:
        scheme = _drawn_scheme(used) if labels is polygons and not is_named else scheme_beside(folder, used)
    return Dataset(folder.resolve().name, folder, channels, scheme, cases)


def read_cityscapes_label(path: Path, scheme: LabelScheme, grid: Geometry) -> Labels:
    """The polygons of one image, later ones over earlier ones as Cityscapes means them.

    Args:
        path: A file ``*_polygons.json``.
        scheme: Structures, matched to the labels by name; ``cargroup`` is ``car`` if the scheme has no such structure.
        grid: Of the image.

    Returns:
        A label map; masks, each whole, if the scheme's structures overlap.

    Raises:
        ReadError: If it is no such file.
        LabelError: If a label is not in the scheme.
        GeometryError: If the image is of another size than the file says.
    """
    document = read_json(path)
    with decoding(path):
        height, width = polygons_size(document)
        if grid.shape != (width, height, 1):
            sizes = f"{width}x{height}, the image {'x'.join(map(str, grid.shape))}"
            raise GeometryError(f"says that the image has {sizes} pixels")
        labels = [_single(label, scheme) for label in polygon_labels(document)]
        names = matched(dict.fromkeys(labels), scheme)
        array = np.zeros(grid.shape, dtype=np.uint8 if max(scheme.values) <= 255 else np.uint16)
        masks = np.zeros((len(scheme.names) if scheme.overlapping else 0, *grid.shape), dtype=np.bool_)
        for label, drawn in zip(labels, drawn_polygons(document), strict=True):
            mask = drawn.T[..., np.newaxis]
            array[mask] = scheme[names[label]].value if label in names else 0
            if label in names and scheme.overlapping:
                masks[scheme.names.index(names[label])] |= mask
        return MultiLabelMap(masks, grid, scheme.names) if scheme.overlapping else LabelMap(array, grid)


def _single(label: str, scheme: LabelScheme) -> str:
    """Cityscapes calls instances that cannot be told apart a group; for pixels they are what they are."""
    alone = label.removesuffix("group")
    return alone if label not in scheme.names and alone in scheme.names else label


def _drawn_scheme(files: Iterable[Path]) -> LabelScheme | None:
    labels: set[str] = set()
    for file in files:
        document = read_json(file)
        with decoding(file):
            polygons_size(document)
            labels.update(polygon_labels(document))
    names = sorted(label for label in labels if label.removesuffix("group") not in labels - {label})
    if not names:
        return None
    return scheme_from_values({name: value for value, name in enumerate(names, start=1)}, "the polygons")


def _key(path: Path, ending: str) -> tuple[str, str, str]:
    """Split, city and name."""
    return path.parts[-3], path.parts[-2], path.name.removesuffix(ending)
