"""Masks that a browser sends back: checked against what it was given, and brought to the native grid.

A mask is hostile until proven otherwise: it is unpacked no further than the grid that was served has voxels, and only
voxels that changed may have changed, to values that the reader may draw.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, LabelError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.io.limits import decoding_unnamed
from medseg.io.nifti import is_two_file_nifti, nifti_affine, nifti_header, nifti_voxel_offset
from medseg.io.streams import CHUNK

from .drafts import Drafts
from .kept_outlines import structures_of
from .review_copy import put_blocks
from .served import ServedLabels
from .served_file import HEADER_BYTES
from .tickets import MaskGrant

_GZIP = 31  # zlib's word for "a gzip header has to be there"
_SLACK = 64 * 2**10
_UINT8 = 2
_AFFINE_TOLERANCE = 1e-3
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class StoredMask:
    """What the browser is told when its mask is on the disk.

    Attributes:
        sequence: The number that it had.
        sha256: Of the labels that it became, as the vault has them.
    """

    sequence: int
    sha256: str


def largest_body(shown: ServedLabels) -> int:
    """Bytes that a packed mask may have: no more than unpacked, and a little for what gzip adds."""
    return math.prod(shown.served.shape) + _SLACK


def receive_mask(grant: MaskGrant, body: IO[bytes], number: int, drafts: Drafts) -> StoredMask:
    """Check a mask and keep it as the reader's draft; on return it is on the disk.

    Args:
        grant: What the mask is for.
        body: A gzipped NIfTI file, at its beginning.
        number: Of the mask; counts up.
        drafts: Where it goes.

    Raises:
        Refused: If a mask with this number or a later one is there already, or strokes that this screen does not show.
        ReadError: If it is no such file, or damaged.
        GeometryError: If it lies on another grid than the one that was served.
        LabelError: If it holds values that may not be drawn.
        InputError: If the case is no longer open.
        OutputError: If it cannot be kept.
    """
    grant.sequence.check(number, grant.case)
    labels = edited_labels(grant.shown, read_mask(body, grant.shown.served.grid))
    with grant.sequence.taking(number, grant.case):
        structures = structures_of(grant.shown.base.scheme)
        before = grant.sequence.draft
        sha256 = drafts.put(grant.case, grant.reader, grant.base, labels, structures, before)
        grant.sequence.draft = sha256
        return StoredMask(number, sha256)


def read_mask(body: IO[bytes], grid: Geometry) -> Bytes:
    """The voxels of a gzipped NIfTI file of one byte a voxel on exactly the given grid.

    Raises:
        ReadError: If it is no such file, of another type, scaled, damaged, or holds more than the voxels.
        GeometryError: If its shape or its affine is another.
    """
    with decoding_unnamed():
        source = _Unpacked(body)
        head = source.take(HEADER_BYTES)
        if is_two_file_nifti(head):
            raise ReadError("the mask is the header of a two-file NIfTI")
        header = nifti_header(head)
        _check_header(header, grid)
        source.take(_extra(header))
        voxels = np.empty(math.prod(grid.shape), np.uint8)
        source.fill(voxels)
        source.check_end()
        return voxels.reshape(grid.shape, order="F")


def edited_labels(shown: ServedLabels, returned: Bytes) -> Labels:
    """The labels on the native grid after an edit; voxels that were not changed keep their labels bit by bit.

    Args:
        shown: What the browser got.
        returned: What came back, on the grid that was served.

    Raises:
        LabelError: If a voxel changed to a value that may not be drawn.
        InputError: If the case is no longer open.
    """
    changed = returned != shown.array()
    _check_values(returned, changed, shown)
    labels, factor = shown.base.labels, shown.served.factor
    if not changed.any():
        return labels
    if isinstance(labels, MultiLabelMap):
        masks = labels.array.copy()
        put_blocks(masks[labels.structures.index(shown.target or "")], changed, returned.astype(np.bool_), factor)
        return MultiLabelMap(masks, labels.geometry, labels.structures)
    values = returned if not shown.numbers else _table(shown)[returned]
    wide = np.promote_types(labels.array.dtype, np.min_scalar_type(max(shown.drawable.values())))
    edited = labels.array.astype(wide, order="K", copy=True)
    put_blocks(edited, changed, values, factor)
    return LabelMap(edited, labels.geometry)


class _Unpacked:
    """What one gzip member holds, unpacked no further than it is asked for."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body, self._unpacker = body, zlib.decompressobj(_GZIP)
        self._packed = b""

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            ReadError: If there are fewer.
        """
        return b"".join(self._parts(size))

    def fill(self, target: Bytes) -> None:
        """Fill an array with the next bytes.

        Raises:
            ReadError: If there are fewer.
        """
        done = 0
        for part in self._parts(len(target)):
            target[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)

    def check_end(self) -> None:
        """Do nothing if all is used up, to the checksum.

        Raises:
            ReadError: If it is not.
        """
        while not self._unpacker.eof and (packed := self._packed or self._body.read(CHUNK)):
            if self._unpacker.decompress(packed, 1):
                raise ReadError("the mask holds more than the voxels of the case")
            self._packed = self._unpacker.unconsumed_tail
        if not self._unpacker.eof:
            raise ReadError("the mask is truncated")
        if self._unpacker.unused_data or self._body.read(1):
            raise ReadError("the mask holds more than the voxels of the case")

    def _parts(self, wanted: int) -> Iterator[bytes]:
        left = wanted
        while left:
            self._packed = self._packed or self._body.read(CHUNK)
            part = self._unpacker.decompress(self._packed, min(CHUNK, left))
            if not part and (self._unpacker.eof or not self._packed):
                raise ReadError("the mask is truncated")
            self._packed = self._unpacker.unconsumed_tail
            left -= len(part)
            if part:
                yield part


def _check_header(header: Any, grid: Geometry) -> None:
    sizes = [int(size) for size in header["dim"][1 : int(header["dim"][0]) + 1]]
    if not 3 <= len(sizes) <= 7 or tuple(sizes[:3]) != grid.shape or any(size != 1 for size in sizes[3:]):
        raise GeometryError(f"the mask has the shape {tuple(sizes)}, the case as it was shown has {grid.shape}")
    if int(header["datatype"]) != _UINT8:
        raise ReadError("the mask is not of one byte a voxel (uint8)")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope not in (0.0, 1.0) and not math.isnan(slope)) or (intercept != 0.0 and not math.isnan(intercept)):
        raise ReadError("the mask is scaled, so its values are no labels")
    difference = float(np.abs(nifti_affine(header) - grid.affine).max())
    if difference > _AFFINE_TOLERANCE:
        raise GeometryError(f"the mask lies elsewhere than the case: the affines differ by up to {difference:.3g}")


def _extra(header: Any) -> int:
    """Bytes between the header and the voxels."""
    extra = nifti_voxel_offset(header) - HEADER_BYTES
    if not 0 <= extra <= _SLACK:
        raise ReadError("the mask's voxels begin where they cannot")
    return extra


def _check_values(returned: Bytes, changed: NDArray[np.bool_], shown: ServedLabels) -> None:
    drawn = returned.ravel(order="F")[changed.ravel(order="F")]  # in the order in which they lie in memory
    seen = np.zeros(256, np.bool_)
    for start in range(0, len(drawn), CHUNK):  # an index takes eight times as much memory as a value
        seen[drawn[start : start + CHUNK]] = True
    wrong = sorted(set(np.flatnonzero(seen).tolist()) - set(shown.drawable))
    if wrong:
        allowed = ", ".join(map(str, sorted(shown.drawable)))
        raise LabelError(f"the mask holds the value {wrong[0]}, which is no structure's; drawn may be {allowed}")


def _table(shown: ServedLabels) -> NDArray[np.uint16]:
    """The label that each value in the file stands for, where it may be drawn."""
    table = np.zeros(256, np.uint16)
    for number, value in shown.drawable.items():
        table[number] = value
    return table
