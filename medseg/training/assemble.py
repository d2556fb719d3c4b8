"""From a configuration to the pieces of a run."""

from __future__ import annotations

import torch
from torch import nn

from medseg.config.sections import RunConfig
from medseg.config.training import OptimizerSection
from medseg.core.geometry import Shape
from medseg.core.labels import LabelScheme
from medseg.data.cache import PreparedArrays
from medseg.data.loaders import BatchPlan, PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler
from medseg.inference.bundle import output_channels
from medseg.networks.build import build_network
from medseg.transforms.augment import source_patch

from .distributed import Process
from .ema import AveragedNetwork
from .state import TrainState


def new_state(config: RunConfig, scheme: LabelScheme, process: Process, amp_dtype: torch.dtype | None) -> TrainState:
    """A run at its first step, the same in every process."""
    torch.manual_seed(config.training.seed)
    network = build_network(config.network, len(config.channels), output_channels(scheme)).to(process.device)
    scaler = torch.amp.GradScaler(process.device.type, enabled=amp_dtype is torch.float16)
    optimizer = build_optimizer(config.training.optimizer, network)
    return TrainState(network, optimizer, scaler, AveragedNetwork(network, config.training.ema))


def build_optimizer(section: OptimizerSection, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer; norms and biases are not decayed."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": section.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if section.name == "sgd":
        return torch.optim.SGD(groups, lr=section.lr, momentum=0.99, nesterov=True)
    return torch.optim.AdamW(groups, lr=section.lr)


def new_loader(config: RunConfig, cases: list[PreparedArrays], process: Process) -> PatchLoader:
    """Batches of augmented patches."""
    patch: Shape = config.sampling.patch
    block = source_patch(patch, config.augmentation)
    sampler = PatchSampler(cases, patch, block, config.sampling.foreground)
    dataset = PatchDataset(sampler, patch, config.augmentation, config.network.dims, config.training.seed)
    training = config.training
    plan = BatchPlan(
        config.sampling.batch, training.budget.steps, process.rank, process.world_size, training.seed, training.workers
    )
    return PatchLoader(dataset, plan, pin_memory=process.device.type == "cuda")
