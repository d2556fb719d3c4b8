"""The network section that builds the same network as a MONAI bundle's description."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from medseg.config.networks import NetworkSection
from medseg.core.errors import BundleError

from .monai_bundle import MonaiNetwork

# For each class of MONAI that a section builds: the section, and its fields by argument, with MONAI's defaults.
_SECTIONS: Mapping[str, tuple[str, Mapping[str, tuple[str, Any]]]] = MappingProxyType(
    {
        "SegResNet": (
            "segresnet",
            {
                "spatial_dims": ("dims", 3),
                "init_filters": ("features", 8),
                "blocks_down": ("blocks_down", (1, 2, 2, 4)),
                "blocks_up": ("blocks_up", (1, 1, 1)),
            },
        ),
        "SwinUNETR": (
            "swin_unetr",
            {
                "spatial_dims": ("dims", 3),
                "feature_size": ("features", 24),
                "depths": ("depths", (2, 2, 2, 2)),
                "num_heads": ("heads", (3, 6, 12, 24)),
                "window_size": ("window", 7),
            },
        ),
    }
)
# Arguments that change nothing that is learned, or that are the data's.
_FREE = {"in_channels", "out_channels", "img_size", "use_checkpoint"}
_FREE |= {"dropout_prob", "drop_rate", "attn_drop_rate", "dropout_path_rate"}
# Those that would make another network; they have to be as they are by default.
_FIXED: Mapping[str, Any] = MappingProxyType(
    {
        "act": ("RELU", {"inplace": True}),
        "normalize": True,
        "norm": ("GROUP", {"num_groups": 8}),
        "norm_name": "instance",
        "num_groups": 8,
        "use_conv_final": True,
        "upsample_mode": "nontrainable",
        "patch_size": 2,
        "qkv_bias": True,
        "mlp_ratio": 4.0,
        "patch_norm": False,
        "downsample": "merging",
        "use_v2": False,
    }
)


def monai_section(network: MonaiNetwork) -> NetworkSection:
    """The section whose network has the same weights under the same names.

    Raises:
        BundleError: If no section builds that class, or not with these arguments; also if an argument that is needed is
            an expression.
    """
    if network.target not in _SECTIONS:
        raise BundleError(
            f"the MONAI bundle's network is a {network.target}; of MONAI's networks, those that can be taken over are "
            f"{', '.join(_SECTIONS)}"
        )
    name, fields = _SECTIONS[network.target]
    for argument in network.arguments:
        _check_known(network, argument, fields)
    values = {field: network.argument(argument, usual) for argument, (field, usual) in fields.items()}
    try:
        section: NetworkSection = TypeAdapter(NetworkSection).validate_python({"name": name, **values})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg'].lower()}" for one in error.errors())
        raise BundleError(f"the MONAI bundle's {network.target} cannot be built here: {problems}") from error
    return section


def _check_known(network: MonaiNetwork, argument: str, fields: Mapping[str, object]) -> None:
    if argument in fields or argument in _FREE:
        return
    if argument in _FIXED and _plain(network.argument(argument, None)) == _plain(_FIXED[argument]):
        return
    raise BundleError(
        f"the MONAI bundle's {network.target} has an argument {argument!r} that makes it another network than the "
        f"section {_SECTIONS[network.target][0]!r} builds"
    )


def _plain(value: Any) -> Any:
    """For comparing: lists as tuples, capitals small."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.lower() if isinstance(value, str) else value
