import numpy as np
import pytest
from factories import geometry, label_map, scheme

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.evaluation import scoring
from medseg.evaluation.pairs import Pair
from medseg.evaluation.scoring import Problem, Unscored, read_pair, score_pairs
from medseg.io.formats import write_label_map
from medseg.metrics.table import score_case

GRID = geometry((7, 8, 9))


class Steps:
    def __init__(self):
        self.seen = []

    def start(self, label, total):
        self.seen.append((label, total))

    def advance(self, steps=1):
        self.seen.append(steps)


def write_pair(folder, name, predicted, reference):
    paths = folder / f"{name}_predicted.nii.gz", folder / f"{name}_reference.nii.gz"
    for path, labels in zip(paths, (predicted, reference), strict=True):
        write_label_map(path, labels)
    return Pair(CaseId(name), name, *paths)


@pytest.fixture
def pairs(tmp_path):
    good = [
        write_pair(tmp_path, f"case{seed}", label_map(GRID, seed=seed), label_map(GRID, seed=seed + 9))
        for seed in (0, 1, 2)
    ]
    smaller = label_map(geometry((7, 8, 8)))
    odd = label_map(GRID, values=(0, 1, 7))
    bad = [write_pair(tmp_path, "grid", smaller, label_map(GRID)), write_pair(tmp_path, "values", odd, label_map(GRID))]
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    broken = Pair(CaseId("broken"), "broken", tmp_path / "broken.nii.gz", good[0].reference)
    gone = Pair(CaseId("gone"), "gone", tmp_path / "gone.nii.gz", good[0].reference)
    return [good[0], *bad, good[1], broken, gone, good[2]]


def test_a_case_that_fails_is_a_row_and_the_others_go_on(pairs):
    progress = Steps()
    outcomes = score_pairs(pairs, scheme(), 1.0, progress=progress)
    assert progress.seen == [("scoring", 7), *[1] * 7]
    failed = {one.case: one for one in outcomes if isinstance(one, Unscored)}
    assert list(failed) == ["grid", "values", "broken", "gone"]
    assert {one.problem for one in failed.values()} == {Problem.FAILED}
    assert "shapes (7, 8, 8) and (7, 8, 9); bring the prediction" in failed["grid"].message
    assert "the prediction holds label values that the scheme lacks: 7" in failed["values"].message
    assert "broken.nii.gz" in failed["broken"].message
    expected = score_case(pairs[0].case, *read_pair(pairs[0], scheme()), scheme())
    assert outcomes[0] == expected


def test_two_workers_give_what_one_gives(pairs):
    assert score_pairs(pairs, scheme(), 1.0, workers=2) == score_pairs(pairs, scheme(), 1.0)


def test_an_axis_that_runs_the_other_way_is_turned(tmp_path):
    reference = label_map(GRID)
    pair = write_pair(tmp_path, "turned", reference.reoriented("PSL"), reference)
    (rows,) = score_pairs([pair], scheme(), 1.0)
    assert [row.dice for row in rows] == [1, 1]
    assert read_pair(pair, scheme())[0].geometry.is_close(GRID)


def test_fractions_are_no_labels(tmp_path, pairs):
    import nibabel

    soft = np.full(GRID.shape, 0.5, np.float32)
    nibabel.save(nibabel.Nifti1Image(soft, GRID.affine), tmp_path / "soft.nii.gz")
    (outcome,) = score_pairs(
        [Pair(CaseId("soft"), "soft", tmp_path / "soft.nii.gz", pairs[0].reference)], scheme(), 1.0
    )
    assert "holds fractions such as 0.5" in outcome.message


def test_lack_of_memory_is_the_cases_failure(pairs, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(scoring, "score_case", too_much)
    (outcome,) = score_pairs(pairs[:1], scheme(), 1.0)
    assert outcome == Unscored(CaseId("case0"), Problem.FAILED, "out of memory; run with fewer workers")


def test_a_worker_that_dies_is_said(pairs, monkeypatch):
    def dying(*_, **__):
        raise scoring.BrokenProcessPool

    monkeypatch.setattr(scoring, "ProcessPoolExecutor", dying)
    with pytest.raises(InputError, match="a worker process died, most likely for lack of memory"):
        score_pairs(pairs[:2], scheme(), 1.0, workers=2)


def test_nothing_to_score():
    assert score_pairs([], scheme(), 1.0, workers=4) == ()
