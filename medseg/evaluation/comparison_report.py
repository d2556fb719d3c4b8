"""The page of a comparison: differences with intervals, cases where models differ, ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from medseg.core.labels import Colour, palette_colour
from medseg.render import page
from medseg.render.heat_table import heat_table
from medseg.render.interval_plot import Estimate, interval_plot
from medseg.render.page import Cell, Html
from medseg.render.paired_plot import paired_plot

from .aggregate import FOREGROUND
from .comparison import Compared, Comparison
from .ranking import Ranking
from .result import SMALLEST_P, interval_text, p_text, shown
from .score_names import SCORES, Kind

SIGNIFICANT = 0.05
_MOST_NAMED, _MOST_CASES, _MOST_PANELS = 10, 10, 12
_BLUE, _GREEN = palette_colour(4), palette_colour(2)


def comparison_page(found: Comparison) -> str:
    """The page as HTML text."""
    parts = [
        *_lead(found),
        *_lacking(found),
        *_unpaired(found),
        *_differences(found),
        *_rankings(found),
        *_cases(found),
        *_settings(found),
    ]
    return page.page("Comparison of models", parts)


def _lead(found: Comparison) -> list[Html]:
    who = f"{len(found.cases)} cases" if len(found.cases) != 1 else "1 case"
    if found.patients < len(found.cases):
        who += f" of {found.patients} patients"
    score = found.scores[0]
    sentences = [
        _sentence(one, found)
        for one in found.differences
        if (one.found.structure, one.found.score) == (found.overall, score)
    ]
    return [page.paragraph(f"{_and(found.models)}: {who} in common."), *map(page.paragraph, sentences)]


def _sentence(one: Compared, found: Comparison) -> str:
    """What came out of the first score, in words."""
    difference, score = one.found, SCORES[one.found.score]
    what = "mean foreground " if found.overall == FOREGROUND else f"{found.overall}: mean "
    named = f"{what}{score.title} of {one.other}"
    named = named[0].upper() + named[1:]
    if difference.difference == 0:
        return f"{named} is the same as that of {one.one}."
    size = shown(score.field, abs(difference.difference))
    unit = f" {found.unit}" if score.kind is Kind.DISTANCE else ""
    way = "higher" if difference.difference > 0 else "lower"
    interval = interval_text(score.field, difference.interval)
    if interval is None:
        return f"{named} is {size}{unit} {way} than that of {one.one}; too few patients for an interval."
    spread = f"{_level(found)} confidence interval of the difference {interval}"
    verdict = "more than chance explains" if _is_shown(one) else "which chance may explain"
    return f"{named} is {size}{unit} {way} than that of {one.one}, {spread} ({_p(difference.p_adjusted)}): {verdict}."


def _is_shown(one: Compared) -> bool:
    return one.found.p_adjusted < SIGNIFICANT


def _lacking(found: Comparison) -> list[Html]:
    """Cases that a model lacks: where it fails on hard ones, the rest flatters it."""
    rows = [
        (name, str(len(cases)), ", ".join(cases[:_MOST_NAMED]) + (", …" if len(cases) > _MOST_NAMED else ""))
        for name, cases in found.lacking.items()
        if cases
    ]
    if not rows:
        return []
    table = page.table(("model", "cases", "which"), rows, text_columns=3)
    return [page.folded("Cases that a model has no scores of are in no comparison with it", [table], is_warning=True)]


def _unpaired(found: Comparison) -> list[Html]:
    """Cases whose reference is empty, and in which one model drew something and the other rightly did not."""
    rows = []
    for pair in combinations(found.models, 2):
        for name, of in found.values[pair[0]].items():
            mine, theirs = of[found.scores[0]], found.values[pair[1]][name][found.scores[0]]
            for model, drew, left_empty in ((pair[0], mine, theirs), (pair[1], theirs, mine)):
                cases = [case for case in drew if math.isnan(left_empty.get(case, 0.0)) and not math.isnan(drew[case])]
                if cases:
                    rows.append((model, name, str(len(cases)), ", ".join(cases[:_MOST_NAMED])))
    if not rows:
        return []
    header = ("drew what is not there", "structure", "cases", f"which, the first {_MOST_NAMED}")
    words = "False positives are in no difference where the other model rightly drew nothing, which has no score"
    return [page.folded(words, [page.table(header, list(dict.fromkeys(rows)), text_columns=4)], is_warning=True)]


def _differences(found: Comparison) -> list[Html]:
    parts = [
        page.heading("Differences"),
        page.paragraph(
            f"The second model minus the first, mean over patients; in grey the {_level(found)} bootstrap interval. p "
            "is that of a permutation test which flips the signs of the patients' differences, corrected for all rows "
            "of this page (Holm). Better and worse count patients for whom the second model does so.",
            muted=True,
        ),
    ]
    for one, other in combinations(found.models, 2):
        mine = [each for each in found.differences if (each.one, each.other) == (one, other)]
        parts += [page.subheading(f"{other} minus {one}")] if len(found.models) > 2 else []
        parts.append(_table(mine, found))
        parts += [_plot(mine, score, found) for score in found.scores]
    return parts


def _table(differences: Sequence[Compared], found: Comparison) -> Html:
    if not differences:
        return page.paragraph("No structure is in a case of both.")
    first = differences[0]
    counts = "better / worse / equal"
    header = ("", "score", first.one, first.other, "difference", "p, corrected", counts, "second model is")
    return page.table(header, [_cells(one, found) for one in differences], text_columns=2)


def _cells(one: Compared, found: Comparison) -> list[Cell]:
    difference, score = one.found, SCORES[one.found.score]
    title = score.title + (f", {found.unit}" if score.kind is Kind.DISTANCE else "")
    interval = interval_text(score.field, difference.interval) or ""
    return [
        difference.structure,
        title,
        shown(score.field, difference.one),
        shown(score.field, difference.other),
        (shown(score.field, difference.difference), interval),
        (p_text(difference.p_adjusted), f"alone {p_text(difference.p)}"),
        f"{difference.better} / {difference.worse} / {difference.equal}",
        _reading(one),
    ]


def _reading(one: Compared) -> str:
    if math.isnan(one.found.p):
        return "too few patients"
    if not _is_shown(one):
        return "not shown to differ"
    gain = one.found.difference > 0
    return "better" if gain is (SCORES[one.found.score].higher_is_better is True) else "worse"


def _plot(differences: Sequence[Compared], name: str, found: Comparison) -> Html:
    score = SCORES[name]
    mine = [one for one in differences if one.found.score == name]
    unit = f", {found.unit}" if score.kind is Kind.DISTANCE else ""
    way = "right" if score.higher_is_better else "left"
    title = f"difference of {score.title}{unit} (better is to the {way})"
    return (
        page.drawing(interval_plot([_estimate(one) for one in mine], title, mark=0.0)) if mine else page.paragraph("")
    )


def _estimate(one: Compared) -> Estimate:
    difference = one.found
    low, high = difference.interval.low, difference.interval.high
    said = shown(difference.score, difference.difference)
    note = f"{said} ({_p(difference.p_adjusted)})"
    colour = _GREEN if _is_shown(one) else _BLUE
    return Estimate(
        difference.structure, difference.difference, low, high, note, colour, f"{difference.structure}: {said}"
    )


def _rankings(found: Comparison) -> list[Html]:
    if not found.rankings:
        return []
    parts = [
        page.heading("Ranking"),
        page.paragraph(
            f"By the mean over patients ({found.overall}). Percent of {found.settings.resamples} draws of patients, "
            "with replacement, in which a model takes each rank; a ranking that other patients might turn round is "
            "none. Tau is the mean agreement of these rankings with that of all patients: 1 if they are all the same.",
            muted=True,
        ),
    ]
    for score, one in found.rankings.items():
        parts += [
            page.subheading(f"{SCORES[score].title}, tau {shown('dice', one.agreement)}"),
            *_ranking(score, one, found),
        ]
    return parts


def _ranking(score: str, one: Ranking, found: Comparison) -> list[Html]:
    order = np.argsort(one.ranks, kind="stable")
    names = [f"{one.models[index]} ({shown(score, float(one.means[index]))})" for index in order]
    counts = np.rint(one.shares[order] * found.settings.resamples).astype(np.int64)
    columns = [f"rank {rank}" for rank in range(1, len(names) + 1)]
    return [heat_table("model (mean)", names, columns, counts)]


def _cases(found: Comparison) -> list[Html]:
    """A panel a structure for two models, one a pair for more; and the cases in which two models differ most."""
    names = list(found.values[found.models[0]]) if len(found.models) == 2 else [found.overall]
    panels = [
        page.drawing(_panel(pair, name, palette_colour(index), found))
        for pair in combinations(found.models, 2)
        for index, name in enumerate(names)
    ]
    tables = [_farthest(pair, found) for pair in combinations(found.models, 2)]
    shown_first, rest = panels[:_MOST_PANELS], panels[_MOST_PANELS:]
    return [
        page.heading(f"{SCORES[found.scores[0]].title} of every case"),
        page.paragraph(
            "A dot is a case; point at it for its name. On the dashed line both models are alike.", muted=True
        ),
        page.side_by_side(shown_first),
        *([page.folded(f"more panels: {len(rest)}", [page.side_by_side(rest)])] if rest else []),
        page.folded("the cases in which they differ most", tables),
    ]


def _known(pair: tuple[str, str], name: str, found: Comparison) -> list[tuple[str, float, float]]:
    """Cases and the first score of both models, where both have it."""
    score = found.scores[0]
    mine, theirs = (found.values[model][name][score] for model in pair)
    both = [(case, mine[case], theirs[case]) for case in mine if case in theirs]
    return [(case, one, other) for case, one, other in both if not math.isnan(one + other)]


def _panel(pair: tuple[str, str], name: str, colour: Colour, found: Comparison) -> str:
    score = found.scores[0]
    dots = [
        (one, other, f"{case}: {shown(score, one)} and {shown(score, other)}")
        for case, one, other in _known(pair, name, found)
    ]
    return paired_plot(name, colour, dots, pair)


def _farthest(pair: tuple[str, str], found: Comparison) -> Html:
    score = found.scores[0]
    known = sorted(_known(pair, found.overall, found), key=lambda row: (-abs(row[2] - row[1]), row[0]))
    rows = [
        (case, shown(score, one), shown(score, other), shown(score, other - one))
        for case, one, other in known[:_MOST_CASES]
    ]
    return page.table((f"case ({found.overall})", *pair, "difference"), rows)


def _settings(found: Comparison) -> list[Html]:
    tolerances = found.definitions["nsd_tolerance"]
    assert isinstance(tolerances, dict)  # noqa: S101 - scores_file has checked it
    told = ", ".join(f"{value:g} {found.unit} of {name}" for name, value in tolerances.items())
    rows = [
        ("NSD tolerances", told),
        ("intervals", f"BCa, {found.settings.resamples} resamples, seed {found.settings.seed}"),
        ("versions", ", ".join(f"{name}: medseg {version}" for name, version in found.versions.items())),
    ]
    return [page.heading("Settings"), page.table(("", ""), rows, text_columns=2)]


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _p(value: float) -> str:
    return f"p {p_text(value)}" if value < SMALLEST_P else f"p = {p_text(value)}"


def _level(found: Comparison) -> str:
    return f"{100 * found.settings.level:g} %"
