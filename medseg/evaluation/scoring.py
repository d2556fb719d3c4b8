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
from medseg.core.volume import Labels
from medseg.data.load import load_label
from medseg.io.label_files import has_own_grid, read_outlines
from medseg.metrics.table import StructureScore, score_case

from .pairs import Pair


class Problem(StrEnum):
    """Why a case has no scores."""

    FAILED = "failed"
    NO_PREDICTION = "no_prediction"
    NO_REFERENCE = "no_reference"


@dataclass(frozen=True)
class Unscored:
    """A case without scores, and why."""

    case: CaseId
    problem: Problem
    message: str


@dataclass(frozen=True)
class _Job:
    pair: Pair
    scheme: LabelScheme
    tolerance: float


Outcome = tuple[StructureScore, ...] | Unscored


def score_pairs(
    pairs: Sequence[Pair], scheme: LabelScheme, tolerance: float, workers: int = 1, progress: Progress = SILENT
) -> tuple[Outcome, ...]:
    """Scores of each pair, in the order of the pairs; the same for any number of workers.

    Args:
        pairs: The files.
        scheme: What their values mean.
        tolerance: Of the NSD, in mm (pixels where there is no spacing).
        workers: Processes; 1 for this one alone.
        progress: Told of each case.

    Raises:
        InputError: If a worker process dies.
    """
    jobs = [_Job(pair, scheme, tolerance) for pair in pairs]
    progress.start("scoring", len(jobs))
    outcomes: dict[int, Outcome] = {}
    for index, outcome in _run(jobs, min(workers, len(jobs))):
        outcomes[index] = outcome
        progress.advance()
    return tuple(outcomes[index] for index in range(len(jobs)))


def read_pair(pair: Pair, scheme: LabelScheme) -> tuple[Labels, Labels]:
    """Prediction and reference; array axes that point elsewhere are turned to the reference's, which loses nothing.

    Contours and surfaces are drawn on the grid of the other side, or of the image if the reference is of a data set.
    """
    if pair.files is not None:
        reference = load_label(pair.files, scheme)
        assert reference is not None  # noqa: S101 - it is a reference
    elif has_own_grid(pair.reference):
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
    try:
        predicted, reference = read_pair(job.pair, job.scheme)
        return score_case(job.pair.case, predicted, reference, job.scheme, job.tolerance)
    except MedsegError as error:
        return Unscored(job.pair.case, Problem.FAILED, str(error).removeprefix(f"case {job.pair.case}: "))
    except MemoryError:
        return Unscored(job.pair.case, Problem.FAILED, "out of memory; run with fewer workers")
