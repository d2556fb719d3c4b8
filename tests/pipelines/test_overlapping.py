"""Structures that overlap, from the labels of a clinic to a DICOM segmentation, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from batch_studies import settings, task_of
from dicom_factories import Grid, only_series, write_series
from factories import ball, run_config
from seg_factories import HEADER

from medseg.batch.outputs import ResultForm
from medseg.batch.records import Status
from medseg.batch.work import STUDIES, StudyWorker, open_model
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.data.layouts import open_dataset
from medseg.io.dicom_result import read_source
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import write_label_map
from medseg.io.label_files import read_outlines
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import PredictOptions, predict
from medseg.pipelines.train import train

GRID = Grid(columns=20, rows=20, slices=16, spacing=(1.0, 1.0, 1.25), origin=(0.0, 0.0, 0.0))
TARGETS = ("first", "second")


def masks_of(number: int) -> np.ndarray:
    """Two balls that share a lens, shape ``(2, column, row, slice)``."""
    shape = (GRID.columns, GRID.rows, GRID.slices)
    y, z = np.random.default_rng(number).uniform((8, 7), (11, 8.5))
    return np.stack([ball(shape, (x, y, z), 4.5) for x in (7.5, 12.0)])


def write_image(folder: Path, number: int) -> Geometry:
    """A series in which both balls are bright, the second twice as much, and the lens as much as both; its grid."""
    masks = masks_of(number)
    noise = np.random.default_rng((number, 1)).normal(0, 10, masks.shape[1:])
    write_series(folder, GRID, (100 + 60 * masks[0] + 120 * masks[1] + noise).astype(np.int16))
    return read_source(only_series(folder)).geometry


def write_masks(folder: Path, number: int, grid: Geometry) -> dict[str, object]:
    """A DICOM segmentation whose segments overlap."""
    scheme = LabelScheme(LabelScheme.from_names({name: place + 1 for place, name in enumerate(TARGETS)}).structures)
    path = folder / f"{number}.dcm"
    found = Segmentation(MultiLabelMap(masks_of(number), grid, TARGETS), scheme)
    write_segmentation(path, found, read_source(only_series(folder / f"ct-{number}")), HEADER)
    return {"label": path.name}


def write_regions(folder: Path, number: int, grid: Geometry) -> dict[str, object]:
    """A label map of what lies in the first ball, in the second, and in both."""
    first, second = masks_of(number)
    write_label_map(folder / f"{number}.nii.gz", LabelMap((first + 2 * second).astype(np.uint8), grid))
    return {"label": f"{number}.nii.gz"}


KINDS = {
    "segments that overlap": (write_masks, {"labels": {"first": 1, "second": 2}, "overlapping": True}),
    "regions of a label map": (write_regions, {"labels": {"first": [1, 3], "second": [2, 3]}}),
}


@pytest.mark.parametrize(
    "kind", ["segments that overlap", pytest.param("regions of a label map", marks=pytest.mark.slow)]
)
def test_both_structures_are_kept_to_the_end(tmp_path, kind):
    write, described = KINDS[kind]
    data = tmp_path / "data"
    cases = []
    for number in range(6):
        grid = write_image(data / f"ct-{number}", number)
        split = "validation" if number > 3 else "train"
        case = {"id": f"c{number}", "images": {"CT": f"ct-{number}"}, "split": split, "patient": f"p{number}"}
        cases.append(case | write(data, number, grid))
    (data / "manifest.json").write_text(json.dumps(described | {"cases": cases}))
    result = train(config(data), tmp_path / "run")
    assert [row["structure"] for row in result.rows()] == [*TARGETS]
    assert min(row["dice"] for row in result.rows()) > 0.9

    grid = write_image(tmp_path / "study", 7)
    chosen = settings(tmp_path, bundle=result.bundle, forms=(ResultForm.SEG, ResultForm.NIFTI))
    task = task_of(sorted((tmp_path / "study").iterdir()))
    done = StudyWorker(chosen, open_model(chosen)).process(task, lambda _: None)
    assert done.status is Status.DONE, done.reason
    (segmentation,) = (chosen.output / STUDIES).rglob("seg.dcm")
    read = read_outlines(segmentation, grid)
    assert read.scheme.names == TARGETS
    found = np.stack([read.scheme.mask(read.labels.reoriented("LPS"), name) for name in TARGETS])
    truth = masks_of(7)
    assert min(dice(one, other) for one, other in zip(found, truth, strict=True)) > 0.9
    assert dice(found.all(axis=0), truth.all(axis=0)) > 0.8, "the lens belongs to both"

    predict(result.bundle, [data / "manifest.json"], tmp_path / "out", PredictOptions())
    scores = evaluate(tmp_path / "out", data / "manifest.json", tmp_path / "report")
    assert {row.structure for row in scores.rows} == {*TARGETS}
    assert min(row.dice for row in scores.rows) > 0.9


def config(folder: Path):
    labels = open_dataset(folder / "manifest.json").scheme
    structures = [{"name": one.name, "value": one.value} for one in labels.structures]
    regions = [{"name": one.name, "structures": one.structures} for one in labels.regions]
    return run_config(
        data={"folder": str(folder)},
        channels=[{"name": "CT"}],
        labels={"structures": structures, "regions": regions, "overlapping": labels.overlapping},
        network=run_config().network.model_dump() | {"features": (8, 16)},
        training={"budget": {"epochs": 6, "steps": 15}, "optimizer": {"lr": 0.01}, "precision": "fp32"},
        augmentation={"enabled": False},
        postprocessing={},
    )


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
