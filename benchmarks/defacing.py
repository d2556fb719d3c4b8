"""How well faces are found: heads warped from the template, what is no upright head, and real series.

    python benchmarks/defacing.py --heads 12 --real DATA/dicom_studies DATA/brain_tumor_progression

The heads are the template itself, turned by up to 12 degrees, stretched by up to 10 % along each axis, shifted by up to
15 mm, bent by B-splines, and given another contrast, a bias field and noise. That is the same anatomy again, so it says
how exactly the mask is placed, and nothing about recognising people. Real series have no known answer: found or
refused, and how much of the image goes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import record, table
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medseg.core.errors import DataError, DeidError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.deid.face_mask import face_mask
from medseg.deid.face_template import template
from medseg.io.dicom_read import read_series
from medseg.io.studies import find_series
from medseg.phantom.bodies import torso

KNOTS_MM = 40.0
CONTRASTS: dict[str, tuple[list[float], list[float]]] = {
    "T1": ([0, 1], [0, 1]),
    "T2": ([0, 0.1, 0.25, 0.45, 0.6, 0.8, 1], [0, 0.5, 1, 0.7, 0.45, 0.6, 0.75]),
    "FLAIR": ([0, 0.1, 0.25, 0.45, 0.6, 0.8, 1], [0, 0.15, 0.35, 0.65, 0.5, 0.6, 0.9]),
}
VIEWS = {
    "all": ((0, 1), (0, 1), (0, 1)),
    "without neck": ((0, 1), (0, 1), (0.3, 1)),
    "without top": ((0, 1), (0, 1), (0.1, 0.75)),
    "without nose": ((0, 1), (0, 0.88), (0, 1)),
}


@dataclass(frozen=True)
class Case:
    """How a head is made."""

    seed: int
    contrast: str = "T1"
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bending_mm: float = 2.5
    view: str = "all"
    codes: str = "RAS"


@dataclass(frozen=True, eq=False)
class Head:
    """An image with its true face, brain and body, all on one grid."""

    image: Volume
    face: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    body: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    found = [_warped_row(name, cases) for name, cases in _cases(arguments.heads).items()]
    refused = [_refused_row(name, volumes) for name, volumes in _no_heads().items()]
    text = f"{table(found)}\n\n{table(refused)}"
    if arguments.real:
        text += f"\n\n{table(list(_real_rows(arguments.real)))}"
    record("defacing", text, ("SimpleITK", "scipy", "numpy"))


def _cases(count: int) -> dict[str, list[Case]]:
    few, contrasts = max(1, count // 4), list(CONTRASTS)
    return {
        "1 mm, T1": [Case(seed) for seed in range(count)],
        "1 mm, T2 and FLAIR": [Case(20 + seed, contrasts[1 + seed % 2]) for seed in range(count)],
        "1 mm, bent more": [Case(40 + seed, contrasts[seed % 3], bending_mm=4.0) for seed in range(count)],
        "slices of 5 mm": [
            Case(60 + n, contrasts[n % 3], ((1, 1, 5), (5, 1, 1), (1, 5, 1))[n % 3], codes=("LPS", "PIR", "RSA")[n % 3])
            for n in range(few)
        ],
        **{view: [Case(80 + seed, view=view) for seed in range(few)] for view in list(VIEWS)[1:]},
    }


def _warped_row(name: str, cases: list[Case]) -> dict[str, object]:
    scores, seconds, refusals = [], [], 0
    for case in cases:
        head = warped(case)
        start = time.perf_counter()
        try:
            mask = face_mask(head.image)
        except DeidError:
            refusals += 1
            continue
        seconds.append(time.perf_counter() - start)
        face, other = head.face & head.body, head.body & ~head.face
        scores.append([mask[face].mean(), 100 * mask[other].mean(), mask[head.brain].sum()])
    recall, removed, brain = np.array(scores).T
    return {
        "heads": name,
        "n": len(cases),
        "refused": refusals,
        "face found, mean (least)": f"{recall.mean():.3f} ({recall.min():.3f})",
        "other tissue removed, mean (most), %": f"{removed.mean():.2f} ({removed.max():.2f})",
        "brain voxels removed": int(brain.sum()),
        "s, mean (most)": f"{np.mean(seconds):.1f} ({np.max(seconds):.1f})",
    }


def warped(case: Case) -> Head:
    """A head out of the template."""
    rng = np.random.default_rng(case.seed)
    fine = template().fine
    extent = (np.array(fine.shape) - 1) * fine.spacing
    shape = tuple((extent / case.spacing).astype(int).tolist())
    bend = _Warp.draw(rng, extent, case.bending_mm)
    layers = [(bend.source(n, shape, case.spacing) / fine.spacing).astype(np.float32) for n in range(shape[0])]
    values = _mapped(fine.values, layers, "constant")
    body = values > fine.body_level
    face, brain = (_mapped(mask, layers, "nearest") > 0.5 for mask in (_face(), brain_region()))
    image = _contrasted(values, body, case, rng)
    affine = np.diag([*case.spacing, 1.0])
    affine[:3, 3] = fine.origin + rng.uniform(-60, 60, 3)
    box = tuple(slice(int(a * n), int(b * n)) for (a, b), n in zip(VIEWS[case.view], shape, strict=True))
    parts = [
        Volume(array[np.newaxis], Geometry(shape, affine)).cropped(box).reoriented(case.codes)
        for array in (image, face, brain, body)
    ]
    return Head(parts[0], *(np.asarray(part.array[0], dtype=np.bool_) for part in parts[1:]))


@dataclass(frozen=True, eq=False)
class _Warp:
    """Where in the template each point of a head comes from, in mm from the first voxel."""

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]
    knots: NDArray[np.float64]
    middle: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, extent: NDArray[np.float64], bending_mm: float) -> _Warp:
        turn = Rotation.from_euler("xyz", rng.uniform(-12, 12, 3), degrees=True).as_matrix()
        linear = np.linalg.inv(turn * rng.uniform(0.9, 1.1, 3))
        shift = extent / 2 - rng.uniform(-15, 15, 3)
        return cls(linear, shift, rng.normal(0, bending_mm, (3, *((extent // KNOTS_MM).astype(int) + 4))), extent / 2)

    def source(self, layer: int, shape: tuple[int, ...], spacing: tuple[float, ...]) -> NDArray[np.float64]:
        """Of one layer of voxels, shape ``(j, k, 3)``."""
        points = np.stack(np.meshgrid([layer], range(shape[1]), range(shape[2]), indexing="ij"), -1)[0] * spacing
        where = np.moveaxis(points / KNOTS_MM + 1, -1, 0)
        options = {"order": 3, "prefilter": False, "mode": "nearest"}
        bent = np.stack([ndimage.map_coordinates(knots, where, **options) for knots in self.knots], -1)
        return (points - self.middle) @ self.linear.T + self.shift + bent


def _mapped(array: NDArray[np.float32], layers: list[NDArray[np.float32]], mode: str) -> NDArray[np.float32]:
    return np.stack([ndimage.map_coordinates(array, np.moveaxis(one, -1, 0), order=1, mode=mode) for one in layers])


def _contrasted(values: NDArray[np.float32], body: NDArray[np.bool_], case: Case, rng: np.random.Generator) -> object:
    levels = np.minimum(values / np.percentile(values, 99.5), 1)
    levels = np.where(body, np.interp(levels, *CONTRASTS[case.contrast]), levels / 2)
    knots = rng.normal(0, 0.25, (5, 5, 5))
    field = ndimage.zoom(np.exp(knots), np.array(values.shape) / 5, order=2, mode="nearest", grid_mode=True)
    return (np.abs(levels * field + rng.normal(0, 0.03, values.shape)) * 1000).astype(np.int16)


def _face() -> NDArray[np.float32]:
    model = template()
    distance = model.face_distance.sampled(model.fine.affine, model.fine.shape)
    return (distance == 0).astype(np.float32)


def brain_region() -> NDArray[np.float32]:
    """Where the template's brain lies: its bright core, grown to 12 mm under the skin."""
    head = template().fine
    cores, _ = ndimage.label(ndimage.binary_erosion(head.values > 110, iterations=3))
    core = ndimage.binary_dilation(cores == np.bincount(cores[cores > 0]).argmax(), iterations=3)
    body = np.stack([ndimage.binary_fill_holes(head.body[:, :, k]) for k in range(head.shape[2])], 2)
    deep = ndimage.distance_transform_edt(body) * head.spacing > 12
    near = ndimage.distance_transform_edt(~core) * head.spacing <= 12
    return (deep & near).astype(np.float32)


def _no_heads() -> dict[str, list[Volume]]:
    heads = [warped(Case(100, spacing=(2, 2, 2))), warped(Case(101, "T2", (2, 2, 2))), warped(Case(102, "FLAIR"))]
    rng, grid = np.random.default_rng(0), Geometry.from_spacing((90, 110, 90), (2.0, 2.0, 2.0))
    noise = rng.normal(0, 1, (1, *grid.shape))
    return {
        "heads upside down": [_changed(head, lambda array: array[:, :, ::-1]) for head in heads],
        "heads that face backwards": [_changed(head, lambda array: array[:, ::-1]) for head in heads],
        "heads that lie": [_changed(head, lambda array: array.swapaxes(1, 2)) for head in heads],
        "brains without skull": [
            Volume(np.where(head.brain, head.image.array, np.int16(0)), head.image.geometry) for head in heads
        ],
        "torsos": [torso(seed, (60, 60, 44)).image for seed in range(4)],
        "noise": [Volume(noise, grid), Volume(ndimage.gaussian_filter(noise, (0, 5, 5, 5)), grid)],
        "an ellipsoid": [Volume((_ellipsoid(grid.shape) + 0.02 * noise[0])[np.newaxis], grid)],
    }


def _changed(head: Head, change: Callable[[NDArray[np.generic]], NDArray[np.generic]]) -> Volume:
    array = np.ascontiguousarray(change(head.image.array[0]))
    return Volume(array[np.newaxis], Geometry(array.shape, head.image.geometry.affine))


def _ellipsoid(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    radius = sum((axis / size) ** 2 for axis, size in zip(axes, (0.7, 0.75, 0.8), strict=True))
    return np.where(radius < 1, np.where(radius > 0.85, 1.0, 0.5), 0.0)


def _refused_row(name: str, volumes: list[Volume]) -> dict[str, object]:
    refused = 0
    for volume in volumes:
        try:
            face_mask(volume)
        except DeidError:
            refused += 1
    return {"no upright heads": name, "n": len(volumes), "refused": refused}


def _real_rows(folders: list[Path]) -> Iterator[dict[str, object]]:
    for folder in folders:
        for series in find_series(folder).series:
            if series.modality != "MR" or series.geometry is None:
                continue
            start, outcome = time.perf_counter(), ""
            try:
                volume = read_series(series)
                mask = face_mask(volume)
                outcome = f"found, {mask.sum() * volume.geometry.voxel_volume / 1e6:.2f} litres masked"
            except (DeidError, DataError) as error:
                outcome = f"refused: {error}"
            seconds = time.perf_counter() - start
            yield {"real series": f"{folder.name}: {series.description}", "outcome": outcome, "s": f"{seconds:.1f}"}


if __name__ == "__main__":
    main()
