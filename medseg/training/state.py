"""What a run needs to go on after it was killed, and how it is kept."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg.core.errors import BundleError
from medseg.core.files import atomic_file
from medseg.inference.tensor_file import read_torch_file

from .ema import AveragedNetwork

CHECKPOINT = "last.pt"
"""The state after the last epoch, in the run's folder."""


@dataclass
class TrainState:
    """Everything that a resumed run needs, and nothing else.

    Random numbers need no state: each epoch is seeded anew from the seed and its number.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: AveragedNetwork
    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    best_dice: float = float("-inf")
    stale_validations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers, under names without a wrapper's prefix."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
            "counters": {name: getattr(self, name) for name in _COUNTERS},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what ``to_dict`` gave.

        Raises:
            BundleError: If it belongs to another network or optimizer; says in what they differ.
        """
        difference = weight_difference(saved.get("network"), self.network.state_dict())
        if difference:
            raise BundleError(f"the checkpoint belongs to another network than the configuration: {difference}")
        try:
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if saved["scaler"]:  # empty if the run began on a device that scales no loss
                self.scaler.load_state_dict(saved["scaler"])
            self.average.network.load_state_dict(saved["average"])
            self.average.updates = saved["updates"]
            for name in _COUNTERS:
                setattr(self, name, saved["counters"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise BundleError(
                "the checkpoint belongs to another optimizer or another version than the configuration; "
                "resume it with the configuration and the version that it began with"
            ) from error


def weight_difference(saved: object, wanted: Mapping[str, Tensor]) -> str:
    """One clause on how saved weights differ from those of a network in names and shapes; empty if they do not."""
    if not isinstance(saved, Mapping):
        return "it holds no network"
    clauses = []
    for names, what in ((saved.keys() - wanted.keys(), "unknown"), (wanted.keys() - saved.keys(), "missing")):
        if names:
            clauses.append(f"{len(names)} weights are {what}, such as {min(names)}")
    others = [name for name in wanted if name in saved and saved[name].shape != wanted[name].shape]
    if others:
        has, needs = (tuple(weights[others[0]].shape) for weights in (saved, wanted))
        clauses.append(f"{len(others)} have another shape, such as {others[0]}: {has} instead of {needs}")
    return "; ".join(clauses)


_COUNTERS = ("epoch", "step", "elapsed_s", "best_dice", "stale_validations")


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and numbers so that a crash leaves the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(content, buffer)  # into a file, it would hide the cause when the disk is full
    with atomic_file(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what ``write_checkpoint`` wrote; code in the file is never run.

    It comes to the CPU: weights go to where the network is, but AdamW keeps its counters where
    they come from, and on a GPU each step would wait for them.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = read_torch_file(path, torch.device("cpu"))
    except BundleError as error:
        raise BundleError(f"checkpoint {path.name} is missing or damaged; start the run anew or restore it") from error
    return content
