"""Several models on the same cases: whether they may be compared, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.metrics.table import StructureScore

from .aggregate import FOREGROUND, by_patient, foreground
from .intervals import Bootstrap
from .paired import PairedDifference, paired_difference, with_adjusted
from .ranking import Ranking, ranking
from .score_names import CENTRE_LINE, SCORES, Kind
from .scores_file import ModelScores

DEFAULT_SCORES = ("dice", "hd95", "nsd")
_SETTINGS = {
    "distance_unit": "unit of distances",
    "nsd_tolerance": "tolerance of the NSD",
    "rim": "width of rims",
    "beta": "weight of recall in the F score",
}


ByStructure = Mapping[str, Mapping[str, Mapping[CaseId, float]]]
"""Values of a model by structure, score and case."""


@dataclass(frozen=True)
class Compared:
    """Two models in one score of one structure; the difference is that of ``other`` minus ``one``."""

    one: str
    other: str
    found: PairedDifference


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out.

    Attributes:
        models: Their names, in the order that they were named.
        scores: Names of the scores.
        unit: Of distances.
        cases: Cases that all models have scores of, in the order of the first.
        patients: How many patients these are of.
        lacking: Cases of each model that some other has and it has not; they are in no comparison with it.
        differences: Each pair, structure and score; p values are corrected for the number of them all.
        rankings: By score, over the overall mean of a case, for three models or more.
        overall: What the rankings are of: the foreground mean, or the one structure.
        values: Of each case, by model, by structure (and ``overall``), by score.
        settings: How intervals and tests are made.
        definitions: Settings of the evaluations, which are equal.
        versions: Version of medseg that each evaluation was made with.
    """

    models: tuple[str, ...]
    scores: tuple[str, ...]
    unit: str
    cases: tuple[CaseId, ...]
    patients: int
    lacking: Mapping[str, tuple[CaseId, ...]]
    differences: tuple[Compared, ...]
    rankings: Mapping[str, Ranking]
    overall: str
    values: Mapping[str, ByStructure]
    settings: Bootstrap
    definitions: Mapping[str, object]
    versions: Mapping[str, str]


def compare_models(models: Sequence[ModelScores], scores: Sequence[str], settings: Bootstrap) -> Comparison:
    """Each pair of models by each structure and score, and their ranking if there are three or more.

    A pair is compared on the cases that both have; a ranking is over those that all have.

    Args:
        models: At least two, of different names.
        scores: Names of scores of which one value is better than another.
        settings: How intervals and tests are made.

    Raises:
        InputError: If the evaluations have other settings, structures, references or patients, or no case in common.
    """
    check_scores(scores)
    for one, other in combinations(models, 2):
        check_comparable(one, other)
        _check_thin(one, other, scores)
    first = models[0]
    shared = tuple(case for case in first.patients if all(case in model.patients for model in models))
    if not shared:
        raise InputError("no case has scores of all models; evaluate them on the same cases")
    overall = FOREGROUND if len(first.targets) > 1 else first.targets[0]
    names = dict.fromkeys((*first.targets, overall))
    values = {model.name: {name: _values(model, name, scores) for name in names} for model in models}
    found = [one for pair in combinations(models, 2) for one in _differences(pair, values, settings)]
    adjusted = with_adjusted([one.found for one in found])
    everything = dict.fromkeys(case for model in models for case in model.patients)
    return Comparison(
        models=tuple(model.name for model in models),
        scores=tuple(scores),
        unit=str(first.settings["distance_unit"]),
        cases=shared,
        patients=len({first.patients[case] for case in shared}),
        lacking={one.name: tuple(case for case in everything if case not in one.patients) for one in models},
        differences=tuple(replace(one, found=p) for one, p in zip(found, adjusted, strict=True)),
        rankings=_rankings(models, {name: of[overall] for name, of in values.items()}, shared, settings),
        overall=overall,
        values=values,
        settings=settings,
        definitions=first.settings,
        versions={model.name: model.version for model in models},
    )


def check_scores(scores: Sequence[str]) -> None:
    """Make sure that scores are known and that one value of them is better than another.

    Raises:
        InputError: If they are not.
    """
    known = [name for name, score in SCORES.items() if score.kind is not Kind.VOLUME]
    wrong = [name for name in scores if name not in known]
    if wrong or not scores:
        named = repr(wrong[0]) if wrong else "none"
        raise InputError(f"no score {named} to compare models by; there are {', '.join(known)}")


def check_comparable(one: ModelScores, other: ModelScores) -> None:
    """Make sure that two evaluations asked the same question.

    Raises:
        InputError: If structures, settings, references or patients differ, or no case is in both.
    """
    names = f"{one.name!r} and {other.name!r}"
    if set(one.targets) != set(other.targets):
        raise InputError(f"{names} have scores of different structures: {_listed(one)}, and {_listed(other)}")
    for setting, words in _SETTINGS.items():
        if one.settings[setting] != other.settings[setting]:
            told = f"{_shown(one.settings[setting])} and {_shown(other.settings[setting])}"
            raise InputError(f"the {words} differs between {names}: {told}; evaluate both with the same settings")
    common = [case for case in one.patients if case in other.patients]
    if not common:
        raise InputError(f"no case has scores of both {names}; evaluate both on the same cases")
    _check_references(one, other)
    _check_patients(one, other, common)


def _check_thin(one: ModelScores, other: ModelScores, scores: Sequence[str]) -> None:
    """Whether both have the centre line Dice of the same structures, if it is asked for."""
    if CENTRE_LINE in scores and one.settings["thin"] != other.settings["thin"]:  # both sorted
        raise InputError(
            f"{one.name!r} and {other.name!r} have {SCORES[CENTRE_LINE].title} of different structures; evaluate both "
            "with the same --thin"
        )


def _check_references(one: ModelScores, other: ModelScores) -> None:
    """Whether both were scored against the same references, as far as counts of voxels tell."""
    theirs = {(row.case, row.structure): _reference(row) for row in other.rows}
    for row in one.rows:
        mine = _reference(row)
        if theirs.get((row.case, row.structure), mine) != mine:
            raise InputError(
                f"case {row.case}: the reference of {row.structure!r} is not the same for {one.name!r} and "
                f"{other.name!r} ({mine[0]} of {mine[1]} voxels against {theirs[row.case, row.structure][0]} of "
                f"{theirs[row.case, row.structure][1]}); evaluate both against the same references"
            )


def _reference(row: StructureScore) -> tuple[int, int]:
    """Voxels of the structure in the reference, and all voxels."""
    return row.tp + row.fn, row.tp + row.fp + row.fn + row.tn


def _check_patients(one: ModelScores, other: ModelScores, common: Sequence[CaseId]) -> None:
    """Whether cases are of one patient in both evaluations or in neither; the numbers themselves mean nothing."""
    together = {(one.patients[case], other.patients[case]) for case in common}
    if len({mine for mine, _ in together}) < len(together) or len({theirs for _, theirs in together}) < len(together):
        raise InputError(
            f"{one.name!r} and {other.name!r} group cases by patients differently; evaluate both against the data set "
            "that says whose each case is"
        )


def _differences(
    pair: tuple[ModelScores, ModelScores], values: Mapping[str, ByStructure], settings: Bootstrap
) -> list[Compared]:
    """Every structure and the overall mean by every score; without those that no case has."""
    one, other = pair
    found = []
    for name, mine in values[one.name].items():
        for score, by_case in mine.items():
            better = SCORES[score].higher_is_better is True
            theirs = values[other.name][name][score]
            difference = paired_difference(
                (name, score), by_case, theirs, one.patients, settings, higher_is_better=better
            )
            if difference.patients:
                found.append(Compared(one.name, other.name, difference))
    return found


def _values(model: ModelScores, name: str, scores: Sequence[str]) -> dict[str, dict[CaseId, float]]:
    """Scores of each case by score; an infinite distance counts as the image's diagonal."""
    if name == FOREGROUND:
        return {score: foreground(model.rows, score) for score in scores}
    rows = [row for row in model.rows if row.structure == name]
    return {score: {row.case: SCORES[score].of(row) for row in rows} for score in scores}


def _rankings(
    models: Sequence[ModelScores],
    values: Mapping[str, Mapping[str, Mapping[CaseId, float]]],
    shared: Sequence[CaseId],
    settings: Bootstrap,
) -> dict[str, Ranking]:
    """By score, over the patients that all models have it for; none for two models, which the difference ranks."""
    found: dict[str, Ranking] = {}
    names = [model.name for model in models]
    for score in values[names[0]] if len(names) > 2 else ():
        units = [by_patient({case: values[name][score][case] for case in shared}, models[0].patients) for name in names]
        everywhere = [patient for patient in units[0] if all(patient in one for one in units)]
        if everywhere:
            table = np.array([[one[patient] for patient in everywhere] for one in units])
            better = SCORES[score].higher_is_better is True
            found[score] = ranking(names, table, settings, higher_is_better=better)
    return found


def _listed(model: ModelScores) -> str:
    return ", ".join(map(repr, model.targets))


def _shown(setting: object) -> str:
    if isinstance(setting, Mapping):
        return ", ".join(f"{name} {value:g}" for name, value in sorted(setting.items()))
    return f"{setting:g}" if isinstance(setting, float) else str(setting)
