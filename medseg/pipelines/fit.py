"""One network trained in one folder: a run of its own, or a fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medseg.config.load import dump_config, load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig, SplitSection
from medseg.core.errors import ConfigError, InputError
from medseg.core.files import write_text
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.data.cache import PreparedArrays, PreparedCases
from medseg.data.dataset import Dataset
from medseg.data.layouts import open_dataset
from medseg.data.split import Split, read_split, write_split
from medseg.inference.bundle import Bundle, TrainingFacts, output_channels
from medseg.inference.bundle_files import LOCALISER
from medseg.inference.devices import autocast_dtype
from medseg.inference.predictor import segment_prepared
from medseg.losses.build import build_loss
from medseg.networks.size import network_size
from medseg.planning.plan import mirror_axes
from medseg.training.assemble import new_loader, new_state, new_trackers
from medseg.training.balance import balance_notes, loss_weights
from medseg.training.callbacks import Callback, ProgressDisplay
from medseg.training.distributed import Process, joined_process
from medseg.training.execution import THIN, trusted_dtype
from medseg.training.finish import expected_structures
from medseg.training.loop import Ingredients, Trainer
from medseg.training.own import NO_PARTS, OwnParts
from medseg.training.start import RECORD, check_start, start_from_model
from medseg.training.state import CHECKPOINT, TrainState, read_checkpoint
from medseg.training.validate import Validator

CONFIG = "config.yaml"
_FOLDS, _MOST_NAMED = "fold-*", 3
# When a run goes on; none of these changes what is learned, nor does the clean-up.
_MAY_CHANGE = ("budget", "workers", "compile", "channels_last", "tracking", "tracking_uri")


@dataclass(frozen=True, eq=False)
class Run:
    """What is trained on what, and where.

    Attributes:
        config: The configuration.
        dataset: The cases.
        split: Who trains and who validates.
        folder: Of this network: its checkpoints, its curves, in the end its bundle.
        prepared: Folder of the cases as a network sees them; the folds of a cross-validation share one.
        process: This process.
        progress: Told how far it is.
        to_come: Networks that are trained after this one, for the time left.
        parts: What the user brings.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    folder: Path
    prepared: Path
    process: Process
    progress: Progress
    to_come: int = 0
    parts: OwnParts = NO_PARTS

    @property
    def scheme(self) -> LabelScheme:
        """The structures."""
        return label_scheme(self.config.labels)

    @property
    def store(self) -> Path:
        """Where MLflow keeps its curves, if it does; beside the prepared cases."""
        return self.prepared.parent / "mlflow"


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of a run as its network sees them."""

    training: list[PreparedArrays]
    validation: list[PreparedArrays]


@contextmanager
def opened_run(
    config: RunConfig,
    output: Path,
    divide: Callable[[Dataset, SplitSection], Split],
    *,
    resume: bool,
    progress: Progress,
    parts: OwnParts = NO_PARTS,
) -> Iterator[Run]:
    """A run of its own, its folder claimed; no process leaves the block before all have done what it holds.

    Args:
        config: What to train on what.
        output: Folder of the run; must be new or empty, unless resumed.
        divide: Says who trains and who validates.
        resume: Go on where the run in that folder stopped.
        progress: Told how far it is.
        parts: What the user brings.

    Raises:
        InputError: As ``open_cases`` and ``claim``; also if the device is not there.
        ConfigError: As ``claim``, or if no split can be made.
        DataError: If the data set is not sound.
    """
    with joined_process(config.device) as process:
        dataset = open_cases(config)
        split = divide(dataset, config.data.split)
        run = Run(config, dataset, split, output, output / "prepared", process, progress, parts=parts)
        if process.is_main:
            claim(run, resume=resume)
        process.wait()
        yield run
        process.wait()
    progress.finish()


def open_cases(config: RunConfig) -> Dataset:
    """The data set of a configuration.

    Raises:
        InputError: If it is not there.
        DataError: If it is not sound.
    """
    folder = config.data.folder
    if not folder.exists():
        raise InputError(f"data.folder {str(folder)!r} does not exist; say where the data is by --set data.folder=PATH")
    return open_dataset(folder, config.data.layout, label_scheme(config.labels))


def safe_mirroring(config: RunConfig, progress: Progress) -> RunConfig:
    """The configuration without mirroring along axes that the labels forbid."""
    allowed, notes = mirror_axes(label_scheme(config.labels), config.preprocessing.orientation, config.network.dims)
    wanted = config.augmentation.mirror_axes
    kept = tuple(axis for axis in wanted if axis in allowed)
    for note in notes if kept != wanted else ():
        progress.note(note)
    return config.model_copy(update={"augmentation": config.augmentation.model_copy(update={"mirror_axes": kept})})


def claim(run: Run, *, resume: bool) -> None:
    """Make sure that the folder is this run's, and write down what it is.

    Raises:
        InputError: If the folder holds other files, or a run that is not to be resumed; also if the model is not there
            that a new run shall start from.
        ConfigError: If it holds a run of another configuration or other cases, or nothing can start from a model.
    """
    file, split = run.folder / CONFIG, run.folder / "split.json"
    if file.exists() and not resume:
        raise InputError(f"{str(run.folder)!r} holds a run already; pass --resume to go on, or name another folder")
    check_folder(run.folder, run.config)
    if split.exists() and has_begun(run.folder) and read_split(split) != run.split:
        raise ConfigError(
            f"the cases or their split are not those of {str(split)!r} any more, so validation cases may have trained; "
            "begin a new run"
        )
    if not (run.folder / CHECKPOINT).exists():
        check_start(run.config)
    write_text(file, dump_config(run.config))
    write_split(split, run.split)


def check_folder(folder: Path, config: RunConfig) -> None:
    """Refuse a folder that is neither new nor that of a run of this configuration.

    Budget, the place of the data, how it is computed and the clean-up may have changed; everything, as long as no epoch
    was trained.

    Raises:
        InputError: If it holds files, but no run.
        ConfigError: If it holds a run of another configuration; names what differs.
    """
    file = folder / CONFIG
    if not file.exists():
        if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
            raise InputError(f"{str(folder)!r} holds other files; name a new or an empty folder")
        return
    changed = _differences(_fixed_part(config), _fixed_part(load_config(file)))
    if changed and has_begun(folder):
        raise ConfigError(
            f"{str(file)!r} differs from this configuration in {', '.join(changed)}; "
            "a run is resumed with the one it began with"
        )


def has_begun(folder: Path) -> bool:
    """Whether a network of the run in a folder, or of its folds, has been trained for an epoch."""
    parts = (folder, folder / LOCALISER, *folder.glob(_FOLDS), *folder.glob(f"{_FOLDS}/{LOCALISER}"))
    return any((part / CHECKPOINT).exists() for part in parts)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys with dots of what differs, as ``sampling.batch``; of a section of which much differs its name."""
    found = []
    for name in dict.fromkeys((*one, *other)):
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            inner = [f"{name}.{key}" for key in _differences(first, second)]
            found += inner if len(inner) <= _MOST_NAMED else [name]
        elif first != second:
            found.append(name)
    return found


def _fixed_part(config: RunConfig) -> dict[str, Any]:
    tree = config.model_dump(exclude={"device", "postprocessing"})
    del tree["data"]["folder"]
    for name in _MAY_CHANGE:
        del tree["training"][name]
    return tree


def prepare(run: Run, ids: tuple[str, ...], *, labelled: bool = True) -> list[PreparedArrays]:
    """The cases of these names as the network sees them, in their order.

    The main process prepares them; the others then find them done.

    Args:
        run: Whose cases they are.
        ids: Their names.
        labelled: Whether their labels are needed.

    Raises:
        DataError: If a case cannot be read or does not fit the labels.
    """
    if not run.process.is_main:
        run.process.wait()
    cases = PreparedCases(run.prepared, run.config, run.scheme, labelled=labelled)
    opened = cases.prepare([run.dataset.case(case) for case in ids], run.progress if run.process.is_main else SILENT)
    if run.process.is_main:
        run.process.wait()
    return opened


def prepare_split(run: Run, *, labelled: bool = True) -> Cases:
    """The cases of the run's split; arguments and errors as of ``prepare``."""
    count = len(run.split.training)
    opened = prepare(run, (*run.split.training, *run.split.validation), labelled=labelled)
    return Cases(opened[:count], opened[count:])


def fit(run: Run, cases: Cases, *, resume: bool) -> TrainState:
    """The state of the run after its last step; the same in every process.

    Args:
        run: What is trained.
        cases: Its cases.
        resume: Go on from ``last.pt`` if it is there.

    Raises:
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    amp_dtype = autocast_dtype(run.process.device, run.config.training.precision)
    state = new_state(run.config, output_channels(run.scheme), run.process, amp_dtype, run.parts.network)
    amp_dtype = training_dtype(run, state, amp_dtype)
    resumed = resume and (run.folder / CHECKPOINT).exists()
    _start(run, state, resumed=resumed)
    if run.process.is_main:
        patch = run.config.sampling.patch[: run.config.network.dims]
        size = network_size(state.network, (len(run.config.channels), *patch))
        run.progress.note(f"{size} on {run.process.device.type}")
    if resumed:
        state.restore(read_checkpoint(run.folder / CHECKPOINT))
    return Trainer(run.process, run.config.training, _ingredients(run, cases, amp_dtype), run.folder, amp_dtype).fit(
        state
    )


def training_dtype(run: Run, state: TrainState, amp_dtype: torch.dtype | None) -> torch.dtype | None:
    """What the network is trained in; a note says if that is not what was asked for."""
    found = trusted_dtype(state.network, run.config, run.process.device, amp_dtype)
    if found is not amp_dtype and run.process.is_main:
        run.progress.note(THIN)
    return found


def best_network(run: Run, state: TrainState) -> nn.Module:
    """The averaged network of a run that is over, with the weights that did best on the validation cases."""
    if (run.folder / "best.pt").exists():  # else no validation case had a Dice to choose by
        best = read_checkpoint(run.folder / "best.pt")
        state.average.network.load_state_dict(best["network"])
    return state.average.network


def _start(run: Run, state: TrainState, *, resumed: bool) -> None:
    """Begin with another model's weights, if the configuration names one."""
    report = start_from_model(state, run.config, run.scheme, run.folder, resumed=resumed)
    if report is None or resumed or not run.process.is_main:
        return
    write_text(run.folder / RECORD, report.model_dump_json(indent=1))
    for line in report.lines():
        run.progress.note(line)


def _ingredients(run: Run, cases: Cases, amp_dtype: torch.dtype | None) -> Ingredients:
    config = run.config
    weights = None if run.parts.loss is not None else loss_weights(config, cases.training)
    exclusive, supervised = run.scheme.is_exclusive, config.network.deep_supervision
    loss = run.parts.loss or build_loss(config.loss, weights, exclusive=exclusive, deep_supervision=supervised)
    segment = partial(segment_prepared, config=config, scheme=run.scheme, amp_dtype=amp_dtype)
    validator = Validator(cases.validation, run.scheme, segment, run.process)
    watchers: list[Callback] = []
    if run.process.is_main:
        for note in balance_notes(config, cases.training, weights):
            run.progress.note(note)
        if not cases.validation:
            run.progress.note("no validation cases: the last weights are kept, and no clean-up is chosen")
        trackers = new_trackers(config, run.folder, run.store)
        watchers = [ProgressDisplay(run.progress, run.to_come), *trackers]
        watchers += run.parts.callbacks
    loader = new_loader(config, cases.training, run.process)
    return Ingredients(loader, loss.to(run.process.device), validator, watchers, config.network.factors)


def trained_bundle(run: Run, network: nn.Module, training: list[PreparedArrays]) -> Bundle:
    """The model that a run leaves, its network where it was trained."""
    channels = tuple(channel.name for channel in run.config.channels)
    facts = TrainingFacts.from_grids(
        channels, [case.source for case in training], expected_structures(training, run.scheme, run.progress)
    )
    return Bundle.single(run.config, run.scheme, network, facts)
