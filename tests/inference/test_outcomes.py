import csv
import io
from pathlib import Path

import pytest

from medseg.inference.outcomes import Done, Failed, PredictionRun, Skipped

RUN = PredictionRun(
    (
        Done("a", "scans/a.nii.gz", Path("out/a.nii.gz"), {"liver": 1500.25, "-x": None}, "large"),
        Skipped("series-1", "series-1", "its modality is CT"),
        Failed("=b", "=b.nii", "truncated, damaged"),
    ),
    ("liver", "-x"),
)


def test_rows_share_their_keys():
    rows = RUN.rows()
    assert {tuple(row) for row in rows} == {("case", "input", "status", "reason", "output", "liver mL", "-x mL")}
    assert [row["status"] for row in rows] == ["done", "skipped", "failed"]
    assert rows[0]["liver mL"] == 1500.25
    assert rows[0]["output"] == "a.nii.gz"
    assert rows[1]["liver mL"] is None


def test_counts():
    assert (RUN.done, RUN.failed) == (1, 1)


def test_csv_reads_back():
    header, *rows = csv.reader(io.StringIO(RUN.csv()))
    assert header[:5] == ["case", "input", "status", "reason", "output"]
    assert rows[0] == ["a", "scans/a.nii.gz", "done", "large", "a.nii.gz", "1500.25", ""]
    assert rows[2][3] == "truncated, damaged"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r@"])
def test_cells_are_no_formulas(start):
    run = PredictionRun((Failed(f"{start}1+2", "x", "y"),), (f"{start}target",))
    header, row = csv.reader(io.StringIO(run.csv()))
    assert row[0] == f"'{start.strip()}1+2"
    assert header[-1] == f"'{start.strip()}target mL"


def test_every_case_is_one_line():
    run = PredictionRun((Failed("a", "x", "first\nsecond"),), ())
    assert run.csv().splitlines()[1:] == ["a,x,failed,first second,"]
