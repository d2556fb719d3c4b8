"""Which cross-validation does best, and whether two together do better."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ball_cases import write_cases
from fold_runs import confident, said_run
from notes import Notes

from medseg.core.errors import InputError
from medseg.data.layouts import open_dataset
from medseg.evaluation.intervals import Bootstrap
from medseg.inference.bundle import read_bundle
from medseg.io.formats import read_label_map
from medseg.pipelines import run_pair
from medseg.pipelines.compare import CompareOptions, are_runs
from medseg.pipelines.run_pair import RunPair, read_run
from medseg.pipelines.select import compare_runs

PATIENTS = {f"c{number}": f"p{number}" for number in range(6)}
QUICK = CompareOptions(bootstrap=Bootstrap(resamples=200))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data") / "cases", PATIENTS)


def wrong_half(side, sure=0.6):
    """Sure of the truth everywhere but in one half of the image, where something else is a little more probable."""

    def says(reference, number):
        shown, half = confident(reference, 0.95), slice(0, 8) if side == "left" else slice(8, 16)
        guess = np.roll(reference, 1 + number % 2, axis=1)
        shown[:, half] = confident(guess, sure)[:, half]
        return shown

    return says


@pytest.fixture(scope="module")
def runs(manifest, tmp_path_factory):
    """Two runs that are wrong in different places and unsure there, so that they are right together; and a bad one."""
    folder = tmp_path_factory.mktemp("runs")
    said_run(folder / "A", manifest, wrong_half("left"), postprocessing={})
    said_run(folder / "B", manifest, wrong_half("right"), postprocessing={}, dims=2)
    said_run(folder / "C", manifest, lambda r, n: confident(np.roll(r, 3, axis=2), 0.8), postprocessing={})
    return [folder / name for name in "ABC"]


@pytest.fixture
def copies(runs, tmp_path):
    return [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]


def test_two_that_complete_each_other_are_best_together(runs, manifest, tmp_path):
    found = compare_runs(runs, tmp_path / "out", QUICK)
    assert found.best.name == "A + B"
    assert {choice.name for choice in found.choices} == {"A", "B", "C", "A + B", "A + C", "B + C"}
    assert found.best.networks == 4
    assert found.best.dice.value > 0.99
    assert found.best.behind is None
    singles = {choice.name: choice for choice in found.choices}
    assert singles["A"].behind.difference == pytest.approx(singles["A"].dice.value - found.best.dice.value)
    assert singles["A"].behind.interval.high < 0
    assert found.verdict().startswith("A + B is best: mean Dice ")
    assert [row["configuration"] for row in found.rows()] == [choice.name for choice in found.choices]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "A_+_B", "A_+_C", "B_+_C", "compare.html", "compare.json",
    ]  # fmt: skip
    truth = read_label_map(manifest.parent / "labels" / "c2.nii.gz").array
    together = read_label_map(tmp_path / "out" / "A_+_B" / "c2.nii.gz").array
    alone = read_label_map(runs[0] / "out_of_fold" / "c2.nii.gz").array
    assert (together != truth).sum() < (alone != truth).sum()


def test_the_bundle_of_two_holds_the_networks_of_both(runs, tmp_path):
    found = compare_runs(runs[:2], tmp_path / "out", QUICK, tmp_path / "model")
    assert found.bundle == tmp_path / "model"
    model = read_bundle(tmp_path / "model")
    assert [member.config.network.dims for member in model.members] == [3, 3, 2, 2]
    assert model.config.postprocessing is not None
    scores = json.loads((tmp_path / "model" / "scores.json").read_text())
    assert {row["case"] for row in scores["out_of_fold"]} == set(PATIENTS)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.2, -0.1, "is next: "),
        (-0.2, 0.1, "is next: which may be chance, "),
        (0.1, 0.2, "is next: though ahead in the cases that both have a score of, "),
    ],
)
def test_a_verdict_says_what_the_paired_cases_say(runs, tmp_path, low, high, said):
    found = compare_runs(runs[:2], tmp_path / "out", QUICK)
    best, following, *others = found.choices
    interval = replace(following.behind.interval, low=low, high=high)
    following = replace(following, behind=replace(following.behind, interval=interval))
    assert said in replace(found, choices=(best, following, *others)).verdict()


def test_what_either_run_trained_on_was_not_kept_aside(runs, manifest, monkeypatch, tmp_path):
    one, other = (read_run(run, run.name) for run in runs[:2])
    cases = one.folds.cases
    other = replace(other, folds=replace(other.folds, test=(cases[0], "c9")))
    pair = RunPair((one, other), one.scores, open_dataset(manifest), SimpleNamespace(thresholds={}), 1.0)
    origins = []
    monkeypatch.setattr(run_pair, "write_joint", lambda *parts: origins.append(parts[-1]))
    pair.write(tmp_path / "model")
    assert origins[0].split.test == ("c9",)
    assert set(origins[0].split.training) == set(cases)


def test_the_bundle_of_one_is_its_own(runs, copies, tmp_path):
    """The same run twice: both together are no better, and have more networks."""
    found = compare_runs([runs[0], copies[0]], tmp_path / "out", QUICK, tmp_path / "model")
    assert found.best.networks == 2
    assert "which may be chance" in found.verdict()
    assert all(choice.dice.value == found.best.dice.value for choice in found.choices)
    for file in (runs[0] / "bundle").rglob("*.*"):
        assert (tmp_path / "model" / file.relative_to(runs[0] / "bundle")).read_bytes() == file.read_bytes()
    assert len(read_bundle(tmp_path / "model").members) == 2


def test_networks_that_see_other_channels_are_compared_but_not_averaged(runs, copies, tmp_path):
    for file in (copies[1] / "bundle").rglob("config.yaml"):
        file.write_text(file.read_text().replace("name: image", "name: T2"))
    notes = Notes()
    found = compare_runs([runs[0], copies[1]], tmp_path / "out", QUICK, progress=notes)
    assert {choice.name for choice in found.choices} == {"A", "B"}
    assert any(text.startswith("A + B: not averaged, member") for text in notes.texts)


def test_the_data_set_may_have_moved(runs, copies, manifest, tmp_path):
    gone = copies[0] / "config.yaml"
    gone.write_text(gone.read_text().replace(str(manifest), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"data\.folder '.*gone' does not exist"):
        compare_runs([copies[0], runs[1]], tmp_path / "out", QUICK)
    found = compare_runs([copies[0], runs[1]], tmp_path / "out", QUICK, data=manifest)
    assert found.best.name == "A + B"


def test_what_cannot_be_compared_is_told_before_the_work(copies, tmp_path):
    runs = copies
    with pytest.raises(InputError, match="a comparison needs two runs or more"):
        compare_runs(runs[:1], tmp_path / "out", QUICK)
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="exists already; name a new folder for the bundle"):
        compare_runs(runs[:2], tmp_path / "out", QUICK, tmp_path / "model")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; the comparison needs a folder"):
        compare_runs(runs[:2], tmp_path / "file", QUICK)
    shutil.rmtree(runs[1] / "out_of_fold")
    with pytest.raises(InputError, match="has no out-of-fold scores yet"):
        compare_runs(runs[:2], tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_runs_and_evaluations_are_told_apart(runs):
    assert are_runs(runs)
    assert not are_runs([run / "out_of_fold" for run in runs])
    with pytest.raises(InputError, match=r"'.*A' is a cross-validation, '.*out_of_fold' is none; name '.*out_of_fold'"):
        are_runs([runs[0], runs[1] / "out_of_fold"])
    with pytest.raises(InputError, match="'.*nowhere' does not exist"):
        are_runs([runs[0], runs[1] / "nowhere"])
