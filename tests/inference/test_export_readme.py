"""What an export says about itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from factories import bundle

from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.export_forms import ExportForm, write_network
from medseg.inference.export_readme import model_facts, readme

CT = {"name": "CT", "intensity": "ct", "clip": (-100.0, 200.0), "mean": 20.0, "std": 80.0}
PREPROCESSING = {"orientation": "LPS", "spacing": (1.5, 1.5, 3.0), "resample_slices": False, "crop": "nonzero"}
CLEAN = {"largest_component": ("one",)}


def made(**changes):
    channels = [CT, {"name": "PET", "optional": True}]
    return bundle(channels=channels, preprocessing=PREPROCESSING, postprocessing=CLEAN, **changes)


def test_facts_hold_all_that_a_program_needs():
    facts = model_facts(made(), ExportForm.ONNX, [""])
    json.dumps(facts, allow_nan=False)
    (network,) = facts["networks"]
    assert (network["files"], network["input"], network["window"]) == (["model.onnx"], [1, 2, 16, 16, 16], [16, 16, 16])
    assert network["channels"][0] | CT == network["channels"][0] | {"clip": [-100.0, 200.0]} | CT
    assert network["preprocessing"]["spacing"] == [1.5, 1.5, 3.0]
    assert facts["outputs"]["channels"] == [
        {"index": 0, "name": "background", "value": 0},
        {"index": 1, "name": "one", "value": 1},
        {"index": 2, "name": "two", "value": 2},
    ]
    assert facts["inference"]["overlap"] == 0.5
    assert facts["postprocessing"]["largest_component"] == ["one"]


def test_a_readme_says_the_same_in_words():
    calibrated = replace(made(), calibration=Calibration(temperature=1.5))
    text = readme(calibrated, ExportForm.ONNX, [""], ["It agrees."])
    for sentence in (
        "point to LPS",
        "border that is exactly zero",
        "`CT`: clip to -100 to 200, subtract 20, divide by 80",
        "`PET`: subtract the mean of the whole image, divide by its standard deviation; zeros if the image lacks it",
        "voxels of 1.5 x 1.5 x 3 mm along the first two axes",
        "windows of 16 x 16 x 16 voxels that overlap by 0.5",
        "0 background, 1 one, 2 two",
        "Divide logits by 1.5",
        "largest component",
        "- It agrees.",
    ):
        assert sentence in text


def test_thresholds_and_several_networks_are_told():
    labels = {"structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}], "overlapping": True}
    one = replace(bundle(labels=labels), calibration=Calibration(thresholds={"two": 0.3}))
    text = readme(ensemble([one, one]), ExportForm.OPENVINO, ["members/0", "members/1"], [])
    assert "There are 2 networks, in `members/0`, `members/1`" in text
    assert "0 one above 0.5, 1 two above 0.3" in text
    assert 'compile_model("members/0/model.xml"' in text
    facts = model_facts(ensemble([one, one]), ExportForm.OPENVINO, ["members/0", "members/1"])
    assert facts["networks"][1]["files"] == ["members/1/model.xml", "members/1/model.bin"]
    assert facts["outputs"]["thresholds"] == {"one": 0.5, "two": 0.3}
    assert "compute the\nprobabilities of each" in text
    (line,) = re.findall(r"classes = (.*)", text)
    logits = np.array([0.1, -0.1, -0.8, -0.9]).reshape(1, 2, 2, 1, 1)
    assert eval(line, {"logits": logits, "np": np}).tolist() == [[[[[True]], [[False]]], [[[True]], [[False]]]]]  # noqa: S307


def test_a_model_that_averages_logits_says_so():
    one = bundle(inference={"average": "logits"}, preprocessing=PREPROCESSING | {"resampling": "nnunet"})
    text = readme(ensemble([one, one]), ExportForm.OPENVINO, ["members/0", "members/1"], [])
    assert "compute the\nlogits of each, and take their mean; of networks with other windows or voxels" in text
    assert "Logits of windows are blended" in text
    assert "more than 3 times as coarse as the finest, before it or else after it, take the nearest slice. Clip" in text


@pytest.mark.parametrize(
    "form", [pytest.param(ExportForm.ONNX, marks=pytest.mark.slow), ExportForm.OPENVINO, ExportForm.TORCH_EXPORT]
)
def test_the_lines_of_a_readme_run(tmp_path, monkeypatch, form):
    model = bundle()
    write_network(form, model.members[0].network, (1, 1, 16, 16, 16), tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", readme(model, form, [""], []), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(lines, names)  # noqa: S102 - our own text
    assert names["classes"].shape == (1, 16, 16, 16)
