"""Derives ``iod_types.json`` and ``allow_list.json`` of medseg.deid from the IOD tables that highdicom carries.

Run by a maintainer when a new edition is out: ``python scripts/iod_types.py`` (needs highdicom, a dev dependency). Both
files say which version they came from. Definitions: PS3.3 annex A (IODs, modules), PS3.5 section 7.4 (types).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from medseg.deid.table import read_table
from medseg.deid.technical import KEPT_BINARY, KEPT_TEXT

STRICTEST = ("1", "1C", "2", "2C", "3")
CLEANED_REPRESENTATIONS = {"LO", "SH", "ST", "LT", "UC", "UT", "UR", "PN", "AE", "DA", "DT", "TM", "AS"}
ASKED_REPRESENTATIONS = CLEANED_REPRESENTATIONS | {"UI"}
BINARY_REPRESENTATIONS = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
OWNER_MODULES = ("patient", "general-study", "patient-study", "clinical-trial-subject", "clinical-trial-study")
UNNEEDED_MODULES = ("patient-study", "clinical-trial-subject", "clinical-trial-study", "clinical-trial-series")
OWNER_PREFIXES = ("patient-identification", "patient-demographic", "patient-medical", "patient-relationship", "visit-")
DEIDENTIFICATION = {0x00120062, 0x00120063, 0x00120064}
TEXT_VALUE = 0x0040A160  # of type 1C, for a content item has one value of many
NOT_NEEDED = {
    "CodingSchemeResourcesSequence",  # network addresses
    "HL7StructuredDocumentReferenceSequence",
    "DICOMRetrievalSequence",
    "DICOMMediaRetrievalSequence",
    "WADORetrievalSequence",
    "WADORSRetrievalSequence",
    "XDSRetrievalSequence",
    "RetrieveURL",
    "RetrieveLocationUID",
    "StorageMediaFileSetID",
    "StorageMediaFileSetUID",
    "ICCProfile",  # may carry text
    "EncryptedAttributesSequence",
    "MACParametersSequence",  # signatures do not survive a change
    "PrivateDataElementCharacteristicsSequence",
}
IODS = {
    "CT": ["ct-image", "enhanced-ct-image", "legacy-converted-enhanced-ct-image"],
    "MR": [
        "mr-image",
        "enhanced-mr-image",
        "enhanced-mr-color-image",
        "legacy-converted-enhanced-mr-image",
        "mr-spectroscopy",
    ],
    "PT": ["positron-emission-tomography-image", "enhanced-pet-image", "legacy-converted-enhanced-pet-image"],
    "NM": ["nuclear-medicine-image"],
    "US": ["ultrasound-image", "ultrasound-multi-frame-image", "enhanced-us-volume"],
    "CR": ["computed-radiography-image"],
    "DX": ["digital-x-ray-image"],
    "MG": ["digital-mammography-x-ray-image", "breast-tomosynthesis-image", "breast-projection-x-ray-image"],
    "IO": ["digital-intra-oral-x-ray-image"],
    "XA": ["x-ray-angiographic-image", "enhanced-xa-image", "x-ray-3d-angiographic-image"],
    "RF": ["x-ray-radiofluoroscopic-image", "enhanced-xrf-image"],
    "OT": [
        "secondary-capture-image",
        "multi-frame-single-bit-secondary-capture-image",
        "multi-frame-grayscale-byte-secondary-capture-image",
        "multi-frame-grayscale-word-secondary-capture-image",
        "multi-frame-true-color-secondary-capture-image",
        "parametric-map",
    ],
    "SEG": ["segmentation", "surface-segmentation", "height-map-segmentation"],
    "RTSTRUCT": ["rt-structure-set"],
    "RTDOSE": ["rt-dose"],
    "RTPLAN": ["rt-plan", "rt-ion-plan"],
    "RTIMAGE": ["rt-image", "enhanced-rt-image", "enhanced-continuous-rt-image"],
    "SR": [
        "basic-text-sr",
        "enhanced-sr",
        "comprehensive-sr",
        "comprehensive-3d-sr",
        "extensible-sr",
        "x-ray-radiation-dose-sr",
        "mammography-cad-sr",
    ],
    "KO": ["key-object-selection-document"],
    "PR": [
        "grayscale-softcopy-presentation-state",
        "color-softcopy-presentation-state",
        "pseudo-color-softcopy-presentation-state",
        "blending-softcopy-presentation-state",
    ],
    "REG": ["spatial-registration", "deformable-spatial-registration"],
    "RWV": ["real-world-value-mapping"],
    "SM": ["vl-whole-slide-microscopy-image", "vl-microscopic-image", "vl-slide-coordinates-microscopic-image"],
    "ANN": ["microscopy-bulk-simple-annotations"],
    "XC": ["vl-photographic-image", "video-photographic-image", "dermoscopic-photography-image"],
    "ES": ["vl-endoscopic-image", "video-endoscopic-image"],
    "OP": ["ophthalmic-photography-8-bit-image", "ophthalmic-photography-16-bit-image"],
    "OPT": ["ophthalmic-tomography-image", "ophthalmic-optical-coherence-tomography-b-scan-volume-analysis"],
}
ALIASES = {"PX": "DX", "SC": "OT", "GM": "SM", "DMS": "XC", "KER": "OT", "CTPROTOCOL": "CT"}
COMMON_TO = ("CT", "MR", "PT", "US", "DX", "XA", "OT")
BASE_MODULES = ("frame-of-reference", "image-plane", "multi-frame", "multi-frame-dimension", "modality-lut", "voi-lut")


class Attribute(NamedTuple):
    """An attribute of a module: its type, and the sequences that it lies in, outermost first."""

    tag: int
    kind: str
    parents: tuple[int, ...]


class Standard:
    """The tables of highdicom, with tags instead of keywords."""

    def __init__(self) -> None:
        self.sop_classes: dict[str, str] = _read("sop_class_iod_map")
        self._iods: dict[str, list[dict[str, str]]] = _read("iod_module_map")
        self._modules: dict[str, list[dict[str, Any]]] = _read("module_attribute_map")

    def iods(self) -> list[str]:
        """Names of the IODs of storage SOP classes, in order."""
        return sorted(set(self.sop_classes.values()))

    def module(self, name: str) -> Iterable[Attribute]:
        """Its attributes; repeating groups, which no dictionary names, are left out."""
        for row in self._modules.get(name, ()):
            tag = tag_for_keyword(row["keyword"])
            if tag is not None and row["type"] in STRICTEST:
                yield Attribute(tag, row["type"], tuple(tag_for_keyword(keyword) or 0 for keyword in row["path"]))

    def attributes(self, iod: str, *, without: tuple[str, ...] = ()) -> Iterable[Attribute]:
        """The attributes of all modules of an IOD but those named."""
        for module in self._iods[iod]:
            if module["key"] not in without:
                yield from self.module(module["key"])

    def owners(self) -> set[int]:
        """Top-level attributes of the modules that say whose study it is."""
        names = [name for name in self._modules if name in OWNER_MODULES or name.startswith(OWNER_PREFIXES)]
        return {row.tag for name in names for row in self.module(name) if not row.parents} - DEIDENTIFICATION


def main() -> None:
    """Write both files into the package."""
    standard = Standard()
    folder = Path(__file__).parents[1] / "medseg" / "deid" / "data"
    _write(folder / "iod_types.json", iod_types(standard))
    _write(folder / "allow_list.json", allow_lists(standard))


def iod_types(standard: Standard) -> dict[str, Any]:
    """Types of the attributes that the table leaves a choice for, or that hold what identifies, by IOD."""
    iods = standard.iods()
    types: dict[int, dict[int, str]] = defaultdict(dict)
    for number, iod in enumerate(iods):
        for tag, kind, parents in standard.attributes(iod):
            if not parents and _is_asked(tag):
                types[tag][number] = min(kind, types[tag].get(number, "3"), key=STRICTEST.index)
    rows = {tag: row for tag, row in types.items() if _has_choice(tag) or set(row.values()) - {"3"}}
    return {
        "_note": _note("attribute types at the top level of the IODs; types: tag, type, numbers of IODs"),
        "sop_classes": {uid: iods.index(iod) for uid, iod in sorted(standard.sop_classes.items())},
        "patient_and_study": _hexadecimal(standard.owners()),
        "types": {f"{tag:08X}": _by_type(rows[tag]) for tag in sorted(rows)},
    }


def allow_lists(standard: Standard) -> dict[str, Any]:
    """Tags that the images of each modality need, and what all of them share as ``base``."""
    lists = {name: _allowed(standard, iods) for name, iods in IODS.items()}
    geometry = _needed(row for name in BASE_MODULES for row in standard.module(name))
    base = set.intersection(*(lists[name] for name in COMMON_TO)) | geometry
    shown = {name: _hexadecimal(tags - base) for name, tags in lists.items()}
    return {
        "_note": _note(
            f"attributes that images need, at any depth; base: geometry, and what {', '.join(COMMON_TO)} share"
        ),
        "lists": {"base": _hexadecimal(base)} | shown | {name: shown[of] for name, of in ALIASES.items()},
    }


def _allowed(standard: Standard, iods: Iterable[str]) -> set[int]:
    owners = standard.owners()
    rows = [row for iod in iods for row in standard.attributes(iod, without=UNNEEDED_MODULES)]
    return _needed(row for row in rows if row.parents or row.tag not in owners or row.kind in ("1", "2"))


def _needed(attributes: Iterable[Attribute]) -> set[int]:
    """Tags of the attributes that may stay, and lie in sequences that may stay."""
    rows = list(attributes)
    candidates = {row.tag for row in rows if _may_stay(row)}
    return {row.tag for row in rows if candidates.issuperset((*row.parents, row.tag))}


def _may_stay(row: Attribute) -> bool:
    """Whether the table does not remove it, and it is technical or the IOD demands it."""
    rule = read_table().rules.get(row.tag)
    if keyword_for_tag(row.tag) in NOT_NEEDED or (rule is not None and rule.basic == "X"):
        return False
    if row.kind in ("1", "2") or row.tag in KEPT_TEXT | KEPT_BINARY | {TEXT_VALUE}:
        return True
    return not set(dictionary_VR(row.tag).split(" or ")) & (CLEANED_REPRESENTATIONS | BINARY_REPRESENTATIONS)


def _is_asked(tag: int) -> bool:
    return _has_choice(tag) or dictionary_VR(tag) in ASKED_REPRESENTATIONS


def _has_choice(tag: int) -> bool:
    rule = read_table().rules.get(tag)
    return rule is not None and "/" in rule.basic


def _by_type(row: Mapping[int, str]) -> dict[str, list[int]]:
    return {
        kind: [number for number, found in sorted(row.items()) if found == kind]
        for kind in STRICTEST
        if kind in row.values()
    }


def _hexadecimal(tags: Iterable[int]) -> list[str]:
    return [f"{tag:08X}" for tag in sorted(tags)]


def _note(what: str) -> dict[str, str]:
    return {
        "what": what,
        "source": f"highdicom {version('highdicom')} (MIT), highdicom/_standard/*.json, derived from PS3.3",
        "table": f"PS3.15 Table E.1-1, edition {read_table().edition}",
        "made by": "scripts/iod_types.py; do not edit",
    }


def _read(name: str) -> Any:
    return json.loads(files("highdicom").joinpath(f"_standard/{name}.json").read_text(encoding="utf-8"))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
