"""Data sets laid out as Cityscapes: label maps, polygons in drawing order."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import write_json
from picture_datasets import HEIGHT, WIDTH, indexed, picture

from medseg.config.sections import Layout
from medseg.core.errors import GeometryError, InputError, LabelError, ReadError
from medseg.core.labels import LabelScheme
from medseg.data.check import check_dataset
from medseg.data.layouts import find_layout, open_dataset
from medseg.data.load import load_case, load_label

ROAD = {"label": "road", "polygon": [[0, 0], [7, 0], [7, 5], [0, 5]]}
CAR = {"label": "car", "polygon": [[2, 1], [4, 1], [4, 3], [2, 3]]}
GAP = {"label": "hole", "polygon": [[3, 2], [3, 2]]}


def city(folder, name="a", split="train", polygons=None, values=None, height=HEIGHT):
    picture(folder / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png")
    labels = folder / "gtFine" / split / "ulm"
    labels.mkdir(parents=True, exist_ok=True)
    if polygons is not None:
        tree = {"imgHeight": height, "imgWidth": WIDTH, "objects": polygons}
        write_json(labels / f"{name}_gtFine_polygons.json", tree)
    if values is not None:
        indexed(labels / f"{name}_gtFine_labelIds.png", values)
    return folder


def label(dataset, scheme=None, name="a") -> np.ndarray:
    return load_case(dataset.case(name), dataset.channels, scheme or dataset.scheme).label.array[..., 0].T


def test_polygons_are_drawn_in_order(tmp_path):
    dataset = open_dataset(city(tmp_path, polygons=[ROAD, CAR, GAP]))
    assert find_layout(tmp_path) is Layout.CITYSCAPES
    assert dataset.scheme.names == ("car", "hole", "road")
    expected = np.full((HEIGHT, WIDTH), 3)
    expected[1:4, 2:5] = 1
    expected[2, 3] = 2
    assert np.array_equal(label(dataset), expected)
    assert check_dataset(dataset) == ()
    covered = open_dataset(city(tmp_path, polygons=[CAR, GAP, ROAD]))
    assert (label(covered) == 3).all()


def test_masks_where_structures_overlap_are_whole(tmp_path):
    dataset = open_dataset(city(tmp_path, polygons=[ROAD, CAR, GAP]))
    masks = load_label(dataset.case("a"), LabelScheme(dataset.scheme.structures, overlapping=True))
    assert masks.array.sum(axis=(1, 2, 3)).tolist() == [9, 1, HEIGHT * WIDTH]


def test_what_is_background_covers_what_is_below(tmp_path):
    write_json(tmp_path / "labels.json", {"road": 300, "*": 0})
    dataset = open_dataset(city(tmp_path, polygons=[ROAD, CAR]))
    found = label(dataset)
    assert (found == 0).sum() == 9
    assert (found == 300).sum() == HEIGHT * WIDTH - 9
    masks = load_label(dataset.case("a"), LabelScheme(dataset.scheme.structures, overlapping=True, background=("car",)))
    assert masks.array.all()


def test_a_group_is_what_its_members_are(tmp_path):
    group = CAR | {"label": "cargroup"}
    dataset = open_dataset(city(tmp_path, polygons=[group, ROAD | {"label": "car"}]))
    assert dataset.scheme.names == ("car",)
    assert label(dataset).all()
    alone = open_dataset(city(tmp_path, polygons=[group]))
    assert alone.scheme.names == ("cargroup",)


def test_label_maps_count_if_labels_json_names_their_values(tmp_path):
    values = np.full((HEIGHT, WIDTH), 26)
    city(tmp_path, polygons=[ROAD], values=values)
    assert open_dataset(tmp_path).scheme.names == ("road",)
    write_json(tmp_path / "labels.json", {"car": 26})
    assert (label(open_dataset(tmp_path)) == 26).all()


def test_a_scheme_that_was_made_of_polygons_is_read_from_polygons(tmp_path):
    """As `medseg plan` makes it, and `medseg train` gives it back; the values of the label maps are others."""
    city(tmp_path, polygons=[ROAD, CAR], values=np.full((HEIGHT, WIDTH), 2))
    planned = open_dataset(tmp_path)
    trained = open_dataset(tmp_path, scheme=planned.scheme)
    assert trained.cases[0].label == planned.cases[0].label
    assert (label(trained) == 1).sum() == 9


def test_images_without_labels_do_not_change_which_labels_count(tmp_path):
    city(tmp_path, polygons=[ROAD], values=np.full((HEIGHT, WIDTH), 26))
    write_json(city(tmp_path, "b", "test") / "labels.json", {"car": 26})
    assert (label(open_dataset(tmp_path)) == 26).all()


def test_label_maps_alone(tmp_path):
    dataset = open_dataset(city(tmp_path, values=np.full((HEIGHT, WIDTH), 26)))
    assert dataset.scheme.names == ("structure 26",)
    assert (label(dataset) == 26).all()


def test_splits_and_cities_come_from_the_folders(tmp_path):
    city(tmp_path, "b", "val", polygons=[ROAD])
    dataset = open_dataset(city(tmp_path, "a", "train"))
    assert [(case.id, case.split, case.label is None) for case in dataset.cases] == [
        ("a", "train", True),
        ("b", "validation", False),
    ]
    assert dataset.cases[0].attributes == {"city": "ulm"}


def test_no_labels_at_all(tmp_path):
    assert open_dataset(city(tmp_path)).scheme is None
    assert open_dataset(city(tmp_path, polygons=[])).scheme is None


def test_a_given_scheme_counts(tmp_path):
    scheme = LabelScheme.from_names({"road": 1})
    dataset = open_dataset(city(tmp_path, polygons=[ROAD, CAR]), scheme=scheme)
    with pytest.raises(LabelError, match=r"case a: a_gtFine_polygons\.json: 'car' is no structure"):
        label(dataset)


def test_an_image_of_another_size(tmp_path):
    dataset = open_dataset(city(tmp_path, polygons=[ROAD], height=HEIGHT + 1))
    with pytest.raises(GeometryError, match="says that the image has 8x7, the image 8x6x1 pixels"):
        label(dataset)


def test_damaged_polygons_are_told(tmp_path):
    with pytest.raises(ReadError, match=r"a_gtFine_polygons\.json: an object has no label"):
        open_dataset(city(tmp_path, polygons=[{}]))


def test_no_images(tmp_path):
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"folder 'leftImg8bit' holds no SPLIT/CITY/NAME_leftImg8bit\.png"):
        open_dataset(tmp_path)
