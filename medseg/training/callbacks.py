"""Those who watch a run: the progress display, TensorBoard."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.core.progress import Progress, time_text

from .stopwatch import NOTHING_SPENT, Spent

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochReport:
    """How an epoch went.

    Attributes:
        epoch: Epochs so far.
        step: Steps so far.
        loss: Mean over its steps.
        lr: Learning rate of its last step.
        left_s: Seconds until the budget is used up, as far as one can tell.
        gradient: Mean norm of the gradient before it was clipped.
        spent: Where its time went.
    """

    epoch: int
    step: int
    loss: float
    lr: float
    left_s: float
    gradient: float = math.nan
    spent: Spent = NOTHING_SPENT


@dataclass(frozen=True, eq=False)
class ValidationReport:
    """Dice on the validation cases.

    Attributes:
        epoch: Epochs so far; the trainer fills it in.
        dice: Mean over the cases by structure; NaN where no case holds it.
        mean_dice: Mean over structures that are there; NaN if none is, or there is no case.
        picture: Draws an overlay of the first case, RGB ``(rows, columns, 3)``; called only if somebody wants it. None
            without a case.
    """

    epoch: int
    dice: Mapping[str, float]
    mean_dice: float
    picture: Callable[[], NDArray[np.uint8]] | None


@dataclass(frozen=True)
class RunReport:
    """How a run ended.

    Attributes:
        epoch: Epochs in all.
        step: Steps in all.
        spent: Where the time of this sitting went.
        bottleneck: The same in one line, with what it was short of and what to try; empty if nothing was left to do.
    """

    epoch: int
    step: int
    spent: Spent
    bottleneck: str


class Callback:
    """Is told, in the main process, what happens; a subclass writes only the methods that it needs."""

    def on_step(self, progress: float) -> None:
        """A step was done; ``progress`` is the share of the budget."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch was done and its checkpoint written."""

    def on_validation(self, report: ValidationReport) -> None:
        """The averaged network was scored."""

    def on_end(self, report: RunReport) -> None:
        """The budget is used up."""


class BudgetBar(Callback):
    """Shows the share of the budget, and at the end where the time went.

    Args:
        progress: Told.
        label: What goes on.
    """

    _PARTS = 1000

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._shown = 0
        progress.start(label, self._PARTS)

    def on_step(self, progress: float) -> None:
        """Move the bar."""
        done = int(progress * self._PARTS)
        if done > self._shown:
            self._progress.advance(done - self._shown)
            self._shown = done

    def on_end(self, report: RunReport) -> None:
        """Print where the time went."""
        if report.bottleneck:
            self._progress.note(report.bottleneck)


class ProgressDisplay(BudgetBar):
    """Shows the share of the budget, and a line each validation with Dice by structure and the time left.

    Args:
        progress: Told.
        to_come: Folds of a cross-validation that are trained after this one.
    """

    def __init__(self, progress: Progress, to_come: int = 0) -> None:
        super().__init__(progress, "training")
        self._to_come = to_come
        self._share, self._whole_s = 0.0, 0.0
        self._last: EpochReport | None = None
        self._spent = NOTHING_SPENT

    def on_step(self, progress: float) -> None:
        """Move the bar."""
        self._share = progress
        super().on_step(progress)

    def on_epoch(self, report: EpochReport) -> None:
        """Remember it for the next line."""
        self._last = report
        self._spent += report.spent
        if 0 < self._share < 1 and report.left_s > 0:
            self._whole_s = report.left_s / (1 - self._share)

    def on_validation(self, report: ValidationReport) -> None:
        """Print a line."""
        by_structure = "  ".join(f"{name} {value:.3f}" for name, value in report.dice.items())
        dice = "no Dice" if np.isnan(report.mean_dice) else f"Dice {report.mean_dice:.3f}  ({by_structure})"
        last = self._last
        before = f"epoch {last.epoch}  loss {last.loss:.3f}  " if last else ""
        after = f"  {time_text(last.left_s)} left{self._in_all(last.left_s)}" if last else ""
        shares = self._spent.shares()
        self._progress.note(f"{before}{dice}{after}{f'  ({shares})' * bool(shares)}")
        self._spent = NOTHING_SPENT

    def _in_all(self, left_s: float) -> str:
        """Time left for this network and those to come, if each takes as long as this one."""
        if not self._to_come or not self._whole_s:
            return ""
        return f", {time_text(left_s + self._to_come * self._whole_s)} for all folds"


class TensorBoardWriter(Callback):
    """Scalars each epoch, Dice and an overlay picture each validation.

    Args:
        folder: Where the event files go; show them with ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - loads slowly

        self._writer = SummaryWriter(str(folder))
        self._is_lost = False

    def on_epoch(self, report: EpochReport) -> None:
        """Write loss, learning rate, norm of the gradient and seconds by what they went to."""
        values = {"loss": report.loss, "learning_rate": report.lr, "gradient_norm": report.gradient}
        seconds = {f"seconds/{part}": spent for part, spent in report.spent.parts.items()}
        with self._unless_lost():
            self._write(values | seconds, report.step)

    def on_validation(self, report: ValidationReport) -> None:
        """Write Dice by structure, and the picture."""
        dice = {f"dice/{name}": value for name, value in {"mean": report.mean_dice, **report.dice}.items()}
        with self._unless_lost():
            if report.picture is not None:
                self._writer.add_image("overlay", report.picture(), report.epoch, dataformats="HWC")
            self._write(dice, report.epoch)

    def on_end(self, report: RunReport) -> None:
        """Write where the time went, and close the files."""
        with self._unless_lost():
            self._writer.add_text("time", report.bottleneck, report.step)
            self._writer.close()

    def _write(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            if not math.isnan(value):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    @contextmanager
    def _unless_lost(self) -> Iterator[None]:
        """Write; a folder that takes no more is told once, and does not end the run."""
        try:
            yield
        except OSError as error:
            if not self._is_lost:
                self._is_lost = True
                _LOG.warning("TensorBoard's files cannot be written (%s); the run goes on without them", error.strerror)
