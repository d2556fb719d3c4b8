import math
from dataclasses import replace

import numpy as np
import pytest
from factories import scheme

from medseg.core.errors import DataError, GeometryError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Volume
from medseg.evaluation.calibration_scores import case_calibration, check_probabilities, summarise_calibration
from medseg.evaluation.intervals import Bootstrap
from medseg.metrics.calibration import brier, ece
from medseg.metrics.crops import LabelPair

GRID = Geometry.from_spacing((60, 50, 40), (1.0, 2.0, 2.5))


def cube(value=1, low=25, high=31):
    array = np.zeros(GRID.shape, np.uint8)
    array[low:high, 20:26, 18:22] = value
    return array


def pair(predicted, reference, labels=None):
    return LabelPair.of(LabelMap(predicted, GRID), LabelMap(reference, GRID), labels or scheme("one"))


def maps(*arrays):
    return Volume(np.stack(arrays).astype(np.float32), GRID, tuple(map(str, range(len(arrays)))))


def test_only_the_neighbourhood_of_the_reference_counts():
    (one,) = case_calibration("a", pair(cube(low=0, high=4), cube()), maps(cube()))
    # 6 x 6 x 4 voxels and 10 mm on each side, which are 10, 5 and 4 voxels
    assert one.counts.voxels.sum() == 26 * 16 * 12
    assert one.counts.true.sum() == cube().sum()
    assert (ece(one.counts), brier(one.counts)) == (0, 0)


def test_an_overconfident_model_is_told_by_how_much():
    said = np.full(GRID.shape, 0.9)
    (one,) = case_calibration("a", pair(cube(), cube()), maps(said))
    share = cube().sum() / (26 * 16 * 12)
    assert ece(one.counts) == pytest.approx(0.9 - share, abs=1e-6)
    assert brier(one.counts) == pytest.approx(0.81 * (1 - share) + 0.01 * share, abs=1e-6)


def test_structures_that_the_reference_lacks_have_no_calibration():
    found = case_calibration("a", pair(cube(2), cube(), scheme()), maps(cube(), cube()))
    assert [one.structure for one in found] == ["one"]


def test_ignored_voxels_do_not_count():
    ignoring = LabelScheme(scheme("one").structures, ignore=9)
    reference = cube()
    reference[:28] = 9
    whole = case_calibration("a", pair(cube(), cube()), maps(cube()))[0].counts.voxels.sum()
    part = case_calibration("a", pair(cube(), reference, ignoring), maps(cube()))[0].counts.voxels.sum()
    assert 0 < part < whole


def test_rounding_beyond_one_is_no_error():
    slightly = np.where(cube() > 0, 1.0004, -0.0004)
    checked = check_probabilities(maps(slightly), pair(cube(), cube()))
    assert ece(case_calibration("a", pair(cube(), cube()), checked)[0].counts) == 0


def test_maps_are_turned_to_the_reference():
    turned = maps(cube()).reoriented("PSL")
    checked = check_probabilities(turned, pair(cube(), cube()))
    assert np.array_equal(checked.array[0], cube())


@pytest.mark.parametrize(
    ("volume", "error", "message"),
    [
        (maps(cube() * np.nan), DataError, "hold NaN; calibration needs a number"),
        (maps(cube() * 5.0), DataError, "go from 0 to 5; give probabilities from 0 to 1, not logits"),
        (maps(cube(), cube()), DataError, "there are 2 probability maps for one; one a structure is needed"),
        (
            replace(maps(cube()), geometry=Geometry.from_spacing(GRID.shape)),
            GeometryError,
            "probabilities and reference lie on different grids",
        ),
    ],
)
def test_what_is_no_probability_is_refused(volume, error, message):
    with pytest.raises(error, match=message):
        check_probabilities(volume, pair(cube(), cube()))


def test_cases_are_averaged_and_their_voxels_pooled():
    one = case_calibration("a", pair(cube(), cube()), maps(cube()))
    other = case_calibration("b", pair(cube(), cube()), maps(np.full(GRID.shape, 0.5)))
    (summary,) = summarise_calibration([*one, *other], {"a": "A", "b": "B"}, Bootstrap(resamples=100))
    assert summary.ece.value == pytest.approx(ece(other[0].counts) / 2)
    assert summary.brier.cases == 2
    assert summary.pooled.voxels.sum() == 2 * one[0].counts.voxels.sum()
    assert not math.isnan(summary.ece.interval.low)
