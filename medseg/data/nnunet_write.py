"""A data set written in nnU-Net's raw layout, as ``open_nnunet`` and nnU-Net itself read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import Case
from medseg.core.errors import DataError, InputError, LabelError
from medseg.core.files import write_text
from medseg.core.geometry import LengthUnit
from medseg.core.labels import IGNORE_INDEX, LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.formats import write_label_map, write_volume
from medseg.io.raster import RGB

from .dataset import CaseFiles, Dataset
from .folds import Folds, write_nnunet_splits
from .joining import Joining
from .load import load_case
from .reference import reference_channel

SPLITS = "splits_final.json"
_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9][A-Za-z0-9_.-]*")
_IGNORE, _BACKGROUND = "ignore", "background"


@dataclass(frozen=True)
class Written:
    """What went into a raw folder.

    Attributes:
        training: Cases with a label.
        test: Cases kept aside, and those without a label.
        turned: Cases whose axes were reordered or flipped, so that all point the same way.
    """

    training: int
    test: int
    turned: int


def check_nnunet_name(name: str) -> None:
    """Refuse a folder name that nnU-Net would not find.

    Raises:
        InputError: If it is not of the form ``Dataset042_Liver``.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r}: nnU-Net wants a folder named DatasetNNN_Name, such as Dataset042_Liver")


def write_nnunet(folder: Path, dataset: Dataset, folds: Folds | None, progress: Progress = SILENT) -> Written:
    """Write cases as ``imagesTr``, ``labelsTr``, ``imagesTs`` and ``dataset.json``; voxels keep their values.

    Structures are numbered 1, 2, 3, … in the order of their values, as nnU-Net wants it, and what is to be ignored gets
    the number after them. Images get the axes of the first one, since nnU-Net does not turn them. Pictures become PNG,
    volumes ``.nii.gz``. Labelled test cases get ``labelsTs`` too, which nnU-Net does not read.

    Args:
        folder: Empty; see ``check_nnunet_name`` for its name.
        dataset: The cases; all have all channels.
        folds: Who trains and who validates, for ``splits_final.json``, and who is kept aside; None for none.
        progress: Told of each case.

    Raises:
        LabelError: If structures overlap, or regions cannot be told apart in one label map.
        InputError: If a case lacks a channel, or a picture does not go into a PNG file.
        DataError: If no case has a label, a case cannot be read, or pictures and volumes are mixed.
    """
    scheme = _checked_scheme(dataset)
    aside = set() if folds is None else set(folds.test)
    training = [case for case in dataset.labelled if case.id not in aside and case.split != "test"]
    if not training:
        raise DataError(f"no case of data set {dataset.name!r} has a label and is not kept aside")
    places = {case.id: "Tr" for case in training}
    progress.start("writing cases", len(dataset.cases))
    writer = _CaseWriter(folder, dataset, scheme)
    for files in dataset.cases:
        writer.write(files, places.get(files.id, "Ts"))
        progress.advance()
    described = {
        "name": dataset.name,
        "channel_names": {str(number): name for number, name in enumerate(dataset.channels)},
        **_labels(scheme),
        "numTraining": len(training),
        "file_ending": writer.ending,
    }
    write_text(folder / "dataset.json", json.dumps(described, indent=1) + "\n")
    if folds is not None:
        write_nnunet_splits(folder / SPLITS, folds)
    return Written(len(training), len(dataset.cases) - len(training), writer.turned)


class _CaseWriter:
    """Writes one case after the other, all like the first."""

    def __init__(self, folder: Path, dataset: Dataset, scheme: LabelScheme) -> None:
        self._folder, self._dataset, self._scheme = folder, dataset, scheme
        self._joining = Joining(frozenset(), reference_channel(dataset))
        self._codes = ""
        self.ending = ""
        self.turned = 0

    def write(self, files: CaseFiles, part: str) -> None:
        case = load_case(files, self._dataset.channels, None if files.label is None else self._scheme, self._joining)
        codes, ending = case.image.geometry.axis_codes, _ending(case.image)
        self._codes, self.ending = self._codes or codes, self.ending or ending
        if ending != self.ending:
            raise DataError(f"case {case.id}: pictures and volumes do not go into one data set of nnU-Net's")
        self.turned += codes != self._codes
        for name, volume in _files(case):
            write_volume(self._folder / f"images{part}" / f"{name}{ending}", volume.reoriented(self._codes))
        if case.label is not None:
            labels = LabelMap(_numbered(case, self._scheme), case.image.geometry).reoriented(self._codes)
            write_label_map(self._folder / f"labels{part}" / f"{case.id}{ending}", labels)


def _checked_scheme(dataset: Dataset) -> LabelScheme:
    if dataset.scheme is None:
        raise DataError(f"no case of data set {dataset.name!r} has a label")
    if dataset.scheme.overlapping:
        raise LabelError(
            "the structures may overlap, and nnU-Net's label maps hold one value a voxel; convert a part of them"
        )
    return dataset.scheme


def _ending(image: Volume) -> str:
    return ".png" if image.geometry.unit is LengthUnit.PIXEL else ".nii.gz"


def _files(case: Case) -> Iterator[tuple[str, Volume]]:
    """The images of a case under nnU-Net's names; a picture with its colours is one."""
    if case.image.geometry.unit is LengthUnit.PIXEL and case.image.channels == RGB:
        yield f"{case.id}_0000", case.image
        return
    for number, channel in enumerate(case.image.channels):
        yield f"{case.id}_{number:04d}", case.image.channel(channel)


def _order(scheme: LabelScheme) -> dict[str, int]:
    """The number of each structure, by ascending value."""
    return {
        one.name: number for number, one in enumerate(sorted(scheme.structures, key=lambda one: one.value), start=1)
    }


def _numbered(case: Case, scheme: LabelScheme) -> NDArray[np.integer]:
    """nnU-Net's label map of a case, uint8 where that is wide enough."""
    numbers, label = _order(scheme), case.label
    if isinstance(label, MultiLabelMap):
        masks = np.stack([scheme.mask(label, name) for name in scheme.names])
        if (masks.sum(axis=0, dtype=np.uint8) > 1).any():
            raise LabelError(f"case {case.id}: structures overlap, and nnU-Net's label maps hold one value a voxel")
        indices = (masks * np.arange(1, len(masks) + 1, dtype=np.uint8)[:, None, None, None]).max(axis=0)
    else:
        assert isinstance(label, LabelMap)  # noqa: S101 - cases without a label are not asked
        indices = scheme.class_indices(label)
    table = np.zeros(IGNORE_INDEX + 1, np.uint8)
    table[1 : len(numbers) + 1] = [numbers[name] for name in scheme.names]
    table[IGNORE_INDEX] = len(numbers) + 1
    numbered: NDArray[np.integer] = table[indices]
    return numbered


def _labels(scheme: LabelScheme) -> dict[str, object]:
    """The entries ``labels`` and, with regions, ``regions_class_order`` of ``dataset.json``."""
    numbers = _order(scheme)
    ignored = {} if scheme.ignore is None else {_IGNORE: len(numbers) + 1}
    if not scheme.regions:
        return {"labels": {_BACKGROUND: 0, **numbers, **ignored}}
    regions = {one.name: sorted(numbers[name] for name in one.structures) for one in scheme.regions}
    ordered_regions = dict(sorted(regions.items(), key=lambda item: -len(item[1])))
    return {
        "labels": {_BACKGROUND: 0, **ordered_regions, **ignored},
        "regions_class_order": _painted(ordered_regions),
    }


def _painted(regions: Mapping[str, list[int]]) -> list[int]:
    """The label that stands for each region where no later one covers it.

    Raises:
        LabelError: If later regions cover one wholly.
    """
    painted = []
    rows = list(regions.items())
    for place, (name, values) in enumerate(rows):
        later = {value for _, others in rows[place + 1 :] for value in others}
        own = [value for value in values if value not in later]
        if not own:
            raise LabelError(f"region {name!r} has no label that smaller regions lack, so a label map cannot show it")
        painted.append(own[0])
    return painted
