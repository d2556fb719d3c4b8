"""Batches for training, the same ones however many processes prepare them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from medseg.config.training import AugmentationSection
from medseg.core.case import CaseId
from medseg.core.geometry import Shape
from medseg.transforms.augment import augment, sample_params
from medseg.transforms.dropout import NO_DROPOUT, ChannelDropout, sample_missing, without_channels

from .sampling import PatchSampler


@dataclass(frozen=True)
class BatchPlan:
    """How many patches a training step takes, and who takes them.

    Attributes:
        batch: Patches a step, per process.
        steps: Steps an epoch.
        rank: This process.
        world_size: All processes.
        seed: Seed of all draws.
        workers: Processes that prepare patches.
    """

    batch: int
    steps: int
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches and where they come from.

    Attributes:
        image: Shape ``(b, c, *patch)``.
        target: Class indices ``(b, *patch)``, or masks ``(b, target, *patch)`` where targets overlap.
        cases: The case of each patch.
    """

    image: Tensor
    target: Tensor
    cases: tuple[CaseId, ...]

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU reads without help; torch calls it."""
        return Batch(self.image.pin_memory(), self.target.pin_memory(), self.cases)


class PatchDataset(Dataset[tuple[Tensor, Tensor, CaseId]]):
    """Endless numbered patches; patch ``n`` is the same on every machine and in every process."""

    def __init__(
        self,
        sampler: PatchSampler,
        patch: Shape,
        augmentation: AugmentationSection,
        dims: int,
        seed: int,
        dropout: ChannelDropout = NO_DROPOUT,
    ) -> None:
        self._sampler = sampler
        self._patch = patch
        self._augmentation = augmentation
        self._dims = dims
        self._seed = seed
        self._dropout = dropout

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, CaseId]:
        rng = np.random.default_rng((self._seed, number))
        block = self._sampler.draw(rng)
        params = sample_params(self._augmentation, self._dims, self._patch, rng, len(block.image))
        image, target = augment(torch.from_numpy(block.image), torch.from_numpy(block.target), params)
        # Also those that the case lacks: noise made something of them.
        image = without_channels(image, sample_missing(self._dropout, block.image, rng))
        if self._dims == 2:
            image, target = image.squeeze(-1), target.squeeze(-1)
        return image, target, block.case


class _EpochNumbers(Sampler[int]):
    """The numbers of the patches that this process takes in an epoch."""

    def __init__(self, plan: BatchPlan) -> None:
        self.epoch = 0
        self._plan = plan

    def __iter__(self) -> Iterator[int]:
        plan = self._plan
        size = plan.batch * plan.steps * plan.world_size
        first = self.epoch * size
        return iter(range(first + plan.rank, first + size, plan.world_size))

    def __len__(self) -> int:
        return self._plan.batch * self._plan.steps


class PatchLoader:
    """Batches of patches; iterate after ``set_epoch``."""

    def __init__(
        self, dataset: Dataset[tuple[Tensor, Tensor, CaseId]], plan: BatchPlan, *, pin_memory: bool = False
    ) -> None:
        self._numbers = _EpochNumbers(plan)
        self._loader = DataLoader(
            dataset,
            batch_size=plan.batch,
            sampler=self._numbers,
            num_workers=plan.workers,
            collate_fn=_batched,
            pin_memory=pin_memory,
            persistent_workers=plan.workers > 0,
            generator=torch.Generator(),  # else it draws from that of the network's dropout when it begins
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the patches of that epoch."""
        self._numbers.epoch = epoch

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        yield from self._loader


def _batched(patches: Sequence[tuple[Tensor, Tensor, CaseId]]) -> Batch:
    images, targets, cases = zip(*patches, strict=True)
    return Batch(default_collate([*images]), default_collate([*targets]), cases)  # straight into shared memory
