"""What is chosen on out-of-fold predictions: temperature, thresholds, clean-up; and what is written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ball_cases import small_config, write_cases
from fold_runs import confident, said_run, whole_run
from notes import Notes

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import DataError
from medseg.evaluation.scores_file import read_scores
from medseg.inference.bundle import read_bundle
from medseg.io.formats import read_label_map, read_multi_label_map
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.join_folds import join_folds

PATIENTS = {f"c{number}": f"p{number}" for number in range(6)}
REGIONS = {
    "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
    "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "inner", "structures": ["two"]}],
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data") / "cases", PATIENTS)


def summary(run):
    return json.loads((run / "out_of_fold" / "summary.json").read_text())


def mean_dice(run):
    return np.mean([row.dice for row in read_scores(run / "out_of_fold", "run").rows])


def noisy(sure):
    """Right in four of five voxels, and so sure of each."""

    def says(reference, number):
        rng = np.random.default_rng(number)
        wrong = rng.random(reference.shape) < 0.2
        shown = np.where(wrong, rng.permutation(np.array([0, 1, 2]))[reference.astype(int)], reference)
        return confident(shown, sure)

    return says


def test_probabilities_that_are_too_sure_are_cooled_down_in_the_model_of_all_folds(manifest, tmp_path):
    sure = said_run(tmp_path / "sure", manifest, noisy(0.999))
    unsure = said_run(tmp_path / "unsure", manifest, noisy(0.5))
    assert summary(sure)["temperature"] > 2
    assert summary(unsure)["temperature"] < 1
    for run in (sure, unsure):
        told = summary(run)["negative_log_likelihood"]
        assert told["after"] < told["before"]
        model = read_bundle(run / "bundle")
        assert model.calibration.temperature == summary(run)["temperature"]
        assert len(model.members) == 2


def test_a_stray_voxel_makes_the_largest_component_count(manifest, tmp_path):
    def says(reference, number):
        shown = reference.copy()
        shown[0, 0, 0] = 1
        return confident(shown)

    notes = Notes()
    run = said_run(tmp_path / "run", manifest, says, notes)
    assert "clean-up chosen out of fold: largest component of one" in notes.texts
    assert summary(run)["postprocessing"] == {"largest_together": [], "largest_component": ["one"], "fill_holes": []}
    assert read_bundle(run / "bundle").config.postprocessing == PostprocessingSection(largest_component=("one",))
    assert mean_dice(run) == 1  # the label maps that are written and scored are clean
    assert read_label_map(run / "out_of_fold" / "c0.nii.gz").array[0, 0, 0] == 0


def test_clean_up_that_is_given_is_not_chosen_again(manifest, tmp_path):
    def says(reference, number):
        shown = reference.copy()
        shown[0, 0, 0] = 1
        return confident(shown)

    notes = Notes()
    run = said_run(tmp_path / "run", manifest, says, notes, postprocessing={"fill_holes": ["two"]})
    assert not any("clean-up chosen" in text for text in notes.texts)
    assert summary(run)["postprocessing"] == {"largest_together": [], "largest_component": [], "fill_holes": ["two"]}
    assert mean_dice(run) < 1


def test_regions_that_are_underrated_get_a_lower_threshold(manifest, tmp_path):
    def says(reference, number):
        """The regions are given 0.37, all else less."""
        return np.stack([np.where(reference > 0, 0.37, 0.03), np.where(reference == 2, 0.9, 0.03)])

    run = said_run(tmp_path / "run", manifest, says, labels=REGIONS)
    chosen = summary(run)["thresholds"]
    assert set(chosen) == {"both"}
    assert 0.03 < chosen["both"] < 0.37
    assert mean_dice(run) == 1
    masks = read_multi_label_map(run / "out_of_fold" / "c3.nii.gz", ("both", "inner"))
    truth = read_label_map(manifest.parent / "labels" / "c3.nii.gz")
    assert np.array_equal(masks.array[0], truth.array > 0)
    calibration = read_bundle(run / "bundle").calibration
    moved = calibration.thresholds["both"]  # what it becomes when logits are divided by the temperature
    assert np.log(moved / (1 - moved)) == pytest.approx(
        np.log(chosen["both"] / (1 - chosen["both"])) / calibration.temperature
    )


def test_the_records_say_which_fold_a_case_was_held_out_in(manifest, tmp_path):
    run = said_run(tmp_path / "run", manifest, lambda reference, _: confident(reference))
    split = json.loads((run / "bundle" / "split.json").read_text())
    folds = [split[f"fold {fold}"] for fold in range(2)]
    assert sorted(case for fold in folds for case in fold) == sorted(split["train"]) == sorted(PATIENTS)
    assert summary(run)["fold_of"] == {case: fold for fold in range(2) for case in folds[fold]}
    scores = json.loads((run / "bundle" / "scores.json").read_text())
    assert {row["case"] for row in scores["out_of_fold"]} == set(PATIENTS)


def test_names_that_differ_by_capitals_still_find_their_reference(tmp_path):
    names = {"A_B": "p1", "a_b": "p2", "c": "p3", "d": "p4"}
    manifest = write_cases(tmp_path / "cases", names)
    run = said_run(tmp_path / "run", manifest, lambda reference, _: confident(reference))
    files = {path.name.casefold() for path in (run / "out_of_fold").glob("*.nii.gz")}
    assert len(files) == len(names)
    found = evaluate(run / "out_of_fold", manifest, tmp_path / "report")
    assert {row.case for row in found.rows} == set(names)
    assert {row.dice for row in found.rows} == {1.0}


def test_a_damaged_prediction_is_told(manifest, tmp_path):
    run = said_run(tmp_path / "run", manifest, lambda reference, _: confident(reference))
    before = (run / "out_of_fold" / "scores.csv").read_bytes()
    (run / "fold-1" / "out_of_fold" / "00001.npz").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"out-of-fold prediction 00001\.npz is missing or damaged"):
        join_folds(whole_run(run, small_config(manifest)))
    assert (run / "out_of_fold" / "scores.csv").read_bytes() == before
