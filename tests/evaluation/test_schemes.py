import json

import numpy as np
import pytest
from factories import geometry

from medseg.core.case import CaseId
from medseg.core.errors import InputError, LabelError, ReadError
from medseg.core.volume import LabelMap
from medseg.data.dataset import CaseFiles, Dataset
from medseg.evaluation.pairs import match
from medseg.evaluation.schemes import find_scheme, open_reference, read_scheme
from medseg.io.formats import write_label_map


def write_maps(folder, **maps):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in maps.items():
        array = np.zeros((4, 4, 4), np.uint8)
        array.flat[: len(values)] = values
        write_label_map(folder / f"{name}.nii.gz", LabelMap(array, geometry((4, 4, 4))))
    return folder


@pytest.fixture
def folders(tmp_path):
    return write_maps(tmp_path / "predicted", a=[1, 3]), write_maps(tmp_path / "set" / "labels", a=[1, 2])


def names(predicted, reference, labels=None):
    opened = open_reference(reference, labels)
    return {one.name: one.value for one in find_scheme(labels, opened, match(predicted, opened).pairs).structures}


def test_without_names_the_values_of_both_sides_count(folders):
    assert names(*folders) == {"structure 1": 1, "structure 2": 2, "structure 3": 3}


@pytest.mark.parametrize("place", [".", ".."])
def test_a_labels_file_beside_the_references_or_above(folders, place):
    (folders[1] / place / "labels.json").write_text(json.dumps({"background": 0, "liver": 1, "spleen": 2}))
    assert names(*folders) == {"liver": 1, "spleen": 2}


def test_the_file_that_the_user_names_comes_first(folders, tmp_path):
    (folders[1] / "labels.json").write_text(json.dumps({"liver": 1}))
    chosen = tmp_path / "mine.json"
    chosen.write_text(json.dumps({"labels": {"left": 1, "right": 2}, "version": 3}))
    assert names(*folders, chosen) == {"left": 1, "right": 2}


def test_a_data_set_is_opened_and_names_its_structures(tmp_path, folders):
    images = write_maps(tmp_path / "set" / "images", a=[9])
    (tmp_path / "set" / "labels.json").write_text(json.dumps({"liver": 1, "spleen": 2}))
    assert isinstance(open_reference(images.parent), Dataset)
    assert names(folders[0], images.parent) == {"liver": 1, "spleen": 2}


def test_the_references_of_a_data_set_take_its_names(tmp_path):
    labels = write_maps(tmp_path / "msd" / "labelsTr", a=[1, 2])
    write_maps(tmp_path / "msd" / "imagesTr", a=[7])
    description = {
        "name": "liver", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumour"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }  # fmt: skip
    (tmp_path / "msd" / "dataset.json").write_text(json.dumps(description))
    assert names(labels, labels) == {"liver": 1, "tumour": 2}


def test_regions_are_read(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"whole": [1, 2], "core": [2]}))
    assert read_scheme(tmp_path / "labels.json").targets == ("whole", "core")


@pytest.mark.parametrize(
    ("content", "error"), [("[1]", ReadError), ('{"liver": "one"}', ReadError), ("{}", LabelError), ("{", ReadError)]
)
def test_a_labels_file_that_is_not_sound_is_named(tmp_path, content, error):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(error, match=r"mine\.json"):
        read_scheme(tmp_path / "mine.json")


def test_a_missing_labels_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"mine\.json' does not exist"):
        read_scheme(tmp_path / "mine.json")


def test_label_maps_without_a_structure_need_names(tmp_path):
    empty = write_maps(tmp_path / "empty", a=[0])
    with pytest.raises(LabelError, match="the label maps hold no value besides 0"):
        names(empty, empty)


def test_a_data_set_that_says_nothing_needs_names(tmp_path):
    silent = Dataset("set", tmp_path, ("MR",), None, (CaseFiles(CaseId("a"), {}, None, "a"),))
    with pytest.raises(LabelError, match=r"nothing says what the label values mean; name a file .* by --labels"):
        find_scheme(None, silent, ())
