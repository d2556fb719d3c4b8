"""The two halves into which the file of a picture is split."""

from __future__ import annotations

from typing import NamedTuple

from medseg.core.errors import ReadError
from medseg.io.raster import LARGEST_PICTURE


class PictureParts(NamedTuple):
    """What stays of a file, in its order, and what does not."""

    kept: list[bytes]
    dropped: list[bytes]


def check_picture_size(columns: int, rows: int) -> None:
    """Refuse a picture whose header promises more pixels than are allowed.

    Raises:
        ReadError: If it does.
    """
    if columns * rows > LARGEST_PICTURE:
        raise ReadError(f"has more than {LARGEST_PICTURE} pixels, the largest picture that is read")
