"""The verb as a whole: files in, tables and a page out."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from factories import ball, bundle, geometry, label_map, volume
from PIL import Image

from medseg.core.errors import InputError, LabelError, OutputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.evaluation.as_json import as_json
from medseg.evaluation.attributes import AuditOptions
from medseg.evaluation.intervals import Bootstrap
from medseg.inference.bundle import BundleRecords, write_bundle
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import write_label_map, write_multi_label_map, write_volume
from medseg.metrics.table import ScoreSettings
from medseg.pipelines.evaluate import EvaluateOptions, evaluate
from medseg.pipelines.predict import PredictOptions, predict

GRID = Geometry(geometry((24, 24, 12), (1.0, 1.0, 2.0)).shape, geometry((24, 24, 12), (1.0, 1.0, 2.0)).affine)
QUICK = EvaluateOptions(bootstrap=Bootstrap(resamples=200), worst=2)
OUTPUTS = ["report.html", "scores.csv", "scores.json", "scores.parquet"]


def organs(shift=0, spleen=True):
    array = np.zeros(GRID.shape, np.uint8)
    array[ball(GRID.shape, (8 + shift, 10, 6), 5)] = 1
    array[ball(GRID.shape, (18, 14 + shift, 6), 3)] = 2 * spleen
    return LabelMap(array, GRID)


@pytest.fixture
def study(tmp_path):
    """A data set of images and labels, and predictions that are one voxel off."""
    data, predicted = tmp_path / "set", tmp_path / "predicted"
    for number in range(4):
        name = f"case{number}.nii.gz"
        write_volume(
            data / "images" / name,
            Volume(np.random.default_rng(number).normal(size=(1, *GRID.shape)).astype(np.float32), GRID),
        )
        write_label_map(data / "labels" / name, organs(spleen=number != 2))
        if number != 3:
            write_label_map(predicted / name, organs(shift=1, spleen=number == 0))
    (data / "labels.json").write_text(json.dumps({"liver": 1, "spleen": 2}))
    return data, predicted


def table(output):
    with (output / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_data_set_from_end_to_end(study, tmp_path):
    data, predicted = study
    found = evaluate(predicted, data, tmp_path / "report", QUICK)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == OUTPUTS
    rows = table(tmp_path / "report")
    assert [(row["case"], row["structure"], row["status"]) for row in rows] == [
        ("case0", "liver", "ok"), ("case0", "spleen", "ok"), ("case1", "liver", "ok"), ("case1", "spleen", "missed"),
        ("case2", "liver", "ok"), ("case2", "spleen", "both_empty"), ("case3", "", "no_prediction"),
    ]  # fmt: skip
    measures = SimpleITK.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(SimpleITK.ReadImage(f / "case0.nii.gz") for f in (predicted, data / "labels")))
    assert float(rows[0]["dice"]) == pytest.approx(measures.GetDiceCoefficient(1))
    assert float(rows[0]["hd95"]) == 1
    assert float(rows[0]["volume_reference"]) == pytest.approx(np.sum(organs().array == 1) * 2 / 1000)
    assert (rows[3]["hd95"], rows[5]["dice"]) == ("inf", "")
    assert not found.has_failures
    assert json.loads((tmp_path / "report" / "scores.json").read_text()) == as_json(found)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png") == 2
    assert "without its image" not in page


class Notes:
    def __init__(self):
        self.texts = []

    def start(self, label, total): ...

    def advance(self, steps=1): ...

    def note(self, text):
        self.texts.append(text)

    def finish(self): ...


def test_a_failed_case_is_a_row_and_the_others_count(study, tmp_path):
    data, predicted = study
    (predicted / "case0.nii.gz").write_bytes(b"\x1f\x8b broken")
    (predicted / "stranger.nii.gz").touch()
    progress = Notes()
    found = evaluate(predicted, data, tmp_path / "report", QUICK, progress)
    assert progress.texts[0].startswith("case0: ")
    assert progress.texts[1:] == [
        "1 case without a prediction; in no mean, listed in scores.csv",
        "1 case without a reference; in no mean, listed in scores.csv",
    ]
    assert found.has_failures
    (failed,) = (row for row in table(tmp_path / "report") if row["status"] == "failed")
    assert failed["case"] == "case0"
    assert failed["message"]
    assert found.summaries[0].means["dice"].cases == 2


def test_the_report_does_not_depend_on_paths_or_the_day(study, tmp_path):
    data, predicted = study
    for name in ("one", "two"):
        evaluate(predicted, data, tmp_path / name, QUICK)
    for name in OUTPUTS:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "one" / name).read_bytes()


def test_patients_of_a_manifest_are_the_unit_and_stay_unnamed(study, tmp_path):
    data, predicted = study
    manifest = data / "manifest.csv"
    lines = [f"case{n},MARKER^{'A' if n < 2 else 'B'},labels/case{n}.nii.gz,images/case{n}.nii.gz" for n in range(3)]
    manifest.write_text("\n".join(["case,patient,label,image.MR", *lines]) + "\n")
    found = evaluate(predicted, manifest, tmp_path / "report", QUICK)
    assert (found.summaries[0].means["dice"].patients, found.summaries[0].means["dice"].cases) == (2, 3)
    assert [row["patient"] for row in table(tmp_path / "report")] == ["1", "1", "1", "1", "2", "2"]
    for name in OUTPUTS:
        assert b"MARKER" not in (tmp_path / "report" / name).read_bytes()


def test_photographs_are_scored_in_pixels(tmp_path):
    array = np.zeros((20, 30), np.uint8)
    array[5:10, 5:15] = 1
    for folder, shift in (("predicted", 2), ("reference", 0)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.roll(array, shift, axis=1)).save(tmp_path / folder / "cell.png")
    evaluate(tmp_path / "predicted", tmp_path / "reference", tmp_path / "report", QUICK)
    (row,) = table(tmp_path / "report")
    assert (row["structure"], row["distance_unit"], row["volume_unit"]) == ("structure 1", "pixel", "pixel")
    assert (float(row["hd95"]), float(row["volume_reference"])) == (2, 50)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "HD95, pixel" in page
    assert not re.search(r"\bmm\b", page.split("<body>")[1])


def test_masks_that_overlap(tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"whole": [1, 2], "core": [2]}))
    whole = organs().array > 0
    masks = MultiLabelMap(np.stack([whole, organs().array == 2]), GRID, ("whole", "core"))
    write_multi_label_map(tmp_path / "predicted.nii.gz", masks)
    write_label_map(tmp_path / "reference.nii.gz", organs())
    options = EvaluateOptions(labels=labels, bootstrap=Bootstrap(resamples=100))
    evaluate(tmp_path / "predicted.nii.gz", tmp_path / "reference.nii.gz", tmp_path / "report", options)
    assert [(row["structure"], float(row["dice"])) for row in table(tmp_path / "report")] == [("whole", 1), ("core", 1)]


def test_a_tolerance_is_used_and_told(study, tmp_path):
    data, predicted = study
    options = EvaluateOptions(scores=ScoreSettings(tolerance=0.5), bootstrap=Bootstrap(resamples=100))
    strict = evaluate(predicted, data, tmp_path / "strict", options)
    loose = evaluate(predicted, data, tmp_path / "loose", QUICK)
    assert strict.rows[0].nsd < loose.rows[0].nsd == 1
    assert table(tmp_path / "strict")[0]["nsd_tolerance"] == "0.5"
    assert "NSD at 0.5 mm" in (tmp_path / "strict" / "report.html").read_text()


def test_a_structure_that_is_not_there_is_refused_first(study, tmp_path):
    data, predicted = study
    for options in (
        EvaluateOptions(scores=ScoreSettings(thin=frozenset({"vein"}))),
        EvaluateOptions(instances=("vein",)),
    ):
        with pytest.raises(LabelError, match="no structure 'vein' to .*; there are 'liver', 'spleen'"):
            evaluate(predicted, data, tmp_path / "report", options)
    assert not (tmp_path / "report").exists()


def with_probabilities(predicted, *names, value=0.9):
    for name in names:
        array = np.stack([np.where(organs().array == n, value, 0.05) for n in (1, 2)]).astype(np.float32)
        maps = Volume(array, GRID, ("liver", "spleen"))
        write_volume(predicted / f"{name}_probabilities.nii.gz", maps)


def test_everything_that_can_be_measured(study, tmp_path):
    data, predicted = study
    with_probabilities(predicted, "case0", "case1", "case2")
    (tmp_path / "attributes.csv").write_text("case,sex\ncase0,F\ncase1,M\ncase2,F\n")
    options = EvaluateOptions(
        scores=ScoreSettings(thin=frozenset({"spleen"})),
        instances=("spleen",),
        audit=AuditOptions(tmp_path / "attributes.csv"),
        bootstrap=Bootstrap(resamples=200),
        worst=0,
    )
    found = evaluate(predicted, data, tmp_path / "report", options)
    tree = json.loads((tmp_path / "report" / "scores.json").read_text())
    (lesions,) = tree["instances"]["summary"]
    assert (lesions["structure"], lesions["found"], lesions["missed"], lesions["false"]) == ("spleen", 1, 1, 0)
    assert lesions["average_precision"]["by_iou"]["0.50"] == pytest.approx(0.5, abs=0.01)
    ece = {one["structure"]: one["ece"] for one in tree["calibration"]["summary"]}
    assert ece["liver"]["cases"] == 3
    assert 0.05 < ece["liver"]["mean"] < 0.1
    assert tree["whole_map"]["classes"] == ["background", "liver", "spleen"]
    assert np.sum(tree["whole_map"]["confusion"]["total"]) == 3 * np.prod(GRID.shape)
    (audit,) = tree["subgroups"]["attributes"]
    assert [(group["value"], group["patients"], group["judged"]) for group in audit["groups"]] == [
        ("F", 2, False)
    ]  # fmt: skip
    assert audit["values_of_single_patients"] == 1
    assert float(table(tmp_path / "report")[1]["cl_dice"]) == pytest.approx(found.rows[1].cl_dice)
    page = (tmp_path / "report" / "report.html").read_text()
    titles = ("Instances", "Calibration", "Subgroups of patients", "Which structure is taken for which")
    assert all(f"<h2>{title}</h2>" in page for title in titles)
    assert "data:image/png" not in page


def test_what_predict_writes_is_calibrated(tmp_path):
    grid = geometry((16, 16, 16), (1.0, 1.0, 1.0))
    write_bundle(tmp_path / "model", bundle(), BundleRecords({}, {}))
    for number in range(2):
        write_volume(tmp_path / "images" / f"case{number}.nii.gz", volume(grid, seed=number))
        write_label_map(tmp_path / "labels" / f"case{number}.nii.gz", label_map(grid, seed=number))
    wanted = PredictOptions(PredictionSettings("cpu", probabilities=True, entropy=True), preview=True)
    predict(tmp_path / "model", [tmp_path / "images"], tmp_path / "predicted", wanted)
    for table_too in (True, False):
        if not table_too:
            (tmp_path / "predicted" / "predictions.csv").unlink()
        found = evaluate(tmp_path / "predicted", tmp_path / "labels", tmp_path / "report", QUICK)
        assert found.unscored == ()
        assert len(found.details.case_calibration) == 2 * len(found.scheme.targets)


def test_probabilities_that_are_none_are_a_row_and_a_failure(study, tmp_path):
    data, predicted = study
    with_probabilities(predicted, "case0", "case2")
    with_probabilities(predicted, "case1", value=np.nan)
    progress = Notes()
    found = evaluate(predicted, data, tmp_path / "report", QUICK, progress)
    assert progress.texts[0].startswith("case1: no calibration, the probability maps hold NaN")
    assert found.has_failures
    assert [row["status"] for row in table(tmp_path / "report") if row["case"] == "case1"] == [
        "ok", "missed", "no_calibration"
    ]  # fmt: skip
    assert len(found.cases) == 3
    assert {one.case for one in found.details.case_calibration} == {"case0", "case2"}


def test_the_manifest_tells_of_subgroups_without_being_asked(study, tmp_path):
    data, predicted = study
    lines = [f"case{n},labels/case{n}.nii.gz,images/case{n}.nii.gz,{'FM'[n % 2]},MARKER^{n}" for n in range(4)]
    (data / "manifest.csv").write_text("\n".join(["case,label,image.MR,sex,name", *lines]) + "\n")
    progress = Notes()
    found = evaluate(predicted, data / "manifest.csv", tmp_path / "report", QUICK, progress)
    assert [one.attribute for one in found.details.audit.attributes] == ["sex"]
    assert "no subgroups by 'name': nearly every patient has a value of their own" in progress.texts
    assert "MARKER" not in (tmp_path / "report" / "report.html").read_text()


def test_two_workers_write_what_one_writes(study, tmp_path):
    data, predicted = study
    with_probabilities(predicted, "case0", "case2")
    for workers in (1, 2):
        options = EvaluateOptions(instances=("liver",), bootstrap=Bootstrap(resamples=50), workers=workers, worst=1)
        evaluate(predicted, data, tmp_path / str(workers), options)
    for name in OUTPUTS:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_regions_may_overlap_and_have_instances_and_probabilities(study, tmp_path):
    data, predicted = study
    (data / "labels.json").write_text(json.dumps({"whole": [1, 2], "core": [2]}))
    with_probabilities(predicted, "case0")
    options = EvaluateOptions(instances=("whole",), bootstrap=Bootstrap(resamples=50), worst=1)
    found = evaluate(predicted, data, tmp_path / "report", options)
    assert found.details.whole_map is None
    assert [one.structure for one in found.details.calibration] == ["whole", "core"]
    lesions = found.details.instances[0].lesions  # three livers and two spleens, which do not touch them
    assert (lesions.found, lesions.missed, lesions.false) == (4, 1, 0)
    assert "Which structure is taken for which" not in (tmp_path / "report" / "report.html").read_text()


def test_without_pyarrow_one_note_tells_how_to_get_it(study, tmp_path, monkeypatch):
    data, predicted = study
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "scores.parquet").write_text("of an older run")
    monkeypatch.setattr("medseg.pipelines.evaluate.importlib.util.find_spec", lambda _: None)
    progress = Notes()
    evaluate(predicted, data, tmp_path / "report", QUICK, progress)
    assert [note for note in progress.texts if "parquet" in note] == [
        "scores.parquet is not written, for lack of pyarrow: pip install 'medseg[parquet]'"
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == OUTPUTS[:-1]


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [
        ("nowhere", "set", "nowhere' does not exist"),
        ("predicted", "nowhere", "nowhere' does not exist"),
        ("empty", "set", "no prediction has a reference of its name: no predictions, 4 references"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(study, tmp_path, predicted, reference, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path / predicted, tmp_path / reference, tmp_path / "report", QUICK)
    assert not (tmp_path / "report").exists()


def test_a_file_in_the_place_of_the_report_is_refused_first(study, tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(InputError, match="report' is a file; the report needs a folder"):
        evaluate(study[1], study[0], tmp_path / "report", QUICK)
    assert (tmp_path / "report").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_said(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of its path is a file"):
        evaluate(study[1], study[0], tmp_path / "file" / "report", QUICK)


@pytest.mark.real_data
def test_the_hippocampus_references_agree_with_themselves(real_data, tmp_path):
    data = real_data / "Task04_Hippocampus"
    found = evaluate(data / "labelsTr", data, tmp_path / "report", QUICK)
    assert [one.structure for one in found.summaries] == ["Anterior", "Posterior", "foreground mean"]
    assert all(row.dice == 1 and row.hd95 == 0 for row in found.rows)
    assert len(found.cases) == 200


def test_what_was_drawn_is_measured_on_both_sides(study, tmp_path):
    data, predicted = study
    evaluate(predicted, data, tmp_path / "out", replace(QUICK, measure=True))
    with (tmp_path / "out" / "measurements.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    sides = [(row["case"], row["side"]) for row in rows[:4]]
    assert sides == [("case0", "predicted")] * 2 + [("case0", "reference")] * 2
    by_name = {(row["case"], row["side"], row["structure"]): row for row in rows}
    drawn, missing = by_name["case1", "reference", "liver"], by_name["case1", "predicted", "spleen"]
    mask = organs().array == 1
    image = np.random.default_rng(1).normal(size=GRID.shape).astype(np.float32)
    assert float(drawn["volume"]) == pytest.approx(mask.sum() * 2 / 1000)
    assert float(drawn["mean"]) == pytest.approx(image[mask].mean(), rel=1e-5)
    assert (float(missing["volume"]), missing["mean"]) == (0, "")


def test_measurements_of_an_earlier_evaluation_do_not_stay(study, tmp_path):
    data, predicted = study
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "measurements.csv").write_text("of another evaluation")
    evaluate(predicted, data, tmp_path / "out", QUICK)
    assert not (tmp_path / "out" / "measurements.csv").exists()


def test_measurements_need_images(study, tmp_path):
    data, predicted = study
    with pytest.raises(InputError, match="measurements need the images; name the data set"):
        evaluate(
            predicted, data / "labels", tmp_path / "out", replace(QUICK, measure=True, labels=data / "labels.json")
        )
