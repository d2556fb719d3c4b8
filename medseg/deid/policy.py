"""What happens to an attribute: the one place where a profile, the table and the value representation meet."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from pydicom.datadict import dictionary_VR

from medseg.config.deid import DeidProfile, Mode, Option, Unlisted
from medseg.io.dicom_header import PIXEL_TAGS

from .iod import attribute_type, patient_and_study_tags
from .structured import CONTENT_SEQUENCES
from .table import Rule, read_table
from .technical import CLASS_UIDS, KEPT_BINARY, KEPT_TEXT, allow_list
from .values import BULK_VRS, DATE_VRS, NUMBER_VRS, TEXT_VRS


class Action(StrEnum):
    """What is done to an attribute."""

    KEEP = "keep"
    """As it is, if its value has the form of its representation."""
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "replace"
    MAP_UID = "map UID"
    SHIFT = "shift date"
    WORDS = "keep known words"
    PSEUDONYM = "pseudonym"
    WALK = "clean items"
    """A sequence stays, and its items are cleaned."""
    CONTENT = "clean content"
    GRAPHICS = "clean graphics"


PATIENT_NAME, PATIENT_ID, ACCESSION, AGE = 0x00100010, 0x00100020, 0x00080050, 0x00101010
PSEUDONYMS = frozenset({PATIENT_NAME, PATIENT_ID, ACCESSION})
TIMEZONE = 0x00080201
_BODY_PART = 0x00180015  # a code by its representation, yet typed by hand on many scanners
_NEVER = frozenset({0x00282000, 0x04000500, 0x4FFE0001})  # ICC Profile, Encrypted Attributes, MAC Parameters
_ALWAYS = frozenset({0x00280002, 0x00080005})
_BASIC = {"X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY, "U": Action.MAP_UID, "U*": Action.WALK}
_CODES_BY_TYPE = {"1": "DUZX", "1C": "DUZX", "2": "ZDUX", "2C": "ZDUX", "3": "XZDU"}
_FOR_SEQUENCES = frozenset({Action.WALK, Action.CONTENT, Action.GRAPHICS})
_DATES = (Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES)


class Place(Protocol):
    """Where an attribute stands.

    Attributes:
        sop_class: Of the instance.
        modality: Of the instance.
        is_top: Whether it is outside of all sequences.
    """

    sop_class: str
    modality: str

    @property
    def is_top(self) -> bool:  # noqa: D102 - see above
        ...


class Policy:
    """The actions of one profile, each worked out once."""

    def __init__(self, profile: DeidProfile) -> None:
        self.profile = profile
        self.options = profile.options
        self.is_return = profile.mode is Mode.RETURN
        if self.is_return:
            self.options = (self.options | {Option.RETAIN_UIDS, Option.RETAIN_FULL_DATES}) - {
                Option.RETAIN_MODIFIED_DATES
            }
        self._rules = read_table().rules
        self._cache: dict[tuple[int, str | None, str, str, bool], Action] = {}

    def action(self, tag: int, vr: str | None, place: Place) -> Action:
        """What happens to the attribute ``tag`` there.

        Private attributes are not asked for here: they go, unless the profile's safe list has them.

        Args:
            tag: Its number.
            vr: Value representation in the file; None if the file does not say.
            place: Where it stands.
        """
        known = self._cache.get(key := (tag, vr, place.sop_class, place.modality, place.is_top))
        if known is None:
            known = self._cache[key] = self._decide(tag, vr, place)
        return known

    def fallback(self, tag: int, place: Place) -> Action:
        """What happens to an attribute whose value may not stay, so that the object still conforms."""
        if (rule := self._rules.get(tag)) is not None:
            return self._basic(rule, place)
        if not place.is_top:
            return Action.DUMMY
        kind = attribute_type(place.sop_class, tag)
        return Action.DUMMY if kind in ("1", "1C") else Action.EMPTY if kind in ("2", "2C") else Action.REMOVE

    def _decide(self, tag: int, vr: str | None, place: Place) -> Action:
        if self.is_return and place.is_top and tag in patient_and_study_tags():
            return Action.KEEP
        if (rule := self._rules.get(tag)) is not None:
            known = effective_vr(tag, vr)
            action = self._listed(rule, tag, known, place)
            if known != "SQ" and action in _FOR_SEQUENCES:
                return Action.REMOVE
            return Action.MAP_UID if action is Action.DUMMY and known == "UI" else action
        if is_never_kept(tag):
            return Action.REMOVE
        representation = effective_vr(tag, vr)
        listed = self.profile.unlisted is Unlisted.BY_REPRESENTATION or tag in allow_list(place.modality)
        if representation is None or not (listed or tag in _ALWAYS):
            return Action.REMOVE
        return self._by_representation(tag, representation, place)

    def _listed(self, rule: Rule, tag: int, vr: str | None, place: Place) -> Action:
        codes = {option: code for option, code in rule.options.items() if option in self.options}
        if tag == TIMEZONE and Option.RETAIN_FULL_DATES not in codes:
            return Action.REMOVE
        if vr in DATE_VRS and Option.RETAIN_MODIFIED_DATES in codes:
            return Action.SHIFT
        if vr is None and "K" in codes.values():
            return self._basic(rule, place)
        if "K" in codes.values():
            return Action.WALK if vr == "SQ" else Action.KEEP
        if "C" in codes.values():
            return self._cleaned(codes, vr, rule, place)
        if tag in PSEUDONYMS:
            return Action.PSEUDONYM
        return self._basic(rule, place)

    def _cleaned(self, codes: dict[Option, str], vr: str | None, rule: Rule, place: Place) -> Action:
        if Option.CLEAN_STRUCTURED_CONTENT in codes:
            return Action.CONTENT
        if Option.CLEAN_GRAPHICS in codes:
            return Action.GRAPHICS
        if vr == "SQ":
            return Action.WALK
        return Action.WORDS if vr in TEXT_VRS else self._basic(rule, place)

    def _basic(self, rule: Rule, place: Place) -> Action:
        codes = rule.basic.split("/")
        if len(codes) == 1 or "U*" in codes:
            return _BASIC[codes[-1]]
        kind = attribute_type(place.sop_class, int(rule.tag, 16)) if place.is_top else None
        order = _CODES_BY_TYPE.get(kind or "", "")
        return next((_BASIC[code] for code in order if code in codes), _BASIC[codes[-1]])

    def _by_representation(self, tag: int, vr: str, place: Place) -> Action:
        if vr == "SQ":
            is_content = tag in CONTENT_SEQUENCES and Option.CLEAN_STRUCTURED_CONTENT in self.options
            return Action.CONTENT if is_content else Action.WALK
        if vr in TEXT_VRS or tag == _BODY_PART:
            return Action.KEEP if tag in KEPT_TEXT else Action.WORDS
        if vr == "UI":
            return Action.KEEP if tag in CLASS_UIDS or Option.RETAIN_UIDS in self.options else Action.MAP_UID
        if vr in DATE_VRS:
            return self._unlisted_date(tag, place)
        if vr in BULK_VRS:
            is_searched = place.is_top or tag not in PIXEL_TAGS  # for text; pixels inside of sequences never are
            return Action.KEEP if tag in KEPT_BINARY and is_searched else Action.REMOVE
        if vr == "AS":
            return Action.KEEP if Option.RETAIN_PATIENT_CHARACTERISTICS in self.options else Action.REMOVE
        return Action.KEEP if vr in NUMBER_VRS or vr in ("CS", "DS", "IS") else self.fallback(tag, place)

    def _unlisted_date(self, tag: int, place: Place) -> Action:
        chosen = next((option for option in _DATES if option in self.options), None)
        if chosen is None:
            return self.fallback(tag, place)
        return Action.KEEP if chosen is Option.RETAIN_FULL_DATES else Action.SHIFT


def is_private(tag: int) -> bool:
    """Whether the group is odd."""
    return bool(tag >> 16 & 1)


def is_never_kept(tag: int) -> bool:
    """Whether it never stays: group lengths, commands, directory records, curves, overlays, encryption, padding ..."""
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0 or group in (0x0000, 0x0002, 0x0004, 0xFFFC, 0xFFFE) or tag in _NEVER:
        return True
    return group & 0xFF00 in (0x5000, 0x6000)


def effective_vr(tag: int, vr: str | None) -> str | None:
    """The representation to go by: the file's, unless it contradicts the dictionary in a way that could hide a text.

    Returns:
        None if nobody knows it, or file and dictionary do not agree whether it is a number, a text or bulk data.
    """
    known = _known_vr(tag)
    if known is None:
        return vr if tag in read_table().rules and vr != "UN" else None
    if vr in (None, "UN", known):
        return known.split(" or ")[0]
    if vr in known.split(" or "):
        return vr
    return vr if _family(str(vr)) == _family(known.split(" or ")[0]) else None


def written_vr(tag: int) -> str:
    """The representation that a replaced value gets where the file's counts for nothing."""
    return (_known_vr(tag) or "UN").split(" or ")[0]


def _known_vr(tag: int) -> str | None:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return None


def _family(vr: str) -> str:
    for name, members in (("text", TEXT_VRS), ("bulk", BULK_VRS), ("number", NUMBER_VRS | {"DS", "IS"})):
        if vr in members:
            return name
    return vr
