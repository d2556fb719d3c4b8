"""Cross-validations whose networks say what a test wants, without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ball_cases import SHAPE, small_config

from medseg.config.load import dump_config
from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.files import write_text
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.data.folds import make_folds, write_folds
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, output_channels, write_bundle
from medseg.inference.calibration import Calibration
from medseg.inference.network import network_of
from medseg.inference.restore import Prediction
from medseg.io.formats import read_label_map
from medseg.pipelines.fit import open_cases
from medseg.pipelines.fold import Whole
from medseg.pipelines.join_folds import join_folds
from medseg.pipelines.out_of_fold import fold_folder, kept_file
from medseg.training.distributed import Process
from medseg.training.held_out import decided, hold_out, write_held_out

Says = Callable[[np.ndarray, int], np.ndarray]
"""From the reference of a case and its number to the probabilities of the targets, shape ``(t, i, j, k)``."""


def confident(reference: np.ndarray, sure=0.9) -> np.ndarray:
    """Probabilities that are right everywhere, and so sure."""
    return np.stack([np.where(reference == value, sure, (1 - sure) / 2) for value in (1, 2)])


def said_run(folder: Path, manifest: Path, says: Says, progress: Progress = SILENT, **changes) -> Path:
    """A finished cross-validation of two folds, whose out-of-fold predictions are what ``says`` tells."""
    config = small_config(manifest, **changes)
    whole = whole_run(folder, config, progress)
    write_text(folder / "config.yaml", dump_config(config))
    write_folds(folder / "folds.json", whole.folds)
    grid, number = Geometry.from_spacing(SHAPE), 0
    for fold, (_, validation) in enumerate(whole.folds.parts):
        torch.manual_seed(fold)
        write_bundle(fold_folder(folder, fold) / "bundle", _model(config, whole.scheme), BundleRecords({}, {}))
        for place, case in enumerate(validation):
            reference = read_label_map(manifest.parent / "labels" / f"{case}.nii.gz")
            probabilities = says(reference.array, number).astype(np.float16)
            prediction = Prediction(decided(probabilities, grid, whole.scheme, Calibration()), probabilities)
            held = hold_out(prediction, reference, whole.scheme, 500, np.random.default_rng(number))
            write_held_out(kept_file(folder, fold, place), held)
            number += 1
    join_folds(whole)
    return folder


def whole_run(folder: Path, config: RunConfig, progress: Progress = SILENT) -> Whole:
    """The cross-validation of two folds in a folder."""
    dataset = open_cases(config)
    folds = make_folds(dataset, config.data.split, 2)
    return Whole(config, dataset, folds, folder, Process(0, 1, torch.device("cpu")), progress)


def _model(config: RunConfig, known: LabelScheme) -> Bundle:
    """Random weights; a fold's model has no clean-up of its own choice."""
    own = config.model_copy(update={"postprocessing": config.postprocessing or PostprocessingSection()})
    network = network_of(config, output_channels(known))
    facts = TrainingFacts.from_grids(("image",), [Geometry.from_spacing(SHAPE)])
    return Bundle.single(own, known, network.eval(), facts)
