"""Data sets as lists of files."""

from __future__ import annotations

import pytest
from dataset_factories import listed

from medseg.config.sections import Layout
from medseg.core.errors import InputError
from medseg.data.layouts import open_dataset


def test_cases_by_name():
    made = listed({"a": "p", "b": "q"}, unlabelled=("b",))
    assert made.case("b") is made.cases[1]
    assert made.labelled == (made.cases[0],)
    with pytest.raises(InputError, match="data set 'small' has no case 'c'"):
        made.case("c")


def test_neither_patients_nor_series_are_shown():
    assert "secret" not in repr(listed({"a": "secret"}))


def test_a_folder_pair_without_images(tmp_path):
    with pytest.raises(InputError, match="folder 'images' is missing"):
        open_dataset(tmp_path, Layout.PAIRS)
