"""Counting: against formulas written down by hand, and against torch's own counter on real numbers."""

from __future__ import annotations

import pytest
import torch
from network_sections import NAMES, fitting, tiny
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medseg.networks.build import build_network
from medseg.networks.size import NetworkSize, forward_macs, kept_numbers, network_size, thin_convolutions


def test_a_convolution_by_hand():
    layer = nn.Conv3d(2, 5, 3, padding=1)
    assert forward_macs(layer, (2, 4, 6, 8)) == 4 * 6 * 8 * 2 * 5 * 27
    assert forward_macs(nn.Conv3d(6, 6, 3, stride=2, padding=1, groups=6), (6, 4, 6, 8)) == 2 * 3 * 4 * 6 * 27
    assert forward_macs(nn.ConvTranspose2d(2, 5, 2, 2, bias=False), (2, 4, 6)) == 4 * 6 * 2 * 5 * 4


def test_thin_convolutions_are_found():
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 4, 2, stride=2), nn.Conv3d(4, 4, 3, padding=1))
    assert thin_convolutions(network, (1, 4, 8, 8)) == ("2",)
    assert thin_convolutions(network, (1, 8, 4, 4)) == ()
    assert thin_convolutions(network, (1, 2, 8, 8)) == ("0",)
    assert not any(module._forward_pre_hooks for module in network)
    assert thin_convolutions(nn.Conv2d(1, 4, 3, padding=1), (1, 2, 2)) == ()


def test_attention_by_hand():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)

    class Itself(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, tokens):
            return self.layer(tokens, tokens, tokens, need_weights=True)[0]

    tokens, width = 10, 8
    projections = tokens * width * (3 * width) + tokens * width * width
    assert forward_macs(Itself(), (tokens, width)) == projections + 2 * tokens * tokens * width


@pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_alone_count_as_much_as_numbers(name, dims):
    section = tiny(name, dims)
    network, shape = build_network(section, 2, 3).eval(), fitting(section)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 2, *shape))
    assert forward_macs(network, (2, *shape)) == counter.get_total_flops() // 2 > 0


def test_a_network_that_looks_at_values_is_run():
    class Choosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, image):
            return self.layer(image) if float(image.sum()) == 0 else image

    network = Choosy()
    assert forward_macs(network, (1, 4, 4)) == 16 * 9
    assert network.training


def test_weights_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    size = network_size(network, (1, 4, 4))
    kept_numbers(network, (1, 4, 4))
    assert size == NetworkSize(2 * 9 + 2 + 4, 16 * 2 * 9)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_what_is_kept_is_counted_once():
    # The image for the convolution, its result for the ReLU; what is computed in place, and weights, need no room.
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 1, 1))
    assert kept_numbers(network, (1, 4, 4)) == 16 + 3 * 16


def test_a_size_reads_as_a_sentence():
    assert str(NetworkSize(5_600_000, 12_400_000_000)) == ("5.6 million parameters, 12.4 GMACs (24.8 GFLOPs) a patch")
