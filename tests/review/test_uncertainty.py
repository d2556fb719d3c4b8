"""Where a model doubts: levels for the viewer, slices to look at, figures for the table."""

from __future__ import annotations

import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medseg.core.errors import DataError, GeometryError
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.render.slices import Plane
from medseg.review.uncertainty import (
    HEAT_LEGEND,
    UncertainSlice,
    heat_map,
    mean_within,
    next_in_order,
    next_in_rank,
    uncertain_slices,
)

GRID = geometry((4, 5, 6))


def entropy(seed=0, dtype=np.float32, grid=GRID) -> Volume:
    return Volume(np.random.default_rng(seed).random((1, *grid.shape)).astype(dtype), grid, ("uncertainty",))


def with_value(value) -> Volume:
    array = entropy().array.copy()
    array[0, 1, 2, 3] = value
    return Volume(array, GRID)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::11])
def test_levels_are_255_times_the_entropy(dtype, codes):
    doubt = entropy(dtype=dtype).reoriented(codes)
    heat = heat_map(doubt)
    assert (heat.array.dtype, heat.channels) == (np.uint8, ("Uncertainty",))
    assert heat.geometry is doubt.geometry
    assert np.abs(heat.array / 255 - doubt.array.astype(np.float64)).max() <= 0.5 / 255 + 1e-3
    assert np.array_equal(heat.reoriented("RAS").array, heat_map(doubt.reoriented("RAS")).array)


def test_the_ends_of_the_scale_are_the_same_in_every_case():
    flat = Volume(np.array([[[[0, 1, 0.5, 1.0005, -0.0005]]]]), geometry((1, 1, 5)))
    assert heat_map(flat).array.ravel().tolist() == [0, 255, 128, 255, 0]
    assert [words[0] for words in HEAT_LEGEND] == ["0", "1"]


@pytest.mark.parametrize("use", [heat_map, uncertain_slices])
@pytest.mark.parametrize(("value", "shown"), [(np.nan, "got nan to nan"), (1.1, "to 1.1"), (-0.1, "got -0.1 to")])
def test_values_that_are_no_entropy_are_refused(use, value, shown):
    with pytest.raises(DataError, match=f"lie between 0 and 1, .*{shown}"):
        use(with_value(value))
    with pytest.raises(DataError, match="has one channel, got 2"):
        use(Volume(np.zeros((2, *GRID.shape)), GRID, ("a", "b")))


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
@pytest.mark.parametrize("plane", Plane)
def test_slices_are_ranked_by_their_summed_entropy(codes, plane):
    doubt = entropy().reoriented(codes)
    letters = {Plane.AXIAL: "SI", Plane.CORONAL: "AP", Plane.SAGITTAL: "RL"}[plane]
    axis = next(place for place, letter in enumerate(codes) if letter in letters)
    ranked = uncertain_slices(doubt, plane)
    assert {one.index for one in ranked} == set(range(doubt.geometry.shape[axis]))
    assert [one.total for one in ranked] == sorted((one.total for one in ranked), reverse=True)
    for one in ranked:
        cut = np.take(doubt.array[0], one.index, axis)
        assert one.total == pytest.approx(cut.sum(dtype=np.float64))
        assert one.voxel[axis] == one.index
        assert doubt.array[0][one.voxel] == cut.max()
    assert uncertain_slices(doubt, plane, most=2) == ranked[:2]


def test_slices_without_uncertainty_are_left_out():
    array = np.zeros((1, *GRID.shape), np.float32)
    assert uncertain_slices(Volume(array, GRID)) == ()
    array[0, 2, 3, 4] = 0.5
    assert uncertain_slices(Volume(array, GRID)) == (UncertainSlice(4, 0.5, (2, 3, 4)),)


def test_the_next_slice_goes_by_rank_or_by_place():
    ranked = tuple(UncertainSlice(index, 1.0, (0, 0, index)) for index in (5, 9, 2))
    assert next_in_rank(ranked, 5).index == 9
    assert next_in_rank(ranked, 7).index == 5  # not among them: the most uncertain one
    assert next_in_rank(ranked, 2) is None
    assert next_in_order(ranked, 2).index == 5
    assert next_in_order(ranked, 7).index == 9
    assert next_in_order(ranked, 9) is None
    assert next_in_order(ranked, 7, step=-1).index == 5
    assert next_in_order(ranked, 2, step=-1) is None
    assert next_in_rank((), 3) is next_in_order((), 3) is None


@given(st.integers(0, 1000))
def test_means_are_those_of_scipy(seed):
    names = scheme("one", "two", "three")
    labels, doubt = label_map(GRID, (0, 1, 2), seed), entropy(seed)
    found = mean_within(doubt, Segmentation(labels, names))
    assert [found["one"], found["two"]] == pytest.approx(list(ndimage.mean(doubt.array[0], labels.array, (1, 2))))
    assert found["three"] is None


def test_each_target_has_its_own_probability():
    masks = np.zeros((2, *GRID.shape), bool)
    masks[0, :2], masks[1, 1:] = True, True  # they overlap
    shares = np.random.default_rng(0).random((2, *GRID.shape)).astype(np.float16)
    outlines = Segmentation(MultiLabelMap(masks, GRID, ("one", "two")), scheme())
    found = mean_within(Volume(shares, GRID, ("one", "two")), outlines)
    for place, target in enumerate(("one", "two")):
        assert found[target] == pytest.approx(shares[place][masks[place]].astype(np.float64).mean())


def test_regions_and_voxels_without_opinion():
    regions = LabelScheme(scheme().structures, (Region("all", ("one", "two")), Region("two", ("two",))), ignore=9)
    drawn = np.zeros(GRID.shape, np.uint8)
    drawn[0], drawn[1], drawn[2] = 1, 2, 9
    doubt = np.zeros((1, *GRID.shape))
    doubt[0, 0], doubt[0, 1], doubt[0, 2] = 0.2, 0.4, 1
    found = mean_within(Volume(doubt, GRID), Segmentation(LabelMap(drawn, GRID), regions))
    assert found == {"all": pytest.approx(0.3), "two": pytest.approx(0.4)}
    drawn[1] = 0
    assert mean_within(Volume(doubt, GRID), Segmentation(LabelMap(drawn, GRID), regions))["two"] is None


def test_means_of_other_channels_or_grids_are_refused():
    outlines = Segmentation(label_map(GRID), scheme("one", "two", "three"))
    with pytest.raises(DataError, match="2 channels for 3 targets; give one for all, or one a target"):
        mean_within(Volume(np.zeros((2, *GRID.shape)), GRID, ("a", "b")), outlines)
    with pytest.raises(GeometryError, match="uncertainty and outlines lie on different grids"):
        mean_within(entropy(grid=geometry((4, 5, 5))), outlines)
    with pytest.raises(DataError, match="lie between 0 and 1"):
        mean_within(with_value(np.inf), outlines)
