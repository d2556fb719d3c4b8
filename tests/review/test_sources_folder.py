"""Cases from folders and data sets: every way that images and outlines lie, and what is wrong with them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from case_factories import GRID, KEY, SCHEME, config_of, folder_source, write_predictions
from dataset_factories import msd, nnunet, pairs
from dicom_factories import MARKER, only_series, write_series
from factories import bundle, label_map, volume
from hypothesis import given
from hypothesis import strategies as st

from medseg.config.review import FolderSource
from medseg.core.volume import Volume
from medseg.deid.names import SERIES, name_of
from medseg.inference.bundle import BundleRecords, write_bundle
from medseg.inference.expected import StructureFacts
from medseg.io.formats import write_label_map, write_volume
from medseg.phantom.sequences import write_sequences
from medseg.review.case_files import CaseFiles, FoundCases
from medseg.review.open_case import open_case, read_other, read_reference, read_uncertainty, series_of
from medseg.review.records import Flag, ModelStamp, Origin
from medseg.review.sources import CaseFinder

FACTS = StructureFacts(
    cases=9, share=1, smallest_ml=1, largest_ml=2, mean_ml=1.5, deviation_ml=0.1, most_components=1, border_share=0
)


def find(source: FolderSource, key=KEY) -> FoundCases:
    return CaseFinder(config_of(source), key).find()


def cases_of(source: FolderSource) -> dict[str, CaseFiles]:
    """The cases of a source that is whole, by what they were called."""
    found = find(source)
    assert found.notes == ()
    return {case.identifiers: case for case in found.cases}


def images_only(folder: Path, **changes) -> FolderSource:
    return FolderSource(kind="folder", images=folder, **changes)


def test_images_with_predictions_and_references_are_cases_under_pseudonyms(tmp_path):
    cases = cases_of(folder_source(tmp_path))
    assert set(cases) == {"one.nii.gz", "two.nii.gz"}
    case = cases["two.nii.gz"]
    opened = open_case(case)
    assert case.name == case.record.name == KEY.name("case", "two")
    assert case.origin is case.record.origin is Origin.FOLDER
    assert np.array_equal(opened.volume.array, volume(GRID, seed=1).array)
    assert np.array_equal(opened.prediction.labels.array, label_map(GRID, seed=1).array)
    assert np.array_equal(read_reference(opened).labels.array, label_map(GRID, seed=51).array)
    assert opened.scheme.names == SCHEME.names
    assert case.record.made == case.prediction.stat().st_mtime
    assert (case.record.model, case.record.flags, case.record.owner) == (ModelStamp(), (), "")


def test_nothing_but_images_is_enough(tmp_path):
    folder_source(tmp_path)
    cases = cases_of(images_only(tmp_path / "images"))
    assert [case.prediction for case in cases.values()] == [None, None]
    assert open_case(cases["one.nii.gz"]).scheme.names == ("structure 1",)
    (alone,) = find(images_only(tmp_path / "images" / "one.nii.gz")).cases
    assert alone.name == cases["one.nii.gz"].name


def test_no_voxel_is_read_for_the_list(tmp_path, monkeypatch):
    source = folder_source(tmp_path)

    def refuse(path: Path) -> Volume:
        raise AssertionError(path)

    for reader in ("medseg.io.formats.read_nifti", "medseg.data.images.read_volume", "medseg.data.load.read_volume"):
        monkeypatch.setattr(reader, refuse)
    assert len(cases_of(source)) == 2
    (tmp_path / "labels.json").unlink()
    assert len(cases_of(source.model_copy(update={"labels": None}))) == 2
    (tmp_path / "data" / "labels").mkdir(parents=True)
    (tmp_path / "images").rename(tmp_path / "data" / "images")
    table = tmp_path / "data" / "manifest.csv"
    table.write_text("case,image.CT,label\na,images/one.nii.gz,images/two.nii.gz\n", encoding="utf-8")
    assert len(cases_of(images_only(table))) == 1


def test_predictions_without_a_table_go_by_their_names_and_a_failed_case_has_none(tmp_path):
    source = folder_source(tmp_path)
    (tmp_path / "predictions" / "predictions.csv").unlink()
    assert all(case.prediction for case in cases_of(source).values())
    rows = [["one", "one.nii.gz", "failed", "no memory", "", "", ""], ["two", "x", "done", "", "two.nii.gz", "1", "2"]]
    write_predictions(tmp_path / "predictions", rows)
    cases = cases_of(source)
    assert (cases["one.nii.gz"].prediction, cases["two.nii.gz"].prediction.name) == (None, "two.nii.gz")
    (tmp_path / "predictions" / "two.nii.gz").unlink()
    (tmp_path / "predictions" / "predictions.csv").touch()
    assert cases_of(source)["two.nii.gz"].prediction is None


def test_uncertainty_lies_beside_the_prediction(tmp_path):
    source = folder_source(tmp_path)
    entropy = np.full((1, *GRID.shape), 0.25, np.float32)
    write_volume(
        tmp_path / "predictions" / "one_probabilities.nii.gz", Volume(np.repeat(entropy, 2, 0), GRID, ("a", "b"))
    )
    cases = cases_of(source)
    assert cases["one.nii.gz"].uncertainty.name == "one_probabilities.nii.gz"
    assert cases["two.nii.gz"].uncertainty is None
    write_volume(tmp_path / "predictions" / "one_entropy.nii.gz", Volume(entropy, GRID))
    case = cases_of(source)["one.nii.gz"]
    assert np.array_equal(read_uncertainty(open_case(case)).array, entropy)


def test_outlines_of_others_are_there_by_their_label(tmp_path):
    source = folder_source(tmp_path)
    others = {"Reader <2>": tmp_path / "reference", "nobody": tmp_path / "none"}
    (tmp_path / "none").mkdir()
    case = cases_of(source.model_copy(update={"others": others}))["one.nii.gz"]
    assert list(case.others) == ["Reader <2>"]
    assert np.array_equal(read_other(open_case(case), "Reader <2>").labels.array, label_map(GRID, seed=50).array)


def test_dicom_series_go_by_the_pseudonym_that_everything_gives_them(tmp_path):
    write_series(tmp_path / "images" / "a")
    write_series(tmp_path / "images" / "b" / "deep")
    series = only_series(tmp_path / "images" / "a")
    name = name_of(KEY, SERIES, series.uid)
    grid = series.geometry
    write_label_map(tmp_path / "predictions" / f"{name}.nii.gz", label_map(grid, seed=3))
    found = find(images_only(tmp_path / "images", predictions=tmp_path / "predictions"))
    case = next(case for case in found.cases if case.name == name)
    assert len(found.cases) == 2
    assert np.array_equal(open_case(case).prediction.labels.array, label_map(grid, seed=3).array)
    assert MARKER not in repr(found)


def test_an_image_that_is_called_by_a_pseudonym_of_the_key_keeps_it(tmp_path):
    name = KEY.name(SERIES, "something")
    folder_source(tmp_path, (name, "series-0123456789abcdef"))
    cases = cases_of(images_only(tmp_path / "images"))
    assert cases[f"{name}.nii.gz"].name == name
    assert cases["series-0123456789abcdef.nii.gz"].name == KEY.name("case", "series-0123456789abcdef")


@given(st.text(max_size=20), st.text(max_size=20))
def test_pseudonyms_differ_as_names_and_sources_do(one, other):
    same = KEY.name("case", one) == KEY.name("case", other)
    assert same == (one == other)


@pytest.mark.parametrize("make", [msd, nnunet, pairs])
def test_data_sets_bring_their_channels_labels_and_names(tmp_path, make):
    make(tmp_path)
    found = find(images_only(tmp_path))
    assert (found.notes, len(found.cases)) == ((), 2)
    opened = open_case(found.cases[0])
    assert opened.scheme.names == ("one", "two")
    assert opened.volume.channels == {msd: ("MRI",), nnunet: ("T1", "T2"), pairs: ("image",)}[make]
    assert not opened.prediction.labels.array.any()
    assert read_reference(opened).labels.array.any()
    assert found.cases[0].identifiers == "a.nii.gz" or make is nnunet


def test_channels_that_are_dicom_are_series(tmp_path):
    common = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    for name in ("t1", "t2"):
        write_series(tmp_path / name, SeriesInstanceUID=f"1.2.3.{name[1]}", **common)
    write_volume(tmp_path / "t3.nii.gz", volume(GRID))
    (tmp_path / "manifest.csv").write_text("case,image.T1,image.T2\na,t1,t2\n", encoding="utf-8")
    (case,) = find(images_only(tmp_path / "manifest.csv")).cases
    assert [one.uid for one in series_of(case)] == ["1.2.3.1", "1.2.3.2"]
    assert open_case(case).volume.channels == ("T1", "T2")
    (tmp_path / "manifest.csv").write_text("case,image.T1,image.T2\na,t1,t3.nii.gz\n", encoding="utf-8")
    (case,) = find(images_only(tmp_path / "manifest.csv")).cases
    assert series_of(case) == ()


def test_one_file_may_be_all_the_outlines_there_are(tmp_path):
    source = folder_source(tmp_path)
    one = tmp_path / "predictions" / "one.nii.gz"
    cases = cases_of(source.model_copy(update={"predictions": one, "others": {"a": one}}))
    assert cases["one.nii.gz"].prediction == one
    assert cases["two.nii.gz"].prediction is None


def test_names_of_values_may_lie_beside_the_outlines(tmp_path):
    source = folder_source(tmp_path).model_copy(update={"labels": None, "reference": None})
    (tmp_path / "labels.json").rename(tmp_path / "predictions" / "labels.json")
    assert cases_of(source)["one.nii.gz"].scheme.names == SCHEME.names
    (tmp_path / "predictions" / "labels.json").unlink()
    assert cases_of(source)["one.nii.gz"].scheme is None


def test_values_of_a_reference_data_set_are_matched_by_its_own_names(tmp_path):
    source = folder_source(tmp_path / "mine")
    for case in ("one", "two"):
        write_volume(tmp_path / "other" / f"{case}.nii.gz", volume(GRID))
        write_label_map(tmp_path / "other" / f"{case}-label.nii.gz", label_map(GRID, (0, 1, 2, 3), seed=9))
    cases = [
        {"id": case, "images": {"CT": f"{case}.nii.gz"}, "label": f"{case}-label.nii.gz"} for case in ("one", "two")
    ]
    tree = {"labels": {"spleen": 1, "heart": 2, "liver": 3}, "cases": cases}
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(tree), encoding="utf-8")
    model = write_model_with_facts(tmp_path / "model")
    source = source.model_copy(update={"labels": None, "model": model, "reference": tmp_path / "other"})
    case = cases_of(source)["one.nii.gz"]
    drawn = label_map(GRID, (0, 1, 2, 3), seed=9).array
    expected = np.select([drawn == 3, drawn == 1], [1, 2])
    assert np.array_equal(read_reference(open_case(case)).labels.array, expected)


def write_model_with_facts(folder: Path) -> Path:
    labels = {"structures": [{"name": name, "value": value} for value, name in enumerate(SCHEME.names, start=1)]}
    model = bundle(labels=labels)
    facts = model.facts.model_copy(update={"structures": dict.fromkeys(SCHEME.names, FACTS)})
    write_bundle(folder, replace(model, facts=facts), BundleRecords({}, {}))
    return folder


def test_with_the_model_known_odd_volumes_are_flags(tmp_path):
    source = folder_source(tmp_path, model=write_model_with_facts(tmp_path / "model"))
    rows = [
        ["one", "x", "done", "predicted although it measures 9 mm", "one.nii.gz", "30.5", "0"],
        ["two", "x", "done", "", "two.nii.gz", "1.5", "nonsense"],
    ]
    write_predictions(tmp_path / "predictions", rows)
    cases = cases_of(source)
    assert cases["one.nii.gz"].record.flags == (
        Flag("", "predicted although it measures 9 mm"),
        Flag("liver", "volume 30.5 mL, 1 to 2 in training"),
        Flag("spleen", "missing"),
    )
    assert cases["two.nii.gz"].record.flags == ()
    assert cases["two.nii.gz"].record.model.name == "tiny"


@pytest.mark.parametrize("cell", ["../secret.nii.gz", "/etc/passwd", "a/../../secret.nii.gz"])
def test_a_table_may_not_name_files_outside_of_its_folder(tmp_path, cell):
    source = folder_source(tmp_path)
    write_predictions(tmp_path / "predictions", [["one", "one.nii.gz", "done", "", cell, "", ""]])
    (note,) = find(source).notes
    assert "leaves its folder" in note
    assert "secret" not in note
    table = tmp_path / "images" / "manifest.csv"
    table.write_text(f"case,image.CT\none,{cell}\n", encoding="utf-8")
    (note,) = find(images_only(table)).notes
    assert "leaves its folder" in note


def test_a_link_that_leads_out_is_listed_and_refused_when_it_is_opened(tmp_path):
    source = folder_source(tmp_path / "a")
    write_volume(tmp_path / "secret.nii.gz", volume(GRID))
    (tmp_path / "a" / "images" / "one.nii.gz").unlink()
    (tmp_path / "a" / "images" / "one.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    case = cases_of(source)["one.nii.gz"]
    with pytest.raises(Exception, match=f"^case {case.name}: a file lies outside of the folders of its source"):
        open_case(case)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: (folder / "images").rename(folder / "gone"),
        lambda folder: (folder / "predictions").rename(folder / "gone"),
        lambda folder: (folder / "reference").rename(folder / "gone"),
        lambda folder: (folder / "labels.json").write_text("{"),
        lambda folder: (folder / "labels.json").write_text('{"liver": -4}'),
        lambda folder: (folder / "predictions" / "predictions.csv").write_text("no\ntable\n"),
        lambda folder: (folder / "predictions" / "predictions.csv").write_bytes(b"\xff\xfe\x00case"),
        lambda folder: (folder / "predictions" / "predictions.csv").write_text('case,output\n"one'),
        lambda folder: (folder / "images" / "dataset.json").write_text("[1, 2"),
        lambda folder: [path.unlink() for path in (folder / "images").iterdir()],
    ],
)
def test_a_broken_source_is_a_note_and_the_others_work(tmp_path, break_it):
    broken, whole = folder_source(tmp_path / "Doe_Jane", ("Doe_1", "Doe_2")), folder_source(tmp_path / "whole")
    break_it(tmp_path / "Doe_Jane")
    found = CaseFinder(config_of(broken, whole.model_copy(update={"name": "whole"})), KEY).find()
    assert [case.identifiers for case in found.cases if "Doe" not in case.identifiers] == ["one.nii.gz", "two.nii.gz"]
    assert all(note.startswith("source 1: ") and "Doe" not in note for note in found.notes)
    assert found.notes or len(found.cases) == 4  # a quote that nobody closes ends with the file


def test_names_of_patients_are_in_no_note_even_where_the_data_set_lists_them(tmp_path):
    pairs(tmp_path, ("Doe_Jane", "roe"))
    (tmp_path / "labels" / "Doe_Jane.nii.gz").unlink()
    (tmp_path / "labels" / "roe.nii.gz").unlink()
    (note,) = find(images_only(tmp_path)).notes
    assert "have no partner in labels/" in note
    assert not {"Doe", "Jane", "roe"} & set(note.replace(",", " ").replace("_", " ").split())


def test_markup_in_names_stays_text(tmp_path):
    source = folder_source(tmp_path, ("<script>alert(1)<", "b"))
    case = cases_of(source)["<script>alert(1)<.nii.gz"]
    assert "<script>" not in repr(case)
    assert case.name == KEY.name("case", "<script>alert(1)<")
    assert open_case(case).volume.geometry.is_close(GRID)


def test_files_that_are_no_images_are_passed_over(tmp_path):
    folder_source(tmp_path)
    for name, content in (
        ("notes.txt", b"text"),
        (".hidden.nii.gz", b"x"),
        ("cut.nii.gz", b"\x1f\x8b"),
        ("empty.nii", b""),
    ):
        (tmp_path / "images" / name).write_bytes(content)
    assert set(cases_of(images_only(tmp_path / "images"))) == {"one.nii.gz", "two.nii.gz"}


def test_a_source_is_looked_at_again_when_it_has_changed(tmp_path):
    source = folder_source(tmp_path)
    finder = CaseFinder(config_of(source), KEY)
    first = finder.find().cases
    assert finder.find().cases[0] is first[0]
    write_volume(tmp_path / "images" / "three.nii.gz", volume(GRID))
    assert len(finder.find().cases) == 3
    with (tmp_path / "predictions" / "predictions.csv").open("a", encoding="utf-8", newline="") as table:
        csv.writer(table).writerow(["three", "three.nii.gz", "done", "", "one.nii.gz", "", ""])
    assert all(case.prediction for case in finder.find().cases)


def test_a_case_of_a_manifest_may_lack_channels_or_have_them_on_several_grids(tmp_path):
    manifest = write_sequences(tmp_path / "heads", cases=2, lacking=[(1, "FLAIR")])
    cases = cases_of(images_only(manifest))
    channels = {name: open_case(case).volume.channels for name, case in cases.items()}
    assert sorted(channels.values()) == [("T1", "T2"), ("T1", "T2", "FLAIR")]
