"""Tensors in files from elsewhere: what is in them is data, and never run as code."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from medseg.core.errors import BundleError

_LARGEST = 32 * 2**30
_DEEPEST = 3
_DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch raises on files that are damaged, or made to harm."""


def read_torch_file(path: Path, device: torch.device, *, numpy_numbers: bool = False) -> Any:
    """What ``torch.save`` wrote: tensors, numbers, texts, and lists and mappings of them.

    Args:
        path: The file.
        device: Where the tensors go.
        numpy_numbers: Whether it may hold numpy's numbers too, as nnU-Net's checkpoints do. Making one of bytes runs
            numpy's own constructor of scalars and its numeric types, nothing that the file names besides.

    Raises:
        BundleError: If the file is missing, damaged, larger than 32 GiB, or holds anything that would have to be run.
    """
    try:
        _check_size(path)
        with torch.serialization.safe_globals(_numpy_numbers() if numpy_numbers else []):
            return torch.load(path, map_location=device, weights_only=True)  # noqa: TID251 - the door
    except _DAMAGED as error:
        raise BundleError(f"{path.name} is missing or damaged, or holds more than tensors") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named weights in a file, on the CPU: ``.safetensors``, or whatever ``torch.save`` wrote.

    A file of ``torch.save`` may hold them inside another mapping (``state_dict``, ``model``, …), and under names with
    the prefix of a wrapper (``module.``): the first mapping with tensors in it counts, and such prefixes go.

    Raises:
        BundleError: As ``read_torch_file``; also if it holds no named tensor.
    """
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise BundleError(f"{path.name} is missing or damaged") from error
    found = next(_states(read_torch_file(path, torch.device("cpu"))), None)
    if found is None:
        raise BundleError(f"{path.name} holds no named weights")
    return _unwrapped(found)


def _numpy_numbers() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What makes a numpy number of its bytes, under the names that numpy 1 and numpy 2 write; no type of objects."""
    scalar: Callable[..., Any] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]  # never a text
    types = {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*((scalar, name) for name in names), np.dtype, *sorted(types, key=lambda one: one.__name__)]


def _check_size(path: Path) -> None:
    """Archives of torch are not compressed: a small file that claims to unfold into a large one is none."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("compressed")
    if size > _LARGEST:
        raise ValueError("too large")


def _states(content: Any, depth: int = 0) -> Iterator[dict[str, Tensor]]:
    """Mappings that hold tensors, outermost first."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield tensors
    for value in content.values():
        yield from _states(value, depth + 1)


def _unwrapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "module."
    if all(name.startswith(prefix) for name in weights):
        return {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights
