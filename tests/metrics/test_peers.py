"""The same masks through SimpleITK 2.5, MONAI 1.6 and us."""

import numpy as np
import pytest
import SimpleITK
import torch
from factories import geometry, scheme
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.metrics.table import ScoreSettings, score_case


def blobs(shape, seed):
    """Smooth label map with three structures."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), [min(2, n / 4) for n in shape])
    return np.digitize(noise, np.quantile(noise, [0.7, 0.8, 0.9])).astype(np.uint8)


CASES = [((40, 36, 24), (0.8, 0.9, 2.5)), ((20, 30, 6), (1.0, 1.0, 4.0)), ((64, 48, 1), (0.5, 0.7, 5.0))]


def pair(shape, spacing):
    grid = Geometry(shape, geometry(shape, spacing).affine)
    one = blobs(shape, 1)
    other = np.where(np.random.default_rng(2).random(shape) < 0.15, blobs(shape, 3), one)
    return LabelMap(one, grid), LabelMap(other, grid)


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_overlap_equals_simpleitk(shape, spacing):
    predicted, reference = pair(shape, spacing)
    measures = SimpleITK.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(SimpleITK.GetImageFromArray(labels.array) for labels in (predicted, reference)))
    for value, row in enumerate(score_case("case", predicted, reference, scheme("a", "b", "c")), start=1):
        assert row.dice == pytest.approx(measures.GetDiceCoefficient(value))
        assert row.iou == pytest.approx(measures.GetJaccardCoefficient(value))
        assert 1 - row.recall == pytest.approx(measures.GetFalseNegativeError(value))
        assert 1 - row.precision == pytest.approx(measures.GetFalseDiscoveryRate(value))
        assert 1 - row.specificity == pytest.approx(measures.GetFalsePositiveError(value))
        mean = (row.volume_predicted + row.volume_reference) / 2
        assert row.volume_difference / mean == pytest.approx(measures.GetVolumeSimilarity(value))


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_volume_equals_simpleitk(shape, spacing):
    predicted, reference = pair(shape, spacing)
    image = SimpleITK.GetImageFromArray(predicted.array)
    image.SetSpacing(spacing[::-1])
    statistics = SimpleITK.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    for value, row in enumerate(score_case("case", predicted, reference, scheme("a", "b", "c")), start=1):
        assert row.volume_predicted == pytest.approx(statistics.GetPhysicalSize(value) / 1000)


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")  # MONAI 1.6 warns of itself
@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_distances_equal_monai(shape, spacing):
    predicted, reference = pair(shape, spacing)
    flat = shape[2] == 1
    batches = [
        torch.stack([torch.from_numpy(labels.array.squeeze() == value) for value in (0, 1, 2, 3)])[None].float()
        for labels in (predicted, reference)
    ]
    spacing = spacing[:2] if flat else spacing
    hd95 = compute_hausdorff_distance(*batches, percentile=95, spacing=spacing)[0]
    nsd = compute_surface_dice(*batches, class_thresholds=[1.2] * 3, spacing=spacing)[0]
    for index, row in enumerate(score_case("case", predicted, reference, scheme("a", "b", "c"), ScoreSettings(1.2))):
        assert row.hd95 == pytest.approx(float(hd95[index]), rel=1e-5)
        assert row.nsd == pytest.approx(float(nsd[index]), rel=1e-5)
