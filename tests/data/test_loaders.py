"""The same patches for a number, however many processes make them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from factories import prepared_arrays

from medseg.config.training import AugmentationSection
from medseg.core.case import CaseId
from medseg.data.loaders import BatchPlan, PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler
from medseg.transforms.augment import source_patch
from medseg.transforms.dropout import NO_DROPOUT, ChannelDropout


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
    return torch.cat([batch.image for batch in batches])


def test_beginning_an_epoch_draws_nothing_from_the_networks_random_numbers():
    """Or a run with dropout would go on otherwise than if it had not been interrupted."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    images(BatchPlan(batch=2, steps=1))
    assert torch.equal(torch.get_rng_state(), before)


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
    batch = next(iter(loader(BatchPlan(2, 1), dims=2, patch=(8, 8, 1))))
    assert batch.image.shape == (2, 1, 8, 8)
    assert batch.target.shape == (2, 8, 8)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_says_which_cases_it_came_from(workers):
    cases = [prepared_arrays(np.full((8, 8, 8), n, np.uint8), targets=3, image=np.full((8, 8, 8), n)) for n in range(4)]
    cases = [dataclasses.replace(case, id=CaseId(f"c{n}")) for n, case in enumerate(cases)]
    sampler = PatchSampler(cases, (8, 8, 8), (8, 8, 8), 0.5)
    dataset = PatchDataset(sampler, (8, 8, 8), AugmentationSection(enabled=False), 3, 0)
    seen = set()
    for batch in PatchLoader(dataset, BatchPlan(4, 6, workers=workers)):
        assert batch.cases == tuple(f"c{int(patch[0, 0, 0, 0])}" for patch in batch.image)
        seen.update(batch.cases)
    assert seen == {"c0", "c1", "c2", "c3"}


def test_batches_that_are_added_up_are_those_of_the_larger_batch():
    large, small = images(BatchPlan(4, 2), epoch=1), images(BatchPlan(2, 4), epoch=1)
    assert torch.equal(large, small)


class TestChannelDropout:
    """The second of two channels may be missing."""

    def patches(self, dropout=NO_DROPOUT, *, lacks=False, dims=3, patch=(8, 8, 8)):
        case = prepared_arrays(np.ones((12, 12, 12), np.uint8))
        image = np.random.default_rng(0).standard_normal((2, 12, 12, 12)).astype(np.float32)
        image[1] *= not lacks
        augmentation = AugmentationSection(noise=1.0)
        sampler = PatchSampler([dataclasses.replace(case, image=image)], patch, source_patch(patch, augmentation), 0.5)
        dataset = PatchDataset(sampler, patch, augmentation, dims, 0, dropout)
        return [dataset[number][0] for number in range(60)]

    @pytest.mark.parametrize(("dims", "patch"), [(3, (8, 8, 8)), (2, (8, 8, 1))])
    def test_a_share_of_the_patches_lacks_it_and_the_rest_are_as_they_were(self, dims, patch):
        plain = self.patches(dims=dims, patch=patch)
        dropped = self.patches(ChannelDropout((1,), 0.5), dims=dims, patch=patch)
        lacking = [not image[1].any() for image in dropped]
        assert 15 < sum(lacking) < 45
        for one, other, is_lacking in zip(plain, dropped, lacking, strict=True):
            assert torch.equal(one[0], other[0])
            assert is_lacking or torch.equal(one[1], other[1])

    def test_noise_makes_no_channel_of_one_that_the_case_lacks(self):
        assert all(image[1].any() for image in self.patches(lacks=True))
        assert not any(image[1].any() for image in self.patches(ChannelDropout((1,), 0.0), lacks=True))
