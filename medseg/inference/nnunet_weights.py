"""The weights of nnU-Net's U-Nets under the names that medseg's networks give them.

Both networks compute the same. medseg's convolutions in front of an instance norm have no bias, because the norm takes
it away again; nnU-Net's have one, which is left out. The bias of a transposed convolution counts: a convolution with
zeros around the image comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg.config.networks import ResEncSection, UNetSection
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError

from .network import network_of
from .tensor_file import read_torch_file

NnunetSection = UNetSection | ResEncSection
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What of a checkpoint is needed.

    Attributes:
        weights: By nnU-Net's names.
        configuration: Of the plans, such as ``3d_fullres``.
        trainer: Name of the class that trained it.
        mirror_axes: Axes of the network that may be mirrored in prediction.
        epochs: How many it was trained.
    """

    weights: Mapping[str, Tensor]
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    epochs: int


def read_checkpoint(path: Path) -> Checkpoint:
    """What a ``checkpoint_final.pth`` says; nothing in it is run.

    Raises:
        BundleError: If it is missing or damaged, holds anything that would have to be run, or is no checkpoint.
    """
    content = read_torch_file(path, torch.device("cpu"), numpy_numbers=True)
    shown = f"{path.parent.name}/{path.name}"
    if not isinstance(content, Mapping):
        raise BundleError(f"{shown} is no checkpoint of nnU-Net")
    weights, arguments = content.get("network_weights"), content.get("init_args")
    configuration = arguments.get("configuration") if isinstance(arguments, Mapping) else None
    if not isinstance(weights, Mapping) or not isinstance(configuration, str) or not _all_tensors(weights):
        raise BundleError(f"{shown} is no checkpoint of nnU-Net: it lacks network_weights or init_args.configuration")
    named = {_unwrapped(str(name)): one for name, one in weights.items()}
    axes, epochs = _axes(content.get("inference_allowed_mirroring_axes"), shown), content.get("current_epoch")
    trainer = str(content.get("trainer_name", "nnUNetTrainer"))
    return Checkpoint(named, configuration, trainer, axes, epochs if isinstance(epochs, int) and epochs > 0 else 1000)


def load_network(config: RunConfig, outputs: int, weights: Mapping[str, Tensor], shown: str) -> nn.Module:
    """The network that a configuration describes, with the weights of nnU-Net's.

    No memory is taken for it before the weights are known to fit.

    Args:
        config: Its network is a U-Net, plain or with a residual encoder.
        outputs: Logits a voxel.
        weights: By nnU-Net's names.
        shown: Names the file in errors.

    Returns:
        In evaluation mode, on the CPU.

    Raises:
        BundleError: If the weights are not those of that network.
    """
    with torch.device("meta"):
        network = network_of(config, outputs)
    assert isinstance(config.network, NnunetSection)  # noqa: S101 - nothing else is made of plans
    names, expected = dict(weight_names(config.network)), network.state_dict()
    if set(names) != set(expected):
        raise AssertionError("the table of names does not cover the network")
    odd = [theirs for ours, theirs in names.items() if not _fits(weights.get(theirs), expected[ours])]
    odd += _unknown(weights, set(names.values()))
    if odd:
        raise BundleError(f"{shown}: the weights are not those of the network that plans.json describes ({odd[0]!r})")
    network.load_state_dict({ours: weights[theirs].float() for ours, theirs in names.items()}, assign=True)
    return network.eval()


def weight_names(section: NnunetSection) -> Iterator[tuple[str, str]]:
    """The name of each weight of medseg's network, and nnU-Net's name for the same."""
    levels = len(section.features)
    for level in range(levels):
        if isinstance(section, ResEncSection):
            yield from _residual_stage(section, level)
        else:
            yield from _block(f"encoder.{level}", f"encoder.stages.{level}.0", section.convolutions)
    for level in range(levels - 1):
        stage = levels - 2 - level  # nnU-Net's decoder counts from the coarsest level
        yield f"up.{level}.weight", f"decoder.transpconvs.{stage}.weight"
        if section.upsampling_bias:
            yield f"up.{level}.bias", f"decoder.transpconvs.{stage}.bias"
        yield from _block(f"decoder.{level}", f"decoder.stages.{stage}", section.convolutions)
        yield from _affine(f"heads.{level}", f"decoder.seg_layers.{stage}")


def _block(ours: str, theirs: str, convolutions: int) -> Iterator[tuple[str, str]]:
    """Convolutions, each followed by a norm and an activation."""
    for index in range(convolutions):
        yield from _pair(f"{ours}.{3 * index}", f"{ours}.{3 * index + 1}", f"{theirs}.convs.{index}")


def _residual_stage(section: ResEncSection, level: int) -> Iterator[tuple[str, str]]:
    first = int(level == 0)
    if first:
        yield from _pair("encoder.0.0.0", "encoder.0.0.1", "encoder.stem.convs.0")
    width = section.features[max(0, level - 1)]
    for index in range(section.blocks[level]):
        ours, theirs = f"encoder.{level}.{first + index}", f"encoder.stages.{level}.blocks.{index}"
        yield from _pair(f"{ours}.body.0.0", f"{ours}.body.0.1", f"{theirs}.conv1")
        yield from _pair(f"{ours}.body.1", f"{ours}.body.2", f"{theirs}.conv2")
        if width != section.features[level]:
            place = int(any(step != 1 for step in section.strides[level]))  # after the pooling, where there is one
            yield from _pair(f"{ours}.shortcut.{place}", f"{ours}.shortcut.{place + 1}", f"{theirs}.skip.{place}")
        width = section.features[level]


def _pair(convolution: str, norm: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{convolution}.weight", f"{theirs}.conv.weight"
    yield from _affine(norm, f"{theirs}.norm")


def _affine(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.weight", f"{theirs}.weight"
    yield f"{ours}.bias", f"{theirs}.bias"


def _fits(weight: Tensor | None, expected: Tensor) -> bool:
    """Whether it is of that shape, with a number of its own for each place: some tensors repeat one without end."""
    return (
        weight is not None
        and weight.shape == expected.shape
        and weight.is_floating_point()
        and weight.layout is torch.strided
        and weight.untyped_storage().nbytes() >= weight.numel() * weight.element_size()
    )


def _unknown(weights: Mapping[str, Tensor], known: set[str]) -> list[str]:
    """Weights without a place, beside second names of shared ones, and biases that a norm takes away again."""
    others = [name for name in weights if name not in known and not name.endswith(".conv.bias")]
    return [name for name in others if ".all_modules." not in name and not name.startswith("decoder.encoder.")]


def _all_tensors(weights: Mapping[Any, Any]) -> bool:
    return all(isinstance(one, Tensor) for one in weights.values())


def _unwrapped(name: str) -> str:
    for prefix in _WRAPPERS:
        name = name.removeprefix(prefix)
    return name


def _axes(value: Any, shown: str) -> tuple[int, ...]:
    if value is None:
        return ()
    is_sound = isinstance(value, list | tuple) and all(isinstance(axis, int) and 0 <= axis < 3 for axis in value)
    if not is_sound:
        raise BundleError(f"{shown}: inference_allowed_mirroring_axes is no list of axes")
    return tuple(dict.fromkeys(value))
