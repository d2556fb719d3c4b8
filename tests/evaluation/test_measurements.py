"""Measurements of cases, of which some cannot be made."""

from __future__ import annotations

from types import SimpleNamespace

from factories import scheme
from notes import Notes

from medseg.core.errors import GeometryError
from medseg.evaluation import measurements
from medseg.evaluation.measurements import measurement_rows


def test_a_case_that_fails_half_way_has_no_row(monkeypatch):
    def rows(pair, _):
        yield {"case": pair.case, "side": "predicted"}
        if pair.case == "a":
            raise GeometryError("it is elsewhere")
        yield {"case": pair.case, "side": "reference"}

    monkeypatch.setattr(measurements, "_rows", rows)
    notes = Notes()
    found = measurement_rows([SimpleNamespace(case=case) for case in "ab"], scheme(), notes)
    assert [(row["case"], row["side"]) for row in found] == [("b", "predicted"), ("b", "reference")]
    assert "a: not measured, it is elsewhere" in notes.texts
