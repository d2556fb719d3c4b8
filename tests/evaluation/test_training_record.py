import json
from dataclasses import dataclass, replace

import pytest
from dataset_factories import dataset, listed

from medseg.core.case import CaseId
from medseg.core.errors import ReadError
from medseg.data.split import Split
from medseg.evaluation.dice_sheet import validation_sheet
from medseg.evaluation.score_sheet import Basis
from medseg.evaluation.training_record import RECORD, TrainingRun, read_record, training_record

PATIENTS = {f"c{n}": f"MARKER patient {n // 2}" for n in range(24)}


@dataclass(frozen=True)
class Row:
    case: CaseId
    structure: str
    dice: float


def record():
    plain = listed(PATIENTS)
    cases = [replace(one, attributes={"sex": "FM"[n // 2 % 2]}) for n, one in enumerate(plain.cases)]
    ids = [one.id for one in cases]
    run = TrainingRun(epochs=3, steps=150, seconds=61.5, device="CPU")
    scores = [Row(case, "one", 0.5 + n / 100) for n, case in enumerate(ids)]
    split = Split(tuple(ids), (), ())
    opened = dataset(plain.folder, cases)
    return training_record(opened, split, [run], validation_sheet(scores, opened))


def test_a_record_tells_of_patients_in_numbers_only(tmp_path):
    made = record()
    assert made.cohort.attributes["sex"].groups == {"F": 6, "M": 6}
    assert (made.scores.patients, made.scores.cases) == (12, 24)
    assert [group.patients for group in made.scores.attributes[0].groups] == [6, 6]
    text = made.model_dump_json()
    assert "MARKER" not in text
    assert '"c3"' not in text
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path) == made


def test_without_validation_cases_there_are_no_scores():
    plain = listed(PATIENTS)
    made = training_record(plain, Split(tuple(map(CaseId, PATIENTS)), (), ()), [], None)
    assert made.scores is None
    assert made.cohort.parts["train"].patients == 12


def test_a_bundle_of_an_older_version_tells_what_it_knows(tmp_path):
    rows = [{"case": f"c{n}", "structure": "one", "dice": None if n == 4 else 0.8} for n in range(5)]
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a", "b"], "validation": ["c0"], "test": []}))
    (tmp_path / "scores.json").write_text(json.dumps({"validation": rows, "summary": []}))
    found = read_record(tmp_path)
    assert {name: (one.cases, one.patients) for name, one in found.cohort.parts.items()} == {
        "train": (2, None), "validation": (1, None),
    }  # fmt: skip
    assert found.scores.structures[0].means["dice"].cases == 4
    assert found.scores.basis is Basis.VALIDATION


def test_a_folder_without_any_of_it(tmp_path):
    found = read_record(tmp_path)
    assert (found.cohort.parts, found.runs, found.scores) == ({}, (), None)


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(ReadError, match=r"training.json: cohort: field required"):
        read_record(tmp_path)
