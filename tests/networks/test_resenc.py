"""The residual encoder is nnU-Net's: the same answers from the same weights, and as many of them."""

from __future__ import annotations

import pytest
import torch
from networks import golden_resenc as golden

from medseg.networks.blocks import Levels
from medseg.networks.build import build_network, count_parameters
from medseg.networks.unet import ResidualEncoderUNet
from medseg.planning.topology import NetworkChoice, network_for

# Printed by golden_resenc.py with dynamic-network-architectures 0.4.4, torch 2.13.0 on a CPU.
ANSWERS = {
    2: {
        "voxels": [-0.2763, 0.6118, -0.1995, 0.1686, 0.1981, 0.1353, 0.0792, 0.2836, 0.0636],
        "levels": [0.2405, 0.2504],
    },
    3: {
        "voxels": [-0.043, 0.4949, -0.2126, 0.1688, 0.1982, 0.1349, -0.063, 0.5285, -0.2559],
        "levels": [0.2223, 0.1848],
    },
}
PARAMETERS = {2: 71_799_023, 3: 102_337_583}
PARAMETERS_WITH_BIASES = {2: 71_817_871, 3: 102_351_439}


@pytest.mark.parametrize("dims", [2, 3])
def test_the_answers_are_nnunets(dims):
    levels = Levels(dims, (2, 3), golden.FEATURES, golden.STRIDES[dims], golden.KERNELS[dims])
    network = golden.even_weights(ResidualEncoderUNet(levels, golden.BLOCKS, deep_supervision=True)).train()
    for name, numbers in golden.answers(network, dims).items():
        assert numbers == pytest.approx(ANSWERS[dims][name], abs=2e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_as_many_parameters_as_nnunets(dims):
    section = network_for(NetworkChoice.RESENC_M, (192,) * dims, (1.0,) * dims, 32)
    with torch.device("meta"):
        network = build_network(section, 2, 3)
    assert count_parameters(network) == PARAMETERS[dims]
    # nnU-Net's plans add a bias to every convolution, but for those beside a block.
    biases = sum(
        weight.shape[1 if name.startswith("up.") else 0]
        for name, weight in network.named_parameters()
        if weight.ndim > 1 and "shortcut" not in name and not name.startswith("heads.")
    )
    assert count_parameters(network) + biases == PARAMETERS_WITH_BIASES[dims]


def test_a_fresh_block_hands_its_input_on():
    levels = Levels(2, (1, 2), (4, 8), ((1, 1), (2, 2)), ((3, 3), (3, 3)))
    network = ResidualEncoderUNet(levels, (1, 2))
    norms = [block.body[-1] for stage in network.encoder for block in stage if hasattr(block, "body")]
    assert len(norms) == 3
    assert not any(norm.weight.any() for norm in norms)
