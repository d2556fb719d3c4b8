"""An evaluation as plain JSON values: scores.json, which `medseg compare` reads."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.calibration import BINS, brier, ece
from medseg.metrics.surface import ASSD_DEFINITION, HD95_DEFINITION, MASD_DEFINITION, NSD_DEFINITION

from .aggregate import AVERAGING, Mean, Summary
from .audit import Audit, named_groups
from .calibration_scores import CALIBRATION, MARGIN, CalibrationSummary
from .case_table import case_rows, unscored_rows
from .instance_scores import CaseInstances, InstanceSummary, Ratio
from .intervals import Interval
from .result import Cell, Details, Evaluation, cell, finite, versions
from .settings import MATCH_IOU, Settings
from .subgroups import FEWEST, Group, SubgroupAudit
from .whole_map import SEMANTIC, WholeMap

FORMAT = 2
"""Of scores.json; raised when a reader of the old one would misunderstand the new one."""
Tree = dict[str, object]


def as_json(evaluation: Evaluation) -> Tree:
    """All of it."""
    details = evaluation.details
    tree: Tree = {
        "format": FORMAT,
        "settings": _settings(evaluation),
        "definitions": _definitions(details),
        "versions": versions(),
        "structures": {one.name: one.value for one in evaluation.scheme.structures},
        "targets": list(evaluation.scheme.targets),
        "summary": [_summary(one) for one in evaluation.summaries],
    }
    if details.whole_map is not None:
        tree["whole_map"] = _whole_map(details.whole_map)
    if details.instances:
        tree["instances"] = _instances(details)
    if details.calibration:
        tree["calibration"] = _calibration(details)
    if details.audit.attributes or details.audit.left_out:
        tree["subgroups"] = _audit(details.audit)
    return {**tree, "cases": case_rows(evaluation), "unscored": unscored_rows(evaluation.unscored)}


def json_text(tree: Tree) -> str:
    """The values as strict JSON, a line for each row of a long list, so that the text stays short and readable."""
    parts = [f" {json.dumps(key)}: {_value(value)}" for key, value in tree.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _value(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        lines = [json.dumps(row, allow_nan=False) for row in value]
        return "[\n  " + ",\n  ".join(lines) + "\n ]"
    return json.dumps(value, allow_nan=False)


def _settings(evaluation: Evaluation) -> Tree:
    settings: Settings = evaluation.settings
    scores, bootstrap = settings.scores, settings.bootstrap
    return {
        "nsd_tolerance": {target: scores.tolerance_of(target) for target in evaluation.scheme.targets},
        "rim": scores.rim,
        "beta": scores.beta,
        "thin": sorted(scores.thin),
        "instances": list(settings.instances),
        "distance_unit": evaluation.unit.value,
        "volume_unit": evaluation.volume_unit,
        "resamples": bootstrap.resamples,
        "confidence_level": bootstrap.level,
        "seed": bootstrap.seed,
    }


def _definitions(details: Details) -> Tree:
    told: Tree = {
        "hd95": HD95_DEFINITION,
        "assd": ASSD_DEFINITION,
        "masd": MASD_DEFINITION,
        "nsd": NSD_DEFINITION,
        "averaging": AVERAGING,
    }
    return {**told, "calibration": CALIBRATION} if details.calibration else told


def _summary(summary: Summary) -> Tree:
    return {
        "structure": summary.structure,
        "statuses": {status.value: count for status, count in summary.statuses.items()},
        "infinite_distances_counted_as_image_diagonal": summary.replaced,
        "means": {name: _mean(mean) for name, mean in summary.means.items()},
    }


def _mean(mean: Mean) -> dict[str, Cell]:
    return {
        "mean": cell(mean.value),
        "median": cell(mean.median),
        **_ends(mean.interval),
        "patients": mean.patients,
        "cases": mean.cases,
    }


def _ends(interval: Interval) -> dict[str, Cell]:
    return {"low": cell(interval.low), "high": cell(interval.high), "interval": interval.method.value}


def _whole_map(found: WholeMap) -> Tree:
    return {
        "classes": list(found.classes),
        "means": {name: _mean(mean) for name, mean in found.means.items()},
        "pooled": {name: finite(getattr(found.pooled, name)) for name in SEMANTIC},
        "cases": [
            {"case": case, **{name: finite(getattr(scores, name)) for name in SEMANTIC}, "classes": scores.classes}
            for case, scores in found.scores.items()
        ],
        "confusion": {
            "rows": "predicted",
            "columns": "reference",
            "total": found.total.tolist(),
            "cases": {case: _sparse(matrix) for case, matrix in found.matrices.items()},
        },
    }


def _sparse(matrix: NDArray[np.int64]) -> list[list[int]]:
    """Predicted class, true class and voxels, where there are any."""
    return [[int(row), int(column), int(matrix[row, column])] for row, column in np.argwhere(matrix)]


def _instances(details: Details) -> Tree:
    return {
        "connected": "voxels that share a face, an edge or a corner",
        "match_iou_above": MATCH_IOU,
        "summary": [_instance_summary(one) for one in details.instances],
        "cases": [_case_instances(one) for one in details.case_instances],
    }


def _instance_summary(one: InstanceSummary) -> Tree:
    told: Tree = {
        "structure": one.structure,
        "cases": one.cases,
        "patients": one.patients,
        **_instance_counts(one),
        **{name: _ratio(ratio) for name, ratio in one.ratios.items()},
    }
    if one.average_precision is not None:
        found = one.average_precision
        told["average_precision"] = {
            "mean": finite(found.mean),
            "recall": finite(found.recall),
            "by_iou": {f"{threshold:.2f}": finite(value) for threshold, value in found.by_threshold.items()},
        }
    return told


def _ratio(ratio: Ratio) -> dict[str, Cell]:
    return {"value": finite(ratio.value), **_ends(ratio.interval)}


def _case_instances(one: CaseInstances) -> Tree:
    return {"case": one.case, "structure": one.structure, **_instance_counts(one)}


def _instance_counts(one: CaseInstances | InstanceSummary) -> Tree:
    matched, lesions = one.matched, one.lesions
    return {
        "tp": matched.tp,
        "fp": matched.fp,
        "fn": matched.fn,
        "iou_sum": matched.iou_sum,
        "found": lesions.found,
        "missed": lesions.missed,
        "false": lesions.false,
    }


def _calibration(details: Details) -> Tree:
    return {
        "bins": BINS,
        "margin": MARGIN,
        "summary": [_calibration_summary(one) for one in details.calibration],
        "cases": [
            {
                "case": one.case,
                "structure": one.structure,
                "ece": finite(ece(one.counts)),
                "brier": finite(brier(one.counts)),
                "voxels": int(one.counts.voxels.sum()),
            }
            for one in details.case_calibration
        ],
    }


def _calibration_summary(one: CalibrationSummary) -> Tree:
    pooled = one.pooled
    return {
        "structure": one.structure,
        "ece": _mean(one.ece),
        "brier": _mean(one.brier),
        "pooled_ece": finite(ece(pooled)),
        "pooled_brier": finite(brier(pooled)),
        "bins": [
            {"voxels": int(voxels), "confidence": finite(said), "frequency": finite(true)}
            for voxels, said, true in zip(pooled.voxels, pooled.confidence, pooled.frequency, strict=True)
        ],
    }


def _audit(found: Audit) -> Tree:
    return {
        "score": "dice",
        "fewest_patients": FEWEST,
        "attributes": [_attribute(one) for one in found.attributes],
        "left_out": dict(found.left_out),
    }


def _attribute(one: SubgroupAudit) -> Tree:
    named, single = named_groups(one)
    return {
        "attribute": one.attribute,
        "groups": [_group(group) for group in named],
        "values_of_single_patients": single,
        "unknown": one.unknown,
        "gap": finite(one.gap),
        "worst": one.worst,
        "p": finite(one.p),
        "p_adjusted": finite(one.p_adjusted),
        "equity_scaled_dice": finite(one.equity_scaled),
    }


def _group(group: Group) -> Tree:
    """Without the mean where a group is too small: it would tell of single patients, and of no group."""
    told: Tree = {"value": group.value, "patients": group.patients, "judged": group.is_judged}
    return {**told, "mean": cell(group.mean), **_ends(group.interval)} if group.is_judged else told
