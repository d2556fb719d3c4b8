"""Contours and segments of a clinic as training data: DICOM objects in folder pairs and manifests."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from contour_objects import grid_of, square, structure_set, write_set
from dataset_factories import write_json
from dicom_factories import OBLIQUE, Grid, write_series
from factories import scheme
from seg_factories import HEADER, found_labels, source_series, voxel_counts

from medseg.core.errors import LabelError
from medseg.core.segmentation import Segmentation
from medseg.data.check import Severity, check_dataset
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.evaluation.pairs import match
from medseg.evaluation.scoring import score_pairs
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import write_label_map
from medseg.io.label_files import read_outlines

GRID = grid_of(Grid())


def contours(path, *names, low=(1, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_set(path, structure_set({name: [("CLOSED_PLANAR", square(low))] for name in names}))


def clinic(folder, **sets):
    """Series and structure sets of cases, as folder pairs."""
    for case, names in sets.items():
        write_series(folder / "images" / case, Grid())
        contours(folder / "labels" / f"{case}.dcm", *names)
    return folder


def label(dataset, case) -> Segmentation:
    return Segmentation(load_case(dataset.case(case), dataset.channels, dataset.scheme).label, dataset.scheme)


def test_structure_sets_name_the_structures(tmp_path):
    dataset = open_dataset(clinic(tmp_path, a=["Liver"], b=["LIVER", "GTV"]))
    assert [(one.name, one.value, one.code and one.code.value) for one in dataset.scheme.structures] == [
        ("Liver", 1, "10200004"),
        ("GTV", 2, "228791009"),
    ]
    assert voxel_counts(label(dataset, "a")) == {"Liver": 12, "GTV": 0}
    assert [one for one in check_dataset(dataset) if one.severity is Severity.ERROR] == []


def test_labels_json_chooses_structures(tmp_path):
    write_json(clinic(tmp_path, a=["Liver", "BODY"], b=["couch"]) / "labels.json", {"liver": 1, "body": 0})
    dataset = open_dataset(tmp_path)
    assert voxel_counts(label(dataset, "a")) == {"liver": 12}
    with pytest.raises(LabelError, match=r"case b: 'couch' is no structure of the scheme \(liver\)"):
        label(dataset, "b")
    write_json(tmp_path / "labels.json", {"liver": 1, "*": 0})
    assert voxel_counts(label(open_dataset(tmp_path), "b")) == {"liver": 0}


def test_a_set_may_lie_among_the_images(tmp_path):
    write_series(tmp_path / "study", Grid())
    contours(tmp_path / "study" / "rt.dcm", "liver")
    (tmp_path / "manifest.csv").write_text("case,image.CT,label\na,study,study\n")
    dataset = open_dataset(tmp_path)
    assert voxel_counts(label(dataset, "a")) == {"liver": 12}


def test_a_segmentation_that_leaves_frames_out_lies_on_the_grid_of_the_image(tmp_path):
    source = source_series(tmp_path, OBLIQUE)
    found = found_labels(source)
    sparse = found.labels.array.copy()
    sparse[:, :, [0, 2, 3]] = 0
    found = Segmentation(type(found.labels)(sparse, source.geometry), found.scheme)
    write_segmentation(tmp_path / "seg.dcm", found, source, HEADER)
    (tmp_path / "manifest.csv").write_text("case,image.CT,label\na,source,seg.dcm\n")
    dataset = open_dataset(tmp_path)
    case = load_case(dataset.case("a"), dataset.channels, dataset.scheme)
    assert case.label.geometry.is_close(case.image.geometry)
    assert voxel_counts(label(dataset, "a")) == voxel_counts(found)


def test_names_and_values_do_not_mix(tmp_path):
    clinic(tmp_path, a=["liver"], b=["liver"])
    (tmp_path / "labels" / "b.dcm").unlink()
    write_label_map(tmp_path / "labels" / "b.nii", read_outlines(tmp_path / "labels" / "a.dcm", GRID).labels)
    with pytest.raises(LabelError, match=r"1 of 2 labels hold values without names, .*; write labels\.json"):
        open_dataset(tmp_path)
    write_json(tmp_path / "labels.json", {"liver": 1})
    assert voxel_counts(label(open_dataset(tmp_path), "b")) == {"liver": 12}


def test_labels_that_cannot_be_read_are_reported_later(tmp_path):
    clinic(tmp_path, a=["liver"], b=["liver"])
    (tmp_path / "labels" / "a.dcm").write_bytes((tmp_path / "labels" / "a.dcm").read_bytes()[:-40])
    dataset = open_dataset(tmp_path)
    assert dataset.scheme.names == ("liver",)
    assert [one.case for one in check_dataset(dataset) if one.severity is Severity.ERROR] == ["a"]


def test_too_many_names(tmp_path):
    with pytest.raises(LabelError, match="255 structures; at most 254 are possible"):
        open_dataset(clinic(tmp_path, a=[f"roi {number}" for number in range(255)]))


@pytest.mark.parametrize("swapped", [False, True])
def test_contours_are_scored_against_label_maps(tmp_path, swapped):
    """Dice of 12 voxels and 6 of them."""
    write_series(tmp_path / "image", Grid())
    contours(tmp_path / "contours" / "a.dcm", "Liver")
    half = contours(tmp_path / "half.dcm", "liver", low=(3, 1))
    (tmp_path / "values").mkdir()
    write_label_map(tmp_path / "values" / "a.nii", read_outlines(half, GRID).labels.reoriented("RAS"))
    folders = [tmp_path / "contours", tmp_path / "values"]
    predicted, reference = reversed(folders) if swapped else folders
    (outcome,) = score_pairs(match(predicted, reference).pairs, scheme("liver"))
    assert outcome.rows[0].dice == pytest.approx(2 * 6 / 18)


def test_predictions_are_scored_against_the_contours_of_a_data_set(tmp_path):
    dataset = open_dataset(clinic(tmp_path / "set", a=["liver"]))
    (tmp_path / "predicted").mkdir()
    write_label_map(tmp_path / "predicted" / "a.nii", label(dataset, "a").labels)
    (outcome,) = score_pairs(match(tmp_path / "predicted", dataset).pairs, dataset.scheme)
    assert outcome.rows[0].dice == 1


def test_dicom_images_are_no_predictions(tmp_path):
    contours(tmp_path / "reference" / "a.dcm", "liver")
    shutil.copytree(tmp_path / "reference", tmp_path / "predicted")
    write_series(tmp_path / "predicted", Grid())
    matching = match(tmp_path / "predicted", tmp_path / "reference")
    assert [pair.case for pair in matching.pairs] == ["a"]
    assert matching.without_reference == ()


@pytest.mark.real_data
@pytest.mark.parametrize("layout", ["pairs", "manifest"])
def test_public_contours_become_a_case(tmp_path, real_data, layout):
    """rt-utils' test series and its structure set, whose one structure is a box drawn on both slices."""
    source = real_data / "rtutils_tests" / "mock_data"
    images, labels = tmp_path / "images" / "a", tmp_path / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    for name in ("ct_1.dcm", "ct_2.dcm"):
        shutil.copy(source / name, images)
    shutil.copy(source / "rt.dcm", labels / "a.dcm")
    if layout == "manifest":
        (tmp_path / "manifest.csv").write_text("case,image.CT,label\na,images/a,labels/a.dcm\n")
    dataset = open_dataset(tmp_path)
    case = load_case(dataset.case("a"), dataset.channels, dataset.scheme)
    assert dataset.scheme.names == ("ROI-1",)
    assert case.label.geometry.is_close(case.image.geometry)
    assert np.count_nonzero(case.label.array) > 100
