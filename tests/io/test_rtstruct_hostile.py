"""Structure sets made to crash, exhaust or mislead are refused."""

from __future__ import annotations

import contextlib
import tracemalloc

import numpy as np
import pytest
from contour_objects import grid_of, square, structure_set, write_set
from dicom_factories import Grid
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import DataError, ReadError
from medseg.io import rtstruct_items
from medseg.io.rtstruct_read import read_structure_set

GRID = grid_of(Grid())


def read(tmp_path, *data, kind="CLOSED_PLANAR", change=lambda dataset: None):
    dataset = structure_set({"MARKER": [(kind, one) for one in data]})
    change(dataset)
    return read_structure_set(write_set(tmp_path / "rt.dcm", dataset), GRID)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("1\\2\\three", "contour data is not numbers"),
        ("1\\2\\\\", "contour data is not numbers"),
        ("1\\2\\nan", "holds a value that is not within 1e"),
        ("1\\2\\-inf", "holds a value that is not within 1e"),
        ("1\\2\\1e300", "holds a value that is not within 1e"),
        ("1\\2\\3\\4", "a contour of 1 points has 4 coordinates; it is cut off or damaged"),
    ],
)
def test_contour_data_that_is_no_points(tmp_path, data, message):
    with pytest.raises(ReadError, match=message) as caught:
        read(tmp_path, data)
    assert "MARKER" not in str(caught.value)


def test_a_contour_that_is_shorter_than_it_says(tmp_path):
    def longer(dataset):
        dataset.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 5

    with pytest.raises(ReadError, match="a contour of 5 points has 12 coordinates"):
        read(tmp_path, square(), change=longer)


def test_a_point_that_is_several(tmp_path):
    with pytest.raises(ReadError, match="a contour that is a single point has several"):
        read(tmp_path, square(), kind="POINT")


@pytest.mark.parametrize("limit", ["_MOST_NUMBERS", "_MOST_NUMBERS_IN_ALL"])
def test_too_many_points_are_refused_before_they_are_decoded(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(rtstruct_items, limit, 21 if limit.endswith("ALL") else 11)
    with pytest.raises(ReadError, match="contours hold more than the limit of"):
        read(tmp_path, "x\\" * 11 + "x", "x\\" * 11 + "x")


def test_a_contour_of_millions_of_points_costs_little(tmp_path):
    tracemalloc.start()
    with pytest.raises(ReadError, match="more than the limit of 1048576 points each and 33554432 in all"):
        read(tmp_path, "1\\" * (3 * 2**20) + "1")
    assert tracemalloc.get_traced_memory()[1] < 150e6
    tracemalloc.stop()


def test_a_scribble_over_the_whole_grid_is_filled_in_bounded_memory(tmp_path):
    ends = np.tile([[-1e5, -1e5, 40], [1e5, 1e5, 40]], (20_000, 1)) + np.random.default_rng(0).normal(0, 9, (40_000, 3))
    ends[:, 2] = 40
    tracemalloc.start()
    read(tmp_path, "\\".join(f"{value:.3f}" for value in ends.ravel()))
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_structures_that_are_not_defined_or_told_apart(tmp_path):
    def without(dataset):
        dataset.StructureSetROISequence = []

    def unnumbered(dataset):
        del dataset.StructureSetROISequence[0].ROINumber

    def doubled(dataset):
        dataset.StructureSetROISequence.append(dataset.StructureSetROISequence[0])

    def flat(dataset):
        del dataset.ROIContourSequence
        dataset.add_new("ROIContourSequence", "LO", "no items")

    for change, message in (
        (without, "defines no structures"),
        (unnumbered, "a structure has no number"),
        (doubled, "2 structures have 1 different numbers"),
        (flat, "a structure has no number|cannot be read"),
    ):
        with pytest.raises(ReadError, match=message):
            read(tmp_path, square(), change=change)


@given(st.integers(0, 10**9), st.integers(0, 255))
def test_a_damaged_byte_is_read_or_refused(tmp_path_factory, place, value):
    path = tmp_path_factory.mktemp("damaged") / "rt.dcm"
    write_set(path, structure_set({"one": [("CLOSED_PLANAR", square()), ("POINT", square()[:1])]}))
    content = bytearray(path.read_bytes())
    content[132 + place % (len(content) - 132)] = value
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_structure_set(path, GRID).geometry is GRID
