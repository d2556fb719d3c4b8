"""medseg plan: from a data set to a file."""

from __future__ import annotations

import pytest
from dataset_factories import msd, write_json

from medseg.config.load import load_config
from medseg.core.errors import InputError, LabelError
from medseg.inference.devices import DeviceFacts
from medseg.pipelines.plan import plan

GPU = DeviceFacts("cuda", 1, 80 * 2**30, has_bf16=True)


def test_the_file_holds_the_plan(tmp_path):
    made = plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", budget="20min", device="cpu")
    assert load_config(tmp_path / "x.yaml") == made.config
    assert made.config.name == "x"
    assert made.config.training.budget.minutes == 20


@pytest.mark.parametrize("budget", [None, "200ep"])
def test_an_epoch_is_as_long_as_in_the_default_of_the_device(tmp_path, monkeypatch, budget):
    monkeypatch.setattr("medseg.pipelines.plan.device_facts", lambda _: GPU)
    section = plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", budget=budget).config.training.budget
    assert (section.epochs, section.steps) == (200, 250)


def test_only_the_training_cases_of_a_given_split_are_measured(tmp_path):
    folder = msd(tmp_path / "cases", ("a", "b"))
    (folder / "imagesTr" / "b.nii.gz").write_bytes(b"damaged")
    split = write_json(tmp_path / "split.json", {"train": ["a"], "validation": ["b"]})
    made = plan(folder, tmp_path / "x.yaml", split=split, device="cpu")
    assert made.config.data.split.file == split


def test_nothing_is_written_if_there_is_nothing_to_plan_from(tmp_path):
    folder = msd(tmp_path / "cases")
    for path in (folder / "labelsTr").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        plan(folder, tmp_path / "x.yaml", device="cpu")
    images = tmp_path / "images only"
    images.mkdir()
    (folder / "imagesTr").rename(images / "images")
    with pytest.raises(LabelError, match="holds no labels to learn from"):
        plan(images, tmp_path / "x.yaml", device="cpu")
    assert not (tmp_path / "x.yaml").exists()


def test_an_edited_plan_is_not_overwritten(tmp_path):
    (tmp_path / "x.yaml").write_text("my edits")
    with pytest.raises(InputError, match=r"x.yaml' exists and may hold your edits; remove it, or name another file"):
        plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", device="cpu")
    assert (tmp_path / "x.yaml").read_text() == "my edits"
