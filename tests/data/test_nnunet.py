"""nnU-Net's raw layout."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import nnunet
from image_readers import picture_grid

from medseg.core.errors import InputError, ReadError
from medseg.core.labels import Region
from medseg.core.volume import Volume
from medseg.data.dataset import ImageFile
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.io.formats import write_volume


def test_a_file_for_each_channel(tmp_path):
    found = open_dataset(nnunet(tmp_path / "Dataset001_Small"))
    assert found.name == "Dataset001_Small"
    assert found.channels == ("T1", "T2")
    assert found.case("a").images["T2"] == ImageFile(found.folder / "imagesTr" / "a_0001.nii.gz")
    assert load_case(found.case("a"), found.channels, found.scheme).image.channels == ("T1", "T2")


def test_lists_of_values_are_regions(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    scheme = open_dataset(nnunet(tmp_path, labels=labels)).scheme
    assert scheme.targets == ("whole", "core", "enhancing")
    assert scheme.regions[1] == Region("core", ("label 2", "label 3"))
    assert scheme.values == (1, 2, 3)
    assert scheme.ignore == 4
    assert not scheme.is_exclusive


def test_one_picture_may_hold_all_channels(tmp_path):
    folder = nnunet(tmp_path, (), ("R", "G", "B"), file_ending=".png")
    pixels = np.random.default_rng(0).integers(0, 3, (3, 6, 7, 1)).astype(np.uint8)
    write_volume(folder / "imagesTr" / "a_0000.png", Volume(pixels, picture_grid(6, 7), ("red", "green", "blue")))
    write_volume(folder / "labelsTr" / "a.png", Volume(pixels[:1], picture_grid(6, 7)))
    found = open_dataset(folder)
    case = load_case(found.case("a"), ("B", "R"), found.scheme)
    assert np.array_equal(case.image.array, pixels[[2, 0]])
    assert np.array_equal(case.label.array, pixels[0])


def test_a_missing_channel(tmp_path):
    (nnunet(tmp_path) / "imagesTr" / "b_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"case 'b' in imagesTr/ has the channels 0001, dataset\.json names 0000,"):
        open_dataset(tmp_path)


def test_an_image_without_label(tmp_path):
    (nnunet(tmp_path) / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(InputError, match="a case in imagesTr/ has no partner in labelsTr/: b; add it or move"):
        open_dataset(tmp_path)


def test_labels_without_image(tmp_path):
    for path in (nnunet(tmp_path) / "imagesTr").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="2 of 2 cases in labelsTr/ have no partner in imagesTr/: a, b"):
        open_dataset(tmp_path)


def test_a_missing_folder(tmp_path):
    folder = nnunet(tmp_path)
    (folder / "labelsTr").rename(folder / "labels")
    with pytest.raises(InputError, match=r"folder 'labelsTr' is missing beside dataset\.json"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("ending", ["/../../secret", "*", "nii.gz"])
def test_an_ending_that_is_none(tmp_path, ending):
    with pytest.raises(ReadError, match=r"dataset\.json: file_ending: string should match pattern"):
        open_dataset(nnunet(tmp_path, file_ending=ending))
