"""Segmentations and structure sets that came with a study: which of its series each was drawn on."""

from __future__ import annotations

import mmap
from pathlib import Path

from medseg.core.errors import MedsegError
from medseg.io.label_files import OutlineKind, outline_kind

_DRAWN = (OutlineKind.SEGMENTATION, OutlineKind.STRUCTURE_SET)


def outlines_in(study: Path) -> tuple[Path, ...]:
    """The DICOM objects of outlines in the folder of a cleaned study, which holds a folder a series.

    Segmentations come first: unlike those of structure sets, their names are codes too, which de-identification keeps.
    """
    found: list[Path] = []
    for series in sorted(path for path in study.iterdir() if path.is_dir()):
        files = sorted(series.iterdir())
        if files and _kind(files[0]) in _DRAWN:
            found += files
    return tuple(path for kind in _DRAWN for path in found if _kind(path) is kind)


def refers_to(outline: Path, series_uid: str) -> bool:
    """Whether a DICOM object names a series, which stands in it as text in every transfer syntax but the deflated."""
    uid = series_uid.encode("ascii")
    with outline.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(uid)
        while place >= 0:
            after = content[place + len(uid) : place + len(uid) + 1]
            if after not in b"0123456789." or not after:
                return True
            place = content.find(uid, place + 1)
    return False


def _kind(path: Path) -> OutlineKind | None:
    try:
        return outline_kind(path)[0]
    except MedsegError:
        return None
