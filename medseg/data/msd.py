"""Medical Segmentation Decathlon: ``dataset.json`` with a list ``training`` of image and label files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medseg.core.case import CaseId
from medseg.core.errors import ReadError
from medseg.core.files import confined, safe_name
from medseg.core.labels import LabelScheme
from medseg.io.formats import image_stem

from .dataset import CaseFiles, Dataset
from .documents import parse_document
from .images import whole_file
from .structures import scheme_from_values


class _Pair(BaseModel):
    image: str
    label: str | None = None


class _Description(BaseModel):
    name: str = ""
    modality: dict[int, str]
    labels: dict[int, str]
    training: list[_Pair]


def open_msd(folder: Path, tree: dict[str, Any], scheme: LabelScheme | None) -> Dataset:
    """The labelled part of a Decathlon data set; 4D images hold one volume for each modality.

    Args:
        folder: Where ``dataset.json`` lies; the files that it names must lie below.
        tree: Its content.
        scheme: Structures instead of its own.

    Raises:
        ReadError: If the description lacks something.
        InputError: If a file leaves the folder, or two cases have one name.
    """
    described = parse_document(tree, _Description, "dataset.json")
    channels = tuple(name for _, name in sorted(described.modality.items()))
    if not channels:
        raise ReadError("dataset.json: modality: names no channel")
    names = {name: value for value, name in described.labels.items()}
    cases = tuple(_case(folder, pair, channels) for pair in described.training)
    scheme = scheme or scheme_from_values(names, "dataset.json")
    return Dataset(described.name or folder.name, folder, channels, scheme, cases)


def _case(folder: Path, pair: _Pair, channels: tuple[str, ...]) -> CaseFiles:
    image = confined(folder, pair.image)
    label = None if pair.label is None else confined(folder, pair.label)
    case = CaseId(safe_name(image_stem(image)))
    return CaseFiles(case, whole_file(image, channels), label, patient=case)
