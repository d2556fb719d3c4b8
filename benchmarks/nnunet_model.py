"""Makes a model folder of nnU-Net from a bundle of ours; for the Python that holds nnU-Net.

    PEER/bin/python benchmarks/nnunet_model.py SPECIFICATION.json WEIGHTS.safetensors FOLDER

``benchmarks/batch_nnunet.py`` calls this with the U-Net's levels, window, spacing and normalisation along z, y, x. The
folder gets the files that ``nnUNetv2_predict_from_modelfolder`` reads; the network is nnU-Net's own PlainConvUNet of
the same features and strides, without biases as ours is, with our weights turned to its order of axes. Prints how many
parameters it has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from inference_network import architecture
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from safetensors.torch import load_file
from torch import Tensor, nn

_CONFIGURATION = "3d_fullres"
_IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]
_RESAMPLING = "resample_data_or_seg_to_shape"


def main() -> None:
    specification = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    weights, folder = load_file(sys.argv[2]), Path(sys.argv[3])
    features, strides, kernels, convolutions = (
        specification[name] for name in ("features", "strides", "kernels", "convolutions")
    )
    arguments = architecture(features, strides, kernels, convolutions, bias=False)
    network = get_network_from_plans(
        "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        arguments,
        _IMPORTED,
        1,
        1 + len(specification["structures"]),
        allow_init=False,
        deep_supervision=False,
    )
    with torch.no_grad():
        _copy(network, weights, len(specification["features"]))
    (folder / "fold_0").mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(dataset_description(specification)), encoding="utf-8")
    (folder / "plans.json").write_text(json.dumps(plans_description(specification, arguments)), encoding="utf-8")
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": _CONFIGURATION},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    print(sum(parameter.numel() for parameter in network.parameters()))


def _copy(network: nn.Module, weights: dict[str, Tensor], levels: int) -> None:
    """Our weights into nnU-Net's network, whose decoder counts from the coarsest level."""
    for level in range(levels):
        _copy_block(network.get_submodule(f"encoder.stages.{level}.0"), weights, f"encoder.{level}")
    for level in range(levels - 1):
        stage = levels - 2 - level
        _copy_block(network.get_submodule(f"decoder.stages.{stage}"), weights, f"decoder.{level}")
        _copy_one(network.get_submodule(f"decoder.transpconvs.{stage}"), weights, f"up.{level}")
        _copy_one(network.get_submodule(f"decoder.seg_layers.{stage}"), weights, f"heads.{level}")


def _copy_block(block: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    for index, one in enumerate(block.get_submodule("convs").children()):
        _copy_one(one.get_submodule("conv"), weights, f"{name}.{3 * index}")
        _copy_one(one.get_submodule("norm"), weights, f"{name}.{3 * index + 1}")


def _copy_one(module: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    for own, parameter in module.named_parameters():
        theirs = weights[f"{name}.{own}"]
        parameter.copy_(theirs.permute(0, 1, 4, 3, 2) if theirs.ndim == 5 else theirs)


def dataset_description(specification: dict[str, Any]) -> dict[str, Any]:
    labels = {name: value for value, name in enumerate(specification["structures"], start=1)}
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **labels},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }


def plans_description(specification: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """As nnU-Net's planner writes them, its own resampling included (``default_experiment_planner.py``)."""
    return {
        "dataset_name": "Dataset001_Torso",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": specification["spacing"],
        "original_median_shape_after_transp": specification["shape"],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": specification["intensities"]},
        "configurations": {
            _CONFIGURATION: {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": specification["patch"],
                "median_image_size_in_voxels": specification["shape"],
                "spacing": specification["spacing"],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **_resampling("data", is_seg=False, order=3),
                **_resampling("seg", is_seg=True, order=1),
                **_resampling("probabilities", is_seg=False, order=1),
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": arguments,
                    "_kw_requires_import": _IMPORTED,
                },
                "batch_dice": False,
            }
        },
    }


def _resampling(what: str, *, is_seg: bool, order: int) -> dict[str, Any]:
    return {
        f"resampling_fn_{what}": _RESAMPLING,
        f"resampling_fn_{what}_kwargs": {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None},
    }


if __name__ == "__main__":
    main()
