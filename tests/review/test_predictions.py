from dataclasses import replace

import numpy as np
import pytest
from case_factories import GRID, SCHEME, listed_case, nifti_case
from factories import label_map

from medseg.core.errors import InputError
from medseg.core.segmentation import Segmentation
from medseg.review.open_case import open_case
from medseg.review.predictions import Predictions
from medseg.review.records import CaseName, ModelStamp
from medseg.review.running import Inferred

MODEL = ModelStamp("abdomen", "1.0-abcd", "ab" * 32)
INFERRED = Inferred(Segmentation(label_map(GRID, (0, *SCHEME.values), seed=7), SCHEME), MODEL)


def without_outlines(tmp_path):
    return nifti_case(tmp_path / "data", prediction=None, scheme=None)


def test_a_case_without_outlines_gets_what_was_predicted_here(tmp_path):
    files, predictions = without_outlines(tmp_path), Predictions(tmp_path / "review")
    assert predictions.given(files) is files
    predictions.keep(files.name, INFERRED)
    given = predictions.given(files)
    assert (given.record.model, given.scheme) == (MODEL, SCHEME)
    assert given.record.made is not None
    assert np.array_equal(open_case(given).prediction.labels.array, INFERRED.segmentation.labels.array)


def test_a_case_that_came_with_outlines_keeps_them(tmp_path):
    files, predictions = nifti_case(tmp_path / "data"), Predictions(tmp_path / "review")
    predictions.keep(files.name, INFERRED)
    assert predictions.given(files) is files


def test_a_later_prediction_takes_the_place_of_the_one_before(tmp_path):
    files, predictions = without_outlines(tmp_path), Predictions(tmp_path / "review")
    predictions.keep(files.name, INFERRED)
    predictions.keep(files.name, replace(INFERRED, model=replace(MODEL, name="other")))
    assert predictions.given(files).record.model.name == "other"


def test_what_is_damaged_is_as_if_it_were_not_there(tmp_path):
    files, predictions = without_outlines(tmp_path), Predictions(tmp_path / "review")
    predictions.keep(files.name, INFERRED)
    (tmp_path / "review" / "predicted" / files.name / "model.json").write_text("{}")
    assert predictions.given(files) is files


def test_a_name_that_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="letters, digits"):
        Predictions(tmp_path).keep(CaseName("../x"), INFERRED)
    with pytest.raises(InputError, match="letters, digits"):
        Predictions(tmp_path).given(replace(listed_case("a/b"), prediction=None))
