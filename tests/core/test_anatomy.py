"""The dictionary of structures: names that are known, codes that are right, colours that can be told apart."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr import _concepts_dict as dicom
from skimage.color import deltaE_ciede2000, rgb2lab

from medseg.core.anatomy import (
    CATEGORIES,
    colours_of,
    described,
    entries,
    known_structure,
    name_key,
    structures_of,
)
from medseg.core.labels import CodedConcept, Laterality, Structure, palette_colour

HERE = Path(__file__).parent
LEFT, RIGHT, BOTH = Laterality


def rows(name: str) -> list[dict[str, str]]:
    text = (HERE / name).read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in text if not line.startswith("#")))


def dicom_meanings(scheme: str) -> dict[str, set[str]]:
    meanings: dict[str, set[str]] = {}
    for coded in dicom.concepts[scheme].values():
        for code, (meaning, _) in coded.items():
            meanings.setdefault(code, set()).add(meaning.casefold())
    return meanings


DICOM = {scheme: dicom_meanings(scheme) for scheme in ("SCT", "NCIt")}
ELSEWHERE = {row["code"]: row["term"] for row in rows("snomed_terms.csv")}


def difference(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """How different two colours look (CIEDE2000); 1 is just noticeable, 10 at a glance."""
    lab = [rgb2lab(np.array(colour) / 255) for colour in (first, second)]
    return float(deltaE_ciede2000(*lab))


def test_there_are_many():
    assert len(entries()) > 300


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.known.name.replace(" ", "_"))
def test_every_code_means_what_the_table_says(entry):
    code = entry.known.code
    known = DICOM[code.scheme].get(code.value)
    if known is not None:
        assert code.meaning.casefold() in known
    else:
        words = set(re.findall(r"\w+", ELSEWHERE[code.value].casefold()))
        stems = {"cochlea": "cochlear", "pons": "pontine", "hypothalamus": "hypothalamic", "fatty": "adipose"}
        ordinal = {"s1": "first", **stems}
        assert {ordinal.get(word, word) for word in re.findall(r"\w+", code.meaning.casefold())} <= words


def test_categories_are_those_of_dicom():
    codes = [code for code in CATEGORIES.values() if code is not None]
    assert all(code.meaning.casefold() in DICOM["SCT"][code.value] for code in codes)


def test_one_meaning_has_one_code():
    codes = {(entry.known.code.value, entry.known.code.meaning) for entry in entries()}
    assert max(Counter(code for code, _ in codes).values()) == 1


@pytest.mark.parametrize("row", rows("totalsegmentator_codes.csv"), ids=lambda row: row["name"])
def test_totalsegmentators_classes_have_its_codes(row):
    known = known_structure(row["name"])
    assert known is not None
    assert known.code.value == row["code"]
    if not known.code.meaning.lower().startswith(("left", "right")):
        assert (known.laterality or "") in (row["side"], "both" if row["name"].endswith("s") else "")


@pytest.mark.parametrize(
    ("name", "usual", "side"),
    [
        ("kidney", "kidney", None),
        ("Kidney_L", "kidney", LEFT),
        ("KIDNEY-RIGHT", "kidney", RIGHT),
        ("LKidney", "kidney", LEFT),
        ("KidneyRt", "kidney", RIGHT),
        ("lt kidney", "kidney", LEFT),
        ("Kidney (left)", "kidney", LEFT),
        ("kidneys", "kidney", BOTH),
        ("both lungs", "lung", BOTH),
        ("ovaries", "ovary", BOTH),
        ("lenses", "lens of eye", BOTH),
        ("Lens_R", "lens of eye", RIGHT),
        ("livers", "liver", None),
        ("upper lobe of left lung", "upper lobe of lung", LEFT),
        ("rib_left_1", "rib 1", LEFT),
        ("Rib01_R", "rib 1", RIGHT),
        ("RIB12_L", "rib 12", LEFT),
        ("first rib", "rib 1", None),
        ("VertebraeC1", "C1 vertebra", None),
        ("L5 vertebra", "L5 vertebra", None),
        ("LV myocardium", "left ventricular myocardium", None),
        ("RVCavity", "right ventricle", None),
        ("left ventricle", "left ventricle", None),
        ("left lateral ventricle", "lateral ventricle", LEFT),
        ("SpinalCord", "spinal cord", None),
        ("OpticNrv_L", "optic nerve", LEFT),
        ("Glnd_Submand_R", "submandibular gland", RIGHT),
        ("Oesophagus", "esophagus", None),
        ("peritumoral edema", "oedema", None),
        ("Non-Enhancing_Tumor", "non-enhancing tumour", None),
        ("GTV", "gross tumour volume", None),
    ],
)
def test_names_in_many_spellings(name, usual, side):
    known = known_structure(name)
    assert known is not None
    assert (known.name, known.laterality) == (usual, side)


@pytest.mark.parametrize(
    "name",
    ["", "left", "L", "T1", "C1", "L1", "LV", "structure 1", "kidney 1", "left right kidney", "liver spleen",
     "livers s", "left liver", "anterior", "livre", "kidney left left", "ies"],
)  # fmt: skip
def test_names_that_could_be_anything_are_not_known(name):
    assert known_structure(name) is None


def test_lesions_are_no_anatomical_structures():
    tumour = known_structure("liver tumor")
    assert tumour is not None
    assert tumour.category == CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    assert known_structure("liver").category is None
    assert known_structure("enhancing tumor").code == CodedConcept("C113842", "NCIt", "Enhancing Lesion")


def test_no_two_lines_share_a_name():
    names = Counter(
        name_key(name) for entry in entries() for name in {entry.known.name, *entry.synonyms}
        if known_structure(name).name != entry.known.name
    )  # fmt: skip
    assert not names


@pytest.mark.parametrize("entry", [one for one in entries() if one.sided], ids=lambda entry: entry.known.name)
def test_left_and_right_look_different(entry):
    left, right = (known_structure(f"{side} {entry.known.name}") for side in ("left", "right"))
    assert difference(left.colour, right.colour) > 15


@pytest.mark.parametrize(
    "neighbours",
    [
        ("liver", "left kidney", "right kidney", "spleen", "stomach", "gallbladder", "pancreas", "duodenum", "colon",
         "adrenal gland", "aorta", "inferior vena cava", "portal vein", "esophagus", "liver tumour"),
        ("left ventricle", "right ventricle", "myocardium", "left atrium", "right atrium", "aorta"),
        ("left ventricle", "right ventricle", "left ventricular myocardium"),
        ("bladder", "prostate", "rectum", "seminal vesicle", "femoral head", "penile bulb"),
        ("prostate peripheral zone", "prostate transition zone", "anterior fibromuscular stroma"),
        ("necrosis", "oedema", "enhancing tumour", "non-enhancing tumour"),
        ("hippocampus", "amygdala", "thalamus", "putamen", "caudate nucleus", "globus pallidus", "lateral ventricle"),
        ("parotid gland", "submandibular gland", "mandible", "spinal cord", "brainstem", "larynx", "oral cavity"),
        ("eye", "lens", "optic nerve", "optic chiasm", "lacrimal gland"),
        ("left upper lobe", "left lower lobe", "lung nodule", "heart", "trachea", "esophagus"),
        ("right upper lobe", "right middle lobe", "right lower lobe"),
        ("left kidney", "kidney tumour", "kidney cyst"),
        ("GTV", "CTV", "PTV"),
        *((f"{first} vertebra", f"{second} vertebra") for first, second in (("C1", "C2"), ("C2", "C3"), ("T4", "T5"))),
        *((f"rib {number}", f"rib {number + 1}") for number in range(1, 12)),
    ],
    ids=lambda names: names[0],
)  # fmt: skip
def test_neighbours_look_different(neighbours):
    colours = [known_structure(name).colour for name in neighbours]
    for index, colour in enumerate(colours):
        for other in range(index):
            assert difference(colour, colours[other]) > 10, (neighbours[index], neighbours[other])


def test_what_is_given_stays():
    own = CodedConcept("1", "99X", "mine")
    given = Structure("left kidney", 1, (1, 2, 3), own, own, RIGHT)
    assert described(given) == given
    bare = described(Structure("left kidney", 1, (1, 2, 3)))
    assert (bare.code, bare.category, bare.laterality) == (CodedConcept("64033007", "SCT", "Kidney"), None, LEFT)
    assert bare.colour == (1, 2, 3)
    assert described(Structure("thing", 1, (1, 2, 3))) == Structure("thing", 1, (1, 2, 3))


def test_colours_are_the_given_ones_then_the_dictionarys_then_the_palettes():
    liver, wrong = known_structure("liver").colour, (9, 9, 9)
    assert colours_of(["liver", "thing", "spleen"], [None, None, wrong]) == (liver, palette_colour(1), wrong)


def test_no_colour_is_given_out_twice():
    names = ["liver tumour", "kidney tumour", "thing", "liver"]
    colours = colours_of(names, [None, None, palette_colour(1), palette_colour(3)])
    assert len(set(colours)) == len(names)
    many = [f"thing {number}" for number in range(254)]
    assert len(set(colours_of(many, [palette_colour(253 - n) if n % 2 else None for n in range(254)]))) == 254


def test_structures_by_name_and_value():
    liver, thing = structures_of({"liver": 3, "thing": 7})
    assert (liver.value, liver.code.value, liver.colour) == (3, "10200004", known_structure("liver").colour)
    assert thing == Structure("thing", 7, palette_colour(1))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Kidney_L", "left kidney", True),
        ("bladder", "Urinary Bladder", True),
        ("GTV-1", "gtv 1", True),
        ("blob_R", "right blob", True),
        ("kidney", "left kidney", False),
        ("blob", "right blob", False),
    ],
)
def test_names_of_one_structure_share_a_key(first, second, same):
    assert (name_key(first) == name_key(second)) is same
