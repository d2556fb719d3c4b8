"""A network slid over an image, its probabilities blended and handed on slab by slab."""

from __future__ import annotations

import contextlib
import itertools
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

from .agreement import Agreement
from .decision import Decision
from .feed import Feed, Room
from .logits import probabilities_of
from .runner import Runner
from .stream import RingAccumulator, Sink, ring_bytes
from .tta import mirrored_mean
from .windows import WindowGrid

_RING_SHARE = 0.4
_AIR_LOGIT = 5.0
_HOST = torch.device("cpu")


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
        average_logits: Average logits, and hand them on, in the place of probabilities.
    """

    dims: Literal[2, 3]
    outputs: int
    is_exclusive: bool
    mirror_axes: tuple[int, ...] = ()
    batch: int = 1
    temperature: float = 1.0
    average_logits: bool = False


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
    reach beyond the image see zeros there, the mean of a normalised image, as in training. Windows of air are not
    looked at. Where memory runs out, batches become smaller, and then what is added up moves from the device to the
    host.

    Args:
        runners: The networks, on one device; at least one.
        image: Preprocessed, shape ``(c, i, j, k)``.
        grid: Windows over that shape, or over a region of it, which the slabs then cover.
        forward: How windows become probabilities.
        sink: Takes the slabs in order.
        poll: Asks each network for itself.
        progress: Told of each window; its stage of ``len(grid.positions)`` steps has begun.

    Raises:
        InputError: If memory does not suffice even for one window at a time.
    """
    device = runners[0].device
    with torch.inference_mode(), _memory_explained():
        blend = _Blend(_ring(grid, forward.outputs, device, sink), grid, poll, _air(forward))
        feed, room, batch, done = Feed(image, grid, device, forward.batch), Room(), forward.batch, 0
        while done < len(grid.positions):
            starts = _next(grid, done, batch)
            looked_at = [start for start in starts if start not in grid.air]
            try:
                windows = averaged(runners, feed(looked_at), forward, poll, room) if looked_at else None
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or not (batch > 1 or _made_room(blend.ring)):
                    raise
                batch = max(1, batch // 2)
                continue
            blend.add(starts, windows)
            del windows  # before the next ones need their memory
            done += len(starts)
            progress.advance(len(starts))
        blend.ring.finish()


def finds_something(
    runners: Sequence[Runner],
    image: NDArray[np.float32],
    grid: WindowGrid,
    start: Shape,
    forward: ForwardPass,
    decision: Decision,
) -> bool:
    """Whether the networks see any target in one window of an image.

    Args:
        runners: The networks, on one device; at least one.
        image: Preprocessed, shape ``(c, i, j, k)``.
        grid: The windows over it.
        start: The window's first voxel.
        forward: How it becomes probabilities.
        decision: What makes targets of them.
    """
    with torch.inference_mode(), _memory_explained():
        window = Feed(image, grid, runners[0].device, 1)([start])
        values, _ = averaged(runners, window, forward, None)
        return bool(decision.votes(_as_probabilities(values, forward)).any())


@dataclass(frozen=True, eq=False)
class _Blend:
    """Where windows go, in order: those that were looked at as they are, those of air as what a network says of air."""

    ring: RingAccumulator
    grid: WindowGrid
    poll: Poll | None
    air: Sequence[float]

    def add(self, starts: Sequence[Shape], windows: tuple[Tensor, Tensor | None] | None) -> None:
        places = itertools.count()
        for start in starts:
            if windows is None or start in self.grid.air:
                self.ring.add_alike(start, self.air)
                continue
            (values, votes), place = windows, next(places)
            self.ring.add(start, values[place])
            if self.poll is not None and votes is not None:
                self.poll.count(votes[place], start, self.grid)


def _next(grid: WindowGrid, done: int, batch: int) -> list[Shape]:
    """The next windows in order, of which at most ``batch`` are looked at."""
    starts: list[Shape] = []
    for start in itertools.islice(grid.positions, done, None):
        batch -= start not in grid.air
        if batch < 0:
            break
        starts.append(start)
    return starts


def _air(forward: ForwardPass) -> list[float]:
    """What a network says of air: the background for sure, or no target at all."""
    yes, no = (_AIR_LOGIT, -_AIR_LOGIT) if forward.average_logits else (1.0, 0.0)
    values = [no] * forward.outputs
    if forward.is_exclusive:
        values[0] = yes
    return values


def averaged(
    runners: Sequence[Runner], images: Tensor, forward: ForwardPass, poll: Poll | None, room: Room | None = None
) -> tuple[Tensor, Tensor | None]:
    """Mean probabilities ``(b, c, i, j, k)`` of windows, and how many networks are for each target in each voxel.

    Args:
        runners: The networks, on one device; at least one.
        images: Windows ``(b, c, i, j, k)`` on that device.
        forward: How they become probabilities.
        poll: Asks each network for itself; None counts no votes.
        room: Where the probabilities may lie until the next call; None makes new room.
    """
    total, votes = None, None
    for runner in runners:
        values = _window_values(runner, images, forward, room if len(runners) == 1 else None)
        if poll is not None:
            own = poll.decision.votes(_as_probabilities(values, forward))
            votes = own if votes is None else votes.add_(own)
        total = values if total is None else total.add_(values)
    if total is None:
        raise AssertionError("no network")
    return total.div_(len(runners)) if len(runners) > 1 else total, votes


def _window_values(runner: Runner, images: Tensor, forward: ForwardPass, room: Room | None) -> Tensor:
    """Probabilities, or logits where these are averaged, ``(b, c, i, j, k)``, of windows ``(b, c, i, j, k)``."""
    activated = partial(_activated, runner, forward, None if forward.mirror_axes else room)
    if forward.dims == 3:
        return mirrored_mean(activated, images, forward.mirror_axes)
    return mirrored_mean(activated, images.squeeze(-1), forward.mirror_axes).unsqueeze(-1)


def _activated(runner: Runner, forward: ForwardPass, room: Room | None, images: Tensor) -> Tensor:
    logits = runner(images)
    if forward.temperature != 1:
        logits = logits / forward.temperature
    if forward.average_logits:
        # Others are added to them, and a runtime may use its memory again; those of one network are only looked at.
        return logits.clone() if room is None else logits
    return probabilities_of(logits, exclusive=forward.is_exclusive, out=None if room is None else room.like(logits))


def _as_probabilities(values: Tensor, forward: ForwardPass) -> Tensor:
    return probabilities_of(values, exclusive=forward.is_exclusive) if forward.average_logits else values


def _ring(grid: WindowGrid, channels: int, device: torch.device, sink: Sink) -> RingAccumulator:
    """On the network's device if it leaves most of its memory free there, else on the host."""
    if device.type == "cuda" and ring_bytes(grid, channels) < _RING_SHARE * torch.cuda.mem_get_info(device)[0]:
        with contextlib.suppress(torch.OutOfMemoryError):
            return RingAccumulator(grid, channels, device, sink)
    return RingAccumulator(grid, channels, _HOST, sink)


def _made_room(ring: RingAccumulator) -> bool:
    """Whether there is more memory on the device now, because the ring has moved to the host."""
    if ring.device == _HOST:
        return False
    ring.move(_HOST)
    torch.cuda.empty_cache()
    return True


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
