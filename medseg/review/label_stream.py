"""Labels as one stream of bytes: a line of JSON that says kind, type, grid and structures, then the voxels, i fastest.

Equal labels give equal bytes, whatever type their values had, and the grid is exact to the last bit, which it would not
be in a NIfTI file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from medseg.core.errors import LabelError, ReadError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.io.limits import check_decoded_size, decoding_unnamed
from medseg.io.streams import CHUNK, parts

from .audit import canonical

_LONGEST_LINE = 2**20
Row = tuple[float, float, float, float]
ValueType = Literal["uint8", "uint16", "uint32", "int16", "int32", "int64", "bits"]
_TYPES: tuple[ValueType, ...] = ("uint8", "uint16", "uint32", "int16", "int32", "int64")


class _Line(BaseModel):
    """The first line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal[1] = 1
    type: ValueType
    """Of the values, little-endian; masks are bits, and each begins with a new byte."""
    shape: tuple[int, int, int]
    affine: tuple[Row, Row, Row, Row]
    unit: LengthUnit
    structures: tuple[str, ...] | None
    """Of a multi-label map, whose masks follow one after the other; None for a label map."""

    @classmethod
    def of(cls, labels: Labels) -> Self:
        grid = labels.geometry
        affine = grid.affine + 0.0  # -0.0 becomes 0.0, which is the same place
        return cls(
            type="bits" if isinstance(labels, MultiLabelMap) else _smallest_type(labels.array),
            shape=grid.shape,
            affine=affine.tolist(),
            unit=grid.unit,
            structures=labels.structures if isinstance(labels, MultiLabelMap) else None,
        )

    def size(self) -> int:
        """Bytes of the voxels."""
        voxels = math.prod(self.shape)
        if self.structures is None:
            return voxels * np.dtype(self.type).itemsize
        return len(self.structures) * _bytes_of_mask(voxels)


def label_parts(labels: Labels) -> Iterator[memoryview]:
    """The stream, in parts."""
    line = _Line.of(labels)
    yield memoryview(f"{canonical(line.model_dump(mode='json'))}\n".encode("ascii"))
    if isinstance(labels, MultiLabelMap):
        for mask in labels.array:
            yield from _cut(np.packbits(mask.ravel(order="F")))
    else:
        yield from _cut(_arranged(labels.array, line.type).ravel(order="F"))


def arranged(labels: Labels) -> Labels:
    """The same labels, laid out so that ``label_parts`` need not do it again each time."""
    if isinstance(labels, MultiLabelMap):
        return labels
    return LabelMap(_arranged(labels.array, _smallest_type(labels.array)), labels.geometry)


def labels_digest(labels: Labels) -> str:
    """SHA-256 of the stream, in hexadecimal digits.

    Raises:
        LabelError: If a value needs more than 63 bits.
    """
    digest = hashlib.sha256()
    for part in label_parts(labels):
        digest.update(part)
    return digest.hexdigest()


def read_label_stream(stream: BufferedIOBase, stored: int) -> tuple[Labels, str]:
    """The labels in a stream, their values in the smallest type that holds them, and the SHA-256 of the stream.

    Args:
        stream: Unpacked.
        stored: Bytes of the file that it comes from, packed.

    Raises:
        ReadError: If it is truncated, longer than it says, or no such stream.
    """
    digest = hashlib.sha256()
    with decoding_unnamed():
        head = stream.readline(_LONGEST_LINE)
        digest.update(head)
        line = _Line.model_validate(json.loads(head))
        if (line.structures is None) == (line.type == "bits"):
            raise ReadError("its voxels are of a type that does not go with what it is")
        grid = Geometry(line.shape, np.array(line.affine, dtype=np.float64), line.unit)
        check_decoded_size(line.size(), stored)
        voxels, done = np.empty(line.size(), np.uint8), 0
        for part in parts(stream, len(voxels)):
            digest.update(part)
            voxels[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if stream.read(1):
            raise ReadError("it is longer than it says")
        return _labels(line, grid, voxels), digest.hexdigest()


def _labels(line: _Line, grid: Geometry, voxels: NDArray[np.uint8]) -> Labels:
    if line.structures is None:
        return LabelMap(voxels.view(np.dtype(line.type).newbyteorder("<")).reshape(grid.shape, order="F"), grid)
    count = math.prod(grid.shape)
    masks = np.empty((len(line.structures), count), np.bool_)
    for index, packed in enumerate(voxels.reshape(len(masks), _bytes_of_mask(count))):
        masks[index] = np.unpackbits(packed, count=count).view(np.bool_)
    turned = masks.reshape(len(masks), *reversed(grid.shape))  # a view whose last index is the slowest
    return MultiLabelMap(turned.transpose(0, 3, 2, 1), grid, line.structures)


def _arranged(values: NDArray[np.integer], kind: ValueType) -> NDArray[np.integer]:
    found: NDArray[np.integer] = values.astype(np.dtype(kind).newbyteorder("<"), order="F", copy=False)
    return found


def _bytes_of_mask(voxels: int) -> int:
    return -(-voxels // 8)


def _cut(flat: NDArray[np.generic]) -> Iterator[memoryview]:
    """The bytes of a flat array, in parts that are quick to hash and to pack."""
    whole = flat.view(np.uint8)
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK].data


def _smallest_type(values: NDArray[np.integer]) -> ValueType:
    low, high = int(values.min()), int(values.max())
    fitting = (kind for kind in _TYPES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    kind = next(fitting, None)
    if kind is None:
        raise LabelError(f"a label map holds the value {high}, which is too large to be kept")
    return kind
