"""One tiny section of each kind of network, 2D and 3D."""

from __future__ import annotations

from medseg.config.networks import (
    AttentionUNetSection,
    DeepLabSection,
    MedNeXtSection,
    NetworkSection,
    ResEncSection,
    SegResNetSection,
    SwinUNETRSection,
    UNetSection,
)

NAMES = ("unet", "resenc", "deeplab", "attention_unet", "segresnet", "swin_unetr", "mednext")


def tiny(name: str, dims: int) -> NetworkSection:
    """The smallest network of a kind that still does all that the kind does."""
    return _SECTIONS[name](dims=dims, **_fields(name, dims))


def fitting(section: NetworkSection) -> tuple[int, ...]:
    """A small spatial shape for a network, with other sizes along the axes."""
    return tuple(factor * (2 if axis == 0 else 1) for axis, factor in enumerate(section.factors))


def _fields(name: str, dims: int) -> dict[str, object]:
    levels = {
        "features": (4, 6, 8),
        "strides": ((1,) * dims, (2,) * dims, (1, 2, 2)[:dims]),
        "kernels": ((3,) * dims,) * 3,
    }
    return {
        "unet": levels,
        "resenc": levels | {"blocks": (1, 2, 1)},
        "deeplab": levels | {"blocks": (1, 1, 2), "rates": (1, 2), "pyramid": 8},
        "attention_unet": levels,
        "segresnet": {"features": 8, "blocks_down": (1, 1, 2), "blocks_up": (1, 1)},
        "swin_unetr": {"features": 12, "depths": (2, 1, 1, 1), "window": 4},
        "mednext": {
            "features": 4,
            "blocks_down": (1, 2),
            "blocks_bottom": 1,
            "blocks_up": (1, 1),
            "expansion_down": (2, 3),
            "expansion_up": (3, 2),
        },
    }[name]


_SECTIONS = {
    "unet": UNetSection,
    "resenc": ResEncSection,
    "deeplab": DeepLabSection,
    "attention_unet": AttentionUNetSection,
    "segresnet": SegResNetSection,
    "swin_unetr": SwinUNETRSection,
    "mednext": MedNeXtSection,
}
