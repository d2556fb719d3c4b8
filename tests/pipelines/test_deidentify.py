from __future__ import annotations

import json
import os
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from deid_factories import (
    SECRETS,
    change,
    files_below,
    fixed_key,
    leaks,
    objects_below,
    run_options,
    write_capture,
    write_study,
)
from dicom_factories import Grid, series_datasets, write_file

from medseg.config.deid import DeidProfile, KeptAttribute, Mode, Option
from medseg.config.load import load_profile
from medseg.core.errors import InputError, OutputError
from medseg.core.progress import SILENT
from medseg.data.layouts import open_dataset
from medseg.deid import run as run_module
from medseg.deid import study as study_module
from medseg.deid.conflicts import SEVERAL_PATIENTS, SHARED_NUMBER
from medseg.deid.index import NO_INSTANCE_UID, TWINS
from medseg.deid.lookup import open_lookup
from medseg.deid.names import name_of
from medseg.deid.workers import Died
from medseg.io.formats import read_volume
from medseg.pipelines.deidentify import deidentify, foresee_actions

KEY = fixed_key()
UID = SECRETS[5]


@pytest.fixture
def source(tmp_path):
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def clean(tmp_path, source, out):
    """Runs with the key of the tests."""

    def call(progress=SILENT, **changes):
        return deidentify(source, out, run_options(tmp_path, **changes), progress)

    return call


def quarantine(out):
    return json.loads((out.with_name("out-quarantine") / "quarantine.json").read_text())


def release(out):
    return {name: content for name, content in files_below(out).items() if name.startswith("patient-")}


def test_a_study_is_written_under_pseudonyms_and_names_nobody(clean, source, out):
    write_study(source)
    done = clean()
    patient, study = KEY.patient("hospital", SECRETS[1]), name_of(KEY, "study", f"{UID}.1")
    folder = f"{patient}/{study}/{name_of(KEY, 'series', f'{UID}.1.1')}"
    assert list(release(out)) == sorted(
        f"{folder}/{name_of(KEY, 'instance', f'{UID}.1.1.{number}')}.dcm" for number in range(2)
    )
    assert leaks(out) == set()
    assert not done.has_failures
    assert (done.report.released, done.report.quarantined) == (2, 0)
    assert not done.quarantine.exists()
    assert done.report.to_json() == json.loads((out / "deid_report.json").read_text())


def test_originals_are_not_touched(clean, source):
    write_study(source)
    before = files_below(source)
    clean()
    assert files_below(source) == before


def test_references_and_intervals_hold_within_a_patient(clean, source, out):
    write_study(source / "a", "1", StudyDate="20200101")
    write_study(source / "b", "2", StudyDate="20200131")
    clean(profile=load_profile("research"))
    dates = sorted({one.StudyDate for one in objects_below(out)})
    days = [np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}") for date in dates]
    assert days[1] - days[0] == np.timedelta64(30, "D")
    assert len({one.PatientID for one in objects_below(out)}) == 1
    assert leaks(out) == set()


def test_any_number_of_processes_gives_the_same(clean, source, out, tmp_path):
    for number in "123":
        write_study(source / number, number)
    clean()
    before = files_below(out)
    shutil.rmtree(out)
    clean(workers=2)
    assert files_below(out) == before


def test_the_order_and_company_of_studies_do_not_matter(clean, source, out):
    write_study(source / "a", "1")
    clean()
    alone = release(out)
    shutil.rmtree(out)
    write_study(source / "0", "2")
    clean()
    assert alone.items() <= release(out).items()


def test_cleaning_twice_gives_what_cleaning_once_gives(clean, source, out, tmp_path):
    write_study(source)
    clean(profile=load_profile("research"))
    options = run_options(tmp_path, profile=load_profile("research"))
    deidentify(out, tmp_path / "again", options)
    assert release(tmp_path / "again") == release(out)


def test_what_was_done_is_not_done_again(clean, source, out):
    write_study(source / "a", "1")
    write_study(source / "b", "2")
    clean()
    times = {name: (out / name).stat().st_mtime_ns for name in release(out)}
    change(write_study(source / "b", "2")[0], SeriesDescription="liver")
    done = clean()
    assert done.unchanged == 1
    again = {name: (out / name).stat().st_mtime_ns for name in release(out)}
    study = name_of(KEY, "study", f"{UID}.1")
    assert {name for name in times if times[name] == again[name]} == {name for name in times if study in name}
    assert done.report.released == 4


def test_a_pair_whose_voxels_changed_is_done_again(clean, source):
    source.mkdir()
    nibabel.save(nibabel.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4)), source / "brain.img")
    clean()
    assert clean().unchanged == 1
    (source / "brain.img").write_bytes(np.ones((3, 4, 5), np.int16).tobytes())
    assert clean().unchanged == 0


def test_other_settings_and_a_lost_study_are_done_anew(clean, source, out):
    write_study(source)
    write_capture(source / "capture")
    assert clean().unchanged == 0
    assert clean().unchanged == 1
    assert clean(profile=load_profile("research")).unchanged == 0
    shutil.rmtree(next(out.glob("patient-*")))
    assert clean(profile=load_profile("research")).unchanged == 0


def test_a_lost_quarantine_is_made_anew(clean, source, out, monkeypatch):
    monkeypatch.setattr(study_module, "finder_for", lambda _profile: None)
    write_study(source)
    write_capture(source / "capture")
    assert clean().report.quarantined == 1
    shutil.rmtree(out.with_name("out-quarantine"))
    assert clean().unchanged == 0
    assert list(out.with_name("out-quarantine").rglob("*.dcm"))


def test_a_study_that_shrank_leaves_no_old_file(clean, source, out):
    paths = write_study(source)
    clean()
    paths[0].unlink()
    clean()
    assert len(release(out)) == 1


def test_studies_of_another_profile_do_not_stay_among_new_ones(clean, source, out):
    write_study(source / "a", "1")
    clean()
    shutil.rmtree(source / "a")
    write_study(source / "b", "2")
    with pytest.raises(InputError, match="holds 1 studies that are not in this input and were made with another"):
        clean(profile=load_profile("research"))
    assert clean().report.to_json()["studies"] == 2


def test_an_interrupt_leaves_finished_studies_and_nothing_else(clean, source, out):
    for number in "123":
        write_study(source / number, number)

    class Interrupting:
        files = 0

        def start(self, label, _total):
            self.label = label

        def advance(self, steps=1):
            self.files += steps if self.label == "de-identifying" else 0
            if self.files == 3:
                raise KeyboardInterrupt

        def note(self, _text):
            pass

        def finish(self):
            pass

    with pytest.raises(KeyboardInterrupt):
        clean(Interrupting())
    assert len(release(out)) == 2
    assert not list(out.glob(".deid/staging-*"))
    assert not (out / "deid_report.json").exists()
    assert clean().unchanged == 1
    assert len(release(out)) == 6


def test_a_full_disk_is_told_and_leaves_no_half_study(clean, source, out, monkeypatch):
    write_study(source)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("medseg.core.files.os.fsync", full)
        with pytest.raises(OutputError, match="the disk is full"):
            clean()
    assert release(out) == {}
    assert not list(out.glob(".deid/staging-*"))
    assert clean().report.released == 2


def test_doubtful_pixels_are_held_back_until_a_person_accepts_them(clean, source, out, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.deid.study._finder", lambda: None)
    write_study(source)
    write_capture(source / "capture")
    done = clean()
    assert (done.report.released, done.report.quarantined, done.has_failures) == (2, 1, True)
    name = name_of(KEY, "instance", f"{UID}.1.9.0")
    held = out.with_name("out-quarantine") / name_of(KEY, "study", f"{UID}.1")
    assert sorted(path.name for path in held.iterdir()) == [f"{name}.dcm", f"{name}.png", "why.json"]
    assert pydicom.dcmread(held / f"{name}.dcm").PatientName == KEY.patient("hospital", SECRETS[1])
    ((entry,),) = quarantine(out).values()
    assert entry["name"] == name
    assert entry["source"].endswith(f"capture/{SECRETS[0]}-OT-0.dcm")
    assert leaks(out) == set()
    (tmp_path / "ok.txt").write_text(f"{name_of(KEY, 'series', f'{UID}.1.9')}  # looked at\n")
    done = clean(accepted=tmp_path / "ok.txt")
    assert (done.report.released, done.report.quarantined, done.unchanged) == (3, 0, 0)
    assert not done.quarantine.exists()
    assert "reviewed by a person" in done.report.pixels


def test_accepting_one_study_leaves_the_others_alone(clean, source, tmp_path):
    write_study(source / "a", "1")
    write_study(source / "b", "2")
    clean()
    (tmp_path / "ok.txt").write_text(name_of(KEY, "series", f"{UID}.2.1"))
    assert clean(accepted=tmp_path / "ok.txt").unchanged == 1


def test_files_that_cannot_be_cleaned_hinder_no_other(clean, source, out):
    write_study(source / "good", "1")
    broken = write_study(source / "broken", "2")
    broken[0].write_bytes(broken[0].read_bytes()[:300])
    nameless = write_study(source / "nameless", "3")
    change(nameless[0], SOPInstanceUID="")
    seriesless = write_study(source / "seriesless", "4")
    change(seriesless[0], SeriesInstanceUID="")
    done = clean()
    assert done.report.released == 5
    assert done.report.reasons[NO_INSTANCE_UID] == 1
    assert done.report.quarantined == 3
    assert leaks(out) == set()
    nameless[0].unlink()
    broken[0].unlink()
    assert clean().report.quarantined == 1


def test_an_unexpected_error_holds_one_file_back_and_quotes_nothing(clean, source, out, monkeypatch):
    write_study(source)
    from medseg.deid import study

    real = study.clean_pixels

    def fail(file, *arguments, **others):
        if file.dataset.SOPInstanceUID.endswith(".0"):
            raise RecursionError(f"about {SECRETS[0]}")
        return real(file, *arguments, **others)

    monkeypatch.setattr(study, "clean_pixels", fail)
    done = clean()
    assert done.report.reasons == {"unexpected RecursionError": 1}
    assert done.report.released == 1


def test_a_study_whose_proof_breaks_is_failed_and_not_released(clean, source, out, monkeypatch):
    write_study(source / "a", "1")
    write_study(source / "b", "2")
    clean()

    def fail(*_):
        raise MemoryError

    change(write_study(source / "a", "1")[0], SeriesDescription="liver")
    monkeypatch.setattr("medseg.deid.study.identifiers_of", fail)
    notes = []
    done = clean(type("Notes", (), {**_silent(), "note": lambda _self, text: notes.append(text)})())
    assert done.report.failed == {"unexpected MemoryError": 2}
    assert done.has_failures
    assert len(release(out)) == 2  # the other study, which was not done again
    assert notes == [f"{name_of(KEY, 'study', f'{UID}.1')}: failed, unexpected MemoryError"]


def test_a_study_that_kills_its_process_is_failed(clean, source, out, monkeypatch):
    write_study(source)
    monkeypatch.setattr(run_module, "run_all", lambda _work, tasks, _workers: ((task, Died()) for task in tasks))
    done = clean()
    assert done.report.failed == {run_module.KILLED: 2}
    assert release(out) == {}


def test_what_the_proof_finds_is_held_back(clean, source, out, monkeypatch):
    write_study(source)
    real = study_module.encode_dicom

    def leaking(dataset, syntax):
        if dataset.InstanceNumber == 1:
            dataset.ImageComments = SECRETS[0]
        return real(dataset, syntax)

    monkeypatch.setattr(study_module, "encode_dicom", leaking)
    done = clean()
    ((reason, count),) = done.report.reasons.items()
    assert count == 1
    assert "(0010,0010)" in reason
    assert "(0020,4000)" in reason
    assert leaks(out) == set()
    assert len(release(out)) == 1
    done = clean(proof=False)
    assert leaks(out) == {SECRETS[0]}
    assert "proof was off" in (out / "deid_report.html").read_text()


def test_a_series_that_is_held_back_as_a_whole_leaves_no_folder(clean, source, out, monkeypatch):
    write_study(source)
    real = study_module.encode_dicom

    def leaking(dataset, syntax):
        dataset.ImageComments = SECRETS[0]
        return real(dataset, syntax)

    monkeypatch.setattr(study_module, "encode_dicom", leaking)
    assert clean().report.released == 0
    assert not list(out.glob("patient-*"))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"PatientName": "Roe^Berta", "PatientBirthDate": "19620202"}, SHARED_NUMBER),
        ({"StudyInstanceUID": f"{UID}.1", "PatientID": "other"}, SEVERAL_PATIENTS),
    ],
)
def test_patients_who_cannot_be_told_apart_are_held_back(clean, source, out, second, reason):
    write_study(source / "a", "1")
    clean()
    assert len(release(out)) == 2
    write_study(source / "b", "2", **second)
    done = clean()
    assert release(out) == {}
    assert done.report.reasons == {reason: 4}
    assert sum(map(len, quarantine(out).values())) == 4


def test_all_files_of_patients_who_cannot_be_told_apart_are_listed(clean, source, out):
    paths = write_study(source / "a", "1")
    write_study(source / "b", "1", PatientID="other", SeriesInstanceUID=f"{UID}.1.2")
    (source / "c").mkdir()
    shutil.copy(paths[0], source / "c" / "twin.dcm")
    change(source / "c" / "twin.dcm", SeriesDescription="other")
    done = clean(lookup=source.parent / "table", broker=keys(source.parent))
    assert done.report.reasons == {SEVERAL_PATIENTS: 5}
    assert open_lookup(source.parent / "table", source.parent / "broker.pem") == []


def test_one_id_of_two_issuers_is_two_patients(clean, source, out):
    write_study(source / "a", "1")
    write_study(source / "b", "2", IssuerOfPatientID="elsewhere")
    clean()
    assert len(list(out.glob("patient-*"))) == 2


def test_twins_are_held_back_and_copies_written_once(clean, source, out):
    paths = write_study(source / "a")
    (source / "b").mkdir()
    shutil.copy(paths[0], source / "b" / "copy.dcm")
    shutil.copy(paths[1], source / "b" / "twin.dcm")
    change(source / "b" / "twin.dcm", SeriesDescription="other")
    done = clean()
    assert done.report.reasons == {TWINS: 2}
    assert (done.report.released, done.report.to_json()["files"]["equal_copies"]) == (1, 1)


def test_uids_and_ids_that_are_paths_lead_nowhere(clean, source, out, tmp_path):
    for path in write_study(source, PatientID="..\\..\\e"):
        uids = {f"{UID}.1.1.": "/etc/", f"{UID}.1.1": "/etc/passwd", f"{UID}.1": "../../../../elsewhere/"}
        content = path.read_bytes()
        for uid, climbing in uids.items():
            content = content.replace(uid.encode(), climbing.ljust(len(uid), "x").encode())
        path.write_bytes(content)
    before = {path.name for path in tmp_path.iterdir()}
    clean()
    assert {path.name for path in tmp_path.iterdir()} - before <= {"out", "out-quarantine", "project.key"}
    assert all(path.is_relative_to(out) for path in out.rglob("*"))


def test_an_archive_is_cleaned_like_a_folder(clean, source, out, tmp_path):
    write_study(source)
    clean()
    wanted = release(out)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"{SECRETS[0]}/{path.name}")
    options = run_options(tmp_path)
    deidentify(tmp_path / "in.zip", tmp_path / "zipped", options)
    assert release(tmp_path / "zipped") == wanted
    assert deidentify(tmp_path / "in.zip", tmp_path / "zipped", options).unchanged == 1


def test_return_mode_keeps_the_patient_in_the_object_and_nowhere_else(clean, source, out):
    write_study(source)
    clean(profile=DeidProfile(mode=Mode.RETURN))
    objects = objects_below(out)
    assert {str(one.PatientName) for one in objects} == {f"{SECRETS[0]}^Anna"}
    assert {one.StudyInstanceUID for one in objects} == {f"{UID}.1"}
    for path in out.rglob("*.dcm"):
        path.unlink()
    assert leaks(out) == set()
    assert "RETURN MODE" in (out / "deid_report.html").read_text()


def test_the_manifest_is_a_data_set_that_lacks_only_labels(clean, source, out):
    write_study(source, PatientSex="F", PatientAge="071Y", Manufacturer="GE MEDICAL SYSTEMS")
    kept = (KeptAttribute.SEX, KeptAttribute.AGE_BAND, KeptAttribute.MANUFACTURER)
    clean(profile=DeidProfile(keep_in_manifest=kept))
    dataset = open_dataset(out / "manifest.csv")
    (case,) = dataset.cases
    assert dataset.channels == ("CT",)
    assert case.attributes == {
        "study": name_of(KEY, "study", f"{UID}.1"),
        "modality": "CT", "sex": "F", "age_band": "70-79", "manufacturer": "GE",
    }  # fmt: skip
    assert case.images["CT"].path.is_dir()


def test_a_kept_attribute_that_tells_who_it_is_is_left_empty(clean, source, out):
    write_study(source, ManufacturerModelName=f"{SECRETS[0]} scanner", InstitutionName=SECRETS[4])
    clean(profile=DeidProfile(keep_in_manifest=(KeptAttribute.MODEL,)))
    assert leaks(out) == set()


def keys(folder):
    private = X25519PrivateKey.generate()
    (folder / "broker.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    return folder / "public.pem"


def test_the_broker_finds_the_way_back(clean, source, out, tmp_path):
    write_study(source)
    write_study(source / "b", "2", PatientID="..", IssuerOfPatientID="")
    profile = load_profile("research")
    clean(profile=profile, lookup=tmp_path / "table", broker=keys(tmp_path))
    rows = {row["study_uid"]: row for row in open_lookup(tmp_path / "table", tmp_path / "broker.pem")}
    row = rows[f"{UID}.1"]
    assert (row["patient_id"], row["accession"], row["series_uid"]) == (SECRETS[1], SECRETS[3], f"{UID}.1.1")
    assert row["days"] == KEY.days(row["patient"])
    assert (out / row["patient"] / row["study"] / row["series"]).is_dir()
    with pytest.raises(InputError, match="exists, and a sealed table cannot be added to"):
        clean(profile=profile, lookup=tmp_path / "table", broker=tmp_path / "public.pem")


def test_a_lookup_table_is_refused_without_its_key_or_in_the_wrong_place(clean, source, out, tmp_path):
    write_study(source)
    public = keys(tmp_path)
    with pytest.raises(InputError, match="needs both --lookup FILE and --broker-key PEM"):
        clean(lookup=tmp_path / "table")
    with pytest.raises(InputError, match="needs both"):
        clean(broker=public)
    with pytest.raises(InputError, match="may not lie in the input or output folder"):
        clean(lookup=out / "table", broker=public)
    assert not out.exists()


def test_folders_that_lie_in_each_other_are_refused(clean, source, out, tmp_path):
    write_study(source)
    options = run_options(tmp_path)
    with pytest.raises(InputError, match="input and output lie in each other"):
        deidentify(source, source / "out", options)
    with pytest.raises(InputError, match="input and output lie in each other"):
        deidentify(source, tmp_path, options)
    with pytest.raises(InputError, match="quarantine and output lie in each other"):
        clean(quarantine=out / "held")
    with pytest.raises(InputError, match="quarantine and input lie in each other"):
        clean(quarantine=source / "held")
    with pytest.raises(InputError, match="the project key may not lie in the output folder"):
        deidentify(source, out, run_options(tmp_path, key=out / "key"))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "project.key"}


def test_nothing_to_clean_is_said_with_what_was_there(clean, source, out):
    source.mkdir()
    with pytest.raises(InputError, match="holds no DICOM object and no other image; it is empty"):
        clean()
    (source / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="only: 1 x a file of another kind"):
        clean()
    assert not out.exists()


def test_links_and_pipes_do_not_stop_the_run(clean, source, out, tmp_path):
    write_study(source)
    (tmp_path / "secret.dcm").write_bytes(b"")
    (source / "link.dcm").symlink_to(tmp_path / "secret.dcm")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe")
    done = clean()
    assert sum(done.report.passed.values()) == 3
    assert not done.has_failures


def test_a_dry_run_tells_what_would_happen_and_writes_nothing(source, tmp_path):
    write_study(source / "a", "1")
    write_study(source / "b", "2", PatientName="Roe^Berta", PatientBirthDate="19620202")
    paths = write_study(source / "c", "3", PatientID="77")
    dataset = pydicom.dcmread(paths[0])
    for element in (0x00090010, 0x00091001, 0x00091002):
        dataset.add_new(element, "LO", "secret")
    dataset.save_as(paths[0])
    change(write_study(source / "d", "4", PatientID="78")[0], SeriesInstanceUID="")
    change(write_study(source / "e", "5", PatientID="79")[0], SOPInstanceUID="")
    options = run_options(tmp_path)
    before = files_below(tmp_path)
    notes = []
    progress = type("Notes", (), {**_silent(), "note": lambda _self, text: notes.append(text)})()
    rows = foresee_actions(source, options, progress)
    assert files_below(tmp_path) == before
    found = {(row["attribute"], row["action"]): row["files"] for row in rows}
    assert found["PatientID", "replaced by a pseudonym"] == 4
    assert found["private attributes", "removed"] == 1
    assert sorted(note.partition(" would")[0] for note in notes) == ["1 file", "1 file", "4 files"]
    assert any(SHARED_NUMBER in note for note in notes)


def test_nifti_files_and_bids_come_with_their_sidecars(clean, source, out):
    folder = source / "sub-Winterbottom" / "anat"
    folder.mkdir(parents=True)
    image = nibabel.Nifti1Image(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) * 7, np.eye(4))
    image.header["descrip"] = b"Winterbottom 19520317"
    nibabel.save(image, folder / "sub-Winterbottom_T1w.nii.gz")
    (folder / "sub-Winterbottom_T1w.json").write_text(json.dumps({"EchoTime": 0.01, "PatientName": "Winterbottom"}))
    (source / "participants.tsv").write_text("participant_id\tage\nsub-Winterbottom\t44\n")
    (source / "README").write_text("Winterbottom")
    done = clean()
    label = KEY.patient("", "Winterbottom").removeprefix("patient-")
    names = [name for name in files_below(out) if not name.startswith((".deid", "deid_report"))]
    assert names == [
        "manifest.csv", "participants.tsv",
        f"sub-{label}/anat/sub-{label}_T1w.json", f"sub-{label}/anat/sub-{label}_T1w.nii.gz",
    ]  # fmt: skip
    assert leaks(out) == set()
    assert not done.has_failures
    assert done.report.released == 3
    cleaned = nibabel.load(out / names[3])
    assert np.array_equal(cleaned.dataobj, image.dataobj)
    assert open_dataset(out / "manifest.csv").cases[0].patient == f"patient-{label}"
    assert clean().unchanged == 2


def test_images_of_another_input_do_not_take_the_place_of_those_of_the_same_name(clean, source, out, tmp_path):
    for number, folder in enumerate((source, tmp_path / "other")):
        folder.mkdir()
        nibabel.save(nibabel.Nifti1Image(np.full((4, 5, 6), number, np.int16), np.eye(4)), folder / "scan.nii.gz")
    clean()
    before = {path: path.read_bytes() for path in out.glob("image-*")}
    with pytest.raises(InputError, match="holds images of another input, and 1 of the names there are names of this"):
        deidentify(tmp_path / "other", out, run_options(tmp_path))
    assert {path: path.read_bytes() for path in out.glob("image-*")} == before
    assert clean().unchanged == 1
    (record,) = out.glob(".deid/images-*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "origin": ""}))  # of an older version
    assert deidentify(tmp_path / "other", out, run_options(tmp_path)).report.released == 1


def test_a_picture_is_held_back_as_long_as_nobody_can_read_it(clean, source, out, tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setattr("medseg.deid.study._finder", lambda: None)
    source.mkdir()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(source / "Winterbottom.png")
    done = clean()
    assert done.report.released == 0
    ((unit, (entry,)),) = quarantine(out).items()
    held = {path.name for path in (out.with_name("out-quarantine") / unit).iterdir()}
    (name,) = [one.removesuffix(".png") for one in held if one.startswith("picture-") and "preview" not in one]
    assert held == {f"{name}.png", f"{name}-preview.png", "why.json"}
    assert (entry["source"], entry["name"]) == ("Winterbottom.png", name)
    (tmp_path / "ok.txt").write_text(f"{name}.png\n")
    done = clean(accepted=tmp_path / "ok.txt")
    assert done.report.released == 1
    assert leaks(out) == set()


def test_an_image_that_cannot_be_cleaned_is_held_back(clean, source, out):
    source.mkdir()
    good = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    nibabel.save(good, source / "a.nii.gz")
    (source / "b.nii.gz").write_bytes((source / "a.nii.gz").read_bytes()[:-30])
    done = clean()
    assert (done.report.released, done.report.quarantined) == (1, 1)


@pytest.mark.slow
def test_a_head_loses_its_face_and_says_so(clean, source, out):
    template = read_volume(Path(str(files("medseg.deid").joinpath("data/face_template.nii.gz")))).reoriented("LPS")
    columns, rows, slices = template.geometry.shape
    grid = Grid(columns, rows, slices, (2.0, 2.0, 2.0))
    stored = template.array[0].astype(np.int16) * 8
    source.mkdir()
    head = {"BodyPartExamined": "HEAD", "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
    for number, dataset in enumerate(series_datasets(grid, stored, "MR", **head)):
        write_file(source / f"{number}.dcm", dataset)
    done = clean(profile=DeidProfile(options=frozenset({Option.CLEAN_VISUAL_FEATURES})))
    assert (done.report.released, done.report.quarantined) == (slices, 0)
    objects = objects_below(out)
    assert {one.RecognizableVisualFeatures for one in objects} == {"NO"}
    kept = sum(int((one.pixel_array > 0).sum()) for one in objects) / int((stored > 0).sum())
    assert 0.7 < kept < 0.99


def _silent():
    return {
        "start": lambda *_: None,
        "advance": lambda *_: None,
        "note": lambda *_: None,
        "finish": lambda *_: None,
    }
