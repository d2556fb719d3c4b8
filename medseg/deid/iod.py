"""Whether an attribute must be there: its type in the IOD of a SOP class (PS3.3, PS3.5 section 7.4)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class _Types:
    """Content of ``iod_types.json``: rows by tag, in them a type by the number of an IOD."""

    iods: Mapping[str, int]
    rows: Mapping[int, Mapping[int, str]]
    patient_and_study: frozenset[int]


def attribute_type(sop_class: str, tag: int) -> str | None:
    """Type of an attribute at the top level of a SOP class's IOD: ``1``, ``1C``, ``2``, ``2C`` or ``3``.

    Where several modules hold the attribute, the strictest type counts, also from modules that are optional: an object
    that has the attribute may have it by any of them.

    Args:
        sop_class: SOP Class UID.
        tag: Of the attribute, as a number.

    Returns:
        The type; None if the SOP class or the attribute is not in the data. Only attributes are there that the table
        gives a choice for, and texts, names, dates and UIDs that some IOD demands.
    """
    types = _read_types()
    row = types.rows.get(tag)
    iod = types.iods.get(sop_class)
    return None if row is None or iod is None else row.get(iod)


def patient_and_study_tags() -> frozenset[int]:
    """Top-level attributes of the modules that say whose study it is: patient, study, visit and clinical trial."""
    return _read_types().patient_and_study


@functools.cache
def _read_types() -> _Types:
    content = json.loads(files(__package__).joinpath("data/iod_types.json").read_text(encoding="utf-8"))
    return _Types(
        iods=content["sop_classes"],
        rows={
            int(tag, 16): {iod: kind for kind, iods in row.items() for iod in iods}
            for tag, row in content["types"].items()
        },
        patient_and_study=frozenset(int(tag, 16) for tag in content["patient_and_study"]),
    )
