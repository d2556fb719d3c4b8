"""Which patches a network can take."""

from __future__ import annotations

from collections.abc import Sequence

from .networks import NetworkSection

# SegResNet's norm sees groups of features together, which one voxel has as well; one's own may have no levels.
_ONE_VOXEL_WILL_DO = {"segresnet", "own"}


def patch_problem(patch: Sequence[int], network: NetworkSection) -> str | None:
    """Why a network cannot take patches of that size, as the end of a sentence about the patch; None if it can.

    Args:
        patch: Voxels along three axes.
        network: Any network; one for slices needs a patch of 1 along the last axis.
    """
    factors = (*network.factors, 1)[:3]
    bad = [f"{n} is no multiple of {f}" for n, f in zip(patch, factors, strict=True) if n % f]
    if bad:
        return f"does not fit the network's strides: {', '.join(bad)}"
    if network.dims == 2 and patch[2] != 1:
        return "is not 1 along the last axis, as a 2D network needs it"
    if network.name not in _ONE_VOXEL_WILL_DO and tuple(patch) == factors:
        return "is one voxel at the coarsest level, too few to normalise"
    return None
