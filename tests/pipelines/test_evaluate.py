"""The verb as a whole: files in, tables and a page out."""

import csv
import json
import re

import numpy as np
import pytest
import SimpleITK
from factories import ball, geometry
from PIL import Image

from medseg.core.errors import InputError, OutputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.evaluation.intervals import Bootstrap
from medseg.io.formats import write_label_map, write_multi_label_map, write_volume
from medseg.pipelines.evaluate import EvaluateOptions, evaluate

GRID = Geometry(geometry((24, 24, 12), (1.0, 1.0, 2.0)).shape, geometry((24, 24, 12), (1.0, 1.0, 2.0)).affine)
QUICK = EvaluateOptions(bootstrap=Bootstrap(resamples=200), worst=2)
OUTPUTS = ["report.html", "scores.csv", "scores.json"]


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
    assert json.loads((tmp_path / "report" / "scores.json").read_text()) == found.to_json()
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
        assert "MARKER" not in (tmp_path / "report" / name).read_text()


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
    options = EvaluateOptions(tolerance=0.5, bootstrap=Bootstrap(resamples=100))
    strict = evaluate(predicted, data, tmp_path / "strict", options)
    loose = evaluate(predicted, data, tmp_path / "loose", QUICK)
    assert strict.rows[0].nsd < loose.rows[0].nsd == 1
    assert table(tmp_path / "strict")[0]["nsd_tolerance"] == "0.5"
    assert "NSD at 0.5 mm" in (tmp_path / "strict" / "report.html").read_text()


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
