"""Small data sets of pictures on disk: COCO, Pascal VOC, Cityscapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dataset_factories import write_json
from PIL import Image

HEIGHT, WIDTH = 6, 8
SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]
"""Rows and columns 1 to 3."""
DOT = {"size": [HEIGHT, WIDTH], "counts": [14, 1, 33]}
"""Row 2, column 2."""


def picture(path: Path, seed=0, size=(HEIGHT, WIDTH), suffix="") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def indexed(path: Path, values) -> Path:
    """A palette PNG with the values of an array ``(row, column)``, as Pascal VOC and Cityscapes have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8), mode="P")
    image.putpalette(bytes(range(256)) * 3)
    image.save(path)
    return path


def annotation(segmentation, image=1, category=1, **more) -> dict:
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


def coco_file(
    path: Path, annotations: Sequence[dict], names=("a.png",), categories=("organ", "lesion"), **changes
) -> Path:
    """A COCO file of images numbered from 1 and categories numbered from 1."""
    images = [
        {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for number, name in enumerate(names, start=1)
    ]
    listed = [
        one if isinstance(one, dict) else {"id": number, "name": one} for number, one in enumerate(categories, start=1)
    ]
    return write_json(path, {"images": images, "annotations": list(annotations), "categories": listed} | changes)
