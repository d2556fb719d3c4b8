from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import fails
from factories import ball, geometry

from medseg.core.volume import LabelMap
from medseg.io.formats import write_label_map

GRID = geometry((20, 20, 10), (1.0, 1.0, 2.0))


@pytest.fixture
def runs(medseg, tmp_path):
    """Evaluations of three models on four cases, in folders A, B and C."""
    for model, shift in {"reference": 0, "a": 1, "b": 3, "c": 2}.items():
        for number in range(4):
            array = np.zeros(GRID.shape, np.uint8)
            array[ball(GRID.shape, (8 + shift, 10, 5), 4 + number / 4)] = 1
            write_label_map(tmp_path / model / f"case{number}.nii.gz", LabelMap(array, GRID))
        if model != "reference":
            medseg("evaluate", model, "reference", "-o", model.upper(), "--worst", "0")
    return tmp_path


def test_two_models_in_a_table(medseg, runs):
    done = medseg("compare", "A", "B", "-o", "out")
    assert done.code == 0, done.err
    assert "4 cases of 4 patients" in done.out
    assert "report: out/compare.html" in done.out
    assert {path.name for path in (runs / "out").iterdir()} == {"compare.html", "compare.json"}


def test_three_models_as_json(medseg, runs):
    done = medseg("compare", "A", "B", "C", "--score", "dice", "--score", "assd", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [(row["one"], row["other"], row["score"]) for row in rows] == [
        (one, other, score) for one, other in (("A", "B"), ("A", "C"), ("B", "C")) for score in ("dice", "assd")
    ]  # fmt: skip
    assert rows[0]["other_worse"] == 4
    assert "report: comparison/compare.html" in done.err
    assert (runs / "comparison" / "compare.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("A",), "a comparison needs two evaluations or more"),
        (("A", "A"), "one evaluation is named twice"),
        (("A", "reference"), "reference' holds no scores.json; name a folder that `medseg evaluate` wrote"),
        (("A", "B", "--score", "beauty"), "no score 'beauty' to compare models by; there are dice"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(medseg, runs, arguments, part):
    fails(medseg("compare", *arguments, "-o", "out"), part)
    assert not (runs / "out").exists()


def test_other_settings_are_refused(medseg, runs):
    medseg("evaluate", "b", "reference", "-o", "B", "--worst", "0", "--tolerance", "3")
    fails(medseg("compare", "A", "B"), "the tolerance of the NSD differs between 'A' and 'B'")
