"""Texts beside codes: the standard's own, or known words."""

import pytest
from pydicom.dataset import Dataset

from medseg.deid.code_meanings import clean_meaning, current_code, standard_meaning
from medseg.deid.descriptors import Vocabulary

VOCABULARY = Vocabulary.load()


def code(value, scheme, keyword="CodeValue"):
    item = Dataset()
    item.CodingSchemeDesignator = scheme
    setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("scheme", "value", "meaning"),
    [
        ("DCM", "113100", "Basic Application Confidentiality Profile"),
        ("DCM", "126000", "Imaging Measurement Report"),
        ("SCT", "10200004", "Liver"),
        ("SRT", "T-62000", "Liver"),
        ("SRT", "T-NOTHING", None),
        ("99HOSPITAL", "113100", None),
        ("", "", None),
    ],
)
def test_the_standard_knows_its_codes(scheme, value, meaning):
    assert standard_meaning(scheme, value) == meaning


def test_old_codes_are_today_ones():
    assert current_code("SRT", "T-62000") == ("SCT", "10200004")
    assert current_code("SRT", "T-NOTHING") == ("SRT", "T-NOTHING")
    assert current_code("DCM", "113100") == ("DCM", "113100")


@pytest.mark.parametrize(
    ("item", "meaning", "kept"),
    [
        (code("10200004", "SCT"), "LIVER", "LIVER"),
        (code("10200004", "SCT"), "Nettlebaum's liver", "Liver"),
        (code("25045-6", "LN"), "CT Unspecified body region", "CT Unspecified body region"),
        (code("10200004", "SCT", "LongCodeValue"), "Nettlebaum", "Liver"),
        (code("CTAB", "99HOSPITAL"), "CT abdomen Nettlebaum", "CT abdomen"),
        (code("CTAB", "99HOSPITAL"), "Nettlebaum", ""),
        (Dataset(), "Nettlebaum liver", "liver"),
        (Dataset(), "", ""),
    ],
)
def test_meanings_are_cleaned_by_their_code(item, meaning, kept):
    assert clean_meaning(item, meaning, VOCABULARY) == kept
