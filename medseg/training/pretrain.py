"""Self-supervised pretraining: a network fills in what was hidden of an image; nobody has to label anything.

References:
    He et al., 2022, CVPR (masked autoencoders); Chen et al., 2023, WACV (masked modelling of volumes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from medseg.config.sections import RunConfig
from medseg.config.training import PretrainingSection
from medseg.core.case import CaseId
from medseg.core.progress import Progress
from medseg.data.cache import PreparedArrays
from medseg.data.loaders import PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler, cut
from medseg.inference.network import optional_channels
from medseg.losses.deep_supervision import DeepSupervisionLoss
from medseg.transforms.augment import source_patch
from medseg.transforms.dropout import ChannelDropout

from .assemble import loader_of
from .callbacks import BudgetBar, EpochReport, ValidationReport
from .distributed import Process

_MOST_CHECKED = 24
_MASKS = 7_919  # Keeps the draw of masks apart from that of patches.


def hidden_voxels(shape: Sequence[int], section: PretrainingSection, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mask of blocks that are hidden, the same in all channels.

    Args:
        shape: Of the patch, 2D or 3D.
        section: Which share, and how large the blocks are; those at the end of an axis may be cut off.
        rng: The only source of chance.

    Returns:
        Mask of that shape; at least one block is hidden, and one is not if there are two.
    """
    edges = [min(section.block, size) for size in shape]
    blocks = [-(-size // edge) for size, edge in zip(shape, edges, strict=True)]
    count = math.prod(blocks)
    hidden = min(max(1, round(section.masked * count)), max(1, count - 1))
    mask = np.zeros(count, np.bool_)
    mask[rng.permutation(count)[:hidden]] = True
    mask = mask.reshape(blocks)
    for axis, edge in enumerate(edges):
        mask = mask.repeat(edge, axis=axis)
    return mask[tuple(slice(0, size) for size in shape)]


class MaskedPatches(Dataset[tuple[Tensor, Tensor, CaseId]]):
    """Patches with blocks hidden, numbered as those that they are made from.

    An item is the image with zeros where it is hidden, shape ``(c, *patch)``; the whole image with the mask as its last
    channel, shape ``(c + 1, *patch)``; and the case.

    Args:
        patches: Whole ones.
        section: What is hidden.
        seed: Of the masks.
    """

    def __init__(self, patches: Dataset[tuple[Tensor, Tensor, CaseId]], section: PretrainingSection, seed: int) -> None:
        self._patches = patches
        self._section = section
        self._seed = seed

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, CaseId]:
        image, _, case = self._patches[number]
        rng = np.random.default_rng((self._seed, number, _MASKS))
        mask = torch.from_numpy(hidden_voxels(image.shape[1:], self._section, rng))
        return image.masked_fill(mask, 0.0), torch.cat([image, mask[None].to(image)]), case


def masked_loader(config: RunConfig, cases: Sequence[PreparedArrays], process: Process) -> PatchLoader:
    """Batches of augmented patches with blocks hidden, cut anywhere from the images."""
    patch, seed = config.sampling.patch, config.training.seed
    sampler = PatchSampler(cases, patch, source_patch(patch, config.augmentation), foreground=0.0)
    lacking = ChannelDropout(optional_channels(config))  # a channel that a case lacks stays zero
    patches = PatchDataset(sampler, patch, config.augmentation, config.network.dims, seed, lacking)
    return loader_of(MaskedPatches(patches, masking(config), seed), config, process)


class ReconstructionLoss(nn.Module):
    """Mean difference of the hidden voxels from the truth.

    Args:
        name: ``l1`` for the absolute, ``mse`` for the squared difference.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._squared = name == "mse"

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Scalar; 0 if nothing is hidden.

        Args:
            reconstruction: Shape ``(b, c, *spatial)``.
            target: The image and the mask of hidden voxels, shape ``(b, c + 1, *spatial)``.
        """
        image, mask = target[:, :-1], target[:, -1:]
        difference = (reconstruction.float() - image).abs()
        if self._squared:
            difference = difference.square()
        return (difference * mask).sum() / (mask.sum() * image.shape[1]).clamp(min=1)


def build_reconstruction_loss(section: PretrainingSection, *, deep_supervision: bool) -> nn.Module:
    """The loss of a pretraining; at every resolution of the decoder for networks that give several."""
    loss = ReconstructionLoss(section.loss)
    return DeepSupervisionLoss(loss) if deep_supervision else loss


@dataclass(frozen=True)
class ReconstructionError:
    """Mean absolute difference of hidden voxels from the truth, in units of the normalised intensities.

    Attributes:
        network: What the network leaves.
        mean: What the mean of the visible voxels would leave, for comparison.
    """

    network: float
    mean: float


class ReconstructionCheck:
    """Measures how well hidden blocks of some cases are filled in: the same ones each time, in the middle of each case.

    It is called as the validation of a training; it has no Dice to tell, so the last weights are kept.

    Args:
        cases: Up to 24 of them are looked at, spread evenly; each process takes every n-th.
        config: Patch, masks and seed.
        process: Who this process is.

    Attributes:
        error: Of the last call; None before.
    """

    def __init__(self, cases: Sequence[PreparedArrays], config: RunConfig, process: Process) -> None:
        evenly = np.linspace(0, len(cases) - 1, min(_MOST_CHECKED, len(cases)))
        self._cases = [cases[round(index)] for index in evenly.tolist()]
        self._config = config
        self._process = process
        self.error: ReconstructionError | None = None

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> ValidationReport:
        """A report without a Dice; the error is kept in ``error``."""
        sums = torch.zeros(3, dtype=torch.float64)
        for number in range(self._process.rank, len(self._cases), self._process.world_size):
            sums += self._differences(network, number)
        network_sum, mean_sum, hidden = self._process.sum(sums).tolist()
        self.error = ReconstructionError(network_sum / max(1.0, hidden), mean_sum / max(1.0, hidden))
        return ValidationReport(0, {}, float("nan"), None)

    def _differences(self, network: nn.Module, number: int) -> Tensor:
        """Sums of absolute differences: of the network, of the mean; and how many values were hidden."""
        config, case = self._config, self._cases[number]
        patch = config.sampling.patch
        start = [(size - n) // 2 for size, n in zip(case.image.shape[1:], patch, strict=True)]
        image = torch.from_numpy(cut(case.image, start, patch))
        image = image.squeeze(-1) if config.network.dims == 2 else image
        rng = np.random.default_rng((config.training.seed, number))
        mask = torch.from_numpy(hidden_voxels(image.shape[1:], masking(config), rng))
        shown = image.masked_fill(mask, 0.0)[None].to(self._process.device)
        filled = network(shown)[0].float().cpu()
        visible = image[:, ~mask]
        mean = visible.mean(dim=1, keepdim=True) if visible.shape[1] else torch.zeros(len(image), 1)
        truth = image[:, mask]
        sums = [(filled[:, mask] - truth).abs().sum(), (mean - truth).abs().sum(), torch.tensor(truth.numel())]
        return torch.stack([one.double() for one in sums])


class PretrainingDisplay(BudgetBar):
    """Shows the share of the budget, and a line each check."""

    def __init__(self, progress: Progress, check: ReconstructionCheck) -> None:
        super().__init__(progress, "pretraining")
        self._check = check
        self._loss = float("nan")

    def on_epoch(self, report: EpochReport) -> None:
        """Remember the loss for the next line."""
        self._loss = report.loss

    def on_validation(self, report: ValidationReport) -> None:
        """Print a line."""
        error = self._check.error
        if error is not None:
            self._progress.note(
                f"epoch {report.epoch}  loss {self._loss:.3f}  hidden voxels are off by {error.network:.3f} "
                f"(the mean of the others: {error.mean:.3f})"
            )


def masking(config: RunConfig) -> PretrainingSection:
    """What a configuration says about hiding; the defaults if it says nothing."""
    return config.pretraining or PretrainingSection()
