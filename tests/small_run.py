"""A small run that one process or two can do; a module of its own, so that spawned processes can import it."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from factories import run_config
from torch import nn

from medseg.training.callbacks import ValidationReport
from medseg.training.distributed import Process
from medseg.training.ema import AveragedNetwork
from medseg.training.loop import Ingredients, Trainer
from medseg.training.state import TrainState


def report(dice: float) -> ValidationReport:
    return ValidationReport(1, {"one": dice}, dice, lambda: np.zeros((1, 1, 3), np.uint8))


def weights(state: TrainState) -> torch.Tensor:
    return nn.utils.parameters_to_vector(state.network.parameters()).detach()


class Batches:
    """Numbered batches whose content depends on the epoch only."""

    def __init__(self, steps=3):
        self.steps, self.epoch, self.epochs = steps, 0, []

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.epochs.append(epoch)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        for _ in range(self.steps):
            image = torch.randn(4, 2, generator=generator)
            yield image, image.sum(dim=1, keepdim=True)


class Shares:
    """One rank's share of batches of four."""

    def __init__(self, rank, world_size):
        self.rank, self.world_size, self.batches = rank, world_size, Batches()

    def set_epoch(self, epoch):
        self.batches.set_epoch(epoch)

    def __iter__(self):
        for image, target in self.batches:
            yield image[self.rank :: self.world_size], target[self.rank :: self.world_size]


def fitted(process: Process, folder) -> torch.Tensor:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    state = TrainState(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), AveragedNetwork(network, 0.9))
    section = run_config(training={"budget": {"epochs": 3, "steps": 3}}).training
    parts = Ingredients(Shares(process.rank, process.world_size), nn.MSELoss(), lambda _: report(0.5))
    return weights(Trainer(process, section, parts, folder).fit(state))


def one_of_two(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(fitted(Process(rank, 2, torch.device("cpu")), folder / "both"), folder / f"weights{rank}.pt")
    dist.destroy_process_group()
