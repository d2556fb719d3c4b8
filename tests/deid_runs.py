"""The engine run on one file or data set, the way the pipeline runs it, and what tests look at afterwards."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from medseg.config.deid import DeidProfile, Mode, Option, SafePrivate
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.elements import bare
from medseg.deid.engine import Cleaned, Engine
from medseg.deid.identity import PatientIdentity
from medseg.io.dicom_file import DicomFile, encode_dicom, read_dicom

KEY = ProjectKey(bytes(range(32)))
OTHER_KEY = ProjectKey(bytes(range(1, 33)))
BASIC = DeidProfile()


@dataclass(frozen=True, eq=False)
class Output:
    """A cleaned file as it would be written, and the same read again by pydicom alone."""

    raw: bytes
    dataset: Dataset
    cleaned: Cleaned


def profile(*options: Option, mode: Mode = Mode.RELEASE, safe: tuple[SafePrivate, ...] = ()) -> DeidProfile:
    """A profile with these options."""
    return DeidProfile(options=frozenset(options), mode=mode, safe_private=safe)


def clean_path(path: Path, engine: Engine) -> Output | None:
    """What becomes of a file; None if it is no DICOM file."""
    file = read_dicom(path)
    return None if file is None else clean_file(file, engine)


def cleaned_bytes(path: Path, chosen: DeidProfile) -> bytes:
    """The output alone; worker processes can be told of this function."""
    output = clean_path(path, Engine(chosen, KEY))
    assert output is not None
    return output.raw


def clean_file(file: DicomFile, engine: Engine) -> Output:
    """What becomes of a file that has been read."""
    cleaned = engine.clean(file, identity_of(file.dataset))
    raw = encode_dicom(cleaned.file.dataset, cleaned.file.syntax)
    return Output(raw, pydicom.dcmread(io.BytesIO(raw)), cleaned)


def identity_of(dataset: Dataset) -> PatientIdentity:
    """Whose object it is."""
    return PatientIdentity(*(bare(dataset, tag) for tag in (0x00100021, 0x00100020, 0x0020000D)))
