"""Images of two bright balls on disk, and tiny runs on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from factories import ball, run_config

from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume


class Notes:
    """Progress that remembers what it was told to say."""

    start = advance = finish = lambda *_: None

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


def write_balls(folder: Path, count=6) -> Path:
    """Folders ``images`` and ``labels`` with so many cases; the second ball is brighter."""
    rng = np.random.default_rng(0)
    for number in range(count):
        grid = Geometry.from_spacing((20, 20, 20))
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, rng.uniform(5, 7, 3), 4.5)] = 1
        labels[ball(grid.shape, rng.uniform(12, 14, 3), 4.0)] = 2
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, grid.shape)
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(image[None].astype(np.float32), grid))
        write_label_map(folder / "labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    return folder


@dataclass(frozen=True)
class BallCases:
    """A folder that ``write_balls`` wrote, some of its labels perhaps taken away."""

    folder: Path

    def manifest(self) -> Path:
        """A manifest of its cases, those without a label too."""
        rows = ["case,image.image,label"]
        for image in sorted((self.folder / "images").iterdir()):
            label = f"labels/{image.name}" if (self.folder / "labels" / image.name).exists() else ""
            rows.append(f"{image.name.partition('.')[0]},images/{image.name},{label}")
        (self.folder / "manifest.csv").write_text("\n".join(rows))
        return self.folder / "manifest.csv"


def ball_config(folder: Path, *, dims=3, epochs=2, steps=3, **changes) -> RunConfig:
    """A tiny run; ``init`` goes into its training section, other ``changes`` replace sections."""
    training = {"budget": {"epochs": epochs, "steps": steps}, "validate_every": 2, "precision": "fp32"}
    training |= {"optimizer": {"lr": 0.01}} | {key: changes.pop(key) for key in ("init",) if key in changes}
    data = {"folder": str(folder), "split": {"validation": 0.5}}
    sampling = {"patch": (16, 16, 16 if dims == 3 else 1), "batch": 2}
    return run_config(dims, **{"data": data, "training": training, "sampling": sampling} | changes)
