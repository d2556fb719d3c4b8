"""The same patches for a number, however many processes make them."""

from __future__ import annotations

import numpy as np
import torch
from factories import prepared_arrays

from medseg.config.training import AugmentationSection
from medseg.data.loaders import BatchPlan, PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler
from medseg.transforms.augment import source_patch


def loader(plan: BatchPlan, dims=3, patch=(8, 8, 8)) -> PatchLoader:
    rng = np.random.default_rng(0)
    targets = [rng.integers(0, 3, (12, 12, 12)).astype(np.uint8) for _ in range(3)]
    cases = [prepared_arrays(target, image=rng.standard_normal(target.shape)) for target in targets]
    augmentation = AugmentationSection(rotation=1.0, noise=1.0)
    sampler = PatchSampler(cases, patch, source_patch(patch, augmentation), 0.5)
    return PatchLoader(PatchDataset(sampler, patch, augmentation, dims, plan.seed), plan)


def images(plan: BatchPlan, epoch=0) -> torch.Tensor:
    batches = loader(plan)
    batches.set_epoch(epoch)
    return torch.cat([image for image, _ in batches])


def test_an_epoch_has_its_steps():
    plan = BatchPlan(batch=2, steps=3)
    assert len(loader(plan)) == 3
    assert images(plan).shape == (6, 1, 8, 8, 8)


def test_epochs_and_seeds_differ_and_repeat():
    first, again = (images(BatchPlan(2, 2, seed=1)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, images(BatchPlan(2, 2, seed=1), epoch=1))
    assert not torch.equal(first, images(BatchPlan(2, 2, seed=2)))


def test_workers_change_nothing():
    assert torch.equal(images(BatchPlan(2, 3)), images(BatchPlan(2, 3, workers=2)))


def test_processes_share_the_patches_of_one():
    alone = images(BatchPlan(4, 2), epoch=1)
    ranks = [images(BatchPlan(2, 2, rank=rank, world_size=2), epoch=1) for rank in range(2)]
    assert torch.equal(alone[0::2], ranks[0])
    assert torch.equal(alone[1::2], ranks[1])


def test_slices_have_two_axes():
    image, target = next(iter(loader(BatchPlan(2, 1), dims=2, patch=(8, 8, 1))))
    assert image.shape == (2, 1, 8, 8)
    assert target.shape == (2, 8, 8)
