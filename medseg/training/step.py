"""One step of the optimizer, over one batch or several."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medseg.config.training import TrainingSection
from medseg.core.case import CaseId
from medseg.data.loaders import Batch

from .distributed import Process
from .execution import RunningNetwork, put_channels_last, running
from .state import TrainState


@dataclass(frozen=True, eq=False)
class Step:
    """A step that was done, its numbers still on the device.

    Attributes:
        number: Steps before it.
        loss: Mean over its batches.
        gradient: Norm of the gradient before it was clipped.
        cases: Where its patches came from.
    """

    number: int
    loss: Tensor
    gradient: Tensor
    cases: tuple[CaseId, ...]


class Stepper:
    """Does steps.

    Args:
        process: Who this process is.
        section: The loop's settings.
        loss: Takes the network's logits and the target.
        state: What the steps change.
        amp_dtype: What convolutions run in; None for float32.
    """

    def __init__(
        self,
        process: Process,
        section: TrainingSection,
        loss: nn.Module,
        state: TrainState,
        amp_dtype: torch.dtype | None,
    ) -> None:
        self._device = process.device
        self._section = section
        self._loss = loss
        self._state = state
        self._amp_dtype = amp_dtype
        if section.channels_last:
            put_channels_last(state.network)
            put_channels_last(state.average.network)
        self._network = running(state.network, section, process)

    def step(self, batches: Sequence[Batch]) -> Step:
        """Change the weights by the gradient of the mean loss over the batches, at least one, of all processes."""
        state, number = self._state, self._state.step
        losses = []
        for index, batch in enumerate(batches, start=1):
            with nullcontext() if index == len(batches) else self._network.unsynchronised():
                losses.append(self._backward(self._network, batch, len(batches)))
        state.scaler.unscale_(state.optimizer)
        gradient = nn.utils.clip_grad_norm_(state.network.parameters(), self._section.grad_clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.average.update(state.network)
        cases = tuple(case for batch in batches for case in batch.cases)
        return Step(number, torch.stack(losses).mean(), gradient.detach(), cases)

    def trial(self, batch: Batch) -> None:
        """See if a step fits into memory, without changing anything; other processes take no part.

        What the first step adds to the optimizer is set aside, so that a batch that fits now will fit later.
        """
        state = self._state
        state.optimizer.zero_grad(set_to_none=True)
        network = copy.deepcopy(state.network)
        aside = [] if state.optimizer.state else [torch.empty_like(p) for p in network.parameters()]
        self._backward(RunningNetwork(network, memory_format=self._network.memory_format), batch, 1)
        aside.clear()

    def _backward(self, network: RunningNetwork, batch: Batch, of: int) -> Tensor:
        device = self._device
        image = batch.image.to(device, non_blocking=True, memory_format=network.memory_format)
        target = batch.target.to(device, non_blocking=True)
        with torch.autocast(device.type, self._amp_dtype, enabled=self._amp_dtype is not None):
            logits = network(image)
        loss: Tensor = self._loss(logits, target)
        torch.autograd.backward(self._state.scaler.scale(loss / of))
        return loss.detach()
