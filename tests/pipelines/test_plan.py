"""medseg plan: from a data set to a file."""

from __future__ import annotations

import pytest
from dataset_factories import msd, nnunet, write_json

from medseg.config.load import load_config
from medseg.config.networks import NetworkChoice
from medseg.core.errors import DataError, InputError, LabelError
from medseg.inference.devices import DeviceFacts
from medseg.phantom.sequences import write_sequences
from medseg.pipelines.plan import PlanOptions, plan

CPU = PlanOptions(device="cpu")
GPU = DeviceFacts("cuda", 1, 80 * 2**30, has_bf16=True)


def test_the_file_holds_the_plan(tmp_path):
    made = plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", PlanOptions(budget="20min", device="cpu"))
    assert load_config(tmp_path / "x.yaml") == made.config
    assert made.config.name == "x"
    assert made.config.training.budget.minutes == 20


@pytest.mark.parametrize("budget", [None, "200ep"])
def test_an_epoch_is_as_long_as_in_the_default_of_the_device(tmp_path, monkeypatch, budget):
    monkeypatch.setattr("medseg.pipelines.plan.device_facts", lambda _: GPU)
    section = plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", PlanOptions(budget=budget)).config.training.budget
    assert (section.epochs, section.steps) == (200, 250)


def test_all_cases_of_given_folds_are_measured_and_no_others(tmp_path):
    folder = msd(tmp_path / "cases", ("a", "b", "c"))
    parts = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
    options = PlanOptions(split=write_json(tmp_path / "splits_final.json", parts), device="cpu")
    (folder / "imagesTr" / "c.nii.gz").write_bytes(b"damaged")
    assert plan(folder, tmp_path / "x.yaml", options).config.data.split.file == options.split
    (folder / "imagesTr" / "b.nii.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match="case b"):
        plan(folder, tmp_path / "y.yaml", options)


def test_only_the_training_cases_of_a_given_split_are_measured(tmp_path):
    folder = msd(tmp_path / "cases", ("a", "b"))
    (folder / "imagesTr" / "b.nii.gz").write_bytes(b"damaged")
    split = write_json(tmp_path / "split.json", {"train": ["a"], "validation": ["b"]})
    made = plan(folder, tmp_path / "x.yaml", PlanOptions(split=split, device="cpu"))
    assert made.config.data.split.file == split


def test_nothing_is_written_if_there_is_nothing_to_plan_from(tmp_path):
    folder = msd(tmp_path / "cases")
    for path in (folder / "labelsTr").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        plan(folder, tmp_path / "x.yaml", CPU)
    images = tmp_path / "images only"
    images.mkdir()
    (folder / "imagesTr").rename(images / "images")
    with pytest.raises(LabelError, match="holds no labels to learn from"):
        plan(images, tmp_path / "x.yaml", CPU)
    assert not (tmp_path / "x.yaml").exists()


def test_an_edited_plan_is_not_overwritten(tmp_path):
    (tmp_path / "x.yaml").write_text("my edits")
    with pytest.raises(InputError, match=r"x.yaml' exists and may hold your edits; remove it, or name another file"):
        plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", CPU)
    assert (tmp_path / "x.yaml").read_text() == "my edits"


def test_the_network_that_was_asked_for_is_planned(tmp_path):
    made = plan(msd(tmp_path / "cases"), tmp_path / "x.yaml", PlanOptions(network=NetworkChoice.RESENC_M, device="cpu"))
    assert load_config(tmp_path / "x.yaml").network.name == made.config.network.name == "resenc"


def test_a_localiser_is_planned_where_it_is_asked_for(tmp_path):
    folder = msd(tmp_path / "cases")
    made = plan(folder, tmp_path / "x.yaml", PlanOptions(device="cpu", localiser=True))
    assert load_config(tmp_path / "x.yaml") == made.config
    assert made.config.localiser.network.dims == 3
    assert any(note.startswith("localiser: voxels of ") for note in made.notes)
    assert plan(folder, tmp_path / "y.yaml", CPU).config.localiser is None


def test_channels_that_some_cases_lack_become_optional(tmp_path):
    manifest = write_sequences(tmp_path / "heads", cases=3, lacking=[(1, "FLAIR")])
    made = plan(manifest, tmp_path / "x.yaml", CPU)
    assert {one.name: one.optional for one in made.config.channels} == {"T1": False, "T2": False, "FLAIR": True}
    assert "channel 'FLAIR' is missing in 1 of 3 cases, so it is optional" in made.notes
    assert load_config(tmp_path / "x.yaml") == made.config


def test_channels_on_several_grids_are_laid_onto_the_one_of_the_label(tmp_path):
    made = plan(write_sequences(tmp_path / "heads", cases=3), tmp_path / "x.yaml", CPU)
    assert made.config.preprocessing.reference == "T1"
    assert any("the channels lie on several grids; those of 'T1' count" in note for note in made.notes)
    assert plan(nnunet(tmp_path / "one grid"), tmp_path / "y.yaml", CPU).config.preprocessing.reference is None
