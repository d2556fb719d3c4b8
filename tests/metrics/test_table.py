import math

import numpy as np
import pytest
from factories import ball, geometry, label_map, scheme

from medseg.core.errors import LabelError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.metrics import overlap
from medseg.metrics.boundary import boundary_iou
from medseg.metrics.counts import count_voxels
from medseg.metrics.surface import assd, hd, hd95, masd, nsd, surface_distances
from medseg.metrics.table import ScoreSettings, score_case
from medseg.metrics.topology import cl_dice


def two_balls(grid_shape=(32, 32, 32), shift=0):
    array = np.zeros(grid_shape, np.uint8)
    array[ball(grid_shape, (10 + shift, 15, 16), 6)] = 1
    array[ball(grid_shape, (23, 15 + shift, 16), 5)] = 2
    return array


@pytest.fixture
def grid():
    return Geometry.from_spacing((32, 32, 32), (1.0, 1.2, 2.0))


def test_a_row_per_structure_in_the_schemes_order(grid):
    named = LabelScheme.from_names({"b": 2, "a": 1})
    rows = score_case("case", LabelMap(two_balls(shift=1), grid), LabelMap(two_balls(), grid), named)
    assert [row.structure for row in rows] == ["b", "a"]
    assert rows[0].volume_reference == pytest.approx(np.sum(two_balls() == 2) * 2.4 / 1000)
    assert rows[0].tp + rows[0].fn == np.sum(two_balls() == 2)
    assert (rows[0].volume_unit, rows[0].unit, rows[0].diagonal) == ("mL", LengthUnit.MM, grid.diagonal)


@pytest.mark.parametrize("as_multi", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_crops_change_no_distance(grid, as_multi, order):
    arrays = [np.asarray(two_balls(shift=shift), order=order) for shift in (1, 0)]
    maps = [LabelMap(array, grid) for array in arrays]
    if as_multi:
        maps = [MultiLabelMap(np.stack([array == 1, array == 2]), grid, ("one", "two")) for array in arrays]
    for value, row in enumerate(score_case("case", *maps, scheme(), ScoreSettings(tolerance=0.5)), start=1):
        whole = surface_distances(arrays[0] == value, arrays[1] == value, grid.spacing)
        assert (row.hd, row.hd95, row.assd, row.masd) == (hd(whole), hd95(whole), assd(whole), masd(whole))
        assert row.nsd == nsd(whole, 0.5)
        assert row.boundary_iou == boundary_iou(arrays[0] == value, arrays[1] == value, grid.spacing, 2.0)


def test_each_structure_has_its_own_tolerance(grid):
    maps = [LabelMap(two_balls(shift=shift), grid) for shift in (2, 0)]
    settings = ScoreSettings(tolerance=0.5, tolerances={"two": 4.0})
    one, two = score_case("case", *maps, scheme(), settings)
    assert (one.tolerance, two.tolerance) == (0.5, 4.0)
    assert one.nsd < two.nsd == 1
    with pytest.raises(LabelError, match="no structure 'three' to score; there are 'one', 'two'"):
        score_case("case", *maps, scheme(), ScoreSettings(tolerances={"three": 1.0}))


def test_recall_weighs_as_much_as_asked_for(grid):
    maps = [LabelMap(two_balls(shift=shift), grid) for shift in (2, 0)]
    one = score_case("case", *maps, scheme(), ScoreSettings(beta=1.0))[0]
    assert (one.f_beta, one.beta) == (pytest.approx(one.dice), 1.0)
    counts = count_voxels(*maps, scheme())
    weighed = score_case("case", *maps, scheme(), ScoreSettings(beta=3.0))[0].f_beta
    assert weighed == pytest.approx(overlap.f_beta(counts, 3.0)[0])


def test_only_thin_structures_have_centre_lines(grid):
    arrays = [two_balls(shift=shift) for shift in (1, 0)]
    maps = [LabelMap(array, grid) for array in arrays]
    one, two = score_case("case", *maps, scheme(), ScoreSettings(thin=frozenset({"two"})))
    assert math.isnan(one.cl_dice)
    assert two.cl_dice == cl_dice(arrays[0] == 2, arrays[1] == 2)
    missed = score_case(
        "case", LabelMap(np.zeros_like(arrays[0]), grid), maps[1], scheme(), ScoreSettings(thin=frozenset({"two"}))
    )
    assert (missed[1].cl_dice, missed[1].boundary_iou, missed[1].nsd) == (0, 0, 0)


def test_a_wider_rim_is_used_and_told(grid):
    maps = [LabelMap(two_balls(shift=shift), grid) for shift in (1, 0)]
    narrow, wide = (score_case("case", *maps, scheme(), ScoreSettings(rim=rim))[0] for rim in (1.0, 30.0))
    assert (narrow.rim, wide.rim) == (1.0, 30.0)
    assert narrow.boundary_iou < wide.boundary_iou == wide.iou  # all of the ball is rim


def test_a_region_has_the_surface_of_the_union(grid):
    regions = LabelScheme(scheme().structures, (Region("both", ("one", "two")),))
    arrays = [two_balls(shift=shift) for shift in (1, 0)]
    (row,) = score_case("case", *(LabelMap(array, grid) for array in arrays), regions)
    assert row.hd95 == hd95(surface_distances(arrays[0] > 0, arrays[1] > 0, grid.spacing))
    masks = MultiLabelMap((arrays[0] > 0)[None], grid, ("both",))
    assert repr(score_case("case", masks, LabelMap(arrays[1], grid), regions)) == repr((row,))


def test_ignored_voxels_have_no_surface(grid):
    ignoring = LabelScheme(scheme("one").structures, ignore=9)
    predicted, reference = (np.where(two_balls(shift=shift) == 1, 1, 0).astype(np.uint8) for shift in (0, 0))
    predicted[25:] = 1  # wrong, but nobody looked there
    reference[25:] = 9
    (row,) = score_case("case", LabelMap(predicted, grid), LabelMap(reference, grid), ignoring)
    assert (row.dice, row.hd95, row.volume_difference) == (1, 0, 0)


def test_an_image_without_spacing_is_scored_in_pixels():
    grid = Geometry((12, 10, 1), np.diag([-1.0, -1, 1, 1]), LengthUnit.PIXEL)
    array = np.zeros(grid.shape, np.uint8)
    array[3:7, 3:7] = 1
    (row,) = score_case("case", LabelMap(np.roll(array, 2, 0), grid), LabelMap(array, grid), scheme("one"))
    assert (row.unit, row.volume_unit, row.volume_reference, row.hd95) == (LengthUnit.PIXEL, "pixel", 16, 2)


def test_one_voxel_at_the_edge_of_the_grid():
    grid = geometry((5, 6, 7))
    one, other = np.zeros((2, 5, 6, 7), np.uint8)
    one[4, 5, 6] = other[0, 5, 6] = 1
    (row,) = score_case("case", LabelMap(one, grid), LabelMap(other, grid), scheme("one"))
    assert row.hd95 == 4 * grid.spacing[0]


def test_scores_of_a_case_do_not_depend_on_the_other_structures():
    predicted, reference = label_map(seed=1), label_map(seed=2)
    both = score_case("case", predicted, reference, scheme())
    for value in (1, 2):
        alone = [
            LabelMap(np.where(m.array == value, value, 0).astype(np.uint8), m.geometry) for m in (predicted, reference)
        ]
        assert repr(score_case("case", *alone, scheme())[value - 1]) == repr(both[value - 1])
