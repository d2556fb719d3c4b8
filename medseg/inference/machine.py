"""What a measurement of speed ran on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict

import medseg

_CPU_INFO = Path("/proc/cpuinfo")


class MachineFacts(BaseModel):
    """A machine and the software on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    """That this process may use."""
    threads: int
    """That torch computes with."""
    memory_gib: float | None
    gpu: str | None
    """The device's name; None if none computes."""
    system: str
    versions: dict[str, str]

    @classmethod
    def of(cls, device: torch.device, packages: Iterable[str] = ()) -> Self:
        """This machine.

        Args:
            device: Where the network computes.
            packages: Names of packages whose version matters beside those of torch and numpy.
        """
        return cls(
            cpu=_cpu_name(),
            cores=_cores(),
            threads=torch.get_num_threads(),
            memory_gib=_memory_gib(),
            gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            versions={"medseg": medseg.__version__} | _versions(("torch", "numpy", *packages)),
        )

    def __str__(self) -> str:
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.0f} GiB"
        gpu = "" if self.gpu is None else f"; {self.gpu}"
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        counts = ", ".join(
            f"{count} {what}{'s' * (count != 1)}" for count, what in ((self.cores, "core"), (self.threads, "thread"))
        )
        return f"{self.cpu}, {counts}{memory}{gpu}; {self.system}; {versions}"


def _cpu_name() -> str:
    text = _CPU_INFO.read_text(encoding="ascii", errors="replace") if _CPU_INFO.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _cores() -> int:
    """Cores that this process may use; not every system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
