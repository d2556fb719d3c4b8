"""What patients are told apart by in an audit: a table of the user's, the data set's manifest, DICOM headers."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from medseg.config.deid import KeptAttribute
from medseg.core.case import CaseId
from medseg.core.errors import InputError, MedsegError, ReadError
from medseg.data.dataset import CaseFiles
from medseg.data.documents import read_text
from medseg.deid.bands import banded
from medseg.io.dicom_header import read_header, text
from medseg.io.listing import list_files

from .pairs import Pair
from .subgroups import band_of

Values = dict[str, dict[CaseId, str]]
"""By attribute and case; without cases that nobody knows the value of."""
AGE_EDGES = (20.0, 40.0, 60.0, 80.0)
_AGES = frozenset({"age", "ageyears", "ageinyears", "patientage"})
_AGE_TEXT = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "?"})
_NOT_ATTRIBUTES = ("case", "patient", "split", "label")
_HEADER_TAGS = (
    *(0x00080020, 0x00080070, 0x00081090, 0x0020000E),  # study date, manufacturer, model, series
    *(0x00100030, 0x00100040, 0x00101010, 0x00180087),  # birth date, sex, age, field strength
)
_SERIES = 0x0020000E


@dataclass(frozen=True)
class AuditOptions:
    """Which subgroups are looked at.

    Attributes:
        table: CSV file with a column ``case`` or ``patient``, and a column an attribute.
        headers: Whether sex, age, manufacturer, model and field strength are read from the headers of DICOM images.
        names: Attributes to audit; all that there are if it is empty.
        bands: Lower ends of the bands of an attribute of numbers, ascending. Ages have some of their own.
    """

    table: Path | None = None
    headers: bool = False
    names: tuple[str, ...] = ()
    bands: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, edges in self.bands.items():
            if not edges or any(low >= high for low, high in pairwise(edges)):
                raise InputError(f"the bands of {name!r} need one number or more, each larger than the one before")


def gather_attributes(pairs: Sequence[Pair], options: AuditOptions) -> Values:
    """The attributes of each case, numbers in bands; what the table says counts before the manifest and the headers.

    Raises:
        InputError: If the table names no case, names one twice, or lacks an attribute that is asked for.
        ReadError: If it is no table.
    """
    values: Values = {}
    for pair in pairs:
        if pair.files is not None:
            headers = _of_headers(pair.files) if options.headers else {}
            _put(values, pair.case, {**headers, **pair.files.attributes})
    if options.table is not None:
        for case, cells in _of_table(options.table, pairs).items():
            _put(values, case, cells)
    missing = [name for name in (*options.names, *options.bands) if name not in values]
    if missing:
        known = ", ".join(map(repr, values)) or "none"
        raise InputError(f"no case has the attribute {missing[0]!r}; there are {known}")
    return {name: _in_bands(name, values[name], options.bands.get(name)) for name in options.names or values}


def known_attributes(cases: Iterable[CaseFiles]) -> Values:
    """What the manifest and the headers of DICOM images say of each case, ages in bands; the manifest counts first."""
    values: Values = {}
    for files in cases:
        _put(values, files.id, {**_of_headers(files), **files.attributes})
    return {name: _in_bands(name, by_case, None) for name, by_case in values.items()}


def _put(values: Values, case: CaseId, cells: Mapping[str, str]) -> None:
    for name, cell in cells.items():
        if cell.strip().casefold() not in _MISSING:
            values.setdefault(name, {})[case] = cell.strip()


def _of_table(path: Path, pairs: Sequence[Pair]) -> dict[CaseId, dict[str, str]]:
    """The table's cells by case; rows of other cases are passed over."""
    rows = _rows(path)
    key = "case" if "case" in rows[0] else "patient"
    by_name: dict[str, dict[str, str]] = {}
    for row in rows:
        cells = {name: cell for name, cell in row.items() if not _is_no_attribute(name)}
        if by_name.setdefault(row[key], cells) != cells:
            raise InputError(f"{path.name}: two rows of one {key} differ; keep one of them")
    found = {pair.case: by_name.get(pair.case if key == "case" else pair.patient) for pair in pairs}
    told = {case: cells for case, cells in found.items() if cells is not None}
    if not told:
        raise InputError(f"{path.name}: no row names a {key} that has a prediction and a reference")
    return told


def _rows(path: Path) -> list[dict[str, str]]:
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        lines = [line for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise ReadError(f"{path.name}: not a valid CSV table at line {reader.line_num}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if not {"case", "patient"} & set(header):
        raise ReadError(f"{path.name}: no column 'case' or 'patient'; the columns are {', '.join(header) or 'missing'}")
    if len(set(header)) != len(header):
        raise ReadError(f"{path.name}: several columns have one name")
    uneven = next((line for line in lines if len(line) != len(header)), None)
    if uneven is not None or len(lines) < 2:
        raise ReadError(f"{path.name}: each line needs {len(header)} cells as the header has, and there must be one")
    return [{name: cell.strip() for name, cell in zip(header, line, strict=True)} for line in lines[1:]]


def _is_no_attribute(column: str) -> bool:
    """Whether a column of a manifest says where things are, and not what they are."""
    return column in _NOT_ATTRIBUTES or column.partition(".")[0] == "image"


def _of_headers(files: CaseFiles) -> dict[str, str]:
    """What the header of a case's first DICOM file says, in the bands of de-identification; nothing for other files."""
    image = next(iter(files.images.values()), None)
    if image is None or not image.path.is_dir():
        return {}
    for path in list_files(image.path).files:
        try:
            header = read_header(path, _HEADER_TAGS)
        except MedsegError:
            continue  # scoring tells of damaged files
        if header is not None and image.series in (None, text(header.dataset, _SERIES)):
            return banded(header.dataset, KeptAttribute)
    return {}


def _in_bands(name: str, values: Mapping[CaseId, str], edges: tuple[float, ...] | None) -> dict[CaseId, str]:
    is_age = re.sub(r"[\s_-]", "", name.casefold()) in _AGES
    if edges is None and not is_age:
        return dict(values)
    numbers = {case: _number(value) for case, value in values.items()}
    known = {case: number for case, number in numbers.items() if number is not None}
    if len(known) < len(values) and edges is not None:
        raise InputError(f"the attribute {name!r} holds a value that is no number, so it has no bands")
    whole = all(number == int(number) for number in known.values())
    bands = {case: band_of(number, edges or AGE_EDGES, whole=whole) for case, number in known.items()}
    return {**values, **bands}  # a text is an age that is in a band already, such as "90+"


def _number(text: str) -> float | None:
    """A number, or the years of an age as DICOM writes it (PS3.5 section 6.2, AS); None for other texts."""
    told = _AGE_TEXT.fullmatch(text)
    if told:
        return float(int(int(told[1]) / _YEARS[told[2]]))
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
