"""Memory that runs out, and what is advised then."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest
import torch
from factories import run_config
from hypothesis import given
from hypothesis import strategies as st
from small_run import report
from torch import nn

from medseg.config.schemes import label_scheme
from medseg.core.case import CaseId
from medseg.core.errors import TrainingError
from medseg.data.loaders import Batch, BatchPlan, PatchLoader
from medseg.inference.bundle import output_channels
from medseg.training.assemble import new_state
from medseg.training.distributed import Process
from medseg.training.failures import explained
from medseg.training.loop import Ingredients, Trainer
from medseg.training.memory import Size, fitting, is_out_of_memory, smaller_sizes

CPU = Process(0, 1, torch.device("cpu"))
SECTION = run_config().training


class Numbers:
    """Batches of random patches."""

    def __init__(self, batch, patch):
        self.batch, self.patch = batch, patch

    def set_epoch(self, epoch):
        pass

    def __iter__(self):
        image, target = torch.randn(self.batch, 1, *self.patch), torch.zeros(self.batch, *self.patch, dtype=torch.uint8)
        for _ in range(3):
            yield Batch(image, target, (CaseId("a"),) * self.batch)


class Limited(nn.Module):
    """A loss of logits that are allowed so many voxels; beyond, the allocator is really asked for too much."""

    def __init__(self, voxels):
        super().__init__()
        self.voxels = voxels

    def forward(self, logits, target):
        if target.numel() > self.voxels:
            return torch.empty(2**55) + logits[0]
        return sum(level.square().mean() for level in logits)


def train(folder, voxels, batch=4, patch=(16, 16, 16), **training):
    dims = len(patch)
    section = {"budget": {"epochs": 1, "steps": 3}} | training
    config = run_config(dims=dims, training=section)
    state = new_state(config, output_channels(label_scheme(config.labels)), CPU, None)
    parts = Ingredients(Numbers(batch, patch), Limited(voxels), lambda _: report(0.5), (), config.network.factors)
    return Trainer(CPU, config.training, parts, folder).fit(state)


ONE_SMALLER = (
    r"1 patch of \(12, 16, 16\) fits: set sampling.batch=1, sampling.patch=\[12, 16, 16\], training.accumulate=4"
)


@pytest.mark.parametrize(
    ("voxels", "patch", "advice"),
    [
        (2 * 16**3, (16, 16, 16), r"2 patches of \(16, 16, 16\) fit: set sampling.batch=2, training.accumulate=2 \(as"),
        (16 * 16 * 12, (16, 16, 16), ONE_SMALLER + r" \(as good as a batch of 4\)"),
        (100, (16, 16), r"1 patch of \(8, 12\) fits: .*sampling.patch=\[8, 12, 1\]"),
        (10, (16, 16), "even the smallest patch does not fit; take a smaller network"),
    ],
)
def test_what_is_advised_really_fits(tmp_path, voxels, patch, advice):
    with pytest.raises(TrainingError, match=r"memory is too small for 4 patches of .*" + advice):
        train(tmp_path, voxels, patch=patch)


def test_the_advice_trains(tmp_path):
    assert train(tmp_path, 16 * 16 * 12, batch=1, patch=(12, 16, 16), accumulate=3).step == 3


def test_batches_that_are_added_up_already_are_counted_in(tmp_path):
    with pytest.raises(TrainingError, match=r"sampling.batch=2, training.accumulate=6 "):
        train(tmp_path, 2 * 16**3, accumulate=3)


edges = st.integers(1, 6)


@given(st.integers(1, 9), st.lists(st.tuples(edges, st.sampled_from([1, 2, 4, 8])), min_size=2, max_size=3))
def test_sizes_shrink_and_stay_multiples(batch, axes):
    factors = [factor for _, factor in axes]
    sizes = [
        Size(batch, tuple(n * factor for n, factor in axes)),
        *list(smaller_sizes(Size(batch, tuple(n * f for n, f in axes)), factors)),
    ]
    for larger, smaller in pairwise(sizes):
        assert smaller.batch <= larger.batch
        assert all(n <= m for n, m in zip(smaller.patch, larger.patch, strict=True))
        assert smaller != larger
        assert all(n % f == 0 for n, f in zip(smaller.patch, factors, strict=True))
    assert sizes[-1].batch == 1
    assert all(n <= 2 * f or n == m for n, f, m in zip(sizes[-1].patch, factors, sizes[0].patch, strict=True))


def test_sizes_that_the_network_does_not_take_are_passed_over():
    def attempt(size):
        if size.patch[0] % 8 or size.batch > 1:
            raise ValueError("does not fit the strides")

    assert fitting(Size(2, (32, 32)), (1, 1), attempt) == Size(1, (32, 32))
    assert fitting(Size(1, (32, 16)), (1, 1), attempt) == Size(1, (24, 16))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough memory: you tried ..."),
    ],
)
def test_ways_to_say_that_memory_ran_out(error):
    assert is_out_of_memory(error)
    assert "memory ran out while patches were prepared or validation" in str(explained(error, SECTION, CPU.device))


def test_the_processors_allocator_says_so():
    with pytest.raises(RuntimeError, match="allocate") as failure:
        torch.empty(2**55)
    assert is_out_of_memory(failure.value)


def test_a_validation_that_does_not_fit_is_told(tmp_path):
    def validate(network):
        raise MemoryError

    config = run_config(training={"budget": {"epochs": 1, "steps": 3}, "workers": 0})
    state = new_state(config, output_channels(label_scheme(config.labels)), CPU, None)
    parts = Ingredients(Numbers(1, (16, 16, 16)), Limited(16**3), validate)
    with pytest.raises(TrainingError, match=r"validation cases were scored; lower training.workers \(now 0\)"):
        Trainer(CPU, config.training, parts, tmp_path).fit(state)


def test_other_errors_stay_what_they_are(tmp_path):
    class Wrong(nn.Module):
        def forward(self, logits, target):
            raise RuntimeError("shapes differ")

    assert explained(RuntimeError("shapes differ"), SECTION, CPU.device) is None
    config = run_config()
    state = new_state(config, output_channels(label_scheme(config.labels)), CPU, None)
    parts = Ingredients(Numbers(1, (16, 16, 16)), Wrong(), lambda _: report(0.5))
    with pytest.raises(RuntimeError, match="^shapes differ$"):
        Trainer(CPU, config.training, parts, tmp_path).fit(state)


def test_a_network_that_cannot_be_compiled_is_told():
    from torch._dynamo.exc import Unsupported

    assert "(Unsupported); set training.compile=off" in str(explained(Unsupported("graph break"), SECTION, CPU.device))


class Dying(torch.utils.data.Dataset):
    def __getitem__(self, number):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 and later warn of fork beside threads
def test_a_worker_that_is_killed_is_told(tmp_path):
    loader = PatchLoader(Dying(), BatchPlan(2, 3, workers=1))
    config = run_config()
    state = new_state(config, output_channels(label_scheme(config.labels)), CPU, None)
    parts = Ingredients(loader, Limited(1), lambda _: report(0.5))
    with pytest.raises(
        TrainingError, match="a process that prepares patches died, most likely for lack of main memory"
    ):
        Trainer(CPU, config.training, parts, tmp_path).fit(state)
