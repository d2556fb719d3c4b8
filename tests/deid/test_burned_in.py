"""Which images are doubted by their header, what devices add, and where ultrasound shows echoes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from picture_objects import CT, ULTRASOUND, as_file, picture_dataset, picture_file, regions
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from medseg.core.errors import DeidError, ReadError
from medseg.deid.boxes import Box, covered
from medseg.deid.burned_in import doubt, says_text
from medseg.deid.burned_in_rules import banners, device_rules, parse_rules
from medseg.deid.header_values import figure, figures, word, words
from medseg.deid.ultrasound_regions import echo_regions

SLICE = np.zeros((8, 8), np.int16)
SLIDE, SEGMENTATION, MR, NM = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("77.1.6", "66.4", "4", "20"))
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def test_original_slices_are_not_doubted():
    assert doubt(picture_dataset(SLICE, CT)) is None
    assert doubt(picture_dataset(SLICE, CT, PhotometricInterpretation="MONOCHROME1", BurnedInAnnotation="NO")) is None
    assert doubt(picture_dataset(SLICE, MR, Modality="MR", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])) is None
    assert doubt(picture_dataset(SLICE, NM, Modality="NM", BitsAllocated=8)) is None


def test_enhanced_slices_lie_where_their_functional_groups_say():
    dataset = picture_dataset(SLICE, ENHANCED_CT, Modality="CT")
    assert "without a place" in str(doubt(dataset))
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    assert doubt(dataset) is None


def test_raw_elements_of_a_file_are_judged_as_objects_are(tmp_path):
    assert doubt(picture_file(tmp_path, SLICE, CT).dataset) is None
    assert doubt(as_file(picture_dataset(SLICE, CT), tmp_path, ImplicitVRLittleEndian).dataset) is None
    assert "header says" in str(doubt(picture_file(tmp_path, SLICE, CT, BurnedInAnnotation="YES").dataset))


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "image type"),
        ({"ImageType": ["ORIGINAL", "SECONDARY"]}, "image type"),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, "image type"),
        ({"ImageType": "ORIGINAL"}, "image type"),
        ({"ImageType": None}, "image type"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]}, "saved screen"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 PROT"]}, "saved screen"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "POSDISP"]}, "rendering"),
        ({"SeriesDescription": "Dose  report"}, "saved screen"),
        ({"SeriesDescription": "Patient Protocol"}, "saved screen"),
        ({"ManufacturerModelName": "Vitrea 2"}, "workstation"),
        ({"Manufacturer": "VIDAR Systems"}, "digitizer"),
        ({"Modality": "OT"}, "modality"),
        ({"ConversionType": "WSD"}, "captures"),
        ({"SecondaryCaptureDeviceID": "A"}, "captures"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"BitsAllocated": 8}, "8 bits"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"ImageOrientationPatient": None, "BurnedInAnnotation": "YES "}, "header says"),
    ],
)
def test_a_slice_that_is_none_is_doubted(elements, why):
    assert why in str(doubt(picture_dataset(SLICE, CT, **elements)))


def test_a_slice_without_a_place_is_doubted():
    dataset = picture_dataset(SLICE, CT)
    del dataset.ImageOrientationPatient
    assert "without a place" in str(doubt(dataset))


@pytest.mark.parametrize("description", ["low dose CT chest", "Lung screening", "protocol thorax", "3D"])
def test_ordinary_descriptions_raise_no_doubt(description):
    assert doubt(picture_dataset(SLICE, CT, SeriesDescription=description)) is None


@pytest.mark.parametrize(
    "modality", ["US", "IVUS", "SC", "OT", "DOC", "XA", "RF", "CR", "DX", "MG", "ES", "XC", "OP", ""]
)
def test_all_other_kinds_are_doubted(modality):
    dataset = picture_dataset(SLICE, "1.2.840.10008.5.1.4.1.1.7", Modality=modality, BurnedInAnnotation="NO")
    assert doubt(dataset) is not None


def test_numbers_are_no_pictures():
    assert doubt(picture_dataset(SLICE, SEGMENTATION, Modality="SEG", ImageType=["DERIVED", "PRIMARY"])) is None
    bare = Dataset()
    bare.SOPClassUID, bare.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    assert doubt(bare) is None


def test_only_the_volume_of_a_slide_is_not_doubted():
    kinds = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert doubt(picture_dataset(SLICE, SLIDE, ImageType=kinds, BurnedInAnnotation="NO")) is None
    assert doubt(picture_dataset(SLICE, SLIDE, ImageType=kinds)) is not None
    assert doubt(picture_dataset(SLICE, SLIDE, ImageType=kinds, BurnedInAnnotation="NO", SpecimenLabelInImage="YES"))
    label = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    assert "slide" in str(doubt(picture_dataset(SLICE, SLIDE, ImageType=label, BurnedInAnnotation="NO")))


def test_unreadable_sizes_are_doubted(tmp_path):
    dataset = picture_file(tmp_path, SLICE, CT).dataset
    element = dataset.get_item(0x00280100)
    dataset[0x00280100] = element._replace(VR="DS", value=b"none", length=4)
    assert "8 bits" in str(doubt(dataset))


def test_the_header_is_believed_when_it_says_yes():
    assert says_text(picture_dataset(SLICE, CT, BurnedInAnnotation="YES"))
    assert not says_text(picture_dataset(SLICE, CT, BurnedInAnnotation="NO"))
    assert not says_text(picture_dataset(SLICE, CT))


def test_banners_of_ultrasound_screens():
    screen = np.zeros((480, 640), np.uint8)
    dataset = picture_dataset(screen, ULTRASOUND, Manufacturer="Philips Medical Systems")
    assert banners(dataset, 480, 640) == [Box(0, 0, 38, 640)]
    dataset.SequenceOfUltrasoundRegions = regions((10, 60, 600, 400))
    assert banners(dataset, 480, 640) == []


@pytest.mark.parametrize(
    "elements", [{"Manufacturer": "nobody"}, {"Rows": 400}, {"Columns": 600}, {"Modality": "XA"}, {"Manufacturer": ""}]
)
def test_no_banner_where_a_condition_fails(elements):
    screen = np.zeros((480, 640), np.uint8)
    assert banners(picture_dataset(screen, ULTRASOUND, **{"Manufacturer": "GE", **elements}), 480, 640) == []


def test_every_rule_of_the_package_says_why_or_what():
    assert all(rule.when and (rule.doubt or rule.blank) for rule in device_rules())


def test_rules_by_sop_class():
    (rule,) = parse_rules(json.dumps({"rules": [{"when": {"sop_class": [CT]}, "doubt": "because"}]}))
    assert rule.holds(picture_dataset(SLICE, CT))
    assert not rule.holds(picture_dataset(SLICE, MR))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"when": {"colour": ["red"]}, "doubt": "x"}, "rule 1: conditions \\['colour'\\]"),
        ({"when": {}, "doubt": "x"}, "one is needed"),
        ({"when": {"modality": ["US"]}}, "neither what to doubt"),
        ({"when": {"modality": ["US"]}, "blank": [[0, 0, 2, 1]]}, "rectangle"),
    ],
)
def test_wrong_rules_are_refused(rule, message):
    with pytest.raises(DeidError, match=message):
        parse_rules(json.dumps({"rules": [rule]}))


def test_echo_regions_hold_their_last_pixel_and_end_at_the_edge():
    dataset = picture_dataset(SLICE, ULTRASOUND)
    dataset.SequenceOfUltrasoundRegions = regions((1, 2, 3, 4), (5, 5, 99, 99), (6, 6, 2, 2))
    assert echo_regions(dataset, 8, 8) == [Box(2, 1, 5, 4), Box(5, 5, 8, 8)]


def test_graphics_are_no_echoes():
    dataset = picture_dataset(SLICE, ULTRASOUND)
    assert echo_regions(dataset, 8, 8) == []
    dataset.SequenceOfUltrasoundRegions = regions((1, 2, 3, 4), kind=5)
    assert echo_regions(dataset, 8, 8) == []
    dataset.SequenceOfUltrasoundRegions = [Dataset()]
    assert echo_regions(dataset, 8, 8) == []


def test_values_of_elements(tmp_path):
    dataset = picture_dataset(SLICE, CT, WindowCenter=["40", "50"], NumberOfFrames="3")
    for one in (dataset, as_file(dataset, tmp_path).dataset):
        assert words(one, 0x00080008) == ("ORIGINAL", "PRIMARY", "AXIAL")
        assert word(one, 0x00080060) == "CT"
        assert words(one, 0x00081030) == ()
        assert figures(one, 0x00281050) == (40.0, 50.0)
        assert figure(one, 0x00280010, 0) == 8
        assert figure(one, 0x00280008, 1) == 3
        assert figure(one, 0x00281051, 7) == 7


def test_values_that_are_no_numbers():
    dataset = Dataset()
    dataset.add_new(0x00286100, "SQ", [])
    dataset.add_new(0x00181114, "FD", float("inf"))
    dataset.add_new(0x00280010, "LO", "many")
    with pytest.raises(ReadError, match="not finite"):
        figures(dataset, 0x00181114)
    with pytest.raises(ReadError, match="a number cannot be read"):
        figures(dataset, 0x00280010)
    dataset.add_new(0x00280011, "US", None)
    assert figures(dataset, 0x00280011) == ()


def test_boxes():
    box = Box(2, 3, 6, 10)
    assert (box.height, box.width) == (4, 7)
    assert box.grown(3).clipped(8, 8) == Box(0, 0, 8, 8)
    assert box.moved(1, -1) == Box(3, 2, 7, 9)
    assert box.clipped(2, 2) == Box(2, 2, 2, 2)
    assert box.touches(Box(5, 9, 7, 12))
    assert not box.touches(Box(6, 3, 8, 10))
    assert not box.touches(Box(2, 10, 6, 12))
    assert box.joined(Box(5, 9, 7, 12)) == Box(2, 3, 7, 12)
    assert box.clipped_to(Box(6, 10, 7, 12)).area == 0
    assert Box(3, 4, 5, 6).lies_in(box)
    assert not box.lies_in(Box(2, 3, 6, 9))
    assert not box.lies_in(Box(2, 4, 6, 12))
    assert covered([box, Box(-2, -2, 1, 1)], 8, 8).sum() == 4 * 5 + 1
