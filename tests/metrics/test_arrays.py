import math

import numpy as np
import pytest
from factories import geometry, label_map, scheme

import medseg.metrics
from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import LengthUnit
from medseg.metrics import ScoreSettings, score_arrays, score_case


def pair(dims=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, (2, *(9, 8, 7)[:dims])).astype(np.uint8)


def test_arrays_are_scored_as_label_maps_are():
    one, other = label_map(seed=1), label_map(seed=2)
    grid, settings = geometry(), ScoreSettings(tolerance=2.0)
    expected = score_case("", one, other, scheme(), settings)
    found = score_arrays(one.array, other.array, grid.spacing, {"one": 1, "two": 2}, settings)
    assert repr(found) == repr(expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_values_name_themselves_and_no_spacing_means_pixels(dims):
    rows = score_arrays(*pair(dims))
    assert [row.structure for row in rows] == ["structure 1", "structure 2"]
    assert {row.unit for row in rows} == {LengthUnit.PIXEL}
    assert score_arrays(*pair(dims), spacing=(2.0, 1.5, 3.0)[:dims])[0].unit is LengthUnit.MM


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32, np.float64])
def test_types_do_not_matter(dtype):
    one, other = (pair() > 0).astype(np.uint8)
    expected = score_arrays(one, other, (1, 1, 2))
    assert repr(score_arrays(one.astype(dtype), other.astype(dtype), (1, 1, 2))) == repr(expected)


def test_the_spacing_is_in_the_order_of_the_axes():
    one = np.zeros((9, 9), np.uint8)
    one[2:5, 2:5] = 1
    (row,) = score_arrays(np.roll(one, 1, axis=0), one, (3.0, 1.0))
    assert row.hd == 3
    assert row.volume_reference == pytest.approx(27 / 1000)


def test_masks_may_overlap():
    whole, core = np.zeros((2, 9, 9))
    whole[1:8, 1:8] = core[3:6, 3:6] = 1
    rows = score_arrays(np.stack([whole, core]), np.stack([whole, np.roll(core, 1, 0)]), (1, 1), ["whole", "core"])
    assert [(row.structure, row.dice) for row in rows] == [("whole", 1), ("core", pytest.approx(2 / 3))]


def test_a_named_structure_that_nobody_has_is_a_row():
    rows = score_arrays(*pair(), names={"a": 1, "b": 2, "c": 9})
    assert rows[2].status == "both_empty"
    assert math.isnan(rows[2].dice)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((3, 3)), np.zeros((3, 4))), GeometryError, r"\(3, 3\) and reference \(3, 4\) differ in shape"),
        ((np.zeros(3), np.zeros(3)), GeometryError, "scores are of 2 or 3 axes, got an array of 1"),
        ((np.zeros((2, 2, 2, 2)),) * 2, GeometryError, "scores are of 2 or 3 axes, got an array of 4"),
        ((*pair(), (1, 1)), GeometryError, r"one number above 0 an axis, got \(1, 1\) for 3 axes"),
        ((*pair(), (1, 0, 1)), GeometryError, "one number above 0 an axis"),
        ((pair()[0] * 0.5, pair()[1]), LabelError, "holds fractions such as 0.5; label values are whole numbers"),
        ((pair()[0] * np.nan, pair()[1]), LabelError, "holds fractions such as nan"),
        ((np.zeros((3, 3)), np.zeros((3, 3))), LabelError, "neither array holds a structure; name those to score"),
        ((*pair(), None, {"a": 1}), LabelError, "the prediction holds label values that the scheme lacks: 2"),
        ((*pair(), None, ["a"]), LabelError, "there are 1 names for 9 masks; give one mask a structure"),
        ((pair()[:1], pair()[1:], None, ["a"]), LabelError, "a mask holds 0 and 1 only; name label values by"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        score_arrays(*arguments)


def test_every_name_is_there_and_documented():
    for name in dir(medseg.metrics):
        assert getattr(medseg.metrics, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'beauty'"):
        _ = medseg.metrics.beauty


def test_no_name_is_hidden_by_a_module():
    assert set(medseg.metrics._HOMES.values()).isdisjoint(medseg.metrics._HOMES)


def test_the_spacing_may_be_an_array():
    one, other = pair()
    assert repr(score_arrays(one, other, np.array([1.0, 1.5, 2.0]))) == repr(score_arrays(one, other, (1.0, 1.5, 2.0)))
