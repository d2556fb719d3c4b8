"""A finished cross-validation, and two of them whose probabilities are averaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.config.load import load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.errors import BundleError, InputError
from medseg.core.files import atomic_folder, safe_name
from medseg.core.progress import Prefixed, Progress
from medseg.data.dataset import Dataset
from medseg.data.folds import FOLDS_FILE, OUT_OF_FOLD, Folds, read_folds
from medseg.data.split import Split
from medseg.evaluation.scores_file import SCORES, ModelScores, read_scores
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.calibration import Calibration, VoxelSample
from medseg.inference.ensemble import ensemble

from .fit import CONFIG
from .joint_model import Origin, write_joint
from .out_of_fold import Averaged, Judged, Kept, Question, judge, kept_predictions, temperature_of


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished cross-validation."""

    name: str
    folder: Path
    config: RunConfig
    folds: Folds
    scores: ModelScores

    @property
    def networks(self) -> int:
        """How many its model has."""
        return len(self.folds)

    @property
    def bundle(self) -> Path:
        """Folder of its model."""
        return self.folder / "bundle"

    @property
    def kept(self) -> Kept:
        """What its folds said about the cases that they did not train on."""
        return kept_predictions(self.folder, self.folds, label_scheme(self.config.labels))

    def write(self, folder: Path) -> None:
        """Copy its model."""
        with atomic_folder(folder) as partial:
            shutil.copytree(self.bundle, partial, dirs_exist_ok=True)


@dataclass(frozen=True, eq=False)
class RunPair:
    """Two of them, their probabilities averaged; what was chosen for both together, and how they score."""

    runs: tuple[FinishedRun, FinishedRun]
    scores: ModelScores
    dataset: Dataset
    judged: Judged
    temperature: float

    @property
    def networks(self) -> int:
        """How many their model has."""
        return sum(run.networks for run in self.runs)

    def write(self, folder: Path) -> None:
        """Write the model that has the networks of both."""
        calibration = Calibration(temperature=self.temperature, thresholds=dict(self.judged.thresholds))
        training, test = _together(run.folds.cases for run in self.runs), _together(run.folds.test for run in self.runs)
        patients = {one.id: one.patient for one in self.dataset.cases}
        trained = {patients.get(case) for case in training}  # one run may have kept aside what the other trained on
        test = tuple(case for case in test if patients.get(case) not in trained)
        origin = Origin(self.dataset, Split(training, (), test), [run.bundle for run in self.runs])
        write_joint(folder, _joined(self.runs), calibration, self.judged, origin)


def read_run(folder: Path, name: str) -> FinishedRun:
    """The cross-validation in a folder.

    Raises:
        InputError: If it is not finished.
        ConfigError: If its configuration or its folds are damaged.
        ReadError: If its scores are.
    """
    scores = folder / OUT_OF_FOLD / SCORES
    if not scores.is_file():
        raise InputError(f"{str(folder)!r} has no out-of-fold scores yet; finish it by medseg train --folds --resume")
    config, folds = load_config(folder / CONFIG), read_folds(folder / FOLDS_FILE)
    return FinishedRun(name, folder, config, folds, read_scores(scores, name))


def pair_of(
    runs: tuple[FinishedRun, FinishedRun], dataset: Dataset, output: Path, progress: Progress
) -> RunPair | None:
    """Two runs together, scored on the cases of both; None if they cannot be averaged, which a note tells.

    Both get one temperature; thresholds and clean-up are chosen anew, unless both configurations give the same.
    """
    name = " + ".join(run.name for run in runs)
    try:
        _joined(runs)
    except BundleError as error:
        progress.note(f"{name}: not averaged, {error}")
        return None
    one, other = (run.kept for run in runs)
    cases = tuple(case.id for case in dataset.cases if case.id in one.files and case.id in other.files)
    temperature = temperature_of(VoxelSample.joined((one.sample(cases), other.sample(cases)))).value
    given = {run.config.postprocessing for run in runs}
    question = Question(cases, dataset, one.scheme, given.pop() if len(given) == 1 else None)
    folder = output / safe_name(name)
    averaged = Averaged((one, other), [run.networks for run in runs], temperature)
    judged = judge(question, averaged, folder, Prefixed(progress, name))
    return RunPair(runs, read_scores(folder, name), dataset, judged, temperature)


def _joined(runs: Sequence[FinishedRun]) -> Bundle:
    return ensemble([read_bundle(run.bundle) for run in runs])


def _together(parts: Iterable[Sequence[CaseId]]) -> tuple[CaseId, ...]:
    return tuple(dict.fromkeys(case for part in parts for case in part))
