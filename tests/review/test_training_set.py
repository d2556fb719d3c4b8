import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from case_factories import ANN, BOB, SENIOR, scheme
from exported_cases import corrected, dicom_case, house, small_nifti_case

from medseg.core.errors import InputError, LabelError
from medseg.data.layouts import open_dataset
from medseg.data.load import load_label
from medseg.pipelines.plan import PlanOptions, plan
from medseg.review.accepted import accepted_version
from medseg.review.export import ExportRequest, export_case
from medseg.review.open_case import open_case
from medseg.review.records import Decision, Verdict
from medseg.review.training_set import LEFT_OUT, write_training_set


@pytest.fixture
def place(tmp_path):
    made = house(tmp_path)
    with made.store:
        yield made


def decide(place, case, number, verdict=Verdict.ACCEPTED, reader=SENIOR, made=1.7e9):
    place.store.decide(Decision(case.files.name, number, reader.name, verdict, made), reader)


def several(place, tmp_path, count=6):
    """Accepted, corrected cases."""
    cases = []
    for number in range(count):
        case, version = corrected(place, small_nifti_case(tmp_path / f"case{number}", f"case-{number}"))
        decide(place, case, version.number)
        cases.append(case.files)
    return cases


def test_the_data_set_is_what_was_accepted(place, tmp_path):
    cases = several(place, tmp_path)
    made = write_training_set(place, cases, tmp_path / "set", SENIOR)
    dataset = open_dataset(made.manifest)
    assert [one.id for one in dataset.cases] == [one.name for one in cases]
    assert dataset.scheme.names == ("liver", "spleen")
    for files in dataset.cases:
        label = load_label(files, dataset.scheme)
        version = place.store.versions(files.id)[-1]
        assert np.array_equal(label.array, place.vault.get(version.sha256).array)


def test_plan_takes_it_as_it_is(place, tmp_path):
    made = write_training_set(place, several(place, tmp_path), tmp_path / "set", SENIOR)
    found = plan(made.manifest, tmp_path / "run.yaml", PlanOptions(budget="2ep", device="cpu"))
    assert (tmp_path / "run.yaml").is_file()
    assert found.config.labels is not None


def test_cases_that_are_not_settled_are_left_out_with_the_reason(place, tmp_path):
    cases = several(place, tmp_path, 4)
    place.store.decide(Decision(cases[1].name, 1, ANN.name, Verdict.REJECTED, 1.8e9), ANN)
    place.store.decide(Decision(cases[2].name, 1, SENIOR.name, Verdict.NEEDS_WORK, 1.8e9), SENIOR)
    made = write_training_set(place, cases, tmp_path / "set", SENIOR)
    assert made.cases == (cases[0].name, cases[3].name)
    assert made.left_out == {cases[1].name: "its status is disputed", cases[2].name: "its status is needs work"}
    with (tmp_path / "set" / LEFT_OUT).open() as stream:
        assert list(csv.reader(stream))[1:] == [list(one) for one in made.left_out.items()]


def test_two_series_of_one_patient_stay_together(place, tmp_path):
    cases = []
    for number, patient in enumerate(("P1", "P1", "P2")):
        uids = {"StudyInstanceUID": f"1.2.3.{number}", "SeriesInstanceUID": f"1.2.3.{number}.1", "PatientID": patient}
        case, version = corrected(place, dicom_case(tmp_path / f"d{number}", f"series-{number}", **uids))
        decide(place, case, version.number)
        cases.append(case.files)
    made = write_training_set(place, cases, tmp_path / "set", SENIOR)
    rows = json.loads(made.manifest.read_text())["cases"]
    patients = [row["patient"] for row in rows]
    assert patients[0] == patients[1] != patients[2]
    assert not any(name in made.manifest.read_text() for name in ("P1", "P2", "1.2.3."))


def test_the_newest_accepted_version_counts(place, tmp_path):
    case, version = corrected(place, small_nifti_case(tmp_path / "case", "case-x"))
    decide(place, case, 0, made=1.6e9)
    decide(place, case, version.number, reader=BOB, made=1.7e9)
    versions, decisions = place.store.versions(case.files.name), place.store.decisions(case.files.name)
    assert accepted_version(versions, decisions) == version
    assert accepted_version(versions, []) is None


def test_nothing_is_written_without_an_accepted_case_or_a_right(place, tmp_path):
    case, version = corrected(place, small_nifti_case(tmp_path / "case", "case-x"))
    with pytest.raises(InputError, match="no case is accepted"):
        write_training_set(place, [case.files], tmp_path / "set", SENIOR)
    decide(place, case, version.number)
    with pytest.raises(InputError, match="ask a senior"):
        write_training_set(place, [case.files], tmp_path / "set", ANN)
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match="is there already"):
        write_training_set(place, [case.files], tmp_path / "set", SENIOR)


def test_outlines_that_were_drawn_with_other_structures_are_left_alone(place, tmp_path):
    case, version = corrected(place, small_nifti_case(tmp_path / "case", "case-x"))
    decide(place, case, version.number)
    renamed = replace(case.files, scheme=scheme("liver", "kidney"))
    with pytest.raises(LabelError, match="drawn with other structures .*: 'spleen' is none of them"):
        write_training_set(place, [renamed], tmp_path / "set", SENIOR)
    with pytest.raises(LabelError, match="drawn with other structures"):
        export_case(place, open_case(renamed), ExportRequest(version.number), SENIOR)


def test_cases_of_other_structures_do_not_mix(place, tmp_path):
    cases = several(place, tmp_path, 1)
    from case_factories import nifti_case

    (tmp_path / "other").mkdir()
    case, version = corrected(place, nifti_case(tmp_path / "other", "case-z", labels=scheme("liver", "kidney")))
    decide(place, case, version.number)
    with pytest.raises(LabelError, match="other structures"):
        write_training_set(place, [*cases, case.files], tmp_path / "set", SENIOR)
    assert not (tmp_path / "set").exists()
