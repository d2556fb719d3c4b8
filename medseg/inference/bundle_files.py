"""The files of a bundle: which there are, and how each is written and read; nothing in them is ever run as code."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from typing import TypeVar

import safetensors
import safetensors.torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from medseg.core.errors import BundleError

from .calibration import Calibration

WEIGHTS, CONFIG, FACTS = "model.safetensors", "config.yaml", "facts.json"
CALIBRATION, MEMBERS, LOCALISER = "calibration.json", "members", "localiser"
INT8, XML, BIN, RECORD = "int8", "model.xml", "model.bin", "int8.json"
MOST_MEMBERS = 32
_LARGEST_JSON = 50_000_000
_Model = TypeVar("_Model", bound=BaseModel)


def member_folders(folder: Path) -> tuple[Path, ...]:
    """The folders that hold the networks of a bundle: its own, or those of its members in order.

    Raises:
        BundleError: If it holds a network of its own beside members, or they are not numbered from 0 without a gap.
    """
    if not (folder / MEMBERS).exists():
        return (folder,)
    if (folder / WEIGHTS).exists():
        raise BundleError(f"bundle {str(folder)!r} holds {WEIGHTS} beside {MEMBERS}, so nobody can tell which counts")
    try:
        # One more than there may be is enough to refuse them, however many there are.
        found = sorted(path.name for path in islice((folder / MEMBERS).iterdir(), MOST_MEMBERS + 1))
    except OSError as error:
        raise BundleError(f"bundle {str(folder)!r}: {MEMBERS} cannot be read") from error
    wanted = [str(number) for number in range(len(found))]
    if not 1 <= len(found) <= MOST_MEMBERS or set(found) != set(wanted):
        raise BundleError(
            f"bundle {str(folder)!r}: {MEMBERS} must hold folders 0, 1, ... and nothing else, {MOST_MEMBERS} at most"
        )
    return tuple(folder / MEMBERS / number for number in wanted)


def model_files(folder: Path) -> tuple[str, ...]:
    """The files that a bundle's results depend on, relative to it; those of one network whether they are there or not.

    Raises:
        BundleError: As ``member_folders``.
    """
    extra = [CALIBRATION] if (folder / CALIBRATION).exists() else []
    if (folder / LOCALISER).exists():
        extra += [f"{LOCALISER}/{name}" for name in (WEIGHTS, CONFIG)]
    members = member_folders(folder)
    integers = [member / INT8 / name for member in members for name in (XML, BIN, RECORD)]
    extra += [path.relative_to(folder).as_posix() for path in integers if path.exists()]
    if members == (folder,):
        return (WEIGHTS, CONFIG, FACTS, *extra)
    parts = [f"{MEMBERS}/{member.name}/{name}" for member in members for name in (WEIGHTS, CONFIG)]
    return (CONFIG, FACTS, *extra, *parts)


def write_weights(path: Path, network: nn.Module) -> None:
    """Write what a network has learned; a weight that has several names in it is written under each."""
    weights: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        own = tensor.detach().cpu().contiguous()
        known = {one.untyped_storage().data_ptr() for one in weights.values()}
        weights[name] = own.clone() if own.untyped_storage().data_ptr() in known else own
    # Into a file, safetensors would hide the cause when the disk is full.
    path.write_bytes(safetensors.torch.save(weights))


def count_weights(path: Path, shown: str) -> int:
    """How many numbers a file of weights holds; none of them is read.

    Raises:
        BundleError: If the file is missing or damaged; ``shown`` names it.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(f"{shown} is missing or damaged") from error


def check_weights(network: nn.Module, path: Path, shown: str) -> None:
    """Make sure that the weights of a file are those of a network, which may be on the device ``meta``.

    Raises:
        BundleError: If the file is damaged or holds the weights of another network; ``shown`` names it.
    """
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(f"{shown} is damaged") from error
    if found != expected:
        raise BundleError(f"{shown}: the weights belong to another network than {CONFIG} beside it describes")


def load_weights(network: nn.Module, path: Path, shown: str) -> None:
    """Put the weights of a file into a network; no more of the file is read than fits into it.

    Raises:
        BundleError: As ``check_weights``.
    """
    check_weights(network, path, shown)
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(f"{shown} is damaged") from error
    network.load_state_dict(weights)


def read_json(path: Path, model: type[_Model]) -> _Model:
    """What a small JSON file says.

    Raises:
        BundleError: If it is missing, too large, or says something that the model does not allow.
    """
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise BundleError(f"{path.name} is larger than {_LARGEST_JSON} bytes")
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path.name} cannot be read: {error}") from error


def read_calibration(folder: Path) -> Calibration:
    """How a bundle corrects its probabilities; not at all without a file.

    Raises:
        BundleError: As ``read_json``.
    """
    path = folder / CALIBRATION
    return read_json(path, Calibration) if path.exists() else Calibration()


def write_json(path: Path, content: object) -> None:
    """Write plain values as JSON."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
