"""COCO: a JSON file with lists ``images``, ``annotations`` and ``categories``, and a folder of pictures.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt

from medseg.core.case import CaseId
from medseg.core.errors import GeometryError, InputError, LabelError, ReadError
from medseg.core.files import confined, existing, safe_name
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.matching import matched, painted
from medseg.core.volume import LabelMap, Labels
from medseg.io.formats import image_stem
from medseg.io.limits import decoding
from medseg.io.polygons import Mask, draw_segmentation

from .dataset import CaseFiles, Dataset
from .documents import parse_document, read_json
from .images import channels_of, whole_file
from .split import part_named
from .structures import LABELS_FILE, scheme_beside, scheme_from_values

LARGEST_COCO = 2**29
"""Bytes of a COCO file; the largest of COCO's own are a seventh smaller."""
_KEYS = {"images", "annotations", "categories"}
_NAMES = ("annotations/*.json", "*coco*.json", "instances*.json", "annotations.json")
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_LARGEST_VALUE = 2**16 - 1
_IGNORE = 255
_Id = int | str


class _Image(BaseModel):
    id: _Id
    file_name: str
    height: PositiveInt
    width: PositiveInt


class _Category(BaseModel):
    id: _Id
    name: str


class _Document(BaseModel):
    images: list[_Image]
    annotations: list[dict[str, Any]]
    categories: list[_Category]


@dataclass(frozen=True, eq=False)
class _Coco:
    """A COCO file, its annotations by image."""

    images: Mapping[str, _Image]
    categories: Mapping[_Id, str]
    annotations: Mapping[_Id, Sequence[Mapping[str, Any]]]


def is_coco(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a COCO file."""
    return tree.keys() >= _KEYS


def coco_files(folder: Path) -> list[Path]:
    """The COCO files of a folder or of its folder ``annotations``, by their usual names and by content."""
    found = {path for pattern in _NAMES for path in folder.glob(pattern) if not path.name.startswith(_OTHER_TASKS)}
    return [path for path in sorted(found) if path.is_file() and _is_coco_file(path)]


def _is_coco_file(path: Path) -> bool:
    try:
        return is_coco(read_json(path, LARGEST_COCO))
    except ReadError:
        return False


def open_coco(path: Path, scheme: LabelScheme | None) -> Dataset:
    """The images of one COCO file, or of all in a folder.

    Pictures lie beside the file, or in a folder beside it or above it that is called ``images`` or as the file after
    ``instances_``. Structures are the categories, instances of one are united; their values are the categories'
    numbers if those can be, else 1, 2, …. ``labels.json`` beside the pictures' folder takes their place, by name.
    Files named after ``train``, ``val`` and ``test`` say who trains, where there are several.

    Args:
        path: The JSON file, or the folder with it or with ``annotations``.
        scheme: Structures instead of the categories, by name.

    Raises:
        InputError: If there is no such file, or a picture would lie outside the folder.
        ReadError: If a file is damaged.
        LabelError: If there are no categories, or too many.
    """
    files = coco_files(path) if existing(path).is_dir() else [path]
    if not files:
        raise InputError(f"{str(path)!r} holds no COCO file, a JSON with images, annotations and categories")
    folder = files[0].parent.parent if files[0].parent.name == "annotations" else files[0].parent
    parts = [part_named(file.stem) for file in files]
    is_split = len(files) > 1 and None not in parts
    found = [
        (confined(_pictures(folder, file), name), name, file, part if is_split else None)
        for file, part in zip(files, parts, strict=True)
        for name in _coco(file).images
    ]
    channels = channels_of(image for image, _, _, _ in found)
    cases = tuple(
        CaseFiles(_case(name), whole_file(image, channels), file, _case(name), split=part, item=name)
        for image, name, file, part in found
    )
    return Dataset(folder.resolve().name, folder, channels, scheme or _scheme(folder, files), cases)


def read_coco_label(path: Path, item: str, scheme: LabelScheme, grid: Geometry) -> Labels:
    """The label of one image in a COCO file.

    Args:
        path: The JSON file.
        item: The image's ``file_name``.
        scheme: Structures, matched to the categories by name.
        grid: Of the image.

    Returns:
        Masks if the scheme's structures overlap; else a label map in which smaller structures lie over larger ones, and
        crowds (``iscrowd``) that no structure covers are to be ignored, or are of their category if the scheme ignores
        nothing.

    Raises:
        ReadError: If an outline is damaged.
        LabelError: If an annotation has no outline, or a category is not in the scheme.
        GeometryError: If the image is of another size than the file says.
    """
    with decoding(path):
        coco = _coco(path)
        if item not in coco.images:
            raise ReadError("does not hold the image any more")
        image = coco.images[item]
        if grid.shape != (image.width, image.height, 1):
            sizes = f"{image.width}x{image.height}, the image {'x'.join(map(str, grid.shape))}"
            raise GeometryError(f"says that the image has {sizes} pixels")
        annotations = coco.annotations.get(image.id, ())
        names = matched(dict.fromkeys(_category(coco, one) for one in annotations), scheme)
        masks: dict[str | None, Mask] = {}
        for one in annotations:
            structure = names.get(_category(coco, one))
            if structure is not None:
                key = None if one.get("iscrowd") and scheme.ignore is not None else structure
                if key not in masks:
                    masks[key] = np.zeros((image.height, image.width), dtype=np.bool_)
                draw_segmentation(_outline(one), masks[key])
        return _labels({key: mask.T[..., np.newaxis] for key, mask in masks.items()}, scheme, grid)


def _labels(masks: Mapping[str | None, Mask], scheme: LabelScheme, grid: Geometry) -> Labels:
    """The masks as labels; the one without a name is to be ignored where no other is."""
    labels = painted([(name, mask) for name, mask in masks.items() if name is not None], scheme, grid)
    crowds = masks.get(None)
    if crowds is None or scheme.ignore is None or not isinstance(labels, LabelMap):
        return labels
    array: NDArray[np.integer] = labels.array.astype(
        np.uint8 if max(*scheme.values, scheme.ignore) <= 255 else np.uint16
    )
    array[crowds & (array == 0)] = scheme.ignore
    return LabelMap(array, grid)


def _outline(annotation: Mapping[str, Any]) -> object:
    outline = annotation.get("segmentation")
    if not outline:
        raise LabelError("an annotation has no outline (segmentation); a box alone is no label")
    return outline


def _category(coco: _Coco, annotation: Mapping[str, Any]) -> str:
    number = annotation.get("category_id")
    if not isinstance(number, int | str) or number not in coco.categories:
        raise ReadError("an annotation is of a category that is not in the list")
    return coco.categories[number]


def _case(name: str) -> CaseId:
    return CaseId(safe_name(image_stem(Path(name.replace("/", "_")))))


def _pictures(folder: Path, file: Path) -> Path:
    """The folder of a COCO file's pictures: the first in which the first of them is."""
    name = file.stem.removeprefix("instances_")
    places = [folder / "images" / name, folder / "images", folder / name, folder]
    first = next(iter(_coco(file).images), "")
    return next((place for place in places if place.is_dir() and confined(place, first).exists()), folder)


def _scheme(folder: Path, files: Sequence[Path]) -> LabelScheme:
    if (folder / LABELS_FILE).is_file():
        named = scheme_beside(folder, ())
        assert named is not None  # noqa: S101 - the file is there
        return named
    opened = [_coco(file) for file in files]
    used = {number for coco in opened for row in coco.annotations.values() for one in row for number in _ids(one)}
    numbers: dict[str, _Id] = {}
    for coco in opened:
        for number, name in coco.categories.items():
            if number != 0 or number in used:  # some programs write a category 0 that stands for all others
                numbers.setdefault(name, number)
    values = _values(numbers)
    has_crowds = any(one.get("iscrowd") for coco in opened for row in coco.annotations.values() for one in row)
    ignore = max(_IGNORE, *values.values()) + (_IGNORE in values.values()) if has_crowds and values else None
    return scheme_from_values(values, files[0].name, ignore)


def _ids(annotation: Mapping[str, Any]) -> tuple[_Id, ...]:
    number = annotation.get("category_id")
    return (number,) if isinstance(number, int | str) else ()


def _values(numbers: Mapping[str, _Id]) -> dict[str, int]:
    """The categories' own numbers if they can be values of a label map, else 1, 2, …."""
    own = {name: number for name, number in numbers.items() if isinstance(number, int)}
    if len(set(own.values())) == len(numbers) and all(1 <= number <= _LARGEST_VALUE for number in own.values()):
        return own
    return {name: value for value, name in enumerate(numbers, start=1)}


def _coco(path: Path) -> _Coco:
    facts = existing(path).stat()
    return _opened(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(path: Path, _size: int, _changed: int) -> _Coco:
    """The file as it was at that time; it is asked for each of its images."""
    document = parse_document(read_json(path, LARGEST_COCO), _Document, path.name)
    images = {image.file_name: image for image in document.images}
    if len(images) < len(document.images):
        raise ReadError(f"{path.name}: images share a file_name")
    annotations: dict[_Id, list[Mapping[str, Any]]] = {image.id: [] for image in document.images}
    for one in document.annotations:
        number = one.get("image_id")
        if not isinstance(number, int | str) or number not in annotations:
            raise ReadError(f"{path.name}: an annotation is of an image that is not in the list")
        annotations[number].append(one)
    return _Coco(images, {one.id: one.name for one in document.categories}, annotations)
