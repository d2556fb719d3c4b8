"""Free text keeps known words only, and no known word is a common name."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.deid.descriptors import Vocabulary, _folded

VOCABULARY = Vocabulary.load()
NAMES = Path(__file__).with_name("common_names.txt")


def unavoidable():
    lines = files("medseg.deid").joinpath("data/vocabulary.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.partition(":")[2] for line in lines if line.startswith("# Unavoidable:")]
    return {word.strip() for line in listed for word in line.split(",") if word.strip()}


def common_names():
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    return {_folded(name) for line in lines if not line.startswith("#") for name in line.split()}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("t1_mprage_sag_p2_iso", "t1 mprage sag p2 iso"),
        ("Thorax 5.0 B31f MEIER", "Thorax B31f"),
        ("CT ABDOMEN W/O CONTRAST 3mm", "CT ABDOMEN W O CONTRAST 3mm"),
        ("Müller, Hans: Schädel nativ", "Schädel nativ"),
        ("SCHAEDEL  SCHADEL\tschädel", "SCHAEDEL SCHADEL schädel"),
        ("T2* SWI 1.5 mm, b=1000", "T2* SWI 1.5 mm b 1000"),
        ("DWI b1234 b50 b0", "DWI b50 b0"),
        ("Knie re. nach OP am 12.03.1962", "Knie re nach OP"),
        ("Phase 2 30% 120kV 512x512", "Phase 2 30% 120kV 512x512"),
        ("PTV60 GTV_1 Rib 12", "PTV60 GTV 1 Rib 12"),
        ("white WHITE matter White Matter", "WHITE matter White Matter"),
        ("Dr. White, white Meier matter", ""),
        ("Head^Brain Protocols FH", "Head Brain Protocols"),
        ("phase Meier 3 s", "phase 3"),
        ("tel 0761-270 12345, room 4711", ""),
        ("MRN 12345678", ""),
        ("1 2 3 45 678", ""),
        ("山田太郎 CT", "CT"),
        ("Иванов", ""),
        ("^^__--", ""),
        ("", ""),
    ],
)
def test_only_known_words_stay(text, kept):
    assert VOCABULARY.clean(text) == kept


@pytest.mark.parametrize("text", ["", " ", "---", "CT Thorax, axial 3mm", "T2* tse_tra", "Black blood", "removed"])
def test_known_texts_are_known(text):
    assert VOCABULARY.knows(text)
    assert VOCABULARY.clean(text).casefold().split() == re.findall(r"[\w*.]+", text.replace("_", " ").casefold())


@pytest.mark.parametrize("text", ["CT Smith", "1962", "12.03.", "A. B.", "blood of Black", "b1234", "T2Smith", "3mmX"])
def test_unknown_texts_are_not_known(text):
    assert not VOCABULARY.knows(text)


def test_a_site_adds_words_and_phrases():
    own = Vocabulary.load(["STAR-VIBE", "Nürnberger Schema", " "])
    text = "star vibe, Nuernberger Schema, NÜRNBERGER SCHEMA, nürnberger"
    assert own.clean(text) == "star vibe Nuernberger Schema NÜRNBERGER SCHEMA"
    assert VOCABULARY.clean(text) == "vibe"
    assert "" not in own.words


def test_no_common_name_is_in_the_vocabulary_but_the_listed_ones():
    words = {word for word in VOCABULARY.words if " " not in word}
    assert words & common_names() == unavoidable()
    assert len(unavoidable()) < 30


def test_the_list_of_names_is_worth_its_name():
    assert len(common_names()) > 3000
    assert {"muller", "smith", "garcia", "nguyen", "wang", "kim", "ivanov", "patel", "anna", "rose"} <= common_names()


def test_no_single_letter_and_no_bare_number_is_in_the_vocabulary():
    assert [word for word in VOCABULARY.words if len(word) < 2 or word.isdigit()] == []


def test_words_of_the_file_are_sorted_into_one_entry_each():
    lines = files("medseg.deid").joinpath("data/vocabulary.txt").read_text(encoding="utf-8").splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    assert len(words) == len(set(words)) > 1500
    assert [word for word in words if word != word.strip() or not VOCABULARY.knows(word)] == []


@pytest.mark.parametrize(
    "label",
    [
        "adrenal_gland_left", "aorta", "autochthon_right", "clavicula_left", "colon", "common_carotid_artery_left",
        "costal_cartilages", "duodenum", "esophagus", "femur_left", "gallbladder", "gluteus_maximus_left",
        "heart", "hip_right", "humerus_left", "iliac_vena_left", "iliopsoas_right", "kidney_cyst_left",
        "lung_lower_lobe_left", "portal_vein_and_splenic_vein", "prostate", "pulmonary_vein", "rib_left_12", "sacrum",
        "small_bowel", "spinal_cord", "superior_vena_cava", "trachea", "urinary_bladder", "vertebrae_T12",
        "Enhancing Tumor", "Left Hippocampus", "Cerebral White Matter", "Brain-Stem", "Liver_Segment_4",
    ],
)  # fmt: skip
def test_names_of_segments_are_known(label):
    assert VOCABULARY.clean(label) == re.sub(r"[_-]", " ", label)


@given(st.text(max_size=200))
def test_cleaned_text_is_known_and_stays(text):
    cleaned = VOCABULARY.clean(text)
    assert VOCABULARY.knows(cleaned)
    assert VOCABULARY.clean(cleaned) == cleaned


@given(
    st.lists(st.sampled_from([*sorted(VOCABULARY.words)[::7], "phase", "3", "mm", "b", "50", "Meier", "white", "gray"]))
)
def test_cleaned_words_are_known_and_stay(words):
    cleaned = VOCABULARY.clean(" ".join(words))
    assert VOCABULARY.knows(cleaned)
    assert VOCABULARY.clean(cleaned) == cleaned
    assert "Meier" not in cleaned


@given(st.text(max_size=60))
def test_nothing_new_comes_in(text):
    assert len(VOCABULARY.clean(text)) <= len(text) + 1
