import numpy as np
import pytest
import torch

from medseg.config.training import AugmentationSection
from medseg.transforms.augment import Params, augment, sample_params, source_patch
from medseg.transforms.intensity import IntensityParams
from medseg.transforms.spatial import SpatialParams

ALWAYS = AugmentationSection(
    **dict.fromkeys(("rotation", "scaling", "noise", "blur", "brightness", "contrast", "low_resolution", "gamma"), 1.0)
)
CASES = [((16, 24, 20), 3), ((32, 40, 1), 2), ((32, 32, 8), 3)]


def block(patch, section=ALWAYS, channels=2, seed=0):
    shape = source_patch(patch, section)
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.normal(size=(channels, *shape)).astype(np.float32))
    return image, torch.from_numpy(rng.choice(np.array([0, 1, 2, 255], np.uint8), shape))


@pytest.mark.parametrize(("patch", "dims"), CASES)
@pytest.mark.parametrize("section", [ALWAYS, AugmentationSection(), AugmentationSection(enabled=False)])
def test_the_result_has_the_patch_and_the_dtypes(patch, dims, section):
    image, target = block(patch, section)
    before = image.clone(), target.clone()
    for seed in range(4):
        params = sample_params(section, dims, patch, np.random.default_rng(seed), channels=2)
        changed, labels = augment(image, target, params)
        assert changed.shape == (2, *patch)
        assert labels.shape == patch
        assert (changed.dtype, labels.dtype) == (torch.float32, torch.uint8)
        assert torch.isfinite(changed).all()
        assert set(labels.unique().tolist()) <= {0, 1, 2, 255}
        labels.fill_(9)
        changed.fill_(9)
    assert torch.equal(image, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize(("patch", "dims"), CASES)
def test_one_seed_gives_one_result(patch, dims):
    image, target = block(patch)
    once, again = (
        augment(image, target, sample_params(ALWAYS, dims, patch, np.random.default_rng(5))) for _ in range(2)
    )
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    other = augment(image, target, sample_params(ALWAYS, dims, patch, np.random.default_rng(6)))
    assert not torch.equal(once[0], other[0])


def test_disabled_takes_the_middle():
    section = AugmentationSection(enabled=False)
    image, target = block((16, 24, 20), section)
    changed, labels = augment(image, target, sample_params(section, 3, (16, 24, 20), np.random.default_rng(0)))
    assert torch.equal(changed, image)
    assert torch.equal(labels, target)


def test_channels_are_changed_each_on_their_own():
    image, target = block((8, 8, 8), AugmentationSection(enabled=False), channels=3)
    intensity = (IntensityParams(brightness=2.0), IntensityParams(brightness=3.0))
    changed, _ = augment(image, target, Params(SpatialParams((8, 8, 8)), intensity))
    torch.testing.assert_close(changed, image * torch.tensor([2.0, 3.0, 2.0]).view(3, 1, 1, 1))


def test_masks_move_with_the_image():
    """An image that is its own mask stays so under any spatial change."""
    patch = (20, 20, 20)
    section = AugmentationSection(
        rotation=1, scaling=1, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0
    )
    shape = source_patch(patch, section)
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[10:22, 12:20, 8:24] = 1
    for seed in range(5):
        params = sample_params(section, 3, patch, np.random.default_rng(seed))
        image, masks = augment(mask[None].float(), torch.stack([mask, mask]), params)
        assert masks.shape == (2, *patch)
        assert torch.equal(masks[0], masks[1])
        assert ((image[0] > 0.5) == masks[0].bool()).float().mean() > 0.98
