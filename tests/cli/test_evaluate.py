from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from command_line import fails
from factories import ball, geometry

from medseg.cli.evaluate import read_bands, read_tolerances
from medseg.core.errors import InputError
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume

GRID = geometry((20, 20, 10), (1.0, 1.0, 2.0))


def organs(shift=0):
    array = np.zeros(GRID.shape, np.uint8)
    array[ball(GRID.shape, (6 + shift, 10, 5), 4)] = 1
    array[ball(GRID.shape, (15, 10 + shift, 5), 3)] = 2
    return LabelMap(array, GRID)


@pytest.fixture
def study(tmp_path):
    for name in ("a", "b"):
        write_label_map(tmp_path / "reference" / f"{name}.nii.gz", organs())
        write_label_map(tmp_path / "predicted" / f"{name}.nii.gz", organs(1))
    (tmp_path / "reference" / "labels.json").write_text(json.dumps({"liver": 1, "vein=left": 2}))
    return tmp_path


def test_every_option_reaches_the_scores(medseg, study):
    (study / "attributes.csv").write_text("case,sex,bmi\na,F,20\nb,F,30\n")
    done = medseg(
        "evaluate", "predicted", "reference", "-o", "report", "--tolerance", "0.5", "--tolerance", "vein=left=3",
        "--rim", "3", "--beta", "1", "--thin", "vein=left", "--instances", "liver", "--attributes", "attributes.csv",
        "--audit", "bmi", "--bands", "bmi=25", "--worst", "0",
    )  # fmt: skip
    assert done.code == 0, done.err
    tree = json.loads((study / "report" / "scores.json").read_text())
    told = {name: tree["settings"][name] for name in ("nsd_tolerance", "rim", "beta", "thin", "instances")}
    assert told == {
        "nsd_tolerance": {"liver": 0.5, "vein=left": 3.0}, "rim": 3.0, "beta": 1.0, "thin": ["vein=left"],
        "instances": ["liver"],
    }  # fmt: skip
    assert tree["subgroups"]["attributes"][0]["attribute"] == "bmi"
    assert tree["subgroups"]["attributes"][0]["values_of_single_patients"] == 2
    assert "report: report/report.html" in done.out


def test_bad_probabilities_are_exit_code_one_and_a_row(medseg, study):
    maps = np.full((2, *GRID.shape), np.nan, np.float32)
    write_volume(study / "predicted" / "a_probabilities.nii.gz", Volume(maps, GRID, ("1", "2")))
    done = medseg("evaluate", "predicted", "reference", "-o", "report")
    assert done.code == 1
    assert "a: no calibration, the probability maps hold NaN" in done.err
    with (study / "report" / "scores.csv").open(newline="") as stream:
        statuses = [(row["case"], row["status"]) for row in csv.DictReader(stream)]
    assert statuses[-1] == ("a", "no_calibration")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--tolerance", "wide"), ("--tolerance 'wide': 'wide' is no number",)),
        (("--tolerance", "lung=2"), ("no structure 'lung' to score; there are 'liver', 'vein=left'",)),
        (("--tolerance", "-1"), ("a tolerance is a distance of 0 or more, got -1",)),
        (("--rim", "0"), ("the width of rims is a number above 0, got 0",)),
        (("--beta", "nan"), ("beta is a number above 0, got nan",)),
        (("--thin", "vein"), ("no structure 'vein' to score",)),
        (("--instances", "lesion"), ("no structure 'lesion' to count instances of",)),
        (("--attributes", "nowhere.csv"), ("nowhere.csv' does not exist",)),
        (("--audit", "sex"), ("no case has the attribute 'sex'; there are none",)),
        (("--bands", "age"), ("--bands 'age' is not of the form NAME=NUMBER,NUMBER",)),
        (("--bands", "age=60,40"), ("the bands of 'age' need one number or more",)),
    ],
)
def test_a_wrong_option_is_one_sentence(medseg, study, options, parts):
    fails(medseg("evaluate", "predicted", "reference", "-o", "report", *options), *parts)
    assert not (study / "report").exists()


def test_tolerances():
    assert read_tolerances([]) == (1.0, {})
    assert read_tolerances(["2", "liver=3.5", "a=b=1"]) == (2.0, {"liver": 3.5, "a=b": 1.0})
    for texts in (["1", "2"], ["liver=1", "liver=2"], ["=1"]):
        with pytest.raises(InputError, match=r"is not of the form MM or NAME=MM, or comes twice"):
            read_tolerances(texts)


def test_bands():
    assert read_bands(["age=20,40.5", "a=b=1"]) == {"age": (20.0, 40.5), "a=b": (1.0,)}
    for text in ("age", "=1", "age="):
        with pytest.raises(InputError, match="--bands"):
            read_bands([text])
