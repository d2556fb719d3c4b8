import numpy as np
import pytest
from factories import geometry, label_map, scheme
from scipy import sparse

from medseg.core.errors import GeometryError, LabelError
from medseg.core.labels import LabelScheme, Region, Structure
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.metrics.counts import confusion_matrix, count_voxels

GRID = geometry((9, 8, 7))


def as_masks(labels, one_scheme):
    masks = np.stack([one_scheme.mask(labels, name) for name in one_scheme.names])
    return MultiLabelMap(masks, labels.geometry, one_scheme.names)


def numbers(counts):
    return [list(part) for part in (counts.tp, counts.fp, counts.fn, counts.tn)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.uint64])
def test_confusion_matrix_equals_scipys_coo_sums(dtype):
    predicted, reference = (label_map(GRID, (0, 1, 2, 3), seed) for seed in (1, 2))
    ones = np.ones(predicted.array.size, dtype=int)
    expected = sparse.coo_array((ones, (predicted.array.ravel(), reference.array.ravel())), (4, 4)).toarray()
    maps = [LabelMap(labels.array.astype(dtype), GRID) for labels in (predicted, reference)]
    assert confusion_matrix(*maps, scheme("a", "b", "c")).tolist() == expected.tolist()


def test_memory_order_and_chunks_change_nothing():
    grid = geometry((70, 60, 40))  # more than one chunk
    predicted, reference = (label_map(grid, (0, 1, 2), seed) for seed in (1, 2))
    sparse_map = LabelMap(np.where(np.indices(grid.shape)[0] > 60, predicted.array, 0).astype(np.uint8), grid)
    for one in (predicted, sparse_map):
        expected = confusion_matrix(one, reference, scheme())
        for order in ("CF", "FC", "FF"):
            maps = [
                LabelMap(np.asarray(labels.array, order=o), grid)
                for labels, o in zip((one, reference), order, strict=True)
            ]
            assert (confusion_matrix(*maps, scheme()) == expected).all()
    empty = LabelMap(np.zeros(grid.shape, np.uint8), grid)
    assert confusion_matrix(empty, empty, scheme())[0, 0] == 70 * 60 * 40


def test_masks_and_label_maps_give_the_same_counts():
    predicted, reference = (label_map(GRID, seed=seed) for seed in (1, 2))
    expected = numbers(count_voxels(predicted, reference, scheme()))
    masks = [as_masks(labels, scheme()) for labels in (predicted, reference)]
    assert numbers(count_voxels(*masks, scheme())) == expected
    assert numbers(count_voxels(masks[0], reference, scheme())) == expected


def test_overlapping_structures_are_counted_each():
    predicted, reference = np.zeros((2, 2, *GRID.shape), dtype=bool)
    predicted[0, :4] = True
    predicted[1, 2:5] = True
    reference[0, 1:4] = True
    reference[1, :1] = True
    maps = [MultiLabelMap(masks, GRID, ("one", "two")) for masks in (predicted, reference)]
    plane = 8 * 7
    assert numbers(count_voxels(*maps, scheme())) == [
        [3 * plane, 0], [1 * plane, 3 * plane], [0, 1 * plane], [5 * plane, 5 * plane]
    ]  # fmt: skip


@pytest.mark.parametrize("as_multi", [False, True])
def test_regions_are_unions(as_multi):
    structures = scheme("core", "edema").structures
    regions = LabelScheme(structures, (Region("whole", ("core", "edema")), Region("core only", ("core",))))
    predicted, reference = (label_map(GRID, seed=seed) for seed in (1, 2))
    whole = [labels.array > 0 for labels in (predicted, reference)]
    if as_multi:  # what a network for regions predicts
        masks = np.stack([predicted.array > 0, predicted.array == 1])
        predicted = MultiLabelMap(masks, GRID, regions.targets)
    counts = count_voxels(predicted, reference, regions)
    assert counts.tp[0] == np.sum(whole[0] & whole[1])
    assert counts.fp[0] == np.sum(whole[0] & ~whole[1])
    assert counts.fn[1] == np.sum(reference.array == 1) - counts.tp[1]
    assert (counts.tn + counts.union).tolist() == [whole[0].size] * 2


@pytest.mark.parametrize("as_multi", [False, True])
def test_ignored_voxels_of_either_side_are_left_out(as_multi):
    ignoring = LabelScheme(scheme().structures, ignore=9)
    predicted, reference = label_map(GRID, seed=1), label_map(GRID, (0, 1, 2, 9), seed=2)
    kept = reference.array != 9
    expected = np.sum((predicted.array == 1) & (reference.array == 1)), np.sum((predicted.array == 1) & kept)
    one = as_masks(predicted, scheme()) if as_multi else predicted
    counts = count_voxels(one, reference, ignoring)
    assert (counts.tp[0], counts.predicted[0]) == expected
    assert counts.tn[0] + counts.union[0] == kept.sum()
    assert numbers(count_voxels(reference, predicted, ignoring))[0] == list(counts.tp)


def test_counts_add_up():
    pairs = [(label_map(GRID, seed=seed), label_map(GRID, seed=seed + 10)) for seed in (1, 2)]
    one, other = (count_voxels(*maps, scheme()) for maps in pairs)
    grid = geometry((18, 8, 7))
    both = [LabelMap(np.concatenate([pairs[0][i].array, pairs[1][i].array]), grid) for i in (0, 1)]
    assert numbers(one + other) == numbers(count_voxels(*both, scheme()))


@pytest.mark.parametrize(
    ("side", "value", "dtype"),
    [("prediction", 7, np.uint8), ("reference", -3, np.int16), ("prediction", 99999, np.int64)],
)
def test_values_outside_the_scheme_are_refused(side, value, dtype):
    odd = np.zeros(GRID.shape, dtype)
    odd[0, 0, 0] = value
    maps = [LabelMap(odd, GRID), label_map(GRID)]
    with pytest.raises(
        LabelError, match=rf"the {side} holds label values that the scheme lacks: {value}; it has 1 one"
    ):
        count_voxels(*(maps if side == "prediction" else maps[::-1]), scheme())


def test_values_outside_the_scheme_are_refused_beside_masks_too():
    odd = label_map(GRID, (0, 1, 2, 3, 4, 5, 6, 7, 8))
    with pytest.raises(LabelError, match=r"the reference holds .* lacks: 3, 4, 5, 6, 7, …; it has 1 one, 2 two"):
        count_voxels(as_masks(label_map(GRID), scheme()), odd, scheme())


def test_a_missing_mask_is_named():
    masks = MultiLabelMap(np.zeros((1, *GRID.shape), bool), GRID, ("one",))
    with pytest.raises(LabelError, match="no mask of 'two'; there are 'one'"):
        count_voxels(masks, masks, scheme())


def test_values_that_need_a_huge_table_are_refused():
    with pytest.raises(LabelError, match="label values go up to 65535, got 70000"):
        count_voxels(label_map(GRID), label_map(GRID), LabelScheme((Structure("far", 70000, (0, 0, 0)),)))


def test_other_shapes_and_places_are_refused():
    with pytest.raises(GeometryError, match=r"shapes \(9, 8, 7\) and \(9, 8, 6\)"):
        count_voxels(label_map(GRID), label_map(geometry((9, 8, 6))), scheme())
    moved = GRID.affine.copy()
    moved[0, 3] += 2
    with pytest.raises(GeometryError, match="same-index voxels are up to 2 mm apart"):
        count_voxels(label_map(GRID), LabelMap(label_map(GRID).array, type(GRID)(GRID.shape, moved)), scheme())
