"""`medseg train --folds` and `medseg compare RUN_A RUN_B` as a shell runs them."""

from __future__ import annotations

import json

import pytest
from ball_cases import small_config, write_cases
from command_line import fails

from medseg.cli.train import read_folds
from medseg.config.load import dump_config
from medseg.pipelines.cross_validate import FoldOptions

PATIENTS = {f"c{number}": f"p{number}" for number in range(4)}


@pytest.fixture
def config(tmp_path):
    manifest = write_cases(tmp_path / "cases", PATIENTS)
    (tmp_path / "run.yaml").write_text(dump_config(small_config(manifest, epochs=1, steps=1)))
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(
    ("count", "only", "expected"),
    [
        (None, None, None),
        ("all", None, FoldOptions()),
        ("5", None, FoldOptions(5)),
        ("5", "0,2", FoldOptions(5, (0, 2))),
        ("all", " 3 ", FoldOptions(None, (3,))),
    ],
)
def test_which_folds_are_asked_for(count, only, expected):
    assert read_folds(count, only) == expected


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--fold", "0"), "say how many there are by --folds 5 or --folds all"),
        (("--folds", "1"), "--folds '1' is neither a number from 2 on nor all"),
        (("--folds", "many"), "--folds 'many' is neither"),
        (("--folds", "2", "--fold", "a,b"), "--fold 'a,b' is no list of numbers"),
        (("--folds", "2", "--fold", "2"), "there is no fold 2; the folds are 0 to 1"),
        (("--folds", "9"), "9 folds need 9 patients, there are 4"),
    ],
)
def test_folds_that_cannot_be_are_one_sentence(medseg, config, tmp_path, options, part):
    fails(medseg("train", config, "-o", "run", *options), part)
    assert not (tmp_path / "run").exists()


def test_folds_in_two_sittings_and_the_choice_between_two_runs(medseg, config, tmp_path):
    first = medseg("train", config, "-o", "A", "--folds", "2", "--fold", "0")
    assert first.code == 0, first.err
    assert "pass --fold 1" in first.err
    assert first.out == ""
    second = medseg("train", config, "-o", "A", "--folds", "2", "--fold", "1")
    assert second.code == 0, second.err
    assert "out of fold: every case by the network that did not train on it" in second.out
    assert "the model of all folds lies in A/bundle" in second.out
    other = medseg("train", config, "-o", "B", "--folds", "2", "--set", "training.seed=1", "--json")
    assert {row["structure"] for row in json.loads(other.out)} == {"one", "two", "foreground mean"}
    done = medseg("compare", "A", "B", "-o", "out", "--bundle", "best")
    assert done.code == 0, done.err
    assert "out of fold, 4 cases of 4 patients" in done.out
    assert " is best: mean Dice " in done.out
    assert (tmp_path / "best" / "config.yaml").is_file()
    fails(medseg("compare", "A", "B/out_of_fold"), "'A' is a cross-validation, 'B/out_of_fold' is none")
    fails(medseg("compare", "A/out_of_fold", "B/out_of_fold", "--bundle", "other"), "--bundle and --data are for runs")
