"""The folds of a cross-validation become one model, with what was chosen on their out-of-fold predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path

from medseg.core.files import write_text
from medseg.data.folder_lock import locked
from medseg.data.folds import OUT_OF_FOLD
from medseg.data.split import Split
from medseg.evaluation.result import Evaluation, finite
from medseg.inference.bundle import read_bundle
from medseg.inference.calibration import HALF, Calibration
from medseg.inference.ensemble import ensemble
from medseg.postprocess.clean import steps_in_words

from .fold import Whole
from .joint_model import Origin, write_joint
from .out_of_fold import Judged, Question, Temperature, fold_folder, judge, kept_predictions, temperature_of

SUMMARY = "summary.json"


def join_folds(whole: Whole) -> tuple[Path, Evaluation]:
    """Choose on the out-of-fold predictions, write and score their label maps, and write the model of all folds.

    Of two processes that finish the last folds at once, one waits for the other.

    Returns:
        The model's folder, and the scores of every case.

    Raises:
        DataError: If a prediction or a reference cannot be read.
        BundleError: If the model of a fold is damaged.
        OutputError: If something cannot be written.
    """
    with locked(whole.folder):
        kept = kept_predictions(whole.folder, whole.folds, whole.scheme)
        held_out = set(whole.folds.validated)
        cases = tuple(case.id for case in whole.dataset.cases if case.id in held_out)
        temperature = temperature_of(kept.sample(cases))
        question = Question(cases, whole.dataset, whole.scheme, whole.config.postprocessing)
        judged = judge(question, kept, whole.folder / OUT_OF_FOLD, whole.progress)
        calibration = Calibration(
            temperature=temperature.value,
            thresholds={name: _moved(value, temperature.value) for name, value in judged.thresholds.items()},
        )
        _tell(whole, judged, temperature)
        write_text(whole.folder / OUT_OF_FOLD / SUMMARY, _summary(whole, judged, temperature))
        bundles = [fold_folder(whole.folder, fold) / "bundle" for fold in range(len(whole.folds))]
        model = ensemble([read_bundle(bundle, whole.parts.network) for bundle in bundles])
        held_out_in = {f"fold {fold}": validation for fold, (_, validation) in enumerate(whole.folds.parts)}
        origin = Origin(whole.dataset, Split(whole.folds.cases, (), whole.folds.test), bundles, held_out_in)
        write_joint(whole.folder / "bundle", model, calibration, judged, origin)
    return whole.folder / "bundle", judged.evaluation


def _moved(threshold: float, temperature: float) -> float:
    """The probability that a threshold becomes when logits are divided by the temperature."""
    return float(1 / (1 + (1 / threshold - 1) ** (1 / temperature)))


def _summary(whole: Whole, judged: Judged, temperature: Temperature) -> str:
    """What was chosen, and which fold each case is of.

    Thresholds are those of the label maps beside it, whose probabilities have no temperature.
    """
    tree = {
        "temperature": temperature.value,
        "negative_log_likelihood": {name: finite(getattr(temperature, name)) for name in ("before", "after")},
        "thresholds": dict(judged.thresholds),
        "postprocessing": judged.postprocessing.model_dump(),
        "summary": judged.evaluation.summary_rows(),
        "fold_of": {case: fold for fold, (_, cases) in enumerate(whole.folds.parts) for case in cases},
    }
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def _tell(whole: Whole, judged: Judged, temperature: Temperature) -> None:
    progress = whole.progress
    if not math.isnan(temperature.before):
        progress.note(
            f"temperature {temperature.value:.3g}: negative log-likelihood of a voxel near the structures "
            f"{temperature.before:.3g} before, {temperature.after:.3g} after"
        )
    for name, threshold in judged.thresholds.items():
        progress.note(f"threshold of {name}: {threshold:g} instead of {HALF}")
    if whole.config.postprocessing is None:
        for step in steps_in_words(judged.postprocessing):
            progress.note(f"clean-up chosen out of fold: {step}")
