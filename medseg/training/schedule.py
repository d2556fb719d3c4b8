"""How far training is, and the learning rate there."""

from __future__ import annotations

import math
import time

from medseg.config.training import BudgetSection, OptimizerSection


def learning_rate(section: OptimizerSection, progress: float) -> float:
    """Learning rate at a progress in [0, 1]: linear rise over the warm-up, then cosine or polynomial fall to zero.

    References:
        Loshchilov and Hutter, 2017, ICLR, equation 5 (cosine); Isensee et al., 2021 (polynomial, exponent 0.9).
    """
    if progress < section.warmup:
        # The very first step moves a little too, so that it is not wasted.
        return section.lr * max(progress / section.warmup, 1e-3)
    rest = min(1.0, (progress - section.warmup) / max(1e-9, 1 - section.warmup))
    fall = (1 + math.cos(math.pi * rest)) / 2 if section.decay == "cosine" else (1 - rest) ** 0.9
    return section.lr * fall


VALIDATIONS = 12
"""In a run that does not say how often to validate: a curve to look at, for a few per cent of the time."""

VALIDATION_SHARE = 0.1
"""Of a budget in minutes, where large cases would otherwise take much more of it from learning."""


def validation_is_due(every: int | None, epoch: int, before: float, now: float, share: float = 0.0) -> bool:
    """Whether to validate after an epoch that took the run from the progress ``before`` to ``now``, in [0, 1].

    Args:
        every: Epochs between validations; None spreads ``VALIDATIONS`` of them over the budget, and leaves out those
            that begin with more than ``VALIDATION_SHARE`` of the time spent on the ones before.
        epoch: Epochs done, this one included.
        before: Progress when the epoch began.
        now: Progress after it; the end is always validated.
        share: Part of the time so far that validation took, in [0, 1]; 0 where results must not hang on the clock.
    """
    if now >= 1:
        return True
    if every is not None:
        return epoch % every == 0
    return int(VALIDATIONS * now) > int(VALIDATIONS * before) and share <= VALIDATION_SHARE


class Clock:
    """Tells the progress of a run by its steps or by its minutes; time spent before a resume counts.

    Args:
        budget: Epochs or minutes.
        elapsed_s: Seconds that earlier sittings took.
    """

    def __init__(self, budget: BudgetSection, elapsed_s: float = 0.0) -> None:
        self._budget = budget
        self._start = time.monotonic() - elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, all sittings together."""
        return time.monotonic() - self._start

    def progress(self, step: int) -> float:
        """Share of the budget that is used up after ``step`` steps, at most 1."""
        if self._budget.minutes is not None:
            return min(1.0, self.elapsed_s / (60 * self._budget.minutes))
        assert self._budget.epochs is not None  # noqa: S101 - the section has one of both
        return min(1.0, step / (self._budget.epochs * self._budget.steps))

    def left_s(self, step: int) -> float:
        """Estimated seconds until the budget is used up."""
        if self._budget.minutes is not None:
            return max(0.0, 60 * self._budget.minutes - self.elapsed_s)
        done = self.progress(step)
        return math.inf if done == 0 else self.elapsed_s * (1 - done) / done
