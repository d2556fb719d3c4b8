"""What a de-identification held back: pictures that wait for a person, and files that stay back whatever is decided."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medseg.core.errors import MedsegError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.elements import bare
from medseg.deid.header_values import figure
from medseg.deid.names import SERIES, name_of
from medseg.deid.records import WHY
from medseg.io.dicom_header import read_header
from medseg.io.formats import image_stem

from .text_pictures import count_planes

_SERIES, _NUMBER, _FRAMES, _MODALITY = 0x0020000E, 0x00200013, 0x00280008, 0x00080060
_MODALITIES = re.compile("[A-Z0-9]{2,16}")
_PREVIEW = "-preview"


class HeldImage(BaseModel):
    """A series or an image file that may show text, and waits as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Pseudonym of the series; of an image file, of its content."""
    reason: str
    """Why it is held back, of most of its files."""
    modality: str = ""
    accepts: tuple[str, ...]
    """What a list of accepted names has to hold, one a file."""
    files: tuple[str, ...]
    """Files to look at, below the quarantine, in the order of the series."""
    pictures: tuple[int, ...]
    """Pictures in each file."""
    originals: tuple[str, ...]
    """Names of the originals of the files."""


@dataclass(frozen=True, eq=False)
class Held:
    """What was held back.

    Attributes:
        waiting: What a person may decide about.
        missing: Files of a series that stay back for other reasons than text, by pseudonym.
        reasons: Files that wait, by reason.
    """

    waiting: tuple[HeldImage, ...]
    missing: Mapping[str, int]
    reasons: Counter[str]

    def waits(self, name: str) -> bool:
        """Whether pictures of a series wait for a decision."""
        return any(one.name == name for one in self.waiting)


@dataclass(frozen=True, eq=False)
class _File:
    """One file that was held back; of a text, if there is a picture of it."""

    series: str
    reason: str
    original: str
    number: int = 0
    accept: str = ""
    path: Path = field(default=Path(), repr=False)


def held_back(quarantine: Path, originals: Path, key: ProjectKey) -> Held:
    """What lies in the quarantine of one run.

    Args:
        quarantine: Of ``medseg.pipelines.deidentify``.
        originals: Its input.
        key: Of the project.
    """
    groups: dict[str, list[_File]] = defaultdict(list)
    for why in sorted(quarantine.glob(f"*/{WHY}")):
        for entry in json.loads(why.read_text("utf-8")):
            file = _file(why.parent, entry, originals, key)
            groups[file.series].append(file)
    missing = {name: sum(not one.accept for one in files) for name, files in groups.items()}
    whole = [files for name, files in groups.items() if name and not missing[name]]
    reasons = Counter(one.reason for files in whole for one in files)
    return Held(tuple(_image(files, quarantine) for files in whole), missing, reasons)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(folder: Path, entry: Mapping[str, str], originals: Path, key: ProjectKey) -> _File:
    series, number = _series_of(originals / entry["source"], key)
    file = _File(series, entry["reason"], entry["source"], number)
    name = entry["name"]
    picture = folder / (f"{name}.png" if series else f"{name}{_PREVIEW}.png")
    found = [path for path in folder.glob(f"{name}.*") if image_stem(path) == name and path != picture]
    if not picture.exists() or not found:
        return file
    return _File(series or digest_of(found[0]), entry["reason"], entry["source"], number, name, found[0])


def _series_of(original: Path, key: ProjectKey) -> tuple[str, int]:
    """Pseudonym of the series of a DICOM file, and its number in it; empty for other files, and for damaged ones."""
    try:
        header = read_header(original, (_SERIES, _NUMBER))
        if header is None:
            return "", 0
        return name_of(key, SERIES, bare(header.dataset, _SERIES)), figure(header.dataset, _NUMBER, 0)
    except (MedsegError, OSError):
        return "", 0


def _image(files: Iterable[_File], quarantine: Path) -> HeldImage:
    ordered = sorted(files, key=lambda one: (one.number, one.original))
    looks = [_look(one.path) for one in ordered]
    return HeldImage(
        name=ordered[0].series,
        reason=Counter(one.reason for one in ordered).most_common(1)[0][0],
        modality=looks[0][0],
        accepts=tuple(one.accept for one in ordered),
        files=tuple(str(one.path.relative_to(quarantine)) for one in ordered),
        pictures=tuple(count for _, count in looks),
        originals=tuple(one.original for one in ordered),
    )


def _look(path: Path) -> tuple[str, int]:
    """Modality of a file, and how many pictures it has."""
    header = read_header(path, (_MODALITY, _FRAMES))
    if header is None:
        return "", count_planes(path)
    modality = bare(header.dataset, _MODALITY)
    return modality if _MODALITIES.fullmatch(modality) else "OT", figure(header.dataset, _FRAMES, 1)
