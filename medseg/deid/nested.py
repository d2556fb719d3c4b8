"""Items of sequences: read within bounds, thinned out, and taken apart."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medseg.io.dicom_file import check_sequence

from .elements import Raw, stored
from .values import decoded


def items_of(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; empty if it is absent or no sequence.

    Raises:
        ReadError: If it is damaged or exceeds the limits.
    """
    element = dataset.get_item(tag) if tag in dataset else None
    if element is None:
        return []
    if isinstance(element, Raw):
        check_sequence(element.value or b"")
    value = dataset[tag].value
    return list(value) if isinstance(value, Items) else []


def keep_items(dataset: Dataset, tag: int, items: Sequence[Dataset]) -> None:
    """Leave only these items in a sequence, and no sequence if there are none."""
    if items:
        dataset[tag].value = Items(items)
    else:
        del dataset[tag]


def part(dataset: Dataset, tag: int) -> Dataset:
    """A data set of the same encoding with this one element."""
    alone = Dataset()
    alone.set_original_encoding(*dataset.original_encoding, dataset.original_character_set)
    alone[tag] = dataset.get_item(tag)
    return alone


def text_of(dataset: Dataset, tag: int) -> str:
    """The text of an element; empty if it is absent."""
    if tag not in dataset:
        return ""
    return decoded(stored(dataset, dataset.get_item(tag)), encodings_of(dataset))


def encodings_of(dataset: Dataset) -> tuple[str, ...]:
    """Python codecs of the character sets of a data set or item, the first for what has no escape sequence."""
    found = dataset.original_character_set or "iso8859"
    return (found,) if isinstance(found, str) else tuple(found)
