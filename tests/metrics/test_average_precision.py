"""COCO's accumulation; the numbers are pycocotools 2.0.11's on the same masks (made once with its COCOeval)."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.core.errors import DataError
from medseg.metrics.average_precision import IOU_THRESHOLDS, Detections, average_precision


def box(y, x, height, width):
    mask = np.zeros((64, 64), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def detections(predicted, reference):
    rows = [[(one & other).sum() / (one | other).sum() for other in reference] for one, _ in predicted]
    return Detections(
        np.array([score for _, score in predicted], float),
        np.array(rows, float).reshape(len(predicted), len(reference)),
    )


def first_case():
    references = [[box(4, 4, 20, 20), box(30, 4, 20, 20), box(4, 34, 10, 10)], [box(10, 10, 30, 30)]]
    predicted = [
        [(box(4, 4, 20, 20), 0.9), (box(30, 8, 20, 20), 0.8), (box(4, 38, 10, 10), 0.7), (box(50, 50, 8, 8), 0.95)],
        [(box(10, 10, 30, 27), 0.6), (box(12, 12, 26, 26), 0.5)],
    ]
    return predicted, references


def test_pycocotools_first_case():
    found = average_precision([detections(*one) for one in zip(*first_case(), strict=True)])
    assert found.mean == pytest.approx(0.3207920792079208, abs=1e-6)
    assert found.by_threshold[0.5] == pytest.approx(0.485148514851485, abs=1e-6)
    assert found.by_threshold[0.75] == pytest.approx(0.22772277227722773, abs=1e-6)
    assert found.by_threshold[0.95] == pytest.approx(0.128713, abs=1e-6)
    assert found.recall == pytest.approx(0.575, abs=1e-6)


def pycocotools_ap(images):
    """AP and AR of pycocotools on the same masks."""
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def encode(mask):
        return rle.encode(np.asfortranarray(mask.astype(np.uint8)))

    truth, results = [], []
    for image, (predicted, reference) in enumerate(images, start=1):
        for mask in reference:
            truth.append({"id": len(truth) + 1, "image_id": image, "category_id": 1, "segmentation": encode(mask),
                          "area": int(mask.sum()), "iscrowd": 0})  # fmt: skip
        results += [{"image_id": image, "category_id": 1, "segmentation": encode(m), "score": s} for m, s in predicted]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        numbers = range(1, len(images) + 1)
        pictures = [{"id": number, "height": 64, "width": 64} for number in numbers]
        coco.dataset = {"images": pictures, "categories": [{"id": 1}], "annotations": truth, "info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[8]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_on_random_boxes(seed):
    rng = np.random.default_rng(seed)

    def boxes(count):
        return [box(*rng.integers(0, 20, 2), *rng.integers(12, 40, 2)) for _ in range(count)]

    images = [
        (
            [(mask, float(score)) for mask, score in zip(boxes(4), rng.permutation(4) + rng.random(), strict=True)],
            boxes(3),
        )
        for _ in range(3)
    ]
    found = average_precision([detections(*one) for one in images])
    assert (found.mean, found.recall) == pytest.approx(pycocotools_ap(images), abs=1e-9)


def test_nothing_to_find_is_no_number_and_nothing_found_is_zero():
    nothing = average_precision([Detections(np.array([0.5]), np.zeros((1, 0)))])
    assert np.isnan(nothing.mean)
    assert np.isnan(list(nothing.by_threshold.values())).all()
    assert average_precision([Detections(np.zeros(0), np.zeros((0, 2)))]).mean == 0.0
    assert tuple(nothing.by_threshold) == IOU_THRESHOLDS


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="one finite score"):
        Detections(np.array([np.nan]), np.zeros((1, 1)))
