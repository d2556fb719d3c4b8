"""How other libraries are asked for the scores that benchmarks/metrics.py compares; each imported when it is asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint8]
Scores = Mapping[str, float]
TOLERANCE = 1.0
"""Of the NSD, in mm."""


@dataclass(frozen=True)
class MapPeer:
    """A library that scores two label maps as they are.

    Attributes:
        name: In the table.
        package: To install, where it is missing.
        module: To import.
        prepare: The label maps, predicted and true, in the library's own form, which is not timed.
        run: The Dice of each value from 1 on.
    """

    name: str
    package: str
    module: str
    prepare: Callable[[Labels], Any]
    run: Callable[[Any, Any, int], list[float]]


@dataclass(frozen=True)
class MaskPeer:
    """A library that scores one structure at a time, of which the masks are made before the clock starts.

    Attributes:
        name: In the table.
        package: To install, where it is missing.
        module: To import.
        most: How many of the structures it gets where the volume is large.
        rounding: Share of a score by which the library's own arithmetic may be off.
        run: Scores of a predicted and a true mask, named as ours under the same definition.
    """

    name: str
    package: str
    module: str
    most: int
    rounding: float
    run: Callable[[Mask, Mask, tuple[float, ...]], Scores]


def map_peers() -> list[MapPeer]:
    """For overlap."""
    return [
        MapPeer("MONAI DiceMetric", "monai", "monai", _tensor, _monai_dice),
        MapPeer("scikit-learn confusion_matrix", "scikit-learn", "sklearn", _flat, _sklearn_dice),
        MapPeer("SimpleITK LabelOverlapMeasures", "simpleitk", "SimpleITK", _image, _simpleitk_dice),
    ]


def mask_peers() -> list[MaskPeer]:
    """For distances."""
    return [
        MaskPeer("MONAI HD95, NSD, ASSD", "monai", "monai", 4, 5e-6, _monai_distances),
        MaskPeer("surface-distance: the same", "surface-distance", "surface_distance", 1000, 1e-6, _surface_distance),
        MaskPeer("SimpleITK distance maps: HD95, NSD, ASSD", "simpleitk", "SimpleITK", 2, 5e-6, _simpleitk_distances),
        MaskPeer("medpy hd95, assd", "medpy", "medpy", 1, 1e-6, _medpy),
    ]


def _tensor(labels: Labels) -> Any:
    import torch

    return torch.from_numpy(labels.copy())[None, None]


def _monai_dice(predicted: Any, reference: Any, count: int) -> list[float]:
    from monai.metrics import DiceMetric

    metric = DiceMetric(include_background=False, num_classes=count + 1)
    return [float(value) for value in metric(predicted, reference)[0]]


def _flat(labels: Labels) -> Any:
    return labels.reshape(-1)


def _sklearn_dice(predicted: Any, reference: Any, count: int) -> list[float]:
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(reference, predicted, labels=np.arange(count + 1))
    return [float(x) for x in (2 * np.diagonal(matrix) / (matrix.sum(axis=0) + matrix.sum(axis=1)))[1:]]


def _image(labels: Labels) -> Any:
    import SimpleITK

    return SimpleITK.GetImageFromArray(labels)


def _simpleitk_dice(predicted: Any, reference: Any, count: int) -> list[float]:
    import SimpleITK

    measures = SimpleITK.LabelOverlapMeasuresImageFilter()
    measures.Execute(predicted, reference)
    return [measures.GetDiceCoefficient(value) for value in range(1, count + 1)]


def _monai_distances(predicted: Mask, reference: Mask, spacing: tuple[float, ...]) -> Scores:
    import torch
    from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

    tensors = [torch.from_numpy(mask)[None, None] for mask in (predicted, reference)]
    metrics = {
        "hd95": HausdorffDistanceMetric(include_background=True, percentile=95),
        "nsd": SurfaceDiceMetric([TOLERANCE], include_background=True),
        "assd": SurfaceDistanceMetric(include_background=True, symmetric=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI 1.6 warns of its own calls
        return {name: float(metric(*tensors, spacing=list(spacing))) for name, metric in metrics.items()}


def _surface_distance(predicted: Mask, reference: Mask, spacing: tuple[float, ...]) -> Scores:
    import surface_distance as library

    found = library.compute_surface_distances(reference, predicted, spacing)
    true, said = library.compute_average_surface_distance(found)
    return {
        "surfel_hd95": library.compute_robust_hausdorff(found, 95),
        "surfel_nsd": library.compute_surface_dice_at_tolerance(found, TOLERANCE),
        "surfel_to_reference": said,
        "surfel_to_predicted": true,
    }


def _simpleitk_distances(predicted: Mask, reference: Mask, spacing: tuple[float, ...]) -> Scores:
    """Its distance map, read off at the other mask's contour, as its notebooks do; it has none of the three itself."""
    import SimpleITK

    contours, maps = [], []
    for mask in (predicted, reference):
        image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        contour = SimpleITK.LabelContour(image)
        distance = SimpleITK.SignedMaurerDistanceMap(contour, squaredDistance=True, useImageSpacing=True)
        contours.append(SimpleITK.GetArrayViewFromImage(contour).astype(np.bool_))
        maps.append(np.sqrt(np.abs(SimpleITK.GetArrayFromImage(distance)), dtype=np.float64))
    forth, back = maps[1][contours[0]].astype(np.float64), maps[0][contours[1]].astype(np.float64)
    both = np.concatenate([forth, back])
    return {
        "hd95": max(np.percentile(forth, 95), np.percentile(back, 95)),
        "nsd": float((both <= TOLERANCE).mean()),
        "assd": float(both.mean()),
    }


def _medpy(predicted: Mask, reference: Mask, spacing: tuple[float, ...]) -> Scores:
    """Without NSD, which it lacks; its ``hd95`` pools both directions."""
    from medpy.metric import binary

    return {
        "pooled_hd95": binary.hd95(predicted, reference, spacing),
        "assd": binary.assd(predicted, reference, spacing),
    }
