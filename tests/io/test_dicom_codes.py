"""Codes, sides and colours."""

from __future__ import annotations

import itertools

import pytest
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from medseg.core.labels import CodedConcept, Laterality
from medseg.io.dicom_codes import (
    code_item,
    is_background,
    lab_from_rgb,
    laterality_code,
    laterality_of,
    plain_text,
    read_code,
    rgb_from_lab,
)

COLOURS = list(itertools.product((0, 3, 64, 130, 221, 255), repeat=3))


def test_colours_are_those_of_highdicom():
    assert [lab_from_rgb(colour) for colour in COLOURS] == [CIELabColor.from_rgb(*colour).value for colour in COLOURS]


def test_colours_come_back():
    assert [rgb_from_lab(lab_from_rgb(colour)) for colour in COLOURS] == COLOURS


def test_colour_of_the_liver_in_slicer_and_dcmqi():
    # QIICR/dcmqi, liver.dcm; Slicer's GenericAnatomyColors says 221 130 101
    assert rgb_from_lab((41661, 41167, 40792)) == (221, 130, 101)


def test_colours_outside_of_srgb_are_cut_off():
    words = (65535, 65535, 0)
    assert rgb_from_lab(words) == CIELabColor.from_dicom_value(words).to_rgb(clip=True) == (255, 139, 255)


@pytest.mark.parametrize("side", Laterality)
def test_sides_have_codes(side):
    assert laterality_of(laterality_code(side)) is side


@pytest.mark.parametrize(("value", "side"), [("G-A100", Laterality.RIGHT), ("G-A101", Laterality.LEFT)])
def test_sides_in_snomed_rt_are_known(value, side):
    assert laterality_of(CodedConcept(value, "SRT", "")) is side


def test_other_modifiers_are_no_side():
    assert laterality_of(CodedConcept("255561001", "SCT", "Medial")) is None
    assert laterality_of(None) is None


def test_background():
    assert is_background(CodedConcept("125040", "DCM", "Background"))
    assert not is_background(CodedConcept("10200004", "SCT", "Liver"))
    assert not is_background(None)


def test_a_long_value_is_stored_as_such():
    item = code_item(CodedConcept("1234567890123456789", "99LONG", "some\\thing\n"))
    assert "CodeValue" not in item
    assert (item.LongCodeValue, item.CodeMeaning) == ("1234567890123456789", "some/thing")


def test_a_sequence_that_is_empty_or_missing_has_no_code():
    dataset = Dataset()
    assert read_code(dataset, 0x0062000F) is None
    dataset.SegmentedPropertyTypeCodeSequence = [Dataset()]
    assert read_code(dataset, 0x0062000F) is None


def test_text_is_made_to_fit_a_long_string():
    assert plain_text(" a\\b\x1b\n ") == "a/b"
    assert plain_text("x" * 70) == "x" * 64
