"""Who takes part in a pretraining, which needs no label."""

from __future__ import annotations

from dataclasses import replace

from medseg.config.sections import SplitSection

from .dataset import CaseFiles, Dataset
from .split import Split, make_split


def pretraining_split(dataset: Dataset, section: SplitSection) -> Split:
    """The split that a training with the same section makes, with the cases that have no label among those that train.

    Unlabelled cases of patients who validate or test stay out, as do those that are marked so: what a model is measured
    on should be new to it. Where no case has a label, all are split as labelled ones are.

    Raises:
        ConfigError: As ``make_split``.
    """
    if not dataset.labelled:
        return make_split(replace(dataset, cases=tuple(map(_as_if_labelled, dataset.cases))), section)
    split = make_split(dataset, section)
    held = {dataset.case(case).patient for case in (*split.validation, *split.test)}
    more = tuple(
        case.id
        for case in dataset.cases
        if case.label is None and case.patient not in held and case.split in (None, "train")
    )
    return replace(split, training=(*split.training, *more))


def _as_if_labelled(case: CaseFiles) -> CaseFiles:
    return replace(case, label=next(iter(case.images.values())).path)
