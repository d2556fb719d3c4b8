"""Outlines of two schemes meet by the names of their structures."""

from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, scheme

from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.metrics.counts import target_mask
from medseg.review.pairing import paired

GRID = geometry((5, 6, 7))
OURS = LabelScheme.from_names({"liver": 1, "spleen": 2, "tumour": 3})
THEIRS = LabelScheme.from_names({"spleen": 40, "kidney": 41, "liver": 300}, ignore=77)


def outlines(labels_scheme, values, seed=0) -> Segmentation:
    drawn = np.random.default_rng(seed).choice(np.array(values, np.uint16), GRID.shape)
    return Segmentation(LabelMap(drawn, GRID), labels_scheme)


def as_masks(one: Segmentation) -> Segmentation:
    masks = np.stack([mask for _, mask in one.masks()])
    return Segmentation(MultiLabelMap(masks, one.geometry, one.scheme.targets), one.scheme)


def test_equal_schemes_stay_as_they_are():
    one, other = Segmentation(label_map(GRID), scheme()), Segmentation(label_map(GRID, seed=1), scheme())
    pair = paired(one, other)
    assert pair.predicted is one.labels
    assert pair.reference is other.labels
    assert pair.scheme is one.scheme


def test_label_maps_of_other_values_meet_by_name():
    one, other = outlines(OURS, (0, 1, 2, 3)), outlines(THEIRS, (0, 40, 41, 300, 77), seed=1)
    pair = paired(one, other)
    assert pair.scheme.targets == ("liver", "spleen")
    assert [structure.colour for structure in pair.scheme.structures] == [OURS["liver"].colour, OURS["spleen"].colour]
    assert np.array_equal(pair.predicted.array, np.array([0, 1, 2, 0])[one.labels.array])
    expected = {0: 0, 40: 2, 41: 0, 300: 1, 77: 255}
    assert pair.reference.array.ravel().tolist() == [expected[value] for value in other.labels.array.ravel().tolist()]


@pytest.mark.parametrize("first_is_masks", [False, True])
def test_masks_meet_label_maps(first_is_masks):
    one, other = outlines(OURS, (0, 1, 2, 3)), outlines(THEIRS, (0, 40, 41, 300, 77), seed=1)
    pair = paired(as_masks(one), other) if first_is_masks else paired(one, as_masks(other))
    counted = other.labels.array != 77 if first_is_masks else np.ones(GRID.shape, bool)
    for target in ("liver", "spleen"):
        assert np.array_equal(
            target_mask(pair.predicted, pair.scheme, target), target_mask(one.labels, OURS, target) & counted
        )
        assert np.array_equal(
            target_mask(pair.reference, pair.scheme, target), target_mask(other.labels, THEIRS, target) & counted
        )


def test_regions_meet_structures_of_their_name():
    ours = LabelScheme(OURS.structures, (Region("organ", ("liver", "spleen")), Region("tumour", ("tumour",))))
    theirs = LabelScheme.from_names({"organ": 1})
    pair = paired(outlines(ours, (0, 1, 2, 3)), outlines(theirs, (0, 1), seed=1))
    assert pair.scheme.targets == ("organ",)
    assert np.array_equal(pair.predicted.array[0], np.isin(outlines(ours, (0, 1, 2, 3)).labels.array, (1, 2)))


def test_outlines_that_share_nothing_are_refused():
    with pytest.raises(LabelError, match="no structure has the same name.*one has 'one', the other 'two'"):
        paired(outlines(scheme("one"), (0, 1)), outlines(scheme("two"), (0, 1)))


def test_values_that_nobody_named_are_refused():
    with pytest.raises(LabelError, match=r"label values \[9\] are not in the scheme"):
        paired(outlines(OURS, (0, 9)), outlines(THEIRS, (0, 40)))


def test_another_grid_is_refused():
    one = outlines(OURS, (0, 1))
    short = Segmentation(label_map(geometry((5, 6, 6))), OURS)
    with pytest.raises(GeometryError, match=r"different grids: shapes \(5, 6, 7\) and \(5, 6, 6\); bring them to one"):
        paired(one, short)
    moved = np.array(GRID.affine)
    moved[0, 3] += 2
    with pytest.raises(GeometryError, match="same-index voxels are up to 2 mm apart"):
        paired(one, Segmentation(LabelMap(one.labels.array, Geometry(GRID.shape, moved)), OURS))
