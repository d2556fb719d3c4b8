"""The JSON files of a trained nnU-Net."""

from __future__ import annotations

import json

import nnunet_models as models
import pytest

from medseg.core.errors import BundleError
from medseg.inference.nnunet_network import network_section
from medseg.inference.nnunet_plans import Plans, network_arguments, read_description, read_plans


def written(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder


def test_a_configuration_inherits(tmp_path):
    children = {
        "base": models.configuration(),
        "lowres": {"inherits_from": "base", "spacing": [2.0, 2.0, 2.0]},
        "cascade": {"inherits_from": "lowres", "previous_stage": "lowres"},
    }
    plans = read_plans(written(tmp_path, "plans.json", models.plans(children)))
    assert plans.configuration("lowres").spacing == (2.0, 2.0, 2.0)
    assert plans.configuration("lowres").patch_size == (16, 16, 16)
    assert plans.configuration("cascade").previous_stage == "lowres"


def test_configurations_that_are_not_there():
    loop = {"a": {"inherits_from": "b"}, "b": {"inherits_from": "a"}}
    plans = Plans.model_validate(models.plans(loop))
    with pytest.raises(BundleError, match=r"plans\.json: no sound configuration 'a'; there are a, b"):
        plans.configuration("a")
    with pytest.raises(BundleError, match=r"no sound configuration '3d_fullres'"):
        plans.configuration("3d_fullres")


def test_old_plans_have_the_same_network():
    new, old = models.configuration(), models.configuration()
    arguments = new["architecture"]["arch_kwargs"] | {"features_per_stage": [4, 8, 8]}
    new["architecture"]["arch_kwargs"] = arguments
    del old["architecture"]
    old |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 8,
        "n_conv_per_stage_encoder": arguments["n_conv_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
        "pool_op_kernel_sizes": arguments["strides"],
    }
    plans = Plans.model_validate(models.plans({"new": new, "old": old}))
    of_new, of_old = (network_section(plans.configuration(name).architecture, 3) for name in ("new", "old"))
    assert of_new == of_old
    del old["unet_max_num_features"]
    plans = Plans.model_validate(models.plans({"old": old}))
    with pytest.raises(BundleError, match="its configuration is of an old form, and something is missing in it"):
        plans.configuration("old")


def test_one_number_for_all_levels():
    configuration = models.configuration()
    configuration["architecture"]["arch_kwargs"] |= {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
    plans = Plans.model_validate(models.plans({"c": configuration}))
    arguments = network_arguments(plans.configuration("c").architecture)
    assert arguments.n_conv_per_stage == (2, 2, 2)
    assert arguments.n_conv_per_stage_decoder == (2, 2)


def test_names_of_older_versions(tmp_path):
    content = models.plans({})
    content["foreground_intensity_properties_by_modality"] = content.pop("foreground_intensity_properties_per_channel")
    assert (
        read_plans(written(tmp_path, "plans.json", content)).foreground_intensity_properties_per_channel[0].mean == 40
    )
    described = models.description(("CT",))
    described["modality"] = described.pop("channel_names")
    assert read_description(written(tmp_path, "dataset.json", described)).channel_names == {0: "CT"}


def test_files_that_are_damaged(tmp_path):
    with pytest.raises(BundleError, match=r"plans\.json: transpose_forward: field required"):
        read_plans(written(tmp_path, "plans.json", {"configurations": {}}))
    (tmp_path / "plans.json").write_text("{")
    with pytest.raises(BundleError, match=r"plans\.json of the nnU-Net model cannot be read: .* not valid JSON"):
        read_plans(tmp_path)
