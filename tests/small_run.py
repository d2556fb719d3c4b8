"""A small run that one process or two can do; a module of its own, so that spawned processes can import it."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.distributed as dist
from factories import run_config
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from medseg.core.errors import TrainingError
from medseg.data.loaders import Batch
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
    """Numbered batches of four whose content depends on the epoch only; the cases are numbered too."""

    def __init__(self, steps=3):
        self.steps, self.epoch, self.epochs = steps, 0, []

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.epochs.append(epoch)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        for step in range(self.steps):
            image = torch.randn(4, 2, generator=generator)
            cases = tuple(f"c{4 * step + number}" for number in range(4))
            yield Batch(image, image.sum(dim=1, keepdim=True), cases)


class Shares:
    """One rank's share of batches of four, in so many parts."""

    def __init__(self, rank, world_size, parts=1):
        self.rank, self.world_size, self.parts, self.batches = rank, world_size, parts, Batches()

    def set_epoch(self, epoch):
        self.batches.set_epoch(epoch)

    def __iter__(self):
        for batch in self.batches:
            mine = slice(self.rank, None, self.world_size)
            for part in range(self.parts):
                some = slice(part, None, self.parts)
                yield Batch(batch.image[mine][some], batch.target[mine][some], batch.cases[mine][some])


class NoNumberForCase(nn.Module):
    """Mean square, but NaN in the third batch that one rank sees."""

    def __init__(self, is_broken):
        super().__init__()
        self.is_broken, self.calls = is_broken, 0

    def forward(self, logits, target):
        self.calls += 1
        loss = (logits - target).square().mean()
        return loss * math.nan if self.is_broken and self.calls == 3 else loss


def fitted(process: Process, folder, loss=None, accumulate=1) -> torch.Tensor:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    state = TrainState(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), AveragedNetwork(network, 0.9))
    section = run_config(training={"budget": {"epochs": 3, "steps": 3}, "accumulate": accumulate}).training
    shares = Shares(process.rank, process.world_size, accumulate)
    parts = Ingredients(shares, loss or nn.MSELoss(), lambda _: report(0.5))
    return weights(Trainer(process, section, parts, folder).fit(state))


def one_of_two(rank, folder):
    """Train as one of two processes: plainly, with batches added up, and with a loss that is no number in rank 1."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    process = Process(rank, 2, torch.device("cpu"))
    torch.save(fitted(process, folder / "both"), folder / f"weights{rank}.pt")
    unsynchronised, silences = DistributedDataParallel.no_sync, []
    DistributedDataParallel.no_sync = lambda network: silences.append(1) or unsynchronised(network)
    torch.save(fitted(process, folder / "added", accumulate=2), folder / f"added{rank}.pt")
    (folder / f"silences{rank}.txt").write_text(str(len(silences)))
    try:
        fitted(process, folder / "broken", NoNumberForCase(is_broken=rank == 1))
    except TrainingError as error:
        (folder / f"error{rank}.txt").write_text(str(error))
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, rank)
    process.share(network)
    assert not network.weight.any()
    assert process.all(rank) == [0, 1]
    dist.destroy_process_group()
