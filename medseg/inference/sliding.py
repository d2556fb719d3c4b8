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
from torch import Tensor, nn

from medseg.core.errors import InputError
from medseg.core.geometry import Shape
from medseg.core.progress import SILENT, Progress
from medseg.data.sampling import cut

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
        amp_dtype: What convolutions compute in; None for float32.
        mirror_axes: Average over inputs mirrored along these.
        batch: Windows at once; halved when memory runs out.
    """

    dims: Literal[2, 3]
    outputs: int
    is_exclusive: bool
    amp_dtype: torch.dtype | None = None
    mirror_axes: tuple[int, ...] = ()
    batch: int = 1


def stream_probabilities(
    network: nn.Module,
    image: NDArray[np.float32],
    grid: WindowGrid,
    forward: ForwardPass,
    sink: Sink,
    progress: Progress = SILENT,
) -> None:
    """Hand the probabilities of an image to ``sink``, slab by slab along the grid's stream axis.

    Windows that reach beyond the image see zeros there, the mean of a normalised image, as in training.

    Args:
        network: In evaluation mode, on its device.
        image: Preprocessed, shape ``(c, i, j, k)``.
        grid: Windows over that shape.
        forward: How windows become probabilities.
        sink: Takes the slabs in order.
        progress: Told of each window; its stage of ``len(grid.positions)`` steps has begun.

    Raises:
        InputError: If memory does not suffice even for one window at a time.
    """
    device = next(iter(network.parameters()), torch.empty(0)).device
    with torch.inference_mode(), _memory_explained():
        ring = RingAccumulator(grid, forward.outputs, _ring_device(grid, forward.outputs, device), sink)
        done, batch = 0, forward.batch
        while done < len(grid.positions):
            starts = grid.positions[done : done + batch]
            try:
                windows = _window_probabilities(network, _stacked(image, starts, grid).to(device), forward)
            except RuntimeError as error:
                if not _is_out_of_memory(error) or batch == 1:
                    raise
                batch //= 2
                continue
            for start, probabilities in zip(starts, windows, strict=True):
                ring.add(start, probabilities)
            done += len(starts)
            progress.advance(len(starts))
        ring.finish()


def _stacked(image: NDArray[np.float32], starts: Sequence[Shape], grid: WindowGrid) -> Tensor:
    return torch.from_numpy(np.stack([cut(image, start, grid.window.roi) for start in starts]))


def _window_probabilities(network: nn.Module, images: Tensor, forward: ForwardPass) -> Tensor:
    """Probabilities ``(b, t, i, j, k)`` of windows ``(b, c, i, j, k)``."""
    if forward.dims == 3:
        return mirrored_mean(partial(_activated, network, forward), images, forward.mirror_axes)
    flat = images.squeeze(-1)
    return mirrored_mean(partial(_activated, network, forward), flat, forward.mirror_axes).unsqueeze(-1)


def _activated(network: nn.Module, forward: ForwardPass, images: Tensor) -> Tensor:
    with torch.autocast(images.device.type, forward.amp_dtype, enabled=forward.amp_dtype is not None):
        logits: Tensor = network(images)
    return logits.float().softmax(dim=1) if forward.is_exclusive else logits.float().sigmoid()


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
