"""Studies that a tiny model takes, and an engine that does them in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from dicom_factories import Grid, series_datasets, voxels, write_files
from factories import bundle
from pydicom.dataset import Dataset
from torch import Tensor, nn

from medseg.batch.engine import Tasks
from medseg.batch.outputs import ResultForm
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.batch.work import WorkSettings
from medseg.batch.worker import OpenWorker, done
from medseg.core.pseudonyms import ProjectKey
from medseg.inference.bundle import Bundle, BundleRecords, write_bundle
from medseg.inference.settings import PredictionSettings

CPU = PredictionSettings(device="cpu", precision="fp32")
KEY = ProjectKey(bytes(range(32)))
FITS = Grid(columns=14, rows=12, slices=10, spacing=(1.0, 1.25, 1.5), tilt_degrees=(12.0, -25.0, 7.0))
"""About 16 mm along each axis, as the images of the tiny model were."""
STUDY_UID, FRAME_UID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
OVERLAPPING = {
    "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
    "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "second", "structures": ["two"]}],
}
"""Labels of a model whose targets overlap."""


class Bands(nn.Module):
    """Sure of the first target in bright voxels and of the second in dark ones; of neither if ``above`` is large."""

    def __init__(self, above=0.5):
        super().__init__()
        self.above = above

    def forward(self, image: Tensor) -> Tensor:
        image = image[:, :1]
        return 20 * torch.cat([torch.zeros_like(image), image - self.above, -image - self.above], dim=1)


class Nested(nn.Module):
    """Two targets that overlap: all but the darkest voxels, and the brightest ones."""

    def forward(self, image: Tensor) -> Tensor:
        return 20 * torch.cat([image[:, :1] + 0.5, image[:, :1] - 0.5], dim=1)


def datasets(grid: Grid = FITS, low=-1000, **elements: object) -> list[Dataset]:
    """One series of a study."""
    common = {"StudyInstanceUID": STUDY_UID, "FrameOfReferenceUID": FRAME_UID}
    return series_datasets(grid, voxels(grid, low=low), **common | elements)


def write_study(folder: Path, grid: Grid = FITS, low=-1000, **elements: object) -> list[Path]:
    """Write one series of a study; its files."""
    return write_files(folder, datasets(grid, low, **elements))


def write_model(folder: Path, model: Bundle | None = None, **changes: object) -> Path:
    """Write the tiny model, or another, as a bundle."""
    write_bundle(folder, model or bundle(**changes), BundleRecords({}, {}))
    return folder


def write_key(path: Path) -> Path:
    path.write_text(KEY.secret.hex())
    path.chmod(0o600)
    return path


def settings(folder: Path, **changes: object) -> WorkSettings:
    """Work of the model in ``folder/model``, which is written if it is not there, for ``folder/out``."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    (folder / "out").mkdir(exist_ok=True)
    key = write_key(folder / "project.key")
    return WorkSettings(
        **{
            "bundle": folder / "model",
            "output": folder / "out",
            "key": key,
            "forms": (ResultForm.NIFTI,),
            "prediction": CPU,
        }
        | changes
    )


class Here:
    """Does the studies in this process, one after the other; made like ``LocalEngine``."""

    def __init__(self, open_worker: OpenWorker, limits: object = None):
        self.open_worker, self.did = open_worker, []

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        worker = self.open_worker(0)
        while not tasks.are_over:
            task = tasks.next()
            if task is None:
                time.sleep(0.01)
                continue
            self.did.append(task.name)
            yield done(worker, task, lambda _: None)


class Says:
    """An engine that says the same of each study and does nothing."""

    def __init__(self, status=Status.FAILED, reason="it may not be"):
        self.status, self.reason, self.did = status, reason, []

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        while (task := tasks.next()) is not None:
            self.did.append(task.name)
            yield StudyResult(task.name, task.version, self.status, self.reason)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def task_of(paths: list[Path], name="study-a", version="1") -> StudyTask:
    return StudyTask(name, tuple(sorted(map(str, paths))), version)
