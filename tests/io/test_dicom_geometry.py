"""Series that make no volume: each is refused with the slice and the millimetres, by header and by reader alike."""

from __future__ import annotations

import re

import numpy as np
import pytest
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

from medseg.core.errors import DataError, GeometryError, StudyError
from medseg.io.dicom_geometry import stack_planes
from medseg.io.dicom_instance import Plane
from medseg.io.dicom_read import read_series

GRID = Grid(slices=8)


def planes(depths, tilt=(12.0, -25.0, 7.0)) -> list[Plane]:
    """Planes at the given distances along the normal of an oblique grid."""
    grid = Grid(tilt_degrees=tilt)
    orientation = tuple(grid.directions[:, :2].T.ravel())
    positions = [np.array(grid.origin) + grid.directions[:, 2] * depth for depth in depths]
    return [Plane(7, 9, tuple(place), orientation, (1.25, 0.75), 5.0, 1.0, 0.0) for place in positions]


def move(datasets, number, along):
    position = np.array([float(value) for value in datasets[number].ImagePositionPatient]) + along
    datasets[number].ImagePositionPatient = [f"{value:.6f}" for value in position]


def without(*numbers):
    return lambda datasets: [one for number, one in enumerate(datasets) if number not in numbers]


def moved(number, *along):
    return lambda datasets: move(datasets, number, np.array(along))


def sheared(datasets):
    for number in range(len(datasets)):
        move(datasets, number, np.array([0.0, 0.5 * number, 0.0]))


def turned(datasets):
    datasets[3].ImageOrientationPatient = [*("1", "0", "0"), *("0", "0", "-1")]


def resized(datasets):
    smaller = Grid(columns=4, rows=5, slices=8)
    datasets[2] = series_datasets(smaller, voxels(smaller))[2]
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(datasets[2], keyword, getattr(datasets[0], keyword))


def repeated(keyword, values):
    def change(datasets):
        copies = [series_datasets(GRID, voxels(GRID)) for _ in values]
        for value, copy in zip(values, copies, strict=True):
            for one in copy:
                one.SeriesInstanceUID, one.StudyInstanceUID = (
                    datasets[0].SeriesInstanceUID,
                    datasets[0].StudyInstanceUID,
                )
                one.FrameOfReferenceUID = datasets[0].FrameOfReferenceUID
                setattr(one, keyword, value)
        return [one for copy in copies for one in copy]

    return change


def with_element(number, keyword, value):
    return lambda datasets: setattr(datasets[number], keyword, value)


BROKEN = {
    "one missing": (
        without(3),
        GeometryError,
        "1 of 8 slices missing (gap of 5.0 mm after slice 3, spacing 2.5 mm); with fill_gaps they are interpolated",
    ),
    "three missing": (without(2, 5, 6), GeometryError, "3 of 8 slices missing (gap of 5.0 mm after slice 2, spacing"),
    "one doubled": (
        lambda datasets: [*datasets, datasets[4]],
        GeometryError,
        "duplicate slices: 9 images at 8 places, 2 of them at slice 5 (10.0 mm from the first)",
    ),
    "one out of place": (
        moved(4, 0, 0, 0.5),
        GeometryError,
        "slices are unevenly spaced: 3.00 mm between slices 4 and 5, 2.50 mm between most",
    ),
    "last one too far": (
        moved(7, 0, 0, 1.25),
        GeometryError,
        "slices are unevenly spaced: 3.75 mm between slices 7 and 8, 2.50 mm between most",
    ),
    "one beside": (moved(4, 3, 0, 0), GeometryError, "slice 5 lies 3.00 mm beside the line of the first and the last"),
    "gantry tilt": (
        sheared,
        GeometryError,
        "slices shift sideways by 3.50 mm over 17.5 mm, a gantry tilt of 11.3 degrees; resample the series",
    ),
    "mixed orientation": (
        turned,
        GeometryError,
        "slices of 2 orientations, tilted by up to 90.0 degrees to each other",
    ),
    "mixed sizes": (resized, GeometryError, "slices differ in size: 4 x 5 and 9 x 7 pixels"),
    "mixed pixel spacing": (
        with_element(3, "PixelSpacing", ["1.5", "0.75"]),
        GeometryError,
        "slices differ in pixel spacing, from 0.75 to 1.5 mm",
    ),
    "no pixel spacing": (with_element(3, "PixelSpacing", ["0", "0"]), GeometryError, "pixel spacing must be positive"),
    "skew axes": (
        lambda datasets: (
            [setattr(one, "ImageOrientationPatient", [1, 0, 0, 0.1, 0.995, 0]) for one in datasets] and None
        ),
        GeometryError,
        "image orientation is not two unit vectors at a right angle",
    ),
    "zero axes": (
        lambda datasets: [setattr(one, "ImageOrientationPatient", [0, 0, 0, 0, 0, 0]) for one in datasets] and None,
        GeometryError,
        "image orientation is not two unit vectors at a right angle",
    ),
    "two frames of reference": (
        with_element(3, "FrameOfReferenceUID", "1.2.3.4.5"),
        GeometryError,
        "slices of several frames of reference have no common coordinates",
    ),
    "time points": (
        repeated("TemporalPositionIdentifier", [1, 2, 3]),
        StudyError,
        "such as time points, echoes or image types; they differ in TemporalPositionIdentifier",
    ),
    "image types": (
        repeated("ImageType", [["ORIGINAL", "PRIMARY", "WATER"], ["ORIGINAL", "PRIMARY", "FAT"]]),
        StudyError,
        "2 volumes of 8 slices at one place, such as time points, echoes or image types; they differ in ImageType",
    ),
    "one place only": (
        lambda datasets: [datasets[0]] * 4,
        StudyError,
        "4 images of one slice at one place, such as time points",
    ),
}


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
