"""Who validates when: the folds of a cross-validation, grouped by patient."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from medseg.config.sections import SplitSection
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError, DataError, InputError
from medseg.core.files import write_text

from .dataset import CaseFiles, Dataset
from .documents import parse_document, read_json_value
from .split import Split, check_cases, check_patients, make_split

FOLDS_FILE, OUT_OF_FOLD = "folds.json", "out_of_fold"
"""What a run with folds has in its folder: who validates when, and what the folds say about each other's cases."""
USUAL_FOLDS = 5
_NNUNET_SEED = 12345
_KEEP_TOGETHER = "set data.split.folds=patients and no data.split.file, which keeps a patient in one fold"


@dataclass(frozen=True)
class Folds:
    """The folds of a cross-validation.

    Attributes:
        parts: Who trains and who validates in each fold; no case validates in two of them.
        test: Cases kept aside from all of them.
    """

    parts: tuple[tuple[tuple[CaseId, ...], tuple[CaseId, ...]], ...]
    test: tuple[CaseId, ...] = ()

    def __len__(self) -> int:
        return len(self.parts)

    def split(self, fold: int) -> Split:
        """Training and validation cases of a fold, and the test cases."""
        training, validation = self.parts[fold]
        return Split(training, validation, self.test)

    @property
    def cases(self) -> tuple[CaseId, ...]:
        """All cases that train or validate in some fold."""
        return tuple(dict.fromkeys(case for training, validation in self.parts for case in (*validation, *training)))

    @property
    def validated(self) -> tuple[CaseId, ...]:
        """The cases that validate in a fold, by fold."""
        return tuple(case for _, validation in self.parts for case in validation)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    train: tuple[CaseId, ...] = Field(min_length=1)
    validation: tuple[CaseId, ...] = Field(min_length=1, validation_alias=AliasChoices("validation", "val"))


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folds: tuple[_Part, ...] = Field(min_length=2)
    test: tuple[CaseId, ...] = ()


def make_folds(dataset: Dataset, section: SplitSection, count: int | None) -> Folds:
    """The folds that ``section`` asks for, of the labelled cases.

    A file of folds counts as it is: nnU-Net's ``splits_final.json``, or the ``folds.json`` of a run. Else the test part
    is that of ``make_split``, and all other cases of it are dealt out: each patient to one fold, folds as even as
    possible in cases; or by nnU-Net's own rule if the section says so.

    Args:
        dataset: The cases.
        section: The rule.
        count: How many folds; None for all that the file has, five without a file of folds.

    Raises:
        ConfigError: If the file is not sound, has another number of folds, names a case that is not there, lets one
            validate twice, or has a patient on both sides of a fold; or if there are fewer patients than folds.
        DataError: If no case has a label.
    """
    if section.file is not None and is_folds_file(section.file):
        folds = read_folds(section.file)
        _check_file(dataset, folds, section.file.name, count)
    else:
        split = make_split(dataset, section.model_copy(update={"validation": 0.0}))
        pool = {*split.training, *split.validation}
        cases = [case for case in dataset.labelled if case.id in pool]
        groups = _dealt_out(cases, section, count or USUAL_FOLDS)
        folds = Folds(tuple((_others(cases, group), group) for group in groups), split.test)
    for fold in range(len(folds)):
        _check_patients(dataset, folds, fold)
    return folds


def is_folds_file(path: Path) -> bool:
    """Whether a split file holds folds rather than one split.

    Raises:
        ConfigError: If it cannot be read.
    """
    tree = _read(path)
    return isinstance(tree, list) or "folds" in tree


def read_folds(path: Path) -> Folds:
    """The folds in a JSON file: a list of ``{"train": …, "val": …}`` as nnU-Net writes it, or a run's ``folds.json``.

    Raises:
        ConfigError: If it is missing or not sound.
    """
    tree = _read(path)
    whole = {"folds": tree} if isinstance(tree, list) else tree
    try:
        document = parse_document(whole, _Document, path.name)
    except DataError as error:
        raise ConfigError(f"split file: {error}") from error
    return Folds(tuple((one.train, one.validation) for one in document.folds), document.test)


def write_folds(path: Path, folds: Folds) -> None:
    """Write folds as ``read_folds`` reads them, atomically."""
    parts = [{"train": training, "validation": validation} for training, validation in folds.parts]
    write_text(path, json.dumps({"folds": parts, "test": folds.test}, indent=1) + "\n")


def write_nnunet_splits(path: Path, folds: Folds) -> None:
    """Write folds as nnU-Net reads its ``splits_final.json``, and ``read_folds`` too, atomically.

    Test cases are in no fold there; nnU-Net keeps them in ``imagesTs``.
    """
    parts = [{"train": training, "val": validation} for training, validation in folds.parts]
    write_text(path, json.dumps(parts, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any] | list[Any]:
    try:
        return read_json_value(path)
    except (DataError, InputError) as error:
        raise ConfigError(f"split file: {error}") from error


def _dealt_out(cases: Sequence[CaseFiles], section: SplitSection, count: int) -> list[tuple[CaseId, ...]]:
    """The validation cases of each fold, in the order of the data set."""
    patients = {case.patient for case in cases}
    if count < 2:
        raise ConfigError(f"a cross-validation needs two folds or more, got {count}")
    if len(patients) < count:
        raise ConfigError(f"{count} folds need {count} patients, there are {len(patients)}; ask for fewer by --folds")
    if section.folds == "nnunet":
        chosen = nnunet_folds([case.id for case in cases], count)
    else:
        owned = _by_fold(cases, section.seed, count)
        chosen = [{case.id for case in cases if case.patient in fold} for fold in owned]
    return [tuple(case.id for case in cases if case.id in fold) for fold in chosen]


def _by_fold(cases: Sequence[CaseFiles], seed: int, count: int) -> list[set[str]]:
    """The patients of each fold: after a seeded shuffle, those with most cases first, each to the smallest fold."""
    sizes = Counter(case.patient for case in cases)
    patients = sorted(sizes)
    order = [patients[n] for n in np.random.default_rng(seed).permutation(len(patients))]
    order.sort(key=lambda patient: -sizes[patient])
    folds: list[set[str]] = [set() for _ in range(count)]
    held = [0] * count
    for patient in order:
        smallest = min(range(count), key=lambda fold: (held[fold], len(folds[fold])))
        folds[smallest].add(patient)
        held[smallest] += sizes[patient]
    return folds


def nnunet_folds(cases: Iterable[str], count: int = USUAL_FOLDS) -> list[set[str]]:
    """The validation cases of each fold as nnU-Net draws them: a shuffle of the sorted names, cut into equal parts.

    It knows no patients.

    References:
        nnU-Net v2, ``utilities/crossval_split.py``: scikit-learn's ``KFold(count, shuffle=True, random_state=12345)``.
    """
    names = sorted(cases)
    order = np.arange(len(names))
    np.random.RandomState(_NNUNET_SEED).shuffle(order)  # the old generator is part of the rule
    return [{names[index] for index in part} for part in np.array_split(order, count)]


def _others(cases: Sequence[CaseFiles], group: tuple[CaseId, ...]) -> tuple[CaseId, ...]:
    held_out = set(group)
    return tuple(case.id for case in cases if case.id not in held_out)


def _check_file(dataset: Dataset, folds: Folds, name: str, count: int | None) -> None:
    if count not in (None, len(folds)):
        raise ConfigError(f"{name} holds {len(folds)} folds, {count} were asked for; pass --folds {len(folds)} or all")
    for fold in range(len(folds)):
        check_cases(dataset, folds.split(fold), f"{name}, fold {fold}")
    doubled = [case for case, times in Counter(folds.validated).items() if times > 1]
    if doubled:
        raise ConfigError(
            f"{name}: case {doubled[0]!r} validates in two folds, so it would have two out-of-fold predictions; "
            "let each case validate in one"
        )


def _check_patients(dataset: Dataset, folds: Folds, fold: int) -> None:
    try:
        check_patients(dataset, folds.split(fold))
    except ConfigError as error:
        raise ConfigError(f"fold {fold}: {error}, or {_KEEP_TOGETHER}") from None
