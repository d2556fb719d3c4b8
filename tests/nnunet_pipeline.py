"""What nnU-Net 2.8.1 does with an image, written again in numpy, scikit-image and scipy, in double precision.

After ``default_preprocessor.py``, ``default_resampling.py``, ``sliding_window_prediction.py`` and
``export_prediction.py``; without its sums in 16 bits.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy import ndimage
from skimage.transform import resize


def nnunet_logits(networks, plan, plans, axes, image, spacing):
    """Logits on the image's own grid after transposing and cropping, and the box that was kept.

    Args:
        networks: One a fold.
        plan: The configuration.
        plans: The whole plans.
        axes: Mirrored.
        image: Shape ``(c, z, y, x)``.
        spacing: Along z, y, x.
    """
    forward = plans["transpose_forward"]
    data = image.astype(np.float32).transpose(0, *(1 + axis for axis in forward))
    spacing = [spacing[axis] for axis in forward]
    inside = ndimage.binary_fill_holes((data != 0).any(axis=0))
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(inside))
    data, inside = data[(slice(None), *box)], inside[box]
    target = plan["spacing"] if len(plan["spacing"]) == 3 else [spacing[0], *plan["spacing"]]
    shape = [round(old / new * n) for old, new, n in zip(spacing, target, data.shape[1:], strict=True)]
    rows = zip(data, plan["normalization_schemes"], plan["use_mask_for_norm"], strict=True)
    measured = plans["foreground_intensity_properties_per_channel"]
    data = np.stack(
        [
            _normalised(row, scheme, inside if mask else None, measured[str(n)])
            for n, (row, scheme, mask) in enumerate(rows)
        ]
    )
    prepared = resampled(data, shape, spacing, target, 3)
    logits = sum(_slid(network, prepared, plan["patch_size"], axes) for network in networks) / len(networks)
    return resampled(logits, data.shape[1:], target, spacing, 1), box


def on_the_grid(labels, box, shape, plans):
    """Labels put back where they were cut out of an image of that shape along z, y, x."""
    back = [plans["transpose_forward"].index(axis) for axis in range(3)]
    whole = np.zeros([shape[axis] for axis in plans["transpose_forward"]], np.uint8)
    whole[box] = labels
    return whole.transpose(back)


def _normalised(row, scheme, inside, measured):
    row = row.copy()
    if scheme == "CTNormalization":
        clipped = np.clip(row, measured["percentile_00_5"], measured["percentile_99_5"])
        return (clipped - measured["mean"]) / measured["std"]
    if scheme == "ZScoreNormalization":
        part = row if inside is None else row[inside]
        changed = (part - part.mean()) / part.std()
        if inside is None:
            return changed
        row[inside] = changed
        return row
    if scheme == "RescaleTo01Normalization":
        return (row - row.min()) / (row.max() - row.min())
    return row / 255 if scheme == "RGBTo01Normalization" else row


def resampled(data, shape, before, after, order):
    """Channels on another grid; across slices that lie far apart the nearest one."""
    if list(data.shape[1:]) == list(shape):
        return data
    axis = next((_coarse(one) for one in (before, after) if max(one) / min(one) > 3), None)
    rows = []
    for channel in data.astype(np.float64):
        if axis is None:
            rows.append(resize(channel, shape, order, mode="edge", anti_aliasing=False))
            continue
        plane = [n for other, n in enumerate(shape) if other != axis]
        slices = [resize(one, plane, order, mode="edge", anti_aliasing=False) for one in np.moveaxis(channel, axis, 0)]
        places = (np.arange(shape[axis]) + 0.5) * len(slices) / shape[axis] - 0.5
        rows.append(np.moveaxis(np.stack(slices)[np.floor(places + 0.5).astype(int)], 0, axis))
    return np.stack(rows)


def _coarse(spacing):
    found = [axis for axis, size in enumerate(spacing) if size == max(spacing)]
    return found[0] if len(found) == 1 else None


def _slid(network, data, patch, axes):
    flat = len(patch) == 2
    missing = [max(0, size - n) for size, n in zip([0, *patch] if flat else patch, data.shape[1:], strict=True)]
    around = [(n // 2, n - n // 2) for n in missing]
    padded = np.pad(data, [(0, 0), *around])
    tile = [1, *patch] if flat else patch
    weights = np.ones([1])
    for size in tile:
        along = np.exp(-0.5 * ((np.arange(size) - size // 2) / (size / 8)) ** 2)
        weights = np.multiply.outer(weights, along)
    weights = weights[0]
    total, count = 0, np.zeros(padded.shape[1:])
    for start in itertools.product(*map(_starts, padded.shape[1:], tile)):
        window = tuple(slice(first, first + size) for first, size in zip(start, tile, strict=True))
        part = torch.from_numpy(padded[(slice(None), *window)]).double()
        found = _mirrored(network, part[:, 0] if flat else part, axes)
        found = found[:, None] if flat else found
        if isinstance(total, int):
            total = np.zeros((len(found), *padded.shape[1:]))
        total[(slice(None), *window)] += found * weights
        count[window] += weights
    kept = tuple(slice(low, n - high) for (low, high), n in zip(around, padded.shape[1:], strict=True))
    return (total / count)[(slice(None), *kept)]


def _starts(length, size):
    if length == size:
        return [0]
    steps = int(np.ceil((length - size) / (size / 2))) + 1 if size > 1 else length
    return [int(np.round((length - size) / (steps - 1) * step)) for step in range(steps)]


@torch.no_grad()
def _mirrored(network, image, axes):
    flips = [flip for n in range(len(axes) + 1) for flip in itertools.combinations(axes, n)]
    dims = [tuple(1 + axis for axis in flip) for flip in flips]
    return sum(network.double()(image.flip(flip)[None])[0].flip(flip).numpy() for flip in dims) / len(dims)
