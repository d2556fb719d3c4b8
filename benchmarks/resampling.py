"""Resampling images and labels beside the peers.

    python benchmarks/resampling.py [--shape 256 256 150] [--spacing 0.75 0.75 1.25] [--target 1.5]

Each contestant has a process of its own with one thread, and all take turns. Images are compared with scipy's spline of
the same order on the same grid, labels with the way nnU-Net takes: linear shares of each class.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
from contest import Job, Make, Score, compete
from numpy.typing import NDArray

Shape = tuple[int, int, int]
_STRUCTURES = 6
_PACKAGES = ("medseg", "numpy", "scipy", "scikit-image", "SimpleITK", "monai", "torch")


def image_of(shape: Shape) -> NDArray[np.float32]:
    """A smooth image with noise, of a standard deviation of about 1."""
    x, y, z = (np.linspace(0, 20, n, dtype=np.float32) for n in shape)
    smooth = np.sin(x)[:, None, None] + np.cos(y)[None, :, None] * np.sin(z)[None, None, :]
    noise = np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)
    return np.asarray(smooth + noise, np.float32)


def labels_of(shape: Shape) -> NDArray[np.uint8]:
    """Six ellipsoids."""
    rng, labels = np.random.default_rng(1), np.zeros(shape, np.uint8)
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    for value in range(1, _STRUCTURES + 1):
        centre, radii = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.15, 0.35, 3)
        labels[sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)) < 1] = value
    return labels


def medseg_image(array: NDArray[np.float32], shape: Shape, order: int) -> Job:
    """Separable matrices."""
    from medseg.transforms.resample import resample_channel

    return partial(resample_channel, array, shape, order)


def medseg_labels(labels: NDArray[np.uint8], shape: Shape) -> Job:
    """Linear shares of each class inside its box, the largest of which wins."""
    from medseg.transforms.resample import resample_class_indices

    return partial(resample_class_indices, labels, shape)


def scipy_zoom(array: NDArray[Any], shape: Shape, order: int) -> Job:
    """Over the same extent."""
    from scipy import ndimage

    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    return partial(ndimage.zoom, array, factors, order=order, mode="nearest", grid_mode=True)


def skimage_resize(array: NDArray[np.float32], shape: Shape, order: int) -> Job:
    """What nnU-Net calls for images."""
    from skimage.transform import resize

    return partial(resize, array, shape, order, mode="edge", anti_aliasing=False, clip=False)


def skimage_labels(labels: NDArray[np.uint8], shape: Shape) -> Job:
    """What nnU-Net does for labels: each class by itself, where its share is at least one half."""
    from skimage.transform import resize

    def job() -> NDArray[np.uint8]:
        result = np.zeros(shape, np.uint8)
        for value in np.unique(labels):
            share = resize((labels == value).astype(float), shape, 1, mode="edge", clip=True, anti_aliasing=False)
            result[share >= 0.5] = value
        return result

    return job


def simpleitk(array: NDArray[Any], shape: Shape, interpolator: str) -> Job:
    """On the grid over the same extent."""
    import SimpleITK as sitk  # noqa: N813 - its usual name

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    steps = [old / new for old, new in zip(array.shape, shape, strict=True)]
    starts = [step / 2 - 0.5 for step in steps]
    grid = (starts, steps, np.eye(3).ravel().tolist())
    kind = getattr(sitk, interpolator)

    def job() -> NDArray[Any]:
        return sitk.GetArrayFromImage(sitk.Resample(image, shape, sitk.Transform(), kind, *grid)).T

    return job


def monai_spacing(array: NDArray[np.float32], steps: tuple[float, ...], mode: int | str) -> Job:
    """MONAI's own grid, whose first voxel has the centre of the first voxel before."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    torch.set_num_threads(1)
    image = MetaTensor(torch.from_numpy(array)[None], affine=torch.eye(4))
    transform = Spacing(steps, mode=mode, padding_mode="nearest" if isinstance(mode, int) else "border")

    def job() -> NDArray[np.float32]:
        return transform(image)[0].numpy()

    return job


def torch_linear(array: NDArray[np.float32], shape: Shape, mode: str) -> Job:
    """``interpolate`` without corners aligned."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)
    image = torch.from_numpy(array)[None, None]
    corners = None if mode == "nearest-exact" else False

    def job() -> NDArray[np.float32]:
        return F.interpolate(image, shape, mode=mode, align_corners=corners)[0, 0].numpy()

    return job


def main() -> None:
    """Run the contests and record them."""
    from record import record, table

    options = parse()
    shape = tuple(options.shape)
    after = tuple(round(n * size / options.target) for n, size in zip(shape, options.spacing, strict=True))
    parts = [f"{as_text(shape)} to {as_text(after)}, one channel of float32, one thread:"]
    parts += [table(image_rows(image_of(shape), after, options.repeats))]
    parts += [
        f"Labels of {_STRUCTURES} structures, uint8:",
        table(label_rows(labels_of(shape), after, options.repeats)),
    ]
    listing = "\n\n".join(parts)
    if options.no_record:
        print(listing)
    else:
        record("resampling", listing, _PACKAGES)


def parse() -> argparse.Namespace:
    """The grids."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 150))
    parser.add_argument("--spacing", type=float, nargs=3, default=(0.75, 0.75, 1.25))
    parser.add_argument("--target", type=float, default=1.5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def as_text(shape: tuple[int, ...]) -> str:
    """A shape, written out."""
    return " x ".join(map(str, shape))


def image_rows(array: NDArray[np.float32], after: Shape, repeats: int) -> list[dict[str, object]]:
    """Cubic and linear interpolation."""
    steps = tuple(old / new for old, new in zip(array.shape, after, strict=True))
    cubic: dict[str, Make] = {
        "scipy zoom, cubic": partial(scipy_zoom, array, after, 3),
        "medseg, cubic": partial(medseg_image, array, after, 3),
        "skimage resize, cubic (nnU-Net)": partial(skimage_resize, array, after, 3),
        "SimpleITK sitkBSpline": partial(simpleitk, array, after, "sitkBSpline"),
        "MONAI Spacing, cubic": partial(monai_spacing, array, steps, 3),
    }
    linear: dict[str, Make] = {
        "scipy zoom, linear": partial(scipy_zoom, array, after, 1),
        "medseg, linear": partial(medseg_image, array, after, 1),
        "torch interpolate, trilinear": partial(torch_linear, array, after, "trilinear"),
        "SimpleITK sitkLinear": partial(simpleitk, array, after, "sitkLinear"),
        "MONAI Spacing, bilinear": partial(monai_spacing, array, steps, "bilinear"),
    }
    rows = []
    for makes, order in ((cubic, 3), (linear, 1)):
        expected = scipy_zoom(array, after, order)()
        scores = compete(makes, dict.fromkeys(makes, partial(difference, expected)), repeats)
        rows += [
            row(name, score, scores[next(iter(makes))], "off by, inside, border") for name, score in scores.items()
        ]
    return rows


def label_rows(labels: NDArray[np.uint8], after: Shape, repeats: int) -> list[dict[str, object]]:
    """By shares of each class, and by the nearest voxel."""
    makes: dict[str, Make] = {
        "each class by skimage resize (nnU-Net)": partial(skimage_labels, labels, after),
        "medseg": partial(medseg_labels, labels, after),
        "SimpleITK sitkLabelLinear": partial(simpleitk, labels, after, "sitkLabelLinear"),
        "SimpleITK sitkNearestNeighbor": partial(simpleitk, labels, after, "sitkNearestNeighbor"),
        "scipy zoom, nearest": partial(scipy_zoom, labels, after, 0),
    }
    expected = skimage_labels(labels, after)()
    scores = compete(makes, dict.fromkeys(makes, partial(agreement, expected)), repeats)
    return [row(name, score, scores[next(iter(makes))], "equal voxels") for name, score in scores.items()]


def row(name: str, score: Score | str, rival: Score | str, checked: str) -> dict[str, object]:
    """What a contestant took, and how many times less than the first of its table."""
    if isinstance(score, str) or isinstance(rival, str):
        return {"": name, "CPU s": "-", "times faster": "-", "peak MiB": "-", checked: score}
    return {
        "": name,
        "CPU s": f"{score.cpu_s:.3f}",
        "times faster": f"{rival.cpu_s / score.cpu_s:.1f}",
        "peak MiB": f"{score.peak_mib:.0f}",
        checked: score.checked,
    }


def difference(expected: NDArray[np.float32], result: NDArray[np.float32]) -> str:
    """The largest difference deep inside, and up to the border."""
    if result.shape != expected.shape:
        return f"another grid: {as_text(result.shape)}"
    off = np.abs(result - expected)
    margin = [min(n // 3, 16) for n in off.shape]
    inside = tuple(slice(one, n - one) for one, n in zip(margin, off.shape, strict=True))
    return f"{off[inside].max():.1e}, {off.max():.1e}"


def agreement(expected: NDArray[np.uint8], result: NDArray[np.uint8]) -> str:
    """The share of voxels with the same label."""
    return f"{(expected == result).mean():.5f}"


if __name__ == "__main__":
    main()
