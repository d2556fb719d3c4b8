import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import GeometryError
from medseg.metrics.instances import (
    InstanceCounts,
    count_lesions,
    instances_of,
    lesion_sensitivity,
    match_instances,
    overlaps,
    panoptic_quality,
    recognition_quality,
    segmentation_quality,
)


def test_metrics_reloaded_figure_3_51():
    predicted, reference = np.zeros((18, 18), int), np.zeros((18, 18), int)
    predicted[3:7, 1:3] = predicted[3:6, 3:7] = 1
    predicted[13:16, 4:6] = 2
    predicted[7:12, 13:17] = 3
    predicted[13:15, 13:17] = predicted[15, 15] = 4
    reference[2:7, 1:3] = reference[2:5, 3:6] = 1
    reference[6:12, 12:17] = 2
    reference[14:15, 7:10] = reference[13:16, 8:9] = 3
    assert panoptic_quality(match_instances(overlaps(predicted, reference))) == pytest.approx(0.35, abs=0.001)


def test_monais_four_by_four():
    predicted = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [2, 0, 3, 3], [4, 2, 2, 0]])
    reference = np.array([[1, 1, 2, 1], [0, 0, 0, 0], [1, 3, 0, 0], [4, 3, 3, 3]])
    found = overlaps(predicted, reference)
    assert panoptic_quality(match_instances(found, 0.5)) == pytest.approx(0.25, abs=1e-4)
    assert segmentation_quality(match_instances(found, 0.3)) == pytest.approx(0.6, abs=1e-4)
    assert recognition_quality(match_instances(found, 0.3)) == pytest.approx(0.75, abs=1e-4)


def test_panopticas_single_instance():
    predicted, reference = np.zeros((50, 50), int), np.zeros((50, 50), int)
    reference[20:40, 10:20] = 1
    predicted[20:35, 10:20] = 2
    counts = match_instances(overlaps(predicted, reference))
    assert (counts.tp, counts.fp) == (1, 0)
    assert segmentation_quality(counts) == pytest.approx(0.75, abs=1e-9)
    assert panoptic_quality(counts) == pytest.approx(0.75, abs=1e-9)


def test_panopticas_two_lesions_under_one_prediction():
    predicted, reference = np.zeros((50, 50), int), np.zeros((50, 50), int)
    reference[20:30, 10:20], reference[30:40, 10:20] = 1, 3
    predicted[20:35, 10:20] = 2
    counts = match_instances(overlaps(predicted, reference))
    assert (counts.tp, counts.fp, counts.fn) == (1, 0, 1)
    assert segmentation_quality(counts) == pytest.approx(2 / 3, abs=1e-9)
    assert panoptic_quality(counts) == pytest.approx(4 / 9, abs=1e-9)


def test_stardists_shifted_discs():
    rows, columns = np.ogrid[:128, :128]
    reference = np.zeros((128, 128), np.uint16)
    for number, column in enumerate(np.linspace(0, 128, 7)[1:-1], start=1):
        reference[(rows - 64) ** 2 + (columns - column) ** 2 < 8**2] = number
    predicted = np.roll(reference, 5, axis=0)
    iou = np.sum((predicted == reference)[reference > 0]) / np.sum((reference + predicted) > 0)
    found = overlaps(predicted, reference)
    half, double = match_instances(found, 0.5 * iou), match_instances(found, 2 * iou)
    assert (half.tp, half.fp, half.fn) == (5, 0, 0)
    assert (double.tp, double.fp, double.fn) == (0, 5, 5)


def test_nothing_anywhere_is_no_number():
    counts = match_instances(overlaps(np.zeros((4, 4), int), np.zeros((4, 4), int)))
    assert counts == InstanceCounts(0, 0, 0, 0.0)
    assert np.isnan([panoptic_quality(counts), recognition_quality(counts), segmentation_quality(counts)]).all()


def test_other_shapes_are_refused():
    with pytest.raises(GeometryError, match="different shapes"):
        overlaps(np.zeros((4, 4), int), np.zeros((4, 5), int))


def test_lesions_that_touch_a_prediction_are_found():
    reference = np.zeros((20, 20, 3), bool)
    reference[2:6, 2:6, 1] = reference[12:16, 12:16, 1] = True
    predicted = np.zeros_like(reference)
    predicted[5:8, 5:8, 1] = predicted[0, 19, 0] = True
    found = overlaps(instances_of(predicted), instances_of(reference))
    counts = count_lesions(found)
    assert (counts.found, counts.missed, counts.false) == (1, 1, 1)
    assert lesion_sensitivity(counts) == 0.5
    assert count_lesions(found, share=0.2).found == 0
    assert np.isnan(lesion_sensitivity(count_lesions(overlaps(instances_of(predicted), instances_of(predicted) * 0))))


def test_voxels_that_share_a_corner_belong_together():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert instances_of(mask).max() == 1


@given(st.integers(0, 2**32 - 1))
def test_the_numbers_of_instances_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.integers(0, 4, (6, 5, 2)) for _ in range(2))
    new_numbers = np.append(0, rng.permutation(np.arange(1, 100))[:3])
    counts, renumbered = (match_instances(overlaps(a, other)) for a in (one, new_numbers[one]))
    assert (counts.tp, counts.fp, counts.fn) == (renumbered.tp, renumbered.fp, renumbered.fn)
    assert counts.iou_sum == pytest.approx(renumbered.iou_sum)
    swapped = match_instances(overlaps(other, one))
    assert (swapped.tp, swapped.fp, swapped.fn) == (counts.tp, counts.fn, counts.fp)
