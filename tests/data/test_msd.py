"""The Decathlon's layout."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import msd, write_json

from medseg.core.errors import InputError, LabelError
from medseg.data.dataset import ImageFile
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case


def described(**changes):
    base = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}, "training": [{"image": "./i/a.nii"}]}
    return base | changes


def test_one_modality(tmp_path):
    found = open_dataset(msd(tmp_path))
    assert found.name == "Small"
    assert found.channels == ("MRI",)
    assert found.case("a").images == {"MRI": ImageFile(tmp_path / "imagesTr" / "a.nii.gz")}
    assert found.case("a").patient == "a"


def test_volumes_of_a_4d_image_are_modalities(tmp_path):
    found = open_dataset(msd(tmp_path, modalities=("T2", "ADC")))
    assert found.channels == ("T2", "ADC")
    assert found.case("b").images["ADC"].component == 1
    case = load_case(found.case("b"), ("ADC", "T2"), found.scheme)
    both = load_case(found.case("b"), ("T2", "ADC"), None)
    assert np.array_equal(case.image.array[::-1], both.image.array)
    assert both.label is None


def test_a_case_without_label(tmp_path):
    write_json(tmp_path / "dataset.json", described())
    found = open_dataset(tmp_path)
    assert found.labelled == ()
    assert len(found.cases) == 1


@pytest.mark.parametrize("path", ["../outside.nii", "/etc/passwd", "i/../../outside.nii"])
def test_a_path_that_leaves_the_folder(tmp_path, path):
    write_json(tmp_path / "dataset.json", described(training=[{"image": path}]))
    with pytest.raises(InputError, match="leaves its folder; it must be relative and stay inside"):
        open_dataset(tmp_path)


def test_two_cases_of_one_name(tmp_path):
    write_json(tmp_path / "dataset.json", described(training=[{"image": "x/a.nii"}, {"image": "y/a.nii.gz"}]))
    with pytest.raises(InputError, match="has several cases named 'a'; names must differ"):
        open_dataset(tmp_path)


def test_no_case(tmp_path):
    write_json(tmp_path / "dataset.json", described(training=[]))
    with pytest.raises(InputError, match="holds no case"):
        open_dataset(tmp_path)


def test_two_channels_of_one_name(tmp_path):
    write_json(tmp_path / "dataset.json", described(modality={"0": "CT", "1": "CT"}))
    with pytest.raises(InputError, match="channel names must differ, got CT, CT"):
        open_dataset(tmp_path)


def test_labels_without_structure(tmp_path):
    write_json(tmp_path / "dataset.json", described(labels={"0": "background"}))
    with pytest.raises(LabelError, match=r"dataset\.json: a label scheme needs at least one structure"):
        open_dataset(tmp_path)


@pytest.mark.real_data
def test_hippocampus(real_data):
    found = open_dataset(real_data / "Task04_Hippocampus")
    assert (found.name, found.channels) == ("Hippocampus", ("MRI",))
    assert len(found.cases) == len(found.labelled) == 200
    assert found.scheme is not None
    assert dict(zip(found.scheme.names, found.scheme.values, strict=True)) == {"Anterior": 1, "Posterior": 2}
    assert found.cases[0].id == "hippocampus_001"
    case = load_case(found.cases[0], found.channels, found.scheme)
    assert case.image.geometry.axis_codes == "RAS"
    assert set(np.unique(case.label.array)) == {0, 1, 2}
