"""Raw NIfTI-1 files for the browser, written slab by slab so that memory stays bounded.

Nothing of a source's header is in them. Names are random.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import OutputError
from medseg.core.geometry import Geometry, LengthUnit, Shape
from medseg.render.slices import Window

from .review_copy import WHOLE, Factor, slabs

HEADER_BYTES = 352
"""Of a file; its voxels follow, the first index fastest."""
_SLAB_BYTES = 8 * 2**20
_REASONS = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
Voxels = NDArray[Any]
Reduce = Callable[[Voxels, Factor], Voxels]


def write_voxels(
    folder: Path, grid: Geometry, dtype: np.dtype[Any], parts: Iterator[Voxels], window: Window | None = None
) -> Path:
    """A new file in a folder that is there.

    Args:
        folder: Where it is to be.
        grid: Of the voxels. Sform and qform say the same, or the sform alone where the grid is sheared.
        dtype: Of a voxel in the file.
        parts: The voxels, cut along the third axis.
        window: Values to show black and white at first.

    Raises:
        OutputError: If it cannot be written; then it is not there.
    """
    path = folder / f"{secrets.token_hex(16)}.nii"
    with _new_file(path) as stream:
        stream.write(voxel_header(grid, dtype, window))
        for part in parts:
            stream.write(_bytes(part.astype(dtype, copy=False)))
    return path


def voxel_header(grid: Geometry, dtype: np.dtype[Any], window: Window | None = None) -> bytes:
    """The header of a one-file NIfTI-1, with the four bytes that say that no extension follows."""
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(grid.shape)
    header.set_sform(grid.affine, code=1)
    header.set_qform(grid.affine, code=1, strip_shears=True)
    if not np.allclose(header.get_qform(), grid.affine, atol=1e-3):
        header.set_qform(None, code=0)
    header.set_xyzt_units(xyz="mm" if grid.unit is LengthUnit.MM else None)
    header.set_slope_inter(1, 0)
    header["vox_offset"] = HEADER_BYTES
    header["magic"] = b"n+1"
    if window is not None:
        header["cal_min"], header["cal_max"] = window.low, window.high
    return bytes(header.binaryblock) + bytes(4)


def cut(array: Voxels, factor: Factor, change: Callable[[Voxels], Voxels], reduce: Reduce) -> Iterator[Voxels]:
    """An array in parts along its last axis, each changed, and reduced where there is something to reduce.

    Args:
        array: Shape ``(i, j, k)``, or channels before that.
        factor: How many voxels become one.
        change: What is done to a part first.
        reduce: How a block becomes one voxel.
    """
    i, j, k = array.shape[-3:]
    shape: Shape = (i, j, k)
    for box in slabs(shape, factor, array.itemsize * (array.size // max(1, i * j * k)), _SLAB_BYTES):
        part = change(array[(..., *box)])
        yield part if factor == WHOLE else reduce(part, factor)


def _bytes(part: Voxels) -> memoryview:
    """The voxels' bytes, the first index fastest; without a copy where they lie so."""
    flat: NDArray[np.uint8] = part.reshape(-1, order="F").view(np.uint8)
    return flat.data


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only this user may read, gone if the block fails; it need not outlive the machine."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb") as stream:
            yield stream
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            reason = _REASONS.get(error.errno or 0, (error.strerror or "unknown").lower())
            raise OutputError(f"the voxels for the browser cannot be written: {reason}") from None
        raise
