"""A MONAI bundle around a network: its configuration, in MONAI's words.

MONAI evaluates texts that begin with ``$``. None of those here holds anything that comes from the model: its names go
into plain texts that cannot be taken for such.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import medseg
from medseg.config.sections import ChannelSection, Intensity, RunConfig
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme

from .bundle import Bundle, Member
from .bundle_files import write_json

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
_STORED = "ijk"


def write_monai_config(folder: Path, bundle: Bundle) -> None:
    """Write ``configs/inference.json`` and ``configs/metadata.json``.

    Args:
        folder: Of the bundle; ``models/model.ts`` lies in it.
        bundle: A model of one network.

    Raises:
        InputError: If it has several, or a step that MONAI has no transform for.
    """
    if len(bundle.members) > 1:
        raise InputError(
            f"a MONAI bundle holds one network, this model has {len(bundle.members)}; export it as onnx, openvino or "
            "torch-export, or export one of the bundles that it was joined of"
        )
    if any(
        bundle.calibration.threshold(name) != 0.5 for name in bundle.scheme.targets if not bundle.scheme.is_exclusive
    ):
        raise InputError(
            "a MONAI bundle has one threshold, 0.5, this model has others; export it as onnx, openvino or torch-export"
        )
    (folder / "configs").mkdir()
    write_json(folder / "configs" / "inference.json", _inference(bundle))
    write_json(folder / "configs" / "metadata.json", _metadata(bundle))


def _inference(bundle: Bundle) -> dict[str, Any]:
    config = bundle.config
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "$os.path.join(@bundle_root, 'labels')",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": _datalist(len(config.channels)),
        "network_def": "$torch.jit.load(os.path.join(@bundle_root, 'models/model.ts'), map_location=@device)",
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": _composed(_preprocessing(config)),
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": _inferer(bundle.members[0], bundle.config.inference.overlap),
        "postprocessing": _composed(_postprocessing(bundle.scheme)),
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def _composed(transforms: list[dict[str, Any]]) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": transforms}


def _keys(channels: int) -> list[str]:
    return [f"image_{number}" for number in range(channels)]


def _datalist(channels: int) -> str:
    """One file a channel, as nnU-Net names them: ``case_0000.nii.gz``, ``case_0001.nii.gz``."""
    entries = ", ".join(f"'{key}': one[:-12] + '_{number:04d}.nii.gz'" for number, key in enumerate(_keys(channels)))
    return f"$[{{{entries}}} for one in sorted(glob.glob(os.path.join(@dataset_dir, '*_0000.nii.gz')))]"


def _preprocessing(config: RunConfig) -> list[dict[str, Any]]:
    keys, section = _keys(len(config.channels)), config.preprocessing
    read = {"_target_": "LoadImaged", "keys": keys, "reader": "NibabelReader", "ensure_channel_first": True}
    steps: list[dict[str, Any]] = [read]
    steps.extend(_turned(keys, section.orientation))
    if section.crop == "nonzero":
        everything = {"_target_": "ConcatItemsd", "keys": keys, "name": "all"}
        box = {"_target_": "CropForegroundd", "keys": keys, "source_key": "all", "select_fn": "$lambda x: x != 0"}
        steps += [everything, box | {"allow_smaller": False}]
    for key, channel in zip(keys, config.channels, strict=True):
        steps.extend(_normalised(key, channel))
    if section.spacing is not None:
        if not section.resample_slices:
            raise InputError(
                "MONAI cannot leave one axis as it is; export this model as onnx, openvino or torch-export"
            )
        spline = {"mode": 3, "padding_mode": "nearest", "scale_extent": True, "align_corners": True}
        steps.append({"_target_": "Spacingd", "keys": keys, "pixdim": list(section.spacing)} | spline)
    return [*steps, {"_target_": "ConcatItemsd", "keys": keys, "name": "image"}]


def _turned(keys: list[str], orientation: str) -> list[dict[str, Any]]:
    if orientation == _STORED:
        return []
    if sorted(orientation) == sorted(_STORED):
        raise InputError("MONAI cannot reorder a file's own axes; export this model as onnx, openvino or torch-export")
    return [{"_target_": "Orientationd", "keys": keys, "axcodes": orientation, "labels": None}]


def _normalised(key: str, channel: ChannelSection) -> list[dict[str, Any]]:
    scaled = {"_target_": "ScaleIntensityRanged", "keys": key}
    match channel.intensity:
        case Intensity.CT:
            low, high = channel.clip or (0.0, 1.0)
            mean, std = channel.mean or 0.0, channel.std or 1.0
            ends = {"a_min": low, "a_max": high, "b_min": (low - mean) / std, "b_max": (high - mean) / std}
            return [scaled | ends | {"clip": True}]
        case Intensity.ZSCORE:
            return [{"_target_": "NormalizeIntensityd", "keys": key, "nonzero": channel.nonzero_only}]
        case Intensity.UNIT:
            return [scaled | {"a_min": 0.0, "a_max": 255.0, "b_min": 0.0, "b_max": 1.0}]
        case Intensity.RESCALE:
            return [{"_target_": "ScaleIntensityd", "keys": key, "minv": 0.0, "maxv": 1.0}]
        case _:
            return []


def _inferer(member: Member, overlap: float) -> dict[str, Any]:
    dims = member.config.network.dims
    shared = {"roi_size": list(member.config.sampling.patch[:dims]), "overlap": overlap}
    shared |= {"mode": "gaussian", "sigma_scale": 0.125}
    if dims == 2:
        return {"_target_": "SliceInferer", "spatial_dim": 2, "sw_batch_size": 16} | shared
    return {"_target_": "SlidingWindowInferer", "sw_batch_size": 1} | shared


def _postprocessing(scheme: LabelScheme) -> list[dict[str, Any]]:
    activation: dict[str, Any] = {"_target_": "Activationsd", "keys": "pred"}
    discrete: dict[str, Any] = {"_target_": "AsDiscreted", "keys": "pred"}
    back = {"_target_": "Invertd", "keys": "pred", "orig_keys": "image_0", "transform": "@preprocessing"}
    steps = [
        activation | ({"softmax": True} if scheme.is_exclusive else {"sigmoid": True}),
        back | {"nearest_interp": False, "to_tensor": True},
        discrete | ({"argmax": True} if scheme.is_exclusive else {"threshold": 0.5}),
    ]
    if scheme.is_exclusive and list(scheme.values) != list(range(1, 1 + len(scheme.values))):
        renamed = {"orig_labels": list(range(1, 1 + len(scheme.values))), "target_labels": list(scheme.values)}
        steps.append({"_target_": "MapLabelValued", "keys": "pred"} | renamed)
    saved = {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "labels"}
    return [*steps, saved | {"separate_folder": False}]


def _metadata(bundle: Bundle) -> dict[str, Any]:
    config, scheme = bundle.config, bundle.scheme
    known = (["background"] if scheme.is_exclusive else []) + list(scheme.targets)
    roi = list(config.sampling.patch[: config.network.dims])
    image = {"type": "image", "format": "magnitude", "num_channels": len(config.channels), "spatial_shape": roi}
    labels = {"type": "image", "format": "segmentation", "num_channels": len(known), "spatial_shape": roi}
    more = {"dtype": "float32", "value_range": [], "is_patch_data": True}
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by medseg {medseg.__version__}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "nibabel": version("nibabel"),
            "pytorch-ignite": "0.5.0",
            "scipy": version("scipy"),
        },
        "name": _harmless(config.name),
        "task": f"segmentation of {_harmless(', '.join(scheme.targets))}",
        "description": "For research only: not a medical device.",
        "authors": "",
        "copyright": "",
        "network_data_format": {
            "inputs": {"image": image | more | {"channel_def": _numbered([one.name for one in config.channels])}},
            "outputs": {"pred": labels | more | {"channel_def": _numbered(known)}},
        },
    }


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): _harmless(name) for number, name in enumerate(names)}


def _harmless(text: str) -> str:
    """A text that MONAI does not take for an expression, a reference or a macro."""
    return text.replace("$", "").replace("@", "").replace("%", "")
