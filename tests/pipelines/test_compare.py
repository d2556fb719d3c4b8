"""Evaluations on the disk in, a page and a table out."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from factories import ball, geometry

from medseg.core.errors import InputError, OutputError
from medseg.core.volume import LabelMap
from medseg.evaluation.intervals import Bootstrap
from medseg.io.formats import write_label_map
from medseg.metrics.table import ScoreSettings
from medseg.pipelines.compare import CompareOptions, compare, model_names
from medseg.pipelines.evaluate import EvaluateOptions, evaluate

GRID = geometry((20, 20, 10), (1.0, 1.0, 2.0))
QUICK = CompareOptions(bootstrap=Bootstrap(resamples=200))


def organ(shift):
    array = np.zeros(GRID.shape, np.uint8)
    array[ball(GRID.shape, (8 + shift, 10, 5), 5)] = 1
    return LabelMap(array, GRID)


@pytest.fixture
def evaluations(tmp_path):
    """Three models on five cases; the second is worst, and lacks a case."""
    for number in range(5):
        write_label_map(tmp_path / "reference" / f"case{number}.nii.gz", organ(0))
    for model, shifts in {"A": (1, 1, 0, 1, 2), "B": (2, 3, 2, 3), "C": (1, 1, 1, 1, 1)}.items():
        for number, shift in enumerate(shifts):
            write_label_map(tmp_path / model / f"case{number}.nii.gz", organ(shift))
        score(tmp_path, model)
    return [tmp_path / f"run{model}" / "report" for model in "ABC"]


def score(folder, model, **scores):
    options = EvaluateOptions(scores=ScoreSettings(**scores), bootstrap=Bootstrap(resamples=50), worst=0)
    evaluate(folder / model, folder / "reference", folder / f"run{model}" / "report", options)


class Notes:
    def __init__(self):
        self.texts, self.steps = [], 0

    def start(self, label, total):
        self.texts.append(label)

    def advance(self, steps=1):
        self.steps += steps

    def note(self, text):
        self.texts.append(text)

    def finish(self): ...


def test_two_models_from_end_to_end(evaluations, tmp_path):
    progress = Notes()
    found = compare(evaluations[:2], tmp_path / "out", QUICK, progress)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["compare.html", "compare.json"]
    assert (found.models, found.cases) == (("runA", "runB"), tuple(f"case{n}" for n in range(4)))
    tree = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [(row["score"], row["cases"], row["other_worse"]) for row in tree["differences"]] == [
        ("dice", 4, 4), ("hd95", 4, 4), ("nsd", 4, 4)
    ]  # fmt: skip
    assert tree["lacking"] == {"runB": ["case4"]}
    assert progress.texts == [
        "reading", "comparing", "runB: 1 case without scores, which are in no comparison with it"
    ]  # fmt: skip
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "Mean Dice" not in page
    assert re.search(r"Structure 1: mean Dice of runB is 0\.\d{3} lower than that of runA", page)
    assert str(tmp_path) not in page


def test_three_models_are_ranked(evaluations, tmp_path):
    found = compare(evaluations, tmp_path / "out", CompareOptions(("dice",), Bootstrap(resamples=200)))
    assert found.rankings["dice"].ranks.tolist()[1] == 3
    assert "<h2>Ranking</h2>" in (tmp_path / "out" / "compare.html").read_text()


def test_the_comparison_does_not_depend_on_paths_or_the_day(evaluations, tmp_path):
    for name in ("one", "two"):
        compare(evaluations, tmp_path / name, QUICK)
    for name in ("compare.html", "compare.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_other_settings_are_refused_and_nothing_is_written(evaluations, tmp_path):
    score(tmp_path, "B", tolerance=2.0)
    with pytest.raises(InputError, match="the tolerance of the NSD differs between 'runA' and 'runB'"):
        compare(evaluations[:2], tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_other_references_are_refused(evaluations, tmp_path):
    write_label_map(tmp_path / "reference" / "case0.nii.gz", LabelMap(organ(0).array[::-1] * organ(1).array, GRID))
    score(tmp_path, "B")
    with pytest.raises(InputError, match="case case0: the reference of 'structure 1' is not the same"):
        compare(evaluations[:2], tmp_path / "out", QUICK)


@pytest.mark.parametrize(("folders", "message"), [((), "needs two evaluations or more"), (("A",), "needs two")])
def test_one_evaluation_is_no_comparison(tmp_path, folders, message):
    with pytest.raises(InputError, match=message):
        compare([tmp_path / name for name in folders], tmp_path / "out", QUICK)


def test_what_cannot_be_written_is_said(evaluations, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file' is a file; the comparison needs a folder"):
        compare(evaluations[:2], tmp_path / "file", QUICK)
    with pytest.raises(OutputError, match="a part of its path is a file"):
        compare(evaluations[:2], tmp_path / "file" / "out", QUICK)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unknown_score_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="no score 'beauty' to compare models by"):
        compare([tmp_path / "a", tmp_path / "b"], tmp_path / "out", CompareOptions(("beauty",)))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("A", "B"), ("A", "B")),
        (("A/report", "B/report"), ("A", "B")),
        (("x/A/report/scores.json", "y/A/report/scores.json"), ("x", "y")),
        (("/data/one/A", "/data/two/A"), ("one", "two")),
        (("x/A", "x/B", "y/A"), ("x/A", "x/B", "y/A")),
        ((".", "A"), (".", "A")),
    ],
)
def test_models_are_named_by_what_tells_their_paths_apart(paths, names):
    assert model_names([Path(path) for path in paths]) == names


def test_one_evaluation_twice_is_refused():
    with pytest.raises(InputError, match="one evaluation is named twice"):
        model_names([Path("A"), Path("B"), Path("A")])
