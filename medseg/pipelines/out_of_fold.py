"""Out-of-fold predictions become label maps, a choice of thresholds and clean-up, and scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import PostprocessingSection
from medseg.core.case import CaseId
from medseg.core.files import atomic_folder, safe_name, write_text
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.progress import Progress
from medseg.core.volume import Labels, Volume
from medseg.data.dataset import CaseFiles, Dataset
from medseg.data.folds import OUT_OF_FOLD, Folds
from medseg.data.load import load_label
from medseg.evaluation.pairs import PREDICTIONS, Matching, Pair
from medseg.evaluation.result import Evaluation
from medseg.inference.calibration import (
    Calibration,
    VoxelSample,
    fit_temperature,
    fit_thresholds,
    negative_log_likelihood,
)
from medseg.inference.outcomes import Done, PredictionRun
from medseg.io.formats import image_stem, write_labels
from medseg.postprocess.clean import clean
from medseg.training.finish import Pair as LabelPair
from medseg.training.finish import chosen_clean_up, clean_up_gains
from medseg.training.held_out import decided, read_held_out, read_sample, tempered

from .evaluate import EvaluateOptions, evaluate_pairs


class Predictions(Protocol):
    """What a configuration, or several together, say about cases that they did not train on."""

    def probabilities(self, case: CaseId) -> Volume:
        """A map a target, on the image's own grid."""

    def labels(self, case: CaseId, calibration: Calibration) -> Labels:
        """By the thresholds of a calibration, without clean-up."""


@dataclass(frozen=True, eq=False)
class Kept:
    """The predictions that the folds of one run left.

    Attributes:
        files: By case; each of the one fold that did not train on it.
        scheme: The targets.
    """

    files: Mapping[CaseId, Path]
    scheme: LabelScheme

    def probabilities(self, case: CaseId) -> Volume:
        """See ``Predictions``."""
        held = read_held_out(self.files[case])
        return Volume(held.probabilities, held.geometry, self.scheme.targets)

    def labels(self, case: CaseId, calibration: Calibration) -> Labels:
        """See ``Predictions``."""
        return read_held_out(self.files[case]).labels(self.scheme, calibration)

    def sample(self, cases: Iterable[CaseId]) -> VoxelSample:
        """Some voxels of each case, to fit a temperature to."""
        return VoxelSample.joined(read_sample(self.files[case]) for case in cases)


@dataclass(frozen=True, eq=False)
class Averaged:
    """The mean of the probabilities of several runs, as the model of all their networks takes it.

    Attributes:
        parts: The runs.
        networks: How many each has; so much it counts.
        temperature: That logits are divided by before.
    """

    parts: Sequence[Kept]
    networks: Sequence[int]
    temperature: float

    def probabilities(self, case: CaseId) -> Volume:
        """See ``Predictions``."""
        total: NDArray[np.float16] | None = None
        for part, count in zip(self.parts, self.networks, strict=True):
            volume = part.probabilities(case)
            shared = np.float16(count / sum(self.networks)) * self._tempered(volume)
            total = shared if total is None else np.add(total, shared, out=total)
        assert total is not None  # noqa: S101 - there are several parts
        np.minimum(total, 1, out=total)  # nine ninths are a little more in half precision
        return Volume(total, volume.geometry, volume.channels)

    def labels(self, case: CaseId, calibration: Calibration) -> Labels:
        """See ``Predictions``."""
        volume = self.probabilities(case)
        return decided(np.asarray(volume.array, np.float16), volume.geometry, self.parts[0].scheme, calibration)

    def _tempered(self, volume: Volume) -> NDArray[np.float16]:
        array, exclusive = np.asarray(volume.array, np.float16), self.parts[0].scheme.is_exclusive
        return tempered(array, self.temperature, exclusive=exclusive)


@dataclass(frozen=True, eq=False)
class Question:
    """What is judged.

    Attributes:
        cases: Of the data set, each with a reference and an out-of-fold prediction.
        dataset: Where they are.
        scheme: The structures.
        postprocessing: Clean-up that is wanted; None to choose it.
    """

    cases: tuple[CaseId, ...]
    dataset: Dataset
    scheme: LabelScheme
    postprocessing: PostprocessingSection | None


@dataclass(frozen=True, eq=False)
class Temperature:
    """A temperature, and the negative log-likelihood of a voxel before and after it."""

    value: float
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Judged:
    """What was chosen on out-of-fold predictions, and how they score with it."""

    thresholds: Mapping[str, float]
    postprocessing: PostprocessingSection
    evaluation: Evaluation


def fold_folder(run: Path, fold: int) -> Path:
    """Where a fold of a cross-validation is trained."""
    return run / f"fold-{fold}"


def kept_file(run: Path, fold: int, place: int) -> Path:
    """Where a fold keeps its prediction of the case at that place among its validation cases."""
    return fold_folder(run, fold) / OUT_OF_FOLD / f"{place:05d}.npz"


def kept_predictions(run: Path, folds: Folds, scheme: LabelScheme) -> Kept:
    """The predictions of all folds of a run."""
    return Kept(
        {
            case: kept_file(run, fold, place)
            for fold, (_, validation) in enumerate(folds.parts)
            for place, case in enumerate(validation)
        },
        scheme,
    )


def judge(question: Question, predictions: Predictions, output: Path, progress: Progress) -> Judged:
    """Choose thresholds and clean-up, write the label maps that come of it, and score them.

    One case at a time is in memory. ``output`` gets a label map a case, ``predictions.csv`` and what ``evaluate``
    writes; a folder that was there is replaced.

    Raises:
        DataError: If a prediction or a reference cannot be read.
        OutputError: If something cannot be written.
    """
    thresholds = _thresholds(question, predictions, progress)
    calibration = Calibration(thresholds=dict(thresholds))
    chosen = question.postprocessing
    if chosen is None:
        progress.start("choosing clean-up", len(question.cases))
        gains = [clean_up_gains(pair, question.scheme) for pair in _pairs(question, predictions, calibration, progress)]
        chosen = chosen_clean_up(gains, question.scheme)
    with atomic_folder(output) as partial:
        progress.start("writing label maps", len(question.cases))
        pairs = _pairs(question, predictions, calibration, progress)
        cleaned = ((pair.case, clean(pair.predicted, chosen, question.scheme)) for pair in pairs)
        files = _written(partial, cleaned, question.scheme)
        matching = Matching(tuple(_file_pair(question.dataset.case(case), path) for case, path in files.items()))
        evaluation = evaluate_pairs(matching, question.scheme, partial, EvaluateOptions(), progress)
    return Judged(thresholds, chosen, evaluation)


def temperature_of(sample: VoxelSample) -> Temperature:
    """The temperature that makes the true labels of a sample most likely."""
    found = fit_temperature(sample.logits, sample.labels)
    before, after = (negative_log_likelihood(sample.logits / value, sample.labels) for value in (1.0, found))
    return Temperature(found, before, after)


def _thresholds(question: Question, predictions: Predictions, progress: Progress) -> Mapping[str, float]:
    if question.scheme.is_exclusive:
        return {}
    progress.start("choosing thresholds", len(question.cases))
    return fit_thresholds(_probabilities(question, predictions, progress), question.scheme)


def _probabilities(
    question: Question, predictions: Predictions, progress: Progress
) -> Iterator[tuple[NDArray[np.float16], Labels]]:
    for case in question.cases:
        volume = predictions.probabilities(case)
        yield np.asarray(volume.array, np.float16), _reference(question, case, volume.geometry)
        progress.advance()


def _pairs(
    question: Question, predictions: Predictions, calibration: Calibration, progress: Progress
) -> Iterator[LabelPair]:
    for case in question.cases:
        labels = predictions.labels(case, calibration)
        yield LabelPair(case, labels, _reference(question, case, labels.geometry))
        progress.advance()


def _reference(question: Question, case: CaseId, grid: Geometry) -> Labels:
    label = load_label(question.dataset.case(case), question.scheme, grid)
    assert label is not None  # noqa: S101 - only labelled cases are in folds
    return label.reoriented(grid.axis_codes)


def _written(folder: Path, labels: Iterable[tuple[CaseId, Labels]], scheme: LabelScheme) -> dict[CaseId, Path]:
    """A file a case, named after it, and ``predictions.csv``, as ``predict`` writes it."""
    files: dict[CaseId, Path] = {}
    for case, one in labels:
        is_picture = one.geometry.unit is LengthUnit.PIXEL and scheme.is_exclusive
        path = folder / f"{_free_name(case, files)}{'.png' if is_picture else '.nii.gz'}"
        write_labels(path, one, scheme)
        files[case] = path
    table = PredictionRun(tuple(Done(case, case, path, {}) for case, path in files.items()), ())
    write_text(folder / PREDICTIONS, table.csv())
    return files


def _free_name(case: CaseId, files: Mapping[CaseId, Path]) -> str:
    """The case as a file name that no other has, also where capitals do not count."""
    taken = {image_stem(path).casefold() for path in files.values()}
    names = (safe_name(case) if number == 1 else f"{safe_name(case)}-{number}" for number in itertools.count(1))
    return next(name for name in names if name.casefold() not in taken)


def _file_pair(files: CaseFiles, predicted: Path) -> Pair:
    assert files.label is not None  # noqa: S101 - only labelled cases are in folds
    return Pair(files.id, files.patient, predicted, files.label, files)
