from __future__ import annotations

import pytest
import torch
from factories import run_config

from medseg.networks.blocks import Levels
from medseg.networks.build import build_network, count_parameters
from medseg.networks.unet import UNet


def unet(dims=3, *, deep_supervision=False) -> UNet:
    strides = [(1,) * dims, (2,) * dims, (1, 2, 2)[:dims]]
    return UNet(Levels(dims, (2, 3), (4, 8, 16), strides, [(3,) * dims] * 3), deep_supervision=deep_supervision)


def test_deep_supervision_gives_every_level_finest_first_while_training_only():
    network = unet(deep_supervision=True)
    levels = network.train()(torch.zeros(1, 2, 8, 8, 8))
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 8, 8), (4, 4, 4)]
    assert network.eval()(torch.zeros(1, 2, 8, 8, 8)).shape == (1, 3, 8, 8, 8)


def test_heads_that_give_nothing_learn_nothing():
    weights, gradients = unet(), [name for name, w in unet().named_parameters() if not w.requires_grad]
    assert gradients == ["heads.1.weight", "heads.1.bias"]
    assert weights.state_dict().keys() == unet(deep_supervision=True).state_dict().keys()


def test_a_size_that_does_not_fit_names_one_that_would():
    with pytest.raises(ValueError, match=r"input of \(7, 12, 4\) voxels does not fit .* \(8, 12, 4\) would"):
        unet()(torch.zeros(1, 2, 7, 12, 4))


def test_parameters_are_monais():
    # monai 1.6.1: sum(p.numel() for p in DynUNet(3, 1, 3, [3]*3, [1, 2, 2], [2, 2], filters=(8, 16, 32),
    #   norm_name=("instance", {"affine": True}), trans_bias=False).parameters()), a plain U-Net of the same design
    levels = Levels(3, (1, 3), (8, 16, 32), [(1, 1, 1), (2, 2, 2), (2, 2, 2)], [(3, 3, 3)] * 3)
    assert count_parameters(UNet(levels)) == 85_171
    coarser_head = 16 * 3 + 3  # DynUNet has it only with deep supervision
    assert count_parameters(UNet(levels, deep_supervision=True)) == 85_171 + coarser_head


def test_a_section_becomes_its_network():
    network = build_network(run_config(dims=2).network, 1, 3).eval()
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 3, 16, 16)
