"""``medseg pretrain``: a network learns what images look like, before anybody labels one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medseg.config.sections import RunConfig
from medseg.core.progress import SILENT, Progress
from medseg.data.unlabelled import pretraining_split
from medseg.inference.devices import autocast_dtype
from medseg.inference.starting_weights import write_pretrained
from medseg.networks.size import network_size
from medseg.training.assemble import new_state, new_trackers
from medseg.training.callbacks import Callback
from medseg.training.loop import Ingredients, Trainer
from medseg.training.pretrain import (
    PretrainingDisplay,
    ReconstructionCheck,
    ReconstructionError,
    build_reconstruction_loss,
    masked_loader,
    masking,
)
from medseg.training.state import CHECKPOINT, TrainState, read_checkpoint

from .fit import Cases, Run, opened_run, prepare_split, training_dtype


@dataclass(frozen=True)
class PretrainResult:
    """Where the pretrained network lies, and how well it fills in what is hidden.

    Attributes:
        pretrained: Folder that ``medseg train --init-from`` takes.
        cases: Images that it learned from.
        error: On the validation cases, or on the training cases if there are none.
        is_held_out: Whether there are validation cases.
    """

    pretrained: Path
    cases: int
    error: ReconstructionError
    is_held_out: bool

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
    with opened_run(config, output, pretraining_split, resume=resume, progress=progress) as run:
        return _pretrained(run, resume=resume)


def _pretrained(run: Run, *, resume: bool) -> PretrainResult:
    cases = prepare_split(run, labelled=False)
    check = ReconstructionCheck(cases.validation or cases.training, run.config, run.process)
    state = _fit(run, cases, check, resume=resume)
    if check.error is None:  # resumed after its last step
        check(state.average.network)
    assert check.error is not None  # noqa: S101 - the check just made it
    held_out = bool(cases.validation)
    result = PretrainResult(run.folder / "pretrained", len(cases.training), check.error, held_out)
    if run.process.is_main:
        facts = {"images": result.cases, "error": asdict(result.error), "steps": state.step}
        write_pretrained(result.pretrained, run.config, state.average.network, facts)
    return result


def _fit(run: Run, cases: Cases, check: ReconstructionCheck, *, resume: bool) -> TrainState:
    config, process = run.config, run.process
    amp_dtype = autocast_dtype(process.device, config.training.precision)
    state = new_state(config, len(config.channels), process, amp_dtype)
    amp_dtype = training_dtype(run, state, amp_dtype)
    if resume and (run.folder / CHECKPOINT).exists():
        state.restore(read_checkpoint(run.folder / CHECKPOINT))
    watchers: list[Callback] = []
    if process.is_main:
        size = network_size(state.network, (len(config.channels), *config.sampling.patch[: config.network.dims]))
        run.progress.note(f"{size} on {process.device.type}, {len(cases.training)} images")
        trackers = new_trackers(config, run.folder, run.store)
        watchers = [PretrainingDisplay(run.progress, check), *trackers]
    loss = build_reconstruction_loss(masking(config), deep_supervision=config.network.deep_supervision)
    loader = masked_loader(config, cases.training, process)
    parts = Ingredients(loader, loss, check, watchers, config.network.factors)
    return Trainer(process, config.training, parts, run.folder, amp_dtype).fit(state)
