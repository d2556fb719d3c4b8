"""Cases from the results of a batch: found by its manifest, opened from its files, whatever the manifest says."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_studies import FITS, STUDY_UID, settings, write_model, write_study
from case_factories import KEY, batch_source, config_of, run_batch
from dicom_factories import MARKER, only_series
from factories import bundle

from medseg.batch.manifest import FILE, open_manifest
from medseg.batch.outputs import ResultForm, completed
from medseg.batch.records import Measured, OutputFile, Status, StudyResult
from medseg.batch.work import STUDIES, model_digest
from medseg.config.review import BatchSource
from medseg.core.errors import DataError, GeometryError, InputError, StudyError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.names import SERIES, STUDY, name_of
from medseg.inference.ensemble import ensemble
from medseg.inference.expected import StructureFacts
from medseg.io.dicom_read import read_series
from medseg.io.formats import read_label_map, write_label_map
from medseg.review import study_index
from medseg.review.case_files import CaseFiles
from medseg.review.open_case import open_case, read_reference, read_uncertainty, series_of
from medseg.review.records import Flag, ModelStamp, Origin
from medseg.review.sources import CaseFinder, find_cases
from medseg.review.study_index import StudyImage, StudyIndex

ALL = completed(tuple(ResultForm))


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder with one study and what a batch made of it, in all forms; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    batch_source(folder, forms=ALL)
    return folder


def source_in(folder: Path, **changes) -> BatchSource:
    return BatchSource(kind="batch", output=folder / "out", studies=folder / "in", **changes)


def cases_in(folder: Path, models=(), **changes) -> list[CaseFiles]:
    found = CaseFinder(config_of(source_in(folder, **changes), models=models), KEY).find()
    assert found.notes == ()
    return list(found.cases)


def notes_of(folder: Path, key=KEY, **changes) -> tuple[str, ...]:
    return CaseFinder(config_of(source_in(folder, **changes)), key).find().notes


def result_folder(folder: Path) -> Path:
    return next((folder / "out" / STUDIES).glob("study-*/series-*"))


@contextlib.contextmanager
def manifest_of(folder: Path):
    """The manifest of a model that nobody has."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    with open_manifest(folder / "out", f"{'a' * 64} {KEY.fingerprint}") as manifest:
        manifest.begin({"medseg": "7.1"}, {})
        yield manifest


def a_result(number=0, flags=(), outputs=("labels.nii.gz",), status=Status.DONE, series="") -> StudyResult:
    study, series = KEY.name(STUDY, str(number)), series or KEY.name(SERIES, str(number))
    files = tuple(OutputFile(f"{series}/{name}", 1, "") for name in outputs)
    return StudyResult(study, "1", status, measured=(Measured(series, "liver", 1.0, 1, flags),), outputs=files)


def test_a_series_that_was_predicted_is_a_case_under_its_pseudonym(done):
    (case,) = cases_in(done)
    series = only_series(done / "in")
    labels = read_label_map(result_folder(done) / "labels.nii.gz")
    opened = open_case(case)
    assert case.name == name_of(KEY, SERIES, series.uid)
    assert (case.origin, case.record.origin, case.record.owner) == (Origin.BATCH, Origin.BATCH, "")
    assert opened.volume.geometry.is_close(labels.geometry)
    assert np.array_equal(opened.volume.array, read_series(series).array)
    assert opened.scheme.names == ("one", "two")
    assert [one.uid for one in series_of(case)] == [series.uid]


def test_the_model_is_told_by_its_digest_and_named_if_it_is_known(done):
    digest = model_digest(done / "model")
    (unknown,), (known,) = cases_in(done), cases_in(done, models=(done / "model",))
    assert unknown.record.model == ModelStamp("", f"0.1.0-{digest[:8]}", digest)
    assert known.record.model == ModelStamp("tiny", f"0.1.0-{digest[:8]}", digest)
    assert known.record.made == unknown.record.made
    assert known.record.made is not None
    assert known.scheme.names == ("one", "two")


@pytest.mark.parametrize(
    ("missing", "first"),
    [
        (set(), "labels.seg.nrrd"),
        ({"labels.seg.nrrd"}, "seg_labelmap.dcm"),
        ({"labels.seg.nrrd", "seg_labelmap.dcm"}, "seg.dcm"),
        ({"labels.seg.nrrd", "seg_labelmap.dcm", "seg.dcm"}, "seg_fractional.dcm"),
        ({"labels.seg.nrrd", "seg_labelmap.dcm", "seg.dcm", "seg_fractional.dcm"}, "rtstruct.dcm"),
    ],
)
def test_the_outlines_that_say_most_are_taken_first(tmp_path, missing, first):
    there = {"labels.nii.gz", "labels.seg.nrrd", "seg_labelmap.dcm", "seg.dcm", "seg_fractional.dcm", "rtstruct.dcm"}
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(outputs=tuple(there - missing)))
        manifest.record(a_result(1, outputs=("labels.nii.gz", "preview.jpg")))
    assert {case.prediction.name for case in cases_in(tmp_path)} == {first, "labels.nii.gz"}


def test_a_label_map_is_enough_where_the_model_is_known_and_the_forms_hold_the_same(done):
    (known,), (unknown,) = cases_in(done, models=(done / "model",)), cases_in(done)
    assert (known.prediction.name, unknown.prediction.name) == ("labels.nii.gz", "labels.seg.nrrd")
    labels = open_case(known).prediction.labels.array
    for form in ("labels.seg.nrrd", "seg_labelmap.dcm", "seg.dcm"):
        other = open_case(replace(known, prediction=known.prediction.with_name(form)))
        assert np.array_equal(other.prediction.labels.array, labels)


def test_probabilities_become_uncertainty(done):
    (case,) = cases_in(done)
    found = read_uncertainty(open_case(case))
    assert found.geometry.is_close(open_case(case).volume.geometry)
    assert 0 < found.array.max() <= 1


def test_flags_and_statuses_come_from_the_manifest_and_no_other_file_is_read(tmp_path):
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(1, flags=("missing", "touches the border of the image")))
        manifest.record(a_result(2, status=Status.FAILED))
        manifest.record(a_result(3, status=Status.SKIPPED))
        manifest.record(a_result(4))
    cases = {case.name: case for case in cases_in(tmp_path)}
    assert set(cases) == {KEY.name(SERIES, "1"), KEY.name(SERIES, "4")}
    flagged = cases[KEY.name(SERIES, "1")].record
    assert flagged.flags == (Flag("liver", "missing"), Flag("liver", "touches the border of the image"))
    assert (flagged.model.version, flagged.model.digest) == (f"7.1-{'a' * 8}", "a" * 64)


def test_what_may_not_be_kept_is_taken_out_of_flags(tmp_path):
    odd = ("a\0b\u202ec\nd", "see /home/doe/jane.dcm", "of 1.2.840.113619.2.55", "<script>", "", "x" * 1000)
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(flags=odd))
    (case,) = cases_in(tmp_path)
    texts = [flag.text for flag in case.record.flags]
    assert texts == ["a?b?c d", "see <path>", "of <uid>", "<script>", "x" * 200]


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc", "series-../../x", "series-0000000000000000", "<script>", "", "study-\0"]
)
def test_names_that_the_key_did_not_make_are_no_cases(tmp_path, name):
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(1))
        manifest.record(replace(a_result(2, series=name or " "), outputs=(OutputFile(f"{name}/labels.nii.gz", 1, ""),)))
        manifest.record(replace(a_result(3), name=name or " "))
    found = CaseFinder(config_of(source_in(tmp_path)), KEY).find()
    assert [case.name for case in found.cases] == [KEY.name(SERIES, "1")]
    assert found.notes == ("source 1: 2 results have no outlines or no valid name",)


def test_results_without_outlines_are_no_cases(tmp_path):
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(outputs=("report.dcm", "preview.jpg", "surfaces/liver.stl")))
    assert notes_of(tmp_path) == ("source 1: 1 results have no outlines or no valid name",)


def test_a_batch_of_another_key_is_refused(done):
    (note,) = notes_of(done, ProjectKey(bytes(32)))
    assert note == (
        "source 1: the batch was made with another project key; name that one as `key` in the configuration"
    )


def test_a_manifest_that_is_not_there_or_cut_off_or_nonsense_is_a_note(tmp_path):
    with manifest_of(tmp_path) as manifest:
        for number in range(60):
            manifest.record(a_result(number))
    path, whole = tmp_path / "out" / FILE, (tmp_path / "out" / FILE).read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"no database " * 500):
        path.write_bytes(content)
        (note,) = notes_of(tmp_path)
        assert "damaged" in note
    path.unlink()
    (note,) = notes_of(tmp_path)
    assert note == "source 1: <path> holds no manifest.sqlite, so no batch has run there"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE studies SET status = 'wonderful'",
        "UPDATE results SET flags = 'no json'",
        "UPDATE results SET flags = '7'",
        "UPDATE results SET flags = x'00ff'",
        "UPDATE studies SET ended = 'yesterday'",
        "UPDATE runs SET versions = '[]'",
        "DELETE FROM batch",
        "DROP TABLE outputs",
    ],
)
def test_a_manifest_that_says_what_none_says_is_a_note(tmp_path, change):
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result())
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / FILE)) as connection, connection:
        connection.execute(change)
    found = CaseFinder(config_of(source_in(tmp_path)), KEY).find()
    assert len(found.notes) == 1
    assert "damaged" in found.notes[0]
    assert found.cases == ()


def test_a_manifest_that_grows_is_read_again_and_one_that_broke_leaves_what_was_known(tmp_path):
    finder = CaseFinder(config_of(source_in(tmp_path)), KEY)
    with manifest_of(tmp_path) as manifest:
        manifest.record(a_result(1))
        first = finder.find().cases
        assert len(first) == 1
        assert finder.find().cases[0] is first[0]
        manifest.record(a_result(2))
        assert len(finder.find().cases) == 2
    (tmp_path / "out" / FILE).write_bytes(b"broken")
    found = finder.find()
    assert (len(found.cases), len(found.notes)) == (2, 1)


def test_references_are_found_by_the_pseudonym(tmp_path, done):
    (case,) = cases_in(done, models=(done / "model",))
    labels = read_label_map(case.prediction)
    write_label_map(tmp_path / f"{case.name}.nii.gz", labels)
    write_label_map(tmp_path / "stranger.nii.gz", labels)
    (found,) = cases_in(done, models=(done / "model",), reference=tmp_path)
    assert np.array_equal(read_reference(open_case(found)).labels.array, labels.array)
    (tmp_path / f"{case.name}.nii.gz").unlink()
    shutil.copytree(result_folder(done), tmp_path / case.name, ignore=lambda _, names: set(names) - {"seg.dcm"})
    (found,) = cases_in(done, models=(done / "model",), reference=tmp_path)
    assert np.array_equal(read_reference(open_case(found)).labels.array, labels.array)


def test_a_result_that_a_link_takes_elsewhere_is_refused(tmp_path):
    source = batch_source(tmp_path)
    (case,) = cases_in(tmp_path)
    elsewhere = result_folder(tmp_path).rename(tmp_path / "elsewhere")
    case.prediction.parent.symlink_to(elsewhere)
    assert source.output.exists()
    with pytest.raises(InputError, match=f"case {case.name}: a file lies outside of the folders of its source"):
        open_case(case)


def test_studies_are_not_followed_through_links(tmp_path):
    batch_source(tmp_path)
    (case,) = cases_in(tmp_path)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match="not in the folder of studies any more"):
        open_case(case)


def test_files_that_are_gone_or_changed_are_explained_without_their_names(tmp_path):
    batch_source(tmp_path)
    (case,) = cases_in(tmp_path)
    case.prediction.rename(tmp_path / "aside")
    with pytest.raises(InputError, match=f"^case {case.name}: <path> does not exist$"):
        open_case(case)
    (tmp_path / "aside").rename(case.prediction)
    last = only_series(tmp_path / "in").files[-1]
    last.unlink()
    with pytest.raises(GeometryError, match="lie on different grids: shapes") as caught:
        open_case(case)
    assert MARKER not in str(caught.value)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DataError, match="is not there|is not in its study any more"):
        open_case(case)


def test_a_folder_with_several_studies_mixed_is_searched_file_by_file(tmp_path):
    """The quick look asks one file of each folder; where that misses slices, all files are asked."""
    for number in range(3):
        paths = write_study(tmp_path / "in" / f"tmp{number}", StudyInstanceUID=f"1.2.3.{number}")
        for path in paths:
            path.rename(tmp_path / "in" / f"{number}-{path.name}")
        (tmp_path / "in" / f"tmp{number}").rmdir()
    lone = min((tmp_path / "in").glob("2-*"))
    (tmp_path / "in" / "more").mkdir()
    lone.rename(tmp_path / "in" / "more" / lone.name)
    run_batch(tmp_path, settings(tmp_path))
    cases = cases_in(tmp_path)
    assert len(cases) == 3
    assert [open_case(case).volume.geometry.shape for case in cases] == [(14, 12, 10)] * 3


def test_the_quick_look_asks_one_file_of_a_folder_and_again_only_where_something_changed(tmp_path, monkeypatch):
    for number in range(4):
        write_study(tmp_path / str(number), StudyInstanceUID=f"1.2.3.{number}")
    asked = []
    real = study_index.read_file_identity
    monkeypatch.setattr(study_index, "read_file_identity", lambda path: asked.append(path) or real(path))
    monkeypatch.setattr(study_index, "_SECONDS_BETWEEN_LOOKS", 0.0)
    index, names = StudyIndex(tmp_path, KEY), [name_of(KEY, STUDY, f"1.2.3.{number}") for number in range(5)]
    assert [len(index.files(name)) for name in names[:4]] == [FITS.slices] * 4
    assert len(asked) == 4
    write_study(tmp_path / "4", StudyInstanceUID="1.2.3.4")
    assert len(index.files(names[4])) == FITS.slices
    assert len(asked) == 5
    with pytest.raises(StudyError, match="not in the folder of studies"):
        index.files(KEY.name(STUDY, "nobody"))
    assert len(index.files(names[4], thorough=True)) == FITS.slices
    assert "1.2.3" not in repr(index)


def test_a_damaged_file_does_not_hide_the_study_of_its_folder(tmp_path):
    paths = write_study(tmp_path)
    (tmp_path / "0").write_bytes(b"text")
    (tmp_path / "1").write_bytes(b"\0" * 128 + b"DICM\x08\x00\x18\x00UI\xff\xff")
    (tmp_path / "2").touch()
    index = StudyIndex(tmp_path, KEY)
    assert set(index.files(name_of(KEY, STUDY, STUDY_UID))) >= set(paths)
    series = StudyImage(index, KEY, name_of(KEY, STUDY, STUDY_UID), KEY.name(SERIES, "another"))
    with pytest.raises(StudyError, match="the series of this case is not in its study any more"):
        series.read()


def test_a_model_of_two_channels_shows_both_if_it_is_known(tmp_path):
    write_model(tmp_path / "model", channels=[{"name": "T1"}, {"name": "T2"}])
    for seed, name in enumerate(("T1", "T2")):
        common = {"Modality": "MR", "SeriesDescription": name, "SeriesInstanceUID": f"1.2.3.{seed}"}
        write_study(tmp_path / "in" / name, low=-900 + seed, **common)
    run_batch(tmp_path, settings(tmp_path))
    (known,), (unknown,) = cases_in(tmp_path, models=(tmp_path / "model",)), cases_in(tmp_path)
    opened = open_case(known).volume
    assert known.name == name_of(KEY, SERIES, "1.2.3.0")
    assert opened.channels == ("T1", "T2")
    assert not np.array_equal(opened.array[0], opened.array[1])
    assert [one.uid for one in series_of(known)] == ["1.2.3.0", "1.2.3.1"]
    assert np.array_equal(open_case(unknown).volume.array, opened.array[:1])


def test_a_batch_that_filled_gaps_shows_them_filled_and_says_so(tmp_path):
    write_study(tmp_path / "in")
    only_series(tmp_path / "in").files[4].unlink()
    run_batch(tmp_path, settings(tmp_path, fill_gaps=True))
    (case,) = cases_in(tmp_path)
    assert open_case(case).notes == ("1 of 10 slices is missing and shown interpolated",)


def test_what_training_was_like_is_known_from_the_bundle(tmp_path):
    model = bundle()
    facts = StructureFacts(
        cases=6, share=1, smallest_ml=1, largest_ml=2, mean_ml=1.5, deviation_ml=0.1, most_components=1, border_share=0
    )
    changed = model.facts.model_copy(update={"structures": {"one": facts}})
    write_model(tmp_path / "model", replace(model, facts=changed))
    write_study(tmp_path / "in")
    run_batch(tmp_path, settings(tmp_path))
    (case,) = cases_in(tmp_path, models=(tmp_path / "model",))
    assert case.facts == {"one": facts}


def test_a_batch_of_a_model_of_several_networks_finds_its_model(tmp_path):
    one = bundle()
    facts = StructureFacts(
        cases=6, share=1, smallest_ml=1, largest_ml=2, mean_ml=1.5, deviation_ml=0.1, most_components=1, border_share=0
    )
    known = replace(one, facts=one.facts.model_copy(update={"structures": {"one": facts}}))
    write_model(tmp_path / "model", ensemble([known, bundle(dims=2)]))
    write_study(tmp_path / "in")
    run_batch(tmp_path, settings(tmp_path))
    (case,) = cases_in(tmp_path, models=(tmp_path / "model",))
    assert case.facts == {"one": facts}
    (tmp_path / "model" / "members" / "1").rename(tmp_path / "model" / "members" / "7")
    found = CaseFinder(config_of(source_in(tmp_path), models=(tmp_path / "model",)), KEY).find()
    assert found.notes == ("model 1: a model is no bundle, or its configuration, facts or weights cannot be read",)
    assert found.cases[0].facts == {}


def test_nothing_of_a_patient_is_in_what_is_logged_or_shown(done, tmp_path, caplog):
    cases = find_cases(config_of(source_in(done), source_in(tmp_path / "Doe_Jane")), KEY)
    assert MARKER not in repr(cases)
    assert str(done) not in repr(cases)
    assert "Doe" not in caplog.text
    assert "source 2" in caplog.text
