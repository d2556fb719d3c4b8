from __future__ import annotations

import numpy as np
import pydicom
import pytest
from deid_factories import SECRETS, fixed_key, write_study
from PIL import Image

from medseg.config.deid import DeidProfile, KeptAttribute, Option
from medseg.core.errors import DeidError, OutputError
from medseg.deid import study as study_module
from medseg.deid.head_series import FaceStep
from medseg.deid.index import read_index
from medseg.deid.pixels import PixelOutcome, PixelResult
from medseg.deid.records import UnitRecord
from medseg.deid.study import Job, StudyTask, clean_study, read_object

KEY = fixed_key()
CODES = {Option.CLEAN_PIXEL_DATA: "113101", Option.CLEAN_VISUAL_FEATURES: "113102"}


def task(tmp_path, **changes):
    index = read_index(tmp_path / "in", KEY)
    job = Job(
        **{
            "profile": DeidProfile(),
            "key": KEY,
            "root": tmp_path / "in",
            "staging": tmp_path / "s",
            **changes,
            "settings": "t",
        }
    )
    return StudyTask(index.studies[0], "stamp", job)


def outcome(result=PixelResult.SEARCHED, claims=(), preview=None, reason=""):
    return PixelOutcome(result, reason, 0, preview, frozenset(claims))


def with_pixels(monkeypatch, found):
    monkeypatch.setattr(study_module, "clean_pixels", lambda file, *_, **__: (file, found))


def released(tmp_path):
    return [pydicom.dcmread(path) for path in sorted((tmp_path / "s").glob("*/release/**/*.dcm"))]


def codes(dataset):
    return {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}


def test_each_file_is_told_and_counted(tmp_path):
    write_study(tmp_path / "in")
    steps = []
    record = clean_study(task(tmp_path), lambda: steps.append(1))
    assert isinstance(record, UnitRecord)
    assert (len(steps), record.files, record.released, record.stamp, record.settings) == (2, 2, 2, "stamp", "t")
    assert record.actions["00100010"] == {"pseudonym": 2}
    (series,) = record.series
    assert (series.modality, series.path) == ("CT", f"{record.paths[0]}/{series.name}")


@pytest.mark.parametrize("claimed", [(), (Option.CLEAN_PIXEL_DATA,), tuple(CODES)])
def test_only_steps_that_ran_are_claimed(tmp_path, monkeypatch, claimed):
    write_study(tmp_path / "in")
    with_pixels(monkeypatch, outcome(claims={Option.CLEAN_PIXEL_DATA} & set(claimed)))
    faces = frozenset({Option.CLEAN_VISUAL_FEATURES} & set(claimed))
    monkeypatch.setattr(study_module, "face_step", lambda *_: FaceStep(claims=faces))
    clean_study(task(tmp_path, profile=DeidProfile(options=frozenset(CODES))), lambda: None)
    for dataset in released(tmp_path):
        assert codes(dataset) & set(CODES.values()) == {CODES[option] for option in claimed}


def test_changed_files_of_the_face_step_are_the_ones_that_are_written(tmp_path, monkeypatch):
    paths = write_study(tmp_path / "in")
    files = {path: read_object(path) for path in paths}
    for file in files.values():
        file.dataset.PixelData = bytes(len(file.dataset.PixelData))
    monkeypatch.setattr(study_module, "face_step", lambda *_: FaceStep(files=files))
    clean_study(task(tmp_path), lambda: None)
    assert all(not any(dataset.PixelData) for dataset in released(tmp_path))
    assert files == {}


def test_a_series_with_its_face_is_held_back_or_noted(tmp_path, monkeypatch):
    write_study(tmp_path / "in")
    monkeypatch.setattr(study_module, "face_step", lambda *_: FaceStep(problem="a face"))
    record = clean_study(task(tmp_path), lambda: None)
    assert (record.quarantined, record.released, record.paths) == ({"a face": 2}, 0, ())
    monkeypatch.setattr(study_module, "face_step", lambda *_: FaceStep(note="a face"))
    record = clean_study(task(tmp_path), lambda: None)
    assert (record.notes, record.released) == ({"a face": 1}, 2)


def test_a_series_whose_face_breaks_the_search_is_held_back(tmp_path, monkeypatch):
    write_study(tmp_path / "in")

    def fail(*_):
        raise RuntimeError(SECRETS[0])

    monkeypatch.setattr(study_module, "face_step", fail)
    assert clean_study(task(tmp_path), lambda: None).quarantined == {"unexpected RuntimeError": 2}


def test_a_doubtful_image_comes_with_its_picture(tmp_path, monkeypatch):
    write_study(tmp_path / "in")
    picture = np.full((5, 7, 3), 9, np.uint8)
    with_pixels(monkeypatch, outcome(PixelResult.DOUBTFUL, preview=picture, reason="a doubt"))
    record = clean_study(task(tmp_path), lambda: None)
    assert record.quarantined == {"a doubt": 2}
    previews = sorted((tmp_path / "s").glob("*/held/*.png"))
    assert len(previews) == 2
    with Image.open(previews[0]) as shown:
        assert shown.size == (7, 5)


def test_objects_without_pixels_are_no_series_of_images(tmp_path, monkeypatch):
    write_study(tmp_path / "in")
    with_pixels(monkeypatch, outcome(PixelResult.NO_PIXELS))
    record = clean_study(task(tmp_path), lambda: None)
    assert (record.released, record.series) == (2, ())


def test_a_modality_that_is_none_is_called_other(tmp_path):
    write_study(tmp_path / "in", Modality="")
    record = clean_study(task(tmp_path), lambda: None)
    assert [series.modality for series in record.series] == ["OT"]


def test_banded_attributes_come_from_the_original_and_not_from_what_identifies(tmp_path):
    kept = (KeptAttribute.MODEL, KeptAttribute.SEX)
    write_study(tmp_path / "in", ManufacturerModelName=SECRETS[4], StationName=SECRETS[4])
    record = clean_study(task(tmp_path, profile=DeidProfile(keep_in_manifest=kept)), lambda: None)
    assert record.series[0].attributes == {"sex": "F", "model": ""}


def test_a_file_that_went_away_is_held_back(tmp_path):
    paths = write_study(tmp_path / "in")
    work = task(tmp_path)
    paths[0].write_text("no DICOM any more")
    paths[1].unlink()
    record = clean_study(work, lambda: None)
    assert record.quarantined == {
        "the file is no DICOM object any more": 1,
        "a file cannot be read (No such file or directory)": 1,
    }


def test_what_a_killed_process_left_is_not_released(tmp_path):
    write_study(tmp_path / "in")
    work = task(tmp_path)
    (tmp_path / "s" / work.unit / "release" / "left").mkdir(parents=True)
    clean_study(work, lambda: None)
    assert not (tmp_path / "s" / work.unit / "release" / "left").exists()


def test_a_full_disk_ends_the_job(tmp_path, monkeypatch):
    write_study(tmp_path / "in")

    def full(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(study_module, "write_staged", full)
    with pytest.raises(OutputError, match="the disk is full"):
        clean_study(task(tmp_path), lambda: None)


def test_a_study_of_several_patients_is_never_cleaned(tmp_path):
    write_study(tmp_path / "in" / "a")
    write_study(tmp_path / "in" / "b", PatientID="other", SeriesInstanceUID="1.2.3")
    record = clean_study(task(tmp_path), lambda: None)
    assert record.released == 0


def test_what_an_error_says_is_not_told_unless_it_is_ours():
    assert study_module.unexpected(ValueError(SECRETS[0])) == "unexpected ValueError"
    assert study_module.unexpected(DeidError("nested in /a/b.dcm")) == "nested in <path>"
