"""Scores of many pairs of files, in one process or in several; a case that fails is a row and no end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import StrEnum

from medseg.core.case import CaseId
from medseg.core.errors import InputError, MedsegError
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Labels, Volume
from medseg.data.load import load_label
from medseg.io.formats import read_volume
from medseg.io.label_files import has_own_grid, has_whole_grid, read_outlines
from medseg.metrics.counts import check_grids, confusion_matrix, count_voxels, counts_from_matrix
from medseg.metrics.crops import LabelPair
from medseg.metrics.semantic import Matrix
from medseg.metrics.table import StructureScore, score_pair

from .calibration_scores import CaseCalibration, case_calibration, check_probabilities
from .instance_scores import CaseInstances, case_instances
from .pairs import Pair
from .settings import Settings


class Problem(StrEnum):
    """Why a case has no scores, or not all of them."""

    FAILED = "failed"
    NO_CALIBRATION = "no_calibration"
    NO_PREDICTION = "no_prediction"
    NO_REFERENCE = "no_reference"


@dataclass(frozen=True)
class Unscored:
    """A case without scores, or without some of them, and why."""

    case: CaseId
    problem: Problem
    message: str


@dataclass(frozen=True, eq=False)
class CaseScores:
    """All that was measured in one case.

    Attributes:
        rows: Scores of each target.
        confusion: Voxels by predicted (rows) and true class (columns); None where structures may overlap.
        instances: Of the structures whose instances are counted.
        calibration: Of the structures that the reference holds, where the model's probabilities are known.
        problem: Why the probabilities could not be used.
    """

    rows: tuple[StructureScore, ...]
    confusion: Matrix | None = None
    instances: tuple[CaseInstances, ...] = ()
    calibration: tuple[CaseCalibration, ...] = ()
    problem: Unscored | None = None


@dataclass(frozen=True)
class _Job:
    pair: Pair
    scheme: LabelScheme
    settings: Settings


Outcome = CaseScores | Unscored


def score_pairs(
    pairs: Sequence[Pair],
    scheme: LabelScheme,
    settings: Settings | None = None,
    workers: int = 1,
    progress: Progress = SILENT,
) -> tuple[Outcome, ...]:
    """Scores of each pair, in the order of the pairs; the same for any number of workers.

    Args:
        pairs: The files.
        scheme: What their values mean.
        settings: What is measured.
        workers: Processes; 1 for this one alone.
        progress: Told of each case.

    Raises:
        InputError: If a worker process dies.
        LabelError: If the settings name a structure that the scheme lacks.
    """
    settings = settings or Settings()
    settings.check(scheme)
    jobs = [_Job(pair, scheme, settings) for pair in pairs]
    progress.start("scoring", len(jobs))
    outcomes: dict[int, Outcome] = {}
    for index, outcome in _run(jobs, min(workers, len(jobs))):
        outcomes[index] = outcome
        progress.advance()
    return tuple(outcomes[index] for index in range(len(jobs)))


def read_pair(pair: Pair, scheme: LabelScheme) -> tuple[Labels, Labels]:
    """Prediction and reference; array axes that point elsewhere are turned to the reference's, which loses nothing.

    Contours and surfaces are drawn on the grid of the other side, or of the image if the reference is of a data set;
    and there lie DICOM segmentations, which may leave out slices.
    """
    if pair.files is not None:
        reference = load_label(pair.files, scheme)
        assert reference is not None  # noqa: S101 - it is a reference
    elif has_whole_grid(pair.reference) or (has_own_grid(pair.reference) and not has_whole_grid(pair.predicted)):
        reference = read_outlines(pair.reference, scheme=scheme).labels
    else:
        predicted = read_outlines(pair.predicted, scheme=scheme).labels
        return predicted, read_outlines(pair.reference, predicted.geometry, scheme).labels
    predicted = read_outlines(pair.predicted, reference.geometry, scheme).labels
    return predicted.reoriented(reference.geometry.axis_codes), reference


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[tuple[int, Outcome]]:
    if workers <= 1:
        yield from ((index, _score(job)) for index, job in enumerate(jobs))
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_score, job): index for index, job in enumerate(jobs)}
            yield from ((futures[future], future.result()) for future in as_completed(futures))
    except BrokenProcessPool as error:
        raise InputError("a worker process died, most likely for lack of memory; run with one worker") from error


def _score(job: _Job) -> Outcome:
    case = job.pair.case
    try:
        return _scores(job)
    except MedsegError as error:
        return Unscored(case, Problem.FAILED, _reason(case, error))
    except MemoryError:
        return Unscored(case, Problem.FAILED, "out of memory; run with fewer workers")


def _scores(job: _Job) -> CaseScores:
    case, scheme, settings = job.pair.case, job.scheme, job.settings
    predicted, reference = read_pair(job.pair, scheme)
    check_grids(predicted, reference)
    matrix = None
    if isinstance(predicted, LabelMap) and isinstance(reference, LabelMap):
        matrix = confusion_matrix(predicted, reference, scheme)
    counts = count_voxels(predicted, reference, scheme) if matrix is None else counts_from_matrix(matrix, scheme)
    pair = LabelPair.of(predicted, reference, scheme)
    maps, problem = _probabilities(job.pair, pair)
    by_target = {} if maps is None else dict(zip(scheme.targets, maps.array, strict=True))
    return CaseScores(
        score_pair(case, pair, counts, settings.scores),
        matrix if scheme.is_exclusive else None,
        tuple(case_instances(case, pair, name, by_target.get(name)) for name in settings.instances),
        () if maps is None else case_calibration(case, pair, maps),
        problem,
    )


def _probabilities(files: Pair, pair: LabelPair) -> tuple[Volume | None, Unscored | None]:
    """The probability maps beside a prediction; a map that is no good costs the calibration, not the scores."""
    if files.probabilities is None:
        return None, None
    try:
        return check_probabilities(read_volume(files.probabilities), pair), None
    except MedsegError as error:
        return None, Unscored(files.case, Problem.NO_CALIBRATION, _reason(files.case, error))
    except MemoryError:
        return None, Unscored(files.case, Problem.NO_CALIBRATION, "out of memory; run with fewer workers")


def _reason(case: CaseId, error: MedsegError) -> str:
    return str(error).removeprefix(f"case {case}: ")
