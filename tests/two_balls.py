"""A data set of small images of two bright balls, and runs that train on it in a second."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from factories import ball, run_config

from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume

SHAPE = (16, 16, 16)


def write_cases(folder: Path, patients: Mapping[str, str], splits: Mapping[str, str] | None = None) -> Path:
    """A manifest of cases, the second ball brighter than the first: whose each is, and what it is marked for."""
    rng, rows = np.random.default_rng(0), []
    for case, patient in patients.items():
        grid = Geometry.from_spacing(SHAPE)
        labels = np.zeros(SHAPE, np.uint8)
        labels[ball(SHAPE, rng.uniform(4, 6, 3), 3.5)] = 1
        labels[ball(SHAPE, rng.uniform(10, 12, 3), 3.5)] = 2
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, SHAPE)
        write_volume(folder / "images" / f"{case}.nii.gz", Volume(image[None].astype(np.float32), grid))
        write_label_map(folder / "labels" / f"{case}.nii.gz", LabelMap(labels, grid))
        files = {"image.image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"}
        rows.append({"case": case, "patient": patient, "split": (splits or {}).get(case, ""), **files})
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def small_config(manifest: Path, *, dims=3, epochs=2, steps=3, **changes) -> RunConfig:
    """A run that takes about a second; by default it learns next to nothing."""
    training = {"budget": {"epochs": epochs, "steps": steps}, "validate_every": 2, "precision": "fp32"}
    training["optimizer"] = {"lr": 0.01}
    network = run_config(dims=dims).network.model_dump() | {"features": (8, 16)}
    sampling = {"patch": (16, 16, 16), "batch": 2} if dims == 3 else {"patch": (16, 16, 1), "batch": 8}
    tree = {"data": {"folder": str(manifest)}, "training": training, "network": network, "sampling": sampling}
    return run_config(dims=dims, **tree | changes)
