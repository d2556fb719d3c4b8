"""A comparison as plain values: compare.json, and rows for the console."""

from __future__ import annotations

from .as_json import Tree
from .comparison import Compared, Comparison
from .ranking import Ranking
from .result import Cell, cell, finite, interval_text, rounded
from .score_names import SCORES, Kind


def comparison_json(found: Comparison) -> Tree:
    """All of it."""
    return {
        "format": 1,
        "models": list(found.models),
        "versions": dict(found.versions),
        "settings": {
            **found.definitions,
            "resamples": found.settings.resamples,
            "confidence_level": found.settings.level,
            "seed": found.settings.seed,
            "difference": "other minus one",
            "test": "two-sided sign flip permutation test over patients; p_adjusted after Holm over all rows",
        },
        "cases": list(found.cases),
        "patients": found.patients,
        "lacking": {name: list(cases) for name, cases in found.lacking.items() if cases},
        "differences": difference_rows(found),
        "rankings": {
            score: {"of": found.overall, **_ranking(one)} for score, one in found.rankings.items()
        },
    }  # fmt: skip


def difference_rows(found: Comparison) -> list[dict[str, Cell]]:
    """One flat row a pair of models, structure and score."""
    return [_row(one) for one in found.differences]


def console_rows(found: Comparison) -> list[dict[str, Cell]]:
    """The same with less, narrow enough for a console; with two models under their names.

    Where cases are left out because only one model has a value, a column counts them.
    """
    level = f"{100 * found.settings.level:g} % CI"
    is_partial = any(one.found.left_out for one in found.differences)
    rows: list[dict[str, Cell]] = []
    for one in found.differences:
        score, difference = SCORES[one.found.score], one.found
        digits = 3 if score.kind is Kind.SHARE else 2
        unit = f" {found.unit}" if score.kind is Kind.DISTANCE else ""
        named = (one.one, one.other) if len(found.models) == 2 else ("first", "second")
        left: dict[str, Cell] = {"left out": difference.left_out} if is_partial else {}
        pair: dict[str, Cell] = {} if len(found.models) == 2 else {"second minus first": f"{one.other} minus {one.one}"}
        rows.append(
            {
                **pair,
                "structure": difference.structure,
                "score": score.title + unit,
                named[0]: rounded(difference.one, digits),
                named[1]: rounded(difference.other, digits),
                "difference": rounded(difference.difference, digits),
                level: interval_text(score.field, difference.interval),
                "p (Holm)": rounded(difference.p_adjusted, 4),
                "better": difference.better,
                "worse": difference.worse,
                "equal": difference.equal,
                **left,
            }
        )
    return rows


def _row(one: Compared) -> dict[str, Cell]:
    found = one.found
    return {
        "one": one.one,
        "other": one.other,
        "structure": found.structure,
        "score": found.score,
        "mean_one": cell(found.one),
        "mean_other": cell(found.other),
        "difference": cell(found.difference),
        "low": cell(found.interval.low),
        "high": cell(found.interval.high),
        "interval": found.interval.method.value,
        "p": finite(found.p),
        "p_adjusted": finite(found.p_adjusted),
        "other_better": found.better,
        "other_worse": found.worse,
        "equal": found.equal,
        "patients": found.patients,
        "cases": found.cases,
        "left_out": found.left_out,
    }


def _ranking(found: Ranking) -> Tree:
    return {
        "models": [
            {
                "model": name,
                "mean": float(found.means[index]),
                "rank": float(found.ranks[index]),
                "share_of_draws_by_rank": [float(share) for share in found.shares[index]],
            }
            for index, name in enumerate(found.models)
        ],
        "agreement_kendall_tau": finite(found.agreement),
    }
