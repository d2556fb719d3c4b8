import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from case_factories import ADMIN, ANN, SENIOR
from exported_cases import corrected, dicom_case, house, small_nifti_case

from medseg.batch.outputs import ResultForm
from medseg.config.load import load_profile
from medseg.core.errors import InputError, OutputError
from medseg.io.formats import read_label_map, read_volume
from medseg.io.label_files import read_outlines
from medseg.pipelines.deidentify import DeidentifyOptions, deidentify
from medseg.review.edits import volumes_ml
from medseg.review.export import REPORT, ExportMode, ExportRequest, export_case
from medseg.review.makers import is_reader
from medseg.review.records import LOCAL_READER, Act, Decision, ModelStamp, Origin, Verdict
from medseg.review.rows import NewVersion

MARKED = {"PatientName": "MARKER^NAME", "PatientID": "MARKERID", "AccessionNumber": "MARKERACC"}


@pytest.fixture
def begun(tmp_path):
    place = house(tmp_path)
    with place.store:
        yield place, *corrected(place, dicom_case(tmp_path / "case", **MARKED))


def exported(begun, forms, mode=ExportMode.RETURN):
    place, case, version = begun
    return export_case(place, case, ExportRequest(version.number, tuple(forms), mode), SENIOR)


def test_every_form_reads_back_as_the_version(begun):
    place, case, version = begun
    forms = (ResultForm.SEG, ResultForm.SEG_LABELMAP, ResultForm.RTSTRUCT, ResultForm.NIFTI, ResultForm.NRRD)
    folder = exported(begun, forms)
    expected = place.vault.get(version.sha256, case.volume.geometry)
    assert {path.name for path in folder.iterdir()} == {
        "seg.dcm", "seg_labelmap.dcm", "rtstruct.dcm", "labels.nii.gz", "labels.seg.nrrd", REPORT
    }  # fmt: skip
    for name in ("seg.dcm", "seg_labelmap.dcm", "rtstruct.dcm", "labels.seg.nrrd", "labels.nii.gz"):
        found = read_outlines(folder / name, case.volume.geometry, case.scheme).labels
        assert np.array_equal(found.reoriented(case.volume.geometry.axis_codes).array, expected.array)
    assert read_label_map(folder / "labels.nii.gz").geometry.is_close(expected.geometry)


def test_objects_for_the_house_refer_to_the_original_and_say_who_outlined_what(begun):
    folder = exported(begun, [ResultForm.SEG])
    source = {pydicom.dcmread(path).SOPInstanceUID for path in (folder.parents[2] / "case" / "ct").iterdir()}
    seg = pydicom.dcmread(folder / "seg.dcm")
    referred = {one.ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == source
    assert [one.SegmentAlgorithmType for one in seg.SegmentSequence] == ["SEMIAUTOMATIC", "MANUAL"]
    assert seg.ContentCreatorName == SENIOR.name
    assert seg.PatientID == "MARKERID"


def test_the_prediction_itself_was_made_by_the_model_alone(begun):
    place, case, _ = begun
    seg = pydicom.dcmread(export_case(place, case, ExportRequest(0, (ResultForm.SEG,)), SENIOR) / "seg.dcm")
    assert [one.SegmentAlgorithmType for one in seg.SegmentSequence] == ["AUTOMATIC", "AUTOMATIC"]
    assert not seg.ContentCreatorName


def test_exporting_again_gives_the_same_objects_in_another_folder(begun):
    first, second = (exported(begun, [ResultForm.SEG, ResultForm.RTSTRUCT]) for _ in range(2))
    assert first != second
    for name in ("seg.dcm", "rtstruct.dcm"):
        uids = {pydicom.dcmread(folder / name).SOPInstanceUID for folder in (first, second)}
        assert len(uids) == 1


def test_a_release_names_nobody_and_refers_to_the_deidentified_study(begun, tmp_path):
    place, case, version = begun
    place.store.decide(
        Decision(case.files.name, version.number, SENIOR.name, Verdict.ACCEPTED, 1.7e9, comment="MARKERID again"),
        SENIOR,
    )
    folder = exported(begun, [ResultForm.SEG, ResultForm.RTSTRUCT, ResultForm.NIFTI], ExportMode.RELEASE)
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    originals = [str(pydicom.dcmread(path).SOPInstanceUID) for path in (tmp_path / "case" / "ct").iterdir()]
    for secret in (*MARKED.values(), SENIOR.name, *originals):
        assert secret.encode() not in everything
    options = DeidentifyOptions(load_profile("basic"), place.config.key, workers=0)
    released = deidentify(tmp_path / "case" / "ct", tmp_path / "released", options).output
    expected = {pydicom.dcmread(path).SOPInstanceUID for path in released.rglob("*.dcm")}
    seg = pydicom.dcmread(folder / "seg.dcm")
    referred = {one.ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == expected
    found = read_outlines(folder / "seg.dcm", read_volume(next(iter(released.rglob("*.dcm"))).parent).geometry)
    assert found.labels.array.astype(bool).sum() == place.vault.get(version.sha256).array.astype(bool).sum()
    assert not list(place.config.folder.glob(".export-*"))


def test_two_exports_at_once_get_two_folders(begun):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: exported(begun, [ResultForm.NIFTI]), range(4)))
    assert len(set(folders)) == 4
    assert all((folder / REPORT).is_file() for folder in folders)


def test_an_export_that_cannot_be_logged_is_not_made(begun, monkeypatch):
    place, _, _ = begun

    def full(*_):
        raise OutputError("the database cannot be written")

    monkeypatch.setattr(place.store, "log", full)
    with pytest.raises(OutputError, match="database"):
        exported(begun, [ResultForm.NIFTI])
    assert list((place.config.folder / "exports").iterdir()) == []


def test_outlines_of_a_second_model_carry_its_name(begun):
    place, case, version = begun
    labels = replace(case.prediction.labels, array=np.roll(case.prediction.labels.array, 1, axis=0))
    sha256 = place.vault.put(labels)
    new = NewVersion(case.files.name, version.number, "second", sha256, volumes_ml(case.prediction))
    kept = place.store.add_version(new, SENIOR)
    facts = {"model": "second", "version": "7.1", "digest": "ab", "kept as": str(kept.number)}
    place.store.log(Act.INFERRED, SENIOR, case.files.name, facts)
    seg = pydicom.dcmread(export_case(place, case, ExportRequest(kept.number, (ResultForm.SEG,)), SENIOR) / "seg.dcm")
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("second", "7.1")


def test_outlines_keep_the_model_that_made_them_when_another_one_runs_later(begun):
    place, case, version = begun
    record = replace(case.files.record, model=ModelStamp("later model", "7.1", "ab"))
    place.store.add_case(record, SENIOR)
    again = replace(case, files=replace(case.files, record=record))
    folder = export_case(place, again, ExportRequest(version.number, (ResultForm.SEG,)), SENIOR)
    algorithm = pydicom.dcmread(folder / "seg.dcm").SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "unknown model"
    assert "later model" not in (folder / REPORT).read_text()


def test_an_upload_leaves_for_its_owner_and_for_release_only(tmp_path):
    place = house(tmp_path)
    with place.store:
        files = dicom_case(tmp_path / "case")
        files = replace(files, record=replace(files.record, owner=SENIOR.name, origin=Origin.UPLOAD))
        case, version = corrected(place, files)
        with pytest.raises(InputError, match="export for release"):
            export_case(place, case, ExportRequest(version.number), SENIOR)
        with pytest.raises(InputError, match="no such case"):
            export_case(place, case, ExportRequest(version.number, mode=ExportMode.RELEASE), ADMIN)
        assert export_case(place, case, ExportRequest(version.number, mode=ExportMode.RELEASE), SENIOR).is_dir()


def test_each_export_is_in_the_log(begun):
    place, case, version = begun
    exported(begun, [ResultForm.NIFTI])
    entry = [one for one in place.store.entries() if one.act == Act.EXPORTED][-1]
    assert (entry.who, entry.case) == (SENIOR.name, case.files.name)
    assert entry.facts == {"version": version.number, "forms": "nifti", "mode": "return"}


def test_markup_in_a_comment_is_text(begun):
    place, case, version = begun
    evil = "<script>alert(1)</script>"
    place.store.decide(
        Decision(case.files.name, version.number, SENIOR.name, Verdict.REJECTED, 1.7e9, comment=evil), SENIOR
    )
    text = (exported(begun, [ResultForm.NIFTI]) / REPORT).read_text()
    assert evil not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "rejected" in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)


def test_a_reader_may_not_export(begun):
    place, case, version = begun
    with pytest.raises(InputError, match="ask a senior"):
        export_case(place, case, ExportRequest(version.number), ANN)
    assert not (place.config.folder / "exports").exists()


def test_a_version_that_is_not_there(begun):
    place, case, _ = begun
    with pytest.raises(InputError, match="no version 7"):
        export_case(place, case, ExportRequest(7), SENIOR)


def test_what_is_no_dicom_series_becomes_no_dicom_object(tmp_path):
    place = house(tmp_path)
    with place.store:
        case, version = corrected(place, small_nifti_case(tmp_path / "case", "case-b"))
        with pytest.raises(InputError, match="is no DICOM series"):
            export_case(place, case, ExportRequest(version.number, (ResultForm.SEG,)), SENIOR)
        folder = export_case(place, case, ExportRequest(version.number, (ResultForm.NIFTI,)), SENIOR)
        found = read_label_map(folder / "labels.nii.gz")
        assert np.array_equal(found.array, place.vault.get(version.sha256).array)
        assert [path.name for path in (place.config.folder / "exports").iterdir()] == [folder.name]


def test_a_person_is_told_from_a_model():
    assert is_reader(LOCAL_READER)
    assert is_reader("ann@clinic.example")
    assert not is_reader("liver model 3")
