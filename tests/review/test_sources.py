"""Cases from several sources, and from the demo."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from batch_studies import write_key, write_model
from case_factories import ADMIN, ANN, GRID, KEY, batch_source, config_of, folder_source, nifti_case
from dicom_factories import write_series
from factories import label_map

from medseg.config.review import FolderSource, ReviewConfig
from medseg.core.errors import InputError
from medseg.core.pseudonyms import load_key
from medseg.inference.outcomes import Done, PredictionRun
from medseg.io.formats import read_volume, write_label_map
from medseg.phantom.studies import Protocol, planted_identifiers, write_cohort
from medseg.review import sources
from medseg.review.folder_source import FolderCases
from medseg.review.identifiers import identifiers_of
from medseg.review.open_case import open_case, read_other, read_reference
from medseg.review.sources import CaseFinder, demo_config, find_cases
from medseg.review.stamps import stamp, tree_stamp

SHOWING = ReviewConfig(show_identifiers=True)


def test_no_source_has_no_case():
    assert find_cases(ReviewConfig(), KEY) == []


def test_one_series_from_two_sources_is_one_case_with_outlines_to_compare(tmp_path):
    batch = batch_source(tmp_path)
    (one,) = find_cases(config_of(batch), KEY)
    shutil.copytree(tmp_path / "out", tmp_path / "again")
    second = batch.model_copy(update={"output": tmp_path / "again"})
    folder = FolderSource(kind="folder", images=tmp_path / "in", predictions=one.prediction.parent)
    found = CaseFinder(config_of(folder, batch, second, models=(tmp_path / "model",)), KEY).find()
    (case,) = found.cases
    assert found.notes == ()
    assert case.prediction == one.prediction
    assert case.record.model.name == "tiny"
    assert set(case.others) == {"tiny"}
    opened = open_case(case)
    assert np.array_equal(read_other(opened, "tiny").labels.array, opened.prediction.labels.array)


def test_other_images_of_one_name_need_a_name_for_their_source(tmp_path):
    one, two = folder_source(tmp_path / "a"), folder_source(tmp_path / "b")
    found = CaseFinder(config_of(one, two), KEY).find()
    assert len(found.cases) == 2
    assert found.notes == (
        "source 2: 2 cases have the name of another case; give the source a `name` in the configuration",
    )
    named = CaseFinder(config_of(one, two.model_copy(update={"name": "b"})), KEY).find()
    assert (len(named.cases), named.notes) == (4, ())


def test_the_same_images_with_other_predictions_are_the_same_cases(tmp_path):
    one = folder_source(tmp_path)
    write_label_map(tmp_path / "more" / "one.nii.gz", label_map(GRID, seed=77))
    two = one.model_copy(update={"predictions": tmp_path / "more", "reference": None})
    found = CaseFinder(config_of(one, two), KEY).find()
    case = next(case for case in found.cases if case.identifiers == "one.nii.gz")
    assert (len(found.cases), found.notes) == (2, ())
    assert np.array_equal(read_other(open_case(case), "source 2").labels.array, label_map(GRID, seed=77).array)
    assert read_reference(open_case(case)) is not None


def test_models_that_cannot_be_read_are_notes(tmp_path):
    write_model(tmp_path / "whole")
    for name in ("cut", "odd"):
        shutil.copytree(tmp_path / "whole", tmp_path / name)
    (tmp_path / "cut" / "facts.json").write_text("{")
    (tmp_path / "odd" / "config.yaml").write_text("name: [")
    models = tuple(tmp_path / name for name in ("whole", "cut", "odd", "none"))
    source = folder_source(tmp_path / "data")
    found = CaseFinder(config_of(source, models=models), KEY).find()
    assert len(found.cases) == 2
    assert [note.partition(":")[0] for note in found.notes] == ["model 2", "model 3", "model 4"]
    broken = CaseFinder(config_of(source.model_copy(update={"model": tmp_path / "cut"})), KEY).find()
    assert broken.notes == ("source 1: a model is no bundle, or its configuration, facts or weights cannot be read",)


def test_a_source_that_comes_back_is_found_again(tmp_path):
    source = folder_source(tmp_path)
    finder = CaseFinder(config_of(source), KEY)
    (tmp_path / "predictions").rename(tmp_path / "aside")
    assert (len(finder.find().cases), len(finder.find().notes)) == (0, 1)
    (tmp_path / "aside").rename(tmp_path / "predictions")
    assert (len(finder.find().cases), finder.find().notes) == (2, ())


def test_a_model_that_is_mended_is_read_again(tmp_path):
    model = write_model(tmp_path / "model")
    facts = (model / "facts.json").read_text()
    (model / "facts.json").write_text("{")
    finder = CaseFinder(config_of(folder_source(tmp_path / "data", model=model)), KEY)
    assert len(finder.find().notes) == 1
    (model / "facts.json").write_text(facts)
    assert (len(finder.find().cases), finder.find().notes) == (2, ())


def test_a_broken_source_is_not_searched_at_every_look_but_now_and_then(tmp_path, monkeypatch):
    looks, finder = [], CaseFinder(config_of(folder_source(tmp_path)), KEY)

    def broken(*_) -> None:
        looks.append(1)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FolderCases, "find", broken)
    for _ in range(3):
        assert finder.find().notes == ("source 1: Permission denied",)
    assert len(looks) == 1
    monkeypatch.setattr(sources, "_RETRY_S", -1.0)
    assert finder.find().notes == ("source 1: Permission denied",)
    assert len(looks) == 2


def test_a_tree_shows_what_comes_and_goes_and_does_not_follow_links(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    first = tree_stamp(tmp_path)
    assert tree_stamp(tmp_path) == first
    (tmp_path / "a" / "b" / "new").touch()
    second = tree_stamp(tmp_path)
    assert second != first
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(tree_stamp(tmp_path)) == len(second)
    assert stamp([tmp_path / "none"])[0][1:] == (-1, -1)


# The demo


def write_demo(folder: Path) -> Path:
    """What `medseg demo` leaves behind, as far as the app needs it: two test cases of a cohort, with outlines."""
    manifest = write_cohort(folder / "studies", 2, protocol=Protocol(matrix=24, slice_mm=(20.0, 25.0)))
    rows = list(csv.DictReader(manifest.read_text(encoding="utf-8").splitlines()))
    outcomes = []
    for row in rows:
        for column in ("image.CT", "label"):
            row[column] = f"studies/{row[column]}"
        path = folder / "predictions" / f"{row['case']}.nii.gz"
        write_label_map(path, label_map(read_volume(folder / row["image.CT"]).geometry))
        outcomes.append(Done(row["case"], row["case"], path, {"liver": 1.0}))
    (folder / "predictions" / "predictions.csv").write_text(PredictionRun(tuple(outcomes), ("liver",)).csv())
    shutil.copy(folder / "studies" / "labels.json", folder / "labels.json")
    with (folder / "test.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_model(
        folder / "run" / "bundle", labels={"structures": [{"name": "liver", "value": 1}, {"name": "s", "value": 2}]}
    )
    write_key(folder / "project.key")
    return folder


def test_the_demo_opens_with_predictions_and_references(tmp_path, caplog):
    folder = write_demo(tmp_path)
    config = demo_config(folder)
    found = CaseFinder(config, load_key(config.key)).find()
    assert (len(found.cases), found.notes) == (2, ())
    for case in found.cases:
        opened = open_case(case)
        assert opened.volume.channels == ("CT",)
        assert opened.prediction.labels.array.any()
        assert read_reference(opened).labels.array.any()
        assert case.record.model.name == "tiny"
    shown = f"{found} {opened} {caplog.text}"
    assert not [text for text in planted_identifiers(folder / "studies") if len(text) > 3 and text in shown]
    assert config.folder == folder / "review"
    assert config.login is None


def test_a_folder_without_a_finished_demo_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no finished demo; `medseg demo -o FOLDER` makes one"):
        demo_config(tmp_path)


# Identifiers


def test_identifiers_are_read_only_for_those_who_may_see_them(tmp_path):
    write_series(
        tmp_path / "images", PatientName="Doe^Jane", PatientID="4711", StudyDate="20260102", AccessionNumber=""
    )
    (case,) = find_cases(config_of(FolderSource(kind="folder", images=tmp_path / "images")), KEY)
    found = identifiers_of(case, ADMIN, SHOWING)
    assert (found["patient's name"], found["patient ID"], found["study date"]) == ("Doe^Jane", "4711", "20260102")
    assert "accession number" not in found
    assert not {"Doe^Jane", "4711"} & set(repr(case).split("'"))
    for reader, config in ((ANN, SHOWING), (ADMIN, ReviewConfig())):
        with pytest.raises(InputError, match="may (not )?see identifiers"):
            identifiers_of(case, reader, config)


def test_names_in_other_alphabets_are_read_as_they_are_written(tmp_path):
    common = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Ὀδυσσεύς"}
    write_series(tmp_path / "images", **common)
    (case,) = find_cases(config_of(FolderSource(kind="folder", images=tmp_path / "images")), KEY)
    assert identifiers_of(case, ADMIN, SHOWING)["patient's name"] == "Müller^Ὀδυσσεύς"


def test_files_have_the_name_that_they_came_with(tmp_path):
    case = next(iter(find_cases(config_of(folder_source(tmp_path)), KEY)))
    assert identifiers_of(case, ADMIN, SHOWING) == {"name": "one.nii.gz"}
    assert identifiers_of(nifti_case(tmp_path / "other"), ADMIN, SHOWING) == {}
