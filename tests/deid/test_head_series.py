from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from deid_factories import change, write_study
from dicom_factories import Grid

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import DeidError
from medseg.deid import head_series
from medseg.deid.head_series import NOT_TAKEN_OUT, UNTOUCHED, face_step

OPTION = Option.CLEAN_VISUAL_FEATURES
DEFACING = DeidProfile(options=frozenset({OPTION}))
STRICT = DeidProfile(options=frozenset({OPTION}), quarantine_faces="quarantine")


@pytest.fixture
def head(monkeypatch):
    """Every series is a head; what its face is asked for is kept."""
    asked = []

    def is_head(modality, body_part, description, grid):
        asked.append((modality, body_part, description, grid))
        return True

    monkeypatch.setattr(head_series, "is_head", is_head)
    return asked


@pytest.fixture
def defaced(monkeypatch):
    files = []

    def deface(given):
        files.extend(replace(file) for file in given)
        return files

    monkeypatch.setattr(head_series, "deface_series", deface)
    return files


def test_a_head_is_told_by_its_header_and_grid(tmp_path, head):
    paths = write_study(tmp_path, BodyPartExamined="HEAD", SeriesDescription="t1")
    face_step(paths, DeidProfile())
    ((modality, body_part, description, grid),) = head
    assert (modality, body_part, description) == ("CT", "HEAD", "t1")
    assert grid.shape == (8, 6, 2)


def test_a_series_without_a_grid_is_asked_for_all_the_same(tmp_path, head):
    face_step(write_study(tmp_path, ImageOrientationPatient=None), DeidProfile())
    assert head[0][3] is None


def test_what_is_no_head_goes_on_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(head_series, "is_head", lambda *_: False)
    step = face_step(write_study(tmp_path), STRICT)
    assert (step.files, step.claims, step.problem, step.note) == ({}, frozenset(), "", "")


def test_other_modalities_and_broken_files_are_not_asked_for(tmp_path, head):
    face_step(write_study(tmp_path / "a", Modality="US"), STRICT)
    (tmp_path / "text").write_text("no DICOM")
    face_step([tmp_path / "text"], STRICT)
    paths = write_study(tmp_path / "b")
    paths[0].write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00OB\x00\x00\xf0\xff\xff\xff" + b"x" * 70)
    face_step(paths[:1], STRICT)
    assert head == []
    face_step(paths, STRICT)
    assert len(head) == 1


@pytest.mark.parametrize("broken", ["complete", "a slice missing", "two echoes", "uneven"])
def test_the_face_of_a_head_that_nobody_named_does_not_hide_in_a_broken_series(tmp_path, broken):
    sagittal = {"Modality": "MR", "SeriesDescription": "t1 sag", "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    paths = write_study(tmp_path / "a", slices=Grid(80, 80, 60, (2.9, 2.9, 3.0)), BodyPartExamined=None, **sagittal)
    for number, path in enumerate(paths):
        place = 3.0 * number + (1.4 if broken == "uneven" and number > 40 else 0)
        change(path, ImagePositionPatient=[place, 0, 0])
    if broken == "two echoes":
        paths += [Path(shutil.copy(path, tmp_path / path.name)) for path in paths]
    del paths[20 : 21 if broken == "a slice missing" else 20]
    assert face_step(paths, DeidProfile(quarantine_faces="quarantine")).problem == UNTOUCHED


def test_a_face_that_was_taken_out_is_claimed(tmp_path, head, defaced):
    paths = write_study(tmp_path)
    step = face_step(paths, STRICT)
    assert list(step.files) == paths
    assert list(step.files.values()) == defaced != []
    assert step.claims == {OPTION}
    assert step.problem == ""


@pytest.mark.parametrize(
    ("profile", "problem", "note"),
    [
        (DeidProfile(), "", UNTOUCHED),
        (DeidProfile(quarantine_faces="quarantine"), UNTOUCHED, ""),
        (DEFACING, f"{NOT_TAKEN_OUT}: refused", ""),
        (STRICT, f"{NOT_TAKEN_OUT}: refused", ""),
    ],
)
def test_a_face_that_stays_is_told_or_held_back(tmp_path, head, monkeypatch, profile, problem, note):
    def refuse(_files):
        raise DeidError("refused")

    monkeypatch.setattr(head_series, "deface_series", refuse)
    step = face_step(write_study(tmp_path), profile)
    assert (step.problem, step.note) == (problem, note)
    assert (step.files, step.claims) == ({}, frozenset())
