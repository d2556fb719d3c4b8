"""What every reader asks before and while it decodes a file that may be damaged or hostile."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import MedsegError, ReadError

from .deflate import GZIP_OR_ZLIB, inflater

LARGEST_DECODED = 16 * 2**30
"""Bytes of voxels that one file may decode to."""
_DEFLATE_RATIO = 1032
"""zlib and gzip cannot pack tighter (zlib's technical notes, "maximum compression factor")."""


@contextlib.contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Names the file in errors, and turns whatever a decoder throws at a damaged file into a ReadError.

    Raises:
        ReadError: If the block fails with an error that is not one of medseg's own.
    """
    try:
        with decoding_unnamed():
            yield
    except MedsegError as error:
        raise type(error)(f"{path.name}: {error}") from error


@contextlib.contextmanager
def decoding_unnamed() -> Iterator[None]:
    """As ``decoding``, for files whose names may say whose they are: errors do not name the file.

    Raises:
        ReadError: If the block fails with an error that is not one of medseg's own.
    """
    try:
        yield
    except MedsegError:
        raise
    except MemoryError as error:
        raise ReadError("does not fit into memory") from error
    except Exception as error:  # a hostile file may raise anything
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            raise ReadError(f"cannot be read ({error.strerror})") from error
        raise ReadError("truncated or damaged, so it cannot be decoded") from error


def check_decoded_size(decoded: int, stored: int) -> None:
    """Refuse a file whose header promises more voxels than are allowed, or than its bytes can hold.

    Args:
        decoded: Bytes of voxels that the header promises.
        stored: Bytes of the file, compressed or not.

    Raises:
        ReadError: If it promises too much.
    """
    if decoded > LARGEST_DECODED:
        sizes = f"{decoded / 2**30:.1f} GiB of voxels; at most {LARGEST_DECODED / 2**30:g} GiB are read"
        raise ReadError(f"its header promises {sizes}")
    if decoded > stored * _DEFLATE_RATIO:
        raise ReadError(
            f"its header promises {decoded} bytes of voxels, which a file of {stored} bytes cannot hold; "
            "it is truncated or not what it says"
        )


def unpacked(data: bytes, wanted: int) -> bytes:
    """At most ``wanted`` bytes of what zlib or gzip packed; fewer if it is truncated.

    Raises:
        deflate.DAMAGED: If it is damaged; inside ``decoding`` this becomes a ReadError.
    """
    return inflater(GZIP_OR_ZLIB).decompress(data, wanted)


def as_array(data: bytes, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """``count`` voxels from their bytes, in this machine's byte order.

    Raises:
        ReadError: If there are fewer.
    """
    if len(data) < count * dtype.itemsize:
        raise ReadError(f"truncated or damaged; its header promises {count * dtype.itemsize} bytes of voxels")
    return np.frombuffer(data, dtype=dtype, count=count).astype(dtype.newbyteorder("="), copy=False)
