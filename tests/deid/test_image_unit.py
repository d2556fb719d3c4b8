from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath

import nibabel
import numpy as np
import pytest
from deid_factories import fixed_key, leaks
from factories import geometry, volume

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import DeidError, OutputError
from medseg.core.volume import Volume
from medseg.deid import image_unit
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import safe_target, subject_pseudonym
from medseg.deid.head_series import NOT_TAKEN_OUT, UNTOUCHED_IMAGE
from medseg.deid.image_unit import clean_images, image_tasks
from medseg.deid.index import read_index
from medseg.deid.picture_search import Searched
from medseg.deid.pixels import PixelResult
from medseg.deid.records import UnitRecord
from medseg.deid.study import Failed, Job
from medseg.io.formats import read_volume, write_volume

KEY = fixed_key()


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def tasks(tmp_path, **changes):
    job = Job(
        **{
            "profile": DeidProfile(),
            "key": KEY,
            "root": tmp_path / "in",
            "staging": tmp_path / "s",
            "settings": "t",
            **changes,
        }
    )
    return image_tasks(read_index(tmp_path / "in", KEY), job)


def clean(tmp_path, **changes):
    """The records of all units."""
    return [clean_images(task, lambda: None) for task in tasks(tmp_path, **changes)]


def head(path):
    """An image as large as a head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, volume(geometry(shape=(30, 32, 34), spacing=(6.0, 6.0, 6.0))))
    return path


def small(path, spacing=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) * 9, np.diag([spacing] * 3 + [1]))
    image.header["descrip"] = b"Winterbottom"
    nibabel.save(image, path)
    return path


def test_a_subject_is_one_unit_and_other_files_go_by_their_names(tmp_path, source):
    for name in ("sub-a/anat/sub-a_T1w.nii.gz", "sub-a/anat/sub-a_T2w.nii.gz", "sub-b/anat/sub-b_T1w.nii.gz"):
        small(source / name)
    for name in ("imagesTr/case1_0000.nii.gz", "imagesTr/case1_0001.nii.gz", "labelsTr/case1.nii.gz"):
        small(source / name)
    (source / "sub-a/anat/sub-a_T1w.json").write_text("{}")
    (source / "participants.tsv").write_text("participant_id\nsub-a\n")
    found = sorted((task.patient, task.files) for task in tasks(tmp_path))
    one, other = (subject_pseudonym(label, KEY) for label in "ab")
    assert found == sorted([(one, 3), (other, 1), ("", 2), ("", 1), ("", 1)])
    assert len({task.unit for task in tasks(tmp_path)}) == 5


def test_one_label_in_two_data_sets_is_two_patients(tmp_path, source):
    folders = ("sub-1/anat", "derivatives/prep/sub-1", "rawdata/sub-1", "imagesTr")
    for folder in (*folders, *(f"ds1/{folder}" for folder in folders), "ds2/sub-1/anat"):
        small(source / folder / "sub-1_T1w.nii.gz")
    small(source / safe_target(PurePath("ds1/rawdata/sub-1/sub-1_T2w.nii.gz"), KEY, Vocabulary.load(())))
    found = Counter(task.patient for task in tasks(tmp_path) for _ in task.paths)
    assert found.pop(subject_pseudonym("1", KEY)) == 4
    assert sorted(found.values()) == [1, 5]


def test_labels_are_released_but_are_no_images_of_the_manifest(tmp_path, source):
    small(source / "imagesTr/case1_0000.nii.gz")
    small(source / "labelsTr/case1.nii.gz")
    small(source / "sub-a/anat/sub-a_dseg.nii.gz")
    records = clean(tmp_path)
    assert sum(record.released for record in records) == 3
    (series,) = [series for record in records for series in record.series]
    assert series.path.startswith("imagesTr/image-")


def test_what_a_file_said_is_searched_for_in_the_others(tmp_path, source, monkeypatch):
    small(source / "scan.nii.gz")
    (source / "scan.json").write_text(json.dumps({"PatientName": "Winterbottom"}))
    real = image_unit.clean_sidecar

    def leaking(path, target, rules):
        done = real(path, target, rules)
        target.write_text('{"x": "Winterbottom"}')
        return done

    monkeypatch.setattr(image_unit, "clean_sidecar", leaking)
    (record,) = clean(tmp_path)
    assert record.released == 1
    ((reason, count),) = record.quarantined.items()
    assert count == 1
    assert "is still in" in reason
    assert leaks(tmp_path / "s" / record.unit / "release") == set()
    (why,) = json.loads((tmp_path / "s" / record.unit / "held" / "why.json").read_text())
    assert why["source"] == "scan.json"
    (record,) = clean(tmp_path, proof=False)
    assert record.released == 2


@pytest.mark.parametrize(
    ("profile", "quarantined", "notes"),
    [
        (DeidProfile(), {}, {UNTOUCHED_IMAGE: 1}),
        (DeidProfile(quarantine_faces="quarantine"), {UNTOUCHED_IMAGE: 1}, {}),
        (DeidProfile(options=frozenset({Option.CLEAN_VISUAL_FEATURES})), {f"{NOT_TAKEN_OUT}: no head": 1}, {}),
    ],
)
def test_an_image_that_may_show_a_face(tmp_path, source, monkeypatch, profile, quarantined, notes):
    def refuse(_volume):
        raise DeidError("no head")

    monkeypatch.setattr(image_unit, "deface_volume", refuse)
    head(source / "t1.nii.gz")
    (record,) = clean(tmp_path, profile=profile)
    assert (record.quarantined, record.notes) == (quarantined, notes)
    assert record.released == 1 - len(quarantined)
    held = list((tmp_path / "s").glob("*/held/picture-*.nii.gz"))
    assert len(held) == len(quarantined)


def test_a_face_that_was_taken_out_is_gone_in_the_release(tmp_path, source, monkeypatch):
    def deface(image):
        array = image.array.copy()
        array[:, :, 20:] = 0
        return Volume(array, image.geometry, image.channels)

    monkeypatch.setattr(image_unit, "deface_volume", deface)
    head(source / "t1.nii.gz")
    (record,) = clean(tmp_path, profile=DeidProfile(options=frozenset({Option.CLEAN_VISUAL_FEATURES})))
    assert (record.quarantined, record.notes, record.released) == ({}, {}, 1)
    cleaned = read_volume(tmp_path / "s" / record.unit / "release" / record.paths[0])
    assert not cleaned.array[:, :, 20:].any()
    assert cleaned.array.any()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), (None, False)),
        ((Option.RETAIN_FULL_DATES,), (0, False)),
        ((Option.RETAIN_MODIFIED_DATES, Option.RETAIN_PATIENT_CHARACTERISTICS), ("days", True)),
    ],
)
def test_files_beside_images_follow_the_options(tmp_path, source, monkeypatch, options, wanted):
    small(source / "sub-a_T1w.nii.gz")
    (source / "sub-a_T1w.json").write_text("{}")
    asked = []
    real = image_unit.clean_sidecar
    monkeypatch.setattr(image_unit, "clean_sidecar", lambda *call: asked.append(call[2]) or real(*call))
    clean(tmp_path, profile=DeidProfile(options=frozenset(options)))
    days = KEY.days(subject_pseudonym("a", KEY)) if wanted[0] == "days" else wanted[0]
    assert (asked[0].days, asked[0].characteristics) == (days, wanted[1])


def test_files_of_kinds_that_are_not_released_are_counted(tmp_path, source):
    small(source / "scan.nii.gz")
    (source / "labels.json").write_text("{}")
    passed = [record.passed for record in clean(tmp_path)]
    assert sorted(map(len, passed)) == [0, 1]


def test_a_doubt_without_a_picture_is_a_doubt(tmp_path, source, monkeypatch):
    small(source / "scan.nii.gz")
    doubtful = Searched(PixelResult.DOUBTFUL, "a doubt")
    monkeypatch.setattr(image_unit, "search_image", lambda *_, **__: doubtful)
    (record,) = clean(tmp_path)
    assert record.quarantined == {"a doubt": 1}
    assert sorted(path.suffix for path in (tmp_path / "s" / record.unit / "held").iterdir()) == [".gz", ".json"]


def test_who_accepts_a_picture_accepts_that_one_alone(tmp_path, source, monkeypatch):
    asked = []

    def search(path, *_, is_reviewed, **__):
        asked.append(is_reviewed)
        return Searched(PixelResult.REVIEWED if is_reviewed else PixelResult.DOUBTFUL, "a doubt")

    monkeypatch.setattr(image_unit, "search_image", search)
    for folder in ("DOE", "ROE"):
        small(source / folder / "1.nii.gz")
    clean(tmp_path)
    (why,) = [
        why
        for path in (tmp_path / "s").glob("*/held/why.json")
        for why in json.loads(path.read_text())
        if "DOE" in why["source"]
    ]
    assert list((tmp_path / "s").glob(f"*/held/{why['name']}.nii.gz"))
    accepted = frozenset({why["name"]})
    asked.clear()
    assert sum(record.released for record in clean(tmp_path, accepted=accepted)) == 1
    assert sorted(asked) == [False, True]
    small(source / "DOE" / "1.nii.gz", spacing=2.0)
    assert sum(record.released for record in clean(tmp_path, accepted=accepted)) == 0


def test_two_files_that_would_get_one_name_are_not_mixed(tmp_path, source, monkeypatch):
    small(source / "a" / "scan.nii.gz")
    small(source / "a" / "scan.nii")
    monkeypatch.setattr(image_unit, "safe_target", lambda relative, *_: relative.with_name("image.nii.gz"))
    (record,) = clean(tmp_path)
    assert record.released == 1
    assert record.quarantined == {"another file would get the same name": 1}


def test_a_full_disk_ends_the_job_and_other_errors_the_unit(tmp_path, source, monkeypatch):
    small(source / "scan.nii.gz")

    def full(*_):
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(image_unit, "clean_image", full)
        with pytest.raises(OutputError, match="the disk is full"):
            clean(tmp_path)

    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr(image_unit, "identifiers_of", broken)
    (failed,) = clean(tmp_path)
    assert isinstance(failed, Failed)
    assert (failed.files, failed.reason) == (1, "unexpected MemoryError")


def test_the_result_depends_on_both_halves_of_a_pair(tmp_path, source):
    nibabel.save(nibabel.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4)), source / "brain.img")
    small(source / "scan.nii.gz")
    pair, scan = sorted(tasks(tmp_path), key=lambda task: task.images)
    assert [path.name for path in pair.sources] == ["brain.hdr", "brain.img"]
    assert pair.files == 1
    assert scan.sources == scan.paths


def test_a_file_may_be_the_whole_input(tmp_path, source):
    path = small(source / "Winterbottom.nii.gz")
    job = Job(DeidProfile(), KEY, path, tmp_path / "s", "t")
    (task,) = image_tasks(read_index(path, KEY), job)
    record = clean_images(task, lambda: None)
    assert isinstance(record, UnitRecord)
    assert record.released == 1
    assert leaks(tmp_path / "s") == set()
