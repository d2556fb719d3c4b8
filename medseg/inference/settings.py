"""What varies between runs of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .devices import PrecisionName

RuntimeName = Literal["auto", "torch", "torch-compile", "openvino", "onnx"]


@dataclass(frozen=True)
class PredictionSettings:
    """What varies between runs of one model; None takes what the bundle says.

    Attributes:
        device: Where the network computes: one of ``DeviceName``, or GPUs by their numbers, such as ``cuda:0,cuda:1``,
            or ``all`` of them.
        precision: What it computes in; ``auto`` takes 16 bits where the device is fast in them, ``int8`` needs a bundle
            that holds such a model (``medseg export --int8 --into-bundle``).
        overlap: Share that neighbouring windows overlap, in [0, 1).
        mirror: Whether to average over mirrored inputs, along the axes that training mirrored.
        batch: Windows (slices, for a 2D network) a forward pass; halved when memory runs out.
        probabilities: Whether to return probabilities.
        entropy: Whether to return an entropy map.
        agreement: Whether to return how far the members of the model agree; a model of one network says nothing.
        postprocess: Whether to clean up as the bundle says.
        skip_air: Whether windows that hold only air are taken for background without being looked at.
        structures: The targets that are wanted; the others count as background in the result. None named for all.
        runtime: What computes the network; ``auto`` is torch, or on a CPU OpenVINO where it converted it before.
    """

    device: str = "auto"
    precision: PrecisionName = "auto"
    overlap: float | None = None
    mirror: bool | None = None
    batch: int | None = None
    probabilities: bool = False
    entropy: bool = False
    agreement: bool = False
    postprocess: bool = True
    runtime: RuntimeName = "auto"
    skip_air: bool | None = None
    structures: tuple[str, ...] = ()
