"""Closed surfaces from STL and OBJ files, turned into the voxels that they enclose."""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, LabelError, ReadError
from medseg.core.files import existing
from medseg.core.geometry import Geometry
from medseg.core.labels import IGNORE_INDEX, Colour, LabelScheme, Structure, palette_colour
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap

from .limits import LARGEST_DECODED, decoding
from .mesh import STL_HEADER, STL_TRIANGLE
from .streams import opened_regular
from .voxelise import enclosed_voxels

_LARGEST_FILE = 2**29
_MOST_TRIANGLES = 10_000_000
_MOST_CORNERS = 1000
_MOST_GROUPS = IGNORE_INDEX - 1
_LONGEST_LINE = 2**16
_RAS = re.compile(rb"SPACE\s*=\s*RAS", re.IGNORECASE)
_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class _Mesh:
    """Corners of the triangles of one structure, LPS mm, shape ``(m, 3, 3)``."""

    name: str
    colour: Colour | None
    corners: NDArray[np.float64]


def read_surface(path: Path, grid: Geometry) -> NDArray[np.bool_]:
    """Mask, shape ``(i, j, k)``, of the voxels whose centres the file's surfaces enclose.

    The file's world is LPS, unless its header or a comment says ``SPACE=RAS`` as 3D Slicer writes it. Of what lies
    beyond the grid nothing is seen. A centre exactly on a surface belongs to the side towards larger indices.

    Args:
        path: STL (binary or ASCII) or OBJ, in mm.
        grid: The grid of the mask.

    Raises:
        ReadError: If it is no such file, damaged, or holds more than ten million triangles.
        GeometryError: If a surface is not closed, or lies tens of thousands of voxels away.
    """
    mask = np.zeros(grid.shape, dtype=np.bool_)
    for _, one in _masks(path, grid):
        mask |= one
    return mask


def read_surfaces(path: Path, grid: Geometry) -> Segmentation:
    """The structures whose surfaces are in a file or a folder: a label map, or masks where they overlap.

    Args:
        path: An OBJ file, whose groups are the structures, with their diffuse colours if its material library lies
            beside it; an STL file; or a folder of STL files. STL files are named after their structures.
        grid: As ``read_surface``.

    Raises:
        ReadError: As ``read_surface``; or if a folder holds no STL file.
        GeometryError: As ``read_surface``.
        LabelError: If there are more structures than fit into memory.
    """
    found: list[tuple[_Mesh, NDArray[np.bool_]]] = []
    for file in _files(path):
        for mesh, mask in _masks(file, grid):
            found.append((mesh, mask))
            if len(found) * mask.size > LARGEST_DECODED:
                raise LabelError("holds more structures than fit into memory on this grid; read them one by one")
    structures = tuple(
        Structure(name, index + 1, mesh.colour or palette_colour(index))
        for index, (name, (mesh, _)) in enumerate(zip(_distinct(mesh.name for mesh, _ in found), found, strict=True))
    )
    return _segmentation(structures, [mask for _, mask in found], grid)


def _segmentation(structures: tuple[Structure, ...], masks: list[NDArray[np.bool_]], grid: Geometry) -> Segmentation:
    labels = np.zeros(grid.shape, dtype=np.uint8)
    overlap = False
    scheme = LabelScheme(structures)
    for structure, mask in zip(structures, masks, strict=True):
        overlap = overlap or bool(labels[mask].any())
        labels[mask] = structure.value
    if not overlap:
        return Segmentation(LabelMap(labels, grid), scheme)
    return Segmentation(MultiLabelMap(np.stack(masks), grid, scheme.names), LabelScheme(structures, overlapping=True))


def _files(path: Path) -> list[Path]:
    if not existing(path).is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.suffix.lower() == ".stl" and not one.name.startswith("."))
    if not 0 < len(files) <= _MOST_GROUPS:
        raise ReadError(f"{path.name}: holds {len(files)} STL files; 1 to {_MOST_GROUPS} are read")
    return files


def _distinct(names: Iterable[str]) -> list[str]:
    """The names, with numbers behind those that were there before."""
    seen: list[str] = []
    for base in names:
        name, number = base, 1
        while name in seen:
            number += 1
            name = f"{base} {number}"
        seen.append(name)
    return seen


def _masks(path: Path, grid: Geometry) -> Iterator[tuple[_Mesh, NDArray[np.bool_]]]:
    with decoding(path):
        for number, mesh in enumerate(_meshes(path), start=1):
            try:
                mask = enclosed_voxels(mesh.corners, grid)
            except GeometryError as error:
                raise GeometryError(f"surface {number} {error}") from None
            yield mesh, mask


def _meshes(path: Path) -> list[_Mesh]:
    with opened_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size > _LARGEST_FILE:
            raise ReadError(f"a surface file is {size / 2**20:.0f} MiB; at most {_LARGEST_FILE >> 20} MiB are read")
        if path.suffix.lower() == ".obj":
            return _Obj(path).read(file)
        corners = _binary_stl(file, size)
        return [_Mesh(path.stem, None, _ascii_stl(file) if corners is None else corners)]


def _binary_stl(file: BufferedReader, size: int) -> NDArray[np.float64] | None:
    """Corners of the triangles; None if the size is not what a binary file's header says, but it may be ASCII."""
    head = file.read(STL_HEADER + 4)
    count = int.from_bytes(head[STL_HEADER:], "little")
    if len(head) < STL_HEADER + 4 or size != STL_HEADER + 4 + count * STL_TRIANGLE.itemsize:
        if not head.lstrip().lower().startswith(b"solid"):
            raise ReadError(
                f"is no STL file, or not whole: {size} bytes do not hold the {count} triangles of its header"
            )
        file.seek(0)
        return None
    _check_count(count)
    corners = np.frombuffer(file.read(), dtype=STL_TRIANGLE, count=count)["corners"].astype(np.float64)
    return corners * _TO_LPS if _RAS.search(head) else corners


def _ascii_stl(file: BufferedReader) -> NDArray[np.float64]:
    numbers, is_ras = array("d"), False
    for line in _lines(file):
        words = line.split()
        if words[:1] == [b"vertex"]:
            numbers.extend(map(float, words[1:4]))
            _check_count(len(numbers) // 9)
        elif _RAS.search(line):
            is_ras = True
    if not numbers or len(numbers) % 9:
        raise ReadError(f"its triangles are damaged: {len(numbers)} coordinates, 9 make a triangle")
    corners = np.array(numbers).reshape(-1, 3, 3)
    return corners * _TO_LPS if is_ras else corners


@dataclass
class _Obj:
    """State of an OBJ file that is being read."""

    path: Path
    numbers: array[float] = field(default_factory=lambda: array("d"))
    groups: dict[str, array[int]] = field(default_factory=dict)
    materials: dict[str, str] = field(default_factory=dict)
    colours: dict[str, Colour] = field(default_factory=dict)
    current: str = ""
    triangles: int = 0
    is_ras: bool = False

    def read(self, file: BufferedReader) -> list[_Mesh]:
        """The groups that hold triangles."""
        for line in _lines(file):
            self._take(line)
        vertices = np.array(self.numbers).reshape(-1, 3) * (_TO_LPS if self.is_ras else 1.0)
        if not self.groups:
            raise ReadError("holds no surface")
        meshes = []
        for name, indices in self.groups.items():
            triangles = np.array(indices).reshape(-1, 3)
            if triangles.min() < 0 or triangles.max() >= len(vertices):
                raise ReadError(f"a face names a vertex that is not among its {len(vertices)}")
            colour = self.colours.get(self.materials.get(name, ""))
            meshes.append(_Mesh(name, colour, vertices[triangles]))
        return meshes

    def _take(self, line: bytes) -> None:
        key, _, rest = line.strip().partition(b" ")
        match key:
            case b"v":
                self.numbers.extend(map(float, rest.split()[:3]))
                _check_count(len(self.numbers) // 9)
            case b"f":
                self._face(rest.split())
            case b"g" | b"o":
                self.current = rest.strip().decode("utf-8", "replace")
            case b"usemtl":
                self.materials.setdefault(self._name, rest.strip().decode("utf-8", "replace"))
            case b"mtllib":
                self.colours |= _colours(self.path, rest.strip().decode("utf-8", "replace"))
            case _ if line.startswith(b"#") and _RAS.search(line):
                self.is_ras = True

    @property
    def _name(self) -> str:
        return self.current or self.path.stem

    def _face(self, words: list[bytes]) -> None:
        """A polygon, as a fan of triangles; the indices count from 1, or back from the last vertex."""
        if not 3 <= len(words) <= _MOST_CORNERS:
            raise ReadError(f"a face has {len(words)} corners; 3 to {_MOST_CORNERS} are read")
        count = len(self.numbers) // 3
        corners = [int(word.split(b"/")[0]) for word in words]
        corners = [index - 1 if index >= 0 else count + index for index in corners]
        triangles = self.groups.setdefault(self._name, array("q"))
        if len(self.groups) > _MOST_GROUPS:
            raise ReadError(f"holds more than {_MOST_GROUPS} groups, the limit; split it up")
        for second, third in itertools.pairwise(corners[1:]):
            triangles.extend((corners[0], second, third))
        self.triangles += len(words) - 2
        _check_count(self.triangles)


def _colours(path: Path, library: str) -> dict[str, Colour]:
    """Diffuse colours by material of the library beside an OBJ file; none if it is not there, or elsewhere."""
    beside = path.parent / library
    if Path(library).name != library or beside.suffix.lower() != ".mtl" or not beside.is_file():
        return {}
    colours: dict[str, Colour] = {}
    name = ""
    with opened_regular(beside) as file:
        for line in _lines(file):
            key, _, rest = line.strip().partition(b" ")
            if key == b"newmtl":
                name = rest.strip().decode("utf-8", "replace")
            elif key == b"Kd":
                red, green, blue = (round(255 * min(max(float(part), 0.0), 1.0)) for part in rest.split()[:3])
                colours[name] = (red, green, blue)
    return colours


def _lines(file: BufferedReader) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ReadError(f"a line is longer than {_LONGEST_LINE} bytes")
        yield line


def _check_count(triangles: int) -> None:
    if triangles > _MOST_TRIANGLES:
        raise ReadError(f"holds more than {_MOST_TRIANGLES} triangles, the limit; reduce it first")
