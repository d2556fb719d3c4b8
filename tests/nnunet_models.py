"""Folders as nnU-Net leaves them: a network under its names, its plans, and checkpoints as its trainer writes them.

The networks are written here again in plain torch, so that they can be compared with medseg's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


class ConvNorm(nn.Module):
    """Convolution, norm and, but for the second of a residual block and its skip, leaky ReLU."""

    def __init__(self, dims, inputs, outputs, kernel, stride, *, bias=True, active=True):
        super().__init__()
        self.conv = _CONV[dims](inputs, outputs, kernel, stride, [size // 2 for size in kernel], bias=bias)
        self.norm = _NORM[dims](outputs, affine=True)
        self.all_modules = nn.Sequential(self.conv, self.norm, *([nn.LeakyReLU()] if active else []))

    def forward(self, x):
        return self.all_modules(x)


class Stacked(nn.Module):
    def __init__(self, dims, inputs, outputs, kernel, stride, count):
        super().__init__()
        ones = [1] * dims
        self.convs = nn.Sequential(
            *(
                ConvNorm(dims, inputs if n == 0 else outputs, outputs, kernel, stride if n == 0 else ones)
                for n in range(count)
            )
        )

    def forward(self, x):
        return self.convs(x)


class Residual(nn.Module):
    def __init__(self, dims, inputs, outputs, kernel, stride):
        super().__init__()
        ones = [1] * dims
        self.conv1 = ConvNorm(dims, inputs, outputs, kernel, stride)
        self.conv2 = ConvNorm(dims, outputs, outputs, kernel, ones, active=False)
        skip = [_POOL[dims](stride, stride)] if any(step != 1 for step in stride) else []
        if inputs != outputs:
            skip.append(ConvNorm(dims, inputs, outputs, ones, ones, bias=False, active=False))
        self.skip = nn.Sequential(*skip) if skip else nn.Identity()

    def forward(self, x):
        return F.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x))


class Blocks(nn.Module):
    def __init__(self, dims, inputs, outputs, kernel, stride, count):
        super().__init__()
        ones = [1] * dims
        self.blocks = nn.Sequential(
            *(
                Residual(dims, inputs if n == 0 else outputs, outputs, kernel, stride if n == 0 else ones)
                for n in range(count)
            )
        )

    def forward(self, x):
        return self.blocks(x)


class Encoder(nn.Module):
    def __init__(self, dims, channels, plan, *, residual):
        super().__init__()
        features, kernels, strides = plan["features_per_stage"], plan["kernel_sizes"], plan["strides"]
        counts = plan["n_blocks_per_stage" if residual else "n_conv_per_stage"]
        self.stem = Stacked(dims, channels, features[0], kernels[0], [1] * dims, 1) if residual else None
        widths = [features[0] if residual else channels, *features]
        rows = list(zip(widths, features, kernels, strides, counts, strict=False))
        self.stages = nn.Sequential(
            *(Blocks(dims, *row) if residual else nn.Sequential(Stacked(dims, *row)) for row in rows)
        )

    def forward(self, x):
        skips = [] if self.stem is None else [self.stem(x)]
        x = skips.pop() if skips else x
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    def __init__(self, dims, outputs, encoder, plan):
        super().__init__()
        self.encoder = encoder  # nnU-Net's decoder holds it too, so that checkpoints name its weights twice
        features, kernels, strides = plan["features_per_stage"], plan["kernel_sizes"], plan["strides"]
        levels = range(len(features) - 2, -1, -1)
        counts = plan["n_conv_per_stage_decoder"]
        self.transpconvs = nn.ModuleList(
            _UP[dims](features[n + 1], features[n], strides[n + 1], strides[n + 1]) for n in levels
        )
        self.stages = nn.ModuleList(
            Stacked(dims, 2 * features[n], features[n], kernels[n], [1] * dims, counts[place])
            for place, n in enumerate(levels)
        )
        self.seg_layers = nn.ModuleList(_CONV[dims](features[n], outputs, 1) for n in levels)

    def forward(self, skips):
        x = skips[-1]
        for place, stage in enumerate(self.stages):
            x = stage(torch.cat((self.transpconvs[place](x), skips[-2 - place]), dim=1))
        return self.seg_layers[-1](x)


class PeerUNet(nn.Module):
    """nnU-Net's U-Net, plain or with a residual encoder, by the arguments of its plans."""

    def __init__(self, plan, channels, outputs):
        super().__init__()
        dims = int(plan["conv_op"][-2])
        self.encoder = Encoder(dims, channels, plan, residual="n_blocks_per_stage" in plan)
        self.decoder = Decoder(dims, outputs, self.encoder, plan)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def network_plan(dims=3, *, residual=False, kernels=None, strides=None) -> dict:
    """Arguments of a network of three small levels."""
    levels = 3
    plan = {
        "n_stages": levels,
        "features_per_stage": [4, 6, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": kernels or [[3] * dims] * levels,
        "strides": strides or [[1] * dims, [2] * dims, [2] * dims],
        "n_conv_per_stage_decoder": [1 if residual else 2] * (levels - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return plan | ({"n_blocks_per_stage": [1, 2, 1]} if residual else {"n_conv_per_stage": [2] * levels})


def configuration(dims=3, *, residual=False, channels=1, **changes) -> dict:
    """One configuration of the plans, as nnU-Net's planner writes it."""
    kind = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    plan = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16] * dims,
        "spacing": [1.0] * dims,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
            "arch_kwargs": network_plan(dims, residual=residual),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return plan | changes


def plans(configurations: dict, **changes) -> dict:
    """``plans.json`` of a data set of one or more channels."""
    measured = {"mean": 40.0, "std": 20.0, "percentile_00_5": -50.0, "percentile_99_5": 150.0, "max": 300.0}
    return {
        "dataset_name": "Dataset001_Small",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.0, 1.0],
        "original_median_shape_after_transp": [10, 40, 40],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(number): measured for number in range(3)},
        "configurations": configurations,
    } | changes


def description(channels: Sequence[str] = ("MRI",), labels=None, **changes) -> dict:
    """``dataset.json``."""
    return {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": labels or {"background": 0, "one": 1, "two": 2},
        "numTraining": 10,
        "file_ending": ".nii.gz",
    } | changes


def outputs_of(labels: dict) -> int:
    """Logits a voxel."""
    if any(isinstance(value, list) and len(value) > 1 for value in labels.values()):
        return sum(name != "ignore" and value != 0 for name, value in labels.items())
    return sum(name != "ignore" for name in labels)


def peer(plan: dict, described: dict, seed=0) -> PeerUNet:
    """The network of a configuration with random weights, biases included; no logit is the largest everywhere."""
    arguments = plan["architecture"]["arch_kwargs"]
    network = PeerUNet(arguments, len(described["channel_names"]), outputs_of(described["labels"]))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        dims = int(arguments["conv_op"][-2])
        noise = torch.randn((1, len(described["channel_names"]), *[16] * dims), generator=generator)
        network.decoder.seg_layers[-1].bias.sub_(network(noise)[0].flatten(1).mean(dim=1))
    return network.eval()


def checkpoint(network: nn.Module, name: str, axes=(0, 1, 2), **changes) -> dict:
    """What nnU-Net's trainer saves, with all that is not needed."""
    optimizer = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99)
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(-0.5)], "steps": [np.int64(3)]},
        "_best_ema": np.float64(0.25),
        "current_epoch": 7,
        "init_args": {"configuration": name, "fold": 0, "device": torch.device("cpu"), "plans": {"a": 1}},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": None if axes is None else tuple(axes),
    } | changes


def write_model(
    folder: Path, plan: dict, described: dict | None = None, *, name="3d_fullres", **changes
) -> list[PeerUNet]:
    """A model folder; returns the network of each fold.

    ``changes`` may name ``folds``, ``axes``, and entries of the plans.
    """
    described = described or description()
    folds, axes = changes.pop("folds", (0,)), changes.pop("axes", (0, 1, 2))
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "plans.json").write_text(json.dumps(plans({name: plan}, **changes)))
    networks = []
    for place, fold in enumerate(folds):
        (folder / f"fold_{fold}").mkdir()
        networks.append(peer(plan, described, place))
        torch.save(checkpoint(networks[-1], name, axes), folder / f"fold_{fold}" / "checkpoint_final.pth")
    return networks
