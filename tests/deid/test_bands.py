from __future__ import annotations

import io

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from medseg.config.deid import KeptAttribute
from medseg.deid.bands import banded

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom on values that are wrong on purpose


def header(**elements) -> Dataset:
    """A header as a reader gives it: elements not yet decoded."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return dcmread(stream, force=True)


def band(attribute, **elements):
    return banded(header(**elements), [attribute])[attribute.value]


@pytest.mark.parametrize(("value", "wanted"), [("F", "F"), ("M", "M"), ("O", "O"), ("m", "M"), ("X", ""), ("", "")])
def test_sex(value, wanted):
    assert band(KeptAttribute.SEX, PatientSex=value) == wanted


@pytest.mark.parametrize(
    ("age", "wanted"),
    [
        ("000Y", "0-17"), ("017Y", "0-17"), ("018Y", "18-29"), ("029Y", "18-29"), ("030Y", "30-39"), ("079Y", "70-79"),
        ("089Y", "80-89"), ("090Y", "90+"), ("121Y", "90+"), ("011D", "0-17"), ("052W", "0-17"), ("230M", "18-29"),
        ("", ""), ("old", ""), ("45", ""),
    ],
)  # fmt: skip
def test_age_bands(age, wanted):
    assert band(KeptAttribute.AGE_BAND, PatientAge=age) == wanted


@pytest.mark.parametrize(
    ("born", "studied", "wanted"),
    [
        ("19600615", "20200614", "50-59"),
        ("19600615", "20200615", "60-69"),
        ("1960.06.15", "20200615", "60-69"),
        ("19600231", "20200615", ""),
        ("20200616", "20200615", ""),
        ("18000101", "20200615", ""),
        ("", "20200615", ""),
        ("19600615", "", ""),
    ],
)
def test_age_from_the_birth_date(born, studied, wanted):
    assert band(KeptAttribute.AGE_BAND, PatientBirthDate=born, StudyDate=studied) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Philips Medical Systems", "Philips"),
        ("TOSHIBA_MEC", "Canon"),
        ("Doe's private scanner", "other"),
        ("", ""),
        ("Imaging Agency", "other"),
    ],
)
def test_makers_are_few(value, wanted):
    assert band(KeptAttribute.MANUFACTURER, Manufacturer=value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("Skyra", "Skyra"),
        ("SOMATOM Definition AS+", "SOMATOM Definition AS+"),
        ("=cmd|' /C calc'!A0", "cmd C calc A0"),
        ("-1+1", "1+1"),
        ("Skyra 4711081500", "Skyra"),
        ("x" * 60, "x" * 32),
        ("", ""),
    ],
)
def test_models_are_plain(value, wanted):
    assert band(KeptAttribute.MODEL, ManufacturerModelName=value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1.494", "1.5"), ("3", "3"), ("2.89362", "3"), ("0.35", "0.5"), ("1.0", "1"), ("6.98", "7"), ("15000", "1.5"),
        ("0", ""), ("", ""), ("-3", ""), ("50", ""),
    ],
)  # fmt: skip
def test_field_strengths_are_rounded(value, wanted):
    assert band(KeptAttribute.FIELD_STRENGTH, MagneticFieldStrength=value) == wanted


def test_a_field_strength_that_is_no_number():
    dataset = header(MagneticFieldStrength="3")
    dataset[0x00180087] = dataset.get_item(0x00180087)._replace(value=b"strong")
    assert banded(dataset, [KeptAttribute.FIELD_STRENGTH]) == {"field_strength": ""}


def test_only_what_is_wanted_comes_and_in_its_order():
    wanted = (KeptAttribute.MODEL, KeptAttribute.SEX)
    assert list(banded(header(PatientSex="F", PatientAge="040Y"), wanted)) == ["model", "sex"]
    assert banded(header(PatientSex="F"), ()) == {}
