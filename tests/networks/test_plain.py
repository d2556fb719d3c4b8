"""The plain U-Net is nnU-Net's, biases included: the same answers from the same weights."""

from __future__ import annotations

import pytest
from networks import golden_resenc as golden

from medseg.networks.blocks import Levels
from medseg.networks.unet import ResidualEncoderUNet, UNet

# Printed by golden_plain.py with dynamic-network-architectures 0.4.4, torch 2.13.0 on a CPU.
ANSWERS = {
    "plain 2D": {
        "voxels": [-0.2962, 0.6291, -0.2121, 0.1684, 0.1983, 0.1352, 0.1364, 0.2279, 0.1113],
        "levels": [0.2451, 0.2498],
    },
    "residual 2D": {
        "voxels": [-0.3184, 0.6499, -0.2293, 0.1683, 0.1983, 0.1351, 0.1336, 0.2338, 0.103],
        "levels": [0.2377, 0.2503],
    },
    "plain 3D": {
        "voxels": [-0.0419, 0.4949, -0.2135, 0.1685, 0.1981, 0.1354, -0.0617, 0.5261, -0.2525],
        "levels": [0.2225, 0.1883],
    },
    "residual 3D": {
        "voxels": [-0.0426, 0.4925, -0.2083, 0.1687, 0.198, 0.1353, -0.0618, 0.5286, -0.2572],
        "levels": [0.2221, 0.1847],
    },
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_answers_are_nnunets(kind, dims):
    levels = Levels(dims, (2, 3), golden.FEATURES, golden.STRIDES[dims], golden.KERNELS[dims], upsampling_bias=True)
    plain = UNet(levels, deep_supervision=True)
    network = plain if kind == "plain" else ResidualEncoderUNet(levels, golden.BLOCKS, deep_supervision=True)
    for name, numbers in golden.answers(golden.even_weights(network).train(), dims).items():
        assert numbers == pytest.approx(ANSWERS[f"{kind} {dims}D"][name], abs=2e-4)
