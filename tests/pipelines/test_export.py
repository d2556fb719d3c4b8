"""Models for programs that do not have medseg."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from ball_cases import CASES, write_balls
from factories import configured_bundle
from trained_balls import trained_balls

import medseg
from medseg.core.errors import BundleError, InputError
from medseg.inference.bundle import BundleRecords, read_bundle, write_bundle
from medseg.inference.ensemble import ensemble
from medseg.inference.export_forms import ExportForm
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import read_label_map, read_volume
from medseg.pipelines import export as pipeline
from medseg.pipelines.export import ExportOptions, export

SPLIT = {"train": [*CASES[:4]], "validation": [*CASES[4:]], "test": []}


@pytest.fixture(scope="module")
def balls(tmp_path_factory):
    return write_balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "bundle"
    write_bundle(folder, trained_balls(), BundleRecords(SPLIT, {}))
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(ExportForm.ONNX, marks=pytest.mark.slow),
        *(form for form in ExportForm if form is not ExportForm.ONNX),
    ],
)
def test_an_export_is_a_folder_that_says_how_good_it_is(trained, balls, tmp_path, form):
    made = export(trained, tmp_path / "made", ExportOptions(form, data=balls))
    found = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    assert found >= {*form.files, "model.json", "README.md", "agreement.json"}
    (network,) = json.loads((made.folder / "agreement.json").read_text())["networks"]
    assert network["windows"]["of"] == "cases"
    assert network["windows"]["equal_voxels"] > 0.999
    assert network["windows"]["largest_difference"] < 1e-2
    assert network["cases"]["cases"] == 2
    assert network["cases"]["dice"] == pytest.approx(network["cases"]["dice_exported"], abs=1e-3)
    assert min(network["cases"]["dice"]) > 0.9
    assert "on 2 cases it is 100.000 % of the voxels" in (made.folder / "README.md").read_text()
    assert made.rows()[0]["Dice, exported"] > 0.9


def test_without_data_noise_judges(trained, tmp_path):
    made = export(trained, tmp_path / "made", ExportOptions(ExportForm.TORCH_EXPORT))
    (network,) = json.loads((tmp_path / "made" / "agreement.json").read_text())["networks"]
    assert (network["windows"]["of"], network["windows"]["windows"]) == ("noise", 4)
    assert "cases" not in network
    assert made.rows()[0]["Dice, torch"] is None


def test_an_earlier_export_is_replaced_and_nothing_else(trained, tmp_path):
    options = ExportOptions(ExportForm.TORCH_EXPORT)
    export(trained, tmp_path / "made", options)
    (tmp_path / "made" / "old").write_text("")
    export(trained, tmp_path / "made", options)
    assert not (tmp_path / "made" / "old").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("")
    with pytest.raises(InputError, match="something else than an earlier export"):
        export(trained, tmp_path / "mine", options)
    assert (tmp_path / "mine" / "letter").exists()


def test_each_network_of_a_bundle_is_written(trained, tmp_path):
    one = read_bundle(trained)
    write_bundle(tmp_path / "both", ensemble([one, one]))
    made = export(tmp_path / "both", tmp_path / "made", ExportOptions(ExportForm.TORCH_EXPORT))
    assert [network.place for network in made.networks] == ["members/0", "members/1"]
    assert all((made.folder / place / "model.pt2").is_file() for place in ("members/0", "members/1"))
    assert "`members/1`: on 4 windows of noise" in (made.folder / "README.md").read_text()


def test_integers_go_into_a_bundle_and_predict(copied, balls, tmp_path):
    made = export(copied, None, ExportOptions(ExportForm.OPENVINO, int8=True, data=balls, into_bundle=True))
    record = made.networks[0].record
    assert record.fall < 0.2
    assert (record.training_cases, record.held_out_cases, record.windows) == (4, 2, 12)
    assert "in 8-bit integers" in (copied / "card.md").read_text()
    image = balls / "images" / "c4.nii.gz"
    settings = PredictionSettings("cpu", "int8")
    medseg.predict(copied, [image], tmp_path / "labels", medseg.PredictOptions(settings))
    found = read_label_map(tmp_path / "labels" / "c4.nii.gz").array
    wanted = Predictor(read_bundle(copied), PredictionSettings("cpu", "fp32")).predict(read_volume(image)).labels.array
    assert np.mean(found == wanted) > 0.99
    write_bundle(copied, read_bundle(copied))
    with pytest.raises(BundleError, match="holds no int8 model"):
        Predictor(read_bundle(copied), settings)


def test_integers_are_exported_for_openvino(trained, balls, tmp_path):
    options = ExportOptions(ExportForm.OPENVINO, int8=True, data=balls)
    made = export(trained, tmp_path / "made", options)
    (network,) = json.loads((made.folder / "agreement.json").read_text())["networks"]
    assert network["precision"] == "int8"
    assert "8-bit integers" in (made.folder / "README.md").read_text()
    assert (made.folder / "int8.json").is_file()


def test_integers_that_cost_too_much_are_refused_with_the_figure(copied, balls, tmp_path, monkeypatch):
    torch.manual_seed(1)
    broken = configured_bundle(read_bundle(copied).config).members[0].network
    whole = pipeline.openvino_model(broken, (1, 1, 12, 12, 12))
    monkeypatch.setattr(pipeline, "quantised", lambda model, windows: whole)
    options = ExportOptions(ExportForm.OPENVINO, int8=True, data=balls)
    with pytest.raises(InputError, match=r"Dice of 2 held-out cases falls by \d\d\.\d\d points, from 0\.9\d+ to 0\."):
        export(copied, tmp_path / "made", options)
    assert not (tmp_path / "made").exists()
    with pytest.raises(InputError, match="allowed are less than 0.2"):
        export(copied, None, ExportOptions(ExportForm.OPENVINO, int8=True, data=balls, into_bundle=True))
    assert not (copied / "int8").exists()


@pytest.mark.parametrize(
    ("output", "options", "sentence"),
    [
        ("made", {"form": ExportForm.ONNX, "int8": True}, "int8 is for --to openvino"),
        ("made", {"form": ExportForm.OPENVINO, "int8": True}, "name a data set by --calibrate-on"),
        (None, {"into_bundle": True}, "only an int8 model goes into a bundle"),
        (None, {}, "name the folder for the result by -o"),
    ],
)
def test_options_that_do_not_go_together_are_refused(trained, tmp_path, output, options, sentence):
    with pytest.raises(InputError, match=sentence):
        export(trained, output and tmp_path / output, ExportOptions(**options))
