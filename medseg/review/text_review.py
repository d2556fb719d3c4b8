"""Pictures that may show text: blanked for everybody, until a person whose role allows it has decided.

What waits is a series or an image file. Whoever may release text sees the pictures as they are, which is logged as a
look at identifiers, and then releases them, fills boxes in all of them, or drops them; released and filled ones become
cases of whoever uploaded them. Each decision is in the log before it takes effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medseg.config.load import load_profile
from medseg.config.review import ReviewConfig
from medseg.core.errors import InputError
from medseg.core.progress import SILENT, Progress
from medseg.deid.boxes import Box
from medseg.deid.study import finder_for

from .access import Deed, may, require
from .audit import Details
from .cleaning_held import HeldImage
from .records import Act, CaseName, Reader
from .session_files import SessionFiles, told
from .text_pictures import blanked, drawn, encoded, is_dicom, suspected
from .upload_cases import UploadedCase, case_name
from .upload_run import Upload

_BLANKED = ".blanked"


class Log(Protocol):
    """``Store.log``."""

    def __call__(self, act: Act, actor: Reader, case: CaseName | None = None, details: Details = ..., /) -> None:
        """Write an entry."""


@dataclass(frozen=True, eq=False)
class TextCase:
    """Pictures that wait for a decision.

    Attributes:
        name: Pseudonym of the case that a series would become; of an image file, one of its own.
        owner: Name of who uploaded them.
        reason: Why they are held back.
        modality: Such as ``US``; empty if the file does not say.
        pictures: How many there are.
    """

    name: CaseName
    owner: str
    reason: str
    modality: str
    pictures: int
    upload: Upload = field(repr=False)
    image: HeldImage = field(repr=False)


def text_cases(sessions: SessionFiles, reader: Reader, config: ReviewConfig) -> list[TextCase]:
    """What waits: of the reader's own uploads, or of all for those who may decide; oldest first."""
    sees_all = may(reader, Deed.RELEASE_TEXT, config)
    return [
        _text_case(upload, image)
        for session in sessions.sessions()
        for upload in tuple(session.uploads)
        if sees_all or session.owner == reader.name
        for image in upload.held
    ]


def blanked_picture(case: TextCase, index: int, reader: Reader, config: ReviewConfig) -> bytes:
    """One picture as PNG, with what may be text filled: all of it, unless a search can tell where text is.

    In DICOM objects a search has failed already, or nothing here can search: of them nothing is shown.

    Args:
        case: From ``text_cases``.
        index: Of the picture, from 0.
        reader: Who looks: the owner, or who may decide.
        config: Of the app.

    Raises:
        InputError: If the case is not the reader's, does not wait any more, or has no such picture.
        ReadError: If it cannot be decoded.
    """
    _check_owner(case, reader, config)
    path, place = _located(case, index)
    kept = path.with_name(f"{path.name}-{place}{_BLANKED}.png")
    if not kept.exists():
        finder = None if is_dicom(path) else finder_for(load_profile(config.profile))
        content = encoded(blanked(drawn(path, place), finder))
        with told():
            kept.write_bytes(content)
    return kept.read_bytes()


def whole_picture(case: TextCase, index: int, reader: Reader, config: ReviewConfig, log: Log) -> bytes:
    """One picture as PNG, as it is, for a person who decides; the log says who looked.

    Args:
        case: From ``text_cases``.
        index: Of the picture, from 0.
        reader: Who looks.
        config: Of the app.
        log: ``Store.log``.

    Raises:
        InputError: If the reader's role does not allow it, the case does not wait any more or has no such picture.
        ReadError: If it cannot be decoded.
    """
    require(reader, Deed.RELEASE_TEXT, config)
    path, place = _located(case, index)
    log(Act.IDENTIFIERS_SHOWN, reader, case.name, {"what": "held back picture", "picture": index + 1})
    return encoded(drawn(path, place))


def suspected_boxes(case: TextCase, index: int, reader: Reader, config: ReviewConfig) -> list[Box]:
    """Where a search finds text in a picture, to begin with; empty if it finds none or cannot be made.

    Raises:
        InputError: If the reader's role does not allow it, the case does not wait any more or has no such picture.
        ReadError: If it cannot be decoded.
    """
    require(reader, Deed.RELEASE_TEXT, config)
    path, place = _located(case, index)
    return suspected(drawn(path, place), finder_for(load_profile(config.profile)))


def release(
    case: TextCase, reader: Reader, config: ReviewConfig, log: Log, progress: Progress = SILENT
) -> list[UploadedCase]:
    """Let pictures through as they are.

    Args:
        case: From ``text_cases``.
        reader: Who decides.
        config: Of the app.
        log: ``Store.log``.
        progress: Told of the work that follows.

    Returns:
        The cases that this gave; none if something else than text holds them back: see ``Upload.notes``.

    Raises:
        InputError: If the reader's role does not allow it, or the case does not wait any more.
        MedsegError: As ``prepare_upload``.
    """
    _announce(case, (), reader, config, log)
    return list(case.upload.decide(case.image, (), progress))


def blank(
    case: TextCase, boxes: Sequence[Box], reader: Reader, config: ReviewConfig, log: Log, progress: Progress = SILENT
) -> list[UploadedCase]:
    """Fill boxes in all pictures, and let them through.

    Args:
        case: From ``text_cases``.
        boxes: In pixels of ``whole_picture``; what reaches out of a picture is cut off.
        reader: Who decides.
        config: Of the app.
        log: ``Store.log``.
        progress: Told of the work that follows.

    Returns:
        As ``release``.

    Raises:
        InputError: If there is no box; and as ``release``.
        MedsegError: As ``release``.
    """
    if not any(box.area for box in boxes):
        raise InputError("no box was drawn; draw one around each text, or release or drop the pictures")
    _announce(case, boxes, reader, config, log)
    return list(case.upload.decide(case.image, boxes, progress))


def drop(case: TextCase, reader: Reader, config: ReviewConfig, log: Log) -> None:
    """Take pictures out of the list; nothing of them is shown to anybody any more.

    Raises:
        InputError: If the case is not the reader's, or does not wait any more.
    """
    _check_owner(case, reader, config)
    case.upload.check(case.image)
    log(Act.REFUSED, reader, case.name, {"what": "held back pictures dropped", "pictures": case.pictures})
    case.upload.drop(case.image)


def _announce(case: TextCase, boxes: Sequence[Box], reader: Reader, config: ReviewConfig, log: Log) -> None:
    """Log a decision of somebody who may make it."""
    require(reader, Deed.RELEASE_TEXT, config)
    case.upload.check(case.image)
    decision = "blanked and released" if boxes else "released"
    log(Act.TEXT_RELEASED, reader, case.name, {"what": decision, "pictures": case.pictures, "boxes": len(boxes)})


def _text_case(upload: Upload, image: HeldImage) -> TextCase:
    name = case_name(image.name, upload.owner, upload.key)
    return TextCase(name, upload.owner, image.reason, image.modality, sum(image.pictures), upload, image)


def _check_owner(case: TextCase, reader: Reader, config: ReviewConfig) -> None:
    if case.owner != reader.name:
        require(reader, Deed.RELEASE_TEXT, config)


def _located(case: TextCase, index: int) -> tuple[Path, int]:
    """The file of a picture, and the number of the picture in it."""
    case.upload.check(case.image)
    left = index
    for file, count in zip(case.image.files, case.image.pictures, strict=True):
        if 0 <= left < count:
            return case.upload.quarantine / file, left
        left -= count
    raise InputError(f"there is no picture {index + 1} of {case.pictures}")
