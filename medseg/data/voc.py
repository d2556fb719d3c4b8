"""Pascal VOC: pictures in ``JPEGImages``, palette PNGs in ``SegmentationClass``, lists in ``ImageSets/Segmentation``.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.files import safe_name
from medseg.core.labels import LabelScheme

from .dataset import CaseFiles, Dataset
from .documents import read_text
from .images import channels_of, list_images, whole_file
from .split import part_named
from .structures import scheme_beside

VOID = 255
"""Value of the border of objects, which counts neither way."""
_IMAGES, _LABELS, _LISTS = "JPEGImages", "SegmentationClass", Path("ImageSets", "Segmentation")


def is_voc(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return (folder / _IMAGES).is_dir() and (folder / _LABELS).is_dir()


def open_voc(folder: Path, scheme: LabelScheme | None) -> Dataset:
    """The images that have a label map, or those of them that the lists name, with the part that each list is for.

    Structures are as for folder pairs: those of ``labels.json``, else one for each value; 255 is to be ignored.

    Args:
        folder: Holds the two folders.
        scheme: Structures instead of those in ``labels.json``.

    Raises:
        InputError: If a folder is missing, there is no label map, or one has no image.
        ReadError: If a list cannot be read.
        LabelError: If ``labels.json`` is not sound, or the label maps hold no structure.
    """
    images, labels = list_images(folder / _IMAGES), list_images(folder / _LABELS)
    parts = _parts(folder / _LISTS, labels)
    alone = sorted(set(parts) - set(images))
    if alone or not parts:
        found = f"{alone[0]} and {len(alone) - 1} more" if alone else "nothing"
        raise InputError(f"{_LABELS}/ holds {found} without an image in {_IMAGES}/")
    channels = channels_of(images[case] for case in parts)
    cases = tuple(
        CaseFiles(case, whole_file(images[case], channels), labels[case], case, split=part)
        for case, part in parts.items()
    )
    found_scheme = scheme or scheme_beside(folder, [labels[case] for case in parts], VOID)
    return Dataset(folder.resolve().name, folder, channels, found_scheme, cases)


def _parts(lists: Path, labels: Collection[CaseId]) -> Mapping[CaseId, str | None]:
    """The cases with their parts, in order; without lists all that have a label, in no part."""
    files = sorted(lists.glob("*.txt")) if lists.is_dir() else []
    parts: dict[CaseId, str | None] = {}
    for file in sorted(files, key=lambda file: part_named(file.stem) is None):  # trainval names what train and val do
        for line in read_text(file).splitlines():
            case = CaseId(safe_name(line.strip()))
            if line.strip() and case in labels:
                parts.setdefault(case, part_named(file.stem))
    return parts or dict.fromkeys(labels)
