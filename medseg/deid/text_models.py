"""The two networks that find and read text, run by onnxruntime.

Their weights (PP-OCRv6 small, Apache-2.0) come in the wheel of rapidocr. Of that package only the files are used: its
code imports an HTTP client, downloads what it misses, and sets up a log of its own.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
MULTIPLE = 32
"""The detector takes sides of a multiple of this."""
_DETECTOR, _READER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LINE_HEIGHT, _LEAST_WIDTH, _MOST_WIDTH = 48, 48, 2048
_QUIET = 4


@dataclass(frozen=True)
class ModelFiles:
    """Where the networks lie."""

    detector: Path
    reader: Path


def installed_models() -> ModelFiles | None:
    """The networks of the extra ``ocr``, found without importing anything of it; None if it is not installed."""
    package = importlib.util.find_spec("rapidocr")
    if package is None or package.origin is None or importlib.util.find_spec("onnxruntime") is None:
        return None
    folder = Path(package.origin).parent / "models"
    files = ModelFiles(folder / _DETECTOR, folder / _READER)
    return files if files.detector.is_file() and files.reader.is_file() else None


class TextModels:
    """Both networks, loaded when they are first asked; nothing leaves the process."""

    def __init__(self, files: ModelFiles, threads: int) -> None:
        self._files, self._threads = files, threads

    def likelihood(self, picture: Picture) -> NDArray[np.float32]:
        """How likely each pixel belongs to a line of text.

        Args:
            picture: Shape ``(rows, columns)`` or ``(rows, columns, 3)``, sides of a multiple of 32.

        Returns:
            Shape ``(rows, columns)``, from 0 to 1.
        """
        likelihood: NDArray[np.float32] = self._detector.run(None, {"x": _network_input(picture)})[0][0, 0]
        return likelihood

    def read(self, line: Picture) -> tuple[str, float]:
        """What a line of text says, and how sure that is, from 0 to 1.

        Args:
            line: Upright, shape ``(rows, columns)`` or ``(rows, columns, 3)``; of any size.
        """
        width = round(_LINE_HEIGHT * line.shape[1] / line.shape[0])
        width = min(max(width, _LEAST_WIDTH), _MOST_WIDTH)
        scores = self._reader.run(None, {"x": _network_input(scaled(line, _LINE_HEIGHT, width))})[0][0]
        # Connectionist temporal classification: class 0 is no letter, and repeats are one letter.
        best = scores.argmax(axis=1)
        is_letter = (best != 0) & np.append(True, best[1:] != best[:-1])
        if not is_letter.any():
            return "", 0.0
        letters = "".join(self._letters[index] for index in best[is_letter])
        return letters, float(scores.max(axis=1)[is_letter].mean())

    @functools.cached_property
    def _detector(self) -> Any:
        return self._session(self._files.detector)

    @functools.cached_property
    def _reader(self) -> Any:
        return self._session(self._files.reader)

    @functools.cached_property
    def _letters(self) -> list[str]:
        known = self._reader.get_modelmeta().custom_metadata_map["character"].splitlines()
        return ["", *known, " "]

    def _session(self, path: Path) -> Any:
        runtime: Any = importlib.import_module("onnxruntime")
        runtime.disable_telemetry_events()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest image
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def scaled(picture: Picture, rows: int, columns: int) -> Picture:
    """The picture at another size."""
    if picture.shape[:2] == (rows, columns):
        return picture
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC))


def _network_input(picture: Picture) -> NDArray[np.float32]:
    """Values from -1 to 1, shape ``(1, 3, rows, columns)``."""
    values = picture.astype(np.float32) / np.float32(127.5) - np.float32(1)
    planes = np.broadcast_to(values, (3, *values.shape)) if values.ndim == 2 else values.transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None])
