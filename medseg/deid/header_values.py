"""Values of elements that are raw or not, for rules: words in capitals, finite numbers."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset

from medseg.core.errors import ReadError
from medseg.io.dicom_header import numbers, parsing

from .elements import stored


def words(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """The values of a text element, in capitals and without padding; none if it is absent or empty."""
    if tag not in dataset:
        return ()
    text = stored(dataset, dataset.get_item(tag)).decode("latin-1")
    values = tuple(part.strip(" \0").upper() for part in text.split("\\"))
    return values if any(values) else ()


def word(dataset: Dataset, tag: int) -> str:
    """The first value of a text element, in capitals; empty if it is absent."""
    return (words(dataset, tag) or ("",))[0]


def figures(dataset: Dataset, tag: int) -> tuple[float, ...]:
    """The numbers of an element; none if it is absent.

    Raises:
        ReadError: If one is no finite number.
    """
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None or element.is_raw:
        return numbers(dataset, tag)
    with parsing("a number"):
        value = element.value
        several = value if isinstance(value, list | tuple) or hasattr(value, "__getitem__") else [value]
        found = tuple(float(one) for one in (several if value not in (None, "") else []))
        if not all(map(math.isfinite, found)):
            raise ReadError("a number is not finite")
        return found


def figure(dataset: Dataset, tag: int, default: int) -> int:
    """The first number of an element as an integer.

    Raises:
        ReadError: If it is no finite number.
    """
    found = figures(dataset, tag)
    return int(found[0]) if found else default
