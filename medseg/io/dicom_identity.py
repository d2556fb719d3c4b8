"""Which study and instance a file is, from its first elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .dicom_header import parsing, read_first, text
from .dicom_instance import folder_uid

_CLASS, _INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D


@dataclass(frozen=True)
class FileIdentity:
    """What a DICOM file is.

    Attributes:
        study_uid: Study Instance UID; one that stands for the folder if a cleaner of headers has emptied it.
        instance_uid: SOP Instance UID; the file's name if that is empty.
        size: Bytes of the file.
        sop_class: SOP Class UID; empty if it has none.
    """

    study_uid: str = field(repr=False)
    instance_uid: str = field(repr=False)
    size: int
    sop_class: str = ""


def read_file_identity(path: Path) -> FileIdentity | None:
    """What the file at ``path`` is; None if it is no DICOM file, or a DICOMDIR.

    Raises:
        ReadError: If it is DICOM but its first elements are damaged, or it cannot be opened.
    """
    dataset = read_first(path, (_CLASS, _INSTANCE, _STUDY))
    if dataset is None:
        return None
    with parsing():
        study = text(dataset, _STUDY) or folder_uid(path)
        instance = text(dataset, _INSTANCE) or path.name
        return FileIdentity(study, instance, path.stat().st_size, text(dataset, _CLASS))
