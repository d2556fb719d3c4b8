"""What a manifest may keep about an image for scores by subgroup: few values, each shared by many people."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

from pydicom.dataset import Dataset

from medseg.config.deid import KeptAttribute
from medseg.core.errors import ReadError
from medseg.io.dicom_header import numbers, text

from .values import days_in

_SEX, _AGE, _BIRTH, _STUDY_DATE = 0x00100040, 0x00101010, 0x00100030, 0x00080020
_MANUFACTURER, _MODEL, _FIELD = 0x00080070, 0x00081090, 0x00180087
_AGE_TEXT = re.compile(r"(\d{3})([DWMY])")
_FIELD_STRENGTHS = (0.5, 1.0, 1.5, 3.0, 7.0)
_LOWEST_FIELD, _HIGHEST_FIELD, _GAUSS = 0.1, 12.0, 10_000
_MAKERS = {
    "siemens": "Siemens",
    "philips": "Philips",
    "ge": "GE",
    "toshiba": "Canon",
    "canon": "Canon",
    "hitachi": "Fujifilm",
    "fuji": "Fujifilm",
    "fujifilm": "Fujifilm",
    "united": "United Imaging",
    "uih": "United Imaging",
    "hologic": "Hologic",
    "samsung": "Samsung",
    "agfa": "Agfa",
    "carestream": "Carestream",
    "shimadzu": "Shimadzu",
    "neusoft": "Neusoft",
    "mindray": "Mindray",
    "esaote": "Esaote",
    "varian": "Varian",
    "elekta": "Elekta",
    "accuray": "Accuray",
    "bruker": "Bruker",
}
_MODEL_LETTERS = re.compile(r"[^A-Za-z0-9 ._+-]+")
_LONGEST_MODEL = 32
_MODEL_DIGITS = re.compile(r"\d{5,}")


def banded(header: Dataset, wanted: Iterable[KeptAttribute]) -> dict[str, str]:
    """The wanted attributes of an original header, in bands; empty where the header does not tell.

    Sex is ``F``, ``M`` or ``O``. Age is ``0-17``, ``18-29``, then decades, ``90+``. The manufacturer is one of a list
    of makers, or ``other``. The model has at most 32 plain characters and no long number. The field strength is that of
    0.5, 1, 1.5, 3 and 7 T which is nearest.

    Args:
        header: As read, before anything is cleaned.
        wanted: What the profile keeps.
    """
    makers = {
        KeptAttribute.SEX: _sex,
        KeptAttribute.AGE_BAND: _age_band,
        KeptAttribute.MANUFACTURER: _manufacturer,
        KeptAttribute.MODEL: _model,
        KeptAttribute.FIELD_STRENGTH: _field_strength,
    }
    return {attribute.value: makers[attribute](header) for attribute in wanted}


def _sex(header: Dataset) -> str:
    value = text(header, _SEX).upper()
    return value if value in ("F", "M", "O") else ""


def _age_band(header: Dataset) -> str:
    years = _years(header)
    if years is None:
        return ""
    if years < 18:
        return "0-17"
    if years < 30:
        return "18-29"
    return "90+" if years >= 90 else f"{years // 10 * 10}-{years // 10 * 10 + 9}"


def _years(header: Dataset) -> int | None:
    """Completed years: Patient's Age (0010,1010), or study date minus birth date; None if that makes no sense."""
    told = _AGE_TEXT.fullmatch(text(header, _AGE).upper())
    if told:
        return int(told[1]) if told[2] == "Y" else 0 if told[2] != "M" else int(told[1]) // 12
    try:
        born, studied = (
            dt.datetime.strptime(days_in(text(header, tag).encode())[0], "%Y%m%d").date()  # noqa: DTZ007 - a day only
            for tag in (_BIRTH, _STUDY_DATE)
        )
    except (IndexError, ValueError):
        return None
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return years if 0 <= years < 130 else None


def _manufacturer(header: Dataset) -> str:
    words = re.findall("[a-z]+", text(header, _MANUFACTURER).lower())
    return next((_MAKERS[word] for word in words if word in _MAKERS), "other" if words else "")


def _model(header: Dataset) -> str:
    """The model with plain letters only: no separators of CSV, nothing that a spreadsheet would run, no serial."""
    plain = _MODEL_DIGITS.sub("", _MODEL_LETTERS.sub(" ", text(header, _MODEL)))
    return " ".join(plain.split()).lstrip("+-.")[:_LONGEST_MODEL].strip()


def _field_strength(header: Dataset) -> str:
    try:
        tesla = next(iter(numbers(header, _FIELD)), 0.0)
    except ReadError:
        return ""
    tesla = tesla / _GAUSS if tesla > 100 else tesla
    if not _LOWEST_FIELD <= tesla <= _HIGHEST_FIELD:
        return ""
    return f"{min(_FIELD_STRENGTHS, key=lambda one: abs(one - tesla)):g}"
