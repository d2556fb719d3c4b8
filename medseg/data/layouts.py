"""Data sets as they lie on disk: which layout it is, and the one function that opens any."""

from __future__ import annotations

from pathlib import Path

from medseg.config.sections import Layout
from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.labels import LabelScheme

from .cityscapes import is_cityscapes, open_cityscapes
from .coco import LARGEST_COCO, coco_files, is_coco, open_coco
from .dataset import Dataset
from .documents import LARGEST_DOCUMENT, read_json
from .manifest import open_manifest
from .msd import open_msd
from .nnunet import open_nnunet
from .pairs import open_pairs
from .voc import is_voc, open_voc

_DESCRIPTION = "dataset.json"
_MANIFESTS = ("manifest.csv", "manifest.json")
_EXPECTED = (
    f"{_DESCRIPTION}, {_MANIFESTS[0]}, {_MANIFESTS[1]}, folders images/ and labels/, or a COCO, Pascal VOC or "
    "Cityscapes data set"
)


def open_dataset(path: Path, layout: Layout = Layout.AUTO, scheme: LabelScheme | None = None) -> Dataset:
    """The data set at ``path``; no voxel is read, unless channels or structures are told nowhere else.

    Args:
        path: Its folder, its ``dataset.json``, or a manifest (``.csv`` or ``.json``).
        layout: How it lies there; ``auto`` looks.
        scheme: Structures instead of those that the data set names.

    Raises:
        InputError: If nothing is there, it is no data set, or images and labels do not match.
        ReadError: If its description is damaged.
        LabelError: If its labels are not sound.
    """
    found = find_layout(path) if layout is Layout.AUTO else layout
    if found is None:
        raise InputError(f"{str(path)!r} is no data set; expected {_EXPECTED}")
    match found:
        case Layout.MANIFEST:
            return open_manifest(_inside(path, *_MANIFESTS), scheme)
        case Layout.COCO:
            return open_coco(path, scheme)
        case Layout.MSD | Layout.NNUNET:
            description = _inside(path, _DESCRIPTION)
            opener = open_msd if found is Layout.MSD else open_nnunet
            return opener(description.parent, read_json(description), scheme)
        case _:
            return _FOLDERS[found](existing(path), scheme)


def find_layout(path: Path) -> Layout | None:
    """How the data set at ``path`` lies there; None if it is no data set.

    Raises:
        InputError: If nothing is there.
        ReadError: If a JSON file there is damaged.
    """
    if existing(path).is_dir():
        inside = next((path / name for name in (_DESCRIPTION, *_MANIFESTS) if (path / name).is_file()), None)
        if inside is None:
            return _folder_layout(path)
        path = inside
    if path.suffix.lower() == ".csv":
        return Layout.MANIFEST
    if path.suffix.lower() != ".json":
        return None
    tree = read_json(path, LARGEST_DOCUMENT if path.name in (_DESCRIPTION, *_MANIFESTS) else LARGEST_COCO)
    if is_coco(tree):
        return Layout.COCO
    marks = {"cases": Layout.MANIFEST, "channel_names": Layout.NNUNET, "training": Layout.MSD}
    return next((layout for key, layout in marks.items() if key in tree), None)


_FOLDERS = {Layout.PAIRS: open_pairs, Layout.VOC: open_voc, Layout.CITYSCAPES: open_cityscapes}


def _folder_layout(folder: Path) -> Layout | None:
    has_images = (folder / "images").is_dir()
    if has_images and (folder / "labels").exists():
        return Layout.PAIRS
    if is_voc(folder):
        return Layout.VOC
    if is_cityscapes(folder):
        return Layout.CITYSCAPES
    if coco_files(folder):
        return Layout.COCO
    return Layout.PAIRS if has_images else None


def _inside(path: Path, *names: str) -> Path:
    """The file itself, or the first of ``names`` in the folder."""
    if not existing(path).is_dir():
        return path
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{str(path)!r} holds no {' or '.join(names)}")
    return found
