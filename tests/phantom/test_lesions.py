from __future__ import annotations

import numpy as np
import pytest

from medseg.metrics.instances import instances_of
from medseg.phantom.lesions import LIVER_LESIONS, lesion_case

LIVER, LESION = LIVER_LESIONS.values


@pytest.fixture(scope="module")
def cases():
    return [lesion_case(seed) for seed in range(6)]


def test_lesions_fill_the_share_that_was_asked_for(cases):
    for case in cases:
        assert (case.label.array == LESION).mean() == pytest.approx(0.001, rel=0.2)
    few = lesion_case(0, share=0.0003)
    assert (few.label.array == LESION).mean() == pytest.approx(0.0003, rel=0.3)


def test_a_case_has_several_lesions_of_several_sizes(cases):
    sizes = [np.bincount(instances_of(case.label.array == LESION).ravel())[1:] for case in cases]
    assert all(3 <= len(one) <= 8 for one in sizes)
    assert np.std([size for one in sizes for size in one]) > 20


def test_lesions_lie_in_the_liver_and_are_darker(cases):
    from scipy.ndimage import binary_dilation

    for case in cases:
        lesion, liver = case.label.array == LESION, case.label.array == LIVER
        rim = binary_dilation(lesion, iterations=2) & ~lesion
        assert liver[rim].mean() > 0.8
        hu = case.image.array[0]
        assert np.median(hu[lesion]) < np.median(hu[liver]) - 15


def test_one_seed_gives_one_case():
    one, same, other = lesion_case(3), lesion_case(3), lesion_case(4)
    assert np.array_equal(one.image.array, same.image.array)
    assert np.array_equal(one.label.array, same.label.array)
    assert not np.array_equal(one.label.array, other.label.array)
