from __future__ import annotations

import pytest
import torch
from factories import run_config
from small_run import Batches, report
from torch import nn

from medseg.losses.ramp import Ramp
from medseg.training.distributed import Process
from medseg.training.ema import AveragedNetwork
from medseg.training.loop import Ingredients, Trainer
from medseg.training.state import TrainState


class Rising(nn.Module):
    """Squared error that remembers the weights of its ramp."""

    def __init__(self):
        super().__init__()
        self.ramp, self.seen = Ramp(2.0, 0.5), []

    def forward(self, predicted, target):
        self.seen.append(self.ramp())
        return (predicted - target).square().mean()


def test_the_loop_tells_a_loss_how_far_training_is(tmp_path):
    network = nn.Linear(2, 1)
    state = TrainState(
        network,
        torch.optim.SGD(network.parameters(), lr=0.01),
        torch.amp.GradScaler("cpu", enabled=False),
        AveragedNetwork(network, 0.9),
    )
    loss = Rising()
    section = run_config(training={"budget": {"epochs": 4, "steps": 3}}).training
    parts = Ingredients(Batches(), loss, lambda _: report(0.5))
    Trainer(Process(0, 1, torch.device("cpu")), section, parts, tmp_path).fit(state)
    assert loss.seen == pytest.approx([min(2.0, 4 * step / 12) for step in range(12)])
