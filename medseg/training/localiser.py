"""The localiser of a run: what it is trained on, and how much margin its findings need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.config.localiser import LocaliserSection
from medseg.config.sections import (
    InferenceSection,
    LabelsSection,
    PostprocessingSection,
    RegionSection,
    RunConfig,
)
from medseg.config.training import BudgetSection, SamplingSection
from medseg.core.errors import ConfigError
from medseg.core.geometry import Box, LengthUnit
from medseg.core.labels import IGNORE_INDEX
from medseg.data.balance import count_class_voxels
from medseg.data.cache import PreparedArrays
from medseg.inference.localiser import fine_region, plausible_box, union_of
from medseg.postprocess.extent import extent

FOREGROUND = "foreground"
_OVERLAP = 0.25
_SPARE_VOXELS = 2
_ML = 1000.0


@dataclass(frozen=True)
class Found:
    """What a localiser found in a case whose structures are known.

    Attributes:
        box: In voxels of the localiser's grid; None if nothing plausible was found.
        beyond_mm: How far structures reach beyond the box, along the axis where it is most; 0 if all lie inside, there
            are none, or there is no box.
    """

    box: Box | None
    beyond_mm: float = 0.0


def localiser_config(config: RunConfig) -> RunConfig:
    """The run that trains the localiser of a run: the same cases and channels at low resolution, in a small network.

    Loss, class weights and first weights are the usual ones, since those of the configuration are for its own targets.

    Args:
        config: With a section ``localiser``.
    """
    section = _section(config)
    training: dict[str, object] = {"class_weights": None, "init": None, "accumulate": 1, "validate_every": None}
    training["budget"] = shared_budget(config)[0]
    sampling = SamplingSection(
        patch=section.patch, batch=section.batch, channel_dropout=config.sampling.channel_dropout
    )
    spacing = {"spacing": section.spacing, "resample_slices": True}
    return RunConfig(
        name=f"{config.name} localiser",
        data=config.data,
        channels=config.channels,
        labels=_labels(config.labels, section),
        preprocessing=config.preprocessing.model_copy(update=spacing),
        network=section.network,
        sampling=sampling,
        augmentation=config.augmentation,
        training=config.training.model_copy(update=training),
        inference=InferenceSection(overlap=_OVERLAP),
        postprocessing=PostprocessingSection(),
        selection=config.selection,
        device=config.device,
    )


def fine_config(config: RunConfig) -> RunConfig:
    """The run that trains the main network of a run with a localiser: what it leaves of the budget."""
    training = config.training.model_copy(update={"budget": shared_budget(config)[1]})
    return config.model_copy(update={"training": training, "localiser": None})


def shared_budget(config: RunConfig) -> tuple[BudgetSection, BudgetSection]:
    """The budgets of the localiser and of the main network; one epoch each at least."""
    budget, share = config.training.budget, _section(config).budget_share
    if budget.minutes is not None:
        parts = (budget.minutes * share, budget.minutes * (1 - share))
        first, second = ({"minutes": minutes} for minutes in parts)
        return budget.model_copy(update=first), budget.model_copy(update=second)
    assert budget.epochs is not None  # noqa: S101 - the section has one of both
    epochs = max(1, round(budget.epochs * share))
    rest = max(1, budget.epochs - epochs)
    return budget.model_copy(update={"epochs": epochs}), budget.model_copy(update={"epochs": rest})


def check_millimetres(cases: Sequence[PreparedArrays]) -> None:
    """Refuse images in pixels.

    Raises:
        ConfigError: If there is one.
    """
    if any(case.source.unit is LengthUnit.PIXEL for case in cases):
        raise ConfigError("a localiser needs images in millimetres; remove the section localiser")


def least_volume_ml(cases: Sequence[PreparedArrays], targets: int) -> float:
    """Half the smallest volume that a target has in a case that holds it; 0 if no case holds any.

    Args:
        cases: On the main network's grid; at least one.
        targets: How many there are.
    """
    voxels = count_class_voxels(cases, targets).voxels[:, -targets:]
    volumes = voxels * np.array([[case.network.voxel_volume / _ML] for case in cases])
    held = volumes[voxels > 0]
    return float(held.min()) / 2 if held.size else 0.0


def found_in(marked: NDArray[np.uint8], coarse: PreparedArrays, fine: PreparedArrays, least_ml: float) -> Found:
    """What a localiser found in a case, beside where its structures are.

    Args:
        marked: What it predicts on its grid: class indices ``(i, j, k)`` or masks ``(t, i, j, k)``.
        coarse: The case on its grid.
        fine: The case on the main network's grid, which has the same extent.
        least_ml: Smaller parts do not count.
    """
    box = plausible_box(union_of(marked), coarse.network, least_ml)
    reference = reference_box(fine.target)
    if box is None or reference is None:
        return Found(box)
    return Found(box, _beyond_mm(box, reference, coarse, fine))


def reference_box(target: NDArray[np.uint8]) -> Box | None:
    """Smallest box around all structures of a prepared target; None if it holds none."""
    known = (target != 0) & (target != IGNORE_INDEX)
    box = extent(known.any(axis=0) if known.ndim == 4 else known)
    return None if box is None else (box[0], box[1], box[2])


def measured_section(section: LocaliserSection, found: Sequence[Found], least_ml: float) -> LocaliserSection:
    """The section with the numbers that it leaves open.

    The margin is what the worst case needs, and two voxels of the localiser more for cases that are a little worse.

    Args:
        section: As configured.
        found: In the cases that count, those of training and validation as a rule.
        least_ml: See ``least_volume_ml``.
    """
    needed = max((one.beyond_mm for one in found), default=0.0) + _SPARE_VOXELS * max(section.spacing)
    margin = round(needed, 1) if section.margin_mm is None else section.margin_mm
    least = round(least_ml, 4) if section.least_ml is None else section.least_ml
    return section.model_copy(update={"margin_mm": margin, "least_ml": least})


def regional(
    found: Sequence[Found], coarse: Sequence[PreparedArrays], fine: Sequence[PreparedArrays], config: RunConfig
) -> list[PreparedArrays]:
    """The cases as the main network will see them at prediction: cut to their regions, whole where none was found.

    Args:
        found: In each case.
        coarse: The cases on the localiser's grid.
        fine: The cases on the main network's grid.
        config: Of the run, its section ``localiser`` measured.
    """
    section, cases = _section(config), []
    for one, low, high in zip(found, coarse, fine, strict=True):
        if one.box is None:
            cases.append(high)
        else:
            cases.append(high.cropped(fine_region(one.box, low.network.shape, high.network, section, config)))
    return cases


def localiser_notes(section: LocaliserSection, found: Sequence[Found], share: float) -> tuple[str, ...]:
    """Lines for the user about a localiser that was trained.

    Args:
        section: Measured.
        found: In the cases that count for the margin.
        share: Of the voxels of all cases that their regions hold.
    """
    missed, worst = sum(one.box is None for one in found), max((one.beyond_mm for one in found), default=0.0)
    margin = f"localiser: margin {section.margin_mm:g} mm; structures reach up to {worst:.3g} mm beyond what it found"
    notes = [margin, f"localiser: the regions hold {100 * share:.3g} % of the images"]
    if missed:
        notes.append(f"localiser: it finds nothing in {missed} of {len(found)} cases; such cases are looked at whole")
    return tuple(notes)


def _section(config: RunConfig) -> LocaliserSection:
    assert config.localiser is not None  # noqa: S101 - asked for only where there is one
    return config.localiser


def _labels(labels: LabelsSection, section: LocaliserSection) -> LabelsSection:
    if section.foreground == "structures" or labels.regions:
        return labels
    names = tuple(one.name for one in labels.structures)
    return labels.model_copy(update={"regions": (RegionSection(name=FOREGROUND, structures=names),)})


def _beyond_mm(box: Box, reference: Box, coarse: PreparedArrays, fine: PreparedArrays) -> float:
    """Both grids have one extent, so that places along an axis can be compared in mm from its first face."""
    beyond = [0.0]
    for found, true, voxel, size in zip(box, reference, coarse.network.spacing, fine.network.spacing, strict=True):
        beyond += [found.start * voxel - true.start * size, true.stop * size - found.stop * voxel]
    return max(beyond)
