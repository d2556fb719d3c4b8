"""No UID, path or quoted value gets through a log."""

from __future__ import annotations

import logging
import warnings

import pytest
from pydicom.dataset import Dataset

from medseg.core.messages import Redaction, redacted, route_logs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("series 1.2.840.113619.2.5 is broken", "series <uid> is broken"),
        ("torch 2.13.0 on 3 of 4 cores, 0.5 mm", "torch 2.13.0 on 3 of 4 cores, 0.5 mm"),
        ("cannot open /data/DOE JOHN/1.dcm", "cannot open <path>"),
        ("cannot open /data/DOE JOHN/1.dcm: no permission", "cannot open <path>: no permission"),
        ("[Errno 2] No such file: '/data/DOE JOHN/1.dcm'", "[Errno 2] No such file: <path>"),
        (r"cannot open C:\data\DOE JOHN\1.dcm", "cannot open <path>"),
        (r"cannot open \\server\share\DOE", "cannot open <path>"),
        ("cannot open ../DOE/x or ~/DOE", "cannot open <path>"),
        ("cannot open study/DOE/1.dcm now", "cannot open <path> now"),
        ("12 / 20 cases, image/label, 3 mm/s", "12 / 20 cases, image/label, 3 mm/s"),
        ("structure 'liver' is missing", "structure 'liver' is missing"),
        ("bell \x07 and \x1b[2J and \u202ereversed", "bell ? and ?[2J and ?reversed"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_is_taken_out(text, expected):
    assert redacted(text) == expected


def test_quotes_of_libraries_are_taken_out():
    assert (
        redacted("Invalid value for VR UI: 'DOE'. See \"JOHN\"", quotes=True)
        == "Invalid value for VR UI: <value>. See <value>"
    )


def record(name, message, *args, error=None):
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord(name, logging.WARNING, "file.py", 1, message, args, info)
    assert Redaction().filter(made)
    return made


def test_own_records_keep_their_quotes():
    assert record("medseg.io", "structure %r at %s", "liver", "1.2.3.4").getMessage() == "structure 'liver' at <uid>"
    assert record("pydicom", "value %r", "DOE").getMessage() == "value <value>"


def test_tracebacks_are_redacted_too():
    error = ValueError("could not read '/data/DOE/1.dcm' of 1.2.3.4.5")
    shown = logging.Formatter().format(record("medseg", "failed", error=error))
    assert "DOE" not in shown
    assert "1.2.3.4.5" not in shown
    assert "ValueError" in shown
    assert logging.Formatter().format(record("pydicom", "failed", error=error)) == "failed"


@pytest.fixture
def routed():
    root = logging.getLogger()
    before = root.level
    yield root
    logging.captureWarnings(capture=False)
    root.setLevel(before)
    for handler in [one for one in root.handlers if one.name == "medseg-redacted"]:
        root.removeHandler(handler)


def test_pydicom_is_routed_through_the_filter(routed, capsys):
    route_logs()
    route_logs()
    assert sum(one.name == "medseg-redacted" for one in routed.handlers) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        Dataset().StudyInstanceUID = "DOE^JOHN"
    logging.getLogger("pydicom.anything").error("broken file %s", "/data/DOE/1.dcm")
    shown = capsys.readouterr().err
    assert "DOE" not in shown
    assert "Invalid value for VR UI: <value>" in shown
    assert "broken file <path>" in shown
