"""``medseg card``: the model card of a bundle, made anew from what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from medseg.config.load import dump_owner, load_owner
from medseg.core.errors import InputError
from medseg.core.files import write_text
from medseg.core.labels import LabelScheme
from medseg.evaluation.aggregate import FOREGROUND
from medseg.evaluation.card import EVALUATION, MARKDOWN, PAGE, Card, read_card
from medseg.evaluation.card_page import card_markdown, card_page
from medseg.evaluation.evaluation_sheet import evaluation_sheet
from medseg.evaluation.score_sheet import ScoreSheet
from medseg.evaluation.training_record import RECORD, TrainingRecord, TrainingRun, training_record
from medseg.inference.bundle import OWNER
from medseg.training.assemble import track_card
from medseg.training.distributed import Process
from medseg.training.state import TrainState

from .fit import Run


def model_card(bundle: Path, overrides: Sequence[str] = (), evaluation: Path | None = None) -> Card:
    """Write the card of a bundle into it: ``card.html``, ``card.md``, and ``card.yaml`` with the owner's part.

    Args:
        bundle: Folder of the model.
        overrides: What the owner says, such as ``license=CC-BY-4.0``; the rest of ``card.yaml`` stays.
        evaluation: Folder that `medseg evaluate` wrote of the model's predictions; its means are kept in the bundle
            (``evaluation.json``) and take the place of earlier ones.

    Returns:
        What the card shows.

    Raises:
        BundleError: If the folder is no bundle.
        ConfigError: If ``card.yaml`` or an override is not sound.
        InputError: If the evaluation is not there, or of other structures.
        ReadError: If it or another file is not sound.
        OutputError: If the card cannot be written.
    """
    card = replace(read_card(bundle), owner=load_owner(bundle / OWNER, overrides))
    if evaluation is not None:
        sheet = evaluation_sheet(evaluation)
        _check_structures(sheet, card.scheme)
        write_text(bundle / EVALUATION, sheet.model_dump_json(indent=1))
        card = replace(card, evaluation=sheet)
    write_text(bundle / OWNER, dump_owner(card.owner))
    write_text(bundle / MARKDOWN, card_markdown(card))
    write_text(bundle / PAGE, card_page(card))
    return card


def record_training(bundle: Path, record: TrainingRecord) -> Card:
    """Add to a new bundle how it came about (``training.json``), and its card."""
    write_text(bundle / RECORD, record.model_dump_json(indent=1))
    return model_card(bundle)


def record_run(run: Run, state: TrainState, scores: ScoreSheet | None) -> None:
    """Add to the bundle of a run that is over how it came about, and its card, which whoever keeps its curves gets too.

    Args:
        run: What was trained.
        state: After its last step.
        scores: Of cases that did not train; None if there are none, or not yet.
    """
    bundle = run.folder / "bundle"
    record_training(bundle, training_record(run.dataset, run.split, [training_run(state, run.process)], scores))
    track_card(run.config, run.folder, run.store, bundle)


def training_run(state: TrainState, process: Process) -> TrainingRun:
    """What the record says of one training that is over."""
    device = process.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return TrainingRun(
        epochs=state.epoch, steps=state.step, seconds=state.elapsed_s, device=name, processes=process.world_size
    )


def _check_structures(sheet: ScoreSheet, scheme: LabelScheme) -> None:
    scored = {one.structure for one in sheet.structures} - {FOREGROUND}
    if not scored <= set(scheme.targets):
        known, got = ", ".join(scheme.targets), ", ".join(sorted(scored))
        raise InputError(f"the evaluation is of {got}, the model outlines {known}; name an evaluation of this model")
