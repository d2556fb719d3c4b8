"""Which images may show text: rules on the header, which doubt what they do not know.

BurnedInAnnotation (0028,0301) is believed where it says yes, never where it says no or is missing: two real ultrasound
images with a name in their pixels had one of each. The exception are slides, where it is mandatory and the label has an
image of its own.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from medseg.core.errors import ReadError
from medseg.io.dicom_header import PIXEL_TAGS

from .burned_in_rules import device_doubt
from .header_values import figure, word, words

_SOP_CLASS, _MODALITY, _IMAGE_TYPE, _BURNED_IN, _LABEL_SHOWN = (
    0x00080016,
    0x00080060,
    0x00080008,
    0x00280301,
    0x00480010,
)
_SAMPLES, _BITS, _PHOTOMETRIC = 0x00280002, 0x00280100, 0x00280004
_CONVERSION, _CAPTURE_DEVICE = 0x00080064, (0x00181010, 0x00181012, 0x00181016, 0x00181018)
_ORIENTATION, _FUNCTIONAL_GROUPS = 0x00200037, (0x52009229, 0x52009230)
_IMAGES = "1.2.840.10008.5.1.4.1.1."
_NOT_PICTURES = {
    *(_IMAGES + end for end in ("66", "66.1", "66.2", "66.3", "66.4", "66.5", "66.7", "30")),
    *(_IMAGES + end for end in ("481.2", "481.3", "481.5", "67")),
}
"""Segmentations, registrations, real world values, parametric maps, doses, structures: numbers, drawn by no scanner."""
_SLICES = {
    "CT": (_IMAGES + "2", _IMAGES + "2.1", _IMAGES + "2.2"),
    "MR": (_IMAGES + "4", _IMAGES + "4.1", _IMAGES + "4.4"),
    "PT": (_IMAGES + "128", _IMAGES + "128.1", _IMAGES + "130"),
    "NM": (_IMAGES + "20",),
}
"""Images that scanners compute; colour ones are not among them."""
_SLIDE = _IMAGES + "77.1.6"
_KINDS = {
    "US": "an ultrasound image, which mostly shows the patient's name",
    "IVUS": "an ultrasound image, which mostly shows the patient's name",
    "SC": "a secondary capture",
    "OT": "an image of no known kind",
    "DOC": "a scanned document",
    "XA": "an angiography",
    "RF": "a fluoroscopy",
    "CR": "a radiograph",
    "DX": "a radiograph",
    "MG": "a mammogram",
    "ES": "an endoscopy",
    "XC": "a photograph",
}


def doubt(dataset: Dataset) -> str | None:
    """Why the pixels may show text, as part of a sentence without a value; None if the rules say that they do not.

    Without doubt are original, primary grey slices of CT, MR, PET and nuclear medicine that know where they lie, and
    objects without pixels or with pixels that are no picture: segmentations, doses, parametric maps.

    Args:
        dataset: Without group 2; its elements may be raw.

    References:
        PS3.3 sections C.7.6.1.1.2 (Image Type), C.8.6.1 (SC Equipment), C.7.6.1 (Burned In Annotation).
    """
    if not any(tag in dataset for tag in PIXEL_TAGS):
        return None
    if says_text(dataset):
        return "the header says that there is text"
    sop_class = word(dataset, _SOP_CLASS)
    if sop_class in _NOT_PICTURES:
        return None
    if sop_class == _SLIDE:
        return _slide_doubt(dataset)
    modality = next((name for name, classes in _SLICES.items() if sop_class in classes), None)
    if modality is None:
        return _KINDS.get(word(dataset, _MODALITY), "an image of a kind that may show text")
    return _slice_doubt(dataset, modality) or device_doubt(dataset)


def says_text(dataset: Dataset) -> bool:
    """Whether the header says that text is burned in."""
    return word(dataset, _BURNED_IN) == "YES"


def _slide_doubt(dataset: Dataset) -> str | None:
    kinds = words(dataset, _IMAGE_TYPE)
    if "VOLUME" in kinds and word(dataset, _BURNED_IN) == "NO" and word(dataset, _LABEL_SHOWN) != "YES":
        return None
    return "an image of a slide that may show its label"


def _slice_doubt(dataset: Dataset, modality: str) -> str | None:
    kinds = words(dataset, _IMAGE_TYPE)
    if len(kinds) < 2 or kinds[0] != "ORIGINAL" or kinds[1] != "PRIMARY":
        return "derived or secondary, or of unknown origin, by its image type"
    if word(dataset, _MODALITY) not in (modality, ""):
        return "the modality is not that of the kind of object"
    if _CONVERSION in dataset or any(tag in dataset for tag in _CAPTURE_DEVICE):
        return "made by a device that captures pictures"
    if not _is_grey_and_deep(dataset, modality):
        return "in colour or of 8 bits, as copies of a screen are"
    if modality != "NM" and not any(tag in dataset for tag in (_ORIENTATION, *_FUNCTIONAL_GROUPS)):
        return "without a place in the patient, as copies of a screen are"
    return None


def _is_grey_and_deep(dataset: Dataset, modality: str) -> bool:
    try:
        samples, bits = figure(dataset, _SAMPLES, 1), figure(dataset, _BITS, 16)
    except ReadError:
        return False
    is_grey = samples == 1 and word(dataset, _PHOTOMETRIC) in ("MONOCHROME1", "MONOCHROME2", "")
    return is_grey and (bits > 8 or modality == "NM")
