"""Types of attributes against PS3.3, read by hand."""

import importlib.util
import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    MRImageStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from medseg.deid.iod import attribute_type, patient_and_study_tags
from medseg.deid.table import read_table

SCRIPT = Path(__file__).parents[2] / "scripts" / "iod_types.py"


@pytest.mark.parametrize(
    ("sop_class", "keyword", "expected"),
    [
        (CTImageStorage, "PatientName", "2"),
        (CTImageStorage, "PatientID", "2"),
        (CTImageStorage, "StudyInstanceUID", "1"),
        (CTImageStorage, "AccessionNumber", "2"),
        (CTImageStorage, "StudyID", "2"),
        (CTImageStorage, "InstanceCreationDate", "3"),
        (CTImageStorage, "ContentDate", "2C"),
        (CTImageStorage, "AcquisitionDateTime", "3"),
        (EnhancedMRImageStorage, "AcquisitionDateTime", "1C"),
        (EnhancedMRImageStorage, "ContentDate", "1"),
        (EnhancedMRImageStorage, "DeviceSerialNumber", "1"),
        (MRImageStorage, "DeviceSerialNumber", "3"),
        (RTStructureSetStorage, "StructureSetLabel", "1"),
        (RTStructureSetStorage, "StructureSetDate", "2"),
        (RTStructureSetStorage, "OperatorsName", "2"),
        (CTImageStorage, "OperatorsName", "3"),
        (SegmentationStorage, "ContentCreatorName", "3"),
        (SegmentationStorage, "ContentDate", "1"),
        (ComprehensiveSRStorage, "ContentDate", "1"),
        (DigitalXRayImageStorageForPresentation, "PatientOrientation", None),
        (SecondaryCaptureImageStorage, "DateOfSecondaryCapture", None),
        (CTImageStorage, "Rows", None),
        ("1.2.3", "PatientName", None),
    ],
)
def test_types_are_those_of_the_standard(sop_class, keyword, expected):
    assert attribute_type(str(sop_class), tag_for_keyword(keyword)) == expected


def test_every_choice_of_the_table_that_ct_has_is_answered():
    choices = [tag for tag, rule in read_table().rules.items() if "/" in rule.basic]
    answered = [tag for tag in choices if attribute_type(str(CTImageStorage), tag)]
    assert len(choices) == 50
    assert len(answered) > 10
    assert tag_for_keyword("SeriesDate") in answered


def test_owner_attributes_are_those_of_patient_and_study():
    tags = patient_and_study_tags()
    for keyword in ("PatientName", "PatientBirthDate", "PatientAge", "StudyDate", "AccessionNumber", "AdmissionID"):
        assert tag_for_keyword(keyword) in tags
    for keyword in ("SeriesInstanceUID", "InstitutionName", "StationName", "PatientIdentityRemoved", "Rows"):
        assert tag_for_keyword(keyword) not in tags


def test_data_is_what_the_script_derives():
    data = files("medseg.deid").joinpath("data")
    stored = {name: json.loads(data.joinpath(f"{name}.json").read_text()) for name in ("iod_types", "allow_list")}
    if f"highdicom {version('highdicom')} " not in stored["iod_types"]["_note"]["source"]:
        pytest.skip("another version of highdicom")
    spec = importlib.util.spec_from_file_location("iod_types", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    standard = script.Standard()
    assert json.loads(json.dumps(script.iod_types(standard))) == stored["iod_types"]
    assert json.loads(json.dumps(script.allow_lists(standard))) == stored["allow_list"]


def test_data_is_small():
    data = files("medseg.deid").joinpath("data")
    assert all(len(data.joinpath(name).read_bytes()) < 100_000 for name in ("iod_types.json", "allow_list.json"))
