from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medseg.config.sections import SplitSection
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError
from medseg.core.labels import LabelScheme
from medseg.data.dataset import CaseFiles, Dataset, ImageFile
from medseg.data.split import make_split
from medseg.data.unlabelled import pretraining_split


def case(name, *, label=True, patient=None, split=None) -> CaseFiles:
    path = Path(name)
    return CaseFiles(CaseId(name), {"CT": ImageFile(path)}, path if label else None, patient or name, split=split)


def dataset(*cases) -> Dataset:
    return Dataset("set", Path(), ("CT",), LabelScheme.from_names({"one": 1}), cases)


def test_unlabelled_cases_train_beside_the_labelled_ones():
    cases = [*(case(f"l{n}") for n in range(6)), *(case(f"u{n}", label=False) for n in range(3))]
    section = SplitSection(validation=0.2, test=0.2)
    split, labelled = pretraining_split(dataset(*cases), section), make_split(dataset(*cases), section)
    assert (split.validation, split.test) == (labelled.validation, labelled.test)
    assert split.training == (*labelled.training, "u0", "u1", "u2")


def test_patients_who_are_measured_on_are_new_to_the_model():
    cases = [
        case("a", split="train", patient="p"),
        case("b", split="test", patient="q"),
        case("c", label=False, patient="q"),
        case("d", label=False, patient="r", split="validation"),
        case("e", label=False, patient="s", split="train"),
    ]
    split = pretraining_split(dataset(*cases), SplitSection(validation=0.0))
    assert split.training == ("a", "e")
    assert split.test == ("b",)


def test_without_any_label_all_are_split():
    cases = [case(f"u{n}", label=False) for n in range(10)]
    split = pretraining_split(dataset(*cases), SplitSection(validation=0.2))
    assert len(split.validation) == 2
    assert {*split.training, *split.validation} == {one.id for one in cases}
    as_labelled = [replace(one, label=Path("x")) for one in cases]
    assert split == make_split(dataset(*as_labelled), SplitSection(validation=0.2))


def test_a_split_that_leaves_nobody_is_refused():
    with pytest.raises(ConfigError, match="leaves no case"):
        pretraining_split(dataset(case("a", label=False), case("b", label=False)), SplitSection(validation=1.0))
