"""A step: batches added up, channels last, compiled."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from factories import run_config
from torch import nn

from medseg.config.schemes import label_scheme
from medseg.core.case import CaseId
from medseg.data.loaders import Batch
from medseg.inference.bundle import output_channels
from medseg.losses.cross_entropy import CrossEntropyLoss
from medseg.losses.deep_supervision import DeepSupervisionLoss
from medseg.training.assemble import new_state
from medseg.training.distributed import Process
from medseg.training.state import TrainState
from medseg.training.step import Stepper

CPU = Process(0, 1, torch.device("cpu"))


def batches(count: int, size: int, dims=3, seed=0) -> list[Batch]:
    """Patches of one stream, cut into so many batches."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count * size, 1, *(16,) * dims, generator=generator)
    target = torch.randint(0, 3, (count * size, *(16,) * dims), generator=generator).to(torch.uint8)
    names = tuple(CaseId(f"c{number}") for number in range(count * size))
    parts = [slice(first, first + size) for first in range(0, count * size, size)]
    return [Batch(image[part], target[part], names[part]) for part in parts]


def stepper(dims=3, device=CPU, **training) -> tuple[Stepper, TrainState]:
    sampling = {"patch": (16, 16, 16 if dims == 3 else 1)}
    optimizer = {"name": "sgd", "lr": 0.1}
    section = {"budget": {"epochs": 1}, "optimizer": optimizer} | training
    config = run_config(dims=dims, sampling=sampling, training=section)
    state = new_state(config, output_channels(label_scheme(config.labels)), device, None)
    loss = DeepSupervisionLoss(CrossEntropyLoss(None, exclusive=True))
    return Stepper(device, config.training, loss.to(device.device), state, None), state


def vector(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("count", [2, 4])
def test_batches_added_up_equal_the_larger_batch(count):
    """The network normalises each sample by itself, and the loss is a mean over voxels."""
    (whole, one), (parts, other) = stepper(), stepper()
    for seed in range(3):
        large = whole.step(batches(1, 4, seed=seed))
        small = parts.step(batches(count, 4 // count, seed=seed))
        torch.testing.assert_close(small.loss, large.loss)
        torch.testing.assert_close(small.gradient, large.gradient)
        assert small.cases == large.cases == ("c0", "c1", "c2", "c3")
    assert one.step == other.step == 3
    torch.testing.assert_close(vector(one.network), vector(other.network))
    torch.testing.assert_close(vector(one.average.network), vector(other.average.network))


@pytest.mark.parametrize(("dims", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_channels_last_changes_the_layout_and_nothing_else(dims, layout):
    (plain, one), (laid_out, other) = stepper(dims), stepper(dims, channels_last=True)
    for seed in range(2):
        some = batches(1, 2, dims, seed)
        torch.testing.assert_close(plain.step(some).loss, laid_out.step(some).loss)
    torch.testing.assert_close(vector(one.network), vector(other.network))
    kernels = [p for p in other.network.parameters() if p.ndim == dims + 2 and p.shape[1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    resumed = stepper(dims)[1]
    resumed.restore(other.to_dict())
    assert torch.equal(vector(resumed.network), vector(other.network))


@pytest.fixture
def compiled(monkeypatch) -> list[dict[str, object]]:
    """How torch.compile is called; it does all but write kernels, which takes a minute."""
    calls, compiles = [], partial(torch.compile, backend="eager")

    def recorded(network, *, mode, dynamic):
        calls.append({"mode": mode, "dynamic": dynamic})
        return compiles(network, dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", recorded)
    yield calls
    torch.compiler.reset()


def test_compiling_changes_no_name_and_no_number(compiled):
    (plain, one), (fast, other) = stepper(), stepper(compile="on")
    for seed in range(2):
        some = batches(1, 2, seed=seed)
        torch.testing.assert_close(plain.step(some).loss, fast.step(some).loss)
    assert compiled == [{"mode": "default", "dynamic": False}]
    torch.testing.assert_close(vector(one.network), vector(other.network))
    assert one.to_dict()["network"].keys() == other.to_dict()["network"].keys()
    resumed, state = stepper()
    state.restore(other.to_dict())
    assert torch.isfinite(resumed.step(batches(1, 2)).loss)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of torch's own scripts
def test_compiled_kernels_learn_the_same():
    (plain, one), (fast, other) = stepper(), stepper(compile="on")
    for seed in range(3):
        some = batches(1, 2, seed=seed)
        torch.testing.assert_close(plain.step(some).loss, fast.step(some).loss, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vector(one.network), vector(other.network), rtol=1e-3, atol=1e-4)
    torch.compiler.reset()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("how", ["on", "graphs"])
def test_compiled_kernels_learn_the_same_on_a_gpu(how):
    gpu = Process(0, 1, torch.device("cuda"))
    (plain, one), (fast, other) = stepper(device=gpu), stepper(device=gpu, compile=how)
    for seed in range(4):
        some = batches(1, 2, seed=seed)
        torch.testing.assert_close(plain.step(some).loss, fast.step(some).loss, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(vector(one.network), vector(other.network), rtol=1e-2, atol=1e-2)
    torch.compiler.reset()


def test_a_trial_changes_nothing():
    tried, state = stepper()
    before = vector(state.network).clone()
    tried.trial(batches(1, 2)[0])
    assert torch.equal(before, vector(state.network))
    assert all(parameter.grad is None for parameter in state.network.parameters())
    assert state.step == 0
