"""Who trains, who validates, who tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from medseg.config.sections import SplitSection
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError, DataError, InputError
from medseg.core.files import write_text

from .dataset import CaseFiles, Dataset
from .documents import parse_document, read_json_value


@dataclass(frozen=True)
class Split:
    """Case ids of the three parts; no patient is in two of them."""

    training: tuple[CaseId, ...]
    validation: tuple[CaseId, ...]
    test: tuple[CaseId, ...]

    @property
    def parts(self) -> dict[str, tuple[CaseId, ...]]:
        """The parts by the names that they have in files."""
        return {"train": self.training, "validation": self.validation, "test": self.test}


_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_named(name: str) -> str | None:
    """The part that a file or folder is named after, such as ``train`` for ``instances_train2017``; None for none."""
    found = {_PARTS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _PARTS}
    return found.pop() if len(found) == 1 else None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    train: tuple[CaseId, ...]
    validation: tuple[CaseId, ...] = ()
    test: tuple[CaseId, ...] = ()


def make_split(dataset: Dataset, section: SplitSection) -> Split:
    """The split that ``section`` asks for, of the labelled cases.

    With a file, its lists count, and cases in none of them are left out. Else, if the data set marks cases as
    ``train``, ``validation`` or ``test``, the marks count, cases without one train, and validation patients are drawn
    from those that train if none is marked. Else test and validation patients are drawn by a seeded shuffle. Shares are
    of patients, rounded, at least one where a share is asked for and two patients are there.

    Raises:
        ConfigError: If the file names a case twice, one that is unknown or has no label, or one patient is in two
            parts; or if nobody is left to train on.
        DataError: If no case has a label.
    """
    if not dataset.labelled:
        raise DataError(f"no case of data set {dataset.name!r} has a label")
    if section.file is not None:
        split = read_split(section.file)
        check_cases(dataset, split, section.file.name)
    elif any(case.split for case in dataset.labelled):
        split = _marked(dataset.labelled, section)
    else:
        split = _drawn(dataset.labelled, section)
    check_patients(dataset, split)
    if not split.training:
        raise ConfigError("the split leaves no case to train on; ask for smaller shares of validation and test")
    return split


def read_split(path: Path) -> Split:
    """The split in a JSON file with lists ``train``, ``validation`` and ``test``.

    Raises:
        ConfigError: If it is missing or not sound.
    """
    try:
        tree = read_json_value(path)
        if isinstance(tree, list) or "folds" in tree:
            raise ConfigError(f"split file: {path.name} holds folds, not one split; train them with --folds all")
        document = parse_document(tree, _Document, path.name)
    except (DataError, InputError) as error:
        raise ConfigError(f"split file: {error}") from error
    return Split(document.train, document.validation, document.test)


def write_split(path: Path, split: Split) -> None:
    """Write a split as ``read_split`` reads it, atomically."""
    write_text(path, json.dumps(split.parts, indent=1) + "\n")


def check_patients(dataset: Dataset, split: Split) -> None:
    """Refuse a split that has one patient in two parts.

    Raises:
        ConfigError: If there is one; names two of the cases.
    """
    seen: dict[str, tuple[str, CaseId]] = {}
    for part, cases in split.parts.items():
        for case in cases:
            other, earlier = seen.setdefault(dataset.case(case).patient, (part, case))
            if other != part:
                raise ConfigError(
                    f"cases {earlier!r} ({other}) and {case!r} ({part}) are of one patient; keep a patient in one part"
                )


def check_cases(dataset: Dataset, split: Split, name: str) -> None:
    """Refuse a split that names a case twice, or one that is not there or has no label.

    Raises:
        ConfigError: If it does; ``name`` says where the split comes from.
    """
    known, labelled = {case.id for case in dataset.cases}, {case.id for case in dataset.labelled}
    listed = [*split.training, *split.validation, *split.test]
    for case in listed:
        if case not in labelled:
            what = "has no label" if case in known else "is not in the data set"
            raise ConfigError(f"{name}: case {case!r} {what}")
    if len(set(listed)) != len(listed):
        doubled = next(case for case in listed if listed.count(case) > 1)
        raise ConfigError(f"{name}: case {doubled!r} is named twice")


def _marked(cases: Sequence[CaseFiles], section: SplitSection) -> Split:
    given = {case.patient: case.split for case in cases if case.split}
    marks = {case.id: case.split or given.get(case.patient) or "train" for case in cases}
    parts = {part: [case for case in cases if marks[case.id] == part] for part in ("train", "validation", "test")}
    split = Split(_ids(parts["train"]), _ids(parts["validation"]), _ids(parts["test"]))
    if split.validation:
        return split
    drawn = _drawn(parts["train"], section.model_copy(update={"test": 0.0}))
    return replace(drawn, test=split.test)


def _drawn(cases: Sequence[CaseFiles], section: SplitSection) -> Split:
    patients = sorted({case.patient for case in cases})
    order = [patients[n] for n in np.random.default_rng(section.seed).permutation(len(patients))]
    test = set(order[: _count(section.test, len(order))])
    rest = order[len(test) :]
    validation = set(rest[: _count(section.validation, len(order))])
    return Split(
        _ids(case for case in cases if case.patient not in test | validation),
        _ids(case for case in cases if case.patient in validation),
        _ids(case for case in cases if case.patient in test),
    )


def _count(share: float, patients: int) -> int:
    return max(1, round(share * patients)) if share > 0 and patients > 1 else 0


def _ids(cases: Iterable[CaseFiles]) -> tuple[CaseId, ...]:
    return tuple(case.id for case in cases)
