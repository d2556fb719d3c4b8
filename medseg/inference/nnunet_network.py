"""The network section that builds the same network as nnU-Net's plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from medseg.config.networks import ResEncSection, UNetSection
from medseg.core.errors import BundleError

from .nnunet_plans import Architecture, NetworkArguments, network_arguments

_PLAIN, _RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"
_SLOPE, _EPSILON = 0.01, 1e-5


def network_section(architecture: Architecture, dims: Literal[2, 3]) -> UNetSection | ResEncSection:
    """The section of a plain U-Net or one with a residual encoder.

    Args:
        architecture: As the plans have it.
        dims: 2 or 3, as the plan's patch has it.

    Raises:
        BundleError: If it is another class, or has arguments that medseg's networks do not have.
    """
    if architecture.kind not in (_PLAIN, _RESIDUAL):
        raise BundleError(
            f"the nnU-Net model's network is a {architecture.kind}; those that can be taken over are {_PLAIN} and "
            f"{_RESIDUAL}"
        )
    arguments = network_arguments(architecture)
    _check_layers(arguments, dims)
    is_plain = architecture.kind == _PLAIN
    way_down = arguments.n_conv_per_stage if is_plain else arguments.n_blocks_per_stage
    way_up = _same(arguments.n_conv_per_stage_decoder, "n_conv_per_stage_decoder")
    if way_down is None:
        raise BundleError("plans.json: architecture: the numbers of convolutions or blocks of the levels are missing")
    if is_plain and _same(way_down, "n_conv_per_stage") != way_up:
        raise BundleError("plans.json: a plain U-Net with more convolutions on the way down than up is not known here")
    shared = {
        "dims": dims,
        "features": arguments.features_per_stage,
        "strides": arguments.strides,
        "kernels": arguments.kernel_sizes,
        "convolutions": way_up,
        "upsampling_bias": arguments.conv_bias,
    }
    try:
        if is_plain:
            return UNetSection.model_validate(shared)
        return ResEncSection.model_validate(shared | {"blocks": way_down})
    except ValidationError as error:
        problems = "; ".join(one["msg"].lower() for one in error.errors())
        raise BundleError(f"plans.json: architecture: {problems}") from error


def _check_layers(arguments: NetworkArguments, dims: int) -> None:
    """Refuse layers other than those of nnU-Net's own planners."""
    norm = {"eps": _EPSILON, "affine": False} | (arguments.norm_op_kwargs or {})
    activation = {"negative_slope": _SLOPE} | (arguments.nonlin_kwargs or {})
    expected = {
        "conv_op": (_last(arguments.conv_op), f"Conv{dims}d"),
        "norm_op": (_last(arguments.norm_op), f"InstanceNorm{dims}d"),
        "norm_op_kwargs": (norm, {"eps": _EPSILON, "affine": True}),
        "nonlin": (_last(arguments.nonlin), "LeakyReLU"),
        "nonlin_kwargs": (activation.get("negative_slope"), _SLOPE),
    }
    for name, (got, wanted) in expected.items():
        if got != wanted:
            raise BundleError(f"plans.json: architecture: {name} is {got}, only {wanted} is known here")


def _last(dotted: str | None) -> str:
    return (dotted or "none").rpartition(".")[2]


def _same(numbers: Sequence[int], name: str) -> int:
    if len(set(numbers)) != 1:
        raise BundleError(f"plans.json: architecture: {name} differs from level to level, which is not known here")
    return numbers[0]
