from __future__ import annotations

import pytest

from medseg.config.networks import NetworkChoice
from medseg.planning.topology import fitted, network_for, widths

PATCHES = [((35, 50, 36), (1.0, 1.0, 1.0)), ((160, 160, 24), (0.7, 0.7, 5.0)), ((12, 9, 4), (1.0, 1.0, 1.0))]
FLAT = [((512, 400), (0.8, 0.8)), ((40, 33), (1.0, 1.0)), ((20, 64), (4.0, 0.5))]


@pytest.mark.parametrize(("patch", "spacing"), PATCHES + FLAT)
@pytest.mark.parametrize("choice", NetworkChoice)
def test_every_choice_fits_every_patch(choice, patch, spacing):
    section = network_for(choice, patch, spacing, widths(choice, is_cpu=True)[-1])
    sizes = fitted(patch, section)
    assert section.dims == len(patch)
    assert all(size % factor == 0 for size, factor in zip(sizes, section.factors, strict=True))
    assert sizes != section.factors or max(sizes) == 1  # never one voxel at the coarsest level
    assert all(size < edge + factor for size, edge, factor in zip(sizes, patch, section.factors, strict=True)) or (
        max(sizes) == 2 * max(section.factors)
    )


@pytest.mark.parametrize("choice", NetworkChoice)
def test_a_gpu_takes_the_widest(choice):
    assert widths(choice, is_cpu=False) == widths(choice, is_cpu=True)[:1]
    assert list(widths(choice, is_cpu=True)) == sorted(widths(choice, is_cpu=True), reverse=True)


def test_the_residual_encoder_is_as_deep_as_nnunets():
    section = network_for(NetworkChoice.RESENC_L, (160, 160, 160), (1.0, 1.0, 1.0), 32)
    assert section.features == (32, 64, 128, 256, 320, 320)
    assert section.blocks == (1, 3, 4, 6, 6, 6)
    assert section == network_for(NetworkChoice.RESENC_M, (160, 160, 160), (1.0, 1.0, 1.0), 32)
    assert network_for(NetworkChoice.RESENC_M, (40, 56, 40), (1.0, 1.0, 1.0), 32).blocks == (1, 3, 4, 6)


def test_a_deeplab_s_pyramid_sees_no_farther_than_its_map():
    large = network_for(NetworkChoice.DEEPLAB, (513, 513), (1.0, 1.0), 32)
    assert large.factors == (8, 8)
    assert large.rates == (12, 23, 35)  # 6, 12 and 18 of 33 voxels in the paper, whose images step down to a 16th
    small = network_for(NetworkChoice.DEEPLAB, (40, 56, 40), (1.0, 1.0, 1.0), 32)
    assert small.factors == (4, 4, 4)
    assert small.rates == (2, 4, 5)
    assert network_for(NetworkChoice.DEEPLAB, (12, 9, 4), (1.0, 1.0, 1.0), 32).rates == (1, 2, 3)


def test_networks_that_step_all_axes_alike_go_less_deep_in_thick_slices():
    for choice in (NetworkChoice.SEGRESNET, NetworkChoice.MEDNEXT):
        deep, shallow = (network_for(choice, patch, (1.0,) * 3, 16).factors for patch in ((96,) * 3, (96, 96, 16)))
        assert deep > shallow == (4, 4, 4)


def test_swin_unetr_takes_the_nearest_size_it_can():
    section = network_for(NetworkChoice.SWIN_UNETR, (35, 50, 36), (1.0, 1.0, 1.0), 24)
    assert fitted((35, 50, 36), section) == (32, 64, 32)
    assert fitted((30, 33, 31), section) == (32, 64, 32)


def test_the_small_u_net_has_few_features():
    sections = [
        network_for(choice, (512, 512), (1.0, 1.0), widths(choice, is_cpu=False)[0])
        for choice in (NetworkChoice.UNET, NetworkChoice.UNET_SMALL)
    ]
    assert [section.features for section in sections] == [(32, 64, 128, 256, 512, 512), (16, 32, 64, 128, 128, 128)]
    assert sections[0].strides == sections[1].strides
