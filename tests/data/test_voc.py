"""Pascal VOC data sets: palette label maps, the void border, lists."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import write_json
from picture_datasets import indexed, picture

from medseg.config.sections import Layout
from medseg.core.errors import InputError
from medseg.core.labels import IGNORE_INDEX
from medseg.data.check import Severity, check_dataset
from medseg.data.layouts import find_layout, open_dataset
from medseg.data.load import load_case

VALUES = np.array([[0, 255, 255, 0], [1, 255, 2, 0], [1, 1, 2, 0]])


def voc(folder, *cases, lists=(), **labels):
    for name in cases:
        picture(folder / "JPEGImages" / f"{name}.jpg", size=VALUES.shape)
        if labels.get(name, True):
            indexed(folder / "SegmentationClass" / f"{name}.png", VALUES)
    for name, listed in dict(lists).items():
        path = folder / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{one}\n" for one in listed))
    return folder


def test_values_are_the_palettes_indices_and_255_is_ignored(tmp_path):
    dataset = open_dataset(voc(tmp_path, "a"))
    assert find_layout(tmp_path) is Layout.VOC
    assert (dataset.scheme.names, dataset.scheme.ignore) == (("structure 1", "structure 2"), 255)
    case = load_case(dataset.case("a"), dataset.channels, dataset.scheme)
    assert np.array_equal(case.label.array[..., 0].T, VALUES)
    assert (dataset.scheme.class_indices(case.label) == IGNORE_INDEX).sum() == 3
    assert [one.severity for one in check_dataset(dataset)] == [Severity.NOTE]


def test_labels_json_names_the_values(tmp_path):
    write_json(tmp_path / "labels.json", {"cat": 1, "dog": 2})
    scheme = open_dataset(voc(tmp_path, "a")).scheme
    assert (scheme.names, scheme.ignore) == (("cat", "dog"), 255)


def test_lists_say_which_images_and_which_part(tmp_path):
    lists = {"train": ["a", ""], "trainval": ["a", "b", "d"], "val": ["b"], "other": ["d", "unlabelled"]}
    dataset = open_dataset(voc(tmp_path, "a", "b", "c", "d", lists=lists))
    assert [(case.id, case.split) for case in dataset.cases] == [("a", "train"), ("b", "validation"), ("d", None)]


def test_images_without_label_maps_are_no_cases(tmp_path):
    assert [case.id for case in open_dataset(voc(tmp_path, "a", "b", b=False)).cases] == ["a"]


def test_a_label_map_needs_its_image(tmp_path):
    voc(tmp_path, "a", "b")
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(InputError, match="SegmentationClass/ holds b and 0 more without an image in JPEGImages/"):
        open_dataset(tmp_path)
    for path in (tmp_path / "SegmentationClass").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="SegmentationClass/ holds nothing"):
        open_dataset(tmp_path)
