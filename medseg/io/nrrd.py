"""NRRD in one file (``.nrrd``): http://teem.sourceforge.net/nrrd/format.html.

The format is small and read here, because the library under SimpleITK (teem) copies header values into arrays of fixed
size: a long ``space`` field ends the whole process. Files that point to other files are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume

from .limits import as_array, check_decoded_size, decoding, unpacked
from .streams import gzipped, voxel_parts

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LONGEST_LINE = 2**20
_MOST_LINES = 10_000
NRRD_TYPES = {
    "i1": ("signed char", "char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
"""Names of the types that are read, by numpy's code."""
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_DOMAIN = ("domain", "space", "???", "none")
_WORLDS = {
    "right-anterior-superior": (1.0, 1.0), "ras": (1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0), "las": (-1.0, 1.0),
}  # fmt: skip
_VECTOR = re.compile(r"none|\([^()]*\)")


def is_nrrd(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is NRRD."""
    return re.match(rb"NRRD000\d", head) is not None


def read_nrrd(path: Path) -> Volume:
    """The image in an NRRD file; the entries of an axis that is not one of space become channels ``0``, ``1``, ….

    The file's world becomes RAS; a file that names no patient's world (``scanner-xyz``, or none) is taken as LPS, as
    every program built on ITK does. 2D images become one slice.

    Raises:
        ReadError: If it is no such file, detached, truncated, too large or of a type that is no image.
        GeometryError: If its grid is broken.
    """
    with decoding(path), path.open("rb") as file:
        layout = nrrd_layout(_fields(nrrd_header_lines(file)))
        check_decoded_size(layout.nbytes, path.stat().st_size)
        data = unpacked(file.read(), layout.nbytes) if layout.is_packed else file.read(layout.nbytes)
        sizes, channel = layout.axes.sizes, layout.axes.channel
        array = as_array(data, layout.dtype, math.prod(sizes)).reshape(sizes, order="F")
        channels = array[np.newaxis] if channel is None else np.moveaxis(array, channel, 0)
        if channel == 0:
            channels = np.ascontiguousarray(channels)
        names = tuple(str(index) for index in range(len(channels))) if len(channels) > 1 else ("image",)
        return Volume(channels.reshape(-1, *layout.geometry.shape), layout.geometry, names)


def read_nrrd_pairs(path: Path) -> dict[str, str]:
    """The key/value pairs in the header of an NRRD file (``key:=value``, UTF-8).

    Raises:
        ReadError: If its header has no end, or its voxels lie in another file.
    """
    with decoding(path), path.open("rb") as file:
        pairs = (line.partition(":=") for line in nrrd_header_lines(file) if not line.startswith("#"))
        return {_unescaped(key): _unescaped(value) for key, mark, value in pairs if mark}


def write_nrrd(
    path: Path,
    array: NDArray[Any],
    geometry: Geometry,
    *,
    kind: Literal["vector", "list"] = "vector",
    pairs: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write channels, gzipped.

    Args:
        path: The file; not written atomically.
        array: Shape ``(channel, i, j, k)``.
        geometry: The grid.
        kind: What several channels are: the parts of a vector as in ITK, or a list of images as in 3D Slicer.
        pairs: Key/value pairs for the header.
    """
    affine = LPS_TO_RAS @ geometry.affine
    is_vector = len(array) > 1
    sizes = [*([len(array)] if is_vector else []), *geometry.shape]
    directions = [*(["none"] if is_vector else []), *(_vector(affine[:3, axis]) for axis in range(3))]
    header = {
        "type": array.dtype.name if array.dtype.kind in "iu" else {4: "float", 8: "double"}[array.dtype.itemsize],
        "dimension": str(len(sizes)),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, sizes)),
        "space directions": " ".join(directions),
        "kinds": (f"{kind} " if is_vector else "") + "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
        "space origin": _vector(affine[:3, 3]),
    }
    with path.open("wb") as file:
        file.write(b"NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in header.items()).encode())
        file.write("".join(f"{_escaped(key)}:={_escaped(value)}\n" for key, value in pairs.items()).encode() + b"\n")
        with gzipped(file) as stream:
            for part in voxel_parts(array):
                stream.write(part)


@dataclass(frozen=True)
class NrrdAxes:
    """Sizes of all axes, fastest first; which one holds channels, and which are of space."""

    sizes: tuple[int, ...]
    channel: int | None
    spatial: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NrrdLayout:
    """What the header says of the voxels: they follow it at once, packed by gzip or as they are."""

    axes: NrrdAxes
    dtype: np.dtype[Any]
    is_packed: bool
    geometry: Geometry

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels, unpacked."""
        return math.prod(self.axes.sizes) * self.dtype.itemsize


def nrrd_header_lines(file: BufferedIOBase) -> list[str]:
    """The lines of the header, without their ends, up to the empty line after which the voxels begin.

    Raises:
        ReadError: If there is no end, or the voxels lie in another file.
    """
    lines: list[str] = []
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE).decode("latin-1")
        text = line.rstrip("\r\n")
        if not line.endswith("\n"):
            break
        if not text:
            return lines
        field = nrrd_field(text)
        if field is not None and field[0] in ("data file", "datafile"):
            raise ReadError("its header points to another file; save header and voxels as one .nrrd file")
        lines.append(text)
    raise ReadError("its header is damaged or has no end")


def nrrd_field(line: str) -> tuple[str, str] | None:
    """Lower-case name and value of a header line; None for the first line, comments and key/value pairs."""
    key, colon, value = line.partition(":")
    if line.startswith("#") or value.startswith("=") or not colon:
        return None
    return re.sub(r"\s+", " ", key.strip().lower()), value.strip()


def nrrd_layout(header: Mapping[str, str]) -> NrrdLayout:
    """Where and how the voxels lie, from the fields of a header.

    Raises:
        ReadError: If they do not follow the header, or are of a type that is no image.
        GeometryError: If the grid is broken.
    """
    axes = _axes(header)
    lengths = [axes.sizes[axis] for axis in axes.spatial]
    i, j, k = [*lengths, 1][:3]
    is_packed = _encoding(header) == "gzip"
    return NrrdLayout(axes, _dtype(header), is_packed, Geometry((i, j, k), _affine(header, axes)))


def _fields(lines: Iterable[str]) -> Mapping[str, str]:
    return dict(field for line in lines if (field := nrrd_field(line)) is not None)


def _axes(header: Mapping[str, str]) -> NrrdAxes:
    sizes = tuple(int(size) for size in header.get("sizes", "").split())
    kinds = header.get("kinds", "???" + " ???" * (len(sizes) - 1)).lower().split()
    directions = _VECTOR.findall(header["space directions"]) if "space directions" in header else ["()"] * len(sizes)
    if not 2 <= len(sizes) <= 5 or min(sizes) < 1 or not len(kinds) == len(directions) == len(sizes):
        raise ReadError(f"its axes are not sound: sizes {sizes}, {len(kinds)} kinds, {len(directions)} directions")
    spatial = [axis for axis in range(len(sizes)) if kinds[axis] in _DOMAIN and directions[axis] != "none"]
    others = [axis for axis in range(len(sizes)) if axis not in spatial]
    if len(spatial) == 4 and not others:
        others.append(spatial.pop())
    if len(spatial) not in (2, 3) or len(others) > 1:
        raise ReadError(f"has {len(spatial)} axes of space and {len(others)} others; volumes and series are read")
    return NrrdAxes(sizes, others[0] if others else None, tuple(spatial))


def _dtype(header: Mapping[str, str]) -> np.dtype[Any]:
    name = header.get("type", "")
    code = next((code for code, names in NRRD_TYPES.items() if name.lower() in names), None)
    if code is None:
        raise ReadError(f"stores voxels as {name[:40]!r}; integers and floats of up to 64 bits are read")
    return np.dtype(code).newbyteorder(">" if header.get("endian", "little").lower() == "big" else "<")


def _encoding(header: Mapping[str, str]) -> str:
    encoding = _ENCODINGS.get(header.get("encoding", "").lower())
    if encoding is None:
        raise ReadError(f"packs its voxels by {header.get('encoding', '')[:40]!r}; raw and gzip are read")
    if any(header.get(key, "0") != "0" for key in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise ReadError("its voxels do not follow its header at once; save it anew")
    return encoding


def _affine(header: Mapping[str, str], axes: NrrdAxes) -> NDArray[np.float64]:
    """RAS affine; a 2D image lies in the plane z = 0."""
    affine = np.eye(4)
    if "space directions" in header:
        vectors = _VECTOR.findall(header["space directions"])
        for column, axis in enumerate(axes.spatial):
            affine[:3, column] = _numbers(vectors[axis])
        affine[:3, 3] = _numbers(header.get("space origin", "(0,0,0)"))
    else:
        for column, axis in enumerate(axes.spatial):
            spacing = _entry(header, "spacings", axis, 1.0)
            is_node = header.get("centerings", header.get("centers", "")).lower().split()[axis : axis + 1] == ["node"]
            affine[column, column] = spacing
            edge = 0.0 if is_node else spacing / 2  # an axis minimum is the outer face of a cell
            affine[column, 3] = _entry(header, "axis mins", axis, -edge) + edge
    world = header.get("space", "").lower().removesuffix("-time")
    affine[:2] *= np.reshape(_WORLDS.get(world[:3] if len(world) == 4 else world, (-1.0, -1.0)), (2, 1))
    return affine


def _numbers(vector: str) -> NDArray[np.float64]:
    """The first three entries of ``(x,y,z)``; z is 0 in two dimensions."""
    return np.array([*(float(entry) for entry in vector.strip("() ").split(",")), 0.0][:3])


def _entry(header: Mapping[str, str], key: str, axis: int, default: float) -> float:
    entries = header.get(key, header.get(key.replace(" ", ""), "")).split()
    return float(entries[axis]) if axis < len(entries) else default


def _vector(numbers: NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(number)) for number in numbers)})"


def _escaped(text: str) -> str:
    """Text of a key/value pair; a pair is one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", " ")


def _unescaped(text: str) -> str:
    plain = re.sub(r"\\(n|\\)", lambda match: "\n" if match[1] == "n" else "\\", text)
    return plain.encode("latin-1").decode("utf-8", "replace")
