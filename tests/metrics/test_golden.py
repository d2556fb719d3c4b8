"""The numbers that other projects expect in their own tests, each under the definition that it uses.

Where a project prints a number to two digits, what its library gives to all digits is tested too. What we mean to
answer otherwise is in ``INTENDED``, and in the same table on the page docs/concepts/other-libraries.md.

Sources: MetricsReloaded cb38dfc (test_pairwise_measures.py, test_calibration_metrics.py,
test_mixed_measures_processes.py), surface-distance 1f805ce (surface_distance_test.py), MONAI d388d1c
(test_hausdorff_distance.py, test_surface_distance.py, test_surface_dice.py, test_compute_panoptic_quality.py),
panoptica b0ac3e4 (test_metrics.py, test_panoptic_evaluator.py), StarDist 650d3a1 (test_matching.py), pycocotools 2.0.11
(run; it prints no numbers).
"""

import math
from pathlib import Path

import numpy as np
import pytest
from metrics import golden_cases as cases

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.metrics import overlap
from medseg.metrics.average_precision import Detections, average_precision
from medseg.metrics.boundary import boundary_iou
from medseg.metrics.calibration import brier, reliability
from medseg.metrics.counts import VoxelCounts, count_voxels
from medseg.metrics.instances import (
    instances_of,
    match_instances,
    overlaps,
    panoptic_quality,
    recognition_quality,
    segmentation_quality,
)
from medseg.metrics.surface import assd, hd, hd95, masd, nsd, pooled_hd95, surface_distances
from medseg.metrics.surfels import surfel_distances, surfel_hd, surfel_means, surfel_nsd
from medseg.metrics.topology import cl_dice

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "other-libraries.md"
NAN, INF = math.nan, math.inf
INTENDED = {
    ("mr_both_empty", "dice"): (1, NAN),
    ("mr_both_empty", "hd"): (0, NAN),
    ("mr_both_empty", "hd95"): (0, NAN),
    ("mr_both_empty", "assd"): (0, NAN),
    ("mr_both_empty", "masd"): (0, NAN),
    ("mr_both_empty", "nsd"): (1, NAN),
    ("mr_both_empty", "boundary_iou"): (1, NAN),
    ("sd_both_empty", "hd"): (INF, NAN),
    ("sd_both_empty", "hd95"): (INF, NAN),
    ("sd_2d_2px", "nsd"): (0.5, 0),
    ("sd_2d_2px", "assd"): (1.5, 2),
    ("pan_nooverlap", "assd"): (1.05, 1.0625),
    ("pan_large_discrepancy_hd95", "hd95"): (2.473011636398349, 2.59148346584763),
    ("mr_brier_logscore", "brier"): (0.4, 0.2),
}
"""What the source says, and what we say under the same name: empties, surfaces, names, a factor of two."""


def counts(predicted, reference):
    grid = Geometry.from_spacing((predicted.size, 1, 1))
    maps = [LabelMap(mask.astype(np.uint8).reshape(grid.shape), grid) for mask in (predicted, reference)]
    return count_voxels(*maps, LabelScheme.from_names({"one": 1}))


def solid(masks):
    """2D masks with a third axis of one voxel."""
    return tuple(mask[..., None] if mask.ndim == 2 else mask for mask in masks)


def distances(masks, spacing=(1.0, 1.0, 1.0)):
    return surface_distances(*solid(masks), spacing)


def one(scores):
    (score,) = scores
    return float(score)


def printed(value, tolerance):
    return pytest.approx(value, abs=tolerance)


def intended(case, score, ours):
    """Whether the table holds what we say."""
    return ours == pytest.approx(INTENDED[case, score][1], nan_ok=True)


def test_mr_fig10_star():
    masks = cases.square_with_a_cross()
    found, between = counts(*masks), distances(masks)
    scores = [one(overlap.dice(found)), one(overlap.iou(found)), assd(between), masd(between), nsd(between, 1)]
    assert scores == printed([0.862, 0.76, 0.44, 0.425, 0.89], 0.01)
    assert scores == printed([0.862068966, 0.757575758, 0.444444444, 0.425, 0.888888889], 1e-9)


def test_mr_fig5c_hd_vs_hd95():
    between = distances(cases.outlier_pixel())
    assert [hd(between), hd95(between)] == printed([11.31, 6.79], 0.01)
    assert [hd(between), hd95(between)] == printed([11.313708499, 6.788225099], 1e-9)


def test_mr_s212_boundary_iou_d1():
    masks = solid(cases.square_short_of_a_row())
    scores = [boundary_iou(*masks, (1.0, 1.0, 1.0), width) for width in (1, 2)]
    assert scores == printed([0.6, 0.8], 0.1)
    assert scores == printed([0.595505618, 0.774834437], 1e-9)


def test_mr_cldice_small2():
    score = cl_dice(*solid(cases.corner_without_its_upright()))
    assert score == printed(0.67, 0.01)
    assert score == printed(0.666666667, 1e-9)


def test_mr_s29_cls2():
    found = counts(*cases.ninety_percent_prevalence())
    inverse = VoxelCounts(found.tn, found.fn, found.fp, found.tp)
    recall, specificity = one(overlap.recall(found)), one(overlap.specificity(found))
    total = one(found.union + found.tn)
    by_chance = one(found.predicted * found.reference + inverse.predicted * inverse.reference) / total**2
    scores = {
        "dice": one(overlap.dice(found)),
        "ppv": one(overlap.precision(found)),
        "npv": one(overlap.precision(inverse)),
        "mcc": one(overlap.mcc(found)),
        "kappa": (one(overlap.accuracy(found)) - by_chance) / (1 - by_chance),
        "balanced_accuracy": one(overlap.balanced_accuracy(found)),
        "youden": recall + specificity - 1,
        "lr_plus": recall / (1 - specificity),
    }
    assert list(scores.values()) == printed([0.94, 0.98, 0.47, 0.56, 0.53, 0.85, 0.7, 4.5], 0.02)
    exact = [0.936416185, 0.975903614, 0.470588235, 0.55905658, 0.533898305, 0.85, 0.7, 4.5]
    assert list(scores.values()) == printed(exact, 1e-7)


def test_mr_s217():
    found = counts(*cases.six_for_three())
    assert [one(overlap.recall(found)), one(overlap.specificity(found))] == printed([1, 0.969072165], 1e-9)


def test_mr_both_empty():
    masks = cases.both((14, 14))
    empty = {
        "dice": one(overlap.dice(counts(*masks))),
        "boundary_iou": boundary_iou(*solid(masks), (1.0, 1.0, 1.0), 1),
        **dict.fromkeys(("hd", "hd95", "assd", "masd", "nsd"), NAN),  # metrics.empties; test_empties has the rows
    }
    assert distances(masks).to_reference.size == 0
    assert all(intended("mr_both_empty", name, score) for name, score in empty.items())


def test_mr_brier_logscore():
    said, true = np.array([0.8, 0.6]), np.array([True, False])  # of class 1; class 0 is the rest
    ours = brier(reliability(said, true))
    assert 2 * ours == printed(0.4, 0.01)
    assert intended("mr_brier_logscore", "brier", ours)


def test_mr_pq_351():
    score = panoptic_quality(match_instances(overlaps(*cases.instances_of_figure_3_51())))
    assert score == printed(0.35, 0.001)
    assert score == printed(0.350476195, 1e-7)


@pytest.mark.parametrize(
    ("masks", "spacing"),
    [(cases.two_pixels(), (2.0, 1.0, 1.0)), (cases.two_voxels(), (3.0, 2.0, 1.0))],
    ids=["sd_2d_2px", "sd_3d_2vox"],
)
def test_sd_2_pixels_2_mm_away(masks, spacing):
    found = surfel_distances(*solid(masks), spacing)
    assert surfel_means(found) == printed((1.5, 1.5), 0.001)
    assert (surfel_hd(found), surfel_hd(found, 95)) == printed((2, 2), 0.001)
    sides = (found.predicted_areas, found.to_reference), (found.reference_areas, found.to_predicted)
    assert [areas[away <= 1].sum() / areas.sum() for areas, away in sides] == printed([0.5, 0.5], 0.001)
    assert surfel_nsd(found, 1) == printed(0.5, 0.001)
    assert one(overlap.dice(counts(*masks))) == 0
    between = distances(masks, spacing)
    assert intended("sd_2d_2px", "nsd", nsd(between, 1))
    assert intended("sd_2d_2px", "assd", assd(between))


def test_sd_both_empty():
    masks = cases.both((128, 128))
    found = surfel_distances(*solid(masks), (3.0, 2.0, 1.0))
    assert np.isnan([*surfel_means(found), surfel_nsd(found, 1), one(overlap.dice(counts(*masks)))]).all()
    assert intended("sd_both_empty", "hd", surfel_hd(found))
    assert intended("sd_both_empty", "hd95", surfel_hd(found, 95))


def test_monai_sphere_shift111():
    between = distances((cases.sphere(20, (20, 20, 20)), cases.sphere(20, (19, 19, 19))))
    assert [hd(between), between.to_reference.max()] == printed([1.7320508] * 2, 1e-5)
    scores = [hd95(between), np.percentile(between.to_reference, 95), assd(between), between.to_reference.mean()]
    assert scores == printed([1.732050776, 1.732050776, 0.895742953, 0.895861268], 1e-6)


def test_monai_sphere_20_40():
    between = distances((cases.sphere(20, (20, 33, 22)), cases.sphere(40, (20, 33, 22))))
    directed = between.to_reference
    scores = [directed.max(), hd(between), np.percentile(directed, 95), hd95(between), assd(between), directed.mean()]
    expected = [
        20.09975124224178, 20.223748416156685, 19.924858845171276, 20.09975124224178, 15.117741, 12.040033513150455
    ]  # fmt: skip
    assert scores == printed(expected, 1e-4)


def test_monai_sphere_33_shift1():
    between = distances((cases.sphere(33, (19, 33, 22)), cases.sphere(33, (20, 33, 22))))
    scores = [hd(between), between.to_reference.max(), assd(between), between.to_reference.mean()]
    assert scores == printed([1, 1, 0.350217, 0.3483278807706289], 1e-5)


def test_monai_surface_dice_lines():
    between = distances(cases.two_lines())
    assert [nsd(between, tolerance) for tolerance in (0, 5.5, 6)] == printed([0, 1 / 3, 2 / 3], 1e-6)


def test_monai_pq_4x4():
    found = overlaps(*cases.four_by_four_instances())
    half, third = match_instances(found), match_instances(found, 0.3)
    scores = [panoptic_quality(half), segmentation_quality(third), recognition_quality(third)]
    assert scores == printed([0.25, 0.6, 0.75], 1e-4)


def test_pan_nooverlap():
    masks = cases.complements()
    found, between = counts(*masks), distances(masks)
    assert one(found.predicted - found.reference) / one(found.reference) == printed(-0.4, 1e-9)
    assert one(overlap.dice(found)) == 0
    assert masd(between) == printed(1.05, 1e-9)  # which panoptica calls ASSD
    assert intended("pan_nooverlap", "assd", assd(between))


def test_pan_nooverlap_spacing20():
    between = distances(cases.complements(), (20.0, 20.0, 1.0))
    assert [masd(between), hd(between)] == printed([21, 40], 1e-9)


def test_pan_large_discrepancy_hd95():
    between = distances(cases.large_discrepancy())
    assert [hd(between), pooled_hd95(between)] == printed([2.82842712474619, 2.473011636398349], 1e-7)
    assert intended("pan_large_discrepancy_hd95", "hd95", hd95(between))


def test_pan_pq_single():
    masks = cases.bar_cut_short()
    found = match_instances(overlaps(*(instances_of(mask) for mask in solid(masks))))
    assert (found.tp, found.fp, found.fn) == (1, 0, 0)
    scores = [segmentation_quality(found), recognition_quality(found), panoptic_quality(found)]
    assert scores == printed([0.75, 1, 0.75], 1e-9)
    assert one(overlap.dice(counts(*masks))) == printed(0.8571428571428571, 1e-9)


def test_pan_pq_split():
    maps = cases.one_instance_over_two()
    found = match_instances(overlaps(*maps))
    assert (found.tp, found.fp, found.fn) == (1, 0, 1)
    assert [segmentation_quality(found), panoptic_quality(found)] == printed([2 / 3, 0.4444444444444444], 1e-9)
    assert one(overlap.dice(counts(*(labels > 0 for labels in maps)))) == printed(0.8571428571428571, 1e-9)


def test_stardist_matching_circles():
    predicted, reference = cases.five_discs()
    iou = ((predicted == reference) & (reference > 0)).sum() / ((reference + predicted) > 0).sum()
    found = overlaps(predicted, reference)
    half, twice = match_instances(found, 0.5 * iou), match_instances(found, 2 * iou)
    assert (half.tp, half.fp, half.fn, twice.tp, twice.fp, twice.fn) == (5, 0, 0, 0, 5, 5)


def test_coco_ap_boxes_1():
    images = []
    for predicted, reference in cases.boxes_of_two_images():
        iou = [[(mask & true).sum() / (mask | true).sum() for true in reference] for mask, _ in predicted]
        images.append(Detections(np.array([score for _, score in predicted]), np.array(iou)))
    found = average_precision(images)
    assert [found.mean, found.by_threshold[0.5], found.by_threshold[0.75], found.recall] == printed(
        [0.3207920792079208, 0.485148514851485, 0.22772277227722773, 0.575], 1e-6
    )
    expected = [*[0.485149] * 4, *[0.227723] * 5, 0.128713]
    assert list(found.by_threshold.values()) == printed(expected, 1e-6)


def test_the_page_lists_what_is_meant_to_differ():
    lines = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in PAGE.read_text("utf-8").splitlines()]
    listed = {(line[0], line[1]): (line[2], line[3]) for line in lines if len(line) == 5 and line[0][:3] in CASES}
    assert listed == {key: (f"{theirs:.4g}", f"{ours:.4g}") for key, (theirs, ours) in INTENDED.items()}


CASES = ("mr_", "sd_", "pan")
