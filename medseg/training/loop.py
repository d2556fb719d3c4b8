"""The training loop: one process or many, plain torch, top to bottom."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from medseg.config.training import TrainingSection
from medseg.core.errors import OutputError
from medseg.data.loaders import Batch, PatchLoader
from medseg.losses.ramp import set_progress

from .callbacks import Callback, EpochReport, RunReport, ValidationReport
from .distributed import Process
from .execution import repeatable, worker_count
from .failures import explained, too_large
from .groups import set_learning_rates
from .memory import is_out_of_memory
from .schedule import Clock, validation_is_due
from .state import CHECKPOINT, TrainState, write_checkpoint
from .step import Step, Stepper
from .stopwatch import Crew, Spent, Stopwatch, bottleneck
from .watch import Means, StepWatch

Validate = Callable[[nn.Module], ValidationReport]


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a run works on.

    Attributes:
        loader: Batches of patches.
        loss: Takes the network's logits and the target.
        validate: Scores the averaged network on the validation cases, over all processes.
        callbacks: Watch, and never steer.
        factors: What the size of a patch has to be a multiple of, along each axis; empty if any size does.
    """

    loader: PatchLoader
    loss: nn.Module
    validate: Validate
    callbacks: Sequence[Callback] = ()
    factors: tuple[int, ...] = ()


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
            OutputError: If a checkpoint cannot be written; the one before is still there.
        """
        with repeatable(wanted=self._section.deterministic):
            stepper = Stepper(self._process, self._section, self._parts.loss, state, self._amp_dtype)
            spent = self._epochs(stepper, state)
        if self._process.is_main:
            verdict = bottleneck(spent, self._crew())
            for callback in self._parts.callbacks:
                callback.on_end(RunReport(state.epoch, state.step, spent, verdict))
        return state

    def _epochs(self, stepper: Stepper, state: TrainState) -> Spent:
        clock, stopwatch, total = Clock(self._section.budget, state.elapsed_s), Stopwatch(self._process.device), Spent()
        while (before := self._progress(clock, state)) < 1 and not self._is_stale(state):
            start = time.perf_counter()
            means = self._epoch(stepper, state, clock, stopwatch)
            steps_s = time.perf_counter() - start
            state.epoch += 1
            progress = self._progress(clock, state)
            with stopwatch.validation():
                share = self._validation_share(total)
                is_due = validation_is_due(self._section.validate_every, state.epoch, before, progress, share)
                report = self._validate(state) if is_due else None
            state.elapsed_s = clock.elapsed_s
            with stopwatch.checkpoint():
                self._keep(state, report)
            spent = stopwatch.lap(steps_s)
            total += spent
            self._tell(self._epoch_report(state, clock, means, spent), report)
        return total

    def _epoch(self, stepper: Stepper, state: TrainState, clock: Clock, stopwatch: Stopwatch) -> Means:
        state.network.train()
        torch.manual_seed(self._section.seed + 1_000_003 * state.epoch + self._process.rank)
        self._parts.loader.set_epoch(state.epoch)
        watch = StepWatch(
            self._process, self._section, scales=state.scaler.is_enabled(), is_half=self._amp_dtype is not None
        )
        with self._explaining():
            for batches in _groups(stopwatch.waits(self._parts.loader), self._section.accumulate):
                progress = self._progress(clock, state)
                if progress >= 1:
                    break
                set_learning_rates(state.optimizer, self._section.optimizer, progress)
                set_progress(self._parts.loss, progress)
                with stopwatch.step():
                    watch.add(self._step(stepper, batches))
                for callback in self._parts.callbacks:
                    callback.on_step(progress)
            return watch.means()

    def _step(self, stepper: Stepper, batches: Sequence[Batch]) -> Step:
        try:
            return stepper.step(batches)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
            failure = error
        raise too_large(batches[0], self._parts.factors, stepper, self._section) from failure

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            known = explained(error, self._section, self._process.device)
            if known is None:
                raise
            raise known from error

    def _validate(self, state: TrainState) -> ValidationReport:
        with self._explaining():
            return replace(self._parts.validate(state.average.network), epoch=state.epoch)

    def _keep(self, state: TrainState, report: ValidationReport | None) -> None:
        if report is not None and not math.isnan(report.mean_dice):  # else there is nothing to compare by
            state.stale_validations += 1
            if report.mean_dice > state.best_dice:
                state.best_dice, state.stale_validations = report.mean_dice, 0
                best = {"network": state.average.network.state_dict(), "dice": dict(report.dice), "epoch": state.epoch}
                self._write("best.pt", best)
        self._write(CHECKPOINT, state.to_dict())

    def _write(self, name: str, content: dict[str, object]) -> None:
        if not self._process.is_main:
            return
        try:
            write_checkpoint(self._folder / name, content)
        except OutputError as error:
            kept = "last.pt of the epoch before is whole, so make room and go on with --resume"
            raise OutputError(f"{error}: {kept if (self._folder / 'last.pt').exists() else 'make room'}") from error

    def _epoch_report(self, state: TrainState, clock: Clock, means: Means, spent: Spent) -> EpochReport:
        left_s, lr = clock.left_s(state.step), float(state.optimizer.param_groups[0]["lr"])
        return EpochReport(state.epoch, state.step, means.loss, lr, left_s, means.gradient, spent)

    def _tell(self, epoch: EpochReport, validation: ValidationReport | None) -> None:
        if not self._process.is_main:
            return
        for callback in self._parts.callbacks:
            callback.on_epoch(epoch)
        if validation is not None:
            for callback in self._parts.callbacks:
                callback.on_validation(validation)

    def _progress(self, clock: Clock, state: TrainState) -> float:
        """The same in every process, or one would stop and leave the others waiting; their clocks differ."""
        progress = clock.progress(state.step)
        return progress if self._section.budget.minutes is None else self._process.from_main(progress)

    def _validation_share(self, spent: Spent) -> float:
        """Of this sitting's time; the same in every process. Nothing where the budget does not hang on the clock."""
        if self._section.budget.minutes is None:
            return 0.0
        return self._process.from_main(spent.validation / max(sum(spent.parts.values()), 1e-9))

    def _is_stale(self, state: TrainState) -> bool:
        return self._section.patience is not None and state.stale_validations >= self._section.patience

    def _crew(self) -> Crew:
        return Crew(self._process.device.type, worker_count(self._section.workers, self._process), self._process.cores)


def _groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group
