"""The cases that an export looks at."""

from __future__ import annotations

import numpy as np
import pytest
from ball_cases import CASES, SHAPE, write_balls
from dataset_factories import listed, write_json
from factories import run_config, scheme

from medseg.core.errors import InputError
from medseg.data.layouts import open_dataset
from medseg.inference.export_cases import (
    MOST_CALIBRATING,
    MOST_HELD_OUT,
    case_windows,
    divide_cases,
    prepared_cases,
    random_windows,
    trained_cases,
)


def ids(cases):
    return [case.id for case in cases]


def test_those_that_trained_calibrate_and_the_others_judge():
    dataset = listed(dict.fromkeys("abcd", "p"), unlabelled="d")
    found = divide_cases(dataset, ["b", "c", "elsewhere"])
    assert (ids(found.calibrating), ids(found.held_out)) == (["b", "c"], ["a"])


def test_of_other_data_every_fourth_judges():
    found = divide_cases(listed(dict.fromkeys("abcdef", "p")), ["elsewhere"])
    assert (ids(found.calibrating), ids(found.held_out)) == (["b", "c", "d", "f"], ["a", "e"])


def test_of_many_cases_some_are_taken_from_all():
    names = [f"c{number:03}" for number in range(300)]
    found = divide_cases(listed(dict.fromkeys(names, "p")), names[:200])
    assert len(found.calibrating) == MOST_CALIBRATING
    assert len(found.held_out) <= MOST_HELD_OUT
    assert found.calibrating[-1].id > "c180"


@pytest.mark.parametrize(
    ("cases", "trained", "sentence"),
    [("a", "", "two labelled cases .* holds 1"), ("ab", "ab", "all cases of this data trained the model")],
)
def test_too_few_cases_are_refused(cases, trained, sentence):
    with pytest.raises(InputError, match=sentence):
        divide_cases(listed(dict.fromkeys(cases, "p")), [*trained])


def test_a_bundle_tells_who_trained_it(tmp_path):
    assert trained_cases(tmp_path) == ()
    write_json(tmp_path / "split.json", {"train": ["a", "b"], "validation": ["c"]})
    assert trained_cases(tmp_path) == ("a", "b")
    write_json(tmp_path / "split.json", {"train": "a"})
    assert trained_cases(tmp_path) == ()


@pytest.mark.parametrize("dims", [2, 3])
def test_windows_are_what_the_network_takes_and_the_first_lies_on_a_structure(tmp_path, dims):
    dataset = open_dataset(write_balls(tmp_path, CASES[:2]))
    config = run_config(dims, sampling={"patch": (8, 8, 8 if dims == 3 else 1)})
    cases = list(prepared_cases(dataset.cases, config, scheme()))
    windows = case_windows(cases, config, np.random.default_rng(0))
    assert {window.shape for window in windows} == {(1, *(8,) * dims)}
    assert len(windows) == 6
    centres = [window[(0, *(4,) * dims)] for window in windows[::3]]
    assert min(centres) > 0.5  # balls are bright


def test_windows_larger_than_the_image_reach_beyond_it_on_both_sides(tmp_path):
    dataset = open_dataset(write_balls(tmp_path, CASES[:2]))
    config = run_config(sampling={"patch": (20, 20, 20)})
    windows = case_windows(prepared_cases(dataset.cases, config, scheme()), config, np.random.default_rng(0))
    assert all((window != 0).sum() >= np.prod(SHAPE) - 1 for window in windows)


def test_noise_is_like_a_normalised_image():
    windows = random_windows((1, 2, 16, 16, 16), 3, np.random.default_rng(0))
    assert [window.shape for window in windows] == [(2, 16, 16, 16)] * 3
    assert windows[0].dtype == np.float32
    assert abs(float(np.std(windows)) - 1) < 0.02
