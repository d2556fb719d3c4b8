"""Which layout it is, and what the folders' layouts give."""

from __future__ import annotations

import pytest
from dataset_factories import msd, nnunet, pairs, table, write_json

from medseg.config.sections import Layout
from medseg.core.errors import InputError, ReadError
from medseg.core.labels import LabelScheme
from medseg.data.layouts import find_layout, open_dataset


@pytest.mark.parametrize(
    ("make", "layout"),
    [(msd, Layout.MSD), (nnunet, Layout.NNUNET), (pairs, Layout.PAIRS)],
    ids=["msd", "nnunet", "pairs"],
)
def test_each_folder_layout_is_found(tmp_path, make, layout):
    folder = make(tmp_path / "set")
    assert find_layout(folder) is layout
    for found in (open_dataset(folder), open_dataset(folder, layout)):
        assert [case.id for case in found.cases] == ["a", "b"]
        assert found.scheme is not None
        assert found.scheme.names == ("one", "two")


def test_the_description_itself_may_be_named(tmp_path):
    assert open_dataset(msd(tmp_path) / "dataset.json").name == "Small"


def test_manifests_are_found_by_name_and_taken_by_path(tmp_path):
    table(tmp_path, "case,image.CT\na,a.nii\n")
    other = table(tmp_path, "case,image.CT\nb,b.nii\n", "second.csv")
    assert open_dataset(tmp_path).cases[0].id == "a"
    assert open_dataset(other).cases[0].id == "b"
    assert find_layout(other) is Layout.MANIFEST


@pytest.mark.parametrize("make", [msd, nnunet, pairs])
def test_a_given_scheme_counts(tmp_path, make):
    scheme = LabelScheme.from_names({"both": 1})
    assert open_dataset(make(tmp_path), scheme=scheme).scheme is scheme


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match=r"absent' does not exist"):
        open_dataset(tmp_path / "absent")


def test_an_empty_folder_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match=r"is no data set; expected dataset\.json, manifest\.csv"):
        open_dataset(tmp_path)


def test_another_file_is_no_data_set(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"notes\.txt' is no data set; expected dataset\.json"):
        open_dataset(tmp_path / "notes.txt")


def test_json_that_describes_something_else(tmp_path):
    with pytest.raises(InputError, match=r"is no data set; expected dataset\.json"):
        open_dataset(write_json(tmp_path / "dataset.json", {"a": 1}))


@pytest.mark.parametrize("layout", [Layout.MSD, Layout.NNUNET])
def test_a_layout_that_is_not_there(tmp_path, layout):
    with pytest.raises(InputError, match=r"holds no dataset\.json"):
        open_dataset(tmp_path, layout)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"dataset\.json: not valid JSON at line 1"),
        ("[1]", r"dataset\.json: holds no JSON object"),
        ("[" * 100_000, r"dataset\.json: nested too deeply"),
        ('{"training": []}', r"dataset\.json: modality: field required; labels: field required"),
        ('{"training": [], "modality": {}, "labels": {"1": "a"}}', r"dataset\.json: modality: names no channel"),
        ('{"channel_names": {"0": "T1"}}', r"dataset\.json: labels: field required; file_ending: field required"),
    ],
)
def test_a_damaged_description(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ReadError, match=f"^{message}"):
        open_dataset(tmp_path)


def test_a_description_that_is_not_text(tmp_path):
    (tmp_path / "dataset.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match=r"dataset\.json: cannot be read \(it is not UTF-8 text\)"):
        open_dataset(tmp_path)


def test_a_description_that_is_too_large(tmp_path):
    with (tmp_path / "dataset.json").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ReadError, match=r"dataset\.json: larger than 64 MiB"):
        open_dataset(tmp_path)
