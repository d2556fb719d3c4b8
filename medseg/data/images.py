"""Image files in folders: which there are, what case each is, which channels they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from medseg.core.case import CaseId
from medseg.core.errors import InputError, MedsegError, ReadError
from medseg.core.files import safe_name
from medseg.io.formats import SUFFIXES, image_stem, read_volume, sniff
from medseg.io.studies import find_series

from .dataset import ImageFile


def list_images(folder: Path) -> dict[CaseId, Path]:
    """Images in a folder by case: files of an image format, by suffix or content, and folders (DICOM series).

    Hidden files, and files that are plainly something else, are passed over. The case is the file's name without its
    suffix, its odd characters replaced.

    Raises:
        InputError: If the folder is missing, or two entries would make one case.
    """
    if not folder.is_dir():
        raise InputError(f"folder {folder.name!r} is missing")
    found: dict[CaseId, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not _may_be_image(path):
            continue
        case = CaseId(safe_name(image_stem(path)))
        if case in found:
            both = f"{found[case].name!r} and {path.name!r}"
            raise InputError(f"{folder.name}/ holds two files for case {case!r}: {both}; keep one")
        found[case] = path
    return found


def channels_of(paths: Iterable[Path]) -> tuple[str, ...]:
    """The channels of the first file that can be read, which stand for all: ``check_dataset`` finds those that differ.

    Raises:
        MedsegError: If no file can be read: what is wrong with the first.
    """
    first_error: MedsegError | None = None
    for path in paths:
        try:
            return read_volume(path).channels
        except MedsegError as error:
            first_error = first_error or error
    raise first_error or InputError("no image to read the channels from")


def whole_file(path: Path, channels: tuple[str, ...]) -> Mapping[str, ImageFile]:
    """All channels of a case from one file, in the file's order."""
    if len(channels) == 1:
        return {channels[0]: ImageFile(path)}
    return {channel: ImageFile(path, component) for component, channel in enumerate(channels)}


def patient_of(path: Path, case: str) -> str:
    """Which patient an image is of: as the DICOM header says; for other formats, the case stands for the patient.

    Of a DICOM folder only the first image's header is read.
    """
    is_file = path.is_file() and path.suffix.lower() in ("", ".dcm")
    for file in [path] if is_file else sorted(path.rglob("*")):
        series = find_series(file).series if file.is_file() and not file.is_symlink() else ()
        if series:
            has_number = bool(series[0].patient.partition("\0")[2])  # an issuer alone names nobody
            return series[0].patient if has_number else case
    return case


def _may_be_image(path: Path) -> bool:
    if path.is_dir() or path.name.lower().endswith(SUFFIXES):
        return True
    try:
        sniff(path)
    except (InputError, ReadError):
        return False
    return True
