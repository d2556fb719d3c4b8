"""The model of several trainings, with what was chosen on their out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.case import CaseId
from medseg.data.dataset import Dataset
from medseg.data.split import Split
from medseg.evaluation.evaluation_sheet import sheet_of
from medseg.evaluation.result import finite
from medseg.evaluation.score_sheet import Basis
from medseg.evaluation.training_record import read_record, training_record
from medseg.inference.bundle import Bundle, BundleRecords, write_bundle
from medseg.inference.calibration import Calibration
from medseg.training.finish import with_postprocessing

from .card import record_training
from .out_of_fold import Judged


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a model comes from.

    Attributes:
        dataset: What its networks were trained on.
        split: Who trained in some fold, and who was kept aside.
        bundles: Folders of the models that are joined.
        held_out: Cases by the name of the fold that they were held out in.
    """

    dataset: Dataset
    split: Split
    bundles: Sequence[Path]
    held_out: Mapping[str, tuple[CaseId, ...]] = field(default_factory=dict)


def write_joint(folder: Path, model: Bundle, calibration: Calibration, judged: Judged, origin: Origin) -> None:
    """Write a model with its calibration and clean-up, its out-of-fold scores, and its card.

    Raises:
        OutputError: If it cannot be written.
    """
    evaluation = judged.evaluation
    parts = {"train": origin.split.training, "test": origin.split.test, **origin.held_out}
    rows = [{"case": row.case, "structure": row.structure, "dice": finite(row.dice)} for row in evaluation.rows]
    records = BundleRecords(parts, {"out_of_fold": rows, "summary": evaluation.summary_rows()})
    corrected = dataclasses.replace(model, calibration=calibration)
    write_bundle(folder, with_postprocessing(corrected, judged.postprocessing), records)
    sittings = [one for bundle in origin.bundles for one in read_record(bundle).runs]
    sheet = sheet_of(evaluation, Basis.OUT_OF_FOLD)
    record_training(folder, training_record(origin.dataset, origin.split, sittings, sheet))
