from dataclasses import replace

import numpy as np
import pytest
from factories import scheme

from medseg.core.labels import Region
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.whole_map import whole_map

QUICK = Bootstrap(resamples=100)
ONE = np.array([[90, 2, 0], [5, 8, 0], [0, 0, 5]])
OTHER = np.array([[80, 0, 0], [0, 20, 0], [0, 0, 0]])


def test_cases_are_scored_and_added_up():
    found = whole_map({"a": ONE, "b": OTHER}, scheme(), {"a": "A", "b": "B"}, QUICK)
    assert found.classes == ("background", "one", "two")
    assert found.total.tolist() == (ONE + OTHER).tolist()
    assert found.scores["a"].pixel_accuracy == pytest.approx(103 / 110)
    assert found.means["pixel_accuracy"].value == pytest.approx((103 / 110 + 1) / 2)
    assert found.pooled.pixel_accuracy == pytest.approx(203 / 210)
    assert found.scores["b"].classes == 2  # nobody drew the other


def test_only_structures_that_exclude_each_other_can_be_confused():
    overlapping = replace(scheme(), overlapping=True)
    regions = replace(scheme(), regions=(Region("both", ("one", "two")),))
    for one in (overlapping, regions):
        assert whole_map({"a": ONE}, one, {"a": "A"}, QUICK) is None
    assert whole_map({}, scheme(), {}, QUICK) is None
