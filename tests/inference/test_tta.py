import pytest
import torch

from medseg.inference.tta import mirrored_mean


@pytest.mark.parametrize(("axes", "calls"), [((), 1), ((0,), 2), ((0, 2), 4), ((0, 1, 2), 8)])
def test_every_combination_is_used_once_and_mirrored_back(axes, calls):
    image = torch.rand(2, 1, 4, 5, 6)
    seen = []

    def remember(images):
        seen.append(images)
        return images.clone()

    assert torch.allclose(mirrored_mean(remember, image, axes), image, atol=1e-6)
    assert len({tuple(one.flatten().tolist()) for one in seen}) == calls == len(seen)


def test_mean_does_not_change_when_the_image_is_mirrored():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.rand(1, 1, 3, 3, generator=generator)
    image = torch.rand(1, 1, 6, 7, generator=generator)

    def lopsided(images):
        return torch.nn.functional.conv2d(images, kernel, padding=1).sigmoid()

    one, other = mirrored_mean(lopsided, image, (0, 1)), mirrored_mean(lopsided, image.flip(2), (0, 1)).flip(2)
    assert torch.allclose(one, other, atol=1e-6)
    assert not torch.allclose(one, lopsided(image), atol=1e-3)
