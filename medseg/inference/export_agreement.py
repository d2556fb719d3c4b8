"""How far an exported network agrees with the one that torch computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg.config.sections import RunConfig
from medseg.core.labels import IGNORE_INDEX, LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.transforms.preprocess import Prepared

from .predictor import segment_prepared
from .runner import Runner


@dataclass(frozen=True)
class WindowAgreement:
    """Two runtimes on the same windows.

    Attributes:
        windows: How many.
        equal_voxels: Share of the voxels with the same label.
        largest_difference: Of two logits.
    """

    windows: int
    equal_voxels: float
    largest_difference: float


@dataclass(frozen=True)
class CaseAgreement:
    """Two runtimes on the same cases, on the network's grid, without mirroring and clean-up.

    Attributes:
        cases: How many.
        equal_voxels: Share of the voxels with the same label.
        dice: Mean Dice by structure of the first; NaN for a structure that no case holds.
        dice_exported: Of the second.
    """

    cases: int
    equal_voxels: float
    dice: tuple[float, ...]
    dice_exported: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        """Mean Dice over the structures of both; NaN if no case holds any."""
        return _mean(np.array(self.dice)), _mean(np.array(self.dice_exported))


def compare_windows(
    runners: tuple[Runner, Runner], windows: Sequence[NDArray[np.float32]], *, exclusive: bool
) -> WindowAgreement:
    """Torch and an exported network on the same windows.

    Args:
        runners: Torch's, and the exported one.
        windows: Shape ``(c, *spatial)`` each, at least one.
        exclusive: Whether the largest logit wins; else each holds above 0.
    """
    equal, voxels, largest = 0, 0, 0.0
    for window in windows:
        logits = [_logits(runner, window) for runner in runners]
        one, other = (_labels(each, exclusive=exclusive) for each in logits)
        equal += int((one == other).sum())
        voxels += one.numel()
        largest = max(largest, float((logits[0] - logits[1]).abs().max()))
    return WindowAgreement(len(windows), equal / voxels, largest)


def compare_cases(
    config: RunConfig,
    runners: tuple[Runner, Runner],
    cases: Iterable[Prepared],
    scheme: LabelScheme,
    progress: Progress = SILENT,
) -> CaseAgreement:
    """Torch and an exported network on the same labelled cases.

    Args:
        config: Of the network.
        runners: Torch's, and the exported one.
        cases: With targets, at least one.
        scheme: The structures.
        progress: Told of each case.
    """
    equal, voxels = 0, 0
    rows: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for case in cases:
        if case.target is None:
            raise AssertionError("cases that judge are labelled")
        one, other = (segment_prepared(_Through(runner), case.image, config, scheme) for runner in runners)
        equal += int((one == other).sum())
        voxels += one.size
        rows.append((_dice(one, case.target, scheme), _dice(other, case.target, scheme)))
        progress.advance()
    means = [tuple(_mean(column) for column in np.array([row[place] for row in rows]).T) for place in range(2)]
    return CaseAgreement(len(rows), equal / voxels, means[0], means[1])


class _Through(nn.Module):
    """A runner where a module is asked for."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, windows: Tensor) -> Tensor:
        return self._runner(windows)


def _logits(runner: Runner, window: NDArray[np.float32]) -> Tensor:
    with torch.inference_mode():
        return runner(torch.from_numpy(window)[None]).cpu()


def _labels(logits: Tensor, *, exclusive: bool) -> Tensor:
    return logits.argmax(dim=1) if exclusive else logits > 0


def _dice(predicted: NDArray[np.uint8], target: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.float64]:
    """Dice of each target, NaN where neither side holds it; ignored voxels do not count."""
    scores = []
    for number in range(len(scheme.targets)):
        drawn, true, wanted = (
            (predicted, target, number + 1)
            if scheme.is_exclusive
            else (
                predicted[number],
                target[number],
                1,
            )
        )
        known = true != IGNORE_INDEX
        one, other = (drawn == wanted) & known, true == wanted
        both = int(one.sum()) + int(other.sum())
        scores.append(2 * int((one & other).sum()) / both if both else np.nan)
    return np.array(scores)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
