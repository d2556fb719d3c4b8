"""MR-like images of invented heads, of which it is known which sequence shows which structure.

| structure | T1 | T2 | FLAIR |
| --- | --- | --- | --- |
| nucleus | bright | | |
| lesion | | bright | bright |
| cyst | dark | bright | |

What is not in the table is invisible in that sequence. Where a structure lies says nothing of what it is. So without
FLAIR, and without T2, the other sequences still show everything; without T1, all but the nuclei.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from medseg.core.files import atomic_folder
from medseg.core.geometry import Geometry, Shape, Spacing
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume

from .shapes import Ellipsoid, Solid, coverage, voxel_centres

SEQUENCES = ("T1", "T2", "FLAIR")
STRUCTURES = LabelScheme.from_names({"nucleus": 1, "lesion": 2, "cyst": 3})
"""The labelled structures of a head."""
CONTRAST: Mapping[str, Mapping[str, float]] = {
    "nucleus": {"T1": 45.0},
    "lesion": {"T2": 45.0, "FLAIR": 45.0},
    "cyst": {"T1": -45.0, "T2": 45.0},
}
"""By how much a structure differs from the tissue around it, by sequence; by nothing where it is not named."""
HEAD_GRID = (40, 48, 36), (2.0, 2.0, 2.0)
"""Shape and spacing (mm) of the grid that just holds a head."""

_TISSUE = 100.0
_NOISE, _TEXTURE, _TEXTURE_MM = 9.0, 6.0, 4.0
_SITES = tuple((x, y, 0.0) for x in (-13.0, 13.0) for y in (-18.0, 0.0, 18.0))
_JITTER_MM = 2.0
_RADII_MM = (5.0, 7.0)
_HEAD_MM = (34.0, 42.0, 31.0)


@dataclass(frozen=True, eq=False)
class Head:
    """One invented head, its middle at the world's origin.

    Attributes:
        outline: Of the tissue.
        parts: Each structure twice, none touching another.
    """

    outline: Solid
    parts: tuple[tuple[str, Solid], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Head:
        """A random head."""
        sites = rng.permutation(np.array(_SITES))
        names = [*STRUCTURES.names] * 2
        parts = tuple((name, _lump(site, rng)) for name, site in zip(names, sites, strict=True))
        return cls(Ellipsoid((0, 0, 0), _triple(np.array(_HEAD_MM) * rng.uniform(0.95, 1.05, 3))), parts)


def take_sequence(head: Head, sequence: str, grid: Geometry, rng: np.random.Generator) -> Volume:
    """Image of a head in one sequence, in arbitrary units that differ from image to image.

    Args:
        head: What is in it.
        sequence: One of ``SEQUENCES``.
        grid: Any, in RAS mm.
        rng: For noise, texture and units.

    Returns:
        One channel of that name, float32.
    """
    points = voxel_centres(grid)
    values = _TISSUE * coverage(head.outline.field(points))
    for name, solid in head.parts:
        values += CONTRAST[name].get(sequence, 0.0) * coverage(solid.field(points))
    rough = gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), [_TEXTURE_MM / s for s in grid.spacing])
    values += _TEXTURE * rough / rough.std() + _NOISE * rng.standard_normal(grid.shape, dtype=np.float32)
    scaled = (values * rng.uniform(0.6, 1.6)).astype(np.float32)
    return Volume(scaled[np.newaxis], grid, (sequence,))


def head_labels(head: Head, grid: Geometry) -> LabelMap:
    """The structures of a head, of the scheme ``STRUCTURES``; a voxel counts by its centre."""
    points = voxel_centres(grid)
    labels = np.zeros(grid.shape, np.uint8)
    for name, solid in head.parts:
        labels[solid.field(points) < 0] = STRUCTURES[name].value
    return LabelMap(labels, grid)


def head_grid(
    shape: Shape = HEAD_GRID[0], spacing: Spacing = HEAD_GRID[1], turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Geometry:
    """A grid around the world's origin, turned about x, y and z by so many degrees."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * np.array(spacing)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Geometry(shape, affine)


def write_sequences(
    folder: Path, cases: int = 24, seed: int = 0, lacking: Sequence[tuple[int, str]] = (), *, one_grid: bool = False
) -> Path:
    """Write heads as NIfTI files with a manifest, replacing the folder.

    The label lies on the grid of T1. T2 and FLAIR have grids of their own: turned by some degrees, and with other
    spacing, as sequences of one examination have. A third of the cases validates, a third tests.

    Args:
        folder: Made or replaced as a whole.
        cases: How many.
        seed: The same seed gives the same files.
        lacking: Sequences that are left out: number of the case, counted from 0, and name.
        one_grid: Take T2 and FLAIR on the grid of T1 too.

    Returns:
        Path of the manifest.

    Raises:
        OutputError: If the folder cannot be written.
    """
    with atomic_folder(folder) as partial:
        rows = []
        for number in range(cases):
            rng = np.random.default_rng((seed, number))
            head, grids = Head.draw(rng), _grids(rng)
            taken = dict.fromkeys(SEQUENCES, grids["T1"]) if one_grid else grids
            wanted = {name: grid for name, grid in taken.items() if (number, name) not in lacking}
            rows.append(_write_head(partial, number, head_labels(head, grids["T1"]), _taken(head, wanted, rng)))
        values = {one.name: one.value for one in STRUCTURES.structures}
        (partial / "labels.json").write_text(json.dumps(values) + "\n", encoding="utf-8")
        with (partial / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            columns = ("case", "split", "label", *(f"image.{name}" for name in SEQUENCES))
            writer = csv.DictWriter(stream, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
    return folder / "manifest.csv"


def _grids(rng: np.random.Generator) -> dict[str, Geometry]:
    """The grid of each sequence of one examination."""
    tilts = rng.uniform(-8, 8, (2, 3))
    return {
        "T1": head_grid(),
        "T2": head_grid((44, 52, 26), (1.8, 1.8, 2.8), _triple(tilts[0])),
        "FLAIR": head_grid((36, 44, 32), (2.2, 2.2, 2.2), _triple(tilts[1])).reoriented("LSA"),
    }


def _taken(head: Head, grids: Mapping[str, Geometry], rng: np.random.Generator) -> dict[str, Volume]:
    return {name: take_sequence(head, name, grid, rng) for name, grid in grids.items()}


def _write_head(folder: Path, number: int, label: LabelMap, images: Mapping[str, Volume]) -> dict[str, str]:
    case = f"head-{number + 1:03d}"
    row = {"case": case, "split": ("train", "validation", "test")[number % 3], "label": f"{case}/label.nii.gz"}
    write_label_map(folder / row["label"], label)
    for name, image in images.items():
        row[f"image.{name}"] = f"{case}/{name}.nii.gz"
        write_volume(folder / row[f"image.{name}"], image)
    return row


def _lump(site: NDArray[np.float64], rng: np.random.Generator) -> Solid:
    centre = site + rng.uniform(-_JITTER_MM, _JITTER_MM, 3) + (0, 0, rng.uniform(-8, 8))
    return Ellipsoid(_triple(centre), _triple(rng.uniform(*_RADII_MM, 3)), _triple(rng.uniform(-90, 90, 3)))


def _triple(numbers: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
