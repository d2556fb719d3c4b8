"""``medseg pretrain``: a network learns what images look like, before anybody labels one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from medseg.config.sections import RunConfig
from medseg.core.progress import SILENT, Progress
from medseg.data.cache import PreparedArrays, PreparedCases
from medseg.data.unlabelled import pretraining_split
from medseg.inference.devices import autocast_dtype
from medseg.inference.starting_weights import write_pretrained
from medseg.networks.size import network_size
from medseg.training.assemble import build_optimizer
from medseg.training.callbacks import Callback, TensorBoardWriter
from medseg.training.distributed import Process, joined_process
from medseg.training.ema import AveragedNetwork
from medseg.training.loop import Ingredients, Trainer
from medseg.training.pretrain import (
    PretrainingDisplay,
    ReconstructionCheck,
    ReconstructionError,
    build_reconstruction_loss,
    masked_loader,
    masking,
    reconstruction_network,
)
from medseg.training.state import TrainState, read_checkpoint

from .fit import Cases, Run, claim, open_cases


@dataclass(frozen=True)
class PretrainResult:
    """Where the pretrained network lies, and how well it fills in what is hidden.

    Attributes:
        pretrained: Folder that ``medseg train --init-from`` takes.
        cases: Images that it learned from.
        error: On the validation cases, or on the training cases if there are none.
    """

    pretrained: Path
    cases: int
    error: ReconstructionError

    def rows(self) -> list[dict[str, Any]]:
        """One row: the images, and the errors."""
        return [
            {"images": self.cases, "hidden voxels off by": self.error.network, "mean of the visible": self.error.mean}
        ]


def pretrain(config: RunConfig, output: Path, *, resume: bool = False, progress: Progress = SILENT) -> PretrainResult:
    """Train the network of a configuration to fill in hidden blocks of images, and leave its weights.

    Budget, optimizer, patches and augmentation are those of the configuration. Validation and test cases, and other
    images of their patients, are not learned from. The run's folder gets what that of a training gets, with
    ``pretrained/`` in the place of ``bundle/``.

    Args:
        config: Its ``training.init`` is passed over.
        output: Folder of the run; must be new or empty, unless resumed.
        resume: Go on where the run in that folder stopped; its configuration must be the same.
        progress: Told how far it is.

    Raises:
        InputError: If the data set or device is not there, or the folder holds a run.
        ConfigError: If a resumed run had another configuration or other cases.
        DataError: If a case cannot be read.
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    config = config.model_copy(update={"training": config.training.model_copy(update={"init": None})})
    with joined_process(config.device) as process:
        dataset = open_cases(config)
        split = pretraining_split(dataset, config.data.split)
        run = Run(config, dataset, split, output, output / "prepared", process, progress)
        if process.is_main:
            claim(run, resume=resume)
        process.wait()
        result = _pretrained(run, resume=resume)
        process.wait()
    progress.finish()
    return result


def _pretrained(run: Run, *, resume: bool) -> PretrainResult:
    cases = _prepared(run)
    check = ReconstructionCheck(cases.validation or cases.training, run.config, run.process)
    state = _fit(run, cases, check, resume=resume)
    if check.error is None:  # resumed after its last step
        check(state.average.network)
    assert check.error is not None  # noqa: S101 - the check just made it
    result = PretrainResult(run.folder / "pretrained", len(cases.training), check.error)
    if run.process.is_main:
        facts = {"images": result.cases, "error": asdict(result.error), "steps": state.step}
        write_pretrained(result.pretrained, run.config, state.average.network, facts)
    return result


def _prepared(run: Run) -> Cases:
    """The images as the network sees them; the main process prepares them, the others find them done."""
    ids = (*run.split.training, *run.split.validation)
    if not run.process.is_main:
        run.process.wait()
    prepared = PreparedCases(run.prepared, run.config, run.scheme, labelled=False)
    opened: list[PreparedArrays] = prepared.prepare(
        [run.dataset.case(case) for case in ids], run.progress if run.process.is_main else SILENT
    )
    if run.process.is_main:
        run.process.wait()
    return Cases(opened[: len(run.split.training)], opened[len(run.split.training) :])


def _fit(run: Run, cases: Cases, check: ReconstructionCheck, *, resume: bool) -> TrainState:
    config, process = run.config, run.process
    amp_dtype = autocast_dtype(process.device, config.training.precision)
    state = _new_state(config, process, amp_dtype)
    if resume and (run.folder / "last.pt").exists():
        state.restore(read_checkpoint(run.folder / "last.pt", process.device))
    watchers: list[Callback] = []
    if process.is_main:
        size = network_size(state.network, (len(config.channels), *config.sampling.patch[: config.network.dims]))
        run.progress.note(f"{size} on {process.device.type}, {len(cases.training)} images")
        watchers = [PretrainingDisplay(run.progress, check), TensorBoardWriter(run.folder / "tensorboard")]
    loss = build_reconstruction_loss(masking(config), deep_supervision=config.network.deep_supervision)
    loader = masked_loader(config, cases.training, process)
    parts = Ingredients(loader, loss, check, watchers, config.network.factors)
    return Trainer(process, config.training, parts, run.folder, amp_dtype).fit(state)


def _new_state(config: RunConfig, process: Process, amp_dtype: torch.dtype | None) -> TrainState:
    torch.manual_seed(config.training.seed)
    network = reconstruction_network(config).to(process.device)
    scaler = torch.amp.GradScaler(process.device.type, enabled=amp_dtype is torch.float16)
    optimizer = build_optimizer(config.training.optimizer, network)
    return TrainState(network, optimizer, scaler, AveragedNetwork(network, config.training.ema))
