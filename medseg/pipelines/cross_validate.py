"""``medseg train --folds``: a network a fold, scored on the cases that it never saw, and all of them as one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medseg.config.load import dump_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError, InputError
from medseg.core.files import write_text
from medseg.core.progress import SILENT, Progress
from medseg.data.cache import PreparedArrays
from medseg.data.dataset import Dataset
from medseg.data.folds import FOLDS_FILE, Folds, make_folds, read_folds, write_folds
from medseg.evaluation.result import Evaluation
from medseg.inference.bundle import output_channels
from medseg.inference.bundle_files import MOST_MEMBERS
from medseg.training.distributed import joined_process
from medseg.training.own import NO_PARTS, OwnParts, with_own_network

from .fit import CONFIG, check_folder, claim, has_begun, open_cases, prepare, safe_mirroring
from .fold import Whole, is_finished, reserved, train_fold
from .join_folds import join_folds


@dataclass(frozen=True)
class FoldOptions:
    """Which folds there are, and which of them are trained now.

    Attributes:
        count: How many; None for all of the split file, five where there is none.
        only: Numbers of the folds to train now, from 0; empty for all.
    """

    count: int | None = None
    only: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What came of a cross-validation.

    Attributes:
        bundle: The model of all folds; None as long as some are missing.
        evaluation: Scores of every case by the network that did not train on it; None likewise, and in all processes
            but the first.
        missing: Folds that are still to be trained.
    """

    bundle: Path | None = None
    evaluation: Evaluation | None = None
    missing: tuple[int, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row a structure; none as long as folds are missing."""
        return [] if self.evaluation is None else list(self.evaluation.summary_rows())


def cross_validate(
    config: RunConfig,
    output: Path,
    options: FoldOptions | None = None,
    *,
    resume: bool = False,
    progress: Progress = SILENT,
    parts: OwnParts = NO_PARTS,
) -> CrossValidation:
    """Train a network for each fold, score every case by the one that did not train on it, and join them to one model.

    The folder gets ``config.yaml``, ``folds.json``, ``prepared/`` (the cases, shared by all folds), ``fold-0/``,
    ``fold-1/``, … (each a run), ``out_of_fold/`` (a label map a case, and what ``evaluate`` writes) and ``bundle/``:
    the ensemble of the folds, with temperature, thresholds and clean-up chosen on the out-of-fold predictions. A test
    part of the split is in no fold and is not looked at.

    Folds may be trained in several sittings or on several machines that share the folder: a fold that another process
    is at is left to it, and whoever finishes the last one joins them.

    Args:
        config: What to train on what.
        output: Folder of the cross-validation; must be new or empty, or hold this one.
        options: Which folds.
        resume: Go on with folds that were begun; those that are finished stay.
        progress: Told how far it is.
        parts: A network, a loss or callbacks of one's own; each fold begins with a copy of the network.

    Raises:
        InputError: If the data set or device is not there, the folder holds something else, or a fold was begun and is
            not to be resumed.
        ConfigError: If the folds cannot be made, a patient would be on both sides of one, or the folder holds a
            cross-validation of another configuration or other folds.
        DataError: If a case cannot be read or does not fit the labels.
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    options = options or FoldOptions()
    outputs = output_channels(label_scheme(config.labels))
    config = with_own_network(safe_mirroring(config, progress), parts.network, outputs)
    with joined_process(config.device) as process:
        dataset = open_cases(config)
        folds = _folds(config, dataset, options.count)
        whole = Whole(config, dataset, folds, output, process, progress, parts)
        wanted = _wanted(options.only, len(folds))
        if process.is_main:
            _claim(whole, wanted, resume=resume)
        process.wait()
        opened = prepare(replace(whole.run(wanted[0]), progress=progress), folds.cases)
        _train(whole, wanted, {case.id: case for case in opened}, resume=resume)
        result = _joined(whole) if process.is_main else CrossValidation()
        process.wait()
    progress.finish()
    return result


def _folds(config: RunConfig, dataset: Dataset, count: int | None) -> Folds:
    folds = make_folds(dataset, config.data.split, count)
    if len(folds) > MOST_MEMBERS:
        raise ConfigError(f"a model joins at most {MOST_MEMBERS} networks, {len(folds)} folds were asked for")
    return folds


def _wanted(only: tuple[int, ...], count: int) -> tuple[int, ...]:
    unknown = [fold for fold in only if not 0 <= fold < count]
    if unknown:
        raise InputError(f"there is no fold {unknown[0]}; the folds are 0 to {count - 1}")
    return tuple(dict.fromkeys(only)) or tuple(range(count))


def _claim(whole: Whole, wanted: tuple[int, ...], *, resume: bool) -> None:
    """Make sure that the folder is this cross-validation's, and write down what it is."""
    folder, folds = whole.folder, whole.folder / FOLDS_FILE
    if (folder / "split.json").exists():
        raise InputError(f"{str(folder)!r} holds a run without folds; name another folder")
    check_folder(folder, whole.config)
    if folds.exists() and has_begun(folder) and read_folds(folds) != whole.folds:
        raise ConfigError(
            f"the cases or their folds are not those of {str(folds)!r} any more, so held-out cases may have trained; "
            "begin a new cross-validation"
        )
    begun = [fold for fold in wanted if (whole.run(fold).folder / CONFIG).exists()]
    if begun and not resume:
        raise InputError(
            f"fold {begun[0]} in {str(folder)!r} was begun already; pass --resume to go on, or name another folder"
        )
    write_text(folder / CONFIG, dump_config(whole.config))
    write_folds(folds, whole.folds)
    for fold in wanted:
        claim(whole.run(fold), resume=resume)


def _train(whole: Whole, wanted: tuple[int, ...], prepared: Mapping[CaseId, PreparedArrays], *, resume: bool) -> None:
    if whole.process.is_main and whole.config.training.patience is not None:
        whole.progress.note(
            "training.patience stops a fold by its held-out cases, so their scores are a little better than those of "
            "new cases; leave it out for scores that are not"
        )
    for place, fold in enumerate(wanted):
        with reserved(whole, fold) as is_mine:
            finished = bool(whole.process.from_main(float(is_finished(whole, fold))))
            if not is_mine or finished:
                if whole.process.is_main:
                    reason = "finished already" if finished else "another process is at it"
                    whole.progress.note(f"fold {fold}: {reason}")
                continue
            to_come = sum(not is_finished(whole, later) for later in wanted[place + 1 :])
            train_fold(whole, fold, prepared, to_come=to_come, resume=resume)


def _joined(whole: Whole) -> CrossValidation:
    missing = tuple(fold for fold in range(len(whole.folds)) if not is_finished(whole, fold))
    if missing:
        listed = ",".join(map(str, missing))
        whole.progress.note(
            f"to be trained before all can be joined: fold {listed}; pass --fold {listed}, here or where it is trained"
        )
        return CrossValidation(missing=missing)
    return CrossValidation(*join_folds(whole))
