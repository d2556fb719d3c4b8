from __future__ import annotations

import pytest
import torch
from factories import run_config

from medseg.config.networks import SegResNetSection
from medseg.networks.build import build_network, count_parameters
from medseg.networks.unet import UNet


def unet(dims=3, *, deep_supervision=False) -> UNet:
    strides = [(1,) * dims, (2,) * dims, (1, 2, 2)[:dims]]
    return UNet(dims, (2, 3), (4, 8, 16), strides, [(3,) * dims] * 3, deep_supervision=deep_supervision)


@pytest.mark.parametrize(("dims", "shape"), [(2, (8, 12)), (3, (8, 12, 4))])
def test_logits_have_the_size_of_the_image(dims, shape):
    assert unet(dims).eval()(torch.zeros(2, 2, *shape)).shape == (2, 3, *shape)


def test_deep_supervision_gives_every_level_finest_first_while_training_only():
    network = unet(deep_supervision=True)
    levels = network.train()(torch.zeros(1, 2, 8, 8, 8))
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 8, 8), (4, 4, 4)]
    assert network.eval()(torch.zeros(1, 2, 8, 8, 8)).shape == (1, 3, 8, 8, 8)


def test_a_size_that_does_not_fit_names_one_that_would():
    with pytest.raises(ValueError, match=r"input of \(7, 12, 4\) voxels does not fit .* \(8, 12, 4\) would"):
        unet()(torch.zeros(1, 2, 7, 12, 4))


def test_every_weight_is_learned():
    network = unet(deep_supervision=True)
    sum(level.square().sum() for level in network(torch.randn(2, 2, 8, 8, 8))).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_examples_of_a_batch_do_not_know_each_other():
    network, images = unet().eval(), torch.randn(3, 2, 8, 8, 4)
    together = network(images)
    for index in range(3):
        torch.testing.assert_close(
            together[index : index + 1], network(images[index : index + 1]), atol=1e-5, rtol=1e-4
        )


def test_parameters_are_monais():
    # monai 1.6.1: sum(p.numel() for p in DynUNet(3, 1, 3, [3]*3, [1, 2, 2], [2, 2], filters=(8, 16, 32),
    #   norm_name=("instance", {"affine": True}), trans_bias=False).parameters()), a plain U-Net of the same design
    network = UNet(3, (1, 3), (8, 16, 32), [(1, 1, 1), (2, 2, 2), (2, 2, 2)], [(3, 3, 3)] * 3)
    extra_head = 16 * 3 + 3  # DynUNet has the coarser head only with deep supervision
    assert count_parameters(network) - extra_head == DYNUNET_PARAMETERS


DYNUNET_PARAMETERS = 85_171


def test_a_section_becomes_its_network():
    network = build_network(run_config(dims=2).network, 1, 3).eval()
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn
@pytest.mark.parametrize("dims", [2, 3])
def test_monais_segresnet_is_one_section_away(dims):
    section = SegResNetSection(dims=dims, features=8)
    assert section.factors == (8,) * dims
    network = build_network(section, 2, 3)
    image = torch.zeros(1, 2, *section.factors)
    assert network(image).shape == (1, 3, *section.factors)
