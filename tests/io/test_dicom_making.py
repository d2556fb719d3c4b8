"""DICOM results say of each structure whether an algorithm, a person or both outlined it, and who."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from seg_factories import HEADER, found_labels, source_series

from medseg.io.dicom_result import Making
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.report_sr import ReferencedSegmentation, StructureMeasurements, write_measurement_report
from medseg.io.rtstruct_write import write_structure_set

MIXED = replace(
    HEADER, makings={"left kidney": Making.SEMIAUTOMATIC, "cyst": Making.MANUAL}, reader="Doe^Jane=x <j@h.example>"
)


@pytest.mark.parametrize("form", [SegmentationForm.BINARY, SegmentationForm.LABELMAP])
def test_segments_are_automatic_semiautomatic_or_manual(tmp_path: Path, form):
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, MIXED, form)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    found = {one.SegmentLabel: one for one in dataset.SegmentSequence}  # a label map has its background too
    liver, kidney, cyst = (found[name] for name in ("liver", "left kidney", "cyst"))
    assert [one.SegmentAlgorithmType for one in (liver, kidney, cyst)] == ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    assert liver.SegmentAlgorithmName == kidney.SegmentAlgorithmName == "organs"
    assert kidney.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1.2"
    assert "SegmentAlgorithmName" not in cyst
    assert "SegmentationAlgorithmIdentificationSequence" not in cyst
    assert str(dataset.ContentCreatorName) == "Doe Jane x <j@h.example>"


def test_contours_are_automatic_semiautomatic_or_manual(tmp_path: Path):
    source = source_series(tmp_path)
    write_structure_set(tmp_path / "rt.dcm", found_labels(source), source, MIXED)
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    rois = dataset.StructureSetROISequence
    assert [one.ROIGenerationAlgorithm for one in rois] == ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    assert [one.get("ROIGenerationDescription") for one in rois] == ["organs 1.2", "organs 1.2", None]
    assert str(dataset.OperatorsName) == "Doe Jane x <j@h.example>"


def test_a_report_names_no_algorithm_for_what_was_drawn_by_hand(tmp_path: Path):
    source = source_series(tmp_path)
    measured = [StructureMeasurements(one, one.value, 1.0) for one in found_labels(source).scheme.structures]
    seg = ReferencedSegmentation("1.2.840.10008.5.1.4.1.1.66.4", "2.25.7", "2.25.8")
    write_measurement_report(tmp_path / "sr.dcm", measured, source, MIXED, seg)
    text = [str(one.value) for one in pydicom.dcmread(tmp_path / "sr.dcm").iterall() if one.keyword == "TextValue"]
    assert text.count("organs") == 3  # the observer, and two of the three structures


def test_nobody_corrected_what_names_no_reader(tmp_path: Path):
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    write_structure_set(tmp_path / "rt.dcm", found_labels(source), source, HEADER)
    seg, structure_set = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(tmp_path / "rt.dcm")
    assert {one.SegmentAlgorithmType for one in seg.SegmentSequence} == {"AUTOMATIC"}
    assert not seg.ContentCreatorName
    assert not structure_set.OperatorsName
