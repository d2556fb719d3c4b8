"""Where two outlines differ, as a map, as a table, and as places to look at."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from factories import ball, geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.metrics.table import score_case
from medseg.review.compare import (
    AGREEMENT_COLOURS,
    Agreement,
    agreement_map,
    compare_table,
    disagreements,
    inked,
    legend,
)

BOTH, ONLY_A, ONLY_B, DIFFERENT = Agreement
GRID = geometry((5, 6, 7))


def outlines(array, labels_scheme=None, grid=None) -> Segmentation:
    array = np.array(array)
    array = array if array.ndim == 3 else array.reshape(-1, 1, 1)
    return Segmentation(LabelMap(array, grid or Geometry.from_spacing(array.shape)), labels_scheme or scheme())


def as_masks(one: Segmentation) -> Segmentation:
    masks = np.stack([mask for _, mask in one.masks()])
    return Segmentation(MultiLabelMap(masks, one.geometry, one.scheme.targets), one.scheme)


def kinds(a, b, target=None) -> list[int]:
    found = agreement_map(a, b, target)
    assert found.array.dtype == np.uint8
    return found.array.ravel().tolist()


def test_each_voxel_says_who_holds_it():
    a, b = outlines([0, 1, 1, 0, 1, 2]), outlines([0, 1, 0, 1, 2, 2])
    assert kinds(a, b) == [0, BOTH, ONLY_A, ONLY_B, DIFFERENT, BOTH]
    assert kinds(a, b, "one") == [0, BOTH, ONLY_A, ONLY_B, ONLY_A, 0]
    assert kinds(a, b, "two") == [0, 0, 0, 0, ONLY_B, BOTH]


def test_masks_agree_where_they_hold_the_same_targets():
    grid = Geometry.from_spacing((6, 1, 1))
    masks = np.array([[[1, 1, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0]], [[1, 1, 1, 0, 0, 1], [0, 1, 0, 0, 1, 0]]], bool)
    a, b = (Segmentation(MultiLabelMap(one[..., None, None], grid, ("one", "two")), scheme()) for one in masks)
    assert kinds(a, b) == [BOTH, BOTH, DIFFERENT, 0, DIFFERENT, ONLY_B]
    assert kinds(a, b, "two") == [0, BOTH, ONLY_A, 0, ONLY_B, 0]


def test_masks_of_a_target_that_neither_side_holds_are_passed_over():
    a, b = as_masks(outlines([1, 1, 0])), as_masks(outlines([1, 0, 0]))
    assert kinds(a, b) == [BOTH, ONLY_A, 0]
    assert kinds(a, b, "two") == [0, 0, 0]
    assert [(one.target, one.kind) for one in disagreements(a, b)] == [("one", ONLY_A)]


def test_voxels_that_a_side_leaves_open_belong_nowhere():
    open_scheme = LabelScheme.from_names({"one": 1}, ignore=9)
    a, b = outlines([1, 1, 9, 0], open_scheme), outlines([1, 9, 1, 1], open_scheme)
    assert kinds(a, b) == [BOTH, 0, 0, ONLY_B]
    assert kinds(a, b, "one") == [BOTH, 0, 0, ONLY_B]
    assert [(one.kind, one.voxels) for one in disagreements(a, b)] == [(ONLY_B, 1)]


def test_regions_of_a_label_map_are_compared_as_such():
    labels_scheme = LabelScheme(scheme().structures, (Region("all", ("one", "two")), Region("two", ("two",))))
    a, b = outlines([1, 2, 0, 1], labels_scheme), outlines([1, 1, 2, 0], labels_scheme)
    assert kinds(a, b) == [BOTH, DIFFERENT, ONLY_B, ONLY_A]
    assert kinds(a, b, "all") == [BOTH, BOTH, ONLY_B, ONLY_A]
    assert [one.target for one in disagreements(a, b)] == ["all", "all", "two", "two"]


@given(st.integers(0, 1000), st.sampled_from(["CC", "CF", "FC", "FF"]))
def test_layout_and_kind_of_labels_change_nothing(seed, orders):
    a, b = (Segmentation(label_map(GRID, seed=seed + side), scheme()) for side in (0, 1))
    laid = [
        Segmentation(LabelMap(np.asarray(one.labels.array, order=order), GRID), scheme())
        for one, order in zip((a, b), orders, strict=True)
    ]
    expected = agreement_map(a, b).array
    for pair in (laid, (as_masks(a), as_masks(b)), (a, as_masks(b))):
        assert np.array_equal(agreement_map(*pair).array, expected)
        assert [(one.target, one.kind, one.voxels) for one in disagreements(*pair)] == [
            (one.target, one.kind, one.voxels) for one in disagreements(a, b)
        ]


def test_directions_of_axes_change_only_where_a_voxel_is_found():
    a, b = (Segmentation(label_map(GRID, seed=seed), scheme()) for seed in (0, 1))
    turned = [Segmentation(one.labels.reoriented("PIL"), scheme()) for one in (a, b)]
    assert np.array_equal(agreement_map(*turned).reoriented("RAS").array, agreement_map(a, b).array)
    found = disagreements(*turned)
    assert [one.voxels for one in found] == [one.voxels for one in disagreements(a, b)]
    for one in found:
        holder, lacking = turned if one.kind is ONLY_A else turned[::-1]
        value = scheme()[one.target].value
        assert holder.labels.array[one.voxel] == value != lacking.labels.array[one.voxel]


@given(arrays(np.uint8, (4, 3, 3), elements=st.integers(0, 2)), arrays(np.uint8, (4, 3, 3), elements=st.integers(0, 2)))
def test_all_that_differs_is_in_the_list(one, other):
    grid = Geometry.from_spacing((4, 3, 3), (1.0, 2.0, 3.0))
    a, b = outlines(one, grid=grid), outlines(other, grid=grid)
    found = disagreements(a, b, most=1000)
    for target, value in (("one", 1), ("two", 2)):
        for kind, mask in ((ONLY_A, (one == value) & (other != value)), (ONLY_B, (other == value) & (one != value))):
            parts = [part for part in found if (part.target, part.kind) == (target, kind)]
            assert sum(part.voxels for part in parts) == np.count_nonzero(mask)
            assert all(mask[part.voxel] for part in parts)
            assert all(part.ml == pytest.approx(part.voxels * 6 / 1000) for part in parts)
    assert [part.voxels for part in found] == sorted((part.voxels for part in found), reverse=True)
    assert [part.voxels for part in disagreements(a, b, most=3)] == [part.voxels for part in found[:3]]
    assert disagreements(a, a) == []


def test_the_largest_disagreement_comes_first_with_a_voxel_to_jump_to():
    drawn = np.zeros((2, 32, 32, 32), np.uint8)
    drawn[:, ball(radius=8.0)] = 1
    drawn[0, ball(centre=(4, 4, 4), radius=3.0)] = 2
    drawn[1, 28:30, 28:30, 28:30] = 1
    first, second = disagreements(outlines(drawn[0]), outlines(drawn[1]))
    assert (first.target, first.kind, first.voxel) == ("two", ONLY_A, (4, 4, 4))
    assert first.ml == pytest.approx(np.count_nonzero(ball(radius=3.0, centre=(16, 16, 16))) / 1000)
    assert (second.target, second.kind, second.voxels, second.ml) == ("one", ONLY_B, 8, 0.008)


def test_the_table_is_that_of_the_scores():
    a, b = (Segmentation(label_map(GRID, seed=seed), scheme()) for seed in (0, 1))
    rows = compare_table(a, b)
    for row, score in zip(rows, score_case("case", a.labels, b.labels, scheme()), strict=True):
        assert row["target"] == score.structure
        assert (row["dice"], row["hd95_mm"]) == (score.dice, score.hd95)
        assert (row["volume_a_ml"], row["volume_b_ml"]) == (score.volume_predicted, score.volume_reference)
        assert row["difference_ml"] == pytest.approx(row["volume_a_ml"] - row["volume_b_ml"])
    for row, other in zip(rows, compare_table(b, a), strict=True):
        assert (row["dice"], row["hd95_mm"]) == (other["dice"], other["hd95_mm"])


def test_what_a_side_lacks_is_said_in_words_and_scored_as_everywhere():
    names = scheme("both", "first", "second", "none")
    rows = compare_table(outlines([1, 2, 0], names), outlines([1, 0, 3], names), ("prediction", "reference"))
    assert [row["status"] for row in rows] == ["in both", "only in prediction", "only in reference", "in neither"]
    assert [row["dice"] for row in rows[:3]] == [1.0, 0.0, 0.0]
    assert [row["hd95_mm"] for row in rows[:3]] == [0.0, math.inf, math.inf]
    assert math.isnan(rows[3]["dice"])
    assert math.isnan(rows[3]["hd95_mm"])


def test_pictures_have_neither_millilitres_nor_millimetres():
    grid = Geometry.from_spacing((4, 1, 1), unit=LengthUnit.PIXEL)
    a, b = outlines([1, 1, 0, 0], grid=grid), outlines([1, 0, 0, 0], grid=grid)
    (row, _), (part,) = compare_table(a, b), disagreements(a, b)
    assert row["dice"] == pytest.approx(2 / 3)
    assert [row[key] for key in ("hd95_mm", "volume_a_ml", "volume_b_ml", "difference_ml")] == [None] * 4
    assert (part.ml, part.voxels) == (None, 1)


@pytest.mark.parametrize("compare", [agreement_map, compare_table, disagreements])
def test_other_grids_are_refused(compare):
    with pytest.raises(GeometryError, match="the outlines lie on different grids"):
        compare(outlines([0, 1]), outlines([0, 1, 1]))


def test_a_target_that_is_not_shared_is_refused():
    with pytest.raises(LabelError, match="share no structure 'three'; choose one of 'one', 'two'"):
        agreement_map(outlines([1]), outlines([1]), "three")


# How colours look to people without one kind of cone: Machado, Oliveira, Fernandes 2009, severity 1, linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def seen_as_lab(colour, deficiency):
    """CIE Lab (D65) of an sRGB colour as somebody with the deficiency sees it."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lab_is_that_of_the_standard():
    assert seen_as_lab((255, 255, 255), "none") == pytest.approx([100, 0, 0], abs=0.01)
    assert seen_as_lab((255, 0, 0), "none") == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_stay_apart_for_colour_blind_readers(deficiency):
    lab = {kind: seen_as_lab(colour, deficiency) for kind, colour in AGREEMENT_COLOURS.items()}
    apart = {pair: np.linalg.norm(lab[pair[0]] - lab[pair[1]]) for pair in itertools.combinations(Agreement, 2)}
    assert min(apart.values()) > 20  # a difference of 2 can be seen
    assert min(apart[pair] for pair in itertools.combinations((BOTH, ONLY_A, ONLY_B), 2)) > 30
    greys = [seen_as_lab((grey,) * 3, deficiency) for grey in range(0, 256, 5)]
    assert min(np.linalg.norm(colour - grey) for colour in lab.values() for grey in greys) > 15


def test_no_kind_is_told_by_its_colour_alone():
    entries = legend("prediction", "reference")
    assert [entry.value for entry in entries] == list(Agreement)
    assert [entry.words for entry in entries] == [
        "prediction and reference",
        "only prediction",
        "only reference",
        "prediction and reference, as different structures",
    ]
    assert len({entry.symbol for entry in entries}) == len({entry.colour for entry in entries}) == 4


def test_each_kind_has_a_pattern_of_its_own():
    patterns = {kind: inked(np.full((16, 16), kind, np.uint8)) for kind in Agreement}
    assert patterns[BOTH].all()
    assert [int(pattern.sum()) for pattern in patterns.values()] == [256, 128, 128, 96]
    for one, other in itertools.combinations(patterns.values(), 2):
        assert np.count_nonzero(one != other) >= 64
    assert not inked(np.zeros((4, 4), np.uint8)).any()
    mixed = np.repeat(np.array(Agreement, np.uint8), 4)[np.newaxis].repeat(16, axis=0)
    for place, kind in enumerate(Agreement):
        columns = slice(4 * place, 4 * place + 4)
        assert np.array_equal(inked(mixed)[:, columns], patterns[kind][:, columns])


def test_stripes_rise_for_a_and_fall_for_b():
    square = np.full((8, 8), ONLY_A, np.uint8)
    assert inked(square).diagonal().any()
    assert all(len(set(np.fliplr(inked(square)).diagonal(offset).tolist())) == 1 for offset in range(-3, 4))
    square[...] = ONLY_B
    assert all(len(set(inked(square).diagonal(offset).tolist())) == 1 for offset in range(-3, 4))
