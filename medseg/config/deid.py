"""What a de-identification profile may say; files of this form lie in ``configs/deid``."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from .section import Section


class Mode(StrEnum):
    """Where the objects go."""

    RELEASE = "release"
    """Out of the house: everything is cleaned."""
    RETURN = "return"
    """Back to the PACS that sent the study: patient, study and UIDs stay, or the objects would not attach."""


class Option(StrEnum):
    """The options of the Basic Application Level Confidentiality Profile (PS3.15 section E.3)."""

    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    RETAIN_UIDS = "retain_uids"
    RETAIN_DEVICE_IDENTITY = "retain_device_identity"
    RETAIN_INSTITUTION_IDENTITY = "retain_institution_identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_FULL_DATES = "retain_longitudinal_full_dates"
    RETAIN_MODIFIED_DATES = "retain_longitudinal_modified_dates"
    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_STRUCTURED_CONTENT = "clean_structured_content"
    CLEAN_GRAPHICS = "clean_graphics"
    CLEAN_PIXEL_DATA = "clean_pixel_data"
    CLEAN_VISUAL_FEATURES = "clean_recognizable_visual_features"


class Unlisted(StrEnum):
    """What becomes of attributes that Table E.1-1 does not list."""

    BY_REPRESENTATION = "by_representation"
    """Names, free text, dates and UIDs are cleaned by their value representation; numbers and codes stay."""
    ALLOW_LIST = "allow_list"
    """Only attributes on the modality's list stay."""


class TextSearch(StrEnum):
    """Which images are searched for burned-in text by character recognition (extra ``ocr``)."""

    DOUBTFUL = "doubtful"
    ALL = "all"
    OFF = "off"


class SafePrivate(Section):
    """A private attribute that a site vouches for (PS3.15 section E.3.10)."""

    creator: str = Field(min_length=1, max_length=64)
    """Private creator, letter by letter."""
    group: int = Field(ge=9, le=0xFFFF)
    """Odd group number."""
    element: int = Field(ge=0, le=0xFF)
    """The two low digits of the element number."""
    representation: str = Field(default="", pattern="^([A-Z]{2})?$")
    """Value representation that it must have; empty for any."""

    @model_validator(mode="after")
    def _check_group(self) -> Self:
        if self.group % 2 == 0:
            raise ValueError("a private group has an odd number")
        return self


class KeptAttribute(StrEnum):
    """What may be kept beside the images, banded, for scores by subgroup."""

    SEX = "sex"
    AGE_BAND = "age_band"
    MANUFACTURER = "manufacturer"
    MODEL = "model"
    FIELD_STRENGTH = "field_strength"


class DeidProfile(Section):
    """How to de-identify; the Basic Profile is what remains without options."""

    name: str = Field(default="basic", pattern="^[a-z0-9][a-z0-9-]{0,39}$")
    """How reports call it."""
    mode: Mode = Mode.RELEASE
    """Where the objects go."""
    options: frozenset[Option] = frozenset()
    """Options on top of the Basic Profile."""
    unlisted: Unlisted = Unlisted.BY_REPRESENTATION
    """Attributes that the table does not list."""
    safe_private: tuple[SafePrivate, ...] = ()
    """Private attributes that stay if the option retain_safe_private is set."""
    words: tuple[str, ...] = ()
    """Words that clean descriptors may keep beside the vocabulary of the package."""
    text_search: TextSearch = TextSearch.DOUBTFUL
    """Images that are searched for burned-in text."""
    keep_in_manifest: tuple[KeptAttribute, ...] = ()
    """Attributes that the manifest of the output keeps, in bands."""
    quarantine_faces: Literal["warn", "quarantine"] = "warn"
    """What becomes of a head series whose face is not taken out."""

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES} <= self.options:
            raise ValueError("full dates and modified dates exclude each other")
        return self

    @model_validator(mode="after")
    def _check_safe_private(self) -> Self:
        if self.safe_private and Option.RETAIN_SAFE_PRIVATE not in self.options:
            raise ValueError("safe_private needs the option retain_safe_private")
        return self
