import re
from dataclasses import replace

import numpy as np
import pytest
from factories import geometry, label_map, scheme
from seg_factories import HEADER, source_series

from medseg.core.case import CaseId
from medseg.core.errors import InputError, LabelError
from medseg.core.segmentation import Segmentation
from medseg.core.volume import MultiLabelMap, Volume
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.evaluation import scoring
from medseg.evaluation.pairs import Pair
from medseg.evaluation.scoring import Problem, Unscored, read_pair, score_pairs
from medseg.evaluation.settings import Settings
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import write_label_map, write_multi_label_map, write_volume
from medseg.metrics.table import ScoreSettings, score_case

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
    outcomes = score_pairs(pairs, scheme(), progress=progress)
    assert progress.seen == [("scoring", 7), *[1] * 7]
    failed = {one.case: one for one in outcomes if isinstance(one, Unscored)}
    assert list(failed) == ["grid", "values", "broken", "gone"]
    assert {one.problem for one in failed.values()} == {Problem.FAILED}
    assert "shapes (7, 8, 8) and (7, 8, 9); bring the prediction" in failed["grid"].message
    assert "the prediction holds label values that the scheme lacks: 7" in failed["values"].message
    assert "broken.nii.gz" in failed["broken"].message
    expected = score_case(pairs[0].case, *read_pair(pairs[0], scheme()), scheme())
    assert outcomes[0].rows == expected


def test_two_workers_give_what_one_gives(pairs, tmp_path):
    settings = Settings(ScoreSettings(tolerances={"one": 2.0}, thin=frozenset({"two"})), ("one",))
    maps = write_maps(tmp_path, "maps", GRID)
    pairs = [replace(pairs[0], probabilities=maps), *pairs[1:]]
    alone, shared = (score_pairs(pairs, scheme(), settings, workers=workers) for workers in (1, 2))
    assert [told(outcome) for outcome in alone] == [told(outcome) for outcome in shared]
    assert alone[0].calibration


def told(outcome):
    """All that an outcome holds, as something that can be compared."""
    if isinstance(outcome, Unscored):
        return outcome
    instances = [(one.structure, one.matched, one.lesions) for one in outcome.instances]
    calibration = [(one.structure, one.counts.voxels.tolist(), one.counts.squares) for one in outcome.calibration]
    return repr(outcome.rows), outcome.confusion.tolist(), instances, calibration, outcome.problem


def write_maps(folder, name, grid, change=None):
    """Probability maps of two structures, as `medseg predict --probabilities` writes them."""
    array = np.random.default_rng(5).random((2, *grid.shape)).astype(np.float32) / 2
    if change is not None:
        array[0, 0, 0, 0] = change
    path = folder / f"{name}_probabilities.nii.gz"
    write_volume(path, Volume(array, grid, ("one", "two")))
    return path


def test_a_case_tells_all_that_was_asked_for(pairs, tmp_path):
    pair = replace(pairs[0], probabilities=write_maps(tmp_path, "maps", GRID.reoriented("PSL")))
    (outcome,) = score_pairs([pair], scheme(), Settings(instances=("two",)))
    assert outcome.confusion.shape == (3, 3)
    assert outcome.confusion.sum() == np.prod(GRID.shape)
    assert [one.structure for one in outcome.instances] == ["two"]
    assert outcome.instances[0].detections is not None
    assert [one.structure for one in outcome.calibration] == ["one", "two"]
    assert outcome.problem is None


@pytest.mark.parametrize(
    ("grid", "change", "message"),
    [
        (GRID, np.nan, "the probability maps hold NaN"),
        (GRID, 7.0, "the probability maps go from .* to 7; give probabilities from 0 to 1, not logits"),
        (geometry((7, 8, 8)), None, "probabilities and reference lie on different grids"),
    ],
)
def test_probabilities_that_are_none_cost_the_calibration_only(pairs, tmp_path, grid, change, message):
    pair = replace(pairs[0], probabilities=write_maps(tmp_path, "maps", grid, change))
    (outcome,) = score_pairs([pair], scheme(), Settings(instances=("two",)))
    assert outcome.rows == score_case(pair.case, *read_pair(pair, scheme()), scheme())
    assert (outcome.calibration, outcome.instances[0].detections) == ((), None)
    assert outcome.problem.problem is Problem.NO_CALIBRATION
    assert re.search(message, outcome.problem.message)


def test_there_is_a_map_for_each_structure(pairs, tmp_path):
    pair = replace(pairs[0], probabilities=write_maps(tmp_path, "maps", GRID))
    (outcome,) = score_pairs([pair], scheme("one", "two", "three"))
    assert outcome.problem.message == "there are 2 probability maps for one, two, three; one a structure is needed"


def test_structures_that_overlap_have_no_confusion(tmp_path):
    masks = MultiLabelMap(np.ones((2, *GRID.shape), np.bool_), GRID, ("one", "two"))
    write_multi_label_map(tmp_path / "masks.nii.gz", masks)
    overlapping = replace(scheme(), overlapping=True)
    (outcome,) = score_pairs([Pair(CaseId("a"), "a", *[tmp_path / "masks.nii.gz"] * 2)], overlapping)
    assert outcome.confusion is None
    assert [row.dice for row in outcome.rows] == [1, 1]


def test_a_structure_that_is_not_there_is_refused_before_anything_is_read(pairs):
    with pytest.raises(LabelError, match="no structure 'lesion' to count instances of"):
        score_pairs(pairs, scheme(), Settings(instances=("lesion",)))


def test_an_axis_that_runs_the_other_way_is_turned(tmp_path):
    reference = label_map(GRID)
    pair = write_pair(tmp_path, "turned", reference.reoriented("PSL"), reference)
    (outcome,) = score_pairs([pair], scheme())
    assert [row.dice for row in outcome.rows] == [1, 1]
    assert read_pair(pair, scheme())[0].geometry.is_close(GRID)


def test_fractions_are_no_labels(tmp_path, pairs):
    import nibabel

    soft = np.full(GRID.shape, 0.5, np.float32)
    nibabel.save(nibabel.Nifti1Image(soft, GRID.affine), tmp_path / "soft.nii.gz")
    (outcome,) = score_pairs([Pair(CaseId("soft"), "soft", tmp_path / "soft.nii.gz", pairs[0].reference)], scheme())
    assert "holds fractions such as 0.5" in outcome.message


def test_lack_of_memory_is_the_cases_failure(pairs, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(scoring, "score_pair", too_much)
    (outcome,) = score_pairs(pairs[:1], scheme())
    assert outcome == Unscored(CaseId("case0"), Problem.FAILED, "out of memory; run with fewer workers")


def test_lack_of_memory_for_probabilities_costs_the_calibration_only(pairs, tmp_path, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(scoring, "read_volume", too_much)
    pair = replace(pairs[0], probabilities=write_maps(tmp_path, "maps", GRID))
    (outcome,) = score_pairs([pair], scheme())
    assert len(outcome.rows) == 2
    assert outcome.problem == Unscored(CaseId("case0"), Problem.NO_CALIBRATION, "out of memory; run with fewer workers")


def test_a_worker_that_dies_is_said(pairs, monkeypatch):
    def dying(*_, **__):
        raise scoring.BrokenProcessPool

    monkeypatch.setattr(scoring, "ProcessPoolExecutor", dying)
    with pytest.raises(InputError, match="a worker process died, most likely for lack of memory"):
        score_pairs(pairs[:2], scheme(), workers=2)


def test_nothing_to_score():
    assert score_pairs([], scheme(), workers=4) == ()


@pytest.mark.parametrize("of_data_set", [False, True])
def test_a_segmentation_that_leaves_out_slices_lies_on_the_whole_image(tmp_path, of_data_set):
    source = source_series(tmp_path)
    masks = np.zeros((2, *source.geometry.shape), np.bool_)
    masks[0, 2:6, 2:5, 1:3] = masks[1, 4:8, 2:5, 1:3] = True
    labels = MultiLabelMap(masks, source.geometry, ("one", "two"))
    overlapping = replace(scheme(), overlapping=True)
    write_segmentation(tmp_path / "reference.dcm", Segmentation(labels, overlapping), source, HEADER)
    write_multi_label_map(tmp_path / "predicted.nii.gz", labels)
    files = CaseFiles(CaseId("c"), {"CT": ImageFile(tmp_path / "source")}, tmp_path / "reference.dcm", "c")
    paths = tmp_path / "predicted.nii.gz", tmp_path / "reference.dcm"
    pair = Pair(CaseId("c"), "c", *paths, files=files if of_data_set else None)
    (outcome,) = score_pairs([pair], overlapping)
    assert [row.dice for row in outcome.rows] == [1.0, 1.0]
