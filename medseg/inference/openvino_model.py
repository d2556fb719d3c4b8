"""Networks computed by OpenVINO."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medseg.core.errors import InputError
from medseg.core.messages import hush_openvino

from .bundle_files import XML
from .runner import WindowByWindow
from .runtime_traced import graph_making, traced


def openvino() -> Any:
    """The package OpenVINO, kept from phoning home.

    Raises:
        InputError: If it is not installed.
    """
    hush_openvino()
    try:
        import openvino as package  # noqa: PLC0415 - takes a second, and is an extra
    except ImportError as error:
        raise InputError("runtime openvino needs a package that is missing: pip install 'medseg[openvino]'") from error
    return package


@cache
def _core() -> Any:
    """OpenVINO's core, one for as long as the program runs.

    Its CPU plugin gives the thread that loads it a stack for signal handlers, and unmaps it with the last model, in
    whatever thread that is let go: the next signal (Ctrl-C, say) would then end the program without a word.
    """
    return openvino().Core()


def openvino_model(network: nn.Module, shape: Sequence[int]) -> Any:
    """A network as OpenVINO's model, in float32.

    Args:
        network: In evaluation mode, on the CPU.
        shape: Of its input, ``(1, c, *spatial)``.
    """
    package = openvino()
    with graph_making(), _logging_kept():
        example = torch.zeros(*shape)
        try:
            model = package.convert_model(traced(network, shape), input=[list(shape)], example_input=example)
        except RuntimeError:  # such as Swin UNETR, whose shapes only torch.export follows
            model = package.convert_model(torch.export.export(network, (example,)))
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"logits"})
    return model


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """The converter silences the logs of the whole program, for good if it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, [*root.filters], [*root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def save_openvino(model: Any, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` into a folder; no number loses a digit."""
    openvino().save_model(model, folder / XML, compress_to_fp16=False)


def load_openvino(folder: Path) -> Any:
    """The model that lies in a folder."""
    return _core().read_model(folder / XML)


class OpenVINORunner(WindowByWindow):
    """A model of OpenVINO on the CPU, with as many threads as torch has.

    Args:
        model: Takes one window.
        amp_dtype: bfloat16 to compute in it where the CPU can; None for float32.
    """

    def __init__(self, model: Any, amp_dtype: torch.dtype | None = None) -> None:
        hints = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "bf16" if amp_dtype is torch.bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._request = request = _core().compile_model(model, "CPU", hints).create_infer_request()
        # Not through self: in a cycle, the model would stay in memory until garbage is collected.
        super().__init__(lambda window: request.infer([window])[0])
