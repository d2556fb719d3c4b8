import math

import numpy as np
import pytest
from factories import scheme

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.evaluation.instance_scores import case_instances, summarise_instances
from medseg.evaluation.intervals import Bootstrap, Method
from medseg.metrics.crops import LabelPair

QUICK = Bootstrap(resamples=300)
SHAPE = (40, 12, 1)


def blocks(*starts, size=4):
    array = np.zeros(SHAPE, np.uint8)
    for start in starts:
        array[start : start + size, 4 : 4 + size] = 1
    return array


def scored(case, predicted, reference, probabilities=None):
    grid = Geometry.from_spacing(SHAPE)
    pair = LabelPair.of(LabelMap(predicted, grid), LabelMap(reference, grid), scheme("lesion"))
    return case_instances(case, pair, "lesion", probabilities)


def test_lesions_of_a_case_are_matched_and_counted():
    # one found exactly, one touched by a shifted prediction (IoU 1/3), one missed, one invented
    one = scored("a", blocks(2, 14, 34), blocks(2, 12, 22))
    assert (one.matched.tp, one.matched.fp, one.matched.fn, one.matched.iou_sum) == (1, 2, 2, 1.0)
    assert (one.lesions.found, one.lesions.missed, one.lesions.false) == (2, 1, 1)
    assert one.detections is None


def test_a_case_without_any_lesion_counts_as_a_case():
    empty = scored("a", blocks(), blocks(), np.zeros(SHAPE))
    assert (empty.matched.tp, empty.lesions.false) == (0, 0)
    assert empty.detections.iou.shape == (0, 0)
    (summary,) = summarise_instances(
        [empty, scored("b", blocks(2), blocks(), np.zeros(SHAPE))], {"a": "A", "b": "B"}, QUICK
    )
    assert summary.ratios["false_per_case"].value == 0.5
    assert math.isnan(summary.ratios["sensitivity"].value)
    assert summary.ratios["sensitivity"].interval.method is Method.NONE


def test_counts_of_all_cases_are_added_up_before_they_are_divided():
    cases = [scored("a", blocks(2), blocks(2)), scored("b", blocks(2), blocks(2, 12, 22))]
    (summary,) = summarise_instances(cases, {"a": "A", "b": "B"}, QUICK)
    assert summary.ratios["sensitivity"].value == 2 / 4  # not the mean of 1 and 1/3
    assert summary.ratios["pq"].value == pytest.approx(2 / (2 + 2 / 2))
    assert summary.ratios["sq"].value == 1
    assert summary.ratios["precision"].value == 1
    assert (summary.cases, summary.patients, summary.matched.fn) == (2, 2, 2)
    assert summary.average_precision is None


def test_the_interval_draws_patients_and_not_lesions():
    cases = [scored(f"c{n}", blocks(2) if n % 2 else blocks(), blocks(2)) for n in range(12)]
    alone = summarise_instances(cases, {one.case: one.case for one in cases}, QUICK)[0].ratios["sensitivity"]
    assert 0 < alone.interval.low < 0.5 < alone.interval.high < 1
    together = summarise_instances(cases, {one.case: f"p{index // 6}" for index, one in enumerate(cases)}, QUICK)[0]
    assert together.ratios["sensitivity"].value == 0.5
    assert together.ratios["sensitivity"].interval.method is Method.CONSTANT  # both patients are alike


def test_sure_instances_come_first_in_average_precision():
    wrong_is_surer, right_is_surer = np.zeros((2, *SHAPE))
    wrong_is_surer[:20], wrong_is_surer[20:] = 0.6, 0.9
    right_is_surer[:20], right_is_surer[20:] = 0.9, 0.6
    found = []
    for maps in (wrong_is_surer, right_is_surer):
        cases = [scored("a", blocks(2, 30), blocks(2), maps)]
        assert sorted(cases[0].detections.scores) == pytest.approx([0.6, 0.9])
        (summary,) = summarise_instances(cases, {"a": "A"}, QUICK)
        found.append(summary.average_precision.by_threshold[0.5])
    assert found == [0.5, 1.0]


def test_structures_stay_apart():
    grid = Geometry.from_spacing(SHAPE)
    labels = LabelMap(blocks(2) + 2 * blocks(20), grid)
    pair = LabelPair.of(labels, labels, scheme("lesion", "cyst"))
    cases = [case_instances("a", pair, name) for name in ("cyst", "lesion")]
    assert [one.structure for one in summarise_instances(cases, {"a": "A"}, QUICK)] == ["cyst", "lesion"]
