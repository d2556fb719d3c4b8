"""From a configuration to the pieces of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from medseg.config.sections import RunConfig
from medseg.config.training import OptimizerSection
from medseg.core.case import CaseId
from medseg.core.geometry import Shape
from medseg.data.cache import PreparedArrays
from medseg.data.loaders import BatchPlan, PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler
from medseg.inference.network import network_of, optional_channels
from medseg.transforms.augment import source_patch
from medseg.transforms.dropout import ChannelDropout

from .balance import patch_chances
from .callbacks import Callback, TensorBoardWriter
from .distributed import Process
from .ema import AveragedNetwork
from .execution import worker_count
from .groups import Pace, parameter_groups
from .mlflow_writer import MlflowPlace, MlflowWriter, log_card
from .state import TrainState


def new_state(
    config: RunConfig,
    outputs: int,
    process: Process,
    amp_dtype: torch.dtype | None,
    own: nn.Module | None = None,
) -> TrainState:
    """A run at its first step, the same in every process.

    Args:
        config: Says which network, and how it learns.
        outputs: What the network gives a voxel.
        process: Who this process is.
        amp_dtype: What convolutions run in; None for float32.
        own: A network in the place of the configuration's.
    """
    torch.manual_seed(config.training.seed)
    network = network_of(config, outputs, own).to(process.device)
    if own is not None:
        process.share(network)  # nobody says that it was made from the same seed everywhere
    scaler = torch.amp.GradScaler(process.device.type, enabled=amp_dtype is torch.float16)
    optimizer = build_optimizer(config.training.optimizer, network)
    return TrainState(network, optimizer, scaler, AveragedNetwork(network, config.training.ema))


def build_optimizer(
    section: OptimizerSection, network: nn.Module, chosen: Mapping[str, Pace] = MappingProxyType({})
) -> torch.optim.Optimizer:
    """The optimizer; norms and biases are not decayed, and weights of a ``chosen`` pace move at that."""
    groups = parameter_groups(network, section.weight_decay, chosen)
    if section.name == "sgd":
        return torch.optim.SGD(groups, lr=section.lr, momentum=0.99, nesterov=True)
    return torch.optim.AdamW(groups, lr=section.lr)


def new_loader(config: RunConfig, cases: list[PreparedArrays], process: Process) -> PatchLoader:
    """Batches of augmented patches."""
    patch: Shape = config.sampling.patch
    block = source_patch(patch, config.augmentation)
    is_plain = config.sampling.balance == "structure" and not config.sampling.structure_weights
    chances = None if is_plain else patch_chances(config, cases)
    sampler = PatchSampler(cases, patch, block, config.sampling.foreground, chances)
    dropout = ChannelDropout(optional_channels(config), config.sampling.channel_dropout)
    dataset = PatchDataset(sampler, patch, config.augmentation, config.network.dims, config.training.seed, dropout)
    return loader_of(dataset, config, process)


def loader_of(patches: Dataset[tuple[Tensor, Tensor, CaseId]], config: RunConfig, process: Process) -> PatchLoader:
    """Batches of these patches, as many as the configuration asks for."""
    training = config.training
    workers = worker_count(training.workers, process)
    batches = training.budget.steps * training.accumulate
    plan = BatchPlan(config.sampling.batch, batches, process.rank, process.world_size, training.seed, workers)
    return PatchLoader(patches, plan, pin_memory=process.device.type == "cuda")


def new_trackers(config: RunConfig, folder: Path, store: Path) -> list[Callback]:
    """Who keeps the curves and pictures of a run.

    Args:
        config: Says who.
        folder: Of the run.
        store: Folder for MLflow's files; the folds of a cross-validation share it.
    """
    match config.training.tracking:
        case "tensorboard":
            return [TensorBoardWriter(folder / "tensorboard")]
        case "mlflow":
            return [MlflowWriter(MlflowPlace(folder, store, config.training.tracking_uri), config)]
        case "none":
            return []
        case _:
            assert_never(config.training.tracking)


def track_card(config: RunConfig, folder: Path, store: Path, bundle: Path) -> None:
    """Give the model card of a bundle to whoever keeps files of the run; arguments as of ``new_trackers``."""
    if config.training.tracking == "mlflow":
        log_card(MlflowPlace(folder, store, config.training.tracking_uri), bundle)
