"""Who this process is among the processes of one run; the one place that reads torchrun's variables."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from medseg.inference.devices import DeviceName, resolve_device

# The main process alone prepares the cases and scores them in the end; by default the others would give up after ten
# minutes. A process that dies is noticed by torchrun at once.
_LONGEST_WAIT = dt.timedelta(hours=6)


@dataclass(frozen=True)
class Process:
    """One process of a run, alone or among others."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Sum of ``value`` over all processes, the same in each, on the device that ``value`` lies on."""
        if self.world_size == 1:
            return value
        shared = value.to(self.device)
        dist.all_reduce(shared)
        return shared.to(value.device)

    def from_main(self, value: float) -> float:
        """The main process's ``value``, in every process."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world_size > 1:
            dist.barrier()


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
    dist.init_process_group("nccl" if kind.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Process(dist.get_rank(), dist.get_world_size(), kind)
    finally:
        dist.destroy_process_group()
