"""After the last step: clean-up chosen on validation cases, and their scores on their own grids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import PostprocessingSection
from medseg.core.case import Case, CaseId
from medseg.core.files import atomic_file
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Labels
from medseg.data.cache import PreparedArrays
from medseg.data.open_files import allow_open_files
from medseg.inference.bundle import Bundle
from medseg.inference.expected import StructureFacts, structure_facts, volume_ml
from medseg.metrics.counts import count_voxels
from medseg.metrics.form import form_of
from medseg.metrics.overlap import dice
from medseg.postprocess.clean import clean

_STEPS = ("largest_component", "fill_holes")
_SMALLEST_GAIN = 1e-4
_FEWEST_CASES = 3
_MOST_MEASURED = 200


@dataclass(frozen=True)
class ValidationScore:
    """Dice of one structure of one validation case; NaN where neither side holds it."""

    case: CaseId
    structure: str
    dice: float


@dataclass(frozen=True, eq=False)
class Pair:
    """What was predicted for a case, and what is true."""

    case: CaseId
    predicted: Labels
    reference: Labels


def predicted_pairs(predict: Callable[[Case], Labels], cases: Iterable[Case], scratch: Path) -> list[Pair]:
    """Predictions of labelled cases beside their references.

    The arrays lie in the folder ``scratch`` and are memory-mapped, so that many large cases need little memory.
    """
    pairs = []
    for number, case in enumerate(cases):
        if case.label is not None:
            allow_open_files(2)
            predicted = _mapped(predict(case), scratch / f"{number}-predicted.npy")
            pairs.append(Pair(case.id, predicted, _mapped(case.label, scratch / f"{number}-reference.npy")))
    return pairs


def choose_postprocessing(pairs: Sequence[Pair], scheme: LabelScheme) -> PostprocessingSection:
    """The clean-up steps that raise the mean Dice of their structure on these cases.

    Each step is tried for each structure by itself and kept if it gains at least 0.0001; with fewer than three cases
    nothing is chosen.
    """
    return chosen_clean_up([clean_up_gains(pair, scheme) for pair in pairs], scheme)


def clean_up_gains(pair: Pair, scheme: LabelScheme) -> NDArray[np.float64]:
    """What each step (rows) adds to the Dice of each target (columns) of one case; 0 where there is no Dice."""
    before = _dice(pair, PostprocessingSection(), scheme)
    steps = [PostprocessingSection.model_validate({step: scheme.targets}) for step in _STEPS]
    return np.array([np.nan_to_num(_dice(pair, step, scheme) - before) for step in steps])


def chosen_clean_up(gains: Sequence[NDArray[np.float64]], scheme: LabelScheme) -> PostprocessingSection:
    """The steps that are worth it, from the gains of each case; as ``choose_postprocessing``."""
    if len(gains) < _FEWEST_CASES:
        return PostprocessingSection()
    worth_it = np.mean(gains, axis=0) >= _SMALLEST_GAIN
    chosen = {
        step: tuple(name for name, kept in zip(scheme.targets, row, strict=True) if kept)
        for step, row in zip(_STEPS, worth_it, strict=True)
    }
    return PostprocessingSection.model_validate(chosen)


def expected_structures(
    cases: Sequence[PreparedArrays], scheme: LabelScheme, progress: Progress = SILENT
) -> dict[str, StructureFacts]:
    """What the targets of up to 200 training cases are like, on the network's grid.

    Cases of which a part is ignored are left out: what somebody drew on a few slices is no volume.
    """
    whole = [case for case in cases if case.labelled is None]
    step = max(1, -(-len(whole) // _MOST_MEASURED))
    chosen = whole[::step]
    progress.start("measuring structures", len(chosen))
    rows = []
    for case in chosen:
        progress.advance()
        masks = case.target == 1 if case.target.ndim == 4 else _exclusive_masks(case.target, len(scheme.targets))
        forms = [form_of(mask) for mask in masks]
        rows.append(
            {name: (form, volume_ml(form, case.network)) for name, form in zip(scheme.targets, forms, strict=True)}
        )
    return structure_facts(rows)


def _exclusive_masks(target: NDArray[np.uint8], targets: int) -> Iterator[NDArray[np.bool_]]:
    return (target == index for index in range(1, targets + 1))


def validation_scores(
    pairs: Sequence[Pair], config: PostprocessingSection, scheme: LabelScheme
) -> list[ValidationScore]:
    """Dice of every case and structure after the clean-up."""
    rows = []
    for pair in pairs:
        values = _dice(pair, config, scheme)
        rows += [ValidationScore(pair.case, name, float(v)) for name, v in zip(scheme.targets, values, strict=True)]
    return rows


def with_postprocessing(bundle: Bundle, section: PostprocessingSection) -> Bundle:
    """The same model with other clean-up."""
    return bundle.with_config(bundle.config.model_copy(update={"postprocessing": section}))


def _mapped(labels: Labels, path: Path) -> Labels:
    with atomic_file(path) as partial:
        np.save(partial, labels.array)
    return dataclasses.replace(labels, array=np.load(path, mmap_mode="r"))


def _dice(pair: Pair, section: PostprocessingSection, scheme: LabelScheme) -> np.ndarray:
    return dice(count_voxels(clean(pair.predicted, section, scheme), pair.reference, scheme))
