"""How the network runs: alone or in several processes, compiled or not, and whether a rerun gives the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medseg.config.sections import RunConfig
from medseg.config.training import TrainingSection
from medseg.networks.size import thin_convolutions

from .distributed import Process

THIN = "trains in float32, since torch's bfloat16 goes wrong on a CPU where a convolution sees two slices"
_MOST_WORKERS = 8
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, eq=False)
class RunningNetwork:
    """A network as the loop calls it; weights and their names stay those of the plain one.

    Attributes:
        call: Logits of an image; compiled and distributed if so.
        unsynchronised: Within it gradients are added up, but not yet averaged over the processes.
        memory_format: Of images.
        replays: Whether each call replays a CUDA graph.
    """

    call: Callable[[Tensor], Any]
    unsynchronised: Callable[[], AbstractContextManager[None]] = nullcontext
    memory_format: torch.memory_format = torch.contiguous_format
    replays: bool = False

    def __call__(self, image: Tensor) -> Any:
        """Logits, or a list of them."""
        if self.replays:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self.call(image)


def running(network: nn.Module, section: TrainingSection, process: Process) -> RunningNetwork:
    """The network as a section and a process want it run.

    Every parameter is expected to get a gradient in each step, as DDP without ``find_unused_parameters`` demands.
    """
    mode = compile_mode(section.compile, process.device)
    memory_format = network_format(network) if section.channels_last else torch.contiguous_format
    unsynchronised: Callable[[], AbstractContextManager[None]] = nullcontext
    call: Callable[[Tensor], Any] = network
    if process.world_size > 1:
        shared = DistributedDataParallel(network)
        call, unsynchronised = shared, shared.no_sync
    if mode is not None:
        # Around DDP, not inside it, so that gradients travel while others are computed.
        call = torch.compile(call, mode=mode, dynamic=False)
    return RunningNetwork(call, unsynchronised, memory_format, mode == "reduce-overhead")


def trusted_dtype(
    network: nn.Module, config: RunConfig, device: torch.device, dtype: torch.dtype | None
) -> torch.dtype | None:
    """What a network is trained in where ``dtype`` was asked for: float32 instead of bfloat16 that gives wrong numbers.

    On a CPU the gradient of the weights of a convolution in 3D that sees fewer slices along its first axis than its
    kernel has is no gradient at all in bfloat16 (torch 2.13, oneDNN 3.12, AVX-512): it holds what lay in memory. Such
    thin images are met at the coarsest level of a network that halves a patch too often
    (benchmarks/thin_convolutions.py).
    """
    if device.type != "cpu" or dtype is not torch.bfloat16:
        return dtype
    image = (len(config.channels), *config.sampling.patch[: config.network.dims])
    return None if thin_convolutions(network, image) else dtype


def compile_mode(wanted: str, device: torch.device) -> str | None:
    """The mode of ``torch.compile`` on a device; None if the network is not compiled."""
    is_cuda = device.type == "cuda"
    if wanted == "off" or (wanted == "auto" and not is_cuda):
        return None
    return "reduce-overhead" if wanted == "graphs" and is_cuda else "default"


def network_format(network: nn.Module) -> torch.memory_format:
    """The layout with the channels last for the images that a network takes, by its kernels' axes."""
    is_3d = any(parameter.ndim == 5 for parameter in network.parameters())
    return torch.channels_last_3d if is_3d else torch.channels_last


@torch.no_grad()
def put_channels_last(network: nn.Module) -> None:
    """Lay out the network's kernels with the channels last; their values and shapes stay."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def worker_count(wanted: int | str, process: Process) -> int:
    """Processes that prepare patches for one process of the run; see ``TrainingSection.workers``."""
    if isinstance(wanted, int):
        return wanted
    return 0 if process.device.type == "cpu" else min(_MOST_WORKERS, max(1, process.cores - 1))


@contextmanager
def repeatable(*, wanted: bool) -> Iterator[None]:
    """Within the block the same computation gives the same bits, or is refused; else torch may choose what is fast.

    References:
        https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    cudnn = torch.backends.cudnn
    was_wanted, was_tried = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
    environment = os.environ  # noqa: TID251 - cuBLAS listens to the environment only
    workspace = environment.get(_WORKSPACE)
    cudnn.benchmark = not wanted
    if wanted:
        environment.setdefault(_WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_wanted)
        cudnn.benchmark = was_tried
        if workspace is None:
            environment.pop(_WORKSPACE, None)
