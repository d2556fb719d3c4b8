"""Watches the losses and gradients of the steps, without making the processor wait for the device at each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from medseg.config.training import TrainingSection
from medseg.core.case import CaseId
from medseg.core.errors import TrainingError

from .distributed import Process
from .step import Step

_EVERY = 32  # steps between two looks; each makes the processor wait for the device, or the processes for each other


@dataclass(frozen=True)
class Finding:
    """The first step that went wrong in one process.

    Attributes:
        number: Steps before it.
        loss: Its loss.
        gradient: Norm of its gradient.
        cases: What its batch was made of.
    """

    number: int
    loss: float
    gradient: float
    cases: tuple[CaseId, ...]


@dataclass(frozen=True)
class Means:
    """Over the steps of an epoch; 0 without a step.

    Attributes:
        loss: Mean loss, over all processes.
        gradient: Mean norm of the gradient before it was clipped.
    """

    loss: float
    gradient: float


class StepWatch:
    """Collects the numbers of the steps of one epoch and stops the run at the first that is not finite.

    A run of one process on a CPU looks at each step; others every 32 steps and at the end of an epoch. Until then no
    checkpoint is written, so that none holds weights that such a step spoilt.

    Args:
        process: Who this process is.
        section: What the message advises to change.
        scales: Whether losses are scaled (fp16); then gradients that overflow are skipped, and are no reason to stop.
        is_half: Whether convolutions run in half precision.
    """

    def __init__(self, process: Process, section: TrainingSection, *, scales: bool, is_half: bool) -> None:
        self._process = process
        self._section = section
        self._scales = scales
        self._is_half = is_half
        self._every = 1 if process.device.type == "cpu" and process.world_size == 1 else _EVERY
        self._unread: list[Step] = []
        self._sums = torch.zeros(3, dtype=torch.float64)  # losses, gradients, steps

    def add(self, step: Step) -> None:
        """Take in a step.

        Raises:
            TrainingError: If it, or one before it, was not finite.
        """
        self._unread.append(step)
        if len(self._unread) >= self._every:
            self._read()

    def means(self) -> Means:
        """The means over the steps so far; the same in every process.

        Raises:
            TrainingError: If one of them was not finite.
        """
        self._read()
        loss, gradient, steps = self._process.sum(self._sums).tolist()
        return Means(loss / max(1, steps), gradient / max(1, steps))

    def _read(self) -> None:
        steps, self._unread = self._unread, []
        numbers = (
            torch.stack([torch.stack((s.loss, s.gradient)).float() for s in steps]) if steps else torch.zeros(0, 2)
        )
        table = numbers.cpu().double()  # an Apple GPU has no double precision
        finding = None
        for step, (loss, gradient) in zip(steps, table.tolist(), strict=True):
            if not math.isfinite(loss) or not (self._scales or math.isfinite(gradient)):
                finding = Finding(step.number, loss, gradient, step.cases)
                break
        if float(self._process.sum(torch.tensor(0.0 if finding is None else 1.0))):
            raise TrainingError(self._message([one for one in self._process.all(finding) if one is not None]))
        self._sums += torch.tensor([*table.nan_to_num(0, 0, 0).sum(0).tolist(), len(steps)], dtype=torch.float64)

    def _message(self, found: list[Finding]) -> str:
        # One bad loss spoils the gradient in every process: those that had it are to blame.
        first = min(one.number for one in found)
        guilty = [one for one in found if one.number == first and not math.isfinite(one.loss)]
        what = f"loss of step {first} is {guilty[0].loss}" if guilty else f"gradient of step {first} is not finite"
        cases = ", ".join(dict.fromkeys(case for one in guilty or found for case in one.cases))
        precision = ", or set training.precision=fp32" if self._is_half else ""
        return (
            f"the {what}; its patches came from the cases {cases}: look at their images and labels, "
            f"or lower training.optimizer.lr (now {self._section.optimizer.lr:g}){precision}"
        )
