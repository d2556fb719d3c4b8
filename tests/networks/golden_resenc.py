"""Numbers for test_resenc.py, from nnU-Net's own class (dynamic-network-architectures 0.4.4).

    python tests/networks/golden_resenc.py      # in an environment that has nnU-Net

``even_weights`` gives each weight numbers that follow from its shape alone, so that two networks with differently named
parts get the same ones.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

FEATURES, BLOCKS = (4, 6, 8), (1, 3, 2)
KERNELS = {3: ((1, 3, 3), (3, 3, 3), (3, 3, 3)), 2: ((3, 3), (3, 3), (3, 3))}
STRIDES = {3: ((1, 1, 1), (1, 2, 2), (2, 2, 2)), 2: ((1, 1), (2, 2), (2, 2))}
SHAPES = {3: (4, 8, 8), 2: (8, 12)}
VOXELS = {3: ((0, 0, 0), (1, 3, 2), (3, 7, 7)), 2: ((0, 0), (3, 2), (7, 11))}


@torch.no_grad()
def even_weights(network: nn.Module) -> nn.Module:
    for weight in network.parameters():
        numbers = torch.sin(torch.arange(weight.numel(), dtype=torch.float64) * 0.7 + weight.ndim)
        weight.copy_((numbers * (0.5 if weight.ndim > 1 else 0.2)).reshape(weight.shape))
    return network


@torch.no_grad()
def answers(network: nn.Module, dims: int) -> dict[str, list[float]]:
    """Logits of three voxels, and the mean size of each level's, finest first."""
    numbers = torch.arange(2 * torch.Size(SHAPES[dims]).numel(), dtype=torch.float64)
    levels: list[Tensor] = network(torch.cos(numbers * 0.37).reshape(1, 2, *SHAPES[dims]).float())
    return {
        "voxels": [round(float(levels[0][(0, c, *voxel)]), 4) for voxel in VOXELS[dims] for c in range(3)],
        "levels": [round(float(level.abs().mean()), 4) for level in levels],
    }


def main() -> None:
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    def theirs(dims, levels, blocks, *, bias):
        features, kernels, strides = levels
        conv, norm = (nn.Conv2d, nn.InstanceNorm2d) if dims == 2 else (nn.Conv3d, nn.InstanceNorm3d)
        return ResidualEncoderUNet(
            2, len(features), features, conv, kernels, strides, blocks, 3, 1, conv_bias=bias, norm_op=norm,
            norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        )  # fmt: skip

    found = {}
    for dims, most in ((2, 512), (3, 320)):
        small = theirs(dims, (FEATURES, KERNELS[dims], STRIDES[dims]), BLOCKS, bias=False)
        large = [min(most, 32 * 2**level) for level in range(6)], [3] * 6, [1, 2, 2, 2, 2, 2]
        found[dims] = answers(even_weights(small).eval(), dims) | {
            name: sum(w.numel() for w in theirs(dims, large, (1, 3, 4, 6, 6, 6), bias=bias).parameters())
            for name, bias in (("parameters", False), ("parameters with biases", True))
        }
    print(json.dumps(found, indent=1))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
