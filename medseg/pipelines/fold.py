"""One fold of a cross-validation: its network is trained, and predicts the cases that it never saw."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg.config.schemes import label_scheme
from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.case import CaseId
from medseg.core.files import write_text
from medseg.core.labels import LabelScheme
from medseg.core.progress import Prefixed, Progress, time_text
from medseg.data.cache import PreparedArrays
from medseg.data.dataset import Dataset
from medseg.data.folder_lock import locked
from medseg.data.folds import OUT_OF_FOLD, Folds
from medseg.data.joining import Joining
from medseg.data.load import load_case
from medseg.inference.bundle import BundleRecords, output_channels, read_bundle, write_bundle
from medseg.inference.bundle_files import WEIGHTS
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.training.distributed import Process
from medseg.training.finish import with_postprocessing
from medseg.training.held_out import hold_out, read_dice, sample_size, write_held_out
from medseg.training.own import NO_PARTS, OwnParts

from .card import record_run
from .fit import Cases, Run, fit, trained_bundle
from .localise import localise
from .out_of_fold import fold_folder, kept_file

_DONE = "done.json"
_PREDICTED_BY = "weights.txt"


@dataclass(frozen=True, eq=False)
class Whole:
    """A cross-validation.

    Attributes:
        config: The configuration of each fold.
        dataset: The cases.
        folds: Who validates when.
        folder: Of all folds.
        process: This process.
        progress: Told how far it is.
        parts: What the user brings.
    """

    config: RunConfig
    dataset: Dataset
    folds: Folds
    folder: Path
    process: Process
    progress: Progress
    parts: OwnParts = NO_PARTS

    @property
    def scheme(self) -> LabelScheme:
        """The structures."""
        return label_scheme(self.config.labels)

    def run(self, fold: int, to_come: int = 0) -> Run:
        """The run of one fold, and how many are trained after it."""
        return Run(
            self.config,
            self.dataset,
            self.folds.split(fold),
            fold_folder(self.folder, fold),
            self.folder / "prepared",
            self.process,
            Prefixed(self.progress, f"fold {fold}"),
            to_come,
            self.parts,
        )


def is_finished(whole: Whole, fold: int) -> bool:
    """Whether a fold was trained with this budget and has predicted all its cases."""
    done = fold_folder(whole.folder, fold) / OUT_OF_FOLD / _DONE
    try:
        return bool(json.loads(done.read_text(encoding="utf-8")) == _facts(whole, fold))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def reserved(whole: Whole, fold: int) -> Iterator[bool]:
    """Whether this run may train the fold: not if another does; the same in every process of this run."""
    folder = fold_folder(whole.folder, fold)
    with locked(folder, wait=False) if whole.process.is_main else contextlib.nullcontext(False) as is_free:
        yield bool(whole.process.from_main(float(is_free)))


def train_fold(
    whole: Whole, fold: int, prepared: Mapping[CaseId, PreparedArrays], *, to_come: int, resume: bool
) -> None:
    """Train a fold or go on with it, predict its held-out cases, and mark it as finished.

    The weights of the last step are kept, not those that did best on the held-out cases: these have no say in the
    training, so that their scores are those of new cases.
    """
    began, run = time.monotonic(), whole.run(fold, to_come)
    _train(run, prepared, resume=resume)
    if whole.process.is_main:
        _forget_others(whole, fold)
    whole.process.wait()
    _predict_held_out(whole, run, fold)
    whole.process.wait()
    if whole.process.is_main:
        write_text(run.folder / OUT_OF_FOLD / _DONE, json.dumps(_facts(whole, fold), indent=1) + "\n")
        _tell(whole, fold, to_come, time.monotonic() - began)


def _train(run: Run, prepared: Mapping[CaseId, PreparedArrays], *, resume: bool) -> None:
    """Train the network of a fold and leave it as a bundle without chosen clean-up."""
    cases = Cases([prepared[case] for case in run.split.training], [prepared[case] for case in run.split.validation])
    found = localise(run, cases, resume=resume, judged=False)
    state = fit(found.run, found.cases, resume=resume)
    if run.process.is_main:
        given = run.config.postprocessing or PostprocessingSection()
        bundle = with_postprocessing(trained_bundle(found.run, state.average.network, cases.training), given)
        write_bundle(run.folder / "bundle", found.joined(bundle), BundleRecords(run.split.parts, {}))
        (run.folder / "best.pt").unlink(missing_ok=True)  # the loop's, which a fold does not choose by
        record_run(run, state, None)


def _facts(whole: Whole, fold: int) -> dict[str, object]:
    """What a finished fold is known by."""
    return {
        "budget": whole.config.training.budget.model_dump(mode="json"),
        "weights": _digest(fold_folder(whole.folder, fold)),
        "cases": len(whole.folds.split(fold).validation),
    }


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "bundle" / WEIGHTS).read_bytes()).hexdigest()


def _forget_others(whole: Whole, fold: int) -> None:
    """Remove predictions that other weights made, as after a longer budget."""
    folder = fold_folder(whole.folder, fold)
    mark, weights = folder / OUT_OF_FOLD / _PREDICTED_BY, _digest(folder)
    if mark.is_file() and mark.read_text(encoding="ascii") == weights:
        return
    if mark.parent.exists():
        shutil.rmtree(mark.parent)
    write_text(mark, weights)


def _predict_held_out(whole: Whole, run: Run, fold: int) -> None:
    """Predict the cases that did not train, each process every n-th; those that are there already are left."""
    process, held_out = whole.process, run.split.validation
    mine = range(process.rank, len(held_out), process.world_size)
    files = {place: kept_file(whole.folder, fold, place) for place in mine}
    if process.is_main:
        run.progress.start("predicting held-out cases", len(mine))
    settings = PredictionSettings(device=whole.config.device, probabilities=True, postprocess=False)
    predictor = Predictor(read_bundle(run.folder / "bundle", whole.parts.network), settings)
    count = sample_size(len(whole.folds.validated), output_channels(whole.scheme))
    names = tuple(channel.name for channel in whole.config.channels)
    for place, path in files.items():
        if not path.exists():
            case = load_case(whole.dataset.case(held_out[place]), names, whole.scheme, Joining.of(whole.config))
            assert case.label is not None  # noqa: S101 - only labelled cases are in folds
            rng = np.random.default_rng((whole.config.training.seed, fold, place))
            write_held_out(path, hold_out(predictor.predict(case.image), case.label, whole.scheme, count, rng))
        if process.is_main:
            run.progress.advance()


def _tell(whole: Whole, fold: int, to_come: int, seconds: float) -> None:
    """One line: the Dice of the held-out cases, and the time left."""
    files = [kept_file(whole.folder, fold, place) for place in range(len(whole.folds.split(fold).validation))]
    known = np.ma.masked_invalid([read_dice(path) for path in files])
    means = dict(zip(whole.scheme.targets, known.mean(axis=0), strict=True))
    by_target = "  ".join(f"{name} {float(value):.3f}" for name, value in means.items() if value is not np.ma.masked)
    rest = f"; {to_come} to come, about {time_text(to_come * seconds)}" if to_come else ""
    whole.progress.note(f"fold {fold}: Dice of {len(files)} held-out cases {by_target or 'unknown'}{rest}")
