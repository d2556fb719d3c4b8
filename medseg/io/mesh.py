"""Surfaces of structures as STL or OBJ files: closed, counter-clockwise from outside, LPS mm as 3D Slicer has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from medseg.core.errors import InputError, LabelError
from medseg.core.files import atomic_file, atomic_folder, flush_folder, safe_name, write_staged, write_text
from medseg.core.geometry import Geometry
from medseg.core.labels import Structure
from medseg.core.segmentation import Segmentation

from .nrrd import LPS_TO_RAS

SURFACE_SUFFIXES = (".stl", ".obj")
SPACE = "SPACE=LPS"
"""How 3D Slicer says in a header or comment which world the numbers are of."""
STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
STL_HEADER = 80
_PASSES = 10
_SHRINK, _GROW = 0.5, -0.53  # Taubin's λ and μ


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface.

    Attributes:
        vertices: LPS mm, shape ``(n, 3)``.
        triangles: Indices of vertices, shape ``(m, 3)``; seen from outside they run counter-clockwise.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]

    @property
    def volume(self) -> float:
        """Enclosed volume in mm³; negative if the triangles face inwards."""
        first, second, third = (self.vertices[self.triangles[:, corner]] for corner in range(3))
        return float(np.einsum("ij,ij->", first, np.cross(second, third)) / 6)


def surface_of(mask: NDArray[np.bool_], geometry: Geometry, *, smooth: bool = True) -> Surface:
    """The surface half-way between voxels inside and outside.

    Without smoothing ``read_surface`` gives the same mask. Smoothing takes the steps away and keeps the volume: that of
    balls of 8 and more voxels radius to 0.5 %, of smaller things to 3 %, which are as much too small without it.

    Args:
        mask: Shape ``(i, j, k)``, on the grid; what touches the grid's border is closed there.
        geometry: The grid.
        smooth: Whether to smooth.

    Raises:
        LabelError: If the mask is empty.

    References:
        Lorensen and Cline, 1987, SIGGRAPH 21(4):163 (each edge belongs to two triangles, which Lewiner's variant does
        not keep where masks touch at corners). Taubin, 1995, SIGGRAPH, p. 351.
    """
    from skimage.measure import marching_cubes  # noqa: PLC0415 - slow to import, and only surfaces need it

    box = _box(mask)
    padded = np.pad(mask[box].astype(np.float32), 1)
    vertices, triangles, _, _ = marching_cubes(padded, 0.5, method="lorensen")
    vertices = vertices.astype(np.float64) + [part.start - 1 for part in box]
    faces = triangles.astype(np.int64)
    if smooth:
        vertices = _smoothed(vertices, faces)
    affine = LPS_TO_RAS @ geometry.affine
    if np.linalg.det(affine[:3, :3]) > 0:  # skimage's triangles face inwards in a right-handed world
        faces = faces[:, ::-1]
    return Surface(vertices @ affine[:3, :3].T + affine[:3, 3], np.ascontiguousarray(faces))


def write_surface(path: Path, mask: NDArray[np.bool_], geometry: Geometry, name: str, *, smooth: bool = True) -> None:
    """Write the surface of one mask, as STL or OBJ by the suffix.

    Args:
        path: ``.stl`` or ``.obj``.
        mask: As ``surface_of``.
        geometry: The grid.
        name: Goes into the file, as ``safe_name`` has it.
        smooth: As ``surface_of``.

    Raises:
        LabelError: If the mask is empty.
        InputError: If the suffix is another.
        OutputError: If the file cannot be written.
    """
    surface = surface_of(mask, geometry, smooth=smooth)
    match path.suffix.lower():
        case ".stl":
            with atomic_file(path) as partial:
                partial.write_bytes(_stl(surface, name))
        case ".obj":
            write_text(path, f"# medseg {SPACE}\n" + "".join(_obj_group(surface, safe_name(name), 0)))
        case suffix:
            raise InputError(f"surfaces are written as {' or '.join(SURFACE_SUFFIXES)}, not as {suffix!r}")


def write_surfaces(path: Path, segmentation: Segmentation, *, smooth: bool = True) -> tuple[Path, ...]:
    """Write the surfaces of all structures; the files that were written.

    Structures are named as ``safe_name`` has them; empty ones have no surface and are left out.

    Args:
        path: ``.obj`` for one file with a group a structure and a ``.mtl`` beside it with their colours; anything else
            is a folder that gets one STL file a structure and replaces what was there.
        segmentation: What to write.
        smooth: As ``surface_of``.

    Raises:
        LabelError: If all structures are empty.
        OutputError: If the files cannot be written.
    """
    if path.suffix.lower() == ".obj":
        return _write_obj(path, segmentation, smooth=smooth)
    written = []
    with atomic_folder(path) as partial:
        for name, _, surface in _surfaces(segmentation, smooth=smooth):
            write_staged(partial / f"{name}.stl", _stl(surface, name))
            written.append(path / f"{name}.stl")
        _check_any(written)
        flush_folder(partial)
    return tuple(written)


def _surfaces(segmentation: Segmentation, *, smooth: bool) -> Iterator[tuple[str, Structure, Surface]]:
    """A file-safe name, different from all others, the structure, and its surface."""
    seen: set[str] = set()
    for structure, mask in segmentation.masks():
        base = name = safe_name(structure.name)
        number = 1
        while name.lower() in seen:
            number += 1
            name = f"{base}_{number}"
        seen.add(name.lower())
        if mask.any():
            yield name, structure, surface_of(mask, segmentation.geometry, smooth=smooth)


def _write_obj(path: Path, segmentation: Segmentation, *, smooth: bool) -> tuple[Path, ...]:
    materials = path.with_suffix(".mtl")
    colours: list[str] = []
    count = 0
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(f"# medseg {SPACE}\nmtllib {materials.name}\n")
        for name, structure, surface in _surfaces(segmentation, smooth=smooth):
            file.writelines(_obj_group(surface, name, count))
            colours.append(f"newmtl {name}\nKd {' '.join(f'{part / 255:.6f}' for part in structure.colour)}\n")
            count += len(surface.vertices)
        _check_any(colours)
        write_text(materials, "\n".join(colours))
    return path, materials


def _obj_group(surface: Surface, name: str, offset: int) -> Iterator[str]:
    """Lines of a group; its vertices are counted on from ``offset``."""
    yield f"g {name}\nusemtl {name}\n"
    yield from (f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in surface.vertices.tolist())
    yield from (f"f {a} {b} {c}\n" for a, b, c in (surface.triangles + (offset + 1)).tolist())


def _stl(surface: Surface, name: str) -> bytes:
    """A binary STL file; its header may not begin with "solid", which says ASCII."""
    corners = surface.vertices[surface.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records = np.zeros(len(corners), dtype=STL_TRIANGLE)
    records["corners"] = corners
    records["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    header = f"medseg {SPACE} {safe_name(name)}"[:STL_HEADER].ljust(STL_HEADER).encode("ascii")
    return header + len(records).to_bytes(4, "little") + records.tobytes()


def _smoothed(vertices: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    size = (len(vertices), len(vertices))
    # each edge is met once in each direction, so the matrix is symmetric
    neighbours = sparse.csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=size)
    shares = 1 / neighbours.sum(axis=1)[:, np.newaxis]
    for step in (_SHRINK, _GROW) * _PASSES:
        vertices = vertices + step * ((neighbours @ vertices) * shares - vertices)
    return vertices


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box around the mask."""
    box = []
    for axis in range(3):
        where = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not where.size:
            raise LabelError("an empty structure has no surface")
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return box[0], box[1], box[2]


def _check_any(written: list[Path] | list[str]) -> None:
    if not written:
        raise LabelError("all structures are empty, so there is no surface to write")
