"""Those who watch a run: the progress display, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.core.progress import Progress


@dataclass(frozen=True)
class EpochReport:
    """How an epoch went."""

    epoch: int
    step: int
    loss: float
    lr: float
    left_s: float


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


class Callback(Protocol):
    """Is told, in the main process, what happens."""

    def on_step(self, progress: float) -> None:
        """A step was done; ``progress`` is the share of the budget."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch was done and its checkpoint written."""

    def on_validation(self, report: ValidationReport) -> None:
        """The averaged network was scored."""


class ProgressDisplay:
    """Shows the share of the budget, and a line each validation with Dice by structure and the time left."""

    _PARTS = 1000

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = 0
        self._last: EpochReport | None = None
        progress.start("training", self._PARTS)

    def on_step(self, progress: float) -> None:
        """Move the bar."""
        done = int(progress * self._PARTS)
        if done > self._shown:
            self._progress.advance(done - self._shown)
            self._shown = done

    def on_epoch(self, report: EpochReport) -> None:
        """Remember it for the next line."""
        self._last = report

    def on_validation(self, report: ValidationReport) -> None:
        """Print a line."""
        by_structure = "  ".join(f"{name} {value:.3f}" for name, value in report.dice.items())
        dice = "no Dice" if np.isnan(report.mean_dice) else f"Dice {report.mean_dice:.3f}  ({by_structure})"
        last = self._last
        before = f"epoch {last.epoch}  loss {last.loss:.3f}  " if last else ""
        after = f"  {_minutes(last.left_s)} left" if last else ""
        self._progress.note(f"{before}{dice}{after}")


class TensorBoardWriter:
    """Scalars each epoch, Dice and an overlay picture each validation.

    Args:
        folder: Where the event files go; show them with ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - loads slowly

        self._writer = SummaryWriter(str(folder))

    def on_step(self, progress: float) -> None:
        """Nothing: one point an epoch is enough."""

    def on_epoch(self, report: EpochReport) -> None:
        """Write loss and learning rate."""
        self._writer.add_scalar("loss", report.loss, report.step)
        self._writer.add_scalar("learning_rate", report.lr, report.step)
        self._writer.flush()

    def on_validation(self, report: ValidationReport) -> None:
        """Write Dice by structure, and the picture."""
        for name, value in {"mean": report.mean_dice, **report.dice}.items():
            if not np.isnan(value):
                self._writer.add_scalar(f"dice/{name}", value, report.epoch)
        if report.picture is not None:
            self._writer.add_image("overlay", report.picture(), report.epoch, dataformats="HWC")
        self._writer.flush()


def _minutes(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "unknown time"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
