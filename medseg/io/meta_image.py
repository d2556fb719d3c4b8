"""MetaImage in one file (``.mha``).

The format is small and read here, because the library under SimpleITK writes past its arrays when a header is hostile:
``NDims = 93`` ends the whole process (MetaIO as of SimpleITK 2.5).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume

from .deflate import deflated
from .limits import as_array, check_decoded_size, decoding, unpacked
from .nrrd import LPS_TO_RAS
from .streams import voxel_parts

_LONGEST_LINE = 4096
_MOST_LINES = 1000
_START = re.compile(rb"^\s*(ObjectType|NDims|Comment)\s*[=:]", re.MULTILINE)
_LINE = re.compile(r"\s*([^=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*", re.DOTALL)  # ITK writes DICOM's tags as keys: 0010|0010
META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def is_meta_image(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a MetaImage."""
    return _START.match(head) is not None and b"NDims" in head


def read_meta_image(path: Path) -> Volume:
    """The image in an MHA file; components, or volumes of a 4D file, become channels ``0``, ``1``, ….

    ITK's LPS world becomes RAS. 2D images become one slice.

    Raises:
        ReadError: If it is no such file, detached, truncated, too large or of a type that is no image.
        GeometryError: If its grid is broken.
    """
    with decoding(path), path.open("rb") as file:
        layout = meta_image_layout(meta_image_header(file))
        check_decoded_size(layout.nbytes, path.stat().st_size)
        data = unpacked(file.read(), layout.nbytes) if layout.is_packed else file.read(layout.nbytes)
        i, j, k = layout.geometry.shape
        shape = (layout.volumes, k, j, i, layout.components)
        array = as_array(data, layout.dtype, math.prod(shape)).reshape(shape).transpose(0, 4, 3, 2, 1)
        array = np.ascontiguousarray(array[0]) if layout.components > 1 else array[:, 0]
        names = tuple(str(index) for index in range(len(array))) if len(array) > 1 else ("image",)
        return Volume(array, layout.geometry, names)


def write_meta_image(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write channels of shape ``(channel, i, j, k)``, compressed; as components if there are several."""
    affine = LPS_TO_RAS @ geometry.affine
    packed = deflated(voxel_parts(array))
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(packed)),
        "TransformMatrix": _listed((affine[:3, :3] / geometry.spacing).T.ravel()),
        "Offset": _listed(affine[:3, 3]),
        "ElementSpacing": _listed(np.array(geometry.spacing)),
        "DimSize": " ".join(map(str, geometry.shape)),
        "ElementNumberOfChannels": str(len(array)),
        "ElementType": next(name for name, code in META_TYPES.items() if np.dtype(code) == array.dtype),
        "ElementDataFile": "LOCAL",
    }
    path.write_bytes("".join(f"{key} = {value}\n" for key, value in header.items()).encode() + packed)


@dataclass(frozen=True, eq=False)
class MetaImageLayout:
    """What the header says of the voxels: they follow it at once, packed by zlib or as they are."""

    geometry: Geometry
    volumes: int
    components: int
    dtype: np.dtype[Any]
    is_packed: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels, unpacked."""
        return math.prod(self.geometry.shape) * self.volumes * self.components * self.dtype.itemsize


def meta_image_layout(header: Mapping[str, str]) -> MetaImageLayout:
    """Where and how the voxels lie, from the fields of a header.

    Raises:
        ReadError: If they are of a type that is no image.
        GeometryError: If the grid is broken.
    """
    sizes = [int(one) for one in _numbers(header, "DimSize", None)]
    components = int(header.get("ElementNumberOfChannels", "1"))
    if len(sizes) not in (2, 3, 4) or min(sizes) < 1 or components < 1 or (len(sizes) == 4 and components > 1):
        raise ReadError(f"has dimensions {sizes} and {components} components; volumes and series of them are read")
    dtype = _dtype(header)
    i, j, k, volumes = [*sizes, 1, 1][:4]
    geometry = Geometry((i, j, k), LPS_TO_RAS @ _affine(header, len(sizes)))
    return MetaImageLayout(geometry, volumes, components, dtype, _is_true(header, "CompressedData"))


def meta_image_header(file: BufferedIOBase) -> Mapping[str, str]:
    """Keys and values up to ``ElementDataFile``, after which the voxels begin.

    Raises:
        ReadError: If there is no end, or the voxels lie elsewhere.
    """
    header: dict[str, str] = {}
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE).decode("latin-1")
        match = _LINE.fullmatch(line)
        if match is None:
            if not line or not header:
                break
            last = next(reversed(header))
            header[last] += f" {line.strip()}"  # a text of several lines
            continue
        header[match[1]] = match[2]
        if match[1] == "HeaderSize" and match[2] != "0":
            raise ReadError("its voxels do not follow its header; save it anew")
        if match[1] == "ElementDataFile":
            if match[2].upper() != "LOCAL":
                raise ReadError("its header points to another file; save header and voxels as one .mha file")
            return header
    raise ReadError("its header is damaged or has no end")


def _numbers(header: Mapping[str, str], key: str, default: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The numbers of a key, as many as the default has, or as ``NDims`` says where there is none."""
    count = int(header.get("NDims", "0")) if default is None else default.size
    if key not in header:
        if default is None:
            raise ReadError(f"its header has no {key}")
        return default.ravel()
    words = header[key].split()
    if len(words) != count:
        raise ReadError(f"its header has {len(words)} numbers in {key}, {count} are needed")
    return np.array([float(word) for word in words])


def _dtype(header: Mapping[str, str]) -> np.dtype[Any]:
    name = header.get("ElementType", "").removesuffix("_ARRAY")
    if name not in META_TYPES or not _is_true(header, "BinaryData", "True"):
        raise ReadError(f"stores voxels as {name!r} or as text; binary integers and floats are read")
    is_big_endian = _is_true(header, "BinaryDataByteOrderMSB") or _is_true(header, "ElementByteOrderMSB")
    return np.dtype(META_TYPES[name]).newbyteorder(">" if is_big_endian else "<")


def _is_true(header: Mapping[str, str], key: str, default: str = "False") -> bool:
    return header.get(key, default)[:1] in ("T", "t", "1")


def _affine(header: Mapping[str, str], dimensions: int) -> NDArray[np.float64]:
    """LPS affine; a 2D image lies in the plane z = 0. ``TransformMatrix`` holds the axes' directions one by one."""
    matrix = next((key for key in ("TransformMatrix", "Orientation", "Rotation") if key in header), "TransformMatrix")
    offset = next((key for key in ("Offset", "Position", "Origin") if key in header), "Offset")
    spacing = "ElementSpacing" if "ElementSpacing" in header else "ElementSize"
    directions = _numbers(header, matrix, np.eye(dimensions)).reshape(dimensions, dimensions).T
    axes = min(dimensions, 3)
    affine = np.eye(4)
    affine[:axes, :axes] = (directions * _numbers(header, spacing, np.ones(dimensions)))[:axes, :axes]
    affine[:axes, 3] = _numbers(header, offset, np.zeros(dimensions))[:axes]
    return affine


def _listed(numbers: NDArray[np.float64]) -> str:
    return " ".join(repr(float(number)) for number in numbers)
