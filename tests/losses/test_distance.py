"""Against scipy's exact Euclidean distance transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt

from medseg.losses.distance import capped_distance, surface_distance


def masks(dims):
    shapes = arrays.array_shapes(min_dims=dims, max_dims=dims, max_side=9)
    return shapes.flatmap(lambda shape: arrays.arrays(bool, shape, elements=st.booleans()))


@given(st.one_of(masks(2), masks(3)), st.integers(1, 12))
def test_up_to_its_reach_it_is_the_euclidean_distance(seeds, reach):
    exact = distance_transform_edt(~seeds) if seeds.any() else np.full(seeds.shape, np.inf)
    ours = capped_distance(torch.from_numpy(seeds)[None, None], reach)[0, 0]
    np.testing.assert_allclose(ours.numpy(), np.minimum(exact, reach), rtol=1e-6)


def test_samples_and_channels_do_not_see_each_other():
    seeds = torch.rand(3, 2, 7, 6, 5, generator=torch.Generator().manual_seed(0)) < 0.05
    whole = capped_distance(seeds, 6)
    for sample in range(3):
        for channel in range(2):
            single = capped_distance(seeds[sample : sample + 1, channel : channel + 1], 6)
            torch.testing.assert_close(whole[sample, channel], single[0, 0])


def test_the_largest_reach_fits_its_integers():
    seeds = torch.zeros(1, 1, 250, 3, dtype=torch.bool)
    seeds[0, 0, 0, 0] = True
    distance = capped_distance(seeds, 100)
    assert distance[0, 0, 99, 0] == 99
    assert distance[0, 0, 249, 2] == 100


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 7)])
def test_ignored_voxels_are_on_neither_side(shape):
    rng = np.random.default_rng(0)
    inside, valid = rng.random(shape) < 0.4, rng.random(shape) < 0.6
    distance = surface_distance(*(torch.from_numpy(one)[None, None] for one in (inside, valid)), 50)
    np.testing.assert_allclose(distance.outside[0, 0], distance_transform_edt(~(inside & valid)), rtol=1e-6)
    np.testing.assert_allclose(distance.inside[0, 0], distance_transform_edt(~(~inside & valid)), rtol=1e-6)


def test_a_side_that_is_nowhere_is_as_far_as_it_can_be():
    nothing, everything = torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    assert (surface_distance(nothing, everything, 7).outside == 7).all()
    assert (surface_distance(everything, everything, 7).inside == 7).all()
