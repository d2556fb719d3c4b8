"""Pairs of masks and maps that other projects use in their own tests, built anew; predicted first, reference second."""

from __future__ import annotations

import numpy as np
from skimage.draw import disk


def both(shape, dtype=bool):
    return np.zeros(shape, dtype), np.zeros(shape, dtype)


def square_with_a_cross():
    predicted, reference = both((11, 11))
    reference[3:8, 3:8] = predicted[3:8, 3:8] = True
    predicted[5, 1:10] = predicted[1:10, 5] = True
    return predicted, reference


def outlier_pixel():
    predicted, reference = both((14, 14))
    predicted[9:12, 9:12] = reference[9:12, 9:12] = reference[1, 1] = True
    return predicted, reference


def square_short_of_a_row():
    predicted, reference = both((22, 22))
    predicted[3:21, 2:21] = reference[2:21, 2:21] = True
    return predicted, reference


def corner_without_its_upright():
    predicted, reference = both((14, 14))
    predicted[3, 1:4] = reference[3, 1:4] = reference[1:4, 1] = True
    return predicted, reference


def ninety_percent_prevalence():
    return np.repeat([1, 0, 1, 0], [81, 9, 2, 8]) > 0, np.arange(100) < 90


def six_for_three():
    return np.arange(100) < 6, np.arange(100) < 3


def instances_of_figure_3_51():
    predicted, reference = both((18, 18), int)
    predicted[3:7, 1:3] = predicted[3:6, 3:7] = 1
    predicted[13:16, 4:6] = 2
    predicted[7:12, 13:17] = 3
    predicted[13:15, 13:17] = predicted[15, 15] = 4
    reference[2:7, 1:3] = reference[2:5, 3:6] = 1
    reference[6:12, 12:17] = 2
    reference[14, 7:10] = reference[13:16, 8] = 3
    return predicted, reference


def two_pixels():
    predicted, reference = both((128, 128))
    predicted[50, 72] = reference[50, 70] = True
    return predicted, reference


def two_voxels():
    predicted, reference = both((128, 128, 128))
    predicted[50, 60, 72] = reference[50, 60, 70] = True
    return predicted, reference


def sphere(radius, centre):
    axes = zip(np.ogrid[:99, :99, :99], centre, strict=True)
    return sum((axis - c) ** 2 for axis, c in axes) <= radius**2


def two_lines():
    predicted, reference = both((10, 10))
    predicted[1:4, 1] = reference[5:8, 6] = True
    return predicted, reference


def four_by_four_instances():
    predicted = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [2, 0, 3, 3], [4, 2, 2, 0]])
    reference = np.array([[1, 1, 2, 1], [0, 0, 0, 0], [1, 3, 0, 0], [4, 3, 3, 3]])
    return predicted, reference


def complements():
    predicted = np.array([[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]]) > 0
    return predicted, ~predicted


def large_discrepancy():
    predicted, reference = both((4, 4))
    predicted[:3, :3] = predicted[3, 0] = reference[2:, 2:] = True
    return predicted, reference


def bar_cut_short():
    predicted, reference = both((50, 50))
    predicted[20:35, 10:20] = reference[20:40, 10:20] = True
    return predicted, reference


def one_instance_over_two():
    predicted, reference = both((50, 50), int)
    predicted[20:35, 10:20] = 2
    reference[20:30, 10:20], reference[30:40, 10:20] = 1, 3
    return predicted, reference


def five_discs():
    reference = np.zeros((128, 128), int)
    for number, column in enumerate(np.linspace(0, 128, 7)[1:-1], start=1):
        reference[disk((64, column), radius=128 // 15, shape=reference.shape)] = number
    return np.roll(reference, 5, axis=0), reference


def box(top, left, height, width):
    mask = np.zeros((64, 64), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def boxes_of_two_images():
    """For each image the scored boxes that were predicted, and those that are there."""
    first = [(box(4, 4, 20, 20), 0.9), (box(30, 8, 20, 20), 0.8), (box(4, 38, 10, 10), 0.7), (box(50, 50, 8, 8), 0.95)]
    second = [(box(10, 10, 30, 27), 0.6), (box(12, 12, 26, 26), 0.5)]
    return (
        (first, [box(4, 4, 20, 20), box(30, 4, 20, 20), box(4, 34, 10, 10)]),
        (second, [box(10, 10, 30, 30)]),
    )
