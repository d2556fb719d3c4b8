"""The surface elements of surface-distance 1f805ce (its own tests), and of MONAI where that implements the same."""

import warnings

import numpy as np
import pytest
import torch
from factories import ball

from medseg.core.errors import GeometryError
from medseg.metrics.surfels import surfel_distances, surfel_hd, surfel_means, surfel_nsd


def pair(shape, one, other):
    masks = np.zeros((2, *shape), bool)
    masks[0][other] = masks[1][one] = True
    return masks[0], masks[1]


@pytest.mark.parametrize(
    ("masks", "spacing"),
    [
        (pair((128, 128, 1), (50, 70, 0), (50, 72, 0)), (2.0, 1.0, 5.0)),
        (pair((128, 128, 128), (50, 60, 70), (50, 60, 72)), (3.0, 2.0, 1.0)),
    ],
)
def test_surface_distances_two_voxels(masks, spacing):
    distances = surfel_distances(*masks, spacing)
    assert surfel_means(distances) == pytest.approx((1.5, 1.5), abs=0.001)
    assert surfel_hd(distances) == pytest.approx(2.0, abs=0.001)
    assert surfel_hd(distances, 95) == pytest.approx(2.0, abs=0.001)
    assert surfel_nsd(distances, 1.0) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.2, 3.0)])
@pytest.mark.parametrize("tolerance", [0.5, 1.5, 4.1])
def test_equal_to_monais_subvoxels(spacing, tolerance):
    from monai.metrics import compute_surface_dice

    rng = np.random.default_rng(0)
    predicted, reference = ball(centre=(14, 15, 16), radius=8), ball(centre=(16, 13, 15), radius=9)
    predicted ^= rng.random(predicted.shape) < 0.02
    tensors = [torch.from_numpy(mask)[None, None] for mask in (predicted, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = compute_surface_dice(*tensors, [tolerance], True, spacing=spacing, use_subvoxels=True)
    found = surfel_nsd(surfel_distances(predicted, reference, spacing), tolerance)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_empty_sides():
    none, one = np.zeros((9, 9, 9), bool), ball((9, 9, 9), (4, 4, 4), 2)
    both = surfel_distances(none, none, (1.0, 1.0, 1.0))
    assert np.isnan([surfel_hd(both), surfel_nsd(both, 1.0), *surfel_means(both)]).all()
    missed = surfel_distances(none, one, (1.0, 1.0, 1.0))
    assert surfel_hd(missed) == np.inf
    assert surfel_nsd(missed, 1.0) == 0.0


def test_masks_that_are_no_surface_are_refused():
    with pytest.raises(GeometryError, match="different shapes"):
        surfel_distances(np.ones((3, 3, 3), bool), np.ones((3, 3, 4), bool), (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="two axes"):
        surfel_distances(np.ones((3, 1, 1), bool), np.ones((3, 1, 1), bool), (1.0, 1.0, 1.0))
