"""Networks computed by ONNX Runtime."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medseg.core.errors import InputError

from .runner import WindowByWindow
from .runtime_traced import exported, graph_making

FILE = "model.onnx"
_REGISTRATION = "torch.onnx._internal.exporter._registration"
_MISSING = "runtime onnx needs a package that is missing: pip install 'medseg[onnx]'"


def onnx_model(network: nn.Module, shape: Sequence[int]) -> bytes:
    """A network as an ONNX model in float32, weights included; its input is ``image``, its output ``logits``.

    Args:
        network: In evaluation mode, on the CPU.
        shape: Of its input, ``(1, c, *spatial)``; more windows at once are possible where the network allows.

    Raises:
        InputError: If ONNX is not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 - torch.onnx needs it, and it is an extra
    except ImportError as error:
        raise InputError(_MISSING) from error
    logging.getLogger(_REGISTRATION).setLevel(logging.ERROR)  # torchvision is not needed
    with graph_making(), contextlib.redirect_stdout(sys.stderr):  # the exporter prints how far it is
        program = torch.onnx.export(
            exported(network, shape), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False
        )
    if program is None:
        raise AssertionError("torch.onnx.export gives a program if it is given no file")
    content: bytes = program.model_proto.SerializeToString()
    return content


def save_onnx(model: bytes, folder: Path) -> None:
    """Write ``model.onnx`` into a folder."""
    (folder / FILE).write_bytes(model)


def load_onnx(folder: Path) -> bytes:
    """The model that lies in a folder."""
    return (folder / FILE).read_bytes()


class OnnxRunner(WindowByWindow):
    """An ONNX model on the CPU, with as many threads as torch has.

    Args:
        model: The content of its file.

    Raises:
        InputError: If ONNX Runtime is not installed.
    """

    def __init__(self, model: bytes) -> None:
        self._session = session = _session(model)
        name = session.get_inputs()[0].name
        # Not through self: in a cycle, the model would stay in memory until garbage is collected.
        super().__init__(lambda window: session.run(None, {name: window})[0])


def _session(model: bytes) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError(_MISSING) from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
