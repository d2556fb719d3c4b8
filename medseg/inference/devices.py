"""Which device computes, and in which precision."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from medseg.core.errors import InputError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class DeviceFacts:
    """What a device can do; enough to size a plan for it."""

    kind: Literal["cpu", "cuda", "mps"]
    cores: int
    memory_bytes: int
    has_bf16: bool

    def __str__(self) -> str:
        unit = "cores" if self.kind == "cpu" else "device"
        return f"{self.kind} ({self.cores} {unit}, {self.memory_bytes / 2**30:.0f} GiB)"


def resolve_devices(names: str) -> tuple[torch.device, ...]:
    """The devices of those names.

    Args:
        names: One of ``DeviceName``, ``cuda:1`` for a GPU by its number, several of these with commas between them, or
            ``all`` for all GPUs.

    Raises:
        InputError: If one is not there, or is given twice.
    """
    if names == "all" and torch.cuda.is_available():
        return tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    devices = tuple(_device(name.strip()) for name in names.split(","))
    if len(set(devices)) < len(devices) or (len(devices) > 1 and any(one.index is None for one in devices)):
        raise InputError(f"several devices are GPUs by their numbers, each once, such as cuda:0,cuda:1; got {names!r}")
    return devices


def resolve_device(name: str) -> torch.device:
    """The device of that name, the first of several; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: If the device is not there.
    """
    return resolve_devices(name)[0]


def _device(name: str) -> torch.device:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    kind, colon, index = name.partition(":")
    gpus = torch.cuda.device_count() if kind == "cuda" else 0
    is_there = index.isdecimal() and int(index) < gpus if colon else available.get(kind, False)
    if not is_there:
        there = [kind for kind, is_available in available.items() if is_available]
        numbers = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        raise InputError(f"device {name!r} is not there; available: {', '.join((*there, *numbers))}")
    return torch.device(kind, int(index)) if colon else torch.device(name)


def autocast_dtype(device: torch.device, precision: PrecisionName) -> torch.dtype | None:
    """The dtype that convolutions run in, or None for float32.

    ``auto`` takes bfloat16 where the device computes in it natively (measured twice as fast on CPUs that do), float16
    on older CUDA devices, float32 elsewhere.
    """
    if precision == "auto":
        if has_bf16(device):
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else None
    if precision == "fp16" and device.type == "cpu":
        raise InputError("precision fp16 is for GPUs; on a CPU use bf16 or fp32")
    return _DTYPES.get(precision)


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no public twin


def device_facts(device: torch.device) -> DeviceFacts:
    """What the device can do."""
    if device.type == "cuda":
        return DeviceFacts("cuda", 1, torch.cuda.get_device_properties(device).total_memory, has_bf16(device))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kind: Literal["cpu", "mps"] = "mps" if device.type == "mps" else "cpu"
    return DeviceFacts(kind, torch.get_num_threads(), memory, has_bf16(device))
