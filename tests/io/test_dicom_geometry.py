"""Series that make no volume: each is refused with the slice and the millimetres, by header and by reader alike."""

from __future__ import annotations

import re

import numpy as np
import pytest
from broken_series import BROKEN, GRID, without
from dicom_factories import (
    MARKER,
    OBLIQUE,
    Grid,
    only_series,
    read_folder,
    series_datasets,
    voxels,
    write_changed,
    write_files,
)
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import DataError, GeometryError
from medseg.io.dicom_geometry import stack_planes
from medseg.io.dicom_instance import Plane
from medseg.io.dicom_read import read_series


def planes(depths, tilt=(12.0, -25.0, 7.0)) -> list[Plane]:
    """Planes at the given distances along the normal of an oblique grid."""
    grid = Grid(tilt_degrees=tilt)
    orientation = tuple(grid.directions[:, :2].T.ravel())
    positions = [np.array(grid.origin) + grid.directions[:, 2] * depth for depth in depths]
    return [Plane(7, 9, tuple(place), orientation, (1.25, 0.75), 5.0, 1.0, 0.0) for place in positions]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_series_is_refused_with_slice_and_millimetres(tmp_path, kind):
    change, error, message = BROKEN[kind]
    write_changed(tmp_path, change, GRID)
    series = only_series(tmp_path)
    assert message in series.problem
    assert series.geometry is None
    with pytest.raises(error, match=f"series of {len(series.files)} files: .*{re.escape(message)}") as caught:
        read_series(series)
    assert MARKER not in str(caught.value)
    assert series.uid not in str(caught.value)


def test_gaps_are_filled_where_asked(tmp_path):
    grid = Grid(slices=9, tilt_degrees=OBLIQUE.tilt_degrees)
    ramp = voxels(grid, 0, 500)
    ramp[:] = ramp[:, :, :1] + 10 * np.arange(9)
    write_files(tmp_path, without(2, 5, 6)(series_datasets(grid, ramp)))
    volume = read_folder(tmp_path, fill_gaps=True)
    np.testing.assert_array_equal(volume.array[0], ramp)
    np.testing.assert_allclose(volume.geometry.affine, grid.affine, atol=1e-6)


def test_gaps_of_fractions_are_filled_too(tmp_path):
    grid = Grid(slices=5)
    ramp = voxels(grid, 0, 500)
    ramp[:] = ramp[:, :, :1] + np.arange(5)
    datasets = series_datasets(grid, ramp, RescaleSlope="0.25", RescaleIntercept="0")
    write_files(tmp_path, without(3)(datasets))
    np.testing.assert_allclose(read_folder(tmp_path, fill_gaps=True).array[0], ramp * 0.25)


def test_filled_integers_are_rounded(tmp_path):
    stored = np.zeros((GRID.columns, GRID.rows, GRID.slices), np.int16)
    stored[:, :, 4:] = -7
    write_files(tmp_path, without(3)(series_datasets(GRID, stored)))
    array = read_folder(tmp_path, fill_gaps=True).array
    assert array.dtype == np.int16
    assert (array[0, :, :, 3] == -4).all()


def test_two_slices_say_nothing_of_others_between_them():
    assert stack_planes(planes([0, 5])).geometry.spacing[2] == pytest.approx(5.0)


def test_a_gap_wider_than_the_series_is_not_filled():
    with pytest.raises(GeometryError, match=r"7 of 11 slices missing \(gap of 20.0 mm .*too many to interpolate"):
        stack_planes(planes([0, 2.5, 5, 25]), fill_gaps=True)


def test_endless_gap_of_a_hostile_file_allocates_nothing():
    with pytest.raises(GeometryError, match="slices missing"):
        stack_planes(planes([0, 1, 2, 1e12]), fill_gaps=True)


@pytest.mark.parametrize("jitter", [0.0, 0.04, 0.1])
def test_rounded_positions_are_no_uneven_spacing(jitter):
    depths = 2.5 * np.arange(30)
    depths[1:-1] += np.tile([jitter, -jitter], 14)
    stack = stack_planes(planes(depths))
    assert stack.geometry.spacing[2] == pytest.approx(2.5)
    assert stack.places == tuple(range(30))


def test_drifting_spacing_is_refused():
    depths = np.cumsum(np.linspace(2.0, 3.0, 40))
    with pytest.raises(GeometryError, match="unevenly spaced"):
        stack_planes(planes(depths))


@given(
    order=st.permutations(range(9)),
    tilt=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.floats(0.1, 12),
)
def test_order_of_files_does_not_matter(order, tilt, spacing):
    stack = stack_planes(planes([spacing * k for k in order], tilt))
    grid = Grid(slices=9, spacing=(0.75, 1.25, spacing), tilt_degrees=tilt)
    assert stack.places == tuple(order)
    np.testing.assert_allclose(stack.geometry.affine, grid.affine, atol=1e-9)


@given(depths=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8))
def test_any_positions_make_a_true_grid_or_an_error(depths):
    try:
        stack = stack_planes(planes(depths), fill_gaps=True)
    except DataError:
        return
    spacing = stack.geometry.spacing[2]
    places = np.array(stack.places) * spacing
    assert len(depths) == 1 or np.abs(places - (np.array(depths) - min(depths))).max() <= 0.05 * spacing + 1e-9
