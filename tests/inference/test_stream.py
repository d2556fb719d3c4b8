import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medseg.inference import stream
from medseg.inference.blocks import SlabResampler
from medseg.inference.stream import RingAccumulator, ring_bytes
from medseg.inference.windows import Window, WindowGrid

CPU = torch.device("cpu")


def random_windows(grid, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(channels, *grid.window.roi, generator=generator) for _ in grid.positions]


def plain_blend(grid, windows):
    """Whole-volume sums and weights, as a textbook would."""
    total = torch.zeros(windows[0].shape[0], *grid.shape, dtype=torch.float64)
    weights = torch.zeros(grid.shape, dtype=torch.float64)
    importance = torch.from_numpy(grid.importance()).double()
    for start, window in zip(grid.positions, windows, strict=True):
        box = [slice(max(0, s), min(n, s + w)) for s, n, w in zip(start, grid.shape, grid.window.roi, strict=True)]
        part = [slice(b.start - s, b.stop - s) for b, s in zip(box, start, strict=True)]
        total[(slice(None), *box)] += (importance * window)[(slice(None), *part)]
        weights[tuple(box)] += importance[tuple(part)]
    return (total / weights).float()


def streamed_blend(grid, windows):
    slabs, starts = [], []

    def sink(start, slab):
        starts.append(start)
        slabs.append(slab.clone())

    ring = RingAccumulator(grid, windows[0].shape[0], CPU, sink)
    for start, window in zip(grid.positions, windows, strict=True):
        ring.add(start, window)
    ring.finish()
    axis = 1 + grid.stream_axis
    assert starts == np.cumsum([0, *(slab.shape[axis] for slab in slabs)])[:-1].tolist()
    return torch.cat(slabs, dim=axis)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(
    ("shape", "roi"),
    [
        ((40, 23, 19), (16, 12, 8)),
        ((19, 40, 23), (8, 16, 16)),
        ((12, 9, 33), (16, 8, 8)),
        ((7, 5, 3), (8, 8, 8)),
        ((1, 20, 20), (8, 8, 8)),
        ((20, 21, 6), (8, 8, 1)),
        ((20, 21, 1), (8, 8, 1)),
        ((1, 1, 1), (4, 4, 4)),
    ],
)
@pytest.mark.parametrize("emitted_bytes", [1, 10_000, 2**30])
def test_stream_equals_plain_blending(shape, roi, overlap, emitted_bytes, monkeypatch):
    monkeypatch.setattr(stream, "_EMIT_BYTES", emitted_bytes)
    grid = WindowGrid(shape, Window(roi, overlap))
    windows = random_windows(grid, 3)
    assert torch.allclose(streamed_blend(grid, windows), plain_blend(grid, windows), atol=1e-5)


def test_blended_probabilities_sum_to_one():
    grid = WindowGrid((30, 22, 18), Window((8, 8, 8), 0.6))
    windows = [window.softmax(dim=0) for window in random_windows(grid, 5)]
    assert torch.allclose(streamed_blend(grid, windows).sum(dim=0), torch.ones(grid.shape), atol=1e-5)


def test_ring_is_as_deep_as_a_window_however_long_the_volume():
    short, long = (WindowGrid((64, 64, n), Window((32, 32, 32))) for n in (128, 4096))
    assert ring_bytes(short, 20) == ring_bytes(long, 20) == 4 * 20 * 64 * 64 * 32


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slab_planes", [1, 3, 100])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((9, 8, 7), (9, 8, 7)),
        ((9, 8, 7), (18, 13, 20)),
        ((20, 18, 16), (7, 5, 9)),
        ((9, 8, 7), (9, 16, 7)),
        ((9, 8, 7), (21, 8, 7)),
        ((1, 1, 1), (4, 3, 5)),
        ((6, 5, 4), (1, 1, 1)),
        ((9, 9, 9), (3, 3, 3)),
    ],
)
def test_blocks_equal_interpolating_the_whole_volume(before, after, axis, slab_planes):
    values = torch.rand(3, *before, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(values[None], after, mode="trilinear", align_corners=False)[0]
    resampler, result, done = SlabResampler(before, after, axis), torch.full((3, *after), torch.nan), []
    for start in range(0, before[axis], slab_planes):
        planes = min(slab_planes, before[axis] - start)
        slab = values.narrow(1 + axis, start, planes).clone()
        for block in resampler.blocks(start, slab):
            for channel in range(3):
                result[channel].narrow(axis, block.planes.start, block.shape[axis])[...] = block.channel(channel)
            done += range(block.planes.start, block.planes.stop)
        slab.fill_(torch.nan)  # the ring is used again
    assert done == list(range(after[axis]))
    assert torch.allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slab_planes", [1, 4, 100])
@pytest.mark.parametrize("region", [(slice(2, 7), slice(1, 8), slice(0, 5)), (slice(0, 9), slice(3, 4), slice(0, 7))])
@pytest.mark.parametrize("after", [(9, 8, 7), (18, 13, 20), (5, 3, 6), (9, 16, 7), (1, 1, 1)])
def test_blocks_of_a_region_cover_what_needs_no_more_than_that(region, after, axis, slab_planes):
    before = (9, 8, 7)
    values = torch.rand(2, *before, generator=torch.Generator().manual_seed(1))
    inside = torch.zeros(before)
    inside[region] = 1
    expected = F.interpolate(values[None], after, mode="trilinear", align_corners=False)[0]
    needs_no_more = F.interpolate(inside[None, None], after, mode="trilinear", align_corners=False)[0, 0] > 1 - 1e-5
    resampler, result = SlabResampler(before, after, axis, region=region), torch.full((2, *after), torch.nan)
    part = values[(slice(None), *region)]
    for start in range(0, part.shape[1 + axis], slab_planes):
        slab = part.narrow(1 + axis, start, min(slab_planes, part.shape[1 + axis] - start))
        for block in resampler.blocks(start, slab):
            for channel in range(2):
                assert result[(channel, *block.box)].isnan().all()
                result[(channel, *block.box)] = block.channel(channel)
                assert block.shape == block.channel(channel).shape
    assert torch.equal(~result[0].isnan(), needs_no_more)
    assert torch.allclose(result[:, needs_no_more], expected[:, needs_no_more], atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 22, 18), (5, 30, 6)])
def test_a_window_that_is_alike_everywhere_adds_what_it_would_as_an_array(shape):
    grid, blends = WindowGrid(shape, Window((8, 8, 8), 0.6)), []
    for is_array in (False, True):
        slabs = []
        ring = RingAccumulator(grid, 2, CPU, lambda _, slab, kept=slabs: kept.append(slab.clone()))
        for number, (start, window) in enumerate(zip(grid.positions, random_windows(grid, 2), strict=True)):
            if number % 3:
                ring.add(start, window)
            elif is_array:
                ring.add(start, torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1).expand(2, 8, 8, 8))
            else:
                ring.add_alike(start, [1.0, 0.0])
        ring.finish()
        blends.append(torch.cat(slabs, dim=1 + grid.stream_axis))
    assert torch.allclose(*blends, atol=1e-6)


def test_a_ring_that_moves_half_way_keeps_what_it_has():
    grid, blends = WindowGrid((30, 22, 18), Window((8, 8, 8))), []
    for moves in (False, True):
        slabs = []
        ring = RingAccumulator(grid, 3, CPU, lambda _, slab, kept=slabs: kept.append(slab.clone()))
        for number, (start, window) in enumerate(zip(grid.positions, random_windows(grid, 3), strict=True)):
            if moves and number == 7:
                ring.move(CPU)
            ring.add(start, window)
        ring.finish()
        blends.append(torch.cat(slabs, dim=1 + grid.stream_axis))
    assert torch.equal(*blends)


@pytest.mark.gpu
def test_a_ring_that_moves_from_a_gpu_to_the_host_keeps_what_it_has():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    grid, slabs = WindowGrid((30, 22, 18), Window((8, 8, 8))), []
    windows = random_windows(grid, 3)
    ring = RingAccumulator(grid, 3, torch.device("cuda"), lambda _, slab: slabs.append(slab.cpu().clone()))
    for number, (start, window) in enumerate(zip(grid.positions, windows, strict=True)):
        if number == 7:
            ring.move(CPU)
        ring.add(start, window)
    ring.finish()
    assert torch.allclose(torch.cat(slabs, dim=1 + grid.stream_axis), streamed_blend(grid, windows), atol=1e-5)
