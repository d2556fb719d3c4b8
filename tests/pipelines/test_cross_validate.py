"""Cross-validation from end to end: each case is predicted by the one network that never saw it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ball_cases import small_config, write_cases
from filelock import FileLock
from notes import Notes

from medseg.config.load import dump_config
from medseg.core.errors import ConfigError, InputError
from medseg.core.volume import LabelMap
from medseg.data.folds import read_folds
from medseg.data.split import read_split
from medseg.inference.bundle import read_bundle
from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import read_label_map, read_volume
from medseg.pipelines.cross_validate import CrossValidation, FoldOptions, cross_validate
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.out_of_fold import Averaged, Kept
from medseg.pipelines.train import train
from medseg.training.held_out import hold_out, read_held_out, write_held_out
from medseg.training.own import OwnParts
from medseg.training.state import read_checkpoint

MEDSEG = Path(sys.executable).with_name("medseg")
PATIENTS = {"a1": "A", "a2": "A", "b1": "B", "c1": "C", "d1": "D", "e1": "E"}
TWO = FoldOptions(2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return write_cases(tmp_path_factory.mktemp("data") / "cases", PATIENTS)


@pytest.fixture(scope="module")
def config(manifest):
    return small_config(manifest, epochs=6, steps=4)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> tuple[Path, CrossValidation, Notes]:
    """A cross-validation of two folds that nobody disturbed; its folder is not to be changed."""
    run, notes = tmp_path_factory.mktemp("whole") / "run", Notes()
    return run, cross_validate(config, run, TWO, progress=notes), notes


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "run"))


def held_out(run: Path, fold: int) -> dict[str, Path]:
    cases = read_split(run / f"fold-{fold}" / "split.json").validation
    return {case: run / f"fold-{fold}" / "out_of_fold" / f"{place:05d}.npz" for place, case in enumerate(cases)}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name[0] != "."}


def results(run: Path) -> dict[str, bytes]:
    """What a user gets, without curves, checkpoints and prepared cases."""
    parts = ("bundle", "out_of_fold", "fold-0/bundle", "fold-1/bundle")
    kept = [path for part in parts for path in (run / part).rglob("*")]
    timed = ("training.json", "card.html", "card.md")  # they say how long it took
    files = [path for path in kept if path.is_file() and path.name not in timed]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def assert_own_predictions(run: Path, fold: int, manifest: Path) -> None:
    """What a fold keeps is what its model, as it lies there, says about its held-out cases."""
    predictor = Predictor(read_bundle(run / f"fold-{fold}" / "bundle"), PredictionSettings("cpu", postprocess=False))
    for case, file in held_out(run, fold).items():
        own = predictor.predict(read_volume(manifest.parent / "images" / f"{case}.nii.gz")).labels
        assert isinstance(own, LabelMap)
        assert np.array_equal(read_held_out(file).values, own.array)


def test_two_folds_from_end_to_end(whole):
    run, done, notes = whole
    assert names(run) == {"config.yaml", "folds.json", "prepared", "fold-0", "fold-1", "out_of_fold", "bundle"}
    assert names(run / "fold-0") == {
        "config.yaml", "split.json", "tensorboard", "last.pt", "bundle", "out_of_fold",
    }  # fmt: skip
    assert len([path for path in (run / "prepared").iterdir() if path.is_dir()]) == len(PATIENTS)
    written = names(run / "out_of_fold")
    assert {f"{case}.nii.gz" for case in PATIENTS} <= written
    assert {"scores.csv", "scores.json", "report.html", "summary.json", "predictions.csv"} <= written
    assert (done.bundle, done.missing) == (run / "bundle", ())
    assert [row["cases"] for row in done.rows()] == [6, 6, 6]
    assert len(read_bundle(run / "bundle").members) == 2
    assert "fold 0: training" in notes.stages
    assert any("to come, about" in text and text.startswith("fold 0: Dice of") for text in notes.texts)


def test_each_case_is_predicted_by_the_one_network_that_did_not_train_on_it(whole, manifest):
    run, seen = whole[0], []
    for fold in range(2):
        trained = json.loads((run / f"fold-{fold}" / "bundle" / "split.json").read_text())["train"]
        assert not set(trained) & held_out(run, fold).keys()
        assert_own_predictions(run, fold, manifest)
        seen += held_out(run, fold)
    assert sorted(seen) == sorted(PATIENTS)
    summary = json.loads((run / "out_of_fold" / "summary.json").read_text())
    assert summary["fold_of"] == {case: fold for fold in range(2) for case in held_out(run, fold)}


def test_kept_probabilities_are_averaged_as_a_model_of_both_networks_averages_them(whole, manifest, tmp_path):
    """Here with the model of the other fold, which has seen the cases, because it is at hand."""
    run, scheme = whole[0], read_bundle(whole[0] / "bundle").scheme
    both = ensemble([read_bundle(run / f"fold-{fold}" / "bundle") for fold in range(2)])
    cooled = replace(both, calibration=Calibration(temperature=1.7))
    predictor = Predictor(cooled, PredictionSettings("cpu", probabilities=True, postprocess=False))
    other = Predictor(read_bundle(run / "fold-1" / "bundle"), PredictionSettings("cpu", probabilities=True))
    for case, file in held_out(run, 0).items():
        image = read_volume(manifest.parent / "images" / f"{case}.nii.gz")
        theirs = tmp_path / f"{case}.npz"
        reference = read_label_map(manifest.parent / "labels" / f"{case}.nii.gz")
        write_held_out(theirs, hold_out(other.predict(image), reference, scheme, 10, np.random.default_rng(0)))
        parts = [Kept({case: path}, scheme) for path in (file, theirs)]
        together, direct = Averaged(parts, [1, 1], 1.7), predictor.predict(image)
        difference = together.probabilities(case).array.astype(float) - direct.probabilities
        assert np.abs(difference).mean() < 5e-3
        assert (together.labels(case, Calibration()).array == direct.labels.array).mean() > 0.99


def test_no_patient_is_on_both_sides_of_a_fold(whole):
    folds = read_folds(whole[0] / "folds.json")
    for training, validation in folds.parts:
        assert not {PATIENTS[case] for case in training} & {PATIENTS[case] for case in validation}
    assert sorted(len(validation) for _, validation in folds.parts) == [3, 3]


def test_the_weights_of_the_last_step_are_kept_whatever_did_best_on_held_out_cases(whole):
    fold = whole[0] / "fold-1"
    last = read_checkpoint(fold / "last.pt")["average"]
    kept = read_bundle(fold / "bundle").members[0].network.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in last.items())


def test_out_of_fold_label_maps_are_scored_like_any_predictions(whole, manifest, tmp_path):
    run, done, _ = whole
    again = evaluate(run / "out_of_fold", manifest, tmp_path / "report")
    mine, theirs = ({(row.case, row.structure): row.dice for row in one.rows} for one in (done.evaluation, again))
    assert theirs == pytest.approx(mine, nan_ok=True)
    assert again.patients == done.evaluation.patients


def test_a_test_part_is_not_even_opened(tmp_path):
    manifest = write_cases(tmp_path / "cases", PATIENTS, {"a1": "test", "a2": "test"})
    for part in ("images", "labels"):
        (manifest.parent / part / "a1.nii.gz").write_bytes(b"no image")
    done = cross_validate(small_config(manifest, epochs=1, steps=1), tmp_path / "run", TWO)
    assert read_folds(tmp_path / "run" / "folds.json").test == ("a1", "a2")
    assert {row.case for row in done.evaluation.rows} == {"b1", "c1", "d1", "e1"}
    assert json.loads((done.bundle / "split.json").read_text())["test"] == ["a1", "a2"]


@pytest.mark.slow
def test_sittings_are_put_together_by_the_last_one(whole, config, tmp_path):
    run, notes = tmp_path / "run", Notes()
    first = cross_validate(config, run, FoldOptions(2, (1,)), progress=notes)
    assert (first.bundle, first.evaluation, first.missing) == (None, None, (0,))
    assert first.rows() == []
    assert any("pass --fold 0" in text for text in notes.texts)
    assert not (run / "bundle").exists()
    second = cross_validate(config, run, FoldOptions(2, (0,)))
    assert second.missing == ()
    assert results(run) == results(whole[0])


@pytest.mark.slow
def test_a_run_that_was_killed_in_a_fold_goes_on_bit_by_bit(whole, config, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config))
    run = tmp_path / "cut"
    command = [MEDSEG, "train", tmp_path / "run.yaml", "--folds", "2", "-o", run]
    # Networks that this user has converted before would compute in the place of torch.
    home = os.environ | {"HOME": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home)
    checkpoint, deadline = run / "fold-1" / "last.pt", time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "fold-1" / "bundle").exists()
    finished = (run / "fold-0" / "last.pt").stat().st_mtime_ns
    cross_validate(config, run, TWO, resume=True)
    assert (run / "fold-0" / "last.pt").stat().st_mtime_ns == finished
    assert results(run) == results(whole[0])


def test_a_fold_that_was_stopped_while_it_predicted_keeps_what_it_has(copy, config, monkeypatch):
    (copy / "fold-0" / "out_of_fold" / "done.json").unlink()
    (copy / "fold-0" / "out_of_fold" / "00001.npz").unlink()
    before = {path: path.stat().st_mtime_ns for path in (copy / "fold-0" / "out_of_fold").glob("*.npz")}
    predicted, predict = [], Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda *given: predicted.append(given) or predict(*given))
    cross_validate(config, copy, TWO, resume=True)
    assert len(predicted) == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_a_longer_budget_trains_on_and_forgets_what_other_weights_predicted(copy, config, manifest):
    before, notes = results(copy), Notes()
    cross_validate(config, copy, TWO, resume=True, progress=notes)
    assert results(copy) == before
    assert [text for text in notes.texts if "finished already" in text] == [
        f"fold {fold}: finished already" for fold in range(2)
    ]
    longer = small_config(manifest, epochs=7, steps=4)
    part = cross_validate(longer, copy, FoldOptions(2, (0,)), resume=True)
    assert part.missing == (1,)  # trained with another budget
    assert_own_predictions(copy, 0, manifest)
    assert cross_validate(longer, copy, TWO, resume=True).missing == ()
    assert results(copy)["bundle/scores.json"] != before["bundle/scores.json"]


def test_a_fold_that_another_process_is_at_is_left_to_it(copy, config):
    notes = Notes()
    (copy / "fold-0" / "out_of_fold" / "done.json").unlink()
    with FileLock(copy / "fold-0" / ".lock"):
        done = cross_validate(config, copy, TWO, resume=True, progress=notes)
    assert done.missing == (0,)
    assert "fold 0: another process is at it" in notes.texts
    assert cross_validate(config, copy, TWO, resume=True).missing == ()


def test_a_folder_that_holds_something_else_is_refused(whole, config, manifest, tmp_path):
    run = whole[0]
    with pytest.raises(InputError, match="fold 0 in '.*' was begun already; pass --resume"):
        cross_validate(config, run, TWO)
    with pytest.raises(InputError, match="holds a cross-validation; go on with --folds"):
        train(config, run, resume=True)
    with pytest.raises(ConfigError, match=r"their folds are not those of '.*folds\.json' any more"):
        cross_validate(config, run, FoldOptions(3), resume=True)
    other = small_config(manifest, epochs=6, steps=4, loss={"name": "dice"})
    with pytest.raises(ConfigError, match="differs from this configuration in loss.*; a run is resumed"):
        cross_validate(other, run, TWO, resume=True)
    (tmp_path / "single").mkdir()
    for name in ("config.yaml", "split.json"):
        (tmp_path / "single" / name).write_text(dump_config(config) if name == "config.yaml" else "{}")
    with pytest.raises(InputError, match="holds a run without folds"):
        cross_validate(config, tmp_path / "single", TWO, resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        cross_validate(config, tmp_path / "mine", TWO)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (FoldOptions(2, (2,)), InputError, "there is no fold 2; the folds are 0 to 1"),
        (FoldOptions(6), ConfigError, "6 folds need 6 patients, there are 5"),
        (FoldOptions(40), ConfigError, "40 folds need 40 patients"),
    ],
)
def test_folds_that_are_not_there(manifest, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        cross_validate(small_config(manifest), tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_more_networks_than_a_model_may_have(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.pipelines.cross_validate.MOST_MEMBERS", 2)
    with pytest.raises(ConfigError, match="a model joins at most 2 networks, 3 folds were asked for"):
        cross_validate(small_config(manifest), tmp_path / "run", FoldOptions(3))


def test_folds_of_a_file_that_part_a_patient_are_refused(manifest, tmp_path):
    parts = [{"train": ["a1", "b1"], "val": ["a2", "c1"]}, {"train": ["a2", "c1"], "val": ["a1", "b1"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(parts))
    data = {"folder": str(manifest), "split": {"file": str(tmp_path / "splits_final.json")}}
    with pytest.raises(ConfigError, match=r"fold 0: cases 'a1' .* are of one patient; keep a patient in one part"):
        cross_validate(small_config(manifest, data=data), tmp_path / "run")


def test_stopping_by_held_out_cases_is_told(copy, config):
    notes, training = Notes(), config.training.model_copy(update={"patience": 3})
    patient = config.model_copy(update={"training": training})
    for folder in (copy, copy / "fold-0", copy / "fold-1"):
        (folder / "config.yaml").write_text(dump_config(patient))
    cross_validate(patient, copy, TWO, resume=True, progress=notes)
    assert any("training.patience stops a fold by its held-out cases" in text for text in notes.texts)


def test_overlapping_regions_get_masks_and_thresholds_of_their_own(manifest, tmp_path):
    labels = {
        "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
        "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "inner", "structures": ["two"]}],
    }
    done = cross_validate(small_config(manifest, labels=labels, epochs=2, steps=4), tmp_path / "run", TWO)
    assert {row.structure for row in done.evaluation.rows} == {"both", "inner"}
    summary = json.loads((tmp_path / "run" / "out_of_fold" / "summary.json").read_text())
    model = read_bundle(done.bundle)
    assert model.calibration.temperature == pytest.approx(summary["temperature"])
    assert model.calibration.thresholds.keys() == summary["thresholds"].keys()


def test_a_network_of_ones_own_begins_each_fold_anew(manifest, tmp_path):
    own = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 3, 1))
    before = {name: weight.clone() for name, weight in own.state_dict().items()}
    done = cross_validate(small_config(manifest), tmp_path / "run", TWO, parts=OwnParts(own))
    assert all(torch.equal(weight, before[name]) for name, weight in own.state_dict().items())
    one, other = (member.network for member in read_bundle(done.bundle, own).members)
    assert not torch.equal(one.state_dict()["0.weight"], other.state_dict()["0.weight"])


@pytest.mark.slow
def test_two_processes_share_the_folds(manifest, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(small_config(manifest)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", MEDSEG]
    run = [*command, "train", tmp_path / "run.yaml", "--folds", "2", "-o", tmp_path / "run"]
    done = subprocess.run(run, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(read_bundle(tmp_path / "run" / "bundle").members) == 2
    assert {f"{case}.nii.gz" for case in PATIENTS} <= names(tmp_path / "run" / "out_of_fold")


def test_the_model_of_all_folds_has_a_card_with_out_of_fold_scores(whole):
    bundle = whole[0] / "bundle"
    text = (bundle / "card.md").read_text()
    assert "a 3D network" not in text
    assert "| trained and validated in turn | 6 | 5 |" in text
    assert "Of 6 cases of 5 patients, each outlined by the network that it did not train." in text
    assert "2; their probabilities are averaged" in text
    assert len(json.loads((bundle / "training.json").read_text())["runs"]) == 2
    assert not [case for case in PATIENTS if f'"{case}"' in (bundle / "training.json").read_text()]
