"""``medseg export``, and other runtimes, at the command line."""

from __future__ import annotations

import json

import pytest
from command_line import fails
from factories import volume

from medseg.io.formats import write_volume


def test_a_table_says_how_far_the_export_agrees(medseg, model, tmp_path):
    done = medseg("export", model, "--to", "torch-export", "-o", "made", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["same label, %"] == 100
    assert json.loads(done.out)[0]["largest logit difference"] < 1e-4
    assert "wrote made" in done.err
    assert (tmp_path / "made" / "model.pt2").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--to", "onnx"), "name the folder for the result by -o"),
        (("--to", "openvino", "--int8", "-o", "made"), "name a data set by --calibrate-on"),
        (("--to", "openvino", "--int8", "-o", "made", "--calibrate-on", "nowhere"), "does not exist"),
        (("--to", "openvino", "--into-bundle"), "only an int8 model goes into a bundle"),
    ],
)
def test_wrong_requests_are_one_sentence(medseg, model, arguments, sentence):
    fails(medseg("export", model, *arguments), sentence)


def test_a_prediction_names_its_runtime(medseg, model, tmp_path):
    write_volume(tmp_path / "a.nii.gz", volume())
    for runtime in ("torch", "openvino"):
        done = medseg("predict", model, "a.nii.gz", "--device", "cpu", "--runtime", runtime, "-o", runtime)
        assert done.code == 0, done.err
        assert (tmp_path / runtime / "a.nii.gz").is_file()
    fails(medseg("predict", model, "a.nii.gz", "--device", "cpu", "--precision", "int8"), "holds no int8 model")
    fails(medseg("predict", model, "a.nii.gz", "--runtime", "onnx", "--precision", "bf16"), "computes in fp32")
