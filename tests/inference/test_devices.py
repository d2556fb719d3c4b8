from __future__ import annotations

import pytest
import torch

from medseg.core.errors import InputError
from medseg.inference.devices import resolve_device, resolve_devices


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("names", "devices"),
    [
        ("auto", ("cuda",)),
        ("cpu", ("cpu",)),
        ("cuda", ("cuda",)),
        ("cuda:1", ("cuda:1",)),
        ("cuda:1, cuda:0", ("cuda:1", "cuda:0")),
        ("all", ("cuda:0", "cuda:1")),
    ],
)
def test_devices_by_their_names(names, devices):
    assert resolve_devices(names) == tuple(map(torch.device, devices))
    assert resolve_device(names) == torch.device(devices[0])


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("names", ["cuda:0,cuda:0", "cpu,cuda:0", "cuda,cuda:1", "auto,cpu"])
def test_several_are_gpus_by_their_numbers(names):
    with pytest.raises(InputError, match="several devices are GPUs by their numbers, each once, such as cuda:0,cuda:1"):
        resolve_devices(names)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("names", ["cuda:2", "cuda:x", "cuda:", "cpu:0", "gpu", "", "cuda:0,", "cuda:-1"])
def test_what_is_not_there_is_answered_with_what_is(names):
    with pytest.raises(InputError, match="is not there; available: cpu, cuda.*, cuda:0, cuda:1"):
        resolve_devices(names)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("names", ["cuda", "all", "cuda:0", "mps"])
def test_a_machine_without_gpus_has_a_cpu(names):
    assert resolve_devices("auto") == (torch.device("cpu"),)
    with pytest.raises(InputError, match=f"device '{names}' is not there; available: cpu$"):
        resolve_devices(names)
