"""What becomes of one study, whatever is wrong with it."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from batch_studies import (
    CPU,
    FITS,
    KEY,
    OVERLAPPING,
    Bands,
    Nested,
    datasets,
    files_below,
    settings,
    task_of,
    write_model,
    write_study,
)
from dicom_factories import MARKER, write_files
from factories import bundle, full_disk
from localised import localised, section

from medseg.batch import work
from medseg.batch.outputs import ResultForm, completed
from medseg.batch.receipt import read_receipt
from medseg.batch.records import Stage, Status, StudyResult
from medseg.batch.work import (
    STUDIES,
    StudyWorker,
    WorkSettings,
    damaged_files,
    model_digest,
    open_model,
    open_worker,
)
from medseg.config.selection import SelectionSection, SeriesRule
from medseg.core.errors import BundleError, InputError
from medseg.deid.names import SERIES, name_of
from medseg.inference.bundle import Bundle
from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.localiser import NOTHING_FOUND
from medseg.io.formats import read_label_map, read_multi_label_map, read_volume
from medseg.io.studies import Inventory

ALL = completed(tuple(ResultForm))
FILES = {
    *("labels.nii.gz", "labels.seg.nrrd", "preview.jpg", "probabilities.nii.gz", "report.dcm", "rtstruct.dcm"),
    *("seg.dcm", "seg_fractional.dcm", "seg_labelmap.dcm", "surfaces.mtl", "surfaces.obj"),
}


def do(chosen: WorkSettings, paths, model: Bundle | None = None, enter=lambda _: None, **task: str) -> StudyResult:
    opened = open_model(chosen)
    worker = StudyWorker(chosen, replace(opened, bundle=model) if model else opened)
    return worker.process(task_of(paths, **task), enter)


def folder_of(chosen: WorkSettings) -> Path:
    """The one result's folder."""
    (folder,) = (path for path in (chosen.output / STUDIES / "study-a").iterdir() if path.is_dir())
    return folder


def is_clean(chosen: WorkSettings) -> bool:
    """Whether nothing of the study is there, whole or half."""
    return files_below(chosen.output) == []


def test_a_study_becomes_every_form_and_a_receipt(tmp_path):
    paths, chosen, stages = write_study(tmp_path / "in"), settings(tmp_path, forms=ALL), []
    result = do(chosen, paths, bundle(Bands()), stages.append)
    assert (result.status, result.reason) == (Status.DONE, "")
    name = name_of(KEY, SERIES, str(pydicom.dcmread(paths[0]).SeriesInstanceUID))
    assert result.series == (name,)
    assert set(files_below(folder_of(chosen))) > FILES
    assert {one.name for one in result.outputs} == {f"{name}/{file}" for file in files_below(folder_of(chosen))}
    labels = read_label_map(folder_of(chosen) / "labels.nii.gz")
    assert np.allclose(labels.geometry.reoriented("LPS").affine, FITS.affine, atol=1e-4)
    voxel_ml = np.prod(FITS.spacing) / 1000
    for value, one in enumerate(result.measured, start=1):
        assert one.series == name
        assert one.volume_ml == pytest.approx((labels.array == value).sum() * voxel_ml) != 0
    assert stages == [Stage.READ, None, Stage.READ, None, Stage.PREDICT, None] + [Stage.WRITE, None] * 2
    receipt = read_receipt(chosen.output / STUDIES / "study-a")
    assert replace(receipt, seconds={}) == replace(result, seconds={})
    assert set(result.seconds) == set(Stage)


def test_results_are_for_those_whom_the_umask_allows(tmp_path):
    chosen = settings(tmp_path)
    do(chosen, write_study(tmp_path / "in"))
    for path in (chosen.output / STUDIES).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == (0o055 if path.is_dir() else 0o044), path.name


def test_one_version_gives_the_same_uids_and_another_gives_others(tmp_path):
    paths, chosen = (
        write_study(tmp_path / "in"),
        settings(tmp_path, forms=completed((ResultForm.SEG, ResultForm.REPORT))),
    )
    found = []
    for version in ("1", "1", "2"):
        do(chosen, paths, bundle(Bands()), version=version)
        heads = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder_of(chosen).glob("*.dcm"))]
        found.append([(str(head.SeriesInstanceUID), str(head.SOPInstanceUID)) for head in heads])
    assert found[0] == found[1]
    assert len({uid for pairs in found for pair in pairs for uid in pair}) == 8
    assert {str(head.StudyInstanceUID) for head in heads} == {str(pydicom.dcmread(paths[0]).StudyInstanceUID)}
    assert {str(head.SeriesNumber) for head in heads} == {"9001", "9005"}


def test_only_the_wanted_structures_are_in_any_form(tmp_path):
    paths, names = write_study(tmp_path / "in"), open_model(settings(tmp_path)).bundle.scheme.targets
    chosen = settings(tmp_path, forms=ALL)
    chosen = replace(chosen, prediction=replace(chosen.prediction, structures=names[1:2]))
    result = do(chosen, paths, bundle(Bands()))
    assert (result.status, result.reason) == (Status.DONE, "")
    assert [one.target for one in result.measured] == [names[1]]
    assert set(np.unique(read_label_map(folder_of(chosen) / "labels.nii.gz").array)) == {0, 2}
    segments = pydicom.dcmread(folder_of(chosen) / "seg.dcm").SegmentSequence
    assert [str(one.SegmentLabel) for one in segments] == [names[1]]
    assert read_volume(folder_of(chosen) / "probabilities.nii.gz").array.shape[0] == 1


def test_an_empty_prediction_is_a_result_in_every_form(tmp_path):
    chosen = settings(tmp_path, forms=ALL)
    result = do(chosen, write_study(tmp_path / "in"), bundle(Bands(above=1e6)))
    assert result.status is Status.DONE
    assert [one.volume_ml for one in result.measured] == [0.0, 0.0]
    assert FILES - {"surfaces.mtl"} < set(files_below(folder_of(chosen)))
    assert (folder_of(chosen) / "surfaces").is_dir()
    assert "nothing was outlined" in (folder_of(chosen) / "surfaces.obj").read_text()


def test_targets_that_overlap_are_written_in_every_form_that_can_hold_them(tmp_path):
    paths = write_study(tmp_path / "in")
    chosen = settings(tmp_path, forms=tuple(form for form in ALL if form is not ResultForm.SEG_LABELMAP))
    result = do(chosen, paths, bundle(Nested(), labels=OVERLAPPING))
    assert result.status is Status.DONE, result.reason
    assert FILES - {"seg_labelmap.dcm"} < set(files_below(folder_of(chosen)))
    masks = read_multi_label_map(folder_of(chosen) / "labels.nii.gz", ("both", "second"))
    assert masks.array.all(axis=0).any()
    assert read_volume(folder_of(chosen) / "probabilities.nii.gz").array.shape[0] == 2
    chosen = settings(tmp_path, forms=(ResultForm.SEG_LABELMAP,), output=tmp_path / "out2")
    chosen.output.mkdir()
    result = do(chosen, paths, bundle(Nested(), labels=OVERLAPPING))
    assert result.status is Status.FAILED
    assert "overlap" in result.reason
    assert is_clean(chosen)


def test_a_series_that_does_not_fit_is_skipped_with_the_reason(tmp_path):
    write_model(tmp_path / "model", channels=[{"name": "MR"}])
    chosen = settings(tmp_path)
    result = do(chosen, write_study(tmp_path / "in"))
    assert (result.status, result.reason) == (Status.SKIPPED, "its modality is CT, the rule wants MR")
    assert is_clean(chosen)
    rules = SelectionSection(channels={"MR": SeriesRule(modality="CT")})
    assert do(replace(chosen, selection=rules), write_study(tmp_path / "in")).status is Status.DONE


def test_size_counts_unless_it_is_not_to(tmp_path):
    paths, chosen = write_study(tmp_path / "in", grid=replace(FITS, columns=60)), settings(tmp_path)
    result = do(chosen, paths)
    assert result.status is Status.SKIPPED
    assert result.reason.startswith("it measures ")
    assert do(replace(chosen, any_size=True), paths).status is Status.DONE


LAST = FITS.slices - 1
"""The slice that leaves no gap when it is not there."""
HALF_READ = "1 of its files are damaged, so slices may be missing"


def cut_before(element: bytes):
    """Ends the last file before an element."""
    return lambda path: path.write_bytes(path.read_bytes().partition(element)[0])


def without(path, element: bytes):
    """Breaks an element of the last file."""
    path.write_bytes(path.read_bytes().replace(element, b"\xff" * 4))


DAMAGE = {
    "vanished": (lambda path: path.unlink(), HALF_READ),
    "no rows": (lambda path: without(path, b"\x28\x00\x10\x00"), "0 rows, 14 columns and 1 frames make no image"),
    "cut in its series": (cut_before(b"\x20\x00\x0e\x00"), "1 of its files are damaged"),
    "cut in its header": (cut_before(b"\x28\x00\x10\x00"), "no pixel data (1 of 10 files)"),
    "cut in its pixels": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "pixel data is 236 bytes, "),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_fails_its_study(tmp_path, what):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)
    damage, reason = DAMAGE[what]
    damage(paths[LAST])
    result = do(chosen, paths)
    assert result.status is Status.FAILED
    assert result.reason.startswith(reason)
    assert is_clean(chosen)


def test_a_file_that_vanishes_after_it_was_chosen_fails_the_study(tmp_path):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)
    seen = []

    def enter(stage):
        seen.append(stage)
        if seen == [Stage.READ, None, Stage.READ]:
            paths[0].unlink()

    result = do(chosen, paths, enter=enter)
    assert result.status is Status.FAILED
    assert MARKER not in result.reason
    assert "cannot be read" in result.reason
    assert is_clean(chosen)


def test_a_known_problem_is_the_reason(tmp_path):
    chosen = settings(tmp_path)
    task = replace(task_of(write_study(tmp_path / "in")), problem="3 files that are empty lie beside its files")
    result = StudyWorker(chosen, open_model(chosen)).process(task, lambda _: None)
    assert (result.status, result.reason) == (Status.FAILED, task.problem)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_without_uids_no_dicom_object_is_written_but_nifti_is(tmp_path, keyword):
    made = datasets(**({} if keyword == "SOPInstanceUID" else {keyword: ""}))
    if keyword == "SOPInstanceUID":
        for one in made:
            one.SOPInstanceUID = ""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, one in enumerate(made):
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        pydicom.dcmwrite(folder / str(number), one, enforce_file_format=False)
    paths = sorted(folder.iterdir())
    chosen, predicted = settings(tmp_path, forms=(ResultForm.SEG,)), []
    result = do(chosen, paths, enter=predicted.append)
    assert result.status is Status.FAILED
    assert result.reason.endswith("so no DICOM object can refer to it; write NIfTI or NRRD instead")
    assert Stage.PREDICT not in predicted
    assert do(settings(tmp_path), paths).status is Status.DONE


def test_missing_slices_fail_unless_they_are_to_be_filled(tmp_path):
    made = datasets()
    paths = write_files(tmp_path / "in", [*made[:4], *made[5:]])
    chosen = settings(tmp_path, forms=ALL)
    result = do(chosen, paths)
    assert result.status is Status.FAILED
    assert "1 of 10 slices missing" in result.reason
    result = do(replace(chosen, fill_gaps=True), paths, bundle(Bands()))
    assert result.status is Status.DONE, result.reason
    assert read_label_map(folder_of(chosen) / "labels.nii.gz").geometry.shape == (14, 12, 10)


def test_all_series_that_fit_are_predicted(tmp_path):
    paths = [
        *write_study(tmp_path / "in" / "one", SeriesDescription="one"),
        *write_study(tmp_path / "in" / "two", SeriesDescription="two"),
        *write_study(tmp_path / "in" / "far", grid=replace(FITS, columns=90)),
    ]
    chosen = settings(tmp_path, which="all")
    result = do(chosen, paths)
    assert result.status is Status.DONE
    assert len(result.series) == 2
    assert {path.name for path in (chosen.output / STUDIES / "study-a").iterdir()} == {*result.series, "result.json"}
    assert [one.target for one in result.measured] == ["one", "two"] * 2


def several(tmp_path, **flair):
    write_model(tmp_path / "model", channels=[{"name": "T1"}, {"name": "FLAIR"}])
    return [
        *write_study(tmp_path / "in" / "a", SeriesDescription="t2 flair", Modality="MR", **flair),
        *write_study(tmp_path / "in" / "b", SeriesDescription="t1", Modality="MR"),
    ]


def test_several_channels_are_read_in_the_models_order(tmp_path, monkeypatch):
    paths, chosen, seen = several(tmp_path, low=0), settings(tmp_path), []
    opened = open_model(chosen)
    worker = StudyWorker(chosen, opened)
    predict = worker._predictor.predict
    monkeypatch.setattr(worker._predictor, "predict", lambda volume: seen.append(volume) or predict(volume))
    assert worker.process(task_of(paths), lambda _: None).status is Status.DONE
    (volume,) = seen
    assert volume.channels == ("T1", "FLAIR")
    assert volume.array[0].min() < 0 <= volume.array[1].min()


def test_channels_on_two_grids_are_skipped(tmp_path):
    result = do(settings(tmp_path), several(tmp_path, grid=replace(FITS, origin=(0.0, 0.0, 0.0))))
    assert result.status is Status.SKIPPED
    assert "no series on its grid fits the others" in result.reason


def test_a_full_disk_is_the_reason_and_nothing_is_left(tmp_path, monkeypatch):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path, forms=ALL)
    with full_disk(6000):
        result = do(chosen, paths, bundle(Bands()))
    assert result.status is Status.FAILED
    assert "cannot write" in result.reason
    assert is_clean(chosen)
    monkeypatch.setattr(work.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**25 - 1}))
    result = do(chosen, paths)
    assert result.reason == "the disk of the results is full; make room and start the same command again"
    assert result.lacks_room


def test_an_output_folder_that_went_away_is_the_reason(tmp_path):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)
    chosen.output.rmdir()
    assert do(chosen, paths).reason == "the output folder is not there any more (No such file or directory)"


def test_memory_that_runs_out_fails_the_study(tmp_path, monkeypatch):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)

    def hungry(*_):
        raise MemoryError

    monkeypatch.setattr(work, "read_channels", lambda *_, **__: hungry())
    result = do(chosen, paths)
    assert (result.status, result.reason) == (Status.FAILED, "not enough memory for this study")
    assert set(result.seconds) == {Stage.READ}
    assert is_clean(chosen)


def test_results_of_an_earlier_version_are_replaced(tmp_path):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path, forms=(ResultForm.NIFTI, ResultForm.NRRD))
    do(chosen, paths, version="1")
    assert do(replace(chosen, forms=(ResultForm.NIFTI,)), paths, version="2").status is Status.DONE
    assert not list(chosen.output.rglob("*.nrrd"))
    assert read_receipt(chosen.output / STUDIES / "study-a").version == "2"


def test_the_worker_of_a_process_is_made_from_settings_alone(tmp_path):
    chosen = settings(tmp_path, thumbnails=False)
    result = open_worker(chosen, 1, 0).process(task_of(write_study(tmp_path / "in")), lambda _: None)
    assert result.status is Status.DONE
    assert files_below(folder_of(chosen)) == ["labels.nii.gz"]


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    chosen = settings(tmp_path)
    with pytest.raises(BundleError, match="is no bundle"):
        open_worker(replace(chosen, bundle=tmp_path / "nowhere"), 1, 0)
    (chosen.bundle / "facts.json").unlink()
    with pytest.raises(InputError, match="lacks facts.json"):
        model_digest(chosen.bundle)


def test_what_makes_a_model_makes_its_digest(tmp_path):
    one, other = write_model(tmp_path / "one"), write_model(tmp_path / "other", name="other")
    assert model_digest(one) == model_digest(one) != model_digest(other)
    assert CPU.device == "cpu"


def test_every_member_and_the_calibration_make_the_digest_of_a_model(tmp_path):
    torch.manual_seed(0)
    parts = [bundle(), bundle(dims=2), bundle(dims=2)]
    models = [ensemble(parts[:2]), ensemble(parts[::2])]
    models.append(replace(models[0], calibration=Calibration(temperature=1.5)))
    digests = [model_digest(write_model(tmp_path / str(number), made)) for number, made in enumerate(models)]
    assert len(set(digests)) == 3
    (tmp_path / "0" / "members" / "1" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="lacks members/1/model.safetensors"):
        model_digest(tmp_path / "0")


def test_a_localiser_that_finds_nothing_is_a_flag(tmp_path):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)
    about = {"structures": ("one", "two"), "channels": [{"name": "image"}]}
    lost = do(chosen, paths, localised(Bands(), localiser=section(least_ml=1e6), **about))
    assert [one.flags for one in lost.measured] == [(NOTHING_FOUND,)] * 2


def test_members_that_disagree_are_a_flag(tmp_path):
    paths, chosen = write_study(tmp_path / "in"), settings(tmp_path)
    alike = do(chosen, paths, ensemble([bundle(Bands()), bundle(Bands(above=0.55))]))
    assert [one.flags for one in alike.measured] == [(), ()]
    unlike = do(chosen, paths, ensemble([bundle(Bands()), bundle(Bands(above=1.2))]))
    assert all(one.volume_ml > 0 for one in unlike.measured)
    for one in unlike.measured:
        (flag,) = one.flags
        assert re.fullmatch(r"members agree by a Dice of 0\.[3-6]\d only", flag)


def test_what_the_mean_does_not_hold_is_not_flagged(tmp_path):
    made = ensemble([bundle(Bands(above=0.2)), bundle(Bands(above=1e6)), bundle(Bands(above=1e6))])
    result = do(settings(tmp_path), write_study(tmp_path / "in"), made)
    assert [(one.volume_ml, one.flags) for one in result.measured] == [(0.0, ()), (0.0, ())]


def test_only_files_that_may_be_slices_make_a_study_damaged():
    """A whole object without series and pixels, such as a report whose UIDs a cleaner emptied, may not."""
    assert damaged_files(Inventory((), other_files=1, unreadable=0, derived=1)) == ""
    assert damaged_files(Inventory((), other_files=2, unreadable=1, derived=1)).startswith("2 of its files are")
