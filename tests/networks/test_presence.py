"""Networks that are told which channels are missing."""

from __future__ import annotations

import copy

import pytest
import torch
from factories import run_config
from torch import nn

from medseg.inference.network import input_channels, network_of, optional_channels
from medseg.networks.presence import presence, with_presence

CHANNELS = [{"name": "T1"}, {"name": "T2", "optional": True}, {"name": "FLAIR", "optional": True}]


class Echo(nn.Module):
    """Gives back what reaches it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


@pytest.mark.parametrize("dims", [2, 3])
def test_a_channel_of_ones_or_zeros_is_appended_for_each_that_may_be_missing(dims):
    image = torch.randn(2, 3, *[4] * dims)
    image[1, 2] = 0
    told = with_presence(Echo(), (1, 2))(image)
    assert told.shape[1] == 5
    assert torch.equal(told[:, :3], image)
    assert told[:, 3:].flatten(2).unique(dim=2).squeeze(2).tolist() == [[1, 1], [1, 0]]


def test_a_network_whose_channels_are_always_there_is_left_alone():
    network = Echo()
    assert with_presence(network, ()) is network
    assert not network._forward_pre_hooks


def test_one_voxel_is_enough_to_be_there():
    image = torch.zeros(1, 2, 5, 5)
    image[0, 1, 3, 3] = -1e-6
    assert presence(image, (0, 1)).tolist() == [[0, 1]]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_network_of_a_configuration_takes_the_channels_of_the_image(dims):
    config = run_config(dims=dims, channels=CHANNELS)
    assert (input_channels(config), optional_channels(config)) == (5, (1, 2))
    network = network_of(config, 3).eval()
    image = torch.randn(1, 3, *[16] * dims)
    assert network(image).shape == (1, 3, *[16] * dims)
    plain = network_of(run_config(dims=dims, channels=CHANNELS[:1]), 3)
    assert plain.state_dict().keys() == network.state_dict().keys(), "weights keep their names"


def test_a_copy_is_told_too():
    network = copy.deepcopy(network_of(run_config(channels=CHANNELS), 3)).eval()
    assert network(torch.randn(1, 3, 16, 16, 16)).shape[1] == 3


def test_the_mask_reaches_the_network():
    """Zero padding lets a constant channel act near the border, even under instance norm."""
    torch.manual_seed(0)
    network = network_of(run_config(channels=CHANNELS[:2]), 3).eval()
    image = torch.randn(1, 2, 16, 16, 16)
    image[:, 1] = 0
    almost = image.clone()
    almost[0, 1, 0, 0, 0] = 1e-12
    assert not torch.allclose(network(image), network(almost))
