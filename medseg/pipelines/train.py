"""``medseg train``: a configuration becomes a trained model."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from medseg.config.budget import parse_budget
from medseg.config.load import dump_config, load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.case import Case
from medseg.core.errors import ConfigError, InputError
from medseg.core.files import write_text
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.data.cache import PreparedArrays, PreparedCases
from medseg.data.dataset import Dataset
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.data.split import Split, make_split, read_split, write_split
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, write_bundle
from medseg.inference.devices import autocast_dtype
from medseg.inference.predictor import PredictionSettings, Predictor, segment_prepared
from medseg.losses.build import build_loss
from medseg.networks.build import count_parameters
from medseg.planning.plan import mirror_axes
from medseg.training.assemble import new_loader, new_state
from medseg.training.callbacks import Callback, ProgressDisplay, TensorBoardWriter
from medseg.training.distributed import Process, joined_process
from medseg.training.finish import (
    ValidationScore,
    choose_postprocessing,
    expected_structures,
    predicted_pairs,
    validation_scores,
    with_postprocessing,
)
from medseg.training.loop import Ingredients, Trainer
from medseg.training.state import TrainState, read_checkpoint
from medseg.training.validate import Validator


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


def train(config: RunConfig, output: Path, *, resume: bool = False, progress: Progress = SILENT) -> TrainResult:
    """Train a network and leave it as a bundle.

    The run's folder gets ``config.yaml``, ``split.json``, ``prepared/`` (cases as the network sees them),
    ``tensorboard/``, ``last.pt`` (to resume from), ``best.pt`` and ``bundle/`` (the model).

    Args:
        config: What to train on what.
        output: Folder of the run; must be new or empty, unless resumed.
        resume: Go on where the run in that folder stopped; its configuration must be the same.
        progress: Told how far it is.

    Raises:
        InputError: If the data set or device is not there, or the folder holds a run.
        ConfigError: If a resumed run had another configuration or other cases.
        DataError: If a case cannot be read or does not fit the labels.
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    config = _safe_mirroring(config, progress)
    with joined_process(config.device) as process:
        dataset = _dataset(config)
        run = _Run(config, dataset, make_split(dataset, config.data.split), output, process, progress)
        if process.is_main:
            _claim(run, resume=resume)
        process.wait()
        result = _run(run, resume=resume)
        process.wait()
    progress.finish()
    return result


@dataclass(frozen=True, eq=False)
class _Run:
    config: RunConfig
    dataset: Dataset
    split: Split
    folder: Path
    process: Process
    progress: Progress

    @property
    def scheme(self) -> LabelScheme:
        return label_scheme(self.config.labels)


def _claim(run: _Run, *, resume: bool) -> None:
    """Make sure that the folder is this run's, and write down what it is."""
    file, split = run.folder / "config.yaml", run.folder / "split.json"
    if file.exists() and not resume:
        raise InputError(f"{str(run.folder)!r} holds a run already; pass --resume to go on, or name another folder")
    if not file.exists() and run.folder.is_dir() and any(path.name[0] != "." for path in run.folder.iterdir()):
        raise InputError(f"{str(run.folder)!r} holds other files; name a new or an empty folder")
    if file.exists():
        _check_same(run.config, load_config(file), file)
    if split.exists() and read_split(split) != run.split:
        raise ConfigError(
            f"the cases or their split are not those of {str(split)!r} any more, so validation cases may have trained; "
            "begin a new run"
        )
    write_text(file, dump_config(run.config))
    write_split(split, run.split)


def _check_same(config: RunConfig, begun: RunConfig, file: Path) -> None:
    """Refuse to go on if more than the budget, the device and the place of the data differ."""
    one, other = _fixed_part(config), _fixed_part(begun)
    changed = [name for name in one if one[name] != other[name]]
    if changed:
        raise ConfigError(
            f"{str(file)!r} differs from this configuration in {', '.join(changed)}; "
            "a run is resumed with the one it began with"
        )


def _fixed_part(config: RunConfig) -> dict[str, Any]:
    tree = config.model_dump(exclude={"device"})
    del tree["training"]["budget"], tree["data"]["folder"]
    return tree


def _run(run: _Run, *, resume: bool) -> TrainResult:
    training, validation = _prepared(run)
    amp_dtype = autocast_dtype(run.process.device, run.config.training.precision)
    state = new_state(run.config, run.scheme, run.process, amp_dtype)
    if run.process.is_main:
        run.progress.note(
            f"{count_parameters(state.network) / 1e6:.2g} million parameters on {run.process.device.type}"
        )
    if resume and (run.folder / "last.pt").exists():
        state.restore(read_checkpoint(run.folder / "last.pt", run.process.device))
    _fit(run, state, (training, validation), amp_dtype)
    if not run.process.is_main:
        return TrainResult(run.folder / "bundle", ())
    if (run.folder / "best.pt").exists():  # else no validation case had a Dice to choose by
        best = read_checkpoint(run.folder / "best.pt", run.process.device)
        state.average.network.load_state_dict(best["network"])
    channels = tuple(channel.name for channel in run.config.channels)
    facts = TrainingFacts.from_grids(
        channels, [case.source for case in training], expected_structures(training, run.scheme, run.progress)
    )
    return _finish(run, Bundle(run.config, run.scheme, state.average.network, facts))


def _prepared(run: _Run) -> tuple[list[PreparedArrays], list[PreparedArrays]]:
    """Training and validation cases; the main process prepares them, the others then find them done."""
    if not run.process.is_main:
        run.process.wait()
    cases = PreparedCases(run.folder / "prepared", run.config, run.scheme)
    ids = (*run.split.training, *run.split.validation)
    opened = cases.prepare([run.dataset.case(case) for case in ids], run.progress if run.process.is_main else SILENT)
    if run.process.is_main:
        run.process.wait()
    return opened[: len(run.split.training)], opened[len(run.split.training) :]


def _fit(
    run: _Run,
    state: TrainState,
    cases: tuple[list[PreparedArrays], list[PreparedArrays]],
    amp_dtype: torch.dtype | None,
) -> None:
    config, (training, validation) = run.config, cases
    weights = config.training.class_weights
    loss = build_loss(
        config.loss, run.scheme.is_exclusive, weights, deep_supervision=config.network.deep_supervision
    ).to(run.process.device)
    segment = partial(segment_prepared, config=config, scheme=run.scheme, amp_dtype=amp_dtype)
    validator = Validator(validation, run.scheme, segment, run.process)
    watchers: list[Callback] = []
    if run.process.is_main:
        if not validation:
            run.progress.note("no validation cases: the last weights are kept, and no clean-up is chosen")
        watchers = [ProgressDisplay(run.progress), TensorBoardWriter(run.folder / "tensorboard")]
    ingredients = Ingredients(new_loader(config, training, run.process), loss, validator, watchers)
    Trainer(run.process, config.training, ingredients, run.folder, amp_dtype).fit(state)


def _finish(run: _Run, bundle: Bundle) -> TrainResult:
    """Choose the clean-up (unless given) on the validation cases, score them on their own grids, write the bundle."""
    settings = PredictionSettings(device=run.config.device, postprocess=False)
    predictor = Predictor(bundle, settings)
    wanted = run.config.postprocessing
    with tempfile.TemporaryDirectory(prefix=".scoring-", dir=run.folder) as scratch:
        pairs = predicted_pairs(lambda case: predictor.predict(case.image).labels, _cases(run), Path(scratch))
        chosen = choose_postprocessing(pairs, run.scheme) if wanted is None else wanted
        scores = validation_scores(pairs, chosen, run.scheme)
    if wanted is None:
        _tell_clean_up(chosen, run.progress)
    result = TrainResult(run.folder / "bundle", tuple(scores))
    parts = {"train": run.split.training, "validation": run.split.validation, "test": run.split.test}
    split = {part: [str(case) for case in cases] for part, cases in parts.items()}
    rows = [asdict(score) | {"dice": None if math.isnan(score.dice) else score.dice} for score in scores]
    records = BundleRecords(split, {"validation": rows, "summary": result.rows()})
    bundle.network.cpu()
    write_bundle(result.bundle, with_postprocessing(bundle, chosen), records)
    return result


def _tell_clean_up(chosen: PostprocessingSection, progress: Progress) -> None:
    for step, names in chosen.model_dump().items():
        if names:
            progress.note(f"clean-up chosen on the validation cases: {step.replace('_', ' ')} of {', '.join(names)}")


def _cases(run: _Run) -> Iterator[Case]:
    run.progress.start("scoring validation cases", len(run.split.validation))
    for case in run.split.validation:
        yield load_case(run.dataset.case(case), tuple(c.name for c in run.config.channels), run.scheme)
        run.progress.advance()


def _dataset(config: RunConfig) -> Dataset:
    folder = config.data.folder
    if not folder.exists():
        raise InputError(f"data.folder {str(folder)!r} does not exist; say where the data is by --set data.folder=PATH")
    return open_dataset(folder, config.data.layout, label_scheme(config.labels))


def _safe_mirroring(config: RunConfig, progress: Progress) -> RunConfig:
    """The configuration without mirroring along axes that the labels forbid."""
    allowed, notes = mirror_axes(label_scheme(config.labels), config.preprocessing.orientation, config.network.dims)
    wanted = config.augmentation.mirror_axes
    kept = tuple(axis for axis in wanted if axis in allowed)
    for note in notes if kept != wanted else ():
        progress.note(note)
    return config.model_copy(update={"augmentation": config.augmentation.model_copy(update={"mirror_axes": kept})})
