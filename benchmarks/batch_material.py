"""What the benchmarks of ``medseg batch`` work on: generated studies, and a U-Net of a size that a CPU trains.

A few bodies are drawn once; a study is one of them with UIDs and a patient ID of its own, put into the bytes of the
finished files. Each study has three series of 64 files: an axial CT of 128 x 128 pixels, a coronal reconstruction of
it, which fits the model less well, and a PET, which does not fit.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from medseg.core.case import Case
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.phantom.bodies import torso
from medseg.phantom.instances import SeriesHeader, StudyHeader, write_series
from medseg.phantom.people import Person, Visit
from medseg.phantom.studies import Protocol, write_cohort
from medseg.pipelines.plan import PlanOptions, plan
from medseg.pipelines.train import read_run_config, train

SHAPE = (128, 128, 64)
SPACINGS = ((2.9, 2.9, 3.25), (3.2, 3.2, 3.5), (3.0, 3.0, 3.75), (3.3, 3.3, 4.0))
"""Of the bodies; the network's lies in the middle, so that nearly every study is resampled, as in life."""
SERIES_A_STUDY, FILES_A_SERIES = 3, 64
_TRAINING_CASES = 12
_UID = "2.25.%d%038d"
_STUDY, _SERIES, _INSTANCE, _FRAME = range(1, 5)
_PATIENT = "ZX%08d"
_STAND_IN = 10**37


@dataclass(frozen=True, eq=False)
class Template:
    """The files of one body's study, with stand-ins where studies differ: header and the rest, by series."""

    series: tuple[tuple[tuple[bytes, bytes], ...], ...]


def study_uid(number: int) -> str:
    """Study instance UID of the study of that number."""
    return _UID % (_STUDY, number)


def bodies() -> list[Case]:
    """The bodies that all studies are of."""
    return [torso(seed, SHAPE, spacing) for seed, spacing in enumerate(SPACINGS)]


def write_studies(folder: Path, cases: Sequence[Case], studies: int) -> None:
    """Write studies, 192 files each, in ``folder/study-00000/series-0/IM00000.dcm`` and so on."""
    templates = [_template(case, seed) for seed, case in enumerate(cases)]
    context = multiprocessing.get_context("spawn")
    processes = min(4, len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(processes, context, _keep, (templates,)) as pool:
        for _ in pool.map(partial(_write_study, folder), range(studies), chunksize=max(1, studies // 64)):
            pass


def train_model(folder: Path, budget: str, settings: Sequence[str] = ()) -> Path:
    """The bundle that ``medseg plan`` and ``medseg train`` give for a dozen generated studies and a budget.

    ``settings`` change the plan, as ``medseg train --set`` does.
    """
    manifest = write_cohort(folder / "cohort", _TRAINING_CASES, protocol=Protocol(matrix=SHAPE[0]))
    plan(manifest, folder / "run.yaml", PlanOptions(budget=budget, device="cpu"))
    return train(read_run_config(folder / "run.yaml", ["device=cpu", *settings]), folder / "run").bundle


def _template(case: Case, seed: int) -> Template:
    """The three series of a body, as files with stand-ins."""
    rng = np.random.default_rng(seed)
    visit = Visit.draw(rng, Person.draw(rng, "FM"[seed % 2]))
    study = StudyHeader(visit, study_uid(_STAND_IN), _UID % (_FRAME, _STAND_IN))
    coronal = _coronal(case.image)
    kinds = [
        (case.image, SeriesHeader(2, "Torso venous", "AXIAL"), "CT"),
        (coronal, SeriesHeader(3, "Torso coronal", "AXIAL"), "CT"),
        (case.image, SeriesHeader(4, "PET WB", "AXIAL"), "PT"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for number, (volume, series, _) in enumerate(kinds):
            write_series(Path(folder, str(number)), [volume], study, series, rng)
        return Template(
            tuple(
                tuple(_parts(path, kind, derived=volume is coronal) for path in sorted(Path(folder, str(n)).iterdir()))
                for n, (volume, _, kind) in enumerate(kinds)
            )
        )


def _coronal(image: Volume) -> Volume:
    """Every second coronal plane of an axial volume, its rows doubled: again 128 x 128 x 64."""
    turned = image.reoriented("LIP")
    array = np.repeat(turned.array, 2, axis=2)[:, :, :, ::2]
    affine = turned.geometry.affine @ np.diag([1.0, 0.5, 2.0, 1.0])
    return Volume(array, Geometry((array.shape[1], array.shape[2], array.shape[3]), affine), image.channels)


def _parts(path: Path, modality: str, *, derived: bool) -> tuple[bytes, bytes]:
    """A file, cut in two before its pixels, with stand-ins of fixed length in its header."""
    dataset = pydicom.dcmread(path)
    dataset.Modality = modality
    dataset.SOPClassUID = PositronEmissionTomographyImageStorage if modality == "PT" else CTImageStorage
    if derived:
        dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]
    dataset.PatientID = _PATIENT % 0
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = _UID % (_SERIES, _STAND_IN), _UID % (_INSTANCE, _STAND_IN)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    raw, size = stream.getvalue(), len(dataset.PixelData)
    return raw[:-size], raw[-size:]


_TEMPLATES: list[Template] = []


def _keep(templates: list[Template]) -> None:
    _TEMPLATES.extend(templates)


def _write_study(folder: Path, number: int) -> None:
    template = _TEMPLATES[number % len(_TEMPLATES)]
    shared = {study_uid(_STAND_IN): study_uid(number), _UID % (_FRAME, _STAND_IN): _UID % (_FRAME, number)}
    shared[_PATIENT % 0] = _PATIENT % (number + 1)
    for index, files in enumerate(template.series):
        of_series = number * SERIES_A_STUDY + index
        shared[_UID % (_SERIES, _STAND_IN)] = _UID % (_SERIES, of_series)
        target = folder / f"study-{number:05d}" / f"series-{index}"
        target.mkdir(parents=True)
        for file, (head, rest) in enumerate(files):
            own = _UID % (_INSTANCE, of_series * FILES_A_SERIES + file)
            changes = {**shared, _UID % (_INSTANCE, _STAND_IN): own}
            (target / f"IM{file:05d}.dcm").write_bytes(_replaced(head, changes.items()) + rest)


def _replaced(head: bytes, changes: Iterable[tuple[str, str]]) -> bytes:
    for old, new in changes:
        head = head.replace(old.encode(), new.encode())
    return head
