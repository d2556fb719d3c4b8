"""COCO data sets: which files, which pictures, and the labels made of outlines."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import write_json
from picture_datasets import DOT, HEIGHT, SQUARE, WIDTH, annotation, coco_file, picture

from medseg.config.sections import Layout
from medseg.core.errors import GeometryError, InputError, LabelError, ReadError
from medseg.core.labels import LabelScheme
from medseg.data.check import check_dataset
from medseg.data.layouts import find_layout, open_dataset
from medseg.data.load import load_case, load_label


def single(folder, *annotations, **changes):
    """A data set of one picture; the scheme is that of the file."""
    picture(folder / "images" / "a.png")
    return open_dataset(coco_file(folder / "annotations" / "instances.json", annotations, **changes))


def values(dataset, name="a", scheme=None) -> np.ndarray:
    """Label values, shape ``(row, column)``."""
    return load_case(dataset.case(name), dataset.channels, scheme or dataset.scheme).label.array[..., 0].T


@pytest.mark.parametrize("place", ["a.json", "annotations/any.json", "annotations.json", "_annotations.coco.json"])
def test_pictures_are_found_beside_the_file(tmp_path, place):
    picture(tmp_path / ("images" if place.startswith("annotations") else "") / "a.png")
    file = coco_file(tmp_path / place, [annotation([SQUARE])])
    named = [file] if place == "a.json" else [file, tmp_path]
    for path in named:
        assert find_layout(path) is Layout.COCO
        dataset = open_dataset(path)
        assert (dataset.channels, dataset.folder) == (("red", "green", "blue"), tmp_path)
        assert values(dataset).sum() == 9


def test_outlines_become_a_label_map(tmp_path):
    dataset = single(
        tmp_path, annotation([SQUARE]), annotation(DOT, category=2), annotation([[5, 0, 7, 0, 7, 2, 5, 2]])
    )
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:4, 1:4] = expected[:2, 5:7] = 1
    expected[2, 2] = 2
    assert np.array_equal(values(dataset), expected)
    assert dataset.scheme.names == ("organ", "lesion")
    assert check_dataset(dataset) == ()


def test_a_small_structure_lies_over_a_large_one_whatever_the_order(tmp_path):
    dataset = single(tmp_path, annotation(DOT, category=2), annotation([SQUARE]))
    assert values(dataset)[2, 2] == 2


def test_masks_where_structures_overlap(tmp_path):
    dataset = single(tmp_path, annotation(DOT, category=2), annotation([SQUARE]))
    scheme = LabelScheme(dataset.scheme.structures, overlapping=True)
    masks = load_label(dataset.case("a"), scheme)
    assert masks.structures == ("organ", "lesion")
    assert masks.array.sum(axis=(1, 2, 3)).tolist() == [9, 1]
    assert masks.array[:, 2, 2, 0].all()


def test_crowds_are_ignored_where_nothing_else_is(tmp_path):
    crowd = annotation([[0, 0, 8, 0, 8, 3, 0, 3]], iscrowd=1)
    dataset = single(tmp_path, annotation([SQUARE]), crowd)
    assert dataset.scheme.ignore == 255
    found = values(dataset)
    assert found[0].tolist() == [255] * 8
    assert found[1].tolist() == [255, 1, 1, 1, 255, 255, 255, 255]
    assert found[3].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    plain = LabelScheme(dataset.scheme.structures)
    assert set(values(dataset, scheme=plain)[0]) == {1}
    masks = load_label(dataset.case("a"), LabelScheme(plain.structures, ignore=255, overlapping=True))
    assert masks.array.sum() == 9


def test_an_image_without_annotations_is_background(tmp_path):
    picture(tmp_path / "b.png")
    picture(tmp_path / "a.png")
    dataset = open_dataset(coco_file(tmp_path / "x.json", [annotation([SQUARE])], ("a.png", "b.png")))
    assert not values(dataset, "b").any()


def test_names_in_labels_json_count(tmp_path):
    write_json(tmp_path / "labels.json", {"Lesion": 7, "*": 0})
    dataset = single(tmp_path, annotation(DOT, category=2), annotation([SQUARE]))
    assert set(np.unique(values(dataset))) == {0, 7}


def test_a_category_that_is_not_in_the_scheme(tmp_path):
    dataset = single(tmp_path, annotation([SQUARE]))
    with pytest.raises(LabelError, match=r"case a: instances\.json: 'organ' is no structure of the scheme \(lesion\)"):
        values(dataset, scheme=LabelScheme.from_names({"lesion": 1}))


@pytest.mark.parametrize(
    ("categories", "annotated", "expected"),
    [
        ([(7, "a"), (3, "b")], 7, {"a": 7, "b": 3}),
        ([(0, "things"), (1, "a")], 1, {"a": 1}),
        ([(0, "a"), (1, "b")], 0, {"a": 1, "b": 2}),
        ([("x", "a"), ("y", "b")], "x", {"a": 1, "b": 2}),
        ([(70000, "a"), (1, "b")], 1, {"a": 1, "b": 2}),
    ],
)
def test_values_of_categories(tmp_path, categories, annotated, expected):
    listed = [{"id": number, "name": name} for number, name in categories]
    dataset = single(tmp_path, annotation([SQUARE], category=annotated), categories=listed)
    assert dict(zip(dataset.scheme.names, dataset.scheme.values, strict=True)) == expected


def test_the_ignored_value_is_none_of_the_categories(tmp_path):
    listed = [{"id": 255, "name": "a"}, {"id": 3, "name": "b"}]
    dataset = single(tmp_path, annotation([SQUARE], category=255, iscrowd=1), categories=listed)
    assert dataset.scheme.ignore == 256
    assert set(np.unique(values(dataset))) == {0, 256}


def test_files_of_several_parts(tmp_path):
    for number, part in enumerate(("train2017", "val2017")):
        picture(tmp_path / part / f"{number}.png", number)
        coco_file(tmp_path / "annotations" / f"instances_{part}.json", [annotation([SQUARE])], (f"{number}.png",))
    write_json(tmp_path / "annotations" / "captions_train2017.json", {})
    dataset = open_dataset(tmp_path)
    assert [(case.id, case.split) for case in dataset.cases] == [("0", "train"), ("1", "validation")]
    assert values(dataset, "1").sum() == 9


def test_names_with_folders_and_one_name_twice(tmp_path):
    for part in ("x", "y"):
        picture(tmp_path / "images" / part / "a.png")
    dataset = open_dataset(coco_file(tmp_path / "c.json", [annotation([SQUARE])], ("x/a.png", "y/a.png")))
    assert [case.id for case in dataset.cases] == ["x_a", "y_a"]
    with pytest.raises(ReadError, match=r"d\.json: images share a file_name"):
        open_dataset(coco_file(tmp_path / "d.json", [], ("x/a.png", "x/a.png")))


def test_a_picture_outside_the_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"path '\.\./a\.png' leaves its folder"):
        open_dataset(coco_file(tmp_path / "in" / "c.json", [], ("../a.png",)))


def test_a_picture_of_another_size(tmp_path):
    picture(tmp_path / "a.png", size=(WIDTH, HEIGHT))
    dataset = open_dataset(coco_file(tmp_path / "c.json", [annotation([SQUARE])]))
    with pytest.raises(GeometryError, match=r"c\.json: says that the image has 8x6, the image 6x8x1 pixels"):
        values(dataset)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"image_id": 1, "category_id": 1}, LabelError, r"no outline \(segmentation\); a box alone is no label"),
        (annotation([]), LabelError, "no outline"),
        (annotation([SQUARE], category=9), ReadError, "of a category that is not in the list"),
        (annotation([SQUARE], category=None), ReadError, "of a category that is not in the list"),
        (annotation([[1, 1]]), ReadError, "no list of coordinates"),
    ],
)
def test_a_damaged_annotation_spoils_its_image_only(tmp_path, entry, error, message):
    dataset = single(tmp_path, entry)
    with pytest.raises(error, match=rf"case a: instances\.json: .*{message}"):
        values(dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entries": [annotation([SQUARE], image=2)]}, "an annotation is of an image that is not in the list"),
        ({"entries": [{}]}, "an annotation is of an image that is not in the list"),
        ({"entries": [3]}, r"annotations\.0: input should be a valid dictionary"),
        ({"images": [{"id": 1}]}, r"images\.0\.file_name: field required"),
        ({"categories": []}, "a label scheme needs at least one structure"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, changes, message):
    with pytest.raises((ReadError, LabelError), match=rf"instances\.json: .*{message}"):
        single(tmp_path, *changes.pop("entries", ()), **changes)


def test_a_file_that_changed_meanwhile(tmp_path):
    dataset = single(tmp_path, annotation([SQUARE]))
    assert values(dataset).sum() == 9
    coco_file(tmp_path / "annotations" / "instances.json", [annotation(DOT)])
    assert values(dataset).sum() == 1
    coco_file(tmp_path / "annotations" / "instances.json", [], ("other.png",))
    with pytest.raises(ReadError, match=r"instances\.json: does not hold the image any more"):
        values(dataset)


def test_a_folder_without_such_a_file(tmp_path):
    write_json(tmp_path / "annotations.json", {"images": []})
    write_json(tmp_path / "annotations" / "list.json", [1, 2])
    assert find_layout(tmp_path) is None
    with pytest.raises(InputError, match="holds no COCO file, a JSON with images, annotations and categories"):
        open_dataset(tmp_path, Layout.COCO)
