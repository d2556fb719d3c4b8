import math

import numpy as np
import pytest
from score_factories import MODELS_QUICK as QUICK
from score_factories import both_empty, missed, model, score_row
from score_factories import model_rows as rows

from medseg.core.errors import InputError
from medseg.evaluation.comparison import check_comparable, compare_models


def difference(found, structure, score, pair=0):
    mine = [one for one in found.differences if (one.found.structure, one.found.score) == (structure, score)]
    return mine[pair].found


def test_a_better_model_is_better():
    found = compare_models([model("A", rows()), model("B", rows(0.1))], ("dice", "hd95"), QUICK)
    assert (found.models, found.overall, len(found.cases), found.patients) == (("A", "B"), "foreground mean", 12, 12)
    assert [(one.found.structure, one.found.score) for one in found.differences] == [
        (name, score) for name in ("one", "two", "foreground mean") for score in ("dice", "hd95")
    ]  # fmt: skip
    dice, hd95 = difference(found, "foreground mean", "dice"), difference(found, "foreground mean", "hd95")
    assert dice.difference == pytest.approx(0.1, abs=0.03)
    assert dice.interval.low < dice.difference < dice.interval.high
    assert hd95.difference < 0
    assert (dice.better, hd95.better) == (12, 12)  # a smaller distance is better
    assert dice.p < dice.p_adjusted <= 6 * dice.p
    assert found.rankings == {}


def test_three_models_are_ranked():
    models = [model("A", rows()), model("B", rows(0.15)), model("C", rows(0.05))]
    found = compare_models(models, ("dice", "hd95"), QUICK)
    assert {(one.one, one.other) for one in found.differences} == {("A", "B"), ("A", "C"), ("B", "C")}
    assert len(found.differences) == 3 * 3 * 2
    for score in ("dice", "hd95"):
        assert found.rankings[score].ranks.tolist() == [3, 1, 2]
        assert found.rankings[score].shares.sum(axis=1) == pytest.approx(np.ones(3))


def test_pairs_are_of_the_cases_that_both_have():
    one, other = rows(), rows(0.1)
    found = compare_models([model("A", one[4:]), model("B", other[:-2])], ("dice",), QUICK)
    assert found.lacking == {"A": ("c0", "c1"), "B": ("c11",)}
    assert found.cases == tuple(f"c{n}" for n in range(2, 11))
    assert difference(found, "one", "dice").cases == 9


def test_a_missed_structure_counts_with_the_diagonal():
    one, other = [score_row("a", "one"), score_row("b", "one")], [missed("a", "one"), score_row("b", "one")]
    found = compare_models([model("A", one, ("one",)), model("B", other, ("one",))], ("hd95",), QUICK)
    assert found.overall == "one"
    assert difference(found, "one", "hd95").difference == (90 - 2) / 2
    assert len(found.differences) == 1


def test_a_structure_that_one_model_leaves_empty_is_left_out_of_the_pair():
    one, other = [score_row("a", "one"), both_empty("b", "one")], [score_row("a", "one"), score_row("b", "one", 0.0)]
    found = compare_models([model("A", one, ("one",)), model("B", other, ("one",))], ("dice",), QUICK)
    dice = difference(found, "one", "dice")
    assert (dice.cases, dice.left_out) == (1, 1)
    assert math.isnan(dice.p)


def test_structures_that_nobody_has_make_no_row():
    empty = [both_empty("a", "one"), score_row("a", "two")]
    found = compare_models([model("A", empty), model("B", empty)], ("dice", "cl_dice"), QUICK)
    assert {(one.found.structure, one.found.score) for one in found.differences} == {
        ("two", "dice"), ("foreground mean", "dice")
    }  # fmt: skip


def test_cases_of_a_patient_count_once():
    patients = {f"c{n}": str(n // 3) for n in range(12)}
    renumbered = {case: f"x{patient}" for case, patient in patients.items()}
    found = compare_models(
        [model("A", rows(), patients=patients), model("B", rows(0.1), patients=renumbered)], ("dice",), QUICK
    )
    assert found.patients == difference(found, "one", "dice").patients == 4


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (model("B", rows(), ("one", "three")), "'A' and 'B' have scores of different structures: 'one', 'two', and"),
        (
            model("B", rows(), nsd_tolerance={"one": 1.0, "two": 3.0}),
            "the tolerance of the NSD differs between 'A' and 'B': one 1, two 1 and one 1, two 3; evaluate both with",
        ),
        (model("B", rows(), rim=3.0), "the width of rims differs between 'A' and 'B': 2 and 3"),
        (model("B", rows(), beta=1.0), "the weight of recall in the F score differs"),
        (model("B", rows(), distance_unit="pixel"), "the unit of distances differs between 'A' and 'B': mm and pixel"),
        (model("B", [score_row("other", "one")]), "no case has scores of both 'A' and 'B'; evaluate both on the same"),
        (
            model("B", [score_row("c0", "one", tp=9)]),
            r"case c0: the reference of 'one' is not the same for 'A' and 'B' \(8 of 112 voxels against 9 of 113\)",
        ),
        (model("B", [score_row("c0", "one", tn=99)]), r"\(8 of 112 voxels against 8 of 111\); evaluate both against"),
        (
            model("B", rows(), patients={f"c{n}": str(n // 2) for n in range(12)}),
            "'A' and 'B' group cases by patients differently; evaluate both against the data set that says whose",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(other, message):
    for pair in ((model("A", rows()), other),):
        with pytest.raises(InputError, match=message):
            check_comparable(*pair)


def test_centre_lines_are_compared_over_the_same_structures():
    models = [model("A", rows(), thin=("one",)), model("B", rows(), thin=("one", "two"))]
    with pytest.raises(
        InputError, match="'A' and 'B' have clDice of different structures; evaluate both with the same"
    ):
        compare_models(models, ("dice", "cl_dice"), QUICK)
    assert compare_models(models, ("dice",), QUICK).scores == ("dice",)


def test_every_pair_is_checked():
    models = [model("A", rows()), model("B", rows()[:2]), model("C", rows()[:2], rim=9.0)]
    with pytest.raises(InputError, match="width of rims differs between 'A' and 'C'"):
        compare_models(models, ("dice",), QUICK)


def test_pairs_alone_are_no_common_ground():
    one = rows()
    models = [model("A", one[:4]), model("B", one[2:6]), model("C", [*one[:2], *one[4:6]])]
    with pytest.raises(InputError, match="no case has scores of all models"):
        compare_models(models, ("dice",), QUICK)


@pytest.mark.parametrize(("scores", "named"), [(("dice", "beauty"), "'beauty'"), ((), "none"), (("tp",), "'tp'")])
def test_a_score_must_be_one(scores, named):
    with pytest.raises(InputError, match=f"no score {named} to compare models by; there are dice, iou"):
        compare_models([model("A", rows()), model("B", rows())], scores, QUICK)


def test_volumes_are_neither_good_nor_bad():
    with pytest.raises(InputError, match="no score 'volume_predicted'"):
        compare_models([model("A", rows()), model("B", rows())], ("volume_predicted",), QUICK)
