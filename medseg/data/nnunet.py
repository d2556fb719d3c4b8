"""nnU-Net's raw layout: ``dataset.json``, ``imagesTr/CASE_0000.nii.gz`` (a file a channel), ``labelsTr``, imagesTs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme

from .dataset import CaseFiles, Dataset, ImageFile
from .documents import parse_document
from .images import whole_file
from .pairs import check_partners
from .structures import scheme_from_values


class _Description(BaseModel):
    name: str = ""
    channel_names: dict[int, str]
    labels: dict[str, int | tuple[int, ...]]
    file_ending: Annotated[str, Field(pattern=r"^\.[\w.]+$")]


def open_nnunet(folder: Path, tree: dict[str, Any], scheme: LabelScheme | None) -> Dataset:
    """The cases of a raw nnU-Net data set.

    Label entries that are lists of values become regions. A case of which only ``CASE_0000`` exists while there are
    several channels is one file that holds all of them (pictures with colours). Cases in ``imagesTs`` are marked as
    test cases, with a label if ``labelsTs`` has one; where one has the name of a training case, ``_Ts`` is added.

    Args:
        folder: Where ``dataset.json`` lies.
        tree: Its content.
        scheme: Structures instead of its own.

    Raises:
        ReadError: If the description lacks something.
        InputError: If an image lacks its label or a channel, or a label its image.
    """
    described = parse_document(tree, _Description, "dataset.json")
    channels = tuple(name for _, name in sorted(described.channel_names.items()))
    ending = described.file_ending
    numbered = _numbered(folder / "imagesTr", ending)
    labels = _by_name(folder / "labelsTr", ending)
    check_partners(numbered, labels, "imagesTr", "labelsTr")
    cases = [
        CaseFiles(CaseId(case), _channel_files(case, files, channels), labels[case], patient=case)
        for case, files in numbered.items()
    ]
    cases += _test_cases(folder, ending, channels, {case.id for case in cases})
    scheme = scheme or scheme_from_values(described.labels, "dataset.json")
    return Dataset(described.name or folder.name, folder, channels, scheme, tuple(cases))


def _test_cases(folder: Path, ending: str, channels: tuple[str, ...], taken: set[CaseId]) -> Iterator[CaseFiles]:
    if not (folder / "imagesTs").is_dir():
        return
    labels = _by_name(folder / "labelsTs", ending) if (folder / "labelsTs").is_dir() else {}
    for case, files in _numbered(folder / "imagesTs", ending).items():
        name = CaseId(f"{case}_Ts" if case in taken else case)
        images = _channel_files(case, files, channels, "imagesTs")
        yield CaseFiles(name, images, labels.get(case), patient=name, split="test")


def _numbered(folder: Path, ending: str) -> dict[str, dict[str, Path]]:
    """The files of each case by their channel's number."""
    numbered: dict[str, dict[str, Path]] = {}
    for stem, path in _by_name(folder, ending).items():
        case, _, number = stem.rpartition("_")
        numbered.setdefault(case, {})[number] = path
    return numbered


def _by_name(folder: Path, ending: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"folder {folder.name!r} is missing beside dataset.json")
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}")) if path.name[0] != "."}


def _channel_files(
    case: str, files: Mapping[str, Path], channels: tuple[str, ...], where: str = "imagesTr"
) -> Mapping[str, ImageFile]:
    wanted = [f"{number:04d}" for number in range(len(channels))]
    if list(files) == ["0000"]:
        return whole_file(files["0000"], channels)
    if sorted(files) != wanted:
        got, named = ", ".join(sorted(files)), ", ".join(wanted)
        raise InputError(f"case {case!r} in {where}/ has the channels {got}, dataset.json names {named}")
    return {channel: ImageFile(files[number]) for channel, number in zip(channels, wanted, strict=True)}
