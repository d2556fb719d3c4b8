"""Numbers that other projects print in their own tests, under the definitions that they share with ours.

Sources: MetricsReloaded cb38dfc (test_pairwise_measures.py), MONAI d388d1c (test_hausdorff_distance.py,
test_surface_dice.py), panoptica b0ac3e4 (test_metrics.py, test_panoptic_evaluator.py). Where those projects score empty
masks otherwise than we do (MetricsReloaded: both empty is a Dice of 1 and a distance of 0; surface-distance: an
infinite distance), test_empties.py holds our decision; the pooled HD95 of panoptica and the surface elements of
surface-distance are other definitions.
"""

import numpy as np
import pytest

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.metrics.table import ScoreSettings, score_case

SCHEME = LabelScheme.from_names({"one": 1})


def score(predicted, reference, spacing=(1.0, 1.0, 1.0), tolerance=1.0):
    shape = tuple(np.atleast_3d(predicted).shape)
    grid = Geometry.from_spacing(shape, spacing)
    maps = [LabelMap(np.atleast_3d(mask).astype(np.uint8), grid) for mask in (predicted, reference)]
    (row,) = score_case("case", *maps, SCHEME, ScoreSettings(tolerance))
    return row


def square_with_a_cross():
    reference = np.zeros((11, 11))
    reference[3:8, 3:8] = 1
    predicted = reference.copy()
    predicted[5, 1:10] = 1
    predicted[1:10, 5] = 1
    return predicted, reference


def test_metrics_reloaded_figure_10():
    row = score(*square_with_a_cross())
    assert row.dice == pytest.approx(0.862, abs=0.01)
    assert row.iou == pytest.approx(0.76, abs=0.01)
    assert row.nsd == pytest.approx(0.89, abs=0.01)


def test_metrics_reloaded_figure_5c_an_outlier_pixel_moves_hd95():
    reference, predicted = np.zeros((14, 14)), np.zeros((14, 14))
    reference[1, 1] = 1
    reference[9:12, 9:12] = 1
    predicted[9:12, 9:12] = 1
    assert score(predicted, reference).hd95 == pytest.approx(6.79, abs=0.01)


def test_metrics_reloaded_prevalence_of_90_percent():
    predicted = np.concatenate([np.ones(81), np.zeros(9), np.ones(2), np.zeros(8)])
    reference = np.concatenate([np.ones(90), np.zeros(10)])
    row = score(predicted, reference)
    assert row.dice == pytest.approx(0.94, abs=0.02)
    assert row.precision == pytest.approx(0.98, abs=0.02)


def test_metrics_reloaded_sensitivity_and_specificity():
    row = score(np.arange(100) < 6, np.arange(100) < 3)
    assert row.recall == 1
    assert row.specificity == pytest.approx(0.97, abs=0.01)


def sphere(radius, centre):
    grid = np.ogrid[:99, :99, :99]
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


@pytest.mark.parametrize(
    ("predicted", "reference", "hd95"),
    [
        ((20, (20, 20, 20)), (20, (19, 19, 19)), 1.7320508),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), 20.09975124224178),  # the larger one is cut by the volume's border
        ((33, (19, 33, 22)), (33, (20, 33, 22)), 1.0),
    ],
)
def test_monai_spheres(predicted, reference, hd95):
    assert score(sphere(*predicted), sphere(*reference)).hd95 == pytest.approx(hd95, abs=1e-5)


@pytest.mark.parametrize(("tolerance", "nsd"), [(0.0, 0.0), (5.5, 1 / 3), (6.0, 2 / 3)])
def test_monai_surface_dice_of_two_lines(tolerance, nsd):
    predicted, reference = np.zeros((10, 10)), np.zeros((10, 10))
    predicted[1:4, 1] = 1
    reference[5:8, 6] = 1
    assert score(predicted, reference, tolerance=tolerance).nsd == pytest.approx(nsd)


def test_panoptica_complementary_masks_have_no_overlap():
    predicted = np.array([[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]])
    assert score(predicted, 1 - predicted).dice == 0


def test_panoptica_one_instance_cut_short():
    reference, predicted = np.zeros((50, 50)), np.zeros((50, 50))
    reference[20:40, 10:20] = 1
    predicted[20:35, 10:20] = 1
    row = score(predicted, reference)
    assert row.dice == pytest.approx(0.8571428571428571)
    assert row.iou == pytest.approx(0.75)


def test_border_pixels_under_anisotropic_spacing():
    # metrics_and_dicom_output: the border-pixel NSD of MetricsReloaded, MONAI and panoptica for spacing (3, 1)
    reference, predicted = np.zeros((12, 12)), np.zeros((12, 12))
    reference[3:7, 3:7] = 1
    predicted[4:8, 3:7] = 1
    row = score(predicted, reference, (3.0, 1.0, 1.0))
    assert row.hd95 == pytest.approx(3.0)
    assert row.nsd == pytest.approx(0.6666667)
