"""Networks on other runtimes than torch."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import bundle, configured_bundle, geometry, run_config, volume
from fixed_network import Fixed
from network_sections import NAMES, fitting, tiny
from torch import nn

from medseg.core.errors import InputError
from medseg.inference import runtime, runtime_cache
from medseg.inference.devices import has_bf16
from medseg.inference.ensemble import ensemble
from medseg.inference.network import weights_digest
from medseg.inference.openvino_model import openvino
from medseg.inference.predictor import Predictor
from medseg.inference.replicas import SpreadRunner
from medseg.inference.runner import TorchRunner
from medseg.inference.runtime import device_for, make_runner, runtime_of
from medseg.inference.settings import PredictionSettings

CPU = torch.device("cpu")
FP32 = PredictionSettings("cpu", "fp32")
_EXPORTED = {}
OPENVINO, ONNX = replace(FP32, runtime="openvino"), replace(FP32, runtime="onnx")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_cache, "cache_folder", lambda: tmp_path / "networks")
    runtime._note_once.cache_clear()
    return tmp_path / "networks"


@pytest.fixture(autouse=True)
def _each_onnx_once(monkeypatch):
    """The exporter takes seconds, and most tests want the same network."""

    def once(network, shape):
        key = weights_digest(network), shape
        if key not in _EXPORTED:
            _EXPORTED[key] = whole(network, shape)
        return _EXPORTED[key]

    whole = runtime.onnx_model
    monkeypatch.setattr(runtime, "onnx_model", once)


def model(name="unet", dims=3, **changes):
    """A network with random weights whose logits are of the size of those that were trained."""
    torch.manual_seed(0)
    section = tiny(name, dims)
    shape = fitting(section)
    sampling = {"patch": (*shape, 1)[:3]}
    made = configured_bundle(run_config(dims, network=section.model_dump(), sampling=sampling, **changes))
    for part in made.members[0].network.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.running_mean)
    return made.members[0]


def windows(member, count=3, seed=0):
    shape = runtime.input_shape(member, member.config.sampling.patch)
    return torch.randn(count, *shape[1:], generator=torch.Generator().manual_seed(seed))


def runner_of(member, settings, amp_dtype=None):
    return make_runner(member, member.config.sampling.patch, settings, CPU, amp_dtype)


def assert_alike(found, wanted, tolerance):
    assert found.shape == wanted.shape
    assert found.dtype == torch.float32
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


@pytest.mark.parametrize(
    ("name", "settings"),
    [("unet", OPENVINO), ("unet", ONNX), ("segresnet", OPENVINO)],
    ids=["unet-openvino", "unet-onnx", "segresnet-openvino"],
)
def test_logits_are_those_of_torch(name, settings):
    member = model(name)
    images = windows(member)
    with torch.inference_mode():
        wanted, runner = TorchRunner(member.network)(images), runner_of(member, settings)
        assert_alike(runner(images), wanted, 1e-4)
        assert torch.equal(runner(images[:1]), runner(images)[:1])  # the last batch of an image is smaller
    assert runner.device == CPU


@pytest.mark.slow
@pytest.mark.parametrize("settings", [OPENVINO, ONNX], ids=["openvino", "onnx"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_converted(name, dims, settings, caplog):
    member = model(name, dims)
    images = windows(member, 2)
    with torch.inference_mode():
        wanted, runner = TorchRunner(member.network)(images), runner_of(member, settings)
        assert not isinstance(runner, TorchRunner), caplog.text
        assert_alike(runner(images), wanted, 1e-3)


@pytest.mark.parametrize("settings", [OPENVINO, pytest.param(ONNX, marks=pytest.mark.slow)], ids=["openvino", "onnx"])
def test_missing_channels_are_seen_by_converted_networks(settings):
    channels = [{"name": "T1"}, {"name": "T2", "optional": True}]
    member = model(channels=channels)
    images = windows(member)
    images[1, 1] = 0
    with torch.inference_mode():
        wanted = TorchRunner(member.network)(images)
        assert_alike(runner_of(member, settings)(images), wanted, 1e-4)


def test_bfloat16_is_close():
    member = model()
    images = windows(member)
    with torch.inference_mode():
        wanted = TorchRunner(member.network)(images)
        found = runner_of(member, OPENVINO, torch.bfloat16)(images)
    difference = (found - wanted).abs().max()
    assert difference < 0.1 * wanted.abs().max()
    assert bool(difference > 1e-4) is has_bf16(CPU)


def test_labels_are_those_of_torch(folder):
    made = ensemble([bundle(), bundle()])
    image = volume(geometry((20, 18, 25)))
    wanted = Predictor(made, replace(FP32, runtime="torch")).predict(image).labels
    predictor = Predictor(made, OPENVINO)
    assert len(predictor.passes[0].runners) == 2
    assert np.mean(predictor.predict(image).labels.array == wanted.array) > 0.999
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2


def test_threads_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    runner = runner_of(model(), OPENVINO)
    compiled = runner._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert runner_of(model(), ONNX)._session.get_session_options().intra_op_num_threads == 1


def test_openvino_cannot_phone_home():
    openvino()
    assert sys.modules["openvino_telemetry"] is None


class Counted:
    """Counts conversions to OpenVINO."""

    def __init__(self, monkeypatch):
        self.count, whole = 0, runtime.openvino_model

        def counted(network, shape):
            self.count += 1
            return whole(network, shape)

        monkeypatch.setattr(runtime, "openvino_model", counted)


def test_a_network_is_converted_once_a_machine(monkeypatch, folder):
    conversions = Counted(monkeypatch)
    member = model()
    first = runner_of(member, OPENVINO)
    again = runner_of(member, OPENVINO)
    assert conversions.count == 1
    images = windows(member)
    with torch.inference_mode():
        assert torch.equal(first(images), again(images))
    (entry,) = (path for path in folder.iterdir() if path.is_dir())
    (entry / "model.bin").write_bytes(b"")
    runner_of(member, OPENVINO)
    assert conversions.count == 2
    with torch.no_grad():
        member.network.heads[0].bias.add_(1)
    runner_of(member, OPENVINO)
    assert conversions.count == 3
    make_runner(member, (32, 16, 16), OPENVINO, CPU, None)
    assert conversions.count == 4


def test_what_was_hooked_to_a_network_is_never_taken_from_the_disk(folder):
    member = model()
    member.network.register_forward_hook(lambda *arguments: 4 * arguments[2])
    runner_of(member, OPENVINO)
    assert not folder.exists()
    assert isinstance(runner_of(member, FP32), TorchRunner)


def test_auto_takes_what_was_converted_before_and_never_converts(monkeypatch):
    conversions = Counted(monkeypatch)
    member = model()
    assert runtime_of(runner_of(member, FP32)) == "torch"
    assert conversions.count == 0
    runner_of(member, OPENVINO)
    assert runtime_of(runner_of(member, FP32)) == "openvino"
    assert conversions.count == 1


def test_runtimes_go_by_their_names():
    member = model()
    for name in ("torch", "torch-compile", "openvino", "onnx"):
        assert runtime_of(runner_of(member, replace(FP32, runtime=name))) == name
    assert runtime_of(SpreadRunner([TorchRunner(member.network)])) == "torch"
    assert runtime_of(Named()) == "Named"


class Named:
    device = CPU


def test_auto_is_torch_where_openvino_is_missing_or_cannot_help(monkeypatch):
    fixed = bundle(Fixed(0.0, 1.0, 0.0)).members[0]
    assert isinstance(runner_of(fixed, FP32), TorchRunner)
    assert isinstance(make_runner(model(), (16, 16, 16), FP32, torch.device("meta"), None), TorchRunner)
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    assert isinstance(runner_of(model(), FP32), TorchRunner)


def test_what_cannot_be_converted_is_left_to_torch_with_one_note(monkeypatch, caplog):
    def fails(network, shape):
        raise TypeError("unknown operation")

    monkeypatch.setattr(runtime, "openvino_model", fails)
    member = model()
    with caplog.at_level(logging.WARNING):
        runners = [runner_of(member, OPENVINO) for _ in range(3)]
    assert all(isinstance(runner, TorchRunner) for runner in runners)
    assert caplog.messages == ["openvino cannot compute this network (TypeError); torch does"]


def test_a_conversion_that_changes_logits_is_left_to_torch(monkeypatch, caplog, folder):
    whole, other = runtime.openvino_model, model().network
    with torch.no_grad():
        other.heads[0].bias.add_(1)
    monkeypatch.setattr(runtime, "openvino_model", lambda network, shape: whole(other, shape))
    assert isinstance(runner_of(model(), OPENVINO), TorchRunner)
    assert "RuntimeError" in caplog.text
    assert not [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (PredictionSettings("cuda", runtime="openvino"), "runtime openvino computes on the CPU, not on cuda"),
        (PredictionSettings("mps", runtime="onnx"), "runtime onnx computes on the CPU, not on mps"),
        (PredictionSettings("cuda", "int8"), "precision int8 computes on the CPU, not on cuda"),
        (PredictionSettings("cpu", "int8", runtime="torch"), "precision int8 is for runtime openvino, not torch"),
        (PredictionSettings("cpu", "bf16", runtime="onnx"), "runtime onnx computes in fp32, not in bf16"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        device_for(settings)


def test_runtimes_of_the_cpu_compute_there_though_there_be_a_gpu():
    assert device_for(PredictionSettings("auto", runtime="openvino")) == "cpu"
    assert device_for(PredictionSettings("auto", "int8")) == "cpu"
    assert device_for(PredictionSettings("auto")) == "auto"
    assert device_for(PredictionSettings("cuda", runtime="torch-compile")) == "cuda"


def test_half_precision_is_for_gpus():
    with pytest.raises(InputError, match="fp16 is for GPUs"):
        Predictor(bundle(), replace(OPENVINO, precision="fp16"))


@pytest.mark.parametrize(
    ("settings", "package", "extra"),
    [(OPENVINO, "openvino", "openvino"), (ONNX, "onnxscript", "onnx"), (ONNX, "onnxruntime", "onnx")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, settings, package, extra):
    _EXPORTED.clear()
    if package == "onnxruntime":
        monkeypatch.setattr(runtime, "onnx_model", lambda network, shape: b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"pip install 'medseg\[{extra}\]'"):
        runner_of(model(), settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_is_torch_on_a_gpu():
    runner = make_runner(model(), (16, 16, 16), PredictionSettings("cuda"), torch.device("cuda"), torch.bfloat16)
    assert isinstance(runner, TorchRunner)
    assert runner.device.type == "cuda"
