"""The rows of scores.csv, scores.json and scores.parquet: one a case and structure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from medseg.core.case import CaseId
from medseg.metrics.table import StructureScore

from .result import Cell, Evaluation, cell
from .score_names import DISTANCES, OVERLAPS, SURFACES, VOLUMES
from .scoring import Unscored

_TEXTS = ("case", "structure", "status", "distance_unit", "volume_unit", "message")
_WHOLE = ("patient", "tp", "fp", "fn", "tn")


def case_rows(evaluation: Evaluation) -> list[dict[str, Cell]]:
    """One flat row a case and structure.

    NaN is None, an infinite distance the text ``inf``; patients are numbered, their names stay here.
    """
    numbers = patient_numbers(evaluation.patients)
    return [_row(row, numbers[evaluation.patients[row.case]]) for row in evaluation.rows]


def patient_numbers(patients: Mapping[CaseId, str]) -> dict[str, int]:
    """A number for each patient, in the order of the cases."""
    return {patient: index for index, patient in enumerate(dict.fromkeys(patients.values()), start=1)}


def unscored_rows(unscored: tuple[Unscored, ...]) -> list[dict[str, Cell]]:
    """One row a case without scores, with some of the columns of the others."""
    return [{"case": one.case, "status": one.problem.value, "message": one.message} for one in unscored]


def as_csv(evaluation: Evaluation) -> str:
    """Both kinds of rows as CSV text."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    writer.writerows(case_rows(evaluation) + unscored_rows(evaluation.unscored))
    return stream.getvalue()


def as_parquet(evaluation: Evaluation) -> bytes:
    """Both kinds of rows as Parquet; here an infinite distance is the number infinity.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
    from pyarrow import parquet  # noqa: PLC0415

    rows = case_rows(evaluation) + unscored_rows(evaluation.unscored)
    kinds = {
        name: pa.string() if name in _TEXTS else pa.int64() if name in _WHOLE else pa.float64() for name in COLUMNS
    }
    columns = {
        name: pa.array([_typed(row.get(name), is_text=name in _TEXTS) for row in rows], kind)
        for name, kind in kinds.items()
    }
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def _typed(value: Cell, *, is_text: bool) -> Cell:
    return float(value) if isinstance(value, str) and not is_text else value


def _row(row: StructureScore, patient: int) -> dict[str, Cell]:
    scores = {one.field: cell(getattr(row, one.field)) for one in (*OVERLAPS, *DISTANCES, *SURFACES, *VOLUMES)}
    told: dict[str, Cell] = {
        "case": row.case,
        "patient": patient,
        "structure": row.structure,
        "status": row.status.value,
        **scores,
        "nsd_tolerance": row.tolerance,
        "rim": row.rim,
        "beta": row.beta,
        "distance_unit": row.unit.value,
        "volume_unit": row.volume_unit,
        "image_diagonal": row.diagonal,
        "tp": row.tp,
        "fp": row.fp,
        "fn": row.fn,
        "tn": row.tn,
    }
    return {name: told[name] for name in COLUMNS if name in told}


COLUMNS = (
    *("case", "patient", "structure", "status"),
    *(one.field for one in OVERLAPS), "beta",
    *(one.field for one in DISTANCES), *(one.field for one in SURFACES), "nsd_tolerance", "rim", "distance_unit",
    *(one.field for one in VOLUMES), "volume_unit", "image_diagonal",
    *("tp", "fp", "fn", "tn", "message"),
)  # fmt: skip
"""Columns in their order; only a case without scores has a message."""
