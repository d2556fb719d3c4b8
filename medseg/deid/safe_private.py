"""Private elements that a site vouches for (PS3.15 section E.3.10); all others go.

The items of a private sequence are cleaned like those of any other, so one that cannot be looked into goes too.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from medseg.config.deid import SafePrivate

from .elements import bare, stored

_UNKNOWN = ("", None, "UN")
_ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


def safe_blocks(dataset: Dataset, safe: Sequence[SafePrivate]) -> frozenset[int]:
    """Tags of the private elements of this data set that stay, with the creators that reserve their blocks.

    A creator that reserves two blocks of a group in one item is ambiguous: nothing of it stays.

    Args:
        dataset: One item; those nested in it are asked for by themselves.
        safe: The site's list.
    """
    kept: set[int] = set()
    for one in safe:
        blocks = [block for block in range(0x10, 0x100) if bare(dataset, one.group << 16 | block) == one.creator]
        if len(blocks) != 1:
            continue
        tag = one.group << 16 | blocks[0] << 8 | one.element
        if tag in dataset and _has_representation(dataset, tag, one.representation):
            kept.update((tag, one.group << 16 | blocks[0]))
    return frozenset(kept)


def _has_representation(dataset: Dataset, tag: int, representation: str) -> bool:
    element = dataset.get_item(tag)
    if element.VR in _UNKNOWN and stored(dataset, element).startswith(_ITEM):
        return False  # a sequence, which nobody has opened
    return element.VR in ("", None, representation) or not representation
