"""Labels that cover a part of the image: slices and scribbles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import ball, run_config

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import read_label_map, write_label_map, write_volume
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import predict
from medseg.pipelines.train import train

IGNORED = 9
GRID = Geometry.from_spacing((20, 20, 20))


def truth_of(number: int) -> np.ndarray:
    """A ball in each half of the image."""
    rng = np.random.default_rng(number)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[ball(GRID.shape, rng.uniform(5, 7, 3), 4.5)] = 1
    labels[ball(GRID.shape, rng.uniform(12, 14, 3), 4.0)] = 2
    return labels


def on_slices(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Six of the twenty slices are labelled."""
    kept = np.full_like(labels, IGNORED)
    some = rng.choice(labels.shape[2], 6, replace=False)
    kept[..., some] = labels[..., some]
    return kept


def scribbled(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """About one voxel in thirty is labelled, in short strokes."""
    kept = np.full_like(labels, IGNORED)
    for i, j, k in rng.integers(0, 18, (90, 3)):
        kept[i : i + 3, j, k] = labels[i : i + 3, j, k]
    return kept


@pytest.fixture(
    params=[pytest.param(on_slices, id="slices"), pytest.param(scribbled, id="scribbles", marks=pytest.mark.slow)]
)
def cases(request, tmp_path) -> Path:
    """Four training and two validation cases, all of them labelled in part; one test case that is labelled whole."""
    folder = tmp_path / "cases"
    rows = ["case,split,label,image.MR"]
    for number in range(7):
        rng, labels = np.random.default_rng((number, 1)), truth_of(number)
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, GRID.shape)
        write_volume(folder / f"{number}.nii.gz", Volume(image[None].astype(np.float32), GRID))
        split = "train" if number < 4 else "validation" if number < 6 else "test"
        shown = labels if split == "test" else request.param(labels, rng)
        write_label_map(folder / f"{number}_label.nii.gz", LabelMap(shown, GRID))
        rows.append(f"c{number},{split},{number}_label.nii.gz,{number}.nii.gz")
    (folder / "manifest.csv").write_text("\n".join(rows))
    (folder / "labels.json").write_text(f'{{"one": 1, "two": 2, "ignore": {IGNORED}}}')
    return folder


def test_a_part_of_the_labels_teaches_the_whole_structure(cases, tmp_path):
    structures = [{"name": "one", "value": 1}, {"name": "two", "value": 2}]
    tiny = run_config(
        data={"folder": str(cases / "manifest.csv")},
        channels=[{"name": "MR"}],
        labels={"structures": structures, "ignore": IGNORED},
        network=run_config().network.model_dump() | {"features": (8, 16)},
        training={"budget": {"epochs": 6, "steps": 16}, "optimizer": {"lr": 0.01}, "precision": "fp32"},
        augmentation={"enabled": False},
    )
    result = train(tiny, tmp_path / "run")
    assert min(row["dice"] for row in result.rows()) > 0.75, "of what is labelled"
    assert read_bundle(result.bundle).facts.structures == {}, "what is labelled in part has no volume"

    predict(result.bundle, [cases / "manifest.csv"], tmp_path / "out")
    scores = evaluate(tmp_path / "out", cases / "manifest.csv", tmp_path / "report")
    rows = {(row.case, row.structure): row for row in scores.rows}
    assert min(rows["c6", name].dice for name in ("one", "two")) > 0.85, "of the whole"
    shown = read_label_map(cases / "4_label.nii.gz").array
    assert rows["c4", "one"].volume_reference == pytest.approx((shown == 1).sum() / 1000), "the rest is left out"
