"""PNG and JPEG files written anew with their pixels untouched: what lies beside the pixels goes.

TIFF is refused: its tags point to anywhere in the file, so nothing in it can be said to be of no use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medseg.core.errors import ReadError
from medseg.core.files import atomic_file
from medseg.io.limits import decoding_unnamed
from medseg.io.streams import opened_regular

from .image_cleaned import ImageCleaned
from .jpeg_parts import split_jpeg
from .picture_parts import PictureParts
from .png_parts import split_png
from .texts import texts_in

LARGEST_FILE = 512 * 2**20
"""Bytes of a picture file that are read."""


def clean_png(source: Path, target: Path) -> ImageCleaned:
    """Write a PNG file with the pixels of ``source`` and no text, time, Exif or colour profile.

    The pixels are unpacked and packed again, so that bytes behind them go too: programs that crop a picture have left
    the rest of it there (CVE-2023-21036).

    Raises:
        ReadError: If the source is damaged, too large, a link, no PNG file or an animation. It is not named.
        OutputError: If the target cannot be written.
    """
    return _cleaned(source, target, "PNG", split_png)


def clean_jpeg(source: Path, target: Path) -> ImageCleaned:
    """Write a JPEG file with the coded pixels of ``source`` as they are, and no comment and no application segment.

    Of the segments APP0 (JFIF) and APP14 (Adobe) those bytes stay that say how the pixels are meant, without preview.
    An orientation in Exif goes with the rest of it; medseg reads the stored pixels anyway.

    Raises:
        ReadError: If the source is damaged, too large, a link or no JPEG file. It is not named.
        OutputError: If the target cannot be written.
    """
    return _cleaned(source, target, "JPEG", split_jpeg)


def _cleaned(source: Path, target: Path, name: str, split: Callable[[bytes], PictureParts]) -> ImageCleaned:
    with opened_regular(source) as file, decoding_unnamed():
        data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ReadError(f"takes more than {LARGEST_FILE // 2**20} MiB, the largest picture file that is read")
        parts = split(data)
    with atomic_file(target) as partial, partial.open("wb") as out:
        out.writelines(parts.kept)
    taken = tuple(removed for part in parts.dropped for removed in texts_in(part))
    return ImageCleaned(name, taken, may_show_text=True, may_show_face=False)
