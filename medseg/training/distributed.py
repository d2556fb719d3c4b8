"""Who this process is among the processes of one run; the one place that reads torchrun's variables."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medseg.inference.devices import DeviceName, resolve_device

T = TypeVar("T")
# The main process alone prepares the cases and scores them in the end; by default the others would give up after ten
# minutes. A process that dies is noticed by torchrun at once.
_LONGEST_WAIT = dt.timedelta(hours=6)


@dataclass(frozen=True)
class Process:
    """One process of a run, alone or among others.

    What processes tell each other goes through main memory, so that no GPU has to be waited for; only gradients travel
    from GPU to GPU.

    Attributes:
        rank: Its number.
        world_size: All processes.
        device: Where its network runs.
        neighbours: Processes of the run on this machine, this one included.
    """

    rank: int
    world_size: int
    device: torch.device
    neighbours: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """Processor cores that it has to itself, at least one."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, usable // self.neighbours)

    def sum(self, value: Tensor) -> Tensor:
        """Sum of ``value`` over all processes, the same in each, on the device that ``value`` lies on."""
        if self.world_size == 1:
            return value
        shared = value.detach().to("cpu", copy=True)
        dist.all_reduce(shared)
        return shared.to(value.device)

    def all(self, value: T) -> list[T]:
        """The ``value`` of every process, in every process; in order of rank."""
        if self.world_size == 1:
            return [value]
        values = [value] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def share(self, network: nn.Module) -> None:
        """Give every process the main process's weights."""
        for tensor in network.state_dict().values() if self.world_size > 1 else ():
            dist.broadcast(tensor, src=0)

    def from_main(self, value: float) -> float:
        """The main process's ``value``, in every process."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world_size > 1:
            dist.barrier()


def is_main_process() -> bool:
    """Whether this process talks to the user; also known before it joins the others, and after it left them."""
    return os.environ.get("RANK", "0") == "0"  # noqa: TID251 - as below


@contextmanager
def joined_process(device: DeviceName) -> Iterator[Process]:
    """Join the group that torchrun set up, or run alone when it set up none."""
    environment = os.environ  # noqa: TID251 - torchrun speaks through the environment only
    kind = resolve_device(device)
    if "RANK" not in environment:
        yield Process(0, 1, kind)
        return
    if kind.type == "cuda":
        kind = torch.device("cuda", int(environment["LOCAL_RANK"]))
        torch.cuda.set_device(kind)
    dist.init_process_group("cpu:gloo,cuda:nccl" if kind.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        neighbours = int(environment.get("LOCAL_WORLD_SIZE", "1"))
        yield Process(dist.get_rank(), dist.get_world_size(), kind, neighbours)
    finally:
        dist.destroy_process_group()
