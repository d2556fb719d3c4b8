"""What an object says about its own de-identification: (0012,0062) to (0012,0064), (0028,0301) to (0028,0303)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import version

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medseg.config.deid import Option
from medseg.core.errors import DataError
from medseg.core.pseudonyms import ProjectKey
from medseg.io.dicom_file import check_sequence

from .elements import Raw, bare, stored
from .policy import PATIENT_ID, Policy
from .table import Code, read_table

_METHOD, _METHOD_CODES, _REMOVED = 0x00120063, 0x00120064, 0x00120062
_BURNED_IN, _FACES, _DATES = 0x00280301, 0x00280302, 0x00280303
_PIXEL_STEPS = (Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES)
_CLEANING = (None, Option.CLEAN_GRAPHICS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_DESCRIPTORS)


@dataclass(frozen=True)
class History:
    """What was done to an object before.

    Attributes:
        is_ours: Whether this key made its patient ID and it says so.
        dates: What it says of its dates: REMOVED, MODIFIED, UNMODIFIED or nothing.
        done: Cleaning that it claims; pixel steps count only if they were ours.
    """

    is_ours: bool
    dates: str
    done: frozenset[Option | None]

    @property
    def is_shifted(self) -> bool:
        """Whether its dates have been moved by this key's offset."""
        return self.is_ours and self.dates == "MODIFIED"


def read_history(dataset: Dataset, key: ProjectKey) -> History:
    """What an object claims about earlier de-identification, as far as the claim can be trusted."""
    element = dataset.get_item(_METHOD) if _METHOD in dataset else None
    methods = stored(dataset, element).decode("latin-1").split("\\") if element is not None else []
    ours = key.made_name(bare(dataset, PATIENT_ID)) and f"key {key.fingerprint}" in [one.strip() for one in methods]
    believed = (*_CLEANING, *_PIXEL_STEPS) if ours else _CLEANING
    claimed = _claimed_codes(dataset)
    done = frozenset(option for option in believed if read_table().codes[option].value in claimed)
    return History(ours, bare(dataset, _DATES), done)


def unmark(dataset: Dataset) -> None:
    """Take out what an object says of earlier de-identification; ``mark`` says it anew."""
    for tag in (_REMOVED, _METHOD, _METHOD_CODES, _DATES):
        if tag in dataset:
            del dataset[tag]


def mark(dataset: Dataset, policy: Policy, key: ProjectKey, claims: frozenset[Option], history: History) -> None:
    """Write what was done, and nothing that was not."""
    table, steps = read_table(), frozenset(_PIXEL_STEPS)
    done = (policy.options - steps) | (claims & steps) | history.done
    dataset.add_new(_REMOVED, "CS", "YES")
    method = (f"medseg {_version()}", f"PS3.15 Table E.1-1 {table.edition}", f"profile {policy.profile.name}")
    dataset.add_new(_METHOD, "LO", [*method, f"key {key.fingerprint}"])
    order = [None, *Option]
    codes = [table.codes[option] for option in order if option is None or option in done]
    dataset.add_new(_METHOD_CODES, "SQ", Items([_coded(code) for code in sorted(codes, key=lambda code: code.value)]))
    dataset.add_new(_DATES, "CS", _dates(policy.options, history))
    if Option.CLEAN_PIXEL_DATA in done:
        dataset.add_new(_BURNED_IN, "CS", "NO")
    if Option.CLEAN_VISUAL_FEATURES in done:
        dataset.add_new(_FACES, "CS", "NO")


@functools.cache
def _version() -> str:
    return version("medseg")


def _dates(options: frozenset[Option], history: History) -> str:
    if Option.RETAIN_MODIFIED_DATES in options:
        return "MODIFIED"
    if Option.RETAIN_FULL_DATES in options:
        return history.dates if history.dates in ("MODIFIED", "REMOVED") else "UNMODIFIED"
    return "REMOVED"


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def _claimed_codes(dataset: Dataset) -> set[str]:
    if _METHOD_CODES not in dataset:
        return set()
    element = dataset.get_item(_METHOD_CODES)
    try:
        if isinstance(element, Raw):
            check_sequence(element.value or b"")
        items = dataset[_METHOD_CODES].value or []
        return {bare(item, 0x00080100) for item in items if bare(item, 0x00080102) == "DCM"}
    except (DataError, AttributeError, TypeError):  # a claim that cannot be read is none
        return set()
