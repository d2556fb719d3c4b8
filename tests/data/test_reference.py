"""The channel that the others are laid onto."""

from __future__ import annotations

import pytest
from dataset_factories import GRID, case_files, table, write_image, write_label
from factories import geometry

from medseg.data.layouts import open_dataset
from medseg.data.reference import channel_on, reference_channel

OTHER = geometry((6, 5, 6))


@pytest.fixture
def manifest(tmp_path):
    for name in ("a1", "b1"):
        write_image(tmp_path / f"{name}.nii")
        write_image(tmp_path / f"{name[0]}2.nii", grid=OTHER)
    return table(tmp_path, "case,label,image.T1,image.T2\na,a.nii,a1.nii,a2.nii\nb,b.nii,b1.nii,b2.nii\n")


@pytest.mark.parametrize(("grid", "name"), [(GRID, "T1"), (OTHER, "T2"), (OTHER.reoriented("LIP"), "T2")])
def test_the_label_tells(manifest, grid, name):
    for case in "ab":
        write_label(manifest.parent / f"{case}.nii", grid=grid)
    assert reference_channel(open_dataset(manifest)) == name


def test_a_case_that_cannot_be_read_tells_nothing(manifest):
    write_label(manifest.parent / "b.nii", grid=OTHER)
    assert reference_channel(open_dataset(manifest)) == "T2"


def test_without_labels_it_is_the_first(tmp_path, manifest):
    assert reference_channel(open_dataset(table(tmp_path, "case,image.T2,image.T1\na,a2.nii,a1.nii\n"))) == "T2"


def test_a_channel_that_some_case_lacks_is_none(tmp_path, manifest):
    write_label(tmp_path / "a.nii")
    rows = "case,label,image.T1,image.T2\na,a.nii,a1.nii,a2.nii\nb,b.nii,,b2.nii\n"
    assert reference_channel(open_dataset(table(tmp_path, rows))) == "T2"
    assert reference_channel(open_dataset(table(tmp_path, f"{rows}c,c.nii,a1.nii,\n"))) is None


@pytest.mark.parametrize(("grid", "name"), [(GRID, "T1"), (OTHER.reoriented("LIP"), "T2"), (geometry((9, 9, 9)), None)])
def test_the_channel_on_a_grid(manifest, grid, name):
    assert channel_on(open_dataset(manifest).cases[0], grid) == name


def test_the_only_channel_is_taken_as_it_is(tmp_path):
    assert channel_on(case_files(tmp_path, "a"), OTHER) == "CT"
