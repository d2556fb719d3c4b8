"""A model with a localiser as files."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from factories import bundle, run_config
from localised import section, two_networks

from medseg.core.errors import BundleError
from medseg.inference.bundle import BundleRecords, Member, read_bundle, write_bundle
from medseg.inference.bundle_files import model_files
from medseg.inference.ensemble import ensemble

RECORDS = BundleRecords({}, {})


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "bundle", two_networks(), RECORDS)
    return tmp_path / "bundle"


@pytest.mark.parametrize("several", [False, True])
def test_it_is_the_same_wherever_it_is_opened(tmp_path, several):
    made = two_networks()
    made = ensemble([made, two_networks()]) if several else made
    write_bundle(tmp_path / "bundle", made, RECORDS)
    again = read_bundle((tmp_path / "bundle").rename(tmp_path / "elsewhere"))
    image = torch.randn(1, 1, 16, 16, 16)
    for one, other in ((again.localiser, made.localiser), (again.members[0], made.members[0])):
        torch.testing.assert_close(one.network(image), other.network(image))
        assert one.config.model_dump(exclude={"data"}) == other.config.model_dump(exclude={"data"})
        assert not one.network.training


def test_a_model_without_one_has_none(tmp_path):
    write_bundle(tmp_path, bundle(), RECORDS)
    assert read_bundle(tmp_path).localiser is None
    assert not (tmp_path / "localiser").exists()
    assert "localiser" not in (tmp_path / "config.yaml").read_text()


def test_results_depend_on_it(folder):
    assert {"localiser/model.safetensors", "localiser/config.yaml"} < set(model_files(folder))


def test_it_does_not_say_where_its_data_lay(tmp_path):
    made = two_networks(data={"folder": "/clinic/Jane Doe"})
    assert "clinic" in str(made.localiser.config.data.folder)
    write_bundle(tmp_path / "bundle", made, RECORDS)
    files = [path for path in (tmp_path / "bundle").rglob("*") if path.is_file()]
    assert len(files) > 6
    assert b"clinic" not in b"".join(path.read_bytes() for path in files)


def test_a_localiser_that_is_missing_or_too_much(folder, tmp_path):
    write_bundle(tmp_path / "plain", bundle(structures=("one",)), RECORDS)
    shutil.copytree(folder / "localiser", tmp_path / "plain" / "localiser")
    with pytest.raises(BundleError, match="it has a localiser, but no section localiser"):
        read_bundle(tmp_path / "plain")
    shutil.rmtree(folder / "localiser")
    with pytest.raises(BundleError, match="do not belong together: its localiser is missing"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 40, "localiser/model.safetensors is damaged"),
        ("config.yaml", b"name: x", "its localiser's configuration cannot be read"),
    ],
)
def test_a_damaged_part_is_named(folder, name, content, message):
    (folder / "localiser" / name).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_it_has_to_know_the_channels_of_the_model():
    made = two_networks()
    other = made.localiser.config.model_copy(update={"channels": run_config().channels[:1]})
    named = other.channels[0].model_copy(update={"name": "T2"})
    with pytest.raises(BundleError, match="the localiser is for other channels: T2, not image"):
        replace(made, localiser=Member(other.model_copy(update={"channels": (named,)}), made.localiser.network))


def test_what_training_measures_has_to_be_there():
    with pytest.raises(BundleError, match=r"localiser.margin_mm and localiser.least_ml are missing"):
        two_networks(localiser=section(margin_mm=None))


def test_an_ensemble_keeps_the_localiser_of_the_first_with_the_widest_margin():
    first, second = two_networks(), two_networks(localiser=section(margin_mm=11.0))
    both = ensemble([first, second, bundle(structures=("one",), channels=first.config.channels)])
    assert both.localiser is first.localiser
    assert both.config.localiser.margin_mm == 11.0
    assert ensemble([bundle(structures=("one",), channels=first.config.channels), second]).localiser is None
