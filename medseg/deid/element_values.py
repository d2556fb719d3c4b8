"""The values of all elements of a data set at every depth, as bytes, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from .attribute_names import shown_tag
from .elements import stored
from .policy import effective_vr


@dataclass(frozen=True, eq=False)
class ElementValue:
    """One element that is no sequence.

    Attributes:
        path: Tags from the outermost sequence to the element, with the number of each item from 0.
        tag: Of the element.
        vr: Value representation; ``UN`` if nobody knows it.
        value: As stored.
        item: The data set or item that it stands in.
    """

    path: str
    tag: int
    vr: str
    value: bytes = field(repr=False)
    item: Dataset = field(repr=False)


def element_values(dataset: Dataset, above: str = "") -> Iterator[ElementValue]:
    """All elements that are no sequence, in their order; ``above`` is the path of the data set itself."""
    for tag, element in list(dataset.items()):
        path = above + shown_tag(int(tag))
        if element.VR == "SQ" and not element.is_raw:
            for number, item in enumerate(element.value or []):
                yield from element_values(item, f"{path}[{number}]")
        else:
            vr = effective_vr(int(tag), element.VR) or element.VR or "UN"
            yield ElementValue(path, int(tag), vr, stored(dataset, element), dataset)


def sequences_in(dataset: Dataset, above: str = "") -> Iterator[tuple[str, int]]:
    """Path and tag of all sequences that have items."""
    for tag, element in list(dataset.items()):
        if element.VR == "SQ" and not element.is_raw and element.value:
            path = above + shown_tag(int(tag))
            yield path, int(tag)
            for number, item in enumerate(element.value):
                yield from sequences_in(item, f"{path}[{number}]")
