from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import geometry, run_config
from monai_bundles import monai_bundle, segresnet
from network_sections import tiny

from medseg.config.schemes import label_scheme
from medseg.core.errors import BundleError, ConfigError
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, output_channels, write_bundle
from medseg.inference.network import network_of
from medseg.inference.starting_weights import read_starting_weights
from medseg.planning.adopt import Model, adopted, read_model
from medseg.planning.plan import Plan
from medseg.training.transfer import ends_of, transfer_weights

CT = {"name": "CT", "intensity": "ct", "clip": (-50.0, 200.0), "mean": 60.0, "std": 30.0}


def planned(**changes) -> Plan:
    return Plan(run_config(**{"name": "planned"} | changes), ("a note",))


def model(folder: Path, **changes):
    config = run_config(**changes)
    facts = TrainingFacts.from_grids(tuple(one.name for one in config.channels), [geometry()])
    made = Bundle.single(config, label_scheme(config.labels), network_of(config, 3), facts)
    write_bundle(folder, made, BundleRecords({}, {}))
    return read_model(folder)


def test_the_models_network_and_images_are_taken_over(tmp_path):
    network = run_config().network.model_dump() | {"features": (6, 12)}
    preprocessing = {"orientation": "ASR", "spacing": (1.0, 2.0, 3.0), "crop": "nonzero"}
    sampling = {"patch": (8, 24, 16), "batch": 5}
    own = CT | {"mean": 0.0}
    source = {"network": network, "preprocessing": preprocessing, "sampling": sampling, "channels": [CT]}
    made = adopted(planned(channels=[own, {"name": "PET"}]), model(tmp_path / "m", **source))
    config = made.config
    assert config.network.features == (6, 12)
    assert (config.sampling.patch, config.sampling.batch) == ((8, 24, 16), 2)
    assert config.preprocessing.orientation == "ASR"
    assert config.preprocessing.spacing == (1.0, 2.0, 3.0)
    assert config.preprocessing.crop == "none"
    assert [channel.mean for channel in config.channels] == [60.0, None]
    assert config.training.init.bundle == tmp_path / "m"
    assert made.notes[0] == "a note"
    assert "patch 8x24x16" in made.notes[1]


def test_the_plan_fits_the_weights(tmp_path):
    source = model(tmp_path / "m", network=run_config().network.model_dump() | {"features": (6, 12)})
    config = adopted(planned(structures=("x",)), source).config
    scheme = label_scheme(config.labels)
    network = network_of(config, output_channels(scheme))
    report = transfer_weights(network, read_starting_weights(tmp_path / "m"), ends_of(network, config, scheme))
    assert {name.partition(".")[0] for name in report.left} == {"heads"}


def test_mirroring_stays_along_the_same_axes_of_the_body(tmp_path):
    source = model(tmp_path / "m", preprocessing={"orientation": "SAL"})
    made = adopted(planned(augmentation={"mirror_axes": (0,)}), source)
    assert made.config.augmentation.mirror_axes == (2,)


def test_a_monai_network_is_taken_over(tmp_path):
    source = read_model(monai_bundle(tmp_path, segresnet()))
    config = adopted(planned(sampling={"patch": (18, 20, 22)}, channels=[{"name": "a"}, {"name": "b"}]), source).config
    assert config.network.name == "segresnet"
    assert config.sampling.patch == (18, 20, 22)
    network = network_of(config, 3)
    ends = ends_of(network, config, label_scheme(config.labels))
    report = transfer_weights(network, read_starting_weights(tmp_path), ends)
    assert set(report.left) == set(ends.output_axes)
    torch.testing.assert_close(
        network.state_dict()["convInit.conv.weight"], segresnet().state_dict()["convInit.conv.weight"]
    )


def test_a_patch_grows_to_what_the_network_takes(tmp_path):
    source = read_model(monai_bundle(tmp_path, segresnet(), blocks_down=[1, 1, 1, 1], blocks_up=[1, 1, 1]))
    config = adopted(planned(sampling={"patch": (18, 20, 22)}, channels=[{"name": "a"}, {"name": "b"}]), source).config
    assert config.sampling.patch == (24, 24, 24)


def test_a_patch_is_not_cut_to_one_voxel_at_the_coarsest_level(tmp_path):
    """Of which a norm would leave nothing."""
    source = Model(tmp_path, tiny("swin_unetr", 3))
    config = adopted(planned(sampling={"patch": (18, 20, 22)}), source).config
    assert config.sampling.patch == (32, 32, 64)


def test_other_dimensions_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="the model's network is 3D, the plan is for 2D; pass --dims 3"):
        adopted(Plan(run_config(dims=2), ()), model(tmp_path / "m"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        read_model(tmp_path)
