"""How far readers agree, against numbers of other tools."""

from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import GeometryError
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap
from medseg.metrics.table import score_case
from medseg.review.agreement import cohen_kappa, fleiss_kappa, newest_versions, pairwise_dice, verdict_agreement
from medseg.review.records import CaseName, Decision, Verdict, Version

GRID = geometry((5, 6, 7))
ACCEPTED, NEEDS_WORK, REJECTED = Verdict
WORDS = {"a": ACCEPTED, "n": NEEDS_WORK, "r": REJECTED}
# Psychiatric diagnoses of 30 patients by 6 raters in 5 categories: Fleiss 1971, Psychological Bulletin 76:378, table 1,
# as statsmodels 0.15.0 has it in its tests.
FLEISS_1971 = (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 "
    "00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"
)
# The worked example of Wikipedia, "Fleiss' kappa": 14 raters, 10 items, 5 categories.
WIKIPEDIA = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]


def decision(reader, verdict, case="case-1", version=0, made=0.0) -> Decision:
    return Decision(CaseName(case), version, reader, WORDS[verdict], made)


def decisions(**verdicts) -> list[Decision]:
    """Verdicts of each reader on one case after the other; a dot is none."""
    return [
        decision(reader, letter, f"case-{place}")
        for reader, letters in verdicts.items()
        for place, letter in enumerate(letters)
        if letter != "."
    ]


def version(number, author, case="case-1") -> Version:
    return Version(CaseName(case), number, None if number == 0 else 0, author, float(number), "00")


def test_fleiss_kappa_of_fleiss_1971():
    found = fleiss_kappa(np.array([[int(digit) for digit in row] for row in FLEISS_1971.split()]))
    assert found.value == pytest.approx(0.430, abs=5e-4)  # as printed
    assert found.value == pytest.approx(0.43024452006014074, abs=1e-12)  # statsmodels 0.15.0, fleiss_kappa
    assert (found.n, found.reason) == (30, "")


def test_fleiss_kappa_of_the_worked_example():
    found = fleiss_kappa(np.array(WIKIPEDIA))
    assert (found.value, found.observed) == (pytest.approx(0.210, abs=5e-4), pytest.approx(0.378, abs=5e-4))
    assert found.value == pytest.approx(0.20993070442195522, abs=1e-12)  # statsmodels 0.15.0, fleiss_kappa


def test_cohen_kappa_of_scikit_learn():
    found = cohen_kappa(np.array([[20, 20], [10, 50]]))  # the table of its test_cohen_kappa
    assert found.value == pytest.approx(0.34782608695652173, abs=1e-12)  # scikit-learn 1.9.1, cohen_kappa_score
    assert (found.observed, found.n) == (0.7, 100)


def test_verdicts_of_two_readers_as_scikit_learn_sees_them():
    found = verdict_agreement(decisions(one="aaannraanrrnaaannara", other="aannnraarrrnaannaarn"))
    pair = found.pairs["one", "other"]
    assert pair.value == pytest.approx(0.6124031007751938, abs=1e-12)  # scikit-learn 1.9.1, cohen_kappa_score
    assert (pair.observed, pair.n) == (0.75, 20)
    assert (found.raters, found.left_out, found.overall.n) == (2, 0, 20)


def test_a_reader_who_always_says_the_same_agrees_as_chance_does():
    found = verdict_agreement(decisions(one="aaaa", other="aanr"))
    assert found.pairs["one", "other"].value == 0.0  # scikit-learn 1.9.1 too
    assert found.pairs["one", "other"].observed == 0.5


def test_without_variance_there_is_no_kappa():
    found = verdict_agreement(decisions(one="aaa", other="aaa"))
    for kappa in (found.overall, found.pairs["one", "other"]):
        assert (kappa.value, kappa.observed, kappa.n) == (None, 1.0, 3)
        assert "all verdicts are the same" in kappa.reason


def test_one_reader_alone_agrees_with_nobody():
    for given_verdicts in ([], decisions(one="anr")):
        found = verdict_agreement(given_verdicts)
        assert (found.pairs, found.raters, found.left_out) == ({}, 0, 0)
        assert (found.overall.value, found.overall.observed, found.overall.n) == (None, None, 0)
        assert found.overall.reason == "no case was judged by two readers or more"


def test_readers_who_never_judged_the_same_have_no_kappa():
    found = verdict_agreement(decisions(one="aa..", other="..nn"))
    assert found.pairs["one", "other"].reason == "nothing was judged by both readers"
    assert found.pairs["one", "other"].n == 0


def test_the_last_verdict_counts_and_versions_are_not_mixed():
    found = verdict_agreement(
        [
            decision("one", "a", made=2.0),
            decision("one", "r", made=1.0),  # was replaced
            decision("other", "a", made=3.0),
            decision("one", "n", version=1, made=4.0),  # other outlines
            decision("other", "r", "case-2", made=5.0),
            decision("one", "r", "case-2", made=6.0),
        ]
    )
    assert (found.pairs["one", "other"].value, found.pairs["one", "other"].n) == (1.0, 2)


def test_items_of_the_most_common_number_of_readers_are_taken_together():
    found = verdict_agreement(decisions(a="aanna", b="anaar", c="a...r"))
    assert (found.raters, found.overall.n, found.left_out) == (2, 3, 2)
    assert {pair: kappa.n for pair, kappa in found.pairs.items()} == {("a", "b"): 5, ("a", "c"): 2, ("b", "c"): 2}
    tied = verdict_agreement(decisions(a="an", b="an", c=".n"))
    assert (tied.raters, tied.left_out) == (3, 1)


@given(st.lists(st.tuples(*[st.sampled_from("anr")] * 2), min_size=1))
def test_kappa_does_not_depend_on_who_comes_first_and_is_at_most_1(verdicts):
    one, other = ("".join(letters) for letters in zip(*verdicts, strict=True))
    (there,) = verdict_agreement(decisions(a=one, b=other)).pairs.values()
    (back,) = verdict_agreement(decisions(a=other, b=one)).pairs.values()
    assert (there.value is None) == (back.value is None) == (len({*one, *other}) == 1)
    if there.value is not None:
        assert there.value == pytest.approx(back.value)
        assert -1 <= there.value <= 1


def test_dice_of_each_pair_is_that_of_the_scores():
    drawn = {name: Segmentation(label_map(GRID, seed=seed), scheme()) for seed, name in enumerate("abc")}
    found = pairwise_dice(drawn)
    assert found.readers == ("a", "b", "c")
    for place, target in enumerate(("one", "two")):
        matrix = found.by_target[target]
        assert np.array_equal(matrix, matrix.T)
        assert np.array_equal(np.diag(matrix), [1, 1, 1])
        score = score_case("case", drawn["a"].labels, drawn["c"].labels, scheme())[place]
        assert matrix[0, 2] == score.dice


def test_structures_that_a_pair_lacks_have_no_dice():
    blank = Segmentation(LabelMap(np.zeros(GRID.shape, np.uint8), GRID), scheme())
    other = Segmentation(label_map(GRID, (0, 1)), scheme("one"))
    found = pairwise_dice({"a": blank, "b": blank, "c": other})
    assert found.by_target["one"][0].tolist() == [1.0, pytest.approx(np.nan, nan_ok=True), 0.0]
    assert np.isnan(found.by_target["two"][0, 1:]).all()
    assert pairwise_dice({"a": other}).by_target == {}


def test_outlines_on_other_grids_are_refused():
    drawn = {name: Segmentation(label_map(geometry((5, 6, n))), scheme()) for name, n in (("a", 7), ("b", 8))}
    with pytest.raises(GeometryError, match="the outlines lie on different grids"):
        pairwise_dice(drawn)


def test_the_newest_version_of_each_author_counts():
    versions = [version(2, "one"), version(0, "model"), version(1, "one"), version(3, "other")]
    assert {author: one.number for author, one in newest_versions(versions).items()} == {
        "model": 0,
        "one": 2,
        "other": 3,
    }
    assert list(newest_versions(versions)) == ["model", "one", "other"]
    assert newest_versions([]) == {}
