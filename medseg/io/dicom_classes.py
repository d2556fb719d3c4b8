"""Kinds of DICOM objects that are made of images and are none themselves: no model takes them."""

from __future__ import annotations

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage, which pydicom 3.0 does not know."""

_ROOT = "1.2.840.10008.5.1.4.1.1."
_FAMILIES = tuple(
    _ROOT + family
    for family in (
        "11.",  # presentation states
        "66.",  # registrations, fiducials, segmentations
        "88.",  # structured reports, of radiation doses too, and key objects
        "104.",  # encapsulated documents
    )
)
_OTHERS = frozenset(_ROOT + one for one in ("67", "481.3", "481.5"))  # real world values, RT structure sets and plans
_MODALITIES = frozenset(("SEG", "RTSTRUCT", "RTPLAN", "SR", "KO", "PR", "REG", "FID", "RWV", "DOC", "M3D"))


def is_derived(sop_class: str) -> bool:
    """Whether objects of a SOP class are outlines, reports and the like (PS3.4 table B.5-1); False if it is unknown."""
    return sop_class.startswith(_FAMILIES) or sop_class in _OTHERS


def is_derived_modality(modality: str) -> bool:
    """The same for a modality (PS3.3 section C.7.3.1.1.1)."""
    return modality in _MODALITIES
