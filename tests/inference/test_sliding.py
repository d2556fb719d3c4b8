"""The engine with runners that stand for networks and devices: no network is needed to see what becomes of windows."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from medseg.core.errors import InputError
from medseg.inference import sliding
from medseg.inference.replicas import SpreadRunner
from medseg.inference.sliding import ForwardPass, stream_probabilities
from medseg.inference.stream import RingAccumulator
from medseg.inference.windows import Window, WindowGrid

CPU = torch.device("cpu")
SHAPE = (40, 33, 28)
GRID = WindowGrid(SHAPE, Window((16, 16, 16)))


class Stepwise:
    """A runner whose logits are the image's values and their negatives; remembers the batches that it was given."""

    def __init__(self, most=None, outputs=2):
        self.most, self.outputs, self.batches, self.device = most, outputs, [], CPU

    def __call__(self, windows):
        if self.most is not None and len(windows) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.batches.append(len(windows))
        return torch.cat([windows * (channel - 1) for channel in range(self.outputs)], dim=1)


def image(shape=SHAPE, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


def blended(runner, values, grid=GRID, batch=4, **changes) -> torch.Tensor:
    """All slabs, one after the other."""
    slabs: list[torch.Tensor] = []
    forward = ForwardPass(3, getattr(runner, "outputs", 2), is_exclusive=False, batch=batch, **changes)
    stream_probabilities((runner,), values, grid, forward, lambda _, slab: slabs.append(slab.clone()))
    return torch.cat(slabs, dim=1 + grid.stream_axis)


@pytest.mark.parametrize("shape", [SHAPE, (16, 16, 16), (5, 7, 9), (1, 40, 20), (20, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("average_logits", [True, False])
def test_identity_gives_back_its_input(shape, average_logits):
    values = image(shape)
    grid = WindowGrid(shape, Window((16, 16, 16)))
    found = blended(Stepwise(), values, grid, average_logits=average_logits)
    expected = torch.from_numpy(values).mul(-1) if average_logits else torch.from_numpy(values).neg().sigmoid()
    assert torch.allclose(found[0], expected[0], atol=1e-5)


def test_sixty_five_outputs():
    values = image()
    found = blended(Stepwise(outputs=65), values, average_logits=True)
    assert found.shape == (65, *SHAPE)
    assert torch.allclose(found[64], torch.from_numpy(values[0]) * 63, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
def test_any_batch_gives_the_same(batch):
    assert torch.equal(blended(Stepwise(), image(), batch=batch), blended(Stepwise(), image(), batch=1))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_batches_become_as_small_as_memory_wants(most):
    greedy = Stepwise(most)
    assert torch.equal(blended(greedy, image(), batch=8), blended(Stepwise(), image()))
    assert max(greedy.batches) <= most
    assert sum(greedy.batches) == len(GRID.positions)


class OnDevice(RingAccumulator):
    """A ring that says it lies on a device, until it has moved to the host."""

    moves: list[torch.device] = []  # noqa: RUF012 - emptied by each test

    @property
    def device(self):
        return CPU if self.moves else torch.device("cuda")

    def move(self, device):
        self.moves.append(device)
        super().move(device)


@pytest.fixture
def ring_on_device(monkeypatch):
    monkeypatch.setattr(OnDevice, "moves", [])
    monkeypatch.setattr(sliding, "RingAccumulator", OnDevice)
    return OnDevice


class RoomOnceTheRingIsGone(Stepwise):
    """Has no memory for a single window after some, as long as the ring lies on its device."""

    def __call__(self, windows):
        if len(self.batches) >= 5 and not OnDevice.moves:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__call__(windows)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_ring_moves_to_the_host_when_not_even_one_window_fits(ring_on_device, batch):
    runner = RoomOnceTheRingIsGone()
    assert torch.equal(blended(runner, image(), batch=batch), blended(Stepwise(), image()))
    assert ring_on_device.moves == [CPU]
    assert sum(runner.batches) == len(GRID.positions)


def test_no_memory_at_all_is_one_sentence(ring_on_device):
    with pytest.raises(InputError, match="not enough memory for this volume"):
        blended(Stepwise(most=0), image())
    assert ring_on_device.moves == [CPU]


def test_windows_of_air_are_not_looked_at_and_count_as_background():
    air = frozenset(start for start in GRID.positions if start[2] == 0)
    grid = WindowGrid(SHAPE, Window((16, 16, 16)), air=air)
    runner = Stepwise(outputs=3)
    slabs: list[torch.Tensor] = []
    forward = ForwardPass(3, 3, is_exclusive=True, batch=4)
    stream_probabilities((runner,), image(), grid, forward, lambda _, slab: slabs.append(slab.clone()))
    found = torch.cat(slabs, dim=1 + grid.stream_axis)
    assert sum(runner.batches) == len(GRID.positions) - len(air)
    assert torch.allclose(found.sum(dim=0), torch.ones(SHAPE), atol=1e-5)
    assert torch.allclose(found[0, :, :, :4], torch.ones(40, 33, 4), atol=1e-5)  # no other window reaches there


def test_a_region_of_an_image_is_cut_where_it_lies():
    values = image()
    grid = WindowGrid((16, 20, 17), Window((16, 16, 16)), origin=(8, 5, 9))
    found = blended(Stepwise(), values, grid, average_logits=True)
    assert torch.allclose(found[1], torch.zeros(16, 20, 17))
    assert torch.allclose(found[0], -torch.from_numpy(values[0, 8:24, 5:25, 9:26]), atol=1e-5)


def test_progress_hears_of_all_windows_also_those_of_air():
    class Counter:
        steps = 0

        def advance(self, steps=1):
            self.steps += steps

    counter, air = Counter(), frozenset(GRID.positions[3:20])
    grid = WindowGrid(SHAPE, Window((16, 16, 16)), air=air)
    forward = ForwardPass(3, 2, is_exclusive=False, batch=4)
    stream_probabilities((Stepwise(),), image(), grid, forward, lambda *_: None, None, counter)
    assert counter.steps == len(GRID.positions)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 3, 6, 7])
def test_several_devices_give_the_same_as_one(replicas, batch):
    crew = [Stepwise() for _ in range(replicas)]
    runner = SpreadRunner(crew)
    assert runner.device == CPU
    assert torch.equal(blended(runner, image(), batch=batch), blended(Stepwise(), image()))
    assert sum(sum(one.batches) for one in crew) == len(GRID.positions)
    if batch >= replicas:
        assert all(one.batches for one in crew)


def test_devices_compute_at_the_same_time():
    together = threading.Barrier(3, timeout=60)

    class Waiting(Stepwise):
        def __call__(self, windows):
            together.wait()
            return super().__call__(windows)

    windows = torch.randn(6, 1, 4, 4, 4)
    found = SpreadRunner([Waiting() for _ in range(3)])(windows)
    assert torch.equal(found, Stepwise()(windows))


def test_a_device_without_memory_makes_all_batches_smaller():
    crew = [Stepwise(), Stepwise(most=1)]
    assert torch.equal(blended(SpreadRunner(crew), image(), batch=8), blended(Stepwise(), image()))
    assert max(crew[1].batches) == 1


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_is_cancelled_half_way_leaves_nothing_behind(replicas):
    class Cancelled(Stepwise):
        def __call__(self, windows):
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().__call__(windows)

    threads, rings = threading.active_count(), []

    class Watched(RingAccumulator):
        def __init__(self, *args):
            super().__init__(*args)
            rings.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliding, "RingAccumulator", Watched)
        with pytest.raises(KeyboardInterrupt):
            blended(SpreadRunner([Cancelled() for _ in range(replicas)]), image())
    gc.collect()
    assert threading.active_count() == threads
    assert [ring() for ring in rings] == [None]


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [1, 3])
def test_cuda_feed_hands_over_the_same_windows(batch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

    class OnCuda(Stepwise):
        def __init__(self):
            super().__init__()
            self.device = torch.device("cuda")

    found = blended(OnCuda(), image(), batch=batch)
    assert torch.allclose(found.cpu(), blended(Stepwise(), image()), atol=1e-5)


@pytest.mark.gpu
def test_gpus_together_give_the_same_as_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")

    class OnGpu(Stepwise):
        def __init__(self, index):
            super().__init__()
            self.device = torch.device("cuda", index)

    crew = SpreadRunner([OnGpu(index) for index in range(torch.cuda.device_count())])
    assert torch.allclose(blended(crew, image()).cpu(), blended(Stepwise(), image()), atol=1e-5)
