"""What the report shows beside the scores of structures: instances, calibration, subgroups, confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medseg.core.labels import Colour, palette_colour
from medseg.metrics.calibration import BINS, ece
from medseg.render import page
from medseg.render.heat_table import heat_table
from medseg.render.interval_plot import Estimate, interval_plot
from medseg.render.overlay import target_colours
from medseg.render.page import Cell, Html
from medseg.render.plots import number
from medseg.render.reliability_plot import reliability_plot

from .aggregate import FOREGROUND
from .audit import named_groups
from .calibration_scores import CALIBRATION, CalibrationSummary
from .instance_scores import InstanceSummary
from .result import Evaluation, interval_text, mean_cell, p_text, share
from .settings import MATCH_IOU
from .subgroups import FEWEST, Group, SubgroupAudit
from .whole_map import SEMANTIC, WholeMap

_MOST_CLASSES, _MOST_CONFUSIONS, _MOST_SMALL = 24, 20, 8
_SIGNIFICANT = 0.05
_DOT: Colour = palette_colour(4)
_SEMANTIC_TITLES = ("pixel accuracy", "balanced accuracy", "mean IoU", "frequency weighted IoU")


def details(evaluation: Evaluation) -> list[Html]:
    """All sections that there is something for."""
    found = evaluation.details
    return [
        *(_instances(found.instances) if found.instances else []),
        *(_calibration(evaluation, found.calibration) if found.calibration else []),
        *(_subgroups(evaluation) if found.audit.attributes or found.audit.left_out else []),
        *(_whole_map(found.whole_map) if found.whole_map is not None else []),
    ]


def _instances(summaries: Sequence[InstanceSummary]) -> list[Html]:
    lesions = (
        "",
        "cases",
        "in the reference",
        "found",
        "missed",
        "falsely found",
        "sensitivity",
        "precision",
        "false per case",
    )
    quality = ("", "pairs", "F1 (RQ)", "SQ", "PQ", "AP", "AP at IoU 0.5", "AP at IoU 0.75")
    return [
        page.heading("Instances"),
        page.paragraph(
            "Each part of a structure that hangs together counts as one instance. A reference instance is found if "
            "any predicted voxel lies on it; a predicted one is false if it touches none. Counts of all cases are "
            "added up, then divided; intervals draw patients.",
            muted=True,
        ),
        page.table(lesions, [_lesion_cells(one) for one in summaries]),
        page.table(quality, [_quality_cells(one) for one in summaries]),
        page.paragraph(
            f"Pairs overlap by an IoU of more than {MATCH_IOU:g}. RQ is the F1 of these pairs, SQ their mean IoU, PQ "
            "the product. AP is COCO's, over IoU 0.50 to 0.95, and needs probabilities.",
            muted=True,
        ),
    ]


def _lesion_cells(one: InstanceSummary) -> list[Cell]:
    lesions = one.lesions
    counts = (one.cases, lesions.found + lesions.missed, lesions.found, lesions.missed, lesions.false)
    ratios = [_ratio(one, name) for name in ("sensitivity", "precision", "false_per_case")]
    return [one.structure, *map(str, counts), *ratios]


def _quality_cells(one: InstanceSummary) -> list[Cell]:
    found = one.average_precision
    precisions = [math.nan] * 3 if found is None else [found.mean, found.by_threshold[0.5], found.by_threshold[0.75]]
    ratios = [_ratio(one, name) for name in ("rq", "sq", "pq")]
    return [one.structure, str(one.matched.tp), *ratios, *map(share, precisions)]


def _ratio(one: InstanceSummary, name: str) -> Cell:
    ratio = one.ratios[name]
    return share(ratio.value), interval_text(name, ratio.interval) or ""


def _calibration(evaluation: Evaluation, summaries: Sequence[CalibrationSummary]) -> list[Html]:
    colours = target_colours(evaluation.scheme)
    header = ("", "cases", f"ECE ({BINS} bins)", "Brier score")
    rows: list[list[Cell]] = [
        [one.structure, str(one.ece.cases), mean_cell("ece", one.ece), mean_cell("brier", one.brier)]
        for one in summaries
    ]
    panels = [page.drawing(_diagram(one, colours[one.structure])) for one in summaries]
    return [
        page.heading("Calibration"),
        page.paragraph(
            f"Whether of all voxels given 70 % about 70 % are right: {CALIBRATION}. Below the diagonal the model is "
            "too sure of itself. Bars show how many voxels each bin holds (logarithmic).",
            muted=True,
        ),
        page.table(header, rows),
        page.side_by_side(panels),
    ]


def _diagram(one: CalibrationSummary, colour: Colour) -> str:
    pooled = one.pooled
    bins = zip(pooled.confidence.tolist(), pooled.frequency.tolist(), pooled.voxels.tolist(), strict=True)
    said = f"all cases together: ECE {share(ece(pooled))} in {BINS} bins"
    return reliability_plot(one.structure, colour, list(bins), said)


def _subgroups(evaluation: Evaluation) -> list[Html]:
    audit = evaluation.details.audit
    overall = evaluation.summaries[-1].structure
    what = "the foreground mean of Dice" if overall == FOREGROUND else f"the Dice of {overall}"
    header = ("", "groups", "gap", "worst group", "p", "p, corrected", "equity-scaled Dice", "reading")
    parts = [
        page.heading("Subgroups of patients"),
        page.paragraph(
            f"Of {what}, by patient. A group of fewer than {FEWEST} patients is too small to judge: it has no mean "
            "here and is in no test. The gap is the largest minus the smallest mean; p tells how often shuffled "
            "groups differ as much (permutation test), corrected for the number of attributes (Holm). That no "
            "difference is shown does not prove that there is none.",
            muted=True,
        ),
    ]
    if audit.attributes:
        parts.append(page.table(header, [_attribute_cells(one) for one in audit.attributes]))
        everyone = [_estimate(group) for one in audit.attributes for group in one.groups if group.is_judged]
        parts += [_attribute_plot(one, everyone) for one in audit.attributes]
    if audit.left_out:
        why = "; ".join(f"{name} ({reason})" for name, reason in audit.left_out.items())
        parts.append(page.paragraph(f"Not looked at: {why}.", muted=True))
    return parts


def _attribute_cells(one: SubgroupAudit) -> list[Cell]:
    judged = sum(group.is_judged for group in one.groups)
    return [
        one.attribute,
        f"{judged} of {len(one.groups)}",
        share(one.gap),
        one.worst or "\N{EN DASH}",
        p_text(one.p),
        p_text(one.p_adjusted),
        share(one.equity_scaled),
        _verdict(one),
    ]


def _verdict(one: SubgroupAudit) -> str:
    if math.isnan(one.p):
        return "too small to judge"
    return "groups differ" if one.p_adjusted < _SIGNIFICANT else "no difference shown"


def _attribute_plot(one: SubgroupAudit, everyone: Sequence[Estimate]) -> Html:
    named, single = named_groups(one)
    judged = [group for group in named if group.is_judged]
    notes = _small([group for group in named if not group.is_judged], single)
    if one.unknown:
        notes.append(f"Unknown or not the same in all cases: {one.unknown}.")
    if not judged:
        return page.paragraph(f"{one.attribute}: {' '.join(notes)}", muted=True)
    plot = interval_plot([_estimate(group) for group in judged], f"mean Dice by {one.attribute}", others=everyone)
    return page.drawing(plot, " ".join(notes))


def _small(groups: Sequence[Group], single: int) -> list[str]:
    """The groups that are too small to judge."""
    listed = [f"{group.value} ({group.patients})" for group in groups[:_MOST_SMALL]]
    if len(groups) > _MOST_SMALL:
        listed.append(f"{len(groups) - _MOST_SMALL} more")
    if single:
        listed.append(f"{single} {'value' if single == 1 else 'values'} of a single patient")
    return [f"Too small to judge: {', '.join(listed)}."] if listed else []


def _estimate(group: Group) -> Estimate:
    interval = group.interval
    told = f"{group.value}: {share(group.mean)} ({interval_text('dice', interval) or 'no interval'})"
    note = f"{share(group.mean)} (n = {group.patients})"
    return Estimate(group.value, group.mean, interval.low, interval.high, note, _DOT, told)


def _whole_map(found: WholeMap) -> list[Html]:
    rows: list[list[Cell]] = [
        ["mean over patients", *(mean_cell(name, found.means[name]) for name in SEMANTIC)],
        ["all voxels together", *(share(float(getattr(found.pooled, name))) for name in SEMANTIC)],
    ]
    return [
        page.heading("Which structure is taken for which"),
        page.table(("whole label map", *_SEMANTIC_TITLES), rows),
        *_confusion(found),
        page.paragraph(
            "Background counts as a class, so these scores are close to 1 where structures are small.", muted=True
        ),
    ]


def _confusion(found: WholeMap) -> list[Html]:
    by_truth = found.total.T
    if len(found.classes) <= _MOST_CLASSES:
        explained = "Rows: what a voxel is in the reference. Columns: what it was called. Percent of the row."
        return [
            heat_table("is \\ was called", found.classes, found.classes, by_truth),
            page.paragraph(explained, muted=True),
        ]
    wrong = by_truth.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    rows: list[list[Cell]] = []
    for true, said in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[true, said]:
            part = 100 * wrong[true, said] / by_truth[true].sum()
            rows.append([found.classes[true], found.classes[said], str(wrong[true, said]), f"{number(float(part))} %"])
    header = ("is", "was called", "voxels", "of all that are")
    return [page.table(header, rows, text_columns=2), page.paragraph("The most frequent confusions.", muted=True)]
