"""``medseg train``: a configuration becomes a trained model."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medseg.config.budget import parse_budget
from medseg.config.load import load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import Case
from medseg.core.errors import InputError
from medseg.core.progress import SILENT, Progress
from medseg.data.folds import FOLDS_FILE
from medseg.data.joining import Joining
from medseg.data.load import load_case
from medseg.data.split import make_split
from medseg.evaluation.dice_sheet import validation_sheet
from medseg.inference.bundle import Bundle, BundleRecords, output_channels, write_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.postprocess.clean import steps_in_words
from medseg.training.finish import (
    ValidationScore,
    choose_postprocessing,
    predicted_pairs,
    validation_scores,
    with_postprocessing,
)
from medseg.training.own import NO_PARTS, OwnParts, with_own_network

from .card import record_run
from .fit import Run, best_network, fit, opened_run, prepare_split, safe_mirroring, trained_bundle
from .localise import localise


@dataclass(frozen=True)
class TrainResult:
    """Where the model lies, and how it did on the validation cases."""

    bundle: Path
    scores: tuple[ValidationScore, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row a structure: cases that hold it and their mean Dice."""
        rows = []
        for structure in dict.fromkeys(score.structure for score in self.scores):
            known = [s.dice for s in self.scores if s.structure == structure and not math.isnan(s.dice)]
            rows.append(
                {"structure": structure, "cases": len(known), "dice": sum(known) / len(known) if known else None}
            )
        return rows


def read_run_config(path: Path, overrides: Sequence[str] = (), budget: str | None = None) -> RunConfig:
    """The configuration of a run: file, then overrides, then the budget, which changes the schedule only.

    Raises:
        ConfigError: If any of them is not valid.
    """
    config = load_config(path, overrides)
    if budget is None:
        return config
    limits = parse_budget(budget, config.training.budget.steps)
    return config.model_copy(update={"training": config.training.model_copy(update={"budget": limits})})


def train(
    config: RunConfig,
    output: Path,
    *,
    resume: bool = False,
    progress: Progress = SILENT,
    parts: OwnParts = NO_PARTS,
) -> TrainResult:
    """Train a network and leave it as a bundle.

    The run's folder gets ``config.yaml``, ``split.json``, ``prepared/`` (cases as the network sees them),
    ``tensorboard/``, ``last.pt`` (to resume from), ``best.pt`` and ``bundle/`` (the model). With a section
    ``localiser``, a small network is trained first, in the folder ``localiser/`` of the same form.

    Args:
        config: What to train on what.
        output: Folder of the run; must be new or empty, unless resumed.
        resume: Go on where the run in that folder stopped; its configuration must be the same.
        progress: Told how far it is.
        parts: A network, a loss or callbacks of one's own; those of the localiser are the usual ones.

    Raises:
        InputError: If the data set or device is not there, or the folder holds a run.
        ConfigError: If a resumed run had another configuration or other cases, or an own network does not fit.
        DataError: If a case cannot be read or does not fit the labels.
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    outputs = output_channels(label_scheme(config.labels))
    config = with_own_network(safe_mirroring(config, progress), parts.network, outputs)
    if (output / FOLDS_FILE).exists():
        raise InputError(f"{str(output)!r} holds a cross-validation; go on with --folds, or name another folder")
    with opened_run(config, output, make_split, resume=resume, progress=progress, parts=parts) as run:
        return _trained(run, resume=resume)


def _trained(run: Run, *, resume: bool) -> TrainResult:
    cases = prepare_split(run)
    found = localise(run, cases, resume=resume)
    state = fit(found.run, found.cases, resume=resume)
    if not run.process.is_main:
        return TrainResult(run.folder / "bundle", ())
    model = trained_bundle(found.run, best_network(run, state), cases.training)
    result = _finish(run, found.joined(model))
    record_run(run, state, validation_sheet(result.scores, run.dataset))
    return result


def _finish(run: Run, bundle: Bundle) -> TrainResult:
    """Choose the clean-up (unless given) on the validation cases, score them on their own grids, write the bundle."""
    settings = PredictionSettings(device=run.config.device, postprocess=False)
    predictor = Predictor(bundle, settings)
    wanted = run.config.postprocessing
    with tempfile.TemporaryDirectory(prefix=".scoring-", dir=run.folder) as scratch:
        pairs = predicted_pairs(lambda case: predictor.predict(case.image).labels, _cases(run), Path(scratch))
        chosen = choose_postprocessing(pairs, run.scheme) if wanted is None else wanted
        scores = validation_scores(pairs, chosen, run.scheme)
    if wanted is None:
        for step in steps_in_words(chosen):
            run.progress.note(f"clean-up chosen on the validation cases: {step}")
    result = TrainResult(run.folder / "bundle", tuple(scores))
    rows = [asdict(score) | {"dice": None if math.isnan(score.dice) else score.dice} for score in scores]
    records = BundleRecords(run.split.parts, {"validation": rows, "summary": result.rows()})
    write_bundle(result.bundle, with_postprocessing(bundle, chosen), records)
    return result


def _cases(run: Run) -> Iterator[Case]:
    run.progress.start("scoring validation cases", len(run.split.validation))
    for case in run.split.validation:
        names = tuple(channel.name for channel in run.config.channels)
        yield load_case(run.dataset.case(case), names, run.scheme, Joining.of(run.config))
        run.progress.advance()
