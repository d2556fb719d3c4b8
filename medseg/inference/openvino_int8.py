"""Networks in 8-bit integers: made by NNCF from windows of training cases, kept in a bundle, computed by OpenVINO.

::

    bundle/int8/          of a bundle of several networks: bundle/members/N/int8
      model.xml model.bin   OpenVINO's model
      int8.json             of which weights it was made, and what it costs
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from medseg.core.errors import BundleError, InputError
from medseg.core.messages import hush_openvino

from .bundle_files import BIN, RECORD, XML, read_json
from .openvino_model import load_openvino

LARGEST_FALL = 0.2
"""Points of Dice (hundredths) that a network may lose at most."""
_LARGEST_FILE = 4 * 2**30


class Int8Record(BaseModel):
    """How a network in integers came about, and how good it is beside the one that it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    """Digest of the weights that it was made of."""
    shape: tuple[int, ...]
    """Of its input, `(1, channels, *window)`."""
    windows: int
    """Windows of training cases that it was calibrated on."""
    training_cases: int
    held_out_cases: int
    """Cases that the scores below are of; none of them calibrated it."""
    dice: float
    """Mean Dice of the network in float32."""
    dice_int8: float
    """Mean Dice of the one in integers."""
    equal_voxels: float
    """Share of the voxels of those cases that get the same label."""
    versions: Mapping[str, str]

    @property
    def fall(self) -> float:
        """Points of Dice (hundredths) that it loses; negative if it gains."""
        return 100 * (self.dice - self.dice_int8)


def quantised(model: Any, windows: Sequence[NDArray[np.float32]]) -> Any:
    """A model of OpenVINO in 8-bit integers, their ranges fitted to what it computes for some windows.

    Args:
        model: In float32.
        windows: Inputs ``(c, *spatial)`` as they come up in use, at least one.

    Raises:
        InputError: If NNCF is not installed.

    References:
        Jacob et al., 2018, CVPR, arXiv:1712.05877.
    """
    hush_openvino()
    try:
        import nncf  # noqa: PLC0415 - takes seconds, and is an extra
    except ImportError as error:
        raise InputError("int8 needs a package that is missing: pip install 'medseg[openvino]'") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    examples = nncf.Dataset([window[np.newaxis] for window in windows])
    # Leaky ReLUs give values of both signs, but not alike: "mixed" fits an offset for activations.
    preset = nncf.QuantizationPreset.MIXED
    with contextlib.redirect_stdout(sys.stderr):  # its bars do not belong into what a command prints
        return nncf.quantize(model, examples, preset=preset, subset_size=len(windows))


def int8_versions() -> dict[str, str]:
    """Of the packages that make such a network."""
    return {name: version(name) for name in ("openvino", "nncf")}


def load_int8(folder: Path | None, weights: str, shape: Sequence[int]) -> Any:
    """The model in integers of a bundle's network.

    Args:
        folder: ``int8`` beside the network's weights; None if they lie nowhere.
        weights: Digest of those weights.
        shape: Of its input.

    Raises:
        BundleError: If it is not there, damaged, or was made of other weights or for another window.
    """
    if folder is None or not (folder / RECORD).is_file():
        raise BundleError(
            "the bundle holds no int8 model; medseg export BUNDLE --to openvino --int8 --calibrate-on DATA "
            "--into-bundle makes one"
        )
    record = read_int8_record(folder)
    if (record.weights, record.shape) != (weights, tuple(shape)):
        raise BundleError("the int8 model belongs to other weights or another window; make it anew by medseg export")
    sizes = [path.stat().st_size if (path := folder / name).is_file() else 0 for name in (XML, BIN)]
    if not 0 < min(sizes) <= max(sizes) <= _LARGEST_FILE:
        raise BundleError("the int8 model is missing, empty or too large; make it anew by medseg export")
    try:
        return load_openvino(folder)
    except RuntimeError as error:
        raise BundleError("the int8 model is damaged; make it anew by medseg export") from error


def read_int8_record(folder: Path) -> Int8Record:
    """What is known of the model in such a folder.

    Raises:
        BundleError: If it is not there, or damaged.
    """
    return read_json(folder / RECORD, Int8Record)
