"""Kinds of DICOM objects that are made of images and are none themselves: no model takes them."""

from __future__ import annotations

from pydicom import uid

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage, which pydicom 3.0 does not know."""

_DERIVED = frozenset(
    (
        *map(str, (uid.SegmentationStorage, uid.SurfaceSegmentationStorage, uid.RTStructureSetStorage)),
        *map(str, (uid.BasicTextSRStorage, uid.EnhancedSRStorage, uid.ComprehensiveSRStorage)),
        *map(str, (uid.Comprehensive3DSRStorage, uid.ExtensibleSRStorage, uid.KeyObjectSelectionDocumentStorage)),
        *map(str, (uid.GrayscaleSoftcopyPresentationStateStorage, uid.ColorSoftcopyPresentationStateStorage)),
        *map(str, (uid.SpatialRegistrationStorage, uid.RealWorldValueMappingStorage, uid.EncapsulatedPDFStorage)),
        LABEL_MAP_STORAGE,
    )
)
_DERIVED_MODALITIES = frozenset(("SEG", "RTSTRUCT", "SR", "KO", "PR", "REG", "RWV", "DOC"))


def is_derived(sop_class: str) -> bool:
    """Whether objects of a SOP class are outlines, reports and the like (PS3.4 table B.5-1); False if it is unknown."""
    return sop_class in _DERIVED


def is_derived_modality(modality: str) -> bool:
    """The same for a modality (PS3.3 section C.7.3.1.1.1)."""
    return modality in _DERIVED_MODALITIES
