"""The forms in which a network leaves medseg: how each is written, and how it is computed again."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import torch
from torch import nn

from .bundle_files import BIN, XML
from .onnx_model import FILE, OnnxRunner, load_onnx, onnx_model, save_onnx
from .openvino_model import OpenVINORunner, load_openvino, openvino_model, save_openvino
from .runner import Runner, TorchRunner
from .runtime_traced import exported, graph_making, traced

PROGRAM, SCRIPT = "model.pt2", "models/model.ts"


class ExportForm(StrEnum):
    """What a network is written as."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH_EXPORT = "torch-export"
    MONAI_BUNDLE = "monai-bundle"

    @property
    def files(self) -> tuple[str, ...]:
        """The files that hold a network."""
        match self:
            case ExportForm.ONNX:
                return (FILE,)
            case ExportForm.OPENVINO:
                return XML, BIN
            case ExportForm.TORCH_EXPORT:
                return (PROGRAM,)
            case ExportForm.MONAI_BUNDLE:
                return (SCRIPT,)
            case _:
                assert_never(self)


def write_network(form: ExportForm, network: nn.Module, shape: Sequence[int], folder: Path) -> None:
    """Write a network into a folder.

    Args:
        form: As what.
        network: In evaluation mode, on the CPU.
        shape: Of its input, ``(1, c, *spatial)``.
        folder: Where to; it exists.

    Raises:
        InputError: If a package is missing.
    """
    match form:
        case ExportForm.ONNX:
            save_onnx(onnx_model(network, shape), folder)
        case ExportForm.OPENVINO:
            save_openvino(openvino_model(network, shape), folder)
        case ExportForm.TORCH_EXPORT:
            with graph_making():
                torch.export.save(exported(network, shape), folder / PROGRAM)
        case ExportForm.MONAI_BUNDLE:
            (folder / SCRIPT).parent.mkdir()
            with graph_making():
                traced(network, shape).save(str(folder / SCRIPT))
        case _:
            assert_never(form)


def open_network(form: ExportForm, folder: Path) -> Runner:
    """What computes the network that ``write_network`` wrote into a folder; only for one's own files."""
    match form:
        case ExportForm.ONNX:
            return OnnxRunner(load_onnx(folder))
        case ExportForm.OPENVINO:
            return OpenVINORunner(load_openvino(folder))
        case ExportForm.TORCH_EXPORT:
            with graph_making():
                return TorchRunner(torch.export.load(folder / PROGRAM).module())
        case ExportForm.MONAI_BUNDLE:
            with graph_making():
                return TorchRunner(torch.jit.load(str(folder / SCRIPT), map_location="cpu"))  # type: ignore[no-untyped-call]
        case _:
            assert_never(form)
