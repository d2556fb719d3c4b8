"""TID 1500 reports, read by highdicom, dcmqi and dciodvfy."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import pydicom
import pytest
from dicom_factories import Grid, only_series, series_datasets, voxels, write_files, write_series

from medseg.core.errors import LabelError, StudyError
from medseg.core.labels import CodedConcept, Laterality, Structure
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, read_source
from medseg.io.report_sr import Measurement, ReferencedSegmentation, StructureMeasurements, write_measurement_report

HEADER = ResultHeader(
    "2.25.10", "2.25.11", 900, "Volumes", Algorithm("net", "1.2"), datetime(2020, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
)
SEGMENTATION = ReferencedSegmentation("1.2.840.10008.5.1.4.1.1.66.4", "2.25.20", "2.25.21")
LIVER = Structure("liver", 1, (1, 2, 3), CodedConcept("10200004", "SCT", "Liver"))
KIDNEY = Structure("left kidney", 2, (1, 2, 3), CodedConcept("64033007", "SCT", "Kidney"), laterality=Laterality.LEFT)
TUMOUR = Structure(
    "tumour",
    3,
    (1, 2, 3),
    CodedConcept("4147007", "SCT", "Mass"),
    CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
    Laterality.RIGHT,
)
UNKNOWN = Structure("Läsion 肝", 4, (1, 2, 3))
MEAN_HU = Measurement(
    CodedConcept("112031", "DCM", "Attenuation Coefficient"),
    -37.12345,
    CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"),
    CodedConcept("373098007", "SCT", "Mean"),
)
MEASURED = (
    StructureMeasurements(LIVER, 1, 1234.56789, (MEAN_HU,), tracking_uid="2.25.99"),
    StructureMeasurements(KIDNEY, 2, 1 / 3),
    StructureMeasurements(TUMOUR, 5, 0.0),
    StructureMeasurements(UNKNOWN, 4, 1e-7),
)


def source_of(folder: Path, **elements) -> SourceSeries:
    write_series(folder, Grid(slices=3), **elements)
    return read_source(only_series(folder))


def report(folder: Path, **elements) -> tuple[Path, SourceSeries]:
    source = source_of(folder / "series", **elements)
    write_measurement_report(folder / "report.dcm", MEASURED, source, HEADER, SEGMENTATION)
    return folder / "report.dcm", source


def test_highdicom_reads_the_measurements(tmp_path):
    path, source = report(tmp_path)
    content = highdicom.sr.srread(path).content
    groups = content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [one.structure.name for one in MEASURED]
    assert [group.get_measurements()[0].value for group in groups] == [one.volume_ml for one in MEASURED]
    assert {group.get_measurements()[0].unit.value for group in groups} == {"cm3"}
    assert [group.referenced_segment.referenced_segment_numbers for group in groups] == [[1], [2], [5], [4]]
    series = {str(group.referenced_segment.source_series_for_segmentation.value) for group in groups}
    assert series == {str(source.headers[0].SeriesInstanceUID)}
    assert [group.finding_type and group.finding_type.value for group in groups] == [
        "10200004",
        "64033007",
        "4147007",
        None,
    ]
    sites = [[(one.value.value, one.laterality and one.laterality.value) for one in g.finding_sites] for g in groups]
    assert sites == [[("10200004", None)], [("64033007", "7771000")], [], []]
    mean = groups[0].get_measurements()[1]
    assert (mean.name.value, mean.value, mean.derivation.value) == ("112031", -37.12345, "373098007")


def test_tracking_uids_are_the_segments_or_the_headers(tmp_path):
    path, _ = report(tmp_path)
    groups = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    uids = [str(group.tracking_uid) for group in groups]
    assert uids == ["2.25.99", HEADER.instance(3), HEADER.instance(6), HEADER.instance(5)]


def test_the_same_header_gives_the_same_bytes(tmp_path):
    path, source = report(tmp_path)
    write_measurement_report(tmp_path / "again.dcm", MEASURED, source, HEADER, SEGMENTATION)
    assert path.read_bytes() == (tmp_path / "again.dcm").read_bytes()


def test_patient_study_and_references_are_those_of_the_source(tmp_path):
    path, source = report(tmp_path, PatientName="Müller^Ä", SpecificCharacterSet="ISO_IR 100", PatientSex="X")
    dataset = pydicom.dcmread(path)
    first = source.headers[0]
    assert dataset.PatientName == "Müller^Ä"
    assert dataset.PatientSex == "X"
    assert dataset.StudyInstanceUID == first.StudyInstanceUID
    assert (dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.SeriesNumber) == ("2.25.10", "2.25.11", 900)
    assert (dataset.ContentDate, dataset.ContentTime) == ("20200102", "030405.000678")
    assert (dataset.CompletionFlag, dataset.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert (dataset.Manufacturer, dataset.ManufacturerModelName, dataset.SoftwareVersions) == ("medseg", "net", "1.2")
    (evidence,) = dataset.CurrentRequestedProcedureEvidenceSequence
    referred = {
        str(series.SeriesInstanceUID): {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedSOPSequence}
        for series in evidence.ReferencedSeriesSequence
    }
    instances = {str(header.SOPInstanceUID) for header in source.headers}
    assert referred == {str(first.SeriesInstanceUID): instances, "2.25.21": {"2.25.20"}}
    assert "series" not in repr(SEGMENTATION)
    assert "2.25" not in repr(MEASURED)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
def test_dciodvfy_finds_no_error(tmp_path):
    path, _ = report(tmp_path)
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode("latin-1")
    assert "Comprehensive3DSR" in text
    assert "Error" not in text


READER = Path(sys.executable).parent / "tid1500reader"


@pytest.mark.skipif(not READER.exists(), reason="needs tid1500reader (Python package dcmqi)")
def test_dcmqi_reads_the_same_volumes(tmp_path):
    path, source = report(tmp_path)
    subprocess.run(
        [READER, "--inputDICOM", path, "--outputMetadata", tmp_path / "read.json"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    read = json.loads((tmp_path / "read.json").read_text())
    groups = read["Measurements"]
    volumes = [float(group["measurementItems"][0]["value"]) for group in groups]
    assert volumes == pytest.approx([one.volume_ml for one in MEASURED], rel=1e-13)
    assert [group["ReferencedSegment"] for group in groups] == [1, 2, 5, 4]
    assert {group["segmentationSOPInstanceUID"] for group in groups} == {"2.25.20"}
    assert {group["SourceSeriesForImageSegmentation"] for group in groups} == {source.headers[0].SeriesInstanceUID}
    assert [group.get("Finding", {}).get("CodeValue") for group in groups] == ["10200004", "64033007", "4147007", None]
    assert groups[1]["Laterality"]["CodeMeaning"] == "Left"
    assert groups[3]["TrackingIdentifier"] == "Läsion 肝"
    assert float(groups[0]["measurementItems"][1]["value"]) == -37.12345


def test_what_is_no_measurement_is_refused(tmp_path):
    with pytest.raises(LabelError, match="a measurement has the value nan; leave out what could not be measured"):
        Measurement(MEAN_HU.name, math.nan, MEAN_HU.unit)
    for volume in (-1.0, math.inf):
        with pytest.raises(LabelError, match=f"a structure has the volume {volume} ml; it must be 0 or positive"):
            StructureMeasurements(LIVER, 1, volume)
    source = source_of(tmp_path / "series")
    with pytest.raises(LabelError, match="there is no structure to report on"):
        write_measurement_report(tmp_path / "a.dcm", (), source, HEADER, SEGMENTATION)


def test_a_source_without_a_class_cannot_be_referred_to(tmp_path):
    write_files(tmp_path / "series", series_datasets(Grid(slices=2), voxels(Grid(slices=2))))
    source = read_source(only_series(tmp_path / "series"))
    del source.headers[1].SOPClassUID
    with pytest.raises(StudyError, match="a file names no SOP class, so no DICOM object can refer to it"):
        write_measurement_report(tmp_path / "a.dcm", MEASURED, source, HEADER, SEGMENTATION)
    assert not (tmp_path / "a.dcm").exists()
