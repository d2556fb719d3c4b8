"""What varies between runs of one model."""

from __future__ import annotations

from dataclasses import dataclass

from .devices import DeviceName, PrecisionName


@dataclass(frozen=True)
class PredictionSettings:
    """What varies between runs of one model; None takes what the bundle says.

    Attributes:
        device: Where the network computes.
        precision: What it computes in; ``auto`` takes 16 bits where the device is fast in them.
        overlap: Share that neighbouring windows overlap, in [0, 1).
        mirror: Whether to average over mirrored inputs, along the axes that training mirrored.
        batch: Windows (slices, for a 2D network) a forward pass; halved when memory runs out.
        probabilities: Whether to return probabilities.
        entropy: Whether to return an entropy map.
        agreement: Whether to return how far the members of the model agree; a model of one network says nothing.
        postprocess: Whether to clean up as the bundle says.
    """

    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    overlap: float | None = None
    mirror: bool | None = None
    batch: int | None = None
    probabilities: bool = False
    entropy: bool = False
    agreement: bool = False
    postprocess: bool = True
