"""From the scores of single cases to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.core.case import CaseId
from medseg.core.labels import LabelScheme

from .aggregate import foreground, summarise
from .attributes import Values
from .audit import Audit, audit
from .calibration_scores import summarise_calibration
from .instance_scores import summarise_instances
from .intervals import Bootstrap
from .pairs import Matching
from .result import Details, Evaluation
from .scoring import CaseScores, Outcome, Problem, Unscored
from .settings import Settings
from .whole_map import whole_map


def assemble(
    matching: Matching, outcomes: Sequence[Outcome], scheme: LabelScheme, settings: Settings, attributes: Values
) -> Evaluation:
    """The evaluation of all cases: means, and what is in none of them.

    Args:
        matching: The pairs, and what has no partner.
        outcomes: What became of each pair, in their order.
        scheme: The structures.
        settings: What defines the scores.
        attributes: What patients are told apart by, by attribute and case.

    Raises:
        InputError: If some cases are in millimetres and some in pixels.
    """
    scored = [one for one in outcomes if isinstance(one, CaseScores)]
    rows = tuple(row for one in scored for row in one.rows)
    failed = [one if isinstance(one, Unscored) else one.problem for one in outcomes]
    patients = {pair.case: pair.patient for pair in matching.pairs}
    details = Details()
    if rows:
        found = audit(foreground(rows, "dice"), attributes, patients, settings.bootstrap)
        details = _details(scored, scheme, patients, settings.bootstrap, found)
    return Evaluation(
        scheme,
        settings,
        rows,
        tuple(one for one in failed if one is not None) + _unmatched(matching),
        summarise(rows, patients, settings.bootstrap),
        patients,
        details,
    )


def _details(
    scored: Sequence[CaseScores],
    scheme: LabelScheme,
    patients: Mapping[CaseId, str],
    bootstrap: Bootstrap,
    found: Audit,
) -> Details:
    matrices = {one.rows[0].case: one.confusion for one in scored if one.confusion is not None}
    instances = tuple(each for one in scored for each in one.instances)
    calibration = tuple(each for one in scored for each in one.calibration)
    return Details(
        whole_map(matrices, scheme, patients, bootstrap),
        instances,
        summarise_instances(instances, patients, bootstrap),
        calibration,
        summarise_calibration(calibration, patients, bootstrap),
        found,
    )


def _unmatched(matching: Matching) -> tuple[Unscored, ...]:
    unknown = [Unscored(case, Problem.NO_REFERENCE, "no reference of this name") for case in matching.without_reference]
    missing = [Unscored(case, Problem.NO_PREDICTION, why) for case, why in matching.without_prediction.items()]
    return (*unknown, *missing)
