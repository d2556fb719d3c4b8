"""The training loop: one process or many, plain torch, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medseg.config.training import TrainingSection
from medseg.core.errors import TrainingError
from medseg.data.loaders import PatchLoader

from .callbacks import Callback, EpochReport, ValidationReport
from .distributed import Process
from .schedule import Clock, learning_rate
from .state import TrainState, write_checkpoint

Validate = Callable[[nn.Module], ValidationReport]


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a run works on.

    Attributes:
        loader: Batches of patches.
        loss: Takes the network's logits and the target.
        validate: Scores the averaged network on the validation cases, over all processes.
        callbacks: Watch, and never steer.
    """

    loader: PatchLoader
    loss: nn.Module
    validate: Validate
    callbacks: Sequence[Callback] = ()


class Trainer:
    """Runs epochs of optimizer steps until the budget is used up.

    Args:
        process: Who this process is.
        section: The loop's settings.
        ingredients: What it works on.
        folder: Where checkpoints lie: ``last.pt`` to resume from, ``best.pt`` with the best averaged weights (none as
            long as no validation case has a Dice).
        amp_dtype: What convolutions run in; None for float32.
    """

    def __init__(
        self,
        process: Process,
        section: TrainingSection,
        ingredients: Ingredients,
        folder: Path,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        self._process = process
        self._section = section
        self._parts = ingredients
        self._folder = folder
        self._amp_dtype = amp_dtype

    def fit(self, state: TrainState) -> TrainState:
        """Train until the budget is used up or validation stopped getting better.

        Raises:
            TrainingError: If the loss stops being finite, or memory runs out.
        """
        clock = Clock(self._section.budget, state.elapsed_s)
        network = state.network
        if self._process.world_size > 1:
            network = DistributedDataParallel(network)
        while self._progress(clock, state) < 1 and not self._is_stale(state):
            loss = self._epoch(network, state, clock)
            state.epoch += 1
            over = self._progress(clock, state) >= 1
            report = None
            if over or state.epoch % self._section.validate_every == 0:
                report = self._validate(state)
            state.elapsed_s = clock.elapsed_s
            self._finish_epoch(
                state, EpochReport(state.epoch, state.step, loss, self._lr(state), clock.left_s(state.step))
            )
            if report is not None:
                self._tell(report)
        return state

    def _epoch(self, network: nn.Module, state: TrainState, clock: Clock) -> float:
        network.train()
        torch.manual_seed(self._section.seed + 1_000_003 * state.epoch + self._process.rank)
        self._parts.loader.set_epoch(state.epoch)
        total, steps = torch.zeros((), device=self._process.device), 0
        for image, target in self._parts.loader:
            progress = self._progress(clock, state)
            if progress >= 1:
                break
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(self._section.optimizer, progress)
            total += self._step(network, state, image, target)
            steps += 1
            for callback in self._parts.callbacks:
                callback.on_step(progress)
        mean = float(self._process.sum(total)) / (max(1, steps) * self._process.world_size)
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is no longer finite after step {state.step}; lower training.optimizer.lr "
                f"(now {self._section.optimizer.lr:g}), or set training.precision=fp32"
            )
        return mean

    def _step(self, network: nn.Module, state: TrainState, image: Tensor, target: Tensor) -> Tensor:
        device = self._process.device
        image, target = image.to(device, non_blocking=True), target.to(device, non_blocking=True)
        try:
            with torch.autocast(device.type, self._amp_dtype, enabled=self._amp_dtype is not None):
                logits = network(image)
            loss: Tensor = self._parts.loss(logits, target)
            torch.autograd.backward(state.scaler.scale(loss))
        except torch.OutOfMemoryError as error:
            smaller = tuple(max(1, n // 2) for n in image.shape[2:])
            raise TrainingError(
                f"the device's memory is too small for {len(image)} patches of {tuple(image.shape[2:])}; "
                f"try sampling.batch={max(1, len(image) // 2)} or sampling.patch near {smaller}"
            ) from error
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), self._section.grad_clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.average.update(state.network)
        return loss.detach()

    def _validate(self, state: TrainState) -> ValidationReport:
        report = replace(self._parts.validate(state.average.network), epoch=state.epoch)
        if math.isnan(report.mean_dice):
            return report  # nothing to compare by
        if report.mean_dice > state.best_dice:
            state.best_dice, state.stale_validations = report.mean_dice, 0
            if self._process.is_main:
                best = {"network": state.average.network.state_dict(), "dice": dict(report.dice), "epoch": state.epoch}
                write_checkpoint(self._folder / "best.pt", best)
        else:
            state.stale_validations += 1
        return report

    def _finish_epoch(self, state: TrainState, report: EpochReport) -> None:
        if self._process.is_main:
            write_checkpoint(self._folder / "last.pt", state.to_dict())
            for callback in self._parts.callbacks:
                callback.on_epoch(report)

    def _tell(self, report: ValidationReport) -> None:
        if self._process.is_main:
            for callback in self._parts.callbacks:
                callback.on_validation(report)

    def _progress(self, clock: Clock, state: TrainState) -> float:
        """The same in every process, or one would stop and leave the others waiting."""
        return self._process.from_main(clock.progress(state.step))

    def _is_stale(self, state: TrainState) -> bool:
        return self._section.patience is not None and state.stale_validations >= self._section.patience

    def _lr(self, state: TrainState) -> float:
        return float(state.optimizer.param_groups[0]["lr"])
