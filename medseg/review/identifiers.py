"""Whose a case is: read only when somebody asks who may know."""

from __future__ import annotations

from medseg.config.review import ReviewConfig
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_header import parsing, read_header

from .access import Deed, require
from .case_files import CaseFiles
from .open_case import series_of
from .records import Reader

_CHARACTER_SET = 0x00080005
_ELEMENTS = {
    "patient's name": 0x00100010,
    "patient ID": 0x00100020,
    "date of birth": 0x00100030,
    "study date": 0x00080020,
    "accession number": 0x00080050,
}
_LONGEST = 200


def identifiers_of(files: CaseFiles, reader: Reader, config: ReviewConfig) -> dict[str, str]:
    """What a case was called when it came, and what its DICOM header says of the patient; empty elements are left out.

    Whoever shows it writes ``Act.IDENTIFIERS_SHOWN`` into the log first, and keeps it nowhere.

    Raises:
        InputError: If the reader may not see identifiers.
        DataError: If the DICOM files are not there or cannot be read.
    """
    require(reader, Deed.SEE_IDENTIFIERS, config)
    found = {"name": files.identifiers} if files.identifiers and files.identifiers != files.name else {}
    series = series_of(files)
    if not series:
        return found
    header = read_header(series[0].files[0], (_CHARACTER_SET, *_ELEMENTS.values()))
    with parsing(), quietly():
        said = {name: header.dataset.get(tag) for name, tag in _ELEMENTS.items()} if header else {}
        texts = {name: " ".join(str(element.value or "").split()) for name, element in said.items() if element}
    return found | {name: text[:_LONGEST] for name, text in texts.items() if text}
