"""Data sets written in nnU-Net's raw layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_factories import nnunet, write_image, write_json, write_label
from factories import geometry
from image_readers import picture_grid

from medseg.core.errors import DataError, InputError, LabelError
from medseg.core.volume import Volume
from medseg.data.folds import Folds, read_folds
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.data.nnunet_write import check_nnunet_name, write_nnunet
from medseg.io.formats import read_label_map, read_volume, write_volume


def described(folder):
    return json.loads((folder / "dataset.json").read_text())


def pairs(folder, labels, values=(0, 1, 2), codes=("RAS", "RAS")):
    for seed, (case, one) in enumerate(zip("ab", codes, strict=True)):
        write_image(folder / "images" / f"{case}.nii.gz", seed, grid=geometry((4, 5, 6), codes=one))
        write_label(folder / "labels" / f"{case}.nii.gz", seed, values, geometry((4, 5, 6), codes=one))
    write_json(folder / "labels.json", labels)
    return open_dataset(folder)


def test_what_is_written_is_read_as_the_same(tmp_path):
    source = open_dataset(nnunet(tmp_path / "Dataset001_A"))
    folds = Folds(((("a",), ("b",)), (("b",), ("a",))))
    done = write_nnunet(tmp_path / "Dataset002_B", source, folds)
    again = open_dataset(tmp_path / "Dataset002_B")
    assert (done.training, done.test, done.turned) == (2, 0, 0)
    assert again.channels == source.channels
    assert again.scheme.values == source.scheme.values
    assert again.scheme.names == source.scheme.names
    for case in ("a", "b"):
        one, other = (load_case(found.case(case), found.channels, found.scheme) for found in (source, again))
        assert np.array_equal(one.image.array, other.image.array)
        assert np.array_equal(one.label.array, other.label.array)
        assert one.image.geometry.is_close(other.image.geometry)
    assert read_folds(tmp_path / "Dataset002_B" / "splits_final.json") == folds
    assert json.loads((tmp_path / "Dataset002_B" / "splits_final.json").read_text())[0] == {
        "train": ["a"],
        "val": ["b"],
    }


def test_labels_are_numbered_without_a_gap(tmp_path):
    dataset = pairs(tmp_path / "in", {"far": 9, "near": 4, "ignore": 7}, (0, 4, 7, 9))
    write_nnunet(tmp_path / "Dataset001_A", dataset, None)
    assert described(tmp_path / "Dataset001_A")["labels"] == {"background": 0, "near": 1, "far": 2, "ignore": 3}
    before = read_label_map(tmp_path / "in" / "labels" / "a.nii.gz").array
    after = read_label_map(tmp_path / "Dataset001_A" / "labelsTr" / "a.nii.gz").array
    assert after.dtype == np.uint8
    for value, number in ((0, 0), (4, 1), (9, 2), (7, 3)):
        assert np.array_equal(before == value, after == number)


def test_regions_from_the_largest_to_the_smallest(tmp_path):
    labels = {"core": [5, 8], "whole": [2, 5, 8], "inner": [8]}
    write_nnunet(tmp_path / "Dataset001_A", pairs(tmp_path / "in", labels, (0, 2, 5, 8)), None)
    found = described(tmp_path / "Dataset001_A")
    assert list(found["labels"].items()) == [("background", 0), ("whole", [1, 2, 3]), ("core", [2, 3]), ("inner", [3])]
    assert found["regions_class_order"] == [1, 2, 3]
    assert open_dataset(tmp_path / "Dataset001_A").scheme.targets == ("whole", "core", "inner")


def test_regions_that_a_label_map_cannot_show(tmp_path):
    dataset = pairs(tmp_path / "in", {"whole": [1, 2], "one": [1], "two": [2]})
    with pytest.raises(LabelError, match="region 'whole' has no label that smaller regions lack"):
        write_nnunet(tmp_path / "Dataset001_A", dataset, None)


def test_images_all_point_the_same_way(tmp_path):
    done = write_nnunet(tmp_path / "Dataset001_A", pairs(tmp_path / "in", {"x": 1, "y": 2}, codes=("LPS", "AIR")), None)
    assert done.turned == 1
    for part in ("imagesTr/b_0000", "labelsTr/b"):
        volume = read_volume(tmp_path / "Dataset001_A" / f"{part}.nii.gz")
        assert volume.geometry.axis_codes == "LPS"
        source = read_volume(tmp_path / "in" / ("images" if "images" in part else "labels") / "b.nii.gz")
        assert np.array_equal(volume.array, source.reoriented("LPS").array)


def test_test_cases_and_cases_without_a_label(tmp_path):
    folder = tmp_path / "in"
    pairs(folder, {"one": 1, "two": 2})
    write_image(folder / "images" / "c.nii.gz", 3)
    rows = ["case,image.CT,label,split", "a,images/a.nii.gz,labels/a.nii.gz,", "b,images/b.nii.gz,labels/b.nii.gz,test"]
    (folder / "manifest.csv").write_text("\n".join([*rows, "c,images/c.nii.gz,,"]))
    done = write_nnunet(tmp_path / "Dataset001_A", open_dataset(folder / "manifest.csv"), None)
    assert (done.training, done.test) == (1, 2)
    there = {
        path.relative_to(tmp_path / "Dataset001_A").as_posix() for path in (tmp_path / "Dataset001_A").rglob("*.gz")
    }
    assert there == {
        "imagesTr/a_0000.nii.gz",
        "labelsTr/a.nii.gz",
        "imagesTs/b_0000.nii.gz",
        "labelsTs/b.nii.gz",
        "imagesTs/c_0000.nii.gz",
    }
    again = open_dataset(tmp_path / "Dataset001_A")
    assert [(case.id, case.split, case.label is not None) for case in again.cases] == [
        ("a", None, True),
        ("b", "test", True),
        ("c", "test", False),
    ]
    others = pairs(tmp_path / "others", {"one": 1, "two": 2})
    done = write_nnunet(tmp_path / "Dataset002_A", others, Folds(((("b",), ("b",)),), ("a",)))
    assert (done.training, done.test) == (1, 1)
    assert (tmp_path / "Dataset002_A" / "imagesTs" / "a_0000.nii.gz").exists()


def test_pictures_become_png(tmp_path):
    folder = tmp_path / "in"
    pixels = np.random.default_rng(0).integers(0, 3, (3, 6, 7, 1)).astype(np.uint8)
    write_volume(folder / "images" / "a.png", Volume(pixels, picture_grid(6, 7), ("red", "green", "blue")))
    write_volume(folder / "labels" / "a.png", Volume(pixels[:1], picture_grid(6, 7)))
    write_json(folder / "labels.json", {"one": 1, "two": 2})
    write_nnunet(tmp_path / "Dataset001_A", open_dataset(folder), None)
    found = open_dataset(tmp_path / "Dataset001_A")
    assert described(tmp_path / "Dataset001_A")["file_ending"] == ".png"
    assert found.channels == ("red", "green", "blue")
    assert np.array_equal(load_case(found.case("a"), found.channels, None).image.array, pixels)


def test_names_that_nnunet_would_not_find():
    check_nnunet_name("Dataset042_Liver")
    for name in ("Liver", "Dataset42_Liver", "Dataset042", "Dataset042_", "dataset042_Liver"):
        with pytest.raises(InputError, match="nnU-Net wants a folder named DatasetNNN_Name, such as Dataset042_Liver"):
            check_nnunet_name(name)


def test_what_nnunet_has_no_place_for(tmp_path):
    dataset = pairs(tmp_path / "in", {"one": 1, "two": 2})
    with pytest.raises(DataError, match="no case of data set 'in' has a label and is not kept aside"):
        write_nnunet(tmp_path / "Dataset001_A", dataset, Folds(((("a",), ("b",)),), ("a", "b")))
    (tmp_path / "in" / "manifest.json").write_text(
        json.dumps(
            {
                "cases": [{"id": "a", "images": {"CT": "images/a.nii.gz"}, "label": "labels/a.nii.gz"}],
                "labels": {"one": 1, "two": 2},
                "overlapping": True,
            }
        )
    )
    with pytest.raises(LabelError, match="the structures may overlap, and nnU-Net's label maps hold one value a voxel"):
        write_nnunet(tmp_path / "Dataset002_A", open_dataset(tmp_path / "in" / "manifest.json"), None)


def test_a_test_case_with_the_name_of_a_training_case(tmp_path):
    folder = nnunet(tmp_path / "Dataset001_A")
    for channel in range(2):
        write_image(folder / "imagesTs" / f"a_{channel:04d}.nii.gz", 7)
    assert [case.id for case in open_dataset(folder).cases] == ["a", "b", "a_Ts"]
    (folder / "imagesTs" / "a_0001.nii.gz").unlink()
    write_image(folder / "imagesTs" / "a_0002.nii.gz", 7)
    with pytest.raises(InputError, match="case 'a' in imagesTs/ has the channels 0000, 0002"):
        open_dataset(folder)
