"""Numbers for test_plain.py, from nnU-Net's own class (dynamic-network-architectures 0.4.4), with its biases.

python tests/networks/golden_plain.py      # in an environment that has nnU-Net; from the folder tests/networks
"""

from __future__ import annotations

import json

from torch import nn

FEATURES = (4, 6, 8)


def main() -> None:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
    from golden_resenc import BLOCKS, KERNELS, STRIDES, answers, even_weights

    found = {}
    for dims in (2, 3):
        conv, norm = (nn.Conv2d, nn.InstanceNorm2d) if dims == 2 else (nn.Conv3d, nn.InstanceNorm3d)
        shared = {
            "conv_bias": True,
            "norm_op": norm,
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": nn.LeakyReLU,
            "nonlin_kwargs": {"inplace": True},
            "deep_supervision": True,
        }
        shape = (2, 3, FEATURES, conv, KERNELS[dims], STRIDES[dims])
        plain = PlainConvUNet(*shape, (2, 2, 2), 3, (2, 2), **shared)
        residual = ResidualEncoderUNet(*shape, BLOCKS, 3, (1, 1), **shared)
        for kind, network in (("plain", plain), ("residual", residual)):
            found[f"{kind} {dims}D"] = answers(even_weights(network).eval(), dims)
    print(json.dumps(found, indent=1))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
