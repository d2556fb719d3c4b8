"""A cohort of small images of two bright balls on disk, and runs that train on it in a second."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from factories import ball, run_config

from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume

SHAPE = (16, 16, 16)
CASES = ("c0", "c1", "c2", "c3", "c4", "c5")


def write_case(folder: Path, case: str, labels: np.ndarray, rng: np.random.Generator) -> None:
    """An image as bright as its labels are large, with noise, in ``images``, and its label map in ``labels``."""
    grid = Geometry.from_spacing(labels.shape)
    image = 100.0 * labels + rng.normal(0, 15, labels.shape)
    write_volume(folder / "images" / f"{case}.nii.gz", Volume(image[None].astype(np.float32), grid))
    write_label_map(folder / "labels" / f"{case}.nii.gz", LabelMap(labels, grid))


def write_balls(folder: Path, cases: Iterable[str] = CASES) -> Path:
    """Folders ``images`` and ``labels`` with these cases; the second ball is brighter."""
    rng = np.random.default_rng(0)
    for case in cases:
        labels = np.zeros(SHAPE, np.uint8)
        labels[ball(SHAPE, rng.uniform(4, 6, 3), 3.5)] = 1
        labels[ball(SHAPE, rng.uniform(10, 12, 3), 3.5)] = 2
        write_case(folder, case, labels, rng)
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    return folder


def write_manifest(
    folder: Path, patients: Mapping[str, str] | None = None, splits: Mapping[str, str] | None = None
) -> Path:
    """A manifest of the cases that lie there, those without a label too: whose each is, and what it is marked for."""
    rows = []
    for image in sorted((folder / "images").iterdir()):
        case = image.name.partition(".")[0]
        label = f"labels/{image.name}" if (folder / "labels" / image.name).exists() else ""
        marks = {"patient": (patients or {}).get(case, case), "split": (splits or {}).get(case, "")}
        rows.append({"case": case, **marks, "image.image": f"images/{image.name}", "label": label})
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def write_cases(folder: Path, patients: Mapping[str, str], splits: Mapping[str, str] | None = None) -> Path:
    """The manifest of a cohort of these cases."""
    return write_manifest(write_balls(folder, patients), patients, splits)


def small_config(
    source: Path, *, dims=3, epochs=2, steps=3, training: Mapping[str, object] | None = None, **changes
) -> RunConfig:
    """A run that takes about a second, and by default learns next to nothing.

    ``training`` is laid over its training section, other ``changes`` replace sections.
    """
    section = {"budget": {"epochs": epochs, "steps": steps}, "validate_every": 2, "precision": "fp32"}
    section |= {"optimizer": {"lr": 0.01}} | dict(training or {})
    tree = {
        "data": {"folder": str(source), "split": {"validation": 0.5}},
        "network": run_config(dims).network.model_dump() | {"features": (8, 16)},
        "sampling": {"patch": (12, 12, 12), "batch": 2} if dims == 3 else {"patch": (12, 12, 1), "batch": 8},
        "training": section,
    }
    return run_config(dims, **tree | changes)
