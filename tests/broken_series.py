"""CT series that make no volume, each with the error that says why."""

from __future__ import annotations

import numpy as np
from dicom_factories import Grid, series_datasets, voxels

from medseg.core.errors import GeometryError, StudyError

GRID = Grid(slices=8)


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
