import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medseg.core.errors import ConfigError
from medseg.inference.windows import Window, WindowGrid, window_importance, window_starts


@pytest.mark.parametrize(
    ("length", "size", "overlap", "starts"),
    [
        (100, 48, 0.5, (0, 17, 35, 52)),  # nnU-Net's `compute_steps_for_sliding_window`
        (110, 64, 0.5, (0, 23, 46)),
        (123, 54, 0.5, (0, 23, 46, 69)),
        (48, 48, 0.5, (0,)),
        (49, 48, 0.5, (0, 1)),
        (96, 48, 0.0, (0, 48)),
        (5, 1, 0.5, (0, 1, 2, 3, 4)),
        (40, 48, 0.5, (-4,)),
        (43, 48, 0.5, (-2,)),
        (1, 16, 0.5, (-7,)),
    ],
)
def test_starts(length, size, overlap, starts):
    assert window_starts(length, size, overlap) == starts


@given(st.integers(1, 300), st.integers(1, 100), st.floats(0, 0.95))
def test_windows_cover_the_axis_evenly(length, size, overlap):
    starts = window_starts(length, size, overlap)
    covered = np.zeros(length, int)
    for start in starts:
        covered[max(0, start) : start + size] += 1
    assert covered.min() >= 1
    steps = np.diff(starts)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1
    assert len(steps) == 0 or steps.max() <= max(1, np.ceil(size * (1 - overlap)))
    assert length <= size or starts[-1] == length - size


@pytest.mark.parametrize("roi", [(16, 16, 16), (15, 8, 9), (32, 24, 1)])
def test_importance_is_that_of_nnunet(roi):
    delta = np.zeros(roi)
    delta[tuple(n // 2 for n in roi)] = 1
    expected = ndimage.gaussian_filter(delta, [n / 8 for n in roi], mode="constant")
    expected /= expected.max()
    grid = WindowGrid(roi, Window(roi))
    assert np.allclose(grid.importance(), expected, rtol=1e-5, atol=1e-12)


def test_importance_is_never_zero():
    assert window_importance(192).min() > 0


@pytest.mark.parametrize("shape", [(40, 23, 16), (5, 30, 17), (1, 1, 1)])
def test_importance_sums_are_those_of_all_windows(shape):
    grid = WindowGrid(shape, Window((16, 8, 6), 0.5))
    total = np.zeros(shape)
    for start in grid.positions:
        inside = [slice(max(0, s), min(n, s + w)) for s, n, w in zip(start, shape, (16, 8, 6), strict=True)]
        part = [slice(box.start - s, box.stop - s) for box, s in zip(inside, start, strict=True)]
        total[tuple(inside)] += grid.importance()[tuple(part)]
    i, j, k = grid.importance_sums()
    assert np.allclose(i[:, None, None] * j[:, None] * k, total, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "roi", "axis"),
    [
        ((512, 512, 600), (128, 128, 128), 2),
        ((600, 512, 512), (128, 128, 128), 0),
        ((64, 300, 80), (64, 64, 64), 1),
        ((256, 256, 30), (128, 128, 1), 2),
        ((256, 300, 1), (128, 128, 1), 1),
    ],
)
def test_stream_runs_along_the_axis_that_keeps_least(shape, roi, axis):
    grid = WindowGrid(shape, Window(roi))
    assert grid.stream_axis == axis
    along = [start[axis] for start in grid.positions]
    assert along == sorted(along)
    assert len(set(grid.positions)) == len(grid.positions) == np.prod([len(starts) for starts in grid.starts])


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 1.5])
def test_overlap_outside_zero_to_one_is_refused(overlap):
    with pytest.raises(ConfigError, match=f"overlap must be at least 0 and below 1, got {overlap}"):
        Window((16, 16, 16), overlap)


def test_window_without_voxels_is_refused():
    with pytest.raises(ConfigError, match="a window needs at least one voxel"):
        Window((16, 0, 16))
