"""Batches for training, the same ones however many processes prepare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from medseg.config.training import AugmentationSection
from medseg.core.geometry import Shape
from medseg.transforms.augment import augment, sample_params

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


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Endless numbered patches; patch ``n`` is the same on every machine and in every process."""

    def __init__(
        self, sampler: PatchSampler, patch: Shape, augmentation: AugmentationSection, dims: int, seed: int
    ) -> None:
        self._sampler = sampler
        self._patch = patch
        self._augmentation = augmentation
        self._dims = dims
        self._seed = seed

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, number))
        block = self._sampler.draw(rng)
        params = sample_params(self._augmentation, self._dims, self._patch, rng, len(block.image))
        image, target = augment(torch.from_numpy(block.image), torch.from_numpy(block.target), params)
        if self._dims == 2:
            image, target = image.squeeze(-1), target.squeeze(-1)
        return image, target


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
    """Batches of image ``(b, c, *patch)`` and target; iterate after ``set_epoch``."""

    def __init__(self, dataset: PatchDataset, plan: BatchPlan, *, pin_memory: bool = False) -> None:
        self._numbers = _EpochNumbers(plan)
        self._loader = DataLoader(
            dataset,
            batch_size=plan.batch,
            sampler=self._numbers,
            num_workers=plan.workers,
            pin_memory=pin_memory,
            persistent_workers=plan.workers > 0,
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the patches of that epoch."""
        self._numbers.epoch = epoch

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self._loader
