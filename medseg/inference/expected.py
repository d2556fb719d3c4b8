"""What the structures of the training cases were like, to tell an odd result from a usual one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels
from medseg.metrics.form import MaskForm, form_of

_FEWEST_CASES = 5
_DEVIATIONS = 3.0
_USUAL_SHARE = 0.05


class StructureFacts(BaseModel):
    """One target over the training cases that hold it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    """How many there are."""
    share: float
    """Their share of all training cases, from 0 to 1."""
    smallest_ml: float
    largest_ml: float
    mean_ml: float
    deviation_ml: float
    """Standard deviation over the cases."""
    most_components: int
    border_share: float
    """Share of the cases in which it reaches the border of the image, from 0 to 1."""

    @classmethod
    def of(cls, volumes_ml: Sequence[float], forms: Sequence[MaskForm], share: float) -> Self:
        """The facts of some cases, at least one, which are that share of all."""
        volumes = np.array(volumes_ml)
        return cls(
            cases=len(volumes),
            share=share,
            smallest_ml=float(volumes.min()),
            largest_ml=float(volumes.max()),
            mean_ml=float(volumes.mean()),
            deviation_ml=float(volumes.std()),
            most_components=max(form.components for form in forms),
            border_share=sum(form.touches_border for form in forms) / len(forms),
        )

    @classmethod
    def merged(cls, facts: Sequence[Self]) -> Self:
        """The facts of several trainings, at least one, whose cases may be in part the same.

        Shares and means are averaged; of the deviations and numbers of cases the largest counts.
        """
        return cls(
            cases=max(one.cases for one in facts),
            share=float(np.mean([one.share for one in facts])),
            smallest_ml=min(one.smallest_ml for one in facts),
            largest_ml=max(one.largest_ml for one in facts),
            mean_ml=float(np.mean([one.mean_ml for one in facts])),
            deviation_ml=max(one.deviation_ml for one in facts),
            most_components=max(one.most_components for one in facts),
            border_share=float(np.mean([one.border_share for one in facts])),
        )


def measured(labels: Labels, scheme: LabelScheme) -> dict[str, MaskForm]:
    """The form of each target."""
    return {target: form_of(scheme.mask(labels, target)) for target in scheme.targets}


def volume_ml(form: MaskForm, grid: Geometry) -> float | None:
    """Volume of a mask; None for images in pixels."""
    return None if grid.unit is LengthUnit.PIXEL else form.voxels * grid.voxel_volume / 1000


def odd(form: MaskForm, ml: float | None, facts: StructureFacts | None) -> tuple[str, ...]:
    """What is unlike training about one target of a result; empty if nothing is, or nothing is known.

    A volume is odd outside the training range widened by half on both sides, if it lies more than three standard
    deviations from the mean too; so are more parts than in any training case by a factor of two, and reaching the
    border where less than a twentieth of the training cases did, and lacking what hardly any of them lacks. Fewer than
    five training cases judge nothing.
    """
    if facts is None or facts.cases < _FEWEST_CASES:
        return ()
    if form.voxels == 0:
        return ("missing",) if facts.share > 1 - _USUAL_SHARE else ()
    found = []
    if ml is not None and _is_far(ml, facts):
        found.append(f"volume {ml:.4g} mL, {facts.smallest_ml:.4g} to {facts.largest_ml:.4g} in training")
    if form.components > 2 * facts.most_components:
        found.append(f"{form.components} parts, at most {facts.most_components} in training")
    if form.touches_border and facts.border_share < _USUAL_SHARE:
        found.append("touches the border of the image")
    return tuple(found)


def structure_facts(cases: Sequence[Mapping[str, tuple[MaskForm, float | None]]]) -> dict[str, StructureFacts]:
    """The facts of each target that some case holds, from form and volume by target and case."""
    facts = {}
    for target in dict.fromkeys(name for case in cases for name in case):
        held = [case[target] for case in cases if case[target][0].voxels]
        known = [(form, ml) for form, ml in held if ml is not None]
        if known:
            share = len(known) / len(cases)
            facts[target] = StructureFacts.of([ml for _, ml in known], [form for form, _ in known], share)
    return facts


def _is_far(ml: float, facts: StructureFacts) -> bool:
    outside = ml < facts.smallest_ml / 1.5 or ml > facts.largest_ml * 1.5
    return outside and abs(ml - facts.mean_ml) > _DEVIATIONS * facts.deviation_ml
