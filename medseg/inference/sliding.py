"""A network slid over an image, its probabilities blended and handed on slab by slab."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.core.errors import InputError
from medseg.core.geometry import Shape
from medseg.core.progress import SILENT, Progress
from medseg.data.sampling import cut

from .agreement import Agreement
from .decision import Decision
from .runner import Runner
from .stream import RingAccumulator, Sink, ring_bytes
from .tta import mirrored_mean
from .windows import WindowGrid

_RING_SHARE = 0.4


@dataclass(frozen=True)
class ForwardPass:
    """How windows go through a network and become probabilities.

    Attributes:
        dims: 2 if the network takes slices; windows then have one voxel along the last axis.
        outputs: Logits a voxel.
        is_exclusive: Softmax over the outputs, else a sigmoid each.
        mirror_axes: Average over inputs mirrored along these.
        batch: Windows at once; halved when memory runs out.
        temperature: What logits are divided by.
    """

    dims: Literal[2, 3]
    outputs: int
    is_exclusive: bool
    mirror_axes: tuple[int, ...] = ()
    batch: int = 1
    temperature: float = 1.0


@dataclass(frozen=True, eq=False)
class Poll:
    """Asks the members what they say, each for itself, before they are averaged.

    A voxel counts in each window as much as it does in the blending, so in all of them together once.

    Attributes:
        decision: How probabilities become labels.
        agreement: Where the answers are counted.
    """

    decision: Decision
    agreement: Agreement

    def count(self, votes: Tensor, start: Shape, grid: WindowGrid) -> None:
        """Count the votes ``(t, i, j, k)`` of the window that begins at ``start``."""
        inside, weights = grid.shares(start)
        self.agreement.add(votes[(slice(None), *inside)], torch.from_numpy(weights).to(votes.device))


def stream_probabilities(
    runners: Sequence[Runner],
    image: NDArray[np.float32],
    grid: WindowGrid,
    forward: ForwardPass,
    sink: Sink,
    poll: Poll | None = None,
    progress: Progress = SILENT,
) -> None:
    """Hand the probabilities of an image to ``sink``, slab by slab along the grid's stream axis.

    Those of several networks are averaged window by window, so that they need no more memory than one. Windows that
    reach beyond the image see zeros there, the mean of a normalised image, as in training.

    Args:
        runners: The networks, on one device; at least one.
        image: Preprocessed, shape ``(c, i, j, k)``.
        grid: Windows over that shape.
        forward: How windows become probabilities.
        sink: Takes the slabs in order.
        poll: Asks each network for itself.
        progress: Told of each window; its stage of ``len(grid.positions)`` steps has begun.

    Raises:
        InputError: If memory does not suffice even for one window at a time.
    """
    device = runners[0].device
    with torch.inference_mode(), _memory_explained():
        ring = RingAccumulator(grid, forward.outputs, _ring_device(grid, forward.outputs, device), sink)
        done, batch = 0, forward.batch
        while done < len(grid.positions):
            starts = grid.positions[done : done + batch]
            try:
                windows, votes = _averaged(runners, _stacked(image, starts, grid).to(device), forward, poll)
            except RuntimeError as error:
                if not _is_out_of_memory(error) or batch == 1:
                    raise
                batch //= 2
                continue
            for place, start in enumerate(starts):
                ring.add(start, windows[place])
                if poll is not None and votes is not None:
                    poll.count(votes[place], start, grid)
            done += len(starts)
            progress.advance(len(starts))
        ring.finish()


def _stacked(image: NDArray[np.float32], starts: Sequence[Shape], grid: WindowGrid) -> Tensor:
    return torch.from_numpy(np.stack([cut(image, start, grid.window.roi) for start in starts]))


def _averaged(
    runners: Sequence[Runner], images: Tensor, forward: ForwardPass, poll: Poll | None
) -> tuple[Tensor, Tensor | None]:
    """Mean probabilities ``(b, c, i, j, k)`` of windows, and how many networks are for each target in each voxel."""
    total, votes = None, None
    for runner in runners:
        probabilities = _window_probabilities(runner, images, forward)
        if poll is not None:
            own = poll.decision.votes(probabilities)
            votes = own if votes is None else votes.add_(own)
        total = probabilities if total is None else total.add_(probabilities)
    if total is None:
        raise AssertionError("no network")
    return total.div_(len(runners)), votes


def _window_probabilities(runner: Runner, images: Tensor, forward: ForwardPass) -> Tensor:
    """Probabilities ``(b, c, i, j, k)`` of windows ``(b, c, i, j, k)``."""
    if forward.dims == 3:
        return mirrored_mean(partial(_activated, runner, forward), images, forward.mirror_axes)
    flat = images.squeeze(-1)
    return mirrored_mean(partial(_activated, runner, forward), flat, forward.mirror_axes).unsqueeze(-1)


def _activated(runner: Runner, forward: ForwardPass, images: Tensor) -> Tensor:
    logits = runner(images)
    if forward.temperature != 1:
        logits = logits / forward.temperature
    return logits.softmax(dim=1) if forward.is_exclusive else logits.sigmoid()


def _ring_device(grid: WindowGrid, channels: int, device: torch.device) -> torch.device:
    """The network's device if the ring leaves most of its memory free, else the CPU."""
    if device.type != "cuda":
        return torch.device("cpu")
    free, _ = torch.cuda.mem_get_info(device)
    return device if ring_bytes(grid, channels) < _RING_SHARE * free else torch.device("cpu")


@contextlib.contextmanager
def _memory_explained() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise InputError("not enough memory for this volume; predict on another device or a smaller part") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; only CUDA has a class for it (pytorch/pytorch#64085 asks for the others)."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in text or "allocate" in text
