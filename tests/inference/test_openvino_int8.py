"""Networks in 8-bit integers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import bundle, volume

from medseg.core.errors import BundleError
from medseg.inference.bundle_files import INT8, RECORD
from medseg.inference.network import weights_digest
from medseg.inference.openvino_int8 import Int8Record, load_int8, quantised, read_int8_record
from medseg.inference.openvino_model import OpenVINORunner, openvino_model, save_openvino
from medseg.inference.predictor import Predictor
from medseg.inference.runner import TorchRunner
from medseg.inference.settings import PredictionSettings

SHAPE = (1, 1, 16, 16, 16)


def images(count):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SHAPE[1:], dtype=np.float32) for _ in range(count)]


def record(network, **changes) -> Int8Record:
    numbers = {"windows": 4, "training_cases": 2, "held_out_cases": 1, "dice": 0.9, "dice_int8": 0.899}
    told = {"weights": weights_digest(network), "shape": SHAPE, "equal_voxels": 0.999, "versions": {}}
    return Int8Record(**numbers | told | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle, and the folder of its network in integers."""
    torch.manual_seed(0)
    model, folder = bundle(), tmp_path_factory.mktemp("bundle") / INT8
    folder.mkdir()
    network = model.members[0].network
    save_openvino(quantised(openvino_model(network, SHAPE), images(4)), folder)
    (folder / RECORD).write_text(record(network).model_dump_json())
    return replace(model, members=(replace(model.members[0], int8=folder),)), folder


@pytest.fixture
def copied(made, tmp_path):
    for path in made[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def load(made, folder):
    return load_int8(folder, weights_digest(made[0].members[0].network), SHAPE)


def test_integers_are_close_to_floats_and_not_equal(made):
    model, folder = made
    runner, by_torch = OpenVINORunner(load(made, folder)), TorchRunner(model.members[0].network)
    (image,) = images(1)
    with torch.inference_mode():
        found, wanted = (one(torch.from_numpy(image)[None]) for one in (runner, by_torch))
    assert 1e-4 < float((found - wanted).norm() / wanted.norm()) < 0.1


def test_the_file_holds_integers(made):
    text = (made[1] / "model.xml").read_text()
    assert "FakeQuantize" in text
    assert 'element_type="i8"' in text


def test_a_predictor_takes_them(made):
    image = volume()
    labels = Predictor(made[0], PredictionSettings("cpu", "int8")).predict(image).labels
    wanted = Predictor(made[0], PredictionSettings("cpu", "fp32")).predict(image).labels
    assert np.mean(labels.array == wanted.array) > 0.8  # random weights: near-ties everywhere


def test_a_bundle_without_them_says_how_to_make_them():
    with pytest.raises(BundleError, match="holds no int8 model; medseg export BUNDLE"):
        Predictor(bundle(), PredictionSettings("cpu", "int8"))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.bin").write_bytes(b""), "missing, empty or too large"),
        (lambda folder: (folder / "model.xml").unlink(), "missing, empty or too large"),
        (lambda folder: (folder / "model.xml").write_text("<net"), "damaged; make it anew"),
        (lambda folder: (folder / RECORD).write_text("{}"), "int8.json cannot be read"),
        (lambda folder: (folder / RECORD).unlink(), "holds no int8 model"),
    ],
)
def test_a_damaged_model_is_an_error(made, copied, damage, sentence):
    damage(copied)
    with pytest.raises(BundleError, match=sentence):
        load(made, copied)


@pytest.mark.parametrize("change", [{"weights": "0" * 64}, {"shape": (1, 1, 32, 16, 16)}])
def test_the_model_of_other_weights_or_windows_is_refused(made, copied, change):
    tree = json.loads((copied / RECORD).read_text())
    (copied / RECORD).write_text(json.dumps(tree | change))
    with pytest.raises(BundleError, match="other weights or another window"):
        load(made, copied)


def test_the_fall_is_in_hundredths(made):
    assert read_int8_record(made[1]).fall == pytest.approx(0.1)


def test_the_digest_changes_with_names_types_shapes_and_values():
    torch.manual_seed(0)
    one, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    assert weights_digest(one) != weights_digest(other)
    other.load_state_dict(one.state_dict())
    assert weights_digest(one) == weights_digest(other)
    assert weights_digest(one) != weights_digest(other.double())
    assert weights_digest(torch.nn.Sequential(one)) != weights_digest(one)
