"""Every command on studies full of markers: none of them is in any output, log, message, file or folder name."""

from __future__ import annotations

import gzip
import logging

import pydicom
import pytest
from batch_studies import Here

from medseg.batch import session
from medseg.cli.arguments import FormName
from medseg.phantom.studies import Protocol, planted_identifiers, write_cohort

MARKERS = {
    "SeriesDescription": "abdomen Zebedeeson",
    "StudyDescription": "Quarkington venous",
    "PatientComments": "sister of Wibblesworth",
    "OperatorsName": "Flumpmaster^Otto",
    "BodyPartExamined": "GRIMBLEFOOT",
    "ProtocolName": "Snorkelby protocol",
    "DeviceSerialNumber": "SER-99887711",
    "ImageComments": "call 0555-77123",
}
PRIVATE = "Privateering of Plonksdale"
EVERY_FORM = tuple(word for form in FormName for word in ("--write", form.value))


def mark(studies) -> set[str]:
    """Plant more than the phantom does; returns what must not be seen anywhere else."""
    for path in studies.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        for keyword, value in MARKERS.items():
            setattr(dataset, keyword, value)
        dataset.add_new(0x00111001, "LO", PRIVATE)
        dataset.file_meta.SourceApplicationEntityTitle = "SNARKPACS"
        dataset.preamble = b"of Drizzlethorpe".ljust(128, b"\0")
        dataset.save_as(path)
    words = {word for value in MARKERS.values() for word in value.replace("^", " ").split() if word[0].isupper()}
    return words - {"Otto"} | {"0555-77123", "Plonksdale", "SNARKPACS", "Drizzlethorpe"}


@pytest.fixture
def studies(tmp_path):
    write_cohort(tmp_path / "cohort", 3, protocol=Protocol(matrix=24, slice_mm=(20.0, 20.0)))
    return tmp_path / "cohort" / "studies"


def written(folder, *, but=()):
    """Names and contents below a folder, compressed or not."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        yield str(relative)
        if path.is_file() and not any(path.match(pattern) for pattern in but):
            content = path.read_bytes()
            yield (gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1")


def found(markers: set[str], *texts: str) -> set[str]:
    whole = "\n".join(texts).casefold()
    return {marker for marker in markers if marker.casefold() in whole}


def test_no_command_shows_or_writes_an_identifier(medseg, studies, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(session, "LocalEngine", Here)  # in this process, whose logs are seen here
    markers = (planted := mark(studies)) | planted_identifiers(tmp_path / "cohort")
    assert found(planted, *written(studies)) == planted
    out, key = tmp_path / "out", tmp_path / "project.key"
    manifest, bundle = tmp_path / "cohort" / "manifest.csv", out / "run" / "bundle"
    commands = [
        ("inspect", studies), ("inspect", studies, "--json"), ("inspect", manifest),
        ("plan", manifest, "-o", out / "run.yaml", "--budget", "1ep", "--device", "cpu"),
        ("train", out / "run.yaml", "-o", out / "run", "--budget", "1s"),
        ("train", out / "run.yaml", "-o", out / "folds", "--folds", "2", "--set", "training.budget.steps=1"),
        ("predict", bundle, studies, "-o", out / "by folder", "--preview", "--entropy", "--probabilities", "--key", key,
         "--device", "cpu", "--all-series"),
        ("predict", bundle, manifest, "-o", out / "by manifest", "--key", key, "--device", "cpu"),
        ("evaluate", out / "by manifest", manifest, "-o", out / "report"),
        ("card", bundle, "--evaluation", out / "report"),
        ("deidentify", studies, "--dry-run"),
        ("deidentify", studies, "-o", out / "released", "--key", key, "--keep", "sex", "--keep", "age_band"),
        ("deidentify", studies, "-o", out / "research", "--key", key, "--profile", "research", "--workers", "2"),
        ("deidentify", out / "research", "--check"),
        ("deidentify", studies, "--check"),
        ("deidentify", studies, "-o", out / "returned", "--key", key, "--mode", "return"),
        ("batch", bundle, studies, "--dry-run", "--key", key),
        ("batch", bundle, studies, "-o", out / "batch", "--report", "--key", key, "--device", "cpu", "--series", "all",
         *EVERY_FORM),
    ]  # fmt: skip
    for command in commands:
        done = medseg(*command)
        assert done.code in (0, 1), (command[0], done.err)
        assert found(markers, done.out, done.err) == set(), command[0]
    assert found(markers, caplog.text) == set()
    for path in (out / "returned").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert found({PRIVATE, "SNARKPACS"}, str(header)) == set()
    # What goes back to the PACS names the patient, as the source does.
    to_pacs = ("returned/*/*/*/*.dcm", "batch/studies/*/*/*.dcm", "batch/studies/*/*/capture/*.dcm")
    assert found(markers, *written(out, but=to_pacs)) == set()
    assert {path.rpartition("/")[2] for path in map(str, (out / "batch").rglob("*.dcm"))} >= {"seg.dcm", "report.dcm"}
    assert len(list((out / "research").rglob("*.dcm"))) == len(list(studies.rglob("*.dcm")))
