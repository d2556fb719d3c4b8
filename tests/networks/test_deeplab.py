from __future__ import annotations

import pytest
import torch
from network_sections import tiny
from torch import nn
from torch.nn import functional as F

from medseg.networks.blocks import convolution
from medseg.networks.build import build_network, count_parameters
from medseg.networks.deeplab import AtrousPyramid, DeepLab


def test_an_atrous_convolution_is_one_with_holes_in_its_kernel():
    layer = convolution(2, (2, 3), (3, 3), dilation=4)
    holes = torch.zeros(3, 2, 9, 9)
    holes[:, :, ::4, ::4] = layer.weight
    image = torch.randn(1, 2, 12, 14)
    torch.testing.assert_close(layer(image), F.conv2d(image, holes, padding=4))


@pytest.mark.parametrize("dims", [2, 3])
def test_each_branch_sees_as_far_as_its_rate_and_one_sees_all(dims):
    pyramid = AtrousPyramid(dims, (1, 2), (3,) * dims, (2, 5))
    middle = (slice(None), slice(None), *(8,) * dims)
    for branch, reach in zip(pyramid.branches, (0, 2, 5), strict=True):
        image = torch.zeros(1, 1, *(17,) * dims, requires_grad=True)
        branch[0](image)[middle].sum().backward()
        seen = image.grad[0, 0].nonzero() - 8
        assert int(seen.abs().max()) == reach
        assert len(seen) == (1 if reach == 0 else 3**dims)
    image = torch.zeros(1, 1, *(17,) * dims, requires_grad=True)
    pyramid.whole(image.mean(dim=tuple(range(2, dims + 2)), keepdim=True)).sum().backward()
    assert image.grad.ne(0).all()


def test_a_pyramid_keeps_the_size_even_of_one_voxel_along_an_axis():
    assert AtrousPyramid(3, (4, 6), (3, 3, 3), (6, 12, 18))(torch.randn(2, 4, 1, 3, 5)).shape == (2, 6, 1, 3, 5)


def test_logits_are_the_interpolated_ones_of_the_skip_s_level():
    network = build_network(tiny("deeplab", 2), 1, 3).eval()
    coarse: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda _module, _inputs, logits: coarse.append(logits))
    logits = network(torch.randn(1, 1, 16, 24))
    assert coarse[0].shape == (1, 3, 8, 12)
    torch.testing.assert_close(logits, F.interpolate(coarse[0], scale_factor=2, mode="bilinear"))


def test_parameters_by_hand():
    network = build_network(tiny("deeplab", 3), 2, 3)
    assert isinstance(network, DeepLab)

    def block(narrow, wide):  # two convolutions and norms; a third pair where the width changes
        return 27 * wide * (narrow + wide) + 4 * wide + (0 if narrow == wide else narrow * wide + 2 * wide)

    encoder = 27 * 2 * 4 + 8 + block(4, 4) + block(4, 6) + block(6, 8) + block(8, 8)
    pyramid = (8 * 8 + 16) + 2 * (27 * 8 * 8 + 16) + (8 * 8 + 8) + (4 * 8 * 8 + 16)
    decoder = (6 * 2 + 4) + (27 * 10 * 8 + 16) + (27 * 8 * 8 + 16) + (8 * 3 + 3)
    assert count_parameters(network) == encoder + block(8, 8) + pyramid + decoder


def test_a_size_that_does_not_fit_names_one_that_would():
    with pytest.raises(ValueError, match=r"input of \(7, 12\) voxels does not fit .* \(8, 12\) would"):
        build_network(tiny("deeplab", 2), 1, 3)(torch.zeros(1, 1, 7, 12))


@pytest.mark.parametrize("name", ["unet", "resenc", "deeplab"])
def test_a_volume_of_equal_slices_is_the_slice(name):
    """The same code, 2D and 3D: kernels of one voxel across the slices and no steps there."""
    torch.manual_seed(0)
    flat = tiny(name, 2)
    thick = type(flat)(
        **flat.model_dump(exclude={"dims", "strides", "kernels"}),
        dims=3,
        strides=[(*axes, 1) for axes in flat.strides],
        kernels=[(*axes, 1) for axes in flat.kernels],
    )
    slices, volumes = (build_network(section, 2, 3).eval() for section in (flat, thick))
    with torch.no_grad():
        for mine, other in zip(volumes.parameters(), slices.parameters(), strict=True):
            other.copy_(torch.randn_like(other))
            mine.copy_(other.reshape(mine.shape))
        image = torch.randn(1, 2, 16, 16)
        logits = volumes(image[..., None].expand(-1, -1, -1, -1, 4))
        expected = slices(image)[..., None].expand_as(logits)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)


def test_fresh_residual_blocks_hand_their_input_on():
    network = build_network(tiny("deeplab", 2), 1, 3)
    features = torch.randn(1, 8, 6, 6).relu()
    torch.testing.assert_close(network.atrous(features), features)
    assert isinstance(network.atrous[0].shortcut, nn.Sequential)
