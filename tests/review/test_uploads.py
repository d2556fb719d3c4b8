"""What a person brings becomes cases under pseudonyms, of theirs alone, and nothing else of it stays."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
import time
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from deid_factories import SECRETS, leaks, write_capture, write_study
from dicom_factories import Grid
from upload_runs import ANNA, BERT, KEY, MARK, Desk, Told, content_of, in_this_process, limits, zipped

from medseg.core.errors import InputError, OutputError
from medseg.io.dicom_read import read_series
from medseg.io.formats import read_volume
from medseg.io.studies import sort_series
from medseg.review import cleaning_process
from medseg.review.records import Origin
from medseg.review.uploads import prepare_upload, receive

LARGER = Grid(columns=40, rows=30, slices=4)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    made = Desk(tmp_path)
    yield made
    made.sessions.close()


@pytest.fixture
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return content_of(folder)


def tarred(files, mode="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def nifti(shape=(9, 8, 7), seed=0, **header) -> bytes:
    voxels = np.random.default_rng(seed).integers(-900, 900, shape).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def itk_file(path, **pairs) -> bytes:
    image = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (7, 8, 9)).astype(np.int16))
    for name, value in pairs.items():
        image.SetMetaData(name, value)
    SimpleITK.WriteImage(image, str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    "pack",
    [
        dict,
        lambda files: {f"{MARK}.zip": zipped(files)},
        lambda files: {f"{MARK}.tar": tarred(files)},
        lambda files: {"x": tarred(files, "w:gz")},
    ],
)
def test_a_study_in_whatever_form_becomes_a_case_that_names_nobody(desk, study, pack):
    (case,) = desk.upload(pack(study))
    assert (case.modality, case.slices) == ("CT", 2)
    assert case.files.origin is Origin.UPLOAD
    assert case.files.record.owner == ANNA
    assert KEY.made_name(case.files.name)
    assert case.files.identifiers == ""
    assert leaks(desk.config.folder) == set()
    assert MARK.encode() not in desk.shown()
    assert not [path for path in desk.folder.rglob("*") if path.name in ("originals", "received", "temporary")]
    (series,) = sort_series(case.files.image).series
    assert read_series(series).array.shape == (1, 8, 6, 2)
    assert desk.told.notes == []
    assert desk.told.stages[-1] == "finished"


def test_what_each_kind_of_file_becomes(desk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    contents = {
        f"{MARK}^DOE.nii": nifti(seed=1, descrip=MARK.encode(), db_name=MARK.encode(), aux_file=MARK.encode()),
        f"{MARK}.nii.gz": gzip.compress(nifti(seed=2, intent_name=MARK.encode())),
        f"{MARK}.nrrd": itk_file(folder / "a.nrrd", PatientName=MARK),
        f"{MARK}.mha": itk_file(folder / "b.mha", PatientName=MARK),
    }
    cases = desk.upload(contents)
    assert sorted(case.files.image[0].name.partition(".")[2] for case in cases) == ["mha", "nii", "nii.gz", "nrrd"]
    assert MARK.encode() not in desk.shown()
    assert all(MARK.encode() not in gzip.decompress(path.read_bytes()) for path in desk.folder.rglob("*.nii.gz"))
    for case in cases:
        assert read_volume(case.files.image[0]).array.shape == (1, 9, 8, 7)
    (plain,) = [case for case in cases if case.files.image[0].name.endswith(".nii")]
    expected = np.random.default_rng(1).integers(-900, 900, (9, 8, 7)).astype(np.int16)
    assert (read_volume(plain.files.image[0]).array[0] == expected).all()


def test_files_are_known_by_content_and_not_by_name(desk, study):
    names = iter(["report.pdf", "../../etc/passwd", "x" * 5000 + "\0\n\x1b[2J", "C:\\a.nii.gz", "e\ud800"])
    files = {next(names): content for content in study.values()}
    files[next(names)] = nifti()
    cases = desk.upload(files)
    assert sorted(case.slices for case in cases) == [1, 2]
    assert {path.name for path in desk.folder.iterdir()} == {"review", "project.key"}


def test_two_files_of_one_name_are_two_images(desk):
    stream = [("image.nii", io.BytesIO(nifti(seed=1))), ("image.nii", io.BytesIO(nifti(seed=2)))]
    received = receive(desk.session, stream, desk.config.limits)
    cases = prepare_upload(desk.session, received, desk.config, KEY)
    assert len({case.files.name for case in cases}) == 2


def test_one_upload_twice_gives_one_name_for_one_person_and_another_for_another(desk, study):
    everything = {**study, "image.nii": nifti()}
    first, again = desk.upload(everything), desk.upload(everything)
    other = desk.upload(everything, desk.sessions.open(BERT))
    assert [case.files.name for case in first] == [case.files.name for case in again]
    assert {case.files.image for case in first}.isdisjoint(case.files.image for case in again)
    assert {case.files.name for case in first}.isdisjoint(case.files.name for case in other)
    assert {case.files.record.owner for case in other} == {BERT}


def test_what_was_exported_for_release_may_come_back(desk, study):
    (case,) = desk.upload(study)
    cleaned = {path.name: path.read_bytes() for path in case.files.image}
    (again,) = desk.upload(cleaned)
    assert again.files.name == case.files.name
    assert [path.name for path in again.files.image] == [path.name for path in case.files.image]


def test_several_series_and_files_that_are_none(desk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    write_study(folder / "a")
    write_study(folder / "b", "2", LARGER, PatientID="other", PatientName="Other^Name")
    (folder / f"{MARK}.txt").write_text(f"{MARK} is well")
    (folder / "inner.zip").write_bytes(zipped({"a": b"1"}))
    cases = desk.upload({"study.zip": zipped(content_of(folder))})
    assert sorted(case.slices for case in cases) == [2, 4]
    assert desk.told.notes == [
        "1 file passed over: a file of another kind",
        "1 file passed over: an archive inside an archive or folder; upload it by itself",
    ]


def test_a_series_of_which_files_are_held_back_is_not_shown_in_part(desk, study):
    paths = sorted(study)
    twin = study[paths[1]].replace(b"Lighthouse", b"Lighthause")
    assert "nothing of the upload can be shown: a series (CT) is left out" in desk.refuse(
        {**study, "twin": twin}, r"as 2 of its files were held back; and 1 more such line"
    )


def test_identifiers_are_remembered_only_where_the_configuration_says_so(tmp_path, monkeypatch, study):
    in_this_process(monkeypatch)
    desk = Desk(tmp_path, show_identifiers=True)
    dicom, image = desk.upload({**study, f"{MARK}.nii": nifti()})
    if dicom.modality != "CT":
        dicom, image = image, dicom
    assert dicom.files.identifiers == f"{SECRETS[0]}^Anna ({SECRETS[1]})"
    assert image.files.identifiers == f"{MARK}.nii"
    assert MARK not in repr(image)
    assert SECRETS[0] not in repr(dicom)
    assert leaks(desk.config.folder) == set()
    assert MARK.encode() not in desk.shown()
    desk.sessions.close()


def test_receiving_needs_little_memory_and_stops_at_the_limit(desk):
    small = limits(upload_mb=24)
    sent = []

    def parts():
        while True:
            sent.append(1)
            yield bytes(2**20)

    tracemalloc.start()
    with pytest.raises(InputError, match="^the upload is larger than the limit of 24 MB$"):
        receive(desk.session, [("a", parts())], small)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert len(sent) == 25
    assert desk.is_empty()


def test_many_files_together_count(desk):
    with pytest.raises(InputError, match="larger than the limit of 3 MB"):
        receive(desk.session, ((str(number), [bytes(2**20)]) for number in range(5)), limits(upload_mb=3))
    assert desk.is_empty()


def test_too_many_files(desk, monkeypatch):
    monkeypatch.setattr("medseg.review.uploads._MOST_FILES", 3)
    with pytest.raises(InputError, match="more than 3 files"):
        receive(desk.session, [(str(number), [b"1"]) for number in range(4)], desk.config.limits)
    assert desk.is_empty()


@pytest.mark.parametrize("files", [[], [("empty", [])], [("empty", io.BytesIO())]])
def test_empty_uploads(desk, files):
    with pytest.raises(InputError, match="the upload is empty"):
        receive(desk.session, files, desk.config.limits)
    assert desk.is_empty()


def test_the_session_s_limit_counts_all_uploads(tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    desk = Desk(tmp_path, limits={"upload_mb": 64, "session_mb": 64})
    received = receive(desk.session, [("a", [bytes(2**20)] * 40)], desk.config.limits)
    with pytest.raises(InputError, match="temporary files of this session reach the limit of 64 MB"):
        receive(desk.session, [("b", [bytes(2**20)] * 30)], desk.config.limits)
    assert desk.session.used == 40 * 2**20
    received.room.remove()
    assert desk.is_empty()


def test_a_full_disk_is_told_in_a_sentence(desk, study, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr("medseg.core.files.os.fsync", full)
        desk.refuse(study, "cannot write .*: the disk is full")
    with monkeypatch.context() as patch:
        patch.setattr("medseg.review.uploads.Path.open", full)
        with pytest.raises(OutputError, match="^the folder of uploads cannot be written to: the disk is full$"):
            receive(desk.session, [("a", [b"1"])], desk.config.limits)
    assert desk.is_empty()


class Cancelling(Told):
    """Cancels or closes when a stage begins."""

    def __init__(self, act, stage):
        super().__init__()
        self.act, self.stage = act, stage

    def start(self, label, total):
        super().start(label, total)
        if label == self.stage:
            self.act()


@pytest.mark.parametrize("stage", ["unpacking", "reading headers", "de-identifying"])
@pytest.mark.parametrize("act", ["cancel", "close"])
def test_an_upload_that_is_cut_off_leaves_nothing(desk, study, stage, act):
    reason = {"cancel": "the upload was cancelled, nothing of it was kept", "close": "this session has ended"}[act]
    with pytest.raises(InputError, match=f"^{reason}"):
        desk.upload({"x.zip": zipped(study)}, progress=Cancelling(getattr(desk.session, act), stage))
    assert desk.is_empty()
    assert desk.session.is_open == (act == "cancel")
    assert desk.session.uploads == []
    if act == "close":
        assert [path.name for path in (desk.config.folder / "sessions").iterdir()] == [".lock"]


def test_receiving_is_cut_off_by_another_thread(desk):
    begun = threading.Event()

    def parts():
        while True:
            begun.set()
            time.sleep(0.001)
            yield b"voxels"

    def close():
        begun.wait()
        desk.session.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(InputError, match="this session has ended"):
        receive(desk.session, [("a", parts())], desk.config.limits)
    thread.join()
    assert [path.name for path in (desk.config.folder / "sessions").iterdir()] == [".lock"]


def test_pages_that_went_away_are_told(desk, study):
    desk.session.close()
    with pytest.raises(InputError, match="this session has ended"):
        desk.upload(study)


def test_files_that_grow_beyond_the_limit_while_they_are_cleaned(tmp_path, monkeypatch, study):
    in_this_process(monkeypatch)
    monkeypatch.setattr("medseg.review.upload_run._SECONDS_BETWEEN_SIZES", 0.0)
    desk = Desk(tmp_path)
    monkeypatch.setattr(desk.session, "_most_bytes", sum(map(len, study.values())) + 100)
    assert not desk.session.uploads
    with pytest.raises(InputError, match="temporary files of this session reach the limit"):
        desk.upload(study)
    assert desk.is_empty()
    desk.sessions.close()


def test_pictures_are_taken_too(desk, tmp_path_factory, monkeypatch):
    monkeypatch.setattr("medseg.deid.study._finder", lambda: None)
    folder = tmp_path_factory.mktemp("capture")
    write_study(folder)
    write_capture(folder / "capture")
    (case,) = desk.upload(content_of(folder))
    assert case.modality == "CT"
    ((waiting,),) = [upload.held for upload in desk.session.uploads]
    assert waiting.modality == "OT"


def test_a_profile_for_returning_objects_is_no_way_round(tmp_path, monkeypatch, study):
    in_this_process(monkeypatch)
    (tmp_path / "back.yaml").write_text("name: back\nmode: return\n")
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, profile="back.yaml")
    assert len(desk.upload(study)) == 1
    assert leaks(desk.config.folder) == set()
    desk.sessions.close()


def test_uploads_wait_for_each_other(desk, study, monkeypatch):
    """No more than two are cleaned at a time, and one that waits can be cancelled."""
    gate = threading.BoundedSemaphore(1)
    monkeypatch.setattr("medseg.review.upload_run._at_once", gate)
    with gate, pytest.raises(InputError, match="the upload was cancelled"):
        desk.upload(study, progress=Cancelling(desk.session.cancel, "waiting for other uploads"))
    assert desk.is_empty()
    assert len(desk.upload(study)) == 1


def test_a_series_of_too_many_voxels_is_left_out(desk, study, monkeypatch):
    real = cleaning_process.clean_apart

    def stricter(request, folder, progress):
        return real(request.model_copy(update={"most_mb": -1}), folder, progress)

    monkeypatch.setattr(cleaning_process, "clean_apart", stricter)
    desk.refuse(study, "a series .CT. of 2 files is left out: 0 MB of voxels, of which -1 MB are shown at most")
